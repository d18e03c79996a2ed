/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine that kd/target drives: the frame of the program that is stopped, and the processor
 * and memory around it. One processor: the one that came into the engine.
 *
 * What the debugger writes must never make leaving the frame fault: FXRSTOR refuses reserved MXCSR
 * bits, IRETQ a non-canonical RIP, MOV DR the upper half. Such values are cut here.
 */
#include <string.h>

#include "engine.h"
#include "idt.h"
#include "memory.h"
#include "modules.h"
#include "pci.h"

enum {
    BUILD = 10586, /* what the boot debugger of our reference capture reports */

    FXSAVE_MXCSR = 24,
    FXSAVE_MXCSR_MASK = 28,

    PCI_CONFIGURATION = 4, /* BusDataType */
};

#define MXCSR_MASK_DEFAULT 0xFFBFu /* of processors that report no mask */
/* CF PF AF ZF SF TF IF DF OF, RF, AC, ID; not VM, NT, IOPL, VIF, VIP. */
#define RFLAGS_MASK      0x250FD5u
#define DR7_MASK         0xFFFF03FFu /* without GD: it would trap our own access on the way out */

#define MSR_FS_BASE      0xC0000100u
#define MSR_GS_BASE      0xC0000101u
#define MSR_GS_SWAP      0xC0000102u
#define MSR_STAR         0xC0000081u
#define MSR_LSTAR        0xC0000082u
#define MSR_CSTAR        0xC0000083u
#define MSR_SYSCALL_MASK 0xC0000084u

static struct cpu_frame *frame_of(void *machine)
{
    return ((struct engine *)machine)->frame;
}

static void version(void *machine, struct kd_machine_version *version)
{
    (void)machine;
    version->major = 0x040F; /* boot-debugger flavour, free build */
    version->minor = BUILD;
    version->flags = 0x0006; /* DATA | PTR64 */
    version->machine_type = KD_MACHINE_AMD64;
    version->kernel_base = modules_kernel_base();
    version->loaded_module_list = modules_list_head();
    version->debugger_data_list = 0;
}

static uint32_t processor_count(void *machine)
{
    (void)machine;
    return 1;
}

/* ---- Memory ---- */

static size_t read_virtual(void *machine, uint64_t address, uint8_t *to, size_t size)
{
    (void)machine;
    return memory_read(address, to, size);
}

static size_t write_virtual(void *machine, uint64_t address, const uint8_t *from, size_t size)
{
    (void)machine;
    return memory_write(address, from, size);
}

/* Firmware maps memory one to one as long as its own page tables are in use. */
static size_t read_physical(void *machine, uint64_t address, uint8_t *to, size_t size,
                            uint32_t cache)
{
    (void)cache;
    return read_virtual(machine, address, to, size);
}

static size_t write_physical(void *machine, uint64_t address, const uint8_t *from, size_t size,
                             uint32_t cache)
{
    (void)cache;
    (void)machine;
    return memory_write_forced(address, from, size);
}

static size_t write_code(void *machine, uint64_t address, const uint8_t *from, size_t size)
{
    (void)machine;
    return memory_write_forced(address, from, size); /* iretq serialises */
}

static bool is_protected(void *machine, uint64_t address, size_t size)
{
    const struct engine *e = machine;

    return address < e->image_base + e->image_size && address + size > e->image_base;
}

static int query_memory(void *machine, uint64_t address, struct kd_machine_memory *memory)
{
    struct memory_page page;

    (void)machine;
    memory_walk(address, &page);
    if (!page.present)
        return KD_E_FAULT;
    memory->address_space = 2; /* kernel */
    memory->flags = 1u | (page.writable ? 2u : 0u) | (page.executable ? 4u : 0u);
    return 0;
}

/* ---- Registers ---- */

/* X(CONTEXT field, frame field): those that are copied as they are, both ways. */
#define GENERAL_REGISTERS(X)                                                                       \
    X(Rax, rax)                                                                                    \
    X(Rcx, rcx)                                                                                    \
    X(Rdx, rdx)                                                                                    \
    X(Rbx, rbx)                                                                                    \
    X(Rsp, rsp)                                                                                    \
    X(Rbp, rbp)                                                                                    \
    X(Rsi, rsi)                                                                                    \
    X(Rdi, rdi)                                                                                    \
    X(R8, r8)                                                                                      \
    X(R9, r9)                                                                                      \
    X(R10, r10)                                                                                    \
    X(R11, r11)                                                                                    \
    X(R12, r12)                                                                                    \
    X(R13, r13)                                                                                    \
    X(R14, r14)                                                                                    \
    X(R15, r15)                                                                                    \
    X(Dr0, dr0)                                                                                    \
    X(Dr1, dr1)                                                                                    \
    X(Dr2, dr2)                                                                                    \
    X(Dr3, dr3)

static int get_context(void *machine, uint32_t cpu, uint8_t context[KD_CONTEXT_AMD64_SIZE])
{
    const struct cpu_frame *frame = frame_of(machine);

    (void)cpu;
    memset(context, 0, KD_CONTEXT_AMD64_SIZE);
    KD_PUT(context, ContextAmd64, ContextFlags, KD_CONTEXT_AMD64_ALL);
#define PUT(field, member) KD_PUT(context, ContextAmd64, field, frame->member);
    GENERAL_REGISTERS(PUT)
#undef PUT
    KD_PUT(context, ContextAmd64, Rip, frame->rip);
    KD_PUT(context, ContextAmd64, EFlags, frame->rflags);
    KD_PUT(context, ContextAmd64, SegCs, frame->cs);
    KD_PUT(context, ContextAmd64, SegSs, frame->ss);
    KD_PUT(context, ContextAmd64, SegDs, frame->ds);
    KD_PUT(context, ContextAmd64, SegEs, frame->es);
    KD_PUT(context, ContextAmd64, SegFs, frame->fs);
    KD_PUT(context, ContextAmd64, SegGs, frame->gs);
    KD_PUT(context, ContextAmd64, Dr6, frame->dr6);
    KD_PUT(context, ContextAmd64, Dr7, frame->dr7);
    KD_PUT(context, ContextAmd64, MxCsr, kd_get_u32(frame->fxsave + FXSAVE_MXCSR));
    memcpy(context + KD_AT(ContextAmd64, FltSave), frame->fxsave, sizeof frame->fxsave);
    return 0;
}

static bool is_canonical(uint64_t address)
{
    unsigned unused = (cpu_cr4() & 0x1000) != 0 ? 7 : 16; /* 5-level paging has 57 bits */

    return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

static void set_fxsave(struct cpu_frame *frame, const uint8_t *context)
{
    uint32_t mask = kd_get_u32(frame->fxsave + FXSAVE_MXCSR_MASK);
    uint32_t old = kd_get_u32(frame->fxsave + FXSAVE_MXCSR);
    uint32_t in_image = kd_get_u32(context + KD_AT(ContextAmd64, FltSave) + FXSAVE_MXCSR);
    uint32_t alone = (uint32_t)KD_GET(context, ContextAmd64, MxCsr);

    if (mask == 0)
        mask = MXCSR_MASK_DEFAULT;
    memcpy(frame->fxsave, context + KD_AT(ContextAmd64, FltSave), sizeof frame->fxsave);
    kd_put_u32(frame->fxsave + FXSAVE_MXCSR, (alone != old ? alone : in_image) & mask);
    kd_put_u32(frame->fxsave + FXSAVE_MXCSR_MASK, mask);
}

static void set_debug_control(struct cpu_frame *frame, uint64_t dr6, uint64_t dr7)
{
    frame->dr6 = (uint32_t)dr6;
    frame->dr7 = (dr7 & DR7_MASK) | CPU_DR7_CLEAR;
}

static int set_context(void *machine, uint32_t cpu, const uint8_t context[KD_CONTEXT_AMD64_SIZE])
{
    struct cpu_frame *frame = frame_of(machine);
    uint64_t rip = KD_GET(context, ContextAmd64, Rip);

    (void)cpu;
    if (!is_canonical(rip))
        return KD_E_ARGUMENT;
#define GET(field, member) frame->member = KD_GET(context, ContextAmd64, field);
    GENERAL_REGISTERS(GET)
#undef GET
    frame->rip = rip;
    frame->rflags = (frame->rflags & ~(uint64_t)RFLAGS_MASK) |
                    (KD_GET(context, ContextAmd64, EFlags) & RFLAGS_MASK);
    set_debug_control(frame, KD_GET(context, ContextAmd64, Dr6),
                      KD_GET(context, ContextAmd64, Dr7));
    set_fxsave(frame, context);
    return 0; /* selectors stay: loading another one means loading its base */
}

static uint64_t msr(uint32_t number)
{
    uint64_t value = 0;

    (void)safe_read_msr(number, &value);
    return value;
}

static int get_special(void *machine, uint32_t cpu, uint8_t special[KD_SPECIAL_AMD64_MAX])
{
    const struct cpu_frame *frame = frame_of(machine);
    struct cpu_table table;

    (void)cpu;
    memset(special, 0, KD_SPECIAL_AMD64_MAX);
    KD_PUT(special, SpecialAmd64, Cr0, frame->cr0);
    KD_PUT(special, SpecialAmd64, Cr2, frame->cr2);
    KD_PUT(special, SpecialAmd64, Cr3, frame->cr3);
    KD_PUT(special, SpecialAmd64, Cr4, frame->cr4);
    KD_PUT(special, SpecialAmd64, Cr8, frame->cr8);
    KD_PUT(special, SpecialAmd64, KernelDr0, frame->dr0);
    KD_PUT(special, SpecialAmd64, KernelDr1, frame->dr1);
    KD_PUT(special, SpecialAmd64, KernelDr2, frame->dr2);
    KD_PUT(special, SpecialAmd64, KernelDr3, frame->dr3);
    KD_PUT(special, SpecialAmd64, KernelDr6, frame->dr6);
    KD_PUT(special, SpecialAmd64, KernelDr7, frame->dr7);
    cpu_sgdt(&table);
    KD_PUT(special, SpecialAmd64, GdtrLimit, table.limit);
    KD_PUT(special, SpecialAmd64, GdtrBase, table.base);
    cpu_sidt(&table);
    KD_PUT(special, SpecialAmd64, IdtrLimit, table.limit);
    KD_PUT(special, SpecialAmd64, IdtrBase, table.base);
    KD_PUT(special, SpecialAmd64, Tr, cpu_str());
    KD_PUT(special, SpecialAmd64, Ldtr, cpu_sldt());
    KD_PUT(special, SpecialAmd64, MxCsr, kd_get_u32(frame->fxsave + FXSAVE_MXCSR));
    KD_PUT(special, SpecialAmd64, MsrGsBase, msr(MSR_GS_BASE));
    KD_PUT(special, SpecialAmd64, MsrGsSwap, msr(MSR_GS_SWAP));
    KD_PUT(special, SpecialAmd64, MsrStar, msr(MSR_STAR));
    KD_PUT(special, SpecialAmd64, MsrLStar, msr(MSR_LSTAR));
    KD_PUT(special, SpecialAmd64, MsrCStar, msr(MSR_CSTAR));
    KD_PUT(special, SpecialAmd64, MsrSyscallMask, msr(MSR_SYSCALL_MASK));
    KD_PUT(special, SpecialAmd64, Xcr0, safe_read_xcr0());
    kd_put_u64(special + KD_SPECIAL_AMD64_SIZE, msr(MSR_FS_BASE)); /* newer Windows 10 */
    return 0;
}

/* Writes a control register only if the debugger changed it: it sends the whole block back. */
static int set_cr(unsigned number, uint64_t *shown, uint64_t value)
{
    if (value == *shown)
        return 0;
    if (safe_write_cr(number, value) != 0)
        return KD_E_ARGUMENT;
    *shown = value;
    return 0;
}

static int set_special(void *machine, uint32_t cpu, const uint8_t special[KD_SPECIAL_AMD64_MAX])
{
    static const struct {
        uint32_t msr;
        unsigned at;
    } msrs[] = {
        {MSR_GS_BASE, KD_AT(SpecialAmd64, MsrGsBase)},
        {MSR_GS_SWAP, KD_AT(SpecialAmd64, MsrGsSwap)},
        {MSR_STAR, KD_AT(SpecialAmd64, MsrStar)},
        {MSR_LSTAR, KD_AT(SpecialAmd64, MsrLStar)},
        {MSR_CSTAR, KD_AT(SpecialAmd64, MsrCStar)},
        {MSR_SYSCALL_MASK, KD_AT(SpecialAmd64, MsrSyscallMask)},
    };
    struct cpu_frame *frame = frame_of(machine);
    int result = 0;

    (void)cpu;
    frame->dr0 = KD_GET(special, SpecialAmd64, KernelDr0);
    frame->dr1 = KD_GET(special, SpecialAmd64, KernelDr1);
    frame->dr2 = KD_GET(special, SpecialAmd64, KernelDr2);
    frame->dr3 = KD_GET(special, SpecialAmd64, KernelDr3);
    set_debug_control(frame, KD_GET(special, SpecialAmd64, KernelDr6),
                      KD_GET(special, SpecialAmd64, KernelDr7));
    frame->cr2 = KD_GET(special, SpecialAmd64, Cr2);
    if (set_cr(0, &frame->cr0, KD_GET(special, SpecialAmd64, Cr0)) != 0 ||
        set_cr(3, &frame->cr3, KD_GET(special, SpecialAmd64, Cr3)) != 0 ||
        set_cr(4, &frame->cr4, KD_GET(special, SpecialAmd64, Cr4)) != 0 ||
        set_cr(8, &frame->cr8, KD_GET(special, SpecialAmd64, Cr8)) != 0)
        result = KD_E_ARGUMENT;
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++) {
        uint64_t value = kd_get_u64(special + msrs[i].at);

        if (value != msr(msrs[i].msr) && safe_write_msr(msrs[i].msr, value) != 0)
            result = KD_E_ARGUMENT;
    }
    return result;
}

static void set_dr7(void *machine, uint64_t dr7)
{
    set_debug_control(frame_of(machine), CPU_DR6_CLEAR, dr7);
}

/* ---- MSRs, ports, PCI ---- */

static int read_msr(void *machine, uint32_t cpu, uint32_t number, uint64_t *value)
{
    (void)machine;
    (void)cpu;
    return safe_read_msr(number, value) == 0 ? 0 : KD_E_NOT_FOUND;
}

static int write_msr(void *machine, uint32_t cpu, uint32_t number, uint64_t value)
{
    (void)machine;
    (void)cpu;
    return safe_write_msr(number, value) == 0 ? 0 : KD_E_NOT_FOUND;
}

static int read_io(void *machine, uint64_t port, uint32_t size, uint32_t *value)
{
    (void)machine;
    if (size == 1)
        *value = cpu_in8((uint16_t)port);
    else if (size == 2)
        *value = cpu_in16((uint16_t)port);
    else
        *value = cpu_in32((uint16_t)port);
    return 0;
}

static int write_io(void *machine, uint64_t port, uint32_t size, uint32_t value)
{
    (void)machine;
    if (size == 1)
        cpu_out8((uint16_t)port, (uint8_t)value);
    else if (size == 2)
        cpu_out16((uint16_t)port, (uint16_t)value);
    else
        cpu_out32((uint16_t)port, value);
    return 0;
}

/* Clamps a transfer to PCI configuration space; KD_E_NOT_FOUND if there is no such thing. */
static int check_bus(uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset, uint32_t *size)
{
    if (type != PCI_CONFIGURATION || bus > 255 || slot > 255 || offset >= PCI_SPACE)
        return KD_E_NOT_FOUND;
    if (*size > PCI_SPACE - offset)
        *size = PCI_SPACE - offset;
    return 0;
}

/* SLOT as KD numbers it: device | function << 5. */
static void select_pci(uint32_t bus, uint32_t slot, uint32_t offset)
{
    pci_select(bus, slot & 31, slot >> 5, offset);
}

static int get_bus_data(void *machine, uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset,
                        uint8_t *to, uint32_t *size)
{
    (void)machine;
    if (check_bus(type, bus, slot, offset, size) != 0)
        return KD_E_NOT_FOUND;
    for (uint32_t i = 0; i < *size; i++) {
        select_pci(bus, slot, offset + i);
        to[i] = cpu_in8((uint16_t)(PCI_DATA + ((offset + i) & 3)));
    }
    return 0;
}

static int set_bus_data(void *machine, uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset,
                        const uint8_t *from, uint32_t *size)
{
    uint32_t i = 0;

    (void)machine;
    if (check_bus(type, bus, slot, offset, size) != 0)
        return KD_E_NOT_FOUND;
    while (i < *size) {
        select_pci(bus, slot, offset + i);
        /* A base address register wants its four bytes at once. */
        if (((offset + i) & 3) == 0 && *size - i >= 4) {
            cpu_out32(PCI_DATA, kd_get_u32(from + i));
            i += 4;
        } else {
            cpu_out8((uint16_t)(PCI_DATA + ((offset + i) & 3)), from[i]);
            i++;
        }
    }
    return 0;
}

const struct kd_machine_ops machine_ops = {
    .version = version,
    .processor_count = processor_count,
    .read_virtual = read_virtual,
    .write_virtual = write_virtual,
    .read_physical = read_physical,
    .write_physical = write_physical,
    .write_code = write_code,
    .is_protected = is_protected,
    .query_memory = query_memory,
    .get_context = get_context,
    .set_context = set_context,
    .get_special = get_special,
    .set_special = set_special,
    .control_address = NULL, /* firmware has no KPCR, no KPRCB and no threads */
    .set_dr7 = set_dr7,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .read_io = read_io,
    .write_io = write_io,
    .get_bus_data = get_bus_data,
    .set_bus_data = set_bus_data,
};
