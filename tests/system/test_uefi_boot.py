# SPDX-License-Identifier: BSD-2-Clause
"""Whole boots of OVMF with windbg.efi: -kernel, kdboot.efi from a volume, the console beside it.

Each costs seconds, so there are few; test_uefi.py has the rest, from a snapshot.
"""

import contextlib
import pathlib
import shutil
import struct
import tempfile

import pytest

from uefi import kd as k
from uefi import qemu
from uefi.session import config_text, image

CONF = "EFI/kdwire/kdboot.conf"


@contextlib.contextmanager
def volume(files):
    """A folder that QEMU shows as a FAT disk: {path: bytes or path of a file}."""
    with tempfile.TemporaryDirectory(prefix="kdwire-esp-") as top:
        for name, content in files.items():
            path = pathlib.Path(top, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copy(content, path)
        yield "fat:rw:" + top


def skip_without_qemu():
    if qemu.missing():
        pytest.skip(qemu.missing())


def walk_to_hello(debugger):
    """From the engine's first stop to hello.efi's own int3, and to its end."""
    debugger.attach(reset_after=qemu.PATIENCE)
    debugger.go()
    stop = debugger.wait_stop()
    module = next(m for m in debugger.loads if m.name.lower() == "hello.efi" and not m.unload)
    assert stop.code == k.STATUS_BREAKPOINT and 0 <= stop.pc - module.base < module.size
    debugger.go()
    debugger.wait_print("hello.efi is done")


def dbg2_table(port):
    """The ACPI table that names a 16550 at an I/O port as the one for debuggers."""
    address = struct.pack("<BBBBQ", 1, 8, 0, 1, port)
    size, name = struct.pack("<I", 8), b".\0"
    offsets = [22, 22 + len(address), 22 + len(address) + len(size)]
    total = offsets[2] + len(name)
    device = struct.pack("<BHBHHHHHHHHH", 0, total, 1, len(name), offsets[2], 0, 0, 0x8000, 0, 0, offsets[0], offsets[1])
    body = struct.pack("<II", 44, 1) + device + address + size + name
    table = bytearray(struct.pack("<4sIBB6s8sI4sI", b"DBG2", 36 + len(body), 0, 0, b"KDWIRE", b"KDWIRE  ", 1, b"TEST", 1) + body)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


@pytest.mark.parametrize("machine, where, setting", [("q35", 3, "com3"), ("pc", 1, "com1"), ("q35", 4, "dbg2"),
                                                     ("q35", "pci", "pci:0.6.0")])
def test_started_as_a_kernel(machine, where, setting, tmp_path):
    """-kernel starts the engine first; the boot goes on with the disk."""
    skip_without_qemu()
    files = {"EFI/BOOT/BOOTX64.EFI": image("hello")}
    config = config_text({"port": setting, "modules": "all"})
    extra = []
    if setting == "dbg2":
        (tmp_path / "dbg2").write_bytes(dbg2_table(0x2E8))
        extra = ["-acpitable", f"file={tmp_path / 'dbg2'}"]
    with volume(files) as disk, qemu.Machine(machine, kernel=image("windbg"), kd_port=where, disk=disk, extra=extra,
                                             fw_cfg={"opt/kdwire/config": config.encode()}) as m:
        debugger = k.Kd(m.kd, qemu.PATIENCE)
        debugger.attach(reset_after=qemu.PATIENCE)
        debugger.go()
        # A boot option carries no options of ours: hello does not stop by itself.
        debugger.wait_print("hello.efi is done")
        assert "the total is 15" in debugger.prints
        names = {stop.name.lower() for stop in debugger.loads}
        assert {"windbg.efi", "hello.efi", "dxecore.efi"} <= names


def test_kdboot_starts_the_engine_and_then_the_next_file():
    skip_without_qemu()
    conf = (b"# from the test\r\ndebugger=/tools/windbg.efi\r\ndebugger-options=" + config_text({"port": "com2"}).encode() +
            b"\r\nnext=\\EFI\\none.efi\nnext=\\EFI\\hello.efi\nnext-options=break count=2")
    files = {"EFI/BOOT/BOOTX64.EFI": image("kdboot"), "tools/windbg.efi": image("windbg"), "EFI/hello.efi": image("hello"),
             CONF: conf}
    with volume(files) as disk, qemu.Machine(disk=disk, kd_port=2, serial={1: "file"}) as m:
        walk_to_hello(k.Kd(m.kd, qemu.PATIENCE))
        m.until(lambda: "hello.efi is done" in m.serial_text(1), "saying hello on the console")
        console = m.serial_text(1)
        assert r"kdboot: \EFI\none.efi: there is no such file" in console
        assert r"kdboot: booting \EFI\hello.efi" in console


def test_kdboot_explains_what_is_wrong_and_boots():
    skip_without_qemu()
    conf = b"engin=oops\nnext-options=too early\nnext=\\hello.efi\n" + b"x" * 2000 + b"=1\n"
    files = {"EFI/BOOT/BOOTX64.EFI": image("kdboot"), "hello.efi": image("hello"), CONF: conf}
    with volume(files) as disk, qemu.Machine(disk=disk, kd_port=2, serial={1: "file"}) as m:
        m.until(lambda: "hello.efi is done" in m.serial_text(1), "booted by kdboot")
        console = m.serial_text(1)
        assert "kdboot.conf, line 1: the key is not debugger" in console and "2 more" in console
        assert r"kdboot: \EFI\kdwire\windbg.efi: there is no such file" in console
        assert "going on without a debugger" in console


def test_kdboot_says_when_there_is_nothing_to_boot():
    skip_without_qemu()
    files = {"EFI/BOOT/BOOTX64.EFI": image("kdboot"), "EFI/BOOT/next.efi": b"this is no program"}
    with volume(files) as disk, qemu.Machine(disk=disk, kd_port=2, serial={1: "file"}) as m:
        m.until(lambda: "nothing to boot" in m.serial_text(1), "giving up")
        assert r"\EFI\BOOT\next.efi: it is not a UEFI program" in m.serial_text(1)
