/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of pcapng (little-endian sections) and records of classic pcap with fake UDP frames.
 *
 * pcapng block: type u32, total length u32, fields, options, total length u32; everything padded to
 * four bytes. Option: code u16, length u16, value, padding. Exported PDU tag: the same, big-endian,
 * and its length counts the padding.
 */
#include "capture/capture.h"

#include <string.h>

#include "capture/format.h"
#include "kdwire/error.h"
#include "kdwire/kdnet.h"
#include "kdwire/wire.h"

/* Bytes written so far; once something does not fit, nothing more is written. */
struct out {
    uint8_t *bytes;
    size_t size, room;
    bool full;
};

static uint8_t *out_take(struct out *out, size_t size)
{
    if (out->full || size > out->room - out->size) {
        out->full = true;
        return NULL;
    }
    uint8_t *at = out->bytes + out->size;
    out->size += size;
    return at;
}

static void out_u16(struct out *out, uint16_t value)
{
    uint8_t *at = out_take(out, 2);
    if (at)
        kd_put_u16(at, value);
}

static void out_u32(struct out *out, uint32_t value)
{
    uint8_t *at = out_take(out, 4);
    if (at)
        kd_put_u32(at, value);
}

static void out_u64(struct out *out, uint64_t value)
{
    uint8_t *at = out_take(out, 8);
    if (at)
        kd_put_u64(at, value);
}

static void out_be16(struct out *out, uint16_t value)
{
    out_u16(out, (uint16_t)(value << 8 | value >> 8));
}

static void out_be32(struct out *out, uint32_t value)
{
    out_be16(out, (uint16_t)(value >> 16));
    out_be16(out, (uint16_t)value);
}

static void out_bytes(struct out *out, const void *bytes, size_t size)
{
    uint8_t *at = out_take(out, size);
    if (at && size)
        memcpy(at, bytes, size);
}

static void out_pad(struct out *out, size_t size)
{
    static const uint8_t zeros[3];
    out_bytes(out, zeros, (4 - size % 4) % 4);
}

/* ---- pcapng ---- */

static size_t block_begin(struct out *out, uint32_t type)
{
    size_t at = out->size;
    out_u32(out, type);
    out_u32(out, 0); /* the length, known at the end */
    return at;
}

static void block_end(struct out *out, size_t at)
{
    uint32_t size = (uint32_t)(out->size - at + 4);
    out_u32(out, size);
    if (!out->full)
        kd_put_u32(out->bytes + at + 4, size);
}

/* Length of a text, cut to the bound between two UTF-8 characters. */
static size_t text_size(const char *text)
{
    size_t size = 0;
    while (size < CAPTURE_TEXT_MAX && text[size])
        size++;
    if (text[size])
        while (size && ((uint8_t)text[size] & 0xC0) == 0x80)
            size--;
    return size;
}

static void option(struct out *out, uint16_t code, const void *value, size_t size)
{
    out_u16(out, code);
    out_u16(out, (uint16_t)size);
    out_bytes(out, value, size);
    out_pad(out, size);
}

static void option_text(struct out *out, uint16_t code, const char *text)
{
    if (text && *text)
        option(out, code, text, text_size(text));
}

static void options_end(struct out *out)
{
    out_u32(out, 0);
}

static void section_header(struct out *out, const struct capture_writer_config *config)
{
    size_t block = block_begin(out, PCAPNG_SECTION_HEADER);
    out_u32(out, PCAPNG_BYTE_ORDER);
    out_u16(out, 1); /* version 1.0 */
    out_u16(out, 0);
    out_u64(out, UINT64_MAX); /* section length: not known while it grows */
    option_text(out, PCAPNG_OPTION_COMMENT, config->comment);
    option_text(out, PCAPNG_SHB_APPLICATION, config->program);
    options_end(out);
    block_end(out, block);
}

static uint16_t pcapng_link_type(enum capture_framing framing)
{
    if (framing == CAPTURE_DATAGRAMS)
        return CAPTURE_LINK_ETHERNET;
    return framing == CAPTURE_USER0 ? CAPTURE_LINK_USER0 : CAPTURE_LINK_UPPER_PDU;
}

static void interface(struct out *out, const struct capture_writer_config *config, const char *name,
                      const char *text, const char *endpoint)
{
    const uint8_t nanoseconds = 9;
    char description[CAPTURE_TEXT_MAX];
    struct out line = {(uint8_t *)description, 0, sizeof(description) - 1, false};
    out_bytes(&line, text, strlen(text));
    if (endpoint && *endpoint) {
        size_t size = text_size(endpoint);
        out_bytes(&line, ": ", 2);
        /* the description as a whole is one text: cut an endless endpoint to what is left */
        out_bytes(&line, endpoint, size < line.room - line.size ? size : line.room - line.size);
    }
    description[line.size] = 0;

    size_t block = block_begin(out, PCAPNG_INTERFACE);
    out_u16(out, pcapng_link_type(config->framing));
    out_u16(out, 0);
    out_u32(out, 0); /* no snap length: records are whole */
    option_text(out, PCAPNG_IF_NAME, name);
    option_text(out, PCAPNG_IF_DESCRIPTION, description);
    option(out, PCAPNG_IF_TSRESOL, &nanoseconds, 1);
    options_end(out);
    block_end(out, block);
}

static void name_record(struct out *out, const uint8_t *address, const char *name)
{
    size_t size = 4 + strlen(name) + 1;
    out_u16(out, PCAPNG_NAME_IPV4);
    out_u16(out, (uint16_t)size);
    out_bytes(out, address, 4);
    out_bytes(out, name, strlen(name) + 1);
    out_pad(out, size);
}

static const uint8_t fake_ip[2][4] = {{192, 168, 0, 2}, {192, 168, 0, 1}};

static void secrets(struct out *out, const char *secret)
{
    size_t block = block_begin(out, PCAPNG_DECRYPTION_SECRETS);
    size_t size = text_size(secret);
    out_u32(out, KDNET_SECRETS_TYPE);
    out_u32(out, (uint32_t)size);
    out_bytes(out, secret, size);
    out_pad(out, size);
    block_end(out, block);
}

static void pcapng_preamble(struct out *out, const struct capture_writer_config *config)
{
    section_header(out, config);
    if (config->framing == CAPTURE_DATAGRAMS) {
        interface(out, config, "kdnet", "datagrams of KDNET", NULL);
        if (config->secret && *config->secret)
            secrets(out, config->secret);
        return;
    }
    interface(out, config, CAPTURE_NAME_DEBUGGER, "from the debugger to the target",
              config->debugger_name);
    interface(out, config, CAPTURE_NAME_TARGET, "from the target to the debugger",
              config->target_name);
    if (config->framing != CAPTURE_USER0) {
        size_t block = block_begin(out, PCAPNG_NAME_RESOLUTION);
        name_record(out, fake_ip[CAPTURE_FROM_DEBUGGER], CAPTURE_NAME_DEBUGGER);
        name_record(out, fake_ip[CAPTURE_FROM_TARGET], CAPTURE_NAME_TARGET);
        out_u32(out, 0); /* end of records */
        block_end(out, block);
    }
}

static void pdu_tag(struct out *out, uint16_t tag, const void *value, uint16_t size)
{
    out_be16(out, tag);
    out_be16(out, (uint16_t)(size + (4 - size % 4) % 4));
    out_bytes(out, value, size);
    out_pad(out, size);
}

static void pdu_tag_u32(struct out *out, uint16_t tag, uint32_t value)
{
    out_be16(out, tag);
    out_be16(out, 4);
    out_be32(out, value);
}

static const uint16_t fake_port[2] = {CAPTURE_PORT_DEBUGGER, CAPTURE_PORT_TARGET};

/* The tags let Wireshark show direction and ends, and find the dissector, without any setting. */
static void pdu_tags(struct out *out, enum capture_framing framing, enum capture_direction from)
{
    const char *dissector = framing == CAPTURE_RAW ? CAPTURE_DISSECTOR_RAW : CAPTURE_DISSECTOR_KD;
    pdu_tag(out, EXPORTED_PDU_DISSECTOR, dissector, (uint16_t)strlen(dissector));
    pdu_tag(out, EXPORTED_PDU_IPV4_SOURCE, fake_ip[from], 4);
    pdu_tag(out, EXPORTED_PDU_IPV4_DESTINATION, fake_ip[!from], 4);
    pdu_tag_u32(out, EXPORTED_PDU_PORT_TYPE, EXPORTED_PDU_PORT_UDP);
    pdu_tag_u32(out, EXPORTED_PDU_SOURCE_PORT, fake_port[from]);
    pdu_tag_u32(out, EXPORTED_PDU_DESTINATION_PORT, fake_port[!from]);
    pdu_tag_u32(out, EXPORTED_PDU_P2P_DIRECTION,
                from == CAPTURE_FROM_DEBUGGER ? EXPORTED_PDU_SENT : EXPORTED_PDU_RECEIVED);
    pdu_tag(out, EXPORTED_PDU_END, NULL, 0);
}

/* ---- frames around UDP datagrams ---- */

/* The internet checksum's sum (RFC 1071) over SIZE bytes, added to SUM; not yet folded. */
static uint32_t internet_sum(uint32_t sum, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if (size % 2)
        sum += (uint32_t)bytes[size - 1] << 8;
    return sum;
}

static uint16_t internet_checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

enum {
    ETHERNET_HEADER = 14,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    UDP_HEADER = 8,
    IP_PROTOCOL_UDP = 17,
};

static size_t address_size(const struct capture_ends *ends)
{
    return ends->ip_version == 6 ? 16 : 4;
}

static void ipv4_header(struct out *out, uint16_t id, const struct capture_ends *ends,
                        size_t udp_size)
{
    const uint8_t *header = out->bytes + out->size;
    out_be16(out, 0x4500); /* version 4, five words */
    out_be16(out, (uint16_t)(IPV4_HEADER + udp_size));
    out_be16(out, id);
    out_be16(out, 0x4000); /* don't fragment */
    out_be16(out, 64 << 8 | IP_PROTOCOL_UDP);
    size_t checksum = out->size;
    out_be16(out, 0);
    out_bytes(out, ends->source, 4);
    out_bytes(out, ends->destination, 4);
    if (out->full)
        return;
    uint16_t sum = internet_checksum(internet_sum(0, header, IPV4_HEADER));
    out->bytes[checksum] = (uint8_t)(sum >> 8);
    out->bytes[checksum + 1] = (uint8_t)sum;
}

static void ipv6_header(struct out *out, const struct capture_ends *ends, size_t udp_size)
{
    out_be32(out, 0x60000000); /* version 6 */
    out_be16(out, (uint16_t)udp_size);
    out_be16(out, IP_PROTOCOL_UDP << 8 | 64);
    out_bytes(out, ends->source, 16);
    out_bytes(out, ends->destination, 16);
}

static void udp_datagram(struct out *out, const struct capture_packet *packet,
                         const struct capture_ends *ends)
{
    uint16_t udp_size = (uint16_t)(UDP_HEADER + packet->payload_size);
    const uint8_t *datagram = out->bytes + out->size;
    out_be16(out, ends->source_port);
    out_be16(out, ends->destination_port);
    out_be16(out, udp_size);
    size_t checksum = out->size;
    out_be16(out, 0);
    out_bytes(out, packet->payload, packet->payload_size);
    if (out->full)
        return;
    /* the pseudo header: addresses, protocol, length */
    uint32_t sum = internet_sum(0, ends->source, address_size(ends)) +
                   internet_sum(0, ends->destination, address_size(ends));
    sum += IP_PROTOCOL_UDP + (uint32_t)udp_size;
    uint16_t folded = internet_checksum(internet_sum(sum, datagram, udp_size));
    if (!folded)
        folded = 0xFFFF; /* 0 would say: no checksum */
    out->bytes[checksum] = (uint8_t)(folded >> 8);
    out->bytes[checksum + 1] = (uint8_t)folded;
}

/* An Ethernet frame around the payload; FROM says which of the two made-up stations sent it. */
static void udp_frame(struct out *out, struct capture_writer *writer,
                      const struct capture_packet *packet, const struct capture_ends *ends,
                      unsigned from)
{
    /* Locally administered unicast addresses ("kd" and the end's number): the broadcast source
     * of older tools made Wireshark warn at every packet. */
    static const uint8_t mac[2][6] = {{2, 'k', 'd', 0, 0, 2}, {2, 'k', 'd', 0, 0, 1}};
    size_t udp_size = UDP_HEADER + packet->payload_size;
    out_bytes(out, mac[!from], 6);
    out_bytes(out, mac[from], 6);
    out_be16(out, ends->ip_version == 6 ? 0x86DD : 0x0800);
    if (ends->ip_version == 6)
        ipv6_header(out, ends, udp_size);
    else
        ipv4_header(out, writer->ip_id++, ends, udp_size);
    udp_datagram(out, packet, ends);
}

static void packet_data(struct out *out, struct capture_writer *writer,
                        const struct capture_packet *packet)
{
    if (writer->framing == CAPTURE_DATAGRAMS) {
        udp_frame(out, writer, packet, packet->ends, packet->direction);
        return;
    }
    if (writer->framing != CAPTURE_USER0)
        pdu_tags(out, writer->framing, packet->direction);
    out_bytes(out, packet->payload, packet->payload_size);
}

static void enhanced_packet(struct out *out, struct capture_writer *writer,
                            const struct capture_packet *packet)
{
    uint8_t flags[4];
    kd_put_u32(flags, packet->direction == CAPTURE_FROM_DEBUGGER ? PCAPNG_FLAGS_OUTBOUND
                                                                 : PCAPNG_FLAGS_INBOUND);
    size_t block = block_begin(out, PCAPNG_ENHANCED_PACKET);
    bool datagram = writer->framing == CAPTURE_DATAGRAMS;
    out_u32(out, datagram ? 0 : (uint32_t)packet->direction); /* the interface */
    out_u32(out, (uint32_t)(packet->time_ns >> 32));
    out_u32(out, (uint32_t)packet->time_ns);
    size_t lengths = out->size;
    out_u64(out, 0);
    size_t data = out->size;
    packet_data(out, writer, packet);
    size_t size = out->size - data;
    out_pad(out, size);
    option_text(out, PCAPNG_OPTION_COMMENT, packet->comment);
    if (!datagram)
        option(out, PCAPNG_EPB_FLAGS, flags, sizeof(flags));
    options_end(out);
    block_end(out, block);
    if (!out->full) {
        kd_put_u32(out->bytes + lengths, (uint32_t)size);
        kd_put_u32(out->bytes + lengths + 4, (uint32_t)size);
    }
}

/* ---- classic pcap with fake UDP frames ---- */

static void pcap_preamble(struct out *out)
{
    out_u32(out, PCAP_MAGIC_NS);
    out_u16(out, 2); /* version 2.4 */
    out_u16(out, 4);
    out_u64(out, 0); /* time zone and accuracy: always 0 */
    out_u32(out, PCAP_SNAP_LENGTH);
    out_u32(out, CAPTURE_LINK_ETHERNET);
}

static void pcap_udp_record(struct out *out, struct capture_writer *writer,
                            const struct capture_packet *packet)
{
    enum capture_direction from = packet->direction;
    struct capture_ends ends = {
        .ip_version = 4, .source_port = fake_port[from], .destination_port = fake_port[!from]};
    memcpy(ends.source, fake_ip[from], 4);
    memcpy(ends.destination, fake_ip[!from], 4);
    uint32_t size = (uint32_t)(ETHERNET_HEADER + IPV4_HEADER + UDP_HEADER + packet->payload_size);
    out_u32(out, (uint32_t)(packet->time_ns / 1000000000u));
    out_u32(out, (uint32_t)(packet->time_ns % 1000000000u));
    out_u32(out, size);
    out_u32(out, size);
    udp_frame(out, writer, packet, &ends, from);
}

/* ---- Public ---- */

int capture_writer_init(struct capture_writer *writer, const struct capture_writer_config *config)
{
    if (config->format > CAPTURE_PCAP_UDP || config->framing > CAPTURE_DATAGRAMS)
        return KD_E_ARGUMENT;
    writer->format = config->format;
    writer->framing = config->framing;
    writer->ip_id = 1;
    struct out out = {writer->preamble, 0, sizeof(writer->preamble), false};
    if (config->format == CAPTURE_PCAPNG)
        pcapng_preamble(&out, config);
    else
        pcap_preamble(&out);
    writer->preamble_size = out.size;
    return out.full ? KD_E_NO_SPACE : KD_OK;
}

int capture_write(struct capture_writer *writer, const struct capture_packet *packet, uint8_t *out,
                  size_t room)
{
    struct out block = {out, 0, room, false};
    if (packet->direction > CAPTURE_FROM_TARGET)
        return KD_E_ARGUMENT;
    if (writer->framing == CAPTURE_DATAGRAMS && !packet->ends)
        return KD_E_ARGUMENT;
    if (packet->payload_size > CAPTURE_PAYLOAD_MAX)
        return KD_E_TOO_LONG;
    if (writer->format == CAPTURE_PCAPNG)
        enhanced_packet(&block, writer, packet);
    else if (packet->payload_size)
        pcap_udp_record(&block, writer, packet);
    return block.full ? KD_E_NO_SPACE : (int)block.size;
}

void capture_write_wake(uint64_t time_ns, uint8_t out[CAPTURE_WAKE_SIZE])
{
    struct out block = {out, 0, CAPTURE_WAKE_SIZE, false};
    size_t start = block_begin(&block, PCAPNG_STATISTICS);
    out_u32(&block, 0); /* the first interface */
    out_u32(&block, (uint32_t)(time_ns >> 32));
    out_u32(&block, (uint32_t)time_ns);
    block_end(&block, start);
}
