/* SPDX-License-Identifier: BSD-2-Clause */
/* WinDbg and Wireshark, started with the line that brings them to a session's ends. They stay when
 * the session ends. */
#ifndef KDWIRE_CLI_VIEWER_H
#define KDWIRE_CLI_VIEWER_H

#include "relay/session.h"

enum viewer_kind {
    VIEWER_WINDBG,
    VIEWER_WIRESHARK,
    VIEWER_COUNT,
};

enum { VIEWER_PATH_MAX = 1024 };

struct viewer {
    enum viewer_kind kind;
    char program[VIEWER_PATH_MAX]; /* "": looked for */
};

/* Before the session is opened: is there an end for it, and a program? An exit code of cli.h; what
 * is wrong has been said. */
int viewer_prepare(struct viewer *viewer, const struct relay_config *config);

/* When its ends are open. The same. */
int viewer_start(const struct viewer *viewer, struct relay *relay);

/* Where the system has the program; in posix/ and windows/. False: MISSING tells where it was
 * looked for. */
bool platform_find_viewer(enum viewer_kind kind, char path[VIEWER_PATH_MAX], const char **missing);

#endif
