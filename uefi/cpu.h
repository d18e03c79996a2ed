/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor as the engine sees it: the frame of an interrupted program, and instructions that
 * C does not have. Everything in entry.S is declared here. */
#ifndef KDWIRE_UEFI_CPU_H
#define KDWIRE_UEFI_CPU_H

#include <stddef.h>
#include <stdint.h>

/* What the entry stubs save, lowest address first; entry.S relies on every offset. */
struct cpu_frame {
    uint8_t fxsave[512];
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t dr0, dr1, dr2, dr3, dr6, dr7;
    uint64_t ds, es, fs, gs;
    uint64_t leave; /* scratch of the way out */
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector; /* 0..255, or CPU_SERVICE + number */
    uint64_t error;
    uint64_t rip, cs, rflags, rsp, ss;
};

enum {
    CPU_VECTORS = 256,
    CPU_FIRST_EXTERNAL = 32, /* vectors below are the processor's own exceptions */
    CPU_SERVICE = 0x100,     /* cpu_service's frames carry CPU_SERVICE + number as vector */

    CPU_VECTOR_DEBUG = 1,
    CPU_VECTOR_NMI = 2,
    CPU_VECTOR_BREAKPOINT = 3,
    CPU_VECTOR_DOUBLE_FAULT = 8,
    CPU_VECTOR_PAGE_FAULT = 14,
    CPU_VECTOR_MACHINE_CHECK = 18,

    CPU_FLAG_TF = 0x100,
    CPU_FLAG_IF = 0x200,
    CPU_FLAG_RF = 0x10000,
};

#define CPU_DR6_CLEAR 0xFFFF0FF0u /* no condition seen */
#define CPU_DR7_CLEAR 0x400u      /* nothing armed; bit 10 is always one */

/* How cpu_dispatch (idt.c) wants a frame to be left. */
enum cpu_leave {
    CPU_LEAVE_RETURN,           /* iretq to the frame */
    CPU_LEAVE_CHAIN_VIA_ERROR,  /* jump to the address in frame->error; no error code remains */
    CPU_LEAVE_CHAIN_VIA_VECTOR, /* jump to the address in frame->vector; the error code remains */
};

uint64_t cpu_dispatch(struct cpu_frame *frame);

/* entry.S */
extern uint8_t cpu_stubs[]; /* CPU_VECTORS stubs of CPU_STUB_SIZE bytes */
#define CPU_STUB_SIZE 16
_Noreturn void cpu_frame_leave(struct cpu_frame *frame, uint64_t leave);
/* Enters the engine from ordinary code as if by an exception: the frame is the caller's, rdx is
 * ARGUMENT, and what the engine leaves in the frame's rax is returned. */
uint64_t cpu_service(uint64_t number, void *argument);
uint64_t cpu_on_stack(uint64_t (*function)(void *), void *argument, void *stack_top);

/* Memory and registers that may fault: the fault is turned into a result. */
size_t safe_copy(void *to, const void *from, size_t size);            /* returns bytes NOT copied */
uint64_t safe_load(uint64_t address, uint64_t size, uint64_t *value); /* 0 = done; size 1,2,4,8 */
uint64_t safe_store(uint64_t address, uint64_t size, uint64_t value);
uint64_t safe_read_msr(uint32_t msr, uint64_t *value);
uint64_t safe_write_msr(uint32_t msr, uint64_t value);
uint64_t safe_write_cr(uint64_t number, uint64_t value); /* 0, 3, 4, 8 */
uint64_t safe_read_xcr0(void);                           /* 0 when there is none */

struct safe_range {
    uint64_t begin, end; /* a fault with RIP in [begin, end) goes on at `exit` */
    uint64_t exit;
};
extern const struct safe_range safe_ranges[];
extern const uint64_t safe_range_count;

struct cpu_table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static inline void cpu_sgdt(struct cpu_table *table)
{
    __asm__ volatile("sgdt %0" : "=m"(*table));
}
static inline void cpu_sidt(struct cpu_table *table)
{
    __asm__ volatile("sidt %0" : "=m"(*table));
}
static inline void cpu_lgdt(const struct cpu_table *table)
{
    __asm__ volatile("lgdt %0" : : "m"(*table) : "memory");
}
static inline void cpu_lidt(const struct cpu_table *table)
{
    __asm__ volatile("lidt %0" : : "m"(*table) : "memory");
}
static inline uint16_t cpu_str(void)
{
    uint16_t selector;

    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}
static inline uint16_t cpu_sldt(void)
{
    uint16_t selector;

    __asm__ volatile("sldt %0" : "=r"(selector));
    return selector;
}
static inline void cpu_ltr(uint16_t selector)
{
    __asm__ volatile("ltr %0" : : "r"(selector) : "memory");
}
static inline uint16_t cpu_cs(void)
{
    uint16_t selector;

    __asm__ volatile("mov %%cs, %0" : "=r"(selector));
    return selector;
}
static inline uint64_t cpu_cr0(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
static inline void cpu_set_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}
static inline uint64_t cpu_cr3(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}
static inline uint64_t cpu_cr4(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}
static inline uint64_t cpu_interrupts_off(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; pop %0; cli" : "=r"(flags) : : "memory");
    return flags;
}
static inline void cpu_interrupts_restore(uint64_t flags)
{
    if ((flags & CPU_FLAG_IF) != 0)
        __asm__ volatile("sti" : : : "memory");
}
static inline void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}
static inline uint64_t cpu_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}
/* The initial APIC id: tells processors apart without touching the APIC. */
static inline uint32_t cpu_id(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b >> 24;
}
static inline uint8_t cpu_in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint16_t cpu_in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint32_t cpu_in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline void cpu_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void cpu_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
static inline void cpu_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

#endif
