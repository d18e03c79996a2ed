/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk along a UEFI device path (UEFI 2.10, 10.3). Faults are caught and lengths distrusted, for
 * what is debugged may have spoilt its paths; callable inside an exception.
 *
 *     struct device_path walk;
 *     device_path_start(&walk, path, DEVICE_PATH_MAX);
 *     while (device_path_next(&walk))
 *         look at walk.node, walk.size
 */
#ifndef KDWIRE_UEFI_DEVICE_PATH_H
#define KDWIRE_UEFI_DEVICE_PATH_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DEVICE_PATH_MAX = 4096, /* bytes of a path; real ones have some dozens */
    DEVICE_NODE_MAX = 516,  /* bytes kept of a node: a header and 255 characters of a file's name */

    DEVICE_HARDWARE = 1,
    DEVICE_HARDWARE_PCI = 1,
    DEVICE_ACPI = 2,
    DEVICE_ACPI_DEVICE = 1,
    DEVICE_MEDIA = 4,
    DEVICE_MEDIA_VENDOR = 3,
    DEVICE_MEDIA_FILE_PATH = 4,
    DEVICE_MEDIA_FV_FILE = 6,
};

struct device_path {
    uint64_t at, end;
    uint8_t node[DEVICE_NODE_MAX]; /* type, sub-type, length (16 bits), data */
    uint32_t size;                 /* of the node as kept, header included */
};

/* PATH may be NULL. SIZE: bytes there can be. */
void device_path_start(struct device_path *path, const void *start, uint32_t size);
/* The next node, of whichever instance of the path; false at its end. */
bool device_path_next(struct device_path *path);
/* Whether the node is of that kind and has at least SIZE bytes with its header. */
bool device_path_is(const struct device_path *path, uint8_t type, uint8_t sub_type, uint32_t size);

/* 1..4 if the node is that COM port, as ACPI numbers them; else 0. */
unsigned device_path_com(const struct device_path *path);

#endif
