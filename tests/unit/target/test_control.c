/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops and going on: reports, breakpoints, run control, text, questions, files, lost packets. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(rva) (SIM_KERNEL_BASE + (rva))
#define UNSUCCESS KD_STATUS_UNSUCCESSFUL
#define GO        KD_DBG_CONTINUE

static int start_running(void **state)
{
    *state = bench_new(NULL, NULL, NULL);
    return 0;
}

static int start_stopped(void **state)
{
    start_running(state);
    bench_stop(*state, 0);
    return 0;
}

static int end(void **state)
{
    bench_free(*state);
    return 0;
}

static uint8_t byte_at(struct bench *b, uint64_t address)
{
    uint8_t byte = 0;
    assert_int_equal(sim_machine_ops()->read_virtual(&b->machine, address, &byte, 1), 1);
    return byte;
}

static void assert_resumed(struct bench *b, enum kd_target_resume how)
{
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
    assert_int_equal(kd_target_resume(&b->target), how);
}

/* ---- Reports ---- */

static void exception_report(void **state)
{
    struct bench *b = *state;
    struct sim_cpu *cpu = &b->machine.cpus[1];
    struct kd_target_exception e = {.cpu = 1,
                                    .thread = 0xFFFF800000001234,
                                    .program_counter = cpu->rip,
                                    .code = KD_STATUS_ACCESS_VIOLATION,
                                    .flags = 1,
                                    .address = cpu->rip - 1,
                                    .parameter_count = 2,
                                    .parameters = {1, 0xDEAD},
                                    .first_chance = true};
    cpu->dr[6] = 0xFFFF0FF1;
    assert_int_equal(kd_target_report_exception(&b->target, 0, &e), KD_OK);
    assert_int_equal(kd_target_report_exception(&b->target, 0, &e), KD_E_BUSY);
    bench_pump(b);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(b->message_count, 1);
    assert_int_equal(m->type, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(m->size, KD_STATE_CHANGE_SIZE);
    assert_int_equal(KD_GET(m->body, StateChange, NewState), KD_STATE_EXCEPTION);
    assert_int_equal(KD_GET(m->body, StateChange, Processor), 1);
    assert_int_equal(KD_GET(m->body, StateChange, NumberProcessors), 2);
    assert_int_equal(KD_GET(m->body, StateChange, Thread), 0xFFFF800000001234);
    assert_int_equal(KD_GET(m->body, StateChange, ProgramCounter), TEXT(SIM_RVA_IDLE));
    assert_int_equal(KD_GET(m->body, Exception, ExceptionCode), KD_STATUS_ACCESS_VIOLATION);
    assert_int_equal(KD_GET(m->body, Exception, ExceptionAddress), TEXT(SIM_RVA_IDLE) - 1);
    assert_int_equal(KD_GET(m->body, Exception, NumberParameters), 2);
    assert_int_equal(kd_get_u64(m->body + 0x48), 0xDEAD);
    assert_int_equal(KD_GET(m->body, Exception, FirstChance), 1);
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, Dr6), 0xFFFF0FF1);
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, Dr7), 0x400);
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, EFlags), 0x202);
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, InstructionCount), 16);
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, ReportFlags), 1); /* a boot debugger */
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, SegCs), 0x10);
    assert_int_equal(KD_GET(m->body, ControlReportAmd64, SegFs), 0x53);
    assert_int_equal(m->body[KD_AT(ControlReportAmd64, InstructionStream)], 0x48);
}

static void reports_check_the_processor(void **state)
{
    struct bench *b = *state;
    struct kd_target_exception e = {.cpu = 2};
    struct kd_target_image image = {.cpu = UINT32_MAX};
    assert_int_equal(kd_target_report_exception(&b->target, 0, &e), KD_E_ARGUMENT);
    assert_int_equal(kd_target_report_image(&b->target, 0, &image), KD_E_ARGUMENT);
    assert_int_equal(kd_target_print(&b->target, 0, 2, "x", 1), KD_E_ARGUMENT);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
}

static void image_report(void **state)
{
    struct bench *b = *state;
    struct kd_target_image image = {.program_counter = TEXT(SIM_RVA_BREAK_POINT),
                                    .path = "winload.efi",
                                    .base = 0x96F000,
                                    .process_id = UINT64_MAX,
                                    .checksum = 0x1234,
                                    .size = 0x170000};
    assert_int_equal(kd_target_report_image(&b->target, 0, &image), KD_OK);
    bench_pump(b);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(m->size, KD_STATE_CHANGE_SIZE + 12);
    assert_int_equal(KD_GET(m->body, StateChange, NewState), KD_STATE_LOAD_SYMBOLS);
    assert_int_equal(KD_GET(m->body, LoadSymbols, PathNameLength), 12); /* with the NUL */
    assert_int_equal(KD_GET(m->body, LoadSymbols, BaseOfDll), 0x96F000);
    assert_int_equal(KD_GET(m->body, LoadSymbols, ProcessId), UINT64_MAX);
    assert_int_equal(KD_GET(m->body, LoadSymbols, SizeOfImage), 0x170000);
    assert_int_equal(KD_GET(m->body, LoadSymbols, UnloadSymbols), 0);
    assert_memory_equal(m->body + KD_STATE_CHANGE_SIZE, "winload.efi", 12);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);
    bench_continue2(b, GO, false, 0x400);

    struct kd_target_image away = {.base = UINT64_MAX, .unload = true}; /* "I am rebooting" */
    b->message_count = 0;
    assert_int_equal(kd_target_report_image(&b->target, 0, &away), KD_OK);
    bench_pump(b);
    assert_int_equal(b->messages[0].size, KD_STATE_CHANGE_SIZE);
    assert_int_equal(KD_GET(b->messages[0].body, LoadSymbols, PathNameLength), 0);
    assert_int_equal(KD_GET(b->messages[0].body, LoadSymbols, UnloadSymbols), 1);
}

static void a_very_long_path_is_cut(void **state)
{
    struct bench *b = *state;
    char path[5000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    struct kd_target_image image = {.path = path};
    assert_int_equal(kd_target_report_image(&b->target, 0, &image), KD_OK);
    bench_pump(b);
    assert_int_equal(b->messages[0].size, KD_STATE_CHANGE_SIZE + KD_IMAGE_PATH_MAX + 1);
    assert_int_equal(b->messages[0].body[b->messages[0].size - 1], 0);
}

static void command_report(void **state)
{
    struct bench *b = *state;
    static const char data[] = "firmware\0.echo hello; g";
    assert_int_equal(kd_target_report_command(&b->target, 0, 0, "firmware", ".echo hello; g"),
                     KD_OK);
    bench_pump(b);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(KD_GET(m->body, StateChange, NewState), KD_STATE_COMMAND_STRING);
    assert_int_equal(KD_GET(m->body, StateChange, ProgramCounter), TEXT(SIM_RVA_MAIN));
    assert_int_equal(m->size, KD_STATE_CHANGE_SIZE + sizeof data);
    assert_memory_equal(m->body + KD_STATE_CHANGE_SIZE, data, sizeof data);
    bench_continue2(b, GO, false, 0x400);

    char lengthy[6000];
    memset(lengthy, 'c', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = 0;
    b->message_count = 0;
    assert_int_equal(kd_target_report_command(&b->target, 0, 0, lengthy, lengthy), KD_OK);
    bench_pump(b);
    m = &b->messages[0];
    assert_int_equal(m->size, KD_BODY_MAX);
    assert_int_equal(m->body[KD_STATE_CHANGE_SIZE + KD_COMPONENT_MAX], 0);
    assert_int_equal(m->body[KD_BODY_MAX - 1], 0);
}

static void a_report_at_unreadable_code(void **state)
{
    struct bench *b = *state;
    b->machine.cpus[0].rip = 0x12345678;
    bench_stop(b, 0);
    assert_int_equal(KD_GET(b->messages[0].body, ControlReportAmd64, InstructionCount), 0);
}

/* ---- Breakpoints ---- */

static void breakpoints_are_set_and_removed(void **state)
{
    struct bench *b = *state;
    uint64_t at = TEXT(SIM_RVA_FIB);
    uint8_t original = byte_at(b, at), body[KD_BODY_MAX];
    uint32_t handle, second;
    assert_int_equal(bench_breakpoint(b, at, &handle), 0);
    assert_int_equal(handle, 1);
    assert_int_equal(byte_at(b, at), 0xCC);
    assert_true(kd_target_has_breakpoint(&b->target, at));
    assert_int_equal(bench_breakpoint(b, at, &second), UNSUCCESS); /* one per address */
    assert_int_equal(second, 0);
    bench_request(body, KD_API_RestoreBreakPoint);
    KD_PUT(body, RestoreBreakPoint, BreakPointHandle, handle);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(byte_at(b, at), original);
    assert_int_equal(REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE)), UNSUCCESS);
}

static void bad_breakpoints_are_refused(void **state)
{
    static const uint32_t handles[] = {0, 1, 32, 33, 0x7FFFFFFF, 0xFFFFFFFF};
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    uint32_t handle;
    assert_int_equal(bench_breakpoint(b, 0x1000, &handle), UNSUCCESS);       /* no memory */
    assert_int_equal(bench_breakpoint(b, SIM_ROM_BASE, &handle), UNSUCCESS); /* cannot be written */
    assert_int_equal(handle, 0);
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
        bench_request(body, KD_API_RestoreBreakPoint);
        KD_PUT(body, RestoreBreakPoint, BreakPointHandle, handles[i]);
        assert_int_equal(REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE)), UNSUCCESS);
    }
}

static bool protects_fib(void *machine, uint64_t address, size_t size)
{
    (void)machine;
    return address <= TEXT(SIM_RVA_FIB) && TEXT(SIM_RVA_FIB) - address < size;
}

static void protected_addresses_are_refused(void **state)
{
    struct kd_machine_ops ops = *sim_machine_ops();
    uint32_t handle;
    (void)state;
    ops.is_protected = protects_fib;
    struct bench *b = bench_new(NULL, NULL, &ops);
    bench_stop(b, 0);
    assert_int_equal(bench_breakpoint(b, TEXT(SIM_RVA_FIB), &handle), UNSUCCESS);
    assert_int_equal(bench_breakpoint(b, TEXT(SIM_RVA_WORK), &handle), 0);
    bench_free(b);
}

static void there_are_32_breakpoints(void **state)
{
    struct bench *b = *state;
    uint8_t before[64], after[64];
    uint32_t handle;
    sim_machine_ops()->read_virtual(&b->machine, TEXT(SIM_RVA_WORK), before, sizeof before);
    for (uint32_t i = 0; i < 32; i++) {
        assert_int_equal(bench_breakpoint(b, TEXT(SIM_RVA_WORK) + i, &handle), 0);
        assert_int_equal(handle, i + 1);
    }
    assert_int_equal(bench_breakpoint(b, TEXT(SIM_RVA_WORK) + 32, &handle), UNSUCCESS);
    kd_target_remove_breakpoints(&b->target);
    sim_machine_ops()->read_virtual(&b->machine, TEXT(SIM_RVA_WORK), after, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(bench_breakpoint(b, TEXT(SIM_RVA_WORK), &handle), 0);
    assert_int_equal(handle, 1);
}

static void reads_show_the_bytes_under_breakpoints(void **state)
{
    struct bench *b = *state;
    uint64_t at = TEXT(SIM_RVA_FIB);
    uint8_t before[8], shown[8];
    uint32_t handle;
    bench_read_memory(b, at - 4, before, sizeof before);
    assert_int_equal(bench_breakpoint(b, at, &handle), 0);
    assert_int_equal(bench_breakpoint(b, at + 3, &handle), 0);
    bench_read_memory(b, at - 4, shown, sizeof shown);
    assert_memory_equal(before, shown, sizeof before);
    bench_read_memory(b, at + 3, shown, 1);
    assert_int_equal(shown[0], before[7]);
}

static void writes_go_under_breakpoints(void **state)
{
    struct bench *b = *state;
    uint64_t at = TEXT(SIM_RVA_FIB);
    static const uint8_t fresh[3] = {0x11, 0x22, 0x33};
    uint8_t shown[3];
    uint32_t handle;
    assert_int_equal(bench_breakpoint(b, at, &handle), 0);
    assert_int_equal(bench_write_memory(b, at - 1, fresh, sizeof fresh), 0);
    assert_int_equal(byte_at(b, at), 0xCC); /* the breakpoint survives */
    assert_int_equal(byte_at(b, at + 1), 0x33);
    bench_read_memory(b, at - 1, shown, sizeof shown);
    assert_memory_equal(shown, fresh, sizeof fresh);
    kd_target_remove_breakpoints(&b->target);
    assert_int_equal(byte_at(b, at), 0x22);
}

static void code_that_was_replaced_is_left_alone(void **state)
{
    struct bench *b = *state;
    uint64_t at = TEXT(SIM_RVA_FIB);
    uint8_t byte = 0x99, shown;
    uint32_t handle;
    assert_int_equal(bench_breakpoint(b, at, &handle), 0);
    sim_machine_ops()->write_virtual(&b->machine, at, &byte, 1); /* the debuggee itself */
    bench_read_memory(b, at, &shown, 1);
    assert_int_equal(shown, 0x99);
    kd_target_remove_breakpoints(&b->target);
    assert_int_equal(byte_at(b, at), 0x99);
    assert_int_equal(bench_breakpoint(b, at, &handle), 0);
    assert_int_equal(bench_breakpoint(b, SIM_HAL_BASE + 0x1000, &handle), 0);
    kd_target_forget_range(&b->target, SIM_KERNEL_BASE, SIM_IMAGE_SIZE);
    assert_int_equal(byte_at(b, at), 0xCC);
    assert_false(kd_target_has_breakpoint(&b->target, at));
    assert_true(kd_target_has_breakpoint(&b->target, SIM_HAL_BASE + 0x1000));
}

/* As NT does: those that reach into the instruction stream go, the others stay. */
static void a_stop_removes_breakpoints_near_the_program_counter(void **state)
{
    struct bench *b = *state;
    uint64_t pc = TEXT(SIM_RVA_FIB);
    uint8_t before[16], body[KD_BODY_MAX];
    uint32_t inside, last, behind, ahead;
    bench_read_memory(b, pc, before, sizeof before);
    bench_breakpoint(b, pc, &inside);
    bench_breakpoint(b, pc + 15, &last);
    bench_breakpoint(b, pc + 16, &behind);
    bench_breakpoint(b, pc - 1, &ahead);
    bench_continue2(b, GO, false, 0x400);
    b->machine.cpus[0].rip = pc;
    bench_stop(b, 0);
    assert_memory_equal(b->messages[0].body + KD_AT(ControlReportAmd64, InstructionStream), before,
                        16);
    assert_int_equal(byte_at(b, pc), before[0]);
    assert_int_equal(byte_at(b, pc + 16), 0xCC);
    assert_int_equal(byte_at(b, pc - 1), 0xCC);
    bench_request(body, KD_API_RestoreBreakPoint);
    KD_PUT(body, RestoreBreakPoint, BreakPointHandle, inside);
    assert_int_equal(REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE)), UNSUCCESS);
    KD_PUT(body, RestoreBreakPoint, BreakPointHandle, behind);
    assert_int_equal(REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE)), 0);
}

static uint32_t custom(struct bench *b, uint64_t address, uint64_t instruction, uint8_t size,
                       uint8_t alignment, uint32_t *handle)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_WriteCustomBreakpoint);
    KD_PUT(body, CustomBreakpoint, BreakPointAddress, address);
    KD_PUT(body, CustomBreakpoint, BreakPointInstruction, instruction);
    KD_PUT(body, CustomBreakpoint, BreakPointInstructionSize, size);
    KD_PUT(body, CustomBreakpoint, BreakPointInstructionAlignment, alignment);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    *handle = (uint32_t)KD_GET(m->body, CustomBreakpoint, BreakPointHandle);
    return REPLY_STATUS(m);
}

static void custom_breakpoints(void **state)
{
    struct bench *b = *state;
    uint64_t at = TEXT(SIM_RVA_FIB);
    uint8_t before[4], shown[4], body[KD_BODY_MAX];
    uint32_t handle;
    bench_read_memory(b, at, before, sizeof before);
    assert_int_equal(custom(b, at, 0x0B0F, 2, 1, &handle), 0); /* ud2 */
    assert_int_equal(byte_at(b, at), 0x0F);
    assert_int_equal(byte_at(b, at + 1), 0x0B);
    bench_read_memory(b, at, shown, sizeof shown);
    assert_memory_equal(before, shown, sizeof before);
    bench_read_memory(b, at + 1, shown, 1);
    assert_int_equal(shown[0], before[1]);
    uint32_t other;
    assert_int_equal(bench_breakpoint(b, at + 1, &other), UNSUCCESS); /* overlaps */
    bench_request(body, KD_API_RestoreBreakPoint);
    KD_PUT(body, RestoreBreakPoint, BreakPointHandle, handle);
    assert_int_equal(REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE)), 0);
    assert_int_equal(byte_at(b, at), before[0]);
    assert_int_equal(custom(b, at, 0, 0, 1, &handle), KD_STATUS_INVALID_PARAMETER);
    assert_int_equal(custom(b, at, 0, 9, 1, &handle), KD_STATUS_INVALID_PARAMETER);
    assert_int_equal(custom(b, at + 1, 0, 4, 4, &handle), KD_STATUS_INVALID_PARAMETER);
    assert_int_equal(custom(b, at, 0, 8, 0, &handle), 0);
}

static void put_entry(uint8_t *body, size_t index, uint64_t address, uint32_t handle)
{
    uint8_t *entry = body + KD_MANIPULATE_SIZE + index * 16;
    KD_PUT(entry, BreakPointEntry, Address, address);
    KD_PUT(entry, BreakPointEntry, Handle, handle);
    KD_PUT(entry, BreakPointEntry, Pad, 0);
}

static uint32_t entry_handle(const struct bench_message *m, size_t index)
{
    return (uint32_t)KD_GET(m->body + KD_MANIPULATE_SIZE + index * 16, BreakPointEntry, Handle);
}

static void lists_of_breakpoints(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_WriteBreakPointEx);
    KD_PUT(body, BreakPointEx, BreakPointCount, 2);
    KD_PUT(body, BreakPointEx, ContinueStatus, 0);
    put_entry(body, 0, TEXT(SIM_RVA_FIB), 0);
    put_entry(body, 1, TEXT(SIM_RVA_WORK), 0);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + 32);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + 32);
    assert_int_equal(entry_handle(m, 0), 1);
    assert_int_equal(entry_handle(m, 1), 2);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);

    /* One moves, one only goes; one that cannot be set makes the whole a failure. */
    KD_PUT(body, BreakPointEx, BreakPointCount, 3);
    put_entry(body, 0, TEXT(SIM_RVA_SAY), 1);
    put_entry(body, 1, 0, 2);
    put_entry(body, 2, 0x1000, 0);
    m = bench_ask(b, body, KD_MANIPULATE_SIZE + 48);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(entry_handle(m, 0), 1);
    assert_int_equal(entry_handle(m, 2), 0);
    assert_false(kd_target_has_breakpoint(&b->target, TEXT(SIM_RVA_FIB)));
    assert_false(kd_target_has_breakpoint(&b->target, TEXT(SIM_RVA_WORK)));
    assert_int_equal(byte_at(b, TEXT(SIM_RVA_SAY)), 0xCC);

    bench_request(body, KD_API_RestoreBreakPointEx);
    KD_PUT(body, BreakPointEx, BreakPointCount, 2);
    KD_PUT(body, BreakPointEx, ContinueStatus, 0);
    kd_put_u32(body + KD_MANIPULATE_SIZE, 1);
    kd_put_u32(body + KD_MANIPULATE_SIZE + 4, 77);
    m = bench_ask(b, body, KD_MANIPULATE_SIZE + 8);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + 8); /* the handles, unchanged */
    assert_int_equal(kd_get_u32(m->body + KD_MANIPULATE_SIZE + 4), 77);
    assert_int_not_equal(byte_at(b, TEXT(SIM_RVA_SAY)), 0xCC);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);
}

static void a_bad_list_ends_the_stop(void **state)
{
    static const struct {
        uint32_t api, count, status;
        size_t data;
    } bad[] = {
        {KD_API_WriteBreakPointEx, 2, 0, 31},   {KD_API_WriteBreakPointEx, 33, 0, 33 * 16},
        {KD_API_RestoreBreakPointEx, 1, 0, 0},  {KD_API_RestoreBreakPointEx, 0xFFFFFFFF, 0, 8},
        {KD_API_RestoreBreakPointEx, 0, GO, 0}, /* a good one with a status does as well */
    };
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bench_request(body, bad[i].api);
        KD_PUT(body, BreakPointEx, BreakPointCount, bad[i].count);
        KD_PUT(body, BreakPointEx, ContinueStatus, bad[i].status);
        const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + bad[i].data);
        assert_int_equal(REPLY_STATUS(m), bad[i].status ? 0 : UNSUCCESS);
        assert_int_equal(m->size, KD_MANIPULATE_SIZE);
        assert_resumed(b, KD_TARGET_NOT_HANDLED);
        bench_stop(b, 0);
    }
}

/* ---- Run control ---- */

static void continue_says_how(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    static const struct {
        uint32_t status;
        enum kd_target_resume how;
    } forms[] = {
        {KD_DBG_CONTINUE, KD_TARGET_CONTINUE},
        {KD_DBG_EXCEPTION_HANDLED, KD_TARGET_CONTINUE},
        {0, KD_TARGET_CONTINUE},
        {KD_DBG_EXCEPTION_NOT_HANDLED, KD_TARGET_NOT_HANDLED},
        {KD_STATUS_UNSUCCESSFUL, KD_TARGET_NOT_HANDLED},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        bench_request(body, KD_API_Continue);
        KD_PUT(body, Continue, ContinueStatus, forms[i].status);
        b->machine.cpus[0].rflags = 0x302;
        bench_tell(b, body, KD_MANIPULATE_SIZE);
        assert_resumed(b, forms[i].how);
        assert_int_equal(b->machine.cpus[0].rflags, 0x302); /* untouched by the plain form */
        assert_int_equal(b->machine.cpus[0].dr[7], 0x400);
        bench_stop(b, 0);
    }
}

static void continue2_sets_trace_flag_and_dr7(void **state)
{
    struct bench *b = *state;
    b->machine.cpus[0].dr[6] = b->machine.cpus[1].dr[6] = 0xFFFF4FF1;
    bench_continue2(b, GO, true, 0x403);
    assert_resumed(b, KD_TARGET_CONTINUE);
    assert_int_equal(b->machine.cpus[0].rflags & 0x100, 0x100);
    assert_int_equal(b->machine.cpus[1].rflags & 0x100, 0); /* the stopped one only */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(b->machine.cpus[i].dr[7], 0x403);
        assert_int_equal(b->machine.cpus[i].dr[6], 0);
    }
    bench_stop(b, 0);
    bench_continue2(b, GO, false, 0x400);
    assert_int_equal(b->machine.cpus[0].rflags & 0x100, 0);
    bench_stop(b, 0);
    bench_continue2(b, KD_DBG_EXCEPTION_NOT_HANDLED, true, 0x455);
    assert_resumed(b, KD_TARGET_NOT_HANDLED);
    assert_int_equal(b->machine.cpus[0].rflags & 0x100, 0);
    assert_int_equal(b->machine.cpus[0].dr[7], 0x400);
}

static void switch_processor(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_SwitchProcessor);
    KD_PUT(body, Manipulate, Processor, 1);
    bench_tell(b, body, KD_MANIPULATE_SIZE);
    assert_resumed(b, KD_TARGET_SWITCH);
    assert_int_equal(kd_target_switch_to(&b->target), 1);
    bench_stop(b, 1);
    assert_int_equal(KD_GET(b->messages[0].body, StateChange, Processor), 1);
    bench_continue2(b, GO, true, 0x400);
    assert_int_equal(b->machine.cpus[1].rflags & 0x100, 0x100); /* the one that reported last */
    bench_stop(b, 0);
    KD_PUT(body, Manipulate, Processor, 2);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);
}

static void reboot_and_bug_check(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_Reboot);
    bench_tell(b, body, KD_MANIPULATE_SIZE); /* acknowledged, not answered */
    assert_resumed(b, KD_TARGET_REBOOT);
    bench_stop(b, 0);
    bench_request(body, KD_API_CauseBugCheck);
    bench_tell(b, body, KD_MANIPULATE_SIZE);
    assert_resumed(b, KD_TARGET_BUG_CHECK);
}

/* ---- Text, questions, files ---- */

static void prints_are_cut_and_acknowledged(void **state)
{
    struct bench *b = *state;
    char text[2000];
    memset(text, 't', sizeof text);
    assert_int_equal(kd_target_print(&b->target, 0, 1, text, sizeof text), KD_PRINT_MAX);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_SENDING);
    assert_int_equal(kd_target_print(&b->target, 0, 0, text, 1), 0); /* busy */
    bench_pump(b);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(m->type, KD_PACKET_DEBUG_IO);
    assert_int_equal(m->size, KD_DEBUG_IO_SIZE + KD_PRINT_MAX);
    assert_int_equal(KD_GET(m->body, DebugIo, ApiNumber), KD_API_PRINT_STRING);
    assert_int_equal(KD_GET(m->body, DebugIo, Processor), 1);
    assert_int_equal(KD_GET(m->body, DebugIo, LengthOfString), KD_PRINT_MAX);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
    assert_true(kd_target_attached(&b->target));
}

static void a_print_without_debugger_is_given_up(void **state)
{
    struct bench *b = *state;
    const uint8_t *bytes;
    assert_int_equal(kd_target_print(&b->target, 0, 0, "anybody?", 8), 8);
    for (uint64_t now = 0; kd_target_state(&b->target) == KD_TARGET_SENDING; now += 100000) {
        assert_true(now < 60000000); /* within its retries */
        kd_target_tick(&b->target, now);
        size_t size = kd_target_output(&b->target, &bytes);
        if (size)
            kd_target_written(&b->target, now, size);
    }
    assert_false(kd_target_attached(&b->target));
    assert_int_equal(kd_target_link_stats(&b->target)->drops, 1);
}

static void trace_data(void **state)
{
    struct bench *b = *state;
    uint8_t data[KD_BODY_MAX] = {1, 2, 3};
    assert_int_equal(kd_target_trace(&b->target, 0, 0, data, KD_BODY_MAX), KD_E_TOO_LONG);
    assert_int_equal(kd_target_trace(&b->target, 0, 0, data, KD_BODY_MAX - KD_TRACE_IO_SIZE),
                     KD_OK);
    bench_pump(b);
    assert_int_equal(b->messages[0].type, KD_PACKET_TRACE_IO);
    assert_int_equal(b->messages[0].size, KD_BODY_MAX);
    assert_int_equal(KD_GET(b->messages[0].body, TraceIo, LengthOfData),
                     KD_BODY_MAX - KD_TRACE_IO_SIZE);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
}

static void put_answer(uint8_t *body, uint32_t api, uint32_t length, const char *text)
{
    memset(body, 0, KD_BODY_MAX);
    KD_PUT(body, DebugIo, ApiNumber, api);
    KD_PUT(body, DebugIo, LengthOfStringRead, length);
    memcpy(body + KD_DEBUG_IO_SIZE, text, strlen(text));
}

static void prompt_and_answer(void **state)
{
    struct bench *b = *state;
    struct kd_target_answer answer;
    uint8_t body[KD_BODY_MAX];
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_E_NOT_FOUND);
    assert_int_equal(kd_target_prompt(&b->target, 0, 0, "Really? ", 8, 16), KD_OK);
    bench_pump(b);
    assert_int_equal(KD_GET(b->messages[0].body, DebugIo, ApiNumber), KD_API_GET_STRING);
    assert_int_equal(KD_GET(b->messages[0].body, DebugIo, LengthOfString), 8);
    assert_int_equal(KD_GET(b->messages[0].body, DebugIo, LengthOfStringRead), 16);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_ASKING);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_E_NOT_FOUND);
    put_answer(body, KD_API_PRINT_STRING, 3, "yes"); /* not an answer */
    bench_send(b, KD_PACKET_DEBUG_IO, body, KD_DEBUG_IO_SIZE + 3);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_ASKING);
    put_answer(body, KD_API_GET_STRING, 3, "yes");
    bench_send(b, KD_PACKET_DEBUG_IO, body, KD_DEBUG_IO_SIZE + 3);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.size, 3);
    assert_memory_equal(answer.bytes, "yes", 3);
}

static void lying_answers_are_cut(void **state)
{
    struct bench *b = *state;
    struct kd_target_answer answer;
    uint8_t body[KD_BODY_MAX];
    assert_int_equal(kd_target_prompt(&b->target, 0, 0, "?", 1, 16), KD_OK);
    bench_pump(b);
    put_answer(body, KD_API_GET_STRING, 0xFFFFFFFF, "abc"); /* claims more than came */
    bench_send(b, KD_PACKET_DEBUG_IO, body, KD_DEBUG_IO_SIZE + 3);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.size, 3);
    assert_int_equal(kd_target_prompt(&b->target, 0, 0, "?", 1, 16), KD_OK);
    bench_pump(b);
    put_answer(body, KD_API_GET_STRING, 300, "abc"); /* more than was asked for */
    bench_send(b, KD_PACKET_DEBUG_IO, body, KD_DEBUG_IO_SIZE + 300);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.size, 16);
}

static void send_file_answer(struct bench *b, uint32_t api, uint32_t status, uint64_t handle,
                             uint64_t length, const char *data)
{
    uint8_t body[KD_BODY_MAX] = {0};
    size_t size = data ? strlen(data) : 0;
    KD_PUT(body, FileIo, ApiNumber, api);
    KD_PUT(body, FileIo, Status, status);
    if (api == KD_API_CREATE_FILE) {
        KD_PUT(body, CreateFile, Handle, handle);
        KD_PUT(body, CreateFile, Length, length);
    } else {
        KD_PUT(body, ReadFile, Length, length);
    }
    if (size)
        memcpy(body + KD_FILE_IO_SIZE, data, size);
    bench_send(b, KD_PACKET_FILE_IO, body, KD_FILE_IO_SIZE + size);
}

static void file_requests(void **state)
{
    static const uint16_t path[] = {'\\', 'a', '.', 's', 'y', 's'};
    struct bench *b = *state;
    struct kd_target_answer answer;
    assert_int_equal(kd_target_create_file(&b->target, 0, path, 6, 0x120089, 0x80, 1, 1, 0), KD_OK);
    bench_pump(b);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(m->type, KD_PACKET_FILE_IO);
    assert_int_equal(m->size, KD_FILE_IO_SIZE + 14);
    assert_int_equal(KD_GET(m->body, FileIo, ApiNumber), KD_API_CREATE_FILE);
    assert_int_equal(KD_GET(m->body, CreateFile, DesiredAccess), 0x120089);
    assert_int_equal(kd_get_u16(m->body + KD_FILE_IO_SIZE), '\\');
    assert_int_equal(kd_get_u16(m->body + KD_FILE_IO_SIZE + 12), 0);
    send_file_answer(b, KD_API_CREATE_FILE, 0, 0x1122334455, 1000, NULL);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.status, 0);
    assert_int_equal(answer.handle, 0x1122334455);
    assert_int_equal(answer.length, 1000);

    assert_int_equal(kd_target_read_file(&b->target, 0, answer.handle, 8, 5), KD_OK);
    b->message_count = 0;
    bench_pump(b);
    assert_int_equal(KD_GET(b->messages[0].body, ReadFile, Offset), 8);
    assert_int_equal(KD_GET(b->messages[0].body, ReadFile, Length), 5);
    send_file_answer(b, KD_API_WRITE_FILE, 0, 0, 5, "wrong"); /* not what was asked */
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_ASKING);
    send_file_answer(b, KD_API_READ_FILE, 0, 0, 0xFFFFFFFF,
                     "contents"); /* a lie about the length */
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.size, 5);
    assert_memory_equal(answer.bytes, "conte", 5);

    assert_int_equal(kd_target_write_file(&b->target, 0, 7, 0, (const uint8_t *)"hello", 5), KD_OK);
    b->message_count = 0;
    bench_pump(b);
    assert_int_equal(b->messages[0].size, KD_FILE_IO_SIZE + 5);
    assert_memory_equal(b->messages[0].body + KD_FILE_IO_SIZE, "hello", 5);
    send_file_answer(b, KD_API_WRITE_FILE, 0, 0, 5, NULL);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.length, 5);

    assert_int_equal(kd_target_close_file(&b->target, 0, 7), KD_OK);
    bench_pump(b);
    send_file_answer(b, KD_API_CLOSE_FILE, KD_STATUS_NO_SUCH_FILE, 0, 0, NULL);
    assert_int_equal(kd_target_answer(&b->target, &answer), KD_OK);
    assert_int_equal(answer.status, KD_STATUS_NO_SUCH_FILE);

    uint8_t large[4000] = {0};
    assert_int_equal(kd_target_write_file(&b->target, 0, 7, 0, large, 3937), KD_E_TOO_LONG);
    assert_int_equal(kd_target_read_file(&b->target, 0, 7, 0, 3937), KD_E_TOO_LONG);
}

/* ---- The link under it ---- */

static void break_in_while_running_asks_for_a_stop(void **state)
{
    struct bench *b = *state;
    kd_link_send_break_in(&b->debugger, b->now);
    bench_pump(b);
    assert_true(kd_target_break_in_wanted(&b->target));
    assert_false(kd_target_break_in_wanted(&b->target)); /* reading clears it */
}

static void break_in_during_a_print_is_kept(void **state)
{
    struct bench *b = *state;
    uint8_t byte = 'b';
    kd_target_print(&b->target, 0, 0, "text", 4);
    kd_target_feed(&b->target, 0, &byte, 1);
    bench_wait(b, 3000000);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
    assert_true(kd_target_break_in_wanted(&b->target));
}

static void break_in_while_stopped_is_not_remembered(void **state)
{
    struct bench *b = *state;
    uint8_t byte = 'b';
    kd_target_feed(&b->target, b->now, &byte, 1);
    bench_wait(b, 1000000);
    bench_continue2(b, GO, false, 0x400);
    assert_false(kd_target_break_in_wanted(&b->target));
}

static void report_module(struct bench *b)
{
    const struct kd_target_image image = {.path = "a.sys", .base = 0x1000, .size = 0x1000};
    assert_int_equal(kd_target_report_image(&b->target, b->now, &image), KD_OK);
}

/* The user asks for a stop, and a module is loaded before the byte is looked at, or while it is on
 * its way. The debugger runs on from that stop by itself, and the user still waits. */
static void break_in_is_kept_over_a_module_stop_that_it_crosses(void **state)
{
    struct bench *b = *state;
    uint8_t byte = 'b';
    bench_continue2(b, GO, false, 0x400);
    for (int first = 0; first < 2; first++) {
        if (first)
            kd_target_feed(&b->target, b->now, &byte, 1);
        report_module(b);
        if (!first)
            kd_target_feed(&b->target, b->now, &byte, 1);
        bench_pump(b);
        bench_wait(b, 1000000);
        bench_continue2(b, GO, false, 0x400);
        assert_int_equal(kd_target_state(&b->target), KD_TARGET_RUNNING);
        assert_true(kd_target_break_in_wanted(&b->target));
    }
    report_module(b);
    bench_pump(b); /* the debugger knows of the stop: a byte now is noise */
    kd_target_feed(&b->target, b->now, &byte, 1);
    bench_wait(b, 1000000);
    bench_continue2(b, GO, false, 0x400);
    assert_false(kd_target_break_in_wanted(&b->target));
}

/* Bytes of a debugger that knocked before the target was there. */
static void break_in_of_nobody_attached_is_not_kept_over_a_module_stop(void **state)
{
    struct bench *b = *state;
    uint8_t byte = 'b';
    kd_target_feed(&b->target, b->now, &byte, 1);
    report_module(b);
    kd_target_feed(&b->target, b->now, &byte, 1);
    bench_pump(b);
    bench_wait(b, 1000000);
    bench_continue2(b, GO, false, 0x400);
    assert_false(kd_target_break_in_wanted(&b->target));
}

static void reset_while_stopped_brings_the_report_again(void **state)
{
    struct bench *b = *state;
    struct bench_message first = b->messages[0];
    b->message_count = 0;
    kd_link_send_reset(&b->debugger, b->now);
    bench_pump(b);
    assert_true(b->message_count >= 1);
    const struct bench_message *m = &b->messages[b->message_count - 1];
    assert_int_equal(m->type, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(m->size, first.size);
    assert_memory_equal(m->body, first.body, first.size);
}

static void reset_while_asking_brings_the_question_again(void **state)
{
    struct bench *b = *state;
    kd_target_prompt(&b->target, b->now, 0, "Really? ", 8, 16);
    bench_pump(b);
    b->message_count = 0;
    kd_link_send_reset(&b->debugger, b->now);
    bench_pump(b);
    assert_true(b->message_count >= 1);
    assert_int_equal(b->messages[b->message_count - 1].type, KD_PACKET_DEBUG_IO);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_ASKING);
}

static void reset_while_running_breaks_in_only_if_wanted(void **state)
{
    static const struct kd_target_config config = {.reset_breaks_in = true};
    struct bench *b = *state;
    kd_link_send_reset(&b->debugger, b->now);
    bench_pump(b);
    assert_false(kd_target_break_in_wanted(&b->target));
    struct bench *willing = bench_new(&config, NULL, NULL);
    kd_link_send_reset(&willing->debugger, willing->now);
    bench_pump(willing);
    assert_true(kd_target_break_in_wanted(&willing->target));
    bench_free(willing);
}

/* Nobody there: an image report is given up, an exception is not. */
static void image_reports_are_droppable_exceptions_not(void **state)
{
    struct bench *b = *state;
    const uint8_t *bytes;
    struct kd_target_image image = {.path = "lonely.efi"};
    struct kd_target_exception e = {.code = KD_STATUS_BREAKPOINT};
    uint64_t now = 0;
    assert_int_equal(kd_target_report_image(&b->target, now, &image), KD_OK);
    for (; kd_target_state(&b->target) == KD_TARGET_STOPPED && now < 60000000; now += 100000) {
        kd_target_tick(&b->target, now);
        kd_target_written(&b->target, now, kd_target_output(&b->target, &bytes));
    }
    assert_resumed(b, KD_TARGET_ABANDONED);
    assert_int_equal(kd_target_report_exception(&b->target, now, &e), KD_OK);
    for (uint64_t until = now + 100000000; now < until; now += 100000) {
        kd_target_tick(&b->target, now);
        kd_target_written(&b->target, now, kd_target_output(&b->target, &bytes));
    }
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);
    kd_target_abandon(&b->target);
    assert_resumed(b, KD_TARGET_ABANDONED);
    b->now = now;
    bench_stop(b, 0); /* and it works with a debugger afterwards */
}

/* What a caller that will not wait for a debugger that left goes by. */
static void a_report_nobody_takes_shows_that_the_debugger_left(void **state)
{
    struct bench *b = *state;
    const uint8_t *bytes;
    struct kd_target_image image = {.path = "late.efi"};
    assert_int_equal(kd_target_print(&b->target, b->now, 0, "hi", 2), 2);
    assert_false(kd_target_report_taken(&b->target));
    bench_pump(b);
    assert_true(kd_target_report_taken(&b->target));
    assert_true(kd_target_attached(&b->target));

    assert_int_equal(kd_target_report_image(&b->target, b->now, &image), KD_OK);
    kd_target_written(&b->target, b->now, kd_target_output(&b->target, &bytes)); /* into the void */
    assert_false(kd_target_report_taken(&b->target));
    assert_true(kd_target_attached(&b->target)); /* so far */
    kd_target_abandon(&b->target);
    assert_resumed(b, KD_TARGET_ABANDONED);
    assert_false(kd_target_attached(&b->target));
}

static void a_new_wire_gets_the_report_again(void **state)
{
    static const struct kd_link_config fresh = {.role = KD_ROLE_DEBUGGER};
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    kd_link_init(&b->debugger, &fresh);
    b->message_count = 0;
    kd_target_restart_link(&b->target, b->now);
    bench_pump(b);
    assert_int_equal(b->message_count, 1);
    assert_int_equal(b->messages[0].type, KD_PACKET_STATE_CHANGE64);
    bench_request(body, KD_API_GetVersion);
    assert_int_equal(REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE)), 0);
}

static void requests_while_running_are_ignored(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX], byte;
    bench_request(body, KD_API_WriteVirtualMemory);
    KD_PUT(body, ReadMemory, TargetBaseAddress, TEXT(SIM_RVA_ANSWER));
    KD_PUT(body, ReadMemory, TransferCount, 1);
    (void)kd_link_send(&b->debugger, b->now, KD_PACKET_STATE_MANIPULATE, body,
                       KD_MANIPULATE_SIZE + 1, NULL, 0);
    bench_pump(b);
    assert_int_equal(b->message_count, 0);
    byte = byte_at(b, TEXT(SIM_RVA_ANSWER));
    assert_int_equal(byte, 0);
}

static void too_short_requests_are_ignored(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_GetVersion);
    b->message_count = 0;
    (void)kd_link_send(&b->debugger, b->now, KD_PACKET_STATE_MANIPULATE, body, 55, NULL, 0);
    /* Not pumped to the end: a target answers such a packet with RESEND again and again. */
    for (int i = 0; i < 4; i++) {
        const uint8_t *bytes;
        size_t size = kd_link_output(&b->debugger, &bytes);
        kd_target_feed(&b->target, b->now, bytes, size);
        kd_link_written(&b->debugger, b->now, size);
        kd_target_written(&b->target, b->now, kd_target_output(&b->target, &bytes));
    }
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);
    assert_int_equal(kd_target_link_stats(&b->target)->packets_out, 1); /* the report */
}

int main(void)
{
#define RUNNING(name) cmocka_unit_test_setup_teardown(name, start_running, end)
#define STOPPED(name) cmocka_unit_test_setup_teardown(name, start_stopped, end)
    const struct CMUnitTest tests[] = {
        RUNNING(exception_report),
        RUNNING(reports_check_the_processor),
        RUNNING(image_report),
        RUNNING(a_very_long_path_is_cut),
        RUNNING(command_report),
        RUNNING(a_report_at_unreadable_code),
        STOPPED(breakpoints_are_set_and_removed),
        STOPPED(bad_breakpoints_are_refused),
        cmocka_unit_test(protected_addresses_are_refused),
        STOPPED(there_are_32_breakpoints),
        STOPPED(reads_show_the_bytes_under_breakpoints),
        STOPPED(writes_go_under_breakpoints),
        STOPPED(code_that_was_replaced_is_left_alone),
        STOPPED(a_stop_removes_breakpoints_near_the_program_counter),
        STOPPED(custom_breakpoints),
        STOPPED(lists_of_breakpoints),
        STOPPED(a_bad_list_ends_the_stop),
        STOPPED(continue_says_how),
        STOPPED(continue2_sets_trace_flag_and_dr7),
        STOPPED(switch_processor),
        STOPPED(reboot_and_bug_check),
        RUNNING(prints_are_cut_and_acknowledged),
        RUNNING(a_print_without_debugger_is_given_up),
        RUNNING(trace_data),
        RUNNING(prompt_and_answer),
        RUNNING(lying_answers_are_cut),
        RUNNING(file_requests),
        RUNNING(break_in_while_running_asks_for_a_stop),
        RUNNING(break_in_during_a_print_is_kept),
        STOPPED(break_in_while_stopped_is_not_remembered),
        STOPPED(break_in_is_kept_over_a_module_stop_that_it_crosses),
        RUNNING(break_in_of_nobody_attached_is_not_kept_over_a_module_stop),
        STOPPED(reset_while_stopped_brings_the_report_again),
        RUNNING(reset_while_asking_brings_the_question_again),
        RUNNING(reset_while_running_breaks_in_only_if_wanted),
        RUNNING(image_reports_are_droppable_exceptions_not),
        RUNNING(a_report_nobody_takes_shows_that_the_debugger_left),
        STOPPED(a_new_wire_gets_the_report_again),
        RUNNING(requests_while_running_are_ignored),
        STOPPED(too_short_requests_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
