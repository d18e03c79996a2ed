/* SPDX-License-Identifier: BSD-2-Clause */
/* windbg-uefi's framing: exact bytes, pieces of any size, damage, acknowledgements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bus.h"
#include "kdwire/wire.h"
#include "vmbus/framing.h"

static struct vmbus_framing guest, host;

static int make(void **state)
{
    (void)state;
    vmbus_framing_init(&guest, VMBUS_FRAMING_GUEST, false);
    vmbus_framing_init(&host, VMBUS_FRAMING_HOST, false);
    return 0;
}

static int make_acknowledging(void **state)
{
    (void)state;
    vmbus_framing_init(&guest, VMBUS_FRAMING_GUEST, true);
    vmbus_framing_init(&host, VMBUS_FRAMING_HOST, true);
    return 0;
}

static void the_bytes_of_a_chunk(void **state)
{
    static const uint8_t expected[] = {0x60, 0x79, 0x86, 0x56, 1,   0,   0,    0,    5,    0,
                                       0,    0,    2,    0,    0,   0,   0x23, 0x13, 0xC2, 0xB5,
                                       0x79, 0x36, 0x28, 0x87, 'h', 'e', 'l',  'l',  'o'};
    const uint8_t *out;
    uint32_t checksum, sum = 0;
    uint8_t padded[32] = {0};

    (void)state;
    assert_int_equal(vmbus_framing_send(&guest, 0, (const uint8_t *)"hello", 5, &out, &checksum),
                     29);
    memcpy(padded, out, 29);
    for (int i = 0; i < 32; i += 4)
        sum ^= kd_get_u32(padded + i);
    assert_int_equal(sum, 0); /* XOR of every word, the checksum's own included */
    assert_int_equal(checksum, kd_get_u32(out + 16));
    memcpy(padded, expected, 29);
    kd_put_u32(padded + 16, checksum);
    assert_memory_equal(out, padded, 29);
    assert_int_equal(vmbus_framing_send(&host, 0, (const uint8_t *)"x", 1, &out, NULL), 25);
    assert_int_equal(kd_get_u32(out + 12), 0x5687);
    assert_int_equal(vmbus_framing_send(&host, 0, (const uint8_t *)"x", 1, &out, NULL), 25);
    assert_int_equal(kd_get_u32(out + 12), 0x5688);
}

/* Feeds BYTES to the host in pieces of at most PIECE and returns what it reads. */
static size_t through(const uint8_t *bytes, size_t size, size_t piece, uint8_t *got, size_t room)
{
    size_t at = 0, n = 0;

    while (at < size) {
        size_t now = size - at < piece ? size - at : piece;

        at += vmbus_framing_feed(&host, bytes + at, now);
        n += vmbus_framing_read(&host, got + n, room - n);
    }
    return n;
}

static void chunks_survive_any_cutting(void **state)
{
    static uint8_t wire[40000], sent[30000], got[30000];
    static const size_t pieces[] = {1, 3, 24, 25, 2048, 8192, sizeof wire};
    struct bus_random random = {7};
    size_t wire_size = 0, at = 0;
    const uint8_t *out;

    (void)state;
    bus_random_bytes(&random, sent, sizeof sent);
    while (at < sizeof sent) {
        size_t size = 1 + bus_random(&random) % 4016, n;

        if (size > sizeof sent - at)
            size = sizeof sent - at;
        n = vmbus_framing_send(&guest, 0, sent + at, size, &out, NULL);
        memcpy(wire + wire_size, out, n);
        wire_size += n;
        at += size;
    }
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        vmbus_framing_init(&host, VMBUS_FRAMING_HOST, false);
        assert_int_equal(through(wire, wire_size, pieces[i], got, sizeof got), sizeof sent);
        assert_memory_equal(got, sent, sizeof sent);
        assert_int_equal(host.damaged, 0);
    }
}

static void a_damaged_chunk_is_skipped_and_the_next_is_found(void **state)
{
    uint8_t wire[200], got[64];
    const uint8_t *out;
    size_t first, second;

    (void)state;
    for (size_t damage = 0; damage < 29; damage++) {
        (void)make(NULL);
        first = vmbus_framing_send(&guest, 0, (const uint8_t *)"hello", 5, &out, NULL);
        memcpy(wire, out, first);
        second = vmbus_framing_send(&guest, 0, (const uint8_t *)"world", 5, &out, NULL);
        memcpy(wire + first, out, second);
        wire[damage] ^= 0x04; /* in the length it asks for one byte less or some more */
        if (damage >= 8 && damage < 12)
            continue;
        assert_int_equal(through(wire, first + second, 7, got, sizeof got), 5);
        assert_memory_equal(got, "world", 5);
        assert_int_equal(host.damaged, first);
    }
}

static void what_is_lost_is_sent_again_and_counted_once(void **state)
{
    uint8_t answer[VMBUS_FRAMING_HEADER], got[64];
    const uint8_t *out;
    size_t n;

    (void)state;
    n = vmbus_framing_send(&guest, 0, (const uint8_t *)"hello", 5, &out, NULL);
    assert_int_equal(vmbus_framing_send(&guest, 0, (const uint8_t *)"x", 1, &out, NULL), 0);
    assert_int_equal(vmbus_framing_due(&guest, 999999, answer, &out), 0);
    assert_int_equal(vmbus_framing_due(&guest, 1000000, answer, &out), n);
    assert_int_equal(through(out, n, n, got, sizeof got), 5);
    /* The acknowledgement is lost: the chunk comes again, and is not read twice. */
    assert_int_equal(vmbus_framing_due(&host, 0, answer, &out), sizeof answer);
    assert_int_equal(vmbus_framing_due(&guest, 2000000, answer, &out), n);
    assert_int_equal(through(out, n, n, got, sizeof got), 0);
    assert_int_equal(host.repeated, 1);
    assert_int_equal(vmbus_framing_due(&host, 0, answer, &out), sizeof answer);
    assert_int_equal(kd_get_u32(answer), 0x15957899u);
    assert_int_equal(kd_get_u32(answer + 4), 2);
    assert_int_equal(kd_get_u32(answer + 12), 2);
    assert_int_equal(vmbus_framing_feed(&guest, answer, sizeof answer), sizeof answer);
    assert_int_not_equal(vmbus_framing_send(&guest, 0, (const uint8_t *)"x", 1, &out, NULL), 0);
}

static void nobody_who_acknowledges_is_not_waited_for(void **state)
{
    uint8_t answer[VMBUS_FRAMING_HEADER];
    const uint8_t *out;
    uint64_t now = 0;
    unsigned times = 0;

    (void)state;
    (void)vmbus_framing_send(&guest, now, (const uint8_t *)"hello", 5, &out, NULL);
    for (; now < 20000000; now += 100000)
        times += vmbus_framing_due(&guest, now, answer, &out) != 0;
    assert_int_equal(times, VMBUS_FRAMING_TRIES_MAX - 1);
    assert_int_equal(guest.given_up, 1);
    assert_int_not_equal(vmbus_framing_send(&guest, now, (const uint8_t *)"x", 1, &out, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_bytes_of_a_chunk, make),
        cmocka_unit_test_setup(chunks_survive_any_cutting, make),
        cmocka_unit_test_setup(a_damaged_chunk_is_skipped_and_the_next_is_found, make),
        cmocka_unit_test_setup(what_is_lost_is_sent_again_and_counted_once, make_acknowledging),
        cmocka_unit_test_setup(nobody_who_acknowledges_is_not_waited_for, make_acknowledging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
