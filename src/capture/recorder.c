/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"
#include "kdwire/error.h"
int recorder_init(struct recorder *recorder, const struct recorder_config *config)
{
    (void)recorder;
    (void)config;
    return KD_E_UNSUPPORTED;
}
int recorder_add_sink(struct recorder *recorder, struct capture_sink *sink)
{
    (void)recorder;
    (void)sink;
    return KD_E_UNSUPPORTED;
}
void recorder_remove_sink(struct recorder *recorder, struct capture_sink *sink)
{
    (void)recorder;
    (void)sink;
}
void recorder_data(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                   const uint8_t *bytes, size_t size)
{
    (void)recorder;
    (void)direction;
    (void)time_ns;
    (void)bytes;
    (void)size;
}
void recorder_flush(struct recorder *recorder, enum capture_direction direction)
{
    (void)recorder;
    (void)direction;
}
uint64_t recorder_deadline(const struct recorder *recorder)
{
    (void)recorder;
    return UINT64_MAX;
}
void recorder_tick(struct recorder *recorder, uint64_t now_ns)
{
    (void)recorder;
    (void)now_ns;
}
void recorder_note(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                   const char *text)
{
    (void)recorder;
    (void)direction;
    (void)time_ns;
    (void)text;
}
void recorder_dropped(struct recorder *recorder, enum capture_direction direction, uint64_t time_ns,
                      uint64_t bytes, const char *why)
{
    (void)recorder;
    (void)direction;
    (void)time_ns;
    (void)bytes;
    (void)why;
}
