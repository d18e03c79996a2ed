/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only export: what Microsoft's static library WdfDriverStubUm supplies to other drivers. The
 * host calls it with its loader interface; we bind to the framework's function table and run
 * DriverEntry. The framework itself arranges unloading. (The loader half of this contract is not
 * documented; two independent public UMDF hosts agree on it, see docs/verified.md.)
 */
#include "wdf.h"

enum { LOADER_SIZE_LEAST = 0x10, STATUS_INVALID = (int)0xC000000D };

const wdf_function *wdf_table;
struct wdf_globals *wdf_globals;

wdf_status FxDriverEntryUm(const struct wdf_loader *loader, void *context, void *driver_object,
                           const struct wdf_string *registry_path);

wdf_status FxDriverEntryUm(const struct wdf_loader *loader, void *context, void *driver_object,
                           const struct wdf_string *registry_path)
{
    static struct wdf_bind_info bind = {
        .size = sizeof(bind),
        .component = u"UmdfLibrary",
        .major = WDF_MAJOR,
        .minor = WDF_MINOR,
        .build = WDF_BUILD,
        .functions = WDF_FUNCTIONS,
        .table = &wdf_table,
    };
    /* Only what is used is asked for, so that a later, larger interface is as welcome. */
    if (!loader || loader->size < LOADER_SIZE_LEAST || !loader->bind)
        return STATUS_INVALID;
    wdf_status status = loader->bind(context, &bind, &wdf_globals);
    return status < 0 ? status : DriverEntry(driver_object, registry_path);
}
