/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of commands, what their arguments are made of, and the small ones. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "debug/debug.h"

/* ---- arguments ---- */

bool args_end(struct args *args)
{
    while (*args->at == ' ' || *args->at == '\t' || *args->at == ',')
        args->at++;
    return *args->at == '\0';
}

bool args_done(struct debug *d, struct args *args, const char *command)
{
    return args_end(args) || debug_fail(d, "'%.20s' is too much for %s", args->at, command);
}

static struct expr_names names_of(struct debug *d)
{
    struct expr_names names = {debug_register, debug_symbol, NULL, d};
    return names;
}

static bool read_memory(void *context, uint64_t address, uint8_t *to, size_t size)
{
    struct debug *d = context;
    return debug_stopped(d) && session_read(&d->session, address, to, size);
}

static bool evaluate(struct debug *d, struct args *args, bool spaces, uint64_t *value)
{
    char message[EXPR_MESSAGE_MAX];
    struct expr_names names = names_of(d);
    names.read = read_memory;
    if (!expr_eval(&names, &args->at, spaces, value, message))
        return debug_fail(d, "%s", message);
    return true;
}

bool args_value(struct debug *d, struct args *args, uint64_t *value)
{
    if (args_end(args))
        return debug_fail(d, "an address or number is missing");
    if (!evaluate(d, args, false, value))
        return false;
    if (*args->at != '\0' && strchr(" \t,\"", *args->at) == NULL)
        return debug_fail(d, "'%.20s' does not belong there", args->at);
    return true;
}

bool args_word(struct args *args, char *word, size_t size)
{
    size_t length = 0;
    args_end(args);
    while (args->at[length] != '\0' && args->at[length] != ' ' && args->at[length] != '\t')
        length++;
    if (length >= size)
        return false;
    memcpy(word, args->at, length);
    word[length] = '\0';
    args->at += length;
    return true;
}

/* ---- small commands ---- */

static const char *machine_text(uint16_t type)
{
    return type == KD_MACHINE_AMD64   ? "amd64"
           : type == KD_MACHINE_I386  ? "x86"
           : type == KD_MACHINE_ARM64 ? "ARM64"
                                      : "an unknown machine";
}

static const char *kind_text(uint8_t kind)
{
    static const char *const kinds[] = {"NT kernel",     "Xbox",  "BIG", "EXDI",
                                        "boot debugger", "EFI",   "TNT", "Singularity",
                                        "hypervisor",    "Midori"};
    return kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : "unknown kind";
}

static bool cmd_vertarget(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    (void)args;
    if (!debug_refresh(d, false))
        return false;
    const struct kd_debugger_version *v = &d->version;
    uint32_t cpus = kd_debugger_stop(&d->session.debugger)->cpu_count;
    say_text(&d->say, "%s, build %u (%s build), %s, %u processor%s\n",
             kind_text((uint8_t)(v->major >> 8)), v->minor,
             (v->major & 0xFF) == 0x0C ? "checked" : "free", machine_text(v->machine_type), cpus,
             cpus == 1 ? "" : "s");
    say_text(&d->say, "KD protocol %u.%u, flags 0x%x, Major 0x%x\n", v->protocol, v->secondary,
             v->flags, v->major);
    say_text(&d->say, "Kernel base = %s  PsLoadedModuleList = %s  DebuggerDataList = %s\n",
             say_address(v->kernel_base), say_address(v->loaded_module_list),
             say_address(v->debugger_data_list));
    say_hex(&d->say, "major", v->major);
    say_int(&d->say, "build", v->minor);
    say_int(&d->say, "protocol", v->protocol);
    say_hex(&d->say, "flags", v->flags);
    say_string(&d->say, "machine", machine_text(v->machine_type));
    say_int(&d->say, "processors", cpus);
    say_hex(&d->say, "kernel_base", v->kernel_base);
    say_hex(&d->say, "loaded_module_list", v->loaded_module_list);
    say_hex(&d->say, "debugger_data_list", v->debugger_data_list);
    return true;
}

static bool cmd_evaluate(struct debug *d, const char *name, struct args *args)
{
    uint64_t value = 0;
    (void)name;
    if (!evaluate(d, args, true, &value))
        return false;
    if (!args_end(args))
        return debug_fail(d, "'%.20s' does not belong there", args->at);
    say_text(&d->say, "Evaluate expression: %lld = %s\n", (long long)value, say_address(value));
    say_hex(&d->say, "value", value);
    return true;
}

static bool cmd_echo(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    args_end(args);
    say_text(&d->say, "%s\n", args->at);
    args->at += strlen(args->at);
    return true;
}

static bool cmd_sleep(struct debug *d, const char *name, struct args *args)
{
    char *end = NULL;
    args_end(args);
    long milliseconds = strtol(args->at, &end, 10);
    if (end == args->at || milliseconds < 0)
        return debug_fail(d, ".sleep takes a number of milliseconds");
    args->at = end;
    if (!args_done(d, args, name))
        return false;
    uint64_t until = session_now(&d->session) / 1000 + (uint64_t)milliseconds, now;
    while ((now = session_now(&d->session) / 1000) < until) {
        /* Stops are dealt with meanwhile: at a module's the target would stand still. */
        int result = session_wait(&d->session, (int64_t)(until - now), session_until_stop);
        d->session.lost = false;
        if (result == KD_E_CANCELLED)
            return debug_fail(d, "interrupted");
        if (result == KD_E_CLOSED)
            return debug_fail(d, "the connection has ended: %s", d->session.reason);
        if (d->session.stop_waiting)
            debug_handle_stop(d);
    }
    return true;
}

static bool msr_number(struct debug *d, struct args *args, uint32_t *msr)
{
    uint64_t number = 0;
    if (!args_value(d, args, &number))
        return false;
    *msr = (uint32_t)number;
    return number <= UINT32_MAX || debug_fail(d, "an MSR number has 32 bits");
}

static bool cmd_msr(struct debug *d, const char *name, struct args *args)
{
    struct session *s = &d->session;
    uint32_t msr = 0;
    uint64_t value = 0;
    if (!msr_number(d, args, &msr))
        return false;
    if (name[0] == 'w') {
        if (!args_value(d, args, &value) || !args_done(d, args, name))
            return false;
        int result = session_finish(
            s, kd_debugger_write_msr(&s->debugger, session_now(s), d->cpu, msr, value));
        return result >= 0 || debug_fail_request(d, "the MSR cannot be written", result);
    }
    int result = session_finish(s, kd_debugger_read_msr(&s->debugger, session_now(s), d->cpu, msr));
    if (result < 0)
        return debug_fail_request(d, "the MSR cannot be read", result);
    say_text(&d->say, "msr[%x] = %s\n", msr, say_address(s->result.value));
    say_hex(&d->say, "msr", msr);
    say_hex(&d->say, "value", s->result.value);
    return true;
}

static bool cmd_port(struct debug *d, const char *name, struct args *args)
{
    struct session *s = &d->session;
    uint32_t size = name[1] == 'b' ? 1 : name[1] == 'w' ? 2 : 4;
    uint64_t port = 0, value = 0;
    if (!args_value(d, args, &port))
        return false;
    if (port > 0xFFFF)
        return debug_fail(d, "a port number has 16 bits");
    if (name[0] == 'o') {
        if (!args_value(d, args, &value) || !args_done(d, args, name))
            return false;
        if (value >> (8 * size) != 0)
            return debug_fail(d, "%llx does not fit into %u bytes", (unsigned long long)value,
                              size);
        int result = session_finish(
            s, kd_debugger_write_io(&s->debugger, session_now(s), port, size, (uint32_t)value));
        return result >= 0 || debug_fail_request(d, "the port cannot be written", result);
    }
    int result = session_finish(s, kd_debugger_read_io(&s->debugger, session_now(s), port, size));
    if (result < 0)
        return debug_fail_request(d, "the port cannot be read", result);
    say_text(&d->say, "%04x: %0*llx\n", (unsigned)port, (int)size * 2,
             (unsigned long long)s->result.value);
    say_hex(&d->say, "port", port);
    say_hex(&d->say, "value", s->result.value);
    return true;
}

static bool cmd_reboot(struct debug *d, const char *name, struct args *args)
{
    struct session *s = &d->session;
    if (!args_done(d, args, name))
        return false;
    /* Before: its first modules may be reported before the request has ended. */
    debug_forget_target(d);
    int result = session_finish(s, kd_debugger_reboot(&s->debugger, session_now(s)));
    return result >= 0 || debug_fail_request(d, "the target does not reboot", result);
}

static bool cmd_processor(struct debug *d, const char *name, struct args *args)
{
    struct session *s = &d->session;
    char *end = NULL;
    (void)args;
    unsigned long cpu = strtoul(name + 1, &end, 10);
    if (end == name + 1 || strcasecmp(end, "s") != 0)
        return debug_fail(d, "~ switches the processor: ~1s");
    uint32_t count = kd_debugger_stop(&s->debugger)->cpu_count;
    if (cpu >= count)
        return debug_fail(d, "the target has %u processor%s, 0 to %u", count, count == 1 ? "" : "s",
                          count - 1);
    int result = session_finish(
        s, kd_debugger_switch_processor(&s->debugger, session_now(s), (uint16_t)cpu));
    if (result < 0)
        return debug_fail_request(d, "the processor cannot be switched", result);
    return debug_wait_stop(d, 1000ll * d->timeout_s);
}

static bool cmd_exceptions(struct debug *d, const char *name, struct args *args)
{
    char word[DEBUG_PATTERN_MAX + 8] = "";
    bool stop = name[2] == 'e';
    args_end(args);
    if (!args_word(args, word, sizeof word) || strncmp(word, "ld", 2) != 0 ||
        (word[2] != '\0' && word[2] != ':'))
        return debug_fail(d, "%s knows ld (module loads): %s ld:NAME", name, name);
    const char *pattern = word[2] == ':' ? word + 3 : "";
    d->load_any = stop && pattern[0] == '\0';
    snprintf(d->load_pattern, sizeof d->load_pattern, "%.*s", DEBUG_PATTERN_MAX - 1,
             stop ? pattern : "");
    char *dot = strrchr(d->load_pattern, '.');
    if (dot != NULL && dot != d->load_pattern)
        *dot = '\0'; /* names of modules are without extension */
    return true;
}

static bool cmd_quit(struct debug *d, const char *name, struct args *args)
{
    (void)args;
    d->quit = true;
    return debug_leave(d, name[1] == 'd');
}

static debug_command cmd_help;

/* ---- the table ---- */

enum {
    NEEDS_STOP = 1, /* a script waits for it, a person is told */
};

static const struct command {
    const char *name;
    debug_command *run;
    unsigned flags;
    const char *help;
} commands[] = {
    {"vertarget", cmd_vertarget, NEEDS_STOP, "version of the target"},
    {"lm", cmd_modules, NEEDS_STOP, "[v] [m PATTERN] modules"},
    {"lmv", cmd_modules, NEEDS_STOP, NULL},
    {"lmm", cmd_modules, NEEDS_STOP, NULL},
    {"lmvm", cmd_modules, NEEDS_STOP, NULL},
    {".reload", cmd_reload, NEEDS_STOP, "read the list of modules again"},
    {"r", cmd_registers, NEEDS_STOP, "[REG [= VALUE]] registers"},
    {"rM", cmd_registers, NEEDS_STOP,
     "MASK registers by kind: 1 integer 4 float 8 segment 20 debug 40 xmm 80 control 100 tables"},
    {"k", cmd_stack, NEEDS_STOP, "[FRAMES] stack; (?) marks what is a guess"},
    {"d", cmd_dump, NEEDS_STOP, NULL},
    {"db", cmd_dump, NEEDS_STOP, "[ADDRESS [END | L COUNT]] memory as bytes"},
    {"dw", cmd_dump, NEEDS_STOP, "  as words"},
    {"dd", cmd_dump, NEEDS_STOP, "  as double words"},
    {"dq", cmd_dump, NEEDS_STOP, "  as quad words"},
    {"da", cmd_dump, NEEDS_STOP, "  as 8-bit text"},
    {"du", cmd_dump, NEEDS_STOP, "  as UTF-16 text"},
    {"eb", cmd_enter, NEEDS_STOP, "ADDRESS VALUE... | \"text\" write bytes"},
    {"ew", cmd_enter, NEEDS_STOP, "  words"},
    {"ed", cmd_enter, NEEDS_STOP, "  double words"},
    {"eq", cmd_enter, NEEDS_STOP, "  quad words"},
    {"s", cmd_search, NEEDS_STOP, "[-b|-w|-d|-q|-a|-u] ADDRESS L COUNT PATTERN search"},
    {"f", cmd_fill, NEEDS_STOP, "ADDRESS L COUNT BYTES fill"},
    {"bp", cmd_breakpoint, NEEDS_STOP, "ADDRESS set a breakpoint"},
    {"ba", cmd_breakpoint, NEEDS_STOP, "e1|w4|r4|i1 ADDRESS break on access (1, 2, 4, 8 bytes)"},
    {"bl", cmd_breakpoint_list, NEEDS_STOP, "list breakpoints"},
    {"bc", cmd_breakpoint_change, NEEDS_STOP, "N...|* clear"},
    {"bd", cmd_breakpoint_change, NEEDS_STOP, "N...|* disable"},
    {"be", cmd_breakpoint_change, NEEDS_STOP, "N...|* enable"},
    {"g", cmd_go, NEEDS_STOP, "[ADDRESS] go"},
    {"gh", cmd_go, NEEDS_STOP, "  exception handled"},
    {"gn", cmd_go, NEEDS_STOP, "  exception not handled"},
    {"t", cmd_step, NEEDS_STOP, "[COUNT] step"},
    {"p", cmd_step, NEEDS_STOP, "[COUNT] step over calls"},
    {"pt", cmd_step, NEEDS_STOP, "step to the next return"},
    {".break", cmd_break, 0, "stop the target (or Ctrl-C)"},
    {".wait", cmd_wait, 0, "[SECONDS] wait for the next stop"},
    {".reboot", cmd_reboot, NEEDS_STOP, "reboot the target"},
    {"sxe", cmd_exceptions, 0, "ld[:NAME] stop when a module is loaded"},
    {"sxd", cmd_exceptions, 0, "ld do not"},
    {"rdmsr", cmd_msr, NEEDS_STOP, "MSR"},
    {"!msr", cmd_msr, NEEDS_STOP, NULL},
    {"wrmsr", cmd_msr, NEEDS_STOP, "MSR VALUE"},
    {"ib", cmd_port, NEEDS_STOP, "PORT read a port (iw, id)"},
    {"iw", cmd_port, NEEDS_STOP, NULL},
    {"id", cmd_port, NEEDS_STOP, NULL},
    {"ob", cmd_port, NEEDS_STOP, "PORT VALUE write a port (ow, od)"},
    {"ow", cmd_port, NEEDS_STOP, NULL},
    {"od", cmd_port, NEEDS_STOP, NULL},
    {"?", cmd_evaluate, NEEDS_STOP, "EXPRESSION evaluate"},
    {"~", cmd_processor, NEEDS_STOP, "~Ns: switch to processor N"},
    {".echo", cmd_echo, 0, "TEXT"},
    {".sleep", cmd_sleep, 0, "MILLISECONDS"},
    {".help", cmd_help, 0, "this list"},
    {"q", cmd_quit, 0, "quit: breakpoints are removed, the target stays as it is"},
    {"qd", cmd_quit, 0, "quit and let the target run"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static bool cmd_help(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    (void)args;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].help != NULL)
            say_text(&d->say, "%-9s %s\n", commands[i].name, commands[i].help);
    }
    say_text(&d->say, "Numbers are hex: 10, 0n16, fffff800`00001000, @rip, hello+0x10, poi(rsp)\n");
    return true;
}

const char *const *debug_command_names(void)
{
    static const char *names[COMMANDS + 1];
    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    return names;
}

/* Letters are alike, as in WinDbg, but for its floating point dump. */
static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcasecmp(commands[i].name, name) == 0 && strcmp(name, "dD") != 0)
            return &commands[i];
    }
    return NULL;
}

/* Takes the command's name off the text; a name ends with a blank, but "?1+2" and "~1s" do not. */
static const struct command *take_name(const char **text, char *name, size_t size)
{
    size_t length = strcspn(*text, " \t");
    if (**text == '?')
        length = 1;
    if (length >= size)
        length = size - 1;
    memcpy(name, *text, length);
    name[length] = '\0';
    *text += length;
    return name[0] == '~' ? find_command("~") : find_command(name);
}

static bool run_named(struct debug *d, const char *text)
{
    char name[64];
    const struct command *command = take_name(&text, name, sizeof name);
    if (command == NULL)
        return debug_fail(d, "there is no command '%s'; .help lists them", name);
    if ((command->flags & NEEDS_STOP) != 0 && (!debug_stopped(d) || d->session.stop_waiting)) {
        if (d->interactive && !d->session.up)
            return debug_fail(d, "not connected: %s; trying again until it comes back",
                              d->session.reason);
        if (d->interactive)
            return debug_fail(d, "the target is running: stop it with Ctrl-C or .break");
        if (!debug_wait_stop(d, 1000ll * d->timeout_s))
            return false;
    }
    bool waits =
        command->run == cmd_quit && d->after_go && (!debug_stopped(d) || d->session.stop_waiting);
    if (waits && !debug_wait_stop(d, 1000ll * d->timeout_s))
        return false;
    struct args args = {text};
    if (name[0] != '~') /* whose name is part of its arguments */
        snprintf(name, sizeof name, "%s", command->name);
    if (!command->run(d, name, &args))
        return false;
    d->after_go = command->run == cmd_go;
    return command->run == cmd_reload || args_done(d, &args, name);
}

static bool run_one(struct debug *d, const char *text)
{
    /* Ctrl-C pressed between two commands is for the next that waits: it is not forgotten here. */
    d->error[0] = '\0';
    bool nested = d->command_depth > 1;
    if (!nested)
        say_begin(&d->say, text);
    bool good = run_named(d, text);
    if (!nested)
        say_end(&d->say, good ? NULL : d->error);
    return good;
}

bool debug_execute(struct debug *d, const char *line)
{
    bool good = true;
    char one[DEBUG_LINE_MAX];
    d->command_depth++;
    d->after_go = false;
    while (good && *line != '\0' && !d->quit && !d->session.terminated) {
        while (*line == ' ' || *line == '\t' || *line == ';')
            line++;
        if (*line == '\0' || *line == '*' || strncmp(line, "$$", 2) == 0)
            break;
        size_t length = 0;
        bool quote = false;
        while (line[length] != '\0' && (quote || line[length] != ';')) {
            quote ^= line[length] == '"';
            length++;
        }
        if (length >= sizeof one) {
            good = debug_fail(d, "a command is longer than %d characters", DEBUG_LINE_MAX - 1);
            break;
        }
        memcpy(one, line, length);
        line += length;
        while (length > 0 && isspace((unsigned char)one[length - 1]))
            length--;
        one[length] = '\0';
        good = run_one(d, one);
    }
    d->command_depth--;
    return good;
}
