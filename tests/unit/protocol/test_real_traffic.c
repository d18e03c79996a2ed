/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every KD packet of a real session (WinDbg and the Windows 10 boot debugger) is decoded without a
 * byte left over in a structure, and its JSON gives its bytes back.
 *
 * The capture stays outside the tree: KDWIRE_CAPTURES names its folder; where it is absent the
 * tests say so and are skipped.
 */
#include "shown.h"

#include <stdio.h>
#include <stdlib.h>

#include "encode.h"
#include "json_check.h"

enum { PACKETS = 526, FILE_MAX = 256 * 1024 };

struct side {
    uint8_t *bytes; /* its own block, so that a sanitizer sees an overrun */
    size_t size, at;
};

static struct side sides[3]; /* by enum kd_direction */
static struct shown shown;
static char folder[2048];

static bool load(struct side *side, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/windows-kdnet/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    static uint8_t bytes[FILE_MAX];
    side->size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    side->bytes = malloc(side->size);
    assert_non_null(side->bytes);
    memcpy(side->bytes, bytes, side->size);
    return true;
}

static int load_capture(void **state)
{
    (void)state;
    const char *from = getenv("KDWIRE_CAPTURES");
    snprintf(folder, sizeof(folder), "%s", from ? from : KDWIRE_CAPTURES_DEFAULT);
    if (!load(&sides[KD_TO_TARGET], "kd-host-to-target.bin") ||
        !load(&sides[KD_TO_DEBUGGER], "kd-target-to-host.bin"))
        print_message("no capture in %s/windows-kdnet: set KDWIRE_CAPTURES to test with it\n",
                      folder);
    return 0;
}

static int free_capture(void **state)
{
    (void)state;
    free(sides[KD_TO_TARGET].bytes);
    free(sides[KD_TO_DEBUGGER].bytes);
    return 0;
}

/* The next packet of a file in which packets follow each other. */
static bool next_packet(struct side *side, struct kd_item *item)
{
    size_t left = side->size - side->at;
    if (left < KD_HEADER_SIZE)
        return false;
    size_t size = KD_HEADER_SIZE + kd_get_u16(side->bytes + side->at + 6);
    assert_true(size <= left);
    *item = item_of(side->bytes + side->at, size);
    assert_int_equal(item->header.checksum, kd_checksum(item->body, item->body_size));
    side->at += size;
    return true;
}

/* One line of the capture's index: which side sent the packet, at which offset of its file. */
static bool next_line(FILE *index, enum kd_direction *direction, size_t *offset, char *type,
                      char *api)
{
    char line[4096], sender[8], place[16];
    while (fgets(line, sizeof(line), index)) {
        type[0] = api[0] = '\0';
        if (sscanf(line, "%*s %*s %7s %*s %15s %31s %*s %*s %*s %31s", sender, place, type, api) <
                3 ||
            place[0] < '0' || place[0] > '9' || line[0] == '#')
            continue;
        *direction = sender[0] == 'H' ? KD_TO_TARGET : KD_TO_DEBUGGER;
        *offset = strtoul(place, NULL, 10);
        return true;
    }
    return false;
}

typedef void check_packet(struct kd_decode_session *session, enum kd_direction direction,
                          const struct kd_item *item, const char *type, const char *api);

/* Calls CHECK for all packets in the order they were sent. */
static void for_each_packet(check_packet *check)
{
    struct kd_decode_session session = {.machine_type = 0};
    enum kd_direction direction;
    struct kd_item item;
    char path[4096], type[32], api[32];
    size_t offset, count = 0;
    if (!sides[KD_TO_TARGET].bytes || !sides[KD_TO_DEBUGGER].bytes)
        skip();
    snprintf(path, sizeof(path), "%s/windows-kdnet/index.txt", folder);
    FILE *index = fopen(path, "r");
    assert_non_null(index);
    sides[KD_TO_TARGET].at = sides[KD_TO_DEBUGGER].at = 0;
    while (next_line(index, &direction, &offset, type, api)) {
        assert_int_equal(offset, sides[direction].at);
        assert_true(next_packet(&sides[direction], &item));
        check(&session, direction, &item, type, api);
        count++;
    }
    fclose(index);
    assert_int_equal(count, PACKETS);
    assert_false(next_packet(&sides[KD_TO_TARGET], &item));
    assert_false(next_packet(&sides[KD_TO_DEBUGGER], &item));
}

static const uint8_t *expected_bytes;

/* Parts follow each other without gap or overlap, and no part is a piece of a structure. */
static void check_part(void *context, const struct kd_part *part)
{
    (void)context;
    assert_ptr_equal(part->bytes, expected_bytes);
    expected_bytes += part->size;
    if (part->section == KD_SECTION_HEADER || part->section == KD_SECTION_FIXED)
        assert_non_null(part->field);
    if (part->section == KD_SECTION_EXTRA || part->section == KD_SECTION_TRAILER)
        fail_msg("bytes beside the body in a KDNET packet");
    if (part->section != KD_SECTION_DATA)
        return;
    assert_int_not_equal(part->data, KD_DATA_NONE);
    if (part->data == KD_DATA_CONTEXT || part->data == KD_DATA_CONTROL_SPACE ||
        part->data == KD_DATA_BREAKPOINTS || part->structure)
        assert_non_null(part->field);
}

static void covers_every_byte(struct kd_decode_session *session, enum kd_direction direction,
                              const struct kd_item *item, const char *type, const char *api)
{
    (void)type;
    (void)api;
    expected_bytes = item->raw;
    kd_decode_walk(session, direction, item, check_part, NULL);
    assert_ptr_equal(expected_bytes, item->raw + item->raw_size);
    kd_decode_learn(session, direction, item);
}

static void every_byte_is_in_a_field_or_in_data(void **state)
{
    (void)state;
    for_each_packet(covers_every_byte);
}

static void encodes_back(struct kd_decode_session *session, enum kd_direction direction,
                         const struct kd_item *item, const char *type, const char *api)
{
    static uint8_t bytes[KD_PACKET_MAX];
    (void)type;
    (void)api;
    const char *json = shown_json(&shown, session, direction, item);
    assert_true(json_is_valid(json));
    assert_false(json_has_twins(json));
    assert_int_equal(encode_json(json, bytes, sizeof(bytes)), item->raw_size);
    assert_memory_equal(bytes, item->raw, item->raw_size);
}

static void json_gives_every_packet_back(void **state)
{
    (void)state;
    for_each_packet(encodes_back);
}

/* The index was made by another program: its names must be ours. */
static void agrees_with_index(struct kd_decode_session *session, enum kd_direction direction,
                              const struct kd_item *item, const char *type, const char *api)
{
    char name[64] = "";
    const char *ours = kd_packet_type_name(item->header.type);
    struct kd_message message;
    (void)session;
    assert_non_null(ours);
    if (strcmp(type, "ACK"))
        assert_string_equal(ours, type);
    else
        assert_int_equal(item->header.type, KD_PACKET_ACKNOWLEDGE);
    kd_decode_message(direction, item, &message);
    assert_non_null(message.name);
    if (!strchr(api, '/'))
        return;
    assert_int_equal(strtoul(api, NULL, 16), message.api);
    snprintf(name, sizeof(name), "%s%s", message.name,
             item->header.type == KD_PACKET_STATE_CHANGE64 ? "StateChange" : "");
    assert_string_equal(strchr(api, '/') + 1, name);
}

static void names_agree_with_the_index(void **state)
{
    (void)state;
    for_each_packet(agrees_with_index);
}

static unsigned found_context, found_special, found_entry, found_path, found_driver;

static void looks_for_structures(struct kd_decode_session *session, enum kd_direction direction,
                                 const struct kd_item *item, const char *type, const char *api)
{
    (void)type;
    (void)api;
    const char *json = shown_json(&shown, session, direction, item);
    found_context += strstr(json, "\"ContextAmd64\":{") != NULL;
    found_special += strstr(json, "\"SpecialAmd64\":{") != NULL;
    found_entry += strstr(json, "\"LoaderEntry64\":{") != NULL;
    found_path += strstr(json, "\"kind\":\"utf-16\"") != NULL;
    found_driver += strstr(json, "\\\\Drivers\\\\WppRecorder.sys\",") != NULL;
}

/* Replies with register sets, the module list and file names are shown as such. */
static void structures_in_data_are_recognised(void **state)
{
    (void)state;
    for_each_packet(looks_for_structures);
    assert_true(found_context >= 4);
    assert_true(found_special >= 2);
    assert_true(found_entry >= 1);
    assert_int_equal(found_path, 33 + 1); /* files it asks WinDbg for, and a module's name */
    assert_int_equal(found_driver, 1);
}

static unsigned guessed, wrong;

static void guesses_role(struct kd_decode_session *session, enum kd_direction direction,
                         const struct kd_item *item, const char *type, const char *api)
{
    struct kd_message told, guess;
    (void)session;
    (void)type;
    (void)api;
    kd_decode_message(direction, item, &told);
    kd_decode_message(KD_DIRECTION_UNKNOWN, item, &guess);
    guessed++;
    wrong += told.reply != guess.reply;
}

/* Without directions a packet's contents tell nearly always; WinDbg leaves junk in ReturnStatus. */
static void request_and_reply_are_told_apart_without_direction(void **state)
{
    (void)state;
    for_each_packet(guesses_role);
    assert_true(guessed > 0);
    assert_in_range(wrong, 0, guessed / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_in_a_field_or_in_data),
        cmocka_unit_test(json_gives_every_packet_back),
        cmocka_unit_test(names_agree_with_the_index),
        cmocka_unit_test(structures_in_data_are_recognised),
        cmocka_unit_test(request_and_reply_are_told_apart_without_direction),
    };
    return cmocka_run_group_tests_name("real traffic", tests, load_capture, free_capture);
}
