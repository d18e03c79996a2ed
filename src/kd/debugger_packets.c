/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a request's packet (see debugger.c): sent, acknowledged, asked about, replied. */
#include "debugger_inside.h"

#include <string.h>

enum {
    /* RESETs that a target answers, and nothing else, while it does not even acknowledge a request:
     * it runs. More than one, since the state change of a stopped one may be lost on the way. */
    RUNNING_RESETS = 2,
    ECHOES_SURE = 2, /* see is_ours */
    /* Late answers to earlier requests are one or two; more are this target's own way. */
    STRANGERS_MAX = 2,
};

bool kd_debugger_repeatable(uint32_t api)
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

void kd_debugger_finish(struct kd_debugger *d, int result, uint32_t status, uint64_t value)
{
    struct kd_debugger_request *r = &d->request;
    bool recovered = r->repeated && result == KD_OK;
    if (recovered)
        kd_debugger_push(d, KD_DEBUGGER_RECOVERED);
    bool detach = r->op == KD_OP_DETACH;
    struct kd_debugger_event *event = kd_debugger_push(d, KD_DEBUGGER_DONE);
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
        kd_debugger_push(d, KD_DEBUGGER_DETACHED)->result = result;
    }
}

void kd_debugger_try_send(struct kd_debugger *d, uint64_t now)
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

void kd_debugger_start_packet(struct kd_debugger *d, uint64_t now, uint32_t api,
                              const uint8_t *data, size_t data_size)
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
    kd_debugger_try_send(d, now);
}

void kd_debugger_clear_head(struct kd_debugger *d)
{
    memset(d->request.head, 0, sizeof d->request.head);
}

/* Whether it runs or not, nobody knows: break-in finds out. */
static void lost(struct kd_debugger *d, uint64_t now)
{
    kd_debugger_push(d, KD_DEBUGGER_LOST);
    d->state = KD_DEBUGGER_RUNNING;
    d->lost = true;
    kd_debugger_packet_done(d, now, KD_E_TIMEOUT, 0, NULL, 0);
}

void kd_debugger_ask(struct kd_debugger *d, uint64_t now, bool reset_sent)
{
    struct kd_debugger_request *r = &d->request;
    if (!r->acked && r->resets_answered >= RUNNING_RESETS) {
        kd_debugger_target_restarted(d, now);
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
        kd_debugger_await_reset(d, now);
    } else {
        kd_link_abandon(&d->link);
        kd_debugger_send_reset(d, now);
    }
}

bool kd_debugger_is_go(const struct kd_debugger_request *r)
{
    return r->op == KD_OP_GO || (r->op == KD_OP_DETACH && r->api != KD_API_RestoreBreakPoint);
}

static bool expects_reply(const struct kd_debugger_request *r)
{
    return r->op != KD_OP_NONE && !kd_debugger_is_go(r);
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

void kd_debugger_on_reply(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *body,
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
    kd_debugger_packet_done(d, now, KD_OK, (uint32_t)KD_GET(body, Manipulate, ReturnStatus), body,
                            body_size);
    if (r->op != KD_OP_NONE && repeated)
        kd_debugger_push(d, KD_DEBUGGER_RECOVERED);
}
