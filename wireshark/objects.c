/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File > Export Objects > KD: what went over the wire, put together again.
 *
 *   object                        | made of
 *   ------------------------------+------------------------------------------------------
 *   memory-BASE.bin               | the replies of ReadVirtualMemory; pieces that touch or
 *                                 | overlap are one file, the last read of a byte counts
 *   physical-BASE.bin             | likewise of ReadPhysicalMemory
 *   debug-output.txt              | all the target printed, and prompts with their answers
 *   a file's name                 | FILE_IO: pieces read or written, at their offsets
 *
 * Where a later read closes the gap between two memory objects, the first becomes the whole.
 * Wireshark has no way to take the other one back: it becomes the next new object, and until then
 * is empty and says so by its name.
 */
#include "kd.h"

#include <string.h>

enum {
    /* The largest object: a file offset from the wire must not make us allocate the world. */
    OBJECT_MAX = 256 * 1024 * 1024,
    FILE_NAME_MAX = 128, /* characters of a transferred file's name that are kept */
};

enum object_kind {
    OBJECT_MEMORY,
    OBJECT_PHYSICAL,
    OBJECT_TEXT,
    OBJECT_FILE,
    OBJECT_CLOSED, /* a file whose handle means another one from now on */
    OBJECT_SPARE,  /* its bytes are in another one */
};

struct object {
    enum object_kind kind;
    const struct kd_session *session;
    guint64 base; /* of memory; a file's handle */
    gsize room;   /* allocated at entry->payload_data */
    export_object_entry_t *entry;
};

/* A file that is open on the other side. */
struct open_file {
    const struct kd_session *session;
    guint64 handle, offset; /* offset of the read that waits for its answer */
    gchar *name;
};

static GArray *objects;   /* struct object */
static GArray *files;     /* struct open_file */
static gchar *asked_name; /* of the CreateFile that waits for its answer */

static void forget_all(void)
{
    /* entries belong to Wireshark */
    if (objects)
        g_array_set_size(objects, 0);
    for (guint i = 0; files && i < files->len; i++)
        g_free(g_array_index(files, struct open_file, i).name);
    if (files)
        g_array_set_size(files, 0);
    g_clear_pointer(&asked_name, g_free);
}

static struct object *object_at(guint index)
{
    return &g_array_index(objects, struct object, index);
}

static struct object *spare_object(void)
{
    for (guint i = 0; i < objects->len; i++) {
        if (object_at(i)->kind == OBJECT_SPARE)
            return object_at(i);
    }
    return NULL;
}

static struct object *new_object(export_object_list_t *list, enum object_kind kind,
                                 const struct kd_tap *given, guint32 frame, const char *type)
{
    static const char *const kinds[] = {"memory", "physical memory", "debug output", "file"};
    struct object *object = spare_object();
    if (!object) {
        struct object fresh = {.entry = g_new0(export_object_entry_t, 1)};
        g_array_append_val(objects, fresh);
        list->add_entry(list->gui_data, fresh.entry);
        object = object_at(objects->len - 1);
    }
    object->kind = kind;
    object->session = kd_record_past(given->record)->session;
    object->base = 0;
    object->entry->pkt_num = frame;
    g_free(object->entry->hostname);
    object->entry->hostname = g_strdup(kinds[kind]);
    g_free(object->entry->content_type);
    object->entry->content_type = g_strdup(type);
    return object;
}

static void rename_object(struct object *object, gchar *name)
{
    g_free(object->entry->filename);
    object->entry->filename = name;
}

static struct object *find_object(enum object_kind kind, const struct kd_session *session,
                                  guint64 base)
{
    for (guint i = 0; i < objects->len; i++) {
        struct object *object = object_at(i);
        if (object->kind == kind && object->session == session && object->base == base)
            return object;
    }
    return NULL;
}

/* Puts bytes at AT of the object, which grows; a gap is zero. */
static void put(struct object *object, guint64 at, const guint8 *bytes, gsize size)
{
    export_object_entry_t *entry = object->entry;
    if (at > OBJECT_MAX || size > OBJECT_MAX - at)
        return;
    gsize end = (gsize)at + size;
    if (end > object->room) {
        object->room = MAX(2 * object->room, end);
        entry->payload_data = g_realloc(entry->payload_data, object->room);
    }
    if (end > entry->payload_len) {
        memset(entry->payload_data + entry->payload_len, 0, end - entry->payload_len);
        entry->payload_len = end;
    }
    memcpy(entry->payload_data + at, bytes, size);
}

/* Moves the object's bytes up by SIZE, to make place in front. */
static void grow_down(struct object *object, gsize size)
{
    gsize old = object->entry->payload_len;
    guint8 zero = 0;
    put(object, old + size - 1, &zero, 1);
    if (object->entry->payload_len != old + size)
        return;
    memmove(object->entry->payload_data + size, object->entry->payload_data, old);
    object->base -= size;
}

/* ---- memory ---- */

static bool touches(const struct object *object, guint64 address, gsize size)
{
    guint64 end = object->base + object->entry->payload_len;
    return address <= end && object->base <= address + size &&
           object->entry->payload_len < OBJECT_MAX - size;
}

static void name_memory(struct object *object)
{
    const char *kind = object->kind == OBJECT_MEMORY ? "memory" : "physical";
    rename_object(object, g_strdup_printf("%s-0x%" PRIx64 ".bin", kind, object->base));
}

static void put_memory(struct object *object, guint64 address, const guint8 *bytes, gsize size)
{
    if (address < object->base)
        grow_down(object, (gsize)(object->base - address));
    if (address >= object->base)
        put(object, address - object->base, bytes, size);
    name_memory(object);
}

/* All its bytes are in HOME. */
static void give_up_object(struct object *object, const struct object *home)
{
    object->kind = OBJECT_SPARE;
    object->entry->payload_len = 0;
    rename_object(object, g_strdup_printf("joined-with-0x%" PRIx64 ".txt", home->base));
}

static void add_memory(export_object_list_t *list, const struct kd_tap *given, guint32 frame,
                       enum object_kind kind)
{
    const struct kd_item *item = given->item;
    guint64 address = KD_GET(item->body, ReadMemory, TargetBaseAddress);
    const guint8 *bytes = item->body + KD_MANIPULATE_SIZE;
    gsize size = item->body_size - KD_MANIPULATE_SIZE;
    struct object *home = NULL;
    if (address > G_MAXUINT64 - size)
        return;
    for (guint i = 0; i < objects->len; i++) {
        struct object *object = object_at(i);
        if (object->kind != kind || object->session != kd_record_past(given->record)->session ||
            !touches(object, address, size))
            continue;
        if (!home) {
            home = object;
            put_memory(home, address, bytes, size);
        } else if (touches(home, object->base, object->entry->payload_len)) {
            /* what was just read is newer than what the other object has of it */
            put_memory(home, object->base, object->entry->payload_data, object->entry->payload_len);
            put_memory(home, address, bytes, size);
            give_up_object(object, home);
        }
    }
    if (home)
        return;
    home = new_object(list, kind, given, frame, "application/octet-stream");
    home->base = address;
    put_memory(home, address, bytes, size);
}

static void add_read(export_object_list_t *list, const struct kd_tap *given, guint32 frame)
{
    if (!given->message.reply || given->item->body_size <= KD_MANIPULATE_SIZE)
        return;
    if (given->message.api == KD_API_ReadVirtualMemory)
        add_memory(list, given, frame, OBJECT_MEMORY);
    else if (given->message.api == KD_API_ReadPhysicalMemory)
        add_memory(list, given, frame, OBJECT_PHYSICAL);
}

/* ---- text ---- */

static void add_text(export_object_list_t *list, const struct kd_tap *given, guint32 frame)
{
    const struct kd_item *item = given->item;
    if (item->body_size <= KD_DEBUG_IO_SIZE)
        return;
    struct object *object = find_object(OBJECT_TEXT, kd_record_past(given->record)->session, 0);
    if (!object) {
        object = new_object(list, OBJECT_TEXT, given, frame, "text/plain");
        rename_object(object, g_strdup("debug-output.txt"));
    }
    put(object, object->entry->payload_len, item->body + KD_DEBUG_IO_SIZE,
        item->body_size - KD_DEBUG_IO_SIZE);
}

/* ---- files ---- */

static gchar *file_name(const guint8 *path, gsize size)
{
    gchar name[FILE_NAME_MAX + 1];
    gsize used = 0;
    for (gsize at = 0; size - at >= 2; at += 2) {
        guint16 unit = kd_get_u16(path + at);
        if (!unit)
            break;
        if (unit == '\\' || unit == '/' || unit == ':')
            used = 0;
        else if (used < FILE_NAME_MAX)
            name[used++] = unit >= 0x20 && unit < 0x7F ? (gchar)unit : '_';
    }
    name[used] = 0;
    return g_strdup(used ? name : "file");
}

static struct open_file *find_file(const struct kd_session *session, guint64 handle)
{
    for (guint i = 0; i < files->len; i++) {
        struct open_file *file = &g_array_index(files, struct open_file, i);
        if (file->session == session && file->handle == handle)
            return file;
    }
    return NULL;
}

static void open_file(const struct kd_tap *given)
{
    const struct kd_item *item = given->item;
    if (!given->message.reply) {
        g_free(asked_name);
        asked_name = file_name(item->body + KD_FILE_IO_SIZE, item->body_size - KD_FILE_IO_SIZE);
        return;
    }
    if (!asked_name || KD_GET(item->body, FileIo, Status) >= 0x80000000u)
        return;
    struct open_file file = {.session = kd_record_past(given->record)->session,
                             .handle = KD_GET(item->body, CreateFile, Handle)};
    struct open_file *known = find_file(file.session, file.handle);
    if (known) {
        g_free(known->name);
        known->name = asked_name;
    } else {
        file.name = asked_name;
        g_array_append_val(files, file);
    }
    struct object *object = find_object(OBJECT_FILE, file.session, file.handle);
    if (object)
        object->kind = OBJECT_CLOSED;
    asked_name = NULL;
}

static void add_file_piece(export_object_list_t *list, const struct kd_tap *given, guint32 frame,
                           guint64 handle, guint64 offset)
{
    const struct kd_item *item = given->item;
    if (item->body_size <= KD_FILE_IO_SIZE)
        return;
    struct object *object =
        find_object(OBJECT_FILE, kd_record_past(given->record)->session, handle);
    if (!object) {
        const struct open_file *file = find_file(kd_record_past(given->record)->session, handle);
        object = new_object(list, OBJECT_FILE, given, frame, "application/octet-stream");
        object->base = handle;
        rename_object(object,
                      file ? g_strdup(file->name) : g_strdup_printf("handle-0x%" PRIx64, handle));
    }
    put(object, offset, item->body + KD_FILE_IO_SIZE, item->body_size - KD_FILE_IO_SIZE);
}

static void read_file(export_object_list_t *list, const struct kd_tap *given, guint32 frame)
{
    const struct kd_item *item = given->item;
    guint64 handle = KD_GET(item->body, ReadFile, Handle);
    struct open_file *file = find_file(kd_record_past(given->record)->session, handle);
    if (!given->message.reply) {
        if (file)
            file->offset = KD_GET(item->body, ReadFile, Offset);
        return;
    }
    guint64 offset = file ? file->offset : KD_GET(item->body, ReadFile, Offset);
    add_file_piece(list, given, frame, handle, offset);
}

static void add_file(export_object_list_t *list, const struct kd_tap *given, guint32 frame)
{
    const guint8 *body = given->item->body;
    if (given->item->body_size < KD_FILE_IO_SIZE)
        return;
    switch (given->message.api) {
    case KD_API_CREATE_FILE:
        open_file(given);
        break;
    case KD_API_READ_FILE:
        read_file(list, given, frame);
        break;
    case KD_API_WRITE_FILE:
        if (!given->message.reply)
            add_file_piece(list, given, frame, KD_GET(body, WriteFile, Handle),
                           KD_GET(body, WriteFile, Offset));
        break;
    default:
        break;
    }
}

static tap_packet_status object_packet(void *data, packet_info *pinfo, epan_dissect_t *edt,
                                       const void *tapped, tap_flags_t flags)
{
    const struct kd_tap *given = tapped;
    export_object_list_t *list = data;
    (void)edt;
    (void)flags;
    if (given->item->kind != KD_ITEM_PACKET || given->item->faults ||
        kd_record_rarity(given->record)->retransmission_of)
        return TAP_PACKET_DONT_REDRAW;
    if (!objects) {
        objects = g_array_new(FALSE, TRUE, sizeof(struct object));
        files = g_array_new(FALSE, TRUE, sizeof(struct open_file));
    }
    switch (given->item->header.type) {
    case KD_PACKET_STATE_MANIPULATE:
        add_read(list, given, pinfo->num);
        break;
    case KD_PACKET_DEBUG_IO:
        add_text(list, given, pinfo->num);
        break;
    case KD_PACKET_FILE_IO:
        add_file(list, given, pinfo->num);
        break;
    default:
        return TAP_PACKET_DONT_REDRAW;
    }
    return TAP_PACKET_REDRAW;
}

void kd_objects_register(void)
{
    register_export_object(proto_kd, object_packet, forget_all);
}
