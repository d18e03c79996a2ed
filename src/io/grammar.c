/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoint grammar: text to struct endpoint_spec and back. No I/O, no memory. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "number.h"
#include "opener.h"

enum {
    KEEPALIVE_DEFAULT = 10, /* a dead peer is noticed in about 20 s: below a user's patience */
    KEEPALIVE_MAX = 32767,  /* what Linux takes for TCP_KEEPIDLE */
    RETRY_DEFAULT = 2,      /* a rebooting target is back on the line within two seconds */
    RETRY_MAX = 3600,
    BAUD_DEFAULT = 115200,      /* what every KD guide sets */
    UNIX_PATH_MAX = 107,        /* sun_path without its NUL; a longer one would be cut silently */
    PIPE_NAME_MAX = 240,        /* Windows allows 256 with the folder */
    KDNET_PORT_DEFAULT = 50000, /* what Microsoft's guides set */
    VM_NAME_MAX = 400,          /* Hyper-V takes 100 characters, each of at most 4 bytes */
};

#define KIND_BIT(kind) (1u << (kind))
#define KINDS_TCP      (KIND_BIT(ENDPOINT_TCP) | KIND_BIT(ENDPOINT_TCP_LISTEN))
#define KINDS_PIPE     (KIND_BIT(ENDPOINT_PIPE) | KIND_BIT(ENDPOINT_PIPE_LISTEN))
#define KINDS_LISTEN                                                                               \
    (KIND_BIT(ENDPOINT_TCP_LISTEN) | KIND_BIT(ENDPOINT_UNIX_LISTEN) |                              \
     KIND_BIT(ENDPOINT_PIPE_LISTEN))
#define KINDS_RETRY                                                                                \
    (KIND_BIT(ENDPOINT_TCP) | KIND_BIT(ENDPOINT_UNIX) | KIND_BIT(ENDPOINT_PIPE) |                  \
     KIND_BIT(ENDPOINT_SERIAL) | KIND_BIT(ENDPOINT_KDNET_TARGET) | KINDS_VM)
#define KINDS_SERIAL  KIND_BIT(ENDPOINT_SERIAL)
#define KINDS_MODE    KIND_BIT(ENDPOINT_UNIX_LISTEN)
#define KINDS_ACCESS  KIND_BIT(ENDPOINT_PIPE_LISTEN)
#define KINDS_LITERAL (KINDS_PIPE | KINDS_SERIAL) /* a backslash is one, but before a comma */
#define KINDS_HOST    KIND_BIT(ENDPOINT_KDNET_HOST)
#define KINDS_TARGET  KIND_BIT(ENDPOINT_KDNET_TARGET)
#define KINDS_KDNET   (KINDS_HOST | KINDS_TARGET)
#define KINDS_VMBUS   KIND_BIT(ENDPOINT_VMBUS)
#define KINDS_HVSOCK  KIND_BIT(ENDPOINT_HVSOCK)
#define KINDS_VM      (KINDS_VMBUS | KINDS_HVSOCK)
#define KINDS_BODY    (~(KINDS_KDNET | KINDS_VM)) /* more than options follows the kind */

#define PIPE_FOLDER   "\\\\.\\pipe\\"

static const struct kind_name {
    const char *name;
    const char *form;
    const char *example;
    enum endpoint_kind kind;
} kinds[] = {
    {"tcp", ":HOST:PORT", "tcp:192.168.0.7:4555 or tcp:[fe80::1]:4555", ENDPOINT_TCP},
    {"tcp-listen", ":PORT", "tcp-listen:4555 or tcp-listen:0.0.0.0:4555", ENDPOINT_TCP_LISTEN},
    {"unix", ":PATH", "unix:/run/vm/com1.sock", ENDPOINT_UNIX},
    {"unix-listen", ":PATH", "unix-listen:/run/vm/com1.sock", ENDPOINT_UNIX_LISTEN},
    {"pipe", ":NAME", "pipe:\\\\.\\pipe\\windbg", ENDPOINT_PIPE},
    {"pipe-listen", ":NAME", "pipe-listen:\\\\.\\pipe\\windbg", ENDPOINT_PIPE_LISTEN},
    {"serial", ":DEVICE", "serial:/dev/ttyS0,baud=115200 or serial:COM3", ENDPOINT_SERIAL},
    {"pty", ":LINK", "pty:/tmp/com1", ENDPOINT_PTY},
    {"exec", ":COMMAND", "exec:ssh host socat - /dev/ttyS0", ENDPOINT_EXEC},
    {"stdio", "", "stdio", ENDPOINT_STDIO},
    {"vmbus", ":vm=NAME", "vmbus:vm=kd", ENDPOINT_VMBUS},
    {"hvsock", ":vm=NAME", "hvsock:vm=kd", ENDPOINT_HVSOCK},
    {"kdnet-host", ":port=N", "kdnet-host:port=50000,key-file=kdnet.key", ENDPOINT_KDNET_HOST},
    {"kdnet-target", ":host=HOST,port=N",
     "kdnet-target:host=192.168.0.9,port=50000,key-file=kdnet.key", ENDPOINT_KDNET_TARGET},
};

static const struct kind_name fifo_kind = {"fifo", ":PATH", "fifo:/tmp/kd.fifo", ENDPOINT_FIFO};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind_name *kind_entry(enum endpoint_kind kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return &fifo_kind;
}

struct parse {
    struct endpoint_spec *spec;
    const char *text; /* the whole endpoint, for messages */
    char *message;
};

/* Fills in the message: "endpoint 'TEXT': ...". Always KD_E_ARGUMENT. Of KDNET only the kind is
 * repeated: a message ends up in logs, where no key belongs, however its option was spelt. */
__attribute__((format(printf, 2, 3))) static int fail(const struct parse *parse, const char *format,
                                                      ...)
{
    size_t shown = strncmp(parse->text, "kdnet-", 6) ? 100 : strcspn(parse->text, ":,");
    int used = snprintf(parse->message, ENDPOINT_MESSAGE_MAX, "endpoint '%.*s': ", (int)shown,
                        parse->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parse->message + used, ENDPOINT_MESSAGE_MAX - (size_t)used, format, arguments);
    va_end(arguments);
    for (char *c = parse->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?'; /* one line, whatever was in the text */
    return KD_E_ARGUMENT;
}

static bool parse_switch(const char *value, bool *out)
{
    bool on = !*value || !strcmp(value, "on") || !strcmp(value, "1");
    bool off = !strcmp(value, "off") || !strcmp(value, "0");
    if (!on && !off)
        return false;
    *out = on;
    return true;
}

static bool set_nodelay(struct endpoint_spec *spec, const char *value)
{
    return parse_switch(value, &spec->nodelay);
}

static bool set_keepalive(struct endpoint_spec *spec, const char *value)
{
    return parse_number(value, 10, KEEPALIVE_MAX, &spec->keepalive);
}

static bool set_retry(struct endpoint_spec *spec, const char *value)
{
    return parse_number(value, 10, RETRY_MAX, &spec->retry);
}

static const char *const replace_names[] = {
    [ENDPOINT_REPLACE_DEAD] = "dead",
    [ENDPOINT_REPLACE_NEWEST] = "newest",
    [ENDPOINT_REPLACE_NEVER] = "never",
};

static int find_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, names[i]))
            return (int)i;
    return -1;
}

static bool set_replace(struct endpoint_spec *spec, const char *value)
{
    int which = find_name(replace_names, sizeof(replace_names) / sizeof(replace_names[0]), value);
    spec->replace = (enum endpoint_replace)which;
    return which >= 0;
}

static bool set_mode(struct endpoint_spec *spec, const char *value)
{
    return parse_number(value, 8, 0777, &spec->mode);
}

static const char *const access_names[] = {
    [ENDPOINT_ACCESS_USER] = "user",
    [ENDPOINT_ACCESS_ADMINS] = "admins",
    [ENDPOINT_ACCESS_EVERYONE] = "everyone",
};

static bool set_access(struct endpoint_spec *spec, const char *value)
{
    int which = find_name(access_names, sizeof(access_names) / sizeof(access_names[0]), value);
    spec->access = (enum endpoint_access)which;
    return which >= 0;
}

static bool set_baud(struct endpoint_spec *spec, const char *value)
{
    return parse_number(value, 10, 4000000, &spec->baud) && spec->baud > 0;
}

static bool set_data(struct endpoint_spec *spec, const char *value)
{
    spec->data_bits = (uint8_t)(*value - '0');
    return !strcmp(value, "7") || !strcmp(value, "8");
}

static bool set_parity(struct endpoint_spec *spec, const char *value)
{
    spec->parity = *value;
    return !strcmp(value, "none") || !strcmp(value, "even") || !strcmp(value, "odd");
}

static bool set_stop(struct endpoint_spec *spec, const char *value)
{
    spec->stop_bits = (uint8_t)(*value - '0');
    return !strcmp(value, "1") || !strcmp(value, "2");
}

static bool set_rtscts(struct endpoint_spec *spec, const char *value)
{
    return parse_switch(value, &spec->rtscts);
}

static bool set_port(struct endpoint_spec *spec, const char *value)
{
    uint32_t port = 0;
    uint32_t least = spec->kind == ENDPOINT_KDNET_HOST ? 0 : 1;
    if (!parse_number(value, 10, ADDRESS_PORT_MAX, &port) || port < least)
        return false;
    spec->port = (uint16_t)port;
    return true;
}

static bool set_peer_host(struct endpoint_spec *spec, const char *value)
{
    if (!*value || !address_is_host(value))
        return false;
    memcpy(spec->host, value, strlen(value) + 1);
    return true;
}

/* The path shares its place with nothing else of kdnet. */
static bool set_key_file(struct endpoint_spec *spec, const char *value)
{
    memcpy(spec->path, value, strlen(value) + 1); /* fits: no part is longer than the text */
    return *value;
}

static bool set_key(struct endpoint_spec *spec, const char *value)
{
    spec->has_key = kdnet_key_parse(&spec->key, value, NULL) == KD_OK;
    return spec->has_key;
}

static bool set_version(struct endpoint_spec *spec, const char *value)
{
    uint32_t version = 0;
    if (!parse_number(value, 10, UINT8_MAX, &version) || !version)
        return false;
    spec->version = (uint8_t)version;
    return true;
}

static bool set_vm(struct endpoint_spec *spec, const char *value)
{
    size_t size = strlen(value);
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return false;
    memcpy(spec->path, value, size + 1); /* fits: no part is longer than the text */
    return size > 0 && size <= VM_NAME_MAX;
}

static bool set_guid(struct vmbus_guid *guid, const char *value)
{
    return vmbus_guid_parse(guid, value, strlen(value)) && !vmbus_guid_is_zero(guid);
}

static bool set_type(struct endpoint_spec *spec, const char *value)
{
    return set_guid(&spec->type, value);
}

static bool set_instance(struct endpoint_spec *spec, const char *value)
{
    return set_guid(&spec->instance, value);
}

static bool set_pipe_mode(struct endpoint_spec *spec, const char *value)
{
    spec->messages = !strcmp(value, "message");
    return spec->messages || !strcmp(value, "byte");
}

static const char *const framing_names[] = {
    [ENDPOINT_FRAMING_RAW] = "raw",
    [ENDPOINT_FRAMING_WINDBG_UEFI] = "windbg-uefi",
    [ENDPOINT_FRAMING_WINDBG_UEFI_ACK] = "windbg-uefi-ack",
};

static bool set_framing(struct endpoint_spec *spec, const char *value)
{
    int which = find_name(framing_names, sizeof(framing_names) / sizeof(framing_names[0]), value);
    spec->framing = (enum endpoint_framing)which;
    return which >= 0;
}

static const struct option {
    const char *name;
    const char *example;
    unsigned kinds;
    bool (*set)(struct endpoint_spec *spec, const char *value);
} options[] = {
    {"nodelay", "nodelay=on or nodelay=off", KINDS_TCP, set_nodelay},
    {"keepalive", "keepalive=10 (seconds, 0 for off)", KINDS_TCP, set_keepalive},
    {"retry", "retry=2 (seconds, 0 for one attempt only)", KINDS_RETRY, set_retry},
    {"replace", "replace=dead, replace=newest or replace=never", KINDS_LISTEN, set_replace},
    {"mode", "mode=600 (octal)", KINDS_MODE, set_mode},
    {"access", "access=user, access=admins or access=everyone", KINDS_ACCESS, set_access},
    {"baud", "baud=115200", KINDS_SERIAL, set_baud},
    {"data", "data=8 or data=7", KINDS_SERIAL, set_data},
    {"parity", "parity=none, parity=even or parity=odd", KINDS_SERIAL, set_parity},
    {"stop", "stop=1 or stop=2", KINDS_SERIAL, set_stop},
    {"rtscts", "rtscts", KINDS_SERIAL, set_rtscts},
    {"host", "host=192.168.0.9 (where the debugger waits)", KINDS_TARGET, set_peer_host},
    {"bind", "bind=192.168.0.9, bind=* or bind=::1 (an own address)", KINDS_HOST, set_peer_host},
    {"port", "port=50000", KINDS_KDNET, set_port},
    {"key-file", "key-file=kdnet.key", KINDS_KDNET, set_key_file},
    {"key", "key=w.x.y.z (four numbers in base 36)", KINDS_KDNET, set_key},
    {"version", "version=4", KINDS_TARGET, set_version},
    {"vm", "vm=kd (its name or GUID)", KINDS_VM, set_vm},
    {"type", "type=1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4 (a GUID)", KINDS_VMBUS, set_type},
    {"instance", "instance=5a3c61d8-0f72-4e95-b1c4-83d97e20f6b1 (a GUID)", KINDS_VMBUS,
     set_instance},
    {"mode", "mode=byte or mode=message", KINDS_VMBUS, set_pipe_mode},
    {"framing", "framing=raw, framing=windbg-uefi or framing=windbg-uefi-ack", KINDS_VMBUS,
     set_framing},
    {"service", "service=1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4 (a GUID)", KINDS_HVSOCK, set_type},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* "nodelay, keepalive and retry": what this kind of endpoint takes. */
static const char *option_list(enum endpoint_kind kind, char *list, size_t size)
{
    size_t at = 0;
    list[0] = '\0';
    for (size_t i = 0; i < OPTION_COUNT && at < size; i++)
        if (options[i].kinds & KIND_BIT(kind))
            at += (size_t)snprintf(list + at, size - at, "%s%s", at ? ", " : "", options[i].name);
    return at ? list : "none";
}

static int parse_option(const struct parse *parse, char *text)
{
    enum endpoint_kind kind = parse->spec->kind;
    char *value = strchr(text, '=');
    if (value)
        *value++ = '\0';
    char list[128];
    bool of_others = false; /* one name may be an option of two kinds, and mean two things */
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(text, options[i].name) != 0)
            continue;
        of_others = true;
        if (!(options[i].kinds & KIND_BIT(kind)))
            continue;
        if (!options[i].set(parse->spec, value ? value : ""))
            return fail(parse, "option '%s' cannot be '%.60s'; write %s", text,
                        options[i].set == set_key ? "..."
                        : value                   ? value
                                                  : "",
                        options[i].example);
        return KD_OK;
    }
    if (of_others)
        return fail(parse, "option '%s' is not for %s; its options: %s", text,
                    kind_entry(kind)->name, option_list(kind, list, sizeof(list)));
    struct kdnet_key key;
    bool is_key = kdnet_key_parse(&key, text, NULL) == KD_OK;
    return fail(parse, "'%.60s' is no option of %s; its options: %s", is_key ? "..." : text,
                kind_entry(kind)->name, option_list(kind, list, sizeof(list)));
}

/* Copies the part up to the next comma that has no backslash; returns where the next part starts,
 * or NULL at the end. OUT is as large as the whole text. LITERAL: two backslashes are two. */
static const char *next_part(const char *text, bool literal, char *out)
{
    for (; *text && *text != ','; text++) {
        if (*text == '\\' && (text[1] == ',' || (text[1] == '\\' && !literal)))
            text++;
        *out++ = *text;
    }
    *out = '\0';
    return *text ? text + 1 : NULL;
}

static int parse_host_port(const struct parse *parse, const char *part)
{
    struct endpoint_spec *spec = parse->spec;
    char problem[ADDRESS_PROBLEM_MAX];
    if (address_parse(part, spec->kind == ENDPOINT_TCP_LISTEN, spec->host, &spec->port, problem))
        return KD_OK;
    return fail(parse, "%s; for example %s", problem, kind_entry(spec->kind)->example);
}

static int parse_path(const struct parse *parse, const char *part)
{
    struct endpoint_spec *spec = parse->spec;
    size_t size = strlen(part);
    const char *what = spec->kind == ENDPOINT_EXEC ? "command" : "path";
    if (!size)
        return fail(parse, "the %s is missing; for example %s", what,
                    kind_entry(spec->kind)->example);
    bool is_socket = spec->kind == ENDPOINT_UNIX || spec->kind == ENDPOINT_UNIX_LISTEN;
    if (is_socket && size > UNIX_PATH_MAX)
        return fail(parse,
                    "the path has %zu characters, the system allows %d for a socket; "
                    "use a shorter one or change the directory first",
                    size, UNIX_PATH_MAX);
    if (part[size - 1] == '\\' && (KINDS_LITERAL & KIND_BIT(spec->kind)))
        return fail(parse, "the name ends in a backslash; for example %s",
                    kind_entry(spec->kind)->example);
    memcpy(spec->path, part, size + 1); /* fits: no part is longer than the text */
    return KD_OK;
}

/* NAME, \\.\pipe\NAME, and to connect \\HOST\pipe\NAME; kept in the long form. */
static int parse_pipe(const struct parse *parse, const char *part)
{
    struct endpoint_spec *spec = parse->spec;
    const char *example = kind_entry(spec->kind)->example;
    const char *name = part;
    if (!strncmp(part, "\\\\", 2)) {
        const char *folder = strchr(part + 2, '\\');
        if (!folder || folder == part + 2 || strncasecmp(folder, "\\pipe\\", 6) != 0)
            return fail(parse, "a pipe's name is \\\\.\\pipe\\NAME; for example %s", example);
        if (spec->kind == ENDPOINT_PIPE_LISTEN && strncmp(part, "\\\\.\\", 4) != 0)
            return fail(parse, "a pipe can only be made on this machine; for example %s", example);
        name = folder + 6;
    }
    size_t size = strlen(name);
    if (!size || size > PIPE_NAME_MAX || strchr(name, '\\'))
        return fail(parse,
                    "the pipe's name must have 1 to %d characters and no backslash; for example %s",
                    PIPE_NAME_MAX, example);
    const char *folder = name == part ? PIPE_FOLDER : "";
    if (snprintf(spec->path, sizeof(spec->path), "%s%s", folder, part) >= (int)sizeof(spec->path))
        return fail(parse, "the name is too long");
    return KD_OK;
}

static int parse_body(const struct parse *parse, const char *body)
{
    switch (parse->spec->kind) {
    case ENDPOINT_TCP:
    case ENDPOINT_TCP_LISTEN:
        return parse_host_port(parse, body);
    case ENDPOINT_STDIO:
        if (*body)
            return fail(parse, "stdio takes nothing; write stdio");
        return KD_OK;
    case ENDPOINT_PIPE:
    case ENDPOINT_PIPE_LISTEN:
        return parse_pipe(parse, body);
    default:
        return parse_path(parse, body);
    }
}

/* "tcp:HOST:PORT, ... or stdio": what this system has. */
static const char *kind_list(char *list, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < KIND_COUNT && at < size; i++) {
        if (platform_kind_hint(kinds[i].kind))
            continue;
        const char *between = i == KIND_COUNT - 1 ? " or " : at ? ", " : "";
        at +=
            (size_t)snprintf(list + at, size - at, "%s%s%s", between, kinds[i].name, kinds[i].form);
    }
    return list;
}

/* Guesses what was meant by a text that starts with no known kind. */
static int fail_kind(const struct parse *parse, const char *name)
{
    const char *text = parse->text;
    const char *colon = strchr(text, ':');
    uint32_t port = 0;
    if (!strncmp(text, "\\\\", 2))
        return fail(parse, "the kind is missing; did you mean pipe:%.100s?", text);
    if (!strncmp(text, "/dev/", 5))
        return fail(parse, "the kind is missing; did you mean serial:%.100s?", text);
    if (*text == '/' || *text == '.')
        return fail(parse, "the kind is missing; did you mean unix:%.100s?", text);
    if (colon && parse_number(colon + 1, 10, ADDRESS_PORT_MAX, &port))
        return fail(parse, "'%.60s' is no kind of endpoint; did you mean tcp:%.100s?", name, text);
    char list[320];
    return fail(parse, "'%.60s' is no kind of endpoint; use %s", name,
                kind_list(list, sizeof(list)));
}

static int parse_kind(const struct parse *parse, const char **body)
{
    size_t size = strcspn(parse->text, ":,");
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(size < sizeof(name) ? size : sizeof(name) - 1),
             parse->text);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(name, kinds[i].name) != 0)
            continue;
        parse->spec->kind = kinds[i].kind;
        parse->spec->port = endpoint_spec_needs_key(parse->spec) ? KDNET_PORT_DEFAULT : 0;
        bool bare = parse->text[size] != ':';
        if (bare && kinds[i].kind != ENDPOINT_STDIO && kinds[i].kind != ENDPOINT_KDNET_HOST)
            return fail(parse, "nothing follows '%s'; for example %s", name, kinds[i].example);
        *body = parse->text + size + (bare ? 0 : 1);
        return KD_OK;
    }
    return fail_kind(parse, name);
}

static void set_defaults(struct endpoint_spec *spec)
{
    memset(spec, 0, sizeof(*spec));
    spec->nodelay = true; /* a KD packet is a question somebody waits for */
    spec->keepalive = KEEPALIVE_DEFAULT;
    spec->retry = RETRY_DEFAULT;
    spec->replace = ENDPOINT_REPLACE_DEAD;
    spec->mode = 0600; /* a KD port is full control of a machine */
    spec->baud = BAUD_DEFAULT;
    spec->data_bits = 8;
    spec->parity = 'n';
    spec->stop_bits = 1;
    spec->version = KDNET_VERSION_DEFAULT;
}

/* What windbg.efi looks for with this framing. */
static const struct vmbus_guid *default_type(const struct endpoint_spec *spec)
{
    return spec->framing == ENDPOINT_FRAMING_RAW ? &vmbus_kdwire_type : &vmbus_windbg_uefi_type;
}

static const struct vmbus_guid *default_instance(const struct endpoint_spec *spec)
{
    return spec->framing == ENDPOINT_FRAMING_RAW ? &vmbus_kdwire_instance
                                                 : &vmbus_windbg_uefi_instance;
}

static int finish_vm(const struct parse *parse)
{
    struct endpoint_spec *spec = parse->spec;
    if (!*spec->path)
        return fail(parse, "vm= is missing: which virtual machine? For example %s",
                    kind_entry(spec->kind)->example);
    if (vmbus_guid_is_zero(&spec->type))
        spec->type = *default_type(spec);
    if (spec->kind == ENDPOINT_HVSOCK) /* a VM that comes again has left before */
        spec->replace = ENDPOINT_REPLACE_NEWEST;
    if (spec->kind == ENDPOINT_VMBUS && vmbus_guid_is_zero(&spec->instance))
        spec->instance = *default_instance(spec);
    return KD_OK;
}

/* After the options: what must be there, and the defaults of this kind. */
static int finish_kdnet(const struct parse *parse)
{
    struct endpoint_spec *spec = parse->spec;
    bool host = spec->kind == ENDPOINT_KDNET_HOST;
    if (!host && !*spec->host)
        return fail(parse, "host= is missing: where does the debugger wait? For example %s",
                    kind_entry(spec->kind)->example);
    if (host && !*spec->host)
        memcpy(spec->host, "127.0.0.1", sizeof("127.0.0.1"));
    if (spec->has_key && *spec->path)
        return fail(parse, "key= and key-file= exclude each other");
    return KD_OK;
}

int endpoint_parse_any(struct endpoint_spec *spec, const char *text,
                       char message[ENDPOINT_MESSAGE_MAX])
{
    struct parse parse = {spec, text, message};
    const char *rest = text;
    message[0] = '\0';
    set_defaults(spec);
    if (strlen(text) >= ENDPOINT_TEXT_MAX)
        return fail(&parse, "longer than %d characters", ENDPOINT_TEXT_MAX - 1);
    int rc = parse_kind(&parse, &rest);
    if (rc < 0)
        return rc;
    if (spec->kind == ENDPOINT_EXEC)
        return parse_path(&parse, rest);
    bool literal = (KINDS_LITERAL & KIND_BIT(spec->kind)) != 0;
    char part[ENDPOINT_TEXT_MAX];
    bool bare = !(KINDS_BODY & KIND_BIT(spec->kind));
    if (!bare) {
        rest = next_part(rest, literal, part);
        rc = parse_body(&parse, part);
    }
    while (rc >= 0 && rest) {
        rest = next_part(rest, literal, part);
        if (*part || !bare || rest) /* "kdnet-host:" alone has no option */
            rc = parse_option(&parse, part);
    }
    if (rc < 0 || !bare)
        return rc;
    return endpoint_spec_needs_key(spec) ? finish_kdnet(&parse) : finish_vm(&parse);
}

bool endpoint_spec_needs_key(const struct endpoint_spec *spec)
{
    return (KINDS_KDNET & KIND_BIT(spec->kind)) != 0;
}

int endpoint_parse(struct endpoint_spec *spec, const char *text, char message[ENDPOINT_MESSAGE_MAX])
{
    int rc = endpoint_parse_any(spec, text, message);
    const char *hint = platform_kind_hint(spec->kind);
    if (!hint)
        return rc;
    struct parse parse = {spec, text, message};
    return fail(&parse, "%s", hint);
}

bool endpoint_spec_waits(const struct endpoint_spec *spec)
{
    return endpoint_spec_listens(spec) || spec->kind == ENDPOINT_PTY ||
           spec->kind == ENDPOINT_FIFO || endpoint_spec_needs_key(spec) ||
           (KINDS_VM & KIND_BIT(spec->kind)) != 0;
}

int endpoint_parse_live(struct endpoint_spec *spec, const char *text,
                        char message[ENDPOINT_MESSAGE_MAX])
{
    static const char kind[] = "pipe-listen:";
    char whole[ENDPOINT_TEXT_MAX + sizeof(kind)];
    struct parse parse = {spec, text, message};
    bool named = !strncmp(text, kind, sizeof(kind) - 1);
    if (named || platform_kind_hint(ENDPOINT_FIFO)) {
        snprintf(whole, sizeof(whole), "%s%.*s", named ? "" : kind, ENDPOINT_TEXT_MAX, text);
        return endpoint_parse(spec, whole, message);
    }
    set_defaults(spec);
    spec->kind = ENDPOINT_FIFO;
    if (snprintf(spec->path, sizeof(spec->path), "%s", text) >= (int)sizeof(spec->path))
        return fail(&parse, "the path is too long");
    return KD_OK;
}

int endpoint_parse_viewer(struct endpoint_spec *spec, const char *text,
                          char message[ENDPOINT_MESSAGE_MAX])
{
    char whole[ENDPOINT_TEXT_MAX + sizeof("pipe:")];
    if (!platform_kind_hint(ENDPOINT_FIFO))
        return endpoint_parse_live(spec, text, message);
    snprintf(whole, sizeof(whole), "pipe:%.*s", ENDPOINT_TEXT_MAX, text);
    return endpoint_parse(spec, whole, message);
}

bool endpoint_spec_listens(const struct endpoint_spec *spec)
{
    return (KINDS_LISTEN & KIND_BIT(spec->kind)) != 0;
}

bool endpoint_spec_is_called(const struct endpoint_spec *spec)
{
    return endpoint_spec_listens(spec) || spec->kind == ENDPOINT_KDNET_HOST;
}

/* Text that grows to the end of a buffer and then stops. */
struct line {
    char *text;
    size_t size, at;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    if (line->at >= line->size)
        return;
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(line->text + line->at, line->size - line->at, format, arguments);
    va_end(arguments);
    line->at += used > 0 ? (size_t)used : 0;
}

static void add_path(struct line *line, const char *path, bool literal)
{
    for (; *path; path++)
        add(line, *path == ',' || (*path == '\\' && !literal) ? "\\%c" : "%c", *path);
}

static void add_options(struct line *line, const struct endpoint_spec *spec)
{
    unsigned bit = KIND_BIT(spec->kind);
    if ((KINDS_TCP & bit) && !spec->nodelay)
        add(line, ",nodelay=off");
    if ((KINDS_TCP & bit) && spec->keepalive != KEEPALIVE_DEFAULT)
        add(line, ",keepalive=%" PRIu32, spec->keepalive);
    if ((KINDS_RETRY & bit) && spec->retry != RETRY_DEFAULT)
        add(line, ",retry=%" PRIu32, spec->retry);
    if ((KINDS_LISTEN & bit) && spec->replace != ENDPOINT_REPLACE_DEAD)
        add(line, ",replace=%s", replace_names[spec->replace]);
    if ((KINDS_MODE & bit) && spec->mode != 0600)
        add(line, ",mode=%" PRIo32, spec->mode);
    if ((KINDS_ACCESS & bit) && spec->access != ENDPOINT_ACCESS_USER)
        add(line, ",access=%s", access_names[spec->access]);
    if (!(KINDS_SERIAL & bit))
        return;
    add(line, ",baud=%" PRIu32, spec->baud);
    if (spec->data_bits != 8)
        add(line, ",data=%u", spec->data_bits);
    if (spec->parity != 'n')
        add(line, ",parity=%s", spec->parity == 'e' ? "even" : "odd");
    if (spec->stop_bits != 1)
        add(line, ",stop=%u", spec->stop_bits);
    if (spec->rtscts)
        add(line, ",rtscts");
}

static void add_kdnet(struct line *line, const struct endpoint_spec *spec)
{
    bool host = spec->kind == ENDPOINT_KDNET_HOST;
    if (!host)
        add(line, ":host=%s,port=%u", spec->host, spec->port);
    else if (strcmp(spec->host, "127.0.0.1") != 0)
        add(line, ":port=%u,bind=%s", spec->port, spec->host);
    else
        add(line, ":port=%u", spec->port);
    if (spec->version != KDNET_VERSION_DEFAULT && !host)
        add(line, ",version=%u", spec->version);
    if (*spec->path) {
        add(line, ",key-file=");
        add_path(line, spec->path, false);
    }
}

static void add_guid(struct line *line, const char *name, const struct vmbus_guid *guid,
                     const struct vmbus_guid *unless)
{
    char text[VMBUS_GUID_TEXT];
    vmbus_guid_text(guid, text);
    if (!vmbus_guid_equal(guid, unless))
        add(line, ",%s=%s", name, text);
}

static void add_vm(struct line *line, const struct endpoint_spec *spec)
{
    add(line, ":vm=");
    add_path(line, spec->path, false);
    if (spec->kind == ENDPOINT_HVSOCK) {
        add_guid(line, "service", &spec->type, &vmbus_kdwire_type);
        return;
    }
    add_guid(line, "type", &spec->type, default_type(spec));
    add_guid(line, "instance", &spec->instance, default_instance(spec));
    if (spec->messages)
        add(line, ",mode=message");
    if (spec->framing != ENDPOINT_FRAMING_RAW)
        add(line, ",framing=%s", framing_names[spec->framing]);
}

const char *endpoint_spec_text(const struct endpoint_spec *spec, char *text, size_t size)
{
    struct line line = {text, size, 0};
    if (size)
        text[0] = '\0';
    add(&line, "%s", kind_entry(spec->kind)->name);
    switch (spec->kind) {
    case ENDPOINT_TCP:
    case ENDPOINT_TCP_LISTEN:
        add(&line, strchr(spec->host, ':') ? ":[%s]:%u" : ":%s:%u", spec->host, spec->port);
        break;
    case ENDPOINT_STDIO:
        break;
    case ENDPOINT_KDNET_HOST:
    case ENDPOINT_KDNET_TARGET:
        add_kdnet(&line, spec);
        break;
    case ENDPOINT_VMBUS:
    case ENDPOINT_HVSOCK:
        add_vm(&line, spec);
        break;
    case ENDPOINT_EXEC:
        add(&line, ":%s", spec->path);
        return text;
    default:
        add(&line, ":");
        add_path(&line, spec->path, (KINDS_LITERAL & KIND_BIT(spec->kind)) != 0);
        break;
    }
    add_options(&line, spec);
    return text;
}
