/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver's files share: contexts of framework objects, and who does what. */
#ifndef KDWIRE_VSP_DRIVER_H
#define KDWIRE_VSP_DRIVER_H

#include "line.h"
#include "wdf.h"

struct device_context {
    struct line *line;
    char16_t com[VSP_NAME_MAX]; /* COM7; empty when it has none */
    char16_t pdo[128];          /* \Device\00000042: the name of our value under SERIALCOMM */
};

struct file_context {
    bool is_control; /* opened by the private interface */
};

struct request_context {
    struct line_request request; /* must be first */
    WDFREQUEST handle;
    struct line *line;
};

extern const struct wdf_context_type device_context_type, file_context_type, request_context_type;

struct device_context *device_of(WDFDEVICE device);
struct file_context *file_of(WDFFILEOBJECT file); /* NULL for NULL */

/* io.c: requests of programs. */
extern const struct line_hooks io_hooks;
wdf_io_read_write io_read, io_write;
wdf_io_control io_control;

/* controls.c: the codes of vspControl, old and new; true: it was one and the request is completed.
 */
bool controls_run(WDFDEVICE device, WDFREQUEST request, uint32_t code, size_t in_size,
                  size_t out_size);

/* settings.c: what the registry keeps. */
void settings_load(WDFDEVICE device);
wdf_status settings_save(WDFDEVICE device, const struct vsp_settings *settings);
/* The name that the Ports class gave the device; false: none. */
bool settings_com_name(WDFDEVICE device, char16_t name[VSP_NAME_MAX]);
void settings_publish(WDFDEVICE device);   /* the value under SERIALCOMM */
void settings_unpublish(WDFDEVICE device); /* only ours */

#endif
