/* SPDX-License-Identifier: BSD-2-Clause */
/* Attaching, stops, running on: what every command about the target's state is made of. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug/debug.h"
#include "debug/x86.h"

enum {
    /* A target that was asked to stop and runs on is asked again; polls are far more frequent. */
    BREAK_AGAIN_MS = 2000,
    INT3 = 0xCC,
};

bool debug_fail(struct debug *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->error, sizeof d->error, format, arguments);
    va_end(arguments);
    return false;
}

bool debug_fail_request(struct debug *d, const char *what, int result)
{
    const struct kd_debugger_event *r = &d->session.result;
    const char *maybe =
        r->maybe_done && result == r->result ? " (it may have taken effect all the same)" : "";
    if (result == KD_E_REFUSED) {
        const char *name = kd_status_name(r->status);
        return debug_fail(d, "%s: the target refused with status %08x%s%s", what, r->status,
                          name != NULL ? " " : "", name != NULL ? name : "");
    }
    return debug_fail(d, "%s: %s%s", what, kd_error_text(result), maybe);
}

bool debug_stopped(const struct debug *d)
{
    return kd_debugger_state(&d->session.debugger) == KD_DEBUGGER_STOPPED;
}

/* ---- what comes by itself ---- */

static void tell_print(struct debug *d, const char *kind, const char *text, size_t size)
{
    char *clean = malloc(size + 1);
    if (clean == NULL)
        return;
    say_clean(clean, text, size);
    say_event(&d->say, kind, clean);
    say_string(&d->say, "text", clean);
    say_event_end(&d->say);
    free(clean);
}

static void tell_module(struct debug *d, const char *kind, const struct kd_module *module)
{
    char name[KD_MODULE_PATH_MAX], line[2 * KD_MODULE_PATH_MAX];
    debug_module_name(module, name, sizeof name);
    snprintf(line, sizeof line, "ModLoad: %s %s   %s\n", say_address(module->base),
             say_address(module->base + module->size), name);
    bool load = strcmp(kind, "load") == 0;
    say_event(&d->say, kind, load && d->first_stop_seen ? line : NULL);
    say_string(&d->say, "name", name);
    say_string(&d->say, "path", module->path);
    say_hex(&d->say, "base", module->base);
    say_hex(&d->say, "size", module->size);
    say_event_end(&d->say);
}

void debug_forget_target(struct debug *d)
{
    d->module_count = 0;
    d->context_valid = d->special_valid = false;
    d->refresh = true;
    d->attached = false;
    for (size_t i = 0; i < DEBUG_BREAKPOINTS_MAX; i++)
        d->breakpoints[i].inserted = false;
    d->temporary.inserted = false;
}

void debug_on_event(void *context, const struct kd_debugger_event *event)
{
    struct debug *d = context;
    switch (event->kind) {
    case KD_DEBUGGER_PRINT:
        tell_print(d, "print", event->text, event->text_size);
        break;
    case KD_DEBUGGER_PROMPT: {
        size_t size = event->text_size < sizeof d->prompt_text - 1 ? event->text_size
                                                                   : sizeof d->prompt_text - 1;
        say_clean(d->prompt_text, event->text, size);
        d->prompted = true;
        break;
    }
    case KD_DEBUGGER_MODULE_LOADED: {
        /* A stop that the target sends again, for example after it was reset, is no news. */
        bool known = debug_module_known(d, event->module);
        debug_module_add(d, event->module);
        if (!d->listing && !known)
            tell_module(d, "load", event->module);
        break;
    }
    case KD_DEBUGGER_MODULE_UNLOADED:
        debug_module_remove(d, event->module->base);
        tell_module(d, "unload", event->module);
        break;
    case KD_DEBUGGER_RESTARTED:
        debug_forget_target(d);
        say_event(&d->say, "restarted", "The target has restarted its side of the connection.\n");
        say_event_end(&d->say);
        break;
    case KD_DEBUGGER_RECOVERED:
        say_event(&d->say, "recovered", "(an answer was lost on the way; asked for it again)\n");
        say_event_end(&d->say);
        break;
    default:
        break;
    }
}

void debug_on_notice(void *context, const char *text)
{
    struct debug *d = context;
    char line[DEBUG_MESSAGE_MAX + 2];
    snprintf(line, sizeof line, "%.*s\n", DEBUG_MESSAGE_MAX, text);
    say_event(&d->say, "notice", line);
    say_string(&d->say, "text", text);
    say_event_end(&d->say);
}

/* ---- breakpoints in the target's memory ---- */

static bool remove_one(struct debug *d, struct breakpoint *b)
{
    if (!b->inserted)
        return true;
    struct session *s = &d->session;
    b->inserted = false;
    int result =
        session_finish(s, kd_debugger_restore_breakpoint(&s->debugger, session_now(s), b->handle));
    /* NT has removed those near the program counter itself: refused is as good as done. */
    if (result == KD_OK || result == KD_E_REFUSED)
        return true;
    b->inserted = true;
    return debug_fail_request(d, "a breakpoint cannot be removed", result);
}

bool debug_remove_breakpoints(struct debug *d)
{
    bool good = remove_one(d, &d->temporary);
    for (size_t i = 0; i < DEBUG_BREAKPOINTS_MAX; i++)
        good = remove_one(d, &d->breakpoints[i]) && good;
    return good;
}

static bool insert_one(struct debug *d, struct breakpoint *b)
{
    if (!b->used || !b->enabled || b->hardware || b->inserted)
        return true;
    struct session *s = &d->session;
    int result =
        session_finish(s, kd_debugger_write_breakpoint(&s->debugger, session_now(s), b->address));
    if (result < 0) {
        char what[64];
        snprintf(what, sizeof what, "the breakpoint at %s cannot be set", say_address(b->address));
        return debug_fail_request(d, what, result);
    }
    b->handle = (uint32_t)s->result.value;
    b->inserted = true;
    return true;
}

static uint64_t hardware_bits(const struct breakpoint *b, unsigned slot)
{
    uint64_t type = b->access == 'w' ? 1 : b->access == 'i' ? 2 : b->access == 'r' ? 3 : 0;
    uint64_t length = b->size == 2 ? 1 : b->size == 4 ? 3 : b->size == 8 ? 2 : 0;
    return 3ull << (2 * slot) | (type | length << 2) << (16 + 4 * slot);
}

/* Writes Dr0..3 where they changed; gives the Dr7 that Continue2 is to set. */
static bool load_hardware(struct debug *d, uint64_t *dr7)
{
    unsigned slot = 0;
    uint64_t addresses[DEBUG_HARDWARE_MAX];
    *dr7 = KD_DR7_NONE;
    for (size_t i = 0; i < DEBUG_BREAKPOINTS_MAX && slot < DEBUG_HARDWARE_MAX; i++) {
        const struct breakpoint *b = &d->breakpoints[i];
        if (!b->used || !b->enabled || !b->hardware)
            continue;
        addresses[slot] = b->address;
        *dr7 |= hardware_bits(b, slot);
        slot++;
    }
    for (unsigned i = 0; i < slot; i++) {
        static const char *const names[] = {"dr0", "dr1", "dr2", "dr3"};
        uint64_t now;
        if (!debug_register(d, names[i], &now))
            return false;
        if (now != addresses[i] && !debug_set_register(d, names[i], addresses[i]))
            return false;
    }
    return true;
}

static struct breakpoint *breakpoint_at(struct debug *d, uint64_t address)
{
    for (size_t i = 0; i < DEBUG_BREAKPOINTS_MAX; i++) {
        struct breakpoint *b = &d->breakpoints[i];
        bool code = !b->hardware || b->access == 'e';
        if (b->used && b->enabled && code && b->address == address)
            return b;
    }
    return NULL;
}

/* ---- stops ---- */

static const char *exception_text(uint32_t code)
{
    switch (code) {
    case KD_STATUS_BREAKPOINT:
        return "Break instruction exception";
    case KD_STATUS_SINGLE_STEP:
        return "Single step exception";
    case KD_STATUS_ACCESS_VIOLATION:
        return "Access violation";
    case KD_STATUS_ILLEGAL_INSTRUCTION:
        return "Illegal instruction";
    case 0xC0000094u:
        return "Integer divide-by-zero";
    default:
        return "Exception";
    }
}

static int hit_number(struct debug *d, const struct kd_stop *stop)
{
    unsigned slot = 0;
    for (size_t i = 0; i < DEBUG_BREAKPOINTS_MAX; i++) {
        struct breakpoint *b = &d->breakpoints[i];
        if (!b->used || !b->enabled)
            continue;
        /* A step that ends there counts as well: breakpoints are not in memory meanwhile. */
        bool code = stop->code == KD_STATUS_BREAKPOINT || stop->code == KD_STATUS_SINGLE_STEP;
        bool hit = code && b->address == stop->program_counter;
        if (b->hardware) {
            hit = stop->code == KD_STATUS_SINGLE_STEP && slot < DEBUG_HARDWARE_MAX &&
                  (stop->dr6 >> slot & 1) != 0;
            slot++;
        }
        if (hit) {
            b->hits++;
            return (int)i;
        }
    }
    return -1;
}

/* The bytes of the first instruction of CODE as hex digits. */
static void code_line(const uint8_t *code, size_t count, char *line, size_t size)
{
    struct x86_instruction instruction;
    size_t at = 0;
    if (x86_decode(&instruction, code, count) == KD_OK)
        count = instruction.length;
    line[0] = '\0';
    for (size_t i = 0; i < count && size - at > 3; i++)
        at += (size_t)snprintf(line + at, size - at, "%02x", code[i]);
}

static void describe_stop(struct debug *d, const struct kd_stop *stop, char *text, size_t size)
{
    char where[KD_MODULE_PATH_MAX + 32], code[2 * KD_INSTRUCTION_STREAM_MAX + 1];
    char head[KD_MODULE_PATH_MAX + 128] = "";
    bool arrived = d->temporary.used && stop->code == KD_STATUS_BREAKPOINT &&
                   stop->program_counter == d->temporary.address;
    debug_location(d, stop->program_counter, where, sizeof where);
    code_line(stop->instructions, stop->instruction_count, code, sizeof code);
    if (stop->kind == KD_STOP_LOAD || stop->kind == KD_STOP_UNLOAD)
        snprintf(head, sizeof head, "Module %s: %s\n",
                 stop->kind == KD_STOP_LOAD ? "loaded" : "unloaded", stop->module.path);
    else if (d->last_hit >= 0)
        snprintf(head, sizeof head, "Breakpoint %d hit\n", d->last_hit);
    else if (stop->code != KD_STATUS_SINGLE_STEP && !arrived)
        snprintf(head, sizeof head, "%s - code %08x (%s chance)\n", exception_text(stop->code),
                 stop->code, stop->first_chance ? "first" : "second");
    snprintf(text, size, "%s%s%s:\n%s %s\n", head,
             stop->repeated ? "(the stop before once more: most likely it has not run)\n" : "",
             where, say_address(stop->program_counter), code);
}

static void stop_fields(struct debug *d, const struct kd_stop *stop)
{
    static const char *const kinds[] = {"exception", "load", "unload", "command"};
    char where[KD_MODULE_PATH_MAX + 32];
    say_string(&d->say, "kind", kinds[stop->kind]);
    if (stop->kind == KD_STOP_EXCEPTION) {
        say_hex(&d->say, "code", stop->code);
        say_bool(&d->say, "first_chance", stop->first_chance);
    } else {
        say_string(&d->say, "path", stop->module.path);
        say_hex(&d->say, "base", stop->module.base);
    }
    say_hex(&d->say, "pc", stop->program_counter);
    say_string(&d->say, "location", debug_location(d, stop->program_counter, where, sizeof where));
    say_int(&d->say, "cpu", stop->cpu);
    if (d->last_hit >= 0)
        say_int(&d->say, "breakpoint", d->last_hit);
    say_bool(&d->say, "repeated", stop->repeated);
    say_bytes(&d->say, "code_bytes", stop->instructions, stop->instruction_count);
}

static void show_stop(struct debug *d, const struct kd_stop *stop)
{
    char text[2 * KD_MODULE_PATH_MAX + 512];
    describe_stop(d, stop, text, sizeof text);
    say_event(&d->say, "stop", text);
    stop_fields(d, stop);
    say_event_end(&d->say);
}

void debug_show_location(struct debug *d)
{
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    char where[KD_MODULE_PATH_MAX + 32], text[2 * KD_INSTRUCTION_STREAM_MAX + 1] = "";
    uint8_t code[KD_INSTRUCTION_STREAM_MAX];
    if (stop->program_counter == debug_rip(d))
        code_line(stop->instructions, stop->instruction_count, text, sizeof text);
    else if (session_read(&d->session, debug_rip(d), code, sizeof code))
        code_line(code, sizeof code, text, sizeof text);
    say_text(&d->say, "%s:\n%s %s\n", debug_location(d, debug_rip(d), where, sizeof where),
             say_address(debug_rip(d)), text);
}

static bool int3_at_pc(struct debug *d)
{
    /* The instruction stream is without the target's own breakpoints, and ours are removed. */
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    if (!debug_context(d))
        return false;
    if (stop->instruction_count > 0 && stop->program_counter == debug_rip(d))
        return stop->instructions[0] == INT3 && stop->code != KD_STATUS_SINGLE_STEP;
    uint8_t byte = 0;
    return session_read(&d->session, debug_rip(d), &byte, 1) && byte == INT3;
}

/* A hard-coded int3 (DbgBreakPoint, and where NT reports loaded symbols): the debugger moves the
 * program counter, otherwise the target would stop there for ever. */
static bool pass_int3(struct debug *d, bool *passed)
{
    *passed = false;
    if (!int3_at_pc(d))
        return true;
    KD_PUT(d->context, ContextAmd64, Rip, debug_rip(d) + 1);
    *passed = true;
    return debug_set_context(d);
}

static bool resume(struct debug *d, uint32_t status, bool trace, uint64_t dr7)
{
    struct session *s = &d->session;
    d->context_valid = d->special_valid = false;
    d->last_hit = -1;
    s->lost = false;
    int result =
        session_finish(s, kd_debugger_continue2(&s->debugger, session_now(s), status, trace, dr7));
    return result >= 0 || debug_fail_request(d, "the target does not continue", result);
}

static bool run_on(struct debug *d, uint32_t status)
{
    bool passed;
    uint64_t dr7;
    return pass_int3(d, &passed) && load_hardware(d, &dr7) && resume(d, status, false, dr7);
}

static void run_command(struct debug *d, const struct kd_stop *stop)
{
    char command[sizeof stop->command], text[700];
    memcpy(command, stop->command, sizeof command);
    snprintf(text, sizeof text, "%s asks for: %s\n", stop->component, command);
    say_event(&d->say, "command", text);
    say_string(&d->say, "component", stop->component);
    say_string(&d->say, "text", command);
    say_event_end(&d->say);
    /* One level: a target must not keep its debugger busy with itself. */
    if (d->command_depth < 2 && !debug_execute(d, command))
        debug_on_notice(d, d->error);
}

void debug_ask_to_stop(struct debug *d)
{
    struct session *s = &d->session;
    int result = kd_debugger_break_in(&s->debugger, session_now(s));
    if (result == KD_E_CLOSED)
        s->break_wanted = true;
    if (!d->breaking || result == KD_OK)
        d->break_sent = result == KD_OK ? session_now(s) / 1000 : 0;
    d->breaking = true;
}

/* Whether a module's stop serves as the one that was asked for: the target stops by itself so often
 * that our byte could not go out, or it got lost. One that is still under way would stop the target
 * once more later. */
static bool stop_here(struct debug *d)
{
    uint64_t now = session_now(&d->session) / 1000;
    return d->breaking && (d->break_sent == 0 || now - d->break_sent >= BREAK_AGAIN_MS);
}

static bool wanted_load(const struct debug *d, const struct kd_stop *stop)
{
    char name[KD_MODULE_PATH_MAX];
    debug_module_name(&stop->module, name, sizeof name);
    if (stop->kind != KD_STOP_LOAD)
        return false;
    return d->load_any || (d->load_pattern[0] != '\0' && debug_match(d->load_pattern, name));
}

bool debug_handle_stop(struct debug *d)
{
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    bool first = !d->attached;
    d->session.stop_waiting = false;
    if (!debug_stopped(d))
        return false;
    d->cpu = stop->cpu;
    d->context_valid = d->special_valid = false;
    d->last_hit = -1;
    d->prompted = false;
    if (first || d->refresh) {
        d->attached = true;
        d->refresh = false;
        debug_refresh(d, d->module_count <= 1);
    }
    if (stop->kind == KD_STOP_COMMAND) {
        run_command(d, stop);
        if (!debug_stopped(d) || run_on(d, KD_DBG_CONTINUE))
            return false;
    }
    bool image = stop->kind == KD_STOP_LOAD || stop->kind == KD_STOP_UNLOAD;
    bool pass = image && d->first_stop_seen && !wanted_load(d, stop) && !stop_here(d);
    if (pass && run_on(d, KD_DBG_CONTINUE))
        return false;
    d->first_stop_seen = true;
    d->breaking = false;
    if (stop->kind == KD_STOP_EXCEPTION && !d->quiet_stop)
        d->last_hit = hit_number(d, stop);
    if (!debug_remove_breakpoints(d))
        debug_on_notice(d, d->error);
    if (!d->quiet_stop)
        show_stop(d, kd_debugger_stop(&d->session.debugger));
    d->temporary.used = false;
    return true;
}

void debug_answer_prompt(struct debug *d)
{
    d->prompted = false;
    char *line = d->interactive ? terminal_line(d, d->prompt_text) : NULL;
    if (!d->interactive)
        tell_print(d, "prompt", d->prompt_text, strlen(d->prompt_text));
    const char *text = line != NULL ? line : "";
    kd_debugger_answer(&d->session.debugger, session_now(&d->session), text, strlen(text));
    free(line);
}

static bool until_event(const struct session *s)
{
    const struct debug *d = s->context;
    return session_until_stop(s) || d->prompted;
}

bool debug_wait_stop(struct debug *d, int64_t timeout_ms)
{
    struct session *s = &d->session;
    unsigned interrupts = 0;
    /* A module's stop came while we broke in, and the target runs on: with or without our byte? */
    bool ask_again = false;
    uint64_t end = session_now(s) / 1000 + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
    s->lost = false;
    for (;;) {
        if (debug_stopped(d) && !s->stop_waiting)
            return true;
        uint64_t now = session_now(s) / 1000;
        int64_t left = timeout_ms < 0 ? -1 : end > now ? (int64_t)(end - now) : 0;
        int64_t piece = ask_again && left > BREAK_AGAIN_MS ? BREAK_AGAIN_MS : left;
        int result = session_wait(s, piece, until_event);
        if (s->stop_waiting) {
            if (debug_handle_stop(d))
                return true;
            ask_again = d->breaking;
        } else if (result == KD_E_TIMEOUT && piece < left) {
            debug_ask_to_stop(d);
        } else if (d->prompted) {
            debug_answer_prompt(d);
        } else if (s->terminated && result == KD_E_CANCELLED) {
            return debug_fail(d, "ended by a signal");
        } else if (result == KD_E_CANCELLED) {
            s->interrupts = 0;
            if (!s->up)
                return debug_fail(d, "not connected: %s; .break stops the target when it is back",
                                  s->reason);
            if (++interrupts > 1)
                return debug_fail(d, "the target does not stop; it is still running");
            debug_ask_to_stop(d);
        } else if (result == KD_E_TIMEOUT) {
            if (!s->up)
                return debug_fail(d, "not connected: %s, and not back within %lld s", s->reason,
                                  (long long)(timeout_ms / 1000));
            if (s->give_up_at != 0)
                return debug_fail(d, "it did not stop within %d s", SESSION_LEAVE_MS / 1000);
            return debug_fail(d, "the target runs on: no stop within %lld s (.break stops it)",
                              (long long)(timeout_ms / 1000));
        } else if (result == KD_E_CLOSED) {
            return debug_fail(d, "the connection has ended: %s", s->reason);
        } else if (s->lost) {
            s->lost = false;
            return debug_fail(d, "the target does not answer: it hangs, is off, or its line is "
                                 "cut");
        }
    }
}

bool debug_refresh(struct debug *d, bool modules)
{
    struct session *s = &d->session;
    int result =
        session_finish(s, kd_debugger_get_version(&s->debugger, session_now(s), &d->version));
    if (result < 0)
        return debug_fail_request(d, "the target's version", result);
    if (!modules || d->version.loaded_module_list == 0)
        return true;
    d->listing = true;
    result = session_finish(
        s, kd_debugger_walk_modules(&s->debugger, session_now(s), d->version.loaded_module_list));
    d->listing = false;
    return result >= 0 || debug_fail_request(d, "the list of modules", result);
}

/* ---- running ---- */

uint32_t debug_default_status(const struct debug *d)
{
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    if (stop->kind != KD_STOP_EXCEPTION)
        return KD_DBG_CONTINUE;
    bool ours = stop->code == KD_STATUS_BREAKPOINT || stop->code == KD_STATUS_SINGLE_STEP;
    return ours ? KD_DBG_EXCEPTION_HANDLED : KD_DBG_EXCEPTION_NOT_HANDLED;
}

static bool trace_one(struct debug *d, uint32_t status)
{
    int64_t timeout = d->interactive ? -1 : 1000ll * d->timeout_s;
    return resume(d, status, true, KD_DR7_NONE) && debug_wait_stop(d, timeout);
}

bool debug_step(struct debug *d, bool quiet)
{
    bool passed;
    if (!pass_int3(d, &passed))
        return false;
    if (passed) {
        if (!quiet && debug_context(d))
            debug_show_location(d);
        return debug_context(d);
    }
    d->quiet_stop = quiet;
    uint32_t status = debug_default_status(d);
    bool good = trace_one(d, status == KD_DBG_EXCEPTION_NOT_HANDLED ? KD_DBG_CONTINUE : status);
    d->quiet_stop = false;
    return good;
}

static bool insert_all(struct debug *d)
{
    bool good = insert_one(d, &d->temporary);
    for (size_t i = 0; good && i < DEBUG_BREAKPOINTS_MAX; i++)
        good = insert_one(d, &d->breakpoints[i]);
    if (!good) {
        char error[DEBUG_MESSAGE_MAX];
        memcpy(error, d->error, sizeof error);
        debug_remove_breakpoints(d);
        memcpy(d->error, error, sizeof error);
    }
    return good;
}

/* Past a breakpoint at the program counter: one step while none is in memory. */
static bool pass_breakpoint(struct debug *d, bool *stopped_elsewhere)
{
    *stopped_elsewhere = false;
    if (!debug_context(d))
        return false;
    if (breakpoint_at(d, debug_rip(d)) == NULL)
        return true;
    if (!debug_step(d, true))
        return false;
    const struct kd_stop *stop = kd_debugger_stop(&d->session.debugger);
    *stopped_elsewhere = stop->kind != KD_STOP_EXCEPTION || stop->code != KD_STATUS_SINGLE_STEP;
    if (*stopped_elsewhere)
        show_stop(d, stop);
    return true;
}

bool debug_go(struct debug *d, uint32_t status, const struct breakpoint *temporary)
{
    bool passed, elsewhere = false;
    uint64_t dr7;
    if (!pass_int3(d, &passed))
        return false;
    if (!passed && status != KD_DBG_EXCEPTION_NOT_HANDLED && !pass_breakpoint(d, &elsewhere))
        return false;
    if (elsewhere)
        return true;
    if (temporary != NULL)
        d->temporary = *temporary;
    bool good = load_hardware(d, &dr7) && insert_all(d) && resume(d, status, false, dr7);
    if (!good)
        d->temporary.used = false;
    return good;
}

bool debug_break(struct debug *d)
{
    struct session *s = &d->session;
    d->breaking = !debug_stopped(d) || s->stop_waiting;
    d->break_sent = 0;
    /* A module's stop that nobody has looked at yet. */
    if (s->stop_waiting && debug_handle_stop(d))
        return true;
    if (debug_stopped(d) && !s->stop_waiting)
        return true;
    debug_ask_to_stop(d);
    bool good = debug_wait_stop(d, 1000ll * d->timeout_s);
    d->breaking = false;
    return good;
}

/* Whether something in the target may still stop it: also Dr7, which a running target keeps. */
static bool anything_set(const struct debug *d)
{
    for (size_t i = 0; i < DEBUG_BREAKPOINTS_MAX; i++) {
        const struct breakpoint *b = &d->breakpoints[i];
        if (b->inserted || (b->used && b->enabled && b->hardware))
            return true;
    }
    return d->temporary.inserted;
}

bool debug_leave(struct debug *d, bool run)
{
    struct session *s = &d->session;
    if (!s->up || !d->first_stop_seen)
        return true;
    bool was_running = !debug_stopped(d);
    d->quiet_stop = true;
    session_leave(s);
    if (s->terminated)
        d->interactive = false; /* nobody is there to be asked */
    if (was_running && !anything_set(d))
        return true;
    if (!debug_break(d) || !debug_remove_breakpoints(d))
        return false;
    if (!run && !was_running)
        return true;
    bool passed;
    if (!pass_int3(d, &passed))
        return false;
    /* Dr7 as well: hardware breakpoints would stop a machine that nobody debugs. */
    return resume(d, debug_default_status(d), false, KD_DR7_NONE);
}

/* ---- attaching ---- */

static bool fail_attach(struct debug *d)
{
    struct session *s = &d->session;
    const char *where = endpoint_where(&s->endpoint);
    char sample[sizeof s->first + 1];
    switch (kd_debugger_heard(&s->debugger)) {
    case KD_HEARD_PACKETS:
        return debug_fail(d,
                          "%s: the target speaks KD but did not stop within %d s; is another "
                          "debugger attached to it?",
                          where, d->timeout_s);
    case KD_HEARD_JUNK:
        say_clean(sample, (const char *)s->first, s->first_size);
        for (char *p = sample; *p; p++) {
            if (*p == '\n')
                *p = ' ';
        }
        return debug_fail(d,
                          "%s sends something that is not KD: \"%.60s\"; that is a console or "
                          "a wrong speed: choose the port that kernel debugging uses",
                          where, sample);
    case KD_HEARD_NOTHING:
    default:
        if (!s->ever_up)
            return debug_fail(d, "%s: nobody has connected within %d s", where, d->timeout_s);
        return debug_fail(d,
                          "%s is connected but silent for %d s: is the target up, with kernel "
                          "debugging on at that port, and no other debugger attached?",
                          where, d->timeout_s);
    }
}

/* The endpoint has ended: by name, why, and what to do where the reason does not tell. */
bool debug_fail_connection(struct debug *d)
{
    const struct session *s = &d->session;
    const char *where = endpoint_where(&s->endpoint), *advice = "";
    enum endpoint_kind kind = s->endpoint.spec.kind;
    bool connects = kind == ENDPOINT_TCP || kind == ENDPOINT_UNIX;
    bool named = strstr(s->reason, where) != NULL;
    if (kind == ENDPOINT_EXEC && s->ever_up)
        advice = "; the command ended before a target spoke: try it by itself";
    else if (s->ever_up && connects)
        advice = " at once; is another debugger attached there?";
    else if (connects && strchr(s->reason, ';') == NULL)
        advice = "; check the address, and that the target is up";
    return debug_fail(d, "%s%s%s%s", named ? "" : where, named ? "" : ": ", s->reason, advice);
}

bool debug_attach(struct debug *d)
{
    struct session *s = &d->session;
    uint64_t end = session_now(s) / 1000 + 1000ull * (unsigned)d->timeout_s;
    for (;;) {
        uint64_t now = session_now(s) / 1000;
        int result = session_wait(s, end > now ? (int64_t)(end - now) : 0, until_event);
        if (s->stop_waiting) {
            if (debug_handle_stop(d))
                return true;
        } else if (d->prompted) {
            debug_answer_prompt(d);
        } else if (result == KD_E_CLOSED) {
            return debug_fail_connection(d);
        } else if (result == KD_E_CANCELLED) {
            return debug_fail(d, "interrupted before the target was stopped");
        } else if (result == KD_E_TIMEOUT) {
            return fail_attach(d);
        }
    }
}
