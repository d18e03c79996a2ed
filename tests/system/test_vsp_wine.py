# SPDX-License-Identifier: BSD-2-Clause
"""The driver as Windows programs see it: htsvsp.dll behind \\\\.\\COM77 under Wine, by a test driver that
does what the system's reflector does (tests/windows/reflector.c)."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from uefi import qemu
from uefi.session import KDWIRE, Session, symbol_offset
from wine import PREFIX, ROOT, windows_path

BUILD = pathlib.Path(ROOT, "build/driver")
CONTROL = BUILD / "windows/control/vspControl.exe"
EXE = pathlib.Path(os.environ.get("KDWIRE_EXE", pathlib.Path(ROOT, "build/windows/src/cli/kdwire.exe")))
CLIENT = BUILD / "tests/windows/vsp_client.exe"


@pytest.fixture(scope="module")
def port(wine_session):
    if not CLIENT.exists():
        pytest.skip("build/driver is not built (tools/build does)")
    # The program that is first starts Wine's services, which inherit its output and keep it open:
    # one that nobody waits for the end of.
    hold = wine_session.start(CLIENT, "hold", stdout=subprocess.PIPE)
    assert hold.stdout.readline().startswith(b"holding")
    done = wine_session.run(CLIENT, "install", windows_path(BUILD / "tests/windows/vsptest.sys"),
                            windows_path(BUILD / "windows/vsp/htsvsp.dll"))
    assert done.returncode == 0, done.stdout.decode()

    def run(name):
        done = wine_session.run(CLIENT, name)
        assert done.returncode == 0, done.stdout.decode()

    run.wine = wine_session  # for tests that need more
    yield run
    run("remove")  # unloads: every request has ended, or the stand-in framework aborts
    hold.kill()
    hold.wait()
    hold.stdout.close()


@pytest.mark.parametrize("name", ["state", "timeouts", "events", "purge-and-cancel", "second-open", "peers",
                                  "listener", "bulk"])
def test_port(port, name):
    port(name)


def vsp_control(port, *arguments, code=0, device=True):
    """vspControl's output, both streams; the last argument group names the port's interface."""
    if device:
        arguments += ("--device", "\\\\.\\VspTest")
    done = port.wine.run(CONTROL, *arguments)
    text = (done.stdout + done.stderr).decode().replace("\r", "")
    assert done.returncode == code, text
    return text


def wait_for(condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    assert condition()


def test_control_sets_and_shows(port):
    before = json.loads(vsp_control(port, "status", "--json"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        vsp_control(port, "set", "--connect", f"127.0.0.1:{number}", "--when", "always", "--retry", "1")
        peer, _ = listener.accept()
        peer.sendall(b"nobody listens")
        text = vsp_control(port, "doctor")
        assert re.search(r"COM77  tcp:127.0.0.1:\d+  connected", text) and "received while no program" in text
        status = json.loads(vsp_control(port, "status", "--json"))
        assert status["state"] == "connected" and status["peer"] == f"127.0.0.1:{number}" and status["dcd"]
        assert status["received"] - before["received"] == 14
        assert status["discarded"] - before["discarded"] == 14 and not status["open"]
        peer.close()
    text = vsp_control(port, "doctor", code=1)
    assert "nothing listens at the port" in text
    assert "connected: 127.0.0.1" in vsp_control(port, "log")
    text = vsp_control(port, "set", "--listen", "[::1]:0")
    assert "tcp-listen:[::1]:0" in text
    assert "nobody has connected" in vsp_control(port, "doctor", code=1)


STATE_CHANGE = bytes.fromhex("30303030" "0700" "0400" "00008080" "0a000000") + bytes((1, 2, 3, 4)) + b"\xaa"


@pytest.mark.parametrize("sent,says", [
    (b"junk" + STATE_CHANGE * 3 + STATE_CHANGE[:9], "it is KD: 3 sound packets of data lately, the last one"),
    (bytes.fromhex("69696969" "0600" "0000" "00000000" "00000000"), "only its acknowledgements and resets"),
    (STATE_CHANGE.replace(b"\1\2\3\4", b"\1\2\3\5"), "no packet is whole"),
    (b"\r\nWelcome to the machine\r\nlogin: ", "it is text, not KD"),
    (bytes.fromhex("fffb01fffb03fffd00"), "it is Telnet"),
    (bytes(range(128, 250)) * 70, "neither KD nor text"),
], ids=["data", "control", "damaged", "text", "telnet", "unknown"])
def test_doctor_knows_kd(port, sent, says):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        vsp_control(port, "set", "--connect", f"127.0.0.1:{listener.getsockname()[1]}")
        peer, _ = listener.accept()
        peer.sendall(b"\n" * 8192 + sent)  # what came before is not looked at any more
        for _ in range(5):  # until it has come
            text = vsp_control(port, "doctor")
            if says in text:
                break
        assert says in text
        peer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.recv(1)  # nothing was sent
        peer.close()
    vsp_control(port, "--stop")


def test_log_to_a_file(port, tmp_path):
    path = tmp_path / "vsp.log"
    vsp_control(port, "log", "--level", "0", "--save", windows_path(path))
    port("listener")  # a program's calls, and peers
    vsp_control(port, "log", "--level", "2", "--save", windows_path(path))
    text = path.read_text()
    assert "control SET_TIMEOUTS" in text and re.search(r"^\d+\.\d{3} info: connected: ", text, re.M)
    before = len(text)
    port("listener")
    vsp_control(port, "log", "--save", windows_path(path))
    assert "SET_TIMEOUTS" not in path.read_text()[before + len(text):]  # the level holds
    assert "cannot be written" in vsp_control(port, "log", "--save", windows_path(tmp_path / "no/vsp.log"), code=1)


@pytest.mark.parametrize("arguments,says", [
    (("set", "--connect", "host"), "the port is missing; for example --connect xenhost:7001"),
    (("set", "--connect", "fe80::1:7001"), "[ADDRESS]:PORT"),
    (("set", "--listen", "70000"), "must be a number from 0 to 65535"),
    (("set", "--when", "sometimes"), "always open dtr"),
    (("set", "--retry", "soon"), "must be a number"),
    (("set", "--connect", "a:1", "--listen", "2"), "exclude each other"),
    (("set", "COM77", "what"), "what is 'what'?"),
])
def test_control_refuses_bad_usage(port, arguments, says):
    assert says in vsp_control(port, *arguments, code=2)


def test_control_without_a_port(port):
    assert "no htsvsp port runs" in vsp_control(port, "status", code=1, device=False)
    assert "is no command" in vsp_control(port, "frobnicate", code=2, device=False)
    assert "usage: vspControl" in vsp_control(port, "--help", device=False)
    assert "--connect HOST:PORT" in vsp_control(port, "add", code=1, device=False)


def test_options_of_the_first_control(port):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        text = vsp_control(port, "-c", "-p", str(number), "-i", "127.0.0.1")
        assert "COM77 configured" in text
        listener.accept()[0].close()
    vsp_control(port, "-w", "7")
    vsp_control(port, "-t", "1")
    text = vsp_control(port, "-r")
    assert "wait units: 7" in text and "trace level: 1" in text
    assert "COM77 stopped" in vsp_control(port, "--stop")
    text = vsp_control(port, "-s", "-p", "0", code=1)
    assert "-p PORT must be from 1 to 65535" in text
    with socket.create_server(("127.0.0.1", 0)) as unused:
        number = unused.getsockname()[1]
    text = vsp_control(port, "-s", "-p", str(number), "-i", "127.0.0.1", "-v", "--selectPort", "77")
    assert "COM77 configured" in text and f"tcp-listen:127.0.0.1:{number}" in text and "baud" in text
    wait_for(lambda: json.loads(vsp_control(port, "status", "--json"))["state"] == "listening")
    socket.create_connection(("127.0.0.1", number)).close()
    vsp_control(port, "--stop")
    vsp_control(port, "-c", "-p", "1", code=1)  # without an address
    vsp_control(port, "-c", "-s", code=2)


@pytest.fixture
def com_database(port, tmp_path, monkeypatch):
    """COM3 and COM77 are in use, says a stand-in for Windows' msports.dll; Wine's own ends the program."""
    in_use = bytearray(256)
    in_use[3 - 1] = in_use[77 - 1] = 1
    database = tmp_path / "com.db"
    database.write_bytes(in_use)
    monkeypatch.setenv("KDWIRE_COM_DATABASE", windows_path(database))
    place = PREFIX / "drive_c/windows/system32/msports.dll"
    wines = place.read_bytes()
    shutil.copy(BUILD / "tests/windows/msports.dll", place)
    yield database
    place.write_bytes(wines)


def test_com_numbers_of_the_first_control(port, com_database):
    assert vsp_control(port, "-l", device=False) == "COM3\nCOM77\n"
    assert vsp_control(port, "-d", "77", device=False) == ""
    assert vsp_control(port, "-l", device=False) == "COM3\n"
    for bad in ("", "seven", "0", "-3", "4097", "7x"):
        assert "is no COM number; -d needs one from 1 to 4096" in vsp_control(port, "-d", bad, code=2, device=False)
    assert sum(com_database.read_bytes()) == 1
    vsp_control(port, "-d", "COM3", device=False)
    assert vsp_control(port, "--listports", device=False) == ""
    com_database.unlink()
    assert "the COM database cannot be opened" in vsp_control(port, "-l", code=1, device=False)


def test_echo_service_of_the_first_control(port):
    service = port.wine.start(CONTROL, "--echoservice", "0", stdout=subprocess.PIPE)
    number = int(re.search(rb"127.0.0.1:(\d+)", service.stdout.readline())[1])
    for _ in range(2):  # one peer after the other
        with socket.create_connection(("127.0.0.1", number), timeout=20) as peer:
            peer.sendall(b"there and back")
            assert peer.recv(100) == b"there and back"
    service.kill()
    service.wait()
    service.stdout.close()


class LoopServer:
    """A terminal server: python3-serial's RFC 2217 server, whose serial line is a loop."""

    def __init__(self):
        serial = pytest.importorskip("serial", reason="python3-serial is not installed")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.line = serial.serial_for_url("loop://", timeout=0.02)
        self.breaks = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def write(self, data):
        with self.lock:
            self.peer.sendall(data)

    def serve(self):
        from serial import rfc2217  # pylint: disable=import-outside-toplevel
        self.peer, _ = self.listener.accept()
        self.lock = threading.Lock()
        manager = rfc2217.PortManager(self.line, self)
        back = threading.Thread(target=self.serve_back, args=(manager,), daemon=True)
        back.start()
        while data := self.peer.recv(4096):
            self.line.write(b"".join(manager.filter(data)))
            self.breaks.append(self.line.break_condition)
        self.peer.close()
        back.join()

    def serve_back(self, manager):
        try:
            while True:
                if data := self.line.read(4096):
                    self.write(b"".join(manager.escape(data)))
                manager.check_modem_lines()
        except OSError:
            pass  # the port has hung up


def test_rfc2217_client(port):
    server = LoopServer()
    text = vsp_control(port, "set", "--connect", f"127.0.0.1:{server.port}", "--rfc2217")
    assert f"tcp:127.0.0.1:{server.port} (rfc2217)" in text
    port("far-line")
    assert json.loads(vsp_control(port, "status", "--json"))["protocol"] == "rfc2217"
    vsp_control(port, "set", "--raw")  # hangs up
    server.thread.join(20)
    assert (server.line.baudrate, server.line.bytesize, server.line.parity, server.line.stopbits) == (57600, 8, "E", 2)
    assert server.breaks.index(True) < len(server.breaks) - 1 and not server.breaks[-1]
    assert not server.line.dtr  # falls when the program closes the port
    vsp_control(port, "--stop")


def test_rfc2217_server(port):
    serial = pytest.importorskip("serial", reason="python3-serial is not installed")
    vsp_control(port, "set", "--listen", "127.0.0.1:0", "--rfc2217")
    wait_for(lambda: json.loads(vsp_control(port, "status", "--json"))["state"] == "listening")
    number = json.loads(vsp_control(port, "status", "--json"))["local_port"]
    program = port.wine.start(CLIENT, "far-client", stdout=subprocess.PIPE)
    assert program.stdout.readline().startswith(b"ready")
    try:
        with serial.serial_for_url(f"rfc2217://127.0.0.1:{number}", baudrate=19200, timeout=20) as peer:
            peer.rts = True
            peer.write(bytes(range(256)))
            assert peer.read(256) == bytes(range(256))
            assert peer.cts and peer.dsr and peer.cd
            peer.send_break(0.05)
            peer.rts = False
            for _ in range(200):
                if not peer.cts:
                    break
                time.sleep(0.05)
            assert not peer.cts
            peer.write(b".")
            assert program.wait(30) == 0, program.stdout.read()
    finally:
        program.kill()  # has ended, or would keep the port
        program.wait()
    program.stdout.close()
    vsp_control(port, "set", "--raw")
    vsp_control(port, "--stop")


class Forwarder:
    """QEMU's serial socket as a TCP port, for one connection at a time."""

    def __init__(self, path):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.path = str(path)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        peer, _ = self.listener.accept()
        target = socket.socket(socket.AF_UNIX)
        target.connect(self.path)
        back = threading.Thread(target=self.copy, args=(target, peer), daemon=True)
        back.start()
        self.copy(peer, target)
        back.join()
        peer.close()
        target.close()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def checked(done):
    text = done.stdout.decode().replace("\r", "")
    assert done.returncode == 0, text[-2000:] + done.stderr.decode()
    return text


def debug_arguments(endpoint, commands):
    return "debug", endpoint, "--timeout", f"{qemu.PATIENCE:.0f}", "-c", commands


@pytest.mark.skipif(KDWIRE is None or not EXE.exists(), reason="kdwire and kdwire.exe are not built (tools/build)")
def test_the_whole_way_to_firmware(port):
    """kdwire.exe debug - COM77 - htsvsp.dll - TCP - QEMU - windbg.efi."""
    tick = symbol_offset("hello", "hello_tick")
    mebibyte = "; ".join(f"dq {at:x} L2000" for at in range(0x100000, 0x200000, 0x10000))
    with Session("break count=1", app="hello", attach=False) as session:
        session.machine.kd.close()
        forwarder = Forwarder(session.machine.path("kd"))
        vsp_control(port, "set", "--connect", f"127.0.0.1:{forwarder.port}")
        text = checked(port.wine.run(EXE, *debug_arguments(
            "serial:COM77", f"g; g; bp hello+{tick:x}; g; r rip; bc *; {mebibyte}; q"), limit=4 * qemu.PATIENCE))
        assert f"Breakpoint 0 hit\nhello+0x{tick:x}:" in text
        assert "it is KD: " in vsp_control(port, "doctor")
        vsp_control(port, "--stop")
        direct = checked(subprocess.run([KDWIRE, *debug_arguments(f"unix:{session.machine.path('kd')}",
                                                                  f"{mebibyte}; qd")],
                                        stdin=subprocess.DEVNULL, capture_output=True, timeout=4 * qemu.PATIENCE,
                                        check=False))
    rows = [re.findall(r"^[0-9a-f`]{8,} .*$", text, re.M) for text in (text, direct)]
    assert len(rows[1]) >= 1 << 16 and rows[0][-len(rows[1]):] == rows[1]


def test_setup_as_far_as_wine_goes(port):
    """Certificate stores, package, device node, its name and removal are real; Wine starts no UMDF driver."""
    package = pathlib.Path(ROOT, "dist/windows")
    if not package.exists():
        pytest.skip("dist/windows is not built (tools/build does)")
    inf = ("--inf", windows_path(package / "htsvsp.inf"))
    while "COM88" in vsp_control(port, "list", device=False):  # of a run that was broken off
        vsp_control(port, "remove", "COM88", device=False)
    text = vsp_control(port, "install", *inf, "--certificate", windows_path(package / "htsvsp.cer"), "--yes",
                       device=False)
    assert "is to be trusted by this computer" in text and "installed: " in text
    assert "COM88 was made but does not run" in vsp_control(port, "add", "--connect", "host:7001", "--com", "COM88", *inf,
                                                            code=1, device=False)
    assert "COM88  not present" in vsp_control(port, "list", device=False)
    assert json.loads(vsp_control(port, "list", "--json", device=False))["port"] == "COM88"
    vsp_control(port, "remove", "COM88", device=False)
    assert "COM88" not in vsp_control(port, "list", device=False)
    assert "COM88 is no htsvsp port" in vsp_control(port, "remove", "COM88", code=1, device=False)
    assert "missing.inf" in vsp_control(port, "install", "--inf", "missing.inf", code=1, device=False)
    # The same by the first vspControl's options.
    assert "installed: " in vsp_control(port, "--install", inf[1], device=False)
    assert "htsvsp.inf: the file is not there" in vsp_control(port, "--addDevice", "-c", "-p", "7001", "-i", "host",
                                                              code=1, device=False)  # not beside the program
    vsp_control(port, "add", "--connect", "host:7001", "--com", "COM88", *inf, code=1, device=False)
    assert "COM88  not present" in vsp_control(port, "--listDevices", device=False)
    for option in ("--disableDevice", "--enableDevice"):  # Wine cannot, and the program says so
        assert "COM88: " in vsp_control(port, option, "COM88", code=1, device=False)
        assert "COM89 is no htsvsp port" in vsp_control(port, option, "COM89", code=1, device=False)
    vsp_control(port, "--removeDevice", "COM88", device=False)
    assert "COM88" not in vsp_control(port, "--listDevices", device=False)
    assert "pnputil" in vsp_control(port, "--uninstall", inf[1], code=1, device=False)
