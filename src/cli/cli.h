/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kdwire command: main.c finds the subcommand, each subcommand lives in its own cmd_NAME.c and
 * parses its own arguments (argv[0] is the subcommand's name; --help is its own to answer).
 */
#ifndef KDWIRE_CLI_H
#define KDWIRE_CLI_H

#include <stdbool.h>

/* Exit codes of every subcommand. */
enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
};

int cmd_relay(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_decode(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_genkey(int argc, char **argv);
int cmd_hyperv(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_service(int argc, char **argv);

/* "kdwire NAME: text\n" on standard error; NAME is the running subcommand. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the next lines of cli_error are about, a session's name or a file's line: it stands before
 * them. NULL: nothing. The text must stay until the next call. */
void cli_about(const char *what);

/* cli_error, then where help is to be had. Returns CLI_USAGE. */
int cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
