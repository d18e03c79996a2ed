/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells the loop of a kernel event: what libuv offers for its own handles only. A thread of the
 * system's pool waits; the callback runs on the loop's thread.
 */
#ifndef KDWIRE_IO_WINDOWS_WAITER_H
#define KDWIRE_IO_WINDOWS_WAITER_H

#include <stdbool.h>
#include <uv.h>

struct waiter {
    void *context; /* the user's */
    HANDLE event; /* signal it, or give it to an overlapped operation; auto-reset (or the object) */
    /* Private: */
    uv_async_t async;
    HANDLE wait;
    void (*ready)(struct waiter *waiter);
    void (*closed)(struct waiter *waiter);
};

/* READY is called once or more after each time the event was signalled, until waiter_close. The
 * memory is the caller's and must stay until CLOSED ran. Returns a libuv error. */
int waiter_init(uv_loop_t *loop, struct waiter *waiter, void (*ready)(struct waiter *waiter),
                void *context);

/* The same for OBJECT, which is signalled once and for ever, as a process that has ended: READY is
 * called once. From now on it belongs to the waiter, which is to be closed also when this fails. */
int waiter_init_once(uv_loop_t *loop, struct waiter *waiter, HANDLE object,
                     void (*ready)(struct waiter *waiter), void *context);

/* READY is not called any more; the event may now be waited for by others. */
void waiter_stop(struct waiter *waiter);

/* To be called once, in the end; closes the event. */
void waiter_close(struct waiter *waiter, void (*closed)(struct waiter *waiter));

#endif
