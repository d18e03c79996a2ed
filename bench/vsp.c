/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of the virtual serial port, natively on the tests' stand-in of the framework, beside a
 * plain socket that does the same: 64 MiB by writes or reads of one size, one after the other.
 * Without Wine between them this shows what the driver itself costs. One JSON object per line.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fake_wdf.h"
#include "interface.h"
#include "serial/codes.h"

enum {
    BULK = 64 * 1024 * 1024,
    CHUNK_MAX = 1024 * 1024,
    ROUNDS = 9, /* the best of them counts: others share the machine */
};

fake_entry FxDriverEntryUm;

static uint8_t block[CHUNK_MAX];
static struct wdf_file_handle *port, *console;
static sem_t done;

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "vsp-bench: %s failed\n", what);
    exit(1);
}

struct peer {
    int socket;
    bool sends;
};

static void *peer_body(void *argument)
{
    static uint8_t bytes[CHUNK_MAX];
    const struct peer *peer = argument;
    for (size_t at = 0; at < BULK;) {
        size_t left = BULK - at < sizeof(bytes) ? BULK - at : sizeof(bytes);
        ssize_t count = peer->sends ? send(peer->socket, bytes, left, MSG_NOSIGNAL)
                                    : recv(peer->socket, bytes, left, 0);
        check(count > 0, "the peer's transfer");
        at += (size_t)count;
    }
    return NULL;
}

static void on_done(struct fake_request *request)
{
    (void)request;
    sem_post(&done);
}

static void by_port(int unused, bool reads, size_t chunk)
{
    struct fake_request *request = fake_new(port);
    (void)unused;
    request->on_done = on_done;
    request->lent = block;
    if (reads)
        fake_read(request, chunk);
    else
        fake_write(request, block, chunk);
    while (sem_wait(&done))
        ;
    check(request->information == chunk, "a request");
    fake_free(request);
}

static void by_socket(int socket, bool reads, size_t chunk)
{
    ssize_t count =
        reads ? recv(socket, block, chunk, MSG_WAITALL) : send(socket, block, chunk, MSG_NOSIGNAL);
    check(count == (ssize_t)chunk, "a socket's transfer");
}

static int listen_anywhere(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(!bind(listener, (struct sockaddr *)address, size) && !listen(listener, 1) &&
              !getsockname(listener, (struct sockaddr *)address, &size),
          "listen");
    return listener;
}

static void control(struct wdf_file_handle *file, uint32_t code, const void *in, size_t in_size,
                    void *out, size_t out_size)
{
    struct fake_request *request = fake_new(file);
    fake_control(request, code, in, in_size, out_size);
    check(fake_is_done(request) && request->status >= 0, "a control");
    if (out)
        memcpy(out, request->data, request->information);
    fake_free(request);
}

/* Connects the port, or a socket, to a new peer; the socket's near end. */
static int connect_end(struct peer *peer, bool by_the_port)
{
    struct sockaddr_in address;
    struct vsp_settings s;
    int near_end = -1;
    int listener = listen_anywhere(&address);
    if (by_the_port) {
        control(console, VSP_GET_SETTINGS, NULL, 0, &s, sizeof(s));
        s.mode = VSP_CONNECT;
        s.port = ntohs(address.sin_port);
        snprintf(s.host, sizeof(s.host), "127.0.0.1");
        control(console, VSP_SET_SETTINGS, &s, sizeof(s), NULL, 0);
    } else {
        near_end = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(near_end, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* as the port */
        check(!connect(near_end, (struct sockaddr *)&address, sizeof(address)), "connect");
    }
    peer->socket = accept(listener, NULL, NULL);
    check(peer->socket >= 0, "accept");
    close(listener);
    return near_end;
}

static double rate(bool by_the_port, bool reads, size_t chunk)
{
    struct timespec start;
    struct timespec end;
    pthread_t thread;
    struct peer peer = {.sends = reads};
    int near_end = connect_end(&peer, by_the_port);
    clock_gettime(CLOCK_MONOTONIC, &start);
    check(!pthread_create(&thread, NULL, peer_body, &peer), "pthread_create");
    for (size_t at = 0; at < BULK; at += chunk)
        (by_the_port ? by_port : by_socket)(near_end, reads, chunk);
    pthread_join(thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    close(peer.socket);
    if (near_end >= 0)
        close(near_end);
    return BULK / 1e6 /
           ((double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
}

static void compare(bool reads, size_t chunk)
{
    double best[2] = {0, 0}; /* socket, port */
    for (int round = 0; round < 2 * ROUNDS; round++) {
        double value = rate(round % 2, reads, chunk);
        if (value > best[round % 2])
            best[round % 2] = value;
    }
    printf("{\"bench\":\"vsp-native-%s\",\"chunk\":%zu,\"port_mb_s\":%.1f,\"socket_mb_s\":%.1f,"
           "\"port_per_socket\":%.3f}\n",
           reads ? "read" : "write", chunk, best[1], best[0], best[1] / best[0]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const size_t chunks[] = {1024, 4096, 65536, CHUNK_MAX};
    const uint32_t wait_for_all[5] = {0};
    sem_init(&done, 0, 0);
    check(fake_load(FxDriverEntryUm) >= 0 && fake_add_device() >= 0, "the device");
    check(fake_open(u"", &port) >= 0 && fake_open(u"\\control", &console) >= 0, "open");
    control(port, SERIAL_SET_TIMEOUTS, wait_for_all, sizeof(wait_for_all), NULL, 0);
    for (int reads = 0; reads < 2; reads++)
        for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
            if (argc < 2 || !strcmp(argv[1], reads ? "read" : "write"))
                if (argc < 3 || strtoul(argv[2], NULL, 10) == chunks[i])
                    compare(reads, chunks[i]);
    fake_close(port);
    fake_close(console);
    fake_remove_device();
    return 0;
}
