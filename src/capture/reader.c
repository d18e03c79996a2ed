/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"
#include "kdwire/error.h"
struct capture_reader *capture_reader_new(const struct capture_reader_config *config)
{
    (void)config;
    return NULL;
}
void capture_reader_free(struct capture_reader *reader)
{
    (void)reader;
}
int capture_reader_next(struct capture_reader *reader, const uint8_t **data, size_t *size,
                        struct capture_record *record)
{
    (void)reader;
    (void)data;
    (void)size;
    (void)record;
    return KD_E_UNSUPPORTED;
}
int capture_reader_end(const struct capture_reader *reader)
{
    (void)reader;
    return KD_OK;
}
const char *capture_reader_format(const struct capture_reader *reader)
{
    (void)reader;
    return "unknown";
}
const char *capture_reader_problem(const struct capture_reader *reader)
{
    (void)reader;
    return "";
}
