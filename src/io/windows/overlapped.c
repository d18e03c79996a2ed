/* SPDX-License-Identifier: BSD-2-Clause */
#include "overlapped.h"

#include <string.h>

#include "error.h"

static void begin_read(struct overlapped *o, enum overlapped_state what, DWORD size);

static DWORD way_result(struct overlapped *o, struct overlapped_way *way, DWORD *size)
{
    *size = 0;
    if (!way->pending)
        return ERROR_IO_INCOMPLETE; /* an event of the operation before */
    DWORD error =
        GetOverlappedResult(o->handle, &way->overlapped, size, FALSE) ? 0 : GetLastError();
    if (error != ERROR_IO_INCOMPLETE)
        way->pending = false;
    return error == ERROR_MORE_DATA ? 0 : error; /* a part of a message: the rest comes next */
}

static void give_held(struct overlapped *o)
{
    DWORD size = o->held;
    o->held = 0;
    o->state = OVERLAPPED_IDLE;
    if (size)
        o->use->data(o->context, o->buffer, size);
}

static void read_done(struct overlapped *o, DWORD size)
{
    DWORD more = 0, room;
    o->held += size;
    room = ENDPOINT_READ_MAX - o->held;
    if (o->use->waiting && o->state == OVERLAPPED_FIRST && size)
        more = o->use->waiting(o->handle);
    if (more > room)
        more = room;
    if (more)
        begin_read(o, OVERLAPPED_REST, more);
    else
        o->state = OVERLAPPED_HELD;
}

static void read_failed(struct overlapped *o, int error)
{
    o->state = OVERLAPPED_IDLE;
    o->wanted = false;
    o->use->gone(o->context, error);
}

static void on_read(struct waiter *waiter)
{
    struct overlapped *o = waiter->context;
    if (o->state == OVERLAPPED_FIRST || o->state == OVERLAPPED_REST) {
        DWORD size = 0;
        DWORD error = o->error ? o->error : way_result(o, &o->in, &size);
        if (error == ERROR_IO_INCOMPLETE)
            return;
        if (error)
            read_failed(o, uv_translate_sys_error((int)error));
        else if (!size && o->use->empty_is_end)
            read_failed(o, UV_EOF);
        else
            read_done(o, size);
    }
    if (o->state == OVERLAPPED_HELD && o->wanted)
        give_held(o);
    if (o->state == OVERLAPPED_IDLE && o->wanted)
        begin_read(o, OVERLAPPED_FIRST, o->use->first);
}

static void begin_read(struct overlapped *o, enum overlapped_state what, DWORD size)
{
    memset(&o->in.overlapped, 0, sizeof(o->in.overlapped));
    o->in.overlapped.hEvent = o->in.waiter.event;
    o->in.pending = true;
    o->state = what;
    /* Also a read that ends at once signals the event: one way to go on. */
    if (ReadFile(o->handle, o->buffer + o->held, size, NULL, &o->in.overlapped) ||
        GetLastError() == ERROR_IO_PENDING || GetLastError() == ERROR_MORE_DATA)
        return;
    o->in.pending = false;
    o->error = GetLastError();
    SetEvent(o->in.waiter.event);
}

void overlapped_resume(struct overlapped *o)
{
    o->wanted = true;
    if (o->state == OVERLAPPED_HELD) /* from a callback of its own, as bytes always come */
        SetEvent(o->in.waiter.event);
    else if (o->state == OVERLAPPED_IDLE)
        begin_read(o, OVERLAPPED_FIRST, o->use->first);
}

void overlapped_pause(struct overlapped *o)
{
    o->wanted = false;
}

static int continue_write(struct overlapped *o)
{
    memset(&o->out.overlapped, 0, sizeof(o->out.overlapped));
    o->out.overlapped.hEvent = o->out.waiter.event;
    o->out.pending = true;
    if (WriteFile(o->handle, o->out_bytes, (DWORD)o->out_left, NULL, &o->out.overlapped) ||
        GetLastError() == ERROR_IO_PENDING)
        return 0;
    o->out.pending = false;
    return last_error();
}

int overlapped_send(struct overlapped *o, const uint8_t *bytes, size_t size)
{
    o->out_bytes = bytes;
    o->out_left = size;
    return continue_write(o);
}

static void on_written(struct waiter *waiter)
{
    struct overlapped *o = waiter->context;
    DWORD size;
    DWORD error = way_result(o, &o->out, &size);
    if (error == ERROR_IO_INCOMPLETE)
        return;
    o->out_bytes += size;
    o->out_left -= size;
    int rc = error ? uv_translate_sys_error((int)error) : 0;
    if (!rc && o->out_left)
        rc = continue_write(o); /* a driver may take a part */
    if (rc || !o->out_left)
        o->use->sent(o->context, rc);
}

static void on_waiter_closed(struct waiter *waiter)
{
    struct overlapped *o = waiter->context;
    if (--o->waiters == 0)
        o->use->closed(o->context);
}

static void end_way(struct overlapped *o, struct overlapped_way *way)
{
    DWORD size;
    waiter_stop(&way->waiter);
    if (way->pending) {
        CancelIoEx(o->handle, &way->overlapped);
        GetOverlappedResult(o->handle, &way->overlapped, &size, TRUE);
    }
}

void overlapped_close(struct overlapped *o)
{
    o->wanted = false;
    end_way(o, &o->in);
    end_way(o, &o->out);
    CloseHandle(o->handle);
    waiter_close(&o->in.waiter, on_waiter_closed);
    waiter_close(&o->out.waiter, on_waiter_closed);
}

bool overlapped_init(struct overlapped *o, uv_loop_t *loop, HANDLE handle, uint8_t *buffer,
                     const struct overlapped_use *use, void *context)
{
    memset(o, 0, sizeof(*o));
    o->handle = handle;
    o->buffer = buffer;
    o->use = use;
    o->context = context;
    if (waiter_init(loop, &o->in.waiter, on_read, o) < 0) {
        use->closed(context);
        return false;
    }
    o->waiters = 1;
    if (waiter_init(loop, &o->out.waiter, on_written, o) < 0) {
        waiter_close(&o->in.waiter, on_waiter_closed);
        return false;
    }
    o->waiters = 2;
    return true;
}
