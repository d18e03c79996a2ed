/* SPDX-License-Identifier: BSD-2-Clause */
/* The promises of endpoint.h that whole-system tests do not see: queue, results, life cycle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/endpoint.h"
#include "io/ring.h"

enum {
    TURNS = 10000, /* of the loop, each at most a few ms, until a wait fails */
};

struct end {
    struct endpoint endpoint;
    unsigned ups, downs, drains, endings, closings;
    size_t received, unsent;
    uint64_t sum;
    bool close_in_data;
};

static struct end ends[2]; /* 0 listens, 1 connects */
static uv_loop_t loop;

static void on_closed(struct endpoint *endpoint)
{
    ((struct end *)endpoint->context)->closings++;
}

static void on_up(struct endpoint *endpoint, const char *peer)
{
    assert_true(*peer);
    ((struct end *)endpoint->context)->ups++;
}

static void on_down(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    struct end *end = endpoint->context;
    assert_true(*reason);
    assert_int_equal(endpoint_write(endpoint, (const uint8_t *)"x", 1), KD_E_CLOSED);
    end->downs++;
    end->unsent = unsent;
}

static void on_data(struct endpoint *endpoint, const uint8_t *bytes, size_t size)
{
    struct end *end = endpoint->context;
    end->received += size;
    for (size_t i = 0; i < size; i++)
        end->sum = end->sum * 31 + bytes[i];
    if (end->close_in_data)
        endpoint_close(endpoint, on_closed);
}

static void on_drained(struct endpoint *endpoint)
{
    ((struct end *)endpoint->context)->drains++;
}

static void on_ended(struct endpoint *endpoint, const char *reason)
{
    assert_true(*reason);
    ((struct end *)endpoint->context)->endings++;
}

static void open_end(unsigned index, const char *text)
{
    static const struct endpoint_callbacks callbacks = {
        .up = on_up, .down = on_down, .data = on_data, .drained = on_drained, .ended = on_ended};
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    assert_int_equal(endpoint_parse(&spec, text, message), KD_OK);
    endpoint_init(&loop, &ends[index].endpoint, &spec, &callbacks, &ends[index]);
    if (endpoint_open(&ends[index].endpoint, message) != KD_OK)
        fail_msg("%s", message);
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        unsigned turns = 0;                                                                        \
        while (!(condition) && turns++ < TURNS)                                                    \
            uv_run(&loop, UV_RUN_ONCE);                                                            \
        assert_true(condition);                                                                    \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    memset(ends, 0, sizeof(ends));
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        if (ends[i].endpoint.loop && ends[i].endpoint.state < ENDPOINT_CLOSING)
            endpoint_close(&ends[i].endpoint, on_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop); /* busy if a handle was left open */
}

static void open_pair(const char *options)
{
    char text[ENDPOINT_TEXT_MAX];
    open_end(0, "tcp-listen:0");
    snprintf(text, sizeof(text), "tcp:%s%s", strchr(endpoint_where(&ends[0].endpoint), ':') + 1,
             options);
    open_end(1, text);
    TURN_UNTIL(ends[0].ups && ends[1].ups);
}

static void test_queue_is_bounded_and_tells(void **state)
{
    static uint8_t block[64 * 1024];
    struct endpoint *sender = &ends[1].endpoint;
    uint64_t sum = 0;
    size_t sent = 0;
    int queued = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (uint8_t)(i * 7 + i / 256);
    open_pair("");
    endpoint_pause(&ends[0].endpoint);
    while (queued >= 0) {
        queued = endpoint_write(sender, block, sizeof(block));
        sent += queued >= 0 ? sizeof(block) : 0;
        assert_true(endpoint_queued(sender) <= ENDPOINT_QUEUE_MAX);
    }
    assert_int_equal(queued, KD_E_NO_SPACE);
    assert_int_equal(ends[0].received, 0);
    endpoint_resume(&ends[0].endpoint);
    TURN_UNTIL(ends[0].received == sent);
    assert_int_equal(ends[1].drains, 1);
    for (size_t i = 0; i < sent; i++)
        sum = sum * 31 + block[i % sizeof(block)];
    assert_true(sum == ends[0].sum);
}

static void test_down_counts_what_never_left(void **state)
{
    static uint8_t block[64 * 1024];
    (void)state;
    open_pair("");
    endpoint_pause(&ends[0].endpoint);
    while (endpoint_write(&ends[1].endpoint, block, sizeof(block)) >= 0)
        ;
    size_t queued = endpoint_queued(&ends[1].endpoint);
    assert_true(queued > ENDPOINT_QUEUE_HIGH);
    endpoint_drop(&ends[1].endpoint, "the test says so");
    assert_int_equal(ends[1].unsent, queued);
    TURN_UNTIL(ends[1].ups == 2); /* and it connects again by itself */
}

static void test_close_in_a_callback(void **state)
{
    (void)state;
    open_pair("");
    ends[0].close_in_data = true;
    assert_int_equal(endpoint_write(&ends[1].endpoint, (const uint8_t *)"hello", 5), 0);
    TURN_UNTIL(ends[0].closings == 1);
    assert_int_equal(ends[0].received, 5);
    assert_int_equal(ends[0].downs, 0); /* nothing but the close callback comes after close */
}

static void test_one_attempt_only_ends(void **state)
{
    (void)state;
    open_pair(",retry=0");
    endpoint_drop(&ends[0].endpoint, "go");
    TURN_UNTIL(ends[1].endings == 1);
    assert_int_equal(ends[1].downs, 1);
}

static void test_close_while_connecting_and_before_open(void **state)
{
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    const struct endpoint_callbacks none = {0};
    (void)state;
    open_end(1, "tcp:localhost:1");
    endpoint_close(&ends[1].endpoint, on_closed);
    assert_int_equal(endpoint_parse(&spec, "tcp-listen:0", message), KD_OK);
    endpoint_init(&loop, &ends[0].endpoint, &spec, &none, &ends[0]);
    endpoint_close(&ends[0].endpoint, on_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(ends[0].closings + ends[1].closings, 2);
}

static void test_ring_wraps(void **state)
{
    uint8_t memory[10];
    const uint8_t *bytes;
    struct ring ring;
    (void)state;
    ring_init(&ring, memory, sizeof(memory));
    ring_put(&ring, (const uint8_t *)"abcdefgh", 8);
    ring_take(&ring, 6);
    ring_put(&ring, (const uint8_t *)"ijklmnop", 8);
    assert_int_equal(ring_room(&ring), 0);
    assert_int_equal(ring_peek(&ring, &bytes), 4);
    assert_memory_equal(bytes, "ghij", 4);
    ring_take(&ring, 4);
    assert_int_equal(ring_peek(&ring, &bytes), 6);
    assert_memory_equal(bytes, "klmnop", 6);
    ring_take(&ring, 6);
    assert_int_equal(ring_peek(&ring, &bytes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queue_is_bounded_and_tells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_down_counts_what_never_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_in_a_callback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_attempt_only_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_while_connecting_and_before_open, set_up,
                                        tear_down),
        cmocka_unit_test(test_ring_wraps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
