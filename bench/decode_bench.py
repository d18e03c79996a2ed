# SPDX-License-Identifier: BSD-2-Clause
"""How fast `kdwire decode` goes through a recording: packets per second, best of several runs.

One JSON object per line. The recording is made here: requests and replies as a debugger that reads
memory causes them, with their acknowledgements, one packet per pcapng record.
"""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
KDWIRE = os.environ.get("KDWIRE", str(TOP / "dist" / "linux" / "kdwire"))
ROUND_TRIPS = 200_000
RUNS = 5


def packet(packet_id, body):
    head = struct.pack("<IHHII", 0x30303030, 2, len(body), packet_id, sum(body))
    return head + body + b"\xaa"


def acknowledge(packet_id):
    return struct.pack("<IHHII", 0x69696969, 4, 0, packet_id, 0)


def round_trip(parity):
    """The four packets of one read of 64 bytes, and who sent each (0 = the debugger)."""
    number = 0x80800000 | parity
    union = struct.pack("<QII", 0xFFFFF80000001000, 64, 64)
    request = struct.pack("<IHHII", 0x3130, 0, 0, 0x103, 0) + union.ljust(40, b"\0")
    reply = struct.pack("<IHHII", 0x3130, 0, 0, 0, 0) + union.ljust(40, b"\0") + bytes(range(64))
    return ((0, packet(number, request)), (1, acknowledge(number)),
            (1, packet(number, reply)), (0, acknowledge(number)))


def block(kind, body):
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def write_recording(path):
    exported = struct.pack(">HH", 12, 4) + b"kd\0\0" + struct.pack(">HH", 0, 0)
    now = 1_700_000_000_000_000_000
    with open(path, "wb") as f:
        f.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        nanoseconds = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
        for _ in range(2):
            f.write(block(1, struct.pack("<HHI", 252, 0, 0) + nanoseconds))
        packets = [(side, exported + data) for parity in (0, 1) for side, data in round_trip(parity)]
        for i in range(ROUND_TRIPS * 4):
            side, data = packets[i % len(packets)]
            now += 25_000
            flags = struct.pack("<HHIHH", 2, 4, 1 if side else 2, 0, 0)
            f.write(block(6, struct.pack("<IIIII", side, now >> 32, now & 0xFFFFFFFF, len(data),
                                         len(data)) + data + bytes(-len(data) % 4) + flags))


def best_time(arguments):
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([KDWIRE, "decode", *arguments], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.pcapng")
        write_recording(path)
        for bench, options in (("decode-stats", ["--stats"]), ("decode-text", []),
                               ("decode-json", ["--json"])):
            seconds = best_time([*options, path])
            print(json.dumps({"bench": bench, "packets": ROUND_TRIPS * 4,
                              "bytes": os.path.getsize(path), "seconds": round(seconds, 4),
                              "packets_per_s": round(ROUND_TRIPS * 4 / seconds)}), flush=True)


if __name__ == "__main__":
    main()
