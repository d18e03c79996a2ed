/* SPDX-License-Identifier: BSD-2-Clause */
/* The record of KDNET datagrams as they are on the wire, beside the record of what they say. */
#ifndef KDWIRE_RELAY_DATAGRAMS_H
#define KDWIRE_RELAY_DATAGRAMS_H

#include "io/endpoint.h"
#include "relay/tap.h"

struct datagrams {
    struct capture_writer writer;
    struct capture_file file;
    struct batch batch;
    bool open;
    uint64_t records;
    uint8_t block[CAPTURE_BLOCK_MAX];
};

/* Creates the file. Errors as of capture_file_init, batch_start and its begin. */
int datagrams_open(struct datagrams *datagrams, const struct capture_file_config *file,
                   const struct capture_writer_config *writer);

/* One datagram, at TIME_NS since 1970; never waits unless the disk has been slow for long. Below 0:
 * the file failed, and the record ends here. */
int datagrams_add(struct datagrams *datagrams, uint64_t time_ns, const struct sockaddr *from,
                  const struct sockaddr *to, const uint8_t *bytes, size_t size);

/* What is held goes to the file. Harmless when none is open. */
int datagrams_flush(struct datagrams *datagrams);
int datagrams_close(struct datagrams *datagrams);

#endif
