/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"
#include "kdwire/error.h"
int capture_writer_init(struct capture_writer *writer, const struct capture_writer_config *config)
{
    (void)writer;
    (void)config;
    return KD_E_UNSUPPORTED;
}
int capture_write(struct capture_writer *writer, const struct capture_packet *packet, uint8_t *out,
                  size_t room)
{
    (void)writer;
    (void)packet;
    (void)out;
    (void)room;
    return KD_E_UNSUPPORTED;
}
