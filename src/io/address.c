/* SPDX-License-Identifier: BSD-2-Clause */
#include "address.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

__attribute__((format(printf, 2, 3))) static bool wrong(char problem[ADDRESS_PROBLEM_MAX],
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, ADDRESS_PROBLEM_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_host_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(".-_:%*", c));
}

bool address_is_host(const char *host)
{
    size_t size = strlen(host);
    for (size_t i = 0; i < size; i++)
        if (!is_host_character(host[i]))
            return false;
    return size < ADDRESS_HOST_MAX;
}

static bool take_host(const char *text, size_t size, char host[ADDRESS_HOST_MAX],
                      char problem[ADDRESS_PROBLEM_MAX])
{
    if (size >= ADDRESS_HOST_MAX)
        return wrong(problem, "the host name is longer than %d characters", ADDRESS_HOST_MAX - 1);
    for (size_t i = 0; i < size; i++)
        if (!is_host_character(text[i]))
            return wrong(problem, "the host name contains '%c', which no name or address does",
                         text[i]);
    memcpy(host, text, size);
    host[size] = '\0';
    return true;
}

static bool take_port(const char *text, bool listens, uint16_t *port,
                      char problem[ADDRESS_PROBLEM_MAX])
{
    uint32_t number = 0;
    int least = listens ? 0 : 1;
    if (!parse_number(text, 10, ADDRESS_PORT_MAX, &number) || number < (uint32_t)least)
        return wrong(problem, "the port is '%.60s', it must be a number from %d to 65535", text,
                     least);
    *port = (uint16_t)number;
    return true;
}

bool address_parse(const char *text, bool listens, char host[ADDRESS_HOST_MAX], uint16_t *port,
                   char problem[ADDRESS_PROBLEM_MAX])
{
    const char *name = text;
    const char *colon = NULL;
    size_t size = 0;
    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (!end || end[1] != ':')
            return wrong(problem, "an IPv6 address is written [ADDRESS]:PORT");
        name = text + 1;
        size = (size_t)(end - name);
        colon = end + 1;
    } else {
        colon = strchr(text, ':');
        if (colon && strchr(colon + 1, ':'))
            return wrong(problem,
                         "more than one colon in '%.40s'; an IPv6 address is written "
                         "[ADDRESS]:PORT",
                         text);
        size = colon ? (size_t)(colon - text) : 0;
    }
    if (!colon && !listens)
        return wrong(problem, "the port is missing");
    if (!size && !listens)
        return wrong(problem, "the host is missing");
    bool named = size ? take_host(name, size, host, problem)
                      : take_host("127.0.0.1", strlen("127.0.0.1"), host, problem);
    return named && take_port(colon ? colon + 1 : text, listens, port, problem);
}
