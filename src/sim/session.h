/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A simulated machine with its debuggee's engine: what happens between the two. Sans-I/O; `kdwire
 * sim` puts it on an endpoint, tests and fuzzers feed it by hand.
 *
 *     sim_session_init(session, config)
 *     whenever bytes came:          sim_session_feed(session, now, bytes, size)
 *     now and then, and after feed: sim_session_run(session, now, instructions)
 *     then write what sim_session_output gives
 */
#ifndef KDWIRE_SIM_SESSION_H
#define KDWIRE_SIM_SESSION_H

#include "kdwire/target.h"
#include "machine.h"

enum sim_told {
    SIM_TOLD_STOP,   /* text: why */
    SIM_TOLD_GO,     /* text: how */
    SIM_TOLD_LOAD,   /* text: the module's name */
    SIM_TOLD_UNLOAD, /* the same */
    SIM_TOLD_PRINT,  /* text: what was printed */
    SIM_TOLD_PROMPT, /* text: the question */
    SIM_TOLD_ANSWER, /* text: the answer to a prompt or a file request */
    SIM_TOLD_REBOOT,
    SIM_TOLD_BUG_CHECK,
    SIM_TOLD_ATTACHED, /* a debugger acknowledged something */
    SIM_TOLD_LOST,     /* it does no longer */
};

struct sim_story {
    enum sim_told what;
    uint32_t cpu;
    uint64_t address; /* program counter, or the module's base */
    uint32_t code;    /* of an exception */
    const char *text; /* valid during the call */
    size_t text_size;
};

struct sim_session_config {
    struct sim_config machine;
    struct kd_target_config target;
    bool boot_stop;       /* reports the modules at start and then breaks, waiting for a debugger */
    const uint8_t *image; /* mapped at image_base, if any; must outlive the session (reboot) */
    size_t image_size;
    uint64_t image_base;
    bool has_entry; /* the first processor starts at `entry` */
    uint64_t entry;
    const char *file; /* a file to ask the debugger for once it is attached; NULL = none */
    void (*tell)(void *context, const struct sim_story *story); /* NULL = nobody listens */
    void *context;
};

struct sim_session {
    struct sim_session_config config;
    struct sim_machine machine;
    struct kd_target target;
    bool line_up;
    bool was_attached;
    unsigned boot;      /* enum boot_step */
    unsigned waits_for; /* enum wait: what the engine is busy with */
    unsigned file_step;
    bool bug_checked;
    struct sim_event event; /* that stopped the machine */
    bool first_chance;
    uint64_t file_handle;
};

/* KD_E_NO_MEMORY, KD_E_ARGUMENT (processors), and sim_map's errors for the image. sim_session_close
 * is due even after a failure. */
int sim_session_init(struct sim_session *session, const struct sim_session_config *config);
void sim_session_close(struct sim_session *session);

/* Whether somebody is at the other end of the line; false at first. Without, the machine does not
 * wait for acknowledgements of its prints, and a boot stop waits. */
void sim_session_line(struct sim_session *session, uint64_t now, bool up);

void sim_session_feed(struct sim_session *session, uint64_t now, const uint8_t *bytes, size_t size);
/* Lets the machine go on by up to INSTRUCTIONS, if the debugger lets it; due time-outs are served.
 */
void sim_session_run(struct sim_session *session, uint64_t now, uint64_t instructions);
size_t sim_session_output(struct sim_session *session, const uint8_t **bytes);
void sim_session_written(struct sim_session *session, uint64_t now, size_t size);

#endif
