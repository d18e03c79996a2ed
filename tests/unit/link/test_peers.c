/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The link against peers that are not this link: small models written straight from what is known
 * of kdcom-like targets, of debuggers, and of the quirks of stubs and clients in the wild. They
 * share nothing with link.c but the framing.
 */
#include "wires.h"

#include <string.h>

#include "fault.h"

#define MANIPULATE KD_PACKET_STATE_MANIPULATE

enum { READ = 0x3130, STATE = 0x3030, REQUESTS = 500, SEEDS = 10 };

#define TIMEOUT_US 1000000u

enum quirk {
    NO_RETRANSMISSION = 1, /* never sends anything twice */
    ANY_ID = 2,            /* target: accepts any id, of requests and of acknowledgements */
    FIXED_ID = 4,          /* always the same own id */
    STRAY_BYTES = 8,       /* two bytes behind each control packet */
    PRINT_FIRST = 16,      /* target: a print before each reply */
    SYNC_STICKS = 32,      /* target: never clears the SYNC bit */
    BORROWED_ID = 64,      /* debugger: the peer's last id as its own */
    RESEND_ON_DATA = 128,  /* target: answers data with RESEND while it waits for an ACK */
};

/* One peer. A target replies to each request; a debugger asks one after the other. */
struct model {
    bool is_target;
    unsigned quirks;
    uint32_t next, expect;
    bool outstanding;
    uint64_t deadline; /* of the acknowledgement, or of a debugger's patience */
    uint32_t number;   /* of the request asked or answered last */
    bool reply_waits;
    struct kd_stream stream;
    uint8_t packet[KD_PACKET_MAX];
    size_t packet_size;
    uint8_t out[4 * KD_PACKET_MAX];
    size_t out_size;
};

static struct model m;
static struct kd_link link;
static struct sim_fault *to_link, *to_model;
static uint64_t now;

/* ---- the model ---- */

static void model_write(const uint8_t *bytes, size_t size)
{
    assert_true(size <= sizeof(m.out) - m.out_size);
    memcpy(m.out + m.out_size, bytes, size);
    m.out_size += size;
}

static void model_control(uint16_t type, uint32_t packet_id)
{
    uint8_t bytes[KD_HEADER_SIZE + 2] = {0};
    size_t size = make_control(bytes, type, packet_id);
    model_write(bytes, size + (m.quirks & STRAY_BYTES ? 2 : 0));
}

static void model_repeat(void)
{
    m.deadline = now + TIMEOUT_US;
    if (!(m.quirks & NO_RETRANSMISSION))
        model_write(m.packet, m.packet_size);
}

static void model_send(uint16_t type, uint32_t api, uint32_t number)
{
    uint8_t body[BODY_SIZE] = {0};
    kd_put_u32(body, api);
    kd_put_u32(body + 16, number);
    m.packet_size = make_data(m.packet, type, m.next, body, sizeof(body));
    m.outstanding = true;
    m.deadline = now + TIMEOUT_US;
    model_write(m.packet, m.packet_size);
}

static void model_acknowledged(void)
{
    m.outstanding = false;
    m.deadline = KD_NEVER;
    if (!(m.quirks & SYNC_STICKS))
        m.next &= ~0x800u;
    if (!(m.quirks & FIXED_ID))
        m.next ^= 1;
    if (m.reply_waits) {
        m.reply_waits = false;
        model_send(MANIPULATE, READ, m.number);
    }
}

static void model_reply(void)
{
    m.reply_waits = (m.quirks & PRINT_FIRST) != 0;
    if (m.reply_waits)
        model_send(KD_PACKET_DEBUG_IO, 0x3230, 0);
    else
        model_send(MANIPULATE, READ, m.number);
}

/* kdcom's receive procedure, as far as it goes here. */
static void model_target_data(const struct kd_item *item)
{
    uint32_t packet_id = item->header.id;

    if (m.outstanding) {
        if (m.quirks & RESEND_ON_DATA) {
            model_control(KD_PACKET_RESEND, 0);
        } else if (packet_id == m.expect) {
            model_control(KD_PACKET_RESEND, 0);
            model_acknowledged();
        } else {
            model_control(KD_PACKET_ACKNOWLEDGE, packet_id);
        }
        return;
    }
    if (item->faults) {
        model_control(KD_PACKET_RESEND, 0);
    } else if (packet_id != m.expect && !(m.quirks & ANY_ID)) {
        model_control(KD_PACKET_ACKNOWLEDGE, packet_id);
    } else {
        model_control(KD_PACKET_ACKNOWLEDGE, packet_id);
        m.expect = packet_id ^ 1;
        m.number = kd_get_u32(item->body + 16);
        model_reply();
    }
}

static void model_ask(void)
{
    if (m.quirks & BORROWED_ID)
        m.next = m.expect ^ 1;
    model_send(MANIPULATE, READ, m.number);
}

static void model_debugger_data(const struct kd_item *item)
{
    uint32_t packet_id = item->header.id & ~0x800u;

    if (item->faults) {
        model_control(KD_PACKET_RESEND, 0);
        return;
    }
    model_control(KD_PACKET_ACKNOWLEDGE, packet_id);
    if (packet_id != m.expect && !(item->header.id & 0x800))
        return;
    m.expect = packet_id ^ 1;
    if (item->header.type == MANIPULATE) {
        if (kd_get_u32(item->body + 16) != m.number)
            return;
        if (m.outstanding)
            model_acknowledged();
        m.number++;
    }
    if (!m.outstanding)
        model_ask();
}

static void model_item(const struct kd_item *item)
{
    if (item->kind != KD_ITEM_PACKET)
        return;
    if (item->raw[0] != 'i') {
        if (item->raw_size < KD_HEADER_SIZE)
            model_control(KD_PACKET_RESEND, 0);
        else if (m.is_target)
            model_target_data(item);
        else
            model_debugger_data(item);
    } else if (item->faults) {
        return;
    } else if (item->header.type == KD_PACKET_RESEND) {
        if (m.outstanding)
            model_repeat();
    } else if (item->header.type == KD_PACKET_ACKNOWLEDGE) {
        if (m.outstanding && (item->header.id == (m.next & ~0x800u) || m.quirks & ANY_ID))
            model_acknowledged();
    } else if (item->header.type == KD_PACKET_RESET && m.is_target) {
        model_control(KD_PACKET_RESET, 0);
        if (!(m.quirks & FIXED_ID))
            m.next = m.expect = id(A);
        if (m.outstanding) {
            kd_put_u32(m.packet + 8, m.next);
            model_repeat();
        }
    }
}

static void model_tick(void)
{
    struct kd_item item;
    if (now < m.deadline)
        return;
    while (kd_stream_flush(&m.stream, &item)) /* its byte time-out */
        model_item(&item);
    if (m.outstanding)
        model_repeat();
    else
        m.deadline = KD_NEVER;
}

static void model_start(bool is_target, unsigned quirks)
{
    memset(&m, 0, sizeof(m));
    m.is_target = is_target;
    m.quirks = quirks;
    m.next = is_target ? sync_id(A) : id(A);
    m.expect = id(A);
    m.deadline = KD_NEVER;
    kd_stream_init(&m.stream, KD_FRAMING_SERIAL);
    if (is_target)
        model_send(KD_PACKET_STATE_CHANGE64, STATE, 0);
    else
        m.number = 1;
}

/* ---- the engine on the link ---- */

static uint32_t asked; /* debugger: number of the request under way */
static uint64_t patience;

static void link_send(uint16_t type, uint32_t api, uint32_t number, size_t size)
{
    uint8_t body[240] = {0};
    kd_put_u32(body, api);
    kd_put_u32(body + 16, number);
    if (kd_link_send(&link, now, type, body, size, NULL, 0) == 0)
        patience = now + UINT64_C(5) * TIMEOUT_US;
}

/* The reply may come before its request is acknowledged: then that is waited for. */
static void next_request(void)
{
    asked++;
    patience = kd_link_busy(&link) ? now + TIMEOUT_US : now;
}

static void link_events(void)
{
    struct kd_link_event event;
    while (kd_link_event(&link, &event)) {
        uint32_t number = event.body_size > 19 ? kd_get_u32(event.body + 16) : 0;
        if (event.kind == KD_LINK_LOST || event.kind == KD_LINK_RESET)
            patience = now;
        if (event.kind == KD_LINK_RESEND_STOP)
            link_send(KD_PACKET_STATE_CHANGE64, STATE, 0, 240);
        if (event.kind != KD_LINK_PACKET)
            continue;
        if (!m.is_target)
            link_send(MANIPULATE, READ, number, BODY_SIZE);
        else if (event.type == KD_PACKET_STATE_CHANGE64 && !asked)
            link_send(MANIPULATE, READ, ++asked, BODY_SIZE);
        else if (event.type == MANIPULATE && number == asked)
            next_request();
    }
    if (m.is_target && asked && now >= patience) { /* ask, or ask again */
        kd_link_abandon(&link);
        link_send(MANIPULATE, READ, asked, BODY_SIZE);
    }
}

/* ---- the world ---- */

static void write_all(struct sim_fault *wire, const uint8_t *bytes, size_t size)
{
    assert_int_equal(sim_fault_write(wire, now, bytes, size), 0);
}

static bool carry(void)
{
    uint8_t piece[512];
    const uint8_t *bytes;
    struct kd_item item;
    bool moved = m.out_size > 0;
    size_t size;

    write_all(to_link, m.out, m.out_size);
    m.out_size = 0;
    while ((size = kd_link_output(&link, &bytes))) {
        write_all(to_model, bytes, size);
        kd_link_written(&link, now, size);
        moved = true;
    }
    while ((size = sim_fault_read(to_link, now, piece, sizeof(piece)))) {
        moved = true;
        for (size_t at = 0; at < size;) {
            at += kd_link_feed(&link, now, piece + at, size - at);
            link_events();
        }
    }
    while ((size = sim_fault_read(to_model, now, piece, sizeof(piece)))) {
        moved = true;
        for (size_t at = 0; at < size || item.kind != KD_ITEM_NONE;) {
            at += kd_stream_feed(&m.stream, piece + at, size - at, &item);
            model_item(&item);
        }
        if (kd_stream_pending(&m.stream) && m.deadline == KD_NEVER)
            m.deadline = now + TIMEOUT_US;
    }
    return moved;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_done(void)
{
    return (m.is_target ? asked : m.number) > REQUESTS;
}

static uint64_t run(bool model_is_target, unsigned quirks, const char *faults, uint64_t seed)
{
    const struct kd_link_config config = {.role =
                                              model_is_target ? KD_ROLE_DEBUGGER : KD_ROLE_TARGET};
    struct sim_fault_config wire;
    const char *where;

    now = 1000000;
    asked = 0;
    patience = KD_NEVER;
    assert_int_equal(sim_fault_parse(&wire, faults, &where), 0);
    wire.seed = seed;
    to_link = sim_fault_new(&wire);
    wire.seed = ~seed;
    to_model = sim_fault_new(&wire);
    model_start(model_is_target, quirks);
    kd_link_init(&link, &config);
    if (!model_is_target) {
        kd_link_expect(&link, MANIPULATE);
        link_send(KD_PACKET_STATE_CHANGE64, STATE, 0, 240);
    }
    for (size_t turns = 0; !is_done(); turns++) {
        assert_true(turns < 200000);
        if (carry())
            continue;
        uint64_t next = earlier(kd_link_deadline(&link), m.deadline);
        next = earlier(next, earlier(sim_fault_deadline(to_link), sim_fault_deadline(to_model)));
        if (model_is_target)
            next = earlier(next, patience);
        assert_true(next != KD_NEVER);
        now = next > now ? next : now + 1;
        kd_link_tick(&link, now);
        link_events();
        model_tick();
    }
    sim_fault_free(to_link);
    sim_fault_free(to_model);
    return (now - 1000000) / 1000000;
}

static void against(bool model_is_target, unsigned quirks, const char *faults, uint64_t seconds)
{
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t took = run(model_is_target, quirks, faults, seed);
        worst = took > worst ? took : worst;
    }
    print_message("%s, quirks %#x, \"%s\": %d requests in at most %u virtual seconds\n",
                  model_is_target ? "target" : "debugger", quirks, faults, REQUESTS,
                  (unsigned)worst);
    assert_true(worst <= seconds);
}

#define TARGET   true
#define DEBUGGER false

static void test_kdcom_target(void **state)
{
    (void)state;
    against(TARGET, 0, "seed=0", 0);
    against(TARGET, 0, "drop=1%", 120);
    against(TARGET, 0, "all=1%", 240);
    against(TARGET, 0, "all=1%,header=1%", 480);
}

static void test_plain_debugger(void **state)
{
    (void)state;
    against(DEBUGGER, 0, "seed=0", 0);
    against(DEBUGGER, 0, "drop=1%", 120);
    against(DEBUGGER, 0, "all=1%", 240);
}

static void test_strange_targets(void **state)
{
    (void)state;
    against(TARGET, NO_RETRANSMISSION, "seed=0", 0);
    against(TARGET, ANY_ID, "all=1%", 240);
    against(TARGET, FIXED_ID | ANY_ID, "seed=0", 0);
    against(TARGET, STRAY_BYTES, "all=1%", 240);
    against(TARGET, PRINT_FIRST, "all=1%", 480);
    against(TARGET, SYNC_STICKS, "all=1%", 240);
    against(TARGET, RESEND_ON_DATA, "drop=1%", 240);
}

static void test_strange_debuggers(void **state)
{
    (void)state;
    against(DEBUGGER, NO_RETRANSMISSION, "seed=0", 0);
    against(DEBUGGER, FIXED_ID, "seed=0", 0);
    against(DEBUGGER, STRAY_BYTES, "seed=0", 0);
    against(DEBUGGER, STRAY_BYTES, "all=1%", 240);
    against(DEBUGGER, BORROWED_ID, "all=1%", 240);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kdcom_target),
        cmocka_unit_test(test_plain_debugger),
        cmocka_unit_test(test_strange_targets),
        cmocka_unit_test(test_strange_debuggers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
