/* SPDX-License-Identifier: BSD-2-Clause */
#include "waiter.h"

#include <string.h>

#include "error.h"

static void CALLBACK on_signalled(void *context, BOOLEAN timed_out)
{
    struct waiter *waiter = context;
    (void)timed_out;
    uv_async_send(&waiter->async);
}

static void on_async(uv_async_t *async)
{
    struct waiter *waiter = async->data;
    if (waiter->wait)
        waiter->ready(waiter);
}

/* Returns a libuv error. */
static int begin(struct waiter *waiter, ULONG how)
{
    if (RegisterWaitForSingleObject(&waiter->wait, waiter->event, on_signalled, waiter, INFINITE,
                                    WT_EXECUTEINWAITTHREAD | how))
        return 0;
    return last_error();
}

int waiter_init(uv_loop_t *loop, struct waiter *waiter, void (*ready)(struct waiter *waiter),
                void *context)
{
    memset(waiter, 0, sizeof(*waiter));
    waiter->context = context;
    waiter->ready = ready;
    waiter->event = CreateEventW(NULL, FALSE, FALSE, NULL);
    if (!waiter->event)
        return last_error();
    int rc = begin(waiter, 0);
    if (rc < 0) {
        CloseHandle(waiter->event);
        return rc;
    }
    waiter->async.data = waiter;
    uv_async_init(loop, &waiter->async, on_async); /* fails on no system */
    return 0;
}

int waiter_init_once(uv_loop_t *loop, struct waiter *waiter, HANDLE object,
                     void (*ready)(struct waiter *waiter), void *context)
{
    memset(waiter, 0, sizeof(*waiter));
    waiter->context = context;
    waiter->ready = ready;
    waiter->event = object;
    waiter->async.data = waiter;
    uv_async_init(loop, &waiter->async, on_async); /* first: it may be signalled already */
    return begin(waiter, WT_EXECUTEONLYONCE);
}

static void on_closed(uv_handle_t *handle)
{
    struct waiter *waiter = handle->data;
    waiter->closed(waiter);
}

void waiter_stop(struct waiter *waiter)
{
    if (waiter->wait)
        UnregisterWaitEx(waiter->wait, INVALID_HANDLE_VALUE); /* waits for a callback that runs */
    waiter->wait = NULL;
}

void waiter_close(struct waiter *waiter, void (*closed)(struct waiter *waiter))
{
    waiter->closed = closed;
    waiter_stop(waiter);
    CloseHandle(waiter->event);
    uv_close((uv_handle_t *)&waiter->async, on_closed);
}
