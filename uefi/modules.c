/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   state   event                                  next
 *   FREE    image in the table, or modules_add     NEW, linked
 *   NEW     modules_reported                       KNOWN
 *   NEW     image gone                             FREE, unlinked (nobody was told)
 *   KNOWN   image gone, or modules_remove          GONE, unlinked
 *   GONE    modules_reported                       FREE
 */
#include "modules.h"

#include <string.h>

#include "cpu.h"
#include "device_path.h"
#include "kdwire/error.h"
#include "kdwire/protocol.h"
#include "memory.h"

enum {
    IMAGES_MAX = 4096, /* entries looked at in a table whose size may be spoilt */
    HEADER_SIZE = 4,   /* of a device path node */
    GUID_SIZE = 16,
};

static struct module modules[MODULES_MAX];
static _Alignas(16) uint8_t head[16];
static uint64_t next_serial;
static EFI_SYSTEM_TABLE *system;
static EFI_DEBUG_IMAGE_INFO_TABLE_HEADER *table;
static bool notices; /* each image from now on has a notice of its own */

static const EFI_GUID table_guid = EFI_DEBUG_IMAGE_INFO_TABLE_GUID;
static const EFI_GUID volume_guid = EFI_FIRMWARE_VOLUME2_PROTOCOL_GUID;

/* ---- The list ---- */

static uint64_t address_of(const void *p)
{
    return (uint64_t)p;
}

/* The list lies where the debugger can write: a link it has spoilt must cost a debugger's view of
 * the list, not the machine. */
static void put_link(uint64_t entry, size_t at, uint64_t to)
{
    (void)memory_write(entry + at, &to, sizeof to);
}

static void link_module(struct module *module)
{
    uint64_t last = KD_GET(head, LoaderEntry64, Blink);

    KD_PUT(module->entry, LoaderEntry64, Flink, address_of(head));
    KD_PUT(module->entry, LoaderEntry64, Blink, last);
    put_link(last, KD_AT(LoaderEntry64, Flink), address_of(module->entry));
    KD_PUT(head, LoaderEntry64, Blink, address_of(module->entry));
}

static void unlink_module(struct module *module)
{
    uint64_t next = KD_GET(module->entry, LoaderEntry64, Flink);
    uint64_t previous = KD_GET(module->entry, LoaderEntry64, Blink);

    put_link(next, KD_AT(LoaderEntry64, Blink), previous);
    put_link(previous, KD_AT(LoaderEntry64, Flink), next);
}

static void put_name(struct module *module, const char *name)
{
    size_t n = 0;

    while (n < PE_NAME_MAX - 1 && name[n] != 0)
        n++;
    memset(module->name, 0, sizeof module->name);
    memcpy(module->name, name, n);
    memcpy(module->name + n, ".efi", 4);
    n += 4;
    for (size_t i = 0; i < MODULE_NAME_MAX; i++)
        module->wide_name[i] = (uint8_t)module->name[i];
    KD_PUT(module->entry, LoaderEntry64, FullDllNameLength, 2 * n);
    KD_PUT(module->entry, LoaderEntry64, FullDllNameMaximum, 2 * n + 2);
    KD_PUT(module->entry, LoaderEntry64, FullDllNameBuffer, address_of(module->wide_name));
    KD_PUT(module->entry, LoaderEntry64, BaseDllNameLength, 2 * n);
    KD_PUT(module->entry, LoaderEntry64, BaseDllNameMaximum, 2 * n + 2);
    KD_PUT(module->entry, LoaderEntry64, BaseDllNameBuffer, address_of(module->wide_name));
}

/* ---- Names ---- */

/* The first node of IMAGE's file path that is a medium's of SUB_TYPE, with SIZE bytes of data. The
 * image's own structure lies where a program can spoil it. */
static bool find_media_node(const EFI_LOADED_IMAGE_PROTOCOL *image, uint8_t sub_type, uint32_t size,
                            struct device_path *walk)
{
    uint64_t path;

    if (image == NULL || memory_read(address_of(&image->FilePath), &path, sizeof path) == 0)
        return false;
    device_path_start(walk, (const void *)path, DEVICE_PATH_MAX);
    while (device_path_next(walk)) {
        if (device_path_is(walk, DEVICE_MEDIA, sub_type, HEADER_SIZE + size))
            return true;
    }
    return false;
}

static void put_hex(char *to, uint64_t value, unsigned digits)
{
    for (unsigned i = 0; i < digits; i++)
        to[i] = "0123456789abcdef"[value >> (4 * (digits - 1 - i)) & 15];
}

static void guid_text(char to[PE_NAME_MAX], const uint8_t *guid)
{
    memset(to, 0, PE_NAME_MAX);
    put_hex(to, kd_get_u32(guid), 8);
    to[8] = '_';
    put_hex(to + 9, kd_get_u16(guid + 4), 4);
    to[13] = '_';
    put_hex(to + 14, kd_get_u16(guid + 6), 4);
}

static void narrow(char *to, size_t to_size, const uint8_t *wide, size_t bytes)
{
    size_t n = 0;

    for (size_t i = 0; i + 2 <= bytes && n < to_size - 1; i += 2) {
        uint16_t c = kd_get_u16(wide + i);

        if (c == 0)
            break;
        to[n++] = c < 0x7F ? (char)c : '_';
    }
    to[n] = 0;
}

/* A name from the device path: a file's name, or the GUID of a file in a firmware volume. */
static void name_from_path(struct module *module)
{
    struct device_path walk;
    char name[PE_NAME_MAX] = "image";
    char path[PE_PATH_MAX];

    module->name_is_final = true;
    if (find_media_node(module->image, DEVICE_MEDIA_FILE_PATH, 0, &walk)) {
        narrow(path, sizeof path, walk.node + HEADER_SIZE, walk.size - HEADER_SIZE);
        pe_base_name(name, path, sizeof path);
    } else if (find_media_node(module->image, DEVICE_MEDIA_FV_FILE, GUID_SIZE, &walk)) {
        guid_text(name, walk.node + HEADER_SIZE);
        module->name_is_final = false;
    }
    if (name[0] == 0)
        memcpy(name, "image", 6);
    put_name(module, name);
}

/* Asks the firmware volume for the user-interface name of a file in it. */
static void find_name(struct module *module)
{
    EFI_FIRMWARE_VOLUME2_PROTOCOL *volume;
    struct device_path walk;
    char text[PE_NAME_MAX], name[PE_NAME_MAX];
    void *section = NULL;
    UINTN size = 0;
    uint32_t authentication;
    uint64_t flags;
    EFI_GUID file;

    if (!find_media_node(module->image, DEVICE_MEDIA_FV_FILE, GUID_SIZE, &walk) ||
        module->image->DeviceHandle == NULL ||
        EFI_ERROR(system->BootServices->HandleProtocol(module->image->DeviceHandle, &volume_guid,
                                                       (void **)&volume)))
        return;
    memcpy(&file, walk.node + HEADER_SIZE, sizeof file);
    if (EFI_ERROR(volume->ReadSection(volume, &file, EFI_SECTION_USER_INTERFACE, 0, &section, &size,
                                      &authentication)))
        return;
    narrow(text, sizeof text, section, size);
    (void)system->BootServices->FreePool(section);
    pe_base_name(name, text, sizeof text);
    if (name[0] == 0)
        return;
    flags = cpu_interrupts_off();
    put_name(module, name);
    cpu_interrupts_restore(flags);
}

void modules_find_names(void)
{
    for (unsigned i = 0; i < MODULES_MAX; i++) {
        struct module *module = &modules[i];

        if (module->state == MODULE_FREE || module->name_is_final || module->image == NULL)
            continue;
        module->name_is_final = true;
        find_name(module);
    }
}

/* ---- Scanning ---- */

static size_t read_image(void *context, uint64_t offset, void *to, size_t size)
{
    return memory_read(*(uint64_t *)context + offset, to, size);
}

static struct module *find(uint64_t base)
{
    for (unsigned i = 0; i < MODULES_MAX; i++) {
        if ((modules[i].state == MODULE_NEW || modules[i].state == MODULE_KNOWN) &&
            modules[i].base == base)
            return &modules[i];
    }
    return NULL;
}

static struct module *add(uint64_t base, uint64_t size, EFI_LOADED_IMAGE_PROTOCOL *image,
                          const char *name)
{
    struct module *module = NULL;
    struct pe_info info;

    for (unsigned i = 0; i < MODULES_MAX && module == NULL; i++) {
        if (modules[i].state == MODULE_FREE)
            module = &modules[i];
    }
    if (module == NULL)
        return NULL;
    memset(module, 0, sizeof *module);
    module->state = MODULE_NEW;
    module->serial = next_serial++;
    module->base = base;
    module->size = size;
    module->image = image;
    if (pe_inspect(read_image, &module->base, size, &info) == 0) {
        module->machine = info.machine;
        module->checksum = info.checksum;
        if (info.size_of_image != 0 && info.size_of_image <= size)
            module->size = info.size_of_image;
        KD_PUT(module->entry, LoaderEntry64, EntryPoint, base + info.entry_point);
    }
    if (name != NULL) {
        char base_name[PE_NAME_MAX];

        pe_base_name(base_name, name, PE_PATH_MAX);
        put_name(module, base_name[0] != 0 ? base_name : "image");
        module->name_is_final = true;
    } else if (info.pdb_name[0] != 0) {
        put_name(module, info.pdb_name);
        module->name_is_final = true;
    } else {
        name_from_path(module);
    }
    KD_PUT(module->entry, LoaderEntry64, DllBase, base);
    KD_PUT(module->entry, LoaderEntry64, SizeOfImage, (uint32_t)module->size);
    KD_PUT(module->entry, LoaderEntry64, LoadCount, 1);
    KD_PUT(module->entry, LoaderEntry64, CheckSum, module->checksum);
    link_module(module);
    return module;
}

static void gone(struct module *module)
{
    unlink_module(module);
    module->image = NULL;
    module->state = module->state == MODULE_NEW ? MODULE_FREE : MODULE_GONE;
}

/* The image that INFO, an entry of the table, describes. False: none, or spoilt. */
static bool read_entry(uint64_t info, EFI_LOADED_IMAGE_PROTOCOL **instance,
                       EFI_LOADED_IMAGE_PROTOCOL *image)
{
    EFI_DEBUG_IMAGE_INFO_NORMAL entry;

    if (info == 0 || memory_read(info, &entry, sizeof entry) != sizeof entry ||
        entry.ImageInfoType != 1 || entry.LoadedImageProtocolInstance == NULL)
        return false;
    *instance = entry.LoadedImageProtocolInstance;
    return memory_read(address_of(*instance), image, sizeof *image) == sizeof *image &&
           image->ImageBase != NULL;
}

/* With faults caught: the table and what it points to lie in memory that a program may spoil. */
static void see_table(void)
{
    uint64_t array = address_of(table->EfiDebugImageInfoTable);
    uint64_t info;

    for (uint32_t i = 0; i < table->TableSize && i < IMAGES_MAX; i++) {
        EFI_LOADED_IMAGE_PROTOCOL *instance, image;
        struct module *module;

        if (memory_read(array + i * sizeof info, &info, sizeof info) != sizeof info)
            return;
        if (!read_entry(info, &instance, &image))
            continue;
        module = find((uint64_t)image.ImageBase);
        if (module != NULL && !module->by_hand && module->image != instance) {
            gone(module); /* another image at the same place: unloaded and loaded since */
            module = NULL;
        }
        if (module == NULL) {
            module = add((uint64_t)image.ImageBase, image.ImageSize, instance, NULL);
            if (module != NULL)
                module->awaits_notice = notices;
        }
        if (module != NULL)
            module->seen = true;
    }
}

bool modules_scan(void)
{
    uint64_t flags = cpu_interrupts_off();
    bool news = false;

    for (unsigned i = 0; i < MODULES_MAX; i++)
        modules[i].seen = false;
    if (table != NULL && (table->UpdateStatus & EFI_DEBUG_IMAGE_INFO_UPDATE_IN_PROGRESS) == 0) {
        table->UpdateStatus &= ~EFI_DEBUG_IMAGE_INFO_TABLE_MODIFIED;
        see_table();
        for (unsigned i = 0; i < MODULES_MAX; i++) {
            struct module *module = &modules[i];

            if ((module->state == MODULE_NEW || module->state == MODULE_KNOWN) && !module->seen &&
                !module->by_hand)
                gone(module);
        }
    }
    for (unsigned i = 0; i < MODULES_MAX && !news; i++)
        news = modules[i].state == MODULE_NEW || modules[i].state == MODULE_GONE;
    cpu_interrupts_restore(flags);
    return news;
}

void modules_expect_notices(void)
{
    notices = true;
}

/* Firmware enters the image in its table before it gives notice: a tick between the two has seen it
 * already, and must not be taken for an image before this one. */
void modules_installed(EFI_LOADED_IMAGE_PROTOCOL *image)
{
    uint64_t flags = cpu_interrupts_off();
    struct module *module = find((uint64_t)image->ImageBase);
    bool its_own = module != NULL && module->image == image && module->awaits_notice;

    if (its_own) {
        module->awaits_notice = false;
    } else if (module == NULL || !module->by_hand) {
        if (module != NULL)
            gone(module);
        (void)add((uint64_t)image->ImageBase, image->ImageSize, image, NULL);
    }
    cpu_interrupts_restore(flags);
}

bool modules_poll(void)
{
    if (table == NULL || (table->UpdateStatus & EFI_DEBUG_IMAGE_INFO_TABLE_MODIFIED) == 0 ||
        (table->UpdateStatus & EFI_DEBUG_IMAGE_INFO_UPDATE_IN_PROGRESS) != 0)
        return false;
    return modules_scan();
}

void modules_init(EFI_SYSTEM_TABLE *efi_system)
{
    system = efi_system;
    KD_PUT(head, LoaderEntry64, Flink, address_of(head));
    KD_PUT(head, LoaderEntry64, Blink, address_of(head));
    for (UINTN i = 0; i < system->NumberOfTableEntries; i++) {
        if (memcmp(&system->ConfigurationTable[i].VendorGuid, &table_guid, sizeof table_guid) == 0)
            table = system->ConfigurationTable[i].VendorTable;
    }
}

struct module *modules_at(unsigned index)
{
    return &modules[index];
}

void modules_reported(struct module *module)
{
    if (module->state == MODULE_NEW)
        module->state = MODULE_KNOWN;
    else if (module->state == MODULE_GONE)
        module->state = MODULE_FREE;
}

uint64_t modules_kernel_base(void)
{
    const struct module *first = NULL;

    for (unsigned i = 0; i < MODULES_MAX; i++) {
        const struct module *module = &modules[i];

        if ((module->state == MODULE_NEW || module->state == MODULE_KNOWN) &&
            module->machine != 0 && (first == NULL || module->serial < first->serial))
            first = module;
    }
    return first != NULL ? first->base : 0;
}

uint64_t modules_list_head(void)
{
    return address_of(head);
}

int modules_add(uint64_t base, uint64_t size, const char *name)
{
    uint64_t flags = cpu_interrupts_off();
    struct module *module;
    int result = 0;

    if (find(base) != NULL) {
        result = KD_E_EXISTS;
    } else {
        module = add(base, size, NULL, name);
        if (module == NULL)
            result = KD_E_NO_SPACE;
        else
            module->by_hand = true;
    }
    cpu_interrupts_restore(flags);
    return result;
}

int modules_remove(uint64_t base)
{
    uint64_t flags = cpu_interrupts_off();
    struct module *module = find(base);
    int result = KD_E_NOT_FOUND;

    if (module != NULL && module->by_hand) {
        gone(module);
        result = 0;
    }
    cpu_interrupts_restore(flags);
    return result;
}
