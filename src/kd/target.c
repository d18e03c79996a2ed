/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debuggee's engine.
 *
 *   state    event                               next      what happens
 *   -------  ----------------------------------  --------  -------------------------------------
 *   RUNNING  report exception, image, command    STOPPED   own breakpoints near PC go; report sent
 *   RUNNING  print, trace                        SENDING   packet sent
 *   RUNNING  prompt, file request                ASKING    packet sent
 *   RUNNING  break-in byte (or RESET, if wanted) RUNNING   break_in_wanted
 *   SENDING  acknowledged                        RUNNING
 *   SENDING  dropped                             RUNNING   not attached any more
 *   SENDING  break-in byte                       SENDING   break_in_wanted (stop after the print)
 *   ASKING   answer                              RUNNING   answer kept
 *   ASKING   dropped (create file only)          RUNNING   no answer
 *   ASKING   resend                              ASKING    the question again
 *   STOPPED  request                             STOPPED   reply sent
 *   STOPPED  Continue, Continue2                 RUNNING   CONTINUE or NOT_HANDLED; no reply
 *   STOPPED  SwitchProcessor, Reboot, BugCheck   RUNNING   SWITCH, REBOOT, BUG_CHECK; no reply
 *   STOPPED  Ex breakpoint request that ends it  STOPPED   reply, and when that is acknowledged:
 *            acknowledged                        RUNNING   NOT_HANDLED
 *   STOPPED  resend                              STOPPED   the report again
 *   STOPPED  dropped (load symbols only)         RUNNING   ABANDONED
 *   any      kd_target_abandon                   RUNNING   ABANDONED
 *
 * A request is turned into its reply in place: what is not an output is echoed, junk included,
 * because that is what real targets do and what debuggers get along with. Frames stay small: this
 * runs on an exception stack.
 */
#include "kdwire/target.h"

#include <string.h>

enum {
    /* Chunk of search and fill, on the stack: small for an exception stack, large enough that a
     * machine's cost per call does not count. */
    CHUNK = 256,
    PAGE = 4096, /* grain of accessibility on amd64 */
    /* What a jump over an unreadable page costs against search_max: about what a probe that faults
     * takes compared with reading bytes. */
    SKIP_COST = 64,
    MAJOR_KIND_SHIFT = 8,
    MAJOR_KIND_BOOT_DEBUGGER = 4,
    EFLAGS_TF = 0x100,
    CS_KERNEL = 0x10, /* the flat 64-bit code selector of Windows kernels */
    REPORT_SEGMENTS_VALID = 1,
    REPORT_STANDARD_CS = 2,
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

/* ---- Sending ---- */

static int send_report(struct kd_target *t, uint64_t now)
{
    return kd_link_send(&t->link, now, t->report_type, t->report, t->report_size, NULL, 0);
}

static uint16_t expected_type(const struct kd_target *t)
{
    if (t->state == KD_TARGET_STOPPED)
        return KD_PACKET_STATE_MANIPULATE;
    if (t->state == KD_TARGET_ASKING)
        return t->report_type;
    return KD_PACKET_UNUSED;
}

static void enter(struct kd_target *t, enum kd_target_state state)
{
    t->state = state;
    t->leaves_when_acked = false;
    t->staged_size = 0;
    kd_link_expect(&t->link, expected_type(t));
}

static void leave(struct kd_target *t, enum kd_target_resume resume)
{
    t->resume = resume;
    enter(t, KD_TARGET_RUNNING);
}

/* Sends what is in `report`; the state changes only if the link takes it. */
static int start(struct kd_target *t, uint64_t now, enum kd_target_state state, uint16_t type,
                 size_t size)
{
    t->report_type = type;
    t->report_size = size;
    int error = send_report(t, now);
    if (error < 0)
        return error;
    t->answered = false;
    enter(t, state);
    return KD_OK;
}

static int may_start(const struct kd_target *t, uint32_t cpu)
{
    if (t->state != KD_TARGET_RUNNING)
        return KD_E_BUSY;
    if (cpu >= t->ops->processor_count(t->machine))
        return KD_E_ARGUMENT;
    return KD_OK;
}

/* ---- Memory, with the engine's own breakpoints hidden ---- */

/* The part of [address, address + size) that the breakpoint covers, as offsets into both. */
struct overlap {
    size_t in_range, in_breakpoint, size;
};

/* Works for ranges that wrap around the end of the address space: differences only. */
static bool overlaps(const struct kd_target_breakpoint *b, uint64_t address, size_t size,
                     struct overlap *o)
{
    if (!b->size || !size)
        return false;
    uint64_t ahead = b->address - address; /* the range starts before the breakpoint */
    uint64_t behind = address - b->address;
    if (ahead < size) {
        o->in_range = (size_t)ahead;
        o->in_breakpoint = 0;
        o->size = size - (size_t)ahead < b->size ? size - (size_t)ahead : b->size;
        return true;
    }
    if (behind < b->size) {
        o->in_range = 0;
        o->in_breakpoint = (size_t)behind;
        o->size = b->size - (size_t)behind < size ? b->size - (size_t)behind : size;
        return true;
    }
    return false;
}

static size_t write_code(struct kd_target *t, uint64_t address, const uint8_t *from, size_t size)
{
    if (t->ops->write_code)
        return t->ops->write_code(t->machine, address, from, size);
    return t->ops->write_virtual ? t->ops->write_virtual(t->machine, address, from, size) : 0;
}

static size_t read_raw(struct kd_target *t, uint64_t address, uint8_t *to, size_t size)
{
    return t->ops->read_virtual ? t->ops->read_virtual(t->machine, address, to, size) : 0;
}

/* Whether the breakpoint's bytes are still there; the debuggee may have loaded other code. */
static bool is_in_memory(struct kd_target *t, const struct kd_target_breakpoint *b)
{
    uint8_t now_there[KD_BREAKPOINT_BYTES_MAX];
    return read_raw(t, b->address, now_there, b->size) == b->size &&
           !memcmp(now_there, b->instruction, b->size);
}

static size_t read_shown(struct kd_target *t, uint64_t address, uint8_t *to, size_t size)
{
    size_t done = read_raw(t, address, to, size);
    struct overlap o;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        const struct kd_target_breakpoint *b = &t->breakpoints[i];
        if (overlaps(b, address, done, &o) && is_in_memory(t, b))
            memcpy(to + o.in_range, b->original + o.in_breakpoint, o.size);
    }
    return done;
}

static size_t write_shown(struct kd_target *t, uint64_t address, const uint8_t *from, size_t size)
{
    uint32_t present = 0; /* before the write: it may hide the breakpoint's bytes */
    struct overlap o;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (overlaps(&t->breakpoints[i], address, size, &o) && is_in_memory(t, &t->breakpoints[i]))
            present |= 1u << i;
    }
    size_t done =
        t->ops->write_virtual ? t->ops->write_virtual(t->machine, address, from, size) : 0;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        struct kd_target_breakpoint *b = &t->breakpoints[i];
        if (!(present >> i & 1) || !overlaps(b, address, done, &o))
            continue;
        memcpy(b->original + o.in_breakpoint, from + o.in_range, o.size);
        write_code(t, b->address, b->instruction, b->size);
    }
    return done;
}

/* ---- Breakpoints ---- */

/* Returns the handle, 1..32, or 0: table full, another one there, no such memory, or refused. */
static uint32_t add_breakpoint(struct kd_target *t, uint64_t address, const uint8_t *instruction,
                               size_t size)
{
    struct kd_target_breakpoint *unused = NULL;
    struct overlap o;
    for (size_t i = KD_BREAKPOINTS_MAX; i-- > 0;) {
        if (overlaps(&t->breakpoints[i], address, size, &o))
            return 0;
        if (!t->breakpoints[i].size)
            unused = &t->breakpoints[i];
    }
    if (!unused)
        return 0;
    if (t->ops->is_protected && t->ops->is_protected(t->machine, address, size))
        return 0;
    if (read_raw(t, address, unused->original, size) != size)
        return 0;
    size_t done = write_code(t, address, instruction, size);
    if (done != size) {
        write_code(t, address, unused->original, done);
        return 0;
    }
    unused->address = address;
    unused->size = (uint8_t)size;
    memcpy(unused->instruction, instruction, size);
    return (uint32_t)(unused - t->breakpoints) + 1;
}

static uint32_t add_int3(struct kd_target *t, uint64_t address)
{
    const uint8_t int3 = INT3;
    return add_breakpoint(t, address, &int3, 1);
}

static void remove_breakpoint(struct kd_target *t, struct kd_target_breakpoint *b)
{
    if (is_in_memory(t, b))
        write_code(t, b->address, b->original, b->size);
    b->size = 0;
}

static bool remove_handle(struct kd_target *t, uint32_t handle)
{
    if (handle < 1 || handle > KD_BREAKPOINTS_MAX || !t->breakpoints[handle - 1].size)
        return false;
    remove_breakpoint(t, &t->breakpoints[handle - 1]);
    return true;
}

static void remove_range(struct kd_target *t, uint64_t address, size_t size)
{
    struct overlap o;
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (overlaps(&t->breakpoints[i], address, size, &o))
            remove_breakpoint(t, &t->breakpoints[i]);
    }
}

void kd_target_remove_breakpoints(struct kd_target *t)
{
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (t->breakpoints[i].size)
            remove_breakpoint(t, &t->breakpoints[i]);
    }
}

bool kd_target_has_breakpoint(const struct kd_target *t, uint64_t address)
{
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (t->breakpoints[i].size && t->breakpoints[i].address == address)
            return true;
    }
    return false;
}

void kd_target_forget_range(struct kd_target *t, uint64_t base, uint64_t size)
{
    for (size_t i = 0; i < KD_BREAKPOINTS_MAX; i++) {
        if (t->breakpoints[i].size && t->breakpoints[i].address - base < size)
            t->breakpoints[i].size = 0;
    }
}

/* ---- Requests: helpers ---- */

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

static size_t at_most(uint64_t wanted, size_t limit)
{
    return wanted < limit ? (size_t)wanted : limit;
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
    size_t wanted = at_most(KD_GET(r->body, ReadMemory, TransferCount), KD_MANIPULATE_DATA_MAX);
    uint64_t address = KD_GET(r->body, ReadMemory, TargetBaseAddress);
    finish_read(t, r, read_shown(t, address, r->data, wanted), wanted);
}

static void read_physical(struct kd_target *t, struct request *r)
{
    size_t wanted = at_most(KD_GET(r->body, PhysicalMemory, TransferCount), KD_MANIPULATE_DATA_MAX);
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
    *size = at_most(wanted, r->data_size);
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
        done = write_shown(t, KD_GET(r->body, ReadMemory, TargetBaseAddress), r->data, size);
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
        size_t n = at_most(size, sizeof chunk);
        if (read_shown(t, address, chunk, n) != n)
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
        size_t wanted = at_most(count, sizeof chunk);
        size_t done = read_shown(t, *address, chunk, wanted);
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
        return write_shown(t, address, chunk, size);
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
        size_t n = at_most(length - done, sizeof chunk);
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
static const struct span *const context_groups[] = {control_fields, integer_fields, segment_fields,
                                                    floating_fields, debug_fields};

static void merge_context(uint8_t *into, const uint8_t *from)
{
    uint64_t flags = KD_GET(from, ContextAmd64, ContextFlags);
    for (size_t g = 0; g < sizeof context_groups / sizeof *context_groups; g++) {
        if (!(flags >> g & 1))
            continue;
        for (const struct span *s = context_groups[g]; s->size; s++)
            memcpy(into + s->at, from + s->at, s->size);
    }
}

/* The tail of the reply buffer: free in every request that carries at most one context. */
static uint8_t *scratch_context(struct kd_target *t)
{
    return t->reply + sizeof t->reply - KD_CONTEXT_AMD64_SIZE;
}

static int load_context(struct kd_target *t, uint32_t cpu, uint8_t *context)
{
    memset(context, 0, KD_CONTEXT_AMD64_SIZE);
    return t->ops->get_context ? t->ops->get_context(t->machine, cpu, context) : KD_E_UNSUPPORTED;
}

/* Applies what CONTEXT's own flags name. Without the amd64 mark it is another machine's. */
static uint32_t apply_context(struct kd_target *t, uint32_t cpu, const uint8_t *context)
{
    uint8_t *merged = scratch_context(t);
    if (!t->ops->set_context)
        return KD_STATUS_UNSUCCESSFUL;
    if (!(KD_GET(context, ContextAmd64, ContextFlags) & 0x00100000u))
        return KD_STATUS_INVALID_PARAMETER;
    int error = load_context(t, cpu, merged);
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
    r->status = status_of(load_context(t, cpu, r->data));
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
    uint8_t *context = scratch_context(t);
    r->status = status_of(load_context(t, cpu, context));
    if (r->status != KD_STATUS_SUCCESS)
        return;
    r->reply_size =
        at_most(KD_GET(r->body, ContextEx, ByteCount), KD_CONTEXT_AMD64_SIZE - (size_t)offset);
    memcpy(r->data, context + offset, r->reply_size);
    KD_PUT(r->body, ContextEx, BytesCopied, r->reply_size);
}

/* Takes one piece into `staged`; a piece that continues no other starts from the present state. */
static uint32_t stage_context(struct kd_target *t, uint32_t cpu, uint32_t offset,
                              const uint8_t *piece, uint32_t size)
{
    if (!offset || offset != t->staged_size || cpu != t->staged_cpu) {
        int error = load_context(t, cpu, t->staged);
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

static int load_special(struct kd_target *t, uint32_t cpu, uint8_t *special)
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
        error = load_special(t, cpu, to);
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
    r->reply_size = at_most(KD_GET(r->body, ReadMemory, TransferCount), (size_t)size);
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
    if (load_special(t, cpu, special) < 0)
        return;
    size = at_most(size, sizeof special);
    memcpy(special, r->data, size);
    r->status = status_of(t->ops->set_special(t->machine, cpu, special));
    if (r->status == KD_STATUS_SUCCESS)
        KD_PUT(r->body, ReadMemory, ActualBytes, size);
}

/* ---- Requests: breakpoints ---- */

static void write_breakpoint(struct kd_target *t, struct request *r)
{
    uint32_t handle = add_int3(t, KD_GET(r->body, WriteBreakPoint, BreakPointAddress));
    KD_PUT(r->body, WriteBreakPoint, BreakPointHandle, handle);
    r->status = handle ? KD_STATUS_SUCCESS : KD_STATUS_UNSUCCESSFUL;
}

static void restore_breakpoint(struct kd_target *t, struct request *r)
{
    bool found = remove_handle(t, (uint32_t)KD_GET(r->body, RestoreBreakPoint, BreakPointHandle));
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
    handle = add_breakpoint(t, address, instruction, size);
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
        if (handle && !remove_handle(t, handle))
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
        if (!remove_handle(t, kd_get_u32(r->data + i * sizeof(uint32_t))))
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
    size_t wanted = at_most(KD_GET(r->body, BusData, Length), KD_MANIPULATE_DATA_MAX);
    uint32_t size = (uint32_t)wanted;
    int error = KD_E_UNSUPPORTED;
    if (t->ops->get_bus_data)
        error = t->ops->get_bus_data(t->machine, (uint32_t)KD_GET(r->body, BusData, BusDataType),
                                     (uint32_t)KD_GET(r->body, BusData, BusNumber),
                                     (uint32_t)KD_GET(r->body, BusData, SlotNumber),
                                     (uint32_t)KD_GET(r->body, BusData, Offset), r->data, &size);
    r->status = status_of(error);
    r->reply_size = error < 0 ? 0 : at_most(size, wanted);
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
    KD_PUT(r->body, BusData, Length, error < 0 ? 0 : at_most(size, (size_t)wanted));
}

/* ---- Requests: version, run control, leftovers ---- */

/* NT counts from the first number of a group, the boot debugger gives the last number's low
 * byte; WinDbg takes both. The kind in MajorVersion says which of the two this is. */
static void get_version(struct kd_target *t, struct request *r)
{
    struct kd_machine_version v;
    memset(&v, 0, sizeof v);
    t->ops->version(t->machine, &v);
    bool boot = v.major >> MAJOR_KIND_SHIFT == MAJOR_KIND_BOOT_DEBUGGER;
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
    leave(t, resume_of(KD_GET(r->body, Continue, ContinueStatus)));
}

static void set_trace_flag(struct kd_target *t, bool trace)
{
    uint8_t *context = scratch_context(t);
    if (!t->ops->set_context || load_context(t, t->cpu, context) < 0)
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
    leave(t, resume);
}

static void switch_processor(struct kd_target *t, struct request *r)
{
    uint32_t cpu;
    r->status = KD_STATUS_UNSUCCESSFUL;
    if (!request_cpu(t, r, &cpu))
        return; /* the one refusal a debugger can see: there will be no state change */
    r->silent = true;
    t->switch_to = cpu;
    leave(t, KD_TARGET_SWITCH);
}

static void reboot(struct kd_target *t, struct request *r)
{
    r->silent = true;
    leave(t, KD_TARGET_REBOOT);
}

static void cause_bug_check(struct kd_target *t, struct request *r)
{
    r->silent = true;
    leave(t, KD_TARGET_BUG_CHECK);
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

static void serve(struct kd_target *t, uint64_t now, const uint8_t *body, size_t size)
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

/* ---- Answers to what the debuggee asked ---- */

static void keep_bytes(struct kd_target *t, const uint8_t *bytes, size_t size)
{
    memcpy(t->reply, bytes, size);
    t->answer.bytes = t->reply;
    t->answer.size = size;
}

static void finish_asking(struct kd_target *t)
{
    t->answered = true;
    enter(t, KD_TARGET_RUNNING);
}

static void take_line(struct kd_target *t, const uint8_t *body, size_t size)
{
    if (size < KD_DEBUG_IO_SIZE || KD_GET(body, DebugIo, ApiNumber) != t->asked_api)
        return;
    size_t length = at_most(KD_GET(body, DebugIo, LengthOfStringRead), size - KD_DEBUG_IO_SIZE);
    length = at_most(length, t->answer_max);
    keep_bytes(t, body + KD_DEBUG_IO_SIZE, length);
    t->answer.length = length;
    finish_asking(t);
}

static void take_file_answer(struct kd_target *t, const uint8_t *body, size_t size)
{
    if (size < KD_FILE_IO_SIZE || KD_GET(body, FileIo, ApiNumber) != t->asked_api)
        return;
    t->answer.status = (uint32_t)KD_GET(body, FileIo, Status);
    switch (t->asked_api) {
    case KD_API_CREATE_FILE:
        t->answer.handle = KD_GET(body, CreateFile, Handle);
        t->answer.length = KD_GET(body, CreateFile, Length);
        break;
    case KD_API_READ_FILE: {
        size_t length = at_most(KD_GET(body, ReadFile, Length), size - KD_FILE_IO_SIZE);
        length = at_most(length, t->answer_max);
        keep_bytes(t, body + KD_FILE_IO_SIZE, length);
        t->answer.length = length;
        break;
    }
    case KD_API_WRITE_FILE:
        t->answer.length = at_most(KD_GET(body, WriteFile, Length), t->answer_max);
        break;
    default:
        break;
    }
    finish_asking(t);
}

/* ---- Events of the link ---- */

static void on_packet(struct kd_target *t, uint64_t now, const struct kd_link_event *event)
{
    t->attached = true;
    if (event->type != expected_type(t))
        return;
    if (t->state == KD_TARGET_STOPPED)
        serve(t, now, event->body, event->body_size);
    else if (event->type == KD_PACKET_DEBUG_IO)
        take_line(t, event->body, event->body_size);
    else if (event->type == KD_PACKET_FILE_IO)
        take_file_answer(t, event->body, event->body_size);
}

static void on_acked(struct kd_target *t)
{
    t->attached = true;
    if (t->state == KD_TARGET_SENDING)
        enter(t, KD_TARGET_RUNNING);
    else if (t->leaves_when_acked)
        leave(t, KD_TARGET_NOT_HANDLED);
}

static void on_dropped(struct kd_target *t)
{
    t->attached = false;
    if (t->state != KD_TARGET_RUNNING)
        leave(t, KD_TARGET_ABANDONED);
}

static void on_event(struct kd_target *t, uint64_t now, const struct kd_link_event *event)
{
    switch (event->kind) {
    case KD_LINK_PACKET:
        on_packet(t, now, event);
        break;
    case KD_LINK_ACKED:
        on_acked(t);
        break;
    case KD_LINK_DROPPED:
        on_dropped(t);
        break;
    case KD_LINK_RESEND_STOP:
        if (t->state == KD_TARGET_STOPPED || t->state == KD_TARGET_ASKING)
            (void)send_report(t, now);
        break;
    case KD_LINK_RESET:
        if (t->state == KD_TARGET_RUNNING && t->config.reset_breaks_in)
            t->break_in = true;
        break;
    case KD_LINK_BREAK_IN:
        if (t->state != KD_TARGET_STOPPED)
            t->break_in = true;
        break;
    default:
        break;
    }
}

static bool drain(struct kd_target *t, uint64_t now)
{
    struct kd_link_event event;
    bool any = false;
    while (kd_link_event(&t->link, &event)) {
        on_event(t, now, &event);
        any = true;
    }
    return any;
}

/* ---- Reports ---- */

static void put_control_report(struct kd_target *t, uint32_t cpu, uint64_t program_counter)
{
    uint8_t *special = t->reply; /* free between stops; both are too large for the stack */
    uint8_t *context = scratch_context(t);
    uint8_t *report = t->report;
    struct kd_machine_version v;
    size_t count =
        read_shown(t, program_counter, report + KD_AT(ControlReportAmd64, InstructionStream),
                   KD_INSTRUCTION_STREAM_MAX);
    KD_PUT(report, ControlReportAmd64, InstructionCount, count);
    if (load_context(t, cpu, context) < 0)
        return;
    if (load_special(t, cpu, special) < 0) {
        KD_PUT(special, SpecialAmd64, KernelDr6, KD_GET(context, ContextAmd64, Dr6));
        KD_PUT(special, SpecialAmd64, KernelDr7, KD_GET(context, ContextAmd64, Dr7));
    }
    memset(&v, 0, sizeof v);
    t->ops->version(t->machine, &v);
    uint64_t cs = KD_GET(context, ContextAmd64, SegCs);
    bool standard = cs == CS_KERNEL && v.major >> MAJOR_KIND_SHIFT == 0;
    KD_PUT(report, ControlReportAmd64, Dr6, KD_GET(special, SpecialAmd64, KernelDr6));
    KD_PUT(report, ControlReportAmd64, Dr7, KD_GET(special, SpecialAmd64, KernelDr7));
    KD_PUT(report, ControlReportAmd64, EFlags, KD_GET(context, ContextAmd64, EFlags));
    KD_PUT(report, ControlReportAmd64, ReportFlags,
           REPORT_SEGMENTS_VALID | (standard ? REPORT_STANDARD_CS : 0));
    KD_PUT(report, ControlReportAmd64, SegCs, cs);
    KD_PUT(report, ControlReportAmd64, SegDs, KD_GET(context, ContextAmd64, SegDs));
    KD_PUT(report, ControlReportAmd64, SegEs, KD_GET(context, ContextAmd64, SegEs));
    KD_PUT(report, ControlReportAmd64, SegFs, KD_GET(context, ContextAmd64, SegFs));
}

/* The part all state changes have; the union is filled in by the caller. */
static void put_state_change(struct kd_target *t, uint32_t new_state, uint32_t cpu, uint64_t thread,
                             uint64_t program_counter)
{
    t->cpu = cpu;
    t->break_in = false;
    remove_range(t, program_counter, KD_INSTRUCTION_STREAM_MAX);
    memset(t->report, 0, KD_STATE_CHANGE_SIZE);
    KD_PUT(t->report, StateChange, NewState, new_state);
    KD_PUT(t->report, StateChange, ProcessorLevel, t->config.processor_level);
    KD_PUT(t->report, StateChange, Processor, cpu);
    KD_PUT(t->report, StateChange, NumberProcessors, t->ops->processor_count(t->machine));
    KD_PUT(t->report, StateChange, Thread, thread);
    KD_PUT(t->report, StateChange, ProgramCounter, program_counter);
    put_control_report(t, cpu, program_counter);
}

int kd_target_report_exception(struct kd_target *t, uint64_t now,
                               const struct kd_target_exception *exception)
{
    int error = may_start(t, exception->cpu);
    if (error < 0)
        return error;
    put_state_change(t, KD_STATE_EXCEPTION, exception->cpu, exception->thread,
                     exception->program_counter);
    size_t count = at_most(exception->parameter_count, 15);
    KD_PUT(t->report, Exception, ExceptionCode, exception->code);
    KD_PUT(t->report, Exception, ExceptionFlags, exception->flags);
    KD_PUT(t->report, Exception, ExceptionAddress, exception->address);
    KD_PUT(t->report, Exception, NumberParameters, count);
    for (size_t i = 0; i < count; i++)
        kd_put_u64(t->report + KD_AT(Exception, ExceptionInformation) + 8 * i,
                   exception->parameters[i]);
    KD_PUT(t->report, Exception, FirstChance, exception->first_chance);
    return start(t, now, KD_TARGET_STOPPED, KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE);
}

/* At most LIMIT characters of TEXT with their NUL go to TO; returns the bytes, NUL included. */
static size_t put_text(uint8_t *to, const char *text, size_t limit)
{
    size_t size = 0;
    while (size < limit && text[size]) {
        to[size] = (uint8_t)text[size];
        size++;
    }
    to[size] = 0;
    return size + 1;
}

int kd_target_report_image(struct kd_target *t, uint64_t now, const struct kd_target_image *image)
{
    int error = may_start(t, image->cpu);
    if (error < 0)
        return error;
    put_state_change(t, KD_STATE_LOAD_SYMBOLS, image->cpu, image->thread, image->program_counter);
    size_t path = 0;
    if (image->path)
        path = put_text(t->report + KD_STATE_CHANGE_SIZE, image->path, KD_IMAGE_PATH_MAX);
    KD_PUT(t->report, LoadSymbols, PathNameLength, path);
    KD_PUT(t->report, LoadSymbols, BaseOfDll, image->base);
    KD_PUT(t->report, LoadSymbols, ProcessId, image->process_id);
    KD_PUT(t->report, LoadSymbols, CheckSum, image->checksum);
    KD_PUT(t->report, LoadSymbols, SizeOfImage, image->size);
    KD_PUT(t->report, LoadSymbols, UnloadSymbols, image->unload);
    return start(t, now, KD_TARGET_STOPPED, KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE + path);
}

int kd_target_report_command(struct kd_target *t, uint64_t now, uint32_t cpu, const char *component,
                             const char *command)
{
    int error = may_start(t, cpu);
    if (error < 0)
        return error;
    uint64_t program_counter = 0;
    uint8_t *context = scratch_context(t);
    if (load_context(t, cpu, context) == KD_OK)
        program_counter = KD_GET(context, ContextAmd64, Rip);
    put_state_change(t, KD_STATE_COMMAND_STRING, cpu, 0, program_counter);
    uint8_t *data = t->report + KD_STATE_CHANGE_SIZE;
    size_t size = put_text(data, component, KD_COMPONENT_MAX);
    size += put_text(data + size, command, KD_STATE_CHANGE_DATA_MAX - size - 1);
    return start(t, now, KD_TARGET_STOPPED, KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE + size);
}

/* ---- Text, trace, questions ---- */

static void put_debug_io(struct kd_target *t, uint32_t api, uint32_t cpu, const char *text,
                         size_t size, uint32_t answer_max)
{
    memset(t->report, 0, KD_DEBUG_IO_SIZE);
    KD_PUT(t->report, DebugIo, ApiNumber, api);
    KD_PUT(t->report, DebugIo, ProcessorLevel, t->config.processor_level);
    KD_PUT(t->report, DebugIo, Processor, cpu);
    KD_PUT(t->report, DebugIo, LengthOfString, size);
    KD_PUT(t->report, DebugIo, LengthOfStringRead, answer_max);
    if (size)
        memcpy(t->report + KD_DEBUG_IO_SIZE, text, size);
}

int kd_target_print(struct kd_target *t, uint64_t now, uint32_t cpu, const char *text, size_t size)
{
    int error = may_start(t, cpu);
    if (error == KD_E_BUSY || (error == KD_OK && !size))
        return 0;
    if (error < 0)
        return error;
    size = at_most(size, KD_PRINT_MAX);
    put_debug_io(t, KD_API_PRINT_STRING, cpu, text, size, 0);
    error = start(t, now, KD_TARGET_SENDING, KD_PACKET_DEBUG_IO, KD_DEBUG_IO_SIZE + size);
    return error < 0 ? error : (int)size;
}

int kd_target_trace(struct kd_target *t, uint64_t now, uint32_t cpu, const uint8_t *data,
                    size_t size)
{
    int error = may_start(t, cpu);
    if (error < 0)
        return error;
    if (size > KD_BODY_MAX - KD_TRACE_IO_SIZE)
        return KD_E_TOO_LONG;
    memset(t->report, 0, KD_TRACE_IO_SIZE);
    KD_PUT(t->report, TraceIo, ApiNumber, KD_API_PRINT_TRACE);
    KD_PUT(t->report, TraceIo, ProcessorLevel, t->config.processor_level);
    KD_PUT(t->report, TraceIo, Processor, cpu);
    KD_PUT(t->report, TraceIo, LengthOfData, size);
    if (size)
        memcpy(t->report + KD_TRACE_IO_SIZE, data, size);
    return start(t, now, KD_TARGET_SENDING, KD_PACKET_TRACE_IO, KD_TRACE_IO_SIZE + size);
}

static int ask(struct kd_target *t, uint64_t now, uint16_t type, uint32_t api, size_t size)
{
    memset(&t->answer, 0, sizeof t->answer);
    t->asked_api = api;
    return start(t, now, KD_TARGET_ASKING, type, size);
}

int kd_target_prompt(struct kd_target *t, uint64_t now, uint32_t cpu, const char *text, size_t size,
                     uint32_t answer_max)
{
    int error = may_start(t, cpu);
    if (error < 0)
        return error;
    if (size > KD_DEBUG_IO_DATA_MAX)
        return KD_E_TOO_LONG;
    t->answer_max = (uint32_t)at_most(answer_max, KD_DEBUG_IO_DATA_MAX);
    put_debug_io(t, KD_API_GET_STRING, cpu, text, size, t->answer_max);
    return ask(t, now, KD_PACKET_DEBUG_IO, KD_API_GET_STRING, KD_DEBUG_IO_SIZE + size);
}

static int prepare_file_request(struct kd_target *t, uint32_t api, size_t data_size)
{
    int error = may_start(t, t->cpu);
    if (error < 0)
        return error;
    if (data_size > KD_FILE_IO_DATA_MAX)
        return KD_E_TOO_LONG;
    memset(t->report, 0, KD_FILE_IO_SIZE);
    KD_PUT(t->report, FileIo, ApiNumber, api);
    return KD_OK;
}

int kd_target_create_file(struct kd_target *t, uint64_t now, const uint16_t *path,
                          size_t path_units, uint32_t access, uint32_t attributes, uint32_t share,
                          uint32_t disposition, uint32_t options)
{
    if (path_units >= KD_FILE_IO_DATA_MAX / 2)
        return KD_E_TOO_LONG;
    size_t bytes = 2 * (path_units + 1);
    int error = prepare_file_request(t, KD_API_CREATE_FILE, bytes);
    if (error < 0)
        return error;
    KD_PUT(t->report, CreateFile, DesiredAccess, access);
    KD_PUT(t->report, CreateFile, FileAttributes, attributes);
    KD_PUT(t->report, CreateFile, ShareAccess, share);
    KD_PUT(t->report, CreateFile, CreateDisposition, disposition);
    KD_PUT(t->report, CreateFile, CreateOptions, options);
    for (size_t i = 0; i < path_units; i++)
        kd_put_u16(t->report + KD_FILE_IO_SIZE + 2 * i, path[i]);
    kd_put_u16(t->report + KD_FILE_IO_SIZE + 2 * path_units, 0);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_CREATE_FILE, KD_FILE_IO_SIZE + bytes);
}

int kd_target_read_file(struct kd_target *t, uint64_t now, uint64_t handle, uint64_t offset,
                        uint32_t size)
{
    int error = prepare_file_request(t, KD_API_READ_FILE, size);
    if (error < 0)
        return error;
    t->answer_max = size;
    KD_PUT(t->report, ReadFile, Handle, handle);
    KD_PUT(t->report, ReadFile, Offset, offset);
    KD_PUT(t->report, ReadFile, Length, size);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_READ_FILE, KD_FILE_IO_SIZE);
}

int kd_target_write_file(struct kd_target *t, uint64_t now, uint64_t handle, uint64_t offset,
                         const uint8_t *bytes, uint32_t size)
{
    int error = prepare_file_request(t, KD_API_WRITE_FILE, size);
    if (error < 0)
        return error;
    t->answer_max = size;
    KD_PUT(t->report, WriteFile, Handle, handle);
    KD_PUT(t->report, WriteFile, Offset, offset);
    KD_PUT(t->report, WriteFile, Length, size);
    if (size)
        memcpy(t->report + KD_FILE_IO_SIZE, bytes, size);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_WRITE_FILE, KD_FILE_IO_SIZE + size);
}

int kd_target_close_file(struct kd_target *t, uint64_t now, uint64_t handle)
{
    int error = prepare_file_request(t, KD_API_CLOSE_FILE, 0);
    if (error < 0)
        return error;
    KD_PUT(t->report, CloseFile, Handle, handle);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_CLOSE_FILE, KD_FILE_IO_SIZE);
}

int kd_target_answer(struct kd_target *t, struct kd_target_answer *answer)
{
    if (!t->answered)
        return KD_E_NOT_FOUND;
    *answer = t->answer;
    return KD_OK;
}

/* ---- Set-up, wire, state ---- */

void kd_target_init(struct kd_target *t, const struct kd_target_config *config,
                    const struct kd_machine_ops *ops, void *machine)
{
    memset(t, 0, sizeof *t);
    t->config = *config;
    t->config.link.role = KD_ROLE_TARGET;
    t->ops = ops;
    t->machine = machine;
    t->resume = KD_TARGET_CONTINUE;
    kd_link_init(&t->link, &t->config.link);
    enter(t, KD_TARGET_RUNNING);
}

void kd_target_feed(struct kd_target *t, uint64_t now, const uint8_t *data, size_t size)
{
    for (;;) {
        size_t used = kd_link_feed(&t->link, now, data, size);
        bool any = drain(t, now);
        data += used;
        size -= used;
        if (!size || (!used && !any))
            return;
    }
}

size_t kd_target_output(struct kd_target *t, const uint8_t **bytes)
{
    return kd_link_output(&t->link, bytes);
}

void kd_target_written(struct kd_target *t, uint64_t now, size_t size)
{
    kd_link_written(&t->link, now, size);
}

void kd_target_tick(struct kd_target *t, uint64_t now)
{
    kd_link_tick(&t->link, now);
    (void)drain(t, now);
}

uint64_t kd_target_deadline(const struct kd_target *t)
{
    return kd_link_deadline(&t->link);
}

enum kd_target_state kd_target_state(const struct kd_target *t)
{
    return t->state;
}

enum kd_target_resume kd_target_resume(const struct kd_target *t)
{
    return t->resume;
}

uint32_t kd_target_switch_to(const struct kd_target *t)
{
    return t->switch_to;
}

bool kd_target_break_in_wanted(struct kd_target *t)
{
    bool wanted = t->break_in;
    t->break_in = false;
    return wanted;
}

bool kd_target_attached(const struct kd_target *t)
{
    return t->attached;
}

void kd_target_abandon(struct kd_target *t)
{
    kd_link_abandon(&t->link);
    if (t->state != KD_TARGET_RUNNING)
        leave(t, KD_TARGET_ABANDONED);
}

void kd_target_restart_link(struct kd_target *t, uint64_t now)
{
    kd_link_restart(&t->link);
    t->attached = false;
    kd_link_expect(&t->link, expected_type(t));
    if (t->state != KD_TARGET_RUNNING)
        (void)send_report(t, now);
}

const struct kd_link_stats *kd_target_link_stats(const struct kd_target *t)
{
    return kd_link_stats(&t->link);
}
