/* SPDX-License-Identifier: BSD-2-Clause */
#include "../clock.h"

#include <windows.h>

#define TICKS_TO_1970 116444736000000000ull /* of 100 ns, since 1601 */

uint64_t clock_wall_ns(void)
{
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (ticks - TICKS_TO_1970) * 100;
}
