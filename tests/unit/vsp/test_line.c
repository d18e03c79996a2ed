/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver and real TCP peers: both directions, loss and return, listening, stalls, threads. */
#include "bench.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A chunk is larger than what the driver takes from the socket at a time, and no multiple of it. */
enum { BULK = 10 * 1024 * 1024, CHUNK = 100000 };

static struct wdf_file_handle *port, *console;

static int open_both(void **state)
{
    start_device(state);
    port = open_port();
    console = open_control();
    return 0;
}

static int close_both(void **state)
{
    fake_close(port);
    fake_close(console);
    return end_device(state);
}

static int connected_peer(const char *address)
{
    uint16_t number = 0;
    int listener = listen_at(address, &number);
    connect_port(console, address, number);
    int peer = accept_peer(listener);
    close(listener);
    wait_for_state(console, VSP_UP);
    return peer;
}

static uint32_t modem(void)
{
    uint32_t value = 0;
    assert_int_equal(control(port, SERIAL_GET_MODEMSTATUS, NULL, 0, &value, 4), 0);
    return value;
}

static void test_both_directions(void **state)
{
    (void)state;
    int peer = connected_peer("127.0.0.1");
    assert_int_equal(modem() & 0xF0, SERIAL_MODEM_CTS | SERIAL_MODEM_DSR | SERIAL_MODEM_DCD);
    write_text(port, "hello");
    expect_text(peer, "hello");
    send_text(peer, "answer");
    read_text(port, "answer");
    assert_int_equal(get_status(console).sent, 5);
    assert_int_equal(get_status(console).received, 6);
    close(peer);
}

static void test_ipv6(void **state)
{
    (void)state;
    int peer = connected_peer("::1");
    write_text(port, "six");
    expect_text(peer, "six");
    close(peer);
}

static void test_name_is_looked_up(void **state)
{
    uint16_t number = 0;
    (void)state;
    int listener = listen_at("127.0.0.1", &number);
    connect_port(console, "localhost", number); /* ::1 first, maybe; then 127.0.0.1 */
    int peer = accept_peer(listener);
    write_text(port, "by name");
    expect_text(peer, "by name");
    close(peer);
    close(listener);
}

static void test_unknown_name_is_a_problem_not_an_end(void **state)
{
    (void)state;
    connect_port(console, "no-such-host.invalid", 7001);
    wait_for_state(console, VSP_PAUSE);
    assert_non_null(strstr(get_status(console).problem, "no-such-host.invalid"));
}

/* A resolver that does not answer until it is told to. */
static atomic_int slow_lookups;
static atomic_bool resolver_answers;

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (strncmp(node, "slow", 4) || (hints->ai_flags & AI_NUMERICHOST))
        return real(node, service, hints, list);
    atomic_fetch_add(&slow_lookups, 1);
    while (!atomic_load(&resolver_answers))
        sleep_ms(1);
    atomic_fetch_sub(&slow_lookups, 1);
    return EAI_NONAME;
}

static void wait_for_lookups(int count)
{
    WAIT_UNTIL(atomic_load(&slow_lookups) == count);
}

/* Other settings, sleep and removal do not wait for it. */
static void test_a_slow_resolver_holds_up_nothing(void **state)
{
    (void)state;
    atomic_store(&resolver_answers, false);
    connect_port(console, "slow.invalid", 7001);
    wait_for_lookups(1);
    int peer = connected_peer("127.0.0.1");
    write_text(port, "elsewhere");
    expect_text(peer, "elsewhere");
    close(peer);
    connect_port(console, "slow-again.invalid", 7001);
    wait_for_lookups(2);
    fake_sleep();
    assert_int_equal(get_status(console).state, VSP_IDLE);
    assert_int_equal(fake_wake(), WDF_OK);
    wait_for_lookups(3);
    fake_surprise_removal();
    fake_close(port);
    fake_close(console);
    fake_remove_device();
    assert_int_equal(atomic_load(&slow_lookups), 3); /* nobody has answered */
    atomic_store(&resolver_answers, true);
    wait_for_lookups(0);
    sleep_ms(20);
    assert_int_equal(fake_add_device(), WDF_OK); /* for the teardown */
    port = open_port();
    console = open_control();
    connect_port(console, "slow.invalid", 7001);
    WAIT_UNTIL(strstr(get_status(console).problem, "slow.invalid"));
}

static void test_peer_refuses_then_is_there(void **state)
{
    uint16_t number = 0;
    (void)state;
    close(listen_at("127.0.0.1", &number));
    connect_port(console, "127.0.0.1", number);
    wait_for_state(console, VSP_PAUSE);
    assert_non_null(strstr(get_status(console).problem, "refused"));
    assert_int_equal(modem() & 0xF0, 0);
    int listener = listen_at("127.0.0.1", &number);
    int peer = accept_peer(listener);
    write_text(port, "at last");
    expect_text(peer, "at last");
    assert_string_equal(get_status(console).problem, "");
    close(peer);
    close(listener);
}

static void test_peer_closes_and_returns(void **state)
{
    uint16_t number = 0;
    (void)state;
    int listener = listen_at("127.0.0.1", &number);
    connect_port(console, "127.0.0.1", number);
    for (int round = 0; round < 3; round++) {
        int peer = accept_peer(listener);
        struct fake_request *read = fake_new(port);
        fake_read(read, 4);
        send_text(peer, "ab");
        if (round == 1)
            reset_peer(peer);
        else
            close(peer);
        peer = accept_peer(listener); /* it comes back by itself; the read has waited */
        send_text(peer, "cdef");
        expect_done(read);
        assert_int_equal(read->status, WDF_OK);
        /* A reset may have taken "ab" with it; what came is in order. */
        assert_memory_equal(read->data, round == 1 && read->data[0] == 'c' ? "cdef" : "abcd", 4);
        fake_free(read);
        assert_int_equal(control(port, SERIAL_PURGE, &(uint32_t){15}, 4, NULL, 0), 0);
        close(peer);
    }
    close(listener);
}

static void test_write_waits_for_the_connection(void **state)
{
    uint16_t number = 0;
    (void)state;
    struct fake_request *write = fake_new(port);
    fake_write(write, "early", 5);
    sleep_ms(20);
    assert_false(fake_is_done(write));
    int listener = listen_at("127.0.0.1", &number);
    connect_port(console, "127.0.0.1", number);
    int peer = accept_peer(listener);
    expect_text(peer, "early");
    expect_done(write);
    assert_int_equal(write->status, WDF_OK);
    fake_free(write);
    close(peer);
    close(listener);
}

static void test_offline_writes_as_set(void **state)
{
    (void)state;
    struct vsp_settings s = get_settings(console);
    s.offline = VSP_OFFLINE_DISCARD;
    set_settings(console, &s);
    write_text(port, "gone");
    assert_int_equal(get_status(console).lost, 4);
    s.offline = VSP_OFFLINE_FAIL;
    set_settings(console, &s);
    struct fake_request *write = fake_new(port);
    fake_write(write, "no", 2);
    assert_true(fake_is_done(write));
    assert_int_equal(write->status, (wdf_status)SERIAL_CONNECTION_DROPPED);
    fake_free(write);
}

static void test_listener(void **state)
{
    uint32_t mask = SERIAL_EV_RING | SERIAL_EV_RLSD;
    char byte = 0;
    (void)state;
    uint16_t number = listen_port(console, "");
    assert_int_equal(control(port, SERIAL_SET_WAIT_MASK, &mask, 4, NULL, 0), 0);
    struct fake_request *wait = fake_new(port);
    fake_control(wait, SERIAL_WAIT_ON_MASK, NULL, 0, 4);
    int first = connect_to("127.0.0.1", number);
    expect_done(wait);
    assert_true(*(uint32_t *)(void *)wait->data & mask);
    fake_free(wait);
    wait_for_state(console, VSP_UP);
    int second = connect_to("127.0.0.1", number);
    assert_int_equal(recv(second, &byte, 1, 0), 0); /* refused: one peer at a time */
    close(second);
    send_text(first, "1");
    read_text(port, "1");
    close(first);
    wait_for_state(console, VSP_LISTENING);
    first = connect_to("127.0.0.1", number);
    send_text(first, "2");
    read_text(port, "2");
    close(first);
}

/* Whoever sets something and then asks is not told of what was before. */
static void test_status_is_of_the_settings_that_are_set(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        listen_port(console, "");
        struct vsp_settings s = get_settings(console);
        s.port = UINT16_MAX;
        snprintf(s.host, sizeof(s.host), "192.0.2.1"); /* no address of this machine */
        set_settings(console, &s);
        assert_int_not_equal(get_status(console).state, VSP_LISTENING);
        assert_int_equal(get_status(console).local_port, 0);
        wait_for_state(console, VSP_PAUSE);
    }
}

static void test_second_peer_takes_over(void **state)
{
    char byte = 0;
    (void)state;
    struct vsp_settings s = get_settings(console);
    s.second = VSP_SECOND_TAKES_OVER;
    set_settings(console, &s);
    uint16_t number = listen_port(console, "*"); /* any address: IPv4 and IPv6 */
    int first = connect_to("127.0.0.1", number);
    wait_for_state(console, VSP_UP);
    int second = connect_to("::1", number);
    assert_int_equal(recv(first, &byte, 1, 0), 0);
    send_text(second, "new");
    read_text(port, "new");
    close(first);
    close(second);
}

static void expect_bytes(int peer, const void *bytes, size_t size)
{
    char got[256];
    for (size_t have = 0; have < size;) {
        ssize_t count = recv(peer, got + have, size - have, 0);
        assert_true(count > 0);
        have += (size_t)count;
        assert_memory_equal(got, bytes, have);
    }
}

static void set_protocol(enum vsp_telnet protocol)
{
    struct vsp_settings s = get_settings(console);
    s.telnet = protocol;
    set_settings(console, &s);
}

static void test_telnet(void **state)
{
    uint32_t mask = SERIAL_EV_BREAK;
    (void)state;
    set_protocol(VSP_TELNET);
    int peer = connected_peer("127.0.0.1");
    expect_bytes(peer, "\xff\xfb\0\xff\xfd\0\xff\xfb\3\xff\xfd\3", 12);
    write_text(port, "a\xff\xff"
                     "b");
    expect_bytes(peer,
                 "a\xff\xff\xff\xff"
                 "b",
                 6);
    assert_int_equal(control(port, SERIAL_SET_WAIT_MASK, &mask, 4, NULL, 0), 0);
    send_text(peer, "x\xff\xfd\x18\xff\xff\xff\xf3y"); /* DO, a doubled FF, a break */
    read_text(port, "x\xffy");
    expect_bytes(peer, "\xff\xfc\x18", 3);
    assert_int_equal(control(port, SERIAL_WAIT_ON_MASK, NULL, 0, NULL, 4), 0);
    assert_int_equal(control(port, SERIAL_SET_BREAK_ON, NULL, 0, NULL, 0), 0);
    assert_int_equal(control(port, SERIAL_SET_BREAK_OFF, NULL, 0, NULL, 0), 0);
    expect_bytes(peer, "\xff\xf3", 2);
    assert_int_equal(get_status(console).received, 3); /* what is said beside is not counted */
    assert_int_equal(get_status(console).sent, 4);
    close(peer);
}

static void expect_modem(uint32_t lines)
{
    WAIT_UNTIL((modem() & 0xF0) == lines);
}

static void test_rfc2217(void **state)
{
    const uint32_t baud = 9600;
    char block[4096];
    (void)state;
    set_protocol(VSP_RFC2217);
    int peer = connected_peer("127.0.0.1");
    expect_modem(SERIAL_MODEM_CTS | SERIAL_MODEM_DSR | SERIAL_MODEM_DCD);
    assert_int_equal(send(peer,
                          "\xff\xfd\x2c"
                          "\xff\xfa\x2c\x6b\x20\xff\xf0",
                          10, 0),
                     10);
    expect_modem(SERIAL_MODEM_DSR); /* the far line's own */
    while (recv(peer, block, sizeof(block), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(control(port, SERIAL_SET_BAUD_RATE, &baud, 4, NULL, 0), 0);
    expect_bytes(peer, "\xff\xfa\x2c\1\0\0\x25\x80\xff\xf0", 10);
    /* The peer suspends: data waits, and goes when it resumes. */
    assert_int_equal(send(peer,
                          "\xff\xfa\x2c\x6c\xff\xf0"
                          "s",
                          7, 0),
                     7);
    read_text(port, "s");
    struct fake_request *write = fake_new(port);
    fake_write(write, "later", 5);
    sleep_ms(20);
    assert_false(fake_is_done(write));
    assert_int_equal(send(peer, "\xff\xfa\x2c\x6d\xff\xf0", 6, 0), 6);
    expect_done(write);
    fake_free(write);
    expect_bytes(peer, "later", 5);
    close(peer);
}

static void *send_ff(void *argument)
{
    static uint8_t block[200000];
    memset(block, 0xFF, sizeof(block));
    assert_int_equal(send(*(int *)argument, block, sizeof(block), 0), sizeof(block));
    return NULL;
}

/* Pairs are cut by every buffer on the way, and the port's queue is full in between. */
static void test_telnet_bulk(void **state)
{
    static uint8_t block[200000];
    pthread_t thread;
    (void)state;
    set_protocol(VSP_TELNET);
    int peer = connected_peer("127.0.0.1");
    expect_bytes(peer, "\xff\xfb\0\xff\xfd\0\xff\xfb\3\xff\xfd\3", 12);
    assert_int_equal(pthread_create(&thread, NULL, send_ff, &peer), 0);
    sleep_ms(20);
    for (size_t have = 0; have < sizeof(block) / 2; have += 1000) {
        struct fake_request *read = fake_new(port);
        fake_read(read, 1000);
        expect_done(read);
        assert_int_equal(read->data[999], 0xFF);
        fake_free(read);
    }
    pthread_join(thread, NULL);
    memset(block, 0xFF, sizeof(block));
    struct fake_request *write = fake_new(port);
    fake_write(write, block, sizeof(block));
    for (size_t have = 0; have < 2 * sizeof(block);) {
        ssize_t count = recv(peer, block, sizeof(block), 0);
        assert_true(count > 0);
        have += (size_t)count;
    }
    expect_done(write);
    assert_int_equal(get_status(console).received, 100000);
    fake_free(write);
    close(peer);
}

static void test_port_in_use_is_said(void **state)
{
    uint16_t number = 0;
    (void)state;
    int other = listen_at("127.0.0.1", &number);
    struct vsp_settings s = get_settings(console);
    s.mode = VSP_LISTEN;
    s.port = number;
    set_settings(console, &s);
    wait_for_state(console, VSP_PAUSE);
    assert_non_null(strstr(get_status(console).problem, "in use"));
    close(other);
}

static void test_connection_when_open(void **state)
{
    uint16_t number = 0;
    (void)state;
    int listener = listen_at("127.0.0.1", &number);
    struct vsp_settings s = get_settings(console);
    s.mode = VSP_CONNECT;
    s.when = VSP_WHEN_OPEN;
    s.port = number;
    snprintf(s.host, sizeof(s.host), "127.0.0.1");
    fake_close(port);
    set_settings(console, &s);
    sleep_ms(50);
    assert_int_equal(get_status(console).state, VSP_IDLE);
    port = open_port();
    int peer = accept_peer(listener);
    fake_close(port);
    wait_for_state(console, VSP_IDLE);
    close(peer);
    s.when = VSP_WHEN_DTR;
    set_settings(console, &s);
    port = open_port(); /* DTR rises with it */
    peer = accept_peer(listener);
    assert_int_equal(control(port, SERIAL_CLR_DTR, NULL, 0, NULL, 0), 0);
    wait_for_state(console, VSP_IDLE);
    close(peer);
    close(listener);
}

static void test_removal_drops_the_peer(void **state)
{
    char byte = 0;
    (void)state;
    int peer = connected_peer("127.0.0.1");
    fake_surprise_removal();
    assert_int_equal(recv(peer, &byte, 1, 0), 0);
    close(peer);
}

static void test_the_last_bytes_can_be_looked_at(void **state)
{
    char block[VSP_TAIL_MAX + 1808];
    char tail[VSP_TAIL_MAX] = "";
    (void)state;
    int peer = connected_peer("127.0.0.1");
    send_text(peer, "abc");
    read_text(port, "abc"); /* taken by a program, and yet */
    assert_int_equal(control(console, VSP_READ_TAIL, NULL, 0, tail, sizeof(tail)), 0);
    assert_string_equal(tail, "abc");
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i % 251);
    assert_int_equal(send(peer, block, sizeof(block), 0), sizeof(block));
    WAIT_UNTIL(get_status(console).received >= 3 + sizeof(block));
    assert_int_equal(control(console, VSP_READ_TAIL, NULL, 0, tail, sizeof(tail)), 0);
    assert_memory_equal(tail, block + 1808, VSP_TAIL_MAX);
    assert_int_equal(control(console, VSP_READ_TAIL, NULL, 0, tail, 5), 0);
    assert_memory_equal(tail, block + sizeof(block) - 5, 5);
    close(peer);
}

static void test_sleep_and_resume(void **state)
{
    uint16_t number = 0;
    (void)state;
    int listener = listen_at("127.0.0.1", &number);
    connect_port(console, "127.0.0.1", number);
    int peer = accept_peer(listener);
    wait_for_state(console, VSP_UP);
    struct fake_request *read = fake_new(port);
    fake_read(read, 5);
    fake_sleep();
    assert_int_equal(get_status(console).state, VSP_IDLE);
    assert_int_equal(fake_wake(), WDF_OK);
    close(peer);
    peer = accept_peer(listener);
    send_text(peer, "again");
    expect_done(read);
    fake_free(read);
    close(peer);
    close(listener);
}

struct bulk {
    int peer;
    unsigned nap_us; /* a slow peer */
    bool sends;
    uint32_t wrong;
};

static uint8_t bulk_byte(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

static void *bulk_peer(void *argument)
{
    struct bulk *bulk = argument;
    static uint8_t block[CHUNK];
    size_t at = 0;
    while (at < BULK) {
        size_t want = BULK - at < sizeof(block) ? BULK - at : sizeof(block);
        for (size_t i = 0; bulk->sends && i < want; i++)
            block[i] = bulk_byte(at + i);
        ssize_t count = bulk->sends ? send(bulk->peer, block, want, MSG_NOSIGNAL)
                                    : recv(bulk->peer, block, want, 0);
        if (count <= 0) {
            bulk->wrong++;
            break;
        }
        for (size_t i = 0; !bulk->sends && i < (size_t)count; i++)
            bulk->wrong += block[i] != bulk_byte(at + i);
        at += (size_t)count;
        if (bulk->nap_us)
            usleep(bulk->nap_us);
    }
    return NULL;
}

static void move_bulk(bool peer_sends, unsigned nap_us)
{
    static uint8_t block[CHUNK];
    pthread_t thread;
    struct bulk bulk = {.peer = connected_peer("127.0.0.1"), .nap_us = nap_us, .sends = peer_sends};
    assert_int_equal(pthread_create(&thread, NULL, bulk_peer, &bulk), 0);
    for (size_t at = 0; at < BULK;) {
        size_t want = BULK - at < sizeof(block) ? BULK - at : sizeof(block);
        struct fake_request *request = fake_new(port);
        for (size_t i = 0; !peer_sends && i < want; i++)
            block[i] = bulk_byte(at + i);
        if (peer_sends)
            fake_read(request, want);
        else
            fake_write(request, block, want);
        expect_done(request);
        assert_int_equal(request->information, want);
        for (size_t i = 0; peer_sends && i < want; i++)
            bulk.wrong += request->data[i] != bulk_byte(at + i);
        at += want;
        fake_free(request);
    }
    pthread_join(thread, NULL);
    assert_int_equal(bulk.wrong, 0);
    close(bulk.peer);
}

static void test_bulk_in(void **state)
{
    (void)state;
    move_bulk(true, 0);
}

static void test_bulk_out(void **state)
{
    (void)state;
    move_bulk(false, 0);
}

static void test_bulk_to_a_slow_peer(void **state)
{
    (void)state;
    move_bulk(false, 500);
}

static void test_unread_bytes_stop_the_sender(void **state)
{
    static uint8_t block[CHUNK];
    size_t sent = 0;
    (void)state;
    int peer = connected_peer("127.0.0.1");
    for (int tries = 0; tries < 200; tries++) { /* until queue and both windows are full */
        ssize_t count = send(peer, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0)
            sent += (size_t)count;
        else
            sleep_ms(1);
    }
    WAIT_UNTIL(get_status(console).in_queue == 64 * 1024);
    shutdown(peer, SHUT_WR);
    set_timeouts(port, 0, 0, WAIT_MS);
    size_t got = 0;
    while (got < sent) {
        struct fake_request *read = fake_new(port);
        fake_read(read, sent - got < 60000 ? sent - got : 60000);
        expect_done(read);
        assert_true(read->information > 0);
        got += read->information;
        fake_free(read);
    }
    assert_int_equal(got, sent);
    close(peer);
}

/* Many threads send and cancel at once while the line loses and finds its peer. */
static atomic_bool over;

static void *hammer(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    while (!atomic_load(&over)) {
        struct fake_request *request = fake_new(port);
        switch (rand_r(&seed) % 4) {
        case 0:
            fake_read(request, 1 + (size_t)rand_r(&seed) % 50);
            break;
        case 1:
            fake_write(request, "0123456789012345678901234567890123456789", 40);
            break;
        case 2:
            fake_control(request, SERIAL_WAIT_ON_MASK, NULL, 0, 4);
            break;
        default:
            fake_control(request, SERIAL_PURGE, &(uint32_t){1 + (uint32_t)rand_r(&seed) % 15}, 4,
                         0);
            break;
        }
        for (int i = 0; i < rand_r(&seed) % 3; i++)
            sched_yield();
        fake_cancel(request);
        expect_done(request);
        fake_free(request);
    }
    return NULL;
}

static void test_threads(void **state)
{
    enum { THREADS = 4, ROUNDS = 25 };
    pthread_t threads[THREADS];
    unsigned seeds[THREADS] = {1, 2, 3, 4};
    uint32_t mask = 0x1ff;
    uint16_t number = 0;
    char drop[4096];
    (void)state;
    atomic_store(&over, false);
    set_timeouts(port, 1, 0, 2);
    assert_int_equal(control(port, SERIAL_SET_WAIT_MASK, &mask, 4, NULL, 0), 0);
    int listener = listen_at("127.0.0.1", &number);
    connect_port(console, "127.0.0.1", number);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    for (int round = 0; round < ROUNDS; round++) {
        int peer = accept_peer(listener);
        for (int i = 0; i < 10; i++) {
            /* May be a connection that a late order to reconnect ends. */
            (void)!send(peer, "bytes for whoever reads", 23, MSG_NOSIGNAL);
            (void)!recv(peer, drop, sizeof(drop), MSG_DONTWAIT);
        }
        if (round % 2)
            reset_peer(peer);
        else
            close(peer);
        control(console, VSP_RECONNECT, NULL, 0, NULL, 0);
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fake_pending(), 0);
    close(listener);
}

static void *change_settings(void *argument)
{
    struct vsp_settings *s = argument;
    for (int i = 0; i < 100; i++)
        set_settings(console, s);
    return NULL;
}

/* Two vspControls at once: what is kept is one's or the other's. */
static void test_settings_do_not_mix(void **state)
{
    pthread_t threads[2];
    struct vsp_settings s[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        s[i] = get_settings(console);
        s[i].keepalive = s[i].retry = s[i].port = 1 + (uint32_t)i;
        s[i].host[0] = (char)('a' + i);
        assert_int_equal(pthread_create(&threads[i], NULL, change_settings, &s[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    fake_close(port);
    fake_close(console);
    fake_remove_device();
    assert_int_equal(fake_add_device(), WDF_OK);
    port = open_port();
    console = open_control();
    const struct vsp_settings kept = get_settings(console);
    assert_memory_equal(&kept, &s[kept.port == 2], sizeof(kept));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_directions),
        TEST(test_ipv6),
        TEST(test_name_is_looked_up),
        TEST(test_unknown_name_is_a_problem_not_an_end),
        TEST(test_a_slow_resolver_holds_up_nothing),
        TEST(test_peer_refuses_then_is_there),
        TEST(test_peer_closes_and_returns),
        TEST(test_write_waits_for_the_connection),
        TEST(test_offline_writes_as_set),
        TEST(test_listener),
        TEST(test_status_is_of_the_settings_that_are_set),
        TEST(test_second_peer_takes_over),
        TEST(test_telnet),
        TEST(test_rfc2217),
        TEST(test_telnet_bulk),
        TEST(test_port_in_use_is_said),
        TEST(test_connection_when_open),
        TEST(test_removal_drops_the_peer),
        TEST(test_the_last_bytes_can_be_looked_at),
        TEST(test_sleep_and_resume),
        TEST(test_bulk_in),
        TEST(test_bulk_out),
        TEST(test_bulk_to_a_slow_peer),
        TEST(test_unread_bytes_stop_the_sender),
        TEST(test_settings_do_not_mix),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
