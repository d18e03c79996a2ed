/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * htsvsp.dll: the device's life.
 *
 *   event                   what happens
 *   device add              line made, settings loaded, queue, COM name, interfaces
 *   D0 entry                the line starts: the connection is made
 *   D0 exit                 the line stops: sockets close, requests of programs go on waiting
 *                           (sleep; after D0 entry the connection comes back)
 *   surprise removal        all requests end with DEVICE_REMOVED, new ones, too
 *   device cleanup          SERIALCOMM value removed
 *   device destroy          line freed
 */
#include "driver.h"

#include <string.h>

const struct wdf_context_type device_context_type = {sizeof(device_context_type), "device_context",
                                                     sizeof(struct device_context),
                                                     &device_context_type, NULL};
const struct wdf_context_type file_context_type = {sizeof(file_context_type), "file_context",
                                                   sizeof(struct file_context), &file_context_type,
                                                   NULL};
const struct wdf_context_type request_context_type = {
    sizeof(request_context_type), "request_context", sizeof(struct request_context),
    &request_context_type, NULL};

struct device_context *device_of(WDFDEVICE device)
{
    return WDF(ObjectGetTypedContextWorker, device, &device_context_type);
}

struct file_context *file_of(WDFFILEOBJECT file)
{
    return file ? WDF(ObjectGetTypedContextWorker, file, &file_context_type) : NULL;
}

static struct wdf_attributes attributes_of(const struct wdf_context_type *type)
{
    return (struct wdf_attributes){
        .size = sizeof(struct wdf_attributes),
        .execution = WDF_EXECUTION_INHERIT,
        .sync = WDF_SYNC_INHERIT,
        .type = type,
    };
}

/* Opening and closing */

static void on_create(WDFDEVICE device, WDFREQUEST request, WDFFILEOBJECT file)
{
    struct file_context *context = file_of(file);
    const struct wdf_string *name = WDF(FileObjectGetFileName, file);
    wdf_status status = WDF_OK;
    context->is_control = name && name->length >= sizeof(char16_t);
    if (!context->is_control)
        status = (wdf_status)line_open(device_of(device)->line);
    WDF(RequestComplete, request, status);
}

/* The last handle is closed; requests may still wait. */
static void on_cleanup(WDFFILEOBJECT file)
{
    if (!file_of(file)->is_control)
        line_close(device_of(WDF(FileObjectGetDevice, file))->line);
}

/* Power and removal */

static wdf_status on_d0_entry(WDFDEVICE device, uint32_t from)
{
    (void)from;
    return line_start(device_of(device)->line) ? WDF_OK : (wdf_status)SERIAL_INSUFFICIENT;
}

static wdf_status on_d0_exit(WDFDEVICE device, uint32_t to)
{
    struct line *line = device_of(device)->line;
    if (to == WDF_POWER_D3_FINAL)
        line_remove(line, SERIAL_DEVICE_REMOVED);
    line_stop(line);
    return WDF_OK;
}

static void on_surprise_removal(WDFDEVICE device)
{
    line_remove(device_of(device)->line, SERIAL_DEVICE_REMOVED);
}

static void on_device_cleanup(WDFOBJECT object)
{
    WDFDEVICE device = object;
    struct device_context *context = device_of(device);
    if (!context->line)
        return;
    line_remove(context->line, SERIAL_DEVICE_REMOVED);
    line_stop(context->line);
    settings_unpublish(device);
}

static void on_device_destroy(WDFOBJECT object)
{
    struct device_context *context = device_of((WDFDEVICE)object);
    if (context->line)
        line_destroy(context->line);
    context->line = NULL;
}

/* Device add */

static void set_callbacks(WDFDEVICE_INIT *init)
{
    struct wdf_pnp_callbacks pnp = {
        .size = sizeof(pnp),
        .d0_entry = on_d0_entry,
        .d0_exit = on_d0_exit,
        .surprise_removal = on_surprise_removal,
    };
    struct wdf_file_config file = {
        .size = sizeof(file),
        .create = on_create,
        .cleanup = on_cleanup,
        .auto_forward = WDF_DEFAULT,
        .file_class = WDF_FILE_CANNOT_USE_FS_CONTEXTS,
    };
    struct wdf_attributes file_attributes = attributes_of(&file_context_type);
    struct wdf_attributes request_attributes = attributes_of(&request_context_type);
    WDF(DeviceInitSetPnpPowerEventCallbacks, init, &pnp);
    WDF(DeviceInitSetFileObjectConfig, init, &file, &file_attributes);
    WDF(DeviceInitSetRequestAttributes, init, &request_attributes);
}

/* Not power managed: requests go on waiting while the machine sleeps, as the line ends them. */
static wdf_status create_queue(WDFDEVICE device)
{
    WDFQUEUE queue = NULL;
    struct wdf_queue_config config = {
        .size = sizeof(config),
        .dispatch = WDF_PARALLEL,
        .power_managed = WDF_FALSE,
        .is_default = 1,
        .on_read = io_read,
        .on_write = io_write,
        .on_control = io_control,
        .presented = WDF_UNLIMITED,
    };
    return WDF(IoQueueCreate, device, &config, NULL, &queue);
}

static size_t text_length(const char16_t *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

static wdf_status create_com_link(WDFDEVICE device, const char16_t *com)
{
    static const char16_t prefix[] = u"\\DosDevices\\Global\\";
    char16_t text[sizeof(prefix) / sizeof(char16_t) + VSP_NAME_MAX];
    size_t length = sizeof(prefix) / sizeof(char16_t) - 1;
    size_t com_length = text_length(com);
    memcpy(text, prefix, sizeof(prefix));
    memcpy(text + length, com, com_length * sizeof(char16_t));
    length += com_length;
    struct wdf_string name = {(uint16_t)(length * sizeof(char16_t)),
                              (uint16_t)(length * sizeof(char16_t)), text};
    return WDF(DeviceCreateSymbolicLink, device, &name);
}

static wdf_status create_names(WDFDEVICE device)
{
    /* GUID_DEVINTERFACE_COMPORT */
    static const struct wdf_guid com_port = {
        0x86E0D1E0, 0x8089, 0x11D0, {0x9C, 0xE4, 0x08, 0x00, 0x3E, 0x30, 0x1F, 0x73}};
    static const struct wdf_guid control = VSP_INTERFACE;
    struct device_context *context = device_of(device);
    wdf_status status = WDF(DeviceCreateDeviceInterface, device, &control, WDF_STRING(u"control"));
    if (status < 0 || !settings_com_name(device, context->com))
        return status; /* without a COM name vspControl still reaches it, and can say so */
    status = create_com_link(device, context->com);
    if (status < 0)
        return status;
    status = WDF(DeviceCreateDeviceInterface, device, &com_port, NULL);
    if (status >= 0)
        settings_publish(device);
    return status;
}

static wdf_status on_device_add(WDFDRIVER driver, WDFDEVICE_INIT *init)
{
    struct wdf_attributes attributes = attributes_of(&device_context_type);
    WDFDEVICE device = NULL;
    (void)driver;
    attributes.cleanup = on_device_cleanup;
    attributes.destroy = on_device_destroy;
    set_callbacks(init);
    wdf_status status = WDF(DeviceCreate, &init, &attributes, &device);
    if (status < 0)
        return status;
    /* From here on the framework deletes the device when we fail: cleanup and destroy run. */
    struct device_context *context = device_of(device);
    context->line = line_create(&io_hooks);
    if (!context->line)
        return (wdf_status)SERIAL_INSUFFICIENT;
    settings_load(device);
    status = create_queue(device);
    return status < 0 ? status : create_names(device);
}

wdf_status DriverEntry(void *driver_object, const struct wdf_string *registry_path)
{
    struct wdf_driver_config config = {
        .size = sizeof(config),
        .device_add = on_device_add,
    };
    return WDF(DriverCreate, driver_object, registry_path, NULL, &config, NULL);
}
