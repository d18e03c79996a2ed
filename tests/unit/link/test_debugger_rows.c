/* SPDX-License-Identifier: BSD-2-Clause */
/* Each row of the debugger's table in link.c, and what strange targets do. */
#include "wires.h"

#include <string.h>

#define MANIPULATE KD_PACKET_STATE_MANIPULATE
#define STOP       KD_PACKET_STATE_CHANGE64
#define PRINT      KD_PACKET_DEBUG_IO
#define ACK        KD_PACKET_ACKNOWLEDGE
#define RESEND     KD_PACKET_RESEND
#define RESET      KD_PACKET_RESET

enum { READ = 0x3130, WRITE = 0x3131, STEP = 0x313C, STATE = 0x3030 };

static struct end d;

static int fresh(void **state)
{
    (void)state;
    start(&d, KD_ROLE_DEBUGGER);
    return 0;
}

/* The target's first stop has been taken: expect is B, next is A. */
static int attached(void **state)
{
    fresh(state);
    feed_data(&d, STOP, sync_id(A), manipulate(STATE, 1));
    expect_events(&d, KD_LINK_RESTARTED, KD_LINK_PACKET);
    expect_written(&d, ACK, id(A));
    return 0;
}

/* A request is out, not acknowledged. */
static int asking(void **state)
{
    attached(state);
    send(&d, MANIPULATE, manipulate(READ, 1));
    expect_written(&d, MANIPULATE, id(A));
    return 0;
}

static int stepping(void **state)
{
    attached(state);
    send(&d, MANIPULATE, manipulate(STEP, 1));
    expect_written(&d, MANIPULATE, id(A));
    return 0;
}

static void test_request_and_reply(void **state)
{
    (void)state;
    feed_control(&d, ACK, id(A));
    expect_events(&d, KD_LINK_ACKED);
    feed_data(&d, MANIPULATE, id(B), manipulate(READ, 2));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
    assert_int_equal(d.body[16], 2);
    send(&d, MANIPULATE, manipulate(READ, 3));
    expect_written(&d, MANIPULATE, id(B));
}

static void test_resend(void **state)
{
    (void)state;
    feed_control(&d, RESEND, 0);
    expect_written(&d, MANIPULATE, id(A));
    feed_control(&d, ACK, id(A));
    expect_events(&d, KD_LINK_ACKED);
    feed_control(&d, RESEND, 0);
    expect_nothing_written(&d);
    expect_no_event(&d);
}

/* A target that answers RESEND to everything is given up in the end. */
static void test_resend_for_ever(void **state)
{
    (void)state;
    for (int i = 0; i < KD_LINK_RESENDS_MAX; i++) {
        feed_control(&d, RESEND, 0);
        d.written_count = 0;
    }
    expect_no_event(&d);
    feed_control(&d, RESEND, 0);
    expect_events(&d, KD_LINK_LOST);
    expect_written(&d, RESET, 0);
}

static void test_silence_is_lost(void **state)
{
    (void)state;
    wait_us(&d, KD_LINK_DEBUGGER_RETRIES * (uint64_t)KD_LINK_ACK_TIMEOUT_US);
    for (int i = 1; i < KD_LINK_DEBUGGER_RETRIES; i++)
        expect_written(&d, MANIPULATE, id(A));
    expect_written(&d, RESET, 0);
    expect_nothing_written(&d);
    expect_events(&d, KD_LINK_LOST);
    assert_false(kd_link_busy(&d.link));
    assert_true(kd_link_deadline(&d.link) == KD_NEVER);
}

static void test_awaited_reset_is_not_answered(void **state)
{
    (void)state;
    kd_link_send_reset(&d.link, d.now);
    collect(&d);
    expect_written(&d, RESET, 0);
    feed_control(&d, RESET, 0);
    expect_events(&d, KD_LINK_RESET);
    expect_nothing_written(&d);
    feed_control(&d, RESET, 0); /* a second copy of the answer */
    expect_no_event(&d);
    expect_nothing_written(&d);
    feed_data(&d, STOP, id(A), manipulate(STATE, 1));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(A));
}

static void test_unsolicited_reset_is_answered_once(void **state)
{
    (void)state;
    feed_control(&d, RESET, 0);
    expect_events(&d, KD_LINK_RESET);
    expect_written(&d, RESET, 0);
    feed_control(&d, RESET, 0); /* the target answers our answer */
    expect_no_event(&d);
    expect_nothing_written(&d);
    wait_us(&d, 60000000);
    feed_control(&d, RESET, 0); /* much later: a new one */
    expect_events(&d, KD_LINK_RESET);
    expect_written(&d, RESET, 0);
}

static void test_reset_gives_the_request_a_new_id(void **state)
{
    (void)state;
    feed_control(&d, ACK, id(A));
    send(&d, MANIPULATE, manipulate(READ, 2));
    expect_written(&d, MANIPULATE, id(B));
    feed_control(&d, RESET, 0);
    expect_events(&d, KD_LINK_ACKED, KD_LINK_RESET);
    expect_written(&d, RESET, 0);
    expect_written(&d, MANIPULATE, id(A));
}

static void test_damage(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    (void)state;
    feed_damaged(&d, STOP, id(B), manipulate(STATE, 2));
    expect_written(&d, RESEND, 0);
    feed_damaged(&d, STOP, id(A),
                 manipulate(STATE, 1)); /* a repeat: the target only wants its ACK */
    expect_written(&d, ACK, id(A));
    size_t size = make_data(bytes, STOP, id(B), manipulate(STATE, 2), BODY_SIZE);
    feed(&d, bytes, size - 1);
    wait_us(&d, KD_LINK_BYTE_TIMEOUT_US);
    expect_written(&d, RESEND, 0);
    expect_no_event(&d);
}

static void test_repeat(void **state)
{
    (void)state;
    feed_data(&d, STOP, sync_id(A), manipulate(STATE, 1)); /* our ACK was lost */
    expect_no_event(&d);
    expect_written(&d, ACK, id(A));
    feed_data(&d, STOP, id(B), manipulate(STATE, 2));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
    feed_data(&d, STOP, id(B), manipulate(STATE, 2));
    expect_no_event(&d);
    expect_written(&d, ACK, id(B));
}

static void test_target_restarts(void **state)
{
    (void)state;
    feed_control(&d, ACK, id(A));
    expect_events(&d, KD_LINK_ACKED);
    send(&d, MANIPULATE, manipulate(READ, 2));
    expect_written(&d, MANIPULATE, id(B));
    feed_data(&d, STOP, sync_id(A), manipulate(STATE, 9));
    expect_events(&d, KD_LINK_RESTARTED, KD_LINK_PACKET);
    expect_written(&d, ACK, id(A));
    assert_false(kd_link_busy(&d.link));
    send(&d, MANIPULATE, manipulate(READ, 3));
    expect_written(&d, MANIPULATE, id(A));
}

/* A known target clears the wrong bit: every id has SYNC. Only the first is a restart. */
static void test_sync_that_sticks(void **state)
{
    (void)state;
    for (int i = 1; i < 7; i++) {
        feed_data(&d, STOP, sync_id(i % 2), manipulate(STATE, (uint8_t)(i + 1)));
        expect_events(&d, KD_LINK_PACKET);
        expect_written(&d, ACK, id(i % 2));
        send(&d, MANIPULATE, manipulate(STEP, 0));
        expect_written(&d, MANIPULATE, id((i + 1) % 2));
        feed_control(&d, ACK, id((i + 1) % 2));
        expect_events(&d, KD_LINK_ACKED);
    }
}

/* A SYNC bit on a reply is a damaged header, not a restart. */
static void test_sync_on_a_reply(void **state)
{
    (void)state;
    feed_control(&d, ACK, id(A));
    expect_events(&d, KD_LINK_ACKED);
    feed_data(&d, MANIPULATE, sync_id(A), manipulate(READ, 2));
    expect_no_event(&d);
    expect_written(&d, RESEND, 0);
    feed_data(&d, MANIPULATE, id(B), manipulate(READ, 2));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
}

/* A debugger that starts late does not know which id is next. */
static void test_first_packet_may_have_either_id(void **state)
{
    (void)state;
    feed_data(&d, STOP, id(B), manipulate(STATE, 1));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
    feed_data(&d, STOP, id(A), manipulate(STATE, 2));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(A));
}

/* The target moved on past a reply that never came: its next id is the one taken last, with
 * other contents. */
static void test_odd_id_that_insists(void **state)
{
    (void)state;
    feed_data(&d, STOP, id(A), manipulate(STATE, 7));
    expect_no_event(&d);
    expect_written(&d, RESEND, 0);
    feed_data(&d, STOP, id(A), manipulate(STATE, 7));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(A));
    feed_data(&d, STOP, id(B), manipulate(STATE, 8));
    expect_events(&d, KD_LINK_PACKET);
    assert_int_equal(kd_link_stats(&d.link)->odd_ids, 1);
}

static void test_unknown_type(void **state)
{
    (void)state;
    feed_data(&d, 0x51, id(B), manipulate(STATE, 7));
    expect_no_event(&d);
    expect_written(&d, RESEND, 0);
    feed_data(&d, STOP, id(B), manipulate(STATE, 7)); /* the type was damaged */
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
    feed_data(&d, 12, id(A), manipulate(STATE, 7));
    expect_written(&d, RESEND, 0);
    feed_data(&d, 12, id(A), manipulate(STATE, 7)); /* it was not: something newer than this */
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(A));
    assert_int_equal(d.type, 12);
}

static void test_reply_stands_for_its_ack(void **state)
{
    (void)state;
    feed_data(&d, MANIPULATE, id(B), manipulate(READ, 2));
    expect_events(&d, KD_LINK_ACKED, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
    expect_nothing_written(&d);
}

/* A state change does not prove that the step was taken. */
static void test_state_change_waits_for_the_ack_of_a_step(void **state)
{
    (void)state;
    feed_data(&d, STOP, id(B), manipulate(STATE, 2));
    expect_no_event(&d);
    expect_written(&d, MANIPULATE, id(A)); /* the step again, at once */
    expect_nothing_written(&d);
    feed_control(&d, ACK, id(A));
    expect_events(&d, KD_LINK_ACKED);
    expect_written(&d, RESEND, 0); /* and now the state change again */
    feed_data(&d, STOP, id(B), manipulate(STATE, 2));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
}

static void test_target_that_acknowledges_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        feed_data(&d, STOP, id(B), manipulate(STATE, 2));
        expect_no_event(&d);
        expect_written(&d, MANIPULATE, id(A));
    }
    feed_data(&d, STOP, id(B), manipulate(STATE, 2));
    expect_events(&d, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
}

/* After an abandoned request a late reply to it must not pass for the next one's. */
static void test_reply_to_an_abandoned_request(void **state)
{
    (void)state;
    kd_link_abandon(&d.link);
    send(&d, MANIPULATE, manipulate(READ, 5));
    expect_written(&d, MANIPULATE, id(A));
    feed_data(&d, MANIPULATE, id(B), manipulate(READ, 2));
    expect_no_event(&d);
    expect_written(&d, MANIPULATE, id(A));
    feed_control(&d, ACK, id(A));
    expect_events(&d, KD_LINK_ACKED);
}

static void test_print_before_a_reply(void **state)
{
    (void)state;
    feed_control(&d, ACK, id(A));
    feed_data(&d, PRINT, id(B), manipulate(0x3230, 0));
    feed_data(&d, MANIPULATE, id(A), manipulate(READ, 2));
    expect_events(&d, KD_LINK_ACKED, KD_LINK_PACKET, KD_LINK_PACKET);
    expect_written(&d, ACK, id(B));
    expect_written(&d, ACK, id(A));
}

static void test_break_in_and_reset_keep_their_order(void **state)
{
    const uint8_t *bytes;
    (void)state;
    kd_link_send_break_in(&d.link, 0);
    kd_link_send_reset(&d.link, 0);
    kd_link_send_break_in(&d.link, 0); /* not doubled */
    kd_link_send_reset(&d.link, 0);
    assert_int_equal(kd_link_output(&d.link, &bytes), 17);
    assert_int_equal(bytes[0], KD_BREAK_IN_BYTE);
    assert_int_equal(bytes[1], 'i');
}

/* Text of a firmware console on the line is counted, and does nothing. */
static void test_console_text(void **state)
{
    static const char text[] = "bBdsDxe: loading Boot0001 \"UEFI b\r\n"
                               "00000000: 48 8B 05 iiii 0000\r\nb";
    (void)state;
    feed(&d, (const uint8_t *)text, sizeof(text) - 1);
    wait_us(&d, KD_LINK_BYTE_TIMEOUT_US);
    expect_no_event(&d);
    expect_nothing_written(&d);
    assert_true(kd_link_stats(&d.link)->junk_bytes > 0);
    feed_data(&d, STOP, id(B), manipulate(STATE, 2));
    expect_events(&d, KD_LINK_PACKET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_request_and_reply, asking),
        cmocka_unit_test_setup(test_resend, asking),
        cmocka_unit_test_setup(test_resend_for_ever, asking),
        cmocka_unit_test_setup(test_silence_is_lost, asking),
        cmocka_unit_test_setup(test_awaited_reset_is_not_answered, fresh),
        cmocka_unit_test_setup(test_unsolicited_reset_is_answered_once, attached),
        cmocka_unit_test_setup(test_reset_gives_the_request_a_new_id, asking),
        cmocka_unit_test_setup(test_damage, attached),
        cmocka_unit_test_setup(test_repeat, attached),
        cmocka_unit_test_setup(test_target_restarts, asking),
        cmocka_unit_test_setup(test_sync_that_sticks, attached),
        cmocka_unit_test_setup(test_sync_on_a_reply, asking),
        cmocka_unit_test_setup(test_first_packet_may_have_either_id, fresh),
        cmocka_unit_test_setup(test_odd_id_that_insists, attached),
        cmocka_unit_test_setup(test_unknown_type, attached),
        cmocka_unit_test_setup(test_reply_stands_for_its_ack, asking),
        cmocka_unit_test_setup(test_state_change_waits_for_the_ack_of_a_step, stepping),
        cmocka_unit_test_setup(test_target_that_acknowledges_nothing, stepping),
        cmocka_unit_test_setup(test_reply_to_an_abandoned_request, asking),
        cmocka_unit_test_setup(test_print_before_a_reply, asking),
        cmocka_unit_test_setup(test_break_in_and_reset_keep_their_order, attached),
        cmocka_unit_test_setup(test_console_text, attached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
