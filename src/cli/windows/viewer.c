/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where WinDbg and Wireshark are on Windows, the first that is there:
 *   WinDbg of the Store (its alias in WindowsApps); windbg.exe of the kits, by the registry's
 *   KitsRoot10, then in the program folders; on PATH
 *   Wireshark in the program folders; on PATH
 */
#include "../viewer.h"

#include <stdio.h>
#include <windows.h>

static const char kits[] = "SOFTWARE\\Microsoft\\Windows Kits\\Installed Roots";
static const char windbg_in_kits[] = "Debuggers\\x64\\windbg.exe";

static bool exists(const char *path)
{
    wchar_t wide[VIEWER_PATH_MAX];
    /* The Store's aliases are no files that could be opened. */
    return MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, VIEWER_PATH_MAX) > 0 &&
           GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
}

static bool utf8(const wchar_t *wide, char *text, int size)
{
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL) > 0;
}

/* NAME in the folder that an environment variable names. */
static bool below_variable(const wchar_t *variable, const char *name, char path[VIEWER_PATH_MAX])
{
    wchar_t wide[VIEWER_PATH_MAX];
    char folder[VIEWER_PATH_MAX];
    DWORD size = GetEnvironmentVariableW(variable, wide, VIEWER_PATH_MAX);
    if (!size || size >= VIEWER_PATH_MAX || !utf8(wide, folder, sizeof(folder)))
        return false;
    return snprintf(path, VIEWER_PATH_MAX, "%s\\%s", folder, name) < VIEWER_PATH_MAX &&
           exists(path);
}

/* Below KitsRoot10, of the registry's view for programs of 64 or 32 bits. */
static bool below_kits(DWORD view, char path[VIEWER_PATH_MAX])
{
    char root[VIEWER_PATH_MAX];
    DWORD size = sizeof(root);
    if (RegGetValueA(HKEY_LOCAL_MACHINE, kits, "KitsRoot10", RRF_RT_REG_SZ | view, NULL, root,
                     &size) != ERROR_SUCCESS)
        return false;
    size_t end = strlen(root);
    const char *separator = end && root[end - 1] == '\\' ? "" : "\\";
    return snprintf(path, VIEWER_PATH_MAX, "%s%s%s", root, separator, windbg_in_kits) <
               VIEWER_PATH_MAX &&
           exists(path);
}

static bool on_path(const wchar_t *name, char path[VIEWER_PATH_MAX])
{
    wchar_t wide[VIEWER_PATH_MAX];
    DWORD size = SearchPathW(NULL, name, NULL, VIEWER_PATH_MAX, wide, NULL);
    return size > 0 && size < VIEWER_PATH_MAX && utf8(wide, path, VIEWER_PATH_MAX);
}

static bool find_windbg(char path[VIEWER_PATH_MAX])
{
    static const char in_program_files[] = "Windows Kits\\10\\Debuggers\\x64\\windbg.exe";
    return below_variable(L"LOCALAPPDATA", "Microsoft\\WindowsApps\\WinDbgX.exe", path) ||
           below_kits(RRF_SUBKEY_WOW6464KEY, path) || below_kits(RRF_SUBKEY_WOW6432KEY, path) ||
           below_variable(L"ProgramFiles(x86)", in_program_files, path) ||
           below_variable(L"ProgramFiles", in_program_files, path) ||
           on_path(L"WinDbgX.exe", path) || on_path(L"windbg.exe", path);
}

static bool find_wireshark(char path[VIEWER_PATH_MAX])
{
    static const char in_program_files[] = "Wireshark\\Wireshark.exe";
    return below_variable(L"ProgramFiles", in_program_files, path) ||
           below_variable(L"ProgramFiles(x86)", in_program_files, path) ||
           on_path(L"Wireshark.exe", path);
}

bool platform_find_viewer(enum viewer_kind kind, char path[VIEWER_PATH_MAX], const char **missing)
{
    bool found = kind == VIEWER_WINDBG ? find_windbg(path) : find_wireshark(path);
    *missing = kind == VIEWER_WINDBG
                   ? "neither the Store's, nor one of the Windows kits, nor on PATH (winget "
                     "install Microsoft.WinDbg)"
                   : "neither in the program folders nor on PATH (winget install "
                     "WiresharkFoundation.Wireshark)";
    return found;
}
