/* SPDX-License-Identifier: BSD-2-Clause */
#include <efi.h>

/* Keeps the image above the size below which QEMU's -kernel takes it for damaged. */
static volatile uint8_t padding[2048] = {1};

static void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    const char *text = "windbg.efi: skeleton\r\n";

    padding[1] = 1;
    (void)image;
    (void)system;
    for (; *text != 0; text++)
        outb(0x3e8, (uint8_t)*text);
    return EFI_SUCCESS;
}
