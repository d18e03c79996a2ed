/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the Wireshark versions this plugin is built for, 4.0 to 4.6. The rest of the
 * folder is written for all of them and never asks which one it is.
 */
#ifndef KDWIRE_WIRESHARK_COMPAT_H
#define KDWIRE_WIRESHARK_COMPAT_H

#include <stdbool.h>
#include <ws_version.h>

#define WIRESHARK_AT_LEAST(major, minor)                                                           \
    (WIRESHARK_VERSION_MAJOR > (major) ||                                                          \
     (WIRESHARK_VERSION_MAJOR == (major) && WIRESHARK_VERSION_MINOR >= (minor)))

/* Wireshark's headers are not written for -Wconversion and its like, and macros of its UATs define
 * functions in our files. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wshadow"
#include <epan/packet.h>

#include <epan/conversation.h>
#include <epan/conversation_table.h>
#include <epan/expert.h>
#include <epan/export_object.h>
#include <epan/exported_pdu.h>
#include <epan/follow.h>
#include <epan/prefs.h>
#include <epan/proto_data.h>
#include <epan/stat_tap_ui.h>
#include <epan/tap.h>
#include <epan/to_str.h>
#include <epan/uat.h>
#pragma GCC diagnostic pop

/* Preferences and heuristics' results became C's bool in 4.4. */
#if WIRESHARK_AT_LEAST(4, 4)
typedef bool ws_bool;
#else
typedef gboolean ws_bool;
#endif

#endif
