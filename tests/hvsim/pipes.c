/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a channel's rings. Works byte by byte through the list of pages, slow and
 * plain. */
#include <string.h>

#include "hvsim.h"

enum {
    CONTROL_WRITE = 0,
    CONTROL_READ = 4,
    CONTROL_MASK = 8,
    CONTROL_PENDING = 12,
    IN_BAND = 6,
};

static uint32_t load(const struct hvsim_ring *ring, uint32_t field)
{
    return __atomic_load_n((const uint32_t *)(const void *)(ring->pages[0] + field),
                           __ATOMIC_SEQ_CST);
}

static void store(struct hvsim_ring *ring, uint32_t field, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)(ring->pages[0] + field), value, __ATOMIC_SEQ_CST);
}

static uint8_t *byte_at(const struct hvsim_ring *ring, uint64_t at)
{
    at %= ring->size;
    return ring->pages[1 + at / HVSIM_PAGE] + at % HVSIM_PAGE;
}

static void copy_out(const struct hvsim_ring *ring, uint64_t at, uint8_t *to, size_t size)
{
    while (size > 0) {
        size_t n = HVSIM_PAGE - at % HVSIM_PAGE;

        if (n > size)
            n = size;
        memcpy(to, byte_at(ring, at), n);
        to += n;
        at += n;
        size -= n;
    }
}

static void copy_in(struct hvsim_ring *ring, uint64_t at, const uint8_t *from, size_t size)
{
    while (size > 0) {
        size_t n = HVSIM_PAGE - at % HVSIM_PAGE;

        if (n > size)
            n = size;
        memcpy(byte_at(ring, at), from, n);
        from += n;
        at += n;
        size -= n;
    }
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

void hvsim_ring_attach(struct hvsim_ring *ring, uint8_t *const *pages, uint32_t size)
{
    memset(ring, 0, sizeof *ring);
    memcpy(ring->pages, pages, (1 + size / HVSIM_PAGE) * sizeof *pages);
    ring->size = size;
}

void hvsim_close_channel(struct hvsim_channel *channel)
{
    memset(&channel->in, 0, sizeof channel->in);
    memset(&channel->out, 0, sizeof channel->out);
    channel->held_at = channel->held_size = 0;
    channel->gpadl = 0;
}

/* ---- From the guest ---- */

/* Takes one packet of the guest into held[]; every rule of a sender is checked. */
static bool take_packet(struct hvsim *sim, struct hvsim_channel *channel)
{
    struct hvsim_ring *ring = &channel->in;
    uint32_t write = load(ring, CONTROL_WRITE), used, length, data, n;
    uint8_t descriptor[16], trailer[8], padding[8], header[8];

    if (write == ring->index)
        return false;
    used = (write + ring->size - ring->index) % ring->size;
    if (write >= ring->size || write % 8 != 0 || used < 24) {
        hvsim_violation(sim, "the guest's write index is %u", write);
        return false;
    }
    copy_out(ring, ring->index, descriptor, sizeof descriptor);
    data = (descriptor[2] | (uint32_t)descriptor[3] << 8) * 8;
    length = (descriptor[4] | (uint32_t)descriptor[5] << 8) * 8;
    if (data != 16 || length > used - 8 || length < 24 || descriptor[0] != IN_BAND ||
        descriptor[1] != 0) {
        hvsim_violation(sim, "the guest's packet: type %u, data at %u, length %u of %u",
                        descriptor[0], data, length, used);
        return false;
    }
    copy_out(ring, (uint64_t)ring->index + 16, header, sizeof header);
    n = get32(header + 4);
    if (get32(header) != 1 || n > 16384 || n > length - 24 || length - 24 - n >= 8) {
        hvsim_violation(sim, "the guest's pipe header: kind %u, length %u in %u", get32(header), n,
                        length);
        return false;
    }
    copy_out(ring, (uint64_t)ring->index + 24 + n, padding, length - 24 - n);
    for (uint32_t i = 0; i < length - 24 - n; i++) {
        if (padding[i] != 0)
            hvsim_violation(sim, "padding is not zero");
    }
    copy_out(ring, (uint64_t)ring->index + length, trailer, sizeof trailer);
    if (get32(trailer) != 0 || get32(trailer + 4) != ring->index)
        hvsim_violation(sim, "the trailer names %u, the packet is at %u", get32(trailer + 4),
                        ring->index);
    copy_out(ring, (uint64_t)ring->index + 24, channel->held, n);
    channel->held_at = 0;
    channel->held_size = n;
    channel->packet_flags = (uint16_t)(descriptor[6] | descriptor[7] << 8);
    memcpy(&channel->transaction, descriptor + 8, 8);
    channel->packets++;
    ring->index = (ring->index + length + 8) % ring->size;
    store(ring, CONTROL_READ, ring->index);
    return true;
}

size_t hvsim_read(struct hvsim *sim, struct hvsim_channel *channel, void *to, size_t size)
{
    uint8_t *bytes = to;
    size_t done = 0;

    pthread_mutex_lock(&sim->lock);
    while (channel->state == HVSIM_OPENED && done < size) {
        size_t n;

        if (channel->held_at == channel->held_size && !take_packet(sim, channel))
            break;
        n = channel->held_size - channel->held_at;
        if (n > size - done)
            n = size - done;
        memcpy(bytes + done, channel->held + channel->held_at, n);
        channel->held_at += n;
        done += n;
    }
    pthread_mutex_unlock(&sim->lock);
    return done;
}

/* ---- To the guest ---- */

static bool put_packet(struct hvsim_channel *channel, uint16_t type, const uint8_t *a,
                       size_t a_size, const uint8_t *b, size_t b_size)
{
    static const uint8_t zeros[8];
    struct hvsim_ring *ring = &channel->out;
    size_t payload = a_size + b_size, length = 16 + (payload + 7) / 8 * 8;
    uint8_t descriptor[16] = {0}, trailer[8] = {0};
    uint32_t read = load(ring, CONTROL_READ) % ring->size, before = ring->index;
    uint32_t free_bytes = ring->size - 8 - (before + ring->size - read) % ring->size;

    if (length + 8 > free_bytes) {
        store(ring, CONTROL_PENDING, (uint32_t)length + 8);
        return false;
    }
    store(ring, CONTROL_PENDING, 0);
    descriptor[0] = (uint8_t)type;
    descriptor[1] = (uint8_t)(type >> 8);
    descriptor[2] = 2;
    descriptor[4] = (uint8_t)(length / 8);
    descriptor[5] = (uint8_t)(length / 8 >> 8);
    put32(trailer + 4, before);
    copy_in(ring, before, descriptor, sizeof descriptor);
    copy_in(ring, (uint64_t)before + 16, a, a_size);
    copy_in(ring, (uint64_t)before + 16 + a_size, b, b_size);
    copy_in(ring, (uint64_t)before + 16 + payload, zeros, length - 16 - payload);
    copy_in(ring, (uint64_t)before + length, trailer, sizeof trailer);
    ring->index = (uint32_t)((before + length + 8) % ring->size);
    store(ring, CONTROL_WRITE, ring->index);
    if (load(ring, CONTROL_MASK) == 0 && load(ring, CONTROL_READ) == before)
        ring->signals++;
    return true;
}

size_t hvsim_write(struct hvsim *sim, struct hvsim_channel *channel, const void *from, size_t size)
{
    const uint8_t *bytes = from;
    size_t done = 0;

    pthread_mutex_lock(&sim->lock);
    while (channel->state == HVSIM_OPENED && done < size) {
        size_t n = size - done;
        uint8_t header[8];

        if (channel->pipe_type == 0 && n > HVSIM_SPLIT)
            n = HVSIM_SPLIT;
        put32(header, 1);
        put32(header + 4, (uint32_t)n);
        if (!put_packet(channel, IN_BAND, header, sizeof header, bytes + done, n))
            break;
        done += n;
    }
    pthread_mutex_unlock(&sim->lock);
    return done;
}

bool hvsim_write_packet(struct hvsim *sim, struct hvsim_channel *channel, uint16_t type,
                        const void *payload, size_t size)
{
    bool done;

    pthread_mutex_lock(&sim->lock);
    done = channel->state == HVSIM_OPENED && put_packet(channel, type, payload, size, NULL, 0);
    pthread_mutex_unlock(&sim->lock);
    return done;
}

void hvsim_poke(struct hvsim *sim, struct hvsim_channel *channel, bool to_guest, bool control,
                uint32_t offset, uint32_t value)
{
    struct hvsim_ring *ring = to_guest ? &channel->out : &channel->in;

    pthread_mutex_lock(&sim->lock);
    if (control)
        store(ring, offset, value);
    else
        copy_in(ring, offset, (const uint8_t *)&value, sizeof value);
    pthread_mutex_unlock(&sim->lock);
}
