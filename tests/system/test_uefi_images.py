# SPDX-License-Identifier: BSD-2-Clause
"""The UEFI images as files: what firmware, WinDbg and a reader of stacks need to find in them."""
import os
import struct

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIST = os.path.join(TOP, "dist", "uefi")

APPLICATION, RUNTIME_DRIVER = 10, 12
EXCEPTION_DIRECTORY, DEBUG_DIRECTORY = 3, 6
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


def test_the_pdb_matches_and_no_path_of_the_build_shows(name, image):
    identity, path = image.codeview()
    assert path == name + ".pdb"
    with open(os.path.join(DIST, path), "rb") as file:
        assert identity[:16] in file.read()


def test_stacks_can_be_walked_through_its_functions(image):
    functions = image.directory(EXCEPTION_DIRECTORY)[1] // 12
    assert functions > 0, "compiled without unwind tables"
