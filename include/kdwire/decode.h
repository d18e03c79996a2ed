/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any packet as text or JSON, driven by protocol.h: unknown and damaged ones too. No memory is
 * allocated; text goes to a sink piece by piece.
 */
#ifndef KDWIRE_DECODE_H
#define KDWIRE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/protocol.h"
#include "kdwire/stream.h"

enum kd_direction {
    KD_DIRECTION_UNKNOWN,
    KD_TO_TARGET,
    KD_TO_DEBUGGER,
};

struct kd_sink {
    void (*write)(void *context, const char *text, size_t size);
    void *context;
};

/* What earlier packets of a session told; starts as all zeros. */
struct kd_decode_session {
    uint16_t machine_type; /* 0 = not known: amd64 is assumed */
};

/* One line that says what the item is and its most telling fields, without a line end. */
void kd_decode_summary(struct kd_decode_session *session, enum kd_direction direction,
                       const struct kd_item *item, const struct kd_sink *sink);

/* All fields, one per line, each line started with INDENT spaces; data as a hex dump. */
void kd_decode_text(struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item, unsigned indent, const struct kd_sink *sink);

/* One JSON object on one line, without a line end. 64-bit values are strings "0x...". */
void kd_decode_json(struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item, const struct kd_sink *sink);

#endif
