/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <cfgmgr32.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool port_control(struct port *port, uint32_t code, const void *in, size_t in_size, void *out,
                  size_t out_size, DWORD *done)
{
    char copy[sizeof(struct vsp_settings)];
    DWORD ignored = 0;
    if (in_size)
        memcpy(copy, in, in_size);
    return DeviceIoControl(port->handle, code, in_size ? copy : NULL, (DWORD)in_size, out,
                           (DWORD)out_size, done ? done : &ignored, NULL);
}

bool port_refresh(struct port *port)
{
    return port_control(port, VSP_GET_STATUS, NULL, 0, &port->status, sizeof(port->status), NULL) &&
           port_control(port, VSP_GET_SETTINGS, NULL, 0, &port->settings, sizeof(port->settings),
                        NULL);
}

static bool open_path(struct port *port, const char *path)
{
    port->handle = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
                               FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    if (port->handle == INVALID_HANDLE_VALUE)
        return false;
    if (port_refresh(port))
        return true;
    port_close(port);
    return false;
}

void port_close(struct port *port)
{
    if (port->handle != INVALID_HANDLE_VALUE)
        CloseHandle(port->handle);
    port->handle = INVALID_HANDLE_VALUE;
}

/* The paths of all running control interfaces: text after text, an empty one at the end. */
static char *list_paths(void)
{
    GUID guid = VSP_INTERFACE;
    ULONG size = 0;
    if (CM_Get_Device_Interface_List_SizeA(&size, &guid, NULL,
                                           CM_GET_DEVICE_INTERFACE_LIST_PRESENT))
        return NULL;
    char *list = calloc(size + 2, 1);
    if (list && CM_Get_Device_Interface_ListA(&guid, NULL, list, size,
                                              CM_GET_DEVICE_INTERFACE_LIST_PRESENT))
        list[0] = '\0';
    return list;
}

size_t ports_all(struct port ports[PORTS_MAX])
{
    size_t count = 0;
    char *list = list_paths();
    for (const char *path = list; path && *path && count < PORTS_MAX; path += strlen(path) + 1)
        if (open_path(&ports[count], path))
            count++;
    free(list);
    return count;
}

/* Takes the port with the name, or the only one; closes the others. */
static bool choose(struct port *ports, size_t count, const char *name, struct port *out)
{
    size_t found = PORTS_MAX;
    for (size_t i = 0; i < count; i++)
        if (!name || !_stricmp(ports[i].status.name, name))
            found = i;
    for (size_t i = 0; i < count; i++)
        if (i != found)
            port_close(&ports[i]);
    if (found == PORTS_MAX)
        return false;
    *out = ports[found];
    return true;
}

bool port_open(const struct options *options, struct port *port)
{
    static struct port ports[PORTS_MAX];
    port->handle = INVALID_HANDLE_VALUE;
    if (options->device) {
        if (open_path(port, options->device))
            return true;
        fail_with(GetLastError(), "%s", options->device);
        return false;
    }
    size_t count = ports_all(ports);
    if (!count) {
        fail("no htsvsp port runs; 'vspControl add --connect HOST:PORT' makes one, 'vspControl "
             "list' "
             "shows disabled ones");
        return false;
    }
    if (count > 1 && !options->port) {
        choose(ports, count, "", port);
        fail("there are %u htsvsp ports; say which one, for example 'vspControl %s %s'",
             (unsigned)count, options->command, ports[0].status.name);
        return false;
    }
    if (choose(ports, count, options->port, port))
        return true;
    fail("%s is no htsvsp port that runs; 'vspControl list' shows those there are", options->port);
    return false;
}
