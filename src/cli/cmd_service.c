/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "service.h"

static const char help_text[] =
    "usage: kdwire service install [--name NAME] FILE\n"
    "       kdwire service remove|reload [--name NAME]\n"
    "A Windows service that runs the sessions of FILE (see 'kdwire serve --help') and starts with\n"
    "Windows. Needs an administrator. What it has to say is in FILE's name with .log at its end.\n"
    "\n"
    "  -n, --name NAME        the service's name; kdwire if not given\n"
    "      --help             this text\n"
    "\n"
    "Start and stop it with 'net start NAME' and 'net stop NAME'; 'reload' has it read FILE "
    "again:\n"
    "sessions that are as before go on.\n"
    "\n"
    "On Linux use the systemd unit kdwire.service. See kdwire-serve(1).\n";

enum { OPTION_HELP = 256 };

struct arguments {
    const char *name, *verb, *file;
    bool help;
};

static bool is_service_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size < SERVICE_NAME_MAX && !strpbrk(name, "/\\\" ");
}

static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"name", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    static char name[] = "kdwire service"; /* what getopt_long puts before its messages */
    int option;
    argv[0] = name;
    while ((option = getopt_long(argc, argv, "n:", long_options, NULL)) != -1) {
        if (option == 'n') {
            arguments->name = optarg;
        } else if (option == OPTION_HELP) {
            arguments->help = true;
            return 0;
        } else {
            fprintf(stderr, "Try 'kdwire service --help'.\n");
            return CLI_USAGE;
        }
    }
    arguments->verb = optind < argc ? argv[optind++] : "";
    arguments->file = optind < argc ? argv[optind++] : NULL;
    return optind < argc ? cli_usage_error("'%s' is not expected here", argv[optind]) : 0;
}

int cmd_service(int argc, char **argv)
{
    struct arguments arguments = {.name = "kdwire"};
    int rc = parse_arguments(&arguments, argc, argv);
    if (rc)
        return rc;
    if (arguments.help) {
        fputs(help_text, stdout);
        return CLI_DONE;
    }
    if (!is_service_name(arguments.name))
        return cli_usage_error("--name '%.100s': write a short name without blanks and slashes",
                               arguments.name);
    bool install = !strcmp(arguments.verb, "install"), run = !strcmp(arguments.verb, "run");
    bool remove = !strcmp(arguments.verb, "remove");
    if (!install && !run && !remove && strcmp(arguments.verb, "reload") != 0)
        return cli_usage_error("'%s': there are install, remove and reload", arguments.verb);
    if ((install || run) && !arguments.file)
        return cli_usage_error("FILE is missing: the file with the sessions");
    if (!install && !run && arguments.file)
        return cli_usage_error("'%s' is not expected here", arguments.file);
    if (run)
        return service_run(arguments.name, arguments.file);
    if (install)
        return service_install(arguments.name, arguments.file);
    return remove ? service_remove(arguments.name) : service_reload(arguments.name);
}
