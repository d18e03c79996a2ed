/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a number that is nothing else: no sign, no blank, no prefix, not above MAX. */
#ifndef KDWIRE_IO_NUMBER_H
#define KDWIRE_IO_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

static inline bool parse_number(const char *text, uint32_t base, uint32_t max, uint32_t *value)
{
    if (!*text)
        return false;
    uint64_t sum = 0;
    for (; *text; text++) {
        if (*text < '0' || (uint32_t)(*text - '0') >= base)
            return false;
        sum = sum * base + (uint32_t)(*text - '0');
        if (sum > max)
            return false;
    }
    *value = (uint32_t)sum;
    return true;
}

#endif
