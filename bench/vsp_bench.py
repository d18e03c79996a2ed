#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""COM77 (Wine, htsvsp.dll, TCP) beside a plain socket and drivers that do next to nothing, in one run.

Prints one JSON object per line: `port_per_socket` is what a program gets through the port of what a
socket of its own would give it. `null_per_socket` is the same for a driver that does nothing, the most
that any driver could reach there, as Wine passes each request through its server (two processes, three
copies); `bare_per_socket` for one that does no more than the socket program: its send or recv in each
request. `port_per_bare` is what is ours. Then at the serial line of a virtual machine, whose pace is
what the port is for. First the same driver without Wine (bench/vsp.c).
"""
import contextlib
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import wine  # noqa: E402

BUILD = ROOT / "build/driver"
CLIENT = BUILD / "tests/windows/vsp_client.exe"
MEASURE = BUILD / "tests/windows/vsp_bench.exe"


NATIVE = ROOT / "build/linux/bench/vsp-bench"


# Guests of one sector that use COM1 with nothing between: one gives each byte back, one gives bytes
# without end. Both turn the FIFO on, as Windows does.
FIFO = bytes.fromhex("bafa03" "b0c7" "ee")        # mov dx,3fa; mov al,c7; out dx,al
ECHO = bytes.fromhex("bafd03" "ec" "a801" "74fb"  # mov dx,3fd; take: in al,dx; test al,1; jz take
                     "b2f8" "ec" "88c4" "b2fd"    # mov dl,f8; in al,dx; mov ah,al; mov dl,fd
                     "ec" "a820" "74fb"           # give: in al,dx; test al,20; jz give
                     "b2f8" "88e0" "ee" "b2fd"    # mov dl,f8; mov al,ah; out dx,al; mov dl,fd
                     "ebe6")                      # jmp take
GIVE = bytes.fromhex("bafd03" "ec" "a820" "74fb"  # mov dx,3fd; give: in al,dx; test al,20; jz give
                     "b2f8" "ee" "b2fd" "ebf4")   # mov dl,f8; out dx,al; mov dl,fd; jmp give


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def guest(code):
    """A virtual machine that runs the sector; the TCP port of its serial line."""
    port = free_port()
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write((FIFO + code).ljust(510, b"\0") + b"\x55\xaa")
        disk.flush()
        machine = subprocess.Popen(
            ["qemu-system-x86_64", "-display", "none", "-nodefaults", "-m", "16", "-drive",
             f"file={disk.name},format=raw,if=floppy,readonly=on", "-boot", "a", "-serial",
             f"tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on"])
        try:
            wait_until_served(port)
            yield port
        finally:
            machine.kill()
            machine.wait()


def wait_until_served(port):
    """Until the guest runs: it answers, or gives by itself."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
                line.sendall(b"x")
                if line.recv(1):
                    return
        except OSError:
            pass


def measure_at_machine(session):
    if not shutil.which("qemu-system-x86_64"):
        print("vsp_bench: QEMU is missing; nothing measured at a virtual machine", file=sys.stderr)
        return
    for what, code in (("echo", ECHO), ("give", GIVE)):
        with guest(code) as port:
            show(session.run(MEASURE, what, port, limit=300, check=True))


def show(done):
    print(done.stdout.decode().replace("\r", ""), end="", flush=True)


def main():
    subprocess.run([NATIVE], check=True)
    if not wine.is_installed() or not CLIENT.exists():
        print("vsp_bench: Wine or build/driver is missing; nothing measured", file=sys.stderr)
        return
    session = wine.Wine()
    try:
        hold = session.start(CLIENT, "hold", stdout=subprocess.PIPE)
        hold.stdout.readline()
        session.run(CLIENT, "install", wine.windows_path(BUILD / "tests/windows/vsptest.sys"),
                    wine.windows_path(BUILD / "windows/vsp/htsvsp.dll"), check=True)
        show(session.run(MEASURE, limit=900, check=True))
        measure_at_machine(session)
        session.run(CLIENT, "remove", check=True)
    finally:
        session.close()


if __name__ == "__main__":
    main()
