/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The synthetic interrupt controller of one virtual processor, shared with whoever was here first.
 *
 * The Hyper-V firmware owns everything before ExitBootServices: guest OS id, hypercall page,
 * message and event pages, SINT 1 and 2. What is enabled is adopted as it is; nothing of it is
 * rewritten. Writing SINT 2, or having an answer land there, crashes the VM. So a SINT that nobody
 * uses is taken
 * ("guest of the firmware"). Only where nobody is here, neither id nor pages nor SINT 2, is all of
 * it set up by us ("owner").
 */
#ifndef KDWIRE_VMBUS_SYNIC_H
#define KDWIRE_VMBUS_SYNIC_H

#include <stddef.h>

#include "hypervisor.h"

enum {
    VMBUS_MESSAGE_MAX = 240,
    VMBUS_SINT_FIRMWARE = 2, /* where the first client's answers go; never ours beside a firmware */
};

/* Pages of the caller, identity-mapped, kept until synic_close. Each is one page of 4096 bytes. */
struct vmbus_pages {
    uint8_t *input;    /* of hypercalls */
    uint8_t *messages; /* the next three are used by the owner only */
    uint8_t *events;
    uint8_t *hypercall; /* must be executable */
};

struct vmbus_synic {
    /* Read only: */
    bool owner;
    uint32_t sint, vp;
    uint64_t posts, signals, ends_of_message; /* hypercalls and register writes made */
    uint64_t foreign;                         /* messages in our slot that were not VMBus's */
    /* Private: */
    const struct vmbus_hv *hv;
    uint8_t *input;
    uint8_t *slot;  /* our 256 bytes of the message page */
    uint8_t *flags; /* our 256 bytes of the event page */
    uint64_t hypercall_page;
    uint64_t saved_sint;
    bool set_id, set_hypercall, set_control, set_messages, set_events, set_sint;
};

/* Runs on the processor whose messages will be polled. VECTOR is used only where SINTs cannot be
 * polled; its handler must be harmless. KD_E_FAULT: a register cannot be accessed; KD_E_BUSY: no
 * SINT is free; KD_E_REFUSED: the hypervisor did not keep what was written. */
int vmbus_synic_open(struct vmbus_synic *synic, const struct vmbus_hv *hv,
                     const struct vmbus_features *features, const struct vmbus_pages *pages,
                     uint8_t vector);
/* Masks our SINT, empties its slot and flags, and undoes what the owner set up. SCONTROL stays as
 * it is: loaders of Windows do not find their way with it cleared. */
void vmbus_synic_close(struct vmbus_synic *synic);

/* Copies the next message of VMBus to MESSAGE; returns its size, -1: none. */
int vmbus_synic_receive(struct vmbus_synic *synic, uint8_t message[VMBUS_MESSAGE_MAX]);
/* Asks the hypervisor to look for messages that wait. Costs an exit. */
void vmbus_synic_scan(struct vmbus_synic *synic);
/* Posts a message; returns enum hv_status or another of its codes. */
uint32_t vmbus_synic_post(struct vmbus_synic *synic, uint32_t connection, const uint8_t *message,
                          size_t size);
void vmbus_synic_signal(struct vmbus_synic *synic, uint32_t connection);

#endif
