/* SPDX-License-Identifier: BSD-2-Clause */
/* The control codes that vspControl uses; interface.h says what each takes and gives. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

struct call {
    WDFDEVICE device;
    struct line *line;
    const void *in;
    void *out;
    size_t in_size, out_size;
};

/* Each returns a status and, of its output, what counts. */
typedef uint32_t control_function(const struct call *call, size_t *done);

static uint32_t identify(const struct call *call, size_t *done)
{
    (void)call;
    (void)done;
    return SERIAL_OK;
}

static uint32_t apply(const struct call *call, const struct vsp_settings *settings)
{
    if (!line_set_settings(call->line, settings))
        return SERIAL_INVALID_PARAMETER;
    return (uint32_t)settings_save(call->device, settings);
}

static uint32_t configure(const struct call *call, size_t *done)
{
    struct vsp_configure in;
    struct vsp_settings settings;
    (void)done;
    memcpy(&in, call->in, sizeof(in));
    if (!memchr(in.address, 0, sizeof(in.address)))
        return SERIAL_INVALID_PARAMETER;
    line_get_settings(call->line, &settings);
    settings.mode = in.close ? VSP_OFF : in.client ? VSP_CONNECT : VSP_LISTEN;
    if (!in.close) {
        settings.port = in.port;
        memcpy(settings.host, in.address, sizeof(settings.host));
        /* The first driver meant every address by an empty one or 0. */
        if (!in.client && (!in.address[0] || !strcmp(in.address, "0")))
            snprintf(settings.host, sizeof(settings.host), "*");
    }
    return apply(call, &settings);
}

static uint32_t set_log_level(const struct call *call, size_t *done)
{
    uint32_t level = 0;
    struct vsp_settings settings;
    (void)done;
    memcpy(&level, call->in, sizeof(level));
    line_set_log_level(call->line, level);
    line_get_settings(call->line, &settings);
    return (uint32_t)settings_save(call->device, &settings);
}

static uint32_t give_u32(const struct call *call, size_t *done, uint32_t value)
{
    memcpy(call->out, &value, sizeof(value));
    *done = sizeof(value);
    return SERIAL_OK;
}

static uint32_t get_log_level(const struct call *call, size_t *done)
{
    struct vsp_settings settings;
    line_get_settings(call->line, &settings);
    return give_u32(call, done, settings.log_level);
}

static uint32_t report(const struct call *call, size_t *done)
{
    struct vsp_report out;
    line_get_report(call->line, &out);
    memcpy(call->out, &out, sizeof(out));
    *done = sizeof(out);
    return SERIAL_OK;
}

static uint32_t get_wait_units(const struct call *call, size_t *done)
{
    struct vsp_report out;
    line_get_report(call->line, &out);
    return give_u32(call, done, out.wait_units);
}

static uint32_t set_wait_units(const struct call *call, size_t *done)
{
    uint32_t units = 0;
    (void)done;
    memcpy(&units, call->in, sizeof(units));
    line_set_wait_units(call->line, units);
    return SERIAL_OK;
}

static uint32_t get_settings(const struct call *call, size_t *done)
{
    struct vsp_settings out;
    line_get_settings(call->line, &out);
    memcpy(call->out, &out, sizeof(out));
    *done = sizeof(out);
    return SERIAL_OK;
}

static uint32_t set_settings(const struct call *call, size_t *done)
{
    struct vsp_settings in;
    (void)done;
    memcpy(&in, call->in, sizeof(in));
    return apply(call, &in);
}

static uint32_t get_status(const struct call *call, size_t *done)
{
    struct vsp_status out;
    line_get_status(call->line, &out);
    memcpy(call->out, &out, sizeof(out));
    *done = sizeof(out);
    return SERIAL_OK;
}

static uint32_t read_log(const struct call *call, size_t *done)
{
    uint64_t position = 0;
    char *out = call->out;
    memcpy(&position, call->in, sizeof(position));
    size_t size = line_read_log(call->line, &position, out + sizeof(position),
                                call->out_size - sizeof(position));
    memcpy(out, &position, sizeof(position));
    *done = sizeof(position) + size;
    return SERIAL_OK;
}

static uint32_t read_tail(const struct call *call, size_t *done)
{
    *done = line_read_tail(call->line, call->out, call->out_size);
    return SERIAL_OK;
}

static uint32_t reconnect(const struct call *call, size_t *done)
{
    (void)done;
    line_reconnect(call->line);
    return SERIAL_OK;
}

static const struct control {
    uint32_t code;
    size_t in, out; /* bytes at least */
    control_function *run;
    bool changes; /* settings, and what the registry keeps: one after the other */
} controls[] = {
    {VSP_IDENTIFY, 0, 0, identify, false},
    {VSP_CONFIGURE, sizeof(struct vsp_configure), 0, configure, true},
    {VSP_SET_LOG_LEVEL, 4, 0, set_log_level, true},
    {VSP_GET_LOG_LEVEL, 0, 4, get_log_level, false},
    {VSP_REPORT, 0, sizeof(struct vsp_report), report, false},
    {VSP_GET_WAIT_UNITS, 0, 4, get_wait_units, false},
    {VSP_SET_WAIT_UNITS, 4, 0, set_wait_units, false},
    {VSP_GET_SETTINGS, 0, sizeof(struct vsp_settings), get_settings, false},
    {VSP_SET_SETTINGS, sizeof(struct vsp_settings), 0, set_settings, true},
    {VSP_GET_STATUS, 0, sizeof(struct vsp_status), get_status, false},
    {VSP_READ_LOG, 8, 8, read_log, false},
    {VSP_RECONNECT, 0, 0, reconnect, false},
    {VSP_READ_TAIL, 0, 1, read_tail, false},
};

static wdf_status run(const struct control *control, struct call *call, WDFREQUEST request,
                      size_t *done)
{
    void *in = NULL;
    wdf_status status = WDF_OK;
    if (call->in_size < control->in || call->out_size < control->out)
        return (wdf_status)SERIAL_BUFFER_TOO_SMALL;
    if (control->in)
        status = WDF(RequestRetrieveInputBuffer, request, control->in, &in, NULL);
    if (status >= 0 && control->out)
        status = WDF(RequestRetrieveOutputBuffer, request, call->out_size, &call->out, NULL);
    call->in = in;
    if (status < 0)
        return status;
    if (control->changes)
        line_begin_change(call->line);
    status = (wdf_status)control->run(call, done);
    if (control->changes)
        line_end_change(call->line);
    return status;
}

bool controls_run(WDFDEVICE device, WDFREQUEST request, uint32_t code, size_t in_size,
                  size_t out_size)
{
    struct call call = {.device = device,
                        .line = device_of(device)->line,
                        .in_size = in_size,
                        .out_size = out_size};
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        size_t done = 0;
        if (controls[i].code != code)
            continue;
        wdf_status status = run(&controls[i], &call, request, &done);
        WDF(RequestCompleteWithInformation, request, status, done);
        return true;
    }
    return false;
}
