/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * WinDbg's own session with a real Windows boot debugger, played against the engine in serial
 * framing: what the capture's target reported, the engine reports; what WinDbg asked, it is asked,
 * and every answer must have the form of the real one - length, status, counts, echoed junk.
 *
 * The capture stays outside the tree: KDWIRE_CAPTURES names its folder; where it is absent the
 * test says so and is skipped.
 */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIRECTIONS = 2, FROM_TARGET = 0, FROM_DEBUGGER = 1, FILE_MAX = 1 << 20 };

static struct {
    uint8_t *bytes[DIRECTIONS];
    size_t size[DIRECTIONS];
    FILE *index;
} capture;

static FILE *open_capture(const char *name)
{
    char path[4096];
    const char *folder = getenv("KDWIRE_CAPTURES");
    (void)snprintf(path, sizeof path, "%s/windows-kdnet/%s",
                   folder ? folder : KDWIRE_CAPTURES_DEFAULT, name);
    return fopen(path, "rb");
}

static int load_capture(void **state)
{
    static const char *const names[] = {"kd-target-to-host.bin", "kd-host-to-target.bin"};
    (void)state;
    for (size_t i = 0; i < DIRECTIONS; i++) {
        FILE *file = open_capture(names[i]);
        if (!file)
            return 0;
        capture.bytes[i] = malloc(FILE_MAX);
        assert_non_null(capture.bytes[i]);
        capture.size[i] = fread(capture.bytes[i], 1, FILE_MAX, file);
        (void)fclose(file);
    }
    capture.index = open_capture("index.txt");
    return 0;
}

static int free_capture(void **state)
{
    (void)state;
    for (size_t i = 0; i < DIRECTIONS; i++)
        free(capture.bytes[i]);
    if (capture.index)
        (void)fclose(capture.index);
    return 0;
}

struct packet {
    unsigned from;
    struct kd_header header;
    const uint8_t *body;
};

/* The next data packet of the capture that is no repeat of its predecessor. */
static bool next_packet(struct packet *p)
{
    static uint32_t last[DIRECTIONS];
    static bool any[DIRECTIONS];
    char line[8192], direction[8], offset[32];
    while (fgets(line, sizeof line, capture.index)) {
        if (line[0] == '#' || sscanf(line, "%*s %*s %7s %*s %31s", direction, offset) != 2)
            continue;
        char *end;
        unsigned long at = strtoul(offset, &end, 10);
        if (*end)
            continue; /* not a KD packet */
        p->from = strcmp(direction, "T>H") == 0 ? FROM_TARGET : FROM_DEBUGGER;
        assert_true(at + KD_HEADER_SIZE <= capture.size[p->from]);
        kd_header_get(&p->header, capture.bytes[p->from] + at);
        p->body = capture.bytes[p->from] + at + KD_HEADER_SIZE;
        assert_true(p->header.byte_count <= capture.size[p->from] - at - KD_HEADER_SIZE);
        if (p->header.leader != KD_LEADER_DATA)
            continue;
        if (any[p->from] && last[p->from] == p->header.id)
            continue;
        any[p->from] = true;
        last[p->from] = p->header.id;
        return true;
    }
    return false;
}

/* The addresses that the real machine had. */
static void map_real_memory(struct bench *b)
{
    static const struct {
        uint64_t base, size;
    } regions[] = {
        {0xFFFFF8017BC49000, 0x1000}, /* a loader entry and its name */
        {0x96F000, 0x174000},         /* winload.efi */
        {0x1A6000, 0x4000},           /* stack and GDT */
    };
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
        assert_int_equal(
            sim_map(&b->machine, regions[i].base, regions[i].size, SIM_R | SIM_W | SIM_X, NULL),
            KD_OK);
}

static struct tally {
    unsigned requests, replies, prints, files, stops;
} tally;

static void play_state_change(struct bench *b, const struct packet *p)
{
    const uint8_t *body = p->body;
    if (KD_GET(body, StateChange, NewState) == KD_STATE_LOAD_SYMBOLS) {
        size_t path = (size_t)KD_GET(body, LoadSymbols, PathNameLength);
        struct kd_target_image image = {
            .program_counter = KD_GET(body, StateChange, ProgramCounter),
            .path = path ? (const char *)body + KD_STATE_CHANGE_SIZE : NULL,
            .base = KD_GET(body, LoadSymbols, BaseOfDll),
            .process_id = KD_GET(body, LoadSymbols, ProcessId),
            .checksum = (uint32_t)KD_GET(body, LoadSymbols, CheckSum),
            .size = (uint32_t)KD_GET(body, LoadSymbols, SizeOfImage),
            .unload = KD_GET(body, LoadSymbols, UnloadSymbols) != 0,
        };
        assert_int_equal(kd_target_report_image(&b->target, b->now, &image), KD_OK);
    } else {
        struct kd_target_exception e = {
            .program_counter = KD_GET(body, StateChange, ProgramCounter),
            .code = (uint32_t)KD_GET(body, Exception, ExceptionCode),
            .address = KD_GET(body, Exception, ExceptionAddress),
            .parameter_count = (uint32_t)KD_GET(body, Exception, NumberParameters),
            .first_chance = KD_GET(body, Exception, FirstChance) != 0,
        };
        assert_int_equal(kd_target_report_exception(&b->target, b->now, &e), KD_OK);
    }
    b->message_count = 0;
    bench_pump(b);
    assert_int_equal(b->message_count, 1);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(m->size, p->header.byte_count);
    assert_memory_equal(m->body, body, 8);                /* state, processor */
    assert_memory_equal(m->body + 0x10, body + 0x10, 16); /* thread, program counter */
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, InstructionCount),
                     KD_GET(body, ControlReportAmd64, InstructionCount));
    assert_memory_equal(m->body + KD_STATE_CHANGE_SIZE, body + KD_STATE_CHANGE_SIZE,
                        m->size - KD_STATE_CHANGE_SIZE);
    tally.stops++;
}

static void play_print(struct bench *b, const struct packet *p)
{
    size_t size = (size_t)KD_GET(p->body, DebugIo, LengthOfString);
    const char *text = (const char *)p->body + KD_DEBUG_IO_SIZE;
    assert_int_equal(kd_target_print(&b->target, b->now, 0, text, size), size);
    b->message_count = 0;
    bench_pump(b);
    assert_int_equal(b->message_count, 1);
    assert_int_equal(b->messages[0].size, p->header.byte_count);
    assert_memory_equal(b->messages[0].body, p->body, 12);
    assert_memory_equal(b->messages[0].body + KD_DEBUG_IO_SIZE, text, size);
    tally.prints++;
}

static void play_create_file(struct bench *b, const struct packet *p)
{
    uint16_t path[512];
    size_t units = (p->header.byte_count - (size_t)KD_FILE_IO_SIZE) / 2 - 1;
    const uint8_t *body = p->body;
    assert_int_equal(KD_GET(body, FileIo, ApiNumber), KD_API_CREATE_FILE);
    for (size_t i = 0; i < units; i++)
        path[i] = kd_get_u16(body + KD_FILE_IO_SIZE + 2 * i);
    assert_int_equal(kd_target_create_file(&b->target, b->now, path, units,
                                           (uint32_t)KD_GET(body, CreateFile, DesiredAccess),
                                           (uint32_t)KD_GET(body, CreateFile, FileAttributes),
                                           (uint32_t)KD_GET(body, CreateFile, ShareAccess),
                                           (uint32_t)KD_GET(body, CreateFile, CreateDisposition),
                                           (uint32_t)KD_GET(body, CreateFile, CreateOptions)),
                     KD_OK);
    b->message_count = 0;
    bench_pump(b);
    assert_int_equal(b->message_count, 1);
    assert_int_equal(b->messages[0].size, p->header.byte_count);
    assert_memory_equal(b->messages[0].body, body, 28); /* then padding, zero handle and length */
    assert_memory_equal(b->messages[0].body + KD_FILE_IO_SIZE, body + KD_FILE_IO_SIZE,
                        p->header.byte_count - (size_t)KD_FILE_IO_SIZE);
}

static void play_from_debugger(struct bench *b, const struct packet *p)
{
    uint16_t size = p->header.byte_count;
    bench_send(b, p->header.type, p->body, size);
    if (p->header.type == KD_PACKET_FILE_IO) {
        struct kd_target_answer answer;
        assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
        assert_int_equal(answer.status, KD_STATUS_NO_SUCH_FILE);
        tally.files++;
        return;
    }
    tally.requests++;
    uint64_t api = KD_GET(p->body, Manipulate, ApiNumber);
    bool goes = api == KD_API_Continue || api == KD_API_Continue2;
    assert_int_equal(b->message_count, goes ? 0 : 1);
    assert_int_equal(kd_target_state(&b->target), goes ? KD_TARGET_RUNNING : KD_TARGET_STOPPED);
}

/* The real answer beside ours, which is the message of the last request. */
static void compare_reply(struct bench *b, const struct packet *p)
{
    const struct bench_message *m = &b->messages[0];
    uint64_t api = KD_GET(p->body, Manipulate, ApiNumber);
    assert_int_equal(b->message_count, 1);
    assert_int_equal(KD_GET(m->body, Manipulate, ApiNumber), api);
    assert_int_equal(m->size, p->header.byte_count);
    assert_int_equal(REPLY_STATUS(m), KD_GET(p->body, Manipulate, ReturnStatus));
    if (api == KD_API_GetVersion)
        assert_memory_equal(m->body + 20, p->body + 20, 2); /* protocol and secondary version */
    else /* the whole union: counts, and the debugger's junk coming back */
        assert_memory_equal(m->body + 16, p->body + 16, 40);
    if (api == KD_API_GetVersion)
        assert_memory_equal(m->body + 24, p->body + 24, 8); /* machine, limits, simulation */
    b->message_count = 0;
    tally.replies++;
}

static void answers_windbg_as_windows_did(void **state)
{
    static const struct kd_target_config boot_debugger = {.refuse_context_ex = true};
    struct packet p;
    (void)state;
    if (!capture.index) {
        print_message("no capture in windows-kdnet: set KDWIRE_CAPTURES to test with it\n");
        skip();
    }
    struct bench *b = bench_new(&boot_debugger, NULL, NULL);
    map_real_memory(b);
    while (next_packet(&p)) {
        if (p.from == FROM_DEBUGGER)
            play_from_debugger(b, &p);
        else if (p.header.type == KD_PACKET_STATE_CHANGE64)
            play_state_change(b, &p);
        else if (p.header.type == KD_PACKET_DEBUG_IO)
            play_print(b, &p);
        else if (p.header.type == KD_PACKET_FILE_IO)
            play_create_file(b, &p);
        else
            compare_reply(b, &p);
    }
    bench_free(b);
    print_message("%u requests, %u replies, %u prints, %u file requests, %u stops\n",
                  tally.requests, tally.replies, tally.prints, tally.files, tally.stops);
    assert_true(tally.requests > 80); /* the capture is whole */
    assert_true(tally.replies + 3 >= tally.requests);
    assert_int_equal(tally.files, 33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_windbg_as_windows_did),
    };
    return cmocka_run_group_tests_name("real session", tests, load_capture, free_capture);
}
