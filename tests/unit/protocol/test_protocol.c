/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables agree with themselves and with the protocol's known sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/error.h"
#include "kdwire/protocol.h"

static void check_structure(const struct kd_structure *structure)
{
    size_t at = structure->fields[0].offset;
    assert_true(structure->count > 0);
    for (size_t i = 0; i < structure->count; i++) {
        const struct kd_field *field = &structure->fields[i];
        if (field->offset != at)
            fail_msg("%s.%s is at %u, not at %zu", structure->name, field->name, field->offset, at);
        at += field->size;
        if (field->format < KD_FORMAT_BYTES && field->size != 1 && field->size != 2 &&
            field->size != 4 && field->size != 8)
            fail_msg("%s.%s has %u bytes", structure->name, field->name, field->size);
        bool named = field->format == KD_FORMAT_ENUM || field->format == KD_FORMAT_FLAGS;
        if (named != (field->names != NULL))
            fail_msg("%s.%s: names and format disagree", structure->name, field->name);
        assert_ptr_equal(kd_field_by_name(structure, field->name), field); /* no name twice */
    }
    assert_int_equal(structure->size, at);
    assert_ptr_equal(kd_structure_by_name(structure->name), structure);
}

static void structures_have_no_gap_and_no_overlap(void **state)
{
    (void)state;
    for (size_t i = 0; i < kd_structure_count(); i++)
        check_structure(kd_structure_at(i));
    assert_null(kd_structure_at(kd_structure_count()));
    assert_null(kd_structure_by_name("Manipulat"));
    assert_null(kd_structure_by_name("ManipulateX"));
    assert_null(kd_field_by_name(kd_structure_by_name("Manipulate"), "Api"));
}

static void structures_have_their_sizes_on_the_wire(void **state)
{
    static const struct {
        const char *name;
        size_t size;
    } sizes[] = {
        {"PacketHeader", KD_HEADER_SIZE},
        {"DebugIo", KD_DEBUG_IO_SIZE},
        {"TraceIo", KD_TRACE_IO_SIZE},
        {"ControlRequest", KD_CONTROL_REQUEST_SIZE},
        {"CreateFile", KD_FILE_IO_SIZE},
        {"Exception", 0xC0},
        {"LoadSymbols", 0xC0},
        {"CommandString", 0xC0},
        {"ContextAmd64", KD_CONTEXT_AMD64_SIZE},
        {"ContextX86", KD_CONTEXT_X86_SIZE},
        {"FxSave", KD_FXSAVE_SIZE},
        {"ContextArm64", KD_CONTEXT_ARM64_SIZE},
        {"SpecialX86", KD_SPECIAL_X86_SIZE},
        {"SpecialAmd64", KD_SPECIAL_AMD64_MAX},
        {"DebuggerData64", 0x380},
        {"LoaderEntry64", KD_LOADER_ENTRY_SIZE},
        {"BreakPointEntry", 16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_int_equal(kd_structure_by_name(sizes[i].name)->size, sizes[i].size);
    /* The control report fills the fixed part of every machine's state change. */
    for (size_t i = 0; i < kd_structure_count(); i++) {
        const struct kd_structure *structure = kd_structure_at(i);
        if (!strncmp(structure->name, "ControlReport", 13))
            assert_int_equal(structure->size, KD_STATE_CHANGE_SIZE);
    }
}

/* Offsets that published programs got wrong, or that a real kernel's bytes confirmed. */
static void fields_are_where_real_traffic_has_them(void **state)
{
    (void)state;
    assert_int_equal(KD_AT(Continue2Amd64, TraceFlag), 20);
    assert_int_equal(KD_AT(Continue2Amd64, Dr7), 24);
    assert_int_equal(KD_AT(Continue2Amd64, CurrentSymbolEnd), 40);
    assert_int_equal(KD_AT(CreateFile, Handle), 32);
    assert_int_equal(KD_AT(CreateFile, Length), 40);
    assert_int_equal(KD_AT(SpecialAmd64, GdtrLimit), 0x56);
    assert_int_equal(KD_AT(SpecialAmd64, IdtrBase), 0x68);
    assert_int_equal(KD_AT(ContextAmd64, Rip), 0xF8);
    assert_int_equal(KD_AT(ContextAmd64, VectorRegister), 0x300);
    assert_int_equal(KD_AT(ContextX86, Eip), 0xB8);
    assert_int_equal(KD_AT(ContextArm64, Pc), 0x108);
    assert_int_equal(KD_AT(DebuggerData64, KernBase), 0x18);
    assert_int_equal(KD_AT(DebuggerData64, NtBuildLab), 0x208);
    assert_int_equal(KD_AT(DebuggerData64, SizePrcb), 0x2B0);
    assert_int_equal(KD_AT(DebuggerData64, OffsetPrcbProcStateSpecialReg), 0x2F2);
    assert_int_equal(KD_AT(DebuggerData64, EtwpDebuggerData), 0x330);
    assert_int_equal(KD_AT(ControlReportX86, EFlags), 0xE4);
}

static void every_api_is_described(void **state)
{
    unsigned count = 0;
    (void)state;
    for (uint32_t number = KD_API_FIRST; number <= KD_API_LAST; number++) {
        const struct kd_api_info *info = kd_api_info(number);
        if (!info)
            continue;
        count++;
        assert_int_equal(info->number, number);
        assert_int_equal(info->request->size, KD_MANIPULATE_SIZE);
        assert_int_equal(info->reply->size, KD_MANIPULATE_SIZE);
        assert_string_equal(kd_message_name(KD_PACKET_STATE_MANIPULATE, number), info->name);
    }
    assert_int_equal(count, 45); /* 0x3130-0x3149 and 0x3150-0x3162 */
    assert_null(kd_api_info(KD_API_FIRST - 1));
    assert_null(kd_api_info(KD_API_LAST + 1));
    assert_null(kd_api_info(0x314A));
    assert_false(kd_api_info(KD_API_Continue2)->has_reply);
    assert_false(kd_api_info(KD_API_ClearAllInternalBreakpoints)->has_reply);
    assert_true(kd_api_info(KD_API_ClearSpecialCalls)->has_reply);
}

static void names_are_found(void **state)
{
    (void)state;
    assert_string_equal(kd_packet_type_name(KD_PACKET_RESEND), "RESEND");
    assert_null(kd_packet_type_name(KD_PACKET_TYPE_MAX));
    assert_string_equal(kd_message_name(KD_PACKET_RESET, 77), "RESET");
    assert_string_equal(kd_message_name(KD_PACKET_FILE_IO, KD_API_CREATE_FILE), "CreateFile");
    assert_string_equal(kd_message_name(KD_PACKET_STATE_CHANGE64, 0x13031), "LoadSymbolsAlternate");
    assert_null(kd_message_name(KD_PACKET_DEBUG_IO, KD_API_CREATE_FILE));
    assert_string_equal(kd_status_name(0xC0000001), "STATUS_UNSUCCESSFUL");
    assert_null(kd_status_name(0xC1234567));
    assert_null(kd_name_of(NULL, 1));
}

/* Sheet 2.2: what a target stops repeating when nobody listens. */
static void droppable_packets_are_the_documented_ones(void **state)
{
    (void)state;
    assert_true(kd_packet_is_droppable(KD_PACKET_DEBUG_IO, KD_API_PRINT_STRING));
    assert_true(kd_packet_is_droppable(KD_PACKET_STATE_CHANGE64, KD_STATE_LOAD_SYMBOLS));
    assert_true(kd_packet_is_droppable(KD_PACKET_STATE_CHANGE64,
                                       KD_STATE_LOAD_SYMBOLS | KD_STATE_ALTERNATE));
    assert_true(kd_packet_is_droppable(KD_PACKET_TRACE_IO, KD_API_PRINT_TRACE));
    assert_true(kd_packet_is_droppable(KD_PACKET_FILE_IO, KD_API_CREATE_FILE));
    assert_false(kd_packet_is_droppable(KD_PACKET_DEBUG_IO, KD_API_GET_STRING));
    assert_false(kd_packet_is_droppable(KD_PACKET_STATE_CHANGE64, KD_STATE_EXCEPTION));
    assert_false(kd_packet_is_droppable(KD_PACKET_STATE_CHANGE64, KD_STATE_COMMAND_STRING));
    assert_false(kd_packet_is_droppable(KD_PACKET_STATE_MANIPULATE, KD_API_GetVersion));
    assert_false(kd_packet_is_droppable(KD_PACKET_FILE_IO, KD_API_READ_FILE));
}

static void fixed_sizes_are_known_for_data_packets_only(void **state)
{
    (void)state;
    assert_int_equal(kd_fixed_size(KD_PACKET_STATE_MANIPULATE), 56);
    assert_int_equal(kd_fixed_size(KD_PACKET_STATE_CHANGE64), 240);
    assert_int_equal(kd_fixed_size(KD_PACKET_FILE_IO), 64);
    assert_int_equal(kd_fixed_size(KD_PACKET_ACKNOWLEDGE), 0);
    assert_int_equal(kd_fixed_size(0xFFFF), 0);
}

/* The acknowledgement of packet 2, as WinDbg sent it. */
static void header_and_checksum_match_real_bytes(void **state)
{
    static const uint8_t ack[16] = {0x69, 0x69, 0x69, 0x69, 4, 0, 0, 0, 2};
    static const uint8_t bytes[3] = {0xFF, 0xFF, 0x02};
    struct kd_header header;
    uint8_t out[16];
    (void)state;
    kd_header_get(&header, ack);
    assert_int_equal(header.leader, KD_LEADER_CONTROL);
    assert_int_equal(header.type, KD_PACKET_ACKNOWLEDGE);
    assert_int_equal(header.id, 2);
    kd_header_put(out, &header);
    assert_memory_equal(out, ack, sizeof(ack));
    assert_int_equal(kd_checksum(bytes, sizeof(bytes)), 0x200); /* bytes, not words */
    assert_int_equal(kd_checksum(NULL, 0), 0);
}

static void numbers_are_little_endian_and_keep_to_their_size(void **state)
{
    uint8_t bytes[10];
    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    kd_put_uint(bytes + 1, 8, 0x1122334455667788u);
    assert_int_equal(bytes[1], 0x88);
    assert_int_equal(bytes[8], 0x11);
    assert_int_equal(bytes[0], 0xEE);
    assert_int_equal(bytes[9], 0xEE);
    assert_true(kd_get_uint(bytes + 1, 8) == 0x1122334455667788u);
    assert_int_equal(kd_get_uint(bytes + 1, 2), 0x7788);
    assert_int_equal(kd_get_uint(bytes + 1, 3), 0);
    kd_put_uint(bytes + 1, 5, 0);
    assert_int_equal(bytes[1], 0x88);
}

static void errors_have_name_and_text(void **state)
{
    (void)state;
    assert_string_equal(kd_error_name(KD_E_TIMEOUT), "KD_E_TIMEOUT");
    assert_string_equal(kd_error_text(KD_E_TIMEOUT), "no answer in time");
    assert_string_equal(kd_error_text(KD_OK), "done");
    assert_string_equal(kd_error_text(-9999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures_have_no_gap_and_no_overlap),
        cmocka_unit_test(structures_have_their_sizes_on_the_wire),
        cmocka_unit_test(fields_are_where_real_traffic_has_them),
        cmocka_unit_test(every_api_is_described),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(droppable_packets_are_the_documented_ones),
        cmocka_unit_test(fixed_sizes_are_known_for_data_packets_only),
        cmocka_unit_test(header_and_checksum_match_real_bytes),
        cmocka_unit_test(numbers_are_little_endian_and_keep_to_their_size),
        cmocka_unit_test(errors_have_name_and_text),
    };
    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
