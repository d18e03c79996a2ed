/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/datagrams.h"

#include <string.h>

int datagrams_open(struct datagrams *datagrams, const struct capture_file_config *file,
                   const struct capture_writer_config *writer)
{
    struct capture_writer_config config = *writer;
    config.format = CAPTURE_PCAPNG;
    config.framing = CAPTURE_DATAGRAMS;
    int rc = capture_writer_init(&datagrams->writer, &config);
    if (rc >= 0)
        rc = capture_file_init(&datagrams->file, file);
    if (rc >= 0)
        rc = batch_start(&datagrams->batch, &datagrams->file.sink, 0);
    if (rc < 0)
        return rc;
    datagrams->open = true;
    struct capture_sink *sink = &datagrams->batch.sink;
    rc = sink->begin(sink, datagrams->writer.preamble, datagrams->writer.preamble_size);
    if (rc < 0)
        datagrams_close(datagrams);
    return rc;
}

/* An IPv4 address inside IPv6 (a socket for both families gives such) is written as IPv4: that is
 * what is on the wire. */
static bool is_ipv4(const struct sockaddr *address)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    return address->sa_family == AF_INET ||
           !memcmp(&((const struct sockaddr_in6 *)address)->sin6_addr, mapped, sizeof(mapped));
}

static void put_end(const struct sockaddr *address, bool ipv4, uint8_t *ip, uint16_t *port)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
        memcpy(ip, &in4->sin_addr, 4);
        *port = ntohs(in4->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        const uint8_t *bytes = (const uint8_t *)&in6->sin6_addr;
        memcpy(ip, ipv4 ? bytes + 12 : bytes, ipv4 ? 4 : 16);
        *port = ntohs(in6->sin6_port);
    }
}

int datagrams_add(struct datagrams *datagrams, uint64_t time_ns, const struct sockaddr *from,
                  const struct sockaddr *to, const uint8_t *bytes, size_t size)
{
    /* A socket that is bound to any address ("::") takes the other end's family. */
    bool ipv4 = is_ipv4(from) || is_ipv4(to);
    struct capture_ends ends = {.ip_version = ipv4 ? 4 : 6};
    put_end(from, ipv4, ends.source, &ends.source_port);
    put_end(to, ipv4, ends.destination, &ends.destination_port);
    const struct capture_packet packet = {
        .direction = CAPTURE_FROM_DEBUGGER,
        .time_ns = time_ns,
        .payload = bytes,
        .payload_size = size,
        .ends = &ends,
    };
    if (!datagrams->open)
        return KD_OK;
    int block =
        capture_write(&datagrams->writer, &packet, datagrams->block, sizeof(datagrams->block));
    if (block <= 0)
        return block;
    datagrams->records++;
    struct capture_sink *sink = &datagrams->batch.sink;
    return sink->write(sink, datagrams->block, (size_t)block, time_ns);
}

int datagrams_flush(struct datagrams *datagrams)
{
    return datagrams->open ? batch_flush(&datagrams->batch) : KD_OK;
}

int datagrams_close(struct datagrams *datagrams)
{
    if (!datagrams->open)
        return KD_OK;
    datagrams->open = false;
    int code = batch_stop(&datagrams->batch);
    return capture_file_close(&datagrams->file) < 0 ? KD_E_IO : code;
}
