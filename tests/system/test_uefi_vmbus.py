# SPDX-License-Identifier: BSD-2-Clause
"""windbg.efi over Hyper-V's VMBus: the shipped image under OVMF, a simulated Hyper-V host behind it.

QEMU's software emulation has no Hyper-V interface. So the guest's memory is a file that the host
(tests/hvsim/qemu.c) maps, too, and the engine's privileged instructions are answered by the host through
breakpoints of QEMU's debugger interface. hvfw.efi plays the firmware that owns the bus.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

from uefi import kd as k
from uefi import qemu
from uefi.session import ROOT, Session, config_text, image, snapshots, symbol_offset

HVSIM = pathlib.Path(os.environ.get("KDWIRE_LINUX_BUILD", ROOT / "build" / "linux")) / "tests" / "hvsim" / "hvsim-qemu"
MEMORY = 128                    # MiB, as the snapshots have
WINDOWS_2016, WINDOWS_2019, WINDOWS_2022 = 4, 7, 8
MEGABYTE = 1 << 20


class Host:
    """hvsim-qemu: the Hyper-V host of one machine."""

    def __init__(self, machine, directory, host, mode):
        said = dict(re.findall(r"^hvfw: (\w+)=([0-9a-f]+)$", machine.wait_debug("hvfw: ready"), re.M))
        engine = int(said["engine"], 16)
        self.door = str(directory / "pipe")
        self.lines = []
        self.process = subprocess.Popen(
            [HVSIM, machine.path("gdb"), str(directory / "ram"), said["pages"], said["event"], said["release"],
             *(f"{engine + symbol_offset('windbg', name):x}" for name in ("safe_read_msr", "safe_write_msr", "vmbus_x86_cpuid")),
             self.door, str(host), mode],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait("running")

    def wait(self, text):
        """The host says so."""
        while text not in self.lines:
            line = self.process.stdout.readline()
            if not line:
                raise qemu.QemuError(f"the host ended before it said {text!r}: {self.lines}")
            self.lines.append(line.strip())
        self.lines.remove(text)

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def connect(self):
        sock = qemu.connect(self.door, self.process)
        assert sock is not None
        return sock

    def summary(self):
        """What it counted; the machine has ended."""
        *lines, counted = self.process.stdout.read().splitlines()
        self.lines += lines
        return json.loads(counted)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class VmbusSession(Session):
    """As Session, with the debugger at the host's end of a VMBus pipe."""

    def __init__(self, command="nothing", host=WINDOWS_2022, mode="pipe", attach=True, early=False, **changes):
        if not HVSIM.exists():
            pytest.skip(f"{HVSIM} is not built")
        restore = snapshots().restore
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="kdwire-hv-"))
        self.host = None
        changes = {"port": "vmbus", **changes}
        files = {"opt/kd/go": b"1", "opt/kd/windbg.efi": image("hvfw"), "opt/kd/engine.efi": image("windbg"),
                 "opt/kd/app.efi": image("guest_test"), "opt/kd/app.options": command.encode(),
                 "opt/kd/child.efi": image("hello"), "opt/kdwire/config": config_text(changes).encode()}
        if early:
            files["opt/kd/early"] = b"1"
        ram = self.directory / "ram"
        extra = ["-object", f"memory-backend-file,id=pc.ram,size={MEMORY}M,mem-path={ram},share=on,"
                            "x-use-canonical-path-for-ramblock-id=off",
                 "-machine", "memory-backend=pc.ram",
                 "-chardev", f"socket,id=gdb,path={self.directory / 'gdb'},server=on,wait=off", "-gdb", "chardev:gdb"]
        self.machine = restore(kd_port=2, serial={1: "file"}, fw_cfg=files, extra=extra)
        self.machine.path_of = self.machine.path
        self.machine.path = lambda name: str(self.directory / name) if name == "gdb" else self.machine.path_of(name)
        self._symbols = {}
        try:
            self.host = Host(self.machine, self.directory, host, mode)
            if attach:
                self.host.wait("open")
                self.kd = k.Kd(self.host.connect(), patience=qemu.PATIENCE)
                self.first = self.kd.attach()
            else:
                self.kd = k.Kd(self.machine.kd, patience=qemu.PATIENCE)
        except BaseException:
            print("guest said:\n" + self.machine.debug_text())
            self.close()
            raise

    def close(self):
        self.machine.close()
        if self.host:
            self.host.close()
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()

    def __exit__(self, kind, value, trace):
        if kind:
            print(f"host said: {self.host.lines}")
        super().__exit__(kind, value, trace)
        self.close()

    def end_machine(self):
        """Power off; what the host counted. No rule was broken."""
        self.machine.process.kill()
        counted = self.host.summary()
        assert counted["violations"] == 0, counted["violation"]
        return counted


def test_a_whole_session():
    """Attach, breakpoint, step, one MiB, detach; then ExitBootServices, with a debugger that came back to
    hear the goodbye."""
    with VmbusSession("nops ebs") as s:
        assert s.first.code == k.STATUS_BREAKPOINT or s.first.state == k.LOAD_SYMBOLS
        version = s.kd.version()
        assert version["machine"] == 0x8664
        assert s.kd.read(version["kern_base"], 2) == b"MZ"
        stop = s.go_to_program()
        assert stop.pc == s.sym("six_nops")
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        handle = s.kd.set_breakpoint(stop.pc + 4)
        s.kd.go()
        assert s.kd.wait_stop().pc == stop.pc + 4
        s.kd.clear_breakpoint(handle)
        assert s.kd.step().pc == stop.pc + 5
        block = b"".join(s.kd.read(MEGABYTE + at, 0x10000) for at in range(0, MEGABYTE, 0x10000))
        # The same bytes as the machine's memory has in the file (what changes meanwhile is little).
        with open(s.directory / "ram", "rb") as ram:
            ram.seek(MEGABYTE)
            memory = ram.read(MEGABYTE)
        assert sum(block[at:at + 4096] == memory[at:at + 4096] for at in range(0, MEGABYTE, 4096)) >= 250
        s.kd.sock.close()  # the debugger is gone; another comes
        s.kd = k.Kd(s.host.connect(), patience=qemu.PATIENCE)
        assert s.kd.attach().pc == stop.pc + 5
        s.kd.go()
        s.to_reset()
        s.host.wait("exit with the bus left")
        assert any(stop.unload and stop.base == 0xFFFFFFFFFFFFFFFF for stop in s.kd.loads)
        text = s.machine.debug_text()
        assert "guest: left boot services 0" in text and "guest: after boot services" in text
        counted = s.host.summary()
        assert counted["violations"] == 0, counted["violation"]
        assert counted["unloads"] == 1 and counted["sint"] == 5


def test_a_debugger_that_leaves_lets_the_machine_boot():
    """Breakpoints out, go, gone: nobody answers any more, at ExitBootServices neither."""
    with VmbusSession("nops ebs") as s:
        handle = s.kd.set_breakpoint(s.go_to_program().pc + 4)
        s.kd.clear_breakpoint(handle)
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        s.kd.go()
        s.kd.sock.close()
        s.host.wait("exit with the bus left")
        assert s.machine.wait_end() == 0
        text = s.machine.debug_text()
        assert "guest: left boot services 0" in text and "guest: after boot services" in text
        counted = s.host.summary()
        assert counted["violations"] == 0, counted["violation"]
        assert counted["unloads"] == 1


def test_staying_is_refused():
    """ebs=stay is for serial ports; the screen says so, and VMBus is left as ever."""
    with VmbusSession("ebs", ebs="stay") as s:
        assert "ebs=stay is for serial ports" in " ".join(s.machine.serial_text(1).split())
        s.kd.go()
        s.to_reset()
        s.host.wait("exit with the bus left")
        counted = s.host.summary()
        assert counted["violations"] == 0, counted["violation"]


def test_the_firmware_leaves_first():
    """The hypercall page is gone before the engine hears of ExitBootServices: it must not call it."""
    with VmbusSession("ebs", early=True) as s:
        handle = s.kd.set_breakpoint(s.kd.version()["kern_base"] + 0x1000)
        assert handle
        s.kd.go()
        s.host.wait("exit with the client on the bus")
        assert s.machine.wait_end() == 0
        text = s.machine.debug_text()
        assert "guest: left boot services 0" in text and "guest: after boot services" in text
        counted = s.host.summary()
        assert counted["violations"] == 0, counted["violation"]
        assert counted["unloads"] == 0


def test_breakpoint_and_steps():
    with VmbusSession("nops") as s:
        stop = s.go_to_program()
        assert stop.pc == s.sym("six_nops")
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        handle = s.kd.set_breakpoint(stop.pc + 4)
        s.kd.go()
        assert s.kd.wait_stop().pc == stop.pc + 4
        s.kd.clear_breakpoint(handle)
        assert s.kd.step().pc == stop.pc + 5
        assert "guest: stepped" in s.end()
        s.end_machine()


def test_break_in_while_the_program_runs():
    with VmbusSession("spin") as s:
        s.kd.go()
        s.until(lambda: "guest: spin" in s.machine.debug_text(), "spinning")
        stop = s.kd.break_in()
        assert stop.code == k.STATUS_BREAKPOINT
        s.end_machine()


@pytest.mark.parametrize("changes, mode", [({"port": "hvsock"}, "socket"), ({"framing": "windbg-uefi"}, "windbg-uefi")])
def test_other_channels(changes, mode):
    with VmbusSession("int3", mode=mode, **changes) as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT
        s.kd.go_past_int3()
        assert "guest: went on" in s.to_end()
        s.end_machine()


def test_the_host_program_is_restarted():
    """The pipe is rescinded while the machine is stopped, offered again, and the session goes on."""
    with VmbusSession("int3") as s:
        stop = s.go_to_program()
        s.host.tell("rescind")
        s.host.wait("closed")
        s.host.tell("offer")
        s.host.wait("open")
        s.kd.sock.close()
        s.kd = k.Kd(s.host.connect(), patience=qemu.PATIENCE)
        again = s.kd.attach()
        assert again.pc == stop.pc
        s.kd.go_past_int3()
        assert "guest: went on" in s.to_end()
        s.end_machine()


@pytest.mark.parametrize("host, mode, reason", [
    (WINDOWS_2022, "none", "does not run under Hyper-V"),
    (WINDOWS_2022, "isolated", "isolated"),
    (WINDOWS_2022, "silent", "the host offers no channel"),
    (WINDOWS_2016, "pipe", "no second VMBus client"),
])
def test_falls_back_to_the_serial_port(host, mode, reason):
    with VmbusSession("int3", host=host, mode=mode, attach=False, **{"vmbus-wait": "500"}) as s:
        first = s.kd.attach()
        assert first.code == k.STATUS_BREAKPOINT or first.state == k.LOAD_SYMBOLS
        stop = s.go_to_program()
        s.kd.go_past_int3()
        assert "guest: went on" in s.to_end()
        assert reason in " ".join(s.machine.serial_text(1).split())
        s.end_machine()
