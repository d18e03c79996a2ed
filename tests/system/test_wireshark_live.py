# SPDX-License-Identifier: BSD-2-Clause
"""Wireshark's interface list: kdwire as an extcap program, asked by tshark and by hand."""
import os
import select
import struct
import subprocess

import pytest

from relay_ends import KDWIRE, PATIENCE, Recording, blocks, wait_until
from wireshark_run import PLUGIN, ROOT, Tshark, install_extcap, open_folder

WAKE = 5  # the type of an interface statistics block

pytestmark = pytest.mark.skipif(not PLUGIN, reason="the plugin is not built")


@pytest.fixture
def folder():
    with open_folder() as path:
        yield path


@pytest.fixture
def sim(folder):
    """A simulated machine; its endpoint."""
    path = folder / "sim.sock"
    process = subprocess.Popen([KDWIRE, "sim", f"unix-listen:{path},mode=666", "--quiet"])
    wait_until(path.exists, "the simulated machine listens")
    yield f"unix:{path}"
    process.terminate()
    process.wait()


def ask(*arguments):
    return subprocess.run([KDWIRE, *arguments], capture_output=True, text=True)


def test_what_wireshark_asks():
    listed = ask("--extcap-interfaces", "--extcap-version=4.0").stdout
    assert "interface {value=kdwire}" in listed and "interface {value=kdwire-observe}" in listed
    assert "control {number=2}{type=button}" in listed
    dlts = ask("--extcap-interface", "kdwire", "--extcap-dlts").stdout
    assert dlts.startswith("dlt {number=252}")
    config = ask("--extcap-interface", "kdwire", "--extcap-config").stdout
    for call in ("--debugger", "--target", "--key-file", "--record"):
        assert f"{{call={call}}}" in config
    assert ask("--extcap-interface", "kdwire", "--extcap-capture-filter", "x").returncode == 0
    wrong = ask("--extcap-interface", "eth0", "--extcap-dlts")
    assert wrong.returncode == 2 and "--extcap-interfaces" in wrong.stderr


def attach(end):
    done = subprocess.run([KDWIRE, "debug", end, "-c", "vertarget; qd"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_session_from_the_interface_list(folder, sim):
    """tshark starts the relay; packets come while the session runs."""
    home = folder / "home"
    home.mkdir()
    install_extcap(home)
    tshark = Tshark(home)
    assert "kdwire (KD session (relay))" in tshark.run("-D")
    ends = folder / "ends"
    ends.mkdir()
    Tshark.give(ends)
    capture = subprocess.Popen(
        tshark.command("-l", "-i", "kdwire",
                       "-o", f"extcap.kdwire.debugger:unix-listen:{ends}/kd.sock,mode=666",
                       "-o", f"extcap.kdwire.target:{sim}"),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_until((ends / "kd.sock").exists, "the relay listens")
        attach(f"unix:{ends}/kd.sock")
        assert any("GetVersion reply" in line for line in capture.stdout)
    finally:
        capture.terminate()
        assert capture.wait(20) in (0, 143, -15)
        capture.stdout.close()  # not before: tshark may just be writing to it
    wait_until(lambda: not (ends / "kd.sock").exists(), "the relay is gone, too")


def control(number, command, text=b""):
    return b"T" + struct.pack(">I", len(text) + 2)[1:] + bytes([number, command]) + text


def test_notes_from_the_toolbar(folder, sim):
    """They stand between whole records, wherever they come."""
    fifo, toolbar = folder / "fifo", folder / "control"
    os.mkfifo(fifo)
    os.mkfifo(toolbar)
    capture = subprocess.Popen(
        [KDWIRE, "--capture", "--extcap-interface", "kdwire", "--fifo", fifo,
         "--extcap-control-in", toolbar, "--target", sim,
         "--debugger", f"unix-listen:{folder}/kd.sock"])
    with open(fifo, "rb") as stream, open(toolbar, "wb", buffering=0) as pipe:
        wait_until((folder / "kd.sock").exists, "the relay listens")
        pipe.write(control(0, 1, b"here it hung"))
        pipe.write(control(1, 1)[:3])
        pipe.write(control(1, 1)[3:])
        attach(f"unix:{folder}/kd.sock")
        pipe.write(control(2, 1) + control(0, 6, b"status"))
        attach(f"unix:{folder}/kd.sock")
        data = b""
        while b"marked by the user" not in data:
            data += os.read(stream.fileno(), 65536)
    assert capture.wait(20) == 0  # nobody reads any more
    comments = Recording(data).comments
    assert "here it hung" in comments


def test_blocks_that_wake_wireshark_follow_the_last_packet(folder, sim):
    """Before 4.4 Wireshark looks for packets only when bytes come. They show nothing, and end."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    capture = subprocess.Popen([KDWIRE, "--capture", "--extcap-interface", "kdwire", "--fifo", fifo,
                                "--target", sim, "--debugger", f"unix-listen:{folder}/kd.sock"])
    with open(fifo, "rb") as stream:
        data = os.read(stream.fileno(), 65536)
        wait_until((folder / "kd.sock").exists, "the relay listens")
        assert all(block.kind != WAKE for block in blocks(data))  # nothing to tell of
        attach(f"unix:{folder}/kd.sock")
        while data[-24:-20] != struct.pack("<I", WAKE):
            assert select.select([stream], [], [], PATIENCE)[0], "no such block came"
            data += os.read(stream.fileno(), 65536)
    assert capture.wait(20) == 0
    saved = folder / "saved.pcapng"
    saved.write_bytes(data)
    saved.chmod(0o644)
    home = folder / "home"
    home.mkdir()
    packets = [block for block in blocks(data) if block.kind == 6]
    shown = Tshark(home).lines(saved)
    assert len(shown) == len(packets) and all(" KD " in line for line in shown)


def test_observing_a_relay_that_runs(folder, sim):
    relay = subprocess.Popen([KDWIRE, "relay", "--quiet", "--debugger",
                              f"unix-listen:{folder}/kd.sock", "--target", sim, "--observe",
                              f"unix-listen:{folder}/watch.sock"])
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    wait_until((folder / "watch.sock").exists, "the relay listens")
    capture = subprocess.Popen([KDWIRE, "--capture", "--extcap-interface", "kdwire-observe",
                                "--fifo", fifo, f"--observe=unix:{folder}/watch.sock"])
    with open(fifo, "rb") as stream:
        data = os.read(stream.fileno(), 65536)
        attach(f"unix:{folder}/kd.sock")
        while b"iiii\4" not in data:
            data += os.read(stream.fileno(), 65536)
        relay.terminate()
        relay.wait(20)
        while chunk := os.read(stream.fileno(), 65536):
            data += chunk
    assert Recording(data).sent[0] and Recording(data).sent[1]
    assert capture.wait(20) == 1  # and says that the recording ended


def test_installing_for_all_users_and_removing(folder):
    """Where this machine's Wireshark looks, below DESTDIR."""
    script = ROOT / "tools/install-wireshark"
    if not (ROOT / "dist/wireshark/version").exists():
        pytest.skip("tools/build has not filled dist/")
    environment = {**os.environ, "DESTDIR": str(folder)}

    def files():
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    subprocess.run([script, "--system"], env=environment, check=True, capture_output=True)
    names = [name.rsplit("/", 1)[1] for name in files()]
    assert {"kdwire.so", "kdwire-extcap", "colorfilters", "preferences"} <= set(names)
    assert any(name.endswith("epan/kdwire.so") for name in files())
    subprocess.run([script, "--system", "--remove"], env=environment, check=True,
                   capture_output=True)
    assert files() == []
