/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KDWIRE_CLI_POSIX_INPUT_H
#define KDWIRE_CLI_POSIX_INPUT_H

#include <uv.h>

/* libuv makes what it polls non-blocking, and a terminal's input and output are one file: long
 * outputs would be cut short, and the shell would find its terminal changed. Reading does not need
 * it: it is done once after each time that there is something. */
int platform_poll_input(uv_loop_t *loop, uv_poll_t *poll);

#endif
