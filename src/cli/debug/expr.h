/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and expressions as WinDbg's MASM evaluator reads them: hex unless told otherwise
 * (0n10, 0t17, 0y101, 0x10, 10h, fffff800`00001000), registers (@rip, rip), modules and exports
 * (hello+0x10, hello!main), . (the program counter), 'abc', poi() by() wo() dwo() qwo() hi()
 * low(), ( ), and the operators, strongest first: - + ~ not; * / % mod; + -; << >> >>>;
 * < > <= >= == = !=; & and; ^ xor; | or. Values have no sign; comparisons give 1 or 0.
 */
#ifndef KDWIRE_DEBUG_EXPR_H
#define KDWIRE_DEBUG_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EXPR_MESSAGE_MAX = 200,
    EXPR_NAME_MAX = 128, /* longest symbol taken; Windows exports end below that */
    EXPR_DEPTH_MAX = 32, /* nested parentheses: no user needs more, and the stack stays small */
};

/* What names mean; each returns whether it knows. Any may be NULL. */
struct expr_names {
    bool (*register_value)(void *context, const char *name, uint64_t *value);
    bool (*symbol)(void *context, const char *name, uint64_t *value);
    bool (*read)(void *context, uint64_t address, uint8_t *to, size_t size);
    void *context;
};

/*
 * Evaluates the expression at *TEXT and moves *TEXT behind it. With SPACES blanks may stand
 * between its parts ("? 1 + 2"); without, a blank outside parentheses ends it. Returns false with
 * one line in MESSAGE.
 */
bool expr_eval(const struct expr_names *names, const char **text, bool spaces, uint64_t *value,
               char message[EXPR_MESSAGE_MAX]);

#endif
