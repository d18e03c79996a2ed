# SPDX-License-Identifier: BSD-2-Clause
"""The driver as Windows programs see it: htsvsp.dll behind \\\\.\\COM77 under Wine, by a test driver that
does what the system's reflector does (tests/windows/reflector.c)."""
import pathlib

import pytest

from wine import ROOT, windows_path

BUILD = pathlib.Path(ROOT, "build/driver")
CLIENT = BUILD / "tests/windows/vsp_client.exe"


@pytest.fixture(scope="module")
def port(wine_session):
    if not CLIENT.exists():
        pytest.skip("build/driver is not built (tools/build does)")
    hold = wine_session.start(CLIENT, "hold")
    done = wine_session.run(CLIENT, "install", windows_path(BUILD / "tests/windows/vsptest.sys"),
                            windows_path(BUILD / "windows/vsp/htsvsp.dll"))
    assert done.returncode == 0, done.stdout.decode()

    def run(name):
        done = wine_session.run(CLIENT, name)
        assert done.returncode == 0, done.stdout.decode()

    yield run
    run("remove")  # unloads: every request has ended, or the stand-in framework aborts
    hold.kill()
    hold.wait()


@pytest.mark.parametrize("name", ["state", "timeouts", "events", "purge-and-cancel", "second-open", "peers",
                                  "listener", "bulk"])
def test_port(port, name):
    port(name)
