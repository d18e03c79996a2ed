/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reader of pcapng, classic pcap and raw streams. The file is hostile: every length is checked
 * before it is used, memory is bounded by READER_BLOCK_MAX and CAPTURE_INTERFACES_MAX.
 *
 *   state    | unit read next           | then
 *   ---------+--------------------------+-------------------------------------------------------
 *   START    | the first 1..4 bytes     | PCAPNG, PCAP_HEADER or RAW by magic number, or FAILED
 *   PCAPNG   | one block                | record, interface, new section, or skipped; FAILED
 *   PCAP_HEADER | 24 bytes              | PCAP
 *   PCAP     | one record               | record; FAILED if its length is absurd
 *   RAW      | what is there            | record
 *   FAILED   | -                        | the same error again
 *
 * A unit that lies whole in the caller's bytes is used in place; only one that straddles two
 * calls is copied to `held`.
 */
#include "capture/capture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/decapsulate.h"
#include "capture/format.h"
#include "capture/tcp.h"
#include "kdwire/error.h"
#include "kdwire/kdnet.h"
#include "kdwire/wire.h"

enum {
    /* A packet is at most 256 KiB in any capture program's file; options may add as much again.
     * Longer blocks that are of no interest are skipped without being held. */
    READER_BLOCK_MAX = 1 << 20,
    /* Far above what a machine with many network cards has ("any" captures). */
    CAPTURE_INTERFACES_MAX = 256,
    INTERFACE_NAME_MAX = 64, /* for display; longer names are cut */
    PROBLEM_MAX = 160,
};

enum state { START, PCAPNG, PCAP_HEADER, PCAP, RAW, FAILED };

struct interface {
    uint16_t link_type;
    uint8_t resolution;   /* if_tsresol: bit 7 set: 2^-n s, else 10^-n s */
    int64_t offset;       /* if_tsoffset, seconds */
    uint32_t snap_length; /* 0: none */
    uint8_t direction;    /* by our own files' interface names; else unknown */
    char name[INTERFACE_NAME_MAX];
};

struct capture_reader {
    struct capture_reader_config config;
    enum state state;
    int error;
    const char *format;
    bool big_endian;
    bool nanoseconds;  /* pcap */
    uint64_t offset;   /* in the file, of the unit read next */
    uint64_t number;   /* of the last record */
    uint64_t skipping; /* bytes of a block without interest still to come */
    uint8_t *held;     /* a unit that straddles two calls */
    size_t held_size, held_room;
    struct tcp_flows tcp;
    unsigned interface_count;
    struct interface interfaces[CAPTURE_INTERFACES_MAX];
    char problem[PROBLEM_MAX];
    char secret[CAPTURE_SECRET_MAX];
};

struct input {
    const uint8_t **data;
    size_t *size;
};

/* ---- Numbers in the file's byte order ---- */

static uint16_t get16(const struct capture_reader *reader, const uint8_t *p)
{
    return reader->big_endian ? (uint16_t)(p[0] << 8 | p[1]) : kd_get_u16(p);
}

static uint32_t get32(const struct capture_reader *reader, const uint8_t *p)
{
    if (!reader->big_endian)
        return kd_get_u32(p);
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static uint64_t get64(const struct capture_reader *reader, const uint8_t *p)
{
    uint64_t first = get32(reader, p), second = get32(reader, p + 4);
    return reader->big_endian ? first << 32 | second : second << 32 | first;
}

/* ---- Failing ---- */

static int fail(struct capture_reader *reader, int code, const char *what)
{
    reader->state = FAILED;
    reader->error = code;
    snprintf(reader->problem, sizeof(reader->problem), "at byte %" PRIu64 ": %s", reader->offset,
             what);
    return code;
}

/* ---- Units ---- */

/* The next NEED bytes of the file in one piece, not yet used up; NULL: not there yet (or no
 * memory, then the reader has failed). NEED never shrinks between calls for one unit. */
static const uint8_t *view(struct capture_reader *reader, struct input *in, size_t need)
{
    if (!reader->held_size && *in->size >= need)
        return *in->data;
    if (need > reader->held_room) {
        size_t bytes = need < 4096 ? 4096 : need;
        uint8_t *held = realloc(reader->held, bytes);
        if (!held) {
            (void)fail(reader, KD_E_NO_MEMORY, "no memory for the block");
            return NULL;
        }
        reader->held = held;
        reader->held_room = bytes;
    }
    if (reader->held_size < need) {
        size_t part = need - reader->held_size;
        part = part < *in->size ? part : *in->size;
        if (part)
            memcpy(reader->held + reader->held_size, *in->data, part);
        reader->held_size += part;
        *in->data += part;
        *in->size -= part;
    }
    return reader->held_size >= need ? reader->held : NULL;
}

/* The unit of SIZE bytes that view gave is done with (its bytes stay until the next call). */
static void use_up(struct capture_reader *reader, struct input *in, size_t size)
{
    reader->offset += size;
    if (reader->held_size) {
        reader->held_size = 0;
        return;
    }
    *in->data += size;
    *in->size -= size;
}

static void skip_unit(struct capture_reader *reader, uint64_t size)
{
    /* what is held of it counts; the rest is dropped as it comes */
    reader->offset += reader->held_size;
    reader->skipping = size - reader->held_size;
    reader->held_size = 0;
}

static bool skip_more(struct capture_reader *reader, struct input *in)
{
    size_t part = *in->size < reader->skipping ? *in->size : (size_t)reader->skipping;
    *in->data += part;
    *in->size -= part;
    reader->skipping -= part;
    reader->offset += part;
    return reader->skipping == 0;
}

/* ---- Time ---- */

#define NS_PER_S 1000000000u

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

static uint64_t multiply_saturating(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t decimal_ns(uint64_t time, unsigned digits)
{
    for (; digits < 9; digits++)
        time = multiply_saturating(time, 10);
    for (; digits > 9 && time; digits--)
        time /= 10;
    return time;
}

static uint64_t binary_ns(uint64_t time, unsigned bits)
{
    uint64_t seconds = bits < 64 ? time >> bits : 0;
    uint64_t fraction = bits < 64 ? time - (seconds << bits) : time;
    if (bits > 32) { /* keep 32 bits of it, a quarter of a nanosecond */
        unsigned shift = bits - 32;
        fraction = shift < 64 ? fraction >> shift : 0;
        bits = 32;
    }
    return add_saturating(multiply_saturating(seconds, NS_PER_S), fraction * NS_PER_S >> bits);
}

static uint64_t time_in_ns(const struct interface *interface, uint64_t time)
{
    unsigned exponent = interface->resolution & 0x7F;
    uint64_t ns =
        interface->resolution & 0x80 ? binary_ns(time, exponent) : decimal_ns(time, exponent);
    if (interface->offset >= 0)
        return add_saturating(ns, multiply_saturating((uint64_t)interface->offset, NS_PER_S));
    uint64_t back = multiply_saturating(0 - (uint64_t)interface->offset, NS_PER_S);
    return back < ns ? ns - back : 0;
}

/* ---- pcapng ---- */

struct option {
    uint16_t code, size;
    const uint8_t *value;
};

/* Takes the next option off *AT; false at the end, or where the options are damaged. */
static bool next_option(const struct capture_reader *reader, const uint8_t **at, size_t *size,
                        struct option *option)
{
    if (*size < 4)
        return false;
    option->code = get16(reader, *at);
    option->size = get16(reader, *at + 2);
    option->value = *at + 4;
    size_t padded = (option->size + 3u) & ~(size_t)3;
    if (option->code == PCAPNG_OPTION_END || padded > *size - 4)
        return false;
    *at += 4 + padded;
    *size -= 4 + padded;
    return true;
}

static void interface_name(struct interface *interface, const struct option *option)
{
    size_t size = option->size < INTERFACE_NAME_MAX ? option->size : INTERFACE_NAME_MAX - 1;
    memcpy(interface->name, option->value, size);
    interface->name[size] = 0;
    if (!strcmp(interface->name, CAPTURE_NAME_DEBUGGER))
        interface->direction = CAPTURE_FROM_DEBUGGER;
    else if (!strcmp(interface->name, CAPTURE_NAME_TARGET))
        interface->direction = CAPTURE_FROM_TARGET;
}

/* BODY: the block without type and lengths. */
static int read_interface(struct capture_reader *reader, const uint8_t *body, size_t size)
{
    if (size < 8)
        return fail(reader, KD_E_FORMAT, "an interface description that is too short");
    if (reader->interface_count == CAPTURE_INTERFACES_MAX)
        return fail(reader, KD_E_TOO_LONG, "more interfaces than this reader takes (256)");
    struct interface *interface = &reader->interfaces[reader->interface_count++];
    memset(interface, 0, sizeof(*interface));
    interface->link_type = get16(reader, body);
    interface->snap_length = get32(reader, body + 4);
    interface->resolution = 6;
    interface->direction = CAPTURE_FROM_UNKNOWN;
    const uint8_t *at = body + 8;
    size -= 8;
    struct option option;
    while (next_option(reader, &at, &size, &option)) {
        if (option.code == PCAPNG_IF_NAME)
            interface_name(interface, &option);
        else if (option.code == PCAPNG_IF_TSRESOL && option.size >= 1)
            interface->resolution = option.value[0];
        else if (option.code == PCAPNG_IF_TSOFFSET && option.size >= 8)
            interface->offset = (int64_t)get64(reader, option.value);
    }
    return KD_OK;
}

static void read_packet_options(const struct capture_reader *reader, const uint8_t *at, size_t size,
                                struct capture_record *record)
{
    struct option option;
    while (next_option(reader, &at, &size, &option)) {
        if (option.code == PCAPNG_OPTION_COMMENT && !record->comment) {
            record->comment = (const char *)option.value;
            record->comment_size = option.size;
        } else if (option.code == PCAPNG_EPB_FLAGS && option.size >= 4) {
            uint32_t flags = get32(reader, option.value) & PCAPNG_FLAGS_DIRECTION;
            if (flags == PCAPNG_FLAGS_OUTBOUND)
                record->direction = CAPTURE_FROM_DEBUGGER;
            else if (flags == PCAPNG_FLAGS_INBOUND)
                record->direction = CAPTURE_FROM_TARGET;
        }
    }
}

static void new_record(struct capture_reader *reader, struct capture_record *record)
{
    memset(record, 0, sizeof(*record));
    record->number = ++reader->number;
    record->direction = CAPTURE_FROM_UNKNOWN;
    record->interface_name = "";
}

static int from_interface(struct capture_reader *reader, struct capture_record *record,
                          uint32_t number)
{
    if (number >= reader->interface_count)
        return fail(reader, KD_E_FORMAT, "a packet of an interface that was not described");
    const struct interface *interface = &reader->interfaces[number];
    record->interface = number;
    record->interface_name = interface->name;
    record->link_type = interface->link_type;
    record->direction = (enum capture_direction)interface->direction;
    return KD_OK;
}

static void take_apart(struct capture_reader *reader, struct capture_record *record)
{
    capture_decapsulate(record);
    if (record->content == CAPTURE_CONTENT_TCP)
        tcp_take(&reader->tcp, record);
}

static void set_payload(struct capture_record *record, const uint8_t *payload, size_t captured,
                        uint32_t original)
{
    record->payload = payload;
    record->payload_size = captured;
    record->missing = original > captured ? original - captured : 0;
}

/* Enhanced packet block, and the obsolete packet block, which differs in the first four bytes. */
static int read_packet(struct capture_reader *reader, uint32_t type, const uint8_t *body,
                       size_t size, struct capture_record *record)
{
    if (size < 20)
        return fail(reader, KD_E_FORMAT, "a packet block that is too short");
    uint32_t number = type == PCAPNG_PACKET ? get16(reader, body) : get32(reader, body);
    uint32_t captured = get32(reader, body + 12);
    if (captured > size - 20)
        return fail(reader, KD_E_FORMAT, "a packet that is longer than its block");
    new_record(reader, record);
    int code = from_interface(reader, record, number);
    if (code < 0)
        return code;
    uint64_t time = (uint64_t)get32(reader, body + 4) << 32 | get32(reader, body + 8);
    record->time_ns = time_in_ns(&reader->interfaces[number], time);
    record->has_time = true;
    set_payload(record, body + 20, captured, get32(reader, body + 16));
    size_t padded = (captured + 3u) & ~(size_t)3;
    if (padded <= size - 20)
        read_packet_options(reader, body + 20 + padded, size - 20 - padded, record);
    take_apart(reader, record);
    return 1;
}

static int read_simple_packet(struct capture_reader *reader, const uint8_t *body, size_t size,
                              struct capture_record *record)
{
    if (size < 4)
        return fail(reader, KD_E_FORMAT, "a packet block that is too short");
    new_record(reader, record);
    int code = from_interface(reader, record, 0);
    if (code < 0)
        return code;
    uint32_t original = get32(reader, body), captured = original;
    uint32_t snap = reader->interfaces[0].snap_length;
    if (snap && captured > snap)
        captured = snap;
    if (captured > size - 4)
        return fail(reader, KD_E_FORMAT, "a packet that is longer than its block");
    set_payload(record, body + 4, captured, original);
    take_apart(reader, record);
    return 1;
}

static int read_section(struct capture_reader *reader, const uint8_t *body, size_t size)
{
    if (size < 16)
        return fail(reader, KD_E_FORMAT, "a section header that is too short");
    if (get16(reader, body + 4) != 1)
        return fail(reader, KD_E_UNSUPPORTED, "a pcapng version other than 1");
    reader->interface_count = 0;
    return KD_OK;
}

/* Secrets of other kinds are none of our business, and none is worth refusing the file. */
static int read_secrets(struct capture_reader *reader, const uint8_t *body, size_t size)
{
    if (size < 8 || get32(reader, body) != KDNET_SECRETS_TYPE)
        return KD_OK;
    size_t length = get32(reader, body + 4);
    if (length > size - 8 || length >= sizeof(reader->secret))
        return KD_OK;
    memcpy(reader->secret, body + 8, length);
    reader->secret[length] = '\0';
    return KD_OK;
}

static int read_block(struct capture_reader *reader, uint32_t type, const uint8_t *body,
                      size_t size, struct capture_record *record)
{
    switch (type) {
    case PCAPNG_SECTION_HEADER:
        return read_section(reader, body, size);
    case PCAPNG_INTERFACE:
        return read_interface(reader, body, size);
    case PCAPNG_DECRYPTION_SECRETS:
        return read_secrets(reader, body, size);
    case PCAPNG_SIMPLE_PACKET:
        return read_simple_packet(reader, body, size, record);
    default:
        return read_packet(reader, type, body, size, record);
    }
}

static bool is_of_interest(uint32_t type)
{
    return type == PCAPNG_SECTION_HEADER || type == PCAPNG_INTERFACE ||
           type == PCAPNG_ENHANCED_PACKET || type == PCAPNG_PACKET ||
           type == PCAPNG_SIMPLE_PACKET || type == PCAPNG_DECRYPTION_SECRETS;
}

/* A section header tells its byte order behind the length it is needed for. */
static int section_byte_order(struct capture_reader *reader, const uint8_t *block)
{
    if (kd_get_u32(block + 8) == PCAPNG_BYTE_ORDER) {
        reader->big_endian = false;
        return KD_OK;
    }
    reader->big_endian = true;
    if (get32(reader, block + 8) == PCAPNG_BYTE_ORDER)
        return KD_OK;
    return fail(reader, KD_E_FORMAT, "a section header without the byte-order mark");
}

enum { PCAPNG_BLOCK_MIN = 12 }; /* type and twice the length */

static int next_block(struct capture_reader *reader, struct input *in,
                      struct capture_record *record, bool *more)
{
    const uint8_t *block = view(reader, in, PCAPNG_BLOCK_MIN);
    if (!block)
        return reader->error;
    uint32_t type = get32(reader, block); /* the section header's type reads the same both ways */
    if (type == PCAPNG_SECTION_HEADER && section_byte_order(reader, block) < 0)
        return reader->error;
    uint32_t size = get32(reader, block + 4);
    if (size < PCAPNG_BLOCK_MIN || size % 4)
        return fail(reader, KD_E_FORMAT, "a block with an impossible length");
    *more = true;
    if (!is_of_interest(type)) {
        skip_unit(reader, size);
        return KD_OK;
    }
    if (size > READER_BLOCK_MAX)
        return fail(reader, KD_E_TOO_LONG, "a block of more than 1 MiB");
    block = view(reader, in, size);
    *more = block != NULL;
    if (!block)
        return reader->error;
    if (get32(reader, block + size - 4) != size)
        return fail(reader, KD_E_FORMAT, "a block whose two lengths differ");
    int code = read_block(reader, type, block + 8, size - PCAPNG_BLOCK_MIN, record);
    if (code >= 0)
        use_up(reader, in, size);
    return code;
}

/* ---- pcap ---- */

enum { PCAP_HEADER_SIZE = 24, PCAP_RECORD_SIZE = 16 };

static int pcap_header(struct capture_reader *reader, struct input *in, bool *more)
{
    const uint8_t *header = view(reader, in, PCAP_HEADER_SIZE);
    if (!header)
        return reader->error;
    struct interface *interface = &reader->interfaces[0];
    memset(interface, 0, sizeof(*interface));
    interface->link_type = (uint16_t)get32(reader, header + 20); /* above: FCS length */
    interface->direction = CAPTURE_FROM_UNKNOWN;
    reader->interface_count = 1;
    reader->state = PCAP;
    use_up(reader, in, PCAP_HEADER_SIZE);
    *more = true;
    return KD_OK;
}

static int pcap_record(struct capture_reader *reader, struct input *in,
                       struct capture_record *record)
{
    const uint8_t *unit = view(reader, in, PCAP_RECORD_SIZE);
    if (!unit)
        return reader->error;
    uint32_t captured = get32(reader, unit + 8);
    if (captured > READER_BLOCK_MAX - PCAP_RECORD_SIZE)
        return fail(reader, KD_E_FORMAT, "a record of more than 1 MiB: the file is damaged");
    unit = view(reader, in, PCAP_RECORD_SIZE + captured);
    if (!unit)
        return reader->error;
    new_record(reader, record);
    (void)from_interface(reader, record, 0);
    record->has_time = true;
    record->time_ns = (uint64_t)get32(reader, unit) * NS_PER_S +
                      (uint64_t)get32(reader, unit + 4) * (reader->nanoseconds ? 1 : 1000);
    set_payload(record, unit + PCAP_RECORD_SIZE, captured, get32(reader, unit + 12));
    take_apart(reader, record);
    use_up(reader, in, PCAP_RECORD_SIZE + captured);
    return 1;
}

/* ---- Raw streams ---- */

static int raw_record(struct capture_reader *reader, struct input *in,
                      struct capture_record *record)
{
    /* first the bytes that were held to look for a magic number */
    const uint8_t *bytes = reader->held_size ? reader->held : *in->data;
    size_t size = reader->held_size ? reader->held_size : *in->size;
    if (!size)
        return KD_OK;
    new_record(reader, record);
    record->link_type = CAPTURE_LINK_NONE;
    record->direction = reader->config.raw_direction;
    record->content = CAPTURE_CONTENT_KD;
    record->payload = bytes;
    record->payload_size = size;
    use_up(reader, in, size);
    return 1;
}

/* ---- Which format? ---- */

static const struct magic {
    uint8_t bytes[4];
    uint8_t size;
    uint8_t state; /* enum state; FAILED: a file we know but cannot read */
    bool big_endian, nanoseconds;
} magics[] = {
    {{0x0A, 0x0D, 0x0D, 0x0A}, 4, PCAPNG, false, false},
    {{0xD4, 0xC3, 0xB2, 0xA1}, 4, PCAP_HEADER, false, false},
    {{0xA1, 0xB2, 0xC3, 0xD4}, 4, PCAP_HEADER, true, false},
    {{0x4D, 0x3C, 0xB2, 0xA1}, 4, PCAP_HEADER, false, true},
    {{0xA1, 0xB2, 0x3C, 0x4D}, 4, PCAP_HEADER, true, true},
    {{0x1F, 0x8B}, 2, FAILED, false, false},
};

static int start_with(struct capture_reader *reader, const struct magic *magic)
{
    if (magic->state == FAILED)
        return fail(reader, KD_E_UNSUPPORTED,
                    "the file is compressed with gzip: unpack it first (gunzip)");
    reader->state = (enum state)magic->state;
    reader->big_endian = magic->big_endian;
    reader->nanoseconds = magic->nanoseconds;
    reader->format = magic->state == PCAPNG ? "pcapng" : "pcap";
    return KD_OK;
}

/* A raw stream is known at the first byte that fits no magic number, so that even one of a
 * single byte is read. */
static int find_format(struct capture_reader *reader, struct input *in, bool *more)
{
    for (size_t size = 1; size <= 4; size++) {
        const uint8_t *start = view(reader, in, size);
        if (!start)
            return reader->error;
        bool possible = false;
        for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
            size_t compare = magics[i].size < size ? magics[i].size : size;
            if (memcmp(start, magics[i].bytes, compare) != 0)
                continue;
            if (magics[i].size == size) {
                *more = true;
                return start_with(reader, &magics[i]);
            }
            possible = true;
        }
        if (!possible)
            break;
    }
    reader->state = RAW;
    reader->format = "raw";
    *more = true;
    return KD_OK;
}

/* ---- Public ---- */

struct capture_reader *capture_reader_new(const struct capture_reader_config *config)
{
    struct capture_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    reader->config.raw_direction = CAPTURE_FROM_UNKNOWN;
    if (config)
        reader->config = *config;
    bool raw = reader->config.input == CAPTURE_INPUT_RAW;
    reader->state = raw ? RAW : START;
    reader->format = raw ? "raw" : "unknown";
    return reader;
}

void capture_reader_free(struct capture_reader *reader)
{
    if (!reader)
        return;
    free(reader->held);
    free(reader);
}

static int step(struct capture_reader *reader, struct input *in, struct capture_record *record,
                bool *more)
{
    switch (reader->state) {
    case START:
        return find_format(reader, in, more);
    case PCAPNG:
        return next_block(reader, in, record, more);
    case PCAP_HEADER:
        return pcap_header(reader, in, more);
    case PCAP:
        return pcap_record(reader, in, record);
    case RAW:
        return raw_record(reader, in, record);
    case FAILED:
        break;
    }
    return reader->error;
}

int capture_reader_next(struct capture_reader *reader, const uint8_t **data, size_t *size,
                        struct capture_record *record)
{
    struct input in = {data, size};
    for (;;) {
        if (reader->skipping && !skip_more(reader, &in))
            return KD_OK;
        bool more = false; /* whether to go on although this step gave no record */
        int code = step(reader, &in, record, &more);
        if (code || !more)
            return code;
    }
}

int capture_reader_end(const struct capture_reader *reader)
{
    if (reader->state == FAILED)
        return reader->error;
    bool whole = !reader->held_size && !reader->skipping && reader->state != PCAP_HEADER;
    return whole ? KD_OK : KD_E_TRUNCATED;
}

const char *capture_reader_format(const struct capture_reader *reader)
{
    return reader->format;
}

const char *capture_reader_secret(const struct capture_reader *reader)
{
    return reader->secret;
}

const char *capture_reader_problem(const struct capture_reader *reader)
{
    return reader->problem;
}
