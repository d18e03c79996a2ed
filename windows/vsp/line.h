/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line behind one port: the serial port's semantics, joined to a TCP peer. One lock, one
 * thread; all calls may come from any thread.
 *
 * The connection:
 *   state       event                                    next        what happens
 *   idle        a connection is wanted                   lookup
 *   lookup      addresses                                connecting  the first one (or listening)
 *   lookup      none                                     pause
 *   connecting  connected                                up          CTS, DSR, DCD rise
 *   connecting  refused, or no answer in CONNECT_US      connecting  the next address
 *   connecting  the same, it was the last one            pause
 *   listening   a peer comes                             up          RI rings
 *   listening   the address cannot be used               pause
 *   up          a second peer comes                      up          refused, or it takes over
 *   up          the peer closes, fails                   pause       the lines fall (listening:
 * back to listening at once) pause       time is over                             lookup any no
 * connection is wanted, new settings    idle        sockets close
 *
 * A request, so that it ends exactly once whatever threads do:
 *   state    event                                   next     what happens
 *   -        submitted, done at once                 -        completed
 *   -        submitted, must wait; may be marked     marked
 *   -        the same, but it is cancelled already   -        completed as cancelled
 *   marked   the port is done, unmark succeeds       -        completed
 *   marked   the port is done, unmark fails          parked   the cancel callback is on its way
 *   parked   cancel callback                         -        completed with the port's result
 *   marked   cancel callback                         -        the port gives it up; completed
 */
#ifndef KDWIRE_VSP_LINE_H
#define KDWIRE_VSP_LINE_H

#include "interface.h"
#include "log.h"
#include "os.h"
#include "serial/port.h"

struct line_request {
    struct serial_request serial; /* must be first */
    bool marked, cancelling, parked;
};

struct line_hooks {
    /* Under the lock: makes a waiting request cancellable; false: it is cancelled already. */
    bool (*mark)(struct line_request *request);
    /* Under the lock: true: it cannot be cancelled any more; false: line_cancel will come. */
    bool (*unmark)(struct line_request *request);
    /* Without the lock: the request is done and the caller's again. */
    void (*complete)(struct line_request *request);
};

struct line;

/* NULL: out of memory. */
struct line *line_create(const struct line_hooks *hooks);
void line_destroy(struct line *line); /* stopped, no request waits */

/* The thread and with it the connection. False: no thread could be made. */
bool line_start(struct line *line);
/* Ends the connection and the thread; requests go on waiting, as on a line whose plug is out. */
void line_stop(struct line *line);
/* Ends all requests with STATUS, now and from now on: the device goes away. */
void line_remove(struct line *line, uint32_t status);

uint32_t line_open(struct line *line);
void line_close(struct line *line);

/* Hand in a request whose serial.data and serial.size are set; it comes back by `complete`. */
void line_read(struct line *line, struct line_request *request);
void line_write(struct line *line, struct line_request *request);
void line_control(struct line *line, struct line_request *request, uint32_t code, const uint8_t *in,
                  size_t in_size);
/* The cancel callback of a marked request. */
void line_cancel(struct line *line, struct line_request *request);

void line_default_settings(struct vsp_settings *settings);
/* False: a field is out of its range, nothing has changed. */
bool line_set_settings(struct line *line, const struct vsp_settings *settings);
/* Around a change of settings that is also written elsewhere: two at once do not mix. */
void line_begin_change(struct line *line);
void line_end_change(struct line *line);
void line_get_settings(struct line *line, struct vsp_settings *settings);
void line_get_status(struct line *line, struct vsp_status *status);
void line_get_report(struct line *line, struct vsp_report *report);
void line_set_wait_units(struct line *line, uint32_t units);
void line_set_log_level(struct line *line, uint32_t level);
void line_set_name(struct line *line, const char *name);
void line_reconnect(struct line *line);
size_t line_read_tail(struct line *line, uint8_t *bytes, size_t size);
size_t line_read_log(struct line *line, uint64_t *position, char *text, size_t size);

#endif
