/* SPDX-License-Identifier: BSD-2-Clause */
#include "platform.h"

void end_signals_start(uv_loop_t *loop, struct end_signals *signals, uv_signal_cb callback,
                       void *data)
{
    const int *numbers = platform_end_signals();
    for (int i = 0; i < PLATFORM_SIGNALS_MAX; i++) {
        uv_signal_init(loop, &signals->handles[i]);
        signals->handles[i].data = data;
    }
    for (int i = 0; numbers[i]; i++)
        uv_signal_start(&signals->handles[i], callback, numbers[i]);
}

void end_signals_close(struct end_signals *signals)
{
    for (int i = 0; i < PLATFORM_SIGNALS_MAX; i++)
        uv_close((uv_handle_t *)&signals->handles[i], NULL);
}
