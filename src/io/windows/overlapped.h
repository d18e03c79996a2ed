/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes both ways over a handle that was opened for overlapped I/O and is no pipe or socket of
 * libuv's: COM ports, VMBus channels. Events wake the loop; every callback comes from it.
 *
 *   read     event                      next     what happens
 *   idle     wanted                     first    ReadFile of what a read waits for
 *   first    bytes, more has come       rest     ReadFile of that
 *   first    bytes, wanted              first    given out; ReadFile again
 *   rest     bytes, wanted              first    the same
 *   either   bytes, not wanted          held     kept in the one buffer until wanted
 *   either   error                      idle     told that the handle is gone
 *   held     wanted                     first    given out; ReadFile again
 *   any      close                      closed   cancelled, waited for
 */
#ifndef KDWIRE_IO_WINDOWS_OVERLAPPED_H
#define KDWIRE_IO_WINDOWS_OVERLAPPED_H

#include "../channel.h"
#include "waiter.h"

struct overlapped;

struct overlapped_use {
    DWORD
    first; /* bytes that a read asks for: it ends when so many came, or what the driver likes */
    /* How many more have come; NULL: a read takes all there is. */
    DWORD (*waiting)(HANDLE handle);
    bool empty_is_end; /* a read of no bytes: the other side has closed its end */
    /* Bytes; they stay valid until the next read, so during the call. */
    void (*data)(void *context, const uint8_t *bytes, size_t size);
    /* ERROR is a libuv error. */
    void (*gone)(void *context, int error);
    void (*sent)(void *context, int error); /* all of overlapped_send's bytes, or an error */
    void (*closed)(void *context);          /* the memory is the user's again */
};

/* One of the two directions. */
struct overlapped_way {
    struct waiter waiter;
    OVERLAPPED overlapped;
    bool pending;
};

enum overlapped_state {
    OVERLAPPED_IDLE,
    OVERLAPPED_FIRST,
    OVERLAPPED_REST,
    OVERLAPPED_HELD,
};

struct overlapped {
    /* Private: */
    HANDLE handle;
    const struct overlapped_use *use;
    void *context;
    uint8_t *buffer; /* of ENDPOINT_READ_MAX bytes, the user's */
    struct overlapped_way in, out;
    int waiters;
    enum overlapped_state state;
    bool wanted;
    DWORD error;     /* why a read could not begin */
    DWORD held;      /* bytes in the buffer */
    size_t out_left; /* bytes of the present write that have not left */
    const uint8_t *out_bytes;
};

/* Takes over HANDLE. False without memory: then not, and `closed` has come or comes. */
bool overlapped_init(struct overlapped *overlapped, uv_loop_t *loop, HANDLE handle, uint8_t *buffer,
                     const struct overlapped_use *use, void *context);
/* Data may be given out from now on; not before the call has returned. */
void overlapped_resume(struct overlapped *overlapped);
void overlapped_pause(struct overlapped *overlapped);
/* One write at a time: the bytes stay until `sent`. Returns a libuv error. */
int overlapped_send(struct overlapped *overlapped, const uint8_t *bytes, size_t size);
/* Cancels what is under way and closes the handle at once; `closed` comes from the loop. */
void overlapped_close(struct overlapped *overlapped);

#endif
