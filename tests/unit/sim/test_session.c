/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated machine and its engine together, with a debugger's link at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session.h"

enum { RUN = 3000, STORY_MAX = 4096 };

struct rig {
    struct sim_session session;
    struct kd_link debugger;
    uint64_t now;
    uint16_t type; /* of the last message; 0 = none since it was cleared */
    size_t size;
    uint8_t body[KD_BODY_MAX];
    unsigned messages;
    char story[STORY_MAX]; /* what was told, a word each */
};

static void on_story(void *context, const struct sim_story *told)
{
    static const char *const words[] = {
        [SIM_TOLD_STOP] = "stop",          [SIM_TOLD_GO] = "go",
        [SIM_TOLD_LOAD] = "load",          [SIM_TOLD_UNLOAD] = "unload",
        [SIM_TOLD_PRINT] = "print",        [SIM_TOLD_PROMPT] = "prompt",
        [SIM_TOLD_ANSWER] = "answer",      [SIM_TOLD_REBOOT] = "reboot",
        [SIM_TOLD_BUG_CHECK] = "bugcheck", [SIM_TOLD_ATTACHED] = "attached",
        [SIM_TOLD_LOST] = "lost",
    };
    struct rig *r = context;
    size_t used = strlen(r->story);
    (void)snprintf(r->story + used, sizeof r->story - used, "%s ", words[told->what]);
}

static struct rig *rig_new(const struct sim_session_config *config)
{
    static const struct kd_link_config link = {.role = KD_ROLE_DEBUGGER};
    struct sim_session_config c = *config;
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    c.tell = on_story;
    c.context = r;
    assert_int_equal(sim_session_init(&r->session, &c), KD_OK);
    kd_link_init(&r->debugger, &link);
    return r;
}

static void rig_free(struct rig *r)
{
    sim_session_close(&r->session);
    free(r);
}

static void take_events(struct rig *r)
{
    struct kd_link_event event;
    while (kd_link_event(&r->debugger, &event)) {
        if (event.kind != KD_LINK_PACKET)
            continue;
        r->type = event.type;
        r->size = event.body_size;
        memcpy(r->body, event.body, event.body_size);
        r->messages++;
    }
}

static bool flush(struct rig *r)
{
    const uint8_t *bytes;
    size_t size = sim_session_output(&r->session, &bytes);
    for (size_t used = 0; used < size;) {
        used += kd_link_feed(&r->debugger, r->now, bytes + used, size - used);
        take_events(r);
    }
    sim_session_written(&r->session, r->now, size);
    return size != 0;
}

/* Moves bytes until nobody has any, without letting the machine run. */
static void pump(struct rig *r)
{
    const uint8_t *bytes;
    for (bool moved = true; moved;) {
        moved = flush(r);
        size_t size = kd_link_output(&r->debugger, &bytes);
        if (!size)
            continue;
        sim_session_feed(&r->session, r->now, bytes, size);
        kd_link_written(&r->debugger, r->now, size);
        moved = true;
    }
}

static void run(struct rig *r)
{
    r->now += 1000;
    sim_session_run(&r->session, r->now, RUN);
    pump(r);
}

/* Lets everything go on until a message of TYPE comes. */
static void run_until(struct rig *r, uint16_t type)
{
    r->type = 0;
    for (unsigned i = 0; r->type != type; i++) {
        assert_true(i < 2000);
        run(r);
    }
}

static uint32_t new_state(const struct rig *r)
{
    return (uint32_t)KD_GET(r->body, StateChange, NewState);
}

static void tell_target(struct rig *r, uint32_t api, uint16_t cpu, uint32_t status, bool trace)
{
    uint8_t body[KD_MANIPULATE_SIZE] = {0};
    KD_PUT(body, Manipulate, ApiNumber, api);
    KD_PUT(body, Manipulate, Processor, cpu);
    KD_PUT(body, Continue2Amd64, ContinueStatus, status);
    KD_PUT(body, Continue2Amd64, TraceFlag, trace);
    KD_PUT(body, Continue2Amd64, Dr7, 0x400);
    assert_int_equal(
        kd_link_send(&r->debugger, r->now, KD_PACKET_STATE_MANIPULATE, body, sizeof body, NULL, 0),
        KD_OK);
    pump(r);
    assert_false(kd_link_busy(&r->debugger)); /* acknowledged before anything else happens */
}

static void go(struct rig *r)
{
    tell_target(r, KD_API_Continue2, 0, KD_DBG_CONTINUE, false);
}

static void break_in(struct rig *r)
{
    kd_link_send_break_in(&r->debugger, r->now);
    pump(r);
    run_until(r, KD_PACKET_STATE_CHANGE64);
}

static void boot_stop_waits_for_a_debugger(void **state)
{
    static const struct sim_session_config config = {.boot_stop = true};
    struct rig *r = rig_new(&config);
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        run(r);
    assert_int_equal(r->messages, 0); /* nobody on the line */
    assert_int_equal(r->session.machine.cpus[0].retired, 0);
    sim_session_line(&r->session, r->now, true);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(new_state(r), KD_STATE_LOAD_SYMBOLS);
    assert_int_equal(KD_GET(r->body, LoadSymbols, BaseOfDll), SIM_KERNEL_BASE);
    /* its PC is an int3, as debuggers take for granted */
    assert_int_equal(r->body[KD_AT(ControlReportAmd64, InstructionStream)], 0xCC);
    go(r);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, LoadSymbols, BaseOfDll), SIM_HAL_BASE);
    go(r);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(new_state(r), KD_STATE_EXCEPTION);
    assert_int_equal(KD_GET(r->body, Exception, ExceptionCode), KD_STATUS_BREAKPOINT);
    go(r); /* without stepping over the int3: the machine goes on all the same */
    for (unsigned i = 0; i < 10; i++)
        run(r);
    assert_true(r->session.machine.cpus[0].retired > 1000);
    assert_int_equal(kd_target_state(&r->session.target), KD_TARGET_RUNNING);
    rig_free(r);
}

/* The boot report is repeated until somebody answers it. */
static void boot_stop_survives_a_silent_peer(void **state)
{
    static const struct sim_session_config config = {.boot_stop = true};
    struct rig *r = rig_new(&config);
    const uint8_t *bytes;
    (void)state;
    sim_session_line(&r->session, 0, true);
    for (unsigned i = 0; i < 600; i++) { /* a minute */
        r->now += 100000;
        sim_session_run(&r->session, r->now, RUN);
        sim_session_written(&r->session, r->now, sim_session_output(&r->session, &bytes));
    }
    assert_int_equal(r->session.machine.cpus[0].retired, 0);
    assert_true(kd_target_link_stats(&r->session.target)->drops > 1);
    for (unsigned i = 0; r->type != KD_PACKET_STATE_CHANGE64; i++) {
        assert_true(i < 1000);
        r->now += 100000;
        run(r);
    }
    assert_int_equal(KD_GET(r->body, LoadSymbols, BaseOfDll), SIM_KERNEL_BASE);
    rig_free(r);
}

static void breaks_in_and_comes_back(void **state)
{
    static const struct sim_session_config config = {.machine = {.cpus = 2}};
    struct rig *r = rig_new(&config);
    (void)state;
    sim_session_line(&r->session, 0, true);
    run(r);
    for (unsigned i = 0; i < 50; i++) {
        struct sim_cpu *cpu = &r->session.machine.cpus[0];
        break_in(r);
        assert_int_equal(cpu->rip, SIM_KERNEL_BASE + SIM_RVA_BREAK_POINT);
        uint64_t retired = cpu->retired;
        go(r);
        run(r);
        assert_true(cpu->retired > retired);
    }
    assert_non_null(strstr(r->story, "attached "));
    rig_free(r);
}

static void steps_and_other_processors(void **state)
{
    static const struct sim_session_config config = {.machine = {.cpus = 2}};
    struct rig *r = rig_new(&config);
    (void)state;
    sim_session_line(&r->session, 0, true);
    break_in(r);
    tell_target(r, KD_API_SwitchProcessor, 1, 0, false);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, StateChange, Processor), 1);
    uint64_t retired = r->session.machine.cpus[1].retired;
    tell_target(r, KD_API_Continue2, 1, KD_DBG_CONTINUE, true);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, StateChange, Processor), 1);
    assert_int_equal(KD_GET(r->body, Exception, ExceptionCode), KD_STATUS_SINGLE_STEP);
    assert_int_equal(r->session.machine.cpus[1].retired, retired + 1);
    rig_free(r);
}

static void unhandled_exceptions_end_in_a_bug_check(void **state)
{
    static const struct sim_session_config config = {.has_entry = true, .entry = 0x1234};
    struct rig *r = rig_new(&config);
    (void)state;
    sim_session_line(&r->session, 0, true);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, Exception, ExceptionCode), KD_STATUS_ACCESS_VIOLATION);
    assert_int_equal(KD_GET(r->body, Exception, FirstChance), 1);
    tell_target(r, KD_API_Continue2, 0, KD_DBG_EXCEPTION_NOT_HANDLED, false);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, Exception, FirstChance), 0);
    tell_target(r, KD_API_Continue2, 0, KD_DBG_EXCEPTION_NOT_HANDLED, false);
    run_until(r, KD_PACKET_STATE_CHANGE64); /* after the text */
    assert_int_equal(KD_GET(r->body, Exception, ExceptionCode), KD_STATUS_BREAKPOINT);
    go(r);
    run_until(r, KD_PACKET_STATE_CHANGE64); /* rebooted */
    assert_int_equal(new_state(r), KD_STATE_LOAD_SYMBOLS);
    assert_non_null(strstr(r->story, "bugcheck stop reboot "));
    rig_free(r);
}

static void reboots_when_told(void **state)
{
    static const struct sim_session_config config = {.machine = {.cpus = 1}};
    struct rig *r = rig_new(&config);
    (void)state;
    sim_session_line(&r->session, 0, true);
    break_in(r);
    uint8_t mark = 0x77;
    sim_machine_ops()->write_virtual(&r->session.machine, SIM_KERNEL_BASE + SIM_RVA_ANSWER, &mark,
                                     1);
    tell_target(r, KD_API_Reboot, 0, 0, false);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(new_state(r), KD_STATE_LOAD_SYMBOLS);
    sim_machine_ops()->read_virtual(&r->session.machine, SIM_KERNEL_BASE + SIM_RVA_ANSWER, &mark,
                                    1);
    assert_int_equal(mark, 0); /* a new machine */
    go(r);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, LoadSymbols, BaseOfDll), SIM_HAL_BASE);
    go(r); /* and no boot stop: nobody asked for one */
    for (unsigned i = 0; i < 10; i++)
        run(r);
    assert_int_equal(kd_target_state(&r->session.target), KD_TARGET_RUNNING);
    rig_free(r);
}

static void reports_the_driver_coming_and_going(void **state)
{
    static const struct sim_session_config config = {.machine = {.load_every = 5}};
    struct rig *r = rig_new(&config);
    (void)state;
    sim_session_line(&r->session, 0, true);
    break_in(r);
    go(r);
    for (unsigned i = 0; i < 6; i++) {
        run_until(r, KD_PACKET_STATE_CHANGE64);
        assert_int_equal(new_state(r), KD_STATE_LOAD_SYMBOLS);
        assert_int_equal(KD_GET(r->body, LoadSymbols, BaseOfDll), SIM_DRIVER_BASE);
        if (i)
            assert_int_equal(KD_GET(r->body, LoadSymbols, UnloadSymbols),
                             !r->session.machine.modules[SIM_DRIVER].loaded);
        go(r);
    }
    rig_free(r);
}

static void prints_only_to_who_listens(void **state)
{
    static const struct sim_session_config config = {.machine = {.print_every = 3}};
    struct rig *r = rig_new(&config);
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        run(r);
    assert_int_equal(r->messages, 0);
    assert_non_null(strstr(r->story, "print print ")); /* the user sees it nevertheless */
    sim_session_line(&r->session, r->now, true);
    break_in(r);
    go(r);
    run_until(r, KD_PACKET_DEBUG_IO);
    assert_memory_equal(r->body + KD_DEBUG_IO_SIZE, "simkernel: tick\n", 16);
    /* the peer goes while a print is under way: the machine goes on */
    for (unsigned i = 0; kd_target_state(&r->session.target) != KD_TARGET_SENDING; i++) {
        assert_true(i < 1000);
        sim_session_run(&r->session, r->now, RUN);
    }
    sim_session_line(&r->session, r->now, false);
    assert_int_equal(kd_target_state(&r->session.target), KD_TARGET_RUNNING);
    rig_free(r);
}

static void asks_the_user_and_a_file(void **state)
{
    static const struct sim_session_config config = {.machine = {.prompt_every = 3},
                                                     .file = "driver.sys"};
    struct rig *r = rig_new(&config);
    uint8_t body[KD_FILE_IO_SIZE] = {0};
    (void)state;
    sim_session_line(&r->session, 0, true);
    break_in(r);
    go(r);
    run_until(r, KD_PACKET_FILE_IO);
    assert_int_equal(KD_GET(r->body, FileIo, ApiNumber), KD_API_CREATE_FILE);
    KD_PUT(body, FileIo, ApiNumber, KD_API_CREATE_FILE);
    KD_PUT(body, FileIo, Status, KD_STATUS_NO_SUCH_FILE);
    kd_link_send(&r->debugger, r->now, KD_PACKET_FILE_IO, body, sizeof body, NULL, 0);
    pump(r);
    run_until(r, KD_PACKET_DEBUG_IO); /* the file is given up, the program goes on and asks */
    assert_int_equal(KD_GET(r->body, DebugIo, ApiNumber), KD_API_GET_STRING);
    uint8_t answer[KD_DEBUG_IO_SIZE + 3] = {0};
    KD_PUT(answer, DebugIo, ApiNumber, KD_API_GET_STRING);
    KD_PUT(answer, DebugIo, LengthOfStringRead, 3);
    memcpy(answer + KD_DEBUG_IO_SIZE, "why", 3);
    kd_link_send(&r->debugger, r->now, KD_PACKET_DEBUG_IO, answer, sizeof answer, NULL, 0);
    pump(r);
    run(r);
    uint8_t taken[4] = {0};
    sim_machine_ops()->read_virtual(&r->session.machine, SIM_KERNEL_BASE + SIM_RVA_ANSWER, taken,
                                    3);
    assert_string_equal((char *)taken, "why");
    assert_non_null(strstr(r->story, "answer prompt answer "));
    rig_free(r);
}

static void the_users_image_runs(void **state)
{
    static const uint8_t image[] = {0xB8, 7, 0, 0, 0, 0xCC}; /* mov eax, 7; int3 */
    static const struct sim_session_config config = {.image = image,
                                                     .image_size = sizeof image,
                                                     .image_base = 0x40000000,
                                                     .has_entry = true,
                                                     .entry = 0x40000000};
    struct rig *r = rig_new(&config);
    (void)state;
    sim_session_line(&r->session, 0, true);
    run_until(r, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(KD_GET(r->body, StateChange, ProgramCounter), 0x40000005);
    assert_int_equal(r->session.machine.cpus[0].gpr[SIM_RAX], 7);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boot_stop_waits_for_a_debugger),
        cmocka_unit_test(boot_stop_survives_a_silent_peer),
        cmocka_unit_test(breaks_in_and_comes_back),
        cmocka_unit_test(steps_and_other_processors),
        cmocka_unit_test(unhandled_exceptions_end_in_a_bug_check),
        cmocka_unit_test(reboots_when_told),
        cmocka_unit_test(reports_the_driver_coming_and_going),
        cmocka_unit_test(prints_only_to_who_listens),
        cmocka_unit_test(asks_the_user_and_a_file),
        cmocka_unit_test(the_users_image_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
