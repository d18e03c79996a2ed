/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMBus client with one channel: from nothing to a byte pipe, and back to a pipe whenever the
 * host takes it away and offers it again. It never waits: vmbus_client_poll does what can be done
 * now, and every wait has a deadline. No interrupt is needed.
 *
 *   state      event                                      next        what happens
 *   OFF        vmbus_client_start                         CONTACT     INITIATE_CONTACT, newest
 * version CONTACT    answer: yes                                WAITING     REQUESTOFFERS CONTACT
 * answer: no                                 CONTACT     the next older version CONTACT    the
 * same, oldest; or connection 4 unknown  FAILED      KD_E_UNSUPPORTED CONTACT    no answer CONTACT
 * again, then FAILED: KD_E_TIMEOUT WAITING    an offer that is wanted                    GPADL
 * rings zeroed, GPADL_HEADER, _BODY WAITING    socket wanted, it is time                  WAITING
 * TL_CONNECT with a new endpoint id GPADL      GPADL_CREATED 0                            OPENING
 * OPENCHANNEL OPENING    OPENCHANNEL_RESULT 0                       OPEN GPADL,     refused
 * TEARDOWN    again later; three times: the offer OPENING is not taken any more GPADL..OPEN RESCIND
 * of our channel                   TEARDOWN OPEN       pipe broken or ended TEARDOWN CLOSECHANNEL
 * first TEARDOWN   GPADL_TORNDOWN                             WAITING     RELID_RELEASED if
 * rescinded GPADL, OPENING, TEARDOWN  no answer                   UNLOADING   UNLOAD; then a new
 * CONTACT UNLOADING  UNLOAD_RESPONSE                            CONTACT,    OFF after
 * vmbus_client_stop UNLOADING  no answer                                  FAILED      the rings
 * stay the host's: lent any        vmbus_client_stop                          TEARDOWN or
 * UNLOADING, at the end OFF
 *
 * With RESCIND answers are still sent for channels we never opened, as the host waits for them.
 */
#ifndef KDWIRE_VMBUS_CLIENT_H
#define KDWIRE_VMBUS_CLIENT_H

#include "guid.h"
#include "offers.h"
#include "pipe.h"
#include "synic.h"

#define VMBUS_STATE_MAP(X)                                                                         \
    X(VMBUS_OFF, "off")                                                                            \
    X(VMBUS_CONTACT, "asking the host for a version")                                              \
    X(VMBUS_WAITING, "waiting for an offer")                                                       \
    X(VMBUS_GPADL, "giving the host the rings")                                                    \
    X(VMBUS_OPENING, "opening the channel")                                                        \
    X(VMBUS_OPEN, "open")                                                                          \
    X(VMBUS_TEARDOWN, "taking the rings back")                                                     \
    X(VMBUS_UNLOADING, "leaving the bus")                                                          \
    X(VMBUS_FAILED, "failed")

enum vmbus_state {
#define VMBUS_STATE_ENUM(name, text) name,
    VMBUS_STATE_MAP(VMBUS_STATE_ENUM)
#undef VMBUS_STATE_ENUM
};

enum {
    VMBUS_ANSWER_US = 5000000, /* OpenVMM's own limit for a guest is of this size */
    VMBUS_CONTACT_US = 2000000,
    VMBUS_CONTACT_TRIES = 3,
    VMBUS_AGAIN_US = 1000000, /* between two attempts to open or to connect */
    VMBUS_OPEN_TRIES = 3,
    VMBUS_RESTARTS_MAX = 3, /* new contacts without a channel in between */
    VMBUS_POST_TRIES = 100, /* Linux' number */
    VMBUS_POST_DELAY_MAX_US = 20000,
    VMBUS_SCAN_US = 20000, /* while an answer is awaited, ask for forgotten messages this often */
    VMBUS_MESSAGES_PER_POLL = 16, /* a host that goes on talking must not hold us */

    VMBUS_RING_PAGES_DEFAULT = 5, /* what Windows' pipes have; sockets insist on it up to 4.0 */
    VMBUS_RING_PAGES_MAX = 65,    /* rings and control pages then need GPADL_HEADER and 4 bodies */
    VMBUS_OUTBOX_MAX = 8,         /* these, an OPENCHANNEL and answers */
};

/* Pages of both rings together with RING_PAGES data pages each. */
#define VMBUS_CHANNEL_PAGES(ring_pages) (2u * ((ring_pages) + 1u))

struct vmbus_wanted {
    bool socket; /* Hyper-V socket: TYPE is the service. Otherwise a pipe of vmbuspiper */
    struct vmbus_guid type;
    struct vmbus_guid instance; /* zero: any */
    bool windbg_uefi_framing;
    bool acknowledge; /* with that framing */
    uint64_t seed;    /* sockets: of endpoint ids; any number that differs from run to run */
    uint8_t vector;   /* of our SINT where it cannot be polled; its handler must be harmless */
};

struct vmbus_memory {
    struct vmbus_pages pages;
    void *rings; /* VMBUS_CHANNEL_PAGES(ring_pages) pages; identity-mapped like all others */
    uint32_t ring_pages; /* data pages of each direction, 1..VMBUS_RING_PAGES_MAX */
};

struct vmbus_posting {
    uint32_t connection;
    uint32_t size;
    uint8_t bytes[VMBUS_MESSAGE_MAX];
};

struct vmbus_client {
    /* Read only: */
    enum vmbus_state state;
    int failure;      /* why FAILED: an error of kdwire/error.h */
    bool lent;        /* the host may still write the rings: they must stay reserved for ever */
    uint32_t version; /* of the connection */
    uint64_t opened;  /* times the channel was opened */
    uint64_t refused; /* offers and connections the host refused */
    uint64_t bad_messages;
    struct vmbus_pipe pipe; /* while OPEN */
    struct vmbus_synic synic;
    struct vmbus_features features;
    /* Private: */
    const struct vmbus_hv *hv;
    struct vmbus_wanted wanted;
    struct vmbus_memory memory;
    struct vmbus_framing framing;
    struct vmbus_offers offers;
    struct vmbus_offer channel; /* the one that is, or was last, opened */
    struct vmbus_guid endpoint; /* of the last TL_CONNECT */
    unsigned version_at, tries, open_tries, restarts;
    uint32_t connection; /* control messages go there */
    uint32_t gpadl, open_id;
    bool stopping, rescinded;
    uint64_t deadline, again_at, scan_at;
    uint64_t random;
    struct vmbus_posting outbox[VMBUS_OUTBOX_MAX];
    unsigned outbox_first, outbox_count;
    unsigned post_tries;
    uint64_t post_at, post_delay;
};

/* Looks at the hypervisor, takes a SINT and starts to make contact. HV, and the memory named in
 * MEMORY, must stay until the client is OFF, or for ever if it ends with LENT. Errors as
 * vmbus_detect and vmbus_synic_open. */
int vmbus_client_start(struct vmbus_client *client, const struct vmbus_hv *hv,
                       const struct vmbus_memory *memory, const struct vmbus_wanted *wanted,
                       uint64_t now_us);
/* Does what can be done now. On the processor that started it (elsewhere messages are read, but the
 * hypervisor is not asked for more). */
void vmbus_client_poll(struct vmbus_client *client, uint64_t now_us);
/* Begins to leave: poll on until OFF or FAILED. */
void vmbus_client_stop(struct vmbus_client *client, uint64_t now_us);
/* Forgets everything at once, telling nobody: for a bus that was taken away underneath. */
void vmbus_client_abandon(struct vmbus_client *client);

/* Bytes, while OPEN; 0 otherwise, or when there are none or there is no room. */
size_t vmbus_client_read(struct vmbus_client *client, uint64_t now_us, uint8_t *to, size_t size);
size_t vmbus_client_write(struct vmbus_client *client, uint64_t now_us, const uint8_t *from,
                          size_t size);
/* Whether something may have come, be it a message or bytes; costs two reads of memory. */
bool vmbus_client_ready(const struct vmbus_client *client);

const char *vmbus_state_text(enum vmbus_state state);

#endif
