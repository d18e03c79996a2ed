/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside src/io only: what one kind of endpoint does to get a channel, and what the system
 * underneath must offer (platform_*, in posix/ and windows/).
 */
#ifndef KDWIRE_IO_OPENER_H
#define KDWIRE_IO_OPENER_H

#include "channel.h"

/* How one kind of endpoint opens. A kind's own struct starts with struct opener. */
struct opener {
    const struct opener_operations *operations;
};

struct opener_operations {
    /* Makes what lasts while the endpoint is open; as endpoint_open. May be NULL. */
    int (*prepare)(struct endpoint *endpoint, char *message);
    /* Starts one attempt, which ends in endpoint_opened or endpoint_failed. NULL: it is only
     * waited (listeners). */
    void (*attempt)(struct endpoint *endpoint);
    /* The attempt takes longer than ENDPOINT_ATTEMPT_MS: endpoint_failed, or go on. */
    void (*too_slow)(struct endpoint *endpoint);
    /* The channel is being closed. May be NULL. */
    void (*lost)(struct endpoint *endpoint);
    /* Ends the attempt and everything prepared; no endpoint_... call but endpoint_release after
     * it. May be NULL. */
    void (*close)(struct endpoint *endpoint);
};

enum {
    ENDPOINT_PAUSE_FIRST_MS = 50, /* a peer that restarts is back as soon as it listens */
    ENDPOINT_ATTEMPT_MS = 5000,   /* an unreachable host says nothing; this is told instead */
    ENDPOINT_STEADY_MS = 1000,    /* up for so long: the next pause is the first again */
    ENDPOINT_PROBE_MS = 2500,     /* the system probes after 1 s at most, and once more */
    ENDPOINT_PROBE_STEP_MS = 20,
    ENDPOINT_STUCK_MS = 5000, /* no byte left for so long: nobody reads there any more */
    ENDPOINT_BACKLOG = 16,
};

/* Each returns the memory of a kind's own struct, NULL without memory. */
struct opener *opener_connect(void); /* tcp, unix */
struct opener *opener_listen(void);  /* tcp-listen, unix-listen */
struct opener *opener_serial(void);
struct opener *opener_exec(void);
struct opener *opener_stdio(void);
struct opener *opener_kdnet(void);
struct opener *opener_pty(void);         /* posix */
struct opener *opener_fifo(void);        /* posix */
struct opener *opener_pipe(void);        /* windows */
struct opener *opener_pipe_listen(void); /* windows */
struct opener *opener_vmbus(void);       /* windows */
struct opener *opener_hvsock(void);      /* windows */

/* The opener of a kind that is not the same on every system. */
struct opener *platform_opener(enum endpoint_kind kind);
/* NULL where this system has this kind; otherwise why not and what to use. */
const char *platform_kind_hint(enum endpoint_kind kind);

/* Called by openers. REASON is one line without the endpoint's name. */
void endpoint_opened(struct endpoint *endpoint, struct channel *channel, const char *peer);
void endpoint_failed(struct endpoint *endpoint, const char *reason);
/* As endpoint_failed, when trying again cannot help: a person must do something first. */
void endpoint_gives_up(struct endpoint *endpoint, const char *reason);
void endpoint_accepted(struct endpoint *endpoint, struct channel *channel, const char *peer);
void endpoint_say(struct endpoint *endpoint, enum endpoint_notice what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Each handle or request that still needs the endpoint's memory holds it. */
void endpoint_hold(struct endpoint *endpoint);
void endpoint_release(struct endpoint *endpoint);

/* Binds to the own address that the endpoint names ("*": any, of both families). TYPE is a socket
 * type, as the system's; BIND is libuv's for SOCKET. Returns a libuv error. */
typedef int bind_to(void *socket, const struct sockaddr *address);
int bind_own_address(const struct endpoint *endpoint, int type, bind_to *bind, void *socket);

/* From now on the endpoint says this port (it may have been 0). */
void note_actual_port(struct endpoint *endpoint, const struct sockaddr_storage *address);

/* Why an address cannot be listened on, with what to do; returns an error code. */
int listen_error(const struct endpoint *endpoint, int error, char *message);

/* "127.0.0.1:4555", "[::1]:4555". */
void address_text(const struct sockaddr_storage *address, char *text, size_t size);

enum liveness {
    LIVENESS_UNKNOWN,
    LIVENESS_ALIVE,
    LIVENESS_DEAD,
};

/* Sets keep-alive and the time after which unacknowledged data means that the peer is gone. */
void platform_tcp_keepalive(uv_tcp_t *tcp, uint32_t seconds);
/* Asks the peer's system for a sign of life as soon as possible, and back to normal. Returns what
 * platform_liveness compares with. */
uint32_t platform_probe_begin(uv_stream_t *stream);
void platform_probe_end(uv_stream_t *stream, uint32_t keepalive);
/* Whether a sign of life came since platform_probe_begin, which had returned BEFORE. */
enum liveness platform_liveness(uv_stream_t *stream, uint32_t before);
/* Who is at the other end of a Unix-domain socket: "process 123". */
void platform_unix_peer(uv_stream_t *stream, char *text, size_t size);
/* Removes a socket file that nobody listens on. KD_E_BUSY: somebody does; KD_E_EXISTS: it is
 * no socket; KD_OK: the path is free now. */
int platform_clear_socket(const char *path);
/* Binds with the permission bits in place from the start. Returns a libuv error. */
int platform_bind_unix(uv_pipe_t *pipe, const char *path, uint32_t mode);

/* A command that the system's shell runs, and all that it starts. */
struct platform_command;

struct platform_command_use {
    /* The shell has ended, with STATUS or by SIGNAL_NUMBER (0: by none); what it started may go
     * on. Comes once. */
    void (*ended)(void *context, int64_t status, int signal_number);
    void (*closed)(void *context); /* nothing comes after it */
};

/* CHANNEL, whose two pipes are made and not open, is connected with its standard input and output;
 * its standard error is ours. Returns a libuv error: then nothing is called back. */
int platform_command_start(struct platform_command **command, const char *text,
                           struct channel *channel, const struct platform_command_use *use,
                           void *context);
int platform_command_id(const struct platform_command *command);
/* Whether a shell that ended with STATUS had not found the command. */
bool platform_command_missing(int64_t status);
/* Asks all of it to end, or ends it now. */
void platform_command_end(const struct platform_command *command, bool now);
/* To be called once. Where the system can (Windows), what still runs is ended. */
void platform_command_close(struct platform_command *command);

/* A broken pipe is an error code, not the end of the program. */
void platform_ignore_sigpipe(void);

#endif
