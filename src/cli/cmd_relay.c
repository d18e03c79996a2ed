/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "cli.h"

int cmd_relay(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--help")) {
        printf("usage: kdwire relay [OPTION]...\n");
        return CLI_DONE;
    }
    cli_error("not built yet");
    return CLI_FAILED;
}
