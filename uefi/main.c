/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * windbg.efi: loads on any x86-64 UEFI firmware as a runtime driver and makes it, and the programs
 * on it, debuggable over a serial port by WinDbg or kdwire debug. Here: start, firmware events,
 * unload. The engine proper is engine.c.
 */
#include <string.h>

#include <efi.h>

#include "device_path.h"
#include "engine.h"
#include "idt.h"
#include "kdwire/efi_debug.h"
#include "modules.h"
#include "ports.h"
#include "protocol.h"
#include "sources.h"
#include "timer.h"
#include "vmbus_port.h"

enum {
    CHECK_PERIOD_100NS = 2500000, /* 250 ms: re-hook check and unloads need no more */
    POLL_PERIOD_100NS = 500000,   /* 50 ms with poll=event: what a person takes for immediate */
    WATCHDOG_EVERY = 20,          /* checks between two calls that keep the boot watchdog off */
    AP_TIMEOUT_US = 1000000,
    SILENCE_US = 5000,     /* between two pieces of a queue; a byte at 9600 baud takes 1 ms */
    DRAIN_MAX_US = 100000, /* a line that never falls silent must not hold up the start */
    VENDOR_NODE_SIZE = 20,
};

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
/* The device path of the file system that OVMF makes of -kernel and -initrd. */
static const EFI_GUID qemu_kernel_guid = {
    0x1428f772, 0xb64a, 0x441e, {0xb8, 0xc3, 0x9e, 0xbd, 0xd7, 0xf8, 0x93, 0xc7}};
static const EFI_GUID mp_guid = EFI_MP_SERVICES_PROTOCOL_GUID;
static const EFI_GUID acpi_guid = EFI_ACPI_20_TABLE_GUID;
static const EFI_GUID before_exit_guid = EFI_EVENT_GROUP_BEFORE_EXIT_BOOT_SERVICES;

static EFI_HANDLE own_image;
static EFI_LOADED_IMAGE_PROTOCOL *own;
static EFI_SYSTEM_TABLE *system;
static EFI_EVENT image_event, check_event, exit_event, acpi_event, before_exit_event;
static bool hooked; /* the interrupt table is ours */
static void *image_registration;

/* ---- Firmware's events ---- */

static bool on_vmbus(void)
{
    return engine.wire.ops != NULL && engine.wire.ops != &uart_wire;
}

/* The handles that got a LoadedImage protocol since the last call; the first call brings all. */
static void take_notified_images(bool they_are_new)
{
    EFI_HANDLE handle;
    UINTN size = sizeof handle;

    while (!EFI_ERROR(system->BootServices->LocateHandle(ByRegisterNotify, NULL, image_registration,
                                                         &size, &handle))) {
        EFI_LOADED_IMAGE_PROTOCOL *image;

        if (they_are_new && !EFI_ERROR(system->BootServices->HandleProtocol(
                                handle, &loaded_image_guid, (void **)&image)))
            modules_installed(image);
        size = sizeof handle;
    }
}

/* Runs inside LoadImage, before the new image's entry point. */
static void EFIAPI on_loaded_image(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    take_notified_images(true);
    if (modules_scan()) {
        modules_find_names();
        (void)engine_call(ENGINE_MODULES, NULL);
    }
}

static void EFIAPI on_check(EFI_EVENT event, void *context)
{
    static unsigned ticks;

    (void)event;
    (void)context;
    (void)idt_check();
    if (modules_poll()) {
        modules_find_names();
        (void)engine_call(ENGINE_MODULES, NULL);
    }
    if (engine.config.poll == UEFI_POLL_EVENT)
        (void)engine_call(ENGINE_POLL, NULL);
    if (ticks++ % WATCHDOG_EVERY == 0 && kd_target_attached(&engine.target))
        (void)system->BootServices->SetWatchdogTimer(0, 0, 0, NULL);
}

/*
 * Hyper-V's firmware takes the bus down at ExitBootServices: SINTs masked, pages off, the hypercall
 * page gone. In which order its notification and ours run is nobody's promise, so the wire is left
 * before, where the firmware tells in time; else here, if it is still there. Nothing of it outlives
 * boot services, so ebs=stay is not offered (start_on_vmbus says so).
 */
static void leave_vmbus(void)
{
    if (!on_vmbus())
        return;
    if (!vmbus_port_alive())
        engine.wire.ops = NULL; /* too late to say anything, not to take the breakpoints out */
    (void)engine_call(ENGINE_GOODBYE, NULL);
    engine.wire.ops = NULL;
    vmbus_port_leave();
}

static void EFIAPI before_exit_boot_services(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    leave_vmbus();
}

/* May come more than once: ExitBootServices can fail and be called again. */
static void EFIAPI on_exit_boot_services(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    leave_vmbus();
    if (engine.config.stay_after_exit && engine.wire.ops != NULL) {
        idt_move_to_runtime_memory();
        engine.own_tick = idt_is_installed();
        if (engine.own_tick)
            port_start_tick();
        return;
    }
    (void)engine_call(ENGINE_GOODBYE, NULL);
    port_disable_interrupt(&engine.uart);
    idt_remove();
}

static EFI_STATUS register_events(void)
{
    EFI_BOOT_SERVICES *boot = system->BootServices;
    EFI_STATUS status;

    status = boot->CreateEvent(EVT_NOTIFY_SIGNAL, TPL_NOTIFY, on_loaded_image, NULL, &image_event);
    if (!EFI_ERROR(status))
        status = boot->RegisterProtocolNotify(&loaded_image_guid, image_event, &image_registration);
    if (!EFI_ERROR(status))
        take_notified_images(false);
    if (!EFI_ERROR(status))
        status = boot->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_NOTIFY, on_check, NULL,
                                   &check_event);
    if (!EFI_ERROR(status))
        status = boot->SetTimer(check_event, TimerPeriodic,
                                engine.config.poll == UEFI_POLL_EVENT ? POLL_PERIOD_100NS
                                                                      : CHECK_PERIOD_100NS);
    if (!EFI_ERROR(status))
        status = boot->CreateEvent(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_NOTIFY, on_exit_boot_services,
                                   NULL, &exit_event);
    if (!EFI_ERROR(status) && on_vmbus()) /* older firmware does not know the group: no error */
        (void)boot->CreateEventEx(EVT_NOTIFY_SIGNAL, TPL_NOTIFY, before_exit_boot_services, NULL,
                                  &before_exit_guid, &before_exit_event);
    return status;
}

static void close_events(void)
{
    EFI_EVENT *events[] = {&image_event, &check_event, &exit_event, &acpi_event,
                           &before_exit_event};

    for (unsigned i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (*events[i] != NULL)
            (void)system->BootServices->CloseEvent(*events[i]);
        *events[i] = NULL;
    }
}

/* ---- Start and end ---- */

static void stop(void)
{
    close_events();
    if (!hooked) /* still waiting for its port */
        return;
    (void)engine_call(ENGINE_GOODBYE, NULL);
    port_disable_interrupt(&engine.uart);
    engine.wire.ops = NULL;
    vmbus_port_close();
    engine.own_vmbus = false;
    idt_remove();
    hooked = false;
    console_release();
}

static EFI_STATUS EFIAPI unload(EFI_HANDLE image)
{
    stop();
    protocol_uninstall(image, system->BootServices);
    return EFI_SUCCESS;
}

/* OVMF unloads what -kernel started as soon as it returns, for it expects a kernel. */
static bool started_as_qemu_kernel(void)
{
    struct device_path walk;
    void *path;

    if (own->DeviceHandle == NULL ||
        EFI_ERROR(system->BootServices->HandleProtocol(own->DeviceHandle, &path_guid, &path)))
        return false;
    device_path_start(&walk, path, DEVICE_PATH_MAX);
    while (device_path_next(&walk)) {
        if (device_path_is(&walk, DEVICE_MEDIA, DEVICE_MEDIA_VENDOR, VENDOR_NODE_SIZE) &&
            memcmp(walk.node + 4, &qemu_kernel_guid, sizeof qemu_kernel_guid) == 0)
            return true;
    }
    return false;
}

/* Whether firmware has not come to its tables yet; it has before it starts a boot option. */
static bool before_acpi(void)
{
    return acpi_event != NULL || !port_has_acpi(system);
}

static void say(const CHAR16 *text)
{
    if (system->ConOut != NULL)
        (void)system->ConOut->OutputString(system->ConOut, text);
}

static void EFIAPI hook_ap(void *argument)
{
    (void)argument;
    idt_install_on_ap();
}

/* Not an error when it fails: exceptions on other processors then stay with the firmware. */
static void hook_other_processors(void)
{
    EFI_MP_SERVICES_PROTOCOL *mp;
    UINTN all = 1, enabled = 1;

    if (EFI_ERROR(system->BootServices->LocateProtocol(&mp_guid, NULL, (void **)&mp)) ||
        EFI_ERROR(mp->GetNumberOfProcessors(mp, &all, &enabled)) || enabled < 2)
        return;
    (void)mp->StartupAllAPs(mp, hook_ap, true, NULL, AP_TIMEOUT_US, NULL, NULL);
    idt_finish_aps();
}

static void report_bad_settings(const struct uefi_config_error *error)
{
    struct engine_text call;
    char text[UEFI_CONFIG_WORD_MAX + 64] = "kdwire: setting not understood: ";
    size_t n = 0;

    if (error->count == 0)
        return;
    while (text[n] != 0)
        n++;
    for (size_t i = 0; error->first[i] != 0; i++)
        text[n++] = error->first[i];
    text[n++] = '\n';
    memset(&call, 0, sizeof call);
    call.text = text;
    call.size = n;
    (void)engine_call(ENGINE_PRINT, &call);
    say(L"windbg.efi: a setting was not understood; see docs/uefi.md for the keys\r\n");
}

/* A debugger that called while firmware booted has bytes queued behind the FIFO, which come in
 * pieces: half packets and old RESETs that would only cost repeats. */
static void drain_line(void)
{
    uint64_t begin = timer_now();
    uint64_t silent_since = begin;
    uint8_t bytes[64];

    while (timer_now() - silent_since < SILENCE_US && timer_now() - begin < DRAIN_MAX_US) {
        if (engine.wire.ops->read(engine.wire.port, bytes, sizeof bytes) != 0)
            silent_since = timer_now();
        cpu_pause();
    }
}

static EFI_STATUS hook(const struct uefi_config *config)
{
    struct idt_options options = {.own_stacks = config->ist};

    if (idt_install(&options) != 0) {
        say(L"windbg.efi: this firmware's interrupt table cannot be written\r\n");
        return EFI_UNSUPPORTED;
    }
    hooked = true;
    return EFI_SUCCESS;
}

static EFI_STATUS install(void)
{
    EFI_STATUS status;

    hook_other_processors();
    (void)modules_scan();
    modules_expect_notices();
    modules_find_names();
    status = register_events();
    if (!EFI_ERROR(status))
        status = protocol_install(own_image, system->BootServices);
    return status;
}

/* The wire is there. PORT is NULL on VMBus. */
static EFI_STATUS begin(const struct uefi_port *port, const struct uefi_config *config)
{
    EFI_STATUS status = hooked ? EFI_SUCCESS : hook(config);

    if (!EFI_ERROR(status))
        status = install();
    if (EFI_ERROR(status)) {
        stop();
        return status;
    }
    if (port != NULL && config->rxirq)
        engine.own_interrupt = port_enable_interrupt(port, &engine.uart);
    if (config->initial_break) {
        say(L"windbg.efi: waiting for a debugger\r\n");
        if (engine_call(ENGINE_ATTACH, NULL) != ENGINE_DONE)
            say(L"windbg.efi: no debugger answered; going on (break in at any time)\r\n");
    }
    return EFI_SUCCESS;
}

static EFI_STATUS start_on(const struct uefi_port *port, const struct uart *uart,
                           const struct uefi_config *config)
{
    engine.uart = *uart;
    if (config->grab_console)
        console_grab(port, &engine.uart, config->baud, own_image, system);
    uart_init(&engine.uart, config->baud);
    engine.wire.port = &engine.uart;
    engine.wire.ops = &uart_wire;
    drain_line();
    return begin(port, config);
}

/* EFI_NOT_FOUND: there is none, a serial port is to be taken. The gates come first, as the bus's
 * interrupt may be ours and its registers may fault. */
static EFI_STATUS start_on_vmbus(const struct uefi_config *config)
{
    EFI_STATUS status = hook(config);
    const CHAR16 *why;

    if (EFI_ERROR(status))
        return status;
    say(config->port.kind == UEFI_PORT_VMBUS
            ? L"windbg.efi: waiting for the host's VMBus channel\r\n"
            : L"windbg.efi: connecting to the host's socket\r\n");
    if (config->stay_after_exit)
        say(L"windbg.efi: ebs=stay is for serial ports: VMBus ends at ExitBootServices, and so "
            L"does "
            L"debugging over it\r\n");
    engine.own_vmbus = true;
    why = vmbus_port_open(config, system, &engine.wire);
    if (why == NULL) {
        drain_line();
        return begin(NULL, config);
    }
    engine.own_vmbus = false;
    idt_remove();
    hooked = false;
    say(L"windbg.efi: no VMBus: ");
    say(why);
    say(L"; taking a serial port instead\r\n");
    return EFI_NOT_FOUND;
}

static bool wants_vmbus(const struct uefi_config *config)
{
    return config->port.kind == UEFI_PORT_VMBUS || config->port.kind == UEFI_PORT_HVSOCK;
}

static EFI_STATUS start(void);

static void EFIAPI on_acpi_table(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    if (engine.wire.ops == NULL && !engine.gone)
        (void)start();
}

/* An option ROM runs before ACPI names the port for debuggers: the engine starts when it does.
 * Firmware signals a table's GUID as an event group whenever it installs the table anew. */
static EFI_STATUS wait_for_acpi(void)
{
    if (acpi_event != NULL)
        return EFI_SUCCESS;
    return system->BootServices->CreateEventEx(EVT_NOTIFY_SIGNAL, TPL_CALLBACK, on_acpi_table, NULL,
                                               &acpi_guid, &acpi_event);
}

static EFI_STATUS start_on_serial(struct uefi_config *config)
{
    struct uefi_port port;
    struct uart uart;

    port_open(&config->port, system, &uart, &port);
    if (uart.base == 0 && config->port.kind == UEFI_PORT_DBG2 && before_acpi())
        return wait_for_acpi();
    if (uart.base == 0) {
        say(L"windbg.efi: no serial port there; name one with the load option port=com1 (com1 to "
            L"com4, 0x3f8, pci:0.4.0)\r\n");
        return EFI_NOT_FOUND;
    }
    return start_on(&port, &uart, config);
}

static EFI_STATUS start(void)
{
    struct uefi_config config;
    struct uefi_config_error error;
    EFI_STATUS status = EFI_NOT_FOUND;

    sources_read(&config, &error, own, system);
    if (config.port.kind == UEFI_PORT_NONE)
        return EFI_ABORTED;
    timer_init(system->BootServices);
    modules_init(system);
    engine_init(&config, (uint64_t)own->ImageBase, own->ImageSize, system->RuntimeServices);
    if (wants_vmbus(&config)) {
        status = start_on_vmbus(&config);
        config.port.kind = UEFI_PORT_AUTO;
    }
    if (status == EFI_NOT_FOUND)
        status = start_on_serial(&config);
    if (!EFI_ERROR(status) && engine.wire.ops != NULL)
        report_bad_settings(&error);
    return status;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
    EFI_STATUS status;

    own_image = image;
    system = system_table;
    status = system->BootServices->HandleProtocol(image, &loaded_image_guid, (void **)&own);
    if (EFI_ERROR(status))
        return status;
    status = start();
    if (!EFI_ERROR(status) && !started_as_qemu_kernel())
        own->Unload = unload;
    return status;
}
