/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of programs: from the framework's queue to the line and back. */
#include "driver.h"

#include <string.h>

static struct request_context *context_of(WDFREQUEST request)
{
    return WDF(ObjectGetTypedContextWorker, request, &request_context_type);
}

static bool is_control_handle(WDFREQUEST request)
{
    const struct file_context *file = file_of(WDF(RequestGetFileObject, request));
    return file && file->is_control;
}

/* Line hooks */

static void on_cancel(WDFREQUEST handle)
{
    struct request_context *context = context_of(handle);
    line_cancel(context->line, &context->request);
}

static struct request_context *whole(struct line_request *request)
{
    return (struct request_context *)(void *)request;
}

static bool mark(struct line_request *request)
{
    return WDF(RequestMarkCancelableEx, whole(request)->handle, on_cancel) >= 0;
}

static bool unmark(struct line_request *request)
{
    return WDF(RequestUnmarkCancelable, whole(request)->handle) >= 0;
}

static void complete(struct line_request *request)
{
    WDF(RequestCompleteWithInformation, whole(request)->handle, (wdf_status)request->serial.status,
        request->serial.done);
}

const struct line_hooks io_hooks = {mark, unmark, complete};

/* Queue callbacks */

static struct line_request *begin(WDFQUEUE queue, WDFREQUEST handle, void *data, size_t size)
{
    struct request_context *context = context_of(handle);
    memset(context, 0, sizeof(*context));
    context->handle = handle;
    context->line = device_of(WDF(IoQueueGetDevice, queue))->line;
    context->request.serial.data = data;
    context->request.serial.size = size;
    return &context->request;
}

static struct line *line_of(const struct line_request *request)
{
    return ((const struct request_context *)(const void *)request)->line;
}

void io_read(WDFQUEUE queue, WDFREQUEST handle, size_t size)
{
    void *data = NULL;
    wdf_status status = (wdf_status)SERIAL_INVALID_REQUEST;
    if (!is_control_handle(handle))
        status = WDF(RequestRetrieveOutputBuffer, handle, size, &data, NULL);
    if (status < 0) {
        WDF(RequestComplete, handle, status);
        return;
    }
    struct line_request *request = begin(queue, handle, data, size);
    line_read(line_of(request), request);
}

void io_write(WDFQUEUE queue, WDFREQUEST handle, size_t size)
{
    void *data = NULL;
    wdf_status status = (wdf_status)SERIAL_INVALID_REQUEST;
    if (!is_control_handle(handle))
        status = WDF(RequestRetrieveInputBuffer, handle, size, &data, NULL);
    if (status < 0) {
        WDF(RequestComplete, handle, status);
        return;
    }
    struct line_request *request = begin(queue, handle, data, size);
    line_write(line_of(request), request);
}

void io_control(WDFQUEUE queue, WDFREQUEST handle, size_t out_size, size_t in_size, uint32_t code)
{
    WDFDEVICE device = WDF(IoQueueGetDevice, queue);
    void *in = NULL;
    void *out = NULL;
    wdf_status status = WDF_OK;
    if (controls_run(device, handle, code, in_size, out_size))
        return;
    if (is_control_handle(handle))
        status = (wdf_status)SERIAL_INVALID_PARAMETER;
    if (status >= 0 && in_size)
        status = WDF(RequestRetrieveInputBuffer, handle, in_size, &in, NULL);
    if (status >= 0 && out_size)
        status = WDF(RequestRetrieveOutputBuffer, handle, out_size, &out, NULL);
    if (status < 0) {
        WDF(RequestComplete, handle, status);
        return;
    }
    struct line_request *request = begin(queue, handle, out, out_size);
    line_control(line_of(request), request, code, in, in_size);
}
