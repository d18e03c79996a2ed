# SPDX-License-Identifier: BSD-2-Clause
"""option_rom.py IMAGE ROM [VENDOR:DEVICE]: a PCI option ROM that holds a UEFI driver, uncompressed.

Layout: PCI Firmware Specification 3.0, chapter 5, and UEFI 2.10, 14.4.2. The device, in hex, is the one whose
ROM it becomes; without it, QEMU's virtio-rng-pci.
"""

import pathlib
import struct
import sys

UNIT = 512                      # ROM sizes count these
STRUCTURE, IMAGE = 0x1C, 0x38   # offsets of the PCI data structure and of the image
RUNTIME_DRIVER, X64 = 12, 0x8664
EFI_CODE, LAST = 3, 0x80
VIRTIO_RNG = "1af4:1005"


def option_rom(image, vendor, device):
    units = -(-(IMAGE + len(image)) // UNIT)
    rom = struct.pack("<HHIHHH8xHH", 0xAA55, units, 0x0EF1, RUNTIME_DRIVER, X64, 0, IMAGE, STRUCTURE).ljust(STRUCTURE, b"\0")
    rom += struct.pack("<4sHHHHB3BHHBBH", b"PCIR", vendor, device, 0, 0x1C, 3, 0, 0, 0xFF, units, 0, EFI_CODE, LAST, 0)
    return (rom.ljust(IMAGE, b"\0") + image).ljust(units * UNIT, b"\0")


if __name__ == "__main__":
    ids = [int(number, 16) for number in (sys.argv[3] if len(sys.argv) > 3 else VIRTIO_RNG).split(":")]
    pathlib.Path(sys.argv[2]).write_bytes(option_rom(pathlib.Path(sys.argv[1]).read_bytes(), *ids))
