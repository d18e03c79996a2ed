/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rates of simple programs that move one chunk after the other: through the port, through a plain
 * socket (with TCP_NODELAY, as the port has it), and through two drivers of the test reflector:
 * \\.\VspBare does no more than the socket program, \\.\VspNull does nothing: what Wine's own way
 * from a program to a driver costs. No driver can be faster there.
 *   vsp_bench [write|read [CHUNK]]   at peers as fast as they go
 *   vsp_bench wire                   at peers with the pace of wires of 1, 10 and 100 Mbit/s
 *   vsp_bench echo PORT, give PORT   at a virtual machine's serial line, whose guest gives back
 *                                    each byte, or gives bytes without end
 * Without arguments: the first two.
 * One JSON object per line.
 */
#include "port.h"

enum {
    CHUNK_MAX = 1024 * 1024,
    BULK_CHUNKS = 512, /* of a small chunk; of large ones: */
    BULK_MAX = 16 * 1024 * 1024,
    SECOND_OF_MBIT = 1000 * 1000 / 8, /* bytes that a wire of 1 Mbit/s carries in a second, */
    PIECE_OF_MBIT = 1000 / 8,         /* and in the millisecond that Sleep can keep to */
    WIRE_CHUNKS = 2000,               /* that do, where a second has more */
    MACHINE_SIZE = 16 * 1024,         /* a serial line echoes some 10 KB/s, */
    GIVEN_SIZE = 64 * 1024,           /* and gives some 100 KB/s */
    ROUNDS = 3,                       /* the best of them counts: others share the machine */
};

static uint8_t block[CHUNK_MAX];

struct peer {
    SOCKET socket;
    DWORD size;
    bool sends;
    DWORD mbit; /* of the wire whose pace it has; 0: as fast as it goes */
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
    DWORD piece = peer->mbit ? peer->mbit * PIECE_OF_MBIT : CHUNK_MAX;
    double start = seconds();
    for (DWORD at = 0; at < peer->size;) {
        DWORD left = peer->size - at;
        int want = left < piece ? (int)left : (int)piece;
        int count = peer->sends ? send(peer->socket, (char *)bytes, want, 0)
                                : recv(peer->socket, (char *)bytes, want, 0);
        CHECK(count > 0);
        at += (DWORD)count;
        while (peer->mbit && seconds() - start < (double)at / (peer->mbit * SECOND_OF_MBIT))
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

static double rate_of_port(bool reads, DWORD mbit, DWORD chunk, DWORD size)
{
    HANDLE port = open_port(0);
    set_timeouts(port, 0, 0, 0);
    struct peer peer = {connected_peer(), size, reads, mbit};
    double result = rate(reads ? read_handle : write_handle, port, &peer, chunk, size);
    closesocket(peer.socket);
    CloseHandle(port);
    while (get_status().open)
        Sleep(1);
    return result;
}

static SOCKET plain_socket(uint16_t number)
{
    BOOL on = TRUE;
    SOCKET near_end = connect_to("127.0.0.1", number);
    setsockopt(near_end, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof(on));
    return near_end;
}

static double rate_of_socket(bool reads, DWORD mbit, DWORD chunk, DWORD size)
{
    uint16_t number = 0;
    SOCKET listener = listen_at("127.0.0.1", &number);
    SOCKET near_end = plain_socket(number);
    struct peer peer = {accept_peer(listener), size, reads, mbit};
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

static double rate_of_bare(bool reads, DWORD chunk, DWORD size)
{
    enum { CONNECT = 0x800 << 2 };
    uint16_t number = 0;
    DWORD done = 0;
    SOCKET listener = listen_at("127.0.0.1", &number);
    HANDLE bare = CreateFileW(L"\\\\.\\VspBare", GENERIC_READ | GENERIC_WRITE, 0, NULL,
                              OPEN_EXISTING, 0, NULL);
    CHECK(bare != INVALID_HANDLE_VALUE);
    CHECK(DeviceIoControl(bare, CONNECT, &number, sizeof(number), NULL, 0, &done, NULL));
    struct peer peer = {accept_peer(listener), size, reads, 0};
    double result = rate(reads ? read_handle : write_handle, bare, &peer, chunk, size);
    CloseHandle(bare);
    closesocket(peer.socket);
    closesocket(listener);
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
    double bare = 0;
    double null = 0;
    DWORD size = chunk * BULK_CHUNKS < BULK_MAX ? chunk * BULK_CHUNKS : BULK_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        raise_to(&port, rate_of_port(reads, 0, chunk, size));
        raise_to(&plain, rate_of_socket(reads, 0, chunk, size));
        raise_to(&bare, rate_of_bare(reads, chunk, size));
        raise_to(&null, rate_of_null(reads, chunk, size));
    }
    printf("{\"bench\":\"vsp-%s\",\"chunk\":%lu,\"port_mb_s\":%.2f,\"socket_mb_s\":%.2f,"
           "\"bare_mb_s\":%.2f,\"null_mb_s\":%.2f,\"port_per_socket\":%.3f,"
           "\"bare_per_socket\":%.3f,\"null_per_socket\":%.3f,\"port_per_bare\":%.3f,"
           "\"port_per_null\":%.3f}\n",
           reads ? "read" : "write", chunk, port, plain, bare, null, port / plain, bare / plain,
           null / plain, port / bare, port / null);
    fflush(stdout);
}

static void compare_on_a_wire(bool reads, DWORD mbit, DWORD chunk)
{
    DWORD second = mbit * SECOND_OF_MBIT / chunk * chunk;
    DWORD size = second < chunk * WIRE_CHUNKS ? second : chunk * WIRE_CHUNKS;
    double port = 0;
    double plain = 0;
    for (int round = 0; round < ROUNDS; round++) {
        raise_to(&port, rate_of_port(reads, mbit, chunk, size));
        raise_to(&plain, rate_of_socket(reads, mbit, chunk, size));
    }
    printf("{\"bench\":\"vsp-%s-on-a-wire\",\"wire_mbit\":%lu,\"chunk\":%lu,\"port_mb_s\":%.3f,"
           "\"socket_mb_s\":%.3f,\"port_per_socket\":%.3f}\n",
           reads ? "read" : "write", mbit, chunk, port, plain, port / plain);
    fflush(stdout);
}

static void echo_handle(void *end, DWORD chunk)
{
    write_handle(end, chunk);
    read_handle(end, chunk);
}

static void echo_socket(void *end, DWORD chunk)
{
    write_socket(end, chunk);
    read_socket(end, chunk);
}

/* A virtual machine takes one connection after the other. */
static void compare_at_machine(bool echo, uint16_t number, DWORD chunk)
{
    double port = 0;
    double plain = 0;
    DWORD size = chunk < MACHINE_SIZE && echo ? MACHINE_SIZE : GIVEN_SIZE;
    for (int round = 0; round < ROUNDS; round++) {
        HANDLE handle = open_port(0);
        set_timeouts(handle, 0, 0, 0);
        connect_port("127.0.0.1", number);
        wait_for_state(VSP_UP);
        raise_to(&port, rate(echo ? echo_handle : read_handle, handle, NULL, chunk, size));
        CloseHandle(handle);
        no_connection();
        SOCKET near_end = plain_socket(number);
        raise_to(&plain, rate(echo ? echo_socket : read_socket, (void *)(uintptr_t)near_end, NULL,
                              chunk, size));
        closesocket(near_end);
    }
    printf("{\"bench\":\"vsp-%s-at-qemu\",\"chunk\":%lu,\"port_kb_s\":%.2f,\"socket_kb_s\":%.2f,"
           "\"port_per_socket\":%.3f}\n",
           echo ? "echo" : "read", chunk, port * 1e3, plain * 1e3, port / plain);
    fflush(stdout);
}

static int run_machine(bool echo, const char *number)
{
    static const DWORD chunks[] = {64, 512, 4096, 65536};
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
        compare_at_machine(echo, (uint16_t)strtoul(number, NULL, 10), chunks[i]);
    return 0;
}

static void run_wires(void)
{
    static const DWORD wires[] = {1, 10, 100};
    static const DWORD chunks[] = {64, 512, 4096, 65536};
    for (int reads = 0; reads < 2; reads++)
        for (size_t wire = 0; wire < sizeof(wires) / sizeof(wires[0]); wire++)
            for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
                compare_on_a_wire(reads, wires[wire], chunks[i]);
}

int main(int argc, char **argv)
{
    static const DWORD chunks[] = {16, 64, 512, 4096, 65536, CHUNK_MAX};
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
    if (argc == 3 && (!strcmp(argv[1], "echo") || !strcmp(argv[1], "give")))
        return run_machine(argv[1][0] == 'e', argv[2]);
    bool wires_only = argc == 2 && !strcmp(argv[1], "wire");
    for (int reads = 0; reads < 2 && !wires_only; reads++)
        for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
            if (argc < 2 || !strcmp(argv[1], reads ? "read" : "write"))
                if (argc < 3 || strtoul(argv[2], NULL, 10) == chunks[i])
                    compare(reads, chunks[i]);
    if (wires_only || argc == 1)
        run_wires();
    return 0;
}
