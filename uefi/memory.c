/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults are caught, not predicted: the access is made, and the exception entry turns a fault into
 * a short count (entry.S, idt.c). That is free of races, does not depend on the paging mode, and
 * sees protection keys and non-canonical addresses too. The page walk is for showing attributes.
 */
#include "memory.h"

#include <string.h>

#include "cpu.h"

#define CR0_WP   0x10000u
#define CR4_CET  0x800000u /* WP must not be cleared while it is set */
#define CR4_LA57 0x1000u

static bool is_register_access(uint64_t address, size_t size)
{
    return (size == 1 || size == 2 || size == 4 || size == 8) && (address & (size - 1)) == 0;
}

/* Keeps [address, address + size) from wrapping around. */
static size_t clamp(uint64_t address, size_t size)
{
    uint64_t room = 0 - address;

    return address != 0 && size > room ? (size_t)room : size;
}

size_t memory_read(uint64_t address, void *to, size_t size)
{
    if (is_register_access(address, size)) {
        uint64_t value;

        if (safe_load(address, size, &value) != 0)
            return 0;
        memcpy(to, &value, size);
        return size;
    }
    size = clamp(address, size);
    return size - safe_copy(to, (const void *)address, size);
}

size_t memory_write(uint64_t address, const void *from, size_t size)
{
    if (is_register_access(address, size)) {
        uint64_t value = 0;

        memcpy(&value, from, size);
        return safe_store(address, size, value) == 0 ? size : 0;
    }
    size = clamp(address, size);
    return size - safe_copy((void *)address, from, size);
}

size_t memory_write_forced(uint64_t address, const void *from, size_t size)
{
    uint64_t flags = cpu_interrupts_off();
    uint64_t cr0 = cpu_cr0();
    bool lift = (cr0 & CR0_WP) != 0 && (cpu_cr4() & CR4_CET) == 0;
    size_t done;

    if (lift)
        cpu_set_cr0(cr0 & ~(uint64_t)CR0_WP);
    done = memory_write(address, from, size);
    if (lift)
        cpu_set_cr0(cr0);
    cpu_interrupts_restore(flags);
    return done;
}

static bool is_canonical(uint64_t address, unsigned bits)
{
    uint64_t top = address >> (bits - 1);

    return top == 0 || top == UINT64_MAX >> (bits - 1);
}

void memory_walk(uint64_t address, struct memory_page *page)
{
    unsigned levels = (cpu_cr4() & CR4_LA57) != 0 ? 5 : 4;
    uint64_t table = cpu_cr3() & 0x000FFFFFFFFFF000u;

    memset(page, 0, sizeof *page);
    if (!is_canonical(address, 12 + 9 * levels))
        return;
    page->writable = true;
    page->executable = true;
    for (unsigned level = levels; level >= 1; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t entry;

        /* Firmware maps memory one to one, so a table's physical address can be read as it is. */
        if (memory_read(table + 8 * ((address >> shift) & 511), &entry, 8) != 8 || (entry & 1) == 0)
            return;
        if ((entry & 2) == 0)
            page->writable = false;
        if (entry >> 63 != 0)
            page->executable = false;
        table = entry & 0x000FFFFFFFFFF000u;
        if (level == 1 || (level <= 3 && (entry & 0x80) != 0)) {
            uint64_t offset = ((uint64_t)1 << shift) - 1;

            page->physical = (table & ~offset) | (address & offset);
            page->present = true;
            return;
        }
    }
}
