/* SPDX-License-Identifier: BSD-2-Clause */
/* The run-time tables, made from the lists of kdwire/protocol.h and kdwire/fields.h. */
#include "kdwire/protocol.h"

#define NAME_END                                                                                   \
    {                                                                                              \
        0, NULL                                                                                    \
    }

static const struct kd_name names_Leader[] = {
    {KD_LEADER_DATA, "Data"},
    {KD_LEADER_CONTROL, "Control"},
    NAME_END,
};

static const struct kd_name names_PacketType[] = {
#define PACKET_TYPE_NAME(name, value) {(value), #name},
    KD_PACKET_TYPE_MAP(PACKET_TYPE_NAME) NAME_END,
};

static const struct kd_name names_Api[] = {
#define API_NAME(name, value, request, reply, request_data, reply_data, replies) {(value), #name},
    KD_API_MAP(API_NAME) NAME_END,
};

static const struct kd_name names_StateChange[] = {
    {KD_STATE_EXCEPTION, "Exception"},
    {KD_STATE_LOAD_SYMBOLS, "LoadSymbols"},
    {KD_STATE_COMMAND_STRING, "CommandString"},
    {KD_STATE_EXCEPTION | KD_STATE_ALTERNATE, "ExceptionAlternate"},
    {KD_STATE_LOAD_SYMBOLS | KD_STATE_ALTERNATE, "LoadSymbolsAlternate"},
    {KD_STATE_COMMAND_STRING | KD_STATE_ALTERNATE, "CommandStringAlternate"},
    NAME_END,
};

static const struct kd_name names_DebugIo[] = {
    {KD_API_PRINT_STRING, "PrintString"},
    {KD_API_GET_STRING, "GetString"},
    NAME_END,
};

static const struct kd_name names_TraceIo[] = {
    {KD_API_PRINT_TRACE, "PrintTrace"},
    NAME_END,
};

static const struct kd_name names_ControlRequest[] = {
    {KD_API_REQUEST_HARDWARE_BREAKPOINT, "RequestHardwareBreakpoint"},
    {KD_API_RELEASE_HARDWARE_BREAKPOINT, "ReleaseHardwareBreakpoint"},
    NAME_END,
};

static const struct kd_name names_FileIo[] = {
    {KD_API_CREATE_FILE, "CreateFile"},
    {KD_API_READ_FILE, "ReadFile"},
    {KD_API_WRITE_FILE, "WriteFile"},
    {KD_API_CLOSE_FILE, "CloseFile"},
    NAME_END,
};

static const struct kd_name names_VersionFlags[] = {
    {0x01, "MP"},     {0x02, "DATA"},       {0x04, "PTR64"},      {0x08, "NOMM"},
    {0x10, "HWSTEP"}, {0x20, "PARTITIONS"}, {0x40, "HAL_MERGED"}, NAME_END,
};

/* High byte: what kind of target; low byte: 0x0F free build, 0x0C checked build. */
#define MAJOR_VERSION(kind, name)                                                                  \
    {(kind) << 8 | 0x0F, name},                                                                    \
    {                                                                                              \
        (kind) << 8 | 0x0C, name "Checked"                                                         \
    }
static const struct kd_name names_MajorVersion[] = {
    MAJOR_VERSION(0, "NT"),
    MAJOR_VERSION(1, "Xbox"),
    MAJOR_VERSION(2, "BIG"),
    MAJOR_VERSION(3, "EXDI"),
    MAJOR_VERSION(4, "BootDebugger"),
    MAJOR_VERSION(5, "EFI"),
    MAJOR_VERSION(6, "TNT"),
    MAJOR_VERSION(7, "Singularity"),
    MAJOR_VERSION(8, "Hypervisor"),
    MAJOR_VERSION(9, "Midori"),
    NAME_END,
};

static const struct kd_name names_MachineType[] = {
    {KD_MACHINE_AMD64, "AMD64"},
    {KD_MACHINE_I386, "I386"},
    {KD_MACHINE_ARM64, "ARM64"},
    {KD_MACHINE_ARM_NT, "ARM_NT"},
    NAME_END,
};

static const struct kd_name names_Simulation[] = {
    {0, "None"},
    {1, "EXDI"},
    NAME_END,
};

/* BUS_DATA_TYPE and INTERFACE_TYPE of the Windows driver kit's documentation. */
static const struct kd_name names_BusDataType[] = {
    {0, "Cmos"},
    {1, "EisaConfiguration"},
    {2, "Pos"},
    {3, "CbusConfiguration"},
    {4, "PCIConfiguration"},
    NAME_END,
};

static const struct kd_name names_InterfaceType[] = {
    {0, "Internal"},     {1, "Isa"},    {2, "Eisa"}, {3, "MicroChannel"},
    {4, "TurboChannel"}, {5, "PCIBus"}, NAME_END,
};

/* The parameters of ZwCreateFile, as its documentation names them. */
static const struct kd_name names_FileAccess[] = {
    {0x1, "READ_DATA"},        {0x2, "WRITE_DATA"},         {0x4, "APPEND_DATA"},
    {0x8, "READ_EA"},          {0x10, "WRITE_EA"},          {0x20, "EXECUTE"},
    {0x80, "READ_ATTRIBUTES"}, {0x100, "WRITE_ATTRIBUTES"}, {0x10000, "DELETE"},
    {0x20000, "READ_CONTROL"}, {0x100000, "SYNCHRONIZE"},   NAME_END,
};

static const struct kd_name names_FileAttributes[] = {
    {0x1, "READONLY"}, {0x2, "HIDDEN"},  {0x4, "SYSTEM"},      {0x10, "DIRECTORY"},
    {0x20, "ARCHIVE"}, {0x80, "NORMAL"}, {0x100, "TEMPORARY"}, NAME_END,
};

static const struct kd_name names_FileShare[] = {
    {1, "READ"},
    {2, "WRITE"},
    {4, "DELETE"},
    NAME_END,
};

static const struct kd_name names_FileDisposition[] = {
    {0, "Supersede"}, {1, "Open"},        {2, "Create"}, {3, "OpenIf"},
    {4, "Overwrite"}, {5, "OverwriteIf"}, NAME_END,
};

static const struct kd_name names_ExceptionFlags[] = {
    {1, "NONCONTINUABLE"},
    NAME_END,
};

static const struct kd_name names_FillFlags[] = {
    {1, "VIRTUAL"},
    {2, "PHYSICAL"},
    NAME_END,
};

/* In the reply of QueryMemory; requests carry 0. */
static const struct kd_name names_AddressSpace[] = {
    {0, "Process"},
    {1, "Session"},
    {2, "Kernel"},
    NAME_END,
};

static const struct kd_name names_MemoryFlags[] = {
    {1, "READ"}, {2, "WRITE"}, {4, "EXECUTE"}, {8, "FIXED"}, NAME_END,
};

static const struct kd_name names_InternalBreakpoint[] = {
    {1, "COUNT_ONLY"}, {2, "INVALID"}, {4, "SUSPENDED"}, {8, "DYING"}, NAME_END,
};

static const struct kd_name names_ReportFlags[] = {
    {1, "SEGMENTS"},
    {2, "STANDARD_CS"},
    NAME_END,
};

static const struct kd_name names_ContextAmd64[] = {
    {0x00100000, "AMD64"},    {0x01, "CONTROL"},         {0x02, "INTEGER"}, {0x04, "SEGMENTS"},
    {0x08, "FLOATING_POINT"}, {0x10, "DEBUG_REGISTERS"}, {0x40, "XSTATE"},  NAME_END,
};

static const struct kd_name names_ContextX86[] = {
    {0x00010000, "I386"},         {0x01, "CONTROL"},        {0x02, "INTEGER"},
    {0x04, "SEGMENTS"},           {0x08, "FLOATING_POINT"}, {0x10, "DEBUG_REGISTERS"},
    {0x20, "EXTENDED_REGISTERS"}, {0x40, "XSTATE"},         NAME_END,
};

static const struct kd_name names_ContextArm64[] = {
    {0x00400000, "ARM64"},    {0x01, "CONTROL"},         {0x02, "INTEGER"},
    {0x04, "FLOATING_POINT"}, {0x08, "DEBUG_REGISTERS"}, NAME_END,
};

/* Intel SDM volume 1, 3.4.3; IOPL is a number of two bits. */
static const struct kd_name names_EFlags[] = {
    {0x1, "CF"},     {0x4, "PF"},     {0x10, "AF"},    {0x40, "ZF"},     {0x80, "SF"},
    {0x100, "TF"},   {0x200, "IF"},   {0x400, "DF"},   {0x800, "OF"},    {0x4000, "NT"},
    {0x10000, "RF"}, {0x20000, "VM"}, {0x40000, "AC"}, {0x200000, "ID"}, NAME_END,
};

/* IMAGE_FILE_HEADER and IMAGE_OPTIONAL_HEADER of the "PE Format" document. */
static const struct kd_name names_ImageFlags[] = {
    {0x1, "RELOCS_STRIPPED"},
    {0x2, "EXECUTABLE_IMAGE"},
    {0x20, "LARGE_ADDRESS_AWARE"},
    {0x100, "MACHINE_32BIT"},
    {0x200, "DEBUG_STRIPPED"},
    {0x1000, "SYSTEM"},
    {0x2000, "DLL"},
    NAME_END,
};

static const struct kd_name names_ImageMagic[] = {
    {0x10B, "PE32"},
    {0x20B, "PE32Plus"},
    NAME_END,
};

static const struct kd_name names_Subsystem[] = {
    {1, "Native"},
    {2, "WindowsGui"},
    {3, "WindowsCui"},
    {10, "EfiApplication"},
    {11, "EfiBootServiceDriver"},
    {12, "EfiRuntimeDriver"},
    {13, "EfiRom"},
    {16, "WindowsBootApplication"},
    NAME_END,
};

static const struct kd_name names_DllFlags[] = {
    {0x20, "HIGH_ENTROPY_VA"}, {0x40, "DYNAMIC_BASE"},
    {0x80, "FORCE_INTEGRITY"}, {0x100, "NX_COMPAT"},
    {0x200, "NO_ISOLATION"},   {0x400, "NO_SEH"},
    {0x800, "NO_BIND"},        {0x2000, "WDM_DRIVER"},
    {0x4000, "GUARD_CF"},      NAME_END,
};

static const struct kd_name names_CacheFlags[] = {
    {0, "Default"}, {1, "Cached"}, {2, "Uncached"}, {3, "WriteCombined"}, NAME_END,
};

/* PagingLevels (four bits from 0x04 on) is left as a number. */
static const struct kd_name names_DebuggerDataBits[] = {
    {0x01, "PaeEnabled"},
    {0x02, "KiBugCheckRecoveryActive"},
    NAME_END,
};

/* The codes seen as ReturnStatus, ContinueStatus, ExceptionCode and Status. */
static const struct kd_name status_names[] = {
    {KD_STATUS_SUCCESS, "STATUS_SUCCESS"},
    {KD_STATUS_UNSUCCESSFUL, "STATUS_UNSUCCESSFUL"},
    {KD_STATUS_INVALID_PARAMETER, "STATUS_INVALID_PARAMETER"},
    {KD_STATUS_NO_SUCH_DEVICE, "STATUS_NO_SUCH_DEVICE"},
    {KD_STATUS_NO_SUCH_FILE, "STATUS_NO_SUCH_FILE"},
    {KD_STATUS_DATATYPE_MISALIGNMENT, "STATUS_DATATYPE_MISALIGNMENT"},
    {KD_STATUS_BREAKPOINT, "STATUS_BREAKPOINT"},
    {KD_STATUS_SINGLE_STEP, "STATUS_SINGLE_STEP"},
    {KD_STATUS_NO_MORE_ENTRIES, "STATUS_NO_MORE_ENTRIES"},
    {KD_STATUS_ACCESS_VIOLATION, "STATUS_ACCESS_VIOLATION"},
    {KD_STATUS_ILLEGAL_INSTRUCTION, "STATUS_ILLEGAL_INSTRUCTION"},
    {KD_DBG_EXCEPTION_HANDLED, "DBG_EXCEPTION_HANDLED"},
    {KD_DBG_CONTINUE, "DBG_CONTINUE"},
    {KD_DBG_EXCEPTION_NOT_HANDLED, "DBG_EXCEPTION_NOT_HANDLED"},
    {0x00000103, "STATUS_PENDING"},
    {0x40010005, "DBG_CONTROL_C"},
    {0x40010006, "DBG_PRINTEXCEPTION_C"},
    {0x80000001, "STATUS_GUARD_PAGE_VIOLATION"},
    {0x80000005, "STATUS_BUFFER_OVERFLOW"},
    {0xC0000002, "STATUS_NOT_IMPLEMENTED"},
    {0xC0000006, "STATUS_IN_PAGE_ERROR"},
    {0xC0000008, "STATUS_INVALID_HANDLE"},
    {0xC0000011, "STATUS_END_OF_FILE"},
    {0xC0000022, "STATUS_ACCESS_DENIED"},
    {0xC0000034, "STATUS_OBJECT_NAME_NOT_FOUND"},
    {0xC000008C, "STATUS_ARRAY_BOUNDS_EXCEEDED"},
    {0xC000008E, "STATUS_FLOAT_DIVIDE_BY_ZERO"},
    {0xC0000094, "STATUS_INTEGER_DIVIDE_BY_ZERO"},
    {0xC0000095, "STATUS_INTEGER_OVERFLOW"},
    {0xC0000096, "STATUS_PRIVILEGED_INSTRUCTION"},
    {0xC000009A, "STATUS_INSUFFICIENT_RESOURCES"},
    {0xC00000BB, "STATUS_NOT_SUPPORTED"},
    {0xC00000FD, "STATUS_STACK_OVERFLOW"},
    {0xC0000225, "STATUS_NOT_FOUND"},
    {0xC0000420, "STATUS_ASSERTION_FAILURE"},
    NAME_END,
};

/* One table of fields per structure. */
#define names_None NULL
#define FIELD(structure, field, offset, size, format, list)                                        \
    {#field, (offset), (size), KD_FORMAT_##format, names_##list},
#define FIELD_TABLE(s) static const struct kd_field fields_##s[] = {KD_FIELDS_##s(FIELD, s)};
KD_STRUCTURES(FIELD_TABLE)

/* A structure's size: the union of arrays that each end where a field ends. */
#define FIELD_EXTENT(structure, field, offset, size, format, list) char field[(offset) + (size)];
#define STRUCTURE_EXTENT(s)                                                                        \
    union extent_##s {                                                                             \
        KD_FIELDS_##s(FIELD_EXTENT, s)                                                             \
    };
KD_STRUCTURES(STRUCTURE_EXTENT)

static const struct kd_structure structures[] = {
#define STRUCTURE(s)                                                                               \
    {#s, sizeof(union extent_##s), sizeof(fields_##s) / sizeof(fields_##s[0]), fields_##s},
    KD_STRUCTURES(STRUCTURE)};

enum {
#define API_INDEX(name, value, request, reply, request_data, reply_data, replies) API_INDEX_##name,
    KD_API_MAP(API_INDEX) API_COUNT,
};

static const struct kd_api_info apis[API_COUNT] = {
#define API_INFO(name, value, request, reply, request_data, reply_data, replies)                   \
    {(value),                                                                                      \
     #name,                                                                                        \
     &structures[KD_NUMBER_##request],                                                             \
     &structures[KD_NUMBER_##reply],                                                               \
     KD_DATA_##request_data,                                                                       \
     KD_DATA_##reply_data,                                                                         \
     (replies)},
    KD_API_MAP(API_INFO)};

/* No strcmp: this code is freestanding. */
static bool same_name(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const char *kd_name_of(const struct kd_name *names, uint64_t value)
{
    if (!names)
        return NULL;
    for (; names->name; names++) {
        if (names->value == value)
            return names->name;
    }
    return NULL;
}

const char *kd_packet_type_name(uint16_t type)
{
    return kd_name_of(names_PacketType, type);
}

const char *kd_status_name(uint32_t status)
{
    return kd_name_of(status_names, status);
}

const struct kd_name *kd_status_names(void)
{
    return status_names;
}

const struct kd_api_info *kd_api_info(uint32_t number)
{
    switch (number) {
#define API_CASE(name, value, request, reply, request_data, reply_data, replies)                   \
    case value:                                                                                    \
        return &apis[API_INDEX_##name];
        KD_API_MAP(API_CASE)
    default:
        return NULL;
    }
}

const char *kd_message_name(uint16_t packet_type, uint32_t api)
{
    switch (packet_type) {
    case KD_PACKET_STATE_MANIPULATE: {
        const struct kd_api_info *info = kd_api_info(api);
        return info ? info->name : NULL;
    }
    case KD_PACKET_STATE_CHANGE64:
        return kd_name_of(names_StateChange, api);
    case KD_PACKET_DEBUG_IO:
        return kd_name_of(names_DebugIo, api);
    case KD_PACKET_TRACE_IO:
        return kd_name_of(names_TraceIo, api);
    case KD_PACKET_CONTROL_REQUEST:
        return kd_name_of(names_ControlRequest, api);
    case KD_PACKET_FILE_IO:
        return kd_name_of(names_FileIo, api);
    default:
        return kd_packet_type_name(packet_type);
    }
}

size_t kd_structure_count(void)
{
    return KD_STRUCTURE_COUNT;
}

const struct kd_structure *kd_structure_at(size_t index)
{
    return index < KD_STRUCTURE_COUNT ? &structures[index] : NULL;
}

const struct kd_structure *kd_structure_by_name(const char *name)
{
    for (size_t i = 0; i < KD_STRUCTURE_COUNT; i++) {
        if (same_name(structures[i].name, name))
            return &structures[i];
    }
    return NULL;
}

const struct kd_field *kd_field_by_name(const struct kd_structure *structure, const char *name)
{
    for (size_t i = 0; i < structure->count; i++) {
        if (same_name(structure->fields[i].name, name))
            return &structure->fields[i];
    }
    return NULL;
}

size_t kd_fixed_size(uint16_t packet_type)
{
    switch (packet_type) {
    case KD_PACKET_STATE_MANIPULATE:
        return KD_MANIPULATE_SIZE;
    case KD_PACKET_STATE_CHANGE64:
        return KD_STATE_CHANGE_SIZE;
    case KD_PACKET_DEBUG_IO:
        return KD_DEBUG_IO_SIZE;
    case KD_PACKET_TRACE_IO:
        return KD_TRACE_IO_SIZE;
    case KD_PACKET_CONTROL_REQUEST:
        return KD_CONTROL_REQUEST_SIZE;
    case KD_PACKET_FILE_IO:
        return KD_FILE_IO_SIZE;
    default:
        return 0;
    }
}

bool kd_packet_is_droppable(uint16_t packet_type, uint32_t api)
{
    switch (packet_type) {
    case KD_PACKET_DEBUG_IO:
        return api == KD_API_PRINT_STRING;
    case KD_PACKET_STATE_CHANGE64:
        return (api & ~(uint32_t)KD_STATE_ALTERNATE) == KD_STATE_LOAD_SYMBOLS;
    case KD_PACKET_TRACE_IO:
        return api == KD_API_PRINT_TRACE;
    case KD_PACKET_FILE_IO:
        return api == KD_API_CREATE_FILE;
    default:
        return false;
    }
}
