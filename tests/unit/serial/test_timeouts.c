/* SPDX-License-Identifier: BSD-2-Clause */
/* Every row of the time-out tables in transfer.c. */
#include "desk.h"

static void set_timeouts(uint32_t interval, uint32_t multiplier, uint32_t constant)
{
    assert_int_equal(set(SERIAL_SET_TIMEOUTS, interval, multiplier, constant, 0, 0), SERIAL_OK);
}

static void test_all_ones_are_refused(void **state)
{
    (void)state;
    set_timeouts(1, 2, 3);
    assert_int_equal(set(SERIAL_SET_TIMEOUTS, X, X, X, 0, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(get(SERIAL_GET_TIMEOUTS, 0), 1);
    assert_int_equal(get(SERIAL_GET_TIMEOUTS, 2), 3);
}

static void test_at_once_with_what_is_there(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(X, 0, 0);
    read_bytes(&read, 10);
    expect_done(&read, SERIAL_OK, 0);
    receive("abc");
    read_bytes(&read, 10);
    expect_done(&read, SERIAL_OK, 3);
    assert_memory_equal(read.data, "abc", 3);
}

static void test_at_once_or_all_in_time(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(X, 10, 50);
    receive("ab");
    read_bytes(&read, 10);
    expect_done(&read, SERIAL_OK, 2);
    read_bytes(&read, 4); /* 90 ms */
    pass(89);
    receive("xyz");
    expect_waiting(&read);
    pass(1);
    expect_done(&read, SERIAL_TIMEOUT, 3);
    read_bytes(&read, 4);
    receive("full");
    expect_done(&read, SERIAL_OK, 4);
}

static void test_first_byte_or_constant(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(X, X, 70);
    read_bytes(&read, 100);
    pass(69);
    receive("ab");
    expect_done(&read, SERIAL_OK, 1); /* shrunk to one byte; the other waits */
    read_bytes(&read, 100);
    expect_done(&read, SERIAL_OK, 1);
    read_bytes(&read, 100);
    pass(69);
    expect_waiting(&read);
    pass(1);
    expect_done(&read, SERIAL_TIMEOUT, 0);
}

static void test_interval_ones_and_constant_ones_wait_for_all(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(X, 5, X);
    receive("abc");
    read_bytes(&read, 4);
    pass(100000);
    expect_waiting(&read);
    receive("d");
    expect_done(&read, SERIAL_OK, 4);
}

static void test_no_timeouts_wait_for_all(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(0, 0, 0);
    read_bytes(&read, 2);
    receive("a");
    pass(1000000);
    expect_waiting(&read);
    receive("b");
    expect_done(&read, SERIAL_OK, 2);
}

static void test_total_is_never_restarted(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(0, 20, 20); /* 5 bytes: 120 ms */
    read_bytes(&read, 5);
    for (int i = 0; i < 3; i++) {
        pass(39);
        receive("x");
    }
    expect_waiting(&read);
    pass(3);
    expect_done(&read, SERIAL_TIMEOUT, 3);
}

static void test_multiplier_ones_are_literal(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(0, X, 0); /* 2^32 ms for each of 200 bytes: a product of 64 bits */
    read_bytes(&read, 200);
    assert_int_equal(serial_deadline(&port), now + (uint64_t)X * 200 * MS);
    assert_true(serial_cancel(&port, now, &read.request));
    settle();
}

static void test_interval_alone(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(30, 0, 0);
    read_bytes(&read, 10);
    pass(5000); /* it counts from the first byte only */
    expect_waiting(&read);
    receive("a");
    pass(29);
    receive("b"); /* and from each new one */
    pass(29);
    expect_waiting(&read);
    pass(1);
    expect_done(&read, SERIAL_TIMEOUT, 2);
}

static void test_interval_is_armed_by_buffered_bytes(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(30, 0, 0);
    receive("abc");
    read_bytes(&read, 10);
    pass(30);
    expect_done(&read, SERIAL_TIMEOUT, 3);
}

static void test_interval_and_total(void **state)
{
    struct work read;
    (void)state;
    set_timeouts(30, 0, 50);
    read_bytes(&read, 10);
    receive("a");
    pass(30);
    expect_done(&read, SERIAL_TIMEOUT, 1);
    read_bytes(&read, 10);
    pass(25);
    receive("a");
    pass(24);
    expect_waiting(&read);
    pass(1);
    expect_done(&read, SERIAL_TIMEOUT, 1);
    assert_int_equal(port.totals.interval_timeouts, 1);
    assert_int_equal(port.totals.total_timeouts, 1);
}

static void test_timeouts_are_looked_up_when_a_read_becomes_current(void **state)
{
    struct work first;
    struct work second;
    (void)state;
    set_timeouts(0, 0, 0);
    read_bytes(&first, 2);
    read_bytes(&second, 2);
    set_timeouts(0, 0, 40);
    pass(1000);
    expect_waiting(&first); /* began under the old ones */
    receive("abc");
    expect_done(&first, SERIAL_OK, 2);
    pass(39);
    expect_waiting(&second);
    pass(1);
    expect_done(&second, SERIAL_TIMEOUT, 1);
    assert_memory_equal(second.data, "c", 1);
}

static void test_write_total(void **state)
{
    struct work first;
    struct work second;
    (void)state;
    assert_int_equal(set(SERIAL_SET_TIMEOUTS, 0, 0, 0, 10, 20), SERIAL_OK);
    write_bytes(&first, 8);  /* 100 ms */
    write_bytes(&second, 3); /* 50 ms, from when it is its turn */
    assert_int_equal(wire_takes(3, NULL), 3);
    pass(99);
    expect_waiting(&first);
    pass(1);
    expect_done(&first, SERIAL_TIMEOUT, 3);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 3), 3);
    pass(49);
    expect_waiting(&second);
    pass(1);
    expect_done(&second, SERIAL_TIMEOUT, 0);
}

static void test_write_without_timeouts(void **state)
{
    struct work write;
    (void)state;
    write_bytes(&write, 8);
    assert_int_equal(serial_deadline(&port), SERIAL_NEVER);
    wire_takes(8, NULL);
    expect_done(&write, SERIAL_OK, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_ones_are_refused, open_port),
        cmocka_unit_test_setup(test_at_once_with_what_is_there, open_port),
        cmocka_unit_test_setup(test_at_once_or_all_in_time, open_port),
        cmocka_unit_test_setup(test_first_byte_or_constant, open_port),
        cmocka_unit_test_setup(test_interval_ones_and_constant_ones_wait_for_all, open_port),
        cmocka_unit_test_setup(test_no_timeouts_wait_for_all, open_port),
        cmocka_unit_test_setup(test_total_is_never_restarted, open_port),
        cmocka_unit_test_setup(test_multiplier_ones_are_literal, open_port),
        cmocka_unit_test_setup(test_interval_alone, open_port),
        cmocka_unit_test_setup(test_interval_is_armed_by_buffered_bytes, open_port),
        cmocka_unit_test_setup(test_interval_and_total, open_port),
        cmocka_unit_test_setup(test_timeouts_are_looked_up_when_a_read_becomes_current, open_port),
        cmocka_unit_test_setup(test_write_total, open_port),
        cmocka_unit_test_setup(test_write_without_timeouts, open_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
