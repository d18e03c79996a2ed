/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers of the file formats, for writer and reader. Private to src/capture. */
#ifndef KDWIRE_CAPTURE_FORMAT_H
#define KDWIRE_CAPTURE_FORMAT_H

/* pcapng (draft-ietf-opsawg-pcapng) */
#define PCAPNG_SECTION_HEADER 0x0A0D0D0Au
#define PCAPNG_BYTE_ORDER     0x1A2B3C4Du

enum {
    PCAPNG_INTERFACE = 1,
    PCAPNG_PACKET = 2, /* obsolete, still found in old files */
    PCAPNG_SIMPLE_PACKET = 3,
    PCAPNG_NAME_RESOLUTION = 4,
    PCAPNG_STATISTICS = 5,
    PCAPNG_ENHANCED_PACKET = 6,
    PCAPNG_DECRYPTION_SECRETS = 10,

    PCAPNG_OPTION_END = 0,
    PCAPNG_OPTION_COMMENT = 1,
    PCAPNG_SHB_APPLICATION = 4,
    PCAPNG_IF_NAME = 2,
    PCAPNG_IF_DESCRIPTION = 3,
    PCAPNG_IF_TSRESOL = 9,
    PCAPNG_IF_TSOFFSET = 14,
    PCAPNG_EPB_FLAGS = 2, /* also pack_flags of the obsolete packet block */
    PCAPNG_NAME_IPV4 = 1,

    PCAPNG_FLAGS_DIRECTION = 3, /* mask */
    PCAPNG_FLAGS_INBOUND = 1,
    PCAPNG_FLAGS_OUTBOUND = 2,
};

/* classic pcap */
#define PCAP_MAGIC_US 0xA1B2C3D4u
#define PCAP_MAGIC_NS 0xA1B23C4Du

enum {
    PCAP_SNAP_LENGTH = 262144, /* what capture programs use for "no limit" */

    /* Exported PDU tags (wireshark epan/exported_pdu.h) */
    EXPORTED_PDU_END = 0,
    EXPORTED_PDU_DISSECTOR = 12,
    EXPORTED_PDU_IPV4_SOURCE = 20,
    EXPORTED_PDU_IPV4_DESTINATION = 21,
    EXPORTED_PDU_IPV6_SOURCE = 22,
    EXPORTED_PDU_IPV6_DESTINATION = 23,
    EXPORTED_PDU_PORT_TYPE = 24,
    EXPORTED_PDU_SOURCE_PORT = 25,
    EXPORTED_PDU_DESTINATION_PORT = 26,
    EXPORTED_PDU_P2P_DIRECTION = 35,
    EXPORTED_PDU_PORT_UDP = 3,
    EXPORTED_PDU_SENT = 0,
    EXPORTED_PDU_RECEIVED = 1,
};

#define CAPTURE_DISSECTOR_KD  "kd"
#define CAPTURE_DISSECTOR_RAW "kd_stream"
#define CAPTURE_NAME_DEBUGGER "debugger"
#define CAPTURE_NAME_TARGET   "target"

#endif
