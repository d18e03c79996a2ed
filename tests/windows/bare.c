/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare.h"

#include <winsock2.h>

static SOCKET connection = INVALID_SOCKET;

void bare_close(void)
{
    if (connection != INVALID_SOCKET)
        closesocket(connection);
    connection = INVALID_SOCKET;
}

bool bare_connect(uint16_t port)
{
    WSADATA data;
    BOOL on = TRUE;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bare_close();
    if (WSAStartup(MAKEWORD(2, 2), &data))
        return false;
    connection = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof(on));
    return connect(connection, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

bool bare_write(const void *data, size_t size)
{
    return send(connection, data, (int)size, 0) == (int)size;
}

bool bare_read(void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        int count = recv(connection, (char *)data + done, (int)(size - done), 0);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}
