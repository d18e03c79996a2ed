/* SPDX-License-Identifier: BSD-2-Clause */
/* Just enough JSON for tests: is a text one valid value, and where is a member of an object. */
#ifndef KDWIRE_JSON_CHECK_H
#define KDWIRE_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { JSON_DEPTH_MAX = 16 }; /* decoded packets nest four deep */

static inline bool json_is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The end of the string that starts at P, or NULL. Only printable ASCII may stand in it as is. */
static inline const char *json_string_end(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if (*p < 0x20 || *p > 0x7E)
            return NULL;
        if (*p != '\\')
            continue;
        p++;
        if (*p == 'u') {
            for (int i = 0; i < 4; i++) {
                if (!json_is_hex(*++p))
                    return NULL;
            }
        } else if (!*p || !strchr("\"\\/bfnrt", *p)) {
            return NULL;
        }
    }
    return p + 1;
}

static inline const char *json_number_end(const char *p)
{
    const char *start = p;
    while (*p >= '0' && *p <= '9')
        p++;
    if (p == start || (*start == '0' && p != start + 1))
        return NULL;
    if (*p == '.') {
        const char *point = p++;
        while (*p >= '0' && *p <= '9')
            p++;
        if (p == point + 1)
            return NULL;
    }
    return p;
}

/* The end of the value that starts at P, or NULL if there is no valid value. */
static inline const char *json_value_end(const char *p, int depth)
{
    if (depth > JSON_DEPTH_MAX)
        return NULL;
    if (*p == '"')
        return json_string_end(p);
    if (!strncmp(p, "true", 4) || !strncmp(p, "null", 4))
        return p + 4;
    if (!strncmp(p, "false", 5))
        return p + 5;
    if (*p != '{' && *p != '[')
        return json_number_end(p);
    char close = *p == '{' ? '}' : ']';
    p++;
    if (*p == close)
        return p + 1;
    for (;;) {
        if (close == '}') {
            p = json_string_end(p);
            if (!p || *p++ != ':')
                return NULL;
        }
        p = json_value_end(p, depth + 1);
        if (!p)
            return NULL;
        if (*p == close)
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
}

static inline bool json_is_valid(const char *text)
{
    const char *end = json_value_end(text, 0);
    return end && *end == '\0';
}

struct json_member {
    const char *key; /* behind its quote */
    size_t key_size;
    const char *value;
};

/* The member behind CURSOR of a valid OBJECT (NULL: the first one); NULL at the end. */
static inline const char *json_next_member(const char *object, const char *cursor,
                                           struct json_member *member)
{
    const char *p = cursor ? cursor : object;
    if (*p != (cursor ? ',' : '{') || p[1] == '}')
        return NULL;
    const char *key_end = json_string_end(p + 1);
    member->key = p + 2;
    member->key_size = (size_t)(key_end - p) - 3;
    member->value = key_end + 1;
    return json_value_end(member->value, 0);
}

/* The value of the member called NAME, or NULL. */
static inline const char *json_member(const char *object, const char *name)
{
    struct json_member member;
    const char *cursor = NULL;
    while ((cursor = json_next_member(object, cursor, &member))) {
        if (member.key_size == strlen(name) && !memcmp(member.key, name, member.key_size))
            return member.value;
    }
    return NULL;
}

/* Whether any object in a valid text has two members of one name. */
static inline bool json_has_twins(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '"') {
            p = json_string_end(p) - 1;
        } else if (*p == '{') {
            struct json_member a, b;
            const char *cursor = NULL;
            while ((cursor = json_next_member(p, cursor, &a))) {
                for (const char *other = cursor; (other = json_next_member(p, other, &b));) {
                    if (a.key_size == b.key_size && !memcmp(a.key, b.key, a.key_size))
                        return true;
                }
            }
        }
    }
    return false;
}

/* Whether the string at VALUE is exactly TEXT (which has nothing to escape). */
static inline bool json_string_is(const char *value, const char *text)
{
    size_t size = strlen(text);
    return value && *value == '"' && !strncmp(value + 1, text, size) && value[1 + size] == '"';
}

#endif
