/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recordings of KD sessions: pcapng and pcap, written and read. No I/O here: the writer fills a
 * buffer with one block per call, the reader takes bytes as they come. See recorder.h for the layer
 * that turns a running session into blocks and hands them to files and live viewers.
 *
 * Formats: pcapng (draft-ietf-opsawg-pcapng), pcap (draft-ietf-opsawg-pcap), the Wireshark
 * "exported PDU" record (LINKTYPE_WIRESHARK_UPPER_PDU, wireshark's epan/exported_pdu.h).
 */
#ifndef KDWIRE_CAPTURE_H
#define KDWIRE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who sent the bytes. The first two are also the numbers of the interfaces in our pcapng files. */
enum capture_direction {
    CAPTURE_FROM_DEBUGGER = 0, /* epb_flags outbound, exported PDU "sent" */
    CAPTURE_FROM_TARGET = 1,   /* epb_flags inbound, exported PDU "received" */
    CAPTURE_FROM_UNKNOWN = 2,
};

enum capture_format {
    CAPTURE_PCAPNG,
    CAPTURE_PCAP_UDP, /* classic pcap, ns; each record a fake Ethernet/IPv4/UDP frame; no comments
                       */
};

/* What a pcapng record's bytes are; CAPTURE_PCAP_UDP ignores it except for RAW's chunks. */
enum capture_framing {
    CAPTURE_UPPER_PDU, /* link type 252, dissector name "kd": one KD packet per record */
    CAPTURE_USER0,     /* link type 147: the KD packet alone */
    CAPTURE_RAW,       /* link type 252, dissector name "kd_stream": chunks as they were read */
    CAPTURE_DATAGRAMS, /* link type 1: UDP datagrams (KDNET) in the IP and Ethernet frames of `ends`
                        */
};

/* Link types (tcpdump.org/linktypes) the reader takes apart. */
enum {
    CAPTURE_LINK_NULL = 0,
    CAPTURE_LINK_ETHERNET = 1,
    CAPTURE_LINK_RAW_IP = 101,
    CAPTURE_LINK_LINUX_SLL = 113,
    CAPTURE_LINK_USER0 = 147,
    CAPTURE_LINK_UPPER_PDU = 252,
    CAPTURE_LINK_LINUX_SLL2 = 276,
    CAPTURE_LINK_NONE = 0xFFFF, /* a raw stream: no file format around the bytes */
};

enum {
    /* Payload of one record: a KD packet has at most 4017 bytes; a raw chunk may be what one read
     * of a socket gives. Small enough for one UDP datagram (65507). */
    CAPTURE_PAYLOAD_MAX = 32768,
    /* A comment or a name, bytes: a few lines of text, cut beyond it. */
    CAPTURE_TEXT_MAX = 1024,
    /* Keys that a file brings along, as lines "key=w.x.y.z": two ends may each have one. */
    CAPTURE_SECRET_MAX = 256,
    /* The longest block capture_write makes: payload, comment, exported-PDU tags, block fields. */
    CAPTURE_BLOCK_MAX = CAPTURE_PAYLOAD_MAX + CAPTURE_TEXT_MAX + 256,
    CAPTURE_WAKE_SIZE = 24, /* of capture_write_wake */
    /* Section header, two interfaces and the names: six texts and their fields. */
    CAPTURE_PREAMBLE_MAX = 6 * CAPTURE_TEXT_MAX + 512,

    /* The fake addresses: what kdnet.lua users and their captures know. */
    CAPTURE_PORT_DEBUGGER = 51111, /* at 192.168.0.2 */
    CAPTURE_PORT_TARGET = 51112,   /* at 192.168.0.1 */
};

/* ---- Writer ---- */

/* Texts are UTF-8, used during capture_writer_init only; NULL leaves them out. */
struct capture_writer_config {
    enum capture_format format;
    enum capture_framing framing;
    const char *program;       /* name and version, e.g. "kdwire 0.1.0" */
    const char *comment;       /* of the section */
    const char *debugger_name; /* the debugger's endpoint, e.g. "unix-listen:kd.sock" */
    const char *target_name;
    const char
        *secret; /* CAPTURE_DATAGRAMS: lines "key=w.x.y.z", readable for whoever gets the file */
};

struct capture_writer {
    enum capture_format format;
    enum capture_framing framing;
    uint16_t ip_id;       /* of the next fake IPv4 frame */
    size_t preamble_size; /* what every file and every live stream begins with */
    uint8_t preamble[CAPTURE_PREAMBLE_MAX];
};

/* Who sent a datagram to whom. */
struct capture_ends {
    uint8_t ip_version; /* 4 or 6 */
    uint8_t source[16]; /* 4 or 16 bytes are used */
    uint8_t destination[16];
    uint16_t source_port;
    uint16_t destination_port;
};

struct capture_packet {
    enum capture_direction direction; /* CAPTURE_FROM_DEBUGGER or CAPTURE_FROM_TARGET */
    uint64_t time_ns;                 /* since 1970-01-01 UTC */
    const uint8_t *payload;           /* may be empty: a comment alone */
    size_t payload_size;              /* at most CAPTURE_PAYLOAD_MAX */
    const char *comment;              /* or NULL; cut after CAPTURE_TEXT_MAX bytes */
    const struct capture_ends *ends;  /* CAPTURE_DATAGRAMS only; `direction` then does not matter */
};

/* Fills the preamble. KD_E_ARGUMENT for a format or framing that does not exist. */
int capture_writer_init(struct capture_writer *writer, const struct capture_writer_config *config);

/*
 * Makes the block of one record in OUT and returns its size; write it by one call, so that a killed
 * process leaves whole blocks. 0: this format has no place for the packet (a comment alone in
 * pcap). KD_E_TOO_LONG: the payload is above CAPTURE_PAYLOAD_MAX; KD_E_NO_SPACE: ROOM is too small
 * (CAPTURE_BLOCK_MAX always suffices); KD_E_ARGUMENT: no such direction.
 */
int capture_write(struct capture_writer *writer, const struct capture_packet *packet, uint8_t *out,
                  size_t room);

/* Makes an interface statistics block that says nothing, which no reader shows: it only wakes who
 * waits for the stream. pcapng only. */
void capture_write_wake(uint64_t time_ns, uint8_t out[CAPTURE_WAKE_SIZE]);

/* ---- Reader ---- */

enum capture_content {
    CAPTURE_CONTENT_KD,    /* KD bytes: one packet, or a piece of the stream of that direction */
    CAPTURE_CONTENT_KDNET, /* an encrypted KDNET datagram ("MDBG...") */
    CAPTURE_CONTENT_UDP,   /* another UDP payload */
    CAPTURE_CONTENT_TCP,   /* a segment of a TCP connection that has not shown a KD packet (yet) */
    CAPTURE_CONTENT_OTHER, /* anything else: the whole link-layer frame */
};

/* Pointers are valid until the next call on the reader, and no longer than the bytes fed to it. */
struct capture_record {
    uint64_t number;  /* of the record, from 1, counted over the whole file */
    uint64_t time_ns; /* since 1970-01-01 UTC */
    bool has_time;    /* simple packet blocks and raw streams have none */
    enum capture_direction direction;
    enum capture_content content;
    const uint8_t *payload;
    size_t payload_size;
    size_t missing;      /* bytes the capturing program cut off (snap length) */
    const char *comment; /* the first one; not NUL-terminated; NULL if none */
    size_t comment_size;
    uint32_t interface;         /* within its section; 0 in pcap and raw streams */
    const char *interface_name; /* "" if it has none */
    uint16_t link_type;
    char dissector[32]; /* the exported PDU's dissector name, else "" */
    /* From IP or the exported PDU's tags; ip_version 0 if there are none. */
    uint8_t ip_version; /* 4 or 6 */
    uint8_t source[16]; /* 4 or 16 bytes are used */
    uint8_t destination[16];
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t tcp_sequence; /* of the segment's first byte */
    uint8_t tcp_flags;     /* the low eight: FIN 1, SYN 2, ACK 16, ... */
};

enum capture_input {
    CAPTURE_INPUT_AUTO, /* by the first four bytes; what is no capture file is a raw stream */
    CAPTURE_INPUT_RAW,  /* KD bytes without a file format; all of them from raw_direction */
};

struct capture_reader_config {
    enum capture_input input;
    enum capture_direction raw_direction; /* of a raw stream's bytes */
};

struct capture_reader;

/* NULL if out of memory. CONFIG may be NULL: automatic, raw direction unknown. */
struct capture_reader *capture_reader_new(const struct capture_reader_config *config);
void capture_reader_free(struct capture_reader *reader);

/*
 * Takes bytes from *DATA (moving *DATA and *SIZE on) until one record is complete. Returns 1 and
 * the record; 0 when all bytes are used: feed more; or an error, which stays: KD_E_FORMAT
 * (damaged), KD_E_TOO_LONG (a bound of the reader), KD_E_UNSUPPORTED, KD_E_NO_MEMORY. Records that
 * are whole inside the given bytes are not copied, so feed large pieces. Memory is bounded whatever
 * the file says.
 */
int capture_reader_next(struct capture_reader *reader, const uint8_t **data, size_t *size,
                        struct capture_record *record);

/* After the last byte: KD_OK, or KD_E_TRUNCATED if the file ends inside a block or record. */
int capture_reader_end(const struct capture_reader *reader);

/* The format found ("pcapng", "pcap", "raw", or "unknown" before the first four bytes). */
const char *capture_reader_format(const struct capture_reader *reader);

/* The keys that the file has brought along so far, as the writer's `secret`; "" if none. */
const char *capture_reader_secret(const struct capture_reader *reader);

/* What was wrong, in words, with the offset in the file; "" while nothing is. */
const char *capture_reader_problem(const struct capture_reader *reader);

#endif
