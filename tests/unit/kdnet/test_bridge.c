/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the table in kdnet/bridge.h, between a debugger and a target made of serial links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/error.h"
#include "network.h"

enum { MS = 1000, SECOND = 1000 * MS, BODIES_MAX = 32 };

struct end {
    struct kd_link link;
    bool gone; /* what comes is lost, as when nobody is there */
    unsigned events[16];
    unsigned count;
    uint32_t apis[BODIES_MAX]; /* of the packets that came */
};

struct bench {
    struct network net;
    struct end debugger, target;
    uint64_t now;
};

static int setup(void **state)
{
    static const struct network_faults none = {0, 0, 0};
    struct bench *b = calloc(1, sizeof(*b));
    const struct kd_link_config debugger = {.role = KD_ROLE_DEBUGGER},
                                target = {.role = KD_ROLE_TARGET};
    assert_non_null(b);
    network_init(&b->net, "1.2.3.4", &none, 1);
    kd_link_init(&b->debugger.link, &debugger);
    kd_link_init(&b->target.link, &target);
    kd_link_expect(&b->target.link, KD_LINK_ANY_TYPE);
    b->now = SECOND;
    kdnet_bridge_start(&b->net.target, b->now);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    network_close(&b->net);
    free(b);
    return 0;
}

static void drain(struct end *end)
{
    struct kd_link_event event;
    while (kd_link_event(&end->link, &event)) {
        end->events[event.kind]++;
        if (event.kind == KD_LINK_PACKET) {
            assert_true(end->count < BODIES_MAX);
            end->apis[end->count++] = kd_get_u32(event.body);
        }
    }
}

static void carry(struct bench *b, struct end *end, struct kdnet_bridge *bridge)
{
    const uint8_t *bytes;
    size_t size;
    while ((size = kdnet_bridge_output(bridge, &bytes)) > 0) {
        for (size_t at = 0; !end->gone && at < size;) {
            at += kd_link_feed(&end->link, b->now, bytes + at, size - at);
            drain(end);
        }
        kdnet_bridge_written(bridge, b->now, size);
    }
    while (!end->gone && (size = kd_link_output(&end->link, &bytes)) > 0) {
        if (bridge->up)
            kdnet_bridge_feed(bridge, b->now, bytes, size);
        kd_link_written(&end->link, b->now, size);
    }
}

static void run(struct bench *b, uint64_t us)
{
    for (uint64_t until = b->now + us; b->now < until; b->now += MS / 10) {
        network_tick(&b->net, b->now);
        kd_link_tick(&b->debugger.link, b->now);
        kd_link_tick(&b->target.link, b->now);
        drain(&b->debugger);
        drain(&b->target);
        carry(b, &b->debugger, &b->net.host);
        carry(b, &b->target, &b->net.target);
    }
}

static void send(struct bench *b, struct end *end, uint16_t type, uint32_t api, uint8_t tag)
{
    uint8_t body[240] = {0};
    size_t size = type == KD_PACKET_STATE_CHANGE64 ? sizeof(body) : KD_MANIPULATE_SIZE;
    kd_put_u32(body, api);
    body[16] = tag;
    assert_int_equal(kd_link_send(&end->link, b->now, type, body, size, NULL, 0), KD_OK);
}

static void send_stop(struct bench *b)
{
    send(b, &b->target, KD_PACKET_STATE_CHANGE64, KD_STATE_EXCEPTION, 0);
}

static void packets_and_acknowledgements_go_end_to_end(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    assert_true(b->net.host.up && b->net.target.up);
    send_stop(b);
    run(b, 2 * MS);
    assert_int_equal(b->debugger.count, 1);
    assert_int_equal(b->target.events[KD_LINK_ACKED], 1);
    send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_ReadVirtualMemory, 1);
    run(b, 2 * MS);
    assert_int_equal(b->target.count, 1);
    assert_int_equal(b->debugger.events[KD_LINK_ACKED], 1);
    assert_int_equal(b->net.host.stats.packets[0] + b->net.target.stats.packets[0], 2);
    assert_int_equal(b->net.host.stats.checks, 1);
}

/* The target must notice that nobody takes its packets, and they must come once somebody does. */
static void nothing_is_acknowledged_that_has_not_arrived(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    b->debugger.gone = true;
    send_stop(b);
    run(b, 3 * SECOND);
    assert_int_equal(b->target.events[KD_LINK_ACKED], 0);
    assert_true(kd_link_stats(&b->target.link)->repeats_out >= 2);
    b->debugger.gone = false;
    run(b, 2 * SECOND);
    assert_int_equal(b->debugger.count, 1);
    assert_int_equal(b->target.events[KD_LINK_ACKED], 1);
}

static void a_request_to_nobody_is_lost_for_its_sender(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    b->target.gone = true;
    send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_GetVersion, 0);
    run(b, 8 * SECOND);
    assert_int_equal(b->debugger.events[KD_LINK_ACKED], 0);
    assert_int_equal(b->debugger.events[KD_LINK_LOST], 1);
}

static void break_in_and_reset_reach_the_target(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    kd_link_send_break_in(&b->debugger.link, b->now);
    run(b, 5 * MS);
    assert_int_equal(b->target.events[KD_LINK_BREAK_IN], 1);
    run(b, SECOND);
    assert_int_equal(b->target.events[KD_LINK_RESET], 0); /* a break-in alone is no RESET */
    kd_link_send_reset(&b->debugger.link, b->now);
    run(b, 5 * MS);
    assert_int_equal(b->debugger.events[KD_LINK_RESET], 1);
    assert_int_equal(b->target.events[KD_LINK_RESET], 1);
    assert_int_equal(b->target.events[KD_LINK_RESEND_STOP], 1);
    run(b, SECOND);
    assert_int_equal(b->target.events[KD_LINK_RESET], 1); /* and no echo of it */
}

static void an_impatient_debugger_is_served_once(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    for (int i = 0; i < 3; i++) {
        send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_ReadVirtualMemory, 7);
        run(b, 500 * MS);
        assert_int_equal(b->debugger.events[KD_LINK_ACKED], i + 1);
    }
    assert_int_equal(b->target.count, 1);
    assert_int_equal(b->net.host.stats.reasked, 2);
    /* another request is another request */
    send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_ReadVirtualMemory, 8);
    run(b, 5 * MS);
    assert_int_equal(b->target.count, 2);
    /* answered, the same one may be meant */
    send(b, &b->target, KD_PACKET_STATE_MANIPULATE, KD_API_ReadVirtualMemory, 8);
    run(b, 5 * MS);
    send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_ReadVirtualMemory, 8);
    run(b, 5 * MS);
    assert_int_equal(b->target.count, 3);
    /* and after a time it is passed on all the same: the reply may be lost for good */
    run(b, KDNET_REASK_US);
    send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_ReadVirtualMemory, 8);
    run(b, 5 * MS);
    assert_int_equal(b->target.count, 4);
    /* two steps are two steps: nothing answers them */
    for (int i = 0; i < 2; i++) {
        send(b, &b->debugger, KD_PACKET_STATE_MANIPULATE, KD_API_Continue2, 0);
        run(b, 5 * MS);
    }
    assert_int_equal(b->target.count, 6);
}

static void a_target_that_restarts_begins_a_new_session(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    send_stop(b);
    run(b, 10 * MS);
    assert_int_equal(b->net.host.session.stats.sessions, 1);
    kd_link_restart(&b->target.link); /* ids begin anew, with SYNC */
    send(b, &b->target, KD_PACKET_STATE_CHANGE64, KD_STATE_LOAD_SYMBOLS, 0);
    run(b, 3 * SECOND);
    assert_int_equal(b->net.host.session.stats.sessions, 2);
    assert_int_equal(b->net.news, 2);
    assert_int_equal(b->debugger.count, 2);
    assert_int_equal(b->debugger.events[KD_LINK_RESTARTED], 2); /* each life once */
    assert_int_equal(b->target.events[KD_LINK_ACKED], 2);
}

static void a_debuggers_bridge_that_restarts_finds_the_target_again(void **state)
{
    struct bench *b = *state;
    run(b, 10 * MS);
    send_stop(b);
    run(b, 10 * MS);
    struct kdnet_session_config config = {.role = KD_ROLE_DEBUGGER,
                                          .key = b->net.host.session.config.key};
    kdnet_bridge_close(&b->net.host);
    assert_int_equal(kdnet_bridge_init(&b->net.host, &config), KD_OK);
    kd_link_restart(&b->debugger.link);
    run(b, KDNET_IDLE_US + SECOND);
    assert_true(b->net.host.up);
    kd_link_send_reset(&b->debugger.link, b->now);
    run(b, 10 * MS);
    assert_int_equal(b->target.events[KD_LINK_RESEND_STOP], 1);
    send_stop(b);
    run(b, 10 * MS);
    assert_int_equal(b->debugger.count, 2);
    assert_int_equal(b->target.events[KD_LINK_ACKED], 2);
}

/* Authentic, but neither packet nor break-in nor check: dropped, counted, harmless. */
static void odd_payloads_are_dropped(void **state)
{
    static const char *const odd[] = {"", "b?", "iiii", "0000000000000000", "iiiiiiiiiiiiiiiii"};
    struct bench *b = *state;
    uint8_t out[KDNET_DATAGRAM_MAX];
    run(b, 10 * MS);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        int size =
            kdnet_session_send(&b->net.host.session, (const uint8_t *)odd[i], strlen(odd[i]), out);
        network_inject(&b->net, b->now, true, out, (size_t)size);
    }
    run(b, SECOND);
    assert_int_equal(b->net.target.stats.odd, 5);
    send_stop(b);
    run(b, 10 * MS);
    assert_int_equal(b->debugger.count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(packets_and_acknowledgements_go_end_to_end),
        TEST(nothing_is_acknowledged_that_has_not_arrived),
        TEST(a_request_to_nobody_is_lost_for_its_sender),
        TEST(break_in_and_reset_reach_the_target),
        TEST(an_impatient_debugger_is_served_once),
        TEST(a_target_that_restarts_begins_a_new_session),
        TEST(a_debuggers_bridge_that_restarts_finds_the_target_again),
        TEST(odd_payloads_are_dropped),
    };
    return cmocka_run_group_tests_name("kdnet-bridge", tests, NULL, NULL);
}
