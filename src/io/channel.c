/* SPDX-License-Identifier: BSD-2-Clause */
#include "channel.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(ENDPOINT_QUEUE_HIGH + ENDPOINT_READ_MAX <= ENDPOINT_QUEUE_MAX,
               "the read that fills the queue must fit");

struct channel *channel_new(uv_loop_t *loop)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    if (!channel)
        return NULL;
    channel->read_buffer = malloc(ENDPOINT_READ_MAX);
    uint8_t *queue = malloc(ENDPOINT_QUEUE_MAX); /* costs no memory until it is used */
    if (!channel->read_buffer || !queue) {
        free(channel->read_buffer);
        free(queue);
        free(channel);
        return NULL;
    }
    ring_init(&channel->queue, queue, ENDPOINT_QUEUE_MAX);
    channel->loop = loop;
    channel->progress = uv_now(loop);
    channel->in.stream.data = channel;
    return channel;
}

struct channel *channel_new_driven(uv_loop_t *loop, const struct channel_driver *driver,
                                   void *context)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    if (!channel)
        return NULL;
    channel->loop = loop;
    channel->progress = uv_now(loop);
    channel->driver = driver;
    channel->driver_context = context;
    return channel;
}

int channel_init_tcp(struct channel *channel)
{
    int rc = uv_tcp_init(channel->loop, &channel->in.tcp);
    if (rc < 0)
        return rc;
    channel->in.stream.data = channel;
    channel->out = &channel->in.stream;
    channel->handles = 1;
    return 0;
}

int channel_init_pipe(struct channel *channel)
{
    int rc = uv_pipe_init(channel->loop, &channel->in.pipe, 0);
    if (rc < 0)
        return rc;
    channel->in.stream.data = channel;
    channel->out = &channel->in.stream;
    channel->handles = 1;
    return 0;
}

int channel_init_out(struct channel *channel)
{
    int rc = uv_pipe_init(channel->loop, &channel->second, 0);
    if (rc < 0)
        return rc;
    channel->second.data = channel;
    channel->out = (uv_stream_t *)&channel->second;
    channel->handles++;
    return 0;
}

static const char *gone_reason(int error)
{
    switch (error) {
    case UV_EOF:
        return "the other side closed the connection";
    case UV_ECONNRESET:
        return "the other side reset the connection";
    case UV_ETIMEDOUT:
        return "the other side does not answer any more (time-out)";
    case UV_EPIPE:
        return "the other side no longer reads";
    default:
        return uv_strerror(error);
    }
}

static void stop_reading(struct channel *channel)
{
    if (channel->reading && channel->driver && channel->driver->pause)
        channel->driver->pause(channel);
    else if (channel->reading && !channel->driver)
        uv_read_stop(&channel->in.stream);
    channel->reading = false;
}

static void report_gone(struct channel *channel, int error)
{
    stop_reading(channel);
    channel->broken = true;
    channel->paused = true;
    channel->on.gone(channel, gone_reason(error));
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct channel *channel = handle->data;
    (void)suggested;
    *buffer = uv_buf_init((char *)channel->read_buffer, ENDPOINT_READ_MAX);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct channel *channel = stream->data;
    if (count > 0)
        channel->on.data(channel, (const uint8_t *)buffer->base, (size_t)count);
    else if (count < 0)
        report_gone(channel, (int)count);
}

static int start_reading(struct channel *channel)
{
    if (channel->reading || channel->paused || channel->write_only || channel->closing)
        return 0;
    if (channel->driver) {
        channel->reading = true;
        channel->driver->resume(channel);
        return 0;
    }
    int rc = uv_read_start(&channel->in.stream, give_buffer, on_read);
    channel->reading = rc == 0;
    return rc;
}

int channel_start(struct channel *channel, const struct channel_callbacks *callbacks, void *context)
{
    channel->on = *callbacks;
    channel->context = context;
    return start_reading(channel);
}

/*
 * The way out has failed. On a socket what the peer sent before can still be read, and the way in
 * will tell the end after it; a child that closed its input, or a reader of our output that went
 * away, tells nothing more: then this is the end.
 */
static void way_out_failed(struct channel *channel, int error)
{
    channel->lost += channel->queue.size;
    ring_take(&channel->queue, channel->queue.size);
    channel->broken = true;
    if (channel->out != &channel->in.stream || channel->write_only || channel->driver) {
        report_gone(channel, error);
        return;
    }
    if (channel->above_high) {
        channel->above_high = false;
        channel->on.drained(channel);
    }
}

/* libuv only reads what it writes, but its buffers are not const. */
static uv_buf_t buffer_of(const uint8_t *bytes, size_t size)
{
    union {
        const uint8_t *given;
        char *taken;
    } pointer = {bytes};
    return uv_buf_init(pointer.taken, (unsigned)size);
}

static void send_queue(struct channel *channel);

static void written(struct channel *channel, int status)
{
    channel->writing = false;
    if (channel->closing)
        return;
    if (status < 0) {
        way_out_failed(channel, status);
        return;
    }
    channel->progress = uv_now(channel->loop);
    ring_take(&channel->queue, channel->in_flight);
    if (channel->queue.size)
        send_queue(channel);
    if (channel->above_high && channel->queue.size <= ENDPOINT_QUEUE_LOW) {
        channel->above_high = false;
        channel->on.drained(channel);
    }
}

static void on_written(uv_write_t *request, int status)
{
    written(request->data, status);
}

static int begin_write(struct channel *channel, const uint8_t *bytes, size_t size)
{
    if (channel->driver)
        return channel->driver->send(channel, bytes, size);
    uv_buf_t buffer = buffer_of(bytes, size);
    channel->write_request.data = channel;
    return uv_write(&channel->write_request, channel->out, &buffer, 1, on_written);
}

static void send_queue(struct channel *channel)
{
    const uint8_t *bytes;
    channel->in_flight = ring_peek(&channel->queue, &bytes);
    channel->writing = true;
    int rc = begin_write(channel, bytes, channel->in_flight);
    if (rc < 0) { /* only for a handle that cannot be written at all */
        channel->writing = false;
        channel->lost += channel->queue.size;
        ring_take(&channel->queue, channel->queue.size);
        channel->broken = true;
    }
}

int channel_write(struct channel *channel, const uint8_t *bytes, size_t size)
{
    if (channel->closing || channel->broken)
        return KD_E_CLOSED;
    if (channel->driver && channel->driver->write)
        return channel->driver->write(channel, bytes, size);
    if (size > ring_room(&channel->queue))
        return KD_E_NO_SPACE;
    if (!channel->queue.size)
        channel->progress = uv_now(channel->loop);
    if (!channel->queue.size && !channel->driver) {
        uv_buf_t buffer = buffer_of(bytes, size);
        int sent = uv_try_write(channel->out, &buffer, 1);
        if (sent == (int)size)
            return 0;
        if (sent > 0) { /* an error is met again by send_queue, and told in its callback */
            bytes += sent;
            size -= (size_t)sent;
        }
    }
    ring_put(&channel->queue, bytes, size);
    if (channel->queue.size > ENDPOINT_QUEUE_HIGH)
        channel->above_high = true;
    if (!channel->writing)
        send_queue(channel);
    return channel->broken ? KD_E_CLOSED : (int)channel->queue.size;
}

size_t channel_queued(const struct channel *channel)
{
    return channel->queue.size;
}

size_t channel_unsent(const struct channel *channel)
{
    return channel->queue.size + channel->lost;
}

void channel_pause(struct channel *channel)
{
    channel->paused = true;
    stop_reading(channel);
}

void channel_resume(struct channel *channel)
{
    channel->paused = false;
    if (channel->on.data)
        start_reading(channel);
}

static void free_channel(struct channel *channel)
{
    if (channel->on.closed)
        channel->on.closed(channel);
    free(channel->queue.bytes);
    free(channel->read_buffer);
    free(channel);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct channel *channel = handle->data;
    if (--channel->handles == 0)
        free_channel(channel);
}

void channel_close(struct channel *channel)
{
    channel->closing = true;
    if (channel->driver && !channel->driver->close(channel))
        return; /* channel_driver_closed comes */
    if (!channel->handles) {
        free_channel(channel);
        return;
    }
    bool pair = channel->handles == 2;
    uv_close((uv_handle_t *)&channel->in.stream, on_handle_closed);
    if (pair)
        uv_close((uv_handle_t *)&channel->second, on_handle_closed);
}

/* ---- for drivers that send ---- */

void channel_driver_data(struct channel *channel, const uint8_t *bytes, size_t size)
{
    channel->on.data(channel, bytes, size);
}

void channel_driver_gone(struct channel *channel, int error)
{
    report_gone(channel, error);
}

void channel_driver_sent(struct channel *channel, int error)
{
    written(channel, error);
}

void channel_driver_closed(struct channel *channel)
{
    free_channel(channel);
}
