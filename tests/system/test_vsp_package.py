# SPDX-License-Identifier: BSD-2-Clause
"""The driver package: the image, the INF and the rules for it, the catalog and its signature."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INF = ROOT / "windows/vsp/htsvsp.inf"
DLL = ROOT / "build/driver/windows/vsp/htsvsp.dll"
MKCAT = ROOT / "build/linux/tools/mkcat/mkcat"
PACKAGE = ROOT / "dist/windows"
TIME = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}

needs_dll = pytest.mark.skipif(not DLL.exists(), reason="build/driver is not built (tools/build does)")


def dump(image):
    return subprocess.run(["x86_64-w64-mingw32-objdump", "-p", image], capture_output=True, check=True,
                          text=True).stdout


@needs_dll
def test_the_dll_has_one_export_and_needs_only_the_system():
    text = dump(DLL)
    assert re.findall(r"^\s+\[\s*\d+\] .*?(\w+)$", text[text.index("[Ordinal/Name Pointer]"):], re.M)[:2] \
        == ["FxDriverEntryUm"]
    assert {name.lower() for name in re.findall(r"DLL Name: (\S+)", text)} <= \
        {"advapi32.dll", "kernel32.dll", "msvcrt.dll", "ws2_32.dll"}
    flags = int(re.search(r"DllCharacteristics\s+(\w+)", text)[1], 16)
    assert flags & 0x160 == 0x160  # high-entropy addresses, dynamic base, no execution of data


@needs_dll
def test_the_dll_names_no_folder_of_the_build():
    assert str(ROOT).encode() not in DLL.read_bytes()


@needs_dll
def test_building_again_gives_the_same_bytes():
    before = hashlib.sha256(DLL.read_bytes()).digest()
    subprocess.run(["ninja", "-C", ROOT / "build/driver", "-t", "clean", "windows/vsp/htsvsp.dll"], check=True,
                   capture_output=True)
    subprocess.run(["ninja", "-C", ROOT / "build/driver", "windows/vsp/htsvsp.dll"], check=True,
                   capture_output=True)
    assert hashlib.sha256(DLL.read_bytes()).digest() == before


def test_a_wrong_index_of_the_framework_is_seen(tmp_path):
    """tools/check-wdf, on a header in the form of Microsoft's."""
    header = tmp_path / "wdffuncenum.h"
    text = (ROOT / "windows/vsp/wdf.h").read_text()
    names = re.findall(r"^    X\([^()]*?(\w+), (\d+),", text, re.M)
    assert len(names) == text.count("    X(")
    lines = [f"    Wdf{name}TableIndex = {number}," for name, number in names]
    lines.append("    WdfFunctionTableNumEntries = 257,")
    header.write_text("\n".join(lines))
    assert run(ROOT / "tools/check-wdf", header).returncode == 0
    header.write_text("\n".join(lines).replace("RequestCompleteTableIndex = 163", "RequestCompleteTableIndex = 164"))
    done = run(ROOT / "tools/check-wdf", header)
    assert done.returncode == 1 and done.stdout == "RequestComplete: 163 here, 164 there\n"


def lint(tmp_path, text):
    path = tmp_path / "test.inf"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([ROOT / "tools/inf-lint", path], capture_output=True, text=True, check=False)
    return done.returncode, set(re.findall(r"inf: (\w+): ", done.stdout))


def test_the_inf_keeps_the_rules(tmp_path):
    assert lint(tmp_path, INF.read_text(encoding="utf-8")) == (0, set())


@pytest.mark.parametrize("code,old,new", [
    ("1204", '"kdwire"', '"Microsoft Corporation"'),
    ("1233", "CatalogFile = htsvsp.cat", ""),
    ("1324", "PnpLockdown = 1", ""),
    ("driverver", "11/01/2026", "11/01/2999"),
    ("driverver", "0.1.0.0", "0.1"),
    ("section", ", NTamd64.10.0...17763, NTamd64.10.0...22000", ""),
    ("section", "[HtsVsp.NTamd64.10.0...22000]", "[HtsVsp.NTamd64.10.0...22001]"),
    ("1322", "DefaultDestDir = 13", "DefaultDestDir = 12"),
    ("1100", "[HtsVsp.Files]\nhtsvsp.dll", "[HtsVsp.Files]\nhtsvsp.dll,other.dll"),
    ("1230", "htsvsp.dll = 1", ""),
    ("1235", "%Device% = HtsVsp10", "%Missing% = HtsVsp10"),
    ("1296", "[HtsVsp10.NT.Services]", "[HtsVsp10.NT.Other]"),
    ("1300", "[HtsVsp10.NT.HW]", "[HtsVsp10.NT.CoInstallers]\nx = y\n[HtsVsp10.NT.HW]"),
    ("1304", "HKR,,DeviceType", "HKLM,,DeviceType"),
    ("1285", "[Strings]", "[ClassInstall32]\n[Strings]"),
    ("1205", "AddReg = HtsVsp.Registry", "AddReg = HtsVsp.Registry, HtsVsp.Registry"),
    ("name", "HtsVsp, HtsVsp.Umdf", "HtsVspWithANameThatIsFarTooLongForIt, HtsVsp.Umdf"),
    ("2083", "[Strings]", "[Nobody.Needs.This]\n[Strings]"),
    ("2084", "WUDFRD.NT.Services", "WUDFRD.NT"),
    ("2086", "Needs   = WUDFRD.NT.Services",
     "Needs   = WUDFRD.NT.Services\nAddService = WUDFRd, 0x000001fa, WUDFRd.Service"),
])
def test_each_rule_is_seen_broken(tmp_path, code, old, new):
    text = INF.read_text(encoding="utf-8")
    assert old in text
    status, codes = lint(tmp_path, text.replace(old, new))
    assert status == 1 and code in codes


@pytest.fixture
def package(tmp_path):
    if not (DLL.exists() and MKCAT.exists()):
        pytest.skip("not built (tools/build does)")
    shutil.copy(INF, tmp_path)
    shutil.copy(DLL, tmp_path)
    return tmp_path


def make_catalog(folder, name="htsvsp.cat"):
    subprocess.run([MKCAT, folder / name, "--id", "UMDF\\HtsVsp", folder / "htsvsp.inf", folder / "htsvsp.dll"],
                   check=True, env=TIME)
    return (folder / name).read_bytes()


def elements(data):
    """DER as a tree: [(tag, content or children)]."""
    out = []
    while data:
        tag, length, at = data[0], data[1], 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[2:2 + count], "big"), 2 + count
        content = data[at:at + length]
        assert len(content) == length
        out.append((tag, elements(content) if tag & 0x20 else content))
        data = data[at + length:]
    return out


def oid(text):
    first, second, *rest = map(int, text.split("."))
    out = [first * 40 + second]
    for number in rest:
        part = [number & 0x7F]
        while number := number >> 7:
            part.insert(0, 0x80 | number & 0x7F)
        out += part
    return bytes(out)


def name_value(name, value):
    return (0x30, [(0x1E, name.encode("utf-16-be")), (0x02, bytes.fromhex("10010001")),
                   (0x04, value.encode("utf-16-le") + b"\0\0")])


def test_the_catalog_is_laid_out_as_windows_own(package):
    (_, (signed_oid, (_, ((_, signed),)))), = elements(make_catalog(package))
    assert signed_oid == (0x06, oid("1.2.840.113549.1.7.2"))
    version, digests, (_, (ctl_oid, (_, ((_, ctl),)))), signers = signed
    assert (version, digests, signers) == ((0x02, b"\1"), (0x31, []), (0x31, []))
    assert ctl_oid == (0x06, oid("1.3.6.1.4.1.311.10.1"))
    usage, list_id, time, algorithm, members, extensions = ctl
    assert usage == (0x30, [(0x06, oid("1.3.6.1.4.1.311.12.1.1"))])
    assert list_id[0] == 0x04 and len(list_id[1]) == 16
    assert time == (0x17, b"231114221320Z")
    assert algorithm == (0x30, [(0x06, oid("1.3.6.1.4.1.311.12.1.3")), (0x05, b"")])
    tags = [member[1][0][1] for member in members[1]]
    assert tags == sorted(tags) and sorted(map(len, tags)) == [20, 20, 32, 32]
    inf_hash = hashlib.sha256((package / "htsvsp.inf").read_bytes()).digest()
    attributes = {tuple(e[1][0]): e[1][1] for m in members[1] if m[1][0][1] == inf_hash for e in m[1][1][1]
                  if e[1][0][1] != oid("1.3.6.1.4.1.311.12.2.1")}
    assert attributes[(0x06, oid("1.3.6.1.4.1.311.12.2.3"))] == (0x31, [(0x82, b"")])
    indirect = attributes[(0x06, oid("1.3.6.1.4.1.311.2.1.4"))]
    assert indirect == (0x31, [(0x30, [
        (0x30, [(0x06, oid("1.3.6.1.4.1.311.2.1.25")), (0xA2, [(0x80, b"")])]),
        (0x30, [(0x30, [(0x06, oid("2.16.840.1.101.3.4.2.1")), (0x05, b"")]), (0x04, inf_hash)])])])
    names = [e for m in members[1] for e in m[1][1][1] if e[1][0][1] == oid("1.3.6.1.4.1.311.12.2.1")]
    assert sum(e[1][1][1] == [name_value("File", "htsvsp.dll")] for e in names) == 2
    assert sum(e[1][1][1] == [name_value("OSAttr", "2:10.0")] for e in names) == 4
    values = [elements(entry[1][1][1])[0] for entry in extensions[1][0][1]]
    assert values == [name_value("OS", "_v100_X64"), name_value("HWID1", "umdf\\htsvsp")]


def test_the_catalog_repeats_and_follows_its_files(package):
    first = make_catalog(package)
    assert make_catalog(package) == first
    with open(package / "htsvsp.inf", "a", encoding="utf-8") as file:
        file.write("; changed\n")
    second = make_catalog(package)
    assert second != first
    assert hashlib.sha256((package / "htsvsp.inf").read_bytes()).digest() in second
    assert hashlib.sha256((package / "htsvsp.inf").read_bytes()).digest() not in first


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


@pytest.fixture
def signed(package):
    if not shutil.which("osslsigncode"):
        pytest.skip("osslsigncode is not installed")
    make_catalog(package, "unsigned.cat")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", package / "key.pem", "-out",
        package / "cert.pem", "-days", "30", "-subj", "/CN=test", "-addext", "extendedKeyUsage=codeSigning",
        "-addext", "keyUsage=digitalSignature")
    done = run("osslsigncode", "sign", "-certs", package / "cert.pem", "-key", package / "key.pem", "-h", "sha256",
               "-in", package / "unsigned.cat", "-out", package / "htsvsp.cat")
    assert done.returncode == 0, done.stdout + done.stderr
    return package


def verify(folder, *options):
    return run("osslsigncode", "verify", "-CAfile", folder / "cert.pem", *options).returncode == 0


def test_signature_holds_and_changes_are_refused(signed):
    catalog = signed / "htsvsp.cat"
    dll = signed / "htsvsp.dll"
    assert verify(signed, catalog)
    assert verify(signed, "-catalog", catalog, dll)
    damaged = bytearray(dll.read_bytes())
    damaged[0x600] ^= 1
    dll.write_bytes(damaged)
    assert not verify(signed, "-catalog", catalog, dll)
    damaged = bytearray(catalog.read_bytes())
    damaged[damaged.index(b"h\0t\0s\0v\0s\0p\0")] ^= 1
    catalog.write_bytes(damaged)
    assert not verify(signed, catalog)


def test_a_signed_dll_still_fits_the_catalog(signed):
    done = run("osslsigncode", "sign", "-certs", signed / "cert.pem", "-key", signed / "key.pem", "-h", "sha256",
               "-in", signed / "htsvsp.dll", "-out", signed / "signed.dll")
    assert done.returncode == 0
    assert verify(signed, "-catalog", signed / "htsvsp.cat", signed / "signed.dll")


DRIVER_FILES = ["htsvsp.cat", "htsvsp.cer", "htsvsp.dll", "htsvsp.inf", "vspControl.exe"]
needs_package = pytest.mark.skipif(not (PACKAGE / "htsvsp.zip").exists(), reason="dist/windows is not built")


@needs_package
def test_the_zip_holds_the_package():
    with zipfile.ZipFile(PACKAGE / "htsvsp.zip") as archive:
        for name in DRIVER_FILES + ["htsvsp.pdb", "vspControl.pdb"]:
            assert archive.read(f"htsvsp/{name}") == (PACKAGE / name).read_bytes()
        catalog = archive.read("htsvsp/htsvsp.cat")
        assert hashlib.sha256(archive.read("htsvsp/htsvsp.inf")).digest() in catalog
        keys = (".key", ".pem", ".p12", ".pfx")  # of the signature: they stay with their owner
        assert not [name for name in archive.namelist() if name.lower().endswith(keys)]


def test_the_installer_takes_away_what_it_puts():
    """NSIS makes a 32-bit program, which the 64-bit Wine of Debian cannot run: its script is looked at."""
    text = (ROOT / "packaging/windows/htsvsp.nsi").read_text()
    puts = re.findall(r'^  File "\$\{SOURCE\}\\([\w.]+)"', text, re.M)
    takes = re.findall(r'^  Delete "\$INSTDIR\\([\w.]+)"', text, re.M)
    assert set(DRIVER_FILES) <= set(puts) <= set(takes)


def test_mkcat_says_what_is_wrong(tmp_path):
    if not MKCAT.exists():
        pytest.skip("not built (tools/build does)")
    assert run(MKCAT).returncode == 2
    done = run(MKCAT, tmp_path / "x.cat", "--id", "a", tmp_path / "missing.inf")
    assert done.returncode == 1 and "missing.inf" in done.stderr
