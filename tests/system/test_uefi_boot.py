# SPDX-License-Identifier: BSD-2-Clause
"""Whole boots of OVMF with windbg.efi: -kernel, kdboot.efi from a volume, the console beside it.

Each costs seconds, so there are few; test_uefi.py has the rest, from a snapshot.
"""

import contextlib
import pathlib
import shutil
import struct
import subprocess
import tempfile

import pytest

from uefi import kd as k
from uefi import qemu
from uefi.acpi import dbg2_table, spcr_table
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


def acpi(tmp_path, table):
    (tmp_path / "table").write_bytes(table)
    return ["-acpitable", f"file={tmp_path / 'table'}"]


def boot_to_hello(m):
    """A boot option carries no options of ours: hello does not stop by itself."""
    debugger = k.Kd(m.kd, qemu.PATIENCE)
    debugger.attach(reset_after=qemu.PATIENCE)
    debugger.go()
    debugger.wait_print("hello.efi is done")
    assert "the total is 15" in debugger.prints
    return debugger


@pytest.mark.parametrize("where, setting, machine", [
    (3, "com3", {"memory": 7168}),
    ("pci", "pci:1.6.0", {}),
    (1, "auto", {"machine": "pc"}),
], ids=["com3", "pci", "auto"])
def test_started_as_a_kernel(where, setting, machine, tmp_path):
    """-kernel starts the engine first; the boot goes on with the disk. auto: SPCR says that COM2 is the console's."""
    skip_without_qemu()
    files = {"EFI/BOOT/BOOTX64.EFI": image("hello")}
    config = config_text({"port": setting, "modules": "all"})
    with volume(files) as disk, qemu.Machine(kernel=image("windbg"), kd_port=where, disk=disk,
                                             serial={1: "file"} if where != 1 else {},
                                             extra=acpi(tmp_path, spcr_table(0x2F8)) if setting == "auto" else (),
                                             fw_cfg={"opt/kdwire/config": config.encode()}, **machine) as m:
        debugger = boot_to_hello(m)
        names = {stop.name.lower() for stop in debugger.loads}
        assert {"windbg.efi", "hello.efi", "dxecore.efi"} <= names
        assert b"hello" not in debugger.noise


# ---- before the console is there ---------------------------------------------------------------


STARTUP = rb"""
fs0:\hello.efi
setvar KdwireConfig -guid 9f3c1d84-27b6-4a5e-8e50-61b70d94c23f -bs -rt -nv ="port=com1 timeout=0"
load fs0:\windbg.efi
bcfg driver add 0 fs0:\windbg.efi "kdwire"
bcfg boot add 0 fs0:\hello.efi "hello"
reset
"""


def test_loaded_in_the_shell_and_then_as_a_driver_before_the_console():
    """The guide's lines for real machines; COM1 is the console of the firmware until the engine comes."""
    skip_without_qemu()
    files = {"startup.nsh": STARTUP.replace(b"\n", b"\r\n"), "windbg.efi": image("windbg"), "hello.efi": image("hello")}
    with volume(files) as disk, qemu.Machine(disk=disk, flash=True, kd_port=1, extra=["-action", "reboot=reset"]) as m:
        debugger = k.Kd(m.kd, qemu.PATIENCE)
        debugger.attach(reset_after=qemu.PATIENCE)
        assert b"no debug engine is loaded" in debugger.noise, "the console is on COM1 at first"
        text = len(debugger.noise)
        debugger.go()                                           # the script goes on, and resets
        stop = debugger.wait_stop()                             # the driver's first stop
        assert b"bcfg" not in debugger.noise[text:]
        assert sum(load.name.lower() == "windbg.efi" for load in debugger.loads) >= 2
        text = len(debugger.noise)
        debugger.go()
        debugger.wait_print("hello.efi is done")
        assert b"hello" not in debugger.noise[text:], "the console must not come to COM1 later"


def test_in_an_option_rom(tmp_path):
    """Started while the bus is connected, before the console; ACPI names the port."""
    skip_without_qemu()
    extra = acpi(tmp_path, dbg2_table(0x2F8)) + ["-device", f"virtio-rng-pci,romfile={image('windbg').with_suffix('.rom')}"]
    with volume({"EFI/BOOT/BOOTX64.EFI": image("hello")}) as disk, \
         qemu.Machine(disk=disk, kd_port=2, extra=extra,
                      fw_cfg={"opt/kdwire/config": config_text({"port": "dbg2"}).encode()}) as m:
        debugger = boot_to_hello(m)
        assert not debugger.noise, "not one byte of the console may come to the debugger's port"


# ---- kdboot.efi --------------------------------------------------------------------------------


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


def signed(image, to):
    """IMAGE with a signature that the test firmware accepts."""
    key, certificate, password = qemu.SECURE_KEY
    subprocess.run(["osslsigncode", "sign", "-key", key, "-certs", certificate, "-pass", password, "-in", image, "-out", to],
                   check=True, capture_output=True)
    return to


def test_secure_boot_refuses_the_engine_unless_it_is_signed(tmp_path):
    """The machine boots all the same, and kdboot says why there is no debugger."""
    skip_without_qemu()
    if not shutil.which("osslsigncode"):
        pytest.skip("osslsigncode is not installed: nothing to sign the images with")
    conf = b"next = /windbg-signed.efi\nnext-options = port=com2 timeout=1\n"
    files = {"EFI/BOOT/BOOTX64.EFI": signed(image("kdboot"), tmp_path / "kdboot"), "EFI/kdwire/windbg.efi": image("windbg"),
             "windbg-signed.efi": signed(image("windbg"), tmp_path / "windbg"), CONF: conf}
    with volume(files) as disk, qemu.Machine(disk=disk, flash="secure", kd_port=2, serial={1: "file"}, memory=256) as m:
        m.until(lambda: "no debugger answered" in m.serial_text(1), "running the signed engine")
        console = m.serial_text(1)
        assert r"kdboot: \EFI\kdwire\windbg.efi: Secure Boot does not allow it" in console
        assert "going on without a debugger" in console
