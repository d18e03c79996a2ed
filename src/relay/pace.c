/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/pace.h"

#include <string.h>

enum {
    PACE_BYTES_MAX = 1000000000,      /* above it pacing means nothing */
    PACE_MICROSECONDS_MAX = 60000000, /* a minute: no target wants less than a byte in it */
    PACE_PIECES = 100,                /* of a second, when only a rate is given */
};

#define SECOND_NS 1000000000u

static const char *parse_number(const char *text, uint64_t max, uint64_t *value)
{
    const char *start = text;
    for (*value = 0; *text >= '0' && *text <= '9'; text++) {
        *value = *value * 10 + (uint64_t)(*text - '0');
        if (*value > max)
            return NULL;
    }
    return text == start || *value == 0 ? NULL : text;
}

bool pace_parse(struct pace *pace, const char *text)
{
    uint64_t microseconds = 0;
    memset(pace, 0, sizeof(*pace));
    text = parse_number(text, PACE_BYTES_MAX, &pace->bytes);
    if (!text)
        return false;
    if (!*text || !strcmp(text, "/s")) {
        uint64_t pieces = pace->bytes < PACE_PIECES ? pace->bytes : PACE_PIECES;
        pace->interval_ns = SECOND_NS / pieces;
        pace->bytes /= pieces;
        return true;
    }
    if (*text != '/')
        return false;
    text = parse_number(text + 1, PACE_MICROSECONDS_MAX, &microseconds);
    pace->interval_ns = microseconds * 1000;
    return text && (!*text || !strcmp(text, "us"));
}

size_t pace_take(struct pace *pace, uint64_t now_ns, size_t wanted)
{
    if (!pace->bytes)
        return wanted;
    if (now_ns - pace->since_ns >= pace->interval_ns) {
        pace->since_ns = now_ns;
        pace->used = 0;
    }
    uint64_t left = pace->bytes - pace->used;
    size_t taken = wanted < left ? wanted : (size_t)left;
    pace->used += taken;
    return taken;
}

uint64_t pace_wait(const struct pace *pace, uint64_t now_ns)
{
    uint64_t age = now_ns - pace->since_ns;
    if (!pace->bytes || pace->used < pace->bytes || age >= pace->interval_ns)
        return 0;
    return pace->interval_ns - age;
}
