/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The numbers of the Windows serial port interface: control codes, status values, bits. Source:
 * Microsoft's documentation of ntddser.h and the published serial sample; every code is device type
 * 0x1B, buffered, any access.
 */
#ifndef KDWIRE_SERIAL_CODES_H
#define KDWIRE_SERIAL_CODES_H

#include <stdint.h>

/* NTSTATUS values that a serial port answers with. */
#define SERIAL_OK                 0x00000000u
#define SERIAL_TIMEOUT            0x00000102u /* a success: fewer bytes than asked for */
#define SERIAL_PENDING            0x00000103u
#define SERIAL_MORE_WRITES        0x40000008u /* XOFF counter: a write came */
#define SERIAL_COUNTER_TIMEOUT    0x4000000Cu
#define SERIAL_NOT_IMPLEMENTED    0xC0000002u
#define SERIAL_INVALID_PARAMETER  0xC000000Du
#define SERIAL_NO_SUCH_FILE       0xC000000Fu
#define SERIAL_INVALID_REQUEST    0xC0000010u
#define SERIAL_ACCESS_DENIED      0xC0000022u
#define SERIAL_BUFFER_TOO_SMALL   0xC0000023u
#define SERIAL_INSUFFICIENT       0xC000009Au
#define SERIAL_NOT_READY          0xC00000A3u
#define SERIAL_CANCELLED          0xC0000120u
#define SERIAL_INVALID_STATE      0xC0000184u
#define SERIAL_CONNECTION_DROPPED 0xC000020Du
#define SERIAL_DEVICE_REMOVED     0xC00002B6u

/* X(name, name, function, bytes in at least, bytes out at least): in the order of the functions. */
#define SERIAL_CONTROLS(X)                                                                         \
    X(SET_BAUD_RATE, set_baud_rate, 1, 4, 0)                                                       \
    X(SET_QUEUE_SIZE, set_queue_size, 2, 8, 0)                                                     \
    X(SET_LINE_CONTROL, set_line_control, 3, 3, 0)                                                 \
    X(SET_BREAK_ON, set_break_on, 4, 0, 0)                                                         \
    X(SET_BREAK_OFF, set_break_off, 5, 0, 0)                                                       \
    X(IMMEDIATE_CHAR, immediate_char, 6, 1, 0)                                                     \
    X(SET_TIMEOUTS, set_timeouts, 7, 20, 0)                                                        \
    X(GET_TIMEOUTS, get_timeouts, 8, 0, 20)                                                        \
    X(SET_DTR, set_dtr, 9, 0, 0)                                                                   \
    X(CLR_DTR, clr_dtr, 10, 0, 0)                                                                  \
    X(RESET_DEVICE, reset_device, 11, 0, 0)                                                        \
    X(SET_RTS, set_rts, 12, 0, 0)                                                                  \
    X(CLR_RTS, clr_rts, 13, 0, 0)                                                                  \
    X(SET_XOFF, set_xoff, 14, 0, 0)                                                                \
    X(SET_XON, set_xon, 15, 0, 0)                                                                  \
    X(GET_WAIT_MASK, get_wait_mask, 16, 0, 4)                                                      \
    X(SET_WAIT_MASK, set_wait_mask, 17, 4, 0)                                                      \
    X(WAIT_ON_MASK, wait_on_mask, 18, 0, 4)                                                        \
    X(PURGE, purge, 19, 4, 0)                                                                      \
    X(GET_BAUD_RATE, get_baud_rate, 20, 0, 4)                                                      \
    X(GET_LINE_CONTROL, get_line_control, 21, 0, 3)                                                \
    X(GET_CHARS, get_chars, 22, 0, 6)                                                              \
    X(SET_CHARS, set_chars, 23, 6, 0)                                                              \
    X(GET_HANDFLOW, get_handflow, 24, 0, 16)                                                       \
    X(SET_HANDFLOW, set_handflow, 25, 16, 0)                                                       \
    X(GET_MODEMSTATUS, get_modemstatus, 26, 0, 4)                                                  \
    X(GET_COMMSTATUS, get_commstatus, 27, 0, 20)                                                   \
    X(XOFF_COUNTER, xoff_counter, 28, 12, 0)                                                       \
    X(GET_PROPERTIES, get_properties, 29, 0, 64)                                                   \
    X(GET_DTRRTS, get_dtrrts, 30, 0, 4)                                                            \
    X(LSRMST_INSERT, lsrmst_insert, 31, 1, 0)                                                      \
    X(CONFIG_SIZE, config_size, 32, 0, 4)                                                          \
    X(GET_STATS, get_stats, 35, 0, 24)                                                             \
    X(CLEAR_STATS, clear_stats, 36, 0, 0)                                                          \
    X(GET_MODEM_CONTROL, get_modem_control, 37, 0, 4)                                              \
    X(SET_MODEM_CONTROL, set_modem_control, 38, 4, 0)                                              \
    X(SET_FIFO_CONTROL, set_fifo_control, 39, 4, 0)

#define SERIAL_CODE(function) (0x001B0000u + 4u * (function))

enum {
#define SERIAL_CONTROL_ENUM(name, lower, function, in, out) SERIAL_##name = SERIAL_CODE(function),
    SERIAL_CONTROLS(SERIAL_CONTROL_ENUM)
#undef SERIAL_CONTROL_ENUM
};

enum serial_event { /* wait mask */
                    SERIAL_EV_RXCHAR = 0x0001,
                    SERIAL_EV_RXFLAG = 0x0002,
                    SERIAL_EV_TXEMPTY = 0x0004,
                    SERIAL_EV_CTS = 0x0008,
                    SERIAL_EV_DSR = 0x0010,
                    SERIAL_EV_RLSD = 0x0020,
                    SERIAL_EV_BREAK = 0x0040,
                    SERIAL_EV_ERR = 0x0080,
                    SERIAL_EV_RING = 0x0100,
                    SERIAL_EV_RX80FULL = 0x0400,
                    SERIAL_EV_ALL = 0x1FFF,
};

enum serial_purge {
    SERIAL_TXABORT = 1,
    SERIAL_RXABORT = 2,
    SERIAL_TXCLEAR = 4,
    SERIAL_RXCLEAR = 8,
};

enum serial_error_bits { /* GET_COMMSTATUS, errors */
                         SERIAL_ERROR_BREAK = 0x01,
                         SERIAL_ERROR_FRAMING = 0x02,
                         SERIAL_ERROR_OVERRUN = 0x04,
                         SERIAL_ERROR_QUEUEOVERRUN = 0x08,
                         SERIAL_ERROR_PARITY = 0x10,
};

enum serial_hold { /* GET_COMMSTATUS, hold reasons */
                   SERIAL_HOLD_CTS = 0x01,
                   SERIAL_HOLD_DSR = 0x02,
                   SERIAL_HOLD_DCD = 0x04,
                   SERIAL_HOLD_XON = 0x08, /* waiting for XON */
                   SERIAL_HOLD_XOFF_SENT = 0x10,
                   SERIAL_HOLD_BREAK = 0x20,
                   SERIAL_HOLD_RX_DSR = 0x40,
};

enum serial_modem { /* GET_MODEMSTATUS; the low nibble tells which changed since the last look */
                    SERIAL_MODEM_CTS = 0x10,
                    SERIAL_MODEM_DSR = 0x20,
                    SERIAL_MODEM_RI = 0x40,
                    SERIAL_MODEM_DCD = 0x80,
                    SERIAL_MODEM_LINES = 0xF0,
                    SERIAL_MODEM_CHANGES = 0x0F,
};

enum serial_lines { /* what we drive: GET_DTRRTS, and the low bits of the modem control register */
                    SERIAL_LINE_DTR = 1,
                    SERIAL_LINE_RTS = 2,
                    SERIAL_MCR_MASK = 0x1F,
};

enum serial_handshake { /* HANDFLOW, control */
                        SERIAL_DTR_CONTROL = 0x01,
                        SERIAL_DTR_HANDSHAKE = 0x02,
                        SERIAL_DTR_MASK = 0x03,
                        SERIAL_CTS_HANDSHAKE = 0x08,
                        SERIAL_DSR_HANDSHAKE = 0x10,
                        SERIAL_DCD_HANDSHAKE = 0x20,
                        SERIAL_DSR_SENSITIVITY = 0x40,
};
#define SERIAL_ERROR_ABORT     0x80000000u
#define SERIAL_CONTROL_INVALID 0x7FFFFF84u

enum serial_flow { /* HANDFLOW, flow and replace */
                   SERIAL_AUTO_TRANSMIT = 0x01,
                   SERIAL_AUTO_RECEIVE = 0x02,
                   SERIAL_ERROR_CHAR = 0x04,
                   SERIAL_NULL_STRIPPING = 0x08,
                   SERIAL_BREAK_CHAR = 0x10,
                   SERIAL_RTS_CONTROL = 0x40,
                   SERIAL_RTS_HANDSHAKE = 0x80,
                   SERIAL_RTS_MASK = 0xC0,
};
#define SERIAL_FLOW_INVALID 0x7FFFFF20u

enum { /* order of the special characters */
       SERIAL_CHAR_EOF,
       SERIAL_CHAR_ERROR,
       SERIAL_CHAR_BREAK,
       SERIAL_CHAR_EVENT,
       SERIAL_CHAR_XON,
       SERIAL_CHAR_XOFF,
       SERIAL_CHARS,
};

#endif
