/* SPDX-License-Identifier: BSD-2-Clause */
/* What sockets and pipes can do on Windows and libuv does not offer. */
#include <stdio.h>
#include <string.h>

#include <winsock2.h>
/* after it */
#include <mstcpip.h>

#include "../opener.h"

enum {
    KEEPALIVE_PROBES = 10,    /* Windows sends so many before it gives up, whatever one sets */
    PROBE_IDLE_MS = 1000,     /* the least that every Windows takes */
    PROBE_INTERVAL_MS = 100,  /* dead after PROBE_IDLE_MS and KEEPALIVE_PROBES of these */
    PROBE_ANSWERED_MS = 2300, /* still there after that: it answers; below ENDPOINT_PROBE_MS */
    TCP_OPTION_MAX_RETRY = 5, /* TCP_MAXRT, in seconds; not in these headers */
};

static HANDLE stream_handle(const uv_stream_t *stream)
{
    uv_os_fd_t handle = INVALID_HANDLE_VALUE;
    uv_fileno((const uv_handle_t *)stream, &handle);
    return handle;
}

static SOCKET stream_socket(const uv_stream_t *stream)
{
    return (SOCKET)stream_handle(stream);
}

static void set_keepalive(SOCKET socket, ULONG idle_ms, ULONG interval_ms)
{
    struct tcp_keepalive keepalive = {idle_ms > 0, idle_ms, interval_ms};
    DWORD size = 0;
    WSAIoctl(socket, SIO_KEEPALIVE_VALS, &keepalive, sizeof(keepalive), NULL, 0, &size, NULL, NULL);
}

void platform_tcp_keepalive(uv_tcp_t *tcp, uint32_t seconds)
{
    SOCKET socket = stream_socket((const uv_stream_t *)tcp);
    ULONG idle_ms = seconds * 1000;
    ULONG interval_ms = idle_ms / KEEPALIVE_PROBES; /* as elsewhere: noticed after twice the time */
    DWORD give_up = seconds ? seconds * 2 : (DWORD)-1;
    set_keepalive(socket, idle_ms, interval_ms);
    setsockopt(socket, IPPROTO_TCP, TCP_OPTION_MAX_RETRY, (const char *)&give_up, sizeof(give_up));
}

/* Windows does not tell of answered probes, only of unanswered ones, by an error: who is still
 * connected when all would have been missed is alive. */
uint32_t platform_probe_begin(uv_stream_t *stream)
{
    if (stream->type == UV_TCP)
        set_keepalive(stream_socket(stream), PROBE_IDLE_MS, PROBE_INTERVAL_MS);
    return (uint32_t)GetTickCount();
}

void platform_probe_end(uv_stream_t *stream, uint32_t keepalive)
{
    if (stream->type == UV_TCP)
        platform_tcp_keepalive((uv_tcp_t *)stream, keepalive);
}

enum liveness platform_liveness(uv_stream_t *stream, uint32_t before)
{
    if (stream->type == UV_NAMED_PIPE) /* on one machine the system knows */
        return PeekNamedPipe(stream_handle(stream), NULL, 0, NULL, NULL, NULL) ? LIVENESS_ALIVE
                                                                               : LIVENESS_DEAD;
    WSAPOLLFD poll_fd = {.fd = stream_socket(stream), .events = POLLWRNORM};
    if (WSAPoll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR)))
        return LIVENESS_DEAD;
    return (uint32_t)GetTickCount() - before >= PROBE_ANSWERED_MS ? LIVENESS_ALIVE
                                                                  : LIVENESS_UNKNOWN;
}

/* The grammar refuses unix: and unix-listen: on Windows; these are never called. */
void platform_unix_peer(uv_stream_t *stream, char *text, size_t size)
{
    (void)stream;
    snprintf(text, size, "a process");
}

int platform_clear_socket(const char *path)
{
    (void)path;
    return KD_E_UNSUPPORTED;
}

int platform_bind_unix(uv_pipe_t *pipe, const char *path, uint32_t mode)
{
    (void)pipe, (void)path, (void)mode;
    return UV_ENOTSUP;
}

void platform_ignore_sigpipe(void) /* Windows has none */
{
}
