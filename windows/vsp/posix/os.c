/* SPDX-License-Identifier: BSD-2-Clause */
/* POSIX threads and epoll: for tests of the driver on the machine that builds it. */
#include "os.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "sockets.h"

struct os {
    pthread_mutex_t lock, change;
    pthread_t thread;
    void (*run)(void *context);
    void *context;
    int events;            /* epoll, of all sockets and: */
    int wake;              /* eventfd; it is told of each write, so nobody reads it */
    struct lookup *lookup; /* under way, or done and not taken */
};

/* A look-up has a thread of its own that may outlive whoever asked; the last of both frees it. (The
 * driver's, win32/os.c, asks the system instead, which can be told to stop.) */
struct lookup {
    pthread_mutex_t lock;
    struct os *os; /* NULL: given up */
    bool done;
    struct os_addresses result;
    char host[256];
    uint16_t port;
    bool to_listen;
};

struct os *os_create(void (*run)(void *context), void *context)
{
    struct os *os = calloc(1, sizeof(*os));
    if (!os)
        return NULL;
    os->events = epoll_create1(EPOLL_CLOEXEC);
    os->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!sockets_watch(os, os->wake)) {
        close(os->wake);
        close(os->events);
        free(os);
        return NULL;
    }
    pthread_mutex_init(&os->lock, NULL);
    pthread_mutex_init(&os->change, NULL);
    os->run = run;
    os->context = context;
    return os;
}

void os_destroy(struct os *os)
{
    os_give_up_look_up(os);
    close(os->wake);
    close(os->events);
    pthread_mutex_destroy(&os->lock);
    pthread_mutex_destroy(&os->change);
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

void os_stop(struct os *os)
{
    pthread_join(os->thread, NULL);
    os_give_up_look_up(os);
}

void os_lock(struct os *os)
{
    pthread_mutex_lock(&os->lock);
}

void os_unlock(struct os *os)
{
    pthread_mutex_unlock(&os->lock);
}

void os_lock_change(struct os *os)
{
    pthread_mutex_lock(&os->change);
}

void os_unlock_change(struct os *os)
{
    pthread_mutex_unlock(&os->change);
}

uint64_t os_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

bool os_traces(const struct os *os, uint32_t level)
{
    (void)os;
    (void)level;
    return false;
}

void os_trace(const struct os *os, uint32_t level, const char *text)
{
    (void)os;
    (void)level;
    (void)text;
}

bool sockets_watch(struct os *os, os_socket s)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    return epoll_ctl(os->events, EPOLL_CTL_ADD, SOCKETS_RAW(s), &event) == 0;
}

void os_wait(struct os *os, uint64_t due)
{
    struct epoll_event list[8]; /* all at once: what it is does not matter */
    uint64_t now = os_now();
    int timeout = -1;
    if (due <= now)
        timeout = 0;
    else if (due != UINT64_MAX && due - now < 1000000000u)
        timeout = (int)((due - now + 999) / 1000);
    epoll_wait(os->events, list, sizeof(list) / sizeof(list[0]), timeout);
}

void os_wake(struct os *os)
{
    const uint64_t one = 1;
    ssize_t written = write(os->wake, &one, sizeof(one));
    (void)written; /* of a counter that does not get full */
}

static void free_lookup(struct lookup *lookup)
{
    pthread_mutex_destroy(&lookup->lock);
    free(lookup);
}

static void *lookup_body(void *argument)
{
    struct lookup *lookup = argument;
    sockets_look_up(lookup->host, lookup->port, lookup->to_listen, false, &lookup->result);
    pthread_mutex_lock(&lookup->lock);
    struct os *os = lookup->os;
    lookup->done = true;
    if (os)
        os_wake(os); /* under the lock: it cannot go away meanwhile */
    pthread_mutex_unlock(&lookup->lock);
    if (!os)
        free_lookup(lookup);
    return NULL;
}

void os_give_up_look_up(struct os *os)
{
    struct lookup *lookup = os->lookup;
    os->lookup = NULL;
    if (!lookup)
        return;
    pthread_mutex_lock(&lookup->lock);
    bool done = lookup->done;
    lookup->os = NULL;
    pthread_mutex_unlock(&lookup->lock);
    if (done)
        free_lookup(lookup);
}

static bool start_thread(struct lookup *lookup)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, lookup_body, lookup))
        return false;
    pthread_detach(thread);
    return true;
}

void os_look_up(struct os *os, const char *host, uint16_t port, bool to_listen)
{
    os_give_up_look_up(os);
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return; /* tests have memory */
    pthread_mutex_init(&lookup->lock, NULL);
    lookup->os = os;
    strncpy(lookup->host, host, sizeof(lookup->host) - 1);
    lookup->port = port;
    lookup->to_listen = to_listen;
    os->lookup = lookup;
    if (!sockets_look_up(host, port, to_listen, true, &lookup->result) && start_thread(lookup))
        return;
    lookup->done = true; /* or with the numeric look-up's problem */
    os_wake(os);
}

bool os_looked_up(struct os *os, struct os_addresses *addresses)
{
    struct lookup *lookup = os->lookup;
    if (!lookup)
        return false;
    pthread_mutex_lock(&lookup->lock);
    bool done = lookup->done;
    pthread_mutex_unlock(&lookup->lock);
    if (!done)
        return false;
    *addresses = lookup->result;
    os_give_up_look_up(os);
    return true;
}
