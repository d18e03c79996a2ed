/* SPDX-License-Identifier: BSD-2-Clause */
/* What the recorder writes comes back from the reader: every byte once, whatever happens to the
 * file on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/protocol.h"
#include "session.h"

static const struct form {
    enum capture_format format;
    enum capture_framing framing;
    uint16_t link_type;
    const char *dissector;
} forms[] = {
    {CAPTURE_PCAPNG, CAPTURE_UPPER_PDU, CAPTURE_LINK_UPPER_PDU, "kd"},
    {CAPTURE_PCAPNG, CAPTURE_USER0, CAPTURE_LINK_USER0, ""},
    {CAPTURE_PCAPNG, CAPTURE_RAW, CAPTURE_LINK_UPPER_PDU, "kd_stream"},
    {CAPTURE_PCAP_UDP, CAPTURE_UPPER_PDU, CAPTURE_LINK_ETHERNET, ""},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static struct session session;
static struct recorder recorder;
static struct memory_sink sink;

static void record_session(const struct form *form, uint32_t seed, unsigned items)
{
    const struct recorder_config config = {
        .writer = {.format = form->format, .framing = form->framing, .program = "test 1"},
        .stream = KD_FRAMING_SERIAL,
    };
    session_make(&session, seed, items);
    memory_sink_init(&sink);
    assert_int_equal(recorder_init(&recorder, &config), KD_OK);
    assert_int_equal(recorder_add_sink(&recorder, &sink.sink), KD_OK);
    session_play(&session, &recorder);
}

static void drop_session(void)
{
    session_free(&session);
    free(sink.bytes.bytes);
}

struct found {
    struct session_bytes sent[2];
    size_t records;
    int end; /* what the reader said at the end */
    size_t payload_max;
};

/* Reads FILE in pieces of PIECE bytes, each in its own block so that a sanitizer sees overruns. */
static void read_back(const struct form *form, const uint8_t *file, size_t size, size_t piece,
                      struct found *found)
{
    struct capture_reader *reader = capture_reader_new(NULL);
    assert_non_null(reader);
    memset(found, 0, sizeof(*found));
    for (size_t at = 0; at < size; at += piece) {
        size_t left = size - at < piece ? size - at : piece;
        uint8_t *block = malloc(left);
        assert_non_null(block);
        memcpy(block, file + at, left);
        const uint8_t *data = block;
        struct capture_record record;
        int code;
        while ((code = capture_reader_next(reader, &data, &left, &record)) > 0) {
            found->records++;
            assert_int_equal(record.number, found->records);
            assert_true(record.direction <= CAPTURE_FROM_TARGET);
            assert_int_equal(record.content, CAPTURE_CONTENT_KD);
            assert_int_equal(record.link_type, form->link_type);
            assert_string_equal(record.dissector, form->dissector);
            assert_true(record.has_time);
            assert_int_equal(record.missing, 0);
            bytes_add(&found->sent[record.direction], record.payload, record.payload_size);
            if (record.payload_size > found->payload_max)
                found->payload_max = record.payload_size;
        }
        assert_int_equal(code, 0);
        assert_int_equal(left, 0);
        free(block);
    }
    found->end = capture_reader_end(reader);
    capture_reader_free(reader);
}

static void drop_found(struct found *found)
{
    free(found->sent[0].bytes);
    free(found->sent[1].bytes);
}

static void every_byte_once_in_every_form(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 4096, SIZE_MAX};
    for (size_t f = 0; f < FORMS; f++) {
        for (uint32_t seed = 1; seed <= 5; seed++) {
            record_session(&forms[f], seed, 60);
            for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
                struct found found;
                size_t piece = pieces[p] < sink.bytes.size ? pieces[p] : sink.bytes.size;
                read_back(&forms[f], sink.bytes.bytes, sink.bytes.size, piece, &found);
                assert_int_equal(found.end, KD_OK);
                assert_int_equal(found.records, recorder.records);
                for (unsigned i = 0; i < 2; i++) {
                    assert_int_equal(found.sent[i].size, session.sent[i].size);
                    assert_memory_equal(found.sent[i].bytes, session.sent[i].bytes,
                                        session.sent[i].size);
                }
                drop_found(&found);
            }
            drop_session();
        }
    }
}

static void a_file_cut_anywhere_gives_its_whole_records(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        record_session(&forms[f], 42, 6);
        size_t whole = 0; /* blocks that end at or before the cut */
        for (size_t cut = 1; cut <= sink.bytes.size; cut++) {
            struct found found;
            bool at_end = cut == sink.block_end[whole];
            whole += at_end;
            read_back(&forms[f], sink.bytes.bytes, cut, cut, &found);
            assert_int_equal(found.records, whole ? whole - 1 : 0);
            /* blocks of the preamble end at places of their own */
            if (whole)
                assert_int_equal(found.end, at_end ? KD_OK : KD_E_TRUNCATED);
            drop_found(&found);
        }
        assert_int_equal(whole, sink.blocks);
        drop_session();
    }
}

static void files_put_behind_each_other_read_as_one(void **state)
{
    (void)state;
    struct session_bytes both = {0};
    struct found found;
    record_session(&forms[0], 7, 10);
    bytes_add(&both, sink.bytes.bytes, sink.bytes.size);
    bytes_add(&both, sink.bytes.bytes, sink.bytes.size);
    read_back(&forms[0], both.bytes, both.size, 1000, &found);
    assert_int_equal(found.records, 2 * recorder.records);
    assert_int_equal(found.sent[1].size, 2 * session.sent[1].size);
    drop_found(&found);
    drop_session();
    free(both.bytes);
}

static uint32_t checksum_over(uint32_t sum, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    return sum;
}

static uint32_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return sum;
}

/* What kdnet.lua users' filters and Wireshark's own checks look at. */
static void a_fake_frame_is_a_correct_frame(void **state)
{
    (void)state;
    record_session(&forms[3], 3, 40);
    for (size_t i = 1; i < sink.blocks; i++) {
        const uint8_t *frame = sink.bytes.bytes + sink.block_end[i - 1] + 16;
        size_t size = sink.block_end[i] - sink.block_end[i - 1] - 16;
        const uint8_t *ip = frame + 14, *udp = ip + 20;
        bool to_target =
            udp[0] == CAPTURE_PORT_DEBUGGER >> 8 && udp[1] == (CAPTURE_PORT_DEBUGGER & 0xFF);
        assert_int_equal(frame[0] & 3, 2); /* unicast, locally administered */
        assert_int_equal(frame[6] & 3, 2);
        assert_memory_not_equal(frame, frame + 6, 6);
        const uint8_t debugger[4] = {192, 168, 0, 2}, target[4] = {192, 168, 0, 1};
        assert_memory_equal(ip + 12, to_target ? debugger : target, 4);
        assert_memory_equal(ip + 16, to_target ? target : debugger, 4);
        assert_int_equal(ip[2] << 8 | ip[3], size - 14);
        assert_int_equal(udp[4] << 8 | udp[5], size - 34);
        assert_int_equal(fold(checksum_over(0, ip, 20)), 0xFFFF);
        uint32_t pseudo = checksum_over(17 + (uint32_t)(size - 34), ip + 12, 8);
        assert_int_equal(fold(checksum_over(pseudo, udp, size - 34)), 0xFFFF);
    }
    drop_session();
}

static void a_packet_of_full_length_is_one_record(void **state)
{
    (void)state;
    uint8_t body[KD_BODY_MAX];
    memset(body, 0x5A, sizeof(body));
    for (size_t f = 0; f < FORMS; f++) {
        const struct recorder_config config = {
            .writer = {.format = forms[f].format, .framing = forms[f].framing}};
        memset(&session, 0, sizeof(session));
        session_add_data_packet(&session, CAPTURE_FROM_TARGET, 2, 1, body, sizeof(body));
        memory_sink_init(&sink);
        assert_int_equal(recorder_init(&recorder, &config), KD_OK);
        assert_int_equal(recorder_add_sink(&recorder, &sink.sink), KD_OK);
        recorder_data(&recorder, CAPTURE_FROM_TARGET, SESSION_START_NS, session.sent[1].bytes,
                      session.sent[1].size);
        struct found found;
        read_back(&forms[f], sink.bytes.bytes, sink.bytes.size, sink.bytes.size, &found);
        assert_int_equal(found.records, 1);
        assert_int_equal(found.payload_max, KD_PACKET_MAX);
        drop_found(&found);
        drop_session();
    }
}

static void the_writer_refuses_what_it_cannot_hold(void **state)
{
    (void)state;
    static uint8_t payload[CAPTURE_PAYLOAD_MAX + 1], block[CAPTURE_BLOCK_MAX];
    static char text[CAPTURE_TEXT_MAX * 2];
    static struct capture_writer writer;
    struct capture_writer_config config = {.format = CAPTURE_PCAPNG, .framing = CAPTURE_UPPER_PDU};
    struct capture_packet packet = {CAPTURE_FROM_TARGET, 1, payload, sizeof(payload), NULL, NULL};

    /* the longest texts fit everywhere, and are cut between two characters */
    for (size_t i = 0; i + 2 < sizeof(text); i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3); /* the euro sign */
    config.program = config.comment = config.debugger_name = config.target_name = text;
    assert_int_equal(capture_writer_init(&writer, &config), KD_OK);
    assert_int_equal(capture_write(&writer, &packet, block, sizeof(block)), KD_E_TOO_LONG);
    packet.payload_size = CAPTURE_PAYLOAD_MAX;
    packet.comment = text;
    int size = capture_write(&writer, &packet, block, sizeof(block));
    assert_true(size > CAPTURE_PAYLOAD_MAX);
    assert_int_equal(capture_write(&writer, &packet, block, (size_t)size - 1), KD_E_NO_SPACE);
    assert_int_equal(capture_write(&writer, &packet, block, (size_t)size), size);
    packet.direction = CAPTURE_FROM_UNKNOWN;
    assert_int_equal(capture_write(&writer, &packet, block, sizeof(block)), KD_E_ARGUMENT);

    struct capture_reader *reader = capture_reader_new(NULL);
    struct capture_record record;
    const uint8_t *at = writer.preamble;
    size_t left = writer.preamble_size;
    assert_int_equal(capture_reader_next(reader, &at, &left, &record), 0);
    at = block;
    left = (size_t)size;
    assert_int_equal(capture_reader_next(reader, &at, &left, &record), 1);
    assert_int_equal(record.comment_size, CAPTURE_TEXT_MAX / 3 * 3);
    assert_int_equal(record.interface, 1);
    assert_string_equal(record.interface_name, "target");
    capture_reader_free(reader);

    config.format = CAPTURE_PCAP_UDP;
    assert_int_equal(capture_writer_init(&writer, &config), KD_OK);
    packet = (struct capture_packet){CAPTURE_FROM_TARGET, 1, NULL, 0, "a comment alone", NULL};
    assert_int_equal(capture_write(&writer, &packet, block, sizeof(block)), 0);
}

static void blocks_that_wake_are_no_records(void **state)
{
    uint8_t block[CAPTURE_WAKE_SIZE];
    struct found found;
    (void)state;
    record_session(&forms[0], 7, 20);
    capture_write_wake(UINT64_C(1700000000123456789), block);
    for (unsigned i = 0; i < 3; i++)
        bytes_add(&sink.bytes, block, sizeof(block));
    read_back(&forms[0], sink.bytes.bytes, sink.bytes.size, 7, &found);
    assert_int_equal(found.end, KD_OK);
    assert_int_equal(found.records, recorder.records);
    drop_found(&found);
    drop_session();
}

static void datagrams_keep_their_ends_and_the_key(void **state)
{
    (void)state;
    static uint8_t block[CAPTURE_BLOCK_MAX];
    static struct capture_writer writer;
    static const uint8_t datagram[] = "MDBG\4\1 and so on, forty bytes in all....";
    struct capture_writer_config config = {
        .format = CAPTURE_PCAPNG, .framing = CAPTURE_DATAGRAMS, .secret = "key=1.2.3.4\n"};
    struct capture_ends ends = {4, {192, 0, 2, 1}, {192, 0, 2, 7}, 50000, 50001};
    const struct capture_packet packet = {.time_ns = SESSION_START_NS,
                                          .payload = datagram,
                                          .payload_size = sizeof(datagram),
                                          .ends = &ends};
    struct capture_reader *reader = capture_reader_new(NULL);
    struct capture_record record;
    assert_int_equal(capture_writer_init(&writer, &config), KD_OK);
    const uint8_t *at = writer.preamble;
    size_t left = writer.preamble_size;
    assert_int_equal(capture_reader_next(reader, &at, &left, &record), 0);
    assert_string_equal(capture_reader_secret(reader), "key=1.2.3.4\n");
    for (ends.ip_version = 4; ends.ip_version <= 6; ends.ip_version += 2) {
        int size = capture_write(&writer, &packet, block, sizeof(block));
        assert_true(size > 0);
        at = block;
        left = (size_t)size;
        assert_int_equal(capture_reader_next(reader, &at, &left, &record), 1);
        assert_int_equal(record.content, CAPTURE_CONTENT_KDNET);
        assert_int_equal(record.link_type, CAPTURE_LINK_ETHERNET);
        assert_int_equal(record.ip_version, ends.ip_version);
        assert_memory_equal(record.source, ends.source, ends.ip_version == 6 ? 16 : 4);
        assert_memory_equal(record.destination, ends.destination, ends.ip_version == 6 ? 16 : 4);
        assert_int_equal(record.source_port, 50000);
        assert_int_equal(record.destination_port, 50001);
        assert_int_equal(record.time_ns, SESSION_START_NS);
        assert_int_equal(record.payload_size, sizeof(datagram));
        assert_memory_equal(record.payload, datagram, sizeof(datagram));
    }
    capture_reader_free(reader);

    config.secret = NULL;
    assert_int_equal(capture_writer_init(&writer, &config), KD_OK);
    for (size_t i = 0; i + 4 <= writer.preamble_size; i++)
        assert_memory_not_equal(writer.preamble + i, "key=", 4);
    const struct capture_packet nowhere = {.payload = datagram, .payload_size = 1};
    assert_int_equal(capture_write(&writer, &nowhere, block, sizeof(block)), KD_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_once_in_every_form),
        cmocka_unit_test(a_file_cut_anywhere_gives_its_whole_records),
        cmocka_unit_test(files_put_behind_each_other_read_as_one),
        cmocka_unit_test(a_fake_frame_is_a_correct_frame),
        cmocka_unit_test(a_packet_of_full_length_is_one_record),
        cmocka_unit_test(the_writer_refuses_what_it_cannot_hold),
        cmocka_unit_test(blocks_that_wake_are_no_records),
        cmocka_unit_test(datagrams_keep_their_ends_and_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
