/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipe.h"

#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"

enum { PACKETS_MAX = 64 }; /* skipped in one call, so that a host cannot hold us for ever */

void vmbus_pipe_init(struct vmbus_pipe *pipe, void *pages, uint32_t size, bool wants_no_signal,
                     bool empty_is_end, struct vmbus_framing *framing)
{
    memset(pipe, 0, sizeof *pipe);
    vmbus_ring_init(&pipe->out, pages, size, true, false);
    vmbus_ring_init(&pipe->in, (uint8_t *)pages + VMBUS_PAGE + size, size, false, wants_no_signal);
    pipe->empty_is_end = empty_is_end;
    pipe->framing = framing;
}

static void close_packet(struct vmbus_pipe *pipe, bool *signal)
{
    pipe->open = false;
    if (vmbus_ring_release(&pipe->in, &pipe->packet))
        *signal = true;
}

/* Reads the pipe header of the packet under PACKET. False: it carries no data. */
static bool open_packet(struct vmbus_pipe *pipe)
{
    uint8_t header[VMBUS_PIPE_HEADER];
    uint32_t length;

    if (pipe->packet.type != VMBUS_PACKET_IN_BAND)
        return false;
    if (pipe->packet.size < sizeof header) {
        pipe->broken = true;
        return false;
    }
    vmbus_ring_copy(&pipe->in, &pipe->packet, 0, header, sizeof header);
    if (kd_get_u32(header) != VMBUS_PIPE_DATA)
        return false;
    length = kd_get_u32(header + 4);
    if (length > pipe->packet.size - sizeof header || length > VMBUS_PIPE_MAX) {
        pipe->broken = true;
        return false;
    }
    if (length == 0) {
        pipe->ended = pipe->empty_is_end;
        return false;
    }
    pipe->at = sizeof header;
    pipe->left = length;
    return true;
}

/* Finds the next packet with data; false: there is none. */
static bool next_packet(struct vmbus_pipe *pipe, bool *signal)
{
    for (unsigned i = 0; i < PACKETS_MAX && !pipe->ended; i++) {
        int rc = vmbus_ring_next(&pipe->in, &pipe->packet);

        if (rc != 0) {
            pipe->broken = rc != KD_E_NOT_FOUND;
            return false;
        }
        pipe->open = open_packet(pipe);
        if (pipe->broken)
            return false;
        if (pipe->open)
            return true;
        pipe->skipped++;
        close_packet(pipe, signal);
    }
    return false;
}

static size_t read_raw(struct vmbus_pipe *pipe, uint8_t *to, size_t size, bool *signal)
{
    size_t done = 0;

    while (done < size && !pipe->broken) {
        uint32_t n;

        if (!pipe->open && !next_packet(pipe, signal))
            break;
        n = size - done < pipe->left ? (uint32_t)(size - done) : pipe->left;
        vmbus_ring_copy(&pipe->in, &pipe->packet, pipe->at, to + done, n);
        done += n;
        pipe->at += n;
        pipe->left -= n;
        if (pipe->left == 0)
            close_packet(pipe, signal);
    }
    return done;
}

size_t vmbus_pipe_read(struct vmbus_pipe *pipe, uint64_t now_us, uint8_t *to, size_t size,
                       bool *signal)
{
    size_t done;

    if (pipe->framing == NULL) {
        done = read_raw(pipe, to, size, signal);
    } else {
        uint8_t bytes[256];

        while ((done = vmbus_framing_read(pipe->framing, to, size)) == 0) {
            size_t n = read_raw(pipe, bytes, sizeof bytes, signal);

            if (n == 0)
                break;
            /* Takes all: nothing waits to be read, so there is room for one whole chunk. */
            (void)vmbus_framing_feed(pipe->framing, bytes, n);
        }
        vmbus_pipe_tick(pipe, now_us, signal);
    }
    pipe->received += done;
    return done;
}

/* One packet with the pipe's header before BYTES. */
static bool send_packet(struct vmbus_pipe *pipe, uint64_t transaction, const uint8_t *bytes,
                        size_t size, bool *signal)
{
    struct vmbus_packet packet = {.type = VMBUS_PACKET_IN_BAND, .transaction = transaction};
    uint8_t header[VMBUS_PIPE_HEADER];
    struct vmbus_piece pieces[] = {{header, sizeof header}, {bytes, size}};
    bool wanted = false;
    int rc;

    kd_put_u32(header, VMBUS_PIPE_DATA);
    kd_put_u32(header + 4, (uint32_t)size);
    rc = vmbus_ring_send(&pipe->out, &packet, pieces, 2, &wanted);
    if (rc != 0 && rc != KD_E_NO_SPACE)
        pipe->broken = true;
    if (wanted)
        *signal = true;
    return rc == 0;
}

static size_t packet_max(const struct vmbus_pipe *pipe)
{
    uint32_t most = vmbus_ring_payload_max(&pipe->out) - VMBUS_PIPE_HEADER;

    return most < VMBUS_PIPE_MAX ? most : VMBUS_PIPE_MAX;
}

static size_t write_framed(struct vmbus_pipe *pipe, uint64_t now_us, const uint8_t *from,
                           size_t size, bool *signal)
{
    const uint8_t *chunk;
    uint32_t checksum;
    size_t framed, most = packet_max(pipe) - VMBUS_FRAMING_HEADER;

    if (size > most)
        size = most;
    if (size > VMBUS_FRAMING_PAYLOAD)
        size = VMBUS_FRAMING_PAYLOAD;
    framed = vmbus_framing_send(pipe->framing, now_us, from, size, &chunk, &checksum);
    if (framed == 0)
        return 0;
    if (!send_packet(pipe, checksum, chunk, framed, signal)) {
        vmbus_framing_take_back(pipe->framing);
        return 0;
    }
    return size;
}

size_t vmbus_pipe_write(struct vmbus_pipe *pipe, uint64_t now_us, const uint8_t *from, size_t size,
                        bool *signal)
{
    size_t most = packet_max(pipe);

    if (pipe->broken || pipe->ended || size == 0)
        return 0;
    if (pipe->framing != NULL) {
        size = write_framed(pipe, now_us, from, size, signal);
    } else {
        if (size > most)
            size = most;
        if (!send_packet(pipe, 0, from, size, signal))
            return 0;
    }
    pipe->sent += size;
    return size;
}

void vmbus_pipe_tick(struct vmbus_pipe *pipe, uint64_t now_us, bool *signal)
{
    uint8_t answer[VMBUS_FRAMING_HEADER];
    const uint8_t *bytes;
    size_t size;

    if (pipe->framing == NULL || pipe->broken || pipe->ended)
        return;
    /* One that finds no room is lost, and the other side's repetition asks for it again. */
    while ((size = vmbus_framing_due(pipe->framing, now_us, answer, &bytes)) != 0)
        (void)send_packet(pipe, kd_get_u32(bytes + 16), bytes, size, signal);
}

bool vmbus_pipe_ready(const struct vmbus_pipe *pipe)
{
    return pipe->open || vmbus_ring_ready(&pipe->in) ||
           (pipe->framing != NULL && vmbus_framing_ready(pipe->framing));
}
