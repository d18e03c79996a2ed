/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder: any item from either side, with anything learned before, becomes a line, fields and
 * valid JSON. Byte 0: bits 0-1 the direction, bit 3 set: the rest is a stream (bit 2: of KDNET
 * framing), clear: the rest is items (bit 2: of junk; bits 4-7 their faults), each a 16-bit length
 * and that many bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "../tests/json_check.h"
#include "kdwire/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    TEXT_MAX = 1 << 20, /* the text of a largest packet is below 64 KiB */
    TWINS_MAX = 4096,   /* looking for members of one name takes quadratic time */
};

static char shown[TEXT_MAX];
static size_t shown_size;

static void collect(void *context, const char *text, size_t size)
{
    (void)context;
    if (size >= TEXT_MAX - shown_size)
        abort();
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n' && (text[i] < 0x20 || text[i] > 0x7E))
            abort(); /* nothing may reach a terminal as it came */
    }
    memcpy(shown + shown_size, text, size);
    shown_size += size;
    shown[shown_size] = '\0';
}

static const struct kd_sink sink = {collect, NULL};

static const uint8_t *next_byte;

static void follow(void *context, const struct kd_part *part)
{
    (void)context;
    if (part->bytes != next_byte || !part->size)
        abort();
    next_byte += part->size;
}

static void show(struct kd_decode_session *session, enum kd_direction direction,
                 const struct kd_item *item)
{
    next_byte = item->raw;
    kd_decode_walk(session, direction, item, follow, NULL);
    if (next_byte != item->raw + item->raw_size)
        abort();
    shown_size = 0;
    kd_decode_summary(session, direction, item, &sink);
    if (memchr(shown, '\n', shown_size))
        abort();
    shown_size = 0;
    kd_decode_text(session, direction, item, 2, &sink);
    shown_size = 0;
    kd_decode_json(session, direction, item, &sink);
    if (!json_is_valid(shown))
        abort();
    if (shown_size < TWINS_MAX && json_has_twins(shown))
        abort();
}

/* BYTES as one item, however little its header fits to them. */
static void show_piece(struct kd_decode_session *session, uint8_t how, const uint8_t *bytes,
                       size_t size)
{
    struct kd_item item = {.raw = bytes, .raw_size = size};
    item.kind = how & 4 ? KD_ITEM_JUNK : KD_ITEM_PACKET;
    if (size >= KD_HEADER_SIZE) {
        kd_header_get(&item.header, bytes);
        size_t room = size - KD_HEADER_SIZE;
        item.body = bytes + KD_HEADER_SIZE;
        item.body_size = item.header.byte_count < room ? item.header.byte_count : room;
    }
    item.faults = how >> 4;
    show(session, (enum kd_direction)(how & 3) % 3, &item);
}

static void show_stream(struct kd_decode_session *session, uint8_t how, const uint8_t *bytes,
                        size_t size)
{
    static struct kd_stream stream;
    struct kd_item item;
    kd_stream_init(&stream, how & 4 ? KD_FRAMING_KDNET : KD_FRAMING_SERIAL);
    do {
        size_t used = kd_stream_feed(&stream, bytes, size, &item);
        bytes += used;
        size -= used;
        if (item.kind != KD_ITEM_NONE)
            show(session, (enum kd_direction)(how & 3) % 3, &item);
    } while (size || item.kind != KD_ITEM_NONE);
    while (kd_stream_flush(&stream, &item))
        show(session, (enum kd_direction)(how & 3) % 3, &item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kd_decode_session session = {.machine_type = 0};
    if (!size)
        return 0;
    uint8_t how = data[0];
    data++;
    size--;
    if (how & 8) {
        show_stream(&session, how, data, size);
        return 0;
    }
    while (size >= 2) {
        size_t count = kd_get_u16(data);
        data += 2;
        size -= 2;
        if (count > size)
            count = size;
        if (count > KD_PACKET_MAX)
            count = KD_PACKET_MAX;
        uint8_t *exact = malloc(count ? count : 1); /* its own block, so that ASan sees overruns */
        if (!exact)
            return 0;
        memcpy(exact, data, count);
        show_piece(&session, how, exact, count);
        free(exact);
        data += count;
        size -= count;
    }
    return 0;
}
