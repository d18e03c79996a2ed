/* SPDX-License-Identifier: BSD-2-Clause */
/* vspControl: makes, sets and watches the network serial ports of htsvsp. */
#include "control.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef KDWIRE_VERSION
#define KDWIRE_VERSION "unknown"
#endif

static const char usage[] =
    "usage: vspControl COMMAND [COMn] [OPTION...]\n"
    "\n"
    "A network serial port is a COM port whose other end is a TCP connection.\n"
    "\n"
    "  install [--certificate FILE]    put the driver package into Windows (administrator)\n"
    "  add --connect HOST:PORT         make a port whose other end is there (administrator)\n"
    "  add --listen [ADDRESS:]PORT     make a port that waits for its peer (administrator)\n"
    "  list                            the ports, and what each is connected to\n"
    "  status [COMn] [--watch]         one port in full\n"
    "  set [COMn] OPTION...            change it, also while a program has it\n"
    "  reconnect [COMn]                drop the peer and try again at once\n"
    "  doctor [COMn]                   say what is missing until it works\n"
    "  log [COMn] [--follow]           what the driver has noted; --save FILE appends it there\n"
    "  enable, disable, remove COMn    (administrator)\n"
    "  uninstall                       take the driver package out of Windows (administrator)\n"
    "\n"
    "  --raw | --telnet | --rfc2217    how the peer speaks: plain bytes; Telnet; Telnet with line\n"
    "                                  settings, break and modem lines (terminal servers)\n"
    "  --com COMn                      add: the name; else Windows chooses one\n"
    "  --when always|open|dtr          connected always, while a program has the port, while it\n"
    "                                  holds DTR\n"
    "  --offline wait|discard|fail     what becomes of writes while nobody is connected\n"
    "  --lines connection|on           DCD, DSR and CTS tell of the connection, or are always on\n"
    "  --second refuse|replace         --listen: a second peer comes\n"
    "  --keepalive SECONDS             until a silent peer is probed, 0 = never\n"
    "  --retry SECONDS                 longest pause between attempts\n"
    "  --level 0..4                    the log keeps: 0 everything, 2 what happens, 4 errors\n"
    "  --inf FILE                      install, add: another package than the one beside this "
    "program\n"
    "  --device PATH                   the port with this control interface\n"
    "  --json                          one JSON object a line (list, status)\n"
    "  --yes                           ask nothing\n"
    "\n"
    "The options of the first vspControl (-c -s -p -i ..., --addDevice ...) work, too.\n"
    "Exit code: 0 done, 1 failed, 2 bad usage.\n";

enum {
    OPTION_CONNECT = 256,
    OPTION_LISTEN,
    OPTION_COM,
    OPTION_WHEN,
    OPTION_OFFLINE,
    OPTION_LINES,
    OPTION_SECOND,
    OPTION_KEEPALIVE,
    OPTION_RETRY,
    OPTION_LEVEL,
    OPTION_INF,
    OPTION_CERTIFICATE,
    OPTION_DEVICE,
    OPTION_JSON,
    OPTION_WATCH,
    OPTION_FOLLOW,
    OPTION_YES,
    OPTION_SAVE,
    OPTION_RAW, /* in the order of enum vsp_telnet */
    OPTION_TELNET,
    OPTION_RFC2217,
};

static const struct option long_options[] = {
    {"connect", required_argument, NULL, OPTION_CONNECT},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"com", required_argument, NULL, OPTION_COM},
    {"when", required_argument, NULL, OPTION_WHEN},
    {"offline", required_argument, NULL, OPTION_OFFLINE},
    {"lines", required_argument, NULL, OPTION_LINES},
    {"second", required_argument, NULL, OPTION_SECOND},
    {"keepalive", required_argument, NULL, OPTION_KEEPALIVE},
    {"retry", required_argument, NULL, OPTION_RETRY},
    {"level", required_argument, NULL, OPTION_LEVEL},
    {"inf", required_argument, NULL, OPTION_INF},
    {"certificate", required_argument, NULL, OPTION_CERTIFICATE},
    {"device", required_argument, NULL, OPTION_DEVICE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"watch", no_argument, NULL, OPTION_WATCH},
    {"follow", no_argument, NULL, OPTION_FOLLOW},
    {"yes", no_argument, NULL, OPTION_YES},
    {"save", required_argument, NULL, OPTION_SAVE},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"telnet", no_argument, NULL, OPTION_TELNET},
    {"rfc2217", no_argument, NULL, OPTION_RFC2217},
    {NULL, 0, NULL, 0},
};

static const struct command {
    const char *name;
    int (*run)(const struct options *options);
} commands[] = {
    {"add", command_add},       {"list", command_list},           {"status", command_status},
    {"set", command_set},       {"reconnect", command_reconnect}, {"doctor", command_doctor},
    {"log", command_log},       {"enable", command_enable},       {"disable", command_disable},
    {"remove", command_remove}, {"install", command_install},     {"uninstall", command_uninstall},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static bool take_number(const char *text, long *out)
{
    char *end = NULL;
    *out = strtol(text, &end, 10);
    if (*text && !*end && *out >= 0 && *out <= 3600)
        return true;
    fail("'%s' must be a number from 0 to 3600", text);
    return false;
}

static bool take_option(struct options *options, int option)
{
    const char **texts[] = {&options->connect, &options->listen, &options->com,   &options->when,
                            &options->offline, &options->lines,  &options->second};
    switch (option) {
    case OPTION_KEEPALIVE:
        return take_number(optarg, &options->keepalive);
    case OPTION_RETRY:
        return take_number(optarg, &options->retry);
    case OPTION_LEVEL:
        return take_number(optarg, &options->level);
    case OPTION_INF:
        options->inf = optarg;
        return true;
    case OPTION_CERTIFICATE:
        options->certificate = optarg;
        return true;
    case OPTION_SAVE:
        options->save = optarg;
        return true;
    case OPTION_DEVICE:
        options->device = optarg;
        return true;
    case OPTION_JSON:
        return options->json = true;
    case OPTION_WATCH:
        return options->watch = true;
    case OPTION_FOLLOW:
        return options->follow = true;
    case OPTION_YES:
        return options->yes = true;
    case OPTION_RAW:
    case OPTION_TELNET:
    case OPTION_RFC2217:
        options->protocol = option - OPTION_RAW;
        return true;
    default:
        if (option < OPTION_CONNECT || option > OPTION_SECOND)
            return false;
        *texts[option - OPTION_CONNECT] = optarg;
        return true;
    }
}

static int run(const struct command *command, int count, char **arguments)
{
    struct options options = {
        .command = command->name, .keepalive = -1, .retry = -1, .level = -1, .protocol = -1};
    int option = 0;
    while ((option = getopt_long(count, arguments, "", long_options, NULL)) != -1)
        if (!take_option(&options, option))
            return BAD_USAGE;
    if (optind < count)
        options.port = arguments[optind++];
    if (optind < count) {
        fail("what is '%s'? 'vspControl --help' shows how it is used", arguments[optind]);
        return BAD_USAGE;
    }
    return command->run(&options);
}

int main(int count, char **arguments)
{
    const char *first = count > 1 ? arguments[1] : "--help";
    if (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help")) {
        fputs(usage, stdout);
        return count > 1 ? DONE : BAD_USAGE;
    }
    if (!strcmp(first, "--version")) {
        puts("vspControl (kdwire) " KDWIRE_VERSION);
        return DONE;
    }
    if (first[0] == '-')
        return classic_main(count, arguments);
    const struct command *command = find_command(first);
    if (command)
        return run(command, count - 1, arguments + 1);
    fail("'%s' is no command; 'vspControl --help' shows them", first);
    return BAD_USAGE;
}
