/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk along the target's list of loaded modules. */
#include "debugger_inside.h"

#include <string.h>

enum {
    /* What a loader entry must have at least: up to FullDllName's buffer. */
    LOADER_ENTRY_MIN = 0x58,
};

static void walk_read(struct kd_debugger *d, uint64_t now, uint64_t address, uint8_t *to,
                      size_t size)
{
    struct kd_debugger_request *r = &d->request;
    r->space = KD_SPACE_VIRTUAL;
    r->address = address;
    r->to = to;
    r->size = size;
    r->done = 0;
    kd_debugger_next_piece(d, now, false);
}

/* One UTF-16 unit as UTF-8; surrogates and control characters become '?'. */
static size_t put_utf8(char *to, uint16_t unit)
{
    if (unit < 0x20 || unit == 0x7F || (unit >= 0x80 && unit < 0xA0) ||
        (unit >= 0xD800 && unit < 0xE000))
        unit = '?';
    if (unit < 0x80) {
        to[0] = (char)unit;
        return 1;
    }
    if (unit < 0x800) {
        to[0] = (char)(0xC0 | unit >> 6);
        to[1] = (char)(0x80 | (unit & 0x3F));
        return 2;
    }
    to[0] = (char)(0xE0 | unit >> 12);
    to[1] = (char)(0x80 | (unit >> 6 & 0x3F));
    to[2] = (char)(0x80 | (unit & 0x3F));
    return 3;
}

static void path_from_utf16(char path[KD_MODULE_PATH_MAX], const uint8_t *units, size_t bytes)
{
    size_t at = 0;
    for (size_t i = 0; bytes - i >= 2 && at < KD_MODULE_PATH_MAX - 3; i += 2) {
        uint16_t unit = kd_get_u16(units + i);
        if (unit == 0)
            break;
        at += put_utf8(path + at, unit);
    }
    path[at] = '\0';
}

static void walk_module(struct kd_debugger *d)
{
    struct kd_debugger_request *r = &d->request;
    memset(&d->module, 0, sizeof d->module);
    d->module.base = KD_GET(r->scratch, LoaderEntry64, DllBase);
    d->module.size = (uint32_t)KD_GET(r->scratch, LoaderEntry64, SizeOfImage);
    d->module.checksum = (uint32_t)KD_GET(r->scratch, LoaderEntry64, CheckSum);
    path_from_utf16(d->module.path, r->name, r->name_bytes);
    r->walked++;
    kd_debugger_push(d, KD_DEBUGGER_MODULE_LOADED)->module = &d->module;
}

/* On to the entry at NODE, or to the end of the list. Brent's method finds circles: HARE is a
 * node met before, moved up whenever the number of steps since then has doubled. */
static void walk_to(struct kd_debugger *d, uint64_t now, uint64_t node)
{
    struct kd_debugger_request *r = &d->request;
    if (node == 0 || node == r->list_head || node == r->hare || r->steps >= KD_MODULE_WALK_MAX) {
        r->done = 0;
        kd_debugger_finish(d, KD_OK, 0, r->walked);
        return;
    }
    r->steps++;
    if (r->steps == r->lap) {
        r->hare = node;
        r->lap *= 2;
    }
    r->node = node;
    r->step = KD_WALK_ENTRY;
    memset(r->scratch, 0, sizeof r->scratch);
    walk_read(d, now, node, r->scratch, sizeof r->scratch);
}

static void walk_name(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    uint64_t length = KD_GET(r->scratch, LoaderEntry64, FullDllNameLength) & ~1ull;
    uint64_t buffer = KD_GET(r->scratch, LoaderEntry64, FullDllNameBuffer);
    if (length == 0 || buffer == 0) {
        length = KD_GET(r->scratch, LoaderEntry64, BaseDllNameLength) & ~1ull;
        buffer = KD_GET(r->scratch, LoaderEntry64, BaseDllNameBuffer);
    }
    if (length > sizeof r->name) {
        buffer += length - sizeof r->name;
        length = sizeof r->name;
    }
    r->step = KD_WALK_NAME;
    r->name_bytes = 0;
    if (length == 0 || buffer == 0) {
        walk_module(d);
        walk_to(d, now, KD_GET(r->scratch, LoaderEntry64, Flink));
        return;
    }
    walk_read(d, now, buffer, r->name, (size_t)length);
}

void kd_debugger_walk_step(struct kd_debugger *d, uint64_t now, uint32_t status)
{
    struct kd_debugger_request *r = &d->request;
    switch (r->step) {
    case KD_WALK_HEAD:
        if (r->done < 8)
            break;
        walk_to(d, now, kd_get_u64(r->scratch));
        return;
    case KD_WALK_ENTRY:
        if (r->done < LOADER_ENTRY_MIN)
            break;
        walk_name(d, now);
        return;
    case KD_WALK_NAME:
    default:
        r->name_bytes = r->done & ~(size_t)1;
        walk_module(d);
        walk_to(d, now, KD_GET(r->scratch, LoaderEntry64, Flink));
        return;
    }
    r->done = 0;
    kd_debugger_finish(d, KD_E_FAULT, status, r->walked);
}

void kd_debugger_walk_start(struct kd_debugger *d, uint64_t now, uint64_t head)
{
    struct kd_debugger_request *r = &d->request;
    r->step = KD_WALK_HEAD;
    r->list_head = head;
    r->lap = 1;
    walk_read(d, now, head, r->scratch, 8);
}
