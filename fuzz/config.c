/* SPDX-License-Identifier: BSD-2-Clause */
/* Load options, variables and fw_cfg files, as the UEFI engine reads its settings from them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../uefi/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[UEFI_CONFIG_TEXT_MAX];
    struct uefi_config config;
    struct uefi_config_error error;
    size_t length = uefi_config_text(text, sizeof text, data, size);

    uefi_config_defaults(&config);
    memset(&error, 0, sizeof error);
    uefi_config_parse(&config, text, length, &error);
    if (strlen(error.first) >= UEFI_CONFIG_WORD_MAX || (config.baud != 0 && config.baud < 50) ||
        config.baud > 115200 || config.port.com > 4)
        __builtin_trap();
    return 0;
}
