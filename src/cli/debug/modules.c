/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "debug/debug.h"

bool debug_module_known(const struct debug *d, const struct kd_module *module)
{
    const struct kd_module *known = debug_module_at(d, module->base);
    return known != NULL && known->base == module->base && known->size == module->size &&
           known->checksum == module->checksum && strcmp(known->path, module->path) == 0;
}

void debug_module_remove(struct debug *d, uint64_t base)
{
    for (size_t i = 0; i < d->module_count; i++) {
        if (d->modules[i].base != base)
            continue;
        memmove(&d->modules[i], &d->modules[i + 1],
                (d->module_count - i - 1) * sizeof d->modules[0]);
        d->module_count--;
        return;
    }
}

void debug_module_add(struct debug *d, const struct kd_module *module)
{
    debug_module_remove(d, module->base);
    if (d->module_count == d->module_room) {
        size_t room = d->module_room != 0 ? 2 * d->module_room : 64;
        if (d->module_count >= DEBUG_MODULES_MAX)
            return;
        struct kd_module *modules = realloc(d->modules, room * sizeof *modules);
        if (modules == NULL)
            return;
        d->modules = modules;
        d->module_room = room;
    }
    size_t at = d->module_count;
    while (at > 0 && d->modules[at - 1].base > module->base)
        at--;
    memmove(&d->modules[at + 1], &d->modules[at], (d->module_count - at) * sizeof d->modules[0]);
    d->modules[at] = *module;
    say_clean(d->modules[at].path, module->path, strlen(module->path));
    d->module_count++;
}

const struct kd_module *debug_module_at(const struct debug *d, uint64_t address)
{
    for (size_t i = 0; i < d->module_count; i++) {
        const struct kd_module *m = &d->modules[i];
        if (address >= m->base && address - m->base < m->size)
            return m;
    }
    return NULL;
}

void debug_module_name(const struct kd_module *module, char *name, size_t size)
{
    const char *start = module->path;
    for (const char *p = module->path; *p; p++) {
        if (*p == '\\' || *p == '/')
            start = p + 1;
    }
    const char *dot = strrchr(start, '.');
    size_t length = dot != NULL && dot != start ? (size_t)(dot - start) : strlen(start);
    if (length == 0) {
        snprintf(name, size, "image%08x", (unsigned)module->base);
        return;
    }
    snprintf(name, size, "%.*s", (int)length, start);
}

bool debug_match(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == '?' ||
                   tolower((unsigned char)*pattern) == tolower((unsigned char)*text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

const char *debug_location(const struct debug *d, uint64_t address, char *text, size_t size)
{
    const struct kd_module *m = debug_module_at(d, address);
    if (m == NULL) {
        snprintf(text, size, "0x%llx", (unsigned long long)address);
        return text;
    }
    char name[KD_MODULE_PATH_MAX];
    debug_module_name(m, name, sizeof name);
    snprintf(text, size, "%s+0x%llx", name, (unsigned long long)(address - m->base));
    return text;
}

/* ---- exports ---- */

struct exports {
    uint32_t functions, names, ordinals; /* RVAs of the three tables */
    uint32_t function_count, name_count;
};

static bool read_exports(struct debug *d, uint64_t base, struct exports *e)
{
    /* No image has more exports; a larger number is a lie. */
    enum { DIRECTORY = 24 + 112, COUNT_MAX = 0x20000 };
    uint8_t dos[64], nt[DIRECTORY + 8], table[40];
    if (!session_read(&d->session, base, dos, sizeof dos) || dos[0] != 'M' || dos[1] != 'Z')
        return false;
    uint32_t at = kd_get_u32(dos + 0x3C);
    if (at > 0x10000 || !session_read(&d->session, base + at, nt, sizeof nt))
        return false;
    uint32_t rva = kd_get_u32(nt + DIRECTORY);
    if (kd_get_u32(nt) != 0x4550 || kd_get_u16(nt + 24) != 0x20B || rva == 0)
        return false;
    if (!session_read(&d->session, base + rva, table, sizeof table))
        return false;
    e->function_count = kd_get_u32(table + 20);
    e->name_count = kd_get_u32(table + 24);
    e->functions = kd_get_u32(table + 28);
    e->names = kd_get_u32(table + 32);
    e->ordinals = kd_get_u32(table + 36);
    return e->function_count <= COUNT_MAX && e->name_count <= COUNT_MAX;
}

static bool read_u32(struct debug *d, uint64_t address, uint32_t *value)
{
    uint8_t bytes[4];
    if (!session_read(&d->session, address, bytes, sizeof bytes))
        return false;
    *value = kd_get_u32(bytes);
    return true;
}

/* The text at ADDRESS, as much of it as there is. */
static void read_name(struct debug *d, uint64_t address, char name[EXPR_NAME_MAX])
{
    size_t size = EXPR_NAME_MAX - 1;
    memset(name, 0, EXPR_NAME_MAX);
    session_finish(&d->session,
                   kd_debugger_read(&d->session.debugger, session_now(&d->session),
                                    KD_SPACE_VIRTUAL, 0, address, (uint8_t *)name, size));
    name[EXPR_NAME_MAX - 1] = '\0';
}

static bool export_value(struct debug *d, uint64_t base, const struct exports *e, uint32_t index,
                         uint64_t *value)
{
    uint8_t ordinal[2];
    uint32_t rva;
    if (!session_read(&d->session, base + e->ordinals + 2ull * index, ordinal, sizeof ordinal))
        return false;
    uint16_t function = kd_get_u16(ordinal);
    if (function >= e->function_count || !read_u32(d, base + e->functions + 4ull * function, &rva))
        return false;
    *value = base + rva;
    return true;
}

/* Export names are sorted. */
static bool find_export(struct debug *d, uint64_t base, const char *name, uint64_t *value)
{
    struct exports e;
    if (!read_exports(d, base, &e))
        return false;
    uint32_t low = 0, high = e.name_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, rva;
        char found[EXPR_NAME_MAX];
        if (!read_u32(d, base + e.names + 4ull * middle, &rva))
            return false;
        read_name(d, base + rva, found);
        int order = strcmp(name, found);
        if (order == 0)
            return export_value(d, base, &e, middle, value);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static const struct kd_module *module_by_name(const struct debug *d, const char *name,
                                              size_t length)
{
    for (size_t i = 0; i < d->module_count; i++) {
        char own[KD_MODULE_PATH_MAX];
        debug_module_name(&d->modules[i], own, sizeof own);
        if (strlen(own) == length && strncasecmp(own, name, length) == 0)
            return &d->modules[i];
    }
    /* "nt" is what everybody calls the image that GetVersion names. */
    if (length == 2 && strncasecmp(name, "nt", 2) == 0)
        return debug_module_at(d, d->version.kernel_base);
    return NULL;
}

bool debug_symbol(void *context, const char *name, uint64_t *value)
{
    struct debug *d = context;
    const char *bang = strchr(name, '!');
    size_t length = bang != NULL ? (size_t)(bang - name) : strlen(name);
    const struct kd_module *m = module_by_name(d, name, length);
    if (m == NULL)
        return false;
    if (bang != NULL)
        return debug_stopped(d) && find_export(d, m->base, bang + 1, value);
    *value = m->base;
    return true;
}

/* ---- lm, .reload ---- */

static void list_module(struct debug *d, const struct kd_module *m, bool verbose)
{
    char name[KD_MODULE_PATH_MAX];
    debug_module_name(m, name, sizeof name);
    say_text(&d->say, "%s %s   %-24s %s\n", say_address(m->base), say_address(m->base + m->size),
             name, m->path);
    if (verbose)
        say_text(&d->say, "    size %08x, checksum %08x\n", m->size, m->checksum);
    say_open(&d->say, NULL, '{');
    say_string(&d->say, "name", name);
    say_hex(&d->say, "base", m->base);
    say_hex(&d->say, "size", m->size);
    say_hex(&d->say, "checksum", m->checksum);
    say_string(&d->say, "path", m->path);
    say_close(&d->say, '}');
}

bool cmd_modules(struct debug *d, const char *name, struct args *args)
{
    bool verbose = strchr(name, 'v') != NULL;
    char word[DEBUG_PATTERN_MAX] = "*";
    bool pattern_follows = strlen(name) > 2 && name[strlen(name) - 1] == 'm';
    while (!args_end(args)) {
        if (!args_word(args, word, sizeof word))
            return debug_fail(d, "that pattern is too long");
        if (!pattern_follows && strcmp(word, "m") == 0) {
            pattern_follows = true;
            snprintf(word, sizeof word, "*");
        } else if (strcmp(word, "v") == 0) {
            verbose = true;
            snprintf(word, sizeof word, "*");
        }
    }
    say_text(&d->say, "start             end                 module name\n");
    say_open(&d->say, "modules", '[');
    for (size_t i = 0; i < d->module_count; i++) {
        char own[KD_MODULE_PATH_MAX];
        debug_module_name(&d->modules[i], own, sizeof own);
        if (debug_match(word, own))
            list_module(d, &d->modules[i], verbose);
    }
    say_close(&d->say, ']');
    return true;
}

bool cmd_reload(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    (void)args;
    d->module_count = 0;
    if (!debug_refresh(d, true))
        return false;
    say_text(&d->say, "%zu modules\n", d->module_count);
    say_int(&d->say, "modules", (int64_t)d->module_count);
    return true;
}
