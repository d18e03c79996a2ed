/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of `kdwire serve`: several relay sessions.
 *
 *   # a comment; blank lines are nothing
 *   [vm1]
 *   debugger = pipe-listen:spy
 *   target = pipe:windbg
 *   record = C:\kd\vm1.pcapng
 *   overwrite
 *
 * A line in brackets begins a session and names it (letters, digits, '-', '_', '.'). The settings
 * below it are the long options of `kdwire relay` (relay_options.h), one a line; a value is all
 * that stands behind the first '=', without the blanks around it. UTF-8, either kind of line end.
 */
#ifndef KDWIRE_CLI_SESSION_FILE_H
#define KDWIRE_CLI_SESSION_FILE_H

#include "relay_options.h"

enum {
    SESSION_FILE_MAX =
        256 * 1024,        /* bytes: far more than all sessions need; a wrong file is told */
    SESSION_NAME_MAX = 32, /* with the NUL; stands before each line of the log */
    SESSIONS_MAX = 64, /* a session costs half a megabyte, and a host has fewer machines to debug */
    /* Without rotate-size, rotate-time or overwrite, a recording in a session file is a row of
     * files of this size: a service that starts again must find a name that is free. */
    SESSION_RECORD_SIZE = 1000000000,
};

/* One session of a file. */
struct session_entry {
    char name[SESSION_NAME_MAX];
    unsigned line;                /* of its name */
    char *text;                   /* its own copy of its lines, cut into texts for OPTIONS */
    size_t size;                  /* of TEXT: the same bytes mean the same session */
    struct relay_options options; /* refers to TEXT */
    struct session_entry *next;
};

/*
 * Reads the SIZE bytes at TEXT. Gives the sessions in the order of the file; to be freed with
 * session_file_free. Each fault is told by one call of PROBLEM with its line, from 1; then the
 * result is NULL. Memory that lacks is told as a fault, too.
 */
struct session_entry *session_file_parse(const char *text, size_t size,
                                         void (*problem)(void *context, unsigned line,
                                                         const char *message),
                                         void *context);

void session_entry_free(struct session_entry *entry);
void session_file_free(struct session_entry *first);

#endif
