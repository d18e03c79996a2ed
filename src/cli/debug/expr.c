/* SPDX-License-Identifier: BSD-2-Clause */
#include "debug/expr.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kdwire/wire.h"

struct parser {
    const struct expr_names *names;
    const char *at;
    bool spaces;
    unsigned depth; /* open parentheses: inside them blanks are free */
    char *message;
};

static bool expression(struct parser *p, uint64_t *value, unsigned level);

static bool fail(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct parser *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is right above */
    vsnprintf(p->message, EXPR_MESSAGE_MAX, format, arguments);
    va_end(arguments);
    return false;
}

/* As much of a name as fits into a message. */
static int shown(size_t length)
{
    return length > 60 ? 60 : (int)length;
}

static void blanks(struct parser *p)
{
    while ((p->spaces || p->depth > 0) && (*p->at == ' ' || *p->at == '\t'))
        p->at++;
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '!' || c == '$' || c == '`' ||
           c == '?';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether all of the token is a number in BASE; backticks separate digits. */
static bool number(const char *token, size_t length, unsigned base, uint64_t *value, bool *overflow)
{
    uint64_t v = 0;
    size_t digits = 0;
    for (size_t i = 0; i < length; i++) {
        if (token[i] == '`')
            continue;
        int digit = digit_of(token[i]);
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        if (v > (UINT64_MAX - (unsigned)digit) / base)
            *overflow = true;
        v = v * base + (unsigned)digit;
        digits++;
    }
    *value = v;
    return digits > 0;
}

static bool token_number(const char *token, size_t length, uint64_t *value, bool *overflow)
{
    if (length > 2 && token[0] == '0') {
        unsigned base = 0;
        switch (tolower((unsigned char)token[1])) {
        case 'x':
            base = 16;
            break;
        case 'n':
            base = 10;
            break;
        case 't':
            base = 8;
            break;
        case 'y':
            base = 2;
            break;
        default:
            break;
        }
        if (base != 0)
            return number(token + 2, length - 2, base, value, overflow);
    }
    if (length > 1 && tolower((unsigned char)token[length - 1]) == 'h' &&
        number(token, length - 1, 16, value, overflow))
        return true;
    return number(token, length, 16, value, overflow);
}

static bool memory_function(struct parser *p, const char *name, uint64_t *value, bool *is_function)
{
    static const struct {
        const char *name;
        size_t size;
    } functions[] = {{"poi", 8}, {"by", 1}, {"wo", 2}, {"dwo", 4},
                     {"qwo", 8}, {"hi", 0}, {"low", 0}};
    *is_function = false;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0] && *p->at == '('; i++) {
        if (strcasecmp(name, functions[i].name) != 0)
            continue;
        *is_function = true;
        uint64_t address;
        if (!expression(p, &address, 99)) /* a primary: the parentheses */
            return false;
        uint8_t bytes[8];
        size_t size = functions[i].size;
        if (size == 0) {
            *value = (functions[i].name[0] == 'h' ? address >> 16 : address) & 0xFFFF;
            return true;
        }
        if (p->names->read == NULL || !p->names->read(p->names->context, address, bytes, size)) {
            snprintf(p->message, EXPR_MESSAGE_MAX, "memory at %016llx cannot be read",
                     (unsigned long long)address);
            return false;
        }
        *value = kd_get_uint(bytes, size);
        return true;
    }
    return true;
}

static bool token(struct parser *p, uint64_t *value)
{
    bool reg_only = *p->at == '@';
    if (reg_only)
        p->at++;
    const char *start = p->at;
    while (is_name_char(*p->at))
        p->at++;
    size_t length = (size_t)(p->at - start);
    if (length == 0)
        return fail(p, "a number, register or module is missing at '%.40s'", start);
    char name[EXPR_NAME_MAX];
    if (length >= sizeof name)
        return fail(p, "the name '%.*s...' is too long", shown(length), start);
    memcpy(name, start, length);
    name[length] = '\0';
    bool overflow = false, is_function;
    if (!reg_only && token_number(start, length, value, &overflow)) {
        if (overflow)
            return fail(p, "'%.*s' does not fit into 64 bits", shown(length), start);
        return true;
    }
    if (!memory_function(p, name, value, &is_function))
        return false;
    if (is_function)
        return true;
    if (p->names->register_value != NULL &&
        p->names->register_value(p->names->context, name, value))
        return true;
    if (!reg_only && p->names->symbol != NULL && p->names->symbol(p->names->context, name, value))
        return true;
    if (reg_only)
        return fail(p, "there is no register '%.*s'", shown(length), start);
    return fail(p, "'%.*s' is no number, register, module or export (numbers are hex; 0n10 is ten)",
                shown(length), start);
}

static bool primary(struct parser *p, uint64_t *value)
{
    blanks(p);
    char c = *p->at;
    if (c == '-' || c == '+' || c == '~') {
        if (p->depth >= EXPR_DEPTH_MAX)
            return fail(p, "nested too deeply");
        p->at++;
        p->depth++;
        bool good = primary(p, value);
        p->depth--;
        if (good && c != '+')
            *value = c == '-' ? 0 - *value : ~*value;
        return good;
    }
    if (c == '(') {
        if (p->depth >= EXPR_DEPTH_MAX)
            return fail(p, "nested too deeply");
        p->at++;
        p->depth++;
        bool good = expression(p, value, 0);
        blanks(p);
        p->depth--;
        if (!good)
            return false;
        if (*p->at != ')')
            return fail(p, "a ')' is missing");
        p->at++;
        return true;
    }
    return token(p, value);
}

/* Binary operators, weakest first. Returns the length, 0 = none of this level. */
static size_t operator_at(const char *at, unsigned level, char *which)
{
    static const char *const levels[] = {"|", "^", "&", "<>", "+-", "*/%"};
    if (level >= sizeof levels / sizeof levels[0] || *at == '\0')
        return 0;
    if (strchr(levels[level], *at) == NULL)
        return 0;
    *which = *at;
    if (*at == '<' || *at == '>')
        return at[1] == *at ? 2 : 0;
    return 1;
}

static bool apply(struct parser *p, char which, uint64_t *value, uint64_t right)
{
    switch (which) {
    case '|':
        *value |= right;
        break;
    case '^':
        *value ^= right;
        break;
    case '&':
        *value &= right;
        break;
    case '<':
        *value = right < 64 ? *value << right : 0;
        break;
    case '>':
        *value = right < 64 ? *value >> right : 0;
        break;
    case '+':
        *value += right;
        break;
    case '-':
        *value -= right;
        break;
    case '*':
        *value *= right;
        break;
    default:
        if (right == 0)
            return fail(p, "division by zero");
        *value = which == '/' ? *value / right : *value % right;
        break;
    }
    return true;
}

static bool expression(struct parser *p, uint64_t *value, unsigned level)
{
    enum { LEVELS = 6 };
    if (level >= LEVELS)
        return primary(p, value);
    if (!expression(p, value, level + 1))
        return false;
    for (;;) {
        char which = 0;
        const char *before = p->at;
        blanks(p);
        size_t length = operator_at(p->at, level, &which);
        if (length == 0) {
            p->at = before;
            return true;
        }
        p->at += length;
        uint64_t right;
        if (!expression(p, &right, level + 1) || !apply(p, which, value, right))
            return false;
    }
}

bool expr_eval(const struct expr_names *names, const char **text, bool spaces, uint64_t *value,
               char message[EXPR_MESSAGE_MAX])
{
    struct parser p = {names, *text, spaces, 0, message};
    while (*p.at == ' ' || *p.at == '\t')
        p.at++;
    if (!expression(&p, value, 0))
        return false;
    *text = p.at;
    return true;
}
