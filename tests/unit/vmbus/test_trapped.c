/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client with its real instructions in an ordinary process: RDMSR and WRMSR raise #GP there,
 * and the signal handler answers as the hypervisor would; hypercalls enter a page of code that the
 * simulated host provides. The host runs in a second thread, so that every race between the two
 * sides can happen: freed slots and pending flags, indexes, the room that is waited for.
 *
 * Only CPUID is replaced by a call, as not every processor lets a process trap it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus.h"
#include "vmbus/x86.h"

enum {
    WRITE = 1500,
    WRITES = TRAFFIC_WRITES, /* each way: 20,000, and fewer under a sanitizer */
    TRAFFIC = WRITE * WRITES,
    STORM = 1000,
    STALL_US = 60 * 1000000,
};

static struct bus bus;
static struct vmbus_hv hv;
static uint8_t *code; /* the hypercall page's content is copied from nowhere: it is made here */
static unsigned traps;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- The processor ---- */

static void on_fault(int number, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)r[REG_RIP];
    uint32_t msr = (uint32_t)r[REG_RCX];
    uint64_t value = (uint64_t)(uint32_t)r[REG_RDX] << 32 | (uint32_t)r[REG_RAX];
    bool known = false;

    (void)info;
    if (at[0] == 0x0F && at[1] == 0x30) {
        known = hvsim_write_msr(&bus.sim, msr, value);
    } else if (at[0] == 0x0F && at[1] == 0x32) {
        known = hvsim_read_msr(&bus.sim, msr, &value);
        r[REG_RAX] = (greg_t)(uint32_t)value;
        r[REG_RDX] = (greg_t)(value >> 32);
    }
    if (!known) { /* a fault of another kind: as if nobody had caught it */
        signal(number, SIG_DFL);
        return;
    }
    traps++;
    r[REG_RIP] += 2;
}

/* The hypervisor's calling convention is that of Windows: RCX, RDX, R8. */
static __attribute__((ms_abi)) uint64_t called(uint64_t control, uint64_t input, uint64_t output)
{
    return hvsim_hypercall(&bus.sim, control, input, output);
}

static void install_page(void *context, uint64_t gpa)
{
    /* push rbp; mov rbp, rsp; and rsp, -16; sub rsp, 32; mov rax, called; call rax; leave; ret */
    uint8_t text[] = {0x55, 0x48, 0x89, 0xE5, 0x48, 0x83, 0xE4, 0xF0, 0x48, 0x83, 0xEC, 0x20, 0x48,
                      0xB8, 0,    0,    0,    0,    0,    0,    0,    0,    0xFF, 0xD0, 0xC9, 0xC3};
    uint64_t(__attribute__((ms_abi)) * function)(uint64_t, uint64_t, uint64_t) = called;

    (void)context;
    memcpy(text + 14, &function, sizeof function);
    code = (uint8_t *)(uintptr_t)gpa;
    memcpy(code, text, sizeof text);
    if (mprotect(code, HVSIM_PAGE, PROT_READ | PROT_EXEC) != 0)
        abort();
}

static void op_cpuid(void *context, uint32_t leaf, uint32_t r[4])
{
    (void)context;
    hvsim_cpuid(&bus.sim, leaf, r);
}

static void start_machine(const struct hvsim_config *config)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct hvsim_config without = *config;

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    hv = vmbus_x86;
    hv.cpuid = op_cpuid;
    without.firmware = false; /* boots when its page can be made executable */
    bus_init(&bus, &without, VMBUS_RING_PAGES_DEFAULT);
    bus.hv = hv;
    bus.sim.install_page = install_page;
    if (config->firmware) {
        for (unsigned i = 0; i < BUS_FIRMWARE_PAGES; i++)
            bus.sim.config.firmware_pages[i] =
                (uint64_t)(uintptr_t)(bus.pages + (size_t)i * HVSIM_PAGE);
        hvsim_boot_firmware(&bus.sim);
        bus.sim.config.firmware = true;
    }
}

/* ---- The host's thread ---- */

static pthread_t thread;
static bool ending;
static void (*host_work)(void);

static void *host_thread(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&ending, __ATOMIC_ACQUIRE)) {
        hvsim_run(&bus.sim);
        if (host_work != NULL)
            host_work();
    }
    return NULL;
}

static void start_host(void (*work)(void))
{
    host_work = work;
    ending = false;
    assert_int_equal(pthread_create(&thread, NULL, host_thread, NULL), 0);
}

static void end_host(void)
{
    __atomic_store_n(&ending, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* What stands still fails, not what is slow: a loaded machine takes its time. */
struct patience {
    uint64_t progress, since;
};

static bool goes_on(struct patience *patience, uint64_t progress)
{
    uint64_t now = now_us();

    if (patience->since == 0 || progress != patience->progress)
        *patience = (struct patience){progress, now};
    return now - patience->since < STALL_US;
}

static bool poll_until(enum vmbus_state state)
{
    struct patience patience = {0, 0};

    while (bus.client.state != state && goes_on(&patience, bus.client.state))
        vmbus_client_poll(&bus.client, now_us());
    return bus.client.state == state;
}

static void open_and_leave(const struct hvsim_config *config)
{
    start_machine(config);
    traps = 0;
    (void)hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
    start_host(NULL);
    assert_int_equal(vmbus_client_start(&bus.client, &bus.hv, &bus.memory, &bus.wanted, now_us()),
                     0);
    assert_true(poll_until(VMBUS_OPEN));
    assert_true(traps >= 8);
    vmbus_client_stop(&bus.client, now_us());
    assert_true(poll_until(VMBUS_OFF));
    end_host();
    bus_end(&bus);
}

static void real_instructions_reach_the_host(void **state)
{
    static const struct hvsim_config beside = {.host = HVSIM_2022, .firmware = true};
    static const struct hvsim_config alone = {.host = HVSIM_2016};

    (void)state;
    open_and_leave(&beside);
    open_and_leave(&alone);
}

/* ---- Traffic ---- */

static struct hvsim_channel *channel;
static struct bus_random host_out, host_check;
static size_t host_sent, host_got;
static bool host_wrong;
static uint8_t host_block[WRITE];
static size_t host_size, host_at;
static bool host_asleep; /* the guest's ring was seen empty */
static uint64_t host_woken_by;

/* Reads only after a signal once it has seen the ring empty: one signal that is missing stands the
 * traffic still. (One too many is no fault: the guest may see the ring empty that the host has just
 * seen filled. test_pipe counts them where nothing races.) */
static size_t host_read(uint8_t *to, size_t size)
{
    uint64_t signals;
    size_t n;

    pthread_mutex_lock(&bus.sim.lock);
    signals = channel->signals;
    pthread_mutex_unlock(&bus.sim.lock);
    if (host_asleep && signals == host_woken_by)
        return 0;
    host_woken_by = signals;
    n = hvsim_read(&bus.sim, channel, to, size);
    host_asleep = n < size;
    return n;
}

static void host_traffic(void)
{
    static uint8_t got[4096], expected[4096];
    size_t n;

    if (host_at == host_size && host_sent < TRAFFIC) {
        host_size = sizeof host_block;
        if (host_size > TRAFFIC - host_sent)
            host_size = TRAFFIC - host_sent;
        host_at = 0;
        bus_random_bytes(&host_out, host_block, host_size);
        host_sent += host_size;
    }
    host_at += hvsim_write(&bus.sim, channel, host_block + host_at, host_size - host_at);
    n = host_read(got, sizeof got);
    bus_random_bytes(&host_check, expected, n);
    if (memcmp(got, expected, n) != 0)
        host_wrong = true;
    __atomic_fetch_add(&host_got, n, __ATOMIC_RELEASE);
}

static void traffic_with_a_host_of_its_own_pace_is_exact(void **state)
{
    static const struct hvsim_config beside = {.host = HVSIM_2022, .firmware = true};
    static uint8_t sent[WRITE], got[3000], expected[3000];
    struct bus_random out = {41}, check = {42};
    struct patience patience = {0, 0};
    size_t size = 0, at = 0, all = 0, received = 0, host = 0;

    (void)state;
    start_machine(&beside);
    channel = hvsim_offer_pipe(&bus.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
    host_out.state = 42;
    host_check.state = 41;
    host_sent = host_got = host_size = host_at = 0;
    host_wrong = host_asleep = false;
    host_woken_by = 0;
    start_host(host_traffic);
    assert_int_equal(vmbus_client_start(&bus.client, &bus.hv, &bus.memory, &bus.wanted, now_us()),
                     0);
    assert_true(poll_until(VMBUS_OPEN));
    while ((received < TRAFFIC || host < TRAFFIC) && goes_on(&patience, received + host)) {
        size_t n;

        if (at == size && all < TRAFFIC) {
            size = sizeof sent;
            if (size > TRAFFIC - all)
                size = TRAFFIC - all;
            at = 0;
            bus_random_bytes(&out, sent, size);
            all += size;
        }
        at += vmbus_client_write(&bus.client, now_us(), sent + at, size - at);
        n = vmbus_client_read(&bus.client, now_us(), got, sizeof got);
        bus_random_bytes(&check, expected, n);
        assert_memory_equal(got, expected, n);
        received += n;
        vmbus_client_poll(&bus.client, now_us());
        host = __atomic_load_n(&host_got, __ATOMIC_ACQUIRE);
    }
    assert_int_equal(received, TRAFFIC);
    end_host();
    assert_int_equal(host_got, TRAFFIC);
    assert_false(host_wrong);
    assert_true(channel->packets >= WRITES);
    bus_end(&bus);
}

/* ---- Messages as fast as they come ---- */

static unsigned storm_offers;
static struct hvsim_channel *storm_channel;

static void host_storm(void)
{
    static const uint8_t foreign[16] = {0xAB}, instance[16] = {1};
    bool busy;

    pthread_mutex_lock(&bus.sim.lock);
    busy = !bus.sim.offers_requested || bus.sim.queue[bus.sim.message_sint].count > 40;
    if (storm_channel != NULL && storm_channel->state == HVSIM_RESCINDED)
        busy = true; /* until it was released */
    pthread_mutex_unlock(&bus.sim.lock);
    if (busy || storm_offers == STORM)
        return;
    storm_offers++;
    storm_channel = hvsim_offer_pipe(&bus.sim, foreign, instance, 0);
    hvsim_rescind(&bus.sim, storm_channel);
}

static void no_message_is_forgotten_in_a_slot(void **state)
{
    static const struct hvsim_config beside = {.host = HVSIM_2022, .firmware = true};
    struct patience patience = {0, 0};
    unsigned done = 0;

    (void)state;
    start_machine(&beside);
    storm_offers = 0;
    storm_channel = NULL;
    start_host(host_storm);
    assert_int_equal(vmbus_client_start(&bus.client, &bus.hv, &bus.memory, &bus.wanted, now_us()),
                     0);
    /* WAITING writes no end of message unasked: what the flag does not tell stays in the queue. */
    while (done < STORM && goes_on(&patience, done)) {
        vmbus_client_poll(&bus.client, now_us());
        pthread_mutex_lock(&bus.sim.lock);
        done = bus.sim.released;
        pthread_mutex_unlock(&bus.sim.lock);
    }
    assert_int_equal(done, STORM);
    assert_true(bus.sim.queued_behind > 0);
    end_host();
    bus_end(&bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_instructions_reach_the_host),
        cmocka_unit_test(traffic_with_a_host_of_its_own_pace_is_exact),
        cmocka_unit_test(no_message_is_forgotten_in_a_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
