/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hvfw.efi: plays Hyper-V's firmware for windbg.efi over VMBus under OVMF; belongs to
 * tests/system/test_uefi_vmbus.py. It provides the pages that the real one owns, loads the engine
 * from fw_cfg (opt/kd/engine.efi, options opt/kd/engine.options) and holds until the simulated host
 * (tests/hvsim/qemu.c) has taken over the engine's privileged instructions. At ExitBootServices it
 * takes everything down, as the real one does; with the fw_cfg file opt/kd/early before the engine
 * hears of it.
 */
#include "common.h"

enum { PAGES = 3 };

/* The host's debugger stops here: it has a breakpoint on it. */
__attribute__((noinline)) void hvfw_event(uint64_t number);

static const EFI_GUID before_exit_guid = EFI_EVENT_GROUP_BEFORE_EXIT_BOOT_SERVICES;
static volatile uint64_t released;

__attribute__((noinline)) void hvfw_event(uint64_t number)
{
    __asm__ volatile("" : : "r"(number) : "memory");
}

static void EFIAPI on_exit_boot_services(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    hvfw_event(1);
}

static EFI_STATUS load_engine(EFI_HANDLE *engine)
{
    static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    void *data, *options;
    UINTN size;
    EFI_STATUS status;

    if (EFI_ERROR(fw_cfg_load("opt/kd/engine.options", &options, &size)))
        options = NULL;
    status = fw_cfg_load("opt/kd/engine.efi", &data, &size);
    if (!EFI_ERROR(status))
        status = image_load(data, size, options, engine);
    if (!EFI_ERROR(status))
        status = boot_services->HandleProtocol(*engine, &loaded_image_guid, (void **)&loaded);
    if (!EFI_ERROR(status))
        say_hex("hvfw: engine=", (uint64_t)loaded->ImageBase, "\n");
    return status;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_PHYSICAL_ADDRESS pages;
    EFI_HANDLE engine;
    EFI_EVENT event;
    EFI_STATUS status;
    UINTN size;
    void *data;

    common_init(image, system);
    status = boot_services->AllocatePages(AllocateAnyPages, EfiBootServicesCode, PAGES, &pages);
    if (EFI_ERROR(status))
        return status;
    for (unsigned i = 0; i < PAGES * 4096u; i++)
        ((uint8_t *)pages)[i] = 0;
    ((uint8_t *)pages)[0] = 0x90; /* a call of the page: the host's breakpoint, then the way back */
    ((uint8_t *)pages)[1] = 0xC3;
    say_hex("hvfw: pages=", pages, "\n");
    say_hex("hvfw: event=", (uint64_t)(uintptr_t)hvfw_event, "\n");
    say_hex("hvfw: release=", (uint64_t)(uintptr_t)&released, "\n");
    status = load_engine(&engine);
    if (!EFI_ERROR(status))
        status = boot_services->CreateEvent(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_NOTIFY,
                                            on_exit_boot_services, NULL, &event);
    if (EFI_ERROR(status))
        return status;
    say("hvfw: ready\n");
    while (released == 0)
        ;
    status = boot_services->StartImage(engine, NULL, NULL);
    say_hex("hvfw: engine returned ", status, "\n");
    /* EDK2 notifies first whoever was registered last. OVMF of 2022 does not know the group. */
    if (!EFI_ERROR(fw_cfg_load("opt/kd/early", &data, &size))) {
        (void)boot_services->CreateEventEx(EVT_NOTIFY_SIGNAL, TPL_NOTIFY, on_exit_boot_services,
                                           NULL, &before_exit_guid, &event);
        (void)boot_services->CreateEvent(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_NOTIFY,
                                         on_exit_boot_services, NULL, &event);
    }
    return status;
}
