/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command is run by cmd.exe in a job of its own, so that everything it started can be ended with
 * it, also when we are ended ourselves. libuv puts a process into a job only once it runs: what it
 * had started by then would stay outside. Here it is in the job before its first instruction. Of
 * our handles it inherits its standard input, output and error, and no other.
 */
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"
#include "error.h"
#include "text.h"
#include "waiter.h"

enum {
    LINE_SIZE = ENDPOINT_TEXT_MAX + 32, /* and cmd.exe with its options */
    STANDARD_FILES = 3,
};

struct platform_command {
    struct waiter process; /* waits for its end */
    HANDLE job;
    DWORD id;
    const struct platform_command_use *use;
    void *context;
};

/* ---- the standard files ---- */

/* A pipe, of which PIPE gets one end: to read from, or to write to. Returns the child's end, or a
 * libuv error. */
static int make_pipe(uv_pipe_t *pipe, bool reads)
{
    uv_file ends[2]; /* to read from, to write to */
    int rc = uv_pipe(ends, reads ? UV_NONBLOCK_PIPE : 0, reads ? 0 : UV_NONBLOCK_PIPE);
    if (rc)
        return rc < 0 ? rc : uv_translate_sys_error(rc); /* libuv 1.44 returns both */
    uv_file ours = ends[reads ? 0 : 1], theirs = ends[reads ? 1 : 0];
    rc = uv_pipe_open(pipe, ours);
    if (rc >= 0)
        return theirs;
    _close(ours);
    _close(theirs);
    return rc;
}

/* A copy that a child can inherit; NULL: there is no such file. */
static HANDLE inheritable(uv_file file)
{
    intptr_t handle = _get_osfhandle(file); /* below 0: none */
    HANDLE copy, self = GetCurrentProcess();
    if (handle < 0 ||
        !DuplicateHandle(self, (HANDLE)handle, self, &copy, 0, TRUE, DUPLICATE_SAME_ACCESS))
        return NULL;
    return copy;
}

/* The child's standard input and output, at the other ends of CHANNEL's pipes. Returns a libuv
 * error. */
static int make_files(struct channel *channel, HANDLE files[STANDARD_FILES])
{
    int in = make_pipe(&channel->second, false);
    if (in < 0)
        return in;
    files[0] = inheritable(in);
    _close(in);
    int out = make_pipe(&channel->in.pipe, true);
    if (out < 0)
        return out;
    files[1] = inheritable(out);
    _close(out);
    files[2] = inheritable(2); /* a service may have none */
    return files[0] && files[1] ? 0 : UV_EMFILE;
}

static void close_files(HANDLE files[STANDARD_FILES])
{
    for (int i = 0; i < STANDARD_FILES; i++)
        if (files[i])
            CloseHandle(files[i]);
}

/* ---- the process ---- */

/* The one place that writes a command line. /d: without the commands that the registry may set to
 * be run by every cmd.exe. /s: it takes away these two quotes and nothing else. */
static bool write_line(const char *command, wchar_t line[LINE_SIZE])
{
    char text[LINE_SIZE];
    snprintf(text, sizeof(text), "cmd.exe /d /s /c \"%s\"", command);
    return wide_text(text, line, LINE_SIZE);
}

/* Windows' own cmd.exe, not one of the working folder. */
static bool find_shell(wchar_t path[MAX_PATH])
{
    static const wchar_t name[] = L"\\cmd.exe";
    UINT size = GetSystemDirectoryW(path, MAX_PATH);
    if (!size || size > MAX_PATH - sizeof(name) / sizeof(name[0])) {
        SetLastError(ERROR_FILE_NOT_FOUND);
        return false;
    }
    memcpy(path + size, name, sizeof(name));
    return true;
}

/* The process exists and does not run yet. Returns a libuv error. */
static int create_suspended(wchar_t *line, HANDLE files[STANDARD_FILES],
                            PROCESS_INFORMATION *process)
{
    STARTUPINFOEXW start = {.StartupInfo = {.cb = sizeof(start),
                                            .dwFlags = STARTF_USESTDHANDLES | STARTF_USESHOWWINDOW,
                                            .wShowWindow = SW_HIDE,
                                            .hStdInput = files[0],
                                            .hStdOutput = files[1],
                                            .hStdError = files[2]}};
    wchar_t shell[MAX_PATH];
    SIZE_T size = 0, inherited = (files[2] ? 3 : 2) * sizeof(files[0]);
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    LPPROC_THREAD_ATTRIBUTE_LIST list = malloc(size);
    if (!list || !InitializeProcThreadAttributeList(list, 1, 0, &size)) {
        free(list);
        return UV_ENOMEM;
    }
    start.lpAttributeList = list;
    bool made = find_shell(shell) &&
                UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, files,
                                          inherited, NULL, NULL) &&
                CreateProcessW(shell, line, NULL, NULL, TRUE,
                               CREATE_SUSPENDED | EXTENDED_STARTUPINFO_PRESENT, NULL, NULL,
                               &start.StartupInfo, process);
    int rc = made ? 0 : last_error();
    DeleteProcThreadAttributeList(list);
    free(list);
    return rc;
}

/* Whatever is in it ends with its last handle: ours, at our own end at the latest. */
static HANDLE make_job(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation.LimitFlags =
                                                       JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    if (job &&
        !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits))) {
        CloseHandle(job);
        return NULL;
    }
    return job;
}

/* Puts the suspended process into the job and lets it run. Returns a libuv error. */
static int let_run(HANDLE job, const PROCESS_INFORMATION *process)
{
    if (AssignProcessToJobObject(job, process->hProcess) &&
        ResumeThread(process->hThread) != (DWORD)-1)
        return 0;
    int rc = last_error();
    TerminateProcess(process->hProcess, 1);
    return rc;
}

static void on_end_of_process(struct waiter *waiter)
{
    struct platform_command *command = waiter->context;
    DWORD status = 0;
    GetExitCodeProcess(waiter->event, &status);
    command->use->ended(command->context, status, 0);
}

/* Returns a libuv error. */
static int run(struct platform_command *command, uv_loop_t *loop, wchar_t *line,
               HANDLE files[STANDARD_FILES])
{
    PROCESS_INFORMATION process = {0};
    command->job = make_job();
    int rc = command->job ? create_suspended(line, files, &process) : last_error();
    if (rc < 0)
        return rc;
    rc = let_run(command->job, &process);
    CloseHandle(process.hThread);
    if (rc < 0) {
        CloseHandle(process.hProcess);
        return rc;
    }
    command->id = process.dwProcessId;
    return waiter_init_once(loop, &command->process, process.hProcess, on_end_of_process, command);
}

static void on_abandoned(struct waiter *waiter)
{
    free(waiter->context);
}

static void abandon(struct platform_command *command)
{
    if (command->job)
        CloseHandle(command->job); /* a process that runs ends with it */
    if (command->process.event)
        waiter_close(&command->process, on_abandoned);
    else
        free(command);
}

int platform_command_start(struct platform_command **result, const char *text,
                           struct channel *channel, const struct platform_command_use *use,
                           void *context)
{
    wchar_t line[LINE_SIZE];
    HANDLE files[STANDARD_FILES] = {NULL};
    if (!write_line(text, line))
        return UV_EINVAL;
    struct platform_command *command = calloc(1, sizeof(*command));
    if (!command)
        return UV_ENOMEM;
    command->use = use;
    command->context = context;
    int rc = make_files(channel, files);
    if (rc >= 0)
        rc = run(command, channel->loop, line, files);
    close_files(files);
    if (rc < 0)
        abandon(command);
    else
        *result = command;
    return rc;
}

int platform_command_id(const struct platform_command *command)
{
    return (int)command->id;
}

bool platform_command_missing(int64_t status)
{
    return status == 9009; /* so says cmd.exe, but not always; it has told the reason itself */
}

void platform_command_end(const struct platform_command *command, bool now)
{
    if (now) /* the end of its input asks it; there is no signal to send */
        TerminateJobObject(command->job, 1);
}

static void on_closed(struct waiter *waiter)
{
    struct platform_command *command = waiter->context;
    command->use->closed(command->context);
    free(command);
}

void platform_command_close(struct platform_command *command)
{
    CloseHandle(command->job);
    waiter_close(&command->process, on_closed);
}
