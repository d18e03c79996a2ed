/* SPDX-License-Identifier: BSD-2-Clause */
#include "debug/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct buffer *b, size_t more)
{
    if (b->room - b->size > more)
        return true;
    size_t room = b->room ? b->room : 256;
    while (room - b->size <= more)
        room *= 2;
    char *data = realloc(b->data, room);
    if (data == NULL)
        return false; /* text is lost, the session goes on */
    b->data = data;
    b->room = room;
    return true;
}

static void append(struct buffer *b, const char *text, size_t size)
{
    if (!reserve(b, size))
        return;
    memcpy(b->data + b->size, text, size);
    b->size += size;
    b->data[b->size] = '\0';
}

static void append_text(struct buffer *b, const char *text)
{
    append(b, text, strlen(text));
}

static void clear(struct buffer *b)
{
    b->size = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

/* Length of the well-formed UTF-8 character at TEXT, 0 if there is none. */
static size_t utf8_length(const unsigned char *text, size_t size)
{
    size_t length = text[0] >= 0xF0 && text[0] < 0xF5   ? 4
                    : text[0] >= 0xE0 && text[0] < 0xF0 ? 3
                    : text[0] >= 0xC2 && text[0] < 0xE0 ? 2
                                                        : 0;
    if (length == 0 || length > size)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    }
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] >= 0xA0) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] >= 0x90))
        return 0;
    return length;
}

static void append_quoted(struct buffer *b, const char *text, size_t size)
{
    append(b, "\"", 1);
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        size_t length = 1;
        if (c == '"' || c == '\\') {
            snprintf(escape, sizeof escape, "\\%c", c);
            append_text(b, escape);
        } else if (c == '\n') {
            append_text(b, "\\n");
        } else if (c >= 0x20 && c < 0x7F) {
            append(b, text + i, 1);
        } else if ((length = utf8_length((const unsigned char *)text + i, size - i)) > 0) {
            append(b, text + i, length);
        } else {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            append_text(b, escape);
            length = 1;
        }
        i += length;
    }
    append(b, "\"", 1);
}

void say_free(struct say *say)
{
    free(say->text.data);
    free(say->fields.data);
    free(say->saved.data);
    memset(say, 0, sizeof *say);
}

static void key(struct say *say, const char *name)
{
    if (say->comma)
        append(&say->fields, ",", 1);
    say->comma = true;
    if (name == NULL)
        return;
    append_quoted(&say->fields, name, strlen(name));
    append(&say->fields, ":", 1);
}

void say_begin(struct say *say, const char *command)
{
    say->in_command = true;
    say->comma = false;
    clear(&say->text);
    clear(&say->fields);
    say_string(say, "command", command);
}

void say_end(struct say *say, const char *error)
{
    say->in_command = false;
    if (!say->json) {
        fflush(stdout);
        if (error != NULL)
            fprintf(stderr, "error: %s\n", error);
        return;
    }
    say_bool(say, "ok", error == NULL);
    if (error != NULL)
        say_string(say, "error", error);
    if (say->text.size > 0) {
        key(say, "output");
        append_quoted(&say->fields, say->text.data, say->text.size);
    }
    printf("{%s}\n", say->fields.data != NULL ? say->fields.data : "");
    fflush(stdout);
}

void say_event(struct say *say, const char *name, const char *text)
{
    if (say->json) {
        struct buffer fields = say->saved;
        say->saved = say->fields;
        say->fields = fields;
        clear(&say->fields);
        say->comma = false;
        say_string(say, "event", name);
        return;
    }
    if (text == NULL)
        return;
    if (say->hide != NULL)
        say->hide(say->context);
    fputs(text, stdout);
    fflush(stdout);
}

void say_event_end(struct say *say)
{
    if (say->json) {
        printf("{%s}\n", say->fields.data != NULL ? say->fields.data : "");
        fflush(stdout);
        struct buffer fields = say->saved;
        say->saved = say->fields;
        say->fields = fields;
        say->comma = say->fields.size > 0;
        return;
    }
    if (say->show != NULL)
        say->show(say->context);
}

void say_text(struct say *say, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!say->json) {
        vprintf(format, arguments);
    } else {
        char line[1024];
        int size = vsnprintf(line, sizeof line, format, arguments);
        if (size > 0)
            append_text(&say->text, line);
    }
    va_end(arguments);
}

void say_string(struct say *say, const char *name, const char *value)
{
    if (!say->json)
        return;
    key(say, name);
    append_quoted(&say->fields, value, strlen(value));
}

void say_bytes(struct say *say, const char *name, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    if (!say->json)
        return;
    key(say, name);
    append(&say->fields, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        append(&say->fields, pair, 2);
    }
    append(&say->fields, "\"", 1);
}

void say_hex(struct say *say, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
    say_string(say, name, text);
}

void say_int(struct say *say, const char *name, int64_t value)
{
    char text[32];
    if (!say->json)
        return;
    key(say, name);
    snprintf(text, sizeof text, "%lld", (long long)value);
    append_text(&say->fields, text);
}

void say_bool(struct say *say, const char *name, bool value)
{
    if (!say->json)
        return;
    key(say, name);
    append_text(&say->fields, value ? "true" : "false");
}

void say_open(struct say *say, const char *name, char bracket)
{
    if (!say->json)
        return;
    key(say, name);
    append(&say->fields, &bracket, 1);
    say->comma = false;
}

void say_close(struct say *say, char bracket)
{
    if (!say->json)
        return;
    append(&say->fields, &bracket, 1);
    say->comma = true;
}

void say_clean(char *to, const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        size_t length = c >= 0x80 ? utf8_length((const unsigned char *)text + i, size - i) : 1;
        /* U+0080..U+009F are control characters, too. */
        bool control = length == 2 && c == 0xC2 && (unsigned char)text[i + 1] < 0xA0;
        if (length == 0 || control) {
            *to++ = '?';
            length = length == 0 ? 1 : length;
        } else if (length > 1) {
            memcpy(to, text + i, length);
            to += length;
        } else if (c >= 0x20 ? c != 0x7F : c == '\n' || c == '\t') {
            *to++ = (char)c;
        } else if (c != '\r' && c != 0) {
            *to++ = '?';
        }
        i += length;
    }
    *to = '\0';
}

const char *say_address(uint64_t address)
{
    static char texts[4][24];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "%08x`%08x", (unsigned)(address >> 32), (unsigned)address);
    return text;
}
