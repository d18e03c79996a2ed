/* SPDX-License-Identifier: BSD-2-Clause */
/* d*, e*, s, f */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug/debug.h"

enum {
    DUMP_BYTES = 0x80, /* when no range is given, as in WinDbg */
    /* Nobody reads more from a screen, and a slip of the finger does not run for hours. */
    DUMP_MAX = 16 * 1024 * 1024,
    STRING_MAX = 0x10000,
    PAGE = 0x1000,
    VALUES_MAX = 2048, /* bytes of one e or of a pattern: what fits into a command line */
    /* One request's search: short enough that its answer comes in time on a slow machine. */
    SEARCH_PIECE = 1024 * 1024,
    HITS_MAX = 4096, /* addresses shown by one s */
};

/* ADDRESS [END | L COUNT]; UNIT bytes each. *SIZE stays when there is no range. */
static bool range(struct debug *d, struct args *args, unsigned unit, uint64_t *address,
                  uint64_t *size)
{
    uint64_t value;
    if (!args_value(d, args, address))
        return false;
    if (args_end(args))
        return true;
    if ((*args->at == 'L' || *args->at == 'l') && args->at[1] != '\0') {
        args->at += args->at[1] == '?' ? 2 : 1;
        if (!args_value(d, args, &value))
            return false;
        if (value == 0 || value > DUMP_MAX * 64ull / unit)
            return debug_fail(d, "a length of %llx is not possible", (unsigned long long)value);
        *size = value * unit;
        return true;
    }
    if (!args_value(d, args, &value))
        return false;
    if (value < *address)
        return debug_fail(d, "the end %s lies before the start %s", say_address(value),
                          say_address(*address));
    *size = value - *address + unit;
    return true;
}

/* Reads what can be read; VALID tells for each byte. */
static bool read_holes(struct debug *d, uint64_t address, uint8_t *to, bool *valid, size_t size)
{
    struct session *s = &d->session;
    size_t at = 0;
    while (at < size) {
        int result =
            session_finish(s, kd_debugger_read(&s->debugger, session_now(s), KD_SPACE_VIRTUAL, 0,
                                               address + at, to + at, size - at));
        size_t count = s->result.count;
        if (result < 0 && result != KD_E_FAULT)
            return debug_fail_request(d, "memory cannot be read", result);
        if (s->interrupts > 0)
            return debug_fail(d, "interrupted");
        memset(valid + at, true, count);
        at += count;
        if (result == KD_OK)
            break;
        size_t skip = PAGE - (size_t)((address + at) % PAGE);
        at += skip < size - at ? skip : size - at;
    }
    return true;
}

static void dump_unit(struct debug *d, const uint8_t *from, const bool *valid, unsigned unit)
{
    bool whole = true;
    for (unsigned i = 0; i < unit; i++)
        whole = whole && valid[i];
    uint64_t value = kd_get_uint(from, unit);
    if (unit == 8)
        say_text(&d->say, " %s", whole ? say_address(value) : "????????`????????");
    else if (whole)
        say_text(&d->say, " %0*llx", (int)unit * 2, (unsigned long long)value);
    else
        say_text(&d->say, " %.*s", (int)unit * 2, "????????");
}

static void dump_lines(struct debug *d, uint64_t address, const uint8_t *from, const bool *valid,
                       size_t size, unsigned unit)
{
    for (size_t line = 0; line < size; line += 16) {
        size_t in_line = size - line < 16 ? size - line : 16;
        say_text(&d->say, "%s ", say_address(address + line));
        for (size_t i = 0; i < 16; i += unit) {
            if (i >= in_line) {
                if (unit == 1)
                    say_text(&d->say, "   ");
                continue;
            }
            if (unit == 1) {
                say_text(&d->say, i == 8 ? "-" : " ");
                if (valid[line + i])
                    say_text(&d->say, "%02x", from[line + i]);
                else
                    say_text(&d->say, "??");
            } else {
                dump_unit(d, from + line + i, valid + line + i, unit);
            }
        }
        if (unit == 1) {
            say_text(&d->say, "  ");
            for (size_t i = 0; i < in_line; i++) {
                uint8_t c = from[line + i];
                say_text(&d->say, "%c",
                         !valid[line + i]        ? '?'
                         : c >= 0x20 && c < 0x7F ? (char)c
                                                 : '.');
            }
        }
        say_text(&d->say, "\n");
    }
}

static bool dump_string(struct debug *d, uint64_t address, uint64_t size, unsigned unit)
{
    uint8_t *bytes = malloc((size_t)size);
    bool *valid = calloc((size_t)size, 1);
    char *text = malloc((size_t)size + 1);
    bool good = bytes != NULL && valid != NULL && text != NULL;
    if (!good)
        debug_fail(d, "out of memory");
    good = good && read_holes(d, address, bytes, valid, (size_t)size);
    size_t length = 0;
    for (size_t i = 0; good && i + unit <= size && valid[i]; i += unit) {
        uint64_t c = kd_get_uint(bytes + i, unit);
        if (c == 0)
            break;
        text[length++] = c >= 0x20 && c < 0x7F ? (char)c : '.';
    }
    if (good && !valid[0])
        good = debug_fail(d, "memory at %s cannot be read", say_address(address));
    if (good) {
        text[length] = '\0';
        say_text(&d->say, "%s  \"", say_address(address));
        for (size_t i = 0; i < length; i += 500)
            say_text(&d->say, "%.500s", text + i);
        say_text(&d->say, "\"\n");
        say_hex(&d->say, "address", address);
        say_string(&d->say, "text", text);
        d->dump_next = address + (length + 1) * unit;
    }
    free(text);
    free(valid);
    free(bytes);
    return good;
}

static bool dump_memory(struct debug *d, uint64_t address, uint64_t size, unsigned unit)
{
    uint8_t *bytes = calloc((size_t)size, 1);
    bool *valid = calloc((size_t)size, 1);
    bool good = bytes != NULL && valid != NULL;
    if (!good)
        debug_fail(d, "out of memory");
    good = good && read_holes(d, address, bytes, valid, (size_t)size);
    if (good) {
        size_t count = 0;
        while (count < size && valid[count])
            count++;
        dump_lines(d, address, bytes, valid, (size_t)size, unit);
        say_hex(&d->say, "address", address);
        say_bytes(&d->say, "bytes", bytes, count);
        say_int(&d->say, "unreadable_from", (int64_t)(count < size ? (int64_t)count : -1));
        d->dump_next = address + size;
    }
    free(valid);
    free(bytes);
    return good;
}

bool cmd_dump(struct debug *d, const char *name, struct args *args)
{
    char format = name[1] != '\0' ? name[1] : d->dump_format != '\0' ? d->dump_format : 'b';
    unsigned unit = format == 'w' || format == 'u' ? 2 : format == 'd' ? 4 : format == 'q' ? 8 : 1;
    bool string = format == 'a' || format == 'u';
    uint64_t address = d->dump_next, size = string ? 256 * unit : DUMP_BYTES;
    if (!args_end(args) && !range(d, args, unit, &address, &size))
        return false;
    if (size > (string ? (uint64_t)STRING_MAX : (uint64_t)DUMP_MAX))
        return debug_fail(d, "that is more than 0x%x bytes; ask for less",
                          string ? STRING_MAX : DUMP_MAX);
    d->dump_format = format;
    return string ? dump_string(d, address, size, unit) : dump_memory(d, address, size, unit);
}

/* ---- values ---- */

static bool quoted(struct debug *d, struct args *args, uint8_t *to, size_t *size, bool wide)
{
    args->at++;
    while (*args->at != '"') {
        if (*args->at == '\0')
            return debug_fail(d, "the closing quote is missing");
        if (*size + 2 > VALUES_MAX)
            return debug_fail(d, "more than 0x%x bytes", VALUES_MAX);
        to[(*size)++] = (uint8_t)*args->at++;
        if (wide)
            to[(*size)++] = 0;
    }
    args->at++;
    return true;
}

static bool values(struct debug *d, struct args *args, unsigned unit, uint8_t *to, size_t *size)
{
    *size = 0;
    while (!args_end(args)) {
        uint64_t value;
        if (*args->at == '"') {
            if (!quoted(d, args, to, size, unit == 2))
                return false;
            continue;
        }
        if (!args_value(d, args, &value))
            return false;
        bool negative =
            (int64_t)value < 0 && (int64_t)value >= -(1ll << (8 * (unit < 8 ? unit : 1) - 1));
        if (unit < 8 && value >> (8 * unit) != 0 && !negative)
            return debug_fail(d, "%llx does not fit into %u bytes", (unsigned long long)value,
                              unit);
        if (*size + unit > VALUES_MAX)
            return debug_fail(d, "more than 0x%x bytes", VALUES_MAX);
        kd_put_uint(to + *size, unit, value);
        *size += unit;
    }
    return *size > 0 || debug_fail(d, "what is to be written is missing");
}

static bool write_memory(struct debug *d, uint64_t address, const uint8_t *from, size_t size)
{
    struct session *s = &d->session;
    int result = session_finish(s, kd_debugger_write(&s->debugger, session_now(s), KD_SPACE_VIRTUAL,
                                                     0, address, from, size));
    if (result == KD_OK)
        return true;
    char what[80];
    snprintf(what, sizeof what, "memory at %s cannot be written",
             say_address(address + s->result.count));
    return debug_fail_request(d, what, result);
}

bool cmd_enter(struct debug *d, const char *name, struct args *args)
{
    unsigned unit = name[1] == 'w' ? 2 : name[1] == 'd' ? 4 : name[1] == 'q' ? 8 : 1;
    uint8_t bytes[VALUES_MAX + 8];
    uint64_t address;
    size_t size;
    return args_value(d, args, &address) && values(d, args, unit, bytes, &size) &&
           write_memory(d, address, bytes, size);
}

bool cmd_fill(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    struct session *s = &d->session;
    uint8_t pattern[VALUES_MAX + 8];
    uint64_t address, size = 0;
    size_t pattern_size;
    if (!range(d, args, 1, &address, &size))
        return false;
    if (size == 0)
        return debug_fail(d, "f needs a range: f ADDRESS L COUNT BYTES");
    if (!values(d, args, 1, pattern, &pattern_size))
        return false;
    if (size > DUMP_MAX)
        return debug_fail(d, "that is more than 0x%x bytes", DUMP_MAX);
    int result =
        session_finish(s, kd_debugger_fill(&s->debugger, session_now(s), address, (uint32_t)size,
                                           pattern, (uint16_t)pattern_size));
    if (result == KD_E_REFUSED || (result == KD_OK && s->result.count != size)) {
        uint8_t *bytes = malloc((size_t)size); /* the target cannot: write it */
        if (bytes == NULL)
            return debug_fail(d, "out of memory");
        for (size_t i = 0; i < size; i++)
            bytes[i] = pattern[i % pattern_size];
        bool good = write_memory(d, address, bytes, (size_t)size);
        free(bytes);
        return good;
    }
    return result == KD_OK || debug_fail_request(d, "memory cannot be filled", result);
}

/* ---- search ---- */

struct search {
    uint64_t at, end; /* where the pattern may start and end */
    uint8_t pattern[VALUES_MAX + 8];
    size_t size;
    bool local; /* the target cannot search: read and look here */
};

/* Looks for the pattern in [at, at + length) by reading. */
static int search_here(struct debug *d, const struct search *q, uint64_t length, uint64_t *found)
{
    uint8_t *bytes = malloc((size_t)length);
    bool *valid = calloc((size_t)length, 1);
    int result = KD_E_NOT_FOUND;
    if (bytes == NULL || valid == NULL || !read_holes(d, q->at, bytes, valid, (size_t)length))
        result = KD_E_IO;
    for (size_t i = 0; result == KD_E_NOT_FOUND && i + q->size <= length; i++) {
        if (valid[i] && valid[i + q->size - 1] && memcmp(bytes + i, q->pattern, q->size) == 0) {
            *found = q->at + i;
            result = KD_OK;
        }
    }
    free(valid);
    free(bytes);
    return result;
}

/* The next place at or after q->at: KD_OK, KD_E_NOT_FOUND, or another error with its text set. */
static int search_next(struct debug *d, struct search *q, uint64_t *found)
{
    struct session *s = &d->session;
    while (q->at <= q->end && q->end - q->at >= q->size) {
        uint64_t length = q->end - q->at;
        if (length > SEARCH_PIECE)
            length = SEARCH_PIECE;
        int result;
        if (!q->local) {
            result = session_finish(s, kd_debugger_search(&s->debugger, session_now(s), q->at,
                                                          length, q->pattern, q->size));
            *found = s->result.value;
            bool refused =
                result == KD_E_NOT_FOUND &&
                (s->result.status == KD_STATUS_UNSUCCESSFUL || s->result.status == 0xC0000002u);
            /* A liar's address would make the search go back and never end. */
            bool absurd = result == KD_OK && (*found < q->at || *found - q->at >= length);
            if (refused || absurd) {
                q->local = true;
                continue;
            }
        } else {
            result = search_here(d, q, length, found);
        }
        if (s->interrupts > 0) {
            debug_fail(d, "interrupted");
            return KD_E_CANCELLED;
        }
        if (result != KD_E_NOT_FOUND) {
            if (result < 0 && result != KD_E_IO)
                debug_fail_request(d, "the search failed", result);
            return result;
        }
        if (q->end - q->at == length)
            break;
        q->at += length - q->size + 1;
    }
    return KD_E_NOT_FOUND;
}

bool cmd_search(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    struct search q = {.local = false};
    unsigned unit = 1, grain = 1; /* values lie at multiples of their size from the start */
    uint64_t size = 0, found, start;
    args_end(args);
    if (*args->at == '-' && args->at[1] != '\0') {
        char kind = args->at[1];
        unit = kind == 'w' || kind == 'u' ? 2 : kind == 'd' ? 4 : kind == 'q' ? 8 : 1;
        if (strchr("bwdqau", kind) == NULL)
            return debug_fail(d, "s knows -b -w -d -q -a -u, not -%c", kind);
        grain = kind == 'u' ? 1 : unit;
        args->at += 2;
    }
    if (!range(d, args, unit, &q.at, &size))
        return false;
    if (size == 0)
        return debug_fail(d, "s needs a range: s [-b|-w|-d|-q|-a|-u] ADDRESS L COUNT PATTERN");
    if (!values(d, args, unit, q.pattern, &q.size))
        return false;
    if (q.size > VALUES_MAX)
        return debug_fail(d, "that pattern is too long");
    start = q.at;
    q.end = q.at + size;
    unsigned hits = 0;
    int result;
    say_open(&d->say, "found", '[');
    while ((result = search_next(d, &q, &found)) == KD_OK && hits < HITS_MAX) {
        uint8_t bytes[16] = {0};
        bool valid[16] = {false};
        if ((found - start) % grain != 0) {
            q.at = found + grain - (found - start) % grain;
            continue;
        }
        hits++;
        if (!read_holes(d, found, bytes, valid, sizeof bytes))
            return false;
        dump_lines(d, found, bytes, valid, sizeof bytes, unit);
        say_hex(&d->say, NULL, found);
        q.at = found + unit;
    }
    say_close(&d->say, ']');
    return result == KD_E_NOT_FOUND || result == KD_OK;
}
