/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines to people and programs that must never stop the session they tell about. */
#ifndef KDWIRE_IO_OUTPUT_H
#define KDWIRE_IO_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

enum {
    OUTPUT_LINE_MAX = 2048, /* below what a pipe takes at once (PIPE_BUF, 4096) */
};

/* Whether a line of OUTPUT_LINE_MAX bytes can be written to FILE now without waiting. */
bool output_ready(FILE *file);

/* How many columns the terminal behind FILE has now; 0: FILE is none, or it does not say. */
unsigned output_columns(FILE *file);

/* Makes a file that only its user may read (0600, whatever the umask says) and opens it for
 * writing. An existing one is an error (EEXIST), or emptied and made private if REPLACE. NULL: see
 * errno. */
FILE *output_create_private(const char *path, bool replace);

#endif
