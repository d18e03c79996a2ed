/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between forwarding and recording: small reads are copied here, which takes next to no time, and
 * recorded a moment later in one go, when nobody waits for the next packet of a round trip. And
 * between recorder and file: blocks made in one go are written in one go.
 */
#ifndef KDWIRE_RELAY_TAP_H
#define KDWIRE_RELAY_TAP_H

#include "capture/recorder.h"

enum {
    TAP_SIZE = 128 * 1024,
    TAP_DIRECT = 16 * 1024, /* a read as large as this is part of bulk data: recorded at once */
    /* A killed relay has lost no more of the record than this. Not shorter: each wait for the next
     * packet would set the clock anew, which costs more than the forwarding (4 us measured). */
    TAP_DELAY_MS = 10,
    BATCH_SIZE = 512 * 1024,
};

struct tap {
    size_t size;
    uint8_t bytes[TAP_SIZE];
};

typedef void (*tap_each)(void *context, enum capture_direction direction, uint64_t time_ns,
                         const uint8_t *bytes, size_t size);

/* Adds a read. False: there is no room; drain first. */
bool tap_add(struct tap *tap, enum capture_direction direction, uint64_t time_ns,
             const uint8_t *bytes, size_t size);

/* Gives out all reads in order and is empty then. */
void tap_drain(struct tap *tap, tap_each each, void *context);

/* A sink in front of a file. */
struct batch {
    struct capture_sink sink;
    struct capture_sink *file;
    size_t limit; /* at most BATCH_SIZE; less when files are rotated at a small size */
    size_t size;
    uint64_t time_ns; /* of the newest block held */
    uint8_t bytes[BATCH_SIZE];
};

void batch_init(struct batch *batch, struct capture_sink *file, uint64_t rotate_size);

/* Writes what is held; the file's error if it fails. */
int batch_flush(struct batch *batch);

#endif
