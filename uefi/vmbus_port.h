/* SPDX-License-Identifier: BSD-2-Clause */
/* A Hyper-V VMBus channel as the engine's wire (src/vmbus). */
#ifndef KDWIRE_UEFI_VMBUS_PORT_H
#define KDWIRE_UEFI_VMBUS_PORT_H

#include <stdbool.h>

#include <efi.h>

#include "config.h"
#include "wire.h"

/*
 * Joins the bus and waits, as long as CONFIG says, for the host to offer the channel. From then on
 * the wire heals itself: a channel that the host takes away is opened again when it is offered
 * again. Returns NULL with WIRE set, or a sentence for the user why not; the bus is left again
 * then. The interrupt table must be ours, as a hypervisor that is not what it says may raise
 * exceptions.
 */
const CHAR16 *vmbus_port_open(const struct uefi_config *config, EFI_SYSTEM_TABLE *system,
                              struct wire *wire);

/* Whether the bus is still there: once the firmware's own client has left, at ExitBootServices, a
 * hypercall would be the last instruction. */
bool vmbus_port_alive(void);
/* Leaves the bus: closes the channel, takes the rings back, masks our SINT. Waits some seconds at
 * most; only forgets when the bus is gone. Uses no boot service and frees nothing, as the memory
 * map must not change while ExitBootServices is under way. Does nothing when not on the bus. */
void vmbus_port_leave(void);
/* The same, and frees the memory, unless the host did not give it back. */
void vmbus_port_close(void);
/* Whether interrupts of PORT_VMBUS_VECTOR must be ended at the local APIC. */
bool vmbus_port_ends_interrupts(void);

#endif
