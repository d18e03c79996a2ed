/* SPDX-License-Identifier: BSD-2-Clause */
/* Load options, variables and fw_cfg files, as the UEFI engine reads its settings from them; and
 * kdboot.conf. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../uefi/apps/kdboot_conf.h"
#include "../uefi/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_kdboot_conf(const uint8_t *data, size_t size)
{
    struct kdboot_conf conf;

    kdboot_conf_default(&conf);
    kdboot_conf_parse(&conf, (const char *)data, size);
    if (conf.next_count == 0 || conf.next_count > KDBOOT_NEXT_MAX ||
        (conf.bad_lines != 0) != (conf.why != NULL) || conf.debugger.path[0] != '\\')
        __builtin_trap();
    for (size_t i = 0; i < conf.next_count; i++) {
        if (conf.next[i].path[0] != '\\' || strlen(conf.next[i].path) >= KDBOOT_PATH_MAX ||
            strlen(conf.next[i].options) >= KDBOOT_OPTIONS_MAX)
            __builtin_trap();
    }
}

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
    read_kdboot_conf(data, size);
    return 0;
}
