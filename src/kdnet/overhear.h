/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading along, with the key: decrypts the datagrams of a recording, of any number of sessions and
 * ports, in the order in which they were captured. A session whose beginning (the debugger's
 * response) is not in the recording cannot be read: its key is made from that response.
 */
#ifndef KDWIRE_KDNET_OVERHEAR_H
#define KDWIRE_KDNET_OVERHEAR_H

#include "kdwire/kdnet.h"

enum {
    /* Sessions whose keys are remembered, newest first: a recording of many machines with one key,
     * or of one that boots again and again, has at most a few under way at once. */
    KDNET_OVERHEARD_MAX = 16,
};

struct kdnet_overhear {
    struct kdnet_crypto *crypto;
    struct kdnet_key control;
    struct kdnet_key sessions[KDNET_OVERHEARD_MAX]; /* that fitted last comes first */
    size_t count;
    uint8_t plain[KDNET_DATAGRAM_MAX];
};

/* Errors as kdnet_crypto_open. */
int kdnet_overhear_open(struct kdnet_overhear *overhear, const struct kdnet_key *control);
void kdnet_overhear_close(struct kdnet_overhear *overhear);

/* As kdnet_unprotect; the payload is valid until the next call. KD_E_NO_SESSION: a data datagram
 * before any response; KD_E_NOT_AUTHENTIC: none of the keys fits. */
int kdnet_overhear(struct kdnet_overhear *overhear, const uint8_t *bytes, size_t size,
                   struct kdnet_datagram *datagram);

#endif
