/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two bridges, one in either role, and a network between them that loses, doubles and reorders
 * datagrams. On the virtual clock of whoever drives it; the same seed gives the same faults.
 */
#ifndef KDNET_TEST_NETWORK_H
#define KDNET_TEST_NETWORK_H

#include "kdnet/bridge.h"

enum {
    NETWORK_MAX = 256, /* datagrams on the way */
    NETWORK_DELAY_US = 100,
    NETWORK_LATE_US = 3000, /* a datagram that is overtaken by others */
};

struct network_faults {
    uint32_t lose, repeat, reorder; /* of a million datagrams */
};

struct network {
    struct kdnet_bridge host, target; /* by the role of their sessions */
    struct network_faults faults;
    uint64_t random;
    uint64_t lost, repeated, reordered, carried;
    struct {
        uint64_t due;
        bool to_target;
        size_t size;
        uint8_t bytes[KDNET_DATAGRAM_MAX];
    } way[NETWORK_MAX];
    size_t count;
    unsigned news; /* of the host's bridge, so many */
};

void network_init(struct network *network, const char *key, const struct network_faults *faults,
                  uint64_t seed);
void network_close(struct network *network);

/* Brings due datagrams to the bridges, and new ones on their way. */
void network_tick(struct network *network, uint64_t now);
uint64_t network_deadline(struct network *network);

/* Sends the datagram to one end, as an attacker would. */
void network_inject(struct network *network, uint64_t now, bool to_target, const uint8_t *bytes,
                    size_t size);

#endif
