/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A debugger on a serial line, a relay to KDNET, a bad network, a relay from KDNET, a target on a
 * serial line: every request ends with exact data and takes effect exactly once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "network.h"
#include "user.h"

/* One kind alone is easier than all together. */
enum { SEEDS = 20, SEEDS_EASY = 5, REQUESTS = 100, PERCENT = 10000 };

static struct kdnet_bridge *end_of(struct network *n, bool to_target)
{
    return to_target ? &n->target : &n->host;
}

/* As a relay: what comes for an end that is not there is lost. */
static void feed(void *context, uint64_t now, bool to_target, const uint8_t *bytes, size_t size)
{
    struct kdnet_bridge *bridge = end_of(context, !to_target);
    if (bridge->up)
        kdnet_bridge_feed(bridge, now, bytes, size);
}

static size_t output(void *context, bool to_target, const uint8_t **bytes)
{
    return kdnet_bridge_output(end_of(context, to_target), bytes);
}

static void written(void *context, uint64_t now, bool to_target, size_t size)
{
    kdnet_bridge_written(end_of(context, to_target), now, size);
}

static void tick(void *context, uint64_t now)
{
    network_tick(context, now);
}

static uint64_t deadline(void *context)
{
    return network_deadline(context);
}

struct chain {
    struct network network;
    struct user user;
    struct bench_middle middle;
};

static struct chain *new_chain(const struct network_faults *faults, uint64_t seed)
{
    struct chain *chain = calloc(1, sizeof(*chain));
    assert_non_null(chain);
    network_init(&chain->network, "1.2.3.4", faults, seed);
    chain->middle = (struct bench_middle){&chain->network, feed, output, written, tick, deadline};
    user_init(&chain->user, "seed=0", seed);
    chain->user.b.middle = &chain->middle;
    kdnet_bridge_start(&chain->network.target, chain->user.b.now);
    return chain;
}

static void free_chain(struct chain *chain)
{
    bench_close(&chain->user.b);
    network_close(&chain->network);
    free(chain);
}

static void run(const struct network_faults *faults, uint64_t seed)
{
    struct chain *chain = new_chain(faults, seed);
    user_requests(&chain->user, REQUESTS);
    assert_int_equal(chain->user.failed, 0);
    assert_int_equal(chain->network.news, 1);
    free_chain(chain);
}

static void a_good_network_needs_no_repeats(void **state)
{
    (void)state;
    const struct network_faults faults = {0, 0, 0};
    struct chain *chain = new_chain(&faults, 1);
    user_requests(&chain->user, REQUESTS);
    assert_int_equal(chain->network.news, 1);
    assert_int_equal(chain->network.host.net.stats.repeats_out, 0);
    assert_int_equal(chain->network.target.net.stats.repeats_out, 0);
    assert_int_equal(chain->network.host.session.stats.not_authentic, 0);
    assert_int_equal(chain->network.target.session.stats.repeated, 0);
    free_chain(chain);
}

static void seeds(struct network_faults faults, uint64_t count)
{
    for (uint64_t seed = 0; seed < count; seed++)
        run(&faults, seed);
}

static void survives_loss(void **state)
{
    (void)state;
    seeds((struct network_faults){.lose = 2 * PERCENT}, SEEDS_EASY);
}

static void survives_repeats(void **state)
{
    (void)state;
    seeds((struct network_faults){.repeat = 2 * PERCENT}, SEEDS_EASY);
}

static void survives_reordering(void **state)
{
    (void)state;
    seeds((struct network_faults){.reorder = 2 * PERCENT}, SEEDS_EASY);
}

static void survives_all_of_them(void **state)
{
    (void)state;
    seeds((struct network_faults){2 * PERCENT, 2 * PERCENT, 2 * PERCENT}, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_network_needs_no_repeats),
        cmocka_unit_test(survives_loss),
        cmocka_unit_test(survives_repeats),
        cmocka_unit_test(survives_reordering),
        cmocka_unit_test(survives_all_of_them),
    };
    return cmocka_run_group_tests_name("kdnet-chain", tests, NULL, NULL);
}
