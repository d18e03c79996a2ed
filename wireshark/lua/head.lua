-- SPDX-License-Identifier: GPL-2.0-or-later
-- kdwire.lua: KD and KDNET in Wireshark 4.0 and later, for those who cannot compile the plugin.
-- Generated: the tables come from kdwire's description of the protocol (include/kdwire/fields.h), so
-- that fields have the same names as the plugin's. Install it in Wireshark's personal plugin
-- folder (Help > About > Folders), or: tshark -X lua_script:kdwire.lua
--
-- What only the plugin has: pieces of a byte stream in records, links between packets, statistics,
-- follow, objects, and its speed.

if pcall(Dissector.get, "kd") and Dissector.get("kd") then
    return -- the plugin is there and does more
end

