/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsptest.sys, for Wine only: puts htsvsp.dll behind \\.\COM77, so that ordinary Windows programs
 * use the driver through Windows' own calls. It does what the system's reflector and framework do:
 * requests of programs become requests of the stand-in framework (tests/unit/vsp/fake_wdf.c), which
 * runs the real DLL. \\.\VspTest is the private control interface (Wine gives no name below a
 * device, hence a second device). \\.\VspNull ends every request at once, without our DLL: what
 * Wine's own way from a program to a driver costs, for the benchmark. \\.\VspBare does no more than
 * a socket program does (bare.h): what that way and a socket cost together.
 *
 * Wine takes a .sys that imports KERNEL32 for an ordinary DLL first: its entry point is called like
 * a DLL's, and then once more as a driver's.
 */
#include <ntddk.h>

#include "bare.h"
#include "fake_wdf.h"

/* windows.h and ntddk.h do not go together */
__declspec(dllimport) void *WINAPI LoadLibraryW(const WCHAR *name);
__declspec(dllimport) void *WINAPI GetProcAddress(void *module, const char *name);
__declspec(dllimport) long WINAPI
    RegGetValueW(void *key, const WCHAR *subkey, const WCHAR *name, unsigned long flags,
                 unsigned long *type, void *data, unsigned long *size);
BOOLEAN WINAPI DllMainCRTStartup(void *module, unsigned long reason, void *reserved);
extern char __ImageBase;

#define HKEY_LOCAL_MACHINE ((void *)(uintptr_t)0xFFFFFFFF80000002ull)
#define KEY                L"System\\CurrentControlSet\\Services\\vsptest\\Parameters"
#define COM_LINK           L"\\DosDevices\\COM77"
#define CONTROL_LINK       L"\\DosDevices\\VspTest"
#define NULL_LINK          L"\\DosDevices\\VspNull"
#define BARE_LINK          L"\\DosDevices\\VspBare"

enum { RRF_RT_REG_SZ = 2 };

/* One IRP and the request made of it. Jobs stay until the driver is unloaded: a late cancellation
 * may still look at one. */
struct job {
    struct fake_request *request;
    IRP *irp;
    volatile LONG phase; /* 0 begun, 1 pending, 2 done */
    bool is_read;
};

enum device_kind { DEVICE_PORT, DEVICE_CONTROL, DEVICE_NULL, DEVICE_BARE };

struct extension {
    enum device_kind kind;
};

static void finish(struct job *job)
{
    const struct fake_request *request = job->request;
    IRP *irp = job->irp;
    irp->IoStatus.Status = request->status;
    irp->IoStatus.Information = request->information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static void on_done(struct fake_request *request)
{
    struct job *job = request->user;
    if (InterlockedExchange(&job->phase, 2) == 1) {
        IoSetCancelRoutine(job->irp, NULL);
        finish(job);
    }
}

static void WINAPI on_cancel(DEVICE_OBJECT *device, IRP *irp)
{
    (void)device;
    struct job *job = irp->Tail.Overlay.DriverContext[0];
    IoReleaseCancelSpinLock(irp->CancelIrql);
    fake_cancel(job->request);
}

static struct job *begin(IRP *irp, struct wdf_file_handle *file)
{
    struct job *job = calloc(1, sizeof(*job));
    job->irp = irp;
    job->request = fake_new(file);
    job->request->user = job;
    job->request->lent = irp->AssociatedIrp.SystemBuffer;
    job->request->on_done = on_done;
    irp->Tail.Overlay.DriverContext[0] = job;
    return job;
}

/* Completes in place what is done already: Wine's own calls then see it done at once. */
static NTSTATUS conclude(struct job *job)
{
    IRP *irp = job->irp;
    IoMarkIrpPending(irp);
    IoSetCancelRoutine(irp, on_cancel);
    if (InterlockedExchange(&job->phase, 1) != 2)
        return STATUS_PENDING;
    IoSetCancelRoutine(irp, NULL);
    NTSTATUS status = job->request->status;
    finish(job);
    return status;
}

static NTSTATUS complete_now(IRP *irp, NTSTATUS status)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = 0;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

/* Takes every byte, gives as many as are asked for. */
static NTSTATUS complete_null(IRP *irp, const IO_STACK_LOCATION *stack)
{
    ULONG_PTR size = stack->MajorFunction == IRP_MJ_WRITE  ? stack->Parameters.Write.Length
                     : stack->MajorFunction == IRP_MJ_READ ? stack->Parameters.Read.Length
                                                           : 0;
    irp->IoStatus.Status = STATUS_SUCCESS;
    irp->IoStatus.Information = size;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

/* Any control connects, to the port in its input. */
static NTSTATUS serve_bare(IRP *irp, IO_STACK_LOCATION *stack)
{
    void *buffer = irp->AssociatedIrp.SystemBuffer;
    bool good = true;
    switch (stack->MajorFunction) {
    case IRP_MJ_DEVICE_CONTROL:
        good = stack->Parameters.DeviceIoControl.InputBufferLength == sizeof(uint16_t) &&
               bare_connect(*(uint16_t *)buffer);
        break;
    case IRP_MJ_READ:
        good = bare_read(buffer, stack->Parameters.Read.Length);
        break;
    case IRP_MJ_WRITE:
        good = bare_write(buffer, stack->Parameters.Write.Length);
        break;
    case IRP_MJ_CLOSE:
        bare_close();
        break;
    default:
        break;
    }
    return good ? complete_null(irp, stack) : complete_now(irp, STATUS_UNSUCCESSFUL);
}

static NTSTATUS WINAPI dispatch(DEVICE_OBJECT *device, IRP *irp)
{
    IO_STACK_LOCATION *stack = IoGetCurrentIrpStackLocation(irp);
    const struct extension *extension = device->DeviceExtension;
    struct wdf_file_handle *file = stack->FileObject->FsContext;
    void *buffer = irp->AssociatedIrp.SystemBuffer;
    struct job *job = NULL;
    if (extension->kind == DEVICE_NULL)
        return complete_null(irp, stack);
    if (extension->kind == DEVICE_BARE)
        return serve_bare(irp, stack);
    if (!file && stack->MajorFunction != IRP_MJ_CREATE && stack->MajorFunction != IRP_MJ_CLOSE)
        return complete_now(irp, STATUS_ACCESS_DENIED); /* the driver refused the open */
    switch (stack->MajorFunction) {
    case IRP_MJ_CREATE: {
        NTSTATUS status = fake_open(extension->kind == DEVICE_CONTROL ? u"\\control" : u"", &file);
        stack->FileObject->FsContext = file;
        return complete_now(irp, status);
    }
    case IRP_MJ_CLOSE:
        if (file)
            fake_close(file);
        stack->FileObject->FsContext = NULL;
        return complete_now(irp, STATUS_SUCCESS);
    case IRP_MJ_READ:
        job = begin(irp, file);
        fake_read(job->request, stack->Parameters.Read.Length);
        return conclude(job);
    case IRP_MJ_WRITE:
        job = begin(irp, file);
        fake_write(job->request, buffer, stack->Parameters.Write.Length);
        return conclude(job);
    case IRP_MJ_DEVICE_CONTROL:
        job = begin(irp, file);
        fake_control(job->request, stack->Parameters.DeviceIoControl.IoControlCode, buffer,
                     stack->Parameters.DeviceIoControl.InputBufferLength,
                     stack->Parameters.DeviceIoControl.OutputBufferLength);
        return conclude(job);
    default:
        return complete_now(irp, STATUS_SUCCESS);
    }
}

static NTSTATUS make_device(DRIVER_OBJECT *driver, const WCHAR *name, const WCHAR *link,
                            enum device_kind kind)
{
    DEVICE_OBJECT *device = NULL;
    UNICODE_STRING device_name;
    UNICODE_STRING link_name;
    RtlInitUnicodeString(&device_name, name);
    RtlInitUnicodeString(&link_name, link);
    NTSTATUS status = IoCreateDevice(driver, sizeof(struct extension), &device_name,
                                     FILE_DEVICE_SERIAL_PORT, 0, FALSE, &device);
    if (status < 0)
        return status;
    ((struct extension *)device->DeviceExtension)->kind = kind;
    device->Flags |= DO_BUFFERED_IO;
    device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return IoCreateSymbolicLink(&link_name, &device_name);
}

static void WINAPI unload(DRIVER_OBJECT *driver)
{
    UNICODE_STRING name;
    fake_remove_device();
    RtlInitUnicodeString(&name, COM_LINK);
    IoDeleteSymbolicLink(&name);
    RtlInitUnicodeString(&name, CONTROL_LINK);
    IoDeleteSymbolicLink(&name);
    RtlInitUnicodeString(&name, NULL_LINK);
    IoDeleteSymbolicLink(&name);
    RtlInitUnicodeString(&name, BARE_LINK);
    IoDeleteSymbolicLink(&name);
    while (driver->DeviceObject)
        IoDeleteDevice(driver->DeviceObject);
}

static NTSTATUS load_dll(void)
{
    WCHAR path[512];
    unsigned long size = sizeof(path);
    if (RegGetValueW(HKEY_LOCAL_MACHINE, KEY, L"Driver", RRF_RT_REG_SZ, NULL, path, &size))
        return STATUS_OBJECT_NAME_NOT_FOUND;
    void *module = LoadLibraryW(path);
    fake_entry *entry = module ? (fake_entry *)GetProcAddress(module, "FxDriverEntryUm") : NULL;
    return entry ? fake_load(entry) : STATUS_DLL_NOT_FOUND;
}

static NTSTATUS start(DRIVER_OBJECT *driver)
{
    NTSTATUS status = load_dll();
    if (status < 0)
        return status;
    fake_set_port_name(u"COM77");
    status = fake_add_device();
    if (status < 0)
        return status;
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        driver->MajorFunction[i] = dispatch;
    driver->DriverUnload = unload;
    status = make_device(driver, L"\\Device\\VspTestPort", COM_LINK, DEVICE_PORT);
    if (status >= 0)
        status = make_device(driver, L"\\Device\\VspTestControl", CONTROL_LINK, DEVICE_CONTROL);
    if (status >= 0)
        status = make_device(driver, L"\\Device\\VspTestNull", NULL_LINK, DEVICE_NULL);
    if (status >= 0)
        status = make_device(driver, L"\\Device\\VspTestBare", BARE_LINK, DEVICE_BARE);
    return status;
}

NTSTATUS WINAPI reflector_entry(void *first, void *second, void *third);

NTSTATUS WINAPI reflector_entry(void *first, void *second, void *third)
{
    if (first == &__ImageBase)
        return DllMainCRTStartup(first, (unsigned long)(uintptr_t)second, third);
    return start(first);
}
