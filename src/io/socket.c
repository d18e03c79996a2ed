/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp, unix, tcp-listen and unix-listen: all libuv's; what it lacks is platform_*. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opener.h"

void address_text(const struct sockaddr_storage *address, char *text, size_t size)
{
    char host[64] = "?";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        uv_ip6_name(in6, host, sizeof(host));
        snprintf(text, size, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
        uv_ip4_name(in4, host, sizeof(host));
        snprintf(text, size, "%s:%u", host, ntohs(in4->sin_port));
    }
}

static void describe_peer(const struct endpoint *endpoint, struct channel *channel, char *text,
                          size_t size)
{
    if (channel->in.stream.type != UV_TCP) {
        char who[64];
        platform_unix_peer(&channel->in.stream, who, sizeof(who));
        snprintf(text, size, "%s at %.200s", who, endpoint->spec.path);
        return;
    }
    struct sockaddr_storage address;
    int length = sizeof(address);
    memset(&address, 0, sizeof(address));
    uv_tcp_getpeername(&channel->in.tcp, (struct sockaddr *)&address, &length);
    address_text(&address, text, size);
}

static void set_tcp_options(const struct endpoint *endpoint, struct channel *channel)
{
    if (channel->in.stream.type != UV_TCP)
        return;
    uv_tcp_nodelay(&channel->in.tcp, endpoint->spec.nodelay);
    platform_tcp_keepalive(&channel->in.tcp, endpoint->spec.keepalive);
}

/* ---- connecting ---- */

struct connector {
    struct opener opener;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    struct addrinfo *addresses, *next;
    struct channel *channel; /* while it connects */
    bool resolving, slow;
};

static void try_next_address(struct endpoint *endpoint, int error);

static void give_up_channel(struct connector *connector)
{
    if (connector->channel)
        channel_close(connector->channel);
    connector->channel = NULL;
}

static void free_addresses(struct connector *connector)
{
    uv_freeaddrinfo(connector->addresses);
    connector->addresses = connector->next = NULL;
}

static void connect_failed(struct endpoint *endpoint, int error)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    const struct endpoint_spec *spec = &endpoint->spec;
    char reason[ENDPOINT_MESSAGE_MAX];
    free_addresses(connector);
    const char *where = endpoint->where;
    switch (error) {
    case UV_ECONNREFUSED:
        snprintf(reason, sizeof(reason), "%.300s: nobody listens there yet", where);
        break;
    case UV_ENOENT:
        snprintf(reason, sizeof(reason), "%.300s: there is no such socket yet", where);
        break;
    case UV_ETIMEDOUT:
        snprintf(reason, sizeof(reason),
                 "%.300s: no answer from the host; is it up, and does a firewall let port %u pass?",
                 where, spec->port);
        break;
    case UV_EACCES:
    case UV_EPERM:
        snprintf(reason, sizeof(reason), "%.300s: no permission; see who may open it", where);
        break;
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        snprintf(reason, sizeof(reason),
                 "%.300s: there is no host of the name '%.100s'; check it, or write its "
                 "IP address",
                 where, spec->host);
        break;
    default:
        snprintf(reason, sizeof(reason), "%.300s: %s", where, uv_strerror(error));
        break;
    }
    endpoint_failed(endpoint, reason);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct endpoint *endpoint = request->data;
    struct connector *connector = (struct connector *)endpoint->opener;
    struct channel *channel = connector->channel;
    if (!channel || status == UV_ECANCELED) { /* closed, or too slow and given up */
        bool slow = connector->slow;
        connector->slow = false;
        if (slow && endpoint->state == ENDPOINT_OPENING)
            connect_failed(endpoint, UV_ETIMEDOUT);
        endpoint_release(endpoint);
        return;
    }
    if (status < 0) {
        give_up_channel(connector);
        try_next_address(endpoint, status);
    } else {
        char peer[ENDPOINT_MESSAGE_MAX];
        free_addresses(connector);
        connector->channel = NULL;
        set_tcp_options(endpoint, channel);
        describe_peer(endpoint, channel, peer, sizeof(peer));
        endpoint_opened(endpoint, channel, peer);
    }
    endpoint_release(endpoint);
}

static void try_next_address(struct endpoint *endpoint, int error)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    while (connector->next) {
        const struct addrinfo *address = connector->next;
        connector->next = address->ai_next;
        connector->channel = channel_new(endpoint->loop);
        if (!connector->channel) {
            error = UV_ENOMEM;
            break;
        }
        error = channel_init_tcp(connector->channel);
        connector->connect.data = endpoint;
        if (error >= 0)
            error = uv_tcp_connect(&connector->connect, &connector->channel->in.tcp,
                                   address->ai_addr, on_connected);
        if (error >= 0) {
            endpoint_hold(endpoint);
            return;
        }
        give_up_channel(connector);
    }
    connect_failed(endpoint, error);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct endpoint *endpoint = request->data;
    struct connector *connector = (struct connector *)endpoint->opener;
    connector->resolving = false;
    if (endpoint->state != ENDPOINT_OPENING) {
        uv_freeaddrinfo(addresses);
    } else {
        connector->addresses = connector->next = addresses;
        try_next_address(endpoint, status);
    }
    endpoint_release(endpoint);
}

static void attempt_tcp(struct endpoint *endpoint)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    struct addrinfo hints;
    char port[8];
    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    snprintf(port, sizeof(port), "%u", endpoint->spec.port);
    connector->resolve.data = endpoint;
    int rc = uv_getaddrinfo(endpoint->loop, &connector->resolve, on_resolved, endpoint->spec.host,
                            port, &hints);
    if (rc < 0) {
        connect_failed(endpoint, rc);
        return;
    }
    connector->resolving = true;
    endpoint_hold(endpoint);
}

static void attempt_unix(struct endpoint *endpoint)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    connector->channel = channel_new(endpoint->loop);
    if (!connector->channel || channel_init_pipe(connector->channel) < 0) {
        give_up_channel(connector);
        connect_failed(endpoint, UV_ENOMEM);
        return;
    }
    connector->connect.data = endpoint;
    endpoint_hold(endpoint);
    uv_pipe_connect(&connector->connect, &connector->channel->in.pipe, endpoint->spec.path,
                    on_connected);
}

static void attempt_connect(struct endpoint *endpoint)
{
    if (endpoint->spec.kind == ENDPOINT_TCP)
        attempt_tcp(endpoint);
    else
        attempt_unix(endpoint);
}

static void connect_too_slow(struct endpoint *endpoint)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    if (!connector->channel)
        return; /* the resolver has time-outs of its own */
    connector->slow = true;
    give_up_channel(connector);
}

static void close_connector(struct endpoint *endpoint)
{
    struct connector *connector = (struct connector *)endpoint->opener;
    if (connector->resolving)
        uv_cancel((uv_req_t *)&connector->resolve);
    give_up_channel(connector);
    free_addresses(connector);
}

static const struct opener_operations connect_operations = {
    .attempt = attempt_connect,
    .too_slow = connect_too_slow,
    .close = close_connector,
};

struct opener *opener_connect(void)
{
    struct connector *connector = calloc(1, sizeof(*connector));
    if (!connector)
        return NULL;
    connector->opener.operations = &connect_operations;
    return &connector->opener;
}

/* ---- listening ---- */

struct listener {
    struct opener opener;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } at;
    bool open;
};

static void on_listener_closed(uv_handle_t *handle)
{
    endpoint_release(handle->data);
}

static void close_listener(struct endpoint *endpoint)
{
    struct listener *listener = (struct listener *)endpoint->opener;
    if (listener->open)
        uv_close(&listener->at.handle, on_listener_closed);
    listener->open = false;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct endpoint *endpoint = server->data;
    if (status < 0) {
        endpoint_say(endpoint, ENDPOINT_WARNING, "%.300s: cannot accept: %s", endpoint->where,
                     uv_strerror(status));
        return;
    }
    struct channel *channel = channel_new(endpoint->loop);
    if (!channel)
        return; /* libuv keeps the connection and asks again */
    int rc = server->type == UV_TCP ? channel_init_tcp(channel) : channel_init_pipe(channel);
    if (rc >= 0)
        rc = uv_accept(server, &channel->in.stream);
    if (rc < 0) {
        channel_close(channel);
        return;
    }
    char peer[ENDPOINT_MESSAGE_MAX];
    set_tcp_options(endpoint, channel);
    describe_peer(endpoint, channel, peer, sizeof(peer));
    endpoint_accepted(endpoint, channel, peer);
}

int listen_error(const struct endpoint *endpoint, int error, char *message)
{
    const char *where = endpoint->where;
    bool has_path = endpoint->spec.kind == ENDPOINT_UNIX_LISTEN;
    switch (error) {
    case UV_EADDRINUSE:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: already in use by another program; end that one or choose another %s",
                 where, has_path ? "path" : "port");
        return KD_E_BUSY;
    case UV_EACCES:
    case UV_EPERM:
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.300s: no permission to listen there; %s", where,
                 has_path ? "use a folder you may write to" : "use a port from 1024 up");
        return KD_E_IO;
    case UV_EADDRNOTAVAIL:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: '%.100s' is no address of this machine; use one of its own or *", where,
                 endpoint->spec.host);
        return KD_E_ARGUMENT;
    case UV_ENOENT:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: its folder does not exist; make it, or choose another path", where);
        return KD_E_NOT_FOUND;
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: '%.100s' is no address; write one of this machine's, * for all of them, "
                 "or none for this machine only",
                 where, endpoint->spec.host);
        return KD_E_ARGUMENT;
    default:
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.300s: cannot listen: %s", where,
                 uv_strerror(error));
        return KD_E_IO;
    }
}

static int listen_failed(struct endpoint *endpoint, int error, char *message)
{
    close_listener(endpoint);
    return listen_error(endpoint, error, message);
}

int bind_own_address(const struct endpoint *endpoint, int type, bind_to *bind, void *socket)
{
    const struct endpoint_spec *spec = &endpoint->spec;
    uv_getaddrinfo_t resolve;
    struct addrinfo hints;
    char port[8];
    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = type;
    hints.ai_flags = AI_PASSIVE;
    snprintf(port, sizeof(port), "%u", spec->port);
    bool any = !strcmp(spec->host, "*");
    int rc = uv_getaddrinfo(endpoint->loop, &resolve, NULL, any ? "::" : spec->host, port, &hints);
    if (rc < 0)
        return rc;
    rc = bind(socket, resolve.addrinfo->ai_addr);
    uv_freeaddrinfo(resolve.addrinfo);
    if (any && rc == UV_EAFNOSUPPORT) { /* a machine without IPv6 */
        struct sockaddr_in in4;
        uv_ip4_addr("0.0.0.0", spec->port, &in4);
        rc = bind(socket, (const struct sockaddr *)&in4);
    }
    return rc;
}

void note_actual_port(struct endpoint *endpoint, const struct sockaddr_storage *address)
{
    struct endpoint_spec actual = endpoint->spec;
    actual.port =
        ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                             : ((const struct sockaddr_in *)address)->sin_port);
    endpoint_spec_text(&actual, endpoint->where, sizeof(endpoint->where));
}

static int bind_tcp(void *tcp, const struct sockaddr *address)
{
    return uv_tcp_bind(tcp, address, 0);
}

static void note_tcp_port(struct endpoint *endpoint, struct listener *listener)
{
    struct sockaddr_storage address;
    int length = sizeof(address);
    memset(&address, 0, sizeof(address));
    if (uv_tcp_getsockname(&listener->at.tcp, (struct sockaddr *)&address, &length) >= 0)
        note_actual_port(endpoint, &address);
}

static int bind_unix(struct endpoint *endpoint, struct listener *listener)
{
    int rc = platform_clear_socket(endpoint->spec.path);
    if (rc == KD_E_BUSY || rc == KD_E_EXISTS)
        return UV_EADDRINUSE;
    return platform_bind_unix(&listener->at.pipe, endpoint->spec.path, endpoint->spec.mode);
}

static int prepare_listener(struct endpoint *endpoint, char *message)
{
    struct listener *listener = (struct listener *)endpoint->opener;
    bool tcp = endpoint->spec.kind == ENDPOINT_TCP_LISTEN;
    int rc = tcp ? uv_tcp_init(endpoint->loop, &listener->at.tcp)
                 : uv_pipe_init(endpoint->loop, &listener->at.pipe, 0);
    if (rc < 0)
        return listen_failed(endpoint, rc, message);
    listener->at.handle.data = endpoint;
    listener->open = true;
    endpoint_hold(endpoint);
    rc = tcp ? bind_own_address(endpoint, SOCK_STREAM, bind_tcp, &listener->at.tcp)
             : bind_unix(endpoint, listener);
    if (rc >= 0)
        rc = uv_listen(&listener->at.stream, ENDPOINT_BACKLOG, on_connection);
    if (rc < 0)
        return listen_failed(endpoint, rc, message);
    if (tcp)
        note_tcp_port(endpoint, listener);
    return KD_OK;
}

static const struct opener_operations listen_operations = {
    .prepare = prepare_listener,
    .close = close_listener,
};

struct opener *opener_listen(void)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return NULL;
    listener->opener.operations = &listen_operations;
    return &listener->opener;
}
