/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/address.h"

_Static_assert((int)VSP_HOST_MAX == (int)ADDRESS_HOST_MAX, "settings hold every host");

static const char *const state_names[] = {"idle",      "looking up", "connecting",
                                          "listening", "connected",  "waiting"};
static const char *const offline_names[] = {"wait", "discard", "fail", NULL};
static const char *const lines_names[] = {"connection", "on", NULL};
static const char *const when_names[] = {"always", "open", "dtr", NULL};
static const char *const second_names[] = {"refuse", "replace", NULL};

/* In the order of enum vsp_telnet. */
static const char *const protocol_names[] = {"raw", "telnet", "rfc2217"};

static const char *protocol_name(uint32_t protocol)
{
    return protocol <= VSP_RFC2217 ? protocol_names[protocol] : "unknown";
}

static const char *state_name(uint32_t state)
{
    return state < sizeof(state_names) / sizeof(state_names[0]) ? state_names[state] : "unknown";
}

static void endpoint_text(const struct vsp_settings *s, char *text, size_t size)
{
    const char *host = s->mode == VSP_LISTEN && !s->host[0] ? "127.0.0.1" : s->host;
    if (s->mode == VSP_OFF)
        snprintf(text, size, "off");
    else
        snprintf(text, size, strchr(host, ':') ? "%s:[%s]:%u" : "%s:%s:%u",
                 s->mode == VSP_CONNECT ? "tcp" : "tcp-listen", host, s->port);
}

static void print_json(const struct port *port)
{
    const struct vsp_status *s = &port->status;
    char endpoint[VSP_HOST_MAX + 32];
    endpoint_text(&port->settings, endpoint, sizeof(endpoint));
    printf("{\"port\":");
    put_json_text(s->name);
    printf(",\"endpoint\":");
    put_json_text(endpoint);
    printf(",\"protocol\":\"%s\"", protocol_name(port->settings.telnet));
    printf(",\"state\":\"%s\",\"peer\":", state_name(s->state));
    put_json_text(s->peer);
    printf(",\"problem\":");
    put_json_text(s->problem);
    printf(",\"open\":%s,\"baud\":%u,\"cts\":%s,\"dsr\":%s,\"dcd\":%s,\"dtr\":%s,\"rts\":%s",
           s->open ? "true" : "false", s->baud, s->modem & 0x10 ? "true" : "false",
           s->modem & 0x20 ? "true" : "false", s->modem & 0x80 ? "true" : "false",
           s->lines & 1 ? "true" : "false", s->lines & 2 ? "true" : "false");
    printf(",\"local_port\":%u,\"in_queue\":%u,\"out_queue\":%u,\"received\":%llu,\"sent\":%llu,"
           "\"discarded\":%llu,\"lost\":%llu,\"connections\":%llu,\"up_ms\":%llu,\"retry_in_ms\":%"
           "u}\n",
           s->local_port, s->in_queue, s->out_queue, (unsigned long long)s->received,
           (unsigned long long)s->sent, (unsigned long long)s->discarded,
           (unsigned long long)s->lost, (unsigned long long)s->connections,
           (unsigned long long)s->up_ms, s->wait_ms);
}

static void print_line(const struct port *port)
{
    const struct vsp_status *s = &port->status;
    char endpoint[VSP_HOST_MAX + 32];
    endpoint_text(&port->settings, endpoint, sizeof(endpoint));
    printf("%s  %s", s->name[0] ? s->name : "(no COM name)", endpoint);
    if (port->settings.telnet != VSP_RAW)
        printf(" (%s)", protocol_name(port->settings.telnet));
    printf("  %s", state_name(s->state));
    if (s->peer[0])
        printf(" %s", s->peer);
    if (s->problem[0])
        printf(" (%s)", s->problem);
    printf("%s\n", s->open ? "  in use" : "");
}

void print_status(const struct port *port)
{
    const struct vsp_status *s = &port->status;
    print_line(port);
    printf("  received %llu, sent %llu, waiting in %u out %u", (unsigned long long)s->received,
           (unsigned long long)s->sent, s->in_queue, s->out_queue);
    if (s->discarded)
        printf(", %llu received while no program had it open", (unsigned long long)s->discarded);
    if (s->lost)
        printf(", %llu written to nobody", (unsigned long long)s->lost);
    printf("\n  %u baud, CTS %d DSR %d DCD %d, DTR %d RTS %d", s->baud, !!(s->modem & 0x10),
           !!(s->modem & 0x20), !!(s->modem & 0x80), !!(s->lines & 1), !!(s->lines & 2));
    if (s->local_port)
        printf(", listens at %u", s->local_port);
    if (s->wait_ms)
        printf(", next attempt in %u ms", s->wait_ms);
    printf("\n");
}

int command_list(const struct options *options)
{
    static struct port ports[PORTS_MAX];
    size_t count = ports_all(ports);
    for (size_t i = 0; i < count; i++) {
        if (options->json)
            print_json(&ports[i]);
        else
            print_line(&ports[i]);
        port_close(&ports[i]);
    }
    return command_devices(options); /* and those that do not run */
}

int command_status(const struct options *options)
{
    enum { WATCH_MS = 1000 };
    struct port port;
    if (!port_open(options, &port))
        return FAILED;
    do {
        if (options->json)
            print_json(&port);
        else
            print_status(&port);
        fflush(stdout);
        if (options->watch)
            Sleep(WATCH_MS);
    } while (options->watch && port_refresh(&port));
    port_close(&port);
    return options->watch ? fail("the port is gone") : DONE;
}

/* HOST:PORT, [ADDRESS]:PORT; listening also PORT alone. */
static bool split_endpoint(const char *text, bool listens, struct vsp_settings *settings)
{
    char problem[ADDRESS_PROBLEM_MAX];
    uint16_t port = 0;
    memset(settings->host, 0, sizeof(settings->host));
    if (!address_parse(text, listens, settings->host, &port, problem)) {
        fail("'%s': %s; for example --%s", text, problem,
             listens ? "listen 7001" : "connect xenhost:7001");
        return false;
    }
    settings->mode = listens ? VSP_LISTEN : VSP_CONNECT;
    settings->port = port;
    return true;
}

static bool choose_name(const char *option, const char *value, const char *const *names,
                        uint32_t *out)
{
    if (!value)
        return true;
    for (uint32_t i = 0; names[i]; i++) {
        if (!strcmp(names[i], value)) {
            *out = i;
            return true;
        }
    }
    fprintf(stderr, "vspControl: --%s cannot be '%s'; it is one of:", option, value);
    for (uint32_t i = 0; names[i]; i++)
        fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
    return false;
}

bool apply_options(const struct options *options, struct vsp_settings *settings)
{
    if (options->connect && options->listen) {
        fail("--connect and --listen exclude each other");
        return false;
    }
    if (options->connect && !split_endpoint(options->connect, false, settings))
        return false;
    if (options->listen && !split_endpoint(options->listen, true, settings))
        return false;
    if (options->protocol >= 0)
        settings->telnet = (uint32_t)options->protocol;
    if (options->keepalive >= 0)
        settings->keepalive = (uint32_t)options->keepalive;
    if (options->retry >= 0)
        settings->retry = (uint32_t)options->retry;
    if (options->level >= 0)
        settings->log_level = (uint32_t)options->level;
    return choose_name("offline", options->offline, offline_names, &settings->offline) &&
           choose_name("lines", options->lines, lines_names, &settings->lines) &&
           choose_name("when", options->when, when_names, &settings->when) &&
           choose_name("second", options->second, second_names, &settings->second);
}

int command_set(const struct options *options)
{
    struct port port;
    int code = DONE;
    if (!port_open(options, &port))
        return FAILED;
    struct vsp_settings settings = port.settings;
    if (!apply_options(options, &settings))
        code = BAD_USAGE;
    else if (!port_control(&port, VSP_SET_SETTINGS, &settings, sizeof(settings), NULL, 0, NULL))
        code = fail_with(GetLastError(), "%s cannot be set", port.status.name);
    else if (port_refresh(&port))
        print_line(&port);
    port_close(&port);
    return code;
}

int command_reconnect(const struct options *options)
{
    struct port port;
    if (!port_open(options, &port))
        return FAILED;
    bool ok = port_control(&port, VSP_RECONNECT, NULL, 0, NULL, 0, NULL);
    port_close(&port);
    return ok ? DONE : fail_with(GetLastError(), "reconnect");
}

int command_log(const struct options *options)
{
    enum { FOLLOW_MS = 200, ROOM = 16384 };
    static char out[ROOM];
    FILE *to = stdout;
    uint64_t position = 0;
    DWORD done = 0;
    struct port port;
    if (!port_open(options, &port))
        return FAILED;
    if (options->save && !(to = fopen(options->save, "ab"))) {
        port_close(&port);
        return fail("%s cannot be written: %s", options->save, strerror(errno));
    }
    if (options->level >= 0) {
        uint32_t level = (uint32_t)options->level;
        port_control(&port, VSP_SET_LOG_LEVEL, &level, sizeof(level), NULL, 0, NULL);
    }
    while (
        port_control(&port, VSP_READ_LOG, &position, sizeof(position), out, sizeof(out), &done)) {
        memcpy(&position, out, sizeof(position));
        fwrite(out + sizeof(position), 1, done - sizeof(position), to);
        fflush(to);
        if (done == sizeof(position) && !options->follow)
            break;
        if (done == sizeof(position))
            Sleep(FOLLOW_MS);
    }
    bool written = !ferror(to);
    if (options->save)
        written = !fclose(to) && written;
    port_close(&port);
    return written ? DONE
                   : fail("%s: not all could be written", options->save ? options->save : "log");
}
