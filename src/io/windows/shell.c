/* SPDX-License-Identifier: BSD-2-Clause */
/* A command is run by cmd.exe in a job of its own, so that everything it started can be ended with
 * it, also when we are ended ourselves. */
#include <stdio.h>

#include "../opener.h"

void platform_shell(uv_process_options_t *options, struct platform_shell *shell,
                    const char *command)
{
    static char name[] = "cmd.exe", no_autorun[] = "/d", as_is[] = "/s", run[] = "/c";
    /* with /s cmd.exe takes away these quotes and nothing else */
    snprintf(shell->command, sizeof(shell->command), "\"%s\"", command);
    shell->arguments[0] = name;
    shell->arguments[1] = no_autorun;
    shell->arguments[2] = as_is;
    shell->arguments[3] = run;
    shell->arguments[4] = shell->command;
    shell->arguments[5] = NULL;
    options->file = name;
    options->args = shell->arguments;
    options->flags = UV_PROCESS_WINDOWS_VERBATIM_ARGUMENTS | UV_PROCESS_WINDOWS_HIDE;
}

void *platform_group(uv_process_t *process)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    if (!job)
        return NULL;
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits));
    if (AssignProcessToJobObject(job, process->process_handle))
        return job;
    CloseHandle(job); /* the process has ended already */
    return NULL;
}

void platform_group_end(void *group, const uv_process_t *process, bool now)
{
    if (!now)
        return; /* the end of its input asks it; there is no signal to send */
    if (group)
        TerminateJobObject(group, 1);
    else
        uv_kill(process->pid, SIGKILL);
}

void platform_group_free(void *group)
{
    if (group)
        CloseHandle(group);
}
