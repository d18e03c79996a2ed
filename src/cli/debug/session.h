/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A debugger engine on an endpoint and an event loop, made synchronous: each call runs the loop
 * until what it started has ended. Text, modules and the like are told to `on_event` meanwhile;
 * stops are only noted, so that what is done about them happens outside the loop's callbacks.
 */
#ifndef KDWIRE_DEBUG_SESSION_H
#define KDWIRE_DEBUG_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "io/endpoint.h"
#include "kdwire/debugger.h"
#include "platform.h"

enum {
    SESSION_LEAVE_MS = 5000, /* to detach after SIGTERM; service managers wait longer than that */
};

struct session {
    uv_loop_t loop;
    struct endpoint endpoint;
    struct kd_debugger debugger;
    uv_timer_t engine_timer;
    uv_timer_t wait_timer;
    struct end_signals signals;
    bool opened;

    enum kd_attach attach_how;
    bool up, ever_up, ended;
    bool break_wanted;                 /* stop the target when the wire comes back */
    char reason[ENDPOINT_MESSAGE_MAX]; /* why it is not up */
    uint8_t first[96];                 /* what the other side sent first, for error texts */
    size_t first_size;

    bool done; /* `result` is that of the last request */
    struct kd_debugger_event result;
    bool stop_waiting; /* a stop came that nobody has looked at */
    bool lost;         /* break-in was given up */
    bool timed_out;
    unsigned interrupts; /* Ctrl-C since it was last set to 0 */
    bool terminated;     /* SIGTERM or SIGHUP came: waits end until session_leave */
    bool leaving;
    uint64_t give_up_at; /* session_now's milliseconds; 0 = never */

    void (*on_event)(void *context, const struct kd_debugger_event *event);
    void (*on_notice)(void *context, const char *text);
    void *context;
};

/* Starts to open the endpoint. KD_E_* with MESSAGE. session_close in any case afterwards. */
int session_open(struct session *session, const struct endpoint_spec *spec,
                 const struct kd_debugger_config *config, char message[ENDPOINT_MESSAGE_MAX]);
void session_close(struct session *session);

/* Runs the loop until UNTIL says so, the time is over (negative: never) or an interrupt comes
 * (KD_E_CANCELLED), or the endpoint ended (KD_E_CLOSED). */
int session_wait(struct session *session, int64_t timeout_ms,
                 bool (*until)(const struct session *session));

/* Ready-made ends of waiting. */
bool session_until_stop(const struct session *session);
bool session_until_done(const struct session *session);
bool session_until_up(const struct session *session);
bool session_until_never(const struct session *session);

/* After a kd_debugger_* call that returned STARTED: waits for its DONE and returns its result.
 * Ctrl-C does not end this (the engine's own time-outs do); it is noted in `interrupts`. */
int session_finish(struct session *session, int started);

/* From now on waits go on after SIGTERM, too, but no longer than SESSION_LEAVE_MS altogether. */
void session_leave(struct session *session);

/* The time for kd_debugger_* calls, microseconds. */
uint64_t session_now(struct session *session);

/* Whether memory could be read whole. */
bool session_read(struct session *session, uint64_t address, uint8_t *to, size_t size);

#endif
