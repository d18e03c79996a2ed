/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts over a session: what `kdwire decode --stats` reports. */
#ifndef KDWIRE_DECODE_STATS_H
#define KDWIRE_DECODE_STATS_H

#include <stdio.h>

#include "kdwire/decode.h"

struct decode_stats;

/* NULL if out of memory. */
struct decode_stats *decode_stats_new(void);
void decode_stats_free(struct decode_stats *stats);

/* One item that went by. TIME_NS is UINT64_MAX if not known; then there are no durations. */
void decode_stats_item(struct decode_stats *stats, enum kd_direction direction, uint64_t time_ns,
                       const struct kd_item *item, const struct kd_message *message);

/* How many packets have been counted. */
uint64_t decode_stats_packets(const struct decode_stats *stats);

void decode_stats_text(struct decode_stats *stats, FILE *out);
void decode_stats_json(struct decode_stats *stats, FILE *out);

#endif
