/* SPDX-License-Identifier: BSD-2-Clause */
/* The real instructions behind struct vmbus_hv, for x86-64 in ring 0. */
#ifndef KDWIRE_VMBUS_X86_H
#define KDWIRE_VMBUS_X86_H

#include "hypervisor.h"

/* Registers whose access faults are the caller's to catch: these two always return 0. */
extern const struct vmbus_hv vmbus_x86;

void vmbus_x86_cpuid(void *context, uint32_t leaf, uint32_t registers[4]);
uint64_t vmbus_x86_hypercall(void *context, uint64_t page, uint64_t control, uint64_t input,
                             uint64_t output);

#endif
