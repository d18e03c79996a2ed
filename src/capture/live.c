/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"
#include "kdwire/error.h"
int capture_live_init(struct capture_live *live, size_t capacity,
                      const struct capture_writer *writer)
{
    (void)live;
    (void)capacity;
    (void)writer;
    return KD_E_UNSUPPORTED;
}
void capture_live_free(struct capture_live *live)
{
    (void)live;
}
size_t capture_live_peek(const struct capture_live *live, const uint8_t **bytes)
{
    (void)live;
    (void)bytes;
    return 0;
}
void capture_live_consume(struct capture_live *live, size_t size)
{
    (void)live;
    (void)size;
}
