/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <shellapi.h>

#include <stdio.h>

static bool is_elevated(void)
{
    HANDLE token = NULL;
    TOKEN_ELEVATION elevation = {0};
    DWORD size = 0;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return true; /* let the work itself say what is missing */
    bool ok = GetTokenInformation(token, TokenElevation, &elevation, sizeof(elevation), &size);
    CloseHandle(token);
    return !ok || elevation.TokenIsElevated;
}

/* The command line after the program's name. */
static const WCHAR *arguments_of(const WCHAR *line)
{
    bool quoted = false;
    for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++)
        if (*line == '"')
            quoted = !quoted;
    while (*line == ' ' || *line == '\t')
        line++;
    return line;
}

bool run_elevated(int *code)
{
    WCHAR program[MAX_PATH];
    DWORD result = FAILED;
    if (is_elevated())
        return false;
    GetModuleFileNameW(NULL, program, MAX_PATH);
    SHELLEXECUTEINFOW info = {
        .cbSize = sizeof(info),
        .fMask = SEE_MASK_NOCLOSEPROCESS,
        .lpVerb = L"runas",
        .lpFile = program,
        .lpParameters = arguments_of(GetCommandLineW()),
        .nShow = SW_HIDE, /* no second console window */
    };
    fprintf(stderr, "vspControl: this needs an administrator; Windows asks you now\n");
    if (!ShellExecuteExW(&info) || !info.hProcess) {
        *code = fail_with(GetLastError(), "not run as administrator");
        return true;
    }
    WaitForSingleObject(info.hProcess, INFINITE);
    GetExitCodeProcess(info.hProcess, &result);
    CloseHandle(info.hProcess);
    *code = (int)result;
    if (*code)
        fail("it failed as administrator; run the same in an administrator's console to see why");
    return true;
}
