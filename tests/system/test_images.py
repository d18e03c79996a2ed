# SPDX-License-Identifier: BSD-2-Clause
"""The boot media of tools/images: each boots OVMF to a debugger attach and on to hello.efi."""

import shutil
import subprocess

import pytest

from uefi import kd as k
from uefi import qemu
from uefi.session import ROOT

TOOLS = ("sfdisk", "mformat", "xorriso", "qemu-img")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    missing = qemu.missing() or next((f"{t} is not installed" for t in TOOLS
                                      if not shutil.which(t, path="/usr/sbin:/sbin:/usr/bin:/bin")), None)
    if missing:
        pytest.skip(missing)
    if not (ROOT / "dist" / "uefi" / "windbg.efi").exists():
        pytest.skip("dist/uefi/windbg.efi is not there: run tools/build")
    folder = tmp_path_factory.mktemp("images")
    # As from the box, but for the patience: QEMU is no Hyper-V, so a serial port is taken.
    subprocess.run([ROOT / "tools" / "images", "port=vmbus timeout=0 modules=new", folder], check=True,
                   stdout=subprocess.DEVNULL)
    return folder


def drive(image):
    media = ",media=cdrom" if image.suffix == ".iso" else ""
    form = "vhdx" if image.suffix == ".vhdx" else "raw"
    device = "ide-cd" if media else "ide-hd"
    return ["-drive", f"if=none,id=boot,file={image},format={form}{media}", "-device", f"{device},drive=boot,bootindex=0"]


@pytest.mark.parametrize("name", ["kdwire.img", "kdwire.vhdx", "kdwire.iso"])
def test_boots_to_a_debugger(images, name):
    with qemu.Machine(kd_port=2, serial={1: "file"}, extra=drive(images / name)) as m:
        debugger = k.Kd(m.kd, qemu.PATIENCE)
        first = debugger.attach(reset_after=qemu.PATIENCE)
        assert first.code == k.STATUS_BREAKPOINT
        debugger.go()
        debugger.wait_print("hello.efi")
        assert "hello.efi" in [stop.name.lower() for stop in debugger.loads]
        assert "does not run under Hyper-V" in " ".join(m.serial_text(1).split())


def test_the_options_are_one_line(tmp_path):
    done = subprocess.run([ROOT / "tools" / "images", "port=com1\nnext=x", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and "one line" in done.stderr
    assert not list(tmp_path.iterdir())
