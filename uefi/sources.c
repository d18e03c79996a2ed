/* SPDX-License-Identifier: BSD-2-Clause */
#include "sources.h"

#include <string.h>

#include "cpu.h"

enum {
    FW_CFG_SELECTOR = 0x510,
    FW_CFG_DATA = 0x511,
    FW_CFG_SIGNATURE = 0,
    FW_CFG_DIRECTORY = 0x19,
    FW_CFG_NAME_SIZE = 56,
    FW_CFG_FILES_MAX = 1000, /* QEMU has a few dozen; a wrong count must not hang start-up */
};

/* Of the variable: setvar KdwireConfig -guid ... in the shell. */
#define KDWIRE_VARIABLE_GUID                                                                       \
    {                                                                                              \
        0x9f3c1d84, 0x27b6, 0x4a5e,                                                                \
        {                                                                                          \
            0x8e, 0x50, 0x61, 0xb7, 0x0d, 0x94, 0xc2, 0x3f                                         \
        }                                                                                          \
    }

static const EFI_GUID variable_guid = KDWIRE_VARIABLE_GUID;
static const char *const fw_cfg_names[] = {"opt/kd/config", "opt/kdwire/config"};

static uint8_t raw[2 * UEFI_CONFIG_TEXT_MAX]; /* UTF-16 takes two bytes a character */
static char text[UEFI_CONFIG_TEXT_MAX];

static void apply(struct uefi_config *config, struct uefi_config_error *error, size_t size)
{
    size_t length = uefi_config_text(text, sizeof text, raw, size);

    uefi_config_parse(config, text, length, error);
}

static size_t read_variable(EFI_SYSTEM_TABLE *system)
{
    UINTN size = sizeof raw;

    if (EFI_ERROR(system->RuntimeServices->GetVariable(L"KdwireConfig", &variable_guid, NULL, &size,
                                                       raw)))
        return 0;
    return size;
}

/* ---- fw_cfg: bytes from one port, big-endian ---- */

static void fw_cfg_read(uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = cpu_in8(FW_CFG_DATA);
}

static uint32_t fw_cfg_u32(void)
{
    uint8_t b[4];

    fw_cfg_read(b, 4);
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool in_virtual_machine(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c >> 31 != 0;
}

static size_t read_fw_cfg(const char *name)
{
    uint8_t file[8 + FW_CFG_NAME_SIZE];
    uint32_t count;
    size_t length = 0;

    while (name[length] != 0)
        length++;
    cpu_out16(FW_CFG_SELECTOR, FW_CFG_SIGNATURE);
    fw_cfg_read(file, 4);
    if (memcmp(file, "QEMU", 4) != 0)
        return 0;
    cpu_out16(FW_CFG_SELECTOR, FW_CFG_DIRECTORY);
    count = fw_cfg_u32();
    for (uint32_t i = 0; i < count && i < FW_CFG_FILES_MAX; i++) {
        uint32_t size;

        fw_cfg_read(file, sizeof file);
        if (memcmp(file + 8, name, length + 1) != 0)
            continue;
        size = (uint32_t)file[0] << 24 | (uint32_t)file[1] << 16 | (uint32_t)file[2] << 8 | file[3];
        if (size > sizeof raw)
            size = sizeof raw;
        cpu_out16(FW_CFG_SELECTOR, (uint16_t)(file[4] << 8 | file[5]));
        fw_cfg_read(raw, size);
        return size;
    }
    return 0;
}

void sources_read(struct uefi_config *config, struct uefi_config_error *error,
                  const EFI_LOADED_IMAGE_PROTOCOL *image, EFI_SYSTEM_TABLE *system)
{
    uefi_config_defaults(config);
    memset(error, 0, sizeof *error);
    apply(config, error, read_variable(system));
    if (in_virtual_machine()) {
        for (unsigned i = 0; i < sizeof fw_cfg_names / sizeof fw_cfg_names[0]; i++)
            apply(config, error, read_fw_cfg(fw_cfg_names[i]));
    }
    if (image->LoadOptions != NULL) {
        size_t size = image->LoadOptionsSize;

        if (size > sizeof raw)
            size = sizeof raw;
        memcpy(raw, image->LoadOptions, size);
        apply(config, error, size);
    }
}
