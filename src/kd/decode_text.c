/* SPDX-License-Identifier: BSD-2-Clause */
/* One item as a summary line, and as all its fields for a reader. */
#include "out.h"

enum {
    /* Bytes of memory shown in a summary: one line of a terminal must hold it. */
    PREVIEW_BYTES = 16,
    /* Characters of text shown in a summary: NT cuts prints there, so that no print is cut. */
    PREVIEW_TEXT = KD_PRINT_MAX,
    /* Fields of the fixed part: STATE_CHANGE64 has the most, 36. */
    FACTS_MAX = 64,
    TELLING_MAX = 4, /* fields of a structure in the data that a summary shows */
    NAME_WIDTH = 26, /* fits nearly all field names; a longer one moves its value */
    DUMP_WIDTH = 16,
};

/* ---- values ---- */

static void put_number(struct kd_out *out, uint64_t value)
{
    kd_out_text(out, "0x");
    kd_out_hex(out, value, 1);
}

static void put_flags(struct kd_out *out, const struct kd_field *field, uint64_t value)
{
    bool any = false;
    put_number(out, value);
    for (const struct kd_name *name = field->names; name && name->name; name++) {
        if (!name->value || (value & name->value) != name->value)
            continue;
        kd_out_text(out, any ? "|" : " (");
        kd_out_text(out, name->name);
        any = true;
    }
    if (any)
        kd_out_char(out, ')');
}

static void put_named(struct kd_out *out, const char *name, uint64_t value, bool both)
{
    if (name)
        kd_out_text(out, name);
    if (name && both)
        kd_out_text(out, " (");
    if (!name || both)
        put_number(out, value);
    if (name && both)
        kd_out_char(out, ')');
}

static void put_address(struct kd_out *out, uint64_t address)
{
    const struct kd_decode_session *session = out->session;
    char name[KD_DECODE_NAME_MAX + 1];
    put_number(out, address);
    if (!session || !session->name_address)
        return;
    size_t size = session->name_address(session->name_context, address, name, sizeof(name) - 1);
    if (!size)
        return;
    name[size] = 0;
    kd_out_text(out, " (");
    kd_out_text(out, name);
    kd_out_char(out, ')');
}

/* BOTH: a name is followed by its number. */
static void put_value(struct kd_out *out, const struct kd_field *field, const uint8_t *bytes,
                      bool both)
{
    uint64_t value = kd_get_uint(bytes, field->size);
    switch (field->format) {
    case KD_FORMAT_DEC:
    case KD_FORMAT_BOOL:
        kd_out_dec(out, value);
        break;
    case KD_FORMAT_ADDRESS:
        put_address(out, value);
        break;
    case KD_FORMAT_STATUS:
        put_named(out, kd_status_name((uint32_t)value), value, both);
        break;
    case KD_FORMAT_ENUM:
        put_named(out, kd_name_of(field->names, value), value, both);
        break;
    case KD_FORMAT_FLAGS:
        put_flags(out, field, value);
        break;
    case KD_FORMAT_TEXT:
        kd_out_quoted(out, bytes, field->size, field->size);
        break;
    case KD_FORMAT_BYTES:
    case KD_FORMAT_WORDS:
    case KD_FORMAT_PAD:
        kd_out_bytes(out, bytes, field->size, ' ');
        break;
    default:
        put_number(out, value);
        break;
    }
}

/* ---- the summary ---- */

/* Which fields tell most: {Field} is replaced by its value. */
struct headline {
    uint16_t type;
    uint32_t api;
    const char *request, *reply;
};

#define MANIPULATE(api, request, reply)                                                            \
    {                                                                                              \
        KD_PACKET_STATE_MANIPULATE, KD_API_##api, request, reply                                   \
    }
#define EXTENDED_PORT                                                                              \
    "port {IoAddress}, {DataSize} bytes, interface {InterfaceType}, bus {BusNumber}"
#define BUS                                                                                        \
    "type {BusDataType}, bus {BusNumber}, slot {SlotNumber}, offset {Offset}, {Length} bytes"

static const struct headline headlines[] = {
    MANIPULATE(ReadVirtualMemory, "{TargetBaseAddress}, {TransferCount} bytes",
               "{TargetBaseAddress}, {ActualBytes} of {TransferCount} bytes"),
    MANIPULATE(WriteVirtualMemory, "{TargetBaseAddress}, {TransferCount} bytes",
               "{TargetBaseAddress}, {ActualBytes} of {TransferCount} bytes"),
    MANIPULATE(GetContext, "processor {Processor}", "processor {Processor}"),
    MANIPULATE(SetContext, "processor {Processor}", "processor {Processor}"),
    MANIPULATE(WriteBreakPoint, "{BreakPointAddress}",
               "{BreakPointAddress}, handle {BreakPointHandle}"),
    MANIPULATE(RestoreBreakPoint, "handle {BreakPointHandle}", ""),
    MANIPULATE(Continue, "{ContinueStatus}", ""),
    MANIPULATE(ReadControlSpace, "{TargetBaseAddress}, {TransferCount} bytes",
               "{TargetBaseAddress}, {ActualBytes} of {TransferCount} bytes"),
    MANIPULATE(WriteControlSpace, "{TargetBaseAddress}, {TransferCount} bytes",
               "{TargetBaseAddress}, {ActualBytes} of {TransferCount} bytes"),
    MANIPULATE(ReadIoSpace, "port {IoAddress}, {DataSize} bytes",
               "port {IoAddress}, {DataSize} bytes = {DataValue}"),
    MANIPULATE(WriteIoSpace, "port {IoAddress}, {DataSize} bytes = {DataValue}",
               "port {IoAddress}, {DataSize} bytes"),
    MANIPULATE(Continue2, "{ContinueStatus}, trace {TraceFlag}, dr7 {Dr7}", ""),
    MANIPULATE(ReadPhysicalMemory, "{TargetBaseAddress}, {TransferCount} bytes, {CacheFlags}",
               "{TargetBaseAddress}, {ActualBytes} of {TransferCount} bytes"),
    MANIPULATE(WritePhysicalMemory, "{TargetBaseAddress}, {TransferCount} bytes, {CacheFlags}",
               "{TargetBaseAddress}, {ActualBytes} of {TransferCount} bytes"),
    MANIPULATE(QuerySpecialCalls, "", "{NumberOfSpecialCalls} calls"),
    MANIPULATE(SetSpecialCall, "{SpecialCall}", ""),
    MANIPULATE(SetInternalBreakPoint, "{BreakpointAddress}, {Flags}", ""),
    MANIPULATE(GetInternalBreakPoint, "{BreakpointAddress}", "{Flags}, {Calls} calls"),
    MANIPULATE(ReadIoSpaceExtended, EXTENDED_PORT, EXTENDED_PORT " = {DataValue}"),
    MANIPULATE(WriteIoSpaceExtended, EXTENDED_PORT " = {DataValue}", EXTENDED_PORT),
    MANIPULATE(GetVersion, "",
               "{MachineType}, protocol {ProtocolVersion}, build {MinorVersion}, "
               "kernel {KernBase}, modules {PsLoadedModuleList}"),
    MANIPULATE(WriteBreakPointEx, "{BreakPointCount} breakpoints", "{BreakPointCount} breakpoints"),
    MANIPULATE(RestoreBreakPointEx, "{BreakPointCount} handles", "{BreakPointCount} handles"),
    MANIPULATE(SwitchProcessor, "to {Processor}", ""),
    MANIPULATE(PageIn, "{Address}", ""),
    MANIPULATE(ReadMachineSpecificRegister, "{Msr}", "{Msr} = {DataValueHigh}:{DataValueLow}"),
    MANIPULATE(WriteMachineSpecificRegister, "{Msr} = {DataValueHigh}:{DataValueLow}", "{Msr}"),
    MANIPULATE(SearchMemory, "{SearchAddress}, {SearchLength} bytes", "found {FoundAddress}"),
    MANIPULATE(GetBusData, BUS, BUS),
    MANIPULATE(SetBusData, BUS, BUS),
    MANIPULATE(FillMemory, "{Address}, {Length} bytes, {Flags}", "{Address}, {Length} bytes"),
    MANIPULATE(QueryMemory, "{Address}", "{Address}, {AddressSpace}, {Flags}"),
    MANIPULATE(SwitchPartition, "to {Partition}", ""),
    MANIPULATE(WriteCustomBreakpoint, "{BreakPointAddress}, {BreakPointInstruction}",
               "{BreakPointAddress}, handle {BreakPointHandle}"),
    MANIPULATE(GetContextEx, "offset {Offset}, {ByteCount} bytes",
               "offset {Offset}, {BytesCopied} bytes"),
    MANIPULATE(SetContextEx, "offset {Offset}, {ByteCount} bytes",
               "offset {Offset}, {BytesCopied} bytes"),
    {KD_PACKET_STATE_CHANGE64, KD_STATE_EXCEPTION,
     "{ExceptionCode} at {ProgramCounter}, processor {Processor} of {NumberProcessors}, "
     "first chance {FirstChance}",
     ""},
    {KD_PACKET_STATE_CHANGE64, KD_STATE_LOAD_SYMBOLS,
     "base {BaseOfDll}, size {SizeOfImage}, unload {UnloadSymbols}", ""},
    {KD_PACKET_STATE_CHANGE64, KD_STATE_COMMAND_STRING, "processor {Processor}", ""},
    {KD_PACKET_DEBUG_IO, KD_API_GET_STRING, "at most {LengthOfStringRead} bytes", ""},
    {KD_PACKET_TRACE_IO, KD_API_PRINT_TRACE, "{LengthOfData} bytes", ""},
    {KD_PACKET_CONTROL_REQUEST, KD_API_REQUEST_HARDWARE_BREAKPOINT,
     "number {HardwareBreakPointNumber}", "available {Available}"},
    {KD_PACKET_CONTROL_REQUEST, KD_API_RELEASE_HARDWARE_BREAKPOINT,
     "number {HardwareBreakPointNumber}", ""},
    {KD_PACKET_FILE_IO, KD_API_CREATE_FILE, "", "{Status}, handle {Handle}, {Length} bytes"},
    {KD_PACKET_FILE_IO, KD_API_READ_FILE, "handle {Handle}, offset {Offset}, {Length} bytes",
     "{Status}, {Length} bytes"},
    {KD_PACKET_FILE_IO, KD_API_WRITE_FILE, "handle {Handle}, offset {Offset}, {Length} bytes",
     "{Status}, {Length} bytes"},
    {KD_PACKET_FILE_IO, KD_API_CLOSE_FILE, "handle {Handle}", "{Status}"},
};

static const struct headline *headline_of(uint16_t type, uint32_t api)
{
    if (type == KD_PACKET_STATE_CHANGE64)
        api &= ~(uint32_t)KD_STATE_ALTERNATE;
    for (size_t i = 0; i < sizeof(headlines) / sizeof(headlines[0]); i++) {
        if (headlines[i].type == type && headlines[i].api == api)
            return &headlines[i];
    }
    return NULL;
}

/* The fields of structures in the data that tell most. */
static const char *const telling_fields[] = {
    "Rip", "Rsp", "Eip", "Esp", "Pc", "Sp", "Cr0", "Cr3", "DllBase", "SizeOfImage", "PteBase",
};

struct fact {
    const struct kd_field *field;
    const uint8_t *bytes;
};

/* What a summary needs of an item. */
struct facts {
    size_t count, telling_count;
    const struct kd_structure *structure; /* of the data; NULL = plain bytes */
    uint8_t data_kind;
    const uint8_t *data; /* NULL = no data */
    size_t data_size;
    struct fact telling[TELLING_MAX]; /* only the first of these are set */
    struct fact fixed[FACTS_MAX];
};

static bool is_called(const char *name, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (name[i] != from[i]) /* a shorter name ends in a NUL, which FROM has not */
            return false;
    }
    return !name[size];
}

static bool is_telling(const char *name)
{
    for (size_t i = 0; i < sizeof(telling_fields) / sizeof(telling_fields[0]); i++) {
        const char *telling = telling_fields[i];
        size_t size = 1;
        if (telling[0] != name[0])
            continue; /* nearly always */
        while (telling[size])
            size++;
        if (is_called(name, telling, size))
            return true;
    }
    return false;
}

/* The lists stay as they are: that is most of it, and nobody reads behind their counts. */
static void clear(struct facts *facts)
{
    facts->count = facts->telling_count = facts->data_size = 0;
    facts->structure = NULL;
    facts->data_kind = KD_DATA_NONE;
    facts->data = NULL;
}

static void gather_data(struct facts *facts, const struct kd_part *part)
{
    if (!facts->data) {
        facts->data = part->bytes;
        facts->data_kind = part->data;
        facts->structure = part->structure;
    }
    facts->data_size += part->size; /* the parts follow each other */
    if (part->field && facts->telling_count < TELLING_MAX && is_telling(part->field->name))
        facts->telling[facts->telling_count++] = (struct fact){part->field, part->bytes};
}

static void gather(void *context, const struct kd_part *part)
{
    struct facts *facts = context;
    if (part->section == KD_SECTION_FIXED && part->field && facts->count < FACTS_MAX)
        facts->fixed[facts->count++] = (struct fact){part->field, part->bytes};
    else if (part->section == KD_SECTION_DATA)
        gather_data(facts, part);
}

static void put_fact(struct kd_out *out, const struct facts *facts, const char *name, size_t size)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (is_called(facts->fixed[i].field->name, name, size)) {
            put_value(out, facts->fixed[i].field, facts->fixed[i].bytes, false);
            return;
        }
    }
    kd_out_char(out, '?'); /* cut off, or not in this machine's form */
}

static void put_template(struct kd_out *out, const struct facts *facts, const char *text)
{
    while (*text) {
        const char *start = text;
        while (*text && *text != '{')
            text++;
        kd_out_run(out, start, (size_t)(text - start));
        if (!*text)
            return;
        const char *name = ++text;
        while (*text != '}')
            text++;
        put_fact(out, facts, name, (size_t)(text - name));
        text++;
    }
}

/* "LoaderEntry64 of 136 bytes, DllBase 0x..., SizeOfImage 0x..." */
static void put_structure(struct kd_out *out, const struct facts *facts)
{
    kd_out_text(out, facts->structure->name);
    kd_out_text(out, " of ");
    kd_out_dec(out, facts->data_size);
    kd_out_text(out, " bytes");
    for (size_t i = 0; i < facts->telling_count; i++) {
        kd_out_text(out, ", ");
        kd_out_text(out, facts->telling[i].field->name);
        kd_out_char(out, ' ');
        put_value(out, facts->telling[i].field, facts->telling[i].bytes, false);
    }
}

static void put_preview(struct kd_out *out, const struct facts *facts)
{
    const uint8_t *data = facts->data;
    size_t size = facts->data_size;
    if (facts->structure) {
        put_structure(out, facts);
        return;
    }
    switch (facts->data_kind) {
    case KD_DATA_TEXT:
        kd_out_quoted(out, data, kd_out_trimmed(data, size, 1), PREVIEW_TEXT);
        break;
    case KD_DATA_COMMAND:
        kd_out_quoted(out, data, kd_out_trimmed(data, size, 1), PREVIEW_TEXT);
        break;
    case KD_DATA_UTF16:
        kd_out_quoted_utf16(out, data, kd_out_trimmed(data, size, 2), PREVIEW_TEXT);
        break;
    default:
        kd_out_bytes_cut(out, data, size, PREVIEW_BYTES);
        break;
    }
}

static void put_faults(struct kd_out *out, const struct kd_item *item)
{
    if (item->faults & KD_FAULT_CHECKSUM)
        kd_out_text(out, " [checksum wrong]");
    if (item->faults & KD_FAULT_TRAILER)
        kd_out_text(out, " [trailer missing]");
    if (item->faults & KD_FAULT_LENGTH)
        kd_out_text(out, " [impossible length]");
    if (item->faults & KD_FAULT_CUT) {
        kd_out_text(out, " [cut: ");
        kd_out_dec(out, item->raw_size);
        kd_out_text(out, " bytes came]");
    }
}

static void put_message_name(struct kd_out *out, const struct kd_item *item,
                             const struct kd_message *message)
{
    const char *type = kd_packet_type_name(item->header.type);
    if (message->name) {
        kd_out_text(out, message->name);
        return;
    }
    if (type) {
        kd_out_text(out, type);
    } else {
        kd_out_text(out, "packet type ");
        kd_out_dec(out, item->header.type);
    }
    if (item->body_size >= 4) {
        kd_out_text(out, " number ");
        put_number(out, kd_get_u32(item->body));
    }
}

static void put_unload(struct kd_out *out, const struct kd_item *item)
{
    if (item->body_size < KD_STATE_CHANGE_SIZE ||
        (KD_GET(item->body, StateChange, NewState) & 0xFFFF) != KD_STATE_LOAD_SYMBOLS ||
        !KD_GET(item->body, LoadSymbols, UnloadSymbols))
        return;
    uint64_t base = KD_GET(item->body, LoadSymbols, BaseOfDll);
    if (base == UINT64_MAX)
        kd_out_text(out, " (the target restarts or shuts down)");
    else if (base == UINT64_MAX - 1)
        kd_out_text(out, " (the target hibernates)");
}

static void put_packet_line(struct kd_out *out, const struct kd_decode_session *session,
                            enum kd_direction direction, const struct kd_item *item)
{
    struct kd_message message;
    struct facts facts;
    kd_decode_message(direction, item, &message);
    put_message_name(out, item, &message);
    if (item->header.leader == KD_LEADER_CONTROL && !kd_fixed_size(item->header.type))
        return; /* half of all packets: a name is all that they say */
    clear(&facts);
    kd_decode_walk(session, direction, item, gather, &facts);
    if (message.reply || (message.has_reply && item->header.type == KD_PACKET_STATE_MANIPULATE))
        kd_out_text(out, message.reply ? " reply" : " request");
    if (message.reply && item->header.type == KD_PACKET_STATE_MANIPULATE && item->body_size >= 12 &&
        KD_GET(item->body, Manipulate, ReturnStatus) != KD_STATUS_SUCCESS) {
        kd_out_char(out, ' ');
        put_fact(out, &facts, "ReturnStatus", sizeof("ReturnStatus") - 1);
    }
    const struct headline *headline = headline_of(item->header.type, message.api);
    const char *text = headline ? (message.reply ? headline->reply : headline->request) : "";
    if (*text) {
        kd_out_text(out, ": ");
        put_template(out, &facts, text);
    }
    if (item->header.type == KD_PACKET_STATE_CHANGE64)
        put_unload(out, item);
    if (facts.data) {
        kd_out_text(out, ": ");
        put_preview(out, &facts);
    }
}

static void put_caption(struct kd_out *out, enum kd_direction direction, const struct kd_item *item)
{
    switch (item->kind) {
    case KD_ITEM_PACKET:
        if (item->raw_size >= KD_HEADER_SIZE) {
            put_packet_line(out, out->session, direction, item);
        } else {
            kd_out_text(out, "packet: ");
            kd_out_bytes(out, item->raw, item->raw_size, ' ');
        }
        put_faults(out, item);
        break;
    case KD_ITEM_BREAK_IN:
        kd_out_text(out, "break-in");
        break;
    case KD_ITEM_JUNK:
        kd_out_text(out, "junk, ");
        kd_out_dec(out, item->raw_size);
        kd_out_text(out, " bytes: ");
        kd_out_quoted(out, item->raw, item->raw_size, PREVIEW_TEXT);
        break;
    default:
        kd_out_text(out, "nothing");
        break;
    }
}

void kd_decode_caption(const struct kd_decode_session *session, enum kd_direction direction,
                       const struct kd_item *item, const struct kd_sink *sink)
{
    struct kd_out out;
    kd_out_begin(&out, sink, session);
    put_caption(&out, direction, item);
    kd_out_flush(&out);
}

void kd_decode_summary(struct kd_decode_session *session, enum kd_direction direction,
                       const struct kd_item *item, const struct kd_sink *sink)
{
    struct kd_out out;
    kd_out_begin(&out, sink, session);
    if (item->kind == KD_ITEM_PACKET && item->raw_size >= KD_HEADER_SIZE) {
        kd_out_hex(&out, item->header.id, 8);
        kd_out_char(&out, ' ');
    }
    put_caption(&out, direction, item);
    kd_out_flush(&out);
    kd_decode_learn(session, direction, item);
}

/* ---- all fields ---- */

struct text {
    struct kd_out out;
    size_t indent;
    enum kd_section section;
    bool started;
    uint64_t dump_at; /* address of the next byte of a dump in the data */
};

static void put_dump(struct text *text, size_t indent, uint64_t address, const uint8_t *bytes,
                     size_t size)
{
    for (size_t at = 0; at < size; at += DUMP_WIDTH) {
        size_t count = size - at < DUMP_WIDTH ? size - at : DUMP_WIDTH;
        kd_out_pad(&text->out, indent);
        kd_out_hex(&text->out, address + at, address + size > UINT32_MAX ? 16 : 8);
        kd_out_text(&text->out, "  ");
        kd_out_bytes(&text->out, bytes + at, count, ' ');
        kd_out_pad(&text->out, 3 * (DUMP_WIDTH - count) + 2);
        for (size_t i = 0; i < count; i++) {
            uint8_t c = bytes[at + i];
            kd_out_char(&text->out, c >= 0x20 && c < 0x7F ? (char)c : '.');
        }
        kd_out_char(&text->out, '\n');
    }
}

static void put_name(struct text *text, const char *name, size_t indent)
{
    size_t size = 0;
    kd_out_pad(&text->out, indent);
    while (name[size])
        size++;
    kd_out_text(&text->out, name);
    kd_out_pad(&text->out, size < NAME_WIDTH ? NAME_WIDTH - size : 1);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

static void put_long_field(struct text *text, const struct kd_part *part, size_t indent)
{
    kd_out_dec(&text->out, part->size);
    if (part->size > DUMP_WIDTH && all_zero(part->bytes, part->size)) {
        kd_out_text(&text->out, " bytes, all zero\n");
        return;
    }
    kd_out_text(&text->out,
                part->field->format == KD_FORMAT_PAD ? " bytes without meaning\n" : " bytes\n");
    put_dump(text, indent + 2, 0, part->bytes, part->size);
}

static void put_words(struct text *text, const struct kd_part *part)
{
    for (size_t at = 0; part->size - at >= 8; at += 8) {
        if (at)
            kd_out_char(&text->out, ' ');
        put_number(&text->out, kd_get_u64(part->bytes + at));
    }
    kd_out_char(&text->out, '\n');
}

static void put_field(struct text *text, const struct kd_part *part)
{
    size_t indent = text->indent + (part->section == KD_SECTION_HEADER ? 0 : 2);
    if (part->section == KD_SECTION_DATA)
        indent += part->parent ? 4 : 2;
    put_name(text, part->field->name, indent);
    uint8_t format = part->field->format;
    bool bytes = format == KD_FORMAT_BYTES || format == KD_FORMAT_PAD;
    if (format == KD_FORMAT_WORDS) {
        put_words(text, part);
    } else if (bytes && part->size > DUMP_WIDTH) {
        put_long_field(text, part, indent);
    } else {
        put_value(&text->out, part->field, part->bytes, true);
        if (format == KD_FORMAT_PAD)
            kd_out_text(&text->out, " (without meaning)");
        kd_out_char(&text->out, '\n');
    }
}

static void put_run(struct text *text, const struct kd_part *part)
{
    size_t indent = text->indent + 2;
    if (part->section == KD_SECTION_DATA &&
        (part->data == KD_DATA_TEXT || part->data == KD_DATA_COMMAND)) {
        kd_out_pad(&text->out, indent);
        kd_out_quoted(&text->out, part->bytes, part->size, part->size);
        kd_out_char(&text->out, '\n');
    } else if (part->section == KD_SECTION_DATA && part->data == KD_DATA_UTF16) {
        kd_out_pad(&text->out, indent);
        kd_out_quoted_utf16(&text->out, part->bytes, part->size, part->size);
        kd_out_char(&text->out, '\n');
        if (part->size % 2)
            put_dump(text, indent, part->size - 1, part->bytes + part->size - 1, 1);
    } else {
        put_dump(text, indent, text->dump_at, part->bytes, part->size);
    }
}

static void put_title(struct text *text, const struct kd_part *part)
{
    kd_out_pad(&text->out, text->indent);
    switch (part->section) {
    case KD_SECTION_FIXED:
        kd_out_text(&text->out, "body");
        break;
    case KD_SECTION_EXTRA:
        kd_out_text(&text->out, "bytes before the path");
        break;
    case KD_SECTION_TRAILER:
        kd_out_text(&text->out, "trailer");
        break;
    default:
        kd_out_text(&text->out, "data: ");
        kd_out_text(&text->out, kd_data_kind_name(part->data));
        if (part->structure) {
            kd_out_char(&text->out, ' ');
            kd_out_text(&text->out, part->structure->name);
        }
        break;
    }
    kd_out_char(&text->out, '\n');
}

static void show_part(void *context, const struct kd_part *part)
{
    struct text *text = context;
    if (!text->started || part->section != text->section) {
        text->started = true;
        text->section = part->section;
        text->dump_at = part->place;
        if (part->section != KD_SECTION_HEADER)
            put_title(text, part);
    }
    if (part->array && part->offset == 0) {
        kd_out_pad(&text->out, text->indent + 2);
        kd_out_char(&text->out, '[');
        kd_out_dec(&text->out, part->index);
        kd_out_text(&text->out, "]\n");
    }
    if (part->field)
        put_field(text, part);
    else
        put_run(text, part);
    text->dump_at += part->size;
}

void kd_decode_text(struct kd_decode_session *session, enum kd_direction direction,
                    const struct kd_item *item, unsigned indent, const struct kd_sink *sink)
{
    struct text text = {.out.sink = sink, .out.session = session, .indent = indent};
    kd_decode_walk(session, direction, item, show_part, &text);
    kd_out_flush(&text.out);
    kd_decode_learn(session, direction, item);
}
