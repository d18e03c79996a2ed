/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <string.h>

#include "kdwire/error.h"
#include "kdwire/wire.h"
#include "messages.h"
#include "shared.h"

/* A host knows exact numbers only, so they are tried one by one. Below 5.0 there is no SINT in the
 * contact: answers would go to the firmware's, so only the owner may go there. */
static const uint32_t versions[] = {
    VMBUS_VERSION(5, 3), VMBUS_VERSION(5, 2), VMBUS_VERSION(5, 1), VMBUS_VERSION(5, 0),
    VMBUS_VERSION(4, 1), VMBUS_VERSION(4, 0), VMBUS_VERSION(3, 0),
};
enum {
    VERSIONS = sizeof versions / sizeof versions[0],
    FIRST_GPADL = 0x4B44,
    CONNECTION_TRIES = 8, /* with growing pauses: a quarter of a millisecond */
};
#define FIRST_WITH_SINT    VMBUS_VERSION(5, 0)
#define FIRST_WITH_SOCKETS VMBUS_VERSION(4, 0)
#define FIRST_WITH_SILO    VMBUS_VERSION(5, 2)

const char *vmbus_state_text(enum vmbus_state state)
{
    static const char *const texts[] = {
#define VMBUS_STATE_TEXT(name, text) [name] = (text),
        VMBUS_STATE_MAP(VMBUS_STATE_TEXT)
#undef VMBUS_STATE_TEXT
    };

    return texts[state];
}

/* ---- The outbox: messages in order, each repeated while the host has no room ---- */

static struct vmbus_posting *post(struct vmbus_client *client, enum vmbus_message type,
                                  uint32_t size)
{
    struct vmbus_posting *posting =
        &client->outbox[(client->outbox_first + client->outbox_count) % VMBUS_OUTBOX_MAX];

    client->outbox_count++;
    memset(posting, 0, sizeof *posting);
    posting->connection = client->connection;
    posting->size = size;
    kd_put_u32(posting->bytes, (uint32_t)type);
    return posting;
}

static void post_relid(struct vmbus_client *client, enum vmbus_message type, uint32_t relid)
{
    kd_put_u32(post(client, type, VMBUS_SMALL_SIZE)->bytes + VMBUS_RELID, relid);
}

static unsigned outbox_room(const struct vmbus_client *client)
{
    return VMBUS_OUTBOX_MAX - client->outbox_count;
}

static void enter(struct vmbus_client *client, enum vmbus_state state, uint64_t now_us,
                  uint64_t limit_us)
{
    client->state = state;
    client->deadline = now_us + limit_us;
    client->scan_at = now_us + VMBUS_SCAN_US;
}

static void fail(struct vmbus_client *client, int why)
{
    client->state = VMBUS_FAILED;
    client->failure = why;
    client->outbox_count = 0;
    vmbus_synic_close(&client->synic);
}

/* ---- Contact ---- */

static void contact(struct vmbus_client *client, uint64_t now_us)
{
    uint32_t version = client->version_at < VERSIONS ? versions[client->version_at] : 0;
    struct vmbus_posting *posting;

    if (version == 0 || (version < FIRST_WITH_SINT && !client->synic.owner) ||
        (version < FIRST_WITH_SOCKETS && client->wanted.socket)) {
        fail(client, KD_E_UNSUPPORTED);
        return;
    }
    client->outbox_count = 0;
    client->connection = version >= FIRST_WITH_SINT ? VMBUS_CONNECTION_NEW : VMBUS_CONNECTION_OLD;
    posting = post(client, VMBUS_INITIATE_CONTACT, VMBUS_CONTACT_SIZE);
    kd_put_u32(posting->bytes + VMBUS_CONTACT_VERSION, version);
    kd_put_u32(posting->bytes + VMBUS_CONTACT_VP, client->synic.vp);
    if (version >= FIRST_WITH_SINT)
        posting->bytes[VMBUS_CONTACT_SINT] = (uint8_t)client->synic.sint;
    client->version = version;
    client->post_tries = 0;
    client->post_at = now_us;
    enter(client, VMBUS_CONTACT, now_us, VMBUS_CONTACT_US);
}

static void next_version(struct vmbus_client *client, uint64_t now_us)
{
    client->version_at++;
    client->tries = 1;
    contact(client, now_us);
}

static void on_version(struct vmbus_client *client, const uint8_t *message, size_t size,
                       uint64_t now_us)
{
    bool with_sint = client->version >= FIRST_WITH_SINT;

    if (client->state != VMBUS_CONTACT)
        return; /* the answer to a contact that was repeated */
    if (message[VMBUS_VERSION_SUPPORTED] == 0) {
        next_version(client, now_us);
        return;
    }
    if (size < (with_sint ? VMBUS_VERSION_SIZE_5 : VMBUS_VERSION_SIZE) ||
        message[VMBUS_VERSION_STATE] != 0) {
        client->bad_messages++;
        return; /* low on resources, or failed: asked again after a while */
    }
    if (with_sint)
        client->connection = kd_get_u32(message + VMBUS_VERSION_CONNECTION);
    if (client->connection == VMBUS_CONNECTION_OLD && !client->synic.owner) {
        fail(client, KD_E_UNSUPPORTED); /* the firmware's: what is posted there speaks for it */
        return;
    }
    memset(&client->offers, 0, sizeof client->offers);
    client->open_tries = 0;
    client->again_at = now_us;
    (void)post(client, VMBUS_REQUEST_OFFERS, VMBUS_HEADER);
    enter(client, VMBUS_WAITING, now_us, 0);
}

/* ---- The channel ---- */

static void post_gpadl(struct vmbus_client *client)
{
    uint32_t pages = VMBUS_CHANNEL_PAGES(client->memory.ring_pages);
    uint64_t pfn = (uint64_t)(uintptr_t)client->memory.rings / VMBUS_PAGE;
    uint32_t n = pages < VMBUS_GPADL_HEADER_PFNS ? pages : VMBUS_GPADL_HEADER_PFNS;
    uint32_t done = 0;
    struct vmbus_posting *posting = post(client, VMBUS_GPADL_HEADER, VMBUS_GPADL_PFNS + 8 * n);

    client->gpadl++;
    kd_put_u32(posting->bytes + VMBUS_RELID, client->channel.relid);
    kd_put_u32(posting->bytes + VMBUS_GPADL_ID, client->gpadl);
    kd_put_u16(posting->bytes + VMBUS_GPADL_RANGE_BYTES, (uint16_t)(8 + 8 * pages));
    kd_put_u16(posting->bytes + VMBUS_GPADL_RANGE_COUNT, 1);
    kd_put_u32(posting->bytes + VMBUS_GPADL_BYTE_COUNT, pages * VMBUS_PAGE);
    kd_put_u32(posting->bytes + VMBUS_GPADL_BYTE_OFFSET, 0);
    for (; done < n; done++)
        kd_put_u64(posting->bytes + VMBUS_GPADL_PFNS + 8 * (size_t)done, pfn + done);
    for (uint32_t number = 0; done < pages; number++) {
        n = pages - done < VMBUS_GPADL_BODY_PFNS ? pages - done : VMBUS_GPADL_BODY_PFNS;
        posting = post(client, VMBUS_GPADL_BODY, VMBUS_GPADL_BODY_AT + 8 * n);
        kd_put_u32(posting->bytes + VMBUS_RELID, number);
        kd_put_u32(posting->bytes + VMBUS_GPADL_ID, client->gpadl);
        for (uint32_t i = 0; i < n; i++, done++)
            kd_put_u64(posting->bytes + VMBUS_GPADL_BODY_AT + 8 * (size_t)i, pfn + done);
    }
}

static void begin_channel(struct vmbus_client *client, const struct vmbus_offer *offer,
                          uint64_t now_us)
{
    struct vmbus_framing *framing = NULL;

    client->channel = *offer;
    client->rescinded = false;
    if (client->wanted.windbg_uefi_framing) {
        framing = &client->framing;
        vmbus_framing_init(framing, VMBUS_FRAMING_GUEST, client->wanted.acknowledge);
    }
    vmbus_pipe_init(&client->pipe, client->memory.rings, client->memory.ring_pages * VMBUS_PAGE,
                    true, client->wanted.socket, framing);
    client->lent = true;
    post_gpadl(client);
    enter(client, VMBUS_GPADL, now_us, VMBUS_ANSWER_US);
}

static void open_channel(struct vmbus_client *client, uint64_t now_us)
{
    struct vmbus_posting *posting = post(client, VMBUS_OPEN_CHANNEL, VMBUS_OPEN_SIZE);

    kd_put_u32(posting->bytes + VMBUS_RELID, client->channel.relid);
    kd_put_u32(posting->bytes + VMBUS_OPEN_ID, ++client->open_id);
    kd_put_u32(posting->bytes + VMBUS_OPEN_GPADL, client->gpadl);
    kd_put_u32(posting->bytes + VMBUS_OPEN_VP, VMBUS_VP_NONE);
    kd_put_u32(posting->bytes + VMBUS_OPEN_OFFSET, 1 + client->memory.ring_pages);
    enter(client, VMBUS_OPENING, now_us, VMBUS_ANSWER_US);
}

static void tear_down(struct vmbus_client *client, bool close, uint64_t now_us)
{
    struct vmbus_posting *posting;

    if (close)
        post_relid(client, VMBUS_CLOSE_CHANNEL, client->channel.relid);
    posting = post(client, VMBUS_GPADL_TEARDOWN, VMBUS_GPADL_TEARDOWN_SIZE);
    kd_put_u32(posting->bytes + VMBUS_RELID, client->channel.relid);
    kd_put_u32(posting->bytes + VMBUS_GPADL_ID, client->gpadl);
    enter(client, VMBUS_TEARDOWN, now_us, VMBUS_ANSWER_US);
}

static void unload(struct vmbus_client *client, uint64_t now_us)
{
    (void)post(client, VMBUS_UNLOAD, VMBUS_HEADER);
    enter(client, VMBUS_UNLOADING, now_us, VMBUS_ANSWER_US);
}

/* The offer is tried again after a while, but not for ever. */
static void note_refusal(struct vmbus_client *client, uint64_t now_us)
{
    client->refused++;
    client->again_at = now_us + VMBUS_AGAIN_US;
    if (++client->open_tries >= VMBUS_OPEN_TRIES) {
        vmbus_offers_remove(&client->offers, client->channel.relid);
        client->open_tries = 0;
    }
}

static void on_gpadl_created(struct vmbus_client *client, const uint8_t *message, uint64_t now_us)
{
    if (client->state != VMBUS_GPADL || kd_get_u32(message + VMBUS_GPADL_ID) != client->gpadl)
        return;
    if (kd_get_u32(message + VMBUS_GPADL_STATUS) != 0) {
        /* Nothing was made, so there is nothing to tear down. */
        client->lent = false;
        note_refusal(client, now_us);
        enter(client, VMBUS_WAITING, now_us, 0);
        return;
    }
    open_channel(client, now_us);
}

static void on_open_result(struct vmbus_client *client, const uint8_t *message, uint64_t now_us)
{
    if (client->state != VMBUS_OPENING || kd_get_u32(message + VMBUS_OPEN_ID) != client->open_id)
        return;
    if (kd_get_u32(message + VMBUS_OPEN_STATUS) != 0) {
        note_refusal(client, now_us);
        tear_down(client, false, now_us);
        return;
    }
    client->opened++;
    client->open_tries = 0;
    client->restarts = 0;
    enter(client, VMBUS_OPEN, now_us, 0);
}

static void on_torn_down(struct vmbus_client *client, const uint8_t *message, uint64_t now_us)
{
    if (client->state != VMBUS_TEARDOWN || kd_get_u32(message + VMBUS_TORNDOWN_ID) != client->gpadl)
        return;
    client->lent = false;
    if (client->rescinded)
        post_relid(client, VMBUS_RELID_RELEASED, client->channel.relid);
    if (client->stopping)
        unload(client, now_us);
    else
        enter(client, VMBUS_WAITING, now_us, 0);
}

static void on_rescind(struct vmbus_client *client, const uint8_t *message, uint64_t now_us)
{
    uint32_t relid = kd_get_u32(message + VMBUS_RELID);

    vmbus_offers_remove(&client->offers, relid);
    if (relid == client->channel.relid) {
        client->open_tries = 0; /* the next offer is another one */
        switch (client->state) {
        case VMBUS_GPADL:
        case VMBUS_OPENING:
        case VMBUS_OPEN:
            client->rescinded = true;
            tear_down(client, client->state != VMBUS_GPADL, now_us);
            return;
        case VMBUS_TEARDOWN:
            client->rescinded = true;
            return;
        default:
            break;
        }
    }
    post_relid(client, VMBUS_RELID_RELEASED, relid);
}

static void on_offer(struct vmbus_client *client, const uint8_t *message, size_t size)
{
    const struct vmbus_wanted *wanted = &client->wanted;
    struct vmbus_offer offer;
    uint16_t flag = wanted->socket ? VMBUS_OFFER_FLAG_SOCKET : VMBUS_OFFER_FLAG_PIPE;

    if (!vmbus_offer_read(&offer, message, size)) {
        client->bad_messages++;
        return;
    }
    if (!vmbus_guid_equal(&offer.type, &wanted->type) || (offer.flags & flag) == 0)
        return;
    /* A socket that we asked for carries our endpoint id; one that the host makes any. */
    if (wanted->socket && message[VMBUS_OFFER_FROM_HOST] == 0 &&
        !vmbus_guid_equal(&offer.instance, &client->endpoint))
        return;
    if (!wanted->socket && !vmbus_guid_is_zero(&wanted->instance) &&
        !vmbus_guid_equal(&offer.instance, &wanted->instance))
        return;
    vmbus_offers_add(&client->offers, &offer);
}

static void on_unloaded(struct vmbus_client *client, uint64_t now_us)
{
    if (client->state != VMBUS_UNLOADING)
        return;
    client->lent = false;
    client->channel.relid = 0;
    client->outbox_count = 0;
    if (client->stopping) {
        vmbus_synic_close(&client->synic);
        client->state = VMBUS_OFF;
    } else if (client->restarts++ < VMBUS_RESTARTS_MAX) {
        client->version_at = 0;
        client->tries = 1;
        contact(client, now_us);
    } else {
        fail(client, KD_E_TIMEOUT);
    }
}

static void dispatch(struct vmbus_client *client, const uint8_t *message, size_t size,
                     uint64_t now_us)
{
    static const struct {
        uint8_t type, size;
    } needed[] = {
        {VMBUS_RESCIND_OFFER, VMBUS_SMALL_SIZE},
        {VMBUS_OPEN_RESULT, VMBUS_OPEN_RESULT_SIZE},
        {VMBUS_GPADL_CREATED, VMBUS_GPADL_CREATED_SIZE},
        {VMBUS_GPADL_TORNDOWN, VMBUS_TORNDOWN_SIZE},
        {VMBUS_VERSION_RESPONSE, VMBUS_VERSION_SIZE},
        {VMBUS_TL_RESULT, VMBUS_TL_RESULT_SIZE},
    };
    uint32_t type = size >= 4 ? kd_get_u32(message) : 0;

    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (needed[i].type == type && size < needed[i].size) {
            client->bad_messages++;
            return;
        }
    }
    switch (type) {
    case VMBUS_OFFER_CHANNEL:
        on_offer(client, message, size);
        break;
    case VMBUS_RESCIND_OFFER:
        on_rescind(client, message, now_us);
        break;
    case VMBUS_OPEN_RESULT:
        on_open_result(client, message, now_us);
        break;
    case VMBUS_GPADL_CREATED:
        on_gpadl_created(client, message, now_us);
        break;
    case VMBUS_GPADL_TORNDOWN:
        on_torn_down(client, message, now_us);
        break;
    case VMBUS_VERSION_RESPONSE:
        on_version(client, message, size, now_us);
        break;
    case VMBUS_UNLOAD_RESPONSE:
        on_unloaded(client, now_us);
        break;
    case VMBUS_TL_RESULT:
        client->refused++; /* asked again when it is time */
        break;
    default:
        break; /* of no interest, or of a version to come */
    }
}

static bool is_on(const struct vmbus_client *client)
{
    return client->state != VMBUS_OFF && client->state != VMBUS_FAILED;
}

/* What one message can make us post: GPADL and its bodies come from elsewhere, so CLOSECHANNEL and
 * GPADL_TEARDOWN are the most. */
enum { ROOM_FOR_ANSWERS = 2 };

static void receive(struct vmbus_client *client, uint64_t now_us)
{
    uint8_t message[VMBUS_MESSAGE_MAX];

    for (unsigned i = 0; i < VMBUS_MESSAGES_PER_POLL && is_on(client); i++) {
        int size;

        if (outbox_room(client) < ROOM_FOR_ANSWERS)
            return; /* the host's messages wait until ours have gone */
        size = vmbus_synic_receive(&client->synic, message);
        if (size < 0)
            return;
        dispatch(client, message, (size_t)size, now_us);
    }
}

/* ---- Time ---- */

static void make_endpoint(struct vmbus_client *client, uint64_t now_us)
{
    client->random ^= now_us;
    for (unsigned i = 0; i < VMBUS_GUID_SIZE; i++) {
        /* Marsaglia's xorshift64: ids that differ, not secrets. */
        client->random ^= client->random << 13;
        client->random ^= client->random >> 7;
        client->random ^= client->random << 17;
        client->endpoint.bytes[i] = (uint8_t)(client->random >> 32);
    }
    client->endpoint.bytes[7] = (uint8_t)((client->endpoint.bytes[7] & 0x0F) | 0x40);
    client->endpoint.bytes[8] = (uint8_t)((client->endpoint.bytes[8] & 0x3F) | 0x80);
}

static void connect_socket(struct vmbus_client *client, uint64_t now_us)
{
    struct vmbus_posting *posting;

    make_endpoint(client, now_us);
    posting = post(client, VMBUS_TL_CONNECT,
                   client->version >= FIRST_WITH_SILO ? VMBUS_TL_SIZE_SILO : VMBUS_TL_SIZE);
    memcpy(posting->bytes + VMBUS_TL_ENDPOINT, client->endpoint.bytes, VMBUS_GUID_SIZE);
    memcpy(posting->bytes + VMBUS_TL_SERVICE, client->wanted.type.bytes, VMBUS_GUID_SIZE);
    client->again_at = now_us + VMBUS_AGAIN_US;
}

static void wait_for_offer(struct vmbus_client *client, uint64_t now_us)
{
    const struct vmbus_offer *offer = vmbus_offers_first(&client->offers);

    /* Everything a channel needs is posted at once. */
    if (client->outbox_count != 0 || client->lent || (offer == NULL && !client->wanted.socket))
        return;
    if (offer != NULL && (now_us >= client->again_at || client->open_tries == 0))
        begin_channel(client, offer, now_us);
    else if (offer == NULL && now_us >= client->again_at)
        connect_socket(client, now_us);
}

static void on_deadline(struct vmbus_client *client, uint64_t now_us)
{
    switch (client->state) {
    case VMBUS_CONTACT:
        if (client->tries++ < VMBUS_CONTACT_TRIES)
            contact(client, now_us);
        else
            fail(client, KD_E_TIMEOUT);
        break;
    case VMBUS_GPADL:
    case VMBUS_OPENING:
    case VMBUS_TEARDOWN:
        client->outbox_count = 0;
        unload(client, now_us);
        break;
    case VMBUS_UNLOADING:
        fail(client, KD_E_TIMEOUT);
        break;
    default:
        break;
    }
}

static void watch_channel(struct vmbus_client *client, uint64_t now_us)
{
    bool signal = false;

    vmbus_pipe_tick(&client->pipe, now_us, &signal);
    if (signal)
        vmbus_synic_signal(&client->synic, client->channel.connection);
    if (!client->pipe.broken && !client->pipe.ended)
        return;
    if (client->wanted.socket) /* a connection serves once; a pipe may be opened again */
        vmbus_offers_remove(&client->offers, client->channel.relid);
    client->again_at = now_us + VMBUS_AGAIN_US;
    client->open_tries = 1;
    tear_down(client, true, now_us);
}

static void watch_time(struct vmbus_client *client, uint64_t now_us)
{
    if (client->state == VMBUS_WAITING) {
        wait_for_offer(client, now_us);
        return;
    }
    if (client->state == VMBUS_OPEN) {
        watch_channel(client, now_us);
        return;
    }
    if (now_us >= client->scan_at) {
        client->scan_at = now_us + VMBUS_SCAN_US;
        vmbus_synic_scan(&client->synic);
    }
    if (now_us >= client->deadline)
        on_deadline(client, now_us);
}

/* ---- Posting ---- */

static bool is_transient(uint32_t status)
{
    return status == HV_INSUFFICIENT_BUFFERS || status == HV_INSUFFICIENT_MEMORY ||
           status == HV_INVALID_CONNECTION; /* how a host throttles us (Linux) */
}

/* Hosts older than 5.0 do not know the connection. A few repetitions tell that from throttling. */
static bool is_unknown_connection(const struct vmbus_client *client, uint32_t status)
{
    return status == HV_INVALID_CONNECTION && client->state == VMBUS_CONTACT &&
           client->connection == VMBUS_CONNECTION_NEW && client->post_tries >= CONNECTION_TRIES;
}

static void contact_old_host(struct vmbus_client *client, uint64_t now_us)
{
    while (client->version_at < VERSIONS && versions[client->version_at] >= FIRST_WITH_SINT)
        client->version_at++;
    client->tries = 1;
    contact(client, now_us);
}

static void post_again_later(struct vmbus_client *client, uint64_t now_us)
{
    client->post_at = now_us + client->post_delay;
    client->post_delay *= 2;
    if (client->post_delay > VMBUS_POST_DELAY_MAX_US)
        client->post_delay = VMBUS_POST_DELAY_MAX_US;
}

static void send_outbox(struct vmbus_client *client, uint64_t now_us)
{
    while (client->outbox_count != 0 && now_us >= client->post_at) {
        const struct vmbus_posting *posting = &client->outbox[client->outbox_first];
        uint32_t status =
            vmbus_synic_post(&client->synic, posting->connection, posting->bytes, posting->size);

        if (status == HV_SUCCESS) {
            client->outbox_first = (client->outbox_first + 1) % VMBUS_OUTBOX_MAX;
            client->outbox_count--;
            client->post_tries = 0;
            client->post_delay = 1;
        } else if (is_unknown_connection(client, status)) {
            contact_old_host(client, now_us);
        } else if (!is_transient(status) || ++client->post_tries >= VMBUS_POST_TRIES) {
            fail(client, KD_E_IO);
        } else {
            post_again_later(client, now_us);
        }
    }
}

/* ---- The outside ---- */

int vmbus_client_start(struct vmbus_client *client, const struct vmbus_hv *hv,
                       const struct vmbus_memory *memory, const struct vmbus_wanted *wanted,
                       uint64_t now_us)
{
    int rc;

    memset(client, 0, sizeof *client);
    client->hv = hv;
    client->memory = *memory;
    client->wanted = *wanted;
    client->gpadl = FIRST_GPADL;
    client->post_delay = 1;
    client->random = wanted->seed | 1;
    if (memory->ring_pages == 0 || memory->ring_pages > VMBUS_RING_PAGES_MAX)
        return KD_E_ARGUMENT;
    rc = vmbus_detect(hv, &client->features);
    if (rc == 0)
        rc =
            vmbus_synic_open(&client->synic, hv, &client->features, &memory->pages, wanted->vector);
    if (rc != 0)
        return rc;
    client->tries = 1;
    contact(client, now_us);
    return KD_OK;
}

void vmbus_client_poll(struct vmbus_client *client, uint64_t now_us)
{
    if (!is_on(client))
        return;
    send_outbox(client, now_us);
    receive(client, now_us);
    if (is_on(client))
        watch_time(client, now_us);
    if (is_on(client))
        send_outbox(client, now_us);
}

void vmbus_client_stop(struct vmbus_client *client, uint64_t now_us)
{
    if (!is_on(client) || client->stopping)
        return;
    client->stopping = true;
    switch (client->state) {
    case VMBUS_GPADL:
    case VMBUS_OPENING:
    case VMBUS_OPEN:
        tear_down(client, client->state != VMBUS_GPADL, now_us);
        break;
    case VMBUS_CONTACT: /* nothing was agreed: there is nothing to leave */
        vmbus_synic_close(&client->synic);
        client->state = VMBUS_OFF;
        break;
    case VMBUS_WAITING:
        unload(client, now_us);
        break;
    default:
        break;
    }
}

void vmbus_client_abandon(struct vmbus_client *client)
{
    client->state = VMBUS_OFF;
    client->outbox_count = 0;
}

size_t vmbus_client_read(struct vmbus_client *client, uint64_t now_us, uint8_t *to, size_t size)
{
    bool signal = false;
    size_t n;

    if (client->state != VMBUS_OPEN)
        return 0;
    n = vmbus_pipe_read(&client->pipe, now_us, to, size, &signal);
    if (signal)
        vmbus_synic_signal(&client->synic, client->channel.connection);
    return n;
}

size_t vmbus_client_write(struct vmbus_client *client, uint64_t now_us, const uint8_t *from,
                          size_t size)
{
    bool signal = false;
    size_t n;

    if (client->state != VMBUS_OPEN)
        return 0;
    n = vmbus_pipe_write(&client->pipe, now_us, from, size, &signal);
    if (signal)
        vmbus_synic_signal(&client->synic, client->channel.connection);
    return n;
}

bool vmbus_client_ready(const struct vmbus_client *client)
{
    if (!is_on(client))
        return false;
    return client->state != VMBUS_OPEN || vmbus_pipe_ready(&client->pipe) ||
           shared_load(client->synic.slot) != 0 || client->outbox_count != 0;
}
