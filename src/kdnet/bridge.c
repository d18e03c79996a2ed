/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables are in bridge.h. */
#include "kdnet/bridge.h"

#include <string.h>

#include "kdwire/error.h"

static bool is_target(const struct kdnet_bridge *bridge)
{
    return bridge->session.config.role == KD_ROLE_TARGET;
}

static struct kd_link *other_link(struct kdnet_bridge *bridge, const struct kd_link *link)
{
    return link == &bridge->net ? &bridge->serial : &bridge->net;
}

/* The link that leads to the debugger has the role of a target. */
static bool leads_to_debugger(const struct kdnet_bridge *bridge, const struct kd_link *link)
{
    return (link == &bridge->net) == is_target(bridge);
}

static void init_link(struct kd_link *link, enum kd_role role, enum kd_framing framing)
{
    struct kd_link_config config = {.role = role, .framing = framing, .late_ack = true};

    if (framing == KD_FRAMING_KDNET) {
        config.ack_timeout_us = KDNET_ACK_TIMEOUT_US;
        config.retries = KDNET_RETRIES;
    }
    kd_link_init(link, &config);
    kd_link_expect(link, KD_LINK_ANY_TYPE);
}

int kdnet_bridge_init(struct kdnet_bridge *bridge, const struct kdnet_session_config *config)
{
    bool target = config->role == KD_ROLE_TARGET;

    memset(bridge, 0, sizeof(*bridge));
    init_link(&bridge->net, config->role, KD_FRAMING_KDNET);
    init_link(&bridge->serial, target ? KD_ROLE_DEBUGGER : KD_ROLE_TARGET, KD_FRAMING_SERIAL);
    return kdnet_session_init(&bridge->session, config);
}

void kdnet_bridge_close(struct kdnet_bridge *bridge)
{
    kdnet_session_close(&bridge->session);
}

void kdnet_bridge_start(struct kdnet_bridge *bridge, uint64_t now)
{
    bridge->now = now;
    if (is_target(bridge))
        kdnet_session_start(&bridge->session, now);
}

/* ---- passing on ---- */

/* Whether this is the request that the target is working on, asked again by an impatient debugger.
 * Remembers it if it is not. */
static bool is_asked_again(struct kdnet_bridge *bridge, const struct kd_link_event *event)
{
    const struct kd_api_info *api;

    if (event->type != KD_PACKET_STATE_MANIPULATE)
        return false;
    if (bridge->asked && bridge->now - bridge->asked_at < KDNET_REASK_US &&
        bridge->request_size == event->body_size &&
        !memcmp(bridge->request, event->body, event->body_size)) {
        bridge->stats.reasked++;
        return true;
    }
    api = kd_api_info(kd_get_u32(event->body)); /* the link let no shorter body through */
    bridge->asked = api && api->has_reply && event->body_size <= sizeof(bridge->request);
    if (bridge->asked) {
        bridge->asked_at = bridge->now;
        bridge->request_size = event->body_size;
        memcpy(bridge->request, event->body, event->body_size);
    }
    return false;
}

static void pass_on(struct kdnet_bridge *bridge, struct kd_link *from,
                    const struct kd_link_event *event)
{
    struct kd_link *to = other_link(bridge, from);

    if (kd_link_is_sending(to, event->type, event->body, event->body_size))
        return;
    if (leads_to_debugger(bridge, from)) {
        if (is_asked_again(bridge, event)) {
            kd_link_take(from, bridge->now);
            return;
        }
    } else if (event->type == KD_PACKET_STATE_MANIPULATE) {
        bridge->asked = false;
    }
    if (from == &bridge->serial)
        bridge->serial_used = true;
    kd_link_abandon(to);
    kd_link_send(to, bridge->now, event->type, event->body, event->body_size, NULL, 0);
    bridge->stats.packets[to == &bridge->serial]++;
}

/*
 * The target of the stream has restarted. A debugger on KDNET learns that by a new session, as when
 * Windows boots; not for the first packet of a session, though, which always looks like that.
 */
static void target_restarted(struct kdnet_bridge *bridge, struct kd_link *from)
{
    bridge->asked = false;
    kd_link_abandon(other_link(bridge, from));
    if (from != &bridge->serial || !bridge->serial_used)
        return;
    bridge->own_restart = true;
    bridge->serial_used = false;
    kd_link_restart(&bridge->net);
    bridge->net_used = false;
    kdnet_session_start(&bridge->session, bridge->now);
}

static void on_event(struct kdnet_bridge *bridge, struct kd_link *link,
                     const struct kd_link_event *event)
{
    struct kd_link *other = other_link(bridge, link);

    switch (event->kind) {
    case KD_LINK_PACKET:
        pass_on(bridge, link, event);
        break;
    case KD_LINK_ACKED:
        kd_link_take(other, bridge->now);
        break;
    case KD_LINK_DROPPED:
    case KD_LINK_LOST:
        bridge->asked = false; /* nobody works on it: the same request again is to be passed on */
        kd_link_refuse(other);
        break;
    case KD_LINK_RESEND_STOP:
        bridge->asked = false;
        kd_link_send_reset(other, bridge->now);
        break;
    case KD_LINK_RESTARTED:
        target_restarted(bridge, link);
        break;
    case KD_LINK_BREAK_IN:
        kd_link_send_break_in(other, bridge->now);
        break;
    default:
        break;
    }
}

/* An event of one link never makes an event of the other by itself, so one after the other will
 * do. */
static void pump(struct kdnet_bridge *bridge)
{
    struct kd_link *const links[] = {&bridge->net, &bridge->serial};
    struct kd_link_event event;

    for (unsigned i = 0; i < 2; i++)
        while (kd_link_event(links[i], &event))
            on_event(bridge, links[i], &event);
}

static void feed(struct kdnet_bridge *bridge, struct kd_link *link, const uint8_t *bytes,
                 size_t size)
{
    size_t used = 0;

    do {
        used += kd_link_feed(link, bridge->now, bytes + used, size - used);
        pump(bridge);
    } while (used < size);
}

void kdnet_bridge_feed(struct kdnet_bridge *bridge, uint64_t now, const uint8_t *bytes, size_t size)
{
    bridge->now = now;
    feed(bridge, &bridge->serial, bytes, size);
}

/* ---- the network side ---- */

/* One packet, whole and alone: what a link can take without waiting for more. */
static bool is_packet(const uint8_t *payload, size_t size)
{
    struct kd_header header;

    if (size < KD_HEADER_SIZE)
        return false;
    kd_header_get(&header, payload);
    return (header.leader == KD_LEADER_DATA || header.leader == KD_LEADER_CONTROL) &&
           header.byte_count == size - KD_HEADER_SIZE;
}

static void take_payload(struct kdnet_bridge *bridge, const uint8_t *payload, size_t size)
{
    if (is_packet(payload, size) || (size == 1 && payload[0] == KD_BREAK_IN_BYTE))
        feed(bridge, &bridge->net, payload, size);
    else if (size == KDNET_CONNECTION_CHECK_SIZE && !is_target(bridge))
        bridge->stats.checks++;
    else
        bridge->stats.odd++;
}

/* Both ends of the network start with new ids. The stream's end is a new one, too, if it is the
 * target that has restarted; a target of the stream keeps its ids, and its packet under way is
 * passed on again when it repeats it. */
static enum kdnet_bridge_news begin_session(struct kdnet_bridge *bridge)
{
    bool own = bridge->own_restart;
    enum kdnet_bridge_news news = !bridge->up ? KDNET_BRIDGE_UP : KDNET_BRIDGE_AGAIN;

    bridge->own_restart = false;
    bridge->asked = false;
    if (bridge->net_used)
        kd_link_restart(&bridge->net);
    if (!is_target(bridge)) {
        kd_link_restart(&bridge->serial);
    } else if (bridge->net_used) {
        kd_link_refuse(&bridge->serial);
        kd_link_abandon(&bridge->serial);
    }
    bridge->net_used = false;
    bridge->serial_used = bridge->serial_used && own;
    bridge->up = true;
    return own ? KDNET_BRIDGE_NOTHING : news;
}

enum kdnet_bridge_news kdnet_bridge_receive(struct kdnet_bridge *bridge, uint64_t now,
                                            const struct kdnet_address *from, const uint8_t *bytes,
                                            size_t size)
{
    enum kdnet_bridge_news result = KDNET_BRIDGE_NOTHING;
    const uint8_t *payload;
    size_t payload_size;

    bridge->now = now;
    unsigned news =
        kdnet_session_receive(&bridge->session, now, from, bytes, size, &payload, &payload_size);
    if (news & KDNET_NEWS_NEW)
        result = begin_session(bridge);
    if (news & KDNET_NEWS_NUDGE)
        bridge->check_due = true;
    if (news & KDNET_NEWS_PAYLOAD)
        take_payload(bridge, payload, payload_size);
    return result;
}

static size_t send_payload(struct kdnet_bridge *bridge, const uint8_t *payload, size_t size,
                           struct kdnet_address *to, uint8_t *out)
{
    int written = kdnet_session_send(&bridge->session, payload, size, out);
    *to = bridge->session.peer;
    return written < 0 ? 0 : (size_t)written;
}

static size_t check_datagram(struct kdnet_bridge *bridge, struct kdnet_address *to, uint8_t *out)
{
    uint8_t payload[KDNET_CONNECTION_CHECK_SIZE];

    bridge->check_due = false;
    kdnet_session_check(&bridge->session, payload);
    return send_payload(bridge, payload, sizeof(payload), to, out);
}

/* The link writes control packets and a data packet in one run; a datagram carries one of them. */
static size_t first_packet(const uint8_t *bytes, size_t size)
{
    size_t wanted = bytes[0] == KD_BREAK_IN_BYTE ? 1 : KD_HEADER_SIZE + kd_get_u16(bytes + 6);
    return wanted < size ? wanted : size;
}

size_t kdnet_bridge_datagram(struct kdnet_bridge *bridge, uint64_t now, struct kdnet_address *to,
                             uint8_t out[KDNET_DATAGRAM_MAX])
{
    const uint8_t *bytes;
    bool open = bridge->session.state == KDNET_OPEN;

    bridge->now = now;
    /* The check goes before a poke: a debugger that has missed the first check would answer the
     * poke, and the session would begin once more. */
    if (open && bridge->check_due)
        return check_datagram(bridge, to, out);
    size_t size = kdnet_session_output(&bridge->session, to, out);
    if (size || !open)
        return size;
    size = kd_link_output(&bridge->net, &bytes);
    if (!size)
        return 0;
    bridge->net_used = true;
    size = first_packet(bytes, size);
    size_t written = send_payload(bridge, bytes, size, to, out);
    kd_link_written(&bridge->net, now, size);
    return written;
}

/* ---- the stream's side ---- */

size_t kdnet_bridge_output(struct kdnet_bridge *bridge, const uint8_t **bytes)
{
    return kd_link_output(&bridge->serial, bytes);
}

void kdnet_bridge_written(struct kdnet_bridge *bridge, uint64_t now, size_t size)
{
    bridge->now = now;
    kd_link_written(&bridge->serial, now, size);
}

/* ---- time ---- */

void kdnet_bridge_tick(struct kdnet_bridge *bridge, uint64_t now)
{
    bridge->now = now;
    if (kdnet_session_tick(&bridge->session, now) & KDNET_NEWS_NUDGE)
        bridge->check_due = true;
    if (bridge->session.state == KDNET_OPEN)
        kd_link_tick(&bridge->net, now);
    kd_link_tick(&bridge->serial, now);
    pump(bridge);
}

uint64_t kdnet_bridge_deadline(const struct kdnet_bridge *bridge)
{
    uint64_t deadline = kdnet_session_deadline(&bridge->session);
    uint64_t serial = kd_link_deadline(&bridge->serial), net = kd_link_deadline(&bridge->net);

    if (serial < deadline)
        deadline = serial;
    if (bridge->session.state == KDNET_OPEN && net < deadline)
        deadline = net;
    return deadline;
}
