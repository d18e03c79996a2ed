#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""COM77 (Wine, htsvsp.dll, TCP) beside a plain socket and a driver that does nothing, in one run.

Prints one JSON object per line: `port_per_socket` is what a program gets through the port of what a
socket of its own would give it; `null_per_socket` is the most that any driver could reach there, as
Wine passes each request through its server (two processes, three copies); `port_per_null` is ours.
First the same driver without Wine (bench/vsp.c).
"""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import wine  # noqa: E402

BUILD = ROOT / "build/driver"
CLIENT = BUILD / "tests/windows/vsp_client.exe"
MEASURE = BUILD / "tests/windows/vsp_bench.exe"


NATIVE = ROOT / "build/linux/bench/vsp-bench"


def main():
    subprocess.run([NATIVE], check=True)
    if not wine.is_installed() or not CLIENT.exists():
        print("vsp_bench: Wine or build/driver is missing; nothing measured", file=sys.stderr)
        return
    session = wine.Wine()
    try:
        hold = session.start(CLIENT, "hold", stdout=subprocess.PIPE)
        hold.stdout.readline()
        session.run(CLIENT, "install", wine.windows_path(BUILD / "tests/windows/vsptest.sys"),
                    wine.windows_path(BUILD / "windows/vsp/htsvsp.dll"), check=True)
        print(session.run(MEASURE, limit=300, check=True).stdout.decode().replace("\r", ""), end="")
        session.run(CLIENT, "remove", check=True)
    finally:
        session.close()


if __name__ == "__main__":
    main()
