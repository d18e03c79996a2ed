/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is kept over restarts: one value each under the device's own registry key. A value that is
 * absent, of another type or out of range leaves its default. Also the COM name, which the Ports
 * class writes under the hardware key, and our value under HARDWARE\DEVICEMAP\SERIALCOMM.
 */
#include <stddef.h>
#include <string.h>

#include "driver.h"

enum { OWN_KEY = WDF_KEY_DEVICE | WDF_KEY_DRIVER_SUBKEY };

static const struct number {
    struct wdf_string name;
    size_t offset;
} numbers[] = {
#define NUMBER(text, member)                                                                       \
    {                                                                                              \
        {sizeof(text) - sizeof(char16_t), sizeof(text), (text)},                                   \
            offsetof(struct vsp_settings, member)                                                  \
    }
    NUMBER(u"Mode", mode),          NUMBER(u"Port", port),           NUMBER(u"Telnet", telnet),
    NUMBER(u"Offline", offline),    NUMBER(u"Lines", lines),         NUMBER(u"When", when),
    NUMBER(u"Second", second),      NUMBER(u"KeepAlive", keepalive), NUMBER(u"Retry", retry),
    NUMBER(u"LogLevel", log_level),
#undef NUMBER
};

#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))
#define HOST    WDF_STRING(u"Host")

/* The host as ASCII, as names on the wire are; anything else is left out. */
static void load_host(WDFKEY key, char host[VSP_HOST_MAX])
{
    char16_t wide[VSP_HOST_MAX];
    uint32_t size = 0;
    uint32_t type = 0;
    if (WDF(RegistryQueryValue, key, HOST, sizeof(wide), wide, &size, &type) < 0 ||
        type != WDF_VALUE_TEXT || size > sizeof(wide))
        return;
    size_t count = size / sizeof(char16_t);
    size_t used = 0;
    for (size_t i = 0; i < count && wide[i] && used < VSP_HOST_MAX - 1; i++)
        if (wide[i] < 0x80)
            host[used++] = (char)wide[i];
    host[used] = '\0';
}

void settings_load(WDFDEVICE device)
{
    WDFKEY key = NULL;
    struct vsp_settings settings;
    line_default_settings(&settings);
    if (WDF(DeviceOpenRegistryKey, device, OWN_KEY, WDF_KEY_READ, NULL, &key) < 0)
        return;
    for (size_t i = 0; i < NUMBERS; i++) {
        uint32_t value = 0;
        if (WDF(RegistryQueryULong, key, &numbers[i].name, &value) >= 0)
            memcpy((char *)&settings + numbers[i].offset, &value, sizeof(value));
    }
    load_host(key, settings.host);
    WDF(RegistryClose, key);
    line_set_settings(device_of(device)->line, &settings);
}

static wdf_status save_host(WDFKEY key, const char *host)
{
    char16_t wide[VSP_HOST_MAX];
    size_t length = 0;
    for (; length < VSP_HOST_MAX - 1 && host[length]; length++)
        wide[length] = (unsigned char)host[length];
    wide[length++] = 0;
    return WDF(RegistryAssignValue, key, HOST, WDF_VALUE_TEXT,
               (uint32_t)(length * sizeof(char16_t)), wide);
}

wdf_status settings_save(WDFDEVICE device, const struct vsp_settings *settings)
{
    WDFKEY key = NULL;
    wdf_status status =
        WDF(DeviceOpenRegistryKey, device, OWN_KEY, WDF_KEY_READ | WDF_KEY_WRITE, NULL, &key);
    if (status < 0)
        return status;
    status = save_host(key, settings->host);
    for (size_t i = 0; i < NUMBERS && status >= 0; i++) {
        uint32_t value = 0;
        memcpy(&value, (const char *)settings + numbers[i].offset, sizeof(value));
        status = WDF(RegistryAssignULong, key, &numbers[i].name, value);
    }
    WDF(RegistryClose, key);
    return status;
}

bool settings_com_name(WDFDEVICE device, char16_t name[VSP_NAME_MAX])
{
    WDFKEY key = NULL;
    uint32_t size = 0;
    uint32_t type = 0;
    char ascii[VSP_NAME_MAX] = {0};
    memset(name, 0, VSP_NAME_MAX * sizeof(*name));
    if (WDF(DeviceOpenRegistryKey, device, WDF_KEY_DEVICE, WDF_KEY_READ, NULL, &key) < 0)
        return false;
    wdf_status status = WDF(RegistryQueryValue, key, WDF_STRING(u"PortName"),
                            (VSP_NAME_MAX - 1) * sizeof(*name), name, &size, &type);
    WDF(RegistryClose, key);
    if (status < 0 || type != WDF_VALUE_TEXT || !name[0]) {
        name[0] = 0;
        return false;
    }
    for (size_t i = 0; i < VSP_NAME_MAX - 1 && name[i]; i++)
        ascii[i] = name[i] < 0x80 ? (char)name[i] : '?';
    line_set_name(device_of(device)->line, ascii);
    return true;
}

static WDFKEY open_serialcomm(WDFDEVICE device)
{
    WDFKEY key = NULL;
    if (WDF(DeviceOpenDevicemapKey, device, WDF_STRING(u"SERIALCOMM"), WDF_KEY_WRITE, NULL, &key) <
        0)
        return NULL;
    return key;
}

static struct wdf_string counted(const char16_t *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return (struct wdf_string){(uint16_t)(length * sizeof(*text)),
                               (uint16_t)((length + 1) * sizeof(*text)), text};
}

/* Programs that list ports read this key; without the value they do not show ours, no more. */
void settings_publish(WDFDEVICE device)
{
    struct device_context *context = device_of(device);
    uint32_t size = 0;
    if (WDF(DeviceQueryProperty, device, WDF_PROPERTY_PDO_NAME,
            sizeof(context->pdo) - sizeof(char16_t), context->pdo, &size) < 0) {
        context->pdo[0] = 0;
        return;
    }
    WDFKEY key = open_serialcomm(device);
    if (!key) {
        context->pdo[0] = 0;
        return;
    }
    struct wdf_string value = counted(context->pdo);
    struct wdf_string com = counted(context->com);
    if (WDF(RegistryAssignValue, key, &value, WDF_VALUE_TEXT, com.capacity, com.text) < 0)
        context->pdo[0] = 0;
    WDF(RegistryClose, key);
}

void settings_unpublish(WDFDEVICE device)
{
    struct device_context *context = device_of(device);
    WDFKEY key = context->pdo[0] ? open_serialcomm(device) : NULL;
    if (!key)
        return;
    struct wdf_string value = counted(context->pdo);
    WDF(RegistryRemoveValue, key, &value);
    WDF(RegistryClose, key);
    context->pdo[0] = 0;
}
