# SPDX-License-Identifier: BSD-2-Clause
"""`kdwire decode` as a user runs it: recordings, raw streams, filters, counts, and bad input.

KDWIRE_BUILD names the build folder (default build/linux); KDWIRE_CAPTURES the folder of real
captures, which are kept outside the tree.
"""
import json
import os
import pathlib
import struct
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KDWIRE_BUILD", TOP / "build" / "linux")).resolve()
KDWIRE = BUILD / "src" / "cli" / "kdwire"
CAPTURES = pathlib.Path(os.environ.get("KDWIRE_CAPTURES", TOP.parent / "shared" / "captures"))
REAL = CAPTURES / "windows-kdnet"
WAIT = 60  # seconds until a run that hangs is a failure
START = 1_700_000_000_000_000_000  # 2023-11-14 22:13:20 UTC
MS = 1_000_000

pytestmark = pytest.mark.skipif(not KDWIRE.exists(), reason=f"{KDWIRE} is not built")
real = pytest.mark.skipif(not REAL.exists(), reason=f"no capture in {REAL}")


def run(*arguments, data=None):
    environment = dict(os.environ, TZ="UTC")
    return subprocess.run([KDWIRE, "decode", *map(str, arguments)], input=data, env=environment,
                          capture_output=True, timeout=WAIT, check=False)


def shown(*arguments, data=None, code=0):
    done = run(*arguments, data=data)
    assert done.returncode == code, done.stderr
    return done.stdout.decode().splitlines()


def objects(*arguments, data=None):
    return [json.loads(line) for line in shown("--json", *arguments, data=data)]


def complaint(*arguments, data=None, code=1):
    done = run(*arguments, data=data)
    assert done.returncode == code
    return done.stderr.decode()


def packet(kind, body, number=0x80800000, trailer=b"\xaa"):
    return struct.pack("<IHHII", 0x30303030, kind, len(body), number, sum(body)) + body + trailer


def control(kind, number=0):
    return struct.pack("<IHHII", 0x69696969, kind, 0, number, 0)


def manipulate(api, union=b"", data=b"", status=0):
    return struct.pack("<IHHII", api, 0, 0, status, 0) + union.ljust(40, b"\0") + data


def state_change(state):
    return struct.pack("<IHHIIQQ", state, 0, 0, 1, 0, 0, 0x1234).ljust(240, b"\0")


def read(address, size, data=b""):
    return manipulate(0x3130, struct.pack("<QII", address, size, len(data)), data)


def block(kind, body):
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def pcapng(records, dissector=b"kd"):
    """RECORDS: (milliseconds, 0 = the debugger or 1 = the target sent it, bytes)."""
    name = dissector + bytes(-len(dissector) % 4)
    exported = struct.pack(">HH", 12, len(name)) + name + struct.pack(">HH", 0, 0)
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += 2 * block(1, struct.pack("<HHIHHB3xHH", 252, 0, 0, 9, 1, 9, 0, 0))
    for milliseconds, side, data in records:
        now, data = START + milliseconds * MS, exported + data
        flags = struct.pack("<HHIHH", 2, 4, 1 if side else 2, 0, 0)
        out += block(6, struct.pack("<IIIII", side, now >> 32, now & 0xFFFFFFFF, len(data),
                                    len(data)) + data + bytes(-len(data) % 4) + flags)
    return out


def session():
    """A break-in, a stop, two reads (one repeated on the way), a go."""
    stop = packet(7, state_change(0x3030), 0x80800800)
    first = packet(2, read(0x1000, 4), 0x80800000)
    return [
        (0, 0, b"b"),
        (100, 1, stop),
        (101, 0, control(4, 0x80800000)),
        (200, 0, first),
        (205, 0, first),
        (206, 1, control(4, 0x80800000)),
        (210, 1, packet(2, read(0x1000, 4, b"abcd"), 0x80800001)),
        (211, 0, control(4, 0x80800001)),
        (300, 0, packet(2, read(0x2000, 4), 0x80800001)),
        (301, 1, control(4, 0x80800001)),
        (330, 1, packet(2, manipulate(0x3130, struct.pack("<QI", 0x2000, 4), status=0xC0000001))),
        (331, 0, control(4, 0x80800000)),
        (400, 1, b"console text\r\n"),
        (600, 0, packet(2, manipulate(0x313C, struct.pack("<I", 0x10002)), 0x80800000)),
        (601, 1, control(4, 0x80800000)),
        (700, 0, control(6)),
    ]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "session.pcapng"
    path.write_bytes(pcapng(session()))
    return path


def test_a_line_for_each_packet(recording):
    lines = shown(recording)
    assert len(lines) == len(session())
    assert lines[0] == "22:13:20.000000 debugger > target: break-in"
    assert lines[1].startswith("22:13:20.100000 target > debugger: 80800800 Exception: ")
    assert lines[3].endswith("80800000 ReadVirtualMemory request: 0x1000, 4 bytes")
    assert lines[6].endswith("ReadVirtualMemory reply: 0x1000, 4 of 4 bytes: 61 62 63 64")
    assert "reply STATUS_UNSUCCESSFUL" in lines[10]
    assert lines[12].endswith(r'junk, 14 bytes: "console text\r\n"')


def test_times_can_count_from_the_first_packet(recording):
    assert shown("--relative", recording)[1].startswith("    0.100000 target")


def test_all_fields_and_data(recording):
    text = "\n".join(shown("-v", "--api", "readvirtualmemory", recording))
    assert "      TargetBaseAddress         0x1000\n" in text
    assert "00001000  61 62 63 64  " in text


def test_json_is_one_object_per_packet(recording):
    got = objects(recording)
    assert [o["kind"] for o in got].count("packet") == len(session()) - 2
    reply = got[6]
    assert (reply["message"], reply["role"], reply["direction"]) == (
        "ReadVirtualMemory", "reply", "to-debugger")
    assert reply["time"] == "1700000000.210000000"
    assert reply["fields"]["TargetBaseAddress"] == "0x1000"
    assert reply["data"]["hex"] == "61626364"
    assert got[0]["kind"] == "break-in" and got[12]["kind"] == "junk"


def test_filters(recording):
    assert len(shown("--api", "Exception,RESET", recording)) == 2
    assert len(shown("--api", "0x313c", recording)) == 1
    assert len(shown("--api", "break-in,junk", recording)) == 2
    assert len(shown("--direction", "to-target", recording)) == 9
    assert len(shown("--direction", "to-target", "--api", "acknowledge", recording)) == 3
    assert not shown("--api", "PrintString", recording)


def test_counts(recording):
    (stats,) = objects("--stats", recording)
    assert stats["packets"] == len(session()) - 2
    assert stats["stops"] == 1
    assert stats["seconds"] == pytest.approx(0.7)
    assert stats["seconds_stopped"] == pytest.approx(0.5)
    assert stats["to_target"]["break_ins"] == 1
    assert stats["to_target"]["repeated"] == 1
    assert stats["to_target"]["reset"] == 1
    assert stats["to_debugger"]["junk_bytes"] == 14
    assert sum(stats[side]["bytes"] for side in ("to_target", "to_debugger")) == sum(
        len(data) for _, _, data in session())
    reads = {m["message"]: m for m in stats["messages"]}["ReadVirtualMemory"]
    assert (reads["requests"], reads["replies"]) == (2, 2)
    trip = reads["round_trip_us"]  # the first one from its first sending on
    assert trip["min"] == pytest.approx(10_000) and trip["max"] == pytest.approx(30_000)
    text = "\n".join(shown("--stats", recording))
    assert "ReadVirtualMemory                    2         2 " in text


def test_standard_input_and_pipes(recording):
    assert shown("-", data=recording.read_bytes()) == shown(recording)


def test_damage_is_told(tmp_path):
    whole = packet(2, read(0x1000, 4))
    wrong = bytearray(whole)
    wrong[-3] ^= 1
    path = tmp_path / "damaged.pcapng"
    path.write_bytes(pcapng([(0, 0, whole), (1, 0, bytes(wrong)), (2, 0, whole[:40]),
                             (3, 0, whole)]))
    lines = shown(path)
    assert "[" not in lines[0] and lines[1].endswith("[checksum wrong]")
    assert lines[2].endswith("[cut: 40 bytes came]") and "[" not in lines[3]
    (stats,) = objects("--stats", path)
    assert stats["to_target"]["damaged"] == 2


def test_a_cut_recording_is_shown_as_far_as_it_goes(recording):
    whole = recording.read_bytes()
    for end in range(1, len(whole) - 1, 61):
        recording.write_bytes(whole[:end])
        done = run(recording)
        lines = done.stdout.decode().splitlines()
        assert lines == shown("-", data=whole)[:len(lines)]
        assert done.returncode in (0, 1)
        assert done.returncode == 0 or done.stderr
    recording.write_bytes(whole[:-50])
    assert "what comes before is shown" in complaint(recording)


def test_raw_streams(tmp_path):
    path = tmp_path / "raw.bin"
    stream = b"b" + control(6) + packet(2, read(0x1000, 4)) + b"hello"
    path.write_bytes(stream)
    lines = shown("--sender", "debugger", path)
    assert lines[0] == "debugger > target: break-in"
    assert lines[2].endswith("ReadVirtualMemory request: 0x1000, 4 bytes")
    assert lines[3].endswith('junk, 5 bytes: "hello"')
    path.write_bytes(packet(2, read(0x1000, 4), trailer=b"") * 3)
    assert len(shown(path)) == 3  # no trailer: found out by itself
    assert "trailer missing" in shown("--framing", "serial", path)[0]


def test_framing_is_found_in_pieces(tmp_path):
    """Chunks as they were read from a socket: the first packet, and its trailer, come in pieces."""
    for trailer in (b"", b"\xaa"):
        stream = packet(2, read(0x1000, 4), trailer=trailer) * 3
        for cut in (3, 20, 60, len(stream) // 3 - 1, len(stream) // 3, len(stream) // 3 + 1):
            path = tmp_path / "pieces.pcapng"
            path.write_bytes(pcapng([(0, 0, stream[:cut]), (1, 0, stream[cut:])], b"kd_stream"))
            lines = shown(path)
            assert len(lines) == 3 and not any("[" in line or "junk" in line for line in lines)
    path.write_bytes(pcapng([(0, 0, packet(2, read(0x1000, 4), trailer=b""))], b"kd_stream"))
    assert len(shown(path)) == 1 and "[" not in shown(path)[0]


@real
def test_real_streams_have_no_junk():
    count = 0
    for name, sender in (("kd-host-to-target.bin", "debugger"),
                         ("kd-target-to-host.bin", "target")):
        (stats,) = objects("--stats", "--sender", sender, REAL / name)
        for side in ("to_target", "to_debugger", "unknown_direction"):
            assert stats[side]["junk_bytes"] == 0 and stats[side]["damaged"] == 0
        count += stats["packets"]
    assert count == 526


def test_bad_input_gives_one_clear_line(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a capture\n" * 100)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert "No such file" in complaint(tmp_path / "none")
    assert "is a directory" in complaint(tmp_path)
    assert "is empty" in complaint(empty)
    assert "is neither a pcapng nor a pcap file" in complaint(text)
    assert "no KD packet is in it" in complaint("--raw", text)
    for arguments in (["none"], [str(tmp_path)], [str(text)]):
        assert complaint(*arguments).count("\n") == 1


def test_wrong_usage_says_what_is_right(recording):
    assert "name a recording" in complaint(code=2)
    assert "one recording at a time" in complaint(recording, recording, code=2)
    assert "'Foo' is no message" in complaint("--api", "Foo", recording, code=2)
    assert "neither to-target nor to-debugger" in complaint("-d", "up", recording, code=2)
    assert "'--frob' is no option" in complaint("--frob", recording, code=2)
    assert "--api needs a value" in complaint("--api", code=2)
    assert "--json" in "\n".join(shown("--help"))


def frame(side, sequence, data, ports=(40000, 7001)):
    """Ethernet, IPv4, TCP; the target listens on the second port."""
    source, destination = ports[side], ports[1 - side]
    tcp = struct.pack(">HHIIBBHHH", source, destination, sequence, 0, 0x50, 0x18, 1000, 0, 0) + data
    addresses = bytes([10, 0, 0, 1 + side, 10, 0, 0, 2 - side])
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses
    return bytes(12) + b"\x08\x00" + ip + tcp


def pcap(frames):
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(
        struct.pack("<IIII", START // 10**9, i, len(f), len(f)) + f for i, f in enumerate(frames))


def test_tcp_connections_as_tcpdump_sees_them(tmp_path):
    """Segments cut anywhere, one sent twice, the number wrapping; another connection beside it."""
    streams = [b"", b""]
    for _, side, data in session():
        streams[side] += data
    frames, numbers = [], [0xFFFFFF80, 1000]
    for side in (1, 0):
        for at in range(0, len(streams[side]), 50):
            piece = streams[side][at:at + 50]
            frames += [frame(side, (numbers[side] + at) % 2**32, piece)] * (1 + (at == 100))
            frames.append(frame(side, 5 + at, b"GET / HTTP/1.1", (50000, 80)))
    path = tmp_path / "tcp.pcap"
    path.write_bytes(pcap(frames))
    done = run("--json", path)
    got = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert b"are not KD" in done.stderr and b"not captured" not in done.stderr
    packets = [o for o in got if o["kind"] == "packet"]
    assert len(packets) == len(session()) - 2
    assert not any(o["faults"] for o in packets)
    read_reply = [o for o in packets if o.get("role") == "reply"][0]
    assert read_reply["direction"] == "to-debugger" and read_reply["data"]["hex"] == "61626364"

    path.write_bytes(pcap(frames[:4] + frames[8:]))
    done = run(path)
    assert b"100 bytes of the traffic are missing" in done.stderr
    assert b"[cut: " in done.stdout


def test_encrypted_kdnet_is_named_as_such(tmp_path):
    """Classic pcap, Ethernet, UDP to port 50000, the KDNET magic and what looks encrypted."""
    payload = b"MDBG" + bytes([1, 0]) + bytes(range(80))
    udp = struct.pack(">HHHH", 50001, 50000, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), bytes(4))
    frame = bytes(12) + b"\x08\x00" + ip + udp
    path = tmp_path / "kdnet.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
                     struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    done = run(path)
    assert b"1 records are encrypted KDNET datagrams" in done.stderr
