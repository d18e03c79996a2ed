/* SPDX-License-Identifier: BSD-2-Clause */
#include "debug/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

uint64_t session_now(struct session *s)
{
    (void)s;
    return uv_hrtime() / 1000;
}

static void pump(struct session *s);

static void on_engine_timer(uv_timer_t *timer)
{
    struct session *s = timer->data;
    kd_debugger_tick(&s->debugger, session_now(s));
    pump(s);
}

static void drain_events(struct session *s)
{
    struct kd_debugger_event event;
    while (kd_debugger_event(&s->debugger, &event)) {
        if (event.kind == KD_DEBUGGER_DONE) {
            s->result = event;
            s->done = true;
        } else if (event.kind == KD_DEBUGGER_STOP) {
            s->stop_waiting = true;
        } else if (event.kind == KD_DEBUGGER_LOST) {
            s->lost = true;
        }
        if (s->on_event != NULL)
            s->on_event(s->context, &event);
    }
}

/* Tells events, writes what the engine has to say, and sets its timer. */
static void pump(struct session *s)
{
    const uint8_t *bytes;
    size_t size;
    drain_events(s);
    while ((size = kd_debugger_output(&s->debugger, &bytes)) > 0) {
        /* A queue that is full or a peer that is gone: as lost on the wire, the engine repeats. */
        (void)endpoint_write(&s->endpoint, bytes, size);
        kd_debugger_written(&s->debugger, session_now(s), size);
    }
    uint64_t deadline = kd_debugger_deadline(&s->debugger), now = session_now(s);
    if (deadline == KD_NEVER) {
        uv_timer_stop(&s->engine_timer);
        return;
    }
    uv_update_time(&s->loop);
    uv_timer_start(&s->engine_timer, on_engine_timer,
                   deadline > now ? (deadline - now + 999) / 1000 : 0, 0);
}

static void on_up(struct endpoint *endpoint, const char *peer)
{
    struct session *s = endpoint->context;
    char text[ENDPOINT_MESSAGE_MAX + 64];
    (void)peer;
    s->up = true;
    if (s->ever_up && s->on_notice != NULL) {
        snprintf(text, sizeof text, "%.300s: connected again", endpoint_where(endpoint));
        s->on_notice(s->context, text);
    }
    /* A target that was running goes on running when the wire comes back. */
    bool wait = s->ever_up && !s->break_wanted;
    kd_debugger_attach(&s->debugger, session_now(s), wait ? KD_ATTACH_WAIT : s->attach_how);
    s->ever_up = true;
    s->break_wanted = false;
    pump(s);
}

static void on_down(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    struct session *s = endpoint->context;
    char text[ENDPOINT_MESSAGE_MAX + 400];
    (void)unsent;
    s->up = false;
    snprintf(text, sizeof text, "%.300s: %s; waiting for it to come back", endpoint_where(endpoint),
             reason);
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    kd_debugger_disconnected(&s->debugger);
    if (kd_debugger_heard(&s->debugger) == KD_HEARD_NOTHING)
        s->ended = true; /* turned away at once: trying again would be no different */
    else if (s->on_notice != NULL)
        s->on_notice(s->context, text);
    pump(s);
}

static void on_data(struct endpoint *endpoint, const uint8_t *bytes, size_t size)
{
    struct session *s = endpoint->context;
    size_t room = sizeof s->first - s->first_size;
    memcpy(s->first + s->first_size, bytes, size < room ? size : room);
    s->first_size += size < room ? size : room;
    while (size > 0) {
        size_t used = kd_debugger_feed(&s->debugger, session_now(s), bytes, size);
        drain_events(s);
        bytes += used;
        size -= used;
    }
    pump(s);
}

static void on_notice(struct endpoint *endpoint, enum endpoint_notice what, const char *text)
{
    struct session *s = endpoint->context;
    bool first = what == ENDPOINT_RETRYING && !s->ever_up;
    if (first && !endpoint_spec_is_called(&endpoint->spec)) {
        /* Who starts a debugger by hand wants to know at once. */
        snprintf(s->reason, sizeof s->reason, "%s", text);
        s->ended = true;
    } else if (s->on_notice != NULL &&
               (first || what == ENDPOINT_LISTENING || what == ENDPOINT_WARNING)) {
        s->on_notice(s->context, text);
    }
}

static void on_ended(struct endpoint *endpoint, const char *reason)
{
    struct session *s = endpoint->context;
    s->ended = true;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct session *s = signal->data;
    bool ends = number != SIGINT;
    s->terminated |= ends;
    if (ends && s->leaving)
        session_leave(s);
    else
        s->interrupts++; /* whatever is under way ends, as by Ctrl-C */
}

void session_leave(struct session *s)
{
    s->leaving = true;
    s->interrupts = 0;
    if (s->terminated && s->give_up_at == 0)
        s->give_up_at = session_now(s) / 1000 + SESSION_LEAVE_MS;
}

static void on_wait_timer(uv_timer_t *timer)
{
    struct session *s = timer->data;
    s->timed_out = true;
}

int session_open(struct session *s, const struct endpoint_spec *spec,
                 const struct kd_debugger_config *config, char message[ENDPOINT_MESSAGE_MAX])
{
    static const struct endpoint_callbacks callbacks = {
        .up = on_up, .down = on_down, .data = on_data, .notice = on_notice, .ended = on_ended};
    int error = uv_loop_init(&s->loop);
    if (error != 0) {
        snprintf(message, ENDPOINT_MESSAGE_MAX, "no event loop: %s", uv_strerror(error));
        return KD_E_IO;
    }
    s->opened = true;
    uv_timer_init(&s->loop, &s->engine_timer);
    uv_timer_init(&s->loop, &s->wait_timer);
    s->engine_timer.data = s->wait_timer.data = s;
    end_signals_start(&s->loop, &s->signals, on_signal, s);
    kd_debugger_init(&s->debugger, config);
    endpoint_init(&s->loop, &s->endpoint, spec, &callbacks, s);
    return endpoint_open(&s->endpoint, message);
}

void session_close(struct session *s)
{
    if (!s->opened)
        return;
    s->on_event = NULL;
    s->on_notice = NULL;
    endpoint_close(&s->endpoint, NULL);
    uv_close((uv_handle_t *)&s->engine_timer, NULL);
    uv_close((uv_handle_t *)&s->wait_timer, NULL);
    end_signals_close(&s->signals);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    s->opened = false;
}

int session_wait(struct session *s, int64_t timeout_ms, bool (*until)(const struct session *))
{
    int result = KD_OK;
    s->timed_out = false;
    if (s->give_up_at != 0) {
        uint64_t now = session_now(s) / 1000;
        int64_t left = s->give_up_at > now ? (int64_t)(s->give_up_at - now) : 0;
        timeout_ms = timeout_ms < 0 || timeout_ms > left ? left : timeout_ms;
    }
    if (timeout_ms >= 0) {
        uv_update_time(&s->loop);
        uv_timer_start(&s->wait_timer, on_wait_timer, (uint64_t)timeout_ms, 0);
    }
    pump(s);
    while (!until(s)) {
        if (s->ended) {
            result = KD_E_CLOSED;
            break;
        }
        bool ending = s->terminated && !s->leaving;
        if ((s->interrupts > 0 || ending) && until != session_until_done) {
            result = KD_E_CANCELLED;
            break;
        }
        if (s->timed_out) {
            result = KD_E_TIMEOUT;
            break;
        }
        uv_run(&s->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&s->wait_timer);
    return result;
}

bool session_until_stop(const struct session *s)
{
    return s->stop_waiting || s->lost;
}

bool session_until_done(const struct session *s)
{
    return s->done;
}

bool session_until_up(const struct session *s)
{
    return s->up;
}

bool session_until_never(const struct session *s)
{
    (void)s;
    return false;
}

int session_finish(struct session *s, int started)
{
    if (started < 0)
        return started;
    s->done = false;
    int result = session_wait(s, -1, session_until_done);
    return result < 0 ? result : s->result.result;
}

bool session_read(struct session *s, uint64_t address, uint8_t *to, size_t size)
{
    return session_finish(s, kd_debugger_read(&s->debugger, session_now(s), KD_SPACE_VIRTUAL, 0,
                                              address, to, size)) == KD_OK;
}
