/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside kdwire errors of the system are libuv's. */
#ifndef KDWIRE_IO_WINDOWS_ERROR_H
#define KDWIRE_IO_WINDOWS_ERROR_H

#include <uv.h>
#include <windows.h>

/* Why a call of Windows failed, as a libuv error: never 0. */
static inline int last_error(void)
{
    DWORD error = GetLastError();
    return uv_translate_sys_error((int)(error ? error : ERROR_GEN_FAILURE));
}

#endif
