/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows threads, events and timers. */
#include "sockets.h"

#include <evntprov.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interface.h"

struct os {
    REGHANDLE trace;
    CRITICAL_SECTION lock, change;
    void (*run)(void *context);
    void *context;
    HANDLE thread;
    HANDLE wake;    /* by os_wake */
    HANDLE network; /* by Winsock, for every watched socket */
    HANDLE timer;
    /* The look-up: */
    OVERLAPPED lookup; /* its event stays set until os_looked_up */
    HANDLE lookup_handle;
    ADDRINFOEXW *lookup_list;
    bool looking;   /* the system has the members above */
    bool looked_up; /* it was numeric, or could not begin */
    struct os_addresses lookup_result;
    char lookup_host[256];
};

/* A serial port's time-outs are a few milliseconds, the system's ordinary timers step by 16. */
static HANDLE create_timer(void)
{
    enum { HIGH_RESOLUTION = 2 }; /* CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, Windows 10 1803 */
    HANDLE timer = CreateWaitableTimerExW(NULL, NULL, HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    return timer ? timer : CreateWaitableTimerW(NULL, FALSE, NULL);
}

static const GUID trace_provider = VSP_TRACE;

/* ETW's levels: verbose, informational, warning, error. */
static UCHAR trace_level(uint32_t level)
{
    static const UCHAR levels[] = {5, 5, 4, 3, 2};
    return level < sizeof(levels) ? levels[level] : 2;
}

bool os_traces(const struct os *os, uint32_t level)
{
    return os->trace && EventProviderEnabled(os->trace, trace_level(level), 0);
}

void os_trace(const struct os *os, uint32_t level, const char *text)
{
    wchar_t wide[512]; /* more than a line of the log */
    if (MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, sizeof(wide) / sizeof(wide[0])))
        EventWriteString(os->trace, trace_level(level), 0, wide);
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
    InitializeCriticalSection(&os->change);
    os->run = run;
    os->context = context;
    os->wake = CreateEventW(NULL, FALSE, FALSE, NULL);
    os->network = CreateEventW(NULL, FALSE, FALSE, NULL);
    os->timer = create_timer();
    EventRegister(&trace_provider, NULL, NULL, &os->trace); /* fails: no tracing, no more */
    os->lookup.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (os->wake && os->network && os->timer && os->lookup.hEvent)
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
    os_give_up_look_up(os);
    if (os->trace)
        EventUnregister(os->trace);
    close_handle(&os->wake);
    close_handle(&os->network);
    close_handle(&os->timer);
    close_handle(&os->lookup.hEvent);
    DeleteCriticalSection(&os->lock);
    DeleteCriticalSection(&os->change);
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

void os_stop(struct os *os)
{
    if (os->thread)
        WaitForSingleObject(os->thread, INFINITE);
    close_handle(&os->thread);
    os_give_up_look_up(os);
}

void os_lock(struct os *os)
{
    EnterCriticalSection(&os->lock);
}

void os_unlock(struct os *os)
{
    LeaveCriticalSection(&os->lock);
}

void os_lock_change(struct os *os)
{
    EnterCriticalSection(&os->change);
}

void os_unlock_change(struct os *os)
{
    LeaveCriticalSection(&os->change);
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

void os_wait(struct os *os, uint64_t due)
{
    HANDLE list[4] = {os->wake, os->network, os->lookup.hEvent, os->timer};
    DWORD count = 3;
    uint64_t now = os_now();
    if (due <= now)
        return;
    if (due != UINT64_MAX) {
        LARGE_INTEGER relative = {.QuadPart = -(LONGLONG)(due - now) * 10};
        SetWaitableTimer(os->timer, &relative, 0, NULL, NULL, FALSE);
        count = 4;
    }
    WaitForMultipleObjects(count, list, FALSE, INFINITE);
}

void os_wake(struct os *os)
{
    SetEvent(os->wake);
}

/* What the system found, or why it did not. */
static void take_list(struct os *os, int error)
{
    sockets_begin_list(&os->lookup_result);
    /* The cast: mingw misspells the member's type. */
    for (const ADDRINFOEXW *at = error ? NULL : os->lookup_list; at;
         at = (const ADDRINFOEXW *)at->ai_next)
        sockets_add(&os->lookup_result, at->ai_addr, at->ai_addrlen);
    sockets_end_list(&os->lookup_result, os->lookup_host, error);
    if (os->lookup_list)
        FreeAddrInfoExW(os->lookup_list);
    os->lookup_list = NULL;
    os->looking = false;
    ResetEvent(os->lookup.hEvent);
}

void os_give_up_look_up(struct os *os)
{
    os->looked_up = false;
    if (!os->looking)
        return;
    GetAddrInfoExCancel(&os->lookup_handle); /* it ends, with WSA_E_CANCELLED, at once */
    WaitForSingleObject(os->lookup.hEvent, INFINITE);
    take_list(os, WSA_E_CANCELLED);
}

/* True: the system has begun, and will set the event. */
static bool begin_look_up(struct os *os, uint16_t port, bool to_listen)
{
    ADDRINFOEXW hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    wchar_t node[256];
    wchar_t service[8];
    HANDLE event = os->lookup.hEvent;
    hints.ai_flags = to_listen ? AI_PASSIVE : 0;
    _snwprintf(service, sizeof(service) / sizeof(service[0]), L"%u", port);
    if (!MultiByteToWideChar(CP_UTF8, 0, sockets_node(os->lookup_host, to_listen), -1, node,
                             sizeof(node) / sizeof(node[0])))
        return false;
    memset(&os->lookup, 0, sizeof(os->lookup));
    os->lookup.hEvent = event;
    ResetEvent(event);
    int error = GetAddrInfoExW(node, service, NS_ALL, NULL, &hints, &os->lookup_list, NULL,
                               &os->lookup, NULL, &os->lookup_handle);
    if (error != WSA_IO_PENDING)
        take_list(os, error);
    return error == WSA_IO_PENDING;
}

void os_look_up(struct os *os, const char *host, uint16_t port, bool to_listen)
{
    os_give_up_look_up(os);
    strncpy(os->lookup_host, host, sizeof(os->lookup_host) - 1);
    os->looking = !sockets_look_up(host, port, to_listen, true, &os->lookup_result) &&
                  begin_look_up(os, port, to_listen);
    os->looked_up = !os->looking;
    if (os->looked_up)
        os_wake(os);
}

bool os_looked_up(struct os *os, struct os_addresses *addresses)
{
    if (os->looking && WaitForSingleObject(os->lookup.hEvent, 0) == WAIT_OBJECT_0) {
        take_list(os, GetAddrInfoExOverlappedResult(&os->lookup));
        os->looked_up = true;
    }
    if (!os->looked_up)
        return false;
    os->looked_up = false;
    *addresses = os->lookup_result;
    return true;
}
