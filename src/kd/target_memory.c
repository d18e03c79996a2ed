/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's breakpoints, and memory as the debugger is to see it: without them. Reads show the
 * bytes under a breakpoint and writes change those, as long as the breakpoint is still in memory;
 * a debuggee may have loaded other code there.
 */
#include <string.h>

#include "target_inside.h"

/* ---- Memory ---- */

/* The part of [address, address + size) that the breakpoint covers, as offsets into both. */
struct overlap {
    size_t in_range, in_breakpoint, size;
};

/* Works for ranges that wrap around the end of the address space: differences only. */
static bool overlaps(const struct kd_target_breakpoint *b, uint64_t address, size_t size,
                     struct overlap *o)
{
    if (!b->size || !size)
        return false;
    uint64_t ahead = b->address - address; /* the range starts before the breakpoint */
    uint64_t behind = address - b->address;
    if (ahead < size) {
        o->in_range = (size_t)ahead;
        o->in_breakpoint = 0;
        o->size = size - (size_t)ahead < b->size ? size - (size_t)ahead : b->size;
        return true;
    }
    if (behind < b->size) {
        o->in_range = 0;
        o->in_breakpoint = (size_t)behind;
        o->size = b->size - (size_t)behind < size ? b->size - (size_t)behind : size;
        return true;
    }
    return false;
}

static size_t write_code(struct kd_target *t, uint64_t address, const uint8_t *from, size_t size)
{
    if (t->ops->write_code)
        return t->ops->write_code(t->machine, address, from, size);
    return t->ops->write_virtual ? t->ops->write_virtual(t->machine, address, from, size) : 0;
}

static size_t read_raw(struct kd_target *t, uint64_t address, uint8_t *to, size_t size)
{
    return t->ops->read_virtual ? t->ops->read_virtual(t->machine, address, to, size) : 0;
}

/* Whether the breakpoint's bytes are still there; the debuggee may have loaded other code. */
static bool is_in_memory(struct kd_target *t, const struct kd_target_breakpoint *b)
{
    uint8_t now_there[KD_BREAKPOINT_BYTES_MAX];
    return read_raw(t, b->address, now_there, b->size) == b->size &&
           !memcmp(now_there, b->instruction, b->size);
}

size_t kd_target_read_shown(struct kd_target *t, uint64_t address, uint8_t *to, size_t size)
{
    size_t done = read_raw(t, address, to, size);
    struct overlap o;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        const struct kd_target_breakpoint *b = &t->breakpoints[i];
        if (overlaps(b, address, done, &o) && is_in_memory(t, b))
            memcpy(to + o.in_range, b->original + o.in_breakpoint, o.size);
    }
    return done;
}

size_t kd_target_write_shown(struct kd_target *t, uint64_t address, const uint8_t *from,
                             size_t size)
{
    uint32_t present = 0; /* before the write: it may hide the breakpoint's bytes */
    struct overlap o;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (overlaps(&t->breakpoints[i], address, size, &o) && is_in_memory(t, &t->breakpoints[i]))
            present |= 1u << i;
    }
    size_t done =
        t->ops->write_virtual ? t->ops->write_virtual(t->machine, address, from, size) : 0;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        struct kd_target_breakpoint *b = &t->breakpoints[i];
        if (!(present >> i & 1) || !overlaps(b, address, done, &o))
            continue;
        memcpy(b->original + o.in_breakpoint, from + o.in_range, o.size);
        write_code(t, b->address, b->instruction, b->size);
    }
    return done;
}

/* ---- Breakpoints ---- */

uint32_t kd_target_add_breakpoint(struct kd_target *t, uint64_t address, const uint8_t *instruction,
                                  size_t size)
{
    struct kd_target_breakpoint *unused = NULL;
    struct overlap o;
    for (size_t i = KD_BREAKPOINTS_MAX; i-- > 0;) {
        if (overlaps(&t->breakpoints[i], address, size, &o))
            return 0;
        if (!t->breakpoints[i].size)
            unused = &t->breakpoints[i];
    }
    if (!unused)
        return 0;
    if (t->ops->is_protected && t->ops->is_protected(t->machine, address, size))
        return 0;
    if (read_raw(t, address, unused->original, size) != size)
        return 0;
    size_t done = write_code(t, address, instruction, size);
    if (done != size) {
        write_code(t, address, unused->original, done);
        return 0;
    }
    unused->address = address;
    unused->size = (uint8_t)size;
    memcpy(unused->instruction, instruction, size);
    return (uint32_t)(unused - t->breakpoints) + 1;
}

static void remove_breakpoint(struct kd_target *t, struct kd_target_breakpoint *b)
{
    if (is_in_memory(t, b))
        write_code(t, b->address, b->original, b->size);
    b->size = 0;
}

bool kd_target_remove_handle(struct kd_target *t, uint32_t handle)
{
    if (handle < 1 || handle > KD_BREAKPOINTS_MAX || !t->breakpoints[handle - 1].size)
        return false;
    remove_breakpoint(t, &t->breakpoints[handle - 1]);
    return true;
}

void kd_target_remove_range(struct kd_target *t, uint64_t address, size_t size)
{
    struct overlap o;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (overlaps(&t->breakpoints[i], address, size, &o))
            remove_breakpoint(t, &t->breakpoints[i]);
    }
}

void kd_target_remove_breakpoints(struct kd_target *t)
{
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (t->breakpoints[i].size)
            remove_breakpoint(t, &t->breakpoints[i]);
    }
}

bool kd_target_has_breakpoint(const struct kd_target *t, uint64_t address)
{
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (t->breakpoints[i].size && t->breakpoints[i].address == address)
            return true;
    }
    return false;
}

void kd_target_forget_range(struct kd_target *t, uint64_t base, uint64_t size)
{
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (t->breakpoints[i].size && t->breakpoints[i].address - base < size)
            t->breakpoints[i].size = 0;
    }
}
