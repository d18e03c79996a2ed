/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys as people type them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/kdnet.h"

static void is_little_endian_first_part_first(void **state)
{
    (void)state;
    /* 0x1234 is 3lg in base 36 (3*1296 + 21*36 + 16), 35 is z */
    static const uint8_t expected[KDNET_KEY_SIZE] = {
        0x34, 0x12, 0, 0, 0, 0, 0, 0, 1,    0,    0,    0,    0,    0,    0,    0,
        0x23, 0,    0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct kdnet_key key;
    assert_int_equal(kdnet_key_parse(&key, "3lg.1.z.3w5e11264sgsf", NULL), KD_OK);
    assert_memory_equal(key.bytes, expected, KDNET_KEY_SIZE);
    assert_int_equal(kdnet_key_parse(&key, "3LG.1.Z.3W5E11264SGSF", NULL), KD_OK);
    assert_memory_equal(key.bytes, expected, KDNET_KEY_SIZE);
    assert_int_equal(kdnet_key_parse(&key, "0003lg.1.z.3w5e11264sgsf", NULL), KD_OK);
    assert_memory_equal(key.bytes, expected, KDNET_KEY_SIZE);
}

static void refuses_what_is_no_key_and_repeats_none_of_it(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ".",
        "secret",
        "secret.1.1",
        "secret.1.1.1.1",
        "secret.1.1.",
        ".secret.1.1",
        "secret..1.1",
        "secret.1.1.1 ",
        "secret.1.1.-1",
        "secret.1.1.3w5e11264sgsg",
        "secret.1.1.zzzzzzzzzzzzzz",
        "secret.1.1.1.",
        "secret.1.1.\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct kdnet_key key, none = {{0}};
        const char *problem = NULL;
        memset(&key, 0xee, sizeof(key));
        assert_int_equal(kdnet_key_parse(&key, wrong[i], &problem), KD_E_ARGUMENT);
        assert_non_null(problem);
        assert_null(strstr(problem, "secret"));
        assert_memory_equal(key.bytes, none.bytes, KDNET_KEY_SIZE);
    }
}

static void generated_keys_survive_their_text(void **state)
{
    (void)state;
    struct kdnet_key last = {{0}};
    for (unsigned i = 0; i < 100; i++) {
        struct kdnet_key key, again;
        char text[KDNET_KEY_TEXT_MAX];
        assert_int_equal(kdnet_key_generate(&key), KD_OK);
        assert_memory_not_equal(key.bytes, last.bytes, KDNET_KEY_SIZE);
        assert_int_equal(kdnet_key_parse(&again, kdnet_key_text(&key, text), NULL), KD_OK);
        assert_memory_equal(again.bytes, key.bytes, KDNET_KEY_SIZE);
        last = key;
    }
}

static void zero_is_written_as_a_digit(void **state)
{
    (void)state;
    struct kdnet_key key = {{0}};
    char text[KDNET_KEY_TEXT_MAX];
    assert_string_equal(kdnet_key_text(&key, text), "0.0.0.0");
    memset(key.bytes, 0xff, sizeof(key.bytes));
    assert_string_equal(kdnet_key_text(&key, text),
                        "3w5e11264sgsf.3w5e11264sgsf.3w5e11264sgsf.3w5e11264sgsf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_little_endian_first_part_first),
        cmocka_unit_test(refuses_what_is_no_key_and_repeats_none_of_it),
        cmocka_unit_test(generated_keys_survive_their_text),
        cmocka_unit_test(zero_is_written_as_a_digit),
    };
    return cmocka_run_group_tests_name("kdnet-key", tests, NULL, NULL);
}
