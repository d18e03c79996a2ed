/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One item as one JSON object:
 *   {"kind":"packet","direction":"to-target","type":"STATE_MANIPULATE",
 *    "message":"ReadVirtualMemory","role":"request","faults":[],
 *    "header":{...},"structures":["Manipulate","ReadMemory"],"fields":{...},
 *    "data":{"kind":"memory","size":8,"hex":"..."}}
 * A field is a number (a string "0x..." from 8 bytes on, an array of them for WORDS, hex digits
 * for runs of bytes); FIELDName and FIELDNames explain a number. Structures in the data are
 * members of "data" by their names. A piece of a field is "head" or "rest".
 */
#include "out.h"

struct json {
    struct kd_out out;
    bool comma; /* the next member needs one */
    enum kd_section section;
    const struct kd_structure *structure; /* the object or element that is open in "data" */
    const struct kd_field *parent;
    bool array; /* an array of structures is open */
    size_t index;
    size_t data_size;
    bool open; /* an object for the section is open */
    bool extra_open;
};

static void key(struct json *json, const char *name, const char *suffix)
{
    if (json->comma)
        kd_out_char(&json->out, ',');
    json->comma = true;
    kd_out_char(&json->out, '"');
    kd_out_text(&json->out, name);
    kd_out_text(&json->out, suffix);
    kd_out_text(&json->out, "\":");
}

static void string_member(struct json *json, const char *name, const char *value)
{
    key(json, name, "");
    kd_out_char(&json->out, '"');
    kd_out_text(&json->out, value);
    kd_out_char(&json->out, '"');
}

static void open_object(struct json *json, const char *name)
{
    key(json, name, "");
    kd_out_char(&json->out, '{');
    json->comma = false;
}

static void close_with(struct json *json, char bracket)
{
    kd_out_char(&json->out, bracket);
    json->comma = true;
}

static void hex_string(struct kd_out *out, const uint8_t *bytes, size_t size)
{
    kd_out_char(out, '"');
    kd_out_bytes(out, bytes, size, 0);
    kd_out_char(out, '"');
}

static void wide_number(struct kd_out *out, uint64_t value)
{
    kd_out_text(out, "\"0x");
    kd_out_hex(out, value, 1);
    kd_out_char(out, '"');
}

static void flag_names(struct json *json, const struct kd_field *field, uint64_t value)
{
    bool comma = false;
    key(json, field->name, "Names");
    kd_out_char(&json->out, '[');
    for (const struct kd_name *name = field->names; name && name->name; name++) {
        if ((value & name->value) != name->value || !name->value)
            continue;
        kd_out_text(&json->out, comma ? ",\"" : "\"");
        kd_out_text(&json->out, name->name);
        kd_out_char(&json->out, '"');
        comma = true;
    }
    kd_out_char(&json->out, ']');
}

static void number_member(struct json *json, const struct kd_field *field, uint64_t value)
{
    key(json, field->name, "");
    if (field->size == 8)
        wide_number(&json->out, value);
    else
        kd_out_dec(&json->out, value);
    const char *name = NULL;
    if (field->format == KD_FORMAT_ENUM)
        name = kd_name_of(field->names, value);
    else if (field->format == KD_FORMAT_STATUS)
        name = kd_status_name((uint32_t)value);
    if (name) {
        key(json, field->name, "Name");
        kd_out_char(&json->out, '"');
        kd_out_text(&json->out, name);
        kd_out_char(&json->out, '"');
    }
    if (field->format == KD_FORMAT_FLAGS)
        flag_names(json, field, value);
}

static void words_member(struct json *json, const struct kd_part *part)
{
    key(json, part->field->name, "");
    for (size_t at = 0; part->size - at >= 8; at += 8) {
        kd_out_char(&json->out, at ? ',' : '[');
        wide_number(&json->out, kd_get_u64(part->bytes + at));
    }
    kd_out_char(&json->out, ']');
}

static void field_member(struct json *json, const struct kd_part *part)
{
    const struct kd_field *field = part->field;
    switch (field->format) {
    case KD_FORMAT_WORDS:
        words_member(json, part);
        break;
    case KD_FORMAT_TEXT:
        key(json, field->name, "");
        kd_out_json_text(&json->out, part->bytes, part->size);
        break;
    case KD_FORMAT_BYTES:
    case KD_FORMAT_PAD:
        key(json, field->name, "");
        hex_string(&json->out, part->bytes, part->size);
        break;
    default:
        number_member(json, field, kd_get_uint(part->bytes, part->size));
        break;
    }
}

/* A piece at the end of a structure, unless it starts within a field. */
static bool starts_a_field(const struct kd_part *part)
{
    for (size_t i = 0; i < part->structure->count; i++) {
        if (part->structure->fields[i].offset == part->offset)
            return true;
    }
    return false;
}

static void structure_part(struct json *json, const struct kd_part *part)
{
    if (part->field) {
        field_member(json, part);
    } else {
        key(json, starts_a_field(part) ? "rest" : "head", "");
        hex_string(&json->out, part->bytes, part->size);
    }
}

static void command_members(struct json *json, const struct kd_part *part)
{
    size_t name = 0;
    while (name < part->size && part->bytes[name])
        name++;
    size_t command = name < part->size ? name + 1 : name;
    key(json, "component", "");
    kd_out_json_text(&json->out, part->bytes, name);
    key(json, "command", "");
    kd_out_json_text(&json->out, part->bytes + command,
                     kd_out_trimmed(part->bytes + command, part->size - command, 1));
}

/* Readable forms come first; "hex" always has every byte. */
static void run_members(struct json *json, const struct kd_part *part)
{
    switch (part->data) {
    case KD_DATA_TEXT:
        key(json, "text", "");
        kd_out_json_text(&json->out, part->bytes, kd_out_trimmed(part->bytes, part->size, 1));
        break;
    case KD_DATA_UTF16:
        key(json, "text", "");
        kd_out_json_utf16(&json->out, part->bytes, kd_out_trimmed(part->bytes, part->size, 2));
        break;
    case KD_DATA_COMMAND:
        command_members(json, part);
        break;
    default:
        break;
    }
    key(json, "hex", "");
    hex_string(&json->out, part->bytes, part->size);
}

/* Closes what is open inside "data" and does not go on with PART (NULL: nothing goes on). */
static void leave_structure(struct json *json, const struct kd_part *part)
{
    bool nested = json->parent != NULL;
    if (nested && (!part || part->parent != json->parent)) {
        close_with(json, '}');
        json->parent = NULL;
    }
    if (!json->structure)
        return;
    bool same = part && (part->parent || part->structure == json->structure);
    if (same && part->index == json->index)
        return;
    close_with(json, '}');
    if (json->array && !(same && part->array)) {
        close_with(json, ']');
        json->array = false;
    }
    json->structure = NULL;
}

static void enter_structure(struct json *json, const struct kd_part *part)
{
    if (!json->structure) {
        if (json->array) {
            kd_out_text(&json->out, ",{");
        } else {
            /* A context whose first part lies in FltSave: its own object comes first. */
            key(json, part->parent ? "ContextAmd64" : part->structure->name, "");
            kd_out_text(&json->out, part->array ? "[{" : "{");
        }
        json->comma = false;
        json->array = part->array;
        json->structure = part->parent ? kd_structure_at(KD_NUMBER_ContextAmd64) : part->structure;
        json->index = part->index;
    }
    if (part->parent && !json->parent) {
        open_object(json, part->parent->name);
        json->parent = part->parent;
    }
}

static void data_part(struct json *json, const struct kd_part *part)
{
    leave_structure(json, part->structure ? part : NULL);
    if (!part->structure) {
        run_members(json, part);
        return;
    }
    enter_structure(json, part);
    structure_part(json, part);
}

static void open_section(struct json *json, const struct kd_part *part)
{
    static const char *const names[] = {"header", "fields", "extra", "data", "trailer"};
    open_object(json, names[part->section]);
    json->section = part->section;
    json->open = true;
    if (part->section != KD_SECTION_DATA)
        return;
    string_member(json, "kind", kd_data_kind_name(part->data));
    key(json, "size", "");
    kd_out_dec(&json->out, json->data_size);
    if (part->structure && (part->offset || part->parent)) {
        size_t offset = part->offset + (part->parent ? part->parent->offset : 0);
        key(json, "offset", "");
        kd_out_dec(&json->out, offset);
    }
    if (part->place) {
        key(json, "address", "");
        wide_number(&json->out, part->place);
    }
}

static void close_section(struct json *json)
{
    if (!json->open)
        return;
    leave_structure(json, NULL);
    close_with(json, '}');
    json->open = false;
}

static void visit_part(void *context, const struct kd_part *part)
{
    struct json *json = context;
    if (!json->open || part->section != json->section) {
        close_section(json);
        open_section(json, part);
    }
    if (part->section == KD_SECTION_DATA)
        data_part(json, part);
    else if (part->structure)
        structure_part(json, part);
    else
        run_members(json, part);
}

struct census {
    const struct kd_structure *fixed[4]; /* of the body, in order */
    size_t fixed_count, data_size;
};

static void count_part(void *context, const struct kd_part *part)
{
    struct census *census = context;
    if (part->section == KD_SECTION_DATA)
        census->data_size += part->size;
    if (part->section != KD_SECTION_FIXED || !part->structure)
        return;
    size_t count = census->fixed_count;
    if (count && census->fixed[count - 1] == part->structure)
        return;
    if (count < sizeof(census->fixed) / sizeof(census->fixed[0]))
        census->fixed[census->fixed_count++] = part->structure;
}

static void faults_member(struct json *json, unsigned faults)
{
    static const char *const names[] = {"checksum", "trailer", "length", "cut"};
    bool comma = false;
    key(json, "faults", "");
    kd_out_char(&json->out, '[');
    for (unsigned i = 0; i < 4; i++) {
        if (!(faults & (1u << i)))
            continue;
        kd_out_text(&json->out, comma ? ",\"" : "\"");
        kd_out_text(&json->out, names[i]);
        kd_out_char(&json->out, '"');
        comma = true;
    }
    kd_out_char(&json->out, ']');
}

static void packet_members(struct json *json, enum kd_direction direction,
                           const struct kd_item *item)
{
    struct kd_message message;
    if (item->raw_size >= KD_HEADER_SIZE) {
        const char *type = kd_packet_type_name(item->header.type);
        kd_decode_message(direction, item, &message);
        string_member(json, "type", type ? type : "unknown");
        string_member(json, "message", message.name ? message.name : "unknown");
        if (message.reply || message.has_reply)
            string_member(json, "role", message.reply ? "reply" : "request");
    }
    faults_member(json, item->faults);
}

static void structures_member(struct json *json, const struct census *census)
{
    if (!census->fixed_count)
        return;
    key(json, "structures", "");
    for (size_t i = 0; i < census->fixed_count; i++) {
        kd_out_text(&json->out, i ? ",\"" : "[\"");
        kd_out_text(&json->out, census->fixed[i]->name);
        kd_out_char(&json->out, '"');
    }
    kd_out_char(&json->out, ']');
}

static const char *kind_name(enum kd_item_kind kind)
{
    switch (kind) {
    case KD_ITEM_PACKET:
        return "packet";
    case KD_ITEM_BREAK_IN:
        return "break-in";
    case KD_ITEM_JUNK:
        return "junk";
    default:
        return "none";
    }
}

void kd_decode_json(struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item, const struct kd_sink *sink)
{
    static const char *const directions[] = {"unknown", "to-target", "to-debugger"};
    struct json json = {.out.sink = sink};
    struct census census = {.fixed_count = 0};
    kd_decode_walk(session, direction, item, count_part, &census);
    json.data_size = census.data_size;
    kd_out_char(&json.out, '{');
    string_member(&json, "kind", kind_name(item->kind));
    string_member(&json, "direction", directions[direction]);
    if (item->kind == KD_ITEM_PACKET)
        packet_members(&json, direction, item);
    structures_member(&json, &census);
    kd_decode_walk(session, direction, item, visit_part, &json);
    close_section(&json);
    kd_out_char(&json.out, '}');
    kd_out_flush(&json.out);
    kd_decode_learn(session, direction, item);
}
