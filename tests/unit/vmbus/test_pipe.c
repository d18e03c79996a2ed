/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes through an open channel, both ways, in both modes and framings, with the host's damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus.h"
#include "kdwire/wire.h"

static const struct hvsim_config newest = {.host = HVSIM_2022, .firmware = true};
static struct bus bus;
static struct hvsim_channel *channel;

static int open_raw(void **state)
{
    (void)state;
    bus_init(&bus, &newest, VMBUS_RING_PAGES_DEFAULT);
    channel = bus_open(&bus);
    return channel == NULL;
}

static int end(void **state)
{
    (void)state;
    bus_end(&bus);
    return 0;
}

enum { PACKETS = 20000, MEGABYTES_30 = 30 * 1000 * 1000 };

struct flow {
    struct bus_random random;
    struct bus_random sizes;
    size_t done;
};

/* 20,000 writes and 30 MB in each direction at once; each side reads in odd pieces. */
static void much_both_ways_is_exact(void **state)
{
    static uint8_t sent[VMBUS_PIPE_MAX], got[5000], expected[5000];
    struct flow to_host = {{11}, {12}, 0}, to_guest = {{21}, {22}, 0};
    struct bus_random check_host = {11}, check_guest = {21}, pieces = {31};
    size_t host_got = 0, guest_got = 0, waiting = 0, at = 0;
    unsigned writes = 0;
    static uint8_t host_block[4096];
    size_t block = 0, block_at = 0;

    (void)state;
    while (host_got < MEGABYTES_30 || guest_got < MEGABYTES_30) {
        size_t n;

        if (waiting == at && to_host.done < MEGABYTES_30) {
            waiting = 1 + bus_random(&to_host.sizes) % 1999;
            if (waiting > MEGABYTES_30 - to_host.done)
                waiting = MEGABYTES_30 - to_host.done;
            at = 0;
            bus_random_bytes(&to_host.random, sent, waiting);
            to_host.done += waiting;
        }
        if (at < waiting) {
            n = vmbus_client_write(&bus.client, bus.now, sent + at, waiting - at);
            at += n;
            writes += n != 0;
        }
        if (block == block_at && to_guest.done < MEGABYTES_30) {
            block = sizeof host_block;
            if (block > MEGABYTES_30 - to_guest.done)
                block = MEGABYTES_30 - to_guest.done;
            block_at = 0;
            bus_random_bytes(&to_guest.random, host_block, block);
            to_guest.done += block;
        }
        block_at += hvsim_write(&bus.sim, channel, host_block + block_at, block - block_at);
        n = hvsim_read(&bus.sim, channel, got, 1 + bus_random(&pieces) % sizeof got);
        bus_random_bytes(&check_host, expected, n);
        assert_memory_equal(got, expected, n);
        host_got += n;
        n = vmbus_client_read(&bus.client, bus.now, got, 1 + bus_random(&pieces) % sizeof got);
        bus_random_bytes(&check_guest, expected, n);
        assert_memory_equal(got, expected, n);
        guest_got += n;
        bus.now++;
    }
    assert_true(writes >= PACKETS);
    assert_int_equal(host_got, MEGABYTES_30);
    assert_int_equal(guest_got, MEGABYTES_30);
    assert_int_equal(bus.client.pipe.in.bad_trailers, 0);
    assert_int_equal(channel->out.signals, 0); /* we poll: the host never had to tell */
}

/* Counted: no signal unless the host had seen the ring empty, or waits for room. */
static void one_signal_for_each_time_the_ring_was_empty(void **state)
{
    uint8_t bytes[64] = {0}, got[4096];
    struct bus_random random = {5};
    uint64_t emptied = 0;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t before = channel->signals;
        unsigned packets = 1 + bus_random(&random) % 9;

        for (unsigned i = 0; i < packets; i++)
            assert_int_equal(vmbus_client_write(&bus.client, bus.now, bytes, sizeof bytes),
                             sizeof bytes);
        assert_int_equal(channel->signals, before + 1);
        while (hvsim_read(&bus.sim, channel, got, sizeof got) != 0)
            ;
        emptied++;
    }
    assert_int_equal(channel->signals, emptied);
    assert_int_equal(bus.sim.signals, bus.client.synic.signals);
}

static void a_host_that_waits_for_room_is_told(void **state)
{
    static uint8_t much[64 * 1024], got[64 * 1024];
    size_t sent, n = 0;
    uint64_t signals;

    (void)state;
    sent = hvsim_write(&bus.sim, channel, much, sizeof much);
    assert_true(sent > 0 && sent < sizeof much);
    signals = channel->signals;
    while (n < sent)
        n += vmbus_client_read(&bus.client, bus.now, got, sizeof got);
    assert_int_equal(channel->signals, signals + 1);
    assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 0);
}

static void messages_up_to_the_largest(void **state)
{
    static uint8_t bytes[VMBUS_PIPE_MAX + 1000], got[VMBUS_PIPE_MAX + 1000];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31);
    channel->pipe_type = 4;
    assert_int_equal(vmbus_client_write(&bus.client, bus.now, bytes, sizeof bytes), VMBUS_PIPE_MAX);
    assert_int_equal(hvsim_read(&bus.sim, channel, got, sizeof got), VMBUS_PIPE_MAX);
    assert_memory_equal(got, bytes, VMBUS_PIPE_MAX);
    assert_int_equal(channel->packets, 1);
    assert_int_equal(hvsim_write(&bus.sim, channel, bytes, VMBUS_PIPE_MAX), VMBUS_PIPE_MAX);
    assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, 1000), 1000);
    assert_int_equal(vmbus_client_read(&bus.client, bus.now, got + 1000, sizeof got - 1000),
                     VMBUS_PIPE_MAX - 1000);
    assert_memory_equal(got, bytes, VMBUS_PIPE_MAX);
}

static void packets_without_data_are_stepped_over(void **state)
{
    uint8_t header[16] = {0}, got[16];

    (void)state;
    kd_put_u32(header, 1);
    kd_put_u32(header + 4, 3);
    memcpy(header + 8, "abc", 3);
    assert_true(hvsim_write_packet(&bus.sim, channel, 11, header, 16)); /* a completion */
    kd_put_u32(header, 5);
    assert_true(hvsim_write_packet(&bus.sim, channel, 6, header, 16));
    kd_put_u32(header, 1);
    kd_put_u32(header + 4, 0); /* empty: an empty message here, the end only on sockets */
    assert_true(hvsim_write_packet(&bus.sim, channel, 6, header, 16));
    kd_put_u32(header + 4, 3);
    assert_true(hvsim_write_packet(&bus.sim, channel, 6, header, 16));
    assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 3);
    assert_memory_equal(got, "abc", 3);
    assert_int_equal(bus.client.pipe.skipped, 3);
    assert_int_equal(bus.client.state, VMBUS_OPEN);
}

/* After any damage: no byte of it is believed, the channel is closed, and opened anew. */
static void damage_closes_and_reopens(void **state)
{
    static const struct {
        bool to_guest, control;
        uint32_t offset, value;
    } damage[] = {
        {true, true, 0, 12},       /* write index not a multiple of 8 */
        {true, true, 0, 5 * 4096}, /* at the end */
        {true, true, 0, 0xFFFFFFF8u},
        {true, true, 0, 8},  /* too little for a packet */
        {false, true, 4, 4}, /* our own ring's read index */
        {false, true, 4, 0x80000000u},
        {true, false, 4, 1},            /* length below the descriptor */
        {true, false, 4, 0xFFFF},       /* beyond what was written */
        {true, false, 0, 9u << 16 | 6}, /* data behind the packet */
        {true, false, 20, 0x10000},     /* pipe length */
        {true, false, 20, 40},
    };

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        uint8_t got[100];

        if (damage[i].to_guest && !damage[i].control)
            assert_int_equal(hvsim_write(&bus.sim, channel, "12345678", 8), 8);
        hvsim_poke(&bus.sim, channel, damage[i].to_guest, damage[i].control, damage[i].offset,
                   damage[i].value);
        if (damage[i].to_guest)
            assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 0);
        else
            assert_int_equal(vmbus_client_write(&bus.client, bus.now, got, sizeof got), 0);
        assert_true(bus.client.pipe.broken);
        bus_run(&bus, 5);
        assert_int_equal(bus.client.state, VMBUS_WAITING);
        assert_false(bus.client.lent);
        assert_true(bus_run_until(&bus, VMBUS_OPEN, 2));
        assert_int_equal(bus.client.opened, i + 2);
        assert_int_equal(hvsim_write(&bus.sim, channel, "again", 5), 5);
        assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 5);
        bus_run(&bus, 1);
        (void)hvsim_read(&bus.sim, channel, got, sizeof got);
        /* A fresh ring for each damage: its first packet is at offset 0 again. */
        hvsim_poke(&bus.sim, channel, true, true, 0, 4);
        (void)vmbus_client_read(&bus.client, bus.now, got, sizeof got);
        bus_run(&bus, 5);
        assert_true(bus_run_until(&bus, VMBUS_OPEN, 2));
        bus.client.opened--;
    }
}

static void a_wrong_trailer_is_only_counted(void **state)
{
    uint8_t got[16];

    (void)state;
    assert_int_equal(hvsim_write(&bus.sim, channel, "12345678", 8), 8);
    hvsim_poke(&bus.sim, channel, true, false, 36, 4711);
    assert_int_equal(vmbus_client_read(&bus.client, bus.now, got, sizeof got), 8);
    assert_int_equal(bus.client.pipe.in.bad_trailers, 1);
}

static int open_framed(void **state)
{
    (void)state;
    bus_init(&bus, &newest, VMBUS_RING_PAGES_DEFAULT);
    bus.wanted.windbg_uefi_framing = true;
    channel = bus_open(&bus);
    return channel == NULL;
}

static void windbg_uefi_s_host_understands_us_and_we_it(void **state)
{
    static struct vmbus_framing host; /* the other role of the same code; its bytes are tested */
    uint8_t wire[4096], got[4096];
    const uint8_t *out;
    size_t n;

    (void)state;
    vmbus_framing_init(&host, VMBUS_FRAMING_HOST, false);
    assert_int_equal(vmbus_client_write(&bus.client, bus.now, (const uint8_t *)"to host", 7), 7);
    n = hvsim_read(&bus.sim, channel, wire, sizeof wire);
    assert_int_equal(n, VMBUS_FRAMING_HEADER + 7);
    assert_int_equal(channel->transaction, kd_get_u32(wire + 16)); /* the checksum, once more */
    assert_int_equal(vmbus_framing_feed(&host, wire, n), n);
    assert_int_equal(vmbus_framing_read(&host, got, sizeof got), 7);
    assert_memory_equal(got, "to host", 7);
    for (int i = 0; i < 100; i++) {
        n = vmbus_framing_send(&host, 0, (const uint8_t *)"to guest", 8, &out, NULL);
        assert_int_equal(hvsim_write(&bus.sim, channel, out, n), n);
    }
    n = 0;
    while (n < 800)
        n += vmbus_client_read(&bus.client, bus.now, got + n, 33);
    for (int i = 0; i < 100; i++)
        assert_memory_equal(got + 8 * (size_t)i, "to guest", 8);
}

static void framing_waits_when_the_ring_is_full(void **state)
{
    static uint8_t bytes[4000], wire[64 * 1024];
    size_t sent = 0, n;
    uint32_t number = bus.client.framing.out_number;

    (void)state;
    while ((n = vmbus_client_write(&bus.client, bus.now, bytes, sizeof bytes)) != 0)
        sent += n;
    number = bus.client.framing.out_number - number;
    assert_int_equal(number, sent / sizeof bytes); /* the one that found no room did not count */
    while (hvsim_read(&bus.sim, channel, wire, sizeof wire) != 0)
        ;
    assert_int_equal(vmbus_client_write(&bus.client, bus.now, bytes, sizeof bytes), sizeof bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(much_both_ways_is_exact, open_raw, end),
        cmocka_unit_test_setup_teardown(one_signal_for_each_time_the_ring_was_empty, open_raw, end),
        cmocka_unit_test_setup_teardown(a_host_that_waits_for_room_is_told, open_raw, end),
        cmocka_unit_test_setup_teardown(messages_up_to_the_largest, open_raw, end),
        cmocka_unit_test_setup_teardown(packets_without_data_are_stepped_over, open_raw, end),
        cmocka_unit_test_setup_teardown(damage_closes_and_reopens, open_raw, end),
        cmocka_unit_test_setup_teardown(a_wrong_trailer_is_only_counted, open_raw, end),
        cmocka_unit_test_setup_teardown(windbg_uefi_s_host_understands_us_and_we_it, open_framed,
                                        end),
        cmocka_unit_test_setup_teardown(framing_waits_when_the_ring_is_full, open_framed, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
