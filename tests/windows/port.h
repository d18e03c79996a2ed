/* SPDX-License-Identifier: BSD-2-Clause */
/* What the Windows test programs share: the port under test, and its TCP peers. */
#ifndef TEST_WINDOWS_PORT_H
#define TEST_WINDOWS_PORT_H

#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interface.h"

enum { LIMIT_MS = 60000 }; /* far beyond anything but a hang */

/* Ends the program, naming the line and the system's error. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_check(__FILE__, __LINE__, #condition);                                            \
    } while (0)

__attribute__((noreturn)) void fail_check(const char *file, int line, const char *what);

HANDLE open_port(DWORD flags); /* FILE_FLAG_OVERLAPPED or 0 */
struct vsp_status get_status(void);
struct vsp_settings get_settings(void);
void set_settings(const struct vsp_settings *settings);
void wait_for_state(enum vsp_state state);
void connect_port(const char *host, uint16_t port);
uint16_t listen_port(const char *host);
void no_connection(void);

SOCKET listen_at(const char *host, uint16_t *port); /* 0: any */
SOCKET accept_peer(SOCKET listener);
SOCKET connect_to(const char *host, uint16_t port);
SOCKET connected_peer(void); /* the port is connected to it */
void send_text(SOCKET peer, const char *text);
void expect_text(SOCKET peer, const char *text);

void set_timeouts(HANDLE port, DWORD interval, DWORD multiplier, DWORD constant);
/* Waits for an overlapped operation; returns its bytes, *ERROR its error or 0. */
DWORD finish(HANDLE port, OVERLAPPED *o, DWORD *error);
void begin_read(HANDLE port, OVERLAPPED *o, void *data, DWORD size);
void begin_write(HANDLE port, OVERLAPPED *o, const void *data, DWORD size);

#endif
