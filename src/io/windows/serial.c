/* SPDX-License-Identifier: BSD-2-Clause */
/* COM ports. libuv has none. A read waits for one byte and then takes what has come with it: the
 * time-outs that should do so in one step are not the same in every driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"
#include "overlapped.h"
#include "text.h"

enum {
    COM_QUEUE = 64 * 1024, /* the driver's, each way: more than any UART needs */
    COM_NAME_MAX = 128,
};

/* An open port. */
struct com {
    struct overlapped port;
    struct channel *channel;
};

static DWORD waiting_bytes(HANDLE port)
{
    COMSTAT state;
    DWORD errors;
    return ClearCommError(port, &errors, &state) ? state.cbInQue : 0;
}

static void on_bytes(void *context, const uint8_t *bytes, size_t size)
{
    struct com *com = context;
    channel_driver_data(com->channel, bytes, size);
}

static void on_gone(void *context, int error)
{
    struct com *com = context;
    channel_driver_gone(com->channel, error);
}

static void on_sent(void *context, int error)
{
    struct com *com = context;
    channel_driver_sent(com->channel, error);
}

static void on_closed(void *context)
{
    struct com *com = context;
    struct channel *channel = com->channel;
    free(com);
    channel_driver_closed(channel);
}

static const struct overlapped_use com_use = {
    .first = 1,
    .waiting = waiting_bytes,
    .data = on_bytes,
    .gone = on_gone,
    .sent = on_sent,
    .closed = on_closed,
};

static void com_resume(struct channel *channel)
{
    struct com *com = channel->driver_context;
    overlapped_resume(&com->port);
}

static void com_pause(struct channel *channel)
{
    struct com *com = channel->driver_context;
    overlapped_pause(&com->port);
}

static int com_send(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct com *com = channel->driver_context;
    return overlapped_send(&com->port, bytes, size);
}

static bool com_close(struct channel *channel)
{
    struct com *com = channel->driver_context;
    overlapped_close(&com->port);
    return false;
}

static const struct channel_driver com_driver = {
    .resume = com_resume,
    .pause = com_pause,
    .send = com_send,
    .close = com_close,
};

/* Makes the channel of an open port, which then belongs to it. NULL: it was not taken. */
static struct channel *wrap_port(uv_loop_t *loop, HANDLE port)
{
    struct com *com = calloc(1, sizeof(*com));
    struct channel *channel = channel_new(loop);
    if (!com || !channel) {
        free(com);
        if (channel)
            channel_close(channel);
        return NULL;
    }
    com->channel = channel;
    if (!overlapped_init(&com->port, loop, port, channel->read_buffer, &com_use, com))
        return NULL; /* both were or will be freed */
    channel->driver = &com_driver;
    channel->driver_context = com;
    return channel;
}

/* ---- opening ---- */

static BYTE parity_of(const struct endpoint_spec *spec)
{
    return spec->parity == 'e' ? EVENPARITY : spec->parity == 'o' ? ODDPARITY : NOPARITY;
}

static bool set_line(HANDLE port, const struct endpoint_spec *spec)
{
    COMMTIMEOUTS timeouts = {0, 0, 0, 0, 0}; /* none */
    DCB line = {.DCBlength = sizeof(line)};
    if (!GetCommState(port, &line))
        return false;
    line.BaudRate = spec->baud;
    line.ByteSize = spec->data_bits;
    line.Parity = parity_of(spec);
    line.StopBits = spec->stop_bits == 2 ? TWOSTOPBITS : ONESTOPBIT;
    line.fBinary = TRUE;
    line.fParity = spec->parity != 'n';
    line.fOutxCtsFlow = spec->rtscts;
    line.fRtsControl = spec->rtscts ? RTS_CONTROL_HANDSHAKE : RTS_CONTROL_ENABLE;
    line.fOutxDsrFlow = line.fDsrSensitivity = FALSE;
    line.fDtrControl = DTR_CONTROL_ENABLE;
    line.fOutX = line.fInX = FALSE;
    line.fErrorChar = line.fNull = line.fAbortOnError = FALSE;
    SetupComm(port, COM_QUEUE, COM_QUEUE); /* a wish */
    return SetCommState(port, &line) && SetCommTimeouts(port, &timeouts) &&
           PurgeComm(port, PURGE_RXCLEAR | PURGE_TXCLEAR);
}

static void serial_failed(struct endpoint *endpoint, DWORD error)
{
    const struct endpoint_spec *spec = &endpoint->spec;
    const char *path = spec->path;
    char reason[ENDPOINT_MESSAGE_MAX];
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        snprintf(reason, sizeof(reason),
                 "serial port %.300s is not there; is the adapter plugged in? "
                 "(the Device Manager and the command 'mode' list the ports)",
                 path);
        break;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
        snprintf(reason, sizeof(reason), "%.300s is in use by another program; end that one", path);
        break;
    case ERROR_INVALID_PARAMETER:
        snprintf(reason, sizeof(reason),
                 "%.300s does not take %u baud with these settings; KD uses 115200 as a rule", path,
                 spec->baud);
        break;
    case ERROR_INVALID_FUNCTION:
        snprintf(reason, sizeof(reason), "%.300s is no serial port; it should be one like COM3",
                 path);
        break;
    default:
        snprintf(reason, sizeof(reason), "cannot open %.300s: %s", path,
                 uv_strerror(uv_translate_sys_error((int)error)));
        break;
    }
    endpoint_failed(endpoint, reason);
}

/* COM3 is a file's name as well: the device is \\.\COM3. */
static bool device_name(const char *path, wchar_t *wide)
{
    char name[COM_NAME_MAX];
    const char *folder = strncmp(path, "\\\\", 2) ? "\\\\.\\" : "";
    int size = snprintf(name, sizeof(name), "%s%s", folder, path);
    return size < (int)sizeof(name) && wide_text(name, wide, COM_NAME_MAX);
}

static void attempt_serial(struct endpoint *endpoint)
{
    const struct endpoint_spec *spec = &endpoint->spec;
    wchar_t name[COM_NAME_MAX];
    if (!device_name(spec->path, name)) {
        serial_failed(endpoint, ERROR_FILE_NOT_FOUND);
        return;
    }
    HANDLE port = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                              FILE_FLAG_OVERLAPPED, NULL);
    if (port == INVALID_HANDLE_VALUE) {
        serial_failed(endpoint, GetLastError());
        return;
    }
    DWORD error = set_line(port, spec) ? 0 : GetLastError();
    struct channel *channel = error ? NULL : wrap_port(endpoint->loop, port);
    if (!channel) {
        CloseHandle(port);
        serial_failed(endpoint, error ? error : ERROR_NOT_ENOUGH_MEMORY);
        return;
    }
    char peer[ENDPOINT_MESSAGE_MAX];
    snprintf(peer, sizeof(peer), "%.300s at %u baud", spec->path, spec->baud);
    endpoint_opened(endpoint, channel, peer);
}

static const struct opener_operations serial_operations = {
    .attempt = attempt_serial,
};

struct opener *opener_serial(void)
{
    struct opener *opener = calloc(1, sizeof(*opener));
    if (opener)
        opener->operations = &serial_operations;
    return opener;
}
