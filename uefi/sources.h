/* SPDX-License-Identifier: BSD-2-Clause */
/* Where settings come from on this machine: a later source overrides an earlier one. */
#ifndef KDWIRE_UEFI_SOURCES_H
#define KDWIRE_UEFI_SOURCES_H

#include <efi.h>

#include "config.h"

/* The variable KdwireConfig, QEMU's fw_cfg files, the load options. */
void sources_read(struct uefi_config *config, struct uefi_config_error *error,
                  const EFI_LOADED_IMAGE_PROTOCOL *image, EFI_SYSTEM_TABLE *system);

#endif
