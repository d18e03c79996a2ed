# SPDX-License-Identifier: BSD-2-Clause
"""kdwire hyperv: the script it prints, and that no name can add a command to it."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
KDWIRE = os.environ.get("KDWIRE", str(ROOT / "dist" / "linux" / "kdwire"))


def hyperv(*arguments):
    return subprocess.run([KDWIRE, "hyperv", *arguments], capture_output=True, text=True)


def string_of(script, variable):
    """The value of a single-quoted PowerShell string, read as PowerShell does."""
    quote = "'\u2018\u2019\u201a\u201b"
    text = re.search(rf"^\${variable} = (.*)$", script, re.M)[1]
    assert text[0] == "'"
    value, at = "", 1
    while True:
        if text[at] in quote:
            if text[at + 1:at + 2] and text[at + 1] in quote:
                value += text[at]
                at += 2
                continue
            assert at == len(text) - 1, "something follows the string"
            return value
        value += text[at]
        at += 1


def test_the_script_prepares_and_starts():
    done = hyperv("--vm", "kd", "--disk", r"C:\vm\kdwire.vhdx", "--start", "--wire", "hvsock")
    assert done.returncode == 0 and done.stderr == ""
    script = done.stdout
    assert string_of(script, "vm") == "kd" and string_of(script, "pipe") == r"\\.\pipe\kd"
    order = [script.index(word) for word in ("New-VM", "EnableSecureBoot Off", "Set-VMComPort", "1e7b9c52-4d0a-4b8e",
                                             "Start-VM", "Start-Process windbg")]
    assert order == sorted(order)
    assert "Stop-Process" not in script and "kill" not in script.lower()


def test_nothing_is_started_unless_asked():
    script = hyperv("--vm", "kd").stdout
    assert "Start-VM" not in script and "Start-Process" not in script and "New-VM" not in script


def test_undo():
    script = hyperv("--vm", "kd", "--undo").stdout
    assert "Set-VMComPort -VMName $vm -Number 1 -Path ''" in script and "EnableSecureBoot On" in script


@pytest.mark.parametrize("name", ["it's", "a'; Remove-Item C:\\ -Recurse; '", "\u2019; calc; \u2018", "$(calc)", "a`b \"c\""])
def test_a_name_stays_a_name(name):
    script = hyperv("--vm", name).stdout
    assert string_of(script, "vm") == name
    assert re.fullmatch(r"\\\\\.\\pipe\\[\w-]+", string_of(script, "pipe"), re.A)


@pytest.mark.parametrize("arguments, reason", [
    ((), "--vm NAME"), (("--vm", "a\nb"), "one line"), (("--vm", ""), "which VM"), (("--vm", "x" * 101), "100"),
    (("--vm", "a", "--wire", "usb"), "com, vmbus and hvsock"), (("--vm", "a", "--pipe", r"x\y"), "backslash"),
    (("--vm", "a", "--undo", "--start"), "neither"), (("--vm", "a", "extra"), "extra"), (("--bogus",), "--bogus"),
])
def test_wrong_usage(arguments, reason):
    done = hyperv(*arguments)
    assert done.returncode == 2 and reason in done.stderr and done.stdout == ""
