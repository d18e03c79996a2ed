/* SPDX-License-Identifier: BSD-2-Clause */
#include "platform.h"

#include "posix/input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
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
