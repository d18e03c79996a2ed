/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hvsock: waits at a Hyper-V socket for one VM's windbg.efi (port=hvsock). The address is the VM's
 * GUID and the service's, so no other VM gets in. Accepted sockets are libuv's from then on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"
#include "vm.h"
#include "waiter.h"

#include <hvsocket.h>

#ifndef AF_HYPERV
#define AF_HYPERV 34
#endif

_Static_assert(sizeof(SOCKADDR_HV) == 36 && sizeof(GUID) == VMBUS_GUID_SIZE,
               "the address is two numbers of 16 bits and two GUIDs");

struct service {
    struct opener opener;
    struct vm_work work;
    struct waiter waiter;
    bool prepared; /* the waiter is there */
    SOCKET listener;
};

static int listen_failed(int error, char *message)
{
    switch (error) {
    case WSAEAFNOSUPPORT:
    case WSAEPROTONOSUPPORT:
    case WSAESOCKTNOSUPPORT:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "this machine has no Hyper-V sockets; they need Hyper-V on Windows 10 1607, "
                 "Windows Server 2016 or later");
        return KD_E_UNSUPPORTED;
    case WSAEACCES:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "access denied; run kdwire as administrator (elevated)");
        return KD_E_REFUSED;
    case WSAEADDRINUSE:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "another program waits for this virtual machine and service; end that one");
        return KD_E_IO;
    default:
        snprintf(
            message, ENDPOINT_MESSAGE_MAX,
            "cannot wait for the virtual machine (Windows error %d); is the service registered "
            "('kdwire hyperv --wire hvsock' does it)?",
            error);
        return KD_E_IO;
    }
}

/* On the thread. */
static int listen_for_vm(struct endpoint *endpoint, const struct vmbus_guid *vm, char *message)
{
    struct service *service = (struct service *)endpoint->opener;
    SOCKADDR_HV address = {.Family = AF_HYPERV};
    memcpy(&address.VmId, vm->bytes, VMBUS_GUID_SIZE);
    memcpy(&address.ServiceId, endpoint->spec.type.bytes, VMBUS_GUID_SIZE);
    SOCKET listener = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
    if (listener == INVALID_SOCKET)
        return listen_failed(WSAGetLastError(), message);
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, ENDPOINT_BACKLOG) != 0) {
        int error = WSAGetLastError();
        closesocket(listener);
        return listen_failed(error, message);
    }
    service->listener = listener;
    return KD_OK;
}

static void stop_listening(struct service *service)
{
    if (service->listener != INVALID_SOCKET)
        closesocket(service->listener);
    service->listener = INVALID_SOCKET;
}

/* On the loop. */
static void on_listening(struct endpoint *endpoint)
{
    struct service *service = (struct service *)endpoint->opener;
    if (endpoint->state == ENDPOINT_CLOSING) {
        stop_listening(service);
        return;
    }
    if (WSAEventSelect(service->listener, service->waiter.event, FD_ACCEPT) != 0) {
        stop_listening(service);
        endpoint_failed(endpoint, "out of memory for another socket");
        return;
    }
    endpoint_say(endpoint, ENDPOINT_LISTENING, "%.480s", endpoint->where);
    SetEvent(service->waiter.event); /* who has come meanwhile */
}

static struct channel *wrap_socket(uv_loop_t *loop, SOCKET socket)
{
    struct channel *channel = channel_new(loop);
    WSAEventSelect(socket, NULL, 0); /* what it has from the listener */
    if (channel && channel_init_tcp(channel) == 0 && uv_tcp_open(&channel->in.tcp, socket) == 0)
        return channel;
    closesocket(socket);
    if (channel)
        channel_close(channel);
    return NULL;
}

static void on_guest(struct waiter *waiter)
{
    struct endpoint *endpoint = waiter->context;
    struct service *service = (struct service *)endpoint->opener;
    char peer[ENDPOINT_MESSAGE_MAX];
    snprintf(peer, sizeof(peer), "the virtual machine %.300s by a Hyper-V socket",
             endpoint->spec.path);
    while (!service->work.working && service->listener != INVALID_SOCKET &&
           endpoint->state != ENDPOINT_CLOSING) {
        SOCKET socket = accept(service->listener, NULL, NULL);
        if (socket == INVALID_SOCKET)
            return;
        struct channel *channel = wrap_socket(endpoint->loop, socket);
        if (channel)
            endpoint_accepted(endpoint, channel, peer);
    }
}

static int prepare_hvsock(struct endpoint *endpoint, char *message)
{
    struct service *service = (struct service *)endpoint->opener;
    if (waiter_init(endpoint->loop, &service->waiter, on_guest, endpoint) < 0) {
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.200s: out of memory", endpoint->where);
        return KD_E_NO_MEMORY;
    }
    service->prepared = true;
    endpoint_hold(endpoint);
    return KD_OK;
}

/* Called whenever the endpoint waits for its VM; the listener stays. */
static void attempt_hvsock(struct endpoint *endpoint)
{
    struct service *service = (struct service *)endpoint->opener;
    if (service->listener == INVALID_SOCKET)
        vm_work_start(&service->work, endpoint);
}

static void on_waiter_closed(struct waiter *waiter)
{
    endpoint_release(waiter->context);
}

static void close_hvsock(struct endpoint *endpoint)
{
    struct service *service = (struct service *)endpoint->opener;
    vm_work_close(&service->work);
    if (!service->prepared)
        return;
    waiter_stop(&service->waiter);
    if (!service->work.working)
        stop_listening(service);
    waiter_close(&service->waiter, on_waiter_closed);
}

static const struct opener_operations hvsock_operations = {
    .prepare = prepare_hvsock,
    .attempt = attempt_hvsock,
    .close = close_hvsock,
};

struct opener *opener_hvsock(void)
{
    struct service *service = calloc(1, sizeof(*service));
    if (!service)
        return NULL;
    service->opener.operations = &hvsock_operations;
    service->work.step = listen_for_vm;
    service->work.done = on_listening;
    service->listener = INVALID_SOCKET;
    return &service->opener;
}
