/* SPDX-License-Identifier: BSD-2-Clause */
/* The two ACPI tables that name serial ports. Pure C over bytes, tested on the host. */
#ifndef KDWIRE_UEFI_ACPI_H
#define KDWIRE_UEFI_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

/* DBG2: the first serial debug port of a kind that uart.c can drive. KD_E_NOT_FOUND. */
int acpi_dbg2_port(const uint8_t *table, size_t size, struct uefi_port *port);
/* SPCR: the address of the console's port. KD_E_NOT_FOUND. */
int acpi_spcr_base(const uint8_t *table, size_t size, uint64_t *base);

#endif
