/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a KDNET key comes from, in this order: key= of the endpoint; key-file= of the endpoint;
 * --key-file; the environment (KDWIRE_KDNET_KEY); the person at the terminal.
 */
#ifndef KDWIRE_CLI_KEY_H
#define KDWIRE_CLI_KEY_H

#include "io/endpoint.h"

/* What is at an end. */
enum cli_end {
    CLI_END_DEBUGGER,
    CLI_END_TARGET,
};

/*
 * Fills spec->key, if the endpoint needs one and it can be found. KEY_FILE is --key-file's value or
 * NULL. Refuses the KDNET endpoint of the wrong side: a debugger is reached by kdnet-target (we
 * play the target), a target by kdnet-host. Returns CLI_DONE, or says what is wrong and returns
 * CLI_USAGE or CLI_FAILED.
 */
int cli_find_key(struct endpoint_spec *spec, enum cli_end end, const char *key_file);

/* Whether KDWIRE_KDNET_KEY is set. */
bool cli_key_in_environment(void);

/* The same for a key that belongs to no endpoint; TEXT is the key itself or NULL. */
int cli_read_key(struct kdnet_key *key, const char *text, const char *key_file);

#endif
