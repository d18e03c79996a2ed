/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that follow each other, and viewers that come late or are slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kdwire/error.h"
#include "session.h"

static struct recorder recorder;
static struct capture_file file;
static char folder[] = "capture-test-XXXXXX"; /* in the folder the test runs in */

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void start(enum capture_format format)
{
    const struct recorder_config config = {
        .writer = {.format = format, .framing = CAPTURE_UPPER_PDU}};
    assert_int_equal(recorder_init(&recorder, &config), KD_OK);
}

static int start_file(struct capture_file_config config)
{
    assert_int_equal(capture_file_init(&file, &config), KD_OK);
    return recorder_add_sink(&recorder, &file.sink);
}

static void stop_file(void)
{
    recorder_remove_sink(&recorder, &file.sink);
    assert_int_equal(capture_file_close(&file), KD_OK);
}

/* Notes are records of a known size; NUMBER tells them apart. */
static void record_note(unsigned number, uint64_t time_ns)
{
    char text[32];
    snprintf(text, sizeof(text), "note %03u", number);
    recorder_note(&recorder, CAPTURE_FROM_TARGET, time_ns, text);
}

/* Reads bytes until a reader is done; counts notes and checks that they follow FIRST. */
static unsigned count_notes(struct capture_reader *reader, const uint8_t *bytes, size_t size,
                            unsigned first)
{
    struct capture_record record;
    unsigned count = 0;
    int code;
    while ((code = capture_reader_next(reader, &bytes, &size, &record)) > 0) {
        char text[32];
        snprintf(text, sizeof(text), "note %03u", first + count);
        assert_int_equal(record.comment_size, strlen(text));
        assert_memory_equal(record.comment, text, strlen(text));
        count++;
    }
    assert_int_equal(code, 0);
    return count;
}

/* How many notes, from FIRST, are in the file; it must be complete in itself. Removes it. */
static unsigned take_file(const char *name, unsigned first)
{
    static uint8_t bytes[1 << 20];
    FILE *stream = fopen(in_folder(name), "rb");
    if (!stream)
        fail_msg("%s is missing", in_folder(name));
    size_t size = fread(bytes, 1, sizeof(bytes), stream);
    fclose(stream);
    struct capture_reader *reader = capture_reader_new(NULL);
    unsigned count = count_notes(reader, bytes, size, first);
    assert_int_equal(capture_reader_end(reader), KD_OK);
    capture_reader_free(reader);
    assert_int_equal(remove(in_folder(name)), 0);
    return count;
}

static void files_rotate_by_size_and_are_complete(void **state)
{
    (void)state;
    start(CAPTURE_PCAPNG);
    assert_int_equal(start_file((struct capture_file_config){.path = in_folder("size.pcapng"),
                                                             .rotate_size = 2000}),
                     KD_OK);
    for (unsigned i = 0; i < 40; i++)
        record_note(i, i + 1);
    unsigned files = file.number;
    stop_file();
    assert_true(files > 2);
    unsigned found = 0;
    for (unsigned i = 1; i <= files; i++) {
        char name[32];
        struct stat about;
        snprintf(name, sizeof(name), "size_%05u.pcapng", i);
        assert_int_equal(stat(in_folder(name), &about), 0);
        assert_true(about.st_size <= 2000);
        found += take_file(name, found);
    }
    assert_int_equal(found, 40);
}

static void files_rotate_by_time(void **state)
{
    (void)state;
    start(CAPTURE_PCAPNG);
    assert_int_equal(start_file((struct capture_file_config){.path = in_folder("time.pcapng"),
                                                             .rotate_time_ns = 1000}),
                     KD_OK);
    record_note(0, 5000);
    record_note(1, 5999);
    record_note(2, 6000);
    record_note(3, 5000); /* a clock that was set back does not rotate */
    record_note(4, 7000);
    stop_file();
    assert_int_equal(take_file("time_00001.pcapng", 0), 2);
    assert_int_equal(take_file("time_00002.pcapng", 2), 2);
    assert_int_equal(take_file("time_00003.pcapng", 4), 1);
}

static void old_files_of_this_run_are_removed_when_asked(void **state)
{
    (void)state;
    start(CAPTURE_PCAPNG);
    FILE *older = fopen(in_folder("ring_00001.pcapng"), "wb");
    assert_non_null(older);
    fclose(older);
    assert_int_equal(start_file((struct capture_file_config){
                         .path = in_folder("ring.pcapng"), .rotate_time_ns = 1, .keep = 2}),
                     KD_OK);
    for (unsigned i = 0; i < 5; i++)
        record_note(i, i + 1);
    stop_file();
    /* an earlier run's file was neither overwritten nor removed */
    assert_int_equal(remove(in_folder("ring_00001.pcapng")), 0);
    assert_int_equal(access(in_folder("ring_00004.pcapng"), F_OK), -1);
    assert_int_equal(take_file("ring_00005.pcapng", 3), 1);
    assert_int_equal(take_file("ring_00006.pcapng", 4), 1);
}

static void an_existing_file_is_replaced_only_when_asked(void **state)
{
    (void)state;
    start(CAPTURE_PCAPNG);
    assert_int_equal(start_file((struct capture_file_config){.path = in_folder("one.pcapng")}),
                     KD_OK);
    record_note(0, 1);
    stop_file();
    assert_int_equal(start_file((struct capture_file_config){.path = in_folder("one.pcapng")}),
                     KD_E_EXISTS);
    assert_int_equal(take_file("one.pcapng", 0), 1);
    for (unsigned run = 0; run < 2; run++) {
        assert_int_equal(start_file((struct capture_file_config){.path = in_folder("one.pcapng"),
                                                                 .replace = true}),
                         KD_OK);
        record_note(7, 1);
        stop_file();
    }
    assert_int_equal(take_file("one.pcapng", 7), 1);
}

static void a_file_that_cannot_be_made_says_why(void **state)
{
    (void)state;
    start(CAPTURE_PCAPNG);
    assert_int_equal(start_file((struct capture_file_config){.path = "no/such/folder/x.pcapng"}),
                     KD_E_IO);
    assert_int_not_equal(file.error_number, 0);
    assert_int_equal(recorder.sink_count, 0);
    assert_int_equal(capture_file_init(&file, &(struct capture_file_config){.path = ""}),
                     KD_E_ARGUMENT);
}

static void a_file_of_somebody_else_is_stepped_over(void **state)
{
    (void)state;
    start(CAPTURE_PCAPNG);
    assert_int_equal(start_file((struct capture_file_config){
                         .path = in_folder("mine.pcapng"), .rotate_time_ns = 1, .keep = 1}),
                     KD_OK);
    record_note(0, 1);
    FILE *other = fopen(in_folder("mine_00002.pcapng"), "wb");
    assert_non_null(other);
    fclose(other);
    record_note(1, 2);
    record_note(2, 3);
    record_note(3, 4);
    stop_file();
    struct stat about;
    assert_int_equal(stat(in_folder("mine_00002.pcapng"), &about), 0);
    assert_int_equal(about.st_size, 0);
    assert_int_equal(remove(in_folder("mine_00002.pcapng")), 0);
    assert_int_equal(take_file("mine_00001.pcapng", 0), 1); /* older than what is counted */
    assert_int_equal(access(in_folder("mine_00003.pcapng"), F_OK), -1);
    assert_int_equal(access(in_folder("mine_00004.pcapng"), F_OK), -1);
    assert_int_equal(take_file("mine_00005.pcapng", 3), 1);
}

static struct capture_sink *failed_sink;
static int failed_code;

static void note_failure(void *context, struct capture_sink *sink, int code)
{
    (void)context;
    failed_sink = sink;
    failed_code = code;
}

/* The limit on file sizes stands for a full disk: a write that is done in part
 * (blocks are multiples of four bytes). */
static void a_full_disk_ends_the_file_and_is_reported(void **state)
{
    (void)state;
    static const struct rlimit small = {5002, RLIM_INFINITY};
    static const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    start(CAPTURE_PCAPNG);
    recorder.config.sink_failed = note_failure;
    failed_sink = NULL;
    assert_int_equal(start_file((struct capture_file_config){.path = in_folder("full.pcapng")}),
                     KD_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (unsigned i = 0; i < 100; i++)
        record_note(i, i + 1); /* the session goes on */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_ptr_equal(failed_sink, &file.sink);
    assert_int_equal(failed_code, KD_E_IO);
    assert_int_equal(file.error_number, EFBIG);
    assert_int_equal(recorder.sink_count, 0);
    assert_int_equal(capture_file_close(&file), KD_OK);

    static uint8_t bytes[8192];
    FILE *stream = fopen(in_folder("full.pcapng"), "rb");
    assert_non_null(stream);
    size_t size = fread(bytes, 1, sizeof(bytes), stream);
    fclose(stream);
    struct capture_reader *reader = capture_reader_new(NULL);
    assert_true(count_notes(reader, bytes, size, 0) > 20);
    assert_int_equal(capture_reader_end(reader), KD_E_TRUNCATED);
    capture_reader_free(reader);
    assert_int_equal(remove(in_folder("full.pcapng")), 0);
}

/* A relay is killed in the middle of its work; what it recorded until then is a good file. */
static void a_killed_recorder_leaves_whole_records(void **state)
{
    (void)state;
    const char *path = in_folder("killed.pcapng");
    struct stat about = {0};
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        start(CAPTURE_PCAPNG);
        if (start_file((struct capture_file_config){.path = path}) < 0)
            _exit(1);
        for (unsigned i = 0;; i++)
            record_note(i % 1000, i + 1); /* until killed */
    }
    while (about.st_size < 20000) {
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
        (void)stat(path, &about);
        usleep(100);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    struct capture_reader *reader = capture_reader_new(NULL);
    struct capture_record record;
    uint8_t bytes[65536];
    size_t count = 0;
    for (size_t size; (size = fread(bytes, 1, sizeof(bytes), stream)) > 0;) {
        const uint8_t *at = bytes;
        while (capture_reader_next(reader, &at, &size, &record) > 0)
            count++;
    }
    assert_int_equal(capture_reader_end(reader), KD_OK);
    assert_true(count > 20000 / 200);
    capture_reader_free(reader);
    fclose(stream);
    assert_int_equal(remove(path), 0);
}

/* ---- live viewers ---- */

static struct capture_live live;
static unsigned woken;

static void wake(void *context)
{
    (void)context;
    woken++;
}

static void start_live(void)
{
    start(CAPTURE_PCAPNG);
    assert_int_equal(capture_live_init(&live, 2 * CAPTURE_BLOCK_MAX, &recorder.writer), KD_OK);
    live.ready = wake;
    woken = 0;
}

/* Takes up to MAX bytes out of the queue into BYTES, as a reader would. */
static size_t take(uint8_t *bytes, size_t max)
{
    size_t taken = 0;
    const uint8_t *part;
    for (size_t size; taken < max && (size = capture_live_peek(&live, &part)) > 0;) {
        size = size < max - taken ? size : max - taken;
        memcpy(bytes + taken, part, size);
        capture_live_consume(&live, size);
        taken += size;
    }
    return taken;
}

static void a_late_viewer_gets_the_headers_first(void **state)
{
    (void)state;
    static uint8_t bytes[4 * CAPTURE_BLOCK_MAX];
    start_live();
    record_note(0, 1); /* before anybody looks */
    for (unsigned visit = 0; visit < 3; visit++) {
        assert_int_equal(recorder_add_sink(&recorder, &live.sink), KD_OK);
        record_note(10, 2);
        record_note(11, 3);
        struct capture_reader *reader = capture_reader_new(NULL);
        size_t size = take(bytes, visit == 1 ? 300 : sizeof(bytes)); /* leaves in mid-block */
        unsigned count = count_notes(reader, bytes, size, 10);
        if (visit != 1)
            assert_int_equal(count, 2);
        capture_reader_free(reader);
        recorder_remove_sink(&recorder, &live.sink);
    }
    assert_true(woken >= 3);
    capture_live_free(&live);
}

static void a_slow_viewer_misses_whole_records_and_is_told(void **state)
{
    (void)state;
    static uint8_t bytes[4 * CAPTURE_BLOCK_MAX];
    static const uint8_t payload[8000];
    start_live();
    assert_int_equal(recorder_add_sink(&recorder, &live.sink), KD_OK);
    size_t given = 0, got = 0, gaps = 0;
    struct capture_reader *reader = capture_reader_new(NULL);
    for (unsigned round = 0; round < 200; round++) {
        /* more comes in than goes out, and goes out at odd places */
        recorder_data(&recorder, CAPTURE_FROM_TARGET, round + 1, payload, sizeof(payload));
        given += sizeof(payload);
        size_t size = take(bytes, 5001);
        if (round == 199)
            size += take(bytes + size, sizeof(bytes) - size);
        const uint8_t *at = bytes;
        struct capture_record record;
        while (capture_reader_next(reader, &at, &size, &record) > 0) {
            got += record.payload_size;
            gaps += record.comment && strstr(record.comment, "missing here: ") == record.comment;
        }
        assert_int_equal(size, 0);
    }
    assert_int_equal(capture_reader_end(reader), KD_OK);
    assert_true(got < given);
    assert_true(gaps > 0);
    assert_int_equal(got + live.missed_total * 1024, given - given % 1024);
    capture_reader_free(reader);
    capture_live_free(&live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_rotate_by_size_and_are_complete),
        cmocka_unit_test(files_rotate_by_time),
        cmocka_unit_test(old_files_of_this_run_are_removed_when_asked),
        cmocka_unit_test(an_existing_file_is_replaced_only_when_asked),
        cmocka_unit_test(a_file_that_cannot_be_made_says_why),
        cmocka_unit_test(a_file_of_somebody_else_is_stepped_over),
        cmocka_unit_test(a_full_disk_ends_the_file_and_is_reported),
        cmocka_unit_test(a_killed_recorder_leaves_whole_records),
        cmocka_unit_test(a_late_viewer_gets_the_headers_first),
        cmocka_unit_test(a_slow_viewer_misses_whole_records_and_is_told),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
