/* SPDX-License-Identifier: BSD-2-Clause */
/* A file in place of standard error, for programs that nobody watches: each line with its time. */
#ifndef KDWIRE_CLI_LOG_H
#define KDWIRE_CLI_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum {
    LOG_PATH_MAX = 1024,
    /* When the log is larger, it is renamed to PATH.old (an older one goes) and begun anew: years
     * of a quiet session, and no disk is filled by one that is not. */
    LOG_SIZE_MAX = 4 * 1024 * 1024,
};

/* Lines of cli_error go to the end of PATH from now on, and the standard error of children. False:
 * see errno. */
bool log_open(const char *path);

bool log_is_open(void);

/* Begins a line with the time, in a new file if this one is full. Returns where the rest goes. */
FILE *log_begin_line(void);

#endif
