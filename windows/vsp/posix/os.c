/* SPDX-License-Identifier: BSD-2-Clause */
/* POSIX threads and poll: for tests of the driver on the machine that builds it. */
#include "os.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sockets.h"

struct os {
    pthread_mutex_t lock;
    pthread_t thread;
    void (*run)(void *context);
    void *context;
    int wake[2];
    /* Look-up: its own thread, joined before the next one starts. */
    pthread_t lookup_thread;
    bool lookup_started;
    pthread_mutex_t lookup_lock;
    bool lookup_done;
    struct os_addresses lookup_result;
    char lookup_host[256];
    uint16_t lookup_port;
    bool lookup_listen;
};

struct os *os_create(void (*run)(void *context), void *context)
{
    struct os *os = calloc(1, sizeof(*os));
    if (!os)
        return NULL;
    if (pipe(os->wake)) {
        free(os);
        return NULL;
    }
    sockets_nonblocking(os->wake[0]);
    sockets_nonblocking(os->wake[1]);
    pthread_mutex_init(&os->lock, NULL);
    pthread_mutex_init(&os->lookup_lock, NULL);
    os->run = run;
    os->context = context;
    return os;
}

void os_destroy(struct os *os)
{
    close(os->wake[0]);
    close(os->wake[1]);
    pthread_mutex_destroy(&os->lock);
    pthread_mutex_destroy(&os->lookup_lock);
    free(os);
}

static void *thread_body(void *argument)
{
    struct os *os = argument;
    os->run(os->context);
    return NULL;
}

bool os_start(struct os *os)
{
    return pthread_create(&os->thread, NULL, thread_body, os) == 0;
}

static void join_lookup(struct os *os)
{
    if (os->lookup_started)
        pthread_join(os->lookup_thread, NULL);
    os->lookup_started = false;
}

void os_stop(struct os *os)
{
    pthread_join(os->thread, NULL);
    join_lookup(os);
}

void os_lock(struct os *os)
{
    pthread_mutex_lock(&os->lock);
}

void os_unlock(struct os *os)
{
    pthread_mutex_unlock(&os->lock);
}

uint64_t os_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static ssize_t drain(int fd, char *bytes, size_t size)
{
    return read(fd, bytes, size);
}

void os_wait(struct os *os, os_socket listener, os_socket peer, bool read, bool write, uint64_t due)
{
    struct pollfd list[3] = {
        {.fd = os->wake[0], .events = POLLIN},
        {.fd = (int)listener, .events = POLLIN},
        {.fd = read || write ? (int)peer : -1,
         .events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0))},
    };
    uint64_t now = os_now();
    int timeout = -1;
    if (due <= now)
        timeout = 0;
    else if (due != UINT64_MAX && due - now < 1000000000u)
        timeout = (int)((due - now + 999) / 1000);
    poll(list, 3, timeout);
    char drained[64];
    while (list[0].revents && drain(os->wake[0], drained, sizeof(drained)) > 0)
        ;
}

void os_wake(struct os *os)
{
    ssize_t written = write(os->wake[1], "w", 1); /* full: it will wake anyway */
    (void)written;
}

static void *lookup_body(void *argument)
{
    struct os *os = argument;
    sockets_look_up(os->lookup_host, os->lookup_port, os->lookup_listen, false, &os->lookup_result);
    pthread_mutex_lock(&os->lookup_lock);
    os->lookup_done = true;
    pthread_mutex_unlock(&os->lookup_lock);
    os_wake(os);
    return NULL;
}

void os_look_up(struct os *os, const char *host, uint16_t port, bool to_listen)
{
    join_lookup(os);
    if (sockets_look_up(host, port, to_listen, true, &os->lookup_result)) {
        os->lookup_done = true;
        os_wake(os);
        return;
    }
    os->lookup_done = false;
    strncpy(os->lookup_host, host, sizeof(os->lookup_host) - 1);
    os->lookup_port = port;
    os->lookup_listen = to_listen;
    os->lookup_started = pthread_create(&os->lookup_thread, NULL, lookup_body, os) == 0;
    if (!os->lookup_started)
        os->lookup_done = true; /* with the numeric look-up's problem */
}

bool os_looked_up(struct os *os, struct os_addresses *addresses)
{
    pthread_mutex_lock(&os->lookup_lock);
    bool done = os->lookup_done;
    os->lookup_done = false;
    pthread_mutex_unlock(&os->lookup_lock);
    if (done)
        *addresses = os->lookup_result;
    return done;
}
