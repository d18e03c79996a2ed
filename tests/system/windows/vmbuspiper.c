/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmbuspiper.dll for tests: what kdwire sees of Hyper-V's, with a named pipe as the channel. The
 * folder KDWIRE_STANDIN is the host:
 *
 *   <VM's GUID>    a file: this VM runs. When it goes, a waiting offer ends.
 *   denied         a file: the caller is no elevated administrator
 *   hold           a file: nobody waits for the guest until it goes
 *   offers         one line is added for each: open mode, pipe mode, the offer's bytes
 *
 * The guest opens \\.\pipe\<VM's GUID>; when either side closes, the other finds a broken pipe.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

enum {
    OFFER_SIZE = 172,
    PIPE_BYTES = 0,
    PIPE_MESSAGES = 4,
    RING = 5 * 4096, /* each way, as the guest's */
    WATCH_MS = 20,
};

__declspec(dllexport) HANDLE WINAPI
    VmbusPipeServerOfferChannel(const uint8_t *offer, DWORD open_mode, DWORD pipe_mode);
__declspec(dllexport) BOOL WINAPI VmbusPipeServerConnectPipe(HANDLE pipe, OVERLAPPED *overlapped);

static char vm_file[MAX_PATH]; /* of the waiting offer */
static HANDLE waiting;

static void file_name(char *path, const char *name)
{
    snprintf(path, MAX_PATH, "%s\\%s", getenv("KDWIRE_STANDIN"), name);
}

static bool exists(const char *path)
{
    return GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES;
}

static void vm_name(const uint8_t *offer, char text[37])
{
    static const int order[] = {3,  2, 1, 0,  -1, 5,  4,  -1, 7,  6,
                                -1, 8, 9, -1, 10, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        text += order[i] < 0 ? sprintf(text, "-") : sprintf(text, "%02x", offer[order[i]]);
}

static void note_offer(const uint8_t *offer, DWORD open_mode, DWORD pipe_mode)
{
    char path[MAX_PATH];
    file_name(path, "offers");
    FILE *file = fopen(path, "ab");
    fprintf(file, "%lx %lu ", open_mode, pipe_mode);
    for (int i = 0; i < OFFER_SIZE; i++)
        fprintf(file, "%02x", offer[i]);
    fprintf(file, "\n");
    fclose(file);
}

HANDLE WINAPI VmbusPipeServerOfferChannel(const uint8_t *offer, DWORD open_mode, DWORD pipe_mode)
{
    char vm[37], path[MAX_PATH], name[64];
    vm_name(offer, vm);
    file_name(path, "denied");
    DWORD error = exists(path) ? ERROR_ACCESS_DENIED : 0;
    file_name(path, vm);
    if (!error && !exists(path))
        error = ERROR_FILE_NOT_FOUND;
    if (!error && (open_mode != FILE_FLAG_OVERLAPPED ||
                   (pipe_mode != PIPE_BYTES && pipe_mode != PIPE_MESSAGES)))
        error = ERROR_INVALID_PARAMETER;
    if (error) {
        SetLastError(error);
        return INVALID_HANDLE_VALUE;
    }
    note_offer(offer, open_mode, pipe_mode);
    snprintf(name, sizeof(name), "\\\\.\\pipe\\%s", vm);
    strcpy(vm_file, path);
    return CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX | open_mode,
                            pipe_mode == PIPE_MESSAGES
                                ? PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_WAIT
                                : PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT,
                            1, RING, RING, 0, NULL);
}

static DWORD WINAPI watch(void *context)
{
    HANDLE pipe = context;
    while (pipe == waiting && exists(vm_file))
        Sleep(WATCH_MS);
    if (pipe == waiting)
        CancelIoEx(pipe, NULL);
    return 0;
}

BOOL WINAPI VmbusPipeServerConnectPipe(HANDLE pipe, OVERLAPPED *overlapped)
{
    char hold[MAX_PATH];
    file_name(hold, "hold");
    while (exists(hold))
        Sleep(WATCH_MS);
    waiting = pipe;
    if (ConnectNamedPipe(pipe, overlapped))
        return TRUE;
    DWORD error = GetLastError();
    if (error == ERROR_IO_PENDING)
        CloseHandle(CreateThread(NULL, 0, watch, pipe, 0, NULL));
    SetLastError(error);
    return FALSE;
}
