/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pacing: at most BYTES bytes in any INTERVAL_NS nanoseconds, for targets whose UART loses bytes
 * that come faster. No clock of its own: the caller gives the time.
 */
#ifndef KDWIRE_RELAY_PACE_H
#define KDWIRE_RELAY_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
    uint64_t bytes;       /* 0: no pacing */
    uint64_t interval_ns; /* above 0 */
    uint64_t since_ns;    /* start of the present interval */
    uint64_t used;        /* bytes sent in it */
};

/*
 * Parses "11520" or "11520/s" (bytes per second; sent in pieces of a hundredth of a second) and
 * "16/5000" (16 bytes per 5000 microseconds). False: neither, or a number out of range.
 */
bool pace_parse(struct pace *pace, const char *text);

/* How many of WANTED bytes may go now; they count as sent. */
size_t pace_take(struct pace *pace, uint64_t now_ns, size_t wanted);

/* Nanoseconds until more may go; 0 = now. */
uint64_t pace_wait(const struct pace *pace, uint64_t now_ns);

#endif
