/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's log: lines in a ring in memory, read by vspControl log (the driver's account may
 * write no file where a user would look for one, vspControl log --save can), and events for the
 * system's own tracing where somebody has turned that on. Not thread-safe.
 */
#ifndef KDWIRE_VSP_LOG_H
#define KDWIRE_VSP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_SIZE = 64 * 1024, /* some hundred lines: what happened before somebody looked */
    LOG_LINE_MAX = 320,
};

struct os;

struct log {
    struct os *os; /* traces (os_trace); NULL: none */
    char text[LOG_SIZE];
    uint64_t written; /* bytes ever; the last LOG_SIZE are there */
    uint32_t level;   /* enum vsp_log_level: this and above is kept; tracing has its own */
};

/* Whether a line of this level goes anywhere. */
bool log_wants(const struct log *log, uint32_t level);

/* One line; MICROSECONDS is the time in it. */
__attribute__((format(printf, 4, 5))) void log_line(struct log *log, uint32_t level,
                                                    uint64_t microseconds, const char *format, ...);

/* Text from POSITION on (or from the oldest that is there), at most SIZE bytes; *POSITION moves on.
 * Returns how many bytes. */
size_t log_read(const struct log *log, uint64_t *position, char *text, size_t size);

#endif
