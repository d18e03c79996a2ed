/* SPDX-License-Identifier: BSD-2-Clause */
/* The bad wire itself: each kind does what it says, order is kept, and seeds repeat. */
#include "wires.h"

#include <string.h>

#include "fault.h"
#include "kdwire/error.h"

enum { PACKETS = 2000 };

static struct sim_fault *wire;
static uint8_t out[PACKETS * 200];
static size_t out_size;

static void open_wire(const char *spec)
{
    struct sim_fault_config config;
    const char *where;
    assert_int_equal(sim_fault_parse(&config, spec, &where), 0);
    wire = sim_fault_new(&config);
    assert_non_null(wire);
    out_size = 0;
}

static void drain(uint64_t now)
{
    size_t size;
    while ((size = sim_fault_read(wire, now, out + out_size, sizeof(out) - out_size)))
        out_size += size;
}

/* An acknowledgement and a request in one write, numbered. */
static void write_pair(uint64_t now, uint8_t number)
{
    uint8_t bytes[200];
    size_t size = make_control(bytes, KD_PACKET_ACKNOWLEDGE, number);
    size += make_data(bytes + size, KD_PACKET_STATE_MANIPULATE, number, manipulate(0x3130, number),
                      BODY_SIZE);
    assert_int_equal(sim_fault_write(wire, now, bytes, size), 0);
}

struct tally {
    size_t good, bad_checksum, bad_trailer, cut;
    bool in_order;
};

static struct tally count(void)
{
    static struct kd_stream stream;
    struct tally tally = {.in_order = true};
    struct kd_item item;
    uint32_t last = 0;
    size_t at = 0;

    kd_stream_init(&stream, KD_FRAMING_SERIAL);
    for (;;) {
        at += kd_stream_feed(&stream, out + at, out_size - at, &item);
        if (item.kind == KD_ITEM_NONE)
            break;
        tally.good += item.kind == KD_ITEM_PACKET && !item.faults;
        tally.bad_checksum += (item.faults & KD_FAULT_CHECKSUM) != 0;
        tally.bad_trailer += (item.faults & KD_FAULT_TRAILER) != 0;
        tally.cut += (item.faults & KD_FAULT_CUT) != 0;
        if (item.kind == KD_ITEM_PACKET && !item.faults) {
            tally.in_order &= (uint8_t)(item.header.id - last) < 128;
            last = item.header.id;
        }
    }
    return tally;
}

static struct tally send_all(const char *spec, enum sim_fault_kind kind)
{
    open_wire(spec);
    for (int i = 0; i < PACKETS / 2; i++) {
        write_pair((uint64_t)i, (uint8_t)i);
        drain((uint64_t)i);
    }
    drain(UINT64_MAX);
    uint64_t done = sim_fault_count(wire, kind);
    assert_true(done > PACKETS / 2 / 10 / 2 && done < PACKETS / 5);
    assert_true(sim_fault_deadline(wire) == UINT64_MAX);
    return count();
}

static int close_wire(void **state)
{
    (void)state;
    sim_fault_free(wire);
    wire = NULL;
    return 0;
}

static void test_good(void **state)
{
    (void)state;
    open_wire("seed=1");
    write_pair(5, 1);
    assert_true(sim_fault_deadline(wire) == 5);
    drain(4);
    assert_int_equal(out_size, 0);
    drain(5);
    assert_int_equal(out_size, 16 + 73);
    assert_int_equal(count().good, 2);
}

static void test_drop(void **state)
{
    (void)state;
    struct tally tally = send_all("seed=1,drop=10%", SIM_FAULT_DROP);
    assert_int_equal(tally.good, PACKETS - sim_fault_count(wire, SIM_FAULT_DROP));
    assert_true(tally.in_order);
}

static void test_lose(void **state)
{
    size_t whole = (size_t)PACKETS / 2 * (16 + 73);
    (void)state;
    struct tally tally = send_all("seed=1,lose=10%", SIM_FAULT_LOSE_BYTE);
    assert_int_equal(out_size, whole - sim_fault_count(wire, SIM_FAULT_LOSE_BYTE));
    assert_true(tally.good >= PACKETS - sim_fault_count(wire, SIM_FAULT_LOSE_BYTE));
    assert_true(tally.in_order);
}

static void test_payload_and_trailer(void **state)
{
    (void)state;
    struct tally tally = send_all("seed=1,payload=10%", SIM_FAULT_FLIP_PAYLOAD);
    assert_int_equal(tally.bad_checksum, sim_fault_count(wire, SIM_FAULT_FLIP_PAYLOAD));
    assert_int_equal(tally.bad_trailer, 0);
    close_wire(NULL);
    tally = send_all("seed=1,trailer=10%", SIM_FAULT_FLIP_TRAILER);
    assert_int_equal(tally.bad_trailer, sim_fault_count(wire, SIM_FAULT_FLIP_TRAILER));
    assert_int_equal(tally.bad_checksum, 0);
}

static void test_header(void **state)
{
    (void)state;
    send_all("seed=1,header=10%", SIM_FAULT_FLIP_HEADER);
    assert_int_equal(out_size, PACKETS / 2 * (16 + 73));
}

static void test_duplicate(void **state)
{
    (void)state;
    struct tally tally = send_all("seed=1,duplicate=10%", SIM_FAULT_DUPLICATE);
    assert_int_equal(tally.good, PACKETS + sim_fault_count(wire, SIM_FAULT_DUPLICATE));
    assert_true(tally.in_order);
}

static void test_delay_and_split(void **state)
{
    (void)state;
    struct tally tally = send_all("seed=1,delay=10%,delay_us=50", SIM_FAULT_DELAY);
    assert_int_equal(tally.good, PACKETS);
    assert_true(tally.in_order);
    close_wire(NULL);
    tally = send_all("seed=1,split=10%,split_us=50", SIM_FAULT_SPLIT);
    assert_int_equal(tally.good, PACKETS);
    assert_true(tally.in_order);
}

static void test_same_seed_same_faults(void **state)
{
    static uint8_t first[sizeof(out)];
    (void)state;
    send_all("seed=7,all=10%,header=10%", SIM_FAULT_DROP);
    size_t size = out_size;
    memcpy(first, out, size);
    close_wire(NULL);
    send_all("seed=7,all=10%,header=10%", SIM_FAULT_DROP);
    assert_int_equal(out_size, size);
    assert_memory_equal(out, first, size);
    close_wire(NULL);
    send_all("seed=8,all=10%,header=10%", SIM_FAULT_DROP);
    assert_true(out_size != size || memcmp(out, first, size) != 0);
}

static void test_nobody_reads(void **state)
{
    static uint8_t big[SIM_FAULT_QUEUE_MAX];
    (void)state;
    open_wire("duplicate=100%");
    assert_int_equal(sim_fault_write(wire, 0, big, sizeof(big)), 0);
    assert_int_equal(sim_fault_write(wire, 0, big, 1), KD_E_NO_SPACE);
}

static void test_specifications(void **state)
{
    static const char *const wrong[] = {"",
                                        "drop",
                                        "drop=",
                                        "drop=x",
                                        "drop=101%",
                                        "drop=1000001",
                                        "frob=1",
                                        "drop=1;lose=1",
                                        "drop=1,",
                                        "seed=-1",
                                        "drop=99999999999999999999999"};
    struct sim_fault_config config;
    const char *where;
    (void)state;
    assert_int_equal(sim_fault_parse(&config, "all=2%,seed=18446744073709551615,drop=3", &where),
                     0);
    assert_int_equal(config.ppm[SIM_FAULT_DROP], 3);
    assert_int_equal(config.ppm[SIM_FAULT_SPLIT], 20000);
    assert_int_equal(config.ppm[SIM_FAULT_FLIP_HEADER], 0);
    assert_true(config.seed == UINT64_MAX);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(sim_fault_parse(&config, wrong[i], &where), KD_E_FORMAT);
    assert_int_equal(sim_fault_parse(&config, "drop=1,frob=2", &where), KD_E_FORMAT);
    assert_string_equal(where, "frob=2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_good, close_wire),
        cmocka_unit_test_teardown(test_drop, close_wire),
        cmocka_unit_test_teardown(test_lose, close_wire),
        cmocka_unit_test_teardown(test_payload_and_trailer, close_wire),
        cmocka_unit_test_teardown(test_header, close_wire),
        cmocka_unit_test_teardown(test_duplicate, close_wire),
        cmocka_unit_test_teardown(test_delay_and_split, close_wire),
        cmocka_unit_test_teardown(test_same_seed_same_faults, close_wire),
        cmocka_unit_test_teardown(test_nobody_reads, close_wire),
        cmocka_unit_test(test_specifications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
