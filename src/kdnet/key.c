/* SPDX-License-Identifier: BSD-2-Clause */
/* The key as a person types it. No message here repeats any of it. */
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/kdnet.h"

enum { BASE = 36, PART_SIZE = KDNET_KEY_SIZE / KDNET_KEY_PARTS };

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    return -1;
}

/* Reads one part up to its dot or the end; returns where it ends, NULL with *PROBLEM. */
static const char *parse_part(uint64_t *value, const char *text, const char **problem)
{
    const char *at = text;

    *value = 0;
    for (; *at && *at != '.'; at++) {
        int digit = digit_of(*at);
        if (digit < 0) {
            *problem = "it has a character that is neither 0-9, a-z nor a dot between parts";
            return NULL;
        }
        if (*value > (UINT64_MAX - (uint64_t)digit) / BASE) {
            *problem = "one of its parts is above the largest, 3w5e11264sgsf (64 bits)";
            return NULL;
        }
        *value = *value * BASE + (uint64_t)digit;
    }
    if (at == text) {
        *problem = "one of its parts is empty";
        return NULL;
    }
    return at;
}

static const char *parse_parts(struct kdnet_key *key, const char *text, const char **problem)
{
    for (unsigned part = 0; part < KDNET_KEY_PARTS; part++) {
        uint64_t value;
        text = parse_part(&value, text, problem);
        if (!text)
            return NULL;
        kd_put_u64(key->bytes + part * PART_SIZE, value);
        if (part + 1 < KDNET_KEY_PARTS && *text++ != '.') {
            *problem = "it has fewer than four parts: a key is w.x.y.z, each in base 36";
            return NULL;
        }
    }
    if (*text)
        *problem = "it has more than four parts: a key is w.x.y.z, each in base 36";
    return *text ? NULL : text;
}

int kdnet_key_parse(struct kdnet_key *key, const char *text, const char **problem)
{
    const char *unused;

    if (parse_parts(key, text, problem ? problem : &unused))
        return KD_OK;
    kdnet_key_wipe(key);
    return KD_E_ARGUMENT;
}

static char *put_part(char *at, uint64_t value)
{
    char digits[KDNET_KEY_DIGITS_MAX];
    size_t count = 0;

    do {
        digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % BASE];
        value /= BASE;
    } while (value);
    while (count)
        *at++ = digits[--count];
    return at;
}

const char *kdnet_key_text(const struct kdnet_key *key, char text[KDNET_KEY_TEXT_MAX])
{
    char *at = text;

    for (unsigned part = 0; part < KDNET_KEY_PARTS; part++) {
        if (part)
            *at++ = '.';
        at = put_part(at, kd_get_u64(key->bytes + part * PART_SIZE));
    }
    *at = '\0';
    return text;
}

void kdnet_key_wipe(struct kdnet_key *key)
{
    volatile uint8_t *byte = key->bytes;
    for (size_t i = 0; i < sizeof(key->bytes); i++)
        byte[i] = 0;
}
