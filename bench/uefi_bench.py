# SPDX-License-Identifier: BSD-2-Clause
"""How fast guest memory comes out of firmware: the whole way against the bare UART.

One JSON object per line. "raw" is a program in the guest that writes bytes to its UART in bursts of
16 and does nothing else; "read" is 1 MiB of guest memory read through `kdwire relay --record`, by
kdwire's own debugger and by the tests' one. Raw and read alternate in one run, on the same snapshot
of the same machine; the ratio is between the medians.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests" / "system"))

from uefi import kd as k          # noqa: E402
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


class Relay:
    """kdwire relay with a recording, between a Unix socket and the machine."""

    def __init__(self, target, folder):
        self.door = folder / "door"
        self.recording = folder / "session.pcapng"
        self.process = subprocess.Popen(
            [str(TOP / "dist" / "linux" / "kdwire"), "relay", "--debugger", f"unix-listen:{self.door}",
             "--target", f"unix:{target}", "--record", str(self.recording)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def read_rate():
    """Bytes per second of reading SIZE bytes through relay and recorder."""
    with session.Session(f"buffer {SIZE:x}", attach=False, child=False, console=False) as s, \
            tempfile.TemporaryDirectory(prefix="kdwire-bench-") as folder:
        s.machine.kd.close()
        with Relay(s.machine.path("kd"), pathlib.Path(folder)) as relay:
            s.kd = k.Kd(qemu.connect(relay.door), qemu.PATIENCE)
            s.kd.attach()
            s.go_to_program()
            started = time.monotonic()
            data = s.kd.read(s.sym("buffer"), SIZE)
            rate = SIZE / (time.monotonic() - started)
            if data != pattern(SIZE):
                sys.exit("uefi_bench: the memory that was read is not the memory that was there")
            return rate, s.kd.resends


def main():
    if qemu.missing():
        sys.exit(f"uefi_bench: {qemu.missing()}")
    raw, read, resends = [], [], 0
    for number in range(ROUNDS):
        raw.append(raw_rate())
        rate, again = read_rate()
        read.append(rate)
        resends += again
        out(bench="uefi", round=number, raw_bytes_s=round(raw[-1]), read_bytes_s=round(read[-1]))
    ratio = statistics.median(read) / statistics.median(raw)
    out(bench="uefi", raw_bytes_s=round(statistics.median(raw)), read_bytes_s=round(statistics.median(read)),
        ratio=round(ratio, 3), demanded=TARGET_RATIO, reached=ratio >= TARGET_RATIO, resends=resends)


if __name__ == "__main__":
    main()
