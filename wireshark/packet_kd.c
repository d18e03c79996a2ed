/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways KD comes, and what is shown of each packet beside its fields.
 *
 *   dissector  | bytes                                  | who sent them
 *   -----------+----------------------------------------+-------------------------------------------
 *   kd         | a record of kdwire, link type 252 or   | the record's direction: sent = debugger
 *              | a DLT_USER: one packet, byte or run    |
 *   kd_stream  | a record: a piece of a byte stream     | the same
 *   kd_tcp     | TCP, cut anywhere                      | see `direction_of`
 *   kd_udp     | a UDP payload, one packet, not encrypted | the same
 *   (KDNET)    | a decrypted datagram                   | its direction bit
 */
#include "kd.h"

#include <string.h>

int proto_kd = -1;
static dissector_handle_t tcp_handle, udp_handle;
static int export_tap = -1;
static int ett_kd = -1;

enum {
    /* Where kdwire's fake UDP frames say the debugger is (src/capture/capture.h). */
    PORT_DEBUGGER = 51111,
    PORT_TARGET = 51112,
    CAPTION_MAX = 1024, /* the Info column's text: NT's longest print, escaped */
};

/* ---- fields beside those of the description ---- */

#define LINKS(X)                                                                                   \
    X(REPLY_IN, "kd.reply_in", "Reply in", FT_FRAMENUM, FRAMENUM_TYPE(FT_FRAMENUM_RESPONSE))       \
    X(REQUEST_IN, "kd.request_in", "Request in", FT_FRAMENUM, FRAMENUM_TYPE(FT_FRAMENUM_REQUEST))  \
    X(RESPONSE_TIME, "kd.response_time", "Response time", FT_RELATIVE_TIME, NULL)                  \
    X(ACKNOWLEDGED_IN, "kd.acknowledged_in", "Acknowledged in", FT_FRAMENUM,                       \
      FRAMENUM_TYPE(FT_FRAMENUM_ACK))                                                              \
    X(ACKNOWLEDGES, "kd.acknowledges", "Acknowledges", FT_FRAMENUM,                                \
      FRAMENUM_TYPE(FT_FRAMENUM_ACK))                                                              \
    X(RETRANSMISSION_OF, "kd.retransmission_of", "Retransmission of", FT_FRAMENUM,                 \
      FRAMENUM_TYPE(FT_FRAMENUM_RETRANS_PREV))                                                     \
    X(RESEND_OF, "kd.resend_of", "Asks again for", FT_FRAMENUM, NULL)                              \
    X(UNANSWERED, "kd.unanswered", "Gives up the request in", FT_FRAMENUM, NULL)                   \
    X(STOPPED_IN, "kd.stopped_in", "Stopped in", FT_FRAMENUM, NULL)                                \
    X(CONTINUED_IN, "kd.continued_in", "Continued in", FT_FRAMENUM, NULL)                          \
    X(NEXT_STOP_IN, "kd.next_stop_in", "Next stop in", FT_FRAMENUM, NULL)                          \
    X(STOP_TIME, "kd.stop_time", "Time stopped", FT_RELATIVE_TIME, NULL)                           \
    X(RUN_TIME, "kd.run_time", "Time it ran before", FT_RELATIVE_TIME, NULL)                       \
    X(STREAM, "kd.stream", "Session", FT_UINT32, NULL)                                             \
    X(DIRECTION, "kd.direction", "Direction", FT_UINT8, VALS(directions))                          \
    X(MESSAGE, "kd.message", "Message", FT_STRING, NULL)                                           \
    X(ROLE, "kd.role", "Role", FT_STRING, NULL)                                                    \
    X(FRAGMENT, "kd.fragment", "Beginning of a packet that goes on in a later frame", FT_BYTES,    \
      NULL)

static const value_string directions[] = {
    {KD_DIRECTION_UNKNOWN, "not known"},
    {KD_TO_TARGET, "debugger to target"},
    {KD_TO_DEBUGGER, "target to debugger"},
    {0, NULL},
};

enum {
#define LINK_INDEX(name, filter, title, type, strings) LINK_##name,
    LINKS(LINK_INDEX) LINK_COUNT
};
static int link_hf[LINK_COUNT];

#define EXPERTS(X)                                                                                 \
    X(CHECKSUM, "kd.expert.checksum", PI_CHECKSUM, PI_ERROR, "The checksum is wrong")              \
    X(TRAILER, "kd.expert.trailer", PI_PROTOCOL, PI_WARN, "No trailer byte 0xAA after the body")   \
    X(LENGTH, "kd.expert.length", PI_PROTOCOL, PI_ERROR, "The header gives an impossible length")  \
    X(CUT, "kd.expert.cut", PI_REASSEMBLE, PI_WARN, "The rest of this packet never came")          \
    X(JUNK, "kd.expert.junk", PI_PROTOCOL, PI_NOTE,                                                \
      "Bytes that belong to no packet (console text, or the rest of damage)")                      \
    X(RETRANSMISSION, "kd.expert.retransmission", PI_SEQUENCE, PI_NOTE, "Retransmission")          \
    X(UNANSWERED, "kd.expert.unanswered", PI_SEQUENCE, PI_WARN,                                    \
      "A request before this packet was not answered")                                             \
    X(NO_REPLY, "kd.expert.no_reply", PI_SEQUENCE, PI_NOTE, "No reply in this capture")            \
    X(STORM, "kd.expert.storm", PI_SEQUENCE, PI_WARN,                                              \
      "Resend storm: the same is sent again and again, and nothing new gets through")              \
    X(REFUSED, "kd.expert.refused", PI_RESPONSE_CODE, PI_NOTE, "The request failed")               \
    X(RESET, "kd.expert.reset", PI_SEQUENCE, PI_CHAT, "Reset of the link")                         \
    X(BREAK_IN, "kd.expert.break_in", PI_SEQUENCE, PI_CHAT,                                        \
      "Break-in: the debugger asks a running target to stop")                                      \
    X(RESTART, "kd.expert.restart", PI_SEQUENCE, PI_CHAT, "The target restarts or shuts down")

enum {
#define EXPERT_INDEX(name, filter, group, severity, text) EXPERT_##name,
    EXPERTS(EXPERT_INDEX) EXPERT_COUNT
};
static expert_field expert_of[EXPERT_COUNT];

/* ---- conversations ---- */

/* A piece of a byte stream and the item that it completes. */
struct lane {
    struct kd_stream *stream;
    size_t held; /* bytes of frames before */
};

struct kd_conversation {
    struct kd_session *session;
    bool debugger_known;
    port_type kind;
    address first, second, debugger; /* the sender of the first packet; its peer; the debugger */
    guint32 first_port, second_port, debugger_port;
    bool in_junk[2]; /* TCP, by sender: the last item was junk */
    struct lane lanes[2];
};

/* Of records without addresses; all of a file are one conversation. */
static struct kd_conversation *without_addresses;
static struct kd_conversation *recent; /* that of the last record */
static guint32 sessions;               /* of this file */

static void forget_file(void)
{
    kd_session_forget();
    without_addresses = recent = NULL;
    sessions = 0;
}

static struct kd_conversation *conversation_new_of(packet_info *pinfo)
{
    struct kd_conversation *conversation = wmem_new0(wmem_file_scope(), struct kd_conversation);
    conversation->session = kd_session_new(sessions++);
    conversation->kind = pinfo->ptype;
    copy_address_wmem(wmem_file_scope(), &conversation->first, &pinfo->src);
    copy_address_wmem(wmem_file_scope(), &conversation->second, &pinfo->dst);
    conversation->first_port = pinfo->srcport;
    conversation->second_port = pinfo->destport;
    return conversation;
}

struct kd_conversation *kd_conversation_of(packet_info *pinfo)
{
    if (pinfo->src.type == AT_NONE) {
        if (!without_addresses)
            without_addresses = conversation_new_of(pinfo);
        return without_addresses;
    }
    conversation_t *found = find_or_create_conversation(pinfo);
    struct kd_conversation *conversation = conversation_get_proto_data(found, proto_kd);
    if (!conversation) {
        conversation = conversation_new_of(pinfo);
        conversation_add_proto_data(found, proto_kd, conversation);
    }
    return conversation;
}

void kd_conversation_restart(struct kd_conversation *conversation)
{
    conversation->session = kd_session_new(sessions++);
}

bool kd_stream_number(packet_info *pinfo, guint *number)
{
    const struct kd_conversation *conversation = without_addresses;
    if (pinfo->src.type != AT_NONE) {
        conversation_t *found = find_conversation_pinfo(pinfo, 0);
        conversation = found ? conversation_get_proto_data(found, proto_kd) : NULL;
    }
    if (!conversation)
        return false;
    *number = kd_session_number(conversation->session);
    return true;
}

guint32 kd_stream_count(void)
{
    return sessions;
}

static bool sent_by(const packet_info *pinfo, const address *who, guint32 port)
{
    return pinfo->srcport == port && addresses_equal(&pinfo->src, who);
}

static bool sent_to(const packet_info *pinfo, const address *who, guint32 port)
{
    return pinfo->destport == port && addresses_equal(&pinfo->dst, who);
}

static bool belongs_to(const packet_info *pinfo, const struct kd_conversation *conversation)
{
    const address *first = &conversation->first, *second = &conversation->second;
    guint32 first_port = conversation->first_port, second_port = conversation->second_port;
    return pinfo->ptype == conversation->kind &&
           ((sent_by(pinfo, first, first_port) && sent_to(pinfo, second, second_port)) ||
            (sent_by(pinfo, second, second_port) && sent_to(pinfo, first, first_port)));
}

/* Nobody else makes conversations of records, so that two ends never have more than one: looking at
 * that of the last record saves Wireshark's search. */
static struct kd_conversation *conversation_of_record(packet_info *pinfo)
{
    if (!recent || !belongs_to(pinfo, recent))
        recent = kd_conversation_of(pinfo);
    return recent;
}

/* ---- who is the debugger? ---- */

/* Packets that only a target sends. */
static bool only_target_sends(const struct kd_item *item)
{
    if (item->kind != KD_ITEM_PACKET || item->faults || item->header.leader != KD_LEADER_DATA)
        return false;
    switch (item->header.type) {
    case KD_PACKET_STATE_CHANGE32:
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_TRACE_IO:
        return true;
    case KD_PACKET_DEBUG_IO:
        return item->body_size >= KD_DEBUG_IO_SIZE &&
               KD_GET(item->body, DebugIo, ApiNumber) == KD_API_PRINT_STRING;
    default:
        return (item->header.id & ~(guint32)1) == (KD_ID_INITIAL | KD_ID_SYNC);
    }
}

static void remember_debugger(struct kd_conversation *conversation, const address *who,
                              guint32 port)
{
    conversation->debugger_known = true;
    copy_address_wmem(wmem_file_scope(), &conversation->debugger, who);
    conversation->debugger_port = port;
}

/*
 * By the surest sign there is: a record's direction; what only targets send, now or before in this
 * conversation; kdwire's fake ports; requests and replies; the side that sent first (for TCP: that
 * connected) is the debugger.
 */
static enum kd_direction direction_of(struct kd_conversation *conversation, packet_info *pinfo,
                                      bool records, const struct kd_item *item)
{
    if (records && pinfo->p2p_dir == P2P_DIR_SENT)
        return KD_TO_TARGET;
    if (records && pinfo->p2p_dir == P2P_DIR_RECV)
        return KD_TO_DEBUGGER;
    if (!conversation->debugger_known && only_target_sends(item))
        remember_debugger(conversation, &pinfo->dst, pinfo->destport);
    if (conversation->debugger_known)
        return sent_by(pinfo, &conversation->debugger, conversation->debugger_port)
                   ? KD_TO_TARGET
                   : KD_TO_DEBUGGER;
    if (pinfo->srcport == PORT_DEBUGGER && pinfo->destport == PORT_TARGET)
        return KD_TO_TARGET;
    if (pinfo->srcport == PORT_TARGET && pinfo->destport == PORT_DEBUGGER)
        return KD_TO_DEBUGGER;
    struct kd_message message;
    kd_decode_message(KD_DIRECTION_UNKNOWN, item, &message);
    if (item->header.type == KD_PACKET_STATE_MANIPULATE && !item->faults)
        return message.reply ? KD_TO_DEBUGGER : KD_TO_TARGET;
    return sent_by(pinfo, &conversation->first, conversation->first_port) ? KD_TO_TARGET
                                                                          : KD_TO_DEBUGGER;
}

/* The frame being dissected, and where its KD bytes come from. */
struct source {
    packet_info *pinfo;
    proto_tree *tree;
    struct kd_conversation *conversation;
    bool records;                /* a record's direction counts */
    enum kd_direction direction; /* KDNET; else not known */
    guint32 shown;               /* items so far */
};

/* ---- records of the first pass ---- */

enum {
    KEY_COUNT, /* how many items of this frame were shown so far (this dissection) */
    KEY_CHUNK, /* what a kd_stream record completes */
    KEY_JUNK,  /* whether a TCP segment begins behind junk */
};

/* A record is all that its frame has. Segments and datagrams may come several to a frame, each in a
 * call of its own. */
static guint32 next_index(struct source *source)
{
    packet_info *pinfo = source->pinfo;
    if (source->records)
        return source->shown++;
    guint32 *count = p_get_proto_data(pinfo->pool, pinfo, proto_kd, KEY_COUNT);
    if (!count) {
        count = wmem_new0(pinfo->pool, guint32);
        p_add_proto_data(pinfo->pool, pinfo, proto_kd, KEY_COUNT, count);
    }
    return (*count)++;
}

/* Also says what ITEM is: a later look may know better who sent it than the first pass did, but
 * what that made of it stands. */
static struct kd_record *record_of(struct source *source, enum kd_direction direction,
                                   const struct kd_item *item, struct kd_message *message)
{
    packet_info *pinfo = source->pinfo;
    guint32 index = next_index(source);
    bool again = PINFO_FD_VISITED(pinfo) != 0;
    struct kd_record *record = again ? kd_session_find(pinfo->num, index) : NULL;
    kd_decode_message(record ? kd_record_direction(record) : direction, item, message);
    if (record)
        return record;
    if (again)
        return kd_session_unknown(pinfo, direction);
    return kd_session_add(source->conversation->session, pinfo, direction, item, message);
}

/* ---- the Info column ---- */

struct caption {
    size_t size;
    char text[CAPTION_MAX];
};

static void add_text(void *context, const char *text, size_t size)
{
    struct caption *caption = context;
    size_t room = sizeof(caption->text) - 1 - caption->size;
    size = MIN(size, room);
    memcpy(caption->text + caption->size, text, size);
    caption->size += size;
    caption->text[caption->size] = 0;
}

static size_t name_address(void *context, guint64 address, char *name, size_t room)
{
    return kd_session_name_address(context, address, name, room);
}

static void add_info(packet_info *pinfo, const struct kd_record *record, const struct kd_item *item,
                     const struct kd_message *message)
{
    if (!pinfo->cinfo || !col_get_writable(pinfo->cinfo, COL_INFO))
        return;
    struct caption caption; /* not all of it needs to be set */
    caption.size = 0;
    caption.text[0] = 0;
    struct kd_sink sink = {add_text, &caption};
    struct kd_decode_session decode = *kd_record_past(record)->decode;
    decode.name_address = kd_fields_have_virtual_addresses(item, message) ? name_address : NULL;
    decode.name_context = (void *)(guintptr)record;
    kd_decode_caption(&decode, kd_record_direction(record), item, &sink);
    if (kd_record_rarity(record)->retransmission_of)
        add_text(&caption, " [again]", 8);
    col_append_sep_str(pinfo->cinfo, COL_INFO, "; ", caption.text);
}

/* Before anything of a frame is shown. */
static void begin_columns(packet_info *pinfo)
{
    if (!pinfo->cinfo)
        return;
    col_set_str(pinfo->cinfo, COL_PROTOCOL, "KD");
    col_clear(pinfo->cinfo, COL_INFO);
}

/* Records without addresses: the two ends by name. */
static void name_ends(packet_info *pinfo, enum kd_direction direction)
{
    bool down = direction == KD_TO_TARGET;
    if (pinfo->src.type != AT_NONE || direction == KD_DIRECTION_UNKNOWN)
        return;
    col_set_str(pinfo->cinfo, COL_DEF_SRC, down ? "debugger" : "target");
    col_set_str(pinfo->cinfo, COL_DEF_DST, down ? "target" : "debugger");
}

/* ---- links and experts ---- */

static void add_frame(proto_tree *tree, tvbuff_t *tvb, unsigned link, guint32 frame)
{
    if (frame)
        proto_item_set_generated(proto_tree_add_uint(tree, link_hf[link], tvb, 0, 0, frame));
}

static void add_duration(proto_tree *tree, tvbuff_t *tvb, unsigned link, const nstime_t *duration)
{
    proto_item_set_generated(proto_tree_add_time(tree, link_hf[link], tvb, 0, 0, duration));
}

static void add_time(proto_tree *tree, tvbuff_t *tvb, unsigned link, const nstime_t *from,
                     const nstime_t *to)
{
    nstime_t delta;
    nstime_delta(&delta, to, from);
    add_duration(tree, tvb, link, &delta);
}

static void add_transaction(proto_tree *tree, tvbuff_t *tvb, const struct kd_record *record)
{
    guint32 request_frame;
    nstime_t time;
    add_frame(tree, tvb, LINK_REPLY_IN, kd_record_reply_frame(record));
    if (!kd_record_response(record, &request_frame, &time))
        return;
    add_frame(tree, tvb, LINK_REQUEST_IN, request_frame);
    add_duration(tree, tvb, LINK_RESPONSE_TIME, &time);
}

static void add_delivery(proto_tree *tree, tvbuff_t *tvb, const struct kd_record *record,
                         const struct kd_item *item)
{
    unsigned link =
        item->header.leader == KD_LEADER_DATA ? LINK_ACKNOWLEDGED_IN : LINK_ACKNOWLEDGES;
    add_frame(tree, tvb, link, kd_record_delivery_frame(record));
}

static void add_stop(proto_tree *tree, tvbuff_t *tvb, const struct kd_record *record,
                     const struct kd_item *item)
{
    const struct kd_stop *stop = kd_record_stop(record);
    if (!stop)
        return;
    if (item->header.type == KD_PACKET_STATE_CHANGE64) {
        if (stop->before && !kd_record_rarity(record)->retransmission_of)
            add_time(tree, tvb, LINK_RUN_TIME, &stop->before->go_time, &stop->before->next_time);
        add_frame(tree, tvb, LINK_CONTINUED_IN, stop->go_frame);
    } else {
        add_frame(tree, tvb, LINK_STOPPED_IN, stop->stop_frame);
        add_frame(tree, tvb, LINK_NEXT_STOP_IN, stop->next_frame);
    }
    if (stop->stop_frame && stop->go_frame)
        add_time(tree, tvb, LINK_STOP_TIME, &stop->stop_time, &stop->go_time);
}

static void add_string(proto_tree *tree, tvbuff_t *tvb, unsigned link, const char *text)
{
    proto_item_set_generated(proto_tree_add_string(tree, link_hf[link], tvb, 0, 0, text));
}

static void add_links(proto_tree *tree, tvbuff_t *tvb, const struct kd_record *record,
                      const struct kd_item *item, const struct kd_message *message)
{
    const struct kd_session *session = kd_record_past(record)->session;
    const struct kd_rarity *rarity = kd_record_rarity(record);
    proto_item_set_generated(proto_tree_add_uint(tree, link_hf[LINK_DIRECTION], tvb, 0, 0,
                                                 (guint32)kd_record_direction(record)));
    if (session)
        proto_item_set_generated(
            proto_tree_add_uint(tree, link_hf[LINK_STREAM], tvb, 0, 0, kd_session_number(session)));
    if (message->name)
        add_string(tree, tvb, LINK_MESSAGE, message->name);
    if (message->reply || message->has_reply)
        add_string(tree, tvb, LINK_ROLE, message->reply ? "reply" : "request");
    add_transaction(tree, tvb, record);
    add_delivery(tree, tvb, record, item);
    add_stop(tree, tvb, record, item);
    add_frame(tree, tvb, LINK_RETRANSMISSION_OF, rarity->retransmission_of);
    add_frame(tree, tvb, LINK_RESEND_OF, rarity->resend_of);
    add_frame(tree, tvb, LINK_UNANSWERED, rarity->unanswered);
}

static void add_faults(packet_info *pinfo, proto_item *top, const struct kd_item *item)
{
    if (item->faults & KD_FAULT_CHECKSUM)
        expert_add_info_format(pinfo, top, &expert_of[EXPERT_CHECKSUM],
                               "The checksum is wrong: the header says 0x%08x, the body adds up to "
                               "0x%08x",
                               item->header.checksum, kd_checksum(item->body, item->body_size));
    if (item->faults & KD_FAULT_TRAILER)
        expert_add_info(pinfo, top, &expert_of[EXPERT_TRAILER]);
    if (item->faults & KD_FAULT_LENGTH)
        expert_add_info(pinfo, top, &expert_of[EXPERT_LENGTH]);
    if (item->faults & KD_FAULT_CUT)
        expert_add_info(pinfo, top, &expert_of[EXPERT_CUT]);
}

static bool is_restart(const struct kd_item *item)
{
    return item->header.type == KD_PACKET_STATE_CHANGE64 &&
           item->body_size >= KD_STATE_CHANGE_SIZE &&
           KD_GET(item->body, StateChange, NewState) == KD_STATE_LOAD_SYMBOLS &&
           KD_GET(item->body, LoadSymbols, UnloadSymbols) &&
           KD_GET(item->body, LoadSymbols, BaseOfDll) == G_MAXUINT64;
}

static bool is_refusal(const struct kd_record *record, const struct kd_item *item)
{
    if (item->header.leader != KD_LEADER_DATA || kd_record_role(record) != KD_ROLE_REPLY)
        return false;
    if (item->header.type == KD_PACKET_STATE_MANIPULATE)
        return item->body_size >= KD_MANIPULATE_SIZE &&
               KD_GET(item->body, Manipulate, ReturnStatus) >= 0x80000000u;
    return item->header.type == KD_PACKET_FILE_IO && item->body_size >= KD_FILE_IO_SIZE &&
           KD_GET(item->body, FileIo, Status) >= 0x80000000u;
}

static void add_experts(packet_info *pinfo, proto_item *top, const struct kd_record *record,
                        const struct kd_item *item)
{
    const struct kd_rarity *rarity = kd_record_rarity(record);
    if (item->kind == KD_ITEM_JUNK)
        expert_add_info(pinfo, top, &expert_of[EXPERT_JUNK]);
    if (item->kind == KD_ITEM_BREAK_IN)
        expert_add_info(pinfo, top, &expert_of[EXPERT_BREAK_IN]);
    if (item->kind != KD_ITEM_PACKET)
        return;
    add_faults(pinfo, top, item);
    if (item->header.leader == KD_LEADER_CONTROL && item->header.type == KD_PACKET_RESET)
        expert_add_info(pinfo, top, &expert_of[EXPERT_RESET]);
    if (rarity->retransmission_of)
        expert_add_info(pinfo, top, &expert_of[EXPERT_RETRANSMISSION]);
    if (rarity->unanswered)
        expert_add_info(pinfo, top, &expert_of[EXPERT_UNANSWERED]);
    if (rarity->repeats >= KD_STORM)
        expert_add_info(pinfo, top, &expert_of[EXPERT_STORM]);
    if (PINFO_FD_VISITED(pinfo) && kd_record_role(record) == KD_ROLE_REQUEST &&
        !kd_record_reply_frame(record))
        expert_add_info(pinfo, top, &expert_of[EXPERT_NO_REPLY]);
    if (is_refusal(record, item))
        expert_add_info(pinfo, top, &expert_of[EXPERT_REFUSED]);
    if (is_restart(item))
        expert_add_info(pinfo, top, &expert_of[EXPERT_RESTART]);
}

/* ---- one item ---- */

static void export_item(packet_info *pinfo, tvbuff_t *tvb, const struct kd_record *record)
{
    enum kd_direction direction = kd_record_direction(record);
    const exp_pdu_data_item_t direction_item = {kd_export_direction_size, kd_export_direction,
                                                &direction};
    const exp_pdu_data_item_t *items[] = {&exp_pdu_data_src_ip,    &exp_pdu_data_dst_ip,
                                          &exp_pdu_data_port_type, &exp_pdu_data_src_port,
                                          &exp_pdu_data_dst_port,  &exp_pdu_data_orig_frame_num,
                                          &direction_item,         NULL};
    exp_pdu_data_t *data = export_pdu_create_tags(pinfo, "kd", EXP_PDU_TAG_DISSECTOR_NAME, items);
    data->tvb_captured_length = tvb_captured_length(tvb);
    data->tvb_reported_length = tvb_reported_length(tvb);
    data->pdu_tvb = tvb;
    tap_queue_packet(export_tap, pinfo, data);
}

static const char *title_of(const struct kd_item *item, const struct kd_message *message)
{
    if (item->kind == KD_ITEM_BREAK_IN)
        return "break-in";
    if (item->kind == KD_ITEM_JUNK)
        return "bytes that belong to no packet";
    return message->name ? message->name : "packet";
}

static void give_to_taps(packet_info *pinfo, tvbuff_t *tvb, int offset,
                         const struct kd_record *record, const struct kd_item *item,
                         const struct kd_message *message)
{
    bool taps = kd_taps_wanted(), export = have_tap_listener(export_tap);
    if (!taps && !export)
        return;
    tvbuff_t *own = tvb_new_subset_length(tvb, offset, (int)item->raw_size);
    if (taps)
        kd_taps_give(pinfo, own, record, item, message);
    if (export)
        export_item(pinfo, own, record);
}

/* ITEM lies at OFFSET of TVB. */
static void show_item(struct source *source, tvbuff_t *tvb, int offset, const struct kd_item *item)
{
    packet_info *pinfo = source->pinfo;
    enum kd_direction direction = source->direction;
    pinfo->current_proto = "KD";
    if (direction == KD_DIRECTION_UNKNOWN)
        direction = direction_of(source->conversation, pinfo, source->records, item);
    struct kd_message message;
    struct kd_record *record = record_of(source, direction, item, &message);
    name_ends(pinfo, kd_record_direction(record));
    add_info(pinfo, record, item, &message);
    proto_item *top =
        proto_tree_add_item(source->tree, proto_kd, tvb, offset, (int)item->raw_size, ENC_NA);
    if (kd_fields_wanted(source->tree)) {
        proto_item_append_text(top, ", %s", title_of(item, &message));
        proto_tree *tree = proto_item_add_subtree(top, ett_kd);
        kd_fields_add(tree, tvb, offset, record, item, &message);
        add_links(tree, tvb, record, item, &message);
    }
    add_experts(pinfo, top, record, item);
    give_to_taps(pinfo, tvb, offset, record, item, &message);
}

/* Shows every item of SIZE bytes at OFFSET of TVB, which are all that will come. */
static void show_all(struct source *source, tvbuff_t *tvb, int offset, int size,
                     enum kd_framing framing)
{
    const guint8 *bytes = tvb_get_ptr(tvb, offset, size);
    struct kd_item item;
    size_t used = 0, have = (size_t)size;
    if (kd_stream_is_one_packet(framing, bytes, have, &item)) {
        show_item(source, tvb, offset, &item);
        return;
    }
    struct kd_stream *stream = wmem_new(source->pinfo->pool, struct kd_stream);
    kd_stream_init(stream, framing);
    do {
        used += kd_stream_feed(stream, bytes + used, have - used, &item);
        if (item.kind != KD_ITEM_NONE) {
            show_item(source, tvb, offset, &item);
            offset += (int)item.raw_size;
        }
    } while (used < have || item.kind != KD_ITEM_NONE);
    while (kd_stream_flush(stream, &item)) {
        show_item(source, tvb, offset, &item);
        offset += (int)item.raw_size;
    }
}

/* ---- records ---- */

/* Data packets from KDNET have no trailer. */
static enum kd_framing framing_of(tvbuff_t *tvb)
{
    struct kd_header header;
    guint8 bytes[KD_HEADER_SIZE];
    size_t size = tvb_captured_length(tvb);
    if (size < KD_HEADER_SIZE)
        return KD_FRAMING_SERIAL;
    tvb_memcpy(tvb, bytes, 0, KD_HEADER_SIZE);
    kd_header_get(&header, bytes);
    bool exact =
        header.leader == KD_LEADER_DATA && size == (size_t)KD_HEADER_SIZE + header.byte_count;
    return exact ? KD_FRAMING_KDNET : KD_FRAMING_SERIAL;
}

static void show_record(struct source *source, tvbuff_t *tvb, int size)
{
    const guint8 *bytes = tvb_get_ptr(tvb, 0, size);
    struct kd_item item;
    if (kd_stream_is_one_packet(KD_FRAMING_SERIAL, bytes, (size_t)size, &item))
        show_item(source, tvb, 0, &item);
    else
        show_all(source, tvb, 0, size, framing_of(tvb));
}

static int dissect_records(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, bool records)
{
    struct source source = {.pinfo = pinfo, .tree = tree, .records = records};
    source.conversation = records ? conversation_of_record(pinfo) : kd_conversation_of(pinfo);
    begin_columns(pinfo);
    int size = (int)tvb_captured_length(tvb);
    if (!size)
        col_set_str(pinfo->cinfo, COL_INFO, "remark of the recorder: see the packet comment");
    else
        show_record(&source, tvb, size);
    return size;
}

static int dissect_kd(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    (void)data;
    return dissect_records(tvb, pinfo, tree, true);
}

void kd_dissect_datagram(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                         struct kd_conversation *conversation, enum kd_direction direction)
{
    struct source source = {
        .pinfo = pinfo, .tree = tree, .conversation = conversation, .direction = direction};
    int size = (int)tvb_captured_length(tvb);
    col_set_str(pinfo->cinfo, COL_PROTOCOL, "KD");
    if (size)
        show_all(&source, tvb, 0, size, KD_FRAMING_KDNET);
}

/* ---- pieces of a byte stream, in records ---- */

/* An item that a record completes: its bytes are held from records before (own), or lie in it. */
struct piece {
    struct kd_item item;
    int offset; /* in the record; -1: `own` holds the bytes */
    guint8 *own;
};

struct chunk {
    wmem_array_t *pieces; /* struct piece */
    int rest;             /* where in the record begins what goes on in the next one */
};

static void add_piece(struct chunk *chunk, const struct kd_item *item, int offset)
{
    struct piece piece = {.item = *item, .offset = offset};
    piece.own = wmem_memdup(wmem_file_scope(), item->raw, item->raw_size);
    piece.item.raw = piece.own;
    if (item->body)
        piece.item.body = piece.own + (item->body - item->raw);
    wmem_array_append_one(chunk->pieces, piece);
}

static struct chunk *split(struct lane *lane, const guint8 *bytes, size_t size)
{
    struct chunk *chunk = wmem_new0(wmem_file_scope(), struct chunk);
    struct kd_item item;
    size_t used = 0;
    gint64 start = -(gint64)lane->held; /* of the next item, from the record's first byte */
    chunk->pieces = wmem_array_new(wmem_file_scope(), sizeof(struct piece));
    if (!lane->stream) {
        lane->stream = wmem_new(wmem_file_scope(), struct kd_stream);
        kd_stream_init(lane->stream, KD_FRAMING_SERIAL);
    }
    do {
        used += kd_stream_feed(lane->stream, bytes + used, size - used, &item);
        if (item.kind != KD_ITEM_NONE) {
            add_piece(chunk, &item, start < 0 ? -1 : (int)start);
            start += (gint64)item.raw_size;
        }
    } while (used < size || item.kind != KD_ITEM_NONE);
    lane->held = (size_t)((gint64)size - start);
    chunk->rest = start < 0 ? 0 : (int)start;
    return chunk;
}

static int dissect_stream(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    (void)data;
    struct source source = {.pinfo = pinfo,
                            .tree = tree,
                            .conversation = conversation_of_record(pinfo),
                            .records = true};
    int size = (int)tvb_captured_length(tvb);
    bool first = pinfo->p2p_dir == P2P_DIR_UNKNOWN
                     ? sent_by(pinfo, &source.conversation->first, source.conversation->first_port)
                     : pinfo->p2p_dir == P2P_DIR_SENT;
    begin_columns(pinfo);
    if (!size)
        return dissect_records(tvb, pinfo, tree, true);
    struct chunk *chunk = p_get_proto_data(wmem_file_scope(), pinfo, proto_kd, KEY_CHUNK);
    if (!chunk && !PINFO_FD_VISITED(pinfo)) {
        chunk = split(&source.conversation->lanes[first], tvb_get_ptr(tvb, 0, size), (size_t)size);
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kd, KEY_CHUNK, chunk);
    }
    if (!chunk)
        return size;
    for (guint i = 0; i < wmem_array_get_count(chunk->pieces); i++) {
        struct piece *piece = wmem_array_index(chunk->pieces, i);
        tvbuff_t *bytes = tvb;
        if (piece->offset < 0) {
            guint length = (guint)piece->item.raw_size;
            bytes = tvb_new_child_real_data(tvb, piece->own, length, (gint)length);
            add_new_data_source(pinfo, bytes, "Reassembled KD packet");
        }
        show_item(&source, bytes, piece->offset < 0 ? 0 : piece->offset, &piece->item);
    }
    if (chunk->rest < size) {
        proto_tree_add_item(tree, link_hf[LINK_FRAGMENT], tvb, chunk->rest, size - chunk->rest,
                            ENC_NA);
        if (!wmem_array_get_count(chunk->pieces))
            col_set_str(pinfo->cinfo, COL_INFO, "part of a packet that goes on");
    }
    return size;
}

/* ---- TCP ---- */

/* How many more bytes the packet that begins in the SIZE bytes at BYTES surely has. */
static guint32 bytes_missing(const guint8 *bytes, size_t size)
{
    struct kd_header header;
    if (size < KD_HEADER_SIZE)
        return DESEGMENT_ONE_MORE_SEGMENT;
    kd_header_get(&header, bytes);
    size_t whole = KD_HEADER_SIZE + (size_t)header.byte_count + 1;
    if (header.leader != KD_LEADER_DATA || header.byte_count > KD_BODY_MAX || whole <= size)
        return DESEGMENT_ONE_MORE_SEGMENT;
    return (guint32)(whole - size);
}

/* Whether a 'b' at the start of these bytes is text, because junk came before it. */
static bool *junk_before(struct kd_conversation *conversation, packet_info *pinfo)
{
    bool first = sent_by(pinfo, &conversation->first, conversation->first_port);
    bool *before = p_get_proto_data(wmem_file_scope(), pinfo, proto_kd, KEY_JUNK);
    if (!before) {
        before = wmem_new(wmem_file_scope(), bool);
        *before = conversation->in_junk[first];
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kd, KEY_JUNK, before);
    }
    return before;
}

static int dissect_tcp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    (void)data;
    struct source source = {
        .pinfo = pinfo, .tree = tree, .conversation = kd_conversation_of(pinfo)};
    bool first = sent_by(pinfo, &source.conversation->first, source.conversation->first_port);
    size_t size = tvb_captured_length(tvb), used = 0, shown = 0;
    const guint8 *bytes = tvb_get_ptr(tvb, 0, (int)size), *junk;
    struct kd_stream *stream = wmem_new(pinfo->pool, struct kd_stream);
    struct kd_item item;
    bool in_junk = *junk_before(source.conversation, pinfo);
    begin_columns(pinfo);
    kd_stream_init(stream, KD_FRAMING_SERIAL);
    kd_stream_after_junk(stream, in_junk);
    do {
        used += kd_stream_feed(stream, bytes + used, size - used, &item);
        if (item.kind != KD_ITEM_NONE) {
            show_item(&source, tvb, (int)shown, &item);
            shown += item.raw_size;
            in_junk = item.kind == KD_ITEM_JUNK;
        }
    } while (used < size || item.kind != KD_ITEM_NONE);
    size_t text = kd_stream_junk(stream, &junk);
    if (text) { /* console text is shown as it comes */
        struct kd_item part = {.kind = KD_ITEM_JUNK, .raw = junk, .raw_size = text};
        show_item(&source, tvb, (int)shown, &part);
        shown += text;
        in_junk = true;
    }
    if (shown < size && pinfo->can_desegment) {
        pinfo->desegment_offset = (int)shown;
        pinfo->desegment_len = bytes_missing(bytes + shown, size - shown);
    } else if (shown < size) {
        show_all(&source, tvb, (int)shown, (int)(size - shown), KD_FRAMING_SERIAL);
    }
    if (!PINFO_FD_VISITED(pinfo))
        source.conversation->in_junk[first] = in_junk;
    return (int)size;
}

/* ---- heuristics ---- */

/* Whether TVB begins as a packet does; *NEED: its size without trailer. Console text never looks
 * like this. */
static bool begins_a_packet(tvbuff_t *tvb, size_t *need)
{
    struct kd_header header;
    guint8 bytes[KD_HEADER_SIZE];
    if (tvb_captured_length(tvb) < KD_HEADER_SIZE)
        return false;
    tvb_memcpy(tvb, bytes, 0, KD_HEADER_SIZE);
    kd_header_get(&header, bytes);
    *need = KD_HEADER_SIZE + header.byte_count;
    if (header.leader == KD_LEADER_CONTROL)
        return header.type >= KD_PACKET_ACKNOWLEDGE && header.type <= KD_PACKET_RESET &&
               header.byte_count == 0 && header.checksum == 0;
    return header.leader == KD_LEADER_DATA && header.type != KD_PACKET_UNUSED &&
           header.type < KD_PACKET_TYPE_MAX && header.byte_count != 0 &&
           header.byte_count <= KD_BODY_MAX;
}

static ws_bool is_kd_tcp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    size_t need;
    if (!begins_a_packet(tvb, &need))
        return FALSE;
    conversation_set_dissector(find_or_create_conversation(pinfo), tcp_handle);
    dissect_tcp(tvb, pinfo, tree, data);
    return TRUE;
}

static int dissect_udp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    (void)data;
    return dissect_records(tvb, pinfo, tree, false);
}

static ws_bool is_kd_udp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    size_t need, size = tvb_reported_length(tvb);
    if (!begins_a_packet(tvb, &need) || (size != need && size != need + 1))
        return FALSE;
    conversation_set_dissector(find_or_create_conversation(pinfo), udp_handle);
    dissect_udp(tvb, pinfo, tree, data);
    return TRUE;
}

/* ---- registration ---- */

#define LINK_DISPLAY(type) ((type) == FT_UINT8 || (type) == FT_UINT32 ? BASE_DEC : BASE_NONE)

static void register_links(void)
{
    static hf_register_info fields[] = {
#define LINK_FIELD(name, filter, title, type, strings)                                             \
    {&link_hf[LINK_##name], {title, filter, type, LINK_DISPLAY(type), strings, 0, NULL, HFILL}},
        LINKS(LINK_FIELD)};
    for (unsigned i = 0; i < LINK_COUNT; i++)
        link_hf[i] = -1;
    proto_register_field_array(proto_kd, fields, (int)G_N_ELEMENTS(fields));
    static int *etts[] = {&ett_kd};
    proto_register_subtree_array(etts, (int)G_N_ELEMENTS(etts));
}

static void register_experts(void)
{
    static ei_register_info experts[] = {
#define EXPERT_FIELD(name, filter, group, severity, text)                                          \
    {&expert_of[EXPERT_##name], {filter, group, severity, text, EXPFILL}},
        EXPERTS(EXPERT_FIELD)};
    for (unsigned i = 0; i < EXPERT_COUNT; i++)
        expert_of[i] = (expert_field)EI_INIT;
    expert_register_field_array(expert_register_protocol(proto_kd), experts,
                                (int)G_N_ELEMENTS(experts));
}

void kd_register(void)
{
    proto_kd = proto_register_protocol("Windows Kernel Debugger", "KD", "kd");
    kd_fields_register();
    register_links();
    register_experts();
    register_init_routine(forget_file);
    register_dissector("kd", dissect_kd, proto_kd);
    register_dissector("kd_stream", dissect_stream, proto_kd);
    tcp_handle = register_dissector("kd_tcp", dissect_tcp, proto_kd);
    udp_handle = register_dissector("kd_udp", dissect_udp, proto_kd);
    export_tap = register_export_pdu_tap("KD (decrypted)");
    kd_taps_register();
    kd_objects_register();
}

void kd_handoff(void)
{
    dissector_add_for_decode_as_with_preference("tcp.port", tcp_handle);
    dissector_add_for_decode_as_with_preference("udp.port", udp_handle);
    heur_dissector_add("tcp", is_kd_tcp, "KD over TCP", "kd_tcp", proto_kd, HEURISTIC_ENABLE);
    heur_dissector_add("udp", is_kd_udp, "KD over UDP, not encrypted", "kd_udp", proto_kd,
                       HEURISTIC_ENABLE);
}
