/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COM ports. libuv has none: overlapped reads and writes, whose events wake the loop. A read waits
 * for one byte and then takes what has come with it: the time-outs that should do so in one step
 * are not the same in every driver.
 *
 *   read     event                      next     what happens
 *   idle     wanted                     first    ReadFile of one byte
 *   first    the byte, more has come    rest     ReadFile of that
 *   first    the byte, wanted           first    given to the channel; ReadFile of one byte
 *   rest     bytes, wanted              first    the same
 *   either   bytes, not wanted          held     kept in the one buffer until wanted
 *   either   error                      idle     the channel is told that the port is gone
 *   held     wanted                     first    given to the channel; ReadFile of one byte
 *   any      close                      closed   cancelled, waited for
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../opener.h"
#include "text.h"
#include "waiter.h"

enum {
    COM_QUEUE = 64 * 1024, /* the driver's, each way: more than any UART needs */
    COM_NAME_MAX = 128,
};

enum com_read {
    COM_READ_IDLE,
    COM_READ_FIRST,
    COM_READ_REST,
    COM_READ_HELD,
};

/* One of the two directions. */
struct com_way {
    struct waiter waiter;
    OVERLAPPED overlapped;
    bool pending;
};

/* An open port; lives until its waiters are closed. */
struct com {
    HANDLE port;
    struct channel *channel;
    struct com_way in, out;
    int waiters;
    enum com_read state;
    bool wanted;
    DWORD error;     /* why a read could not begin */
    DWORD held;      /* bytes in the channel's read buffer */
    size_t out_left; /* bytes of the present write that have not left */
    const uint8_t *out_bytes;
};

static void begin_read(struct com *com, enum com_read what, DWORD size);

static DWORD way_result(struct com *com, struct com_way *way, DWORD *size)
{
    *size = 0;
    if (!way->pending)
        return ERROR_IO_INCOMPLETE; /* an event of the operation before */
    DWORD error =
        GetOverlappedResult(com->port, &way->overlapped, size, FALSE) ? 0 : GetLastError();
    if (error != ERROR_IO_INCOMPLETE)
        way->pending = false;
    return error;
}

static void give_held(struct com *com)
{
    DWORD size = com->held;
    com->held = 0;
    com->state = COM_READ_IDLE;
    if (size)
        channel_driver_data(com->channel, com->channel->read_buffer, size);
}

/* How many bytes the driver has, at most what the buffer takes. */
static DWORD waiting_bytes(const struct com *com)
{
    COMSTAT state;
    DWORD errors, room = ENDPOINT_READ_MAX - com->held;
    if (!ClearCommError(com->port, &errors, &state))
        return 0;
    return state.cbInQue < room ? state.cbInQue : room;
}

static void read_done(struct com *com, DWORD size)
{
    bool first = com->state == COM_READ_FIRST;
    com->held += size;
    DWORD more = first && size ? waiting_bytes(com) : 0;
    if (more)
        begin_read(com, COM_READ_REST, more);
    else
        com->state = COM_READ_HELD;
}

static void read_failed(struct com *com, DWORD error)
{
    com->state = COM_READ_IDLE;
    channel_driver_gone(com->channel, uv_translate_sys_error((int)error));
}

static void on_read(struct waiter *waiter)
{
    struct com *com = waiter->context;
    if (com->state == COM_READ_FIRST || com->state == COM_READ_REST) {
        DWORD size = 0;
        DWORD error = com->error ? com->error : way_result(com, &com->in, &size);
        if (error == ERROR_IO_INCOMPLETE)
            return;
        if (error)
            read_failed(com, error);
        else
            read_done(com, size);
    }
    if (com->state == COM_READ_HELD && com->wanted)
        give_held(com);
    if (com->state == COM_READ_IDLE && com->wanted)
        begin_read(com, COM_READ_FIRST, 1);
}

static void begin_read(struct com *com, enum com_read what, DWORD size)
{
    memset(&com->in.overlapped, 0, sizeof(com->in.overlapped));
    com->in.overlapped.hEvent = com->in.waiter.event;
    com->in.pending = true;
    com->state = what;
    /* Also a read that ends at once signals the event: one way to go on. */
    if (ReadFile(com->port, com->channel->read_buffer + com->held, size, NULL,
                 &com->in.overlapped) ||
        GetLastError() == ERROR_IO_PENDING)
        return;
    com->in.pending = false;
    com->error = GetLastError();
    SetEvent(com->in.waiter.event);
}

static void com_resume(struct channel *channel)
{
    struct com *com = channel->driver_context;
    com->wanted = true;
    if (com->state == COM_READ_HELD) /* from a callback of its own, as bytes always come */
        SetEvent(com->in.waiter.event);
    else if (com->state == COM_READ_IDLE)
        begin_read(com, COM_READ_FIRST, 1);
}

static void com_pause(struct channel *channel)
{
    struct com *com = channel->driver_context;
    com->wanted = false;
}

static int continue_write(struct com *com)
{
    memset(&com->out.overlapped, 0, sizeof(com->out.overlapped));
    com->out.overlapped.hEvent = com->out.waiter.event;
    com->out.pending = true;
    if (WriteFile(com->port, com->out_bytes, (DWORD)com->out_left, NULL, &com->out.overlapped) ||
        GetLastError() == ERROR_IO_PENDING)
        return 0;
    com->out.pending = false;
    return uv_translate_sys_error((int)GetLastError());
}

static int com_send(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct com *com = channel->driver_context;
    com->out_bytes = bytes;
    com->out_left = size;
    return continue_write(com);
}

static void on_written(struct waiter *waiter)
{
    struct com *com = waiter->context;
    DWORD size;
    DWORD error = way_result(com, &com->out, &size);
    if (error == ERROR_IO_INCOMPLETE)
        return;
    com->out_bytes += size;
    com->out_left -= size;
    int rc = error ? uv_translate_sys_error((int)error) : 0;
    if (!rc && com->out_left)
        rc = continue_write(com); /* a driver may take a part */
    if (rc || !com->out_left)
        channel_driver_sent(com->channel, rc);
}

static void on_waiter_closed(struct waiter *waiter)
{
    struct com *com = waiter->context;
    if (--com->waiters)
        return;
    struct channel *channel = com->channel;
    free(com);
    channel_driver_closed(channel);
}

static void end_way(struct com *com, struct com_way *way)
{
    DWORD size;
    waiter_stop(&way->waiter);
    if (way->pending) {
        CancelIoEx(com->port, &way->overlapped);
        GetOverlappedResult(com->port, &way->overlapped, &size, TRUE);
    }
}

static bool com_close(struct channel *channel)
{
    struct com *com = channel->driver_context;
    com->wanted = false;
    end_way(com, &com->in);
    end_way(com, &com->out);
    CloseHandle(com->port);
    waiter_close(&com->in.waiter, on_waiter_closed);
    waiter_close(&com->out.waiter, on_waiter_closed);
    return false;
}

static const struct channel_driver com_driver = {
    .resume = com_resume,
    .pause = com_pause,
    .send = com_send,
    .close = com_close,
};

/* Makes the channel of an open port, which then belongs to it. NULL: nothing was taken. */
static struct channel *wrap_port(uv_loop_t *loop, HANDLE port)
{
    struct com *com = calloc(1, sizeof(*com));
    struct channel *channel = channel_new(loop);
    if (!com || !channel)
        goto failed;
    com->port = port;
    com->channel = channel;
    if (waiter_init(loop, &com->in.waiter, on_read, com) < 0)
        goto failed;
    com->waiters = 1;
    if (waiter_init(loop, &com->out.waiter, on_written, com) < 0) {
        /* its waiter closes as all do: over the loop; the channel goes with it */
        waiter_close(&com->in.waiter, on_waiter_closed);
        return NULL;
    }
    com->waiters = 2;
    channel->driver = &com_driver;
    channel->driver_context = com;
    return channel;
failed:
    free(com);
    if (channel)
        channel_close(channel);
    return NULL;
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
