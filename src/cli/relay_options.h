/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a relay session is asked to do: the options of `kdwire relay`, which are also the settings
 * of a session file (session_file.h), one by one by name. No I/O.
 */
#ifndef KDWIRE_CLI_RELAY_OPTIONS_H
#define KDWIRE_CLI_RELAY_OPTIONS_H

#include "relay/session.h"

enum {
    RELAY_OPTION_MESSAGE_MAX = ENDPOINT_MESSAGE_MAX + 64, /* an endpoint's, and the option's name */
};

/* All zero but `dash` to begin with. Texts are the caller's and must stay as long as it. */
struct relay_options {
    const char *dash; /* what stands before an option's name in messages: "--" or "" */
    const char *ends[2];
    const char *key_file;
    const char *record, *datagrams;
    bool record_key;
    bool shaped; /* format or framing was given */
    struct capture_file_config file, datagrams_file;
    struct capture_writer_config writer;
    struct endpoint_spec observers[OBSERVER_ENDS_MAX];
    size_t observer_count;
    struct pace pace;
    char names[2][ENDPOINT_TEXT_MAX + ENDPOINT_HOST_MAX]; /* of the ends, in the recording */
    char secret[CAPTURE_SECRET_MAX];
};

/*
 * Sets the option NAME (without dashes). A flag's VALUE is yes or no; NULL is yes. Returns KD_OK;
 * KD_E_NOT_FOUND for an unknown name, KD_E_ARGUMENT for a wrong value: MESSAGE then is one line.
 */
int relay_option_set(struct relay_options *options, const char *name, const char *value,
                     char message[RELAY_OPTION_MESSAGE_MAX]);

/*
 * When all are set: checks that they go together and fills CONFIG, which refers to OPTIONS. Keys
 * are not looked for (relay_setup.h), and the callbacks are the caller's. As relay_option_set.
 */
int relay_options_config(struct relay_options *options, struct relay_config *config,
                         char message[RELAY_OPTION_MESSAGE_MAX]);

/* How many of the ends and observers are our own standard input and output. */
unsigned relay_config_stdio(const struct relay_config *config);

#endif
