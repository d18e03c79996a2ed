# SPDX-License-Identifier: BSD-2-Clause
"""Debug sessions for the tests: a restored machine, the engine in it, a program, a debugger."""

import atexit
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from . import kd, qemu

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("KDWIRE_UEFI_BUILD", ROOT / "build" / "uefi")) / "uefi"

# initial-break: every session begins with a stop, so that no test races with the program.
# modules=new: the hundred images of the firmware are reported in one test only.
CONFIG = {"port": "com2", "initial-break": "on", "modules": "new"}

KDWIRE = next((str(p) for p in (os.environ.get("KDWIRE"), ROOT / "dist" / "linux" / "kdwire",
                                ROOT / "build" / "linux" / "src" / "cli" / "kdwire") if p and os.access(p, os.X_OK)), None)

_snapshots = None


def image(name):
    path = BUILD / ("" if name == "windbg" else "apps") / f"{name}.efi"
    if not path.exists():
        pytest.skip(f"{path.name} is not built: meson setup build/uefi --cross-file cross/uefi-x86_64.txt && "
                    "ninja -C build/uefi")
    return path


def snapshots():
    global _snapshots
    if qemu.missing():
        pytest.skip(qemu.missing())
    if _snapshots is None:
        _snapshots = qemu.Snapshots(image("waiter"))
        atexit.register(_snapshots.close)
    return _snapshots


def config_text(changes):
    return " ".join(f"{key}={value}" for key, value in {**CONFIG, **changes}.items() if value is not None)


class Session:
    """`with Session("int3") as s:` is a program that is about to start, stopped in the debugger."""

    def __init__(self, command="nothing", machine="q35", cpus=1, port=2, app="guest_test", attach=True, options=None,
                 child=True, console=True, files=None, **changes):
        files = {**(files or {}), "opt/kd/go": b"1", "opt/kd/windbg.efi": image("windbg"), "opt/kd/app.efi": image(app),
                 "opt/kd/app.options": command.encode(),
                 "opt/kdwire/config": config_text({"port": f"com{port}", **changes}).encode()}
        if options is not None:
            files["opt/kd/windbg.options"] = options.encode()
        if child:
            files["opt/kd/child.efi"] = image("hello")
        serial = {1: "file"} if console and port != 1 else {}
        self.machine = snapshots().restore(machine, cpus, kd_port=port, serial=serial, fw_cfg=files)
        self._symbols = {}
        try:
            self.kd = kd.Kd(self.machine.kd, patience=qemu.PATIENCE)
            self.first = self.kd.attach() if attach else None
        except BaseException:
            self.machine.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print("guest said:\n" + self.machine.debug_text())
            print(f"debugger printed: {self.kd.prints!r}; noise: {bytes(self.kd.noise[-500:])!r}; "
                  f"packets {self.kd.packets_in}, duplicates {self.kd.duplicates}, resends {self.kd.resends}")
        self.machine.close()

    def sym(self, name):
        """The guest's address of a symbol; it says them before it begins."""
        if name not in self._symbols:
            text = self.machine.debug_text()
            self._symbols = {k.lstrip("&"): int(v, 16) for k, v in re.findall(r"^sym (\S+)=([0-9a-f]+)$", text, re.M)}
        return self._symbols[name]

    def in_guest(self, address):
        return 0 <= address - self.sym("image") < self.sym("image_size")

    def go_to_program(self):
        """From the first stop to the program's first stop."""
        self.kd.go()
        return self.kd.wait_stop()

    def saw(self, name):
        """What the guest says it saw: `saw rax=...`."""
        return re.findall(rf"^saw {re.escape(name)}=(\S+)$", self.machine.debug_text(), re.M)[-1]

    def end(self):
        """Let the program run to its end; returns what it said."""
        self.kd.go()
        return self.to_end()

    def until(self, condition, what, stops=False):
        """Serve the line until the condition holds; a stop on the way is an error unless allowed."""
        deadline = time.monotonic() + qemu.PATIENCE
        while not condition():
            self.kd.pump(0.02)
            if not stops and self.kd.stop_pending():
                raise kd.KdError(f"{self.kd.wait_stop()} before {what}")
            if time.monotonic() > deadline:
                raise kd.KdError(f"no {what} in {qemu.PATIENCE:.0f} s")

    def to_end(self):
        self.until(lambda: "waiter: done" in self.machine.debug_text(), "the program's end")
        return self.machine.debug_text()

    def to_reset(self):
        """Serve the line until QEMU ends, which a reset makes it do."""
        try:
            self.until(lambda: self.machine.process.poll() is not None, "reset")
        except (kd.Closed, OSError):
            pass
        assert self.machine.wait_end() == 0
        self.kd.drain()


def run_until_spinning(session):
    session.kd.go()
    session.until(lambda: "guest: spinning" in session.machine.debug_text(), "spin")


def gates(text):
    """The handler of int3 before and after something happened, as the guest says it."""
    return [int(x, 16) for x in re.findall(r"gate (?:before|after)=([0-9a-f]+)", text)]


def symbol_offset(name, symbol):
    """Offset of a public symbol, from the list that the build leaves beside the image."""
    path = image(name).with_suffix(".sym")
    if not path.exists():
        pytest.skip(f"{path.name} is not built: only lld-link makes the map it comes from")
    for line in path.read_text().splitlines():
        offset, found = line.split()
        if found == symbol:
            return int(offset, 16)
    raise LookupError(f"{name}.sym names no {symbol}")


class Relay:
    """kdwire relay between a socket of its own and the machine; ends with the block."""

    def __init__(self, session, folder):
        session.machine.kd.close()
        self.door, self.recording = folder / "door", folder / "session.pcapng"
        self.process = subprocess.Popen(
            [KDWIRE, "relay", "--debugger", f"unix-listen:{self.door}", "--target", f"unix:{session.machine.path('kd')}",
             "--record", str(self.recording), "--events", "json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert '"listening"' in self.process.stdout.readline()

    def end(self):
        """The relay's summary event."""
        self.process.terminate()
        lines = self.process.communicate(timeout=qemu.PATIENCE)[0].splitlines()
        return json.loads(lines[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
