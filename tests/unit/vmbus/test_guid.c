/* SPDX-License-Identifier: BSD-2-Clause */
/* GUIDs between text and wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmbus/guid.h"

static void text_and_wire(void **state)
{
    static const struct {
        const struct vmbus_guid *guid;
        const char *text;
    } known[] = {
        {&vmbus_kdwire_type, "1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4"},
        {&vmbus_kdwire_instance, "5a3c61d8-0f72-4e95-b1c4-83d97e20f6b1"},
        {&vmbus_windbg_uefi_type, "a67dfbae-7897-42ad-9d10-d96156b36958"},
        {&vmbus_windbg_uefi_instance, "9c7fe450-67fc-41aa-9732-8d4c3ed93db4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct vmbus_guid read;
        char text[VMBUS_GUID_TEXT], braces[VMBUS_GUID_TEXT + 2] = "{";

        vmbus_guid_text(known[i].guid, text);
        assert_string_equal(text, known[i].text);
        assert_true(vmbus_guid_parse(&read, text, strlen(text)));
        assert_true(vmbus_guid_equal(&read, known[i].guid));
        strcat(strcat(braces, text), "}");
        memset(&read, 0, sizeof read);
        assert_true(vmbus_guid_parse(&read, braces, strlen(braces)));
        assert_true(vmbus_guid_equal(&read, known[i].guid));
    }
    assert_int_equal(vmbus_kdwire_type.bytes[0], 0x52); /* the first group is little-endian */
}

static void what_is_no_guid(void **state)
{
    static const char *const wrong[] = {
        "",
        "1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a",
        "1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a44",
        "1e7b9c52+4d0a-4b8e-9a37-6c51f0d2e8a4",
        "1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8ag",
        "{1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4",
        "1e7b9c524d0a4b8e9a376c51f0d2e8a4",
    };
    struct vmbus_guid guid;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(vmbus_guid_parse(&guid, wrong[i], strlen(wrong[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_wire),
        cmocka_unit_test(what_is_no_guid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
