/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside kdwire text is UTF-8; Windows takes UTF-16. */
#ifndef KDWIRE_IO_WINDOWS_TEXT_H
#define KDWIRE_IO_WINDOWS_TEXT_H

#include <stdbool.h>
#include <windows.h>

/* False: longer than SIZE characters with the end. What is no UTF-8 is of the code page in which
 * Windows gives a program its command line. */
static inline bool wide_text(const char *text, wchar_t *wide, int size)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, size) > 0 ||
           MultiByteToWideChar(CP_ACP, 0, text, -1, wide, size) > 0;
}

#endif
