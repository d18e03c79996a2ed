# SPDX-License-Identifier: BSD-2-Clause
"""kdwire relay --start-windbg and --start-wireshark: stand-ins are started as the real programs would
be, on Linux a script, under Wine a Win32 program where Windows has WinDbg and Wireshark."""
import os
import shutil
import subprocess

import pytest
from relay_ends import KDWIRE, PATIENCE, ROOT, Relay, connect_to, wait_until
from test_windows_relay import EXE, WindowsRelay, name  # noqa: F401 (a fixture)
from wine import PREFIX, windows_path

STAND_IN = ROOT / "build/windows/tests/system/windows/stand-in.exe"
windows = pytest.mark.skipif(not (EXE.exists() and STAND_IN.exists()), reason="kdwire.exe is not built")


@pytest.fixture
def script(tmp_path):
    """A program called wireshark: writes its arguments to `told`."""
    path = tmp_path / "bin" / "wireshark"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{tmp_path}/told.new; mv {tmp_path}/told.new {tmp_path}/told\n")
    path.chmod(0o755)
    return path


def told(tmp_path):
    wait_until((tmp_path / "told").exists, "the program was started")
    return (tmp_path / "told").read_text().split("\n")[:-1]


def test_wireshark_of_path_reads_the_fifo(tmp_path, script):
    fifo = tmp_path / "live"
    with Relay("tcp-listen:0", "tcp-listen:0", "--live", str(fifo), "--start-wireshark",
               env={**os.environ, "PATH": f"/nowhere:{script.parent}:/bin"}):
        assert told(tmp_path) == ["-k", "-i", str(fifo)]


def test_wireshark_named_by_its_path_comes_to_the_observer_port(tmp_path, script):
    with Relay("tcp-listen:0", "tcp-listen:0", "-o", "tcp-listen:0", f"--start-wireshark={script}") as relay:
        assert told(tmp_path) == ["-k", "-i", f"TCP@127.0.0.1:{relay.port('observer')}"]


def test_windbg_named_by_its_path_comes_to_the_port(tmp_path, script):
    """On Linux: a WinDbg that some other program runs."""
    with Relay("tcp-listen:0", "tcp-listen:0", f"--start-windbg={script}") as relay:
        assert told(tmp_path) == ["-k", f"com:ipport={relay.port('debugger')},port=127.0.0.1"]


@pytest.mark.parametrize("own,host", [
    ("*", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("[::]", "127.0.0.1"), ("[0:0::0]", "127.0.0.1"), ("[::1]", "::1"),
])
def test_a_listener_at_any_address_is_named_by_one_that_can_be_reached(tmp_path, script, own, host):
    with Relay(f"tcp-listen:{own}:0", "tcp-listen:0", f"--start-windbg={script}") as relay:
        port = relay.port("debugger")
        assert told(tmp_path) == ["-k", f"com:ipport={port},port={host}"]
        connect_to(port, host).close()
        relay.wait("up", "debugger")


def test_wireshark_takes_an_ipv6_address_in_brackets(tmp_path, script):
    with Relay("tcp-listen:0", "tcp-listen:0", "-o", "tcp-listen:[::1]:0", f"--start-wireshark={script}") as relay:
        assert told(tmp_path) == ["-k", "-i", f"TCP@[::1]:{relay.port('observer')}"]


@pytest.mark.parametrize("arguments,code,says", [
    (["--start-wireshark"], 2, "--start-wireshark needs --live, or --observe tcp-listen:PORT"),
    (["--start-windbg"], 1, "--start-windbg: WinDbg was not found: it is a Windows program"),
    (["-d", "pty:x", "--start-windbg"], 2, "--start-windbg needs a debugger end that WinDbg can come to"),
    (["-o", "tcp-listen:0", "--start-wireshark"], 1, "Wireshark was not found: no folder of PATH has it"),
    (["-o", "tcp-listen:0", "--start-wireshark=/nowhere/ws"], 1, "cannot start /nowhere/ws: no such file"),
])
def test_what_cannot_be_started_is_told(arguments, code, says):
    result = subprocess.run([KDWIRE, "relay", "-d", "tcp-listen:0", "-t", "tcp-listen:0", "-q", *arguments],
                            capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"},
                            timeout=PATIENCE, check=False)
    assert result.returncode == code and says in result.stderr, result.stderr


# ---- under Wine ----

def lines(path):
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def place():
    """Puts the stand-in at a path of Wine's drive C:, for one test."""
    made = []

    def put(path):
        to = PREFIX / "drive_c" / path
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(STAND_IN, to)
        made.append(to)
    yield put
    for path in made:
        path.unlink()


def user_folder():
    return next(path.name for path in (PREFIX / "drive_c/users").iterdir() if path.name != "Public")


def start_windbg(wine, pipe, tmp_path, *options):
    """Runs a relay with --start-windbg, until the stand-in is at its pipe."""
    file = tmp_path / "stand-in.txt"
    with WindowsRelay(f"pipe-listen:{pipe}", "tcp-listen:0", *(options or ["--start-windbg"]),
                      env={**os.environ, "KDWIRE_STAND_IN": windows_path(file)}) as relay:
        relay.wait("up", "debugger")
        wait_until(lambda: "connected" in lines(file), "the stand-in is at the pipe")
        assert lines(file) == ["-k", f"com:pipe,port={pipe},resets=0,reconnect", "connected"]


@windows
def test_windbg_of_the_store(wine, name, tmp_path, place):  # noqa: F811
    place(f"users/{user_folder()}/AppData/Local/Microsoft/WindowsApps/WinDbgX.exe")
    start_windbg(wine, name, tmp_path)


@windows
def test_windbg_of_the_kits_by_the_registry(wine, name, tmp_path, place):  # noqa: F811
    place("some kits/Debuggers/x64/windbg.exe")
    key = "HKLM\\SOFTWARE\\Microsoft\\Windows Kits\\Installed Roots"
    wine.run("reg.exe", "add", key, "/v", "KitsRoot10", "/d", "C:\\some kits\\", "/f", check=True)
    try:
        start_windbg(wine, name, tmp_path)
    finally:
        wine.run("reg.exe", "delete", key, "/v", "KitsRoot10", "/f")


@windows
def test_windbg_by_its_path_and_wireshark_of_the_program_folder(wine, name, tmp_path, place):  # noqa: F811
    place("Program Files/Wireshark/Wireshark.exe")
    start_windbg(wine, name, tmp_path, f"--start-windbg={windows_path(STAND_IN)}")
    file = tmp_path / "wireshark.txt"
    with WindowsRelay("tcp-listen:0", "tcp-listen:0", "--live", f"pipe-listen:{name}-live", "--start-wireshark",
                      env={**os.environ, "KDWIRE_STAND_IN": windows_path(file)}) as relay:
        relay.wait("observer-up")
        wait_until(lambda: "connected" in lines(file), "the stand-in is at the pipe")
        assert lines(file) == ["-k", "-i", f"{name}-live", "connected"]


@windows
def test_windbg_that_is_not_there_is_told(wine, name):  # noqa: F811
    result = wine.run(EXE, "relay", "-d", f"pipe-listen:{name}", "-t", "tcp-listen:0", "--start-windbg")
    assert result.returncode == 1
    assert result.stderr.decode().splitlines() == [
        "kdwire relay: --start-windbg: WinDbg was not found: neither the Store's, nor one of the Windows kits, nor "
        "on PATH (winget install Microsoft.WinDbg); if it is elsewhere, write --start-windbg=PROGRAM"]
