/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two links, back to back over bad wires, on a virtual clock. Small engines on both ends ask,
 * answer, step and print, and count what took effect: with any fault that the checksum covers,
 * everything happens exactly once and nothing has to be asked again.
 */
#include "wires.h"

#include <string.h>

#include "fault.h"

#define MANIPULATE KD_PACKET_STATE_MANIPULATE
#define STOP       KD_PACKET_STATE_CHANGE64

enum {
    READ = 0x3130,
    WRITE = 0x3131,
    STEP = 0x313C,
    STATE = 0x3030,
    PRINT = 0x3230,
    SEEDS = 20,
    REQUESTS = 1000,
    ONE_PERCENT = SIM_FAULT_ALWAYS / 100,
};

/* A debugger asks again when a reply is this late: far beyond any link time-out. */
#define REPLY_TIMEOUT_US 30000000u

struct debuggee {
    struct kd_link link;
    uint32_t steps;        /* taken */
    uint32_t writes;       /* taken */
    uint32_t last_written; /* number of the request that wrote last */
    uint32_t printed;      /* texts sent */
    uint32_t dropped;
    bool must_print, must_stop; /* as soon as the link is free */
};

struct asker {
    struct kd_link link;
    uint32_t number;  /* of the request under way, from 1 */
    uint32_t api;     /* of it; 0 = none */
    uint32_t steps;   /* seen in state changes */
    uint32_t writes;  /* asked for */
    uint32_t printed; /* texts seen */
    uint64_t asked_at;
    bool stopped;
    bool resetting;
    uint32_t wrong, gaps, again, lost, restarted;
};

static struct debuggee t;
static struct asker d;
static struct sim_fault *wires[2]; /* to the target, to the debugger */
static uint64_t now;
static uint64_t chooser;

static uint32_t choose(uint32_t limit)
{
    chooser = chooser * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chooser >> 33) % limit;
}

/* A body of SIZE bytes that only NUMBER and API determine. */
static void fill(uint8_t *body, size_t size, uint32_t api, uint32_t number)
{
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)((number * 2654435761u + (uint32_t)i * 40503u) >> 11);
    kd_put_u32(body, api);
    kd_put_u32(body + 16, number);
}

static size_t reply_size(uint32_t number)
{
    return number % 50 ? BODY_SIZE + number % 97 : KD_BODY_MAX;
}

/* ---- the target's engine ---- */

static void target_send(uint16_t type, uint32_t api, uint32_t number, size_t size)
{
    static uint8_t body[KD_BODY_MAX];
    fill(body, size, api, number);
    assert_int_equal(kd_link_send(&t.link, now, type, body, size, NULL, 0), 0);
}

static void report_stop(void)
{
    kd_link_expect(&t.link, MANIPULATE);
    target_send(STOP, STATE, t.steps, 240);
}

static void target_request(const struct kd_link_event *event)
{
    uint32_t api = kd_get_u32(event->body);
    uint32_t number = kd_get_u32(event->body + 16);

    if (api == STEP) {
        t.steps++;
        t.must_print = number % 3 == 0;
        t.must_stop = true;
        kd_link_expect(&t.link, KD_PACKET_UNUSED);
        return;
    }
    t.writes += api == WRITE && number != t.last_written;
    if (api == WRITE)
        t.last_written = number;
    target_send(MANIPULATE, api, number, reply_size(number));
}

static void target_events(void)
{
    struct kd_link_event event;
    while (kd_link_event(&t.link, &event)) {
        if (event.kind == KD_LINK_PACKET)
            target_request(&event);
        else if (event.kind == KD_LINK_RESEND_STOP && !kd_link_busy(&t.link))
            report_stop();
        else if (event.kind == KD_LINK_DROPPED)
            t.dropped++;
    }
    if (kd_link_busy(&t.link))
        return;
    if (t.must_print) {
        t.must_print = false;
        target_send(KD_PACKET_DEBUG_IO, PRINT, ++t.printed, BODY_SIZE);
    } else if (t.must_stop) {
        t.must_stop = false;
        report_stop();
    }
}

/* ---- the debugger's engine ---- */

static void ask(void)
{
    uint8_t body[BODY_SIZE];
    fill(body, sizeof(body), d.api, d.number);
    d.asked_at = now;
    d.stopped = d.api != STEP;
    assert_int_equal(kd_link_send(&d.link, now, MANIPULATE, body, sizeof(body), NULL, 0), 0);
}

static void ask_next(void)
{
    static const uint32_t apis[] = {READ, READ, WRITE, STEP};
    if (d.api || d.resetting || !d.stopped || d.number == REQUESTS || kd_link_busy(&d.link))
        return;
    d.number++;
    d.api = apis[choose(4)];
    d.writes += d.api == WRITE;
    ask();
}

static void debugger_packet(const struct kd_link_event *event)
{
    static uint8_t wanted[KD_BODY_MAX];
    uint32_t number = kd_get_u32(event->body + 16);

    if (event->type == KD_PACKET_DEBUG_IO) {
        d.gaps += number != ++d.printed;
        d.printed = number;
    } else if (event->type == STOP) {
        d.stopped = d.api != STEP || number != d.steps;
        if (d.api == STEP && number != d.steps)
            d.api = 0;
        d.steps = number;
    } else if (event->type == MANIPULATE && kd_get_u32(event->body) == d.api &&
               number == d.number) {
        fill(wanted, reply_size(number), d.api, number);
        d.wrong += event->body_size != reply_size(number) ||
                   memcmp(event->body, wanted, event->body_size) != 0;
        d.api = 0;
    }
}

static void start_over(void)
{
    kd_link_abandon(&d.link);
    kd_link_send_reset(&d.link, now);
    d.resetting = true;
    d.asked_at = now;
}

static void debugger_event(const struct kd_link_event *event)
{
    switch (event->kind) {
    case KD_LINK_PACKET:
        debugger_packet(event);
        break;
    case KD_LINK_LOST:
        d.lost++;
        d.resetting = true;
        d.asked_at = now;
        break;
    case KD_LINK_RESET:
    case KD_LINK_RESTARTED:
        d.restarted += event->kind == KD_LINK_RESTARTED;
        kd_link_abandon(&d.link);
        d.resetting = false;
        d.asked_at = now - REPLY_TIMEOUT_US; /* due at once */
        break;
    default:
        break;
    }
}

static uint64_t patience(void)
{
    return d.api || d.resetting || !d.stopped ? d.asked_at + REPLY_TIMEOUT_US : KD_NEVER;
}

static void debugger_events(void)
{
    struct kd_link_event event;
    while (kd_link_event(&d.link, &event))
        debugger_event(&event);
    if (now < patience()) {
        ask_next();
    } else if (!d.api || d.resetting || kd_link_busy(&d.link) || d.again % 3 == 2) {
        d.again++;
        start_over();
    } else {
        d.again++;
        ask();
    }
}

/* ---- the world ---- */

static bool carry(struct kd_link *from, struct sim_fault *wire, struct kd_link *to,
                  void (*events)(void))
{
    uint8_t piece[512];
    const uint8_t *bytes;
    bool moved = false;
    size_t size;

    while ((size = kd_link_output(from, &bytes))) {
        assert_int_equal(sim_fault_write(wire, now, bytes, size), 0);
        kd_link_written(from, now, size);
        moved = true;
    }
    while ((size = sim_fault_read(wire, now, piece, sizeof(piece)))) {
        moved = true;
        for (size_t at = 0; at < size;) {
            at += kd_link_feed(to, now, piece + at, size - at);
            events();
        }
    }
    return moved;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void pass_time(void)
{
    uint64_t next = earlier(kd_link_deadline(&t.link), kd_link_deadline(&d.link));
    next = earlier(next, earlier(sim_fault_deadline(wires[0]), sim_fault_deadline(wires[1])));
    next = earlier(next, patience());
    assert_true(next != KD_NEVER); /* nothing would ever happen again */
    now = next > now ? next : now + 1;
    kd_link_tick(&t.link, now);
    target_events();
    kd_link_tick(&d.link, now);
    debugger_events();
}

static bool is_done(void)
{
    return d.number == REQUESTS && !d.api;
}

/* Returns the virtual seconds it took. */
static uint64_t run(const struct sim_fault_config *config)
{
    const struct kd_link_config target = {.role = KD_ROLE_TARGET};
    const struct kd_link_config debugger = {.role = KD_ROLE_DEBUGGER};
    struct sim_fault_config back = *config;

    memset(&t, 0, sizeof(t));
    memset(&d, 0, sizeof(d));
    now = 1000000000;
    d.asked_at = now;
    chooser = config->seed;
    back.seed = ~config->seed;
    kd_link_init(&t.link, &target);
    kd_link_init(&d.link, &debugger);
    wires[0] = sim_fault_new(config);
    wires[1] = sim_fault_new(&back);
    assert_true(wires[0] && wires[1]);
    report_stop();
    for (size_t turns = 0; !is_done(); turns++) {
        assert_true(turns < 2000000); /* it does not go on for ever at one moment */
        bool moved = carry(&d.link, wires[0], &t.link, target_events);
        moved |= carry(&t.link, wires[1], &d.link, debugger_events);
        if (!moved)
            pass_time();
        assert_true(now < UINT64_C(1000000000000)); /* 11 days */
    }
    for (int way = 0; way < 2; way++)
        sim_fault_free(wires[way]);
    return (now - 1000000000) / 1000000;
}

/* Everything happened once, with the right data, without asking again. */
static void check_exact(const char *what, uint64_t seed, uint64_t seconds)
{
    const struct kd_link_stats *stats = kd_link_stats(&d.link);
    bool exact = !d.wrong && !d.gaps && !d.again && !d.lost && !t.dropped && d.steps == t.steps &&
                 d.writes == t.writes && d.printed == t.printed && d.restarted == 1;
    if (!exact)
        print_error("%s, seed %u: %u wrong, %u asked again, %u lost, %u dropped, %u restarted; "
                    "steps %u/%u writes %u/%u prints %u/%u after %u s\n",
                    what, (unsigned)seed, d.wrong, d.again, d.lost, t.dropped, d.restarted, d.steps,
                    t.steps, d.writes, t.writes, d.printed, t.printed, (unsigned)seconds);
    assert_true(exact);
    assert_int_equal(stats->packets_out, REQUESTS);
    /* all that the target sent came, except what it sent after the last request was done */
    assert_true(stats->packets_in <= kd_link_stats(&t.link)->packets_out);
    assert_true(stats->packets_in + 1 >= kd_link_stats(&t.link)->packets_out);
    assert_true(kd_link_stats(&t.link)->packets_in == REQUESTS);
}

static void all_seeds(const char *what, const struct sim_fault_config *kinds)
{
    uint64_t total = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim_fault_config config = *kinds;
        config.seed = seed * 1000003;
        uint64_t seconds = run(&config);
        check_exact(what, seed, seconds);
        total += seconds;
    }
    print_message("%s: %d x %d requests in %u virtual seconds\n", what, SEEDS, REQUESTS,
                  (unsigned)total);
}

static void one_kind(enum sim_fault_kind kind, const char *what)
{
    struct sim_fault_config config = {0};
    config.ppm[kind] = ONE_PERCENT;
    all_seeds(what, &config);
}

static void test_good_wire(void **state)
{
    const struct sim_fault_config none = {0};
    (void)state;
    assert_int_equal(run(&none), 0);
    check_exact("good wire", 0, 0);
    assert_int_equal(kd_link_stats(&d.link)->repeats_out, 0);
    assert_int_equal(kd_link_stats(&d.link)->repeats_in, 0);
    assert_int_equal(kd_link_stats(&t.link)->repeats_out, 0);
    assert_int_equal(kd_link_stats(&t.link)->repeats_in, 0);
    assert_int_equal(kd_link_stats(&t.link)->resends_out + kd_link_stats(&d.link)->resends_out, 0);
    assert_int_equal(kd_link_stats(&t.link)->junk_bytes + kd_link_stats(&d.link)->junk_bytes, 0);
}

static void test_each_kind(void **state)
{
    (void)state;
    one_kind(SIM_FAULT_DROP, "drop");
    one_kind(SIM_FAULT_LOSE_BYTE, "lose");
    one_kind(SIM_FAULT_FLIP_PAYLOAD, "payload");
    one_kind(SIM_FAULT_FLIP_TRAILER, "trailer");
    one_kind(SIM_FAULT_DUPLICATE, "duplicate");
    one_kind(SIM_FAULT_DELAY, "delay");
    one_kind(SIM_FAULT_SPLIT, "split");
}

static void test_mixes(void **state)
{
    const char *where;
    struct sim_fault_config config;
    (void)state;
    assert_int_equal(sim_fault_parse(&config, "all=1%", &where), 0);
    all_seeds("all kinds", &config);
    assert_int_equal(sim_fault_parse(&config, "drop=1%,duplicate=1%", &where), 0);
    all_seeds("drop and duplicate", &config);
    assert_int_equal(sim_fault_parse(&config, "lose=1%,split=5%,duplicate=5%", &where), 0);
    all_seeds("lose, split, duplicate", &config);
    assert_int_equal(sim_fault_parse(&config, "payload=2%,trailer=2%,delay=5%", &where), 0);
    all_seeds("payload, trailer, delay", &config);
}

/* No checksum covers a header: there the session recovers, or says LOST and recovers after RESET.
 * It never hangs, and data is never wrong. */
static void check_recovers(const char *what, const char *spec)
{
    uint32_t again = 0, lost = 0;
    uint64_t total = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *where;
        struct sim_fault_config config;
        assert_int_equal(sim_fault_parse(&config, spec, &where), 0);
        config.seed = seed;
        total += run(&config);
        assert_int_equal(d.wrong, 0);
        assert_int_equal(d.number, REQUESTS);
        again += d.again;
        lost += d.lost;
    }
    print_message("%s: %d x %d requests in %u virtual seconds, %u asked again, %u lost\n", what,
                  SEEDS, REQUESTS, (unsigned)total, again, lost);
}

static void test_headers(void **state)
{
    (void)state;
    check_recovers("header", "header=1%");
    check_recovers("header and all", "all=1%,header=1%");
    check_recovers("terrible", "all=5%,header=5%");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_wire),
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_mixes),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
