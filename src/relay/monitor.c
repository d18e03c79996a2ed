/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/monitor.h"

#include <string.h>

#include "kdwire/protocol.h"

void monitor_init(struct monitor *monitor)
{
    memset(monitor, 0, sizeof(*monitor));
}

void monitor_target_up(struct monitor *monitor)
{
    monitor->unanswered_ns = 0;
    monitor->request_ns = 0;
    monitor->target_spoke_kd = monitor->console_told = monitor->silent_told = false;
    monitor->console_size = 0;
    monitor->console[0] = '\0';
}

void monitor_data(struct monitor *monitor, enum capture_direction direction, uint64_t time_ns)
{
    if (direction == CAPTURE_FROM_TARGET) {
        monitor->unanswered_ns = 0;
        monitor->silent_told = false;
    } else if (!monitor->unanswered_ns) {
        monitor->unanswered_ns = time_ns;
    }
}

unsigned monitor_tick(struct monitor *monitor, uint64_t now_ns)
{
    if (!monitor->unanswered_ns || monitor->silent_told ||
        now_ns - monitor->unanswered_ns < MONITOR_SILENT_NS || now_ns < monitor->unanswered_ns)
        return MONITOR_NOTHING;
    monitor->silent_told = true;
    return MONITOR_SILENT;
}

/* Collects a line of readable text, with blanks for what a terminal would not show. */
static unsigned console_text(struct monitor *monitor, const uint8_t *bytes, size_t size)
{
    if (monitor->target_spoke_kd || monitor->console_told)
        return MONITOR_NOTHING;
    for (size_t i = 0; i < size && monitor->console_size < MONITOR_TEXT_MAX - 1; i++) {
        uint8_t c = bytes[i];
        bool readable = c >= ' ' && c < 127;
        if (readable || (c == '\n' && monitor->console_size))
            monitor->console[monitor->console_size++] = readable ? (char)c : ' ';
    }
    monitor->console[monitor->console_size] = '\0';
    if (monitor->console_size < MONITOR_CONSOLE_MIN)
        return MONITOR_NOTHING;
    monitor->console_told = true;
    return MONITOR_CONSOLE;
}

unsigned monitor_pending_junk(struct monitor *monitor, const uint8_t *bytes, size_t size)
{
    size_t before = monitor->console_size;
    unsigned news = console_text(monitor, bytes, size);
    if (!news) { /* they come again, as an item or as part of more */
        monitor->console_size = before;
        monitor->console[before] = '\0';
    }
    return news;
}

static void measure_round_trip(struct monitor *monitor, enum capture_direction direction,
                               uint64_t time_ns)
{
    if (direction == CAPTURE_FROM_DEBUGGER) {
        monitor->request_ns = time_ns;
        return;
    }
    if (!monitor->request_ns || time_ns < monitor->request_ns)
        return;
    uint64_t took = time_ns - monitor->request_ns;
    monitor->request_ns = 0;
    monitor->round_trip_last_ns = took;
    monitor->round_trip_sum_ns += took;
    if (!monitor->round_trips || took < monitor->round_trip_min_ns)
        monitor->round_trip_min_ns = took;
    if (took > monitor->round_trip_max_ns)
        monitor->round_trip_max_ns = took;
    monitor->round_trips++;
}

struct text {
    char *at;
    size_t room;
};

static void add_text(void *context, const char *bytes, size_t size)
{
    struct text *text = context;
    if (size > text->room)
        size = text->room;
    memcpy(text->at, bytes, size);
    text->at += size;
    text->room -= size;
}

static void remember_stop(struct monitor *monitor, const struct kd_item *item)
{
    struct text text = {monitor->last_stop, MONITOR_TEXT_MAX - 1};
    const struct kd_sink sink = {add_text, &text};
    kd_decode_summary(&monitor->decode, KD_TO_DEBUGGER, item, &sink);
    *text.at = '\0';
}

static unsigned control_packet(struct monitor *monitor, const struct kd_item *item)
{
    if (item->header.type != KD_PACKET_RESET)
        return MONITOR_NOTHING;
    monitor->resets++;
    monitor->side[0].has_last_id = monitor->side[1].has_last_id = false;
    return MONITOR_RESET;
}

/* Two data packets of one id in a row: the second is the first once more (ids alternate). */
static bool is_resend(struct monitor_side *side, const struct kd_item *item)
{
    bool again = side->has_last_id && side->last_id == item->header.id;
    side->has_last_id = true;
    side->last_id = item->header.id;
    return again;
}

static unsigned data_packet(struct monitor *monitor, enum capture_direction direction,
                            uint64_t time_ns, const struct kd_item *item)
{
    if (is_resend(&monitor->side[direction], item)) {
        monitor->side[direction].resends++;
        return MONITOR_RESEND;
    }
    if (item->header.type == KD_PACKET_STATE_MANIPULATE)
        measure_round_trip(monitor, direction, time_ns);
    bool stop = direction == CAPTURE_FROM_TARGET && item->header.type == KD_PACKET_STATE_CHANGE64;
    if (!stop)
        return MONITOR_NOTHING;
    monitor->stops++;
    remember_stop(monitor, item);
    return MONITOR_STOP;
}

unsigned monitor_item(struct monitor *monitor, enum capture_direction direction, uint64_t time_ns,
                      const struct kd_item *item)
{
    switch (item->kind) {
    case KD_ITEM_BREAK_IN:
        monitor->break_ins += direction == CAPTURE_FROM_DEBUGGER;
        return MONITOR_NOTHING;
    case KD_ITEM_JUNK:
        return direction == CAPTURE_FROM_TARGET ? console_text(monitor, item->raw, item->raw_size)
                                                : MONITOR_NOTHING;
    case KD_ITEM_PACKET:
        break;
    default:
        return MONITOR_NOTHING;
    }
    struct monitor_side *side = &monitor->side[direction];
    side->packets++;
    if (direction == CAPTURE_FROM_TARGET)
        monitor->target_spoke_kd = true;
    if (item->faults) {
        side->damaged++;
        return MONITOR_NOTHING;
    }
    if (item->header.leader == KD_LEADER_CONTROL)
        return control_packet(monitor, item);
    return data_packet(monitor, direction, time_ns, item);
}
