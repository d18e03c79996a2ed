# SPDX-License-Identifier: BSD-2-Clause
"""kdwire.exe relay under Wine: named pipes, COM ports, programs and TCP. At the pipes' other ends are
Win32 programs (windows/pipe_end.c), in the roles of WinDbg, Wireshark and a virtual machine.

KDWIRE_BULK_MB sets the size of the bulk transfers, KDWIRE_RESTARTS how often an end comes and goes (pipes: a
hundred times always).
"""
import json
import os
import pathlib
import pty
import queue
import random
import select
import signal
import socket
import subprocess
import threading
import tty
import uuid

import pytest
from relay_ends import (MEMORY_MAX, PATIENCE, ROOT, Recording, Relay, listening, manipulate, packet, read,
                        recording, reset, stop_packet, wait_until)
import wine as wine_module

# What ships, which clang builds; without it, what gcc builds.
SHIPPED = ROOT / "dist/windows/kdwire.exe"
EXE = pathlib.Path(os.environ.get("KDWIRE_EXE", SHIPPED if SHIPPED.exists() else
                                  ROOT / "build/windows/src/cli/kdwire.exe"))
PIPE_END = ROOT / "build/windows/tests/system/windows/pipe-end.exe"
BULK = int(os.environ.get("KDWIRE_BULK_MB", "8")) << 20
RESTARTS = int(os.environ.get("KDWIRE_RESTARTS", "5"))
LONG = PATIENCE + BULK // (1 << 20)

pytestmark = pytest.mark.skipif(not EXE.exists(), reason="kdwire.exe is not built")


class WindowsRelay(Relay):
    program = [wine_module.RUN, str(EXE)]

    def stop(self, number=signal.SIGKILL):
        """Wine has no console here to press Ctrl-C on; --once ends a relay by itself."""
        return super().stop(number)


@pytest.fixture
def name():
    """A pipe that no other test uses."""
    return "\\\\.\\pipe\\kdwire-test-" + uuid.uuid4().hex[:12]


class End:
    """A Win32 program at a pipe: what it got from the pipe, and how to send to it."""

    def __init__(self, wine, role, name):
        self.process = wine.start(PIPE_END, role, name, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.got = bytearray()
        self.changed = threading.Condition()
        self.said = queue.Queue()
        for task in (self._read, self._listen):
            threading.Thread(target=task, daemon=True).start()

    def _read(self):
        while piece := self.process.stdout.read1(1 << 16):
            with self.changed:
                self.got += piece
                self.changed.notify_all()

    def _listen(self):
        for line in self.process.stderr:
            self.said.put(line.decode().strip())

    def made(self):
        """Of a pipe that this end makes."""
        assert self.said.get(timeout=PATIENCE) == "made"
        return self

    def connected(self):
        said = self.said.get(timeout=PATIENCE)
        while said == "made":
            said = self.said.get(timeout=PATIENCE)
        assert said == "connected"
        return self

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send_in_background(self, data):
        threading.Thread(target=self.send, args=(data,), daemon=True).start()

    def wait(self, size, patience=PATIENCE):
        """Whether SIZE bytes have come."""
        with self.changed:
            return self.changed.wait_for(lambda: len(self.got) >= size, patience)

    def read(self, size, patience=PATIENCE):
        """The next SIZE bytes."""
        assert self.wait(size, patience), f"only {len(self.got)} of {size} bytes came"
        with self.changed:
            data = bytes(self.got[:size])
            del self.got[:size]
        return data

    def close(self):
        """Closes the pipe as a program does that ends."""
        self.process.stdin.close()
        self.process.wait(PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)


def open_windbg(wine, relay, name, number=1):
    """WinDbg at the relay's pipe, and the relay knows (for the NUMBERth time): what a target sends before
    is dropped, as there is nobody whom to give it to."""
    windbg = End(wine, "open", name).connected()
    relay.wait("up", "debugger", number)
    return windbg


def exchange(windbg, target):
    """WINDBG is an End; TARGET a socket."""
    windbg.send(b"question")
    assert read(target, 8) == b"question"
    target.sendall(b"answer")
    assert windbg.read(6) == b"answer"


# ---- pipe <-> TCP ----

def test_windbg_at_our_pipe_and_a_target_by_tcp(wine, name):
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        windbg = open_windbg(wine, relay, name)
        assert name in relay.wait("up", "debugger")["text"]
        exchange(windbg, target)
        windbg.close()
        assert "closed the connection" in relay.wait("down", "debugger")["text"]
        exchange(open_windbg(wine, relay, name, 2), target)


def test_bulk_both_ways_at_once_is_exact(wine, name):
    up, down = random.Random(1).randbytes(BULK), random.Random(2).randbytes(BULK)
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        target.settimeout(LONG)
        windbg = open_windbg(wine, relay, name)
        windbg.send_in_background(up)
        threading.Thread(target=target.sendall, args=(down,), daemon=True).start()
        assert read(target, len(up)) == up
        assert windbg.read(len(down), LONG) == down
        assert relay.peak_memory() < 4 * MEMORY_MAX  # Wine itself needs most of it


def test_windbg_that_comes_in_the_moment_the_pipe_is_made(wine, name):
    """Before it is waited for: then nothing tells that it came but the call that begins to wait."""
    for number in range(6):
        windbg = End(wine, "eager", f"{name}-{number}")
        with WindowsRelay(f"pipe-listen:{name}-{number}", "tcp-listen:0") as relay:
            relay.wait("up", "debugger")
        windbg.kill()


# ---- pipe <-> pipe ----

def test_windbg_and_a_virtual_machine_both_at_pipes_come_in_any_order(wine, name):
    """The order: relay, WinDbg, machine; then the machine restarts, then WinDbg."""
    machine_name = name + "-vm"
    with WindowsRelay(f"pipe-listen:{name}", f"pipe:{machine_name}") as relay:
        assert "no such pipe yet" in relay.wait("retrying", "target")["text"]
        windbg = open_windbg(wine, relay, name)
        for number in (1, 2):
            machine = End(wine, "serve", machine_name)
            relay.wait("up", "target", number)
            machine.connected()
            windbg.send(b"question")
            assert machine.read(8) == b"question"
            machine.send(b"answer")
            assert windbg.read(6) == b"answer"
            machine.kill()
            relay.wait("down", "target", number)
        windbg.kill()
        relay.wait("down", "debugger")
        machine = End(wine, "serve", machine_name)
        relay.wait("up", "target", 3)
        windbg = open_windbg(wine, relay, name, 2)
        machine.send(b"hello")
        assert windbg.read(5) == b"hello"


@pytest.mark.parametrize("end_it", ["close", "kill"])
def test_an_end_is_restarted_again_and_again_and_no_byte_is_torn(wine, name, end_it):
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        for number in range(1, RESTARTS + 1):
            windbg = open_windbg(wine, relay, name, number)
            word = f"session {number:04}".encode()
            windbg.send(word)
            assert read(target, len(word)) == word
            target.sendall(word)
            assert windbg.read(len(word)) == word
            getattr(windbg, end_it)()
            relay.wait("down", "debugger", number)


# ---- ends that come and go, other than pipes ----

def through(debugger, target, number):
    """A word of this session's own goes through both ways, whole. TARGET None sends it back by itself."""
    word = f"session {number:04}".encode()
    debugger.sendall(word)
    if target:
        assert read(target, len(word)) == word
        target.sendall(word)
    assert read(debugger, len(word)) == word


def test_a_target_that_comes_by_tcp_is_restarted(wine):
    with WindowsRelay("tcp-listen:0", "tcp-listen:0") as relay:
        debugger = relay.connect("debugger")
        for number in range(1, RESTARTS + 1):
            target = relay.connect("target")
            through(debugger, target, number)
            (target.close if number % 2 else lambda: reset(target))()
            relay.wait("down", "target", number)


def test_a_target_that_waits_at_a_tcp_port_is_restarted(wine):
    keeper = socket.socket()  # has the port when nobody listens, so that nobody else gets it
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    address = keeper.getsockname()
    listener = listening(address=address)
    with keeper, WindowsRelay("tcp-listen:0", f"tcp:127.0.0.1:{address[1]}") as relay:
        debugger = relay.connect("debugger")
        for number in range(1, RESTARTS + 1):
            target, _ = listener.accept()
            target.settimeout(PATIENCE)
            relay.wait("up", "target", number)
            through(debugger, target, number)
            listener.close()
            (target.close if number % 2 else lambda: reset(target))()
            relay.wait("down", "target", number)
            listener = listening(address=address)
        listener.close()


def test_a_program_is_started_again_and_again(wine):
    """It sends back a word, and ends."""
    word = len("session 0001")
    with WindowsRelay("tcp-listen:0", f"exec:\"{wine_module.windows_path(PIPE_END)}\" echo {word}") as relay:
        debugger = relay.connect("debugger")
        for number in range(1, RESTARTS + 1):
            relay.wait("up", "target", number)
            through(debugger, None, number)
            relay.wait("down", "target", number)


class Line:
    """A serial line: a pty. LINK is where Wine's COM port looks for it. Read and written as a socket."""

    def __init__(self, link):
        self.link = link
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        fresh = link.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self.slave))
        fresh.rename(link)

    def sendall(self, data):
        while data:
            data = data[os.write(self.master, data):]

    def recv_into(self, view):
        assert select.select([self.master], [], [], PATIENCE)[0], "nothing comes from the COM port"
        return os.readv(self.master, [view])

    def close(self):
        """Pulls the plug."""
        self.link.unlink()
        os.close(self.slave)
        os.close(self.master)


def test_a_com_port_is_unplugged_and_plugged_in_again(wine, tmp_path):
    port = wine.com_port(tmp_path / "line")
    with WindowsRelay("tcp-listen:0", f"serial:{port}") as relay:
        debugger = relay.connect("debugger")
        for number in range(1, RESTARTS + 1):
            line = Line(tmp_path / "line")
            relay.wait("up", "target", number)
            through(debugger, line, number)
            line.close()
            relay.wait("down", "target", number)


def echo(end):
    """Sends back what comes, until the other side closes."""
    try:
        while piece := end.recv(4096):
            end.sendall(piece)
    except OSError:
        pass


@pytest.mark.parametrize("role", ["open-again", "serve-again"])
def test_a_pipes_other_end_comes_and_goes_a_hundred_times(wine, name, role):
    """WinDbg at our pipe, and a machine at its own: a word goes through and comes back each time."""
    ours, other = ("debugger", "target") if role == "open-again" else ("target", "debugger")
    ends = {ours: f"pipe-listen:{name}" if role == "open-again" else f"pipe:{name}", other: "tcp-listen:0"}
    with WindowsRelay(ends["debugger"], ends["target"]) as relay:
        side = relay.connect(other)
        side.settimeout(LONG)
        threading.Thread(target=echo, args=(side,), daemon=True).start()
        done = wine.run(PIPE_END, role, name, "100", limit=LONG + 60)
        assert done.returncode == 0, done.stderr
        relay.wait("down", ours, 100)
        assert relay.count("up", ours) == 100


def test_a_silent_windbg_gives_way_to_the_next_if_told_so(wine, name):
    """The first has the pipe open and is never heard of again."""
    with WindowsRelay(f"pipe-listen:{name},replace=newest", "tcp-listen:0") as relay:
        target = relay.connect("target")
        End(wine, "hold", name).connected()
        relay.wait("up", "debugger")
        second = End(wine, "open", name).connected()
        relay.wait("replaced", "debugger")
        relay.wait("up", "debugger", 2)
        exchange(second, target)


# ---- Wireshark and the recording ----

def read_by_tshark(file):
    """What each side sent, as tshark reads the file: the whole record, and the interface."""
    shown = subprocess.run(["tshark", "-r", file, "-T", "json", "-x"], capture_output=True, check=True,
                           timeout=LONG).stdout
    sent = [b"", b""]
    for frame in json.loads(shown):
        layers = frame["_source"]["layers"]
        sent[int(layers["frame"]["frame.interface_id"])] += \
            Recording._strip_tags(bytes.fromhex(layers["frame_raw"][0]))
    return sent


def test_tshark_reads_the_bytes_that_were_sent(wine, name, tmp_path):
    """Packets, console text, noise that looks like packets: byte for byte, both ways."""
    file = tmp_path / "sitzung ж.pcapng"
    noise = random.Random(5)

    def traffic(lead):
        return b"".join(noise.choice([packet(2, 0x80800000 + i % 2, noise.randbytes(noise.randrange(1, 900))), lead,
                                      noise.randbytes(noise.randrange(1, 99)), packet(4, 0x80800000)])
                        for i in range(300))
    question, answer = traffic(b"b"), traffic(b"console text\r\n")
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0", "--record", wine_module.windows_path(file),
                      "--once") as relay:
        target = relay.connect("target")
        windbg = open_windbg(wine, relay, name)
        windbg.send_in_background(question)
        assert read(target, len(question)) == question
        target.sendall(answer)
        assert windbg.read(len(answer)) == answer
        windbg.close()
        target.close()
        assert relay.finish() == 0
    assert read_by_tshark(file) == [question, answer]


def test_wireshark_starts_kdwire_from_its_interface_list(wine, name):
    """What Wireshark does on Windows: it makes two pipes and passes their names."""
    wireshark = End(wine, "serve", name).made()
    toolbar = End(wine, "serve", name + "-control").made()
    ends = {end: f"{name}-{end}" for end in ("debugger", "target")}
    capture = wine.start(EXE, "--capture", "--extcap-interface", "kdwire", "--fifo", name, "--extcap-control-in",
                         name + "-control", "--debugger", f"pipe-listen:{ends['debugger']}", "--target",
                         f"pipe-listen:{ends['target']}", stderr=subprocess.DEVNULL)
    wireshark.connected()
    toolbar.connected()
    debugger, target = (End(wine, "open", ends[end]).connected() for end in ("debugger", "target"))
    question = manipulate(0x80800800)
    wait_until(lambda: debugger.send(question) or target.wait(len(question), 0.5), "the relay has taken both")
    toolbar.send(b"T\0\0\x0a\0\x01it hangsT\0\0\x02\x01\x01")
    wait_until(lambda: question in b"".join(record_of(wireshark.got)), "Wireshark's pipe has the packet")
    wait_until(lambda: b"it hangs" in wireshark.got, "and the note")
    wireshark.close()
    capture.wait(PATIENCE)
    for end in (debugger, target):
        assert end.process.wait(PATIENCE) == 0, "the relay has ended, too"


def test_the_roles_by_name_and_the_recording(wine, name, tmp_path):
    """WinDbg, the machine and Wireshark at pipes, as on a Hyper-V host; tshark reads the file."""
    machine_name, live_name = name + "-vm", name + "-live"
    file = tmp_path / "session.pcapng"
    machine = End(wine, "serve", machine_name)
    with WindowsRelay(f"pipe-listen:{name}", f"pipe:{machine_name}", "--live",
                      f"pipe-listen:{live_name}", "--record", wine_module.windows_path(file),
                      "--once") as relay:
        wireshark = End(wine, "read", live_name).connected()
        windbg = open_windbg(wine, relay, name)
        relay.wait("up", "target")
        question, answer = manipulate(0x80800800), stop_packet(0x80800800) * 3
        windbg.send(question)
        assert machine.read(len(question)) == question
        machine.send(answer)
        assert windbg.read(len(answer)) == answer
        wait_until(lambda: b"".join(record_of(wireshark.got)) == question + answer,
                   "Wireshark's pipe has the session")
        windbg.close()
        machine.close()
        assert relay.finish() == 0
        assert relay.summary()["event"] == "summary"
    got = recording(file)
    assert got.sent == [question, answer]
    shown = subprocess.run(["tshark", "-r", file], capture_output=True, check=True, timeout=PATIENCE)
    assert len(shown.stdout.splitlines()) >= 4


def record_of(stream):
    try:
        return Recording(bytes(stream)).sent
    except AssertionError:  # not even the header yet
        return [b"", b""]


def test_a_wireshark_that_reads_nothing_stops_nobody_and_costs_no_memory(wine, name):
    live_name = name + "-live"
    data = packet(2, 0x80800000, bytes(range(256)) * 15) * 1200
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0", "--live", live_name) as relay:
        End(wine, "hold", live_name).connected()
        target = relay.connect("target")
        windbg = open_windbg(wine, relay, name)
        windbg.send_in_background(data)
        assert read(target, len(data)) == data
        assert relay.peak_memory() < 4 * MEMORY_MAX


# ---- COM ports and programs ----

def test_com_port_and_tcp(wine, tmp_path):
    line = Line(tmp_path / "line")
    port = wine.com_port(tmp_path / "line")
    data = bytes(range(256)) * 64
    with WindowsRelay("tcp-listen:0", f"serial:{port},baud=115200") as relay:
        assert relay.wait("up", "target")["text"] == f"{port} at 115200 baud"
        debugger = relay.connect("debugger")
        debugger.sendall(data)
        assert read(line, len(data)) == data
        line.sendall(bytes(range(256)))
        assert read(debugger, 256) == bytes(range(256))
    line.close()


def test_missing_com_port_is_told_and_waited_for(wine, tmp_path):
    port = wine.com_port(tmp_path / "line")
    with WindowsRelay("tcp-listen:0", f"serial:{port}") as relay:
        assert "is not there; is the adapter plugged in?" in relay.wait("retrying", "target")["text"]
        line = Line(tmp_path / "line")
        relay.wait("up", "target")
        debugger = relay.connect("debugger")
        line.sendall(b"hello")
        assert read(debugger, 5) == b"hello"
    line.close()


def test_exec_runs_a_program_and_runs_it_again(wine):
    """Quotes come through; where the debugger came in between is as it likes."""
    with WindowsRelay("tcp-listen:0", "exec:echo hello & echo \"a b\"") as relay:
        debugger = relay.connect("debugger")
        relay.wait("up", "target", 2)
        got = read(debugger, 8)
        assert got in b"hello \r\n\"a b\"\r\n" * 2


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("start", ["\"{}\" hold {}", "start /b \"\" \"{0}\" hold {1} & \"{0}\" echo 1"])
def test_what_a_program_started_ends_with_the_relay(wine, name, start, killed):
    """The shell's child, and one that the shell does not wait for. It does not look at its input: a pipe that it
    holds open tells of its end."""
    witness = End(wine, "serve", name).made()
    command = start.format(wine_module.windows_path(PIPE_END), name)
    end = listening()
    with end, WindowsRelay(f"tcp:127.0.0.1:{end.getsockname()[1]},retry=0", f"exec:{command}") as relay:
        debugger, _ = end.accept()
        relay.wait("up", "debugger")
        witness.connected()
        if killed:
            relay.stop()
        debugger.close()
        relay.finish()
        assert witness.process.wait(PATIENCE) == 0


def test_exec_of_an_unknown_command_says_so(wine):
    with WindowsRelay("tcp-listen:0", "exec:kdwire-no-such-command x") as relay:
        text = relay.wait("warning", "target")["text"]
        assert text.startswith("exec:kdwire-no-such-command x: ended with status") and "was not found" in text
        assert b"'kdwire-no-such-command" in relay.errors  # what cmd.exe says


def test_stdio_of_a_program_that_another_started(wine):
    end = listening()
    inner = f"\"{EXE}\" relay -d stdio -t tcp:127.0.0.1:{end.getsockname()[1]} --quiet"
    with WindowsRelay("tcp-listen:0", f"exec:{inner}") as relay:
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        debugger = relay.connect("debugger")
        target.sendall(b"hello")
        assert read(debugger, 5) == b"hello"  # now the inner relay has both of its ends
        debugger.sendall(b"question")
        assert read(target, 8) == b"question"
        target.sendall(b"answer")
        assert read(debugger, 6) == b"answer"


# ---- errors ----

def test_second_client_is_turned_away(wine, name):
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        first = open_windbg(wine, relay, name)
        second = End(wine, "open", name).connected()
        assert "is connected" in relay.wait("refused", "debugger")["text"]
        assert second.process.wait(PATIENCE) == 0
        exchange(first, target)


def test_pipe_in_use_is_one_clear_line(wine, name):
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0") as relay:
        relay.wait("listening", "debugger")
        other = wine.run(EXE, "relay", "-d", f"pipe-listen:{name}", "-t", "tcp-listen:0")
        assert other.returncode == 1
        lines = other.stderr.decode().splitlines()
        assert len(lines) == 1 and "already in use by another program" in lines[0], lines


def test_busy_pipe_is_told_and_waited_for(wine, name):
    machine = End(wine, "serve", name)
    other = End(wine, "open", name).connected()
    machine.connected()
    with WindowsRelay("tcp-listen:0", f"pipe:{name}") as relay:
        assert "in use by another program" in relay.wait("retrying", "target")["text"]
        other.close()
        machine.close()
        End(wine, "serve", name)
        relay.wait("up", "target")


def test_client_that_never_reads_holds_the_other_up_without_memory(wine, name):
    with WindowsRelay(f"pipe-listen:{name}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        end = End(wine, "hold", name).connected()
        relay.wait("up", "debugger")
        target.settimeout(2)
        with pytest.raises(TimeoutError):
            while True:
                target.sendall(bytes(1 << 20))
        assert relay.peak_memory() < 4 * MEMORY_MAX
        end.kill()
        assert relay.wait("down", "debugger")["bytes"] > 0  # the loss is counted


def test_access_denied_is_one_clear_line(wine, name):
    """A pipe whose maker lets nobody write."""
    End(wine, "inbound", name)
    with WindowsRelay("tcp-listen:0", f"pipe:{name}") as relay:
        wait_until(lambda: any("access denied; run kdwire as" in e.get("text", "") for e in relay.events),
                   "the reason is told")


@pytest.mark.parametrize("end,says", [
    ("unix:/tmp/x", "on Windows use pipe: or pipe-listen:"),
    ("pty:x", "for WinDbg use pipe-listen:"),
    ("pipe:\\\\.\\x", "a pipe's name is"),
])
def test_wrong_ends_are_wrong_usage(wine, end, says):
    result = wine.run(EXE, "relay", "-d", end, "-t", "tcp-listen:0")
    assert result.returncode == 2
    assert says in result.stderr.decode()
