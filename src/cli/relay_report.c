/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay_report.h"

#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "io/clock.h"
#include "io/output.h"

enum {
    STATUS_MAX = 512,
    STATUS_COLUMNS = 80,       /* of a terminal that does not say how wide it is */
    STATUS_WIDE_COLUMNS = 132, /* from here on there is room for the names of both ends */
};

static void erase_status(struct relay_report *report)
{
    if (report->status_shown)
        fputs("\r\033[K", stderr);
    report->status_shown = false;
}

static void json_string(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":\"", name);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ' || *c == 127)
            fprintf(out, "\\u%04x", *c);
        else if (*c < 127)
            fputc(*c, out);
        else
            fprintf(out, "\\u%04x", *c); /* a path in some other encoding: still valid JSON */
    }
    fputc('"', out);
}

static void json_start(const struct relay_report *report, const char *name)
{
    uint64_t us = clock_wall_ns() / 1000;
    printf("{\"time\":%" PRIu64 ".%06" PRIu64 ",\"event\":\"%s\"", us / 1000000, us % 1000000,
           name);
    if (report->session)
        json_string(stdout, "session", report->session);
}

static void json_event(struct relay_report *report, const struct relay_event *event)
{
    if (!output_ready(stdout)) { /* the session matters more than its story */
        report->unsaid++;
        return;
    }
    json_start(report, relay_event_name(event->kind));
    json_string(stdout, "end", event->end);
    if (event->kind == RELAY_EVENT_DROP || event->kind == RELAY_EVENT_DOWN)
        fprintf(stdout, ",\"bytes\":%" PRIu64, event->bytes);
    if (event->kind == RELAY_EVENT_DROP)
        fprintf(stdout, ",\"total\":%" PRIu64, event->total);
    json_string(stdout, "text", event->text);
    fputs("}\n", stdout);
    fflush(stdout);
}

/* What stands between the end's name and the text; NULL: shown with --verbose only, or "". */
static const char *verb(enum relay_event_kind kind)
{
    switch (kind) {
    case RELAY_EVENT_LISTENING:
        return "listening on";
    case RELAY_EVENT_RETRYING:
        return "waiting:";
    case RELAY_EVENT_UP:
        return "connected:";
    case RELAY_EVENT_DOWN:
        return "gone:";
    case RELAY_EVENT_REFUSED:
        return "refused:";
    case RELAY_EVENT_REPLACED:
        return "replaced:";
    case RELAY_EVENT_ENDED:
        return "ended:";
    case RELAY_EVENT_DROP:
        return "lost:";
    case RELAY_EVENT_OBSERVER_UP:
        return "reads along:";
    case RELAY_EVENT_OBSERVER_DOWN:
        return "gone:";
    case RELAY_EVENT_OBSERVER_MISSED:
        return "misses:";
    case RELAY_EVENT_CONSOLE:
    case RELAY_EVENT_SILENT:
    case RELAY_EVENT_WARNING:
    case RELAY_EVENT_RECORD_FAILED:
        return "";
    default:
        return NULL;
    }
}

/* An end that was there once and ended is the way of stdio and --once. */
static bool is_error(const struct relay *relay, const struct relay_event *event)
{
    enum relay_event_kind kind = event->kind;
    if (kind == RELAY_EVENT_ENDED)
        return relay->failed || !strcmp(event->end, "observer");
    return kind == RELAY_EVENT_RECORD_FAILED || kind == RELAY_EVENT_CONSOLE ||
           kind == RELAY_EVENT_SILENT;
}

void relay_report_event(struct relay_report *report, const struct relay *relay,
                        const struct relay_event *event)
{
    const char *word = verb(event->kind);
    if (report->json)
        json_event(report, event);
    if ((report->quiet && !is_error(relay, event)) || (!word && !report->verbose) ||
        !output_ready(stderr))
        return;
    erase_status(report);
    if (!word)
        word = relay_event_name(event->kind);
    cli_about(report->session);
    cli_error("%s: %s%s%s", event->end, word, *word ? " " : "", event->text);
    cli_about(NULL);
    relay_report_status(report, relay);
}

static const char *amount(uint64_t bytes, char *text, size_t size)
{
    if (bytes < 10000)
        snprintf(text, size, "%" PRIu64 " B", bytes);
    else if (bytes < 10000000)
        snprintf(text, size, "%.1f KB", (double)bytes / 1e3);
    else
        snprintf(text, size, "%.1f MB", (double)bytes / 1e6);
    return text;
}

/* Where an end is, or, where a terminal is narrow, that it is there. */
static const char *presence(const struct relay *relay, enum relay_end_name name, bool wide)
{
    const struct endpoint *endpoint = &relay->sides[name].endpoint;
    if (!endpoint_is_up(endpoint))
        return "absent";
    return wide ? endpoint_peer(endpoint) : "up";
}

/* The stop without the packet's id, which says nothing to a person. */
static const char *last_stop(const struct monitor *monitor)
{
    if (!monitor->stops)
        return "no stop seen";
    const char *space = strchr(monitor->last_stop, ' ');
    return space ? space + 1 : monitor->last_stop;
}

/* The most telling first: a narrow terminal cuts the end. A line that fills the last column would
 * wrap, and could not be erased. */
void relay_report_status(struct relay_report *report, const struct relay *relay)
{
    if (!report->status || !output_ready(stderr))
        return;
    unsigned columns = output_columns(stderr);
    if (!columns)
        columns = STATUS_COLUMNS;
    bool wide = columns >= STATUS_WIDE_COLUMNS;
    const struct monitor *monitor = &relay->monitor;
    char up[32], down[32], line[STATUS_MAX];
    uint64_t resends = monitor->side[0].resends + monitor->side[1].resends;
    snprintf(line, sizeof(line),
             "debugger %.40s, target %.40s  %" PRIu64 "+%" PRIu64 " packets, %" PRIu64
             " again  %.2f ms  > %s < %s  %.120s",
             presence(relay, RELAY_DEBUGGER, wide), presence(relay, RELAY_TARGET, wide),
             monitor->side[0].packets, monitor->side[1].packets, resends,
             (double)monitor->round_trip_last_ns / 1e6,
             amount(relay->sides[RELAY_DEBUGGER].received, up, sizeof(up)),
             amount(relay->sides[RELAY_TARGET].received, down, sizeof(down)), last_stop(monitor));
    fprintf(stderr, "\r\033[K%.*s", (int)columns - 1, line);
    report->status_shown = true;
    fflush(stderr);
}

static void json_kdnet(const struct relay_side *side)
{
    const struct kdnet_stats *kdnet = &side->kdnet;
    if (endpoint_spec_needs_key(&side->endpoint.spec))
        printf(",\"kdnet\":{\"sessions\":%" PRIu64 ",\"data_in\":%" PRIu64 ",\"data_out\":%" PRIu64
               ",\"pokes_in\":%" PRIu64 ",\"pokes_out\":%" PRIu64 ",\"not_authentic\":%" PRIu64
               ",\"repeated\":%" PRIu64 ",\"malformed\":%" PRIu64 ",\"reflected\":%" PRIu64
               ",\"stray\":%" PRIu64 "}",
               kdnet->sessions, kdnet->data_in, kdnet->data_out, kdnet->pokes_in, kdnet->pokes_out,
               kdnet->not_authentic, kdnet->repeated, kdnet->malformed, kdnet->reflected,
               kdnet->stray);
}

static void json_summary(const struct relay_report *report, const struct relay *relay)
{
    const struct monitor *monitor = &relay->monitor;
    json_start(report, relay_event_name(RELAY_EVENT_SUMMARY));
    for (int i = 0; i < 2; i++) {
        const struct relay_side *side = &relay->sides[i];
        printf(",\"%s\":{\"received\":%" PRIu64 ",\"forwarded\":%" PRIu64 ",\"dropped\":%" PRIu64
               ",\"connections\":%u,\"packets\":%" PRIu64 ",\"resends\":%" PRIu64
               ",\"damaged\":%" PRIu64,
               i == RELAY_DEBUGGER ? "debugger" : "target", side->received, side->forwarded,
               side->dropped, side->connections, monitor->side[i].packets, monitor->side[i].resends,
               monitor->side[i].damaged);
        json_kdnet(side);
        putchar('}');
    }
    uint64_t trips = monitor->round_trips ? monitor->round_trips : 1;
    printf(",\"stops\":%" PRIu64 ",\"breakins\":%" PRIu64 ",\"resets\":%" PRIu64
           ",\"round_trips\":%" PRIu64 ",\"round_trip_us\":{\"min\":%.1f,\"mean\":%.1f,"
           "\"max\":%.1f},\"records\":%" PRIu64 ",\"observers_missed\":%" PRIu64
           ",\"events_unsaid\":%" PRIu64 "}\n",
           monitor->stops, monitor->break_ins, monitor->resets, monitor->round_trips,
           (double)monitor->round_trip_min_ns / 1e3,
           (double)monitor->round_trip_sum_ns / (double)trips / 1e3,
           (double)monitor->round_trip_max_ns / 1e3, relay->recorder.records,
           relay->observers.missed_total, report->unsaid);
    fflush(stdout);
}

static void kdnet_summary(const struct relay_side *side, const char *name)
{
    const struct kdnet_stats *kdnet = &side->kdnet;
    if (!endpoint_spec_needs_key(&side->endpoint.spec))
        return;
    cli_error("KDNET of the %s: %" PRIu64 " sessions, %" PRIu64 " datagrams came and %" PRIu64
              " went; dropped: %" PRIu64 " not authentic, %" PRIu64 " repeated, %" PRIu64
              " malformed, %" PRIu64 " other",
              name, kdnet->sessions, kdnet->data_in, kdnet->data_out, kdnet->not_authentic,
              kdnet->repeated, kdnet->malformed, kdnet->reflected + kdnet->stray);
}

void relay_report_summary(struct relay_report *report, const struct relay *relay)
{
    if (report->json && output_ready(stdout))
        json_summary(report, relay);
    if (report->quiet || !output_ready(stderr))
        return;
    erase_status(report);
    report->status = false;
    const struct relay_side *debugger = &relay->sides[RELAY_DEBUGGER];
    const struct relay_side *target = &relay->sides[RELAY_TARGET];
    cli_about(report->session);
    cli_error("debugger sent %" PRIu64 " bytes (%" PRIu64 " dropped), target sent %" PRIu64
              " bytes (%" PRIu64 " dropped)",
              debugger->received, debugger->dropped, target->received, target->dropped);
    kdnet_summary(debugger, "debugger");
    kdnet_summary(target, "target");
    if (relay->config.datagrams)
        cli_error("recorded %" PRIu64 " datagrams in %s", relay->datagrams.records,
                  relay->datagrams.file.current);
    if (relay->config.record && relay->file.total)
        cli_error("recorded %" PRIu64 " records in %s", relay->recorder.records,
                  relay->file.current);
    cli_about(NULL);
}
