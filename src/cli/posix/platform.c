/* SPDX-License-Identifier: BSD-2-Clause */
#include "platform.h"

#include "posix/input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void platform_start(void)
{
}

int platform_open(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

const int *platform_end_signals(void)
{
    static const int others[] = {SIGTERM, SIGHUP};
    static int numbers[PLATFORM_SIGNALS_MAX] = {SIGINT}; /* a shell ignores it for "kdwire ... &" */
    int count = 1;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct sigaction now;
        if (sigaction(others[i], NULL, &now) != 0 || now.sa_handler != SIG_IGN)
            numbers[count++] = others[i];
    }
    numbers[count] = 0;
    return numbers;
}

bool platform_asks_reload(int number)
{
    return number == SIGHUP && !isatty(STDIN_FILENO); /* else: the terminal is gone */
}

const char *platform_null_device(void)
{
    return "/dev/null";
}

/* PowerShell 7, where a person has put it. */
bool platform_powershell(char *program, size_t size)
{
    return snprintf(program, size, "pwsh") < (int)size;
}

char *platform_utf8(const char *argument)
{
    return strdup(argument);
}

/* The code point that begins at TEXT, and how many bytes it takes; 0: no UTF-8. */
static size_t utf8_point(const unsigned char *text, uint32_t *point)
{
    size_t size = *text < 0x80 ? 1 : *text >= 0xF0 ? 4 : *text >= 0xE0 ? 3 : *text >= 0xC2 ? 2 : 0;
    if (!size || *text > 0xF4)
        return 0;
    *point = size == 1 ? *text : *text & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80) /* the end, too */
            return 0;
        *point = *point << 6 | (text[i] & 0x3Fu);
    }
    return size;
}

size_t platform_utf16(const char *text, uint16_t *to, size_t max)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t count = 0;
    while (*at) {
        uint32_t point = 0;
        size_t size = utf8_point(at, &point);
        if (!size || max - count < 2)
            return 0;
        at += size;
        if (point >= 0x10000) {
            to[count++] = (uint16_t)(0xD7C0 + (point >> 10));
            point = 0xDC00 | (point & 0x3FF);
        }
        to[count++] = (uint16_t)point;
    }
    return count;
}

bool platform_can_ask(void)
{
    return isatty(STDIN_FILENO);
}

const char *platform_shell_start(void)
{
    return "exec ";
}

void platform_quote(char *out, size_t room, const char *text)
{
    size_t size = strlen(out);
    if (room - size < 3)
        return;
    out[size++] = '\'';
    for (; *text && room - size > 6; text++) {
        if (*text == '\'') {
            memcpy(out + size, "'\\''", 4);
            size += 4;
        } else {
            out[size++] = *text;
        }
    }
    out[size++] = '\'';
    out[size] = 0;
}

const char *platform_home(void)
{
    return getenv("HOME");
}

bool platform_is_interactive(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* ---- standard input ---- */

static struct {
    uv_poll_t poll;
    bool prepared;
    bool plain; /* a file, which is always ready and cannot be polled */
    char *to;
    size_t room;
    void (*done)(size_t size);
} input;

int platform_poll_input(uv_loop_t *loop, uv_poll_t *poll)
{
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    int result = uv_poll_init(loop, poll, STDIN_FILENO);
    if (result == 0 && flags >= 0)
        fcntl(STDIN_FILENO, F_SETFL, flags);
    return result;
}

static void read_now(void)
{
    ssize_t size = read(STDIN_FILENO, input.to, input.room);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return; /* polled again */
    platform_read_stop();
    input.done(size > 0 ? (size_t)size : 0);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    read_now();
}

void platform_read(uv_loop_t *loop, char *to, size_t room, void (*done)(size_t size))
{
    if (!input.prepared) {
        input.prepared = true;
        input.plain = platform_poll_input(loop, &input.poll) != 0;
    }
    input.to = to;
    input.room = room;
    input.done = done;
    if (input.plain)
        read_now();
    else
        uv_poll_start(&input.poll, UV_READABLE, on_input);
}

void platform_read_stop(void)
{
    if (input.prepared && !input.plain)
        uv_poll_stop(&input.poll);
}

void platform_read_close(void)
{
    if (input.prepared && !input.plain)
        uv_close((uv_handle_t *)&input.poll, NULL);
    input.prepared = false;
}
