/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Observers: whoever reads the recording while it is made. Any number of them, each with a queue
 * of its own, so that none can slow the session or another observer. What they send is ignored.
 */
#ifndef KDWIRE_RELAY_OBSERVER_H
#define KDWIRE_RELAY_OBSERVER_H

#include "capture/recorder.h"
#include "io/channel.h"

enum {
    /* What waits for a slow observer: some hundred packets. Beyond it whole records are left out
     * and the observer is told how many. */
    OBSERVER_QUEUE = 1024 * 1024,
    OBSERVER_ENDS_MAX = 16,  /* --observe and --live options; each may have any number of peers */
    OBSERVER_PEERS_MAX = 64, /* of one listener: 64 MiB of queues if all of them sleep */
};

struct observer {
    struct capture_live live;
    struct observer_end *end;
    struct channel *channel; /* a listener's peer; NULL: the endpoint itself is the way */
    struct observer *next;
    char peer[ENDPOINT_MESSAGE_MAX];
};

struct observers;

/* One --observe or --live. */
struct observer_end {
    struct endpoint endpoint;
    struct observers *all;
    struct observer *first;
    unsigned peers;
};

enum observer_event {
    OBSERVER_NOTICE,  /* what the endpoint has to say; notice is set */
    OBSERVER_JOINING, /* about to be added: what came before is not for it */
    OBSERVER_UP,
    OBSERVER_DOWN,
    OBSERVER_MISSED,
    OBSERVER_FAILED, /* the endpoint ended */
};

struct observers {
    struct capture_sink sink; /* the recorder's; hands each block to all observers */
    struct capture_writer *writer;
    const uint8_t *preamble;
    size_t preamble_size;
    struct observer_end ends[OBSERVER_ENDS_MAX];
    unsigned end_count, open_ends;
    unsigned peers;        /* present ones */
    uint64_t missed_total; /* records left out, of all observers */
    bool dirty;            /* blocks came since the last observers_push */
    void *context;
    void (*event)(struct observers *observers, enum observer_event what,
                  enum endpoint_notice notice, const char *text);
    void (*closed)(struct observers *observers);
};

/* RECORDER is initialised; the observers become one of its sinks. */
int observers_init(struct observers *observers, struct recorder *recorder);

/* Opens one more end. */
int observers_open(struct observers *observers, uv_loop_t *loop, const struct endpoint_spec *spec,
                   char message[ENDPOINT_MESSAGE_MAX]);

/* Sends what was recorded since the last call; to be called after each recorder call. */
void observers_push(struct observers *observers);

/* Bytes that still wait for some observer. */
size_t observers_queued(const struct observers *observers);

/* Ends all; `closed` comes after everything is closed (at once when nothing was open). */
void observers_close(struct observers *observers);

#endif
