/* SPDX-License-Identifier: BSD-2-Clause */
#include "guid.h"

#include <string.h>

/* Where the digits of each byte stand in 8-4-4-4-12. */
static const uint8_t digit_at[VMBUS_GUID_SIZE] = {6,  4,  2,  0,  11, 9,  16, 14,
                                                  19, 21, 24, 26, 28, 30, 32, 34};

const struct vmbus_guid vmbus_kdwire_type = {{0x52, 0x9c, 0x7b, 0x1e, 0x0a, 0x4d, 0x8e, 0x4b, 0x9a,
                                              0x37, 0x6c, 0x51, 0xf0, 0xd2, 0xe8, 0xa4}};
const struct vmbus_guid vmbus_kdwire_instance = {{0xd8, 0x61, 0x3c, 0x5a, 0x72, 0x0f, 0x95, 0x4e,
                                                  0xb1, 0xc4, 0x83, 0xd9, 0x7e, 0x20, 0xf6, 0xb1}};
const struct vmbus_guid vmbus_windbg_uefi_type = {{0xae, 0xfb, 0x7d, 0xa6, 0x97, 0x78, 0xad, 0x42,
                                                   0x9d, 0x10, 0xd9, 0x61, 0x56, 0xb3, 0x69, 0x58}};
const struct vmbus_guid vmbus_windbg_uefi_instance = {{0x50, 0xe4, 0x7f, 0x9c, 0xfc, 0x67, 0xaa,
                                                       0x41, 0x97, 0x32, 0x8d, 0x4c, 0x3e, 0xd9,
                                                       0x3d, 0xb4}};

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool vmbus_guid_parse(struct vmbus_guid *guid, const char *text, size_t size)
{
    if (size == VMBUS_GUID_TEXT + 1 && text[0] == '{' && text[size - 1] == '}') {
        text++;
        size -= 2;
    }
    if (size != VMBUS_GUID_TEXT - 1 || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
        text[23] != '-')
        return false;
    for (unsigned i = 0; i < VMBUS_GUID_SIZE; i++) {
        int high = digit_of(text[digit_at[i]]), low = digit_of(text[digit_at[i] + 1]);

        if (high < 0 || low < 0)
            return false;
        guid->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void vmbus_guid_text(const struct vmbus_guid *guid, char text[VMBUS_GUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";

    memset(text, '-', VMBUS_GUID_TEXT - 1);
    text[VMBUS_GUID_TEXT - 1] = 0;
    for (unsigned i = 0; i < VMBUS_GUID_SIZE; i++) {
        text[digit_at[i]] = digits[guid->bytes[i] >> 4];
        text[digit_at[i] + 1] = digits[guid->bytes[i] & 15];
    }
}

bool vmbus_guid_equal(const struct vmbus_guid *a, const struct vmbus_guid *b)
{
    return memcmp(a->bytes, b->bytes, VMBUS_GUID_SIZE) == 0;
}

bool vmbus_guid_is_zero(const struct vmbus_guid *guid)
{
    static const struct vmbus_guid zero;

    return vmbus_guid_equal(guid, &zero);
}
