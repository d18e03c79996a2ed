/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_wdf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_DRIVER = 0x1001,
    KIND_DEVICE,
    KIND_INIT,
    KIND_QUEUE,
    KIND_FILE,
    KIND_KEY,
    KIND_REQUEST
};

/* A request:
 *   state     event                       next
 *   owned     MarkCancelableEx            marked (or refused: it was cancelled before)
 *   marked    UnmarkCancelable            owned
 *   marked    fake_cancel                 called: the driver's cancel callback runs
 *   called    UnmarkCancelable            called, the caller is told CANCELLED
 *   owned, called  Complete               done
 */
enum state { STATE_OWNED, STATE_MARKED, STATE_CALLED, STATE_DONE };

#define INSUFFICIENT ((wdf_status)0xC000009A)
#define NOT_FOUND    ((wdf_status)0xC0000034)
#define TOO_SMALL    ((wdf_status)0xC0000023)
#define CANCELLED    ((wdf_status)0xC0000120)

enum { VALUES_MAX = 32, TEXT_MAX = 300 };

struct wdf_driver_handle {
    int kind;
    struct wdf_driver_config config;
};

struct wdf_device_init {
    int kind;
    struct wdf_pnp_callbacks pnp;
    struct wdf_file_config file;
    const struct wdf_context_type *file_type, *request_type;
};

struct wdf_device_handle {
    int kind;
    struct wdf_attributes attributes;
    void *context;
    struct wdf_device_init init;
    struct wdf_queue_config queue;
    bool has_queue, in_d0;
    unsigned interfaces;
    char16_t link[64];
};

struct wdf_queue_handle {
    int kind;
    struct wdf_device_handle *device;
};

struct wdf_file_handle {
    int kind;
    struct wdf_device_handle *device;
    void *context;
    struct wdf_string name;
    char16_t text[32];
};

struct wdf_key_handle {
    int kind;
    int where;
};

enum { KEY_HARDWARE = 1, KEY_OWN, KEY_SERIALCOMM };

static struct value {
    int where;
    char16_t name[64];
    uint32_t type, size;
    uint8_t data[2 * TEXT_MAX];
} values[VALUES_MAX];

static struct wdf_globals globals;
static wdf_function table[WDF_FUNCTIONS];
static struct wdf_driver_handle driver;
static struct wdf_device_handle *device;
static struct wdf_queue_handle queue;
static atomic_int objects, pending;
static atomic_uint calls, failing;
static const char16_t pdo_name[] = u"\\Device\\00000042";

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fake framework: the driver %s\n", what);
    abort();
}

#define CHECK_KIND(object, wanted)                                                                 \
    check((object) && (object)->kind == (wanted), "uses a handle of another kind (" #wanted ")")
#define CHECK_SIZE(structure)                                                                      \
    check((structure)->size == sizeof(*(structure)), "hands in a wrong size of " #structure)

/* Whether this call is to fail. */
static bool fails(void)
{
    return atomic_fetch_add(&calls, 1) + 1 == atomic_load(&failing);
}

void fake_fail_call(unsigned number)
{
    atomic_store(&calls, 0);
    atomic_store(&failing, number);
}

unsigned fake_calls(void)
{
    return atomic_load(&calls);
}

static void *new_object(size_t size)
{
    void *object = calloc(1, size);
    if (!object)
        abort();
    atomic_fetch_add(&objects, 1);
    return object;
}

static void delete_object(void *object)
{
    atomic_fetch_sub(&objects, 1);
    free(object);
}

static void check_attributes(const struct wdf_attributes *attributes)
{
    if (!attributes)
        return;
    CHECK_SIZE(attributes);
    check(attributes->execution >= 1 && attributes->execution <= 2, "leaves execution level unset");
    check(attributes->sync >= 1 && attributes->sync <= 4, "leaves synchronization scope unset");
    if (!attributes->type)
        return;
    CHECK_SIZE(attributes->type);
    check(attributes->type->unique == attributes->type, "has a context type that is not unique");
}

static void *new_context(const struct wdf_context_type *type)
{
    return type ? calloc(1, type->context_size) : NULL;
}

/* Device */

static wdf_status device_open_registry_key(struct wdf_globals *g, WDFDEVICE d, uint32_t kind,
                                           uint32_t access, struct wdf_attributes *attributes,
                                           WDFKEY *key)
{
    (void)g;
    (void)access;
    CHECK_KIND(d, KIND_DEVICE);
    check_attributes(attributes);
    check(kind == 1 || kind == 257, "opens a key of an unknown kind");
    if (fails())
        return INSUFFICIENT;
    *key = new_object(sizeof(**key));
    (*key)->kind = KIND_KEY;
    (*key)->where = kind == 1 ? KEY_HARDWARE : KEY_OWN;
    return WDF_OK;
}

static wdf_status device_open_devicemap_key(struct wdf_globals *g, WDFDEVICE d,
                                            const struct wdf_string *name, uint32_t access,
                                            struct wdf_attributes *attributes, WDFKEY *key)
{
    (void)g;
    (void)access;
    CHECK_KIND(d, KIND_DEVICE);
    check_attributes(attributes);
    check(name->length == 20 && !memcmp(name->text, u"SERIALCOMM", 20), "opens a strange map");
    if (fails())
        return INSUFFICIENT;
    *key = new_object(sizeof(**key));
    (*key)->kind = KIND_KEY;
    (*key)->where = KEY_SERIALCOMM;
    return WDF_OK;
}

static void set_pnp(struct wdf_globals *g, WDFDEVICE_INIT *init, struct wdf_pnp_callbacks *pnp)
{
    (void)g;
    CHECK_KIND(init, KIND_INIT);
    CHECK_SIZE(pnp);
    init->pnp = *pnp;
}

static void set_file_config(struct wdf_globals *g, WDFDEVICE_INIT *init,
                            struct wdf_file_config *config, struct wdf_attributes *attributes)
{
    (void)g;
    CHECK_KIND(init, KIND_INIT);
    CHECK_SIZE(config);
    check_attributes(attributes);
    init->file = *config;
    init->file_type = attributes ? attributes->type : NULL;
}

static void set_request_attributes(struct wdf_globals *g, WDFDEVICE_INIT *init,
                                   struct wdf_attributes *attributes)
{
    (void)g;
    CHECK_KIND(init, KIND_INIT);
    check_attributes(attributes);
    init->request_type = attributes->type;
}

static wdf_status device_create(struct wdf_globals *g, WDFDEVICE_INIT **init,
                                struct wdf_attributes *attributes, WDFDEVICE *out)
{
    (void)g;
    CHECK_KIND(*init, KIND_INIT);
    check_attributes(attributes);
    if (fails())
        return INSUFFICIENT;
    device = new_object(sizeof(*device));
    device->kind = KIND_DEVICE;
    device->attributes = *attributes;
    device->init = **init;
    device->context = new_context(attributes->type);
    *init = NULL; /* used up */
    *out = device;
    return WDF_OK;
}

static wdf_status create_interface(struct wdf_globals *g, WDFDEVICE d, const struct wdf_guid *guid,
                                   const struct wdf_string *reference)
{
    (void)g;
    (void)reference;
    CHECK_KIND(d, KIND_DEVICE);
    check(guid->data1 != 0, "creates an interface without a GUID");
    if (fails())
        return INSUFFICIENT;
    d->interfaces++;
    return WDF_OK;
}

static wdf_status create_link(struct wdf_globals *g, WDFDEVICE d, const struct wdf_string *name)
{
    (void)g;
    CHECK_KIND(d, KIND_DEVICE);
    if (fails())
        return INSUFFICIENT;
    check(name->length < sizeof(d->link), "makes a long link");
    memcpy(d->link, name->text, name->length);
    return WDF_OK;
}

static wdf_status query_property(struct wdf_globals *g, WDFDEVICE d, uint32_t property,
                                 uint32_t size, void *buffer, uint32_t *size_out)
{
    (void)g;
    CHECK_KIND(d, KIND_DEVICE);
    check(property == WDF_PROPERTY_PDO_NAME, "asks for an unknown property");
    if (fails())
        return INSUFFICIENT;
    *size_out = sizeof(pdo_name);
    if (size < sizeof(pdo_name))
        return TOO_SMALL;
    memcpy(buffer, pdo_name, sizeof(pdo_name));
    return WDF_OK;
}

static wdf_status driver_create(struct wdf_globals *g, void *object, const struct wdf_string *path,
                                struct wdf_attributes *attributes, struct wdf_driver_config *config,
                                WDFDRIVER *out)
{
    (void)g;
    (void)object;
    (void)path;
    check_attributes(attributes);
    CHECK_SIZE(config);
    if (fails())
        return INSUFFICIENT;
    driver.kind = KIND_DRIVER;
    driver.config = *config;
    if (out)
        *out = &driver;
    return WDF_OK;
}

/* Files, queues, contexts */

static const struct wdf_string *file_name(struct wdf_globals *g, WDFFILEOBJECT file)
{
    (void)g;
    CHECK_KIND(file, KIND_FILE);
    return &file->name;
}

static WDFDEVICE file_device(struct wdf_globals *g, WDFFILEOBJECT file)
{
    (void)g;
    CHECK_KIND(file, KIND_FILE);
    return file->device;
}

static wdf_status queue_create(struct wdf_globals *g, WDFDEVICE d, struct wdf_queue_config *config,
                               struct wdf_attributes *attributes, WDFQUEUE *out)
{
    (void)g;
    CHECK_KIND(d, KIND_DEVICE);
    CHECK_SIZE(config);
    check_attributes(attributes);
    if (fails())
        return INSUFFICIENT;
    d->queue = *config;
    d->has_queue = true;
    queue = (struct wdf_queue_handle){KIND_QUEUE, d};
    *out = &queue;
    return WDF_OK;
}

static WDFDEVICE queue_device(struct wdf_globals *g, WDFQUEUE q)
{
    (void)g;
    CHECK_KIND(q, KIND_QUEUE);
    return q->device;
}

static struct fake_request *request_of(WDFREQUEST handle)
{
    struct fake_request *request = (struct fake_request *)(void *)handle;
    CHECK_KIND(request, KIND_REQUEST);
    check(atomic_load(&request->state) != STATE_DONE, "uses a completed request");
    return request;
}

static void *get_context(struct wdf_globals *g, WDFOBJECT object,
                         const struct wdf_context_type *type)
{
    (void)g;
    CHECK_SIZE(type);
    switch (*(int *)object) {
    case KIND_DEVICE:
        return ((struct wdf_device_handle *)object)->context;
    case KIND_FILE:
        return ((struct wdf_file_handle *)object)->context;
    case KIND_REQUEST:
        return request_of(object)->context;
    default:
        check(false, "asks for a context of an object that has none");
        return NULL;
    }
}

/* Registry */

static struct value *find_value(int where, const struct wdf_string *name)
{
    for (size_t i = 0; i < VALUES_MAX; i++)
        if (values[i].where == where && !memcmp(values[i].name, name->text, name->length) &&
            !values[i].name[name->length / 2])
            return &values[i];
    return NULL;
}

static void set_value(int where, const struct wdf_string *name, uint32_t type, const void *data,
                      uint32_t size)
{
    struct value *value = find_value(where, name);
    for (size_t i = 0; !value && i < VALUES_MAX; i++)
        if (!values[i].where)
            value = &values[i];
    check(value && size <= sizeof(value->data) && name->length < sizeof(value->name),
          "stores too much");
    memset(value, 0, sizeof(*value));
    value->where = where;
    memcpy(value->name, name->text, name->length);
    value->type = type;
    value->size = size;
    memcpy(value->data, data, size);
}

static void registry_close(struct wdf_globals *g, WDFKEY key)
{
    (void)g;
    CHECK_KIND(key, KIND_KEY);
    key->kind = 0;
    delete_object(key);
}

static wdf_status registry_remove(struct wdf_globals *g, WDFKEY key, const struct wdf_string *name)
{
    (void)g;
    CHECK_KIND(key, KIND_KEY);
    struct value *value = find_value(key->where, name);
    if (fails() || !value)
        return NOT_FOUND;
    value->where = 0;
    return WDF_OK;
}

static wdf_status registry_query(struct wdf_globals *g, WDFKEY key, const struct wdf_string *name,
                                 uint32_t size, void *data, uint32_t *size_out, uint32_t *type)
{
    (void)g;
    CHECK_KIND(key, KIND_KEY);
    const struct value *value = find_value(key->where, name);
    if (fails() || !value)
        return NOT_FOUND;
    *size_out = value->size;
    *type = value->type;
    if (size < value->size)
        return TOO_SMALL;
    memcpy(data, value->data, value->size);
    return WDF_OK;
}

static wdf_status registry_query_ulong(struct wdf_globals *g, WDFKEY key,
                                       const struct wdf_string *name, uint32_t *out)
{
    (void)g;
    CHECK_KIND(key, KIND_KEY);
    const struct value *value = find_value(key->where, name);
    if (fails() || !value || value->size != 4)
        return NOT_FOUND;
    memcpy(out, value->data, 4);
    return WDF_OK;
}

static wdf_status registry_assign(struct wdf_globals *g, WDFKEY key, const struct wdf_string *name,
                                  uint32_t type, uint32_t size, const void *data)
{
    (void)g;
    CHECK_KIND(key, KIND_KEY);
    if (fails())
        return INSUFFICIENT;
    set_value(key->where, name, type, data, size);
    return WDF_OK;
}

static wdf_status registry_assign_ulong(struct wdf_globals *g, WDFKEY key,
                                        const struct wdf_string *name, uint32_t number)
{
    return registry_assign(g, key, name, 4, sizeof(number), &number);
}

/* Requests */

static wdf_status mark_cancelable(struct wdf_globals *g, WDFREQUEST handle,
                                  wdf_request_cancel *cancel)
{
    (void)g;
    struct fake_request *request = request_of(handle);
    int owned = STATE_OWNED;
    if (atomic_load(&request->cancelled))
        return CANCELLED;
    request->cancel = cancel;
    check(atomic_compare_exchange_strong(&request->state, &owned, STATE_MARKED),
          "marks a request that it may not mark");
    int marked = STATE_MARKED;
    if (atomic_load(&request->cancelled) &&
        atomic_compare_exchange_strong(&request->state, &marked, STATE_OWNED))
        return CANCELLED;
    return WDF_OK;
}

static wdf_status unmark_cancelable(struct wdf_globals *g, WDFREQUEST handle)
{
    (void)g;
    struct fake_request *request = request_of(handle);
    int marked = STATE_MARKED;
    if (atomic_compare_exchange_strong(&request->state, &marked, STATE_OWNED))
        return WDF_OK;
    check(marked == STATE_CALLED, "unmarks a request that is not marked");
    return CANCELLED;
}

static void complete_information(struct wdf_globals *g, WDFREQUEST handle, wdf_status status,
                                 size_t information)
{
    (void)g;
    struct fake_request *request = request_of(handle);
    size_t most = request->out_size > request->in_size ? request->out_size : request->in_size;
    check(information <= most, "reports more bytes than the buffer has");
    check(status != 0x103, "completes a request with PENDING");
    request->status = status;
    request->information = information;
    if (!request->lent) {
        request->data = malloc(most + 1);
        if (request->data && most)
            memcpy(request->data, request->buffer, most);
        free(request->buffer);
    }
    free(request->context);
    request->buffer = NULL;
    request->context = NULL;
    void (*on_done)(struct fake_request *) = request->on_done;
    int before = atomic_exchange(&request->state, STATE_DONE);
    check(before != STATE_DONE, "completes a request twice");
    check(before != STATE_MARKED, "completes a request that can still be cancelled");
    if (on_done)
        on_done(request);
    atomic_fetch_sub(&pending, 1);
}

static void complete(struct wdf_globals *g, WDFREQUEST handle, wdf_status status)
{
    complete_information(g, handle, status, 0);
}

static wdf_status retrieve(WDFREQUEST handle, size_t have, size_t least, void **buffer,
                           size_t *size)
{
    const struct fake_request *request = request_of(handle);
    if (fails())
        return INSUFFICIENT;
    if (!have || have < least)
        return TOO_SMALL;
    *buffer = request->buffer; /* buffered: one buffer for both directions */
    if (size)
        *size = have;
    return WDF_OK;
}

static wdf_status retrieve_input(struct wdf_globals *g, WDFREQUEST handle, size_t least,
                                 void **buffer, size_t *size)
{
    (void)g;
    return retrieve(handle, request_of(handle)->in_size, least, buffer, size);
}

static wdf_status retrieve_output(struct wdf_globals *g, WDFREQUEST handle, size_t least,
                                  void **buffer, size_t *size)
{
    (void)g;
    return retrieve(handle, request_of(handle)->out_size, least, buffer, size);
}

static WDFFILEOBJECT request_file(struct wdf_globals *g, WDFREQUEST handle)
{
    (void)g;
    return request_of(handle)->file;
}

static void missing(void)
{
    check(false, "calls a function that the stand-in does not have");
}

/* A wrong shape of a function is a build error here. */
#define PUT(name, function)                                                                        \
    do {                                                                                           \
        Wdf##name##_call typed = (function);                                                       \
        table[Wdf##name##_index] = (wdf_function)typed;                                            \
    } while (0)

static void fill_table(void)
{
    for (size_t i = 0; i < WDF_FUNCTIONS; i++)
        table[i] = missing;
    PUT(DeviceOpenRegistryKey, device_open_registry_key);
    PUT(DeviceInitSetPnpPowerEventCallbacks, set_pnp);
    PUT(DeviceInitSetFileObjectConfig, set_file_config);
    PUT(DeviceInitSetRequestAttributes, set_request_attributes);
    PUT(DeviceCreate, device_create);
    PUT(DeviceCreateDeviceInterface, create_interface);
    PUT(DeviceCreateSymbolicLink, create_link);
    PUT(DeviceQueryProperty, query_property);
    PUT(DriverCreate, driver_create);
    PUT(FileObjectGetFileName, file_name);
    PUT(FileObjectGetDevice, file_device);
    PUT(IoQueueCreate, queue_create);
    PUT(IoQueueGetDevice, queue_device);
    PUT(ObjectGetTypedContextWorker, get_context);
    PUT(RegistryClose, registry_close);
    PUT(RegistryRemoveValue, registry_remove);
    PUT(RegistryQueryValue, registry_query);
    PUT(RegistryQueryULong, registry_query_ulong);
    PUT(RegistryAssignValue, registry_assign);
    PUT(RegistryAssignULong, registry_assign_ulong);
    PUT(RequestMarkCancelableEx, mark_cancelable);
    PUT(RequestUnmarkCancelable, unmark_cancelable);
    PUT(RequestComplete, complete);
    PUT(RequestCompleteWithInformation, complete_information);
    PUT(RequestRetrieveInputBuffer, retrieve_input);
    PUT(RequestRetrieveOutputBuffer, retrieve_output);
    PUT(RequestGetFileObject, request_file);
    PUT(DeviceOpenDevicemapKey, device_open_devicemap_key);
}

/* The host */

static wdf_status bind(void *context, struct wdf_bind_info *info, struct wdf_globals **out)
{
    check(context == &driver, "binds with another context");
    CHECK_SIZE(info);
    check(info->major == 2 && info->minor == 15 && info->functions == WDF_FUNCTIONS,
          "asks for another framework");
    fill_table();
    *(const wdf_function **)info->table = table;
    *out = &globals;
    return WDF_OK;
}

wdf_status fake_load(fake_entry *entry)
{
    /* Larger than what the driver knows, as a later system's may be. */
    struct {
        struct wdf_loader loader;
        void *more[5];
    } interface = {.loader = {.size = sizeof(interface), .bind = bind}};
    return entry(&interface.loader, &driver, &driver, WDF_STRING(u"\\Registry\\HtsVsp"));
}

static void delete_device(void)
{
    if (!device)
        return;
    if (device->attributes.cleanup)
        device->attributes.cleanup(device);
    if (device->attributes.destroy)
        device->attributes.destroy(device);
    free(device->context);
    device->kind = 0;
    delete_object(device);
    device = NULL;
}

wdf_status fake_add_device(void)
{
    struct wdf_device_init *init = new_object(sizeof(*init));
    init->kind = KIND_INIT;
    wdf_status status = driver.config.device_add(&driver, init);
    delete_object(init);
    if (status >= 0) {
        check(device && device->has_queue, "succeeds without a device and its queue");
        status = fake_wake();
    }
    if (status < 0)
        delete_device();
    return status;
}

void fake_sleep(void)
{
    device->init.pnp.d0_exit(device, 4);
    device->in_d0 = false;
}

wdf_status fake_wake(void)
{
    wdf_status status = device->init.pnp.d0_entry(device, 5);
    device->in_d0 = status >= 0;
    return status;
}

void fake_surprise_removal(void)
{
    device->init.pnp.surprise_removal(device);
}

void fake_remove_device(void)
{
    if (device->in_d0)
        device->init.pnp.d0_exit(device, WDF_POWER_D3_FINAL);
    delete_device();
}

void fake_set_port_name(const char16_t *name)
{
    size_t length = 0;
    while (name && name[length])
        length++;
    if (name)
        set_value(KEY_HARDWARE, WDF_STRING(u"PortName"), 1, name, (uint32_t)(2 * length + 2));
}

void fake_forget(void)
{
    memset(values, 0, sizeof(values));
}

const char16_t *fake_serialcomm(void)
{
    struct wdf_string name = {sizeof(pdo_name) - 2, sizeof(pdo_name), pdo_name};
    const struct value *value = find_value(KEY_SERIALCOMM, &name);
    return value ? (const char16_t *)(const void *)value->data : NULL;
}

const char16_t *fake_link(void)
{
    return device->link;
}

unsigned fake_interfaces(void)
{
    return device->interfaces;
}

struct fake_request *fake_new(struct wdf_file_handle *file)
{
    struct fake_request *request = calloc(1, sizeof(*request));
    if (!request)
        abort();
    request->kind = KIND_REQUEST;
    request->file = file;
    request->context = new_context(device->init.request_type);
    return request;
}

static void prepare(struct fake_request *request, const void *in, size_t in_size, size_t out_size)
{
    size_t size = in_size > out_size ? in_size : out_size;
    request->in_size = in_size;
    request->out_size = out_size;
    request->buffer = request->lent ? request->lent : calloc(1, size ? size : 1);
    if (in_size && request->buffer && !request->lent)
        memcpy(request->buffer, in, in_size);
    atomic_fetch_add(&pending, 1);
}

static WDFREQUEST handle_of(struct fake_request *request)
{
    return (WDFREQUEST)(void *)request;
}

wdf_status fake_open(const char16_t *name, struct wdf_file_handle **out)
{
    struct wdf_file_handle *file = new_object(sizeof(*file));
    size_t length = 0;
    for (; name[length]; length++)
        file->text[length] = name[length];
    file->kind = KIND_FILE;
    file->device = device;
    file->context = new_context(device->init.file_type);
    file->name = (struct wdf_string){(uint16_t)(2 * length), (uint16_t)(2 * length), file->text};
    struct fake_request *request = fake_new(file);
    prepare(request, NULL, 0, 0);
    device->init.file.create(device, handle_of(request), file);
    check(fake_is_done(request), "does not complete a create at once");
    wdf_status status = request->status;
    fake_free(request);
    *out = file;
    if (status >= 0)
        return status;
    free(file->context);
    delete_object(file);
    *out = NULL;
    return status;
}

void fake_close(struct wdf_file_handle *file)
{
    file->device->init.file.cleanup(file);
    free(file->context);
    file->kind = 0;
    delete_object(file);
}

void fake_read(struct fake_request *request, size_t size)
{
    prepare(request, NULL, 0, size);
    device->queue.on_read(&queue, handle_of(request), size);
}

void fake_write(struct fake_request *request, const void *data, size_t size)
{
    prepare(request, data, size, 0);
    device->queue.on_write(&queue, handle_of(request), size);
}

void fake_control(struct fake_request *request, uint32_t code, const void *in, size_t in_size,
                  size_t out_size)
{
    prepare(request, in, in_size, out_size);
    device->queue.on_control(&queue, handle_of(request), out_size, in_size, code);
}

void fake_cancel(struct fake_request *request)
{
    int marked = STATE_MARKED;
    atomic_store(&request->cancelled, true);
    if (atomic_compare_exchange_strong(&request->state, &marked, STATE_CALLED))
        request->cancel(handle_of(request));
}

bool fake_is_done(const struct fake_request *request)
{
    return atomic_load(&request->state) == STATE_DONE;
}

void fake_free(struct fake_request *request)
{
    check(fake_is_done(request), "(or its test) leaves a request behind");
    free(request->data);
    free(request);
}

int fake_pending(void)
{
    return atomic_load(&pending);
}

int fake_objects(void)
{
    return atomic_load(&objects);
}
