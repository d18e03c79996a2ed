/* SPDX-License-Identifier: BSD-2-Clause */
#include "../opener.h"

const char *platform_kind_hint(enum endpoint_kind kind)
{
    if (kind == ENDPOINT_PIPE || kind == ENDPOINT_PIPE_LISTEN)
        return "named pipes exist on Windows only; here use unix: or unix-listen:";
    if (kind == ENDPOINT_VMBUS)
        return "VMBus channels are offered by a Windows host: run kdwire.exe there";
    if (kind == ENDPOINT_HVSOCK)
        return "Hyper-V sockets exist on a Windows host: run kdwire.exe there";
    return NULL;
}

struct opener *platform_opener(enum endpoint_kind kind)
{
    switch (kind) {
    case ENDPOINT_SERIAL:
        return opener_serial();
    case ENDPOINT_PTY:
        return opener_pty();
    case ENDPOINT_EXEC:
        return opener_exec();
    case ENDPOINT_STDIO:
        return opener_stdio();
    case ENDPOINT_FIFO:
        return opener_fifo();
    default:
        return NULL;
    }
}
