/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in for Windows' msports.dll, whose COM database Wine lacks: a byte for each COM number,
 * 1 = in use, in the file that KDWIRE_COM_DATABASE names. No file: the database cannot be opened.
 */
#include <windows.h>

#include <ddk/msports.h>

enum { PORTS_MAX = 4096 };

LONG WINAPI ComDBOpen(PHCOMDB database)
{
    char path[MAX_PATH];
    DWORD size = GetEnvironmentVariableA("KDWIRE_COM_DATABASE", path, sizeof(path));
    HANDLE file = INVALID_HANDLE_VALUE;
    if (size && size < sizeof(path))
        file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    *database = (HCOMDB)file;
    return file == INVALID_HANDLE_VALUE ? ERROR_ACCESS_DENIED : ERROR_SUCCESS;
}

LONG WINAPI ComDBClose(HCOMDB database)
{
    return CloseHandle(database) ? ERROR_SUCCESS : ERROR_INVALID_PARAMETER;
}

LONG WINAPI ComDBGetCurrentPortUsage(HCOMDB database, PBYTE buffer, DWORD size, ULONG type,
                                     LPDWORD reported)
{
    if (type != CDB_REPORT_BYTES)
        return ERROR_INVALID_PARAMETER;
    SetFilePointer(database, 0, NULL, FILE_BEGIN);
    return ReadFile(database, buffer, size, reported, NULL) ? ERROR_SUCCESS : ERROR_CANTREAD;
}

LONG WINAPI ComDBReleasePort(HCOMDB database, DWORD number)
{
    DWORD done = 0;
    if (!number || number > PORTS_MAX)
        return ERROR_INVALID_PARAMETER;
    SetFilePointer(database, (LONG)number - 1, NULL, FILE_BEGIN);
    return WriteFile(database, "\0", 1, &done, NULL) ? ERROR_SUCCESS : ERROR_CANTWRITE;
}
