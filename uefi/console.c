/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware drives every UART it knows as a terminal: it writes screen contents into the debugger's
 * line and eats the debugger's bytes. Opening the port's SerialIo protocol exclusively evicts its
 * terminal driver and keeps it from coming back; where the protocol does not exist yet (we were
 * loaded before the console) a notification catches it.
 */
#include <string.h>

#include "kdwire/wire.h"
#include "ports.h"

enum {
    NODE_HARDWARE = 1,
    NODE_HARDWARE_PCI = 1,
    NODE_ACPI = 2,
    NODE_ACPI_DEVICE = 1,
    NODE_END = 0x7F,
    NODES_MAX = 32,
    GRABBED_MAX = 4, /* one port can show up as more than one handle; more than four is not known */
};

#define HID_PNP0501 0x050141D0u /* a 16550 */

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

static bool node_matches(const uint8_t *node, uint32_t length)
{
    if (wanted.kind == UEFI_PORT_COM)
        return node[0] == NODE_ACPI && node[1] == NODE_ACPI_DEVICE && length >= 12 &&
               kd_get_u32(node + 4) == HID_PNP0501 && kd_get_u32(node + 8) == wanted.com - 1;
    if (wanted.kind == UEFI_PORT_PCI)
        return node[0] == NODE_HARDWARE && node[1] == NODE_HARDWARE_PCI && length >= 6 &&
               node[4] == wanted.function && node[5] == wanted.device;
    return false;
}

static bool is_our_port(EFI_HANDLE handle)
{
    void *path;
    const uint8_t *node;

    if (EFI_ERROR(system->BootServices->HandleProtocol(handle, &path_guid, &path)))
        return false;
    node = path;
    for (unsigned i = 0; i < NODES_MAX && node[0] != NODE_END; i++) {
        uint32_t length = kd_get_u16(node + 2);

        if (length < 4)
            return false;
        if (node_matches(node, length))
            return true;
        node += length;
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
