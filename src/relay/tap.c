/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/tap.h"

#include <stddef.h>
#include <string.h>

#include "kdwire/error.h"

enum {
    /* A batch may fill a rotated file to this part only, or files would become much too small. */
    BATCH_PART_OF_FILE = 16,
};

/* What stands before the bytes of each read. Our own memory: no wire format. */
struct tap_read {
    uint64_t time_ns;
    uint32_t size;
    uint32_t direction;
};

bool tap_add(struct tap *tap, enum capture_direction direction, uint64_t time_ns,
             const uint8_t *bytes, size_t size)
{
    const struct tap_read read = {time_ns, (uint32_t)size, (uint32_t)direction};
    if (size > TAP_DIRECT || sizeof(read) + size > TAP_SIZE - tap->size)
        return false;
    memcpy(tap->bytes + tap->size, &read, sizeof(read));
    memcpy(tap->bytes + tap->size + sizeof(read), bytes, size);
    tap->size += sizeof(read) + size;
    return true;
}

void tap_drain(struct tap *tap, tap_each each, void *context)
{
    for (size_t at = 0; at < tap->size;) {
        struct tap_read read;
        memcpy(&read, tap->bytes + at, sizeof(read));
        at += sizeof(read);
        each(context, (enum capture_direction)read.direction, read.time_ns, tap->bytes + at,
             read.size);
        at += read.size;
    }
    tap->size = 0;
}

static int on_begin(struct capture_sink *sink, const uint8_t *preamble, size_t size)
{
    struct batch *batch = (struct batch *)sink;
    return batch->file->begin(batch->file, preamble, size);
}

/* Under the lock: until the thread has nothing to write. */
static int wait_until_written(struct batch *batch)
{
    while (batch->written_size)
        uv_cond_wait(&batch->changed, &batch->lock);
    return batch->error;
}

static int on_block(struct capture_sink *sink, const uint8_t *block, size_t size, uint64_t time_ns)
{
    struct batch *batch = (struct batch *)sink;
    if (size > batch->limit - batch->size) {
        int code = batch_flush(batch);
        if (code < 0)
            return code;
    }
    if (size > batch->limit) { /* small rotated files: by hand, after what came before */
        uv_mutex_lock(&batch->lock);
        int code = wait_until_written(batch);
        uv_mutex_unlock(&batch->lock);
        return code < 0 ? code : batch->file->write(batch->file, block, size, time_ns);
    }
    memcpy(batch->bytes[batch->filling] + batch->size, block, size);
    batch->size += size;
    batch->time_ns = time_ns;
    return KD_OK;
}

static void write_batches(void *argument)
{
    struct batch *batch = argument;
    uv_mutex_lock(&batch->lock);
    for (;;) {
        while (!batch->written_size && !batch->quit)
            uv_cond_wait(&batch->changed, &batch->lock);
        if (!batch->written_size)
            break;
        const uint8_t *bytes = batch->bytes[batch->filling ^ 1];
        size_t size = batch->written_size;
        uint64_t time_ns = batch->written_time_ns;
        uv_mutex_unlock(&batch->lock);
        int code = batch->file->write(batch->file, bytes, size, time_ns);
        uv_mutex_lock(&batch->lock);
        if (code < 0)
            batch->error = code;
        batch->written_size = 0;
        uv_cond_signal(&batch->changed);
    }
    uv_mutex_unlock(&batch->lock);
}

int batch_start(struct batch *batch, struct capture_sink *file, uint64_t rotate_size)
{
    memset(batch, 0, offsetof(struct batch, bytes));
    batch->sink.begin = on_begin;
    batch->sink.write = on_block;
    batch->file = file;
    batch->limit = BATCH_SIZE;
    if (rotate_size && rotate_size / BATCH_PART_OF_FILE < BATCH_SIZE)
        batch->limit = (size_t)(rotate_size / BATCH_PART_OF_FILE);
    if (uv_mutex_init(&batch->lock) < 0)
        return KD_E_NO_MEMORY;
    if (uv_cond_init(&batch->changed) < 0)
        goto no_cond;
    if (uv_thread_create(&batch->thread, write_batches, batch) < 0)
        goto no_thread;
    batch->started = true;
    return KD_OK;
no_thread:
    uv_cond_destroy(&batch->changed);
no_cond:
    uv_mutex_destroy(&batch->lock);
    return KD_E_NO_MEMORY;
}

int batch_flush(struct batch *batch)
{
    uv_mutex_lock(&batch->lock);
    int code = batch->error;
    if (batch->size && code >= 0)
        code = wait_until_written(batch);
    if (batch->size && code >= 0) {
        batch->filling ^= 1;
        batch->written_size = batch->size;
        batch->written_time_ns = batch->time_ns;
        batch->size = 0;
        uv_cond_signal(&batch->changed);
    }
    uv_mutex_unlock(&batch->lock);
    return code;
}

int batch_stop(struct batch *batch)
{
    if (!batch->started)
        return KD_OK;
    batch_flush(batch);
    uv_mutex_lock(&batch->lock);
    batch->quit = true;
    uv_cond_signal(&batch->changed);
    uv_mutex_unlock(&batch->lock);
    uv_thread_join(&batch->thread); /* writes what is there first */
    uv_cond_destroy(&batch->changed);
    uv_mutex_destroy(&batch->lock);
    batch->started = false;
    return batch->error;
}
