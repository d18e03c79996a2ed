/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol's description as Wireshark fields. Each field of include/kdwire/fields.h becomes
 * kd.STRUCTURE.FIELD, both in small letters; each name of a FLAGS field a boolean below it. The
 * bytes that belong to no field have fields of their own, in OTHERS below.
 */
#include "kd.h"

#include <string.h>

/* Bytes beside the structures: X(name, filter, type, display, title) */
#define OTHERS(X)                                                                                  \
    X(REST, "kd.rest", FT_BYTES, BASE_NONE, "Piece of a field")                                    \
    X(EXTRA, "kd.extra", FT_BYTES, BASE_NONE, "Bytes before the path")                             \
    X(TRAILER, "kd.trailer", FT_BYTES, BASE_NONE, "Trailer")                                       \
    X(BREAK_IN, "kd.break_in", FT_UINT8, BASE_HEX, "Break-in")                                     \
    X(JUNK, "kd.junk", FT_BYTES, BASE_NONE, "Bytes that belong to no packet")                      \
    X(TEXT, "kd.text", FT_STRING, BASE_NONE, "Text")                                               \
    X(COMPONENT, "kd.component", FT_STRING, BASE_NONE, "Component")                                \
    X(COMMAND, "kd.command", FT_STRING, BASE_NONE, "Command")                                      \
    X(PLACE, "kd.data.address", FT_UINT64, BASE_HEX, "Address in the target")                      \
    X(LOCATION, "kd.location", FT_STRING, BASE_NONE, "In module")

enum {
#define OTHER_INDEX(name, filter, type, display, title) OTHER_##name,
    OTHERS(OTHER_INDEX) OTHER_COUNT,
    DATA_KINDS = KD_DATA_TRACE + 1,
    /* Flags of one field: EFlags has the most, 14. */
    FLAGS_MAX = 32,
};

struct shown_field {
    int hf;
    int flags[FLAGS_MAX]; /* of FLAGS: one per name, in their order */
};

struct shown_structure {
    struct shown_field *fields; /* as in struct kd_structure */
    int ett;
};

static struct shown_structure *structures; /* by index in the table of protocol.c */
static int other_hf[OTHER_COUNT], data_hf[DATA_KINDS];
static int ett_flags, ett_address, ett_data, ett_words;

/* ---- registration ---- */

static const value_string *value_strings(const struct kd_name *names)
{
    wmem_array_t *list = wmem_array_new(wmem_epan_scope(), sizeof(value_string));
    for (; names && names->name; names++) {
        value_string one = {(guint32)names->value, names->name};
        wmem_array_append_one(list, one);
    }
    value_string end = {0, NULL};
    wmem_array_append_one(list, end);
    return wmem_array_get_raw(list);
}

static enum ftenum number_type(size_t size)
{
    switch (size) {
    case 1:
        return FT_UINT8;
    case 2:
        return FT_UINT16;
    case 4:
        return FT_UINT32;
    case 8:
        return FT_UINT64;
    default:
        return FT_BYTES;
    }
}

static void describe(header_field_info *info, const struct kd_field *field)
{
    static const value_string *status, *boolean;
    static const struct kd_name truth[] = {{0, "no"}, {1, "yes"}, {0, NULL}};
    if (!status) {
        status = value_strings(kd_status_names());
        boolean = value_strings(truth);
    }
    info->type = number_type(field->size);
    info->display = BASE_HEX;
    switch (field->format) {
    case KD_FORMAT_DEC:
        info->display = BASE_DEC;
        break;
    case KD_FORMAT_BOOL:
        info->display = BASE_DEC;
        info->strings = VALS(boolean);
        break;
    case KD_FORMAT_STATUS:
        info->strings = VALS(status);
        break;
    case KD_FORMAT_ENUM:
        info->strings = VALS(value_strings(field->names));
        break;
    case KD_FORMAT_TEXT:
        info->type = FT_STRING;
        info->display = BASE_NONE;
        break;
    case KD_FORMAT_WORDS:
        info->type = FT_UINT64;
        break;
    case KD_FORMAT_FXSAVE:
        info->type = FT_NONE;
        info->display = BASE_NONE;
        break;
    case KD_FORMAT_BYTES:
    case KD_FORMAT_PAD:
        info->type = FT_BYTES;
        info->display = BASE_NONE;
        break;
    default:
        break;
    }
}

/* What proto_register_field_array and proto_register_subtree_array get: they must live on. */
static wmem_array_t *registered;

static void add_field(int *hf, const char *filter, header_field_info info)
{
    hf_register_info one = {hf, info};
    *hf = -1;
    char *small = wmem_strdup(wmem_epan_scope(), filter);
    for (char *at = small; *at; at++)
        *at = g_ascii_tolower(*at);
    one.hfinfo.abbrev = small;
    wmem_array_append_one(registered, one);
}

static const header_field_info plain = {NULL, NULL, FT_NONE, BASE_NONE, NULL, 0, NULL, HFILL};

static void register_flags(const char *filter, const struct kd_field *field,
                           struct shown_field *shown)
{
    unsigned count = 0;
    for (const struct kd_name *name = field->names; name && name->name && count < FLAGS_MAX;
         name++) {
        header_field_info info = plain;
        info.name = name->name;
        info.type = FT_BOOLEAN;
        info.display = (int)(8 * field->size);
        info.bitmask = name->value;
        const char *flag = wmem_strdup_printf(wmem_epan_scope(), "%s.%s", filter, name->name);
        add_field(&shown->flags[count++], flag, info);
    }
}

static void register_structure(size_t index, const struct kd_structure *structure)
{
    struct shown_structure *shown = &structures[index];
    shown->fields = wmem_alloc0_array(wmem_epan_scope(), struct shown_field, structure->count);
    shown->ett = -1;
    for (size_t i = 0; i < structure->count; i++) {
        const struct kd_field *field = &structure->fields[i];
        const char *filter =
            wmem_strdup_printf(wmem_epan_scope(), "kd.%s.%s", structure->name, field->name);
        header_field_info info = plain;
        info.name = field->name;
        describe(&info, field);
        add_field(&shown->fields[i].hf, filter, info);
        if (field->format == KD_FORMAT_FLAGS)
            register_flags(filter, field, &shown->fields[i]);
    }
}

static void register_data_kinds(void)
{
    for (unsigned kind = 0; kind < DATA_KINDS; kind++) {
        char *filter =
            wmem_strdup_printf(wmem_epan_scope(), "kd.data.%s", kd_data_kind_name((guint8)kind));
        for (char *at = filter; *at; at++)
            *at = *at == '-' ? '_' : *at;
        header_field_info info = plain;
        info.name = kd_data_kind_name((guint8)kind);
        info.type = FT_BYTES;
        add_field(&data_hf[kind], filter, info);
    }
}

static void register_others(void)
{
    static const struct {
        const char *filter;
        enum ftenum type;
        int display;
        const char *title;
    } others[] = {
#define OTHER_ENTRY(name, filter, type, display, title) {filter, type, display, title},
        OTHERS(OTHER_ENTRY)};
    for (unsigned i = 0; i < OTHER_COUNT; i++) {
        header_field_info info = plain;
        info.name = others[i].title;
        info.type = others[i].type;
        info.display = others[i].display;
        add_field(&other_hf[i], others[i].filter, info);
    }
}

void kd_fields_register(void)
{
    size_t count = kd_structure_count();
    registered = wmem_array_new(wmem_epan_scope(), sizeof(hf_register_info));
    structures = wmem_alloc0_array(wmem_epan_scope(), struct shown_structure, count);
    int **etts = wmem_alloc_array(wmem_epan_scope(), int *, count);
    for (size_t i = 0; i < count; i++) {
        register_structure(i, kd_structure_at(i));
        etts[i] = &structures[i].ett;
    }
    register_data_kinds();
    register_others();
    proto_register_field_array(proto_kd, wmem_array_get_raw(registered),
                               (int)wmem_array_get_count(registered));
    proto_register_subtree_array(etts, (int)count);
    static int *more[] = {&ett_flags, &ett_address, &ett_data, &ett_words};
    ett_flags = ett_address = ett_data = ett_words = -1;
    proto_register_subtree_array(more, (int)G_N_ELEMENTS(more));
}

/* ---- one item as a tree ---- */

struct shower {
    tvbuff_t *tvb;
    int offset; /* of the item */
    const struct kd_record *record;
    const struct kd_item *item;
    proto_tree *root, *data, *tree; /* the item's, that of the data, the open structure's */
    enum kd_section section;
    const struct kd_structure *structure; /* that is open */
    const struct kd_field *parent;        /* the field whose structure is open inside another */
    proto_tree *outer;
    size_t index;
    bool names; /* addresses of this packet are virtual */
};

static const struct shown_structure *shown_of(const struct kd_structure *structure)
{
    return &structures[structure - kd_structure_at(0)];
}

static int place_of(const struct shower *shower, const struct kd_part *part)
{
    return shower->offset + (int)(part->bytes - shower->item->raw);
}

static void name_address(struct shower *shower, proto_item *item, int at, int size, guint64 address)
{
    char name[KD_DECODE_NAME_MAX + 1];
    if (!shower->names || !kd_session_name_address(shower->record, address, name, sizeof(name)))
        return;
    proto_item_append_text(item, " (%s)", name);
    proto_tree *tree = proto_item_add_subtree(item, ett_address);
    proto_item_set_generated(
        proto_tree_add_string(tree, other_hf[OTHER_LOCATION], shower->tvb, at, size, name));
}

static void add_flags(struct shower *shower, proto_item *item, const struct kd_field *field,
                      const struct shown_field *shown, int at, guint64 value)
{
    proto_tree *tree = proto_item_add_subtree(item, ett_flags);
    unsigned count = 0;
    for (const struct kd_name *name = field->names; name && name->name && count < FLAGS_MAX;
         name++) {
        if (name->value && (value & name->value) == name->value)
            proto_item_append_text(item, " %s", name->name);
        proto_tree_add_item(tree, shown->flags[count++], shower->tvb, at, field->size,
                            ENC_LITTLE_ENDIAN);
    }
}

static void add_words(struct shower *shower, const struct kd_part *part, int hf, int at)
{
    proto_tree *tree = proto_tree_add_subtree(shower->tree, shower->tvb, at, (int)part->size,
                                              ett_words, NULL, part->field->name);
    for (size_t i = 0; part->size - i >= 8; i += 8)
        proto_tree_add_item(tree, hf, shower->tvb, at + (int)i, 8, ENC_LITTLE_ENDIAN);
}

static void add_field_part(struct shower *shower, const struct kd_part *part)
{
    const struct kd_field *field = part->field;
    const struct shown_field *shown =
        &shown_of(part->structure)->fields[field - part->structure->fields];
    int at = place_of(shower, part);
    if (field->format == KD_FORMAT_WORDS) {
        add_words(shower, part, shown->hf, at);
        return;
    }
    bool text = field->format == KD_FORMAT_TEXT;
    proto_item *item = proto_tree_add_item(shower->tree, shown->hf, shower->tvb, at, field->size,
                                           text ? ENC_ASCII : ENC_LITTLE_ENDIAN);
    guint64 value = kd_get_uint(part->bytes, part->size);
    if (field->format == KD_FORMAT_FLAGS)
        add_flags(shower, item, field, shown, at, value);
    else if (field->format == KD_FORMAT_ADDRESS)
        name_address(shower, item, at, (int)part->size, value);
}

/* The component's name, NUL, the command's text, NUL. */
static void add_command(struct shower *shower, const struct kd_part *part, int at)
{
    size_t name = 0;
    while (name < part->size && part->bytes[name])
        name++;
    size_t command = name < part->size ? name + 1 : name;
    proto_tree_add_item(shower->tree, other_hf[OTHER_COMPONENT], shower->tvb, at, (int)command,
                        ENC_ASCII);
    if (command < part->size)
        proto_tree_add_item(shower->tree, other_hf[OTHER_COMMAND], shower->tvb, at + (int)command,
                            (int)(part->size - command), ENC_ASCII);
}

static void add_data_run(struct shower *shower, const struct kd_part *part, int at)
{
    int size = (int)part->size;
    switch (part->data) {
    case KD_DATA_TEXT:
        proto_tree_add_item(shower->tree, other_hf[OTHER_TEXT], shower->tvb, at, size, ENC_ASCII);
        break;
    case KD_DATA_UTF16:
        proto_tree_add_item(shower->tree, other_hf[OTHER_TEXT], shower->tvb, at, size,
                            ENC_UTF_16 | ENC_LITTLE_ENDIAN);
        break;
    case KD_DATA_COMMAND:
        add_command(shower, part, at);
        break;
    default:
        proto_tree_add_item(shower->tree, data_hf[part->data], shower->tvb, at, size, ENC_NA);
        break;
    }
}

/* Bytes that are no field of a structure. */
static void add_run(struct shower *shower, const struct kd_part *part)
{
    static const int by_section[] = {
        [KD_SECTION_HEADER] = OTHER_REST,
        [KD_SECTION_FIXED] = OTHER_REST,
        [KD_SECTION_EXTRA] = OTHER_EXTRA,
        [KD_SECTION_TRAILER] = OTHER_TRAILER,
    };
    int at = place_of(shower, part);
    if (part->structure)
        proto_tree_add_item(shower->tree, other_hf[OTHER_REST], shower->tvb, at, (int)part->size,
                            ENC_NA);
    else if (part->section == KD_SECTION_DATA)
        add_data_run(shower, part, at);
    else
        proto_tree_add_item(shower->tree, other_hf[by_section[part->section]], shower->tvb, at,
                            (int)part->size, ENC_NA);
}

static void open_data(struct shower *shower, const struct kd_part *part)
{
    int at = place_of(shower, part);
    proto_item *item;
    shower->data = proto_tree_add_subtree_format(shower->root, shower->tvb, at, -1, ett_data, &item,
                                                 "Data: %s", kd_data_kind_name(part->data));
    int end = shower->offset + (int)(shower->item->body - shower->item->raw) +
              (int)shower->item->body_size;
    proto_item_set_len(item, end - at);
    if (!part->place)
        return;
    proto_item *place =
        proto_tree_add_uint64(shower->data, other_hf[OTHER_PLACE], shower->tvb, at, 0, part->place);
    proto_item_set_generated(place);
    name_address(shower, place, at, 0, part->place);
}

static void open_structure(struct shower *shower, const struct kd_part *part, proto_tree *below)
{
    int at = place_of(shower, part);
    char index[24] = "";
    if (part->array)
        g_snprintf(index, sizeof(index), "[%zu]", part->index);
    size_t rest = part->structure->size - part->offset;
    size_t have = shower->item->raw_size - (size_t)(part->bytes - shower->item->raw);
    shower->tree = proto_tree_add_subtree_format(below, shower->tvb, at, (int)MIN(rest, have),
                                                 shown_of(part->structure)->ett, NULL, "%s%s",
                                                 part->structure->name, index);
    shower->structure = part->structure;
    shower->index = part->index;
}

/* A field of one structure that is a structure itself: its fields go below it. */
static void enter_parent(struct shower *shower, const struct kd_part *part)
{
    const struct kd_structure *outer = kd_structure_at(KD_NUMBER_ContextAmd64);
    if (!outer)
        return;
    if (shower->structure != outer) {
        struct kd_part whole = *part;
        whole.structure = outer;
        whole.offset = part->parent->offset + part->offset;
        open_structure(shower, &whole, shower->data);
    }
    size_t rest = part->structure->size - part->offset;
    size_t have = shower->item->raw_size - (size_t)(part->bytes - shower->item->raw);
    int hf = shown_of(outer)->fields[part->parent - outer->fields].hf;
    proto_item *item = proto_tree_add_item(shower->tree, hf, shower->tvb, place_of(shower, part),
                                           (int)MIN(rest, have), ENC_NA);
    shower->outer = shower->tree;
    shower->tree = proto_item_add_subtree(item, shown_of(part->structure)->ett);
    shower->parent = part->parent;
}

static void enter(struct shower *shower, const struct kd_part *part)
{
    if (part->section != shower->section) {
        shower->section = part->section;
        shower->structure = NULL;
        shower->tree = shower->root;
        if (part->section == KD_SECTION_DATA)
            open_data(shower, part);
    }
    if (shower->parent && part->parent != shower->parent) {
        shower->parent = NULL;
        shower->tree = shower->outer;
    }
    proto_tree *below = part->section == KD_SECTION_DATA ? shower->data : shower->root;
    if (part->parent) {
        if (!shower->parent)
            enter_parent(shower, part);
    } else if (!part->structure) {
        shower->structure = NULL;
        shower->tree = below;
    } else if (part->structure != shower->structure || part->index != shower->index) {
        open_structure(shower, part, below);
    }
}

static void visit(void *context, const struct kd_part *part)
{
    struct shower *shower = context;
    enter(shower, part);
    if (part->field)
        add_field_part(shower, part);
    else
        add_run(shower, part);
}

bool kd_fields_have_virtual_addresses(const struct kd_item *item, const struct kd_message *message)
{
    if (item->header.type != KD_PACKET_STATE_MANIPULATE)
        return true;
    switch (message->api) {
    case KD_API_ReadPhysicalMemory:
    case KD_API_WritePhysicalMemory:
    case KD_API_ReadControlSpace:
    case KD_API_WriteControlSpace:
    case KD_API_ReadIoSpace:
    case KD_API_WriteIoSpace:
    case KD_API_ReadIoSpaceExtended:
    case KD_API_WriteIoSpaceExtended:
        return false;
    default:
        return true;
    }
}

/*
 * When Wireshark only counts, or looks for something else, there is a tree, but all that is put
 * into it is thrown away: then a packet costs a fraction. A protocol knows whether one of its
 * fields is waited for by a filter, a column or a tap.
 */
bool kd_fields_wanted(const proto_tree *tree)
{
    return tree && (PTREE_DATA(tree)->visible ||
                    proto_registrar_get_nth((guint)proto_kd)->ref_type != HF_REF_TYPE_NONE);
}

void kd_fields_add(proto_tree *tree, tvbuff_t *tvb, int offset, const struct kd_record *record,
                   const struct kd_item *item, const struct kd_message *message)
{
    struct shower shower = {.tvb = tvb,
                            .offset = offset,
                            .record = record,
                            .item = item,
                            .root = tree,
                            .tree = tree,
                            .data = tree,
                            .section = KD_SECTION_HEADER};
    if (item->kind == KD_ITEM_BREAK_IN) {
        proto_tree_add_item(tree, other_hf[OTHER_BREAK_IN], tvb, offset, 1, ENC_NA);
        return;
    }
    if (item->kind == KD_ITEM_JUNK) {
        proto_tree_add_item(tree, other_hf[OTHER_JUNK], tvb, offset, (int)item->raw_size, ENC_NA);
        proto_tree_add_item(tree, other_hf[OTHER_TEXT], tvb, offset, (int)item->raw_size,
                            ENC_ASCII);
        return;
    }
    shower.names = kd_fields_have_virtual_addresses(item, message);
    kd_decode_walk(kd_record_past(record)->decode, kd_record_direction(record), item, visit,
                   &shower);
}
