/* SPDX-License-Identifier: BSD-2-Clause */
/* GUIDs as VMBus carries them: 16 bytes in Windows' order (the first three groups little-endian).
 */
#ifndef KDWIRE_VMBUS_GUID_H
#define KDWIRE_VMBUS_GUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VMBUS_GUID_SIZE = 16,
    VMBUS_GUID_TEXT = 37, /* 8-4-4-4-12 hexadecimal digits and the NUL */
};

struct vmbus_guid {
    uint8_t bytes[VMBUS_GUID_SIZE];
};

/* Reads the 36 characters 8-4-4-4-12, in either case, with or without braces around; nothing may
 * follow within SIZE. */
bool vmbus_guid_parse(struct vmbus_guid *guid, const char *text, size_t size);
/* Writes it in small letters, without braces, with a NUL. */
void vmbus_guid_text(const struct vmbus_guid *guid, char text[VMBUS_GUID_TEXT]);
bool vmbus_guid_equal(const struct vmbus_guid *a, const struct vmbus_guid *b);
bool vmbus_guid_is_zero(const struct vmbus_guid *guid);

/*
 * The channel that windbg.efi looks for, and kdwire's host end offers: our own numbers.
 *   type      1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4
 *   instance  5a3c61d8-0f72-4e95-b1c4-83d97e20f6b1   (fixed: one debugger per VM)
 */
extern const struct vmbus_guid vmbus_kdwire_type, vmbus_kdwire_instance;
/* Those of windbg-uefi's host tool: a67dfbae-7897-42ad-9d10-d96156b36958, its guest looks at the
 * type only; 9c7fe450-67fc-41aa-9732-8d4c3ed93db4. */
extern const struct vmbus_guid vmbus_windbg_uefi_type, vmbus_windbg_uefi_instance;

#endif
