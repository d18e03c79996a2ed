/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "debug/expr.h"

static bool register_value(void *context, const char *name, uint64_t *value)
{
    (void)context;
    if (strcmp(name, "rip") == 0)
        *value = 0xFFFFF80001001000u;
    else if (strcmp(name, "ax") == 0)
        *value = 7;
    else
        return false;
    return true;
}

static bool symbol(void *context, const char *name, uint64_t *value)
{
    (void)context;
    if (strcmp(name, "hello") == 0)
        *value = 0x10000;
    else if (strcmp(name, "hello!main") == 0)
        *value = 0x11000;
    else
        return false;
    return true;
}

static bool read_memory(void *context, uint64_t address, uint8_t *to, size_t size)
{
    (void)context;
    if (address != 0x2000)
        return false;
    static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    memcpy(to, bytes, size);
    return true;
}

static const struct expr_names names = {register_value, symbol, read_memory, NULL};

static void is(const char *text, uint64_t expected)
{
    char message[EXPR_MESSAGE_MAX] = "";
    uint64_t value = 0;
    const char *at = text;
    if (!expr_eval(&names, &at, true, &value, message))
        fail_msg("%s: %s", text, message);
    if (value != expected || *at != '\0')
        fail_msg("%s is %llx, rest '%s'", text, (unsigned long long)value, at);
}

static void fails(const char *text, const char *why)
{
    char message[EXPR_MESSAGE_MAX] = "";
    uint64_t value = 0;
    const char *at = text;
    assert_false(expr_eval(&names, &at, true, &value, message));
    if (strstr(message, why) == NULL)
        fail_msg("%s: '%s' does not tell '%s'", text, message, why);
}

static void numbers_as_windbg_reads_them(void **state)
{
    (void)state;
    is("10", 16);
    is("0n10", 10);
    is("0x1F", 31);
    is("0t17", 15);
    is("0y101", 5);
    is("1fh", 31);
    is("fffff800`01001000", 0xFFFFF80001001000u);
    is("ab", 0xAB);
    is("ffffffffffffffff", UINT64_MAX);
    fails("1ffffffffffffffff", "64 bits");
    fails("0n99999999999999999999", "64 bits");
}

static void names_and_memory(void **state)
{
    (void)state;
    is("rip", 0xFFFFF80001001000u);
    is("@rip", 0xFFFFF80001001000u);
    is("@rip+10", 0xFFFFF80001001010u);
    is("hello+0x10", 0x10010);
    is("hello!main", 0x11000);
    is("poi(2000)", 0x0807060504030201u);
    is("dwo(2000)", 0x04030201);
    is("wo(1fff+1)", 0x0201);
    is("by(2000)", 1);
    is("hi(12345678)", 0x1234);
    is("low(12345678)", 0x5678);
    fails("poi(3000)", "cannot be read");
    fails("@hello", "no register");
    fails("nowhere!main", "nowhere!main");
}

static void operators(void **state)
{
    (void)state;
    is("1 + 2 * 3", 7);
    is("(1 + 2) * 3", 9);
    is("-1", UINT64_MAX);
    is("10 - -2", 0x12);
    is("10/3", 5);
    is("10%3", 1);
    is("1 << 4 | 3", 0x13);
    is("f0 & 3c ^ 1", 0x31);
    is("~0", UINT64_MAX);
    is("1<<40", 0);
    is("5 and 3", 1);
    is("5 AND 3 or 8", 9);
    is("f xor 3", 0xC);
    is("0n11 mod 3", 2);
    is("not 0", UINT64_MAX);
    is("(not 1) & f", 0xE);
    is("1 == 1", 1);
    is("1=2", 0);
    is("3 > 2", 1);
    is("3<2", 0);
    is("1!=2", 1);
    is("2 >= 2 and 2 <= 1", 0);
    is("1 + 1 == 2", 1);
    is("8000000000000000 >>> 3f", UINT64_MAX);
    is("8000000000000000 >> 3f", 1);
    is("1 >>> 40", 0);
    is("'A'", 0x41);
    is("'ab' + 1", 0x6163);
    is("hello!main!=hello", 1);
    is("ba and f", 0xA);
    fails("''", "characters");
    fails("'123456789'", "characters");
    fails("1 and", "missing");
    fails("1/0", "division by zero");
    fails("(1", "')'");
    fails("", "missing");
    fails("1+", "missing");
    char deep[200];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    fails(deep, "deep");
    memset(deep, '-', sizeof deep - 1);
    fails(deep, "deep");
}

static void blanks_end_an_argument(void **state)
{
    (void)state;
    char message[EXPR_MESSAGE_MAX];
    uint64_t value;
    const char *at = "hello + 10";
    assert_true(expr_eval(&names, &at, false, &value, message));
    assert_int_equal(value, 0x10000);
    assert_string_equal(at, " + 10");
    at = "(1 + 1) L10";
    assert_true(expr_eval(&names, &at, false, &value, message));
    assert_int_equal(value, 2);
    assert_string_equal(at, " L10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_as_windbg_reads_them),
        cmocka_unit_test(names_and_memory),
        cmocka_unit_test(operators),
        cmocka_unit_test(blanks_end_an_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
