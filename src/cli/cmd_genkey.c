/* SPDX-License-Identifier: BSD-2-Clause */
/* kdwire genkey: a KDNET key for both sides. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "io/output.h"
#include "kdwire/error.h"
#include "kdwire/kdnet.h"

static const char help_text[] =
    "usage: kdwire genkey [FILE]\n"
    "Makes a KDNET key (256 random bits) and writes it to FILE, which only you may read and which\n"
    "must not exist yet; without FILE, to standard output.\n"
    "\n"
    "Whoever has the key has the machine: give FILE to kdwire by --key-file, set the same key in\n"
    "Windows (bcdedit /dbgsettings net ... key:KEY), and give it to WinDbg (-k net:...,key=KEY).\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

static int write_key(const char *path, const char *text)
{
    FILE *file = output_create_private(path, false);
    if (!file) {
        cli_error("%s: %s", path,
                  errno == EEXIST ? "exists already and is not overwritten; choose another name"
                                  : strerror(errno));
        return CLI_FAILED;
    }
    bool good = fprintf(file, "%s\n", text) > 0;
    if (fclose(file) != 0 || !good) {
        cli_error("%s: the key could not be written: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    return CLI_DONE;
}

int cmd_genkey(int argc, char **argv)
{
    struct kdnet_key key;
    char text[KDNET_KEY_TEXT_MAX];
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(help_text, stdout);
        return CLI_DONE;
    }
    if (argc > 2)
        return cli_usage_error("'%s' is not expected here", argv[2]);
    if (argc > 1 && argv[1][0] == '-')
        return cli_usage_error("there is no option '%s'", argv[1]);
    int rc = kdnet_key_generate(&key);
    if (rc < 0) {
        cli_error("no key could be made: %s", kd_error_text(rc));
        return CLI_FAILED;
    }
    kdnet_key_text(&key, text);
    kdnet_key_wipe(&key);
    if (argc > 1)
        return write_key(argv[1], text);
    return puts(text) < 0 || fflush(stdout) ? CLI_FAILED : CLI_DONE;
}
