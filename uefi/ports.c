/* SPDX-License-Identifier: BSD-2-Clause */
#include "ports.h"

#include <string.h>

#include "acpi.h"
#include "cpu.h"
#include "device_path.h"
#include "kdwire/wire.h"
#include "memory.h"
#include "pci.h"

enum {
    COM_PORTS = 4,
    PCI_COMMAND = 0x04,
    PCI_BAR0 = 0x10,
    PCI_COMMAND_IO_AND_MEMORY = 3,

    RSDP_XSDT = 24,
    ACPI_HEADER = 36,
    ACPI_TABLE_MAX = 4096, /* DBG2 and SPCR are a few hundred bytes; what lies behind is ignored */

    IOAPIC_REGISTER = 0x00,
    IOAPIC_WINDOW = 0x10,
    IOAPIC_REDIRECTION = 0x10,
    LAPIC_ID = 0x20,
    LAPIC_EOI = 0xB0,
    LAPIC_COMMAND = 0x300,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_TIMER_COUNT = 0x380,
    LAPIC_TIMER_DIVIDE = 0x3E0,
    TICK_COUNT = 10000000, /* 10 ms at the 1 GHz of QEMU's APIC; near that elsewhere */
};

#define IOAPIC_BASE        0xFEC00000u /* where every PC has its first one */
#define LAPIC_BASE         0xFEE00000u
#define MSR_APIC_BASE      0x1Bu
#define MSR_APIC_X2        0x400u
#define MSR_X2APIC_EOI     0x80Bu
#define MSR_X2APIC_COMMAND 0x830u
#define COMMAND_NMI_OTHERS 0xC4400u /* all excluding self, assert, NMI */
#define IOAPIC_MASKED      0x10000u

static const uint16_t com_bases[COM_PORTS] = {0x3F8, 0x2F8, 0x3E8, 0x2E8};
static const uint8_t com_interrupts[COM_PORTS] = {4, 3, 4, 3};
static const EFI_GUID acpi_guid = EFI_ACPI_20_TABLE_GUID;
static uint8_t interrupt_in_use; /* 0 = none */

/* ---- ACPI ---- */

/* Address of the root pointer; 0 = firmware has not made its tables. */
static uint64_t find_rsdp(EFI_SYSTEM_TABLE *system)
{
    for (UINTN i = 0; i < system->NumberOfTableEntries; i++) {
        if (memcmp(&system->ConfigurationTable[i].VendorGuid, &acpi_guid, sizeof acpi_guid) == 0)
            return (uint64_t)system->ConfigurationTable[i].VendorTable;
    }
    return 0;
}

bool port_has_acpi(EFI_SYSTEM_TABLE *system)
{
    return find_rsdp(system) != 0;
}

/* Copies the table with SIGNATURE; returns the bytes copied, 0 = there is none. */
static size_t read_acpi(EFI_SYSTEM_TABLE *system, const char *signature, uint8_t *to)
{
    uint64_t rsdp = find_rsdp(system);
    uint8_t header[ACPI_HEADER];
    uint64_t xsdt;
    uint32_t size;

    if (rsdp == 0 || memory_read(rsdp + RSDP_XSDT, &xsdt, 8) != 8 ||
        memory_read(xsdt, header, sizeof header) != sizeof header)
        return 0;
    size = kd_get_u32(header + 4);
    if (memcmp(header, "XSDT", 4) != 0 || size > ACPI_TABLE_MAX)
        return 0;
    for (uint32_t at = ACPI_HEADER; at + 8 <= size; at += 8) {
        uint8_t pointer[8];
        uint64_t table;
        uint32_t length;

        if (memory_read(xsdt + at, pointer, 8) != 8)
            return 0;
        table = kd_get_u64(pointer);
        if (memory_read(table, header, sizeof header) != sizeof header ||
            memcmp(header, signature, 4) != 0)
            continue;
        length = kd_get_u32(header + 4);
        return memory_read(table, to, length < ACPI_TABLE_MAX ? length : ACPI_TABLE_MAX);
    }
    return 0;
}

/* ---- Finding the port ---- */

static uint32_t pci_read(const struct uefi_port *port, unsigned reg)
{
    return pci_read32(port->bus, port->device, port->function, reg);
}

static void pci_write(const struct uefi_port *port, unsigned reg, uint32_t value)
{
    (void)pci_read(port, reg);
    cpu_out32(PCI_DATA, value);
}

static void open_pci(const struct uefi_port *port, struct uart *uart)
{
    uint32_t bar = pci_read(port, PCI_BAR0);

    if (pci_read(port, 0) == 0xFFFFFFFFu || bar == 0)
        return;
    pci_write(port, PCI_COMMAND,
              (pci_read(port, PCI_COMMAND) & 0xFFFFu) | PCI_COMMAND_IO_AND_MEMORY);
    uart->mmio = (bar & 1) == 0;
    uart->base = uart->mmio ? bar & ~15u : bar & ~3u;
    if (uart->mmio && (bar & 6) == 4)
        uart->base |= (uint64_t)pci_read(port, PCI_BAR0 + 4) << 32;
}

static void open_known(const struct uefi_port *port, struct uart *uart)
{
    memset(uart, 0, sizeof *uart);
    uart->stride = 1;
    uart->width = 1;
    switch (port->kind) {
    case UEFI_PORT_COM:
        uart->base = com_bases[port->com - 1];
        break;
    case UEFI_PORT_IO:
        uart->base = port->base;
        break;
    case UEFI_PORT_MMIO:
        uart->base = port->base;
        uart->mmio = true;
        uart->stride = port->stride;
        uart->width = port->width;
        break;
    case UEFI_PORT_PCI:
        open_pci(port, uart);
        break;
    case UEFI_PORT_AUTO:
    case UEFI_PORT_DBG2:
    case UEFI_PORT_VMBUS:
    case UEFI_PORT_HVSOCK:
    case UEFI_PORT_NONE:
        break;
    }
    if (!uart_present(uart))
        uart->base = 0;
}

/* "0x3f8" is COM1: by that name the firmware's console on it is known, and its interrupt. */
static void name_com_port(struct uefi_port *port)
{
    for (unsigned i = 0; i < COM_PORTS; i++) {
        if (port->kind == UEFI_PORT_IO && port->base == com_bases[i]) {
            port->kind = UEFI_PORT_COM;
            port->com = i + 1;
        }
    }
}

/* The COM ports that the firmware's console is configured to use, as bits 1..4. */
static unsigned con_out_ports(EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID global_guid = EFI_GLOBAL_VARIABLE_GUID;
    static uint8_t variable[DEVICE_PATH_MAX];
    UINTN size = sizeof variable;
    struct device_path walk;
    unsigned ports = 0;

    if (EFI_ERROR(
            system->RuntimeServices->GetVariable(L"ConOut", &global_guid, NULL, &size, variable)))
        return 0;
    device_path_start(&walk, variable, (uint32_t)size);
    while (device_path_next(&walk))
        ports |= 1u << device_path_com(&walk);
    return ports & ~1u;
}

/* The first COM port, of those that are least the console's: best neither SPCR nor ConOut names
 * it, else only ConOut does. COM2 before COM1, for where there are both the first is the console.
 */
static void open_first_com(uint64_t spcr, unsigned con_out, struct uart *uart,
                           struct uefi_port *port)
{
    static const uint8_t order[] = {2, 1};

    for (unsigned rank = 0; rank <= 2; rank++) {
        for (unsigned i = 0; i < sizeof order; i++) {
            unsigned com = order[i];
            bool is_spcr = com_bases[com - 1] == spcr;

            if ((is_spcr ? 2 : con_out >> com & 1) != rank)
                continue;
            memset(port, 0, sizeof *port);
            port->kind = UEFI_PORT_COM;
            port->com = com;
            open_known(port, uart);
            if (uart->base != 0)
                return;
        }
    }
}

void port_open(const struct uefi_port *configured, EFI_SYSTEM_TABLE *system, struct uart *uart,
               struct uefi_port *port)
{
    static uint8_t table[ACPI_TABLE_MAX];
    uint64_t spcr = 0;

    *port = *configured;
    memset(uart, 0, sizeof *uart);
    if (configured->kind == UEFI_PORT_AUTO || configured->kind == UEFI_PORT_DBG2)
        (void)acpi_dbg2_port(table, read_acpi(system, "DBG2", table), port);
    name_com_port(port);
    open_known(port, uart);
    if (uart->base == 0 && configured->kind == UEFI_PORT_AUTO) {
        (void)acpi_spcr_base(table, read_acpi(system, "SPCR", table), &spcr);
        open_first_com(spcr, con_out_ports(system), uart, port);
    }
}

/* ---- Interrupts ---- */

static uint32_t *mmio32(uint64_t address)
{
    return (uint32_t *)address;
}

static uint32_t lapic_read(unsigned reg)
{
    return *(volatile uint32_t *)mmio32(LAPIC_BASE + reg);
}

static void lapic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)mmio32(LAPIC_BASE + reg) = value;
}

static void ioapic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)mmio32(IOAPIC_BASE + IOAPIC_REGISTER) = reg;
    *(volatile uint32_t *)mmio32(IOAPIC_BASE + IOAPIC_WINDOW) = value;
}

static bool is_x2apic(void)
{
    uint64_t base = 0;

    return safe_read_msr(MSR_APIC_BASE, &base) == 0 && (base & MSR_APIC_X2) != 0;
}

bool port_enable_interrupt(const struct uefi_port *port, struct uart *uart)
{
    uint8_t line;
    uint32_t destination;

    if (port->kind != UEFI_PORT_COM || uart->base == 0)
        return false;
    line = com_interrupts[port->com - 1];
    destination = is_x2apic() ? cpu_id() << 24 : lapic_read(LAPIC_ID);
    ioapic_write(IOAPIC_REDIRECTION + 2u * line + 1, destination);
    ioapic_write(IOAPIC_REDIRECTION + 2u * line, PORT_RX_VECTOR);
    interrupt_in_use = line;
    uart_enable_receive_interrupt(uart, true);
    return true;
}

void port_disable_interrupt(struct uart *uart)
{
    if (interrupt_in_use == 0)
        return;
    uart_enable_receive_interrupt(uart, false);
    ioapic_write(IOAPIC_REDIRECTION + 2u * interrupt_in_use, IOAPIC_MASKED);
    interrupt_in_use = 0;
}

void port_end_of_interrupt(void)
{
    if (is_x2apic())
        (void)safe_write_msr(MSR_X2APIC_EOI, 0);
    else
        lapic_write(LAPIC_EOI, 0);
}

void port_start_tick(void)
{
    if (is_x2apic())
        return;
    lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
    lapic_write(LAPIC_LVT_TIMER, 0x20000u | PORT_TICK_VECTOR);
    lapic_write(LAPIC_TIMER_COUNT, TICK_COUNT);
}

void port_interrupt_others(void)
{
    if (is_x2apic())
        (void)safe_write_msr(MSR_X2APIC_COMMAND, COMMAND_NMI_OTHERS);
    else
        lapic_write(LAPIC_COMMAND, COMMAND_NMI_OTHERS);
}
