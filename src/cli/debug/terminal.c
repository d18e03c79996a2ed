/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines from a terminal's line editor, or from a pipe. The loop runs while somebody types: text and
 * stops of the target appear above the line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug/debug.h"
#include "platform.h"

/* There is one terminal per process, and its callbacks take no context. */
static struct {
    struct debug *debug;
    bool prepared;
    bool own_prompt; /* not a question of the target */
    bool complete;
    char *line;
} terminal;

static void on_line(char *line)
{
    terminal.line = line;
    terminal.complete = true;
}

static void on_interrupt(void)
{
    terminal.debug->session.interrupts++;
}

static void hide(void *context)
{
    (void)context;
    editor_hide();
}

static void prompt_text(const struct debug *d, char *prompt, size_t size)
{
    uint32_t cpus = kd_debugger_stop(&d->session.debugger)->cpu_count;
    if (!d->session.up)
        snprintf(prompt, size, "(not connected) kd> ");
    else if (!debug_stopped(d))
        snprintf(prompt, size, "(running) kd> ");
    else if (cpus > 1)
        snprintf(prompt, size, "%u: kd> ", d->cpu);
    else
        snprintf(prompt, size, "kd> ");
}

static void show(void *context)
{
    (void)context;
    char prompt[64];
    if (terminal.own_prompt) /* what was just told may be that the connection is gone */
        prompt_text(terminal.debug, prompt, sizeof prompt);
    editor_show(terminal.own_prompt ? prompt : NULL);
}

static char *next_name(const char *text, int state)
{
    static size_t at;
    const char *const *names = debug_command_names();
    if (state == 0)
        at = 0;
    size_t length = strlen(text), commands = 0;
    while (names[commands] != NULL)
        commands++;
    while (at < commands + terminal.debug->module_count) {
        char module[KD_MODULE_PATH_MAX];
        const char *name = module;
        if (at < commands)
            name = names[at];
        else
            debug_module_name(&terminal.debug->modules[at - commands], module, sizeof module);
        at++;
        if (strncmp(name, text, length) == 0)
            return strdup(name);
    }
    return NULL;
}

static void prepare(struct debug *d)
{
    static const struct editor_callbacks callbacks = {
        .line = on_line, .interrupt = on_interrupt, .complete = next_name};
    const char *home = platform_home();
    char history[512];
    terminal.debug = d;
    terminal.prepared = true;
    snprintf(history, sizeof history, "%s/.kdwire_history", home != NULL ? home : "");
    editor_open(&d->session.loop, &callbacks, home != NULL ? history : NULL);
    d->say.hide = hide;
    d->say.show = show;
}

static void start_editing(struct debug *d, const char *prompt)
{
    char own[64];
    terminal.complete = false;
    terminal.line = NULL;
    terminal.own_prompt = prompt == NULL;
    if (prompt == NULL) {
        prompt_text(d, own, sizeof own);
        prompt = own;
    }
    editor_begin(prompt);
}

static bool until_line(const struct session *s)
{
    const struct debug *d = s->context;
    return terminal.complete || s->stop_waiting || s->lost || d->prompted;
}

/* A wait ended without a line: a stop, Ctrl-C, the end of the connection. False: give up. */
static bool interruption(struct debug *d, int result)
{
    struct session *s = &d->session;
    editor_end();
    if (s->stop_waiting) {
        debug_handle_stop(d);
    } else if (s->lost) {
        s->lost = false;
        debug_on_notice(d, "the target does not answer");
    } else if (d->prompted) {
        debug_answer_prompt(d);
    } else if (s->terminated) {
        return false;
    } else if (result == KD_E_CANCELLED) {
        s->interrupts = 0;
        if (!debug_stopped(d) && s->up)
            debug_ask_to_stop(d);
    } else if (result == KD_E_CLOSED) {
        debug_on_notice(d, s->reason);
        return false;
    }
    return true;
}

char *terminal_line(struct debug *d, const char *prompt)
{
    if (!terminal.prepared)
        prepare(d);
    d->session.interrupts = 0;
    start_editing(d, prompt);
    while (!terminal.complete) {
        int result = session_wait(&d->session, -1, until_line);
        if (terminal.complete)
            break;
        if (!interruption(d, result))
            break;
        start_editing(d, prompt); /* it may have asked for another line meanwhile */
    }
    editor_end();
    if (terminal.line != NULL && terminal.line[0] != '\0' && prompt == NULL)
        editor_remember(terminal.line);
    return terminal.line;
}

/* ---- standard input that is no terminal ---- */

static struct {
    bool ended;
    char text[2 * DEBUG_LINE_MAX];
    size_t size, before; /* bytes held; and when the present wait began */
} input;

static void on_input(size_t size)
{
    input.size += size;
    input.ended = size == 0;
}

static bool input_ready(void)
{
    return input.ended || memchr(input.text, '\n', input.size) != NULL ||
           input.size == sizeof input.text;
}

static bool until_input(const struct session *s)
{
    const struct debug *d = s->context;
    return input.ended || input.size > input.before || s->stop_waiting || s->lost || d->prompted;
}

/* More of the input, or what happens meanwhile. False: the connection has ended. */
static bool more_input(struct debug *d)
{
    struct session *s = &d->session;
    input.before = input.size;
    platform_read(&s->loop, input.text + input.size, sizeof input.text - input.size, on_input);
    while (!input.ended && input.size == input.before) {
        int result = session_wait(s, -1, until_input);
        bool other = s->stop_waiting || s->lost || d->prompted || result < 0;
        if (other && !interruption(d, result)) {
            platform_read_stop();
            return false;
        }
    }
    return true;
}

char *input_line(struct debug *d)
{
    while (!input_ready()) {
        if (!more_input(d))
            return NULL;
    }
    if (input.size == 0)
        return NULL;
    const char *end = memchr(input.text, '\n', input.size);
    size_t length = end != NULL ? (size_t)(end - input.text) : input.size;
    char *line = malloc(length + 1);
    if (line != NULL) {
        memcpy(line, input.text, length);
        line[length] = '\0';
    }
    size_t used = end != NULL ? length + 1 : length;
    memmove(input.text, input.text + used, input.size - used);
    input.size -= used;
    return line;
}

void terminal_close(struct debug *d)
{
    platform_read_close();
    if (!terminal.prepared)
        return;
    editor_close();
    terminal.prepared = false;
    d->say.hide = d->say.show = NULL;
}
