# SPDX-License-Identifier: BSD-2-Clause
"""KDNET endpoints: real datagrams between real programs, over networks good and bad."""

import gzip
import itertools
import os
import pathlib
import pty
import random
import re
import select
import socket
import subprocess
import threading
import time

import pytest

from relay_ends import KDWIRE, PATIENCE, Relay, wait_until
from uefi.session import Session, symbol_offset

KEY = "3lg.1.z.3w5e11264sgsf"
OTHER_KEY = "3lg.1.z.3w5e11264sgse"
LONG = 6 * PATIENCE  # a debugger's whole session, on a bad network


@pytest.fixture(autouse=True)
def key_in_environment(monkeypatch):
    monkeypatch.setenv("KDWIRE_KDNET_KEY", KEY)


class Program:
    """A kdwire subcommand in the background, with what it says."""

    def __init__(self, *arguments, **popen):
        self.process = subprocess.Popen([KDWIRE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, **popen)
        self.said = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.said += line

    def wait(self, pattern):
        wait_until(lambda: re.search(pattern, self.said), f"{pattern} in {self.said!r}")
        return re.search(pattern, self.said)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def sim(*arguments, **popen):
    return Program("sim", "--print-every", "0", *arguments, **popen)


def free_port(family=socket.AF_INET, address="127.0.0.1"):
    """A UDP port that nobody has: for ends that are started again and must be found again."""
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def kdnet_port(relay, end):
    return int(re.search(r"port=(\d+)", relay.wait("listening", end)["text"])[1])


def debug(end, commands, *options):
    done = subprocess.run([KDWIRE, "debug", end, "--timeout", str(LONG), *options, "-c", commands], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=2 * LONG)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert KEY not in done.stdout + done.stderr
    return done.stdout


class Network:
    """Between a kdnet-target and a kdnet-host: hands datagrams on as told."""

    def __init__(self, host_port, lose=0.0, repeat=0.0, reorder=0.0, seed=1, extra=None):
        self.host = ("127.0.0.1", host_port)
        self.lose, self.repeat, self.reorder, self.random = lose, repeat, reorder, random.Random(seed)
        self.extra = extra  # called with each datagram; returns more datagrams to send the same way
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.bind(("127.0.0.1", 0))
        self.port = self.front.getsockname()[1]
        self.target = None
        self.largest = 0
        self.carried = self.lost = self.repeated = self.reordered = 0
        self.held = []
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _send(self, to_host, data):
        try:
            if to_host:
                self.back.sendto(data, self.host)
            elif self.target:
                self.front.sendto(data, self.target)
        except OSError:
            pass  # nobody is there at the moment

    def _carry(self, to_host, data):
        self.carried += 1
        self.largest = max(self.largest, len(data))
        if self.random.random() < self.lose:
            self.lost += 1
            return
        if self.random.random() < self.reorder:
            self.reordered += 1
            self.held.append((to_host, data))
            return
        self._send(to_host, data)
        if self.random.random() < self.repeat:
            self.repeated += 1
            self._send(to_host, data)
        for more in self.extra(data) if self.extra else ():
            self._send(to_host, more)

    def _run(self):
        while not self.ended:
            ready = select.select([self.front, self.back], [], [], 0.02)[0]
            for sock in ready:
                try:
                    data, sender = sock.recvfrom(65536)
                except OSError:
                    continue
                if sock is self.front:
                    self.target = sender
                self._carry(sock is self.front, data)
            if self.held and (not ready or len(self.held) > 2):
                for to_host, data in self.held:
                    self._send(to_host, data)
                self.held = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()
        self.front.close()
        self.back.close()


SESSION = "vertarget; lm; r; bp simkernel+1070; g; k; db simkernel L1800; bc *; qd"


def check_session(text):
    assert re.search(r"simhal +\\sim\\simhal.dll", text)
    assert "Breakpoint 0 hit\nsimkernel+0x1070:" in text
    assert len(re.findall(r"^[0-9a-f`]{17}  (?:[0-9a-f]{2}[ -]){16}", text, re.M)) == 0x180


@pytest.mark.parametrize("family, address, bind", [(socket.AF_INET, "127.0.0.1", ""), (socket.AF_INET6, "::1", ",bind=::1"),
                                                   (socket.AF_INET, "127.0.0.1", ",bind=*")])
def test_a_simulated_target_is_debugged(family, address, bind):
    port = free_port(family, address)
    with sim(f"kdnet-target:host={address},port={port}") as target:
        target.wait("nobody waits there yet")
        check_session(debug(f"kdnet-host:port={port}{bind}", SESSION))


def test_a_debugger_that_gets_another_address_is_found_again(tmp_path):
    resolver, address = tmp_path / "resolver.so", tmp_path / "address"
    source = pathlib.Path(__file__).with_name("resolver.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", resolver, source], check=True)
    port = free_port()
    address.write_text("127.0.0.2")
    environment = {**os.environ, "LD_PRELOAD": str(resolver), "KDWIRE_TEST_ADDRESS": str(address)}
    with sim(f"kdnet-target:host=moving.test,port={port}", env=environment) as target:
        target.wait("nobody waits there yet")
        with Program("debug", f"kdnet-host:port={port}", "--timeout", str(LONG), "-c", SESSION) as debugger:
            debugger.wait("no target has come yet")  # a listener says so, and goes on waiting
            address.write_text("127.0.0.1")
            assert debugger.process.wait(LONG) == 0, debugger.said
            debugger.reader.join(PATIENCE)
            check_session(debugger.said)
        assert f"moving.test,port={port} is at 127.0.0.1:{port} now" in target.said


def chain(host_relay_port, network_port=None):
    """debugger - tcp - relay - KDNET - relay - tcp - simulated target: its three programs."""
    near = Relay("tcp-listen:0", f"kdnet-host:port={host_relay_port}")
    target = sim("tcp-listen:0", "--json")
    port = int(target.wait(r"tcp-listen:127\.0\.0\.1:(\d+)")[1])
    far = Relay(f"kdnet-target:host=127.0.0.1,port={network_port or kdnet_port(near, 'target')}", f"tcp:127.0.0.1:{port}")
    return near, far, target


def test_two_relays_and_every_part_starts_again():
    udp = free_port()
    near, far, target = chain(udp)
    try:
        end = f"tcp:127.0.0.1:{near.port('debugger')}"
        check_session(debug(end, SESSION))
        far.process.kill()
        far.finish()
        with Relay(f"kdnet-target:host=127.0.0.1,port={udp}", f"tcp:{target.wait(r'tcp-listen:(127[.0-9:]+)')[1]}") as again:
            near.wait("down", "target")
            check_session(debug(end, SESSION))
            near.process.kill()
            near.finish()
            with Relay("tcp-listen:0", f"kdnet-host:port={udp}") as near2:
                check_session(debug(f"tcp:127.0.0.1:{near2.port('debugger')}", SESSION))
                assert "restarted" in again.wait("down", "debugger")["text"]
    finally:
        for relay in (near, far):
            if relay.process.poll() is None:
                relay.stop()
        target.kill()


def test_a_target_that_boots_again_is_a_new_session(tmp_path):
    with Relay(f"unix-listen:{tmp_path}/kd", "kdnet-host:port=0") as near:
        door = f"{tmp_path}/vm"
        with Relay(f"kdnet-target:host=127.0.0.1,port={kdnet_port(near, 'target')}", f"unix:{door}"):
            for number in range(2):
                with sim("--boot-stop", f"unix-listen:{door}"):
                    assert "simkernel" in debug(f"unix:{tmp_path}/kd", "lm; qd")
                    near.wait("up", "target", number + 1)


ETHERNET_PAYLOAD = 1500 - 20 - 8  # behind IPv4 and UDP


@pytest.mark.parametrize("options, fits", [((), True), (("--piece", "3944"), False)])
def test_datagrams_fit_an_ethernet_frame_unless_larger_ones_are_asked_for(options, fits):
    port = free_port()
    with Network(port) as network, sim(f"kdnet-target:host=127.0.0.1,port={network.port}"):
        check_session(debug(f"kdnet-host:port={port}", SESSION, *options))
        assert (network.largest <= ETHERNET_PAYLOAD) == fits


def test_a_bad_network():
    near = Relay("tcp-listen:0", "kdnet-host:port=0")
    with near, Network(kdnet_port(near, "target"), lose=0.02, repeat=0.02, reorder=0.02) as network:
        with sim(f"kdnet-target:host=127.0.0.1,port={network.port}"):
            near.wait("up", "target")
            for _ in range(3):
                check_session(debug(f"tcp:127.0.0.1:{near.port('debugger')}", SESSION))
        assert network.lost and network.repeated and network.reordered


def test_an_attacker_on_the_network_changes_nothing():
    """Every datagram is followed by forged ones: copies, older ones, changed and cut ones, noise."""
    seen = []
    noise = random.Random(7)

    def forge(data):
        seen.append(data)
        at = noise.randrange(len(data))
        yield data
        yield noise.choice(seen)
        yield data[:at] + bytes([data[at] ^ (1 << noise.randrange(8))]) + data[at + 1:]
        yield data[:noise.randrange(len(data))]
        yield b"MDBG" + noise.randbytes(noise.randrange(4200))

    near = Relay("tcp-listen:0", "kdnet-host:port=0")
    with near, Network(kdnet_port(near, "target"), extra=forge) as network:
        with sim(f"kdnet-target:host=127.0.0.1,port={network.port}"):
            near.wait("up", "target")
            check_session(debug(f"tcp:127.0.0.1:{near.port('debugger')}", SESSION))
    assert near.count("up", "target") == 1 and near.count("down", "target") == 0
    kdnet = near.summary()["target"]["kdnet"]
    assert kdnet["sessions"] == 1 and kdnet["data_in"] > 50
    assert kdnet["not_authentic"] and kdnet["repeated"] > kdnet["data_in"] and kdnet["malformed"]


def test_a_foreign_key_gets_no_answer_and_is_told_about():
    with Relay("tcp-listen:0", "kdnet-host:port=0") as near, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as eavesdropper:
        port = kdnet_port(near, "target")
        environment = {**os.environ, "KDWIRE_KDNET_KEY": OTHER_KEY}
        with sim(f"kdnet-target:host=127.0.0.1,port={port}", env=environment) as foreign:
            text = near.wait("warning", "target")["text"]
            assert "not made with our key" in text and "127.0.0.1" in text
            assert ": up: " not in foreign.said
        eavesdropper.sendto(b"MDBG\x04\x01" + bytes(368), ("127.0.0.1", port))
        eavesdropper.settimeout(0.3)
        with pytest.raises(TimeoutError):
            eavesdropper.recv(1)
        assert near.count("up", "target") == 0
        with sim(f"kdnet-target:host=127.0.0.1,port={port}"):
            near.wait("up", "target")


def test_where_a_key_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv("KDWIRE_KDNET_KEY")
    made = tmp_path / "made.key"
    assert subprocess.run([KDWIRE, "genkey", made]).returncode == 0
    assert made.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"([0-9a-z]{1,13}\.){3}[0-9a-z]{1,13}\n", made.read_text())
    again = subprocess.run([KDWIRE, "genkey", made], capture_output=True, text=True)
    assert again.returncode == 1 and "exists already" in again.stderr
    commented = tmp_path / "commented.key"
    commented.write_text(f"# of the test machine\n\n  {made.read_text().strip()}  \r\n")
    port = free_port()
    with sim(f"kdnet-target:host=127.0.0.1,port={port},key-file={commented}"):
        assert "simkernel" in debug(f"kdnet-host:port={port}", "lm; qd", "--key-file", str(made))


def read_until(terminal, text):
    got = b""
    while text not in got:
        assert select.select([terminal], [], [], PATIENCE)[0], f"no {text!r} in {got!r}"
        got += os.read(terminal, 4096)
    return got


def test_a_person_at_the_terminal_is_asked_and_the_key_is_not_shown(monkeypatch):
    monkeypatch.delenv("KDWIRE_KDNET_KEY")
    port = free_port()
    child, terminal = pty.fork()
    if child == 0:
        os.execv(KDWIRE, [KDWIRE, "debug", f"kdnet-host:port={port}", "-c", "lm; qd"])
    shown = read_until(terminal, b"KDNET key (w.x.y.z): ")
    os.write(terminal, KEY.encode() + b"\n")
    with sim(f"kdnet-target:host=127.0.0.1,port={port}", env={**os.environ, "KDWIRE_KDNET_KEY": KEY}):
        shown += read_until(terminal, b"simhal.dll")
        while True:  # until the program closes its end
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert KEY.encode() not in shown


@pytest.mark.parametrize("command", [("debug", "kdnet-target:host=h"), ("sim", "kdnet-host:"),
                                     ("relay", "-d", "kdnet-host:", "-t", "tcp:h:1"),
                                     ("relay", "-d", "tcp:h:1", "-t", "kdnet-target:host=h")])
def test_the_wrong_side_of_kdnet_is_refused(command):
    done = subprocess.run([KDWIRE, *command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    right = "write kdnet-host:port=50000" if "kdnet-target:host=h" in command else "write kdnet-target:host=HOST,port=50000"
    assert right in done.stderr


@pytest.mark.parametrize("content, says", [("", "no key in this file"), ("1.2.3\n", "fewer than four"),
                                           (KEY + "!\n", "character"), (None, "cannot read the key")])
def test_bad_key_files_are_refused_without_showing_them(tmp_path, content, says, monkeypatch):
    path = tmp_path / "bad.key"
    if content is not None:
        path.write_text(content)
    done = subprocess.run([KDWIRE, "debug", "kdnet-host:port=0", "--key-file", path, "-c", "q"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, start_new_session=True)
    assert done.returncode == 1 and says in done.stderr and KEY not in done.stderr
    monkeypatch.delenv("KDWIRE_KDNET_KEY")
    none = subprocess.run([KDWIRE, "debug", "kdnet-host:port=0", "-c", "q"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, start_new_session=True)
    assert none.returncode == 1 and "KDWIRE_KDNET_KEY" in none.stderr


def test_firmware_is_debugged_through_two_relays_and_a_bad_network():
    """kdwire debug - relay - KDNET, 2 % lost, doubled and reordered - relay - COM port - windbg.efi in QEMU."""
    tick = symbol_offset("hello", "hello_tick")
    commands = f"g; g; r; db @rip L400; bp hello+{tick:x}; g; r rip; k; eq @rsp-100 1122334455667788; dq @rsp-100 L1; t; bc *; qd"
    with Session("break count=1", app="hello", attach=False) as machine:
        machine.machine.kd.close()
        near = Relay("tcp-listen:0", "kdnet-host:port=0")
        with near, Network(kdnet_port(near, "target"), lose=0.02, repeat=0.02, reorder=0.02) as network:
            with Relay(f"kdnet-target:host=127.0.0.1,port={network.port}", f"unix:{machine.machine.path('kd')}") as far:
                near.wait("up", "target")
                text = debug(f"tcp:127.0.0.1:{near.port('debugger')}", commands)
                assert near.count("up", "target") == 1
                far.stop()
                assert far.summary()["target"]["dropped"] == 0
        assert network.lost and network.repeated and network.reordered
    assert f"Breakpoint 0 hit\nhello+0x{tick:x}:" in text
    assert "11223344`55667788" in text
    assert "hello from hello.efi" in text


def decode(path, *options, **environment):
    done = subprocess.run([KDWIRE, "decode", *options, path], capture_output=True, text=True,
                          env={**{k: v for k, v in os.environ.items() if k != "KDWIRE_KDNET_KEY"}, **environment})
    assert KEY not in done.stdout + done.stderr
    return done


def messages(path):
    """The names of a recording's requests and replies. One that was sent again, as it is on a machine
    that was busy for too long, counts once."""
    found = re.findall(r": (\w{8}) (\w+) (request|reply)", decode(path, KDWIRE_KDNET_KEY=KEY).stdout)
    return [(name, role) for (_, name, role), _ in itertools.groupby(found)]


@pytest.mark.parametrize("bind, address", [("", "127.0.0.1"), (",bind=*", "127.0.0.1"), (",bind=::1", "::1")])
def test_datagrams_are_recorded_as_they_are_on_the_wire(tmp_path, bind, address):
    with Relay("tcp-listen:0", f"kdnet-host:port=0{bind}", "--record-datagrams", f"{tmp_path}/wire.pcapng",
               "--record", f"{tmp_path}/kd.pcapng") as near:
        port = kdnet_port(near, "target")
        with sim(f"kdnet-target:host={address},port={port}"):
            near.wait("up", "target")
            check_session(debug(f"tcp:127.0.0.1:{near.port('debugger')}", SESSION))
        near.stop()
    for name in ("wire.pcapng", "kd.pcapng"):
        content = (tmp_path / name).read_bytes()
        assert KEY.encode() not in content and b"key=" not in content
    assert b"MDBG" not in (tmp_path / "kd.pcapng").read_bytes()
    assert (tmp_path / "wire.pcapng").stat().st_mode & 0o777 == 0o600
    silent = decode(f"{tmp_path}/wire.pcapng")
    assert silent.returncode == 0 and not silent.stdout and "--key-file" in silent.stderr
    wrong = decode(f"{tmp_path}/wire.pcapng", KDWIRE_KDNET_KEY=OTHER_KEY)
    assert wrong.returncode == 1 and "do not fit the key" in wrong.stderr
    shown = decode(f"{tmp_path}/wire.pcapng", KDWIRE_KDNET_KEY=KEY)
    assert shown.returncode == 0 and not shown.stderr
    assert "response: a session begins" in shown.stdout and "WriteBreakPoint request" in shown.stdout
    names = [messages(f"{tmp_path}/{name}") for name in ("wire.pcapng", "kd.pcapng")]
    assert names[0] == names[1] and len(names[0]) > 20, "the two recordings tell the same"
    # Wireshark's own program finds frames, checksums and ports in order
    fields = subprocess.run(["tshark", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-r",
                             f"{tmp_path}/wire.pcapng", "-T", "fields", "-e", "udp.port", "-e", "udp.checksum.status",
                             "-e", "ip.checksum.status"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(fields) > 50
    assert all(str(port) in line.split("\t")[0] and "0" not in line.split("\t")[1:] for line in fields)


def test_the_key_goes_into_a_recording_only_when_asked_for(tmp_path):
    with Relay("tcp-listen:0", "kdnet-host:port=0", "--record-datagrams", f"{tmp_path}/wire.pcapng", "--record-key") as near:
        with sim(f"kdnet-target:host=127.0.0.1,port={kdnet_port(near, 'target')}"):
            near.wait("up", "target")
            debug(f"tcp:127.0.0.1:{near.port('debugger')}", "r; qd")
        near.stop()
    assert f"key={KEY}\n".encode() in (tmp_path / "wire.pcapng").read_bytes()
    assert "GetContext" in decode(f"{tmp_path}/wire.pcapng").stdout


CAPTURES = pathlib.Path(os.environ.get("KDWIRE_CAPTURES", pathlib.Path(__file__).resolve().parents[3] / "shared" / "captures"))


@pytest.mark.skipif(not (CAPTURES / "windbg-uncut.pcapng.gz").exists(), reason="the capture of WinDbg is not here")
def test_a_capture_of_windbg_is_read(tmp_path):
    path = tmp_path / "uncut.pcapng"
    path.write_bytes(gzip.decompress((CAPTURES / "windbg-uncut.pcapng.gz").read_bytes()))
    shown = decode(path, "--key", "8.8.8.8")
    assert shown.returncode == 0 and not shown.stderr
    packets = [line for line in shown.stdout.splitlines() if re.search(r" (target > debugger|debugger > target): ", line)]
    assert len(packets) == 526 and "PrintString" in packets[0] and "Continue" in packets[-2]
    stats = decode(path, "--key", "8.8.8.8", "--stats").stdout
    assert re.search(r"damaged packets +0 +0\n", stats)
