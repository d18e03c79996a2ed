/* SPDX-License-Identifier: BSD-2-Clause */
/* What a running target asks of the debugger: text shown, questions, files. */
#include "debugger_inside.h"

#include <string.h>

void kd_debugger_send_answer(struct kd_debugger *d, uint64_t now)
{
    if (!d->reply_waiting)
        return;
    int result = kd_link_send(&d->link, now, d->reply_type, d->reply_head, d->reply_head_size,
                              d->reply_data, d->reply_data_size);
    if (result == KD_E_BUSY)
        return;
    d->reply_waiting = false;
    d->owner = KD_OWNER_OTHER;
}

void kd_debugger_on_debug_io(struct kd_debugger *d, uint32_t api, const uint8_t *body,
                             size_t body_size)
{
    if (body_size < KD_DEBUG_IO_SIZE)
        return;
    size_t length = (size_t)KD_GET(body, DebugIo, LengthOfString);
    if (length > body_size - KD_DEBUG_IO_SIZE)
        length = body_size - KD_DEBUG_IO_SIZE;
    bool prompt = api == KD_API_GET_STRING;
    struct kd_debugger_event *event =
        kd_debugger_push(d, prompt ? KD_DEBUGGER_PROMPT : KD_DEBUGGER_PRINT);
    event->text = (const char *)body + KD_DEBUG_IO_SIZE;
    event->text_size = length;
    if (!prompt)
        return;
    d->prompted = true;
    d->prompt_level = (uint16_t)KD_GET(body, DebugIo, ProcessorLevel);
    d->prompt_cpu = (uint16_t)KD_GET(body, DebugIo, Processor);
    d->answer_max = (uint32_t)KD_GET(body, DebugIo, LengthOfStringRead);
    if (d->answer_max > KD_FILE_IO_DATA_MAX)
        d->answer_max = KD_FILE_IO_DATA_MAX;
    event->answer_max = d->answer_max;
}

int kd_debugger_answer(struct kd_debugger *d, uint64_t now, const char *text, size_t size)
{
    if (!d->prompted)
        return KD_E_NOT_FOUND;
    if (d->reply_waiting)
        return KD_E_BUSY;
    if (size > d->answer_max)
        size = d->answer_max;
    d->prompted = false;
    d->reply_type = KD_PACKET_DEBUG_IO;
    d->reply_head_size = KD_DEBUG_IO_SIZE;
    d->reply_data_size = size;
    memset(d->reply_head, 0, sizeof d->reply_head);
    KD_PUT(d->reply_head, DebugIo, ApiNumber, KD_API_GET_STRING);
    KD_PUT(d->reply_head, DebugIo, ProcessorLevel, d->prompt_level);
    KD_PUT(d->reply_head, DebugIo, Processor, d->prompt_cpu);
    KD_PUT(d->reply_head, DebugIo, LengthOfStringRead, size);
    if (size > 0)
        memcpy(d->reply_data, text, size);
    d->reply_waiting = true;
    kd_debugger_send_answer(d, now);
    return KD_OK;
}

static void file_request_get(struct kd_file_request *f, const uint8_t *body, size_t body_size)
{
    const uint8_t *data = body + KD_FILE_IO_SIZE;
    size_t size = body_size - KD_FILE_IO_SIZE;
    switch (f->api) {
    case KD_API_CREATE_FILE:
        f->access = (uint32_t)KD_GET(body, CreateFile, DesiredAccess);
        f->attributes = (uint32_t)KD_GET(body, CreateFile, FileAttributes);
        f->share = (uint32_t)KD_GET(body, CreateFile, ShareAccess);
        f->disposition = (uint32_t)KD_GET(body, CreateFile, CreateDisposition);
        f->options = (uint32_t)KD_GET(body, CreateFile, CreateOptions);
        f->path = data;
        f->path_bytes = size;
        break;
    case KD_API_READ_FILE:
    case KD_API_WRITE_FILE:
        f->handle = KD_GET(body, ReadFile, Handle);
        f->offset = KD_GET(body, ReadFile, Offset);
        f->length = KD_GET(body, ReadFile, Length);
        f->data = data;
        if (f->api == KD_API_READ_FILE && f->length > KD_FILE_IO_DATA_MAX)
            f->length = KD_FILE_IO_DATA_MAX;
        if (f->api == KD_API_WRITE_FILE && f->length > size)
            f->length = size;
        break;
    default:
        f->handle = KD_GET(body, CloseFile, Handle);
        break;
    }
}

/* A target that asks for a file waits for ever: every request is answered. */
void kd_debugger_on_file_io(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *body,
                            size_t body_size)
{
    if (body_size < KD_FILE_IO_SIZE || d->reply_waiting)
        return;
    struct kd_file_request f;
    memset(&f, 0, sizeof f);
    f.api = api;
    f.status = KD_STATUS_NO_SUCH_FILE;
    f.buffer = d->reply_data;
    file_request_get(&f, body, body_size);
    if (d->config.file != NULL)
        d->config.file(d->config.file_context, &f);
    memcpy(d->reply_head, body, KD_FILE_IO_SIZE);
    KD_PUT(d->reply_head, FileIo, Status, f.status);
    d->reply_data_size = 0;
    if (api == KD_API_CREATE_FILE) {
        KD_PUT(d->reply_head, CreateFile, Handle, f.handle);
        KD_PUT(d->reply_head, CreateFile, Length, f.length);
    } else if (api != KD_API_CLOSE_FILE) {
        uint64_t length = f.status == 0 && f.length <= KD_FILE_IO_DATA_MAX ? f.length : 0;
        KD_PUT(d->reply_head, ReadFile, Length, length);
        d->reply_data_size = api == KD_API_READ_FILE ? (size_t)length : 0;
    }
    d->reply_type = KD_PACKET_FILE_IO;
    d->reply_head_size = KD_FILE_IO_SIZE;
    d->reply_waiting = true;
    kd_debugger_send_answer(d, now);
}
