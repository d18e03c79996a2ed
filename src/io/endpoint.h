/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An endpoint: one end of a wire, named by one string in every tool.
 *
 *   tcp:HOST:PORT            connect; HOST is a name, an IPv4 address or [an IPv6 address]
 *   tcp-listen:[ADDR:]PORT   accept; ADDR is the loopback address unless given, * is any address;
 *                            PORT 0 lets the system choose (endpoint_where tells which)
 *   unix:PATH                connect to a Unix-domain socket
 *   unix-listen:PATH         accept on one; a stale socket file is replaced, ours is removed again
 *   pipe:\\.\pipe\NAME       connect to a named pipe (Windows); pipe:NAME is the same
 *   pipe-listen:NAME         make one; only this machine may connect
 *   serial:DEVICE            a serial line: serial:/dev/ttyS0,baud=115200,rtscts or serial:COM3
 *   pty:LINK                 a new pseudo-terminal (not on Windows); LINK is a symbolic link to
 *                            it for the other side
 *   exec:COMMAND             a child process (of /bin/sh or cmd.exe), its standard input and
 *                            output
 *   stdio                    our own standard input and output
 *   kdnet-host:port=PORT     KDNET, the debugger's side: a target (Windows, another kdwire) comes
 *                            to us; bind=ADDR is the loopback address unless given, * is any
 *   kdnet-target:host=HOST,port=PORT     KDNET, the target's side: WinDbg waits for us there
 *   vmbus:vm=NAME|GUID       offer a VMBus pipe to a VM of this Hyper-V host (Windows); up while
 * the VM's windbg.efi has it open hvsock:vm=NAME|GUID      wait for a VM of this Hyper-V host at a
 * Hyper-V socket (Windows)
 *
 * Options follow after commas (not for exec, whose command is all the rest); a comma or a
 * backslash that belongs to a path is written with a backslash before it (pipe and serial: only a
 * comma; their backslashes stand for themselves):
 *   nodelay=on|off  keepalive=SECONDS (0 = off)  retry=SECONDS (longest pause; 0 = do not retry)
 *   replace=dead|newest|never  mode=OCTAL (unix-listen)  access=user|admins|everyone (pipe-listen)
 *   baud= data= parity= stop= rtscts (serial)
 *   key=W.X.Y.Z  key-file=PATH (kdnet; with neither, the caller finds the key)  version= (target)
 *   type=GUID instance=GUID mode=byte|message framing=raw|windbg-uefi|windbg-uefi-ack (vmbus)
 *   service=GUID (hvsock)
 *
 * An endpoint reopens by itself: connecting ends try again with growing pauses, listening ends
 * accept again, a child is started again. `up` and `down` alternate; data comes and can be
 * written only in between.
 *
 *   state    event                          next     what happens
 *   idle     endpoint_open                  opening  listening ends: listen first, or fail
 *   opening  connected, accepted, opened    up       callback up
 *   opening  could not connect or open      pause    notice RETRYING, once for each new reason
 *   opening  the same, retry=0, or trying   ended    callback ended
 *            again cannot help
 *   pause    time is over                   opening
 *   up       peer gone, endpoint_drop       pause    callback down (listening ends: opening)
 *   up       the same, retry=0 and no       ended    callback down, then ended
 *            listener; end of stdin
 *   any      endpoint_close                 closed   no callback but the close callback
 *
 * Life cycle, as libuv's handles: the memory of struct endpoint is the caller's; from endpoint_init
 * on it must stay until the close callback of endpoint_close ran. Everything happens on the
 * loop's thread. endpoint_close and endpoint_drop may be called from any callback.
 */
#ifndef KDWIRE_IO_ENDPOINT_H
#define KDWIRE_IO_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "address.h"
#include "kdwire/error.h"
#include "kdwire/kdnet.h"
#include "vmbus/guid.h"

enum {
    ENDPOINT_TEXT_MAX = 1024, /* longest endpoint string: a path (PATH_MAX is rarely used) */
    ENDPOINT_HOST_MAX = ADDRESS_HOST_MAX,
    ENDPOINT_MESSAGE_MAX = 512, /* one line to the user */
    /* Bytes that wait for a peer that reads slowly. Large enough that a reader's short nap does
     * not stop a bulk transfer, small enough to be nothing beside the program itself; holds one
     * more read (ENDPOINT_READ_MAX) when it is at its high mark. */
    ENDPOINT_QUEUE_MAX = 512 * 1024,
    /* Above this the source should be paused (endpoint_write's result tells), and the `drained`
     * callback comes when the queue is below the low mark again. */
    ENDPOINT_QUEUE_HIGH = 192 * 1024,
    ENDPOINT_QUEUE_LOW = 64 * 1024,
    /* Most bytes given to one data callback: fewer wake-ups of the reader in a bulk transfer. */
    ENDPOINT_READ_MAX = 256 * 1024,
};

enum endpoint_kind {
    ENDPOINT_TCP,
    ENDPOINT_TCP_LISTEN,
    ENDPOINT_UNIX,
    ENDPOINT_UNIX_LISTEN,
    ENDPOINT_PIPE,
    ENDPOINT_PIPE_LISTEN,
    ENDPOINT_SERIAL,
    ENDPOINT_PTY,
    ENDPOINT_EXEC,
    ENDPOINT_STDIO,
    ENDPOINT_KDNET_HOST,
    ENDPOINT_KDNET_TARGET,
    ENDPOINT_VMBUS,
    ENDPOINT_HVSOCK,
    ENDPOINT_FIFO, /* not in the grammar, see endpoint_spec_fifo */
};

/* What a listening end does when a second peer comes while one is connected. */
enum endpoint_replace {
    ENDPOINT_REPLACE_DEAD,   /* probe the old one; the new one takes over only from a dead one */
    ENDPOINT_REPLACE_NEWEST, /* the new one always takes over */
    ENDPOINT_REPLACE_NEVER,  /* the new one is always refused */
};

/* Who else may open a named pipe that we made, beside the system. */
enum endpoint_access {
    ENDPOINT_ACCESS_USER,     /* the user we run as */
    ENDPOINT_ACCESS_ADMINS,   /* and administrators, elevated */
    ENDPOINT_ACCESS_EVERYONE, /* anybody who is logged on to this machine */
};

/* What stands around the bytes inside a VMBus pipe; the same words as windbg.efi's. */
enum endpoint_framing {
    ENDPOINT_FRAMING_RAW,
    ENDPOINT_FRAMING_WINDBG_UEFI,     /* the windbg-uefi project's header, vmbus/framing.h */
    ENDPOINT_FRAMING_WINDBG_UEFI_ACK, /* and its acknowledgements */
};

/* A parsed endpoint string; plain data, may be copied. */
struct endpoint_spec {
    enum endpoint_kind kind;
    char host[ENDPOINT_HOST_MAX]; /* tcp, tcp-listen, kdnet; "*" = any address */
    uint16_t port;                /* tcp, tcp-listen, kdnet */
    /* unix, pipe, serial, pty: path; exec: command; kdnet: key file; vmbus, hvsock: the VM */
    char path[ENDPOINT_TEXT_MAX];
    bool nodelay;
    uint32_t keepalive; /* seconds until a silent peer is probed; 0 = never */
    uint32_t retry;     /* longest pause between attempts in seconds; 0 = no second attempt */
    enum endpoint_replace replace;
    uint32_t mode;               /* permission bits of the unix-listen socket file */
    enum endpoint_access access; /* pipe-listen */
    uint32_t baud;
    uint8_t data_bits; /* 7, 8 */
    char parity;       /* 'n', 'e', 'o' */
    uint8_t stop_bits; /* 1, 2 */
    bool rtscts;
    struct kdnet_key key; /* kdnet */
    bool has_key;
    uint8_t version;                  /* kdnet-target: what it says it speaks */
    struct vmbus_guid type, instance; /* vmbus; hvsock: type is the service */
    bool messages;                    /* vmbus: the pipe is of message type */
    enum endpoint_framing framing;    /* vmbus */
    bool write_only;                  /* stdio: standard input is left alone; not in the grammar */
};

/*
 * Parses an endpoint string; no I/O. Returns KD_OK, or KD_E_ARGUMENT with MESSAGE telling in one
 * line which part is wrong and what a right one looks like.
 */
int endpoint_parse(struct endpoint_spec *spec, const char *text,
                   char message[ENDPOINT_MESSAGE_MAX]);

/* The same for the kinds of every system, whether this one has them or not. */
int endpoint_parse_any(struct endpoint_spec *spec, const char *text,
                       char message[ENDPOINT_MESSAGE_MAX]);

/* Whether the endpoint waits for others to come (tcp-listen, unix-listen, pipe-listen). */
bool endpoint_spec_listens(const struct endpoint_spec *spec);
/* The same, and kdnet-host: that nobody has come yet is no failure. */
bool endpoint_spec_is_called(const struct endpoint_spec *spec);

/* Whether it comes up whenever somebody comes, and not by trying (listening ends, pty, FIFO, a VM's
 * channel). */
bool endpoint_spec_waits(const struct endpoint_spec *spec);

/*
 * A named pipe for a viewer such as Wireshark. Elsewhere than on Windows TEXT is the path of a
 * FIFO: made if it does not exist, only written, up while somebody reads. On Windows it is a
 * pipe-listen endpoint, with or without "pipe-listen:". As endpoint_parse.
 */
int endpoint_parse_live(struct endpoint_spec *spec, const char *text,
                        char message[ENDPOINT_MESSAGE_MAX]);

/*
 * The named pipe that a viewer has made for us to write to, as Wireshark does for an extcap
 * program: a FIFO, or on Windows a pipe to be opened. As endpoint_parse.
 */
int endpoint_parse_viewer(struct endpoint_spec *spec, const char *text,
                          char message[ENDPOINT_MESSAGE_MAX]);

/* Whether it needs a key (spec->key) before it can be opened. */
bool endpoint_spec_needs_key(const struct endpoint_spec *spec);

/* Writes the endpoint as a string that endpoint_parse takes, but never a key; always ends in NUL.
 * Returns TEXT. */
const char *endpoint_spec_text(const struct endpoint_spec *spec, char *text, size_t size);

enum endpoint_notice {
    ENDPOINT_LISTENING, /* text: where, with the actual port */
    ENDPOINT_RETRYING,  /* could not be opened; text: why. Said once for each new reason */
    ENDPOINT_REFUSED,   /* a second peer was turned away */
    ENDPOINT_REPLACED,  /* a second peer took the place of the old one */
    ENDPOINT_WARNING,   /* anything else the user should know */
};

struct endpoint;
struct channel;

/* Any may be NULL. All texts are one line without a line end, valid during the call. */
struct endpoint_callbacks {
    /* A peer is there; PEER describes it ("127.0.0.1:50123", "/dev/ttyS0 at 115200 baud"). */
    void (*up)(struct endpoint *endpoint, const char *peer);
    /* It is gone. UNSENT bytes had been taken by endpoint_write and never left. */
    void (*down)(struct endpoint *endpoint, const char *reason, size_t unsent);
    /* Bytes from the peer; valid during the call. */
    void (*data)(struct endpoint *endpoint, const uint8_t *bytes, size_t size);
    /* The queue was above ENDPOINT_QUEUE_HIGH and is now below ENDPOINT_QUEUE_LOW. */
    void (*drained)(struct endpoint *endpoint);
    void (*notice)(struct endpoint *endpoint, enum endpoint_notice what, const char *text);
    /* KDNET: a datagram as it is on the wire, sent or received. The addresses are sockaddr_in or
     * sockaddr_in6. */
    void (*datagram)(struct endpoint *endpoint, const struct sockaddr *from,
                     const struct sockaddr *to, const uint8_t *bytes, size_t size);
    /* It will not come up again by itself (retry=0, end of stdin). Close it. */
    void (*ended)(struct endpoint *endpoint, const char *reason);
    /* Listening ends only: when set, any number of peers is accepted and each is handed out here
     * as a channel (channel.h) owned by the callee; up, down and data are then not called. */
    void (*accepted)(struct endpoint *endpoint, struct channel *channel, const char *peer);
};

typedef void (*endpoint_close_cb)(struct endpoint *endpoint);

enum endpoint_state {
    ENDPOINT_IDLE,
    ENDPOINT_OPENING,
    ENDPOINT_PAUSE,
    ENDPOINT_UP,
    ENDPOINT_ENDED,
    ENDPOINT_CLOSING,
    ENDPOINT_CLOSED,
};

struct endpoint {
    /* Public: */
    void *context; /* the caller's */
    struct endpoint_spec spec;
    /* Private: */
    uv_loop_t *loop;
    struct endpoint_callbacks on;
    enum endpoint_state state;
    struct channel *channel; /* the connected peer */
    struct channel *rival;   /* a second peer, while the first is probed */
    struct opener *opener;   /* what makes channels: connector, listener, device */
    uv_timer_t timer;        /* pause between attempts */
    uv_timer_t probe_timer;  /* while a rival waits */
    uint64_t probe_started;  /* uv_now, ms */
    uint32_t probe_mark;     /* platform_probe_begin's */
    uint64_t pause;          /* ms */
    uint64_t up_since;       /* uv_now, ms */
    bool paused;             /* reading is stopped by endpoint_pause */
    unsigned open_handles;   /* that must close before the close callback */
    endpoint_close_cb closed;
    char where[ENDPOINT_TEXT_MAX + ENDPOINT_HOST_MAX];
    char peer[ENDPOINT_MESSAGE_MAX];
    char rival_peer[ENDPOINT_MESSAGE_MAX];
    char said[ENDPOINT_MESSAGE_MAX]; /* last RETRYING text, to say it once */
};

/* Prepares the endpoint on a loop; cannot fail. CALLBACKS and SPEC are copied. */
void endpoint_init(uv_loop_t *loop, struct endpoint *endpoint, const struct endpoint_spec *spec,
                   const struct endpoint_callbacks *callbacks, void *context);

/*
 * Starts it. Fails (then only endpoint_close is allowed) when trying later could not help or the
 * user must know at once: the port is in use, no permission, a listener's path is wrong, no
 * pty can be made. MESSAGE is then one line that names the thing and what to do.
 */
int endpoint_open(struct endpoint *endpoint, char message[ENDPOINT_MESSAGE_MAX]);

/*
 * Sends bytes: at once as far as the system takes them, the rest is copied into the queue.
 * Returns the bytes that now wait (0 = all gone; above ENDPOINT_QUEUE_HIGH pause the source),
 * KD_E_CLOSED when no peer is there, KD_E_NO_SPACE when they do not fit (nothing was taken).
 */
int endpoint_write(struct endpoint *endpoint, const uint8_t *bytes, size_t size);

/* Bytes written and not yet taken by the system. */
size_t endpoint_queued(const struct endpoint *endpoint);

bool endpoint_is_up(const struct endpoint *endpoint);

/* Stops and restarts the data callback; may be called in any state and is kept over reopening. */
void endpoint_pause(struct endpoint *endpoint);
void endpoint_resume(struct endpoint *endpoint);

/* Ends the connection with the present peer (down is called with REASON) and goes on. */
void endpoint_drop(struct endpoint *endpoint, const char *reason);

/* The endpoint as a string, with the actual port or pty once open. */
const char *endpoint_where(const struct endpoint *endpoint);

/* The present peer; "" when none. */
const char *endpoint_peer(const struct endpoint *endpoint);

/* Of a KDNET endpoint: what became of its datagrams. NULL of others, and before it was opened. */
struct kdnet_stats;
const struct kdnet_stats *endpoint_kdnet_stats(const struct endpoint *endpoint);

/* Ends everything: removes socket file and link, ends a child. CLOSED may be NULL. Queued bytes
 * are discarded. To be called once; only the close callback comes after it. */
void endpoint_close(struct endpoint *endpoint, endpoint_close_cb closed);

#endif
