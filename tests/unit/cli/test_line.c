/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor of systems without libedit: keys in, line and screen out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "debug/line.h"

#define UP     "\033[A"
#define DOWN   "\033[B"
#define RIGHT  "\033[C"
#define LEFT   "\033[D"
#define HOME   "\033[H"
#define END    "\033[F"
#define DELETE "\033[3~"

static struct line line;

static enum line_result type(const char *keys)
{
    enum line_result result = LINE_GOES_ON;
    bool redraw;
    for (; *keys; keys++) {
        assert_int_equal(result, LINE_GOES_ON);
        result = line_key(&line, *keys, &redraw);
    }
    return result;
}

static void assert_line(const char *keys, const char *text, size_t at)
{
    line_begin(&line, "kd> ");
    assert_int_equal(type(keys), LINE_GOES_ON);
    assert_string_equal(line.text, text);
    assert_int_equal(line.at, at);
    assert_int_equal(line.size, strlen(text));
}

static void test_typing_and_moving(void **state)
{
    (void)state;
    assert_line("lm", "lm", 2);
    assert_line("bc" LEFT LEFT "a", "abc", 1);
    assert_line("bc" HOME "a" END "d", "abcd", 4);
    assert_line("ab" LEFT LEFT LEFT RIGHT RIGHT RIGHT "c", "abc", 3);
    assert_line("\033\033[Dx", "x", 1); /* Escape alone is nothing */
    assert_line("a\033[1;5Cb", "ab", 2);
}

static void test_removing(void **state)
{
    (void)state;
    assert_line("abc\177", "ab", 2);
    assert_line("\177\bx", "x", 1);
    assert_line("abc" HOME DELETE, "bc", 0);
    assert_line("abc" DELETE, "abc", 3);
    assert_line("abc" LEFT "\004", "ab", 2);
    assert_line("bp one two  \027", "bp one ", 7);
    assert_line("abcd" LEFT LEFT "\025", "cd", 0);
    assert_line("abcd" LEFT LEFT "\013", "ab", 2);
}

static void test_utf8_is_moved_over_as_a_whole(void **state)
{
    (void)state;
    assert_line("\303\244\342\202\254" LEFT LEFT "x", "x\303\244\342\202\254", 1);
    assert_line("\303\244\342\202\254\177", "\303\244", 2);
}

static void test_ends(void **state)
{
    (void)state;
    line_begin(&line, "kd> ");
    assert_int_equal(type("r\r"), LINE_DONE);
    assert_string_equal(line.text, "r");
    line_begin(&line, "kd> ");
    assert_int_equal(type("abc\003"), LINE_INTERRUPT);
    assert_string_equal(line.text, "");
    assert_int_equal(type("\004"), LINE_END);
}

static void test_history(void **state)
{
    (void)state;
    memset(&line, 0, sizeof(line));
    line_remember(&line, "first");
    line_remember(&line, "second");
    line_remember(&line, "second");
    line_remember(&line, "");
    assert_int_equal(line.history_count, 2);
    assert_line(UP, "second", 6);
    assert_line(UP UP UP UP, "first", 5);
    assert_line(UP UP DOWN, "second", 6);
    assert_line("new" UP DOWN, "", 0);
    for (int i = 0; i < LINE_HISTORY_MAX + 5; i++) {
        char text[16];
        snprintf(text, sizeof(text), "n%d", i);
        line_remember(&line, text);
    }
    assert_int_equal(line.history_count, LINE_HISTORY_MAX);
    assert_string_equal(line.history[0], "n5");
    line_free(&line);
}

static char *complete(const char *text, int which)
{
    static const char *const names[] = {"simkernel", "simhal", "other"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strncmp(names[i], text, strlen(text)) && which-- == 0) {
            char *copy = malloc(strlen(names[i]) + 1);
            return copy ? strcpy(copy, names[i]) : NULL;
        }
    return NULL;
}

static void test_completion(void **state)
{
    (void)state;
    line.complete = complete;
    assert_line("x o\t", "x other ", 8);
    assert_line("s\t", "sim", 3);
    assert_line("lm;simk\t", "lm;simkernel ", 13);
    assert_line("nothing\t", "nothing", 7);
    line.complete = NULL;
    assert_line("o\t", "o", 1);
}

static void assert_shown(const char *shown)
{
    char text[LINE_SHOWN_MAX];
    size_t size = line_shown(&line, text);
    text[size] = '\0';
    assert_string_equal(text, shown);
}

static void test_the_screen(void **state)
{
    (void)state;
    line.width = 80;
    assert_line("abc" LEFT LEFT, "abc", 1);
    assert_shown("\r\033[Kkd> abc\033[2D");
    line_set_prompt(&line, "(running) kd> ");
    assert_shown("\r\033[K(running) kd> abc\033[2D");
    /* A line longer than the terminal: what is around the cursor, never a full row. */
    line.width = 24;
    assert_line("0123456789abcdefghijklmnopqrst", "0123456789abcdefghijklmnopqrst", 30);
    assert_shown("\r\033[Kkd> cdefghijklmnopqrst");
    assert_int_equal(type(HOME), LINE_GOES_ON);
    assert_shown("\r\033[Kkd> 0123456789abcdefghi\033[19D");
}

static void test_a_line_too_long_keeps_what_fits(void **state)
{
    (void)state;
    line_begin(&line, "kd> ");
    for (size_t i = 0; i < LINE_MAX_BYTES + 10; i++)
        assert_int_equal(type("x"), LINE_GOES_ON);
    assert_int_equal(line.size, LINE_MAX_BYTES - 1);
    assert_int_equal(strlen(line.text), LINE_MAX_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typing_and_moving),
        cmocka_unit_test(test_removing),
        cmocka_unit_test(test_utf8_is_moved_over_as_a_whole),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_the_screen),
        cmocka_unit_test(test_a_line_too_long_keeps_what_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
