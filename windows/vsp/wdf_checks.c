/* SPDX-License-Identifier: BSD-2-Clause */
/* Pins every number of wdf.h: a change of layout is a build error, not a crash in the host. */
#include "wdf.h"

#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
#define AT(type, member, offset)                                                                   \
    _Static_assert(offsetof(struct type, member) == (offset), #type "." #member)
#define INDEX(name, index) _Static_assert(Wdf##name##_index == (index), #name)

SIZE(wdf_string, 16);
AT(wdf_string, text, 8);
SIZE(wdf_guid, 16);
SIZE(wdf_globals, 56);
AT(wdf_globals, flags, 8);
AT(wdf_globals, tag, 12);
AT(wdf_globals, name, 16);
AT(wdf_globals, displace_unload, 48);
SIZE(wdf_bind_info, 48);
AT(wdf_bind_info, component, 8);
AT(wdf_bind_info, major, 0x10);
AT(wdf_bind_info, functions, 0x1C);
AT(wdf_bind_info, table, 0x20);
AT(wdf_bind_info, module, 0x28);
SIZE(wdf_loader, 16);
AT(wdf_loader, bind, 8);
SIZE(wdf_context_type, 40);
AT(wdf_context_type, name, 8);
AT(wdf_context_type, context_size, 16);
AT(wdf_context_type, unique, 24);
AT(wdf_context_type, getter, 32);
SIZE(wdf_attributes, 56);
AT(wdf_attributes, cleanup, 8);
AT(wdf_attributes, destroy, 16);
AT(wdf_attributes, execution, 24);
AT(wdf_attributes, sync, 28);
AT(wdf_attributes, parent, 32);
AT(wdf_attributes, context_size_override, 40);
AT(wdf_attributes, type, 48);
SIZE(wdf_driver_config, 32);
AT(wdf_driver_config, device_add, 8);
AT(wdf_driver_config, unload, 16);
AT(wdf_driver_config, flags, 24);
AT(wdf_driver_config, tag, 28);
SIZE(wdf_queue_config, 96);
AT(wdf_queue_config, dispatch, 4);
AT(wdf_queue_config, power_managed, 8);
AT(wdf_queue_config, allow_zero_length, 12);
AT(wdf_queue_config, is_default, 13);
AT(wdf_queue_config, on_default, 16);
AT(wdf_queue_config, on_read, 24);
AT(wdf_queue_config, on_write, 32);
AT(wdf_queue_config, on_control, 40);
AT(wdf_queue_config, on_internal_control, 48);
AT(wdf_queue_config, on_stop, 56);
AT(wdf_queue_config, on_resume, 64);
AT(wdf_queue_config, on_cancelled, 72);
AT(wdf_queue_config, presented, 80);
AT(wdf_queue_config, driver, 88);
SIZE(wdf_pnp_callbacks, 144);
AT(wdf_pnp_callbacks, d0_entry, 8);
AT(wdf_pnp_callbacks, d0_exit, 24);
AT(wdf_pnp_callbacks, prepare_hardware, 40);
AT(wdf_pnp_callbacks, self_managed_cleanup, 56);
AT(wdf_pnp_callbacks, self_managed_init, 72);
AT(wdf_pnp_callbacks, self_managed_restart, 88);
AT(wdf_pnp_callbacks, surprise_removal, 96);
AT(wdf_pnp_callbacks, query_remove, 104);
AT(wdf_pnp_callbacks, usage_ex, 136);
SIZE(wdf_file_config, 40);
AT(wdf_file_config, create, 8);
AT(wdf_file_config, close, 16);
AT(wdf_file_config, cleanup, 24);
AT(wdf_file_config, auto_forward, 32);
AT(wdf_file_config, file_class, 36);

INDEX(DeviceOpenRegistryKey, 18);
INDEX(DeviceInitSetPnpPowerEventCallbacks, 19);
INDEX(DeviceInitSetFileObjectConfig, 23);
INDEX(DeviceInitSetRequestAttributes, 24);
INDEX(DeviceCreate, 25);
INDEX(DeviceCreateDeviceInterface, 27);
INDEX(DeviceCreateSymbolicLink, 30);
INDEX(DeviceQueryProperty, 31);
INDEX(DriverCreate, 57);
INDEX(FileObjectGetFileName, 68);
INDEX(FileObjectGetDevice, 69);
INDEX(IoQueueCreate, 85);
INDEX(IoQueueGetDevice, 90);
INDEX(ObjectGetTypedContextWorker, 123);
INDEX(RegistryClose, 133);
INDEX(RegistryRemoveValue, 135);
INDEX(RegistryQueryValue, 136);
INDEX(RegistryQueryULong, 141);
INDEX(RegistryAssignValue, 142);
INDEX(RegistryAssignULong, 147);
INDEX(RequestMarkCancelableEx, 155);
INDEX(RequestUnmarkCancelable, 156);
INDEX(RequestComplete, 163);
INDEX(RequestCompleteWithInformation, 164);
INDEX(RequestRetrieveInputBuffer, 168);
INDEX(RequestRetrieveOutputBuffer, 169);
INDEX(RequestGetFileObject, 172);
INDEX(DeviceOpenDevicemapKey, 255);

/* Every index is within the table that the bind asks for. */
#define WITHIN(result, name, index, parameters)                                                    \
    _Static_assert((index) < WDF_FUNCTIONS, #name " is newer than UMDF 2.15");
WDF_CALLS(WITHIN)

int wdf_is_checked(void);
int wdf_is_checked(void) /* a translation unit needs something in it */
{
    return 1;
}
