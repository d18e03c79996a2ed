/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the tables in kdnet/session.h, and what an attacker can do: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "kdnet/session.h"
#include "kdwire/error.h"

enum { SECOND = 1000000 };

static const struct kdnet_address host_address = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 10, 0, 0, 1}, .port = 50000};
static const struct kdnet_address target_address = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 10, 0, 0, 7}, .port = 50001};
static const struct kdnet_address elsewhere = {
    .ip = {[10] = 0xFF, [11] = 0xFF, [12] = 172, 16, 0, 9}, .port = 1234};

struct datagram {
    size_t size;
    struct kdnet_address to;
    uint8_t bytes[KDNET_DATAGRAM_MAX];
};

struct pair {
    struct kdnet_session target, host;
    uint64_t now;
};

static void start_session(struct kdnet_session *session, enum kd_role role, uint8_t version)
{
    struct kdnet_session_config config = {
        .role = role, .version = version, .host = host_address, .self = target_address};
    assert_int_equal(kdnet_key_parse(&config.key, "a.b.c.d", NULL), KD_OK);
    assert_int_equal(kdnet_session_init(session, &config), KD_OK);
}

static int setup(void **state)
{
    static struct pair pair;
    memset(&pair, 0, sizeof(pair));
    start_session(&pair.target, KD_ROLE_TARGET, 5);
    start_session(&pair.host, KD_ROLE_DEBUGGER, 0);
    pair.now = 10 * SECOND;
    *state = &pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    kdnet_session_close(&pair->target);
    kdnet_session_close(&pair->host);
    return 0;
}

static struct datagram control(struct kdnet_session *session)
{
    struct datagram datagram;
    datagram.size = kdnet_session_output(session, &datagram.to, datagram.bytes);
    return datagram;
}

static struct datagram data(struct kdnet_session *session, const char *text)
{
    struct datagram datagram;
    int size = kdnet_session_send(session, (const uint8_t *)text, strlen(text), datagram.bytes);
    assert_true(size > 0);
    datagram.size = (size_t)size;
    return datagram;
}

static unsigned give(struct pair *pair, struct kdnet_session *session,
                     const struct kdnet_address *from, const struct datagram *datagram)
{
    const uint8_t *payload;
    size_t size;
    unsigned news = kdnet_session_receive(session, pair->now, from, datagram->bytes, datagram->size,
                                          &payload, &size);
    if (news & KDNET_NEWS_PAYLOAD)
        assert_non_null(payload);
    return news;
}

static unsigned to_host(struct pair *pair, const struct datagram *datagram)
{
    return give(pair, &pair->host, &target_address, datagram);
}

static unsigned to_target(struct pair *pair, const struct datagram *datagram)
{
    return give(pair, &pair->target, &host_address, datagram);
}

static bool has_output(struct kdnet_session *session)
{
    struct datagram datagram = control(session);
    return datagram.size != 0;
}

/* Poke, response, first data: a session on both sides. */
static void open_pair(struct pair *pair)
{
    kdnet_session_start(&pair->target, pair->now);
    struct datagram poke = control(&pair->target);
    assert_int_equal(to_host(pair, &poke), 0);
    struct datagram response = control(&pair->host);
    assert_int_equal(to_target(pair, &response), KDNET_NEWS_NEW | KDNET_NEWS_NUDGE);
    struct datagram first = data(&pair->target, "first");
    assert_int_equal(to_host(pair, &first), KDNET_NEWS_NEW | KDNET_NEWS_PAYLOAD);
}

static void a_session_opens_and_carries_data_both_ways(void **state)
{
    struct pair *pair = *state;
    open_pair(pair);
    assert_int_equal(pair->host.state, KDNET_OPEN);
    assert_int_equal(pair->target.state, KDNET_OPEN);
    assert_int_equal(pair->host.version, 5); /* a debugger says what the target says */
    for (int i = 0; i < 3; i++) {
        struct datagram there = data(&pair->host, "request"), back = data(&pair->target, "reply");
        assert_int_equal(there.bytes[4], 5);
        assert_int_equal(to_target(pair, &there), KDNET_NEWS_PAYLOAD);
        assert_int_equal(to_host(pair, &back), KDNET_NEWS_PAYLOAD);
    }
}

static void a_target_pokes_each_second_with_another_client_key(void **state)
{
    struct pair *pair = *state;
    struct kdnet_datagram plain;
    uint8_t buffer[KDNET_DATAGRAM_MAX];
    struct kdnet_poke poke, last;
    kdnet_session_start(&pair->target, pair->now);
    for (uint64_t i = 0; i < 5; i++) {
        struct datagram datagram = control(&pair->target);
        assert_int_equal(datagram.size, 374); /* as Windows' own */
        assert_memory_equal(&datagram.to, &host_address, sizeof(host_address));
        assert_int_equal(
            kdnet_unprotect(pair->host.crypto, datagram.bytes, datagram.size, &plain, buffer),
            KD_OK);
        assert_int_equal(plain.sequence, 3 * (i + 1));
        assert_int_equal(kdnet_poke_get(&poke, plain.payload, plain.payload_size), KD_OK);
        assert_int_equal(poke.host.port, 0);
        assert_memory_equal(poke.source.ip, target_address.ip, 16);
        if (i)
            assert_true(kd_get_u64(poke.client_key) == kd_get_u64(last.client_key) + 1);
        last = poke;
        assert_int_equal(kdnet_session_deadline(&pair->target), pair->now + SECOND);
        assert_int_equal(kdnet_session_tick(&pair->target, pair->now + SECOND - 1), 0);
        assert_false(has_output(&pair->target));
        pair->now += SECOND;
        kdnet_session_tick(&pair->target, pair->now);
    }
}

static void keep_alives_are_not_answered(void **state)
{
    struct pair *pair = *state;
    open_pair(pair);
    struct datagram request = data(&pair->host, "request");
    to_target(pair, &request);
    for (int i = 0; i < 3; i++) {
        pair->now = kdnet_session_deadline(&pair->target);
        assert_int_equal(kdnet_session_tick(&pair->target, pair->now), 0);
        struct datagram poke = control(&pair->target);
        assert_true(poke.size > 0);
        assert_int_equal(to_host(pair, &poke), 0);
        assert_false(has_output(&pair->host));
    }
    assert_int_equal(pair->now, 10 * SECOND + 3 * KDNET_IDLE_US);
}

static void a_target_nudges_until_the_debugger_speaks(void **state)
{
    struct pair *pair = *state;
    open_pair(pair);
    pair->now += KDNET_IDLE_US;
    assert_int_equal(kdnet_session_tick(&pair->target, pair->now), KDNET_NEWS_NUDGE);
    struct datagram request = data(&pair->host, "request");
    to_target(pair, &request);
    pair->now += KDNET_IDLE_US;
    assert_int_equal(kdnet_session_tick(&pair->target, pair->now), 0);
}

static void a_restarted_debugger_gets_a_new_session(void **state)
{
    struct pair *pair = *state;
    open_pair(pair);
    struct datagram old = data(&pair->host, "old");
    kdnet_session_close(&pair->host);
    start_session(&pair->host, KD_ROLE_DEBUGGER, 0);
    pair->now += KDNET_IDLE_US;
    kdnet_session_tick(&pair->target, pair->now);
    struct datagram poke = control(&pair->target);
    to_host(pair, &poke);
    struct datagram response = control(&pair->host);
    assert_int_equal(to_target(pair, &response), KDNET_NEWS_NEW | KDNET_NEWS_NUDGE);
    struct datagram check = data(&pair->target, "check");
    assert_int_equal(to_host(pair, &check), KDNET_NEWS_NEW | KDNET_NEWS_PAYLOAD);
    assert_int_equal(to_target(pair, &old), 0);
    assert_int_equal(pair->target.stats.not_authentic, 1);
}

static void a_restarted_target_gets_a_new_session(void **state)
{
    struct pair *pair = *state;
    open_pair(pair);
    struct datagram old = data(&pair->target, "old");
    open_pair(pair); /* starts the target again */
    assert_int_equal(pair->host.stats.sessions, 2);
    assert_int_equal(to_host(pair, &old), 0);
    struct datagram request = data(&pair->host, "request");
    assert_int_equal(to_target(pair, &request), KDNET_NEWS_PAYLOAD);
}

static void answers_that_cross_end_in_one_session(void **state)
{
    struct pair *pair = *state;
    struct datagram pokes[3], responses[3];
    kdnet_session_start(&pair->target, pair->now);
    for (int i = 0; i < 3; i++) {
        pokes[i] = control(&pair->target);
        to_host(pair, &pokes[i]);
        responses[i] = control(&pair->host);
        pair->now += SECOND;
        kdnet_session_tick(&pair->target, pair->now);
    }
    /* the first answer makes a session, a later one a newer session, an older one nothing */
    assert_true(to_target(pair, &responses[1]) & KDNET_NEWS_NEW);
    struct datagram under_second = data(&pair->target, "check");
    assert_int_equal(to_target(pair, &responses[0]), 0);
    assert_true(to_host(pair, &under_second) & KDNET_NEWS_NEW);
    assert_true(to_target(pair, &responses[2]) & KDNET_NEWS_NEW);
    struct datagram under_third = data(&pair->target, "check");
    assert_true(to_host(pair, &under_third) & KDNET_NEWS_NEW);
    assert_int_equal(to_target(pair, &responses[2]), 0);
    struct datagram request = data(&pair->host, "request");
    assert_int_equal(to_target(pair, &request), KDNET_NEWS_PAYLOAD);
}

static void late_and_repeated_data_is_dropped(void **state)
{
    struct pair *pair = *state;
    open_pair(pair);
    struct datagram one = data(&pair->target, "one"), two = data(&pair->target, "two");
    assert_int_equal(to_host(pair, &two), KDNET_NEWS_PAYLOAD);
    assert_int_equal(to_host(pair, &one), 0);
    assert_int_equal(to_host(pair, &two), 0);
    assert_int_equal(pair->host.stats.repeated, 2);
    /* the same payload sent again is another datagram */
    struct datagram again = data(&pair->target, "two");
    assert_memory_not_equal(again.bytes, two.bytes, two.size);
    assert_int_equal(to_host(pair, &again), KDNET_NEWS_PAYLOAD);
}

static void own_datagrams_sent_back_are_dropped(void **state)
{
    struct pair *pair = *state;
    kdnet_session_start(&pair->target, pair->now);
    struct datagram poke = control(&pair->target);
    assert_int_equal(to_target(pair, &poke), 0);
    to_host(pair, &poke);
    struct datagram response = control(&pair->host);
    assert_int_equal(to_host(pair, &response), 0);
    to_target(pair, &response);
    struct datagram check = data(&pair->target, "check");
    to_host(pair, &check);
    assert_int_equal(to_target(pair, &check), 0);
    struct datagram request = data(&pair->host, "request");
    assert_int_equal(to_host(pair, &request), 0);
    assert_int_equal(pair->host.stats.reflected, 2);
    assert_int_equal(pair->target.stats.reflected, 2);
    assert_false(has_output(&pair->host));
}

/* An attacker sends recorded pokes again: one of this session (known) and one of another life of
 * the target (unknown, not bound). The session goes on. */
static void recorded_pokes_end_no_session(void **state)
{
    struct pair *pair = *state;
    kdnet_session_start(&pair->target, pair->now);
    struct datagram former = control(&pair->target);
    open_pair(pair);
    struct datagram known = {0};
    pair->now += KDNET_IDLE_US;
    kdnet_session_tick(&pair->target, pair->now);
    known = control(&pair->target);
    give(pair, &pair->host, &elsewhere, &known);
    assert_false(has_output(&pair->host));
    give(pair, &pair->host, &elsewhere, &former);
    struct datagram answer = control(&pair->host);
    assert_true(answer.size > 0 && answer.size < former.size); /* no amplifier */
    assert_int_equal(to_target(pair, &answer), 0);
    give(pair, &pair->host, &elsewhere, &former);
    assert_false(has_output(&pair->host));
    struct datagram reply = data(&pair->target, "reply"), request = data(&pair->host, "request");
    assert_int_equal(to_host(pair, &reply), KDNET_NEWS_PAYLOAD);
    assert_int_equal(to_target(pair, &request), KDNET_NEWS_PAYLOAD);
    assert_int_equal(pair->host.stats.sessions, 1);
    assert_memory_equal(pair->host.peer.ip, target_address.ip, 16);
}

static void answers_go_to_where_the_poke_came_from(void **state)
{
    struct pair *pair = *state;
    kdnet_session_start(&pair->target, pair->now);
    struct datagram poke = control(&pair->target);
    give(pair, &pair->host, &elsewhere, &poke); /* a NAT between the two */
    struct datagram response = control(&pair->host);
    assert_memory_equal(&response.to, &elsewhere, sizeof(elsewhere));
    to_target(pair, &response);
    struct datagram check = data(&pair->target, "check");
    give(pair, &pair->host, &elsewhere, &check);
    assert_memory_equal(&pair->host.peer, &elsewhere, sizeof(elsewhere));
    /* and the NAT may choose another port */
    struct datagram later = data(&pair->target, "later");
    to_host(pair, &later);
    assert_memory_equal(&pair->host.peer, &target_address, sizeof(target_address));
}

static void short_pokes_are_answered(void **state)
{
    struct pair *pair = *state;
    uint8_t payload[KDNET_POKE_SIZE] = {1, KDNET_POKE, 42};
    struct kdnet_datagram plain = {.version = 1,
                                   .channel = KDNET_CONTROL,
                                   .sequence = 1,
                                   .payload = payload,
                                   .payload_size = KDNET_POKE_SIZE_SHORT};
    struct datagram poke;
    poke.size = (size_t)kdnet_protect(pair->target.crypto, &plain, poke.bytes);
    to_host(pair, &poke);
    struct datagram response = control(&pair->host);
    assert_int_equal(response.bytes[4], 1);
    plain.payload_size = 35;
    poke.size = (size_t)kdnet_protect(pair->target.crypto, &plain, poke.bytes);
    to_host(pair, &poke);
    assert_false(has_output(&pair->host));
    assert_int_equal(pair->host.stats.malformed, 1);
}

/* Its name led elsewhere, and now leads here: nothing of the session there was is left. */
static void a_debugger_that_has_moved_gets_a_new_session(void **state)
{
    struct pair *pair = *state;
    const struct kdnet_address here = {.ip = {[10] = 0xFF, [11] = 0xFF, 10, 0, 0, 9}, .port = 5};
    const struct kdnet_address self = {.ip = {[10] = 0xFF, [11] = 0xFF, 10, 0, 0, 8}, .port = 6};
    open_pair(pair);
    kdnet_session_move(&pair->target, pair->now, &here, &self);
    struct datagram poke = control(&pair->target);
    assert_memory_equal(&poke.to, &here, sizeof(here));
    assert_int_equal(to_host(pair, &poke), 0);
    struct datagram response = control(&pair->host);
    assert_int_equal(to_target(pair, &response), KDNET_NEWS_NEW | KDNET_NEWS_NUDGE);
    struct datagram first = data(&pair->target, "first");
    assert_int_equal(to_host(pair, &first), KDNET_NEWS_NEW | KDNET_NEWS_PAYLOAD);
}

/* Cut anywhere, changed anywhere: not a byte of answer, no news, all counted. */
static void damage_gets_no_answer(void **state)
{
    struct pair *pair = *state;
    uint64_t given = 0;
    kdnet_session_start(&pair->target, pair->now);
    struct datagram poke = control(&pair->target);
    for (size_t size = 0; size < poke.size; size++, given++) {
        struct datagram cut = poke;
        cut.size = size;
        assert_int_equal(to_host(pair, &cut), 0);
    }
    for (size_t bit = 0; bit < poke.size * 8; bit += 5, given++) {
        struct datagram changed = poke;
        changed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(to_host(pair, &changed), 0);
    }
    assert_false(has_output(&pair->host));
    assert_int_equal(pair->host.stats.malformed + pair->host.stats.not_authentic, given);
    to_host(pair, &poke);
    assert_true(has_output(&pair->host));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_opens_and_carries_data_both_ways),
        TEST(a_target_pokes_each_second_with_another_client_key),
        TEST(keep_alives_are_not_answered),
        TEST(a_target_nudges_until_the_debugger_speaks),
        TEST(a_restarted_debugger_gets_a_new_session),
        TEST(a_restarted_target_gets_a_new_session),
        TEST(answers_that_cross_end_in_one_session),
        TEST(late_and_repeated_data_is_dropped),
        TEST(own_datagrams_sent_back_are_dropped),
        TEST(recorded_pokes_end_no_session),
        TEST(answers_go_to_where_the_poke_came_from),
        TEST(short_pokes_are_answered),
        TEST(a_debugger_that_has_moved_gets_a_new_session),
        TEST(damage_gets_no_answer),
    };
    return cmocka_run_group_tests_name("kdnet-session", tests, NULL, NULL);
}
