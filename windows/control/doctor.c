/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vspControl doctor: what is missing until it works, and whether it is KD that comes. It looks at
 * the bytes that the driver received last (VSP_READ_TAIL) and sends nothing: a program that has the
 * port, and the machine under debug, notice none of it.
 */
#include "control.h"

#include <stdio.h>
#include <string.h>

#include "kdwire/protocol.h"
#include "kdwire/stream.h"

struct finding {
    unsigned sound, control, damaged; /* packets */
    uint16_t last_type;               /* of a sound data packet */
    size_t junk, printable;           /* bytes outside packets */
    bool telnet;                      /* Telnet's commands are among them */
};

static void look_at_junk(struct finding *finding, const uint8_t *bytes, size_t size)
{
    enum { IAC = 255, WILL = 251, DONT = 254, OPTION_MAX = 49 };
    finding->junk += size;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = bytes[i];
        finding->printable += (c >= 0x20 && c < 0x7F) || c == '\n' || c == '\r' || c == '\t' ||
                              c == 0x1B; /* a terminal's escapes */
        if (size - i > 2 && c == IAC && bytes[i + 1] >= WILL && bytes[i + 1] <= DONT &&
            bytes[i + 2] <= OPTION_MAX)
            finding->telnet = true;
    }
}

static void look_at(struct finding *finding, const struct kd_item *item)
{
    if (item->kind == KD_ITEM_JUNK) {
        look_at_junk(finding, item->raw, item->raw_size);
    } else if (item->kind == KD_ITEM_PACKET && item->faults) {
        finding->damaged++;
    } else if (item->kind == KD_ITEM_PACKET && item->header.leader == KD_LEADER_DATA) {
        finding->sound++;
        finding->last_type = item->header.type;
    } else if (item->kind == KD_ITEM_PACKET) {
        finding->control++;
    }
}

/* The first and the last packet may be cut by the bounds of what is kept. */
static struct finding examine(const uint8_t *bytes, size_t size)
{
    static struct kd_stream stream;
    struct finding finding = {0};
    struct kd_item item;
    kd_stream_init(&stream, KD_FRAMING_SERIAL);
    size_t at = 0;
    do {
        at += kd_stream_feed(&stream, bytes + at, size - at, &item);
        look_at(&finding, &item);
    } while (at < size || item.kind != KD_ITEM_NONE);
    while (kd_stream_flush(&stream, &item))
        if (!(item.faults & KD_FAULT_CUT))
            look_at(&finding, &item);
    return finding;
}

static void explain(const struct finding *f, const struct port *port)
{
    const char *type = kd_packet_type_name(f->last_type);
    const char *name = port->status.name;
    if (f->sound)
        printf("it is KD: %u sound packets of data lately, the last one %s%s\n", f->sound,
               type ? type : "of an unknown type",
               f->damaged ? "; some are damaged: something on the way changes bytes" : "");
    else if (f->control)
        printf("it is KD, but only its acknowledgements and resets have come lately\n");
    else if (f->damaged)
        printf("it looks like KD, but no packet is whole: something on the way changes bytes, as "
               "Telnet or a console does; the serial port of the VM must be plain TCP\n");
    else if (f->telnet)
        printf("it is Telnet: 'vspControl set %s --telnet', or --rfc2217 for a terminal server\n",
               name);
    else if (f->printable * 10 >= f->junk * 9)
        printf("it is text, not KD: a console or log on this serial port. For WinDbg the guest "
               "needs 'bcdedit /dbgsettings serial debugport:N' with this port's number\n");
    else
        printf("it is neither KD nor text: another protocol, or a baud rate that does not fit "
               "where a real serial line follows\n");
}

static int examine_bytes(struct port *port)
{
    static uint8_t tail[VSP_TAIL_MAX];
    const struct vsp_status *s = &port->status;
    DWORD size = 0;
    printf("connected, and %llu bytes have come%s\n", (unsigned long long)s->received,
           s->open ? "; a program has the port" : "; no program has the port open");
    if (!port_control(port, VSP_READ_TAIL, NULL, 0, tail, sizeof(tail), &size))
        return fail_with(GetLastError(), "what has come cannot be looked at");
    const struct finding finding = examine(tail, size);
    explain(&finding, port);
    return DONE;
}

static int advise(struct port *port)
{
    const struct vsp_status *s = &port->status;
    print_status(port);
    if (port->settings.mode == VSP_OFF)
        return fail("it has no peer; 'vspControl set %s --connect HOST:PORT' gives it one",
                    s->name);
    if (s->state == VSP_LISTENING)
        return fail("nobody has connected to port %u of this computer yet; the machine under debug "
                    "must, and the Windows firewall must let it",
                    s->local_port);
    if (s->state != VSP_UP && strstr(s->problem, "refused"))
        return fail("the host answers, but nothing listens at the port: is the VM running, with "
                    "its serial port at this TCP port?");
    if (s->state != VSP_UP && strstr(s->problem, "not found"))
        return fail("the host's name is unknown; try its address");
    if (s->state != VSP_UP)
        return fail("no connection: %s; a firewall on the host that drops packets looks like this",
                    s->problem[0] ? s->problem : "it is still trying");
    if (!s->received)
        return fail("connected, but nothing has come: has the VM 'bcdedit /debug on', 'bcdedit "
                    "/dbgsettings serial debugport:1 baudrate:115200', and been restarted since? "
                    "A VM that runs says nothing until WinDbg breaks in (Ctrl-Break)");
    return examine_bytes(port);
}

int command_doctor(const struct options *options)
{
    enum { PATIENCE_MS = 3000, STEP_MS = 100 };
    struct port port;
    if (!port_open(options, &port))
        return FAILED;
    for (int ms = 0; ms < PATIENCE_MS && port.status.state != VSP_UP && port_refresh(&port);
         ms += STEP_MS)
        Sleep(STEP_MS);
    int code = advise(&port);
    port_close(&port);
    return code;
}
