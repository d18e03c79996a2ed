/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debugger's engine.
 *
 * States, and what moves them (seek: what goes out until a state change comes):
 *
 *   state      event                                  next state, action
 *   ---------  -------------------------------------  -------------------------------------------
 *   IDLE       attach                                 ATTACHING; seek ATTACH: RESET, then 'b', ...
 *   ATTACHING  state change                           STOPPED; STOP; seek ends
 *   ATTACHING  reply to nobody (the target waited     RESET at once: now it repeats its state
 *              for its ACK when RESET came)           change
 *   RUNNING    state change                           STOPPED; STOP; seek ends
 *   RUNNING    break_in                               seek BREAK: 'b', RESET, 'b', ... bounded;
 *                                                     RESET first if the target was lost
 *   STOPPED    Continue acknowledged                  RUNNING; RUN, DONE
 *   STOPPED    state change before that ACK:
 *              - equal to the last, no RESET sent     not decided: when the ACK comes, seek CHECK
 *              - equal, RESET sent                    it did not run: DONE(TIMEOUT), STOP repeated
 *              - different                            it ran: RUN, DONE, STOP
 *   STOPPED    state change, other request under way:
 *              - equal, no RESET sent                 ignored (noise that looked like a break-in)
 *              - equal, RESET sent                    target waits for requests: see below
 *              - different                            DONE(RESET), STOP
 *   STOPPED    SYNC id, not of a reply; or RESETs     RUNNING; RESTARTED, DONE(RESET); the packet
 *              answered, but no request acknowledged  with the id is then judged as RUNNING
 *   STOPPED    no answer to all that was tried        RUNNING; LOST, DONE(TIMEOUT)
 *   any        detach acknowledged, disconnected      IDLE
 *
 * The life of a request's packet:
 *
 *   waits for the link -> sent -> acknowledged -> replied
 *   The link gives up (LOST), or no reply in time: RESET. Then either the reply comes again (the
 *   target still waits for its ACK), or the state change (it waits for a request: it has not seen
 *   ours, or saw it with a damaged header field, or its reply was thrown away by mistake).
 *   In the second case the packet is sent again if a second execution has no other effect than
 *   the first:
 *     sent again: reads, searches, contexts, control space, memory writes and fills (same bytes to
 *       the same place), breakpoints (the target refuses a second one), version, walk, restore
 *     never: Continue, Reboot, SwitchProcessor, ports, MSR writes, bus data: DONE(TIMEOUT) with
 *       maybe_done
 *   A reply may belong to an earlier request of the same kind that was given up. So each request
 *   carries a number in ProcessorLevel, which replies echo (that field is junk in real WinDbg
 *   requests and comes back unchanged); the engine notes whether this target does so.
 *
 * Header fields are not covered by the checksum, the API number in the body is: packets are told
 * apart by that number, not by the type in the header.
 */
#include "debugger_inside.h"

#include <string.h>

enum {
    /* NT and our own target never answer RESET later than this many rounds if they are there. */
    CHECK_ROUNDS = 2,
};

#define DEFAULT_REQUEST_TIMEOUT_US 3000000u
#define DEFAULT_REQUEST_TRIES      4u
#define DEFAULT_ATTACH_INTERVAL_US 1000000u
#define RESET_WAIT_US              500000u /* a stopped target that answers RESET does so at once */

/* ---- events ---- */

struct kd_debugger_event *kd_debugger_push(struct kd_debugger *d, enum kd_debugger_event_kind kind)
{
    /* Full only if the user does not drain: then the newest is lost, except that there is always
     * room for the last one, which may be the DONE someone waits for. */
    if (d->event_count == KD_DEBUGGER_EVENTS_MAX)
        d->event_count--;
    unsigned at = (d->event_first + d->event_count++) % KD_DEBUGGER_EVENTS_MAX;
    struct kd_debugger_event *event = &d->events[at];
    memset(event, 0, sizeof *event);
    event->kind = kind;
    return event;
}

bool kd_debugger_event(struct kd_debugger *d, struct kd_debugger_event *event)
{
    if (d->event_count == 0)
        return false;
    *event = d->events[d->event_first];
    d->event_first = (d->event_first + 1) % KD_DEBUGGER_EVENTS_MAX;
    d->event_count--;
    return true;
}

/* ---- seeking a stopped target ---- */

static void seek_start(struct kd_debugger *d, uint64_t at, enum kd_seek seek, bool break_first,
                       unsigned rounds)
{
    d->seek = seek;
    d->seek_break_next = break_first;
    d->seeks_left = rounds;
    d->seek_deadline = at;
}

void kd_debugger_await_reset(struct kd_debugger *d, uint64_t now)
{
    d->reset_wait_end = now + RESET_WAIT_US;
}

void kd_debugger_send_reset(struct kd_debugger *d, uint64_t now)
{
    kd_link_send_reset(&d->link, now);
    kd_debugger_await_reset(d, now);
}

static void seek_step(struct kd_debugger *d, uint64_t now)
{
    if (d->seek != KD_SEEK_ATTACH && d->seeks_left == 0) {
        if (d->seek == KD_SEEK_BREAK)
            kd_debugger_push(d, KD_DEBUGGER_LOST);
        d->seek = KD_SEEK_NONE;
        return;
    }
    if (d->seeks_left > 0)
        d->seeks_left--;
    bool break_in = d->seek_break_next;
    if (break_in)
        kd_link_send_break_in(&d->link, now);
    else
        kd_debugger_send_reset(d, now);
    bool alternate =
        d->seek == KD_SEEK_BREAK || (d->seek == KD_SEEK_ATTACH && d->attach_how == KD_ATTACH_STOP);
    d->seek_break_next = alternate && !break_in;
    /* A stopped target answers RESET at once; the shorter pause keeps attaching to a running one
     * quick. The break-in needs time: the target polls for it. */
    uint64_t pause = d->config.attach_interval_us;
    d->seek_deadline = now + (break_in || !alternate ? pause : pause / 2);
}

/* ---- stops ---- */

/* The target has taken a Continue, and nothing was asked of it since: it has run. */
static bool came_by_itself(const struct kd_debugger *d)
{
    bool asked =
        d->seek != KD_SEEK_NONE && !(d->seek == KD_SEEK_CHECK && d->seeks_left == CHECK_ROUNDS);
    return d->state == KD_DEBUGGER_RUNNING && !asked;
}

static void stopped(struct kd_debugger *d, uint32_t kind, const uint8_t *body, size_t body_size,
                    bool same)
{
    kd_debugger_parse_stop(&d->stop, kind, body, body_size);
    d->stop.repeated = same && !d->recheck && !came_by_itself(d);
    memcpy(d->stop_raw, body, sizeof d->stop_raw);
    d->have_stop = true;
    d->state = KD_DEBUGGER_STOPPED;
    d->seek = KD_SEEK_NONE;
    d->recheck = false;
    d->lost = false;
    d->prompted = false;
    if (d->stop.kind == KD_STOP_LOAD || d->stop.kind == KD_STOP_UNLOAD) {
        enum kd_debugger_event_kind event =
            d->stop.kind == KD_STOP_LOAD ? KD_DEBUGGER_MODULE_LOADED : KD_DEBUGGER_MODULE_UNLOADED;
        kd_debugger_push(d, event)->module = &d->stop.module;
    }
    kd_debugger_push(d, KD_DEBUGGER_STOP)->stop = &d->stop;
}

/* A state change while Continue is under way. Returns whether it is a stop to report. */
static bool stop_after_go(struct kd_debugger *d, bool same)
{
    struct kd_debugger_request *r = &d->request;
    if (!same) {
        if (!r->unsent) {
            kd_debugger_push(d, KD_DEBUGGER_RUN);
            kd_debugger_finish(d, KD_OK, 0, 0);
        } else {
            kd_debugger_finish(d, KD_E_RESET, 0, 0);
        }
        return true;
    }
    if (r->unsent)
        return false;
    if (r->asking) {
        kd_debugger_finish(d, KD_E_TIMEOUT, 0, 0);
        return true;
    }
    d->recheck = true;
    return false;
}

/* The same state change again, while another request is under way. */
static void stop_again(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_NONE || !r->asking || r->unsent)
        return;
    if (r->op == KD_OP_SWITCH || !kd_debugger_repeatable(r->api)) {
        kd_debugger_packet_done(d, now, KD_E_TIMEOUT, 0, NULL, 0);
        return;
    }
    r->repeated = true;
    r->unsent = true;
    r->acked = false;
    r->resets_answered = 0;
    kd_debugger_try_send(d, now);
    r->deadline = now + d->config.request_timeout_us;
}

static void on_state_change(struct kd_debugger *d, uint64_t now, uint32_t kind, const uint8_t *body,
                            size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    if (body_size < KD_STATE_CHANGE_SIZE || d->state == KD_DEBUGGER_IDLE)
        return;
    bool same = d->have_stop && memcmp(d->stop_raw, body, sizeof d->stop_raw) == 0;
    if (kd_debugger_is_go(r)) {
        if (!stop_after_go(d, same) || d->state == KD_DEBUGGER_IDLE)
            return;
    } else if (r->op == KD_OP_SWITCH) {
        bool there = KD_GET(body, StateChange, Processor) == r->cpu && !r->unsent;
        if (same && !(there && (r->acked || r->asking))) {
            stop_again(d, now);
            return;
        }
        kd_debugger_finish(d, there ? KD_OK : KD_E_RESET, 0, 0);
    } else if (d->state == KD_DEBUGGER_STOPPED) {
        if (same) {
            stop_again(d, now);
            return;
        }
        if (r->op != KD_OP_NONE)
            kd_debugger_packet_done(d, now, KD_E_RESET, 0, NULL, 0);
    }
    stopped(d, kind, body, body_size, same);
}

/* ---- the link's events ---- */

void kd_debugger_target_restarted(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (d->have_stop) {
        d->have_stop = false;
        kd_debugger_push(d, KD_DEBUGGER_RESTARTED);
    }
    d->no_context_ex = d->controlled = false;
    d->prompted = false;
    if (r->op == KD_OP_DETACH)
        kd_debugger_finish(d, KD_E_RESET, 0, 0);
    else if (r->op != KD_OP_NONE)
        kd_debugger_packet_done(d, now, KD_E_RESET, 0, NULL, 0);
    if (d->state == KD_DEBUGGER_STOPPED && r->op == KD_OP_NONE)
        d->state = KD_DEBUGGER_RUNNING;
}

static void on_packet(struct kd_debugger *d, uint64_t now, const uint8_t *body, size_t body_size)
{
    if (body_size < 4)
        return;
    uint32_t api = kd_get_u32(body);
    bool reply = api >= KD_API_FIRST && api <= KD_API_LAST;
    if (d->restarted && !reply)
        kd_debugger_target_restarted(d, now);
    d->restarted = false;
    uint32_t state = api & ~(uint32_t)KD_STATE_ALTERNATE;
    if (state >= KD_STATE_EXCEPTION && state <= KD_STATE_COMMAND_STRING)
        on_state_change(d, now, state, body, body_size);
    else if (reply)
        kd_debugger_on_reply(d, now, api, body, body_size);
    else if (api == KD_API_PRINT_STRING || api == KD_API_GET_STRING)
        kd_debugger_on_debug_io(d, api, body, body_size);
    else if (api >= KD_API_CREATE_FILE && api <= KD_API_CLOSE_FILE)
        kd_debugger_on_file_io(d, now, api, body, body_size);
    /* Trace data and whatever else: acknowledged by the link, of no use here. */
}

static void go_acked(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool trace = r->api == KD_API_Continue2 && KD_GET(r->head, Continue2Amd64, TraceFlag) != 0;
    bool detach = r->op == KD_OP_DETACH;
    d->state = KD_DEBUGGER_RUNNING;
    kd_debugger_push(d, KD_DEBUGGER_RUN);
    kd_debugger_finish(d, KD_OK, 0, 0);
    if (detach)
        return;
    /* A step ends at once: if nothing comes, its packet may have been acknowledged with a damaged
     * header and ignored. RESET makes a stopped target speak. */
    if (d->recheck)
        seek_start(d, now, KD_SEEK_CHECK, false, CHECK_ROUNDS);
    else if (trace)
        seek_start(d, now + d->config.request_timeout_us, KD_SEEK_CHECK, false, CHECK_ROUNDS);
}

static void on_acked(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool mine = d->owner == KD_OWNER_REQUEST;
    d->owner = KD_OWNER_NONE;
    if (mine && r->op != KD_OP_NONE) {
        r->acked = true;
        r->deadline = now + d->config.request_timeout_us;
        if (kd_debugger_is_go(r))
            go_acked(d, now);
    }
    kd_debugger_send_answer(d, now);
    kd_debugger_try_send(d, now);
}

static void on_lost(struct kd_debugger *d, uint64_t now)
{
    bool mine = d->owner == KD_OWNER_REQUEST;
    d->owner = KD_OWNER_NONE;
    if (mine && d->request.op != KD_OP_NONE)
        kd_debugger_ask(d, now, true);
    kd_debugger_send_answer(d, now);
    kd_debugger_try_send(d, now);
}

/* After a RESET the link may have given up what it carried: then nobody else waits for it. */
static void link_forgot(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (d->owner == KD_OWNER_NONE || kd_link_busy(&d->link))
        return;
    bool mine = d->owner == KD_OWNER_REQUEST;
    d->owner = KD_OWNER_NONE;
    if (mine && r->op != KD_OP_NONE && !r->acked && !r->asking) {
        r->asking = true;
        r->deadline = now + d->config.request_timeout_us;
    }
}

/* After a RESET the link sends what it carries again with a new id, and the target cannot know it
 * from a new packet: what must not take effect twice is taken back and asked about instead. */
static void link_was_reset(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool carried = d->owner == KD_OWNER_REQUEST && kd_link_busy(&d->link);
    r->resets_answered += r->asking;
    d->reset_wait_end = 0;
    if (!carried || r->op == KD_OP_NONE)
        link_forgot(d, now);
    else if (kd_debugger_repeatable(r->api))
        r->repeated = true;
    else
        kd_debugger_ask(d, now, false);
    kd_debugger_try_send(d, now);
}

static void on_link_event(struct kd_debugger *d, uint64_t now, const struct kd_link_event *event)
{
    switch (event->kind) {
    case KD_LINK_PACKET:
        on_packet(d, now, event->body, event->body_size);
        break;
    case KD_LINK_ACKED:
        on_acked(d, now);
        break;
    case KD_LINK_LOST:
        on_lost(d, now);
        break;
    case KD_LINK_RESTARTED:
        d->restarted = true;
        link_forgot(d, now);
        break;
    case KD_LINK_RESET:
        link_was_reset(d, now);
        break;
    case KD_LINK_NOTHING:
    case KD_LINK_DROPPED:
    case KD_LINK_RESEND_STOP:
    case KD_LINK_BREAK_IN:
    default:
        break;
    }
}

static void drain_link(struct kd_debugger *d, uint64_t now)
{
    struct kd_link_event event;
    while (kd_link_event(&d->link, &event))
        on_link_event(d, now, &event);
}

size_t kd_debugger_feed(struct kd_debugger *d, uint64_t now, const uint8_t *data, size_t size)
{
    size_t used = 0;
    while (d->event_count == 0) {
        size_t n = kd_link_feed(&d->link, now, data + used, size - used);
        used += n;
        drain_link(d, now);
        if (used == size || (n == 0 && d->event_count == 0))
            break;
    }
    return used;
}

size_t kd_debugger_output(struct kd_debugger *d, const uint8_t **bytes)
{
    return kd_link_output(&d->link, bytes);
}

void kd_debugger_written(struct kd_debugger *d, uint64_t now, size_t size)
{
    kd_link_written(&d->link, now, size);
}

void kd_debugger_tick(struct kd_debugger *d, uint64_t now)
{
    kd_link_tick(&d->link, now);
    drain_link(d, now);
    if (now >= d->reset_wait_end)
        d->reset_wait_end = 0;
    kd_debugger_send_answer(d, now);
    kd_debugger_try_send(d, now);
    struct kd_debugger_request *r = &d->request;
    if (r->op != KD_OP_NONE && now >= r->deadline)
        kd_debugger_ask(d, now, false);
    if (d->seek != KD_SEEK_NONE && now >= d->seek_deadline)
        seek_step(d, now);
}

uint64_t kd_debugger_deadline(const struct kd_debugger *d)
{
    uint64_t deadline = kd_link_deadline(&d->link);
    if (d->request.op != KD_OP_NONE && d->request.deadline < deadline)
        deadline = d->request.deadline;
    if (d->request.op != KD_OP_NONE && d->request.unsent && d->reset_wait_end != 0 &&
        d->reset_wait_end < deadline)
        deadline = d->reset_wait_end;
    if (d->seek != KD_SEEK_NONE && d->seek_deadline < deadline)
        deadline = d->seek_deadline;
    return deadline;
}

/* ---- the user's side ---- */

void kd_debugger_init(struct kd_debugger *d, const struct kd_debugger_config *config)
{
    memset(d, 0, sizeof *d);
    if (config != NULL)
        d->config = *config;
    if (d->config.request_timeout_us == 0)
        d->config.request_timeout_us = DEFAULT_REQUEST_TIMEOUT_US;
    if (d->config.request_tries == 0)
        d->config.request_tries = DEFAULT_REQUEST_TRIES;
    if (d->config.attach_interval_us == 0)
        d->config.attach_interval_us = DEFAULT_ATTACH_INTERVAL_US;
    if (d->config.piece_max == 0 || d->config.piece_max > KD_MANIPULATE_DATA_MAX)
        d->config.piece_max = KD_MANIPULATE_DATA_MAX;
    d->config.link.role = KD_ROLE_DEBUGGER;
    kd_link_init(&d->link, &d->config.link);
}

enum kd_debugger_state kd_debugger_state(const struct kd_debugger *d)
{
    return d->state;
}

bool kd_debugger_busy(const struct kd_debugger *d)
{
    return d->request.op != KD_OP_NONE;
}

enum kd_heard kd_debugger_heard(const struct kd_debugger *d)
{
    const struct kd_link_stats *stats = kd_link_stats(&d->link);
    if (stats->packets_in > 0 || stats->resets_in > 0)
        return KD_HEARD_PACKETS;
    /* A console that never pauses keeps its text in the stream for a while: that counts, too. */
    bool junk = stats->junk_bytes > 0 || kd_stream_pending(&d->link.stream);
    return junk ? KD_HEARD_JUNK : KD_HEARD_NOTHING;
}

const struct kd_stop *kd_debugger_stop(const struct kd_debugger *d)
{
    return &d->stop;
}

const struct kd_link_stats *kd_debugger_link_stats(const struct kd_debugger *d)
{
    return kd_link_stats(&d->link);
}

void kd_debugger_attach(struct kd_debugger *d, uint64_t now, enum kd_attach how)
{
    d->state = KD_DEBUGGER_ATTACHING;
    d->attach_how = how;
    d->no_context_ex = false;
    seek_start(d, now, KD_SEEK_ATTACH, false, 0);
    seek_step(d, now);
}

void kd_debugger_disconnected(struct kd_debugger *d)
{
    kd_link_restart(&d->link);
    d->reset_wait_end = 0;
    d->owner = KD_OWNER_NONE;
    d->seek = KD_SEEK_NONE;
    d->reply_waiting = d->prompted = d->recheck = d->restarted = false;
    if (d->request.op != KD_OP_NONE)
        kd_debugger_finish(d, KD_E_CLOSED, 0, 0);
    d->state = KD_DEBUGGER_IDLE;
}

int kd_debugger_break_in(struct kd_debugger *d, uint64_t now)
{
    if (d->state == KD_DEBUGGER_STOPPED)
        return KD_E_STOPPED;
    if (d->state == KD_DEBUGGER_IDLE)
        return KD_E_CLOSED;
    if (d->state == KD_DEBUGGER_ATTACHING) {
        if (d->attach_how == KD_ATTACH_WAIT) {
            d->attach_how = KD_ATTACH_STOP;
            seek_start(d, now, KD_SEEK_ATTACH, true, 0);
            seek_step(d, now);
        }
        return KD_OK;
    }
    /* A stopped target would keep the break-in byte for later, but answers RESET. */
    seek_start(d, now, KD_SEEK_BREAK, !d->lost, 2 * d->config.request_tries);
    seek_step(d, now);
    return KD_OK;
}
