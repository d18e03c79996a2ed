/* SPDX-License-Identifier: BSD-2-Clause */
#include "key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "io/secret.h"

enum {
    LINE_SIZE = 256, /* a key has at most 55 characters; the rest is room for a comment */
};

static const char environment[] = "KDWIRE_KDNET_KEY";

static void wipe(char *text, size_t size)
{
    volatile char *at = text;
    while (size--)
        *at++ = '\0';
}

/* The key in a line, without what is around it. */
static int take_line(struct kdnet_key *key, char *line, const char *from)
{
    const char *problem;
    char *start = line + strspn(line, " \t");
    start[strcspn(start, " \t\r\n")] = '\0';
    if (kdnet_key_parse(key, start, &problem) == KD_OK)
        return CLI_DONE;
    cli_error("the key from %s is no KDNET key: %s", from, problem);
    return CLI_FAILED;
}

/* The first line that is neither empty nor a comment. */
static int read_lines(struct kdnet_key *key, FILE *file, const char *path)
{
    char line[LINE_SIZE];
    int result = -1;
    setvbuf(file, NULL, _IONBF, 0); /* no copy of the key stays in a buffer */
    while (result < 0 && fgets(line, sizeof(line), file)) {
        char first = line[strspn(line, " \t\r\n")];
        if (first && first != '#')
            result = take_line(key, line, path);
    }
    wipe(line, sizeof(line));
    if (result < 0) {
        cli_error("%s: there is no key in this file", path);
        result = CLI_FAILED;
    }
    return result;
}

static int read_file(struct kdnet_key *key, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        cli_error("%s: cannot read the key: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    int result = read_lines(key, file, path);
    fclose(file);
    return result;
}

static int take_text(struct kdnet_key *key, const char *text, const char *from)
{
    char line[LINE_SIZE];
    snprintf(line, sizeof(line), "%s", text);
    int result = take_line(key, line, from);
    wipe(line, sizeof(line));
    return result;
}

/* Returns CLI_USAGE, silently, when there is nobody to ask. */
static int ask(struct kdnet_key *key)
{
    char line[LINE_SIZE];
    if (!secret_ask("KDNET key (w.x.y.z): ", line, sizeof(line)))
        return CLI_USAGE;
    int result = take_line(key, line, "the terminal");
    wipe(line, sizeof(line));
    return result;
}

static int find(struct kdnet_key *key, const char *key_file)
{
    const char *text = getenv(environment);
    if (key_file)
        return read_file(key, key_file);
    return text ? take_text(key, text, environment) : ask(key);
}

bool cli_key_in_environment(void)
{
    return getenv(environment) != NULL;
}

int cli_find_key(struct endpoint_spec *spec, enum cli_end end, const char *key_file)
{
    if (spec->kind == ENDPOINT_KDNET_HOST && end == CLI_END_DEBUGGER)
        return cli_usage_error("kdnet-host: is where a target comes to; where a debugger waits, "
                               "write kdnet-target:host=HOST,port=%u",
                               spec->port);
    if (spec->kind == ENDPOINT_KDNET_TARGET && end == CLI_END_TARGET)
        return cli_usage_error("kdnet-target: is for where a debugger waits; for a target that "
                               "comes to us, write kdnet-host:port=%u",
                               spec->port);
    if (!endpoint_spec_needs_key(spec) || spec->has_key)
        return CLI_DONE;
    int result = find(&spec->key, *spec->path ? spec->path : key_file);
    spec->has_key = result == CLI_DONE;
    return result == CLI_USAGE ? CLI_DONE : result; /* without one, opening it says what to do */
}

int cli_read_key(struct kdnet_key *key, const char *text, const char *key_file)
{
    int result = text ? take_text(key, text, "--key") : find(key, key_file);
    if (result == CLI_USAGE)
        cli_error("no key: use --key-file FILE, or set %s", environment);
    return result == CLI_DONE ? CLI_DONE : CLI_FAILED;
}
