/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The framing that windbg-uefi's two ends put around each chunk of KD bytes inside the pipe, so
 * that either of its sides can be replaced by ours. Redundant on a ring that neither loses nor
 * alters bytes; used only when asked for.
 *
 *    0  u32 magic   0x56867960 data, 0x15957899 acknowledgement
 *    4  u32 flag    1 data, 2 acknowledgement host to guest, 3 guest to host
 *    8  u32 length of what follows (acknowledgement: 0)
 *   12  u32 number  guest's start at 2, host's at 0x5687; an acknowledgement repeats one
 *   16  u32 checksum: XOR of all words of header (this one as 0) and payload, padded with zeros
 *   20  u32 end     0x87283679 data, 0x36133574 acknowledgement
 *
 * Acknowledgements (off in both of its ends by default):
 *
 *   state    event                     next     what happens
 *   free     vmbus_framing_send        waiting  the chunk is kept
 *   waiting  its acknowledgement       free
 *   waiting  RESEND_US without one     waiting  due says: send the kept chunk again
 *   waiting  the same, TRIES_MAX times free     given up: KD has a repetition of its own
 */
#ifndef KDWIRE_VMBUS_FRAMING_H
#define KDWIRE_VMBUS_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMBUS_FRAMING_MAGIC 0x56867960u /* before each chunk of data */

enum {
    VMBUS_FRAMING_HEADER = 24,
    /* windbg-uefi reads with buffers of 8 KiB; a KD packet with its trailer has at most 4017. */
    VMBUS_FRAMING_PAYLOAD = 8192 - VMBUS_FRAMING_HEADER,
    VMBUS_FRAMING_RESEND_US = 1000000,
    VMBUS_FRAMING_TRIES_MAX = 5,
};

enum vmbus_framing_role { VMBUS_FRAMING_GUEST, VMBUS_FRAMING_HOST };

struct vmbus_framing {
    /* What is read only: */
    uint64_t damaged;  /* bytes skipped: no header, wrong checksum */
    uint64_t repeated; /* chunks that came twice and were given up once */
    uint64_t given_up; /* chunks never acknowledged */
    /* Private: */
    enum vmbus_framing_role role;
    bool acknowledge;
    uint32_t out_number, in_number;
    bool in_seen;
    bool waiting;
    unsigned tries;
    uint64_t sent_at;
    size_t kept_size, chunk_left;
    bool answer_owed;
    uint32_t answer_number;
    uint8_t kept[VMBUS_FRAMING_HEADER + VMBUS_FRAMING_PAYLOAD];
    uint8_t in[VMBUS_FRAMING_HEADER + VMBUS_FRAMING_PAYLOAD];
    size_t in_size;
};

void vmbus_framing_init(struct vmbus_framing *framing, enum vmbus_framing_role role,
                        bool acknowledge);

/* Frames at most VMBUS_FRAMING_PAYLOAD bytes. The result is in *OUT (valid until the next call); 0:
 * a chunk still waits for its acknowledgement. *CHECKSUM may be NULL. */
size_t vmbus_framing_send(struct vmbus_framing *framing, uint64_t now_us, const uint8_t *bytes,
                          size_t size, const uint8_t **out, uint32_t *checksum);
/* The chunk found no room: as if it had not been framed. */
void vmbus_framing_take_back(struct vmbus_framing *framing);

/* Something else to send now: an acknowledgement that is owed (ANSWER holds
 * VMBUS_FRAMING_HEADER bytes), or a chunk again. 0: nothing. */
size_t vmbus_framing_due(struct vmbus_framing *framing, uint64_t now_us,
                         uint8_t answer[VMBUS_FRAMING_HEADER], const uint8_t **out);

/* Takes bytes from the pipe, in pieces of any size; returns how many were taken, which is fewer
 * than SIZE while payload waits to be read. */
size_t vmbus_framing_feed(struct vmbus_framing *framing, const uint8_t *bytes, size_t size);
/* Payload that has come. */
size_t vmbus_framing_read(struct vmbus_framing *framing, uint8_t *to, size_t size);
bool vmbus_framing_ready(const struct vmbus_framing *framing);

#endif
