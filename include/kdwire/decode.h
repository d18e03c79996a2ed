/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any packet as text or JSON, driven by protocol.h: unknown and damaged ones too. No memory is
 * allocated; text goes to a sink piece by piece.
 */
#ifndef KDWIRE_DECODE_H
#define KDWIRE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/protocol.h"
#include "kdwire/stream.h"

enum kd_direction {
    KD_DIRECTION_UNKNOWN, /* guessed packet by packet from its contents */
    KD_TO_TARGET,
    KD_TO_DEBUGGER,
};

struct kd_sink {
    void (*write)(void *context, const char *text, size_t size);
    void *context;
};

enum {
    KD_DECODE_NAME_MAX = 128, /* of an address: a file name and an offset; longer ones are cut */
};

/* What earlier packets of a session told; starts as all zeros. Showing one packet more than once
 * (its summary, then its fields) does no harm. */
struct kd_decode_session {
    uint16_t machine_type; /* 0 = not known: amd64 is assumed */
    /* From GetVersion and from what was read there: where replies hold structures of the target's
     * memory. 0 = not known. */
    uint64_t module_list; /* the list head of the loader entries */
    uint64_t entry;       /* the loader entry read last */
    uint64_t entry_base;  /* its DllBase and SizeOfImage */
    uint64_t entry_size;
    uint64_t next_entry; /* the one it links to */
    uint64_t full_name;  /* where its names are, UTF-16 */
    uint64_t base_name;
    uint64_t debugger_list; /* DebuggerDataList */
    uint64_t debugger_data; /* the KDDEBUGGER_DATA64 block */
    uint64_t kernel_base;   /* images begin here, at entry_base and at loaded_base */
    uint64_t loaded_base;   /* of the last load event */
    uint64_t pe_header;     /* of the image whose first bytes were read last */
    /* The caller's: NULL, or writes a name for ADDRESS ("winload.efi+0x10") of at most ROOM bytes
     * to NAME and returns its size; 0 = it has none. */
    size_t (*name_address)(void *context, uint64_t address, char *name, size_t room);
    void *name_context;
};

/* One line that says what the item is and its most telling fields, without a line end. Bytes that
 * a terminal must not see are escaped. */
void kd_decode_summary(struct kd_decode_session *session, enum kd_direction direction,
                       const struct kd_item *item, const struct kd_sink *sink);

/* The summary without the packet id, for those who show that elsewhere. Learns nothing. */
void kd_decode_caption(const struct kd_decode_session *session, enum kd_direction direction,
                       const struct kd_item *item, const struct kd_sink *sink);

/* All fields, one per line, each line started with INDENT spaces; data as a hex dump. */
void kd_decode_text(struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item, unsigned indent, const struct kd_sink *sink);

/*
 * One JSON object on one line, without a line end. 64-bit values are strings "0x...". Nothing is
 * left out: with "structures" and "offset" the object gives the bytes back.
 */
void kd_decode_json(struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item, const struct kd_sink *sink);

/* What a packet is, without its fields: for filters and counts. */
struct kd_message {
    uint32_t api;     /* ApiNumber or NewState; 0 in control packets and cut ones */
    const char *name; /* of the message, or of the packet type; NULL = unknown */
    bool reply;       /* the answer to a request */
    bool has_reply;   /* a request that is to be answered */
};
void kd_decode_message(enum kd_direction direction, const struct kd_item *item,
                       struct kd_message *message);

/* Learns from an item without showing it. */
void kd_decode_learn(struct kd_decode_session *session, enum kd_direction direction,
                     const struct kd_item *item);

/* The walk that text and JSON are made from: every byte of the item in one part, in order. */
enum kd_section {
    KD_SECTION_HEADER,
    KD_SECTION_FIXED, /* the fixed part of the body */
    KD_SECTION_EXTRA, /* bytes before the data proper: the CONTEXT of protocol version 5 */
    KD_SECTION_DATA,
    KD_SECTION_TRAILER,
};

struct kd_part {
    enum kd_section section;
    uint8_t data;                         /* DATA: enum kd_data_kind; NONE = not known */
    const struct kd_structure *structure; /* NULL = a run of plain bytes */
    const struct kd_field *field;         /* NULL = a run: plain, or a piece of a field */
    const struct kd_field *parent;        /* the field whose value STRUCTURE is, or NULL */
    bool array;                           /* STRUCTURE is element INDEX of an array */
    size_t index;
    size_t offset;  /* where in the structure the part starts */
    uint64_t place; /* DATA: the address of the data in the target's memory, or 0 */
    const uint8_t *bytes;
    size_t size;
};

void kd_decode_walk(const struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item,
                    void (*visit)(void *context, const struct kd_part *part), void *context);

/* The name of a data kind: "memory", "context", ... */
const char *kd_data_kind_name(uint8_t kind);

#endif
