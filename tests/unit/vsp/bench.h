/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver on the stand-in framework, and peers at the other end of its TCP line. */
#ifndef TEST_VSP_BENCH_H
#define TEST_VSP_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_wdf.h"
#include "interface.h"
#include "serial/codes.h"

fake_entry FxDriverEntryUm;

enum { WAIT_MS = 60000 }; /* far beyond anything but a hang */

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        for (unsigned waited_ms = 0; !(condition); waited_ms++) {                                  \
            assert_true(waited_ms < WAIT_MS);                                                      \
            sleep_ms(1);                                                                           \
        }                                                                                          \
    } while (0)

/* bench.c */
void sleep_ms(unsigned ms);
void expect_done(const struct fake_request *request);
int listen_at(const char *address, uint16_t *port); /* port 0: any; a listening socket */
int accept_peer(int listener);
int connect_to(const char *address, uint16_t port);
void send_text(int peer, const char *text);
void expect_text(int peer, const char *text);
void reset_peer(int peer); /* closes with RST */

/* A loaded driver with a device named COM7 and no connection; end_device removes it and sees that
 * nothing is left. */
int start_device(void **state);
int end_device(void **state);

struct wdf_file_handle *open_port(void);
struct wdf_file_handle *open_control(void);
/* Sends a control that is done at once; returns its status, OUT may be NULL. */
wdf_status control(struct wdf_file_handle *file, uint32_t code, const void *in, size_t in_size,
                   void *out, size_t out_size);
struct vsp_status get_status(struct wdf_file_handle *control_file);
void wait_for_state(struct wdf_file_handle *control_file, enum vsp_state state);
struct vsp_settings get_settings(struct wdf_file_handle *control_file);
void set_settings(struct wdf_file_handle *control_file, const struct vsp_settings *settings);
void connect_port(struct wdf_file_handle *control_file, const char *host, uint16_t port);
uint16_t listen_port(struct wdf_file_handle *control_file, const char *host);
void set_timeouts(struct wdf_file_handle *port, uint32_t interval, uint32_t multiplier,
                  uint32_t constant);
void write_text(struct wdf_file_handle *port, const char *text);
void read_text(struct wdf_file_handle *port, const char *text);

#endif
