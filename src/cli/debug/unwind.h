/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stack frames of x86-64 code by the unwind information of its PE images (.pdata), read from the
 * target's memory; where there is none, by what the stack looks like. The target's memory is
 * hostile: every loop is bounded and every address is only ever handed to `read`.
 */
#ifndef KDWIRE_DEBUG_UNWIND_H
#define KDWIRE_DEBUG_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    UNWIND_RSP = 4, /* places in `registers`, as the processor numbers them */
    UNWIND_RBP = 5,
    /* Chained unwind records: compilers make one or two, a circle would be for ever. */
    UNWIND_CHAIN_MAX = 16,
    /* Stack slots searched for a return address where nothing else tells. */
    UNWIND_SCAN_MAX = 256,
};

struct unwind_memory {
    bool (*read)(void *context, uint64_t address, uint8_t *to, size_t size);
    /* The image that holds ADDRESS. */
    bool (*image)(void *context, uint64_t address, uint64_t *base, uint64_t *size);
    void *context;
};

enum unwind_how {
    UNWIND_TABLE, /* unwind information, or a leaf function of an image that has some */
    UNWIND_GUESS, /* frame pointer or a search of the stack: may be wrong */
};

struct unwind_frame {
    uint64_t registers[16];
    uint64_t rip;
    enum unwind_how how; /* how this frame was found */
};

/* From a frame to its caller's, in place. false: no further frame. */
bool unwind_step(const struct unwind_memory *memory, struct unwind_frame *frame);

#endif
