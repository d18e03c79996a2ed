/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Wireshark looks for in a plugin file. */
#include "kd.h"

#include <gmodule.h>

G_MODULE_EXPORT extern const gchar plugin_version[];
G_MODULE_EXPORT extern const int plugin_want_major, plugin_want_minor;
G_MODULE_EXPORT void plugin_register(void);
#if WIRESHARK_AT_LEAST(4, 4)
G_MODULE_EXPORT uint32_t plugin_describe(void);
#endif

const gchar plugin_version[] = KDWIRE_VERSION;
const int plugin_want_major = WIRESHARK_VERSION_MAJOR;
const int plugin_want_minor = WIRESHARK_VERSION_MINOR;

static void register_protocols(void)
{
    kd_register();
    kdnet_register();
}

static void hand_off(void)
{
    kd_handoff();
    kdnet_handoff();
}

void plugin_register(void)
{
    static proto_plugin plugin;
    plugin.register_protoinfo = register_protocols;
    plugin.register_handoff = hand_off;
    proto_register_plugin(&plugin);
}

#if WIRESHARK_AT_LEAST(4, 4)
uint32_t plugin_describe(void)
{
    return 1; /* WS_PLUGIN_DESC_DISSECTOR; its header is not installed */
}
#endif
