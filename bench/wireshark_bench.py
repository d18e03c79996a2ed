# SPDX-License-Identifier: BSD-2-Clause
"""What the Wireshark plugin costs: user CPU of tshark over 100,000 frames, beside the same file with
the plugin's protocols disabled. And how long a packet takes from being sent to being shown."""
import collections
import gzip
import json
import os
import pathlib
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from relay_ends import Recording, blocks, wait_until  # noqa: E402
from wireshark_run import (CAPTURES, KEY, OWN_CAPTURES, PLUGIN, Tshark, open_folder,  # noqa: E402
                           install_extcap, pcapng, tshark_version, upper_pdu)

FRAMES = 100_000
ROUNDS = 15
DISABLED = ["--disable-protocol", "kd", "--disable-protocol", "kdnet"]


def cpu(tshark, path, options):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    tshark.run("-r", path, "-q", "-z", "io,phs", *options)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def compare(tshark, name, path, options, frames):
    """In rounds of changing order, so that what else the machine does falls on all. `noise` is what
    the same comparison makes of tshark without the plugin and once more the same."""
    runs = {"ours": options, "plain": DISABLED, "again": DISABLED}
    took = {way: [] for way in runs}
    order = collections.deque(runs)
    for _ in range(ROUNDS):
        for way in order:
            took[way].append(cpu(tshark, path, runs[way]))
        order.rotate()
    print(json.dumps({"bench": f"wireshark-{name}", "frames": frames,
                      "user_s": round(min(took["ours"]), 3),
                      "disabled_user_s": round(min(took["plain"]), 3),
                      **ratios("ratio", took["ours"], took["plain"]),
                      **ratios("noise", took["again"], took["plain"])}))


def ratios(name, some, others):
    return {name: round(min(some) / min(others), 3),
            f"median_{name}": round(statistics.median(some) / statistics.median(others), 3)}


def kdnet(tshark, folder):
    packed = CAPTURES / "windbg-uncut.pcapng.gz"
    if not packed.exists():
        print(f"wireshark-kdnet: skipped, no capture at {packed}", file=sys.stderr)
        return
    one, all_ = folder / "one.pcapng", folder / "all.pcapng"
    one.write_bytes(gzip.decompress(packed.read_bytes()))
    subprocess.run(["mergecap", "-a", "-w", all_, *[one] * 105], check=True)
    compare(tshark, "kdnet", all_, ["-o", f"kdnet.key:{KEY}"], 105 * 955)


def records(tshark, folder):
    packets = []
    for block in blocks((OWN_CAPTURES / "session.pcapng").read_bytes()):
        if block.kind == 6:
            interface, _, _, size, _ = struct.unpack_from("<IIIII", block.body)
            packets.append((Recording._strip_tags(block.body[20:20 + size]), interface == 0))
    talk = [packets[i % len(packets)] for i in range(FRAMES)]
    path = pcapng(folder / "records.pcapng", 252, [(upper_pdu(p, d), 0) for p, d in talk])
    compare(tshark, "records", path, [], FRAMES)


def live(tshark, folder):
    """tshark starts the relay from its interface list; a reset is sent, tshark's line is awaited. Most of
    the time is Wireshark's: before 4.4 its capture program tells it of new packets twice a second."""
    ends = folder / "ends"
    ends.mkdir()
    tshark.give(ends)
    places = [ends / name for name in ("debugger.sock", "target.sock")]
    options = [word for end, place in zip(("debugger", "target"), places) for word in
               ("-o", f"extcap.kdwire.{end}:unix-listen:{place},mode=666")]
    watcher = subprocess.Popen(tshark.command("-l", "-i", "kdwire", *options),
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    sides = []
    try:
        wait_until(lambda: all(place.exists() for place in places), "the relay listens")
        for place in places:
            side = socket.socket(socket.AF_UNIX)
            side.connect(str(place))
            sides.append(side)
        time.sleep(3)  # tshark starts
        times = []
        for number in range(20):
            sent = time.monotonic()
            sides[0].sendall(b"iiii\6\0\0\0" + struct.pack("<II", number, 0))
            while b"RESET" not in watcher.stdout.readline():
                pass
            times.append(1000 * (time.monotonic() - sent))
            time.sleep(0.37)
        print(json.dumps({"bench": "wireshark-live", "wireshark": tshark_version(),
                          "first_ms": round(times[0], 1),
                          "median_ms": round(statistics.median(times), 1),
                          "max_ms": round(max(times), 1)}))
    finally:
        for side in sides:
            side.close()
        watcher.terminate()
        watcher.wait()


def main():
    if not PLUGIN:
        print("wireshark: skipped, the plugin is not built", file=sys.stderr)
        return
    with open_folder() as folder:
        home = folder / "home"
        home.mkdir()
        os.chmod(home, 0o755)
        install_extcap(home)
        tshark = Tshark(home)
        kdnet(tshark, folder)
        records(tshark, folder)
        live(tshark, folder)


if __name__ == "__main__":
    main()
