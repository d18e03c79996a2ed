/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables are in session.h. */
#include "kdnet/session.h"

#include <string.h>

#include "kdwire/error.h"

static bool is_target(const struct kdnet_session *session)
{
    return session->config.role == KD_ROLE_TARGET;
}

static void make_random(struct kdnet_session *session, uint8_t *out)
{
    struct kdnet_key key;

    if (session->config.random) {
        session->config.random(session->config.random_context, out, KDNET_KEY_SIZE);
        return;
    }
    kdnet_key_generate(&key); /* cannot fail once a context could be opened */
    memcpy(out, key.bytes, KDNET_KEY_SIZE);
    kdnet_key_wipe(&key);
}

int kdnet_session_init(struct kdnet_session *session, const struct kdnet_session_config *config)
{
    memset(session, 0, sizeof(*session));
    session->config = *config;
    session->version = config->version ? config->version : KDNET_VERSION_DEFAULT;
    session->deadline = KD_NEVER;
    session->peer = config->host;
    session->state = is_target(session) ? KDNET_IDLE : KDNET_NONE;
    return kdnet_crypto_open(&session->crypto, &config->key);
}

void kdnet_session_close(struct kdnet_session *session)
{
    kdnet_crypto_close(session->crypto);
    session->crypto = NULL;
    session->state = KDNET_IDLE;
    kdnet_key_wipe(&session->session_key);
    kdnet_key_wipe(&session->config.key);
    for (size_t i = 0; i < KDNET_CANDIDATES_MAX; i++)
        kdnet_key_wipe(&session->candidates[i].key);
}

/* A session begins with KEY. */
static void open_session(struct kdnet_session *session, const struct kdnet_key *key)
{
    session->session_key = *key;
    kdnet_crypto_set_session(session->crypto, key);
    session->sent = 0;
    session->received = 0;
    session->heard = false;
    session->state = KDNET_OPEN;
    session->stats.sessions++;
}

/* Whether the datagram is new; each number counts once. */
static bool take_sequence(struct kdnet_session *session, uint64_t sequence)
{
    if (sequence <= session->received) {
        session->stats.repeated++;
        return false;
    }
    session->received = sequence;
    session->stats.data_in++;
    return true;
}

/* ---- target ---- */

static uint64_t counter_of(const uint8_t *client_key)
{
    return kd_get_u64(client_key);
}

static void poke(struct kdnet_session *session, uint64_t now)
{
    kd_put_u64(session->client_key, counter_of(session->client_key) + 1);
    session->poke_sequence += KDNET_POKE_STEP;
    session->poke_due = true;
    session->deadline = now + (session->state == KDNET_OPEN ? KDNET_IDLE_US : KDNET_POKE_US);
}

void kdnet_session_start(struct kdnet_session *session, uint64_t now)
{
    make_random(session, session->client_key);
    kd_put_u64(session->client_key, counter_of(session->client_key) - 1); /* poke adds it again */
    session->first_counter = counter_of(session->client_key) + 1;
    session->state = KDNET_POKING;
    session->poke_sequence = 0;
    kdnet_crypto_set_session(session->crypto, NULL);
    poke(session, now);
}

void kdnet_session_move(struct kdnet_session *session, uint64_t now,
                        const struct kdnet_address *host, const struct kdnet_address *self)
{
    session->config.host = *host;
    session->config.self = *self;
    kdnet_session_start(session, now);
}

/* The client key is that of a poke not too old, and newer than the one that made this session: a
 * response that comes twice must not begin the sequences anew. */
static bool is_my_poke(const struct kdnet_session *session, const uint8_t *client_key)
{
    uint64_t newest = counter_of(session->client_key);
    uint64_t welcome = newest + 1 - session->first_counter; /* so many pokes, the newest last */

    if (welcome > KDNET_POKES_REMEMBERED)
        welcome = KDNET_POKES_REMEMBERED;
    return !memcmp(client_key + 8, session->client_key + 8, KDNET_KEY_SIZE - 8) &&
           newest - counter_of(client_key) < welcome;
}

static unsigned target_control(struct kdnet_session *session, uint64_t now,
                               const struct kdnet_address *from,
                               const struct kdnet_datagram *datagram)
{
    const uint8_t *client_key =
        kdnet_response_client_key(datagram->payload, datagram->payload_size);
    struct kdnet_key key;

    if (!client_key || session->state == KDNET_IDLE || !is_my_poke(session, client_key)) {
        session->stats.stray++;
        return 0;
    }
    session->stats.responses_in++;
    kdnet_session_key(&key, &session->config.key, datagram->payload, datagram->payload_size);
    open_session(session, &key);
    kdnet_key_wipe(&key);
    session->first_counter = counter_of(client_key) + 1;
    session->peer = *from;
    session->deadline = now + KDNET_IDLE_US;
    return KDNET_NEWS_NEW | KDNET_NEWS_NUDGE;
}

static unsigned target_data(struct kdnet_session *session, uint64_t now,
                            const struct kdnet_datagram *datagram)
{
    if (!take_sequence(session, datagram->sequence))
        return 0;
    session->heard = true;
    session->deadline = now + KDNET_IDLE_US;
    return KDNET_NEWS_PAYLOAD;
}

/* ---- debugger ---- */

static bool was_answered(const struct kdnet_session *session, const uint8_t *client_key)
{
    size_t known =
        session->answered_count < KDNET_ANSWERED_MAX ? session->answered_count : KDNET_ANSWERED_MAX;
    for (size_t i = 0; i < known; i++)
        if (!memcmp(session->answered[i], client_key, KDNET_KEY_SIZE))
            return true;
    return false;
}

static void remember_answered(struct kdnet_session *session, const uint8_t *client_key)
{
    memcpy(session->answered[session->answered_count++ % KDNET_ANSWERED_MAX], client_key,
           KDNET_KEY_SIZE);
}

/* Forgets the oldest COUNT candidates. */
static void forget_candidates(struct kdnet_session *session, size_t count)
{
    size_t left = session->candidate_count - count;

    memmove(session->candidates, session->candidates + count,
            left * sizeof(session->candidates[0]));
    for (size_t i = left; i < session->candidate_count; i++)
        kdnet_key_wipe(&session->candidates[i].key);
    session->candidate_count = left;
}

/* The response goes to where the poke came from, not to the address inside it: between the two may
 * be a NAT. */
static void answer(struct kdnet_session *session, const struct kdnet_address *from,
                   const struct kdnet_datagram *datagram, const uint8_t *client_key)
{
    uint8_t host_key[KDNET_KEY_SIZE];

    make_random(session, host_key);
    kdnet_response_put(session->response, client_key, host_key);
    session->response_due = true;
    session->response_sequence = datagram->sequence;
    session->response_version = datagram->version;
    session->response_to = *from;
    if (session->candidate_count == KDNET_CANDIDATES_MAX)
        forget_candidates(session, 1);
    struct kdnet_candidate *candidate = &session->candidates[session->candidate_count++];
    candidate->version = datagram->version;
    kdnet_session_key(&candidate->key, &session->config.key, session->response,
                      sizeof(session->response));
    remember_answered(session, client_key);
}

static unsigned debugger_control(struct kdnet_session *session, const struct kdnet_address *from,
                                 const struct kdnet_datagram *datagram)
{
    struct kdnet_poke got;

    if (kdnet_poke_get(&got, datagram->payload, datagram->payload_size) < 0) {
        session->stats.malformed++;
    } else if (was_answered(session, got.client_key)) {
        session->stats.repeated++;
    } else {
        session->stats.pokes_in++;
        if (!got.host.port || session->state != KDNET_OPEN)
            answer(session, from, datagram, got.client_key);
    }
    return 0;
}

static unsigned debugger_data(struct kdnet_session *session, const struct kdnet_address *from,
                              const struct kdnet_datagram *datagram)
{
    if (!take_sequence(session, datagram->sequence))
        return 0;
    session->peer = *from;
    return KDNET_NEWS_PAYLOAD;
}

/* Data under none but perhaps a candidate's key. */
static unsigned try_candidates(struct kdnet_session *session, const struct kdnet_address *from,
                               const uint8_t *bytes, size_t size, struct kdnet_datagram *datagram)
{
    for (size_t i = session->candidate_count; i-- > 0;) {
        struct kdnet_candidate candidate = session->candidates[i];
        kdnet_crypto_set_session(session->crypto, &candidate.key);
        if (kdnet_unprotect(session->crypto, bytes, size, datagram, session->plain) < 0 ||
            datagram->from_debugger)
            continue;
        forget_candidates(session, i + 1);
        open_session(session, &candidate.key);
        session->version = candidate.version;
        return KDNET_NEWS_NEW | debugger_data(session, from, datagram);
    }
    kdnet_crypto_set_session(session->crypto,
                             session->state == KDNET_OPEN ? &session->session_key : NULL);
    session->stats.not_authentic++;
    return 0;
}

/* ---- both ---- */

static unsigned take(struct kdnet_session *session, uint64_t now, const struct kdnet_address *from,
                     const struct kdnet_datagram *datagram)
{
    if (datagram->from_debugger != is_target(session)) {
        session->stats.reflected++;
        return 0;
    }
    if (datagram->channel == KDNET_CONTROL)
        return is_target(session) ? target_control(session, now, from, datagram)
                                  : debugger_control(session, from, datagram);
    return is_target(session) ? target_data(session, now, datagram)
                              : debugger_data(session, from, datagram);
}

unsigned kdnet_session_receive(struct kdnet_session *session, uint64_t now,
                               const struct kdnet_address *from, const uint8_t *bytes, size_t size,
                               const uint8_t **payload, size_t *payload_size)
{
    struct kdnet_datagram datagram;
    unsigned news = 0;

    int rc = kdnet_unprotect(session->crypto, bytes, size, &datagram, session->plain);
    if (rc == KD_OK)
        news = take(session, now, from, &datagram);
    else if ((rc == KD_E_NOT_AUTHENTIC || rc == KD_E_NO_SESSION) && session->candidate_count &&
             !kdnet_is_control(bytes))
        news = try_candidates(session, from, bytes, size, &datagram);
    else if (rc == KD_E_NOT_AUTHENTIC || rc == KD_E_NO_SESSION)
        session->stats.not_authentic++;
    else
        session->stats.malformed++;
    *payload = datagram.payload;
    *payload_size = datagram.payload_size;
    return news;
}

unsigned kdnet_session_tick(struct kdnet_session *session, uint64_t now)
{
    if (now < session->deadline)
        return 0;
    poke(session, now);
    return session->state == KDNET_OPEN && !session->heard ? KDNET_NEWS_NUDGE : 0;
}

uint64_t kdnet_session_deadline(const struct kdnet_session *session)
{
    return session->deadline;
}

static size_t protect_control(struct kdnet_session *session, uint8_t version, uint64_t sequence,
                              const uint8_t *payload, size_t size, uint8_t *out)
{
    const struct kdnet_datagram datagram = {
        .version = version,
        .channel = KDNET_CONTROL,
        .from_debugger = !is_target(session),
        .sequence = sequence & KDNET_SEQUENCE_MAX,
        .payload = payload,
        .payload_size = size,
    };
    int written = kdnet_protect(session->crypto, &datagram, out);
    return written < 0 ? 0 : (size_t)written;
}

static size_t poke_output(struct kdnet_session *session, struct kdnet_address *to, uint8_t *out)
{
    uint8_t payload[KDNET_POKE_SIZE];
    struct kdnet_poke content = {.source = session->config.self,
                                 .destination = session->peer,
                                 /* ::ffff:0.0.0.0 and port 0: not bound */
                                 .host = {.ip = {[10] = 0xFF, [11] = 0xFF}}};

    memcpy(content.client_key, session->client_key, KDNET_KEY_SIZE);
    if (session->state == KDNET_OPEN)
        content.host = session->peer;
    else
        session->peer = content.destination = session->config.host;
    kdnet_poke_put(payload, &content);
    session->poke_due = false;
    session->stats.pokes_out++;
    *to = session->peer;
    return protect_control(session, session->version, session->poke_sequence, payload,
                           sizeof(payload), out);
}

size_t kdnet_session_output(struct kdnet_session *session, struct kdnet_address *to,
                            uint8_t out[KDNET_DATAGRAM_MAX])
{
    if (session->poke_due)
        return poke_output(session, to, out);
    if (!session->response_due)
        return 0;
    session->response_due = false;
    session->stats.responses_out++;
    *to = session->response_to;
    return protect_control(session, session->response_version, session->response_sequence,
                           session->response, sizeof(session->response), out);
}

int kdnet_session_send(struct kdnet_session *session, const uint8_t *payload, size_t size,
                       uint8_t out[KDNET_DATAGRAM_MAX])
{
    struct kdnet_datagram datagram = {
        .version = session->version,
        .channel = KDNET_DATA,
        .from_debugger = !is_target(session),
        .sequence = session->sent + 1,
        .payload = payload,
        .payload_size = size,
    };
    if (session->state != KDNET_OPEN)
        return KD_E_NO_SESSION;
    int written = kdnet_protect(session->crypto, &datagram, out);
    if (written >= 0) {
        session->sent++;
        session->stats.data_out++;
    }
    return written;
}

/* Eight zeros, and the debugger's IPv4 address as a little-endian number. */
void kdnet_session_check(const struct kdnet_session *session,
                         uint8_t payload[KDNET_CONNECTION_CHECK_SIZE])
{
    memset(payload, 0, KDNET_CONNECTION_CHECK_SIZE);
    for (unsigned i = 0; i < 4; i++)
        payload[8 + i] = session->peer.ip[15 - i];
}
