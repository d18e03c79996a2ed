/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "debug/debug.h"
#include "key.h"
#include "platform.h"

enum {
    TIMEOUT_DEFAULT = 30, /* a machine that boots slowly in an emulator still answers */
    COMMANDS_MAX = 64,    /* -c and --script options */
};

struct options {
    const char *end;
    struct {
        const char *text;
        bool is_file;
    } commands[COMMANDS_MAX];
    size_t command_count;
    const char *key_file;
    unsigned piece; /* 0: the end decides */
    bool json, no_break;
    int timeout_s;
};

static void help(void)
{
    printf(
        "usage: kdwire debug END [-c COMMANDS] [--script FILE] [--json] [--timeout SECONDS]\n"
        "Debugs the target at END with WinDbg's commands.\n\n"
        "  END                  where the target's KD port is: tcp:HOST:PORT,\n"
        "                       tcp-listen:[ADDR:]PORT, unix:PATH, unix-listen:PATH,\n"
        "                       serial:/dev/ttyS0,baud=115200, exec:COMMAND,\n"
        "                       kdnet-host:port=50000,bind=* (a Windows target comes to us)\n"
        "  -c COMMANDS          run these (; between them), then let the target run and quit\n"
        "  --script FILE        the same with the lines of FILE (- is standard input)\n"
        "  --json               one JSON object per command and event on standard output\n"
        "  --timeout SECONDS    wait that long for the target to stop (default %d)\n"
        "  --key-file FILE      the key of a KDNET end (else KDWIRE_KDNET_KEY, or you are asked)\n"
        "  --piece N            at most N bytes of memory in one request (default %d; %d at a\n"
        "                       KDNET end, so that no datagram is fragmented)\n"
        "  --no-break           do not stop a running target: wait until it stops by itself\n\n"
        "Without -c and --script commands come from the terminal, or line by line from\n"
        "standard input. .help lists the commands. Ctrl-C stops the target.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
        TIMEOUT_DEFAULT, KD_MANIPULATE_DATA_MAX, KD_PIECE_KDNET);
}

static bool take_commands(struct options *o, const char *text, bool is_file)
{
    if (o->command_count == COMMANDS_MAX)
        return false;
    o->commands[o->command_count].text = text;
    o->commands[o->command_count++].is_file = is_file;
    return true;
}

static int parse_value(struct options *o, const char *option, const char *value)
{
    if (value == NULL)
        return cli_usage_error("%s needs a value", option);
    if (strcmp(option, "--timeout") == 0) {
        char *end;
        long seconds = strtol(value, &end, 10);
        if (end == value || *end != '\0' || seconds < 1 || seconds > 1000000)
            return cli_usage_error("--timeout takes seconds, from 1 on, not '%s'", value);
        o->timeout_s = (int)seconds;
        return CLI_DONE;
    }
    if (strcmp(option, "--piece") == 0) {
        char *end;
        unsigned long piece = strtoul(value, &end, 10);
        if (*value < '1' || *value > '9' || *end != '\0' || piece > KD_MANIPULATE_DATA_MAX)
            return cli_usage_error("--piece takes bytes, from 1 to %d, not '%s'",
                                   KD_MANIPULATE_DATA_MAX, value);
        o->piece = (unsigned)piece;
        return CLI_DONE;
    }
    if (strcmp(option, "--key-file") == 0) {
        o->key_file = value;
        return CLI_DONE;
    }
    if (!take_commands(o, value, strcmp(option, "--script") == 0))
        return cli_usage_error("more than %d -c and --script; put them into one file",
                               COMMANDS_MAX);
    return CLI_DONE;
}

static int parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "--json") == 0) {
            o->json = true;
        } else if (strcmp(a, "--no-break") == 0) {
            o->no_break = true;
        } else if (strcmp(a, "-c") == 0 || strcmp(a, "--script") == 0 ||
                   strcmp(a, "--timeout") == 0 || strcmp(a, "--key-file") == 0 ||
                   strcmp(a, "--piece") == 0) {
            int result = parse_value(o, a, argv[i + 1]);
            if (result != CLI_DONE)
                return result;
            i++;
        } else if (a[0] == '-' && a[1] != '\0') {
            return cli_usage_error("there is no option '%s'", a);
        } else if (o->end == NULL) {
            o->end = a;
        } else {
            return cli_usage_error("'%s' is too much: only one END is debugged (commands go "
                                   "behind -c)",
                                   a);
        }
    }
    if (o->end == NULL)
        return cli_usage_error("say where the target is, for example tcp:192.0.2.1:7001");
    return CLI_DONE;
}

/* The next line without its end, to be freed; NULL: there is none. */
static char *next_line(FILE *file)
{
    size_t size = 0, room = 128;
    char *line = malloc(room);
    int c;
    while (line != NULL && (c = getc(file)) != EOF && c != '\n') {
        line[size++] = (char)c;
        if (size == room) {
            char *larger = realloc(line, room *= 2);
            if (larger == NULL)
                free(line);
            line = larger;
        }
    }
    if (line == NULL || (size == 0 && feof(file))) {
        free(line);
        return NULL;
    }
    line[size] = '\0';
    line[strcspn(line, "\r")] = '\0';
    return line;
}

static bool run_lines(struct debug *d, FILE *file)
{
    char *line;
    bool good = true;
    while (good && !d->quit && (line = next_line(file)) != NULL) {
        good = debug_execute(d, line);
        free(line);
    }
    return good;
}

/* A pipe may be another program that thinks between two lines. */
static bool run_input(struct debug *d)
{
    char *line;
    bool good = true;
    while (good && !d->quit && (line = input_line(d)) != NULL) {
        line[strcspn(line, "\r")] = '\0';
        good = debug_execute(d, line);
        free(line);
    }
    return good;
}

static bool run_file(struct debug *d, const char *path)
{
    if (strcmp(path, "-") == 0)
        return run_input(d);
    int fd = platform_open(path);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (file == NULL) {
        cli_error("%s: %s", path, strerror(errno));
        return false;
    }
    bool good = run_lines(d, file);
    fclose(file);
    return good;
}

static bool run_commands(struct debug *d, const struct options *o)
{
    bool good = true;
    if (o->command_count == 0 && !d->interactive)
        return run_input(d);
    for (size_t i = 0; good && !d->quit && i < o->command_count; i++)
        good = o->commands[i].is_file ? run_file(d, o->commands[i].text)
                                      : debug_execute(d, o->commands[i].text);
    return good;
}

/* What Enter alone does: the line before again; a dump goes on where it ended. */
static void remember(char last[DEBUG_LINE_MAX], const char *line)
{
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '*' || strncmp(line, "$$", 2) == 0)
        return;
    size_t length = strlen(line);
    size_t word = strcspn(line, " \t");
    bool dump = tolower((unsigned char)line[0]) == 'd' && word <= 2 && strchr(line, ';') == NULL;
    if (dump)
        length = word;
    if (length >= DEBUG_LINE_MAX)
        return;
    memcpy(last, line, length);
    last[length] = '\0';
}

static void run_terminal(struct debug *d)
{
    char *line, last[DEBUG_LINE_MAX] = "";
    while (!d->quit && (line = terminal_line(d, NULL)) != NULL) {
        debug_execute(d, line[strspn(line, " \t")] != '\0' ? line : last);
        remember(last, line);
        free(line);
    }
    if (!d->quit)
        putchar('\n');
}

static int run(struct debug *d, const struct options *o)
{
    bool good = true;
    if (!o->no_break && !debug_attach(d)) {
        cli_error("%s", d->error);
        return CLI_FAILED;
    }
    if (o->no_break) {
        int result = session_wait(&d->session, 1000ll * d->timeout_s, session_until_up);
        if (result == KD_E_CLOSED)
            debug_fail_connection(d);
        else if (result < 0)
            debug_fail(d, "%s: nobody has connected within %d s", o->end, d->timeout_s);
        if (result < 0) {
            cli_error("%s", d->error);
            return CLI_FAILED;
        }
    }
    if (d->interactive)
        run_terminal(d);
    else
        good = run_commands(d, o);
    if (d->session.terminated && !d->quit && !d->interactive) {
        if (good)
            cli_error("ended by a signal before all commands were carried out");
        good = false;
    }
    if (!d->quit && !debug_leave(d, true)) {
        cli_error("the target could not be left running: %s", d->error);
        good = false;
    }
    return good ? CLI_DONE : CLI_FAILED;
}

int cmd_debug(int argc, char **argv)
{
    struct options options = {.timeout_s = TIMEOUT_DEFAULT};
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        help();
        return CLI_DONE;
    }
    int result = parse(&options, argc, argv);
    if (result != CLI_DONE)
        return result;
    if (endpoint_parse(&spec, options.end, message) < 0)
        return cli_usage_error("%s", message);
    result = cli_find_key(&spec, CLI_END_TARGET, options.key_file);
    if (result != CLI_DONE)
        return result;
    struct debug *d = calloc(1, sizeof *d);
    if (d == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    d->timeout_s = options.timeout_s;
    d->last_hit = -1;
    d->say.json = options.json;
    d->interactive = options.command_count == 0 && !options.json && platform_is_interactive();
    d->session.on_event = debug_on_event;
    d->session.on_notice = debug_on_notice;
    d->session.context = d;
    d->session.attach_how = options.no_break ? KD_ATTACH_WAIT : KD_ATTACH_STOP;
    struct kd_debugger_config config = {.piece_max = options.piece};
    if (!options.piece && endpoint_spec_needs_key(&spec))
        config.piece_max = KD_PIECE_KDNET;
    if (session_open(&d->session, &spec, &config, message) < 0) {
        cli_error("%s", message);
        result = CLI_FAILED;
    } else {
        result = run(d, &options);
    }
    terminal_close(d);
    session_close(&d->session);
    say_free(&d->say);
    free(d->modules);
    free(d);
    return result;
}
