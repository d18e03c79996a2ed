/* SPDX-License-Identifier: BSD-2-Clause */
#include "encode.h"

#include <stdio.h>
#include <stdlib.h>

#include "json_check.h"
#include "kdwire/protocol.h"

enum { STRUCTURES_MAX = 4, NAME_MAX_SIZE = 64 };

struct encoder {
    uint8_t *out;
    size_t room, end; /* END: behind the last byte put */
    bool failed;
};

static void put_bytes(struct encoder *encoder, size_t at, const uint8_t *bytes, size_t size)
{
    if (at > encoder->room || size > encoder->room - at) {
        encoder->failed = true;
        return;
    }
    memcpy(encoder->out + at, bytes, size);
    if (encoder->end < at + size)
        encoder->end = at + size;
}

/* A string of hex digits. */
static size_t put_hex(struct encoder *encoder, size_t at, const char *value)
{
    size_t count = 0;
    for (const char *p = value + 1; *p != '"' && !encoder->failed; p += 2) {
        char digits[3] = {p[0], p[1], '\0'};
        uint8_t byte = (uint8_t)strtoul(digits, NULL, 16);
        put_bytes(encoder, at + count++, &byte, 1);
    }
    return count;
}

/* An ISO 8859-1 string. */
static size_t put_text(struct encoder *encoder, size_t at, const char *value)
{
    size_t count = 0;
    for (const char *p = value + 1; *p != '"' && !encoder->failed; p++) {
        uint8_t byte = (uint8_t)*p;
        if (*p == '\\' && p[1] == 'u') {
            char digits[5] = {p[2], p[3], p[4], p[5], '\0'};
            byte = (uint8_t)strtoul(digits, NULL, 16);
            p += 5;
        } else if (*p == '\\') {
            byte = *++p == 'n' ? '\n' : (uint8_t)*p;
        }
        put_bytes(encoder, at + count++, &byte, 1);
    }
    return count;
}

static void put_number(struct encoder *encoder, size_t at, size_t size, const char *value)
{
    uint8_t bytes[8] = {0};
    uint64_t number = strtoull(*value == '"' ? value + 1 : value, NULL, 0);
    kd_put_uint(bytes, size, number);
    put_bytes(encoder, at, bytes, size);
}

static void put_words(struct encoder *encoder, size_t at, const struct kd_field *field,
                      const char *value)
{
    size_t count = 0;
    for (const char *p = value; *p != ']'; p = json_value_end(p + 1, 0), count++)
        put_number(encoder, at + 8 * count, 8, p + 1);
    if (8 * count != field->size)
        encoder->failed = true;
}

static const struct kd_field *field_called(const struct kd_structure *const *structures,
                                           const struct json_member *member)
{
    char name[NAME_MAX_SIZE];
    if (member->key_size >= sizeof(name))
        return NULL;
    memcpy(name, member->key, member->key_size);
    name[member->key_size] = '\0';
    for (size_t i = 0; structures[i]; i++) {
        const struct kd_field *field = kd_field_by_name(structures[i], name);
        if (field)
            return field;
    }
    return NULL;
}

static bool is_called(const struct json_member *member, const char *name)
{
    return member->key_size == strlen(name) && !memcmp(member->key, name, member->key_size);
}

static bool explains_a_number(const struct json_member *member)
{
    const char *end = member->key + member->key_size;
    return (member->key_size > 4 && !memcmp(end - 4, "Name", 4)) ||
           (member->key_size > 5 && !memcmp(end - 5, "Names", 5));
}

static void put_object(struct encoder *encoder, size_t origin,
                       const struct kd_structure *const *structures, const char *object,
                       size_t first);

static void put_field(struct encoder *encoder, size_t origin, const struct kd_field *field,
                      const char *value, size_t first)
{
    size_t at = origin + field->offset;
    size_t count = field->size;
    switch (field->format) {
    case KD_FORMAT_FXSAVE: {
        const struct kd_structure *list[] = {kd_structure_by_name("FxSave"), NULL};
        put_object(encoder, at, list, value, first > field->offset ? first - field->offset : 0);
        break;
    }
    case KD_FORMAT_WORDS:
        put_words(encoder, at, field, value);
        break;
    case KD_FORMAT_BYTES:
    case KD_FORMAT_PAD:
        count = put_hex(encoder, at, value);
        break;
    case KD_FORMAT_TEXT:
        count = put_text(encoder, at, value);
        break;
    default:
        put_number(encoder, at, field->size, value);
        break;
    }
    if (count != field->size)
        encoder->failed = true;
}

/* The object's members at ORIGIN (where the structures' offset 0 would lie); FIRST is the offset of
 * the first byte there is. */
static void put_object(struct encoder *encoder, size_t origin,
                       const struct kd_structure *const *structures, const char *object,
                       size_t first)
{
    struct json_member member;
    const char *cursor = NULL;
    while ((cursor = json_next_member(object, cursor, &member)) && !encoder->failed) {
        const struct kd_field *field = field_called(structures, &member);
        if (field)
            put_field(encoder, origin, field, member.value, first);
        else if (is_called(&member, "head"))
            put_hex(encoder, origin + first, member.value);
        else if (is_called(&member, "rest"))
            put_hex(encoder, encoder->end, member.value);
        else if (!explains_a_number(&member))
            encoder->failed = true;
    }
}

static void put_array(struct encoder *encoder, size_t at, const struct kd_structure *structure,
                      const char *array)
{
    const struct kd_structure *list[] = {structure, NULL};
    for (const char *p = array; *p != ']'; p = json_value_end(p + 1, 0)) {
        put_object(encoder, at, list, p + 1, 0);
        at += structure->size;
    }
}

static const struct kd_structure *structure_called(const struct json_member *member)
{
    for (size_t i = 0; i < kd_structure_count(); i++) {
        if (is_called(member, kd_structure_at(i)->name))
            return kd_structure_at(i);
    }
    return NULL;
}

static void put_data(struct encoder *encoder, const char *data)
{
    struct json_member member;
    const char *cursor = NULL, *offset = json_member(data, "offset");
    size_t at = encoder->end, first = offset ? strtoul(offset, NULL, 10) : 0;
    while ((cursor = json_next_member(data, cursor, &member)) && !encoder->failed) {
        const struct kd_structure *structure = structure_called(&member);
        const struct kd_structure *list[] = {structure, NULL};
        if (structure && *member.value == '[')
            put_array(encoder, at, structure, member.value);
        else if (structure && *member.value == '{')
            put_object(encoder, at - first, list, member.value, first);
        else if (is_called(&member, "hex"))
            put_hex(encoder, encoder->end, member.value);
    }
}

static size_t fixed_structures(const char *names, const struct kd_structure **list)
{
    size_t count = 0;
    for (const char *p = names; *p != ']' && count < STRUCTURES_MAX; p = json_value_end(p + 1, 0)) {
        struct json_member name = {.key = p + 2};
        name.key_size = (size_t)(json_string_end(p + 1) - p) - 3;
        list[count] = structure_called(&name);
        if (!list[count++])
            return 0;
    }
    return count;
}

size_t encode_json(const char *json, uint8_t *out, size_t room)
{
    struct encoder encoder = {.out = out, .room = room};
    const struct kd_structure *header[] = {kd_structure_by_name("PacketHeader"), NULL};
    const struct kd_structure *fixed[STRUCTURES_MAX + 1] = {NULL};
    const char *value;
    memset(out, 0, room);
    if ((value = json_member(json, "header")))
        put_object(&encoder, 0, header, value, 0);
    if ((value = json_member(json, "structures")) && !fixed_structures(value, fixed))
        encoder.failed = true;
    if ((value = json_member(json, "fields")))
        put_object(&encoder, encoder.end, fixed, value, 0);
    if ((value = json_member(json, "extra")))
        put_data(&encoder, value);
    if ((value = json_member(json, "data")))
        put_data(&encoder, value);
    if ((value = json_member(json, "trailer")))
        put_data(&encoder, value);
    return encoder.failed ? 0 : encoder.end;
}
