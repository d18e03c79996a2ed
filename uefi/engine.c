/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a frame becomes:
 *
 *   vector            what happens                                     how the frame is left
 *   0..31             stop; the debugger says handled, or not          resume, or chain
 *     3, no debugger  nobody to tell: the firmware's own handler       chain
 *     2 (NMI)         stop as a break-in                               resume
 *   32..255           look at the wire; stop if break-in is wanted     chain
 *     the port's own  the same, but firmware does not know the vector  resume
 *   CPU_SERVICE + n   enum engine_service, for ordinary code           resume
 *
 * A debugger that has never answered gets config.timeout_ms at a stop (0 = for ever), then the
 * program goes on as if there were no engine. One that has answered before is waited for: a
 * debugger may be restarted while the machine stays stopped.
 */
#include "engine.h"

#include <string.h>

#include "idt.h"
#include "memory.h"
#include "modules.h"
#include "ports.h"
#include "timer.h"
#include "vmbus_port.h"

enum {
    READ_MAX = 256, /* bytes taken from the UART before output gets its turn */
    REST_US = 20,
    FLUSH_MAX_US = 50000, /* while the machine runs: longest wait for the transmitter */
    /* A debugger that answered before but does not take this report or text has left. KD's own
     * twenty tries of a second each would hold the machine that long. */
    REPORT_PATIENCE_US = 3000000,
    RESET_PORT = 0xCF9,
    RESET_COLD = 0x0E,
};

struct engine engine;

/* ---- The wire ---- */

static bool has_output(void)
{
    const uint8_t *bytes;

    return kd_target_output(&engine.target, &bytes) != 0;
}

static void send_output(void)
{
    const uint8_t *bytes;
    bool received = false;
    size_t n;

    /* Full duplex: a FIFO of 16 bytes overruns in 1.4 ms. */
    while (!received && (n = kd_target_output(&engine.target, &bytes)) != 0) {
        size_t written = engine.wire.ops->write(engine.wire.port, bytes, n, &received);

        if (written == 0)
            break;
        kd_target_written(&engine.target, timer_now(), written);
    }
}

static bool take_input(void)
{
    uint8_t bytes[READ_MAX];
    size_t n = engine.wire.ops->read(engine.wire.port, bytes, sizeof bytes);

    if (n != 0)
        kd_target_feed(&engine.target, timer_now(), bytes, n);
    return n != 0;
}

/* Leaves the port alone for a moment. A virtual machine's host needs it to bring the next bytes (in
 * QEMU's emulation every port access takes the lock that its input needs, and so does PAUSE); on
 * real hardware it is a quarter of a byte's time. */
static void rest(void)
{
    uint64_t until = timer_now() + REST_US;

    while (timer_now() < until)
        ;
}

/* Serves the debugger until the program may run on. With PATIENCE_US, gives up when IS_THERE says
 * by then that no debugger is. */
static void serve(uint64_t patience_us, bool (*is_there)(const struct kd_target *target))
{
    uint64_t start = timer_now();

    while (kd_target_state(&engine.target) != KD_TARGET_RUNNING) {
        bool busy = take_input();

        send_output();
        kd_target_tick(&engine.target, timer_now());
        if (patience_us != 0 && !is_there(&engine.target) && timer_now() - start > patience_us) {
            kd_target_abandon(&engine.target);
            break;
        }
        if (!busy && !has_output())
            rest();
    }
    /* The last acknowledgement must leave before the program runs on. */
    start = timer_now();
    while (has_output() && timer_now() - start < FLUSH_MAX_US) {
        send_output();
        (void)take_input();
    }
}

/* A stop waits for a debugger that has ever answered, a mere report only for one that takes it. */
static void serve_stop(uint64_t patience_us)
{
    serve(patience_us, kd_target_attached);
}

static void serve_report(uint64_t patience_us)
{
    serve(patience_us, kd_target_report_taken);
}

static uint64_t patience(void)
{
    return (uint64_t)engine.config.timeout_ms * 1000;
}

/* ---- Stops ---- */

static void reset_machine(void)
{
    if (engine.runtime != NULL)
        engine.runtime->ResetSystem(EfiResetCold, EFI_SUCCESS, 0, NULL);
    for (;;) { /* firmware that cannot reset itself */
        cpu_out8(RESET_PORT, RESET_COLD);
        cpu_pause();
    }
}

static void forget_module_reports(void)
{
    for (unsigned i = 0; i < MODULES_MAX; i++)
        modules_reported(modules_at(i));
}

/* Makes the one instruction at RIP run although an execution breakpoint is armed there: without RF
 * it would fire for ever. Only if the debugger has not moved the program elsewhere. */
static void step_over_execution_breakpoint(struct cpu_frame *frame, uint64_t stopped_at)
{
    if (frame->rip == stopped_at)
        frame->rflags |= CPU_FLAG_RF;
}

/* A hard-coded int3 that the debugger neither moved over nor owns would stop for ever. */
static void step_over_int3(struct cpu_frame *frame, uint64_t stopped_at)
{
    uint8_t byte = 0;

    if (frame->rip == stopped_at && !kd_target_has_breakpoint(&engine.target, stopped_at) &&
        memory_read(stopped_at, &byte, 1) == 1 && byte == 0xCC)
        frame->rip++;
}

static enum kd_target_resume report_stop(struct cpu_frame *frame,
                                         const struct kd_target_exception *exception,
                                         uint64_t patience_us)
{
    enum kd_target_resume resume;

    /* A debugger that comes now reads the list: it must be true, and needs no reports of the past.
     */
    if (!kd_target_attached(&engine.target)) {
        (void)modules_poll();
        forget_module_reports();
    }
    if (kd_target_report_exception(&engine.target, timer_now(), exception) != 0)
        return KD_TARGET_ABANDONED;
    if (idt_can_stop_aps()) /* an AP's stop waits for the main processor to come by on its tick */
        port_interrupt_others();
    serve_stop(patience_us);
    resume = kd_target_resume(&engine.target);
    if (resume == KD_TARGET_REBOOT)
        reset_machine();
    step_over_execution_breakpoint(frame, exception->program_counter);
    frame->dr6 = CPU_DR6_CLEAR;
    return resume;
}

static void exception_at(struct kd_target_exception *exception, const struct cpu_frame *frame,
                         uint32_t code)
{
    memset(exception, 0, sizeof *exception);
    exception->program_counter = frame->rip;
    exception->address = frame->rip;
    exception->code = code;
    exception->first_chance = true;
}

/* A stop that the user asked for, not the program. */
static enum kd_target_resume break_in(struct cpu_frame *frame, uint64_t patience_us)
{
    struct kd_target_exception exception;

    exception_at(&exception, frame, KD_STATUS_BREAKPOINT);
    exception.parameter_count = 1;
    return report_stop(frame, &exception, patience_us);
}

/* NTSTATUS of an exception, as Windows would name it. */
static uint32_t status_of(uint64_t vector)
{
    static const uint32_t codes[CPU_FIRST_EXTERNAL] = {
        [0] = 0xC0000094u, /* integer divide by zero */
        [1] = KD_STATUS_SINGLE_STEP,
        [2] = KD_STATUS_BREAKPOINT,
        [3] = KD_STATUS_BREAKPOINT,
        [4] = 0xC0000095u, /* integer overflow */
        [5] = 0xC000008Cu, /* array bounds exceeded */
        [6] = KD_STATUS_ILLEGAL_INSTRUCTION,
        [12] = KD_STATUS_ACCESS_VIOLATION,
        [13] = KD_STATUS_ACCESS_VIOLATION,
        [14] = KD_STATUS_ACCESS_VIOLATION,
        [16] = 0xC0000090u, /* float invalid operation */
        [17] = KD_STATUS_DATATYPE_MISALIGNMENT,
        [19] = 0xC00002B5u, /* multiple float traps */
    };

    /* Customer bit and the vector, for those that Windows would answer with a bug check. */
    return codes[vector] != 0 ? codes[vector] : 0xE0000000u | (uint32_t)vector;
}

static void describe(struct kd_target_exception *exception, const struct cpu_frame *frame)
{
    exception_at(exception, frame, status_of(frame->vector));
    switch (frame->vector) {
    case CPU_VECTOR_BREAKPOINT:
        exception->parameter_count = 1;
        break;
    case CPU_VECTOR_PAGE_FAULT: /* read 0, write 1, execute 8; the address */
        exception->parameter_count = 2;
        exception->parameters[0] = (frame->error & 0x10) != 0 ? 8 : (frame->error >> 1) & 1;
        exception->parameters[1] = frame->cr2;
        break;
    case 13: /* a non-canonical address or a privilege: Windows reports read of -1 */
        exception->parameter_count = 2;
        exception->parameters[1] = UINT64_MAX;
        break;
    case CPU_VECTOR_DEBUG:
        break;
    default:
        exception->parameter_count = 2;
        exception->parameters[0] = frame->vector;
        exception->parameters[1] = frame->error;
        break;
    }
}

static uint64_t handle_exception(struct cpu_frame *frame)
{
    struct kd_target_exception exception;
    enum kd_target_resume resume;
    uint64_t reported_rip = frame->rip;

    if (engine.gone || engine.wire.ops == NULL)
        return ENGINE_CHAIN;
    if (frame->vector == CPU_VECTOR_NMI)
        return break_in(frame, patience()) == KD_TARGET_NOT_HANDLED ? ENGINE_CHAIN : ENGINE_RESUME;
    if (frame->vector == CPU_VECTOR_DEBUG)
        frame->rflags &= ~(uint64_t)CPU_FLAG_TF; /* as NT does: a step is one step */
    if (frame->vector == CPU_VECTOR_BREAKPOINT)
        frame->rip--; /* KD's breakpoints are reported at the int3 itself */
    describe(&exception, frame);
    resume = report_stop(frame, &exception, patience());
    if (resume == KD_TARGET_CONTINUE || resume == KD_TARGET_SWITCH) {
        if (frame->vector == CPU_VECTOR_BREAKPOINT)
            step_over_int3(frame, exception.program_counter);
        return ENGINE_RESUME;
    }
    /* Nobody there, or "not handled": the firmware's handler sees what the processor raised. */
    if (frame->vector == CPU_VECTOR_BREAKPOINT && frame->rip == exception.program_counter)
        frame->rip = reported_rip;
    return ENGINE_CHAIN;
}

/* ---- Module reports ---- */

static bool same_name(const char *name, const char *wanted)
{
    size_t i;

    for (i = 0; wanted[i] != 0; i++) {
        char a = name[i], b = wanted[i];

        if (a >= 'A' && a <= 'Z')
            a = (char)(a + 32);
        if (b >= 'A' && b <= 'Z')
            b = (char)(b + 32);
        if (a != b)
            return false;
    }
    return i > 0 && (name[i] == 0 || (name[i] == '.' && same_name(name + i, ".efi")));
}

/* False when no debugger took it. */
static bool report_image(const struct module *module, bool unload, uint64_t patience_us)
{
    struct kd_target_image image;

    memset(&image, 0, sizeof image);
    image.program_counter = engine.frame->rip;
    image.path = module->name;
    image.base = module->base;
    image.process_id = UINT64_MAX;
    image.checksum = module->checksum;
    image.size = (uint32_t)module->size;
    image.unload = unload;
    if (kd_target_report_image(&engine.target, timer_now(), &image) != 0)
        return false;
    serve_report(patience_us);
    if (kd_target_resume(&engine.target) == KD_TARGET_REBOOT)
        reset_machine();
    return kd_target_resume(&engine.target) != KD_TARGET_ABANDONED;
}

static void report_module(struct module *module)
{
    bool is_new = module->state == MODULE_NEW;

    if (!is_new)
        kd_target_forget_range(&engine.target, module->base, module->size);
    if (engine.config.modules != UEFI_MODULES_OFF && kd_target_attached(&engine.target))
        (void)report_image(module, !is_new, REPORT_PATIENCE_US);
    modules_reported(module);
    if (is_new && same_name(module->name, engine.break_on_load)) {
        engine.break_on_load[0] = 0;
        (void)break_in(engine.frame, patience());
    }
}

/* Unloads first: the new image may lie where the old one was. */
static void report_modules(void)
{
    static const enum module_state order[] = {MODULE_GONE, MODULE_NEW};

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MODULES_MAX; i++) {
            if (modules_at(i)->state == order[round])
                report_module(modules_at(i));
        }
    }
}

/* ---- Polling ---- */

static void look_at_wire(struct cpu_frame *frame)
{
    if (engine.gone || engine.wire.ops == NULL)
        return;
    if (engine.wire.ops->ready(engine.wire.port) && take_input()) {
        uint64_t start = timer_now();

        /* A whole packet, or a RESET, may be on its way: answers must not wait for the next tick.
         */
        while (has_output() && timer_now() - start < FLUSH_MAX_US) {
            send_output();
            (void)take_input();
        }
    }
    if (kd_target_break_in_wanted(&engine.target))
        (void)break_in(frame, patience());
    else if (kd_target_attached(&engine.target) && modules_poll())
        report_modules();
}

static uint64_t handle_external(struct cpu_frame *frame)
{
    bool ours = (frame->vector == PORT_RX_VECTOR && engine.own_interrupt) ||
                (frame->vector == PORT_TICK_VECTOR && engine.own_tick);
    bool vmbus = frame->vector == PORT_VMBUS_VECTOR && engine.own_vmbus;

    (void)idt_check();
    if (engine.config.poll == UEFI_POLL_VECTOR || ours || vmbus)
        look_at_wire(frame);
    if (vmbus && !vmbus_port_ends_interrupts())
        return ENGINE_RESUME; /* the hypervisor has ended it itself */
    if (!ours && !vmbus)
        return ENGINE_CHAIN;
    port_end_of_interrupt();
    return ENGINE_RESUME;
}

/* ---- Services ---- */

static const char banner[] = "kdwire: UEFI debug engine " KDWIRE_VERSION ", connected\n";

static bool print(const char *text, size_t size)
{
    while (size > 0) {
        int taken = kd_target_print(&engine.target, timer_now(), 0, text, size);

        if (taken <= 0)
            return false;
        serve_report(REPORT_PATIENCE_US);
        if (!kd_target_attached(&engine.target))
            return false;
        text += taken;
        size -= (size_t)taken;
    }
    return true;
}

static const struct module *own_module(void)
{
    for (unsigned i = 0; i < MODULES_MAX; i++) {
        const struct module *module = modules_at(i);

        if ((module->state == MODULE_NEW || module->state == MODULE_KNOWN) &&
            module->base == engine.image_base)
            return module;
    }
    return NULL;
}

/* Our own load report is what a debugger attaches to; one that is not there costs the patience of
 * the user's choice once, and everything after it is skipped. */
static uint64_t attach(void)
{
    uint64_t start = timer_now();
    uint64_t limit = patience();
    const struct module *own = own_module();

    if (own == NULL)
        return ENGINE_NO_DEBUGGER;
    while (!report_image(own, false, limit)) {
        if (limit != 0 && timer_now() - start >= limit)
            break;
    }
    if (!kd_target_attached(&engine.target)) {
        forget_module_reports();
        return ENGINE_NO_DEBUGGER;
    }
    for (unsigned i = 0; i < MODULES_MAX; i++) {
        if (modules_at(i) == own || engine.config.modules != UEFI_MODULES_ALL)
            modules_reported(modules_at(i));
    }
    (void)print(banner, sizeof banner - 1);
    report_modules();
    (void)break_in(engine.frame, patience());
    return ENGINE_DONE;
}

static uint64_t prompt(struct engine_text *text)
{
    struct kd_target_answer answer;
    size_t room = text->answer_size;

    text->answer_size = 0;
    if (room == 0 || !kd_target_attached(&engine.target))
        return ENGINE_NO_DEBUGGER;
    if (kd_target_prompt(&engine.target, timer_now(), 0, text->text, text->size,
                         (uint32_t)(room - 1)) != 0)
        return ENGINE_REFUSED;
    serve_stop(0);
    if (kd_target_answer(&engine.target, &answer) != 0)
        return ENGINE_NO_DEBUGGER;
    if (answer.size > room - 1)
        answer.size = room - 1;
    memcpy(text->answer, answer.bytes, answer.size);
    text->answer[answer.size] = 0;
    text->answer_size = answer.size;
    return ENGINE_DONE;
}

static uint64_t command(const char *text)
{
    if (!kd_target_attached(&engine.target))
        return ENGINE_NO_DEBUGGER;
    if (kd_target_report_command(&engine.target, timer_now(), 0, "kdwire", text) != 0)
        return ENGINE_REFUSED;
    serve_stop(patience());
    if (kd_target_resume(&engine.target) == KD_TARGET_REBOOT)
        reset_machine();
    return ENGINE_DONE;
}

/* Tells the debugger that this machine's firmware ends here, as Windows does when it goes away. */
static void say_goodbye(void)
{
    struct kd_target_image image;

    if (engine.wire.ops == NULL || !kd_target_attached(&engine.target))
        return;
    memset(&image, 0, sizeof image);
    image.program_counter = engine.frame->rip;
    image.base = UINT64_MAX;
    image.process_id = UINT64_MAX;
    image.unload = true;
    if (kd_target_report_image(&engine.target, timer_now(), &image) == 0)
        serve_report(REPORT_PATIENCE_US);
}

static uint64_t serve_call(uint64_t service, void *argument)
{
    struct engine_text *text = argument;
    uint64_t result = ENGINE_DONE;

    if (engine.gone || (engine.wire.ops == NULL && service != ENGINE_GOODBYE))
        return ENGINE_NO_DEBUGGER;
    switch (service) {
    case ENGINE_ATTACH:
        return attach();
    case ENGINE_POLL:
        look_at_wire(engine.frame);
        return result;
    case ENGINE_BREAK:
        if (break_in(engine.frame, patience()) == KD_TARGET_ABANDONED)
            result = ENGINE_NO_DEBUGGER;
        return result;
    case ENGINE_PRINT:
        if (!kd_target_attached(&engine.target) || !print(text->text, text->size))
            result = ENGINE_NO_DEBUGGER;
        break;
    case ENGINE_PROMPT:
        return prompt(text);
    case ENGINE_COMMAND:
        return command(text->text);
    case ENGINE_MODULES:
        report_modules();
        break;
    case ENGINE_GOODBYE:
        say_goodbye();
        kd_target_remove_breakpoints(&engine.target);
        engine.gone = true;
        return result;
    default:
        return ENGINE_REFUSED;
    }
    /* A break-in byte that came while the text was being sent. */
    if (kd_target_break_in_wanted(&engine.target))
        (void)break_in(engine.frame, patience());
    return result;
}

/* ---- Entry ---- */

uint64_t engine_handle(struct cpu_frame *frame)
{
    engine.frame = frame;
    if (frame->vector >= CPU_SERVICE) {
        frame->rax = serve_call(frame->vector - CPU_SERVICE, (void *)frame->rdx);
        return ENGINE_RESUME;
    }
    return frame->vector < CPU_FIRST_EXTERNAL ? handle_exception(frame) : handle_external(frame);
}

static void raw_text(const char *text)
{
    uint64_t start = timer_now();

    while (*text != 0 && timer_now() - start < FLUSH_MAX_US)
        text += engine.wire.ops->write(engine.wire.port, (const uint8_t *)text, 1, NULL);
}

/* In groups of three digits: four zeros in a row would be taken for the start of a packet. */
static void raw_hex(uint64_t value)
{
    char text[2] = {0, 0};

    for (int i = 15; i >= 0; i--) {
        text[0] = "0123456789abcdef"[value >> (4 * i) & 15];
        raw_text(text);
        if (i % 3 == 0 && i != 0)
            raw_text("_");
    }
}

void engine_panic(const struct cpu_frame *frame)
{
    if (engine.wire.ops == NULL)
        return;
    raw_text("\r\nwindbg.efi: fault inside the debug engine: vector ");
    raw_hex(frame->vector);
    raw_text(" offset ");
    raw_hex(frame->rip - engine.image_base);
    raw_text(" cr2 ");
    raw_hex(frame->cr2);
    raw_text("\r\n");
}

/* Serving FRAME ended in a fault of our own. A stop is reported once more, so that the user keeps
 * the machine; anything else is given up. */
uint64_t engine_recover(struct cpu_frame *frame)
{
    engine.frame = frame;
    kd_target_abandon(&engine.target);
    /* New ids: the debugger must not repeat the request that led here. */
    kd_target_restart_link(&engine.target, timer_now());
    if (frame->vector >= CPU_SERVICE) {
        frame->rax = ENGINE_REFUSED;
        return ENGINE_RESUME;
    }
    if (frame->vector >= CPU_FIRST_EXTERNAL)
        return ENGINE_CHAIN;
    (void)break_in(frame, patience());
    return ENGINE_RESUME;
}

void engine_init(const struct uefi_config *config, uint64_t image_base, uint64_t image_size,
                 EFI_RUNTIME_SERVICES *runtime)
{
    struct kd_target_config target;

    memset(&engine, 0, sizeof engine);
    engine.config = *config;
    engine.image_base = image_base;
    engine.image_size = image_size;
    engine.runtime = runtime;
    memset(&target, 0, sizeof target);
    kd_target_init(&engine.target, &target, &machine_ops, &engine);
}
