/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: everything that happens between the debugger and an interrupted program. Runs with
 * interrupts off, on its own stack, on one processor at a time (idt.c sees to that), without any
 * boot service.
 *
 * What the rest of the driver wants from it goes through engine_call, from ordinary code.
 */
#ifndef KDWIRE_UEFI_ENGINE_H
#define KDWIRE_UEFI_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <efi.h>

#include "config.h"
#include "cpu.h"
#include "kdwire/target.h"
#include "uart.h"

struct engine {
    struct kd_target target;
    struct uefi_config config;
    struct wire wire;                /* ops NULL: nobody can be reported to */
    struct uart uart;                /* behind the wire, unless that is a VMBus channel */
    struct cpu_frame *frame;         /* of the stop or service under way */
    uint64_t image_base, image_size; /* our own */
    EFI_RUNTIME_SERVICES *runtime;   /* for ResetSystem */
    bool own_interrupt;              /* PORT_RX_VECTOR is ours */
    bool own_tick;                   /* PORT_TICK_VECTOR is ours */
    bool own_vmbus;                  /* PORT_VMBUS_VECTOR is ours */
    bool gone;                       /* detached: nothing is reported any more */
    char break_on_load[64];
};

extern struct engine engine;

enum engine_disposition { ENGINE_RESUME, ENGINE_CHAIN };

/* Called by idt.c. */
uint64_t engine_handle(struct cpu_frame *frame);
uint64_t
engine_recover(struct cpu_frame *frame); /* the engine itself faulted while serving FRAME */
void engine_panic(const struct cpu_frame *frame);

enum engine_service {
    ENGINE_ATTACH,  /* report ourselves, then the initial break; argument unused */
    ENGINE_POLL,    /* look for a break-in; argument unused */
    ENGINE_BREAK,   /* stop as at an int3 */
    ENGINE_PRINT,   /* struct engine_text */
    ENGINE_PROMPT,  /* struct engine_text with answer */
    ENGINE_COMMAND, /* struct engine_text */
    ENGINE_MODULES, /* report what modules.c has marked new or gone */
    ENGINE_GOODBYE, /* the machine goes away: unload base -1, breakpoints out, silence */
};

struct engine_text {
    const char *text;
    size_t size;
    char *answer;
    size_t answer_size; /* in: room; out: bytes */
};

enum { ENGINE_DONE, ENGINE_NO_DEBUGGER, ENGINE_REFUSED }; /* what engine_call returns */

/* Without a wire, which is set when there is one. */
void engine_init(const struct uefi_config *config, uint64_t image_base, uint64_t image_size,
                 EFI_RUNTIME_SERVICES *runtime);
static inline uint64_t engine_call(enum engine_service service, void *argument)
{
    return cpu_service((uint64_t)service, argument);
}

/* machine.c */
extern const struct kd_machine_ops machine_ops;

#endif
