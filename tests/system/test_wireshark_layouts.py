# SPDX-License-Identifier: BSD-2-Clause
"""Where each field lies, by a table of its own: it was written from other descriptions of the protocol
than include/kdwire/fields.h, which the plugin is made from. And each number shown is the number that
the bytes there hold."""
import re
import xml.etree.ElementTree as xml

import pytest

from test_wireshark import KEY_OPTION, base, real, records, talk_of, tmp_path, tshark  # noqa: F401
from wireshark_run import OWN_NAMES, PLUGIN, own_capture

pytestmark = pytest.mark.skipif(not PLUGIN, reason="the plugin is not built")

# STRUCTURE, where it begins in the packet; then FIELD OFFSET SIZE. The body begins at 16, what follows
# the fixed part of a manipulate packet at 72.
LAYOUTS = """
packetheader 0: leader 0 4, packettype 4 2, bytecount 6 2, packetid 8 4, checksum 12 4
manipulate 16: apinumber 0 4, processorlevel 4 2, processor 6 2, returnstatus 8 4
readmemory 16: targetbaseaddress 16 8, transfercount 24 4, actualbytes 28 4
physicalmemory 16: targetbaseaddress 16 8, transfercount 24 4, cacheflags 28 4
writebreakpoint 16: breakpointaddress 16 8, breakpointhandle 24 4
continue2amd64 16: continuestatus 16 4, traceflag 20 4, dr7 24 8, currentsymbolstart 32 8,
  currentsymbolend 40 8
msr 16: msr 16 4, datavaluelow 20 4, datavaluehigh 24 4
getversion 16: majorversion 16 2, minorversion 18 2, protocolversion 20 1, kdsecondaryversion 21 1,
  flags 22 2, machinetype 24 2, maxpackettype 26 1, maxstatechange 27 1, maxmanipulate 28 1,
  simulation 29 1, unused 30 2, kernbase 32 8, psloadedmodulelist 40 8, debuggerdatalist 48 8
statechange 16: newstate 0 4, processorlevel 4 2, processor 6 2, numberprocessors 8 4, thread 16 8,
  programcounter 24 8
exception 16: exceptioncode 32 4, exceptionflags 36 4, exceptionrecord 40 8, exceptionaddress 48 8,
  numberparameters 56 4, firstchance 184 4
loadsymbols 16: pathnamelength 32 4, baseofdll 40 8, processid 48 8, checksum 56 4, sizeofimage 60 4,
  unloadsymbols 64 1
commandstring 16: flags 32 4, reserved1 36 4
controlreportamd64 16: dr6 192 8, dr7 200 8, eflags 208 4, instructioncount 212 2, reportflags 214 2,
  instructionstream 216 16, segcs 232 2, segds 234 2, seges 236 2, segfs 238 2
debugio 16: apinumber 0 4, processorlevel 4 2, processor 6 2, lengthofstring 8 4
specialamd64 72: cr0 0 8, cr2 8 8, cr3 16 8, cr4 24 8, kerneldr0 32 8, kerneldr1 40 8, kerneldr2 48 8,
  kerneldr3 56 8, kerneldr6 64 8, kerneldr7 72 8, gdtrlimit 86 2, gdtrbase 88 8, idtrlimit 102 2,
  idtrbase 104 8, tr 112 2, ldtr 114 2, mxcsr 116 4, debugcontrol 120 8, lastbranchtorip 128 8,
  lastbranchfromrip 136 8, lastexceptiontorip 144 8, lastexceptionfromrip 152 8, cr8 160 8,
  msrgsbase 168 8, msrgsswap 176 8, msrstar 184 8, msrlstar 192 8, msrcstar 200 8,
  msrsyscallmask 208 8, xcr0 216 8
contextamd64 72: contextflags 48 4, mxcsr 52 4, segcs 56 2, segds 58 2, seges 60 2, segfs 62 2,
  seggs 64 2, segss 66 2, eflags 68 4, dr0 72 8, dr1 80 8, dr2 88 8, dr3 96 8, dr6 104 8, dr7 112 8,
  rax 120 8, rcx 128 8, rdx 136 8, rbx 144 8, rsp 152 8, rbp 160 8, rsi 168 8, rdi 176 8, r8 184 8,
  r9 192 8, r10 200 8, r11 208 8, r12 216 8, r13 224 8, r14 232 8, r15 240 8, rip 248 8,
  fltsave 256 512, vectorcontrol 1184 8, debugcontrol 1192 8, lastbranchtorip 1200 8,
  lastbranchfromrip 1208 8, lastexceptiontorip 1216 8, lastexceptionfromrip 1224 8
"""


def layouts():
    table = {}
    for name, start, fields in re.findall(r"(\w+) (\d+): ([^:]+)(?=\n\w|\n*\Z)", LAYOUTS):
        for field, offset, size in re.findall(r"(\w+) (\d+) (\d+)", fields):
            table[f"kd.{name}.{field}"] = (int(start) + int(offset), int(size))
    return table


TABLE = layouts()


def check(tshark, path, *options):  # noqa: F811
    """Returns the names of the fields of the table that were there."""
    text = tshark.run("-r", path, *options, "-T", "pdml", "-J", "kd")
    seen = set()
    for protocol in (p for p in xml.fromstring(text).iter("proto") if p.get("name") == "kd"):
        start = int(protocol.get("pos"))
        for field in protocol.iter("field"):
            name, raw = field.get("name"), field.get("value")
            if name not in TABLE:
                continue
            assert (int(field.get("pos")) - start, int(field.get("size"))) == TABLE[name], name
            seen.add(name)
            if re.fullmatch(r"\d+|0x[0-9a-f]+", field.get("show")) and raw and len(raw) <= 16:
                value = int.from_bytes(bytes.fromhex(raw), "little")
                assert int(field.get("show"), 0) == value, name
    return seen


def test_the_table_is_read_whole():
    assert len(TABLE) == 142 and TABLE["kd.contextamd64.rip"] == (320, 8)


def test_layouts_in_a_real_session(tshark, real):  # noqa: F811
    """Without PrintString's and physical memory's like, all structures of the table are in it."""
    missing = {name.split(".")[1] for name in set(TABLE) - check(tshark, real, *KEY_OPTION)}
    assert missing <= {"physicalmemory", "writebreakpoint", "msr", "commandstring"}


@pytest.mark.parametrize("name", OWN_NAMES)
def test_layouts_in_our_recordings(tshark, tmp_path, name):  # noqa: F811
    seen = {field.split(".")[1] for field in check(tshark, own_capture(name, tmp_path))}
    assert {"getversion", "contextamd64", "exception", "controlreportamd64"} <= seen


def test_layouts_of_every_message(tshark, tmp_path):  # noqa: F811
    seen = check(tshark, records(tmp_path, *talk_of(0x8664)))
    assert {"physicalmemory", "writebreakpoint", "msr", "commandstring", "continue2amd64"} <= {
        name.split(".")[1] for name in seen}
