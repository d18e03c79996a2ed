# SPDX-License-Identifier: BSD-2-Clause
"""`kdwire sim` as a user runs it: its endpoint, its events, what a debugger on the wire sees, and
wrong usage. The wire is spoken here by a few lines of Python that share no code with kdwire."""
import json
import os
import pathlib
import queue
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
CANDIDATES = (os.environ.get("KDWIRE"), TOP / "dist/linux/kdwire", TOP / "build/linux/src/cli/kdwire")
KDWIRE = next((str(path) for path in CANDIDATES if path and os.access(path, os.X_OK)), None)
PATIENCE = 60  # seconds until a wait on a condition fails

pytestmark = pytest.mark.skipif(KDWIRE is None, reason="kdwire is not built")

KERNEL = 0xFFFFF80001000000
MANIPULATE, STATE_CHANGE, ACK, RESET = 2, 7, 4, 6
GET_VERSION, READ_MEMORY, CONTINUE2, REBOOT = 0x3146, 0x3130, 0x313C, 0x313B


class Sim:
    """`kdwire sim` with its JSON events; ends with the `with` block."""

    def __init__(self, endpoint, *options):
        self.process = subprocess.Popen([KDWIRE, "sim", "--json", *options, endpoint],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.events = queue.Queue()
        self.seen = []
        self.readers = [threading.Thread(target=self._read_events, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        self.errors = b""
        for reader in self.readers:
            reader.start()

    def _read_events(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def _read_errors(self):
        self.errors = self.process.stderr.read()

    def wait_for(self, name):
        """The next event of that name."""
        end = time.monotonic() + PATIENCE
        while True:
            event = self.events.get(timeout=max(0.01, end - time.monotonic()))
            self.seen.append(event)
            if event["event"] == name:
                return event

    def port(self):
        return int(self.wait_for("listening")["text"].rsplit(":", 1)[1])

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        while not self.events.empty():
            self.seen.append(self.events.get())
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()


class Debugger:
    """The least that speaks KD: one request at a time on a good wire."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.next = 0x80800000

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _take(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "the simulator closed the connection"
            data += more
        return data

    def packet(self):
        """(type, body) of the next data packet; acknowledges it. Control packets: body None."""
        leader, kind, count, ident, checksum = struct.unpack("<4sHHII", self._take(16))
        if leader == b"iiii":
            return kind, None
        assert leader == b"0000"
        body = self._take(count)
        assert self._take(1) == b"\xaa"
        assert sum(body) == checksum
        self.socket.sendall(struct.pack("<4sHHII", b"iiii", ACK, 0, ident & ~0x800, 0))
        return kind, body

    def next_of(self, kind):
        while True:
            got, body = self.packet()
            if got == kind:
                return body

    def break_in(self):
        self.socket.sendall(b"b")
        return self.next_of(STATE_CHANGE)

    def tell(self, api, union=b""):
        body = struct.pack("<IHHII", api, 0, 0, 0, 0) + union.ljust(40, b"\0")
        self.socket.sendall(struct.pack("<4sHHII", b"0000", MANIPULATE, len(body), self.next,
                                        sum(body)) + body + b"\xaa")
        self.next ^= 1
        self.next_of(ACK)

    def ask(self, api, union=b""):
        self.tell(api, union)
        body = self.next_of(MANIPULATE)
        assert struct.unpack_from("<I", body)[0] == api
        return body

    def go(self, trace=False):
        self.tell(CONTINUE2, struct.pack("<IIQQQ", 0x10002, trace, 0x400, 1, 0))


def test_a_debugger_breaks_in_reads_and_goes():
    with Sim("tcp-listen:0", "--cpu", "2") as sim, Debugger(sim.port()) as debugger:
        stop = debugger.break_in()
        assert struct.unpack_from("<I", stop)[0] == 0x3030
        assert struct.unpack_from("<I", stop, 8)[0] == 2
        version = debugger.ask(GET_VERSION)
        assert struct.unpack_from("<Q", version, 32)[0] == KERNEL
        memory = debugger.ask(READ_MEMORY, struct.pack("<QI", KERNEL, 64))
        assert memory[56:58] == b"MZ" and len(memory) == 120
        debugger.go()
        sim.wait_for("go")
        assert sim.end() == 0
        told = [event["event"] for event in sim.seen]
        assert told.index("up") < told.index("stop") < told.index("go")
        assert "attached" in told
        assert b"stop" in sim.errors


def test_a_machine_that_cannot_keep_its_speed_does_not_hold_up_the_line():
    with Sim("tcp-listen:0", "--speed", "4000000000") as sim, Debugger(sim.port()) as debugger:
        debugger.break_in()
        debugger.ask(GET_VERSION)
        assert sim.end() == 0


def test_boot_stop_waits_and_serves_one_debugger_after_the_other():
    with Sim("tcp-listen:0", "--boot-stop") as sim:
        port = sim.port()
        with Debugger(port) as first:
            load = first.next_of(STATE_CHANGE)
            assert struct.unpack_from("<I", load)[0] == 0x3031
            assert load[240:].endswith(b"simkernel.exe\0")
        sim.wait_for("down")
        with Debugger(port) as second:
            second.socket.sendall(struct.pack("<4sHHII", b"iiii", RESET, 0, 0, 0))
            again = second.next_of(STATE_CHANGE)
            assert again == load
            second.go()
            assert second.next_of(STATE_CHANGE)[240:].endswith(b"simhal.dll\0")
        assert sim.end() == 0


def test_steps_are_quick_and_reboot_starts_anew():
    with Sim("tcp-listen:0") as sim, Debugger(sim.port()) as debugger:
        debugger.break_in()
        for _ in range(50):
            debugger.go(trace=True)
            stop = debugger.next_of(STATE_CHANGE)
            assert struct.unpack_from("<I", stop, 32)[0] == 0x80000004
        debugger.tell(REBOOT)
        sim.wait_for("reboot")
        load = debugger.next_of(STATE_CHANGE)
        assert struct.unpack_from("<I", load)[0] == 0x3031
        assert sim.end() == 0


def test_faults_are_counted_and_told():
    with Sim("tcp-listen:0", "--fault", "duplicate=100%", "--seed", "3") as sim:
        with Debugger(sim.port()) as debugger:
            debugger.break_in()
            debugger.ask(GET_VERSION)
        assert sim.end() == 0
        faults = [e for e in sim.seen if e["event"] == "faults"]
        assert len(faults) == 1 and "duplicate" in faults[0]["text"]


def test_an_image_runs(tmp_path):
    image = tmp_path / "code.bin"
    image.write_bytes(b"\xb8\x07\0\0\0\xcc")  # mov eax, 7; int3
    with Sim("tcp-listen:0", "--image", f"{image}@40000000", "--entry", "40000000") as sim:
        stop = sim.wait_for("stop")
        assert stop["address"] == "0x40000005" and stop["code"] == "0x80000003"
        assert sim.end() == 0


def test_stdio_ends_with_its_input():
    done = subprocess.run([KDWIRE, "sim", "stdio"], input=b"b", capture_output=True,
                          timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert b"ended" in done.stderr


@pytest.mark.parametrize("arguments, code, words", [
    ([], 2, ["endpoint", "tcp-listen"]),
    (["tcp-listen:0", "stdio"], 2, ["one endpoint"]),
    (["nonsense"], 2, ["nonsense"]),
    (["--cpu", "0", "stdio"], 2, ["--cpu", "1 to 64"]),
    (["--fault", "drup=1%", "stdio"], 2, ["drup"]),
    (["--bogus", "stdio"], 2, ["--bogus"]),
    (["--entry", "xyz", "stdio"], 2, ["hexadecimal"]),
    (["--json", "stdio"], 2, ["--json", "stdio"]),
    (["--image", "/nowhere/at/all", "stdio"], 1, ["/nowhere/at/all"]),
])
def test_wrong_usage_is_told(arguments, code, words):
    done = subprocess.run([KDWIRE, "sim", *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == code
    for word in words:
        assert word in done.stderr


def test_an_image_in_the_way_is_told(tmp_path):
    image = tmp_path / "code.bin"
    image.write_bytes(b"x")
    done = subprocess.run([KDWIRE, "sim", "--image", f"{image}@{KERNEL:x}", "stdio"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "FILE@ADDRESS" in done.stderr


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([KDWIRE, "sim", f"tcp-listen:{port}"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert str(port) in done.stderr
