/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine takes all 256 vectors: the exceptions to report them, the external ones to look for
 * the debugger's break-in byte in the context of whatever was interrupted; then it hands on to the
 * gate that was there (chaining), so that firmware keeps its timer.
 *
 * Why not RegisterInterruptHandler: it refuses the timer's vector, loses changes of RBP and does
 * not restore debug registers. Why not EFI_DEBUG_SUPPORT: real firmware has it for EBC only.
 *
 * Who may be inside the engine:
 *   owner   event                             what happens
 *   0       any frame                         this processor becomes owner, engine_handle runs
 *   other   NMI on another processor          it was told to stop: waits, then goes on
 *   other   any other frame                   waits: while one processor is stopped, those that
 *                                             come by stop as well
 *   self    fault inside a safe_range         goes on at the range's exit
 *   self    NMI                               ignored: the debugger is being served already
 *   self    machine check, external vector    handed on
 *   self    anything else                     engine bug: panic text, serve again
 */
#include "idt.h"

#include <string.h>

#include "engine.h"
#include "kdwire/error.h"
#include "memory.h"

struct gate {
    uint16_t low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t middle;
    uint32_t high;
    uint32_t zero;
};

struct table {
    uint64_t base; /* 0 = unused */
    unsigned gates;
    bool own_stacks;
    struct gate old[CPU_VECTORS];
    struct gate ours[CPU_VECTORS];
};

enum {
    MAIN,
    APS,
    TABLES, /* EDK2 gives all APs one common copy; others are left alone */

    GATE_INTERRUPT = 0x8E, /* present, interrupt gate: enters with interrupts off */

    ENGINE_STACK_SIZE = 64 * 1024,
    IST_STACK_SIZE = 8 * 1024, /* a frame is 0.8 KiB; the engine itself runs on the engine stack */
    IST_COUNT = 5,
    IST_FAULTS = 5, /* the stack of #PF, #GP and their like */
    GDT_MAX = 4096, /* EDK2's has 72 bytes; a larger one than a page is not copied */
    TSS_SIZE = 104,
    PANICS_MAX = 8, /* then the firmware's own dump is more use than trying again */
};

static struct table tables[TABLES];
static struct cpu_table old_gdt;
static bool gdt_is_ours, aps_share_table;
static uint8_t gdt[GDT_MAX + 16] __attribute__((aligned(16)));
static uint8_t tss[TSS_SIZE] __attribute__((aligned(16)));
static uint8_t ist_stacks[IST_COUNT][IST_STACK_SIZE] __attribute__((aligned(16)));
static uint8_t engine_stack[ENGINE_STACK_SIZE] __attribute__((aligned(16)));
static struct gate runtime_idt[CPU_VECTORS] __attribute__((aligned(16)));

static volatile uint32_t owner; /* processor inside the engine: cpu_id() + 1; 0 = none */
static struct cpu_frame *volatile owner_frame;
static unsigned panics;

/* ---- Tables ---- */

static uint8_t ist_of(unsigned vector)
{
    switch (vector) {
    case CPU_VECTOR_DOUBLE_FAULT:
        return 1;
    case CPU_VECTOR_NMI:
        return 2;
    case CPU_VECTOR_MACHINE_CHECK:
        return 3;
    case CPU_VECTOR_DEBUG:
    case CPU_VECTOR_BREAKPOINT:
        return 4;
    default:
        return vector < CPU_FIRST_EXTERNAL ? IST_FAULTS : 0;
    }
}

static bool vector_has_error_code(uint64_t vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 ||
           vector == 29 || vector == 30;
}

static void make_gate(struct gate *gate, unsigned vector, const struct gate *old, bool own_stacks)
{
    uint64_t stub = (uint64_t)cpu_stubs + (uint64_t)vector * CPU_STUB_SIZE;

    memset(gate, 0, sizeof *gate);
    gate->low = (uint16_t)stub;
    gate->middle = (uint16_t)(stub >> 16);
    gate->high = (uint32_t)(stub >> 32);
    gate->selector = cpu_cs();
    gate->type = GATE_INTERRUPT;
    /* Firmware with a stack guard has its own task state segment: its stacks go on being used. */
    gate->ist = own_stacks ? ist_of(vector) : old->ist;
}

static uint64_t gate_address(const struct gate *gate)
{
    if ((gate->type & 0x80) == 0)
        return 0;
    return (uint64_t)gate->low | (uint64_t)gate->middle << 16 | (uint64_t)gate->high << 32;
}

static bool is_our_stub(const struct gate *gate, unsigned vector)
{
    return gate_address(gate) == (uint64_t)cpu_stubs + (uint64_t)vector * CPU_STUB_SIZE;
}

static bool write_gate(uint64_t base, unsigned vector, const struct gate *gate)
{
    return memory_write_forced(base + (uint64_t)vector * sizeof *gate, gate, sizeof *gate) ==
           sizeof *gate;
}

/* Hooks every gate that is not ours; returns how many, or KD_E_IO. Firmware may have copied a
 * hooked table: what is handed on to then stays what it was, for handing on to ourselves never
 * ends. */
static int hook(struct table *table)
{
    uint64_t flags = cpu_interrupts_off();
    const struct gate *live = (const struct gate *)table->base;
    int hooked = 0;

    for (unsigned i = 0; i < table->gates; i++) {
        if (memcmp(&live[i], &table->ours[i], sizeof live[i]) == 0)
            continue;
        if (!is_our_stub(&live[i], i))
            table->old[i] = live[i];
        make_gate(&table->ours[i], i, &table->old[i], table->own_stacks);
        if (!write_gate(table->base, i, &table->ours[i])) {
            hooked = KD_E_IO;
            break;
        }
        hooked++;
    }
    cpu_interrupts_restore(flags);
    return hooked;
}

static void unhook(struct table *table)
{
    const struct gate *live = (const struct gate *)table->base;

    for (unsigned i = 0; i < table->gates; i++) {
        if (memcmp(&live[i], &table->ours[i], sizeof live[i]) == 0)
            (void)write_gate(table->base, i, &table->old[i]);
    }
    table->base = 0;
}

/* A table that was copied from the main processor's after that was hooked hands on as that one. */
static void use_table(struct table *table, const struct cpu_table *idtr, bool own_stacks)
{
    memset(table->ours, 0, sizeof table->ours);
    if (table != &tables[MAIN])
        memcpy(table->old, tables[MAIN].old, sizeof table->old);
    table->base = idtr->base;
    table->gates = ((unsigned)idtr->limit + 1) / sizeof(struct gate);
    if (table->gates > CPU_VECTORS)
        table->gates = CPU_VECTORS;
    table->own_stacks = own_stacks;
}

static struct table *current_table(void)
{
    struct cpu_table idtr;

    cpu_sidt(&idtr);
    for (unsigned i = 0; i < TABLES; i++) {
        if (tables[i].base == idtr.base)
            return &tables[i];
    }
    return &tables[MAIN];
}

/* ---- Own stacks ---- */

static void put_tss_stacks(void)
{
    memset(tss, 0, sizeof tss);
    for (unsigned i = 0; i < IST_COUNT; i++) {
        uint64_t top = (uint64_t)ist_stacks[i] + IST_STACK_SIZE;

        memcpy(tss + 0x24 + 8 * i, &top, 8);
    }
    tss[0x66] = TSS_SIZE; /* no I/O permission map */
}

/* Appends a task state segment to a copy of the firmware's GDT and loads both. */
static bool load_own_tss(void)
{
    struct cpu_table table;
    uint64_t at = (uint64_t)tss;
    uint64_t flags;
    size_t size;

    cpu_sgdt(&old_gdt);
    size = ((size_t)old_gdt.limit + 1 + 7) & ~(size_t)7;
    /* A selector behind the end of the GDT is what an engine left that was unloaded. */
    if ((cpu_str() != 0 && cpu_str() < old_gdt.limit) || size > GDT_MAX)
        return false; /* firmware has stacks of its own, or a GDT of a kind we do not know */
    memset(gdt, 0, sizeof gdt);
    memcpy(gdt, (const void *)old_gdt.base, (size_t)old_gdt.limit + 1);
    put_tss_stacks();
    gdt[size + 0] = TSS_SIZE - 1;
    gdt[size + 2] = (uint8_t)at;
    gdt[size + 3] = (uint8_t)(at >> 8);
    gdt[size + 4] = (uint8_t)(at >> 16);
    gdt[size + 5] = 0x89; /* present, available 64-bit TSS */
    gdt[size + 7] = (uint8_t)(at >> 24);
    at >>= 32;
    memcpy(gdt + size + 8, &at, 4);
    table.limit = (uint16_t)(size + 16 - 1);
    table.base = (uint64_t)gdt;
    flags = cpu_interrupts_off();
    cpu_lgdt(&table);
    cpu_ltr((uint16_t)size);
    cpu_interrupts_restore(flags);
    gdt_is_ours = true;
    return true;
}

/* While the engine runs, its own faults must not start at the top of the stack on which the frame
 * being served lies, ours or the firmware's: they go to the stack in use. */
static void set_fault_stacks(bool on)
{
    struct table *table = &tables[MAIN];

    if (table->base == 0)
        return;
    for (unsigned i = 0; i < CPU_FIRST_EXTERNAL; i++) {
        uint8_t ist = table->own_stacks ? ist_of(i) : table->old[i].ist;

        if (ist == 0 || i == CPU_VECTOR_DOUBLE_FAULT || i == CPU_VECTOR_MACHINE_CHECK)
            continue;
        table->ours[i].ist = on ? ist : 0;
        (void)write_gate(table->base, i, &table->ours[i]);
    }
}

/* ---- Public ---- */

int idt_install(const struct idt_options *options)
{
    struct cpu_table idtr;
    bool own_stacks = options->own_stacks && load_own_tss();
    int hooked;

    cpu_sidt(&idtr);
    use_table(&tables[MAIN], &idtr, own_stacks);
    hooked = hook(&tables[MAIN]);
    if (hooked < 0)
        idt_remove();
    return hooked < 0 ? hooked : 0;
}

void idt_install_on_ap(void)
{
    struct cpu_table idtr;

    cpu_sidt(&idtr);
    if (idtr.base == tables[MAIN].base)
        aps_share_table = true;
    if (idtr.base == tables[MAIN].base || tables[APS].base != 0)
        return;
    use_table(&tables[APS], &idtr, false);
    (void)hook(&tables[APS]);
}

void idt_finish_aps(void)
{
    uint64_t flags;

    if (!aps_share_table || !tables[MAIN].own_stacks)
        return;
    flags = cpu_interrupts_off();
    for (unsigned i = 0; i < tables[MAIN].gates; i++) {
        tables[MAIN].ours[i].ist = 0;
        (void)write_gate(tables[MAIN].base, i, &tables[MAIN].ours[i]);
    }
    tables[MAIN].own_stacks = false;
    cpu_interrupts_restore(flags);
}

bool idt_can_stop_aps(void)
{
    return tables[APS].base != 0 && current_table() == &tables[MAIN];
}

void idt_remove(void)
{
    uint64_t flags = cpu_interrupts_off();
    struct cpu_table current;

    for (unsigned i = 0; i < TABLES; i++) {
        if (tables[i].base != 0)
            unhook(&tables[i]);
    }
    /* The task register keeps our segment: harmless, no gate names one of its stacks any more. */
    cpu_sgdt(&current);
    if (gdt_is_ours && current.base == (uint64_t)gdt)
        cpu_lgdt(&old_gdt);
    gdt_is_ours = false;
    cpu_interrupts_restore(flags);
}

void idt_move_to_runtime_memory(void)
{
    struct table *table = &tables[MAIN];
    struct cpu_table idtr;

    tables[APS].base = 0; /* firmware parks the other processors elsewhere now */
    if (table->base == 0 || table->base == (uint64_t)runtime_idt)
        return;
    memcpy(runtime_idt, (const void *)table->base, table->gates * sizeof runtime_idt[0]);
    idtr.base = (uint64_t)runtime_idt;
    idtr.limit = (uint16_t)(table->gates * sizeof runtime_idt[0] - 1);
    table->base = idtr.base;
    cpu_lidt(&idtr);
}

unsigned idt_check(void)
{
    struct cpu_table idtr;
    struct table *table = &tables[MAIN];
    int hooked;

    if (table->base == 0)
        return 0;
    cpu_sidt(&idtr);
    if (idtr.base != table->base) {
        if (tables[APS].base == idtr.base)
            return 0; /* called on an AP */
        use_table(table, &idtr, table->own_stacks);
    }
    hooked = hook(table);
    return hooked > 0 ? (unsigned)hooked : 0;
}

bool idt_is_installed(void)
{
    return tables[MAIN].base != 0;
}

bool idt_has_own_stacks(void)
{
    return tables[MAIN].own_stacks;
}

/* ---- Dispatch ---- */

static bool fix_up(struct cpu_frame *frame)
{
    for (uint64_t i = 0; i < safe_range_count; i++) {
        if (frame->rip >= safe_ranges[i].begin && frame->rip < safe_ranges[i].end) {
            frame->rip = safe_ranges[i].exit;
            return true;
        }
    }
    return false;
}

/* Leaves through the gate that was there before ours; returns if there was none. */
static uint64_t chain(struct cpu_frame *frame)
{
    uint64_t to = 0;

    if (frame->vector < CPU_VECTORS)
        to = gate_address(&current_table()->old[frame->vector]);
    if (to == 0)
        return CPU_LEAVE_RETURN;
    if (vector_has_error_code(frame->vector)) {
        frame->vector = to;
        return CPU_LEAVE_CHAIN_VIA_VECTOR;
    }
    frame->error = to;
    return CPU_LEAVE_CHAIN_VIA_ERROR;
}

static void enter(struct cpu_frame *frame)
{
    owner_frame = frame;
    if (frame->vector < CPU_FIRST_EXTERNAL) /* other frames lie on none of our stacks */
        set_fault_stacks(false);
}

static uint64_t leave(struct cpu_frame *frame, uint64_t disposition)
{
    bool changed = frame->vector < CPU_FIRST_EXTERNAL;
    uint64_t how = disposition == ENGINE_CHAIN ? chain(frame) : CPU_LEAVE_RETURN;

    if (changed)
        set_fault_stacks(true);
    owner_frame = NULL;
    __atomic_store_n(&owner, 0, __ATOMIC_RELEASE);
    return how;
}

static uint64_t handle_on_engine_stack(void *frame)
{
    return engine_handle(frame);
}

/* Runs on the engine's stack, reached by "returning" from the faulting frame. */
static _Noreturn void recover(void)
{
    struct cpu_frame *frame = owner_frame;
    uint64_t disposition = engine_recover(frame);

    cpu_frame_leave(frame, leave(frame, disposition));
}

static uint64_t nested(struct cpu_frame *frame)
{
    uint64_t vector = frame->vector;

    if (vector == CPU_VECTOR_NMI)
        return CPU_LEAVE_RETURN;
    if (vector == CPU_VECTOR_MACHINE_CHECK || vector >= CPU_FIRST_EXTERNAL || panics >= PANICS_MAX)
        return chain(frame);
    panics++;
    engine_panic(frame);
    frame->rip = (uint64_t)recover;
    frame->rsp = (uint64_t)engine_stack + ENGINE_STACK_SIZE - 40; /* as after a call */
    frame->rflags = 2;
    return CPU_LEAVE_RETURN;
}

uint64_t cpu_dispatch(struct cpu_frame *frame)
{
    uint32_t me = cpu_id() + 1;
    uint32_t nobody = 0;

    if (frame->vector < CPU_FIRST_EXTERNAL && frame->vector != CPU_VECTOR_NMI && fix_up(frame))
        return CPU_LEAVE_RETURN;
    if (owner == me)
        return nested(frame);
    if (frame->vector == CPU_VECTOR_NMI && current_table() == &tables[APS]) {
        while (owner != 0)
            cpu_pause();
        return CPU_LEAVE_RETURN;
    }
    while (!__atomic_compare_exchange_n(&owner, &nobody, me, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
        nobody = 0;
        cpu_pause();
    }
    enter(frame);
    return leave(frame,
                 cpu_on_stack(handle_on_engine_stack, frame, engine_stack + ENGINE_STACK_SIZE));
}
