/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the test programs of the UEFI engine share: a way to report that no debugger touches (the
 * debug console port of QEMU), the files a test hands over (QEMU's fw_cfg), starting an image.
 */
#ifndef KDWIRE_UEFI_APPS_COMMON_H
#define KDWIRE_UEFI_APPS_COMMON_H

#include <efi.h>

/* QEMU's isa-debugcon with iobase=0x402, as edk2's own debug output uses it. */
#define DEBUG_CONSOLE_PORT 0x402

extern EFI_HANDLE this_image;
extern EFI_SYSTEM_TABLE *system_table;
extern EFI_BOOT_SERVICES *boot_services;

/* Keeps the three above; the first call of every efi_main. */
void common_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

static inline void port_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_read8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void port_write16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

/* Text and numbers to the debug console. */
void say(const char *text);
void say_hex(const char *before, uint64_t value, const char *after);

/*
 * The fw_cfg file `name` as bytes in pool memory with a NUL behind them (*data, *size without the
 * NUL); the caller frees. EFI_NOT_FOUND where there is no such file or no QEMU.
 */
EFI_STATUS fw_cfg_load(const char *name, void **data, UINTN *size);

/* Loads an image from memory and sets its load options from 8-bit text (NULL: none). */
EFI_STATUS image_load(void *data, UINTN size, const char *options, EFI_HANDLE *handle);

/* a == b, and: does text start with `start`; the rest of the text or NULL. */
bool text_equal(const char *a, const char *b);
const char *text_after(const char *text, const char *start);

/* A number in hex ("0x" optional); *rest behind it. */
uint64_t text_number(const char *text, const char **rest);

#endif
