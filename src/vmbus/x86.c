/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86.h"

void vmbus_x86_cpuid(void *context, uint32_t leaf, uint32_t r[4])
{
    (void)context;
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static int read_msr(void *context, uint32_t msr, uint64_t *value)
{
    uint32_t low, high;

    (void)context;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    *value = (uint64_t)high << 32 | low;
    return 0;
}

static int write_msr(void *context, uint32_t msr, uint64_t value)
{
    (void)context;
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    return 0;
}

/* Always through the page: whether VMCALL or VMMCALL is right depends on the processor's maker, and
 * the hypervisor has put the right one there. */
uint64_t vmbus_x86_hypercall(void *context, uint64_t page, uint64_t control, uint64_t input,
                             uint64_t output)
{
    uint64_t result;
    register uint64_t r8 __asm__("r8") = output;

    (void)context;
    /* The red zone below RSP is the compiler's where there is one: step over it before the call. */
    __asm__ volatile("sub $128, %%rsp\n\t"
                     "call *%[page]\n\t"
                     "add $128, %%rsp"
                     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     : [page] "b"(page)
                     : "r9", "r10", "r11", "memory", "cc");
    return result;
}

const struct vmbus_hv vmbus_x86 = {
    .cpuid = vmbus_x86_cpuid,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .hypercall = vmbus_x86_hypercall,
};
