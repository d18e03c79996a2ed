/* SPDX-License-Identifier: BSD-2-Clause */
/* Offsets are those of the PE format as Microsoft documents it in public ("PE Format"). */
#include "pe.h"

#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"

enum {
    DOS_SIZE = 0x40,
    DOS_NEW_HEADER = 0x3C,
    FILE_SIZE = 24,      /* signature and file header */
    OPTIONAL_MIN = 0x40, /* up to and with CheckSum */
    DIRECTORY_DEBUG = 6,
    DEBUG_ENTRY_SIZE = 28,
    DEBUG_TYPE_CODEVIEW = 2,
    RSDS_SIZE = 24,
    NB10_SIZE = 16,
    MAGIC_PE32 = 0x10B,
    MAGIC_PE32_PLUS = 0x20B,
};

struct image {
    pe_read read;
    void *context;
    uint64_t size;
};

/* All of SIZE bytes at OFFSET, or false. */
static int fetch(const struct image *image, uint64_t offset, void *to, size_t size)
{
    if (offset > image->size || size > image->size - offset)
        return 0;
    return image->read(image->context, offset, to, size) == size;
}

void pe_base_name(char to[PE_NAME_MAX], const char *path, size_t size)
{
    size_t start = 0, end, n = 0;

    for (size_t i = 0; i < size && path[i] != 0; i++) {
        if (path[i] == '/' || path[i] == '\\' || path[i] == ':')
            start = i + 1;
    }
    for (end = start; end < size && path[end] != 0; end++)
        ;
    for (size_t i = end; i > start + 1; i--) {
        if (path[i - 1] == '.') {
            end = i - 1;
            break;
        }
    }
    for (size_t i = start; i < end && n < PE_NAME_MAX - 1; i++) {
        char c = path[i];

        to[n++] = c > ' ' && c < 0x7F && c != '"' ? c : '_';
    }
    to[n] = 0;
}

static int read_codeview(const struct image *image, uint64_t rva, uint32_t size,
                         struct pe_info *info)
{
    uint8_t head[RSDS_SIZE];
    char path[PE_PATH_MAX];
    size_t head_size, path_size;

    if (size < NB10_SIZE || !fetch(image, rva, head, NB10_SIZE))
        return 0;
    if (memcmp(head, "RSDS", 4) == 0) {
        head_size = RSDS_SIZE;
        if (size < RSDS_SIZE || !fetch(image, rva, head, RSDS_SIZE))
            return 0;
        memcpy(info->guid, head + 4, 16);
        info->age = kd_get_u32(head + 20);
    } else if (memcmp(head, "NB10", 4) == 0) {
        head_size = NB10_SIZE;
        info->age = kd_get_u32(head + 12);
    } else {
        return 0;
    }
    path_size = size - head_size;
    if (path_size > sizeof path)
        path_size = sizeof path;
    if (!fetch(image, rva + head_size, path, path_size))
        return 0;
    pe_base_name(info->pdb_name, path, path_size);
    return info->pdb_name[0] != 0;
}

static void read_debug_directory(const struct image *image, uint64_t rva, uint32_t size,
                                 struct pe_info *info)
{
    for (unsigned i = 0; i < PE_DEBUG_ENTRIES_MAX && size >= DEBUG_ENTRY_SIZE; i++) {
        uint8_t entry[DEBUG_ENTRY_SIZE];

        if (!fetch(image, rva, entry, sizeof entry))
            return;
        /* In memory only the RVA counts; some tools leave it 0 for records outside sections. */
        if (kd_get_u32(entry + 12) == DEBUG_TYPE_CODEVIEW && kd_get_u32(entry + 20) != 0 &&
            read_codeview(image, kd_get_u32(entry + 20), kd_get_u32(entry + 16), info))
            return;
        rva += DEBUG_ENTRY_SIZE;
        size -= DEBUG_ENTRY_SIZE;
    }
}

int pe_inspect(pe_read read, void *context, uint64_t size, struct pe_info *info)
{
    struct image image = {read, context, size};
    uint8_t bytes[OPTIONAL_MIN + 8];
    uint64_t at = 0, optional, directories;
    uint16_t magic, optional_size;
    uint32_t count;

    memset(info, 0, sizeof *info);
    if (!fetch(&image, 0, bytes, 2))
        return KD_E_FORMAT;
    if (bytes[0] == 'M' && bytes[1] == 'Z') {
        if (!fetch(&image, 0, bytes, DOS_SIZE))
            return KD_E_FORMAT;
        at = kd_get_u32(bytes + DOS_NEW_HEADER);
    }
    if (!fetch(&image, at, bytes, FILE_SIZE) || memcmp(bytes, "PE\0\0", 4) != 0)
        return KD_E_FORMAT;
    info->machine = kd_get_u16(bytes + 4);
    info->time_stamp = kd_get_u32(bytes + 8);
    optional_size = kd_get_u16(bytes + 20);
    optional = at + FILE_SIZE;
    if (optional_size < OPTIONAL_MIN + 4 || !fetch(&image, optional, bytes, OPTIONAL_MIN + 4))
        return KD_E_FORMAT;
    magic = kd_get_u16(bytes);
    if (magic != MAGIC_PE32 && magic != MAGIC_PE32_PLUS)
        return KD_E_FORMAT;
    info->entry_point = kd_get_u32(bytes + 0x10);
    info->size_of_image = kd_get_u32(bytes + 0x38);
    info->checksum = kd_get_u32(bytes + 0x40);

    directories = magic == MAGIC_PE32_PLUS ? 0x70 : 0x60;
    if (optional_size < directories + 8 * (DIRECTORY_DEBUG + 1) ||
        !fetch(&image, optional + directories - 4, bytes, 4))
        return 0;
    count = kd_get_u32(bytes);
    if (count <= DIRECTORY_DEBUG ||
        !fetch(&image, optional + directories + 8 * DIRECTORY_DEBUG, bytes, 8))
        return 0;
    read_debug_directory(&image, kd_get_u32(bytes), kd_get_u32(bytes + 4), info);
    return 0;
}
