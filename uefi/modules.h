/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The images in memory: found in the firmware's debug image info table, given names, kept as a
 * list of loader entries that a debugger can walk (.reload), and marked for load and unload
 * reports.
 */
#ifndef KDWIRE_UEFI_MODULES_H
#define KDWIRE_UEFI_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <efi.h>

#include "pe.h"

enum {
    MODULES_MAX = 512,                 /* real firmware loads up to 400 images */
    MODULE_NAME_MAX = PE_NAME_MAX + 4, /* ".efi" behind the name */
    MODULE_ENTRY_SIZE = 0x88,          /* KLDR_DATA_TABLE_ENTRY as debuggers read it */
};

enum module_state {
    MODULE_FREE,
    MODULE_NEW,   /* in the list, load not reported yet */
    MODULE_KNOWN, /* in the list */
    MODULE_GONE,  /* out of the list, unload not reported yet */
};

struct module {
    _Alignas(16) uint8_t entry[MODULE_ENTRY_SIZE];
    uint16_t wide_name[MODULE_NAME_MAX];
    char name[MODULE_NAME_MAX]; /* "DxeCore.efi" */
    enum module_state state;
    bool seen;          /* in the table at the scan under way */
    bool by_hand;       /* reported by a program: not in the firmware's table */
    bool name_is_final; /* else services may find a better one */
    bool awaits_notice; /* seen in the table before modules_installed */
    uint64_t serial;    /* order of loading */
    uint64_t base, size;
    uint32_t checksum;
    uint16_t machine; /* 0: not a PE image */
    EFI_LOADED_IMAGE_PROTOCOL *image;
};

void modules_init(EFI_SYSTEM_TABLE *system);
/* Compares the table with what is known. Callable inside an exception: no services. Returns
 * whether anything is NEW or GONE. */
bool modules_scan(void);
/* Scans if the firmware has marked the table as changed. */
bool modules_poll(void);
/* Firmware gives notice of IMAGE. One that is known at its base is IMAGE itself if the table told
 * of it before this notice; else it is another one, gone meanwhile, even if the pool gave the new
 * image the same place and the same structure. */
void modules_installed(EFI_LOADED_IMAGE_PROTOCOL *image);
/* What was there so far had its notice, if any: call it once, after the first scan. */
void modules_expect_notices(void);
/* Asks firmware for user-interface names. Outside exceptions only. */
void modules_find_names(void);

struct module *modules_at(unsigned index); /* < MODULES_MAX; any state */
/* The engine has reported (or will never report) this one. */
void modules_reported(struct module *module);

/* The image that a debugger takes for the kernel: the first PE image loaded. */
uint64_t modules_kernel_base(void);
uint64_t modules_list_head(void);

/* Images that a program has loaded by its own means. KD_E_EXISTS, KD_E_NO_SPACE, KD_E_NOT_FOUND. */
int modules_add(uint64_t base, uint64_t size, const char *name);
int modules_remove(uint64_t base);

#endif
