# SPDX-License-Identifier: BSD-2-Clause
"""A small KD debugger, written on its own from the protocol's description.

It shares no line with the C library, so that a mistake made once in the C code (an offset, an id, a
length) is not made again by the tests. It speaks the serial form of the link (ids that toggle, the
SYNC bit, a trailer byte) over a connected socket, and it is strict: whatever the target must not
send is an error here, not something to shrug at.
"""

import select
import struct
import time

INITIAL_ID = 0x80800000
SYNC = 0x800
DATA_LEADER = b"0000"
CONTROL_LEADER = b"iiii"
BREAK_IN = b"b"

STATE_MANIPULATE, DEBUG_IO, ACK, RESEND, RESET, STATE_CHANGE64 = 2, 3, 4, 5, 6, 7
TRACE_IO, CONTROL_REQUEST, FILE_IO = 9, 10, 11
MAX_BODY = 4000                     # the protocol's largest body
MAX_DATA = MAX_BODY - 56            # data of one manipulate packet

READ_VIRTUAL, WRITE_VIRTUAL, GET_CONTEXT, SET_CONTEXT = 0x3130, 0x3131, 0x3132, 0x3133
WRITE_BREAKPOINT, RESTORE_BREAKPOINT, CONTINUE = 0x3134, 0x3135, 0x3136
READ_CONTROL, WRITE_CONTROL, READ_IO, WRITE_IO, REBOOT = 0x3137, 0x3138, 0x3139, 0x313A, 0x313B
CONTINUE2, READ_PHYSICAL, WRITE_PHYSICAL, GET_VERSION = 0x313C, 0x313D, 0x313E, 0x3146
SWITCH_PROCESSOR, READ_MSR, WRITE_MSR, SEARCH_MEMORY, FILL_MEMORY = 0x3150, 0x3152, 0x3153, 0x3156, 0x315B
QUERY_MEMORY = 0x315C

EXCEPTION, LOAD_SYMBOLS, COMMAND_STRING = 0x3030, 0x3031, 0x3032
PRINT_STRING, GET_STRING = 0x3230, 0x3231

STATUS_BREAKPOINT, STATUS_SINGLE_STEP = 0x80000003, 0x80000004
STATUS_ACCESS_VIOLATION = 0xC0000005
STATUS_UNSUCCESSFUL = 0xC0000001
DBG_EXCEPTION_HANDLED, DBG_CONTINUE = 0x00010001, 0x00010002
DBG_EXCEPTION_NOT_HANDLED = 0x80010001

TRAP_FLAG, RESUME_FLAG, INTERRUPT_FLAG = 0x100, 0x10000, 0x200

# Offsets in the AMD64 CONTEXT (1232 bytes): name -> (offset, struct format).
CONTEXT_SIZE = 0x4D0
CONTEXT_FIELDS = {"ContextFlags": (0x30, "<I"), "MxCsr": (0x34, "<I"), "EFlags": (0x44, "<I"),
                  "Rip": (0xF8, "<Q")}
for _i, _n in enumerate(("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs")):
    CONTEXT_FIELDS[_n] = (0x38 + 2 * _i, "<H")
for _i, _n in enumerate(("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp",
                         "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15")):
    CONTEXT_FIELDS[_n] = (0x48 + 8 * _i, "<Q")
XMM_OFFSET = 0x1A0

# Offsets in KSPECIAL_REGISTERS.
SPECIAL_SIZE = 0xE0
SPECIAL_FIELDS = {"Cr0": (0x00, "<Q"), "Cr2": (0x08, "<Q"), "Cr3": (0x10, "<Q"), "Cr4": (0x18, "<Q"),
                  "KernelDr0": (0x20, "<Q"), "KernelDr1": (0x28, "<Q"), "KernelDr2": (0x30, "<Q"),
                  "KernelDr3": (0x38, "<Q"), "KernelDr6": (0x40, "<Q"), "KernelDr7": (0x48, "<Q"),
                  "GdtrLimit": (0x56, "<H"), "GdtrBase": (0x58, "<Q"), "IdtrLimit": (0x66, "<H"),
                  "IdtrBase": (0x68, "<Q"), "Tr": (0x70, "<H"), "Cr8": (0xA0, "<Q")}


class KdError(Exception):
    """The target broke the protocol, or did not answer in time."""


class Closed(KdError):
    """The other end hung up."""


class LinkReset(KdError):
    """The target reset the link: what was under way is lost, and a stop is reported anew."""


class Fields:
    """Named fields over a block of bytes: `context.Rip`, `context.Rip = 1`."""

    def __init__(self, raw, fields):
        object.__setattr__(self, "raw", bytearray(raw))
        object.__setattr__(self, "fields", fields)

    def __getattr__(self, name):
        if name not in self.fields:
            raise AttributeError(name)
        offset, form = self.fields[name]
        return struct.unpack_from(form, self.raw, offset)[0]

    def __setattr__(self, name, value):
        offset, form = self.fields[name]
        struct.pack_into(form, self.raw, offset, value)

    def xmm(self, index):
        return bytes(self.raw[XMM_OFFSET + 16 * index:XMM_OFFSET + 16 * index + 16])

    def set_xmm(self, index, value):
        assert len(value) == 16
        self.raw[XMM_OFFSET + 16 * index:XMM_OFFSET + 16 * index + 16] = value


class Stop:
    """One state change, taken apart."""

    def __init__(self, body):
        if len(body) < 240:
            raise KdError(f"state change of {len(body)} bytes, at least 240 expected")
        (self.state, self.level, self.processor, self.processors, _, self.thread,
         self.pc) = struct.unpack_from("<IHHIIQQ", body, 0)
        self.body = body
        self.is_exception = self.state == EXCEPTION
        if self.is_exception:
            self.code, self.flags, self.record, self.address, self.parameters = struct.unpack_from("<IIQQI", body, 0x20)
            self.information = struct.unpack_from("<15Q", body, 0x40)
            self.first_chance = struct.unpack_from("<I", body, 0xB8)[0]
        elif self.state == LOAD_SYMBOLS:
            (length, _, self.base, self.process, self.checksum, self.size,
             self.unload) = struct.unpack_from("<IIQQIIB", body, 0x20)
            if length > len(body) - 240:
                raise KdError("image path longer than the packet")
            self.name = body[len(body) - length:].rstrip(b"\0").decode("ascii") if length else ""
            if length and body[-1] != 0:
                raise KdError("image path without its NUL")
        self.dr6, self.dr7, self.eflags, count, self.report_flags = struct.unpack_from("<QQIHH", body, 0xC0)
        if count > 16:
            raise KdError(f"instruction stream of {count} bytes")
        self.instructions = body[0xD8:0xD8 + count]
        self.cs, self.ds, self.es, self.fs = struct.unpack_from("<4H", body, 0xE8)

    def __repr__(self):
        if self.is_exception:
            return f"<exception {self.code:08x} at {self.pc:x}>"
        if self.state == LOAD_SYMBOLS:
            return f"<{'un' if self.unload else ''}load {self.name} at {self.base:x}>"
        return f"<state {self.state:x}>"


class Kd:
    """A debugger on one connected socket (or anything with fileno/recv/sendall)."""

    ACK_WAIT = 3.0          # seconds before a packet is sent again; emulated machines are slow
    TRIES = 10

    def __init__(self, sock, patience=60.0):
        self.sock = sock
        self.patience = patience
        self.buffer = bytearray()
        self.out_id = self.in_id = INITIAL_ID
        self.awaiting_reset = False
        self.resets_sent = 0
        self.acked = None
        self.resend_asked = False
        self.prints = ""
        self.noise = bytearray()        # bytes outside packets: console text lands here
        self.modules = {}               # base -> Stop of the load
        self.loads = []                 # every load and unload, in order
        self.stops = []                 # state changes not yet taken by wait_stop
        self.replies = []
        self.prompts = []
        self.stop = None
        self.packets_in = 0
        self.duplicates = 0
        self.resends = 0
        self.log = []

    # ---- link -------------------------------------------------------------------------------

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            return False
        data = self.sock.recv(65536)
        if not data:
            raise Closed("the target's end of the line was closed")
        self.buffer += data
        return True

    def _take(self):
        """One packet from the buffer as (type, id, body), or None if it is not whole yet."""
        buf = self.buffer
        while True:
            at = min((i for i in (buf.find(DATA_LEADER), buf.find(CONTROL_LEADER)) if i >= 0), default=-1)
            if at < 0:
                keep = 3 if len(buf) >= 3 else len(buf)
                while keep and buf[-keep:] not in (b"0" * keep, b"i" * keep):
                    keep -= 1
                self.noise += buf[:len(buf) - keep]
                del buf[:len(buf) - keep]
                return None
            self.noise += buf[:at]
            del buf[:at]
            if len(buf) < 16:
                return None
            data = buf[:4] == DATA_LEADER
            kind, count, number, checksum = struct.unpack_from("<HHII", buf, 4)
            if not data:
                if kind not in (ACK, RESEND, RESET) or count or checksum:
                    raise KdError(f"bad control packet {bytes(buf[:16]).hex()}")
                del buf[:16]
                return kind, number, None
            if count > MAX_BODY:
                if self.packets_in:
                    raise KdError(f"body of {count} bytes")
                self.noise += buf[:1]       # text of a console that had the line before: no packet at all
                del buf[:1]
                continue
            if len(buf) < 17 + count:
                return None
            body, trailer = bytes(buf[16:16 + count]), buf[16 + count]
            del buf[:17 + count]
            if trailer != 0xAA or sum(body) & 0xFFFFFFFF != checksum:
                raise KdError(f"damaged packet type {kind}: {body[:32].hex()}")
            return kind, number, body

    def _control(self, kind, number=0):
        if kind == RESET:
            self.resets_sent += 1
        self.sock.sendall(CONTROL_LEADER + struct.pack("<HHII", kind, 0, number, 0))

    def _one(self, deadline):
        """Handle one packet; False at the deadline."""
        while True:
            packet = self._take()
            if packet:
                break
            if not self._fill(deadline):
                return False
        kind, number, body = packet
        self.packets_in += 1
        self.log.append((time.monotonic(), kind, number, len(body or b"")))
        if kind == ACK:
            self.acked = number
        elif kind == RESEND:
            self.resend_asked = True
            self.resends += 1
        elif kind == RESET:
            self.out_id = self.in_id = INITIAL_ID
            if self.resets_sent:
                self.resets_sent -= 1       # an answer, perhaps a late one; answering it would never end
            else:
                self._control(RESET)
                self.resets_sent = 0        # it will not be answered again
            self.awaiting_reset = False
        else:
            if number & SYNC:
                self.in_id = number & ~SYNC
                self.out_id = INITIAL_ID
                self.awaiting_reset = False     # what was sent before nobody heard
            number &= ~SYNC
            self._control(ACK, number)
            if number == self.in_id:
                self.in_id ^= 1
                self._deliver(kind, body)
            else:
                self.duplicates += 1
        return True

    def _deliver(self, kind, body):
        if kind == STATE_MANIPULATE:
            if len(body) < 56:
                raise KdError("manipulate reply below 56 bytes")
            self.replies.append(body)
        elif kind == STATE_CHANGE64:
            self.stops.append(Stop(body))
        elif kind == DEBUG_IO:
            api, _, _, length, wanted = struct.unpack_from("<IHHII", body, 0)
            if len(body) != 16 + length:
                raise KdError("debug text with a wrong length")
            text = body[16:].decode("latin-1")
            self.prints += text
            if api == GET_STRING:
                self.prompts.append((text, wanted))
        elif kind in (FILE_IO, TRACE_IO, CONTROL_REQUEST):
            pass
        else:
            raise KdError(f"unknown packet type {kind}")

    def _send(self, kind, body):
        """Send a data packet until it is acknowledged."""
        packet = DATA_LEADER + struct.pack("<HHII", kind, len(body), self.out_id, sum(body) & 0xFFFFFFFF) + body + b"\xaa"
        number = self.out_id
        have = len(self.replies) + len(self.stops)
        for _ in range(self.TRIES):
            self.acked, self.resend_asked = None, False
            self.sock.sendall(packet)
            deadline = time.monotonic() + self.ACK_WAIT
            while self.acked != number and not self.resend_asked:
                if not self._one(deadline):
                    break
                if self.out_id != number and self.acked != number:
                    raise LinkReset("the target reset the link while a packet was under way")
                if len(self.replies) + len(self.stops) > have:
                    break           # an answer is as good as an ACK
            else:
                if self.acked == number:
                    self.out_id = number ^ 1
                    return
                continue
            if len(self.replies) + len(self.stops) > have:
                self.out_id = number ^ 1
                return
            self.resends += 1
        raise KdError("packet never acknowledged")

    # ---- attach, stops, prints --------------------------------------------------------------

    def attach(self, seconds=None, break_in=False, reset_after=2.0):
        """Wait for a stopped target (or stop it); returns the stop.

        A target that is stopping now reports by itself; one that stopped long ago is woken by RESET,
        and then its report comes once more, which is why the answer to the RESET is waited for.
        A machine that is still booting wants a debugger that only listens: a large reset_after.
        """
        deadline = time.monotonic() + (seconds or self.patience)
        if break_in:
            self.sock.sendall(BREAK_IN)
        stop = None
        while time.monotonic() < deadline:
            until = min(deadline, time.monotonic() + reset_after)
            while not (stop and not self.awaiting_reset) and self._one(until):
                stop = self._take_stop() or stop
            if stop and not self.awaiting_reset:
                return stop
            if not stop:
                self.awaiting_reset = True
                self._control(RESET)
        raise KdError("the target does not answer; the line carried: " + bytes(self.noise[-200:]).decode("latin-1"))

    def reset(self):
        """RESET to a stopped target: it answers RESET and reports its stop again."""
        self.stops.clear()
        self.awaiting_reset = True
        self._control(RESET)
        return self.wait_stop()

    def answer(self, text):
        """Answer the oldest prompt."""
        self.prompts.pop(0)
        raw = text.encode("latin-1")
        self._send(DEBUG_IO, struct.pack("<IHHII", GET_STRING, 0, 0, 0, len(raw)) + raw)

    def _take_stop(self, loads=False):
        while self.stops:
            stop = self.stops.pop(0)
            if stop.state == LOAD_SYMBOLS:
                if not self.loads or self.loads[-1].body != stop.body:
                    self.loads.append(stop)
                if stop.unload:
                    self.modules.pop(stop.base, None)
                else:
                    self.modules[stop.base] = stop
                self.stop = stop
                if loads:
                    return stop
                try:
                    self.go()
                except LinkReset:
                    pass            # the load is reported again
                continue
            self.stop = stop
            return stop
        return None

    def wait_stop(self, seconds=None, loads=False):
        """The next stop; module loads are answered with go unless asked for."""
        deadline = time.monotonic() + (seconds or self.patience)
        while True:
            stop = self._take_stop(loads)
            if stop:
                return stop
            if not self._one(deadline):
                raise KdError("the target did not stop in time; it printed: " + self.prints[-500:])

    def wait_print(self, text, seconds=None):
        """Run until the target has printed text (anywhere in what it has printed so far)."""
        deadline = time.monotonic() + (seconds or self.patience)
        while text not in self.prints:
            stop = self._take_stop()
            if stop:
                raise KdError(f"{stop} while waiting for {text!r}; printed: {self.prints[-500:]}")
            if not self._one(deadline):
                raise KdError(f"{text!r} was never printed, only: {self.prints[-500:]}")
        return self.prints

    def pump(self, seconds):
        """Serve the link for a while, whatever comes."""
        deadline = time.monotonic() + seconds
        while self._one(deadline):
            self._take_stop()

    def stop_pending(self):
        """Whether a stop waits to be taken (loads that wait are answered)."""
        stop = self._take_stop()
        if stop:
            self.stops.insert(0, stop)
        return bool(stop)

    def drain(self):
        """What is still on the line after the target went away."""
        try:
            while self._one(time.monotonic() + 0.5):
                pass
        except (KdError, OSError):
            pass
        for stop in self.stops:
            if stop.state == LOAD_SYMBOLS:
                self.loads.append(stop)
        self.stops.clear()

    def break_in(self, seconds=None):
        self.sock.sendall(BREAK_IN)
        return self.wait_stop(seconds)

    # ---- requests ---------------------------------------------------------------------------

    def _request(self, api, union=b"", data=b"", processor=0):
        body = struct.pack("<IHHII", api, 0, processor, 0x103, 0) + union.ljust(40, b"\0") + data
        self.replies.clear()
        try:
            self._send(STATE_MANIPULATE, body)
        except LinkReset:
            self._send(STATE_MANIPULATE, body)
            self.stops.clear()      # the same stop once more
        deadline = time.monotonic() + self.patience
        while True:
            while self.replies:
                reply = self.replies.pop(0)
                if struct.unpack_from("<I", reply)[0] == api:
                    return struct.unpack_from("<I", reply, 8)[0], reply[16:56], reply[56:]
            if not self._one(deadline):
                raise KdError(f"request {api:x} was acknowledged and never answered")

    def _done(self, what, result):
        status, union, data = result
        if status != 0:
            raise KdError(f"{what}: status {status:08x}")
        return union, data

    def version(self):
        union, _ = self._done("GetVersion", self._request(GET_VERSION))
        names = ("major", "minor", "protocol", "secondary", "flags", "machine", "max_packet", "max_state",
                 "max_manipulate", "simulation", "unused", "kern_base", "module_list", "data_list")
        return dict(zip(names, struct.unpack("<HHBBHHBBBBHQQQ", union)))

    def try_read(self, address, length, api=READ_VIRTUAL):
        """One request: (status, bytes)."""
        status, union, data = self._request(api, struct.pack("<QII", address, length, 0))
        actual = struct.unpack_from("<I", union, 12)[0]
        if actual != len(data) or actual > length:
            raise KdError(f"read of {length}: claims {actual}, carries {len(data)}")
        return status, data

    def read(self, address, length, api=READ_VIRTUAL):
        out = b""
        while len(out) < length:
            want = min(MAX_DATA, length - len(out))
            status, data = self.try_read(address + len(out), want, api)
            if status or len(data) != want:
                raise KdError(f"read {address + len(out):x}: status {status:08x}, {len(data)} of {want} bytes")
            out += data
        return out

    def read_u64(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def try_write(self, address, data, api=WRITE_VIRTUAL):
        status, union, _ = self._request(api, struct.pack("<QII", address, len(data), 0), data)
        return status, struct.unpack_from("<I", union, 12)[0]

    def write(self, address, data, api=WRITE_VIRTUAL):
        status, actual = self.try_write(address, data, api)
        if status or actual != len(data):
            raise KdError(f"write {address:x}: status {status:08x}, {actual} bytes")

    def context(self, processor=0):
        _, data = self._done("GetContext", self._request(GET_CONTEXT, processor=processor))
        if len(data) != CONTEXT_SIZE:
            raise KdError(f"context of {len(data)} bytes")
        return Fields(data, CONTEXT_FIELDS)

    def set_context(self, context):
        self._done("SetContext", self._request(SET_CONTEXT, struct.pack("<I", context.ContextFlags), bytes(context.raw)))

    def special(self, processor=0):
        union, data = self._done("ReadControlSpace", self._request(READ_CONTROL, struct.pack("<QII", 2, SPECIAL_SIZE, 0),
                                                                   processor=processor))
        if len(data) != SPECIAL_SIZE:
            raise KdError(f"special registers of {len(data)} bytes")
        return Fields(data, SPECIAL_FIELDS)

    def set_special(self, special):
        self._done("WriteControlSpace", self._request(WRITE_CONTROL, struct.pack("<QII", 2, len(special.raw), 0),
                                                      bytes(special.raw)))

    def msr(self, number):
        status, union, _ = self._request(READ_MSR, struct.pack("<III", number, 0, 0))
        return status, struct.unpack_from("<Q", union, 4)[0]

    def query_memory(self, address):
        """(status, flags): readable 1, writable 2, executable 4."""
        status, union, _ = self._request(QUERY_MEMORY, struct.pack("<QQII", address, 0, 0, 0))
        return status, struct.unpack_from("<I", union, 20)[0]

    def read_io(self, port, size):
        status, union, _ = self._request(READ_IO, struct.pack("<QII", port, size, 0))
        return status, struct.unpack_from("<I", union, 12)[0]

    def set_breakpoint(self, address):
        union, _ = self._done(f"breakpoint at {address:x}", self._request(WRITE_BREAKPOINT, struct.pack("<QI", address, 0)))
        return struct.unpack_from("<I", union, 8)[0]

    def clear_breakpoint(self, handle):
        return self._request(RESTORE_BREAKPOINT, struct.pack("<I", handle))[0]

    def go(self, status=DBG_CONTINUE, trace=False, dr7=0x400):
        """Continue2: acknowledged, then the target runs."""
        body = struct.pack("<IHHII", CONTINUE2, 0, 0, status, 0)
        body += struct.pack("<IIQQQ", status, 1 if trace else 0, dr7, 1, 0).ljust(40, b"\0")
        self._send(STATE_MANIPULATE, body)

    def go_past_int3(self, **kwargs):
        """What WinDbg does at a hard-coded int3: move Rip behind it, then go."""
        context = self.context()
        context.Rip += 1
        self.set_context(context)
        self.go(**kwargs)

    def step(self, dr7=0x400):
        self.go(trace=True, dr7=dr7)
        return self.wait_stop()

    def reboot(self):
        self._send(STATE_MANIPULATE, struct.pack("<I", REBOOT).ljust(56, b"\0"))

    def module_list(self):
        """(base, size, name) of every entry of the loader list in the target's memory."""
        head = self.version()["module_list"]
        found, entry = [], self.read_u64(head)
        while entry != head:
            if len(found) > 4096:
                raise KdError("the loader list does not end")
            raw = self.read(entry, 0x88)
            length, _, _, name = struct.unpack_from("<HHIQ", raw, 0x58)
            text = self.read(name, length).decode("utf-16-le") if length else ""
            found.append((struct.unpack_from("<Q", raw, 0x30)[0], struct.unpack_from("<I", raw, 0x40)[0], text))
            entry = struct.unpack_from("<Q", raw, 0)[0]
        return found
