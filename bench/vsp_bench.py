#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes through COM77 (Wine, htsvsp.dll, TCP) beside a plain socket doing the same, in one run.

Prints one JSON object per line; `ratio` is the port's rate / the socket's. Wine's own way from a
program to a driver (two processes and its server for each request) is part of the port's time.
"""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import wine  # noqa: E402

BUILD = ROOT / "build/driver"
CLIENT = BUILD / "tests/windows/vsp_client.exe"


def main():
    if not wine.is_installed() or not CLIENT.exists():
        print("vsp_bench: Wine or build/driver is missing; nothing measured", file=sys.stderr)
        return
    session = wine.Wine()
    try:
        hold = session.start(CLIENT, "hold", stdout=subprocess.PIPE)
        hold.stdout.readline()
        session.run(CLIENT, "install", wine.windows_path(BUILD / "tests/windows/vsptest.sys"),
                    wine.windows_path(BUILD / "windows/vsp/htsvsp.dll"), check=True)
        print(session.run(CLIENT, "bench", limit=300, check=True).stdout.decode().replace("\r", ""), end="")
        session.run(CLIENT, "remove", check=True)
    finally:
        session.close()


if __name__ == "__main__":
    main()
