/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Not a reassembler: segments are taken in the order of the capture. That is the order of the
 * stream unless the network reorders; then the gap is reported and the late segment is taken for
 * a repetition, and the KD stream behind resynchronises as it does on a bad line.
 */
#include "capture/tcp.h"

#include <string.h>

#include "kdwire/protocol.h"

enum { FLAG_SYN = 2, FLAG_ACK = 16 };

static bool is_end(const struct tcp_end *end, const uint8_t *address, uint16_t port)
{
    return end->port == port && !memcmp(end->address, address, sizeof(end->address));
}

/* The flow of RECORD; *SENDER becomes the number of the end that sent it. */
static struct tcp_flow *find_flow(struct tcp_flows *flows, const struct capture_record *record,
                                  unsigned *sender)
{
    for (unsigned i = 0; i < TCP_FLOWS_MAX; i++) {
        struct tcp_flow *flow = &flows->flow[i];
        if (flow->ip_version != record->ip_version)
            continue;
        for (unsigned end = 0; end < 2; end++) {
            if (is_end(&flow->ends[end], record->source, record->source_port) &&
                is_end(&flow->ends[!end], record->destination, record->destination_port)) {
                *sender = end;
                return flow;
            }
        }
    }
    return NULL;
}

/*
 * Who is the debugger? WinDbg and kdwire connect to a serial port offered by a virtual machine or
 * a relay, so the client is the debugger's side. Without the connection's beginning the lower port
 * number is taken for the server's.
 */
static unsigned guess_client(const struct capture_record *record)
{
    if (record->tcp_flags & FLAG_SYN)
        return record->tcp_flags & FLAG_ACK ? 1 : 0;
    return record->source_port < record->destination_port ? 1 : 0;
}

static struct tcp_flow *new_flow(struct tcp_flows *flows, const struct capture_record *record)
{
    struct tcp_flow *flow = &flows->flow[flows->oldest];
    flows->oldest = (flows->oldest + 1) % TCP_FLOWS_MAX;
    memset(flow, 0, sizeof(*flow));
    flow->ip_version = record->ip_version;
    memcpy(flow->ends[0].address, record->source, sizeof(record->source));
    memcpy(flow->ends[1].address, record->destination, sizeof(record->destination));
    flow->ends[0].port = record->source_port;
    flow->ends[1].port = record->destination_port;
    unsigned client = guess_client(record);
    flow->from[client] = CAPTURE_FROM_DEBUGGER;
    flow->from[!client] = CAPTURE_FROM_TARGET;
    return flow;
}

/* A new connection with the same ports; a repeated SYN is not one. */
static bool begins_anew(const struct tcp_flow *flow, unsigned sender,
                        const struct capture_record *record)
{
    return record->tcp_flags & FLAG_SYN && flow->ends[sender].seen &&
           flow->ends[sender].next != record->tcp_sequence + 1;
}

/* Sequence numbers wrap: the difference as a signed number tells before and after. */
static void cut_repetition(struct tcp_end *end, struct capture_record *record)
{
    uint32_t sequence = record->tcp_sequence + (record->tcp_flags & FLAG_SYN ? 1 : 0);
    uint32_t size = (uint32_t)record->payload_size + (uint32_t)record->missing;
    if (end->seen) {
        uint32_t ahead = sequence - end->next;
        if (ahead >= 0x80000000u) { /* begins before what we have */
            size_t old = (size_t)(0 - ahead);
            old = old < record->payload_size ? old : record->payload_size;
            record->payload += old;
            record->payload_size -= old;
        } else {
            record->missing += ahead;
        }
        if (sequence + size - end->next >= 0x80000000u)
            return; /* ends before it, too */
    }
    end->seen = true;
    end->next = sequence + size;
}

static bool is_header(const uint8_t *at)
{
    uint32_t leader = kd_get_u32(at);
    uint16_t type = kd_get_u16(at + 4);
    bool control =
        type == KD_PACKET_ACKNOWLEDGE || type == KD_PACKET_RESEND || type == KD_PACKET_RESET;
    if (leader == KD_LEADER_CONTROL)
        return control;
    return leader == KD_LEADER_DATA && !control && type && type <= KD_PACKET_FILE_IO;
}

static bool shows_kd(const struct capture_record *record)
{
    for (size_t at = 0; record->payload_size - at >= KD_HEADER_SIZE; at++) {
        if (is_header(record->payload + at))
            return true;
    }
    return false;
}

void tcp_take(struct tcp_flows *flows, struct capture_record *record)
{
    unsigned sender = 0;
    struct tcp_flow *flow = find_flow(flows, record, &sender);
    if (flow && begins_anew(flow, sender, record)) {
        flow->ip_version = 0;
        flow = NULL;
        sender = 0;
    }
    if (!flow)
        flow = new_flow(flows, record);
    cut_repetition(&flow->ends[sender], record);
    if (!flow->is_kd)
        flow->is_kd = shows_kd(record);
    if (!flow->is_kd)
        return;
    record->content = CAPTURE_CONTENT_KD;
    record->direction = flow->from[sender];
}
