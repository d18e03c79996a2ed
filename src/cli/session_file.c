/* SPDX-License-Identifier: BSD-2-Clause */
#include "session_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct session_entry *first, **end;
    unsigned count, problems;
    void (*problem)(void *context, unsigned line, const char *message);
    void *context;
};

static void fault(struct parser *parser, unsigned line, const char *message)
{
    parser->problems++;
    parser->problem(parser->context, line, message);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts blanks off both ends of what stands from START to before END, and ends it with a NUL. */
static char *trimmed(char *start, char *end)
{
    while (start < end && is_blank(*start))
        start++;
    while (end > start && is_blank(end[-1]))
        end--;
    *end = '\0';
    return start;
}

static bool is_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";
    size_t size = strlen(text);
    return size > 0 && size < SESSION_NAME_MAX && strspn(text, allowed) == size;
}

/* ---- the end of a session ---- */

static const char *stdio_text = "stdio belongs to kdwire relay: here nobody is at standard input "
                                "and output";

static bool lacks_key(const struct relay_options *options, const struct endpoint_spec *spec)
{
    return endpoint_spec_needs_key(spec) && !spec->has_key && !*spec->path && !options->key_file;
}

/* Are the settings whole and do they go together? */
static void check_entry(struct parser *parser, struct session_entry *entry)
{
    char message[RELAY_OPTION_MESSAGE_MAX];
    struct relay_config config;
    struct relay_options *options = &entry->options;
    if (relay_options_config(options, &config, message) < 0)
        fault(parser, entry->line, message);
    else if (relay_config_stdio(&config))
        fault(parser, entry->line, stdio_text);
    else if (lacks_key(options, &config.ends[0]) || lacks_key(options, &config.ends[1]))
        fault(parser, entry->line, "a KDNET end needs its key: write key-file = FILE");
    bool rotates = options->file.rotate_size || options->file.rotate_time_ns;
    if (options->record && !rotates && !options->file.replace)
        options->file.rotate_size = SESSION_RECORD_SIZE;
}

/* ---- lines ---- */

/* They could do anything to the terminal that shows a message with them. */
static bool has_control_character(const char *text)
{
    while (*text && (unsigned char)*text >= ' ' && *text != 127)
        text++;
    return *text != '\0';
}

/* Each line lies in ENTRY's copy, from LINE to before END, where there is room for a NUL. */
static void parse_setting(struct parser *parser, struct session_entry *entry, unsigned number,
                          char *line, char *end)
{
    char message[RELAY_OPTION_MESSAGE_MAX];
    char *equals = memchr(line, '=', (size_t)(end - line));
    const char *name = trimmed(line, equals ? equals : end);
    const char *value = equals ? trimmed(equals + 1, end) : NULL;
    if (!*name || *name == '#' || *name == ';') {
        if (!*name && equals)
            fault(parser, number, "the setting's name is missing before '='");
        return;
    }
    if (has_control_character(name) || (value && has_control_character(value)))
        fault(parser, number, "there is a control character in this line; remove it");
    else if (value && !*value)
        fault(parser, number, "the value is missing after '='; remove the line for none");
    else if (relay_option_set(&entry->options, name, value, message) < 0)
        fault(parser, number, message);
}

static void parse_settings(struct parser *parser, struct session_entry *entry)
{
    char *at = entry->text, *end = entry->text + entry->size;
    unsigned before = parser->problems;
    for (unsigned number = entry->line + 1; at < end; number++) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            line_end = end; /* the copy has one byte more */
        parse_setting(parser, entry, number, at, line_end);
        at = line_end + 1;
    }
    if (parser->problems == before) /* else what is missing may be the line that was refused */
        check_entry(parser, entry);
}

static const struct session_entry *find_entry(const struct parser *parser, const char *name)
{
    const struct session_entry *entry = parser->first;
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next;
    return entry;
}

static void add_session(struct parser *parser, unsigned number, const char *name, const char *text,
                        size_t size)
{
    char message[RELAY_OPTION_MESSAGE_MAX];
    const struct session_entry *same = find_entry(parser, name);
    if (same) {
        snprintf(message, sizeof(message), "[%s] is there already, in line %u", name, same->line);
        fault(parser, number, message);
        return;
    }
    struct session_entry *entry = calloc(1, sizeof(*entry));
    char *copy = malloc(size + 1);
    if (parser->count == SESSIONS_MAX || !entry || !copy) {
        snprintf(message, sizeof(message), "a file has at most %d sessions", SESSIONS_MAX);
        fault(parser, number, entry && copy ? message : "there is no memory for this session");
        free(entry);
        free(copy);
        return;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    entry->text = copy;
    entry->size = size;
    entry->line = number;
    entry->options.dash = "";
    snprintf(entry->name, sizeof(entry->name), "%s", name);
    *parser->end = entry;
    parser->end = &entry->next;
    parser->count++;
    parse_settings(parser, entry);
}

/* A line that begins with '[': the name into NAME, or what is wrong with it is told. */
static bool parse_name(struct parser *parser, unsigned number, const char *line, size_t size,
                       char name[SESSION_NAME_MAX])
{
    while (size > 0 && is_blank(line[size - 1]))
        size--;
    if (size > 2 && size - 2 < SESSION_NAME_MAX && line[size - 1] == ']') {
        memcpy(name, line + 1, size - 2);
        name[size - 2] = '\0';
        if (is_name(name))
            return true;
    }
    fault(parser, number,
          "a session begins with its name in brackets, for example [vm1]: at most 31 letters, "
          "digits, '-', '_' and '.'");
    return false;
}

static size_t line_size(const char *text, size_t size)
{
    const char *end = memchr(text, '\n', size);
    return end ? (size_t)(end - text) : size;
}

/* How many blanks a line of SIZE bytes begins with. */
static size_t indent(const char *line, size_t size)
{
    size_t blanks = 0;
    while (blanks < size && is_blank(line[blanks]))
        blanks++;
    return blanks;
}

/* How many bytes are before the next line that begins a session; *LINES are counted on. */
static size_t body_size(const char *text, size_t size, unsigned *lines)
{
    size_t at = 0;
    while (at < size) {
        size_t length = line_size(text + at, size - at);
        size_t skip = indent(text + at, length);
        if (skip < length && text[at + skip] == '[')
            break;
        at += length + 1;
        ++*lines;
    }
    return at < size ? at : size;
}

/* What stands before the first session must be comments. */
static void check_head(struct parser *parser, const char *text, size_t size)
{
    unsigned number = 1;
    for (size_t at = 0; at < size; number++) {
        size_t length = line_size(text + at, size - at);
        size_t skip = indent(text + at, length);
        if (skip < length && text[at + skip] != '#' && text[at + skip] != ';') {
            fault(parser, number,
                  "a setting belongs to a session; begin one with its name in "
                  "brackets, for example [vm1]");
            return;
        }
        at += length + 1;
    }
}

static void parse_sessions(struct parser *parser, const char *text, size_t size)
{
    unsigned number = 1;
    size_t at = body_size(text, size, &number);
    check_head(parser, text, at);
    while (at < size) {
        char name[SESSION_NAME_MAX];
        unsigned line = number++;
        size_t length = line_size(text + at, size - at);
        size_t skip = indent(text + at, length);
        bool good = parse_name(parser, line, text + at + skip, length - skip, name);
        at += length < size - at ? length + 1 : length;
        size_t body = body_size(text + at, size - at, &number);
        if (good)
            add_session(parser, line, name, text + at, body);
        at += body;
    }
    if (!parser->count && !parser->problems)
        fault(parser, 1,
              "there is no session in this file; begin one with its name in brackets, for example "
              "[vm1]");
}

struct session_entry *session_file_parse(const char *text, size_t size,
                                         void (*problem)(void *context, unsigned line,
                                                         const char *message),
                                         void *context)
{
    struct parser parser = {.problem = problem, .context = context};
    parser.end = &parser.first;
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* what Notepad writes first */
        text += 3;
        size -= 3;
    }
    if (size > SESSION_FILE_MAX)
        fault(&parser, 1, "this file is too large to be a list of sessions");
    else if (memchr(text, '\0', size))
        fault(&parser, 1, "this is no UTF-8 text; save it as UTF-8 (Notepad: Save as, Encoding)");
    else
        parse_sessions(&parser, text, size);
    if (!parser.problems)
        return parser.first;
    session_file_free(parser.first);
    return NULL;
}

void session_entry_free(struct session_entry *entry)
{
    free(entry->text);
    free(entry);
}

void session_file_free(struct session_entry *first)
{
    while (first) {
        struct session_entry *next = first->next;
        session_entry_free(first);
        first = next;
    }
}
