/* SPDX-License-Identifier: BSD-2-Clause */
/* Hosts that refuse, throttle, forget and take away; and the simulator's own strictness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bus.h"
#include "kdwire/error.h"

static const struct hvsim_config newest = {.host = HVSIM_2022, .firmware = true};
static struct bus bus;

static int make(void **state)
{
    (void)state;
    bus_init(&bus, &newest, VMBUS_RING_PAGES_DEFAULT);
    return 0;
}

static int end(void **state)
{
    (void)state;
    bus_end(&bus);
    return 0;
}

static void posts_that_fail_are_repeated(void **state)
{
    static const uint32_t statuses[] = {0x13, 0x0B, 0x12};

    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct hvsim_channel *channel;

        bus.sim.faults.post_status = statuses[i];
        bus.sim.faults.posts_failing = 7; /* the contact itself */
        bus.sim.faults.post_every = 2;    /* and every second one after it */
        channel = bus_open(&bus);
        assert_non_null(channel);
        hvsim_rescind(&bus.sim, channel);
        bus_run(&bus, 100);
        assert_int_equal(bus.sim.released, i + 1);
        vmbus_client_stop(&bus.client, bus.now);
        assert_true(bus_run_until(&bus, VMBUS_OFF, 10));
    }
}

static void posts_that_always_fail_end_it(void **state)
{
    (void)state;
    assert_int_equal(bus_start(&bus), 0);
    bus_run(&bus, 100);
    bus.sim.faults.post_status = 0x13;
    bus.sim.faults.posts_failing = 100000;
    (void)hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
    assert_true(bus_run_until(&bus, VMBUS_FAILED, 10));
    assert_int_equal(bus.client.failure, KD_E_IO);
    assert_int_equal(bus.sim.sint[5] & 0x10000, 0x10000);
}

static void a_host_low_on_resources_is_asked_again(void **state)
{
    (void)state;
    bus.sim.faults.refuse_contact = 2;
    assert_non_null(bus_open(&bus));
    assert_int_equal(bus.sim.contacts, 3);
}

/* Found by the fuzzer: a host that sends us to connection 1 makes us speak for the firmware. */
static void the_firmware_s_connection_is_never_used(void **state)
{
    (void)state;
    bus.sim.faults.connection = 1;
    assert_int_equal(bus_start(&bus), 0);
    assert_true(bus_run_until(&bus, VMBUS_FAILED, 10));
    assert_int_equal(bus.client.failure, KD_E_UNSUPPORTED);
}

static void refusals_are_tried_again_three_times(void **state)
{
    (void)state;
    bus.sim.faults.refuse_gpadl = 1;
    bus.sim.faults.refuse_open = 1;
    assert_non_null(bus_open(&bus));
    assert_int_equal(bus.client.refused, 2);
    vmbus_client_stop(&bus.client, bus.now);
    assert_true(bus_run_until(&bus, VMBUS_OFF, 10));
    bus.sim.faults.refuse_open = 1000;
    assert_int_equal(bus_start(&bus), 0);
    bus_run(&bus, 100000);
    assert_int_equal(bus.client.state, VMBUS_WAITING);
    assert_int_equal(bus.client.refused, 3);
    assert_false(bus.client.lent);
    bus.sim.faults.refuse_open = 0;
    assert_non_null(bus_open(&bus)); /* another offer is another chance */
}

/* Every answer in turn is lost once, then again and again. */
static void lost_answers_do_not_hang_it(void **state)
{
    static const unsigned answers[] = {15, 10, 6, 12, 17};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct hvsim_channel *channel;

        bus.sim.faults.drop_answers = 1u << answers[i];
        bus.sim.faults.drop_count = 1;
        channel = hvsim_find(&bus.sim, vmbus_kdwire_type.bytes);
        if (channel == NULL)
            channel =
                hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
        assert_int_equal(bus_start(&bus), 0);
        assert_true(bus_run_until(&bus, VMBUS_OPEN, 20));
        hvsim_rescind(&bus.sim, channel); /* TORNDOWN may be lost */
        bus_run(&bus, 100000);
        vmbus_client_stop(&bus.client, bus.now);
        if (answers[i] == 17) { /* nobody says that the bus was left: the rings stay away */
            assert_true(bus_run_until(&bus, VMBUS_FAILED, 20));
            assert_int_equal(bus.client.failure, KD_E_TIMEOUT);
        } else {
            assert_true(bus_run_until(&bus, VMBUS_OFF, 20));
            assert_false(bus.client.lent);
        }
        assert_int_equal(bus.sim.faults.drop_count, 0);
    }
}

static void a_silent_host_is_given_up(void **state)
{
    (void)state;
    bus.sim.faults.drop_answers = 1u << 15;
    bus.sim.faults.drop_count = 1000;
    assert_int_equal(bus_start(&bus), 0);
    assert_true(bus_run_until(&bus, VMBUS_FAILED, 10));
    assert_int_equal(bus.client.failure, KD_E_TIMEOUT);
    assert_int_equal(bus.sim.contacts, VMBUS_CONTACT_TRIES);
}

static void a_host_that_never_opens_is_given_up(void **state)
{
    (void)state;
    bus.sim.faults.drop_answers = 1u << 6;
    bus.sim.faults.drop_count = 1000;
    (void)hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
    assert_int_equal(bus_start(&bus), 0);
    assert_true(bus_run_until(&bus, VMBUS_FAILED, 60));
    assert_int_equal(bus.client.failure, KD_E_TIMEOUT);
    assert_false(bus.client.lent); /* UNLOAD gave them back */
}

static void rings_that_are_not_given_back_stay_lent(void **state)
{
    (void)state;
    assert_non_null(bus_open(&bus));
    bus.sim.faults.drop_answers = 1u << 12 | 1u << 17;
    bus.sim.faults.drop_count = 1000;
    vmbus_client_stop(&bus.client, bus.now);
    assert_true(bus_run_until(&bus, VMBUS_FAILED, 30));
    assert_true(bus.client.lent);
}

static void rescind_while_opening(void **state)
{
    struct hvsim_channel *channel;
    uint8_t got[4];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        bus.sim.faults.rescind_on_gpadl = i == 0;
        bus.sim.faults.rescind_on_open = i == 1;
        (void)hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
        if (i == 0)
            assert_int_equal(bus_start(&bus), 0);
        bus_run(&bus, 100);
        assert_int_equal(bus.client.state, VMBUS_WAITING);
        assert_int_equal(bus.sim.released, 2 * i + 1);
        channel = bus_open(&bus);
        assert_non_null(channel);
        assert_int_equal(hvsim_write(&bus.sim, channel, "here", 4), 4);
        assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, 4), 4);
        hvsim_rescind(&bus.sim, channel);
        bus_run(&bus, 100);
    }
}

static void rescind_in_the_middle_of_traffic(void **state)
{
    static uint8_t bytes[100000], got[3000];
    struct hvsim_channel *channel;
    struct bus_random random = {3};

    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        unsigned steps = bus_random(&random) % 60;

        channel = bus_open(&bus);
        assert_non_null(channel);
        for (unsigned i = 0; i < steps; i++) {
            (void)hvsim_write(&bus.sim, channel, bytes, 1 + bus_random(&random) % 5000);
            (void)vmbus_client_write(&bus.client, bus.now, bytes, 1 + bus_random(&random) % 5000);
            (void)vmbus_client_read(&bus.client, bus.now, got, sizeof got);
            if (i % 3 == 0)
                (void)hvsim_read(&bus.sim, channel, got, sizeof got);
        }
        hvsim_rescind(&bus.sim, channel);
        /* The guest does not know yet. */
        (void)vmbus_client_write(&bus.client, bus.now, bytes, 100);
        bus_run(&bus, 20);
        assert_int_equal(bus.client.state, VMBUS_WAITING);
        assert_int_equal(bus.sim.released, round + 1);
    }
}

static void strange_messages_are_ignored(void **state)
{
    struct hvsim_channel *channel;

    (void)state;
    hvsim_offer_devices(&bus.sim);
    bus.sim.faults.unsolicited = true;
    channel = bus_open(&bus);
    assert_non_null(channel);
    hvsim_rescind(&bus.sim, channel);
    bus_run(&bus, 50);
    assert_int_equal(bus.sim.released, 1);
    assert_true(bus.client.bad_messages >= 10);
    assert_true(bus.sim.queued_behind >= 10); /* so the end of message was asked for, too */
    assert_true(bus.sim.eoms >= 10);
}

/* A host program that is started and killed all the time, while other devices come and go. */
static void offers_that_come_and_go(void **state)
{
    struct bus_random random = {99};
    static const uint8_t foreign[16] = {0xF0};

    (void)state;
    assert_int_equal(bus_start(&bus), 0);
    for (unsigned round = 0; round < 300; round++) {
        bool ours = bus_random(&random) % 3 != 0;
        struct hvsim_channel *channel = hvsim_offer_pipe(
            &bus.sim, ours ? vmbus_kdwire_type.bytes : foreign, vmbus_kdwire_instance.bytes, 0);

        bus_run(&bus, bus_random(&random) % 12);
        hvsim_rescind(&bus.sim, channel);
        bus_run(&bus, 4 + bus_random(&random) % 8);
    }
    /* A rescind that came before GPADL_CREATED may cost a time-out each; at the end all is well. */
    bus_run(&bus, 200000);
    assert_non_null(bus_open(&bus));
}

/* ---- The simulator crashes what real firmware would crash ---- */

static void expect_violation(void (*sin)(void))
{
    bus_init(&bus, &newest, VMBUS_RING_PAGES_DEFAULT);
    sin();
    hvsim_run(&bus.sim);
    assert_true(bus.sim.violations != 0);
    bus.sim.violations = 0;
    bus_end(&bus);
}

static void post_contact(uint32_t connection, uint32_t version, uint8_t sint)
{
    uint32_t *input = (uint32_t *)(void *)bus.memory.pages.input;

    memset(input, 0, 256);
    input[0] = connection;
    input[2] = 1;
    input[3] = 40;
    input[4] = 14;
    input[6] = version;
    input[8] = sint;
    (void)hvsim_hypercall(&bus.sim, 0x5C, (uint64_t)(uintptr_t)input, 0);
}

static void sin_connection_1(void)
{
    post_contact(1, HVSIM_VERSION(4, 0), 0);
}
static void sin_below_5_0(void)
{
    post_contact(4, HVSIM_VERSION(4, 1), 5);
}
static void sin_answers_to_sint_2(void)
{
    post_contact(4, HVSIM_VERSION(5, 3), 2);
}
static void sin_sint_2(void)
{
    (void)hvsim_write_msr(&bus.sim, 0x40000092, 0x10041);
}
static void sin_pages(void)
{
    (void)hvsim_write_msr(&bus.sim, 0x40000083, (uint64_t)(uintptr_t)bus.memory.pages.messages | 1);
}
static void sin_id(void)
{
    (void)hvsim_write_msr(&bus.sim, 0x40000000, 1);
}
static void sin_control(void)
{
    (void)hvsim_write_msr(&bus.sim, 0x40000080, 0);
}
static void sin_signal(void)
{
    (void)hvsim_hypercall(&bus.sim, 0x1005D, 0x777, 0);
}
static void sin_input(void)
{
    (void)hvsim_hypercall(&bus.sim, 0x5C, (uint64_t)(uintptr_t)bus.memory.pages.input + 4, 0);
}

static void the_simulator_is_strict(void **state)
{
    (void)state;
    expect_violation(sin_connection_1);
    expect_violation(sin_below_5_0);
    expect_violation(sin_answers_to_sint_2);
    expect_violation(sin_sint_2);
    expect_violation(sin_pages);
    expect_violation(sin_id);
    expect_violation(sin_control);
    expect_violation(sin_signal);
    expect_violation(sin_input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(posts_that_fail_are_repeated, make, end),
        cmocka_unit_test_setup_teardown(posts_that_always_fail_end_it, make, end),
        cmocka_unit_test_setup_teardown(a_host_low_on_resources_is_asked_again, make, end),
        cmocka_unit_test_setup_teardown(the_firmware_s_connection_is_never_used, make, end),
        cmocka_unit_test_setup_teardown(refusals_are_tried_again_three_times, make, end),
        cmocka_unit_test_setup_teardown(lost_answers_do_not_hang_it, make, end),
        cmocka_unit_test_setup_teardown(a_silent_host_is_given_up, make, end),
        cmocka_unit_test_setup_teardown(a_host_that_never_opens_is_given_up, make, end),
        cmocka_unit_test_setup_teardown(rings_that_are_not_given_back_stay_lent, make, end),
        cmocka_unit_test_setup_teardown(rescind_while_opening, make, end),
        cmocka_unit_test_setup_teardown(rescind_in_the_middle_of_traffic, make, end),
        cmocka_unit_test_setup_teardown(strange_messages_are_ignored, make, end),
        cmocka_unit_test_setup_teardown(offers_that_come_and_go, make, end),
        cmocka_unit_test(the_simulator_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
