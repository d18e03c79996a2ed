/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay_setup.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "key.h"

/* The keys of the ends, for the file of their datagrams. */
static const char *secret_of(const struct relay_config *config, char secret[CAPTURE_SECRET_MAX])
{
    size_t size = 0;
    secret[0] = '\0';
    for (int i = 0; i < 2; i++) {
        char text[KDNET_KEY_TEXT_MAX];
        if (config->ends[i].has_key)
            size +=
                (size_t)snprintf(secret + size, CAPTURE_SECRET_MAX - size, KDNET_SECRETS_KEY "%s\n",
                                 kdnet_key_text(&config->ends[i].key, text));
    }
    return secret;
}

int relay_setup(struct relay_options *options, struct relay_config *config)
{
    char message[RELAY_OPTION_MESSAGE_MAX];
    if (relay_options_config(options, config, message) < 0)
        return cli_usage_error("%s", message);
    for (int i = 0; i < 2; i++) {
        enum cli_end end = i == RELAY_DEBUGGER ? CLI_END_DEBUGGER : CLI_END_TARGET;
        int rc = cli_find_key(&config->ends[i], end, options->key_file);
        if (rc != CLI_DONE)
            return rc;
    }
    config->writer.program = "kdwire " KDWIRE_VERSION;
    if (options->record_key)
        config->writer.secret = secret_of(config, options->secret);
    return CLI_DONE;
}

static bool is_open_to_all(const struct endpoint_spec *spec)
{
    bool own = !strcmp(spec->host, "127.0.0.1") || !strcmp(spec->host, "::1") ||
               !strcmp(spec->host, "localhost");
    return spec->kind == ENDPOINT_TCP_LISTEN && !own;
}

void relay_warn_of_open_listeners(const struct relay_config *config)
{
    bool open = is_open_to_all(&config->ends[0]) || is_open_to_all(&config->ends[1]);
    for (size_t i = 0; i < config->observer_count; i++)
        open |= is_open_to_all(&config->observers[i]);
    if (open)
        cli_error("warning: other machines can reach this listener, there is no password, and a "
                  "KD connection is full control of the target; let a firewall decide who may");
}
