#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""kdwire relay with recording on, beside socat's plain copy without recording, in one run.

Prints one JSON object per line. `ratio` is ours / socat's: for latency 1 or less is the aim, for
bulk (a rate) 1 or more.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MEMORY_LIMIT = 16 << 20
ROTATE = ("--rotate-size", "32M", "--keep", "1")


def find_kdwire():
    for path in (os.environ.get("KDWIRE"), ROOT + "/dist/linux/kdwire",
                 ROOT + "/build/linux/src/cli/kdwire"):
        if path and os.access(path, os.X_OK):
            return path
    sys.exit("relay_bench: kdwire is not built; run tools/build, or set KDWIRE")


def packet(kind, ident, body):
    """One KD packet as it stands on a serial line."""
    if not body:
        return struct.pack("<IHHII", 0x69696969, kind, 0, ident, 0)
    return struct.pack("<IHHII", 0x30303030, kind, len(body), ident, sum(body)) + body + b"\xaa"


MANIPULATE = struct.pack("<IHHI", 0x3130, 6, 0, 0) + bytes(44)  # ReadVirtualMemory
IDS = (0x80800000, 0x80800001)
REQUESTS = [packet(2, ident, MANIPULATE) for ident in IDS]
REPLIES = [packet(2, ident, MANIPULATE + bytes(range(256)) * 15 + bytes(104)) for ident in IDS]
ACKS = [packet(4, ident, b"") for ident in IDS]


def listener():
    end = socket.socket()
    end.bind(("127.0.0.1", 0))
    end.listen(1)
    return end


def connect(port):
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.01)
    sys.exit("relay_bench: the copy program does not listen")


class Path:
    """A debugger socket and a target socket with a program between them."""

    def __init__(self, name, start):
        self.name = name
        self.turn = 0  # the packet ids alternate
        end = listener()
        self.process, port = start(end.getsockname()[1])
        self.debugger = connect(port)
        self.target, _ = end.accept()
        end.close()
        for side in (self.debugger, self.target):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.debugger.close()
        self.target.close()
        self.process.terminate()
        self.process.wait()


def start_kdwire(kdwire, folder, extra=()):
    def start(target_port):
        process = subprocess.Popen(
            [kdwire, "relay", "--quiet", "--events", "json", "--debugger", "tcp-listen:0",
             "--target", f"tcp:127.0.0.1:{target_port}",
             "--record", os.path.join(folder, "bench.pcapng"), "--overwrite", *extra],
            stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "listening":
                port = int(event["text"].rsplit(":", 1)[1])
                # Nobody reads events from here on: they would be a cost that socat does not have.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return process, port
        sys.exit("relay_bench: kdwire relay did not start")
    return start


def start_socat(target_port):
    free = listener()
    port = free.getsockname()[1]
    free.close()
    process = subprocess.Popen(
        ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,nodelay,reuseaddr",
         f"TCP:127.0.0.1:{target_port},nodelay"], stderr=subprocess.DEVNULL)
    return process, port


def read(end, size):
    while size:
        size -= len(end.recv(size))


def round_trip(path):
    """A memory read: request, acknowledge and reply, acknowledge."""
    request, reply, ack = REQUESTS[path.turn], REPLIES[path.turn], ACKS[path.turn]
    path.turn ^= 1
    start = time.perf_counter_ns()
    path.debugger.sendall(request)
    read(path.target, len(request))
    path.target.sendall(ack)
    read(path.debugger, len(ack))
    path.target.sendall(reply)
    read(path.debugger, len(reply))
    path.debugger.sendall(ack)
    read(path.target, len(ack))
    return time.perf_counter_ns() - start


def latency(paths, rounds):
    times = {path.name: [] for path in paths}
    for path in paths:
        for _ in range(200):
            round_trip(path)
    for number in range(rounds):
        for path in (paths if number % 2 else paths[::-1]):
            times[path.name].append(round_trip(path) / 1000)
    median = {name: statistics.median(values) for name, values in times.items()}
    p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in times.items()}
    print(json.dumps({
        "bench": "relay-latency", "rounds": rounds, "unit": "us per KD round trip, 4 messages",
        "kdwire_median": round(median["kdwire"], 1), "socat_median": round(median["socat"], 1),
        "kdwire_p99": round(p99["kdwire"], 1), "socat_p99": round(p99["socat"], 1),
        "ratio": round(median["kdwire"] / median["socat"], 3)}), flush=True)


def transfer(path, size):
    """Seconds for SIZE bytes of KD packets from the target to the debugger."""
    block = b"".join(REPLIES) * 32
    count = size // len(block)

    def send():
        for _ in range(count):
            path.target.sendall(block)

    sender = threading.Thread(target=send)
    start = time.perf_counter()
    sender.start()
    left = count * len(block)
    buffer = bytearray(1 << 20)
    while left:
        left -= path.debugger.recv_into(buffer)
    sender.join()
    return time.perf_counter() - start, count * len(block)


def bulk(name, paths, megabytes, runs):
    rates = {path.name: [] for path in paths}
    for _ in range(runs):
        for path in paths:
            seconds, size = transfer(path, megabytes << 20)
            rates[path.name].append(size / seconds / 1e6)
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(json.dumps({
        "bench": name, "megabytes": megabytes, "runs": runs, "unit": "MB/s",
        "kdwire": round(median["kdwire"]), "socat": round(median["socat"]),
        "ratio": round(median["kdwire"] / median["socat"], 3)}), flush=True)


def peak_memory(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def memory(kdwire, folder, megabytes):
    path = Path("kdwire", start_kdwire(kdwire, folder, ROTATE))
    transfer(path, megabytes << 20)
    peak = peak_memory(path.process.pid)
    path.close()
    print(json.dumps({"bench": "relay-memory", "megabytes": megabytes, "peak_bytes": peak,
                      "limit_bytes": MEMORY_LIMIT, "within_limit": peak <= MEMORY_LIMIT}),
          flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--memory-megabytes", type=int, default=1024)
    arguments = parser.parse_args()
    kdwire = find_kdwire()
    if not shutil.which("socat"):
        sys.exit("relay_bench: socat is not installed; run tools/setup")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path("kdwire", start_kdwire(kdwire, folder)), Path("socat", start_socat)]
        latency(paths, arguments.rounds)
        for path in paths:
            path.close()
        # Files that are rotated take the memory of those before; one that grows takes new memory,
        # which a virtual machine may have to get from its host at a price that varies. Both are
        # told; the first is about kdwire.
        for name, options in (("relay-bulk", ROTATE), ("relay-bulk-growing-file", ())):
            paths = [Path("kdwire", start_kdwire(kdwire, folder, options)),
                     Path("socat", start_socat)]
            bulk(name, paths, arguments.megabytes, arguments.runs)
            for path in paths:
                path.close()
        memory(kdwire, folder, arguments.memory_megabytes)


if __name__ == "__main__":
    main()
