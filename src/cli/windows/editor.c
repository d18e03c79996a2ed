/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor on a Windows console: libuv gives keys as a terminal would, debug/line.c makes
 * lines of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug/line.h"
#include "platform.h"

enum { STDIN = 0, COLUMNS_UNKNOWN = 80 };

static struct {
    struct editor_callbacks on;
    uv_tty_t tty;
    struct line line;
    bool prepared, editing;
    char history[512];
    char keys[256];
} editor;

static void draw(void)
{
    char text[LINE_SHOWN_MAX];
    CONSOLE_SCREEN_BUFFER_INFO screen;
    editor.line.width = COLUMNS_UNKNOWN;
    if (GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &screen))
        editor.line.width = (size_t)screen.srWindow.Right + 1 - (size_t)screen.srWindow.Left;
    size_t size = line_shown(&editor.line, text);
    fwrite(text, 1, size, stdout);
    fflush(stdout);
}

static void stop_keys(void)
{
    editor.editing = false;
    uv_read_stop((uv_stream_t *)&editor.tty);
    uv_tty_set_mode(&editor.tty, UV_TTY_MODE_NORMAL);
}

static void take_key(char key)
{
    bool redraw;
    enum line_result result = line_key(&editor.line, key, &redraw);
    if (result == LINE_DONE || result == LINE_END) {
        stop_keys();
        fputs(result == LINE_DONE ? "\r\n" : "", stdout);
        fflush(stdout);
        editor.on.line(result == LINE_DONE ? _strdup(editor.line.text) : NULL);
    } else if (result == LINE_INTERRUPT) {
        fputs("^C\r\n", stdout);
        draw();
        editor.on.interrupt();
    } else if (redraw) {
        draw();
    }
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(editor.keys, sizeof editor.keys);
}

static void on_keys(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    (void)stream;
    if (count < 0 && editor.editing) {
        stop_keys();
        editor.on.line(NULL);
    }
    for (ssize_t i = 0; i < count && editor.editing; i++) /* keys behind a line are dropped */
        take_key(buffer->base[i]);
}

static void load_history(void)
{
    char text[LINE_MAX_BYTES];
    FILE *file = editor.history[0] != '\0' ? fopen(editor.history, "r") : NULL;
    if (file == NULL)
        return;
    while (fgets(text, sizeof text, file) != NULL) {
        text[strcspn(text, "\r\n")] = '\0';
        line_remember(&editor.line, text);
    }
    fclose(file);
}

static void save_history(void)
{
    FILE *file = editor.history[0] != '\0' ? fopen(editor.history, "w") : NULL;
    if (file == NULL)
        return;
    for (size_t i = 0; i < editor.line.history_count; i++)
        fprintf(file, "%s\n", editor.line.history[i]);
    fclose(file);
}

void editor_open(uv_loop_t *loop, const struct editor_callbacks *callbacks, const char *history)
{
    editor.on = *callbacks;
    editor.line.complete = callbacks->complete;
    snprintf(editor.history, sizeof editor.history, "%s", history != NULL ? history : "");
    load_history();
    editor.prepared = uv_tty_init(loop, &editor.tty, STDIN, 1) == 0;
}

void editor_begin(const char *prompt)
{
    if (!editor.prepared) {
        editor.on.line(NULL);
        return;
    }
    line_begin(&editor.line, prompt);
    editor.editing = true;
    uv_tty_set_mode(&editor.tty, UV_TTY_MODE_RAW);
    uv_read_start((uv_stream_t *)&editor.tty, give_room, on_keys);
    draw();
}

void editor_hide(void)
{
    if (editor.editing)
        fputs("\r\033[K", stdout);
}

void editor_end(void)
{
    if (!editor.editing)
        return;
    editor_hide();
    fflush(stdout);
    stop_keys();
}

void editor_show(const char *prompt)
{
    if (!editor.editing)
        return;
    if (prompt != NULL)
        line_set_prompt(&editor.line, prompt);
    draw();
}

void editor_remember(const char *line)
{
    line_remember(&editor.line, line);
    save_history();
}

void editor_close(void)
{
    editor_end();
    if (editor.prepared)
        uv_close((uv_handle_t *)&editor.tty, NULL);
    editor.prepared = false;
    line_free(&editor.line);
}
