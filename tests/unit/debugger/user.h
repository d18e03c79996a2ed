/* SPDX-License-Identifier: BSD-2-Clause */
/* A user who makes thousands of mixed requests, and checks that each ends with exact data and takes
 * effect exactly once. */
#ifndef KDWIRE_TESTS_DEBUGGER_USER_H
#define KDWIRE_TESTS_DEBUGGER_USER_H

#include "bench.h"

struct user {
    struct bench b;
    uint64_t random;
    uint8_t buffer[12000], shadow[SCRATCH_SIZE];
    bool tolerant; /* header faults: a request may fail, but must end */
    unsigned failed;
};

/* FAULTS and SEED as for bench_init. */
void user_init(struct user *user, const char *faults, uint64_t seed);

/* Attaches, and makes that many requests. */
void user_requests(struct user *user, unsigned requests);

#endif
