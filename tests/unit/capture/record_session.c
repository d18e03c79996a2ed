/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records a made-up session for the tests that read recordings with Wireshark's own tools:
 *     record-session FORM SEED ITEMS FILE
 * FORM: upper-pdu, user0, raw or pcap-udp. FILE may be a FIFO. Prints one line per read back:
 * direction, time in ns, payload in hex, comment (or -).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "session.h"

static struct session session;
static struct recorder recorder;
static struct memory_sink memory;
static struct capture_file file;

static int choose_form(const char *name, struct capture_writer_config *config)
{
    static const char *const names[] = {"upper-pdu", "user0", "raw"};
    config->format = CAPTURE_PCAPNG;
    if (!strcmp(name, "pcap-udp")) {
        config->format = CAPTURE_PCAP_UDP;
        return 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (!strcmp(name, names[i])) {
            config->framing = (enum capture_framing)i;
            return 0;
        }
    }
    return -1;
}

static void print_records(void)
{
    struct capture_reader *reader = capture_reader_new(NULL);
    const uint8_t *at = memory.bytes.bytes;
    size_t left = memory.bytes.size;
    struct capture_record record;
    while (reader && capture_reader_next(reader, &at, &left, &record) > 0) {
        printf("%d\t%" PRIu64 "\t", (int)record.direction, record.time_ns);
        for (size_t i = 0; i < record.payload_size; i++)
            printf("%02x", record.payload[i]);
        if (record.comment)
            printf("\t%.*s\n", (int)record.comment_size, record.comment);
        else
            printf("\t-\n");
    }
    capture_reader_free(reader);
}

int main(int argc, char **argv)
{
    struct recorder_config config = {
        .writer = {.program = "kdwire test",
                   .comment = "a made-up session",
                   .debugger_name = "unix-listen:kd.sock",
                   .target_name = "tcp:localhost:7001"},
        .stream = KD_FRAMING_SERIAL,
    };
    if (argc != 5 || choose_form(argv[1], &config.writer) < 0)
        return 2;
    session_make(&session, (uint32_t)strtoul(argv[2], NULL, 10),
                 (unsigned)strtoul(argv[3], NULL, 10));
    memory_sink_init(&memory);
    const struct capture_file_config to = {.path = argv[4], .replace = true};
    int code = recorder_init(&recorder, &config);
    if (code >= 0)
        code = capture_file_init(&file, &to);
    if (code >= 0)
        code = recorder_add_sink(&recorder, &memory.sink);
    if (code >= 0)
        code = recorder_add_sink(&recorder, &file.sink);
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", argv[4], kd_error_text(code));
        return 1;
    }
    session_play(&session, &recorder);
    recorder_note(&recorder, CAPTURE_FROM_TARGET, SESSION_START_NS, "the end");
    if (capture_file_close(&file) < 0)
        return 1;
    print_records();
    session_free(&session);
    free(memory.bytes.bytes);
    return 0;
}
