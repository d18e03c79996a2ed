/* SPDX-License-Identifier: BSD-2-Clause */
/* What sockets can do on POSIX systems and libuv does not offer. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../opener.h"
#include "segments.h"

enum {
    KEEPALIVE_PROBES = 3, /* that may stay without an answer: one lost packet is no death */
};

static int stream_fd(const uv_stream_t *stream)
{
    uv_os_fd_t fd = -1;
    uv_fileno((const uv_handle_t *)stream, &fd);
    return fd;
}

static void set_tcp(int fd, int option, unsigned value)
{
    int number = (int)value;
    setsockopt(fd, IPPROTO_TCP, option, &number, sizeof(number));
}

static void set_keepalive(int fd, unsigned idle, unsigned interval)
{
    int on = idle > 0;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (!on)
        return;
    set_tcp(fd, TCP_KEEPINTVL, interval);
    set_tcp(fd, TCP_KEEPCNT, KEEPALIVE_PROBES);
    set_tcp(fd, TCP_KEEPIDLE, idle);
}

void platform_tcp_keepalive(uv_tcp_t *tcp, uint32_t seconds)
{
    int fd = stream_fd((const uv_stream_t *)tcp);
    uint32_t interval = seconds / KEEPALIVE_PROBES;
    set_keepalive(fd, seconds, interval ? interval : 1);
#ifdef TCP_USER_TIMEOUT
    set_tcp(fd, TCP_USER_TIMEOUT, seconds * 2000); /* ms; 0 leaves it to the system */
#endif
}

uint32_t platform_probe_begin(uv_stream_t *stream)
{
    if (stream->type != UV_TCP)
        return 0;
    set_keepalive(stream_fd(stream), 1, 1);
    return tcp_segments_in(stream_fd(stream));
}

void platform_probe_end(uv_stream_t *stream, uint32_t keepalive)
{
    if (stream->type == UV_TCP)
        platform_tcp_keepalive((uv_tcp_t *)stream, keepalive);
}

enum liveness platform_liveness(uv_stream_t *stream, uint32_t before)
{
    struct pollfd poll_fd = {.fd = stream_fd(stream), .events = POLLRDHUP};
    if (poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)))
        return LIVENESS_DEAD;
    if (stream->type != UV_TCP)
        return LIVENESS_ALIVE; /* on one machine the system knows */
    return tcp_segments_in(poll_fd.fd) != before ? LIVENESS_ALIVE : LIVENESS_UNKNOWN;
}

void platform_unix_peer(uv_stream_t *stream, char *text, size_t size)
{
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (getsockopt(stream_fd(stream), SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 &&
        credentials.pid > 0)
        snprintf(text, size, "process %ld", (long)credentials.pid);
    else
        snprintf(text, size, "a process");
}

int platform_clear_socket(const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return KD_OK;
    if (!S_ISSOCK(status.st_mode))
        return KD_E_EXISTS;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path))
        return KD_E_ARGUMENT;
    memcpy(address.sun_path, path, length + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return KD_E_IO;
    int rc = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    bool stale = rc < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return KD_E_BUSY;
    return unlink(path) < 0 ? KD_E_IO : KD_OK;
}

static bool folder_exists(const char *path)
{
    char folder[ENDPOINT_TEXT_MAX];
    struct stat status;
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return true;
    slash[slash == folder ? 1 : 0] = '\0';
    return stat(folder, &status) == 0;
}

int platform_bind_unix(uv_pipe_t *pipe, const char *path, uint32_t mode)
{
    mode_t before = umask((mode_t)(~mode & 0777));
    int rc = uv_pipe_bind(pipe, path);
    umask(before);
    if (rc == UV_EACCES && !folder_exists(path)) /* libuv says EACCES for both */
        return UV_ENOENT;
    return rc;
}

void platform_ignore_sigpipe(void)
{
    signal(SIGPIPE, SIG_IGN);
}
