/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_test.efi plays the firmware around the engine: it replaces gates and interrupt tables,
 * brings a task state segment of its own, unloads the engine, spoils the table of images, and arms
 * the watchdog.
 */
#include "guest.h"

#include <kdwire/efi_debug.h>

#include <string.h>

/* Longer than the engine takes to notice that its gates are gone. */
#define NOTICE_US         400000u
#define WATCHDOG_SECONDS  300u
#define WATCHDOG_LOOK_US  50000u
#define WATCHDOG_LOOKS    200u
#define VECTOR_BREAKPOINT 3u
#define VECTOR_PAGE_FAULT 14u
#define GATE_SIZE         16u
#define GATE_IST          4u /* offset of the stack number */
#define TSS_SIZE          104u
#define TSS_IST1          0x24u
#define PAGE_SIZE         4096u
#define STACK_PAGES       4u
#define RSDP_SIZE         36u
#define RSDP_XSDT         24u
#define XSDT_SIZE         44u /* a header, and the address of one table */

/* What sgdt, sidt and their like store. */
struct __attribute__((packed)) descriptor_table {
    uint16_t limit;
    uint64_t base;
};

static struct descriptor_table idtr(void)
{
    struct descriptor_table table;

    __asm__ volatile("sidt %0" : "=m"(table));
    return table;
}

static uint8_t *gate_of(unsigned vector)
{
    return (uint8_t *)(uintptr_t)(idtr().base + (uint64_t)vector * GATE_SIZE);
}

void guest_say_gate(const char *what, unsigned vector)
{
    const uint8_t *gate = gate_of(vector);
    uint64_t address = 0;

    memcpy(&address, gate, 2);
    memcpy((uint8_t *)&address + 2, gate + 6, 6);
    say(what);
    say_hex("=", address, "\n");
}

static void int3(void)
{
    __asm__ volatile("int3");
}

/* A late driver takes int3 for itself; the engine must notice, and hand on to that one. */
void guest_replace_gate(const char *argument)
{
    uint64_t handler = (uint64_t)(uintptr_t)foreign_handler;
    uint8_t *gate = gate_of(VECTOR_BREAKPOINT);

    (void)argument;
    __asm__ volatile("cli" ::: "memory");
    memcpy(gate, &handler, 2);
    memcpy(gate + 6, (const uint8_t *)&handler + 2, 6);
    int3();
    say_hex("guest: replaced, hits ", foreign_hits, "\n");
    __asm__ volatile("sti" ::: "memory");
    boot_services->Stall(NOTICE_US);
    int3();
    say_hex("guest: noticed, hits ", foreign_hits, "\n");
}

/* Firmware goes over to a copy of the interrupt table, in which the engine's gates are as well. */
void guest_replace_table(const char *argument)
{
    struct descriptor_table table = idtr();
    EFI_PHYSICAL_ADDRESS page = 0;

    (void)argument;
    if (EFI_ERROR(boot_services->AllocatePages(AllocateAnyPages, EfiBootServicesData, 1, &page)))
        return;
    memcpy((void *)(uintptr_t)page, (const void *)(uintptr_t)table.base, (size_t)table.limit + 1);
    table.base = page;
    __asm__ volatile("lidt %0" : : "m"(table) : "memory");
    boot_services->Stall(NOTICE_US);
    say("guest: table replaced\n");
    int3();
    guest_spin();
}

static EFI_STATUS unload_engine(void)
{
    static const EFI_GUID debug_guid = KDWIRE_DEBUG_PROTOCOL_GUID;
    EFI_HANDLE *handles;
    UINTN count;
    EFI_STATUS status;

    status = boot_services->LocateHandleBuffer(ByProtocol, &debug_guid, NULL, &count, &handles);
    if (EFI_ERROR(status))
        return status;
    status = boot_services->UnloadImage(handles[0]);
    boot_services->FreePool(handles);
    return status;
}

static EFI_STATUS load_engine(const char *options)
{
    EFI_HANDLE handle;
    EFI_STATUS status;
    void *data;
    UINTN size;

    status = fw_cfg_load("opt/kd/windbg.efi", &data, &size);
    if (!EFI_ERROR(status))
        status = image_load(data, size, options, &handle);
    if (!EFI_ERROR(status))
        status = boot_services->StartImage(handle, NULL, NULL);
    return status;
}

/* "unload" leaves the machine without the engine; "unload again" loads it once more. */
void guest_unload_engine(const char *argument)
{
    static const EFI_GUID debug_guid = KDWIRE_DEBUG_PROTOCOL_GUID;
    void *debug;

    guest_say_gate("gate before", VECTOR_BREAKPOINT);
    say_hex("guest: unload ", unload_engine(), "\n");
    guest_say_gate("gate after", VECTOR_BREAKPOINT);
    say_hex("guest: protocol ", boot_services->LocateProtocol(&debug_guid, NULL, &debug), "\n");
    system_table->ConOut->OutputString(system_table->ConOut, L"the console is back\r\n");
    if (!text_equal(argument, "again"))
        return;
    say_hex("guest: load ", load_engine(NULL), "\n");
}

/* A task state segment with one stack, in a copy of the GDT, as firmware with a stack guard has. In
 * memory that outlives this program. */
static bool load_task(void)
{
    EFI_PHYSICAL_ADDRESS pages;
    struct descriptor_table table;
    uint8_t *gdt, *tss, *entry;
    uint64_t top, at;
    uint16_t selector;

    __asm__ volatile("sgdt %0" : "=m"(table));
    selector = (uint16_t)((table.limit + 8u) & ~7u);
    if (selector > PAGE_SIZE - 16 ||
        EFI_ERROR(boot_services->AllocatePages(AllocateAnyPages, EfiBootServicesData,
                                               2 + STACK_PAGES, &pages)))
        return false;
    gdt = (uint8_t *)(uintptr_t)pages;
    tss = gdt + PAGE_SIZE;
    at = (uint64_t)(uintptr_t)tss;
    top = at + (1 + STACK_PAGES) * PAGE_SIZE;
    memset(gdt, 0, 2 * PAGE_SIZE);
    memcpy(gdt, (const void *)(uintptr_t)table.base, (size_t)table.limit + 1);
    memcpy(tss + TSS_IST1, &top, sizeof top);
    entry = gdt + selector;
    entry[0] = TSS_SIZE - 1;
    memcpy(entry + 2, &at, 3);
    entry[5] = 0x89; /* present, available 64-bit TSS */
    memcpy(entry + 7, (const uint8_t *)&at + 3, 5);
    table.limit = (uint16_t)(selector + 15);
    table.base = pages;
    __asm__ volatile("lgdt %0; ltr %1" : : "m"(table), "r"(selector) : "memory");
    return true;
}

/* "stacks ADDRESS": page faults get a stack of the firmware's own before the engine comes; then
 * ADDRESS, which must not be there, is read. */
void guest_bring_own_stacks(const char *argument)
{
    EFI_STATUS status = unload_engine();

    if (EFI_ERROR(status) || !load_task())
        return;
    gate_of(VECTOR_PAGE_FAULT)[GATE_IST] = 1;
    say_hex("guest: load ", load_engine(NULL), "\n");
    say_hex("guest: read ", read_at(text_number(argument, NULL)), "\n");
}

/* An entry of the table of images points nowhere while the engine looks at it. */
void guest_spoil_image_table(const char *argument)
{
    static const EFI_GUID table_guid = EFI_DEBUG_IMAGE_INFO_TABLE_GUID;
    EFI_DEBUG_IMAGE_INFO_TABLE_HEADER *table = NULL;
    EFI_DEBUG_IMAGE_INFO_NORMAL *old;
    UINTN i;

    (void)argument;
    for (i = 0; i < system_table->NumberOfTableEntries; i++) {
        const EFI_CONFIGURATION_TABLE *entry = &system_table->ConfigurationTable[i];

        if (memcmp(&entry->VendorGuid, &table_guid, sizeof table_guid) == 0)
            table = entry->VendorTable;
    }
    if (table == NULL)
        return;
    old = table->EfiDebugImageInfoTable[0];
    table->EfiDebugImageInfoTable[0] =
        (EFI_DEBUG_IMAGE_INFO_NORMAL *)(uintptr_t)0xDEAD000000000000u;
    table->UpdateStatus |= EFI_DEBUG_IMAGE_INFO_TABLE_MODIFIED;
    guest_spin();
    table->EfiDebugImageInfoTable[0] = old;
}

static void put_table(uint8_t *to, const char *signature, uint32_t size)
{
    memset(to, 0, size);
    memcpy(to, signature, 4);
    memcpy(to + 4, &size, sizeof size);
}

/* As in an option ROM: the engine, told to use the port of DBG2, is loaded before there are ACPI
 * tables. They come in two steps, the one that counts last. */
void guest_publish_acpi_late(const char *argument)
{
    static const EFI_GUID acpi_guid = EFI_ACPI_20_TABLE_GUID;
    static const EFI_GUID debug_guid = KDWIRE_DEBUG_PROTOCOL_GUID;
    static uint8_t rsdp[RSDP_SIZE], xsdt[XSDT_SIZE];
    EFI_STATUS status = unload_engine();
    uint64_t address = (uint64_t)(uintptr_t)xsdt;
    void *dbg2, *debug;
    UINTN size;

    (void)argument;
    if (EFI_ERROR(status) || EFI_ERROR(fw_cfg_load("opt/kd/dbg2", &dbg2, &size)))
        return;
    boot_services->InstallConfigurationTable(&acpi_guid, NULL);
    say_hex("guest: load ", load_engine("port=dbg2"), "\n");
    put_table(xsdt, "XSDT", XSDT_SIZE - sizeof address);
    memcpy(rsdp + RSDP_XSDT, &address, sizeof address);
    boot_services->InstallConfigurationTable(&acpi_guid, rsdp);
    say_hex("guest: protocol ", boot_services->LocateProtocol(&debug_guid, NULL, &debug), "\n");
    put_table(xsdt, "XSDT", XSDT_SIZE);
    address = (uint64_t)(uintptr_t)dbg2;
    memcpy(xsdt + XSDT_SIZE - sizeof address, &address, sizeof address);
    boot_services->InstallConfigurationTable(&acpi_guid, rsdp); /* the engine's first stop */
    say_hex("guest: protocol ", boot_services->LocateProtocol(&debug_guid, NULL, &debug), "\n");
}

/* What the boot manager does before it starts a boot option. */
void guest_arm_watchdog(const char *argument)
{
    static const EFI_GUID watchdog_guid = {
        0x665e3ff5, 0x46cc, 0x11d4, {0x9a, 0x38, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
    struct watchdog {
        void *RegisterHandler, *SetTimerPeriod;
        EFI_STATUS(EFIAPI *GetTimerPeriod)(struct watchdog *, uint64_t *period);
    } * watchdog;
    uint64_t period = 0;
    unsigned i;

    (void)argument;
    if (EFI_ERROR(boot_services->LocateProtocol(&watchdog_guid, NULL, (void **)&watchdog)))
        return;
    boot_services->SetWatchdogTimer(WATCHDOG_SECONDS, 0x10000, 0, NULL);
    watchdog->GetTimerPeriod(watchdog, &period);
    say_hex("guest: watchdog armed ", period != 0, "\n");
    for (i = 0; i < WATCHDOG_LOOKS && period != 0; i++) {
        boot_services->Stall(WATCHDOG_LOOK_US);
        watchdog->GetTimerPeriod(watchdog, &period);
    }
    say_hex("guest: watchdog armed ", period != 0, "\n");
}
