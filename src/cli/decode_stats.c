/* SPDX-License-Identifier: BSD-2-Clause */
#include "decode_stats.h"

#include <stdlib.h>
#include <string.h>

#define NO_TIME UINT64_MAX

enum {
    /* Kinds of messages told apart: all known ones (below 80) and room for unknown numbers; what
     * does not fit is counted as one more, nameless kind. */
    KINDS_MAX = 128,
    /* Round-trip times kept per kind for the median (8 MB at most each); a longer session is
     * represented by a random choice of this many. */
    SAMPLES_MAX = 1 << 20,
    SLOTS = 512, /* of the hash table; a power of two, several times KINDS_MAX */
};

struct kind {
    uint16_t type;
    uint32_t api;
    const char *name; /* NULL: unknown number */
    uint64_t requests, replies, bytes;
    uint64_t asked_ns; /* when the open request was sent first; NO_TIME: none is open */
    uint64_t trips;
    uint64_t *samples;
    size_t sample_count, sample_room;
};

struct side {
    uint64_t bytes, data, control, resends_asked, resets, repeats, break_ins, faulty;
    uint64_t junk_runs, junk_bytes;
    bool has_last; /* of the data packets; the same again is a repeat */
    struct kd_header last;
};

struct decode_stats {
    struct kind kinds[KINDS_MAX + 1]; /* the last one: all that do not fit */
    size_t kind_count;
    uint16_t slots[SLOTS]; /* index + 1 into kinds; 0 = free */
    struct side sides[3];  /* by enum kd_direction */
    uint64_t packets, first_ns, last_ns;
    uint64_t stops, stopped_ns, stopped_since; /* NO_TIME: runs */
    bool stopped;
    uint64_t random;
};

struct decode_stats *decode_stats_new(void)
{
    struct decode_stats *stats = calloc(1, sizeof(*stats));
    if (!stats)
        return NULL;
    stats->first_ns = stats->last_ns = stats->stopped_since = NO_TIME;
    stats->kinds[KINDS_MAX].asked_ns = NO_TIME;
    stats->random = 1;
    return stats;
}

void decode_stats_free(struct decode_stats *stats)
{
    if (!stats)
        return;
    for (size_t i = 0; i <= KINDS_MAX; i++)
        free(stats->kinds[i].samples);
    free(stats);
}

uint64_t decode_stats_packets(const struct decode_stats *stats)
{
    return stats->packets;
}

static struct kind *kind_of(struct decode_stats *stats, uint16_t type,
                            const struct kd_message *message)
{
    size_t slot = (message->api * 31u + type) % SLOTS;
    for (; stats->slots[slot]; slot = (slot + 1) % SLOTS) {
        struct kind *kind = &stats->kinds[stats->slots[slot] - 1];
        if (kind->type == type && kind->api == message->api)
            return kind;
    }
    if (stats->kind_count == KINDS_MAX)
        return &stats->kinds[KINDS_MAX];
    struct kind *kind = &stats->kinds[stats->kind_count++];
    kind->type = type;
    kind->api = message->api;
    kind->name = message->name;
    kind->asked_ns = NO_TIME;
    stats->slots[slot] = (uint16_t)stats->kind_count;
    return kind;
}

static uint64_t next_random(struct decode_stats *stats)
{
    stats->random ^= stats->random << 13;
    stats->random ^= stats->random >> 7;
    stats->random ^= stats->random << 17;
    return stats->random;
}

/* Out of memory only makes the median less exact. */
static void add_sample(struct decode_stats *stats, struct kind *kind, uint64_t ns)
{
    kind->trips++;
    if (kind->sample_count == kind->sample_room && kind->sample_room < SAMPLES_MAX) {
        size_t room = kind->sample_room ? 2 * kind->sample_room : 64;
        uint64_t *samples = realloc(kind->samples, room * sizeof(*samples));
        if (samples) {
            kind->samples = samples;
            kind->sample_room = room;
        }
    }
    if (kind->sample_count < kind->sample_room) {
        kind->samples[kind->sample_count++] = ns;
    } else if (kind->sample_room) {
        uint64_t at = next_random(stats) % kind->trips;
        if (at < kind->sample_room)
            kind->samples[at] = ns;
    }
}

static void count_message(struct decode_stats *stats, uint64_t time_ns, const struct kd_item *item,
                          const struct kd_message *message)
{
    struct kind *kind = kind_of(stats, item->header.type, message);
    kind->bytes += item->raw_size;
    if (!message->reply) {
        kind->requests++;
        if (message->has_reply && kind->asked_ns == NO_TIME)
            kind->asked_ns = time_ns;
        return;
    }
    kind->replies++;
    if (kind->asked_ns != NO_TIME && time_ns != NO_TIME && time_ns >= kind->asked_ns)
        add_sample(stats, kind, time_ns - kind->asked_ns);
    kind->asked_ns = NO_TIME;
}

static bool resumes(uint16_t type, const struct kd_message *message)
{
    if (type != KD_PACKET_STATE_MANIPULATE || message->reply)
        return false;
    switch (message->api) {
    case KD_API_Continue:
    case KD_API_Continue2:
    case KD_API_Reboot:
    case KD_API_CauseBugCheck:
        return true;
    default:
        return false;
    }
}

static void count_stops(struct decode_stats *stats, uint64_t time_ns, const struct kd_item *item,
                        const struct kd_message *message)
{
    if (item->header.type == KD_PACKET_STATE_CHANGE64 && !stats->stopped) {
        stats->stopped = true;
        stats->stops++;
        stats->stopped_since = time_ns;
    } else if (stats->stopped && resumes(item->header.type, message)) {
        stats->stopped = false;
        if (stats->stopped_since != NO_TIME && time_ns != NO_TIME &&
            time_ns >= stats->stopped_since)
            stats->stopped_ns += time_ns - stats->stopped_since;
    }
}

/* After a RESET the same packet comes without the SYNC bit. */
static bool same_packet(const struct kd_header *a, const struct kd_header *b)
{
    return ((a->id ^ b->id) & ~KD_ID_SYNC) == 0 && a->type == b->type &&
           a->byte_count == b->byte_count && a->checksum == b->checksum;
}

static void count_control(struct decode_stats *stats, enum kd_direction direction,
                          const struct kd_item *item)
{
    struct side *side = &stats->sides[direction];
    side->control++;
    if (item->header.type == KD_PACKET_RESEND)
        side->resends_asked++;
    if (item->header.type == KD_PACKET_RESET)
        side->resets++;
}

static void count_packet(struct decode_stats *stats, enum kd_direction direction, uint64_t time_ns,
                         const struct kd_item *item, const struct kd_message *message)
{
    struct side *side = &stats->sides[direction];
    stats->packets++;
    if (item->faults) {
        side->faulty++;
        return;
    }
    if (item->header.leader == KD_LEADER_CONTROL) {
        count_control(stats, direction, item);
        return;
    }
    side->data++;
    if (side->has_last && same_packet(&side->last, &item->header)) {
        side->repeats++;
        return; /* counted once as a message: the round trip began with the first */
    }
    side->last = item->header;
    side->has_last = true;
    count_message(stats, time_ns, item, message);
    count_stops(stats, time_ns, item, message);
}

void decode_stats_item(struct decode_stats *stats, enum kd_direction direction, uint64_t time_ns,
                       const struct kd_item *item, const struct kd_message *message)
{
    struct side *side = &stats->sides[direction];
    if (time_ns != NO_TIME) {
        if (stats->first_ns == NO_TIME)
            stats->first_ns = time_ns;
        if (stats->last_ns == NO_TIME || time_ns > stats->last_ns)
            stats->last_ns = time_ns;
    }
    side->bytes += item->raw_size;
    switch (item->kind) {
    case KD_ITEM_PACKET:
        count_packet(stats, direction, time_ns, item, message);
        break;
    case KD_ITEM_BREAK_IN:
        side->break_ins++;
        break;
    case KD_ITEM_JUNK:
        side->junk_runs++;
        side->junk_bytes += item->raw_size;
        break;
    default:
        break;
    }
}

/* ---- the report ---- */

struct summary {
    uint64_t duration_ns, stopped_ns;
    bool has_time;
};

static struct summary summarise(const struct decode_stats *stats)
{
    struct summary summary = {.stopped_ns = stats->stopped_ns};
    summary.has_time = stats->first_ns != NO_TIME;
    if (summary.has_time)
        summary.duration_ns = stats->last_ns - stats->first_ns;
    if (stats->stopped && stats->stopped_since != NO_TIME &&
        stats->last_ns >= stats->stopped_since) /* still stopped at the end */
        summary.stopped_ns += stats->last_ns - stats->stopped_since;
    return summary;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Most frequent first; then by number, so that reports of one recording are equal. */
static int by_frequency(const void *a, const void *b)
{
    const struct kind *const *x = a, *const *y = b;
    uint64_t left = (*x)->requests + (*x)->replies, right = (*y)->requests + (*y)->replies;
    if (left != right)
        return (left < right) - (left > right);
    return ((*x)->api > (*y)->api) - ((*x)->api < (*y)->api);
}

static size_t sorted_kinds(struct decode_stats *stats, struct kind *list[KINDS_MAX + 1])
{
    size_t count = 0;
    for (size_t i = 0; i <= KINDS_MAX; i++) {
        struct kind *kind = &stats->kinds[i];
        if (!kind->requests && !kind->replies)
            continue;
        if (kind->sample_count)
            qsort(kind->samples, kind->sample_count, sizeof(uint64_t), by_value);
        list[count++] = kind;
    }
    qsort(list, count, sizeof(list[0]), by_frequency);
    return count;
}

static void kind_label(const struct kind *kind, char *label, size_t size)
{
    if (kind->name)
        snprintf(label, size, "%s", kind->name);
    else if (kind->type)
        snprintf(label, size, "type %u number 0x%x", kind->type, kind->api);
    else
        snprintf(label, size, "others");
}

static void text_time(FILE *out, uint64_t ns)
{
    if (ns < 1000000)
        fprintf(out, " %7.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        fprintf(out, " %7.1f ms", (double)ns / 1e6);
    else
        fprintf(out, " %7.1f s ", (double)ns / 1e9);
}

struct row {
    const char *label, *name; /* for text and for JSON */
    size_t offset;            /* in struct side */
};

static const struct row rows[] = {
    {"bytes", "bytes", offsetof(struct side, bytes)},
    {"data packets", "data_packets", offsetof(struct side, data)},
    {"of them repeated", "repeated", offsetof(struct side, repeats)},
    {"control packets", "control_packets", offsetof(struct side, control)},
    {"of them RESEND", "resend", offsetof(struct side, resends_asked)},
    {"of them RESET", "reset", offsetof(struct side, resets)},
    {"damaged packets", "damaged", offsetof(struct side, faulty)},
    {"break-ins", "break_ins", offsetof(struct side, break_ins)},
    {"runs of junk", "junk_runs", offsetof(struct side, junk_runs)},
    {"bytes of junk", "junk_bytes", offsetof(struct side, junk_bytes)},
};

static uint64_t cell(const struct side *side, const struct row *row)
{
    uint64_t value;
    memcpy(&value, (const char *)side + row->offset, sizeof(value));
    return value;
}

static void text_sides(const struct decode_stats *stats, FILE *out)
{
    bool unknown = stats->sides[KD_DIRECTION_UNKNOWN].bytes > 0;
    fprintf(out, "%-18s %12s %12s%s\n", "", "to target", "to debugger",
            unknown ? "      unknown" : "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fprintf(out, "%-18s %12llu %12llu", rows[i].label,
                (unsigned long long)cell(&stats->sides[KD_TO_TARGET], &rows[i]),
                (unsigned long long)cell(&stats->sides[KD_TO_DEBUGGER], &rows[i]));
        if (unknown)
            fprintf(out, " %12llu",
                    (unsigned long long)cell(&stats->sides[KD_DIRECTION_UNKNOWN], &rows[i]));
        fputc('\n', out);
    }
}

static void text_kind(const struct kind *kind, FILE *out)
{
    char label[64];
    kind_label(kind, label, sizeof(label));
    fprintf(out, "%-28s %9llu %9llu %11llu", label, (unsigned long long)kind->requests,
            (unsigned long long)kind->replies, (unsigned long long)kind->bytes);
    if (kind->sample_count) {
        text_time(out, kind->samples[0]);
        text_time(out, kind->samples[kind->sample_count / 2]);
        text_time(out, kind->samples[kind->sample_count - 1]);
    }
    fputc('\n', out);
}

void decode_stats_text(struct decode_stats *stats, FILE *out)
{
    struct kind *list[KINDS_MAX + 1];
    size_t count = sorted_kinds(stats, list);
    struct summary summary = summarise(stats);
    fprintf(out, "%llu packets", (unsigned long long)stats->packets);
    if (summary.has_time)
        fprintf(out, " in %.6f s; the target was stopped for %.6f s of them, %llu times",
                (double)summary.duration_ns / 1e9, (double)summary.stopped_ns / 1e9,
                (unsigned long long)stats->stops);
    else
        fprintf(out, "; the target stopped %llu times (no times are known)",
                (unsigned long long)stats->stops);
    fprintf(out, "\n\n");
    text_sides(stats, out);
    if (!count)
        return;
    fprintf(out, "\n%-28s %9s %9s %11s %10s %10s %10s\n", "message", "requests", "replies", "bytes",
            "fastest", "median", "slowest");
    for (size_t i = 0; i < count; i++)
        text_kind(list[i], out);
}

static void json_side(const struct side *side, const char *name, FILE *out)
{
    fprintf(out, ",\"%s\":{", name);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        fprintf(out, "%s\"%s\":%llu", i ? "," : "", rows[i].name,
                (unsigned long long)cell(side, &rows[i]));
    fputc('}', out);
}

static void json_kind(const struct kind *kind, FILE *out)
{
    char label[64];
    kind_label(kind, label, sizeof(label));
    fprintf(out, "{\"message\":\"%s\",\"type\":%u,\"number\":%u,\"requests\":%llu,", label,
            kind->type, kind->api, (unsigned long long)kind->requests);
    fprintf(out, "\"replies\":%llu,\"bytes\":%llu", (unsigned long long)kind->replies,
            (unsigned long long)kind->bytes);
    if (kind->sample_count)
        fprintf(out,
                ",\"round_trips\":%llu,\"round_trip_us\":{\"min\":%.3f,\"median\":%.3f,"
                "\"max\":%.3f}",
                (unsigned long long)kind->trips, (double)kind->samples[0] / 1e3,
                (double)kind->samples[kind->sample_count / 2] / 1e3,
                (double)kind->samples[kind->sample_count - 1] / 1e3);
    fputc('}', out);
}

void decode_stats_json(struct decode_stats *stats, FILE *out)
{
    struct kind *list[KINDS_MAX + 1];
    size_t count = sorted_kinds(stats, list);
    struct summary summary = summarise(stats);
    fprintf(out, "{\"packets\":%llu,\"stops\":%llu", (unsigned long long)stats->packets,
            (unsigned long long)stats->stops);
    if (summary.has_time)
        fprintf(out, ",\"seconds\":%.9f,\"seconds_stopped\":%.9f",
                (double)summary.duration_ns / 1e9, (double)summary.stopped_ns / 1e9);
    json_side(&stats->sides[KD_TO_TARGET], "to_target", out);
    json_side(&stats->sides[KD_TO_DEBUGGER], "to_debugger", out);
    json_side(&stats->sides[KD_DIRECTION_UNKNOWN], "unknown_direction", out);
    fprintf(out, ",\"messages\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            fputc(',', out);
        json_kind(list[i], out);
    }
    fprintf(out, "]}\n");
}
