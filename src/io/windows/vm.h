/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmbus: and hvsock: have in common: to find their VM and to do there what may block, on a
 * thread of libuv's pool.
 *
 *   the result of either step     what happens to the endpoint
 *   KD_OK                         `done`
 *   not found, several of the     gives up: a person must do something first; but a VM that was
 *   name, no Hyper-V, refused     found before may come again
 *   anything else                 failed: tried again
 */
#ifndef KDWIRE_IO_WINDOWS_VM_H
#define KDWIRE_IO_WINDOWS_VM_H

#include "../opener.h"

struct vm_work {
    /* On the thread, once the VM is found; touches the kind's own opener only. MESSAGE as
     * endpoint_failed's reason without the endpoint's name. */
    int (*step)(struct endpoint *endpoint, const struct vmbus_guid *vm, char *message);
    /* On the loop after it; the endpoint may have been closed meanwhile. */
    void (*done)(struct endpoint *endpoint);
    /* Private: */
    uv_work_t work;
    bool working, known;
    int result;
    struct vmbus_guid vm;
    char message[ENDPOINT_MESSAGE_MAX];
};

/* Starts it, unless it is at work already. */
void vm_work_start(struct vm_work *work, struct endpoint *endpoint);
void vm_work_close(struct vm_work *work);

#endif
