/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_path.h"

#include "kdwire/wire.h"
#include "memory.h"

enum {
    HEADER_SIZE = 4,
    ACPI_SIZE = 12,
    COM_PORTS = 4,
    END = 0x7F,
    END_OF_INSTANCE = 1, /* another instance follows */
};

#define HID_PNP0501 0x050141D0u /* a 16550 */

void device_path_start(struct device_path *path, const void *start, uint32_t size)
{
    path->at = (uint64_t)start;
    path->end = start != NULL ? path->at + size : 0;
    path->size = 0;
}

bool device_path_next(struct device_path *path)
{
    uint32_t length;

    if (path->end - path->at < HEADER_SIZE ||
        memory_read(path->at, path->node, HEADER_SIZE) != HEADER_SIZE)
        return false;
    length = kd_get_u16(path->node + 2);
    if (length < HEADER_SIZE || length > path->end - path->at ||
        (path->node[0] == END && path->node[1] != END_OF_INSTANCE))
        return false;
    path->size = length < DEVICE_NODE_MAX ? length : DEVICE_NODE_MAX;
    if (memory_read(path->at, path->node, path->size) != path->size)
        return false;
    path->at += length;
    return true;
}

bool device_path_is(const struct device_path *path, uint8_t type, uint8_t sub_type, uint32_t size)
{
    return path->node[0] == type && path->node[1] == sub_type && path->size >= size;
}

unsigned device_path_com(const struct device_path *path)
{
    if (!device_path_is(path, DEVICE_ACPI, DEVICE_ACPI_DEVICE, ACPI_SIZE) ||
        kd_get_u32(path->node + 4) != HID_PNP0501 || kd_get_u32(path->node + 8) >= COM_PORTS)
        return 0;
    return kd_get_u32(path->node + 8) + 1;
}
