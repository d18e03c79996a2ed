/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line that is being typed: keys in, what to write on the terminal out. Pure; for systems without
 * libedit. Keys are bytes as a terminal sends them: UTF-8 and escape sequences.
 *
 *   Left Right Home End, Ctrl-B F A E     move
 *   Backspace Delete, Ctrl-H D            remove a character (Ctrl-D on an empty line: the end)
 *   Ctrl-W U K                            remove the word before, all before, all behind
 *   Up Down, Ctrl-P N                     history
 *   Tab                                   complete the word, or as far as all candidates agree
 *   Ctrl-L                                clear the screen
 */
#ifndef KDWIRE_CLI_DEBUG_LINE_H
#define KDWIRE_CLI_DEBUG_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LINE_MAX_BYTES = 4096, /* longer than any command */
    LINE_PROMPT_MAX = 128,
    LINE_HISTORY_MAX = 1000,
    LINE_WIDTH_MIN = 20, /* narrower terminals are treated as this wide */
    /* Most bytes of one redraw: a line of the widest terminal in UTF-8 and some movements. */
    LINE_SHOWN_MAX = 8192,
};

enum line_result {
    LINE_GOES_ON,
    LINE_DONE,      /* line->text is whole */
    LINE_INTERRUPT, /* Ctrl-C; the line is empty again */
    LINE_END,       /* Ctrl-D on an empty line */
};

struct line {
    char text[LINE_MAX_BYTES]; /* UTF-8, ends in NUL */
    size_t size, at;           /* bytes; the cursor's place */
    size_t width;              /* columns of the terminal; set by the caller */
    /* Private: */
    char prompt[LINE_PROMPT_MAX];
    char keys[8]; /* of an escape sequence not yet whole */
    size_t key_count;
    char *history[LINE_HISTORY_MAX];
    size_t history_count, history_at;
    char *(*complete)(const char *text, int state); /* as editor_callbacks.complete */
};

/* Begins an empty line. */
void line_begin(struct line *line, const char *prompt);
void line_set_prompt(struct line *line, const char *prompt);

/* One byte from the keyboard. REDRAW is set when the line on the screen is not as it should be. */
enum line_result line_key(struct line *line, char key, bool *redraw);

/* What shows the line on the terminal, cursor included. Returns the number of bytes in TEXT. */
size_t line_shown(const struct line *line, char text[LINE_SHOWN_MAX]);

/* Adds to the history, unless it is empty or as the last. The oldest is forgotten. */
void line_remember(struct line *line, const char *text);
void line_free(struct line *line);

#endif
