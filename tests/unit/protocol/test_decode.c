/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets made by hand: what the real capture does not hold, and what is damaged. */
#include "shown.h"

#include <stdio.h>
#include <stdlib.h>

#include "encode.h"
#include "json_check.h"

static struct shown shown;
static uint8_t raw[KD_PACKET_MAX];

/* A data packet of TYPE with BODY_SIZE zero bytes; the test fills in fields. */
static uint8_t *make(uint16_t type, size_t body_size)
{
    struct kd_header header = {KD_LEADER_DATA, type, (uint16_t)body_size, KD_ID_INITIAL, 0};
    memset(raw, 0, sizeof(raw));
    kd_header_put(raw, &header);
    return raw + KD_HEADER_SIZE;
}

static uint8_t *make_manipulate(uint32_t api, size_t data_size)
{
    uint8_t *body = make(KD_PACKET_STATE_MANIPULATE, KD_MANIPULATE_SIZE + data_size);
    KD_PUT(body, Manipulate, ApiNumber, api);
    return body;
}

/* What was made, ready to show. The checksum is left 0: the decoder does not judge it. */
static struct kd_item made(void)
{
    return item_of(raw, KD_HEADER_SIZE + kd_get_u16(raw + 6));
}

static void assert_json_gives_bytes_back(struct kd_decode_session *session,
                                         enum kd_direction direction, const struct kd_item *item)
{
    static uint8_t bytes[KD_PACKET_MAX + KD_HEADER_SIZE];
    const char *json = shown_json(&shown, session, direction, item);
    assert_true(json_is_valid(json));
    assert_false(json_has_twins(json));
    assert_int_equal(encode_json(json, bytes, sizeof(bytes)), item->raw_size);
    assert_memory_equal(bytes, item->raw, item->raw_size);
}

static void assert_shows(const char *text)
{
    if (!strstr(shown.text, text))
        fail_msg("'%s' is not in: %s", text, shown.text);
}

static void request_and_reply_are_shown_by_direction(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make_manipulate(KD_API_SearchMemory, 0);
    (void)state;
    KD_PUT(body, SearchMemory, SearchAddress, 0x1234);
    struct kd_item item = made();
    shown_summary(&shown, &session, KD_TO_TARGET, &item);
    assert_shows("SearchMemory request: 0x1234, 0 bytes");
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("SearchMemory reply: found 0x1234");
    KD_PUT(body, Manipulate, ReturnStatus, 0xC0000225);
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("reply STATUS_NOT_FOUND");
}

static void breakpoint_arrays_are_shown_entry_by_entry(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make_manipulate(KD_API_WriteBreakPointEx, 2 * 16 + 5);
    (void)state;
    KD_PUT(body, BreakPointEx, BreakPointCount, 2);
    KD_PUT(body + KD_MANIPULATE_SIZE, BreakPointEntry, Address, 0xFFFFF80012345678);
    KD_PUT(body + KD_MANIPULATE_SIZE + 16, BreakPointEntry, Handle, 32);
    struct kd_item item = made();
    assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
    assert_shows("\"BreakPointEntry\":[{\"Address\":\"0xfffff80012345678\",");
    assert_shows("\"Handle\":32,");
    assert_shows("}],\"hex\":\"0000000000\"}");
    shown_text(&shown, &session, KD_TO_TARGET, &item);
    assert_shows("[1]\n");

    body = make_manipulate(KD_API_RestoreBreakPointEx, 8);
    KD_PUT(body + KD_MANIPULATE_SIZE + 4, HandleEntry, Handle, 7);
    item = made();
    assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
    assert_shows("\"HandleEntry\":[{\"Handle\":0},{\"Handle\":7}]");
}

/* SetContextEx sends 512-byte pieces: they begin and end anywhere, also within a register. */
static void pieces_of_a_context_keep_their_place(void **state)
{
    struct kd_decode_session session = {0};
    (void)state;
    for (size_t offset = 0; offset < KD_CONTEXT_AMD64_SIZE + 40; offset += 37) {
        uint8_t *body = make_manipulate(KD_API_SetContextEx, 300);
        KD_PUT(body, ContextEx, Offset, offset);
        KD_PUT(body, ContextEx, ByteCount, 300);
        for (size_t i = 0; i < 300; i++)
            body[KD_MANIPULATE_SIZE + i] = (uint8_t)(offset + i);
        struct kd_item item = made();
        assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
    }
    uint8_t *body = make_manipulate(KD_API_SetContextEx, 8);
    KD_PUT(body, ContextEx, Offset, KD_AT(ContextAmd64, Rip));
    kd_put_u64(body + KD_MANIPULATE_SIZE, 0xFFFFF80011112222);
    struct kd_item item = made();
    shown_json(&shown, &session, KD_TO_TARGET, &item);
    assert_shows("\"offset\":248,\"ContextAmd64\":{\"Rip\":\"0xfffff80011112222\"}");
}

static void floating_point_registers_lie_in_the_context(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make_manipulate(KD_API_GetContext, KD_CONTEXT_AMD64_SIZE);
    (void)state;
    body[KD_MANIPULATE_SIZE + 0x1A0] = 0xAB; /* XMM0 */
    KD_PUT(body + KD_MANIPULATE_SIZE, ContextAmd64, ContextFlags, KD_CONTEXT_AMD64_ALL);
    struct kd_item item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"FltSave\":{\"ControlWord\":0,");
    assert_shows("\"Xmm0\":\"ab000000000000000000000000000000\"");
    assert_shows("\"ContextFlagsNames\":[\"AMD64\",\"CONTROL\",");
}

/* GetVersion tells the machine; contexts and reports after it have that machine's form. */
static void other_machines_have_their_own_structures(void **state)
{
    static const struct {
        uint16_t machine;
        size_t context;
        const char *name, *report, *go;
    } machines[] = {
        {KD_MACHINE_I386, KD_CONTEXT_X86_SIZE, "ContextX86", "ControlReportX86", "Continue2X86"},
        {KD_MACHINE_ARM64, KD_CONTEXT_ARM64_SIZE, "ContextArm64", "ControlReportArm64",
         "Continue2Arm64"},
        {KD_MACHINE_AMD64, KD_CONTEXT_AMD64_SIZE, "ContextAmd64", "ControlReportAmd64",
         "Continue2Amd64"},
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct kd_decode_session session = {0};
        uint8_t *body = make_manipulate(KD_API_GetVersion, 0);
        KD_PUT(body, GetVersion, MachineType, machines[i].machine);
        struct kd_item item = made();
        assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
        assert_int_equal(session.machine_type, machines[i].machine);

        make_manipulate(KD_API_GetContext, machines[i].context);
        item = made();
        assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
        assert_shows(machines[i].name);

        make_manipulate(KD_API_Continue2, 0);
        item = made();
        assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
        assert_shows(machines[i].go);

        body = make(KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE);
        KD_PUT(body, StateChange, NewState, KD_STATE_EXCEPTION);
        item = made();
        assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
        assert_shows(machines[i].report);
    }
}

/* On x86 the control space is a CONTEXT with KSPECIAL behind it, addressed by byte. */
static void x86_control_space_is_addressed_by_byte(void **state)
{
    struct kd_decode_session session = {.machine_type = KD_MACHINE_I386};
    uint8_t *body = make_manipulate(KD_API_ReadControlSpace, KD_SPECIAL_X86_SIZE);
    (void)state;
    KD_PUT(body, ReadMemory, TargetBaseAddress, KD_CONTEXT_X86_SIZE);
    struct kd_item item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"SpecialX86\":{\"Cr0\":0,");
    KD_PUT(body, ReadMemory, TargetBaseAddress, KD_CONTEXT_X86_SIZE - 40);
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    KD_PUT(body, ReadMemory, TargetBaseAddress, UINT64_MAX);
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
}

/* The debugger data block is found by the pointer that was read at DebuggerDataList. */
static void debugger_data_is_shown_by_its_fields(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make_manipulate(KD_API_GetVersion, 0);
    (void)state;
    KD_PUT(body, GetVersion, DebuggerDataList, 0xFFFFF80000001000);
    struct kd_item item = made();
    kd_decode_learn(&session, KD_TO_DEBUGGER, &item);

    body = make_manipulate(KD_API_ReadVirtualMemory, 8);
    KD_PUT(body, ReadMemory, TargetBaseAddress, 0xFFFFF80000001000);
    kd_put_u64(body + KD_MANIPULATE_SIZE, 0xFFFFF80000002000);
    item = made();
    kd_decode_learn(&session, KD_TO_DEBUGGER, &item);

    body = make_manipulate(KD_API_ReadVirtualMemory, 0x348); /* as WinDbg reads Windows 8.1 */
    KD_PUT(body, ReadMemory, TargetBaseAddress, 0xFFFFF80000002018);
    kd_put_u64(body + KD_MANIPULATE_SIZE, 0xFFFFF80003000000);
    item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"offset\":24,");
    assert_shows("\"DebuggerData64\":{\"KernBase\":\"0xfffff80003000000\"");
    assert_shows("\"OffsetKThreadWaitReason\":0");
}

static void module_list_is_followed(void **state)
{
    struct kd_decode_session session = {.module_list = 0x1000};
    uint8_t *body = make_manipulate(KD_API_ReadVirtualMemory, 16);
    (void)state;
    KD_PUT(body, ReadMemory, TargetBaseAddress, 0x1000);
    kd_put_u64(body + KD_MANIPULATE_SIZE, 0x2000);
    struct kd_item item = made();
    kd_decode_learn(&session, KD_TO_DEBUGGER, &item);

    body = make_manipulate(KD_API_ReadVirtualMemory, KD_LOADER_ENTRY_SIZE);
    uint8_t *entry = body + KD_MANIPULATE_SIZE;
    KD_PUT(body, ReadMemory, TargetBaseAddress, 0x2000);
    KD_PUT(entry, LoaderEntry64, Flink, 0x3000);
    KD_PUT(entry, LoaderEntry64, BaseDllNameBuffer, 0x4000);
    item = made();
    for (int again = 0; again < 2; again++) { /* a summary, then the fields */
        assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
        assert_shows("\"LoaderEntry64\":{");
    }
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("LoaderEntry64 of 136 bytes, DllBase 0x0, SizeOfImage 0x0");

    body = make_manipulate(KD_API_ReadVirtualMemory, 4);
    KD_PUT(body, ReadMemory, TargetBaseAddress, 0x4000);
    memcpy(body + KD_MANIPULATE_SIZE, "n\0t\0", 4);
    item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"text\":\"nt\"");
}

static void text_that_would_harm_a_terminal_is_escaped(void **state)
{
    static const char text[] = "a\"\\\x1b[2J\x9b\r\n";
    struct kd_decode_session session = {0};
    uint8_t *body = make(KD_PACKET_DEBUG_IO, KD_DEBUG_IO_SIZE + sizeof(text) - 1);
    (void)state;
    KD_PUT(body, DebugIo, ApiNumber, KD_API_PRINT_STRING);
    KD_PUT(body, DebugIo, LengthOfString, sizeof(text) - 1);
    memcpy(body + KD_DEBUG_IO_SIZE, text, sizeof(text) - 1);
    struct kd_item item = made();
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("PrintString: \"a\\\"\\\\\\x1b[2J\\x9b\\r\\n\"");
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"text\":\"a\\\"\\\\\\u001b[2J\\u009b\\u000d\\n\"");
    item.kind = KD_ITEM_JUNK;
    item.raw = (const uint8_t *)text;
    item.raw_size = sizeof(text) - 1;
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("junk, 10 bytes: \"a\\\"\\\\\\x1b[2J");
    assert_true(json_is_valid(shown_json(&shown, &session, KD_TO_DEBUGGER, &item)));
}

static void paths_outside_ascii_stay_valid_json(void **state)
{
    static const uint8_t path[] = {'C',  0,    0xE4, 0, 0x3D, 0xD8, 0x00, 0xDE, /* a pair */
                                   0x3D, 0xD8, 'x',  0, 0x00, 0xDE,             /* lone ones */
                                   0,    0,    0x77};                           /* an odd byte */
    struct kd_decode_session session = {0};
    uint8_t *body = make(KD_PACKET_FILE_IO, KD_FILE_IO_SIZE + sizeof(path));
    (void)state;
    KD_PUT(body, FileIo, ApiNumber, KD_API_CREATE_FILE);
    memcpy(body + KD_FILE_IO_SIZE, path, sizeof(path));
    struct kd_item item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"text\":\"C\\u00e4\\ud83d\\ude00\\ufffdx\\ufffd");
    shown_text(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("\"C\\xe4\\ud83d\\ude00\\ud83dx\\ude00\\x00\"");
    assert_shows("77"); /* the odd byte */
}

/* Protocol version 5 puts a CONTEXT between the fixed part and the path. */
static void path_is_the_end_of_the_body(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make(KD_PACKET_STATE_CHANGE64, 0x3B8 + 7);
    (void)state;
    KD_PUT(body, StateChange, NewState, KD_STATE_LOAD_SYMBOLS);
    KD_PUT(body, LoadSymbols, PathNameLength, 7);
    memcpy(body + 0x3B8, "nt.exe", 7);
    struct kd_item item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"text\":\"nt.exe\"");
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows(": \"nt.exe\"");
    KD_PUT(body, LoadSymbols, PathNameLength, 0xFFFFFFFF); /* a lie */
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
}

static void command_string_has_two_texts(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make(KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE + 10);
    (void)state;
    KD_PUT(body, StateChange, NewState, KD_STATE_COMMAND_STRING);
    memcpy(body + KD_STATE_CHANGE_SIZE, "nt\0.reload", 10);
    struct kd_item item = made();
    assert_json_gives_bytes_back(&session, KD_TO_DEBUGGER, &item);
    assert_shows("\"component\":\"nt\",\"command\":\".reload\"");
}

static void every_message_is_shown_and_comes_back(void **state)
{
    static const uint16_t types[] = {0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 0xFFFF};
    static const uint32_t first[] = {0x3030, 0x3130, 0x3230, 0x3330, 0x3430, 0x4300, 0x13030};
    static const enum kd_direction directions[] = {KD_TO_TARGET, KD_TO_DEBUGGER,
                                                   KD_DIRECTION_UNKNOWN};
    (void)state;
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        for (size_t f = 0; f < sizeof(first) / sizeof(first[0]); f++) {
            for (uint32_t api = first[f]; api < first[f] + 0x34; api++) {
                for (size_t size = 0; size <= 320; size += 64) {
                    struct kd_decode_session session = {0};
                    enum kd_direction direction = directions[(api + size / 64) % 3];
                    uint8_t *body = make(types[t], size);
                    memset(body, 0x5A, size);
                    if (size)
                        kd_put_u32(body, api);
                    struct kd_item item = made();
                    assert_true(*shown_summary(&shown, &session, direction, &item) != '\0');
                    shown_text(&shown, &session, direction, &item);
                    assert_json_gives_bytes_back(&session, direction, &item);
                }
            }
        }
    }
}

/* A packet that ends anywhere is shown as far as it goes, and no byte beyond it is touched. */
static void cut_packets_are_shown_as_far_as_they_go(void **state)
{
    static const uint32_t apis[] = {KD_API_WriteBreakPointEx, KD_API_SetContext,
                                    KD_API_WriteVirtualMemory};
    (void)state;
    for (size_t a = 0; a < sizeof(apis) / sizeof(apis[0]); a++) {
        uint8_t *body = make_manipulate(apis[a], KD_CONTEXT_AMD64_SIZE);
        memset(body + 4, 0xC3, KD_CONTEXT_AMD64_SIZE + 52);
        for (size_t size = 1; size <= KD_HEADER_SIZE + KD_MANIPULATE_SIZE + 400; size++) {
            struct kd_decode_session session = {0};
            uint8_t *exact = malloc(size); /* its own block, so that a sanitizer sees an overrun */
            assert_non_null(exact);
            memcpy(exact, raw, size);
            struct kd_item item = item_of(exact, size);
            assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
            assert_shows("\"faults\":[\"cut\"]");
            shown_summary(&shown, &session, KD_TO_TARGET, &item);
            assert_shows(" bytes came]");
            shown_text(&shown, &session, KD_TO_TARGET, &item);
            free(exact);
        }
    }
}

static void trailer_and_faults_are_shown(void **state)
{
    struct kd_decode_session session = {0};
    make_manipulate(KD_API_GetVersion, 0);
    (void)state;
    raw[KD_HEADER_SIZE + KD_MANIPULATE_SIZE] = 0x55;
    struct kd_item item = item_of(raw, KD_HEADER_SIZE + KD_MANIPULATE_SIZE + 1);
    item.faults = KD_FAULT_CHECKSUM | KD_FAULT_TRAILER;
    assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
    assert_shows("\"faults\":[\"checksum\",\"trailer\"]");
    assert_shows("\"trailer\":{\"hex\":\"55\"}");
    shown_summary(&shown, &session, KD_TO_TARGET, &item);
    assert_shows("[checksum wrong] [trailer missing]");
    item.faults = KD_FAULT_LENGTH;
    item.body_size = 0;
    item.raw_size = KD_HEADER_SIZE;
    assert_json_gives_bytes_back(&session, KD_TO_TARGET, &item);
    shown_summary(&shown, &session, KD_TO_TARGET, &item);
    assert_shows("[impossible length]");
}

static void damaged_packets_teach_nothing(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make_manipulate(KD_API_GetVersion, 0);
    (void)state;
    KD_PUT(body, GetVersion, MachineType, KD_MACHINE_I386);
    struct kd_item item = made();
    item.faults = KD_FAULT_CHECKSUM;
    kd_decode_learn(&session, KD_TO_DEBUGGER, &item);
    assert_int_equal(session.machine_type, 0);
    item.faults = 0;
    KD_PUT(body, Manipulate, ReturnStatus, KD_STATUS_UNSUCCESSFUL);
    kd_decode_learn(&session, KD_TO_DEBUGGER, &item);
    assert_int_equal(session.machine_type, 0);
}

static void special_notices_are_told(void **state)
{
    struct kd_decode_session session = {0};
    uint8_t *body = make(KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE);
    (void)state;
    KD_PUT(body, StateChange, NewState, KD_STATE_LOAD_SYMBOLS);
    KD_PUT(body, LoadSymbols, BaseOfDll, UINT64_MAX);
    KD_PUT(body, LoadSymbols, UnloadSymbols, 1);
    struct kd_item item = made();
    shown_summary(&shown, &session, KD_TO_DEBUGGER, &item);
    assert_shows("(the target restarts or shuts down)");
    uint8_t b = KD_BREAK_IN_BYTE;
    item = (struct kd_item){.kind = KD_ITEM_BREAK_IN, .raw = &b, .raw_size = 1};
    assert_string_equal(shown_summary(&shown, &session, KD_TO_TARGET, &item), "break-in");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_and_reply_are_shown_by_direction),
        cmocka_unit_test(breakpoint_arrays_are_shown_entry_by_entry),
        cmocka_unit_test(pieces_of_a_context_keep_their_place),
        cmocka_unit_test(floating_point_registers_lie_in_the_context),
        cmocka_unit_test(other_machines_have_their_own_structures),
        cmocka_unit_test(x86_control_space_is_addressed_by_byte),
        cmocka_unit_test(debugger_data_is_shown_by_its_fields),
        cmocka_unit_test(module_list_is_followed),
        cmocka_unit_test(text_that_would_harm_a_terminal_is_escaped),
        cmocka_unit_test(paths_outside_ascii_stay_valid_json),
        cmocka_unit_test(path_is_the_end_of_the_body),
        cmocka_unit_test(command_string_has_two_texts),
        cmocka_unit_test(every_message_is_shown_and_comes_back),
        cmocka_unit_test(cut_packets_are_shown_as_far_as_they_go),
        cmocka_unit_test(trailer_and_faults_are_shown),
        cmocka_unit_test(damaged_packets_teach_nothing),
        cmocka_unit_test(special_notices_are_told),
    };
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
