# SPDX-License-Identifier: BSD-2-Clause
"""What the relay's tests share: the running relay and its events, sockets, and a pcapng reader
that shares no code with kdwire."""
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds until a wait on a condition fails; loaded machines are slow


def find_kdwire():
    chosen = os.environ.get("KDWIRE")
    for path in [chosen] if chosen else [ROOT / "dist/linux/kdwire",
                                         ROOT / "build/linux/src/cli/kdwire"]:
        if os.access(path, os.X_OK):
            return str(path)
    raise RuntimeError("kdwire is not built; run tools/build, or set KDWIRE")


KDWIRE = find_kdwire()


def is_sanitized(path):
    """Whether the program was built with -fsanitize=address or =thread: those need memory of their
    own, so that limits of memory mean little."""
    program = pathlib.Path(path).read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


MEMORY_MAX = (16 << 20) * (16 if is_sanitized(KDWIRE) else 1)


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.005)


class Relay:
    """`kdwire relay` with its events; ends with the `with` block."""

    program = [KDWIRE]

    def __init__(self, debugger, target, *options, events=True, **popen):
        self.start(["relay", "--debugger", debugger, "--target", target, *options], events, **popen)

    def start(self, arguments, events, **popen):
        command = [*self.program, *arguments]
        if events:
            command += ["--events", "json"]
            popen["stdout"] = subprocess.PIPE
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, **popen)
        self.events = []
        self.errors = b""
        self.changed = threading.Condition()
        self.readers = [threading.Thread(target=self._read_errors, daemon=True)]
        if events:
            self.readers.append(threading.Thread(target=self._read_events, daemon=True))
        for reader in self.readers:
            reader.start()

    def _read_events(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def _read_errors(self):
        for line in self.process.stderr:
            with self.changed:
                self.errors += line
                self.changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def count(self, event, end=None):
        with self.changed:
            return sum(e["event"] == event and end in (None, e["end"]) for e in self.events)

    def wait(self, event, end=None, number=1):
        """The NUMBERth event of this kind."""
        def found():
            return [e for e in self.events if e["event"] == event and end in (None, e.get("end"))]
        with self.changed:
            ok = self.changed.wait_for(lambda: len(found()) >= number, PATIENCE)
            assert ok, f"no {event} of {end}; events {self.events}; errors {self.errors!r}"
            return found()[number - 1]

    def wait_error(self, text):
        with self.changed:
            ok = self.changed.wait_for(lambda: text.encode() in self.errors, PATIENCE)
            assert ok, f"{text!r} not in {self.errors!r}"

    def port(self, end, number=1):
        return int(self.wait("listening", end, number)["text"].split(",")[0].rsplit(":", 1)[1])

    def connect(self, end, number=1, host="127.0.0.1"):
        ups = self.count("up", end)
        side = connect_to(self.port(end), host)
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wait("up", end, ups + 1)
        return side

    def finish(self):
        code = self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        for word in (b"Sanitizer:", b"runtime error:"):  # of a program built with -fsanitize=...
            assert word not in self.errors, self.errors.decode(errors="replace")
        return code

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.finish()

    def summary(self):
        return self.events[-1]

    def peak_memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def connect_to(port, host="127.0.0.1"):
    side = socket.create_connection((host, port), PATIENCE)
    side.settimeout(PATIENCE)
    return side


def listening(family=socket.AF_INET, address=("127.0.0.1", 0)):
    end = socket.socket(family)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.settimeout(PATIENCE)
    end.bind(address)
    end.listen(4)
    return end


def read(end, size):
    got = bytearray(size)
    view = memoryview(got)
    at = 0
    while at < size:
        count = end.recv_into(view[at:])
        assert count, f"the connection ended after {at} of {size} bytes"
        at += count
    return bytes(got)


def read_all(end):
    """Until the other side closes."""
    got = bytearray()
    try:
        while piece := end.recv(1 << 20):
            got += piece
    except ConnectionResetError:
        pass
    return bytes(got)


def reset(end):
    """Closes as a killed machine's system would: with a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def packet(kind, ident, body=b""):
    """One KD packet as it stands on a serial line."""
    if not body:
        return struct.pack("<IHHII", 0x69696969, kind, 0, ident, 0)
    return struct.pack("<IHHII", 0x30303030, kind, len(body), ident, sum(body)) + body + b"\xaa"


ACK = packet(4, 0x80800000)


def manipulate(ident, api=0x3130, data=b""):
    return packet(2, ident, struct.pack("<IHHI", api, 6, 0, 0) + bytes(44) + data)


def stop_packet(ident, pc=0xFFFFF80012345678):
    """STATE_CHANGE64: an int3 at PC."""
    body = struct.pack("<IHHIIQQ", 0x3030, 6, 0, 1, 0, 0, pc)
    body += struct.pack("<II", 0x80000003, 0)
    return packet(7, ident, body + bytes(240 - len(body)))


class Block:
    def __init__(self, kind, body):
        self.kind, self.body = kind, body


def blocks(data):
    """The whole blocks of a pcapng stream; a cut one at the end is left out."""
    at = 0
    while len(data) - at >= 12:
        kind, size = struct.unpack_from("<II", data, at)
        assert size >= 12 and size % 4 == 0, f"block length {size} at {at}"
        if size > len(data) - at:
            return
        assert struct.unpack_from("<I", data, at + size - 4)[0] == size, f"block end at {at}"
        yield Block(kind, data[at + 8:at + size - 4])
        at += size


def options(body, at):
    while len(body) - at >= 4:
        code, size = struct.unpack_from("<HH", body, at)
        if code == 0:
            return
        yield code, body[at + 4:at + 4 + size]
        at += 4 + (size + 3) // 4 * 4


class Recording:
    """A pcapng stream of exported PDUs: what each side sent, and the comments."""

    def __init__(self, data):
        self.sent = [b"", b""]  # 0 the debugger, 1 the target
        self.records = [[], []]
        self.comments = []
        found = list(blocks(data))
        assert found and found[0].kind == 0x0A0D0D0A, "no section header at the beginning"
        assert sum(b.kind == 0x0A0D0D0A for b in found) == 1
        for block in found:
            if block.kind == 6:
                self._packet(block.body)

    def _packet(self, body):
        interface, _, _, size, _ = struct.unpack_from("<IIIII", body)
        payload = self._strip_tags(body[20:20 + size])
        if payload:
            self.sent[interface] += payload
            self.records[interface].append(payload)
        for code, value in options(body, 20 + (size + 3) // 4 * 4):
            if code == 1:
                self.comments.append(value.decode())

    @staticmethod
    def _strip_tags(data):
        at = 0
        while len(data) - at >= 4:
            tag, size = struct.unpack_from(">HH", data, at)
            at += 4 + size
            if tag == 0:
                break
        return data[at:]


def recording(path):
    return Recording(pathlib.Path(path).read_bytes())
