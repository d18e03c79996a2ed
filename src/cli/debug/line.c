/* SPDX-License-Identifier: BSD-2-Clause */
#include "debug/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTRL(letter) ((letter)&31)

enum { KEY_ESCAPE = 27, KEY_DELETE_BACK = 127 };

void line_set_prompt(struct line *line, const char *prompt)
{
    snprintf(line->prompt, sizeof line->prompt, "%s", prompt);
}

void line_begin(struct line *line, const char *prompt)
{
    if (prompt != line->prompt)
        line_set_prompt(line, prompt);
    line->size = line->at = line->key_count = 0;
    line->text[0] = '\0';
    line->history_at = line->history_count;
}

/* ---- characters ---- */

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

static size_t before(const struct line *line, size_t at)
{
    if (at > 0)
        at--;
    while (at > 0 && continues(line->text[at]))
        at--;
    return at;
}

static size_t behind(const struct line *line, size_t at)
{
    if (at < line->size)
        at++;
    while (at < line->size && continues(line->text[at]))
        at++;
    return at;
}

static void insert(struct line *line, const char *text, size_t size)
{
    if (size >= sizeof line->text - line->size)
        return;
    memmove(line->text + line->at + size, line->text + line->at, line->size - line->at + 1);
    memcpy(line->text + line->at, text, size);
    line->size += size;
    line->at += size;
}

static void erase(struct line *line, size_t from, size_t to)
{
    memmove(line->text + from, line->text + to, line->size - to + 1);
    line->size -= to - from;
    line->at = from;
}

static size_t word_begin(const struct line *line)
{
    size_t at = line->at;
    while (at > 0 && line->text[at - 1] == ' ')
        at--;
    while (at > 0 && line->text[at - 1] != ' ')
        at--;
    return at;
}

/* ---- history ---- */

void line_remember(struct line *line, const char *text)
{
    size_t count = line->history_count;
    if (text[0] == '\0' || (count > 0 && strcmp(line->history[count - 1], text) == 0))
        return;
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    if (copy == NULL)
        return;
    memcpy(copy, text, size);
    if (count == LINE_HISTORY_MAX) {
        free(line->history[0]);
        memmove(line->history, line->history + 1, sizeof line->history - sizeof line->history[0]);
        line->history_count--;
    }
    line->history[line->history_count++] = copy;
    line->history_at = line->history_count;
}

void line_free(struct line *line)
{
    for (size_t i = 0; i < line->history_count; i++)
        free(line->history[i]);
    line->history_count = 0;
}

/* The line typed so far is given up, as in a shell without a stash. */
static void recall(struct line *line, size_t which)
{
    line->history_at = which;
    const char *text = which < line->history_count ? line->history[which] : "";
    size_t size = strlen(text);
    if (size >= sizeof line->text)
        size = sizeof line->text - 1;
    memcpy(line->text, text, size);
    line->text[size] = '\0';
    line->size = line->at = size;
}

/* ---- completion ---- */

static void complete(struct line *line)
{
    char word[LINE_MAX_BYTES], *candidate, *agreed = NULL;
    size_t begin = line->at, count = 0;
    while (begin > 0 && !strchr(" ;\"", line->text[begin - 1]))
        begin--;
    size_t size = line->at - begin;
    memcpy(word, line->text + begin, size);
    word[size] = '\0';
    while (line->complete != NULL && (candidate = line->complete(word, (int)count)) != NULL) {
        size_t same = 0;
        if (count++ == 0) {
            agreed = candidate;
            continue;
        }
        while (agreed != NULL && agreed[same] != '\0' && agreed[same] == candidate[same])
            same++;
        if (agreed != NULL)
            agreed[same] = '\0';
        free(candidate);
    }
    if (agreed != NULL && strlen(agreed) > size)
        insert(line, agreed + size, strlen(agreed) - size);
    if (count == 1)
        insert(line, " ", 1);
    free(agreed);
}

/* ---- keys ---- */

/* An escape sequence: ESC [ or ESC O, digits, and a last character. */
static void escape_key(struct line *line)
{
    char last = line->keys[line->key_count - 1];
    char digit = line->key_count > 3 ? line->keys[2] : '\0';
    line->key_count = 0;
    if (last == 'D')
        line->at = before(line, line->at);
    else if (last == 'C')
        line->at = behind(line, line->at);
    else if (last == 'A' && line->history_at > 0)
        recall(line, line->history_at - 1);
    else if (last == 'B' && line->history_at < line->history_count)
        recall(line, line->history_at + 1);
    else if (last == 'H' || (last == '~' && (digit == '1' || digit == '7')))
        line->at = 0;
    else if (last == 'F' || (last == '~' && (digit == '4' || digit == '8')))
        line->at = line->size;
    else if (last == '~' && digit == '3')
        erase(line, line->at, behind(line, line->at));
}

static bool take_escape(struct line *line, char key)
{
    if (line->key_count == 0 && key != KEY_ESCAPE)
        return false;
    if (line->key_count == 1 && key != '[' && key != 'O') { /* Escape alone, then a key */
        line->key_count = key == KEY_ESCAPE;
        return key == KEY_ESCAPE;
    }
    line->keys[line->key_count++] = key;
    if (line->key_count > 2 && key >= 0x40 && key <= 0x7E)
        escape_key(line);
    else if (line->key_count == sizeof line->keys)
        line->key_count = 0;
    return true;
}

static bool move_key(struct line *line, char key)
{
    switch (key) {
    case CTRL('A'):
        line->at = 0;
        return true;
    case CTRL('E'):
        line->at = line->size;
        return true;
    case CTRL('B'):
        line->at = before(line, line->at);
        return true;
    case CTRL('F'):
        line->at = behind(line, line->at);
        return true;
    case CTRL('P'):
        if (line->history_at > 0)
            recall(line, line->history_at - 1);
        return true;
    case CTRL('N'):
        if (line->history_at < line->history_count)
            recall(line, line->history_at + 1);
        return true;
    default:
        return false;
    }
}

static bool erase_key(struct line *line, char key)
{
    switch (key) {
    case CTRL('H'):
    case KEY_DELETE_BACK:
        erase(line, before(line, line->at), line->at);
        return true;
    case CTRL('D'):
        erase(line, line->at, behind(line, line->at));
        return true;
    case CTRL('W'):
        erase(line, word_begin(line), line->at);
        return true;
    case CTRL('U'):
        erase(line, 0, line->at);
        return true;
    case CTRL('K'):
        erase(line, line->at, line->size);
        return true;
    default:
        return false;
    }
}

enum line_result line_key(struct line *line, char key, bool *redraw)
{
    *redraw = true;
    if (take_escape(line, key) || move_key(line, key))
        return LINE_GOES_ON;
    if (key == CTRL('D') && line->size == 0)
        return LINE_END;
    if (erase_key(line, key))
        return LINE_GOES_ON;
    if (key == '\r' || key == '\n')
        return LINE_DONE;
    if (key == CTRL('C')) {
        line_begin(line, line->prompt);
        return LINE_INTERRUPT;
    }
    if (key == '\t')
        complete(line);
    else if ((unsigned char)key >= ' ')
        insert(line, &key, 1);
    else if (key != CTRL('L'))
        *redraw = false;
    return LINE_GOES_ON;
}

/* ---- the screen ---- */

static size_t columns(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += !continues(text[i]);
    return count;
}

size_t line_shown(const struct line *line, char text[LINE_SHOWN_MAX])
{
    size_t width = line->width < LINE_WIDTH_MIN ? LINE_WIDTH_MIN : line->width;
    size_t prompt = columns(line->prompt, strlen(line->prompt));
    /* The last column stays free: a full row would scroll. A long line shows what is around the
     * cursor. */
    size_t room = prompt + LINE_WIDTH_MIN / 2 < width ? width - prompt - 1 : LINE_WIDTH_MIN / 2;
    size_t from = 0, to;
    while (columns(line->text + from, line->at - from) > room - 1)
        from = behind(line, from);
    to = from;
    while (to < line->size && columns(line->text + from, to - from) < room)
        to = behind(line, to);
    size_t back = columns(line->text + line->at, to - line->at);
    int used = snprintf(text, LINE_SHOWN_MAX, "\r\033[K%s%.*s", line->prompt, (int)(to - from),
                        line->text + from);
    if (back > 0)
        used += snprintf(text + used, LINE_SHOWN_MAX - (size_t)used, "\033[%zuD", back);
    return (size_t)used;
}
