/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's settings: text of "key=value" words, separated by blanks, commas, semicolons or
 * newlines. Comes from load options, a variable, fw_cfg: outside input. Pure C, tested on the host.
 */
#ifndef KDWIRE_UEFI_CONFIG_H
#define KDWIRE_UEFI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmbus/guid.h"

enum uefi_port_kind {
    UEFI_PORT_AUTO, /* DBG2, else the first COM port that is not the console's */
    UEFI_PORT_COM,  /* number 1..4 */
    UEFI_PORT_IO,   /* base is an I/O port */
    UEFI_PORT_MMIO, /* base is an address; stride and width set (from DBG2 only) */
    UEFI_PORT_PCI,
    UEFI_PORT_DBG2,
    UEFI_PORT_VMBUS,  /* a pipe that a Hyper-V host offers; otherwise as AUTO */
    UEFI_PORT_HVSOCK, /* a Hyper-V socket of the host; otherwise as AUTO */
    UEFI_PORT_NONE,   /* no wire: the engine stays out of the way */
};

struct uefi_port {
    enum uefi_port_kind kind;
    unsigned com;
    uint64_t base;
    uint8_t stride, width;
    uint8_t bus, device, function;
    struct vmbus_guid channel; /* interface type or service; zero: the usual one */
};

/* What is put around KD's bytes on VMBus: nothing; windbg-uefi's header; the same, acknowledged. */
enum uefi_framing { UEFI_FRAMING_RAW, UEFI_FRAMING_WINDBG_UEFI, UEFI_FRAMING_ACKNOWLEDGED };
enum uefi_poll { UEFI_POLL_VECTOR, UEFI_POLL_EVENT, UEFI_POLL_OFF };
enum uefi_modules { UEFI_MODULES_ALL, UEFI_MODULES_NEW, UEFI_MODULES_OFF };

struct uefi_config {
    struct uefi_port port;
    uint32_t baud; /* 0 = leave as it is */
    bool initial_break;
    uint32_t timeout_ms; /* patience with a debugger that has not shown up; 0 = for ever */
    enum uefi_poll poll;
    bool rxirq;
    bool ist;
    bool stay_after_exit; /* ebs=stay */
    enum uefi_modules modules;
    bool grab_console;
    enum uefi_framing framing;
    uint32_t vmbus_wait_ms; /* patience with a host that offers no channel; 0 = for ever */
};

enum {
    UEFI_CONFIG_TEXT_MAX = 1024, /* longer texts are cut: every key twice is below 400 characters */
    UEFI_CONFIG_WORD_MAX = 64,   /* longest word kept in an error */
};

struct uefi_config_error {
    unsigned count;                   /* words that were not understood */
    char first[UEFI_CONFIG_WORD_MAX]; /* the first of them, cut, NUL-terminated */
};

void uefi_config_defaults(struct uefi_config *config);

/* Applies every word of TEXT that is "key=value"; a word without '=' is skipped (a shell puts the
 * program's name there). A word that is wrong changes nothing and is counted in ERROR. */
void uefi_config_parse(struct uefi_config *config, const char *text, size_t size,
                       struct uefi_config_error *error);

/* 8-bit text from BYTES, which may be UTF-16LE (every second byte zero) or 8-bit; anything else
 * becomes '?'. Returns the length, at most TO_SIZE. */
size_t uefi_config_text(char *to, size_t to_size, const uint8_t *bytes, size_t size);

#endif
