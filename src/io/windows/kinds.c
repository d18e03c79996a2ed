/* SPDX-License-Identifier: BSD-2-Clause */
#include "../opener.h"

const char *platform_kind_hint(enum endpoint_kind kind)
{
    switch (kind) {
    case ENDPOINT_UNIX:
    case ENDPOINT_UNIX_LISTEN:
        return "Unix-domain sockets are for other systems; on Windows use pipe: or pipe-listen:";
    case ENDPOINT_PTY:
    case ENDPOINT_FIFO:
        return "Windows has no pseudo-terminals; for WinDbg use pipe-listen:, which it opens "
               "itself";
    default:
        return NULL;
    }
}

struct opener *platform_opener(enum endpoint_kind kind)
{
    switch (kind) {
    case ENDPOINT_PIPE:
        return opener_pipe();
    case ENDPOINT_PIPE_LISTEN:
        return opener_pipe_listen();
    case ENDPOINT_SERIAL:
        return opener_serial();
    case ENDPOINT_EXEC:
        return opener_exec();
    case ENDPOINT_STDIO:
        return opener_stdio();
    case ENDPOINT_VMBUS:
        return opener_vmbus();
    case ENDPOINT_HVSOCK:
        return opener_hvsock();
    default:
        return NULL;
    }
}
