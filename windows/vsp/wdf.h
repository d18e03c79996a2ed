/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of the UMDF 2.15 binary interface that this driver uses: structures, indices of the
 * function table, shapes of callbacks (x64; ARM64 has the same layout). Sources: Microsoft's
 * published framework (MIT) and its documentation. The first 257 indices and every structure here
 * are the same in all frameworks from Windows 10 1507 to Windows 11. wdf_checks.c pins each number.
 *
 * A call is   WDF(RequestComplete, request, status)   for WdfRequestComplete(request, status).
 *
 * Has no Windows header, so that the driver also builds and runs natively in tests.
 */
#ifndef KDWIRE_VSP_WDF_H
#define KDWIRE_VSP_WDF_H

#include <stddef.h>
#include <stdint.h>
#include <uchar.h>

typedef int32_t wdf_status; /* NTSTATUS: below 0 is failure */
typedef uint8_t wdf_boolean;

#define WDF_OK ((wdf_status)0)

typedef struct wdf_driver_handle *WDFDRIVER;
typedef struct wdf_device_handle *WDFDEVICE;
typedef struct wdf_queue_handle *WDFQUEUE;
typedef struct wdf_request_handle *WDFREQUEST;
typedef struct wdf_file_handle *WDFFILEOBJECT;
typedef struct wdf_key_handle *WDFKEY;
typedef void *WDFOBJECT;
typedef struct wdf_device_init WDFDEVICE_INIT; /* opaque */

enum { WDF_MAJOR = 2, WDF_MINOR = 15, WDF_BUILD = 0, WDF_FUNCTIONS = 257 };

/* A counted string; sizes in bytes. */
struct wdf_string {
    uint16_t length;
    uint16_t capacity;
    const char16_t *text;
};

struct wdf_guid {
    uint32_t data1;
    uint16_t data2, data3;
    uint8_t data4[8];
};

/* Owned by the framework; every function takes it first. */
struct wdf_globals {
    WDFDRIVER driver;
    uint32_t flags;
    uint32_t tag;
    char name[32];
    wdf_boolean displace_unload;
};

/* What the driver hands to the loader's bind function. */
struct wdf_bind_info {
    uint32_t size;
    const char16_t *component;
    uint32_t major, minor, build;
    uint32_t functions;
    void *table; /* address of the driver's pointer to the function table */
    void *module;
};

/* What the loader hands to FxDriverEntryUm; larger ones may come. */
struct wdf_loader {
    uint32_t size;
    wdf_status (*bind)(void *context, struct wdf_bind_info *info, struct wdf_globals **globals);
};

struct wdf_context_type {
    uint32_t size;
    const char *name;
    size_t context_size;
    const struct wdf_context_type *unique;
    void *getter;
};

enum wdf_execution { WDF_EXECUTION_INHERIT = 1, WDF_EXECUTION_PASSIVE = 2 };
enum wdf_sync { WDF_SYNC_INHERIT = 1, WDF_SYNC_DEVICE = 2, WDF_SYNC_QUEUE = 3, WDF_SYNC_NONE = 4 };
enum wdf_tristate { WDF_FALSE = 0, WDF_TRUE = 1, WDF_DEFAULT = 2 };

typedef void wdf_object_callback(WDFOBJECT object);

struct wdf_attributes {
    uint32_t size;
    wdf_object_callback *cleanup;
    wdf_object_callback *destroy;
    uint32_t execution; /* enum wdf_execution */
    uint32_t sync;      /* enum wdf_sync */
    WDFOBJECT parent;
    size_t context_size_override;
    const struct wdf_context_type *type;
};

typedef wdf_status wdf_device_add(WDFDRIVER driver, WDFDEVICE_INIT *init);
typedef void wdf_driver_unload(WDFDRIVER driver);

struct wdf_driver_config {
    uint32_t size;
    wdf_device_add *device_add;
    wdf_driver_unload *unload;
    uint32_t flags;
    uint32_t tag;
};

typedef void wdf_io_read_write(WDFQUEUE queue, WDFREQUEST request, size_t size);
typedef void wdf_io_control(WDFQUEUE queue, WDFREQUEST request, size_t out_size, size_t in_size,
                            uint32_t code);
typedef void wdf_io_default(WDFQUEUE queue, WDFREQUEST request);
typedef void wdf_io_stop(WDFQUEUE queue, WDFREQUEST request, uint32_t flags);

enum wdf_dispatch { WDF_SEQUENTIAL = 1, WDF_PARALLEL = 2, WDF_MANUAL = 3 };
#define WDF_UNLIMITED UINT32_MAX

struct wdf_queue_config {
    uint32_t size;
    uint32_t dispatch;      /* enum wdf_dispatch */
    uint32_t power_managed; /* enum wdf_tristate */
    wdf_boolean allow_zero_length;
    wdf_boolean is_default;
    wdf_io_default *on_default;
    wdf_io_read_write *on_read;
    wdf_io_read_write *on_write;
    wdf_io_control *on_control;
    wdf_io_control *on_internal_control;
    wdf_io_stop *on_stop;
    wdf_io_default *on_resume;
    wdf_io_default *on_cancelled;
    uint32_t presented; /* parallel: requests at a time */
    WDFDRIVER driver;
};

enum wdf_power_state { WDF_POWER_D0 = 1, WDF_POWER_D3_FINAL = 5 };

typedef wdf_status wdf_device_power(WDFDEVICE device, uint32_t state);
typedef wdf_status wdf_device_status(WDFDEVICE device);
typedef void wdf_device_void(WDFDEVICE device);

struct wdf_pnp_callbacks {
    uint32_t size;
    wdf_device_power *d0_entry, *d0_entry_post_interrupts, *d0_exit, *d0_exit_pre_interrupts;
    void *prepare_hardware, *release_hardware;
    wdf_device_void *self_managed_cleanup, *self_managed_flush;
    wdf_device_status *self_managed_init, *self_managed_suspend, *self_managed_restart;
    wdf_device_void *surprise_removal;
    wdf_device_status *query_remove, *query_stop;
    void *usage, *relations, *usage_ex;
};

typedef void wdf_file_create(WDFDEVICE device, WDFREQUEST request, WDFFILEOBJECT file);
typedef void wdf_file_callback(WDFFILEOBJECT file);

enum wdf_file_class { WDF_FILE_NOT_REQUIRED = 1, WDF_FILE_CANNOT_USE_FS_CONTEXTS = 4 };

struct wdf_file_config {
    uint32_t size;
    wdf_file_create *create;
    wdf_file_callback *close;
    wdf_file_callback *cleanup;
    uint32_t auto_forward; /* enum wdf_tristate */
    uint32_t file_class;   /* enum wdf_file_class */
};

enum wdf_property { WDF_PROPERTY_PDO_NAME = 11 };
enum wdf_key {
    WDF_KEY_DEVICE = 1,
    WDF_KEY_DRIVER_SUBKEY = 256, /* with WDF_KEY_DEVICE: this driver's own settings */
};
enum wdf_access { WDF_KEY_READ = 0x20019, WDF_KEY_WRITE = 0x20006 };
enum wdf_value { WDF_VALUE_TEXT = 1 };

typedef void wdf_request_cancel(WDFREQUEST request);

/* X(result, name, index, parameters after the globals) */
#define WDF_CALLS(X)                                                                               \
    X(wdf_status, DeviceOpenRegistryKey, 18,                                                       \
      (struct wdf_globals *, WDFDEVICE, uint32_t kind, uint32_t access, struct wdf_attributes *,   \
       WDFKEY *))                                                                                  \
    X(void, DeviceInitSetPnpPowerEventCallbacks, 19,                                               \
      (struct wdf_globals *, WDFDEVICE_INIT *, struct wdf_pnp_callbacks *))                        \
    X(void, DeviceInitSetFileObjectConfig, 23,                                                     \
      (struct wdf_globals *, WDFDEVICE_INIT *, struct wdf_file_config *, struct wdf_attributes *)) \
    X(void, DeviceInitSetRequestAttributes, 24,                                                    \
      (struct wdf_globals *, WDFDEVICE_INIT *, struct wdf_attributes *))                           \
    X(wdf_status, DeviceCreate, 25,                                                                \
      (struct wdf_globals *, WDFDEVICE_INIT **, struct wdf_attributes *, WDFDEVICE *))             \
    X(wdf_status, DeviceCreateDeviceInterface, 27,                                                 \
      (struct wdf_globals *, WDFDEVICE, const struct wdf_guid *, const struct wdf_string *))       \
    X(wdf_status, DeviceCreateSymbolicLink, 30,                                                    \
      (struct wdf_globals *, WDFDEVICE, const struct wdf_string *))                                \
    X(wdf_status, DeviceQueryProperty, 31,                                                         \
      (struct wdf_globals *, WDFDEVICE, uint32_t property, uint32_t size, void *, uint32_t *))     \
    X(wdf_status, DriverCreate, 57,                                                                \
      (struct wdf_globals *, void *driver_object, const struct wdf_string *,                       \
       struct wdf_attributes *, struct wdf_driver_config *, WDFDRIVER *))                          \
    X(const struct wdf_string *, FileObjectGetFileName, 68, (struct wdf_globals *, WDFFILEOBJECT)) \
    X(WDFDEVICE, FileObjectGetDevice, 69, (struct wdf_globals *, WDFFILEOBJECT))                   \
    X(wdf_status, IoQueueCreate, 85,                                                               \
      (struct wdf_globals *, WDFDEVICE, struct wdf_queue_config *, struct wdf_attributes *,        \
       WDFQUEUE *))                                                                                \
    X(WDFDEVICE, IoQueueGetDevice, 90, (struct wdf_globals *, WDFQUEUE))                           \
    X(void *, ObjectGetTypedContextWorker, 123,                                                    \
      (struct wdf_globals *, WDFOBJECT, const struct wdf_context_type *))                          \
    X(void, RegistryClose, 133, (struct wdf_globals *, WDFKEY))                                    \
    X(wdf_status, RegistryRemoveValue, 135,                                                        \
      (struct wdf_globals *, WDFKEY, const struct wdf_string *))                                   \
    X(wdf_status, RegistryQueryValue, 136,                                                         \
      (struct wdf_globals *, WDFKEY, const struct wdf_string *, uint32_t size, void *,             \
       uint32_t *size_out, uint32_t *type))                                                        \
    X(wdf_status, RegistryQueryULong, 141,                                                         \
      (struct wdf_globals *, WDFKEY, const struct wdf_string *, uint32_t *))                       \
    X(wdf_status, RegistryAssignValue, 142,                                                        \
      (struct wdf_globals *, WDFKEY, const struct wdf_string *, uint32_t type, uint32_t size,      \
       const void *))                                                                              \
    X(wdf_status, RegistryAssignULong, 147,                                                        \
      (struct wdf_globals *, WDFKEY, const struct wdf_string *, uint32_t))                         \
    X(wdf_status, RequestMarkCancelableEx, 155,                                                    \
      (struct wdf_globals *, WDFREQUEST, wdf_request_cancel *))                                    \
    X(wdf_status, RequestUnmarkCancelable, 156, (struct wdf_globals *, WDFREQUEST))                \
    X(void, RequestComplete, 163, (struct wdf_globals *, WDFREQUEST, wdf_status))                  \
    X(void, RequestCompleteWithInformation, 164,                                                   \
      (struct wdf_globals *, WDFREQUEST, wdf_status, size_t))                                      \
    X(wdf_status, RequestRetrieveInputBuffer, 168,                                                 \
      (struct wdf_globals *, WDFREQUEST, size_t least, void **, size_t *))                         \
    X(wdf_status, RequestRetrieveOutputBuffer, 169,                                                \
      (struct wdf_globals *, WDFREQUEST, size_t least, void **, size_t *))                         \
    X(WDFFILEOBJECT, RequestGetFileObject, 172, (struct wdf_globals *, WDFREQUEST))                \
    X(wdf_status, DeviceOpenDevicemapKey, 255,                                                     \
      (struct wdf_globals *, WDFDEVICE, const struct wdf_string *, uint32_t access,                \
       struct wdf_attributes *, WDFKEY *))

#define WDF_DECLARE(result, name, index, parameters)                                               \
    enum { Wdf##name##_index = (index) };                                                          \
    typedef result(*Wdf##name##_call) parameters;
WDF_CALLS(WDF_DECLARE)
#undef WDF_DECLARE

typedef void (*wdf_function)(void);

/* Set by the loader's bind function (entry.c). */
extern const wdf_function *wdf_table;
extern struct wdf_globals *wdf_globals;

#define WDF(name, ...) (((Wdf##name##_call)wdf_table[Wdf##name##_index])(wdf_globals, __VA_ARGS__))

/* A counted string from a literal: u"text". */
#define WDF_STRING(literal)                                                                        \
    (&(const struct wdf_string){sizeof(literal) - sizeof(char16_t), sizeof(literal), (literal)})

/* Run by the entry stub once the table is bound. */
wdf_status DriverEntry(void *driver_object, const struct wdf_string *registry_path);

#endif
