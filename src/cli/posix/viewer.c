/* SPDX-License-Identifier: BSD-2-Clause */
#include "../viewer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool platform_find_viewer(enum viewer_kind kind, char path[VIEWER_PATH_MAX], const char **missing)
{
    static const char name[] = "wireshark";
    const char *folder = getenv("PATH");
    if (kind == VIEWER_WINDBG) {
        *missing = "it is a Windows program";
        return false;
    }
    while (folder && *folder) {
        size_t size = strcspn(folder, ":");
        snprintf(path, VIEWER_PATH_MAX, "%.*s/%s", (int)size, folder, name);
        if (access(path, X_OK) == 0)
            return true;
        folder += size + (folder[size] == ':');
    }
    *missing = "no folder of PATH has it (Debian: apt-get install wireshark)";
    return false;
}
