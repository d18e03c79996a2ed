/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include "os.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const level_names[] = {"all", "detail", "info", "warning", "error"};

static void put(struct log *log, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        log->text[log->written++ % LOG_SIZE] = text[i];
}

static bool is_traced(const struct log *log, uint32_t level)
{
    return log->os && os_traces(log->os, level);
}

bool log_wants(const struct log *log, uint32_t level)
{
    return level >= log->level || is_traced(log, level);
}

void log_line(struct log *log, uint32_t level, uint64_t microseconds, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    uint32_t last = sizeof(level_names) / sizeof(level_names[0]) - 1;
    bool traced = is_traced(log, level);
    uint64_t ms = microseconds / 1000;
    int used = snprintf(line, sizeof(line), "%lu.%03u %s: ", (unsigned long)(ms / 1000),
                        (unsigned)(ms % 1000), level_names[level < last ? level : last]);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, arguments);
    va_end(arguments);
    size_t room = sizeof(line) - (size_t)used - 2;
    size_t size = (size_t)used + (more < 0 ? 0 : (size_t)more < room ? (size_t)more : room);
    line[size] = '\0';
    if (traced)
        os_trace(log->os, level, line);
    if (level < log->level)
        return;
    line[size++] = '\n';
    put(log, line, size);
}

size_t log_read(const struct log *log, uint64_t *position, char *text, size_t size)
{
    uint64_t oldest = log->written > LOG_SIZE ? log->written - LOG_SIZE : 0;
    size_t count = 0;
    if (*position < oldest || *position > log->written)
        *position = oldest;
    while (count < size && *position < log->written)
        text[count++] = log->text[(*position)++ % LOG_SIZE];
    return count;
}
