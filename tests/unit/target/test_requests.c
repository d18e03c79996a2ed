/* SPDX-License-Identifier: BSD-2-Clause */
/* Every request: what it does, how it is refused, and that no length or number hurts. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(rva)    (SIM_KERNEL_BASE + (rva))
#define UNMAPPED     0x1000u
#define UNSUCCESS    KD_STATUS_UNSUCCESSFUL
#define BAD_ARGUMENT KD_STATUS_INVALID_PARAMETER

static int start_stopped(void **state)
{
    struct bench *b = bench_new(NULL, NULL, NULL);
    bench_stop(b, 0);
    *state = b;
    return 0;
}

static int end(void **state)
{
    bench_free(*state);
    return 0;
}

static const struct bench_message *ask_api(struct bench *b, uint32_t api, uint8_t *body)
{
    KD_PUT(body, Manipulate, ApiNumber, api);
    return bench_ask(b, body, KD_MANIPULATE_SIZE);
}

/* What is neither output nor data comes back as it was sent. */
static void assert_echoed(const struct bench_message *m, const uint8_t *request, size_t from)
{
    assert_memory_equal(m->body + from, request + from, KD_MANIPULATE_SIZE - from);
}

static void version_of_a_boot_debugger(void **state)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_GetVersion);
    KD_PUT(body, Manipulate, Processor, 0xFFFF); /* as WinDbg does */
    const struct bench_message *m = bench_ask(*state, body, KD_MANIPULATE_SIZE);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, GetVersion, MajorVersion), 0x040F);
    assert_int_equal(KD_GET(m->body, GetVersion, ProtocolVersion), 6);
    assert_int_equal(KD_GET(m->body, GetVersion, KdSecondaryVersion), 2);
    assert_int_equal(KD_GET(m->body, GetVersion, MachineType), KD_MACHINE_AMD64);
    assert_int_equal(KD_GET(m->body, GetVersion, MaxPacketType), 12);
    assert_int_equal(KD_GET(m->body, GetVersion, MaxStateChange), 0x32);
    assert_int_equal(KD_GET(m->body, GetVersion, MaxManipulate), 0x59);
    assert_int_equal(KD_GET(m->body, GetVersion, KernBase), SIM_KERNEL_BASE);
    assert_int_equal(KD_GET(m->body, GetVersion, PsLoadedModuleList), sim_loaded_module_list());
    assert_int_equal(KD_GET(m->body, GetVersion, DebuggerDataList), 0);
}

static void version_of_a_kernel(void **state)
{
    static const struct sim_config kernel = {.windows_kernel = true};
    uint8_t body[KD_BODY_MAX];
    (void)state;
    struct bench *b = bench_new(NULL, &kernel, NULL);
    bench_stop(b, 0);
    assert_int_equal(KD_GET(b->messages[0].body, ControlReportAmd64, ReportFlags), 3);
    bench_request(body, KD_API_GetVersion);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(KD_GET(m->body, GetVersion, MajorVersion), 0x000F);
    assert_int_equal(KD_GET(m->body, GetVersion, MaxStateChange), 3);
    assert_int_equal(KD_GET(m->body, GetVersion, MaxManipulate), 0x31);
    bench_free(b);
}

static const struct bench_message *ask_read(struct bench *b, uint32_t api, uint64_t address,
                                            uint32_t size, uint8_t *body)
{
    bench_request(body, api);
    KD_PUT(body, ReadMemory, TargetBaseAddress, address);
    KD_PUT(body, ReadMemory, TransferCount, size);
    return bench_ask(b, body, KD_MANIPULATE_SIZE);
}

static void assert_read(const struct bench_message *m, uint32_t status, size_t size)
{
    assert_int_equal(REPLY_STATUS(m), status);
    assert_int_equal(KD_GET(m->body, ReadMemory, ActualBytes), size);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + size);
}

static void reads_virtual_memory(void **state)
{
    uint8_t body[KD_BODY_MAX];
    const struct bench_message *m =
        ask_read(*state, KD_API_ReadVirtualMemory, SIM_KERNEL_BASE, 64, body);
    assert_read(m, 0, 64);
    assert_memory_equal(m->body + KD_MANIPULATE_SIZE, "MZ", 2);
    assert_echoed(m, body, 32); /* junk behind the fields */
    assert_int_equal(KD_GET(m->body, ReadMemory, TransferCount), 64);

    assert_read(ask_read(*state, KD_API_ReadVirtualMemory, UNMAPPED, 64, body), UNSUCCESS, 0);
    uint64_t end_of_data = SIM_KERNEL_BASE + SIM_IMAGE_SIZE - 10;
    assert_read(ask_read(*state, KD_API_ReadVirtualMemory, end_of_data, 64, body), UNSUCCESS, 10);
    assert_read(ask_read(*state, KD_API_ReadVirtualMemory, SIM_KERNEL_BASE, 0, body), 0, 0);
    assert_read(ask_read(*state, KD_API_ReadVirtualMemory, UINT64_MAX - 3, 64, body), UNSUCCESS, 0);
}

static void clamps_reads_to_a_packet(void **state)
{
    static const uint32_t sizes[] = {3944, 3945, 0x7FFFFFFF, 0xFFFFFFFF};
    uint8_t body[KD_BODY_MAX];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_read(ask_read(*state, KD_API_ReadVirtualMemory, SIM_KERNEL_BASE, sizes[i], body), 0,
                    KD_MANIPULATE_DATA_MAX);
}

static void short_reads_fail_if_so_configured(void **state)
{
    static const struct kd_target_config config = {.short_reads_fail = true};
    uint8_t body[KD_BODY_MAX];
    (void)state;
    struct bench *b = bench_new(&config, NULL, NULL);
    bench_stop(b, 0);
    uint64_t end_of_data = SIM_KERNEL_BASE + SIM_IMAGE_SIZE - 10;
    assert_read(ask_read(b, KD_API_ReadVirtualMemory, end_of_data, 64, body), UNSUCCESS, 0);
    bench_free(b);
}

static void writes_virtual_memory(void **state)
{
    static const char text[] = "written by the debugger";
    uint64_t address = TEXT(SIM_RVA_ANSWER);
    char back[sizeof text];
    assert_int_equal(bench_write_memory(*state, address, text, sizeof text), 0);
    assert_int_equal(bench_read_memory(*state, address, back, sizeof back), 0);
    assert_string_equal(back, text);
    assert_int_equal(bench_write_memory(*state, SIM_ROM_BASE, text, sizeof text), UNSUCCESS);
    assert_int_equal(bench_write_memory(*state, UNMAPPED, text, sizeof text), UNSUCCESS);
}

static void refuses_writes_whose_data_did_not_come(void **state)
{
    uint8_t body[KD_BODY_MAX], byte = 0x77, back = 0;
    uint64_t address = TEXT(SIM_RVA_ANSWER);
    bench_write_memory(*state, address, &byte, 1);
    bench_request(body, KD_API_WriteVirtualMemory);
    KD_PUT(body, ReadMemory, TargetBaseAddress, address);
    KD_PUT(body, ReadMemory, TransferCount, 0xFFFFFFFF);
    const struct bench_message *m = bench_ask(*state, body, KD_MANIPULATE_SIZE + 8);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(KD_GET(m->body, ReadMemory, ActualBytes), 0);
    bench_read_memory(*state, address, &back, 1);
    assert_int_equal(back, 0x77);
}

static void reads_and_writes_physical_memory(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    uint64_t physical = 0;
    for (size_t i = 0; i < b->machine.region_count; i++) {
        if (b->machine.regions[i].base == TEXT(SIM_RVA_DATA))
            physical = b->machine.regions[i].physical;
    }
    bench_request(body, KD_API_WritePhysicalMemory);
    KD_PUT(body, PhysicalMemory, TargetBaseAddress, physical + 0x2C0);
    KD_PUT(body, PhysicalMemory, TransferCount, 5);
    KD_PUT(body, PhysicalMemory, CacheFlags, 2);
    memcpy(body + KD_MANIPULATE_SIZE, "hello", 5);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + 5);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    assert_int_equal(KD_GET(m->body, ReadMemory, ActualBytes), 5);
    m = ask_read(b, KD_API_ReadPhysicalMemory, physical + 0x2C0, 5, body);
    assert_read(m, 0, 5);
    assert_memory_equal(m->body + KD_MANIPULATE_SIZE, "hello", 5);
    assert_read(ask_read(b, KD_API_ReadPhysicalMemory, 0x10, 5, body), UNSUCCESS, 0);
}

static void context_goes_out_and_in(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX], context[KD_CONTEXT_AMD64_SIZE];
    b->machine.cpus[0].gpr[8] = 0x1122334455667788;
    bench_request(body, KD_API_GetContext);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + KD_CONTEXT_AMD64_SIZE);
    assert_echoed(m, body, 16);
    memcpy(context, m->body + KD_MANIPULATE_SIZE, sizeof context);
    assert_int_equal(KD_GET(context, ContextAmd64, R8), 0x1122334455667788);
    assert_int_equal(KD_GET(context, ContextAmd64, Rip), TEXT(SIM_RVA_MAIN));

    KD_PUT(context, ContextAmd64, Rip, TEXT(SIM_RVA_FIB));
    KD_PUT(context, ContextAmd64, R15, 15);
    KD_PUT(context, ContextAmd64, SegGs, 0x33);
    KD_PUT(context, ContextAmd64, Dr0, 0x1234);
    bench_request(body, KD_API_SetContext);
    memcpy(body + KD_MANIPULATE_SIZE, context, sizeof context);
    m = bench_ask(b, body, KD_MANIPULATE_SIZE + sizeof context);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    assert_int_equal(b->machine.cpus[0].rip, TEXT(SIM_RVA_FIB));
    assert_int_equal(b->machine.cpus[0].gpr[15], 15);
    assert_int_equal(b->machine.cpus[0].gs, 0x33);
    assert_int_equal(b->machine.cpus[0].dr[0], 0x1234);
}

static uint32_t set_context_with_flags(struct bench *b, uint32_t flags, uint64_t every_byte)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_SetContext);
    memset(body + KD_MANIPULATE_SIZE, (int)every_byte, KD_CONTEXT_AMD64_SIZE);
    KD_PUT(body + KD_MANIPULATE_SIZE, ContextAmd64, ContextFlags, flags);
    return REPLY_STATUS(bench_ask(b, body, KD_MANIPULATE_SIZE + KD_CONTEXT_AMD64_SIZE));
}

static void context_flags_say_what_is_set(void **state)
{
    struct bench *b = *state;
    struct sim_cpu *cpu = &b->machine.cpus[0];
    struct sim_cpu before = *cpu;
    assert_int_equal(set_context_with_flags(b, 0x100002, 0x5A), 0); /* integers only */
    assert_int_equal(cpu->gpr[SIM_RAX], 0x5A5A5A5A5A5A5A5A);
    assert_int_equal(cpu->gpr[15], 0x5A5A5A5A5A5A5A5A);
    assert_int_equal(cpu->gpr[SIM_RSP], before.gpr[SIM_RSP]);
    assert_int_equal(cpu->rip, before.rip);
    assert_int_equal(cpu->ds, before.ds);
    assert_int_equal(cpu->dr[3], before.dr[3]);
    assert_int_equal(set_context_with_flags(b, 0x100001, 0x22), 0); /* control only */
    assert_int_equal(cpu->rip, 0x2222222222222222);
    assert_int_equal(cpu->gpr[SIM_RSP], 0x2222222222222222);
    assert_int_equal(cpu->gpr[SIM_RAX], 0x5A5A5A5A5A5A5A5A);
    assert_int_equal(set_context_with_flags(b, 0x100008, 0x33), 0); /* floating point only */
    assert_int_equal(b->machine.fxsave[0][160], 0x33);
    assert_int_equal(b->machine.fxsave[0][511], 0x33);
    assert_int_equal(cpu->dr[0], before.dr[0]);
    assert_int_equal(set_context_with_flags(b, 0x100000, 0x44), 0); /* nothing */
    assert_int_equal(cpu->gpr[SIM_RAX], 0x5A5A5A5A5A5A5A5A);
    assert_int_equal(set_context_with_flags(b, 0x10001F, 0x44), 0);
    assert_int_equal(cpu->dr[3], 0x4444444444444444);
    /* another machine's context */
    assert_int_equal(set_context_with_flags(b, 0x10007, 0x55), BAD_ARGUMENT);
    assert_int_equal(cpu->gpr[SIM_RAX], 0x4444444444444444);
}

static void contexts_of_other_processors(void **state)
{
    struct bench *b = *state;
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_GetContext);
    KD_PUT(body, Manipulate, Processor, 1);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(KD_GET(m->body + KD_MANIPULATE_SIZE, ContextAmd64, Rip), TEXT(SIM_RVA_IDLE));
    KD_PUT(body, Manipulate, Processor, 2); /* there are two */
    m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    bench_request(body, KD_API_SetContext); /* too short by one byte */
    m = bench_ask(b, body, KD_MANIPULATE_SIZE + KD_CONTEXT_AMD64_SIZE - 1);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
}

static const struct bench_message *ask_part(struct bench *b, uint32_t offset, uint32_t size)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_GetContextEx);
    KD_PUT(body, ContextEx, Offset, offset);
    KD_PUT(body, ContextEx, ByteCount, size);
    return bench_ask(b, body, KD_MANIPULATE_SIZE);
}

static void context_ex_in_parts(void **state)
{
    struct bench *b = *state;
    const struct bench_message *m = ask_part(b, 0, KD_CONTEXT_AMD64_SIZE);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + KD_CONTEXT_AMD64_SIZE);
    assert_int_equal(KD_GET(m->body, ContextEx, BytesCopied), KD_CONTEXT_AMD64_SIZE);
    assert_int_equal(KD_GET(m->body, ContextEx, ByteCount), KD_CONTEXT_AMD64_SIZE);
    m = ask_part(b, KD_AT(ContextAmd64, Rip), 8);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + 8);
    assert_int_equal(kd_get_u64(m->body + KD_MANIPULATE_SIZE), TEXT(SIM_RVA_MAIN));
    m = ask_part(b, 1000, 0xFFFFFFFF);
    assert_int_equal(KD_GET(m->body, ContextEx, BytesCopied), KD_CONTEXT_AMD64_SIZE - 1000);
    m = ask_part(b, KD_CONTEXT_AMD64_SIZE, 8);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(KD_GET(m->body, ContextEx, BytesCopied), 0);
    m = ask_part(b, 0xFFFFFFFF, 8);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
}

static uint32_t send_part(struct bench *b, const uint8_t *context, uint32_t offset, uint32_t size,
                          uint32_t total)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_SetContextEx);
    KD_PUT(body, ContextEx, Offset, offset);
    KD_PUT(body, ContextEx, ByteCount, size);
    KD_PUT(body, ContextEx, BytesCopied, total);
    memcpy(body + KD_MANIPULATE_SIZE, context + offset, size);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + size);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    return REPLY_STATUS(m);
}

static void set_context_ex_stages_until_complete(void **state)
{
    struct bench *b = *state;
    uint8_t context[KD_CONTEXT_AMD64_SIZE];
    sim_machine_ops()->get_context(&b->machine, 0, context);
    KD_PUT(context, ContextAmd64, Rax, 0xAAAA);
    KD_PUT(context, ContextAmd64, Rip, 0xBBBB);
    enum { TOTAL = KD_CONTEXT_AMD64_SIZE };
    assert_int_equal(send_part(b, context, 0, 512, TOTAL), 0);
    assert_int_not_equal(b->machine.cpus[0].gpr[SIM_RAX], 0xAAAA); /* only staged */
    assert_int_equal(send_part(b, context, 512, 512, TOTAL), 0);
    assert_int_equal(send_part(b, context, 1024, TOTAL - 1024, TOTAL), 0);
    assert_int_equal(b->machine.cpus[0].gpr[SIM_RAX], 0xAAAA);
    assert_int_equal(b->machine.cpus[0].rip, 0xBBBB);

    KD_PUT(context, ContextAmd64, Rip, 0xCCCC); /* one piece from the middle, at once */
    assert_int_equal(send_part(b, context, KD_AT(ContextAmd64, Rip), 8, 0), 0);
    assert_int_equal(b->machine.cpus[0].rip, 0xCCCC);
    assert_int_equal(b->machine.cpus[0].gpr[SIM_RAX], 0xAAAA);
}

static void set_context_ex_refuses_bad_parts(void **state)
{
    static const struct {
        uint32_t offset, count, came;
    } bad[] = {
        {0, 0, 0},    {0, 16, 8},         {1232, 8, 8},         {1228, 8, 8},
        {0, 1233, 8}, {0xFFFFFFFF, 8, 8}, {0xFFFFFFF8, 16, 16},
    };
    uint8_t body[KD_BODY_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bench_request(body, KD_API_SetContextEx);
        KD_PUT(body, ContextEx, Offset, bad[i].offset);
        KD_PUT(body, ContextEx, ByteCount, bad[i].count);
        const struct bench_message *m = bench_ask(*state, body, KD_MANIPULATE_SIZE + bad[i].came);
        assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
        assert_int_equal(KD_GET(m->body, ContextEx, BytesCopied), 0);
    }
}

static void context_ex_is_refused_if_so_configured(void **state)
{
    static const struct kd_target_config config = {.refuse_context_ex = true};
    (void)state;
    struct bench *b = bench_new(&config, NULL, NULL);
    bench_stop(b, 0);
    const struct bench_message *m = ask_part(b, 0, KD_CONTEXT_AMD64_SIZE);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    bench_free(b);
}

static void control_space(void **state)
{
    static const uint64_t addresses[] = {SIM_PCR_OFFSET, SIM_PRCB_OFFSET, 0, SIM_THREAD_OFFSET};
    uint8_t body[KD_BODY_MAX];
    const struct bench_message *m;
    for (uint64_t index = 0; index < 4; index++) {
        if (index == 2)
            continue;
        m = ask_read(*state, KD_API_ReadControlSpace, index, 0x100, body);
        assert_read(m, 0, 8);
        assert_int_equal(kd_get_u64(m->body + KD_MANIPULATE_SIZE), SIM_CPU_BASE + addresses[index]);
    }
    m = ask_read(*state, KD_API_ReadControlSpace, 2, 0xE0, body);
    assert_read(m, 0, 0xE0);
    assert_int_equal(KD_GET(m->body + KD_MANIPULATE_SIZE, SpecialAmd64, GdtrBase), SIM_SYSTEM_BASE);
    assert_read(ask_read(*state, KD_API_ReadControlSpace, 2, 0xFFFFFFFF, body), 0, 0xF0);
    assert_read(ask_read(*state, KD_API_ReadControlSpace, 2, 4, body), 0, 4);
    assert_read(ask_read(*state, KD_API_ReadControlSpace, 4, 8, body), UNSUCCESS, 0);
    assert_read(ask_read(*state, KD_API_ReadControlSpace, UINT64_MAX, 8, body), UNSUCCESS, 0);
}

static const struct bench_message *write_control(struct bench *b, uint64_t index, uint32_t count,
                                                 const uint8_t *data, size_t size)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_WriteControlSpace);
    KD_PUT(body, ReadMemory, TargetBaseAddress, index);
    KD_PUT(body, ReadMemory, TransferCount, count);
    memcpy(body + KD_MANIPULATE_SIZE, data, size);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + size);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE); /* the reply has no data */
    return m;
}

static void special_registers_are_written(void **state)
{
    struct bench *b = *state;
    uint8_t special[512];
    sim_machine_ops()->get_special(&b->machine, 0, special);
    KD_PUT(special, SpecialAmd64, KernelDr2, 0x99);
    KD_PUT(special, SpecialAmd64, MsrFsBase, 0x77);
    const struct bench_message *m = write_control(b, 2, 0xE0, special, 0xE0);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, ReadMemory, ActualBytes), 0xE0);
    assert_int_equal(b->machine.cpus[0].dr[2], 0x99);
    assert_int_equal(b->machine.cpus[0].fs_base, 0); /* beyond what was written */
    m = write_control(b, 2, 512, special, 512);
    assert_int_equal(KD_GET(m->body, ReadMemory, ActualBytes), 0xF0);
    assert_int_equal(b->machine.cpus[0].fs_base, 0x77);
    assert_int_equal(REPLY_STATUS(write_control(b, 2, 0xE0, special, 8)), UNSUCCESS);
    assert_int_equal(REPLY_STATUS(write_control(b, 0, 8, special, 8)), UNSUCCESS);
    assert_int_equal(REPLY_STATUS(write_control(b, 9, 8, special, 8)), UNSUCCESS);
}

static uint32_t read_port(struct bench *b, uint64_t port, uint32_t size, uint32_t *value)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_ReadIoSpace);
    KD_PUT(body, IoSpace, IoAddress, port);
    KD_PUT(body, IoSpace, DataSize, size);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    *value = (uint32_t)KD_GET(m->body, IoSpace, DataValue);
    return REPLY_STATUS(m);
}

static uint32_t write_port(struct bench *b, uint64_t port, uint32_t size, uint32_t value)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_WriteIoSpace);
    KD_PUT(body, IoSpace, IoAddress, port);
    KD_PUT(body, IoSpace, DataSize, size);
    KD_PUT(body, IoSpace, DataValue, value);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_memory_equal(m->body + 16, body + 16, 40);
    return REPLY_STATUS(m);
}

static void io_ports(void **state)
{
    uint32_t value;
    assert_int_equal(write_port(*state, 0x3F8, 4, 0x44332211), 0);
    assert_int_equal(read_port(*state, 0x3F8, 1, &value), 0);
    assert_int_equal(value, 0x11);
    assert_int_equal(read_port(*state, 0x3FA, 2, &value), 0);
    assert_int_equal(value, 0x4433);
    assert_int_equal(read_port(*state, 0x3F8, 4, &value), 0);
    assert_int_equal(value, 0x44332211);
    assert_int_equal(read_port(*state, 0x3F8, 3, &value), BAD_ARGUMENT);
    assert_int_equal(read_port(*state, 0x3F8, 0, &value), BAD_ARGUMENT);
    assert_int_equal(read_port(*state, 0x3F9, 2, &value), KD_STATUS_DATATYPE_MISALIGNMENT);
    assert_int_equal(write_port(*state, 0x3F9, 4, 0), KD_STATUS_DATATYPE_MISALIGNMENT);
    assert_int_equal(read_port(*state, 0x10000, 1, &value), BAD_ARGUMENT);
    assert_int_equal(write_port(*state, UINT64_MAX, 1, 0), BAD_ARGUMENT);
}

static uint32_t extended(struct bench *b, uint32_t api, uint32_t interface_type, uint32_t bus,
                         uint32_t space, uint32_t *value)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, api);
    KD_PUT(body, IoSpaceExtended, DataSize, 2);
    KD_PUT(body, IoSpaceExtended, InterfaceType, interface_type);
    KD_PUT(body, IoSpaceExtended, BusNumber, bus);
    KD_PUT(body, IoSpaceExtended, AddressSpace, space);
    KD_PUT(body, IoSpaceExtended, IoAddress, 0x70);
    KD_PUT(body, IoSpaceExtended, DataValue, *value);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    *value = (uint32_t)KD_GET(m->body, IoSpaceExtended, DataValue);
    return REPLY_STATUS(m);
}

static void extended_io(void **state)
{
    uint32_t value = 0xBEEF;
    assert_int_equal(extended(*state, KD_API_WriteIoSpaceExtended, 1, 0, 1, &value), 0);
    value = 0;
    assert_int_equal(extended(*state, KD_API_ReadIoSpaceExtended, 1, 0, 1, &value), 0);
    assert_int_equal(value, 0xBEEF);
    assert_int_equal(extended(*state, KD_API_ReadIoSpaceExtended, 5, 0, 1, &value), BAD_ARGUMENT);
    assert_int_equal(extended(*state, KD_API_ReadIoSpaceExtended, 1, 1, 1, &value), BAD_ARGUMENT);
    assert_int_equal(extended(*state, KD_API_WriteIoSpaceExtended, 1, 0, 0, &value), BAD_ARGUMENT);
}

static uint32_t msr(struct bench *b, uint32_t api, uint16_t cpu, uint32_t number, uint64_t *value)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, api);
    KD_PUT(body, Manipulate, Processor, cpu);
    KD_PUT(body, Msr, Msr, number);
    KD_PUT(body, Msr, DataValueLow, *value);
    KD_PUT(body, Msr, DataValueHigh, *value >> 32);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    *value = KD_GET(m->body, Msr, DataValueLow) | KD_GET(m->body, Msr, DataValueHigh) << 32;
    return REPLY_STATUS(m);
}

static void model_specific_registers(void **state)
{
    uint64_t value = 0x1122334455667788;
    uint32_t read = KD_API_ReadMachineSpecificRegister;
    uint32_t write = KD_API_WriteMachineSpecificRegister;
    assert_int_equal(msr(*state, write, 0, 0xC0000082, &value), 0);
    value = 0;
    assert_int_equal(msr(*state, read, 0, 0xC0000082, &value), 0);
    assert_int_equal(value, 0x1122334455667788);
    assert_int_equal(msr(*state, read, 1, 0xC0000101, &value), 0);
    assert_int_equal(value, SIM_CPU_BASE + SIM_PAGE); /* the second processor's own */
    assert_int_equal(msr(*state, read, 0, 0xDEAD, &value), KD_STATUS_NO_SUCH_DEVICE);
    assert_int_equal(value, 0);
    assert_int_equal(msr(*state, write, 0, 0xDEAD, &value), KD_STATUS_NO_SUCH_DEVICE);
    assert_int_equal(msr(*state, read, 2, 0x1B, &value), UNSUCCESS);
}

static const struct bench_message *bus_data(struct bench *b, uint32_t api, uint32_t slot,
                                            uint32_t offset, uint32_t length, size_t came)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, api);
    KD_PUT(body, BusData, BusDataType, 4);
    KD_PUT(body, BusData, BusNumber, 0);
    KD_PUT(body, BusData, SlotNumber, slot);
    KD_PUT(body, BusData, Offset, offset);
    KD_PUT(body, BusData, Length, length);
    return bench_ask(b, body, KD_MANIPULATE_SIZE + came);
}

static void pci_configuration(void **state)
{
    const struct bench_message *m = bus_data(*state, KD_API_GetBusData, 2, 0, 64, 0);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + 64);
    assert_int_equal(kd_get_u32(m->body + KD_MANIPULATE_SIZE), 0x100E8086);
    m = bus_data(*state, KD_API_GetBusData, 2, 0, 0xFFFFFFFF, 0);
    assert_int_equal(KD_GET(m->body, BusData, Length), 256);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + 256);
    m = bus_data(*state, KD_API_GetBusData, 2, 4096, 4, 0);
    assert_int_equal(REPLY_STATUS(m), BAD_ARGUMENT);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    m = bus_data(*state, KD_API_SetBusData, 2, 0x3C, 1, 1);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    assert_int_equal(((struct bench *)*state)->machine.pci[2][0x3C], 0xA5); /* bench_request's */
    m = bus_data(*state, KD_API_SetBusData, 3, 0x3C, 1, 1);
    assert_int_equal(REPLY_STATUS(m), KD_STATUS_NO_SUCH_DEVICE);
    m = bus_data(*state, KD_API_SetBusData, 2, 0x3C, 2, 1); /* data did not come */
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
}

static const struct bench_message *ask_search(struct bench *b, uint64_t address, uint64_t length,
                                              uint32_t pattern_length, const void *pattern,
                                              size_t came)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_SearchMemory);
    KD_PUT(body, Manipulate, Processor, 32); /* WinDbg sends impossible ones here */
    KD_PUT(body, SearchMemory, SearchAddress, address);
    KD_PUT(body, SearchMemory, SearchLength, length);
    KD_PUT(body, SearchMemory, PatternLength, pattern_length);
    memcpy(body + KD_MANIPULATE_SIZE, pattern, came);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + came);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    return m;
}

static void searches_memory(void **state)
{
    uint64_t from = SIM_KERNEL_BASE;
    const struct bench_message *m = ask_search(*state, from, SIM_IMAGE_SIZE, 4, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, SearchMemory, SearchAddress), from + 0x2020);
    /* the range must hold the whole pattern, to the last byte */
    m = ask_search(*state, from, 0x2024, 4, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), 0);
    m = ask_search(*state, from, 0x2023, 4, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), KD_STATUS_NO_MORE_ENTRIES);
    assert_int_equal(KD_GET(m->body, SearchMemory, SearchAddress), from);
    /* over a hole: from below the hole into the image */
    m = ask_search(*state, from - 0x5000, 0x10000, 4, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), 0);
    m = ask_search(*state, from, 0x4000, 0, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), BAD_ARGUMENT);
    m = ask_search(*state, from, 0x4000, 5, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), BAD_ARGUMENT);
    m = ask_search(*state, from, 3, 4, "RSDS", 4);
    assert_int_equal(REPLY_STATUS(m), KD_STATUS_NO_MORE_ENTRIES);
}

static void search_finds_a_long_pattern_across_pages(void **state)
{
    uint8_t pattern[1000];
    uint64_t at = SIM_KERNEL_BASE + SIM_RVA_RDATA - 400; /* end of .text, start of .rdata */
    assert_int_equal(bench_read_memory(*state, at, pattern, sizeof pattern), 0);
    pattern[0] = 0xFE; /* unlike the zeros around */
    assert_int_equal(bench_write_memory(*state, at, pattern, 1), 0);
    const struct bench_message *m = ask_search(*state, SIM_KERNEL_BASE, SIM_IMAGE_SIZE,
                                               sizeof pattern, pattern, sizeof pattern);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, SearchMemory, SearchAddress), at);
}

static void search_gives_up_instead_of_hanging(void **state)
{
    static const struct kd_target_config config = {.search_max = 1 << 20};
    (void)state;
    struct bench *b = bench_new(&config, NULL, NULL);
    bench_stop(b, 0);
    const struct bench_message *m = ask_search(b, 0, UINT64_MAX, 4, "none", 4);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS); /* and not "not there" */
    /* a pattern that nearly matches everywhere costs its comparisons */
    uint8_t *zeros;
    uint8_t pattern[3000] = {0};
    pattern[2999] = 1;
    assert_int_equal(sim_map(&b->machine, 0x10000000, 1 << 20, SIM_R, &zeros), KD_OK);
    m = ask_search(b, 0x10000000, 1 << 20, sizeof pattern, pattern, sizeof pattern);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    bench_free(b);
}

static const struct bench_message *ask_fill(struct bench *b, uint64_t address, uint32_t length,
                                            uint16_t flags, uint16_t pattern_length, size_t came)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_FillMemory);
    KD_PUT(body, FillMemory, Address, address);
    KD_PUT(body, FillMemory, Length, length);
    KD_PUT(body, FillMemory, Flags, flags);
    KD_PUT(body, FillMemory, PatternLength, pattern_length);
    memcpy(body + KD_MANIPULATE_SIZE, "abcdefg", came);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + came);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    return m;
}

static void fills_memory(void **state)
{
    struct bench *b = *state;
    uint64_t at = TEXT(SIM_RVA_ANSWER);
    char back[601] = {0};
    const struct bench_message *m = ask_fill(b, at, 600, 1, 3, 3);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, FillMemory, Length), 600);
    bench_read_memory(b, at, back, 600);
    for (size_t i = 0; i < 600; i++)
        assert_int_equal(back[i], "abc"[i % 3]);
    bench_read_memory(b, at + 600, back, 1);
    assert_int_equal(back[0], 0);
    m = ask_fill(b, SIM_KERNEL_BASE + SIM_IMAGE_SIZE - 100, 0xFFFFFFFF, 1, 1, 1);
    assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
    assert_int_equal(KD_GET(m->body, FillMemory, Length), 100);
    m = ask_fill(b, 0x100000, 16, 2, 4, 4); /* physical: the GDT's page */
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_memory_equal(b->machine.regions[0].bytes, "abcdabcdabcdabcd", 16);
    assert_int_equal(REPLY_STATUS(ask_fill(b, at, 8, 1, 0, 4)), BAD_ARGUMENT);
    assert_int_equal(REPLY_STATUS(ask_fill(b, at, 8, 1, 5, 4)), BAD_ARGUMENT);
    assert_int_equal(REPLY_STATUS(ask_fill(b, at, 8, 3, 4, 4)), BAD_ARGUMENT);
}

static const struct bench_message *ask_query(struct bench *b, uint64_t address, uint32_t space)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_QueryMemory);
    KD_PUT(body, QueryMemory, Address, address);
    KD_PUT(body, QueryMemory, AddressSpace, space);
    return bench_ask(b, body, KD_MANIPULATE_SIZE);
}

static void queries_memory(void **state)
{
    const struct bench_message *m = ask_query(*state, TEXT(SIM_RVA_FIB), 0);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, QueryMemory, AddressSpace), 2);
    assert_int_equal(KD_GET(m->body, QueryMemory, Flags), 1 | 4);
    assert_int_equal(KD_GET(m->body, QueryMemory, Reserved), 0);
    assert_int_equal(REPLY_STATUS(ask_query(*state, TEXT(SIM_RVA_FIB), 1)), BAD_ARGUMENT);
    assert_int_equal(REPLY_STATUS(ask_query(*state, UNMAPPED, 0)), UNSUCCESS);
}

/* Refused in one form: the request back, 56 bytes, STATUS_UNSUCCESSFUL. */
static void refuses_what_nobody_has(void **state)
{
    static const uint32_t refused[] = {
        KD_API_SetSpecialCall,
        KD_API_SetInternalBreakPoint,
        KD_API_GetInternalBreakPoint,
        KD_API_PageIn,
        KD_API_OldVlm1,
        KD_API_OldVlm2,
        KD_API_SwitchPartition,
        KD_API_Unknown3161,
        KD_API_Unknown3162,
        0x314A,
        0x314F,
        0x3163,
        0,
        0xFFFFFFFF,
        0x3030,
        0x3230,
    };
    uint8_t body[KD_BODY_MAX];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bench_request(body, refused[i]);
        const struct bench_message *m = bench_ask(*state, body, KD_MANIPULATE_SIZE + 100);
        assert_int_equal(m->size, KD_MANIPULATE_SIZE);
        assert_int_equal(REPLY_STATUS(m), UNSUCCESS);
        assert_echoed(m, body, 12);
    }
}

static void answers_what_older_debuggers_send(void **state)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, 0);
    const struct bench_message *m = ask_api(*state, KD_API_QuerySpecialCalls, body);
    assert_int_equal(REPLY_STATUS(m), 0);
    assert_int_equal(KD_GET(m->body, QuerySpecialCalls, NumberOfSpecialCalls), 0);
    assert_int_equal(REPLY_STATUS(ask_api(*state, KD_API_ClearSpecialCalls, body)), 0);
    assert_int_equal(REPLY_STATUS(ask_api(*state, KD_API_CheckLowMemory, body)), 0);
    KD_PUT(body, Manipulate, ApiNumber, KD_API_ClearAllInternalBreakpoints);
    bench_tell(*state, body, KD_MANIPULATE_SIZE);
    assert_int_equal(kd_target_state(&((struct bench *)*state)->target), KD_TARGET_STOPPED);
}

/* A machine that offers nothing but what it must. */
static void a_bare_machine_refuses_politely(void **state)
{
    struct kd_machine_ops bare = {.version = sim_machine_ops()->version,
                                  .processor_count = sim_machine_ops()->processor_count};
    uint8_t body[KD_BODY_MAX];
    (void)state;
    struct bench *b = bench_new(NULL, NULL, &bare);
    bench_stop(b, 0);
    assert_int_equal(KD_GET(b->messages[0].body, ControlReportAmd64, InstructionCount), 0);
    for (uint32_t api = KD_API_FIRST; api <= KD_API_LAST; api++) {
        const struct kd_api_info *info = kd_api_info(api);
        if (!info || !info->has_reply)
            continue;
        bench_request(body, api);
        memset(body + 16, 0, 40); /* valid numbers as far as possible */
        KD_PUT(body, ContextEx, ByteCount, 8);
        const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
        assert_int_equal(m->size, KD_MANIPULATE_SIZE);
        if (kd_target_state(&b->target) != KD_TARGET_STOPPED)
            bench_stop(b, 0); /* an Ex breakpoint request with a status ends the stop */
    }
    bench_free(b);
}

/* Every API with every short data length and several fillings: one reply at most, never too long,
 * and the target is still there. */
static void no_length_hurts(void **state)
{
    static const uint8_t fillings[] = {0x00, 0x01, 0x7F, 0xFF};
    static const struct kd_target_config config = {.search_max = 1 << 16};
    uint8_t body[KD_BODY_MAX];
    (void)state;
    struct bench *b = bench_new(&config, NULL, NULL);
    for (uint32_t api = KD_API_FIRST - 1; api <= KD_API_LAST + 1; api++) {
        for (size_t f = 0; f < sizeof fillings; f++) {
            for (size_t extra = 0; extra <= 3944; extra = extra < 20 ? extra + 1 : extra * 3) {
                memset(body, fillings[f], sizeof body);
                KD_PUT(body, Manipulate, ApiNumber, api);
                KD_PUT(body, Manipulate, Processor, fillings[f]);
                if (kd_target_state(&b->target) != KD_TARGET_STOPPED)
                    bench_stop(b, 0);
                bench_send(b, KD_PACKET_STATE_MANIPULATE, body, KD_MANIPULATE_SIZE + extra);
                assert_true(b->message_count <= 1);
            }
        }
    }
    assert_true(b->longest_packet <= KD_BODY_MAX);
    bench_free(b);
}

int main(void)
{
#define STOPPED(name) cmocka_unit_test_setup_teardown(name, start_stopped, end)
    const struct CMUnitTest tests[] = {
        STOPPED(version_of_a_boot_debugger),
        cmocka_unit_test(version_of_a_kernel),
        STOPPED(reads_virtual_memory),
        STOPPED(clamps_reads_to_a_packet),
        cmocka_unit_test(short_reads_fail_if_so_configured),
        STOPPED(writes_virtual_memory),
        STOPPED(refuses_writes_whose_data_did_not_come),
        STOPPED(reads_and_writes_physical_memory),
        STOPPED(context_goes_out_and_in),
        STOPPED(context_flags_say_what_is_set),
        STOPPED(contexts_of_other_processors),
        STOPPED(context_ex_in_parts),
        STOPPED(set_context_ex_stages_until_complete),
        STOPPED(set_context_ex_refuses_bad_parts),
        cmocka_unit_test(context_ex_is_refused_if_so_configured),
        STOPPED(control_space),
        STOPPED(special_registers_are_written),
        STOPPED(io_ports),
        STOPPED(extended_io),
        STOPPED(model_specific_registers),
        STOPPED(pci_configuration),
        STOPPED(searches_memory),
        STOPPED(search_finds_a_long_pattern_across_pages),
        cmocka_unit_test(search_gives_up_instead_of_hanging),
        STOPPED(fills_memory),
        STOPPED(queries_memory),
        STOPPED(refuses_what_nobody_has),
        STOPPED(answers_what_older_debuggers_send),
        cmocka_unit_test(a_bare_machine_refuses_politely),
        cmocka_unit_test(no_length_hurts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
