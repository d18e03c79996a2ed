/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A named pipe that is only written. Nobody tells a writer that a reader came, so the pipe is
 * opened again and again until there is one; that the reader went is told by the poll, and the
 * pipe is closed at once, so that the next reader starts with an empty one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../opener.h"

enum {
    FIFO_LOOK_MS = 20, /* a viewer does not notice so short a wait */
};

/* The poll of one connection on its own descriptor; lives until its handle is closed. */
struct fifo_watch {
    uv_poll_t poll;
    struct endpoint *endpoint;
    int fd;
};

struct fifo {
    struct opener opener;
    uv_timer_t look;
    struct fifo_watch *watch;
    bool made, timer_open;
};

static int prepare_fifo(struct endpoint *endpoint, char *message)
{
    struct fifo *fifo = (struct fifo *)endpoint->opener;
    const char *path = endpoint->spec.path;
    struct stat status;
    fifo->made = mkfifo(path, 0600) == 0;
    if (!fifo->made && (errno != EEXIST || stat(path, &status) < 0)) {
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.300s: cannot make the named pipe: %s", path,
                 strerror(errno));
        return KD_E_IO;
    }
    if (!fifo->made && !S_ISFIFO(status.st_mode)) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s is no named pipe; choose another path or remove it", path);
        return KD_E_EXISTS;
    }
    uv_timer_init(endpoint->loop, &fifo->look);
    fifo->look.data = endpoint;
    fifo->timer_open = true;
    endpoint_hold(endpoint);
    return KD_OK;
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct fifo_watch *watch = handle->data;
    struct endpoint *endpoint = watch->endpoint;
    close(watch->fd);
    free(watch);
    endpoint_release(endpoint);
}

static void stop_watch(struct endpoint *endpoint)
{
    struct fifo *fifo = (struct fifo *)endpoint->opener;
    if (fifo->watch)
        uv_close((uv_handle_t *)&fifo->watch->poll, on_watch_closed);
    fifo->watch = NULL;
}

static void on_reader_gone(uv_poll_t *poll, int status, int events)
{
    struct fifo_watch *watch = poll->data;
    if (status < 0 || (events & UV_DISCONNECT))
        endpoint_drop(watch->endpoint, "the reader closed the pipe");
}

static void start_watch(struct endpoint *endpoint, int fd)
{
    struct fifo *fifo = (struct fifo *)endpoint->opener;
    struct fifo_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return; /* then the next write tells */
    watch->endpoint = endpoint;
    watch->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (watch->fd < 0 || uv_poll_init(endpoint->loop, &watch->poll, watch->fd) < 0) {
        if (watch->fd >= 0)
            close(watch->fd);
        free(watch);
        return;
    }
    watch->poll.data = watch;
    endpoint_hold(endpoint);
    fifo->watch = watch;
    uv_poll_start(&watch->poll, UV_DISCONNECT, on_reader_gone);
}

static void look_for_reader(uv_timer_t *timer)
{
    struct endpoint *endpoint = timer->data;
    int fd = open(endpoint->spec.path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return; /* ENXIO: nobody reads */
    struct channel *channel = channel_new(endpoint->loop);
    if (!channel || channel_init_pipe(channel) < 0 || uv_pipe_open(&channel->in.pipe, fd) < 0) {
        if (channel)
            channel_close(channel);
        close(fd);
        return;
    }
    channel->write_only = true;
    uv_timer_stop(timer);
    start_watch(endpoint, fd);
    endpoint_opened(endpoint, channel, endpoint->spec.path);
}

static void attempt_fifo(struct endpoint *endpoint)
{
    struct fifo *fifo = (struct fifo *)endpoint->opener;
    uv_timer_start(&fifo->look, look_for_reader, 0, FIFO_LOOK_MS);
}

static void on_look_closed(uv_handle_t *handle)
{
    endpoint_release(handle->data);
}

static void close_fifo(struct endpoint *endpoint)
{
    struct fifo *fifo = (struct fifo *)endpoint->opener;
    stop_watch(endpoint);
    if (fifo->timer_open)
        uv_close((uv_handle_t *)&fifo->look, on_look_closed);
    fifo->timer_open = false;
    if (fifo->made)
        unlink(endpoint->spec.path);
}

static const struct opener_operations fifo_operations = {
    .prepare = prepare_fifo,
    .attempt = attempt_fifo,
    .lost = stop_watch,
    .close = close_fifo,
};

struct opener *opener_fifo(void)
{
    struct fifo *fifo = calloc(1, sizeof(*fifo));
    if (!fifo)
        return NULL;
    fifo->opener.operations = &fifo_operations;
    return &fifo->opener;
}
