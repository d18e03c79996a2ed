/* SPDX-License-Identifier: BSD-2-Clause */
/* A command is run by the shell in a process group of its own, so that everything it started can be
 * ended with it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"

struct platform_command {
    uv_process_t process;
    const struct platform_command_use *use;
    void *context;
    bool empty;                   /* the shell has ended, and nothing is left in its group */
    char text[ENDPOINT_TEXT_MAX]; /* libuv's arguments are not const */
};

static void on_exit_of_shell(uv_process_t *process, int64_t status, int signal_number)
{
    struct platform_command *command = process->data;
    command->empty = uv_kill(-process->pid, 0) == UV_ESRCH;
    command->use->ended(command->context, status, signal_number);
}

static void on_not_started(uv_handle_t *handle)
{
    free(handle->data);
}

static int spawn(struct platform_command *command, struct channel *channel)
{
    static char name[] = "/bin/sh", run[] = "-c";
    char *arguments[] = {name, run, command->text, NULL};
    uv_stdio_container_t files[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE,
         .data.stream = (uv_stream_t *)&channel->second},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = &channel->in.stream},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .file = name,
        .args = arguments,
        .flags = UV_PROCESS_DETACHED,
        .stdio = files,
        .stdio_count = sizeof(files) / sizeof(files[0]),
        .exit_cb = on_exit_of_shell,
    };
    return uv_spawn(channel->loop, &command->process, &options);
}

int platform_command_start(struct platform_command **result, const char *text,
                           struct channel *channel, const struct platform_command_use *use,
                           void *context)
{
    struct platform_command *command = calloc(1, sizeof(*command));
    if (!command)
        return UV_ENOMEM;
    memcpy(command->text, text, strlen(text) + 1);
    command->use = use;
    command->context = context;
    command->process.data = command;
    int rc = spawn(command, channel);
    if (rc < 0)
        uv_close((uv_handle_t *)&command->process, on_not_started);
    else
        *result = command;
    return rc;
}

int platform_command_id(const struct platform_command *command)
{
    return command->process.pid;
}

bool platform_command_missing(int64_t status)
{
    return status == 127; /* so says POSIX */
}

/* While anything is in the group, nobody else gets its number, also when the shell has ended. */
void platform_command_end(const struct platform_command *command, bool now)
{
    if (!command->empty)
        uv_kill(-command->process.pid, now ? SIGKILL : SIGTERM);
}

static void on_closed(uv_handle_t *handle)
{
    struct platform_command *command = handle->data;
    command->use->closed(command->context);
    free(command);
}

void platform_command_close(struct platform_command *command)
{
    uv_close((uv_handle_t *)&command->process, on_closed);
}
