/* SPDX-License-Identifier: BSD-2-Clause */
/* Our own gates in the firmware's interrupt descriptor table, own stacks, and the other processors'
 * tables. */
#ifndef KDWIRE_UEFI_IDT_H
#define KDWIRE_UEFI_IDT_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

struct idt_options {
    bool own_stacks; /* IST: exceptions survive a bad RSP */
};

/* Hooks this processor's table. KD_E_IO when it cannot be written. */
int idt_install(const struct idt_options *options);
/* Hooks the table of the processor that calls it, if it has one of its own. Run on every AP. */
void idt_install_on_ap(void);
/* After every AP has run that: where APs share the main processor's table, which then must not
 * name stacks that only the main processor has, own stacks are given up. */
void idt_finish_aps(void);
/* Whether this is the main processor and the others' gates are ours: an NMI then makes them wait
 * until the engine is left. */
bool idt_can_stop_aps(void);
/* Puts every gate and the GDT back as they were. Idempotent. */
void idt_remove(void);
/* Moves the hooked table into the engine's own memory, which outlives ExitBootServices. */
void idt_move_to_runtime_memory(void);
/* Whether firmware replaced the table or a gate since; if so hooks again. Returns gates hooked. */
unsigned idt_check(void);
bool idt_is_installed(void);
bool idt_has_own_stacks(void);

#endif
