/* SPDX-License-Identifier: BSD-2-Clause */
/* From options to a session that can be opened. */
#ifndef KDWIRE_CLI_RELAY_SETUP_H
#define KDWIRE_CLI_RELAY_SETUP_H

#include "relay_options.h"

/*
 * Fills CONFIG (relay_options_config) and finds the keys of its ends (key.h), the secret for a
 * recording of datagrams, too. Returns CLI_DONE, or says what is wrong and returns CLI_USAGE or
 * CLI_FAILED.
 */
int relay_setup(struct relay_options *options, struct relay_config *config);

/* Says so if other machines can reach one of the session's listeners. */
void relay_warn_of_open_listeners(const struct relay_config *config);

#endif
