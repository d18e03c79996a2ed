# SPDX-License-Identifier: BSD-2-Clause
"""What the Wireshark plugin costs: user CPU of tshark over 100,000 frames, beside the same file with
the plugin's protocols disabled. And how long a packet takes from being sent to being shown."""
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
from relay_ends import KDWIRE, Recording, blocks, wait_until  # noqa: E402
from wireshark_run import (CAPTURES, KEY, OWN_CAPTURES, PLUGIN, Tshark, open_folder,  # noqa: E402
                           pcapng, upper_pdu)

FRAMES = 100_000
ROUNDS = 3
DISABLED = ["--disable-protocol", "kd", "--disable-protocol", "kdnet"]


def cpu(tshark, path, options):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    tshark.run("-r", path, "-q", "-z", "io,phs", *options)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def compare(tshark, name, path, options, frames):
    """Alternating, so that what else the machine does falls on both."""
    with_plugin, without = [], []
    for _ in range(ROUNDS):
        without.append(cpu(tshark, path, DISABLED))
        with_plugin.append(cpu(tshark, path, options))
    ours, plain = min(with_plugin), min(without)
    print(json.dumps({"bench": f"wireshark-{name}", "frames": frames, "user_s": round(ours, 3),
                      "disabled_user_s": round(plain, 3), "ratio": round(ours / plain, 2)}))


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
    """The relay's observer port is watched; a reset is sent, tshark's line is awaited."""
    ends = [folder / name for name in ("debugger.sock", "target.sock", "watch.sock")]
    relay = subprocess.Popen([KDWIRE, "relay", "--quiet", "--debugger", f"unix-listen:{ends[0]}",
                              "--target", f"unix-listen:{ends[1]}", "--observe", "stdio"],
                             stdout=subprocess.PIPE)
    watcher = subprocess.Popen(tshark.command("-l", "-i", "-"), stdin=relay.stdout,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    sides = []
    try:
        wait_until(lambda: all(end.exists() for end in ends[:2]), "the relay listens")
        for end in ends[:2]:
            side = socket.socket(socket.AF_UNIX)
            side.connect(str(end))
            sides.append(side)
        time.sleep(3)  # tshark starts
        times = []
        for number in range(20):
            time.sleep(0.37)
            sent = time.monotonic()
            sides[0].sendall(b"iiii\6\0\0\0" + struct.pack("<II", number, 0))
            while b"RESET" not in watcher.stdout.readline():
                pass
            times.append(1000 * (time.monotonic() - sent))
        print(json.dumps({"bench": "wireshark-live", "median_ms": round(statistics.median(times), 1),
                          "max_ms": round(max(times), 1)}))
    finally:
        for side in sides:
            side.close()
        for process in (watcher, relay):
            process.terminate()
            process.wait()


def main():
    if not PLUGIN:
        print("wireshark: skipped, the plugin is not built", file=sys.stderr)
        return
    with open_folder() as folder:
        home = folder / "home"
        home.mkdir()
        os.chmod(home, 0o755)
        tshark = Tshark(home)
        kdnet(tshark, folder)
        records(tshark, folder)
        live(tshark, folder)


main()
