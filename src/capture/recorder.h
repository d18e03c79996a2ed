/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recorder: bytes of a running session in, blocks of a capture file out, to any number of
 * sinks. One record per KD packet, break-in byte or run of other bytes; every byte given to
 * recorder_data is in exactly one record, in the order of its direction.
 *
 * A record's time is that of its first byte; it is written when its last byte came, so records of
 * the two directions may be slightly out of time order in the file (Wireshark copes).
 */
#ifndef KDWIRE_CAPTURE_RECORDER_H
#define KDWIRE_CAPTURE_RECORDER_H

#include <stdio.h>

#include "capture/capture.h"
#include "kdwire/stream.h"

/* ---- Sinks: where blocks go. Embed it as the first member of your own struct. ---- */

struct capture_sink {
    /* Called by recorder_add_sink; PREAMBLE stays valid while the recorder lives. */
    int (*begin)(struct capture_sink *sink, const uint8_t *preamble, size_t size);
    /* One whole block. Must not wait. An error below 0 makes the recorder remove the sink. */
    int (*write)(struct capture_sink *sink, const uint8_t *block, size_t size, uint64_t time_ns);
};

enum {
    RECORDER_SINKS_MAX = 8, /* one file and a few live viewers */
    RECORDER_MARKS = 64,    /* reads whose bytes are still held; beyond it times are approximate */
};

/* A byte of a packet that comes later than this after the one before is not waited for. A KD link
 * gives up within its own byte time-out, which is shorter. */
#define RECORDER_BYTE_TIMEOUT_NS 1000000000u

struct recorder_config {
    struct capture_writer_config writer;
    enum kd_framing stream; /* of the bytes that will be given */
    void *context;
    /* NULL, or: every item the recorder found, e.g. to count packets; ITEM lives for the call. */
    void (*item)(void *context, enum capture_direction direction, uint64_t time_ns,
                 const struct kd_item *item);
    /* NULL, or: SINK failed with CODE and was removed; tell the user. */
    void (*sink_failed)(void *context, struct capture_sink *sink, int code);
};

struct recorder_mark {
    uint64_t position, time_ns;
};

struct recorder_lane {
    struct kd_stream stream;
    uint64_t fed, handed;  /* bytes into and out of the stream */
    uint64_t last_ns;      /* when the last byte came */
    bool started, in_junk; /* the first packet was seen; the last item was junk */
    struct recorder_mark marks[RECORDER_MARKS];
    unsigned mark_first, mark_count;
};

struct recorder {
    struct recorder_config config;
    struct capture_writer writer;
    struct recorder_lane lane[2]; /* by enum capture_direction */
    struct capture_sink *sinks[RECORDER_SINKS_MAX];
    unsigned sink_count;
    uint64_t records, dropped; /* written; bytes reported by recorder_dropped */
    uint8_t block[CAPTURE_BLOCK_MAX];
};

/* About 50 KB: keep it on the heap or static. Errors as capture_writer_init. No clean-up needed. */
int recorder_init(struct recorder *recorder, const struct recorder_config *config);

/* Gives SINK the preamble, then every block. KD_E_NO_SPACE, or begin's error (then not added). */
int recorder_add_sink(struct recorder *recorder, struct capture_sink *sink);
void recorder_remove_sink(struct recorder *recorder, struct capture_sink *sink);

/* Bytes that went by. TIME_NS: since 1970 UTC, when they were read. Never fails, never waits. */
void recorder_data(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                   const uint8_t *bytes, size_t size);

/* This direction's sender is gone: writes what is held of a packet (with a comment). */
void recorder_flush(struct recorder *recorder, enum capture_direction direction);

/* When recorder_tick should be called (ns since 1970), UINT64_MAX if nothing is held. */
uint64_t recorder_deadline(const struct recorder *recorder);
void recorder_tick(struct recorder *recorder, uint64_t now_ns);

/* A remark of the user or the relay ("debugger connected"), as the comment of an empty record. */
void recorder_note(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                   const char *text);

/* BYTES bytes sent from DIRECTION were not delivered; WHY e.g. "the debugger end is down". */
void recorder_dropped(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                      uint64_t bytes, const char *why);

/* ---- A file, with rotation ---- */

enum {
    CAPTURE_PATH_MAX = 4096, /* longest path Linux takes */
};

struct capture_file_config {
    const char *path;        /* copied */
    uint64_t rotate_size;    /* bytes; 0: never. A file exceeds it only by a single record */
    uint64_t rotate_time_ns; /* from the file's first record to a later one; 0: never */
    unsigned keep;           /* rotating: how many of this run's files to keep; 0: all */
    bool replace;            /* not rotating: an existing file is overwritten, else KD_E_EXISTS */
    /* Makes a file and opens it for writing, with the rights it should have (a recording holds
     * memory of the target); errno tells why it could not. It must not exist yet unless REPLACE.
     * NULL: as fopen does it. */
    FILE *(*create)(const char *path, bool replace);
};

/*
 * Without rotation the file is PATH. With it, files are name_00001.pcapng, name_00002.pcapng, ...
 * for PATH name.pcapng, beginning at the first number that does not exist yet (nothing is
 * overwritten); each is complete in itself. Every block is one write.
 */
struct capture_file {
    struct capture_sink sink; /* pass &file->sink to recorder_add_sink */
    struct capture_file_config config;
    FILE *stream;
    const uint8_t *preamble;
    size_t preamble_size;
    uint64_t written, first_ns;
    bool has_record;
    unsigned first_number, number;  /* 0: not rotating */
    uint64_t total;                 /* bytes in all files */
    int error_number;               /* errno of the last failure */
    char path[CAPTURE_PATH_MAX];    /* of config */
    char current[CAPTURE_PATH_MAX]; /* file being written, for messages */
};

/* Creates nothing yet: recorder_add_sink does. KD_E_ARGUMENT: no path, or too long. */
int capture_file_init(struct capture_file *file, const struct capture_file_config *config);

/* Remove it from the recorder first. KD_E_IO if the last bytes could not be written. */
int capture_file_close(struct capture_file *file);

/* ---- A live viewer: a bounded queue that its owner empties into a FIFO, pipe or socket ---- */

struct capture_live {
    struct capture_sink sink;     /* add when the reader came, remove when it went */
    void (*ready)(void *context); /* NULL, or: bytes are waiting (called when it was empty) */
    void *context;
    uint8_t *ring;
    size_t capacity, at, size;
    struct capture_writer *writer;         /* for the comment that tells of a gap */
    uint64_t missed_records, missed_bytes; /* since the last gap was reported */
    uint64_t missed_total;                 /* records */
};

/* CAPACITY: bytes queued for a slow reader, at least 2 * CAPTURE_BLOCK_MAX. A block that does not
 * fit is left out whole and counted, and a comment says so when there is room again. */
int capture_live_init(struct capture_live *live, size_t capacity, struct capture_writer *writer);
void capture_live_free(struct capture_live *live);

/* The next bytes to write (returns how many, 0: none); then say how many were written. */
size_t capture_live_peek(const struct capture_live *live, const uint8_t **bytes);
void capture_live_consume(struct capture_live *live, size_t size);

#endif
