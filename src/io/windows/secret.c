/* SPDX-License-Identifier: BSD-2-Clause */
#include "../secret.h"

#include <stdio.h>
#include <string.h>
#include <windows.h>

static HANDLE open_console(const char *name)
{
    return CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                       OPEN_EXISTING, 0, NULL);
}

bool secret_ask(const char *prompt, char *text, size_t size)
{
    HANDLE in = open_console("CONIN$"), out = open_console("CONOUT$");
    DWORD shown, count = 0;
    bool good = in != INVALID_HANDLE_VALUE && out != INVALID_HANDLE_VALUE && size > 1 &&
                GetConsoleMode(in, &shown);
    if (good) {
        SetConsoleMode(in, ENABLE_LINE_INPUT | ENABLE_PROCESSED_INPUT); /* no echo */
        WriteConsoleA(out, prompt, (DWORD)strlen(prompt), &count, NULL);
        good = ReadConsoleA(in, text, (DWORD)(size - 1), &count, NULL) && count > 0;
        SetConsoleMode(in, shown);
        WriteConsoleA(out, "\r\n", 2, &(DWORD){0}, NULL);
    }
    if (in != INVALID_HANDLE_VALUE)
        CloseHandle(in);
    if (out != INVALID_HANDLE_VALUE)
        CloseHandle(out);
    if (!good)
        return false;
    text[count] = '\0';
    size_t end = strcspn(text, "\r\n");
    good = text[end] != '\0';
    text[end] = '\0';
    return good;
}
