/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the sessions of a session file (session_file.h) until asked to end. */
#ifndef KDWIRE_CLI_SERVE_H
#define KDWIRE_CLI_SERVE_H

#include <stdbool.h>

struct serve_options {
    const char *file;
    bool json, quiet, verbose; /* as of kdwire relay */
    void (*started)(void);     /* all sessions have been started; from now on it can be asked */
};

/* Says what is wrong with the file, with each session's keys, too. CLI_DONE, CLI_FAILED (it cannot
 * be read) or CLI_USAGE. */
int serve_check(const char *file);

/* Returns when it was asked to end, by signal or serve_ask: CLI_DONE; or else what serve_check
 * would. Changes the working directory to the file's. */
int serve(const struct serve_options *options);

enum serve_request {
    SERVE_END,
    SERVE_RELOAD, /* the file was changed: end, change and begin what differs, leave the rest alone
                   */
};

/* From any thread. Does nothing when no serve() runs. */
void serve_ask(enum serve_request request);

#endif
