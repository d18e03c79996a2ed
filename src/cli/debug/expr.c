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
    while (is_name_char(*p->at) && strncmp(p->at, "!=", 2) != 0)
        p->at++;
    size_t length = (size_t)(p->at - start);
    if (length == 0)
        return fail(p, "a number, register or module is missing at '%.40s'", start);
    char name[EXPR_NAME_MAX];
    if (length >= sizeof name)
        return fail(p, "the name '%.*s...' is too long", shown(length), start);
    memcpy(name, start, length);
    name[length] = '\0';
    if (strcmp(name, ".") == 0)
        snprintf(name, sizeof name, "$ip");
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

/* 'abc': the bytes as one number, the first on top. */
static bool characters(struct parser *p, uint64_t *value)
{
    const char *start = p->at++;
    *value = 0;
    while (*p->at != '\'' && *p->at != '\0' && p->at - start <= 8)
        *value = *value << 8 | (uint8_t)*p->at++;
    if (*p->at != '\'' || p->at == start + 1)
        return fail(p, "one to eight characters and a ' are expected at %.20s", start);
    p->at++;
    return true;
}

static bool word_at(const char *at, const char *word)
{
    size_t length = strlen(word);
    return strncasecmp(at, word, length) == 0 && !is_name_char(at[length]);
}

static bool primary(struct parser *p, uint64_t *value)
{
    blanks(p);
    bool word = word_at(p->at, "not");
    char c = word ? '~' : *p->at;
    if (c == '\'')
        return characters(p, value);
    if (c == '-' || c == '+' || c == '~') {
        if (p->depth >= EXPR_DEPTH_MAX)
            return fail(p, "nested too deeply");
        p->at += word ? 3 : 1;
        while (word && *p->at == ' ')
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

enum operation {
    OR,
    XOR,
    AND,
    EQUAL,
    NOT_EQUAL,
    LESS,
    GREATER,
    LESS_EQUAL,
    GREATER_EQUAL,
    SHIFT_LEFT,
    SHIFT_RIGHT,
    SHIFT_SIGNED,
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    MODULO,
};

enum { LEVELS = 7 };

/* Binary operators with their level, 0 the weakest; a longer one before the one it starts with. */
static const struct binary {
    const char *text;
    unsigned level;
    enum operation operation;
} operators[] = {
    {"|", 0, OR},          {"or", 0, OR},
    {"^", 1, XOR},         {"xor", 1, XOR},
    {"&", 2, AND},         {"and", 2, AND},
    {"==", 3, EQUAL},      {"!=", 3, NOT_EQUAL},
    {"=", 3, EQUAL},       {">>>", 4, SHIFT_SIGNED},
    {"<<", 4, SHIFT_LEFT}, {">>", 4, SHIFT_RIGHT},
    {"<=", 3, LESS_EQUAL}, {">=", 3, GREATER_EQUAL},
    {"<", 3, LESS},        {">", 3, GREATER},
    {"+", 5, ADD},         {"-", 5, SUBTRACT},
    {"*", 6, MULTIPLY},    {"/", 6, DIVIDE},
    {"%", 6, MODULO},      {"mod", 6, MODULO},
};

static const struct binary *operator_at(const char *at)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        const char *text = operators[i].text;
        bool word = isalpha((unsigned char)text[0]);
        if (word ? word_at(at, text) : strncmp(at, text, strlen(text)) == 0)
            return &operators[i];
    }
    return NULL;
}

static uint64_t shift(enum operation operation, uint64_t value, uint64_t by)
{
    bool ones = operation == SHIFT_SIGNED && value >> 63 != 0;
    if (by >= 64)
        return ones ? UINT64_MAX : 0;
    if (operation == SHIFT_LEFT)
        return value << by;
    return value >> by | (ones && by > 0 ? UINT64_MAX << (64 - by) : 0);
}

static uint64_t compare(enum operation operation, uint64_t left, uint64_t right)
{
    switch (operation) {
    case EQUAL:
        return left == right;
    case NOT_EQUAL:
        return left != right;
    case LESS:
        return left < right;
    case GREATER:
        return left > right;
    case LESS_EQUAL:
        return left <= right;
    default:
        return left >= right;
    }
}

static bool apply(struct parser *p, enum operation operation, uint64_t *value, uint64_t right)
{
    uint64_t left = *value;
    if ((operation == DIVIDE || operation == MODULO) && right == 0)
        return fail(p, "division by zero");
    switch (operation) {
    case OR:
        *value = left | right;
        break;
    case XOR:
        *value = left ^ right;
        break;
    case AND:
        *value = left & right;
        break;
    case SHIFT_LEFT:
    case SHIFT_RIGHT:
    case SHIFT_SIGNED:
        *value = shift(operation, left, right);
        break;
    case ADD:
        *value = left + right;
        break;
    case SUBTRACT:
        *value = left - right;
        break;
    case MULTIPLY:
        *value = left * right;
        break;
    case DIVIDE:
        *value = left / right;
        break;
    case MODULO:
        *value = left % right;
        break;
    default:
        *value = compare(operation, left, right);
        break;
    }
    return true;
}

static bool expression(struct parser *p, uint64_t *value, unsigned level)
{
    if (level >= LEVELS)
        return primary(p, value);
    if (!expression(p, value, level + 1))
        return false;
    for (;;) {
        const char *before = p->at;
        blanks(p);
        const struct binary *o = operator_at(p->at);
        if (o == NULL || o->level != level) {
            p->at = before;
            return true;
        }
        p->at += strlen(o->text);
        uint64_t right;
        if (!expression(p, &right, level + 1) || !apply(p, o->operation, value, right))
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
