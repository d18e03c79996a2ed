/* SPDX-License-Identifier: BSD-2-Clause */
/* How `kdwire relay` talks: lines for people, JSON lines for programs, a status line. */
#ifndef KDWIRE_CLI_RELAY_REPORT_H
#define KDWIRE_CLI_RELAY_REPORT_H

#include "relay/session.h"

struct relay_report {
    const char *session; /* its name, where there are several; or NULL */
    bool json;           /* events as JSON lines on standard output */
    bool quiet;          /* no lines but errors */
    bool verbose;        /* stops, resends and resets as lines too */
    bool status;         /* standard error is a terminal: a status line */
    bool status_shown;
    uint64_t unsaid; /* events left out because nobody reads standard output */
};

/* One event, in all forms that are wanted. */
void relay_report_event(struct relay_report *report, const struct relay *relay,
                        const struct relay_event *event);

/* Redraws the status line. */
void relay_report_status(struct relay_report *report, const struct relay *relay);

/* At the end: totals. */
void relay_report_summary(struct relay_report *report, const struct relay *relay);

#endif
