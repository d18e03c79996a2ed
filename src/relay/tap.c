/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/tap.h"

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

static int on_block(struct capture_sink *sink, const uint8_t *block, size_t size, uint64_t time_ns)
{
    struct batch *batch = (struct batch *)sink;
    if (size > batch->limit - batch->size) {
        int code = batch_flush(batch);
        if (code < 0)
            return code;
    }
    if (size > batch->limit)
        return batch->file->write(batch->file, block, size, time_ns);
    memcpy(batch->bytes + batch->size, block, size);
    batch->size += size;
    batch->time_ns = time_ns;
    return KD_OK;
}

void batch_init(struct batch *batch, struct capture_sink *file, uint64_t rotate_size)
{
    batch->sink.begin = on_begin;
    batch->sink.write = on_block;
    batch->file = file;
    batch->size = 0;
    batch->limit = BATCH_SIZE;
    if (rotate_size && rotate_size / BATCH_PART_OF_FILE < BATCH_SIZE)
        batch->limit = (size_t)(rotate_size / BATCH_PART_OF_FILE);
}

int batch_flush(struct batch *batch)
{
    size_t size = batch->size;
    batch->size = 0;
    return size ? batch->file->write(batch->file, batch->bytes, size, batch->time_ns) : KD_OK;
}
