/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"
#include "shared.h"

enum {
    ALIGNMENT = 8,
    GAP = 8,      /* never filled: write == read means empty */
    RESERVE = 16, /* OpenVMM refuses a packet of size - 8 and more */
};

void vmbus_ring_init(struct vmbus_ring *ring, void *pages, uint32_t size, bool sending,
                     bool wants_no_signal)
{
    memset(ring, 0, sizeof *ring);
    memset(pages, 0, VMBUS_PAGE + (size_t)size);
    ring->control = pages;
    ring->data = ring->control + VMBUS_PAGE;
    ring->size = size;
    if (sending)
        kd_put_u32(ring->control + VMBUS_RING_FEATURES, VMBUS_FEATURE_PENDING_SIZE);
    else if (wants_no_signal)
        kd_put_u32(ring->control + VMBUS_RING_MASK, 1);
}

static bool possible(const struct vmbus_ring *ring, uint32_t index)
{
    return index < ring->size && index % ALIGNMENT == 0;
}

static uint32_t used(const struct vmbus_ring *ring, uint32_t write, uint32_t read)
{
    return write >= read ? write - read : ring->size - (read - write);
}

static uint32_t room(const struct vmbus_ring *ring, uint32_t write, uint32_t read)
{
    return ring->size - GAP - used(ring, write, read);
}

static uint32_t advance(const struct vmbus_ring *ring, uint32_t at, uint32_t by)
{
    return by < ring->size - at ? at + by : by - (ring->size - at);
}

static uint32_t round_up(uint32_t size)
{
    return (size + ALIGNMENT - 1) & ~(uint32_t)(ALIGNMENT - 1);
}

uint32_t vmbus_ring_payload_max(const struct vmbus_ring *ring)
{
    return ring->size - RESERVE - VMBUS_DESCRIPTOR - VMBUS_TRAILER;
}

/* ---- Sending ---- */

/* Writes SIZE bytes at AT, around the end; returns the offset behind them. */
static uint32_t put(struct vmbus_ring *ring, uint32_t at, const void *from, size_t size)
{
    const uint8_t *bytes = from;
    size_t first = ring->size - at;

    if (size < first) {
        memcpy(ring->data + at, bytes, size);
        return at + (uint32_t)size;
    }
    memcpy(ring->data + at, bytes, first);
    memcpy(ring->data, bytes + first, size - first);
    return (uint32_t)(size - first);
}

static int find_room(struct vmbus_ring *ring, uint32_t total)
{
    uint32_t read = shared_load(ring->control + VMBUS_RING_READ);

    if (!possible(ring, read))
        return KD_E_FORMAT;
    if (room(ring, ring->index, read) >= total)
        return KD_OK;
    /* Ask, then look again: the host may have made room before it saw that we wait. */
    shared_store(ring->control + VMBUS_RING_PENDING, total);
    shared_barrier();
    read = shared_load(ring->control + VMBUS_RING_READ);
    if (!possible(ring, read))
        return KD_E_FORMAT;
    return room(ring, ring->index, read) >= total ? KD_OK : KD_E_NO_SPACE;
}

int vmbus_ring_send(struct vmbus_ring *ring, const struct vmbus_packet *packet,
                    const struct vmbus_piece *pieces, unsigned count, bool *signal)
{
    static const uint8_t zeros[ALIGNMENT];
    uint8_t descriptor[VMBUS_DESCRIPTOR], trailer[VMBUS_TRAILER];
    uint32_t payload = 0, length, at, before = ring->index;
    int rc;

    *signal = false;
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].size > vmbus_ring_payload_max(ring) - payload)
            return KD_E_TOO_LONG;
        payload += (uint32_t)pieces[i].size;
    }
    length = VMBUS_DESCRIPTOR + round_up(payload);
    rc = find_room(ring, length + VMBUS_TRAILER);
    if (rc != 0)
        return rc;

    kd_put_u16(descriptor, packet->type);
    kd_put_u16(descriptor + 2, VMBUS_DESCRIPTOR / ALIGNMENT);
    kd_put_u16(descriptor + 4, (uint16_t)(length / ALIGNMENT));
    kd_put_u16(descriptor + 6, packet->flags);
    kd_put_u64(descriptor + 8, packet->transaction);
    at = put(ring, before, descriptor, sizeof descriptor);
    for (unsigned i = 0; i < count; i++)
        at = put(ring, at, pieces[i].bytes, pieces[i].size);
    at = put(ring, at, zeros, length - VMBUS_DESCRIPTOR - payload);
    kd_put_u32(trailer, 0);
    kd_put_u32(trailer + 4, before);
    at = put(ring, at, trailer, sizeof trailer);

    ring->index = at;
    shared_store(ring->control + VMBUS_RING_WRITE, at);
    shared_barrier();
    *signal = shared_load(ring->control + VMBUS_RING_MASK) == 0;
    if (shared_load(ring->control + VMBUS_RING_READ) != before)
        *signal = false; /* it has not seen the end of what was there before, so it looks again */
    else
        ring->transitions++;
    shared_store(ring->control + VMBUS_RING_PENDING, 0);
    return KD_OK;
}

/* ---- Receiving ---- */

static uint32_t get(const struct vmbus_ring *ring, uint32_t at, void *to, size_t size)
{
    uint8_t *bytes = to;
    size_t first = ring->size - at;

    if (size < first) {
        memcpy(bytes, ring->data + at, size);
        return at + (uint32_t)size;
    }
    memcpy(bytes, ring->data + at, first);
    memcpy(bytes + first, ring->data, size - first);
    return (uint32_t)(size - first);
}

bool vmbus_ring_ready(const struct vmbus_ring *ring)
{
    return shared_load(ring->control + VMBUS_RING_WRITE) != ring->index;
}

int vmbus_ring_next(struct vmbus_ring *ring, struct vmbus_packet *packet)
{
    uint32_t write = shared_load(ring->control + VMBUS_RING_WRITE);
    uint8_t descriptor[VMBUS_DESCRIPTOR], trailer[VMBUS_TRAILER];
    uint32_t have, length, offset;

    if (!possible(ring, write))
        return KD_E_FORMAT;
    if (write == ring->index)
        return KD_E_NOT_FOUND;
    have = used(ring, write, ring->index);
    if (have < VMBUS_DESCRIPTOR + VMBUS_TRAILER)
        return KD_E_FORMAT;
    (void)get(ring, ring->index, descriptor, sizeof descriptor);
    offset = kd_get_u16(descriptor + 2) * (uint32_t)ALIGNMENT;
    length = kd_get_u16(descriptor + 4) * (uint32_t)ALIGNMENT;
    if (length < VMBUS_DESCRIPTOR || length > have - VMBUS_TRAILER || offset < VMBUS_DESCRIPTOR ||
        offset > length)
        return KD_E_FORMAT;
    packet->type = kd_get_u16(descriptor);
    packet->flags = kd_get_u16(descriptor + 6);
    packet->transaction = kd_get_u64(descriptor + 8);
    packet->start = advance(ring, ring->index, offset);
    packet->size = length - offset;
    packet->total = length + VMBUS_TRAILER;
    (void)get(ring, advance(ring, ring->index, length), trailer, sizeof trailer);
    if (kd_get_u32(trailer + 4) != ring->index)
        ring->bad_trailers++;
    return KD_OK;
}

void vmbus_ring_copy(const struct vmbus_ring *ring, const struct vmbus_packet *packet, uint32_t at,
                     void *to, size_t size)
{
    (void)get(ring, advance(ring, packet->start, at), to, size);
}

bool vmbus_ring_release(struct vmbus_ring *ring, const struct vmbus_packet *packet)
{
    uint32_t before = ring->index, pending, write;

    ring->index = advance(ring, before, packet->total);
    shared_store(ring->control + VMBUS_RING_READ, ring->index);
    shared_barrier();
    write = shared_load(ring->control + VMBUS_RING_WRITE);
    if (write == ring->index)
        ring->transitions++;
    if ((shared_load(ring->control + VMBUS_RING_FEATURES) & VMBUS_FEATURE_PENDING_SIZE) == 0)
        return false;
    pending = shared_load(ring->control + VMBUS_RING_PENDING);
    if (pending == 0 || pending > ring->size || !possible(ring, write))
        return false;
    /* Told is who can send now and could not before. Some senders ask for a byte less than they
     * need, so what is no multiple of 8 counts as either of its neighbours: better told twice than
     * never. The interrupt mask plays no part here. */
    return room(ring, write, before) < round_up(pending) &&
           room(ring, write, ring->index) >= pending - pending % ALIGNMENT;
}
