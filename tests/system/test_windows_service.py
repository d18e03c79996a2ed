# SPDX-License-Identifier: BSD-2-Clause
"""kdwire.exe serve, and the Windows service, under Wine's own service manager."""
import re
import uuid

import pytest
from relay_ends import connect_to, packet, read, recording, wait_until
from test_serve import GOOD, Serve, session, write
from test_windows_relay import EXE, End
import wine as wine_module
from wine import windows_path

pytestmark = pytest.mark.skipif(not EXE.exists(), reason="kdwire.exe is not built")


class WindowsServe(Serve):
    program = [wine_module.RUN, str(EXE)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "sessions.conf"


@pytest.fixture
def service(wine, file):
    """The name of a service that may be installed; in the end there is none."""
    name = "kdwire-" + uuid.uuid4().hex[:12]
    yield name
    wine.run(EXE, "service", "remove", "--name", name)


def connect(log, name):
    """To the port that the target end of a session listens on: its log tells."""
    listens = re.compile(rf"{name}: target: listening on tcp-listen:.*:(\d+)\s")
    wait_until(lambda: log.exists() and listens.search(log.read_text()), f"{name} listens")
    return connect_to(listens.search(log.read_text())[1])


def state(wine, name):
    """RUNNING, STOPPED, or what sc says instead."""
    said = wine.run("sc.exe", "query", name).stdout.decode(errors="replace")
    return said.split("STATE")[1].split()[2] if "STATE" in said else said


def test_serve_from_a_console(wine, file):
    pipe = "kdwire-test-" + uuid.uuid4().hex[:12]
    text = write(file, session("pipe", debugger=f"pipe-listen:{pipe}"), session("busy", debugger=f"pipe-listen:{pipe}"))
    with WindowsServe(windows_path(text)) as serve:
        target = serve.of("pipe").connect("target")
        windbg = End(wine, "open", "\\\\.\\pipe\\" + pipe).connected()
        windbg.send(b"question")
        assert read(target, 8) == b"question"
        serve.wait_error("busy: pipe-listen:")  # and the other goes on
        target.sendall(b"answer")
        assert windbg.read(6) == b"answer"
        serve.process.kill()


def test_service_from_install_to_remove(wine, file, service):
    pipe = "kdwire-test-" + uuid.uuid4().hex[:12]
    first = session("vm", "record = vm.pcapng", debugger=f"pipe-listen:{pipe}")
    write(file, first)
    installed = wine.run(EXE, "service", "install", "--name", service, windows_path(file))
    assert installed.returncode == 0 and f"net start {service}" in installed.stdout.decode()
    again = wine.run(EXE, "service", "install", "--name", service, windows_path(file))
    assert again.returncode == 1 and "there is a service of this name" in again.stderr.decode()

    assert wine.run("net.exe", "start", service).returncode == 0
    wait_until(lambda: state(wine, service) == "RUNNING", "it runs")
    log = file.with_name("sessions.conf.log")
    target = connect(log, "vm")
    windbg = End(wine, "open", "\\\\.\\pipe\\" + pipe).connected()
    wait_until(lambda: log.read_text().count("connected:") == 2, "both are connected")
    question = packet(2, 0x80800000, b"question")
    windbg.send(question)
    assert read(target, len(question)) == question

    # read again: the new session begins, the old one does not notice
    write(file, first, session("new"))
    assert wine.run(EXE, "service", "reload", "--name", service).returncode == 0
    connect(log, "new").close()
    target.sendall(b"answer")
    assert windbg.read(6) == b"answer"

    assert wine.run("net.exe", "stop", service).returncode == 0
    wait_until(lambda: state(wine, service) == "STOPPED", "it has stopped")
    assert f"vm: debugger sent {len(question)} bytes (0 dropped), target sent 6 bytes (0 dropped)" in log.read_text()
    assert recording(file.with_name("vm_00001.pcapng")).sent == [question, b"answer"]
    removed = wine.run(EXE, "service", "remove", "--name", service)
    assert removed.returncode == 0
    gone = wine.run(EXE, "service", "remove", "--name", service)
    assert gone.returncode == 1 and "there is no service of this name" in gone.stderr.decode()


def test_running_service_is_stopped_and_removed(wine, file, service):
    write(file, session("vm"))
    assert wine.run(EXE, "service", "install", "-n", service, windows_path(file)).returncode == 0
    assert wine.run("net.exe", "start", service).returncode == 0
    log = file.with_name("sessions.conf.log")
    target = connect(log, "vm")
    wait_until(lambda: "vm: target: connected" in log.read_text(), "it is taken")
    assert wine.run(EXE, "service", "remove", "-n", service).returncode == 0
    assert target.recv(1) == b""
    assert state(wine, service) not in ("RUNNING", "STOPPED")


def test_faults_are_told_before_installing_and_in_the_log(wine, file, service):
    file.write_text(GOOD + "pace = fast\n")
    refused = wine.run(EXE, "service", "install", "-n", service, windows_path(file))
    assert refused.returncode == 2 and "sessions.conf:5: pace 'fast'" in refused.stderr.decode()
    write(file, session("vm"))
    assert wine.run(EXE, "service", "install", "-n", service, windows_path(file)).returncode == 0
    file.write_text(GOOD + "pace = fast\n")
    wine.run("net.exe", "start", service)
    wait_until(lambda: state(wine, service) == "STOPPED", "the service gives up")
    assert "sessions.conf:5: pace 'fast'" in file.with_name("sessions.conf.log").read_text()


def test_service_run_by_hand_says_who_starts_it(wine):
    result = wine.run(EXE, "service", "run", "x")
    assert result.returncode == 2 and "Windows starts this, nobody else" in result.stderr.decode()
