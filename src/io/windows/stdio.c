/* SPDX-License-Identifier: BSD-2-Clause */
/* stdio: our own standard input and output, which must be pipes; libuv duplicates the handles. */
#include <stdio.h>
#include <stdlib.h>

#include "../opener.h"

enum {
    STDIN = 0,
    STDOUT = 1,
};

static int prepare_stdio(struct endpoint *endpoint, char *message)
{
    bool in = endpoint->spec.write_only || uv_guess_handle(STDIN) == UV_NAMED_PIPE;
    bool out = uv_guess_handle(STDOUT) == UV_NAMED_PIPE;
    if (in && out)
        return KD_OK;
    snprintf(message, ENDPOINT_MESSAGE_MAX,
             "stdio: standard %s must be a pipe to another program, not a file or a console",
             in ? "output" : "input");
    return KD_E_UNSUPPORTED;
}

static void attempt_stdio(struct endpoint *endpoint)
{
    bool write_only = endpoint->spec.write_only;
    struct channel *channel = channel_new(endpoint->loop);
    if (!channel || channel_init_pipe(channel) < 0)
        goto failed;
    channel->write_only = write_only;
    if (uv_pipe_open(&channel->in.pipe, write_only ? STDOUT : STDIN) < 0)
        goto failed;
    if (!write_only &&
        (channel_init_out(channel) < 0 || uv_pipe_open(&channel->second, STDOUT) < 0))
        goto failed;
    endpoint_opened(endpoint, channel,
                    write_only ? "standard output" : "standard input and output");
    return;
failed:
    if (channel)
        channel_close(channel);
    endpoint_failed(endpoint, "stdio: cannot use standard input and output");
}

static const struct opener_operations stdio_operations = {
    .prepare = prepare_stdio,
    .attempt = attempt_stdio,
};

struct opener *opener_stdio(void)
{
    struct opener *opener = calloc(1, sizeof(*opener));
    if (opener)
        opener->operations = &stdio_operations;
    return opener;
}
