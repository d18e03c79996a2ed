/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/decapsulate.h"

#include <string.h>

#include "capture/format.h"

/* The part of a frame still to be looked at. */
struct span {
    const uint8_t *at;
    size_t size;
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static bool skip(struct span *span, size_t size)
{
    if (size > span->size)
        return false;
    span->at += size;
    span->size -= size;
    return true;
}

/* An inner length field cuts padding off; one that claims more than there is counts as missing. */
static void limit(struct span *span, size_t size, struct capture_record *record)
{
    if (size <= span->size)
        span->size = size;
    else if (size - span->size > record->missing)
        record->missing = size - span->size;
}

static void finish(struct capture_record *record, enum capture_content content, struct span payload)
{
    record->content = content;
    record->payload = payload.at;
    record->payload_size = payload.size;
}

/* ---- Exported PDU ---- */

static void pdu_address(struct capture_record *record, uint8_t *out, const uint8_t *value,
                        size_t size, size_t expected)
{
    if (size != expected)
        return;
    memcpy(out, value, size);
    record->ip_version = expected == 4 ? 4 : 6;
}

static enum capture_direction pdu_direction(uint32_t p2p)
{
    if (p2p == EXPORTED_PDU_SENT)
        return CAPTURE_FROM_DEBUGGER;
    return p2p == EXPORTED_PDU_RECEIVED ? CAPTURE_FROM_TARGET : CAPTURE_FROM_UNKNOWN;
}

static void pdu_tag(struct capture_record *record, uint16_t tag, const uint8_t *value, size_t size)
{
    size_t name;
    switch (tag) {
    case EXPORTED_PDU_DISSECTOR:
        name = size < sizeof(record->dissector) ? size : sizeof(record->dissector) - 1;
        memcpy(record->dissector, value, name);
        record->dissector[name] = 0;
        break;
    case EXPORTED_PDU_IPV4_SOURCE:
        pdu_address(record, record->source, value, size, 4);
        break;
    case EXPORTED_PDU_IPV4_DESTINATION:
        pdu_address(record, record->destination, value, size, 4);
        break;
    case EXPORTED_PDU_IPV6_SOURCE:
        pdu_address(record, record->source, value, size, 16);
        break;
    case EXPORTED_PDU_IPV6_DESTINATION:
        pdu_address(record, record->destination, value, size, 16);
        break;
    case EXPORTED_PDU_SOURCE_PORT:
        record->source_port = size == 4 ? be16(value + 2) : 0;
        break;
    case EXPORTED_PDU_DESTINATION_PORT:
        record->destination_port = size == 4 ? be16(value + 2) : 0;
        break;
    case EXPORTED_PDU_P2P_DIRECTION:
        if (size == 4)
            record->direction = pdu_direction(be32(value));
        break;
    default:
        break;
    }
}

static void direction_from_ports(struct capture_record *record)
{
    if (record->source_port == CAPTURE_PORT_DEBUGGER &&
        record->destination_port == CAPTURE_PORT_TARGET)
        record->direction = CAPTURE_FROM_DEBUGGER;
    else if (record->source_port == CAPTURE_PORT_TARGET &&
             record->destination_port == CAPTURE_PORT_DEBUGGER)
        record->direction = CAPTURE_FROM_TARGET;
}

static bool is_kdnet(struct span payload)
{
    return payload.size >= 4 && !memcmp(payload.at, "MDBG", 4);
}

static void from_upper_pdu(struct capture_record *record, struct span span)
{
    for (;;) {
        const uint8_t *tag = span.at;
        if (!skip(&span, 4))
            return; /* no end tag: damaged, stays whole */
        size_t size = be16(tag + 2);
        if (!skip(&span, size))
            return;
        if (be16(tag) == EXPORTED_PDU_END)
            break;
        pdu_tag(record, be16(tag), tag + 4, size);
    }
    if (record->direction == CAPTURE_FROM_UNKNOWN)
        direction_from_ports(record);
    if (!strcmp(record->dissector, "kdnet") && is_kdnet(span))
        finish(record, CAPTURE_CONTENT_KDNET, span);
    else if (!strncmp(record->dissector, "kd", 2))
        finish(record, CAPTURE_CONTENT_KD, span);
    else
        finish(record, CAPTURE_CONTENT_OTHER, span);
}

/* ---- IP ---- */

enum {
    IP_HOP_BY_HOP = 0,
    IP_TCP = 6,
    IP_UDP = 17,
    IP_ROUTING = 43,
    IP_DESTINATION_OPTIONS = 60,
};

static void from_udp(struct capture_record *record, struct span span)
{
    const uint8_t *header = span.at;
    if (!skip(&span, 8) || be16(header + 4) < 8)
        return;
    limit(&span, be16(header + 4) - 8u, record);
    record->source_port = be16(header);
    record->destination_port = be16(header + 2);
    direction_from_ports(record);
    if (is_kdnet(span))
        finish(record, CAPTURE_CONTENT_KDNET, span);
    else if (record->direction != CAPTURE_FROM_UNKNOWN)
        finish(record, CAPTURE_CONTENT_KD, span);
    else
        finish(record, CAPTURE_CONTENT_UDP, span);
}

static void from_tcp(struct capture_record *record, struct span span)
{
    const uint8_t *header = span.at;
    if (span.size < 20)
        return;
    size_t header_size = (size_t)4 * (header[12] >> 4);
    if (header_size < 20 || !skip(&span, header_size))
        return;
    record->source_port = be16(header);
    record->destination_port = be16(header + 2);
    record->tcp_sequence = be32(header + 4);
    record->tcp_flags = header[13];
    finish(record, CAPTURE_CONTENT_TCP, span);
}

static void from_transport(struct capture_record *record, unsigned protocol, struct span span)
{
    if (protocol == IP_UDP)
        from_udp(record, span);
    else if (protocol == IP_TCP)
        from_tcp(record, span);
}

static void from_ipv4(struct capture_record *record, struct span span)
{
    const uint8_t *header = span.at;
    if (span.size < 20)
        return;
    size_t header_size = (size_t)4 * (header[0] & 15);
    size_t total = be16(header + 2);
    if (!total)
        total = span.size; /* segmentation offload leaves it 0 */
    if (header_size < 20 || total < header_size)
        return;
    limit(&span, total, record);
    if (!skip(&span, header_size) || (be16(header + 6) & 0x3FFF))
        return; /* fragments are not put together */
    record->ip_version = 4;
    memcpy(record->source, header + 12, 4);
    memcpy(record->destination, header + 16, 4);
    from_transport(record, header[9], span);
}

static void from_ipv6(struct capture_record *record, struct span span)
{
    const uint8_t *header = span.at;
    if (!skip(&span, 40))
        return;
    if (be16(header + 4)) /* segmentation offload leaves it 0 */
        limit(&span, be16(header + 4), record);
    record->ip_version = 6;
    memcpy(record->source, header + 8, 16);
    memcpy(record->destination, header + 24, 16);
    unsigned next = header[6];
    /* each turn takes at least eight bytes, so this ends; a fragment header stays unknown */
    while (next == IP_HOP_BY_HOP || next == IP_ROUTING || next == IP_DESTINATION_OPTIONS) {
        const uint8_t *extension = span.at;
        if (span.size < 8 || !skip(&span, 8u + extension[1] * 8u))
            return;
        next = extension[0];
    }
    from_transport(record, next, span);
}

static void from_ip(struct capture_record *record, struct span span)
{
    if (!span.size)
        return;
    if (span.at[0] >> 4 == 4)
        from_ipv4(record, span);
    else if (span.at[0] >> 4 == 6)
        from_ipv6(record, span);
}

static void from_ether_type(struct capture_record *record, struct span span, uint16_t type)
{
    enum { VLAN_TAGS_MAX = 2 }; /* customer and provider tag */
    for (unsigned i = 0; i < VLAN_TAGS_MAX && (type == 0x8100 || type == 0x88A8); i++) {
        if (span.size < 4)
            return;
        type = be16(span.at + 2);
        (void)skip(&span, 4);
    }
    if (type == 0x0800 || type == 0x86DD)
        from_ip(record, span);
}

/* A link-layer header of HEADER bytes with the Ethernet type at TYPE_AT. */
static void from_link(struct capture_record *record, struct span span, size_t header,
                      size_t type_at)
{
    const uint8_t *frame = span.at;
    if (skip(&span, header))
        from_ether_type(record, span, be16(frame + type_at));
}

void capture_decapsulate(struct capture_record *record)
{
    struct span span = {record->payload, record->payload_size};
    enum capture_direction flags = record->direction;
    record->content = CAPTURE_CONTENT_OTHER;
    switch (record->link_type) {
    case CAPTURE_LINK_UPPER_PDU:
        from_upper_pdu(record, span);
        return;
    case CAPTURE_LINK_USER0:
        record->content = CAPTURE_CONTENT_KD;
        return;
    default:
        break;
    }
    /* In and out of a network card say nothing about debugger and target. */
    record->direction = CAPTURE_FROM_UNKNOWN;
    switch (record->link_type) {
    case CAPTURE_LINK_ETHERNET:
        from_link(record, span, 14, 12);
        break;
    case CAPTURE_LINK_LINUX_SLL:
        from_link(record, span, 16, 14);
        break;
    case CAPTURE_LINK_LINUX_SLL2:
        from_link(record, span, 20, 0);
        break;
    case CAPTURE_LINK_NULL: /* four bytes of address family in the capturing machine's order */
        if (skip(&span, 4))
            from_ip(record, span);
        break;
    case CAPTURE_LINK_RAW_IP:
        from_ip(record, span);
        break;
    default:
        record->direction = flags;
        break;
    }
}
