/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Named pipes. libuv carries the bytes; they are opened here, because libuv's server lets other
 * machines and, by the default rights, other users in, and its client waits half a minute for a
 * busy pipe and lets whoever made the pipe act in our name.
 */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"
#include "access.h"
#include "text.h"
#include "waiter.h"

/* Wraps a handle, which then belongs to the channel (also when this fails). */
static struct channel *wrap_pipe(uv_loop_t *loop, HANDLE pipe)
{
    struct channel *channel = channel_new(loop);
    int fd = _open_osfhandle((intptr_t)pipe, _O_RDWR);
    if (fd < 0) {
        CloseHandle(pipe);
    } else if (!channel || channel_init_pipe(channel) < 0 ||
               uv_pipe_open(&channel->in.pipe, fd) < 0) {
        _close(fd);
    } else {
        return channel;
    }
    if (channel)
        channel_close(channel);
    return NULL;
}

static const char *error_text(DWORD error)
{
    return uv_strerror(uv_translate_sys_error((int)error));
}

/* ---- connecting ---- */

/* Opening may wait long for another machine: it is done by a thread of libuv's pool. */
struct connector {
    struct opener opener;
    uv_work_t work;
    wchar_t name[ENDPOINT_TEXT_MAX];
    HANDLE pipe;
    DWORD error;
    bool working;
};

static void open_pipe(uv_work_t *work)
{
    const struct endpoint *endpoint = work->data;
    struct connector *connector = (struct connector *)endpoint->opener;
    connector->pipe =
        CreateFileW(connector->name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                    FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    connector->error = connector->pipe == INVALID_HANDLE_VALUE ? GetLastError() : 0;
}

static void connect_failed(struct endpoint *endpoint, DWORD error)
{
    const char *where = endpoint->where;
    char reason[ENDPOINT_MESSAGE_MAX];
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        snprintf(reason, sizeof(reason),
                 "%.300s: there is no such pipe yet; is what makes it running?", where);
        break;
    case ERROR_PIPE_BUSY:
        snprintf(reason, sizeof(reason), "%.300s: in use by another program; end that one", where);
        break;
    case ERROR_ACCESS_DENIED:
        snprintf(reason, sizeof(reason),
                 "%.300s: access denied; run kdwire as the user who made the pipe, or as "
                 "administrator",
                 where);
        break;
    default:
        snprintf(reason, sizeof(reason), "%.300s: %s", where, error_text(error));
        break;
    }
    endpoint_failed(endpoint, reason);
}

static void describe_server(const struct endpoint *endpoint, HANDLE pipe, char *peer, size_t size)
{
    ULONG process = 0;
    if (GetNamedPipeServerProcessId(pipe, &process) && process)
        snprintf(peer, size, "process %lu at %.300s", process, endpoint->spec.path);
    else
        snprintf(peer, size, "%.300s", endpoint->spec.path);
}

static void on_opened(uv_work_t *work, int status)
{
    struct endpoint *endpoint = work->data;
    struct connector *connector = (struct connector *)endpoint->opener;
    connector->working = false;
    if (status < 0) {
        connect_failed(endpoint, ERROR_OPERATION_ABORTED);
    } else if (connector->error) {
        connect_failed(endpoint, connector->error);
    } else {
        char peer[ENDPOINT_MESSAGE_MAX];
        describe_server(endpoint, connector->pipe, peer, sizeof(peer));
        struct channel *channel = wrap_pipe(endpoint->loop, connector->pipe);
        if (channel)
            endpoint_opened(endpoint, channel, peer);
        else
            connect_failed(endpoint, ERROR_INVALID_HANDLE);
    }
    endpoint_release(endpoint);
}

static void attempt_pipe(struct endpoint *endpoint)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    if (connector->working)
        return;
    connector->work.data = endpoint;
    if (!wide_text(endpoint->spec.path, connector->name, ENDPOINT_TEXT_MAX)) {
        connect_failed(endpoint, ERROR_INVALID_NAME);
        return;
    }
    if (uv_queue_work(endpoint->loop, &connector->work, open_pipe, on_opened) < 0) {
        connect_failed(endpoint, ERROR_NOT_ENOUGH_MEMORY);
        return;
    }
    connector->working = true;
    endpoint_hold(endpoint);
}

static void close_connector(struct endpoint *endpoint)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    if (connector->working)
        uv_cancel((uv_req_t *)&connector->work);
}

static const struct opener_operations pipe_operations = {
    .attempt = attempt_pipe,
    .close = close_connector,
};

struct opener *opener_pipe(void)
{
    struct connector *connector = calloc(1, sizeof(*connector));
    if (!connector)
        return NULL;
    connector->opener.operations = &pipe_operations;
    return &connector->opener;
}

/* ---- listening ---- */

enum {
    /* Instances that wait for a client: a second client is heard and answered at once, and one that
     * comes while the first is taken over still finds the pipe. */
    PIPE_WAITING = 2,
    PIPE_BUFFER = 64 * 1024, /* the system's, each way; what libuv uses */
};

/* One instance of the pipe that no client has yet. */
struct instance {
    struct endpoint *endpoint;
    struct waiter waiter;
    OVERLAPPED overlapped;
    HANDLE pipe;  /* INVALID_HANDLE_VALUE: could not be made; tried again when a client leaves */
    bool arrived; /* before it was waited for: then `overlapped` says "pending" for ever */
};

struct listener {
    struct opener opener;
    wchar_t name[ENDPOINT_TEXT_MAX];
    PSECURITY_DESCRIPTOR access;
    struct instance instances[PIPE_WAITING];
    int prepared; /* instances with a waiter */
};

/* Makes the instance and lets a client come. Returns a system error. */
static DWORD offer(struct listener *listener, struct instance *instance, DWORD first)
{
    SECURITY_ATTRIBUTES access = {sizeof(access), listener->access, FALSE};
    instance->pipe = CreateNamedPipeW(
        listener->name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
        PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
        PIPE_UNLIMITED_INSTANCES, PIPE_BUFFER, PIPE_BUFFER, 0, &access);
    if (instance->pipe == INVALID_HANDLE_VALUE)
        return GetLastError();
    instance->arrived = false;
    memset(&instance->overlapped, 0, sizeof(instance->overlapped));
    instance->overlapped.hEvent = instance->waiter.event;
    if (ConnectNamedPipe(instance->pipe, &instance->overlapped))
        return 0;
    DWORD error = GetLastError();
    if (error == ERROR_IO_PENDING)
        return 0;
    if (error == ERROR_PIPE_CONNECTED || error == ERROR_NO_DATA) { /* came before; perhaps left */
        instance->arrived = true;
        SetEvent(instance->waiter.event);
        return 0;
    }
    CloseHandle(instance->pipe);
    instance->pipe = INVALID_HANDLE_VALUE;
    return error;
}

static void describe_client(const struct endpoint *endpoint, HANDLE pipe, char *peer, size_t size)
{
    ULONG process = 0;
    if (GetNamedPipeClientProcessId(pipe, &process) && process)
        snprintf(peer, size, "process %lu at %.300s", process, endpoint->spec.path);
    else
        snprintf(peer, size, "a process at %.300s", endpoint->spec.path);
}

static void on_client(struct waiter *waiter)
{
    struct instance *instance = waiter->context;
    struct endpoint *endpoint = instance->endpoint;
    struct listener *listener = (struct listener *)endpoint->opener;
    DWORD moved;
    HANDLE pipe = instance->pipe;
    if (pipe == INVALID_HANDLE_VALUE || endpoint->state == ENDPOINT_CLOSING)
        return;
    bool connected =
        instance->arrived || GetOverlappedResult(pipe, &instance->overlapped, &moved, FALSE);
    if (!connected && GetLastError() == ERROR_IO_INCOMPLETE)
        return;
    DWORD error = offer(listener, instance, 0); /* first, so that nobody finds no pipe */
    if (error)
        endpoint_say(endpoint, ENDPOINT_WARNING, "%.300s: cannot wait for another client: %s",
                     endpoint->where, error_text(error));
    if (!connected) {
        CloseHandle(pipe);
        return;
    }
    char peer[ENDPOINT_MESSAGE_MAX];
    describe_client(endpoint, pipe, peer, sizeof(peer));
    struct channel *channel = wrap_pipe(endpoint->loop, pipe);
    if (channel)
        endpoint_accepted(endpoint, channel, peer);
}

static int listen_failed(struct endpoint *endpoint, DWORD error, char *message)
{
    if (error == ERROR_ACCESS_DENIED || error == ERROR_PIPE_BUSY) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: already in use by another program; end that one or choose another name",
                 endpoint->where);
        return KD_E_BUSY;
    }
    snprintf(message, ENDPOINT_MESSAGE_MAX, "%.300s: cannot make the pipe: %s", endpoint->where,
             error_text(error));
    return KD_E_IO;
}

static int prepare_listener(struct endpoint *endpoint, char *message)
{
    struct listener *listener = (struct listener *)endpoint->opener;
    if (!wide_text(endpoint->spec.path, listener->name, ENDPOINT_TEXT_MAX))
        return listen_failed(endpoint, ERROR_INVALID_NAME, message);
    listener->access = access_descriptor(endpoint->spec.access);
    if (!listener->access)
        return listen_failed(endpoint, GetLastError(), message);
    /* FILE_FLAG_FIRST_PIPE_INSTANCE makes sure; Wine 8 does not know it. */
    if (WaitNamedPipeW(listener->name, 1) || GetLastError() == ERROR_SEM_TIMEOUT)
        return listen_failed(endpoint, ERROR_PIPE_BUSY, message);
    for (int i = 0; i < PIPE_WAITING; i++) {
        struct instance *instance = &listener->instances[i];
        instance->endpoint = endpoint;
        instance->pipe = INVALID_HANDLE_VALUE;
        if (waiter_init(endpoint->loop, &instance->waiter, on_client, instance) < 0)
            return listen_failed(endpoint, ERROR_NOT_ENOUGH_MEMORY, message);
        listener->prepared++;
        endpoint_hold(endpoint);
        DWORD error = offer(listener, instance, i ? 0 : FILE_FLAG_FIRST_PIPE_INSTANCE);
        if (error)
            return listen_failed(endpoint, error, message);
    }
    return KD_OK;
}

/* Called whenever the endpoint waits for a client. */
static void offer_again(struct endpoint *endpoint)
{
    struct listener *listener = (struct listener *)endpoint->opener;
    for (int i = 0; i < listener->prepared; i++)
        if (listener->instances[i].pipe == INVALID_HANDLE_VALUE)
            offer(listener, &listener->instances[i], 0);
}

static void on_waiter_closed(struct waiter *waiter)
{
    struct instance *instance = waiter->context;
    endpoint_release(instance->endpoint);
}

static void withdraw(struct instance *instance)
{
    waiter_stop(&instance->waiter);
    if (instance->pipe != INVALID_HANDLE_VALUE) {
        DWORD moved;
        CancelIoEx(instance->pipe, &instance->overlapped);
        if (!instance->arrived)
            GetOverlappedResult(instance->pipe, &instance->overlapped, &moved, TRUE);
        CloseHandle(instance->pipe);
    }
    waiter_close(&instance->waiter, on_waiter_closed);
}

static void close_listener(struct endpoint *endpoint)
{
    struct listener *listener = (struct listener *)endpoint->opener;
    for (int i = 0; i < listener->prepared; i++)
        withdraw(&listener->instances[i]);
    LocalFree(listener->access);
    listener->access = NULL;
}

static const struct opener_operations pipe_listen_operations = {
    .prepare = prepare_listener,
    .attempt = offer_again,
    .close = close_listener,
};

struct opener *opener_pipe_listen(void)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return NULL;
    listener->opener.operations = &pipe_listen_operations;
    return &listener->opener;
}
