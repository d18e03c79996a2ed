/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debuggee's side of a debugging session.
 *
 *   engine busy with    it is RUNNING again           next
 *   ------------------  ----------------------------  ------------------------------------------
 *   boot report         continued                     next boot report, the last one a break
 *                       abandoned, boot_stop          the same again
 *                       abandoned                     boot is done, the machine runs
 *   exception           continued                     the machine runs
 *                       not handled, first chance     the same exception, second chance
 *                       not handled, second chance    bug check
 *   image               continued, abandoned          the machine runs
 *   any stop            switch                        an exception report of the other processor
 *                       reboot                        new machine, new engine, boot reports
 *                       bug check                     text, then an exception; after that reboot
 *   print               acknowledged, dropped         the machine runs
 *   prompt, file        answered, abandoned           answer goes to the machine, which runs
 */
#include "session.h"

#include <stdio.h>
#include <string.h>

enum boot_step { BOOT_KERNEL, BOOT_HAL, BOOT_BREAK, BOOT_DONE };
enum wait {
    WAIT_NOTHING,
    WAIT_BOOT,
    WAIT_EXCEPTION,
    WAIT_IMAGE,
    WAIT_PRINT,
    WAIT_PROMPT,
    WAIT_FILE,
};
enum file_step { FILE_CREATE, FILE_READ, FILE_CLOSE, FILE_DONE };

static const char fatal[] = "\n*** Fatal System Error: 0x000000e2 (manually initiated crash)\n";

/* ---- Telling ---- */

static void tell_text(struct sim_session *s, enum sim_told what, uint32_t cpu, uint64_t address,
                      uint32_t code, const char *text, size_t size)
{
    struct sim_story story = {what, cpu, address, code, text, size};
    if (s->config.tell)
        s->config.tell(s->config.context, &story);
}

static void tell(struct sim_session *s, enum sim_told what, const char *text)
{
    tell_text(s, what, s->event.cpu, s->machine.cpus[s->event.cpu].rip, 0, text, strlen(text));
}

static void tell_attachment(struct sim_session *s)
{
    bool attached = kd_target_attached(&s->target);
    if (attached != s->was_attached)
        tell(s, attached ? SIM_TOLD_ATTACHED : SIM_TOLD_LOST, "");
    s->was_attached = attached;
}

/* ---- Starting ---- */

static int start_machine(struct sim_session *s)
{
    uint8_t *bytes;
    int error = sim_init(&s->machine, &s->config.machine);
    if (error < 0)
        return error;
    if (s->config.image) {
        error = sim_map(&s->machine, s->config.image_base, s->config.image_size,
                        SIM_R | SIM_W | SIM_X, &bytes);
        if (error < 0)
            return error;
        memcpy(bytes, s->config.image, s->config.image_size);
    }
    if (s->config.has_entry)
        s->machine.cpus[0].rip = s->config.entry;
    kd_target_init(&s->target, &s->config.target, sim_machine_ops(), &s->machine);
    s->waits_for = WAIT_NOTHING;
    s->file_step = s->config.file ? FILE_CREATE : FILE_DONE;
    s->bug_checked = false;
    memset(&s->event, 0, sizeof s->event);
    return KD_OK;
}

int sim_session_init(struct sim_session *s, const struct sim_session_config *config)
{
    memset(s, 0, sizeof *s);
    s->config = *config;
    s->boot = config->boot_stop ? BOOT_KERNEL : BOOT_DONE;
    return start_machine(s);
}

void sim_session_close(struct sim_session *s)
{
    sim_close(&s->machine);
}

/* A booting machine reports its modules whoever listens; the engine starts with initial ids. */
static void reboot(struct sim_session *s)
{
    tell(s, SIM_TOLD_REBOOT, "");
    sim_close(&s->machine);
    (void)start_machine(s); /* it worked before with the same configuration; if memory is short
                               now, the machine has less of it */
    s->was_attached = false;
    s->boot = BOOT_KERNEL;
}

/* ---- Reports ---- */

static void report_exception(struct sim_session *s, uint64_t now, uint32_t cpu, const char *why)
{
    struct kd_target_exception e = {
        .cpu = cpu,
        .thread = SIM_CPU_BASE + (uint64_t)cpu * SIM_PAGE + SIM_THREAD_OFFSET,
        .program_counter = s->machine.cpus[cpu].rip,
        .address = s->machine.cpus[cpu].rip,
        .code = s->event.code,
        .parameter_count = s->event.parameter_count,
        .first_chance = s->first_chance,
    };
    memcpy(e.parameters, s->event.parameters, sizeof s->event.parameters);
    if (kd_target_report_exception(&s->target, now, &e) < 0)
        return;
    s->waits_for = WAIT_EXCEPTION;
    tell_text(s, SIM_TOLD_STOP, cpu, e.program_counter, e.code, why, strlen(why));
}

static void report_break(struct sim_session *s, uint64_t now, const char *why)
{
    memset(&s->event, 0, sizeof s->event);
    s->event.code = KD_STATUS_BREAKPOINT;
    s->event.parameter_count = 1; /* kind 0: break, as Windows says */
    s->first_chance = true;
    sim_enter_break_point(&s->machine, 0);
    report_exception(s, now, 0, why);
}

static void report_image(struct sim_session *s, uint64_t now, uint32_t cpu, unsigned module,
                         bool unload, enum wait wait)
{
    char path[SIM_NAME_MAX + 8];
    const struct sim_module *info = &s->machine.modules[module];
    (void)snprintf(path, sizeof path, "\\sim\\%s", info->name);
    struct kd_target_image image = {
        .cpu = cpu,
        .thread = SIM_CPU_BASE + (uint64_t)cpu * SIM_PAGE + SIM_THREAD_OFFSET,
        .program_counter = s->machine.cpus[cpu].rip,
        .path = path,
        .base = info->base,
        .process_id = UINT64_MAX,
        .checksum = info->checksum,
        .size = info->size,
        .unload = unload,
    };
    tell_text(s, unload ? SIM_TOLD_UNLOAD : SIM_TOLD_LOAD, cpu, info->base, 0, info->name,
              strlen(info->name));
    if (kd_target_report_image(&s->target, now, &image) == KD_OK)
        s->waits_for = wait;
}

static void boot(struct sim_session *s, uint64_t now)
{
    if (s->boot == BOOT_BREAK) { /* done without a report, unless a stop was asked for */
        s->boot = BOOT_DONE;
        if (s->config.boot_stop)
            report_break(s, now, "boot stop");
        return;
    }
    sim_enter_break_point(&s->machine, 0); /* the PC of such a stop is an int3 */
    report_image(s, now, 0, s->boot == BOOT_KERNEL ? SIM_KERNEL : SIM_HAL, false, WAIT_BOOT);
}

static void bug_check(struct sim_session *s, uint64_t now)
{
    tell(s, SIM_TOLD_BUG_CHECK, "");
    s->bug_checked = true;
    if (kd_target_print(&s->target, now, 0, fatal, sizeof fatal - 1) > 0)
        s->waits_for = WAIT_PRINT;
}

/* ---- The machine's own events ---- */

static const char *why_stopped(const struct sim_event *event)
{
    switch (event->code) {
    case KD_STATUS_BREAKPOINT:
        return "breakpoint";
    case KD_STATUS_SINGLE_STEP:
        return "single step";
    case KD_STATUS_ACCESS_VIOLATION:
        return "access violation";
    case KD_STATUS_ILLEGAL_INSTRUCTION:
        return "illegal instruction";
    default:
        return "exception";
    }
}

static void on_print(struct sim_session *s, uint64_t now)
{
    const struct sim_event *e = &s->event;
    tell_text(s, SIM_TOLD_PRINT, e->cpu, e->address, 0, e->text, e->text_size);
    if (s->line_up && kd_target_attached(&s->target) &&
        kd_target_print(&s->target, now, e->cpu, e->text, e->text_size) > 0)
        s->waits_for = WAIT_PRINT;
}

static void on_prompt(struct sim_session *s, uint64_t now)
{
    const struct sim_event *e = &s->event;
    tell_text(s, SIM_TOLD_PROMPT, e->cpu, e->address, 0, e->text, e->text_size);
    if (s->line_up && kd_target_attached(&s->target) &&
        kd_target_prompt(&s->target, now, e->cpu, e->text, e->text_size, e->answer_max) == KD_OK)
        s->waits_for = WAIT_PROMPT;
    else
        sim_answer(&s->machine, NULL, 0);
}

static void on_image(struct sim_session *s, uint64_t now)
{
    const struct sim_event *e = &s->event;
    bool unload = e->kind == SIM_IMAGE_UNLOAD;
    const struct sim_module *info = &s->machine.modules[e->module];
    if (unload)
        kd_target_forget_range(&s->target, info->base, info->size);
    if (s->line_up && kd_target_attached(&s->target))
        report_image(s, now, e->cpu, e->module, unload, WAIT_IMAGE);
}

static void on_event(struct sim_session *s, uint64_t now)
{
    switch (s->event.kind) {
    case SIM_EXCEPTION:
        s->first_chance = true;
        report_exception(s, now, s->event.cpu, why_stopped(&s->event));
        break;
    case SIM_PRINT:
        on_print(s, now);
        break;
    case SIM_PROMPT:
        on_prompt(s, now);
        break;
    case SIM_IMAGE_LOAD:
    case SIM_IMAGE_UNLOAD:
        on_image(s, now);
        break;
    default:
        break;
    }
}

/* ---- The file ---- */

static void ask_file(struct sim_session *s, uint64_t now)
{
    enum { READ = 0x80100080, SHARE_READ = 1, OPEN = 1, NORMAL = 0x80 };
    uint16_t path[256];
    size_t units = 0;
    int error;
    if (s->file_step == FILE_CREATE) {
        for (; s->config.file[units] && units < 256; units++)
            path[units] = (uint8_t)s->config.file[units];
        error = kd_target_create_file(&s->target, now, path, units, (uint32_t)READ, NORMAL,
                                      SHARE_READ, OPEN, 0);
    } else if (s->file_step == FILE_READ) {
        error = kd_target_read_file(&s->target, now, s->file_handle, 0, KD_FILE_IO_DATA_MAX);
    } else {
        error = kd_target_close_file(&s->target, now, s->file_handle);
    }
    if (error == KD_OK)
        s->waits_for = WAIT_FILE;
}

static void on_file_answer(struct sim_session *s)
{
    char text[128];
    struct kd_target_answer answer;
    if (kd_target_answer(&s->target, &answer) < 0) {
        s->file_step = FILE_DONE;
        return;
    }
    (void)snprintf(text, sizeof text, "%s: status %08X, %llu bytes",
                   s->file_step == FILE_CREATE ? "create"
                   : s->file_step == FILE_READ ? "read"
                                               : "close",
                   (unsigned)answer.status, (unsigned long long)answer.length);
    tell(s, SIM_TOLD_ANSWER, text);
    if (s->file_step == FILE_CREATE)
        s->file_handle = answer.handle;
    if (answer.status != KD_STATUS_SUCCESS && s->file_step == FILE_CREATE)
        s->file_step = FILE_DONE;
    else
        s->file_step++;
}

static void on_prompt_answer(struct sim_session *s)
{
    struct kd_target_answer answer;
    if (kd_target_answer(&s->target, &answer) < 0) {
        sim_answer(&s->machine, NULL, 0);
        return;
    }
    tell_text(s, SIM_TOLD_ANSWER, s->event.cpu, s->event.address, 0, (const char *)answer.bytes,
              answer.size);
    sim_answer(&s->machine, answer.bytes, answer.size);
}

/* ---- Going on ---- */

static void go(struct sim_session *s, const char *how)
{
    tell(s, SIM_TOLD_GO, how);
    sim_resume(&s->machine);
}

static void after_boot_report(struct sim_session *s)
{
    if (kd_target_resume(&s->target) == KD_TARGET_ABANDONED) {
        if (!s->config.boot_stop)
            s->boot = BOOT_DONE;
    } else {
        s->boot++;
    }
    go(s, "continued");
}

static void after_stop(struct sim_session *s, uint64_t now, enum wait was)
{
    switch (kd_target_resume(&s->target)) {
    case KD_TARGET_SWITCH:
        if (was == WAIT_BOOT)
            s->boot++;
        s->event.code = KD_STATUS_BREAKPOINT;
        s->event.parameter_count = 0;
        s->first_chance = true;
        report_exception(s, now, kd_target_switch_to(&s->target), "processor selected");
        return;
    case KD_TARGET_REBOOT:
        reboot(s);
        return;
    case KD_TARGET_BUG_CHECK:
        bug_check(s, now);
        return;
    case KD_TARGET_NOT_HANDLED:
        if (was == WAIT_EXCEPTION && s->first_chance) {
            s->first_chance = false;
            report_exception(s, now, s->event.cpu, "second chance");
            return;
        }
        if (was == WAIT_EXCEPTION) {
            bug_check(s, now);
            return;
        }
        break;
    default:
        break;
    }
    if (s->bug_checked)
        reboot(s); /* there is nothing to go on with */
    else if (was == WAIT_BOOT)
        after_boot_report(s);
    else
        go(s, "continued");
}

static void after_wait(struct sim_session *s, uint64_t now)
{
    enum wait was = (enum wait)s->waits_for;
    s->waits_for = WAIT_NOTHING;
    switch (was) {
    case WAIT_PROMPT:
        on_prompt_answer(s);
        break;
    case WAIT_FILE:
        on_file_answer(s);
        break;
    case WAIT_PRINT:
        if (s->bug_checked)
            report_break(s, now, "bug check");
        break;
    default:
        after_stop(s, now, was);
        break;
    }
}

/* Does whatever does not need instructions; true when something was done. */
static bool advance(struct sim_session *s, uint64_t now)
{
    if (s->waits_for != WAIT_NOTHING) {
        after_wait(s, now);
        return true;
    }
    if (s->bug_checked) {
        report_break(s, now, "bug check");
    } else if (s->boot != BOOT_DONE) {
        if (s->line_up)
            boot(s, now);
    } else if (kd_target_break_in_wanted(&s->target)) {
        report_break(s, now, "break-in");
    } else if (s->file_step != FILE_DONE && s->line_up && kd_target_attached(&s->target)) {
        ask_file(s, now);
    }
    return s->waits_for != WAIT_NOTHING;
}

static bool waits_for_line(const struct sim_session *s)
{
    return s->boot != BOOT_DONE && !s->line_up;
}

/* The acknowledgement of what let the machine go must have left before it goes: a reboot would
 * take it along. */
static bool waits_for_output(struct sim_session *s)
{
    const uint8_t *bytes;
    return s->waits_for != WAIT_NOTHING && kd_target_output(&s->target, &bytes) > 0;
}

void sim_session_run(struct sim_session *s, uint64_t now, uint64_t instructions)
{
    kd_target_tick(&s->target, now);
    tell_attachment(s);
    while (kd_target_state(&s->target) == KD_TARGET_RUNNING && !waits_for_output(s)) {
        if (advance(s, now))
            continue;
        if (!instructions || waits_for_line(s))
            break;
        uint64_t tried = sim_run(&s->machine, instructions, &s->event);
        instructions -= tried;
        if (s->event.kind == SIM_IDLE || s->event.kind == SIM_RAN)
            break;
        on_event(s, now);
    }
    tell_attachment(s);
}

/* ---- The line ---- */

void sim_session_line(struct sim_session *s, uint64_t now, bool up)
{
    (void)now;
    s->line_up = up;
    if (!up && kd_target_state(&s->target) == KD_TARGET_SENDING)
        kd_target_abandon(&s->target);
}

void sim_session_feed(struct sim_session *s, uint64_t now, const uint8_t *bytes, size_t size)
{
    kd_target_feed(&s->target, now, bytes, size);
    tell_attachment(s);
}

size_t sim_session_output(struct sim_session *s, const uint8_t **bytes)
{
    return kd_target_output(&s->target, bytes);
}

void sim_session_written(struct sim_session *s, uint64_t now, size_t size)
{
    kd_target_written(&s->target, now, size);
}
