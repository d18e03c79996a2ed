# SPDX-License-Identifier: BSD-2-Clause
"""kdwire hyperv: the script it prints or runs, and that no name can add a command to it. PowerShell is
played by a program called pwsh."""

import base64
import os
import pathlib
import pty
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
                                             "Start-VM", "Start-Process -FilePath 'windbg'")]
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
    (("--vm", "a", "--yes"), "--yes goes with --apply"), (("--vm", "a", "--apply", "--dry-run"), "prints"),
    (("--vm", "a", "--", "--record", "x"), "--record"), (("--vm", "a", "--auto", "--", "--record", "x"), "--wire vmbus"),
])
def test_wrong_usage(arguments, reason):
    done = hyperv(*arguments)
    assert done.returncode == 2 and reason in done.stderr and done.stdout == ""


# ---- doing it ----

class PowerShell:
    """pwsh in a folder of its own, which keeps what it was asked to run."""

    def __init__(self, folder, status=0):
        self.folder = folder
        program = folder / "pwsh"
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{folder}/run'\necho PowerShell was here\nexit {status}\n")
        program.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    def hyperv(self, *arguments, **options):
        return subprocess.run([KDWIRE, "hyperv", *arguments], capture_output=True, env=self.environment, **options)

    def scripts(self):
        file = self.folder / "run"
        lines = file.read_text().splitlines() if file.exists() else []
        assert lines[0::6] == ["-NoProfile"] * (len(lines) // 6)
        assert lines[3::6] == ["Text"] * (len(lines) // 6) and lines[4::6] == ["-EncodedCommand"] * (len(lines) // 6)
        return [base64.b64decode(line).decode("utf-16-le") for line in lines[5::6]]


@pytest.fixture
def powershell(tmp_path):
    return PowerShell(tmp_path)


def test_what_is_applied_is_what_is_printed(powershell):
    arguments = ("--vm", "T\u00fcr \U0001f600 'kd'", "--disk", r"C:\vm\kdwire.vhdx", "--start", "--wire", "com")
    done = powershell.hyperv(*arguments, "--apply", "--yes", stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stdout == b"" and b"PowerShell was here\n" in done.stderr
    assert powershell.scripts() == [hyperv(*arguments).stdout] == [hyperv(*arguments, "--dry-run").stdout]
    said = done.stderr.decode()
    for word in ("T\u00fcr", "kdwire.vhdx", "Secure Boot is turned off", r"\\.\pipe", "WinDbg"):
        assert word in said


def test_undo_is_applied(powershell):
    assert powershell.hyperv("--vm", "kd", "--undo", "--apply", "--yes").returncode == 0
    assert powershell.scripts() == [hyperv("--vm", "kd", "--undo").stdout]


@pytest.mark.parametrize("answer, done", [(b"y\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)])
def test_it_asks_first(powershell, answer, done):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([KDWIRE, "hyperv", "--vm", "kd", "--apply"], stdin=theirs, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, env=powershell.environment)
    said = b""
    while b"[y/N]" not in said:
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, said
        said += piece
    assert not powershell.scripts()
    os.write(ours, answer)
    rest = process.stderr.read()
    assert process.wait() == (0 if done else 1)
    assert len(powershell.scripts()) == done and (done or b"nothing was changed" in rest)
    os.close(ours)
    os.close(theirs)


def test_nobody_is_there_to_ask(powershell):
    done = powershell.hyperv("--vm", "kd", "--apply", stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and b"add --yes" in done.stderr and not powershell.scripts()


def test_powershell_fails(tmp_path):
    done = PowerShell(tmp_path, 1).hyperv("--vm", "kd", "--apply", "--yes")
    assert done.returncode == 1 and b"PowerShell could not do it all (exit status 1)" in done.stderr


def test_without_powershell(tmp_path):
    done = subprocess.run([KDWIRE, "hyperv", "--vm", "kd", "--apply", "--yes"], capture_output=True,
                          env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 1 and b"cannot start pwsh" in done.stderr and b"without --apply" in done.stderr


def test_the_relay_is_looked_at_before_anything_is_changed(powershell):
    """Offering a channel takes a Windows host."""
    done = powershell.hyperv("--vm", "kd", "--wire", "vmbus", "--auto", "--yes")
    assert done.returncode == 1 and b"Windows" in done.stderr and not powershell.scripts()
