/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows threads, events and timers. */
#include "sockets.h"

#include <stdlib.h>
#include <string.h>

struct os {
    CRITICAL_SECTION lock;
    void (*run)(void *context);
    void *context;
    HANDLE thread;
    HANDLE wake;    /* by os_wake */
    HANDLE network; /* by Winsock, for every watched socket */
    HANDLE timer;
    HANDLE lookup_thread;
    volatile LONG lookup_done;
    struct os_addresses lookup_result;
    char lookup_host[256];
    uint16_t lookup_port;
    bool lookup_listen;
};

/* A serial port's time-outs are a few milliseconds, the system's ordinary timers step by 16. */
static HANDLE create_timer(void)
{
    enum { HIGH_RESOLUTION = 2 }; /* CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, Windows 10 1803 */
    HANDLE timer = CreateWaitableTimerExW(NULL, NULL, HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    return timer ? timer : CreateWaitableTimerW(NULL, FALSE, NULL);
}

struct os *os_create(void (*run)(void *context), void *context)
{
    WSADATA data;
    if (WSAStartup(MAKEWORD(2, 2), &data))
        return NULL;
    struct os *os = calloc(1, sizeof(*os));
    if (!os) {
        WSACleanup();
        return NULL;
    }
    InitializeCriticalSection(&os->lock);
    os->run = run;
    os->context = context;
    os->wake = CreateEventW(NULL, FALSE, FALSE, NULL);
    os->network = CreateEventW(NULL, FALSE, FALSE, NULL);
    os->timer = create_timer();
    if (os->wake && os->network && os->timer)
        return os;
    os_destroy(os);
    return NULL;
}

static void close_handle(HANDLE *handle)
{
    if (*handle)
        CloseHandle(*handle);
    *handle = NULL;
}

void os_destroy(struct os *os)
{
    close_handle(&os->wake);
    close_handle(&os->network);
    close_handle(&os->timer);
    DeleteCriticalSection(&os->lock);
    free(os);
    WSACleanup();
}

static DWORD WINAPI thread_body(void *argument)
{
    struct os *os = argument;
    os->run(os->context);
    return 0;
}

bool os_start(struct os *os)
{
    os->thread = CreateThread(NULL, 0, thread_body, os, 0, NULL);
    return os->thread != NULL;
}

static void join(HANDLE *thread)
{
    if (*thread)
        WaitForSingleObject(*thread, INFINITE);
    close_handle(thread);
}

void os_stop(struct os *os)
{
    join(&os->thread);
    join(&os->lookup_thread);
}

void os_lock(struct os *os)
{
    EnterCriticalSection(&os->lock);
}

void os_unlock(struct os *os)
{
    LeaveCriticalSection(&os->lock);
}

uint64_t os_now(void)
{
    LARGE_INTEGER frequency;
    LARGE_INTEGER count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    uint64_t whole = (uint64_t)(count.QuadPart / frequency.QuadPart);
    uint64_t rest = (uint64_t)(count.QuadPart % frequency.QuadPart);
    return whole * 1000000u + rest * 1000000u / (uint64_t)frequency.QuadPart;
}

bool sockets_watch(struct os *os, os_socket s)
{
    return WSAEventSelect(SOCKETS_RAW(s), os->network,
                          FD_READ | FD_WRITE | FD_ACCEPT | FD_CONNECT | FD_CLOSE) == 0;
}

/* Winsock sets the event when something new is possible, whatever is of use at the moment. */
void os_wait(struct os *os, os_socket listener, os_socket peer, bool read, bool write, uint64_t due)
{
    HANDLE list[3] = {os->wake, os->network, os->timer};
    DWORD count = 2;
    uint64_t now = os_now();
    (void)listener;
    (void)peer;
    (void)read;
    (void)write;
    if (due <= now)
        return;
    if (due != UINT64_MAX) {
        LARGE_INTEGER relative = {.QuadPart = -(LONGLONG)(due - now) * 10};
        SetWaitableTimer(os->timer, &relative, 0, NULL, NULL, FALSE);
        count = 3;
    }
    WaitForMultipleObjects(count, list, FALSE, INFINITE);
}

void os_wake(struct os *os)
{
    SetEvent(os->wake);
}

static DWORD WINAPI lookup_body(void *argument)
{
    struct os *os = argument;
    sockets_look_up(os->lookup_host, os->lookup_port, os->lookup_listen, false, &os->lookup_result);
    InterlockedExchange(&os->lookup_done, 1);
    os_wake(os);
    return 0;
}

void os_look_up(struct os *os, const char *host, uint16_t port, bool to_listen)
{
    join(&os->lookup_thread);
    InterlockedExchange(&os->lookup_done, 0);
    bool there = sockets_look_up(host, port, to_listen, true, &os->lookup_result);
    if (!there) {
        strncpy(os->lookup_host, host, sizeof(os->lookup_host) - 1);
        os->lookup_port = port;
        os->lookup_listen = to_listen;
        os->lookup_thread = CreateThread(NULL, 0, lookup_body, os, 0, NULL);
    }
    if (os->lookup_thread)
        return;
    InterlockedExchange(&os->lookup_done, 1); /* or with the numeric look-up's problem */
    os_wake(os);
}

bool os_looked_up(struct os *os, struct os_addresses *addresses)
{
    if (!InterlockedExchange(&os->lookup_done, 0))
        return false;
    *addresses = os->lookup_result;
    return true;
}
