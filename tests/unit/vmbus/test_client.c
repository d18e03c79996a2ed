/* SPDX-License-Identifier: BSD-2-Clause */
/* From nothing to an open channel and back, against every host of the protocol's history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bus.h"
#include "kdwire/error.h"

static struct bus bus;

static void leave(void)
{
    vmbus_client_stop(&bus.client, bus.now);
    assert_true(bus_run_until(&bus, VMBUS_OFF, 10));
    assert_false(bus.client.lent);
}

/* Echo of one line each way: the channel works, not only opens. */
static void talk(struct hvsim_channel *channel)
{
    uint8_t got[16];

    assert_int_equal(vmbus_client_write(&bus.client, bus.now, (const uint8_t *)"ping", 4), 4);
    assert_int_equal(hvsim_read(&bus.sim, channel, got, sizeof got), 4);
    assert_memory_equal(got, "ping", 4);
    assert_int_equal(hvsim_write(&bus.sim, channel, "pong!", 5), 5);
    assert_true(vmbus_client_ready(&bus.client));
    assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 5);
    assert_memory_equal(got, "pong!", 5);
    assert_false(vmbus_client_ready(&bus.client));
}

static const uint32_t agreed[HVSIM_HOSTS] = {
    [HVSIM_2012_R2] = HVSIM_VERSION(3, 0), [HVSIM_2016] = HVSIM_VERSION(4, 0),
    [HVSIM_1709] = HVSIM_VERSION(4, 1),    [HVSIM_1803] = HVSIM_VERSION(5, 1),
    [HVSIM_2019] = HVSIM_VERSION(5, 2),    [HVSIM_2022] = HVSIM_VERSION(5, 3),
    [HVSIM_NEWER] = HVSIM_VERSION(5, 3),   [HVSIM_OPENVMM] = HVSIM_VERSION(5, 3),
};

/* A second client beside the firmware: from 5.0 on, and on a host that takes another SINT. Else it
 * leaves without a trace, for the only other way would crash the VM. */
static void beside_the_firmware_on_every_host(void **state)
{
    (void)state;
    for (enum hvsim_host host = 0; host < HVSIM_HOSTS; host++) {
        struct hvsim_config config = {.host = host, .firmware = true};
        bool possible = agreed[host] >= HVSIM_VERSION(5, 0) && host != HVSIM_OPENVMM;

        bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
        hvsim_offer_devices(&bus.sim);
        if (possible) {
            struct hvsim_channel *channel = bus_open(&bus);

            assert_non_null(channel);
            assert_int_equal(bus.client.version, agreed[host]);
            assert_int_equal(bus.sim.message_sint, 5);
            assert_int_equal(channel->target_vp, 0xFFFFFFFFu); /* no interrupt is wanted */
            talk(channel);
            leave();
        } else {
            assert_int_equal(bus_start(&bus), 0);
            assert_true(bus_run_until(&bus, VMBUS_FAILED, 10));
            assert_int_equal(bus.client.failure, KD_E_UNSUPPORTED);
        }
        assert_int_equal(bus.sim.sint[5] & 0x10000, 0x10000); /* masked again */
        bus_end(&bus);
    }
}

/* Nobody else here: everything is ours, SINT 2 included, down to 3.0. */
static void alone_on_every_host(void **state)
{
    (void)state;
    for (enum hvsim_host host = 0; host < HVSIM_HOSTS; host++) {
        struct hvsim_config config = {.host = host};
        struct hvsim_channel *channel;

        bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
        if (agreed[host] != 0) {
            channel = bus_open(&bus);
            assert_non_null(channel);
            assert_int_equal(bus.client.version, agreed[host]);
            assert_int_equal(bus.sim.message_sint, 2);
            talk(channel);
            leave();
        } else {
            assert_int_equal(bus_start(&bus), 0);
            assert_true(bus_run_until(&bus, VMBUS_FAILED, 30));
            assert_int_equal(bus.client.failure, KD_E_UNSUPPORTED);
        }
        /* As found: pages off, id zero; only SCONTROL stays on. */
        assert_int_equal(bus.sim.simp & 1, 0);
        assert_int_equal(bus.sim.siefp & 1, 0);
        assert_int_equal(bus.sim.hypercall & 1, 0);
        assert_int_equal(bus.sim.guest_os_id, 0);
        assert_int_equal(bus.sim.scontrol & 1, 1);
        assert_int_equal(bus.sim.sint[2] & 0x10000, 0x10000);
        bus_end(&bus);
    }
}

static void what_cannot_be_used_is_said(void **state)
{
    static const struct {
        struct hvsim_config config;
        int expected;
    } cases[] = {
        {{.host = HVSIM_2022, .no_hypervisor = true}, KD_E_NOT_FOUND},
        {{.host = HVSIM_2022, .firmware = true, .no_messages = true}, KD_E_UNSUPPORTED},
        {{.host = HVSIM_2022, .firmware = true, .isolated = true}, KD_E_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bus_init(&bus, &cases[i].config, 1);
        assert_int_equal(bus_start(&bus), cases[i].expected);
        assert_int_equal(bus.client.state, VMBUS_OFF);
        assert_int_equal(bus.sim.posts, 0);
        bus_end(&bus);
    }
}

static void a_sint_in_use_is_left_alone(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};

    (void)state;
    bus_init(&bus, &config, 1);
    bus.sim.sint[5] = 0x99;
    bus.sim.sint[6] = 0x9A;
    assert_non_null(bus_open(&bus));
    assert_int_equal(bus.sim.message_sint, 3);
    assert_int_equal(bus.sim.sint[5], 0x99);
    leave();
    bus_end(&bus);
    bus_init(&bus, &config, 1);
    for (unsigned i = 0; i < HVSIM_SINTS; i++)
        bus.sim.sint[i] = 0x20;
    assert_int_equal(bus_start(&bus), KD_E_BUSY);
    bus_end(&bus);
}

static void without_polling_a_harmless_vector_is_used(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true, .no_polling = true};

    (void)state;
    bus_init(&bus, &config, 1);
    assert_non_null(bus_open(&bus));
    assert_int_equal(bus.sim.sint[5], 0x20053); /* AutoEOI */
    leave();
    bus_end(&bus);
}

/* Half set up by somebody: neither rewritten nor completed. */
static void a_half_set_up_controller_is_refused(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};

    (void)state;
    bus_init(&bus, &config, 1);
    bus.sim.siefp = 0;
    assert_int_equal(bus_start(&bus), KD_E_REFUSED);
    bus_end(&bus);
}

static void large_rings_need_gpadl_bodies(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};
    static const uint32_t pages[] = {1, 2, 12, 13, 26, 27, 40, VMBUS_RING_PAGES_MAX};
    struct hvsim_channel *channel;

    (void)state;
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        bus_init(&bus, &config, pages[i]);
        channel = bus_open(&bus);
        assert_non_null(channel);
        assert_int_equal(channel->in.size, pages[i] * HVSIM_PAGE);
        assert_int_equal(channel->out.size, pages[i] * HVSIM_PAGE);
        talk(channel);
        leave();
        bus_end(&bus);
    }
}

static void a_late_offer_is_taken(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2019, .firmware = true};

    (void)state;
    bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
    assert_int_equal(bus_start(&bus), 0);
    bus_run(&bus, 50000); /* five seconds */
    assert_int_equal(bus.client.state, VMBUS_WAITING);
    talk(bus_open(&bus));
    bus_end(&bus);
}

static void another_instance_is_not_taken(void **state)
{
    static const uint8_t other[16] = {1, 2, 3};
    struct hvsim_config config = {.host = HVSIM_2019, .firmware = true};

    (void)state;
    bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
    bus.wanted.instance = vmbus_kdwire_instance;
    (void)hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, other, 0);
    assert_int_equal(bus_start(&bus), 0);
    bus_run(&bus, 100);
    assert_int_equal(bus.client.state, VMBUS_WAITING);
    talk(bus_open(&bus));
    bus_end(&bus);
}

static void rescinded_and_offered_again(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};
    struct hvsim_channel *channel;
    uint8_t byte;

    (void)state;
    bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
    for (unsigned i = 1; i <= 20; i++) {
        channel = bus_open(&bus);
        assert_non_null(channel);
        talk(channel);
        hvsim_rescind(&bus.sim, channel);
        bus_run(&bus, 10);
        assert_int_equal(bus.client.state, VMBUS_WAITING);
        assert_int_equal(bus.client.opened, i);
        assert_int_equal(bus.sim.released, i);
        assert_int_equal(vmbus_client_write(&bus.client, bus.now, &byte, 1), 0);
    }
    bus_end(&bus);
}

static void the_next_offer_may_come_before_the_old_one_is_gone(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};
    struct hvsim_channel *first, *second;

    (void)state;
    bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
    first = bus_open(&bus);
    second = hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
    hvsim_rescind(&bus.sim, first);
    bus_run(&bus, 20);
    assert_true(hvsim_is_open(&bus.sim, second));
    talk(second);
    leave();
    bus_end(&bus);
}

static void a_socket_is_connected(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2016};
    static const enum hvsim_host hosts[] = {HVSIM_2016, HVSIM_1803, HVSIM_2019, HVSIM_2022};
    struct hvsim_channel *channel;
    uint8_t end_of_stream[8] = {1}, got[8];

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        config.host = hosts[i];
        config.firmware = i > 0;
        bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
        bus.wanted.socket = true;
        assert_int_equal(bus_start(&bus), 0);
        bus_run(&bus, 25000); /* nobody listens yet: refused, and tried again */
        assert_true(bus.client.refused >= 2);
        hvsim_listen(&bus.sim, vmbus_kdwire_type.bytes);
        assert_true(bus_run_until(&bus, VMBUS_OPEN, 3));
        talk(bus.sim.socket);
        channel = bus.sim.socket;
        assert_true(hvsim_write_packet(&bus.sim, channel, 6, end_of_stream, 8));
        assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 0);
        bus_run(&bus, 100);
        assert_int_equal(bus.sim.released, 1);
        assert_true(bus_run_until(&bus, VMBUS_OPEN, 3)); /* and connects anew */
        talk(bus.sim.socket);
        leave();
        bus_end(&bus);
    }
}

static void a_connection_from_the_host_is_taken(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};
    struct hvsim_channel *channel;

    (void)state;
    bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
    bus.wanted.socket = true;
    assert_int_equal(bus_start(&bus), 0);
    bus_run(&bus, 100);
    channel = hvsim_connect(&bus.sim, vmbus_kdwire_type.bytes);
    assert_true(bus_run_until(&bus, VMBUS_OPEN, 3));
    talk(channel);
    leave();
    bus_end(&bus);
}

static void sockets_need_a_host_of_2016(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2012_R2};

    (void)state;
    bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
    bus.wanted.socket = true;
    assert_int_equal(bus_start(&bus), 0);
    assert_true(bus_run_until(&bus, VMBUS_FAILED, 10));
    assert_int_equal(bus.client.failure, KD_E_UNSUPPORTED);
    bus_end(&bus);
}

static void it_can_leave_in_every_state(void **state)
{
    struct hvsim_config config = {.host = HVSIM_2022, .firmware = true};

    (void)state;
    for (unsigned steps = 0; steps < 12; steps++) {
        bus_init(&bus, &config, VMBUS_RING_PAGES_DEFAULT);
        (void)hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
        assert_int_equal(bus_start(&bus), 0);
        bus_run(&bus, steps);
        leave();
        /* And come back. */
        assert_int_equal(bus_start(&bus), 0);
        assert_true(bus_run_until(&bus, VMBUS_OPEN, 5));
        leave();
        bus_end(&bus);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_the_firmware_on_every_host),
        cmocka_unit_test(alone_on_every_host),
        cmocka_unit_test(what_cannot_be_used_is_said),
        cmocka_unit_test(a_sint_in_use_is_left_alone),
        cmocka_unit_test(without_polling_a_harmless_vector_is_used),
        cmocka_unit_test(a_half_set_up_controller_is_refused),
        cmocka_unit_test(large_rings_need_gpadl_bodies),
        cmocka_unit_test(a_late_offer_is_taken),
        cmocka_unit_test(another_instance_is_not_taken),
        cmocka_unit_test(rescinded_and_offered_again),
        cmocka_unit_test(the_next_offer_may_come_before_the_old_one_is_gone),
        cmocka_unit_test(a_socket_is_connected),
        cmocka_unit_test(a_connection_from_the_host_is_taken),
        cmocka_unit_test(sockets_need_a_host_of_2016),
        cmocka_unit_test(it_can_leave_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
