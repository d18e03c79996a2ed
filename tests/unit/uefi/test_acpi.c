/* SPDX-License-Identifier: BSD-2-Clause */
/* Serial ports as ACPI names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "acpi.h"
#include "kdwire/error.h"
#include "kdwire/wire.h"

enum { DEVICE = 44, DEVICE_LENGTH = 22 + 12 + 4 + 2, TABLE_SIZE = DEVICE + DEVICE_LENGTH };

static uint8_t table[TABLE_SIZE];

static int make(void **state)
{
    uint8_t *device = table + DEVICE;

    (void)state;
    memset(table, 0, sizeof table);
    memcpy(table, "DBG2", 4);
    kd_put_u32(table + 36, DEVICE);
    kd_put_u32(table + 40, 1);
    kd_put_u16(device + 1, DEVICE_LENGTH);
    device[3] = 1;
    kd_put_u16(device + 12, 0x8000);
    kd_put_u16(device + 14, 0);
    kd_put_u16(device + 18, 22);
    device[22] = 1; /* I/O space */
    device[23] = 8;
    kd_put_u64(device + 26, 0x2F8);
    return 0;
}

static void a_port_in_io_space(void **state)
{
    struct uefi_port port;

    (void)state;
    assert_int_equal(acpi_dbg2_port(table, sizeof table, &port), 0);
    assert_int_equal(port.kind, UEFI_PORT_IO);
    assert_int_equal(port.base, 0x2F8);
}

static void a_port_in_memory_with_wide_registers(void **state)
{
    struct uefi_port port;
    uint8_t *device = table + DEVICE;

    (void)state;
    kd_put_u16(device + 14, 0x12);
    device[22] = 0;
    device[23] = 32;
    device[25] = 3;
    kd_put_u64(device + 26, 0xFE032000u);
    assert_int_equal(acpi_dbg2_port(table, sizeof table, &port), 0);
    assert_int_equal(port.kind, UEFI_PORT_MMIO);
    assert_int_equal(port.stride, 4);
    assert_int_equal(port.width, 4);
    assert_int_equal(port.base, 0xFE032000u);
}

static void what_cannot_be_driven_is_not_found(void **state)
{
    static const struct {
        unsigned at;
        uint16_t value;
    } damage[] = {
        {DEVICE + 12, 0x8003}, /* network */
        {DEVICE + 14, 3},      /* PL011 */
        {DEVICE + 18, 30},     /* address structure outside the device */
        {DEVICE + 18, 0xFFFF},
        {DEVICE + 1, 21}, /* device shorter than its header */
        {DEVICE + 1, 0xFFFF},
        {DEVICE + 26, 0},
        {36, 0xFFFF}, /* device outside the table */
        {40, 0},
        {0, 0},
    };
    struct uefi_port port;

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        (void)make(NULL);
        kd_put_u16(table + damage[i].at, damage[i].value);
        assert_int_equal(acpi_dbg2_port(table, sizeof table, &port), KD_E_NOT_FOUND);
    }
    (void)make(NULL);
    for (size_t size = 0; size < sizeof table; size++)
        assert_int_equal(acpi_dbg2_port(table, size, &port), KD_E_NOT_FOUND);
}

static void the_second_device_may_be_the_one(void **state)
{
    uint8_t two[TABLE_SIZE + DEVICE_LENGTH];
    struct uefi_port port;

    (void)state;
    memcpy(two, table, sizeof table);
    memcpy(two + TABLE_SIZE, table + DEVICE, DEVICE_LENGTH);
    kd_put_u16(two + DEVICE + 12, 0x8003);
    kd_put_u32(two + 40, 2);
    assert_int_equal(acpi_dbg2_port(two, sizeof two, &port), 0);
    assert_int_equal(port.base, 0x2F8);
}

static void the_consoles_port(void **state)
{
    uint64_t base;

    (void)state;
    memcpy(table, "SPCR", 4);
    kd_put_u64(table + 44, 0x3F8);
    assert_int_equal(acpi_spcr_base(table, sizeof table, &base), 0);
    assert_int_equal(base, 0x3F8);
    assert_int_equal(acpi_spcr_base(table, 51, &base), KD_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_port_in_io_space, make),
        cmocka_unit_test_setup(a_port_in_memory_with_wide_registers, make),
        cmocka_unit_test_setup(what_cannot_be_driven_is_not_found, make),
        cmocka_unit_test_setup(the_second_device_may_be_the_one, make),
        cmocka_unit_test_setup(the_consoles_port, make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
