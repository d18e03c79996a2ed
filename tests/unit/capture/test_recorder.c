/* SPDX-License-Identifier: BSD-2-Clause */
/* What the recorder makes of a session: records, their times and comments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/protocol.h"
#include "session.h"

static struct session session;
static struct recorder recorder;
static struct memory_sink sink;
static unsigned items, failures;
static int failure_code;

static void count_item(void *context, enum capture_direction direction, uint64_t time_ns,
                       const struct kd_item *item)
{
    (void)context;
    (void)direction;
    (void)time_ns;
    items += item->kind == KD_ITEM_PACKET;
}

static void note_failure(void *context, struct capture_sink *failed, int code)
{
    (void)context;
    (void)failed;
    failures++;
    failure_code = code;
}

static int set_up_with(enum capture_framing framing, enum kd_framing stream)
{
    const struct recorder_config config = {
        .writer = {.format = CAPTURE_PCAPNG, .framing = framing},
        .stream = stream,
        .item = count_item,
        .sink_failed = note_failure,
    };
    items = failures = 0;
    memset(&session, 0, sizeof(session));
    memory_sink_init(&sink);
    if (recorder_init(&recorder, &config) < 0)
        return -1;
    return recorder_add_sink(&recorder, &sink.sink);
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(CAPTURE_UPPER_PDU, KD_FRAMING_SERIAL);
}

static int tear_down(void **state)
{
    (void)state;
    session_free(&session);
    free(sink.bytes.bytes);
    return 0;
}

struct seen {
    enum capture_direction direction;
    uint64_t time_ns;
    size_t size;
    char comment[CAPTURE_TEXT_MAX + 1];
    uint8_t payload[KD_PACKET_MAX];
};
enum { SEEN_MAX = 64 };
static struct seen seen[SEEN_MAX];

/* Reads what was recorded into seen[]; returns how many records. */
static size_t look(void)
{
    struct capture_reader *reader = capture_reader_new(NULL);
    const uint8_t *at = sink.bytes.bytes;
    size_t left = sink.bytes.size, count = 0;
    struct capture_record record;
    while (capture_reader_next(reader, &at, &left, &record) > 0) {
        assert_true(count < SEEN_MAX);
        struct seen *one = &seen[count++];
        memset(one, 0, sizeof(*one));
        one->direction = record.direction;
        one->time_ns = record.time_ns;
        one->size = record.payload_size;
        assert_true(record.payload_size <= sizeof(one->payload));
        memcpy(one->payload, record.payload, record.payload_size);
        if (record.comment)
            memcpy(one->comment, record.comment, record.comment_size);
    }
    assert_int_equal(capture_reader_end(reader), KD_OK);
    capture_reader_free(reader);
    return count;
}

static void play(enum capture_direction from, uint64_t time_ns, size_t at, size_t size)
{
    recorder_data(&recorder, from, time_ns, session.sent[from].bytes + at, size);
}

static void a_record_has_the_time_of_its_first_byte(void **state)
{
    (void)state;
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, KD_PACKET_DEBUG_IO, 1,
                            "0123456789abcdef", 16); /* 33 bytes */
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, KD_PACKET_DEBUG_IO, 2, "x", 1);
    play(CAPTURE_FROM_TARGET, 1000, 0, 10);
    play(CAPTURE_FROM_TARGET, 2000, 10, 10);
    play(CAPTURE_FROM_TARGET, 3000, 20, 16); /* the end of the first, three bytes of the second */
    play(CAPTURE_FROM_TARGET, 4000, 36, session.sent[1].size - 36);
    assert_int_equal(look(), 2);
    assert_int_equal(seen[0].time_ns, 1000);
    assert_int_equal(seen[1].time_ns, 3000);
    assert_string_equal(seen[0].comment, "first packet from the target");
    assert_string_equal(seen[1].comment, "");
    assert_int_equal(items, 2);
}

static void byte_by_byte_gives_the_same_records(void **state)
{
    (void)state;
    uint8_t body[KD_BODY_MAX] = {1};
    session_add_data_packet(&session, CAPTURE_FROM_DEBUGGER, 2, 1, body, sizeof(body));
    session_add_control_packet(&session, CAPTURE_FROM_DEBUGGER, KD_PACKET_ACKNOWLEDGE, 1);
    for (size_t i = 0; i < session.sent[0].size; i++)
        play(CAPTURE_FROM_DEBUGGER, 1000 + i, i, 1);
    assert_int_equal(look(), 2);
    assert_int_equal(seen[0].time_ns, 1000);
    assert_int_equal(seen[0].size, KD_PACKET_MAX);
    assert_int_equal(seen[1].time_ns, 1000 + KD_PACKET_MAX);
}

static void damage_is_commented_on(void **state)
{
    (void)state;
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, 3, 1, "first", 5);
    size_t second = session.sent[1].size;
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, 3, 1, "second", 6);
    session.sent[1].bytes[second + KD_HEADER_SIZE] ^= 1;
    bytes_add(&session.sent[1], "rest of damage", 14);
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, 3, 1, "third", 5);
    session_play(&session, &recorder); /* nothing: no reads were cut */
    play(CAPTURE_FROM_TARGET, 1, 0, session.sent[1].size);
    assert_int_equal(look(), 4);
    assert_non_null(strstr(seen[1].comment, "bad checksum: the header says 0x0000027c"));
    assert_string_equal(seen[2].comment, "resynchronising: 14 bytes that belong to no packet");
    assert_string_equal(seen[3].comment, "");
}

static void a_missing_trailer_and_an_absurd_length_are_commented_on(void **state)
{
    (void)state;
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, 3, 1, "trailer", 7);
    session.sent[1].bytes[session.sent[1].size - 1] = 0xAB;
    session_add_control_packet(&session, CAPTURE_FROM_TARGET, 4, 1);
    session.sent[1].bytes[session.sent[1].size - KD_HEADER_SIZE + 6] = 9; /* ByteCount of an ACK */
    play(CAPTURE_FROM_TARGET, 1, 0, session.sent[1].size);
    recorder_flush(&recorder, CAPTURE_FROM_TARGET);
    size_t count = look(), size = 0;
    bool trailer = false, length = false;
    for (size_t i = 0; i < count; i++) {
        trailer |= strstr(seen[i].comment, "no trailer byte 0xAA") != NULL;
        length |= strstr(seen[i].comment, "impossible length") != NULL;
        size += seen[i].size;
    }
    assert_true(trailer);
    assert_true(length);
    assert_int_equal(size, session.sent[1].size);
}

static void a_packet_that_stops_coming_is_written_at_its_deadline(void **state)
{
    (void)state;
    const uint64_t start = SESSION_START_NS;
    session_add_data_packet(&session, CAPTURE_FROM_DEBUGGER, 2, 1, "0123456789", 10);
    assert_int_equal(recorder_deadline(&recorder), UINT64_MAX);
    play(CAPTURE_FROM_DEBUGGER, start, 0, 12);
    play(CAPTURE_FROM_DEBUGGER, start + 5, 12, 8);
    uint64_t deadline = recorder_deadline(&recorder);
    assert_int_equal(deadline, start + 5 + RECORDER_BYTE_TIMEOUT_NS);
    recorder_tick(&recorder, deadline - 1);
    assert_int_equal(look(), 0);
    recorder_tick(&recorder, deadline);
    assert_int_equal(look(), 1);
    assert_int_equal(seen[0].time_ns, start);
    assert_int_equal(seen[0].size, 20);
    assert_non_null(strstr(seen[0].comment, "cut: 20 bytes came, the rest did not"));
    assert_int_equal(recorder_deadline(&recorder), UINT64_MAX);
}

static void a_lost_connection_cuts_its_own_direction_only(void **state)
{
    (void)state;
    session_add_data_packet(&session, CAPTURE_FROM_DEBUGGER, 2, 1, "0123456789", 10);
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, 2, 1, "0123456789", 10);
    play(CAPTURE_FROM_DEBUGGER, 1, 0, 20);
    play(CAPTURE_FROM_TARGET, 2, 0, 20);
    recorder_flush(&recorder, CAPTURE_FROM_TARGET);
    play(CAPTURE_FROM_DEBUGGER, 3, 20, session.sent[0].size - 20);
    assert_int_equal(look(), 2);
    assert_int_equal(seen[0].direction, CAPTURE_FROM_TARGET);
    assert_int_equal(seen[0].size, 20);
    assert_int_equal(seen[1].direction, CAPTURE_FROM_DEBUGGER);
    assert_int_equal(seen[1].size, session.sent[0].size);
}

static void notes_and_drops_are_comments_of_empty_records(void **state)
{
    (void)state;
    recorder_note(&recorder, CAPTURE_FROM_UNKNOWN, 5, "debugger connected from 127.0.0.1:50000");
    recorder_dropped(&recorder, CAPTURE_FROM_TARGET, 6, 1234, "the debugger end is down");
    recorder_dropped(&recorder, CAPTURE_FROM_TARGET, 7, 0, "nothing happened");
    assert_int_equal(look(), 2);
    assert_string_equal(seen[0].comment, "debugger connected from 127.0.0.1:50000");
    assert_int_equal(seen[0].size, 0);
    assert_string_equal(seen[1].comment, "dropped: 1234 bytes from the target were not delivered: "
                                         "the debugger end is down");
    assert_int_equal(seen[1].direction, CAPTURE_FROM_TARGET);
    assert_int_equal(seen[1].time_ns, 6);
    assert_int_equal(recorder.dropped, 1234);
}

static void raw_framing_keeps_the_reads(void **state)
{
    (void)state;
    free(sink.bytes.bytes);
    assert_int_equal(set_up_with(CAPTURE_RAW, KD_FRAMING_SERIAL), KD_OK);
    session_add_data_packet(&session, CAPTURE_FROM_TARGET, 3, 1, "0123456789", 10);
    play(CAPTURE_FROM_TARGET, 10, 0, 5);
    play(CAPTURE_FROM_TARGET, 20, 5, session.sent[1].size - 5);
    assert_int_equal(look(), 2);
    assert_int_equal(seen[0].size, 5);
    assert_int_equal(seen[1].time_ns, 20);
    assert_int_equal(items, 1); /* packets are still counted */
}

static void a_sink_that_fails_is_taken_out_and_the_others_go_on(void **state)
{
    (void)state;
    static struct memory_sink other;
    memory_sink_init(&other);
    assert_int_equal(recorder_add_sink(&recorder, &other.sink), KD_OK);
    recorder_note(&recorder, CAPTURE_FROM_TARGET, 1, "one");
    sink.fail_with = KD_E_IO;
    recorder_note(&recorder, CAPTURE_FROM_TARGET, 2, "two");
    recorder_note(&recorder, CAPTURE_FROM_TARGET, 3, "three");
    assert_int_equal(failures, 1);
    assert_int_equal(failure_code, KD_E_IO);
    assert_int_equal(sink.blocks, 2);
    assert_int_equal(other.blocks, 4);
    free(other.bytes.bytes);
}

static void there_is_room_for_so_many_sinks_and_no_more(void **state)
{
    (void)state;
    static struct memory_sink many[RECORDER_SINKS_MAX];
    for (unsigned i = 0; i < RECORDER_SINKS_MAX; i++) {
        memory_sink_init(&many[i]);
        int code = recorder_add_sink(&recorder, &many[i].sink);
        assert_int_equal(code, i + 1 < RECORDER_SINKS_MAX ? KD_OK : KD_E_NO_SPACE);
    }
    recorder_remove_sink(&recorder, &many[0].sink);
    recorder_note(&recorder, CAPTURE_FROM_TARGET, 1, "after the first one left");
    assert_int_equal(many[0].blocks, 1);
    assert_int_equal(many[1].blocks, 2);
    assert_int_equal(sink.blocks, 2);
    for (unsigned i = 0; i < RECORDER_SINKS_MAX; i++)
        free(many[i].bytes.bytes);
}

/* ---- the real session: WinDbg and a Windows 10 boot debugger, over KDNET ---- */

static bool add_file(struct session_bytes *bytes, const char *name)
{
    const char *folder = getenv("KDWIRE_CAPTURES");
    char path[4096];
    uint8_t part[4096];
    snprintf(path, sizeof(path), "%s/windows-kdnet/%s", folder ? folder : KDWIRE_CAPTURES_DEFAULT,
             name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        print_message("%s is absent: skipped\n", path);
        return false;
    }
    for (size_t size; (size = fread(part, 1, sizeof(part), file)) > 0;)
        bytes_add(bytes, part, size);
    fclose(file);
    return true;
}

static void a_real_session_is_one_record_per_packet(void **state)
{
    (void)state;
    free(sink.bytes.bytes);
    assert_int_equal(set_up_with(CAPTURE_UPPER_PDU, KD_FRAMING_KDNET), KD_OK);
    if (!add_file(&session.sent[0], "kd-host-to-target.bin") ||
        !add_file(&session.sent[1], "kd-target-to-host.bin"))
        skip();
    for (unsigned from = 0; from < 2; from++)
        for (size_t at = 0; at < session.sent[from].size; at += 700) {
            size_t left = session.sent[from].size - at;
            play((enum capture_direction)from, at + 1, at, left < 700 ? left : 700);
        }
    assert_int_equal(recorder_deadline(&recorder), UINT64_MAX); /* nothing is held back */
    assert_int_equal(recorder.records, 526);
    assert_int_equal(items, 526);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_record_has_the_time_of_its_first_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(byte_by_byte_gives_the_same_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_commented_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_trailer_and_an_absurd_length_are_commented_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_packet_that_stops_coming_is_written_at_its_deadline,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_connection_cuts_its_own_direction_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(notes_and_drops_are_comments_of_empty_records, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(raw_framing_keeps_the_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sink_that_fails_is_taken_out_and_the_others_go_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(there_is_room_for_so_many_sinks_and_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_real_session_is_one_record_per_packet, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
