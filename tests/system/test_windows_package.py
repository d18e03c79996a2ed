# SPDX-License-Identifier: BSD-2-Clause
"""What is shipped for Windows: kdwire.exe and its symbols, the zip, the installer run under Wine."""
import re
import subprocess
import zipfile

import pytest
from relay_ends import ROOT, wait_until
from wine import PREFIX

DIST = ROOT / "dist/windows"
DOCS = ["windows-relay.md", "kdwire-relay.txt", "kdwire-serve.txt", "kdwire-debug.txt"]
# Of Windows itself; all else would have to lie beside the program.
SYSTEM = {"advapi32.dll", "dbghelp.dll", "iphlpapi.dll", "kernel32.dll", "msvcrt.dll", "ntdll.dll", "ole32.dll", "oleaut32.dll",
          "shell32.dll", "user32.dll", "userenv.dll", "ws2_32.dll"}

pytestmark = pytest.mark.skipif(not (DIST / "htsvsp-setup.exe").exists(), reason="tools/build was not run")


def test_kdwire_needs_only_the_system_and_names_its_symbols():
    image = (DIST / "kdwire.exe").read_bytes()
    text = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", DIST / "kdwire.exe"], capture_output=True, check=True,
                          text=True).stdout
    assert {name.lower() for name in re.findall(r"DLL Name: (\S+)", text)} <= SYSTEM
    # CodeView: identity, age, name of the PDB
    identity = re.search(b"RSDS(.{16}).{4}kdwire\\.pdb\\0", image, re.S)[1]
    assert identity in (DIST / "kdwire.pdb").read_bytes()
    assert str(ROOT).encode() not in image


def test_zip_holds_program_symbols_and_guides():
    with zipfile.ZipFile(DIST / "htsvsp.zip") as archive:
        names = set(archive.namelist())
        assert {"htsvsp/kdwire.exe", "htsvsp/kdwire.pdb", "htsvsp/sessions.conf", "htsvsp/htsvsp.inf",
                "htsvsp/vspControl.exe"} | {f"htsvsp/docs/{name}" for name in DOCS} <= names
        assert archive.read("htsvsp/kdwire.exe") == (DIST / "kdwire.exe").read_bytes()
        page = archive.read("htsvsp/docs/kdwire-relay.txt").decode()
    assert "\r\n    A named pipe that gives the recording to a viewer: wireshark -k -i FIFO." in page
    assert "pipe:\\\\.\\pipe\\NAME" in page


def test_installer_and_uninstaller(wine):
    folder = PREFIX / "drive_c/kdwire-test"
    # no output to read: services of Wine that it starts would keep it open
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "limit": 120}
    assert wine.run(DIST / "htsvsp-setup.exe", "/S", "/D=C:\\kdwire-test", **silent).returncode == 0
    said = wine.run(folder / "kdwire.exe", "--version")
    assert said.returncode == 0 and said.stdout.startswith(b"kdwire ")
    for name in DOCS:
        assert (folder / "docs" / name).stat().st_size > 1000
    key = "HKLM\\Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\kdwire-htsvsp"
    assert "uninstall.exe" in wine.run("reg.exe", "query", key).stdout.decode()
    (folder / "mine.conf").write_text("a user's own file")
    wine.run(folder / "uninstall.exe", "/S", **silent)  # goes on in a copy of itself
    wait_until(lambda: [path.name for path in folder.iterdir()] == ["mine.conf"], "all is gone but what is not ours")
    assert wine.run("reg.exe", "query", key).returncode != 0
    (folder / "mine.conf").unlink()
    folder.rmdir()
