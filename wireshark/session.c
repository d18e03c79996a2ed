/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What belongs together in a session. Runs once per packet, in the order of the capture.
 *
 *   packet                               | what it does
 *   -------------------------------------+---------------------------------------------------------
 *   ACK with the id of the peer's packet | acknowledges it (bit 0x800 of the id does not count)
 *   RESEND                               | asks for the peer's last packet again
 *   RESET                                | the next packet may be an old one under a new id
 *   data, as the sender's last one       | retransmission: shares all links of the first sending
 *   request                              | pending until a reply with its number comes; an older
 *                                        | pending request of that kind is given up
 *   reply                                | ends the pending request with its number
 *   state change                         | begins a stop; ends the run before it
 *   continue                             | ends the stop; gives up a pending request
 *   load event                           | loads or unloads a module
 *   KdVersion, loader entries, names     | kd_decode_learn
 *
 * A damaged packet takes part in nothing: its numbers cannot be trusted.
 */
#include "kd.h"

#include <string.h>

enum {
    LOAD_PATH_MAX =
        1024, /* bytes of a module's path that are looked at: Windows' longest is shorter */
    MODULE_NAME_MAX = 96, /* what is kept of a module's file name: leaves room for the offset */
    /* How far modules below an address are looked at, two steps for each: that which covers it may
     * have come where many small ones were before. */
    MODULE_STEPS = 128,
};

/* A module that came, or that went. The list only grows, so a packet sees its own past by a count.
 */
struct module_event {
    guint64 base;
    guint64 size; /* 0: from here on, no module is at BASE */
    char name[MODULE_NAME_MAX];
};

/* A sender's last data packet. */
struct sent {
    bool valid, acknowledged, reset_since;
    struct kd_header header;
    guint32 frame;
    struct kd_delivery *delivery;
    struct kd_record *record;
};

struct pending {
    guint16 type; /* packet type; 0 = nothing pending */
    guint32 api;
    struct kd_transaction *transaction;
};

enum {
    /* Requests that may wait at the same time: one per packet type that has replies. */
    PENDING_MAX = 4,
};

struct kd_session {
    guint32 number;
    const struct kd_decode_session *decode;
    GArray *modules;            /* struct module_event */
    GTree *module_order;        /* their struct module_key, by base and then by time */
    const struct kd_past *past; /* of the packet before, or NULL */
    struct sent sent[2];
    struct pending pending[PENDING_MAX];
    struct kd_stop *stop;
    guint16 repeats;
};

struct module_key {
    guint64 base;
    guint32 index; /* in `modules` */
};

static gint compare_keys(gconstpointer a, gconstpointer b)
{
    const struct module_key *one = a, *other = b;
    if (one->base != other->base)
        return one->base < other->base ? -1 : 1;
    return one->index == other->index ? 0 : one->index < other->index ? -1 : 1;
}

static ws_bool free_modules(wmem_allocator_t *allocator, wmem_cb_event_t event, void *of)
{
    struct kd_session *session = of;
    (void)allocator;
    (void)event;
    g_array_free(session->modules, TRUE);
    g_tree_destroy(session->module_order);
    return FALSE;
}

guint32 kd_session_number(const struct kd_session *session)
{
    return session->number;
}

struct kd_session *kd_session_new(guint32 number)
{
    struct kd_session *session = wmem_new0(wmem_file_scope(), struct kd_session);
    session->number = number;
    session->decode = wmem_new0(wmem_file_scope(), struct kd_decode_session);
    session->modules = g_array_new(FALSE, FALSE, sizeof(struct module_event));
    session->module_order = g_tree_new(compare_keys);
    wmem_register_callback(wmem_file_scope(), free_modules, session);
    return session;
}

struct kd_record *kd_session_unknown(packet_info *pinfo, enum kd_direction direction)
{
    static const struct kd_decode_session nothing;
    static const struct kd_past unknown = {.decode = &nothing};
    struct kd_record *record = wmem_new0(pinfo->pool, struct kd_record);
    record->direction = (guint8)direction;
    record->past = &unknown;
    return record;
}

/* ---- records ---- */

/*
 * All records of a file, in the order of the first pass, and so in that of the frames. Wireshark's
 * own list per frame would cost more than the record.
 */
enum {
    PAGE_RECORDS = 1024, /* records that are allocated together; they never move */
};
static wmem_array_t *pages; /* struct kd_record *, PAGE_RECORDS at each */
static guint32 record_count;

void kd_session_forget(void)
{
    pages = NULL; /* the memory went with the file */
    record_count = 0;
}

static struct kd_record *record_at(guint32 index)
{
    struct kd_record **page = wmem_array_index(pages, index / PAGE_RECORDS);
    return *page + index % PAGE_RECORDS;
}

static struct kd_record *new_record(guint32 frame)
{
    if (!pages)
        pages = wmem_array_new(wmem_file_scope(), sizeof(struct kd_record *));
    if (record_count % PAGE_RECORDS == 0) {
        struct kd_record *page =
            wmem_alloc_array(wmem_file_scope(), struct kd_record, PAGE_RECORDS);
        wmem_array_append_one(pages, page);
    }
    struct kd_record *record = record_at(record_count++);
    memset(record, 0, sizeof(*record));
    record->frame = frame;
    return record;
}

struct kd_record *kd_session_find(guint32 frame, guint32 index)
{
    guint32 low = 0, high = record_count;
    while (low < high) { /* the first record of a frame that is not before FRAME */
        guint32 middle = low + (high - low) / 2;
        if (record_at(middle)->frame < frame)
            low = middle + 1;
        else
            high = middle;
    }
    if (index >= record_count - low || record_at(low + index)->frame != frame)
        return NULL;
    return record_at(low + index);
}

/* ---- modules ---- */

static const struct module_event *module_event(const struct kd_session *session, guint32 index)
{
    return &g_array_index(session->modules, struct module_event, index);
}

static void add_event(struct kd_session *session, guint64 base, guint64 size, const char *path,
                      size_t path_size)
{
    struct module_event event = {.base = base, .size = size};
    size_t start = 0, end = 0;
    while (end < path_size && path[end]) {
        if (path[end] == '\\' || path[end] == '/')
            start = end + 1;
        end++;
    }
    for (size_t i = 0; start < end && i < MODULE_NAME_MAX - 1; i++, start++) {
        char c = path[start];
        event.name[i] = c >= 0x20 && c < 0x7F ? c : '?';
    }
    guint count = session->modules->len;
    if (count && !memcmp(module_event(session, count - 1), &event, sizeof(event)))
        return; /* told again */
    g_array_append_val(session->modules, event);
    struct module_key *key = wmem_new(wmem_file_scope(), struct module_key);
    key->base = base;
    key->index = count;
    g_tree_insert(session->module_order, key, key);
}

/* The newest of the first COUNT events of modules at BASE or, if there is none, one of a module
 * below it, however new; NULL: there is none, either. */
static const struct module_event *event_at(const struct kd_session *session, guint64 base,
                                           guint32 count)
{
    const struct module_key key = {.base = base, .index = count};
    GTreeNode *next = g_tree_lower_bound(session->module_order, &key);
    GTreeNode *node = next ? g_tree_node_previous(next) : g_tree_node_last(session->module_order);
    return node ? module_event(session, ((struct module_key *)g_tree_node_key(node))->index) : NULL;
}

/* The module that begins closest below ADDRESS, covers it, and was there after the first COUNT
 * events; or NULL. */
static const struct module_event *module_at(const struct kd_session *session, guint64 address,
                                            guint32 count)
{
    guint64 base = address;
    for (unsigned steps = 0; steps < MODULE_STEPS; steps++) {
        const struct module_event *event = event_at(session, base, count);
        if (!event)
            return NULL;
        if (event->base != base) {
            base = event->base; /* of which the newest is wanted */
            continue;
        }
        if (event->size && address - base < event->size)
            return event;
        if ((base == address && !event->size) || !base)
            return NULL;
        base--;
    }
    return NULL;
}

static void learn_load_event(struct kd_session *session, const struct kd_item *item, guint32 state)
{
    if ((state & ~(guint32)KD_STATE_ALTERNATE) != KD_STATE_LOAD_SYMBOLS ||
        item->body_size < KD_STATE_CHANGE_SIZE)
        return;
    const guint8 *body = item->body;
    guint64 base = KD_GET(body, LoadSymbols, BaseOfDll);
    if (KD_GET(body, LoadSymbols, UnloadSymbols)) {
        add_event(session, base, 0, "", 0);
        return;
    }
    size_t have = item->body_size - KD_STATE_CHANGE_SIZE;
    size_t path = KD_GET(body, LoadSymbols, PathNameLength);
    if (!path || path > have || path > LOAD_PATH_MAX)
        return;
    /* the path is the end of the body, whatever stands before it */
    add_event(session, base, KD_GET(body, LoadSymbols, SizeOfImage),
              (const char *)body + item->body_size - path, path);
}

/* The name of the loader entry that was read before. */
static void learn_entry_name(struct kd_session *session, const struct kd_item *item)
{
    const struct kd_decode_session *decode = session->decode;
    const guint8 *body = item->body;
    if (item->body_size <= KD_MANIPULATE_SIZE || !decode->entry_base)
        return;
    guint64 address = KD_GET(body, ReadMemory, TargetBaseAddress);
    if (!address || (address != decode->full_name && address != decode->base_name))
        return;
    char path[LOAD_PATH_MAX];
    size_t units = (item->body_size - KD_MANIPULATE_SIZE) / 2;
    units = MIN(units, sizeof(path));
    for (size_t i = 0; i < units; i++) {
        guint16 unit = kd_get_u16(body + KD_MANIPULATE_SIZE + 2 * i);
        path[i] = unit < 0x7F ? (char)unit : '?';
    }
    add_event(session, decode->entry_base, decode->entry_size, path, units);
}

size_t kd_session_name_address(const struct kd_record *record, guint64 address, char *name,
                               size_t room)
{
    const struct kd_session *session = record->past->session;
    if (!session)
        return 0;
    guint32 count = MIN(record->past->modules_seen, session->modules->len);
    const struct module_event *module = module_at(session, address, count);
    if (!module)
        return 0;
    int size = address == module->base ? g_snprintf(name, (gulong)room, "%s", module->name)
                                       : g_snprintf(name, (gulong)room, "%s+0x%" PRIx64,
                                                    module->name, address - module->base);
    return size > 0 && (size_t)size < room ? (size_t)size : 0;
}

/* ---- requests and replies ---- */

static struct pending *pending_of(struct kd_session *session, guint16 type)
{
    struct pending *unused = NULL;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        if (session->pending[i].type == type)
            return &session->pending[i];
        if (!session->pending[i].type)
            unused = &session->pending[i];
    }
    return unused;
}

static void give_up(struct pending *pending, struct kd_record *record)
{
    if (!pending || !pending->type)
        return;
    record->unanswered = pending->transaction->request_frame;
    pending->type = 0;
}

static void add_request(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                        const struct kd_item *item, guint32 api)
{
    struct pending *pending = pending_of(session, item->header.type);
    struct kd_transaction *transaction = wmem_new0(wmem_file_scope(), struct kd_transaction);
    transaction->request_frame = pinfo->num;
    transaction->request_time = pinfo->abs_ts;
    record->transaction = transaction;
    give_up(pending, record);
    if (!pending)
        return;
    pending->type = item->header.type;
    pending->api = api;
    pending->transaction = transaction;
}

static void add_reply(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                      const struct kd_item *item, guint32 api)
{
    struct pending *pending = pending_of(session, item->header.type);
    record->is_reply = true;
    if (!pending || pending->type != item->header.type || pending->api != api)
        return;
    pending->type = 0;
    record->transaction = pending->transaction;
    record->transaction->reply_frame = pinfo->num;
    record->transaction->reply_time = pinfo->abs_ts;
}

/* ---- stops ---- */

static void begin_stop(struct kd_session *session, packet_info *pinfo, struct kd_record *record)
{
    struct kd_stop *before = session->stop;
    session->stop = wmem_new0(wmem_file_scope(), struct kd_stop);
    if (before && before->go_frame && !before->next_frame) {
        before->next_frame = pinfo->num;
        before->next_time = pinfo->abs_ts;
        session->stop->before = before;
    }
    session->stop->stop_frame = pinfo->num;
    session->stop->stop_time = pinfo->abs_ts;
    record->stop = session->stop;
}

static void end_stop(struct kd_session *session, packet_info *pinfo, struct kd_record *record)
{
    give_up(pending_of(session, KD_PACKET_STATE_MANIPULATE), record);
    if (!session->stop) { /* the capture began inside a stop */
        session->stop = wmem_new0(wmem_file_scope(), struct kd_stop);
    }
    if (!session->stop->go_frame) {
        session->stop->go_frame = pinfo->num;
        session->stop->go_time = pinfo->abs_ts;
    }
    record->stop = session->stop;
}

/* ---- packets ---- */

static void count_repeat(struct kd_session *session, struct kd_record *record)
{
    if (session->repeats < G_MAXUINT16)
        session->repeats++;
    record->repeats = session->repeats;
}

static unsigned sender_of(enum kd_direction direction)
{
    return direction == KD_TO_TARGET ? 0 : 1;
}

static void add_control(struct kd_session *session, struct kd_record *record,
                        const struct kd_item *item, enum kd_direction direction)
{
    struct sent *peer = &session->sent[!sender_of(direction)];
    guint32 id = item->header.id;
    switch (item->header.type) {
    case KD_PACKET_ACKNOWLEDGE:
        if (peer->valid && ((id ^ peer->header.id) & ~KD_ID_SYNC) == 0)
            record->delivery = peer->delivery;
        break;
    case KD_PACKET_RESEND:
        count_repeat(session, record);
        if (peer->valid && !peer->acknowledged)
            record->resend_of = peer->frame;
        break;
    case KD_PACKET_RESET:
        for (unsigned i = 0; i < 2; i++)
            session->sent[i].reset_since = true;
        break;
    default:
        break;
    }
}

static void acknowledge(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                        enum kd_direction direction)
{
    session->repeats = 0;
    session->sent[!sender_of(direction)].acknowledged = true;
    if (!record->delivery->ack_frame)
        record->delivery->ack_frame = pinfo->num;
}

static bool is_retransmission(const struct sent *last, const struct kd_header *header)
{
    bool same = last->valid && last->header.type == header->type &&
                last->header.byte_count == header->byte_count &&
                last->header.checksum == header->checksum;
    /* On a byte stream ids alternate between two: an equal id is not enough. After a RESET the
     * packet that was not acknowledged comes again under the first id. */
    return same && (last->header.id == header->id || (last->reset_since && !last->acknowledged));
}

static void retransmit(struct kd_session *session, struct sent *last, struct kd_record *record,
                       const struct kd_item *item)
{
    record->retransmission_of = last->frame;
    record->transaction = last->record->transaction;
    record->is_reply = last->record->is_reply;
    record->delivery = last->delivery;
    record->stop = last->record->stop;
    count_repeat(session, record);
    last->header.id = item->header.id;
    last->reset_since = false;
}

static void add_data(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                     const struct kd_item *item, const struct kd_message *message)
{
    struct sent *last = &session->sent[sender_of((enum kd_direction)record->direction)];
    if (is_retransmission(last, &item->header)) {
        retransmit(session, last, record, item);
        return;
    }
    session->repeats = 0;
    record->delivery = &record->own_delivery;
    record->delivery->data_frame = pinfo->num;
    *last = (struct sent){.valid = true,
                          .header = item->header,
                          .frame = pinfo->num,
                          .delivery = record->delivery,
                          .record = record};

    if (message->reply)
        add_reply(session, pinfo, record, item, message->api);
    else if (message->has_reply)
        add_request(session, pinfo, record, item, message->api);
    if (item->header.type == KD_PACKET_STATE_CHANGE64) {
        begin_stop(session, pinfo, record);
        learn_load_event(session, item, message->api);
    } else if (item->header.type == KD_PACKET_STATE_MANIPULATE &&
               record->direction == KD_TO_TARGET &&
               (message->api == KD_API_Continue || message->api == KD_API_Continue2)) {
        end_stop(session, pinfo, record);
    } else if (message->reply && message->api == KD_API_ReadVirtualMemory) {
        learn_entry_name(session, item);
    }
}

static void learn(struct kd_session *session, enum kd_direction direction,
                  const struct kd_item *item)
{
    struct kd_decode_session decode = *session->decode;
    kd_decode_learn(&decode, direction, item);
    /* padding that differs costs a copy, no more */
    if (memcmp((const guint8 *)&decode, (const guint8 *)session->decode, sizeof(decode)) != 0)
        session->decode = wmem_memdup(wmem_file_scope(), &decode, sizeof(decode));
}

static const struct kd_past *new_past(struct kd_session *session,
                                      const struct kd_decode_session *decode, guint32 modules_seen)
{
    struct kd_past *past = wmem_new(wmem_file_scope(), struct kd_past);
    past->session = session;
    past->decode = decode;
    past->modules_seen = modules_seen;
    return past;
}

static const struct kd_past *past_of(struct kd_session *session)
{
    const struct kd_past *past = session->past;
    if (!past || past->decode != session->decode || past->modules_seen != session->modules->len)
        session->past = past = new_past(session, session->decode, session->modules->len);
    return past;
}

struct kd_record *kd_session_add(struct kd_session *session, packet_info *pinfo,
                                 enum kd_direction direction, const struct kd_item *item,
                                 const struct kd_message *message)
{
    struct kd_record *record = new_record(pinfo->num);
    record->direction = (guint8)direction;
    record->past = past_of(session);
    if (item->kind == KD_ITEM_PACKET && !item->faults && item->raw_size >= KD_HEADER_SIZE) {
        if (item->header.leader == KD_LEADER_CONTROL)
            add_control(session, record, item, direction);
        else
            add_data(session, pinfo, record, item, message);
        if (item->header.type == KD_PACKET_ACKNOWLEDGE && record->delivery)
            acknowledge(session, pinfo, record, direction);
        if (message->reply || item->header.type == KD_PACKET_STATE_CHANGE64)
            learn(session, direction, item); /* nothing else teaches anything */
    }
    /* a load event names its own addresses; so does an unload event, by what was there before */
    guint count = session->modules->len;
    if (count > record->past->modules_seen && module_event(session, count - 1)->size)
        record->past = new_past(session, record->past->decode, count);
    return record;
}
