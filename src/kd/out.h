/* SPDX-License-Identifier: BSD-2-Clause */
/* Pieces of text, gathered so that a sink is called once per few hundred characters. */
#ifndef KD_OUT_H
#define KD_OUT_H

#include "kdwire/decode.h"

struct out {
    const struct kd_sink *sink;
    size_t used;
    char text[256];
};

void out_flush(struct out *out);
void out_char(struct out *out, char c);
void out_text(struct out *out, const char *text);
void out_pad(struct out *out, size_t count); /* spaces */
void out_dec(struct out *out, uint64_t value);
void out_hex(struct out *out, uint64_t value, unsigned digits); /* at least DIGITS of them */
/* Two digits per byte; SEPARATOR (0 = none) between bytes. */
void out_bytes(struct out *out, const uint8_t *bytes, size_t size, char separator);
/* The same, or a piece of it and "..." when there are more than MAX bytes. */
void out_bytes_cut(struct out *out, const uint8_t *bytes, size_t size, size_t max);
/* 8-bit text for a terminal: what is not plain ASCII is escaped; more than MAX is cut. */
void out_quoted(struct out *out, const uint8_t *text, size_t size, size_t max);
void out_quoted_utf16(struct out *out, const uint8_t *text, size_t size, size_t max);
/* A JSON string: bytes are taken as ISO 8859-1, or as UTF-16LE (lone surrogates become U+FFFD). */
void out_json_text(struct out *out, const uint8_t *text, size_t size);
void out_json_utf16(struct out *out, const uint8_t *text, size_t size);

/* SIZE without the NULs (of UNIT bytes) at the end. */
size_t out_trimmed(const uint8_t *text, size_t size, size_t unit);

#endif
