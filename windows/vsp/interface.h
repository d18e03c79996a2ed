/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver and vspControl say to each other: control codes and their structures. Both run
 * on one machine, so that the structures are C structs with fixed types; interface checks below
 * pin their sizes.
 *
 * Every port has, beside its COM name, an interface VSP_INTERFACE with the reference string
 * "control": it can be opened while a program has the port, and takes the codes below only. The
 * codes of the first vspControl (200..206) work on the COM handle as well.
 */
#ifndef KDWIRE_VSP_INTERFACE_H
#define KDWIRE_VSP_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#define VSP_HARDWARE_ID    "UMDF\\HtsVsp"
#define VSP_REFERENCE      "control"
#define VSP_CODE(function) (0x001B0000u + 4u * (function))

/* {5C4B2F7E-3D8A-4B1D-9C57-0D6A1E8F4B21}: the private interface of every port. */
#define VSP_INTERFACE                                                                              \
    {                                                                                              \
        0x5C4B2F7E, 0x3D8A, 0x4B1D,                                                                \
        {                                                                                          \
            0x9C, 0x57, 0x0D, 0x6A, 0x1E, 0x8F, 0x4B, 0x21                                         \
        }                                                                                          \
    }

/* {8E1D52C4-9B67-4E0B-A3F5-71C08D6B2F93}: the driver's ETW provider. */
#define VSP_TRACE                                                                                  \
    {                                                                                              \
        0x8E1D52C4, 0x9B67, 0x4E0B,                                                                \
        {                                                                                          \
            0xA3, 0xF5, 0x71, 0xC0, 0x8D, 0x6B, 0x2F, 0x93                                         \
        }                                                                                          \
    }

enum {
    /* The first vspControl's: */
    VSP_IDENTIFY = VSP_CODE(200),       /* success says: this is such a port */
    VSP_CONFIGURE = VSP_CODE(201),      /* in: struct vsp_configure */
    VSP_SET_LOG_LEVEL = VSP_CODE(202),  /* in: u32, 0 logs everything */
    VSP_GET_LOG_LEVEL = VSP_CODE(203),  /* out: u32 */
    VSP_REPORT = VSP_CODE(204),         /* out: struct vsp_report */
    VSP_GET_WAIT_UNITS = VSP_CODE(205), /* out: u32; kept, without effect */
    VSP_SET_WAIT_UNITS = VSP_CODE(206), /* in: u32 */
    /* Ours: */
    VSP_GET_SETTINGS = VSP_CODE(210), /* out: struct vsp_settings */
    VSP_SET_SETTINGS = VSP_CODE(211), /* in: the same; they are kept over restarts */
    VSP_GET_STATUS = VSP_CODE(212),   /* out: struct vsp_status */
    VSP_READ_LOG = VSP_CODE(213),     /* in: u64 position; out: u64 new position, then text */
    VSP_RECONNECT = VSP_CODE(214),    /* drops the peer and tries at once */
    VSP_READ_TAIL = VSP_CODE(215),    /* out: the last bytes received, at most VSP_TAIL_MAX */
};

enum {
    VSP_TAIL_MAX = 8192, /* two of KD's largest packets: one of them is whole */
    VSP_HOST_MAX = 256,  /* longest DNS name and its NUL */
    VSP_TEXT_MAX = 200,  /* one line for a person */
    VSP_NAME_MAX = 32,   /* COM65535 needs 9 */
};

enum vsp_mode { VSP_OFF, VSP_CONNECT, VSP_LISTEN };
enum vsp_telnet { VSP_RAW, VSP_TELNET, VSP_RFC2217 };
enum vsp_offline { VSP_OFFLINE_WAIT, VSP_OFFLINE_DISCARD, VSP_OFFLINE_FAIL };
enum vsp_lines { VSP_LINES_CONNECTION, VSP_LINES_ON };
enum vsp_when { VSP_ALWAYS, VSP_WHEN_OPEN, VSP_WHEN_DTR };
enum vsp_second { VSP_SECOND_REFUSED, VSP_SECOND_TAKES_OVER };
enum vsp_log_level { VSP_LOG_ALL, VSP_LOG_DETAIL, VSP_LOG_INFO, VSP_LOG_WARNING, VSP_LOG_ERROR };

struct vsp_settings {
    uint32_t size;      /* of this structure */
    uint32_t mode;      /* enum vsp_mode */
    uint32_t port;      /* TCP; listening 0 lets the system choose */
    uint32_t telnet;    /* enum vsp_telnet */
    uint32_t offline;   /* enum vsp_offline: what becomes of writes while nobody is connected */
    uint32_t lines;     /* enum vsp_lines: whether DCD, DSR, CTS tell of the connection */
    uint32_t when;      /* enum vsp_when: when a connection is wanted */
    uint32_t second;    /* enum vsp_second: listening, a second peer comes */
    uint32_t keepalive; /* seconds until a silent peer is probed, 0 = never */
    uint32_t retry;     /* seconds, longest pause between attempts */
    uint32_t log_level; /* enum vsp_log_level: this and above is logged */
    uint32_t reserved;  /* 0 */
    char host[VSP_HOST_MAX]; /* name or address; listening "" is the loopback address, "*" any */
};

enum vsp_state { VSP_IDLE, VSP_LOOKUP, VSP_CONNECTING, VSP_LISTENING, VSP_UP, VSP_PAUSE };

struct vsp_status {
    uint32_t size;
    uint32_t state; /* enum vsp_state */
    uint32_t open;  /* a program has the port */
    uint32_t modem; /* CTS 10, DSR 20, RI 40, DCD 80 */
    uint32_t lines; /* DTR 1, RTS 2 */
    uint32_t baud;
    uint32_t in_queue, out_queue; /* bytes waiting */
    uint32_t local_port;          /* listening: where */
    uint32_t wait_ms;             /* VSP_PAUSE: until the next attempt */
    uint64_t received, sent;      /* bytes on the wire since the driver started */
    uint64_t discarded;           /* received while no program listened */
    uint64_t lost;                /* written while nobody was connected, offline=discard */
    uint64_t connections;
    uint64_t up_ms;             /* how long the peer is connected */
    char name[VSP_NAME_MAX];    /* COM7 */
    char peer[VSP_TEXT_MAX];    /* "" when none */
    char problem[VSP_TEXT_MAX]; /* why there is none */
};

/* As the first vspControl has them. */
struct vsp_configure {
    uint8_t close;
    uint8_t client;
    uint16_t port;
    char address[256];
};

struct vsp_report {
    int64_t written, read, interval_timer, total_timer, socket_events, read_events, receives,
        read_queue_events, dequeues, wait_timeouts;
    uint32_t log_level, wait_units;
};

_Static_assert(sizeof(struct vsp_settings) == 304, "vsp_settings");
_Static_assert(sizeof(struct vsp_status) == 520, "vsp_status");
_Static_assert(sizeof(struct vsp_configure) == 260, "vsp_configure");
_Static_assert(sizeof(struct vsp_report) == 88, "vsp_report");

#endif
