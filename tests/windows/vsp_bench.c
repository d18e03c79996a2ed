/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rates through the port, through a plain socket, and through a driver that does nothing
 * (\\.\VspNull): the same chunks, one call after the other, as simple programs do. The last one is
 * what Wine's own way from a program to a driver costs; no driver can be faster there. And once
 * more with a peer at the pace of a wire of 100 Mbit/s, faster than any serial port of a VM.
 *   vsp_bench   one JSON object per line
 */
#include "port.h"

enum {
    CHUNK_MAX = 1024 * 1024,
    BULK_CHUNKS = 512, /* of a small chunk; of large ones: */
    BULK_MAX = 16 * 1024 * 1024,
    WIRE_MBIT = 100,
    WIRE_PIECE = 16 * 1024,
    WIRE_SIZE = 8 * 1024 * 1024,
    ROUNDS = 3, /* the best of them counts: others share the machine */
};

static uint8_t block[CHUNK_MAX];

struct peer {
    SOCKET socket;
    DWORD size;
    bool sends, paced;
};

static double seconds(void)
{
    LARGE_INTEGER frequency;
    LARGE_INTEGER count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    return (double)count.QuadPart / (double)frequency.QuadPart;
}

/* Takes all, looks at nothing; or gives. */
static DWORD WINAPI peer_body(void *argument)
{
    static uint8_t bytes[CHUNK_MAX];
    const struct peer *peer = argument;
    DWORD piece = peer->paced ? WIRE_PIECE : CHUNK_MAX;
    double start = seconds();
    for (DWORD at = 0; at < peer->size;) {
        DWORD left = peer->size - at;
        int want = left < piece ? (int)left : (int)piece;
        int count = peer->sends ? send(peer->socket, (char *)bytes, want, 0)
                                : recv(peer->socket, (char *)bytes, want, 0);
        CHECK(count > 0);
        at += (DWORD)count;
        while (peer->paced && seconds() - start < at / (WIRE_MBIT * 1e6 / 8))
            Sleep(1);
    }
    return 0;
}

/* One call of the way under test. */
typedef void move_chunk(void *end, DWORD chunk);

static void write_handle(void *end, DWORD chunk)
{
    DWORD done = 0;
    CHECK(WriteFile(end, block, chunk, &done, NULL) && done == chunk);
}

static void read_handle(void *end, DWORD chunk)
{
    DWORD done = 0;
    CHECK(ReadFile(end, block, chunk, &done, NULL) && done == chunk);
}

static void write_socket(void *end, DWORD chunk)
{
    CHECK(send((SOCKET)(uintptr_t)end, (char *)block, (int)chunk, 0) == (int)chunk);
}

static void read_socket(void *end, DWORD chunk)
{
    for (DWORD done = 0; done < chunk;) {
        int count = recv((SOCKET)(uintptr_t)end, (char *)block + done, (int)(chunk - done), 0);
        CHECK(count > 0);
        done += (DWORD)count;
    }
}

/* MB/s; PEER may be NULL. */
static double rate(move_chunk *move, void *end, struct peer *peer, DWORD chunk, DWORD size)
{
    double start = seconds();
    HANDLE thread = peer ? CreateThread(NULL, 0, peer_body, peer, 0, NULL) : NULL;
    for (DWORD at = 0; at < size; at += chunk)
        move(end, chunk);
    if (thread)
        CHECK(WaitForSingleObject(thread, 10 * LIMIT_MS) == WAIT_OBJECT_0);
    double took = seconds() - start;
    CloseHandle(thread);
    return size / 1e6 / took;
}

static double rate_of_port(bool reads, bool paced, DWORD chunk, DWORD size)
{
    HANDLE port = open_port(0);
    set_timeouts(port, 0, 0, 0);
    struct peer peer = {connected_peer(), size, reads, paced};
    double result = rate(reads ? read_handle : write_handle, port, &peer, chunk, size);
    closesocket(peer.socket);
    CloseHandle(port);
    while (get_status().open)
        Sleep(1);
    return result;
}

static double rate_of_socket(bool reads, bool paced, DWORD chunk, DWORD size)
{
    uint16_t number = 0;
    SOCKET listener = listen_at("127.0.0.1", &number);
    SOCKET near_end = connect_to("127.0.0.1", number);
    struct peer peer = {accept_peer(listener), size, reads, paced};
    double result =
        rate(reads ? read_socket : write_socket, (void *)(uintptr_t)near_end, &peer, chunk, size);
    closesocket(near_end);
    closesocket(peer.socket);
    closesocket(listener);
    return result;
}

static double rate_of_null(bool reads, DWORD chunk, DWORD size)
{
    HANDLE null = CreateFileW(L"\\\\.\\VspNull", GENERIC_READ | GENERIC_WRITE, 0, NULL,
                              OPEN_EXISTING, 0, NULL);
    CHECK(null != INVALID_HANDLE_VALUE);
    double result = rate(reads ? read_handle : write_handle, null, NULL, chunk, size);
    CloseHandle(null);
    return result;
}

static void raise_to(double *best, double value)
{
    if (value > *best)
        *best = value;
}

static void compare(bool reads, DWORD chunk)
{
    double port = 0;
    double plain = 0;
    double null = 0;
    DWORD size = chunk * BULK_CHUNKS < BULK_MAX ? chunk * BULK_CHUNKS : BULK_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        raise_to(&port, rate_of_port(reads, false, chunk, size));
        raise_to(&plain, rate_of_socket(reads, false, chunk, size));
        raise_to(&null, rate_of_null(reads, chunk, size));
    }
    printf("{\"bench\":\"vsp-%s\",\"chunk\":%lu,\"port_mb_s\":%.1f,\"socket_mb_s\":%.1f,"
           "\"null_mb_s\":%.1f,\"port_per_socket\":%.3f,\"null_per_socket\":%.3f,"
           "\"port_per_null\":%.3f}\n",
           reads ? "read" : "write", chunk, port, plain, null, port / plain, null / plain,
           port / null);
    fflush(stdout);
}

static void compare_on_a_wire(bool reads, DWORD chunk)
{
    double port = 0;
    double plain = 0;
    for (int round = 0; round < ROUNDS; round++) {
        raise_to(&port, rate_of_port(reads, true, chunk, WIRE_SIZE));
        raise_to(&plain, rate_of_socket(reads, true, chunk, WIRE_SIZE));
    }
    printf("{\"bench\":\"vsp-%s-on-a-wire\",\"wire_mbit\":%d,\"chunk\":%lu,\"port_mb_s\":%.1f,"
           "\"socket_mb_s\":%.1f,\"port_per_socket\":%.3f}\n",
           reads ? "read" : "write", WIRE_MBIT, chunk, port, plain, port / plain);
    fflush(stdout);
}

int main(void)
{
    static const DWORD chunks[] = {16, 1024, 4096, 65536, CHUNK_MAX};
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
    for (int reads = 0; reads < 2; reads++)
        for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
            compare(reads, chunks[i]);
    for (int reads = 0; reads < 2; reads++)
        for (size_t i = 2; i < sizeof(chunks) / sizeof(chunks[0]); i++)
            compare_on_a_wire(reads, chunks[i]);
    return 0;
}
