/* SPDX-License-Identifier: BSD-2-Clause */
/* Telnet and its COM port option, byte by byte, in both roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "serial/codes.h"
#include "serial/telnet.h"

enum { SE = 240, BRK = 243, SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255 };
enum { BINARY = 0, ECHO = 1, GO_AHEAD = 3, COM_PORT = 44 };

static struct telnet t;
static const struct telnet_line ours = {115200, 8, 0, 0, TELNET_FLOW_NONE, true, true, false};

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* What we said since the last look. */
static void expect_said(const uint8_t *bytes, size_t size)
{
    const uint8_t *said = NULL;
    assert_int_equal(telnet_output(&t, &said), size);
    assert_memory_equal(said, bytes, size);
    telnet_sent(&t, size);
}

static void expect_silence(void)
{
    const uint8_t *said = NULL;
    assert_int_equal(telnet_output(&t, &said), 0);
}

static void forget_said(void)
{
    const uint8_t *said = NULL;
    telnet_sent(&t, telnet_output(&t, &said));
}

static void expect_bytes(const uint8_t *have, const uint8_t *bytes, size_t size)
{
    assert_memory_equal(have, bytes, size);
}

/* Takes all of IN; the data that came of it, and the last event. */
static uint8_t got[64];
static size_t got_size;
static enum telnet_event hear(const uint8_t *in, size_t size)
{
    enum telnet_event last = TELNET_NOTHING;
    got_size = 0;
    for (size_t at = 0; at < size;) {
        size_t data = 0;
        enum telnet_event event = TELNET_NOTHING;
        size_t taken = telnet_decode(&t, in + at, size - at, got + got_size, &data, &event);
        assert_true(taken);
        at += taken;
        got_size += data;
        if (event != TELNET_NOTHING)
            last = event;
    }
    return last;
}

static void start(enum telnet_role role, bool com_port)
{
    telnet_start(&t, role, com_port);
    telnet_set(&t, &ours);
}

static void start_agreed(enum telnet_role role)
{
    start(role, true);
    assert_int_equal(hear(BYTES(IAC, role == TELNET_ASKS ? DO : WILL, COM_PORT)), TELNET_AGREED);
    assert_true(telnet_has_com_port(&t));
    forget_said();
}

static void test_what_is_offered(void **state)
{
    (void)state;
    start(TELNET_ASKS, false);
    expect_said(BYTES(IAC, WILL, BINARY, IAC, DO, BINARY, IAC, WILL, GO_AHEAD, IAC, DO, GO_AHEAD));
    start(TELNET_ASKS, true);
    telnet_sent(&t, 12);
    expect_said(BYTES(IAC, WILL, COM_PORT));
    start(TELNET_SERVES, true);
    telnet_sent(&t, 12);
    expect_said(BYTES(IAC, DO, COM_PORT));
}

static void test_options(void **state)
{
    (void)state;
    start(TELNET_ASKS, true);
    forget_said();
    hear(BYTES(IAC, DO, BINARY, IAC, WILL, BINARY)); /* answers to what was asked: no answer */
    hear(BYTES(IAC, DO, BINARY));                    /* it is so already */
    expect_silence();
    hear(BYTES(IAC, WILL, ECHO));
    expect_said(BYTES(IAC, DO, ECHO));
    hear(BYTES(IAC, DO, ECHO, IAC, DO, 24, IAC, WILL, 31));
    expect_said(BYTES(IAC, WONT, ECHO, IAC, WONT, 24, IAC, DONT, 31));
    hear(BYTES(IAC, WONT, 24, IAC, DONT, 31)); /* never agreed */
    expect_silence();
    hear(BYTES(IAC, WONT, ECHO)); /* taken back: confirmed */
    expect_said(BYTES(IAC, DONT, ECHO));
    assert_int_equal(hear(BYTES(IAC, DONT, COM_PORT)), TELNET_NOTHING);
    assert_false(telnet_has_com_port(&t));
    hear(BYTES(IAC, WILL, COM_PORT)); /* the other role is not ours */
    expect_said(BYTES(IAC, DONT, COM_PORT));
}

static void test_bytes_in(void **state)
{
    (void)state;
    start(TELNET_ASKS, false);
    hear(BYTES('a', IAC, IAC, 'b', '\r', 0, 'c', IAC, 241, 'd'));
    assert_int_equal(got_size, 7);
    assert_memory_equal(got,
                        "a\xff"
                        "b\r\0cd",
                        7);
    hear(BYTES(IAC));
    hear(BYTES(IAC)); /* cut in two */
    assert_int_equal(got_size, 1);
    hear(BYTES(IAC, SB, 24, 'x', IAC, IAC, 'y', IAC, SE, 'z')); /* another option's */
    assert_int_equal(got_size, 1);
    assert_int_equal(got[0], 'z');
    assert_int_equal(hear(BYTES(IAC, SB, 24, 'x', IAC, BRK, 'z')), TELNET_BREAK); /* no end came */
    assert_int_equal(got_size, 1);
    hear(BYTES(IAC, WONT, BINARY)); /* lines of text, then */
    hear(BYTES('\r', 0, '\r', '\n', '\r', IAC, IAC));
    assert_int_equal(got_size, 5);
    assert_memory_equal(got, "\r\r\n\r\xff", 5);
}

static void test_bytes_out(void **state)
{
    const uint8_t in[] = {'a', IAC, '\r', IAC};
    uint8_t out[8];
    (void)state;
    start(TELNET_ASKS, false);
    forget_said();
    assert_int_equal(telnet_encode(&t, in, 4, out), 6);
    expect_bytes(out, BYTES('a', IAC, IAC, '\r', IAC, IAC));
    assert_int_equal(telnet_plain(&t, in, 4, 6), 4);
    assert_int_equal(telnet_plain(&t, in, 4, 3), 2);
    expect_silence();
    assert_int_equal(telnet_plain(&t, in, 4, 2), 2); /* the pair is cut */
    expect_said(BYTES(IAC));
    hear(BYTES(IAC, DONT, BINARY));
    assert_int_equal(telnet_encode(&t, in, 4, out), 7);
    expect_bytes(out, BYTES('a', IAC, IAC, '\r', 0, IAC, IAC));
    assert_int_equal(telnet_plain(&t, in, 4, 4), 3);
    expect_said(BYTES(0));
}

static void test_break_without_the_option(void **state)
{
    struct telnet_line line = ours;
    (void)state;
    start(TELNET_ASKS, false);
    forget_said();
    line.breaking = true;
    telnet_set(&t, &line);
    expect_said(BYTES(IAC, BRK));
    line.breaking = false;
    telnet_set(&t, &line);
    expect_silence();
    assert_int_equal(hear(BYTES(IAC, BRK)), TELNET_BREAK);
}

static void test_settings_are_told(void **state)
{
    struct telnet_line line = ours;
    (void)state;
    start(TELNET_ASKS, true);
    forget_said();
    hear(BYTES(IAC, DO, COM_PORT));
    expect_said(BYTES(IAC, SB, COM_PORT, 10, 30, IAC, SE, IAC, SB, COM_PORT, 11, IAC, IAC, IAC, SE,
                      IAC, SB, COM_PORT, 1, 0, 1, 0xC2, 0, IAC, SE, IAC, SB, COM_PORT, 2, 8, IAC,
                      SE, IAC, SB, COM_PORT, 3, 1, IAC, SE, IAC, SB, COM_PORT, 4, 1, IAC, SE, IAC,
                      SB, COM_PORT, 5, 1, IAC, SE, IAC, SB, COM_PORT, 5, 8, IAC, SE, IAC, SB,
                      COM_PORT, 5, 11, IAC, SE));
    telnet_set(&t, &line);
    expect_silence();
    line.baud = 255;
    telnet_set(&t, &line);
    expect_said(BYTES(IAC, SB, COM_PORT, 1, 0, 0, 0, IAC, IAC, IAC, SE));
    line.parity = 2;
    line.stop = 1;
    line.dtr = false;
    line.breaking = true;
    telnet_set(&t, &line);
    expect_said(BYTES(IAC, SB, COM_PORT, 3, 3, IAC, SE, IAC, SB, COM_PORT, 4, 3, IAC, SE, IAC, SB,
                      COM_PORT, 5, 9, IAC, SE, IAC, SB, COM_PORT, 5, 5, IAC, SE));
}

static void test_the_far_line_is_ours(void **state)
{
    (void)state;
    start_agreed(TELNET_ASKS);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 107, 0x1F, IAC, SE)), TELNET_MODEM);
    assert_int_equal(t.modem, SERIAL_MODEM_CTS);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 107, 0x10, IAC, SE)), TELNET_NOTHING);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 106, 0x1C, IAC, SE)), TELNET_ERRORS);
    assert_int_equal(t.errors, SERIAL_ERROR_PARITY | SERIAL_ERROR_FRAMING | SERIAL_ERROR_BREAK);
    hear(BYTES(IAC, SB, COM_PORT, 108, IAC, SE));
    assert_true(t.suspended);
    hear(BYTES(IAC, SB, COM_PORT, 109, IAC, SE));
    assert_false(t.suspended);
    /* Too short, unknown, from the wrong side, of another option. */
    assert_int_equal(hear(BYTES(IAC, SB, IAC, SE, IAC, SB, COM_PORT, IAC, SE, IAC, SB, COM_PORT,
                                107, IAC, SE, IAC, SB, COM_PORT, 113, 0, IAC, SE, IAC, SB, COM_PORT,
                                7, 0, IAC, SE, IAC, SB, 24, 107, 0, IAC, SE)),
                     TELNET_NOTHING);
    assert_int_equal(t.modem, SERIAL_MODEM_CTS);
    expect_silence();
}

static void test_nothing_is_obeyed_that_was_not_asked_for(void **state)
{
    (void)state;
    start(TELNET_ASKS, false);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 107, 0, IAC, SE)), TELNET_NOTHING);
    start(TELNET_SERVES, true);
    hear(BYTES(IAC, WONT, COM_PORT));
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 5, 5, IAC, SE)), TELNET_NOTHING);
}

/* python3-serial's client, when our DO is there before its own WILL is sent. */
static void test_using_the_option_is_agreeing(void **state)
{
    (void)state;
    start(TELNET_SERVES, true);
    forget_said();
    hear(BYTES(IAC, SB, COM_PORT, 2, 7, IAC, SE));
    assert_true(telnet_has_com_port(&t));
    expect_said(BYTES(IAC, SB, COM_PORT, 107, 0xB0, IAC, SE, IAC, SB, COM_PORT, 102, 7, IAC, SE));
}

static void test_serving_acknowledges(void **state)
{
    (void)state;
    start(TELNET_SERVES, true);
    forget_said();
    hear(BYTES(IAC, WILL, COM_PORT));
    expect_said(BYTES(IAC, SB, COM_PORT, 107, 0xB0, IAC, SE)); /* our DTR and RTS, crossed */
    hear(BYTES(IAC, SB, COM_PORT, 1, 0, 0, 0x25, 0x80, IAC, SE, IAC, SB, COM_PORT, 1, 0, 0, 0, 0,
               IAC, SE));
    expect_said(BYTES(IAC, SB, COM_PORT, 101, 0, 0, 0x25, 0x80, IAC, SE, IAC, SB, COM_PORT, 101, 0,
                      1, 0xC2, 0, IAC, SE));
    hear(BYTES(IAC, SB, COM_PORT, 2, 0, IAC, SE, IAC, SB, COM_PORT, 3, 5, IAC, SE, IAC, SB,
               COM_PORT, 12, 3, IAC, SE));
    expect_said(BYTES(IAC, SB, COM_PORT, 102, 8, IAC, SE, IAC, SB, COM_PORT, 103, 5, IAC, SE, IAC,
                      SB, COM_PORT, 112, 3, IAC, SE));
    hear(BYTES(IAC, SB, COM_PORT, 0, IAC, SE));
    expect_said(BYTES(IAC, SB, COM_PORT, 100, 'k', 'd', 'w', 'i', 'r', 'e', IAC, SE));
}

static void test_serving_crosses_the_lines(void **state)
{
    struct telnet_line line = ours;
    (void)state;
    start_agreed(TELNET_SERVES);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 5, 9, IAC, SE)), TELNET_MODEM); /* DTR off */
    assert_int_equal(t.modem, SERIAL_MODEM_CTS);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 5, 12, IAC, SE)), TELNET_MODEM); /* RTS off */
    assert_int_equal(t.modem, 0);
    assert_int_equal(hear(BYTES(IAC, SB, COM_PORT, 5, 5, IAC, SE)), TELNET_BREAK);
    hear(BYTES(IAC, SB, COM_PORT, 5, 7, IAC, SE));
    expect_said(BYTES(IAC, SB, COM_PORT, 105, 9, IAC, SE, IAC, SB, COM_PORT, 105, 12, IAC, SE, IAC,
                      SB, COM_PORT, 105, 5, IAC, SE, IAC, SB, COM_PORT, 105, 9, IAC, SE));
    line.rts = false;
    telnet_set(&t, &line);
    expect_said(BYTES(IAC, SB, COM_PORT, 107, 0xA1, IAC, SE));
    hear(BYTES(IAC, SB, COM_PORT, 11, 0x80, IAC, SE, IAC, SB, COM_PORT, 10, 16, IAC, SE));
    forget_said();
    line.rts = true; /* not what the peer wants to be told of */
    telnet_set(&t, &line);
    expect_silence();
    line.breaking = true;
    telnet_set(&t, &line);
    expect_said(BYTES(IAC, SB, COM_PORT, 106, 16, IAC, SE));
}

/* A peer that asks and never listens is not answered for ever; nothing is lost of what it sends. */
static void test_a_flood_waits_for_its_answers(void **state)
{
    const uint8_t question[] = {IAC, DO, 24};
    uint8_t out[3];
    size_t data = 0;
    enum telnet_event event = TELNET_NOTHING;
    unsigned asked = 0;
    (void)state;
    start(TELNET_ASKS, false);
    while (telnet_decode(&t, question, 3, out, &data, &event) == 3)
        assert_true(++asked < TELNET_OUTPUT_MAX);
    assert_int_equal(data, 0);
    forget_said();
    while (telnet_decode(&t, question, 3, out, &data, &event) != 3)
        ;
    expect_said(BYTES(IAC, WONT, 24));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_offered),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_bytes_in),
        cmocka_unit_test(test_bytes_out),
        cmocka_unit_test(test_break_without_the_option),
        cmocka_unit_test(test_settings_are_told),
        cmocka_unit_test(test_the_far_line_is_ours),
        cmocka_unit_test(test_nothing_is_obeyed_that_was_not_asked_for),
        cmocka_unit_test(test_using_the_option_is_agreeing),
        cmocka_unit_test(test_serving_acknowledges),
        cmocka_unit_test(test_serving_crosses_the_lines),
        cmocka_unit_test(test_a_flood_waits_for_its_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
