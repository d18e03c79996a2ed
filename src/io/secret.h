/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KDWIRE_IO_SECRET_H
#define KDWIRE_IO_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Asks the person at the terminal (not standard input, which may be a script) for a line that is
 * not shown while it is typed. False: there is no terminal, or the line does not fit. TEXT ends in
 * NUL, without the line end; the caller wipes it. */
bool secret_ask(const char *prompt, char *text, size_t size);

#endif
