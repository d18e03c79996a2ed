/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reliable link: one packet outstanding in each direction, acknowledged one by one.
 *
 * Names: `next` is the own packet's id, `expect` the peer's next id, INITIAL 0x80800000, SYNC
 * 0x800. "Repeat" is the peer's packet accepted last coming again: its id and, where it is not
 * damaged, its contents. "Odd" is any packet that is neither expected nor a repeat.
 *
 * Target, receiving. Waits for ACK while a packet is outstanding; is stopped when kd_link_expect
 * named a type; runs otherwise.
 *
 *  row  received                | waiting for ACK        | stopped                | running
 *  ----+------------------------+------------------------+------------------------+--------------
 *   1   RESEND                  | send again             | RESEND_STOP            | -
 *   2   ACK of `next`           | next follows, ACKED    | -                      | -
 *   3   ACK, other id           | -                      | -                      | -
 *   4   RESET                   | ids INITIAL, answer,   | ids INITIAL, answer,   | ids INITIAL,
 *                               | RESET, send again      | RESET, RESEND_STOP     | answer, RESET
 *   5   other control           | -                      | -                      | -
 *  7,12 data, repeat            | ACK it                 | ACK it                 | ACK it
 *  8,9  data, damaged (of a     | send RESEND            | send RESEND            | -
 *       known type, else -)     |                        |                        |
 *  11   data, odd, first time   | send RESEND            | send RESEND            | -
 *       same odd packet again   | as row 6               | as row 10, 8, 14       | -
 *   6   data, id == expect      | ACKED; then judged as  | row 10, 8, 14          | -
 *                               | stopped or running     |                        |
 *  10   type is not expected    |                        | send RESEND; the second| -
 *                               |                        | time ACK it, drop it   |
 *   8   shorter than its header |                        | send RESEND            | -
 *  14   good                    |                        | ACK it, expect follows,| -
 *                               |                        | PACKET                 |
 *       break-in byte           | BREAK_IN; nothing more | BREAK_IN; nothing more | BREAK_IN
 *                               | for a byte time-out:   | for a byte time-out:   |
 *                               | send again             | RESEND_STOP            |
 *       ACK time-out            | send again; droppable and the tries used up: DROPPED, ids as
 *                               | at the start
 *
 * Differences from kdcom, on purpose. Row 6: the packet is taken at once instead of asking the
 * debugger to repeat it, because some debuggers never repeat. It counts only when our packet has
 * gone out at least once. Rows 7 and 10 to 12: kdcom acknowledges any wrong id or type, which
 * makes a debugger believe that a request was taken which was not (no checksum covers the header:
 * one changed bit there is enough). So what is not the repeat of the packet accepted last is asked
 * for once more, and treated kdcom's way, or taken, if it comes the same way again.
 *
 * Debugger, receiving.
 *
 *       received                | a packet outstanding                    | nothing outstanding
 *  -----------------------------+-----------------------------------------+-----------------------
 *       RESEND                  | send again (LOST after RESENDS_MAX)     | -
 *       ACK of `next`           | next follows, ACKED                     | -
 *       RESET, awaited          | ids INITIAL, RESET, send again          | ids INITIAL, RESET
 *       RESET, an echo          | -                                       | -
 *       RESET, else             | ids INITIAL, answer, RESET, send again  | ids INITIAL, answer,
 *                               |                                         | RESET
 *       data, damaged           | a repeat: ACK it; of a known type:      | same
 *                               | send RESEND; else -                     |
 *       data, SYNC, new         | abandon, ids as it says, RESTARTED,     | ids, RESTARTED,
 *                               | ACK it, PACKET                          | ACK it, PACKET
 *       data, repeat            | ACK it                                  | same
 *       data, odd or of no      | send RESEND                             | same
 *       known type, first time  |                                         |
 *       data, expected, or the  | reply to it: ACKED, ACK it, PACKET      | ACK it, expect
 *       same odd packet again,  | else: send own packet again, and RESEND | follows, PACKET
 *       or no id known yet      | once it is acknowledged                 |
 *       ACK time-out            | send again; tries used up: LOST, RESET  |
 *
 * The last but one row: a target that answers has taken the request, so the answer stands for a
 * lost ACK. Any other packet proves nothing (a state change may be a repetition that a RESEND
 * caused, and taking it as "the step is done" would lose the step): it is held back until our
 * packet's fate is known, which costs one round trip. A target that does not acknowledge at all
 * is heard the third time.
 * An odd packet that comes again unchanged is what follows a reply that we gave up waiting for: the
 * target has moved on by row 6 and its id with it.
 *
 * KDNET is a second profile of the same tables (struct kd_link_profile): RESET carries its sender's
 * next id and changes the receiver's `expect` alone, ids count by two, no bit means SYNC, and an id
 * under which a target gave up a packet is not used again: the debugger may have taken that packet,
 * and would throw the next one away as its repeat.
 *
 * A link between two others (config.late_ack; kd_link_expect(KD_LINK_ANY_TYPE) for a target). "ACK
 * it" of a good packet then waits for kd_link_take, so that the sender is told "taken" only when
 * the far end has taken it:
 *
 *       while a packet is not taken yet
 *  -----------------------------+-------------------------------------------------------------------
 *       the same packet again   | -
 *       another packet          | as in the tables; the sender has given up the former
 *       kd_link_take            | ACK it, expect follows
 *       kd_link_refuse, RESET   | forgotten: it counts as new when it comes again
 *       break-in byte (target)  | BREAK_IN and nothing more: the real target's report follows
 */
#include "kdwire/link.h"

#include <string.h>

#include "kdwire/error.h"

/* What differs between serial lines and KDNET. */
struct kd_link_profile {
    uint32_t sync;         /* the bit that says "my streams have restarted"; 0 = none */
    uint32_t first[2];     /* id of the first packet, by role */
    uint32_t after_reset;  /* both ids, unless RESET carries them */
    bool reset_carries_id; /* RESET tells the sender's next id; nobody's own id changes */
    bool trailer;
    uint32_t (*following)(uint32_t id);
};

#define ID_SYNC 0x800u

static uint32_t serial_following(uint32_t id)
{
    return (id & ~ID_SYNC) ^ 1u;
}

static uint32_t kdnet_following(uint32_t id)
{
    return id + 2u;
}

static const struct kd_link_profile serial_profile = {
    .sync = ID_SYNC,
    .first = {[KD_ROLE_TARGET] = KD_ID_INITIAL | ID_SYNC, [KD_ROLE_DEBUGGER] = KD_ID_INITIAL},
    .after_reset = KD_ID_INITIAL,
    .trailer = true,
    .following = serial_following,
};

static const struct kd_link_profile kdnet_profile = {
    .first = {[KD_ROLE_TARGET] = 0, [KD_ROLE_DEBUGGER] = 0x80000000u},
    .reset_carries_id = true,
    .following = kdnet_following,
};

static bool is_target(const struct kd_link *link)
{
    return link->config.role == KD_ROLE_TARGET;
}

static bool is_running(const struct kd_link *link)
{
    return !link->outstanding && link->expected_type == KD_PACKET_UNUSED;
}

static uint32_t without_sync(const struct kd_link *link, uint32_t id)
{
    return id & ~link->profile->sync;
}

/* ---- start ---- */

static void initial_ids(struct kd_link *link)
{
    enum kd_role peer = is_target(link) ? KD_ROLE_DEBUGGER : KD_ROLE_TARGET;
    link->next = link->profile->first[link->config.role];
    link->expect = without_sync(link, link->profile->first[peer]);
    link->expect_known = is_target(link);
    link->last.known = false;
    link->odd.known = false;
    link->pending.known = false;
    link->sync_sticks = false;
}

static unsigned first_limit(const struct kd_link *link)
{
    if (link->config.retries)
        return link->config.retries;
    return is_target(link) ? KD_LINK_FIRST_RETRIES : KD_LINK_DEBUGGER_RETRIES;
}

void kd_link_init(struct kd_link *link, const struct kd_link_config *config)
{
    memset(link, 0, sizeof(*link));
    link->config = *config;
    if (!link->config.byte_timeout_us)
        link->config.byte_timeout_us = KD_LINK_BYTE_TIMEOUT_US;
    if (!link->config.ack_timeout_us)
        link->config.ack_timeout_us = KD_LINK_ACK_TIMEOUT_US;
    link->profile = config->framing == KD_FRAMING_KDNET ? &kdnet_profile : &serial_profile;
    kd_link_restart(link);
}

void kd_link_restart(struct kd_link *link)
{
    kd_stream_init(&link->stream, link->config.framing);
    initial_ids(link);
    link->limit = first_limit(link);
    link->outstanding = false;
    link->want_write = false;
    link->unsure = false;
    link->awaiting_reset = false;
    link->reset_settled = 0;
    link->control_count = 0;
    link->wire_size = 0;
    link->wire_at = 0;
    link->wire_has_packet = false;
    link->ack_deadline = KD_NEVER;
    link->byte_deadline = KD_NEVER;
    link->break_in_deadline = KD_NEVER;
    link->flushing = false;
    link->deferred = false;
    link->event_count = 0;
}

/* ---- events ---- */

/* At most one event of a kind waits: they are drained before the next item is judged, and what a
 * tick adds in between says the same again. So the table cannot overflow. */
static struct kd_link_event *add_event(struct kd_link *link, enum kd_link_event_kind kind)
{
    struct kd_link_event *event = link->events;
    struct kd_link_event *end = link->events + link->event_count;

    while (event < end && event->kind != kind)
        event++;
    if (event == end)
        link->event_count++;
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    return event;
}

/* ---- sending ---- */

/* RESEND, RESET and equal acknowledgements are not doubled: the peer gains nothing by a second
 * one, and a peer that provokes thousands must not fill more than the table. */
static void queue_control(struct kd_link *link, uint16_t type, uint32_t id)
{
    for (size_t i = 0; i < link->control_count; i++)
        if (link->controls[i].type == type && link->controls[i].id == id)
            return;
    if (link->control_count == KD_LINK_CONTROLS_MAX) {
        link->stats.controls_lost++;
        return;
    }
    link->controls[link->control_count].type = type;
    link->controls[link->control_count].id = id;
    link->control_count++;
}

static void queue_ack(struct kd_link *link, uint32_t id)
{
    queue_control(link, KD_PACKET_ACKNOWLEDGE, without_sync(link, id));
}

static void queue_resend(struct kd_link *link)
{
    queue_control(link, KD_PACKET_RESEND, 0);
}

static void queue_reset(struct kd_link *link)
{
    queue_control(link, KD_PACKET_RESET, link->profile->reset_carries_id ? link->next : 0);
}

static void arm_ack_deadline(struct kd_link *link)
{
    link->ack_deadline = link->now + link->config.ack_timeout_us;
    link->progress_seen = link->write_progress;
}

/* Any number of causes make one more copy, and only after the one being written is complete. */
static void send_again(struct kd_link *link)
{
    link->want_write = true;
    arm_ack_deadline(link);
}

static void forget_outstanding(struct kd_link *link)
{
    link->outstanding = false;
    link->want_write = false;
    link->wire_has_packet = false;
    link->ask_again = false;
    link->ack_deadline = KD_NEVER;
}

/* The packet will not be sent any more. See above for why a target on KDNET spends its id. */
static void give_up_outstanding(struct kd_link *link)
{
    if (is_target(link) && link->profile->reset_carries_id && link->outstanding && link->handed_out)
        link->next = link->profile->following(link->next);
    forget_outstanding(link);
}

int kd_link_send(struct kd_link *link, uint64_t now, uint16_t type, const uint8_t *head,
                 size_t head_size, const uint8_t *data, size_t data_size)
{
    link->now = now;
    if (link->outstanding)
        return KD_E_BUSY;
    if (head_size > KD_BODY_MAX || data_size > KD_BODY_MAX - head_size)
        return KD_E_TOO_LONG;
    if (head_size)
        memcpy(link->out, head, head_size);
    if (data_size)
        memcpy(link->out + head_size, data, data_size);
    link->out_size = head_size + data_size;
    link->out_type = type;
    link->droppable = is_target(link) && link->out_size >= 4 &&
                      kd_packet_is_droppable(type, kd_get_u32(link->out));
    link->outstanding = true;
    link->handed_out = false;
    link->wire_has_packet = false;
    link->ask_again = false;
    link->retries = link->limit;
    link->resends = 0;
    link->held_back = 0;
    send_again(link);
    return KD_OK;
}

bool kd_link_busy(const struct kd_link *link)
{
    return link->outstanding;
}

void kd_link_abandon(struct kd_link *link)
{
    if (link->outstanding && link->handed_out)
        link->unsure = true;
    give_up_outstanding(link);
}

bool kd_link_is_sending(const struct kd_link *link, uint16_t type, const uint8_t *body, size_t size)
{
    return link->outstanding && link->out_type == type && link->out_size == size &&
           !memcmp(link->out, body, size);
}

void kd_link_expect(struct kd_link *link, uint16_t type)
{
    link->expected_type = type;
}

void kd_link_send_reset(struct kd_link *link, uint64_t now)
{
    link->now = now;
    link->awaiting_reset = true;
    queue_reset(link);
}

void kd_link_send_break_in(struct kd_link *link, uint64_t now)
{
    link->now = now;
    queue_control(link, KD_PACKET_POLL_BREAKIN, 0);
}

/* ---- the bytes to write ---- */

static void write_control(struct kd_link *link, uint16_t type, uint32_t id)
{
    const struct kd_header header = {KD_LEADER_CONTROL, type, 0, id, 0};

    if (type == KD_PACKET_POLL_BREAKIN) {
        link->wire[link->wire_size++] = KD_BREAK_IN_BYTE;
        return;
    }
    kd_header_put(link->wire + link->wire_size, &header);
    link->wire_size += KD_HEADER_SIZE;
    link->stats.resends_out += type == KD_PACKET_RESEND;
    link->stats.resets_out += type == KD_PACKET_RESET;
}

static void write_packet(struct kd_link *link)
{
    const struct kd_header header = {
        .leader = KD_LEADER_DATA,
        .type = link->out_type,
        .byte_count = (uint16_t)link->out_size,
        .id = link->next,
        .checksum = kd_checksum(link->out, link->out_size),
    };
    kd_header_put(link->wire + link->wire_size, &header);
    link->wire_size += KD_HEADER_SIZE;
    memcpy(link->wire + link->wire_size, link->out, link->out_size);
    link->wire_size += link->out_size;
    if (link->profile->trailer)
        link->wire[link->wire_size++] = KD_TRAILER;
    link->stats.packets_out += !link->handed_out;
    link->stats.repeats_out += link->handed_out;
    link->handed_out = true;
    link->want_write = false;
    link->wire_has_packet = true;
}

/* Everything that waits goes into one run of bytes (an acknowledgement and the answer behind it
 * then share a segment); what comes up later waits until it is written, so that nothing ever gets
 * into the middle of a packet. */
size_t kd_link_output(struct kd_link *link, const uint8_t **bytes)
{
    if (link->wire_at == link->wire_size) {
        link->wire_at = 0;
        link->wire_size = 0;
        link->wire_has_packet = false;
        for (size_t i = 0; i < link->control_count; i++)
            write_control(link, link->controls[i].type, link->controls[i].id);
        link->control_count = 0;
        if (link->outstanding && link->want_write)
            write_packet(link);
    }
    *bytes = link->wire + link->wire_at;
    return link->wire_size - link->wire_at;
}

void kd_link_written(struct kd_link *link, uint64_t now, size_t size)
{
    size_t rest = link->wire_size - link->wire_at;

    link->now = now;
    size = size < rest ? size : rest;
    link->wire_at += size;
    link->write_progress += size;
    if (size && link->wire_at == link->wire_size && link->wire_has_packet)
        arm_ack_deadline(link); /* the peer has it only now */
}

/* ---- what both roles do with what comes ---- */

static void acknowledged(struct kd_link *link)
{
    bool ask_again = link->ask_again;

    link->next = link->profile->following(link->next);
    link->reset_settled = 0;
    link->unsure = false;
    forget_outstanding(link);
    if (is_target(link) && !link->config.retries)
        link->limit = KD_LINK_RETRIES;
    if (ask_again)
        queue_resend(link);
    add_event(link, KD_LINK_ACKED);
}

/* A fast mix of 64 bits at a time; it only has to tell two packets of one session apart, which a
 * byte sum does not (it is blind to order). */
static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
    uint64_t hash = size + 1;

    for (; size >= 8; bytes += 8, size -= 8)
        hash = (hash ^ kd_get_u64(bytes)) * 0x9E3779B97F4A7C15u + (hash >> 29);
    for (; size; bytes++, size--)
        hash = (hash ^ *bytes) * 0x9E3779B97F4A7C15u + (hash >> 29);
    return hash;
}

static struct kd_link_print print_of(const struct kd_link *link, const struct kd_item *item)
{
    return (struct kd_link_print){
        .known = true,
        .id = without_sync(link, item->header.id),
        .type = item->header.type,
        .byte_count = item->header.byte_count,
        .hash = hash_of(item->body, item->body_size),
    };
}

static bool same_print(const struct kd_link_print *a, const struct kd_link_print *b)
{
    return a->known && b->known && a->id == b->id && a->type == b->type &&
           a->byte_count == b->byte_count && a->hash == b->hash;
}

/* A damaged packet with the id of the one accepted last is taken for its repeat: if that is wrong
 * the sender ignores the acknowledgement and repeats. */
static bool is_damaged_repeat(const struct kd_link *link, const struct kd_item *item)
{
    uint32_t id = without_sync(link, item->header.id);
    return item->raw_size >= KD_HEADER_SIZE && link->last.known && id == link->last.id &&
           id != link->expect;
}

static void acknowledge_repeat(struct kd_link *link, const struct kd_item *item)
{
    link->stats.repeats_in++;
    queue_ack(link, item->header.id);
}

static bool is_data_type(uint16_t type)
{
    return type != KD_PACKET_UNUSED && type < KD_PACKET_TYPE_MAX &&
           type != KD_PACKET_POLL_BREAKIN &&
           (type < KD_PACKET_ACKNOWLEDGE || type > KD_PACKET_RESET);
}

/* Whether a damaged item is worth a RESEND: console text with zeros in it ("00000000 48 8b") looks
 * like a data packet as far as its leader, and a firmware console must not be talked to. */
static bool is_worth_resend(const struct kd_item *item)
{
    enum { TYPE_AT = 4, TYPE_SIZE = 2 };
    return item->raw_size < TYPE_AT + TYPE_SIZE || is_data_type(kd_get_u16(item->raw + TYPE_AT));
}

/* Whether a packet with an unexpected header came before in the same form; if not, asks for it. A
 * copy that comes before the question has gone out is no answer: the wire doubled it. */
static bool is_odd_again(struct kd_link *link, const struct kd_link_print *print)
{
    if (same_print(&link->odd, print) && link->stats.resends_out != link->odd_resends)
        return true;
    link->stats.odd_ids++;
    link->odd = *print;
    link->odd_resends = link->stats.resends_out;
    queue_resend(link);
    return false;
}

void kd_link_take(struct kd_link *link, uint64_t now)
{
    link->now = now;
    if (!link->pending.known)
        return;
    queue_ack(link, link->pending.id);
    link->expect = link->profile->following(link->pending.id);
    link->expect_known = true;
    link->last = link->pending;
    link->odd.known = false;
    link->pending.known = false;
    link->stats.packets_in++;
}

void kd_link_refuse(struct kd_link *link)
{
    link->pending.known = false;
}

static void accept(struct kd_link *link, const struct kd_item *item,
                   const struct kd_link_print *print)
{
    link->reset_settled = 0;
    link->pending = *print;
    if (!link->config.late_ack)
        kd_link_take(link, link->now);
    struct kd_link_event *event = add_event(link, KD_LINK_PACKET);
    event->type = item->header.type;
    event->body = item->body;
    event->body_size = item->body_size;
}

/* On KDNET no id comes a second time, so a repeat stays one over a RESET. */
static void reset_ids(struct kd_link *link, uint32_t carried)
{
    if (link->profile->reset_carries_id) {
        link->expect = carried;
    } else {
        link->next = link->profile->after_reset;
        link->expect = link->profile->after_reset;
        link->last.known = false;
    }
    link->odd.known = false;
    link->pending.known = false;
    link->sync_sticks = false;
}

/* The packet that waits for kd_link_take, once more. */
static bool is_pending(struct kd_link *link, const struct kd_link_print *print)
{
    if (!same_print(print, &link->pending))
        return false;
    link->stats.repeats_in++;
    return true;
}

/* ---- target ---- */

static void on_break_in(struct kd_link *link)
{
    add_event(link, KD_LINK_BREAK_IN);
    if (!is_running(link) && link->expected_type != KD_LINK_ANY_TYPE)
        link->break_in_deadline = link->now + link->config.byte_timeout_us;
}

static bool is_expected_type(const struct kd_link *link, uint16_t type)
{
    return link->expected_type == KD_LINK_ANY_TYPE ? is_data_type(type)
                                                   : type == link->expected_type;
}

/* What kdcom calls the result "resend": the packet outstanding, or else the state change. */
static void target_resend(struct kd_link *link)
{
    if (link->outstanding) {
        link->retries = link->limit;
        send_again(link);
    } else if (!is_running(link)) {
        add_event(link, KD_LINK_RESEND_STOP);
    }
}

static void target_reset(struct kd_link *link, uint32_t carried)
{
    reset_ids(link, carried);
    queue_reset(link);
    add_event(link, KD_LINK_RESET);
    target_resend(link);
}

static void target_data(struct kd_link *link, const struct kd_item *item)
{
    if (item->faults) {
        if (is_damaged_repeat(link, item))
            acknowledge_repeat(link, item);
        else if (!is_running(link) && is_worth_resend(item))
            queue_resend(link);
        return;
    }
    struct kd_link_print print = print_of(link, item);
    if (is_pending(link, &print))
        return;
    if (same_print(&print, &link->last)) {
        acknowledge_repeat(link, item);
        return;
    }
    if (is_running(link) || (print.id != link->expect && !is_odd_again(link, &print)))
        return;
    if (link->outstanding) {
        if (!link->handed_out) { /* it cannot mean a packet that it has not seen */
            queue_resend(link);
            return;
        }
        acknowledged(link);
        link->deferred = true;
        return;
    }
    if (!is_expected_type(link, item->header.type)) {
        if (is_odd_again(link, &print))
            queue_ack(link, item->header.id);
    } else if (item->body_size < kd_fixed_size(item->header.type)) {
        queue_resend(link);
    } else {
        accept(link, item, &print);
    }
}

/* "Debugger not present": the next one to come finds a target that starts afresh. */
static void target_drop(struct kd_link *link)
{
    link->stats.drops++;
    give_up_outstanding(link);
    if (!link->profile->reset_carries_id)
        initial_ids(link);
    link->limit = first_limit(link);
    add_event(link, KD_LINK_DROPPED);
}

static void target_timeout(struct kd_link *link)
{
    if (link->retries)
        link->retries--;
    if (!link->retries && link->droppable)
        target_drop(link);
    else
        send_again(link);
}

/* ---- debugger ---- */

static void debugger_lost(struct kd_link *link)
{
    link->stats.drops++;
    link->unsure = true;
    link->expect_known = false;
    forget_outstanding(link);
    add_event(link, KD_LINK_LOST);
    kd_link_send_reset(link, link->now);
}

static void debugger_timeout(struct kd_link *link)
{
    if (link->retries)
        link->retries--;
    if (!link->retries)
        debugger_lost(link);
    else
        send_again(link);
}

static void debugger_resend(struct kd_link *link)
{
    if (!link->outstanding)
        return;
    if (++link->resends > KD_LINK_RESENDS_MAX)
        debugger_lost(link);
    else
        send_again(link);
}

/*
 * Two ends that answer each RESET with a RESET never end. So an awaited one is not answered, and
 * neither is one that comes while the last one is fresh and nothing else has come since: it is
 * the echo of our answer, or of several RESETs that waited in a buffer.
 */
static void debugger_reset(struct kd_link *link, uint32_t carried)
{
    if (!link->awaiting_reset && link->now < link->reset_settled)
        return;
    reset_ids(link, carried);
    link->expect_known = false; /* some targets keep their ids over a RESET */
    if (!link->awaiting_reset)
        queue_reset(link);
    link->awaiting_reset = false;
    link->reset_settled = link->now + link->config.ack_timeout_us;
    link->unsure = true;
    add_event(link, KD_LINK_RESET);
    if (link->outstanding) {
        link->retries = link->limit;
        send_again(link);
    }
}

/* Whether the packet is the reply to the request outstanding. */
static bool is_reply(const struct kd_link *link, const struct kd_item *item)
{
    const struct kd_api_info *api;

    if (link->unsure || link->out_type != KD_PACKET_STATE_MANIPULATE ||
        item->header.type != KD_PACKET_STATE_MANIPULATE || link->out_size < KD_MANIPULATE_SIZE ||
        item->body_size < KD_MANIPULATE_SIZE)
        return false;
    uint32_t number = kd_get_u32(link->out);
    api = kd_api_info(number);
    return api && api->has_reply && kd_get_u32(item->body) == number;
}

/* A data packet while an own one is unacknowledged: whether it may be accepted now. */
static bool debugger_may_accept(struct kd_link *link, const struct kd_item *item)
{
    /* Packets that are held back while the own one waits: a target that acknowledges nothing is
     * heard after that many. */
    enum { HELD_BACK_MAX = 2 };

    if (!link->outstanding || !link->handed_out)
        return true;
    if (is_reply(link, item)) {
        link->ask_again = false; /* this is what would have been asked for */
        acknowledged(link);
        return true;
    }
    if (link->held_back >= HELD_BACK_MAX)
        return true;
    link->held_back++;
    link->ask_again = true;
    send_again(link);
    return false;
}

/* The target's streams have restarted: all that was under way was for its former life. */
static void debugger_restarted(struct kd_link *link)
{
    forget_outstanding(link);
    initial_ids(link);
    link->unsure = false;
    add_event(link, KD_LINK_RESTARTED);
}

/*
 * SYNC means a restart, with two exceptions: the first packet of a restarted target may come
 * again when its acknowledgement was lost; and some targets never clear the bit, which shows by a
 * SYNC id other than the first. A reply is never a first packet: there the bit is damage, and the
 * packet is left to the checks on ids.
 */
static bool is_restart(struct kd_link *link, const struct kd_item *item,
                       const struct kd_link_print *print)
{
    if (!(item->header.id & link->profile->sync) || link->sync_sticks ||
        item->header.type == KD_PACKET_STATE_MANIPULATE)
        return false;
    if (print->id != link->profile->after_reset) {
        link->sync_sticks = link->expect_known && print->id == link->expect;
        return false;
    }
    return !(same_print(print, &link->last) && link->next == link->profile->after_reset);
}

static void debugger_data(struct kd_link *link, const struct kd_item *item)
{
    if (item->faults) {
        if (is_damaged_repeat(link, item))
            acknowledge_repeat(link, item);
        else if (is_worth_resend(item))
            queue_resend(link);
        return;
    }
    struct kd_link_print print = print_of(link, item);
    if (is_pending(link, &print))
        return;
    if (!is_data_type(item->header.type) && !is_odd_again(link, &print))
        return;
    if (is_restart(link, item, &print)) {
        debugger_restarted(link);
    } else if (same_print(&print, &link->last)) {
        acknowledge_repeat(link, item);
        return;
    } else if (link->expect_known && print.id != link->expect && !is_odd_again(link, &print)) {
        return;
    }
    if (debugger_may_accept(link, item))
        accept(link, item, &print);
}

/* ---- items ---- */

/* Control packets with a wrong count or checksum are believed: neither carries anything, and what
 * counts is the type and, of an acknowledgement, the id. */
static void on_control(struct kd_link *link, const struct kd_header *header)
{
    switch (header->type) {
    case KD_PACKET_ACKNOWLEDGE:
        if (link->outstanding && link->handed_out &&
            without_sync(link, header->id) == without_sync(link, link->next))
            acknowledged(link);
        break;
    case KD_PACKET_RESEND:
        link->stats.resends_in++;
        if (is_target(link))
            target_resend(link);
        else
            debugger_resend(link);
        break;
    case KD_PACKET_RESET:
        link->stats.resets_in++;
        if (is_target(link))
            target_reset(link, header->id);
        else
            debugger_reset(link, header->id);
        break;
    default:
        break;
    }
}

static void count_faults(struct kd_link *link, unsigned faults)
{
    link->stats.bad_checksum += (faults & KD_FAULT_CHECKSUM) != 0;
    link->stats.bad_trailer += (faults & KD_FAULT_TRAILER) != 0;
    link->stats.bad_length += (faults & KD_FAULT_LENGTH) != 0;
    link->stats.cut += (faults & KD_FAULT_CUT) != 0;
}

static void judge_packet(struct kd_link *link, const struct kd_item *item)
{
    if (item->raw[0] != (KD_LEADER_CONTROL & 0xFF)) {
        if (is_target(link))
            target_data(link, item);
        else
            debugger_data(link, item);
    } else if (item->raw_size >= KD_HEADER_SIZE) {
        on_control(link, &item->header);
    }
}

static void on_item(struct kd_link *link, const struct kd_item *item)
{
    bool break_in = item->kind == KD_ITEM_BREAK_IN;

    if (item->kind == KD_ITEM_PACKET) {
        link->break_in_deadline = KD_NEVER; /* the break-in was not alone */
        count_faults(link, item->faults);
        judge_packet(link, item);
        return;
    }
    if (!break_in || !is_target(link))
        link->stats.junk_bytes += item->raw_size;
    /* kdcom's leader scan forgets a 'b' when any other byte follows: so does this */
    if (item->kind == KD_ITEM_JUNK)
        break_in = item->raw[item->raw_size - 1] == KD_BREAK_IN_BYTE;
    if (break_in && is_target(link))
        on_break_in(link);
}

/* Goes on with what waits for the caller to have seen an event. */
static void pump(struct kd_link *link)
{
    while (!link->event_count) {
        if (link->deferred) {
            link->deferred = false;
            judge_packet(link, &link->item);
            continue;
        }
        if (link->flushing)
            link->flushing = kd_stream_flush(&link->stream, &link->item);
        else
            kd_stream_feed(&link->stream, NULL, 0, &link->item);
        if (link->item.kind == KD_ITEM_NONE)
            break;
        on_item(link, &link->item);
    }
}

size_t kd_link_feed(struct kd_link *link, uint64_t now, const uint8_t *data, size_t size)
{
    size_t used = 0;

    link->now = now;
    pump(link);
    while (!link->event_count && used < size) {
        used += kd_stream_feed(&link->stream, data + used, size - used, &link->item);
        if (link->item.kind != KD_ITEM_NONE)
            on_item(link, &link->item);
    }
    if (used)
        link->byte_deadline =
            kd_stream_pending(&link->stream) ? now + link->config.byte_timeout_us : KD_NEVER;
    return used;
}

bool kd_link_event(struct kd_link *link, struct kd_link_event *event)
{
    if (!link->event_count)
        pump(link);
    if (!link->event_count)
        return false;
    *event = link->events[0];
    link->event_count--;
    memmove(link->events, link->events + 1, link->event_count * sizeof(link->events[0]));
    return true;
}

/* ---- time ---- */

static void on_ack_deadline(struct kd_link *link)
{
    bool waits = link->want_write || link->wire_has_packet;

    if (waits && link->write_progress != link->progress_seen)
        arm_ack_deadline(link); /* a slow wire, not a silent peer */
    else if (is_target(link))
        target_timeout(link);
    else
        debugger_timeout(link);
}

void kd_link_tick(struct kd_link *link, uint64_t now)
{
    link->now = now;
    if (now >= link->byte_deadline) {
        link->byte_deadline = KD_NEVER;
        link->flushing = true;
    }
    pump(link);
    if (now >= link->break_in_deadline) {
        link->break_in_deadline = KD_NEVER;
        target_resend(link);
    }
    if (link->outstanding && now >= link->ack_deadline)
        on_ack_deadline(link);
}

uint64_t kd_link_deadline(const struct kd_link *link)
{
    uint64_t deadline = link->byte_deadline;

    if (link->break_in_deadline < deadline)
        deadline = link->break_in_deadline;
    if (link->outstanding && link->ack_deadline < deadline)
        deadline = link->ack_deadline;
    return deadline;
}

const struct kd_link_stats *kd_link_stats(const struct kd_link *link)
{
    return &link->stats;
}
