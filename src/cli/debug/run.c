/* SPDX-License-Identifier: BSD-2-Clause */
/* b*, g*, t, p, pt, k, .break, .wait */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug/debug.h"
#include "debug/unwind.h"
#include "debug/x86.h"

enum {
    STEPS_MAX = 100000,     /* of one pt; a function of straight code is far shorter */
    RECURSION_MAX = 100000, /* returns to the place behind a call that belong to other calls */
    FRAMES_DEFAULT = 0x40,
    FRAMES_MAX = 0x1000,
};

/* ---- breakpoints ---- */

static bool add_breakpoint(struct debug *d, const struct breakpoint *new)
{
    unsigned hardware = 0;
    int place = -1;
    for (int i = DEBUG_BREAKPOINTS_MAX - 1; i >= 0; i--) {
        const struct breakpoint *b = &d->breakpoints[i];
        if (!b->used)
            place = i;
        else if (b->hardware)
            hardware++;
        if (b->used && b->address == new->address && b->hardware == new->hardware &&
            b->access == new->access)
            return debug_fail(d, "breakpoint %d is there already", i);
    }
    if (place < 0)
        return debug_fail(d, "there are %d breakpoints already; bc removes one",
                          DEBUG_BREAKPOINTS_MAX);
    if (new->hardware && hardware >= DEBUG_HARDWARE_MAX)
        return debug_fail(d, "the processor has %d debug registers, all are in use; bc removes one",
                          DEBUG_HARDWARE_MAX);
    d->breakpoints[place] = *new;
    say_int(&d->say, "breakpoint", place);
    return true;
}

static bool hardware_kind(struct debug *d, struct args *args, struct breakpoint *b)
{
    args_end(args);
    b->access = *args->at;
    if (b->access == '\0' || strchr("erwi", b->access) == NULL)
        return debug_fail(d, "ba needs e, r, w or i and a size: ba w4 ADDRESS");
    args->at++;
    b->size = b->access == 'e' ? 1 : 0;
    if (*args->at >= '1' && *args->at <= '8')
        b->size = (unsigned)(*args->at++ - '0');
    if (b->size != 1 && b->size != 2 && b->size != 4 && b->size != 8)
        return debug_fail(d, "ba's size is 1, 2, 4 or 8: ba w4 ADDRESS");
    if (b->access == 'e' && b->size != 1)
        return debug_fail(d, "an execution breakpoint has size 1: ba e1 ADDRESS");
    return true;
}

bool cmd_breakpoint(struct debug *d, const char *name, struct args *args)
{
    struct breakpoint b = {.used = true, .enabled = true};
    b.hardware = name[1] == 'a';
    if (b.hardware && !hardware_kind(d, args, &b))
        return false;
    if (args_end(args))
        return debug_fail(d, "%s needs an address", name);
    if (!args_value(d, args, &b.address) || !args_done(d, args, name))
        return false;
    if (b.hardware && b.address % b.size != 0)
        return debug_fail(d, "%s is not a multiple of the size %u", say_address(b.address), b.size);
    if (!b.hardware) {
        uint8_t byte;
        if (!session_read(&d->session, b.address, &byte, 1))
            return debug_fail(d, "there is no memory at %s", say_address(b.address));
    }
    return add_breakpoint(d, &b);
}

bool cmd_breakpoint_list(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    (void)args;
    say_open(&d->say, "breakpoints", '[');
    for (int i = 0; i < DEBUG_BREAKPOINTS_MAX; i++) {
        const struct breakpoint *b = &d->breakpoints[i];
        char where[KD_MODULE_PATH_MAX + 32], kind[8] = "";
        if (!b->used)
            continue;
        if (b->hardware)
            snprintf(kind, sizeof kind, " %c%u", b->access, b->size);
        debug_location(d, b->address, where, sizeof where);
        say_text(&d->say, "%2d %c%s %s  hits %u  %s\n", i, b->enabled ? 'e' : 'd', kind,
                 say_address(b->address), b->hits, where);
        say_open(&d->say, NULL, '{');
        say_int(&d->say, "number", i);
        say_bool(&d->say, "enabled", b->enabled);
        say_string(&d->say, "kind", b->hardware ? kind + 1 : "software");
        say_hex(&d->say, "address", b->address);
        say_int(&d->say, "hits", b->hits);
        say_string(&d->say, "location", where);
        say_close(&d->say, '}');
    }
    say_close(&d->say, ']');
    return true;
}

static void change(struct debug *d, const char *name, int from, int to)
{
    for (int i = from; i <= to; i++) {
        struct breakpoint *b = &d->breakpoints[i];
        if (!b->used)
            continue;
        if (name[1] == 'c')
            b->used = false;
        else
            b->enabled = name[1] == 'e';
    }
}

/* The numbers of breakpoints, decimal as bl writes them: 1 3-5,7. With NAME they are changed. */
static bool each_number(struct debug *d, struct args args, const char *name)
{
    while (!args_end(&args)) {
        char *end;
        unsigned long to, from = strtoul(args.at, &end, 10);
        if (!isdigit((unsigned char)*args.at))
            return debug_fail(d, "'%.20s' is no breakpoint's number; bl lists them", args.at);
        to = from;
        if (*end == '-' && isdigit((unsigned char)end[1]))
            to = strtoul(end + 1, &end, 10);
        if (*end != '\0' && strchr(" \t,", *end) == NULL)
            return debug_fail(d, "'%.20s' is no breakpoint's number; bl lists them", args.at);
        if (from >= DEBUG_BREAKPOINTS_MAX || to >= DEBUG_BREAKPOINTS_MAX || to < from)
            return debug_fail(d, "there is no breakpoint %.*s; bl lists them", (int)(end - args.at),
                              args.at);
        if (from == to && !d->breakpoints[from].used)
            return debug_fail(d, "there is no breakpoint %lu; bl lists them", from);
        if (name != NULL)
            change(d, name, (int)from, (int)to);
        args.at = end;
    }
    return true;
}

bool cmd_breakpoint_change(struct debug *d, const char *name, struct args *args)
{
    if (args_end(args))
        return debug_fail(d, "%s needs a number, or * for all; bl lists them", name);
    if (*args->at == '*') {
        args->at++;
        if (!args_done(d, args, name))
            return false;
        change(d, name, 0, DEBUG_BREAKPOINTS_MAX - 1);
        return true;
    }
    bool good = each_number(d, *args, NULL) && each_number(d, *args, name);
    args->at += strlen(args->at);
    return good;
}

/* ---- g, t, p, pt ---- */

/* At a terminal the command ends with the stop; a script goes on and waits where it must. */
static bool wait_after_go(struct debug *d)
{
    return !d->interactive || debug_wait_stop(d, -1);
}

bool cmd_go(struct debug *d, const char *name, struct args *args)
{
    struct breakpoint temporary = {.used = true, .enabled = true};
    uint32_t status = debug_default_status(d);
    bool until = !args_end(args);
    if (name[1] == 'h')
        status = KD_DBG_EXCEPTION_HANDLED;
    else if (name[1] == 'n')
        status = KD_DBG_EXCEPTION_NOT_HANDLED;
    if (until && !args_value(d, args, &temporary.address))
        return false;
    if (!args_done(d, args, name))
        return false;
    return debug_go(d, status, until ? &temporary : NULL) && wait_after_go(d);
}

static bool instruction_at_pc(struct debug *d, struct x86_instruction *instruction)
{
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    uint8_t code[X86_LENGTH_MAX];
    if (!debug_context(d))
        return false;
    uint64_t rip = debug_rip(d);
    if (stop->program_counter == rip &&
        x86_decode(instruction, stop->instructions, stop->instruction_count) == KD_OK)
        return true;
    size_t size = sizeof code, to_page = (size_t)(0x1000 - rip % 0x1000);
    if (!session_read(&d->session, rip, code, size)) {
        size = to_page < size ? to_page : size;
        if (!session_read(&d->session, rip, code, size))
            return debug_fail(d, "the code at %s cannot be read", say_address(rip));
    }
    return x86_decode(instruction, code, size) == KD_OK ||
           debug_fail(d, "the bytes at %s are no instruction", say_address(rip));
}

/* Runs to the instruction behind a call: in this call's frame, not a deeper one's. */
static bool step_call(struct debug *d, uint64_t next, bool quiet)
{
    uint64_t rsp = KD_GET(d->context, ContextAmd64, Rsp);
    struct breakpoint temporary = {.used = true, .enabled = true, .address = next};
    int64_t timeout = d->interactive ? -1 : 1000ll * d->timeout_s;
    for (unsigned i = 0; i < RECURSION_MAX; i++) {
        d->quiet_stop = true;
        bool good = debug_go(d, debug_default_status(d), &temporary) && debug_wait_stop(d, timeout);
        d->quiet_stop = false;
        if (!good || !debug_context(d))
            return false;
        bool there = debug_rip(d) == next;
        if (there && KD_GET(d->context, ContextAmd64, Rsp) < rsp)
            continue;
        if (!there || !quiet) {
            /* Told now because the stops in between were not. */
            d->session.stop_waiting = true;
            d->temporary.used = there;
            return debug_handle_stop(d);
        }
        return true;
    }
    return debug_fail(d, "the call does not come back");
}

static bool step_over(struct debug *d, bool quiet)
{
    struct x86_instruction instruction = {0, X86_OTHER};
    if (!instruction_at_pc(d, &instruction))
        return debug_step(d, quiet);
    if (instruction.kind == X86_CALL || instruction.kind == X86_REPEAT)
        return step_call(d, debug_rip(d) + instruction.length, quiet);
    return debug_step(d, quiet);
}

static bool step_to_return(struct debug *d)
{
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        struct x86_instruction instruction = {0, X86_OTHER};
        if (!step_over(d, true) || !instruction_at_pc(d, &instruction))
            return false;
        const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
        bool strange = stop->kind != KD_STOP_EXCEPTION ||
                       (stop->code != KD_STATUS_SINGLE_STEP && stop->code != KD_STATUS_BREAKPOINT);
        if (instruction.kind == X86_RETURN || strange) {
            d->session.stop_waiting = true;
            return debug_handle_stop(d);
        }
        if (d->session.interrupts > 0)
            return debug_fail(d, "interrupted");
    }
    return debug_fail(d, "no return within %d steps", STEPS_MAX);
}

/* Whether the last step came to its own end: not to an exception or a breakpoint on its way, where
 * the steps that are left would start anew and repeat it. */
static bool step_completed(struct debug *d)
{
    enum { INT3 = 0xCC };
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    if (stop->kind != KD_STOP_EXCEPTION || d->last_hit >= 0)
        return false;
    if (stop->code != KD_STATUS_BREAKPOINT)
        return stop->code == KD_STATUS_SINGLE_STEP;
    /* Behind a call, or past an int3 that the debugger skipped; not an int3 just reached. */
    return debug_context(d) && (debug_rip(d) != stop->program_counter ||
                                stop->instruction_count == 0 || stop->instructions[0] != INT3);
}

bool cmd_step(struct debug *d, const char *name, struct args *args)
{
    uint64_t count = 1;
    if (strcmp(name, "pt") == 0)
        return args_done(d, args, name) && step_to_return(d);
    if (!args_end(args) && !args_value(d, args, &count))
        return false;
    if (!args_done(d, args, name))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!(name[0] == 'p' ? step_over(d, false) : debug_step(d, false)))
            return false;
        if (d->session.interrupts > 0)
            return debug_fail(d, "interrupted");
        if (!step_completed(d))
            break;
    }
    return true;
}

bool cmd_break(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    (void)args;
    return debug_break(d);
}

/* .wait [SECONDS, decimal] */
bool cmd_wait(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    long seconds = d->timeout_s;
    if (!args_end(args)) {
        char *end;
        seconds = strtol(args->at, &end, 10);
        if (end == args->at || seconds < 0 || seconds > 1000000)
            return debug_fail(d, ".wait takes a number of seconds, not '%s'", args->at);
        args->at = end;
    }
    return debug_wait_stop(d, 1000ll * seconds);
}

/* ---- k ---- */

static bool read_for_unwind(void *context, uint64_t address, uint8_t *to, size_t size)
{
    struct debug *d = context;
    return session_read(&d->session, address, to, size);
}

static bool image_for_unwind(void *context, uint64_t address, uint64_t *base, uint64_t *size)
{
    const struct kd_module *m = debug_module_at(context, address);
    if (m == NULL)
        return false;
    *base = m->base;
    *size = m->size;
    return true;
}

static void first_frame(const struct debug *d, struct unwind_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    for (unsigned i = 0; i < 16; i++)
        frame->registers[i] = kd_get_u64(d->context + KD_AT(ContextAmd64, Rax) + 8 * i);
    frame->rip = debug_rip(d);
}

bool debug_return_address(struct debug *d, uint64_t *value)
{
    struct unwind_memory memory = {read_for_unwind, image_for_unwind, d};
    struct unwind_frame frame;
    if (!debug_context(d))
        return false;
    first_frame(d, &frame);
    if (!unwind_step(&memory, &frame))
        return false;
    *value = frame.rip;
    return true;
}

bool cmd_stack(struct debug *d, const char *name, struct args *args)
{
    (void)name;
    uint64_t count = FRAMES_DEFAULT;
    if (!args_end(args) && !args_value(d, args, &count))
        return false;
    if (count > FRAMES_MAX)
        count = FRAMES_MAX;
    if (!debug_context(d))
        return false;
    struct unwind_memory memory = {read_for_unwind, image_for_unwind, d};
    struct unwind_frame frame;
    first_frame(d, &frame);
    say_text(&d->say, "Child-SP          RetAddr           Call Site\n");
    say_open(&d->say, "frames", '[');
    bool more = true;
    for (uint64_t i = 0; more && i < count && d->session.interrupts == 0; i++) {
        char where[KD_MODULE_PATH_MAX + 32];
        struct unwind_frame caller = frame;
        more = unwind_step(&memory, &caller);
        debug_location(d, frame.rip, where, sizeof where);
        say_text(&d->say, "%s %s %s%s\n", say_address(frame.registers[UNWIND_RSP]),
                 say_address(more ? caller.rip : 0), where,
                 frame.how == UNWIND_GUESS ? " (?)" : "");
        say_open(&d->say, NULL, '{');
        say_hex(&d->say, "rsp", frame.registers[UNWIND_RSP]);
        say_hex(&d->say, "rip", frame.rip);
        say_string(&d->say, "location", where);
        say_bool(&d->say, "guess", frame.how == UNWIND_GUESS);
        say_close(&d->say, '}');
        frame = caller;
    }
    say_close(&d->say, ']');
    return true;
}
