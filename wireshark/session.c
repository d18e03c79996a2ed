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
    struct kd_record *record; /* NULL: it sent none */
    bool acknowledged, reset_since;
    struct kd_header header;
};

struct pending {
    guint16 type; /* packet type; 0 = nothing pending */
    guint32 api;
    struct kd_record *record; /* of the request */
    nstime_t time;
};

enum {
    /* Requests that may wait at the same time: one per packet type that has replies. */
    PENDING_MAX = 4,
};

struct kd_session {
    guint32 number;
    const struct kd_decode_session *decode;
    GArray *modules;     /* struct module_event */
    GTree *module_order; /* their struct module_key, by base and then by time */
    guint32 past;        /* of the packet before; 0 = it is the first */
    struct sent sent[2];
    struct pending pending[PENDING_MAX];
    guint32 stop; /* the last one */
    guint32 repeats;
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

/* ---- pools ---- */

/*
 * Items of one size that never move. A file has many, and what it costs to keep them is mostly the
 * memory that is touched: pages of items need no allocator's header for each, and a number of 32
 * bits says which item is meant. Numbers begin at 1; 0 = none.
 */
struct pool {
    size_t item_size;
    guint32 count;
    wmem_array_t *pages; /* guint8 *, PAGE_ITEMS items at each */
};

enum {
    PAGE_ITEMS = 256, /* records: 4 KiB */
};

/* What a reply answers, and the time between; no nstime_t, which would take half as much again. */
struct response {
    guint32 request_frame;
    gint32 nanoseconds;
    gint64 seconds;
};

/*
 * What is known of a packet. There is one for each of a file, so its size counts:
 *
 *   role     | link
 *   ---------+----------------------------------------------
 *   request  | frame of the reply, or 0
 *   reply    | number of its struct response, or 0
 *   stop     | number of its struct kd_stop
 *
 * A retransmission has none of its own: that of its first sending counts, also when it comes later.
 */
struct kd_record {
    guint32 frame;
    guint32 link;
    /* Frame of a data packet's ACK, or of the data packet that an ACK is for. Of a rare record: the
     * number of its struct kd_rarity, where that frame is then. */
    guint32 delivery;
    guint32 past : 27;     /* number of its struct kd_past */
    guint32 direction : 2; /* enum kd_direction */
    guint32 role : 2;      /* enum kd_role */
    guint32 rare : 1;
};

enum {
    PASTS_MAX = (1 << 27) - 1, /* what `past` has bits for */
};

/* Of this file. Records are in the order of the first pass, and so in that of the frames:
 * Wireshark's own list per frame would cost more than the record. */
static struct pool records = {.item_size = sizeof(struct kd_record)};
static struct pool responses = {.item_size = sizeof(struct response)};
static struct pool stops = {.item_size = sizeof(struct kd_stop)};
static struct pool pasts = {.item_size = sizeof(struct kd_past)};
static struct pool rarities = {.item_size = sizeof(struct kd_rarity)};

void kd_session_forget(void)
{
    static struct pool *const pools[] = {&records, &responses, &stops, &pasts, &rarities};
    for (unsigned i = 0; i < G_N_ELEMENTS(pools); i++) {
        pools[i]->count = 0;
        pools[i]->pages = NULL; /* the memory went with the file */
    }
}

static void *item_at(const struct pool *pool, guint32 number)
{
    guint32 index = number - 1;
    guint8 **page = wmem_array_index(pool->pages, index / PAGE_ITEMS);
    return *page + index % PAGE_ITEMS * pool->item_size;
}

/* A new item, all zeros; its number is the pool's count. */
static void *new_item(struct pool *pool)
{
    if (!pool->pages)
        pool->pages = wmem_array_new(wmem_file_scope(), sizeof(guint8 *));
    if (pool->count % PAGE_ITEMS == 0) {
        guint8 *page = wmem_alloc0(wmem_file_scope(), PAGE_ITEMS * pool->item_size);
        wmem_array_append_one(pool->pages, page);
    }
    return item_at(pool, ++pool->count);
}

/* ---- records ---- */

struct kd_record *kd_session_unknown(packet_info *pinfo, enum kd_direction direction)
{
    struct kd_record *record = wmem_new0(pinfo->pool, struct kd_record);
    record->direction = direction;
    return record;
}

struct kd_record *kd_session_find(guint32 frame, guint32 index)
{
    guint32 low = 1, high = records.count + 1;
    while (low < high) { /* the first record of a frame that is not before FRAME */
        guint32 middle = low + (high - low) / 2;
        const struct kd_record *record = item_at(&records, middle);
        if (record->frame < frame)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > records.count || index > records.count - low)
        return NULL;
    struct kd_record *record = item_at(&records, low + index);
    return record->frame == frame ? record : NULL;
}

enum kd_direction kd_record_direction(const struct kd_record *record)
{
    return (enum kd_direction)record->direction;
}

const struct kd_past *kd_record_past(const struct kd_record *record)
{
    static const struct kd_decode_session nothing;
    static const struct kd_past unknown = {.decode = &nothing};
    return record->past ? item_at(&pasts, record->past) : &unknown;
}

static struct kd_rarity *rarity_of(const struct kd_record *rare)
{
    return item_at(&rarities, rare->delivery);
}

const struct kd_rarity *kd_record_rarity(const struct kd_record *record)
{
    static const struct kd_rarity none;
    return record->rare ? rarity_of(record) : &none;
}

static struct kd_rarity *make_rare(struct kd_record *record)
{
    if (!record->rare) {
        struct kd_rarity *rarity = new_item(&rarities);
        rarity->delivery = record->delivery;
        record->delivery = rarities.count;
        record->rare = true;
    }
    return rarity_of(record);
}

/* RECORD, or the first sending of what it is a retransmission of. */
static const struct kd_record *first_sending(const struct kd_record *record)
{
    const struct kd_rarity *rarity = kd_record_rarity(record);
    return rarity->first ? rarity->first : record;
}

enum kd_role kd_record_role(const struct kd_record *record)
{
    return (enum kd_role)first_sending(record)->role;
}

guint32 kd_record_reply_frame(const struct kd_record *record)
{
    const struct kd_record *first = first_sending(record);
    return first->role == KD_ROLE_REQUEST ? first->link : 0;
}

bool kd_record_response(const struct kd_record *record, guint32 *request_frame, nstime_t *time)
{
    const struct kd_record *first = first_sending(record);
    if (first->role != KD_ROLE_REPLY || !first->link)
        return false;
    const struct response *response = item_at(&responses, first->link);
    *request_frame = response->request_frame;
    *time = (nstime_t){.secs = response->seconds, .nsecs = response->nanoseconds};
    return true;
}

const struct kd_stop *kd_record_stop(const struct kd_record *record)
{
    const struct kd_record *first = first_sending(record);
    return first->role == KD_ROLE_STOP ? item_at(&stops, first->link) : NULL;
}

guint32 kd_record_delivery_frame(const struct kd_record *record)
{
    const struct kd_record *first = first_sending(record);
    return first->rare ? rarity_of(first)->delivery : first->delivery;
}

static void set_delivery(struct kd_record *record, guint32 frame)
{
    *(record->rare ? &rarity_of(record)->delivery : &record->delivery) = frame;
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
    const struct kd_past *past = kd_record_past(record);
    const struct kd_session *session = past->session;
    if (!session)
        return 0;
    guint32 count = MIN(past->modules_seen, session->modules->len);
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
    make_rare(record)->unanswered = pending->record->frame;
    pending->type = 0;
}

static void add_request(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                        const struct kd_item *item, guint32 api)
{
    struct pending *pending = pending_of(session, item->header.type);
    record->role = KD_ROLE_REQUEST;
    give_up(pending, record);
    if (!pending)
        return;
    pending->type = item->header.type;
    pending->api = api;
    pending->record = record;
    pending->time = pinfo->abs_ts;
}

static void add_reply(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                      const struct kd_item *item, guint32 api)
{
    struct pending *pending = pending_of(session, item->header.type);
    record->role = KD_ROLE_REPLY;
    if (!pending || pending->type != item->header.type || pending->api != api)
        return;
    nstime_t time;
    nstime_delta(&time, &pinfo->abs_ts, &pending->time);
    struct response *response = new_item(&responses);
    response->request_frame = pending->record->frame;
    response->seconds = time.secs;
    response->nanoseconds = time.nsecs;
    record->link = responses.count;
    pending->record->link = record->frame;
    pending->type = 0;
}

/* ---- stops ---- */

static struct kd_stop *new_stop(struct kd_session *session)
{
    struct kd_stop *stop = new_item(&stops);
    session->stop = stops.count;
    return stop;
}

static void link_stop(struct kd_session *session, struct kd_record *record)
{
    record->role = KD_ROLE_STOP;
    record->link = session->stop;
}

static void begin_stop(struct kd_session *session, packet_info *pinfo, struct kd_record *record)
{
    struct kd_stop *before = session->stop ? item_at(&stops, session->stop) : NULL;
    struct kd_stop *stop = new_stop(session);
    if (before && before->go_frame && !before->next_frame) {
        before->next_frame = pinfo->num;
        before->next_time = pinfo->abs_ts;
        stop->before = before;
    }
    stop->stop_frame = pinfo->num;
    stop->stop_time = pinfo->abs_ts;
    link_stop(session, record);
}

static void end_stop(struct kd_session *session, packet_info *pinfo, struct kd_record *record)
{
    give_up(pending_of(session, KD_PACKET_STATE_MANIPULATE), record);
    /* there is none where the capture began inside a stop */
    struct kd_stop *stop = session->stop ? item_at(&stops, session->stop) : new_stop(session);
    if (!stop->go_frame) {
        stop->go_frame = pinfo->num;
        stop->go_time = pinfo->abs_ts;
    }
    link_stop(session, record);
}

/* ---- packets ---- */

static void count_repeat(struct kd_session *session, struct kd_record *record)
{
    make_rare(record)->repeats = ++session->repeats;
}

static unsigned sender_of(enum kd_direction direction)
{
    return direction == KD_TO_TARGET ? 0 : 1;
}

static void acknowledge(struct kd_session *session, struct kd_record *record, struct sent *sent)
{
    session->repeats = 0;
    sent->acknowledged = true;
    record->delivery = sent->record->frame;
    if (!kd_record_delivery_frame(sent->record))
        set_delivery(sent->record, record->frame);
}

static void add_control(struct kd_session *session, struct kd_record *record,
                        const struct kd_item *item, enum kd_direction direction)
{
    struct sent *peer = &session->sent[!sender_of(direction)];
    guint32 id = item->header.id;
    switch (item->header.type) {
    case KD_PACKET_ACKNOWLEDGE:
        if (peer->record && ((id ^ peer->header.id) & ~KD_ID_SYNC) == 0)
            acknowledge(session, record, peer);
        break;
    case KD_PACKET_RESEND:
        count_repeat(session, record);
        if (peer->record && !peer->acknowledged)
            make_rare(record)->resend_of = peer->record->frame;
        break;
    case KD_PACKET_RESET:
        for (unsigned i = 0; i < 2; i++)
            session->sent[i].reset_since = true;
        break;
    default:
        break;
    }
}

static bool is_retransmission(const struct sent *last, const struct kd_header *header)
{
    bool same = last->record && last->header.type == header->type &&
                last->header.byte_count == header->byte_count &&
                last->header.checksum == header->checksum;
    /* On a byte stream ids alternate between two: an equal id is not enough. After a RESET the
     * packet that was not acknowledged comes again under the first id. */
    return same && (last->header.id == header->id || (last->reset_since && !last->acknowledged));
}

static void retransmit(struct kd_session *session, struct sent *last, struct kd_record *record,
                       const struct kd_item *item)
{
    struct kd_rarity *rarity = make_rare(record);
    rarity->first = last->record;
    rarity->retransmission_of = last->record->frame;
    count_repeat(session, record);
    last->header.id = item->header.id;
    last->reset_since = false;
}

static void add_data(struct kd_session *session, packet_info *pinfo, struct kd_record *record,
                     const struct kd_item *item, const struct kd_message *message)
{
    struct sent *last = &session->sent[sender_of(kd_record_direction(record))];
    if (is_retransmission(last, &item->header)) {
        retransmit(session, last, record, item);
        return;
    }
    session->repeats = 0;
    *last = (struct sent){.record = record, .header = item->header};

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

static guint32 new_past(struct kd_session *session, const struct kd_decode_session *decode,
                        guint32 modules_seen)
{
    if (pasts.count == PASTS_MAX)
        return session->past;
    struct kd_past *past = new_item(&pasts);
    past->session = session;
    past->decode = decode;
    past->modules_seen = modules_seen;
    return pasts.count;
}

static guint32 past_of(struct kd_session *session)
{
    const struct kd_past *past = session->past ? item_at(&pasts, session->past) : NULL;
    if (!past || past->decode != session->decode || past->modules_seen != session->modules->len)
        session->past = new_past(session, session->decode, session->modules->len);
    return session->past;
}

struct kd_record *kd_session_add(struct kd_session *session, packet_info *pinfo,
                                 enum kd_direction direction, const struct kd_item *item,
                                 const struct kd_message *message)
{
    struct kd_record *record = new_item(&records);
    const struct kd_decode_session *decode = session->decode;
    guint modules_seen = session->modules->len;
    record->frame = pinfo->num;
    record->direction = direction;
    record->past = past_of(session);
    if (item->kind == KD_ITEM_PACKET && !item->faults && item->raw_size >= KD_HEADER_SIZE) {
        if (item->header.leader == KD_LEADER_CONTROL)
            add_control(session, record, item, direction);
        else
            add_data(session, pinfo, record, item, message);
        if (message->reply || item->header.type == KD_PACKET_STATE_CHANGE64)
            learn(session, direction, item); /* nothing else teaches anything */
    }
    /* a load event names its own addresses; so does an unload event, by what was there before */
    guint count = session->modules->len;
    if (count > modules_seen && module_event(session, count - 1)->size)
        record->past = new_past(session, decode, count);
    return record;
}
