/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statistics, conversations, follow-stream; what of a packet goes into exported PDUs. */
#include "kd.h"

#include <string.h>

static int tap, follow_tap, objects_tap;

/* ---- the statistics -z kd,stats ---- */

/*
 * One row per message, in the order of their first appearance, behind two about the session: how
 * long the target was stopped. Sums live in the cells' user_data:
 *
 *   column    | value                      | user_data
 *   ----------+----------------------------+---------------------------------------------------
 *   message   | name                       |
 *   packets   | packets                    |
 *   bytes     | of KD packets, with header |
 *   answered  | replies, or ended stops    |
 *   min ms    |                            |
 *   avg ms    |                            | sum of ms
 *   max ms    |                            | "stopped": when the stop that is not over began, ms
 *             |                            | since the capture began; below 0 = it runs
 *   slowest   | frame of the slowest reply |
 *   total s   | sum of all                 | "stopped": time of the first packet, ms
 *   share %   | of the capture's time      |
 */
enum column {
    COLUMN_MESSAGE,
    COLUMN_PACKETS,
    COLUMN_BYTES,
    COLUMN_ANSWERED,
    COLUMN_MIN,
    COLUMN_AVERAGE,
    COLUMN_MAX,
    COLUMN_SLOWEST,
    COLUMN_TOTAL,
    COLUMN_SHARE,
    COLUMN_COUNT
};

static stat_tap_table_item columns[COLUMN_COUNT] = {
    {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "Message", "%-32s"},
    {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Packets", "%8u"},
    {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Bytes", "%10u"},
    {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Answered", "%8u"},
    {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Min ms", "%11.3f"},
    {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Avg ms", "%11.3f"},
    {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Max ms", "%11.3f"},
    {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Slowest in", "%8u"},
    {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Total s", "%9.3f"},
    {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Share %", "%6.2f"},
};

static const char title[] = "KD messages, response times and stops";
static const char stopped_name[] = "(target stopped)", running_name[] = "(target running)";

static stat_tap_table_item_type *cell(stat_tap_table *table, guint row, enum column column)
{
    return stat_tap_get_field_data(table, row, column);
}

static guint new_row(stat_tap_table *table, guint row, const char *name)
{
    stat_tap_table_item_type items[COLUMN_COUNT];
    memset(items, 0, sizeof(items));
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        items[i].type = columns[i].type;
    items[COLUMN_MESSAGE].value.string_value = name;
    stat_tap_init_table_row(table, row, COLUMN_COUNT, items);
    return row;
}

/* Names are static texts of the protocol's tables. */
static guint row_of(stat_tap_table *table, const char *name)
{
    guint row = 0;
    for (; row < table->num_elements; row++) {
        const stat_tap_table_item_type *first = cell(table, row, COLUMN_MESSAGE);
        if (first->type == TABLE_ITEM_NONE)
            break;
        if (!strcmp(first->value.string_value, name))
            return row;
    }
    return new_row(table, row, name);
}

static void reset_table(stat_tap_table *table)
{
    for (guint row = 0; row < table->num_elements; row++) {
        const stat_tap_table_item_type *first = cell(table, row, COLUMN_MESSAGE);
        if (first->type != TABLE_ITEM_NONE)
            new_row(table, row, first->value.string_value);
    }
    if (table->num_elements)
        cell(table, row_of(table, stopped_name), COLUMN_MAX)->user_data.float_value = -1;
}

static void init_stats(stat_tap_table_ui *ui)
{
    stat_tap_table *table = stat_tap_find_table(ui, title);
    if (table) {
        reset_table(table);
        return;
    }
    table = stat_tap_init_table(title, COLUMN_COUNT, 0, NULL);
    stat_tap_add_table(ui, table);
    new_row(table, 0, stopped_name);
    new_row(table, 1, running_name);
    reset_table(table);
}

/* One more time span of MS that ended in FRAME; SPAN is the capture's time so far. */
static void add_span(stat_tap_table *table, guint row, double ms, guint32 frame)
{
    guint count = ++cell(table, row, COLUMN_ANSWERED)->value.uint_value;
    stat_tap_table_item_type *min = cell(table, row, COLUMN_MIN);
    stat_tap_table_item_type *max = cell(table, row, COLUMN_MAX);
    stat_tap_table_item_type *average = cell(table, row, COLUMN_AVERAGE);
    average->user_data.float_value += ms;
    average->value.float_value = average->user_data.float_value / count;
    cell(table, row, COLUMN_TOTAL)->value.float_value = average->user_data.float_value / 1000;
    if (count == 1 || ms < min->value.float_value)
        min->value.float_value = ms;
    if (count > 1 && ms <= max->value.float_value)
        return;
    max->value.float_value = ms;
    cell(table, row, COLUMN_SLOWEST)->value.uint_value = frame;
}

static double milliseconds(const nstime_t *from, const nstime_t *to)
{
    nstime_t delta;
    nstime_delta(&delta, to, from);
    return nstime_to_msec(&delta);
}

static void count_stop(stat_tap_table *table, packet_info *pinfo, const struct kd_record *record,
                       double now)
{
    guint row = row_of(table, stopped_name);
    stat_tap_table_item_type *open = cell(table, row, COLUMN_MAX);
    const struct kd_stop *stop = kd_record_stop(record);
    if (!stop || kd_record_rarity(record)->retransmission_of)
        return;
    if (stop->stop_frame == pinfo->num) {
        cell(table, row, COLUMN_PACKETS)->value.uint_value++;
        if (open->user_data.float_value < 0)
            open->user_data.float_value = now;
        if (stop->before)
            add_span(table, row_of(table, running_name),
                     milliseconds(&stop->before->go_time, &stop->before->next_time), pinfo->num);
    } else if (stop->go_frame == pinfo->num && open->user_data.float_value >= 0) {
        add_span(table, row, now - open->user_data.float_value, pinfo->num);
        open->user_data.float_value = -1;
    }
}

/* Shares change with every packet: the time grows. */
static void count_shares(stat_tap_table *table, double now)
{
    guint row = row_of(table, stopped_name);
    stat_tap_table_item_type *total = cell(table, row, COLUMN_TOTAL);
    double begun = cell(table, row, COLUMN_MAX)->user_data.float_value;
    double first = total->user_data.float_value, span = now - first;
    double stopped = cell(table, row, COLUMN_AVERAGE)->user_data.float_value;
    if (begun >= 0)
        stopped += now - begun;
    total->value.float_value = stopped / 1000;
    if (span <= 0)
        return;
    cell(table, row, COLUMN_SHARE)->value.float_value = 100 * stopped / span;
    guint running = row_of(table, running_name);
    cell(table, running, COLUMN_TOTAL)->value.float_value = (span - stopped) / 1000;
    cell(table, running, COLUMN_SHARE)->value.float_value = 100 - 100 * stopped / span;
}

static const char *row_name(const struct kd_tap *given)
{
    switch (given->item->kind) {
    case KD_ITEM_BREAK_IN:
        return "(break-in)";
    case KD_ITEM_JUNK:
        return "(bytes of no packet)";
    default:
        if (given->item->faults)
            return "(damaged packets)";
        return given->message.name ? given->message.name : "(unknown)";
    }
}

static tap_packet_status stats_packet(void *data, packet_info *pinfo, epan_dissect_t *edt,
                                      const void *tapped, tap_flags_t flags)
{
    stat_data_t *stat = data;
    const struct kd_tap *given = tapped;
    stat_tap_table *table = g_array_index(stat->stat_tap_data->tables, stat_tap_table *, 0);
    guint32 request_frame;
    nstime_t time;
    double now = nstime_to_msec(&pinfo->rel_ts);
    (void)edt;
    (void)flags;
    guint row = row_of(table, row_name(given));
    cell(table, row, COLUMN_PACKETS)->value.uint_value++;
    cell(table, row, COLUMN_BYTES)->value.uint_value += (guint)given->item->raw_size;
    if (!kd_record_rarity(given->record)->retransmission_of &&
        kd_record_response(given->record, &request_frame, &time))
        add_span(table, row, nstime_to_msec(&time), pinfo->num);
    stat_tap_table_item_type *first = cell(table, row_of(table, stopped_name), COLUMN_TOTAL);
    if (first->user_data.float_value == 0)
        first->user_data.float_value = now;
    count_stop(table, pinfo, given->record, now);
    count_shares(table, now);
    return TAP_PACKET_REDRAW;
}

static void register_stats(void)
{
    static stat_tap_table_ui ui = {
        .group = REGISTER_STAT_GROUP_RESPONSE_TIME,
        .title = title,
        .tap_name = "kd",
        .cli_string = "kd,stats",
        .stat_tap_init_cb = init_stats,
        .packet_func = stats_packet,
        .stat_tap_reset_table_cb = reset_table,
        .nfields = COLUMN_COUNT,
        .fields = columns,
    };
    register_stat_tap_table_ui(&ui);
}

/* ---- conversations ---- */

static const char *no_filter_conversation(conv_item_t *item, conv_filter_type_e type)
{
    (void)item;
    (void)type;
    return CONV_FILTER_INVALID;
}

static const char *no_filter_endpoint(endpoint_item_t *item, conv_filter_type_e type)
{
    (void)item;
    (void)type;
    return CONV_FILTER_INVALID;
}

/* Records without addresses: the two ends by name. */
static void ends_of(const packet_info *pinfo, const struct kd_record *record, address ends[2])
{
    static const char debugger[] = "debugger", target[] = "target";
    bool down = kd_record_direction(record) == KD_TO_TARGET;
    copy_address_shallow(&ends[0], &pinfo->src);
    copy_address_shallow(&ends[1], &pinfo->dst);
    if (pinfo->src.type != AT_NONE)
        return;
    set_address(&ends[!down], AT_STRINGZ, sizeof(debugger), debugger);
    set_address(&ends[down], AT_STRINGZ, sizeof(target), target);
}

static tap_packet_status conversation_packet(void *data, packet_info *pinfo, epan_dissect_t *edt,
                                             const void *tapped, tap_flags_t flags)
{
    static ct_dissector_info_t info = {no_filter_conversation};
    const struct kd_tap *given = tapped;
    conv_hash_t *hash = data;
    address ends[2];
    (void)edt;
    hash->flags = flags;
    ends_of(pinfo, given->record, ends);
    add_conversation_table_data(hash, &ends[0], &ends[1], pinfo->srcport, pinfo->destport, 1,
                                (int)given->item->raw_size, &pinfo->rel_ts, &pinfo->abs_ts, &info,
                                CONVERSATION_UDP);
    return TAP_PACKET_REDRAW;
}

static tap_packet_status endpoint_packet(void *data, packet_info *pinfo, epan_dissect_t *edt,
                                         const void *tapped, tap_flags_t flags)
{
    static et_dissector_info_t info = {no_filter_endpoint};
    const struct kd_tap *given = tapped;
    conv_hash_t *hash = data;
    address ends[2];
    int size = (int)given->item->raw_size;
    (void)edt;
    hash->flags = flags;
    ends_of(pinfo, given->record, ends);
    add_endpoint_table_data(hash, &ends[0], pinfo->srcport, TRUE, 1, size, &info, ENDPOINT_UDP);
    add_endpoint_table_data(hash, &ends[1], pinfo->destport, FALSE, 1, size, &info, ENDPOINT_UDP);
    return TAP_PACKET_REDRAW;
}

/* ---- follow: what the target prints, and what is typed at its prompts ---- */

static gchar *filter_by_stream(guint stream)
{
    return g_strdup_printf("kd.stream eq %u", stream);
}

static gchar *conversation_filter(epan_dissect_t *edt, packet_info *pinfo, guint *stream,
                                  guint *sub_stream)
{
    (void)edt;
    *sub_stream = 0;
    return kd_stream_number(pinfo, stream) ? filter_by_stream(*stream) : NULL;
}

static gchar *index_filter(guint stream, guint sub_stream)
{
    (void)sub_stream;
    return filter_by_stream(stream);
}

static gchar *address_filter(address *source, address *destination, int source_port,
                             int destination_port)
{
    (void)source;
    (void)destination;
    (void)source_port;
    (void)destination_port;
    return NULL; /* sessions are found by their number alone */
}

static gchar *port_name(wmem_allocator_t *allocator, guint port)
{
    return wmem_strdup_printf(allocator, "%u", port);
}

static void register_follow(void)
{
    follow_tap = register_tap("kd_follow");
#if WIRESHARK_AT_LEAST(4, 4)
    register_follow_stream(proto_kd, "kd_follow", conversation_filter, index_filter, address_filter,
                           port_name, follow_tvb_tap_listener, kd_stream_count, NULL);
#else
    register_follow_stream(proto_kd, "kd_follow", conversation_filter, index_filter, address_filter,
                           port_name, follow_tvb_tap_listener);
#endif
}

static void give_text(packet_info *pinfo, tvbuff_t *tvb, const struct kd_record *record,
                      const struct kd_item *item)
{
    if (item->kind != KD_ITEM_PACKET || item->faults ||
        kd_record_rarity(record)->retransmission_of || item->header.type != KD_PACKET_DEBUG_IO ||
        item->body_size <= KD_DEBUG_IO_SIZE)
        return;
    tap_queue_packet(follow_tap, pinfo,
                     tvb_new_subset_length(tvb, KD_HEADER_SIZE + KD_DEBUG_IO_SIZE,
                                           (int)item->body_size - KD_DEBUG_IO_SIZE));
}

/* ---- for all ---- */

bool kd_taps_wanted(void)
{
    return have_tap_listener(tap) || have_tap_listener(objects_tap) ||
           have_tap_listener(follow_tap);
}

void kd_taps_give(packet_info *pinfo, tvbuff_t *tvb, const struct kd_record *record,
                  const struct kd_item *item, const struct kd_message *message)
{
    give_text(pinfo, tvb, record, item);
    struct kd_tap *given = wmem_new0(pinfo->pool, struct kd_tap);
    struct kd_item *copy = wmem_memdup(pinfo->pool, item, sizeof(*item));
    /* taps run when the stream that lent the bytes is gone */
    copy->raw = tvb_get_ptr(tvb, 0, (int)item->raw_size);
    copy->body = item->body ? copy->raw + (item->body - item->raw) : NULL;
    given->item = copy;
    given->record = record;
    given->message = *message;
    tap_queue_packet(tap, pinfo, given);
    tap_queue_packet(objects_tap, pinfo, given);
}

int kd_export_direction_size(packet_info *pinfo, void *data)
{
    (void)pinfo;
    (void)data;
    return 4 + 4; /* tag, length, value */
}

static void put_big_endian(guint8 *out, size_t size, guint32 value)
{
    for (size_t i = size; i-- > 0; value >>= 8)
        out[i] = (guint8)value;
}

int kd_export_direction(packet_info *pinfo, void *data, guint8 *out, guint32 room)
{
    const enum kd_direction *direction = data;
    (void)pinfo;
    if (room < 8)
        return 0;
    put_big_endian(out, 2, EXP_PDU_TAG_P2P_DIRECTION);
    put_big_endian(out + 2, 2, 4);
    put_big_endian(out + 4, 4, *direction == KD_TO_TARGET ? P2P_DIR_SENT : P2P_DIR_RECV);
    return 8;
}

void kd_taps_register(void)
{
    tap = register_tap("kd");
    objects_tap = register_tap("kd_eo"); /* the name that export objects listen to */
    register_stats();
    register_follow();
    register_conversation_table(proto_kd, FALSE, conversation_packet, endpoint_packet);
}
