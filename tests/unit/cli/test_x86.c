/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "debug/x86.h"
#include "kdwire/error.h"

/* Lengths as a disassembler tells them. */
static const struct {
    const char *bytes;
    unsigned length;
    enum x86_kind kind;
} known[] = {
    {"\x90", 1, X86_OTHER},
    {"\xCC", 1, X86_INT},
    {"\xCD\x2D", 2, X86_INT},
    {"\x0F\x05", 2, X86_INT},
    {"\xC3", 1, X86_RETURN},
    {"\xF3\xC3", 2, X86_RETURN},
    {"\xC2\x08\x00", 3, X86_RETURN},
    {"\x48\xCF", 2, X86_RETURN},
    {"\xE8\x01\x02\x03\x04", 5, X86_CALL},
    {"\xFF\x15\x01\x02\x03\x04", 6, X86_CALL},  /* call [rip+n] */
    {"\x41\xFF\xD2", 3, X86_CALL},              /* call r10 */
    {"\xFF\x54\x24\x08", 4, X86_CALL},          /* call [rsp+8] */
    {"\xFF\x25\x01\x02\x03\x04", 6, X86_JUMP},  /* jmp [rip+n] */
    {"\xFF\x35\x01\x02\x03\x04", 6, X86_OTHER}, /* push [rip+n] */
    {"\xE9\x01\x02\x03\x04", 5, X86_JUMP},
    {"\x74\x05", 2, X86_JUMP},
    {"\x0F\x85\x01\x02\x03\x04", 6, X86_JUMP},
    {"\xF3\x48\xA5", 3, X86_REPEAT},
    {"\xF2\xAE", 2, X86_REPEAT},
    {"\x48\xA5", 2, X86_OTHER},
    {"\x48\x83\xEC\x28", 4, X86_OTHER}, /* sub rsp, 28h */
    {"\x48\x81\xEC\x00\x10\x00\x00", 7, X86_OTHER},
    {"\x48\x8D\x05\xA9\x00\x00\x00", 7, X86_OTHER}, /* lea rax, [rip+n] */
    {"\x48\xB8\x01\x02\x03\x04\x05\x06\x07\x08", 10, X86_OTHER},
    {"\xB8\x01\x02\x03\x04", 5, X86_OTHER},
    {"\x66\xB8\x01\x02", 4, X86_OTHER},
    {"\x66\x81\xC1\x01\x02", 5, X86_OTHER},             /* add cx, imm16 */
    {"\xF6\x05\x01\x02\x03\x04\x01", 7, X86_OTHER},     /* test byte [rip+n], 1 */
    {"\xF6\xD8", 2, X86_OTHER},                         /* neg al */
    {"\xF7\xC1\x01\x02\x03\x04", 6, X86_OTHER},         /* test ecx, imm32 */
    {"\xF7\xD9", 2, X86_OTHER},                         /* neg ecx */
    {"\xC7\x44\x24\x20\x01\x02\x03\x04", 8, X86_OTHER}, /* mov dword [rsp+20h], imm */
    {"\x48\xC7\x84\x24\x80\x00\x00\x00\x01\x00\x00\x00", 12, X86_OTHER},
    {"\x8B\x04\x25\x01\x02\x03\x04", 7, X86_OTHER}, /* mov eax, [disp32] */
    {"\x8B\x04\x8D\x01\x02\x03\x04", 7, X86_OTHER}, /* mov eax, [rcx*4+disp32] */
    {"\x8B\x44\x8D\x10", 4, X86_OTHER},
    {"\x48\xA1\x01\x02\x03\x04\x05\x06\x07\x08", 10, X86_OTHER},
    {"\x0F\x1F\x84\x00\x00\x00\x00\x00", 8, X86_OTHER}, /* nop */
    {"\x66\x2E\x0F\x1F\x84\x00\x00\x00\x00\x00", 10, X86_OTHER},
    {"\x0F\xB6\xC0", 3, X86_OTHER},                     /* movzx */
    {"\x0F\xBA\xE0\x05", 4, X86_OTHER},                 /* bt eax, 5 */
    {"\x0F\xA2", 2, X86_OTHER},                         /* cpuid */
    {"\x0F\x22\xD8", 3, X86_OTHER},                     /* mov cr3, rax */
    {"\x0F\x01\xD0", 3, X86_OTHER},                     /* xgetbv */
    {"\x66\x0F\x6F\x05\x01\x02\x03\x04", 8, X86_OTHER}, /* movdqa xmm0, [rip+n] */
    {"\x66\x0F\x70\xC1\x1B", 5, X86_OTHER},             /* pshufd */
    {"\x66\x0F\x3A\x0F\xC1\x08", 6, X86_OTHER},         /* palignr */
    {"\x66\x0F\x38\x00\xC1", 5, X86_OTHER},             /* pshufb */
    {"\xC5\xF8\x77", 3, X86_OTHER},                     /* vzeroupper */
    {"\xC5\xF9\x6F\x05\x01\x02\x03\x04", 8, X86_OTHER}, /* vmovdqa */
    {"\xC4\xE3\x7D\x39\xC1\x01", 6, X86_OTHER},         /* vextracti128 */
    {"\x62\xF1\x7C\x48\x28\xC1", 6, X86_OTHER},         /* vmovaps zmm0, zmm1 */
    {"\xC8\x10\x00\x00", 4, X86_OTHER},                 /* enter */
    {"\x6A\x01", 2, X86_OTHER},
    {"\x68\x01\x02\x03\x04", 5, X86_OTHER},
    {"\x69\xC0\x01\x02\x03\x04", 6, X86_OTHER},
    {"\x6B\xC0\x01", 3, X86_OTHER},
    {"\xE4\x60", 2, X86_OTHER},
    {"\xEC", 1, X86_OTHER},
    {"\x65\x48\x8B\x04\x25\x30\x00\x00\x00", 9, X86_OTHER}, /* mov rax, gs:[30h] */
    {"\xF0\x0F\xB1\x0A", 4, X86_OTHER},                     /* lock cmpxchg */
};

static void lengths_and_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t code[X86_LENGTH_MAX + 1];
        struct x86_instruction instruction;
        memset(code, 0x90, sizeof code);
        memcpy(code, known[i].bytes, known[i].length);
        assert_int_equal(x86_decode(&instruction, code, sizeof code), KD_OK);
        if (instruction.length != known[i].length || instruction.kind != known[i].kind)
            fail_msg("entry %zu: length %u kind %d", i, instruction.length, instruction.kind);
        /* One byte less is not enough, and is said to be so. */
        assert_int_equal(x86_decode(&instruction, code, known[i].length - 1), KD_E_TRUNCATED);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct x86_instruction instruction;
    uint8_t prefixes[16];
    memset(prefixes, 0x66, sizeof prefixes);
    assert_int_equal(x86_decode(&instruction, prefixes, sizeof prefixes), KD_E_FORMAT);
    assert_int_equal(x86_decode(&instruction, (const uint8_t *)"\x06", 1), KD_E_FORMAT);
    assert_int_equal(x86_decode(&instruction, (const uint8_t *)"", 0), KD_E_TRUNCATED);
}

/* Any bytes: an answer, and never a length beyond what was given. */
static void any_bytes_end(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < 200000; i++) {
        uint8_t code[16];
        struct x86_instruction instruction;
        for (size_t k = 0; k < sizeof code; k++) {
            random = random * 1664525 + 1013904223;
            code[k] = (uint8_t)(random >> 24);
        }
        size_t size = random >> 8 & 15;
        if (x86_decode(&instruction, code, size) == KD_OK) {
            assert_true(instruction.length >= 1 && instruction.length <= size);
            assert_true(instruction.length <= X86_LENGTH_MAX);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_kinds),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(any_bytes_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
