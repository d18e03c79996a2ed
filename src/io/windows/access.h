/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may open what we make: pipes, recordings. */
#ifndef KDWIRE_IO_WINDOWS_ACCESS_H
#define KDWIRE_IO_WINDOWS_ACCESS_H

#include <windows.h>

#include "../endpoint.h"

/* A security descriptor for WHO; to be freed with LocalFree. NULL: see GetLastError. */
PSECURITY_DESCRIPTOR access_descriptor(enum endpoint_access who);

#endif
