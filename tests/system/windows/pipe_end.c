/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipe-end open|eager|read|serve|hold|inbound NAME, pipe-end open-again|serve-again NAME COUNT: a
 * Win32 program at one end of a named pipe, in the role of
 *
 *   open   WinDbg: opens the pipe to read and write, waits while it is busy or not there
 *   eager  the same, without a pause: it comes as soon as the pipe is there
 *   read   Wireshark (dumpcap): opens the pipe to read only
 *   serve  a virtual machine: makes the pipe and waits for a client
 *   hold   a program that opens the pipe and reads nothing
 *   inbound      a program that makes a pipe it only reads: opening it for both ways is denied
 *   open-again   WinDbg that is restarted COUNT times: each time it sends a word and wants it back
 *   serve-again  a machine, likewise
 *
 * and pipe-end echo SIZE: sends back SIZE bytes of its standard input, and ends.
 *
 * What comes from the pipe goes to standard output and what comes from standard input to the pipe.
 * "made" (of a pipe) and "connected" on standard error tell when. It ends when the pipe does, or
 * standard input (then the pipe is closed first).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

enum {
    PIECE = 65536,
    WAIT_MS = 20, /* between two attempts */
    HOLD_MS = 60000,
};

static HANDLE pipe_handle = INVALID_HANDLE_VALUE;
static DWORD pause_ms = WAIT_MS;

static HANDLE open_pipe(const char *name, DWORD access)
{
    for (;;) {
        HANDLE pipe = CreateFileA(name, access, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
        if (pipe != INVALID_HANDLE_VALUE)
            return pipe;
        if (GetLastError() == ERROR_ACCESS_DENIED) {
            fprintf(stderr, "access denied\n");
            ExitProcess(1);
        }
        if (GetLastError() != ERROR_PIPE_BUSY || !WaitNamedPipeA(name, WAIT_MS))
            Sleep(pause_ms);
    }
}

static DWORD finish(BOOL done, OVERLAPPED *overlapped)
{
    DWORD size = 0;
    if (!done && GetLastError() != ERROR_IO_PENDING)
        return 0;
    return GetOverlappedResult(pipe_handle, overlapped, &size, TRUE) ? size : 0;
}

static HANDLE serve_pipe(const char *name, DWORD access)
{
    OVERLAPPED overlapped = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
    pipe_handle = CreateNamedPipeA(name, access | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE | PIPE_WAIT,
                                   1, PIECE, PIECE, 0, NULL);
    if (pipe_handle == INVALID_HANDLE_VALUE)
        return pipe_handle;
    fprintf(stderr, "made\n");
    finish(ConnectNamedPipe(pipe_handle, &overlapped), &overlapped);
    return pipe_handle;
}

static DWORD WINAPI to_pipe(void *context)
{
    static char piece[PIECE];
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE);
    OVERLAPPED overlapped = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
    DWORD size;
    (void)context;
    while (ReadFile(in, piece, PIECE, &size, NULL) && size) {
        for (DWORD sent = 0, now; sent < size; sent += now) {
            now = finish(WriteFile(pipe_handle, piece + sent, size - sent, NULL, &overlapped),
                         &overlapped);
            if (!now)
                ExitProcess(0);
        }
    }
    CloseHandle(pipe_handle);
    ExitProcess(0);
}

static void from_pipe(void)
{
    static char piece[PIECE];
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    OVERLAPPED overlapped = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
    DWORD size, written;
    while ((size = finish(ReadFile(pipe_handle, piece, PIECE, NULL, &overlapped), &overlapped)) > 0)
        if (!WriteFile(out, piece, size, &written, NULL))
            break;
}

static BOOL exchange(int number)
{
    OVERLAPPED overlapped = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
    char word[32], back[sizeof(word)];
    DWORD size = (DWORD)snprintf(word, sizeof(word), "session %04d", number), got = 0, now = 1;
    if (finish(WriteFile(pipe_handle, word, size, NULL, &overlapped), &overlapped) != size)
        return FALSE;
    for (; got < size && now; got += now)
        now = finish(ReadFile(pipe_handle, back + got, size - got, NULL, &overlapped), &overlapped);
    CloseHandle(overlapped.hEvent);
    return got == size && !memcmp(word, back, size);
}

static int restart(const char *name, BOOL serve, int count)
{
    for (int i = 1; i <= count; i++) {
        pipe_handle = serve ? serve_pipe(name, PIPE_ACCESS_DUPLEX)
                            : open_pipe(name, GENERIC_READ | GENERIC_WRITE);
        if (pipe_handle == INVALID_HANDLE_VALUE || !exchange(i)) {
            fprintf(stderr, "session %d failed: error %lu\n", i, GetLastError());
            return 1;
        }
        CloseHandle(pipe_handle);
    }
    return 0;
}

static int echo(DWORD left)
{
    char piece[PIECE];
    DWORD size, written;
    while (left) {
        if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), piece, left < PIECE ? left : PIECE, &size,
                      NULL) ||
            !size || !WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), piece, size, &written, NULL))
            return 1;
        left -= size;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return restart(argv[2], !strcmp(argv[1], "serve-again"), atoi(argv[3]));
    if (argc != 3)
        return 2;
    if (!strcmp(argv[1], "echo"))
        return echo((DWORD)atoi(argv[2]));
    if (!strcmp(argv[1], "eager"))
        pause_ms = 0;
    if (!strcmp(argv[1], "serve"))
        pipe_handle = serve_pipe(argv[2], PIPE_ACCESS_DUPLEX);
    else if (!strcmp(argv[1], "inbound"))
        pipe_handle = serve_pipe(argv[2], PIPE_ACCESS_INBOUND);
    else
        pipe_handle = open_pipe(argv[2], !strcmp(argv[1], "read") ? GENERIC_READ
                                                                  : GENERIC_READ | GENERIC_WRITE);
    if (pipe_handle == INVALID_HANDLE_VALUE) {
        fprintf(stderr, "error %lu\n", GetLastError());
        return 1;
    }
    fprintf(stderr, "connected\n");
    fflush(stderr);
    if (!strcmp(argv[1], "hold"))
        Sleep(HOLD_MS);
    if (strcmp(argv[1], "read") != 0)
        CreateThread(NULL, 0, to_pipe, NULL, 0, NULL);
    from_pipe();
    return 0;
}
