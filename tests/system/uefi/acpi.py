# SPDX-License-Identifier: BSD-2-Clause
"""ACPI tables that name serial ports, for machines that have none: DBG2 (Debug Port Table 2) and SPCR."""

import struct


def acpi_table(signature, body):
    table = bytearray(struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), 0, 0, b"KDWIRE", b"KDWIRE  ", 1, b"TEST", 1) + body)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


def io_address(port):
    """ACPI's generic address structure of an I/O port."""
    return struct.pack("<BBBBQ", 1, 8, 0, 1, port)


def dbg2_table(port):
    """Names a 16550 at an I/O port as the one for debuggers."""
    address, size, name = io_address(port), struct.pack("<I", 8), b".\0"
    offsets = [22, 22 + len(address), 22 + len(address) + len(size)]
    total = offsets[2] + len(name)
    device = struct.pack("<BHBHHHHHHHHH", 0, total, 1, len(name), offsets[2], 0, 0, 0x8000, 0, 0, offsets[0], offsets[1])
    return acpi_table(b"DBG2", struct.pack("<II", 44, 1) + device + address + size + name)


def spcr_table(port):
    """Names a 16550 at an I/O port as the console's."""
    return acpi_table(b"SPCR", struct.pack("<I", 0) + io_address(port) + bytes(28))
