/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames from a made-up image: every unwind code, prologs and epilogs, chains, and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "debug/unwind.h"
#include "kdwire/wire.h"

#define IMAGE 0x140000000u
#define STACK 0x7000u

enum {
    IMAGE_SIZE = 0x4000,
    STACK_SIZE = 0x1000,
    PDATA = 0x2000,
    XDATA = 0x3000,
    FUNCTION_END = 0x1080,
};

struct world {
    uint8_t image[IMAGE_SIZE], stack[STACK_SIZE];
    unsigned functions;
    unsigned reads;
};

static bool read_memory(void *context, uint64_t address, uint8_t *to, size_t size)
{
    struct world *w = context;
    w->reads++;
    if (address >= IMAGE && address - IMAGE < IMAGE_SIZE && size <= IMAGE_SIZE - (address - IMAGE))
        memcpy(to, w->image + (address - IMAGE), size);
    else if (address >= STACK && address - STACK < STACK_SIZE &&
             size <= STACK_SIZE - (address - STACK))
        memcpy(to, w->stack + (address - STACK), size);
    else
        return false;
    return true;
}

static bool image(void *context, uint64_t address, uint64_t *base, uint64_t *size)
{
    (void)context;
    *base = IMAGE;
    *size = IMAGE_SIZE;
    return address >= IMAGE && address - IMAGE < IMAGE_SIZE;
}

static void function(struct world *w, uint32_t begin, uint32_t end, uint32_t info)
{
    uint8_t *at = w->image + PDATA + 12 * w->functions++;
    kd_put_u32(at, begin);
    kd_put_u32(at + 4, end);
    kd_put_u32(at + 8, info);
    kd_put_u32(w->image + 0x40 + 24 + 112 + 3 * 8 + 4, 12 * w->functions);
}

static struct world *new_world(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->image[0] = 'M';
    w->image[1] = 'Z';
    kd_put_u32(w->image + 0x3C, 0x40);
    kd_put_u32(w->image + 0x40, 0x4550);
    kd_put_u16(w->image + 0x40 + 24, 0x20B);
    kd_put_u32(w->image + 0x40 + 24 + 108, 16);
    kd_put_u32(w->image + 0x40 + 24 + 112 + 3 * 8, PDATA);
    memset(w->image + 0x1000, 0x90, 0x1000);
    return w;
}

/* Unwind information at XDATA + OFFSET: head and codes as given. */
static void info(struct world *w, uint32_t offset, const uint8_t *bytes, size_t size)
{
    memcpy(w->image + XDATA + offset, bytes, size);
}

static void push(struct world *w, uint64_t address, uint64_t value)
{
    kd_put_u64(w->stack + (address - STACK), value);
}

static struct unwind_frame frame_at(uint64_t rip, uint64_t rsp)
{
    struct unwind_frame f = {.rip = rip};
    f.registers[UNWIND_RSP] = rsp;
    return f;
}

static bool step(struct world *w, struct unwind_frame *f)
{
    struct unwind_memory memory = {read_memory, image, w};
    return unwind_step(&memory, f);
}

static void pushes_and_allocation(void **state)
{
    (void)state;
    struct world *w = new_world();
    /* push rbx; push r12; sub rsp, 20h (prolog of 7 bytes) */
    static const uint8_t codes[] = {1, 7, 3, 0, 7, 0x32, 3, 0xC0, 1, 0x30};
    info(w, 0, codes, sizeof codes);
    function(w, 0x1000, FUNCTION_END, XDATA);
    push(w, STACK + 0x120, 0x1212);         /* r12 */
    push(w, STACK + 0x128, 0xBBBB);         /* rbx */
    push(w, STACK + 0x130, IMAGE + 0x1234); /* return address */
    struct unwind_frame f = frame_at(IMAGE + 0x1020, STACK + 0x100);
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1234);
    assert_int_equal(f.registers[UNWIND_RSP], STACK + 0x138);
    assert_int_equal(f.registers[3], 0xBBBB);
    assert_int_equal(f.registers[12], 0x1212);
    assert_int_equal(f.how, UNWIND_TABLE);
    /* In the prolog, behind the first push only. */
    f = frame_at(IMAGE + 0x1001, STACK + 0x128);
    assert_true(step(w, &f));
    assert_int_equal(f.registers[UNWIND_RSP], STACK + 0x138);
    /* At the very first byte. */
    f = frame_at(IMAGE + 0x1000, STACK + 0x130);
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1234);
    free(w);
}

static void epilog(void **state)
{
    (void)state;
    struct world *w = new_world();
    static const uint8_t codes[] = {1, 7, 3, 0, 7, 0x32, 3, 0xC0, 1, 0x30};
    /* add rsp, 20h; pop r12; pop rbx; ret */
    static const uint8_t code[] = {0x48, 0x83, 0xC4, 0x20, 0x41, 0x5C, 0x5B, 0xC3};
    info(w, 0, codes, sizeof codes);
    function(w, 0x1000, FUNCTION_END, XDATA);
    memcpy(w->image + 0x1050, code, sizeof code);
    push(w, STACK + 0x120, 0x1212);
    push(w, STACK + 0x128, 0xBBBB);
    push(w, STACK + 0x130, IMAGE + 0x1234);
    static const struct {
        uint32_t offset;
        uint64_t rsp;
    } points[] = {{0x1050, 0x100}, {0x1054, 0x120}, {0x1056, 0x128}, {0x1057, 0x130}};
    for (size_t i = 0; i < 4; i++) {
        struct unwind_frame f = frame_at(IMAGE + points[i].offset, STACK + points[i].rsp);
        assert_true(step(w, &f));
        assert_int_equal(f.rip, IMAGE + 0x1234);
        assert_int_equal(f.registers[UNWIND_RSP], STACK + 0x138);
    }
    free(w);
}

static void frame_register_and_saves(void **state)
{
    (void)state;
    struct world *w = new_world();
    /* rbp = frame (offset 2*16); rsi saved at [base+18h]; large allocation of 90h */
    static const uint8_t codes[] = {1,    20, 6, 0x25, 20,   0x64, 3, 0,
                                    0x10, 3,  8, 0x01, 0x12, 0,    1, 0x50};
    info(w, 0, codes, sizeof codes);
    function(w, 0x1000, FUNCTION_END, XDATA);
    uint64_t base = STACK + 0x200;
    push(w, base + 0x18, 0x5151);                                   /* rsi */
    push(w, base + 0x90, STACK + 0x900);                            /* rbp */
    push(w, base + 0x98, IMAGE + 0x1300);                           /* return address */
    struct unwind_frame f = frame_at(IMAGE + 0x1040, STACK + 0x80); /* alloca moved rsp */
    f.registers[UNWIND_RBP] = base + 0x20;
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1300);
    assert_int_equal(f.registers[6], 0x5151);
    assert_int_equal(f.registers[UNWIND_RBP], STACK + 0x900);
    assert_int_equal(f.registers[UNWIND_RSP], base + 0xA0);
    free(w);
}

static void machine_frames(void **state)
{
    (void)state;
    struct world *w = new_world();
    /* sub rsp, 28h; a machine frame with error code */
    static const uint8_t codes[] = {1, 4, 2, 0, 4, 0x42, 0, 0x1A};
    info(w, 0, codes, sizeof codes);
    function(w, 0x1000, FUNCTION_END, XDATA);
    push(w, STACK + 0x128, 0xE);            /* error code */
    push(w, STACK + 0x130, IMAGE + 0x1500); /* rip */
    push(w, STACK + 0x148, STACK + 0x40);   /* rsp: another stack, below */
    struct unwind_frame f = frame_at(IMAGE + 0x1020, STACK + 0x100);
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1500);
    assert_int_equal(f.registers[UNWIND_RSP], STACK + 0x40);
    free(w);
}

static void chains(void **state)
{
    (void)state;
    struct world *w = new_world();
    static const uint8_t parent[] = {1, 4, 1, 0, 4, 0x42};         /* sub rsp, 28h */
    static const uint8_t child[] = {0x21, 2, 1, 0, 2, 0x30, 0, 0}; /* push rbx, chained */
    info(w, 0, parent, sizeof parent);
    info(w, 0x40, child, sizeof child);
    kd_put_u32(w->image + XDATA + 0x48, 0x1000);
    kd_put_u32(w->image + XDATA + 0x4C, 0x1040);
    kd_put_u32(w->image + XDATA + 0x50, XDATA);
    function(w, 0x1000, 0x1040, XDATA);
    function(w, 0x1040, FUNCTION_END, XDATA + 0x40);
    push(w, STACK + 0x100, 0xBBBB);
    push(w, STACK + 0x130, IMAGE + 0x1234);
    struct unwind_frame f = frame_at(IMAGE + 0x1060, STACK + 0x100);
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1234);
    assert_int_equal(f.registers[3], 0xBBBB);
    free(w);
}

static void leaf_functions(void **state)
{
    (void)state;
    struct world *w = new_world();
    static const uint8_t codes[] = {1, 4, 1, 0, 4, 0x42};
    info(w, 0, codes, sizeof codes);
    function(w, 0x1000, 0x1010, XDATA);
    push(w, STACK + 0x100, IMAGE + 0x1234);
    struct unwind_frame f = frame_at(IMAGE + 0x1800, STACK + 0x100);
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1234);
    assert_int_equal(f.how, UNWIND_TABLE);
    free(w);
}

static void code_without_information_is_guessed(void **state)
{
    (void)state;
    struct world *w = new_world();
    push(w, STACK + 0x108, IMAGE + 0x1500); /* into the image, but not behind a call */
    push(w, STACK + 0x118, IMAGE + 0x1234);
    w->image[0x122F] = 0xE8;
    struct unwind_frame f = frame_at(0x1000, STACK + 0x100);
    assert_true(step(w, &f));
    assert_int_equal(f.rip, IMAGE + 0x1234);
    assert_int_equal(f.registers[UNWIND_RSP], STACK + 0x120);
    assert_int_equal(f.how, UNWIND_GUESS);
    free(w);
}

/* Information that chains to itself, codes cut off, any bytes at all: it ends. */
static void lies_end(void **state)
{
    (void)state;
    struct world *w = new_world();
    static const uint8_t circle[] = {0x21, 0, 0, 0};
    info(w, 0, circle, sizeof circle);
    kd_put_u32(w->image + XDATA + 4, 0x1000);
    kd_put_u32(w->image + XDATA + 8, FUNCTION_END);
    kd_put_u32(w->image + XDATA + 12, XDATA);
    function(w, 0x1000, FUNCTION_END, XDATA);
    struct unwind_frame f = frame_at(IMAGE + 0x1020, STACK + 0x100);
    step(w, &f);
    assert_true(w->reads < 1000);
    uint32_t random = 7;
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < 64; i++) {
            random = random * 1664525 + 1013904223;
            w->image[XDATA + i] = (uint8_t)(random >> 24);
            w->stack[(random >> 8) % STACK_SIZE] = (uint8_t)(random >> 16);
        }
        if (round % 3 == 0)
            w->image[XDATA] = 1;
        f = frame_at(IMAGE + 0x1020, STACK + 0x100);
        w->reads = 0;
        for (int i = 0; i < 50 && step(w, &f); i++)
            continue;
        assert_true(w->reads < 60000);
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_and_allocation),
        cmocka_unit_test(epilog),
        cmocka_unit_test(frame_register_and_saves),
        cmocka_unit_test(machine_frames),
        cmocka_unit_test(chains),
        cmocka_unit_test(leaf_functions),
        cmocka_unit_test(code_without_information_is_guessed),
        cmocka_unit_test(lies_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
