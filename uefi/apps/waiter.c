/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waiter.efi: lets a test start in tenths of a second where booting the firmware takes seconds.
 *
 * It is booted once, says that it is ready, and looks again and again for the fw_cfg file
 * opt/kd/go. There it is frozen into a snapshot. A machine restored from the snapshot with other
 * fw_cfg files finds that one, and starts what the test handed over:
 *
 *   opt/kd/windbg.efi  the engine, with load options opt/kd/windbg.options
 *   opt/kd/app.efi     the program to debug, with load options opt/kd/app.options
 */
#include "common.h"

#define LOOK_EVERY_US 1000

static bool present(const char *name)
{
    void *data;
    UINTN size;

    if (EFI_ERROR(fw_cfg_load(name, &data, &size)))
        return false;
    boot_services->FreePool(data);
    return true;
}

/* Starts the fw_cfg file `name` and says how that ended. The images' memory is theirs. */
static void run(const char *name, const char *options_name)
{
    UINTN size, options_size;
    void *data, *options;
    EFI_HANDLE handle;
    EFI_STATUS status;

    say("waiter: ");
    say(name);
    status = fw_cfg_load(name, &data, &size);
    if (status == EFI_NOT_FOUND) {
        say(" is not there\n");
        return;
    }
    if (EFI_ERROR(fw_cfg_load(options_name, &options, &options_size)))
        options = NULL;
    if (!EFI_ERROR(status))
        status = image_load(data, size, options, &handle);
    if (EFI_ERROR(status)) {
        say_hex(" cannot be loaded: ", status, "\n");
        return;
    }
    say(" starts\n");
    status = boot_services->StartImage(handle, NULL, NULL);
    say("waiter: ");
    say(name);
    say_hex(" returned ", status, "\n");
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    common_init(image, system);
    boot_services->SetWatchdogTimer(0, 0, 0, NULL);
    say("waiter: ready\n");
    while (!present("opt/kd/go"))
        boot_services->Stall(LOOK_EVERY_US);
    say("waiter: go\n");
    run("opt/kd/windbg.efi", "opt/kd/windbg.options");
    run("opt/kd/app.efi", "opt/kd/app.options");
    say("waiter: done\n");
    for (;;)
        boot_services->Stall(LOOK_EVERY_US);
}
