/* SPDX-License-Identifier: BSD-2-Clause */
/* Each row of the target's table in link.c, and what hostile or broken debuggers do. */
#include "wires.h"

#include <string.h>

#define MANIPULATE KD_PACKET_STATE_MANIPULATE
#define STOP       KD_PACKET_STATE_CHANGE64
#define ACK        KD_PACKET_ACKNOWLEDGE
#define RESEND     KD_PACKET_RESEND
#define RESET      KD_PACKET_RESET

enum { READ = 0x3130, WRITE = 0x3131, STATE = 0x3030, LOAD_SYMBOLS = 0x3031, PRINT = 0x3230 };

static struct end t;

static int fresh(void **state)
{
    (void)state;
    start(&t, KD_ROLE_TARGET);
    return 0;
}

/* A target whose stop is reported and acknowledged: next is B, expect A. */
static int stopped(void **state)
{
    fresh(state);
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, STOP, sync_id(A));
    feed_control(&t, ACK, id(A));
    expect_events(&t, KD_LINK_ACKED);
    return 0;
}

/* A target with a reply outstanding: next is B, expect B. */
static int replying(void **state)
{
    stopped(state);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
    send(&t, MANIPULATE, manipulate(READ, 2));
    expect_written(&t, MANIPULATE, id(B));
    return 0;
}

static int running(void **state)
{
    stopped(state);
    feed_data(&t, MANIPULATE, id(A), manipulate(0x313C, 1));
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
    kd_link_expect(&t.link, KD_PACKET_UNUSED);
    return 0;
}

static void test_first_packet_has_sync_and_its_ack_has_not(void **state)
{
    (void)state;
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, STOP, sync_id(A));
    assert_true(kd_link_busy(&t.link));
    assert_int_equal(kd_link_send(&t.link, 0, STOP, NULL, 0, NULL, 0), KD_E_BUSY);
    feed_control(&t, ACK, id(A));
    expect_events(&t, KD_LINK_ACKED);
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, STOP, id(B));
    feed_control(&t, ACK, id(B));
    expect_events(&t, KD_LINK_ACKED);
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, STOP, id(A));
}

static void test_row_1_resend(void **state)
{
    (void)state;
    feed_control(&t, RESEND, 0);
    expect_written(&t, MANIPULATE, id(B));
    expect_nothing_written(&t);
    feed_control(&t, ACK, id(B));
    expect_events(&t, KD_LINK_ACKED);
    feed_control(&t, RESEND, 0); /* nothing outstanding, stopped */
    expect_events(&t, KD_LINK_RESEND_STOP);
    expect_nothing_written(&t);
    assert_int_equal(kd_link_stats(&t.link)->resends_in, 2);
    assert_int_equal(kd_link_stats(&t.link)->repeats_out, 1);
}

static void test_row_3_other_ack(void **state)
{
    (void)state;
    feed_control(&t, ACK, id(A));
    feed_control(&t, ACK, 0);
    expect_no_event(&t);
    assert_true(kd_link_busy(&t.link));
    feed_control(&t, ACK, id(B));
    expect_events(&t, KD_LINK_ACKED);
    feed_control(&t, ACK, id(B)); /* twice */
    expect_no_event(&t);
}

/* An acknowledgement cannot mean a packet that the wire was never given. */
static void test_ack_before_the_packet_was_handed_out(void **state)
{
    uint8_t ack[KD_HEADER_SIZE];
    (void)state;
    kd_link_send(&t.link, t.now, STOP, manipulate(STATE, 0), BODY_SIZE, NULL, 0);
    make_control(ack, ACK, id(A));
    assert_int_equal(kd_link_feed(&t.link, t.now, ack, sizeof(ack)), sizeof(ack));
    assert_true(kd_link_busy(&t.link));
    collect(&t);
    expect_no_event(&t);
    expect_written(&t, STOP, sync_id(A));
}

static void test_row_4_reset(void **state)
{
    (void)state;
    feed_control(&t, RESET, 0);
    expect_events(&t, KD_LINK_RESET);
    expect_written(&t, RESET, 0);
    expect_written(&t, MANIPULATE, id(A)); /* the reply again, initial id, no SYNC */
    expect_nothing_written(&t);
    feed_control(&t, ACK, id(A));
    expect_events(&t, KD_LINK_ACKED);
    feed_control(&t, RESET, 0); /* stopped, nothing outstanding */
    expect_events(&t, KD_LINK_RESET, KD_LINK_RESEND_STOP);
    expect_written(&t, RESET, 0);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 9)); /* expects the initial id again */
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
}

static void test_row_5_other_control(void **state)
{
    (void)state;
    feed_control(&t, 8, 0);
    feed_control(&t, 77, 0);
    expect_no_event(&t);
    expect_nothing_written(&t);
}

static void test_row_6_implicit_ack(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, id(B), manipulate(READ, 3));
    expect_events(&t, KD_LINK_ACKED, KD_LINK_PACKET);
    expect_written(&t, ACK, id(B));
    assert_int_equal(t.body[16], 3);
    send(&t, MANIPULATE, manipulate(READ, 4));
    expect_written(&t, MANIPULATE, id(A));
}

/* The same, judged with what the engine decides when it sees ACKED: it runs on. */
static void test_row_6_then_running(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    struct kd_link_event event;
    (void)state;
    size_t size = make_data(bytes, MANIPULATE, id(B), manipulate(READ, 3), BODY_SIZE);
    assert_int_equal(kd_link_feed(&t.link, t.now, bytes, size), size);
    assert_true(kd_link_event(&t.link, &event));
    assert_int_equal(event.kind, KD_LINK_ACKED);
    kd_link_expect(&t.link, KD_PACKET_UNUSED);
    collect(&t);
    expect_no_event(&t);
    expect_nothing_written(&t);
}

/* The same, but the engine sends something at once: the packet cannot acknowledge that too. */
static void test_row_6_then_sending(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    struct kd_link_event event;
    (void)state;
    size_t size = make_data(bytes, MANIPULATE, id(B), manipulate(READ, 3), BODY_SIZE);
    assert_int_equal(kd_link_feed(&t.link, t.now, bytes, size), size);
    assert_true(kd_link_event(&t.link, &event));
    send(&t, KD_PACKET_DEBUG_IO, manipulate(PRINT, 0));
    expect_no_event(&t);
    expect_written(&t, RESEND, 0);
    expect_written(&t, KD_PACKET_DEBUG_IO, id(A));
    assert_true(kd_link_busy(&t.link));
}

static void test_row_6_damaged(void **state)
{
    (void)state;
    feed_damaged(&t, MANIPULATE, id(B), manipulate(READ, 3));
    expect_no_event(&t);
    expect_written(&t, RESEND, 0);
    assert_true(kd_link_busy(&t.link));
}

static void test_row_7_repeat_while_waiting(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_no_event(&t);
    expect_written(&t, ACK, id(A));
    expect_nothing_written(&t);
    feed_damaged(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_written(&t, ACK, id(A));
    assert_int_equal(kd_link_stats(&t.link)->repeats_in, 2);
}

static void test_row_8_lengths(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    (void)state;
    feed(&t, bytes, make_data(bytes, MANIPULATE, id(A), manipulate(READ, 1), 55));
    expect_written(&t, RESEND, 0);
    size_t size = make_data(bytes, MANIPULATE, id(A), manipulate(READ, 1), BODY_SIZE);
    kd_put_u16(bytes + 6, 4001);
    feed(&t, bytes, size);
    expect_no_event(&t);
    expect_written(&t, RESEND, 0);
    assert_int_equal(kd_link_stats(&t.link)->bad_length, 1);
}

static void test_row_9_missing_bytes_and_trailer(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    (void)state;
    size_t size = make_data(bytes, MANIPULATE, id(A), manipulate(READ, 1), BODY_SIZE);
    feed(&t, bytes, size - 3);
    expect_nothing_written(&t);
    wait_us(&t, KD_LINK_BYTE_TIMEOUT_US - 1);
    expect_nothing_written(&t);
    wait_us(&t, 1);
    expect_written(&t, RESEND, 0);
    assert_int_equal(kd_link_stats(&t.link)->cut, 1);
    bytes[size - 1] = 0;
    feed(&t, bytes, size);
    expect_written(&t, RESEND, 0);
    expect_no_event(&t);
    assert_int_equal(kd_link_stats(&t.link)->bad_trailer, 1);
}

/* Bytes that trickle in, each within the byte time-out, make a packet. */
static void test_slow_bytes(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    (void)state;
    size_t size = make_data(bytes, MANIPULATE, id(A), manipulate(READ, 1), BODY_SIZE);
    for (size_t i = 0; i < size; i++) {
        feed(&t, bytes + i, 1);
        wait_us(&t, KD_LINK_BYTE_TIMEOUT_US - 1);
    }
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
}

static void test_row_10_type_not_awaited(void **state)
{
    (void)state;
    feed_data(&t, KD_PACKET_FILE_IO, id(A), manipulate(0x3430, 1));
    expect_no_event(&t);
    expect_written(&t, RESEND, 0); /* the type may be damaged */
    feed_data(&t, KD_PACKET_FILE_IO, id(A), manipulate(0x3430, 1));
    expect_no_event(&t);
    expect_written(&t, ACK, id(A));
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1)); /* expect has not moved */
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
}

static void test_row_11_foreign_id(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, 0x1234, manipulate(READ, 1));
    expect_no_event(&t);
    expect_written(&t, RESEND, 0);
    assert_int_equal(kd_link_stats(&t.link)->odd_ids, 1);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1)); /* it was a damaged id */
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
}

/* A debugger that counts in its own way is heard the second time. */
static void test_odd_ids_that_insist(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        feed_data(&t, MANIPULATE, 0x9000 + 5 * i, manipulate(READ, (uint8_t)i));
        expect_no_event(&t);
        expect_written(&t, RESEND, 0);
        feed_data(&t, MANIPULATE, 0x9000 + 5 * i, manipulate(READ, (uint8_t)i));
        expect_events(&t, KD_LINK_PACKET);
        expect_written(&t, ACK, 0x9000 + 5 * i);
    }
}

/* Two copies of a damaged packet in a row are no answer to our RESEND. */
static void test_odd_id_doubled_on_the_wire(void **state)
{
    uint8_t bytes[2 * KD_PACKET_MAX];
    (void)state;
    size_t size = make_data(bytes, MANIPULATE, 0x1234, manipulate(READ, 1), BODY_SIZE);
    memcpy(bytes + size, bytes, size);
    feed(&t, bytes, 2 * size);
    expect_no_event(&t);
    expect_written(&t, RESEND, 0);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
}

static void test_row_12_repeat(void **state)
{
    (void)state;
    feed_control(&t, ACK, id(B));
    expect_events(&t, KD_LINK_ACKED);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_no_event(&t);
    expect_written(&t, ACK, id(A));
    expect_nothing_written(&t);
}

static void test_row_13_checksum(void **state)
{
    (void)state;
    feed_damaged(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_no_event(&t);
    expect_written(&t, RESEND, 0);
    assert_int_equal(kd_link_stats(&t.link)->bad_checksum, 1);
}

static void test_running(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, id(A), manipulate(0x313C, 1)); /* its ACK was lost */
    expect_written(&t, ACK, id(A));
    feed_data(&t, MANIPULATE, id(B), manipulate(READ, 1));
    feed_damaged(&t, MANIPULATE, id(B), manipulate(READ, 1));
    feed_control(&t, RESEND, 0);
    feed_control(&t, ACK, id(A));
    expect_no_event(&t);
    expect_nothing_written(&t);
    feed(&t, (const uint8_t *)"b", 1);
    expect_events(&t, KD_LINK_BREAK_IN);
    feed_control(&t, RESET, 0);
    expect_events(&t, KD_LINK_RESET);
    expect_written(&t, RESET, 0);
    wait_us(&t, 5000000);
    expect_no_event(&t);
    expect_nothing_written(&t);
}

/* Like kdcom's scan: a 'b' counts unless another byte follows it. */
static void test_break_in_behind_junk(void **state)
{
    (void)state;
    feed(&t, (const uint8_t *)"x\r\nb", 4);
    expect_no_event(&t);
    wait_us(&t, KD_LINK_BYTE_TIMEOUT_US);
    expect_events(&t, KD_LINK_BREAK_IN);
    feed(&t, (const uint8_t *)"xbx", 3);
    wait_us(&t, KD_LINK_BYTE_TIMEOUT_US);
    expect_no_event(&t);
    assert_int_equal(kd_link_stats(&t.link)->junk_bytes, 7);
}

static void test_break_in_while_stopped(void **state)
{
    (void)state;
    feed(&t, (const uint8_t *)"b", 1);
    expect_events(&t, KD_LINK_BREAK_IN);
    wait_us(&t, KD_LINK_BYTE_TIMEOUT_US);
    expect_events(&t, KD_LINK_RESEND_STOP);
    feed(&t, (const uint8_t *)"b", 1); /* a packet follows: it is not alone */
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_BREAK_IN, KD_LINK_PACKET);
    expect_written(&t, ACK, id(A));
    wait_us(&t, 5000000);
    expect_no_event(&t);
}

static void test_break_in_while_waiting_for_ack(void **state)
{
    (void)state;
    feed(&t, (const uint8_t *)"b", 1);
    expect_events(&t, KD_LINK_BREAK_IN);
    wait_us(&t, KD_LINK_BYTE_TIMEOUT_US);
    expect_written(&t, MANIPULATE, id(B));
    expect_no_event(&t);
}

static void test_droppable_packet_is_given_up(void **state)
{
    (void)state;
    send(&t, KD_PACKET_DEBUG_IO, manipulate(PRINT, 0));
    wait_us(&t, KD_LINK_FIRST_RETRIES * (uint64_t)KD_LINK_ACK_TIMEOUT_US);
    for (int i = 0; i < KD_LINK_FIRST_RETRIES; i++)
        expect_written(&t, KD_PACKET_DEBUG_IO, sync_id(A));
    expect_nothing_written(&t);
    expect_events(&t, KD_LINK_DROPPED);
    assert_false(kd_link_busy(&t.link));
    assert_int_equal(kd_link_stats(&t.link)->drops, 1);
}

static void test_droppable_packet_after_success(void **state)
{
    (void)state;
    send(&t, STOP, manipulate(LOAD_SYMBOLS, 0));
    wait_us(&t, KD_LINK_RETRIES * (uint64_t)KD_LINK_ACK_TIMEOUT_US - 1);
    for (int i = 0; i < KD_LINK_RETRIES; i++)
        expect_written(&t, STOP, id(B));
    expect_no_event(&t); /* the wait of the last try is served */
    wait_us(&t, 1);
    expect_events(&t, KD_LINK_DROPPED);
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, STOP, sync_id(A)); /* ids as at the start */
}

static void test_resend_refreshes_the_tries(void **state)
{
    (void)state;
    send(&t, KD_PACKET_DEBUG_IO, manipulate(PRINT, 0));
    for (int i = 0; i < 12; i++) {
        wait_us(&t, 4 * (uint64_t)KD_LINK_ACK_TIMEOUT_US);
        feed_control(&t, RESEND, 0);
        t.written_count = 0;
    }
    expect_no_event(&t);
}

static void test_exception_is_sent_for_ever(void **state)
{
    (void)state;
    send(&t, STOP, manipulate(STATE, 0));
    for (int i = 0; i < 100; i++) {
        t.written_count = 0;
        wait_us(&t, KD_LINK_ACK_TIMEOUT_US);
        expect_written(&t, STOP, sync_id(A));
        expect_nothing_written(&t);
    }
    expect_no_event(&t);
    feed_control(&t, ACK, id(A));
    expect_events(&t, KD_LINK_ACKED);
}

/* Nothing gets between the bytes of a packet, and RESENDs do not pile up. */
static void test_controls_wait_for_the_packet_being_written(void **state)
{
    uint8_t control[KD_HEADER_SIZE];
    const uint8_t *bytes;
    (void)state;
    kd_link_send(&t.link, t.now, STOP, manipulate(STATE, 5), BODY_SIZE, NULL, 0);
    size_t size = kd_link_output(&t.link, &bytes);
    assert_int_equal(size, 73);
    kd_link_written(&t.link, t.now, 10);
    make_control(control, RESEND, 0);
    for (int i = 0; i < 100; i++)
        kd_link_feed(&t.link, t.now, control, sizeof(control));
    make_control(control, RESET, 0);
    for (int i = 0; i < 100; i++) {
        struct kd_link_event event;
        kd_link_feed(&t.link, t.now, control, sizeof(control));
        assert_true(kd_link_event(&t.link, &event));
        assert_int_equal(event.kind, KD_LINK_RESET);
        assert_false(kd_link_event(&t.link, &event));
    }
    assert_int_equal(kd_link_output(&t.link, &bytes), 63);
    assert_int_equal(bytes[62], KD_TRAILER);
    kd_link_written(&t.link, t.now, 63);
    collect(&t);
    expect_written(&t, RESET, 0);
    expect_written(&t, STOP, id(A));
    expect_nothing_written(&t);
}

/* A peer that provokes answers without reading them is asked once. */
static void test_answers_nobody_reads_do_not_pile_up(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    const uint8_t *out;
    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        size_t size =
            make_data(bytes, KD_PACKET_FILE_IO, 0x5000 + i / 2, manipulate(0x3430, 0), BODY_SIZE);
        assert_int_equal(kd_link_feed(&t.link, t.now, bytes, size), size);
    }
    assert_int_equal(kd_link_output(&t.link, &out), KD_HEADER_SIZE);
    assert_int_equal(kd_get_u16(out + 4), RESEND);
}

/* A wire that takes bytes slowly is not a silent debugger. */
static void test_slow_wire_is_not_a_timeout(void **state)
{
    const uint8_t *bytes;
    (void)state;
    kd_link_send(&t.link, t.now, KD_PACKET_DEBUG_IO, manipulate(PRINT, 0), BODY_SIZE, NULL, 0);
    for (int i = 0; i < 73; i++) {
        assert_int_equal(kd_link_output(&t.link, &bytes), 73 - i);
        kd_link_written(&t.link, t.now, 1);
        t.now += KD_LINK_ACK_TIMEOUT_US - 1;
        kd_link_tick(&t.link, t.now);
    }
    assert_int_equal(kd_link_output(&t.link, &bytes), 0);
    feed_control(&t, ACK, id(A));
    expect_events(&t, KD_LINK_ACKED);
}

/* Two stray bytes behind each control packet (a known debugger) do not cost a packet. */
static void test_stray_bytes_behind_control_packets(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    (void)state;
    size_t size = make_control(bytes, ACK, id(B));
    bytes[size++] = 0;
    bytes[size++] = 0xAA;
    size += make_data(bytes + size, MANIPULATE, id(B), manipulate(READ, 3), BODY_SIZE);
    feed(&t, bytes, size);
    expect_events(&t, KD_LINK_ACKED, KD_LINK_PACKET);
    expect_written(&t, ACK, id(B));
}

/* A debugger quits with the last reply unacknowledged; a new one starts with RESET. */
static void test_new_debugger_after_an_unacknowledged_reply(void **state)
{
    (void)state;
    wait_us(&t, 60 * (uint64_t)KD_LINK_ACK_TIMEOUT_US);
    t.written_count = 0;
    feed_control(&t, RESET, 0);
    expect_events(&t, KD_LINK_RESET);
    kd_link_abandon(&t.link); /* the engine reports the stop instead */
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, RESET, 0);
    t.written_count--; /* the reply was already on its way */
    memmove(t.written, t.written + 1, sizeof(t.written[0]));
    expect_written(&t, STOP, id(A));
}

static void test_restart_forgets_everything(void **state)
{
    (void)state;
    kd_link_restart(&t.link);
    collect(&t);
    expect_no_event(&t);
    expect_nothing_written(&t);
    assert_false(kd_link_busy(&t.link));
    assert_true(kd_link_deadline(&t.link) == KD_NEVER);
    send(&t, STOP, manipulate(STATE, 0));
    expect_written(&t, STOP, sync_id(A));
}

static void test_send_bounds(void **state)
{
    static uint8_t body[KD_BODY_MAX];
    (void)state;
    assert_int_equal(kd_link_send(&t.link, 0, STOP, body, KD_BODY_MAX, body, 1), KD_E_TOO_LONG);
    assert_int_equal(kd_link_send(&t.link, 0, STOP, body, SIZE_MAX, body, 2), KD_E_TOO_LONG);
    assert_int_equal(kd_link_send(&t.link, 0, STOP, body, 240, body, KD_BODY_MAX - 240), 0);
    collect(&t);
    expect_written(&t, STOP, sync_id(A));
}

/* KDNET: no trailer, ids by two, acknowledged as they are, RESET tells the own id. */
static void test_kdnet_profile(void **state)
{
    const struct kd_link_config config = {.role = KD_ROLE_TARGET, .framing = KD_FRAMING_KDNET};
    uint8_t bytes[KD_PACKET_MAX];
    const uint8_t *out;
    (void)state;
    kd_link_init(&t.link, &config);
    kd_link_expect(&t.link, MANIPULATE);
    kd_link_send(&t.link, 0, STOP, manipulate(STATE, 0), BODY_SIZE, NULL, 0);
    assert_int_equal(kd_link_output(&t.link, &out), 72);
    assert_int_equal(kd_get_u32(out + 8), 0);
    kd_link_written(&t.link, 0, 72);
    feed_control(&t, ACK, 0);
    expect_events(&t, KD_LINK_ACKED);
    feed_control(&t, RESET, 0x80000060);
    expect_events(&t, KD_LINK_RESET, KD_LINK_RESEND_STOP);
    expect_written(&t, RESET, 2);
    size_t size = make_data(bytes, MANIPULATE, 0x80000060, manipulate(READ, 1), BODY_SIZE);
    feed(&t, bytes, size - 1);
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, 0x80000060);
    kd_link_send(&t.link, 0, STOP, manipulate(STATE, 0), BODY_SIZE, NULL, 0);
    assert_int_equal(kd_link_output(&t.link, &out), 72);
    assert_int_equal(kd_get_u32(out + 8), 2);
}

static void start_kdnet(struct end *end, enum kd_role role)
{
    const struct kd_link_config config = {.role = role, .framing = KD_FRAMING_KDNET};
    start(end, role);
    kd_link_init(&end->link, &config);
}

/* WinDbg would take another packet under that id for the repeat of the one given up. */
static void test_kdnet_spends_the_id_of_a_packet_given_up(void **state)
{
    const uint8_t *out;
    (void)state;
    start_kdnet(&t, KD_ROLE_TARGET);
    kd_link_send(&t.link, t.now, STOP, manipulate(LOAD_SYMBOLS, 0), BODY_SIZE, NULL, 0);
    while (kd_link_busy(&t.link)) { /* it is droppable */
        kd_link_written(&t.link, t.now, kd_link_output(&t.link, &out));
        t.now += KD_LINK_ACK_TIMEOUT_US;
        kd_link_tick(&t.link, t.now);
    }
    kd_link_send(&t.link, t.now, STOP, manipulate(STATE, 0), BODY_SIZE, NULL, 0);
    assert_true(kd_link_output(&t.link, &out) > 0);
    assert_int_equal(kd_get_u32(out + 8), 2);
}

/* RESET tells an id, and no id comes twice: what was accepted is not accepted again. */
static void test_kdnet_repeat_after_reset(void **state)
{
    uint8_t bytes[KD_PACKET_MAX];
    (void)state;
    start_kdnet(&t, KD_ROLE_DEBUGGER);
    size_t size = make_data(bytes, MANIPULATE, 0x62, manipulate(READ, 1), BODY_SIZE);
    feed(&t, bytes, size - 1);
    expect_events(&t, KD_LINK_PACKET);
    expect_written(&t, ACK, 0x62);
    feed_control(&t, RESET, 0x62);
    expect_events(&t, KD_LINK_RESET);
    expect_written(&t, RESET, 0x80000000);
    feed(&t, bytes, size - 1);
    expect_no_event(&t);
    expect_written(&t, ACK, 0x62);
}

/* ---- a link between two others ---- */

static int late(void **state)
{
    const struct kd_link_config config = {.role = KD_ROLE_TARGET, .late_ack = true};
    fresh(state);
    kd_link_init(&t.link, &config);
    kd_link_expect(&t.link, KD_LINK_ANY_TYPE);
    return 0;
}

static void test_late_ack(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    expect_nothing_written(&t);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1)); /* its sender is impatient */
    expect_no_event(&t);
    expect_nothing_written(&t);
    kd_link_take(&t.link, t.now);
    collect(&t);
    expect_written(&t, ACK, id(A));
    kd_link_take(&t.link, t.now); /* nothing waits for it */
    collect(&t);
    expect_nothing_written(&t);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1)); /* the ACK was lost */
    expect_no_event(&t);
    expect_written(&t, ACK, id(A));
    feed_data(&t, MANIPULATE, id(B), manipulate(READ, 2));
    expect_events(&t, KD_LINK_PACKET);
}

static void test_refused_packet_is_new_again(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    kd_link_refuse(&t.link);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    feed_control(&t, RESET, 0);
    expect_events(&t, KD_LINK_RESET, KD_LINK_RESEND_STOP);
    expect_written(&t, RESET, 0);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    expect_nothing_written(&t);
}

static void test_another_packet_replaces_one_not_taken(void **state)
{
    (void)state;
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 1));
    expect_events(&t, KD_LINK_PACKET);
    feed_data(&t, MANIPULATE, id(A), manipulate(READ, 2)); /* given up, the id used again */
    expect_events(&t, KD_LINK_PACKET);
    kd_link_take(&t.link, t.now);
    collect(&t);
    expect_written(&t, ACK, id(A));
}

static void test_any_type_is_taken_and_a_break_in_alone_asks_for_nothing(void **state)
{
    (void)state;
    feed_data(&t, KD_PACKET_DEBUG_IO, id(A), manipulate(PRINT, 0));
    expect_events(&t, KD_LINK_PACKET);
    kd_link_take(&t.link, t.now);
    collect(&t);
    expect_written(&t, ACK, id(A));
    feed(&t, (const uint8_t *)"b", 1);
    expect_events(&t, KD_LINK_BREAK_IN);
    wait_us(&t, 4 * KD_LINK_BYTE_TIMEOUT_US);
    expect_no_event(&t);
    send(&t, STOP, manipulate(STATE, 0));
    assert_true(kd_link_is_sending(&t.link, STOP, manipulate(STATE, 0), BODY_SIZE));
    assert_false(kd_link_is_sending(&t.link, STOP, manipulate(STATE, 1), BODY_SIZE));
    assert_false(kd_link_is_sending(&t.link, MANIPULATE, manipulate(STATE, 0), BODY_SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_first_packet_has_sync_and_its_ack_has_not, fresh),
        cmocka_unit_test_setup(test_row_1_resend, replying),
        cmocka_unit_test_setup(test_row_3_other_ack, replying),
        cmocka_unit_test_setup(test_ack_before_the_packet_was_handed_out, fresh),
        cmocka_unit_test_setup(test_row_4_reset, replying),
        cmocka_unit_test_setup(test_row_5_other_control, replying),
        cmocka_unit_test_setup(test_row_6_implicit_ack, replying),
        cmocka_unit_test_setup(test_row_6_then_running, replying),
        cmocka_unit_test_setup(test_row_6_then_sending, replying),
        cmocka_unit_test_setup(test_row_6_damaged, replying),
        cmocka_unit_test_setup(test_row_7_repeat_while_waiting, replying),
        cmocka_unit_test_setup(test_row_8_lengths, stopped),
        cmocka_unit_test_setup(test_row_9_missing_bytes_and_trailer, stopped),
        cmocka_unit_test_setup(test_slow_bytes, stopped),
        cmocka_unit_test_setup(test_row_10_type_not_awaited, stopped),
        cmocka_unit_test_setup(test_row_11_foreign_id, stopped),
        cmocka_unit_test_setup(test_odd_id_doubled_on_the_wire, stopped),
        cmocka_unit_test_setup(test_odd_ids_that_insist, stopped),
        cmocka_unit_test_setup(test_row_12_repeat, replying),
        cmocka_unit_test_setup(test_row_13_checksum, stopped),
        cmocka_unit_test_setup(test_running, running),
        cmocka_unit_test_setup(test_break_in_behind_junk, running),
        cmocka_unit_test_setup(test_break_in_while_stopped, stopped),
        cmocka_unit_test_setup(test_break_in_while_waiting_for_ack, replying),
        cmocka_unit_test_setup(test_droppable_packet_is_given_up, fresh),
        cmocka_unit_test_setup(test_droppable_packet_after_success, stopped),
        cmocka_unit_test_setup(test_resend_refreshes_the_tries, fresh),
        cmocka_unit_test_setup(test_exception_is_sent_for_ever, fresh),
        cmocka_unit_test_setup(test_controls_wait_for_the_packet_being_written, fresh),
        cmocka_unit_test_setup(test_answers_nobody_reads_do_not_pile_up, stopped),
        cmocka_unit_test_setup(test_slow_wire_is_not_a_timeout, fresh),
        cmocka_unit_test_setup(test_stray_bytes_behind_control_packets, replying),
        cmocka_unit_test_setup(test_new_debugger_after_an_unacknowledged_reply, replying),
        cmocka_unit_test_setup(test_restart_forgets_everything, replying),
        cmocka_unit_test_setup(test_send_bounds, fresh),
        cmocka_unit_test_setup(test_kdnet_profile, fresh),
        cmocka_unit_test_setup(test_kdnet_spends_the_id_of_a_packet_given_up, fresh),
        cmocka_unit_test_setup(test_kdnet_repeat_after_reset, fresh),
        cmocka_unit_test_setup(test_late_ack, late),
        cmocka_unit_test_setup(test_refused_packet_is_new_again, late),
        cmocka_unit_test_setup(test_another_packet_replaces_one_not_taken, late),
        cmocka_unit_test_setup(test_any_type_is_taken_and_a_break_in_alone_asks_for_nothing, late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
