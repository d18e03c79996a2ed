/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's settings: every key, every source's spelling, and what is wrong changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"

static struct uefi_config config;
static struct uefi_config_error error;

static void parse(const char *text)
{
    uefi_config_defaults(&config);
    memset(&error, 0, sizeof error);
    uefi_config_parse(&config, text, strlen(text), &error);
}

static void every_key_is_understood(void **state)
{
    (void)state;
    parse("port=com3 baud=9600 initial-break=off timeout=2500 poll=event rxirq=on ist=off ebs=stay "
          "modules=all console=share");
    assert_int_equal(error.count, 0);
    assert_int_equal(config.port.kind, UEFI_PORT_COM);
    assert_int_equal(config.port.com, 3);
    assert_int_equal(config.baud, 9600);
    assert_false(config.initial_break);
    assert_int_equal(config.timeout_ms, 2500);
    assert_int_equal(config.poll, UEFI_POLL_EVENT);
    assert_true(config.rxirq);
    assert_false(config.ist);
    assert_true(config.stay_after_exit);
    assert_int_equal(config.modules, UEFI_MODULES_ALL);
    assert_false(config.grab_console);
}

static void ports_in_every_spelling(void **state)
{
    (void)state;
    parse("PORT=COM1");
    assert_int_equal(config.port.kind, UEFI_PORT_COM);
    assert_int_equal(config.port.com, 1);
    parse("port=0x3E8");
    assert_int_equal(config.port.kind, UEFI_PORT_IO);
    assert_int_equal(config.port.base, 0x3E8);
    parse("port=pci:0.1f.3");
    assert_int_equal(config.port.kind, UEFI_PORT_PCI);
    assert_int_equal(config.port.device, 0x1F);
    assert_int_equal(config.port.function, 3);
    parse("port=dbg2");
    assert_int_equal(config.port.kind, UEFI_PORT_DBG2);
    parse("port=vmbus framing=windbg-uefi vmbus-wait=0");
    assert_int_equal(config.port.kind, UEFI_PORT_VMBUS);
    assert_true(vmbus_guid_is_zero(&config.port.channel));
    assert_int_equal(config.framing, UEFI_FRAMING_WINDBG_UEFI);
    assert_int_equal(config.vmbus_wait_ms, 0);
    parse("port=vmbus:A67DFBAE-7897-42ad-9d10-d96156b36958");
    assert_int_equal(config.port.kind, UEFI_PORT_VMBUS);
    assert_true(vmbus_guid_equal(&config.port.channel, &vmbus_windbg_uefi_type));
    parse("port=hvsock:1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4 framing=windbg-uefi-ack");
    assert_int_equal(config.port.kind, UEFI_PORT_HVSOCK);
    assert_true(vmbus_guid_equal(&config.port.channel, &vmbus_kdwire_type));
    assert_int_equal(config.framing, UEFI_FRAMING_ACKNOWLEDGED);
    assert_int_equal(error.count, 0);
    parse("port=vmbus: port=hvsock:12 port=vmbus:1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8ax framing=1");
    assert_int_equal(error.count, 4);
    assert_int_equal(config.port.kind, UEFI_PORT_AUTO);
    parse("port=none");
    assert_int_equal(config.port.kind, UEFI_PORT_NONE);
    assert_int_equal(error.count, 0);
}

static void a_wrong_word_is_named_and_changes_nothing(void **state)
{
    static const char *const wrong[] = {
        "port=com5",
        "port=com",
        "port=pci:0.20.0",
        "port=pci:0.1",
        "port=0x10000",
        "port=0",
        "baud=115201",
        "baud=x",
        "baud=49",
        "timeout=-1",
        "timeout=",
        "poll=sometimes",
        "modules=some",
        "initial-break=maybe",
        "ebs=",
        "console=steal",
        "colour=blue",
        "timeout=99999999999999999999999",
        "port=0x10000000000000378",
    };
    struct uefi_config defaults;

    (void)state;
    uefi_config_defaults(&defaults);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        parse(wrong[i]);
        assert_int_equal(error.count, 1);
        assert_string_equal(error.first, wrong[i]);
        assert_memory_equal(&config, &defaults, sizeof config);
    }
}

static void a_shell_command_line_is_a_good_source(void **state)
{
    (void)state;
    parse("fs0:\\windbg.efi \"port=com2\",timeout=5;modules=off\r\n");
    assert_int_equal(error.count, 0);
    assert_int_equal(config.port.com, 2);
    assert_int_equal(config.timeout_ms, 5);
    assert_int_equal(config.modules, UEFI_MODULES_OFF);
}

static void later_words_win(void **state)
{
    (void)state;
    parse("port=com1 port=com2");
    assert_int_equal(config.port.com, 2);
}

static void a_long_wrong_word_is_cut(void **state)
{
    char text[300];

    (void)state;
    memset(text, 'x', sizeof text);
    text[10] = '=';
    uefi_config_defaults(&config);
    memset(&error, 0, sizeof error);
    uefi_config_parse(&config, text, sizeof text, &error);
    assert_int_equal(error.count, 1);
    assert_int_equal(strlen(error.first), UEFI_CONFIG_WORD_MAX - 1);
}

static void load_options_are_utf16_or_bytes(void **state)
{
    static const uint8_t wide[] = {'p', 0, '=', 0, 'c', 0, 0, 0, 'z', 0};
    static const uint8_t narrow[] = "p=c\0z";
    static const uint8_t odd[] = {'a', 0, 'b'};
    static const uint8_t other[] = {'a', 0, 0x42, 0x30};
    char text[8];

    (void)state;
    assert_int_equal(uefi_config_text(text, sizeof text, wide, sizeof wide), 3);
    assert_memory_equal(text, "p=c", 3);
    assert_int_equal(uefi_config_text(text, sizeof text, narrow, sizeof narrow), 3);
    assert_memory_equal(text, "p=c", 3);
    assert_int_equal(uefi_config_text(text, sizeof text, odd, sizeof odd), 1);
    assert_int_equal(uefi_config_text(text, sizeof text, other, sizeof other), 2);
    assert_memory_equal(text, "a?", 2);
    assert_int_equal(uefi_config_text(text, 2, wide, sizeof wide), 2);
    assert_int_equal(uefi_config_text(text, sizeof text, wide, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_understood),
        cmocka_unit_test(ports_in_every_spelling),
        cmocka_unit_test(a_wrong_word_is_named_and_changes_nothing),
        cmocka_unit_test(a_shell_command_line_is_a_good_source),
        cmocka_unit_test(later_words_win),
        cmocka_unit_test(a_long_wrong_word_is_cut),
        cmocka_unit_test(load_options_are_utf16_or_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
