/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one description of the KD protocol: every packet type, API, structure, field, enum and flag.
 *
 * kdwire/fields.h lists the fields of each structure once (name, offset, size, format, names).
 * From that list come, here, the compile-time constants that encoders and engines use
 *     KD_GET(body, ReadMemory, TransferCount)        KD_PUT(body, ReadMemory, TransferCount, n)
 * and, in protocol.c, the tables that the decoder, JSON and the dissectors walk at run time.
 */
#ifndef KDWIRE_PROTOCOL_H
#define KDWIRE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/fields.h"
#include "kdwire/wire.h"

/* X(name, value) */
#define KD_PACKET_TYPE_MAP(X)                                                                      \
    X(UNUSED, 0)                                                                                   \
    X(STATE_CHANGE32, 1)                                                                           \
    X(STATE_MANIPULATE, 2)                                                                         \
    X(DEBUG_IO, 3)                                                                                 \
    X(ACKNOWLEDGE, 4)                                                                              \
    X(RESEND, 5)                                                                                   \
    X(RESET, 6)                                                                                    \
    X(STATE_CHANGE64, 7)                                                                           \
    X(POLL_BREAKIN, 8)                                                                             \
    X(TRACE_IO, 9)                                                                                 \
    X(CONTROL_REQUEST, 10)                                                                         \
    X(FILE_IO, 11)

enum kd_packet_type {
#define KD_PACKET_TYPE_ENUM(name, value) KD_PACKET_##name = (value),
    KD_PACKET_TYPE_MAP(KD_PACKET_TYPE_ENUM)
#undef KD_PACKET_TYPE_ENUM
        KD_PACKET_TYPE_MAX = 12, /* what GetVersion reports as MaxPacketType */
};

/*
 * X(name, value, request structure, reply structure, request data, reply data, has a reply)
 * Structures are named as in fields.h; `None` is a union of junk. Data kinds: enum kd_data_kind.
 */
#define KD_API_MAP(X)                                                                              \
    X(ReadVirtualMemory, 0x3130, ReadMemory, ReadMemory, NONE, MEMORY, true)                       \
    X(WriteVirtualMemory, 0x3131, ReadMemory, ReadMemory, MEMORY, NONE, true)                      \
    X(GetContext, 0x3132, None, None, NONE, CONTEXT, true)                                         \
    X(SetContext, 0x3133, SetContext, None, CONTEXT, NONE, true)                                   \
    X(WriteBreakPoint, 0x3134, WriteBreakPoint, WriteBreakPoint, NONE, NONE, true)                 \
    X(RestoreBreakPoint, 0x3135, RestoreBreakPoint, None, NONE, NONE, true)                        \
    X(Continue, 0x3136, Continue, None, NONE, NONE, false)                                         \
    X(ReadControlSpace, 0x3137, ReadMemory, ReadMemory, NONE, CONTROL_SPACE, true)                 \
    X(WriteControlSpace, 0x3138, ReadMemory, ReadMemory, CONTROL_SPACE, NONE, true)                \
    X(ReadIoSpace, 0x3139, IoSpace, IoSpace, NONE, NONE, true)                                     \
    X(WriteIoSpace, 0x313A, IoSpace, IoSpace, NONE, NONE, true)                                    \
    X(Reboot, 0x313B, None, None, NONE, NONE, false)                                               \
    X(Continue2, 0x313C, Continue2Amd64, None, NONE, NONE, false)                                  \
    X(ReadPhysicalMemory, 0x313D, PhysicalMemory, ReadMemory, NONE, MEMORY, true)                  \
    X(WritePhysicalMemory, 0x313E, PhysicalMemory, ReadMemory, MEMORY, NONE, true)                 \
    X(QuerySpecialCalls, 0x313F, None, QuerySpecialCalls, NONE, ADDRESSES, true)                   \
    X(SetSpecialCall, 0x3140, SetSpecialCall, None, NONE, NONE, true)                              \
    X(ClearSpecialCalls, 0x3141, None, None, NONE, NONE, true)                                     \
    X(SetInternalBreakPoint, 0x3142, SetInternalBreakPoint, None, NONE, NONE, true)                \
    X(GetInternalBreakPoint, 0x3143, GetInternalBreakPoint, GetInternalBreakPoint, NONE, NONE,     \
      true)                                                                                        \
    X(ReadIoSpaceExtended, 0x3144, IoSpaceExtended, IoSpaceExtended, NONE, NONE, true)             \
    X(WriteIoSpaceExtended, 0x3145, IoSpaceExtended, IoSpaceExtended, NONE, NONE, true)            \
    X(GetVersion, 0x3146, None, GetVersion, NONE, NONE, true)                                      \
    X(WriteBreakPointEx, 0x3147, BreakPointEx, BreakPointEx, BREAKPOINTS, BREAKPOINTS, true)       \
    X(RestoreBreakPointEx, 0x3148, BreakPointEx, BreakPointEx, HANDLES, HANDLES, true)             \
    X(CauseBugCheck, 0x3149, None, None, NONE, NONE, false)                                        \
    X(SwitchProcessor, 0x3150, None, None, NONE, NONE, false)                                      \
    X(PageIn, 0x3151, PageIn, PageIn, NONE, NONE, true)                                            \
    X(ReadMachineSpecificRegister, 0x3152, Msr, Msr, NONE, NONE, true)                             \
    X(WriteMachineSpecificRegister, 0x3153, Msr, Msr, NONE, NONE, true)                            \
    X(OldVlm1, 0x3154, None, None, NONE, NONE, true)                                               \
    X(OldVlm2, 0x3155, None, None, NONE, NONE, true)                                               \
    X(SearchMemory, 0x3156, SearchMemory, SearchMemoryReply, PATTERN, NONE, true)                  \
    X(GetBusData, 0x3157, BusData, BusData, NONE, BUS_DATA, true)                                  \
    X(SetBusData, 0x3158, BusData, BusData, BUS_DATA, NONE, true)                                  \
    X(CheckLowMemory, 0x3159, None, None, NONE, NONE, true)                                        \
    X(ClearAllInternalBreakpoints, 0x315A, None, None, NONE, NONE, false)                          \
    X(FillMemory, 0x315B, FillMemory, FillMemory, PATTERN, NONE, true)                             \
    X(QueryMemory, 0x315C, QueryMemory, QueryMemory, NONE, NONE, true)                             \
    X(SwitchPartition, 0x315D, SwitchPartition, SwitchPartition, NONE, NONE, false)                \
    X(WriteCustomBreakpoint, 0x315E, CustomBreakpoint, CustomBreakpoint, NONE, NONE, true)         \
    X(GetContextEx, 0x315F, ContextEx, ContextEx, NONE, CONTEXT_PART, true)                        \
    X(SetContextEx, 0x3160, ContextEx, ContextEx, CONTEXT_PART, NONE, true)                        \
    X(Unknown3161, 0x3161, None, None, NONE, NONE, true)                                           \
    X(Unknown3162, 0x3162, None, None, NONE, NONE, true)

enum kd_api {
#define KD_API_ENUM(name, value, request, reply, request_data, reply_data, replies)                \
    KD_API_##name = (value),
    KD_API_MAP(KD_API_ENUM)
#undef KD_API_ENUM
        KD_API_FIRST = 0x3130,
    KD_API_LAST = 0x3162,

    /* STATE_CHANGE64: NewState */
    KD_STATE_EXCEPTION = 0x3030,
    KD_STATE_LOAD_SYMBOLS = 0x3031,
    KD_STATE_COMMAND_STRING = 0x3032,
    KD_STATE_ALTERNATE = 0x00010000, /* OR-ed in: from a hypervisor or another partition */

    /* DEBUG_IO, TRACE_IO, CONTROL_REQUEST, FILE_IO: Api */
    KD_API_PRINT_STRING = 0x3230,
    KD_API_GET_STRING = 0x3231,
    KD_API_PRINT_TRACE = 0x3330,
    KD_API_REQUEST_HARDWARE_BREAKPOINT = 0x4300,
    KD_API_RELEASE_HARDWARE_BREAKPOINT = 0x4301,
    KD_API_CREATE_FILE = 0x3430,
    KD_API_READ_FILE = 0x3431,
    KD_API_WRITE_FILE = 0x3432,
    KD_API_CLOSE_FILE = 0x3433,
};

/* What the bytes behind a message's fixed part are. */
enum kd_data_kind {
    KD_DATA_NONE,
    KD_DATA_MEMORY,
    KD_DATA_CONTEXT,       /* a whole CONTEXT of the target's machine type */
    KD_DATA_CONTEXT_PART,  /* ByteCount bytes of it from Offset */
    KD_DATA_CONTROL_SPACE, /* by index: an address, or KSPECIAL_REGISTERS */
    KD_DATA_ADDRESSES,     /* u64 each */
    KD_DATA_BREAKPOINTS,   /* BreakPointEntry each */
    KD_DATA_HANDLES,       /* u32 each */
    KD_DATA_PATTERN,
    KD_DATA_BUS_DATA,
    KD_DATA_TEXT,    /* 8-bit text */
    KD_DATA_COMMAND, /* component name, NUL, command, NUL */
    KD_DATA_UTF16,
    KD_DATA_FILE,
    KD_DATA_TRACE,
};

/* Sizes of fixed parts and whole structures, and the limits that follow from KD_BODY_MAX. */
enum {
    KD_MANIPULATE_SIZE = 56,
    KD_STATE_CHANGE_SIZE = 240,
    KD_DEBUG_IO_SIZE = 16,
    KD_TRACE_IO_SIZE = 64,
    KD_FILE_IO_SIZE = 64,
    KD_CONTROL_REQUEST_SIZE = 16,
    KD_MANIPULATE_DATA_MAX = KD_BODY_MAX - KD_MANIPULATE_SIZE,
    KD_STATE_CHANGE_DATA_MAX = KD_BODY_MAX - KD_STATE_CHANGE_SIZE,
    KD_DEBUG_IO_DATA_MAX = KD_BODY_MAX - KD_DEBUG_IO_SIZE,
    KD_FILE_IO_DATA_MAX = KD_BODY_MAX - KD_FILE_IO_SIZE,
    KD_PRINT_MAX = 512, /* NT cuts prints there */
    KD_BREAKPOINTS_MAX = 32,
    KD_INSTRUCTION_STREAM_MAX = 16,
    KD_DR7_NONE = 0x400, /* no hardware breakpoint; this bit is always 1 */
    KD_CONTEXT_AMD64_SIZE = 1232,
    KD_CONTEXT_X86_SIZE = 716,
    KD_CONTEXT_ARM64_SIZE = 912,
    KD_SPECIAL_AMD64_SIZE = 0xE0, /* 0xF0 with MsrFsBase on newer Windows 10 */
    KD_SPECIAL_AMD64_MAX = 0xF0,
    KD_SPECIAL_X86_SIZE = 84,
    KD_FXSAVE_SIZE = 512,
    KD_LOADER_ENTRY_SIZE = 0x88,
    KD_DOS_HEADER_SIZE = 64,
};

/* Packet ids on a byte stream. KDNET counts by two and gives bit 0x800 no meaning. */
#define KD_ID_INITIAL 0x80800000u
#define KD_ID_SYNC    0x00000800u

/* NTSTATUS values the protocol uses. */
#define KD_STATUS_SUCCESS               0x00000000u
#define KD_STATUS_UNSUCCESSFUL          0xC0000001u
#define KD_STATUS_INVALID_PARAMETER     0xC000000Du
#define KD_STATUS_NO_SUCH_DEVICE        0xC000000Eu
#define KD_STATUS_NO_SUCH_FILE          0xC000000Fu
#define KD_STATUS_DATATYPE_MISALIGNMENT 0x80000002u
#define KD_STATUS_BREAKPOINT            0x80000003u
#define KD_STATUS_SINGLE_STEP           0x80000004u
#define KD_STATUS_NO_MORE_ENTRIES       0x8000001Au
#define KD_STATUS_ACCESS_VIOLATION      0xC0000005u
#define KD_STATUS_ILLEGAL_INSTRUCTION   0xC000001Du
#define KD_DBG_EXCEPTION_HANDLED        0x00010001u
#define KD_DBG_CONTINUE                 0x00010002u
#define KD_DBG_EXCEPTION_NOT_HANDLED    0x80010001u

#define KD_MACHINE_I386                 0x014Cu
#define KD_MACHINE_AMD64                0x8664u
#define KD_MACHINE_ARM64                0xAA64u
#define KD_MACHINE_ARM_NT               0x01C4u

/* CONTEXT.ContextFlags of amd64. */
#define KD_CONTEXT_AMD64_FULL 0x0010000Bu
#define KD_CONTEXT_AMD64_ALL  0x0010001Fu

/* Reads and writes a field at its place in BODY; sizes and offsets come from fields.h. */
#define KD_AT(structure, field)   KD_AT_##structure##_##field
#define KD_SIZE(structure, field) KD_SIZE_##structure##_##field
#define KD_GET(body, structure, field)                                                             \
    kd_get_uint((body) + KD_AT(structure, field), KD_SIZE(structure, field))
#define KD_PUT(body, structure, field, value)                                                      \
    kd_put_uint((body) + KD_AT(structure, field), KD_SIZE(structure, field), (uint64_t)(value))

#define KD_FIELD_CONSTANTS(structure, field, offset, size, format, names)                          \
    KD_AT_##structure##_##field = (offset), KD_SIZE_##structure##_##field = (size),
enum kd_field_constants { KD_STRUCTURE_MAP(KD_FIELD_CONSTANTS) KD_FIELD_CONSTANTS_END };

/* How a field's value is shown. */
enum kd_format {
    KD_FORMAT_HEX,
    KD_FORMAT_DEC,
    KD_FORMAT_ADDRESS,
    KD_FORMAT_STATUS, /* NTSTATUS */
    KD_FORMAT_ENUM,   /* one of names */
    KD_FORMAT_FLAGS,  /* OR of names */
    KD_FORMAT_BOOL,
    KD_FORMAT_BYTES,  /* SIZE raw bytes */
    KD_FORMAT_TEXT,   /* SIZE 8-bit characters */
    KD_FORMAT_WORDS,  /* SIZE / 8 numbers of 8 bytes */
    KD_FORMAT_FXSAVE, /* an FxSave structure */
    KD_FORMAT_PAD,    /* SIZE bytes without a meaning: padding, or junk */
};

struct kd_name {
    uint64_t value;
    const char *name; /* NULL ends a list */
};

struct kd_field {
    const char *name;
    uint16_t offset; /* from the start of the body (or of the structure in memory) */
    uint16_t size;   /* bytes; 1, 2, 4, 8, or any from KD_FORMAT_BYTES on */
    uint8_t format;  /* enum kd_format */
    const struct kd_name *names;
};

struct kd_structure {
    const char *name;
    uint16_t size; /* from offset 0 to the end of the last field */
    uint16_t count;
    const struct kd_field *fields; /* ascending offsets, no gap from the first to the last */
};

struct kd_api_info {
    uint32_t number;
    const char *name;
    const struct kd_structure *request, *reply; /* the unions; never NULL */
    uint8_t request_data, reply_data;           /* enum kd_data_kind */
    bool has_reply;
};

/* Static tables; NULL for what is not known. */
const char *kd_packet_type_name(uint16_t type);
const struct kd_api_info *kd_api_info(uint32_t number);          /* STATE_MANIPULATE numbers only */
const char *kd_message_name(uint16_t packet_type, uint32_t api); /* any packet's message */
const struct kd_structure *kd_structure_by_name(const char *name);
const struct kd_field *kd_field_by_name(const struct kd_structure *structure, const char *name);
size_t kd_structure_count(void);
const struct kd_structure *kd_structure_at(size_t index);
const char *kd_status_name(uint32_t status);
const struct kd_name *kd_status_names(void);
const char *kd_name_of(const struct kd_name *names, uint64_t value);

/* Bytes of fixed part that a body of this packet type must have; 0 for unknown types. */
size_t kd_fixed_size(uint16_t packet_type);

/* Whether a target gives up sending this packet after its retries (sheet 2.2). */
bool kd_packet_is_droppable(uint16_t packet_type, uint32_t api);

#endif
