/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few things the line needs of a system: a lock, one thread that waits for a socket, and
 * non-blocking TCP. win32/os.c is the driver's, posix/os.c lets the tests run the same driver
 * natively under the sanitizers.
 */
#ifndef KDWIRE_VSP_OS_H
#define KDWIRE_VSP_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serial/port.h"

typedef intptr_t os_socket;
#define OS_NO_SOCKET ((os_socket)-1)

enum {
    OS_ADDRESSES_MAX = 16, /* of one name that are tried; more have no use */
    OS_ADDRESS_SIZE = 28,  /* struct sockaddr_in6 */
    OS_TEXT_MAX = 200,
};

struct os_address {
    uint8_t bytes[OS_ADDRESS_SIZE];
    uint32_t size;
};

struct os_addresses {
    struct os_address list[OS_ADDRESSES_MAX];
    size_t count;
    char problem[OS_TEXT_MAX]; /* why there are none */
};

enum os_result {
    OS_DONE,
    OS_AGAIN, /* not now: os_wait tells when */
    OS_LOST,  /* failed; os_error_text tells why */
};

struct os;

/* RUN is the thread's body. NULL: out of memory, or the system's sockets do not start. */
struct os *os_create(void (*run)(void *context), void *context);
void os_destroy(struct os *os); /* after os_stop */

/* False: no thread can be made. */
bool os_start(struct os *os);
/* Waits until RUN has returned; gives up the look-up under way. */
void os_stop(struct os *os);

void os_lock(struct os *os);
void os_unlock(struct os *os);

/* Another one, outside of the first: a change of settings and its keeping in the registry. */
void os_lock_change(struct os *os);
void os_unlock_change(struct os *os);

uint64_t os_now(void); /* microseconds */

/* Whether somebody watches events of a level (enum vsp_log_level), and one for them: on Windows
 * ETW, provider VSP_TRACE. */
bool os_traces(const struct os *os, uint32_t level);
void os_trace(const struct os *os, uint32_t level, const char *text);

/* In the thread, without the lock: until os_wake, until DUE, or until something new is possible at
 * any socket made below: each time bytes or peers come, and when there is room again after a call
 * answered OS_AGAIN. It is told once: what is left undone must be remembered. */
void os_wait(struct os *os, uint64_t due);
void os_wake(struct os *os);

/* Starts to look a name up; numeric addresses are there at once. os_looked_up becomes true and the
 * thread is woken. One at a time: it gives up the one before. */
void os_look_up(struct os *os, const char *host, uint16_t port, bool to_listen);
bool os_looked_up(struct os *os, struct os_addresses *addresses);
/* At once, however long the system's resolver takes. */
void os_give_up_look_up(struct os *os);

/* OS_DONE: SOCKET is connected; OS_AGAIN: it will be, ask os_connected. */
enum os_result os_connect(struct os *os, const struct os_address *address, os_socket *socket);
enum os_result os_connected(os_socket socket);
enum os_result os_listen(struct os *os, const struct os_address *address, os_socket *socket);
enum os_result os_accept(struct os *os, os_socket listener, os_socket *socket);
enum os_result os_send(os_socket socket, const uint8_t *bytes, size_t size, size_t *sent);
/* Into the pieces, at most SERIAL_PIECES, one after the other. OS_LOST with RECEIVED 0 and no
 * error: the peer has closed. */
enum os_result os_receive(os_socket socket, const struct serial_piece *pieces, size_t count,
                          size_t *received);
void os_close(os_socket *socket);

/* TCP_NODELAY, and keep-alive after SECONDS of silence (0 = none). */
void os_tune(os_socket socket, uint32_t keepalive);

uint16_t os_local_port(os_socket socket);
void os_peer_text(os_socket socket, char *text, size_t size);
void os_address_text(const struct os_address *address, char *text, size_t size);

/* Why the last call of this thread failed: "connection refused (10061)". */
void os_error_text(char *text, size_t size);

#endif
