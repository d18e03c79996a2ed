/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmbus: the host's end of a VMBus pipe. vmbuspiper.dll, a part of Hyper-V that no header or
 * library describes, offers it to a running VM; closing its handle withdraws it. Source of the
 * facts: windbg-uefi's and VMBusPipe's public use of the same functions.
 *
 *   offer     event                            next     what happens
 *   none      attempt                          working  the VM is found, the channel offered
 *   working   offered                          waiting  told; ConnectPipe waits for the guest
 *   working   not                              none     endpoint_failed: tried again, or given up
 *   waiting   the guest has opened it          none     the handle becomes the endpoint's channel
 *   waiting   the VM has stopped               none     the handle is closed; endpoint_failed
 *   any       close                            none     cancelled, waited for, closed
 *
 * When the guest closes the channel, or the VM stops or restarts, reading ends; the channel is
 * closed and the next attempt offers a new one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"
#include "kdwire/wire.h"
#include "overlapped.h"
#include "vm.h"
#include "vmbus/framing.h"

enum {
    OFFER_SIZE = 172,
    OFFER_VM = 0x00,
    OFFER_TYPE = 0x14,
    OFFER_INSTANCE = 0x24,
    PIPE_BYTES = 0,
    PIPE_MESSAGES = 4,
    READ_SIZE = 64 * 1024, /* more than a ring holds as a rule */
    /* Most bytes of one write. In byte mode Hyper-V cuts them as it likes; the largest packet is of
     * 16 KiB. A message is one packet, and must fit the smallest ring known, of 8 KiB in
     * windbg-uefi's guest, together with its headers: no KD packet is longer than 4017 bytes. */
    WRITE_BYTES = 16384,
    WRITE_MESSAGE = 4096,
    TICK_MS = 100, /* looks whether an acknowledgement is overdue */
};

typedef HANDLE(WINAPI *offer_function)(const void *offer, DWORD open_mode, DWORD pipe_mode);
typedef BOOL(WINAPI *connect_function)(HANDLE pipe, OVERLAPPED *overlapped);

/* ---- an open channel ---- */

struct link {
    struct overlapped pipe;
    struct channel *channel;
    struct endpoint *endpoint;
    const uint8_t *bytes; /* of the channel's queue, not yet written */
    size_t left, in_flight;
    size_t write_max;
    bool owed;    /* the channel waits for channel_driver_sent */
    bool writing; /* with framing */
    bool closing;
    bool looked;    /* the first bytes are as they should be, or it was said */
    unsigned parts; /* that must close */
    uv_timer_t tick;
    struct vmbus_framing *framing; /* NULL: raw bytes */
    uint8_t answer[VMBUS_FRAMING_HEADER];
    uint8_t payload[READ_SIZE + VMBUS_FRAMING_HEADER + VMBUS_FRAMING_PAYLOAD]; /* of one read */
};

static void link_ended(struct link *link, int error)
{
    if (link->owed) {
        link->owed = false;
        channel_driver_sent(link->channel, error);
    } else {
        channel_driver_gone(link->channel, error);
    }
}

/* The next write, if there is something and nothing is under way. Returns a libuv error. */
static int write_more(struct link *link)
{
    const uint8_t *out = link->bytes;
    size_t size = link->left < link->write_max ? link->left : link->write_max;
    size_t taken = size;
    if (link->writing || link->closing)
        return 0;
    if (link->framing) {
        uint64_t now = uv_now(link->endpoint->loop) * 1000;
        size_t due = vmbus_framing_due(link->framing, now, link->answer, &out);
        taken = due ? 0 : size;
        size = due ? due : vmbus_framing_send(link->framing, now, link->bytes, size, &out, NULL);
        if (!size)
            taken = 0;
    }
    if (!size)
        return 0;
    link->writing = true;
    link->in_flight = taken;
    return overlapped_send(&link->pipe, out, size);
}

static void on_sent(void *context, int error)
{
    struct link *link = context;
    link->writing = false;
    link->bytes += link->in_flight;
    link->left -= link->in_flight;
    link->in_flight = 0;
    if (!error)
        error = write_more(link);
    if (error) {
        link_ended(link, error);
    } else if (link->owed && !link->left) {
        link->owed = false;
        channel_driver_sent(link->channel, 0);
    }
}

static int link_send(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct link *link = channel->driver_context;
    link->bytes = bytes;
    link->left = size;
    link->owed = true;
    int error = write_more(link);
    if (error)
        link->owed = false; /* the caller knows */
    return error;
}

static void on_tick(uv_timer_t *timer)
{
    struct link *link = timer->data;
    int error = write_more(link);
    if (error)
        link_ended(link, error);
}

/* Both ends must be set to the same framing, and nothing else tells when they are not. */
static void look_at_start(struct link *link, const uint8_t *bytes, size_t size)
{
    uint8_t magic[4];
    kd_put_u32(magic, VMBUS_FRAMING_MAGIC);
    bool framed = size >= sizeof(magic) && !memcmp(bytes, magic, sizeof(magic));
    if (!link->framing && framed)
        endpoint_say(link->endpoint, ENDPOINT_WARNING,
                     "the guest sends windbg-uefi's framing; add framing=windbg-uefi, or set "
                     "framing=raw in the guest");
    if (link->framing && link->framing->damaged)
        endpoint_say(link->endpoint, ENDPOINT_WARNING,
                     "the guest sends bytes without windbg-uefi's framing, which are dropped; set "
                     "framing=windbg-uefi in the guest, or leave it out here");
    link->looked = !link->framing || link->framing->damaged;
}

static size_t unframe(struct link *link, const uint8_t *bytes, size_t size)
{
    size_t at = 0, got = 0;
    while (at < size || vmbus_framing_ready(link->framing)) {
        at += vmbus_framing_feed(link->framing, bytes + at, size - at);
        got += vmbus_framing_read(link->framing, link->payload + got, sizeof(link->payload) - got);
    }
    return got;
}

static void on_bytes(void *context, const uint8_t *bytes, size_t size)
{
    struct link *link = context;
    size_t got = link->framing ? unframe(link, bytes, size) : size;
    if (!link->looked)
        look_at_start(link, bytes, size);
    if (got)
        channel_driver_data(link->channel, link->framing ? link->payload : bytes, got);
    int error = write_more(link); /* an acknowledgement, or what waited for one */
    if (error)
        link_ended(link, error);
}

static void on_gone(void *context, int error)
{
    struct link *link = context;
    channel_driver_gone(link->channel, error);
}

static void part_closed(struct link *link)
{
    struct channel *channel = link->channel;
    if (--link->parts)
        return;
    free(link->framing);
    free(link);
    channel_driver_closed(channel);
}

static void on_pipe_closed(void *context)
{
    part_closed(context);
}

static void on_tick_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void link_resume(struct channel *channel)
{
    struct link *link = channel->driver_context;
    overlapped_resume(&link->pipe);
}

static void link_pause(struct channel *channel)
{
    struct link *link = channel->driver_context;
    overlapped_pause(&link->pipe);
}

static bool link_close(struct channel *channel)
{
    struct link *link = channel->driver_context;
    link->closing = true;
    overlapped_close(&link->pipe);
    uv_close((uv_handle_t *)&link->tick, on_tick_closed);
    return false;
}

static const struct channel_driver link_driver = {
    .send = link_send,
    .resume = link_resume,
    .pause = link_pause,
    .close = link_close,
};

/* In message mode a message of no bytes is one like others. */
static const struct overlapped_use use_bytes = {
    .first = READ_SIZE,
    .empty_is_end = true,
    .data = on_bytes,
    .gone = on_gone,
    .sent = on_sent,
    .closed = on_pipe_closed,
};
static const struct overlapped_use use_messages = {
    .first = READ_SIZE,
    .data = on_bytes,
    .gone = on_gone,
    .sent = on_sent,
    .closed = on_pipe_closed,
};

static void start_tick(struct link *link)
{
    uv_timer_init(link->endpoint->loop, &link->tick);
    link->tick.data = link;
    link->parts++;
    if (link->endpoint->spec.framing == ENDPOINT_FRAMING_WINDBG_UEFI_ACK)
        uv_timer_start(&link->tick, on_tick, TICK_MS, TICK_MS);
}

/* The channel of an open pipe, which then belongs to it. NULL: it was not taken. */
static struct channel *make_link(struct endpoint *endpoint, HANDLE pipe)
{
    const struct endpoint_spec *spec = &endpoint->spec;
    struct channel *channel = channel_new(endpoint->loop);
    struct link *link = calloc(1, sizeof(*link));
    bool framed = spec->framing != ENDPOINT_FRAMING_RAW;
    if (link && framed)
        link->framing = malloc(sizeof(*link->framing));
    if (!link || !channel || (framed && !link->framing)) {
        if (channel)
            channel_close(channel);
        if (link)
            free(link->framing);
        free(link);
        return NULL;
    }
    if (framed)
        vmbus_framing_init(link->framing, VMBUS_FRAMING_HOST,
                           spec->framing == ENDPOINT_FRAMING_WINDBG_UEFI_ACK);
    link->channel = channel;
    link->endpoint = endpoint;
    link->write_max = framed || spec->messages ? WRITE_MESSAGE : WRITE_BYTES;
    link->parts = 1;
    if (!overlapped_init(&link->pipe, endpoint->loop, pipe, channel->read_buffer,
                         spec->messages ? &use_messages : &use_bytes, link))
        return NULL; /* both were or will be freed */
    start_tick(link);
    channel->driver = &link_driver;
    channel->driver_context = link;
    return channel;
}

/* ---- offering ---- */

struct offer {
    struct opener opener;
    struct vm_work work;
    HMODULE library;
    offer_function offer_channel;
    connect_function connect_pipe;
    struct waiter waiter;
    bool prepared; /* the waiter is there */
    OVERLAPPED overlapped;
    HANDLE pipe;  /* offered and not yet opened by the guest; else NULL */
    bool arrived; /* the guest came before it was waited for: `overlapped` may say "pending" */
};

static int offer_error(DWORD error, char *message)
{
    if (error == ERROR_ACCESS_DENIED || error == ERROR_PRIVILEGE_NOT_HELD) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "access denied: channels are offered by administrators only; run kdwire elevated "
                 "(being in the group Hyper-V Administrators is not enough)");
        return KD_E_REFUSED;
    }
    snprintf(message, ENDPOINT_MESSAGE_MAX,
             "the channel cannot be offered now (Windows error %lu); is the virtual machine "
             "running, and does no other program offer the same?",
             error);
    return KD_E_IO;
}

/* On the thread. */
static int offer_channel(struct endpoint *endpoint, const struct vmbus_guid *vm, char *message)
{
    struct offer *offer = (struct offer *)endpoint->opener;
    const struct endpoint_spec *spec = &endpoint->spec;
    uint8_t block[OFFER_SIZE] = {0};
    memcpy(block + OFFER_VM, vm->bytes, VMBUS_GUID_SIZE);
    memcpy(block + OFFER_TYPE, spec->type.bytes, VMBUS_GUID_SIZE);
    memcpy(block + OFFER_INSTANCE, spec->instance.bytes, VMBUS_GUID_SIZE);
    HANDLE pipe = offer->offer_channel(block, FILE_FLAG_OVERLAPPED,
                                       spec->messages ? PIPE_MESSAGES : PIPE_BYTES);
    if (pipe == INVALID_HANDLE_VALUE || !pipe)
        return offer_error(GetLastError(), message);
    offer->pipe = pipe;
    return KD_OK;
}

static void withdraw(struct offer *offer)
{
    CloseHandle(offer->pipe);
    offer->pipe = NULL;
}

static void connect_failed(struct endpoint *endpoint, DWORD error)
{
    struct offer *offer = (struct offer *)endpoint->opener;
    char reason[ENDPOINT_MESSAGE_MAX];
    withdraw(offer);
    snprintf(reason, sizeof(reason),
             "%.200s: the offer ended before the guest opened the channel (Windows error %lu); the "
             "virtual machine has stopped, as a rule",
             endpoint->where, error);
    endpoint_failed(endpoint, reason);
}

/* On the loop. */
static void on_offered(struct endpoint *endpoint)
{
    struct offer *offer = (struct offer *)endpoint->opener;
    if (endpoint->state != ENDPOINT_OPENING) {
        withdraw(offer);
        return;
    }
    memset(&offer->overlapped, 0, sizeof(offer->overlapped));
    offer->overlapped.hEvent = offer->waiter.event;
    endpoint_say(endpoint, ENDPOINT_LISTENING, "%.480s", endpoint->where);
    BOOL connected = offer->connect_pipe(offer->pipe, &offer->overlapped);
    DWORD error = connected ? 0 : GetLastError();
    offer->arrived = connected || error == ERROR_PIPE_CONNECTED;
    if (offer->arrived)
        SetEvent(offer->waiter.event); /* from a callback of its own, as always */
    else if (error != ERROR_IO_PENDING)
        connect_failed(endpoint, error);
}

static void on_guest(struct waiter *waiter)
{
    struct endpoint *endpoint = waiter->context;
    struct offer *offer = (struct offer *)endpoint->opener;
    char peer[ENDPOINT_MESSAGE_MAX];
    DWORD none;
    if (!offer->pipe || offer->work.working || endpoint->state != ENDPOINT_OPENING)
        return;
    DWORD error =
        offer->arrived || GetOverlappedResult(offer->pipe, &offer->overlapped, &none, FALSE)
            ? 0
            : GetLastError();
    if (error == ERROR_IO_INCOMPLETE)
        return;
    if (error == ERROR_PIPE_CONNECTED) /* it came while the wait began */
        error = 0;
    struct channel *channel = error ? NULL : make_link(endpoint, offer->pipe);
    if (!channel) {
        connect_failed(endpoint, error ? error : ERROR_NOT_ENOUGH_MEMORY);
        return;
    }
    offer->pipe = NULL;
    snprintf(peer, sizeof(peer), "the virtual machine %.300s by VMBus", endpoint->spec.path);
    endpoint_opened(endpoint, channel, peer);
}

/* The functions are found at run time: no machine without Hyper-V has the library. */
static bool load_library(struct offer *offer)
{
    union {
        FARPROC found;
        offer_function offer_channel;
        connect_function connect_pipe;
    } first, second;
    /* from Windows' own folder only: what an administrator runs loads nothing that lies about */
    offer->library = LoadLibraryExW(L"vmbuspiper.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (!offer->library)
        return false;
    first.found = GetProcAddress(offer->library, "VmbusPipeServerOfferChannel");
    second.found = GetProcAddress(offer->library, "VmbusPipeServerConnectPipe");
    offer->offer_channel = first.offer_channel;
    offer->connect_pipe = second.connect_pipe;
    return first.found && second.found;
}

static int prepare_vmbus(struct endpoint *endpoint, char *message)
{
    struct offer *offer = (struct offer *)endpoint->opener;
    if (!load_library(offer)) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.200s: %s; VMBus channels can only be offered on a host with Hyper-V, in its "
                 "root partition",
                 endpoint->where,
                 offer->library ? "this Windows' vmbuspiper.dll has other functions"
                                : "this machine has no vmbuspiper.dll");
        return KD_E_UNSUPPORTED;
    }
    if (waiter_init(endpoint->loop, &offer->waiter, on_guest, endpoint) < 0) {
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.200s: out of memory", endpoint->where);
        return KD_E_NO_MEMORY;
    }
    offer->prepared = true;
    endpoint_hold(endpoint);
    return KD_OK;
}

static void attempt_vmbus(struct endpoint *endpoint)
{
    struct offer *offer = (struct offer *)endpoint->opener;
    if (!offer->pipe)
        vm_work_start(&offer->work, endpoint);
}

static void on_waiter_closed(struct waiter *waiter)
{
    endpoint_release(waiter->context);
}

static void close_vmbus(struct endpoint *endpoint)
{
    struct offer *offer = (struct offer *)endpoint->opener;
    DWORD none;
    vm_work_close(&offer->work);
    if (!offer->prepared)
        return;
    waiter_stop(&offer->waiter);
    if (offer->pipe && !offer->work.working) {
        if (CancelIoEx(offer->pipe, &offer->overlapped))
            GetOverlappedResult(offer->pipe, &offer->overlapped, &none, TRUE);
        withdraw(offer);
    }
    waiter_close(&offer->waiter, on_waiter_closed);
}

static const struct opener_operations vmbus_operations = {
    .prepare = prepare_vmbus,
    .attempt = attempt_vmbus,
    .close = close_vmbus,
};

struct opener *opener_vmbus(void)
{
    struct offer *offer = calloc(1, sizeof(*offer));
    if (!offer)
        return NULL;
    offer->opener.operations = &vmbus_operations;
    offer->work.step = offer_channel;
    offer->work.done = on_offered;
    return &offer->opener;
}
