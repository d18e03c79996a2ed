/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "extcap.h"
#include "log.h"
#include "platform.h"

static const struct subcommand {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"relay", "join a debugger and a target; record, reconnect, let others watch", cmd_relay},
    {"debug", "debug a target: WinDbg's commands on a terminal or in a script", cmd_debug},
    {"decode", "show a recording or a raw stream, packet by packet", cmd_decode},
    {"sim", "be a target: a simulated machine, with faults on the line if wanted", cmd_sim},
    {"genkey", "make a key for KDNET", cmd_genkey},
    {"serve", "run the relay sessions of a configuration file", cmd_serve},
    {"service", "let the system run them: a Windows service, a systemd unit", cmd_service},
    {"hyperv", "prepare a VM of Hyper-V for debugging, and start it", cmd_hyperv},
};

static const char *running = NULL, *about = NULL;

static void error_line(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static void error_line(const char *format, va_list arguments)
{
    FILE *out = log_is_open() ? log_begin_line() : stderr;
    fflush(stdout);
    if (out == stderr)
        fprintf(out, running ? "kdwire %s: " : "kdwire: ", running);
    if (about)
        fprintf(out, "%s: ", about);
    vfprintf(out, format, arguments);
    fputc('\n', out);
}

void cli_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_line(format, arguments);
    va_end(arguments);
}

int cli_usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_line(format, arguments);
    va_end(arguments);
    if (!log_is_open())
        fprintf(stderr, running ? "Try 'kdwire %s --help'.\n" : "Try 'kdwire --help'.\n", running);
    return CLI_USAGE;
}

void cli_about(const char *what)
{
    about = what;
}

static void help(FILE *out)
{
    fprintf(out, "usage: kdwire SUBCOMMAND [OPTION]...\n"
                 "Everything on the wire between WinDbg and the machine it debugs.\n\n");
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
        fprintf(out, "  %-8s %s\n", subcommands[i].name, subcommands[i].help);
    fprintf(out, "\n  --help       this text; 'kdwire SUBCOMMAND --help' tells its options\n"
                 "  --version    the version\n"
                 "\nExit status: 0 done, 1 failed, 2 wrong usage. A KD connection is full control "
                 "of a machine:\nlet nobody reach it who may not have that.\n");
}

int main(int argc, char **argv)
{
    platform_start();
    if (is_extcap(argc, argv)) {
        running = "extcap";
        return run_extcap(argc, argv);
    }
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help(stdout);
        return CLI_DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("kdwire %s\n", KDWIRE_VERSION);
        return CLI_DONE;
    }
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (!strcmp(argv[1], subcommands[i].name)) {
            running = subcommands[i].name;
            return subcommands[i].run(argc - 1, argv + 1);
        }
    }
    return cli_usage_error(
        "'%s' is no subcommand; there are relay, debug, decode, sim, genkey, serve, service and "
        "hyperv",
        argv[1]);
}
