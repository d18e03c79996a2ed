/* SPDX-License-Identifier: BSD-2-Clause */
#include "network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/error.h"

static const struct kdnet_address host_address = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 192, 168, 2, 1}, .port = 50000};
static const struct kdnet_address target_address = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 192, 168, 2, 7}, .port = 50000};

static bool happens(struct network *n, uint32_t ppm)
{
    n->random ^= n->random << 13;
    n->random ^= n->random >> 7;
    n->random ^= n->random << 17;
    return (n->random >> 16) % 1000000 < ppm;
}

void network_init(struct network *n, const char *key, const struct network_faults *faults,
                  uint64_t seed)
{
    struct kdnet_session_config config = {.role = KD_ROLE_DEBUGGER};

    memset(n, 0, sizeof(*n));
    n->faults = *faults;
    n->random = 0x9E3779B97F4A7C15u * (seed + 1);
    assert_int_equal(kdnet_key_parse(&config.key, key, NULL), KD_OK);
    assert_int_equal(kdnet_bridge_init(&n->host, &config), KD_OK);
    config.role = KD_ROLE_TARGET;
    config.host = host_address;
    config.self = target_address;
    assert_int_equal(kdnet_bridge_init(&n->target, &config), KD_OK);
}

void network_close(struct network *n)
{
    kdnet_bridge_close(&n->host);
    kdnet_bridge_close(&n->target);
}

static void put(struct network *n, uint64_t due, bool to_target, const uint8_t *bytes, size_t size)
{
    assert_true(n->count < NETWORK_MAX);
    n->way[n->count].due = due;
    n->way[n->count].to_target = to_target;
    n->way[n->count].size = size;
    memcpy(n->way[n->count].bytes, bytes, size);
    n->count++;
}

void network_inject(struct network *n, uint64_t now, bool to_target, const uint8_t *bytes,
                    size_t size)
{
    put(n, now, to_target, bytes, size);
}

static void carry(struct network *n, uint64_t now, bool to_target, const uint8_t *bytes,
                  size_t size)
{
    uint64_t due = now + NETWORK_DELAY_US;

    n->carried++;
    if (happens(n, n->faults.lose)) {
        n->lost++;
        return;
    }
    if (happens(n, n->faults.reorder)) {
        n->reordered++;
        due += NETWORK_LATE_US;
    }
    put(n, due, to_target, bytes, size);
    if (happens(n, n->faults.repeat)) {
        n->repeated++;
        put(n, due + NETWORK_DELAY_US, to_target, bytes, size);
    }
}

static void collect(struct network *n, uint64_t now)
{
    uint8_t out[KDNET_DATAGRAM_MAX];
    struct kdnet_address to;
    size_t size;

    while ((size = kdnet_bridge_datagram(&n->host, now, &to, out)) > 0)
        carry(n, now, true, out, size);
    while ((size = kdnet_bridge_datagram(&n->target, now, &to, out)) > 0)
        carry(n, now, false, out, size);
}

static void deliver(struct network *n, uint64_t now)
{
    for (size_t i = 0; i < n->count;) {
        if (n->way[i].due > now) {
            i++;
            continue;
        }
        uint8_t bytes[KDNET_DATAGRAM_MAX];
        size_t size = n->way[i].size;
        bool to_target = n->way[i].to_target;
        memcpy(bytes, n->way[i].bytes, size);
        n->count--;
        memmove(&n->way[i], &n->way[i + 1], (n->count - i) * sizeof(n->way[0]));
        if (to_target)
            kdnet_bridge_receive(&n->target, now, &host_address, bytes, size);
        else
            n->news += kdnet_bridge_receive(&n->host, now, &target_address, bytes, size) !=
                       KDNET_BRIDGE_NOTHING;
    }
}

void network_tick(struct network *n, uint64_t now)
{
    kdnet_bridge_tick(&n->host, now);
    kdnet_bridge_tick(&n->target, now);
    deliver(n, now);
    collect(n, now);
}

uint64_t network_deadline(struct network *n)
{
    uint64_t deadline = kdnet_bridge_deadline(&n->host), other = kdnet_bridge_deadline(&n->target);

    if (other < deadline)
        deadline = other;
    for (size_t i = 0; i < n->count; i++)
        if (n->way[i].due < deadline)
            deadline = n->way[i].due;
    return deadline;
}
