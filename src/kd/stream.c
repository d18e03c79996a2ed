/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte stream -> packets, break-in bytes and junk.
 *
 *   state      | input                            | item                        | next state
 *   -----------+----------------------------------+-----------------------------+------------
 *   scanning   | 'b', nothing held, not in junk   | BREAK_IN                    | scanning
 *              | four equal leader bytes at 0     | -                           | header
 *              | four equal leader bytes behind n | JUNK of n bytes             | header
 *              | KD_JUNK_MAX bytes without leader | JUNK                        | scanning, in junk
 *              | flush                            | JUNK of all that is held    | scanning
 *   header     | 16 bytes, control                | PACKET                      | scanning
 *              | 16 bytes, data, length good      | -                           | body
 *              | 16 bytes, length bad             | PACKET, LENGTH, header only | scanning, in junk
 *              | flush                            | PACKET, CUT                 | scanning, in junk
 *   body       | all bytes                        | PACKET, faults if any       | scanning
 *              | flush                            | PACKET, CUT                 | scanning, in junk
 *
 * There is no escaping in this protocol, so a leader inside a body means nothing while the packet
 * is good. When it is bad, and only then, the packet may have lost bytes and have swallowed the
 * beginning of the next one: see `damage_end`.
 *
 * All decisions look at held bytes only, never at how they were fed: any split gives the same
 * items.
 */
#include "kdwire/stream.h"

#include <string.h>

#include "kdwire/protocol.h"

enum {
    LEADER_SIZE = 4,
    /* While scanning, only this many bytes are taken at a time, so that a packet behind junk is
     * not moved in the buffer more than once by more than this. */
    SCAN_STEP = KD_HEADER_SIZE,
};

static bool is_leader_byte(uint8_t byte)
{
    return byte == (KD_LEADER_DATA & 0xFF) || byte == (KD_LEADER_CONTROL & 0xFF);
}

void kd_stream_init(struct kd_stream *stream, enum kd_framing framing)
{
    stream->framing = framing;
    stream->size = stream->handed = stream->scanned = stream->run = stream->need = 0;
    stream->in_junk = false; /* `held` holds nothing: clearing it would cost more than a packet */
}

void kd_stream_after_junk(struct kd_stream *stream, bool in_junk)
{
    stream->in_junk = in_junk;
}

/* Takes back what the last item lent out. */
static void release(struct kd_stream *stream)
{
    if (!stream->handed)
        return;
    stream->size -= stream->handed;
    memmove(stream->held, stream->held + stream->handed, stream->size);
    stream->handed = 0;
    stream->scanned = 0;
    stream->run = 0;
    stream->need = 0;
}

static bool hand_out(struct kd_stream *stream, struct kd_item *item, enum kd_item_kind kind,
                     size_t size, bool in_junk)
{
    item->kind = kind;
    item->raw = stream->held;
    item->raw_size = size;
    stream->handed = size;
    stream->in_junk = in_junk;
    return true;
}

static bool hand_out_packet(struct kd_stream *stream, struct kd_item *item, unsigned faults,
                            size_t size)
{
    item->faults = faults;
    item->body = stream->held + size;
    if (size >= KD_HEADER_SIZE) {
        kd_header_get(&item->header, stream->held);
        size_t rest = size - KD_HEADER_SIZE;
        bool has_body = item->header.leader == KD_LEADER_DATA && !(faults & KD_FAULT_LENGTH);
        size_t count = has_body ? item->header.byte_count : 0;
        item->body = stream->held + KD_HEADER_SIZE;
        item->body_size = rest < count ? rest : count;
    }
    return hand_out(stream, item, KD_ITEM_PACKET, size, faults != 0);
}

static size_t packet_size(enum kd_framing framing, const struct kd_header *header)
{
    size_t trailer = framing == KD_FRAMING_SERIAL;
    return KD_HEADER_SIZE + (header->leader == KD_LEADER_DATA ? header->byte_count + trailer : 0);
}

/* Faults of a packet whose bytes, as the header counts them, are all at BYTES. */
static unsigned faults_of(enum kd_framing framing, const struct kd_header *header,
                          const uint8_t *bytes)
{
    if (header->leader == KD_LEADER_CONTROL)
        return (header->byte_count ? KD_FAULT_LENGTH : 0u) |
               (header->checksum ? KD_FAULT_CHECKSUM : 0u);
    size_t size = packet_size(framing, header);
    unsigned faults = 0;
    if (kd_checksum(bytes + KD_HEADER_SIZE, header->byte_count) != header->checksum)
        faults |= KD_FAULT_CHECKSUM;
    if (framing == KD_FRAMING_SERIAL && bytes[size - 1] != KD_TRAILER)
        faults |= KD_FAULT_TRAILER;
    return faults;
}

/* Whether the HAVE bytes at BYTES, which start with a leader, can be the start of a packet. */
static bool is_plausible(const uint8_t *bytes, size_t have)
{
    uint8_t prefix[KD_HEADER_SIZE] = {0};
    bool whole = have >= KD_HEADER_SIZE;
    struct kd_header header;

    if (have < 8) /* type and length are not both there */
        return true;
    memcpy(prefix, bytes, whole ? KD_HEADER_SIZE : have);
    kd_header_get(&header, prefix);
    if (header.leader == KD_LEADER_CONTROL)
        return header.byte_count == 0 && header.type >= KD_PACKET_ACKNOWLEDGE &&
               header.type <= KD_PACKET_RESET && header.checksum == 0;
    return header.byte_count <= KD_BODY_MAX && header.type != KD_PACKET_UNUSED &&
           header.type < KD_PACKET_TYPE_MAX;
}

/* Whether the HAVE bytes at BYTES, which start with a leader, begin with a whole good packet. */
static bool is_proven(enum kd_framing framing, const uint8_t *bytes, size_t have)
{
    struct kd_header header;

    if (have < KD_HEADER_SIZE || !is_plausible(bytes, have))
        return false;
    kd_header_get(&header, bytes);
    return packet_size(framing, &header) <= have && faults_of(framing, &header, bytes) == 0;
}

/*
 * Where a damaged packet of SIZE bytes at held[0] ends: at the first leader inside it that starts
 * another packet, else at SIZE. With PROOF only a whole good packet counts as one. Without, a
 * plausible beginning is enough, and so are leader bytes at the very end: this is for packets of
 * which bytes were surely lost, so that what follows them surely was swallowed.
 */
static size_t damage_end(const struct kd_stream *stream, size_t size, bool proof)
{
    const uint8_t *held = stream->held;
    size_t run = 0;

    for (size_t i = LEADER_SIZE; i < size; i++) {
        if (!is_leader_byte(held[i])) {
            run = 0;
            continue;
        }
        run = run && held[i] == held[i - 1] ? run + 1 : 1;
        if (run < LEADER_SIZE)
            continue;
        size_t start = i + 1 - LEADER_SIZE;
        if (proof ? is_proven(stream->framing, held + start, size - start)
                  : is_plausible(held + start, size - start))
            return start;
        run = LEADER_SIZE - 1; /* "00000...": the leader may start one byte later */
    }
    return proof ? size : size - run;
}

static bool finish_damaged(struct kd_stream *stream, struct kd_item *item, unsigned faults,
                           size_t size, bool proof)
{
    size_t end = damage_end(stream, size, proof);
    if (end < size)
        faults |= KD_FAULT_CUT;
    return hand_out_packet(stream, item, faults, end);
}

/* All bytes of a data packet are there. */
static bool finish_data(struct kd_stream *stream, struct kd_item *item,
                        const struct kd_header *header)
{
    size_t size = stream->need;
    unsigned faults = faults_of(stream->framing, header, stream->held);

    if (!faults)
        return hand_out_packet(stream, item, 0, size);
    if (!(faults & KD_FAULT_TRAILER)) /* the length is right: most likely nothing was lost */
        return finish_damaged(stream, item, faults, size, true);
    if (!(faults & KD_FAULT_CHECKSUM)) { /* only the trailer was lost or changed */
        size -= is_leader_byte(stream->held[size - 1]);
        return hand_out_packet(stream, item, faults, size);
    }
    return finish_damaged(stream, item, faults, size, false);
}

/* A leader is at held[0]. */
static bool parse_packet(struct kd_stream *stream, struct kd_item *item, bool final)
{
    struct kd_header header;

    if (stream->size >= KD_HEADER_SIZE) {
        kd_header_get(&header, stream->held);
        bool is_data = header.leader == KD_LEADER_DATA;
        unsigned faults = 0;
        if (is_data && header.byte_count > KD_BODY_MAX)
            faults = KD_FAULT_LENGTH;
        else if (!is_data)
            faults = faults_of(stream->framing, &header, stream->held);
        if (faults)
            return finish_damaged(stream, item, faults, KD_HEADER_SIZE, false);
        stream->need = packet_size(stream->framing, &header);
        if (!is_data)
            return hand_out_packet(stream, item, 0, KD_HEADER_SIZE);
        if (stream->size >= stream->need)
            return finish_data(stream, item, &header);
    }
    if (!final)
        return false;
    size_t end = damage_end(stream, stream->size, false);
    return hand_out_packet(stream, item, KD_FAULT_CUT, end);
}

/* Looks for a leader; true when an item came of it. Sets `need` when the leader is at held[0]. */
static bool scan(struct kd_stream *stream, struct kd_item *item)
{
    if (stream->size && !stream->scanned && !stream->in_junk && stream->held[0] == KD_BREAK_IN_BYTE)
        return hand_out(stream, item, KD_ITEM_BREAK_IN, 1, false);
    while (stream->scanned < stream->size) {
        const uint8_t *at = stream->held + stream->scanned++;
        if (!is_leader_byte(*at))
            stream->run = 0;
        else if (stream->run && *at == at[-1])
            stream->run++;
        else
            stream->run = 1;
        if (stream->run == LEADER_SIZE) {
            size_t junk = stream->scanned - LEADER_SIZE;
            if (junk)
                return hand_out(stream, item, KD_ITEM_JUNK, junk, true);
            stream->need = KD_HEADER_SIZE;
            return false;
        }
        if (stream->scanned - stream->run >= KD_JUNK_MAX)
            return hand_out(stream, item, KD_ITEM_JUNK, KD_JUNK_MAX, true);
    }
    return false;
}

static bool parse(struct kd_stream *stream, struct kd_item *item, bool final)
{
    if (!stream->need && scan(stream, item))
        return true;
    if (stream->need)
        return parse_packet(stream, item, final);
    if (final && stream->size)
        return hand_out(stream, item, KD_ITEM_JUNK, stream->size, true);
    return false;
}

size_t kd_stream_feed(struct kd_stream *stream, const uint8_t *data, size_t size,
                      struct kd_item *item)
{
    size_t used = 0;

    memset(item, 0, sizeof(*item));
    release(stream);
    while (!parse(stream, item, false) && used < size) {
        /* never beyond the packet: the buffer holds no more than one packet and a scan step */
        size_t want = stream->need ? stream->need - stream->size : SCAN_STEP;
        size_t take = want < size - used ? want : size - used;
        memcpy(stream->held + stream->size, data + used, take);
        stream->size += take;
        used += take;
    }
    return used;
}

bool kd_stream_is_one_packet(enum kd_framing framing, const uint8_t *data, size_t size,
                             struct kd_item *item)
{
    struct kd_header header;

    if (size < KD_HEADER_SIZE)
        return false;
    kd_header_get(&header, data);
    bool is_data = header.leader == KD_LEADER_DATA;
    if ((!is_data && header.leader != KD_LEADER_CONTROL) ||
        (is_data && header.byte_count > KD_BODY_MAX) || packet_size(framing, &header) != size ||
        faults_of(framing, &header, data) != 0)
        return false;
    *item = (struct kd_item){.kind = KD_ITEM_PACKET,
                             .header = header,
                             .raw = data,
                             .raw_size = size,
                             .body = data + KD_HEADER_SIZE,
                             .body_size = is_data ? header.byte_count : 0};
    return true;
}

bool kd_stream_flush(struct kd_stream *stream, struct kd_item *item)
{
    memset(item, 0, sizeof(*item));
    release(stream);
    if (parse(stream, item, true))
        return true;
    stream->in_junk = false; /* silence ended the run: the next 'b' is a break-in */
    return false;
}

bool kd_stream_pending(const struct kd_stream *stream)
{
    return stream->size > stream->handed;
}

size_t kd_stream_junk(const struct kd_stream *stream, const uint8_t **bytes)
{
    *bytes = stream->held;
    return stream->handed || stream->need ? 0 : stream->scanned - stream->run;
}
