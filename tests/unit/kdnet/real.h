/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The datagrams of a real session (WinDbg and the Windows 10 boot debugger). The capture stays
 * outside the tree: KDWIRE_CAPTURES names its folder; where it is absent the tests say so and are
 * skipped.
 */
#ifndef KDNET_TEST_REAL_H
#define KDNET_TEST_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REAL_DATAGRAMS = 955 };

#define REAL_KEY "8.8.8.8"

struct real_datagram {
    uint64_t time_ns;
    size_t size;
    uint8_t *bytes; /* its own block, so that a sanitizer sees an overrun */
};

struct real_session {
    size_t count;
    struct real_datagram datagrams[REAL_DATAGRAMS];
};

/* False, and said why, when the capture is not there. */
bool real_load(struct real_session *session);
void real_free(struct real_session *session);

/* A file of the folder beside it with the decrypted packets; NULL when it is not there. */
uint8_t *real_file(const char *name, size_t *size);

#endif
