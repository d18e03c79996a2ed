/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the plugin and what they share.
 *
 *   plugin.c        what Wireshark looks for in the file
 *   fields.c        every field of include/kdwire/fields.h as a Wireshark field; one item as a tree
 *   session.c       what is known of a session: requests, replies, ACKs, stops, modules
 *   packet_kd.c     the ways KD comes: records, byte streams, TCP, UDP; column, links, experts
 *   packet_kdnet.c  KDNET datagrams, keys, decryption
 *   taps.c          statistics, follow, conversations, exported PDUs
 *   objects.c       export objects: memory, debug text, files
 *
 * Nothing here knows an offset of the protocol: the walk of src/kd/decode.c drives all.
 */
#ifndef KDWIRE_WIRESHARK_KD_H
#define KDWIRE_WIRESHARK_KD_H

#include "compat.h"

#include "kdwire/decode.h"
#include "kdwire/protocol.h"
#include "kdwire/stream.h"

extern int proto_kd;

/* ---- sessions (session.c). All memory lives as long as the capture file is open. ---- */

/* From a state change to the continue that ends it, to the next stop. */
struct kd_stop {
    guint32 stop_frame, go_frame, next_frame;
    nstime_t stop_time, go_time, next_time;
    const struct kd_stop *before; /* the run between that one and this was captured; or NULL */
};

struct kd_session;

/* What was known of a session before a packet. Many packets share one. */
struct kd_past {
    struct kd_session *session; /* NULL: the packet's session is not known */
    const struct kd_decode_session *decode;
    guint32 modules_seen; /* of the session's module events */
};

/* What the first pass learnt of one packet; the same on every later look at it. */
struct kd_record;

enum kd_role {
    KD_ROLE_NONE,
    KD_ROLE_REQUEST,
    KD_ROLE_REPLY,
    KD_ROLE_STOP, /* a state change or a continue */
};

/* What few packets have. All zeros: nothing of it. */
struct kd_rarity {
    const struct kd_record *first; /* a retransmission: the first sending; or NULL */
    guint32 retransmission_of;     /* its frame, 0 = none */
    guint32 resend_of;             /* a RESEND: the frame it asks for again */
    guint32 unanswered;            /* an earlier request that this packet gives up */
    guint32 repeats;               /* how many times in a row nothing new was said */
    guint32 delivery;              /* see kd_record_delivery_frame */
};

enum kd_direction kd_record_direction(const struct kd_record *record);
const struct kd_past *kd_record_past(const struct kd_record *record);
const struct kd_rarity *kd_record_rarity(const struct kd_record *record);

/* What a packet belongs to; a retransmission to what its first sending does. */
enum kd_role kd_record_role(const struct kd_record *record);

/* The frame of a request's reply; 0 = none, or it is no request. */
guint32 kd_record_reply_frame(const struct kd_record *record);

/* The frame of a data packet's ACK, or of the data packet that an ACK is for; 0 = none. */
guint32 kd_record_delivery_frame(const struct kd_record *record);

/* The stop that a state change begins or a continue ends; NULL: it is neither. */
const struct kd_stop *kd_record_stop(const struct kd_record *record);

/* The request that a reply answers, and how long that took; false: it answers none. */
bool kd_record_response(const struct kd_record *record, guint32 *request_frame, nstime_t *time);

enum {
    /* So many retransmissions and RESENDs without anything new are worth a warning: a debugger that
     * attaches and loses a packet or two needs less. */
    KD_STORM = 8,
};

/* Sessions of a file are numbered from 0: kd.stream. */
struct kd_session *kd_session_new(guint32 number);
guint32 kd_session_number(const struct kd_session *session);

/* First pass: what ITEM, which is MESSAGE, means in its session. */
struct kd_record *kd_session_add(struct kd_session *session, packet_info *pinfo,
                                 enum kd_direction direction, const struct kd_item *item,
                                 const struct kd_message *message);

/* The record of the packet number INDEX, from 0, of FRAME; NULL: the first pass did not reach it.
 */
struct kd_record *kd_session_find(guint32 frame, guint32 index);

/* Another file: all records are gone. */
void kd_session_forget(void);

/* A record for a packet that the first pass did not reach. */
struct kd_record *kd_session_unknown(packet_info *pinfo, enum kd_direction direction);

/* "module+0x10" for an address in a module that was loaded when RECORD's packet came; returns the
 * size, 0 if there is none. */
size_t kd_session_name_address(const struct kd_record *record, guint64 address, char *name,
                               size_t room);

/* ---- the tree (fields.c) ---- */

void kd_fields_register(void);

/* Whether anybody will look at a field of KD in TREE. */
bool kd_fields_wanted(const proto_tree *tree);

/* Adds ITEM, which lies at OFFSET of TVB and is MESSAGE, to TREE. */
void kd_fields_add(proto_tree *tree, tvbuff_t *tvb, int offset, const struct kd_record *record,
                   const struct kd_item *item, const struct kd_message *message);

/* Whether addresses in this packet are virtual: ports, indexes of control space and physical
 * addresses lie in no module. */
bool kd_fields_have_virtual_addresses(const struct kd_item *item, const struct kd_message *message);

/* ---- dissection (packet_kd.c) ---- */

void kd_register(void);
void kd_handoff(void);

/* What one conversation, or one capture file without addresses, remembers. */
struct kd_conversation;
struct kd_conversation *kd_conversation_of(packet_info *pinfo);

/* The number of the session that PINFO's conversation is in; false: it is no KD conversation. How
 * many there are. */
bool kd_stream_number(packet_info *pinfo, guint *number);
guint32 kd_stream_count(void);

/* The next packet of this conversation begins a new session (KDNET: new keys). */
void kd_conversation_restart(struct kd_conversation *conversation);

/* The payload of a KDNET datagram. */
void kd_dissect_datagram(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                         struct kd_conversation *conversation, enum kd_direction direction);

/* ---- KDNET (packet_kdnet.c) ---- */

void kdnet_register(void);
void kdnet_handoff(void);

/* ---- taps (taps.c, objects.c) ---- */

/* What the tap "kd" is given of each packet, break-in and run of junk. */
struct kd_tap {
    const struct kd_item *item;
    const struct kd_record *record;
    struct kd_message message;
};

void kd_taps_register(void);

/* Whether anybody listens; then give each item. */
bool kd_taps_wanted(void);
void kd_taps_give(packet_info *pinfo, tvbuff_t *tvb, const struct kd_record *record,
                  const struct kd_item *item, const struct kd_message *message);

/* The exported-PDU tag that says who sent a packet; DATA is an enum kd_direction. */
int kd_export_direction_size(packet_info *pinfo, void *data);
int kd_export_direction(packet_info *pinfo, void *data, guint8 *out, guint32 room);

void kd_objects_register(void);

#endif
