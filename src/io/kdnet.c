/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdnet-host and kdnet-target: a UDP socket, and a bridge that makes a byte stream of it
 * (kdnet/bridge.h). The socket stays open as long as the endpoint; a channel is there while a
 * session is. What one callback of the loop makes the bridge say is sent before it returns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kdnet/bridge.h"
#include "opener.h"

enum {
    /* A name is looked up again so often while its debugger is silent: it may have another address
     * by now. A debugger is silent for hours, too, while its target runs. */
    LOOK_AGAIN_MS = 5000,
    LOOK_AGAIN_IN_SESSION_MS = 60000,
};

struct kdnet_opener {
    struct opener opener;
    struct endpoint *endpoint;
    struct kdnet_bridge bridge;
    bool bridge_open;
    uv_getaddrinfo_t resolve;
    bool resolving;
    uint64_t resolve_at; /* time of the loop; put off by each datagram that comes */
    uv_udp_t udp;
    bool udp_open;
    struct sockaddr_storage local, remote; /* remote: of the datagram that came last */
    uv_timer_t timer;
    bool timer_open;
    struct channel *channel;
    bool pumping, again;
    bool told_foreign;                  /* datagrams of another key were mentioned */
    bool told_refused;                  /* so was that nobody is there */
    uint8_t in[KDNET_DATAGRAM_MAX + 1]; /* one more: what is too long shows */
    uint8_t out[KDNET_DATAGRAM_MAX];
};

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static bool is_host(const struct endpoint *endpoint)
{
    return endpoint->spec.kind == ENDPOINT_KDNET_HOST;
}

/* ---- addresses ---- */

static void to_kdnet(struct kdnet_address *out, const struct sockaddr_storage *address)
{
    memset(out, 0, sizeof(*out));
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        memcpy(out->ip, &in6->sin6_addr, sizeof(out->ip));
        out->port = ntohs(in6->sin6_port);
        out->scope = in6->sin6_scope_id;
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
        out->ip[10] = out->ip[11] = 0xFF;
        memcpy(out->ip + 12, &in4->sin_addr, 4);
        out->port = ntohs(in4->sin_port);
    }
}

/* In the family of our socket. */
static void from_kdnet(const struct kdnet_opener *kdnet, struct sockaddr_storage *out,
                       const struct kdnet_address *address)
{
    memset(out, 0, sizeof(*out));
    out->ss_family = kdnet->local.ss_family;
    if (out->ss_family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        memcpy(&in6->sin6_addr, address->ip, sizeof(address->ip));
        in6->sin6_port = htons(address->port);
        in6->sin6_scope_id = address->scope;
    } else {
        struct sockaddr_in *in4 = (struct sockaddr_in *)out;
        memcpy(&in4->sin_addr, address->ip + 12, 4);
        in4->sin_port = htons(address->port);
    }
}

static void note_local(struct kdnet_opener *kdnet)
{
    int length = sizeof(kdnet->local);
    memset(&kdnet->local, 0, sizeof(kdnet->local));
    uv_udp_getsockname(&kdnet->udp, (struct sockaddr *)&kdnet->local, &length);
}

/* ---- moving ---- */

static void tell_datagram(struct kdnet_opener *kdnet, bool sent,
                          const struct sockaddr_storage *remote, const uint8_t *bytes, size_t size)
{
    struct endpoint *endpoint = kdnet->endpoint;
    const struct sockaddr *here = (const struct sockaddr *)&kdnet->local;
    const struct sockaddr *there = (const struct sockaddr *)remote;
    if (endpoint->on.datagram)
        endpoint->on.datagram(endpoint, sent ? here : there, sent ? there : here, bytes, size);
}

static void on_refused(struct kdnet_opener *kdnet)
{
    struct endpoint *endpoint = kdnet->endpoint;
    if (kdnet->bridge.up || kdnet->told_refused)
        return;
    kdnet->told_refused = true;
    endpoint_say(endpoint, ENDPOINT_RETRYING, "%.300s: nobody waits there yet", endpoint->where);
}

/* What the system does not take at once is lost, as any datagram may be: the link sends it again.
 * A refusal (nobody is there) is news of an earlier datagram, and this one has not gone out yet. */
static void send_datagram(struct kdnet_opener *kdnet, const struct kdnet_address *to, size_t size)
{
    struct sockaddr_storage remote;
    uv_buf_t buffer = uv_buf_init((char *)kdnet->out, (unsigned)size);
    from_kdnet(kdnet, &remote, to);
    const struct sockaddr *where =
        is_host(kdnet->endpoint) ? (const struct sockaddr *)&remote : NULL;
    if (uv_udp_try_send(&kdnet->udp, &buffer, 1, where) == UV_ECONNREFUSED) {
        on_refused(kdnet);
        uv_udp_try_send(&kdnet->udp, &buffer, 1, where);
    }
    tell_datagram(kdnet, true, &remote, kdnet->out, size);
}

static void give_out(struct kdnet_opener *kdnet)
{
    const uint8_t *bytes;
    size_t size;
    struct channel *channel = kdnet->channel;
    while (channel && channel == kdnet->channel && !channel->paused &&
           (size = kdnet_bridge_output(&kdnet->bridge, &bytes)) > 0) {
        channel->on.data(channel, bytes, size);
        if (kdnet->bridge_open)
            kdnet_bridge_written(&kdnet->bridge, now_us(), size);
    }
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct kdnet_opener *kdnet)
{
    uint64_t now = now_us(), deadline = kdnet_bridge_deadline(&kdnet->bridge);
    if (deadline == KD_NEVER) {
        uv_timer_stop(&kdnet->timer);
        return;
    }
    uint64_t wait_ms = deadline > now ? (deadline - now + 999) / 1000 : 0;
    uv_update_time(kdnet->endpoint->loop);
    uv_timer_start(&kdnet->timer, on_timer, wait_ms, 0);
}

/* Sends and gives out whatever the bridge has; callbacks inside may make it have more. */
static void pump(struct kdnet_opener *kdnet)
{
    struct kdnet_address to;
    size_t size;
    kdnet->again = true;
    if (kdnet->pumping)
        return;
    kdnet->pumping = true;
    while (kdnet->again && kdnet->bridge_open) {
        kdnet->again = false;
        while ((size = kdnet_bridge_datagram(&kdnet->bridge, now_us(), &to, kdnet->out)) > 0)
            send_datagram(kdnet, &to, size);
        give_out(kdnet);
    }
    kdnet->pumping = false;
    if (kdnet->bridge_open)
        set_timer(kdnet);
}

static void put_off_resolving(struct kdnet_opener *kdnet)
{
    kdnet->resolve_at = uv_now(kdnet->endpoint->loop) +
                        (kdnet->bridge.up ? LOOK_AGAIN_IN_SESSION_MS : LOOK_AGAIN_MS);
}

static void come_up(struct kdnet_opener *kdnet);
static int resolve(struct kdnet_opener *kdnet);

static void on_timer(uv_timer_t *timer)
{
    struct kdnet_opener *kdnet = timer->data;
    kdnet_bridge_tick(&kdnet->bridge, now_us());
    come_up(kdnet);
    if (!is_host(kdnet->endpoint) && uv_now(timer->loop) >= kdnet->resolve_at)
        resolve(kdnet); /* if not now, then later */
    pump(kdnet);
}

/* ---- the channel ---- */

static int write_channel(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct kdnet_opener *kdnet = channel->driver_context;
    kdnet_bridge_feed(&kdnet->bridge, now_us(), bytes, size);
    pump(kdnet);
    return 0; /* nothing waits: what the bridge cannot take on, its sender sends again */
}

static void resume_channel(struct channel *channel)
{
    struct kdnet_opener *kdnet = channel->driver_context;
    uv_timer_start(&kdnet->timer, on_timer, 0, 0);
}

static bool close_channel(struct channel *channel)
{
    struct kdnet_opener *kdnet = channel->driver_context;
    if (kdnet->channel == channel)
        kdnet->channel = NULL;
    return true;
}

static const struct channel_driver driver = {
    .write = write_channel,
    .resume = resume_channel,
    .close = close_channel,
};

/* Makes the channel, if there is a session and none yet. */
static void come_up(struct kdnet_opener *kdnet)
{
    struct endpoint *endpoint = kdnet->endpoint;
    if (kdnet->channel || !kdnet->bridge.up || endpoint->state != ENDPOINT_OPENING)
        return;
    char address[128], peer[ENDPOINT_MESSAGE_MAX];
    struct sockaddr_storage remote;
    kdnet->channel = channel_new_driven(endpoint->loop, &driver, kdnet);
    if (!kdnet->channel)
        return; /* the next datagram tries again */
    from_kdnet(kdnet, &remote, &kdnet->bridge.session.peer);
    address_text(&remote, address, sizeof(address));
    snprintf(peer, sizeof(peer), "%.120s, KDNET version %u", address,
             kdnet->bridge.session.version);
    kdnet->told_foreign = false;
    endpoint_opened(endpoint, kdnet->channel, peer);
}

/* ---- datagrams ---- */

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct kdnet_opener *kdnet = handle->data;
    (void)suggested;
    *buffer = uv_buf_init((char *)kdnet->in, sizeof(kdnet->in));
}

/* Says once what a person with two different keys needs to know. */
static void look_for_foreign(struct kdnet_opener *kdnet, uint64_t before)
{
    char address[128];
    if (kdnet->told_foreign || kdnet->bridge.up ||
        kdnet->bridge.session.stats.not_authentic == before)
        return;
    kdnet->told_foreign = true;
    address_text(&kdnet->remote, address, sizeof(address));
    endpoint_say(kdnet->endpoint, ENDPOINT_WARNING,
                 "%.200s: datagrams of %.100s are not made with our key, and are dropped; compare "
                 "the keys of both sides",
                 kdnet->endpoint->where, address);
}

static void on_session(struct kdnet_opener *kdnet, enum kdnet_bridge_news news)
{
    if (news == KDNET_BRIDGE_AGAIN && kdnet->channel)
        kdnet->channel->on.gone(kdnet->channel, is_host(kdnet->endpoint)
                                                    ? "the target has restarted"
                                                    : "the debugger has restarted");
    if (news != KDNET_BRIDGE_NOTHING)
        come_up(kdnet);
}

static void on_datagram(uv_udp_t *udp, ssize_t count, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags)
{
    struct kdnet_opener *kdnet = udp->data;
    struct kdnet_address address;
    (void)buffer;
    if (count == UV_ECONNREFUSED)
        on_refused(kdnet);
    if (count <= 0 || !from || (flags & UV_UDP_PARTIAL))
        return;
    memcpy(&kdnet->remote, from,
           from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    to_kdnet(&address, &kdnet->remote);
    tell_datagram(kdnet, false, &kdnet->remote, kdnet->in, (size_t)count);
    put_off_resolving(kdnet);
    uint64_t foreign = kdnet->bridge.session.stats.not_authentic;
    on_session(kdnet,
               kdnet_bridge_receive(&kdnet->bridge, now_us(), &address, kdnet->in, (size_t)count));
    if (!kdnet->bridge_open)
        return;
    look_for_foreign(kdnet, foreign);
    pump(kdnet);
}

/* ---- opening ---- */

static int open_bridge(struct kdnet_opener *kdnet, const struct sockaddr_storage *host)
{
    const struct endpoint_spec *spec = &kdnet->endpoint->spec;
    struct kdnet_session_config config = {
        .role = is_host(kdnet->endpoint) ? KD_ROLE_DEBUGGER : KD_ROLE_TARGET,
        .key = spec->key,
        .version = spec->version,
    };
    if (host) {
        to_kdnet(&config.host, host);
        to_kdnet(&config.self, &kdnet->local);
    }
    int rc = kdnet_bridge_init(&kdnet->bridge, &config);
    kdnet_key_wipe(&config.key);
    kdnet->bridge_open = rc >= 0;
    if (rc >= 0)
        kdnet_bridge_start(&kdnet->bridge, now_us());
    return rc;
}

static void on_udp_closed(uv_handle_t *handle)
{
    struct kdnet_opener *kdnet = handle->data;
    endpoint_release(kdnet->endpoint);
}

static int open_udp(struct kdnet_opener *kdnet)
{
    int rc = uv_udp_init(kdnet->endpoint->loop, &kdnet->udp);
    if (rc < 0)
        return rc;
    kdnet->udp.data = kdnet;
    kdnet->udp_open = true;
    endpoint_hold(kdnet->endpoint);
    return 0;
}

static void close_udp(struct kdnet_opener *kdnet)
{
    if (kdnet->udp_open)
        uv_close((uv_handle_t *)&kdnet->udp, on_udp_closed);
    kdnet->udp_open = false;
}

static int bind_udp(void *udp, const struct sockaddr *address)
{
    return uv_udp_bind(udp, address, 0);
}

static int prepare_host(struct kdnet_opener *kdnet, char *message)
{
    struct endpoint *endpoint = kdnet->endpoint;
    int rc = open_udp(kdnet);
    if (rc >= 0)
        rc = bind_own_address(endpoint, SOCK_DGRAM, bind_udp, &kdnet->udp);
    if (rc >= 0)
        rc = uv_udp_recv_start(&kdnet->udp, give_buffer, on_datagram);
    if (rc < 0) {
        close_udp(kdnet);
        return listen_error(endpoint, rc, message);
    }
    note_local(kdnet);
    note_actual_port(endpoint, &kdnet->local);
    rc = open_bridge(kdnet, NULL);
    if (rc < 0)
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.300s: %s", endpoint->where, kd_error_text(rc));
    else
        endpoint_say(endpoint, ENDPOINT_LISTENING, "%.480s", endpoint->where);
    return rc;
}

static int prepare_kdnet(struct endpoint *endpoint, char *message)
{
    struct kdnet_opener *kdnet = (struct kdnet_opener *)endpoint->opener;
    kdnet->endpoint = endpoint;
    if (!endpoint->spec.has_key) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "%.300s: no key; name a file with it (key-file=PATH), or set KDWIRE_KDNET_KEY; "
                 "'kdwire genkey' makes one",
                 endpoint->where);
        return KD_E_ARGUMENT;
    }
    uv_timer_init(endpoint->loop, &kdnet->timer);
    kdnet->timer.data = kdnet;
    kdnet->timer_open = true;
    endpoint_hold(endpoint);
    return is_host(endpoint) ? prepare_host(kdnet, message) : KD_OK;
}

/* The socket is connected: only the debugger's datagrams come, and its system tells when nobody is
 * there. */
static int connect_target(struct kdnet_opener *kdnet, const struct sockaddr *host)
{
    struct sockaddr_storage remote;
    int rc = open_udp(kdnet);
    if (rc >= 0)
        rc = uv_udp_connect(&kdnet->udp, host);
    if (rc >= 0)
        rc = uv_udp_recv_start(&kdnet->udp, give_buffer, on_datagram);
    if (rc < 0)
        return rc;
    note_local(kdnet);
    memset(&remote, 0, sizeof(remote));
    memcpy(&remote, host,
           host->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    return open_bridge(kdnet, &remote) < 0 ? UV_ENOTSUP : 0;
}

static void target_failed(struct kdnet_opener *kdnet, int error)
{
    char reason[ENDPOINT_MESSAGE_MAX];
    close_udp(kdnet);
    snprintf(reason, sizeof(reason), "%.300s: %s", kdnet->endpoint->where, uv_strerror(error));
    endpoint_failed(kdnet->endpoint, reason);
}

static bool is_among(const struct kdnet_address *wanted, const struct addrinfo *addresses)
{
    for (; addresses; addresses = addresses->ai_next) {
        struct kdnet_address address;
        struct sockaddr_storage storage = {0};
        memcpy(&storage, addresses->ai_addr, addresses->ai_addrlen);
        to_kdnet(&address, &storage);
        if (!memcmp(address.ip, wanted->ip, sizeof(address.ip)))
            return true;
    }
    return false;
}

/* The debugger has another address of the same family: on with the same socket. */
static void move_target(struct kdnet_opener *kdnet, const struct addrinfo *address)
{
    struct kdnet_address host, self;
    struct sockaddr_storage storage = {0};
    char text[128];
    memcpy(&storage, address->ai_addr, address->ai_addrlen);
    uv_udp_connect(&kdnet->udp, NULL);
    if (uv_udp_connect(&kdnet->udp, address->ai_addr) < 0)
        return; /* looked up again later */
    note_local(kdnet);
    to_kdnet(&host, &storage);
    to_kdnet(&self, &kdnet->local);
    kdnet_session_move(&kdnet->bridge.session, now_us(), &host, &self);
    kdnet->told_refused = false;
    address_text(&storage, text, sizeof(text));
    endpoint_say(kdnet->endpoint, ENDPOINT_RETRYING, "%.300s is at %.100s now",
                 kdnet->endpoint->where, text);
    pump(kdnet);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct kdnet_opener *kdnet = request->data;
    struct endpoint *endpoint = kdnet->endpoint;
    kdnet->resolving = false;
    put_off_resolving(kdnet);
    if (kdnet->bridge_open) {
        if (status >= 0 && !is_among(&kdnet->bridge.session.config.host, addresses))
            move_target(kdnet, addresses);
    } else if (endpoint->state == ENDPOINT_OPENING) {
        if (status >= 0)
            status = connect_target(kdnet, addresses->ai_addr);
        if (status < 0)
            target_failed(kdnet, status);
        else
            pump(kdnet);
    }
    uv_freeaddrinfo(addresses);
    endpoint_release(endpoint);
}

static int resolve(struct kdnet_opener *kdnet)
{
    struct endpoint *endpoint = kdnet->endpoint;
    struct addrinfo hints;
    char port[8];
    if (kdnet->resolving)
        return 0;
    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_DGRAM;
    if (kdnet->bridge_open) /* of the socket that is there */
        hints.ai_family = kdnet->local.ss_family;
    snprintf(port, sizeof(port), "%u", endpoint->spec.port);
    kdnet->resolve.data = kdnet;
    int rc = uv_getaddrinfo(endpoint->loop, &kdnet->resolve, on_resolved, endpoint->spec.host, port,
                            &hints);
    if (rc < 0)
        return rc;
    kdnet->resolving = true;
    endpoint_hold(endpoint);
    return 0;
}

/* Once its bridge is open, an endpoint is only waited for; if its channel was dropped, a new one
 * comes at once. */
static void attempt_kdnet(struct endpoint *endpoint)
{
    struct kdnet_opener *kdnet = (struct kdnet_opener *)endpoint->opener;
    if (kdnet->bridge_open) {
        uv_timer_start(&kdnet->timer, on_timer, 0, 0);
        return;
    }
    int rc = resolve(kdnet);
    if (rc < 0)
        target_failed(kdnet, rc);
}

static void too_slow(struct endpoint *endpoint)
{
    bool own = !strcmp(endpoint->spec.host, "127.0.0.1");
    if (!is_host(endpoint))
        endpoint_say(endpoint, ENDPOINT_RETRYING,
                     "%.300s: no answer yet; does WinDbg wait there with this port and key, and "
                     "does its firewall let UDP port %u pass?",
                     endpoint->where, endpoint->spec.port);
    else
        endpoint_say(endpoint, ENDPOINT_RETRYING, "%.300s: no target has come yet%s",
                     endpoint->where,
                     own ? "; those on other machines can come with bind=* only"
                         : "; does the firewall let its datagrams pass?");
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct kdnet_opener *kdnet = handle->data;
    endpoint_release(kdnet->endpoint);
}

static void close_kdnet(struct endpoint *endpoint)
{
    struct kdnet_opener *kdnet = (struct kdnet_opener *)endpoint->opener;
    if (kdnet->resolving)
        uv_cancel((uv_req_t *)&kdnet->resolve);
    close_udp(kdnet);
    if (kdnet->bridge_open)
        kdnet_bridge_close(&kdnet->bridge);
    kdnet->bridge_open = false;
    if (kdnet->timer_open)
        uv_close((uv_handle_t *)&kdnet->timer, on_timer_closed);
    kdnet->timer_open = false;
    kdnet_key_wipe(&endpoint->spec.key);
}

const struct kdnet_stats *endpoint_kdnet_stats(const struct endpoint *endpoint)
{
    const struct kdnet_opener *kdnet = (const struct kdnet_opener *)endpoint->opener;
    if (!endpoint_spec_needs_key(&endpoint->spec) || !kdnet)
        return NULL;
    return &kdnet->bridge.session.stats;
}

static const struct opener_operations kdnet_operations = {
    .prepare = prepare_kdnet,
    .attempt = attempt_kdnet,
    .too_slow = too_slow,
    .close = close_kdnet,
};

struct opener *opener_kdnet(void)
{
    struct kdnet_opener *kdnet = calloc(1, sizeof(*kdnet));
    if (!kdnet)
        return NULL;
    kdnet->opener.operations = &kdnet_operations;
    return &kdnet->opener;
}
