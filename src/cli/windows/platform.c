/* SPDX-License-Identifier: BSD-2-Clause */
#include "platform.h"

#include <fcntl.h>
#include <io.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "io/windows/text.h"

enum {
    STDIN = 0,
    STDOUT = 1,
    STDERR = 2,
};

static UINT console_code_page;

static void restore_console(void)
{
    SetConsoleOutputCP(console_code_page);
}

/* Colours and cursor movements as escape sequences: Windows 10 knows them, once asked. */
static void allow_escapes(DWORD which)
{
    HANDLE console = GetStdHandle(which);
    DWORD mode;
    if (GetConsoleMode(console, &mode))
        SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

void platform_start(void)
{
    _setmode(STDIN, _O_BINARY);
    _setmode(STDOUT, _O_BINARY);
    _setmode(STDERR, _O_BINARY);
    setvbuf(stderr, NULL, _IONBF, 0);
    console_code_page = GetConsoleOutputCP();
    if (!console_code_page)
        return; /* there is no console */
    SetConsoleOutputCP(CP_UTF8);
    atexit(restore_console);
    allow_escapes(STD_OUTPUT_HANDLE);
    allow_escapes(STD_ERROR_HANDLE);
}

int platform_open(const char *path)
{
    return _open(path, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
}

const int *platform_end_signals(void)
{
    /* SIGHUP: the console is closed. Windows then gives five seconds. */
    static const int numbers[] = {SIGINT, SIGBREAK, SIGHUP, 0};
    return numbers;
}

bool platform_asks_reload(int number)
{
    (void)number; /* a service is asked by its control handler */
    return false;
}

const char *platform_null_device(void)
{
    return "NUL";
}

/* By its whole path: an administrator's program starts nothing that lies about. */
bool platform_powershell(char *program, size_t size)
{
    static const char name[] = "\\WindowsPowerShell\\v1.0\\powershell.exe";
    UINT folder = GetSystemDirectoryA(program, (UINT)size);
    if (!folder || folder >= size || size - folder < sizeof(name))
        return false;
    memcpy(program + folder, name, sizeof(name));
    return true;
}

char *platform_utf8(const char *argument)
{
    int size = (int)strlen(argument) + 1; /* as UTF-16 it has no more characters */
    wchar_t *wide = malloc((size_t)size * sizeof(*wide));
    char *text = malloc((size_t)size * 3); /* and each takes at most three bytes */
    if (wide && text && wide_text(argument, wide, size) &&
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size * 3, NULL, NULL)) {
        free(wide);
        return text;
    }
    free(wide);
    free(text);
    return NULL;
}

size_t platform_utf16(const char *text, uint16_t *to, size_t max)
{
    wchar_t *wide = (wchar_t *)to;
    return wide_text(text, wide, (int)max) ? wcslen(wide) : 0;
}

bool platform_can_ask(void)
{
    return uv_guess_handle(STDIN) == UV_TTY;
}

const char *platform_shell_start(void)
{
    return "";
}

/* In quotes a backslash stands for itself, but for one before a quote: those are doubled. A quote
 * would begin something else for cmd.exe; no path and no endpoint has one. */
void platform_quote(char *out, size_t room, const char *text)
{
    size_t size = strlen(out), backslashes = 0;
    if (room - size < 3)
        return;
    out[size++] = '"';
    for (; *text && room - size > 2; text++) {
        backslashes = *text == '\\' ? backslashes + 1 : 0;
        if (*text != '"')
            out[size++] = *text;
    }
    while (backslashes-- && room - size > 2)
        out[size++] = '\\';
    out[size++] = '"';
    out[size] = '\0';
}

const char *platform_home(void)
{
    return getenv("USERPROFILE");
}

bool platform_is_interactive(void)
{
    return uv_guess_handle(STDIN) == UV_TTY && uv_guess_handle(STDOUT) == UV_TTY;
}

/* ---- standard input ---- */

static struct {
    uv_pipe_t pipe;
    bool prepared;
    bool plain; /* a file or a console: read at once */
    char *to;
    size_t room;
    void (*done)(size_t size);
} input;

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(input.to, (unsigned)input.room);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    (void)stream, (void)buffer;
    if (!count)
        return;
    platform_read_stop(); /* started again when these bytes are used up */
    input.done(count > 0 ? (size_t)count : 0);
}

static void prepare_input(uv_loop_t *loop)
{
    input.prepared = true;
    input.plain = uv_guess_handle(STDIN) != UV_NAMED_PIPE;
    if (input.plain)
        return;
    uv_pipe_init(loop, &input.pipe, 0);
    if (uv_pipe_open(&input.pipe, STDIN) < 0) {
        uv_close((uv_handle_t *)&input.pipe, NULL);
        input.plain = true;
    }
}

void platform_read(uv_loop_t *loop, char *to, size_t room, void (*done)(size_t size))
{
    if (!input.prepared)
        prepare_input(loop);
    input.to = to;
    input.room = room;
    input.done = done;
    if (!input.plain) {
        uv_read_start((uv_stream_t *)&input.pipe, give_room, on_read);
        return;
    }
    int size = _read(STDIN, to, (unsigned)room);
    done(size > 0 ? (size_t)size : 0);
}

void platform_read_stop(void)
{
    if (input.prepared && !input.plain)
        uv_read_stop((uv_stream_t *)&input.pipe);
}

void platform_read_close(void)
{
    if (input.prepared && !input.plain)
        uv_close((uv_handle_t *)&input.pipe, NULL);
    input.prepared = false;
}
