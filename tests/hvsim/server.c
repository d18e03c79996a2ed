/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMBus server of the simulated host. Offsets are written as numbers here, on purpose: the
 * client's header would only repeat the client's mistakes. */
#include <string.h>

#include "hvsim.h"

enum {
    OFFER = 1,
    RESCIND = 2,
    REQUEST_OFFERS = 3,
    ALL_OFFERS = 4,
    OPEN = 5,
    OPEN_RESULT = 6,
    CLOSE = 7,
    GPADL_HEADER = 8,
    GPADL_BODY = 9,
    GPADL_CREATED = 10,
    GPADL_TEARDOWN = 11,
    GPADL_TORNDOWN = 12,
    RELEASED = 13,
    CONTACT = 14,
    VERSION = 15,
    UNLOAD = 16,
    UNLOADED = 17,
    TL_CONNECT = 21,
    TL_RESULT = 23,
    STATUS_FAILED = 0xC0000001u & 0xFFFF,
};

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

bool hvsim_host_knows(const struct hvsim *sim, uint32_t version)
{
    /* Oldest host that knows it; hosts go on answering old numbers. */
    static const struct {
        uint32_t version;
        enum hvsim_host since;
    } known[] = {
        {HVSIM_VERSION(0, 13), HVSIM_2008}, {HVSIM_VERSION(1, 1), HVSIM_2008_R2},
        {HVSIM_VERSION(2, 4), HVSIM_2012},  {HVSIM_VERSION(3, 0), HVSIM_2012_R2},
        {HVSIM_VERSION(4, 0), HVSIM_2016},  {HVSIM_VERSION(4, 1), HVSIM_1709},
        {HVSIM_VERSION(5, 0), HVSIM_1803},  {HVSIM_VERSION(5, 1), HVSIM_1803},
        {HVSIM_VERSION(5, 2), HVSIM_2019},  {HVSIM_VERSION(5, 3), HVSIM_2022},
        {HVSIM_VERSION(6, 0), HVSIM_NEWER},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].version == version)
            return sim->config.host >= known[i].since;
    }
    return false;
}

static void answer(struct hvsim *sim, uint8_t *message, uint8_t type, size_t size)
{
    uint8_t strange[8] = {99, 0, 0, 0, 0, 0, 0, 0};
    uint8_t stub[10] = {OPEN_RESULT, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    message[0] = type;
    if (sim->faults.drop_count != 0 && (sim->faults.drop_answers >> type & 1) != 0) {
        sim->faults.drop_count--;
        return;
    }
    if (sim->faults.unsolicited) {
        hvsim_send(sim, sim->message_sint, strange, sizeof strange);
        hvsim_send(sim, sim->message_sint, stub, sizeof stub);
    }
    hvsim_send(sim, sim->message_sint, message, size);
}

static struct hvsim_channel *by_relid(struct hvsim *sim, uint32_t relid)
{
    for (unsigned i = 0; i < HVSIM_CHANNELS_MAX; i++) {
        struct hvsim_channel *channel = &sim->channels[i];

        if (channel->state > HVSIM_WAITING && channel->relid == relid)
            return channel;
    }
    return NULL;
}

/* ---- Offers ---- */

static void offer(struct hvsim *sim, struct hvsim_channel *channel)
{
    uint8_t m[196] = {0};

    channel->relid = sim->next_relid++;
    channel->connection = channel->relid | sim->message_sint << 12;
    channel->state = HVSIM_OFFERED;
    memcpy(m + 8, channel->type, 16);
    memcpy(m + 24, channel->instance, 16);
    m[56] = (uint8_t)channel->flags;
    m[57] = (uint8_t)(channel->flags >> 8);
    put32(m + 60, channel->pipe_type);
    m[64] = channel->from_host;
    put32(m + 184, channel->relid);
    m[190] = 1;
    put32(m + 192, channel->connection);
    answer(sim, m, OFFER, sizeof m);
}

static struct hvsim_channel *add_channel(struct hvsim *sim, const uint8_t type[16],
                                         const uint8_t instance[16], uint16_t flags)
{
    for (unsigned i = 0; i < HVSIM_CHANNELS_MAX; i++) {
        struct hvsim_channel *channel = &sim->channels[i];

        if (channel->state == HVSIM_FREE) {
            memset(channel, 0, sizeof *channel);
            memcpy(channel->type, type, 16);
            memcpy(channel->instance, instance, 16);
            channel->flags = flags;
            channel->state = HVSIM_WAITING;
            return channel;
        }
    }
    hvsim_violation(sim, "the test makes too many channels, or the client releases none");
    return &sim->channels[0];
}

struct hvsim_channel *hvsim_offer_pipe(struct hvsim *sim, const uint8_t type[16],
                                       const uint8_t instance[16], uint32_t pipe_type)
{
    struct hvsim_channel *channel;

    pthread_mutex_lock(&sim->lock);
    channel = add_channel(sim, type, instance, 0x11);
    channel->pipe_type = pipe_type;
    if (sim->offers_requested)
        offer(sim, channel);
    pthread_mutex_unlock(&sim->lock);
    return channel;
}

void hvsim_offer_devices(struct hvsim *sim)
{
    static const uint8_t instance[16] = {1};

    pthread_mutex_lock(&sim->lock);
    for (uint8_t i = 1; i <= 6; i++) {
        uint8_t type[16] = {i, 0xEE};

        (void)add_channel(sim, type, instance, 1);
    }
    pthread_mutex_unlock(&sim->lock);
}

void hvsim_listen(struct hvsim *sim, const uint8_t service[16])
{
    pthread_mutex_lock(&sim->lock);
    memcpy(sim->socket_service, service, 16);
    pthread_mutex_unlock(&sim->lock);
}

struct hvsim_channel *hvsim_connect(struct hvsim *sim, const uint8_t service[16])
{
    static const uint8_t instance[16] = {0xC0, 1};
    struct hvsim_channel *channel;

    pthread_mutex_lock(&sim->lock);
    channel = add_channel(sim, service, instance, 0x2011);
    channel->from_host = true;
    if (sim->offers_requested)
        offer(sim, channel);
    pthread_mutex_unlock(&sim->lock);
    return channel;
}

static void rescind(struct hvsim *sim, struct hvsim_channel *channel)
{
    uint8_t m[12] = {0};

    if (channel->state == HVSIM_WAITING) {
        channel->state = HVSIM_FREE;
        return;
    }
    channel->state = HVSIM_RESCINDED;
    put32(m + 8, channel->relid);
    answer(sim, m, RESCIND, sizeof m);
}

void hvsim_rescind(struct hvsim *sim, struct hvsim_channel *channel)
{
    pthread_mutex_lock(&sim->lock);
    rescind(sim, channel);
    pthread_mutex_unlock(&sim->lock);
}

struct hvsim_channel *hvsim_find(struct hvsim *sim, const uint8_t type[16])
{
    struct hvsim_channel *found = NULL;

    pthread_mutex_lock(&sim->lock);
    for (unsigned i = 0; i < HVSIM_CHANNELS_MAX && found == NULL; i++) {
        if (sim->channels[i].state != HVSIM_FREE && memcmp(sim->channels[i].type, type, 16) == 0)
            found = &sim->channels[i];
    }
    pthread_mutex_unlock(&sim->lock);
    return found;
}

bool hvsim_is_open(struct hvsim *sim, const struct hvsim_channel *channel)
{
    bool open;

    pthread_mutex_lock(&sim->lock);
    open = channel->state == HVSIM_OPENED;
    pthread_mutex_unlock(&sim->lock);
    return open;
}

/* ---- Session ---- */

/* Every channel and GPADL of the client is the host's again. */
static void release_all(struct hvsim *sim)
{
    memset(sim->gpadls, 0, sizeof sim->gpadls);
    for (unsigned i = 0; i < HVSIM_CHANNELS_MAX; i++) {
        struct hvsim_channel *channel = &sim->channels[i];

        if (channel->state == HVSIM_FREE)
            continue;
        hvsim_close_channel(channel);
        channel->state = channel->state == HVSIM_RESCINDED ? HVSIM_FREE : HVSIM_WAITING;
    }
    sim->offers_requested = false;
    sim->connected = false;
}

static void on_contact(struct hvsim *sim, uint32_t connection, const uint8_t *m, size_t size)
{
    uint8_t a[16] = {0};
    uint32_t version = get32(m + 8);
    uint32_t sint = connection == 4 && version >= HVSIM_VERSION(5, 0) ? m[16] : 2;

    sim->contacts++;
    if (size < 40 || get64(m + 24) != 0 || get64(m + 32) != 0)
        hvsim_violation(sim, "contact of %zu bytes or with monitor pages", size);
    if (version >= HVSIM_VERSION(5, 1) && m[17] != 0)
        hvsim_violation(sim, "contact for trust level %u", m[17]);
    if (sint >= HVSIM_SINTS) {
        hvsim_violation(sim, "contact for SINT %u", sint);
        return;
    }
    release_all(sim);
    sim->message_sint = sint;
    sim->message_vp = get32(m + 12);
    if (!hvsim_host_knows(sim, version) ||
        (sim->config.host == HVSIM_OPENVMM && connection == 4 && sint != 2)) {
        answer(sim, a, VERSION, sizeof a);
        return;
    }
    sim->version = version;
    sim->message_connection = version >= HVSIM_VERSION(5, 0) ? 0x4000u + sim->contacts : 1;
    if (sim->faults.connection != 0)
        sim->message_connection = sim->faults.connection;
    a[8] = 1;
    if (sim->faults.refuse_contact != 0) {
        sim->faults.refuse_contact--;
        a[9] = 1;
    } else {
        sim->connected = true;
    }
    put32(a + 12, version >= HVSIM_VERSION(5, 0) ? sim->message_connection : version);
    answer(sim, a, VERSION, sizeof a);
}

static void on_request_offers(struct hvsim *sim)
{
    uint8_t m[8] = {0};

    if (sim->offers_requested) {
        hvsim_violation(sim, "offers were requested twice");
        return;
    }
    sim->offers_requested = true;
    for (unsigned i = 0; i < HVSIM_CHANNELS_MAX; i++) {
        if (sim->channels[i].state == HVSIM_WAITING)
            offer(sim, &sim->channels[i]);
    }
    answer(sim, m, ALL_OFFERS, sizeof m);
}

/* ---- GPADLs ---- */

static struct hvsim_gpadl *by_gpadl(struct hvsim *sim, uint32_t id)
{
    for (unsigned i = 0; i < HVSIM_GPADLS_MAX; i++) {
        if (sim->gpadls[i].id == id && id != 0)
            return &sim->gpadls[i];
    }
    return NULL;
}

static void gpadl_answer(struct hvsim *sim, uint32_t relid, uint32_t id, uint32_t status)
{
    uint8_t m[20] = {0};

    put32(m + 8, relid);
    put32(m + 12, id);
    put32(m + 16, status);
    answer(sim, m, GPADL_CREATED, sizeof m);
}

static void gpadl_complete(struct hvsim *sim, struct hvsim_gpadl *gpadl)
{
    struct hvsim_channel *channel = by_relid(sim, gpadl->relid);

    if (gpadl->have < gpadl->pages)
        return;
    if (channel != NULL && sim->faults.rescind_on_gpadl) {
        sim->faults.rescind_on_gpadl = false;
        rescind(sim, channel);
    }
    if (sim->faults.refuse_gpadl != 0) {
        sim->faults.refuse_gpadl--;
        gpadl_answer(sim, gpadl->relid, gpadl->id, STATUS_FAILED);
        memset(gpadl, 0, sizeof *gpadl);
        return;
    }
    gpadl_answer(sim, gpadl->relid, gpadl->id, 0);
}

static void on_gpadl_header(struct hvsim *sim, const uint8_t *m, size_t size)
{
    uint32_t relid = get32(m + 8), id = get32(m + 12), bytes = get32(m + 20);
    uint32_t range = m[16] | (uint32_t)m[17] << 8, n = (uint32_t)(size - 28) / 8;
    struct hvsim_gpadl *gpadl = NULL;

    if (by_relid(sim, relid) == NULL || id == 0 || by_gpadl(sim, id) != NULL) {
        hvsim_violation(sim, "GPADL %u for channel %u: id in use, or no such channel", id, relid);
        gpadl_answer(sim, relid, id, STATUS_FAILED);
        return;
    }
    if (size < 28 || (size - 28) % 8 != 0 || bytes % HVSIM_PAGE != 0 || get32(m + 24) != 0 ||
        range != 8 + 8 * (bytes / HVSIM_PAGE) || (m[18] | m[19] << 8) != 1 ||
        bytes / HVSIM_PAGE > HVSIM_RING_PAGES_MAX || n > bytes / HVSIM_PAGE) {
        hvsim_violation(sim, "malformed GPADL_HEADER of %zu bytes", size);
        return;
    }
    for (unsigned i = 0; i < HVSIM_GPADLS_MAX && gpadl == NULL; i++) {
        if (sim->gpadls[i].id == 0)
            gpadl = &sim->gpadls[i];
    }
    if (gpadl == NULL) {
        hvsim_violation(sim, "%u GPADLs are not torn down", HVSIM_GPADLS_MAX);
        return;
    }
    gpadl->id = id;
    gpadl->relid = relid;
    gpadl->pages = bytes / HVSIM_PAGE;
    gpadl->have = 0;
    for (uint32_t i = 0; i < n; i++)
        gpadl->pfn[gpadl->have++] = get64(m + 28 + 8 * (size_t)i);
    gpadl_complete(sim, gpadl);
}

static void on_gpadl_body(struct hvsim *sim, const uint8_t *m, size_t size)
{
    struct hvsim_gpadl *gpadl = by_gpadl(sim, get32(m + 12));
    uint32_t n = (uint32_t)(size - 16) / 8;

    if (gpadl == NULL)
        return; /* dropped without a word, as hosts do */
    if (n > gpadl->pages - gpadl->have) {
        hvsim_violation(sim, "GPADL_BODY with too many pages");
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        gpadl->pfn[gpadl->have++] = get64(m + 16 + 8 * (size_t)i);
    gpadl_complete(sim, gpadl);
}

static void on_gpadl_teardown(struct hvsim *sim, const uint8_t *m)
{
    struct hvsim_gpadl *gpadl = by_gpadl(sim, get32(m + 12));
    struct hvsim_channel *channel = by_relid(sim, get32(m + 8));
    uint8_t a[12] = {0};

    if (gpadl == NULL)
        return;
    if (channel != NULL && channel->state == HVSIM_OPENED && channel->gpadl == gpadl->id) {
        hvsim_violation(sim, "GPADL torn down under an open channel");
        return;
    }
    put32(a + 8, gpadl->id);
    memset(gpadl, 0, sizeof *gpadl);
    answer(sim, a, GPADL_TORNDOWN, sizeof a);
}

/* ---- Open and close ---- */

static bool attach_rings(struct hvsim *sim, struct hvsim_channel *channel,
                         const struct hvsim_gpadl *gpadl, uint32_t offset)
{
    uint8_t *pages[HVSIM_RING_PAGES_MAX];

    if (gpadl == NULL || offset < 2 || offset > gpadl->pages - 2)
        return false;
    for (uint32_t i = 0; i < gpadl->pages; i++) {
        pages[i] = hvsim_memory(sim, gpadl->pfn[i] * HVSIM_PAGE, HVSIM_PAGE);
        if (pages[i] == NULL)
            return false;
    }
    hvsim_ring_attach(&channel->in, pages, (offset - 1) * HVSIM_PAGE);
    hvsim_ring_attach(&channel->out, pages + offset, (gpadl->pages - offset - 1) * HVSIM_PAGE);
    if (channel->in.pages[0][64] != 1)
        hvsim_violation(sim, "the client does not announce the pending send size");
    channel->out.pages[0][64] = 1;
    return true;
}

static void on_open(struct hvsim *sim, const uint8_t *m, size_t size)
{
    struct hvsim_channel *channel = by_relid(sim, get32(m + 8));
    struct hvsim_gpadl *gpadl = by_gpadl(sim, get32(m + 16));
    uint8_t a[20] = {0};
    bool refused = sim->faults.refuse_open != 0;

    if (channel != NULL && channel->state == HVSIM_OFFERED && sim->faults.rescind_on_open) {
        sim->faults.rescind_on_open = false;
        rescind(sim, channel);
    }
    if (channel != NULL && channel->state == HVSIM_RESCINDED)
        return; /* ignored */
    if (channel == NULL || channel->state != HVSIM_OFFERED || size < 148) {
        hvsim_violation(sim, "OPENCHANNEL of %zu bytes for channel %u", size, get32(m + 8));
        return;
    }
    memcpy(a + 8, m + 8, 8);
    if (refused) {
        sim->faults.refuse_open--;
        put32(a + 16, STATUS_FAILED);
    } else if (!attach_rings(sim, channel, gpadl, get32(m + 24))) {
        hvsim_violation(sim, "OPENCHANNEL with rings that cannot be");
        put32(a + 16, STATUS_FAILED);
    } else {
        channel->gpadl = gpadl->id;
        channel->target_vp = get32(m + 20);
        channel->state = HVSIM_OPENED;
    }
    answer(sim, a, OPEN_RESULT, sizeof a);
}

static void on_close(struct hvsim *sim, const uint8_t *m)
{
    struct hvsim_channel *channel = by_relid(sim, get32(m + 8));

    if (channel == NULL) {
        hvsim_violation(sim, "CLOSECHANNEL for channel %u", get32(m + 8));
        return;
    }
    hvsim_close_channel(channel);
    if (channel->state == HVSIM_OPENED)
        channel->state = HVSIM_OFFERED;
    if ((channel->flags & 0x2000) != 0 && channel->state == HVSIM_OFFERED)
        rescind(sim, channel); /* a connection is used once */
}

static void on_released(struct hvsim *sim, const uint8_t *m)
{
    struct hvsim_channel *channel = by_relid(sim, get32(m + 8));

    if (channel == NULL || channel->state != HVSIM_RESCINDED) {
        hvsim_violation(sim, "RELID_RELEASED for channel %u, which was not rescinded",
                        get32(m + 8));
        return;
    }
    for (unsigned i = 0; i < HVSIM_GPADLS_MAX; i++) {
        if (sim->gpadls[i].relid == channel->relid && sim->gpadls[i].id != 0)
            hvsim_violation(sim, "channel released with a GPADL");
    }
    sim->released++;
    channel->state = HVSIM_FREE;
}

static void on_socket(struct hvsim *sim, const uint8_t *m, size_t size)
{
    uint8_t a[44] = {0};

    if (size < (sim->version >= HVSIM_VERSION(5, 2) ? 56u : 40u) ||
        sim->version < HVSIM_VERSION(4, 0)) {
        hvsim_violation(sim, "TL_CONNECT of %zu bytes", size);
        return;
    }
    if (memcmp(m + 24, sim->socket_service, 16) != 0 || sim->faults.refuse_socket != 0) {
        if (sim->faults.refuse_socket != 0)
            sim->faults.refuse_socket--;
        memcpy(a + 8, m + 8, 32);
        put32(a + 40, 0xC0000236u); /* connection refused */
        answer(sim, a, TL_RESULT, sizeof a);
        return;
    }
    sim->socket = add_channel(sim, m + 24, m + 8, 0x2011);
    offer(sim, sim->socket);
}

void hvsim_serve(struct hvsim *sim, uint32_t connection, const struct hvsim_message *message)
{
    const uint8_t *m = message->bytes;
    size_t size = message->size;
    uint8_t unloaded[8] = {0};
    uint32_t type = get32(m);
    static const uint8_t least[32] = {
        [OPEN] = 148,    [CLOSE] = 12,   [GPADL_HEADER] = 28,  [GPADL_BODY] = 16,
        [RELEASED] = 12, [CONTACT] = 40, [GPADL_TEARDOWN] = 16};

    if (type >= sizeof least || size < least[type] || get32(m + 4) != 0) {
        hvsim_violation(sim, "message %u of %zu bytes", type, size);
        return;
    }
    if (type == CONTACT) {
        on_contact(sim, connection, m, size);
        return;
    }
    if (!sim->connected || connection != sim->message_connection) {
        if (connection == 4 || sim->connected)
            hvsim_violation(sim, "message %u on connection %u", type, connection);
        return;
    }
    switch (type) {
    case REQUEST_OFFERS:
        on_request_offers(sim);
        break;
    case GPADL_HEADER:
        on_gpadl_header(sim, m, size);
        break;
    case GPADL_BODY:
        on_gpadl_body(sim, m, size);
        break;
    case GPADL_TEARDOWN:
        on_gpadl_teardown(sim, m);
        break;
    case OPEN:
        on_open(sim, m, size);
        break;
    case CLOSE:
        on_close(sim, m);
        break;
    case RELEASED:
        on_released(sim, m);
        break;
    case TL_CONNECT:
        on_socket(sim, m, size);
        break;
    case UNLOAD:
        sim->unloads++;
        release_all(sim);
        answer(sim, unloaded, UNLOADED, sizeof unloaded);
        break;
    default:
        hvsim_violation(sim, "message of type %u", type);
        break;
    }
}

bool hvsim_signalled(struct hvsim *sim, uint32_t connection)
{
    for (unsigned i = 0; i < HVSIM_CHANNELS_MAX; i++) {
        struct hvsim_channel *channel = &sim->channels[i];

        if (channel->state > HVSIM_WAITING && channel->connection == connection) {
            channel->signals++;
            return true;
        }
    }
    return false;
}
