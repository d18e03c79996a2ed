/* SPDX-License-Identifier: BSD-2-Clause */
#include "out.h"

#include <string.h>

void kd_out_begin(struct kd_out *out, const struct kd_sink *sink,
                  const struct kd_decode_session *session)
{
    out->sink = sink;
    out->session = session;
    out->used = 0;
}

void kd_out_flush(struct kd_out *out)
{
    if (out->used)
        out->sink->write(out->sink->context, out->text, out->used);
    out->used = 0;
}

void kd_out_char(struct kd_out *out, char c)
{
    if (out->used == sizeof(out->text))
        kd_out_flush(out);
    out->text[out->used++] = c;
}

void kd_out_run(struct kd_out *out, const char *text, size_t size)
{
    while (size) {
        size_t room = sizeof(out->text) - out->used;
        size_t piece = size < room ? size : room;
        memcpy(out->text + out->used, text, piece);
        out->used += piece;
        text += piece;
        size -= piece;
        if (size)
            kd_out_flush(out);
    }
}

void kd_out_text(struct kd_out *out, const char *text)
{
    size_t size = 0;
    while (text[size])
        size++;
    kd_out_run(out, text, size);
}

void kd_out_pad(struct kd_out *out, size_t count)
{
    while (count--)
        kd_out_char(out, ' ');
}

void kd_out_dec(struct kd_out *out, uint64_t value)
{
    char digits[20]; /* of 2^64 - 1 */
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count)
        kd_out_char(out, digits[--count]);
}

static char hex_digit(uint64_t value)
{
    return "0123456789abcdef"[value & 15];
}

void kd_out_hex(struct kd_out *out, uint64_t value, unsigned digits)
{
    char text[16]; /* of 2^64 - 1 */
    unsigned first = sizeof(text);
    do {
        text[--first] = hex_digit(value);
        value >>= 4;
    } while (first && (value || sizeof(text) - first < digits));
    kd_out_run(out, text + first, sizeof(text) - first);
}

void kd_out_bytes(struct kd_out *out, const uint8_t *bytes, size_t size, char separator)
{
    for (size_t i = 0; i < size; i++) {
        if (separator && i)
            kd_out_char(out, separator);
        kd_out_hex(out, bytes[i], 2);
    }
}

void kd_out_bytes_cut(struct kd_out *out, const uint8_t *bytes, size_t size, size_t max)
{
    kd_out_bytes(out, bytes, size < max ? size : max, ' ');
    if (size > max)
        kd_out_text(out, " ...");
}

static void out_escaped(struct kd_out *out, uint32_t c)
{
    switch (c) {
    case '\n':
        kd_out_text(out, "\\n");
        return;
    case '\r':
        kd_out_text(out, "\\r");
        return;
    case '\t':
        kd_out_text(out, "\\t");
        return;
    case '"':
    case '\\':
        kd_out_char(out, '\\');
        break;
    default:
        break;
    }
    if (c >= 0x20 && c < 0x7F) {
        kd_out_char(out, (char)c);
    } else {
        kd_out_text(out, c < 0x100 ? "\\x" : "\\u");
        kd_out_hex(out, c, c < 0x100 ? 2 : 4);
    }
}

void kd_out_quoted(struct kd_out *out, const uint8_t *text, size_t size, size_t max)
{
    kd_out_char(out, '"');
    for (size_t i = 0; i < size && i < max; i++)
        out_escaped(out, text[i]);
    kd_out_char(out, '"');
    if (size > max)
        kd_out_text(out, "...");
}

void kd_out_quoted_utf16(struct kd_out *out, const uint8_t *text, size_t size, size_t max)
{
    kd_out_char(out, '"');
    for (size_t i = 0; size - i >= 2 && i / 2 < max; i += 2)
        out_escaped(out, kd_get_u16(text + i));
    kd_out_char(out, '"');
    if (size / 2 > max)
        kd_out_text(out, "...");
}

static void out_json_char(struct kd_out *out, uint32_t c)
{
    if (c == '"' || c == '\\') {
        kd_out_char(out, '\\');
        kd_out_char(out, (char)c);
    } else if (c >= 0x20 && c < 0x7F) {
        kd_out_char(out, (char)c);
    } else if (c == '\n') {
        kd_out_text(out, "\\n");
    } else {
        kd_out_text(out, "\\u");
        kd_out_hex(out, c, 4);
    }
}

void kd_out_json_text(struct kd_out *out, const uint8_t *text, size_t size)
{
    kd_out_char(out, '"');
    for (size_t i = 0; i < size; i++)
        out_json_char(out, text[i]);
    kd_out_char(out, '"');
}

static bool is_surrogate(uint32_t unit, uint32_t first)
{
    return (unit & 0xFC00) == first;
}

void kd_out_json_utf16(struct kd_out *out, const uint8_t *text, size_t size)
{
    kd_out_char(out, '"');
    for (size_t i = 0; size - i >= 2; i += 2) {
        uint32_t unit = kd_get_u16(text + i);
        uint32_t next = size - i >= 4 ? kd_get_u16(text + i + 2) : 0;
        if (is_surrogate(unit, 0xD800) && is_surrogate(next, 0xDC00)) {
            out_json_char(out, unit);
            out_json_char(out, next);
            i += 2;
        } else if (is_surrogate(unit, 0xD800) || is_surrogate(unit, 0xDC00)) {
            out_json_char(out, 0xFFFD);
        } else {
            out_json_char(out, unit);
        }
    }
    kd_out_char(out, '"');
}

size_t kd_out_trimmed(const uint8_t *text, size_t size, size_t unit)
{
    while (size >= unit && !text[size - 1] && !text[size - unit])
        size -= unit;
    return size;
}
