# SPDX-License-Identifier: BSD-2-Clause
"""windbg.efi while the firmware around it changes: gates and tables replaced, stacks of its own, the engine
unloaded and loaded again, the watchdog, a spoilt table of images, a fault inside the engine.

The program plays the firmware's part (uefi/apps/guest_firmware.c).
"""

import struct

from uefi import kd as k
from uefi.acpi import dbg2_table
from uefi.session import Session, gates, run_until_spinning, symbol_offset

UNMAPPED = 0xFFFF800000000010       # a page fault; one with 8 at the end is another


def test_a_replaced_gate_is_taken_again_and_handed_on_to():
    with Session("gate") as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT and s.in_guest(stop.pc)
        assert "guest: replaced, hits 1" in s.machine.debug_text()
        s.kd.go(status=k.DBG_EXCEPTION_NOT_HANDLED)             # the new owner of the gate gets it
        assert "guest: noticed, hits 2" in s.to_end()


def test_a_copied_interrupt_table_is_hooked_again():
    # The copy holds the engine's own gates: handing on to them would never end.
    with Session("table") as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT and s.in_guest(stop.pc)
        run_until_spinning(s)
        assert s.in_guest(s.kd.break_in().pc)
        s.kd.write(s.sym("release"), b"\x01")
        assert "guest: end" in s.end()


def test_unloading_gives_everything_back():
    with Session("unload", port=1) as s:
        base, size, _ = next(m for m in s.kd.module_list() if m[2].lower() == "windbg.efi")
        s.kd.go()
        text = s.to_end()
        assert "guest: unload 0\n" in text and "guest: protocol 800000000000000e" in text
        before, after = gates(text)
        assert 0 <= before - base < size and not 0 <= after - base < size
        s.until(lambda: b"the console is back" in s.kd.noise, "text of the console on COM1")


def test_the_engine_can_be_unloaded_and_loaded_again():
    with Session("unload again") as s:
        s.go_to_program()                                       # the second engine's first stop
        context = s.kd.context()
        rsp, flags = context.Rsp, context.EFlags
        context.Rsp = 0xDEAD000000000000                        # stacks of its own, this time too
        context.EFlags &= ~k.INTERRUPT_FLAG                     # the firmware's tick has none
        s.kd.set_context(context)
        stop = s.kd.step()
        assert stop.code == k.STATUS_SINGLE_STEP and s.kd.context().Rsp == 0xDEAD000000000000
        context = s.kd.context()
        context.Rsp, context.EFlags = rsp, flags
        s.kd.set_context(context)
        assert "guest: load 0" in s.end()


def test_page_faults_on_a_stack_of_the_firmware():
    with Session(f"stacks {UNMAPPED:x}") as s:
        s.go_to_program()                                       # the second engine's first stop
        s.kd.go()
        stop = s.kd.wait_stop()
        assert (stop.code, stop.pc) == (k.STATUS_ACCESS_VIOLATION, s.sym("read_at"))
        before = s.kd.context()
        assert before.Rcx == UNMAPPED
        assert s.kd.try_read(UNMAPPED + 8, 8) == (k.STATUS_UNSUCCESSFUL, b"")
        after = s.kd.context()                                  # a fault of ours must not spoil the program's
        assert after.raw == before.raw and s.kd.special().Cr2 == UNMAPPED
        after.Rcx = s.sym("release")
        s.kd.set_context(after)
        assert "guest: read 0" in s.end()


def test_a_spoilt_table_of_images_does_no_harm():
    with Session("spoil") as s:
        run_until_spinning(s)
        stop = s.kd.break_in()
        assert s.in_guest(stop.pc) and b"fault inside" not in s.kd.noise
        names = [name.lower() for _, _, name in s.kd.module_list()]
        assert "windbg.efi" in names and "guest_test.efi" in names
        s.kd.write(s.sym("release"), b"\x01")
        assert "guest: end" in s.end()


def test_the_watchdog_is_off_while_a_debugger_is_attached():
    with Session("watchdog") as s:
        assert "guest: watchdog armed 1\nguest: watchdog armed 0\n" in s.end()


def test_the_engine_waits_for_the_acpi_table_that_names_its_port():
    with Session("acpi", files={"opt/kd/dbg2": dbg2_table(0x2F8)}) as s:
        stop = s.go_to_program()                                # the second engine's first stop
        text = s.machine.debug_text()
        assert "guest: load 0\n" in text and "guest: protocol 800000000000000e\n" in text
        assert not s.in_guest(stop.pc)
        assert "guest: protocol 0\n" in s.end()


def test_a_fault_inside_the_engine_is_told_and_survived():
    walk = symbol_offset("windbg", "memory_walk")               # serves QueryMemory and nothing else
    with Session("int3") as s:
        stop = s.go_to_program()
        base = next(base for base, _, name in s.kd.module_list() if name.lower() == "windbg.efi")
        original = s.kd.read(base + walk, 2)
        s.kd.write(base + walk, b"\x0f\x0b", k.WRITE_PHYSICAL)   # ud2
        query = struct.pack("<IHHII", k.QUERY_MEMORY, 0, 0, 0x103, 0) + struct.pack("<QQII", stop.pc, 0, 0, 0)
        try:
            s.kd._send(k.STATE_MANIPULATE, query.ljust(56, b"\0"))
        except k.LinkReset:
            pass                                                # so that the debugger does not ask again
        again = s.kd.wait_stop()
        assert again.pc == stop.pc and s.kd.context().Rip == stop.pc
        assert b"fault inside the debug engine: vector 0_000_000_000_000_006" in s.kd.noise
        s.kd.write(base + walk, original, k.WRITE_PHYSICAL)
        assert s.kd.query_memory(stop.pc) == (0, 7)             # readable, writable, executable
        s.kd.go_past_int3()
        assert "guest: went on" in s.to_end()
