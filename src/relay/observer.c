/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/observer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void announce(struct observers *observers, enum observer_event what, const char *text)
{
    observers->event(observers, what, ENDPOINT_WARNING, text);
}

static size_t observer_queued(const struct observer *observer)
{
    return observer->channel ? channel_queued(observer->channel)
                             : endpoint_queued(&observer->end->endpoint);
}

static int observer_write(struct observer *observer, const uint8_t *bytes, size_t size)
{
    return observer->channel ? channel_write(observer->channel, bytes, size)
                             : endpoint_write(&observer->end->endpoint, bytes, size);
}

/* Moves bytes from the observer's queue to the connection, until that holds so much that its
 * drained callback will come. */
static void push(struct observer *observer)
{
    const uint8_t *bytes;
    size_t size;
    while (observer_queued(observer) <= ENDPOINT_QUEUE_HIGH &&
           (size = capture_live_peek(&observer->live, &bytes)) > 0) {
        if (size > ENDPOINT_READ_MAX)
            size = ENDPOINT_READ_MAX;
        if (observer_write(observer, bytes, size) < 0)
            return; /* gone: its callback comes */
        capture_live_consume(&observer->live, size);
    }
}

static void report_missed(struct observer *observer, uint64_t before)
{
    char text[ENDPOINT_MESSAGE_MAX];
    struct observers *all = observer->end->all;
    all->missed_total += observer->live.missed_total - before;
    if (before) /* told when it began; the stream itself says how many */
        return;
    snprintf(text, sizeof(text), "%.300s reads too slowly and misses records", observer->peer);
    announce(all, OBSERVER_MISSED, text);
}

static int on_begin(struct capture_sink *sink, const uint8_t *preamble, size_t size)
{
    struct observers *observers = (struct observers *)sink;
    observers->preamble = preamble;
    observers->preamble_size = size;
    return KD_OK;
}

static int on_block(struct capture_sink *sink, const uint8_t *block, size_t size, uint64_t time_ns)
{
    struct observers *observers = (struct observers *)sink;
    if (!observers->peers)
        return KD_OK;
    for (unsigned i = 0; i < observers->end_count; i++) {
        for (struct observer *o = observers->ends[i].first; o; o = o->next) {
            uint64_t before = o->live.missed_total;
            o->live.sink.write(&o->live.sink, block, size, time_ns);
            if (o->live.missed_total != before)
                report_missed(o, before);
        }
    }
    observers->dirty = true;
    return KD_OK;
}

int observers_init(struct observers *observers, struct recorder *recorder)
{
    observers->sink.begin = on_begin;
    observers->sink.write = on_block;
    observers->writer = &recorder->writer;
    return recorder_add_sink(recorder, &observers->sink);
}

void observers_push(struct observers *observers)
{
    if (!observers->dirty)
        return;
    observers->dirty = false;
    for (unsigned i = 0; i < observers->end_count; i++)
        for (struct observer *o = observers->ends[i].first; o; o = o->next)
            push(o);
}

size_t observers_queued(const struct observers *observers)
{
    size_t queued = 0;
    for (unsigned i = 0; i < observers->end_count; i++)
        for (const struct observer *o = observers->ends[i].first; o; o = o->next)
            queued += o->live.size + observer_queued(o);
    return queued;
}

static struct observer *add_observer(struct observer_end *end, struct channel *channel,
                                     const char *peer)
{
    struct observers *all = end->all;
    struct observer *observer = calloc(1, sizeof(*observer));
    if (!observer)
        return NULL;
    if (capture_live_init(&observer->live, OBSERVER_QUEUE, all->writer) < 0) {
        free(observer);
        return NULL;
    }
    announce(all, OBSERVER_JOINING, peer);
    observer->end = end;
    observer->channel = channel;
    observer->next = end->first;
    snprintf(observer->peer, sizeof(observer->peer), "%s", peer);
    end->first = observer;
    end->peers++;
    all->peers++;
    observer->live.sink.begin(&observer->live.sink, all->preamble, all->preamble_size);
    announce(all, OBSERVER_UP, peer);
    return observer;
}

static void remove_observer(struct observer *observer)
{
    struct observer_end *end = observer->end;
    struct observer **link = &end->first;
    while (*link && *link != observer)
        link = &(*link)->next;
    if (*link)
        *link = observer->next;
    end->peers--;
    end->all->peers--;
    capture_live_free(&observer->live);
    free(observer);
}

/* ---- peers of a listener ---- */

static void on_peer_data(struct channel *channel, const uint8_t *bytes, size_t size)
{
    (void)channel, (void)bytes, (void)size; /* observers have no say */
}

static void on_peer_gone(struct channel *channel, const char *reason)
{
    struct observer *observer = channel->context;
    struct observers *all = observer->end->all;
    char text[ENDPOINT_MESSAGE_MAX];
    snprintf(text, sizeof(text), "%.250s: %.200s", observer->peer, reason);
    channel_close(channel);
    remove_observer(observer);
    announce(all, OBSERVER_DOWN, text);
}

static void on_peer_drained(struct channel *channel)
{
    push(channel->context);
}

static void on_accepted(struct endpoint *endpoint, struct channel *channel, const char *peer)
{
    static const struct channel_callbacks callbacks = {
        .data = on_peer_data, .gone = on_peer_gone, .drained = on_peer_drained};
    struct observer_end *end = endpoint->context;
    struct observer *observer =
        end->peers < OBSERVER_PEERS_MAX ? add_observer(end, channel, peer) : NULL;
    if (!observer) {
        char text[ENDPOINT_MESSAGE_MAX];
        snprintf(text, sizeof(text), "%.300s was turned away: %d observers are there already", peer,
                 OBSERVER_PEERS_MAX);
        channel_close(channel);
        endpoint->on.notice(endpoint, ENDPOINT_REFUSED, text);
        return;
    }
    if (channel_start(channel, &callbacks, observer) < 0) {
        channel_close(channel);
        remove_observer(observer);
        return;
    }
    push(observer);
}

/* ---- ends that have one peer: tcp, unix, pty, exec, fifo ---- */

static void on_up(struct endpoint *endpoint, const char *peer)
{
    struct observer *observer = add_observer(endpoint->context, NULL, peer);
    if (observer)
        push(observer);
    else
        endpoint_drop(endpoint, "out of memory");
}

static void on_down(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    struct observer_end *end = endpoint->context;
    struct observers *all = end->all;
    char text[ENDPOINT_MESSAGE_MAX];
    (void)unsent;
    snprintf(text, sizeof(text), "%.250s: %.200s", endpoint_where(endpoint), reason);
    if (end->first)
        remove_observer(end->first);
    announce(all, OBSERVER_DOWN, text);
}

static void on_drained(struct endpoint *endpoint)
{
    struct observer_end *end = endpoint->context;
    if (end->first)
        push(end->first);
}

static void on_notice(struct endpoint *endpoint, enum endpoint_notice what, const char *text)
{
    struct observer_end *end = endpoint->context;
    end->all->event(end->all, OBSERVER_NOTICE, what, text);
}

static void on_ended(struct endpoint *endpoint, const char *reason)
{
    struct observer_end *end = endpoint->context;
    announce(end->all, OBSERVER_FAILED, reason);
}

int observers_open(struct observers *observers, uv_loop_t *loop, const struct endpoint_spec *spec,
                   char message[ENDPOINT_MESSAGE_MAX])
{
    if (observers->end_count == OBSERVER_ENDS_MAX) {
        snprintf(message, ENDPOINT_MESSAGE_MAX, "more than %d observer ends", OBSERVER_ENDS_MAX);
        return KD_E_NO_SPACE;
    }
    const struct endpoint_callbacks callbacks = {
        .up = on_up,
        .down = on_down,
        .drained = on_drained,
        .notice = on_notice,
        .ended = on_ended,
        .accepted = endpoint_spec_listens(spec) ? on_accepted : NULL,
    };
    struct observer_end *end = &observers->ends[observers->end_count++];
    end->all = observers;
    struct endpoint_spec own = *spec;
    own.write_only =
        true; /* the end of our standard input is not the end of an observer's output */
    endpoint_init(loop, &end->endpoint, &own, &callbacks, end);
    observers->open_ends++;
    return endpoint_open(&end->endpoint, message);
}

static void on_end_closed(struct endpoint *endpoint)
{
    struct observer_end *end = endpoint->context;
    if (--end->all->open_ends == 0)
        end->all->closed(end->all);
}

void observers_close(struct observers *observers)
{
    if (!observers->open_ends) {
        observers->closed(observers);
        return;
    }
    for (unsigned i = 0; i < observers->end_count; i++) {
        struct observer_end *end = &observers->ends[i];
        for (struct observer *observer = end->first, *next; observer; observer = next) {
            struct channel *channel = observer->channel;
            next = observer->next;
            remove_observer(observer);
            if (channel)
                channel_close(channel);
        }
        endpoint_close(&end->endpoint, on_end_closed);
    }
}
