/* SPDX-License-Identifier: BSD-2-Clause */
/* POSIX sockets for sockets.c. */
#ifndef KDWIRE_VSP_SOCKETS_H
#define KDWIRE_VSP_SOCKETS_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os.h"

#define SOCKETS_RAW(s)     ((int)(s))
#define SOCKETS_CODE(name) name

/* Of HOST as settings have it, what the resolver is asked. */
const char *sockets_node(const char *host, bool to_listen);
/* A list of addresses is begun, filled, ended: empty, it says that HOST is not found. */
void sockets_begin_list(struct os_addresses *out);
void sockets_add(struct os_addresses *out, const struct sockaddr *address, size_t size);
void sockets_end_list(struct os_addresses *out, const char *host, int error);

/* One look-up; blocks, unless it is NUMERIC only. */
bool sockets_look_up(const char *host, uint16_t port, bool to_listen, bool numeric,
                     struct os_addresses *out);

static inline int sockets_error(void)
{
    return errno;
}

static inline void sockets_set_error(int error)
{
    errno = error;
}

static inline bool sockets_would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static inline bool sockets_is_under_way(int error)
{
    return error == EINPROGRESS;
}

static inline os_socket sockets_open(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static inline os_socket sockets_accept(os_socket listener)
{
    return accept(SOCKETS_RAW(listener), NULL, NULL);
}

static inline bool sockets_nonblocking(os_socket s)
{
    return fcntl(SOCKETS_RAW(s), F_SETFL, fcntl(SOCKETS_RAW(s), F_GETFL) | O_NONBLOCK) == 0;
}

/* What happens at S ends os_wait (posix/os.c), until it is closed. */
bool sockets_watch(struct os *os, os_socket s);

static inline void sockets_claim_port(os_socket s)
{
    int on = 1;
    setsockopt(SOCKETS_RAW(s), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

static inline bool sockets_is_settled(os_socket s)
{
    struct pollfd p = {.fd = SOCKETS_RAW(s), .events = POLLOUT};
    return poll(&p, 1, 0) > 0;
}

static inline long sockets_send(os_socket s, const uint8_t *bytes, size_t size)
{
    return send(SOCKETS_RAW(s), bytes, size, MSG_NOSIGNAL);
}

static inline long sockets_receive(os_socket s, const struct serial_piece *pieces, size_t count)
{
    struct iovec list[SERIAL_PIECES];
    if (count == 1) /* the shorter way */
        return recv(SOCKETS_RAW(s), pieces->bytes, pieces->size, 0);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct iovec){pieces[i].bytes, pieces[i].size};
    return readv(SOCKETS_RAW(s), list, (int)count);
}

static inline void sockets_close(os_socket s)
{
    close(SOCKETS_RAW(s));
}

#endif
