/* SPDX-License-Identifier: BSD-2-Clause */
/* What port.c, transfer.c and controls.c share. */
#ifndef KDWIRE_SERIAL_INSIDE_H
#define KDWIRE_SERIAL_INSIDE_H

#include "serial/port.h"

/* A request is done; it must be in no queue any more. */
void serial_finish(struct serial_port *port, struct serial_request *request, uint32_t status);

void serial_enqueue(struct serial_queue *queue, struct serial_request *request);

/* Ends one of the single waiting requests (wait, immediate, counter), if there is one. */
void serial_finish_slot(struct serial_port *port, struct serial_request **slot, uint32_t status);

void serial_end_queue(struct serial_port *port, struct serial_queue *queue, uint32_t status);

/* Events have happened: history, and the pending wait. */
void serial_raise(struct serial_port *port, uint32_t events);

/* Whether ERROR_ABORT holds everything until GET_COMMSTATUS clears the errors. */
bool serial_is_aborted(const struct serial_port *port);

/* Serves reads from the queue as far as it goes. */
void serial_serve_reads(struct serial_port *port, uint64_t now);

/* The first write's timer starts when it becomes the first. */
void serial_start_write(struct serial_port *port, uint64_t now);

/* Handshake lines and XON/XOFF follow the fill of the receive queue. */
void serial_throttle(struct serial_port *port);

/* Which transmit holds follow from handshake settings and modem lines. */
void serial_hold_by_modem(struct serial_port *port);

/* A character that goes out before everything else. */
void serial_send_urgent(struct serial_port *port, uint8_t byte);

#endif
