/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A KDNET session, both roles: who is there, which session key holds, which sequence numbers are
 * still good. Sans-I/O: datagrams and the time (microseconds of any clock that does not go back)
 * go in; datagrams to send, payloads and news come out. No heap but the cryptographic contexts.
 *
 * "Bound": the poke names the debugger that this target is or was in session with.
 *
 * Target:
 *
 *   state    event                              next     what happens
 *   idle     kdnet_session_start                poking   a new client key; poke, not bound
 *   poking   POKE_US without a response         poking   poke again, with the next client key
 *   poking   response to a remembered poke      open     new session key, sequences from 1, NEW
 *   open     IDLE_US with nothing received      open     poke, bound: the keep-alive; and NUDGE as
 *                                                        long as the debugger has sent no data
 *   open     response to a poke sent since      open     the debugger has restarted: as above, NEW
 *   open     data with a higher sequence        open     PAYLOAD
 *   poking,  kdnet_session_start                poking   as from idle: "this target has restarted"
 *   open
 *   any      anything else                      -        dropped, counted
 *
 * Debugger. A poke alone proves only that somebody has it; who made it is proven by data under the
 * session key that our answer led to. Until then the answer is a candidate, and the session there
 * was goes on: a recorded poke, sent again by an attacker, cannot end it.
 *
 *   state    event                              next     what happens
 *   any      poke with a client key answered    -        dropped, counted: a repeat
 *   any      poke, not bound                    -        answer, one more candidate
 *   none     poke, bound                        none     answer, one more candidate (the debugger
 *                                                        has restarted)
 *   open     poke, bound                        open     - (a keep-alive; answering would rekey)
 *   any      data under a candidate's key       open     its session is the session now, sequences
 *                                                        from 1, NEW and PAYLOAD
 *   open     data with a higher sequence        open     PAYLOAD; its sender is the peer's address
 *   any      anything else                      -        dropped, counted
 *
 * Sources: the public captures and NTO's behaviour towards real Windows, as in kdwire/kdnet.h.
 */
#ifndef KDWIRE_KDNET_SESSION_H
#define KDWIRE_KDNET_SESSION_H

#include "kdwire/kdnet.h"
#include "kdwire/link.h"

enum {
    KDNET_POKE_US = 1000000, /* between pokes until the first answer; sources say about 1 s */
    KDNET_IDLE_US = 3000000, /* Windows: 3.017 s after the last datagram of the debugger */
    /* Windows' control sequence grows by this with each poke. */
    KDNET_POKE_STEP = 3,
    /* Responses are accepted to this many of the last pokes: half a minute of them. */
    KDNET_POKES_REMEMBERED = 32,
    /* Answers that may be under way to a target at once: it pokes once a second, and an answer
     * takes less than that. */
    KDNET_CANDIDATES_MAX = 4,
    /* Client keys that are known to be answered. A copy of an older poke costs one answer and one
     * candidate, nothing else. */
    KDNET_ANSWERED_MAX = 16,
};

struct kdnet_session_config {
    enum kd_role role;
    struct kdnet_key key;
    uint8_t version; /* target: what to say; 0: KDNET_VERSION_DEFAULT. A debugger repeats the
                        target's */
    /* Target: the debugger's address, and the own one as far as it is known (for the poke). */
    struct kdnet_address host, self;
    /* For tests; NULL: the cryptographic library's random numbers. */
    void (*random)(void *context, uint8_t *out, size_t size);
    void *random_context;
};

/* What a call brought, OR-ed. */
enum kdnet_news {
    KDNET_NEWS_NEW = 1,     /* a session begins, or a new one has replaced the old */
    KDNET_NEWS_PAYLOAD = 2, /* payload of the data channel */
    KDNET_NEWS_NUDGE = 4,   /* target: send the connection check (again) */
};

/* Datagrams, counted, never reset. */
struct kdnet_stats {
    uint64_t data_in, data_out, pokes_in, pokes_out, responses_in, responses_out;
    uint64_t sessions;      /* how often NEW came */
    uint64_t malformed;     /* no KDNET datagram at all, or an impossible payload */
    uint64_t not_authentic; /* another key, damage, a session that is over */
    uint64_t reflected;     /* the wrong direction: our own, sent back */
    uint64_t repeated;      /* a sequence number or a client key that was there before */
    uint64_t stray;         /* authentic, but for no session or poke of ours */
};

struct kdnet_candidate {
    struct kdnet_key key;
    uint8_t version;
};

enum kdnet_state {
    KDNET_IDLE,
    KDNET_POKING, /* target */
    KDNET_NONE,   /* debugger: no session yet */
    KDNET_OPEN,
};

struct kdnet_session {
    struct kdnet_session_config config;
    struct kdnet_stats stats;
    enum kdnet_state state;
    struct kdnet_address peer; /* where datagrams go */
    /* private */
    struct kdnet_crypto *crypto;
    struct kdnet_key session_key;
    uint8_t version;
    uint64_t sent, received; /* data sequences: the last of each direction */
    uint64_t deadline;       /* target: of the next poke */
    bool heard;              /* target: the debugger has sent data in this session */
    bool poke_due;
    uint64_t poke_sequence;
    uint8_t client_key[KDNET_KEY_SIZE]; /* of the last poke; its first 8 bytes count */
    uint64_t first_counter;             /* of the oldest poke whose response is welcome */
    bool response_due;
    uint64_t response_sequence;
    uint8_t response_version;
    struct kdnet_address response_to;
    uint8_t response[KDNET_RESPONSE_SIZE];
    struct kdnet_candidate candidates[KDNET_CANDIDATES_MAX]; /* oldest first */
    size_t candidate_count;
    uint8_t answered[KDNET_ANSWERED_MAX][KDNET_KEY_SIZE];
    size_t answered_count; /* ever */
    uint8_t plain[KDNET_DATAGRAM_MAX];
};

/* CONFIG is copied. Errors as kdnet_crypto_open. A debugger is ready for pokes at once. */
int kdnet_session_init(struct kdnet_session *session, const struct kdnet_session_config *config);

/* Wipes the keys. */
void kdnet_session_close(struct kdnet_session *session);

/* Target: begins to poke; in a session: tells the debugger that this target has restarted. */
void kdnet_session_start(struct kdnet_session *session, uint64_t now);

/* Target: its debugger is at another address from now on; begins to poke there. */
void kdnet_session_move(struct kdnet_session *session, uint64_t now,
                        const struct kdnet_address *host, const struct kdnet_address *self);

/*
 * A datagram came. Returns enum kdnet_news; with PAYLOAD, *PAYLOAD and *SIZE are it, valid until
 * the next call. Whatever is not as it should be is dropped without a word and counted.
 */
unsigned kdnet_session_receive(struct kdnet_session *session, uint64_t now,
                               const struct kdnet_address *from, const uint8_t *bytes, size_t size,
                               const uint8_t **payload, size_t *payload_size);

/* Whatever is due by time; returns enum kdnet_news. */
unsigned kdnet_session_tick(struct kdnet_session *session, uint64_t now);
uint64_t kdnet_session_deadline(const struct kdnet_session *session);

/* The next datagram of the control channel that wants to go out: its size, 0 = none. */
size_t kdnet_session_output(struct kdnet_session *session, struct kdnet_address *to,
                            uint8_t out[KDNET_DATAGRAM_MAX]);

/* Makes the next datagram of the data channel, for session->peer. Its size, KD_E_NO_SESSION, or
 * KD_E_TOO_LONG. Each has a sequence number of its own, also when the payload is sent again. */
int kdnet_session_send(struct kdnet_session *session, const uint8_t *payload, size_t size,
                       uint8_t out[KDNET_DATAGRAM_MAX]);

/* The payload with which a target begins (and answers NUDGE). */
void kdnet_session_check(const struct kdnet_session *session,
                         uint8_t payload[KDNET_CONNECTION_CHECK_SIZE]);

#endif
