/* SPDX-License-Identifier: BSD-2-Clause */
/* The compiler emits calls to these even in freestanding code. `rep` keeps it from turning the
 * bodies into calls of themselves. */
#include <stdint.h>
#include <string.h>

void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t size)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *t;
    const unsigned char *f;

    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);
    t = (unsigned char *)to + size - 1;
    f = (const unsigned char *)from + size - 1;
    if (size != 0)
        __asm__ volatile("std; rep movsb; cld" : "+D"(t), "+S"(f), "+c"(size) : : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const volatile unsigned char *x = a;
    const volatile unsigned char *y = b;

    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}
