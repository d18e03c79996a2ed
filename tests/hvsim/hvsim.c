/* SPDX-License-Identifier: BSD-2-Clause */
#include "hvsim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MSR(n)         (0x40000000u + (n))
#define ENABLE         1u
#define MASKED         0x10000u
#define POLLING        0x40000u
#define PAGE_OF(value) ((value) & ~(uint64_t)(HVSIM_PAGE - 1))
#define FIRMWARE_ID    0x0000010000000000u
#define FIRMWARE_TIMER 0x20040u /* vector 0x40, AutoEOI */
#define FIRMWARE_VMBUS 0x20041u
enum { SLOT = 256, FIRMWARE_SINT = 2, PENDING = 1 };

const char *const hvsim_host_names[HVSIM_HOSTS] = {"2008", "2008 R2", "2012",   "2012 R2",
                                                   "2016", "1709",    "1803",   "2019",
                                                   "2022", "newer",   "OpenVMM"};

void hvsim_violation(struct hvsim *sim, const char *format, ...)
{
    va_list arguments;

    if (sim->violations++ != 0)
        return;
    va_start(arguments, format);
    vsnprintf(sim->violation, sizeof sim->violation, format, arguments);
    va_end(arguments);
}

void hvsim_init(struct hvsim *sim, const struct hvsim_config *config)
{
    memset(sim, 0, sizeof *sim);
    pthread_mutex_init(&sim->lock, NULL);
    sim->config = *config;
    sim->next_relid = 11;
    sim->scontrol = config->host == HVSIM_OPENVMM ? ENABLE : 0;
    for (unsigned i = 0; i < HVSIM_SINTS; i++)
        sim->sint[i] = MASKED;
}

void hvsim_end(struct hvsim *sim)
{
    pthread_mutex_destroy(&sim->lock);
}

void hvsim_add_memory(struct hvsim *sim, uint64_t base, uint64_t size, void *at)
{
    if (sim->range_count == HVSIM_RANGES_MAX) {
        hvsim_violation(sim, "the test registers too much memory");
        return;
    }
    sim->ranges[sim->range_count].base = base;
    sim->ranges[sim->range_count].size = size;
    sim->ranges[sim->range_count++].at = at;
}

uint8_t *hvsim_memory(struct hvsim *sim, uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < sim->range_count; i++) {
        uint64_t offset = gpa - sim->ranges[i].base;

        if (gpa >= sim->ranges[i].base && offset <= sim->ranges[i].size &&
            size <= sim->ranges[i].size - offset)
            return sim->ranges[i].at + offset;
    }
    hvsim_violation(sim, "no memory at guest address %#llx", (unsigned long long)gpa);
    return NULL;
}

void hvsim_boot_firmware(struct hvsim *sim)
{
    pthread_mutex_lock(&sim->lock);
    sim->guest_os_id = FIRMWARE_ID;
    sim->hypercall = sim->config.firmware_pages[0] | ENABLE;
    sim->simp = sim->config.firmware_pages[1] | ENABLE;
    sim->siefp = sim->config.firmware_pages[2] | ENABLE;
    sim->scontrol |= ENABLE;
    sim->sint[1] = FIRMWARE_TIMER;
    sim->sint[FIRMWARE_SINT] = FIRMWARE_VMBUS;
    if (sim->install_page != NULL)
        sim->install_page(sim->context, sim->config.firmware_pages[0]);
    pthread_mutex_unlock(&sim->lock);
}

void hvsim_exit_boot_services(struct hvsim *sim)
{
    pthread_mutex_lock(&sim->lock);
    for (unsigned i = 0; i < HVSIM_SINTS; i++)
        sim->sint[i] = MASKED;
    sim->simp &= ~(uint64_t)ENABLE;
    sim->siefp &= ~(uint64_t)ENABLE;
    sim->hypercall = 0;
    sim->guest_os_id = 0;
    sim->config.firmware = false;
    pthread_mutex_unlock(&sim->lock);
}

/* ---- CPUID and registers ---- */

void hvsim_cpuid(struct hvsim *sim, uint32_t leaf, uint32_t r[4])
{
    memset(r, 0, 4 * sizeof *r);
    if (sim->config.no_hypervisor)
        return;
    switch (leaf) {
    case 1:
        r[2] = 0x80000000u;
        break;
    case 0x40000000:
        r[0] = 0x4000000Cu;
        r[1] = 0x7263694Du;
        r[2] = 0x666F736Fu;
        r[3] = 0x76482074u;
        break;
    case 0x40000001:
        r[0] = 0x31237648u;
        break;
    case 0x40000002:
        r[0] = 20348;
        r[1] = 10u << 16;
        break;
    case 0x40000003:
        r[0] = 0x6Eu; /* counter, SynIC, timers, hypercall, VP index */
        r[1] = (sim->config.no_messages ? 0 : 0x10u) | 0x20u;
        if (sim->config.isolated)
            r[1] |= 1u << 22;
        r[3] = sim->config.no_polling ? 0 : 1u << 17;
        break;
    case 0x4000000C:
        r[1] = sim->config.isolated ? 2 : 0;
        break;
    default:
        break;
    }
}

bool hvsim_read_msr(struct hvsim *sim, uint32_t msr, uint64_t *value)
{
    bool known = true;

    pthread_mutex_lock(&sim->lock);
    *value = 0;
    if (msr == MSR(0))
        *value = sim->guest_os_id;
    else if (msr == MSR(1))
        *value = sim->hypercall;
    else if (msr == MSR(0x80))
        *value = sim->scontrol;
    else if (msr == MSR(0x81))
        *value = 1;
    else if (msr == MSR(0x82))
        *value = sim->siefp;
    else if (msr == MSR(0x83))
        *value = sim->simp;
    else if (msr >= MSR(0x90) && msr < MSR(0xA0))
        *value = sim->sint[msr - MSR(0x90)];
    else if (msr != MSR(2) && msr != MSR(0x84))
        known = false;
    pthread_mutex_unlock(&sim->lock);
    return known;
}

static void deliver(struct hvsim *sim, uint32_t sint);

static void put_page(struct hvsim *sim, const char *name, uint64_t *page, uint64_t value)
{
    if (sim->config.firmware && value != *page)
        hvsim_violation(sim, "%s changed under the firmware", name);
    if ((value & ENABLE) != 0 && hvsim_memory(sim, PAGE_OF(value), HVSIM_PAGE) == NULL)
        return;
    *page = value;
}

static void put_hypercall_page(struct hvsim *sim, uint64_t value)
{
    if (sim->guest_os_id == 0)
        value &= ~(uint64_t)ENABLE; /* silently stays off */
    put_page(sim, "HYPERCALL", &sim->hypercall, value);
    if ((sim->hypercall & ENABLE) != 0 && sim->install_page != NULL)
        sim->install_page(sim->context, PAGE_OF(value));
}

static bool put_sint(struct hvsim *sim, uint32_t n, uint64_t value)
{
    if ((value & MASKED) == 0 && (value & 0xFF) < 16)
        return false;
    if (sim->config.firmware && n <= FIRMWARE_SINT)
        hvsim_violation(sim, "SINT %u is not the client's: it was written %#llx", n,
                        (unsigned long long)value);
    sim->sint[n] = value;
    return true;
}

bool hvsim_write_msr(struct hvsim *sim, uint32_t msr, uint64_t value)
{
    bool known = true;

    pthread_mutex_lock(&sim->lock);
    if (msr == MSR(0)) {
        if (sim->config.firmware && value != sim->guest_os_id)
            hvsim_violation(sim, "GUEST_OS_ID changed under the firmware");
        sim->guest_os_id = value;
        if (value == 0)
            sim->hypercall &= ~(uint64_t)ENABLE;
    } else if (msr == MSR(1)) {
        put_hypercall_page(sim, value);
    } else if (msr == MSR(0x80)) {
        if ((value & ENABLE) == 0)
            hvsim_violation(sim, "SCONTROL cleared: loaders do not survive that");
        sim->scontrol = value;
    } else if (msr == MSR(0x82)) {
        put_page(sim, "SIEFP", &sim->siefp, value);
    } else if (msr == MSR(0x83)) {
        put_page(sim, "SIMP", &sim->simp, value);
    } else if (msr == MSR(0x84)) {
        sim->eoms++;
        for (uint32_t i = 0; i < HVSIM_SINTS; i++)
            deliver(sim, i);
    } else if (msr >= MSR(0x90) && msr < MSR(0xA0)) {
        known = put_sint(sim, msr - MSR(0x90), value);
    } else {
        known = false;
    }
    pthread_mutex_unlock(&sim->lock);
    return known;
}

/* ---- Messages to the guest ---- */

static uint32_t *word_at(uint8_t *at)
{
    return (uint32_t *)(void *)at;
}

/* Puts the queue's head into the slot if that is free; else asks for an end of message. */
static void deliver(struct hvsim *sim, uint32_t sint)
{
    uint8_t *slot;
    const struct hvsim_message *message;

    if (sim->queue[sint].count == 0 || (sim->scontrol & ENABLE) == 0 || (sim->simp & ENABLE) == 0 ||
        (sim->sint[sint] & MASKED) != 0)
        return;
    slot = hvsim_memory(sim, PAGE_OF(sim->simp) + (uint64_t)sint * SLOT, SLOT);
    if (slot == NULL)
        return;
    if (__atomic_load_n(word_at(slot), __ATOMIC_SEQ_CST) != 0) {
        sim->queued_behind++;
        __atomic_fetch_or(slot + 5, PENDING, __ATOMIC_SEQ_CST);
        /* The guest may have freed it before it could see the flag: then it does not come back. */
        if (__atomic_load_n(word_at(slot), __ATOMIC_SEQ_CST) != 0)
            return;
    }
    message = &sim->queue[sint].all[sim->queue[sint].first];
    sim->queue[sint].first = (sim->queue[sint].first + 1) % HVSIM_QUEUE_MAX;
    sim->queue[sint].count--;
    memset(slot + 8, 0, 8);
    memcpy(slot + 16, message->bytes, message->size);
    __atomic_store_n(slot + 4, message->size, __ATOMIC_RELAXED);
    __atomic_store_n(slot + 5, sim->queue[sint].count != 0 ? PENDING : 0, __ATOMIC_RELAXED);
    __atomic_store_n(word_at(slot), 1, __ATOMIC_SEQ_CST);
    sim->messages_out++;
    if (sim->interrupt != NULL && (sim->sint[sint] & POLLING) == 0)
        sim->interrupt(sim->context, (uint8_t)sim->sint[sint]);
}

void hvsim_send(struct hvsim *sim, uint32_t sint, const uint8_t *message, size_t size)
{
    struct hvsim_message *last;

    if (sint == FIRMWARE_SINT && sim->config.firmware) {
        hvsim_violation(sim, "message %u arrives on SINT 2: the firmware fails fast", message[0]);
        return;
    }
    if (sim->queue[sint].count == HVSIM_QUEUE_MAX) {
        hvsim_violation(sim, "the guest takes no messages: %u wait on SINT %u", HVSIM_QUEUE_MAX,
                        sint);
        return;
    }
    last = &sim->queue[sint]
                .all[(sim->queue[sint].first + sim->queue[sint].count++) % HVSIM_QUEUE_MAX];
    last->size = (uint8_t)size;
    memcpy(last->bytes, message, size);
    if (sim->queue[sint].count == 1)
        deliver(sim, sint);
    else
        sim->queued_behind++; /* those before it have asked for the end of message */
}

/* ---- Hypercalls ---- */

enum {
    CALL_POST = 0x5C,
    CALL_SIGNAL_FAST = 0x1005D,
    STATUS_BAD_CODE = 2,
    STATUS_BAD_CONTROL = 3,
    STATUS_MISALIGNED = 4,
    STATUS_BAD_PARAMETER = 5,
    STATUS_ACCESS_DENIED = 6,
    STATUS_NO_CONNECTION = 0x12,
    STATUS_NO_BUFFERS = 0x13,
};

static bool overlay(uint64_t page, uint64_t input)
{
    return (page & ENABLE) != 0 && PAGE_OF(page) == PAGE_OF(input);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t post(struct hvsim *sim, uint64_t input)
{
    uint32_t connection, size;
    const uint8_t *block;
    struct hvsim_message *message;

    sim->posts++;
    if ((input & 7) != 0 || (input & (HVSIM_PAGE - 1)) > HVSIM_PAGE - 256) {
        hvsim_violation(sim, "hypercall input at %#llx crosses a page or is not aligned",
                        (unsigned long long)input);
        return STATUS_MISALIGNED;
    }
    if (overlay(sim->simp, input) || overlay(sim->siefp, input) || overlay(sim->hypercall, input)) {
        hvsim_violation(sim, "hypercall input in an overlay page");
        return STATUS_BAD_PARAMETER;
    }
    block = hvsim_memory(sim, input, 256);
    if (block == NULL)
        return STATUS_BAD_PARAMETER;
    connection = get32(block);
    size = get32(block + 12);
    if (get32(block + 4) != 0 || get32(block + 8) != 1 || size > HVSIM_MESSAGE_MAX || size < 8) {
        hvsim_violation(sim, "post with type %u and size %u", get32(block + 8), size);
        return STATUS_BAD_PARAMETER;
    }
    if (sim->config.firmware && connection == 1) {
        hvsim_violation(sim, "post on connection 1: its answer goes to the firmware");
        return 0;
    }
    if (sim->faults.posts_failing != 0) {
        sim->faults.posts_failing--;
        return sim->faults.post_status;
    }
    if (sim->faults.post_every != 0 && sim->posts % sim->faults.post_every == 0)
        return sim->faults.post_status;
    if (connection != 1 && (connection != 4 || !hvsim_host_knows(sim, HVSIM_VERSION(5, 0))) &&
        (connection != sim->message_connection || !sim->connected))
        return STATUS_NO_CONNECTION;
    if (sim->inbox.count == HVSIM_INBOX_MAX)
        return STATUS_NO_BUFFERS;
    sim->inbox.connection[(sim->inbox.first + sim->inbox.count) % HVSIM_INBOX_MAX] = connection;
    message = &sim->inbox.all[(sim->inbox.first + sim->inbox.count++) % HVSIM_INBOX_MAX];
    message->size = (uint8_t)size;
    memcpy(message->bytes, block + 16, size);
    return 0;
}

uint64_t hvsim_hypercall(struct hvsim *sim, uint64_t control, uint64_t input, uint64_t output)
{
    uint64_t status = STATUS_BAD_CODE;

    pthread_mutex_lock(&sim->lock);
    if ((sim->hypercall & ENABLE) == 0) {
        hvsim_violation(sim, "hypercall while the page is disabled: #UD");
    } else if (control == CALL_POST) {
        status = sim->config.no_messages ? STATUS_ACCESS_DENIED : post(sim, input);
    } else if (control == CALL_SIGNAL_FAST) {
        sim->signals++;
        status = 0;
        if (input >> 32 != 0 || output != 0 || !hvsim_signalled(sim, (uint32_t)input)) {
            hvsim_violation(sim, "signal on connection %#llx", (unsigned long long)input);
            status = STATUS_NO_CONNECTION;
        }
    } else {
        hvsim_violation(sim, "hypercall %#llx", (unsigned long long)control);
        status = STATUS_BAD_CONTROL;
    }
    pthread_mutex_unlock(&sim->lock);
    return status;
}

void hvsim_run(struct hvsim *sim)
{
    pthread_mutex_lock(&sim->lock);
    while (sim->inbox.count != 0) {
        struct hvsim_message message = sim->inbox.all[sim->inbox.first];
        uint32_t connection = sim->inbox.connection[sim->inbox.first];

        sim->inbox.first = (sim->inbox.first + 1) % HVSIM_INBOX_MAX;
        sim->inbox.count--;
        hvsim_serve(sim, connection, &message);
    }
    pthread_mutex_unlock(&sim->lock);
}
