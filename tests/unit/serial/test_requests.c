/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening, queues, cancellation, purge, the wait mask, bytes in and out. */
#include "desk.h"

static void wait_for_event(struct work *work)
{
    control_sized(work, SERIAL_WAIT_ON_MASK, NULL, 0, 4);
}

static void expect_event(const struct work *work, uint32_t events)
{
    expect_done(work, SERIAL_OK, 4);
    assert_int_equal(kd_get_u32(work->data), events);
}

static void test_one_program_at_a_time(void **state)
{
    (void)state;
    assert_int_equal(serial_open(&port), SERIAL_ACCESS_DENIED);
    serial_close(&port, now);
    assert_int_equal(serial_open(&port), SERIAL_OK);
}

static void test_close_ends_everything(void **state)
{
    struct work reads[2];
    struct work write;
    struct work wait;
    struct work immediate;
    (void)state;
    assert_int_equal(set(SERIAL_SET_BAUD_RATE, 57600), SERIAL_OK);
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_BREAK), SERIAL_OK);
    set(SERIAL_SET_BREAK_ON);
    read_bytes(&reads[0], 5);
    read_bytes(&reads[1], 5);
    receive("ab");
    write_bytes(&write, 5);
    wait_for_event(&wait);
    control_sized(&immediate, SERIAL_IMMEDIATE_CHAR, "!", 1, 0);
    serial_close(&port, now);
    settle();
    expect_done(&reads[0], SERIAL_CANCELLED, 2);
    expect_done(&reads[1], SERIAL_CANCELLED, 0);
    expect_done(&write, SERIAL_CANCELLED, 0);
    expect_done(&wait, SERIAL_CANCELLED, 0);
    expect_done(&immediate, SERIAL_CANCELLED, 0);
    assert_int_equal(port.mcr & (SERIAL_LINE_DTR | SERIAL_LINE_RTS), 0);
    receive("nobody listens");
    assert_int_equal(port.totals.discarded, 14);
    read_bytes(&reads[0], 5);
    expect_done(&reads[0], SERIAL_INVALID_STATE, 0);

    serial_open(&port);
    assert_int_equal(get(SERIAL_GET_BAUD_RATE, 0), 57600); /* settings stay */
    assert_int_equal(get(SERIAL_GET_WAIT_MASK, 0), 0);     /* state does not */
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 1), 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 2), 0);
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), SERIAL_LINE_DTR | SERIAL_LINE_RTS);
}

static void test_reads_are_served_in_order(void **state)
{
    struct work reads[3];
    (void)state;
    for (size_t i = 0; i < 3; i++)
        read_bytes(&reads[i], 2);
    receive("ab");
    expect_done(&reads[0], SERIAL_OK, 2);
    expect_waiting(&reads[1]);
    receive("cdef");
    expect_done(&reads[1], SERIAL_OK, 2);
    expect_done(&reads[2], SERIAL_OK, 2);
    assert_memory_equal(reads[2].data, "ef", 2);
    assert_int_equal(port.totals.reads, 3); /* as REPORT shows them */
    assert_int_equal(port.totals.dequeues, 3);
    assert_int_equal(port.totals.read, 6);
}

static void test_cancel_gives_what_it_has(void **state)
{
    struct work reads[3];
    (void)state;
    for (size_t i = 0; i < 3; i++)
        read_bytes(&reads[i], 4);
    receive("ab");
    assert_true(serial_cancel(&port, now, &reads[1].request)); /* from the middle */
    assert_true(serial_cancel(&port, now, &reads[0].request)); /* the current one */
    settle();
    expect_done(&reads[0], SERIAL_CANCELLED, 2);
    expect_done(&reads[1], SERIAL_CANCELLED, 0);
    assert_false(serial_cancel(&port, now, &reads[0].request));
    receive("cdef");
    expect_done(&reads[2], SERIAL_OK, 4);
    assert_memory_equal(reads[2].data, "cdef", 4);
    read_bytes(&reads[0], 1); /* the queue's end is right again */
    receive("g");
    expect_done(&reads[0], SERIAL_OK, 1);
}

static void test_cancelled_write_lets_the_next_one_go(void **state)
{
    struct work writes[2];
    char out[8];
    (void)state;
    write_bytes(&writes[0], 4);
    write_bytes(&writes[1], 2);
    memset(writes[1].data, 'x', 2);
    wire_takes(1, NULL);
    assert_true(serial_cancel(&port, now, &writes[0].request));
    settle();
    expect_done(&writes[0], SERIAL_CANCELLED, 1);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 3), 2);
    assert_int_equal(wire_takes(8, out), 2);
    assert_memory_equal(out, "xx", 2);
    expect_done(&writes[1], SERIAL_OK, 2);
}

static void test_full_queue_stops_the_wire_and_drops_nothing(void **state)
{
    static uint8_t block[SERIAL_QUEUE_DEFAULT];
    struct work read;
    (void)state;
    memset(block, 'q', sizeof(block));
    assert_int_equal(serial_room(&port), SERIAL_QUEUE_DEFAULT);
    serial_receive(&port, now, block, sizeof(block));
    assert_int_equal(serial_room(&port), 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 2), SERIAL_QUEUE_DEFAULT);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 0), 0);
    read_bytes(&read, 100);
    expect_done(&read, SERIAL_OK, 100);
    assert_int_equal(serial_room(&port), 100);
    assert_int_equal(set(SERIAL_SET_QUEUE_SIZE, 128 * 1024, 4096), SERIAL_OK); /* keeps data */
    assert_int_equal(serial_room(&port), 64 * 1024 + 100);
    assert_int_equal(set(SERIAL_SET_QUEUE_SIZE, 100, 100),
                     SERIAL_OK); /* granted, changes nothing */
    assert_int_equal(serial_room(&port), 64 * 1024 + 100);
    assert_int_equal(set(SERIAL_SET_QUEUE_SIZE, 2 * SERIAL_QUEUE_MAX, 1), SERIAL_INSUFFICIENT);
}

static void test_purge(void **state)
{
    struct work reads[2];
    struct work write;
    (void)state;
    assert_int_equal(set(SERIAL_PURGE, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_PURGE, 16), SERIAL_INVALID_PARAMETER);
    read_bytes(&reads[0], 4);
    read_bytes(&reads[1], 4);
    write_bytes(&write, 4);
    receive("ab");
    assert_int_equal(set(SERIAL_PURGE, SERIAL_RXABORT), SERIAL_OK);
    expect_done(&reads[0], SERIAL_CANCELLED, 2);
    expect_done(&reads[1], SERIAL_CANCELLED, 0);
    expect_waiting(&write);
    assert_int_equal(set(SERIAL_PURGE, SERIAL_TXABORT), SERIAL_OK);
    expect_done(&write, SERIAL_CANCELLED, 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 3), 0);
    receive("stale");
    assert_int_equal(set(SERIAL_PURGE, SERIAL_RXCLEAR | SERIAL_TXCLEAR), SERIAL_OK);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 2), 0);
}

static void test_wait_needs_a_mask_and_is_alone(void **state)
{
    struct work waits[2];
    (void)state;
    wait_for_event(&waits[0]);
    expect_done(&waits[0], SERIAL_INVALID_PARAMETER, 0);
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, 0x2000), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_RXCHAR), SERIAL_OK);
    wait_for_event(&waits[0]);
    wait_for_event(&waits[1]);
    expect_waiting(&waits[0]);
    expect_done(&waits[1], SERIAL_INVALID_PARAMETER, 0);
    receive("a");
    expect_event(&waits[0], SERIAL_EV_RXCHAR);
}

static void test_history_is_kept_for_the_next_wait(void **state)
{
    struct work wait;
    (void)state;
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_RXCHAR | SERIAL_EV_CTS), SERIAL_OK);
    receive("a");
    serial_set_modem(&port, now, SERIAL_MODEM_CTS | SERIAL_MODEM_DSR);
    wait_for_event(&wait);
    expect_event(&wait, SERIAL_EV_RXCHAR | SERIAL_EV_CTS); /* DSR is not in the mask */
    wait_for_event(&wait);
    expect_waiting(&wait);
    assert_true(serial_cancel(&port, now, &wait.request));
    settle();
    expect_done(&wait, SERIAL_CANCELLED, 0);
}

static void test_new_mask_ends_the_wait(void **state)
{
    struct work wait;
    (void)state;
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_BREAK), SERIAL_OK);
    wait_for_event(&wait);
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_RXCHAR | SERIAL_EV_RXFLAG), SERIAL_OK);
    expect_event(&wait, 0);
    port.chars[SERIAL_CHAR_EVENT] = '\n';
    receive("a\n");
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_RXFLAG), SERIAL_OK);
    wait_for_event(&wait);
    expect_event(&wait, SERIAL_EV_RXFLAG); /* history &= new mask */
}

static void test_events(void **state)
{
    static uint8_t block[SERIAL_QUEUE_DEFAULT / 16 * 13];
    struct work wait;
    struct work write;
    (void)state;
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_ALL & ~SERIAL_EV_RXCHAR), SERIAL_OK);
    wait_for_event(&wait);
    write_bytes(&write, 2);
    wire_takes(1, NULL);
    expect_waiting(&wait);
    wire_takes(1, NULL);
    expect_event(&wait, SERIAL_EV_TXEMPTY);
    wait_for_event(&wait);
    serial_line_error(&port, now, SERIAL_ERROR_BREAK);
    settle();
    expect_event(&wait, SERIAL_EV_BREAK);
    serial_line_error(&port, now, SERIAL_ERROR_FRAMING);
    wait_for_event(&wait);
    expect_event(&wait, SERIAL_EV_ERR);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 0), SERIAL_ERROR_BREAK | SERIAL_ERROR_FRAMING);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 0), 0);
    assert_int_equal(get(SERIAL_GET_STATS, 2), 1);
    serial_ring(&port, now);
    wait_for_event(&wait);
    expect_event(&wait, SERIAL_EV_RING);
    memset(block, 1, sizeof(block));
    wait_for_event(&wait);
    serial_receive(&port, now, block, sizeof(block) - 1);
    settle();
    expect_waiting(&wait);
    receive("x");
    expect_event(&wait, SERIAL_EV_RX80FULL);
}

static void test_received_byte_is_an_event_when_a_read_took_it(void **state)
{
    struct work read;
    struct work wait;
    (void)state;
    assert_int_equal(set(SERIAL_SET_WAIT_MASK, SERIAL_EV_RXCHAR), SERIAL_OK);
    read_bytes(&read, 1);
    wait_for_event(&wait);
    receive("a");
    expect_done(&read, SERIAL_OK, 1);
    expect_event(&wait, SERIAL_EV_RXCHAR);
}

static void test_immediate_character(void **state)
{
    struct work write;
    struct work first;
    struct work second;
    char out[8];
    (void)state;
    write_bytes(&write, 3);
    wire_takes(1, NULL);
    assert_int_equal(set(SERIAL_SET_XOFF), SERIAL_OK); /* does not hold it back */
    control_sized(&first, SERIAL_IMMEDIATE_CHAR, "!", 1, 0);
    control_sized(&second, SERIAL_IMMEDIATE_CHAR, "?", 1, 0);
    expect_waiting(&first);
    expect_done(&second, SERIAL_INVALID_PARAMETER, 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 4) >> 8, 1); /* wait-for-immediate */
    assert_int_equal(wire_takes(8, out), 1);
    assert_int_equal(out[0], '!');
    expect_done(&first, SERIAL_OK, 0);
    assert_int_equal(set(SERIAL_SET_XON), SERIAL_OK);
    assert_int_equal(wire_takes(8, out), 2);
    expect_done(&write, SERIAL_OK, 3);
}

static void start_counter(struct work *work, uint32_t timeout, uint32_t count)
{
    uint32_t in[3] = {timeout, count, 0x13};
    control_sized(work, SERIAL_XOFF_COUNTER, in, sizeof(in), 0);
}

static void test_xoff_counter(void **state)
{
    struct work counter;
    struct work write;
    char out[4];
    (void)state;
    start_counter(&counter, 100, 0);
    expect_done(&counter, SERIAL_INVALID_PARAMETER, 0);
    start_counter(&counter, 100, 3);
    assert_int_equal(wire_takes(4, out), 1);
    assert_int_equal(out[0], 0x13);
    receive("ab");
    expect_waiting(&counter);
    receive("cd");
    expect_done(&counter, SERIAL_OK, 0);
    start_counter(&counter, 100, 3);
    pass(100);
    expect_done(&counter, SERIAL_COUNTER_TIMEOUT, 0);
    start_counter(&counter, 0, 3);
    write_bytes(&write, 1);
    expect_done(&counter, SERIAL_MORE_WRITES, 0);
}

static void test_errors_abort_until_they_are_looked_at(void **state)
{
    struct work read;
    struct work write;
    (void)state;
    assert_int_equal(set(SERIAL_SET_HANDFLOW, SERIAL_ERROR_ABORT, 0, 10, 10), SERIAL_OK);
    read_bytes(&read, 2);
    write_bytes(&write, 2);
    serial_line_error(&port, now, SERIAL_ERROR_PARITY);
    settle();
    expect_done(&read, SERIAL_CANCELLED, 0);
    expect_done(&write, SERIAL_CANCELLED, 0);
    read_bytes(&read, 2);
    expect_done(&read, SERIAL_CANCELLED, 0);
    assert_int_equal(set(SERIAL_SET_BAUD_RATE, 9600), SERIAL_CANCELLED);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 0), SERIAL_ERROR_PARITY);
    assert_int_equal(set(SERIAL_SET_BAUD_RATE, 9600), SERIAL_OK);
}

static void test_removal_ends_all_with_its_status(void **state)
{
    struct work read;
    struct work write;
    (void)state;
    read_bytes(&read, 2);
    write_bytes(&write, 2);
    serial_end_all(&port, SERIAL_DEVICE_REMOVED);
    settle();
    expect_done(&read, SERIAL_DEVICE_REMOVED, 0);
    expect_done(&write, SERIAL_DEVICE_REMOVED, 0);
    assert_int_equal(serial_output(&port, &(const uint8_t *){NULL}), 0);
}

/* As a wire that puts bytes where the port says. */
static void place(const char *text)
{
    struct serial_piece pieces[SERIAL_PIECES];
    size_t count = serial_space(&port, pieces);
    size_t placed = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < pieces[i].size && text[placed]; j++)
            pieces[i].bytes[j] = (uint8_t)text[placed++];
    assert_int_equal(placed, strlen(text));
    serial_placed(&port, now, placed);
    settle();
}

static void wait_for_character(struct work *wait, char event)
{
    const uint8_t chars[6] = {0, 0, 0, (uint8_t)event, 0x11, 0x13};
    control_sized(wait, SERIAL_SET_CHARS, chars, sizeof(chars), 0);
    set(SERIAL_SET_WAIT_MASK, SERIAL_EV_RXFLAG);
    wait_for_event(wait);
}

static void test_wire_puts_bytes_straight_into_a_read(void **state)
{
    struct work read;
    struct work next;
    struct work wait;
    struct serial_piece pieces[SERIAL_PIECES];
    (void)state;
    wait_for_character(&wait, 'e');
    read_bytes(&read, 5);
    read_bytes(&next, 2);
    receive("a");
    assert_int_equal(serial_space(&port, pieces), 2);
    assert_ptr_equal(pieces[0].bytes, read.data + 1);
    assert_int_equal(pieces[0].size, 4);
    place("bcd");
    expect_waiting(&read);
    expect_waiting(&wait);
    place("e");
    expect_done(&read, SERIAL_OK, 5);
    assert_memory_equal(read.data, "abcde", 5);
    expect_event(&wait, SERIAL_EV_RXFLAG);
    assert_int_equal(get(SERIAL_GET_STATS, 0), 5);
    place("fg"); /* the next one is the current one */
    expect_done(&next, SERIAL_OK, 2);
    set(SERIAL_SET_HANDFLOW, 0, SERIAL_NULL_STRIPPING, 0, 0); /* each byte is looked at */
    read_bytes(&read, 5);
    assert_int_equal(serial_space(&port, pieces), 0);
}

static void test_wire_puts_what_no_read_takes_into_the_queue(void **state)
{
    struct work read;
    struct work next;
    struct work wait;
    struct serial_piece pieces[SERIAL_PIECES];
    (void)state;
    wait_for_character(&wait, 'g');
    assert_int_equal(serial_space(&port, pieces), 1); /* nobody reads */
    assert_int_equal(pieces[0].size, serial_room(&port));
    read_bytes(&read, 2);
    read_bytes(&next, 3);
    place("abcdefgh"); /* more than both */
    expect_done(&read, SERIAL_OK, 2);
    expect_done(&next, SERIAL_OK, 3);
    assert_memory_equal(read.data, "ab", 2);
    assert_memory_equal(next.data, "cde", 3);
    expect_event(&wait, SERIAL_EV_RXFLAG); /* it is in the queue */
    place("ij");                           /* behind what is there */
    read_bytes(&read, 5);
    expect_done(&read, SERIAL_OK, 5);
    assert_memory_equal(read.data, "fghij", 5);
    assert_int_equal(get(SERIAL_GET_STATS, 0), 10);
}

static void test_straight_bytes_start_the_interval(void **state)
{
    struct work read;
    (void)state;
    set(SERIAL_SET_TIMEOUTS, 40, 0, 0, 0, 0);
    read_bytes(&read, 5);
    pass(100);
    place("ab");
    pass(39);
    expect_waiting(&read);
    pass(2);
    expect_done(&read, SERIAL_TIMEOUT, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_program_at_a_time, open_port),
        cmocka_unit_test_setup(test_close_ends_everything, open_port),
        cmocka_unit_test_setup(test_reads_are_served_in_order, open_port),
        cmocka_unit_test_setup(test_cancel_gives_what_it_has, open_port),
        cmocka_unit_test_setup(test_cancelled_write_lets_the_next_one_go, open_port),
        cmocka_unit_test_setup(test_full_queue_stops_the_wire_and_drops_nothing, open_port),
        cmocka_unit_test_setup(test_purge, open_port),
        cmocka_unit_test_setup(test_wait_needs_a_mask_and_is_alone, open_port),
        cmocka_unit_test_setup(test_history_is_kept_for_the_next_wait, open_port),
        cmocka_unit_test_setup(test_new_mask_ends_the_wait, open_port),
        cmocka_unit_test_setup(test_events, open_port),
        cmocka_unit_test_setup(test_received_byte_is_an_event_when_a_read_took_it, open_port),
        cmocka_unit_test_setup(test_immediate_character, open_port),
        cmocka_unit_test_setup(test_xoff_counter, open_port),
        cmocka_unit_test_setup(test_errors_abort_until_they_are_looked_at, open_port),
        cmocka_unit_test_setup(test_removal_ends_all_with_its_status, open_port),
        cmocka_unit_test_setup(test_wire_puts_bytes_straight_into_a_read, open_port),
        cmocka_unit_test_setup(test_wire_puts_what_no_read_takes_into_the_queue, open_port),
        cmocka_unit_test_setup(test_straight_bytes_start_the_interval, open_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
