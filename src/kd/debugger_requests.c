/* SPDX-License-Identifier: BSD-2-Clause */
/* What the user may ask of a stopped target: each begins an operation, whose end is an event. */
#include "debugger_inside.h"

#include <string.h>

static int begin(struct kd_debugger *d, enum kd_debugger_op op, uint16_t cpu)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op != KD_OP_NONE)
        return KD_E_BUSY;
    if (d->state != KD_DEBUGGER_STOPPED)
        return KD_E_RUNNING;
    memset(r, 0, sizeof *r);
    d->recheck = false;
    r->op = op;
    r->cpu = cpu;
    return KD_OK;
}

int kd_debugger_get_version(struct kd_debugger *d, uint64_t now, struct kd_debugger_version *to)
{
    int result = begin(d, KD_OP_VERSION, 0);
    if (result < 0)
        return result;
    d->request.version = to;
    kd_debugger_start_packet(d, now, KD_API_GetVersion, NULL, 0);
    return KD_OK;
}

static int transfer(struct kd_debugger *d, uint64_t now, enum kd_debugger_op op,
                    enum kd_space space, uint16_t cpu, uint64_t address, uint8_t *to,
                    const uint8_t *from, size_t size)
{
    if (size == 0 || (space == KD_SPACE_CONTROL && size > KD_MANIPULATE_DATA_MAX))
        return KD_E_ARGUMENT;
    int result = begin(d, op, cpu);
    if (result < 0)
        return result;
    struct kd_debugger_request *r = &d->request;
    r->space = space;
    r->address = address;
    r->to = to;
    r->from = from;
    r->size = size;
    kd_debugger_next_piece(d, now, false);
    return KD_OK;
}

int kd_debugger_read(struct kd_debugger *d, uint64_t now, enum kd_space space, uint16_t cpu,
                     uint64_t address, uint8_t *to, size_t size)
{
    return transfer(d, now, KD_OP_READ, space, cpu, address, to, NULL, size);
}

int kd_debugger_write(struct kd_debugger *d, uint64_t now, enum kd_space space, uint16_t cpu,
                      uint64_t address, const uint8_t *from, size_t size)
{
    return transfer(d, now, KD_OP_WRITE, space, cpu, address, NULL, from, size);
}

static int context(struct kd_debugger *d, uint64_t now, enum kd_debugger_op op, uint16_t cpu,
                   uint8_t *to, const uint8_t *from)
{
    int result = begin(d, op, cpu);
    if (result < 0)
        return result;
    d->request.to = to;
    d->request.from = from;
    d->request.size = KD_CONTEXT_AMD64_SIZE;
    kd_debugger_next_context(d, now);
    return KD_OK;
}

int kd_debugger_get_context(struct kd_debugger *d, uint64_t now, uint16_t cpu,
                            uint8_t to[KD_CONTEXT_AMD64_SIZE])
{
    return context(d, now, KD_OP_GET_CONTEXT, cpu, to, NULL);
}

int kd_debugger_set_context(struct kd_debugger *d, uint64_t now, uint16_t cpu,
                            const uint8_t from[KD_CONTEXT_AMD64_SIZE])
{
    return context(d, now, KD_OP_SET_CONTEXT, cpu, NULL, from);
}

int kd_debugger_write_breakpoint(struct kd_debugger *d, uint64_t now, uint64_t address)
{
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, WriteBreakPoint, BreakPointAddress, address);
    kd_debugger_start_packet(d, now, KD_API_WriteBreakPoint, NULL, 0);
    return KD_OK;
}

int kd_debugger_restore_breakpoint(struct kd_debugger *d, uint64_t now, uint32_t handle)
{
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, RestoreBreakPoint, BreakPointHandle, handle);
    kd_debugger_start_packet(d, now, KD_API_RestoreBreakPoint, NULL, 0);
    return KD_OK;
}

static int msr_access(struct kd_debugger *d, uint64_t now, uint16_t cpu, uint32_t api, uint32_t msr,
                      uint64_t value)
{
    int result = begin(d, KD_OP_SIMPLE, cpu);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, Msr, Msr, msr);
    KD_PUT(d->request.head, Msr, DataValueLow, value & 0xFFFFFFFFu);
    KD_PUT(d->request.head, Msr, DataValueHigh, value >> 32);
    kd_debugger_start_packet(d, now, api, NULL, 0);
    return KD_OK;
}

int kd_debugger_read_msr(struct kd_debugger *d, uint64_t now, uint16_t cpu, uint32_t msr)
{
    return msr_access(d, now, cpu, KD_API_ReadMachineSpecificRegister, msr, 0);
}

int kd_debugger_write_msr(struct kd_debugger *d, uint64_t now, uint16_t cpu, uint32_t msr,
                          uint64_t value)
{
    return msr_access(d, now, cpu, KD_API_WriteMachineSpecificRegister, msr, value);
}

static int io_access(struct kd_debugger *d, uint64_t now, uint32_t api, uint64_t port,
                     uint32_t size, uint32_t value)
{
    if (size != 1 && size != 2 && size != 4)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, IoSpace, IoAddress, port);
    KD_PUT(d->request.head, IoSpace, DataSize, size);
    KD_PUT(d->request.head, IoSpace, DataValue, value);
    kd_debugger_start_packet(d, now, api, NULL, 0);
    return KD_OK;
}

int kd_debugger_read_io(struct kd_debugger *d, uint64_t now, uint64_t port, uint32_t size)
{
    return io_access(d, now, KD_API_ReadIoSpace, port, size, 0);
}

int kd_debugger_write_io(struct kd_debugger *d, uint64_t now, uint64_t port, uint32_t size,
                         uint32_t value)
{
    return io_access(d, now, KD_API_WriteIoSpace, port, size, value);
}

static int bus_access(struct kd_debugger *d, uint64_t now, uint32_t api, const uint32_t where[4],
                      uint8_t *to, const uint8_t *from, uint32_t size)
{
    if (size == 0 || size > KD_MANIPULATE_DATA_MAX)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    struct kd_debugger_request *r = &d->request;
    r->to = to;
    r->size = size;
    KD_PUT(r->head, BusData, BusDataType, where[0]);
    KD_PUT(r->head, BusData, BusNumber, where[1]);
    KD_PUT(r->head, BusData, SlotNumber, where[2]);
    KD_PUT(r->head, BusData, Offset, where[3]);
    KD_PUT(r->head, BusData, Length, size);
    kd_debugger_start_packet(d, now, api, from, from != NULL ? size : 0);
    return KD_OK;
}

int kd_debugger_read_bus(struct kd_debugger *d, uint64_t now, uint32_t type, uint32_t bus,
                         uint32_t slot, uint32_t offset, uint8_t *to, uint32_t size)
{
    const uint32_t where[4] = {type, bus, slot, offset};
    return bus_access(d, now, KD_API_GetBusData, where, to, NULL, size);
}

int kd_debugger_write_bus(struct kd_debugger *d, uint64_t now, uint32_t type, uint32_t bus,
                          uint32_t slot, uint32_t offset, const uint8_t *from, uint32_t size)
{
    const uint32_t where[4] = {type, bus, slot, offset};
    return bus_access(d, now, KD_API_SetBusData, where, NULL, from, size);
}

int kd_debugger_search(struct kd_debugger *d, uint64_t now, uint64_t address, uint64_t length,
                       const uint8_t *pattern, size_t pattern_size)
{
    if (pattern_size == 0 || pattern_size > KD_MANIPULATE_DATA_MAX || length < pattern_size)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, SearchMemory, SearchAddress, address);
    KD_PUT(d->request.head, SearchMemory, SearchLength, length);
    KD_PUT(d->request.head, SearchMemory, PatternLength, pattern_size);
    kd_debugger_start_packet(d, now, KD_API_SearchMemory, pattern, pattern_size);
    return KD_OK;
}

int kd_debugger_fill(struct kd_debugger *d, uint64_t now, uint64_t address, uint32_t length,
                     const uint8_t *pattern, uint16_t pattern_size)
{
    enum { FILL_VIRTUAL = 1 };
    if (pattern_size == 0 || pattern_size > KD_MANIPULATE_DATA_MAX || length == 0)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    d->request.size = length;
    KD_PUT(d->request.head, FillMemory, Address, address);
    KD_PUT(d->request.head, FillMemory, Length, length);
    KD_PUT(d->request.head, FillMemory, Flags, FILL_VIRTUAL);
    KD_PUT(d->request.head, FillMemory, PatternLength, pattern_size);
    kd_debugger_start_packet(d, now, KD_API_FillMemory, pattern, pattern_size);
    return KD_OK;
}

int kd_debugger_query_memory(struct kd_debugger *d, uint64_t now, uint64_t address)
{
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, QueryMemory, Address, address);
    kd_debugger_start_packet(d, now, KD_API_QueryMemory, NULL, 0);
    return KD_OK;
}

int kd_debugger_continue(struct kd_debugger *d, uint64_t now, uint32_t status)
{
    int result = begin(d, KD_OP_GO, d->stop.cpu);
    if (result < 0)
        return result;
    kd_debugger_go(d, now, status);
    return KD_OK;
}

int kd_debugger_continue2(struct kd_debugger *d, uint64_t now, uint32_t status, bool trace,
                          uint64_t dr7)
{
    int result = begin(d, KD_OP_GO, d->stop.cpu);
    if (result < 0)
        return result;
    kd_debugger_go2(d, now, status, trace, dr7);
    return KD_OK;
}

int kd_debugger_switch_processor(struct kd_debugger *d, uint64_t now, uint16_t cpu)
{
    int result = begin(d, KD_OP_SWITCH, cpu);
    if (result < 0)
        return result;
    kd_debugger_start_packet(d, now, KD_API_SwitchProcessor, NULL, 0);
    return KD_OK;
}

int kd_debugger_reboot(struct kd_debugger *d, uint64_t now)
{
    int result = begin(d, KD_OP_GO, 0);
    if (result < 0)
        return result;
    kd_debugger_start_packet(d, now, KD_API_Reboot, NULL, 0);
    return KD_OK;
}

int kd_debugger_walk_modules(struct kd_debugger *d, uint64_t now, uint64_t head)
{
    if (head == 0)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_WALK, 0);
    if (result < 0)
        return result;
    kd_debugger_walk_start(d, now, head);
    return KD_OK;
}

int kd_debugger_detach(struct kd_debugger *d, uint64_t now, const uint32_t *handles, size_t count,
                       uint32_t continue_status)
{
    if (count > KD_BREAKPOINTS_MAX)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_DETACH, d->stop.cpu);
    if (result < 0)
        return result;
    struct kd_debugger_request *r = &d->request;
    for (size_t i = 0; i < count; i++)
        r->handles[i] = handles[i];
    r->handle_count = count;
    r->continue_status = continue_status;
    kd_debugger_next_detach(d, now);
    return KD_OK;
}
