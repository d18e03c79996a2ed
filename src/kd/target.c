/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debuggee's engine.
 *
 *   state    event                               next      what happens
 *   -------  ----------------------------------  --------  -------------------------------------
 *   RUNNING  report exception, image, command    STOPPED   own breakpoints near PC go; report sent;
 *                                                          an exception ends a wish to break in
 *   RUNNING  print, trace                        SENDING   packet sent
 *   RUNNING  prompt, file request                ASKING    packet sent
 *   RUNNING  break-in byte (or RESET, if wanted) RUNNING   break_in_wanted
 *   SENDING  acknowledged                        RUNNING
 *   SENDING  dropped                             RUNNING   not attached any more
 *   SENDING  break-in byte                       SENDING   break_in_wanted (stop after the print)
 *   ASKING   answer                              RUNNING   answer kept
 *   ASKING   dropped (create file only)          RUNNING   no answer
 *   ASKING   resend                              ASKING    the question again
 *   STOPPED  request                             STOPPED   reply sent
 *   STOPPED  Continue, Continue2                 RUNNING   CONTINUE or NOT_HANDLED; no reply
 *   STOPPED  SwitchProcessor, Reboot, BugCheck   RUNNING   SWITCH, REBOOT, BUG_CHECK; no reply
 *   STOPPED  Ex breakpoint request that ends it  STOPPED   reply, and when that is acknowledged:
 *            acknowledged                        RUNNING   NOT_HANDLED
 *   STOPPED  resend                              STOPPED   the report again
 *   STOPPED  break-in byte, image or command     STOPPED   break_in_wanted when it runs again, if a
 *            report not acknowledged yet                   debugger is attached
 *   STOPPED  dropped (load symbols only)         RUNNING   ABANDONED
 *   any      kd_target_abandon                   RUNNING   ABANDONED
 *
 * Frames stay small: this runs on an exception stack.
 */
#include <string.h>

#include "target_inside.h"

enum {
    CS_KERNEL = 0x10, /* the flat 64-bit code selector of Windows kernels */
    REPORT_SEGMENTS_VALID = 1,
    REPORT_STANDARD_CS = 2,
};

/* ---- Sending ---- */

static int send_report(struct kd_target *t, uint64_t now)
{
    return kd_link_send(&t->link, now, t->report_type, t->report, t->report_size, NULL, 0);
}

static uint16_t expected_type(const struct kd_target *t)
{
    if (t->state == KD_TARGET_STOPPED)
        return KD_PACKET_STATE_MANIPULATE;
    if (t->state == KD_TARGET_ASKING)
        return t->report_type;
    return KD_PACKET_UNUSED;
}

static void enter(struct kd_target *t, enum kd_target_state state)
{
    t->state = state;
    t->leaves_when_acked = false;
    t->staged_size = 0;
    kd_link_expect(&t->link, expected_type(t));
}

void kd_target_leave(struct kd_target *t, enum kd_target_resume resume)
{
    t->resume = resume;
    enter(t, KD_TARGET_RUNNING);
}

/* Sends what is in `report`; the state changes only if the link takes it. */
static int start(struct kd_target *t, uint64_t now, enum kd_target_state state, uint16_t type,
                 size_t size)
{
    t->report_type = type;
    t->report_size = size;
    int error = send_report(t, now);
    if (error < 0)
        return error;
    t->answered = false;
    t->report_taken = false;
    enter(t, state);
    return KD_OK;
}

static int may_start(const struct kd_target *t, uint32_t cpu)
{
    if (t->state != KD_TARGET_RUNNING)
        return KD_E_BUSY;
    if (cpu >= t->ops->processor_count(t->machine))
        return KD_E_ARGUMENT;
    return KD_OK;
}

/* ---- Answers to what the debuggee asked ---- */

static void keep_bytes(struct kd_target *t, const uint8_t *bytes, size_t size)
{
    memcpy(t->reply, bytes, size);
    t->answer.bytes = t->reply;
    t->answer.size = size;
}

static void finish_asking(struct kd_target *t)
{
    t->answered = true;
    enter(t, KD_TARGET_RUNNING);
}

static void take_line(struct kd_target *t, const uint8_t *body, size_t size)
{
    if (size < KD_DEBUG_IO_SIZE || KD_GET(body, DebugIo, ApiNumber) != t->asked_api)
        return;
    size_t length = kd_at_most(KD_GET(body, DebugIo, LengthOfStringRead), size - KD_DEBUG_IO_SIZE);
    length = kd_at_most(length, t->answer_max);
    keep_bytes(t, body + KD_DEBUG_IO_SIZE, length);
    t->answer.length = length;
    finish_asking(t);
}

static void take_file_answer(struct kd_target *t, const uint8_t *body, size_t size)
{
    if (size < KD_FILE_IO_SIZE || KD_GET(body, FileIo, ApiNumber) != t->asked_api)
        return;
    t->answer.status = (uint32_t)KD_GET(body, FileIo, Status);
    switch (t->asked_api) {
    case KD_API_CREATE_FILE:
        t->answer.handle = KD_GET(body, CreateFile, Handle);
        t->answer.length = KD_GET(body, CreateFile, Length);
        break;
    case KD_API_READ_FILE: {
        size_t length = kd_at_most(KD_GET(body, ReadFile, Length), size - KD_FILE_IO_SIZE);
        length = kd_at_most(length, t->answer_max);
        keep_bytes(t, body + KD_FILE_IO_SIZE, length);
        t->answer.length = length;
        break;
    }
    case KD_API_WRITE_FILE:
        t->answer.length = kd_at_most(KD_GET(body, WriteFile, Length), t->answer_max);
        break;
    default:
        break;
    }
    finish_asking(t);
}

/* ---- Events of the link ---- */

static void on_packet(struct kd_target *t, uint64_t now, const struct kd_link_event *event)
{
    t->attached = true;
    t->report_taken = true;
    if (event->type != expected_type(t))
        return;
    if (t->state == KD_TARGET_STOPPED)
        kd_target_serve(t, now, event->body, event->body_size);
    else if (event->type == KD_PACKET_DEBUG_IO)
        take_line(t, event->body, event->body_size);
    else if (event->type == KD_PACKET_FILE_IO)
        take_file_answer(t, event->body, event->body_size);
}

static void on_acked(struct kd_target *t)
{
    t->attached = true;
    t->report_taken = true;
    if (t->state == KD_TARGET_SENDING)
        enter(t, KD_TARGET_RUNNING);
    else if (t->leaves_when_acked)
        kd_target_leave(t, KD_TARGET_NOT_HANDLED);
}

static void on_dropped(struct kd_target *t)
{
    t->attached = false;
    if (t->state != KD_TARGET_RUNNING)
        kd_target_leave(t, KD_TARGET_ABANDONED);
}

/* Whether the stop is one that a debugger goes on from by itself. To one that is attached, a
 * break-in that crosses it is still owed; of one that is not, it may be an old byte. */
static bool is_passing(const struct kd_target *t)
{
    return t->attached && KD_GET(t->report, StateChange, NewState) != KD_STATE_EXCEPTION;
}

static void on_event(struct kd_target *t, uint64_t now, const struct kd_link_event *event)
{
    switch (event->kind) {
    case KD_LINK_PACKET:
        on_packet(t, now, event);
        break;
    case KD_LINK_ACKED:
        on_acked(t);
        break;
    case KD_LINK_DROPPED:
        on_dropped(t);
        break;
    case KD_LINK_RESEND_STOP:
        if (t->state == KD_TARGET_STOPPED || t->state == KD_TARGET_ASKING)
            (void)send_report(t, now);
        break;
    case KD_LINK_RESET:
        if (t->state == KD_TARGET_RUNNING && t->config.reset_breaks_in)
            t->break_in = true;
        break;
    case KD_LINK_BREAK_IN:
        if (t->state != KD_TARGET_STOPPED || (is_passing(t) && !t->report_taken))
            t->break_in = true;
        break;
    default:
        break;
    }
}

static bool drain(struct kd_target *t, uint64_t now)
{
    struct kd_link_event event;
    bool any = false;
    while (kd_link_event(&t->link, &event)) {
        on_event(t, now, &event);
        any = true;
    }
    return any;
}

/* ---- Reports ---- */

static void put_control_report(struct kd_target *t, uint32_t cpu, uint64_t program_counter)
{
    uint8_t *special = t->reply; /* free between stops; both are too large for the stack */
    uint8_t *context = kd_target_scratch(t);
    uint8_t *report = t->report;
    struct kd_machine_version v;
    size_t count = kd_target_read_shown(t, program_counter,
                                        report + KD_AT(ControlReportAmd64, InstructionStream),
                                        KD_INSTRUCTION_STREAM_MAX);
    KD_PUT(report, ControlReportAmd64, InstructionCount, count);
    if (kd_target_load_context(t, cpu, context) < 0)
        return;
    if (kd_target_load_special(t, cpu, special) < 0) {
        KD_PUT(special, SpecialAmd64, KernelDr6, KD_GET(context, ContextAmd64, Dr6));
        KD_PUT(special, SpecialAmd64, KernelDr7, KD_GET(context, ContextAmd64, Dr7));
    }
    memset(&v, 0, sizeof v);
    t->ops->version(t->machine, &v);
    uint64_t cs = KD_GET(context, ContextAmd64, SegCs);
    bool standard = cs == CS_KERNEL && v.major >> KD_MAJOR_KIND_SHIFT == 0;
    KD_PUT(report, ControlReportAmd64, Dr6, KD_GET(special, SpecialAmd64, KernelDr6));
    KD_PUT(report, ControlReportAmd64, Dr7, KD_GET(special, SpecialAmd64, KernelDr7));
    KD_PUT(report, ControlReportAmd64, EFlags, KD_GET(context, ContextAmd64, EFlags));
    KD_PUT(report, ControlReportAmd64, ReportFlags,
           REPORT_SEGMENTS_VALID | (standard ? REPORT_STANDARD_CS : 0));
    KD_PUT(report, ControlReportAmd64, SegCs, cs);
    KD_PUT(report, ControlReportAmd64, SegDs, KD_GET(context, ContextAmd64, SegDs));
    KD_PUT(report, ControlReportAmd64, SegEs, KD_GET(context, ContextAmd64, SegEs));
    KD_PUT(report, ControlReportAmd64, SegFs, KD_GET(context, ContextAmd64, SegFs));
}

/* The part all state changes have; the union is filled in by the caller. */
static void put_state_change(struct kd_target *t, uint32_t new_state, uint32_t cpu, uint64_t thread,
                             uint64_t program_counter)
{
    t->cpu = cpu;
    kd_target_remove_range(t, program_counter, KD_INSTRUCTION_STREAM_MAX);
    memset(t->report, 0, KD_STATE_CHANGE_SIZE);
    KD_PUT(t->report, StateChange, NewState, new_state);
    KD_PUT(t->report, StateChange, ProcessorLevel, t->config.processor_level);
    KD_PUT(t->report, StateChange, Processor, cpu);
    KD_PUT(t->report, StateChange, NumberProcessors, t->ops->processor_count(t->machine));
    KD_PUT(t->report, StateChange, Thread, thread);
    KD_PUT(t->report, StateChange, ProgramCounter, program_counter);
    put_control_report(t, cpu, program_counter);
    t->break_in = t->break_in && is_passing(t);
}

int kd_target_report_exception(struct kd_target *t, uint64_t now,
                               const struct kd_target_exception *exception)
{
    int error = may_start(t, exception->cpu);
    if (error < 0)
        return error;
    put_state_change(t, KD_STATE_EXCEPTION, exception->cpu, exception->thread,
                     exception->program_counter);
    size_t count = kd_at_most(exception->parameter_count, 15);
    KD_PUT(t->report, Exception, ExceptionCode, exception->code);
    KD_PUT(t->report, Exception, ExceptionFlags, exception->flags);
    KD_PUT(t->report, Exception, ExceptionAddress, exception->address);
    KD_PUT(t->report, Exception, NumberParameters, count);
    for (size_t i = 0; i < count; i++)
        kd_put_u64(t->report + KD_AT(Exception, ExceptionInformation) + 8 * i,
                   exception->parameters[i]);
    KD_PUT(t->report, Exception, FirstChance, exception->first_chance);
    return start(t, now, KD_TARGET_STOPPED, KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE);
}

/* At most LIMIT characters of TEXT with their NUL go to TO; returns the bytes, NUL included. */
static size_t put_text(uint8_t *to, const char *text, size_t limit)
{
    size_t size = 0;
    while (size < limit && text[size]) {
        to[size] = (uint8_t)text[size];
        size++;
    }
    to[size] = 0;
    return size + 1;
}

int kd_target_report_image(struct kd_target *t, uint64_t now, const struct kd_target_image *image)
{
    int error = may_start(t, image->cpu);
    if (error < 0)
        return error;
    put_state_change(t, KD_STATE_LOAD_SYMBOLS, image->cpu, image->thread, image->program_counter);
    size_t path = 0;
    if (image->path)
        path = put_text(t->report + KD_STATE_CHANGE_SIZE, image->path, KD_IMAGE_PATH_MAX);
    KD_PUT(t->report, LoadSymbols, PathNameLength, path);
    KD_PUT(t->report, LoadSymbols, BaseOfDll, image->base);
    KD_PUT(t->report, LoadSymbols, ProcessId, image->process_id);
    KD_PUT(t->report, LoadSymbols, CheckSum, image->checksum);
    KD_PUT(t->report, LoadSymbols, SizeOfImage, image->size);
    KD_PUT(t->report, LoadSymbols, UnloadSymbols, image->unload);
    return start(t, now, KD_TARGET_STOPPED, KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE + path);
}

int kd_target_report_command(struct kd_target *t, uint64_t now, uint32_t cpu, const char *component,
                             const char *command)
{
    int error = may_start(t, cpu);
    if (error < 0)
        return error;
    uint64_t program_counter = 0;
    uint8_t *context = kd_target_scratch(t);
    if (kd_target_load_context(t, cpu, context) == KD_OK)
        program_counter = KD_GET(context, ContextAmd64, Rip);
    put_state_change(t, KD_STATE_COMMAND_STRING, cpu, 0, program_counter);
    uint8_t *data = t->report + KD_STATE_CHANGE_SIZE;
    size_t size = put_text(data, component, KD_COMPONENT_MAX);
    size += put_text(data + size, command, KD_STATE_CHANGE_DATA_MAX - size - 1);
    return start(t, now, KD_TARGET_STOPPED, KD_PACKET_STATE_CHANGE64, KD_STATE_CHANGE_SIZE + size);
}

/* ---- Text, trace, questions ---- */

static void put_debug_io(struct kd_target *t, uint32_t api, uint32_t cpu, const char *text,
                         size_t size, uint32_t answer_max)
{
    memset(t->report, 0, KD_DEBUG_IO_SIZE);
    KD_PUT(t->report, DebugIo, ApiNumber, api);
    KD_PUT(t->report, DebugIo, ProcessorLevel, t->config.processor_level);
    KD_PUT(t->report, DebugIo, Processor, cpu);
    KD_PUT(t->report, DebugIo, LengthOfString, size);
    KD_PUT(t->report, DebugIo, LengthOfStringRead, answer_max);
    if (size)
        memcpy(t->report + KD_DEBUG_IO_SIZE, text, size);
}

int kd_target_print(struct kd_target *t, uint64_t now, uint32_t cpu, const char *text, size_t size)
{
    int error = may_start(t, cpu);
    if (error == KD_E_BUSY || (error == KD_OK && !size))
        return 0;
    if (error < 0)
        return error;
    size = kd_at_most(size, KD_PRINT_MAX);
    put_debug_io(t, KD_API_PRINT_STRING, cpu, text, size, 0);
    error = start(t, now, KD_TARGET_SENDING, KD_PACKET_DEBUG_IO, KD_DEBUG_IO_SIZE + size);
    return error < 0 ? error : (int)size;
}

int kd_target_trace(struct kd_target *t, uint64_t now, uint32_t cpu, const uint8_t *data,
                    size_t size)
{
    int error = may_start(t, cpu);
    if (error < 0)
        return error;
    if (size > KD_BODY_MAX - KD_TRACE_IO_SIZE)
        return KD_E_TOO_LONG;
    memset(t->report, 0, KD_TRACE_IO_SIZE);
    KD_PUT(t->report, TraceIo, ApiNumber, KD_API_PRINT_TRACE);
    KD_PUT(t->report, TraceIo, ProcessorLevel, t->config.processor_level);
    KD_PUT(t->report, TraceIo, Processor, cpu);
    KD_PUT(t->report, TraceIo, LengthOfData, size);
    if (size)
        memcpy(t->report + KD_TRACE_IO_SIZE, data, size);
    return start(t, now, KD_TARGET_SENDING, KD_PACKET_TRACE_IO, KD_TRACE_IO_SIZE + size);
}

static int ask(struct kd_target *t, uint64_t now, uint16_t type, uint32_t api, size_t size)
{
    memset(&t->answer, 0, sizeof t->answer);
    t->asked_api = api;
    return start(t, now, KD_TARGET_ASKING, type, size);
}

int kd_target_prompt(struct kd_target *t, uint64_t now, uint32_t cpu, const char *text, size_t size,
                     uint32_t answer_max)
{
    int error = may_start(t, cpu);
    if (error < 0)
        return error;
    if (size > KD_DEBUG_IO_DATA_MAX)
        return KD_E_TOO_LONG;
    t->answer_max = (uint32_t)kd_at_most(answer_max, KD_DEBUG_IO_DATA_MAX);
    put_debug_io(t, KD_API_GET_STRING, cpu, text, size, t->answer_max);
    return ask(t, now, KD_PACKET_DEBUG_IO, KD_API_GET_STRING, KD_DEBUG_IO_SIZE + size);
}

static int prepare_file_request(struct kd_target *t, uint32_t api, size_t data_size)
{
    int error = may_start(t, t->cpu);
    if (error < 0)
        return error;
    if (data_size > KD_FILE_IO_DATA_MAX)
        return KD_E_TOO_LONG;
    memset(t->report, 0, KD_FILE_IO_SIZE);
    KD_PUT(t->report, FileIo, ApiNumber, api);
    return KD_OK;
}

int kd_target_create_file(struct kd_target *t, uint64_t now, const uint16_t *path,
                          size_t path_units, uint32_t access, uint32_t attributes, uint32_t share,
                          uint32_t disposition, uint32_t options)
{
    if (path_units >= KD_FILE_IO_DATA_MAX / 2)
        return KD_E_TOO_LONG;
    size_t bytes = 2 * (path_units + 1);
    int error = prepare_file_request(t, KD_API_CREATE_FILE, bytes);
    if (error < 0)
        return error;
    KD_PUT(t->report, CreateFile, DesiredAccess, access);
    KD_PUT(t->report, CreateFile, FileAttributes, attributes);
    KD_PUT(t->report, CreateFile, ShareAccess, share);
    KD_PUT(t->report, CreateFile, CreateDisposition, disposition);
    KD_PUT(t->report, CreateFile, CreateOptions, options);
    for (size_t i = 0; i < path_units; i++)
        kd_put_u16(t->report + KD_FILE_IO_SIZE + 2 * i, path[i]);
    kd_put_u16(t->report + KD_FILE_IO_SIZE + 2 * path_units, 0);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_CREATE_FILE, KD_FILE_IO_SIZE + bytes);
}

int kd_target_read_file(struct kd_target *t, uint64_t now, uint64_t handle, uint64_t offset,
                        uint32_t size)
{
    int error = prepare_file_request(t, KD_API_READ_FILE, size);
    if (error < 0)
        return error;
    t->answer_max = size;
    KD_PUT(t->report, ReadFile, Handle, handle);
    KD_PUT(t->report, ReadFile, Offset, offset);
    KD_PUT(t->report, ReadFile, Length, size);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_READ_FILE, KD_FILE_IO_SIZE);
}

int kd_target_write_file(struct kd_target *t, uint64_t now, uint64_t handle, uint64_t offset,
                         const uint8_t *bytes, uint32_t size)
{
    int error = prepare_file_request(t, KD_API_WRITE_FILE, size);
    if (error < 0)
        return error;
    t->answer_max = size;
    KD_PUT(t->report, WriteFile, Handle, handle);
    KD_PUT(t->report, WriteFile, Offset, offset);
    KD_PUT(t->report, WriteFile, Length, size);
    if (size)
        memcpy(t->report + KD_FILE_IO_SIZE, bytes, size);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_WRITE_FILE, KD_FILE_IO_SIZE + size);
}

int kd_target_close_file(struct kd_target *t, uint64_t now, uint64_t handle)
{
    int error = prepare_file_request(t, KD_API_CLOSE_FILE, 0);
    if (error < 0)
        return error;
    KD_PUT(t->report, CloseFile, Handle, handle);
    return ask(t, now, KD_PACKET_FILE_IO, KD_API_CLOSE_FILE, KD_FILE_IO_SIZE);
}

int kd_target_answer(struct kd_target *t, struct kd_target_answer *answer)
{
    if (!t->answered)
        return KD_E_NOT_FOUND;
    *answer = t->answer;
    return KD_OK;
}

/* ---- Set-up, wire, state ---- */

void kd_target_init(struct kd_target *t, const struct kd_target_config *config,
                    const struct kd_machine_ops *ops, void *machine)
{
    memset(t, 0, sizeof *t);
    t->config = *config;
    t->config.link.role = KD_ROLE_TARGET;
    t->ops = ops;
    t->machine = machine;
    t->resume = KD_TARGET_CONTINUE;
    kd_link_init(&t->link, &t->config.link);
    enter(t, KD_TARGET_RUNNING);
}

void kd_target_feed(struct kd_target *t, uint64_t now, const uint8_t *data, size_t size)
{
    for (;;) {
        size_t used = kd_link_feed(&t->link, now, data, size);
        bool any = drain(t, now);
        data += used;
        size -= used;
        if (!size || (!used && !any))
            return;
    }
}

size_t kd_target_output(struct kd_target *t, const uint8_t **bytes)
{
    return kd_link_output(&t->link, bytes);
}

void kd_target_written(struct kd_target *t, uint64_t now, size_t size)
{
    kd_link_written(&t->link, now, size);
}

void kd_target_tick(struct kd_target *t, uint64_t now)
{
    kd_link_tick(&t->link, now);
    (void)drain(t, now);
}

uint64_t kd_target_deadline(const struct kd_target *t)
{
    return kd_link_deadline(&t->link);
}

enum kd_target_state kd_target_state(const struct kd_target *t)
{
    return t->state;
}

enum kd_target_resume kd_target_resume(const struct kd_target *t)
{
    return t->resume;
}

uint32_t kd_target_switch_to(const struct kd_target *t)
{
    return t->switch_to;
}

bool kd_target_break_in_wanted(struct kd_target *t)
{
    bool wanted = t->break_in;
    t->break_in = false;
    return wanted;
}

bool kd_target_attached(const struct kd_target *t)
{
    return t->attached;
}

bool kd_target_report_taken(const struct kd_target *t)
{
    return t->report_taken;
}

void kd_target_abandon(struct kd_target *t)
{
    kd_link_abandon(&t->link);
    if (t->state == KD_TARGET_RUNNING)
        return;
    t->attached = t->attached && t->report_taken;
    kd_target_leave(t, KD_TARGET_ABANDONED);
}

void kd_target_restart_link(struct kd_target *t, uint64_t now)
{
    kd_link_restart(&t->link);
    t->attached = false;
    kd_link_expect(&t->link, expected_type(t));
    if (t->state != KD_TARGET_RUNNING)
        (void)send_report(t, now);
}

const struct kd_link_stats *kd_target_link_stats(const struct kd_target *t)
{
    return kd_link_stats(&t->link);
}
