/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and sizes of images, whole, stripped, damaged and lying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"
#include "pe.h"

enum {
    NEW_HEADER = 0x80,
    OPTIONAL = NEW_HEADER + 24,
    DEBUG_DIRECTORY = 0x400,
    CODEVIEW = 0x500,
    IMAGE_SIZE = 0x800,
};

static uint8_t image[IMAGE_SIZE];
static size_t readable;

static size_t read_image(void *context, uint64_t offset, void *to, size_t size)
{
    (void)context;
    if (offset >= readable)
        return 0;
    if (size > readable - offset)
        size = (size_t)(readable - offset);
    memcpy(to, image + offset, size);
    return size;
}

static void put_codeview(const char *path)
{
    memcpy(image + CODEVIEW, "RSDS", 4);
    for (unsigned i = 0; i < 16; i++)
        image[CODEVIEW + 4 + i] = (uint8_t)(0xA0 + i);
    kd_put_u32(image + CODEVIEW + 20, 7);
    memcpy(image + CODEVIEW + 24, path, strlen(path) + 1);
    kd_put_u32(image + DEBUG_DIRECTORY + 12, 2);
    kd_put_u32(image + DEBUG_DIRECTORY + 16, (uint32_t)(24 + strlen(path) + 1));
    kd_put_u32(image + DEBUG_DIRECTORY + 20, CODEVIEW);
}

static int make(void **state)
{
    (void)state;
    memset(image, 0, sizeof image);
    readable = sizeof image;
    memcpy(image, "MZ", 2);
    kd_put_u32(image + 0x3C, NEW_HEADER);
    memcpy(image + NEW_HEADER, "PE\0\0", 4);
    kd_put_u16(image + NEW_HEADER + 4, 0x8664);
    kd_put_u32(image + NEW_HEADER + 8, 0x12345678);
    kd_put_u16(image + NEW_HEADER + 20, 0xF0);
    kd_put_u16(image + OPTIONAL, 0x20B);
    kd_put_u32(image + OPTIONAL + 0x10, 0x1234);
    kd_put_u32(image + OPTIONAL + 0x38, 0x9000);
    kd_put_u32(image + OPTIONAL + 0x40, 0xC0FFEE);
    kd_put_u32(image + OPTIONAL + 0x6C, 16);
    kd_put_u32(image + OPTIONAL + 0x70 + 6 * 8, DEBUG_DIRECTORY);
    kd_put_u32(image + OPTIONAL + 0x70 + 6 * 8 + 4, 28);
    put_codeview("c:\\build\\X64\\DxeCore.pdb");
    return 0;
}

static void a_whole_image(void **state)
{
    struct pe_info info;

    (void)state;
    assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), 0);
    assert_int_equal(info.machine, 0x8664);
    assert_int_equal(info.time_stamp, 0x12345678);
    assert_int_equal(info.entry_point, 0x1234);
    assert_int_equal(info.size_of_image, 0x9000);
    assert_int_equal(info.checksum, 0xC0FFEE);
    assert_string_equal(info.pdb_name, "DxeCore");
    assert_int_equal(info.age, 7);
    assert_int_equal(info.guid[0], 0xA0);
}

static void the_codeview_record_may_be_a_later_one(void **state)
{
    struct pe_info info;

    (void)state;
    memmove(image + DEBUG_DIRECTORY + 28, image + DEBUG_DIRECTORY, 28);
    kd_put_u32(image + DEBUG_DIRECTORY + 12, 16); /* repro */
    kd_put_u32(image + OPTIONAL + 0x70 + 6 * 8 + 4, 56);
    assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), 0);
    assert_string_equal(info.pdb_name, "DxeCore");
}

static void not_an_image(void **state)
{
    struct pe_info info;

    (void)state;
    memcpy(image, "VZ", 2); /* a TE image has no PE header */
    assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), KD_E_FORMAT);
    (void)make(NULL);
    kd_put_u32(image + 0x3C, 0xFFFFFFF0u);
    assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), KD_E_FORMAT);
    (void)make(NULL);
    kd_put_u16(image + NEW_HEADER + 20, 0x20); /* optional header too short */
    assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), KD_E_FORMAT);
    assert_int_equal(pe_inspect(read_image, NULL, 0, &info), KD_E_FORMAT);
}

static void a_bad_debug_directory_costs_only_the_name(void **state)
{
    static const struct {
        unsigned at;
        uint32_t value;
    } damage[] = {
        {OPTIONAL + 0x6C, 6},                   /* no such directory */
        {OPTIONAL + 0x70 + 6 * 8, 0xFFFFFFFFu}, /* outside the image */
        {OPTIONAL + 0x70 + 6 * 8 + 4, 27},      /* shorter than an entry */
        {DEBUG_DIRECTORY + 12, 4},              /* not CodeView */
        {DEBUG_DIRECTORY + 16, 24},             /* no path */
        {DEBUG_DIRECTORY + 16, 3},              /* no signature */
        {DEBUG_DIRECTORY + 20, 0xFFFFFFF0u},    /* outside */
        {DEBUG_DIRECTORY + 20, 0},              /* not in memory */
        {CODEVIEW, 0},                          /* unknown signature */
    };

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        struct pe_info info;

        (void)make(NULL);
        kd_put_u32(image + damage[i].at, damage[i].value);
        assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), 0);
        assert_string_equal(info.pdb_name, "");
        assert_int_equal(info.size_of_image, 0x9000);
    }
}

static void unreadable_pages_are_not_an_end(void **state)
{
    struct pe_info info;

    (void)state;
    for (readable = 0; readable < IMAGE_SIZE; readable += 13)
        (void)pe_inspect(read_image, NULL, IMAGE_SIZE, &info);
    readable = CODEVIEW;
    assert_int_equal(pe_inspect(read_image, NULL, IMAGE_SIZE, &info), 0);
    assert_string_equal(info.pdb_name, "");
}

static void names_without_folders(void **state)
{
    static const struct {
        const char *path, *name;
    } cases[] = {
        {"/a/b/Shell.efi", "Shell"},
        {"\\EFI\\BOOT\\BOOTX64.EFI", "BOOTX64"},
        {"plain", "plain"},
        {"two.dots.pdb", "two.dots"},
        {".hidden", ".hidden"},
        {"a/", ""},
        {"sp ace\"\x01\x80.efi", "sp_ace___"},
        {"", ""},
    };
    char name[PE_NAME_MAX], path[2 * PE_NAME_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pe_base_name(name, cases[i].path, strlen(cases[i].path));
        assert_string_equal(name, cases[i].name);
    }
    memset(path, 'n', sizeof path);
    pe_base_name(name, path, sizeof path);
    assert_int_equal(strlen(name), PE_NAME_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_whole_image, make),
        cmocka_unit_test_setup(the_codeview_record_may_be_a_later_one, make),
        cmocka_unit_test_setup(not_an_image, make),
        cmocka_unit_test_setup(a_bad_debug_directory_costs_only_the_name, make),
        cmocka_unit_test_setup(unreadable_pages_are_not_an_end, make),
        cmocka_unit_test(names_without_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
