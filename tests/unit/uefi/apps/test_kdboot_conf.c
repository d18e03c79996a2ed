/* SPDX-License-Identifier: BSD-2-Clause */
/* kdboot.conf: what a user may write, and what a damaged file must not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kdboot_conf.h"

static struct kdboot_conf conf;

/* From memory of exactly the text's size, so that a sanitizer sees a byte read behind it. */
static void parse_bytes(const char *text, size_t size)
{
    char *exact = malloc(size + (size == 0));

    assert_non_null(exact);
    memcpy(exact, text, size);
    kdboot_conf_default(&conf);
    kdboot_conf_parse(&conf, exact, size);
    free(exact);
}

static void parse(const char *text)
{
    parse_bytes(text, strlen(text));
}

static void without_a_file_the_usual_loaders_are_tried(void **state)
{
    (void)state;
    kdboot_conf_default(&conf);
    assert_string_equal(conf.debugger.path, "\\EFI\\kdwire\\windbg.efi");
    assert_string_equal(conf.next[0].path, "\\EFI\\Microsoft\\Boot\\bootmgfw.efi");
    assert_true(conf.next_count >= 2);
    parse("");
    assert_int_equal(conf.bad_lines, 0);
    assert_true(conf.next_count >= 2);
}

static void a_file_says_what_to_start(void **state)
{
    (void)state;
    parse(
        "# mine\r\n\r\n  debugger = tools/windbg.efi \r\ndebugger-options=port=com1 console=grab\n"
        "next=\\a.efi\nnext-options=break count=2\nnext=/dir/b.efi");
    assert_int_equal(conf.bad_lines, 0);
    assert_string_equal(conf.debugger.path, "\\tools\\windbg.efi");
    assert_string_equal(conf.debugger.options, "port=com1 console=grab");
    assert_int_equal(conf.next_count, 2);
    assert_string_equal(conf.next[0].path, "\\a.efi");
    assert_string_equal(conf.next[0].options, "break count=2");
    assert_string_equal(conf.next[1].path, "\\dir\\b.efi");
    assert_string_equal(conf.next[1].options, "");
}

static void bad_lines_are_counted_and_the_rest_counts(void **state)
{
    (void)state;
    parse("next-options=before any "
          "boot\nnonsense\nengin=x\nnext=\nnext=\\a\x80.efi\nnext=\\good.efi\n=\n");
    assert_int_equal(conf.bad_lines, 6);
    assert_int_equal(conf.first_bad_line, 1);
    assert_non_null(conf.why);
    assert_int_equal(conf.next_count, 1);
    assert_string_equal(conf.next[0].path, "\\good.efi");
}

static void values_are_bounded(void **state)
{
    static char text[4096];
    size_t i;

    (void)state;
    /* The longest path: 254 characters, with the backslash in front and the NUL 256. */
    memcpy(text, "next=", 5);
    memset(text + 5, 'x', 254);
    parse_bytes(text, 5 + 254);
    assert_int_equal(conf.bad_lines, 0);
    assert_int_equal(strlen(conf.next[0].path), KDBOOT_PATH_MAX - 1);
    memset(text + 5, 'x', 300);
    parse_bytes(text, 5 + 255);
    assert_int_equal(conf.bad_lines, 1);

    memcpy(text, "debugger-options=", 17);
    memset(text + 17, 'o', KDBOOT_OPTIONS_MAX);
    parse_bytes(text, 17 + KDBOOT_OPTIONS_MAX - 1);
    assert_int_equal(conf.bad_lines, 0);
    assert_int_equal(strlen(conf.debugger.options), KDBOOT_OPTIONS_MAX - 1);
    parse_bytes(text, 17 + KDBOOT_OPTIONS_MAX);
    assert_int_equal(conf.bad_lines, 1);
    assert_string_equal(conf.debugger.options, "");

    for (i = 0; i < 9; i++)
        memcpy(text + i * 7, "next=x\n", 7);
    parse_bytes(text, 9 * 7);
    assert_int_equal(conf.bad_lines, 1);
    assert_int_equal(conf.next_count, KDBOOT_NEXT_MAX);
}

static void every_cut_of_a_file_is_read_within_its_bounds(void **state)
{
    static const char text[] =
        "debugger=\\w.efi\ndebugger-options=a=b\nnext=\\b.efi\nnext-options=c\n";
    size_t size;

    (void)state;
    for (size = 0; size < sizeof text; size++)
        parse_bytes(text, size);
    assert_string_equal(conf.next[0].path, "\\b.efi");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_the_usual_loaders_are_tried),
        cmocka_unit_test(a_file_says_what_to_start),
        cmocka_unit_test(bad_lines_are_counted_and_the_rest_counts),
        cmocka_unit_test(values_are_bounded),
        cmocka_unit_test(every_cut_of_a_file_is_read_within_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
