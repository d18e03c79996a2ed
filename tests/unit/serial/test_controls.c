/* SPDX-License-Identifier: BSD-2-Clause */
/* The control codes that are settings, and flow control. */
#include "desk.h"

static const struct {
    uint32_t code;
    size_t in, out;
} sizes[] = {
#define SIZES_ENTRY(name, lower, function, in, out) {SERIAL_CODE(function), in, out},
    SERIAL_CONTROLS(SIZES_ENTRY)
#undef SIZES_ENTRY
};

static void test_codes_are_those_of_windows(void **state)
{
    (void)state;
    assert_int_equal(SERIAL_SET_BAUD_RATE, 0x1B0004);
    assert_int_equal(SERIAL_PURGE, 0x1B004C);
    assert_int_equal(SERIAL_GET_PROPERTIES, 0x1B0074);
    assert_int_equal(SERIAL_SET_FIFO_CONTROL, 0x1B009C);
    assert_string_equal(serial_control_name(0x1B0048), "WAIT_ON_MASK");
    assert_null(serial_control_name(0x1B0084));
}

static void test_short_buffers_are_refused(void **state)
{
    static const uint8_t zeros[64];
    struct work work;
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i].in) {
            control_sized(&work, sizes[i].code, zeros, sizes[i].in - 1, sizes[i].out);
            expect_done(&work, SERIAL_BUFFER_TOO_SMALL, 0);
        }
        if (sizes[i].out) {
            control_sized(&work, sizes[i].code, zeros, sizes[i].in, sizes[i].out - 1);
            expect_done(&work, SERIAL_BUFFER_TOO_SMALL, 0);
        }
    }
    control_sized(&work, 0x1B0084, zeros, 64, 64);
    expect_done(&work, SERIAL_INVALID_PARAMETER, 0);
}

static void test_getters_say_how_much_they_gave(void **state)
{
    struct work work;
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (!sizes[i].out || sizes[i].code == SERIAL_WAIT_ON_MASK)
            continue;
        control_sized(&work, sizes[i].code, NULL, 0, 64);
        expect_done(&work, SERIAL_OK, sizes[i].out);
    }
}

static void test_baud(void **state)
{
    (void)state;
    assert_int_equal(set(SERIAL_SET_BAUD_RATE, 115200), SERIAL_OK);
    assert_int_equal(set(SERIAL_SET_BAUD_RATE, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(get(SERIAL_GET_BAUD_RATE, 0), 115200);
}

static uint32_t set_line(uint8_t stop, uint8_t parity, uint8_t bits)
{
    struct work work;
    control_sized(&work, SERIAL_SET_LINE_CONTROL, (uint8_t[]){stop, parity, bits}, 3, 0);
    return work.request.status;
}

static void test_line_control(void **state)
{
    struct work work;
    (void)state;
    assert_int_equal(set_line(2, 2, 7), SERIAL_OK);
    assert_int_equal(set_line(0, 0, 4), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set_line(0, 0, 9), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set_line(0, 5, 8), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set_line(3, 0, 8), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set_line(1, 0, 8), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set_line(2, 0, 5), SERIAL_INVALID_PARAMETER);
    control_sized(&work, SERIAL_GET_LINE_CONTROL, NULL, 0, 3);
    assert_memory_equal(work.data, ((uint8_t[]){2, 2, 7}), 3); /* nothing of those was stored */
    assert_int_equal(set_line(1, 0, 5), SERIAL_OK);
}

static void test_chars_and_escape(void **state)
{
    struct work work;
    static const uint8_t chars[] = {1, 2, 3, 4, 5, 6};
    (void)state;
    control_sized(&work, SERIAL_SET_CHARS, chars, 6, 0);
    expect_done(&work, SERIAL_OK, 0);
    control_sized(&work, SERIAL_GET_CHARS, NULL, 0, 6);
    assert_memory_equal(work.data, chars, 6);
    control_sized(&work, SERIAL_LSRMST_INSERT, &chars[4], 1, 0); /* the XON character */
    expect_done(&work, SERIAL_INVALID_PARAMETER, 0);
    control_sized(&work, SERIAL_LSRMST_INSERT, "\x7f", 1, 0);
    expect_done(&work, SERIAL_OK, 0);
    control_sized(&work, SERIAL_SET_CHARS, "\1\2\3\4\x7f\6", 6, 0);
    expect_done(&work, SERIAL_INVALID_PARAMETER, 0);

    receive("a\x7f");
    serial_set_modem(&port, now, SERIAL_MODEM_DCD);
    serial_line_error(&port, now, SERIAL_ERROR_BREAK);
    read_bytes(&work, 9);
    expect_done(&work, SERIAL_OK, 9);
    assert_memory_equal(work.data, "a\x7f\0\x7f\x03\x88\x7f\x02\x10", 9);
}

static void test_dtr_and_rts(void **state)
{
    (void)state;
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), 3);
    assert_int_equal(set(SERIAL_CLR_DTR), SERIAL_OK);
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), SERIAL_LINE_RTS);
    assert_int_equal(set(SERIAL_CLR_RTS), SERIAL_OK);
    assert_int_equal(set(SERIAL_SET_DTR), SERIAL_OK);
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), SERIAL_LINE_DTR);
    assert_int_equal(set(SERIAL_SET_HANDFLOW, SERIAL_DTR_HANDSHAKE, SERIAL_RTS_MASK, 1, 1), 0);
    assert_int_equal(set(SERIAL_CLR_DTR), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_RTS), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_MODEM_CONTROL, 0xFF), SERIAL_OK);
    assert_int_equal(get(SERIAL_GET_MODEM_CONTROL, 0), SERIAL_MCR_MASK);
}

static void test_handflow_refusals(void **state)
{
    (void)state;
    assert_int_equal(set(SERIAL_SET_HANDFLOW, 9, 0x40, 2048, 512), SERIAL_OK);
    assert_int_equal(set(SERIAL_SET_HANDFLOW, 4, 0, 0, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_HANDFLOW, 3, 0, 0, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_HANDFLOW, 0, 0x20, 0, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_HANDFLOW, 0, 0, 0xFFFFFFFF, 0), SERIAL_INVALID_PARAMETER);
    assert_int_equal(set(SERIAL_SET_HANDFLOW, 0, 0, 0, SERIAL_QUEUE_DEFAULT + 1),
                     SERIAL_INVALID_PARAMETER);
    assert_int_equal(get(SERIAL_GET_HANDFLOW, 0), 9);
    assert_int_equal(get(SERIAL_GET_HANDFLOW, 1), 0x40);
    assert_int_equal(get(SERIAL_GET_HANDFLOW, 2), 2048);
    assert_int_equal(get(SERIAL_GET_HANDFLOW, 3), 512);
}

static void test_modem_status_tells_changes_once(void **state)
{
    (void)state;
    serial_set_modem(&port, now, SERIAL_MODEM_DCD | SERIAL_MODEM_DSR);
    assert_int_equal(get(SERIAL_GET_MODEMSTATUS, 0), 0xAA);
    assert_int_equal(get(SERIAL_GET_MODEMSTATUS, 0), 0xA0);
    serial_set_modem(&port, now, 0);
    serial_set_modem(&port, now, SERIAL_MODEM_DCD);
    assert_int_equal(get(SERIAL_GET_MODEMSTATUS, 0), 0x8A); /* DCD fell and rose: changed */
    serial_ring(&port, now);
    assert_int_equal(get(SERIAL_GET_MODEMSTATUS, 0), 0x84);
}

static void test_holds(void **state)
{
    struct work write;
    (void)state;
    assert_int_equal(set(SERIAL_SET_HANDFLOW, SERIAL_CTS_HANDSHAKE | SERIAL_DCD_HANDSHAKE, 0, 1, 1),
                     SERIAL_OK);
    write_bytes(&write, 1);
    assert_int_equal(wire_takes(1, NULL), 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 1), SERIAL_HOLD_CTS | SERIAL_HOLD_DCD);
    serial_set_modem(&port, now, SERIAL_MODEM_CTS | SERIAL_MODEM_DCD);
    assert_int_equal(set(SERIAL_SET_BREAK_ON), SERIAL_OK);
    assert_int_equal(wire_takes(1, NULL), 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 1), SERIAL_HOLD_BREAK);
    assert_int_equal(set(SERIAL_SET_BREAK_OFF), SERIAL_OK);
    assert_int_equal(wire_takes(1, NULL), 1);
    expect_done(&write, SERIAL_OK, 1);
}

static void test_received_xoff_holds_output(void **state)
{
    struct work write;
    struct work read;
    (void)state;
    assert_int_equal(
        set(SERIAL_SET_HANDFLOW, 0, SERIAL_AUTO_TRANSMIT | SERIAL_NULL_STRIPPING, 1, 1), SERIAL_OK);
    serial_receive(&port, now, (const uint8_t *)"a\0b\x13", 4);
    write_bytes(&write, 1);
    assert_int_equal(wire_takes(1, NULL), 0);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 1), SERIAL_HOLD_XON);
    read_bytes(&read, 2);
    expect_done(&read, SERIAL_OK, 2); /* without NUL and XOFF */
    assert_memory_equal(read.data, "ab", 2);
    receive("\x11");
    assert_int_equal(wire_takes(1, NULL), 1);
}

static void test_full_queue_is_told_to_the_other_end(void **state)
{
    static uint8_t block[SERIAL_QUEUE_DEFAULT];
    struct work read;
    char out[4];
    (void)state;
    assert_int_equal(set(SERIAL_SET_HANDFLOW, SERIAL_DTR_CONTROL,
                         SERIAL_AUTO_RECEIVE | SERIAL_RTS_HANDSHAKE, SERIAL_QUEUE_DEFAULT - 200,
                         100),
                     SERIAL_OK);
    serial_receive(&port, now, block, sizeof(block) - 101);
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), SERIAL_LINE_DTR | SERIAL_LINE_RTS);
    receive("x");
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), SERIAL_LINE_DTR);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 1), SERIAL_HOLD_XOFF_SENT);
    assert_int_equal(wire_takes(4, out), 1);
    assert_int_equal(out[0], 0x13);
    read_bytes(&read, 100);
    assert_int_equal(get(SERIAL_GET_DTRRTS, 0), SERIAL_LINE_DTR | SERIAL_LINE_RTS);
    assert_int_equal(wire_takes(4, out), 1);
    assert_int_equal(out[0], 0x11);
}

static void test_stats(void **state)
{
    struct work write;
    (void)state;
    write_bytes(&write, 5);
    wire_takes(5, NULL);
    receive("abc");
    assert_int_equal(get(SERIAL_GET_STATS, 0), 3);
    assert_int_equal(get(SERIAL_GET_STATS, 1), 5);
    assert_int_equal(set(SERIAL_CLEAR_STATS), SERIAL_OK);
    assert_int_equal(get(SERIAL_GET_STATS, 0), 0);
}

static void test_properties(void **state)
{
    struct work work;
    (void)state;
    control_sized(&work, SERIAL_GET_PROPERTIES, NULL, 0, 64);
    expect_done(&work, SERIAL_OK, 64);
    assert_int_equal(kd_get_u16(work.data), 64);
    assert_int_equal(kd_get_u32(work.data + 20), 0x10000000);
    assert_int_equal(kd_get_u32(work.data + 48), SERIAL_QUEUE_DEFAULT);
}

static void test_fifo_reset_clears(void **state)
{
    (void)state;
    receive("abc");
    assert_int_equal(set(SERIAL_SET_FIFO_CONTROL, 2), SERIAL_OK);
    assert_int_equal(get(SERIAL_GET_COMMSTATUS, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_codes_are_those_of_windows, open_port),
        cmocka_unit_test_setup(test_short_buffers_are_refused, open_port),
        cmocka_unit_test_setup(test_getters_say_how_much_they_gave, open_port),
        cmocka_unit_test_setup(test_baud, open_port),
        cmocka_unit_test_setup(test_line_control, open_port),
        cmocka_unit_test_setup(test_chars_and_escape, open_port),
        cmocka_unit_test_setup(test_dtr_and_rts, open_port),
        cmocka_unit_test_setup(test_handflow_refusals, open_port),
        cmocka_unit_test_setup(test_modem_status_tells_changes_once, open_port),
        cmocka_unit_test_setup(test_holds, open_port),
        cmocka_unit_test_setup(test_received_xoff_holds_output, open_port),
        cmocka_unit_test_setup(test_full_queue_is_told_to_the_other_end, open_port),
        cmocka_unit_test_setup(test_stats, open_port),
        cmocka_unit_test_setup(test_properties, open_port),
        cmocka_unit_test_setup(test_fifo_reset_clears, open_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
