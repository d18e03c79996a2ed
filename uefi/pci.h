/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI configuration space by the classic pair of ports: every PC has it, for the first 256 bytes.
 */
#ifndef KDWIRE_UEFI_PCI_H
#define KDWIRE_UEFI_PCI_H

#include <stdint.h>

#include "cpu.h"

enum {
    PCI_ADDRESS = 0xCF8,
    PCI_DATA = 0xCFC,
    PCI_SPACE = 256,
};

/* Makes PCI_DATA the four bytes around OFFSET. */
static inline void pci_select(uint32_t bus, uint32_t device, uint32_t function, uint32_t offset)
{
    cpu_out32(PCI_ADDRESS,
              0x80000000u | bus << 16 | device << 11 | function << 8 | (offset & (PCI_SPACE - 4)));
}

static inline uint32_t pci_read32(uint32_t bus, uint32_t device, uint32_t function, uint32_t offset)
{
    pci_select(bus, device, function, offset);
    return cpu_in32(PCI_DATA);
}

#endif
