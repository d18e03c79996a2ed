/* SPDX-License-Identifier: BSD-2-Clause */
/* The protocols for applications (include/kdwire/efi_debug.h), on our image's handle. */
#ifndef KDWIRE_UEFI_PROTOCOL_H
#define KDWIRE_UEFI_PROTOCOL_H

#include <efi.h>

EFI_STATUS protocol_install(EFI_HANDLE image, EFI_BOOT_SERVICES *boot);
void protocol_uninstall(EFI_HANDLE image, EFI_BOOT_SERVICES *boot);

#endif
