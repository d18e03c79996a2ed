/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk over an item's bytes by the protocol's tables. Text: decode_text.c, JSON:
 * decode_json.c. */
#include "kdwire/decode.h"

#include <string.h>

/* A walk asks for several: by number, since a search by name costs more than the rest of it. */
#define structure_of(name) kd_structure_at(KD_NUMBER_##name)

/* ApiNumber and NewState are the first four bytes of every known body. */
static uint32_t message_api(const struct kd_item *item)
{
    bool known = kd_fixed_size(item->header.type) != 0;
    return known && item->body_size >= 4 ? kd_get_u32(item->body) : 0;
}

/*
 * Nothing in a manipulate packet says whether it is a request or its reply. Data tells for most;
 * otherwise a reply's status is success or an error, while debuggers leave 0x103 or junk there.
 */
static bool looks_like_reply(const struct kd_item *item, const struct kd_api_info *info)
{
    if ((info && !info->has_reply) || item->body_size < KD_MANIPULATE_SIZE)
        return false;
    bool data = item->body_size > KD_MANIPULATE_SIZE;
    bool asks_with = info && info->request_data != KD_DATA_NONE;
    bool answers_with = info && info->reply_data != KD_DATA_NONE;
    uint32_t status = (uint32_t)KD_GET(item->body, Manipulate, ReturnStatus);
    bool refusal = (status & 0x80000000u) != 0 && kd_status_name(status);
    if (asks_with && !answers_with)
        return !data;
    if (answers_with && !asks_with)
        return data || refusal;
    return status == KD_STATUS_SUCCESS || refusal;
}

static bool message_is_reply(enum kd_direction direction, const struct kd_item *item,
                             const struct kd_api_info *info, uint32_t api)
{
    switch (item->header.type) {
    case KD_PACKET_STATE_MANIPULATE:
        if (direction == KD_DIRECTION_UNKNOWN)
            return looks_like_reply(item, info);
        return direction == KD_TO_DEBUGGER;
    case KD_PACKET_DEBUG_IO:
        if (direction == KD_DIRECTION_UNKNOWN) /* an answer carries no prompt */
            return api == KD_API_GET_STRING && item->body_size >= KD_DEBUG_IO_SIZE &&
                   KD_GET(item->body, DebugIo, LengthOfString) !=
                       item->body_size - KD_DEBUG_IO_SIZE;
        return direction == KD_TO_TARGET;
    case KD_PACKET_FILE_IO:
        if (direction == KD_DIRECTION_UNKNOWN)
            return (api == KD_API_READ_FILE) == (item->body_size > KD_FILE_IO_SIZE);
        return direction == KD_TO_TARGET;
    case KD_PACKET_CONTROL_REQUEST:
        return direction == KD_TO_TARGET;
    default:
        return false;
    }
}

void kd_decode_message(enum kd_direction direction, const struct kd_item *item,
                       struct kd_message *message)
{
    memset(message, 0, sizeof(*message));
    if (item->kind != KD_ITEM_PACKET || item->raw_size < KD_HEADER_SIZE)
        return;
    uint16_t type = item->header.type;
    message->api = message_api(item);
    message->name = kd_message_name(type, message->api);
    const struct kd_api_info *info = NULL;
    if (type == KD_PACKET_STATE_MANIPULATE)
        info = kd_api_info(message->api);
    if (item->header.leader == KD_LEADER_DATA)
        message->reply = message_is_reply(direction, item, info, message->api);
    if (message->reply)
        return;
    message->has_reply = (type == KD_PACKET_STATE_MANIPULATE && (!info || info->has_reply)) ||
                         (type == KD_PACKET_DEBUG_IO && message->api == KD_API_GET_STRING) ||
                         type == KD_PACKET_FILE_IO || type == KD_PACKET_CONTROL_REQUEST;
}

/* Which structures of the target's memory the data of a read reply are. */
static bool is_read_reply(const struct kd_item *item, const struct kd_message *message)
{
    return item->header.type == KD_PACKET_STATE_MANIPULATE &&
           message->api == KD_API_ReadVirtualMemory && message->reply &&
           item->body_size > KD_MANIPULATE_SIZE;
}

static bool is_image_base(const struct kd_decode_session *session, uint64_t address)
{
    return address != 0 && (address == session->kernel_base || address == session->loaded_base ||
                            address == session->entry_base);
}

/* Whether the SIZE bytes at an image's base are what an image begins with. */
static bool is_dos_header(const uint8_t *data, size_t size)
{
    return size >= KD_DOS_HEADER_SIZE && data[0] == 'M' && data[1] == 'Z';
}

static void learn_version(struct kd_decode_session *session, const uint8_t *body)
{
    session->kernel_base = KD_GET(body, GetVersion, KernBase);
    session->machine_type = (uint16_t)KD_GET(body, GetVersion, MachineType);
    session->module_list = KD_GET(body, GetVersion, PsLoadedModuleList);
    session->debugger_list = KD_GET(body, GetVersion, DebuggerDataList);
}

static void learn_memory(struct kd_decode_session *session, uint64_t address, const uint8_t *data,
                         size_t size)
{
    if (size < 8)
        return;
    uint64_t link = kd_get_u64(data);
    if (address == session->module_list && address != 0) {
        session->next_entry = link;
    } else if (address == session->debugger_list && address != 0) {
        session->debugger_data = link;
    } else if (address != 0 && (address == session->next_entry || address == session->entry) &&
               size >= KD_LOADER_ENTRY_SIZE) {
        session->entry = address;
        session->next_entry = link;
        session->full_name = KD_GET(data, LoaderEntry64, FullDllNameBuffer);
        session->base_name = KD_GET(data, LoaderEntry64, BaseDllNameBuffer);
        session->entry_base = KD_GET(data, LoaderEntry64, DllBase);
        session->entry_size = KD_GET(data, LoaderEntry64, SizeOfImage);
    } else if (is_image_base(session, address) && is_dos_header(data, size)) {
        session->pe_header = address + KD_GET(data, DosHeader, ImageHeader);
    }
}

static void learn_load(struct kd_decode_session *session, const struct kd_item *item,
                       uint32_t state)
{
    if ((state & ~(uint32_t)KD_STATE_ALTERNATE) == KD_STATE_LOAD_SYMBOLS &&
        item->body_size >= KD_STATE_CHANGE_SIZE && !KD_GET(item->body, LoadSymbols, UnloadSymbols))
        session->loaded_base = KD_GET(item->body, LoadSymbols, BaseOfDll);
}

void kd_decode_learn(struct kd_decode_session *session, enum kd_direction direction,
                     const struct kd_item *item)
{
    struct kd_message message;
    kd_decode_message(direction, item, &message);
    if (!item->faults && item->header.type == KD_PACKET_STATE_CHANGE64)
        learn_load(session, item, message.api);
    if (!message.reply || item->faults || item->header.type != KD_PACKET_STATE_MANIPULATE ||
        item->body_size < KD_MANIPULATE_SIZE)
        return;
    const uint8_t *body = item->body;
    if (message.api == KD_API_GetVersion &&
        KD_GET(body, Manipulate, ReturnStatus) == KD_STATUS_SUCCESS)
        learn_version(session, body);
    else if (is_read_reply(item, &message))
        learn_memory(session, KD_GET(body, ReadMemory, TargetBaseAddress),
                     body + KD_MANIPULATE_SIZE, item->body_size - KD_MANIPULATE_SIZE);
}

/* ---- the walk ---- */

struct walk {
    const struct kd_decode_session *session;
    const struct kd_item *item;
    struct kd_message message;
    const struct kd_api_info *info;
    void (*visit)(void *context, const struct kd_part *part);
    void *context;
    struct kd_part part; /* what the parts to come have in common */
};

static void emit(struct walk *walk, const struct kd_field *field, size_t offset,
                 const uint8_t *bytes, size_t size)
{
    if (!size)
        return;
    walk->part.field = field;
    walk->part.offset = offset;
    walk->part.bytes = bytes;
    walk->part.size = size;
    walk->visit(walk->context, &walk->part);
}

static void emit_run(struct walk *walk, const uint8_t *bytes, size_t size)
{
    walk->part.structure = NULL;
    emit(walk, NULL, 0, bytes, size);
}

/*
 * Shows BYTES, which lie at offset FIRST of STRUCTURE, field by field; returns how many of them
 * the structure took. A field of which only a piece is there is shown as a run.
 */
static size_t emit_fields(struct walk *walk, const struct kd_structure *structure,
                          const uint8_t *bytes, size_t size, size_t first)
{
    size_t used = 0;
    for (size_t i = 0; i < structure->count && used < size; i++) {
        const struct kd_field *field = &structure->fields[i];
        size_t at = first + used, end = (size_t)field->offset + field->size;
        if (end <= at)
            continue;
        size_t have = end - at <= size - used ? end - at : size - used;
        walk->part.structure = structure;
        if (field->format == KD_FORMAT_FXSAVE) {
            walk->part.parent = field;
            emit_fields(walk, structure_of(FxSave), bytes + used, have, at - field->offset);
            walk->part.parent = NULL;
        } else {
            bool whole = have == field->size;
            emit(walk, whole ? field : NULL, at, bytes + used, have);
        }
        used += have;
    }
    return used;
}

static void emit_array(struct walk *walk, const struct kd_structure *structure,
                       const uint8_t *bytes, size_t size)
{
    walk->part.array = true;
    for (walk->part.index = 0; size >= structure->size; walk->part.index++) {
        emit_fields(walk, structure, bytes, structure->size, 0);
        bytes += structure->size;
        size -= structure->size;
    }
    walk->part.array = false;
    walk->part.index = 0;
    emit_run(walk, bytes, size);
}

/* STRUCTURE from its byte FIRST on, then a run of what it does not cover. */
static void emit_structure(struct walk *walk, const struct kd_structure *structure,
                           const uint8_t *bytes, size_t size, uint64_t first)
{
    size_t used = 0;
    if (structure && first < structure->size)
        used = emit_fields(walk, structure, bytes, size, (size_t)first);
    emit_run(walk, bytes + used, size - used);
}

/* The CONTEXT of the target's machine; before GetVersion was seen its size tells, if it is whole.
 */
static const struct kd_structure *context_structure(const struct walk *walk, size_t size)
{
    switch (walk->session->machine_type) {
    case KD_MACHINE_AMD64:
        return structure_of(ContextAmd64);
    case KD_MACHINE_I386:
        return structure_of(ContextX86);
    case KD_MACHINE_ARM64:
        return structure_of(ContextArm64);
    case 0:
        if (size == KD_CONTEXT_X86_SIZE)
            return structure_of(ContextX86);
        if (size == KD_CONTEXT_ARM64_SIZE)
            return structure_of(ContextArm64);
        return structure_of(ContextAmd64);
    default:
        return NULL;
    }
}

static void emit_control_space(struct walk *walk, const uint8_t *bytes, size_t size)
{
    uint64_t index = KD_GET(walk->item->body, ReadMemory, TargetBaseAddress);
    switch (walk->session->machine_type) {
    case 0:
    case KD_MACHINE_AMD64:
        if (index == 2)
            emit_structure(walk, structure_of(SpecialAmd64), bytes, size, 0);
        else if (index <= 3) /* KPCR, KPRCB, KTHREAD */
            emit_structure(walk, structure_of(AddressEntry), bytes, size, 0);
        else
            emit_run(walk, bytes, size);
        break;
    case KD_MACHINE_I386: /* the index is an offset into a CONTEXT with KSPECIAL behind it */
        if (index < KD_CONTEXT_X86_SIZE && size <= KD_CONTEXT_X86_SIZE - index)
            emit_structure(walk, structure_of(ContextX86), bytes, size, index);
        else if (index >= KD_CONTEXT_X86_SIZE)
            emit_structure(walk, structure_of(SpecialX86), bytes, size,
                           index - KD_CONTEXT_X86_SIZE);
        else
            emit_run(walk, bytes, size);
        break;
    default:
        emit_run(walk, bytes, size);
        break;
    }
}

static void emit_memory(struct walk *walk, const uint8_t *bytes, size_t size)
{
    const struct kd_decode_session *session = walk->session;
    uint64_t address = KD_GET(walk->item->body, ReadMemory, TargetBaseAddress);
    const struct kd_structure *block = structure_of(DebuggerData64);
    const struct kd_structure *pe = structure_of(PeHeader64);
    walk->part.place = address;
    bool entry = address != 0 && (address == session->entry || address == session->next_entry);
    bool name = address != 0 && (address == session->full_name || address == session->base_name);
    bool bits64 = session->machine_type != KD_MACHINE_I386;
    if (!is_read_reply(walk->item, &walk->message)) {
        emit_run(walk, bytes, size);
    } else if (bits64 && name) {
        walk->part.data = KD_DATA_UTF16;
        emit_run(walk, bytes, size);
    } else if (bits64 && entry && size >= KD_LOADER_ENTRY_SIZE) {
        emit_structure(walk, structure_of(LoaderEntry64), bytes, size, 0);
    } else if (is_image_base(session, address) && is_dos_header(bytes, size)) {
        emit_structure(walk, structure_of(DosHeader), bytes, size, 0);
    } else if (bits64 && session->pe_header != 0 && address - session->pe_header < pe->size) {
        emit_structure(walk, pe, bytes, size, address - session->pe_header);
    } else if (session->debugger_data != 0 && address - session->debugger_data < block->size) {
        emit_structure(walk, block, bytes, size, address - session->debugger_data);
    } else {
        emit_run(walk, bytes, size);
    }
}

static void emit_data(struct walk *walk, uint8_t kind, const uint8_t *bytes, size_t size)
{
    walk->part.section = KD_SECTION_DATA;
    walk->part.data = kind;
    switch (kind) {
    case KD_DATA_CONTEXT:
        emit_structure(walk, context_structure(walk, size), bytes, size, 0);
        break;
    case KD_DATA_CONTEXT_PART:
        emit_structure(walk, context_structure(walk, size), bytes, size,
                       KD_GET(walk->item->body, ContextEx, Offset));
        break;
    case KD_DATA_CONTROL_SPACE:
        emit_control_space(walk, bytes, size);
        break;
    case KD_DATA_ADDRESSES:
        emit_array(walk, structure_of(AddressEntry), bytes, size);
        break;
    case KD_DATA_BREAKPOINTS:
        emit_array(walk, structure_of(BreakPointEntry), bytes, size);
        break;
    case KD_DATA_HANDLES:
        emit_array(walk, structure_of(HandleEntry), bytes, size);
        break;
    case KD_DATA_MEMORY:
        emit_memory(walk, bytes, size);
        break;
    default:
        emit_run(walk, bytes, size);
        break;
    }
}

/* Structures of the fixed part; the last one is NULL. */
enum { FIXED_STRUCTURES_MAX = 3 };

static const struct kd_structure *continue2_structure(uint16_t machine_type)
{
    switch (machine_type) {
    case KD_MACHINE_I386:
        return structure_of(Continue2X86);
    case KD_MACHINE_ARM64:
        return structure_of(Continue2Arm64);
    default:
        return structure_of(Continue2Amd64);
    }
}

static const struct kd_structure *report_structure(uint16_t machine_type)
{
    switch (machine_type) {
    case KD_MACHINE_I386:
        return structure_of(ControlReportX86);
    case KD_MACHINE_ARM_NT:
        return structure_of(ControlReportArm);
    case KD_MACHINE_ARM64:
        return structure_of(ControlReportArm64);
    default:
        return structure_of(ControlReportAmd64);
    }
}

static const struct kd_structure *state_structure(uint32_t state)
{
    switch (state & ~(uint32_t)KD_STATE_ALTERNATE) {
    case KD_STATE_EXCEPTION:
        return structure_of(Exception);
    case KD_STATE_LOAD_SYMBOLS:
        return structure_of(LoadSymbols);
    case KD_STATE_COMMAND_STRING:
        return structure_of(CommandString);
    default:
        return structure_of(UnknownState);
    }
}

static const struct kd_structure *file_structure(uint32_t api)
{
    switch (api) {
    case KD_API_CREATE_FILE:
        return structure_of(CreateFile);
    case KD_API_READ_FILE:
        return structure_of(ReadFile);
    case KD_API_WRITE_FILE:
        return structure_of(WriteFile);
    case KD_API_CLOSE_FILE:
        return structure_of(CloseFile);
    default:
        return structure_of(UnknownFileIo);
    }
}

static void fixed_structures(const struct walk *walk,
                             const struct kd_structure *list[FIXED_STRUCTURES_MAX + 1])
{
    uint16_t machine = walk->session->machine_type;
    memset(list, 0, (FIXED_STRUCTURES_MAX + 1) * sizeof(list[0]));
    switch (walk->item->header.type) {
    case KD_PACKET_STATE_MANIPULATE:
        list[0] = structure_of(Manipulate);
        if (walk->message.api == KD_API_Continue2)
            list[1] = continue2_structure(machine);
        else if (walk->info)
            list[1] = walk->message.reply ? walk->info->reply : walk->info->request;
        else
            list[1] = structure_of(None);
        break;
    case KD_PACKET_STATE_CHANGE64:
        list[0] = structure_of(StateChange);
        list[1] = state_structure(walk->message.api);
        list[2] = report_structure(machine);
        break;
    case KD_PACKET_DEBUG_IO:
        list[0] = structure_of(DebugIo);
        break;
    case KD_PACKET_TRACE_IO:
        list[0] = structure_of(TraceIo);
        break;
    case KD_PACKET_CONTROL_REQUEST:
        list[0] = structure_of(ControlRequest);
        break;
    case KD_PACKET_FILE_IO:
        list[0] = structure_of(FileIo);
        list[1] = file_structure(walk->message.api);
        break;
    default:
        break;
    }
}

static uint8_t file_data_kind(const struct walk *walk)
{
    switch (walk->message.api) {
    case KD_API_CREATE_FILE:
        return walk->message.reply ? KD_DATA_NONE : KD_DATA_UTF16;
    case KD_API_READ_FILE:
    case KD_API_WRITE_FILE:
        return KD_DATA_FILE;
    default:
        return KD_DATA_NONE;
    }
}

static uint8_t body_data_kind(const struct walk *walk)
{
    switch (walk->item->header.type) {
    case KD_PACKET_STATE_MANIPULATE:
        if (!walk->info)
            return KD_DATA_NONE;
        return walk->message.reply ? walk->info->reply_data : walk->info->request_data;
    case KD_PACKET_STATE_CHANGE64:
        switch (walk->message.api & ~(uint32_t)KD_STATE_ALTERNATE) {
        case KD_STATE_LOAD_SYMBOLS:
            return KD_DATA_TEXT;
        case KD_STATE_COMMAND_STRING:
            return KD_DATA_COMMAND;
        default:
            return KD_DATA_TRACE;
        }
    case KD_PACKET_DEBUG_IO:
        return KD_DATA_TEXT;
    case KD_PACKET_TRACE_IO:
        return KD_DATA_TRACE;
    case KD_PACKET_FILE_IO:
        return file_data_kind(walk);
    default:
        return KD_DATA_NONE;
    }
}

/* Older targets put a CONTEXT in front of the path, which is always the last bytes of the body. */
static size_t bytes_before_path(const struct walk *walk, size_t data_size)
{
    if (walk->item->header.type != KD_PACKET_STATE_CHANGE64 ||
        (walk->message.api & ~(uint32_t)KD_STATE_ALTERNATE) != KD_STATE_LOAD_SYMBOLS)
        return 0;
    uint64_t path = KD_GET(walk->item->body, LoadSymbols, PathNameLength);
    return path > 0 && path < data_size ? data_size - (size_t)path : 0;
}

static void walk_body(struct walk *walk)
{
    const uint8_t *body = walk->item->body;
    size_t size = walk->item->body_size, at = 0;
    const struct kd_structure *list[FIXED_STRUCTURES_MAX + 1];
    walk->part.section = KD_SECTION_FIXED;
    fixed_structures(walk, list);
    for (size_t i = 0; list[i] && at < size; i++)
        at += emit_fields(walk, list[i], body + at, size - at, at);
    walk->part.structure = NULL;
    if (at >= size)
        return;
    size_t before = bytes_before_path(walk, size - at);
    if (before) {
        walk->part.section = KD_SECTION_EXTRA;
        walk->part.data = KD_DATA_CONTEXT;
        emit_run(walk, body + at, before);
        at += before;
    }
    emit_data(walk, body_data_kind(walk), body + at, size - at);
}

static void walk_packet(struct walk *walk)
{
    const struct kd_item *item = walk->item;
    walk->part.section = KD_SECTION_HEADER;
    size_t used = emit_fields(walk, structure_of(PacketHeader), item->raw, item->raw_size, 0);
    if (item->body_size && item->body_size <= item->raw_size - used) {
        walk_body(walk);
        used += item->body_size;
    }
    walk->part.section = KD_SECTION_TRAILER;
    walk->part.data = KD_DATA_NONE;
    walk->part.place = 0;
    emit_run(walk, item->raw + used, item->raw_size - used);
}

void kd_decode_walk(const struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item,
                    void (*visit)(void *context, const struct kd_part *part), void *context)
{
    struct walk walk = {.session = session, .item = item, .visit = visit, .context = context};
    kd_decode_message(direction, item, &walk.message);
    if (item->kind != KD_ITEM_PACKET) {
        walk.part.section = KD_SECTION_DATA;
        if (item->kind == KD_ITEM_JUNK) /* mostly console text */
            walk.part.data = KD_DATA_TEXT;
        emit_run(&walk, item->raw, item->raw_size);
        return;
    }
    if (item->raw_size >= KD_HEADER_SIZE && item->header.type == KD_PACKET_STATE_MANIPULATE)
        walk.info = kd_api_info(walk.message.api);
    walk_packet(&walk);
}

const char *kd_data_kind_name(uint8_t kind)
{
    switch (kind) {
    case KD_DATA_MEMORY:
        return "memory";
    case KD_DATA_CONTEXT:
        return "context";
    case KD_DATA_CONTEXT_PART:
        return "context-part";
    case KD_DATA_CONTROL_SPACE:
        return "control-space";
    case KD_DATA_ADDRESSES:
        return "addresses";
    case KD_DATA_BREAKPOINTS:
        return "breakpoints";
    case KD_DATA_HANDLES:
        return "handles";
    case KD_DATA_PATTERN:
        return "pattern";
    case KD_DATA_BUS_DATA:
        return "bus-data";
    case KD_DATA_TEXT:
        return "text";
    case KD_DATA_COMMAND:
        return "command";
    case KD_DATA_UTF16:
        return "utf-16";
    case KD_DATA_FILE:
        return "file";
    case KD_DATA_TRACE:
        return "trace";
    default:
        return "bytes";
    }
}
