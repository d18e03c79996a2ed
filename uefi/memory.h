/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of the debuggee, at any address whatsoever: nothing here faults. Counts are exact. */
#ifndef KDWIRE_UEFI_MEMORY_H
#define KDWIRE_UEFI_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes done from the start. A request of 1, 2, 4 or 8 aligned bytes is one access of that size,
 * as device registers need it. */
size_t memory_read(uint64_t address, void *to, size_t size);
size_t memory_write(uint64_t address, const void *from, size_t size);
/* Also into pages that are read-only for the kernel (code of runtime drivers, page tables). */
size_t memory_write_forced(uint64_t address, const void *from, size_t size);

struct memory_page {
    bool present, writable, executable;
    uint64_t physical;
};
/* Walks the page tables as the processor does. */
void memory_walk(uint64_t address, struct memory_page *page);

#endif
