/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines from a terminal by libedit's callback interface, or from a pipe. The loop runs while
 * somebody types: text and stops of the target appear above the line. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <editline/readline.h>

#include "debug/debug.h"

enum { HISTORY_MAX = 1000 };

/* libedit has one line editor per process, and its callbacks take no context. */
static struct {
    struct debug *debug;
    bool prepared, editing;
    bool own_prompt; /* not a question of the target */
    bool complete;
    char *line;
    uv_poll_t poll;
    char history[512];
} terminal;

/* libuv makes what it polls non-blocking, and a terminal's input and output are one file: long
 * outputs would be cut short, and the shell would find its terminal changed. Reading does not need
 * it: it is done once after each time that there is something. */
static int poll_input(struct debug *d, uv_poll_t *poll)
{
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    int result = uv_poll_init(&d->session.loop, poll, STDIN_FILENO);
    if (result == 0 && flags >= 0)
        fcntl(STDIN_FILENO, F_SETFL, flags);
    return result;
}

static void on_line(char *line)
{
    terminal.line = line;
    terminal.complete = true;
    terminal.editing = false;
    rl_callback_handler_remove();
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    if (!terminal.complete)
        rl_callback_read_char();
}

static void hide(void *context)
{
    (void)context;
    if (terminal.editing)
        fputs("\r\033[K", stdout);
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
    if (!terminal.editing)
        return;
    fflush(stdout);
    if (terminal.own_prompt) { /* what was just told may be that the connection is gone */
        prompt_text(terminal.debug, prompt, sizeof prompt);
        rl_set_prompt(prompt);
    }
    rl_forced_update_display();
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

static char **complete_word(const char *text, int start, int end)
{
    (void)start;
    (void)end;
    rl_attempted_completion_over = 1; /* never file names */
    return rl_completion_matches(text, next_name);
}

static void prepare(struct debug *d)
{
    const char *home = getenv("HOME");
    terminal.debug = d;
    terminal.prepared = true;
    rl_readline_name = "kdwire";
    rl_attempted_completion_function = complete_word;
    using_history();
    stifle_history(HISTORY_MAX);
    if (home != NULL) {
        snprintf(terminal.history, sizeof terminal.history, "%s/.kdwire_history", home);
        read_history(terminal.history);
    }
    poll_input(d, &terminal.poll);
    d->say.hide = hide;
    d->say.show = show;
}

static void start_editing(struct debug *d, const char *prompt)
{
    char own[64];
    terminal.own_prompt = prompt == NULL;
    if (prompt == NULL) {
        prompt_text(d, own, sizeof own);
        prompt = own;
    }
    rl_callback_handler_install(prompt, on_line);
    terminal.editing = true;
}

static void stop_editing(void)
{
    if (terminal.editing) {
        fputs("\r\033[K", stdout);
        fflush(stdout);
        rl_callback_handler_remove();
    }
    terminal.editing = false;
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
    stop_editing();
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
    terminal.complete = false;
    terminal.line = NULL;
    d->session.interrupts = 0;
    uv_poll_start(&terminal.poll, UV_READABLE, on_readable);
    start_editing(d, prompt);
    while (!terminal.complete) {
        int result = session_wait(&d->session, -1, until_line);
        if (terminal.complete)
            break;
        if (!interruption(d, result))
            break;
        /* It may have asked for another line meanwhile. */
        terminal.complete = false;
        terminal.line = NULL;
        uv_poll_start(&terminal.poll, UV_READABLE, on_readable);
        start_editing(d, prompt);
    }
    stop_editing();
    uv_poll_stop(&terminal.poll);
    if (terminal.line != NULL && terminal.line[0] != '\0' && prompt == NULL) {
        add_history(terminal.line);
        if (terminal.history[0] != '\0')
            write_history(terminal.history);
    }
    return terminal.line;
}

/* ---- standard input that is no terminal ---- */

static struct {
    uv_poll_t poll;
    bool prepared, plain; /* plain: a file, which is always ready and cannot be polled */
    bool ended;
    char text[2 * DEBUG_LINE_MAX];
    size_t size, before; /* bytes held; and when the present wait began */
} input;

static void read_input(void)
{
    size_t room = sizeof input.text - input.size;
    ssize_t n = read(STDIN_FILENO, input.text + input.size, room);
    if (n > 0)
        input.size += (size_t)n;
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        input.ended = true;
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    read_input();
    uv_poll_stop(poll); /* started again when these lines are used up */
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

static void prepare_input(struct debug *d)
{
    input.prepared = true;
    input.plain = poll_input(d, &input.poll) != 0;
}

/* More of the input, or what happens meanwhile. False: the connection has ended. */
static bool more_input(struct debug *d)
{
    struct session *s = &d->session;
    size_t before = input.size;
    if (input.plain) {
        read_input();
        return true;
    }
    uv_poll_start(&input.poll, UV_READABLE, on_input);
    while (!input.ended && input.size == before) {
        input.before = before;
        int result = session_wait(s, -1, until_input);
        bool other = s->stop_waiting || s->lost || d->prompted || result < 0;
        if (other && !interruption(d, result))
            return false;
    }
    return true;
}

char *input_line(struct debug *d)
{
    if (!input.prepared)
        prepare_input(d);
    while (!input_ready()) {
        if (!more_input(d))
            return NULL;
    }
    if (input.size == 0)
        return NULL;
    const char *end = memchr(input.text, '\n', input.size);
    size_t length = end != NULL ? (size_t)(end - input.text) : input.size;
    char *line = strndup(input.text, length);
    size_t used = end != NULL ? length + 1 : length;
    memmove(input.text, input.text + used, input.size - used);
    input.size -= used;
    return line;
}

void terminal_close(struct debug *d)
{
    if (input.prepared && !input.plain)
        uv_close((uv_handle_t *)&input.poll, NULL);
    input.prepared = false;
    if (!terminal.prepared)
        return;
    stop_editing();
    uv_close((uv_handle_t *)&terminal.poll, NULL);
    terminal.prepared = false;
    d->say.hide = d->say.show = NULL;
}
