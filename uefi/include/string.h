/* SPDX-License-Identifier: BSD-2-Clause */
/* The four functions that freestanding C needs; firmware has no C library. Defined in memcpy.c. */
#ifndef KDWIRE_UEFI_STRING_H
#define KDWIRE_UEFI_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
