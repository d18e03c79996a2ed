/* SPDX-License-Identifier: BSD-2-Clause */
#include "viewer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum {
    LINE_MAX_SIZE = ENDPOINT_TEXT_MAX + ENDPOINT_HOST_MAX + 64,
    VIEWER_ARGUMENTS = 5, /* with the program and the NULL */
};

static const struct {
    const char *option, *name, *needs;
} kinds[VIEWER_COUNT] = {
    [VIEWER_WINDBG] = {"start-windbg", "WinDbg",
                       "a debugger end that WinDbg can come to: pipe-listen: (on Windows) or "
                       "tcp-listen:"},
    [VIEWER_WIRESHARK] = {"start-wireshark", "Wireshark", "--live, or --observe tcp-listen:PORT"},
};

static bool is_any_address(const char *host)
{
    static const uint8_t zeros[16];
    uint8_t address[sizeof(zeros)];
    return !strcmp(host, "*") ||
           (uv_inet_pton(AF_INET, host, address) == 0 && !memcmp(address, zeros, 4)) ||
           (uv_inet_pton(AF_INET6, host, address) == 0 && !memcmp(address, zeros, 16));
}

/* Where a listener is for a program on this machine. At any address it takes IPv4 as well: libuv
 * binds "::" for both families. */
static const char *own_host(const struct endpoint_spec *spec)
{
    return is_any_address(spec->host) ? "127.0.0.1" : spec->host;
}

/* What stands behind -k of WinDbg, or -k -i of Wireshark. False: no program can come to this end.
 */
static bool line_for(enum viewer_kind kind, const struct endpoint_spec *spec,
                     char line[LINE_MAX_SIZE])
{
    bool windbg = kind == VIEWER_WINDBG;
    switch (spec->kind) {
    case ENDPOINT_PIPE_LISTEN:
        snprintf(line, LINE_MAX_SIZE, windbg ? "com:pipe,port=%s,resets=0,reconnect" : "%s",
                 spec->path);
        return true;
    case ENDPOINT_FIFO:
        snprintf(line, LINE_MAX_SIZE, "%s", spec->path);
        return !windbg;
    case ENDPOINT_TCP_LISTEN:
        if (windbg)
            snprintf(line, LINE_MAX_SIZE, "com:ipport=%u,port=%s", spec->port, own_host(spec));
        else
            snprintf(line, LINE_MAX_SIZE, strchr(own_host(spec), ':') ? "TCP@[%s]:%u" : "TCP@%s:%u",
                     own_host(spec), spec->port);
        return true;
    default:
        return false;
    }
}

/* The end that the program is to come to; NULL: there is none. */
static const struct endpoint_spec *end_for(enum viewer_kind kind, const struct relay_config *config,
                                           size_t *index)
{
    char line[LINE_MAX_SIZE];
    *index = 0;
    if (kind == VIEWER_WINDBG)
        return line_for(kind, &config->ends[RELAY_DEBUGGER], line) ? &config->ends[RELAY_DEBUGGER]
                                                                   : NULL;
    for (; *index < config->observer_count; ++*index)
        if (line_for(kind, &config->observers[*index], line))
            return &config->observers[*index];
    return NULL;
}

int viewer_prepare(struct viewer *viewer, const struct relay_config *config)
{
    const char *option = kinds[viewer->kind].option, *missing;
    size_t index;
    if (!end_for(viewer->kind, config, &index))
        return cli_usage_error("--%s needs %s", option, kinds[viewer->kind].needs);
    if (*viewer->program || platform_find_viewer(viewer->kind, viewer->program, &missing))
        return CLI_DONE;
    cli_error("--%s: %s was not found: %s; if it is elsewhere, write --%s=PROGRAM", option,
              kinds[viewer->kind].name, missing, option);
    return CLI_FAILED;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_exit_of_viewer(uv_process_t *process, int64_t status, int signal_number)
{
    (void)status, (void)signal_number;
    uv_close((uv_handle_t *)process, on_closed);
}

/* What the listener really has: port 0 became another. */
static void actual_spec(const struct relay *relay, enum viewer_kind kind, size_t index,
                        struct endpoint_spec *spec)
{
    struct endpoint_spec actual;
    char message[ENDPOINT_MESSAGE_MAX];
    const struct endpoint *endpoint = kind == VIEWER_WINDBG
                                          ? &relay->sides[RELAY_DEBUGGER].endpoint
                                          : &relay->observers.ends[index].endpoint;
    *spec = endpoint->spec;
    if (spec->kind == ENDPOINT_TCP_LISTEN &&
        endpoint_parse(&actual, endpoint_where(endpoint), message) == KD_OK)
        spec->port = actual.port;
}

int viewer_start(const struct viewer *viewer, struct relay *relay)
{
    char program[VIEWER_PATH_MAX], line[LINE_MAX_SIZE];
    char run[] = "-k", interface[] = "-i"; /* Wireshark: begin at once, at this interface */
    struct endpoint_spec spec;
    size_t index;
    (void)end_for(viewer->kind, &relay->config, &index);
    actual_spec(relay, viewer->kind, index, &spec);
    (void)line_for(viewer->kind, &spec, line);
    memcpy(program, viewer->program, sizeof(program));
    char *arguments[VIEWER_ARGUMENTS] = {program, run, line};
    if (viewer->kind == VIEWER_WIRESHARK) {
        arguments[2] = interface;
        arguments[3] = line;
    }
    uv_process_options_t options = {.file = program,
                                    .args = arguments,
                                    .exit_cb = on_exit_of_viewer,
                                    .flags = UV_PROCESS_DETACHED};
    uv_process_t *process = calloc(1, sizeof(*process));
    int rc = process ? uv_spawn(relay->loop, process, &options) : UV_ENOMEM;
    if (rc < 0) {
        cli_error("--%s: cannot start %s: %s", kinds[viewer->kind].option, program,
                  uv_strerror(rc));
        if (process)
            uv_close((uv_handle_t *)process, on_closed);
        return CLI_FAILED;
    }
    uv_unref((uv_handle_t *)process); /* the session does not wait for it */
    return CLI_DONE;
}
