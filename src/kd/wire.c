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

uint32_t kd_checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    return sum;
}
