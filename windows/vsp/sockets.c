/* SPDX-License-Identifier: BSD-2-Clause */
/* The TCP half of os.h: what is the same over Winsock and POSIX sockets. sockets.h is the folder's
 * of the system. */
#include "sockets.h"

#include <stdio.h>
#include <string.h>

enum {
    KEEPALIVE_PROBES = 3, /* unanswered, a second apart: the peer is gone */
    BACKLOG = 4,
};

static void set_option(os_socket s, int level, int option, int value)
{
    setsockopt(SOCKETS_RAW(s), level, option, (const char *)&value, sizeof(value));
}

const char *sockets_node(const char *host, bool to_listen)
{
    if (to_listen && !host[0])
        return "127.0.0.1"; /* a port is full control of a machine: for others only when asked */
    if (to_listen && !strcmp(host, "*"))
        return "::"; /* with IPv4 beside it, see os_listen */
    return host;
}

void sockets_begin_list(struct os_addresses *out)
{
    out->count = 0;
    out->problem[0] = '\0';
}

void sockets_add(struct os_addresses *out, const struct sockaddr *address, size_t size)
{
    if (size > OS_ADDRESS_SIZE || out->count == OS_ADDRESSES_MAX)
        return;
    struct os_address *entry = &out->list[out->count++];
    memcpy(entry->bytes, address, size);
    entry->size = (uint32_t)size;
}

void sockets_end_list(struct os_addresses *out, const char *host, int error)
{
    if (!out->count)
        snprintf(out->problem, sizeof(out->problem), "%.100s: the name is not found (%d)", host,
                 error);
}

bool sockets_look_up(const char *host, uint16_t port, bool to_listen, bool numeric,
                     struct os_addresses *out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    hints.ai_flags = (numeric ? AI_NUMERICHOST : 0) | (to_listen ? AI_PASSIVE : 0);
    sockets_begin_list(out);
    int error = getaddrinfo(sockets_node(host, to_listen), service, &hints, &list);
    for (const struct addrinfo *at = error ? NULL : list; at; at = at->ai_next)
        sockets_add(out, at->ai_addr, (size_t)at->ai_addrlen);
    if (!error)
        freeaddrinfo(list);
    sockets_end_list(out, host, error);
    return out->count > 0;
}

static const struct sockaddr *raw_address(const struct os_address *address,
                                          struct sockaddr_storage *storage)
{
    memset(storage, 0, sizeof(*storage));
    memcpy(storage, address->bytes, address->size);
    return (const struct sockaddr *)storage;
}

static bool open_socket(struct os *os, int family, os_socket *out)
{
    *out = sockets_open(family);
    if (*out == OS_NO_SOCKET)
        return false;
    if (sockets_nonblocking(*out) && sockets_watch(os, *out))
        return true;
    int error = sockets_error();
    os_close(out);
    sockets_set_error(error);
    return false;
}

enum os_result os_connect(struct os *os, const struct os_address *address, os_socket *socket)
{
    struct sockaddr_storage storage;
    const struct sockaddr *raw = raw_address(address, &storage);
    if (!open_socket(os, raw->sa_family, socket))
        return OS_LOST;
    if (!connect(SOCKETS_RAW(*socket), raw, (socklen_t)address->size))
        return OS_DONE;
    int error = sockets_error();
    if (sockets_is_under_way(error))
        return OS_AGAIN;
    os_close(socket);
    sockets_set_error(error);
    return OS_LOST;
}

enum os_result os_connected(os_socket socket)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (!sockets_is_settled(socket))
        return OS_AGAIN;
    if (getsockopt(SOCKETS_RAW(socket), SOL_SOCKET, SO_ERROR, (void *)&error, &size))
        return OS_LOST;
    sockets_set_error(error);
    return error ? OS_LOST : OS_DONE;
}

enum os_result os_listen(struct os *os, const struct os_address *address, os_socket *socket)
{
    struct sockaddr_storage storage;
    const struct sockaddr *raw = raw_address(address, &storage);
    if (!open_socket(os, raw->sa_family, socket))
        return OS_LOST;
    if (raw->sa_family == AF_INET6)
        set_option(*socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    sockets_claim_port(*socket);
    if (!bind(SOCKETS_RAW(*socket), raw, (socklen_t)address->size) &&
        !listen(SOCKETS_RAW(*socket), BACKLOG))
        return OS_DONE;
    int error = sockets_error();
    os_close(socket);
    sockets_set_error(error);
    return OS_LOST;
}

enum os_result os_accept(struct os *os, os_socket listener, os_socket *socket)
{
    *socket = sockets_accept(listener);
    if (*socket == OS_NO_SOCKET)
        return sockets_would_block(sockets_error()) ? OS_AGAIN : OS_LOST;
    if (sockets_nonblocking(*socket) && sockets_watch(os, *socket))
        return OS_DONE;
    os_close(socket);
    return OS_LOST;
}

enum os_result os_send(os_socket socket, const uint8_t *bytes, size_t size, size_t *sent)
{
    long count = sockets_send(socket, bytes, size);
    *sent = count > 0 ? (size_t)count : 0;
    if (count >= 0)
        return OS_DONE;
    return sockets_would_block(sockets_error()) ? OS_AGAIN : OS_LOST;
}

enum os_result os_receive(os_socket socket, const struct serial_piece *pieces, size_t pieces_count,
                          size_t *received)
{
    long count = sockets_receive(socket, pieces, pieces_count);
    *received = count > 0 ? (size_t)count : 0;
    if (count > 0)
        return OS_DONE;
    if (!count)
        sockets_set_error(0);
    else if (sockets_would_block(sockets_error()))
        return OS_AGAIN;
    return OS_LOST;
}

void os_close(os_socket *socket)
{
    if (*socket != OS_NO_SOCKET)
        sockets_close(*socket);
    *socket = OS_NO_SOCKET;
}

void os_tune(os_socket socket, uint32_t keepalive)
{
    set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!keepalive)
        return;
    set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive);
    set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static void name_text(const struct sockaddr *raw, socklen_t length, char *text, size_t size)
{
    char host[64];
    char port[8];
    if (getnameinfo(raw, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV))
        snprintf(text, size, "unknown");
    else
        snprintf(text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

uint16_t os_local_port(os_socket socket)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    memset(&storage, 0, sizeof(storage));
    if (getsockname(SOCKETS_RAW(socket), (struct sockaddr *)&storage, &length))
        return 0;
    if (storage.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&storage)->sin6_port);
    return ntohs(((struct sockaddr_in *)&storage)->sin_port);
}

void os_peer_text(os_socket socket, char *text, size_t size)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    memset(&storage, 0, sizeof(storage));
    if (getpeername(SOCKETS_RAW(socket), (struct sockaddr *)&storage, &length))
        snprintf(text, size, "unknown");
    else
        name_text((struct sockaddr *)&storage, length, text, size);
}

void os_address_text(const struct os_address *address, char *text, size_t size)
{
    struct sockaddr_storage storage;
    name_text(raw_address(address, &storage), (socklen_t)address->size, text, size);
}

void os_error_text(char *text, size_t size)
{
    static const struct {
        int code;
        const char *text;
    } known[] = {
        {SOCKETS_CODE(ECONNREFUSED), "connection refused: nothing listens there"},
        {SOCKETS_CODE(ETIMEDOUT), "no answer"},
        {SOCKETS_CODE(ECONNRESET), "the peer reset the connection"},
        {SOCKETS_CODE(ECONNABORTED), "the connection was aborted"},
        {SOCKETS_CODE(EHOSTUNREACH), "the host is unreachable"},
        {SOCKETS_CODE(ENETUNREACH), "the network is unreachable"},
        {SOCKETS_CODE(EADDRINUSE), "the port is in use by another program"},
        {SOCKETS_CODE(EADDRNOTAVAIL), "this machine has no such address"},
        {SOCKETS_CODE(EACCES), "access is denied"},
    };
    int error = sockets_error();
    if (!error) {
        snprintf(text, size, "the peer closed the connection");
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].code == error) {
            snprintf(text, size, "%s (%d)", known[i].text, error);
            return;
        }
    }
    snprintf(text, size, "socket error %d", error);
}
