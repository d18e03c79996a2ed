/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include <string.h>

/* fw_cfg as QEMU's docs/specs/fw_cfg.txt describes it: a selector, then a byte at a time. */
#define FW_CFG_SELECT    0x510
#define FW_CFG_DATA      0x511
#define FW_CFG_DIRECTORY 0x19
#define FW_CFG_NAME_MAX  56
/* QEMU's own limit of files; a larger count is not a directory. */
#define FW_CFG_FILES_MAX 4096u
/* Larger than every program a test hands over; stops a nonsense size. */
#define FW_CFG_SIZE_MAX (64u << 20)
/* The longest options text a test passes. */
#define OPTIONS_MAX 512u

EFI_HANDLE this_image;
EFI_SYSTEM_TABLE *system_table;
EFI_BOOT_SERVICES *boot_services;

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

void common_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    this_image = image;
    system_table = system;
    boot_services = system->BootServices;
}

void say(const char *text)
{
    for (; *text != 0; text++)
        port_write8(DEBUG_CONSOLE_PORT, (uint8_t)*text);
}

void say_hex(const char *before, uint64_t value, const char *after)
{
    char digits[17];
    unsigned i = sizeof digits - 1;

    digits[i] = 0;
    do {
        digits[--i] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value != 0);
    say(before);
    say(&digits[i]);
    say(after);
}

bool text_equal(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const char *text_after(const char *text, const char *start)
{
    while (*start != 0) {
        if (*text++ != *start++)
            return NULL;
    }
    return text;
}

uint64_t text_number(const char *text, const char **rest)
{
    uint64_t value = 0;

    if (text[0] == '0' && text[1] == 'x')
        text += 2;
    for (;; text++) {
        if (*text >= '0' && *text <= '9')
            value = value * 16 + (uint64_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            value = value * 16 + (uint64_t)(*text - 'a' + 10);
        else
            break;
    }
    if (rest != NULL)
        *rest = text;
    return value;
}

static void fw_cfg_read(void *to, size_t size)
{
    __asm__ volatile("rep insb" : "+D"(to), "+c"(size) : "d"((uint16_t)FW_CFG_DATA) : "memory");
}

static uint32_t big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool fw_cfg_find(const char *name, uint16_t *selector, uint32_t *size)
{
    uint8_t entry[8 + FW_CFG_NAME_MAX] = {0};
    uint32_t count;

    port_write16(FW_CFG_SELECT, 0);
    fw_cfg_read(entry, 4);
    if (memcmp(entry, "QEMU", 4) != 0)
        return false;
    port_write16(FW_CFG_SELECT, FW_CFG_DIRECTORY);
    fw_cfg_read(entry, 4);
    count = big32(entry);
    if (count > FW_CFG_FILES_MAX)
        return false;
    for (; count > 0; count--) {
        fw_cfg_read(entry, sizeof entry);
        entry[sizeof entry - 1] = 0;
        if (text_equal((const char *)&entry[8], name)) {
            *size = big32(entry);
            *selector = (uint16_t)(entry[4] << 8 | entry[5]);
            return *size <= FW_CFG_SIZE_MAX;
        }
    }
    return false;
}

EFI_STATUS fw_cfg_load(const char *name, void **data, UINTN *size)
{
    EFI_STATUS status;
    uint16_t selector;
    uint32_t length;

    if (!fw_cfg_find(name, &selector, &length))
        return EFI_NOT_FOUND;
    status = boot_services->AllocatePool(EfiLoaderData, (UINTN)length + 1, data);
    if (EFI_ERROR(status))
        return status;
    port_write16(FW_CFG_SELECT, selector);
    fw_cfg_read(*data, length);
    ((uint8_t *)*data)[length] = 0;
    *size = length;
    return EFI_SUCCESS;
}

static EFI_STATUS set_options(EFI_HANDLE handle, const char *text)
{
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    EFI_STATUS status;
    CHAR16 *wide;
    uint32_t i;

    status = boot_services->HandleProtocol(handle, &loaded_image_guid, (void **)&loaded);
    if (EFI_ERROR(status))
        return status;
    status = boot_services->AllocatePool(EfiLoaderData, OPTIONS_MAX * sizeof *wide, (void **)&wide);
    if (EFI_ERROR(status))
        return status;
    for (i = 0; i < OPTIONS_MAX - 1 && text[i] != 0; i++)
        wide[i] = (uint8_t)text[i];
    wide[i] = 0;
    loaded->LoadOptions = wide;
    loaded->LoadOptionsSize = (i + 1) * (uint32_t)sizeof *wide;
    return EFI_SUCCESS;
}

EFI_STATUS image_load(void *data, UINTN size, const char *options, EFI_HANDLE *handle)
{
    EFI_STATUS status;

    status = boot_services->LoadImage(0, this_image, NULL, data, size, handle);
    if (!EFI_ERROR(status) && options != NULL)
        status = set_options(*handle, options);
    return status;
}
