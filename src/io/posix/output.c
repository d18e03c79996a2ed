/* SPDX-License-Identifier: BSD-2-Clause */
#include "../output.h"

#include <poll.h>

bool output_ready(FILE *file)
{
    /* A pipe is writable when it has room for PIPE_BUF bytes; a file always is. */
    struct pollfd poll_fd = {.fd = fileno(file), .events = POLLOUT};
    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT);
}
