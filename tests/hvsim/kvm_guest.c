/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest of kvm.c: the VMBus client with its real instructions, at CPL 0, without a system. It
 * opens the pipe and echoes what comes, up to END, which the host sends when it has all. Says how
 * it went at port PORT_RESULT.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm_guest.h"
#include "vmbus/client.h"
#include "vmbus/x86.h"

enum { RING_PAGES = VMBUS_RING_PAGES_DEFAULT, VECTOR = 0x53, GATES = 256 };

void guest_main(void);

struct interrupted {
    uint64_t rip, cs, rflags, rsp, ss;
};

static struct {
    uint64_t low, high;
} gates[GATES];
static volatile unsigned faults_gp, faults_ud, interrupts;
static _Alignas(4096) uint8_t pages[4 + 2 * (RING_PAGES + 1)][4096];
static struct vmbus_client client;

static void result(uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"((uint16_t)PORT_RESULT));
}

/* RDMSR and WRMSR, and the page's first instruction, have two bytes. */
__attribute__((interrupt)) static void on_gp(struct interrupted *frame, uint64_t error)
{
    (void)error;
    faults_gp++;
    frame->rip += 2;
}

__attribute__((interrupt)) static void on_ud(struct interrupted *frame)
{
    faults_ud++;
    frame->rip += 2;
}

__attribute__((interrupt)) static void on_vmbus(struct interrupted *frame)
{
    (void)frame;
    interrupts++; /* AutoEOI: nothing to end */
}

static void set_gate(unsigned vector, const void *handler)
{
    uint64_t at = (uint64_t)(uintptr_t)handler;

    gates[vector].low = (at & 0xFFFF) | (uint64_t)GUEST_CS << 16 | (uint64_t)0x8E00 << 32 |
                        (at >> 16 & 0xFFFF) << 48;
    gates[vector].high = at >> 32;
}

static uint64_t now_us(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return ((uint64_t)high << 32 | low) / 1000; /* near enough: some GHz */
}

static void check_faults(void)
{
    uint64_t value;

    (void)vmbus_x86.read_msr(NULL, 0x400000EE, &value);   /* nobody's */
    (void)vmbus_x86.write_msr(NULL, HV_MSR_SINT0 + 5, 3); /* no such vector */
    __asm__ volatile("ud2");
    if (faults_gp != 2 || faults_ud != 1)
        result(RESULT_NO_FAULTS);
}

static void echo(void)
{
    static uint8_t bytes[4096];
    bool ending = false;

    while (!ending) {
        size_t n, at = 0;

        vmbus_client_poll(&client, now_us());
        n = vmbus_client_read(&client, now_us(), bytes, sizeof bytes);
        while (at < n)
            at += vmbus_client_write(&client, now_us(), bytes + at, n - at);
        ending = n != 0 && bytes[n - 1] == END;
    }
}

static bool run_until(enum vmbus_state state)
{
    while (client.state != state && client.state != VMBUS_FAILED)
        vmbus_client_poll(&client, now_us());
    return client.state == state;
}

void guest_main(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof gates - 1, (uint64_t)(uintptr_t)gates};
    struct vmbus_memory memory = {
        .pages = {pages[0], pages[1], pages[2], pages[3]},
        .rings = pages[4],
        .ring_pages = RING_PAGES,
    };
    struct vmbus_wanted wanted = {.type = vmbus_kdwire_type, .vector = VECTOR};

    set_gate(13, (const void *)(uintptr_t)on_gp);
    set_gate(6, (const void *)(uintptr_t)on_ud);
    set_gate(VECTOR, (const void *)(uintptr_t)on_vmbus);
    __asm__ volatile("lidt %0; sti" : : "m"(table) : "memory");
    check_faults();
    if (vmbus_client_start(&client, &vmbus_x86, &memory, &wanted, now_us()) != 0)
        result(RESULT_NO_START);
    if (!run_until(VMBUS_OPEN))
        result(RESULT_NOT_OPEN);
    echo();
    vmbus_client_stop(&client, now_us());
    if (!run_until(VMBUS_OFF))
        result(RESULT_NOT_LEFT);
    result(interrupts != 0 ? RESULT_DONE_WITH_INTERRUPTS : RESULT_DONE);
    for (;;)
        __asm__ volatile("hlt");
}
