/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of STATE_MANIPULATE. A request is turned into its reply in place: what is not an
 * output is echoed, junk included, because that is what real targets do and what debuggers get
 * along with. What a machine does not offer is refused in the form real targets use.
 */
#include <string.h>

#include "target_inside.h"

enum {
    /* Chunk of search and fill, on the stack: small for an exception stack, large enough that a
     * machine's cost per call does not count. */
    CHUNK = 256,
    PAGE = 4096, /* grain of accessibility on amd64 */
    /* What a jump over an unreadable page costs against search_max: about what a probe that faults
     * takes compared with reading bytes. */
    SKIP_COST = 64,
    EFLAGS_TF = 0x100,
    IO_PORTS = 0x10000,
    INTERFACE_ISA = 1,
    IO_ADDRESS_SPACE = 1,
    FILL_VIRTUAL = 1,
    FILL_PHYSICAL = 2,
    INT3 = 0xCC,
};

#define SEARCH_MAX_DEFAULT ((uint64_t)256 << 20)

/* One request on its way to becoming a reply; its body is target->reply. */
struct request {
    uint8_t *body;
    uint8_t *data;    /* body + KD_MANIPULATE_SIZE */
    size_t data_size; /* that came */
    size_t reply_size;
    uint32_t status;
    bool silent; /* no reply */
};

/* ---- Helpers ---- */

static uint32_t status_of(int error)
{
    switch (error) {
    case KD_E_ARGUMENT:
        return KD_STATUS_INVALID_PARAMETER;
    case KD_E_NOT_FOUND:
        return KD_STATUS_NO_SUCH_DEVICE;
    default:
        return error < 0 ? KD_STATUS_UNSUCCESSFUL : KD_STATUS_SUCCESS;
    }
}

/* The processor in the header counts only for contexts, control space, MSRs and the switch;
 * elsewhere WinDbg leaves junk there. */
static bool request_cpu(struct kd_target *t, const struct request *r, uint32_t *cpu)
{
    *cpu = (uint32_t)KD_GET(r->body, Manipulate, Processor);
    return *cpu < t->ops->processor_count(t->machine);
}

static bool keeps_part(const struct kd_target_config *c, size_t done, size_t wanted)
{
    return done == wanted || !c->short_reads_fail;
}

/* ---- Requests: memory ---- */

static void finish_read(struct kd_target *t, struct request *r, size_t done, size_t wanted)
{
    if (!keeps_part(&t->config, done, wanted))
        done = 0;
    KD_PUT(r->body, ReadMemory, ActualBytes, done);
    r->reply_size = done;
    r->status = done == wanted ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

static void read_virtual(struct kd_target *t, struct request *r)
{
    size_t wanted = kd_at_most(KD_GET(r->body, ReadMemory, TransferCount), KD_MANIPULATE_DATA_MAX);
    uint64_t address = KD_GET(r->body, ReadMemory, TargetBaseAddress);
    finish_read(t, r, kd_target_read_shown(t, address, r->data, wanted), wanted);
}

static void read_physical(struct kd_target *t, struct request *r)
{
    size_t wanted =
        kd_at_most(KD_GET(r->body, PhysicalMemory, TransferCount), KD_MANIPULATE_DATA_MAX);
    uint64_t address = KD_GET(r->body, PhysicalMemory, TargetBaseAddress);
    uint32_t cache = (uint32_t)KD_GET(r->body, PhysicalMemory, CacheFlags);
    size_t done = 0;
    if (t->ops->read_physical)
        done = t->ops->read_physical(t->machine, address, r->data, wanted, cache);
    finish_read(t, r, done, wanted);
}

/* A count above the data that came is refused whole: half a write helps nobody. */
static bool write_size(const struct request *r, size_t *size)
{
    uint64_t wanted = KD_GET(r->body, ReadMemory, TransferCount);
    *size = kd_at_most(wanted, r->data_size);
    return *size == wanted;
}

static void finish_write(struct request *r, size_t done, size_t wanted)
{
    KD_PUT(r->body, ReadMemory, ActualBytes, done);
    r->status = done == wanted ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

static void write_virtual(struct kd_target *t, struct request *r)
{
    size_t size, done = 0;
    bool complete = write_size(r, &size);
    if (complete)
        done =
            kd_target_write_shown(t, KD_GET(r->body, ReadMemory, TargetBaseAddress), r->data, size);
    finish_write(r, done, complete ? size : size + 1);
}

static void write_physical(struct kd_target *t, struct request *r)
{
    size_t size, done = 0;
    bool complete = write_size(r, &size);
    if (complete && t->ops->write_physical)
        done = t->ops->write_physical(t->machine,
                                      KD_GET(r->body, PhysicalMemory, TargetBaseAddress), r->data,
                                      size, (uint32_t)KD_GET(r->body, PhysicalMemory, CacheFlags));
    finish_write(r, done, complete ? size : size + 1);
}

/* Whether the pattern's rest (without its first byte) stands at ADDRESS; counts the bytes read. */
static bool rest_matches(struct kd_target *t, uint64_t address, const uint8_t *rest, size_t size,
                         uint64_t *budget)
{
    uint8_t chunk[CHUNK];
    while (size) {
        size_t n = kd_at_most(size, sizeof chunk);
        if (kd_target_read_shown(t, address, chunk, n) != n)
            return false;
        *budget = *budget > n ? *budget - n : 0;
        if (memcmp(chunk, rest, n) != 0)
            return false;
        address += n;
        rest += n;
        size -= n;
    }
    return true;
}

/* Looks for the pattern from *ADDRESS on, at COUNT start addresses. */
static uint32_t search(struct kd_target *t, uint64_t *address, uint64_t count,
                       const uint8_t *pattern, size_t pattern_size)
{
    uint64_t budget = t->config.search_max ? t->config.search_max : SEARCH_MAX_DEFAULT;
    uint8_t chunk[CHUNK];
    while (count) {
        if (!budget)
            return KD_STATUS_UNSUCCESSFUL; /* never "not found": it was not looked at */
        size_t wanted = kd_at_most(count, sizeof chunk);
        size_t done = kd_target_read_shown(t, *address, chunk, wanted);
        budget = budget > done ? budget - done : 0;
        for (size_t i = 0; i < done && budget; i++) {
            if (chunk[i] == pattern[0] &&
                rest_matches(t, *address + i + 1, pattern + 1, pattern_size - 1, &budget)) {
                *address += i;
                return KD_STATUS_SUCCESS;
            }
        }
        uint64_t step = done;
        if (done < wanted) { /* over the rest of a page that cannot be read */
            step = done + (PAGE - ((*address + done) & (PAGE - 1)));
            budget = budget > SKIP_COST ? budget - SKIP_COST : 0;
        }
        step = step < count ? step : count;
        *address += step;
        count -= step;
    }
    return KD_STATUS_NO_MORE_ENTRIES;
}

static void search_memory(struct kd_target *t, struct request *r)
{
    uint64_t address = KD_GET(r->body, SearchMemory, SearchAddress);
    uint64_t length = KD_GET(r->body, SearchMemory, SearchLength);
    uint64_t pattern_size = KD_GET(r->body, SearchMemory, PatternLength);
    if (!pattern_size || pattern_size > r->data_size) {
        r->status = KD_STATUS_INVALID_PARAMETER;
        return;
    }
    if (pattern_size > length) {
        r->status = KD_STATUS_NO_MORE_ENTRIES;
        return;
    }
    r->status = search(t, &address, length - pattern_size + 1, r->data, (size_t)pattern_size);
    if (r->status == KD_STATUS_SUCCESS)
        KD_PUT(r->body, SearchMemory, SearchAddress, address);
}

static size_t fill_chunk(struct kd_target *t, bool physical, uint64_t address, const uint8_t *chunk,
                         size_t size)
{
    if (!physical)
        return kd_target_write_shown(t, address, chunk, size);
    if (!t->ops->write_physical)
        return 0;
    return t->ops->write_physical(t->machine, address, chunk, size, 0);
}

static void fill_memory(struct kd_target *t, struct request *r)
{
    uint64_t address = KD_GET(r->body, FillMemory, Address);
    uint32_t length = (uint32_t)KD_GET(r->body, FillMemory, Length);
    uint64_t flags = KD_GET(r->body, FillMemory, Flags);
    size_t pattern_size = (size_t)KD_GET(r->body, FillMemory, PatternLength);
    uint8_t chunk[CHUNK];
    uint32_t done = 0;
    KD_PUT(r->body, FillMemory, Length, 0);
    if (!pattern_size || pattern_size > r->data_size ||
        (flags != FILL_VIRTUAL && flags != FILL_PHYSICAL)) {
        r->status = KD_STATUS_INVALID_PARAMETER;
        return;
    }
    while (done < length) {
        size_t n = kd_at_most(length - done, sizeof chunk);
        for (size_t i = 0; i < n; i++)
            chunk[i] = r->data[(done + i) % pattern_size];
        size_t written = fill_chunk(t, flags == FILL_PHYSICAL, address + done, chunk, n);
        done += (uint32_t)written;
        if (written < n)
            break;
    }
    KD_PUT(r->body, FillMemory, Length, done);
    r->status = done == length ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

static void query_memory(struct kd_target *t, struct request *r)
{
    struct kd_machine_memory memory = {0, 0};
    if (KD_GET(r->body, QueryMemory, AddressSpace) != 0) {
        r->status = KD_STATUS_INVALID_PARAMETER;
        return;
    }
    int error = KD_E_UNSUPPORTED;
    if (t->ops->query_memory)
        error = t->ops->query_memory(t->machine, KD_GET(r->body, QueryMemory, Address), &memory);
    /* Nothing mapped there is no missing device. */
    r->status = error < 0 ? KD_STATUS_UNSUCCESSFUL : KD_STATUS_SUCCESS;
    if (error < 0)
        return;
    KD_PUT(r->body, QueryMemory, Reserved, 0);
    KD_PUT(r->body, QueryMemory, AddressSpace, memory.address_space);
    KD_PUT(r->body, QueryMemory, Flags, memory.flags);
}

/* ---- Requests: contexts ---- */

struct span {
    uint16_t at, size;
};

/* What each ContextFlags bit names; each list ends with size 0. */
static const struct span control_fields[] = {
    {KD_AT(ContextAmd64, SegCs), 2},  {KD_AT(ContextAmd64, SegSs), 2},
    {KD_AT(ContextAmd64, EFlags), 4}, {KD_AT(ContextAmd64, Rsp), 8},
    {KD_AT(ContextAmd64, Rip), 8},    {0, 0},
};
static const struct span integer_fields[] = {
    {KD_AT(ContextAmd64, Rax), 4 * 8},  /* Rax, Rcx, Rdx, Rbx; then comes Rsp */
    {KD_AT(ContextAmd64, Rbp), 11 * 8}, /* Rbp, Rsi, Rdi, R8..R15 */
    {0, 0},
};
static const struct span segment_fields[] = {
    {KD_AT(ContextAmd64, SegDs), 4 * 2}, /* Ds, Es, Fs, Gs */
    {0, 0},
};
static const struct span floating_fields[] = {
    {KD_AT(ContextAmd64, MxCsr), 4},
    {0x100, 0x4A8 - 0x100}, /* FltSave, VectorRegister, VectorControl */
    {0, 0},
};
static const struct span debug_fields[] = {
    {KD_AT(ContextAmd64, Dr0), 6 * 8}, /* Dr0..Dr3, Dr6, Dr7 */
    {0x4A8, 5 * 8},                    /* DebugControl, last branches and exceptions */
    {0, 0},
};
enum { CONTEXT_GROUPS = 5 };
static const struct span *const context_groups[CONTEXT_GROUPS] = {
    control_fields, integer_fields, segment_fields, floating_fields, debug_fields};

static void merge_context(uint8_t *into, const uint8_t *from)
{
    uint64_t flags = KD_GET(from, ContextAmd64, ContextFlags);
    for (size_t g = 0; g < CONTEXT_GROUPS; g++) {
        if (!(flags >> g & 1))
            continue;
        for (const struct span *s = context_groups[g]; s->size; s++)
            memcpy(into + s->at, from + s->at, s->size);
    }
}

uint8_t *kd_target_scratch(struct kd_target *t)
{
    return t->reply + sizeof t->reply - KD_CONTEXT_AMD64_SIZE;
}

int kd_target_load_context(struct kd_target *t, uint32_t cpu, uint8_t *context)
{
    memset(context, 0, KD_CONTEXT_AMD64_SIZE);
    return t->ops->get_context ? t->ops->get_context(t->machine, cpu, context) : KD_E_UNSUPPORTED;
}

/* Applies what CONTEXT's own flags name. Without the amd64 mark it is another machine's. */
static uint32_t apply_context(struct kd_target *t, uint32_t cpu, const uint8_t *context)
{
    uint8_t *merged = kd_target_scratch(t);
    if (!t->ops->set_context)
        return KD_STATUS_UNSUCCESSFUL;
    if (!(KD_GET(context, ContextAmd64, ContextFlags) & 0x00100000u))
        return KD_STATUS_INVALID_PARAMETER;
    int error = kd_target_load_context(t, cpu, merged);
    if (error < 0)
        return status_of(error);
    merge_context(merged, context);
    return status_of(t->ops->set_context(t->machine, cpu, merged));
}

static void get_context(struct kd_target *t, struct request *r)
{
    uint32_t cpu;
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (!request_cpu(t, r, &cpu))
        return;
    r->status = status_of(kd_target_load_context(t, cpu, r->data));
    if (r->status == KD_STATUS_SUCCESS)
        r->reply_size = KD_CONTEXT_AMD64_SIZE;
}

static void set_context(struct kd_target *t, struct request *r)
{
    uint32_t cpu;
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (!request_cpu(t, r, &cpu) || r->data_size < KD_CONTEXT_AMD64_SIZE)
        return;
    r->status = apply_context(t, cpu, r->data);
}

static void get_context_ex(struct kd_target *t, struct request *r)
{
    uint64_t offset = KD_GET(r->body, ContextEx, Offset);
    uint32_t cpu;
    KD_PUT(r->body, ContextEx, BytesCopied, 0);
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (t->config.refuse_context_ex || !request_cpu(t, r, &cpu) || offset >= KD_CONTEXT_AMD64_SIZE)
        return;
    uint8_t *context = kd_target_scratch(t);
    r->status = status_of(kd_target_load_context(t, cpu, context));
    if (r->status != KD_STATUS_SUCCESS)
        return;
    r->reply_size =
        kd_at_most(KD_GET(r->body, ContextEx, ByteCount), KD_CONTEXT_AMD64_SIZE - (size_t)offset);
    memcpy(r->data, context + offset, r->reply_size);
    KD_PUT(r->body, ContextEx, BytesCopied, r->reply_size);
}

/* Takes one piece into `staged`; a piece that continues no other starts from the present state. */
static uint32_t stage_context(struct kd_target *t, uint32_t cpu, uint32_t offset,
                              const uint8_t *piece, uint32_t size)
{
    if (!offset || offset != t->staged_size || cpu != t->staged_cpu) {
        int error = kd_target_load_context(t, cpu, t->staged);
        if (error < 0)
            return status_of(error);
    }
    memcpy(t->staged + offset, piece, size);
    t->staged_cpu = cpu;
    t->staged_size = offset + size;
    return KD_STATUS_SUCCESS;
}

/*
 * The sources disagree on BytesCopied of the request: one client puts the total there and sends
 * pieces, simple targets ignore it and apply each piece. Both work here: a total above what has
 * come, and possible, means that more pieces follow.
 */
static void set_context_ex(struct kd_target *t, struct request *r)
{
    uint64_t offset = KD_GET(r->body, ContextEx, Offset);
    uint64_t size = KD_GET(r->body, ContextEx, ByteCount);
    uint64_t total = KD_GET(r->body, ContextEx, BytesCopied);
    uint32_t cpu;
    KD_PUT(r->body, ContextEx, BytesCopied, 0);
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (t->config.refuse_context_ex || !request_cpu(t, r, &cpu) || !size || size > r->data_size ||
        offset >= KD_CONTEXT_AMD64_SIZE || size > KD_CONTEXT_AMD64_SIZE - offset)
        return;
    r->status = stage_context(t, cpu, (uint32_t)offset, r->data, (uint32_t)size);
    if (r->status == KD_STATUS_SUCCESS &&
        !(total > t->staged_size && total <= KD_CONTEXT_AMD64_SIZE)) {
        t->staged_size = 0;
        r->status = apply_context(t, cpu, t->staged);
    }
    if (r->status == KD_STATUS_SUCCESS)
        KD_PUT(r->body, ContextEx, BytesCopied, size);
}

/* ---- Requests: control space ---- */

enum { CONTROL_PCR = 0, CONTROL_PRCB = 1, CONTROL_SPECIAL = 2, CONTROL_THREAD = 3 };

int kd_target_load_special(struct kd_target *t, uint32_t cpu, uint8_t *special)
{
    memset(special, 0, KD_SPECIAL_AMD64_MAX);
    return t->ops->get_special ? t->ops->get_special(t->machine, cpu, special) : KD_E_UNSUPPORTED;
}

/* Loads an item into TO (KD_SPECIAL_AMD64_MAX bytes); its size or a kd_error. */
static int load_control(struct kd_target *t, uint32_t cpu, uint64_t index, uint8_t *to)
{
    uint64_t address = 0;
    int error = KD_E_UNSUPPORTED;
    if (index == CONTROL_SPECIAL) {
        error = kd_target_load_special(t, cpu, to);
        return error < 0 ? error : KD_SPECIAL_AMD64_MAX;
    }
    if (index <= CONTROL_THREAD && t->ops->control_address)
        error = t->ops->control_address(t->machine, cpu, index, &address);
    if (error < 0)
        return error;
    kd_put_u64(to, address);
    return (int)sizeof address;
}

static void read_control(struct kd_target *t, struct request *r)
{
    uint32_t cpu;
    int size = KD_E_ARGUMENT;
    KD_PUT(r->body, ReadMemory, ActualBytes, 0);
    if (request_cpu(t, r, &cpu))
        size = load_control(t, cpu, KD_GET(r->body, ReadMemory, TargetBaseAddress), r->data);
    r->status = size < 0 ? KD_STATUS_UNSUCCESSFUL : KD_STATUS_SUCCESS;
    if (size < 0)
        return;
    r->reply_size = kd_at_most(KD_GET(r->body, ReadMemory, TransferCount), (size_t)size);
    KD_PUT(r->body, ReadMemory, ActualBytes, r->reply_size);
}

static void write_control(struct kd_target *t, struct request *r)
{
    uint8_t special[KD_SPECIAL_AMD64_MAX];
    size_t size;
    uint32_t cpu;
    bool complete = write_size(r, &size);
    KD_PUT(r->body, ReadMemory, ActualBytes, 0);
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (!complete || !request_cpu(t, r, &cpu) || !t->ops->set_special ||
        KD_GET(r->body, ReadMemory, TargetBaseAddress) != CONTROL_SPECIAL)
        return;
    if (kd_target_load_special(t, cpu, special) < 0)
        return;
    size = kd_at_most(size, sizeof special);
    memcpy(special, r->data, size);
    r->status = status_of(t->ops->set_special(t->machine, cpu, special));
    if (r->status == KD_STATUS_SUCCESS)
        KD_PUT(r->body, ReadMemory, ActualBytes, size);
}

/* ---- Requests: breakpoints ---- */

static uint32_t add_int3(struct kd_target *t, uint64_t address)
{
    const uint8_t int3 = INT3;
    return kd_target_add_breakpoint(t, address, &int3, 1);
}

static void write_breakpoint(struct kd_target *t, struct request *r)
{
    uint32_t handle = add_int3(t, KD_GET(r->body, WriteBreakPoint, BreakPointAddress));
    KD_PUT(r->body, WriteBreakPoint, BreakPointHandle, handle);
    r->status = handle ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

static void restore_breakpoint(struct kd_target *t, struct request *r)
{
    bool found =
        kd_target_remove_handle(t, (uint32_t)KD_GET(r->body, RestoreBreakPoint, BreakPointHandle));
    r->status = found ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

static void write_custom_breakpoint(struct kd_target *t, struct request *r)
{
    uint64_t address = KD_GET(r->body, CustomBreakpoint, BreakPointAddress);
    const uint8_t *instruction = r->body + KD_AT(CustomBreakpoint, BreakPointInstruction);
    size_t size = (size_t)KD_GET(r->body, CustomBreakpoint, BreakPointInstructionSize);
    uint64_t alignment = KD_GET(r->body, CustomBreakpoint, BreakPointInstructionAlignment);
    uint32_t handle = 0;
    r->status = KD_STATUS_INVALID_PARAMETER;
    KD_PUT(r->body, CustomBreakpoint, BreakPointHandle, 0);
    if (!size || size > KD_BREAKPOINT_BYTES_MAX || (alignment > 1 && address % alignment))
        return;
    handle = kd_target_add_breakpoint(t, address, instruction, size);
    KD_PUT(r->body, CustomBreakpoint, BreakPointHandle, handle);
    r->status = handle ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

/* A list of the wrong length ends the stop as "not handled", and so does a status in a good one
 * (sheet 4.5): the debugger then gets its error and the debuggee goes on. */
static bool list_is_valid(struct kd_target *t, struct request *r, size_t entry, size_t *count)
{
    *count = (size_t)KD_GET(r->body, BreakPointEx, BreakPointCount);
    bool valid = *count <= KD_BREAKPOINTS_MAX && *count * entry == r->data_size;
    t->leaves_when_acked = !valid || KD_GET(r->body, BreakPointEx, ContinueStatus) != 0;
    r->status = valid ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
    r->reply_size = valid ? r->data_size : 0;
    return valid;
}

static void write_breakpoint_ex(struct kd_target *t, struct request *r)
{
    enum { ENTRY = KD_AT(BreakPointEntry, Pad) + KD_SIZE(BreakPointEntry, Pad) };
    size_t count;
    if (!list_is_valid(t, r, ENTRY, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        uint32_t handle = (uint32_t)KD_GET(r->data + i * ENTRY, BreakPointEntry, Handle);
        if (handle && !kd_target_remove_handle(t, handle))
            r->status = KD_STATUS_UNSUCCESSFUL;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t *entry = r->data + i * ENTRY;
        uint64_t address = KD_GET(entry, BreakPointEntry, Address);
        if (!address)
            continue;
        uint32_t handle = add_int3(t, address);
        KD_PUT(entry, BreakPointEntry, Handle, handle);
        if (!handle)
            r->status = KD_STATUS_UNSUCCESSFUL;
    }
}

static void restore_breakpoint_ex(struct kd_target *t, struct request *r)
{
    size_t count;
    if (!list_is_valid(t, r, sizeof(uint32_t), &count))
        return;
    for (size_t i = 0; i < count; i++) {
        if (!kd_target_remove_handle(t, kd_get_u32(r->data + i * sizeof(uint32_t))))
            r->status = KD_STATUS_UNSUCCESSFUL;
    }
}

/* ---- Requests: I/O, MSR, buses ---- */

static uint32_t check_port(uint64_t port, uint64_t size)
{
    if ((size != 1 && size != 2 && size != 4) || port >= IO_PORTS)
        return KD_STATUS_INVALID_PARAMETER;
    return port % size ? KD_STATUS_DATATYPE_MISALIGNMENT : KD_STATUS_SUCCESS;
}

static uint32_t port_read(struct kd_target *t, uint64_t port, uint64_t size, uint32_t *value)
{
    uint32_t status = check_port(port, size);
    if (status != KD_STATUS_SUCCESS)
        return status;
    if (!t->ops->read_io)
        return KD_STATUS_UNSUCCESSFUL;
    status = status_of(t->ops->read_io(t->machine, port, (uint32_t)size, value));
    if (size < 4)
        *value &= (1u << (8 * size)) - 1;
    return status;
}

static uint32_t port_write(struct kd_target *t, uint64_t port, uint64_t size, uint32_t value)
{
    uint32_t status = check_port(port, size);
    if (status != KD_STATUS_SUCCESS)
        return status;
    if (!t->ops->write_io)
        return KD_STATUS_UNSUCCESSFUL;
    return status_of(t->ops->write_io(t->machine, port, (uint32_t)size, value));
}

static void read_io(struct kd_target *t, struct request *r)
{
    uint32_t value = 0;
    r->status = port_read(t, KD_GET(r->body, IoSpace, IoAddress),
                          KD_GET(r->body, IoSpace, DataSize), &value);
    KD_PUT(r->body, IoSpace, DataValue, value);
}

static void write_io(struct kd_target *t, struct request *r)
{
    r->status =
        port_write(t, KD_GET(r->body, IoSpace, IoAddress), KD_GET(r->body, IoSpace, DataSize),
                   (uint32_t)KD_GET(r->body, IoSpace, DataValue));
}

static bool is_plain_io(const struct request *r)
{
    return KD_GET(r->body, IoSpaceExtended, InterfaceType) == INTERFACE_ISA &&
           KD_GET(r->body, IoSpaceExtended, BusNumber) == 0 &&
           KD_GET(r->body, IoSpaceExtended, AddressSpace) == IO_ADDRESS_SPACE;
}

static void read_io_extended(struct kd_target *t, struct request *r)
{
    uint32_t value = 0;
    r->status = KD_STATUS_INVALID_PARAMETER;
    if (is_plain_io(r))
        r->status = port_read(t, KD_GET(r->body, IoSpaceExtended, IoAddress),
                              KD_GET(r->body, IoSpaceExtended, DataSize), &value);
    KD_PUT(r->body, IoSpaceExtended, DataValue, value);
}

static void write_io_extended(struct kd_target *t, struct request *r)
{
    r->status = KD_STATUS_INVALID_PARAMETER;
    if (is_plain_io(r))
        r->status = port_write(t, KD_GET(r->body, IoSpaceExtended, IoAddress),
                               KD_GET(r->body, IoSpaceExtended, DataSize),
                               (uint32_t)KD_GET(r->body, IoSpaceExtended, DataValue));
}

static void read_msr(struct kd_target *t, struct request *r)
{
    uint32_t cpu;
    uint64_t value = 0;
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (request_cpu(t, r, &cpu) && t->ops->read_msr) {
        int error = t->ops->read_msr(t->machine, cpu, (uint32_t)KD_GET(r->body, Msr, Msr), &value);
        r->status = error < 0 ? KD_STATUS_NO_SUCH_DEVICE : KD_STATUS_SUCCESS;
        if (error < 0)
            value = 0;
    }
    KD_PUT(r->body, Msr, DataValueLow, value);
    KD_PUT(r->body, Msr, DataValueHigh, value >> 32);
}

static void write_msr(struct kd_target *t, struct request *r)
{
    uint64_t value = KD_GET(r->body, Msr, DataValueLow) | KD_GET(r->body, Msr, DataValueHigh) << 32;
    uint32_t cpu;
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (!request_cpu(t, r, &cpu) || !t->ops->write_msr)
        return;
    int error = t->ops->write_msr(t->machine, cpu, (uint32_t)KD_GET(r->body, Msr, Msr), value);
    r->status = error < 0 ? KD_STATUS_NO_SUCH_DEVICE : KD_STATUS_SUCCESS;
}

static void get_bus_data(struct kd_target *t, struct request *r)
{
    size_t wanted = kd_at_most(KD_GET(r->body, BusData, Length), KD_MANIPULATE_DATA_MAX);
    uint32_t size = (uint32_t)wanted;
    int error = KD_E_UNSUPPORTED;
    if (t->ops->get_bus_data)
        error = t->ops->get_bus_data(t->machine, (uint32_t)KD_GET(r->body, BusData, BusDataType),
                                     (uint32_t)KD_GET(r->body, BusData, BusNumber),
                                     (uint32_t)KD_GET(r->body, BusData, SlotNumber),
                                     (uint32_t)KD_GET(r->body, BusData, Offset), r->data, &size);
    r->status = status_of(error);
    r->reply_size = error < 0 ? 0 : kd_at_most(size, wanted);
    KD_PUT(r->body, BusData, Length, r->reply_size);
}

static void set_bus_data(struct kd_target *t, struct request *r)
{
    uint64_t wanted = KD_GET(r->body, BusData, Length);
    uint32_t size = (uint32_t)wanted;
    int error = KD_E_UNSUPPORTED;
    if (wanted > r->data_size)
        error = KD_E_TRUNCATED;
    else if (t->ops->set_bus_data)
        error = t->ops->set_bus_data(t->machine, (uint32_t)KD_GET(r->body, BusData, BusDataType),
                                     (uint32_t)KD_GET(r->body, BusData, BusNumber),
                                     (uint32_t)KD_GET(r->body, BusData, SlotNumber),
                                     (uint32_t)KD_GET(r->body, BusData, Offset), r->data, &size);
    r->status = status_of(error);
    KD_PUT(r->body, BusData, Length, error < 0 ? 0 : kd_at_most(size, (size_t)wanted));
}

/* ---- Requests: version, run control, leftovers ---- */

/* NT counts from the first number of a group, the boot debugger gives the last number's low
 * byte; WinDbg takes both. The kind in MajorVersion says which of the two this is. */
static void get_version(struct kd_target *t, struct request *r)
{
    struct kd_machine_version v;
    memset(&v, 0, sizeof v);
    t->ops->version(t->machine, &v);
    bool boot = v.major >> KD_MAJOR_KIND_SHIFT == KD_MAJOR_KIND_BOOT_DEBUGGER;
    KD_PUT(r->body, GetVersion, MajorVersion, v.major);
    KD_PUT(r->body, GetVersion, MinorVersion, v.minor);
    KD_PUT(r->body, GetVersion, ProtocolVersion, 6);
    KD_PUT(r->body, GetVersion, KdSecondaryVersion, v.machine_type == KD_MACHINE_AMD64 ? 2 : 0);
    KD_PUT(r->body, GetVersion, Flags, v.flags);
    KD_PUT(r->body, GetVersion, MachineType, v.machine_type);
    KD_PUT(r->body, GetVersion, MaxPacketType, KD_PACKET_TYPE_MAX);
    KD_PUT(r->body, GetVersion, MaxStateChange, boot ? 0x32 : 3);
    KD_PUT(r->body, GetVersion, MaxManipulate, boot ? 0x59 : 0x31);
    KD_PUT(r->body, GetVersion, Simulation, 0);
    KD_PUT(r->body, GetVersion, Unused, 0);
    KD_PUT(r->body, GetVersion, KernBase, v.kernel_base);
    KD_PUT(r->body, GetVersion, PsLoadedModuleList, v.loaded_module_list);
    KD_PUT(r->body, GetVersion, DebuggerDataList, v.debugger_data_list);
    r->status = KD_STATUS_SUCCESS;
}

static enum kd_target_resume resume_of(uint64_t continue_status)
{
    return continue_status & 0x80000000u ? KD_TARGET_NOT_HANDLED : KD_TARGET_CONTINUE;
}

static void continue_plain(struct kd_target *t, struct request *r)
{
    r->silent = true;
    kd_target_leave(t, resume_of(KD_GET(r->body, Continue, ContinueStatus)));
}

static void set_trace_flag(struct kd_target *t, bool trace)
{
    uint8_t *context = kd_target_scratch(t);
    if (!t->ops->set_context || kd_target_load_context(t, t->cpu, context) < 0)
        return;
    uint64_t flags = KD_GET(context, ContextAmd64, EFlags);
    uint64_t wanted = trace ? flags | EFLAGS_TF : flags & ~(uint64_t)EFLAGS_TF;
    if (wanted == flags)
        return;
    KD_PUT(context, ContextAmd64, EFlags, wanted);
    (void)t->ops->set_context(t->machine, t->cpu, context);
}

/* CurrentSymbolStart/End ask the target to step on by itself inside a range, which saves round
 * trips; a target that reports each step instead is only slower, so they are not looked at. */
static void continue_with_control(struct kd_target *t, struct request *r)
{
    enum kd_target_resume resume = resume_of(KD_GET(r->body, Continue2Amd64, ContinueStatus));
    r->silent = true;
    if (resume == KD_TARGET_CONTINUE) {
        set_trace_flag(t, KD_GET(r->body, Continue2Amd64, TraceFlag) != 0);
        if (t->ops->set_dr7)
            t->ops->set_dr7(t->machine, KD_GET(r->body, Continue2Amd64, Dr7));
    }
    kd_target_leave(t, resume);
}

static void switch_processor(struct kd_target *t, struct request *r)
{
    uint32_t cpu;
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (!request_cpu(t, r, &cpu))
        return; /* the one refusal a debugger can see: there will be no state change */
    r->silent = true;
    t->switch_to = cpu;
    kd_target_leave(t, KD_TARGET_SWITCH);
}

static void reboot(struct kd_target *t, struct request *r)
{
    r->silent = true;
    kd_target_leave(t, KD_TARGET_REBOOT);
}

static void cause_bug_check(struct kd_target *t, struct request *r)
{
    r->silent = true;
    kd_target_leave(t, KD_TARGET_BUG_CHECK);
}

/* There are no special calls to tell of or to clear. */
static void query_special_calls(struct kd_target *t, struct request *r)
{
    (void)t;
    KD_PUT(r->body, QuerySpecialCalls, NumberOfSpecialCalls, 0);
    r->status = KD_STATUS_SUCCESS;
}

static void nothing_to_do(struct kd_target *t, struct request *r)
{
    (void)t;
    r->status = KD_STATUS_SUCCESS;
}

static void no_reply(struct kd_target *t, struct request *r)
{
    (void)t;
    r->silent = true;
}

typedef void (*handler)(struct kd_target *t, struct request *r);

/* What is not here is refused with STATUS_UNSUCCESSFUL, as NT refuses unknown numbers. */
static handler find_handler(uint32_t api)
{
    switch (api) {
    case KD_API_ReadVirtualMemory:
        return read_virtual;
    case KD_API_WriteVirtualMemory:
        return write_virtual;
    case KD_API_GetContext:
        return get_context;
    case KD_API_SetContext:
        return set_context;
    case KD_API_WriteBreakPoint:
        return write_breakpoint;
    case KD_API_RestoreBreakPoint:
        return restore_breakpoint;
    case KD_API_Continue:
        return continue_plain;
    case KD_API_ReadControlSpace:
        return read_control;
    case KD_API_WriteControlSpace:
        return write_control;
    case KD_API_ReadIoSpace:
        return read_io;
    case KD_API_WriteIoSpace:
        return write_io;
    case KD_API_Reboot:
        return reboot;
    case KD_API_Continue2:
        return continue_with_control;
    case KD_API_ReadPhysicalMemory:
        return read_physical;
    case KD_API_WritePhysicalMemory:
        return write_physical;
    case KD_API_QuerySpecialCalls:
        return query_special_calls;
    case KD_API_ClearSpecialCalls:
    case KD_API_CheckLowMemory:
        return nothing_to_do;
    case KD_API_ReadIoSpaceExtended:
        return read_io_extended;
    case KD_API_WriteIoSpaceExtended:
        return write_io_extended;
    case KD_API_GetVersion:
        return get_version;
    case KD_API_WriteBreakPointEx:
        return write_breakpoint_ex;
    case KD_API_RestoreBreakPointEx:
        return restore_breakpoint_ex;
    case KD_API_CauseBugCheck:
        return cause_bug_check;
    case KD_API_SwitchProcessor:
        return switch_processor;
    case KD_API_ReadMachineSpecificRegister:
        return read_msr;
    case KD_API_WriteMachineSpecificRegister:
        return write_msr;
    case KD_API_SearchMemory:
        return search_memory;
    case KD_API_GetBusData:
        return get_bus_data;
    case KD_API_SetBusData:
        return set_bus_data;
    case KD_API_ClearAllInternalBreakpoints:
        return no_reply;
    case KD_API_FillMemory:
        return fill_memory;
    case KD_API_QueryMemory:
        return query_memory;
    case KD_API_WriteCustomBreakpoint:
        return write_custom_breakpoint;
    case KD_API_GetContextEx:
        return get_context_ex;
    case KD_API_SetContextEx:
        return set_context_ex;
    default:
        return NULL;
    }
}

void kd_target_serve(struct kd_target *t, uint64_t now, const uint8_t *body, size_t size)
{
    if (size < KD_MANIPULATE_SIZE || size > sizeof t->reply)
        return;
    memcpy(t->reply, body, size);
    struct request r = {t->reply, t->reply + KD_MANIPULATE_SIZE, size - KD_MANIPULATE_SIZE,
                        0,        KD_STATUS_UNSUCCESSFUL,        false};
    handler run = find_handler((uint32_t)KD_GET(t->reply, Manipulate, ApiNumber));
    if (run)
        run(t, &r);
    if (r.silent)
        return;
    KD_PUT(t->reply, Manipulate, ReturnStatus, r.status);
    (void)kd_link_send(&t->link, now, KD_PACKET_STATE_MANIPULATE, t->reply,
                       KD_MANIPULATE_SIZE + r.reply_size, NULL, 0);
}
