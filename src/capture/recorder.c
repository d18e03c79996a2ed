/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"

#include <inttypes.h>
#include <string.h>

#include "kdwire/error.h"

enum {
    NOTE_MAX = 256, /* a comment the recorder makes itself: one sentence */
};

int recorder_init(struct recorder *recorder, const struct recorder_config *config)
{
    memset(recorder, 0, sizeof(*recorder));
    recorder->config = *config;
    for (unsigned i = 0; i < 2; i++)
        kd_stream_init(&recorder->lane[i].stream, config->stream);
    return capture_writer_init(&recorder->writer, &config->writer);
}

int recorder_add_sink(struct recorder *recorder, struct capture_sink *sink)
{
    if (recorder->sink_count == RECORDER_SINKS_MAX)
        return KD_E_NO_SPACE;
    int code = sink->begin(sink, recorder->writer.preamble, recorder->writer.preamble_size);
    if (code < 0)
        return code;
    recorder->sinks[recorder->sink_count++] = sink;
    return KD_OK;
}

void recorder_remove_sink(struct recorder *recorder, struct capture_sink *sink)
{
    for (unsigned i = 0; i < recorder->sink_count; i++) {
        if (recorder->sinks[i] != sink)
            continue;
        recorder->sink_count--;
        memmove(&recorder->sinks[i], &recorder->sinks[i + 1],
                (recorder->sink_count - i) * sizeof(struct capture_sink *));
        return;
    }
}

static void give_to_sinks(struct recorder *recorder, size_t size, uint64_t time_ns)
{
    /* backwards, because a sink that fails is taken out of the list */
    for (unsigned i = recorder->sink_count; i-- > 0;) {
        struct capture_sink *sink = recorder->sinks[i];
        int code = sink->write(sink, recorder->block, size, time_ns);
        if (code >= 0)
            continue;
        recorder_remove_sink(recorder, sink);
        if (recorder->config.sink_failed)
            recorder->config.sink_failed(recorder->config.context, sink, code);
    }
}

static void write_record(struct recorder *recorder, enum capture_direction direction,
                         uint64_t time_ns, const uint8_t *payload, size_t size, const char *comment)
{
    const struct capture_packet packet = {direction, time_ns, payload, size, comment, NULL};
    if (!recorder->sink_count)
        return;
    int block = capture_write(&recorder->writer, &packet, recorder->block, sizeof(recorder->block));
    if (block <= 0)
        return; /* 0: a comment alone in a format without comments; below 0 cannot be */
    recorder->records++;
    give_to_sinks(recorder, (size_t)block, time_ns);
}

/* ---- When did the first byte of an item come? ----
 *
 * A mark remembers the stream position and the time of each read whose bytes are still held. */

/* Forgets the marks before the first byte that was not handed out yet. */
static void forget_marks(struct recorder_lane *lane)
{
    while (lane->mark_count > 1) {
        unsigned next = (lane->mark_first + 1) % RECORDER_MARKS;
        if (lane->marks[next].position > lane->handed)
            break;
        lane->mark_first = next;
        lane->mark_count--;
    }
}

static void add_mark(struct recorder_lane *lane, uint64_t time_ns)
{
    forget_marks(lane);
    if (lane->mark_count == RECORDER_MARKS)
        return; /* these bytes count as come with the last mark */
    unsigned at = (lane->mark_first + lane->mark_count++) % RECORDER_MARKS;
    lane->marks[at] = (struct recorder_mark){lane->fed, time_ns};
}

static uint64_t first_byte_time(struct recorder_lane *lane)
{
    forget_marks(lane);
    return lane->marks[lane->mark_first].time_ns;
}

/* ---- Comments: what a reader of the recording should not overlook ---- */

/* Adds a sentence, behind "; " if there is one already. */
static void add_text(char *note, const char *text)
{
    size_t size = strlen(note);
    snprintf(note + size, NOTE_MAX - size, "%s%s", size ? "; " : "", text);
}

static const char *sender(enum capture_direction direction)
{
    return direction == CAPTURE_FROM_DEBUGGER ? "debugger" : "target";
}

static void packet_comment(char *note, const struct kd_item *item, bool first,
                           enum capture_direction direction)
{
    char line[128];
    note[0] = 0;
    if (first)
        add_text(note, direction == CAPTURE_FROM_DEBUGGER ? "first packet from the debugger"
                                                          : "first packet from the target");
    if (item->faults & KD_FAULT_LENGTH)
        add_text(note, "impossible length in the header");
    if (item->faults & KD_FAULT_CUT) {
        snprintf(line, sizeof(line), "cut: %zu bytes came, the rest did not", item->raw_size);
        add_text(note, line);
    }
    if (item->faults & KD_FAULT_CHECKSUM) {
        snprintf(line, sizeof(line),
                 "bad checksum: the header says 0x%08" PRIx32 ", the body adds up to 0x%08" PRIx32,
                 item->header.checksum, kd_checksum(item->body, item->body_size));
        add_text(note, line);
    }
    if (item->faults & KD_FAULT_TRAILER)
        add_text(note, "no trailer byte 0xAA after the body");
}

static void junk_comment(char *note, const struct recorder_lane *lane, const struct kd_item *item)
{
    note[0] = 0;
    if (lane->in_junk)
        return; /* the run's first record says it */
    snprintf(note, NOTE_MAX,
             lane->started ? "resynchronising: %zu bytes that belong to no packet"
                           : "%zu bytes before the first packet (console text?)",
             item->raw_size);
}

static void handle_item(struct recorder *recorder, enum capture_direction direction,
                        const struct kd_item *item)
{
    struct recorder_lane *lane = &recorder->lane[direction];
    uint64_t time_ns = first_byte_time(lane);
    lane->handed += item->raw_size;
    if (recorder->config.writer.framing != CAPTURE_RAW) {
        char note[NOTE_MAX] = "";
        if (item->kind == KD_ITEM_PACKET)
            packet_comment(note, item, !lane->started, direction);
        else if (item->kind == KD_ITEM_JUNK)
            junk_comment(note, lane, item);
        write_record(recorder, direction, time_ns, item->raw, item->raw_size,
                     note[0] ? note : NULL);
    }
    if (item->kind == KD_ITEM_PACKET)
        lane->started = true;
    lane->in_junk = item->kind == KD_ITEM_JUNK;
    if (recorder->config.item)
        recorder->config.item(recorder->config.context, direction, time_ns, item);
}

static void write_chunks(struct recorder *recorder, enum capture_direction direction,
                         uint64_t time_ns, const uint8_t *bytes, size_t size)
{
    while (size) {
        size_t part = size < CAPTURE_PAYLOAD_MAX ? size : CAPTURE_PAYLOAD_MAX;
        write_record(recorder, direction, time_ns, bytes, part, NULL);
        bytes += part;
        size -= part;
    }
}

void recorder_data(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                   const uint8_t *bytes, size_t size)
{
    if (direction > CAPTURE_FROM_TARGET || !size)
        return;
    struct recorder_lane *lane = &recorder->lane[direction];
    if (recorder->config.writer.framing == CAPTURE_RAW)
        write_chunks(recorder, direction, time_ns, bytes, size);
    add_mark(lane, time_ns);
    lane->last_ns = time_ns;
    struct kd_item item;
    do {
        size_t used = kd_stream_feed(&lane->stream, bytes, size, &item);
        lane->fed += used;
        bytes += used;
        size -= used;
        if (item.kind != KD_ITEM_NONE)
            handle_item(recorder, direction, &item);
    } while (size || item.kind != KD_ITEM_NONE);
}

void recorder_flush(struct recorder *recorder, enum capture_direction direction)
{
    if (direction > CAPTURE_FROM_TARGET)
        return;
    struct kd_item item;
    while (kd_stream_flush(&recorder->lane[direction].stream, &item))
        handle_item(recorder, direction, &item);
}

uint64_t recorder_deadline(const struct recorder *recorder)
{
    uint64_t deadline = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        const struct recorder_lane *lane = &recorder->lane[i];
        if (!kd_stream_pending(&lane->stream))
            continue;
        uint64_t due = lane->last_ns + RECORDER_BYTE_TIMEOUT_NS;
        deadline = due < deadline ? due : deadline;
    }
    return deadline;
}

void recorder_tick(struct recorder *recorder, uint64_t now_ns)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct recorder_lane *lane = &recorder->lane[i];
        if (kd_stream_pending(&lane->stream) && now_ns >= lane->last_ns + RECORDER_BYTE_TIMEOUT_NS)
            recorder_flush(recorder, (enum capture_direction)i);
    }
}

void recorder_note(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                   const char *text)
{
    if (direction > CAPTURE_FROM_TARGET)
        direction = CAPTURE_FROM_DEBUGGER;
    write_record(recorder, direction, time_ns, NULL, 0, text);
}

void recorder_dropped(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                      uint64_t bytes, const char *why)
{
    char note[NOTE_MAX];
    if (direction > CAPTURE_FROM_TARGET || !bytes)
        return;
    recorder->dropped += bytes;
    snprintf(note, sizeof(note), "dropped: %" PRIu64 " bytes from the %s were not delivered: %s",
             bytes, sender(direction), why ? why : "the other end is down");
    recorder_note(recorder, direction, time_ns, note);
}
