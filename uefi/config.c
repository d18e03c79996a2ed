/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <string.h>

enum {
    BAUD_MAX = 115200, /* the divisor of a 1.8432 MHz 16550 is then 1 */
    TIMEOUT_DEFAULT_MS = 10000,
    TIMEOUT_MAX_MS = 86400000,     /* a day; 0 says for ever */
    VMBUS_WAIT_DEFAULT_MS = 10000, /* a host's program can only offer after the VM has started */
};

struct word {
    const char *text;
    size_t size;
};

void uefi_config_defaults(struct uefi_config *config)
{
    memset(config, 0, sizeof *config);
    config->port.kind = UEFI_PORT_AUTO;
    config->baud = 115200;
    config->initial_break = true;
    config->timeout_ms = TIMEOUT_DEFAULT_MS;
    config->poll = UEFI_POLL_VECTOR;
    config->ist = true;
    config->modules = UEFI_MODULES_NEW;
    config->grab_console = true;
    config->vmbus_wait_ms = VMBUS_WAIT_DEFAULT_MS;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_separator(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ';' || c == 0 ||
           c == '"';
}

static bool equals(struct word word, const char *name)
{
    size_t i;

    for (i = 0; i < word.size && name[i] != 0; i++) {
        if (lower(word.text[i]) != name[i])
            return false;
    }
    return i == word.size && name[i] == 0;
}

static int digit_of(char c, unsigned radix)
{
    int digit = -1;

    c = lower(c);
    if (c >= '0' && c <= '9')
        digit = c - '0';
    else if (c >= 'a' && c <= 'f')
        digit = c - 'a' + 10;
    return digit >= 0 && (unsigned)digit < radix ? digit : -1;
}

/* A whole word in RADIX that is at most MAX; "0x" before hexadecimal ones is allowed. */
static bool number(struct word word, unsigned radix, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;

    if (word.size > 2 && word.text[0] == '0' && lower(word.text[1]) == 'x') {
        radix = 16;
        word.text += 2;
        word.size -= 2;
    }
    if (word.size == 0)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        int digit = digit_of(word.text[i], radix);

        if (digit < 0 || n > (max - (uint64_t)digit) / radix)
            return false;
        n = n * radix + (uint64_t)digit;
    }
    *value = n;
    return true;
}

static bool parse_flag(struct word value, bool *flag)
{
    if (equals(value, "on") || equals(value, "yes") || equals(value, "1") || equals(value, "true"))
        *flag = true;
    else if (equals(value, "off") || equals(value, "no") || equals(value, "0") ||
             equals(value, "false"))
        *flag = false;
    else
        return false;
    return true;
}

/* Index of VALUE in the NULL-terminated NAMES, or -1. */
static int parse_choice(struct word value, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (equals(value, names[i]))
            return i;
    }
    return -1;
}

/* Takes the text before C off the front of WORD. */
static bool split(struct word *word, char c, struct word *front)
{
    for (size_t i = 0; i < word->size; i++) {
        if (word->text[i] == c) {
            front->text = word->text;
            front->size = i;
            word->text += i + 1;
            word->size -= i + 1;
            return true;
        }
    }
    return false;
}

/* pci:BUS.DEVICE.FUNCTION, hexadecimal as lspci prints them. */
static bool parse_pci(struct word value, struct uefi_port *port)
{
    struct word bus, device;
    uint64_t b, d, f;

    if (!split(&value, '.', &bus) || !split(&value, '.', &device))
        return false;
    if (!number(bus, 16, 255, &b) || !number(device, 16, 31, &d) || !number(value, 16, 7, &f))
        return false;
    port->kind = UEFI_PORT_PCI;
    port->bus = (uint8_t)b;
    port->device = (uint8_t)d;
    port->function = (uint8_t)f;
    return true;
}

/* vmbus, vmbus:TYPE, hvsock, hvsock:SERVICE; both are GUIDs. */
static bool parse_vmbus(struct word value, struct uefi_port *port)
{
    struct word name = value, rest = value;
    bool named = split(&rest, ':', &name);

    if (equals(name, "vmbus"))
        port->kind = UEFI_PORT_VMBUS;
    else if (equals(name, "hvsock"))
        port->kind = UEFI_PORT_HVSOCK;
    else
        return false;
    return !named || vmbus_guid_parse(&port->channel, rest.text, rest.size);
}

static bool parse_port(struct word value, struct uefi_port *port)
{
    struct uefi_port made;
    struct word rest = value;
    struct word front;
    uint64_t n;

    memset(&made, 0, sizeof made);
    if (equals(value, "auto")) {
        made.kind = UEFI_PORT_AUTO;
    } else if (equals(value, "dbg2")) {
        made.kind = UEFI_PORT_DBG2;
    } else if (equals(value, "none")) {
        made.kind = UEFI_PORT_NONE;
    } else if (value.size == 4 && lower(value.text[0]) == 'c' && lower(value.text[1]) == 'o' &&
               lower(value.text[2]) == 'm' && value.text[3] >= '1' && value.text[3] <= '4') {
        made.kind = UEFI_PORT_COM;
        made.com = (unsigned)(value.text[3] - '0');
    } else if (split(&rest, ':', &front) && equals(front, "pci")) {
        if (!parse_pci(rest, &made))
            return false;
    } else if (value.size > 2 && value.text[0] == '0' && number(value, 16, 0xFFF8, &n) && n != 0) {
        made.kind = UEFI_PORT_IO;
        made.base = n;
    } else if (!parse_vmbus(value, &made)) {
        return false;
    }
    *port = made;
    return true;
}

static bool apply(struct uefi_config *config, struct word key, struct word value)
{
    static const char *const polls[] = {"vector", "event", "off", NULL};
    static const char *const modules[] = {"all", "new", "off", NULL};
    static const char *const exits[] = {"detach", "stay", NULL};
    static const char *const consoles[] = {"share", "grab", NULL};
    static const char *const framings[] = {"raw", "windbg-uefi", "windbg-uefi-ack", NULL};
    uint64_t n;
    int choice;

    if (equals(key, "port"))
        return parse_port(value, &config->port);
    if (equals(key, "baud")) {
        if (!number(value, 10, BAUD_MAX, &n) || (n != 0 && n < 50))
            return false;
        config->baud = (uint32_t)n;
        return true;
    }
    if (equals(key, "timeout")) {
        if (!number(value, 10, TIMEOUT_MAX_MS, &n))
            return false;
        config->timeout_ms = (uint32_t)n;
        return true;
    }
    if (equals(key, "initial-break"))
        return parse_flag(value, &config->initial_break);
    if (equals(key, "rxirq"))
        return parse_flag(value, &config->rxirq);
    if (equals(key, "ist"))
        return parse_flag(value, &config->ist);
    if (equals(key, "poll")) {
        choice = parse_choice(value, polls);
        if (choice >= 0)
            config->poll = (enum uefi_poll)choice;
        return choice >= 0;
    }
    if (equals(key, "modules")) {
        choice = parse_choice(value, modules);
        if (choice >= 0)
            config->modules = (enum uefi_modules)choice;
        return choice >= 0;
    }
    if (equals(key, "ebs")) {
        choice = parse_choice(value, exits);
        if (choice >= 0)
            config->stay_after_exit = choice == 1;
        return choice >= 0;
    }
    if (equals(key, "vmbus-wait")) {
        if (!number(value, 10, TIMEOUT_MAX_MS, &n))
            return false;
        config->vmbus_wait_ms = (uint32_t)n;
        return true;
    }
    if (equals(key, "framing")) {
        choice = parse_choice(value, framings);
        if (choice >= 0)
            config->framing = (enum uefi_framing)choice;
        return choice >= 0;
    }
    if (equals(key, "console")) {
        choice = parse_choice(value, consoles);
        if (choice >= 0)
            config->grab_console = choice == 1;
        return choice >= 0;
    }
    return false;
}

static void note(struct uefi_config_error *error, struct word word)
{
    if (error->count++ == 0) {
        size_t n = word.size < UEFI_CONFIG_WORD_MAX - 1 ? word.size : UEFI_CONFIG_WORD_MAX - 1;

        memcpy(error->first, word.text, n);
        error->first[n] = 0;
    }
}

void uefi_config_parse(struct uefi_config *config, const char *text, size_t size,
                       struct uefi_config_error *error)
{
    size_t at = 0;

    while (at < size) {
        struct word word, key, value;
        size_t start;

        while (at < size && is_separator(text[at]))
            at++;
        start = at;
        while (at < size && !is_separator(text[at]))
            at++;
        word.text = text + start;
        word.size = at - start;
        value = word;
        if (word.size == 0 || !split(&value, '=', &key))
            continue;
        if (!apply(config, key, value))
            note(error, word);
    }
}

size_t uefi_config_text(char *to, size_t to_size, const uint8_t *bytes, size_t size)
{
    bool wide = size >= 2 && bytes[0] != 0 && bytes[1] == 0;
    size_t step = wide ? 2 : 1;
    size_t n = 0;

    for (size_t at = 0; n < to_size && step <= size - at && at < size; at += step) {
        uint8_t c = bytes[at];

        if (c == 0 && (!wide || bytes[at + 1] == 0))
            break;
        if (c >= 0x7F || (c < ' ' && c != '\t' && c != '\r' && c != '\n') ||
            (wide && bytes[at + 1] != 0))
            c = '?';
        to[n++] = (char)c;
    }
    return n;
}
