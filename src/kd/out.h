/* SPDX-License-Identifier: BSD-2-Clause */
/* Pieces of text, gathered so that a sink is called once per few hundred characters. */
#ifndef KD_OUT_H
#define KD_OUT_H

#include "kdwire/decode.h"

struct kd_out {
    const struct kd_sink *sink;
    const struct kd_decode_session *session; /* NULL, or: what may name addresses */
    size_t used;
    char text[256];
};

void kd_out_begin(struct kd_out *out, const struct kd_sink *sink,
                  const struct kd_decode_session *session);
void kd_out_flush(struct kd_out *out);
void kd_out_char(struct kd_out *out, char c);
void kd_out_run(struct kd_out *out, const char *text, size_t size);
void kd_out_text(struct kd_out *out, const char *text);
void kd_out_pad(struct kd_out *out, size_t count); /* spaces */
void kd_out_dec(struct kd_out *out, uint64_t value);
void kd_out_hex(struct kd_out *out, uint64_t value, unsigned digits); /* at least DIGITS of them */
/* Two digits per byte; SEPARATOR (0 = none) between bytes. */
void kd_out_bytes(struct kd_out *out, const uint8_t *bytes, size_t size, char separator);
/* The same, or a piece of it and "..." when there are more than MAX bytes. */
void kd_out_bytes_cut(struct kd_out *out, const uint8_t *bytes, size_t size, size_t max);
/* 8-bit text for a terminal: what is not plain ASCII is escaped; more than MAX is cut. */
void kd_out_quoted(struct kd_out *out, const uint8_t *text, size_t size, size_t max);
void kd_out_quoted_utf16(struct kd_out *out, const uint8_t *text, size_t size, size_t max);
/* A JSON string: bytes are taken as ISO 8859-1, or as UTF-16LE (lone surrogates become U+FFFD). */
void kd_out_json_text(struct kd_out *out, const uint8_t *text, size_t size);
void kd_out_json_utf16(struct kd_out *out, const uint8_t *text, size_t size);

/* SIZE without the NULs (of UNIT bytes) at the end. */
size_t kd_out_trimmed(const uint8_t *text, size_t size, size_t unit);

#endif
