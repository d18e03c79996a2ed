/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of an endpoint; the table is in endpoint.h. What differs between kinds is behind
 * struct opener_operations.
 *
 * A second peer at a listening end (the first is connected):
 *
 *   replace=   event                                      what happens
 *   never      second peer                                refused
 *   newest     second peer                                takes over
 *   dead       second peer                                waits as the rival; the first is probed
 *   dead       third peer while a rival waits             refused
 *   dead       first gives a sign of life                 the rival is refused
 *   dead       first is gone, stuck or silent too long    the rival takes over
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opener.h"

static void begin_attempt(struct endpoint *endpoint);

void endpoint_say(struct endpoint *endpoint, enum endpoint_notice what, const char *format, ...)
{
    if (!endpoint->on.notice)
        return;
    char text[ENDPOINT_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    endpoint->on.notice(endpoint, what, text);
}

void endpoint_hold(struct endpoint *endpoint)
{
    endpoint->open_handles++;
}

void endpoint_release(struct endpoint *endpoint)
{
    if (--endpoint->open_handles || endpoint->state != ENDPOINT_CLOSING)
        return;
    free(endpoint->opener);
    endpoint->opener = NULL;
    endpoint->state = ENDPOINT_CLOSED;
    if (endpoint->closed)
        endpoint->closed(endpoint);
}

static void on_timer_closed(uv_handle_t *handle)
{
    endpoint_release(handle->data);
}

void endpoint_init(uv_loop_t *loop, struct endpoint *endpoint, const struct endpoint_spec *spec,
                   const struct endpoint_callbacks *callbacks, void *context)
{
    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->loop = loop;
    endpoint->spec = *spec;
    endpoint->on = *callbacks;
    endpoint->context = context;
    endpoint->state = ENDPOINT_IDLE;
    endpoint->pause = ENDPOINT_PAUSE_FIRST_MS;
    uv_timer_init(loop, &endpoint->timer);
    uv_timer_init(loop, &endpoint->probe_timer);
    endpoint->timer.data = endpoint;
    endpoint->probe_timer.data = endpoint;
    endpoint_hold(endpoint);
    endpoint_hold(endpoint);
    endpoint_spec_text(spec, endpoint->where, sizeof(endpoint->where));
}

static struct opener *make_opener(enum endpoint_kind kind)
{
    switch (kind) {
    case ENDPOINT_TCP:
    case ENDPOINT_UNIX:
        return opener_connect();
    case ENDPOINT_TCP_LISTEN:
    case ENDPOINT_UNIX_LISTEN:
        return opener_listen();
    case ENDPOINT_KDNET_HOST:
    case ENDPOINT_KDNET_TARGET:
        return opener_kdnet();
    default:
        return platform_opener(kind);
    }
}

int endpoint_open(struct endpoint *endpoint, char message[ENDPOINT_MESSAGE_MAX])
{
    message[0] = '\0';
    platform_ignore_sigpipe();
    if (endpoint->state != ENDPOINT_IDLE)
        return KD_E_BUSY;
    if (!endpoint->opener)
        endpoint->opener = make_opener(endpoint->spec.kind);
    if (!endpoint->opener) {
        snprintf(message, ENDPOINT_MESSAGE_MAX, "%.300s: out of memory", endpoint->where);
        return KD_E_NO_MEMORY;
    }
    const struct opener_operations *operations = endpoint->opener->operations;
    if (operations->prepare) {
        int rc = operations->prepare(endpoint, message);
        if (rc < 0)
            return rc;
    }
    if (endpoint_spec_listens(&endpoint->spec))
        endpoint_say(endpoint, ENDPOINT_LISTENING, "%.480s", endpoint->where);
    begin_attempt(endpoint);
    return KD_OK;
}

static void on_timer(uv_timer_t *timer)
{
    struct endpoint *endpoint = timer->data;
    if (endpoint->state == ENDPOINT_PAUSE)
        begin_attempt(endpoint);
    else if (endpoint->state == ENDPOINT_OPENING && endpoint->opener->operations->too_slow)
        endpoint->opener->operations->too_slow(endpoint);
}

static void begin_attempt(struct endpoint *endpoint)
{
    endpoint->state = ENDPOINT_OPENING;
    uv_timer_start(&endpoint->timer, on_timer, ENDPOINT_ATTEMPT_MS, 0);
    if (endpoint->opener->operations->attempt)
        endpoint->opener->operations->attempt(endpoint);
}

static bool tries_again(const struct endpoint *endpoint)
{
    return endpoint->spec.retry > 0 && endpoint->spec.kind != ENDPOINT_STDIO;
}

static void end_endpoint(struct endpoint *endpoint, const char *reason)
{
    endpoint->state = ENDPOINT_ENDED;
    uv_timer_stop(&endpoint->timer);
    if (endpoint->on.ended)
        endpoint->on.ended(endpoint, reason);
}

static void pause_before_attempt(struct endpoint *endpoint)
{
    uint64_t longest = (uint64_t)endpoint->spec.retry * 1000;
    endpoint->state = ENDPOINT_PAUSE;
    uv_timer_start(&endpoint->timer, on_timer, endpoint->pause, 0);
    endpoint->pause *= 2;
    if (endpoint->pause > longest)
        endpoint->pause = longest;
}

void endpoint_failed(struct endpoint *endpoint, const char *reason)
{
    if (endpoint->state != ENDPOINT_OPENING)
        return;
    if (!tries_again(endpoint)) {
        end_endpoint(endpoint, reason);
        return;
    }
    bool said = !strncmp(endpoint->said, reason, sizeof(endpoint->said) - 1);
    snprintf(endpoint->said, sizeof(endpoint->said), "%s", reason);
    pause_before_attempt(endpoint);
    if (!said)
        endpoint_say(endpoint, ENDPOINT_RETRYING, "%.400s", reason);
}

void endpoint_gives_up(struct endpoint *endpoint, const char *reason)
{
    if (endpoint->state == ENDPOINT_OPENING)
        end_endpoint(endpoint, reason);
}

static void stop_probe(struct endpoint *endpoint)
{
    uv_timer_stop(&endpoint->probe_timer);
    if (endpoint->channel)
        platform_probe_end(&endpoint->channel->in.stream, endpoint->spec.keepalive);
}

static void refuse(struct endpoint *endpoint, struct channel *channel, const char *peer)
{
    channel_close(channel);
    endpoint_say(endpoint, ENDPOINT_REFUSED, "%.200s was turned away: %.200s is connected", peer,
                 endpoint->peer);
}

/* After down: what comes next. */
static void go_on(struct endpoint *endpoint, const char *reason)
{
    if (endpoint->state != ENDPOINT_PAUSE) /* closed by a callback */
        return;
    struct channel *rival = endpoint->rival;
    if (rival) {
        endpoint->rival = NULL;
        endpoint->state = ENDPOINT_OPENING;
        endpoint_opened(endpoint, rival, endpoint->rival_peer);
    } else if (endpoint_spec_waits(&endpoint->spec)) { /* ready again at once */
        begin_attempt(endpoint);
    } else if (tries_again(endpoint)) {
        pause_before_attempt(endpoint);
    } else {
        end_endpoint(endpoint, reason);
    }
}

static void lose_channel(struct endpoint *endpoint, const char *reason)
{
    struct channel *channel = endpoint->channel;
    size_t unsent = channel_unsent(channel);
    uv_timer_stop(&endpoint->probe_timer);
    endpoint->channel = NULL;
    endpoint->state = ENDPOINT_PAUSE;
    if (uv_now(endpoint->loop) - endpoint->up_since >= ENDPOINT_STEADY_MS)
        endpoint->pause = ENDPOINT_PAUSE_FIRST_MS;
    channel_close(channel);
    if (endpoint->opener->operations->lost)
        endpoint->opener->operations->lost(endpoint);
    endpoint->peer[0] = '\0';
    if (endpoint->on.down)
        endpoint->on.down(endpoint, reason, unsent);
    go_on(endpoint, reason);
}

static void on_data(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct endpoint *endpoint = channel->context;
    endpoint->pause = ENDPOINT_PAUSE_FIRST_MS;
    if (endpoint->on.data)
        endpoint->on.data(endpoint, bytes, size);
}

static void on_gone(struct channel *channel, const char *reason)
{
    lose_channel(channel->context, reason);
}

static void on_drained(struct channel *channel)
{
    struct endpoint *endpoint = channel->context;
    if (endpoint->on.drained)
        endpoint->on.drained(endpoint);
}

static void on_channel_closed(struct channel *channel)
{
    endpoint_release(channel->context);
}

static const struct channel_callbacks channel_callbacks = {
    .data = on_data,
    .gone = on_gone,
    .drained = on_drained,
    .closed = on_channel_closed,
};

void endpoint_opened(struct endpoint *endpoint, struct channel *channel, const char *peer)
{
    if (endpoint->state != ENDPOINT_OPENING) {
        channel_close(channel);
        return;
    }
    uv_timer_stop(&endpoint->timer);
    endpoint->state = ENDPOINT_UP;
    endpoint->channel = channel;
    endpoint->up_since = uv_now(endpoint->loop);
    endpoint->said[0] = '\0';
    if (peer != endpoint->peer)
        snprintf(endpoint->peer, sizeof(endpoint->peer), "%s", peer);
    channel->paused = endpoint->paused;
    endpoint_hold(endpoint);
    int rc = channel_start(channel, &channel_callbacks, endpoint);
    if (endpoint->on.up)
        endpoint->on.up(endpoint, endpoint->peer);
    if (rc < 0 && endpoint->channel == channel)
        lose_channel(endpoint, uv_strerror(rc));
}

static void replace(struct endpoint *endpoint, struct channel *channel, const char *peer,
                    const char *why)
{
    char reason[ENDPOINT_MESSAGE_MAX];
    endpoint->rival = channel;
    if (peer != endpoint->rival_peer)
        snprintf(endpoint->rival_peer, sizeof(endpoint->rival_peer), "%s", peer);
    snprintf(reason, sizeof(reason), "%s; %.200s takes its place", why, endpoint->rival_peer);
    endpoint_say(endpoint, ENDPOINT_REPLACED, "%.200s %.270s", endpoint->peer, reason);
    if (endpoint->channel && endpoint->rival)
        lose_channel(endpoint, reason);
}

static bool is_stuck(const struct endpoint *endpoint)
{
    const struct channel *channel = endpoint->channel;
    return channel_queued(channel) &&
           uv_now(endpoint->loop) - channel->progress > ENDPOINT_STUCK_MS;
}

static void on_probe(uv_timer_t *timer)
{
    struct endpoint *endpoint = timer->data;
    uint64_t age = uv_now(endpoint->loop) - endpoint->probe_started;
    enum liveness liveness = platform_liveness(&endpoint->channel->in.stream, endpoint->probe_mark);
    if (liveness == LIVENESS_UNKNOWN && age < ENDPOINT_PROBE_MS)
        return;
    struct channel *rival = endpoint->rival;
    endpoint->rival = NULL;
    stop_probe(endpoint);
    if (is_stuck(endpoint))
        replace(endpoint, rival, endpoint->rival_peer, "reads nothing any more");
    else if (liveness == LIVENESS_ALIVE)
        refuse(endpoint, rival, endpoint->rival_peer);
    else
        replace(endpoint, rival, endpoint->rival_peer, "is gone without a word");
}

static void challenge(struct endpoint *endpoint, struct channel *channel, const char *peer)
{
    endpoint->rival = channel;
    snprintf(endpoint->rival_peer, sizeof(endpoint->rival_peer), "%s", peer);
    uv_update_time(endpoint->loop);
    endpoint->probe_started = uv_now(endpoint->loop);
    endpoint->probe_mark = platform_probe_begin(&endpoint->channel->in.stream);
    uv_timer_start(&endpoint->probe_timer, on_probe, ENDPOINT_PROBE_STEP_MS,
                   ENDPOINT_PROBE_STEP_MS);
}

void endpoint_accepted(struct endpoint *endpoint, struct channel *channel, const char *peer)
{
    if (endpoint->on.accepted)
        endpoint->on.accepted(endpoint, channel, peer);
    else if (endpoint->state != ENDPOINT_UP)
        endpoint_opened(endpoint, channel, peer);
    else if (endpoint->spec.replace == ENDPOINT_REPLACE_NEVER || endpoint->rival)
        refuse(endpoint, channel, peer);
    else if (endpoint->spec.replace == ENDPOINT_REPLACE_NEWEST)
        replace(endpoint, channel, peer, "had to go");
    else
        challenge(endpoint, channel, peer);
}

int endpoint_write(struct endpoint *endpoint, const uint8_t *bytes, size_t size)
{
    if (!endpoint->channel)
        return KD_E_CLOSED;
    return channel_write(endpoint->channel, bytes, size);
}

size_t endpoint_queued(const struct endpoint *endpoint)
{
    return endpoint->channel ? channel_queued(endpoint->channel) : 0;
}

bool endpoint_is_up(const struct endpoint *endpoint)
{
    return endpoint->state == ENDPOINT_UP;
}

void endpoint_pause(struct endpoint *endpoint)
{
    endpoint->paused = true;
    if (endpoint->channel)
        channel_pause(endpoint->channel);
}

void endpoint_resume(struct endpoint *endpoint)
{
    endpoint->paused = false;
    if (endpoint->channel)
        channel_resume(endpoint->channel);
}

void endpoint_drop(struct endpoint *endpoint, const char *reason)
{
    if (endpoint->channel)
        lose_channel(endpoint, reason);
}

const char *endpoint_where(const struct endpoint *endpoint)
{
    return endpoint->where;
}

const char *endpoint_peer(const struct endpoint *endpoint)
{
    return endpoint->peer;
}

void endpoint_close(struct endpoint *endpoint, endpoint_close_cb closed)
{
    endpoint->closed = closed;
    endpoint->state = ENDPOINT_CLOSING;
    endpoint_hold(endpoint); /* until everything below has begun */
    if (endpoint->channel)
        channel_close(endpoint->channel);
    if (endpoint->rival)
        channel_close(endpoint->rival);
    endpoint->channel = endpoint->rival = NULL;
    if (endpoint->opener && endpoint->opener->operations->close)
        endpoint->opener->operations->close(endpoint);
    uv_close((uv_handle_t *)&endpoint->timer, on_timer_closed);
    uv_close((uv_handle_t *)&endpoint->probe_timer, on_timer_closed);
    endpoint_release(endpoint);
}
