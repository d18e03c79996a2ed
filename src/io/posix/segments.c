/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of its own: the struct with this counter is in linux/tcp.h, which cannot be included
 * together with netinet/tcp.h, which uv.h includes. */
#include "segments.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

uint32_t tcp_segments_in(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    memset(&info, 0, sizeof(info));
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_segs_in;
}
