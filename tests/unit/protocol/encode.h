/* SPDX-License-Identifier: BSD-2-Clause */
/* From the JSON of a packet back to its bytes, by the same tables the decoder walks. */
#ifndef ENCODE_H
#define ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* Returns the size of the packet, or 0 if JSON names something the tables do not know. OUT has
 * room for ROOM bytes, which are zeroed first: whatever the JSON leaves out stays 0. */
size_t encode_json(const char *json, uint8_t *out, size_t room);

#endif
