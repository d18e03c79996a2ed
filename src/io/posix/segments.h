/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KDWIRE_IO_POSIX_SEGMENTS_H
#define KDWIRE_IO_POSIX_SEGMENTS_H

#include <stdint.h>

/* TCP segments that came from the peer so far; 0 where the system does not tell. */
uint32_t tcp_segments_in(int fd);

#endif
