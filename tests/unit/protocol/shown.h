/* SPDX-License-Identifier: BSD-2-Clause */
/* What the decoder writes, kept as one string. */
#ifndef SHOWN_H
#define SHOWN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/decode.h"

struct shown {
    size_t size;
    char text[256 * 1024]; /* the JSON of the largest packet is below 20 KiB */
};

static inline void shown_write(void *context, const char *text, size_t size)
{
    struct shown *shown = context;
    assert_true(size < sizeof(shown->text) - shown->size);
    memcpy(shown->text + shown->size, text, size);
    shown->size += size;
    shown->text[shown->size] = '\0';
}

static inline const char *shown_summary(struct shown *shown, struct kd_decode_session *session,
                                        enum kd_direction direction, const struct kd_item *item)
{
    struct kd_sink sink = {shown_write, shown};
    shown->size = 0;
    kd_decode_summary(session, direction, item, &sink);
    return shown->text;
}

static inline const char *shown_text(struct shown *shown, struct kd_decode_session *session,
                                     enum kd_direction direction, const struct kd_item *item)
{
    struct kd_sink sink = {shown_write, shown};
    shown->size = 0;
    kd_decode_text(session, direction, item, 2, &sink);
    return shown->text;
}

static inline const char *shown_json(struct shown *shown, struct kd_decode_session *session,
                                     enum kd_direction direction, const struct kd_item *item)
{
    struct kd_sink sink = {shown_write, shown};
    shown->size = 0;
    kd_decode_json(session, direction, item, &sink);
    return shown->text;
}

/* A packet item over RAW, as the stream would give it (serial: with the trailer byte at the end if
 * there is one more byte than header and body). */
static inline struct kd_item item_of(const uint8_t *raw, size_t size)
{
    struct kd_item item = {.kind = KD_ITEM_PACKET, .raw = raw, .raw_size = size};
    if (size < KD_HEADER_SIZE) {
        item.faults = KD_FAULT_CUT;
        return item;
    }
    kd_header_get(&item.header, raw);
    size_t room = size - KD_HEADER_SIZE;
    item.body = raw + KD_HEADER_SIZE;
    item.body_size = item.header.byte_count < room ? item.header.byte_count : room;
    if (item.body_size < item.header.byte_count)
        item.faults = KD_FAULT_CUT;
    return item;
}

#endif
