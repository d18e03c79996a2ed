/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between forwarding and recording: small reads are copied here, which takes next to no time, and
 * recorded a moment later in one go, when nobody waits for the next packet of a round trip. And
 * between recorder and file: blocks are collected, and a thread of their own writes them, so that a
 * disk that is slow for a moment does not hold up the session.
 */
#ifndef KDWIRE_RELAY_TAP_H
#define KDWIRE_RELAY_TAP_H

#include <uv.h>

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

/*
 * A sink in front of a file: two buffers, one being filled, one being written by the thread. When
 * both are full the caller waits: the session is then as fast as the disk, and nothing is lost.
 *
 *   the written buffer   event                     what happens
 *   empty                batch_flush               the filled one becomes it; the thread is woken
 *   full                 batch_flush               waits until it is empty, then as above
 *   full                 written                   empty
 *   full                 the file fails            empty; each later batch_flush gives the error
 */
struct batch {
    struct capture_sink sink;
    struct capture_sink *file;
    size_t limit;     /* at most BATCH_SIZE; less when files are rotated at a small size */
    size_t size;      /* of the buffer being filled */
    uint64_t time_ns; /* of the newest block in it */
    unsigned filling; /* which one that is */
    uv_thread_t thread;
    bool started;
    /* Shared with the thread, under the lock: */
    uv_mutex_t lock;
    uv_cond_t changed;
    size_t written_size; /* of the other buffer; 0 = empty */
    uint64_t written_time_ns;
    int error;
    bool quit;
    uint8_t bytes[2][BATCH_SIZE];
};

/* Starts the thread. KD_E_NO_MEMORY if that is not possible. */
int batch_start(struct batch *batch, struct capture_sink *file, uint64_t rotate_size);

/* Hands what is held to the thread; the file's error if it failed before. */
int batch_flush(struct batch *batch);

/* Writes what is held and ends the thread, if there is one; the file's error if it failed. */
int batch_stop(struct batch *batch);

#endif
