/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMBus ring buffer: one direction of a channel, in pages that the host shares.
 *
 *   control page (4096 bytes)                          written by
 *    0  u32 write index                                sender
 *    4  u32 read index                                 receiver
 *    8  u32 interrupt mask: no "became non-empty"      receiver
 *   12  u32 pending send size: sender waits for that   sender
 *   64  u32 feature bits; bit 0: pending send size     sender
 *   data (SIZE bytes, a multiple of 4096)
 *
 * Indexes are byte offsets into the data, multiples of 8. 8 bytes are never filled, so that a full
 * ring does not look empty. A packet is 16 bytes of descriptor, payload, zeros up to a multiple of
 * 8, and a trailer of 8. (Facts: the Hyper-V firmware's public source, Linux, OpenVMM.)
 *
 * The host may write anything at any time. What we rely on is kept outside the shared memory, and
 * what comes from there is copied, then checked.
 */
#ifndef KDWIRE_VMBUS_RING_H
#define KDWIRE_VMBUS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VMBUS_PAGE = 4096,
    VMBUS_RING_WRITE = 0,
    VMBUS_RING_READ = 4,
    VMBUS_RING_MASK = 8,
    VMBUS_RING_PENDING = 12,
    VMBUS_RING_FEATURES = 64,
    VMBUS_FEATURE_PENDING_SIZE = 1,

    VMBUS_DESCRIPTOR = 16,
    VMBUS_TRAILER = 8,
    VMBUS_PACKET_IN_BAND = 6,
    VMBUS_PACKET_COMPLETION = 11,

    VMBUS_PIECES_MAX = 4, /* pipe header, framing header, data, padding */
};

struct vmbus_ring {
    uint8_t *control;
    uint8_t *data;
    uint32_t size;
    uint32_t index;        /* our own index; the copy in memory is only for the host */
    uint64_t transitions;  /* sending: packets that found the ring empty. Receiving: times it was
                              emptied */
    uint64_t bad_trailers; /* receiving: trailers that did not name their packet. Only counted, as
                              retail hosts do not look at them either */
};

struct vmbus_piece {
    const void *bytes;
    size_t size;
};

struct vmbus_packet {
    uint16_t type;
    uint16_t flags;
    uint64_t transaction;
    uint32_t start; /* received: of the payload, an offset into the data */
    uint32_t size;  /* received: payload with its padding */
    uint32_t total; /* received: the whole packet with its trailer */
};

/* Lays a ring over PAGES: one control page, then SIZE bytes. SENDING: it is the one we write. All
 * of it is zeroed, and our side's fields are set; the host must not have it yet. A receiver that
 * polls sets WANTS_NO_SIGNAL. */
void vmbus_ring_init(struct vmbus_ring *ring, void *pages, uint32_t size, bool sending,
                     bool wants_no_signal);

/* The most payload one packet may carry. */
uint32_t vmbus_ring_payload_max(const struct vmbus_ring *ring);

/*
 * Sends one packet of TYPE, FLAGS and TRANSACTION from PACKET and COUNT pieces of payload. *SIGNAL:
 * whether the host must be told (the ring was empty and it waits for that).
 * KD_E_NO_SPACE: it does not fit now; the host has been asked to tell when it would.
 * KD_E_TOO_LONG: it never fits. KD_E_FORMAT: the host's read index is impossible.
 */
int vmbus_ring_send(struct vmbus_ring *ring, const struct vmbus_packet *packet,
                    const struct vmbus_piece *pieces, unsigned count, bool *signal);

/* Whether something has come; believes the index without checking it. */
bool vmbus_ring_ready(const struct vmbus_ring *ring);
/* Looks at the next packet and leaves it there. KD_E_NOT_FOUND: there is none. KD_E_FORMAT: the
 * write index or the descriptor is impossible. */
int vmbus_ring_next(struct vmbus_ring *ring, struct vmbus_packet *packet);
/* Copies SIZE bytes from offset AT of the payload; the caller stays within packet->size. */
void vmbus_ring_copy(const struct vmbus_ring *ring, const struct vmbus_packet *packet, uint32_t at,
                     void *to, size_t size);
/* Gives the packet's room back. True: the host waits for that room and must be told. */
bool vmbus_ring_release(struct vmbus_ring *ring, const struct vmbus_packet *packet);

#endif
