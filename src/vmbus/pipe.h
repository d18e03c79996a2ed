/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pipe layer of a channel: bytes both ways over a pair of rings. Each in-band packet's payload
 * is
 *
 *   0  u32 kind    1 data; 2 what a reader leaves in its own unread packet; 3 to 5 not used by
 * pipes 4  u32 length  of the data, at most 16384 8  data
 *
 * In byte mode and on sockets the borders of packets mean nothing. In message mode one packet is
 * one message: vmbus_pipe_write never splits what fits, and the borders of what comes are not kept,
 * as KD's packets tell their own ends.
 *
 * With framing, windbg-uefi's header (framing.h) stands before each chunk.
 */
#ifndef KDWIRE_VMBUS_PIPE_H
#define KDWIRE_VMBUS_PIPE_H

#include "framing.h"
#include "ring.h"

enum {
    VMBUS_PIPE_HEADER = 8,
    VMBUS_PIPE_DATA = 1,
    VMBUS_PIPE_MAX = 16384, /* the largest the Hyper-V firmware and OpenVMM take */
};

struct vmbus_pipe {
    /* Read only: */
    bool broken;             /* the host wrote what cannot be: the channel must be closed */
    bool ended;              /* an empty packet: the other side has closed its end of the stream */
    uint64_t skipped;        /* packets that carried no data of ours */
    uint64_t received, sent; /* bytes of payload */
    /* Private: */
    struct vmbus_ring out, in;
    bool empty_is_end;
    bool open; /* a packet is being read */
    struct vmbus_packet packet;
    uint32_t at, left;
    struct vmbus_framing *framing; /* NULL: raw bytes */
};

/* Lays both rings over PAGES, as they are given to the host: a control page, SIZE bytes from guest
 * to host, a control page, SIZE bytes from host to guest. */
void vmbus_pipe_init(struct vmbus_pipe *pipe, void *pages, uint32_t size, bool wants_no_signal,
                     bool empty_is_end, struct vmbus_framing *framing);

/* Takes at most SIZE bytes of what has come. *SIGNAL is set (never cleared) when the host must be
 * told. Returns the bytes; 0 when there are none, or the pipe is broken or ended. */
size_t vmbus_pipe_read(struct vmbus_pipe *pipe, uint64_t now_us, uint8_t *to, size_t size,
                       bool *signal);
/* Sends at most SIZE bytes as one packet. Returns how many; 0: there is no room now. */
size_t vmbus_pipe_write(struct vmbus_pipe *pipe, uint64_t now_us, const uint8_t *from, size_t size,
                        bool *signal);
/* What framing owes: acknowledgements and repetitions. Nothing without framing. */
void vmbus_pipe_tick(struct vmbus_pipe *pipe, uint64_t now_us, bool *signal);
/* Whether vmbus_pipe_read may find something. */
bool vmbus_pipe_ready(const struct vmbus_pipe *pipe);

#endif
