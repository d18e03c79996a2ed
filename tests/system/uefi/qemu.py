# SPDX-License-Identifier: BSD-2-Clause
"""One QEMU with OVMF, without a disk unless asked for, driven through QMP and Unix sockets.

Booting OVMF costs seconds, restoring a snapshot of it tenths of a second. So a waiter (see
uefi/apps/waiter.c) is booted once per session and frozen; every test restores it with other files in
fw_cfg, which is read anew on each start. All ends are sockets or files in a private directory that
goes away with the machine.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

PATIENCE = float(os.environ.get("KDWIRE_QEMU_PATIENCE", "90"))    # seconds; the hosts of the tests are slow
ACCEL = os.environ.get("KDWIRE_QEMU_ACCEL", "tcg")                 # "kvm" where OVMF boots under it
QEMU = os.environ.get("KDWIRE_QEMU", "qemu-system-x86_64")
UNIFIED = ("/usr/share/ovmf/OVMF.fd", "/usr/share/qemu/OVMF.fd")
SECURE_CODE = ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",)
SECURE_VARS = ("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",)      # holds the certificate of SECURE_KEY, nobody else's
SECURE_KEY = ("/usr/share/ovmf/PkKek-1-snakeoil.key", "/usr/share/ovmf/PkKek-1-snakeoil.pem", "snakeoil")
CODE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
VARS = ("/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS.fd")
SERIAL_PORTS = 4        # COM1..COM4 always exist, so that every snapshot suits every test

MIGRATION_BANDWIDTH = 1 << 34   # bytes per second: never the limit for a machine of 128 MiB


class QemuError(Exception):
    """QEMU could not be started, or did not do what was asked in time."""


def first_of(paths):
    return next((p for p in paths if os.path.exists(p)), None)


def missing():
    """What this host lacks to run the tests, or None."""
    if not shutil.which(QEMU):
        return f"{QEMU} is not installed (package qemu-system-x86)"
    if not first_of(UNIFIED):
        return "OVMF.fd is not installed (package ovmf)"
    return None


def connect(path, process=None):
    """A Unix socket connected to path as soon as somebody listens; None if process ends or time is over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(path))
            sock.settimeout(PATIENCE)
            return sock
        except OSError:
            sock.close()
            time.sleep(0.01)            # between two looks at a condition; the condition decides
    return None


class Qmp:
    """The machine protocol: commands in order, events ignored."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rw", encoding="utf-8", newline="\n")
        self._reply()                           # greeting
        self.command("qmp_capabilities")

    def _reply(self):
        while True:
            try:
                line = self.file.readline()
            except OSError:
                line = ""
            if not line:
                raise QemuError("QEMU closed its control socket")
            message = json.loads(line)
            if "event" not in message:
                return message

    def command(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        message = self._reply()
        if "error" in message:
            raise QemuError(f"{name}: {message['error']['desc']}")
        return message["return"]


class Machine:
    """A running QEMU. `with Machine(...) as m:` kills it at the end, whatever happened.

    kd_port   1..4: the COM port whose socket is .kd; "pci": a PCI serial port behind a bridge, slot 6
    serial    {port: "file"}: ports whose output is kept in serial_text(port)
    fw_cfg    {name: bytes or path}: files for the guest
    snapshot  path of a snapshot to restore
    flash     True: variables that last; "secure": and Secure Boot on
    """

    def __init__(self, machine="q35", cpus=1, memory=128, kd_port=2, serial=None, fw_cfg=None, snapshot=None,
                 kernel=None, disk=None, flash=False, extra=(), append=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="kdwire-qemu-"))
        self.process = None
        self.kd = None
        self.serial_files = {}
        self._sockets = []
        try:
            self._start(machine, cpus, memory, kd_port, serial or {}, fw_cfg or {}, snapshot, kernel, disk, flash,
                        list(extra), append)
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return str(self.directory / name)

    def _start(self, machine, cpus, memory, kd_port, serial, fw_cfg, snapshot, kernel, disk, flash, extra, append):
        args = [QEMU, "-name", "kdwire-test", "-accel", ACCEL, "-machine", machine, "-m", str(memory), "-smp", str(cpus),
                "-display", "none", "-vga", "none", "-nodefaults", "-nic", "none", "-no-reboot", "-S",
                "-chardev", f"socket,id=qmp,path={self.path('qmp')},server=on,wait=off", "-mon", "chardev=qmp,mode=control",
                "-chardev", f"file,id=dbg,path={self.path('debugcon')}", "-device", "isa-debugcon,iobase=0x402,chardev=dbg"]
        if machine == "q35":
            args += ["-global", "ICH9-LPC.disable_s3=1"]
        if flash:
            secure = flash == "secure"
            if secure:
                args[args.index("-machine") + 1] += ",smm=on"
                args += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
            shutil.copy(first_of(SECURE_VARS if secure else VARS), self.path("vars.fd"))
            args += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={first_of(SECURE_CODE if secure else CODE)}",
                     "-drive", f"if=pflash,format=raw,unit=1,file={self.path('vars.fd')}"]
        else:
            args += ["-bios", first_of(UNIFIED)]
        args += ["-chardev", f"socket,id=kd,path={self.path('kd')},server=on,wait=off"]
        if kd_port == "pci":
            args += ["-device", "i82801b11-bridge,id=behind,addr=1e", "-device", "pci-serial,chardev=kd,bus=behind,addr=6"]
        for port in range(1, SERIAL_PORTS + 1):
            if port == kd_port:
                args += ["-serial", "chardev:kd"]
            elif serial.get(port) == "file":
                self.serial_files[port] = self.path(f"com{port}")
                args += ["-serial", f"file:{self.serial_files[port]}"]
            else:
                args += ["-serial", "null"]
        for number, (name, content) in enumerate(fw_cfg.items()):
            if isinstance(content, bytes):
                path = self.path(f"fw{number}")
                pathlib.Path(path).write_bytes(content or b"\0")
            else:
                path = str(content)
            args += ["-fw_cfg", f"name={name},file={path.replace(',', ',,')}"]
        if kernel:
            args += ["-kernel", str(kernel)]
        if append:
            args += ["-append", append]
        if disk:
            # A kernel is boot entry 0 by itself.
            args += ["-drive", f"if=none,id=d0,format=raw,file={disk}",
                     "-device", f"virtio-blk-pci,drive=d0,bootindex={1 if kernel else 0}"]
        if snapshot:
            args += ["-incoming", f"exec:cat '{snapshot}'"]
        args += extra
        self.arguments = args
        self.stderr = open(self.path("stderr"), "wb+")
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr)
        try:
            self.qmp = Qmp(self._connect("qmp"))
        except QemuError as error:
            self.process.wait(PATIENCE)
            raise QemuError(f"{error}: {self.errors()}") from None
        self.kd = self._connect("kd")
        if snapshot:
            self.until(lambda: self.qmp.command("query-status")["status"] in ("paused", "prelaunch"), "restored")
        self.qmp.command("cont")

    def _connect(self, name):
        sock = connect(self.path(name), self.process)
        if sock is None:
            raise QemuError(f"QEMU never opened its socket {name}: {self.errors()}")
        self._sockets.append(sock)
        return sock

    def until(self, condition, what, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise QemuError(f"QEMU ended with {self.process.returncode} before the machine was {what}: {self.errors()}")
            if time.monotonic() > deadline:
                raise QemuError(f"the machine was not {what} after {seconds:.0f} s; it said: {self.debug_text()[-800:]!r}")
            time.sleep(0.01)

    def errors(self):
        self.stderr.flush()
        return pathlib.Path(self.path("stderr")).read_text(errors="replace").strip()

    def debug_text(self):
        """What the guest wrote to the debug console (port 0x402), a channel no debugger touches."""
        try:
            return pathlib.Path(self.path("debugcon")).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def serial_text(self, port):
        return pathlib.Path(self.serial_files[port]).read_text(errors="replace")

    def wait_debug(self, text, seconds=PATIENCE):
        self.until(lambda: text in self.debug_text(), f"saying {text!r}", seconds)
        return self.debug_text()

    def reconnect(self):
        """Hang up and call again, as a debugger that was restarted does."""
        self.kd.close()
        self.kd = self._connect("kd")
        return self.kd

    def nmi(self):
        self.qmp.command("inject-nmi")

    def wait_end(self, seconds=PATIENCE):
        """Wait until QEMU ends by itself (a reset with -no-reboot)."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise QemuError("the machine did not reset") from None

    def snapshot(self, path):
        self.qmp.command("stop")
        self.qmp.command("migrate-set-parameters", **{"max-bandwidth": MIGRATION_BANDWIDTH})
        self.qmp.command("migrate", uri=f"exec:cat > '{path}'")

        def finished():
            status = self.qmp.command("query-migrate").get("status")
            if status in ("failed", "cancelled"):
                raise QemuError(f"the snapshot failed: {self.errors()}")
            return status == "completed"

        self.until(finished, "written to the snapshot")

    def close(self):
        for sock in self._sockets:
            sock.close()
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.stderr.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for port in self.serial_files:
                print(f"COM{port} showed: {self.serial_text(port)[-1000:]!r}")
        self.close()


class Snapshots:
    """Snapshots of the waiter, one per kind of machine, made when first asked for."""

    def __init__(self, waiter):
        self.waiter = waiter
        self.directory = tempfile.mkdtemp(prefix="kdwire-snap-")
        self.made = {}
        self.lock = threading.Lock()

    def get(self, machine="q35", cpus=1):
        with self.lock:
            if (machine, cpus) not in self.made:
                path = os.path.join(self.directory, f"{machine}-{cpus}")
                with Machine(machine, cpus, kernel=self.waiter) as m:
                    m.wait_debug("waiter: ready")
                    m.snapshot(path)
                self.made[machine, cpus] = path
            return self.made[machine, cpus]

    def restore(self, machine="q35", cpus=1, **kwargs):
        # The kernel blob is part of fw_cfg and thus of the command line both times.
        return Machine(machine, cpus, snapshot=self.get(machine, cpus), kernel=self.waiter, **kwargs)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
