/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bridge of either role, given whatever a network and a stream may bring. Byte 0: bit 0 the role.
 * Then steps: one byte of kind, one of length (times 16 with bit 7 of kind), the bytes.
 *   0 a datagram as it is        1 the payload of a control datagram, properly protected
 *   2 that of a data datagram, under the session's key       3 bytes of the stream
 *   4 time goes by               5 keys: the bytes are text, and then a key again
 *   6 what opens a session: the response to the bridge's last poke, or a poke
 * Whatever comes: no crash, no endless output, and what the bridge sends is authentic.
 */
#include <stdlib.h>
#include <string.h>

#include "kdnet/bridge.h"
#include "kdnet/overhear.h"
#include "kdwire/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    KIND_DATAGRAM,
    KIND_CONTROL,
    KIND_DATA,
    KIND_STREAM,
    KIND_TIME,
    KIND_KEY,
    KIND_OPEN,
    KINDS,
    LONG = 0x80,
    STEPS_MAX = 200,
    OUTPUTS_MAX = 64, /* datagrams that one step may cause: a handful, never a flood */
};

struct world {
    struct kdnet_bridge bridge;
    struct kdnet_crypto *peer; /* what the other side would encrypt and decrypt with */
    struct kdnet_key key;
    uint64_t now, sequence;
    bool target;
};

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static void fixed_random(void *context, uint8_t *out, size_t size)
{
    (void)context;
    memset(out, 0x5A, size);
}

/* The other side learns the session's key as it would: from what the bridge has. */
static void follow_session(struct world *w)
{
    if (w->bridge.session.state == KDNET_OPEN)
        kdnet_crypto_set_session(w->peer, &w->bridge.session.session_key);
    else if (w->bridge.session.candidate_count)
        kdnet_crypto_set_session(
            w->peer, &w->bridge.session.candidates[w->bridge.session.candidate_count - 1].key);
}

static void collect(struct world *w)
{
    uint8_t out[KDNET_DATAGRAM_MAX], plain[KDNET_DATAGRAM_MAX];
    struct kdnet_address to;
    struct kdnet_datagram datagram;
    const uint8_t *bytes;
    size_t size;
    unsigned count = 0;

    follow_session(w);
    while ((size = kdnet_bridge_datagram(&w->bridge, w->now, &to, out)) > 0) {
        demand(++count < OUTPUTS_MAX);
        demand(kdnet_unprotect(w->peer, out, size, &datagram, plain) == KD_OK);
        demand(datagram.from_debugger == !w->target);
    }
    for (count = 0; (size = kdnet_bridge_output(&w->bridge, &bytes)) > 0; count++) {
        demand(count < OUTPUTS_MAX);
        kdnet_bridge_written(&w->bridge, w->now, size);
    }
}

static void receive(struct world *w, const uint8_t *bytes, size_t size)
{
    static const struct kdnet_address from = {.port = 50000};
    kdnet_bridge_receive(&w->bridge, w->now, &from, bytes, size);
}

static void receive_protected(struct world *w, unsigned channel, const uint8_t *bytes, size_t size)
{
    uint8_t out[KDNET_DATAGRAM_MAX];
    struct kdnet_datagram datagram = {.version = 4,
                                      .channel = (uint8_t)channel,
                                      .from_debugger = w->target,
                                      .sequence = ++w->sequence,
                                      .payload = bytes,
                                      .payload_size = size};
    int written = kdnet_protect(w->peer, &datagram, out);
    if (written > 0)
        receive(w, out, (size_t)written);
}

static void try_key(const uint8_t *bytes, size_t size)
{
    char text[300], again[KDNET_KEY_TEXT_MAX];
    struct kdnet_key key, second;
    size = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    memcpy(text, bytes, size);
    text[size] = '\0';
    if (kdnet_key_parse(&key, text, NULL) == KD_OK) {
        demand(kdnet_key_parse(&second, kdnet_key_text(&key, again), NULL) == KD_OK);
        demand(!memcmp(&key, &second, sizeof(key)));
    }
}

static void open_session(struct world *w, const uint8_t *bytes, size_t size)
{
    uint8_t response[KDNET_RESPONSE_SIZE], payload[KDNET_POKE_SIZE];
    struct kdnet_poke poke = {.host = {.port = 0}};
    static const uint8_t host_key[KDNET_KEY_SIZE] = {1, 2, 3};

    if (w->target) {
        kdnet_response_put(response, w->bridge.session.client_key, host_key);
        receive_protected(w, KDNET_CONTROL, response, sizeof(response));
    } else {
        memcpy(poke.client_key, bytes, size < KDNET_KEY_SIZE ? size : KDNET_KEY_SIZE);
        kdnet_poke_put(payload, &poke);
        receive_protected(w, KDNET_CONTROL, payload, sizeof(payload));
    }
}

static void step(struct world *w, unsigned kind, const uint8_t *bytes, size_t size)
{
    switch (kind % KINDS) {
    case KIND_DATAGRAM:
        receive(w, bytes, size);
        break;
    case KIND_CONTROL:
        receive_protected(w, KDNET_CONTROL, bytes, size);
        break;
    case KIND_DATA:
        receive_protected(w, KDNET_DATA, bytes, size);
        break;
    case KIND_STREAM:
        kdnet_bridge_feed(&w->bridge, w->now, bytes, size);
        break;
    case KIND_TIME:
        w->now += (uint64_t)size * 50000;
        kdnet_bridge_tick(&w->bridge, w->now);
        break;
    case KIND_OPEN:
        open_session(w, bytes, size);
        break;
    default:
        try_key(bytes, size);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct kdnet_session_config config = {.random = fixed_random, .host = {.port = 50000}};
    unsigned steps = 0;

    if (!size)
        return 0;
    memset(&w, 0, sizeof(w));
    w.target = (data[0] & 1) != 0;
    config.role = w.target ? KD_ROLE_TARGET : KD_ROLE_DEBUGGER;
    demand(kdnet_key_parse(&config.key, "1.2.3.4", NULL) == KD_OK);
    demand(kdnet_bridge_init(&w.bridge, &config) == KD_OK);
    demand(kdnet_crypto_open(&w.peer, &config.key) == KD_OK);
    w.now = 1;
    kdnet_bridge_start(&w.bridge, w.now);
    collect(&w);
    for (size_t at = 1; size - at >= 2 && steps < STEPS_MAX; steps++) {
        unsigned kind = data[at];
        size_t length = (size_t)data[at + 1] * (kind & LONG ? 16 : 1);
        at += 2;
        length = length < size - at ? length : size - at;
        step(&w, kind & ~(unsigned)LONG, data + at, length);
        collect(&w);
        at += length;
    }
    kdnet_crypto_close(w.peer);
    kdnet_bridge_close(&w.bridge);
    return 0;
}
