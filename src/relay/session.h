/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay session: a debugger end and a target end, joined. Bytes are forwarded unmodified, in
 * the callback that read them; only then a copy goes to the tap, and from there, a millisecond
 * later or when the tap is full, to the recorder, the monitor and the observers. Either end may be
 * absent, vanish and return in any order.
 *
 *   from     the other end is    what happens to the bytes
 *   either   up                  forwarded; when it reads too slowly this end is read no more
 *                                until it caught up (so memory is bounded and nothing is lost)
 *   either   down                dropped, counted; recorded as dropped and reported in sums: at
 *                                once, then seldom, and when the outage ends
 *   either   lost meanwhile      what was still queued for it counts as dropped
 *   debugger up, with pacing     queued and given out as the pace allows
 *
 * Life: relay_init, relay_open, the loop runs, relay_stop, the `stopped` callback; then the memory
 * is the caller's again.
 */
#ifndef KDWIRE_RELAY_SESSION_H
#define KDWIRE_RELAY_SESSION_H

#include "io/ring.h"
#include "kdnet/session.h"
#include "relay/datagrams.h"
#include "relay/monitor.h"
#include "relay/observer.h"
#include "relay/pace.h"
#include "relay/tap.h"

/* The ends have the numbers of the recording's directions. */
enum relay_end_name {
    RELAY_DEBUGGER = CAPTURE_FROM_DEBUGGER,
    RELAY_TARGET = CAPTURE_FROM_TARGET,
};

enum {
    /* Bytes that wait for the pace. The debugger is read no more when it is half full, and the
     * other half takes the read that filled it. */
    RELAY_PACE_QUEUE = 2 * ENDPOINT_READ_MAX,
    RELAY_TICK_MS = 200, /* housekeeping: byte time-outs, silence, reports of drops */
    /* Sums of drops in one outage: a console that prints for days must not fill a terminal or a
     * disk with them. Each pause is twice the one before. */
    RELAY_DROP_PAUSE_MS = 5000,
    RELAY_DROP_PAUSE_MAX_MS = 60000,
    /* A peer that goes within this time and without a byte was no peer. After so many in a row of
     * an end that tries again by itself, only one that stays is told about. */
    RELAY_BRIEF_MS = 1000,
    RELAY_BRIEF_VISITS = 3,
    RELAY_FAREWELL_MS = 1000, /* at the end: for observers to take what waits for them */
    RELAY_FAREWELL_STEP_MS = 10,
};

/* X(name, text): text is the event's name in JSON. */
#define RELAY_EVENT_MAP(X)                                                                         \
    X(LISTENING, "listening")                                                                      \
    X(RETRYING, "retrying")                                                                        \
    X(UP, "up")                                                                                    \
    X(DOWN, "down")                                                                                \
    X(REFUSED, "refused")                                                                          \
    X(REPLACED, "replaced")                                                                        \
    X(WARNING, "warning")                                                                          \
    X(ENDED, "ended")                                                                              \
    X(DROP, "drop")                                                                                \
    X(STOP, "stop")                                                                                \
    X(RESEND, "resend")                                                                            \
    X(RESET, "reset")                                                                              \
    X(CONSOLE, "console")                                                                          \
    X(SILENT, "silent")                                                                            \
    X(OBSERVER_UP, "observer-up")                                                                  \
    X(OBSERVER_DOWN, "observer-down")                                                              \
    X(OBSERVER_MISSED, "observer-missed")                                                          \
    X(RECORD_FAILED, "record-failed")                                                              \
    X(SUMMARY, "summary")

enum relay_event_kind {
#define RELAY_EVENT_ENUM(name, text) RELAY_EVENT_##name,
    RELAY_EVENT_MAP(RELAY_EVENT_ENUM)
#undef RELAY_EVENT_ENUM
        RELAY_EVENT_COUNT,
};

struct relay_event {
    enum relay_event_kind kind;
    const char *end;  /* "debugger", "target", "observer" or "record" */
    const char *text; /* one line */
    uint64_t bytes;   /* DROP: since the last DROP event of this end; DOWN: that never left */
    uint64_t total;   /* DROP: all dropped bytes that this end sent */
};

struct relay;

struct relay_config {
    struct endpoint_spec ends[2]; /* by enum relay_end_name */
    const struct endpoint_spec *observers;
    size_t observer_count;
    struct capture_writer_config writer;
    const struct capture_file_config *record;    /* NULL: no recording */
    const struct capture_file_config *datagrams; /* NULL: KDNET datagrams are not recorded */
    struct pace pace;                            /* bytes 0: none */
    bool once;                                   /* stop when both ends have gone */
    void *context;
    void (*event)(struct relay *relay, const struct relay_event *event);
    void (*stopped)(struct relay *relay);
};

struct relay_side {
    struct endpoint endpoint;
    struct relay *relay;
    enum relay_end_name name;
    uint64_t received, forwarded, dropped; /* bytes that this end sent */
    uint64_t dropped_told;                 /* of dropped: reported and recorded */
    uint64_t drop_pause, drop_next;        /* ms; pause 0: nothing told in this outage */
    unsigned connections, brief_visits;
    uint64_t up_since, received_before; /* of the present peer: ms, received when it came */
    bool untold;                        /* the present peer, until it stays */
    bool ended;
    struct kdnet_stats kdnet; /* at the end; all zero of other ends */
};

struct relay {
    struct relay_config config;
    uv_loop_t *loop;
    struct relay_side sides[2]; /* by enum relay_end_name */
    struct monitor monitor;
    struct recorder recorder;
    struct capture_file file;
    struct batch batch; /* in front of the file */
    struct datagrams datagrams;
    struct tap tap; /* in front of the recorder */
    bool recording;
    struct observers observers;
    struct pace pace;
    struct ring pace_queue;
    uv_timer_t pace_timer, tap_timer, tick;
    unsigned open_parts; /* that must close before `stopped` */
    bool stopping, failed, finishing;
    uint64_t stop_started;
};

/* CONFIG is copied, what it points to must stay. KD_E_NO_MEMORY, KD_E_ARGUMENT. */
int relay_init(uv_loop_t *loop, struct relay *relay, const struct relay_config *config);

/* Opens record, ends and observers. An error's MESSAGE is one line; then call relay_stop. */
int relay_open(struct relay *relay, char message[ENDPOINT_MESSAGE_MAX]);

/* Ends the session: the recording is flushed, observers get what waits for them (for a second). */
void relay_stop(struct relay *relay);

const char *relay_event_name(enum relay_event_kind kind);

#endif
