# SPDX-License-Identifier: BSD-2-Clause
"""How fast guest memory comes out of firmware: the whole way against the bare UART.

One JSON object per line. "raw" is a program in the guest that writes bytes to its UART in bursts of
16 and does nothing else; "read" is 1 MiB of guest memory that `kdwire debug` reads through
`kdwire relay --record`, from its first request to its last reply as recorded. They alternate in one
run, on the same snapshot of the same machine; the ratio is between the medians.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests" / "system"))

from uefi import qemu             # noqa: E402
from uefi import session          # noqa: E402

SIZE = 1 << 20
ROUNDS = 5
TARGET_RATIO = 0.70
COM2 = 0x2F8


def out(**values):
    print(json.dumps(values), flush=True)


def raw_rate():
    """Bytes per second of the burst loop; no engine is loaded."""
    files = {"opt/kd/go": b"1", "opt/kd/app.efi": session.image("guest_test"),
             "opt/kd/app.options": f"burst {COM2:x} {SIZE:x}".encode()}
    with session.snapshots().restore(kd_port=2, fw_cfg=files) as m:
        count = len(m.kd.recv(1))
        started = time.monotonic()
        while count < SIZE:
            count += len(m.kd.recv(65536))
        return SIZE / (time.monotonic() - started)


def pattern(size):
    return b"".join(((i * 0x9E3779B1 & 0xFFFFFFFF) >> 7).to_bytes(4, "little") for i in range(0, size, 4))


def kdwire(*arguments):
    return subprocess.run([session.KDWIRE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True,
                          timeout=10 * qemu.PATIENCE).stdout


def recorded_times(recording, low, high):
    """Times of the first request for and the last reply with memory from low to high (nanoseconds)."""
    times = []
    for line in kdwire("decode", "--json", "--api", "ReadVirtualMemory", str(recording)).splitlines():
        packet = json.loads(line)
        if packet.get("kind") == "packet" and low <= int(packet["fields"]["TargetBaseAddress"], 0) < high:
            seconds, fraction = packet["time"].split(".")
            times.append(int(seconds) * 10**9 + int(fraction))
    return times[0], times[-1]


def read_rate():
    """Bytes per second of reading SIZE bytes through relay and recorder, with kdwire's debugger, by the recording's clock."""
    with session.Session(f"buffer {SIZE:x}", attach=False, child=False, console=False) as s, \
            tempfile.TemporaryDirectory(prefix="kdwire-bench-") as folder:
        with session.Relay(s, pathlib.Path(folder)) as relay:
            kdwire("debug", f"unix:{relay.door}", "-c", "g; g; .wait; q")
            at = s.sym("buffer")
            text = kdwire("debug", f"unix:{relay.door}", "-c", f"db {at:x} L{SIZE:x}; qd")
            relay.end()
            check(text, at)
            first, last = recorded_times(relay.recording, at, at + SIZE)
            return SIZE * 1e9 / (last - first)


def check(text, at):
    """The memory that was read must be the memory that was there."""
    lines = {int(m[1].replace("`", ""), 16): m[2] for m in re.finditer(r"^([0-9a-f`]{17})  ((?:[0-9a-f]{2}[ -]){16})", text, re.M)}
    data = b"".join(bytes.fromhex(lines.get(at + i, "").replace("-", " ")) for i in range(0, SIZE, 16))
    if data != pattern(SIZE):
        sys.exit("uefi_bench: the memory that was read is not the memory that was there")


def main():
    if qemu.missing():
        sys.exit(f"uefi_bench: {qemu.missing()}")
    if not session.KDWIRE:
        sys.exit("uefi_bench: kdwire is not built; run tools/build")
    raw, read = [], []
    for number in range(ROUNDS):
        raw.append(raw_rate())
        read.append(read_rate())
        out(bench="uefi", round=number, raw_bytes_s=round(raw[-1]), read_bytes_s=round(read[-1]))
    ratio = statistics.median(read) / statistics.median(raw)
    out(bench="uefi", raw_bytes_s=round(statistics.median(raw)), read_bytes_s=round(statistics.median(read)),
        ratio=round(ratio, 3), demanded=TARGET_RATIO, reached=ratio >= TARGET_RATIO)


if __name__ == "__main__":
    main()
