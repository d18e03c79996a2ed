# SPDX-License-Identifier: BSD-2-Clause
"""`kdwire debug` as a user meets it: against `kdwire sim`, over TCP and Unix sockets, in scripts,
with JSON, at a terminal, and where there is no target at all."""
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds until a wait on a condition fails; loaded machines are slow


def find_kdwire():
    build = os.environ.get("KDWIRE_BUILD")
    for path in (os.environ.get("KDWIRE"), build and pathlib.Path(build) / "src/cli/kdwire",
                 ROOT / "dist/linux/kdwire", ROOT / "build/linux/src/cli/kdwire"):
        if path and os.access(path, os.X_OK):
            return str(path)
    raise RuntimeError("kdwire is not built; run tools/build, or set KDWIRE")


KDWIRE = find_kdwire()


class Sim:
    """`kdwire sim`; `where` is the endpoint a debugger uses."""

    def __init__(self, end="tcp-listen:0", *options):
        self.process = subprocess.Popen([KDWIRE, "sim", end, "--json", "--quiet", *options],
                                        stdout=subprocess.PIPE, text=True)
        self.events = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.where = self.wait("listening")["text"].replace("-listen", "")

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def wait(self, event, count=1):
        def found():
            return [e for e in self.events if e["event"] == event]
        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= count, PATIENCE), event
            return found()[count - 1]

    def count(self, event):
        with self.changed:
            return len([e for e in self.events if e["event"] == event])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()


def debug(where, *arguments, stdin="", timeout=PATIENCE):
    return subprocess.run([KDWIRE, "debug", where, *arguments], input=stdin, text=True,
                          capture_output=True, timeout=timeout + PATIENCE)


def commands(where, text, *arguments):
    run = debug(where, "-c", text, *arguments)
    assert run.returncode == 0, run.stderr + run.stdout
    return run.stdout


def records(where, text, *arguments):
    run = debug(where, "--json", "-c", text, *arguments)
    return run.returncode, [json.loads(line) for line in run.stdout.splitlines()]


def of(objects, command):
    return next(o for o in objects if o.get("command", "-").split()[0] == command)


def test_looks_at_a_target_and_lets_it_run():
    with Sim("tcp-listen:0", "--cpu", "2") as sim:
        out = commands(sim.where, "vertarget; lm; r; k; db rip L20")
        assert "2 processors" in out and "simkernel" in out and "\\sim\\simhal.dll" in out
        assert re.search(r"rip=fffff8000100118[01]", out)
        assert re.search(r"fffff800`[0-9a-f]{8} fffff800`[0-9a-f]{8} simkernel\+0x1180", out)
        assert sim.wait("go")  # the end of the commands lets it run


def test_over_a_unix_socket(tmp_path):
    with Sim(f"unix-listen:{tmp_path}/kd") as sim:
        assert "simkernel" in commands(sim.where, "lm")


def test_memory_is_written_searched_filled():
    with Sim() as sim:
        out = commands(sim.where, 'eb simkernel+3040 11 22 "ab"; db simkernel+3040 L4;'
                       "ed simkernel+3050 deadbeef; dd simkernel+3050 L1;"
                       "eq simkernel+3058 1122334455667788; dq simkernel+3058 L1;"
                       "f simkernel+3080 L8 aa bb; db simkernel+3080 L8;"
                       's -a simkernel L4000 "tick"; s -d simkernel+3000 L100 deadbeef;'
                       "da simkernel+2100; ? poi(simkernel+3058); ? by(simkernel+3041)")
        for expected in ("11 22 61 62", "deadbeef", "11223344`55667788",
                         "aa bb aa bb aa bb aa bb", "fffff800`0100210b", "fffff800`01003050",
                         '"simkernel: tick', "= 00000000`00000022"):
            assert expected in out, expected


def test_unreadable_memory_is_marked_not_invented():
    with Sim() as sim:
        code, objects = records(sim.where, "db simkernel+3ff8 L10; db 0 L4")
        assert code == 0
        first = objects[[o.get("command", "")[:2] for o in objects].index("db")]
        assert len(first["bytes"]) == 16 and first["unreadable_from"] == 8
        assert "??" in first["output"]


def test_breakpoints_steps_and_registers():
    with Sim() as sim:
        code, objects = records(
            sim.where, "bp simkernel+1070; bl; g; r rip; t; r rip; p; g; bc *; pt; r rip; r r15=77;"
            "r r15; dq simkernel+1070 L1")
        assert code == 0
        assert of(objects, "bl")["breakpoints"][0]["address"] == "0xfffff80001001070"
        stops = [o for o in objects if o.get("event") == "stop"]
        assert [s.get("breakpoint") for s in stops[1:]] == [0, None, None, 0, None]
        assert stops[1]["pc"] == "0xfffff80001001070" and stops[2]["pc"] == "0xfffff80001001071"
        assert stops[5]["code_bytes"].startswith("c3")  # pt stands on a ret
        assert [o for o in objects if o.get("command") == "r r15"][0]["r15"] == "0x77"
        # Memory shows the program's own bytes, not the breakpoint.
        assert "e5894855" in of(objects, "dq")["output"].replace("`", "")


def test_each_go_hits_the_breakpoint_once_per_turn():
    with Sim() as sim:
        _, objects = records(sim.where, "bp simkernel+1070; " + "g; ? poi(simkernel+3000); " * 4)
        turns = [int(o["value"], 16) for o in objects if o.get("command", "").startswith("?")]
        assert turns == list(range(turns[0], turns[0] + 4))


def test_steps_end_at_the_first_stop_that_is_not_theirs():
    with Sim() as sim:
        _, objects = records(sim.where, "r rip=1000; t 20; p 20")
        stops = [o for o in objects if o.get("event") == "stop"][1:]
        assert [(s["code"], s["repeated"]) for s in stops] == [("0xc0000005", False)] * 2
    with Sim() as sim:  # a breakpoint inside of what is stepped over
        _, objects = records(sim.where, "bp simkernel+107f; g; bc *; bp simkernel+10a0; p 60")
        stops = [o for o in objects if o.get("event") == "stop"][1:]
        assert stops[-1].get("breakpoint") == 0 and len(stops) < 60


def test_steps_end_at_a_breakpoint():
    with Sim() as sim:
        _, objects = records(sim.where, "bp simkernel+1070; g; bp simkernel+1074; t 20; g; bl")
        stops = [o for o in objects if o.get("event") == "stop"][1:]
        assert [s.get("breakpoint") for s in stops] == [0, None, 1, 0]
        assert [b["hits"] for b in of(objects, "bl")["breakpoints"]] == [2, 1]


def test_go_to_an_address_tells_what_came_instead():
    with Sim() as sim:
        out = commands(sim.where, "r rip=1000; t; g simkernel+1070; .wait; q")
        assert "Access violation - code c0000005 (second chance)" in out
        assert "same stop" not in out and "once more" not in out


@pytest.mark.parametrize("command,check,expected", [
    ('bp simkernel+1084 "k; g"', "bl", "breakpoints\":[]"),
    ("wrmsr c0000082 1234 5", "rdmsr c0000082", '"value":"0x0"'),
    ("ob 60 42 1", "ib 60", '"value":"0x0"'),
    ("r rip=1000; t 1 2", "r rip", '"rip":"0x1000"'),
])
def test_a_command_with_too_much_does_nothing(command, check, expected):
    with Sim() as sim:
        run = debug(sim.where, "--json", "-c", command)
        assert run.returncode == 1 and "too much" in run.stdout
        assert expected in debug(sim.where, "--json", "-c", check).stdout.replace(" ", "")
    with Sim() as sim:
        assert debug(sim.where, "-c", "g 1 2").returncode == 1
        assert debug(sim.where, "-c", ".reboot x").returncode == 1 and sim.count("reboot") == 0


def test_break_and_leaving_where_modules_come_and_go():
    with Sim("tcp-listen:0", "--load-every", "20") as sim:
        for text in ("g; .sleep 300; .break; qd", "g; .sleep 300", "g; .break; g; .sleep 50; .break; q"):
            commands(sim.where, text, "--timeout", "10")


def test_break_where_the_target_stops_at_modules_all_the_time():
    """No moment to send a break-in: the next module's stop serves as the one that was asked for."""
    with Sim("tcp-listen:0", "--load-every", "1", "--speed", "100000000") as sim:
        for _ in range(5):
            code, objects = records(sim.where, "g; .break; r rip; q", "--timeout", "10")
            assert code == 0 and of(objects, "r")["rip"].startswith("0xfffff8000100")


def test_step_over_a_call_and_run_to_an_address():
    with Sim() as sim:
        code, objects = records(sim.where, "bp simkernel+107f; g; bc *; p; r rip; g simkernel+10a0;"
                                "r rip; bl")
        assert code == 0
        assert [o["rip"] for o in objects if o.get("command") == "r rip"] == [
            "0xfffff80001001084", "0xfffff800010010a0"]
        assert of(objects, "bl")["breakpoints"] == []


def test_flags_xmm_and_pseudo_registers():
    with Sim() as sim:
        out = commands(sim.where, "r zf=1; r zf; r efl; r zf=0; r @zf; r iopl=2; r efl; r xmm3=1234; r xmm3;"
                       "r xmm3=00112233445566778899aabbccddeeff; r xmm3; r xmm3=5 6; r xmm3; rM 40;"
                       "r $t1=rip+1; ? $t1-@rip; ? . == $ip; r $ra; ? @$ra")
        assert "zf=1\nefl=00000" in out and re.search("zf=0\nefl=000020|zf=0\nefl=000022", out)
        for expected in ("xmm3=0000000000000000 0000000000001234",
                         "xmm3=0011223344556677 8899aabbccddeeff",
                         "Evaluate expression: 1 = 00000000`00000001"):
            assert expected in out, expected
        assert out.count("xmm3=0000000000000005 0000000000000006") == 2
        assert "$ra=fffff800" in out
        for wrong in ("r zf=2", "r xmm16", "r $t20", "r $ra=1", "r xmm0=1 2 3"):
            assert debug(sim.where, "-c", wrong).returncode == 1, wrong


def test_commands_in_any_case_and_ranges_of_breakpoints():
    with Sim() as sim:
        out = commands(sim.where, "Bp simkernel+1070; BP simkernel+1084; bp simkernel+107f; bp simkernel+10a0;"
                       "bd 0-1,3; BL; bc 0-2; bL; DB simkernel L2; R rip; ? 5 and 3; ? (1 == 1)")
        assert re.findall(r"^ *(\d) ([ed]) ", out, re.M) == [
            ("0", "d"), ("1", "d"), ("2", "e"), ("3", "d"), ("3", "d")]
        assert "4d 5a" in out and "rip=" in out
        for wrong in ("bc 7", "bc 1 9", "bc x", "bc 3-99", "dD rip"):
            run = debug(sim.where, "-c", "bp simkernel+1070; bp simkernel+1084; " + wrong)
            assert run.returncode == 1, wrong


def test_modules_are_told_once_after_a_reset():
    with Sim("tcp-listen:0", "--boot-stop") as sim:
        _, objects = records(sim.where, ".reboot; .wait; lm; q")
        after = objects[[o.get("command") for o in objects].index(".reboot"):]
        loads = [o["name"] for o in after if o.get("event") == "load"]
        assert len(loads) == len(set(loads)), loads
        assert {m["name"] for m in of(objects, "lm")["modules"]} >= {"simkernel", "simhal"}


def test_hardware_breakpoint_on_write():
    with Sim() as sim:
        _, objects = records(sim.where, "ba w8 simkernel+3000; g; r rip; bc 0; bl")
        stops = [o for o in objects if o.get("event") == "stop"]
        assert stops[-1]["breakpoint"] == 0 and stops[-1]["code"] == "0x80000004"


def test_processors_msrs_ports():
    with Sim("tcp-listen:0", "--cpu", "3") as sim:
        _, objects = records(sim.where, "~2s; r rip; wrmsr c0000082 1234; rdmsr c0000082;"
                             "ob 60 42; ib 60; ow 62 1234; iw 62")
        assert [o["cpu"] for o in objects if o.get("event") == "stop"] == [0, 2]
        assert of(objects, "rdmsr")["value"] == "0x1234"
        assert of(objects, "ib")["value"] == "0x42" and of(objects, "iw")["value"] == "0x1234"
        run = debug(sim.where, "-c", "~7s")
        assert run.returncode == 1 and "3 processors" in run.stderr


def test_a_failed_command_ends_the_script_with_1():
    with Sim() as sim:
        run = debug(sim.where, "-c", "r rip; frobnicate; .echo never")
        assert run.returncode == 1
        assert "no command 'frobnicate'" in run.stderr and "never" not in run.stdout
        code, objects = records(sim.where, "db nowhere")
        assert code == 1 and not of(objects, "db")["ok"] and "nowhere" in of(objects, "db")["error"]


def test_scripts_from_file_and_standard_input(tmp_path):
    script = tmp_path / "script"
    script.write_text("* a comment\n.echo one\n$$ another\n.echo two; .echo three\n")
    with Sim() as sim:
        assert debug(sim.where, "--script", str(script)).stdout.endswith("one\ntwo\nthree\n")
        assert "= 00000000`00000011" in debug(sim.where, stdin="? 0n17\nqd\n").stdout


def test_stops_when_a_module_is_loaded():
    with Sim("tcp-listen:0", "--load-every", "20000") as sim:
        _, objects = records(sim.where, "sxe ld:simdriver; g; .wait; lm m simdriver; sxd ld; q")
        assert [o for o in objects if o.get("event") == "stop"][-1]["kind"] == "load"
        assert of(objects, "lm")["modules"][0]["path"] == "\\sim\\simdriver.sys"


def test_prints_come_while_it_runs_and_break_stops_it():
    with Sim("tcp-listen:0", "--print-every", "2000") as sim:
        _, objects = records(sim.where, "g; .sleep 500; .break; r rip; qd")
        assert any(o.get("event") == "print" and "tick" in o["text"] for o in objects)
        assert of(objects, ".break")["ok"]


def test_quit_leaves_no_breakpoint_behind():
    with Sim() as sim:
        commands(sim.where, "bp simkernel+1070; g; .wait; g; qd")
        stops = sim.count("stop")
        out = commands(sim.where, "db simkernel+1070 L1; bl; q")
        assert "  55 " in out
        assert sim.count("stop") >= stops


def test_quit_while_it_runs_leaves_no_hardware_breakpoint_behind():
    with Sim() as sim:
        commands(sim.where, "ba w8 simkernel+3200; g; .sleep 100; qd")
        assert "dr7=0000000000000400" in commands(sim.where, "r dr7; q")


def test_q_leaves_it_stopped_and_the_next_debugger_finds_it_so():
    with Sim() as sim:
        first = commands(sim.where, "r rip; q")
        second = commands(sim.where, "r rip; q")
        assert re.findall("rip=.*", first) == re.findall("rip=.*", second)
        assert sim.count("go") == 0
        commands(sim.where, "qd")
        sim.wait("go")


def test_survives_a_bad_wire():
    with Sim("tcp-listen:0", "--fault", "all=2%", "--seed", "3") as sim:
        code, objects = records(sim.where, "vertarget; lm; bp simkernel+1070; g; r rip; t; r rip;"
                                "db simkernel L1000; q", "--timeout", "60")
        assert code == 0
        assert [o["rip"] for o in objects if o.get("command") == "r rip"] == [
            "0xfffff80001001070", "0xfffff80001001071"]


def test_target_that_dies_and_returns(tmp_path):
    where = f"unix-listen:{tmp_path}/kd"
    with Sim(where) as sim:
        end = sim.where
        process = subprocess.Popen([KDWIRE, "debug", end], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        process.stdin.write("? poi(simkernel+1070)\n")
        process.stdin.flush()
        line = process.stdout.readline()
        while "Evaluate" not in line:
            assert line
            line = process.stdout.readline()
        sim.process.kill()
        sim.process.wait(PATIENCE)
        while "waiting for it to come back" not in line:
            line = process.stdout.readline()
            assert line
        assert end.split(":", 1)[1] in line
    with Sim(where):
        out, _ = process.communicate(".break\nr rip\nqd\n", PATIENCE)
        assert process.returncode == 0 and "rip=" in out and "connected again" in out


def test_terminal_without_connection(tmp_path):
    where = f"unix-listen:{tmp_path}/kd"
    with Sim(where) as sim:
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        sim.process.kill()
        sim.process.wait(PATIENCE)
        terminal.expect("waiting for it to come back")
        terminal.expect("not connected.*kd> ")
        terminal.type("g\r")
        terminal.expect("not connected: ")
        terminal.expect("kd> ")
        terminal.type("\x03\x03")  # not the first of two for later
    with Sim(where) as sim:
        terminal.expect("connected again")
        terminal.type(".break\r")
        terminal.expect("Break instruction exception")
        terminal.type("g\r")
        sim.wait("go", 1)
        terminal.type("\x03")
        terminal.expect("Break instruction exception")
        terminal.expect("kd> ")
        terminal.type("qd\r")
        assert terminal.end() == 0


# ---- no target ----

def one_line(run):
    assert run.returncode in (1, 2)
    assert "Traceback" not in run.stderr
    return run.stderr.splitlines()[0]


def test_port_refused():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    run = debug(f"tcp:127.0.0.1:{port}", "-c", "r")
    assert run.returncode == 1 and str(port) in one_line(run) and "check the address" in one_line(run)


def test_host_unknown():
    run = debug("tcp:no.such.host.invalid:7001", "-c", "r")
    assert run.returncode == 1 and "no.such.host.invalid" in one_line(run)


@pytest.mark.parametrize("arguments", [(), ("foo:bar",), ("tcp:localhost:7001", "x"),
                                       ("tcp:localhost:7001", "--nonsense"),
                                       ("tcp:localhost:7001", "--timeout", "soon"),
                                       ("tcp:localhost:7001", "-c")])
def test_wrong_usage(arguments):
    run = subprocess.run([KDWIRE, "debug", *arguments], capture_output=True, text=True)
    assert run.returncode == 2 and "kdwire debug: " in one_line(run)


def serve(greeting, close):
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def accept():
        peer, _ = listener.accept()
        peer.sendall(greeting)
        if close:
            peer.close()
        kept.append(peer)
    threading.Thread(target=accept, daemon=True).start()
    return listener, kept, f"tcp:127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("greeting,close,expected", [
    (b"", False, "silent"),
    (b"\r\nDebian GNU/Linux 12 vm ttyS0\r\n\r\nvm login: ", False, "vm login"),
    (b"", True, "another debugger"),
])
def test_something_else_than_a_target(greeting, close, expected):
    listener, _kept, where = serve(greeting, close)
    run = debug(where, "--timeout", "2", "-c", "r")
    listener.close()
    assert run.returncode == 1 and expected in one_line(run)
    assert where in one_line(run) or where.removeprefix("tcp:") in one_line(run)


@pytest.mark.parametrize("where,expected,never", [
    ("exec:false", "the command ended", "another debugger"),
    ("serial:/dev/does-not-exist", "/dev/does-not-exist", "check the address"),
    ("serial:/dev/null", "/dev/null", "check the address"),
])
def test_advice_fits_the_end(where, expected, never):
    line = one_line(debug(where, "--timeout", "5", "-c", "r"))
    assert expected in line and never not in line


def test_a_second_debugger_is_told():
    with Sim() as sim:
        first = subprocess.Popen([KDWIRE, "debug", sim.where], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        assert "exception" in first.stdout.readline()
        run = debug(sim.where, "--timeout", "3", "-c", "r")
        assert run.returncode == 1 and "another debugger" in one_line(run)
        first.communicate("qd\n", PATIENCE)
        assert first.returncode == 0


def test_target_that_never_comes():
    run = debug("tcp-listen:0", "--timeout", "1", "-c", "r")
    assert run.returncode == 1 and "nobody has connected" in one_line(run)


# ---- at a terminal ----

class Terminal:
    def __init__(self, where, home):
        self.process, self.fd = None, None
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(HOME=str(home), TERM="vt100")
            os.execv(KDWIRE, [KDWIRE, "debug", where])
        self.pid, self.fd, self.text = pid, fd, ""

    def expect(self, pattern):
        end = time.monotonic() + PATIENCE
        while not (match := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"waited in vain for {pattern!r}; seen: {self.text!r}"
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                assert False, f"ended before {pattern!r}; seen: {self.text!r}"
        self.text = self.text[match.end():]
        return match

    def type(self, text):
        os.write(self.fd, text.encode())

    def end_hard(self):
        os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self):
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_search_for_values_finds_them_at_multiples_of_their_size():
    with Sim() as sim:
        shown = commands(sim.where, "f rsp-100 L20 41 42; s -d rsp-100 L8 41424142; .echo second;"
                                    "s -d rsp-101 L9 41424142; qd")
        first, second = shown.split("second")
        assert "41424142" not in first  # it is there at odd addresses only
        assert "41424142" in second


def test_steps_end_at_an_exception():
    with Sim() as sim:
        shown = commands(sim.where, "r rip=1000; t 5; qd")
        assert shown.count("Access violation") == 1


def test_go_to_an_address_names_the_exception_that_came_first():
    with Sim() as sim:
        shown = commands(sim.where, "r rip=1000; g simkernel+1070; r rip; qd")
        assert "Access violation - code c0000005" in shown


def test_too_many_arguments_do_nothing():
    with Sim() as sim:
        for text in ('bp simkernel+1070 "k; g"', "wrmsr 10 1 2", "ob 80 1 2", ".reboot now", "g 1 2"):
            run = debug(sim.where, "-c", text)
            assert run.returncode == 1 and "too much" in run.stderr, text
        after = commands(sim.where, "rdmsr 10")
        assert "msr[10] = 00000000`00000000" in after
        assert sim.count("reboot") == 0


def test_terminal_ctrl_c_history_and_completion(tmp_path):
    with Sim("tcp-listen:0", "--print-every", "50000") as sim:
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        terminal.type("r rip\r")
        terminal.expect(r"rip=fffff80001001180")
        terminal.expect("kd> ")
        terminal.type("g\r")
        terminal.expect("tick")  # text comes while it runs
        terminal.type("\x03")
        terminal.expect("Break instruction exception")
        terminal.expect("kd> ")
        terminal.type("nonsense\r")
        terminal.expect("no command 'nonsense'")  # and the session goes on
        terminal.expect("kd> ")
        terminal.type("\x10\x10\x10\r")  # three lines back: r rip
        terminal.expect(r"rip=fffff800010011")
        terminal.expect("kd> ")
        terminal.type("vert\t\r")
        terminal.expect("KD protocol 6")
        terminal.expect("kd> ")
        terminal.type("\x03")  # at the prompt: nothing bad
        terminal.expect("kd> ")
        terminal.type("q\r")
        assert terminal.end() == 0
        assert "vertarget" in (tmp_path / ".kdwire_history").read_text()


def test_terminal_enter_repeats_the_last_command(tmp_path):
    with Sim() as sim:
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        terminal.type("db simkernel L20\r")
        terminal.expect(r"fffff800`01000010 ")
        terminal.expect("kd> ")
        terminal.type("\r")
        terminal.expect(r"fffff800`01000020 ")  # goes on where it ended
        terminal.expect("kd> ")
        terminal.type("bp simkernel+1070; g; bc *\r")
        terminal.expect("Breakpoint 0 hit")
        terminal.expect("kd> ")
        terminal.type("t\r")
        terminal.expect(r"simkernel\+0x1071:")
        terminal.expect("kd> ")
        terminal.type("\r")
        terminal.expect(r"simkernel\+0x1074:")
        terminal.expect("kd> ")
        terminal.type("q\r")
        assert terminal.end() == 0


def test_terminal_long_output_comes_whole(tmp_path):
    with Sim() as sim:
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        terminal.type("db simkernel L4000\r")
        time.sleep(0.3)  # a slow reader: the terminal's buffer is full meanwhile
        terminal.expect(r"fffff800`01003ff0 [^\n]*\n")
        terminal.expect("kd> ")
        terminal.type("q\r")
        assert terminal.end() == 0


def test_terminal_answers_the_targets_questions(tmp_path):
    with Sim("tcp-listen:0", "--prompt-every", "20000") as sim:
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        terminal.type("g\r")
        terminal.expect("what next")
        terminal.type("carry on\r")
        assert sim.wait("answer")["text"].strip() == "carry on"
        terminal.expect("what next")
        terminal.type("\x03")
        terminal.end_hard()


def test_terminal_end_of_input_lets_the_target_run(tmp_path):
    with Sim() as sim:
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        terminal.type("\x04")
        assert terminal.end() == 0
        sim.wait("go")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_detaches(number, tmp_path):
    with Sim() as sim:
        process = subprocess.Popen([KDWIRE, "debug", sim.where, "-c",
                                    "bp simkernel+1155; g; .wait 600; .echo after"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        sim.wait("go")
        process.send_signal(number)
        out, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1 and "after" not in out
        assert "signal" in error or "interrupted" in error
        out = commands(sim.where, "db simkernel+1155 L1; q")
        assert "  cc " not in out  # no breakpoint stayed behind
        commands(sim.where, "qd")
        goes = sim.count("go")
        terminal = Terminal(sim.where, tmp_path)
        terminal.expect("kd> ")
        os.kill(terminal.pid, number)
        assert terminal.end() == 0
        sim.wait("go", goes + 1)


def test_q_behind_g_waits_for_the_stop():
    with Sim() as sim:
        _, objects = records(sim.where, "bp simkernel+1070; g; q")
        stops = [o for o in objects if o.get("event") == "stop"]
        assert stops[-1].get("breakpoint") == 0
        run = debug(sim.where, "--timeout", "1", "-c", "g; q")
        assert run.returncode == 1 and "no stop within 1 s" in run.stderr
        run = debug(sim.where, "--timeout", "20", stdin="g\nqd\n")  # two lines: at once
        assert run.returncode == 0


def test_ctrl_c_ends_a_script_that_waits():
    with Sim() as sim:
        process = subprocess.Popen([KDWIRE, "debug", sim.where, "-c", "g; .wait 600; .echo after"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        sim.wait("go")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        assert out.count("Break instruction exception") == 2  # attach, and Ctrl-C
        assert process.returncode == 0
