/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least that a driver of a network port can do, for the benchmark: one blocking socket, every
 * write sent and every read received in the program's own call. No time-outs, no cancellation, no
 * events, no queue. (In a file of its own, as ntddk.h and winsock2.h do not go together.)
 */
#ifndef TEST_WINDOWS_BARE_H
#define TEST_WINDOWS_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool bare_connect(uint16_t port); /* at 127.0.0.1; ends the connection before */
bool bare_write(const void *data, size_t size);
bool bare_read(void *data, size_t size); /* all of it */
void bare_close(void);

#endif
