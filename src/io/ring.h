/* SPDX-License-Identifier: BSD-2-Clause */
/* A bounded queue of bytes in memory the caller gives. */
#ifndef KDWIRE_IO_RING_H
#define KDWIRE_IO_RING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ring {
    uint8_t *bytes;
    size_t capacity;
    size_t head, size; /* first byte and number of bytes held */
};

static inline void ring_init(struct ring *ring, uint8_t *bytes, size_t capacity)
{
    *ring = (struct ring){bytes, capacity, 0, 0};
}

static inline size_t ring_room(const struct ring *ring)
{
    return ring->capacity - ring->size;
}

/* Adds bytes; the caller has seen that there is room. */
static inline void ring_put(struct ring *ring, const uint8_t *bytes, size_t size)
{
    size_t at = (ring->head + ring->size) % ring->capacity;
    size_t first = ring->capacity - at;
    if (first > size)
        first = size;
    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, bytes + first, size - first);
    ring->size += size;
}

/* The longest piece of free room behind the last byte that lies in one place; bytes that were put
 * there are added by ring_grow. */
static inline size_t ring_space(const struct ring *ring, uint8_t **bytes)
{
    size_t at = (ring->head + ring->size) % ring->capacity;
    size_t first = ring->capacity - at;
    *bytes = ring->bytes + at;
    return first < ring_room(ring) ? first : ring_room(ring);
}

static inline void ring_grow(struct ring *ring, size_t size)
{
    ring->size += size;
}

/* The longest piece from the head that lies in one place; 0 when empty. */
static inline size_t ring_peek(const struct ring *ring, const uint8_t **bytes)
{
    size_t first = ring->capacity - ring->head;
    *bytes = ring->bytes + ring->head;
    return first < ring->size ? first : ring->size;
}

/* Removes SIZE bytes, at most what is held. */
static inline void ring_take(struct ring *ring, size_t size)
{
    ring->head = (ring->head + size) % ring->capacity;
    ring->size -= size;
    if (!ring->size)
        ring->head = 0; /* touches no more memory than a small queue needs */
}

#endif
