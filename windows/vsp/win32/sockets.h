/* SPDX-License-Identifier: BSD-2-Clause */
/* Winsock for sockets.c. */
#ifndef KDWIRE_VSP_SOCKETS_H
#define KDWIRE_VSP_SOCKETS_H

#include <winsock2.h>
#include <ws2tcpip.h>

#include "os.h"

#define SOCKETS_RAW(s)     ((SOCKET)(s))
#define SOCKETS_CODE(name) WSA##name

/* Winsock has them since Windows 10 1709; older header files do not. */
#ifndef TCP_KEEPIDLE
#define TCP_KEEPIDLE 3
#endif
#ifndef TCP_KEEPCNT
#define TCP_KEEPCNT 16
#endif
#ifndef TCP_KEEPINTVL
#define TCP_KEEPINTVL 17
#endif

/* Windows has them since 8; mingw's import library does, its header files do not. */
INT WSAAPI GetAddrInfoExCancel(LPHANDLE handle);
INT WSAAPI GetAddrInfoExOverlappedResult(LPOVERLAPPED overlapped);

/* Of HOST as settings have it, what the resolver is asked. */
const char *sockets_node(const char *host, bool to_listen);
/* A list of addresses is begun, filled, ended: empty, it says that HOST is not found. */
void sockets_begin_list(struct os_addresses *out);
void sockets_add(struct os_addresses *out, const struct sockaddr *address, size_t size);
void sockets_end_list(struct os_addresses *out, const char *host, int error);

/* One look-up; blocks, unless it is NUMERIC only. */
bool sockets_look_up(const char *host, uint16_t port, bool to_listen, bool numeric,
                     struct os_addresses *out);

/* What happens at S sets the event that os_wait waits for (win32/os.c). */
bool sockets_watch(struct os *os, os_socket s);

static inline int sockets_error(void)
{
    return WSAGetLastError();
}

static inline void sockets_set_error(int error)
{
    WSASetLastError(error);
}

static inline bool sockets_would_block(int error)
{
    return error == WSAEWOULDBLOCK;
}

static inline bool sockets_is_under_way(int error)
{
    return error == WSAEWOULDBLOCK || error == WSAEINPROGRESS;
}

static inline os_socket sockets_open(int family)
{
    return (os_socket)WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
                                 WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static inline os_socket sockets_accept(os_socket listener)
{
    return (os_socket)accept(SOCKETS_RAW(listener), NULL, NULL);
}

static inline bool sockets_nonblocking(os_socket s)
{
    u_long on = 1;
    return ioctlsocket(SOCKETS_RAW(s), (long)FIONBIO, &on) == 0;
}

static inline void sockets_claim_port(os_socket s)
{
    /* SO_REUSEADDR would let another program steal the port here. */
    BOOL on = TRUE;
    setsockopt(SOCKETS_RAW(s), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof(on));
}

static inline bool sockets_is_settled(os_socket s)
{
    fd_set writable;
    fd_set failed;
    struct timeval at_once = {0, 0};
    FD_ZERO(&writable);
    FD_ZERO(&failed);
    writable.fd_array[writable.fd_count++] = SOCKETS_RAW(s);
    failed.fd_array[failed.fd_count++] = SOCKETS_RAW(s);
    return select(0, NULL, &writable, &failed, &at_once) > 0;
}

static inline long sockets_send(os_socket s, const uint8_t *bytes, size_t size)
{
    return send(SOCKETS_RAW(s), (const char *)bytes, size > 0x100000 ? 0x100000 : (int)size, 0);
}

static inline long sockets_receive(os_socket s, const struct serial_piece *pieces, size_t count)
{
    WSABUF list[SERIAL_PIECES];
    DWORD received = 0;
    DWORD flags = 0;
    for (size_t i = 0; i < count; i++)
        list[i] = (WSABUF){(ULONG)pieces[i].size, (char *)pieces[i].bytes};
    int result = WSARecv(SOCKETS_RAW(s), list, (DWORD)count, &received, &flags, NULL, NULL);
    return result ? -1 : (long)received;
}

static inline void sockets_close(os_socket s)
{
    closesocket(SOCKETS_RAW(s));
}

#endif
