/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes, cut in any way, give the same items, and the items' bytes are the input.
 * Input: a byte of options, a byte that decides the cuts, the stream.
 */
#include "kdwire/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_KDNET = 1, INPUT_MAX = 1 << 16 };

struct reader {
    struct kd_stream stream;
    const uint8_t *input;
    size_t size;
    size_t at;     /* fed */
    size_t handed; /* seen in items */
    uint32_t cuts; /* 0 = feed all at once */
};

static void check(bool condition)
{
    if (!condition)
        abort();
}

static size_t next_piece(struct reader *reader)
{
    size_t rest = reader->size - reader->at;
    if (!reader->cuts)
        return rest;
    reader->cuts = reader->cuts * 1664525u + 1013904223u;
    size_t limit = (size_t)1 << (reader->cuts >> 28);
    size_t piece = 1 + (reader->cuts >> 8) % limit;
    return piece < rest ? piece : rest;
}

static void check_item(struct reader *reader, const struct kd_item *item)
{
    check(item->raw_size > 0 && item->raw_size <= reader->size - reader->handed);
    check(memcmp(item->raw, reader->input + reader->handed, item->raw_size) == 0);
    reader->handed += item->raw_size;
    if (item->kind != KD_ITEM_PACKET) {
        check(item->faults == 0 && item->body_size == 0);
        check(item->kind != KD_ITEM_BREAK_IN || (item->raw_size == 1 && item->raw[0] == 'b'));
        return;
    }
    check(item->body >= item->raw && item->body_size <= item->raw_size);
    check(item->body + item->body_size <= item->raw + item->raw_size);
    if (item->faults == 0) {
        bool trailer =
            reader->stream.framing == KD_FRAMING_SERIAL && item->header.leader == KD_LEADER_DATA;
        check(item->raw_size == KD_HEADER_SIZE + item->body_size + trailer);
        check(item->body_size == item->header.byte_count);
        check(kd_checksum(item->body, item->body_size) == item->header.checksum);
    }
}

/* The next item, by feeding and in the end by flushing; false when all is over. */
static bool next_item(struct reader *reader, struct kd_item *item)
{
    while (reader->at < reader->size) {
        size_t piece = next_piece(reader);
        size_t used = kd_stream_feed(&reader->stream, reader->input + reader->at, piece, item);
        check(used <= piece && (used > 0 || item->kind != KD_ITEM_NONE));
        reader->at += used;
        if (item->kind != KD_ITEM_NONE)
            return true;
    }
    kd_stream_feed(&reader->stream, reader->input, 0, item);
    return item->kind != KD_ITEM_NONE || kd_stream_flush(&reader->stream, item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reader whole, cut;
    struct kd_item a, b;

    if (size < 3 || size > INPUT_MAX)
        return 0;
    enum kd_framing framing = data[0] & OPTION_KDNET ? KD_FRAMING_KDNET : KD_FRAMING_SERIAL;
    whole = (struct reader){.input = data + 2, .size = size - 2};
    cut = (struct reader){.input = data + 2, .size = size - 2, .cuts = 1 + (uint32_t)data[1]};
    kd_stream_init(&whole.stream, framing);
    kd_stream_init(&cut.stream, framing);
    bool one = kd_stream_is_one_packet(framing, whole.input, whole.size, &b);
    struct kd_item only = b;
    bool first = true;
    while (next_item(&whole, &a)) {
        bool whole_and_good = a.kind == KD_ITEM_PACKET && a.faults == 0 && a.raw_size == whole.size;
        check(!first || one == whole_and_good);
        check(!one || (only.kind == a.kind && only.faults == 0 && only.raw == whole.input &&
                       only.raw_size == a.raw_size && only.body_size == a.body_size &&
                       only.body - only.raw == a.body - a.raw &&
                       memcmp(&only.header, &a.header, sizeof(a.header)) == 0));
        first = false;
        check_item(&whole, &a);
        check(next_item(&cut, &b));
        check_item(&cut, &b);
        check(a.kind == b.kind && a.faults == b.faults && a.raw_size == b.raw_size);
    }
    check(!next_item(&cut, &b));
    check(whole.handed == whole.size && cut.handed == cut.size);
    check(!kd_stream_pending(&whole.stream) && !kd_stream_pending(&cut.stream));
    return 0;
}
