/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: rings and pages are EfiRuntimeServicesData, because the host writes into them until it
 * says that it stopped; they are freed only after it did.
 */
#include "vmbus_port.h"

#include "cpu.h"
#include "kdwire/error.h"
#include "ports.h"
#include "timer.h"
#include "vmbus/client.h"
#include "vmbus/x86.h"

enum {
    CONTROL_PAGES = 3, /* hypercall input, messages, events */
    RING_PAGES = VMBUS_RING_PAGES_DEFAULT,
    ALL_PAGES = CONTROL_PAGES + 2 * (RING_PAGES + 1),
    LEAVE_MAX_US = 12000000, /* two answers of the client's own patience, and some more */
    STALL_US = 50,
};

static struct vmbus_client client;
static EFI_BOOT_SERVICES *boot;
static EFI_PHYSICAL_ADDRESS data_pages, code_page;

/* ---- The hypervisor ---- */

static int read_msr(void *context, uint32_t msr, uint64_t *value)
{
    (void)context;
    return safe_read_msr(msr, value) == 0 ? KD_OK : KD_E_FAULT;
}

static int write_msr(void *context, uint32_t msr, uint64_t value)
{
    (void)context;
    return safe_write_msr(msr, value) == 0 ? KD_OK : KD_E_FAULT;
}

static const struct vmbus_hv hypervisor = {
    .cpuid = vmbus_x86_cpuid,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .hypercall = vmbus_x86_hypercall,
};

bool vmbus_port_alive(void)
{
    uint64_t id = 0, page = 0, messages = 0;

    return client.state != VMBUS_OFF && client.state != VMBUS_FAILED &&
           safe_read_msr(HV_MSR_GUEST_OS_ID, &id) == 0 && id != 0 &&
           safe_read_msr(HV_MSR_HYPERCALL, &page) == 0 && (page & HV_ENABLE) != 0 &&
           safe_read_msr(HV_MSR_SIMP, &messages) == 0 && (messages & HV_ENABLE) != 0;
}

bool vmbus_port_ends_interrupts(void)
{
    return client.features.no_auto_eoi;
}

/* ---- The wire ---- */

static size_t wire_read(void *port, uint8_t *to, size_t size)
{
    (void)port;
    vmbus_client_poll(&client, timer_now());
    return vmbus_client_read(&client, timer_now(), to, size);
}

static bool wire_ready(void *port)
{
    (void)port;
    return vmbus_client_ready(&client);
}

static size_t wire_write(void *port, const uint8_t *from, size_t size, bool *received)
{
    size_t n = vmbus_client_write(&client, timer_now(), from, size);

    if (received != NULL) /* for a line that overruns when it is not read; rings do not */
        *received = false;
    if (n == 0)
        vmbus_client_poll(&client, timer_now());
    (void)port;
    return n;
}

static const struct wire_ops vmbus_wire = {wire_read, wire_write, wire_ready};

/* ---- Start and end ---- */

static bool get_memory(struct vmbus_memory *memory)
{
    uint8_t *page;

    if (EFI_ERROR(
            boot->AllocatePages(AllocateAnyPages, EfiRuntimeServicesData, ALL_PAGES, &data_pages)))
        return false;
    if (EFI_ERROR(boot->AllocatePages(AllocateAnyPages, EfiRuntimeServicesCode, 1, &code_page))) {
        (void)boot->FreePages(data_pages, ALL_PAGES);
        data_pages = 0;
        return false;
    }
    page = (uint8_t *)data_pages; /* firmware maps memory at its own address */
    memory->pages.input = page;
    memory->pages.messages = page + VMBUS_PAGE;
    memory->pages.events = page + 2 * (size_t)VMBUS_PAGE;
    memory->pages.hypercall = (uint8_t *)code_page;
    memory->rings = page + CONTROL_PAGES * (size_t)VMBUS_PAGE;
    memory->ring_pages = RING_PAGES;
    return true;
}

static void free_memory(void)
{
    if (data_pages != 0 && !client.lent) {
        (void)boot->FreePages(data_pages, ALL_PAGES);
        (void)boot->FreePages(code_page, 1);
    }
    data_pages = 0;
}

static void want(struct vmbus_wanted *wanted, const struct uefi_config *config)
{
    bool framed = config->framing != UEFI_FRAMING_RAW;

    wanted->socket = config->port.kind == UEFI_PORT_HVSOCK;
    wanted->type = config->port.channel;
    if (vmbus_guid_is_zero(&wanted->type))
        wanted->type = framed ? vmbus_windbg_uefi_type : vmbus_kdwire_type;
    wanted->instance = (struct vmbus_guid){{0}};
    wanted->windbg_uefi_framing = framed;
    wanted->acknowledge = config->framing == UEFI_FRAMING_ACKNOWLEDGED;
    wanted->seed = cpu_tsc();
    wanted->vector = PORT_VMBUS_VECTOR;
}

static const CHAR16 *why_not(int rc)
{
    switch (rc) {
    case KD_E_NOT_FOUND:
        return L"this machine does not run under Hyper-V, so there is no VMBus";
    case KD_E_REFUSED:
        return L"this VM is isolated (confidential): the host cannot see its memory";
    case KD_E_UNSUPPORTED:
        return L"this hypervisor lets the firmware's programs send no messages";
    default:
        return L"the synthetic interrupt controller cannot be used";
    }
}

static const CHAR16 *why_not_open(void)
{
    if (client.state == VMBUS_WAITING)
        return L"the host offers no channel; start kdwire there first, see docs/hyper-v.md";
    if (client.state == VMBUS_FAILED && client.failure == KD_E_UNSUPPORTED)
        return L"this host takes no second VMBus client (Windows 10 1803 or Server 2019 is the "
               L"oldest that does)";
    return L"the host does not answer";
}

static bool is_opening(void)
{
    return client.state != VMBUS_OPEN && client.state != VMBUS_FAILED;
}

static bool is_leaving(void)
{
    return client.state != VMBUS_OFF && client.state != VMBUS_FAILED;
}

const CHAR16 *vmbus_port_open(const struct uefi_config *config, EFI_SYSTEM_TABLE *system,
                              struct wire *wire)
{
    struct vmbus_features features;
    struct vmbus_memory memory;
    struct vmbus_wanted wanted;
    const CHAR16 *why;
    uint64_t start;
    int rc = vmbus_detect(&hypervisor, &features);

    boot = system->BootServices;
    if (rc != 0)
        return why_not(rc);
    if (!get_memory(&memory))
        return L"there is no memory for its rings";
    want(&wanted, config);
    rc = vmbus_client_start(&client, &hypervisor, &memory, &wanted, timer_now());
    if (rc != 0) {
        free_memory();
        return why_not(KD_E_IO);
    }
    start = timer_now();
    while (is_opening() && (config->vmbus_wait_ms == 0 ||
                            timer_now() - start < (uint64_t)config->vmbus_wait_ms * 1000)) {
        vmbus_client_poll(&client, timer_now());
        (void)boot->Stall(STALL_US);
    }
    if (client.state == VMBUS_OPEN) {
        wire->ops = &vmbus_wire;
        wire->port = &client;
        return NULL;
    }
    why = why_not_open();
    vmbus_port_close();
    return why;
}

void vmbus_port_leave(void)
{
    uint64_t start = timer_now();

    if (!is_leaving())
        return;
    if (!vmbus_port_alive()) {
        vmbus_client_abandon(&client);
        return;
    }
    vmbus_client_stop(&client, timer_now());
    while (is_leaving() && timer_now() - start < LEAVE_MAX_US) {
        vmbus_client_poll(&client, timer_now());
        cpu_pause();
    }
}

void vmbus_port_close(void)
{
    vmbus_port_leave();
    free_memory();
}
