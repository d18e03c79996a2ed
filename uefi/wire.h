/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire to the debugger, whatever carries it. None of these waits. */
#ifndef KDWIRE_UEFI_WIRE_H
#define KDWIRE_UEFI_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_ops {
    /* Takes what has come, at most SIZE bytes. */
    size_t (*read)(void *port, uint8_t *to, size_t size);
    /* Gives away what can be taken now; returns the bytes taken. *RECEIVED: bytes wait to be read;
     * may be NULL. */
    size_t (*write)(void *port, const uint8_t *from, size_t size, bool *received);
    /* Whether reading may find something. */
    bool (*ready)(void *port);
};

struct wire {
    const struct wire_ops *ops; /* NULL: there is no wire */
    void *port;
};

#endif
