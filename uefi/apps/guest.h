/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of guest_test.efi share. */
#ifndef KDWIRE_UEFI_APPS_GUEST_H
#define KDWIRE_UEFI_APPS_GUEST_H

#include "common.h"

/* The handler's address in gate VECTOR of the processor's interrupt table, as "WHAT=ADDRESS". */
void guest_say_gate(const char *what, unsigned vector);
/* Counts rounds, with a dot now and then, until the debugger writes to `release`. */
void guest_spin(void);
/* One access; the faulting instruction is the first. */
uint64_t read_at(uint64_t address);

/* guest_asm.S: the firmware's handler of int3 in "gate"; counts and returns behind the int3. */
extern volatile uint64_t foreign_hits;
extern const uint8_t foreign_handler[];

/* guest_firmware.c: commands that do to the engine what firmware around it may do. */
void guest_replace_gate(const char *argument);
void guest_replace_table(const char *argument);
void guest_unload_engine(const char *argument);
void guest_bring_own_stacks(const char *argument);
void guest_spoil_image_table(const char *argument);
void guest_arm_watchdog(const char *argument);
void guest_publish_acpi_late(const char *argument);

#endif
