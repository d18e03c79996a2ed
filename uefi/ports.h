/* SPDX-License-Identifier: BSD-2-Clause */
/* From the configured port to a UART, and the firmware's console away from it. */
#ifndef KDWIRE_UEFI_PORTS_H
#define KDWIRE_UEFI_PORTS_H

#include <stdbool.h>

#include <efi.h>

#include "config.h"
#include "uart.h"

/* Fills UART (base 0 = none found) and PORT, the port meant, with AUTO and DBG2 resolved. */
void port_open(const struct uefi_port *configured, EFI_SYSTEM_TABLE *system, struct uart *uart,
               struct uefi_port *port);

/* Whether firmware has published its ACPI tables, DBG2 and SPCR among them. */
bool port_has_acpi(EFI_SYSTEM_TABLE *system);

/* Takes the port away from the terminal driver now and whenever it appears later. */
void console_grab(const struct uefi_port *port, struct uart *uart, uint32_t baud, EFI_HANDLE image,
                  EFI_SYSTEM_TABLE *system);
/* Gives it back. */
void console_release(void);

/* Lets the UART's receive interrupt enter the engine (IOAPIC). False where that is not possible. */
bool port_enable_interrupt(const struct uefi_port *port, struct uart *uart);
void port_disable_interrupt(struct uart *uart);
void port_end_of_interrupt(void);
/* A 10 ms tick of our own on the local APIC, for after ExitBootServices. */
void port_start_tick(void);

/* Sends a non-maskable interrupt to every other processor. */
void port_interrupt_others(void);

enum {
    PORT_RX_VECTOR = 0x51, /* free in EDK2, which uses 0x20 (timer) and 0x68.. (8259 remapped) */
    PORT_TICK_VECTOR = 0x52,
    PORT_VMBUS_VECTOR = 0x53, /* only on hypervisors whose SINTs cannot be polled */
};

#endif
