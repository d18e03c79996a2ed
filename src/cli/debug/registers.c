/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "debug/debug.h"

enum where {
    GENERAL,
    SPECIAL,
};

#define C(name, field)                                                                             \
    {                                                                                              \
        name, GENERAL, KD_AT(ContextAmd64, field), KD_SIZE(ContextAmd64, field)                    \
    }
#define S(name, field)                                                                             \
    {                                                                                              \
        name, SPECIAL, KD_AT(SpecialAmd64, field), KD_SIZE(SpecialAmd64, field)                    \
    }
#define PART(name, f, o, s)                                                                        \
    {                                                                                              \
        name, GENERAL, KD_AT(ContextAmd64, f) + (o), s                                             \
    }
/* The four classic and the four pointer registers with their parts. */
#define CLASSIC(l, f)                                                                              \
    PART("e" l "x", f, 0, 4), PART(l "x", f, 0, 2), PART(l "l", f, 0, 1), PART(l "h", f, 1, 1)
#define POINTER(n, f)  PART("e" n, f, 0, 4), PART(n, f, 0, 2), PART(n "l", f, 0, 1)
#define NUMBERED(n, f) C(n, f), PART(n "d", f, 0, 4), PART(n "w", f, 0, 2), PART(n "b", f, 0, 1)

static const struct reg {
    const char *name;
    enum where where;
    uint16_t offset, size;
} registers[] = {
    C("rax", Rax),        C("rbx", Rbx),        C("rcx", Rcx),        C("rdx", Rdx),
    C("rsi", Rsi),        C("rdi", Rdi),        C("rip", Rip),        C("rsp", Rsp),
    C("rbp", Rbp),        CLASSIC("a", Rax),    CLASSIC("b", Rbx),    CLASSIC("c", Rcx),
    CLASSIC("d", Rdx),    POINTER("si", Rsi),   POINTER("di", Rdi),   POINTER("sp", Rsp),
    POINTER("bp", Rbp),   NUMBERED("r8", R8),   NUMBERED("r9", R9),   NUMBERED("r10", R10),
    NUMBERED("r11", R11), NUMBERED("r12", R12), NUMBERED("r13", R13), NUMBERED("r14", R14),
    NUMBERED("r15", R15), C("$ip", Rip),        C("$csp", Rsp),       C("eip", Rip),
    C("efl", EFlags),     C("cs", SegCs),       C("ds", SegDs),       C("es", SegEs),
    C("fs", SegFs),       C("gs", SegGs),       C("ss", SegSs),       C("mxcsr", MxCsr),
    S("dr0", KernelDr0),  S("dr1", KernelDr1),  S("dr2", KernelDr2),  S("dr3", KernelDr3),
    S("dr6", KernelDr6),  S("dr7", KernelDr7),  S("cr0", Cr0),        S("cr2", Cr2),
    S("cr3", Cr3),        S("cr4", Cr4),        S("cr8", Cr8),        S("gdtr", GdtrBase),
    S("gdtl", GdtrLimit), S("idtr", IdtrBase),  S("idtl", IdtrLimit), S("tr", Tr),
    S("ldtr", Ldtr),      S("xcr0", Xcr0),      C("$scopeip", Rip),   C("$eventip", Rip),
    C("$retreg", Rax),    C("$retreg64", Rax),
};

static const struct flag {
    const char *name;
    unsigned bit, width;
} flags[] = {
    {"cf", 0, 1},  {"pf", 2, 1},  {"af", 4, 1},  {"zf", 6, 1},   {"sf", 7, 1},
    {"tf", 8, 1},  {"if", 9, 1},  {"df", 10, 1}, {"of", 11, 1},  {"iopl", 12, 2},
    {"nt", 14, 1}, {"rf", 16, 1}, {"vm", 17, 1}, {"vif", 19, 1}, {"vip", 20, 1},
};

enum { XMM0 = 0x1A0, XMM_COUNT = 16, XMM_SIZE = 16 };

bool debug_context(struct debug *d)
{
    if (d->context_valid)
        return true;
    int result = session_finish(&d->session, kd_debugger_get_context(&d->session.debugger,
                                                                     session_now(&d->session),
                                                                     d->cpu, d->context));
    if (result < 0)
        return debug_fail_request(d, "the registers cannot be read", result);
    d->context_valid = true;
    return true;
}

bool debug_set_context(struct debug *d)
{
    int result = session_finish(&d->session, kd_debugger_set_context(&d->session.debugger,
                                                                     session_now(&d->session),
                                                                     d->cpu, d->context));
    d->context_valid = false;
    return result >= 0 || debug_fail_request(d, "the registers cannot be set", result);
}

bool debug_special(struct debug *d)
{
    if (d->special_valid)
        return true;
    memset(d->special, 0, sizeof d->special);
    int result = session_finish(
        &d->session, kd_debugger_read(&d->session.debugger, session_now(&d->session),
                                      KD_SPACE_CONTROL, d->cpu, 2, d->special, sizeof d->special));
    if (result == KD_OK)
        d->special_size = d->session.result.count;
    if (result < 0)
        return debug_fail_request(d, "the special registers cannot be read", result);
    if (d->special_size < KD_SPECIAL_AMD64_SIZE)
        return debug_fail(d, "the target gives only %zu bytes of special registers",
                          d->special_size);
    d->special_valid = true;
    return true;
}

static bool set_special(struct debug *d)
{
    int result = session_finish(
        &d->session, kd_debugger_write(&d->session.debugger, session_now(&d->session),
                                       KD_SPACE_CONTROL, d->cpu, 2, d->special, d->special_size));
    d->special_valid = false;
    return result >= 0 || debug_fail_request(d, "the special registers cannot be set", result);
}

uint64_t debug_rip(const struct debug *d)
{
    return KD_GET(d->context, ContextAmd64, Rip);
}

static const struct reg *find(const char *name)
{
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        if (strcasecmp(registers[i].name, name) == 0)
            return &registers[i];
    }
    return NULL;
}

static const struct flag *find_flag(const char *name)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcasecmp(flags[i].name, name) == 0)
            return &flags[i];
    }
    return NULL;
}

/* "PREFIXn" with a decimal number below COUNT, or -1. */
static int numbered(const char *name, const char *prefix, unsigned count)
{
    size_t length = strlen(prefix);
    char *end;
    if (strncasecmp(name, prefix, length) != 0 || !isdigit((unsigned char)name[length]))
        return -1;
    unsigned long number = strtoul(name + length, &end, 10);
    return *end == '\0' && number < count ? (int)number : -1;
}

bool debug_register(void *context, const char *name, uint64_t *value)
{
    struct debug *d = context;
    const struct reg *r = find(name);
    const struct flag *flag = find_flag(name);
    int pseudo = numbered(name, "$t", DEBUG_PSEUDO_MAX);
    if (pseudo >= 0) {
        *value = d->pseudo[pseudo];
        return true;
    }
    if (flag != NULL && debug_stopped(d)) {
        if (!debug_context(d))
            return false;
        *value = KD_GET(d->context, ContextAmd64, EFlags) >> flag->bit & ((1u << flag->width) - 1);
        return true;
    }
    if (strcasecmp(name, "$ra") == 0)
        return debug_stopped(d) && debug_return_address(d, value);
    if (strcasecmp(name, "$thread") == 0) {
        *value = kd_debugger_stop(&d->session.debugger)->thread;
        return debug_stopped(d);
    }
    if (r == NULL || !debug_stopped(d))
        return false;
    if (r->where == GENERAL ? !debug_context(d) : !debug_special(d))
        return false;
    const uint8_t *from = r->where == GENERAL ? d->context : d->special;
    *value = kd_get_uint(from + r->offset, r->size);
    return true;
}

static bool set_flag(struct debug *d, const struct flag *flag, uint64_t value)
{
    uint64_t mask = (1u << flag->width) - 1;
    if (value > mask)
        return debug_fail(d, "%s is at most %llx", flag->name, (unsigned long long)mask);
    if (!debug_context(d))
        return false;
    uint64_t all = KD_GET(d->context, ContextAmd64, EFlags);
    all = (all & ~(mask << flag->bit)) | value << flag->bit;
    kd_put_uint(d->context + KD_AT(ContextAmd64, EFlags), KD_SIZE(ContextAmd64, EFlags), all);
    return debug_set_context(d);
}

bool debug_set_register(struct debug *d, const char *name, uint64_t value)
{
    const struct reg *r = find(name);
    const struct flag *flag = find_flag(name);
    int pseudo = numbered(name, "$t", DEBUG_PSEUDO_MAX);
    if (pseudo >= 0) {
        d->pseudo[pseudo] = value;
        return true;
    }
    if (flag != NULL)
        return set_flag(d, flag, value);
    if (r == NULL)
        return debug_fail(d, "there is no register '%s'", name);
    if (r->where == SPECIAL) {
        if (!debug_special(d))
            return false;
        kd_put_uint(d->special + r->offset, r->size, value);
        return set_special(d);
    }
    if (!debug_context(d))
        return false;
    /* Writing a 32-bit part clears the upper half, as the processor does. */
    size_t size = r->size == 4 && r->offset >= KD_AT(ContextAmd64, Rax) ? 8 : r->size;
    kd_put_uint(d->context + r->offset, size, size == 8 && r->size == 4 ? (uint32_t)value : value);
    return debug_set_context(d);
}

/* ---- r ---- */

static uint64_t reg(const struct debug *d, const char *name)
{
    const struct reg *r = find(name);
    const uint8_t *from = r->where == GENERAL ? d->context : d->special;
    return kd_get_uint(from + r->offset, r->size);
}

static void show(struct debug *d, const char *name, int digits, const char *after)
{
    say_text(&d->say, "%3s=%0*llx%s", name, digits, (unsigned long long)reg(d, name), after);
    say_hex(&d->say, name, reg(d, name));
}

static void show_integers(struct debug *d)
{
    static const char *const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                        "rip", "rsp", "rbp", "r8",  "r9",  "r10",
                                        "r11", "r12", "r13", "r14", "r15"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        show(d, names[i], 16, i % 3 == 2 || i == 16 ? "\n" : " ");
}

static void show_flags(struct debug *d)
{
    uint32_t f = (uint32_t)reg(d, "efl");
    say_text(&d->say, "iopl=%x         %s %s %s %s %s %s %s %s\n", f >> 12 & 3,
             f & 0x800 ? "ov" : "nv", f & 0x400 ? "dn" : "up", f & 0x200 ? "ei" : "di",
             f & 0x80 ? "ng" : "pl", f & 0x40 ? "zr" : "nz", f & 0x10 ? "ac" : "na",
             f & 4 ? "pe" : "po", f & 1 ? "cy" : "nc");
}

static void show_segments(struct debug *d)
{
    static const char *const names[] = {"cs", "ss", "ds", "es", "fs", "gs"};
    for (size_t i = 0; i < 6; i++) {
        say_text(&d->say, "%s=%04x  ", names[i], (unsigned)reg(d, names[i]));
        say_hex(&d->say, names[i], reg(d, names[i]));
    }
    say_text(&d->say, "           efl=%08x\n", (unsigned)reg(d, "efl"));
    say_hex(&d->say, "efl", reg(d, "efl"));
}

static bool show_special(struct debug *d, const char *const *names)
{
    if (!debug_special(d))
        return false;
    for (size_t i = 0; names[i] != NULL; i++) {
        int digits = (int)find(names[i])->size * 2;
        show(d, names[i], digits, names[i + 1] == NULL || i % 3 == 2 ? "\n" : " ");
    }
    return true;
}

static void show_one_xmm(struct debug *d, unsigned number)
{
    const uint8_t *at = d->context + XMM0 + XMM_SIZE * number;
    char name[16];
    snprintf(name, sizeof name, "xmm%u", number);
    say_text(&d->say, "%5s=%016llx %016llx\n", name, (unsigned long long)kd_get_u64(at + 8),
             (unsigned long long)kd_get_u64(at));
    uint8_t big_endian[XMM_SIZE];
    for (unsigned k = 0; k < XMM_SIZE; k++)
        big_endian[k] = at[XMM_SIZE - 1 - k];
    say_bytes(&d->say, name, big_endian, sizeof big_endian);
}

static void show_xmm(struct debug *d)
{
    for (unsigned i = 0; i < XMM_COUNT; i++)
        show_one_xmm(d, i);
}

/* 128 bits: up to 32 digits in one number, or two values, the upper half first, as shown. */
static bool set_xmm(struct debug *d, unsigned number, struct args *args)
{
    uint64_t high = 0, low = 0;
    size_t digits = 0;
    args_end(args);
    if (strncasecmp(args->at, "0x", 2) == 0)
        args->at += 2;
    const char *p = args->at;
    for (; isxdigit((unsigned char)*p) || *p == '`'; p++) {
        if (*p == '`')
            continue;
        unsigned digit = isdigit((unsigned char)*p)
                             ? (unsigned)(*p - '0')
                             : (unsigned)(tolower((unsigned char)*p) - 'a' + 10);
        high = high << 4 | low >> 60;
        low = low << 4 | digit;
        digits++;
    }
    if (digits > 2 * XMM_SIZE)
        return debug_fail(d, "an XMM register has 128 bits, at most %d digits", 2 * XMM_SIZE);
    if (digits > XMM_SIZE && (*p == '\0' || *p == ' ')) {
        args->at = p;
    } else {
        if (!args_value(d, args, &low))
            return false;
        high = 0;
        if (!args_end(args)) {
            high = low;
            if (!args_value(d, args, &low))
                return false;
        }
    }
    if (!args_done(d, args, "r"))
        return false;
    kd_put_uint(d->context + XMM0 + XMM_SIZE * number, 8, low);
    kd_put_uint(d->context + XMM0 + XMM_SIZE * number + 8, 8, high);
    return debug_set_context(d);
}

static void show_float(struct debug *d)
{
    enum { CONTROL = 0x100, STATUS = 0x102, TAG = 0x104, ST0 = 0x120 };
    say_text(&d->say, "fpcw=%04x fpsw=%04x fptw=%04x\n", kd_get_u16(d->context + CONTROL),
             kd_get_u16(d->context + STATUS), d->context[TAG]);
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *at = d->context + ST0 + 16 * i;
        say_text(&d->say, "st%u=%04x:%016llx%s", i, kd_get_u16(at + 8),
                 (unsigned long long)kd_get_u64(at), i % 2 != 0 ? "\n" : "  ");
    }
}

static bool show_mask(struct debug *d, uint64_t mask)
{
    static const char *const control[] = {"cr0", "cr2", "cr3", "cr4", "cr8", "xcr0", NULL};
    static const char *const tables[] = {"gdtr", "gdtl", "idtr", "idtl", "tr", "ldtr", NULL};
    static const char *const debug[] = {"dr0", "dr1", "dr2", "dr3", "dr6", "dr7", NULL};
    bool good = true;
    say_open(&d->say, "registers", '{');
    if (mask & 3) {
        show_integers(d);
        show_flags(d);
    }
    if (mask & 0xB)
        show_segments(d);
    if (mask & 4)
        show_float(d);
    if (mask & 0x20)
        good = good && show_special(d, debug);
    if (mask & 0x40)
        show_xmm(d);
    if (mask & 0x80)
        good = good && show_special(d, control);
    if (mask & 0x100)
        good = good && show_special(d, tables);
    say_close(&d->say, '}');
    return good;
}

static bool one_register(struct debug *d, struct args *args)
{
    char name[16] = "";
    size_t length = 0;
    while (*args->at == ' ' || *args->at == '@')
        args->at++;
    while (*args->at && strchr("=, ", *args->at) == NULL && length < sizeof name - 1)
        name[length++] = *args->at++;
    name[length] = '\0';
    while (*args->at == ' ')
        args->at++;
    const struct reg *r = find(name);
    int xmm = numbered(name, "xmm", XMM_COUNT);
    bool known = r != NULL || xmm >= 0 || find_flag(name) != NULL ||
                 numbered(name, "$t", DEBUG_PSEUDO_MAX) >= 0 || strcasecmp(name, "$ra") == 0 ||
                 strcasecmp(name, "$thread") == 0;
    if (!known)
        return debug_fail(d, "there is no register '%s'; r alone shows the common ones", name);
    if (*args->at == '=') {
        uint64_t value;
        args->at++;
        if (xmm >= 0)
            return set_xmm(d, (unsigned)xmm, args);
        return args_value(d, args, &value) && debug_set_register(d, name, value);
    }
    uint64_t value;
    if (*args->at == ',')
        args->at++;
    if (xmm >= 0) {
        show_one_xmm(d, (unsigned)xmm);
        return true;
    }
    if (!debug_register(d, name, &value))
        return debug_fail(d, "%s cannot be read", name);
    const struct flag *flag = find_flag(name);
    int digits = r != NULL ? (int)r->size * 2 : flag != NULL ? 1 : 16;
    say_text(&d->say, "%s=%0*llx\n", r != NULL ? r->name : name, digits, (unsigned long long)value);
    say_hex(&d->say, r != NULL ? r->name : name, value);
    return true;
}

bool cmd_registers(struct debug *d, const char *name, struct args *args)
{
    uint64_t mask = 0xA;
    if (!debug_context(d))
        return false;
    if (name[1] == 'M' && !args_value(d, args, &mask))
        return false;
    if (name[1] != 'M' && !args_end(args)) {
        while (!args_end(args)) {
            if (!one_register(d, args))
                return false;
        }
        return true;
    }
    if (!show_mask(d, mask))
        return false;
    if (name[1] != 'M')
        debug_show_location(d);
    return true;
}
