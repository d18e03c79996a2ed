/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdboot.efi: starts the debug engine and then boots what the machine would have booted.
 *
 * Put it where the firmware looks (\EFI\BOOT\BOOTX64.EFI, or as a boot entry), with windbg.efi and,
 * if the defaults do not fit, kdboot.conf in \EFI\kdwire of the same volume; see kdboot_conf.h.
 * Without an engine the machine boots all the same, after a message.
 */
#include <efi.h>

#include <string.h>

#include "kdboot_conf.h"

#define CONF_PATH L"\\EFI\\kdwire\\kdboot.conf"
/* A message that explains why there is no debugger should be readable before the OS covers it. */
#define READING_PAUSE_US 3000000u
/* Bytes of a volume's device path; real ones have some dozens. */
#define DEVICE_PATH_MAX 4096u

/* Device path nodes (UEFI 2.10, 10.3). */
#define NODE_HEADER     4u
#define NODE_MEDIA      0x04u
#define NODE_MEDIA_FILE 0x04u
#define NODE_END        0x7Fu
#define NODE_END_ENTIRE 0xFFu

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
static const EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

static EFI_HANDLE self;
static EFI_SYSTEM_TABLE *st;
static EFI_BOOT_SERVICES *bs;

/* Large and used once: not for the stack. */
static struct kdboot_conf conf;
static char conf_text[KDBOOT_CONF_MAX];

/* ---- messages ------------------------------------------------------------------------------- */

static void print(const char *text)
{
    CHAR16 wide[2] = {0, 0};

    if (st->ConOut == NULL)
        return;
    for (; *text != 0; text++) {
        if (*text == '\n')
            st->ConOut->OutputString(st->ConOut, L"\r\n");
        else {
            wide[0] = (uint8_t)*text;
            st->ConOut->OutputString(st->ConOut, wide);
        }
    }
}

static void print_number(unsigned value)
{
    char digits[11];
    unsigned at = sizeof digits - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    print(&digits[at]);
}

static const char *reason(EFI_STATUS status)
{
    switch (status) {
    case EFI_NOT_FOUND:
        return "there is no such file";
    case EFI_ACCESS_DENIED:
    case EFI_ERROR_BIT | 26: /* EFI_SECURITY_VIOLATION */
        return "Secure Boot does not allow it: sign the file with a key that the firmware knows, "
               "or "
               "turn Secure Boot off";
    case EFI_LOAD_ERROR:
    case EFI_UNSUPPORTED:
        return "it is not a UEFI program for this machine";
    case EFI_OUT_OF_RESOURCES:
        return "there is not enough memory";
    default:
        return "the firmware refused it";
    }
}

static void complain(const char *path, EFI_STATUS status)
{
    print("kdboot: ");
    print(path);
    print(": ");
    print(reason(status));
    print("\n");
}

/* ---- device paths --------------------------------------------------------------------------- */

static UINTN node_length(const uint8_t *node)
{
    return (UINTN)node[2] | (UINTN)node[3] << 8;
}

/* Bytes of a device path before its end node; 0 if it does not end where it should. */
static UINTN path_length(const uint8_t *path)
{
    UINTN at = 0;

    while (path[at] != NODE_END) {
        UINTN length = node_length(path + at);

        if (length < NODE_HEADER || length > DEVICE_PATH_MAX - at - NODE_HEADER)
            return 0;
        at += length;
    }
    return at;
}

/* VOLUME's device path, a file node for PATH, an end node; pool memory of the caller. */
static EFI_STATUS file_device_path(EFI_HANDLE volume, const char *path,
                                   EFI_DEVICE_PATH_PROTOCOL **result)
{
    size_t text = 0, i;
    UINTN prefix, node;
    EFI_STATUS status;
    uint8_t *base, *to;

    status = bs->HandleProtocol(volume, &device_path_guid, (void **)&base);
    if (EFI_ERROR(status))
        return status;
    while (path[text] != 0)
        text++;
    prefix = path_length(base);
    node = NODE_HEADER + (text + 1) * sizeof(CHAR16);
    status = bs->AllocatePool(EfiLoaderData, prefix + node + NODE_HEADER, (void **)&to);
    if (EFI_ERROR(status))
        return status;
    *result = (EFI_DEVICE_PATH_PROTOCOL *)(void *)to;
    memcpy(to, base, prefix);
    to += prefix;
    to[0] = NODE_MEDIA;
    to[1] = NODE_MEDIA_FILE;
    to[2] = (uint8_t)node;
    to[3] = (uint8_t)(node >> 8);
    for (i = 0; i <= text; i++) {
        to[NODE_HEADER + 2 * i] = (uint8_t)path[i];
        to[NODE_HEADER + 2 * i + 1] = 0;
    }
    to += node;
    to[0] = NODE_END;
    to[1] = NODE_END_ENTIRE;
    to[2] = NODE_HEADER;
    to[3] = 0;
    return EFI_SUCCESS;
}

/* ---- configuration -------------------------------------------------------------------------- */

static EFI_STATUS read_file(EFI_HANDLE volume, const CHAR16 *path, void *to, UINTN *size)
{
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *system;
    EFI_FILE_PROTOCOL *root = NULL, *file = NULL;
    EFI_STATUS status;

    status = bs->HandleProtocol(volume, &file_system_guid, (void **)&system);
    if (EFI_ERROR(status))
        return status;
    status = system->OpenVolume(system, &root);
    if (EFI_ERROR(status))
        return status;
    status = root->Open(root, &file, path, EFI_FILE_MODE_READ, 0);
    if (!EFI_ERROR(status)) {
        status = file->Read(file, size, to);
        file->Close(file);
    }
    root->Close(root);
    return status;
}

static void read_conf(EFI_HANDLE volume)
{
    UINTN size = sizeof conf_text;
    EFI_STATUS status;

    kdboot_conf_default(&conf);
    status = read_file(volume, CONF_PATH, conf_text, &size);
    if (EFI_ERROR(status)) /* no file is no mistake */
        return;
    if (size == sizeof conf_text)
        print("kdboot: kdboot.conf is longer than 16 KiB; the rest of it is ignored\n");
    kdboot_conf_parse(&conf, conf_text, size);
    if (conf.bad_lines == 0)
        return;
    print("kdboot: kdboot.conf, line ");
    print_number(conf.first_bad_line);
    print(": ");
    print(conf.why);
    print("; the line is ignored");
    if (conf.bad_lines > 1) {
        print(", and so are ");
        print_number(conf.bad_lines - 1);
        print(" more");
    }
    print("\n");
    bs->Stall(READING_PAUSE_US);
}

/* ---- starting ------------------------------------------------------------------------------- */

/* Gives the image its options as UCS-2 text; the memory lives as long as the image may. */
static EFI_STATUS give_options(EFI_HANDLE handle, const char *text)
{
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    EFI_STATUS status;
    CHAR16 *wide;
    uint32_t i;

    if (text[0] == 0)
        return EFI_SUCCESS;
    status = bs->HandleProtocol(handle, &loaded_image_guid, (void **)&loaded);
    if (EFI_ERROR(status))
        return status;
    status = bs->AllocatePool(EfiLoaderData, KDBOOT_OPTIONS_MAX * sizeof *wide, (void **)&wide);
    if (EFI_ERROR(status))
        return status;
    for (i = 0; i < KDBOOT_OPTIONS_MAX - 1 && text[i] != 0; i++)
        wide[i] = (uint8_t)text[i];
    wide[i] = 0;
    loaded->LoadOptions = wide;
    loaded->LoadOptionsSize = (i + 1) * (uint32_t)sizeof *wide;
    return EFI_SUCCESS;
}

static EFI_STATUS load(EFI_HANDLE volume, const struct kdboot_file *file, EFI_HANDLE *handle)
{
    EFI_DEVICE_PATH_PROTOCOL *path;
    EFI_STATUS status;

    status = file_device_path(volume, file->path, &path);
    if (EFI_ERROR(status))
        return status;
    status = bs->LoadImage(0, self, path, NULL, 0, handle);
    bs->FreePool(path);
    if (EFI_ERROR(status))
        return status;
    status = give_options(*handle, file->options);
    if (EFI_ERROR(status))
        bs->UnloadImage(*handle);
    return status;
}

static void start_engine(EFI_HANDLE volume)
{
    EFI_HANDLE handle;
    EFI_STATUS status;

    status = load(volume, &conf.debugger, &handle);
    if (!EFI_ERROR(status))
        status = bs->StartImage(handle, NULL, NULL);
    if (!EFI_ERROR(status))
        return;
    complain(conf.debugger.path, status);
    print("kdboot: put windbg.efi there, or name it with debugger= in \\EFI\\kdwire\\kdboot.conf;\n"
          "kdboot: going on without a debugger\n");
    bs->Stall(READING_PAUSE_US);
}

/* Boots the first file of the list that can be loaded; returns only if none could, or it ended. */
static EFI_STATUS boot(EFI_HANDLE volume)
{
    EFI_STATUS status = EFI_NOT_FOUND;
    EFI_HANDLE handle;
    size_t i;

    for (i = 0; i < conf.next_count; i++) {
        status = load(volume, &conf.next[i], &handle);
        if (EFI_ERROR(status)) {
            complain(conf.next[i].path, status);
            continue;
        }
        print("kdboot: booting ");
        print(conf.next[i].path);
        print("\n");
        return bs->StartImage(handle, NULL, NULL);
    }
    print("kdboot: nothing to boot; name a file with next= in \\EFI\\kdwire\\kdboot.conf\n");
    bs->Stall(READING_PAUSE_US);
    return status;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    EFI_STATUS status;

    self = image;
    st = system;
    bs = system->BootServices;
    status = bs->HandleProtocol(image, &loaded_image_guid, (void **)&loaded);
    if (EFI_ERROR(status))
        return status;
    read_conf(loaded->DeviceHandle);
    start_engine(loaded->DeviceHandle);
    return boot(loaded->DeviceHandle);
}
