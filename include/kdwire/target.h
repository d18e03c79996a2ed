/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debuggee's engine: reports stops, answers every request by calling a machine, and says when
 * and how to run on. Sans-I/O, over kd/link; no memory but the struct; knows nothing of UEFI.
 *
 * One stop, in a program that polls its line:
 *     kd_target_report_exception(target, now, &exception);
 *     while (kd_target_state(target) == KD_TARGET_STOPPED) {
 *         n = read what has come;          kd_target_feed(target, now, bytes, n);
 *         while ((n = kd_target_output(target, &p))) kd_target_written(target, now, write(p, n));
 *         kd_target_tick(target, now);
 *     }
 *     act on kd_target_resume(target)
 * While the debuggee runs, feed what comes: kd_target_break_in_wanted tells to stop.
 */
#ifndef KDWIRE_TARGET_H
#define KDWIRE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/error.h"
#include "kdwire/link.h"
#include "kdwire/machine.h"

enum kd_target_state {
    KD_TARGET_RUNNING, /* the debuggee may run */
    KD_TARGET_SENDING, /* runs on when the print or trace is acknowledged or dropped */
    KD_TARGET_ASKING,  /* waits for the answer to a prompt or a file request */
    KD_TARGET_STOPPED, /* the debugger has it */
};

/* How to go on after a stop. */
enum kd_target_resume {
    KD_TARGET_CONTINUE,    /* the debugger handled the exception */
    KD_TARGET_NOT_HANDLED, /* give it to the program's own handlers */
    KD_TARGET_SWITCH,      /* processor `kd_target_switch_to` reports the next stop */
    KD_TARGET_REBOOT,
    KD_TARGET_BUG_CHECK,
    KD_TARGET_ABANDONED, /* a droppable report (load symbols) found no debugger */
};

struct kd_target_exception {
    uint32_t cpu;
    uint64_t thread;
    uint64_t program_counter; /* of an int3: the address of the int3 */
    uint32_t code;            /* NTSTATUS */
    uint32_t flags;
    uint64_t address;
    uint32_t parameter_count; /* <= 15 */
    uint64_t parameters[15];
    bool first_chance;
};

struct kd_target_image {
    uint32_t cpu;
    uint64_t thread;
    uint64_t program_counter;
    const char *path;    /* 8-bit, NUL-terminated; NULL = none */
    uint64_t base;       /* UINT64_MAX with unload: the machine is going away */
    uint64_t process_id; /* UINT64_MAX before there are processes */
    uint32_t checksum;
    uint32_t size;
    bool unload;
};

struct kd_target; /* fields below, private to target.c */

enum {
    KD_IMAGE_PATH_MAX = 512, /* longest path of an image report; longer ones are cut. UEFI device
                                paths and Windows paths in practice stay below 300 */
    KD_COMPONENT_MAX = 127,  /* longest component name of a command report (sheet 3.4) */
};

/* All zero: serial framing, default times, everything a machine offers is offered on. */
struct kd_target_config {
    struct kd_link_config link; /* role is set by the engine */
    uint64_t search_max;        /* bytes one SearchMemory may look at; 0 = 256 MiB. Bounds the time
                                   spent in one request; the rest is refused, never "not found" */
    uint16_t processor_level;   /* reported as is: 0 boot debugger, 6 Windows kernels */
    bool short_reads_fail;      /* a partly bad read returns no byte at all instead of a part */
    bool refuse_context_ex;     /* Get/SetContextEx are refused, as the real boot debugger does; the
                                   debugger falls back to Get/SetContext */
    bool reset_breaks_in;       /* a RESET while the debuggee runs counts as a break-in */
};

void kd_target_init(struct kd_target *target, const struct kd_target_config *config,
                    const struct kd_machine_ops *ops, void *machine);

/*
 * Reports. KD_E_BUSY unless RUNNING; KD_E_ARGUMENT for a processor that does not exist. After load
 * symbols the debuggee is STOPPED as well. As NT does, a report removes the breakpoints that reach
 * into the 16 bytes at the program counter (that of the processor's context) and frees them: the
 * debugger writes them again before it goes on.
 */
int kd_target_report_exception(struct kd_target *target, uint64_t now,
                               const struct kd_target_exception *exception);
int kd_target_report_image(struct kd_target *target, uint64_t now,
                           const struct kd_target_image *image);
/* COMPONENT (at most KD_COMPONENT_MAX characters) and COMMAND are executed by the debugger, which
 * then continues. */
int kd_target_report_command(struct kd_target *target, uint64_t now, uint32_t cpu,
                             const char *component, const char *command);

/* Text to the debugger; cut at KD_PRINT_MAX per packet by the caller's loop: returns how many
 * bytes were taken (0 while busy), or a kd_error. Droppable: SENDING lasts until the text is
 * acknowledged or given up. */
int kd_target_print(struct kd_target *target, uint64_t now, uint32_t cpu, const char *text,
                    size_t size);
/* Trace data (TRACE_IO); at most KD_BODY_MAX - KD_TRACE_IO_SIZE bytes. Droppable, like print. */
int kd_target_trace(struct kd_target *target, uint64_t now, uint32_t cpu, const uint8_t *data,
                    size_t size);
/* Asks the user for a line of at most ANSWER_MAX bytes (cut to what fits a packet); the answer is
 * fetched with kd_target_answer when no longer ASKING. */
int kd_target_prompt(struct kd_target *target, uint64_t now, uint32_t cpu, const char *text,
                     size_t size, uint32_t answer_max);
/* File requests to the debugger (.kdfiles); answers through kd_target_answer. PATH is UTF-16
 * without NUL. A read asks for at most KD_FILE_IO_DATA_MAX bytes; larger sizes are KD_E_TOO_LONG.
 */
int kd_target_create_file(struct kd_target *target, uint64_t now, const uint16_t *path,
                          size_t path_units, uint32_t access, uint32_t attributes, uint32_t share,
                          uint32_t disposition, uint32_t options);
int kd_target_read_file(struct kd_target *target, uint64_t now, uint64_t handle, uint64_t offset,
                        uint32_t size);
int kd_target_write_file(struct kd_target *target, uint64_t now, uint64_t handle, uint64_t offset,
                         const uint8_t *bytes, uint32_t size);
int kd_target_close_file(struct kd_target *target, uint64_t now, uint64_t handle);

struct kd_target_answer {
    uint32_t status;      /* file requests: NTSTATUS */
    uint64_t handle;      /* create */
    uint64_t length;      /* create: file size; read, write: bytes done */
    const uint8_t *bytes; /* prompt, read: valid until the next feed or report */
    size_t size;
};
/* The answer to the last prompt or file request; KD_E_NOT_FOUND if there is none: still ASKING,
 * nothing was asked, or the question was given up (no debugger). */
int kd_target_answer(struct kd_target *target, struct kd_target_answer *answer);

/* The wire, as in kd/link. kd_target_feed takes everything. */
void kd_target_feed(struct kd_target *target, uint64_t now, const uint8_t *data, size_t size);
size_t kd_target_output(struct kd_target *target, const uint8_t **bytes);
void kd_target_written(struct kd_target *target, uint64_t now, size_t size);
void kd_target_tick(struct kd_target *target, uint64_t now);
uint64_t kd_target_deadline(const struct kd_target *target);

enum kd_target_state kd_target_state(const struct kd_target *target);
enum kd_target_resume kd_target_resume(const struct kd_target *target);
uint32_t kd_target_switch_to(const struct kd_target *target);
/* The debugger asked for a stop (break-in byte; or RESET while running, if so configured).
 * Reading clears it, and so does the report of an exception. A break-in while STOPPED is not
 * remembered, unless it crossed the report of an image or a command on the wire: the debugger goes
 * on from these by itself, and its user still waits for the stop. */
bool kd_target_break_in_wanted(struct kd_target *target);
/* Whether a debugger has acknowledged anything since the start or the last drop. */
bool kd_target_attached(const struct kd_target *target);
/* Whether the debugger has acknowledged the report, text or question sent last. */
bool kd_target_report_taken(const struct kd_target *target);
/* Gives up what is under way (stop, print, question) and goes back to RUNNING with resume
 * KD_TARGET_ABANDONED: hand-over, or a policy of the caller's against a debugger that left. Nobody
 * counts as attached any more if the report was not even taken. */
void kd_target_abandon(struct kd_target *target);
/* The wire was replaced: initial ids; a stop or question under way is sent anew. */
void kd_target_restart_link(struct kd_target *target, uint64_t now);

/*
 * Breakpoints. The debugger's reads by virtual address show the bytes under the engine's own
 * breakpoints (where the breakpoint is still in memory), its writes there change the byte under
 * it and leave the breakpoint set. Physical reads and writes see memory as it is. Removing a
 * breakpoint whose bytes the debuggee has since overwritten leaves the new bytes alone.
 */
/* Puts the original bytes back and forgets all breakpoints (unload, hand-over). */
void kd_target_remove_breakpoints(struct kd_target *target);
/* Whether ADDRESS is the start of one of the engine's own breakpoints (else an int3 there is the
 * program's). */
bool kd_target_has_breakpoint(const struct kd_target *target, uint64_t address);
/* An image range is gone: its breakpoints are forgotten without writing to memory. */
void kd_target_forget_range(struct kd_target *target, uint64_t base, uint64_t size);

const struct kd_link_stats *kd_target_link_stats(const struct kd_target *target);

/* ---- Private to target.c from here on; public only so that a caller can place the struct. ---- */

enum { KD_BREAKPOINT_BYTES_MAX = 8 }; /* WriteCustomBreakpoint carries its instruction in a u64 */

struct kd_target_breakpoint {
    uint64_t address;
    uint8_t size;                                 /* 0 = free */
    uint8_t instruction[KD_BREAKPOINT_BYTES_MAX]; /* what was written */
    uint8_t original[KD_BREAKPOINT_BYTES_MAX];    /* what was there */
};

struct kd_target {
    struct kd_link link;
    struct kd_target_config config;
    const struct kd_machine_ops *ops;
    void *machine;
    enum kd_target_state state;
    enum kd_target_resume resume;
    uint32_t cpu; /* the one that reported last */
    uint32_t switch_to;
    bool break_in;
    bool attached;
    bool report_taken;
    bool leaves_when_acked; /* STOPPED: a reply that ends the stop waits for its acknowledgement */
    bool answered;
    uint16_t report_type;
    uint32_t asked_api; /* ASKING: the DEBUG_IO or FILE_IO number */
    uint32_t answer_max;
    struct kd_target_answer answer;
    uint32_t staged_cpu;  /* SetContextEx: whose context is being staged */
    uint32_t staged_size; /* bytes of it that have come, from 0; 0 = none */
    struct kd_target_breakpoint breakpoints[KD_BREAKPOINTS_MAX];
    size_t report_size;
    uint8_t staged[KD_CONTEXT_AMD64_SIZE];
    uint8_t report[KD_BODY_MAX]; /* the state change or question, kept to be sent again */
    uint8_t reply[KD_BODY_MAX];  /* the request, turned into its reply in place */
};
#endif
