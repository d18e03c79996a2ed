/* SPDX-License-Identifier: BSD-2-Clause */
#include "uart.h"

#include "cpu.h"

enum {
    DATA = 0,
    INTERRUPT_ENABLE = 1,
    FIFO_CONTROL = 2,   /* written */
    INTERRUPT_KIND = 2, /* read */
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
    SCRATCH = 7,

    STATUS_READY = 0x01,
    STATUS_OVERRUN = 0x02,
    STATUS_EMPTY = 0x20, /* the transmit FIFO is empty */

    /* On, both cleared, receive trigger 14: under QEMU the trigger decides how many bytes the host
     * pushes at once; with trigger 1 a transfer is ten times slower. */
    FIFO_ON = 0xC7,
    KIND_FIFO_WORKS = 0xC0, /* an 8250 says 0 here, the first 16550 with its broken FIFO 0x80 */
    MODEM_LINES = 0x0B,     /* DTR, RTS, and OUT2 which lets the interrupt through */

    DRAIN_MAX = 4096, /* a line that never falls silent must not hold up start-up */
};

static uint8_t get(const struct uart *uart, unsigned reg)
{
    uint64_t at = uart->base + (uint64_t)reg * uart->stride;

    if (!uart->mmio)
        return cpu_in8((uint16_t)at);
    if (uart->width == 4)
        return (uint8_t) * (volatile uint32_t *)at;
    return *(volatile uint8_t *)at;
}

static void put(const struct uart *uart, unsigned reg, uint8_t value)
{
    uint64_t at = uart->base + (uint64_t)reg * uart->stride;

    if (!uart->mmio)
        cpu_out8((uint16_t)at, value);
    else if (uart->width == 4)
        *(volatile uint32_t *)at = value;
    else
        *(volatile uint8_t *)at = value;
}

bool uart_present(const struct uart *uart)
{
    uint8_t old;
    bool kept;

    if (uart->base == 0 || get(uart, LINE_STATUS) == 0xFF)
        return false;
    old = get(uart, SCRATCH);
    put(uart, SCRATCH, 0x5A);
    kept = get(uart, SCRATCH) == 0x5A;
    put(uart, SCRATCH, 0xA5);
    kept = kept && get(uart, SCRATCH) == 0xA5;
    put(uart, SCRATCH, old);
    return kept;
}

void uart_init(struct uart *uart, uint32_t baud)
{
    if (uart->base == 0)
        return;
    put(uart, INTERRUPT_ENABLE, 0);
    if (baud != 0) {
        uint32_t divisor = 115200 / baud;

        if (divisor == 0)
            divisor = 1;
        put(uart, LINE_CONTROL, 0x83);
        put(uart, DATA, (uint8_t)divisor);
        put(uart, INTERRUPT_ENABLE, (uint8_t)(divisor >> 8));
    }
    put(uart, LINE_CONTROL, 0x03);
    put(uart, FIFO_CONTROL, FIFO_ON);
    uart->burst = (get(uart, INTERRUPT_KIND) & KIND_FIFO_WORKS) == KIND_FIFO_WORKS ? UART_BURST : 1;
    uart->lost = 0;
    put(uart, MODEM_CONTROL, MODEM_LINES);
    for (unsigned i = 0; i < DRAIN_MAX && uart_ready(uart); i++)
        (void)get(uart, DATA);
}

bool uart_ready(const struct uart *uart)
{
    uint8_t status;

    if (uart->base == 0)
        return false;
    status = get(uart, LINE_STATUS);
    return status != 0xFF && (status & STATUS_READY) != 0;
}

size_t uart_read(struct uart *uart, uint8_t *to, size_t size)
{
    size_t n = 0;

    if (uart->base == 0)
        return 0;
    while (n < size) {
        uint8_t status = get(uart, LINE_STATUS);

        if (status == 0xFF || (status & STATUS_READY) == 0)
            break;
        if ((status & STATUS_OVERRUN) != 0)
            uart->lost++;
        to[n++] = get(uart, DATA);
    }
    return n;
}

size_t uart_write(struct uart *uart, const uint8_t *from, size_t size, bool *received)
{
    uint8_t status;

    if (uart->base == 0)
        return size; /* nobody listens: gone, as on an open line */
    status = get(uart, LINE_STATUS);
    if (received != NULL)
        *received = (status & STATUS_READY) != 0;
    if ((status & STATUS_EMPTY) == 0)
        return 0;
    if (size > uart->burst)
        size = uart->burst;
    for (size_t i = 0; i < size; i++)
        put(uart, DATA, from[i]);
    return size;
}

void uart_enable_receive_interrupt(struct uart *uart, bool on)
{
    if (uart->base != 0)
        put(uart, INTERRUPT_ENABLE, on ? 1 : 0);
}

static size_t wire_read(void *port, uint8_t *to, size_t size)
{
    return uart_read(port, to, size);
}

static size_t wire_write(void *port, const uint8_t *from, size_t size, bool *received)
{
    return uart_write(port, from, size, received);
}

static bool wire_ready(void *port)
{
    return uart_ready(port);
}

const struct wire_ops uart_wire = {wire_read, wire_write, wire_ready};
