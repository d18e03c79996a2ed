/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user sees: text, or with --json one object per command and event on one line. A
 * command's text is printed as it comes, or becomes the object's "output" beside the fields.
 */
#ifndef KDWIRE_DEBUG_SAY_H
#define KDWIRE_DEBUG_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *data;
    size_t size, room;
};

struct say {
    bool json;
    bool in_command;
    bool comma;           /* before the next field or element */
    struct buffer text;   /* of the command, with json */
    struct buffer fields; /* of the command or event */
    struct buffer saved;  /* a command's fields while an event interrupts it */
    void (*hide)(void *); /* before and after text that comes by itself: the prompt's line */
    void (*show)(void *);
    void *context;
};

void say_free(struct say *say);

/* One command: begin, text and fields, end (ERROR NULL = it succeeded). */
void say_begin(struct say *say, const char *command);
void say_end(struct say *say, const char *error);

/* An event by itself. TEXT (may be NULL) is what a person is told, with its line ends; with json
 * only the fields that follow until say_event_end count. */
void say_event(struct say *say, const char *name, const char *text);
void say_event_end(struct say *say);

void say_text(struct say *say, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* JSON fields; nothing without json. A NULL name: an element of an array. */
void say_string(struct say *say, const char *name, const char *value);
void say_bytes(struct say *say, const char *name, const uint8_t *bytes, size_t size); /* hex */
void say_hex(struct say *say, const char *name, uint64_t value);                      /* "0x..." */
void say_int(struct say *say, const char *name, int64_t value);
void say_bool(struct say *say, const char *name, bool value);
void say_open(struct say *say, const char *name, char bracket); /* '[' or '{' */
void say_close(struct say *say, char bracket);                  /* ']' or '}' */

/* Text from the target made harmless for a terminal: control characters but \n and \t become
 * '?'; \r is dropped. TO has room for SIZE + 1 bytes. */
void say_clean(char *to, const char *text, size_t size);

/* An address as WinDbg writes it: fffff800`12345678. Four buffers take turns. */
const char *say_address(uint64_t address);

#endif
