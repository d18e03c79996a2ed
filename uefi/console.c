/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware drives every UART it knows as a terminal: it writes screen contents into the debugger's
 * line and eats the debugger's bytes. Opening the port's SerialIo protocol exclusively evicts its
 * terminal driver and keeps it from coming back; where the protocol does not exist yet (we were
 * loaded before the console) a notification catches it.
 */
#include "device_path.h"
#include "kdwire/wire.h"
#include "pci.h"
#include "ports.h"

enum {
    GRABBED_MAX = 4, /* one port can show up as more than one handle; more than four is not known */
    ACPI_NODE_SIZE = 12,
    PCI_NODE_SIZE = 6,
    PCI_BUS_NUMBERS = 0x18, /* of a bridge: primary, secondary, subordinate */
};

static const EFI_GUID serial_guid = EFI_SERIAL_IO_PROTOCOL_GUID;
static const EFI_GUID path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

static EFI_SYSTEM_TABLE *system;
static EFI_HANDLE own_image;
static struct uefi_port wanted;
static struct uart *our_uart;
static uint32_t our_baud;
static EFI_EVENT event;
static EFI_HANDLE grabbed[GRABBED_MAX];
static unsigned grabbed_count;

/* Whether the path's next node is our PCI port. BUS is the one the node's device is on, and becomes
 * that behind it: paths have device numbers only. */
static bool is_our_pci_device(const struct device_path *walk, uint32_t *bus)
{
    uint32_t device = walk->node[5], function = walk->node[4], on = *bus;

    if (device_path_is(walk, DEVICE_ACPI, DEVICE_ACPI_DEVICE, ACPI_NODE_SIZE)) {
        *bus = kd_get_u32(walk->node + 8) & 0xFF; /* EDK2 numbers a root by its bus */
        return false;
    }
    if (!device_path_is(walk, DEVICE_HARDWARE, DEVICE_HARDWARE_PCI, PCI_NODE_SIZE))
        return false;
    *bus = pci_read32(on, device, function, PCI_BUS_NUMBERS) >> 8 & 0xFF;
    return on == wanted.bus && device == wanted.device && function == wanted.function;
}

static bool is_our_port(EFI_HANDLE handle)
{
    struct device_path walk;
    uint32_t bus = 0;
    void *path;

    if (EFI_ERROR(system->BootServices->HandleProtocol(handle, &path_guid, &path)))
        return false;
    device_path_start(&walk, path, DEVICE_PATH_MAX);
    while (device_path_next(&walk)) {
        if (wanted.kind == UEFI_PORT_COM && device_path_com(&walk) == wanted.com)
            return true;
        if (wanted.kind == UEFI_PORT_PCI && is_our_pci_device(&walk, &bus))
            return true;
    }
    return false;
}

static bool is_grabbed(EFI_HANDLE handle)
{
    for (unsigned i = 0; i < grabbed_count; i++) {
        if (grabbed[i] == handle)
            return true;
    }
    return false;
}

static void grab_all(void)
{
    EFI_BOOT_SERVICES *boot = system->BootServices;
    EFI_HANDLE *handles;
    UINTN count = 0;

    if (EFI_ERROR(boot->LocateHandleBuffer(ByProtocol, &serial_guid, NULL, &count, &handles)))
        return;
    for (UINTN i = 0; i < count && grabbed_count < GRABBED_MAX; i++) {
        void *serial;

        if (is_grabbed(handles[i]) || !is_our_port(handles[i]))
            continue;
        if (!EFI_ERROR(
                boot->OpenProtocol(handles[i], &serial_guid, &serial, own_image, handles[i],
                                   EFI_OPEN_PROTOCOL_BY_DRIVER | EFI_OPEN_PROTOCOL_EXCLUSIVE))) {
            grabbed[grabbed_count++] = handles[i];
            uart_init(our_uart, our_baud); /* the firmware's driver has left its own settings */
        }
    }
    (void)boot->FreePool(handles);
}

static void EFIAPI on_serial_port(EFI_EVENT signalled, void *context)
{
    (void)signalled;
    (void)context;
    grab_all();
}

void console_grab(const struct uefi_port *port, struct uart *uart, uint32_t baud, EFI_HANDLE image,
                  EFI_SYSTEM_TABLE *efi_system)
{
    void *registration;

    system = efi_system;
    own_image = image;
    wanted = *port;
    our_uart = uart;
    our_baud = baud;
    grab_all();
    if (!EFI_ERROR(system->BootServices->CreateEvent(EVT_NOTIFY_SIGNAL, TPL_NOTIFY, on_serial_port,
                                                     NULL, &event)))
        (void)system->BootServices->RegisterProtocolNotify(&serial_guid, event, &registration);
}

void console_release(void)
{
    if (system == NULL)
        return;
    if (event != NULL)
        (void)system->BootServices->CloseEvent(event);
    event = NULL;
    while (grabbed_count > 0) {
        EFI_HANDLE handle = grabbed[--grabbed_count];

        (void)system->BootServices->CloseProtocol(handle, &serial_guid, own_image, handle);
        (void)system->BootServices->ConnectController(handle, NULL, NULL, true);
    }
}
