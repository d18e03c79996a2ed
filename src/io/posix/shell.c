/* SPDX-License-Identifier: BSD-2-Clause */
/* A command is run by the shell in a process group of its own, so that everything it started can be
 * ended with it. */
#include <signal.h>
#include <stdio.h>

#include "../opener.h"

void platform_shell(uv_process_options_t *options, struct platform_shell *shell,
                    const char *command)
{
    static char name[] = "/bin/sh", run[] = "-c";
    snprintf(shell->command, sizeof(shell->command), "%s", command);
    shell->arguments[0] = name;
    shell->arguments[1] = run;
    shell->arguments[2] = shell->command;
    shell->arguments[3] = NULL;
    options->file = name;
    options->args = shell->arguments;
    options->flags = UV_PROCESS_DETACHED;
}

void *platform_group(uv_process_t *process)
{
    (void)process;
    return NULL;
}

void platform_group_end(void *group, const uv_process_t *process, bool now)
{
    (void)group;
    uv_kill(-process->pid, now ? SIGKILL : SIGTERM);
}

void platform_group_free(void *group)
{
    (void)group;
}
