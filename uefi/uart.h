/* SPDX-License-Identifier: BSD-2-Clause */
/* A 16550 UART, polled: at I/O ports or memory-mapped. */
#ifndef KDWIRE_UEFI_UART_H
#define KDWIRE_UEFI_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum { UART_BURST = 16 }; /* transmit FIFO of a 16550A: bytes that may follow one "empty" */

struct uart {
    uint64_t base; /* 0 = no port */
    bool mmio;
    uint8_t stride; /* bytes between registers: 1 at ports, 1 or 4 in memory */
    uint8_t width;  /* bytes per register access: 1 or 4 */
    uint8_t burst;  /* UART_BURST, or 1 where there is no FIFO that works; uart_init finds out */
    uint64_t lost;  /* overruns the hardware reported since uart_init */
};

/* Whether a UART answers there: line status plausible, scratch register keeps a value. */
bool uart_present(const struct uart *uart);
/* Sets 8N1 at BAUD (0 = leave the speed as it is), FIFOs on; empties the receiver. */
void uart_init(struct uart *uart, uint32_t baud);
/* Takes what has come, at most SIZE bytes; does not wait. */
size_t uart_read(struct uart *uart, uint8_t *to, size_t size);
bool uart_ready(const struct uart *uart);
/* Gives at most one burst to the transmitter if it is empty; returns the bytes taken. *RECEIVED
 * tells whether bytes wait to be read, known from the same look at the port; may be NULL. */
size_t uart_write(struct uart *uart, const uint8_t *from, size_t size, bool *received);
void uart_enable_receive_interrupt(struct uart *uart, bool on);
/* The UART as a wire; its port is the struct uart. */
extern const struct wire_ops uart_wire;

#endif
