/* SPDX-License-Identifier: BSD-2-Clause */
/* The UART's driver against registers that this file plays: 16550A, older chips, none at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* In place of cpu.h: the processor's ports are ours. */
#define KDWIRE_UEFI_CPU_H
static uint8_t cpu_in8(uint16_t port);
static void cpu_out8(uint16_t port, uint8_t value);
#include "../../../uefi/uart.c"

enum { BASE = 0x3F8, ABSENT = 0xFF, SENT_MAX = 64 };

static struct {
    bool present, scratch_works;
    uint8_t fifo_kind; /* what the chip says once its FIFOs are on */
    uint8_t scratch, line_control, divisor[2];
    bool fifo_on, overrun;
    const char *waiting;
    uint8_t sent[SENT_MAX];
    size_t sent_size;
} chip;

static uint8_t cpu_in8(uint16_t port)
{
    uint8_t status;

    if (!chip.present)
        return ABSENT;
    switch (port - BASE) {
    case DATA:
        return *chip.waiting != 0 ? (uint8_t)*chip.waiting++ : 0;
    case INTERRUPT_KIND:
        return chip.fifo_on ? chip.fifo_kind : 1;
    case LINE_STATUS:
        status = STATUS_EMPTY | (*chip.waiting != 0 ? STATUS_READY : 0);
        if (chip.overrun)
            status |= STATUS_OVERRUN;
        chip.overrun = false; /* reading clears it */
        return status;
    case SCRATCH:
        return chip.scratch_works ? chip.scratch : 0;
    default:
        return 0;
    }
}

static void cpu_out8(uint16_t port, uint8_t value)
{
    bool divisor = (chip.line_control & 0x80) != 0;

    switch (port - BASE) {
    case DATA:
        if (divisor)
            chip.divisor[0] = value;
        else if (chip.sent_size < SENT_MAX)
            chip.sent[chip.sent_size++] = value;
        break;
    case INTERRUPT_ENABLE:
        if (divisor)
            chip.divisor[1] = value;
        break;
    case FIFO_CONTROL:
        chip.fifo_on = (value & 1) != 0;
        break;
    case LINE_CONTROL:
        chip.line_control = value;
        break;
    case SCRATCH:
        chip.scratch = value;
        break;
    default:
        break;
    }
}

static struct uart chip_of(uint8_t fifo_kind)
{
    struct uart uart = {.base = BASE, .stride = 1, .width = 1};

    memset(&chip, 0, sizeof chip);
    chip.present = true;
    chip.scratch_works = true;
    chip.fifo_kind = fifo_kind;
    chip.waiting = "";
    return uart;
}

static void a_chip_is_told_from_nothing(void **state)
{
    struct uart uart = chip_of(0xC1);

    (void)state;
    chip.scratch = 0x77;
    assert_true(uart_present(&uart));
    assert_int_equal(chip.scratch, 0x77);
    chip.scratch_works = false;
    assert_false(uart_present(&uart));
    chip.present = false;
    assert_false(uart_present(&uart));
}

static void bursts_are_as_long_as_the_fifo_works(void **state)
{
    static const struct {
        uint8_t kind;
        size_t burst;
    } chips[] = {{0xC1, 16}, {0x81, 1}, {0x01, 1}};
    uint8_t text[20] = "0123456789abcdefghi";

    (void)state;
    for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
        struct uart uart = chip_of(chips[i].kind);

        uart_init(&uart, 115200);
        assert_int_equal(uart_write(&uart, text, sizeof text, NULL), chips[i].burst);
        assert_int_equal(chip.sent_size, chips[i].burst);
        assert_memory_equal(chip.sent, text, chips[i].burst);
    }
}

static void the_speed_is_a_divisor_of_115200(void **state)
{
    struct uart uart = chip_of(0xC1);

    (void)state;
    uart_init(&uart, 300);
    assert_int_equal(chip.divisor[0] | chip.divisor[1] << 8, 384);
    assert_int_equal(chip.line_control, 3);
    uart_init(&uart, 0); /* as the firmware set it */
    assert_int_equal(chip.divisor[0] | chip.divisor[1] << 8, 384);
}

static void overruns_are_counted_from_the_start(void **state)
{
    struct uart uart = chip_of(0xC1);
    uint8_t bytes[8];
    bool received = false;

    (void)state;
    chip.waiting = "old";
    uart_init(&uart, 115200);
    assert_false(uart_ready(&uart));
    chip.waiting = "new";
    assert_int_equal(uart_write(&uart, bytes, 1, &received), 1);
    assert_true(received);
    chip.overrun = true;
    assert_int_equal(uart_read(&uart, bytes, sizeof bytes), 3);
    assert_memory_equal(bytes, "new", 3);
    assert_int_equal(uart.lost, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chip_is_told_from_nothing),
        cmocka_unit_test(bursts_are_as_long_as_the_fifo_works),
        cmocka_unit_test(the_speed_is_a_divisor_of_115200),
        cmocka_unit_test(overruns_are_counted_from_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
