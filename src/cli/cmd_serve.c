/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "log.h"
#include "serve.h"

static const char help_text[] =
    "usage: kdwire serve [OPTION]... FILE\n"
    "Runs all relay sessions of FILE until asked to end (Ctrl-C, SIGTERM). They are independent:\n"
    "one that cannot be opened is tried again, and the others go on.\n"
    "\n"
    "      --check            say what is wrong with FILE, and run nothing\n"
    "      --log LOGFILE      write to LOGFILE, with times, not on standard error; when it has\n"
    "                         4 MB it is renamed to LOGFILE.old and begun anew\n"
    "  -e, --events json      one JSON object per event on standard output\n"
    "  -q, --quiet            say errors only\n"
    "  -v, --verbose          say stops, resends and resets too\n"
    "      --help             this text\n"
    "\n"
    "FILE has a name in brackets for each session and below it, one a line, options of\n"
    "'kdwire relay' without their dashes:\n"
    "\n"
    "  [vm1]\n"
    "  debugger = tcp-listen:7101\n"
    "  target = unix:/run/vm1/com1.sock\n"
    "  record = /var/lib/kdwire/vm1.pcapng\n"
    "  rotate-size = 100M\n"
    "  keep = 10\n"
    "\n"
    "SIGHUP reads FILE again; sessions that are as before go on. As a service of the system:\n"
    "'kdwire service --help'. See kdwire-serve(1).\n";

enum {
    OPTION_CHECK = 256,
    OPTION_LOG,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"check", no_argument, NULL, OPTION_CHECK},
    {"log", required_argument, NULL, OPTION_LOG},
    {"events", required_argument, NULL, 'e'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct serve_options options;
    const char *log;
    bool check, help;
};

static int parse_option(struct arguments *arguments, int option, const char *value)
{
    switch (option) {
    case OPTION_CHECK:
        arguments->check = true;
        return 0;
    case OPTION_LOG:
        arguments->log = value;
        return 0;
    case 'e':
        arguments->options.json = true;
        return strcmp(value, "json") != 0 ? cli_usage_error("--events '%s': there is json", value)
                                          : 0;
    case 'q':
        arguments->options.quiet = true;
        return 0;
    case 'v':
        arguments->options.verbose = true;
        return 0;
    case OPTION_HELP:
        arguments->help = true;
        return 0;
    default: /* getopt has said what is wrong */
        fprintf(stderr, "Try 'kdwire serve --help'.\n");
        return CLI_USAGE;
    }
}

static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
    int option, rc = 0;
    static char name[] = "kdwire serve"; /* what getopt_long puts before its messages */
    argv[0] = name;
    while (!rc && (option = getopt_long(argc, argv, "e:qv", long_options, NULL)) != -1)
        rc = parse_option(arguments, option, optarg);
    if (rc || arguments->help)
        return rc;
    if (optind == argc)
        return cli_usage_error("FILE is missing: the file with the sessions");
    if (optind + 1 < argc)
        return cli_usage_error("'%s' is not expected here", argv[optind + 1]);
    arguments->options.file = argv[optind];
    return 0;
}

int cmd_serve(int argc, char **argv)
{
    struct arguments arguments = {0};
    int rc = parse_arguments(&arguments, argc, argv);
    if (rc)
        return rc;
    if (arguments.help) {
        fputs(help_text, stdout);
        return CLI_DONE;
    }
    if (arguments.check)
        return serve_check(arguments.options.file);
    if (arguments.log && !log_open(arguments.log)) {
        cli_error("%s: cannot write the log: %s", arguments.log, strerror(errno));
        return CLI_FAILED;
    }
    return serve(&arguments.options);
}
