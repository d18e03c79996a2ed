/* SPDX-License-Identifier: BSD-2-Clause */
/* A client and a simulated host in one process, with a virtual clock: guest addresses are ours. */
#ifndef KDWIRE_TESTS_VMBUS_BUS_H
#define KDWIRE_TESTS_VMBUS_BUS_H

#include "hvsim.h"
#include "vmbus/client.h"

enum {
    BUS_STEP_US = 100, /* of the virtual clock, between two polls */
    BUS_FIRMWARE_PAGES = 3,
    BUS_CLIENT_PAGES = 4,
};

struct bus {
    struct hvsim sim;
    struct vmbus_client client;
    struct vmbus_hv hv; /* straight calls of the simulator */
    struct vmbus_memory memory;
    struct vmbus_wanted wanted;
    uint8_t *pages; /* mapped */
    size_t pages_size;
    uint64_t now;
};

/* Maps memory, sets up host and firmware; the client wants kdwire's pipe and is not started. */
void bus_init(struct bus *bus, const struct hvsim_config *config, uint32_t ring_pages);
/* Also checks that no rule was violated, and says which. */
void bus_end(struct bus *bus);
int bus_start(struct bus *bus);
/* Polls client and host alternately until the state is reached or SECONDS of virtual time are
 * over. */
bool bus_run_until(struct bus *bus, enum vmbus_state state, unsigned seconds);
void bus_run(struct bus *bus, unsigned steps);
/* Host offers the pipe, client opens it. NULL when that fails. */
struct hvsim_channel *bus_open(struct bus *bus);

/* A xorshift64 that starts at SEED: the same bytes each time. */
struct bus_random {
    uint64_t state;
};
uint32_t bus_random(struct bus_random *random);
void bus_random_bytes(struct bus_random *random, uint8_t *to, size_t size);

#endif
