/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdboot_conf.h"

#include <string.h>

/* A piece of the text; not NUL-terminated. */
struct span {
    const char *at;
    size_t size;
};

static void copy_literal(char *to, const char *from)
{
    while ((*to++ = *from++) != 0) {
    }
}

void kdboot_conf_default(struct kdboot_conf *conf)
{
    memset(conf, 0, sizeof *conf);
    copy_literal(conf->debugger.path, "\\EFI\\kdwire\\windbg.efi");
    copy_literal(conf->next[0].path, "\\EFI\\Microsoft\\Boot\\bootmgfw.efi");
    copy_literal(conf->next[1].path, "\\EFI\\BOOT\\next.efi");
    copy_literal(conf->next[2].path, "\\EFI\\BOOT\\shellx64.efi");
    conf->next_count = 3;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trimmed(struct span s)
{
    while (s.size > 0 && is_blank(s.at[0])) {
        s.at++;
        s.size--;
    }
    while (s.size > 0 && is_blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

static int span_is(struct span s, const char *word)
{
    size_t i;

    for (i = 0; i < s.size && word[i] != 0 && s.at[i] == word[i]; i++) {
    }
    return i == s.size && word[i] == 0;
}

static const char *check_text(struct span value, size_t room)
{
    size_t i;

    if (value.size >= room)
        return "the value is too long";
    for (i = 0; i < value.size; i++) {
        if (value.at[i] < ' ' || value.at[i] > '~')
            return "only printable ASCII characters are allowed";
    }
    return NULL;
}

static const char *set_options(char *options, struct span value)
{
    const char *why = check_text(value, KDBOOT_OPTIONS_MAX);

    if (why != NULL)
        return why;
    memcpy(options, value.at, value.size);
    options[value.size] = 0;
    return NULL;
}

static const char *set_path(char *path, struct span value)
{
    const char *why;
    size_t i, at = 0;

    if (value.size == 0)
        return "the path is missing";
    /* One byte of the room is for a leading backslash that the user left out. */
    why = check_text(value, KDBOOT_PATH_MAX - 1);
    if (why != NULL)
        return why;
    if (value.at[0] != '\\' && value.at[0] != '/')
        path[at++] = '\\';
    for (i = 0; i < value.size; i++)
        path[at++] = value.at[i] == '/' ? '\\' : value.at[i];
    path[at] = 0;
    return NULL;
}

/* The parser's memory across lines: the default list goes when the first next= line comes. */
struct parser {
    struct kdboot_conf *conf;
    size_t next_lines;
};

static const char *add_next(struct parser *p, struct span value)
{
    struct kdboot_file *file;
    const char *why;

    if (p->next_lines == KDBOOT_NEXT_MAX)
        return "there are more next= lines than kdboot takes (8)";
    file = &p->conf->next[p->next_lines];
    why = set_path(file->path, value);
    if (why != NULL)
        return why;
    file->options[0] = 0;
    p->conf->next_count = ++p->next_lines;
    return NULL;
}

static const char *parse_line(struct parser *p, struct span line)
{
    struct span key = {line.at, 0}, value;

    line = trimmed(line);
    if (line.size == 0 || line.at[0] == '#')
        return NULL;
    key.at = line.at;
    while (key.size < line.size && line.at[key.size] != '=')
        key.size++;
    if (key.size == line.size)
        return "there is no '='";
    value.at = line.at + key.size + 1;
    value.size = line.size - key.size - 1;
    key = trimmed(key);
    value = trimmed(value);
    if (span_is(key, "debugger"))
        return set_path(p->conf->debugger.path, value);
    if (span_is(key, "debugger-options"))
        return set_options(p->conf->debugger.options, value);
    if (span_is(key, "next"))
        return add_next(p, value);
    if (span_is(key, "next-options")) {
        if (p->next_lines == 0)
            return "next-options= comes after the next= line it belongs to";
        return set_options(p->conf->next[p->next_lines - 1].options, value);
    }
    return "the key is not debugger, debugger-options, next or next-options";
}

void kdboot_conf_parse(struct kdboot_conf *conf, const char *text, size_t size)
{
    struct parser parser = {conf, 0};
    unsigned number = 0;
    size_t at = 0;

    while (at < size) {
        struct span line = {text + at, 0};
        const char *why;

        while (line.size < size - at && line.at[line.size] != '\n')
            line.size++;
        at += line.size;
        if (at < size)
            at++; /* the LF */
        number++;
        why = parse_line(&parser, line);
        if (why == NULL)
            continue;
        conf->bad_lines++;
        if (conf->first_bad_line == 0) {
            conf->first_bad_line = number;
            conf->why = why;
        }
    }
}
