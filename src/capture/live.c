/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The live sink: a bounded ring of bytes between the session, which never waits, and a viewer that
 * may be slow. Only whole blocks enter, so what the viewer reads is always a valid capture.
 */
#include "capture/recorder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"

static size_t room(const struct capture_live *live)
{
    return live->capacity - live->size;
}

static void put(struct capture_live *live, const uint8_t *bytes, size_t size)
{
    size_t end = (live->at + live->size) % live->capacity;
    size_t part = live->capacity - end;
    part = part < size ? part : size;
    memcpy(live->ring + end, bytes, part);
    memcpy(live->ring, bytes + part, size - part);
    live->size += size;
}

/* Makes the comment about what was left out; 0 if the format has no comments. */
static int gap_block(const struct capture_live *live, uint64_t time_ns, uint8_t *out, size_t size)
{
    char note[160];
    snprintf(note, sizeof(note),
             "missing here: %" PRIu64 " records (%" PRIu64 " bytes): this viewer was too slow; "
             "a recording made at the same time is complete",
             live->missed_records, live->missed_bytes);
    const struct capture_packet packet = {CAPTURE_FROM_DEBUGGER, time_ns, NULL, 0, note, NULL};
    return capture_write(live->writer, &packet, out, size);
}

static bool report_gap(struct capture_live *live, size_t block_size, uint64_t time_ns)
{
    uint8_t gap[512]; /* tags and one sentence */
    int size = gap_block(live, time_ns, gap, sizeof(gap));
    if (size < 0 || (size_t)size > room(live) || block_size > room(live) - (size_t)size)
        return false;
    put(live, gap, (size_t)size);
    live->missed_records = 0;
    live->missed_bytes = 0;
    return true;
}

static int write_block(struct capture_sink *sink, const uint8_t *block, size_t size,
                       uint64_t time_ns)
{
    struct capture_live *live = (struct capture_live *)sink;
    bool was_empty = !live->size;
    bool fits = size <= room(live);
    if (fits && live->missed_records)
        fits = report_gap(live, size, time_ns);
    if (!fits) {
        live->missed_records++;
        live->missed_bytes += size;
        live->missed_total++;
        return KD_OK;
    }
    put(live, block, size);
    if (was_empty && live->ready)
        live->ready(live->context);
    return KD_OK;
}

static int begin(struct capture_sink *sink, const uint8_t *preamble, size_t size)
{
    struct capture_live *live = (struct capture_live *)sink;
    /* a new reader: what the last one did not take is of no use to it */
    live->at = 0;
    live->size = 0;
    live->missed_records = 0;
    live->missed_bytes = 0;
    if (size > live->capacity)
        return KD_E_NO_SPACE;
    put(live, preamble, size);
    if (live->ready)
        live->ready(live->context);
    return KD_OK;
}

int capture_live_init(struct capture_live *live, size_t capacity, struct capture_writer *writer)
{
    memset(live, 0, sizeof(*live));
    if (capacity < 2 * (size_t)CAPTURE_BLOCK_MAX)
        return KD_E_ARGUMENT;
    live->ring = malloc(capacity);
    if (!live->ring)
        return KD_E_NO_MEMORY;
    live->capacity = capacity;
    live->writer = writer;
    live->sink.begin = begin;
    live->sink.write = write_block;
    return KD_OK;
}

void capture_live_free(struct capture_live *live)
{
    free(live->ring);
    live->ring = NULL;
    live->size = 0;
}

size_t capture_live_peek(const struct capture_live *live, const uint8_t **bytes)
{
    size_t part = live->capacity - live->at;
    *bytes = live->ring + live->at;
    return part < live->size ? part : live->size;
}

void capture_live_consume(struct capture_live *live, size_t size)
{
    if (size > live->size)
        size = live->size;
    live->at = (live->at + size) % live->capacity;
    live->size -= size;
}
