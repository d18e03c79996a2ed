/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that other programs wrote, in both byte orders, and files that nobody should have
 * written. Built by hand here, so that writer and reader cannot share a mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"
#include "session.h"

/* ---- A builder of blocks in either byte order ---- */

static struct session_bytes file;
static bool big_endian;
static size_t block_at;

static void put(uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[big_endian ? size - 1 - i : i] = (uint8_t)(value >> 8 * i);
    bytes_add(&file, bytes, size);
}

static void put_u16(uint16_t value)
{
    put(value, 2);
}

static void put_u32(uint32_t value)
{
    put(value, 4);
}

static void put_u64(uint64_t value)
{
    put(value, 8);
}

static void put_padded(const void *bytes, size_t size)
{
    bytes_add(&file, bytes, size);
    bytes_add(&file, "\0\0\0", (4 - size % 4) % 4);
}

static void set_u32(size_t at, uint32_t value)
{
    size_t size = file.size;
    file.size = at;
    put_u32(value);
    file.size = size;
}

static void begin(uint32_t type)
{
    block_at = file.size;
    put_u32(type);
    put_u32(0);
}

static void end(void)
{
    uint32_t size = (uint32_t)(file.size - block_at + 4);
    put_u32(size);
    set_u32(block_at + 4, size);
}

static void option(uint16_t code, const void *value, uint16_t size)
{
    put_u16(code);
    put_u16(size);
    put_padded(value, size);
}

static void section(bool big)
{
    big_endian = big;
    begin(0x0A0D0D0A);
    put_u32(0x1A2B3C4D);
    put_u16(1);
    put_u16(0);
    put_u64(UINT64_MAX);
    end();
}

static void interface(uint16_t link, uint32_t snap, const char *name, int resolution,
                      int64_t offset)
{
    begin(1);
    put_u16(link);
    put_u16(0);
    put_u32(snap);
    if (name)
        option(2, name, (uint16_t)strlen(name));
    uint8_t byte = (uint8_t)resolution;
    if (resolution >= 0)
        option(9, &byte, 1);
    if (offset) {
        put_u16(14);
        put_u16(8);
        put_u64((uint64_t)offset);
    }
    put_u32(0);
    end();
}

static void packet(uint32_t number, uint64_t time, const char *payload, uint32_t original)
{
    begin(6);
    put_u32(number);
    put_u32((uint32_t)(time >> 32));
    put_u32((uint32_t)time);
    put_u32((uint32_t)strlen(payload));
    put_u32(original);
    put_padded(payload, strlen(payload));
    end();
}

static int start_file(void **state)
{
    (void)state;
    memset(&file, 0, sizeof(file));
    big_endian = false;
    return 0;
}

static int drop_file(void **state)
{
    (void)state;
    free(file.bytes);
    return 0;
}

/* ---- Reading it ---- */

static struct capture_reader *reader;
static const uint8_t *at;
static size_t left;
static uint8_t *exact; /* the file in a block of its own size, so that a sanitizer sees overruns */

static void open_file(void)
{
    exact = malloc(file.size ? file.size : 1);
    assert_non_null(exact);
    if (file.size)
        memcpy(exact, file.bytes, file.size);
    at = exact;
    left = file.size;
    reader = capture_reader_new(NULL);
    assert_non_null(reader);
}

static struct capture_record next(void)
{
    struct capture_record record;
    int code = capture_reader_next(reader, &at, &left, &record);
    if (code != 1)
        fail_msg("%s: %s", kd_error_name(code), capture_reader_problem(reader));
    return record;
}

static void close_file(int last, int at_end)
{
    struct capture_record record;
    assert_int_equal(capture_reader_next(reader, &at, &left, &record), last);
    assert_int_equal(capture_reader_end(reader), at_end);
    capture_reader_free(reader);
    free(exact);
}

static void assert_payload(struct capture_record record, const char *payload)
{
    assert_int_equal(record.payload_size, strlen(payload));
    assert_memory_equal(record.payload, payload, strlen(payload));
}

/* ---- pcapng ---- */

static void sections_of_both_byte_orders_in_one_file(void **state)
{
    (void)state;
    for (unsigned big = 0; big < 2; big++) {
        section(big);
        interface(147, 0, "debugger", 9, 0);
        interface(147, 0, "target", 6, 0);
        packet(0, 1700000000123456789u, "from debugger", 13);
        packet(1, 1700000000123456u, "from target", 99);
    }
    open_file();
    for (unsigned i = 0; i < 2; i++) {
        struct capture_record record = next();
        assert_payload(record, "from debugger");
        assert_int_equal(record.direction, CAPTURE_FROM_DEBUGGER);
        assert_int_equal(record.time_ns, 1700000000123456789u);
        assert_string_equal(record.interface_name, "debugger");
        record = next();
        assert_payload(record, "from target");
        assert_int_equal(record.direction, CAPTURE_FROM_TARGET);
        assert_int_equal(record.time_ns, 1700000000123456000u);
        assert_int_equal(record.missing, 88);
        assert_int_equal(record.number, 2 * i + 2);
    }
    assert_string_equal(capture_reader_format(reader), "pcapng");
    close_file(0, KD_OK);
}

static void times_of_every_resolution(void **state)
{
    (void)state;
    static const struct {
        int resolution;
        int64_t offset;
        uint64_t time, ns;
    } cases[] = {
        {-1, 0, 1000001, 1000001000},                           /* the default: microseconds */
        {0, 0, 17, 17000000000},                                /* seconds */
        {12, 0, 1000000000123, 1000000000},                     /* picoseconds */
        {127, 0, UINT64_MAX, 0},                                /* absurdly fine */
        {0, 0, UINT64_MAX, UINT64_MAX},                         /* absurdly late: saturates */
        {0x80 | 1, 0, 3, 1500000000},                           /* half seconds */
        {0x80 | 32, 0, (5ull << 32) | 0x80000000u, 5500000000}, /* NTP-like */
        {0x80 | 63, 0, 3ull << 62, 1500000000},
        {0x80 | 64, 0, 1ull << 63, 500000000},
        {0x80 | 127, 0, UINT64_MAX, 0},
        {6, 100, 1, 100000001000}, /* an offset in seconds */
        {6, -1, 3000000, 2000000000},
        {6, INT64_MIN, 1, 0},
        {6, INT64_MAX, 1, UINT64_MAX},
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    section(true);
    for (uint32_t i = 0; i < CASES; i++) {
        interface(147, 0, NULL, cases[i].resolution, cases[i].offset);
        packet(i, cases[i].time, "x", 1);
    }
    open_file();
    for (uint32_t i = 0; i < CASES; i++) {
        struct capture_record record = next();
        if (record.time_ns != cases[i].ns)
            fail_msg("case %u: %llu", (unsigned)i, (unsigned long long)record.time_ns);
    }
    close_file(0, KD_OK);
}

static void packets_of_every_block_type(void **state)
{
    (void)state;
    section(false);
    interface(147, 8, NULL, -1, 0);
    begin(3); /* simple: cut to the interface's snap length, no time */
    put_u32(20);
    put_padded("12345678", 8);
    end();
    begin(2); /* the obsolete packet block, with a drop count in the upper half of the first word */
    put_u16(0);
    put_u16(7);
    put_u32(0);
    put_u32(5);
    put_u32(3);
    put_u32(3);
    put_padded("abc", 3);
    uint8_t flags[4] = {2, 0, 0, 0};
    option(2, flags, 4);
    option(1, "remark", 6);
    option(1, "second remark", 13);
    put_u32(0);
    end();
    begin(0x0BAD); /* an unknown block */
    put_padded("something", 9);
    end();
    begin(5); /* statistics */
    put_u64(0);
    end();
    packet(0, 9, "last", 4);
    open_file();
    struct capture_record record = next();
    assert_payload(record, "12345678");
    assert_false(record.has_time);
    assert_int_equal(record.missing, 12);
    assert_int_equal(record.direction, CAPTURE_FROM_UNKNOWN);
    record = next();
    assert_payload(record, "abc");
    assert_int_equal(record.time_ns, 5000);
    assert_int_equal(record.direction, CAPTURE_FROM_DEBUGGER);
    assert_int_equal(record.comment_size, 6);
    assert_memory_equal(record.comment, "remark", 6);
    assert_payload(next(), "last");
    close_file(0, KD_OK);
}

static void a_huge_block_without_interest_is_skipped_not_held(void **state)
{
    (void)state;
    static const uint8_t filler[65536];
    struct capture_record record;
    section(false);
    interface(147, 0, NULL, -1, 0);
    open_file();
    assert_int_equal(capture_reader_next(reader, &at, &left, &record), 0);
    file.size = 0;
    put_u32(0x0BAD);
    put_u32(0x40000000); /* 1 GiB */
    at = file.bytes;
    left = file.size;
    assert_int_equal(capture_reader_next(reader, &at, &left, &record), 0);
    for (uint32_t gone = 8; gone < 0x40000000;) {
        size_t size = 0x40000000 - gone < sizeof(filler) ? 0x40000000 - gone : sizeof(filler);
        gone += (uint32_t)size;
        at = filler;
        left = size;
        assert_int_equal(capture_reader_end(reader), KD_E_TRUNCATED);
        assert_int_equal(capture_reader_next(reader, &at, &left, &record), 0);
    }
    assert_int_equal(capture_reader_end(reader), KD_OK);
    file.size = 0;
    packet(0, 1, "behind it", 9);
    at = file.bytes;
    left = file.size;
    assert_payload(next(), "behind it");
    close_file(0, KD_OK);
}

static void damaged_blocks_end_the_reading_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        size_t from_block; /* what to overwrite in the last block */
        uint32_t value;
        int code;
        const char *reason;
    } cases[] = {
        {4, 0, KD_E_FORMAT, "impossible length"},
        {4, 13, KD_E_FORMAT, "impossible length"},
        {4, 0x7FFFFFFC, KD_E_TOO_LONG, "more than 1 MiB"},
        {4, 16, KD_E_FORMAT, "two lengths differ"},
        {8, 1, KD_E_FORMAT, "not described"},
        {8, 0xFFFFFFFF, KD_E_FORMAT, "not described"},
        {20, 5, KD_E_FORMAT, "longer than its block"},
        {20, 0xFFFFFFFF, KD_E_FORMAT, "longer than its block"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned big = 0; big < 2; big++) {
            file.size = 0;
            section(big);
            interface(147, 0, NULL, -1, 0);
            packet(0, 1, "good", 4);
            size_t block = file.size;
            packet(0, 1, "hurt", 4);
            set_u32(block + cases[i].from_block, cases[i].value);
            open_file();
            assert_payload(next(), "good");
            struct capture_record record;
            assert_int_equal(capture_reader_next(reader, &at, &left, &record), cases[i].code);
            assert_non_null(strstr(capture_reader_problem(reader), cases[i].reason));
            close_file(cases[i].code, cases[i].code); /* the error stays */
        }
    }
}

static void headers_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint32_t value;
        int code;
    } cases[] = {
        {8, 0x12345678, KD_E_FORMAT}, /* byte-order mark */
        {4, 16, KD_E_FORMAT},         /* length */
        {12, 2, KD_E_UNSUPPORTED},    /* version 2.0 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        file.size = 0;
        section(false);
        set_u32(cases[i].offset, cases[i].value);
        open_file();
        close_file(cases[i].code, cases[i].code);
    }
    file.size = 0;
    section(false);
    for (unsigned i = 0; i < 300; i++)
        interface(147, 0, NULL, -1, 0);
    open_file();
    close_file(KD_E_TOO_LONG, KD_E_TOO_LONG);
    file.size = 0;
    bytes_add(&file, "\x1F\x8B\x08\x00", 4);
    open_file();
    close_file(KD_E_UNSUPPORTED, KD_E_UNSUPPORTED);
}

static void blocks_that_are_too_short_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        size_t least; /* bytes such a block has at least, without type and lengths */
    } cases[] = {{0x0A0D0D0A, 16}, {1, 8}, {2, 20}, {3, 4}, {6, 20}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t size = cases[i].type == 0x0A0D0D0A ? 4 : 0; size < cases[i].least; size += 4) {
            file.size = 0;
            section(false);
            interface(147, 0, NULL, -1, 0);
            begin(cases[i].type);
            put_u32(0x1A2B3C4D);
            for (size_t done = 4; done < size; done += 4)
                put_u32(0);
            file.size = block_at + 8 + size;
            end();
            open_file();
            close_file(KD_E_FORMAT, KD_E_FORMAT);
        }
    }
}

static void options_that_lie_are_ignored(void **state)
{
    (void)state;
    section(false);
    begin(1);
    put_u16(147);
    put_u16(0);
    put_u32(0);
    put_u16(2); /* a name of 60000 bytes in a block of 28 */
    put_u16(60000);
    put_u32(0);
    end();
    char name[200];
    memset(name, 'n', sizeof(name));
    begin(1);
    put_u16(147);
    put_u16(0);
    put_u32(0);
    option(2, name, sizeof(name));
    option(9, "", 0); /* a resolution without a byte */
    end();
    packet(0, 1, "a", 1);
    packet(1, 1, "b", 1);
    open_file();
    assert_string_equal(next().interface_name, "");
    struct capture_record record = next();
    assert_int_equal(strlen(record.interface_name), 63);
    assert_int_equal(record.time_ns, 1000);
    close_file(0, KD_OK);
}

/* ---- pcap ---- */

static void pcap_of_all_four_kinds(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        bool nano = kind & 1;
        file.size = 0;
        big_endian = kind & 2;
        put_u32(nano ? 0xA1B23C4D : 0xA1B2C3D4);
        put_u16(2);
        put_u16(4);
        put_u64(0);
        put_u32(65535);
        put_u32(147);
        put_u32(1700000000);
        put_u32(123456);
        put_u32(5);
        put_u32(9);
        bytes_add(&file, "hello", 5);
        open_file();
        struct capture_record record = next();
        assert_payload(record, "hello");
        assert_int_equal(record.missing, 4);
        assert_int_equal(record.time_ns, 1700000000000000000u + (nano ? 123456u : 123456000u));
        assert_int_equal(record.link_type, 147);
        assert_string_equal(capture_reader_format(reader), "pcap");
        close_file(0, KD_OK);

        put_u32(1);
        put_u32(1);
        put_u32(0xFFFFFFFF);
        put_u32(0xFFFFFFFF);
        open_file();
        assert_payload(next(), "hello");
        close_file(KD_E_FORMAT, KD_E_FORMAT);
    }
}

/* ---- Frames ---- */

static void frame(uint16_t link, const char *hex)
{
    uint8_t bytes[512];
    size_t size = 0;
    for (const char *digit = hex; *digit;) {
        unsigned value;
        if (*digit == ' ') {
            digit++;
            continue;
        }
        assert_int_equal(sscanf(digit, "%2x", &value), 1);
        bytes[size++] = (uint8_t)value;
        digit += 2;
    }
    file.size = 0;
    section(false);
    interface(link, 0, NULL, -1, 0);
    begin(6);
    put_u32(0);
    put_u64(0);
    put_u32((uint32_t)size);
    put_u32((uint32_t)size);
    put_padded(bytes, size);
    uint8_t flags[4] = {1, 0, 0, 0}; /* "inbound" of a network card */
    option(2, flags, 4);
    end();
}

#define MACS        "020000000001 020000000002 "
#define IPV4_UDP    "4500 0024 0000 4000 4011 0000 0a000001 0a000002 "
#define KD_PORTS    "c7a7 c7a8 0010 0000 " /* 51111 -> 51112 */
#define KDNET_PORTS "c7a7 c7a7 0010 0000 "
#define EIGHT       "6162636465666768"
#define MDBG        "4d44424704000000"

static void frames_of_every_link_type(void **state)
{
    (void)state;
    static const struct {
        uint16_t link;
        const char *hex;
        enum capture_content content;
        enum capture_direction direction;
        size_t size;
    } cases[] = {
        {1, MACS "0800" IPV4_UDP KD_PORTS EIGHT, CAPTURE_CONTENT_KD, CAPTURE_FROM_DEBUGGER, 8},
        /* padding of the Ethernet frame is not payload */
        {1, MACS "0800" IPV4_UDP "c7a8 c7a7 0010 0000" EIGHT "000000000000", CAPTURE_CONTENT_KD,
         CAPTURE_FROM_TARGET, 8},
        /* KDNET uses one port for both ends: direction is inside */
        {1, MACS "0800" IPV4_UDP KDNET_PORTS MDBG, CAPTURE_CONTENT_KDNET, CAPTURE_FROM_UNKNOWN, 8},
        {1, MACS "0800" IPV4_UDP "0035 c7a8 0010 0000" EIGHT, CAPTURE_CONTENT_UDP,
         CAPTURE_FROM_UNKNOWN, 8},
        /* two VLAN tags */
        {1, MACS "88a8 0001 8100 0002 0800" IPV4_UDP KD_PORTS EIGHT, CAPTURE_CONTENT_KD,
         CAPTURE_FROM_DEBUGGER, 8},
        /* IPv6 with a hop-by-hop extension */
        {1,
         MACS "86dd 60000000 0018 0040 fe800000000000000000000000000001"
              "fe800000000000000000000000000002 1100000000000000" KDNET_PORTS MDBG,
         CAPTURE_CONTENT_KDNET, CAPTURE_FROM_UNKNOWN, 8},
        /* TCP with options */
        {1,
         MACS "0800 4500 0034 0000 4000 4006 0000 0a000001 0a000002 1b59 c000 01020304 00000000"
              "6018 ffff 0000 0000 01010101" EIGHT,
         CAPTURE_CONTENT_TCP, CAPTURE_FROM_UNKNOWN, 8},
        {101, IPV4_UDP KD_PORTS EIGHT, CAPTURE_CONTENT_KD, CAPTURE_FROM_DEBUGGER, 8},
        {0, "02000000" IPV4_UDP KD_PORTS EIGHT, CAPTURE_CONTENT_KD, CAPTURE_FROM_DEBUGGER, 8},
        {113, "0000 0001 0006 020000000001 0000 0800" IPV4_UDP KD_PORTS EIGHT, CAPTURE_CONTENT_KD,
         CAPTURE_FROM_DEBUGGER, 8},
        {276, "0800 0000 00000002 0001 00 06 0200000000010000" IPV4_UDP KD_PORTS EIGHT,
         CAPTURE_CONTENT_KD, CAPTURE_FROM_DEBUGGER, 8},
        /* what cannot be taken apart stays whole: fragment, short header, ARP, cut frames */
        {1, MACS "0800 4500 0024 0000 2000 4011 0000 0a000001 0a000002" KD_PORTS EIGHT,
         CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN, 50},
        {1, MACS "0800 4100 0024 0000 4000 4011 0000 0a000001 0a000002" KD_PORTS EIGHT,
         CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN, 50},
        {1, MACS "0806 0001", CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN, 16},
        {1, MACS, CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN, 12},
        {1, MACS "0800 45", CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN, 15},
        {101, "", CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN, 0},
        /* a UDP length below its own header */
        {101, IPV4_UDP "c7a7 c7a8 0007 0000" EIGHT, CAPTURE_CONTENT_OTHER, CAPTURE_FROM_UNKNOWN,
         36},
        /* segmentation offload: a total length of 0 */
        {101, "4500 0000 0000 4000 4011 0000 0a000001 0a000002" KD_PORTS EIGHT, CAPTURE_CONTENT_KD,
         CAPTURE_FROM_DEBUGGER, 8},
        /* exported PDUs: name kd, sent; a foreign name; no end tag; a tag longer than the frame */
        {252, "000c0004 6b640000 00230004 00000000 00000000" EIGHT, CAPTURE_CONTENT_KD,
         CAPTURE_FROM_DEBUGGER, 8},
        {252, "000c0004 64617461 00000000" EIGHT, CAPTURE_CONTENT_OTHER, CAPTURE_FROM_TARGET, 8},
        {252, "000c0008 6b646e6574000000 00000000" MDBG, CAPTURE_CONTENT_KDNET, CAPTURE_FROM_TARGET,
         8},
        {252, "000c0004 6b640000", CAPTURE_CONTENT_OTHER, CAPTURE_FROM_TARGET, 8},
        {252, "000cffff 6b640000", CAPTURE_CONTENT_OTHER, CAPTURE_FROM_TARGET, 8},
        {252, "0023000400000000 0014000a 0102030405060708090a 00000000" EIGHT,
         CAPTURE_CONTENT_OTHER, CAPTURE_FROM_DEBUGGER, 8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        frame(cases[i].link, cases[i].hex);
        open_file();
        struct capture_record record = next();
        if (record.content != cases[i].content || record.direction != cases[i].direction ||
            record.payload_size != cases[i].size)
            fail_msg("case %zu: content %d direction %d size %zu", i, record.content,
                     record.direction, record.payload_size);
        close_file(0, KD_OK);
    }
}

static void addresses_and_ports_are_told(void **state)
{
    (void)state;
    frame(1, MACS "0800 4500 0034 0000 4000 4006 0000 0a000001 0a000002 1b59 c000 01020304 00000000"
                  "6018 ffff 0000 0000 01010101" EIGHT);
    open_file();
    struct capture_record record = next();
    assert_int_equal(record.ip_version, 4);
    assert_memory_equal(record.source, "\x0A\0\0\1", 4);
    assert_memory_equal(record.destination, "\x0A\0\0\2", 4);
    assert_int_equal(record.source_port, 7001);
    assert_int_equal(record.destination_port, 0xC000);
    assert_int_equal(record.tcp_sequence, 0x01020304);
    close_file(0, KD_OK);
}

/* ---- TCP ---- */

/* One segment from the client (port 49152) or the server (port 7001). */
static void segment(bool from_client, uint32_t sequence, uint8_t flags, const char *payload,
                    size_t size)
{
    bool was_big = big_endian;
    begin(6);
    put_u32(0);
    put_u64(0);
    put_u32((uint32_t)(40 + size));
    put_u32((uint32_t)(40 + size));
    size_t start = file.size;
    big_endian = true; /* as on the network */
    put_u16(0x4500);
    put_u16((uint16_t)(40 + size));
    put_u32(0x00004000);
    put_u32(0x40060000);
    put_u32(from_client ? 0x0A000001 : 0x0A000002);
    put_u32(from_client ? 0x0A000002 : 0x0A000001);
    put_u16(from_client ? 49152 : 7001);
    put_u16(from_client ? 7001 : 49152);
    put_u32(sequence);
    put_u32(0);
    put_u16((uint16_t)(0x5000 | flags));
    put_u16(0xFFFF);
    put_u32(0);
    bytes_add(&file, payload, size);
    big_endian = was_big;
    bytes_add(&file, "\0\0\0", (4 - (file.size - start) % 4) % 4);
    end();
}

static const char ack[] = "iiii\4\0\0\0\0\0\x80\x80\0\0\0\0";
enum { ACK_SIZE = 16 };

/* tcpdump of a virtual machine's serial port: KD is found, nothing counts twice. */
static void kd_over_tcp_is_found(void **state)
{
    (void)state;
    const uint32_t client = 0xFFFFFFF0, server = 5000; /* the client's number wraps */
    section(false);
    interface(101, 0, NULL, -1, 0);
    segment(true, client - 1, 2, "", 0);       /* SYN */
    segment(false, server - 1, 18, "", 0);     /* SYN, ACK */
    segment(false, server, 16, "boot\r\n", 6); /* not KD yet */
    segment(true, client, 24, ack, ACK_SIZE);
    segment(true, client, 24, ack, ACK_SIZE);                 /* sent again */
    segment(true, client + 8, 24, ack + 8, 8);                /* a part of it, too */
    segment(true, client + ACK_SIZE - 1, 16, "", 1);          /* keep-alive probe */
    segment(true, client + 8, 24, "\0\0\0\0\0\0\0\0new", 11); /* old bytes and new ones */
    segment(false, server + 106, 24, ack, ACK_SIZE);          /* 100 bytes were not captured */
    open_file();
    assert_int_equal(next().content, CAPTURE_CONTENT_TCP);
    assert_int_equal(next().content, CAPTURE_CONTENT_TCP);
    assert_payload(next(), "boot\r\n");
    struct capture_record record = next();
    assert_int_equal(record.content, CAPTURE_CONTENT_KD);
    assert_int_equal(record.direction, CAPTURE_FROM_DEBUGGER);
    assert_int_equal(record.payload_size, ACK_SIZE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(next().payload_size, 0);
    assert_payload(next(), "new");
    record = next();
    assert_int_equal(record.direction, CAPTURE_FROM_TARGET);
    assert_int_equal(record.content, CAPTURE_CONTENT_KD);
    assert_int_equal(record.payload_size, ACK_SIZE);
    assert_int_equal(record.missing, 100);
    close_file(0, KD_OK);
}

static void a_capture_begun_in_mid_connection_goes_by_the_port(void **state)
{
    (void)state;
    section(false);
    interface(101, 0, NULL, -1, 0);
    segment(false, 1, 24, ack, ACK_SIZE);
    segment(true, 1, 24, ack, ACK_SIZE);
    open_file();
    assert_int_equal(next().direction, CAPTURE_FROM_TARGET);
    assert_int_equal(next().direction, CAPTURE_FROM_DEBUGGER);
    close_file(0, KD_OK);
}

static void a_new_connection_of_the_same_ports_begins_anew(void **state)
{
    (void)state;
    section(false);
    interface(101, 0, NULL, -1, 0);
    segment(true, 1000, 2, "", 0);
    segment(true, 1001, 24, ack, ACK_SIZE);
    segment(true, 500, 2, "", 0);
    segment(true, 500, 2, "", 0); /* repeated, as a SYN is when no answer comes */
    segment(true, 501, 24, "text", 4);
    segment(true, 505, 24, ack, ACK_SIZE);
    open_file();
    (void)next();
    assert_int_equal(next().content, CAPTURE_CONTENT_KD);
    (void)next();
    (void)next();
    struct capture_record record = next();
    assert_payload(record, "text");
    assert_int_equal(record.missing, 0);
    assert_int_equal(next().payload_size, ACK_SIZE);
    close_file(0, KD_OK);
}

/* ---- Raw streams ---- */

static void bytes_that_are_no_capture_file_are_a_raw_stream(void **state)
{
    (void)state;
    static const char *const streams[] = {"b", "0000 a packet", "\x0A\x0Dtext", "\xA1\xB2\xC3??"};
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct session_bytes got = {0};
        struct capture_record record;
        struct capture_reader *raw = capture_reader_new(NULL);
        for (size_t j = 0; j < strlen(streams[i]); j++) {
            const uint8_t *byte = (const uint8_t *)streams[i] + j;
            size_t size = 1;
            while (capture_reader_next(raw, &byte, &size, &record) > 0) {
                bytes_add(&got, record.payload, record.payload_size);
                assert_int_equal(record.link_type, CAPTURE_LINK_NONE);
            }
        }
        assert_string_equal(capture_reader_format(raw), "raw");
        assert_int_equal(capture_reader_end(raw), KD_OK);
        assert_int_equal(got.size, strlen(streams[i]));
        assert_memory_equal(got.bytes, streams[i], got.size);
        capture_reader_free(raw);
        free(got.bytes);
    }
}

static void a_raw_stream_may_be_asked_for(void **state)
{
    (void)state;
    const struct capture_reader_config config = {CAPTURE_INPUT_RAW, CAPTURE_FROM_TARGET};
    struct capture_reader *raw = capture_reader_new(&config);
    struct capture_record record;
    const uint8_t *bytes = (const uint8_t *)"\x0A\x0D\x0D\x0A";
    size_t size = 4;
    assert_int_equal(capture_reader_next(raw, &bytes, &size, &record), 1);
    assert_int_equal(record.payload_size, 4);
    assert_int_equal(record.direction, CAPTURE_FROM_TARGET);
    assert_int_equal(capture_reader_next(raw, &bytes, &size, &record), 0);
    capture_reader_free(raw);
}

static void the_beginning_of_a_header_is_a_truncated_file(void **state)
{
    (void)state;
    bytes_add(&file, "\x0A\x0D\x0D", 3);
    open_file();
    close_file(0, KD_E_TRUNCATED);
    file.size = 0;
    open_file();
    close_file(0, KD_OK); /* empty: nothing recorded, nothing wrong */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_file, drop_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sections_of_both_byte_orders_in_one_file),
        TEST(times_of_every_resolution),
        TEST(packets_of_every_block_type),
        TEST(a_huge_block_without_interest_is_skipped_not_held),
        TEST(damaged_blocks_end_the_reading_with_a_reason),
        TEST(headers_that_make_no_sense_are_refused),
        TEST(blocks_that_are_too_short_are_refused),
        TEST(options_that_lie_are_ignored),
        TEST(pcap_of_all_four_kinds),
        TEST(frames_of_every_link_type),
        TEST(addresses_and_ports_are_told),
        TEST(kd_over_tcp_is_found),
        TEST(a_capture_begun_in_mid_connection_goes_by_the_port),
        TEST(a_new_connection_of_the_same_ports_begins_anew),
        TEST(bytes_that_are_no_capture_file_are_a_raw_stream),
        TEST(a_raw_stream_may_be_asked_for),
        TEST(the_beginning_of_a_header_is_a_truncated_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
