# SPDX-License-Identifier: BSD-2-Clause
"""The whole wire: firmware, windbg.efi, kdwire relay with a recording, kdwire debug, kdwire decode."""

import json
import re
import subprocess

import pytest

from uefi import qemu
from uefi.session import KDWIRE, Relay, Session, symbol_offset

def debug(relay, commands):
    done = subprocess.run([KDWIRE, "debug", f"unix:{relay.door}", "--timeout", f"{qemu.PATIENCE:.0f}", "-c", commands],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * qemu.PATIENCE)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def decoded(relay):
    lines = subprocess.run([KDWIRE, "decode", "--json", str(relay.recording)], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return [json.loads(line) for line in lines], "\n".join(lines)


@pytest.mark.skipif(KDWIRE is None, reason="kdwire is not built (tools/build)")
def test_firmware_is_debugged_through_the_recording_relay(tmp_path):
    tick = symbol_offset("hello", "hello_tick")
    commands = f"g; g; r; db @rip L1; bp hello+{tick:x}; g; r rip; k; bc *; qd"
    with Session("break count=1", app="hello", attach=False) as s, Relay(s, tmp_path) as relay:
        text = debug(relay, commands)
        summary = relay.end()
        assert re.search(r"ModLoad: .* hello$", text, re.M)
        assert f"Breakpoint 0 hit\nhello+0x{tick:x}:" in text
        assert "hello from hello.efi" in text
        # The program goes on printing when the debugger has left: that is not counted here.
        assert summary["debugger"]["dropped"] == 0 and summary["debugger"]["resends"] == 0
        assert summary["stops"] >= 4
        packets, raw = decoded(relay)
        assert "WriteBreakPoint" in raw and "hello from hello.efi" in raw
        # One packet or event per line; no packet may be unknown or damaged on a clean line.
        assert len(packets) > 50 and '"damaged":true' not in raw.replace(" ", "")


@pytest.mark.skipif(KDWIRE is None, reason="kdwire is not built (tools/build)")
def test_a_second_debugger_finds_the_machine_stopped(tmp_path):
    with Session("int3", attach=False) as s, Relay(s, tmp_path) as relay:
        first = debug(relay, "g; g; r; q")
        rip = re.search(r"rip=([0-9a-f]+)", first)[1]
        second = debug(relay, "r; g")
        assert f"rip={rip}" in second
        s.machine.wait_debug("guest: went on")
