/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"
#include "kdwire/error.h"
int capture_file_init(struct capture_file *file, const struct capture_file_config *config)
{
    (void)file;
    (void)config;
    return KD_E_UNSUPPORTED;
}
int capture_file_close(struct capture_file *file)
{
    (void)file;
    return 0;
}
