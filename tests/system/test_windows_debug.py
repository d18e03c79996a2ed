# SPDX-License-Identifier: BSD-2-Clause
"""kdwire.exe debug under Wine debugs windbg.efi in QEMU, through the pipes of kdwire.exe relay."""
import re
import uuid

import pytest
from relay_ends import ROOT
from test_vsp_wine import Forwarder
from test_windows_relay import EXE, WindowsRelay
from uefi import qemu
from uefi.session import Session, symbol_offset

pytestmark = pytest.mark.skipif(not EXE.exists() or not (ROOT / "build/uefi").exists(), reason="tools/build was not run")


def debug(wine, endpoint, commands):
    done = wine.run(EXE, "debug", endpoint, "--timeout", f"{qemu.PATIENCE:.0f}", "-c", commands,
                    limit=4 * qemu.PATIENCE)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.decode().replace("\r", "")


def rows(text):
    return re.findall(r"^[0-9a-f`]{8,}  .*$", text, re.M)


def test_the_whole_way_to_firmware(wine):
    """kdwire.exe debug - pipe - relay, in WinDbg's place on the host - pipe - relay, in Hyper-V's - TCP -
    QEMU - windbg.efi."""
    tick = symbol_offset("hello", "hello_tick")
    spy, machine = (f"kdwire-test-{uuid.uuid4().hex[:12]}" for _ in range(2))
    memory = "; ".join(f"dq {at:x} L2000" for at in range(0x100000, 0x120000, 0x10000))
    with Session("break count=1", app="hello", attach=False) as session:
        session.machine.kd.close()
        forwarder = Forwarder(session.machine.path("kd"))
        with WindowsRelay(f"pipe-listen:{machine}", f"tcp:127.0.0.1:{forwarder.port}") as host, \
                WindowsRelay(f"pipe-listen:{spy}", f"pipe:{machine}") as relay:
            host.wait("up", "target")
            relay.wait("up", "target")
            text = debug(wine, f"pipe:{spy}", f"g; g; bp hello+{tick:x}; g; r rip; bc *; {memory}; q")
            assert f"Breakpoint 0 hit\nhello+0x{tick:x}:" in text
            again = debug(wine, f"pipe:\\\\.\\pipe\\{spy}", f"{memory}; qd")
    assert len(rows(text)) >= 1 << 13 and rows(text)[-(1 << 13):] == rows(again)[-(1 << 13):]
