/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor: libedit's callback interface. */
#include <stdio.h>
#include <string.h>

#include <editline/readline.h>

#include "platform.h"
#include "posix/input.h"

enum { HISTORY_MAX = 1000 };

/* libedit has one line editor per process, and its callbacks take no context. */
static struct {
    struct editor_callbacks on;
    uv_poll_t poll;
    bool prepared, editing, complete;
    char history[512];
} editor;

static void on_line(char *line)
{
    editor.complete = true;
    editor.editing = false;
    rl_callback_handler_remove();
    uv_poll_stop(&editor.poll);
    editor.on.line(line);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    if (!editor.complete)
        rl_callback_read_char();
}

static char *next_word(const char *text, int state)
{
    return editor.on.complete(text, state);
}

static char **complete_word(const char *text, int start, int end)
{
    (void)start, (void)end;
    rl_attempted_completion_over = 1; /* never file names */
    return rl_completion_matches(text, next_word);
}

void editor_open(uv_loop_t *loop, const struct editor_callbacks *callbacks, const char *history)
{
    editor.on = *callbacks;
    editor.prepared = true;
    rl_readline_name = "kdwire";
    rl_attempted_completion_function = complete_word;
    using_history();
    stifle_history(HISTORY_MAX);
    snprintf(editor.history, sizeof editor.history, "%s", history != NULL ? history : "");
    if (editor.history[0] != '\0')
        read_history(editor.history);
    platform_poll_input(loop, &editor.poll);
}

void editor_begin(const char *prompt)
{
    editor.complete = false;
    uv_poll_start(&editor.poll, UV_READABLE, on_readable);
    rl_callback_handler_install(prompt, on_line);
    editor.editing = true;
}

void editor_hide(void)
{
    if (editor.editing)
        fputs("\r\033[K", stdout);
}

void editor_end(void)
{
    if (!editor.prepared)
        return;
    if (editor.editing) {
        editor_hide();
        fflush(stdout);
        rl_callback_handler_remove();
    }
    editor.editing = false;
    uv_poll_stop(&editor.poll);
}

void editor_show(const char *prompt)
{
    if (!editor.editing)
        return;
    fflush(stdout);
    if (prompt != NULL)
        rl_set_prompt(prompt);
    rl_forced_update_display();
}

void editor_remember(const char *line)
{
    add_history(line);
    if (editor.history[0] != '\0')
        write_history(editor.history);
}

void editor_close(void)
{
    if (!editor.prepared)
        return;
    editor_end();
    uv_close((uv_handle_t *)&editor.poll, NULL);
    editor.prepared = false;
}
