/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/protocol.h"

void bytes_add(struct session_bytes *bytes, const void *data, size_t size)
{
    if (size > bytes->room - bytes->size) {
        bytes->room = (bytes->size + size) * 2;
        bytes->bytes = realloc(bytes->bytes, bytes->room);
        if (!bytes->bytes)
            abort();
    }
    if (size)
        memcpy(bytes->bytes + bytes->size, data, size);
    bytes->size += size;
}

uint32_t session_random(struct session *session, uint32_t below)
{
    session->random = session->random * 1664525u + 1013904223u;
    return (session->random >> 8) % below;
}

void session_add_data_packet(struct session *session, enum capture_direction from, uint16_t type,
                             uint32_t id, const void *body, size_t size)
{
    const struct kd_header header = {KD_LEADER_DATA, type, (uint16_t)size, id,
                                     kd_checksum(body, size)};
    const uint8_t trailer = KD_TRAILER;
    uint8_t bytes[KD_HEADER_SIZE];
    kd_header_put(bytes, &header);
    bytes_add(&session->sent[from], bytes, sizeof(bytes));
    bytes_add(&session->sent[from], body, size);
    bytes_add(&session->sent[from], &trailer, 1);
}

void session_add_control_packet(struct session *session, enum capture_direction from, uint16_t type,
                                uint32_t id)
{
    const struct kd_header header = {KD_LEADER_CONTROL, type, 0, id, 0};
    uint8_t bytes[KD_HEADER_SIZE];
    kd_header_put(bytes, &header);
    bytes_add(&session->sent[from], bytes, sizeof(bytes));
}

static void add_random_packet(struct session *session, enum capture_direction from)
{
    uint8_t body[KD_BODY_MAX];
    size_t size = 1 + session_random(session, session_random(session, 4) ? 200 : KD_BODY_MAX);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)session_random(session, 256);
    if (size > 40 && !session_random(session, 3))
        memset(body + 20, '0', 16); /* a leader inside the body is not a leader */
    session_add_data_packet(session, from, KD_PACKET_STATE_MANIPULATE, KD_ID_INITIAL, body, size);
    if (!session_random(session, 10)) /* damage on the line */
        session->sent[from].bytes[session->sent[from].size - 2] ^= 0x10;
}

static void add_random_item(struct session *session, enum capture_direction from)
{
    static const char text[] = "Boot: hello from the console, nothing to see\r\n";
    switch (session_random(session, 8)) {
    case 0:
        bytes_add(&session->sent[from], "b", 1);
        break;
    case 1:
        bytes_add(&session->sent[from], text, 1 + session_random(session, sizeof(text) - 2));
        break;
    case 2:
    case 3:
        session_add_control_packet(session, from, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
        break;
    default:
        add_random_packet(session, from);
        break;
    }
}

static void cut_into_reads(struct session *session)
{
    size_t at[2] = {0, 0};
    uint64_t now = SESSION_START_NS;
    while (session->read_count < SESSION_READS_MAX) {
        unsigned from = session_random(session, 2);
        size_t left = session->sent[from].size - at[from];
        if (!left) {
            from = !from;
            left = session->sent[from].size - at[from];
        }
        if (!left)
            return;
        size_t size = 1 + session_random(session, session_random(session, 2) ? 30 : 6000);
        size = size < left ? size : left;
        if (session->read_count == SESSION_READS_MAX - 2)
            size = left; /* the rest at once */
        now += 1 + session_random(session, 1000000);
        session->reads[session->read_count++] =
            (struct session_read){(enum capture_direction)from, now, at[from], size};
        at[from] += size;
    }
}

void session_make(struct session *session, uint32_t seed, unsigned items)
{
    memset(session, 0, sizeof(*session));
    session->random = seed;
    for (unsigned i = 0; i < items; i++) {
        add_random_item(session, CAPTURE_FROM_DEBUGGER);
        add_random_item(session, CAPTURE_FROM_TARGET);
    }
    cut_into_reads(session);
}

void session_free(struct session *session)
{
    free(session->sent[0].bytes);
    free(session->sent[1].bytes);
}

void session_play(const struct session *session, struct recorder *recorder)
{
    for (size_t i = 0; i < session->read_count; i++) {
        const struct session_read *read = &session->reads[i];
        recorder_data(recorder, read->direction, read->time_ns,
                      session->sent[read->direction].bytes + read->at, read->size);
    }
    recorder_flush(recorder, CAPTURE_FROM_DEBUGGER);
    recorder_flush(recorder, CAPTURE_FROM_TARGET);
}

static int keep(struct memory_sink *sink, const uint8_t *bytes, size_t size)
{
    bytes_add(&sink->bytes, bytes, size);
    if (sink->blocks == sizeof(sink->block_end) / sizeof(sink->block_end[0]))
        abort();
    sink->block_end[sink->blocks++] = sink->bytes.size;
    return KD_OK;
}

static int begin(struct capture_sink *sink, const uint8_t *preamble, size_t size)
{
    return keep((struct memory_sink *)sink, preamble, size);
}

static int write_block(struct capture_sink *sink, const uint8_t *block, size_t size,
                       uint64_t time_ns)
{
    struct memory_sink *memory = (struct memory_sink *)sink;
    (void)time_ns;
    if (memory->fail_with)
        return memory->fail_with;
    return keep(memory, block, size);
}

void memory_sink_init(struct memory_sink *sink)
{
    memset(sink, 0, sizeof(*sink));
    sink->sink.begin = begin;
    sink->sink.write = write_block;
}
