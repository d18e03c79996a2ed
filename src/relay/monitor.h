/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a session is about, learnt from copies of its packets: counts, round trips, the last stop,
 * and whether the target end speaks KD at all. Never touches the forwarded bytes.
 */
#ifndef KDWIRE_RELAY_MONITOR_H
#define KDWIRE_RELAY_MONITOR_H

#include "capture/capture.h"
#include "kdwire/decode.h"

enum {
    MONITOR_TEXT_MAX = 200,   /* a stop or a line of console text, for one line on a terminal */
    MONITOR_CONSOLE_MIN = 16, /* so much readable text from a target with no packet is a console */
};

#define MONITOR_SILENT_NS 10000000000u /* a target that is there answers within its retries */

enum monitor_news {
    MONITOR_NOTHING = 0,
    MONITOR_STOP = 1,    /* monitor.last_stop is new */
    MONITOR_RESEND = 2,  /* a packet was sent again */
    MONITOR_RESET = 4,   /* one side starts the link anew */
    MONITOR_CONSOLE = 8, /* monitor.console holds text; told once per connection of the target */
    MONITOR_SILENT = 16, /* the debugger asks and the target says nothing; told once */
};

struct monitor_side {
    uint64_t packets, resends, damaged;
    uint32_t last_id;
    bool has_last_id;
};

struct monitor {
    struct monitor_side side[2]; /* by enum capture_direction */
    struct kd_decode_session decode;
    uint64_t resets, break_ins, stops;
    uint64_t round_trips, round_trip_sum_ns, round_trip_min_ns, round_trip_max_ns;
    uint64_t round_trip_last_ns, request_ns; /* request_ns: 0 = no request is open */
    char last_stop[MONITOR_TEXT_MAX];
    /* Of the present connection of the target: */
    uint64_t unanswered_ns; /* since when the debugger waits for any byte; 0 = it does not */
    bool target_spoke_kd, console_told, silent_told;
    size_t console_size;
    char console[MONITOR_TEXT_MAX];
};

void monitor_init(struct monitor *monitor);

/* Raw bytes that went by; before the items made of them. */
void monitor_data(struct monitor *monitor, enum capture_direction direction, uint64_t time_ns);

/* One item of the stream; returns enum monitor_news, OR-ed. */
unsigned monitor_item(struct monitor *monitor, enum capture_direction direction, uint64_t time_ns,
                      const struct kd_item *item);

/* Bytes of the target that will be a junk item later: returns MONITOR_CONSOLE or 0. */
unsigned monitor_pending_junk(struct monitor *monitor, const uint8_t *bytes, size_t size);

/* Once a second or so; returns MONITOR_SILENT when that is news. */
unsigned monitor_tick(struct monitor *monitor, uint64_t now_ns);

/* A new peer at the target end. */
void monitor_target_up(struct monitor *monitor);

#endif
