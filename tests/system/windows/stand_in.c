/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In place of WinDbg (-k com:pipe,port=NAME,...) or Wireshark (-k -i NAME): writes the arguments to
 * the file that KDWIRE_STAND_IN names, one a line, opens the pipe as that program does, and writes
 * "connected" to the file, or the error's number. It ends with the pipe.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

static const char pipe_prefix[] = "com:pipe,port=";

static const char *pipe_of(char *line)
{
    if (strncmp(line, pipe_prefix, sizeof(pipe_prefix) - 1) != 0)
        return line;
    char *name = line + sizeof(pipe_prefix) - 1;
    name[strcspn(name, ",")] = '\0';
    return name;
}

int main(int argc, char **argv)
{
    const char *path = getenv("KDWIRE_STAND_IN");
    FILE *file = path ? fopen(path, "wb") : NULL;
    if (!file || argc < 3)
        return 2;
    for (int i = 1; i < argc; i++)
        fprintf(file, "%s\n", argv[i]);
    BOOL windbg = argc == 3;
    HANDLE pipe =
        CreateFileA(pipe_of(argv[argc - 1]), windbg ? GENERIC_READ | GENERIC_WRITE : GENERIC_READ,
                    0, NULL, OPEN_EXISTING, 0, NULL);
    DWORD size;
    char piece[256];
    if (pipe == INVALID_HANDLE_VALUE) {
        fprintf(file, "error %lu\n", GetLastError());
        return 1;
    }
    fprintf(file, "connected\n");
    fclose(file);
    while (ReadFile(pipe, piece, sizeof(piece), &size, NULL) && size) {
    }
    return 0;
}
