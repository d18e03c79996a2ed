/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debugger's engine.
 *
 * States, and what moves them (seek: what goes out until a state change comes):
 *
 *   state      event                                  next state, action
 *   ---------  -------------------------------------  -------------------------------------------
 *   IDLE       attach                                 ATTACHING; seek ATTACH: RESET, then 'b', ...
 *   ATTACHING  state change                           STOPPED; STOP; seek ends
 *   ATTACHING  reply to nobody (the target waited     RESET at once: now it repeats its state
 *              for its ACK when RESET came)           change
 *   RUNNING    state change                           STOPPED; STOP; seek ends
 *   RUNNING    break_in                               seek BREAK: 'b', RESET, 'b', ... bounded;
 *                                                     RESET first if the target was lost
 *   STOPPED    Continue acknowledged                  RUNNING; RUN, DONE
 *   STOPPED    state change before that ACK:
 *              - equal to the last, no RESET sent     not decided: when the ACK comes, seek CHECK
 *              - equal, RESET sent                    it did not run: DONE(TIMEOUT), STOP repeated
 *              - different                            it ran: RUN, DONE, STOP
 *   STOPPED    state change, other request under way:
 *              - equal, no RESET sent                 ignored (noise that looked like a break-in)
 *              - equal, RESET sent                    target waits for requests: see below
 *              - different                            DONE(RESET), STOP
 *   STOPPED    SYNC id, not of a reply; or RESETs     RUNNING; RESTARTED, DONE(RESET); the packet
 *              answered, but no request acknowledged  with the id is then judged as RUNNING
 *   STOPPED    no answer to all that was tried        RUNNING; LOST, DONE(TIMEOUT)
 *   any        detach acknowledged, disconnected      IDLE
 *
 * The life of a request's packet:
 *
 *   waits for the link -> sent -> acknowledged -> replied
 *   The link gives up (LOST), or no reply in time: RESET. Then either the reply comes again (the
 *   target still waits for its ACK), or the state change (it waits for a request: it has not seen
 *   ours, or saw it with a damaged header field, or its reply was thrown away by mistake).
 *   In the second case the packet is sent again if a second execution has no other effect than
 *   the first:
 *     sent again: reads, searches, contexts, control space, memory writes and fills (same bytes to
 *       the same place), breakpoints (the target refuses a second one), version, walk, restore
 *     never: Continue, Reboot, SwitchProcessor, ports, MSR writes, bus data: DONE(TIMEOUT) with
 *       maybe_done
 *   A reply may belong to an earlier request of the same kind that was given up. So each request
 *   carries a number in ProcessorLevel, which replies echo (that field is junk in real WinDbg
 *   requests and comes back unchanged); the engine notes whether this target does so.
 *
 * Header fields are not covered by the checksum, the API number in the body is: packets are told
 * apart by that number, not by the type in the header.
 */
#include "kdwire/debugger.h"

#include <string.h>

enum {
    PAGE_SIZE = 0x1000,
    /* NT and our own target never answer RESET later than this many rounds if they are there. */
    CHECK_ROUNDS = 2,
    /* RESETs that a target answers, and nothing else, while it does not even acknowledge a request:
     * it runs. More than one, since the state change of a stopped one may be lost on the way. */
    RUNNING_RESETS = 2,
    ECHOES_SURE = 2, /* see is_ours */
    /* Late answers to earlier requests are one or two; more are this target's own way. */
    STRANGERS_MAX = 2,
    /* What a loader entry must have at least: up to FullDllName's buffer. */
    LOADER_ENTRY_MIN = 0x58,
};

#define DEFAULT_REQUEST_TIMEOUT_US 3000000u
#define DEFAULT_REQUEST_TRIES      4u
#define DEFAULT_ATTACH_INTERVAL_US 1000000u
#define RESET_WAIT_US              500000u /* a stopped target that answers RESET does so at once */

static void packet_done(struct kd_debugger *d, uint64_t now, int result, uint32_t status,
                        const uint8_t *body, size_t body_size);
static void target_restarted(struct kd_debugger *d, uint64_t now);

/* ---- events ---- */

static struct kd_debugger_event *push(struct kd_debugger *d, enum kd_debugger_event_kind kind)
{
    /* Full only if the user does not drain: then the newest is lost, except that there is always
     * room for the last one, which may be the DONE someone waits for. */
    if (d->event_count == KD_DEBUGGER_EVENTS_MAX)
        d->event_count--;
    unsigned at = (d->event_first + d->event_count++) % KD_DEBUGGER_EVENTS_MAX;
    struct kd_debugger_event *event = &d->events[at];
    memset(event, 0, sizeof *event);
    event->kind = kind;
    return event;
}

bool kd_debugger_event(struct kd_debugger *d, struct kd_debugger_event *event)
{
    if (d->event_count == 0)
        return false;
    *event = d->events[d->event_first];
    d->event_first = (d->event_first + 1) % KD_DEBUGGER_EVENTS_MAX;
    d->event_count--;
    return true;
}

/* ---- seeking a stopped target ---- */

static void seek_start(struct kd_debugger *d, uint64_t at, enum kd_seek seek, bool break_first,
                       unsigned rounds)
{
    d->seek = seek;
    d->seek_break_next = break_first;
    d->seeks_left = rounds;
    d->seek_deadline = at;
}

/* Ids change when a RESET is answered: what was sent before goes out again with a new one, and may
 * then take effect twice. So requests wait for the answer, for a while: not every target gives
 * one. */
static void await_reset(struct kd_debugger *d, uint64_t now)
{
    d->reset_wait_end = now + RESET_WAIT_US;
}

static void send_reset(struct kd_debugger *d, uint64_t now)
{
    kd_link_send_reset(&d->link, now);
    await_reset(d, now);
}

static void seek_step(struct kd_debugger *d, uint64_t now)
{
    if (d->seek != KD_SEEK_ATTACH && d->seeks_left == 0) {
        if (d->seek == KD_SEEK_BREAK)
            push(d, KD_DEBUGGER_LOST);
        d->seek = KD_SEEK_NONE;
        return;
    }
    if (d->seeks_left > 0)
        d->seeks_left--;
    bool break_in = d->seek_break_next;
    if (break_in)
        kd_link_send_break_in(&d->link, now);
    else
        send_reset(d, now);
    bool alternate =
        d->seek == KD_SEEK_BREAK || (d->seek == KD_SEEK_ATTACH && d->attach_how == KD_ATTACH_STOP);
    d->seek_break_next = alternate && !break_in;
    /* A stopped target answers RESET at once; the shorter pause keeps attaching to a running one
     * quick. The break-in needs time: the target polls for it. */
    uint64_t pause = d->config.attach_interval_us;
    d->seek_deadline = now + (break_in || !alternate ? pause : pause / 2);
}

/* ---- the packet of a request ---- */

static bool repeatable(uint32_t api)
{
    switch (api) {
    case KD_API_Continue:
    case KD_API_Continue2:
    case KD_API_Reboot:
    case KD_API_SwitchProcessor:
    case KD_API_ReadIoSpace:
    case KD_API_WriteIoSpace:
    case KD_API_GetBusData:
    case KD_API_SetBusData:
    case KD_API_WriteMachineSpecificRegister:
        return false;
    default:
        return true;
    }
}

static void finish(struct kd_debugger *d, int result, uint32_t status, uint64_t value)
{
    struct kd_debugger_request *r = &d->request;
    bool recovered = r->repeated && result == KD_OK;
    if (recovered)
        push(d, KD_DEBUGGER_RECOVERED);
    bool detach = r->op == KD_OP_DETACH;
    struct kd_debugger_event *event = push(d, KD_DEBUGGER_DONE);
    event->result = result;
    event->status = status;
    event->count = r->done;
    event->value = value;
    event->maybe_done =
        (result == KD_E_TIMEOUT || result == KD_E_RESET || result == KD_E_CLOSED) && !r->unsent;
    if (d->owner == KD_OWNER_REQUEST)
        d->owner = KD_OWNER_OTHER;
    r->op = KD_OP_NONE;
    if (detach) {
        d->state = KD_DEBUGGER_IDLE;
        d->seek = KD_SEEK_NONE;
        push(d, KD_DEBUGGER_DETACHED)->result = result;
    }
}

static void try_send(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_NONE || !r->unsent || now < d->reset_wait_end)
        return;
    int result = kd_link_send(&d->link, now, KD_PACKET_STATE_MANIPULATE, r->head, sizeof r->head,
                              r->data, r->data_size);
    if (result == KD_E_BUSY)
        return; /* sent when the link reports the end of what it carries */
    r->unsent = false;
    r->deadline = KD_NEVER; /* until the ACK the link's own time-outs rule */
    d->owner = KD_OWNER_REQUEST;
}

/* Sends what r->head (filled in from offset 16 on by the caller) and data say. */
static void packet_start(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *data,
                         size_t data_size)
{
    struct kd_debugger_request *r = &d->request;
    r->api = api;
    r->data = data;
    r->data_size = data_size;
    r->unsent = true;
    r->acked = r->asking = r->repeated = false;
    r->tries = r->resets_answered = r->strangers = 0;
    r->deadline = KD_NEVER;
    r->sequence = ++d->sequence;
    KD_PUT(r->head, Manipulate, ApiNumber, api);
    KD_PUT(r->head, Manipulate, ProcessorLevel, r->sequence);
    KD_PUT(r->head, Manipulate, Processor, r->cpu);
    try_send(d, now);
}

static void clear_head(struct kd_debugger *d)
{
    memset(d->request.head, 0, sizeof d->request.head);
}

/* Whether it runs or not, nobody knows: break-in finds out. */
static void lost(struct kd_debugger *d, uint64_t now)
{
    push(d, KD_DEBUGGER_LOST);
    d->state = KD_DEBUGGER_RUNNING;
    d->lost = true;
    packet_done(d, now, KD_E_TIMEOUT, 0, NULL, 0);
}

/* Neither reply nor acknowledgement came: find out with RESET what became of the packet. */
static void packet_ask(struct kd_debugger *d, uint64_t now, bool reset_sent)
{
    struct kd_debugger_request *r = &d->request;
    if (!r->acked && r->resets_answered >= RUNNING_RESETS) {
        target_restarted(d, now);
        return;
    }
    if (r->tries >= d->config.request_tries) {
        lost(d, now);
        return;
    }
    r->tries++;
    r->asking = true;
    r->deadline = now + d->config.request_timeout_us;
    if (d->owner == KD_OWNER_REQUEST)
        d->owner = KD_OWNER_OTHER;
    if (reset_sent) {
        await_reset(d, now);
    } else {
        kd_link_abandon(&d->link);
        send_reset(d, now);
    }
}

/* ---- operations that take several packets ---- */

static uint32_t transfer_api(const struct kd_debugger_request *r)
{
    bool write = r->op == KD_OP_WRITE;
    switch (r->space) {
    case KD_SPACE_PHYSICAL:
        return write ? KD_API_WritePhysicalMemory : KD_API_ReadPhysicalMemory;
    case KD_SPACE_CONTROL:
        return write ? KD_API_WriteControlSpace : KD_API_ReadControlSpace;
    case KD_SPACE_VIRTUAL:
    default:
        return write ? KD_API_WriteVirtualMemory : KD_API_ReadVirtualMemory;
    }
}

static size_t to_page_end(uint64_t address)
{
    return (size_t)(PAGE_SIZE - address % PAGE_SIZE);
}

static void transfer_next(struct kd_debugger *d, uint64_t now, bool clip_to_page)
{
    struct kd_debugger_request *r = &d->request;
    uint64_t address = r->space == KD_SPACE_CONTROL ? r->address : r->address + r->done;
    size_t piece = r->size - r->done;
    if (r->space != KD_SPACE_CONTROL && piece > d->config.piece_max) /* that one has no pieces */
        piece = d->config.piece_max;
    if (clip_to_page && piece > to_page_end(address))
        piece = to_page_end(address);
    r->piece = piece;
    clear_head(d);
    KD_PUT(r->head, ReadMemory, TargetBaseAddress, address);
    KD_PUT(r->head, ReadMemory, TransferCount, piece);
    bool write = r->op == KD_OP_WRITE;
    packet_start(d, now, transfer_api(r), write ? r->from + r->done : NULL, write ? piece : 0);
}

static void walk_read(struct kd_debugger *d, uint64_t now, uint64_t address, uint8_t *to,
                      size_t size)
{
    struct kd_debugger_request *r = &d->request;
    r->space = KD_SPACE_VIRTUAL;
    r->address = address;
    r->to = to;
    r->size = size;
    r->done = 0;
    transfer_next(d, now, false);
}

/* One UTF-16 unit as UTF-8; surrogates and control characters become '?'. */
static size_t put_utf8(char *to, uint16_t unit)
{
    if (unit < 0x20 || unit == 0x7F || (unit >= 0x80 && unit < 0xA0) ||
        (unit >= 0xD800 && unit < 0xE000))
        unit = '?';
    if (unit < 0x80) {
        to[0] = (char)unit;
        return 1;
    }
    if (unit < 0x800) {
        to[0] = (char)(0xC0 | unit >> 6);
        to[1] = (char)(0x80 | (unit & 0x3F));
        return 2;
    }
    to[0] = (char)(0xE0 | unit >> 12);
    to[1] = (char)(0x80 | (unit >> 6 & 0x3F));
    to[2] = (char)(0x80 | (unit & 0x3F));
    return 3;
}

static void path_from_utf16(char path[KD_MODULE_PATH_MAX], const uint8_t *units, size_t bytes)
{
    size_t at = 0;
    for (size_t i = 0; bytes - i >= 2 && at < KD_MODULE_PATH_MAX - 3; i += 2) {
        uint16_t unit = kd_get_u16(units + i);
        if (unit == 0)
            break;
        at += put_utf8(path + at, unit);
    }
    path[at] = '\0';
}

static void walk_module(struct kd_debugger *d)
{
    struct kd_debugger_request *r = &d->request;
    memset(&d->module, 0, sizeof d->module);
    d->module.base = KD_GET(r->scratch, LoaderEntry64, DllBase);
    d->module.size = (uint32_t)KD_GET(r->scratch, LoaderEntry64, SizeOfImage);
    d->module.checksum = (uint32_t)KD_GET(r->scratch, LoaderEntry64, CheckSum);
    path_from_utf16(d->module.path, r->name, r->name_bytes);
    r->walked++;
    push(d, KD_DEBUGGER_MODULE_LOADED)->module = &d->module;
}

/* On to the entry at NODE, or to the end of the list. Brent's method finds circles: HARE is a
 * node met before, moved up whenever the number of steps since then has doubled. */
static void walk_to(struct kd_debugger *d, uint64_t now, uint64_t node)
{
    struct kd_debugger_request *r = &d->request;
    if (node == 0 || node == r->list_head || node == r->hare || r->steps >= KD_MODULE_WALK_MAX) {
        r->done = 0;
        finish(d, KD_OK, 0, r->walked);
        return;
    }
    r->steps++;
    if (r->steps == r->lap) {
        r->hare = node;
        r->lap *= 2;
    }
    r->node = node;
    r->step = KD_WALK_ENTRY;
    memset(r->scratch, 0, sizeof r->scratch);
    walk_read(d, now, node, r->scratch, sizeof r->scratch);
}

static void walk_name(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    uint64_t length = KD_GET(r->scratch, LoaderEntry64, FullDllNameLength) & ~1ull;
    uint64_t buffer = KD_GET(r->scratch, LoaderEntry64, FullDllNameBuffer);
    if (length == 0 || buffer == 0) {
        length = KD_GET(r->scratch, LoaderEntry64, BaseDllNameLength) & ~1ull;
        buffer = KD_GET(r->scratch, LoaderEntry64, BaseDllNameBuffer);
    }
    if (length > sizeof r->name) {
        buffer += length - sizeof r->name;
        length = sizeof r->name;
    }
    r->step = KD_WALK_NAME;
    r->name_bytes = 0;
    if (length == 0 || buffer == 0) {
        walk_module(d);
        walk_to(d, now, KD_GET(r->scratch, LoaderEntry64, Flink));
        return;
    }
    walk_read(d, now, buffer, r->name, (size_t)length);
}

static void walk_step(struct kd_debugger *d, uint64_t now, uint32_t status)
{
    struct kd_debugger_request *r = &d->request;
    switch (r->step) {
    case KD_WALK_HEAD:
        if (r->done < 8)
            break;
        walk_to(d, now, kd_get_u64(r->scratch));
        return;
    case KD_WALK_ENTRY:
        if (r->done < LOADER_ENTRY_MIN)
            break;
        walk_name(d, now);
        return;
    case KD_WALK_NAME:
    default:
        r->name_bytes = r->done & ~(size_t)1;
        walk_module(d);
        walk_to(d, now, KD_GET(r->scratch, LoaderEntry64, Flink));
        return;
    }
    r->done = 0;
    finish(d, KD_E_FAULT, status, r->walked);
}

static void transfer_finished(struct kd_debugger *d, uint64_t now, int result, uint32_t status)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_WALK && result != KD_E_TIMEOUT && result != KD_E_RESET)
        walk_step(d, now, status);
    else
        finish(d, result, status, r->op == KD_OP_WALK ? r->walked : 0);
}

static void transfer_reply(struct kd_debugger *d, uint64_t now, uint32_t status,
                           const uint8_t *body, size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    bool write = r->op == KD_OP_WRITE;
    size_t actual = (size_t)KD_GET(body, ReadMemory, ActualBytes);
    size_t have = write ? r->piece : body_size - KD_MANIPULATE_SIZE;
    if (actual > r->piece)
        actual = r->piece;
    if (actual > have)
        actual = have;
    /* Some targets report a count together with no success and no data; the data decides. */
    if (write && status != 0 && actual == r->piece && r->space != KD_SPACE_CONTROL)
        actual = 0;
    if (!write && actual > 0)
        memcpy(r->to + r->done, body + KD_MANIPULATE_SIZE, actual);
    r->done += actual;
    if (r->done == r->size) {
        transfer_finished(d, now, KD_OK, status);
    } else if (r->space == KD_SPACE_CONTROL) {
        bool some = actual > 0 && status == 0;
        transfer_finished(d, now, some ? KD_OK : KD_E_REFUSED, status);
    } else if (actual > 0) {
        transfer_next(d, now, actual < r->piece); /* goes on where it stopped */
    } else if (r->piece > to_page_end(r->address + r->done)) {
        transfer_next(d, now, true); /* up to the end of this page there may be some */
    } else {
        transfer_finished(d, now, KD_E_FAULT, status);
    }
}

static void context_next(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool get = r->op == KD_OP_GET_CONTEXT;
    size_t left = r->size - r->done;
    clear_head(d);
    if (!d->no_context_ex) {
        KD_PUT(r->head, ContextEx, Offset, r->done);
        KD_PUT(r->head, ContextEx, ByteCount, left);
        if (!get)
            KD_PUT(r->head, ContextEx, BytesCopied, r->size); /* the total that will come */
        packet_start(d, now, get ? KD_API_GetContextEx : KD_API_SetContextEx,
                     get ? NULL : r->from + r->done, get ? 0 : left);
        return;
    }
    if (!get)
        KD_PUT(r->head, SetContext, ContextFlags, KD_GET(r->from, ContextAmd64, ContextFlags));
    packet_start(d, now, get ? KD_API_GetContext : KD_API_SetContext, get ? NULL : r->from,
                 get ? 0 : r->size);
}

static void context_reply(struct kd_debugger *d, uint64_t now, uint32_t status, const uint8_t *body,
                          size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    size_t have = body_size - KD_MANIPULATE_SIZE;
    bool get = r->op == KD_OP_GET_CONTEXT;
    if (r->api == KD_API_GetContextEx && status == 0) {
        size_t copied = (size_t)KD_GET(body, ContextEx, BytesCopied);
        copied = copied < have ? copied : have;
        copied = copied < r->size - r->done ? copied : r->size - r->done;
        memcpy(r->to + r->done, body + KD_MANIPULATE_SIZE, copied);
        r->done += copied;
        if (r->done == r->size) {
            finish(d, KD_OK, status, 0);
            return;
        }
        if (copied > 0) {
            context_next(d, now);
            return;
        }
        status = KD_STATUS_UNSUCCESSFUL; /* an empty piece would go on for ever */
    }
    if ((r->api == KD_API_GetContextEx || r->api == KD_API_SetContextEx) && status != 0) {
        d->no_context_ex = true; /* as WinDbg does: for the whole session */
        r->done = 0;
        context_next(d, now);
        return;
    }
    if (get && status == 0) {
        if (have < r->size) {
            finish(d, KD_E_TRUNCATED, status, 0);
            return;
        }
        memcpy(r->to, body + KD_MANIPULATE_SIZE, r->size);
    }
    r->done = status == 0 ? r->size : 0;
    finish(d, status == 0 ? KD_OK : KD_E_REFUSED, status, 0);
}

static void go_start(struct kd_debugger *d, uint64_t now, uint32_t status)
{
    KD_PUT(d->request.head, Manipulate, ReturnStatus, status);
    KD_PUT(d->request.head, Continue, ContinueStatus, status);
    packet_start(d, now, KD_API_Continue, NULL, 0);
}

static void go2_start(struct kd_debugger *d, uint64_t now, uint32_t status, bool trace,
                      uint64_t dr7)
{
    uint8_t *head = d->request.head;
    KD_PUT(head, Manipulate, ReturnStatus, status);
    KD_PUT(head, Continue2Amd64, ContinueStatus, status);
    KD_PUT(head, Continue2Amd64, TraceFlag, trace ? 1 : 0);
    KD_PUT(head, Continue2Amd64, Dr7, dr7);
    KD_PUT(head, Continue2Amd64, CurrentSymbolStart, 1); /* leave the step range alone */
    d->controlled = true;
    packet_start(d, now, KD_API_Continue2, NULL, 0);
}

static void detach_next(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    clear_head(d);
    if (r->handle_at < r->handle_count) {
        KD_PUT(r->head, RestoreBreakPoint, BreakPointHandle, r->handles[r->handle_at]);
        r->handle_at++;
        packet_start(d, now, KD_API_RestoreBreakPoint, NULL, 0);
        return;
    }
    /* Continue leaves trap flag and Dr7 as an earlier Continue2 set them. */
    if (d->controlled)
        go2_start(d, now, r->continue_status, false, KD_DR7_NONE);
    else
        go_start(d, now, r->continue_status);
}

/* ---- replies ---- */

static void version_reply(struct kd_debugger *d, uint32_t status, const uint8_t *body)
{
    struct kd_debugger_version *v = d->request.version;
    if (status != 0) {
        finish(d, KD_E_REFUSED, status, 0);
        return;
    }
    v->major = (uint16_t)KD_GET(body, GetVersion, MajorVersion);
    v->minor = (uint16_t)KD_GET(body, GetVersion, MinorVersion);
    v->protocol = (uint8_t)KD_GET(body, GetVersion, ProtocolVersion);
    v->secondary = (uint8_t)KD_GET(body, GetVersion, KdSecondaryVersion);
    v->flags = (uint16_t)KD_GET(body, GetVersion, Flags);
    v->machine_type = (uint16_t)KD_GET(body, GetVersion, MachineType);
    v->max_packet_type = (uint8_t)KD_GET(body, GetVersion, MaxPacketType);
    v->max_state_change = (uint8_t)KD_GET(body, GetVersion, MaxStateChange);
    v->max_manipulate = (uint8_t)KD_GET(body, GetVersion, MaxManipulate);
    v->simulation = (uint8_t)KD_GET(body, GetVersion, Simulation);
    v->kernel_base = KD_GET(body, GetVersion, KernBase);
    v->loaded_module_list = KD_GET(body, GetVersion, PsLoadedModuleList);
    v->debugger_data_list = KD_GET(body, GetVersion, DebuggerDataList);
    finish(d, KD_OK, status, 0);
}

static void bus_reply(struct kd_debugger *d, uint32_t status, const uint8_t *body, size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    size_t length = (size_t)KD_GET(body, BusData, Length);
    size_t have = r->api == KD_API_GetBusData ? body_size - KD_MANIPULATE_SIZE : r->size;
    length = length < have ? length : have;
    length = length < r->size ? length : r->size;
    if (status != 0)
        length = 0;
    if (r->api == KD_API_GetBusData && length > 0)
        memcpy(r->to, body + KD_MANIPULATE_SIZE, length);
    r->done = length;
    finish(d, status != 0 ? KD_E_REFUSED : KD_OK, status, length);
}

static uint64_t simple_value(uint32_t api, const uint8_t *body)
{
    switch (api) {
    case KD_API_WriteBreakPoint:
        return KD_GET(body, WriteBreakPoint, BreakPointHandle);
    case KD_API_ReadMachineSpecificRegister:
        return KD_GET(body, Msr, DataValueLow) | KD_GET(body, Msr, DataValueHigh) << 32;
    case KD_API_ReadIoSpace:
        return KD_GET(body, IoSpace, DataValue);
    case KD_API_SearchMemory:
        return KD_GET(body, SearchMemory, SearchAddress);
    case KD_API_QueryMemory:
        return KD_GET(body, QueryMemory, Flags) | KD_GET(body, QueryMemory, AddressSpace) << 32;
    default:
        return 0;
    }
}

static void simple_reply(struct kd_debugger *d, uint32_t status, const uint8_t *body,
                         size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    if (r->api == KD_API_GetBusData || r->api == KD_API_SetBusData) {
        bus_reply(d, status, body, body_size);
        return;
    }
    if (r->api == KD_API_FillMemory) {
        size_t filled = (size_t)KD_GET(body, FillMemory, Length);
        r->done = status == 0 && filled <= r->size ? filled : 0;
    }
    int result = status == 0 ? KD_OK : KD_E_REFUSED;
    if (r->api == KD_API_SearchMemory && status != 0)
        result = KD_E_NOT_FOUND;
    /* Refused when asked again: most likely because the first one did succeed. */
    if (r->api == KD_API_WriteBreakPoint && status != 0 && r->repeated)
        result = KD_E_TIMEOUT;
    finish(d, result, status, status == 0 ? simple_value(r->api, body) : 0);
}

/* The packet under way ended: with a reply (RESULT 0, BODY) or without (BODY NULL). */
static void packet_done(struct kd_debugger *d, uint64_t now, int result, uint32_t status,
                        const uint8_t *body, size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_DETACH && r->api == KD_API_RestoreBreakPoint && result != KD_E_RESET) {
        detach_next(d, now); /* whether or not that handle was still known */
        return;
    }
    if (body == NULL) {
        if (r->op == KD_OP_READ || r->op == KD_OP_WRITE || r->op == KD_OP_WALK)
            transfer_finished(d, now, result, status);
        else
            finish(d, result, status, 0);
        return;
    }
    switch (r->op) {
    case KD_OP_VERSION:
        version_reply(d, status, body);
        return;
    case KD_OP_READ:
    case KD_OP_WRITE:
    case KD_OP_WALK:
        transfer_reply(d, now, status, body, body_size);
        return;
    case KD_OP_GET_CONTEXT:
    case KD_OP_SET_CONTEXT:
        context_reply(d, now, status, body, body_size);
        return;
    case KD_OP_SWITCH:
        finish(d, KD_E_REFUSED, status, 0); /* some targets say no; success is a state change */
        return;
    case KD_OP_SIMPLE:
        simple_reply(d, status, body, body_size);
        return;
    case KD_OP_NONE:
    case KD_OP_GO:
    case KD_OP_DETACH:
    default:
        return;
    }
}

static bool is_go(const struct kd_debugger_request *r)
{
    return r->op == KD_OP_GO || (r->op == KD_OP_DETACH && r->api != KD_API_RestoreBreakPoint);
}

static bool expects_reply(const struct kd_debugger_request *r)
{
    return r->op != KD_OP_NONE && !is_go(r);
}

/*
 * Whether the reply is to the packet under way and not to an earlier one: by the number that it
 * echoes, if this target is known to echo. One echo is enough where a late answer is likely (after
 * a RESET), else it takes two, since a target's constant may happen to be our number once. Replies
 * that come again and again without it are believed in the end.
 */
static bool is_ours(struct kd_debugger *d, const uint8_t *body)
{
    struct kd_debugger_request *r = &d->request;
    bool echoed = KD_GET(body, Manipulate, ProcessorLevel) == r->sequence;
    if (r->api == KD_API_GetVersion) /* Windows kernels echo nothing there, and one is as another */
        return true;
    if (!echoed && d->echoes >= (r->asking ? 1u : ECHOES_SURE) && r->strangers < STRANGERS_MAX) {
        r->strangers++;
        return false;
    }
    if (!echoed)
        d->echoes = 0;
    else if (d->echoes < ECHOES_SURE)
        d->echoes++;
    return true;
}

static void on_reply(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *body,
                     size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    if (body_size < KD_MANIPULATE_SIZE)
        return;
    if (d->state == KD_DEBUGGER_ATTACHING && d->seek == KD_SEEK_ATTACH) {
        /* It is stopped and had waited for somebody to acknowledge this. */
        d->seek_break_next = false;
        d->seek_deadline = now;
        return;
    }
    if (!expects_reply(r) || r->api != api || (r->unsent && !r->asking))
        return;
    if (!is_ours(d, body))
        return;
    if (r->asking)
        r->repeated = true;
    r->unsent = false;
    if (d->owner == KD_OWNER_REQUEST)
        d->owner = KD_OWNER_OTHER;
    bool repeated = r->repeated;
    packet_done(d, now, KD_OK, (uint32_t)KD_GET(body, Manipulate, ReturnStatus), body, body_size);
    if (r->op != KD_OP_NONE && repeated)
        push(d, KD_DEBUGGER_RECOVERED);
}

/* ---- stops ---- */

static void copy_text(char *to, size_t room, const uint8_t *from, size_t size)
{
    size_t n = 0;
    while (n < size && n < room - 1 && from[n] != 0) {
        to[n] = (char)(from[n] < 0x20 || from[n] == 0x7F ? '?' : from[n]);
        n++;
    }
    to[n] = '\0';
}

static void stop_exception(struct kd_stop *s, const uint8_t *body)
{
    s->kind = KD_STOP_EXCEPTION;
    s->code = (uint32_t)KD_GET(body, Exception, ExceptionCode);
    s->flags = (uint32_t)KD_GET(body, Exception, ExceptionFlags);
    s->address = KD_GET(body, Exception, ExceptionAddress);
    s->parameter_count = (uint32_t)KD_GET(body, Exception, NumberParameters);
    if (s->parameter_count > 15)
        s->parameter_count = 15;
    for (uint32_t i = 0; i < s->parameter_count; i++)
        s->parameters[i] = kd_get_u64(body + KD_AT(Exception, ExceptionInformation) + 8 * i);
    s->first_chance = KD_GET(body, Exception, FirstChance) != 0;
}

static void stop_image(struct kd_stop *s, const uint8_t *body, size_t body_size)
{
    s->kind = KD_GET(body, LoadSymbols, UnloadSymbols) != 0 ? KD_STOP_UNLOAD : KD_STOP_LOAD;
    s->module.base = KD_GET(body, LoadSymbols, BaseOfDll);
    s->module.size = (uint32_t)KD_GET(body, LoadSymbols, SizeOfImage);
    s->module.checksum = (uint32_t)KD_GET(body, LoadSymbols, CheckSum);
    s->process_id = KD_GET(body, LoadSymbols, ProcessId);
    /* The path is the end of the body: older protocols put a context before it. */
    size_t length = (size_t)KD_GET(body, LoadSymbols, PathNameLength);
    if (length > body_size - KD_STATE_CHANGE_SIZE)
        length = body_size - KD_STATE_CHANGE_SIZE;
    const uint8_t *path = body + body_size - length;
    size_t excess = length > KD_MODULE_PATH_MAX ? length - KD_MODULE_PATH_MAX : 0;
    copy_text(s->module.path, sizeof s->module.path, path + excess, length - excess);
}

static void stop_command(struct kd_stop *s, const uint8_t *body, size_t body_size)
{
    s->kind = KD_STOP_COMMAND;
    const uint8_t *text = body + KD_STATE_CHANGE_SIZE;
    size_t size = body_size - KD_STATE_CHANGE_SIZE, name = 0;
    while (name < size && text[name] != 0)
        name++;
    copy_text(s->component, sizeof s->component, text, name);
    if (name < size)
        copy_text(s->command, sizeof s->command, text + name + 1, size - name - 1);
}

static void stop_parse(struct kd_stop *s, uint32_t kind, const uint8_t *body, size_t body_size)
{
    memset(s, 0, sizeof *s);
    s->cpu = (uint16_t)KD_GET(body, StateChange, Processor);
    s->cpu_count = (uint32_t)KD_GET(body, StateChange, NumberProcessors);
    s->thread = KD_GET(body, StateChange, Thread);
    s->program_counter = KD_GET(body, StateChange, ProgramCounter);
    s->dr6 = KD_GET(body, ControlReportAmd64, Dr6);
    s->dr7 = KD_GET(body, ControlReportAmd64, Dr7);
    s->eflags = (uint32_t)KD_GET(body, ControlReportAmd64, EFlags);
    s->cs = (uint16_t)KD_GET(body, ControlReportAmd64, SegCs);
    uint16_t count = (uint16_t)KD_GET(body, ControlReportAmd64, InstructionCount);
    if (count > KD_INSTRUCTION_STREAM_MAX)
        count = KD_INSTRUCTION_STREAM_MAX;
    s->instruction_count = count;
    memcpy(s->instructions, body + KD_AT(ControlReportAmd64, InstructionStream), count);
    if (kind == KD_STATE_EXCEPTION)
        stop_exception(s, body);
    else if (kind == KD_STATE_LOAD_SYMBOLS)
        stop_image(s, body, body_size);
    else
        stop_command(s, body, body_size);
}

/* The target has taken a Continue, and nothing was asked of it since: it has run. */
static bool came_by_itself(const struct kd_debugger *d)
{
    bool asked =
        d->seek != KD_SEEK_NONE && !(d->seek == KD_SEEK_CHECK && d->seeks_left == CHECK_ROUNDS);
    return d->state == KD_DEBUGGER_RUNNING && !asked;
}

static void stopped(struct kd_debugger *d, uint32_t kind, const uint8_t *body, size_t body_size,
                    bool same)
{
    stop_parse(&d->stop, kind, body, body_size);
    d->stop.repeated = same && !d->recheck && !came_by_itself(d);
    memcpy(d->stop_raw, body, sizeof d->stop_raw);
    d->have_stop = true;
    d->state = KD_DEBUGGER_STOPPED;
    d->seek = KD_SEEK_NONE;
    d->recheck = false;
    d->lost = false;
    d->prompted = false;
    if (d->stop.kind == KD_STOP_LOAD || d->stop.kind == KD_STOP_UNLOAD) {
        enum kd_debugger_event_kind event =
            d->stop.kind == KD_STOP_LOAD ? KD_DEBUGGER_MODULE_LOADED : KD_DEBUGGER_MODULE_UNLOADED;
        push(d, event)->module = &d->stop.module;
    }
    push(d, KD_DEBUGGER_STOP)->stop = &d->stop;
}

/* A state change while Continue is under way. Returns whether it is a stop to report. */
static bool stop_after_go(struct kd_debugger *d, bool same)
{
    struct kd_debugger_request *r = &d->request;
    if (!same) {
        if (!r->unsent) {
            push(d, KD_DEBUGGER_RUN);
            finish(d, KD_OK, 0, 0);
        } else {
            finish(d, KD_E_RESET, 0, 0);
        }
        return true;
    }
    if (r->unsent)
        return false;
    if (r->asking) {
        finish(d, KD_E_TIMEOUT, 0, 0);
        return true;
    }
    d->recheck = true;
    return false;
}

/* The same state change again, while another request is under way. */
static void stop_again(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_NONE || !r->asking || r->unsent)
        return;
    if (r->op == KD_OP_SWITCH || !repeatable(r->api)) {
        packet_done(d, now, KD_E_TIMEOUT, 0, NULL, 0);
        return;
    }
    r->repeated = true;
    r->unsent = true;
    r->acked = false;
    r->resets_answered = 0;
    try_send(d, now);
    r->deadline = now + d->config.request_timeout_us;
}

static void on_state_change(struct kd_debugger *d, uint64_t now, uint32_t kind, const uint8_t *body,
                            size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    if (body_size < KD_STATE_CHANGE_SIZE || d->state == KD_DEBUGGER_IDLE)
        return;
    bool same = d->have_stop && memcmp(d->stop_raw, body, sizeof d->stop_raw) == 0;
    if (is_go(r)) {
        if (!stop_after_go(d, same) || d->state == KD_DEBUGGER_IDLE)
            return;
    } else if (r->op == KD_OP_SWITCH) {
        bool there = KD_GET(body, StateChange, Processor) == r->cpu && !r->unsent;
        if (same && !(there && (r->acked || r->asking))) {
            stop_again(d, now);
            return;
        }
        finish(d, there ? KD_OK : KD_E_RESET, 0, 0);
    } else if (d->state == KD_DEBUGGER_STOPPED) {
        if (same) {
            stop_again(d, now);
            return;
        }
        if (r->op != KD_OP_NONE)
            packet_done(d, now, KD_E_RESET, 0, NULL, 0);
    }
    stopped(d, kind, body, body_size, same);
}

/* ---- text and files ---- */

static void send_answer(struct kd_debugger *d, uint64_t now)
{
    if (!d->reply_waiting)
        return;
    int result = kd_link_send(&d->link, now, d->reply_type, d->reply_head, d->reply_head_size,
                              d->reply_data, d->reply_data_size);
    if (result == KD_E_BUSY)
        return;
    d->reply_waiting = false;
    d->owner = KD_OWNER_OTHER;
}

static void on_debug_io(struct kd_debugger *d, uint32_t api, const uint8_t *body, size_t body_size)
{
    if (body_size < KD_DEBUG_IO_SIZE)
        return;
    size_t length = (size_t)KD_GET(body, DebugIo, LengthOfString);
    if (length > body_size - KD_DEBUG_IO_SIZE)
        length = body_size - KD_DEBUG_IO_SIZE;
    bool prompt = api == KD_API_GET_STRING;
    struct kd_debugger_event *event = push(d, prompt ? KD_DEBUGGER_PROMPT : KD_DEBUGGER_PRINT);
    event->text = (const char *)body + KD_DEBUG_IO_SIZE;
    event->text_size = length;
    if (!prompt)
        return;
    d->prompted = true;
    d->prompt_level = (uint16_t)KD_GET(body, DebugIo, ProcessorLevel);
    d->prompt_cpu = (uint16_t)KD_GET(body, DebugIo, Processor);
    d->answer_max = (uint32_t)KD_GET(body, DebugIo, LengthOfStringRead);
    if (d->answer_max > KD_FILE_IO_DATA_MAX)
        d->answer_max = KD_FILE_IO_DATA_MAX;
    event->answer_max = d->answer_max;
}

int kd_debugger_answer(struct kd_debugger *d, uint64_t now, const char *text, size_t size)
{
    if (!d->prompted)
        return KD_E_NOT_FOUND;
    if (d->reply_waiting)
        return KD_E_BUSY;
    if (size > d->answer_max)
        size = d->answer_max;
    d->prompted = false;
    d->reply_type = KD_PACKET_DEBUG_IO;
    d->reply_head_size = KD_DEBUG_IO_SIZE;
    d->reply_data_size = size;
    memset(d->reply_head, 0, sizeof d->reply_head);
    KD_PUT(d->reply_head, DebugIo, ApiNumber, KD_API_GET_STRING);
    KD_PUT(d->reply_head, DebugIo, ProcessorLevel, d->prompt_level);
    KD_PUT(d->reply_head, DebugIo, Processor, d->prompt_cpu);
    KD_PUT(d->reply_head, DebugIo, LengthOfStringRead, size);
    if (size > 0)
        memcpy(d->reply_data, text, size);
    d->reply_waiting = true;
    send_answer(d, now);
    return KD_OK;
}

static void file_request_get(struct kd_file_request *f, const uint8_t *body, size_t body_size)
{
    const uint8_t *data = body + KD_FILE_IO_SIZE;
    size_t size = body_size - KD_FILE_IO_SIZE;
    switch (f->api) {
    case KD_API_CREATE_FILE:
        f->access = (uint32_t)KD_GET(body, CreateFile, DesiredAccess);
        f->attributes = (uint32_t)KD_GET(body, CreateFile, FileAttributes);
        f->share = (uint32_t)KD_GET(body, CreateFile, ShareAccess);
        f->disposition = (uint32_t)KD_GET(body, CreateFile, CreateDisposition);
        f->options = (uint32_t)KD_GET(body, CreateFile, CreateOptions);
        f->path = data;
        f->path_bytes = size;
        break;
    case KD_API_READ_FILE:
    case KD_API_WRITE_FILE:
        f->handle = KD_GET(body, ReadFile, Handle);
        f->offset = KD_GET(body, ReadFile, Offset);
        f->length = KD_GET(body, ReadFile, Length);
        f->data = data;
        if (f->api == KD_API_READ_FILE && f->length > KD_FILE_IO_DATA_MAX)
            f->length = KD_FILE_IO_DATA_MAX;
        if (f->api == KD_API_WRITE_FILE && f->length > size)
            f->length = size;
        break;
    default:
        f->handle = KD_GET(body, CloseFile, Handle);
        break;
    }
}

/* A target that asks for a file waits for ever: every request is answered. */
static void on_file_io(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *body,
                       size_t body_size)
{
    if (body_size < KD_FILE_IO_SIZE || d->reply_waiting)
        return;
    struct kd_file_request f;
    memset(&f, 0, sizeof f);
    f.api = api;
    f.status = KD_STATUS_NO_SUCH_FILE;
    f.buffer = d->reply_data;
    file_request_get(&f, body, body_size);
    if (d->config.file != NULL)
        d->config.file(d->config.file_context, &f);
    memcpy(d->reply_head, body, KD_FILE_IO_SIZE);
    KD_PUT(d->reply_head, FileIo, Status, f.status);
    d->reply_data_size = 0;
    if (api == KD_API_CREATE_FILE) {
        KD_PUT(d->reply_head, CreateFile, Handle, f.handle);
        KD_PUT(d->reply_head, CreateFile, Length, f.length);
    } else if (api != KD_API_CLOSE_FILE) {
        uint64_t length = f.status == 0 && f.length <= KD_FILE_IO_DATA_MAX ? f.length : 0;
        KD_PUT(d->reply_head, ReadFile, Length, length);
        d->reply_data_size = api == KD_API_READ_FILE ? (size_t)length : 0;
    }
    d->reply_type = KD_PACKET_FILE_IO;
    d->reply_head_size = KD_FILE_IO_SIZE;
    d->reply_waiting = true;
    send_answer(d, now);
}

/* ---- the link's events ---- */

static void target_restarted(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (d->have_stop) {
        d->have_stop = false;
        push(d, KD_DEBUGGER_RESTARTED);
    }
    d->no_context_ex = d->controlled = false;
    d->prompted = false;
    if (r->op == KD_OP_DETACH)
        finish(d, KD_E_RESET, 0, 0);
    else if (r->op != KD_OP_NONE)
        packet_done(d, now, KD_E_RESET, 0, NULL, 0);
    if (d->state == KD_DEBUGGER_STOPPED && r->op == KD_OP_NONE)
        d->state = KD_DEBUGGER_RUNNING;
}

static void on_packet(struct kd_debugger *d, uint64_t now, const uint8_t *body, size_t body_size)
{
    if (body_size < 4)
        return;
    uint32_t api = kd_get_u32(body);
    bool reply = api >= KD_API_FIRST && api <= KD_API_LAST;
    if (d->restarted && !reply)
        target_restarted(d, now);
    d->restarted = false;
    uint32_t state = api & ~(uint32_t)KD_STATE_ALTERNATE;
    if (state >= KD_STATE_EXCEPTION && state <= KD_STATE_COMMAND_STRING)
        on_state_change(d, now, state, body, body_size);
    else if (reply)
        on_reply(d, now, api, body, body_size);
    else if (api == KD_API_PRINT_STRING || api == KD_API_GET_STRING)
        on_debug_io(d, api, body, body_size);
    else if (api >= KD_API_CREATE_FILE && api <= KD_API_CLOSE_FILE)
        on_file_io(d, now, api, body, body_size);
    /* Trace data and whatever else: acknowledged by the link, of no use here. */
}

static void go_acked(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool trace = r->api == KD_API_Continue2 && KD_GET(r->head, Continue2Amd64, TraceFlag) != 0;
    bool detach = r->op == KD_OP_DETACH;
    d->state = KD_DEBUGGER_RUNNING;
    push(d, KD_DEBUGGER_RUN);
    finish(d, KD_OK, 0, 0);
    if (detach)
        return;
    /* A step ends at once: if nothing comes, its packet may have been acknowledged with a damaged
     * header and ignored. RESET makes a stopped target speak. */
    if (d->recheck)
        seek_start(d, now, KD_SEEK_CHECK, false, CHECK_ROUNDS);
    else if (trace)
        seek_start(d, now + d->config.request_timeout_us, KD_SEEK_CHECK, false, CHECK_ROUNDS);
}

static void on_acked(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool mine = d->owner == KD_OWNER_REQUEST;
    d->owner = KD_OWNER_NONE;
    if (mine && r->op != KD_OP_NONE) {
        r->acked = true;
        r->deadline = now + d->config.request_timeout_us;
        if (is_go(r))
            go_acked(d, now);
    }
    send_answer(d, now);
    try_send(d, now);
}

static void on_lost(struct kd_debugger *d, uint64_t now)
{
    bool mine = d->owner == KD_OWNER_REQUEST;
    d->owner = KD_OWNER_NONE;
    if (mine && d->request.op != KD_OP_NONE)
        packet_ask(d, now, true);
    send_answer(d, now);
    try_send(d, now);
}

/* After a RESET the link may have given up what it carried: then nobody else waits for it. */
static void link_forgot(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    if (d->owner == KD_OWNER_NONE || kd_link_busy(&d->link))
        return;
    bool mine = d->owner == KD_OWNER_REQUEST;
    d->owner = KD_OWNER_NONE;
    if (mine && r->op != KD_OP_NONE && !r->acked && !r->asking) {
        r->asking = true;
        r->deadline = now + d->config.request_timeout_us;
    }
}

/* After a RESET the link sends what it carries again with a new id, and the target cannot know it
 * from a new packet: what must not take effect twice is taken back and asked about instead. */
static void link_was_reset(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool carried = d->owner == KD_OWNER_REQUEST && kd_link_busy(&d->link);
    r->resets_answered += r->asking;
    d->reset_wait_end = 0;
    if (!carried || r->op == KD_OP_NONE)
        link_forgot(d, now);
    else if (repeatable(r->api))
        r->repeated = true;
    else
        packet_ask(d, now, false);
    try_send(d, now);
}

static void on_link_event(struct kd_debugger *d, uint64_t now, const struct kd_link_event *event)
{
    switch (event->kind) {
    case KD_LINK_PACKET:
        on_packet(d, now, event->body, event->body_size);
        break;
    case KD_LINK_ACKED:
        on_acked(d, now);
        break;
    case KD_LINK_LOST:
        on_lost(d, now);
        break;
    case KD_LINK_RESTARTED:
        d->restarted = true;
        link_forgot(d, now);
        break;
    case KD_LINK_RESET:
        link_was_reset(d, now);
        break;
    case KD_LINK_NOTHING:
    case KD_LINK_DROPPED:
    case KD_LINK_RESEND_STOP:
    case KD_LINK_BREAK_IN:
    default:
        break;
    }
}

static void drain_link(struct kd_debugger *d, uint64_t now)
{
    struct kd_link_event event;
    while (kd_link_event(&d->link, &event))
        on_link_event(d, now, &event);
}

size_t kd_debugger_feed(struct kd_debugger *d, uint64_t now, const uint8_t *data, size_t size)
{
    size_t used = 0;
    while (d->event_count == 0) {
        size_t n = kd_link_feed(&d->link, now, data + used, size - used);
        used += n;
        drain_link(d, now);
        if (used == size || (n == 0 && d->event_count == 0))
            break;
    }
    return used;
}

size_t kd_debugger_output(struct kd_debugger *d, const uint8_t **bytes)
{
    return kd_link_output(&d->link, bytes);
}

void kd_debugger_written(struct kd_debugger *d, uint64_t now, size_t size)
{
    kd_link_written(&d->link, now, size);
}

void kd_debugger_tick(struct kd_debugger *d, uint64_t now)
{
    kd_link_tick(&d->link, now);
    drain_link(d, now);
    if (now >= d->reset_wait_end)
        d->reset_wait_end = 0;
    send_answer(d, now);
    try_send(d, now);
    struct kd_debugger_request *r = &d->request;
    if (r->op != KD_OP_NONE && now >= r->deadline)
        packet_ask(d, now, false);
    if (d->seek != KD_SEEK_NONE && now >= d->seek_deadline)
        seek_step(d, now);
}

uint64_t kd_debugger_deadline(const struct kd_debugger *d)
{
    uint64_t deadline = kd_link_deadline(&d->link);
    if (d->request.op != KD_OP_NONE && d->request.deadline < deadline)
        deadline = d->request.deadline;
    if (d->request.op != KD_OP_NONE && d->request.unsent && d->reset_wait_end != 0 &&
        d->reset_wait_end < deadline)
        deadline = d->reset_wait_end;
    if (d->seek != KD_SEEK_NONE && d->seek_deadline < deadline)
        deadline = d->seek_deadline;
    return deadline;
}

/* ---- the user's side ---- */

void kd_debugger_init(struct kd_debugger *d, const struct kd_debugger_config *config)
{
    memset(d, 0, sizeof *d);
    if (config != NULL)
        d->config = *config;
    if (d->config.request_timeout_us == 0)
        d->config.request_timeout_us = DEFAULT_REQUEST_TIMEOUT_US;
    if (d->config.request_tries == 0)
        d->config.request_tries = DEFAULT_REQUEST_TRIES;
    if (d->config.attach_interval_us == 0)
        d->config.attach_interval_us = DEFAULT_ATTACH_INTERVAL_US;
    if (d->config.piece_max == 0 || d->config.piece_max > KD_MANIPULATE_DATA_MAX)
        d->config.piece_max = KD_MANIPULATE_DATA_MAX;
    d->config.link.role = KD_ROLE_DEBUGGER;
    kd_link_init(&d->link, &d->config.link);
}

enum kd_debugger_state kd_debugger_state(const struct kd_debugger *d)
{
    return d->state;
}

bool kd_debugger_busy(const struct kd_debugger *d)
{
    return d->request.op != KD_OP_NONE;
}

enum kd_heard kd_debugger_heard(const struct kd_debugger *d)
{
    const struct kd_link_stats *stats = kd_link_stats(&d->link);
    if (stats->packets_in > 0 || stats->resets_in > 0)
        return KD_HEARD_PACKETS;
    /* A console that never pauses keeps its text in the stream for a while: that counts, too. */
    bool junk = stats->junk_bytes > 0 || kd_stream_pending(&d->link.stream);
    return junk ? KD_HEARD_JUNK : KD_HEARD_NOTHING;
}

const struct kd_stop *kd_debugger_stop(const struct kd_debugger *d)
{
    return &d->stop;
}

const struct kd_link_stats *kd_debugger_link_stats(const struct kd_debugger *d)
{
    return kd_link_stats(&d->link);
}

void kd_debugger_attach(struct kd_debugger *d, uint64_t now, enum kd_attach how)
{
    d->state = KD_DEBUGGER_ATTACHING;
    d->attach_how = how;
    d->no_context_ex = false;
    seek_start(d, now, KD_SEEK_ATTACH, false, 0);
    seek_step(d, now);
}

void kd_debugger_disconnected(struct kd_debugger *d)
{
    kd_link_restart(&d->link);
    d->reset_wait_end = 0;
    d->owner = KD_OWNER_NONE;
    d->seek = KD_SEEK_NONE;
    d->reply_waiting = d->prompted = d->recheck = d->restarted = false;
    if (d->request.op != KD_OP_NONE)
        finish(d, KD_E_CLOSED, 0, 0);
    d->state = KD_DEBUGGER_IDLE;
}

int kd_debugger_break_in(struct kd_debugger *d, uint64_t now)
{
    if (d->state == KD_DEBUGGER_STOPPED)
        return KD_E_STOPPED;
    if (d->state == KD_DEBUGGER_IDLE)
        return KD_E_CLOSED;
    if (d->state == KD_DEBUGGER_ATTACHING) {
        if (d->attach_how == KD_ATTACH_WAIT) {
            d->attach_how = KD_ATTACH_STOP;
            seek_start(d, now, KD_SEEK_ATTACH, true, 0);
            seek_step(d, now);
        }
        return KD_OK;
    }
    /* A stopped target would keep the break-in byte for later, but answers RESET. */
    seek_start(d, now, KD_SEEK_BREAK, !d->lost, 2 * d->config.request_tries);
    seek_step(d, now);
    return KD_OK;
}

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
    packet_start(d, now, KD_API_GetVersion, NULL, 0);
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
    transfer_next(d, now, false);
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
    context_next(d, now);
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
    packet_start(d, now, KD_API_WriteBreakPoint, NULL, 0);
    return KD_OK;
}

int kd_debugger_restore_breakpoint(struct kd_debugger *d, uint64_t now, uint32_t handle)
{
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, RestoreBreakPoint, BreakPointHandle, handle);
    packet_start(d, now, KD_API_RestoreBreakPoint, NULL, 0);
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
    packet_start(d, now, api, NULL, 0);
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
    packet_start(d, now, api, NULL, 0);
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
    packet_start(d, now, api, from, from != NULL ? size : 0);
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
    packet_start(d, now, KD_API_SearchMemory, pattern, pattern_size);
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
    packet_start(d, now, KD_API_FillMemory, pattern, pattern_size);
    return KD_OK;
}

int kd_debugger_query_memory(struct kd_debugger *d, uint64_t now, uint64_t address)
{
    int result = begin(d, KD_OP_SIMPLE, 0);
    if (result < 0)
        return result;
    KD_PUT(d->request.head, QueryMemory, Address, address);
    packet_start(d, now, KD_API_QueryMemory, NULL, 0);
    return KD_OK;
}

int kd_debugger_continue(struct kd_debugger *d, uint64_t now, uint32_t status)
{
    int result = begin(d, KD_OP_GO, d->stop.cpu);
    if (result < 0)
        return result;
    go_start(d, now, status);
    return KD_OK;
}

int kd_debugger_continue2(struct kd_debugger *d, uint64_t now, uint32_t status, bool trace,
                          uint64_t dr7)
{
    int result = begin(d, KD_OP_GO, d->stop.cpu);
    if (result < 0)
        return result;
    go2_start(d, now, status, trace, dr7);
    return KD_OK;
}

int kd_debugger_switch_processor(struct kd_debugger *d, uint64_t now, uint16_t cpu)
{
    int result = begin(d, KD_OP_SWITCH, cpu);
    if (result < 0)
        return result;
    packet_start(d, now, KD_API_SwitchProcessor, NULL, 0);
    return KD_OK;
}

int kd_debugger_reboot(struct kd_debugger *d, uint64_t now)
{
    int result = begin(d, KD_OP_GO, 0);
    if (result < 0)
        return result;
    packet_start(d, now, KD_API_Reboot, NULL, 0);
    return KD_OK;
}

int kd_debugger_walk_modules(struct kd_debugger *d, uint64_t now, uint64_t head)
{
    if (head == 0)
        return KD_E_ARGUMENT;
    int result = begin(d, KD_OP_WALK, 0);
    if (result < 0)
        return result;
    struct kd_debugger_request *r = &d->request;
    r->step = KD_WALK_HEAD;
    r->list_head = head;
    r->lap = 1;
    walk_read(d, now, head, r->scratch, 8);
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
    detach_next(d, now);
    return KD_OK;
}
