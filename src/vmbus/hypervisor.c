/* SPDX-License-Identifier: BSD-2-Clause */
#include "hypervisor.h"

#include <string.h>

#include "kdwire/error.h"

#define LEAF_FEATURES      1u
#define HYPERVISOR_PRESENT 0x80000000u /* ECX */
#define LEAF_MAX           0x40000000u
#define LEAF_INTERFACE     0x40000001u
#define LEAF_VERSION       0x40000002u
#define LEAF_PRIVILEGES    0x40000003u
#define LEAF_ADVICE        0x40000004u
#define LEAF_ISOLATION     0x4000000Cu
#define LEAF_NEEDED        0x40000005u
#define INTERFACE_HV1      0x31237648u /* "Hv#1"; the vendor's name may be another's */
#define EAX_SYNIC          (1u << 2)
#define EAX_HYPERCALL      (1u << 5)
#define EAX_VP_INDEX       (1u << 6)
#define EBX_POST_MESSAGES  (1u << 4)
#define EBX_SIGNAL_EVENTS  (1u << 5)
#define EBX_ISOLATION      (1u << 22)
#define EDX_SINT_POLLING   (1u << 17)
#define ADVICE_NO_AUTO_EOI (1u << 9)

enum { EAX, EBX, ECX, EDX };

int vmbus_detect(const struct vmbus_hv *hv, struct vmbus_features *features)
{
    const uint32_t eax_needed = EAX_SYNIC | EAX_HYPERCALL | EAX_VP_INDEX;
    const uint32_t ebx_needed = EBX_POST_MESSAGES | EBX_SIGNAL_EVENTS;
    uint32_t r[4], max;

    memset(features, 0, sizeof *features);
    hv->cpuid(hv->context, LEAF_FEATURES, r);
    if ((r[ECX] & HYPERVISOR_PRESENT) == 0)
        return KD_E_NOT_FOUND;
    hv->cpuid(hv->context, LEAF_MAX, r);
    max = r[EAX];
    if (max < LEAF_NEEDED)
        return KD_E_NOT_FOUND;
    hv->cpuid(hv->context, LEAF_INTERFACE, r);
    if (r[EAX] != INTERFACE_HV1)
        return KD_E_NOT_FOUND;
    hv->cpuid(hv->context, LEAF_VERSION, r);
    features->build = r[EAX];
    features->major = r[EBX] >> 16;
    features->minor = r[EBX] & 0xFFFF;
    hv->cpuid(hv->context, LEAF_ADVICE, r);
    features->no_auto_eoi = (r[EAX] & ADVICE_NO_AUTO_EOI) != 0;
    hv->cpuid(hv->context, LEAF_PRIVILEGES, r);
    features->sint_polling = (r[EDX] & EDX_SINT_POLLING) != 0;
    if ((r[EBX] & EBX_ISOLATION) != 0) {
        uint32_t isolation[4] = {0, 0, 0, 0};

        if (max >= LEAF_ISOLATION)
            hv->cpuid(hv->context, LEAF_ISOLATION, isolation);
        if (max < LEAF_ISOLATION || (isolation[EBX] & 15) != 0)
            return KD_E_REFUSED;
    }
    if ((r[EAX] & eax_needed) != eax_needed || (r[EBX] & ebx_needed) != ebx_needed)
        return KD_E_UNSUPPORTED;
    return KD_OK;
}
