/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdnet-bench [KDWIRE [ROUNDS]]: one JSON object per line.
 *
 * kdnet-datagram: protecting and unprotecting a datagram, beside the bare AES and HMAC calls of
 * libgcrypt on the same bytes; turn by turn.
 *
 * kdnet-bridge (with the path of kdwire): a memory read over a serial link (a socket), over a KDNET
 * link (UDP), and over KDNET to `kdwire relay` and on to a serial link; turn by turn. What the
 * relay costs is the last less the two others.
 */
#include <arpa/inet.h>
#include <gcrypt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kdnet/session.h"
#include "kdwire/error.h"

enum {
    PAYLOAD = 1304, /* of the largest datagram in a real session: 1,334 bytes */
    BATCH = 200,    /* datagrams between two looks at the clock */
    BATCHES = 301,
    ROUNDS = 3000,
    WARM_UP = 200,
    REPLY = 1000, /* bytes of memory read */
};

#define KEY_TEXT "1.2.3.4"

static void demand(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "kdnet-bench: %s\n", what);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* ---- datagrams ---- */

struct bare {
    gcry_cipher_hd_t cipher;
    gcry_md_hd_t hmac;
};

static void bare_tag(struct bare *bare, const uint8_t *bytes, size_t size, uint8_t tag[16])
{
    gcry_md_reset(bare->hmac);
    gcry_md_write(bare->hmac, bytes, size);
    memcpy(tag, gcry_md_read(bare->hmac, GCRY_MD_SHA256), 16);
}

static double bare_batch(struct bare *bare, uint8_t *bytes, uint8_t *plain, size_t size)
{
    uint8_t tag[16];
    double start = now_us();
    for (int i = 0; i < BATCH; i++) {
        bare_tag(bare, bytes, size, tag);
        gcry_cipher_setiv(bare->cipher, tag, sizeof(tag));
        gcry_cipher_encrypt(bare->cipher, bytes + 6, size - 6, NULL, 0);
        gcry_cipher_setiv(bare->cipher, tag, sizeof(tag));
        gcry_cipher_decrypt(bare->cipher, plain + 6, size - 6, bytes + 6, size - 6);
        bare_tag(bare, plain, size, tag);
    }
    return (now_us() - start) / BATCH;
}

static double our_batch(struct kdnet_crypto *crypto, const uint8_t *payload)
{
    uint8_t bytes[KDNET_DATAGRAM_MAX], plain[KDNET_DATAGRAM_MAX];
    struct kdnet_datagram datagram = {.version = 4, .payload = payload, .payload_size = PAYLOAD};
    double start = now_us();
    for (int i = 0; i < BATCH; i++) {
        struct kdnet_datagram read;
        datagram.sequence++;
        int size = kdnet_protect(crypto, &datagram, bytes);
        demand(kdnet_unprotect(crypto, bytes, (size_t)size, &read, plain) == KD_OK,
               "a datagram is not authentic");
    }
    return (now_us() - start) / BATCH;
}

static void bench_datagrams(void)
{
    static uint8_t bytes[KDNET_DATAGRAM_MAX], plain[KDNET_DATAGRAM_MAX], payload[PAYLOAD];
    static double ours[BATCHES], bare_times[BATCHES];
    struct kdnet_crypto *crypto;
    struct kdnet_key key;
    struct bare bare;
    kdnet_key_generate(&key);
    demand(kdnet_crypto_open(&crypto, &key) == KD_OK, "no cryptography");
    kdnet_crypto_set_session(crypto, &key);
    gcry_cipher_open(&bare.cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0);
    gcry_cipher_setkey(bare.cipher, key.bytes, KDNET_KEY_SIZE);
    gcry_md_open(&bare.hmac, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC);
    gcry_md_setkey(bare.hmac, key.bytes, KDNET_KEY_SIZE);
    size_t size = kdnet_protected_size(PAYLOAD) - KDNET_TAG_SIZE;
    for (int i = 0; i < BATCHES; i++) {
        ours[i] = our_batch(crypto, payload);
        bare_times[i] = bare_batch(&bare, bytes, plain, size);
    }
    double us = median(ours, BATCHES), base = median(bare_times, BATCHES);
    printf("{\"bench\":\"kdnet-datagram\",\"bytes\":%zu,\"unit\":\"us to protect and unprotect\","
           "\"kdwire\":%.2f,\"libgcrypt\":%.2f,\"ratio\":%.3f}\n",
           kdnet_protected_size(PAYLOAD), us, base, us / base);
    fflush(stdout);
    gcry_cipher_close(bare.cipher);
    gcry_md_close(bare.hmac);
    kdnet_crypto_close(crypto);
}

/* ---- ends of links ---- */

struct end {
    int fd;
    bool kdnet;
    struct kd_link link;
    struct kdnet_session session;
    struct sockaddr_in peer;
};

static uint64_t link_time(void)
{
    return (uint64_t)now_us();
}

static void start_end(struct end *end, int fd, enum kd_role role, bool kdnet)
{
    const struct kd_link_config link = {.role = role,
                                        .framing = kdnet ? KD_FRAMING_KDNET : KD_FRAMING_SERIAL};
    struct kdnet_session_config config = {.role = role};
    memset(end, 0, sizeof(*end));
    end->fd = fd;
    end->kdnet = kdnet;
    kd_link_init(&end->link, &link);
    kd_link_expect(&end->link, KD_LINK_ANY_TYPE);
    kdnet_key_parse(&config.key, KEY_TEXT, NULL);
    demand(kdnet_session_init(&end->session, &config) == KD_OK, "no session");
    if (kdnet && role == KD_ROLE_TARGET)
        kdnet_session_start(&end->session, link_time());
}

static void send_datagram(struct end *end, const uint8_t *bytes, size_t size)
{
    const struct sockaddr *to = end->peer.sin_port ? (const struct sockaddr *)&end->peer : NULL;
    sendto(end->fd, bytes, size, 0, to, to ? sizeof(end->peer) : 0);
}

static void send_all(struct end *end)
{
    uint8_t out[KDNET_DATAGRAM_MAX];
    struct kdnet_address to;
    const uint8_t *bytes;
    size_t size;
    while (end->kdnet && (size = kdnet_session_output(&end->session, &to, out)) > 0)
        send_datagram(end, out, size);
    while ((size = kd_link_output(&end->link, &bytes)) > 0) {
        if (!end->kdnet) {
            demand(write(end->fd, bytes, size) == (ssize_t)size, "a socket is full");
        } else {
            size_t one = KD_HEADER_SIZE + kd_get_u16(bytes + 6);
            size = one < size ? one : size;
            int written = kdnet_session_send(&end->session, bytes, size, out);
            if (written > 0)
                send_datagram(end, out, (size_t)written);
        }
        kd_link_written(&end->link, link_time(), size);
    }
}

/* Takes what has come; true when a data packet was in it. */
static bool take(struct end *end, const uint8_t *bytes, size_t size)
{
    struct kd_link_event event;
    bool packet = false;
    for (size_t at = 0; at < size;) {
        at += kd_link_feed(&end->link, link_time(), bytes + at, size - at);
        while (kd_link_event(&end->link, &event))
            packet |= event.kind == KD_LINK_PACKET;
    }
    return packet;
}

static bool receive(struct end *end)
{
    uint8_t bytes[65536];
    socklen_t length = sizeof(end->peer);
    if (!end->kdnet) {
        ssize_t size = read(end->fd, bytes, sizeof(bytes));
        demand(size > 0, "a link has ended");
        return take(end, bytes, (size_t)size);
    }
    const struct kdnet_address from = {.port = 1};
    const uint8_t *payload;
    size_t payload_size;
    ssize_t size =
        recvfrom(end->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&end->peer, &length);
    if (size <= 0)
        return false;
    unsigned news = kdnet_session_receive(&end->session, link_time(), &from, bytes, (size_t)size,
                                          &payload, &payload_size);
    bool is_kd = (news & KDNET_NEWS_PAYLOAD) && payload_size >= KD_HEADER_SIZE;
    bool packet = is_kd && take(end, payload, payload_size);
    if (news & KDNET_NEWS_NUDGE) { /* the debugger learns by data that the session holds */
        uint8_t check[KDNET_CONNECTION_CHECK_SIZE], out[KDNET_DATAGRAM_MAX];
        kdnet_session_check(&end->session, check);
        int written = kdnet_session_send(&end->session, check, sizeof(check), out);
        send_datagram(end, out, (size_t)written);
    }
    return packet;
}

/* Waits for something to come, serving time-outs. */
static bool wait_one(struct end *end)
{
    struct pollfd poll_fd = {.fd = end->fd, .events = POLLIN};
    bool packet = false;
    if (poll(&poll_fd, 1, 100) > 0)
        packet = receive(end);
    if (end->kdnet)
        kdnet_session_tick(&end->session, link_time());
    kd_link_tick(&end->link, link_time());
    send_all(end);
    return packet;
}

static void send_packet(struct end *end, size_t size)
{
    uint8_t body[KD_MANIPULATE_SIZE + REPLY] = {0x30, 0x31};
    while (kd_link_send(&end->link, link_time(), KD_PACKET_STATE_MANIPULATE, body, size, NULL, 0) <
           0)
        wait_one(end);
    send_all(end);
}

/* ---- targets, each a process ---- */

static pid_t start_target(int fd, bool kdnet)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    static struct end end;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    start_end(&end, fd, KD_ROLE_TARGET, kdnet);
    send_all(&end);
    for (;;)
        if (wait_one(&end))
            send_packet(&end, KD_MANIPULATE_SIZE + REPLY);
}

static double round_trip(struct end *end)
{
    double start = now_us();
    send_packet(end, KD_MANIPULATE_SIZE);
    while (!wait_one(end))
        ;
    return now_us() - start;
}

/* ---- the three ways ---- */

static uint16_t bind_udp(int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    demand(!bind(fd, (struct sockaddr *)&address, sizeof(address)) &&
               !getsockname(fd, (struct sockaddr *)&address, &length),
           "no UDP port");
    return ntohs(address.sin_port);
}

static pid_t serial_way(struct end *end)
{
    int pair[2];
    demand(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "no socket");
    pid_t pid = start_target(pair[1], false);
    start_end(end, pair[0], KD_ROLE_DEBUGGER, false);
    return pid;
}

static pid_t kdnet_way(struct end *end)
{
    int here = socket(AF_INET, SOCK_DGRAM, 0), there = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(bind_udp(here));
    demand(!connect(there, (struct sockaddr *)&address, sizeof(address)), "no UDP");
    start_end(end, here, KD_ROLE_DEBUGGER, true);
    return start_target(there, true);
}

static pid_t bridged_way(struct end *end, const char *kdwire, pid_t *relay)
{
    char path[64], target[80], debugger[80];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), here = socket(AF_INET, SOCK_DGRAM, 0);
    snprintf(path, sizeof(path), "/tmp/kdnet-bench.%d", (int)getpid());
    memcpy(address.sun_path, path, strlen(path) + 1);
    demand(!bind(listener, (struct sockaddr *)&address, sizeof(address)) && !listen(listener, 1),
           "no Unix socket in /tmp");
    snprintf(target, sizeof(target), "unix:%s", path);
    snprintf(debugger, sizeof(debugger), "kdnet-target:host=127.0.0.1,port=%u", bind_udp(here));
    start_end(end, here, KD_ROLE_DEBUGGER, true);
    setenv("KDWIRE_KDNET_KEY", KEY_TEXT, 1);
    *relay = fork();
    if (!*relay) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(kdwire, kdwire, "relay", "-q", "-d", debugger, "-t", target, (char *)NULL);
        _exit(127);
    }
    int accepted = accept(listener, NULL, NULL);
    unlink(path);
    demand(accepted >= 0, "the relay does not come");
    return start_target(accepted, false);
}

static void bench_bridge(const char *kdwire, size_t rounds)
{
    static struct end ends[3];
    pid_t pids[4];
    pids[0] = serial_way(&ends[0]);
    pids[1] = kdnet_way(&ends[1]);
    pids[2] = bridged_way(&ends[2], kdwire, &pids[3]);
    for (int way = 1; way < 3; way++)
        while (ends[way].session.state != KDNET_OPEN)
            wait_one(&ends[way]);
    double *times = malloc(3 * rounds * sizeof(*times));
    demand(times != NULL, "out of memory");
    for (size_t i = 0; i < WARM_UP + rounds; i++)
        for (size_t way = 0; way < 3; way++) {
            double took = round_trip(&ends[way]);
            if (i >= WARM_UP)
                times[way * rounds + i - WARM_UP] = took;
        }
    double serial = median(times, rounds), kdnet = median(times + rounds, rounds),
           bridged = median(times + 2 * rounds, rounds);
    printf("{\"bench\":\"kdnet-bridge\",\"rounds\":%zu,\"unit\":\"us per memory read of %d "
           "bytes\",\"serial\":%.1f,\"kdnet\":%.1f,\"bridged\":%.1f,\"cost\":%.1f}\n",
           rounds, REPLY, serial, kdnet, bridged, bridged - serial - kdnet);
    free(times);
    for (int i = 0; i < 4; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    bench_datagrams();
    if (argc > 1)
        bench_bridge(argv[1], argc > 2 ? strtoul(argv[2], NULL, 10) : ROUNDS);
    return 0;
}
