/* SPDX-License-Identifier: BSD-2-Clause */
/* Device paths, whole ones and spoilt ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "device_path.h"
#include "memory.h"

#define ROOT      2, 1, 12, 0, 0xD0, 0x41, 0x03, 0x0A, 0, 0, 0, 0
#define LPC       1, 1, 6, 0, 0, 0x1F
#define UART(uid) 2, 1, 12, 0, 0xD0, 0x41, 0x01, 0x05, uid, 0, 0, 0
#define NEXT      0x7F, 1, 4, 0
#define END       0x7F, 0xFF, 4, 0

/* What lies behind READABLE is not there. */
static const uint8_t *readable;

size_t memory_read(uint64_t address, void *to, size_t size)
{
    const uint8_t *from = (const uint8_t *)(uintptr_t)address;
    size_t there = from < readable ? (size_t)(readable - from) : 0;
    size_t n = size < there ? size : there;

    memcpy(to, from, n);
    return n;
}

static unsigned com_ports(const uint8_t *path, uint32_t size)
{
    struct device_path walk;
    unsigned ports = 0;

    readable = path + size;
    device_path_start(&walk, path, size);
    while (device_path_next(&walk))
        ports |= 1u << device_path_com(&walk);
    return ports & ~1u;
}

static void every_instance_is_walked(void **state)
{
    static const uint8_t both[] = {ROOT, LPC, UART(0), NEXT, ROOT, LPC, UART(1), END};
    static const uint8_t second[] = {ROOT, LPC, UART(1), END, UART(0)};

    (void)state;
    assert_int_equal(com_ports(both, sizeof both), 1 << 1 | 1 << 2);
    assert_int_equal(com_ports(second, sizeof second), 1 << 2); /* nothing counts behind the end */
}

static void no_port_is_no_number(void **state)
{
    static const uint8_t far[] = {ROOT, UART(4), END};
    static const uint8_t root[] = {ROOT, END};

    (void)state;
    assert_int_equal(com_ports(far, sizeof far), 0);
    assert_int_equal(com_ports(root, sizeof root), 0);
}

static void a_spoilt_path_ends(void **state)
{
    static const uint8_t too_long[] = {LPC, 2, 1, 0xFF, 0xFF, 0xD0, 0x41, 0x01, 0x05, 0, 0, 0, 0};
    static const uint8_t too_short[] = {2, 1, 3, 0, UART(0), END};
    static const uint8_t cut[] = {ROOT, 2, 1, 12};
    struct device_path walk;

    (void)state;
    assert_int_equal(com_ports(too_long, sizeof too_long), 0);
    assert_int_equal(com_ports(too_short, sizeof too_short), 0);
    assert_int_equal(com_ports(cut, sizeof cut), 0);
    device_path_start(&walk, NULL, DEVICE_PATH_MAX);
    assert_false(device_path_next(&walk));
}

static void memory_that_is_not_there_ends_the_walk(void **state)
{
    static const uint8_t path[] = {ROOT, LPC, UART(0), END};
    struct device_path walk;

    (void)state;
    readable = path + 12 + 6 + 4;
    device_path_start(&walk, path, DEVICE_PATH_MAX);
    assert_true(device_path_next(&walk));
    assert_true(device_path_is(&walk, DEVICE_ACPI, DEVICE_ACPI_DEVICE, 12));
    assert_true(device_path_next(&walk));
    assert_true(device_path_is(&walk, DEVICE_HARDWARE, DEVICE_HARDWARE_PCI, 6));
    assert_false(device_path_is(&walk, DEVICE_HARDWARE, DEVICE_HARDWARE_PCI, 7));
    assert_false(device_path_next(&walk));
}

static void a_long_node_is_cut(void **state)
{
    static uint8_t path[2000] = {4, 4, (2000 - 4) & 0xFF, (2000 - 4) >> 8};
    struct device_path walk;

    (void)state;
    memcpy(path + 2000 - 4, (const uint8_t[]){END}, 4);
    readable = path + sizeof path;
    device_path_start(&walk, path, DEVICE_PATH_MAX);
    assert_true(device_path_next(&walk));
    assert_int_equal(walk.size, DEVICE_NODE_MAX);
    assert_false(device_path_next(&walk));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instance_is_walked),
        cmocka_unit_test(no_port_is_no_number),
        cmocka_unit_test(a_spoilt_path_ends),
        cmocka_unit_test(memory_that_is_not_there_ends_the_walk),
        cmocka_unit_test(a_long_node_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
