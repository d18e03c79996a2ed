/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A strict stand-in for the UMDF framework and the host around it, to run the real driver natively
 * and under Wine. It aborts, naming the fault, when the driver hands in a structure of a wrong
 * size, completes a request twice or while it is cancellable, reports more bytes than the buffer
 * has, uses a handle of another kind, or leaves an object behind. A completed request's context and
 * buffer are freed at once, so that ASan sees who still uses them.
 */
#ifndef TEST_FAKE_WDF_H
#define TEST_FAKE_WDF_H

#include <stdatomic.h>
#include <stdbool.h>

#include "wdf.h"

typedef wdf_status fake_entry(const struct wdf_loader *loader, void *context, void *driver_object,
                              const struct wdf_string *registry_path);

struct fake_request {
    int kind;
    atomic_int state;
    atomic_bool cancelled;
    struct wdf_file_handle *file;
    void *context;
    wdf_request_cancel *cancel;
    uint8_t *buffer;
    size_t in_size, out_size;
    /* May be set before it is sent: memory for both directions, instead of a copy that is freed as
     * soon as the request is done. */
    uint8_t *lent;
    /* The result, once fake_is_done: */
    wdf_status status;
    size_t information;
    uint8_t *data; /* of OUT_SIZE bytes, until fake_free; NULL with lent memory */
    /* May be set before it is sent: called when it is done, on whatever thread. */
    void (*on_done)(struct fake_request *request);
    void *user;
};

/* Runs the entry point of a driver: its DriverEntry has run afterwards. */
wdf_status fake_load(fake_entry *entry);

/* The n-th call from now on (1 is the next) of those that return a status fails; 0: none does.
 * fake_calls tells how many there were since. */
void fake_fail_call(unsigned number);
unsigned fake_calls(void);

/* The hardware key's PortName; NULL: none. Settings are kept until fake_forget. */
void fake_set_port_name(const char16_t *name);
void fake_forget(void);
/* Data of a value under SERIALCOMM that has our device's name, or NULL. */
const char16_t *fake_serialcomm(void);
/* The symbolic link and the number of interfaces of the device. */
const char16_t *fake_link(void);
unsigned fake_interfaces(void);

/* Adds the device; when it succeeds it is in D0. */
wdf_status fake_add_device(void);
void fake_sleep(void);
wdf_status fake_wake(void);
void fake_surprise_removal(void);
/* Removes it: all files must be closed. */
void fake_remove_device(void);

/* Opens by the COM name, or by the interface's reference string ("\\control"). */
wdf_status fake_open(const char16_t *name, struct wdf_file_handle **file);
void fake_close(struct wdf_file_handle *file);

/* Sends a request; it is the caller's to fake_free after it is done. */
struct fake_request *fake_new(struct wdf_file_handle *file);
void fake_read(struct fake_request *request, size_t size);
void fake_write(struct fake_request *request, const void *data, size_t size);
void fake_control(struct fake_request *request, uint32_t code, const void *in, size_t in_size,
                  size_t out_size);
void fake_cancel(struct fake_request *request);
bool fake_is_done(const struct fake_request *request);
void fake_free(struct fake_request *request);

/* Requests in the driver's hands, and objects (device, files, keys). */
int fake_pending(void);
int fake_objects(void);

#endif
