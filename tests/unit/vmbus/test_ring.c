/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring's arithmetic and its rules of signalling, on bare memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"
#include "vmbus/ring.h"

enum { SIZE = VMBUS_PAGE };

static _Alignas(8) uint8_t memory[VMBUS_PAGE + SIZE];
static struct vmbus_ring out, in; /* two views of the same memory: a wire with one end each */
static const struct vmbus_packet in_band = {.type = VMBUS_PACKET_IN_BAND};

static int make(void **state)
{
    (void)state;
    vmbus_ring_init(&in, memory, SIZE, false, false);
    vmbus_ring_init(&out, memory, SIZE, true, false);
    return 0;
}

static uint32_t control(unsigned field)
{
    return kd_get_u32(memory + field);
}

static void set_control(unsigned field, uint32_t value)
{
    kd_put_u32(memory + field, value);
}

static int send_bytes(size_t size, bool *signal)
{
    static uint8_t bytes[SIZE];
    struct vmbus_piece piece = {bytes, size};

    return vmbus_ring_send(&out, &in_band, &piece, 1, signal);
}

static bool receive(void)
{
    struct vmbus_packet packet;

    assert_int_equal(vmbus_ring_next(&in, &packet), 0);
    return vmbus_ring_release(&in, &packet);
}

static void a_packet_lies_there_as_written_down(void **state)
{
    struct vmbus_packet packet = {.type = 6, .flags = 1, .transaction = 0x1122334455667788u};
    struct vmbus_piece pieces[] = {{"abc", 3}, {"defgh", 5}, {"i", 1}};
    static const uint8_t expected[] = {6,    0,    2,    0,    4,    0,    1,   0,   0x88, 0x77,
                                       0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 'a', 'b', 'c',  'd',
                                       'e',  'f',  'g',  'h',  'i',  0,    0,   0,   0,    0,
                                       0,    0,    0,    0,    0,    0,    0,   0,   0,    0};
    bool signal;

    (void)state;
    memset(memory + VMBUS_PAGE, 0xEE, 64); /* padding must be written, not left */
    assert_int_equal(vmbus_ring_send(&out, &packet, pieces, 3, &signal), 0);
    assert_true(signal);
    assert_memory_equal(memory + VMBUS_PAGE, expected, sizeof expected);
    assert_int_equal(control(VMBUS_RING_WRITE), sizeof expected);
    assert_int_equal(control(VMBUS_RING_FEATURES), VMBUS_FEATURE_PENDING_SIZE);
}

static void only_the_first_packet_of_a_full_run_signals(void **state)
{
    bool signal;

    (void)state;
    assert_int_equal(send_bytes(8, &signal), 0);
    assert_true(signal);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(send_bytes(8, &signal), 0);
        assert_false(signal);
    }
    for (int i = 0; i < 6; i++)
        assert_false(receive());
    assert_int_equal(send_bytes(8, &signal), 0);
    assert_true(signal);
    assert_int_equal(out.transitions, 2);
    receive();
    set_control(VMBUS_RING_MASK, 1); /* a receiver that polls is not told */
    assert_int_equal(send_bytes(8, &signal), 0);
    assert_false(signal);
}

/* Fills the ring to the last byte that may be used, at every offset it can begin at. */
static void a_full_ring_never_looks_empty(void **state)
{
    bool signal;

    (void)state;
    for (uint32_t start = 0; start < SIZE; start += 24) {
        uint32_t sent = 0;

        while (send_bytes(16, &signal) == 0)
            sent++;
        assert_int_equal(sent, (SIZE - 8) / 40);
        while (sent < (SIZE - 8) / 40 + 8 && send_bytes(0, &signal) == 0)
            sent++; /* the rest, in packets of the smallest kind */
        assert_int_not_equal(control(VMBUS_RING_WRITE), control(VMBUS_RING_READ));
        assert_int_equal(send_bytes(0, &signal), KD_E_NO_SPACE);
        while (sent-- != 0)
            receive();
        assert_false(vmbus_ring_ready(&in));
        assert_int_equal(send_bytes(0, &signal), 0);
        receive();
    }
}

static void the_largest_packet_fits_and_a_larger_one_never_does(void **state)
{
    uint32_t most = vmbus_ring_payload_max(&out);
    struct vmbus_packet packet;
    bool signal;

    (void)state;
    assert_int_equal(most, SIZE - 16 - 24);
    assert_int_equal(send_bytes(most + 1, &signal), KD_E_TOO_LONG);
    for (int round = 0; round < 50; round++) { /* so that descriptor, payload, trailer all wrap */
        assert_int_equal(send_bytes(most, &signal), 0);
        assert_int_equal(vmbus_ring_next(&in, &packet), 0);
        assert_int_equal(packet.size, most);
        (void)vmbus_ring_release(&in, &packet);
    }
    assert_int_equal(in.bad_trailers, 0);
}

static void bytes_are_exact_around_the_end(void **state)
{
    uint8_t sent[600], got[600];
    struct vmbus_packet packet;
    bool signal;

    (void)state;
    for (uint32_t i = 0; i < 500; i++) {
        struct vmbus_piece piece = {sent, i + 1};

        for (uint32_t k = 0; k <= i; k++)
            sent[k] = (uint8_t)(i * 7 + k * 13);
        assert_int_equal(vmbus_ring_send(&out, &in_band, &piece, 1, &signal), 0);
        assert_int_equal(vmbus_ring_next(&in, &packet), 0);
        assert_int_equal(packet.size, (i + 8) / 8 * 8);
        vmbus_ring_copy(&in, &packet, 0, got, i + 1);
        assert_memory_equal(got, sent, i + 1);
        (void)vmbus_ring_release(&in, &packet);
    }
}

static void room_that_is_waited_for_is_told_once(void **state)
{
    bool signal;
    unsigned told = 0, received = 0;

    (void)state;
    while (send_bytes(1000, &signal) == 0)
        received++;
    assert_int_equal(control(VMBUS_RING_PENDING), 1024);
    while (received-- != 0)
        told += receive();
    assert_int_equal(told, 1);
    assert_int_equal(send_bytes(1000, &signal), 0);
    assert_int_equal(control(VMBUS_RING_PENDING), 0);
    assert_false(receive());
}

static void one_byte_less_is_understood(void **state)
{
    bool signal;
    unsigned told = 0, received = 0;

    (void)state;
    while (send_bytes(1000, &signal) == 0)
        received++;
    set_control(VMBUS_RING_PENDING, 1023);
    while (received-- != 0)
        told += receive();
    assert_int_equal(told, 1);
}

static void a_sender_without_the_feature_is_not_told(void **state)
{
    bool signal;
    unsigned told = 0, received = 0;

    (void)state;
    while (send_bytes(1000, &signal) == 0)
        received++;
    set_control(VMBUS_RING_FEATURES, 0);
    while (received-- != 0)
        told += receive();
    assert_int_equal(told, 0);
}

static void impossible_indexes_are_refused(void **state)
{
    static const uint32_t wrong[] = {1, 4, SIZE, SIZE + 8, 0xFFFFFFF8u, 8, 16};
    struct vmbus_packet packet;
    bool signal;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)make(NULL);
        set_control(VMBUS_RING_WRITE, wrong[i]);
        assert_int_equal(vmbus_ring_next(&in, &packet), KD_E_FORMAT);
        (void)make(NULL);
        set_control(VMBUS_RING_READ, wrong[i]);
        if (wrong[i] % 8 != 0 || wrong[i] >= SIZE)
            assert_int_equal(send_bytes(8, &signal), KD_E_FORMAT);
    }
}

static void impossible_descriptors_are_refused(void **state)
{
    static const struct {
        uint16_t offset, length; /* in units of 8 */
    } wrong[] = {{2, 0}, {2, 1}, {1, 3}, {0, 3}, {4, 3}, {2, 5}, {2, 0xFFFF}, {0xFFFF, 0xFFFF}};
    struct vmbus_packet packet;
    bool signal;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)make(NULL);
        assert_int_equal(send_bytes(8, &signal), 0);
        kd_put_u16(memory + VMBUS_PAGE + 2, wrong[i].offset);
        kd_put_u16(memory + VMBUS_PAGE + 4, wrong[i].length);
        assert_int_equal(vmbus_ring_next(&in, &packet), KD_E_FORMAT);
    }
    (void)make(NULL);
    assert_int_equal(send_bytes(8, &signal), 0);
    kd_put_u32(memory + VMBUS_PAGE + 28, 77);
    assert_int_equal(vmbus_ring_next(&in, &packet), 0);
    assert_int_equal(in.bad_trailers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_packet_lies_there_as_written_down, make),
        cmocka_unit_test_setup(only_the_first_packet_of_a_full_run_signals, make),
        cmocka_unit_test_setup(a_full_ring_never_looks_empty, make),
        cmocka_unit_test_setup(the_largest_packet_fits_and_a_larger_one_never_does, make),
        cmocka_unit_test_setup(bytes_are_exact_around_the_end, make),
        cmocka_unit_test_setup(room_that_is_waited_for_is_told_once, make),
        cmocka_unit_test_setup(one_byte_less_is_understood, make),
        cmocka_unit_test_setup(a_sender_without_the_feature_is_not_told, make),
        cmocka_unit_test_setup(impossible_indexes_are_refused, make),
        cmocka_unit_test_setup(impossible_descriptors_are_refused, make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
