# SPDX-License-Identifier: BSD-2-Clause
"""The UEFI images as files: what firmware, WinDbg and a reader of stacks need to find in them."""
import os
import re
import shutil
import struct
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIST = os.path.join(TOP, "dist", "uefi")

APPLICATION, RUNTIME_DRIVER = 10, 12
EXCEPTION_DIRECTORY, RELOCATION_DIRECTORY, DEBUG_DIRECTORY = 3, 5, 6
RELOCATIONS_STRIPPED = 1
IMAGES = {"windbg": RUNTIME_DRIVER, "kdboot": APPLICATION, "hello": APPLICATION}


class Image:
    """Just enough of a PE32+ reader."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.pe = struct.unpack_from("<I", self.data, 0x3C)[0]
        assert self.data[self.pe:self.pe + 4] == b"PE\0\0"
        self.optional = self.pe + 24
        self.characteristics, = struct.unpack_from("<H", self.data, self.pe + 22)
        self.base = struct.unpack_from("<Q", self.data, self.optional + 24)[0]
        self.subsystem = struct.unpack_from("<H", self.data, self.optional + 68)[0]

    def directory(self, index):
        return struct.unpack_from("<II", self.data, self.optional + 112 + 8 * index)

    def at(self, rva, size):
        count, = struct.unpack_from("<H", self.data, self.pe + 6)
        first = self.optional + struct.unpack_from("<H", self.data, self.pe + 20)[0]
        for section in range(first, first + 40 * count, 40):
            length, start, _, offset = struct.unpack_from("<IIII", self.data, section + 8)
            if start <= rva < start + length:
                return self.data[offset + rva - start:offset + rva - start + size]
        raise AssertionError(f"no section holds {rva:#x}")

    def codeview(self):
        """GUID and age, and the path of the PDB."""
        rva, size = self.directory(DEBUG_DIRECTORY)
        for entry in range(0, size, 28):
            kind, length, where = struct.unpack_from("<12xIII", self.at(rva + entry, 28))
            if kind == 2:
                record = self.at(where, length)
                assert record[:4] == b"RSDS"
                return record[4:24], record[24:].rstrip(b"\0").decode("ascii")
        raise AssertionError("no CodeView record")


@pytest.fixture(params=IMAGES)
def name(request):
    return request.param


@pytest.fixture
def image(name):
    return Image(os.path.join(DIST, name + ".efi"))


def test_firmware_gets_the_kind_of_image_it_expects(name, image):
    assert image.subsystem == IMAGES[name]


def test_the_image_can_be_moved(image):
    # with another base EDK2 loads the image AT it if that memory happens to be free
    assert image.base == 0
    # "relocations stripped" would pin it; an image without absolute addresses needs none
    assert not image.characteristics & RELOCATIONS_STRIPPED


def test_the_engine_is_relocated():
    # its interrupt stubs, tables of pointers and protocols hold addresses
    assert Image(os.path.join(DIST, "windbg.efi")).directory(RELOCATION_DIRECTORY)[1] > 0


def test_the_pdb_matches_and_no_path_of_the_build_shows(name, image):
    identity, path = image.codeview()
    assert path == name + ".pdb"
    with open(os.path.join(DIST, path), "rb") as file:
        pdb = file.read()
    assert identity[:16] in pdb
    assert TOP.encode() not in pdb + image.data


def test_stacks_can_be_walked_through_its_functions(image):
    functions = image.directory(EXCEPTION_DIRECTORY)[1] // 12
    assert functions > 0, "compiled without unwind tables"


def test_the_pdb_has_lines_types_and_symbols():
    """What a source-level session needs, with source paths that do not depend on where it was built."""
    dump = subprocess.run(["llvm-pdbutil-14", "dump", "-files", "-l", "-symbols", "-types", os.path.join(DIST, "windbg.pdb")],
                          capture_output=True, text=True, check=True).stdout
    assert "C:\\kdwire\\uefi\\engine.c" in dump and "C:\\kdwire\\src\\kd\\target.c" in dump
    assert re.search(r"S_GPROC32 .*`engine_handle`", dump)
    assert re.search(r"LF_STRUCTURE .*`cpu_frame`", dump)
    lines = re.search(r"uefi\\engine\.c \(MD5.*\n.*line/addr entries = (\d+)", dump)
    assert lines and int(lines[1]) > 0


def test_another_build_gives_the_same_bytes(tmp_path):
    """Image and PDB identity depend on the sources alone: the same where somebody else builds them."""
    source, build = tmp_path / "elsewhere", tmp_path / "elsewhere" / "build" / "uefi"
    source.mkdir()
    for name in ("meson.build", "meson_options.txt", "include", "src", "uefi", "cross"):
        copy = shutil.copytree if os.path.isdir(os.path.join(TOP, name)) else shutil.copy
        copy(os.path.join(TOP, name), source / name)
    subprocess.run(["meson", "setup", build, source, "--cross-file", source / "cross" / "uefi-x86_64.txt"],
                   check=True, capture_output=True)
    subprocess.run(["ninja", "-C", build, "uefi/apps/hello.efi", "uefi/apps/kdboot.efi"], check=True, capture_output=True)
    for name in ("hello", "kdboot"):
        with open(os.path.join(DIST, name + ".efi"), "rb") as file:
            assert file.read() == (build / "uefi" / "apps" / (name + ".efi")).read_bytes(), name
