/* SPDX-License-Identifier: BSD-2-Clause */
#include "../output.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <winternl.h>
/* after it */
#include "access.h"
#include "text.h"

/* What the system knows of a pipe's end (FilePipeLocalInformation, wdm.h). */
struct pipe_state {
    ULONG type, configuration, instances_max, instances;
    ULONG in_quota, read_available, out_quota, write_room, state, end;
};

enum { PIPE_STATE = 24 };

bool output_ready(FILE *file)
{
    HANDLE handle = (HANDLE)_get_osfhandle(_fileno(file));
    struct pipe_state state = {0};
    IO_STATUS_BLOCK status;
    if (GetFileType(handle) != FILE_TYPE_PIPE)
        return true;
    if (NtQueryInformationFile(handle, &status, &state, sizeof(state),
                               (FILE_INFORMATION_CLASS)PIPE_STATE) < 0)
        return true; /* nobody tells */
    /* A reader that waits takes room away until it is served. */
    return state.write_room >= OUTPUT_LINE_MAX || state.write_room == state.out_quota ||
           state.out_quota < OUTPUT_LINE_MAX;
}

unsigned output_columns(FILE *file)
{
    CONSOLE_SCREEN_BUFFER_INFO screen;
    if (!GetConsoleScreenBufferInfo((HANDLE)_get_osfhandle(_fileno(file)), &screen))
        return 0;
    return (unsigned)(screen.srWindow.Right - screen.srWindow.Left + 1);
}

FILE *output_create_private(const char *path, bool replace)
{
    wchar_t wide[ENDPOINT_TEXT_MAX];
    SECURITY_ATTRIBUTES access = {sizeof(access), NULL, FALSE};
    if (!wide_text(path, wide, ENDPOINT_TEXT_MAX)) {
        errno = EINVAL;
        return NULL;
    }
    access.lpSecurityDescriptor = access_descriptor(ENDPOINT_ACCESS_USER);
    if (!access.lpSecurityDescriptor) {
        errno = ENOMEM;
        return NULL;
    }
    /* Others may read while we write (Wireshark), and rename or remove (rotation). */
    HANDLE handle =
        CreateFileW(wide, GENERIC_WRITE | WRITE_DAC, FILE_SHARE_READ | FILE_SHARE_DELETE, &access,
                    replace ? CREATE_ALWAYS : CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    DWORD error = GetLastError();
    if (handle != INVALID_HANDLE_VALUE && error == ERROR_ALREADY_EXISTS) /* has rights of its own */
        SetKernelObjectSecurity(handle, DACL_SECURITY_INFORMATION, access.lpSecurityDescriptor);
    LocalFree(access.lpSecurityDescriptor);
    if (handle == INVALID_HANDLE_VALUE) {
        errno = error == ERROR_FILE_EXISTS                                       ? EEXIST
                : error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND ? ENOENT
                : error == ERROR_DISK_FULL                                       ? ENOSPC
                                                                                 : EACCES;
        return NULL;
    }
    int fd = _open_osfhandle((intptr_t)handle, _O_WRONLY | _O_BINARY);
    FILE *file = fd < 0 ? NULL : _fdopen(fd, "wb");
    if (!file && fd < 0)
        CloseHandle(handle);
    else if (!file)
        _close(fd);
    return file;
}
