/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HOST:PORT and [ADDRESS]:PORT, as every tool here reads them; listening also PORT alone and :PORT,
 * which is the loopback address. Pure: no I/O, no memory; kdwire and vspControl share it.
 */
#ifndef KDWIRE_IO_ADDRESS_H
#define KDWIRE_IO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ADDRESS_HOST_MAX = 256, /* longest DNS name (RFC 1035) and its NUL */
    ADDRESS_PORT_MAX = 65535,
    ADDRESS_PROBLEM_MAX = 128,
};

/* Whether HOST can be a name or an address: IPv4, IPv6 with a zone ("fe80::1%eth0"), or "*". */
bool address_is_host(const char *host);

/* False: PROBLEM says what is wrong, as part of a sentence. */
bool address_parse(const char *text, bool listens, char host[ADDRESS_HOST_MAX], uint16_t *port,
                   char problem[ADDRESS_PROBLEM_MAX]);

#endif
