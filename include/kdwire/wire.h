/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Little-endian access to wire bytes, and the 16-byte packet header.
 *
 * Nothing in kdwire lays a C struct over bytes from the wire: every field is read and written
 * one by one here, after its length was checked by the caller.
 */
#ifndef KDWIRE_WIRE_H
#define KDWIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t kd_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | ((uint32_t)p[1] << 8));
}

static inline uint32_t kd_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t kd_get_u64(const uint8_t *p)
{
    return (uint64_t)kd_get_u32(p) | (uint64_t)kd_get_u32(p + 4) << 32;
}

static inline void kd_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void kd_put_u32(uint8_t *p, uint32_t v)
{
    kd_put_u16(p, (uint16_t)v);
    kd_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void kd_put_u64(uint8_t *p, uint64_t v)
{
    kd_put_u32(p, (uint32_t)v);
    kd_put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Reads a little-endian number of 1, 2, 4 or 8 bytes; 0 for any other size. */
static inline uint64_t kd_get_uint(const uint8_t *p, size_t size)
{
    switch (size) {
    case 1:
        return p[0];
    case 2:
        return kd_get_u16(p);
    case 4:
        return kd_get_u32(p);
    case 8:
        return kd_get_u64(p);
    default:
        return 0;
    }
}

/* Writes the low SIZE bytes of V, little-endian; SIZE is 1, 2, 4 or 8, else nothing happens. */
static inline void kd_put_uint(uint8_t *p, size_t size, uint64_t v)
{
    switch (size) {
    case 1:
        p[0] = (uint8_t)v;
        break;
    case 2:
        kd_put_u16(p, (uint16_t)v);
        break;
    case 4:
        kd_put_u32(p, (uint32_t)v);
        break;
    case 8:
        kd_put_u64(p, v);
        break;
    default:
        break;
    }
}

/* Packet framing constants (sources agree; lengths and checksum seen in real WinDbg traffic). */
enum {
    KD_HEADER_SIZE = 16,
    KD_BODY_MAX = 4000,      /* ByteCount is 1..4000 in a data packet, 0 in a control packet */
    KD_TRAILER = 0xAA,       /* after each data packet on a byte stream; never on KDNET */
    KD_BREAK_IN_BYTE = 0x62, /* a lone 'b' between packets */
    KD_PACKET_MAX = KD_HEADER_SIZE + KD_BODY_MAX + 1,
};

#define KD_LEADER_DATA    0x30303030u
#define KD_LEADER_CONTROL 0x69696969u

struct kd_header {
    uint32_t leader;     /* KD_LEADER_DATA or KD_LEADER_CONTROL */
    uint16_t type;       /* enum kd_packet_type */
    uint16_t byte_count; /* bytes of body that follow */
    uint32_t id;
    uint32_t checksum; /* kd_checksum of the body; 0 in control packets */
};

/* Packs and unpacks the header; OUT and IN are exactly KD_HEADER_SIZE bytes. */
void kd_header_put(uint8_t *out, const struct kd_header *header);
void kd_header_get(struct kd_header *header, const uint8_t *in);

/* Sum of the bytes as unsigned 8-bit values, modulo 2^32 (a byte sum, not a word sum). */
uint32_t kd_checksum(const uint8_t *bytes, size_t size);

#endif
