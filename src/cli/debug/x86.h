/* SPDX-License-Identifier: BSD-2-Clause */
/* Just enough of x86-64 to step over calls: the length of an instruction and what kind it is. */
#ifndef KDWIRE_DEBUG_X86_H
#define KDWIRE_DEBUG_X86_H

#include <stddef.h>
#include <stdint.h>

enum { X86_LENGTH_MAX = 15 };

enum x86_kind {
    X86_OTHER,
    X86_CALL,
    X86_RETURN,
    X86_JUMP,   /* unconditional and conditional, loop */
    X86_REPEAT, /* a string instruction with a rep prefix: many steps, one instruction */
    X86_INT,    /* int3, int n, int1, syscall, sysenter */
};

struct x86_instruction {
    unsigned length; /* 1..15 */
    enum x86_kind kind;
};

/* Decodes one instruction of 64-bit code. Returns 0, or KD_E_TRUNCATED (more bytes needed) or
 * KD_E_FORMAT (no such instruction). */
int x86_decode(struct x86_instruction *instruction, const uint8_t *code, size_t size);

#endif
