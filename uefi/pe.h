/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a debugger wants to know of an image in memory: sizes, entry point, checksum, and the name
 * of its PDB. The bytes are outside input: an image may be damaged, stripped, or lie.
 * Pure C over a reader callback, tested on the host.
 */
#ifndef KDWIRE_UEFI_PE_H
#define KDWIRE_UEFI_PE_H

#include <stddef.h>
#include <stdint.h>

/* Copies up to SIZE bytes at OFFSET from the image's base; returns the number copied. */
typedef size_t (*pe_read)(void *context, uint64_t offset, void *to, size_t size);

enum {
    PE_NAME_MAX = 64,          /* base name kept: "DxeCore" and the like; longer ones are cut */
    PE_PATH_MAX = 260,         /* bytes of a PDB path looked at: build paths reach 200 */
    PE_DEBUG_ENTRIES_MAX = 16, /* directory entries looked at: linkers write up to six */
};

struct pe_info {
    uint32_t size_of_image;
    uint32_t entry_point; /* RVA */
    uint32_t checksum;
    uint32_t time_stamp;
    uint16_t machine;
    uint8_t guid[16]; /* all zero without RSDS */
    uint32_t age;
    char pdb_name[PE_NAME_MAX]; /* base name without folders and extension; "" = none */
};

/* Returns 0 and fills INFO, or KD_E_FORMAT if there is no PE image (a TE image, say). An unusable
 * debug directory is not an error: pdb_name stays empty. SIZE = bytes of memory the image has. */
int pe_inspect(pe_read read, void *context, uint64_t size, struct pe_info *info);

/* Base name of PATH (SIZE bytes, no NUL needed) without folders and the last extension, only
 * printable characters, NUL-terminated. */
void pe_base_name(char to[PE_NAME_MAX], const char *path, size_t size);

#endif
