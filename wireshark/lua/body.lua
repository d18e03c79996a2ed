
-- ---- fields ----

local proto = Proto.new("kd", "Windows Kernel Debugger")
local fields, field_of = {}, {}

local function add_field(field)
    fields[#fields + 1] = field
    return field
end

local function values_of(names)
    local values = {}
    for _, name in ipairs(names or {}) do
        if values[name[1]] == nil then values[name[1]] = name[2] end
    end
    return values
end

local number_types = {[1] = ftypes.UINT8, [2] = ftypes.UINT16, [4] = ftypes.UINT32,
                      [8] = ftypes.UINT64}

local function new_field(structure, field)
    local filter = ("kd.%s.%s"):format(structure.name, field.name):lower()
    local format = field.format
    if format == "BYTES" or format == "PAD" then
        return ProtoField.new(field.name, filter, ftypes.BYTES)
    elseif format == "TEXT" then
        return ProtoField.new(field.name, filter, ftypes.STRING)
    elseif format == "FXSAVE" then
        return ProtoField.new(field.name, filter, ftypes.NONE)
    elseif format == "WORDS" then
        return ProtoField.new(field.name, filter, ftypes.UINT64, nil, base.HEX)
    end
    local values
    if format == "ENUM" then values = values_of(field.names)
    elseif format == "STATUS" then values = values_of(status_names)
    elseif format == "BOOL" then values = {[0] = "no", [1] = "yes"} end
    local shown = (format == "DEC" or format == "BOOL") and base.DEC or base.HEX
    return ProtoField.new(field.name, filter, number_types[field.size], values, shown)
end

for _, structure in pairs(structures) do
    for _, field in ipairs(structure) do
        field.shown = add_field(new_field(structure, field))
        if field.format == "FLAGS" then
            field.flags = {}
            for i, name in ipairs(field.names) do
                local filter = ("kd.%s.%s.%s"):format(structure.name, field.name, name[2]):lower()
                field.flags[i] = add_field(ProtoField.new(name[2], filter, ftypes.BOOLEAN, nil,
                                                          8 * field.size, name[1]))
            end
        end
    end
end

local data_fields = {}
for _, kind in ipairs(data_kinds) do
    data_fields[kind] = add_field(ProtoField.bytes("kd.data." .. kind:gsub("-", "_"), kind))
end

local others = {
    rest = add_field(ProtoField.bytes("kd.rest", "Piece of a field")),
    extra = add_field(ProtoField.bytes("kd.extra", "Bytes before the path")),
    trailer = add_field(ProtoField.bytes("kd.trailer", "Trailer")),
    break_in = add_field(ProtoField.uint8("kd.break_in", "Break-in", base.HEX)),
    junk = add_field(ProtoField.bytes("kd.junk", "Bytes that belong to no packet")),
    text = add_field(ProtoField.string("kd.text", "Text")),
    component = add_field(ProtoField.string("kd.component", "Component")),
    command = add_field(ProtoField.string("kd.command", "Command")),
    place = add_field(ProtoField.uint64("kd.data.address", "Address in the target", base.HEX)),
    location = add_field(ProtoField.string("kd.location", "In module")),
    direction = add_field(ProtoField.uint8("kd.direction", "Direction", base.DEC, {
        [0] = "not known", [1] = "debugger to target", [2] = "target to debugger"})),
    message = add_field(ProtoField.string("kd.message", "Message")),
    role = add_field(ProtoField.string("kd.role", "Role")),
}
proto.fields = fields

local experts = {
    checksum = ProtoExpert.new("kd.expert.checksum", "The checksum is wrong",
                               expert.group.CHECKSUM, expert.severity.ERROR),
    trailer = ProtoExpert.new("kd.expert.trailer", "No trailer byte 0xAA after the body",
                              expert.group.PROTOCOL, expert.severity.WARN),
    length = ProtoExpert.new("kd.expert.length", "The header gives an impossible length",
                             expert.group.PROTOCOL, expert.severity.ERROR),
    cut = ProtoExpert.new("kd.expert.cut", "The rest of this packet never came",
                          expert.group.REASSEMBLE, expert.severity.WARN),
    junk = ProtoExpert.new("kd.expert.junk", "Bytes that belong to no packet",
                           expert.group.PROTOCOL, expert.severity.NOTE),
}
proto.experts = {experts.checksum, experts.trailer, experts.length, experts.cut, experts.junk}

-- ---- constants and small helpers ----

local TO_TARGET, TO_DEBUGGER = 1, 2
local MANIPULATE, STATE_CHANGE64, DEBUG_IO, TRACE_IO, CONTROL_REQUEST, FILE_IO = 2, 7, 3, 9, 10, 11
local ACKNOWLEDGE, RESET = 4, 6
local AMD64, I386, ARM64, ARM_NT = 0x8664, 0x14c, 0xaa64, 0x1c4
local HEADER, BODY_MAX = structures.PacketHeader.size, 4000

local function offset_of(structure, name)
    for _, field in ipairs(structure) do
        if field.name == name then return field.at, field.size end
    end
    error("no field " .. name)
end

-- The range of a field in a body, or nil if it is not whole.
local function field_range(body, structure, name)
    local at, size = offset_of(structures[structure], name)
    if body:len() < at + size then return nil end
    return body(at, size)
end

local function number(body, structure, name)
    local range = field_range(body, structure, name)
    return range and range:le_uint() or 0
end

local ZERO = UInt64.new(0, 0)

-- 64-bit values are userdata on Lua 5.2: compared and subtracted as such.
local function wide(body, structure, name)
    local range = field_range(body, structure, name)
    return range and range:le_uint64() or ZERO
end

local function same(a, b) return a ~= nil and b ~= nil and a == b and a ~= ZERO end

-- How far ADDRESS lies behind BASE, if that is below SIZE; else nil.
local function distance(address, from, size)
    if from == nil or from == ZERO then return nil end
    local delta = address - from
    if delta:higher() ~= 0 or delta:lower() >= size then return nil end
    return delta:lower()
end

local function has_bit(value, bit_value) return math.floor(value / bit_value) % 2 == 1 end

local function state_of(state) return has_bit(state, 0x10000) and state - 0x10000 or state end

-- ---- messages ----

local message_lists = {[STATE_CHANGE64] = {"StateChange", "NewState"},
                       [DEBUG_IO] = {"DebugIo", "ApiNumber"},
                       [TRACE_IO] = {"TraceIo", "ApiNumber"},
                       [CONTROL_REQUEST] = {"ControlRequest", "ApiNumber"},
                       [FILE_IO] = {"FileIo", "ApiNumber"}}

local function named(structure, name, value)
    for _, field in ipairs(structures[structure]) do
        if field.name == name then return values_of(field.names)[value] end
    end
end

local function status_is_refusal(status)
    return status >= 0x80000000 and values_of(status_names)[status] ~= nil
end

-- The same guess as the plugin's: only for packets whose direction is not known otherwise.
local function looks_like_reply(body, api)
    if (api and not api.replies) or body:len() < structures.None.size then return false end
    local data = body:len() > structures.None.size
    local asks, answers = api and api.request_data ~= "bytes", api and api.reply_data ~= "bytes"
    local status = number(body, "Manipulate", "ReturnStatus")
    if asks and not answers then return not data end
    if answers and not asks then return data or status_is_refusal(status) end
    return status == 0 or status_is_refusal(status)
end

local function message_of(packet, direction)
    local message = {api = 0}
    local body, kind = packet.body, packet.type
    local list = message_lists[kind]
    if types[kind] and types[kind].fixed > 0 and body:len() >= 4 then
        message.api = body(0, 4):le_uint()
    end
    if kind == MANIPULATE then
        message.info = apis[message.api]
        message.name = message.info and message.info.name
    elseif list then
        message.name = named(list[1], list[2], message.api)
    else
        message.name = types[kind] and types[kind].name
    end
    if not packet.data then return message end
    if kind == MANIPULATE then
        message.reply = direction == TO_DEBUGGER
        message.asks = not message.reply and (not message.info or message.info.replies)
    elseif kind == DEBUG_IO or kind == FILE_IO or kind == CONTROL_REQUEST then
        message.reply = direction == TO_TARGET
        message.asks = not message.reply and (kind ~= DEBUG_IO or message.name == "GetString")
    end
    return message
end

-- ---- what a session teaches (src/kd/decode.c) ----

local function learn_memory(session, address, data)
    if data:len() < 8 then return end
    local link = data(0, 8):le_uint64()
    if same(address, session.module_list) then
        session.next_entry = link
    elseif same(address, session.debugger_list) then
        session.debugger_data = link
    elseif (same(address, session.next_entry) or same(address, session.entry)) and
        data:len() >= structures.LoaderEntry64.size then
        session.entry, session.next_entry = address, link
        session.full_name = wide(data, "LoaderEntry64", "FullDllNameBuffer")
        session.base_name = wide(data, "LoaderEntry64", "BaseDllNameBuffer")
        session.entry_base = wide(data, "LoaderEntry64", "DllBase")
        session.entry_size = number(data, "LoaderEntry64", "SizeOfImage")
    elseif session.is_base(session, address) and data:len() >= structures.DosHeader.size and
        data(0, 2):string() == "MZ" then
        session.pe_header = address + UInt64.new(number(data, "DosHeader", "ImageHeader"), 0)
    end
end

local function is_base(session, address)
    return same(address, session.kernel_base) or same(address, session.loaded_base) or
        same(address, session.entry_base)
end

local function file_part(path)
    local name = path:match("([^\\/%z]*)%z?$") or path
    return (name:gsub("[^\32-\126]", "?"))
end

local function add_module(session, module)
    local last = session.modules[#session.modules]
    if last and last.base == module.base and last.size == module.size and
        last.name == module.name then
        return
    end
    session.modules[#session.modules + 1] = module
end

local function learn_load(session, body)
    local unload = number(body, "LoadSymbols", "UnloadSymbols") ~= 0
    local module_base = wide(body, "LoadSymbols", "BaseOfDll")
    if unload then
        add_module(session, {base = module_base, size = 0, name = ""})
        return
    end
    session.loaded_base = module_base
    local path = number(body, "LoadSymbols", "PathNameLength")
    local fixed = types[STATE_CHANGE64].fixed
    if path == 0 or path > body:len() - fixed or path > 1024 then return end
    local text = body(body:len() - path, path):bytes():raw():match("^[^%z]*")
    add_module(session, {base = module_base, size = number(body, "LoadSymbols", "SizeOfImage"),
                         name = file_part(text)})
end

local function learn_entry_name(session, address, data)
    if session.entry_base == nil or session.entry_base == ZERO or
        not (same(address, session.full_name) or same(address, session.base_name)) then
        return
    end
    local text = data:bytes():raw():gsub("(.)(.)", function(low, high)
        return high == "\0" and low or "?"
    end):match("^[^%z]*")
    add_module(session, {base = session.entry_base, size = session.entry_size,
                         name = file_part(text)})
end

local function learn(session, packet, message)
    local body = packet.body
    if packet.faulty or not packet.data or not types[packet.type] or
        body:len() < types[packet.type].fixed then
        return
    end
    if packet.type == STATE_CHANGE64 and
        named("StateChange", "NewState", state_of(message.api)) == "LoadSymbols" then
        learn_load(session, body)
    elseif packet.type == MANIPULATE and message.reply then
        local fixed = types[MANIPULATE].fixed
        if message.name == "GetVersion" and number(body, "Manipulate", "ReturnStatus") == 0 then
            session.machine = number(body, "GetVersion", "MachineType")
            session.kernel_base = wide(body, "GetVersion", "KernBase")
            session.module_list = wide(body, "GetVersion", "PsLoadedModuleList")
            session.debugger_list = wide(body, "GetVersion", "DebuggerDataList")
        elseif message.name == "ReadVirtualMemory" and body:len() > fixed then
            local address = wide(body, "ReadMemory", "TargetBaseAddress")
            local data = body(fixed):tvb()
            learn_entry_name(session, address, data)
            learn_memory(session, address, data)
        end
    end
end

-- The module that begins closest below the address and covers it; of each base the newest event
-- counts.
local function module_name(state, address)
    local modules, known, best, best_delta = state.modules, {}, nil, nil
    for i = state.modules_seen, 1, -1 do
        local module = modules[i]
        local base = tostring(module.base)
        if not known[base] then
            known[base] = true
            if module.size == 0 and address == module.base then return nil end
            local delta = module.size > 0 and distance(address, module.base, module.size)
            if delta and (not best or delta < best_delta) then best, best_delta = module, delta end
        end
    end
    if not best then return nil end
    return best_delta == 0 and best.name or ("%s+0x%x"):format(best.name, best_delta)
end

-- ---- the tree: one walk over a packet's bytes (src/kd/decode.c) ----

local Walk = {}
Walk.__index = Walk

function Walk:address(item, range)
    if not self.virtual then return end
    local name = module_name(self.state, range:le_uint64())
    if not name then return end
    item:append_text((" (%s)"):format(name))
    item:add(others.location, range, name):set_generated()
end

function Walk:flags(item, field, range)
    local value = range:le_uint()
    for i, name in ipairs(field.names) do
        if has_bit(value, name[1]) then item:append_text(" " .. name[2]) end
        item:add_le(field.flags[i], range)
    end
end

function Walk:field(tree, field, range)
    local format = field.format
    if format == "WORDS" then
        local words = tree:add(range, field.name)
        for at = 0, range:len() - 8, 8 do words:add_le(field.shown, range(at, 8)) end
        return
    end
    local item = tree:add_le(field.shown, range)
    if format == "FLAGS" then
        self:flags(item, field, range)
    elseif format == "ADDRESS" then
        if range:len() == 8 then self:address(item, range)
        else self:address4(item, range) end
    end
end

function Walk:address4(item, range)
    if not self.virtual then return end
    local name = module_name(self.state, UInt64.new(range:le_uint(), 0))
    if not name then return end
    item:append_text((" (%s)"):format(name))
    item:add(others.location, range, name):set_generated()
end

-- Shows RANGE, which lies at offset FIRST of STRUCTURE; returns how many bytes it took.
function Walk:structure(tree, structure, range, first, title)
    local used, size = 0, range and range:len() or 0
    if size == 0 then return 0 end
    local own = type(title) == "userdata" and title or
        tree:add(range(0, math.min(size, structure.size - first)), title or structure.name)
    for _, field in ipairs(structure) do
        local at, finish = first + used, field.at + field.size
        if used < size and finish > at then
            local have = math.min(finish - at, size - used)
            local piece = range(used, have)
            if field.format == "FXSAVE" then
                local save = own:add(field.shown, piece)
                self:structure(own, structures.FxSave, piece, at - field.at, save)
            elseif have == field.size then
                self:field(own, field, piece)
            else
                own:add(others.rest, piece)
            end
            used = used + have
        end
    end
    return used
end

function Walk:run(tree, kind, range)
    if not range or range:len() == 0 then return end
    if kind == "text" then
        tree:add(others.text, range)
    elseif kind == "utf-16" then
        tree:add_packet_field(others.text, range, ENC_UTF_16 + ENC_LITTLE_ENDIAN)
    elseif kind == "command" then
        local name = range:bytes():raw():find("\0", 1, true) or range:len()
        tree:add(others.component, range(0, name))
        if name < range:len() then tree:add(others.command, range(name)) end
    else
        tree:add(data_fields[kind], range)
    end
end

local function behind(range, used)
    return range and used < range:len() and range(used) or nil
end

function Walk:structure_then_run(tree, structure, range, first, kind)
    local used = structure and first < structure.size and
        self:structure(tree, structure, range, first) or 0
    self:run(tree, kind, behind(range, used))
end

function Walk:array(tree, structure, range, kind)
    local index = 0
    while range and range:len() >= structure.size do
        self:structure(tree, structure, range(0, structure.size), 0,
                       ("%s[%d]"):format(structure.name, index))
        range = behind(range, structure.size)
        index = index + 1
    end
    self:run(tree, kind, range)
end

local contexts = {[AMD64] = "ContextAmd64", [I386] = "ContextX86", [ARM64] = "ContextArm64"}

function Walk:context(size)
    local machine = self.state.machine or 0
    if machine ~= 0 then return structures[contexts[machine]] end
    if size == structures.ContextX86.size then return structures.ContextX86 end
    return size == structures.ContextArm64.size and structures.ContextArm64 or
        structures.ContextAmd64
end

function Walk:control_space(tree, range, kind)
    local index = wide(self.body, "ReadMemory", "TargetBaseAddress")
    local small = index:higher() == 0 and index:lower()
    local machine = self.state.machine or 0
    local x86 = structures.ContextX86.size
    if machine == 0 or machine == AMD64 then
        if small == 2 then
            self:structure_then_run(tree, structures.SpecialAmd64, range, 0, kind)
        elseif small and small <= 3 then
            self:structure_then_run(tree, structures.AddressEntry, range, 0, kind)
        else
            self:run(tree, kind, range)
        end
    elseif machine == I386 and small and small < x86 and range:len() <= x86 - small then
        self:structure_then_run(tree, structures.ContextX86, range, small, kind)
    elseif machine == I386 and (not small or small >= x86) then
        local first = small and small - x86 or structures.SpecialX86.size
        self:structure_then_run(tree, structures.SpecialX86, range, first, kind)
    else
        self:run(tree, kind, range)
    end
end

function Walk:memory(tree, range, kind)
    local state = self.state
    local address = wide(self.body, "ReadMemory", "TargetBaseAddress")
    local bits64 = state.machine ~= I386
    local entry = structures.LoaderEntry64
    if not (self.message.reply and self.message.name == "ReadVirtualMemory") then
        self:run(tree, kind, range)
    elseif bits64 and (same(address, state.full_name) or same(address, state.base_name)) then
        self:run(tree, "utf-16", range)
    elseif bits64 and (same(address, state.entry) or same(address, state.next_entry)) and
        range:len() >= entry.size then
        self:structure_then_run(tree, entry, range, 0, kind)
    elseif is_base(state, address) and range:len() >= structures.DosHeader.size and
        range(0, 2):string() == "MZ" then
        self:structure_then_run(tree, structures.DosHeader, range, 0, kind)
    else
        local pe = bits64 and distance(address, state.pe_header, structures.PeHeader64.size)
        local block = distance(address, state.debugger_data, structures.DebuggerData64.size)
        local structure = pe and structures.PeHeader64 or block and structures.DebuggerData64
        self:structure_then_run(tree, structure, range, pe or block or 0, kind)
    end
end

function Walk:data(tree, kind, range)
    local data = tree:add(range, "Data: " .. kind)
    if kind == "memory" then
        local address = wide(self.body, "ReadMemory", "TargetBaseAddress")
        if address ~= ZERO then
            local item = data:add(others.place, range, address):set_generated()
            local name = self.virtual and module_name(self.state, address)
            if name then item:add(others.location, range, name):set_generated() end
        end
        self:memory(data, range, kind)
    elseif kind == "context" then
        self:structure_then_run(data, self:context(range:len()), range, 0, kind)
    elseif kind == "context-part" then
        self:structure_then_run(data, self:context(range:len()), range,
                                number(self.body, "ContextEx", "Offset"), kind)
    elseif kind == "control-space" then
        self:control_space(data, range, kind)
    elseif kind == "addresses" then
        self:array(data, structures.AddressEntry, range, kind)
    elseif kind == "breakpoints" then
        self:array(data, structures.BreakPointEntry, range, kind)
    elseif kind == "handles" then
        self:array(data, structures.HandleEntry, range, kind)
    else
        self:run(data, kind, range)
    end
end

local reports = {[I386] = "ControlReportX86", [ARM_NT] = "ControlReportArm",
                 [ARM64] = "ControlReportArm64"}
local continues = {[I386] = "Continue2X86", [ARM64] = "Continue2Arm64"}
local states = {Exception = true, LoadSymbols = true, CommandString = true}

function Walk:fixed_structures()
    local kind, message, machine = self.packet.type, self.message, self.state.machine or 0
    if kind == MANIPULATE then
        local union = message.info and (message.reply and message.info.reply or
                                        message.info.request) or structures.None
        if message.name == "Continue2" then
            union = structures[continues[machine] or "Continue2Amd64"]
        end
        return {structures.Manipulate, union}
    elseif kind == STATE_CHANGE64 then
        local state = named("StateChange", "NewState", state_of(message.api))
        return {structures.StateChange, structures[states[state] and state or "UnknownState"],
                structures[reports[machine] or "ControlReportAmd64"]}
    elseif kind == DEBUG_IO then return {structures.DebugIo}
    elseif kind == TRACE_IO then return {structures.TraceIo}
    elseif kind == CONTROL_REQUEST then return {structures.ControlRequest}
    elseif kind == FILE_IO then
        return {structures.FileIo, structures[message.name or "UnknownFileIo"]}
    end
    return {}
end

function Walk:data_kind()
    local kind, message = self.packet.type, self.message
    if kind == MANIPULATE then
        return message.info and (message.reply and message.info.reply_data or
                                 message.info.request_data) or "bytes"
    elseif kind == STATE_CHANGE64 then
        local state = named("StateChange", "NewState", state_of(message.api))
        return state == "LoadSymbols" and "text" or state == "CommandString" and "command" or
            "trace"
    elseif kind == DEBUG_IO then return "text"
    elseif kind == TRACE_IO then return "trace"
    elseif kind == FILE_IO then
        if message.name == "CreateFile" then return message.reply and "bytes" or "utf-16" end
        return (message.name == "ReadFile" or message.name == "WriteFile") and "file" or "bytes"
    end
    return "bytes"
end

function Walk:show(tree)
    local body, used = self.body, 0
    for _, structure in ipairs(self:fixed_structures()) do
        if used < body:len() then
            used = used + self:structure(tree, structure, body(used), used)
        end
    end
    local rest = body:len() - used
    if rest <= 0 then return end
    local path = self.packet.type == STATE_CHANGE64 and self:data_kind() == "text" and
        number(body, "LoadSymbols", "PathNameLength") or 0
    if path > 0 and path < rest then
        tree:add(others.extra, body(used, rest - path))
        used = body:len() - path
    end
    self:data(tree, self:data_kind(), body(used))
end

-- Ports, indexes of control space and physical addresses lie in no module.
local not_virtual = {ReadPhysicalMemory = true, WritePhysicalMemory = true,
                     ReadControlSpace = true, WriteControlSpace = true, ReadIoSpace = true,
                     WriteIoSpace = true, ReadIoSpaceExtended = true, WriteIoSpaceExtended = true}

-- ---- sessions, and what a frame saw of them ----

local conversations, frames

function proto.init()
    conversations, frames = {}, {}
end

local function conversation_of(pinfo)
    local a = tostring(pinfo.src) .. ":" .. pinfo.src_port
    local b = tostring(pinfo.dst) .. ":" .. pinfo.dst_port
    local key = a < b and a .. " " .. b or b .. " " .. a
    local conversation = conversations[key]
    if not conversation then
        conversation = {first = a, session = {modules = {}, is_base = is_base}}
        conversations[key] = conversation
    end
    return conversation, a, b
end

local direction_field = Field.new("frame.p2p_dir")
local exported_direction = Field.new("exported_pdu.p2p_dir")

local function only_target_sends(packet)
    if not packet.data or packet.faulty then return false end
    local kind = packet.type
    if kind == 1 or kind == STATE_CHANGE64 or kind == TRACE_IO then return true end
    if kind == DEBUG_IO then
        return packet.body:len() >= types[DEBUG_IO].fixed and
            named("DebugIo", "ApiNumber", packet.body(0, 4):le_uint()) == "PrintString"
    end
    return packet.id == 0x80800800 or packet.id == 0x80800801
end

local function direction_of(pinfo, packet, records)
    local recorded = records and (exported_direction() or direction_field())
    if recorded and recorded.value == 0 then return TO_TARGET end
    if recorded and recorded.value == 1 then return TO_DEBUGGER end
    local conversation, sender, receiver = conversation_of(pinfo)
    if not conversation.debugger and only_target_sends(packet) then
        conversation.debugger = receiver
    end
    if conversation.debugger then
        return sender == conversation.debugger and TO_TARGET or TO_DEBUGGER
    end
    if pinfo.src_port == 51111 and pinfo.dst_port == 51112 then return TO_TARGET end
    if pinfo.src_port == 51112 and pinfo.dst_port == 51111 then return TO_DEBUGGER end
    if packet.type == MANIPULATE and not packet.faulty and packet.body then
        return looks_like_reply(packet.body, apis[packet.body:len() >= 4 and
                                                  packet.body(0, 4):le_uint() or 0]) and
            TO_DEBUGGER or TO_TARGET
    end
    return sender == conversation.first and TO_TARGET or TO_DEBUGGER
end

local function copy(session)
    local one = {}
    for name, value in pairs(session) do one[name] = value end
    one.modules_seen = #session.modules
    return one
end

-- The state before the packet; on the first pass the packet is learnt from.
local function state_of_packet(pinfo, packet, direction, message)
    local seen = frames[pinfo.number]
    if not seen then
        seen = {}
        frames[pinfo.number] = seen
    end
    local key = packet.index
    if not seen[key] then
        local session = packet.session or conversation_of(pinfo).session
        local state = copy(session)
        learn(session, packet, message)
        local last = session.modules[#session.modules]
        if #session.modules > state.modules_seen and last.size > 0 then
            state.modules_seen = #session.modules
        end
        seen[key] = {state = state, direction = direction}
    end
    return seen[key].state, seen[key].direction
end

-- ---- one packet ----

local function checksum(range)
    local sum = 0
    local raw = range:bytes():raw()
    for i = 1, #raw do sum = sum + raw:byte(i) end
    return sum
end

local function add_info(pinfo, text)
    local before = tostring(pinfo.cols.info)
    if pinfo.private.kdwire == "1" then pinfo.cols.info:append("; " .. text)
    else pinfo.cols.info:set(text) end
    pinfo.private.kdwire = "1"
    return before
end

local function generated(tree, field, value)
    tree:add(field, value):set_generated()
end

local EMPTY = ByteArray.new()

local function show_packet(tvb, at, size, packet, pinfo, tree, options)
    local range = tvb(at, size)
    packet.body = packet.size > 0 and tvb(at + HEADER, packet.size):tvb() or EMPTY:tvb("empty")
    local direction = options.direction or direction_of(pinfo, packet, options.records)
    local message = message_of(packet, direction)
    packet.session, packet.index = options.session, at
    local state
    state, direction = state_of_packet(pinfo, packet, direction, message)
    local top = tree:add(proto, range, "Windows Kernel Debugger, " .. (message.name or "packet"))
    local walk = setmetatable({packet = packet, body = packet.body, message = message,
                               state = state}, Walk)
    walk.virtual = not (packet.type == MANIPULATE and not_virtual[message.name or ""])
    local head = walk:structure(top, structures.PacketHeader, range, 0)
    if packet.size > 0 then
        walk.body = tvb(at + HEADER, packet.size)
        walk:show(top)
    end
    if size > head + packet.size then
        top:add(others.trailer, tvb(at + head + packet.size, size - head - packet.size))
    end
    generated(top, others.direction, direction)
    if message.name then generated(top, others.message, message.name) end
    if message.reply or message.asks then
        generated(top, others.role, message.reply and "reply" or "request")
    end
    for _, fault in ipairs(packet.faults) do top:add_proto_expert_info(experts[fault]) end
    pinfo.cols.protocol = "KD"
    local words = message.name or "packet"
    if message.reply then words = words .. " reply" elseif message.asks then
        words = words .. " request" end
    if packet.type == DEBUG_IO and packet.size > types[DEBUG_IO].fixed then
        local text = packet.body(types[DEBUG_IO].fixed):string()
        words = ("%s: %q"):format(words, text)
    elseif message.name and message.name:find("Memory") then
        words = ("%s: 0x%s"):format(words, wide(packet.body, "ReadMemory",
                                                "TargetBaseAddress"):tohex(-16))
    end
    add_info(pinfo, words)
end

-- Reads a header at AT; nil if there is none or not all of it.
local function packet_at(tvb, at, trailer)
    local have = tvb:len() - at
    local leader = have >= 4 and tvb(at, 4):string()
    if leader ~= "0000" and leader ~= "iiii" then return nil end
    if have < HEADER then return {need = HEADER - have} end
    local header = tvb(at, HEADER)
    local packet = {data = leader == "0000", type = header(4, 2):le_uint(),
                    size = header(6, 2):le_uint(), id = header(8, 4):le_uint(), faults = {}}
    if not packet.data then
        packet.size = 0
        packet.whole = HEADER
        return packet
    end
    if packet.size > BODY_MAX then
        packet.size, packet.whole, packet.faulty = 0, HEADER, true
        packet.faults[1] = "length"
        return packet
    end
    packet.whole = HEADER + packet.size + (trailer and 1 or 0)
    if have < packet.whole then
        packet.need = packet.whole - have
        return packet
    end
    if checksum(tvb(at + HEADER, packet.size)) ~= header(12, 4):le_uint() then
        packet.faults[#packet.faults + 1] = "checksum"
    end
    if trailer and tvb(at + packet.whole - 1, 1):uint() ~= 0xAA then
        packet.faults[#packet.faults + 1] = "trailer"
    end
    packet.faulty = #packet.faults > 0
    return packet
end

local function show_junk(tvb, at, size, pinfo, tree)
    local top = tree:add(proto, tvb(at, size), "Windows Kernel Debugger, bytes of no packet")
    top:add(others.junk, tvb(at, size))
    top:add(others.text, tvb(at, size))
    top:add_proto_expert_info(experts.junk)
    add_info(pinfo, ("junk, %d bytes"):format(size))
end

local function show_break_in(tvb, at, pinfo, tree, options)
    local top = tree:add(proto, tvb(at, 1), "Windows Kernel Debugger, break-in")
    top:add(others.break_in, tvb(at, 1))
    local packet = {faults = {}, size = 0}
    local direction = options.direction or direction_of(pinfo, packet, options.records)
    generated(top, others.direction, direction)
    add_info(pinfo, "break-in")
end

-- Up to the next leader.
local function junk_size(tvb, at)
    local rest = tvb(at):bytes():raw()
    local data, control = rest:find("0000", 1, true), rest:find("iiii", 1, true)
    local next_leader = math.min(data or #rest + 1, control or #rest + 1)
    return next_leader - 1
end

-- Everything in TVB; returns what is left over and how many bytes are missing, for TCP.
local function show_all(tvb, pinfo, tree, options)
    local at = 0
    pinfo.private.kdwire = "0"
    while at < tvb:len() do
        local packet = packet_at(tvb, at, options.trailer)
        if packet and packet.need then
            if options.more then return at, packet.need end
            if not packet.faults then
                show_junk(tvb, at, tvb:len() - at, pinfo, tree)
                return
            end
            packet.faults[1], packet.faulty = "cut", true
            packet.size = math.min(packet.size, tvb:len() - at - HEADER)
            packet.whole = tvb:len() - at
        end
        if packet then
            show_packet(tvb, at, packet.whole, packet, pinfo, tree, options)
            at = at + packet.whole
        elseif tvb(at, 1):uint() == 0x62 then
            show_break_in(tvb, at, pinfo, tree, options)
            at = at + 1
        else
            local size = junk_size(tvb, at)
            show_junk(tvb, at, size, pinfo, tree)
            at = at + size
        end
    end
end

-- ---- the ways KD comes ----

-- Packets from KDNET have no trailer.
local function has_trailer(tvb)
    return not (tvb:len() >= HEADER and tvb(0, 4):string() == "0000" and
                tvb:len() == HEADER + tvb(6, 2):le_uint())
end

local function dissect_record(tvb, pinfo, tree, records)
    pinfo.cols.protocol = "KD"
    if tvb:len() == 0 then return 0 end
    show_all(tvb, pinfo, tree, {trailer = has_trailer(tvb), records = records})
    return tvb:len()
end

function proto.dissector(tvb, pinfo, tree)
    if pinfo.port_type == 2 and not exported_direction() and pinfo.can_desegment > 0 then
        local at, need = show_all(tvb, pinfo, tree, {trailer = true, more = true})
        if at then
            pinfo.desegment_offset = at
            pinfo.desegment_len = need
        end
        return tvb:len()
    end
    return dissect_record(tvb, pinfo, tree, pinfo.match_uint == nil or true)
end

local function begins_a_packet(tvb)
    if tvb:len() < HEADER then return nil end
    local leader, kind, size = tvb(0, 4):string(), tvb(4, 2):le_uint(), tvb(6, 2):le_uint()
    if leader == "iiii" then
        return kind >= ACKNOWLEDGE and kind <= RESET and size == 0 and tvb(12, 4):le_uint() == 0 and
            HEADER
    end
    return leader == "0000" and types[kind] and kind ~= 0 and size > 0 and size <= BODY_MAX and
        HEADER + size
end

proto:register_heuristic("udp", function(tvb, pinfo, tree)
    local need = begins_a_packet(tvb)
    if not need or (tvb:len() ~= need and tvb:len() ~= need + 1) then return false end
    dissect_record(tvb, pinfo, tree, false)
    return true
end)

proto:register_heuristic("tcp", function(tvb, pinfo, tree)
    if not begins_a_packet(tvb) then return false end
    pinfo.conversation = proto
    proto.dissector(tvb, pinfo, tree)
    return true
end)

DissectorTable.get("tcp.port"):add_for_decode_as(proto)
DissectorTable.get("udp.port"):add_for_decode_as(proto)

-- ---- KDNET: hashes, ciphers, keys ----

local kdnet = Proto.new("kdnet", "Kernel Debugger over Network")
kdnet.prefs.key = Pref.string("Keys", "", "w.x.y.z as bcdedit /dbgsettings shows it; several are " ..
                              "separated by blanks")

local net = {
    magic = ProtoField.string("kdnet.magic", "Magic"),
    version = ProtoField.uint8("kdnet.version", "Version"),
    channel = ProtoField.uint8("kdnet.channel", "Channel", base.DEC, {[0] = "data", "control"}),
    encrypted = ProtoField.bytes("kdnet.encrypted", "Encrypted"),
    tag = ProtoField.bytes("kdnet.tag", "Authenticator"),
    authentic = ProtoField.bool("kdnet.authentic", "Authentic"),
    sequence = ProtoField.uint64("kdnet.sequence", "Sequence number"),
    direction = ProtoField.uint8("kdnet.direction", "Direction", base.DEC, {
        [0] = "target to debugger", "debugger to target"}),
    pad_size = ProtoField.uint8("kdnet.padding_length", "Length of the padding"),
    padding = ProtoField.bytes("kdnet.padding", "Padding"),
    payload = ProtoField.bytes("kdnet.payload", "Payload"),
}
local net_fields = {}
for _, field in pairs(net) do net_fields[#net_fields + 1] = field end

-- The fields of payloads that are not KD, by their names.
local function layout_fields(prefix, titles, into, ...)
    for _, layout in ipairs({...}) do
        for _, part in ipairs(layout) do
            local filter, title = prefix .. part.name, titles[part.name] or part.name
            if part.name == "kind" then
                into.kind = into.kind or
                    ProtoField.uint8(filter, title, base.DEC, {"poke", "response"})
            elseif not into[part.name] then
                into[part.name] = part.size == 1 and ProtoField.uint8(filter, title) or
                    part.size == 2 and ProtoField.uint16(filter, title) or
                    part.size == 4 and ProtoField.ipv4(filter, title) or
                    part.size == 16 and ProtoField.ipv6(filter, title) or
                    ProtoField.bytes(filter, title)
            end
        end
    end
    for _, field in pairs(into) do net_fields[#net_fields + 1] = field end
    return into
end
local control_fields = layout_fields("kdnet.control.", {
    first = "First byte", kind = "Kind", client_key = "Client key", host_key = "Host key",
    source = "Source address", source_port = "Source port", destination = "Destination address",
    destination_port = "Destination port", host = "Address of the debugger it is bound to",
    host_port = "Port of the debugger it is bound to", zeros = "Zeros"}, {}, poke_layout,
    response_layout)
local check_fields = layout_fields("kdnet.check.", {
    zeros = "Zeros", host = "Debugger's address"}, {}, check_layout)
kdnet.fields = net_fields
local no_cipher = ProtoExpert.new("kdnet.expert.no_cipher", "This Wireshark's Lua has no cipher: " ..
    "decryption needs Wireshark 4.6, the module luagcrypt, or kdwire's plugin",
    expert.group.DECRYPTION, expert.severity.WARN)
local no_key = ProtoExpert.new("kdnet.expert.no_key", "Encrypted: set a key in Preferences > " ..
    "Protocols > KDNET (or -o kdnet.key:w.x.y.z)", expert.group.DECRYPTION, expert.severity.NOTE)
local wrong_key = ProtoExpert.new("kdnet.expert.wrong_key", "No key fits, or the session's " ..
    "beginning is not in this capture", expert.group.DECRYPTION, expert.severity.WARN)
kdnet.experts = {no_cipher, no_key, wrong_key}

local band, bxor, bnot, rshift, ror, tobit = bit.band, bit.bxor, bit.bnot, bit.rshift, bit.ror,
    bit.tobit

-- SHA-256 (FIPS 180-4). Its constants are the first bits of the fractions of square and cube roots
-- of primes, computed here.
local round_constants, first_state = {}, {}
do
    local function fraction_bits(root) return tobit(math.floor((root % 1) * 4294967296)) end
    -- Newton's step mends the last bits of the power function
    local function cube_root(n)
        local x = n ^ (1 / 3)
        return x - (x * x * x - n) / (3 * x * x)
    end
    local candidate = 2
    while #round_constants < 64 do
        local is_prime = true
        for divisor = 2, math.floor(math.sqrt(candidate)) do
            if candidate % divisor == 0 then is_prime = false break end
        end
        if is_prime then
            if #first_state < 8 then
                first_state[#first_state + 1] = fraction_bits(math.sqrt(candidate))
            end
            round_constants[#round_constants + 1] = fraction_bits(cube_root(candidate))
        end
        candidate = candidate + 1
    end
end

local function be32(value)
    value = value % 4294967296
    return string.char(math.floor(value / 16777216) % 256, math.floor(value / 65536) % 256,
                       math.floor(value / 256) % 256, math.floor(value) % 256)
end

local function sha256(text)
    local state, w = {}, {}
    for i = 1, 8 do state[i] = first_state[i] end
    local size = #text
    text = text .. "\128" .. ("\0"):rep((55 - size) % 64) .. be32(0) .. be32(size * 8)
    for block = 1, #text, 64 do
        for i = 0, 15 do
            local a, b, c, d = text:byte(block + 4 * i, block + 4 * i + 3)
            w[i] = tobit(a * 16777216 + b * 65536 + c * 256 + d)
        end
        for i = 16, 63 do
            local x, y = w[i - 15], w[i - 2]
            w[i] = tobit(w[i - 16] + bxor(ror(x, 7), ror(x, 18), rshift(x, 3)) + w[i - 7] +
                         bxor(ror(y, 17), ror(y, 19), rshift(y, 10)))
        end
        local a, b, c, d, e, f, g, h = state[1], state[2], state[3], state[4], state[5], state[6],
            state[7], state[8]
        for i = 0, 63 do
            local one = tobit(h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) +
                              bxor(band(e, f), band(bnot(e), g)) + round_constants[i + 1] + w[i])
            local two = tobit(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) +
                              bxor(band(a, b), band(a, c), band(b, c)))
            h, g, f, e, d, c, b, a = g, f, e, tobit(d + one), c, b, a, tobit(one + two)
        end
        local add = {a, b, c, d, e, f, g, h}
        for i = 1, 8 do state[i] = tobit(state[i] + add[i]) end
    end
    for i = 1, 8 do state[i] = be32(state[i]) end
    return table.concat(state)
end

local function xor_all(text, value)
    return (text:gsub(".", function(c) return string.char(bxor(c:byte(), value)) end))
end

local function hmac(key, text)
    key = key .. ("\0"):rep(64 - #key)
    return sha256(xor_all(key, 0x5c) .. sha256(xor_all(key, 0x36) .. text))
end

local found, luagcrypt = pcall(require, "luagcrypt")
luagcrypt = found and luagcrypt or nil
local has_cipher = GcryptCipher ~= nil or luagcrypt ~= nil

local function decrypt(key, vector, text)
    if GcryptCipher then
        local cipher = GcryptCipher.open(GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0)
        cipher:setkey(ByteArray.new(key, true))
        cipher:setiv(ByteArray.new(vector, true))
        return cipher:decrypt(NULL, ByteArray.new(text, true)):raw()
    end
    local cipher = luagcrypt.Cipher(luagcrypt.CIPHER_AES256, luagcrypt.CIPHER_MODE_CBC)
    cipher:setkey(key)
    cipher:setiv(vector)
    return cipher:decrypt(text)
end

-- "w.x.y.z": four numbers in base 36, each as 8 bytes, the lowest first.
local function parse_key(text)
    local bytes, parts = {}, 0
    for part in (text .. "."):gmatch("([^.]*)%.") do
        parts = parts + 1
        if not part:match("^%w+$") or #part > 13 then return nil end
        local value = {0, 0, 0, 0, 0, 0, 0, 0}
        for digit in part:gmatch(".") do
            local carry = tonumber(digit, 36)
            for i = 1, 8 do
                local sum = value[i] * 36 + carry
                value[i], carry = sum % 256, math.floor(sum / 256)
            end
            if carry > 0 then return nil end
        end
        for i = 1, 8 do bytes[#bytes + 1] = string.char(value[i]) end
    end
    return parts == 4 and table.concat(bytes) or nil
end

local function control_keys()
    local keys = {}
    for word in kdnet.prefs.key:gmatch("[^%s,;]+") do keys[#keys + 1] = parse_key(word) end
    return keys
end

-- ---- KDNET datagrams ----

local session_keys, opened -- {key =, control =}; by frame, what opened it
local DATA_HEADER = 8 -- sequence number; direction and length of the padding

function kdnet.init()
    session_keys, opened = {}, {}
end

-- The last byte of the data header: how much padding, and whether the debugger sent it.
local function padding_and_sender(plain)
    local last = plain:byte(DATA_HEADER)
    return last % 16, last >= 128
end

local function open_with(key, control, clear, text, tag)
    local plain = decrypt(key, tag, text)
    local want = hmac(xor_all(control, 0xff), clear .. plain)
    local fits = padding_and_sender(plain) <= #plain - DATA_HEADER
    return want:sub(1, 16) == tag and fits and plain or nil
end

local function open_datagram(raw, channel)
    local clear, text, tag = raw:sub(1, 6), raw:sub(7, -17), raw:sub(-16)
    if channel == 1 then
        for _, key in ipairs(control_keys()) do
            local plain = open_with(key, key, clear, text, tag)
            if plain then return {plain = plain, control = key} end
        end
        return nil
    end
    for i = #session_keys, 1, -1 do
        local keys = session_keys[i]
        local plain = open_with(keys.key, keys.control, clear, text, tag)
        if plain then return {plain = plain, session = keys.session} end
    end
end

local function learn_response(frame)
    local plain = frame.plain
    local pad, from_debugger = padding_and_sender(plain)
    local payload = plain:sub(DATA_HEADER + 1, #plain - pad)
    if not from_debugger or #payload ~= 322 or payload:sub(1, 2) ~= "\1\2" then return end
    local key = sha256(frame.control .. payload)
    for _, known in ipairs(session_keys) do
        if known.key == key then return end
    end
    session_keys[#session_keys + 1] = {key = key, control = frame.control,
                                       session = {modules = {}, is_base = is_base}}
end

local function layout_size(layout)
    local size = 0
    for _, part in ipairs(layout) do size = size + part.size end
    return size
end

-- SIZE bytes of payload at byte 8 of PLAIN, as far as they go.
local function add_layout(own, plain, size, layout, fields, how)
    local at = 8
    for _, part in ipairs(layout) do
        if at - 8 + part.size > size then return end
        local swap = how == "add_le" and part.size <= 4
        own[swap and "add_le" or "add"](own, fields[part.name], plain(at, part.size))
        at = at + part.size
    end
end

local function show_plain(frame, pinfo, own, root, channel)
    local plain = ByteArray.new(frame.plain, true):tvb("Decrypted KDNET")
    local pad, from_debugger = padding_and_sender(frame.plain)
    local size = plain:len() - DATA_HEADER - pad
    own:add(net.sequence, plain(0, 7), plain(0, 7):uint64())
    own:add(net.direction, plain(7, 1), from_debugger and 1 or 0)
    own:add(net.pad_size, plain(7, 1), pad)
    if pad > 0 then own:add(net.padding, plain(8 + size, pad)) end
    if size <= 0 then return end
    local kind = channel == 1 and size >= 2 and plain(8, 1):uint() == 1 and plain(9, 1):uint()
    if channel == 1 and kind == 2 and size == layout_size(response_layout) then
        add_layout(own, plain, size, response_layout, control_fields, "add")
        pinfo.cols.info = "response to a poke: a session begins"
    elseif channel == 1 and kind == 1 and (size == layout_size(poke_layout) or size == 34) then
        add_layout(own, plain, size, poke_layout, control_fields, "add")
        pinfo.cols.info = "poke: the target is there"
    elseif channel == 1 then
        own:add(net.payload, plain(8, size))
        pinfo.cols.info = "control"
    elseif size == layout_size(check_layout) and not from_debugger and
        plain(8, 8):raw() == ("\0"):rep(8) then
        add_layout(own, plain, size, check_layout, check_fields, "add_le")
        pinfo.cols.info = "connection check: the target's session begins"
    else
        show_all(plain(8, size):tvb(), pinfo, root, {
            trailer = false, session = frame.session,
            direction = from_debugger and TO_TARGET or TO_DEBUGGER})
    end
end

local function dissect_kdnet(tvb, pinfo, tree)
    local channel = tvb(5, 1):uint()
    pinfo.cols.protocol = "KDNET"
    local own = tree:add(kdnet, tvb())
    own:add(net.magic, tvb(0, 4))
    own:add(net.version, tvb(4, 1))
    own:add(net.channel, tvb(5, 1))
    own:add(net.encrypted, tvb(6, tvb:len() - 22))
    own:add(net.tag, tvb(tvb:len() - 16, 16))
    pinfo.cols.info = (channel == 1 and "control" or "data") .. ": encrypted"
    if not has_cipher then
        own:add_proto_expert_info(no_cipher)
        return
    end
    if kdnet.prefs.key == "" then
        own:add_proto_expert_info(no_key)
        return
    end
    local frame = opened[pinfo.number] or open_datagram(tvb:raw(), channel)
    own:add(net.authentic, frame ~= nil):set_generated()
    if not frame then
        own:add_proto_expert_info(wrong_key)
        return
    end
    opened[pinfo.number] = frame
    if channel == 1 then learn_response(frame) end
    show_plain(frame, pinfo, own, tree, channel)
end

local function is_kdnet(tvb)
    return tvb:len() >= 38 and (tvb:len() - 22) % 16 == 0 and tvb(0, 4):string() == "MDBG" and
        tvb(5, 1):uint() <= 1
end

function kdnet.dissector(tvb, pinfo, tree)
    if not is_kdnet(tvb) then return 0 end
    dissect_kdnet(tvb, pinfo, tree)
    return tvb:len()
end

kdnet:register_heuristic("udp", function(tvb, pinfo, tree)
    return is_kdnet(tvb) and kdnet.dissector(tvb, pinfo, tree) > 0
end)
DissectorTable.get("udp.port"):add_for_decode_as(kdnet)
