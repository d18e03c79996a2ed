/* SPDX-License-Identifier: BSD-2-Clause */
/* What kvm.c and its guest agree on. */
#ifndef KDWIRE_TESTS_KVM_GUEST_H
#define KDWIRE_TESTS_KVM_GUEST_H

enum {
    PORT_RESULT = 0x80,
    PORT_HYPERCALL = 0xE8, /* the hypercall page's first instruction */
    GUEST_CS = 8,
    END = 0x7A, /* the last byte the guest gets; others are below 0x40 */

    RESULT_DONE = 1,
    RESULT_DONE_WITH_INTERRUPTS,
    RESULT_NO_FAULTS,
    RESULT_NO_START,
    RESULT_NOT_OPEN,
    RESULT_NOT_LEFT,
};

#endif
