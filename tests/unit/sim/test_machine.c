/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated machine by itself: instructions, traps, memory, modules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"

enum { CODE = 0x100000, DATA = 0x200000, FLAG_TF = 0x100, FLAG_ZF = 0x40, FLAG_CF = 1 };

static int start(void **state)
{
    static const struct sim_config config = {.cpus = 1};
    struct sim_machine *m = malloc(sizeof *m);
    assert_non_null(m);
    assert_int_equal(sim_init(m, &config), KD_OK);
    assert_int_equal(sim_map(m, CODE, SIM_PAGE, SIM_R | SIM_X, NULL), KD_OK);
    assert_int_equal(sim_map(m, DATA, SIM_PAGE, SIM_R | SIM_W, NULL), KD_OK);
    m->cpus[0].rip = CODE;
    *state = m;
    return 0;
}

static int end(void **state)
{
    sim_close(*state);
    free(*state);
    return 0;
}

static void put(struct sim_machine *m, uint64_t address, const void *bytes, size_t size)
{
    assert_int_equal(sim_machine_ops()->write_virtual(m, address, bytes, size), size);
}

static uint64_t get_u64(struct sim_machine *m, uint64_t address)
{
    uint8_t bytes[8];
    assert_int_equal(sim_machine_ops()->read_virtual(m, address, bytes, 8), 8);
    return kd_get_u64(bytes);
}

/* Runs CODE until its int3 and checks that nothing else came. */
static void run_code(struct sim_machine *m, const void *code, size_t size)
{
    static const uint8_t int3 = 0xCC;
    struct sim_event event;
    put(m, CODE, code, size);
    put(m, CODE + size, &int3, 1);
    m->cpus[0].rip = CODE;
    sim_run(m, 1000, &event);
    assert_int_equal(event.kind, SIM_EXCEPTION);
    assert_int_equal(event.code, KD_STATUS_BREAKPOINT);
    assert_int_equal(m->cpus[0].rip, CODE + size); /* of the int3 itself */
}

#define RUN(m, ...)                                                                                \
    run_code((m), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void arithmetic_and_flags(void **state)
{
    struct sim_machine *m = *state;
    struct sim_cpu *c = &m->cpus[0];
    RUN(m, 0x48, 0xB8, 8, 7, 6, 5, 4, 3, 2, 1); /* mov rax, 0x0102030405060708 */
    assert_int_equal(c->gpr[SIM_RAX], 0x0102030405060708);
    RUN(m, 0x31, 0xC0); /* xor eax, eax */
    assert_int_equal(c->gpr[SIM_RAX], 0);
    assert_true(c->rflags & FLAG_ZF);
    c->gpr[SIM_RAX] = UINT64_MAX;
    RUN(m, 0x48, 0x83, 0xC0, 0x01); /* add rax, 1 */
    assert_int_equal(c->gpr[SIM_RAX], 0);
    assert_true(c->rflags & FLAG_CF);
    RUN(m, 0x48, 0x83, 0xD0, 0x00); /* adc rax, 0 */
    assert_int_equal(c->gpr[SIM_RAX], 1);
    c->gpr[SIM_RCX] = 0xFFFFFFFFFFFFFFFF;
    RUN(m, 0xFF, 0xC1); /* inc ecx: 32-bit results clear the upper half */
    assert_int_equal(c->gpr[SIM_RCX], 0);
    RUN(m, 0xB4, 0x12, 0xB0, 0x34); /* mov ah, 0x12; mov al, 0x34 */
    assert_int_equal(c->gpr[SIM_RAX], 0x1234);
    RUN(m, 0x41, 0xB8, 5, 0, 0, 0, 0x49, 0xC1, 0xE0, 0x3C); /* mov r8d, 5; shl r8, 60 */
    assert_int_equal(c->gpr[8], (uint64_t)5 << 60);
    RUN(m, 0x49, 0xC1, 0xF8, 0x3C); /* sar r8, 60 */
    assert_int_equal(c->gpr[8], 5);
}

static void memory_operands(void **state)
{
    struct sim_machine *m = *state;
    struct sim_cpu *c = &m->cpus[0];
    c->gpr[SIM_RBX] = DATA;
    c->gpr[SIM_RCX] = 3;
    c->gpr[SIM_RAX] = 0x1122334455667788;
    RUN(m, 0x48, 0x89, 0x44, 0xCB, 0x10); /* mov [rbx+rcx*8+16], rax */
    assert_int_equal(get_u64(m, DATA + 40), 0x1122334455667788);
    RUN(m, 0x8B, 0x53, 0x28); /* mov edx, [rbx+40] */
    assert_int_equal(c->gpr[SIM_RDX], 0x55667788);
    RUN(m, 0x0F, 0xB6, 0x53, 0x2F); /* movzx edx, byte [rbx+47] */
    assert_int_equal(c->gpr[SIM_RDX], 0x11);
    RUN(m, 0xC7, 0x83, 0x00, 0x01, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF); /* mov dword [rbx+256], -2 */
    assert_int_equal(get_u64(m, DATA + 256), 0xFFFFFFFE);
    RUN(m, 0x48, 0x8D, 0x05, 0x10, 0, 0, 0); /* lea rax, [rip+16] */
    assert_int_equal(c->gpr[SIM_RAX], CODE + 7 + 16);
}

static void calls_jumps_and_stack(void **state)
{
    struct sim_machine *m = *state;
    struct sim_cpu *c = &m->cpus[0];
    uint64_t stack = c->gpr[SIM_RSP];
    /* mov ecx, 5; xor eax, eax; loop: add eax, ecx; dec ecx; jne loop */
    RUN(m, 0xB9, 5, 0, 0, 0, 0x31, 0xC0, 0x01, 0xC8, 0xFF, 0xC9, 0x75, 0xFA);
    assert_int_equal(c->gpr[SIM_RAX], 15);
    /* call +2; jmp +2; push 7... : call over the jump, pop what was pushed, return */
    RUN(m, 0xE8, 2, 0, 0, 0, 0xEB, 4, 0x6A, 0x07, 0x5A, 0xC3);
    assert_int_equal(c->gpr[SIM_RDX], 7);
    assert_int_equal(c->gpr[SIM_RSP], stack);
}

static void faults_change_nothing(void **state)
{
    static const uint8_t store[] = {0x48, 0x89, 0x03}, ud2[] = {0x0F, 0x0B};
    static const uint8_t push[] = {0x50}, bad_msr[] = {0x0F, 0x32};
    struct sim_machine *m = *state;
    struct sim_cpu *c = &m->cpus[0];
    struct sim_event event;
    put(m, CODE, store, sizeof store);
    c->gpr[SIM_RBX] = 0xDEAD0000;
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_ACCESS_VIOLATION);
    assert_int_equal(event.parameter_count, 2);
    assert_int_equal(event.parameters[0], 1);
    assert_int_equal(event.parameters[1], 0xDEAD0000);
    assert_int_equal(c->cr2, 0xDEAD0000);
    assert_int_equal(c->rip, CODE);
    put(m, CODE, push, sizeof push);
    c->gpr[SIM_RSP] = 0x10;
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_ACCESS_VIOLATION);
    assert_int_equal(c->gpr[SIM_RSP], 0x10); /* not half pushed */
    put(m, CODE, ud2, sizeof ud2);
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_ILLEGAL_INSTRUCTION);
    put(m, CODE, bad_msr, sizeof bad_msr);
    c->gpr[SIM_RCX] = 0xDEAD;
    sim_run(m, 10, &event);
    assert_int_equal(event.code, 0xC0000096);
    c->rip = DATA; /* not executable */
    sim_run(m, 10, &event);
    assert_int_equal(event.parameters[0], 8);
    c->rip = UINT64_MAX - 2; /* fetching wraps around */
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_ACCESS_VIOLATION);
}

static void single_steps(void **state)
{
    static const uint8_t nops[] = {0x90, 0xF3, 0x90, 0x90};
    struct sim_machine *m = *state;
    struct sim_event event;
    put(m, CODE, nops, sizeof nops);
    m->cpus[0].rflags |= FLAG_TF;
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_SINGLE_STEP);
    assert_int_equal(m->cpus[0].rip, CODE + 1);
    assert_true(m->cpus[0].dr[6] & 0x4000);
    sim_run(m, 10, &event);
    assert_int_equal(m->cpus[0].rip, CODE + 3);
}

static void hardware_breakpoints(void **state)
{
    static const uint8_t code[] = {0x90, 0x88, 0x03,
                                   0x8A, 0x13, 0x90}; /* nop; mov [rbx],al; mov dl,[rbx]; nop */
    struct sim_machine *m = *state;
    struct sim_cpu *c = &m->cpus[0];
    struct sim_event event;
    put(m, CODE, code, sizeof code);
    c->gpr[SIM_RBX] = DATA + 6;
    c->dr[6] = 0;
    c->dr[0] = CODE + 1; /* execute */
    c->dr[1] = DATA + 4; /* write, 4 bytes */
    c->dr[2] = DATA;     /* read or write, 8 bytes */
    c->dr[3] = DATA + 5; /* write, 1 byte: not touched */
    c->dr[7] = 0x400 | 0x55 | 0xDu << 20 | 0xBu << 24 | 1u << 28;
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_SINGLE_STEP);
    assert_int_equal(c->rip, CODE + 1); /* before the instruction */
    assert_int_equal(c->dr[6], 1);
    sim_run(m, 10, &event);
    assert_int_equal(c->rip, CODE + 1); /* for ever, unless the resume flag is set */
    c->dr[6] = 0;
    sim_resume(m);
    sim_run(m, 10, &event);
    assert_int_equal(c->rip, CODE + 3); /* behind the write */
    assert_int_equal(c->dr[6], 2 | 4);
    c->dr[6] = 0;
    sim_resume(m);
    sim_run(m, 10, &event);
    assert_int_equal(c->rip, CODE + 5); /* the read */
    assert_int_equal(c->dr[6], 4);
}

static void debug_services(void **state)
{
    struct sim_machine *m = *state;
    struct sim_cpu *c = &m->cpus[0];
    static const uint8_t service[] = {0xCD, 0x2D, 0xCC, 0x90, 0xCC};
    struct sim_event event;
    put(m, CODE, service, sizeof service);
    put(m, DATA, "hello", 5);
    c->gpr[SIM_RAX] = 1;
    c->gpr[SIM_RCX] = DATA;
    c->gpr[SIM_RDX] = 5;
    sim_run(m, 10, &event);
    assert_int_equal(event.kind, SIM_PRINT);
    assert_int_equal(event.text_size, 5);
    assert_memory_equal(event.text, "hello", 5);
    assert_int_equal(c->rip, CODE + 2);
    sim_run(m, 10, &event); /* the marker int3 is passed over, the second is real */
    assert_int_equal(event.code, KD_STATUS_BREAKPOINT);
    assert_int_equal(c->rip, CODE + 4);

    c->rip = CODE; /* a text that is not all there, and far too long */
    c->gpr[SIM_RAX] = 1;
    c->gpr[SIM_RCX] = DATA + SIM_PAGE - 3;
    c->gpr[SIM_RDX] = 0xFFFFFFFF;
    sim_run(m, 10, &event);
    assert_int_equal(event.text_size, 3);
    c->rip = CODE;
    c->gpr[SIM_RAX] = 3; /* load a module that does not exist */
    c->gpr[SIM_RCX] = 99;
    sim_run(m, 10, &event);
    assert_int_equal(event.kind, SIM_EXCEPTION); /* no event but the int3 after it */
    assert_int_equal(c->gpr[SIM_RAX], KD_STATUS_UNSUCCESSFUL);
}

static void halt_waits(void **state)
{
    static const uint8_t halt[] = {0xF4, 0xCC};
    struct sim_machine *m = *state;
    struct sim_event event;
    put(m, CODE, halt, sizeof halt);
    assert_int_equal(sim_run(m, 1000, &event), 1);
    assert_int_equal(event.kind, SIM_IDLE);
    sim_resume(m);
    sim_run(m, 10, &event);
    assert_int_equal(event.code, KD_STATUS_BREAKPOINT);
}

static void memory_maps(void **state)
{
    struct sim_machine *m = *state;
    uint8_t bytes[64];
    assert_int_equal(sim_map(m, CODE + 100, 10, SIM_R, NULL), KD_E_EXISTS);
    assert_int_equal(sim_map(m, CODE - 100, 101, SIM_R, NULL), KD_E_EXISTS);
    assert_int_equal(sim_map(m, 0, 0, SIM_R, NULL), KD_E_ARGUMENT);
    assert_int_equal(sim_map(m, UINT64_MAX - 10, 100, SIM_R, NULL), KD_E_ARGUMENT);
    assert_int_equal(sim_unmap(m, 0x77), KD_E_NOT_FOUND);
    assert_int_equal(sim_machine_ops()->read_virtual(m, CODE + SIM_PAGE - 10, bytes, 64), 10);
    assert_int_equal(sim_machine_ops()->write_virtual(m, SIM_ROM_BASE, bytes, 1), 0);
    assert_int_equal(sim_unmap(m, CODE), KD_OK);
    assert_int_equal(sim_machine_ops()->read_virtual(m, CODE, bytes, 64), 0);
}

/* ---- The built-in program ---- */

static int start_program(void **state)
{
    static const struct sim_config config = {
        .cpus = 3, .print_every = 10, .prompt_every = 25, .load_every = 7};
    struct sim_machine *m = malloc(sizeof *m);
    assert_non_null(m);
    assert_int_equal(sim_init(m, &config), KD_OK);
    *state = m;
    return 0;
}

static void the_program_works(void **state)
{
    static const uint64_t fibonacci[] = {0,  1,  1,  2,  3,   5,   8,   13,
                                         21, 34, 55, 89, 144, 233, 377, 610};
    unsigned counts[SIM_PROMPT + 1] = {0};
    struct sim_machine *m = *state;
    struct sim_event event;
    for (uint64_t left = 60000; left > 0;) {
        uint64_t tried = sim_run(m, left, &event);
        left -= tried < left ? tried : left;
        counts[event.kind]++;
        assert_int_not_equal(event.kind, SIM_EXCEPTION);
        if (event.kind == SIM_PROMPT) {
            assert_int_equal(event.answer_max, 64);
            sim_answer(m, (const uint8_t *)"fine", 4);
            assert_int_equal(m->cpus[0].gpr[SIM_RAX], 4);
            assert_memory_equal(event.text, "simkernel: what next? ", 22);
        } else if (event.kind == SIM_PRINT) {
            assert_memory_equal(event.text, "simkernel: tick\n", 16);
        } else if (event.kind == SIM_IMAGE_LOAD || event.kind == SIM_IMAGE_UNLOAD) {
            assert_int_equal(event.module, SIM_DRIVER);
        }
    }
    uint64_t loops = get_u64(m, SIM_KERNEL_BASE + SIM_RVA_COUNTER);
    assert_true(loops > 100);
    assert_true(counts[SIM_PRINT] == loops / 10 || counts[SIM_PRINT] == loops / 10 - 1);
    assert_true(counts[SIM_IMAGE_LOAD] >= 2 && counts[SIM_IMAGE_UNLOAD] >= 2);
    assert_true(counts[SIM_PROMPT] >= 2);
    assert_int_equal(get_u64(m, SIM_KERNEL_BASE + SIM_RVA_ANSWER) & 0xFFFFFFFF, 0x656E6966);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(get_u64(m, SIM_KERNEL_BASE + SIM_RVA_RESULTS + 8 * i), fibonacci[i]);
    for (size_t i = 1; i < 3; i++)
        assert_true(get_u64(m, SIM_KERNEL_BASE + SIM_RVA_IDLE_COUNTS + 8 * i) > 1000);
}

static void the_same_start_gives_the_same_run(void **state)
{
    struct sim_machine *m = *state, *other;
    struct sim_event event;
    void *second;
    start_program(&second);
    other = second;
    for (unsigned i = 0; i < 200; i++) {
        sim_run(m, 100, &event);
        sim_run(other, 100, &event);
    }
    assert_memory_equal(m->cpus, other->cpus, 3 * sizeof m->cpus[0]);
    end(&second);
}

static void read_name(struct sim_machine *m, uint64_t entry, size_t at, char name[64])
{
    uint8_t header[KD_LOADER_ENTRY_SIZE], text[128];
    sim_machine_ops()->read_virtual(m, entry, header, sizeof header);
    size_t units = kd_get_u16(header + at) / 2;
    assert_true(units < 64);
    assert_int_equal(
        sim_machine_ops()->read_virtual(m, kd_get_u64(header + at + 8), text, 2 * units),
        2 * units);
    for (size_t i = 0; i < units; i++)
        name[i] = (char)kd_get_u16(text + 2 * i);
    name[units] = 0;
}

static void the_loader_list_can_be_walked(void **state)
{
    static const char *const names[] = {"simkernel.exe", "simhal.dll", "simdriver.sys"};
    struct sim_machine *m = *state;
    uint64_t head = sim_loaded_module_list();
    for (unsigned modules = 2; modules <= 3; modules++) {
        uint64_t entry = get_u64(m, head), previous = head;
        char name[64];
        for (unsigned i = 0; i < modules; i++) {
            assert_int_equal(get_u64(m, entry + 8), previous);
            read_name(m, entry, KD_AT(LoaderEntry64, BaseDllNameLength), name);
            assert_string_equal(name, names[i]);
            read_name(m, entry, KD_AT(LoaderEntry64, FullDllNameLength), name);
            assert_memory_equal(name, "\\sim\\", 5);
            assert_string_equal(name + 5, names[i]);
            uint64_t base = get_u64(m, entry + KD_AT(LoaderEntry64, DllBase));
            assert_int_equal(base, m->modules[i].base);
            assert_int_equal(get_u64(m, base) & 0xFFFF, 0x5A4D);
            previous = entry;
            entry = get_u64(m, entry);
        }
        assert_int_equal(entry, head);
        assert_int_equal(get_u64(m, head + 8), previous);
        if (modules == 2)
            assert_int_equal(sim_module_load(m, SIM_DRIVER), KD_OK);
    }
    assert_int_equal(sim_module_load(m, SIM_DRIVER), KD_E_EXISTS);
    assert_int_equal(sim_module_unload(m, SIM_DRIVER), KD_OK);
    assert_int_equal(sim_module_unload(m, SIM_DRIVER), KD_E_NOT_FOUND);
    uint8_t byte;
    assert_int_equal(sim_machine_ops()->read_virtual(m, SIM_DRIVER_BASE, &byte, 1), 0);
}

/* Headers a debugger finds the PDB by: MZ, PE, the debug directory, RSDS, name. */
static void images_name_their_pdb(void **state)
{
    struct sim_machine *m = *state;
    uint8_t image[SIM_IMAGE_SIZE];
    assert_int_equal(sim_machine_ops()->read_virtual(m, SIM_KERNEL_BASE, image, sizeof image),
                     sizeof image);
    uint32_t pe = kd_get_u32(image + 0x3C);
    assert_memory_equal(image + pe, "PE\0", 4);
    assert_int_equal(kd_get_u16(image + pe + 4), KD_MACHINE_AMD64);
    const uint8_t *optional = image + pe + 24;
    assert_int_equal(kd_get_u16(optional), 0x20B);
    assert_int_equal(kd_get_u64(optional + 24), SIM_KERNEL_BASE);
    assert_int_equal(kd_get_u32(optional + 56), SIM_IMAGE_SIZE);
    const uint8_t *debug = image + kd_get_u32(optional + 112 + 8 * 6);
    assert_int_equal(kd_get_u32(optional + 112 + 8 * 6 + 4), 28);
    assert_int_equal(kd_get_u32(debug + 12), 2);
    const uint8_t *record = image + kd_get_u32(debug + 20);
    assert_memory_equal(record, "RSDS", 4);
    assert_string_equal((const char *)record + 24, "simkernel.pdb");
    assert_int_equal(kd_get_u32(debug + 16), 24 + sizeof "simkernel.pdb");
}

/* Stack walks need .pdata: a function's record and its unwind data lie in the image. */
static void images_describe_their_frames(void **state)
{
    struct sim_machine *m = *state;
    uint8_t image[SIM_IMAGE_SIZE];
    sim_machine_ops()->read_virtual(m, SIM_KERNEL_BASE, image, sizeof image);
    const uint8_t *directory = image + kd_get_u32(image + 0x3C) + 24 + 112 + 8 * 3;
    uint32_t at = kd_get_u32(directory), size = kd_get_u32(directory + 4), found = 0;
    assert_true(size && size % 12 == 0 && at + size <= SIM_IMAGE_SIZE);
    for (uint32_t i = 0; i < size; i += 12) {
        uint32_t begin = kd_get_u32(image + at + i), end = kd_get_u32(image + at + i + 4);
        uint32_t unwind = kd_get_u32(image + at + i + 8);
        assert_true(begin < end && end <= SIM_RVA_RDATA && unwind + 12 <= SIM_IMAGE_SIZE);
        assert_int_equal(image[unwind], 1);
        found += begin == SIM_RVA_WORK && image[end - 1] == 0xC3;
    }
    assert_int_equal(found, 1);
}

static void images_export_names(void **state)
{
    struct sim_machine *m = *state;
    uint8_t image[SIM_IMAGE_SIZE];
    const char *last = "";
    sim_machine_ops()->read_virtual(m, SIM_KERNEL_BASE, image, sizeof image);
    const uint8_t *directory = image + kd_get_u32(image + kd_get_u32(image + 0x3C) + 24 + 112);
    const uint8_t *functions = image + kd_get_u32(directory + 28);
    const uint8_t *names = image + kd_get_u32(directory + 32);
    uint32_t count = kd_get_u32(directory + 24), work = 0;
    assert_string_equal((const char *)image + kd_get_u32(directory + 12), "simkernel.exe");
    assert_true(count > 4);
    for (size_t i = 0; i < count; i++) {
        const char *name = (const char *)image + kd_get_u32(names + 4 * i);
        assert_true(strcmp(last, name) < 0); /* debuggers search by halves */
        last = name;
        if (!strcmp(name, "work"))
            work = kd_get_u32(functions + 4 * i);
    }
    assert_int_equal(work, SIM_RVA_WORK);
}

static void too_many_processors_are_refused(void **state)
{
    static const struct sim_config config = {.cpus = SIM_CPUS_MAX + 1};
    (void)state;
    struct sim_machine *m = malloc(sizeof *m);
    assert_non_null(m);
    assert_int_equal(sim_init(m, &config), KD_E_ARGUMENT);
    sim_close(m);
    free(m);
}

/* Any bytes at all as code: it stops or goes on, and touches nothing it may not (ASan looks). */
static void arbitrary_code_does_not_hurt(void **state)
{
    struct sim_machine *m = *state;
    uint64_t seed = 1;
    for (unsigned i = 0; i < 20000; i++) {
        struct sim_event event;
        uint8_t code[16];
        for (size_t k = 0; k < sizeof code; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            code[k] = (uint8_t)(seed >> 56);
        }
        put(m, CODE, code, sizeof code);
        m->cpus[0].rip = CODE;
        m->cpus[0].gpr[SIM_RSP] = DATA + 0x800;
        sim_run(m, 20, &event);
        sim_resume(m);
    }
}

int main(void)
{
#define BARE(name)    cmocka_unit_test_setup_teardown(name, start, end)
#define PROGRAM(name) cmocka_unit_test_setup_teardown(name, start_program, end)
    const struct CMUnitTest tests[] = {
        BARE(arithmetic_and_flags),
        BARE(memory_operands),
        BARE(calls_jumps_and_stack),
        BARE(faults_change_nothing),
        BARE(single_steps),
        BARE(hardware_breakpoints),
        BARE(debug_services),
        BARE(halt_waits),
        BARE(memory_maps),
        PROGRAM(the_program_works),
        PROGRAM(the_same_start_gives_the_same_run),
        PROGRAM(the_loader_list_can_be_walked),
        PROGRAM(images_name_their_pdb),
        PROGRAM(images_describe_their_frames),
        PROGRAM(images_export_names),
        cmocka_unit_test(too_many_processors_are_refused),
        BARE(arbitrary_code_does_not_hurt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
