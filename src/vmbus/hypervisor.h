/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor as a guest sees it (Hypervisor Top-Level Functional Specification): CPUID leaves
 * that tell what is there, model-specific registers, and calls through a page of code. The
 * instructions themselves are the caller's: x86.c has the real ones.
 */
#ifndef KDWIRE_VMBUS_HYPERVISOR_H
#define KDWIRE_VMBUS_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

/* How the hypervisor is reached. read_msr and write_msr return 0, or KD_E_FAULT where the processor
 * raised an exception. hypercall enters the page at PAGE and returns RAX. */
struct vmbus_hv {
    void *context;
    void (*cpuid)(void *context, uint32_t leaf, uint32_t registers[4]); /* eax, ebx, ecx, edx */
    int (*read_msr)(void *context, uint32_t msr, uint64_t *value);
    int (*write_msr)(void *context, uint32_t msr, uint64_t value);
    uint64_t (*hypercall)(void *context, uint64_t page, uint64_t control, uint64_t input,
                          uint64_t output);
};

#define HV_MSR_GUEST_OS_ID   0x40000000u
#define HV_MSR_HYPERCALL     0x40000001u
#define HV_MSR_VP_INDEX      0x40000002u
#define HV_MSR_SCONTROL      0x40000080u
#define HV_MSR_SIEFP         0x40000082u
#define HV_MSR_SIMP          0x40000083u
#define HV_MSR_EOM           0x40000084u
#define HV_MSR_SINT0         0x40000090u

#define HV_ENABLE            1u /* bit 0 of HYPERCALL, SCONTROL, SIEFP, SIMP */
#define HV_SINT_VECTOR       0xFFu
#define HV_SINT_MASKED       0x10000u
#define HV_SINT_AUTO_EOI     0x20000u
#define HV_SINT_POLLING      0x40000u
#define HV_SINT_FIELDS       (HV_SINT_VECTOR | HV_SINT_MASKED | HV_SINT_AUTO_EOI | HV_SINT_POLLING)

#define HV_CALL_POST_MESSAGE 0x5Cu
#define HV_CALL_SIGNAL_EVENT 0x1005Du /* fast: the input is in the registers */

enum hv_status {
    HV_SUCCESS = 0,
    HV_INSUFFICIENT_MEMORY = 0x0B,
    HV_INVALID_CONNECTION = 0x12,
    HV_INSUFFICIENT_BUFFERS = 0x13,
};

struct vmbus_features {
    uint32_t build, major, minor; /* of the hypervisor */
    bool sint_polling;            /* a SINT can be unmasked without an interrupt */
    bool no_auto_eoi;             /* AutoEOI is deprecated here */
};

/*
 * Whether VMBus can be used at all. KD_E_NOT_FOUND: no hypervisor with this interface.
 * KD_E_UNSUPPORTED: it lacks the SynIC, hypercalls, messages or signals, or does not let us.
 * KD_E_REFUSED: an isolated (confidential) VM: the host cannot see our memory.
 */
int vmbus_detect(const struct vmbus_hv *hv, struct vmbus_features *features);

#endif
