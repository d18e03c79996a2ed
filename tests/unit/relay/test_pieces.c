/* SPDX-License-Identifier: BSD-2-Clause */
/* The pure pieces of the relay: pace, tap and batch, monitor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/error.h"
#include "kdwire/protocol.h"
#include "relay/monitor.h"
#include "relay/pace.h"
#include "relay/tap.h"

#define MS 1000000u

/* ---- pace ---- */

static void test_pace_texts(void **state)
{
    struct pace pace;
    (void)state;
    assert_true(pace_parse(&pace, "16/5000"));
    assert_int_equal(pace.bytes, 16);
    assert_int_equal(pace.interval_ns, 5 * MS);
    assert_true(pace_parse(&pace, "11520"));
    assert_int_equal(pace.bytes, 115);
    assert_int_equal(pace.interval_ns, 10 * MS);
    assert_true(pace_parse(&pace, "10/s")); /* fewer bytes than pieces: one byte each */
    assert_int_equal(pace.bytes, 1);
    assert_int_equal(pace.interval_ns, 100 * MS);
    static const char *const wrong[] = {
        "", "0", "-1", "x", "16/", "16/0", "16/x", "1 2", "99999999999999999999", "1/999999999"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(pace_parse(&pace, wrong[i]));
}

static void test_pace_gives_no_more_than_its_rate(void **state)
{
    struct pace pace;
    uint64_t now = 1000 * MS, start = now;
    size_t sent = 0;
    (void)state;
    assert_true(pace_parse(&pace, "16/5000"));
    for (int i = 0; i < 1000; i++, now += pace_wait(&pace, now) + (unsigned)i % 7)
        sent += pace_take(&pace, now, 10);
    assert_true(sent >= 5000);
    assert_true(sent <= ((now - start) / (5 * MS) + 1) * 16);
    assert_int_equal(pace_take(&(struct pace){0}, now, 12345), 12345); /* no pacing */
}

/* ---- tap and batch ---- */

struct heard {
    size_t reads, size;
    uint64_t last_ns;
    uint8_t bytes[TAP_SIZE];
};

static void hear(void *context, enum capture_direction direction, uint64_t time_ns,
                 const uint8_t *bytes, size_t size)
{
    struct heard *heard = context;
    assert_int_equal(direction, heard->reads % 2);
    assert_true(time_ns > heard->last_ns);
    heard->last_ns = time_ns;
    memcpy(heard->bytes + heard->size, bytes, size);
    heard->size += size;
    heard->reads++;
}

static void test_tap_gives_back_all_reads_in_order(void **state)
{
    static struct tap tap;
    static struct heard heard;
    static uint8_t bytes[TAP_DIRECT + 1], sent[TAP_SIZE];
    size_t reads = 0, size = 0;
    (void)state;
    for (;; reads++) {
        size_t count = reads * 37 % 700;
        memset(bytes, (int)reads, count);
        if (!tap_add(&tap, (enum capture_direction)(reads % 2), reads + 1, bytes, count))
            break;
        memcpy(sent + size, bytes, count);
        size += count;
    }
    assert_true(size > TAP_SIZE / 2);
    tap_drain(&tap, hear, &heard);
    assert_int_equal(heard.reads, reads);
    assert_int_equal(heard.size, size);
    assert_memory_equal(heard.bytes, sent, size);
    assert_int_equal(tap.size, 0);
    assert_false(tap_add(&tap, CAPTURE_FROM_TARGET, 1, bytes, TAP_DIRECT + 1)); /* bulk */
}

struct fake_file {
    struct capture_sink sink;
    unsigned writes;
    int fails;
    size_t size;
    uint8_t bytes[4 * BATCH_SIZE];
};

static int fake_begin(struct capture_sink *sink, const uint8_t *preamble, size_t size)
{
    (void)sink, (void)preamble, (void)size;
    return KD_OK;
}

static int fake_write(struct capture_sink *sink, const uint8_t *block, size_t size,
                      uint64_t time_ns)
{
    struct fake_file *file = (struct fake_file *)sink;
    (void)time_ns;
    if (file->fails)
        return file->fails;
    memcpy(file->bytes + file->size, block, size);
    file->size += size;
    file->writes++;
    return KD_OK;
}

static void test_batch_writes_everything_in_few_pieces(void **state)
{
    static struct fake_file file = {.sink = {fake_begin, fake_write}};
    static struct batch batch;
    static uint8_t blocks[3 * BATCH_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(blocks); i++)
        blocks[i] = (uint8_t)(i / 1000);
    assert_int_equal(batch_start(&batch, &file.sink, 0), KD_OK);
    for (size_t at = 0; at < sizeof(blocks); at += 4096)
        assert_int_equal(batch.sink.write(&batch.sink, blocks + at, 4096, at), KD_OK);
    assert_int_equal(batch_flush(&batch), KD_OK);
    assert_int_equal(batch_flush(&batch), KD_OK); /* nothing twice */
    assert_int_equal(batch_stop(&batch), KD_OK);
    assert_int_equal(file.size, sizeof(blocks));
    assert_memory_equal(file.bytes, blocks, sizeof(blocks));
    assert_int_equal(file.writes, 3);
    assert_int_equal(batch_start(&batch, &file.sink, 1600),
                     KD_OK); /* small rotated files: a block above the limit passes */
    file.size = file.writes = 0;
    assert_int_equal(batch.sink.write(&batch.sink, blocks, 60, 0), KD_OK);
    assert_int_equal(batch.sink.write(&batch.sink, blocks + 60, 4000, 0), KD_OK);
    assert_int_equal(file.writes, 2);
    assert_memory_equal(file.bytes, blocks, 4060);
    file.fails = KD_E_IO;
    assert_int_equal(batch.sink.write(&batch.sink, blocks, 60, 0), KD_OK);
    assert_int_equal(batch_stop(&batch), KD_E_IO);
    assert_int_equal(batch_stop(&batch), KD_OK); /* not running: nothing to do */
}

/* ---- monitor ---- */

static struct kd_item data_packet(uint16_t type, uint32_t id, const uint8_t *body, size_t size)
{
    return (struct kd_item){.kind = KD_ITEM_PACKET,
                            .header = {KD_LEADER_DATA, type, (uint16_t)size, id, 0},
                            .body = body,
                            .body_size = size,
                            .raw = body,
                            .raw_size = size};
}

static void test_monitor_counts_resends_and_round_trips(void **state)
{
    uint8_t body[KD_MANIPULATE_SIZE] = {0x30, 0x31};
    struct monitor monitor;
    (void)state;
    monitor_init(&monitor);
    struct kd_item item = data_packet(KD_PACKET_STATE_MANIPULATE, 0x80800000, body, sizeof(body));
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_DEBUGGER, 10 * MS, &item), 0);
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_DEBUGGER, 12 * MS, &item), MONITOR_RESEND);
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, 15 * MS, &item), 0);
    assert_int_equal(monitor.side[CAPTURE_FROM_DEBUGGER].resends, 1);
    assert_int_equal(monitor.round_trips, 1);
    assert_int_equal(monitor.round_trip_last_ns, 5 * MS); /* from the first request */
    item.header.id = 0x80800001;
    item.faults = KD_FAULT_CHECKSUM;
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, 16 * MS, &item), 0);
    assert_int_equal(monitor.side[CAPTURE_FROM_TARGET].damaged, 1);
}

static void test_monitor_remembers_the_last_stop(void **state)
{
    uint8_t body[KD_STATE_CHANGE_SIZE] = {0};
    struct monitor monitor;
    (void)state;
    monitor_init(&monitor);
    KD_PUT(body, StateChange, NewState, KD_STATE_EXCEPTION);
    KD_PUT(body, Exception, ExceptionCode, KD_STATUS_BREAKPOINT);
    const struct kd_item item =
        data_packet(KD_PACKET_STATE_CHANGE64, 0x80800800, body, sizeof(body));
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, MS, &item), MONITOR_STOP);
    assert_true(*monitor.last_stop);
    assert_true(strlen(monitor.last_stop) < MONITOR_TEXT_MAX);
    assert_int_equal(monitor.stops, 1);
}

static struct kd_item junk(const char *text)
{
    return (struct kd_item){
        .kind = KD_ITEM_JUNK, .raw = (const uint8_t *)text, .raw_size = strlen(text)};
}

static void test_monitor_knows_a_console(void **state)
{
    struct monitor monitor;
    struct kd_item item = junk("\x1b[0m\r\nlogin: ");
    (void)state;
    monitor_init(&monitor);
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, 1, &item), 0); /* too little */
    item = junk("root\r\nPassword: ");
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_DEBUGGER, 2, &item), 0);
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, 3, &item), MONITOR_CONSOLE);
    assert_string_equal(monitor.console, "[0m login: root Password: ");
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, 4, &item), 0); /* once */
    monitor_target_up(&monitor);
    item = junk("\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90");
    assert_int_equal(monitor_item(&monitor, CAPTURE_FROM_TARGET, 5, &item), 0); /* no text */
}

static void test_monitor_need_not_wait_for_a_whole_item(void **state)
{
    static struct kd_stream stream;
    struct monitor monitor;
    struct kd_item item;
    const uint8_t *bytes;
    (void)state;
    monitor_init(&monitor);
    kd_stream_init(&stream, KD_FRAMING_SERIAL);
    kd_stream_feed(&stream, (const uint8_t *)"[ 1.000", 7, &item);
    assert_int_equal(kd_stream_junk(&stream, &bytes), 4); /* "000" may begin a packet */
    for (int i = 0; i < 9; i++) /* the same bytes again do not count again */
        assert_int_equal(monitor_pending_junk(&monitor, bytes, 4), MONITOR_NOTHING);
    kd_stream_feed(&stream, (const uint8_t *)"] link is up", 12, &item);
    assert_int_equal(kd_stream_junk(&stream, &bytes), 19);
    assert_int_equal(monitor_pending_junk(&monitor, bytes, 19), MONITOR_CONSOLE);
    assert_string_equal(monitor.console, "[ 1.000] link is up");
    assert_int_equal(monitor_pending_junk(&monitor, bytes, 19), MONITOR_NOTHING); /* once */
    kd_stream_init(&stream, KD_FRAMING_SERIAL);
    kd_stream_feed(&stream, (const uint8_t *)"0000\7\0some text of a packet", 27, &item);
    assert_int_equal(kd_stream_junk(&stream, &bytes), 0);
}

static void test_monitor_knows_a_silent_target(void **state)
{
    struct monitor monitor;
    (void)state;
    monitor_init(&monitor);
    assert_int_equal(monitor_tick(&monitor, MONITOR_SILENT_NS * 9), 0); /* nobody asked */
    monitor_data(&monitor, CAPTURE_FROM_DEBUGGER, MS);
    assert_int_equal(monitor_tick(&monitor, MONITOR_SILENT_NS), 0);
    assert_int_equal(monitor_tick(&monitor, MONITOR_SILENT_NS + MS), MONITOR_SILENT);
    assert_int_equal(monitor_tick(&monitor, MONITOR_SILENT_NS + 2 * MS), 0); /* once */
    monitor_data(&monitor, CAPTURE_FROM_TARGET, MONITOR_SILENT_NS + 3 * MS);
    assert_int_equal(monitor_tick(&monitor, MONITOR_SILENT_NS * 9), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace_texts),
        cmocka_unit_test(test_pace_gives_no_more_than_its_rate),
        cmocka_unit_test(test_tap_gives_back_all_reads_in_order),
        cmocka_unit_test(test_batch_writes_everything_in_few_pieces),
        cmocka_unit_test(test_monitor_counts_resends_and_round_trips),
        cmocka_unit_test(test_monitor_remembers_the_last_stop),
        cmocka_unit_test(test_monitor_knows_a_console),
        cmocka_unit_test(test_monitor_need_not_wait_for_a_whole_item),
        cmocka_unit_test(test_monitor_knows_a_silent_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
