/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KDWIRE_IO_CLOCK_H
#define KDWIRE_IO_CLOCK_H

#include <stdint.h>

/* Nanoseconds since 1970 UTC, as fine as the system knows. */
uint64_t clock_wall_ns(void);

#endif
