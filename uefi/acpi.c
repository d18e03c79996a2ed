/* SPDX-License-Identifier: BSD-2-Clause */
/* Layouts: Microsoft's public "Debug Port Table 2" and "Serial Port Console Redirection Table". */
#include "acpi.h"

#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"

enum {
    HEADER_SIZE = 36,
    DBG2_SIZE = 44,
    DBG2_FIRST = 36, /* offset of the first device information */
    DBG2_COUNT = 40,
    DEVICE_SIZE = 22,
    ADDRESS_SIZE = 12, /* generic address structure */
    SPCR_ADDRESS = 40,

    PORT_SERIAL = 0x8000,
    SERIAL_16550 = 0x0000,
    SERIAL_16550_SUBSET = 0x0001,
    SERIAL_16550_GAS = 0x0012, /* stride and access size as the address structure says */

    SPACE_MEMORY = 0,
    SPACE_IO = 1,
    DEVICES_MAX = 32, /* a table says how many there are; none has more than a few */
};

static int port_of_address(const uint8_t *gas, uint16_t subtype, struct uefi_port *port)
{
    uint64_t base = kd_get_u64(gas + 4);

    memset(port, 0, sizeof *port);
    port->stride = 1;
    port->width = 1;
    port->base = base;
    if (base == 0)
        return KD_E_NOT_FOUND;
    if (gas[0] == SPACE_IO && base <= 0xFFF8) {
        port->kind = UEFI_PORT_IO;
        return 0;
    }
    if (gas[0] != SPACE_MEMORY)
        return KD_E_NOT_FOUND;
    port->kind = UEFI_PORT_MMIO;
    if (subtype == SERIAL_16550_GAS || gas[1] == 32) {
        port->stride = gas[1] == 32 ? 4 : 1; /* register bit width */
        port->width = gas[3] == 3 ? 4 : 1;   /* access size: 3 = double word */
        if (port->width > port->stride)
            port->width = 1;
    }
    return 0;
}

static int port_of_device(const uint8_t *device, size_t size, struct uefi_port *port)
{
    uint16_t subtype = kd_get_u16(device + 14);
    uint16_t at = kd_get_u16(device + 18);

    if (device[3] == 0 || kd_get_u16(device + 12) != PORT_SERIAL)
        return KD_E_NOT_FOUND;
    if (subtype != SERIAL_16550 && subtype != SERIAL_16550_SUBSET && subtype != SERIAL_16550_GAS)
        return KD_E_NOT_FOUND;
    if (at > size || size - at < ADDRESS_SIZE)
        return KD_E_NOT_FOUND;
    return port_of_address(device + at, subtype, port);
}

int acpi_dbg2_port(const uint8_t *table, size_t size, struct uefi_port *port)
{
    uint32_t at, count;

    if (size < DBG2_SIZE || memcmp(table, "DBG2", 4) != 0)
        return KD_E_NOT_FOUND;
    at = kd_get_u32(table + DBG2_FIRST);
    count = kd_get_u32(table + DBG2_COUNT);
    for (uint32_t i = 0; i < count && i < DEVICES_MAX; i++) {
        uint16_t length;

        if (at > size || size - at < DEVICE_SIZE)
            break;
        length = kd_get_u16(table + at + 1);
        if (length < DEVICE_SIZE || length > size - at)
            break;
        if (port_of_device(table + at, length, port) == 0)
            return 0;
        at += length;
    }
    return KD_E_NOT_FOUND;
}

int acpi_spcr_base(const uint8_t *table, size_t size, uint64_t *base)
{
    if (size < SPCR_ADDRESS + ADDRESS_SIZE || memcmp(table, "SPCR", 4) != 0)
        return KD_E_NOT_FOUND;
    *base = kd_get_u64(table + SPCR_ADDRESS + 4);
    return *base != 0 ? 0 : KD_E_NOT_FOUND;
}
