/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "io/clock.h"

static const char *const end_names[] = {[RELAY_DEBUGGER] = "debugger", [RELAY_TARGET] = "target"};

const char *relay_event_name(enum relay_event_kind kind)
{
    static const char *const names[] = {
#define RELAY_EVENT_NAME(name, text) [RELAY_EVENT_##name] = (text),
        RELAY_EVENT_MAP(RELAY_EVENT_NAME)
#undef RELAY_EVENT_NAME
    };
    return names[kind];
}

static void report(struct relay *relay, enum relay_event_kind kind, const char *end,
                   const char *text)
{
    const struct relay_event event = {.kind = kind, .end = end, .text = text};
    relay->config.event(relay, &event);
}

static struct relay_side *other_side(struct relay_side *side)
{
    return &side->relay->sides[side->name == RELAY_DEBUGGER ? RELAY_TARGET : RELAY_DEBUGGER];
}

static enum capture_direction direction_of(const struct relay_side *side)
{
    return (enum capture_direction)side->name;
}

/* ---- copies: recorder, monitor, observers ---- */

static void record_failed(struct relay *relay, int code);

static void record(void *context, enum capture_direction direction, uint64_t time_ns,
                   const uint8_t *bytes, size_t size)
{
    struct relay *relay = context;
    monitor_data(&relay->monitor, direction, time_ns);
    recorder_data(&relay->recorder, direction, time_ns, bytes, size);
}

/* What was made of the last reads goes to the file and the observers. */
static void flush_record(struct relay *relay)
{
    int code = relay->recording ? batch_flush(&relay->batch) : KD_OK;
    if (code < 0) {
        recorder_remove_sink(&relay->recorder, &relay->batch.sink);
        record_failed(relay, code);
    }
    observers_push(&relay->observers);
}

static void drain_tap(struct relay *relay)
{
    tap_drain(&relay->tap, record, relay);
    flush_record(relay);
}

static void on_tap_timer(uv_timer_t *timer)
{
    drain_tap(timer->data);
}

static void tap_bytes(struct relay_side *side, const uint8_t *bytes, size_t size)
{
    struct relay *relay = side->relay;
    uint64_t now = clock_wall_ns();
    if (!tap_add(&relay->tap, direction_of(side), now, bytes, size)) {
        tap_drain(&relay->tap, record, relay);
        record(relay, direction_of(side), now, bytes, size);
        observers_push(&relay->observers);
    }
    if (!uv_is_active((uv_handle_t *)&relay->tap_timer))
        uv_timer_start(&relay->tap_timer, on_tap_timer, TAP_DELAY_MS, 0);
}

static void note(struct relay_side *side, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct relay_side *side, const char *format, ...)
{
    struct relay *relay = side->relay;
    char text[CAPTURE_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    drain_tap(relay); /* its bytes came before */
    recorder_note(&relay->recorder, direction_of(side), clock_wall_ns(), text);
    flush_record(relay);
}

static void report_news(struct relay *relay, unsigned news, enum capture_direction direction)
{
    struct monitor *monitor = &relay->monitor;
    const char *end = end_names[direction];
    char text[ENDPOINT_MESSAGE_MAX];
    if (news & MONITOR_STOP)
        report(relay, RELAY_EVENT_STOP, end, monitor->last_stop);
    if (news & MONITOR_RESEND)
        report(relay, RELAY_EVENT_RESEND, end, "a packet was sent again");
    if (news & MONITOR_RESET)
        report(relay, RELAY_EVENT_RESET, end, "the link starts anew");
    if (news & MONITOR_CONSOLE) {
        snprintf(text, sizeof(text),
                 "the target end sends text, not KD packets: \"%.120s\"; is this its console? "
                 "Choose the port that is set up for debugging",
                 monitor->console);
        report(relay, RELAY_EVENT_CONSOLE, end, text);
    }
    if (news & MONITOR_SILENT)
        report(relay, RELAY_EVENT_SILENT, "target",
               "the target has not answered the debugger for 10 s; is debugging switched on in it, "
               "on this port and at this speed?");
}

static void on_item(void *context, enum capture_direction direction, uint64_t time_ns,
                    const struct kd_item *item)
{
    struct relay *relay = context;
    unsigned news = monitor_item(&relay->monitor, direction, time_ns, item);
    if (news)
        report_news(relay, news, direction);
}

static void record_failed(struct relay *relay, int code)
{
    char text[ENDPOINT_MESSAGE_MAX];
    relay->recording = false;
    snprintf(text, sizeof(text), "%.300s: recording ends here: %s; the session goes on",
             relay->file.current,
             relay->file.error_number ? strerror(relay->file.error_number) : kd_error_text(code));
    report(relay, RELAY_EVENT_RECORD_FAILED, "record", text);
}

static void on_sink_failed(void *context, struct capture_sink *sink, int code)
{
    struct relay *relay = context;
    if (sink == &relay->batch.sink)
        record_failed(relay, code);
}

/* ---- forwarding ---- */

static const char other_is_down[] = "the other end is down";

/* Records and reports what this side lost since the last time. */
static void tell_dropped(struct relay_side *side, const char *why)
{
    struct relay *relay = side->relay;
    uint64_t fresh = side->dropped - side->dropped_told;
    if (!fresh)
        return;
    drain_tap(relay);
    recorder_dropped(&relay->recorder, direction_of(side), clock_wall_ns(), fresh, why);
    flush_record(relay);
    char text[ENDPOINT_MESSAGE_MAX], total[64] = "";
    if (side->dropped_told)
        snprintf(total, sizeof(total), "; %" PRIu64 " in all", side->dropped);
    snprintf(text, sizeof(text), "%" PRIu64 " bytes of the %s dropped while the %s is down%s",
             fresh, end_names[side->name], end_names[other_side(side)->name], total);
    const struct relay_event event = {
        .kind = RELAY_EVENT_DROP,
        .end = end_names[side->name],
        .text = text,
        .bytes = fresh,
        .total = side->dropped,
    };
    side->dropped_told = side->dropped;
    relay->config.event(relay, &event);
}

/* For each tick: the first sum of an outage comes at once, later ones after growing pauses. */
static void tell_dropped_seldom(struct relay_side *side)
{
    uint64_t now = uv_now(side->relay->loop);
    if (side->dropped == side->dropped_told || (side->drop_pause && now < side->drop_next))
        return;
    side->drop_pause = side->drop_pause ? 2 * side->drop_pause : RELAY_DROP_PAUSE_MS;
    if (side->drop_pause > RELAY_DROP_PAUSE_MAX_MS)
        side->drop_pause = RELAY_DROP_PAUSE_MAX_MS;
    side->drop_next = now + side->drop_pause;
    tell_dropped(side, other_is_down);
}

static void send_paced(struct relay *relay);

static void on_pace_timer(uv_timer_t *timer)
{
    send_paced(timer->data);
}

static void send_paced(struct relay *relay)
{
    struct endpoint *target = &relay->sides[RELAY_TARGET].endpoint;
    struct relay_side *debugger = &relay->sides[RELAY_DEBUGGER];
    const uint8_t *bytes;
    size_t size;
    while ((size = ring_peek(&relay->pace_queue, &bytes)) > 0 &&
           endpoint_queued(target) <= ENDPOINT_QUEUE_HIGH) {
        uint64_t now = uv_hrtime();
        size = pace_take(&relay->pace, now, size);
        if (!size) {
            uint64_t wait_ms = (pace_wait(&relay->pace, now) + 999999) / 1000000;
            uv_update_time(relay->loop);
            uv_timer_start(&relay->pace_timer, on_pace_timer, wait_ms, 0);
            break;
        }
        if (endpoint_write(target, bytes, size) < 0)
            return; /* its down callback counts the queue as dropped */
        ring_take(&relay->pace_queue, size);
        debugger->forwarded += size;
    }
    if (relay->pace_queue.size <= RELAY_PACE_QUEUE / 4)
        endpoint_resume(&debugger->endpoint);
}

/* Returns whether the bytes are on their way. */
static bool forward_paced(struct relay *relay, const uint8_t *bytes, size_t size)
{
    if (!endpoint_is_up(&relay->sides[RELAY_TARGET].endpoint) ||
        size > ring_room(&relay->pace_queue))
        return false;
    ring_put(&relay->pace_queue, bytes, size);
    if (relay->pace_queue.size > RELAY_PACE_QUEUE / 2)
        endpoint_pause(&relay->sides[RELAY_DEBUGGER].endpoint);
    if (!uv_is_active((uv_handle_t *)&relay->pace_timer))
        send_paced(relay);
    return true;
}

static bool forward(struct relay_side *side, const uint8_t *bytes, size_t size)
{
    struct relay *relay = side->relay;
    if (relay->pace.bytes && side->name == RELAY_DEBUGGER)
        return forward_paced(relay, bytes, size);
    int queued = endpoint_write(&other_side(side)->endpoint, bytes, size);
    if (queued < 0)
        return false;
    side->forwarded += size;
    if (queued > ENDPOINT_QUEUE_HIGH)
        endpoint_pause(&side->endpoint);
    return true;
}

static void tell_up(struct relay_side *side);

static void on_data(struct endpoint *endpoint, const uint8_t *bytes, size_t size)
{
    struct relay_side *side = endpoint->context;
    bool sent = forward(side, bytes, size);
    if (side->untold)
        tell_up(side);
    side->received += size;
    tap_bytes(side, bytes, size);
    if (!sent)
        side->dropped += size;
}

static void on_drained(struct endpoint *endpoint)
{
    struct relay_side *side = endpoint->context;
    struct relay *relay = side->relay;
    if (relay->pace.bytes && side->name == RELAY_TARGET)
        send_paced(relay);
    else
        endpoint_resume(&other_side(side)->endpoint);
}

/* ---- coming and going ---- */

static void tell_up(struct relay_side *side)
{
    const char *name = end_names[side->name], *peer = endpoint_peer(&side->endpoint);
    side->untold = false;
    tell_dropped(other_side(side), other_is_down);
    other_side(side)->drop_pause = 0;
    report(side->relay, RELAY_EVENT_UP, name, peer);
    note(side, "%s is connected: %s", name, peer);
}

static void on_up(struct endpoint *endpoint, const char *peer)
{
    struct relay_side *side = endpoint->context;
    (void)peer;
    side->connections++;
    side->up_since = uv_now(side->relay->loop);
    side->received_before = side->received;
    if (side->name == RELAY_TARGET)
        monitor_target_up(&side->relay->monitor);
    side->untold = side->brief_visits >= RELAY_BRIEF_VISITS;
    if (!side->untold)
        tell_up(side);
}

/* Counts visits that were none in a row; true: this one is the last that is told about. */
static bool was_brief_again(struct relay_side *side)
{
    bool brief = uv_now(side->relay->loop) - side->up_since < RELAY_BRIEF_MS &&
                 side->received == side->received_before &&
                 !endpoint_spec_waits(&side->endpoint.spec);
    side->brief_visits = brief ? side->brief_visits + 1 : 0;
    return side->brief_visits == RELAY_BRIEF_VISITS;
}

static bool both_have_gone(const struct relay *relay)
{
    for (int i = 0; i < 2; i++) {
        const struct relay_side *side = &relay->sides[i];
        if (!side->ended && (!side->connections || endpoint_is_up(&side->endpoint)))
            return false;
    }
    return true;
}

static void stop_when_done(struct relay *relay)
{
    if (relay->config.once && both_have_gone(relay))
        relay_stop(relay);
}

/* What waited for the pace and for the peer that is gone now. */
static uint64_t forget_queued(struct relay_side *side, size_t unsent)
{
    struct relay *relay = side->relay;
    struct relay_side *from = other_side(side);
    uint64_t lost = unsent;
    from->forwarded -= unsent;
    if (side->name == RELAY_TARGET) {
        lost += relay->pace_queue.size;
        ring_take(&relay->pace_queue, relay->pace_queue.size);
        uv_timer_stop(&relay->pace_timer);
    }
    return lost;
}

static void tell_down(struct relay_side *side, const char *reason, uint64_t lost)
{
    const char *name = end_names[side->name];
    note(side, "%s is gone: %s", name, reason);
    const struct relay_event event = {
        .kind = RELAY_EVENT_DOWN, .end = name, .text = reason, .bytes = lost};
    side->relay->config.event(side->relay, &event);
}

static void tell_brief(struct relay_side *side)
{
    char text[ENDPOINT_MESSAGE_MAX];
    snprintf(text, sizeof(text),
             "%.250s: connections end at once; is another program connected there, or is it the "
             "wrong address? Still trying; the next one that stays is reported",
             endpoint_where(&side->endpoint));
    report(side->relay, RELAY_EVENT_WARNING, end_names[side->name], text);
}

static void on_down(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    struct relay_side *side = endpoint->context;
    struct relay *relay = side->relay;
    uint64_t lost = forget_queued(side, unsent);
    bool untold = side->untold;
    side->untold = false;
    drain_tap(relay);
    recorder_flush(&relay->recorder, direction_of(side));
    bool brief = was_brief_again(side);
    if (!untold)
        tell_down(side, reason, lost);
    if (brief)
        tell_brief(side);
    other_side(side)->dropped += lost;
    if (lost && !untold)
        tell_dropped(other_side(side), "the other end went away before it took them");
    endpoint_resume(&other_side(side)->endpoint);
    if (side->endpoint.state != ENDPOINT_UP)
        stop_when_done(relay);
}

static void datagrams_failed(struct relay *relay, int code)
{
    char text[ENDPOINT_MESSAGE_MAX];
    snprintf(text, sizeof(text), "%.300s: the record of datagrams ends here: %s",
             relay->datagrams.file.current,
             relay->datagrams.file.error_number ? strerror(relay->datagrams.file.error_number)
                                                : kd_error_text(code));
    datagrams_close(&relay->datagrams);
    report(relay, RELAY_EVENT_RECORD_FAILED, "record", text);
}

static void on_datagram(struct endpoint *endpoint, const struct sockaddr *from,
                        const struct sockaddr *to, const uint8_t *bytes, size_t size)
{
    struct relay *relay = ((struct relay_side *)endpoint->context)->relay;
    int code = datagrams_add(&relay->datagrams, clock_wall_ns(), from, to, bytes, size);
    if (code < 0)
        datagrams_failed(relay, code);
}

static void on_notice(struct endpoint *endpoint, enum endpoint_notice what, const char *text)
{
    static const enum relay_event_kind kinds[] = {
        [ENDPOINT_LISTENING] = RELAY_EVENT_LISTENING, [ENDPOINT_RETRYING] = RELAY_EVENT_RETRYING,
        [ENDPOINT_REFUSED] = RELAY_EVENT_REFUSED,     [ENDPOINT_REPLACED] = RELAY_EVENT_REPLACED,
        [ENDPOINT_WARNING] = RELAY_EVENT_WARNING,
    };
    struct relay_side *side = endpoint->context;
    report(side->relay, kinds[what], end_names[side->name], text);
}

static void on_ended(struct endpoint *endpoint, const char *reason)
{
    struct relay_side *side = endpoint->context;
    struct relay *relay = side->relay;
    side->ended = true;
    if (!side->connections)
        relay->failed = true;
    report(relay, RELAY_EVENT_ENDED, end_names[side->name], reason);
    if (!relay->config.once || relay->failed)
        relay->finishing = true; /* the tick waits until the other end has taken everything */
    stop_when_done(relay);
}

static void on_observer_event(struct observers *observers, enum observer_event what,
                              enum endpoint_notice notice, const char *text)
{
    static const enum relay_event_kind kinds[] = {
        [OBSERVER_UP] = RELAY_EVENT_OBSERVER_UP,
        [OBSERVER_DOWN] = RELAY_EVENT_OBSERVER_DOWN,
        [OBSERVER_MISSED] = RELAY_EVENT_OBSERVER_MISSED,
        [OBSERVER_FAILED] = RELAY_EVENT_ENDED,
    };
    static const enum relay_event_kind notices[] = {
        [ENDPOINT_LISTENING] = RELAY_EVENT_LISTENING, [ENDPOINT_RETRYING] = RELAY_EVENT_RETRYING,
        [ENDPOINT_REFUSED] = RELAY_EVENT_REFUSED,     [ENDPOINT_REPLACED] = RELAY_EVENT_REPLACED,
        [ENDPOINT_WARNING] = RELAY_EVENT_WARNING,
    };
    if (what == OBSERVER_JOINING) {
        drain_tap(observers->context);
        return;
    }
    enum relay_event_kind kind = what == OBSERVER_NOTICE ? notices[notice] : kinds[what];
    report(observers->context, kind, "observer", text);
}

/* ---- life ---- */

/* A console that prints without a pause is held back as junk for a long time on a slow line. */
static void look_at_pending_text(struct relay *relay)
{
    const uint8_t *bytes;
    size_t size = kd_stream_junk(&relay->recorder.lane[CAPTURE_FROM_TARGET].stream, &bytes);
    if (size)
        report_news(relay, monitor_pending_junk(&relay->monitor, bytes, size), CAPTURE_FROM_TARGET);
}

static void on_tick(uv_timer_t *timer)
{
    struct relay *relay = timer->data;
    uint64_t now = clock_wall_ns();
    if (recorder_deadline(&relay->recorder) <= now)
        recorder_tick(&relay->recorder, now);
    flush_record(relay);
    int code = datagrams_flush(&relay->datagrams);
    if (code < 0)
        datagrams_failed(relay, code);
    look_at_pending_text(relay);
    if (endpoint_is_up(&relay->sides[RELAY_TARGET].endpoint))
        report_news(relay, monitor_tick(&relay->monitor, now), CAPTURE_FROM_TARGET);
    for (int i = 0; i < 2; i++) {
        struct relay_side *side = &relay->sides[i];
        if (side->untold && uv_now(relay->loop) - side->up_since >= RELAY_BRIEF_MS)
            tell_up(side);
        tell_dropped_seldom(side);
    }
    if (relay->finishing && !relay->pace_queue.size &&
        !endpoint_queued(&relay->sides[0].endpoint) && !endpoint_queued(&relay->sides[1].endpoint))
        relay_stop(relay);
}

static int cannot_record(const struct capture_file *file, const char *path, int rc, char *message)
{
    if (rc == KD_E_EXISTS)
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: exists already and is not overwritten; choose another name or remove it",
                 path);
    else if (rc < 0)
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: cannot record there: %s; choose another path", path,
                 file->error_number ? strerror(file->error_number) : kd_error_text(rc));
    return rc;
}

static int start_datagrams(struct relay *relay, char *message)
{
    const struct capture_file_config *file = relay->config.datagrams;
    int rc = datagrams_open(&relay->datagrams, file, &relay->config.writer);
    return cannot_record(&relay->datagrams.file, file->path, rc, message);
}

static int start_recording(struct relay *relay, char *message)
{
    int rc = capture_file_init(&relay->file, relay->config.record);
    if (rc >= 0)
        rc = batch_start(&relay->batch, &relay->file.sink, relay->config.record->rotate_size);
    if (rc >= 0)
        rc = recorder_add_sink(&relay->recorder, &relay->batch.sink);
    relay->recording = rc >= 0;
    return cannot_record(&relay->file, relay->config.record->path, rc, message);
}

static void init_side(struct relay *relay, enum relay_end_name name)
{
    static const struct endpoint_callbacks callbacks = {
        .up = on_up,
        .down = on_down,
        .data = on_data,
        .drained = on_drained,
        .notice = on_notice,
        .ended = on_ended,
        .datagram = on_datagram,
    };
    struct relay_side *side = &relay->sides[name];
    side->relay = relay;
    side->name = name;
    endpoint_init(relay->loop, &side->endpoint, &relay->config.ends[name], &callbacks, side);
    relay->open_parts++;
}

static void part_closed(struct relay *relay)
{
    if (--relay->open_parts)
        return;
    free(relay->pace_queue.bytes);
    relay->config.stopped(relay);
}

static void on_side_closed(struct endpoint *endpoint)
{
    part_closed(((struct relay_side *)endpoint->context)->relay);
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void on_observers_closed(struct observers *observers)
{
    part_closed(observers->context);
}

int relay_init(uv_loop_t *loop, struct relay *relay, const struct relay_config *config)
{
    memset(relay, 0, sizeof(*relay));
    relay->config = *config;
    relay->loop = loop;
    relay->pace = config->pace;
    ring_init(&relay->pace_queue, malloc(RELAY_PACE_QUEUE), RELAY_PACE_QUEUE);
    if (!relay->pace_queue.bytes)
        return KD_E_NO_MEMORY;
    monitor_init(&relay->monitor);
    const struct recorder_config recorder = {
        .writer = config->writer,
        .stream = KD_FRAMING_SERIAL,
        .context = relay,
        .item = on_item,
        .sink_failed = on_sink_failed,
    };
    int rc = recorder_init(&relay->recorder, &recorder);
    if (rc < 0) {
        free(relay->pace_queue.bytes);
        return rc;
    }
    relay->observers.context = relay;
    relay->observers.event = on_observer_event;
    relay->observers.closed = on_observers_closed;
    uv_timer_init(loop, &relay->tick);
    uv_timer_init(loop, &relay->pace_timer);
    uv_timer_init(loop, &relay->tap_timer);
    relay->tick.data = relay->pace_timer.data = relay->tap_timer.data = relay;
    relay->open_parts = 4; /* three timers and the observers */
    init_side(relay, RELAY_DEBUGGER);
    init_side(relay, RELAY_TARGET);
    return KD_OK;
}

int relay_open(struct relay *relay, char message[ENDPOINT_MESSAGE_MAX])
{
    int rc = observers_init(&relay->observers, &relay->recorder);
    message[0] = '\0';
    if (rc >= 0 && relay->config.record)
        rc = start_recording(relay, message);
    if (rc >= 0 && relay->config.datagrams)
        rc = start_datagrams(relay, message);
    for (size_t i = 0; i < relay->config.observer_count && rc >= 0; i++)
        rc = observers_open(&relay->observers, relay->loop, &relay->config.observers[i], message);
    for (int i = 0; i < 2 && rc >= 0; i++)
        rc = endpoint_open(&relay->sides[i].endpoint, message);
    if (rc < 0) {
        relay->failed = true;
        return rc;
    }
    uv_timer_start(&relay->tick, on_tick, RELAY_TICK_MS, RELAY_TICK_MS);
    return KD_OK;
}

static void finish(struct relay *relay)
{
    observers_close(&relay->observers);
    uv_close((uv_handle_t *)&relay->tick, on_timer_closed);
    uv_close((uv_handle_t *)&relay->pace_timer, on_timer_closed);
    uv_close((uv_handle_t *)&relay->tap_timer, on_timer_closed);
}

static void on_farewell(uv_timer_t *timer)
{
    struct relay *relay = timer->data;
    if (!observers_queued(&relay->observers) ||
        uv_now(relay->loop) - relay->stop_started > RELAY_FAREWELL_MS)
        finish(relay);
}

static void stop_recording(struct relay *relay)
{
    bool was_good = relay->recording;
    int code = batch_stop(&relay->batch);
    recorder_remove_sink(&relay->recorder, &relay->batch.sink);
    if (capture_file_close(&relay->file) < 0)
        code = KD_E_IO;
    if (was_good && code < 0)
        record_failed(relay, code);
    relay->recording = false;
}

void relay_stop(struct relay *relay)
{
    if (relay->stopping)
        return;
    relay->stopping = true;
    relay->stop_started = uv_now(relay->loop);
    drain_tap(relay);
    for (int i = 0; i < 2; i++) {
        struct relay_side *side = &relay->sides[i];
        if (side->endpoint.channel) {
            uint64_t lost = forget_queued(side, channel_unsent(side->endpoint.channel));
            tell_dropped(other_side(side), other_is_down);
            other_side(side)->dropped += lost;
            tell_dropped(other_side(side), "the relay was stopped");
        }
        recorder_flush(&relay->recorder, direction_of(side));
        const struct kdnet_stats *kdnet = endpoint_kdnet_stats(&side->endpoint);
        if (kdnet)
            side->kdnet = *kdnet;
    }
    for (int i = 0; i < 2; i++) {
        tell_dropped(&relay->sides[i], other_is_down);
        endpoint_close(&relay->sides[i].endpoint, on_side_closed);
    }
    flush_record(relay);
    stop_recording(relay);
    int code = datagrams_close(&relay->datagrams);
    if (code < 0)
        datagrams_failed(relay, code);
    uv_timer_stop(&relay->pace_timer);
    uv_timer_stop(&relay->tap_timer);
    uv_timer_start(&relay->tick, on_farewell, 0, RELAY_FAREWELL_STEP_MS);
}
