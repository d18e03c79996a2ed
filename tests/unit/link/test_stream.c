/* SPDX-License-Identifier: BSD-2-Clause */
/* Framing: every byte in exactly one item, the same items for any split, and no good packet lost
 * behind a damaged one. */
#include "wires.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/stream.h"

enum { INPUT_MAX = 1 << 18, ITEMS_MAX = 4096 };

struct seen {
    enum kd_item_kind kind;
    unsigned faults;
    size_t at;
    size_t size;
    size_t body_size;
    size_t type;
};

struct run {
    struct seen items[ITEMS_MAX];
    size_t count;
    uint8_t bytes[INPUT_MAX];
    size_t size;
};

static struct run whole, other;

static void take(struct run *run, const struct kd_item *item)
{
    assert_true(run->count < ITEMS_MAX);
    assert_true(item->raw_size > 0 && item->raw_size <= INPUT_MAX - run->size);
    run->items[run->count++] = (struct seen){item->kind,     item->faults,    run->size,
                                             item->raw_size, item->body_size, item->header.type};
    if (item->body_size) {
        assert_true(item->body == item->raw + KD_HEADER_SIZE);
        assert_true(item->body_size <= item->raw_size - KD_HEADER_SIZE);
    }
    memcpy(run->bytes + run->size, item->raw, item->raw_size);
    run->size += item->raw_size;
}

/* Feeds INPUT in pieces of 1..STEP bytes (0: all at once), then ends it. */
static void split(struct run *run, enum kd_framing framing, const uint8_t *input, size_t size,
                  size_t step)
{
    static struct kd_stream stream;
    struct kd_item item;

    run->count = 0;
    run->size = 0;
    kd_stream_init(&stream, framing);
    for (size_t at = 0; at < size;) {
        size_t piece = step ? 1 + (size_t)rand() % step : size;
        piece = piece < size - at ? piece : size - at;
        for (size_t used = 0; used < piece || item.kind != KD_ITEM_NONE;) {
            used += kd_stream_feed(&stream, input + at + used, piece - used, &item);
            if (item.kind != KD_ITEM_NONE)
                take(run, &item);
        }
        at += piece;
    }
    while (kd_stream_flush(&stream, &item))
        take(run, &item);
    assert_false(kd_stream_pending(&stream));
}

/* Alone, a good packet is one packet, and nothing else is. */
static void check_alone(enum kd_framing framing, const uint8_t *input)
{
    for (size_t i = 0; i < whole.count; i++) {
        const struct seen *seen = &whole.items[i];
        struct kd_item item;
        bool good = seen->kind == KD_ITEM_PACKET && seen->faults == 0;
        assert_int_equal(kd_stream_is_one_packet(framing, input + seen->at, seen->size, &item),
                         good);
        assert_false(kd_stream_is_one_packet(framing, input + seen->at, seen->size - 1, &item));
        if (!good)
            continue;
        assert_ptr_equal(item.raw, input + seen->at);
        assert_ptr_equal(item.body, item.raw + KD_HEADER_SIZE);
        assert_int_equal(item.body_size, seen->body_size);
        assert_int_equal(item.header.type, seen->type);
    }
}

static void check_input(enum kd_framing framing, const uint8_t *input, size_t size)
{
    static const size_t steps[] = {1, 2, 3, 16, 17, 100, 5000};

    split(&whole, framing, input, size, 0);
    assert_int_equal(whole.size, size);
    assert_memory_equal(whole.bytes, input, size);
    check_alone(framing, input);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        split(&other, framing, input, size, steps[i]);
        assert_int_equal(other.size, size);
        assert_memory_equal(other.bytes, input, size);
        assert_int_equal(other.count, whole.count);
        assert_memory_equal(other.items, whole.items, whole.count * sizeof(whole.items[0]));
    }
}

struct bytes {
    uint8_t at[INPUT_MAX];
    size_t size;
};

static struct bytes in;

static void put(const void *bytes, size_t size)
{
    memcpy(in.at + in.size, bytes, size);
    in.size += size;
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put_data(uint16_t type, uint32_t packet_id, const void *body, size_t size)
{
    in.size += make_data(in.at + in.size, type, packet_id, body, size);
}

static void put_control(uint16_t type, uint32_t packet_id)
{
    in.size += make_control(in.at + in.size, type, packet_id);
}

static int clear(void **state)
{
    (void)state;
    in.size = 0;
    srand(1);
    return 0;
}

static void check(void)
{
    check_input(KD_FRAMING_SERIAL, in.at, in.size);
}

static void expect_item(size_t index, enum kd_item_kind kind, unsigned faults, size_t size)
{
    assert_true(index < whole.count);
    assert_int_equal(whole.items[index].kind, kind);
    assert_int_equal(whole.items[index].faults, faults);
    assert_int_equal(whole.items[index].size, size);
}

static void test_packets_and_break_ins(void **state)
{
    (void)state;
    put_text("b");
    put_control(KD_PACKET_RESET, 0);
    put_text("bb");
    put_data(KD_PACKET_STATE_MANIPULATE, id(A), manipulate(0x3146, 0x62), BODY_SIZE);
    put_data(KD_PACKET_DEBUG_IO, id(B), "", 0);
    check();
    assert_int_equal(whole.count, 6);
    expect_item(0, KD_ITEM_BREAK_IN, 0, 1);
    expect_item(1, KD_ITEM_PACKET, 0, 16);
    expect_item(2, KD_ITEM_BREAK_IN, 0, 1);
    expect_item(3, KD_ITEM_BREAK_IN, 0, 1);
    expect_item(4, KD_ITEM_PACKET, 0, 73);
    expect_item(5, KD_ITEM_PACKET, 0, 17);
}

/* Console text has the letter b, zeros and the letter i in it, and is one run of junk. */
static void test_console_text_is_junk(void **state)
{
    (void)state;
    put_text("\x1b[2J number 00 iii b, bbb\r\n");
    size_t text = in.size;
    put_control(KD_PACKET_ACKNOWLEDGE, id(A));
    put_text("0b");
    check();
    assert_int_equal(whole.count, 3);
    expect_item(0, KD_ITEM_JUNK, 0, text);
    expect_item(1, KD_ITEM_PACKET, 0, 16);
    expect_item(2, KD_ITEM_JUNK, 0, 2);
}

static void test_long_junk_comes_in_pieces(void **state)
{
    (void)state;
    memset(in.at, 'b', 1);
    memset(in.at + 1, 'x', 2 * KD_JUNK_MAX + 4);
    memset(in.at + 1 + KD_JUNK_MAX, 'b', 10); /* still text */
    in.size = 2 * KD_JUNK_MAX + 5;
    check();
    assert_int_equal(whole.count, 4);
    expect_item(0, KD_ITEM_BREAK_IN, 0, 1);
    expect_item(1, KD_ITEM_JUNK, 0, KD_JUNK_MAX);
    expect_item(2, KD_ITEM_JUNK, 0, KD_JUNK_MAX);
    expect_item(3, KD_ITEM_JUNK, 0, 4);
}

static void test_a_leader_in_a_good_body_is_data(void **state)
{
    uint8_t body[64];
    (void)state;
    memset(body, 'i', sizeof(body));
    make_control(body + 8, KD_PACKET_ACKNOWLEDGE, id(A));
    memset(body + 30, '0', 20);
    put_data(KD_PACKET_STATE_MANIPULATE, id(A), body, sizeof(body));
    put_control(KD_PACKET_ACKNOWLEDGE, id(B));
    check();
    assert_int_equal(whole.count, 2);
    expect_item(0, KD_ITEM_PACKET, 0, 81);
    expect_item(1, KD_ITEM_PACKET, 0, 16);
}

static void test_faults(void **state)
{
    (void)state;
    put_data(KD_PACKET_DEBUG_IO, id(A), "abc", 3);
    in.at[17] ^= 1; /* body */
    put_data(KD_PACKET_DEBUG_IO, id(A), "abc", 3);
    in.at[39] = 'x'; /* trailer */
    put_data(KD_PACKET_DEBUG_IO, id(A), "abc", 3);
    kd_put_u16(in.at + 40 + 6, KD_BODY_MAX + 1);
    put_control(KD_PACKET_ACKNOWLEDGE, id(A));
    kd_put_u16(in.at + 60 + 6, 1);
    put_control(KD_PACKET_ACKNOWLEDGE, id(A));
    check();
    assert_int_equal(whole.count, 6);
    expect_item(0, KD_ITEM_PACKET, KD_FAULT_CHECKSUM, 20);
    expect_item(1, KD_ITEM_PACKET, KD_FAULT_TRAILER, 20);
    expect_item(2, KD_ITEM_PACKET, KD_FAULT_LENGTH, 16); /* the header alone */
    expect_item(3, KD_ITEM_JUNK, 0, 4);                  /* what was its body and trailer */
    expect_item(4, KD_ITEM_PACKET, KD_FAULT_LENGTH, 16);
    expect_item(5, KD_ITEM_PACKET, 0, 16);
    assert_int_equal(whole.items[1].body_size, 3);
    assert_int_equal(whole.items[2].body_size, 0);
}

static void test_end_cuts(void **state)
{
    (void)state;
    put_data(KD_PACKET_DEBUG_IO, id(A), "abcdef", 6);
    in.size -= 4;
    check();
    assert_int_equal(whole.count, 1);
    expect_item(0, KD_ITEM_PACKET, KD_FAULT_CUT, 19);
    assert_int_equal(whole.items[0].body_size, 3);
    in.size = 7;
    check();
    assert_int_equal(whole.count, 1);
    expect_item(0, KD_ITEM_PACKET, KD_FAULT_CUT, 7);
}

/* Any one byte lost from any packet: the packets behind it arrive whole. */
static void test_lost_byte_does_not_take_the_next_packet(void **state)
{
    (void)state;
    for (size_t lost = 0; lost < 73; lost++) {
        in.size = 0;
        put_data(KD_PACKET_STATE_MANIPULATE, id(A), manipulate(0x3130, 7), BODY_SIZE);
        memmove(in.at + lost, in.at + lost + 1, --in.size - lost);
        put_control(KD_PACKET_ACKNOWLEDGE, id(B));
        put_data(KD_PACKET_STATE_MANIPULATE, id(B), manipulate(0x3130, 9), BODY_SIZE);
        check();
        assert_true(whole.count >= 3);
        expect_item(whole.count - 2, KD_ITEM_PACKET, 0, 16);
        expect_item(whole.count - 1, KD_ITEM_PACKET, 0, 73);
    }
    for (size_t lost = 0; lost < 16; lost++) {
        in.size = 0;
        put_control(KD_PACKET_ACKNOWLEDGE, id(B));
        memmove(in.at + lost, in.at + lost + 1, --in.size - lost);
        put_data(KD_PACKET_STATE_MANIPULATE, id(B), manipulate(0x3130, 9), BODY_SIZE);
        check();
        expect_item(whole.count - 1, KD_ITEM_PACKET, 0, 73);
    }
}

/* A changed body that contains the picture of a packet is one damaged packet, unless the picture
 * is a whole good one. */
static void test_flipped_body_with_leaders_stays_whole(void **state)
{
    uint8_t body[64] = {0};
    (void)state;
    memset(body + 10, '0', 4);
    kd_put_u16(body + 14, KD_PACKET_STATE_MANIPULATE);
    kd_put_u16(body + 16, 500);
    put_data(KD_PACKET_STATE_MANIPULATE, id(A), body, sizeof(body));
    in.at[16] ^= 0x40;
    put_control(KD_PACKET_ACKNOWLEDGE, id(B));
    check();
    assert_int_equal(whole.count, 2);
    expect_item(0, KD_ITEM_PACKET, KD_FAULT_CHECKSUM, 81);
    expect_item(1, KD_ITEM_PACKET, 0, 16);
}

/* A length changed upwards swallows what follows until the bytes stop coming. */
static void test_flipped_length_recovers_by_flush(void **state)
{
    (void)state;
    put_data(KD_PACKET_STATE_MANIPULATE, id(A), manipulate(0x3130, 1), BODY_SIZE);
    kd_put_u16(in.at + 6, 3000);
    put_control(KD_PACKET_ACKNOWLEDGE, id(B));
    put_data(KD_PACKET_STATE_MANIPULATE, id(B), manipulate(0x3130, 2), BODY_SIZE);
    check();
    assert_int_equal(whole.count, 3);
    expect_item(0, KD_ITEM_PACKET, KD_FAULT_CUT, 73);
    expect_item(1, KD_ITEM_PACKET, 0, 16);
    expect_item(2, KD_ITEM_PACKET, 0, 73);
}

static void test_random_bytes_and_damage(void **state)
{
    static const char alphabet[] = "0000iiii\x02\x04\x05\x06\x01\xaa\x62x";
    static const char noise[60] = "0000ii iiii 0000\x02";
    (void)state;
    for (int round = 0; round < 300; round++) {
        in.size = 0;
        for (int part = 0; part < 12; part++) {
            size_t junk = (size_t)rand() % 40;
            while (junk--) {
                in.at[in.size++] = (uint8_t)(rand() % 4 ? alphabet[rand() % 16] : 0);
            }
            if (rand() % 2)
                put_control(KD_PACKET_ACKNOWLEDGE, id(A));
            if (rand() % 2)
                put_data(KD_PACKET_DEBUG_IO, id(A), noise, (size_t)rand() % 60);
        }
        for (int flips = rand() % 6; flips > 0; flips--)
            in.at[(size_t)rand() % in.size] = (uint8_t)rand();
        check();
        check_input(KD_FRAMING_KDNET, in.at, in.size);
    }
}

/* ---- real traffic ---- */

static bool load(const char *name)
{
    char path[4096];
    const char *folder = getenv("KDWIRE_CAPTURES");
    snprintf(path, sizeof(path), "%s/windows-kdnet/%s", folder ? folder : KDWIRE_CAPTURES_DEFAULT,
             name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        print_message("%s is not there: skipped\n", path);
        return false;
    }
    in.size = fread(in.at, 1, sizeof(in.at), file);
    fclose(file);
    return true;
}

static size_t good_packets(void)
{
    size_t good = 0;
    for (size_t i = 0; i < whole.count; i++)
        good += whole.items[i].kind == KD_ITEM_PACKET && !whole.items[i].faults;
    return good;
}

/* The real packets in serial framing: a trailer behind each data packet. */
static void as_serial(void)
{
    static uint8_t kdnet[INPUT_MAX];
    split(&whole, KD_FRAMING_KDNET, in.at, in.size, 0);
    memcpy(kdnet, in.at, in.size);
    in.size = 0;
    for (size_t i = 0; i < whole.count; i++) {
        put(kdnet + whole.items[i].at, whole.items[i].size);
        if (whole.items[i].body_size)
            in.at[in.size++] = KD_TRAILER;
    }
}

static void check_real(const char *name, size_t packets)
{
    if (!load(name))
        skip();
    check_input(KD_FRAMING_KDNET, in.at, in.size);
    assert_int_equal(whole.count, packets);
    assert_int_equal(good_packets(), packets);
    as_serial();
    check_input(KD_FRAMING_SERIAL, in.at, in.size);
    assert_int_equal(whole.count, packets);
    assert_int_equal(good_packets(), packets);
}

static void test_real_packets_to_debugger(void **state)
{
    (void)state;
    check_real("kd-target-to-host.bin", 264);
}

static void test_real_packets_to_target(void **state)
{
    (void)state;
    check_real("kd-host-to-target.bin", 262);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_packets_and_break_ins, clear),
        cmocka_unit_test_setup(test_console_text_is_junk, clear),
        cmocka_unit_test_setup(test_long_junk_comes_in_pieces, clear),
        cmocka_unit_test_setup(test_a_leader_in_a_good_body_is_data, clear),
        cmocka_unit_test_setup(test_faults, clear),
        cmocka_unit_test_setup(test_end_cuts, clear),
        cmocka_unit_test_setup(test_lost_byte_does_not_take_the_next_packet, clear),
        cmocka_unit_test_setup(test_flipped_body_with_leaders_stays_whole, clear),
        cmocka_unit_test_setup(test_flipped_length_recovers_by_flush, clear),
        cmocka_unit_test_setup(test_random_bytes_and_damage, clear),
        cmocka_unit_test_setup(test_real_packets_to_debugger, clear),
        cmocka_unit_test_setup(test_real_packets_to_target, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
