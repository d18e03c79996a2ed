/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A channel: one connected two-way byte pipe with a bounded send queue. Endpoints make channels;
 * most callers use endpoint.h and never see one. Observers of a session are channels.
 *
 * Life: channel_new, one of the channel_init functions, the handle is connected by libuv calls,
 * channel_start, ..., channel_close. The channel frees itself; `closed` is the last callback.
 */
#ifndef KDWIRE_IO_CHANNEL_H
#define KDWIRE_IO_CHANNEL_H

#include "endpoint.h"
#include "ring.h"

struct channel_callbacks {
    void (*data)(struct channel *channel, const uint8_t *bytes, size_t size);
    /* The peer is gone; comes once, nothing after it. The callee calls channel_close. */
    void (*gone)(struct channel *channel, const char *reason);
    void (*drained)(struct channel *channel); /* as in endpoint.h */
    void (*closed)(struct channel *channel);  /* the memory is freed after it; may be NULL */
};

/* What moves the bytes of a channel that is no stream of libuv: KDNET's is made of packets, a COM
 * port is none on Windows. Nothing is called back before the call from the channel has returned. */
struct channel_driver {
    /* One of the two. write: as channel_write, the driver has a queue of its own. send: sends bytes
     * of the channel's queue, which stay until channel_driver_sent; returns a libuv error. */
    int (*write)(struct channel *channel, const uint8_t *bytes, size_t size);
    int (*send)(struct channel *channel, const uint8_t *bytes, size_t size);
    /* Data may be given out from now on (unless channel->paused). */
    void (*resume)(struct channel *channel);
    /* No more data, until resume. May be NULL where channel->paused is looked at. */
    void (*pause)(struct channel *channel);
    /* The memory goes away, now if the result is true, or after channel_driver_closed. */
    bool (*close)(struct channel *channel);
};

struct channel {
    void *context; /* the user's */
    /* Private: */
    uv_loop_t *loop;
    struct channel_callbacks on;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } in;
    uv_pipe_t second; /* the way out, when it is not the way in */
    uv_stream_t *out; /* &in.stream or &second */
    unsigned handles; /* open ones */
    bool reading;     /* uv_read_start was called */
    bool paused;      /* by the user */
    bool write_only;  /* nothing can be read: the way out is all there is */
    bool broken;      /* the way out failed; the way in may still hold bytes */
    bool closing;
    bool above_high; /* the drained callback is owed */
    bool writing;    /* write_request is under way */
    uv_write_t write_request;
    size_t in_flight;  /* bytes of the queue that write_request covers */
    struct ring queue; /* ENDPOINT_QUEUE_MAX bytes */
    size_t lost;       /* bytes given up when the way out broke */
    uint64_t progress; /* uv_now when bytes last left or the queue was last empty, ms */
    uint8_t *read_buffer;
    const struct channel_driver *driver; /* NULL: it is a stream */
    void *driver_context;
};

/* NULL when there is no memory. */
struct channel *channel_new(uv_loop_t *loop);

/* One that DRIVER moves; it has no handle. NULL when there is no memory. */
struct channel *channel_new_driven(uv_loop_t *loop, const struct channel_driver *driver,
                                   void *context);

/* Makes the handle; to be connected, accepted or opened by the caller. */
int channel_init_tcp(struct channel *channel);
int channel_init_pipe(struct channel *channel);
/* A second handle for the way out (a child's standard input, our standard output). */
int channel_init_out(struct channel *channel);

/* Starts reading (unless paused or write_only, which is set before). */
int channel_start(struct channel *channel, const struct channel_callbacks *callbacks,
                  void *context);

/* As endpoint_write, endpoint_queued, endpoint_pause and endpoint_resume. */
int channel_write(struct channel *channel, const uint8_t *bytes, size_t size);
size_t channel_queued(const struct channel *channel);
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);

/* Bytes taken that never left, whether still queued or given up. */
size_t channel_unsent(const struct channel *channel);

/* To be called once for each channel_new; queued bytes are discarded. */
void channel_close(struct channel *channel);

/* Called by drivers that send. ERROR is a libuv error; 0: all of the bytes have left. */
void channel_driver_data(struct channel *channel, const uint8_t *bytes, size_t size);
void channel_driver_gone(struct channel *channel, int error);
void channel_driver_sent(struct channel *channel, int error);
void channel_driver_closed(struct channel *channel);

#endif
