/* SPDX-License-Identifier: BSD-2-Clause */
/* What a debugger does with a target: operations of one packet or several, and their replies. */
#include "debugger_inside.h"

#include <string.h>

enum {
    PAGE_SIZE = 0x1000,
};

/* ---- memory and control space, in pieces ---- */

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

void kd_debugger_next_piece(struct kd_debugger *d, uint64_t now, bool clip_to_page)
{
    struct kd_debugger_request *r = &d->request;
    uint64_t address = r->space == KD_SPACE_CONTROL ? r->address : r->address + r->done;
    size_t piece = r->size - r->done;
    if (r->space != KD_SPACE_CONTROL && piece > d->config.piece_max) /* that one has no pieces */
        piece = d->config.piece_max;
    if (clip_to_page && piece > to_page_end(address))
        piece = to_page_end(address);
    r->piece = piece;
    kd_debugger_clear_head(d);
    KD_PUT(r->head, ReadMemory, TargetBaseAddress, address);
    KD_PUT(r->head, ReadMemory, TransferCount, piece);
    bool write = r->op == KD_OP_WRITE;
    kd_debugger_start_packet(d, now, transfer_api(r), write ? r->from + r->done : NULL,
                             write ? piece : 0);
}

static void transfer_finished(struct kd_debugger *d, uint64_t now, int result, uint32_t status)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_WALK && result != KD_E_TIMEOUT && result != KD_E_RESET)
        kd_debugger_walk_step(d, now, status);
    else
        kd_debugger_finish(d, result, status, r->op == KD_OP_WALK ? r->walked : 0);
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
        kd_debugger_next_piece(d, now, actual < r->piece); /* goes on where it stopped */
    } else if (r->piece > to_page_end(r->address + r->done)) {
        kd_debugger_next_piece(d, now, true); /* up to the end of this page there may be some */
    } else {
        transfer_finished(d, now, KD_E_FAULT, status);
    }
}

/* ---- contexts ---- */

void kd_debugger_next_context(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    bool get = r->op == KD_OP_GET_CONTEXT;
    size_t left = r->size - r->done;
    kd_debugger_clear_head(d);
    if (!d->no_context_ex) {
        KD_PUT(r->head, ContextEx, Offset, r->done);
        KD_PUT(r->head, ContextEx, ByteCount, left);
        if (!get)
            KD_PUT(r->head, ContextEx, BytesCopied, r->size); /* the total that will come */
        kd_debugger_start_packet(d, now, get ? KD_API_GetContextEx : KD_API_SetContextEx,
                                 get ? NULL : r->from + r->done, get ? 0 : left);
        return;
    }
    if (!get)
        KD_PUT(r->head, SetContext, ContextFlags, KD_GET(r->from, ContextAmd64, ContextFlags));
    kd_debugger_start_packet(d, now, get ? KD_API_GetContext : KD_API_SetContext,
                             get ? NULL : r->from, get ? 0 : r->size);
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
            kd_debugger_finish(d, KD_OK, status, 0);
            return;
        }
        if (copied > 0) {
            kd_debugger_next_context(d, now);
            return;
        }
        status = KD_STATUS_UNSUCCESSFUL; /* an empty piece would go on for ever */
    }
    if ((r->api == KD_API_GetContextEx || r->api == KD_API_SetContextEx) && status != 0) {
        d->no_context_ex = true; /* as WinDbg does: for the whole session */
        r->done = 0;
        kd_debugger_next_context(d, now);
        return;
    }
    if (get && status == 0) {
        if (have < r->size) {
            kd_debugger_finish(d, KD_E_TRUNCATED, status, 0);
            return;
        }
        memcpy(r->to, body + KD_MANIPULATE_SIZE, r->size);
    }
    r->done = status == 0 ? r->size : 0;
    kd_debugger_finish(d, status == 0 ? KD_OK : KD_E_REFUSED, status, 0);
}

/* ---- going on ---- */

void kd_debugger_go(struct kd_debugger *d, uint64_t now, uint32_t status)
{
    KD_PUT(d->request.head, Manipulate, ReturnStatus, status);
    KD_PUT(d->request.head, Continue, ContinueStatus, status);
    kd_debugger_start_packet(d, now, KD_API_Continue, NULL, 0);
}

void kd_debugger_go2(struct kd_debugger *d, uint64_t now, uint32_t status, bool trace, uint64_t dr7)
{
    uint8_t *head = d->request.head;
    KD_PUT(head, Manipulate, ReturnStatus, status);
    KD_PUT(head, Continue2Amd64, ContinueStatus, status);
    KD_PUT(head, Continue2Amd64, TraceFlag, trace ? 1 : 0);
    KD_PUT(head, Continue2Amd64, Dr7, dr7);
    KD_PUT(head, Continue2Amd64, CurrentSymbolStart, 1); /* leave the step range alone */
    d->controlled = true;
    kd_debugger_start_packet(d, now, KD_API_Continue2, NULL, 0);
}

void kd_debugger_next_detach(struct kd_debugger *d, uint64_t now)
{
    struct kd_debugger_request *r = &d->request;
    kd_debugger_clear_head(d);
    if (r->handle_at < r->handle_count) {
        KD_PUT(r->head, RestoreBreakPoint, BreakPointHandle, r->handles[r->handle_at]);
        r->handle_at++;
        kd_debugger_start_packet(d, now, KD_API_RestoreBreakPoint, NULL, 0);
        return;
    }
    /* Continue leaves trap flag and Dr7 as an earlier Continue2 set them. */
    if (d->controlled)
        kd_debugger_go2(d, now, r->continue_status, false, KD_DR7_NONE);
    else
        kd_debugger_go(d, now, r->continue_status);
}

/* ---- replies ---- */

static void version_reply(struct kd_debugger *d, uint32_t status, const uint8_t *body)
{
    struct kd_debugger_version *v = d->request.version;
    if (status != 0) {
        kd_debugger_finish(d, KD_E_REFUSED, status, 0);
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
    kd_debugger_finish(d, KD_OK, status, 0);
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
    kd_debugger_finish(d, status != 0 ? KD_E_REFUSED : KD_OK, status, length);
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
    kd_debugger_finish(d, result, status, status == 0 ? simple_value(r->api, body) : 0);
}

void kd_debugger_packet_done(struct kd_debugger *d, uint64_t now, int result, uint32_t status,
                             const uint8_t *body, size_t body_size)
{
    struct kd_debugger_request *r = &d->request;
    if (r->op == KD_OP_DETACH && r->api == KD_API_RestoreBreakPoint && result != KD_E_RESET) {
        kd_debugger_next_detach(d, now); /* whether or not that handle was still known */
        return;
    }
    if (body == NULL) {
        if (r->op == KD_OP_READ || r->op == KD_OP_WRITE || r->op == KD_OP_WALK)
            transfer_finished(d, now, result, status);
        else
            kd_debugger_finish(d, result, status, 0);
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
        kd_debugger_finish(d, KD_E_REFUSED, status,
                           0); /* some targets say no; success is a state change */
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
