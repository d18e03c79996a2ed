/* SPDX-License-Identifier: BSD-2-Clause */
/* In place of powershell.exe: adds its arguments to the file `powershell` of the folder
 * KDWIRE_STANDIN as one line, says so, and fails where there is a file `powershell-fails`. */
#include <stdio.h>
#include <stdlib.h>

#include <windows.h>

int main(int argc, char **argv)
{
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%s\\powershell", getenv("KDWIRE_STANDIN"));
    FILE *file = fopen(path, "ab");
    if (!file)
        return 2;
    for (int i = 1; i < argc; i++)
        fprintf(file, "%s%s", i > 1 ? " " : "", argv[i]);
    fputs("\n", file);
    fclose(file);
    puts("PowerShell was here");
    snprintf(path, sizeof(path), "%s\\powershell-fails", getenv("KDWIRE_STANDIN"));
    return GetFileAttributesA(path) == INVALID_FILE_ATTRIBUTES ? 0 : 1;
}
