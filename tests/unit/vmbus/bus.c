/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kdwire/error.h"

static void op_cpuid(void *context, uint32_t leaf, uint32_t r[4])
{
    hvsim_cpuid(&((struct bus *)context)->sim, leaf, r);
}

static int op_read(void *context, uint32_t msr, uint64_t *value)
{
    return hvsim_read_msr(&((struct bus *)context)->sim, msr, value) ? 0 : KD_E_FAULT;
}

static int op_write(void *context, uint32_t msr, uint64_t value)
{
    return hvsim_write_msr(&((struct bus *)context)->sim, msr, value) ? 0 : KD_E_FAULT;
}

static uint64_t op_hypercall(void *context, uint64_t page, uint64_t control, uint64_t input,
                             uint64_t output)
{
    struct bus *bus = context;

    if (page != (bus->sim.hypercall & ~(uint64_t)(HVSIM_PAGE - 1)))
        hvsim_violation(&bus->sim, "call of %#llx, which is no hypercall page",
                        (unsigned long long)page);
    return hvsim_hypercall(&bus->sim, control, input, output);
}

void bus_init(struct bus *bus, const struct hvsim_config *config, uint32_t ring_pages)
{
    struct hvsim_config made = *config;
    uint8_t *page;

    memset(bus, 0, sizeof *bus);
    bus->pages_size =
        (BUS_FIRMWARE_PAGES + BUS_CLIENT_PAGES + (size_t)VMBUS_CHANNEL_PAGES(ring_pages)) *
        HVSIM_PAGE;
    bus->pages =
        mmap(NULL, bus->pages_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bus->pages == MAP_FAILED)
        abort();
    page = bus->pages;
    for (unsigned i = 0; i < BUS_FIRMWARE_PAGES; i++, page += HVSIM_PAGE)
        made.firmware_pages[i] = (uint64_t)(uintptr_t)page;
    hvsim_init(&bus->sim, &made);
    hvsim_add_memory(&bus->sim, (uint64_t)(uintptr_t)bus->pages, bus->pages_size, bus->pages);
    if (made.firmware)
        hvsim_boot_firmware(&bus->sim);
    bus->memory.pages.input = page;
    bus->memory.pages.messages = page + HVSIM_PAGE;
    bus->memory.pages.events = page + (size_t)2 * HVSIM_PAGE;
    bus->memory.pages.hypercall = page + (size_t)3 * HVSIM_PAGE;
    bus->memory.rings = page + (size_t)BUS_CLIENT_PAGES * HVSIM_PAGE;
    bus->memory.ring_pages = ring_pages;
    bus->wanted.type = vmbus_kdwire_type;
    bus->wanted.seed = 1;
    bus->wanted.vector = 0x53;
    bus->hv = (struct vmbus_hv){bus, op_cpuid, op_read, op_write, op_hypercall};
    bus->now = 1000000;
}

void bus_end(struct bus *bus)
{
    unsigned violations = bus->sim.violations;

    if (violations != 0)
        fprintf(stderr, "the host saw %u violations, the first: %s\n", violations,
                bus->sim.violation);
    hvsim_end(&bus->sim);
    munmap(bus->pages, bus->pages_size);
    if (violations != 0)
        abort();
}

int bus_start(struct bus *bus)
{
    return vmbus_client_start(&bus->client, &bus->hv, &bus->memory, &bus->wanted, bus->now);
}

static void step(struct bus *bus)
{
    vmbus_client_poll(&bus->client, bus->now);
    hvsim_run(&bus->sim);
    bus->now += BUS_STEP_US;
}

void bus_run(struct bus *bus, unsigned steps)
{
    while (steps-- != 0)
        step(bus);
}

bool bus_run_until(struct bus *bus, enum vmbus_state state, unsigned seconds)
{
    uint64_t limit = bus->now + (uint64_t)seconds * 1000000;

    while (bus->client.state != state && bus->now < limit)
        step(bus);
    return bus->client.state == state;
}

struct hvsim_channel *bus_open(struct bus *bus)
{
    struct hvsim_channel *channel =
        hvsim_offer_pipe(&bus->sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);

    if (bus->client.state == VMBUS_OFF && bus_start(bus) != 0)
        return NULL;
    return bus_run_until(bus, VMBUS_OPEN, 10) ? channel : NULL;
}

uint32_t bus_random(struct bus_random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (uint32_t)(random->state >> 32);
}

void bus_random_bytes(struct bus_random *random, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)bus_random(random);
}
