/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdwire debug: what is known about the target, and what commands are made of. All of it runs
 * outside the event loop's callbacks, see session.h.
 */
#ifndef KDWIRE_DEBUG_DEBUG_H
#define KDWIRE_DEBUG_DEBUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "debug/expr.h"
#include "debug/say.h"
#include "debug/session.h"

enum {
    DEBUG_MESSAGE_MAX = 600,
    /* Breakpoints of the user; the protocol's targets have a table of that size. */
    DEBUG_BREAKPOINTS_MAX = KD_BREAKPOINTS_MAX,
    DEBUG_HARDWARE_MAX = 4, /* debug registers of the processor */
    /* Modules remembered: many times what is loaded anywhere; a hostile target may report more. */
    DEBUG_MODULES_MAX = 8192,
    DEBUG_PATTERN_MAX = 128, /* sxe ld:PATTERN */
    DEBUG_LINE_MAX = 4096,
    DEBUG_PSEUDO_MAX = 20, /* $t0 to $t19, as in WinDbg */
};

struct breakpoint {
    bool used, enabled;
    bool hardware;
    char access;   /* hardware: 'e', 'r', 'w', 'i' */
    unsigned size; /* hardware */
    uint64_t address;
    bool inserted;
    uint32_t handle; /* inserted software breakpoints */
    unsigned hits;
};

struct debug {
    struct session session;
    struct say say;
    bool interactive;
    int timeout_s; /* for attaching and for stops that a script waits for */
    bool quit;
    char error[DEBUG_MESSAGE_MAX]; /* of the command that failed */

    bool attached; /* stopped at least once on this wire: version, modules are known */
    bool refresh;  /* they must be asked for again */
    bool listing;  /* modules that come are those of the list, not news */
    struct kd_debugger_version version;
    struct kd_module *modules;
    size_t module_count, module_room;
    uint16_t cpu;
    bool context_valid, special_valid;
    uint8_t context[KD_CONTEXT_AMD64_SIZE];
    uint8_t special[KD_SPECIAL_AMD64_MAX];
    size_t special_size;

    struct breakpoint breakpoints[DEBUG_BREAKPOINTS_MAX];
    struct breakpoint temporary; /* of g ADDRESS, p */
    int last_hit;                /* number of the breakpoint of the last stop, or -1 */
    bool quiet_stop;             /* the next stop is an inner step: nothing is printed */
    bool first_stop_seen;
    char load_pattern[DEBUG_PATTERN_MAX]; /* sxe ld: "" = do not stop */
    bool load_any;
    unsigned command_depth;
    bool after_go;       /* the command before, in the same list, was g */
    bool breaking;       /* the user wants the target to stop */
    uint64_t break_sent; /* ms: when the break-in went out; 0: it could not */

    bool prompted; /* the target waits for a line */
    char prompt_text[512];

    uint64_t pseudo[DEBUG_PSEUDO_MAX]; /* $t0 ... */
    uint64_t dump_next;
    char dump_format;
};

/* Sets the error text and returns false. */
bool debug_fail(struct debug *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a failed request; WHAT completes "WHAT: why". */
bool debug_fail_request(struct debug *d, const char *what, int result);

/* target.c: stops, run control */
bool debug_attach(struct debug *d);
bool debug_fail_connection(struct debug *d); /* the text for an endpoint that has ended */
bool debug_stopped(const struct debug *d);
/* Waits until the target has stopped for the user (other stops are dealt with); negative: no
 * time limit. Ctrl-C breaks in. */
bool debug_wait_stop(struct debug *d, int64_t timeout_ms);
/* Deals with a stop that came; returns whether it is one for the user. */
bool debug_handle_stop(struct debug *d);
/* Asks the user (a script: sends an empty line) what the target's prompt wants to know. */
void debug_answer_prompt(struct debug *d);
bool debug_go(struct debug *d, uint32_t status, const struct breakpoint *temporary);
bool debug_step(struct debug *d, bool quiet);
uint32_t debug_default_status(const struct debug *d);
void debug_ask_to_stop(struct debug *d);     /* at once; what comes is dealt with later */
bool debug_break(struct debug *d);           /* and waits for it */
bool debug_leave(struct debug *d, bool run); /* removes breakpoints; RUN: continues */
void debug_forget_target(struct debug *d);
bool debug_refresh(struct debug *d, bool modules); /* version and modules */
void debug_show_location(struct debug *d);
void debug_on_event(void *context, const struct kd_debugger_event *event);
void debug_on_notice(void *context, const char *text);
bool debug_remove_breakpoints(struct debug *d);

/* modules.c */
void debug_module_add(struct debug *d, const struct kd_module *module);
void debug_module_remove(struct debug *d, uint64_t base);
bool debug_module_known(const struct debug *d, const struct kd_module *module);
const struct kd_module *debug_module_at(const struct debug *d, uint64_t address);
/* File name without directory and extension. */
void debug_module_name(const struct kd_module *module, char *name, size_t size);
bool debug_symbol(void *context, const char *name, uint64_t *value);
/* "module+0x10" or the bare address */
const char *debug_location(const struct debug *d, uint64_t address, char *text, size_t size);
bool debug_match(const char *pattern, const char *text); /* * and ?, letters alike */

/* registers.c */
bool debug_context(struct debug *d); /* makes `context` valid */
bool debug_set_context(struct debug *d);
bool debug_special(struct debug *d);
uint64_t debug_rip(const struct debug *d);
bool debug_register(void *context, const char *name, uint64_t *value);
bool debug_set_register(struct debug *d, const char *name, uint64_t value);
bool debug_return_address(struct debug *d, uint64_t *value); /* run.c; $ra */

/* commands.c */
struct args {
    const char *at;
};
bool debug_execute(struct debug *d, const char *line); /* all commands of a line, ; between */
bool args_end(struct args *args);                      /* only blanks are left */
/* Before a command acts: nothing is left of its arguments. */
bool args_done(struct debug *d, struct args *args, const char *command);
bool args_value(struct debug *d, struct args *args, uint64_t *value);
bool args_word(struct args *args, char *word, size_t size);
const char *const *debug_command_names(void);

typedef bool debug_command(struct debug *d, const char *name, struct args *args);
debug_command cmd_dump, cmd_enter, cmd_search, cmd_fill;                  /* memory.c */
debug_command cmd_registers;                                              /* registers.c */
debug_command cmd_modules, cmd_reload;                                    /* modules.c */
debug_command cmd_breakpoint, cmd_breakpoint_list, cmd_breakpoint_change; /* run.c */
debug_command cmd_go, cmd_step, cmd_stack, cmd_wait, cmd_break;           /* run.c */

/* terminal.c: lines with editing and history; NULL at the end of input. The loop runs meanwhile. */
char *terminal_line(struct debug *d, const char *prompt);
/* The same from standard input that is no terminal. The caller frees the line. */
char *input_line(struct debug *d);
void terminal_close(struct debug *d);

#endif
