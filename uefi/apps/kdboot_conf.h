/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdboot.conf: which debug engine kdboot.efi starts, and what it boots then. Pure: text in,
 * structure out.
 *
 *     # a comment
 *     debugger = \EFI\kdwire\windbg.efi
 *     debugger-options = port=com1 console=grab
 *     next = \EFI\Microsoft\Boot\bootmgfw.efi    the first that exists is booted
 *     next-options =                              belongs to the next= line above it
 *     next = \EFI\BOOT\next.efi
 *
 * ASCII text, lines end with LF or CRLF, keys in small letters, no quoting. `/` in a path is `\`.
 */
#ifndef KDWIRE_UEFI_APPS_KDBOOT_CONF_H
#define KDWIRE_UEFI_APPS_KDBOOT_CONF_H

#include <stddef.h>

/* Longer than every path that firmware and its FAT driver take gladly. */
#define KDBOOT_PATH_MAX 256
/* The options of an OS loader fit; with the NUL. */
#define KDBOOT_OPTIONS_MAX 512
/* Boot files to try; more is a mistake. */
#define KDBOOT_NEXT_MAX 8
/* The file is read into memory of this size; a larger one is not a configuration. */
#define KDBOOT_CONF_MAX 16384

struct kdboot_file {
    char path[KDBOOT_PATH_MAX];       /* begins with a backslash; ASCII */
    char options[KDBOOT_OPTIONS_MAX]; /* "": none */
};

struct kdboot_conf {
    struct kdboot_file debugger;
    struct kdboot_file next[KDBOOT_NEXT_MAX];
    size_t next_count;
    unsigned bad_lines;      /* lines that were skipped */
    unsigned first_bad_line; /* counted from 1; 0: none */
    const char *why;         /* what is wrong with that one; static text */
};

/* What holds without a file: the engine beside it and the usual boot loaders. */
void kdboot_conf_default(struct kdboot_conf *conf);

/*
 * Reads SIZE bytes of TEXT over the defaults; a file that names a boot file replaces the whole list
 * of them. A bad line is skipped and counted: a machine must boot in spite of a slip of the pen.
 */
void kdboot_conf_parse(struct kdboot_conf *conf, const char *text, size_t size);

#endif
