/* SPDX-License-Identifier: BSD-2-Clause */
/* A made-up session: bytes of both directions in reads of any size, the same for the same seed. */
#ifndef TEST_CAPTURE_SESSION_H
#define TEST_CAPTURE_SESSION_H

#include "capture/recorder.h"

enum { SESSION_READS_MAX = 8192 };

struct session_bytes {
    uint8_t *bytes;
    size_t size, room;
};

struct session_read {
    enum capture_direction direction;
    uint64_t time_ns;
    size_t at, size; /* in sent[direction] */
};

struct session {
    uint32_t random;
    struct session_bytes sent[2];
    struct session_read reads[SESSION_READS_MAX];
    size_t read_count;
};

#define SESSION_START_NS 1700000000123456789u

void bytes_add(struct session_bytes *bytes, const void *data, size_t size);
uint32_t session_random(struct session *session, uint32_t below);

/* Adds to one direction's bytes. A data packet gets its trailer. */
void session_add_data_packet(struct session *session, enum capture_direction from, uint16_t type,
                             uint32_t id, const void *body, size_t size);
void session_add_control_packet(struct session *session, enum capture_direction from, uint16_t type,
                                uint32_t id);

/* ITEMS packets, break-in bytes, console text and damaged packets each way, cut into reads. */
void session_make(struct session *session, uint32_t seed, unsigned items);
void session_free(struct session *session);

/* Gives all reads to RECORDER, and flushes. */
void session_play(const struct session *session, struct recorder *recorder);

/* A sink that keeps everything. */
struct memory_sink {
    struct capture_sink sink;
    struct session_bytes bytes;
    size_t blocks;
    size_t block_end[65536]; /* of bytes; [0] is the preamble's */
    int fail_with;           /* 0, or: what write returns */
};

void memory_sink_init(struct memory_sink *sink);

#endif
