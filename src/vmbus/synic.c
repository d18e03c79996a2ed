/* SPDX-License-Identifier: BSD-2-Clause */
#include "synic.h"

#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"
#include "shared.h"

enum {
    SLOT_SIZE = 256,
    SLOT_TYPE = 0,
    SLOT_LENGTH = 4,
    SLOT_FLAGS = 5,
    SLOT_PAYLOAD = 16,
    MORE_PENDING = 1,
    MESSAGE_VMBUS = 1,

    INPUT_CONNECTION = 0,
    INPUT_TYPE = 8,
    INPUT_SIZE = 12,
    INPUT_PAYLOAD = 16,
};

#define PAGE_ADDRESS   0xFFFFFFFFFFFFF000u
#define PAGE_FLAGS     0xFFEu              /* bits 11:1 of a page register are kept */
#define OUR_ID         0x0000010000000000u /* what the Hyper-V firmware calls itself */
#define STATUS_OF(rax) ((uint32_t)(rax)&0xFFFFu)

/* 0 is the hypervisor's, 1 and 2 the firmware's, 4 was seen as a timer's, 7 is a paravisor's. 5
 * first: it is the one that windbg-uefi is known to work with. */
static const uint8_t free_sints[] = {5, 6, 3, 8, 9, 10, 11, 12, 13, 14, 15};

static int get_msr(const struct vmbus_synic *synic, uint32_t msr, uint64_t *value)
{
    return synic->hv->read_msr(synic->hv->context, msr, value);
}

static int put_msr(const struct vmbus_synic *synic, uint32_t msr, uint64_t value)
{
    return synic->hv->write_msr(synic->hv->context, msr, value);
}

/* The page register's page; if it is not enabled and we are the OWNER, ours. *SET: it was us. */
static int adopt_page(struct vmbus_synic *synic, uint32_t msr, uint8_t *ours, uint64_t *address,
                      bool *set)
{
    uint64_t value;
    int rc = get_msr(synic, msr, &value);

    if (rc != 0)
        return rc;
    if ((value & HV_ENABLE) == 0) {
        if (!synic->owner)
            return KD_E_REFUSED; /* somebody set up half of it: not ours to complete */
        value = (value & PAGE_FLAGS) | (uint64_t)(uintptr_t)ours | HV_ENABLE;
        rc = put_msr(synic, msr, value);
        if (rc == 0)
            rc = get_msr(synic, msr, &value);
        if (rc != 0)
            return rc;
        if ((value & HV_ENABLE) == 0)
            return KD_E_REFUSED;
        *set = true;
    }
    *address = value & PAGE_ADDRESS;
    return KD_OK;
}

static int look_who_is_here(struct vmbus_synic *synic)
{
    static const uint32_t pages[] = {HV_MSR_HYPERCALL, HV_MSR_SIMP, HV_MSR_SIEFP};
    uint64_t value = 0;
    int rc = get_msr(synic, HV_MSR_GUEST_OS_ID, &value);
    bool anybody = value != 0;

    for (unsigned i = 0; rc == 0 && i < sizeof pages / sizeof pages[0]; i++) {
        rc = get_msr(synic, pages[i], &value);
        anybody = anybody || (value & HV_ENABLE) != 0;
    }
    if (rc == 0)
        rc = get_msr(synic, HV_MSR_SINT0 + VMBUS_SINT_FIRMWARE, &value);
    anybody = anybody || (value & HV_SINT_MASKED) == 0;
    synic->owner = !anybody;
    return rc;
}

static int pick_sint(struct vmbus_synic *synic)
{
    if (synic->owner) {
        synic->sint = VMBUS_SINT_FIRMWARE;
        return get_msr(synic, HV_MSR_SINT0 + synic->sint, &synic->saved_sint);
    }
    for (unsigned i = 0; i < sizeof free_sints; i++) {
        int rc = get_msr(synic, HV_MSR_SINT0 + free_sints[i], &synic->saved_sint);

        synic->sint = free_sints[i];
        if (rc != 0 || (synic->saved_sint & HV_SINT_MASKED) != 0)
            return rc;
    }
    return KD_E_BUSY;
}

static int enable_control(struct vmbus_synic *synic)
{
    uint64_t value;
    int rc = get_msr(synic, HV_MSR_SCONTROL, &value);

    if (rc == 0 && (value & HV_ENABLE) == 0) {
        rc = put_msr(synic, HV_MSR_SCONTROL, value | HV_ENABLE);
        synic->set_control = rc == 0;
    }
    return rc;
}

static int unmask_sint(struct vmbus_synic *synic, const struct vmbus_features *features,
                       uint8_t vector)
{
    uint64_t value = (synic->saved_sint & ~(uint64_t)HV_SINT_FIELDS) | vector;
    int rc;

    if (features->sint_polling)
        value |= HV_SINT_POLLING;
    else if (!features->no_auto_eoi)
        value |= HV_SINT_AUTO_EOI;
    rc = put_msr(synic, HV_MSR_SINT0 + synic->sint, value);
    synic->set_sint = rc == 0;
    return rc;
}

static void empty_slot(struct vmbus_synic *synic)
{
    uint8_t message[VMBUS_MESSAGE_MAX];

    for (unsigned i = 0; i < 64 && vmbus_synic_receive(synic, message) >= 0; i++)
        ; /* left over by somebody before us, or by a host that goes on talking */
    memset(synic->flags, 0, SLOT_SIZE);
}

int vmbus_synic_open(struct vmbus_synic *synic, const struct vmbus_hv *hv,
                     const struct vmbus_features *features, const struct vmbus_pages *pages,
                     uint8_t vector)
{
    uint64_t messages = 0, events = 0, vp = 0;
    int rc;

    memset(synic, 0, sizeof *synic);
    synic->hv = hv;
    synic->input = pages->input;
    rc = look_who_is_here(synic);
    if (rc == 0)
        rc = pick_sint(synic);
    if (rc == 0)
        rc = get_msr(synic, HV_MSR_VP_INDEX, &vp);
    synic->vp = (uint32_t)vp;
    if (rc == 0 && synic->owner) {
        rc = put_msr(synic, HV_MSR_GUEST_OS_ID, OUR_ID);
        synic->set_id = rc == 0;
    }
    if (rc == 0)
        rc = adopt_page(synic, HV_MSR_HYPERCALL, pages->hypercall, &synic->hypercall_page,
                        &synic->set_hypercall);
    if (rc == 0)
        rc = adopt_page(synic, HV_MSR_SIMP, pages->messages, &messages, &synic->set_messages);
    if (rc == 0)
        rc = adopt_page(synic, HV_MSR_SIEFP, pages->events, &events, &synic->set_events);
    if (rc == 0) {
        synic->slot = (uint8_t *)(uintptr_t)messages + (size_t)synic->sint * SLOT_SIZE;
        synic->flags = (uint8_t *)(uintptr_t)events + (size_t)synic->sint * SLOT_SIZE;
        rc = enable_control(synic);
    }
    if (rc == 0)
        rc = unmask_sint(synic, features, vector);
    if (rc == 0)
        empty_slot(synic);
    else
        vmbus_synic_close(synic);
    return rc;
}

static void disable_page(struct vmbus_synic *synic, uint32_t msr, bool *set)
{
    uint64_t value;

    if (*set && get_msr(synic, msr, &value) == 0)
        (void)put_msr(synic, msr, value & ~(uint64_t)HV_ENABLE);
    *set = false;
}

void vmbus_synic_close(struct vmbus_synic *synic)
{
    if (synic->set_sint) {
        (void)put_msr(synic, HV_MSR_SINT0 + synic->sint, synic->saved_sint | HV_SINT_MASKED);
        synic->set_sint = false;
        empty_slot(synic);
    }
    disable_page(synic, HV_MSR_SIEFP, &synic->set_events);
    disable_page(synic, HV_MSR_SIMP, &synic->set_messages);
    disable_page(synic, HV_MSR_HYPERCALL, &synic->set_hypercall);
    if (synic->set_id)
        (void)put_msr(synic, HV_MSR_GUEST_OS_ID, 0);
    synic->set_id = false;
}

void vmbus_synic_scan(struct vmbus_synic *synic)
{
    uint64_t vp;

    /* The register belongs to the processor: on another one it would end another's message. */
    if (get_msr(synic, HV_MSR_VP_INDEX, &vp) != 0 || vp != synic->vp)
        return;
    synic->ends_of_message++;
    (void)put_msr(synic, HV_MSR_EOM, 0);
}

int vmbus_synic_receive(struct vmbus_synic *synic, uint8_t message[VMBUS_MESSAGE_MAX])
{
    uint32_t type = shared_load(synic->slot + SLOT_TYPE);
    int size;

    if (type == 0)
        return -1;
    size = shared_load_byte(synic->slot + SLOT_LENGTH);
    if (size > VMBUS_MESSAGE_MAX)
        size = VMBUS_MESSAGE_MAX;
    memcpy(message, synic->slot + SLOT_PAYLOAD, (size_t)size);
    /* In this order: were the flag read before the slot is free, the hypervisor could set it in
     * between and wait for an end of message that never comes. */
    shared_store(synic->slot + SLOT_TYPE, 0);
    shared_barrier();
    if ((shared_load_byte(synic->slot + SLOT_FLAGS) & MORE_PENDING) != 0)
        vmbus_synic_scan(synic);
    if (type == MESSAGE_VMBUS)
        return size;
    synic->foreign++;
    return 0;
}

uint32_t vmbus_synic_post(struct vmbus_synic *synic, uint32_t connection, const uint8_t *message,
                          size_t size)
{
    uint8_t *input = synic->input;

    memset(input, 0, INPUT_PAYLOAD);
    kd_put_u32(input + INPUT_CONNECTION, connection);
    kd_put_u32(input + INPUT_TYPE, MESSAGE_VMBUS);
    kd_put_u32(input + INPUT_SIZE, (uint32_t)size);
    memcpy(input + INPUT_PAYLOAD, message, size);
    synic->posts++;
    return STATUS_OF(synic->hv->hypercall(synic->hv->context, synic->hypercall_page,
                                          HV_CALL_POST_MESSAGE, (uint64_t)(uintptr_t)input, 0));
}

void vmbus_synic_signal(struct vmbus_synic *synic, uint32_t connection)
{
    synic->signals++;
    (void)synic->hv->hypercall(synic->hv->context, synic->hypercall_page, HV_CALL_SIGNAL_EVENT,
                               connection, 0);
}
