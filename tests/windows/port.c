/* SPDX-License-Identifier: BSD-2-Clause */
#include "port.h"

void fail_check(const char *file, int line, const char *what)
{
    printf("%s:%d: %s (error %lu, socket error %d)\n", file, line, what, GetLastError(),
           WSAGetLastError());
    fflush(stdout);
    ExitProcess(1);
}

HANDLE open_port(DWORD flags)
{
    HANDLE port = CreateFileW(L"\\\\.\\COM77", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                              flags, NULL);
    CHECK(port != INVALID_HANDLE_VALUE);
    return port;
}

static HANDLE control_handle(void)
{
    static HANDLE handle;
    if (!handle)
        handle = CreateFileW(L"\\\\.\\VspTest", GENERIC_READ | GENERIC_WRITE,
                             FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    CHECK(handle != INVALID_HANDLE_VALUE);
    return handle;
}

struct vsp_status get_status(void)
{
    struct vsp_status status;
    DWORD done = 0;
    CHECK(DeviceIoControl(control_handle(), VSP_GET_STATUS, NULL, 0, &status, sizeof(status), &done,
                          NULL));
    CHECK(done == sizeof(status));
    return status;
}

struct vsp_settings get_settings(void)
{
    struct vsp_settings s;
    DWORD done = 0;
    CHECK(DeviceIoControl(control_handle(), VSP_GET_SETTINGS, NULL, 0, &s, sizeof(s), &done, NULL));
    return s;
}

void set_settings(const struct vsp_settings *settings)
{
    struct vsp_settings in = *settings;
    DWORD done = 0;
    CHECK(
        DeviceIoControl(control_handle(), VSP_SET_SETTINGS, &in, sizeof(in), NULL, 0, &done, NULL));
}

void wait_for_state(enum vsp_state state)
{
    for (int ms = 0; get_status().state != (uint32_t)state; ms += 5) {
        CHECK(ms < LIMIT_MS);
        Sleep(5);
    }
}

static void point_port(enum vsp_mode mode, const char *host, uint16_t port)
{
    struct vsp_settings s = get_settings();
    s.mode = mode;
    s.port = port;
    snprintf(s.host, sizeof(s.host), "%s", host);
    set_settings(&s);
}

void connect_port(const char *host, uint16_t port)
{
    point_port(VSP_CONNECT, host, port);
}

uint16_t listen_port(const char *host)
{
    point_port(VSP_LISTEN, host, 0);
    wait_for_state(VSP_LISTENING);
    return (uint16_t)get_status().local_port;
}

void no_connection(void)
{
    struct vsp_settings s = get_settings();
    s.mode = VSP_OFF;
    set_settings(&s);
    wait_for_state(VSP_IDLE);
}

static struct addrinfo *address_of(const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    CHECK(!getaddrinfo(host, service, &hints, &found));
    return found;
}

SOCKET listen_at(const char *host, uint16_t *port)
{
    struct sockaddr_storage storage;
    int size = sizeof(storage);
    struct addrinfo *address = address_of(host, *port);
    SOCKET s = socket(address->ai_family, SOCK_STREAM, 0);
    BOOL on = TRUE;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, (const char *)&on, sizeof(on));
    CHECK(!bind(s, address->ai_addr, (int)address->ai_addrlen));
    CHECK(!listen(s, 4));
    CHECK(!getsockname(s, (struct sockaddr *)&storage, &size));
    *port = ntohs(((struct sockaddr_in *)&storage)->sin_port);
    freeaddrinfo(address);
    return s;
}

SOCKET accept_peer(SOCKET listener)
{
    SOCKET peer = accept(listener, NULL, NULL);
    CHECK(peer != INVALID_SOCKET);
    return peer;
}

SOCKET connect_to(const char *host, uint16_t port)
{
    struct addrinfo *address = address_of(host, port);
    SOCKET s = socket(address->ai_family, SOCK_STREAM, 0);
    CHECK(!connect(s, address->ai_addr, (int)address->ai_addrlen));
    freeaddrinfo(address);
    return s;
}

SOCKET connected_peer(void)
{
    uint16_t number = 0;
    SOCKET listener = listen_at("127.0.0.1", &number);
    connect_port("127.0.0.1", number);
    SOCKET peer = accept_peer(listener);
    closesocket(listener);
    wait_for_state(VSP_UP);
    return peer;
}

void send_text(SOCKET peer, const char *text)
{
    CHECK(send(peer, text, (int)strlen(text), 0) == (int)strlen(text));
}

void expect_text(SOCKET peer, const char *text)
{
    char got[256];
    int have = 0;
    while (have < (int)strlen(text)) {
        int count = recv(peer, got + have, (int)strlen(text) - have, 0);
        CHECK(count > 0);
        have += count;
    }
    CHECK(!memcmp(got, text, (size_t)have));
}

void set_timeouts(HANDLE port, DWORD interval, DWORD multiplier, DWORD constant)
{
    COMMTIMEOUTS t = {interval, multiplier, constant, 0, 0};
    CHECK(SetCommTimeouts(port, &t));
}

DWORD finish(HANDLE port, OVERLAPPED *o, DWORD *error)
{
    DWORD done = 0;
    CHECK(WaitForSingleObject(o->hEvent, LIMIT_MS) == WAIT_OBJECT_0);
    *error = GetOverlappedResult(port, o, &done, FALSE) ? 0 : GetLastError();
    CloseHandle(o->hEvent);
    return done;
}

static void prepare(OVERLAPPED *o)
{
    memset(o, 0, sizeof(*o));
    o->hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
}

void begin_read(HANDLE port, OVERLAPPED *o, void *data, DWORD size)
{
    prepare(o);
    CHECK(ReadFile(port, data, size, NULL, o) || GetLastError() == ERROR_IO_PENDING ||
          GetLastError() == ERROR_TIMEOUT);
}

void begin_write(HANDLE port, OVERLAPPED *o, const void *data, DWORD size)
{
    prepare(o);
    CHECK(WriteFile(port, data, size, NULL, o) || GetLastError() == ERROR_IO_PENDING);
}
