/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a debuggee must offer so that kd/target can serve a debugger: the real UEFI machine, the
 * simulated one, later a recorded session or a hypervisor's gdb stub.
 *
 * Every function gets the machine's own pointer first. Addresses come from the debugger and are
 * hostile: a machine must never fault on any address, and returns short counts instead. A NULL
 * function means "this machine cannot do that": the engine then sends the documented refusal.
 * Functions returning int return 0 or a kd_error: KD_E_ARGUMENT becomes STATUS_INVALID_PARAMETER,
 * KD_E_NOT_FOUND (and any MSR failure) STATUS_NO_SUCH_DEVICE, everything else STATUS_UNSUCCESSFUL.
 * A CPU argument is always below processor_count. Reboot and bug check are no functions here: they
 * must not happen before the last acknowledgement has left, so kd_target_resume tells the caller.
 *
 * Memory is the machine's true memory, breakpoints included; the engine itself hides the
 * breakpoints it has set from the debugger's reads and writes by virtual address.
 */
#ifndef KDWIRE_MACHINE_H
#define KDWIRE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/error.h"
#include "kdwire/protocol.h"

/* What GetVersion reports; the engine fills in the protocol's own constants. */
struct kd_machine_version {
    uint16_t major;              /* 0x040F: boot-debugger flavour, free build */
    uint16_t minor;              /* build number */
    uint16_t flags;              /* KD version flags, e.g. 0x0006: DATA | PTR64 */
    uint16_t machine_type;       /* KD_MACHINE_AMD64 */
    uint64_t kernel_base;        /* a readable PE image */
    uint64_t loaded_module_list; /* LIST_ENTRY64 head in target memory */
    uint64_t debugger_data_list; /* 0 = none */
};

/* QueryMemory's answer: AddressSpace 0 process, 1 session, 2 kernel; flags R=1 W=2 X=4 fixed=8. */
struct kd_machine_memory {
    uint32_t address_space;
    uint32_t flags;
};

struct kd_machine_ops {
    void (*version)(void *machine, struct kd_machine_version *version);
    uint32_t (*processor_count)(void *machine); /* >= 1 */

    /* Return the number of bytes done from the start; short at the first bad byte. CACHE is
     * 0 default, 1 cached, 2 uncached, 3 write-combined (sheet 4.3). */
    size_t (*read_virtual)(void *machine, uint64_t address, uint8_t *to, size_t size);
    size_t (*write_virtual)(void *machine, uint64_t address, const uint8_t *from, size_t size);
    size_t (*read_physical)(void *machine, uint64_t address, uint8_t *to, size_t size,
                            uint32_t cache);
    size_t (*write_physical)(void *machine, uint64_t address, const uint8_t *from, size_t size,
                             uint32_t cache);
    /* Like write_virtual, but for breakpoints' bytes: also into read-only code, and makes the
     * processors see the new instruction. NULL: write_virtual is used. */
    size_t (*write_code)(void *machine, uint64_t address, const uint8_t *from, size_t size);
    /* A reason to refuse a breakpoint there (the engine's own code); NULL: none is refused. */
    bool (*is_protected)(void *machine, uint64_t address, size_t size);
    int (*query_memory)(void *machine, uint64_t address, struct kd_machine_memory *memory);

    /* CONTEXT and KSPECIAL_REGISTERS in wire layout (fields.h: ContextAmd64, SpecialAmd64), always
     * whole: get fills in everything incl. ContextFlags; for set the engine has merged what
     * ContextFlags names, and a partial write of special registers, into what get returned.
     * In the special registers Dr7 counts for this processor at once, as written. */
    int (*get_context)(void *machine, uint32_t cpu, uint8_t context[KD_CONTEXT_AMD64_SIZE]);
    int (*set_context)(void *machine, uint32_t cpu, const uint8_t context[KD_CONTEXT_AMD64_SIZE]);
    int (*get_special)(void *machine, uint32_t cpu, uint8_t special[KD_SPECIAL_AMD64_MAX]);
    int (*set_special)(void *machine, uint32_t cpu, const uint8_t special[KD_SPECIAL_AMD64_MAX]);
    /* Control space 0 (KPCR), 1 (KPRCB), 3 (KTHREAD): addresses. */
    int (*control_address)(void *machine, uint32_t cpu, uint64_t index, uint64_t *address);
    /* Loads Dr7 on every processor and clears Dr6 (Continue2). */
    void (*set_dr7)(void *machine, uint64_t dr7);

    int (*read_msr)(void *machine, uint32_t cpu, uint32_t msr, uint64_t *value);
    int (*write_msr)(void *machine, uint32_t cpu, uint32_t msr, uint64_t value);
    /* SIZE is 1, 2 or 4, PORT is aligned to it and below 0x10000. */
    int (*read_io)(void *machine, uint64_t port, uint32_t size, uint32_t *value);
    int (*write_io)(void *machine, uint64_t port, uint32_t size, uint32_t value);
    /* BusDataType 4 = PCI configuration space; slot = device | function << 5. *size is in/out. */
    int (*get_bus_data)(void *machine, uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset,
                        uint8_t *to, uint32_t *size);
    int (*set_bus_data)(void *machine, uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset,
                        const uint8_t *from, uint32_t *size);
};

#endif
