/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real session replayed against us. Once WinDbg's datagrams, as recorded, come to a bridge in the
 * target's role, behind which a target on a serial line does what Windows did; once Windows'
 * datagrams come to a bridge in the debugger's role, behind which a debugger does what WinDbg did.
 * Both times it must end as the same conversation: every packet once, in order, with the same ids
 * on the network. The capture has one lost acknowledgement in it, with RESEND and RESET.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kdnet/bridge.h"
#include "kdwire/error.h"
#include "real.h"

enum { PACKETS_MAX = 300, CLIENT_KEY_AT = 2, HOST_KEY_AT = 34, START_US = 1000000 };

static const struct kdnet_address host_address = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 192, 168, 2, 1}, .port = 51111};
static const struct kdnet_address target_address = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 192, 168, 2, 2}, .port = 51111};

/* One data packet of the conversation; what was sent again is left out. */
struct line {
    bool from_debugger;
    uint64_t time; /* us, on the replay's clock */
    uint32_t id;
    uint16_t type;
    size_t size;
    const uint8_t *body;
};

struct replay {
    struct real_session real;
    bool from_debugger[REAL_DATAGRAMS];    /* of each datagram */
    uint8_t first_keys[2][KDNET_KEY_SIZE]; /* the target's and the debugger's random numbers */
    struct line lines[PACKETS_MAX];
    size_t line_count;
    uint8_t *plain[REAL_DATAGRAMS];

    enum kd_role role; /* ours on the network */
    struct kdnet_bridge bridge;
    struct kd_link end; /* what stands behind the bridge */
    uint64_t now;
    size_t line;      /* the next one to happen at the end */
    size_t sent_line; /* the next one of ours to go out on the network */
    unsigned pokes, checks, responses;
    struct kdnet_crypto *eavesdropper;
    struct kdnet_key key;
};

/* ---- the capture ---- */

static uint64_t time_of(const struct replay *r, size_t i)
{
    return START_US + (r->real.datagrams[i].time_ns - r->real.datagrams[0].time_ns) / 1000;
}

static void add_line(struct replay *r, const struct kdnet_datagram *datagram, uint64_t time)
{
    struct kd_header header;
    if (datagram->payload_size < KD_HEADER_SIZE)
        return;
    kd_header_get(&header, datagram->payload);
    if (header.leader != KD_LEADER_DATA)
        return;
    for (size_t i = 0; i < r->line_count; i++)
        if (r->lines[i].from_debugger == datagram->from_debugger && r->lines[i].id == header.id)
            return; /* sent again */
    assert_true(r->line_count < PACKETS_MAX);
    r->lines[r->line_count++] = (struct line){
        datagram->from_debugger,           time, header.id, header.type, header.byte_count,
        datagram->payload + KD_HEADER_SIZE};
}

/* Decrypts all; the plain texts stay. */
static void read_capture(struct replay *r)
{
    struct kdnet_datagram datagram;
    struct kdnet_key session;
    for (size_t i = 0; i < r->real.count; i++) {
        const struct real_datagram *real = &r->real.datagrams[i];
        r->plain[i] = malloc(KDNET_DATAGRAM_MAX);
        assert_non_null(r->plain[i]);
        assert_int_equal(
            kdnet_unprotect(r->eavesdropper, real->bytes, real->size, &datagram, r->plain[i]),
            KD_OK);
        r->from_debugger[i] = datagram.from_debugger;
        if (datagram.channel == KDNET_DATA) {
            add_line(r, &datagram, time_of(r, i));
        } else if (datagram.from_debugger) {
            memcpy(r->first_keys[1], datagram.payload + HOST_KEY_AT, KDNET_KEY_SIZE);
            kdnet_session_key(&session, &r->key, datagram.payload, datagram.payload_size);
            kdnet_crypto_set_session(r->eavesdropper, &session);
        } else if (i == 0) {
            memcpy(r->first_keys[0], datagram.payload + CLIENT_KEY_AT, KDNET_KEY_SIZE);
        }
    }
}

static void recorded_random(void *context, uint8_t *out, size_t size)
{
    struct replay *r = context;
    memcpy(out, r->first_keys[r->role == KD_ROLE_DEBUGGER], size);
}

static struct replay *new_replay(enum kd_role role)
{
    struct replay *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    if (!real_load(&r->real)) {
        free(r);
        return NULL;
    }
    r->role = role;
    assert_int_equal(kdnet_key_parse(&r->key, REAL_KEY, NULL), KD_OK);
    assert_int_equal(kdnet_crypto_open(&r->eavesdropper, &r->key), KD_OK);
    read_capture(r);
    const struct kdnet_session_config config = {
        .role = role,
        .key = r->key,
        .host = host_address,
        .self = target_address,
        .random = recorded_random,
        .random_context = r,
    };
    const struct kd_link_config end = {.role = role};
    assert_int_equal(kdnet_bridge_init(&r->bridge, &config), KD_OK);
    kd_link_init(&r->end, &end);
    kd_link_expect(&r->end, KD_LINK_ANY_TYPE);
    r->now = START_US;
    kdnet_bridge_start(&r->bridge, r->now);
    return r;
}

static void free_replay(struct replay *r)
{
    for (size_t i = 0; i < r->real.count; i++)
        free(r->plain[i]);
    kdnet_bridge_close(&r->bridge);
    kdnet_crypto_close(r->eavesdropper);
    real_free(&r->real);
    free(r);
}

/* ---- our side ---- */

static bool is_ours(const struct replay *r, const struct line *line)
{
    return line->from_debugger == (r->role == KD_ROLE_DEBUGGER);
}

/* The end behind the bridge: sends what the capture has next, when it has it; must be given what
 * the capture has. */
static void run_end(struct replay *r)
{
    struct kd_link_event event;
    while (kd_link_event(&r->end, &event)) {
        if (event.kind != KD_LINK_PACKET)
            continue;
        const struct line *line = &r->lines[r->line++];
        assert_true(r->line <= r->line_count);
        assert_false(is_ours(r, line));
        assert_int_equal(event.type, line->type);
        assert_int_equal(event.body_size, line->size);
        assert_memory_equal(event.body, line->body, line->size);
    }
    const struct line *line = &r->lines[r->line];
    if (r->line < r->line_count && is_ours(r, line) && r->now >= line->time &&
        !kd_link_busy(&r->end)) {
        assert_int_equal(kd_link_send(&r->end, r->now, line->type, line->body, line->size, NULL, 0),
                         KD_OK);
        r->line++;
    }
}

/* What we send on the network must be what the capture has: data packets with the same ids, each
 * again only with the same contents. */
static void check_sent(struct replay *r, const uint8_t *bytes, size_t size)
{
    uint8_t plain[KDNET_DATAGRAM_MAX];
    struct kdnet_datagram datagram;
    struct kd_header header;
    assert_int_equal(kdnet_unprotect(r->eavesdropper, bytes, size, &datagram, plain), KD_OK);
    assert_int_equal(datagram.from_debugger, r->role == KD_ROLE_DEBUGGER);
    assert_int_equal(datagram.version, 4);
    if (datagram.channel == KDNET_CONTROL) {
        r->pokes += datagram.payload_size == KDNET_POKE_SIZE;
        r->responses += datagram.payload_size == KDNET_RESPONSE_SIZE;
        return;
    }
    if (datagram.payload_size == KDNET_CONNECTION_CHECK_SIZE) {
        r->checks++;
        return;
    }
    kd_header_get(&header, datagram.payload);
    if (header.leader != KD_LEADER_DATA)
        return;
    size_t i = r->sent_line;
    while (i < r->line_count && !is_ours(r, &r->lines[i]))
        i++;
    if (i < r->line_count && header.id == r->lines[i].id)
        r->sent_line = i + 1;
    else
        for (i = r->sent_line;
             i-- > 0 && !(is_ours(r, &r->lines[i]) && r->lines[i].id == header.id);)
            ;
    assert_true(i < r->line_count);
    assert_int_equal(header.byte_count, r->lines[i].size);
    assert_memory_equal(datagram.payload + KD_HEADER_SIZE, r->lines[i].body, r->lines[i].size);
}

static bool move_once(struct replay *r)
{
    uint8_t out[KDNET_DATAGRAM_MAX];
    struct kdnet_address to;
    const uint8_t *bytes;
    bool moved = false;
    size_t size;
    while ((size = kdnet_bridge_datagram(&r->bridge, r->now, &to, out)) > 0) {
        check_sent(r, out, size);
        moved = true;
    }
    if ((size = kdnet_bridge_output(&r->bridge, &bytes)) > 0) {
        for (size_t at = 0; at < size;) {
            at += kd_link_feed(&r->end, r->now, bytes + at, size - at);
            run_end(r);
        }
        kdnet_bridge_written(&r->bridge, r->now, size);
        moved = true;
    }
    run_end(r);
    if (r->bridge.up && (size = kd_link_output(&r->end, &bytes)) > 0) {
        kdnet_bridge_feed(&r->bridge, r->now, bytes, size);
        kd_link_written(&r->end, r->now, size);
        moved = true;
    }
    return moved;
}

static void move(struct replay *r)
{
    while (move_once(r))
        ;
}

static void advance(struct replay *r, uint64_t until)
{
    for (;;) {
        uint64_t next = kdnet_bridge_deadline(&r->bridge), end = kd_link_deadline(&r->end);
        next = end < next ? end : next;
        end = r->line < r->line_count ? r->lines[r->line].time : KD_NEVER;
        next = end > r->now && end < next ? end : next;
        if (next > until)
            break;
        r->now = next > r->now ? next : r->now + 1;
        kdnet_bridge_tick(&r->bridge, r->now);
        kd_link_tick(&r->end, r->now);
        move(r);
    }
    r->now = until;
}

/* All of the other side's datagrams, at their times. */
static void run_all(struct replay *r)
{
    move(r);
    for (size_t i = 0; i < r->real.count; i++) {
        const struct real_datagram *real = &r->real.datagrams[i];
        if (r->from_debugger[i] == (r->role == KD_ROLE_DEBUGGER))
            continue;
        advance(r, time_of(r, i));
        kdnet_bridge_receive(&r->bridge, r->now,
                             r->role == KD_ROLE_DEBUGGER ? &target_address : &host_address,
                             real->bytes, real->size);
        move(r);
    }
    advance(r, r->now + START_US); /* for what is sent after the other side's last word */
}

static void check_end(struct replay *r)
{
    assert_int_equal(r->line, r->line_count);
    for (size_t i = r->sent_line; i < r->line_count; i++)
        assert_false(is_ours(r, &r->lines[i])); /* all of ours went out */
    assert_int_equal(r->bridge.session.stats.sessions, 1);
    assert_int_equal(r->bridge.session.stats.not_authentic, 0);
    assert_int_equal(r->bridge.session.stats.malformed, 0);
    assert_int_equal(r->bridge.session.stats.repeated, 0);
    assert_int_equal(r->bridge.stats.odd, 0);
    assert_false(kd_link_busy(&r->bridge.net));
    assert_false(kd_link_busy(&r->end));
}

static void windbg_debugs_us(void **state)
{
    (void)state;
    struct replay *r = new_replay(KD_ROLE_TARGET);
    if (!r)
        skip();
    run_all(r);
    check_end(r);
    assert_int_equal(r->checks, 1);
    /* Windows sent 427 in the same time; it is idle for 17 ms longer before each. */
    assert_in_range(r->pokes, 427, 431);
    free_replay(r);
}

static void we_debug_windows(void **state)
{
    (void)state;
    struct replay *r = new_replay(KD_ROLE_DEBUGGER);
    if (!r)
        skip();
    run_all(r);
    check_end(r);
    assert_int_equal(r->responses, 1);
    assert_int_equal(r->bridge.session.stats.pokes_in, 427);
    assert_int_equal(r->bridge.stats.checks, 1);
    free_replay(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windbg_debugs_us),
        cmocka_unit_test(we_debug_windows),
    };
    return cmocka_run_group_tests_name("kdnet-replay", tests, NULL, NULL);
}
