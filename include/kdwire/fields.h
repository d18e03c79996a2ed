/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every structure of the KD protocol, field by field. Included through kdwire/protocol.h.
 *
 * F(structure, field, offset, size, format, names): offset and size in bytes, decimal or hex as
 * the field's documents have it, from the start of the packet body (for structures in target
 * memory: from their own start). Format is an enum kd_format without its prefix; names is a list
 * in protocol.c without its prefix, or None.
 *
 * Each structure names every byte from its first to its last: what has no meaning (padding, or
 * union bytes an API does not use, which carry junk) is a field of format PAD.
 *
 * Where the facts come from. Checked byte for byte against real traffic: a public capture of WinDbg
 * and the Windows 10 boot debugger ("windbg-uncut") has PacketHeader, Manipulate, ReadMemory,
 * SetContext, RestoreBreakPoint, Continue, Continue2Amd64, GetVersion, ContextEx, StateChange,
 * Exception, LoadSymbols, ControlReportAmd64, DebugIo, FileIo, CreateFile, ContextAmd64,
 * SpecialAmd64 and LoaderEntry64; published datagrams of a Windows 8.1 kernel have DebuggerData64
 * and again GetVersion, Exception and ContextAmd64. All others: independent open targets and
 * debuggers agree on them (the ReactOS kernel, macosxbootloader, VirtualBox, a QEMU stub, radare2,
 * pykdclient); PageIn and ARM64 have one source each or none that settles it.
 */
#ifndef KDWIRE_FIELDS_H
#define KDWIRE_FIELDS_H

#define KD_FIELDS_PacketHeader(F, s)                                                               \
    F(s, Leader, 0, 4, ENUM, Leader)                                                               \
    F(s, PacketType, 4, 2, ENUM, PacketType)                                                       \
    F(s, ByteCount, 6, 2, DEC, None)                                                               \
    F(s, PacketId, 8, 4, HEX, None)                                                                \
    F(s, Checksum, 12, 4, HEX, None)

/* STATE_MANIPULATE: common part, then one union (offset 16) per API. */
#define KD_FIELDS_Manipulate(F, s)                                                                 \
    F(s, ApiNumber, 0, 4, ENUM, Api)                                                               \
    F(s, ProcessorLevel, 4, 2, DEC, None)                                                          \
    F(s, Processor, 6, 2, DEC, None)                                                               \
    F(s, ReturnStatus, 8, 4, STATUS, None)                                                         \
    F(s, Pad0C, 12, 4, PAD, None)

/* A union without a field: the bytes are junk in requests and echoed in replies. */
#define KD_FIELDS_None(F, s) F(s, Unused, 16, 40, PAD, None)

#define KD_FIELDS_ReadMemory(F, s)                                                                 \
    F(s, TargetBaseAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, TransferCount, 24, 4, DEC, None)                                                          \
    F(s, ActualBytes, 28, 4, DEC, None)                                                            \
    F(s, Pad20, 32, 24, PAD, None)

#define KD_FIELDS_PhysicalMemory(F, s)                                                             \
    F(s, TargetBaseAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, TransferCount, 24, 4, DEC, None)                                                          \
    F(s, CacheFlags, 28, 4, ENUM, CacheFlags)                                                      \
    F(s, Pad20, 32, 24, PAD, None)

#define KD_FIELDS_SetContext(F, s)                                                                 \
    F(s, ContextFlags, 16, 4, HEX, None)                                                           \
    F(s, Pad14, 20, 36, PAD, None)

#define KD_FIELDS_WriteBreakPoint(F, s)                                                            \
    F(s, BreakPointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, BreakPointHandle, 24, 4, DEC, None)                                                       \
    F(s, Pad1C, 28, 28, PAD, None)

#define KD_FIELDS_RestoreBreakPoint(F, s)                                                          \
    F(s, BreakPointHandle, 16, 4, DEC, None)                                                       \
    F(s, Pad14, 20, 36, PAD, None)

#define KD_FIELDS_Continue(F, s)                                                                   \
    F(s, ContinueStatus, 16, 4, STATUS, None)                                                      \
    F(s, Pad14, 20, 36, PAD, None)

#define KD_FIELDS_Continue2Amd64(F, s)                                                             \
    F(s, ContinueStatus, 16, 4, STATUS, None)                                                      \
    F(s, TraceFlag, 20, 4, BOOL, None)                                                             \
    F(s, Dr7, 24, 8, HEX, None)                                                                    \
    F(s, CurrentSymbolStart, 32, 8, ADDRESS, None)                                                 \
    F(s, CurrentSymbolEnd, 40, 8, ADDRESS, None)                                                   \
    F(s, Pad30, 48, 8, PAD, None)

#define KD_FIELDS_Continue2X86(F, s)                                                               \
    F(s, ContinueStatus, 16, 4, STATUS, None)                                                      \
    F(s, TraceFlag, 20, 4, BOOL, None)                                                             \
    F(s, Dr7, 24, 4, HEX, None)                                                                    \
    F(s, CurrentSymbolStart, 28, 4, ADDRESS, None)                                                 \
    F(s, CurrentSymbolEnd, 32, 4, ADDRESS, None)                                                   \
    F(s, Pad24, 36, 20, PAD, None)

/* Packed to 4 bytes. Sources disagree on ARM64; this is the type information of public symbol
 * files. */
#define KD_FIELDS_Continue2Arm64(F, s)                                                             \
    F(s, ContinueStatus, 16, 4, STATUS, None)                                                      \
    F(s, Continue, 20, 4, HEX, None)                                                               \
    F(s, TraceFlag, 24, 4, BOOL, None)                                                             \
    F(s, CurrentSymbolStart, 28, 8, ADDRESS, None)                                                 \
    F(s, CurrentSymbolEnd, 36, 8, ADDRESS, None)                                                   \
    F(s, Pad2C, 44, 12, PAD, None)

#define KD_FIELDS_IoSpace(F, s)                                                                    \
    F(s, IoAddress, 16, 8, ADDRESS, None)                                                          \
    F(s, DataSize, 24, 4, DEC, None)                                                               \
    F(s, DataValue, 28, 4, HEX, None)                                                              \
    F(s, Pad20, 32, 24, PAD, None)

#define KD_FIELDS_IoSpaceExtended(F, s)                                                            \
    F(s, DataSize, 16, 4, DEC, None)                                                               \
    F(s, InterfaceType, 20, 4, ENUM, InterfaceType)                                                \
    F(s, BusNumber, 24, 4, DEC, None)                                                              \
    F(s, AddressSpace, 28, 4, DEC, None)                                                           \
    F(s, IoAddress, 32, 8, ADDRESS, None)                                                          \
    F(s, DataValue, 40, 4, HEX, None)                                                              \
    F(s, Pad2C, 44, 12, PAD, None)

#define KD_FIELDS_QuerySpecialCalls(F, s)                                                          \
    F(s, NumberOfSpecialCalls, 16, 4, DEC, None)                                                   \
    F(s, Pad14, 20, 36, PAD, None)

#define KD_FIELDS_SetSpecialCall(F, s)                                                             \
    F(s, SpecialCall, 16, 8, ADDRESS, None)                                                        \
    F(s, Pad18, 24, 32, PAD, None)

#define KD_FIELDS_SetInternalBreakPoint(F, s)                                                      \
    F(s, BreakpointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, Flags, 24, 4, FLAGS, InternalBreakpoint)                                                  \
    F(s, Pad1C, 28, 28, PAD, None)

#define KD_FIELDS_GetInternalBreakPoint(F, s)                                                      \
    F(s, BreakpointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, Flags, 24, 4, FLAGS, InternalBreakpoint)                                                  \
    F(s, Calls, 28, 4, DEC, None)                                                                  \
    F(s, MaxCallsPerPeriod, 32, 4, DEC, None)                                                      \
    F(s, MinInstructions, 36, 4, DEC, None)                                                        \
    F(s, MaxInstructions, 40, 4, DEC, None)                                                        \
    F(s, TotalInstructions, 44, 4, DEC, None)                                                      \
    F(s, Pad30, 48, 8, PAD, None)

#define KD_FIELDS_GetVersion(F, s)                                                                 \
    F(s, MajorVersion, 16, 2, ENUM, MajorVersion)                                                  \
    F(s, MinorVersion, 18, 2, DEC, None)                                                           \
    F(s, ProtocolVersion, 20, 1, DEC, None)                                                        \
    F(s, KdSecondaryVersion, 21, 1, DEC, None)                                                     \
    F(s, Flags, 22, 2, FLAGS, VersionFlags)                                                        \
    F(s, MachineType, 24, 2, ENUM, MachineType)                                                    \
    F(s, MaxPacketType, 26, 1, DEC, None)                                                          \
    F(s, MaxStateChange, 27, 1, HEX, None)                                                         \
    F(s, MaxManipulate, 28, 1, HEX, None)                                                          \
    F(s, Simulation, 29, 1, ENUM, Simulation)                                                      \
    F(s, Unused, 30, 2, PAD, None)                                                                 \
    F(s, KernBase, 32, 8, ADDRESS, None)                                                           \
    F(s, PsLoadedModuleList, 40, 8, ADDRESS, None)                                                 \
    F(s, DebuggerDataList, 48, 8, ADDRESS, None)

#define KD_FIELDS_BreakPointEx(F, s)                                                               \
    F(s, BreakPointCount, 16, 4, DEC, None)                                                        \
    F(s, ContinueStatus, 20, 4, STATUS, None)                                                      \
    F(s, Pad18, 24, 32, PAD, None)

/* One element of the data of WriteBreakPointEx. */
#define KD_FIELDS_BreakPointEntry(F, s)                                                            \
    F(s, Address, 0, 8, ADDRESS, None)                                                             \
    F(s, Handle, 8, 4, DEC, None)                                                                  \
    F(s, Pad, 12, 4, PAD, None)

/* One element of the data of RestoreBreakPointEx and of QuerySpecialCalls. */
#define KD_FIELDS_HandleEntry(F, s)  F(s, Handle, 0, 4, DEC, None)
#define KD_FIELDS_AddressEntry(F, s) F(s, Address, 0, 8, ADDRESS, None)

#define KD_FIELDS_PageIn(F, s)                                                                     \
    F(s, Address, 16, 8, ADDRESS, None)                                                            \
    F(s, ContinueStatus, 24, 4, STATUS, None)                                                      \
    F(s, Pad1C, 28, 28, PAD, None)

#define KD_FIELDS_Msr(F, s)                                                                        \
    F(s, Msr, 16, 4, HEX, None)                                                                    \
    F(s, DataValueLow, 20, 4, HEX, None)                                                           \
    F(s, DataValueHigh, 24, 4, HEX, None)                                                          \
    F(s, Pad1C, 28, 28, PAD, None)

#define KD_FIELDS_SearchMemory(F, s)                                                               \
    F(s, SearchAddress, 16, 8, ADDRESS, None) /* reply: FoundAddress */                            \
    F(s, SearchLength, 24, 8, DEC, None)                                                           \
    F(s, PatternLength, 32, 4, DEC, None)                                                          \
    F(s, Pad24, 36, 20, PAD, None)

#define KD_FIELDS_SearchMemoryReply(F, s)                                                          \
    F(s, FoundAddress, 16, 8, ADDRESS, None)                                                       \
    F(s, SearchLength, 24, 8, DEC, None)                                                           \
    F(s, PatternLength, 32, 4, DEC, None)                                                          \
    F(s, Pad24, 36, 20, PAD, None)

#define KD_FIELDS_BusData(F, s)                                                                    \
    F(s, BusDataType, 16, 4, ENUM, BusDataType)                                                    \
    F(s, BusNumber, 20, 4, DEC, None)                                                              \
    F(s, SlotNumber, 24, 4, HEX, None)                                                             \
    F(s, Offset, 28, 4, HEX, None)                                                                 \
    F(s, Length, 32, 4, DEC, None)                                                                 \
    F(s, Pad24, 36, 20, PAD, None)

#define KD_FIELDS_FillMemory(F, s)                                                                 \
    F(s, Address, 16, 8, ADDRESS, None)                                                            \
    F(s, Length, 24, 4, DEC, None)                                                                 \
    F(s, Flags, 28, 2, FLAGS, FillFlags)                                                           \
    F(s, PatternLength, 30, 2, DEC, None)                                                          \
    F(s, Pad20, 32, 24, PAD, None)

#define KD_FIELDS_QueryMemory(F, s)                                                                \
    F(s, Address, 16, 8, ADDRESS, None)                                                            \
    F(s, Reserved, 24, 8, HEX, None)                                                               \
    F(s, AddressSpace, 32, 4, ENUM, AddressSpace)                                                  \
    F(s, Flags, 36, 4, FLAGS, MemoryFlags)                                                         \
    F(s, Pad28, 40, 16, PAD, None)

#define KD_FIELDS_SwitchPartition(F, s)                                                            \
    F(s, Partition, 16, 4, DEC, None)                                                              \
    F(s, Pad14, 20, 36, PAD, None)

#define KD_FIELDS_CustomBreakpoint(F, s)                                                           \
    F(s, BreakPointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, BreakPointInstruction, 24, 8, HEX, None)                                                  \
    F(s, BreakPointHandle, 32, 4, DEC, None)                                                       \
    F(s, BreakPointInstructionSize, 36, 1, DEC, None)                                              \
    F(s, BreakPointInstructionAlignment, 37, 1, DEC, None)                                         \
    F(s, Pad26, 38, 18, PAD, None)

#define KD_FIELDS_ContextEx(F, s)                                                                  \
    F(s, Offset, 16, 4, DEC, None)                                                                 \
    F(s, ByteCount, 20, 4, DEC, None)                                                              \
    F(s, BytesCopied, 24, 4, DEC, None)                                                            \
    F(s, Pad1C, 28, 28, PAD, None)

/* STATE_CHANGE64: common part, one union (offset 0x20) per NewState, then the control report. */
#define KD_FIELDS_StateChange(F, s)                                                                \
    F(s, NewState, 0x00, 4, ENUM, StateChange)                                                     \
    F(s, ProcessorLevel, 0x04, 2, DEC, None)                                                       \
    F(s, Processor, 0x06, 2, DEC, None)                                                            \
    F(s, NumberProcessors, 0x08, 4, DEC, None)                                                     \
    F(s, Pad0C, 0x0C, 4, PAD, None)                                                                \
    F(s, Thread, 0x10, 8, ADDRESS, None)                                                           \
    F(s, ProgramCounter, 0x18, 8, ADDRESS, None)

#define KD_FIELDS_Exception(F, s)                                                                  \
    F(s, ExceptionCode, 0x20, 4, STATUS, None)                                                     \
    F(s, ExceptionFlags, 0x24, 4, FLAGS, ExceptionFlags)                                           \
    F(s, ExceptionRecord, 0x28, 8, ADDRESS, None)                                                  \
    F(s, ExceptionAddress, 0x30, 8, ADDRESS, None)                                                 \
    F(s, NumberParameters, 0x38, 4, DEC, None)                                                     \
    F(s, Pad3C, 0x3C, 4, PAD, None)                                                                \
    F(s, ExceptionInformation, 0x40, 120, WORDS, None) /* u64[15] */                               \
    F(s, FirstChance, 0xB8, 4, BOOL, None)                                                         \
    F(s, PadBC, 0xBC, 4, PAD, None)

#define KD_FIELDS_LoadSymbols(F, s)                                                                \
    F(s, PathNameLength, 0x20, 4, DEC, None)                                                       \
    F(s, Pad24, 0x24, 4, PAD, None)                                                                \
    F(s, BaseOfDll, 0x28, 8, ADDRESS, None)                                                        \
    F(s, ProcessId, 0x30, 8, HEX, None)                                                            \
    F(s, CheckSum, 0x38, 4, HEX, None)                                                             \
    F(s, SizeOfImage, 0x3C, 4, HEX, None)                                                          \
    F(s, UnloadSymbols, 0x40, 1, BOOL, None)                                                       \
    F(s, Pad41, 0x41, 127, PAD, None)

#define KD_FIELDS_CommandString(F, s)                                                              \
    F(s, Flags, 0x20, 4, HEX, None)                                                                \
    F(s, Reserved1, 0x24, 4, HEX, None)                                                            \
    F(s, Reserved2, 0x28, 56, WORDS, None)                                                         \
    F(s, Pad60, 0x60, 96, PAD, None)

/* A NewState and a FILE_IO Api that no source knows. */
#define KD_FIELDS_UnknownState(F, s)  F(s, Union, 0x20, 160, BYTES, None)
#define KD_FIELDS_UnknownFileIo(F, s) F(s, Union, 8, 56, BYTES, None)

#define KD_FIELDS_ControlReportAmd64(F, s)                                                         \
    F(s, Dr6, 0xC0, 8, HEX, None)                                                                  \
    F(s, Dr7, 0xC8, 8, HEX, None)                                                                  \
    F(s, EFlags, 0xD0, 4, FLAGS, EFlags)                                                           \
    F(s, InstructionCount, 0xD4, 2, DEC, None)                                                     \
    F(s, ReportFlags, 0xD6, 2, FLAGS, ReportFlags)                                                 \
    F(s, InstructionStream, 0xD8, 16, BYTES, None)                                                 \
    F(s, SegCs, 0xE8, 2, HEX, None)                                                                \
    F(s, SegDs, 0xEA, 2, HEX, None)                                                                \
    F(s, SegEs, 0xEC, 2, HEX, None)                                                                \
    F(s, SegFs, 0xEE, 2, HEX, None)

#define KD_FIELDS_ControlReportX86(F, s)                                                           \
    F(s, Dr6, 0xC0, 4, HEX, None)                                                                  \
    F(s, Dr7, 0xC4, 4, HEX, None)                                                                  \
    F(s, InstructionCount, 0xC8, 2, DEC, None)                                                     \
    F(s, ReportFlags, 0xCA, 2, FLAGS, ReportFlags)                                                 \
    F(s, InstructionStream, 0xCC, 16, BYTES, None)                                                 \
    F(s, SegCs, 0xDC, 2, HEX, None)                                                                \
    F(s, SegDs, 0xDE, 2, HEX, None)                                                                \
    F(s, SegEs, 0xE0, 2, HEX, None)                                                                \
    F(s, SegFs, 0xE2, 2, HEX, None)                                                                \
    F(s, EFlags, 0xE4, 4, FLAGS, EFlags)                                                           \
    F(s, PadE8, 0xE8, 8, PAD, None)

#define KD_FIELDS_ControlReportArm(F, s)                                                           \
    F(s, Cpsr, 0xC0, 4, HEX, None)                                                                 \
    F(s, InstructionCount, 0xC4, 4, DEC, None)                                                     \
    F(s, InstructionStream, 0xC8, 16, BYTES, None)                                                 \
    F(s, PadD8, 0xD8, 24, PAD, None)

/* Sources disagree on ARM64: this form is in a published Microsoft header, the other one in
 * independent targets. Neither was seen on a wire: depend on none. */
#define KD_FIELDS_ControlReportArm64(F, s)                                                         \
    F(s, Cpsr, 0xC0, 4, HEX, None)                                                                 \
    F(s, InstructionCount, 0xC4, 4, DEC, None)                                                     \
    F(s, InstructionStream, 0xC8, 16, BYTES, None)                                                 \
    F(s, PadD8, 0xD8, 24, PAD, None)

#define KD_FIELDS_ControlReportArm64Watch(F, s)                                                    \
    F(s, Bvr, 0xC0, 8, ADDRESS, None)                                                              \
    F(s, Wvr, 0xC8, 8, ADDRESS, None)                                                              \
    F(s, InstructionCount, 0xD0, 4, DEC, None)                                                     \
    F(s, InstructionStream, 0xD4, 16, BYTES, None)                                                 \
    F(s, PadE4, 0xE4, 12, PAD, None)

/* DEBUG_IO. LengthOfStringRead: prompts only; junk in prints. */
#define KD_FIELDS_DebugIo(F, s)                                                                    \
    F(s, ApiNumber, 0, 4, ENUM, DebugIo)                                                           \
    F(s, ProcessorLevel, 4, 2, DEC, None)                                                          \
    F(s, Processor, 6, 2, DEC, None)                                                               \
    F(s, LengthOfString, 8, 4, DEC, None)                                                          \
    F(s, LengthOfStringRead, 12, 4, DEC, None)

#define KD_FIELDS_TraceIo(F, s)                                                                    \
    F(s, ApiNumber, 0, 4, ENUM, TraceIo)                                                           \
    F(s, ProcessorLevel, 4, 2, DEC, None)                                                          \
    F(s, Processor, 6, 2, DEC, None)                                                               \
    F(s, LengthOfData, 8, 4, DEC, None)                                                            \
    F(s, Pad0C, 12, 52, PAD, None)

#define KD_FIELDS_ControlRequest(F, s)                                                             \
    F(s, ApiNumber, 0, 4, ENUM, ControlRequest)                                                    \
    F(s, HardwareBreakPointNumber, 4, 4, DEC, None)                                                \
    F(s, Available, 8, 4, DEC, None)                                                               \
    F(s, Pad0C, 12, 4, PAD, None)

#define KD_FIELDS_FileIo(F, s)                                                                     \
    F(s, ApiNumber, 0, 4, ENUM, FileIo)                                                            \
    F(s, Status, 4, 4, STATUS, None)

#define KD_FIELDS_CreateFile(F, s)                                                                 \
    F(s, DesiredAccess, 8, 4, FLAGS, FileAccess)                                                   \
    F(s, FileAttributes, 12, 4, FLAGS, FileAttributes)                                             \
    F(s, ShareAccess, 16, 4, FLAGS, FileShare)                                                     \
    F(s, CreateDisposition, 20, 4, ENUM, FileDisposition)                                          \
    F(s, CreateOptions, 24, 4, HEX, None)                                                          \
    F(s, Pad1C, 28, 4, PAD, None)                                                                  \
    F(s, Handle, 32, 8, HEX, None)                                                                 \
    F(s, Length, 40, 8, DEC, None)                                                                 \
    F(s, Pad30, 48, 16, PAD, None)

#define KD_FIELDS_ReadFile(F, s)                                                                   \
    F(s, Handle, 8, 8, HEX, None)                                                                  \
    F(s, Offset, 16, 8, DEC, None)                                                                 \
    F(s, Length, 24, 4, DEC, None)                                                                 \
    F(s, Pad1C, 28, 36, PAD, None)

#define KD_FIELDS_WriteFile(F, s)                                                                  \
    F(s, Handle, 8, 8, HEX, None)                                                                  \
    F(s, Offset, 16, 8, DEC, None)                                                                 \
    F(s, Length, 24, 4, DEC, None)                                                                 \
    F(s, Pad1C, 28, 36, PAD, None)

#define KD_FIELDS_CloseFile(F, s)                                                                  \
    F(s, Handle, 8, 8, HEX, None)                                                                  \
    F(s, Pad10, 16, 48, PAD, None)

/* CONTEXT of amd64, 1232 bytes; offsets checked against a real Windows 8.1 context. */
#define KD_FIELDS_ContextAmd64(F, s)                                                               \
    F(s, P1Home, 0x00, 8, HEX, None)                                                               \
    F(s, P2Home, 0x08, 8, HEX, None)                                                               \
    F(s, P3Home, 0x10, 8, HEX, None)                                                               \
    F(s, P4Home, 0x18, 8, HEX, None)                                                               \
    F(s, P5Home, 0x20, 8, HEX, None)                                                               \
    F(s, P6Home, 0x28, 8, HEX, None)                                                               \
    F(s, ContextFlags, 0x30, 4, FLAGS, ContextAmd64)                                               \
    F(s, MxCsr, 0x34, 4, HEX, None)                                                                \
    F(s, SegCs, 0x38, 2, HEX, None)                                                                \
    F(s, SegDs, 0x3A, 2, HEX, None)                                                                \
    F(s, SegEs, 0x3C, 2, HEX, None)                                                                \
    F(s, SegFs, 0x3E, 2, HEX, None)                                                                \
    F(s, SegGs, 0x40, 2, HEX, None)                                                                \
    F(s, SegSs, 0x42, 2, HEX, None)                                                                \
    F(s, EFlags, 0x44, 4, FLAGS, EFlags)                                                           \
    F(s, Dr0, 0x48, 8, ADDRESS, None)                                                              \
    F(s, Dr1, 0x50, 8, ADDRESS, None)                                                              \
    F(s, Dr2, 0x58, 8, ADDRESS, None)                                                              \
    F(s, Dr3, 0x60, 8, ADDRESS, None)                                                              \
    F(s, Dr6, 0x68, 8, HEX, None)                                                                  \
    F(s, Dr7, 0x70, 8, HEX, None)                                                                  \
    F(s, Rax, 0x78, 8, HEX, None)                                                                  \
    F(s, Rcx, 0x80, 8, HEX, None)                                                                  \
    F(s, Rdx, 0x88, 8, HEX, None)                                                                  \
    F(s, Rbx, 0x90, 8, HEX, None)                                                                  \
    F(s, Rsp, 0x98, 8, ADDRESS, None)                                                              \
    F(s, Rbp, 0xA0, 8, HEX, None)                                                                  \
    F(s, Rsi, 0xA8, 8, HEX, None)                                                                  \
    F(s, Rdi, 0xB0, 8, HEX, None)                                                                  \
    F(s, R8, 0xB8, 8, HEX, None)                                                                   \
    F(s, R9, 0xC0, 8, HEX, None)                                                                   \
    F(s, R10, 0xC8, 8, HEX, None)                                                                  \
    F(s, R11, 0xD0, 8, HEX, None)                                                                  \
    F(s, R12, 0xD8, 8, HEX, None)                                                                  \
    F(s, R13, 0xE0, 8, HEX, None)                                                                  \
    F(s, R14, 0xE8, 8, HEX, None)                                                                  \
    F(s, R15, 0xF0, 8, HEX, None)                                                                  \
    F(s, Rip, 0xF8, 8, ADDRESS, None)                                                              \
    F(s, FltSave, 0x100, 512, FXSAVE, None)       /* FXSAVE image */                               \
    F(s, VectorRegister, 0x300, 416, BYTES, None) /* 26 of 16 bytes */                             \
    F(s, VectorControl, 0x4A0, 8, HEX, None)                                                       \
    F(s, DebugControl, 0x4A8, 8, HEX, None)                                                        \
    F(s, LastBranchToRip, 0x4B0, 8, ADDRESS, None)                                                 \
    F(s, LastBranchFromRip, 0x4B8, 8, ADDRESS, None)                                               \
    F(s, LastExceptionToRip, 0x4C0, 8, ADDRESS, None)                                              \
    F(s, LastExceptionFromRip, 0x4C8, 8, ADDRESS, None)

/* FltSave of ContextAmd64: the image FXSAVE makes. */
#define KD_FIELDS_FxSave(F, s)                                                                     \
    F(s, ControlWord, 0x00, 2, HEX, None)                                                          \
    F(s, StatusWord, 0x02, 2, HEX, None)                                                           \
    F(s, TagWord, 0x04, 2, HEX, None)                                                              \
    F(s, ErrorOpcode, 0x06, 2, HEX, None)                                                          \
    F(s, ErrorOffset, 0x08, 4, HEX, None)                                                          \
    F(s, ErrorSelector, 0x0C, 4, HEX, None)                                                        \
    F(s, DataOffset, 0x10, 4, HEX, None)                                                           \
    F(s, DataSelector, 0x14, 4, HEX, None)                                                         \
    F(s, MxCsr, 0x18, 4, HEX, None)                                                                \
    F(s, MxCsrMask, 0x1C, 4, HEX, None)                                                            \
    F(s, St0, 0x20, 16, BYTES, None)                                                               \
    F(s, St1, 0x30, 16, BYTES, None)                                                               \
    F(s, St2, 0x40, 16, BYTES, None)                                                               \
    F(s, St3, 0x50, 16, BYTES, None)                                                               \
    F(s, St4, 0x60, 16, BYTES, None)                                                               \
    F(s, St5, 0x70, 16, BYTES, None)                                                               \
    F(s, St6, 0x80, 16, BYTES, None)                                                               \
    F(s, St7, 0x90, 16, BYTES, None)                                                               \
    F(s, Xmm0, 0xA0, 16, BYTES, None)                                                              \
    F(s, Xmm1, 0xB0, 16, BYTES, None)                                                              \
    F(s, Xmm2, 0xC0, 16, BYTES, None)                                                              \
    F(s, Xmm3, 0xD0, 16, BYTES, None)                                                              \
    F(s, Xmm4, 0xE0, 16, BYTES, None)                                                              \
    F(s, Xmm5, 0xF0, 16, BYTES, None)                                                              \
    F(s, Xmm6, 0x100, 16, BYTES, None)                                                             \
    F(s, Xmm7, 0x110, 16, BYTES, None)                                                             \
    F(s, Xmm8, 0x120, 16, BYTES, None)                                                             \
    F(s, Xmm9, 0x130, 16, BYTES, None)                                                             \
    F(s, Xmm10, 0x140, 16, BYTES, None)                                                            \
    F(s, Xmm11, 0x150, 16, BYTES, None)                                                            \
    F(s, Xmm12, 0x160, 16, BYTES, None)                                                            \
    F(s, Xmm13, 0x170, 16, BYTES, None)                                                            \
    F(s, Xmm14, 0x180, 16, BYTES, None)                                                            \
    F(s, Xmm15, 0x190, 16, BYTES, None)                                                            \
    F(s, Pad1A0, 0x1A0, 96, PAD, None)

/* CONTEXT of x86, 716 bytes. */
#define KD_FIELDS_ContextX86(F, s)                                                                 \
    F(s, ContextFlags, 0x00, 4, FLAGS, ContextX86)                                                 \
    F(s, Dr0, 0x04, 4, ADDRESS, None)                                                              \
    F(s, Dr1, 0x08, 4, ADDRESS, None)                                                              \
    F(s, Dr2, 0x0C, 4, ADDRESS, None)                                                              \
    F(s, Dr3, 0x10, 4, ADDRESS, None)                                                              \
    F(s, Dr6, 0x14, 4, HEX, None)                                                                  \
    F(s, Dr7, 0x18, 4, HEX, None)                                                                  \
    F(s, FloatControlWord, 0x1C, 4, HEX, None)                                                     \
    F(s, FloatStatusWord, 0x20, 4, HEX, None)                                                      \
    F(s, FloatTagWord, 0x24, 4, HEX, None)                                                         \
    F(s, FloatErrorOffset, 0x28, 4, HEX, None)                                                     \
    F(s, FloatErrorSelector, 0x2C, 4, HEX, None)                                                   \
    F(s, FloatDataOffset, 0x30, 4, HEX, None)                                                      \
    F(s, FloatDataSelector, 0x34, 4, HEX, None)                                                    \
    F(s, FloatRegisterArea, 0x38, 80, BYTES, None)                                                 \
    F(s, FloatCr0NpxState, 0x88, 4, HEX, None)                                                     \
    F(s, SegGs, 0x8C, 4, HEX, None)                                                                \
    F(s, SegFs, 0x90, 4, HEX, None)                                                                \
    F(s, SegEs, 0x94, 4, HEX, None)                                                                \
    F(s, SegDs, 0x98, 4, HEX, None)                                                                \
    F(s, Edi, 0x9C, 4, HEX, None)                                                                  \
    F(s, Esi, 0xA0, 4, HEX, None)                                                                  \
    F(s, Ebx, 0xA4, 4, HEX, None)                                                                  \
    F(s, Edx, 0xA8, 4, HEX, None)                                                                  \
    F(s, Ecx, 0xAC, 4, HEX, None)                                                                  \
    F(s, Eax, 0xB0, 4, HEX, None)                                                                  \
    F(s, Ebp, 0xB4, 4, HEX, None)                                                                  \
    F(s, Eip, 0xB8, 4, ADDRESS, None)                                                              \
    F(s, SegCs, 0xBC, 4, HEX, None)                                                                \
    F(s, EFlags, 0xC0, 4, FLAGS, EFlags)                                                           \
    F(s, Esp, 0xC4, 4, ADDRESS, None)                                                              \
    F(s, SegSs, 0xC8, 4, HEX, None)                                                                \
    F(s, ExtendedRegisters, 0xCC, 512, BYTES, None)

/* CONTEXT of ARM64, 912 bytes (one source, not seen on a wire). */
#define KD_FIELDS_ContextArm64(F, s)                                                               \
    F(s, ContextFlags, 0x00, 4, FLAGS, ContextArm64)                                               \
    F(s, Cpsr, 0x04, 4, HEX, None)                                                                 \
    F(s, X0, 0x08, 8, HEX, None)                                                                   \
    F(s, X1, 0x10, 8, HEX, None)                                                                   \
    F(s, X2, 0x18, 8, HEX, None)                                                                   \
    F(s, X3, 0x20, 8, HEX, None)                                                                   \
    F(s, X4, 0x28, 8, HEX, None)                                                                   \
    F(s, X5, 0x30, 8, HEX, None)                                                                   \
    F(s, X6, 0x38, 8, HEX, None)                                                                   \
    F(s, X7, 0x40, 8, HEX, None)                                                                   \
    F(s, X8, 0x48, 8, HEX, None)                                                                   \
    F(s, X9, 0x50, 8, HEX, None)                                                                   \
    F(s, X10, 0x58, 8, HEX, None)                                                                  \
    F(s, X11, 0x60, 8, HEX, None)                                                                  \
    F(s, X12, 0x68, 8, HEX, None)                                                                  \
    F(s, X13, 0x70, 8, HEX, None)                                                                  \
    F(s, X14, 0x78, 8, HEX, None)                                                                  \
    F(s, X15, 0x80, 8, HEX, None)                                                                  \
    F(s, X16, 0x88, 8, HEX, None)                                                                  \
    F(s, X17, 0x90, 8, HEX, None)                                                                  \
    F(s, X18, 0x98, 8, HEX, None)                                                                  \
    F(s, X19, 0xA0, 8, HEX, None)                                                                  \
    F(s, X20, 0xA8, 8, HEX, None)                                                                  \
    F(s, X21, 0xB0, 8, HEX, None)                                                                  \
    F(s, X22, 0xB8, 8, HEX, None)                                                                  \
    F(s, X23, 0xC0, 8, HEX, None)                                                                  \
    F(s, X24, 0xC8, 8, HEX, None)                                                                  \
    F(s, X25, 0xD0, 8, HEX, None)                                                                  \
    F(s, X26, 0xD8, 8, HEX, None)                                                                  \
    F(s, X27, 0xE0, 8, HEX, None)                                                                  \
    F(s, X28, 0xE8, 8, HEX, None)                                                                  \
    F(s, Fp, 0xF0, 8, HEX, None)                                                                   \
    F(s, Lr, 0xF8, 8, ADDRESS, None)                                                               \
    F(s, Sp, 0x100, 8, ADDRESS, None)                                                              \
    F(s, Pc, 0x108, 8, ADDRESS, None)                                                              \
    F(s, V0, 0x110, 16, BYTES, None)                                                               \
    F(s, V1, 0x120, 16, BYTES, None)                                                               \
    F(s, V2, 0x130, 16, BYTES, None)                                                               \
    F(s, V3, 0x140, 16, BYTES, None)                                                               \
    F(s, V4, 0x150, 16, BYTES, None)                                                               \
    F(s, V5, 0x160, 16, BYTES, None)                                                               \
    F(s, V6, 0x170, 16, BYTES, None)                                                               \
    F(s, V7, 0x180, 16, BYTES, None)                                                               \
    F(s, V8, 0x190, 16, BYTES, None)                                                               \
    F(s, V9, 0x1A0, 16, BYTES, None)                                                               \
    F(s, V10, 0x1B0, 16, BYTES, None)                                                              \
    F(s, V11, 0x1C0, 16, BYTES, None)                                                              \
    F(s, V12, 0x1D0, 16, BYTES, None)                                                              \
    F(s, V13, 0x1E0, 16, BYTES, None)                                                              \
    F(s, V14, 0x1F0, 16, BYTES, None)                                                              \
    F(s, V15, 0x200, 16, BYTES, None)                                                              \
    F(s, V16, 0x210, 16, BYTES, None)                                                              \
    F(s, V17, 0x220, 16, BYTES, None)                                                              \
    F(s, V18, 0x230, 16, BYTES, None)                                                              \
    F(s, V19, 0x240, 16, BYTES, None)                                                              \
    F(s, V20, 0x250, 16, BYTES, None)                                                              \
    F(s, V21, 0x260, 16, BYTES, None)                                                              \
    F(s, V22, 0x270, 16, BYTES, None)                                                              \
    F(s, V23, 0x280, 16, BYTES, None)                                                              \
    F(s, V24, 0x290, 16, BYTES, None)                                                              \
    F(s, V25, 0x2A0, 16, BYTES, None)                                                              \
    F(s, V26, 0x2B0, 16, BYTES, None)                                                              \
    F(s, V27, 0x2C0, 16, BYTES, None)                                                              \
    F(s, V28, 0x2D0, 16, BYTES, None)                                                              \
    F(s, V29, 0x2E0, 16, BYTES, None)                                                              \
    F(s, V30, 0x2F0, 16, BYTES, None)                                                              \
    F(s, V31, 0x300, 16, BYTES, None)                                                              \
    F(s, Fpcr, 0x310, 4, HEX, None)                                                                \
    F(s, Fpsr, 0x314, 4, HEX, None)                                                                \
    F(s, Bcr0, 0x318, 4, HEX, None)                                                                \
    F(s, Bcr1, 0x31C, 4, HEX, None)                                                                \
    F(s, Bcr2, 0x320, 4, HEX, None)                                                                \
    F(s, Bcr3, 0x324, 4, HEX, None)                                                                \
    F(s, Bcr4, 0x328, 4, HEX, None)                                                                \
    F(s, Bcr5, 0x32C, 4, HEX, None)                                                                \
    F(s, Bcr6, 0x330, 4, HEX, None)                                                                \
    F(s, Bcr7, 0x334, 4, HEX, None)                                                                \
    F(s, Bvr0, 0x338, 8, ADDRESS, None)                                                            \
    F(s, Bvr1, 0x340, 8, ADDRESS, None)                                                            \
    F(s, Bvr2, 0x348, 8, ADDRESS, None)                                                            \
    F(s, Bvr3, 0x350, 8, ADDRESS, None)                                                            \
    F(s, Bvr4, 0x358, 8, ADDRESS, None)                                                            \
    F(s, Bvr5, 0x360, 8, ADDRESS, None)                                                            \
    F(s, Bvr6, 0x368, 8, ADDRESS, None)                                                            \
    F(s, Bvr7, 0x370, 8, ADDRESS, None)                                                            \
    F(s, Wcr0, 0x378, 4, HEX, None)                                                                \
    F(s, Wcr1, 0x37C, 4, HEX, None)                                                                \
    F(s, Wvr0, 0x380, 8, ADDRESS, None)                                                            \
    F(s, Wvr1, 0x388, 8, ADDRESS, None)

/* KSPECIAL_REGISTERS of amd64: control space index 2. */
#define KD_FIELDS_SpecialAmd64(F, s)                                                               \
    F(s, Cr0, 0x00, 8, HEX, None)                                                                  \
    F(s, Cr2, 0x08, 8, ADDRESS, None)                                                              \
    F(s, Cr3, 0x10, 8, ADDRESS, None)                                                              \
    F(s, Cr4, 0x18, 8, HEX, None)                                                                  \
    F(s, KernelDr0, 0x20, 8, ADDRESS, None)                                                        \
    F(s, KernelDr1, 0x28, 8, ADDRESS, None)                                                        \
    F(s, KernelDr2, 0x30, 8, ADDRESS, None)                                                        \
    F(s, KernelDr3, 0x38, 8, ADDRESS, None)                                                        \
    F(s, KernelDr6, 0x40, 8, HEX, None)                                                            \
    F(s, KernelDr7, 0x48, 8, HEX, None)                                                            \
    F(s, Pad50, 0x50, 6, PAD, None)                                                                \
    F(s, GdtrLimit, 0x56, 2, HEX, None)                                                            \
    F(s, GdtrBase, 0x58, 8, ADDRESS, None)                                                         \
    F(s, Pad60, 0x60, 6, PAD, None)                                                                \
    F(s, IdtrLimit, 0x66, 2, HEX, None)                                                            \
    F(s, IdtrBase, 0x68, 8, ADDRESS, None)                                                         \
    F(s, Tr, 0x70, 2, HEX, None)                                                                   \
    F(s, Ldtr, 0x72, 2, HEX, None)                                                                 \
    F(s, MxCsr, 0x74, 4, HEX, None)                                                                \
    F(s, DebugControl, 0x78, 8, HEX, None)                                                         \
    F(s, LastBranchToRip, 0x80, 8, ADDRESS, None)                                                  \
    F(s, LastBranchFromRip, 0x88, 8, ADDRESS, None)                                                \
    F(s, LastExceptionToRip, 0x90, 8, ADDRESS, None)                                               \
    F(s, LastExceptionFromRip, 0x98, 8, ADDRESS, None)                                             \
    F(s, Cr8, 0xA0, 8, HEX, None)                                                                  \
    F(s, MsrGsBase, 0xA8, 8, ADDRESS, None)                                                        \
    F(s, MsrGsSwap, 0xB0, 8, ADDRESS, None)                                                        \
    F(s, MsrStar, 0xB8, 8, HEX, None)                                                              \
    F(s, MsrLStar, 0xC0, 8, ADDRESS, None)                                                         \
    F(s, MsrCStar, 0xC8, 8, ADDRESS, None)                                                         \
    F(s, MsrSyscallMask, 0xD0, 8, HEX, None)                                                       \
    F(s, Xcr0, 0xD8, 8, HEX, None)                                                                 \
    F(s, MsrFsBase, 0xE0, 8, ADDRESS, None) /* newer Windows 10 only */                            \
    F(s, PadE8, 0xE8, 8, PAD, None)

/* KSPECIAL_REGISTERS of x86: at offset 0x2CC of the control space. */
#define KD_FIELDS_SpecialX86(F, s)                                                                 \
    F(s, Cr0, 0x00, 4, HEX, None)                                                                  \
    F(s, Cr2, 0x04, 4, ADDRESS, None)                                                              \
    F(s, Cr3, 0x08, 4, ADDRESS, None)                                                              \
    F(s, Cr4, 0x0C, 4, HEX, None)                                                                  \
    F(s, KernelDr0, 0x10, 4, ADDRESS, None)                                                        \
    F(s, KernelDr1, 0x14, 4, ADDRESS, None)                                                        \
    F(s, KernelDr2, 0x18, 4, ADDRESS, None)                                                        \
    F(s, KernelDr3, 0x1C, 4, ADDRESS, None)                                                        \
    F(s, KernelDr6, 0x20, 4, HEX, None)                                                            \
    F(s, KernelDr7, 0x24, 4, HEX, None)                                                            \
    F(s, Pad28, 0x28, 2, PAD, None)                                                                \
    F(s, GdtrLimit, 0x2A, 2, HEX, None)                                                            \
    F(s, GdtrBase, 0x2C, 4, ADDRESS, None)                                                         \
    F(s, Pad30, 0x30, 2, PAD, None)                                                                \
    F(s, IdtrLimit, 0x32, 2, HEX, None)                                                            \
    F(s, IdtrBase, 0x34, 4, ADDRESS, None)                                                         \
    F(s, Tr, 0x38, 2, HEX, None)                                                                   \
    F(s, Ldtr, 0x3A, 2, HEX, None)                                                                 \
    F(s, Pad3C, 0x3C, 24, PAD, None)

/* Loader entry reached from PsLoadedModuleList (64-bit). */
#define KD_FIELDS_LoaderEntry64(F, s)                                                              \
    F(s, Flink, 0x00, 8, ADDRESS, None)                                                            \
    F(s, Blink, 0x08, 8, ADDRESS, None)                                                            \
    F(s, ExceptionTable, 0x10, 8, ADDRESS, None)                                                   \
    F(s, ExceptionTableSize, 0x18, 4, HEX, None)                                                   \
    F(s, Pad1C, 0x1C, 4, PAD, None)                                                                \
    F(s, GpValue, 0x20, 8, HEX, None)                                                              \
    F(s, NonPagedDebugInfo, 0x28, 8, ADDRESS, None)                                                \
    F(s, DllBase, 0x30, 8, ADDRESS, None)                                                          \
    F(s, EntryPoint, 0x38, 8, ADDRESS, None)                                                       \
    F(s, SizeOfImage, 0x40, 4, HEX, None)                                                          \
    F(s, Pad44, 0x44, 4, PAD, None)                                                                \
    F(s, FullDllNameLength, 0x48, 2, DEC, None)                                                    \
    F(s, FullDllNameMaximum, 0x4A, 2, DEC, None)                                                   \
    F(s, Pad4C, 0x4C, 4, PAD, None)                                                                \
    F(s, FullDllNameBuffer, 0x50, 8, ADDRESS, None)                                                \
    F(s, BaseDllNameLength, 0x58, 2, DEC, None)                                                    \
    F(s, BaseDllNameMaximum, 0x5A, 2, DEC, None)                                                   \
    F(s, Pad5C, 0x5C, 4, PAD, None)                                                                \
    F(s, BaseDllNameBuffer, 0x60, 8, ADDRESS, None)                                                \
    F(s, Flags, 0x68, 4, HEX, None)                                                                \
    F(s, LoadCount, 0x6C, 2, DEC, None)                                                            \
    F(s, Pad6E, 0x6E, 2, PAD, None)                                                                \
    F(s, SectionPointer, 0x70, 8, ADDRESS, None)                                                   \
    F(s, CheckSum, 0x78, 4, HEX, None)                                                             \
    F(s, Pad7C, 0x7C, 4, PAD, None)                                                                \
    F(s, LoadedImports, 0x80, 8, ADDRESS, None)

/* The first bytes of an image, and what its ImageHeader field leads to ("PE Format" document); each
 * data directory is an address relative to the image and a size. */
#define KD_FIELDS_DosHeader(F, s)                                                                  \
    F(s, Signature, 0x00, 2, TEXT, None)                                                           \
    F(s, Stub, 0x02, 58, BYTES, None)                                                              \
    F(s, ImageHeader, 0x3C, 4, HEX, None)

#define KD_FIELDS_PeHeader64(F, s)                                                                 \
    F(s, Signature, 0x00, 4, TEXT, None)                                                           \
    F(s, Machine, 0x04, 2, ENUM, MachineType)                                                      \
    F(s, NumberOfSections, 0x06, 2, DEC, None)                                                     \
    F(s, TimeDateStamp, 0x08, 4, HEX, None)                                                        \
    F(s, PointerToSymbolTable, 0x0C, 4, HEX, None)                                                 \
    F(s, NumberOfSymbols, 0x10, 4, DEC, None)                                                      \
    F(s, SizeOfOptionalHeader, 0x14, 2, DEC, None)                                                 \
    F(s, Characteristics, 0x16, 2, FLAGS, ImageFlags)                                              \
    F(s, Magic, 0x18, 2, ENUM, ImageMagic)                                                         \
    F(s, MajorLinkerVersion, 0x1A, 1, DEC, None)                                                   \
    F(s, MinorLinkerVersion, 0x1B, 1, DEC, None)                                                   \
    F(s, SizeOfCode, 0x1C, 4, HEX, None)                                                           \
    F(s, SizeOfInitializedData, 0x20, 4, HEX, None)                                                \
    F(s, SizeOfUninitializedData, 0x24, 4, HEX, None)                                              \
    F(s, AddressOfEntryPoint, 0x28, 4, HEX, None)                                                  \
    F(s, BaseOfCode, 0x2C, 4, HEX, None)                                                           \
    F(s, ImageBase, 0x30, 8, ADDRESS, None)                                                        \
    F(s, SectionAlignment, 0x38, 4, HEX, None)                                                     \
    F(s, FileAlignment, 0x3C, 4, HEX, None)                                                        \
    F(s, MajorOperatingSystemVersion, 0x40, 2, DEC, None)                                          \
    F(s, MinorOperatingSystemVersion, 0x42, 2, DEC, None)                                          \
    F(s, MajorImageVersion, 0x44, 2, DEC, None)                                                    \
    F(s, MinorImageVersion, 0x46, 2, DEC, None)                                                    \
    F(s, MajorSubsystemVersion, 0x48, 2, DEC, None)                                                \
    F(s, MinorSubsystemVersion, 0x4A, 2, DEC, None)                                                \
    F(s, Win32VersionValue, 0x4C, 4, DEC, None)                                                    \
    F(s, SizeOfImage, 0x50, 4, HEX, None)                                                          \
    F(s, SizeOfHeaders, 0x54, 4, HEX, None)                                                        \
    F(s, CheckSum, 0x58, 4, HEX, None)                                                             \
    F(s, Subsystem, 0x5C, 2, ENUM, Subsystem)                                                      \
    F(s, DllCharacteristics, 0x5E, 2, FLAGS, DllFlags)                                             \
    F(s, SizeOfStackReserve, 0x60, 8, HEX, None)                                                   \
    F(s, SizeOfStackCommit, 0x68, 8, HEX, None)                                                    \
    F(s, SizeOfHeapReserve, 0x70, 8, HEX, None)                                                    \
    F(s, SizeOfHeapCommit, 0x78, 8, HEX, None)                                                     \
    F(s, LoaderFlags, 0x80, 4, HEX, None)                                                          \
    F(s, NumberOfRvaAndSizes, 0x84, 4, DEC, None)                                                  \
    F(s, ExportTable, 0x88, 4, HEX, None)                                                          \
    F(s, ExportTableSize, 0x8C, 4, HEX, None)                                                      \
    F(s, ImportTable, 0x90, 4, HEX, None)                                                          \
    F(s, ImportTableSize, 0x94, 4, HEX, None)                                                      \
    F(s, ResourceTable, 0x98, 4, HEX, None)                                                        \
    F(s, ResourceTableSize, 0x9C, 4, HEX, None)                                                    \
    F(s, ExceptionTable, 0xA0, 4, HEX, None)                                                       \
    F(s, ExceptionTableSize, 0xA4, 4, HEX, None)                                                   \
    F(s, CertificateTable, 0xA8, 4, HEX, None)                                                     \
    F(s, CertificateTableSize, 0xAC, 4, HEX, None)                                                 \
    F(s, BaseRelocationTable, 0xB0, 4, HEX, None)                                                  \
    F(s, BaseRelocationTableSize, 0xB4, 4, HEX, None)                                              \
    F(s, DebugTable, 0xB8, 4, HEX, None)                                                           \
    F(s, DebugTableSize, 0xBC, 4, HEX, None)                                                       \
    F(s, ArchitectureTable, 0xC0, 4, HEX, None)                                                    \
    F(s, ArchitectureTableSize, 0xC4, 4, HEX, None)                                                \
    F(s, GlobalPointerTable, 0xC8, 4, HEX, None)                                                   \
    F(s, GlobalPointerTableSize, 0xCC, 4, HEX, None)                                               \
    F(s, TlsTable, 0xD0, 4, HEX, None)                                                             \
    F(s, TlsTableSize, 0xD4, 4, HEX, None)                                                         \
    F(s, LoadConfigTable, 0xD8, 4, HEX, None)                                                      \
    F(s, LoadConfigTableSize, 0xDC, 4, HEX, None)                                                  \
    F(s, BoundImportTable, 0xE0, 4, HEX, None)                                                     \
    F(s, BoundImportTableSize, 0xE4, 4, HEX, None)                                                 \
    F(s, ImportAddressTable, 0xE8, 4, HEX, None)                                                   \
    F(s, ImportAddressTableSize, 0xEC, 4, HEX, None)                                               \
    F(s, DelayImportTable, 0xF0, 4, HEX, None)                                                     \
    F(s, DelayImportTableSize, 0xF4, 4, HEX, None)                                                 \
    F(s, ClrRuntimeTable, 0xF8, 4, HEX, None)                                                      \
    F(s, ClrRuntimeTableSize, 0xFC, 4, HEX, None)                                                  \
    F(s, ReservedTable, 0x100, 4, HEX, None)                                                       \
    F(s, ReservedTableSize, 0x104, 4, HEX, None)

/* KDDEBUGGER_DATA64: each kernel fills as much as its Size says; 0x360 bytes on Windows 8.1. All
 * pointers but MmPageSize are addresses of the variable. */
#define KD_FIELDS_DebuggerData64(F, s)                                                             \
    F(s, Flink, 0x00, 8, ADDRESS, None)                                                            \
    F(s, Blink, 0x08, 8, ADDRESS, None)                                                            \
    F(s, OwnerTag, 0x10, 4, TEXT, None)                                                            \
    F(s, Size, 0x14, 4, HEX, None)                                                                 \
    F(s, KernBase, 0x18, 8, ADDRESS, None)                                                         \
    F(s, BreakpointWithStatus, 0x20, 8, ADDRESS, None)                                             \
    F(s, SavedContext, 0x28, 8, ADDRESS, None)                                                     \
    F(s, ThCallbackStack, 0x30, 2, HEX, None)                                                      \
    F(s, NextCallback, 0x32, 2, HEX, None)                                                         \
    F(s, FramePointer, 0x34, 2, HEX, None)                                                         \
    F(s, Bits, 0x36, 2, FLAGS, DebuggerDataBits)                                                   \
    F(s, KiCallUserMode, 0x38, 8, ADDRESS, None)                                                   \
    F(s, KeUserCallbackDispatcher, 0x40, 8, ADDRESS, None)                                         \
    F(s, PsLoadedModuleList, 0x48, 8, ADDRESS, None)                                               \
    F(s, PsActiveProcessHead, 0x50, 8, ADDRESS, None)                                              \
    F(s, PspCidTable, 0x58, 8, ADDRESS, None)                                                      \
    F(s, ExpSystemResourcesList, 0x60, 8, ADDRESS, None)                                           \
    F(s, ExpPagedPoolDescriptor, 0x68, 8, ADDRESS, None)                                           \
    F(s, ExpNumberOfPagedPools, 0x70, 8, ADDRESS, None)                                            \
    F(s, KeTimeIncrement, 0x78, 8, ADDRESS, None)                                                  \
    F(s, KeBugCheckCallbackListHead, 0x80, 8, ADDRESS, None)                                       \
    F(s, KiBugcheckData, 0x88, 8, ADDRESS, None)                                                   \
    F(s, IopErrorLogListHead, 0x90, 8, ADDRESS, None)                                              \
    F(s, ObpRootDirectoryObject, 0x98, 8, ADDRESS, None)                                           \
    F(s, ObpTypeObjectType, 0xA0, 8, ADDRESS, None)                                                \
    F(s, MmSystemCacheStart, 0xA8, 8, ADDRESS, None)                                               \
    F(s, MmSystemCacheEnd, 0xB0, 8, ADDRESS, None)                                                 \
    F(s, MmSystemCacheWs, 0xB8, 8, ADDRESS, None)                                                  \
    F(s, MmPfnDatabase, 0xC0, 8, ADDRESS, None)                                                    \
    F(s, MmSystemPtesStart, 0xC8, 8, ADDRESS, None)                                                \
    F(s, MmSystemPtesEnd, 0xD0, 8, ADDRESS, None)                                                  \
    F(s, MmSubsectionBase, 0xD8, 8, ADDRESS, None)                                                 \
    F(s, MmNumberOfPagingFiles, 0xE0, 8, ADDRESS, None)                                            \
    F(s, MmLowestPhysicalPage, 0xE8, 8, ADDRESS, None)                                             \
    F(s, MmHighestPhysicalPage, 0xF0, 8, ADDRESS, None)                                            \
    F(s, MmNumberOfPhysicalPages, 0xF8, 8, ADDRESS, None)                                          \
    F(s, MmMaximumNonPagedPoolInBytes, 0x100, 8, ADDRESS, None)                                    \
    F(s, MmNonPagedSystemStart, 0x108, 8, ADDRESS, None)                                           \
    F(s, MmNonPagedPoolStart, 0x110, 8, ADDRESS, None)                                             \
    F(s, MmNonPagedPoolEnd, 0x118, 8, ADDRESS, None)                                               \
    F(s, MmPagedPoolStart, 0x120, 8, ADDRESS, None)                                                \
    F(s, MmPagedPoolEnd, 0x128, 8, ADDRESS, None)                                                  \
    F(s, MmPagedPoolInformation, 0x130, 8, ADDRESS, None)                                          \
    F(s, MmPageSize, 0x138, 8, HEX, None)                                                          \
    F(s, MmSizeOfPagedPoolInBytes, 0x140, 8, ADDRESS, None)                                        \
    F(s, MmTotalCommitLimit, 0x148, 8, ADDRESS, None)                                              \
    F(s, MmTotalCommittedPages, 0x150, 8, ADDRESS, None)                                           \
    F(s, MmSharedCommit, 0x158, 8, ADDRESS, None)                                                  \
    F(s, MmDriverCommit, 0x160, 8, ADDRESS, None)                                                  \
    F(s, MmProcessCommit, 0x168, 8, ADDRESS, None)                                                 \
    F(s, MmPagedPoolCommit, 0x170, 8, ADDRESS, None)                                               \
    F(s, MmExtendedCommit, 0x178, 8, ADDRESS, None)                                                \
    F(s, MmZeroedPageListHead, 0x180, 8, ADDRESS, None)                                            \
    F(s, MmFreePageListHead, 0x188, 8, ADDRESS, None)                                              \
    F(s, MmStandbyPageListHead, 0x190, 8, ADDRESS, None)                                           \
    F(s, MmModifiedPageListHead, 0x198, 8, ADDRESS, None)                                          \
    F(s, MmModifiedNoWritePageListHead, 0x1A0, 8, ADDRESS, None)                                   \
    F(s, MmAvailablePages, 0x1A8, 8, ADDRESS, None)                                                \
    F(s, MmResidentAvailablePages, 0x1B0, 8, ADDRESS, None)                                        \
    F(s, PoolTrackTable, 0x1B8, 8, ADDRESS, None)                                                  \
    F(s, NonPagedPoolDescriptor, 0x1C0, 8, ADDRESS, None)                                          \
    F(s, MmHighestUserAddress, 0x1C8, 8, ADDRESS, None)                                            \
    F(s, MmSystemRangeStart, 0x1D0, 8, ADDRESS, None)                                              \
    F(s, MmUserProbeAddress, 0x1D8, 8, ADDRESS, None)                                              \
    F(s, KdPrintCircularBuffer, 0x1E0, 8, ADDRESS, None)                                           \
    F(s, KdPrintCircularBufferEnd, 0x1E8, 8, ADDRESS, None)                                        \
    F(s, KdPrintWritePointer, 0x1F0, 8, ADDRESS, None)                                             \
    F(s, KdPrintRolloverCount, 0x1F8, 8, ADDRESS, None)                                            \
    F(s, MmLoadedUserImageList, 0x200, 8, ADDRESS, None)                                           \
    F(s, NtBuildLab, 0x208, 8, ADDRESS, None)                                                      \
    F(s, KiNormalSystemCall, 0x210, 8, ADDRESS, None)                                              \
    F(s, KiProcessorBlock, 0x218, 8, ADDRESS, None)                                                \
    F(s, MmUnloadedDrivers, 0x220, 8, ADDRESS, None)                                               \
    F(s, MmLastUnloadedDriver, 0x228, 8, ADDRESS, None)                                            \
    F(s, MmTriageActionTaken, 0x230, 8, ADDRESS, None)                                             \
    F(s, MmSpecialPoolTag, 0x238, 8, ADDRESS, None)                                                \
    F(s, KernelVerifier, 0x240, 8, ADDRESS, None)                                                  \
    F(s, MmVerifierData, 0x248, 8, ADDRESS, None)                                                  \
    F(s, MmAllocatedNonPagedPool, 0x250, 8, ADDRESS, None)                                         \
    F(s, MmPeakCommitment, 0x258, 8, ADDRESS, None)                                                \
    F(s, MmTotalCommitLimitMaximum, 0x260, 8, ADDRESS, None)                                       \
    F(s, CmNtCSDVersion, 0x268, 8, ADDRESS, None)                                                  \
    F(s, MmPhysicalMemoryBlock, 0x270, 8, ADDRESS, None)                                           \
    F(s, MmSessionBase, 0x278, 8, ADDRESS, None)                                                   \
    F(s, MmSessionSize, 0x280, 8, ADDRESS, None)                                                   \
    F(s, MmSystemParentTablePage, 0x288, 8, ADDRESS, None)                                         \
    F(s, MmVirtualTranslationBase, 0x290, 8, ADDRESS, None)                                        \
    F(s, OffsetKThreadNextProcessor, 0x298, 2, HEX, None)                                          \
    F(s, OffsetKThreadTeb, 0x29A, 2, HEX, None)                                                    \
    F(s, OffsetKThreadKernelStack, 0x29C, 2, HEX, None)                                            \
    F(s, OffsetKThreadInitialStack, 0x29E, 2, HEX, None)                                           \
    F(s, OffsetKThreadApcProcess, 0x2A0, 2, HEX, None)                                             \
    F(s, OffsetKThreadState, 0x2A2, 2, HEX, None)                                                  \
    F(s, OffsetKThreadBStore, 0x2A4, 2, HEX, None)                                                 \
    F(s, OffsetKThreadBStoreLimit, 0x2A6, 2, HEX, None)                                            \
    F(s, SizeEProcess, 0x2A8, 2, HEX, None)                                                        \
    F(s, OffsetEProcessPeb, 0x2AA, 2, HEX, None)                                                   \
    F(s, OffsetEProcessParentCid, 0x2AC, 2, HEX, None)                                             \
    F(s, OffsetEProcessDirectoryTableBase, 0x2AE, 2, HEX, None)                                    \
    F(s, SizePrcb, 0x2B0, 2, HEX, None)                                                            \
    F(s, OffsetPrcbDpcRoutine, 0x2B2, 2, HEX, None)                                                \
    F(s, OffsetPrcbCurrentThread, 0x2B4, 2, HEX, None)                                             \
    F(s, OffsetPrcbMhz, 0x2B6, 2, HEX, None)                                                       \
    F(s, OffsetPrcbCpuType, 0x2B8, 2, HEX, None)                                                   \
    F(s, OffsetPrcbVendorString, 0x2BA, 2, HEX, None)                                              \
    F(s, OffsetPrcbProcStateContext, 0x2BC, 2, HEX, None)                                          \
    F(s, OffsetPrcbNumber, 0x2BE, 2, HEX, None)                                                    \
    F(s, SizeEThread, 0x2C0, 2, HEX, None)                                                         \
    F(s, L1tfHighPhysicalBitIndex, 0x2C2, 1, HEX, None)                                            \
    F(s, L1tfSwizzleBitIndex, 0x2C3, 1, HEX, None)                                                 \
    F(s, Pad2C4, 0x2C4, 4, PAD, None)                                                              \
    F(s, KdPrintCircularBufferPtr, 0x2C8, 8, ADDRESS, None)                                        \
    F(s, KdPrintBufferSize, 0x2D0, 8, ADDRESS, None)                                               \
    F(s, KeLoaderBlock, 0x2D8, 8, ADDRESS, None)                                                   \
    F(s, SizePcr, 0x2E0, 2, HEX, None)                                                             \
    F(s, OffsetPcrSelfPcr, 0x2E2, 2, HEX, None)                                                    \
    F(s, OffsetPcrCurrentPrcb, 0x2E4, 2, HEX, None)                                                \
    F(s, OffsetPcrContainedPrcb, 0x2E6, 2, HEX, None)                                              \
    F(s, OffsetPcrInitialBStore, 0x2E8, 2, HEX, None)                                              \
    F(s, OffsetPcrBStoreLimit, 0x2EA, 2, HEX, None)                                                \
    F(s, OffsetPcrInitialStack, 0x2EC, 2, HEX, None)                                               \
    F(s, OffsetPcrStackLimit, 0x2EE, 2, HEX, None)                                                 \
    F(s, OffsetPrcbPcrPage, 0x2F0, 2, HEX, None)                                                   \
    F(s, OffsetPrcbProcStateSpecialReg, 0x2F2, 2, HEX, None)                                       \
    F(s, GdtR0Code, 0x2F4, 2, HEX, None)                                                           \
    F(s, GdtR0Data, 0x2F6, 2, HEX, None)                                                           \
    F(s, GdtR0Pcr, 0x2F8, 2, HEX, None)                                                            \
    F(s, GdtR3Code, 0x2FA, 2, HEX, None)                                                           \
    F(s, GdtR3Data, 0x2FC, 2, HEX, None)                                                           \
    F(s, GdtR3Teb, 0x2FE, 2, HEX, None)                                                            \
    F(s, GdtLdt, 0x300, 2, HEX, None)                                                              \
    F(s, GdtTss, 0x302, 2, HEX, None)                                                              \
    F(s, Gdt64R3CmCode, 0x304, 2, HEX, None)                                                       \
    F(s, Gdt64R3CmTeb, 0x306, 2, HEX, None)                                                        \
    F(s, IopNumTriageDumpDataBlocks, 0x308, 8, ADDRESS, None)                                      \
    F(s, IopTriageDumpDataBlocks, 0x310, 8, ADDRESS, None)                                         \
    F(s, VfCrashDataBlock, 0x318, 8, ADDRESS, None)                                                \
    F(s, MmBadPagesDetected, 0x320, 8, ADDRESS, None)                                              \
    F(s, MmZeroedPageSingleBitErrorsDetected, 0x328, 8, ADDRESS, None)                             \
    F(s, EtwpDebuggerData, 0x330, 8, ADDRESS, None)                                                \
    F(s, OffsetPrcbContext, 0x338, 2, HEX, None)                                                   \
    F(s, OffsetPrcbMaxBreakpoints, 0x33A, 2, HEX, None)                                            \
    F(s, OffsetPrcbMaxWatchpoints, 0x33C, 2, HEX, None)                                            \
    F(s, Pad33E, 0x33E, 2, PAD, None)                                                              \
    F(s, OffsetKThreadStackLimit, 0x340, 4, HEX, None)                                             \
    F(s, OffsetKThreadStackBase, 0x344, 4, HEX, None)                                              \
    F(s, OffsetKThreadQueueListEntry, 0x348, 4, HEX, None)                                         \
    F(s, OffsetEThreadIrpList, 0x34C, 4, HEX, None)                                                \
    F(s, OffsetPrcbIdleThread, 0x350, 2, HEX, None)                                                \
    F(s, OffsetPrcbNormalDpcState, 0x352, 2, HEX, None)                                            \
    F(s, OffsetPrcbDpcStack, 0x354, 2, HEX, None)                                                  \
    F(s, OffsetPrcbIsrStack, 0x356, 2, HEX, None)                                                  \
    F(s, SizeKDpcStackFrame, 0x358, 2, HEX, None)                                                  \
    F(s, OffsetKPriQueueThreadListHead, 0x35A, 2, HEX, None)                                       \
    F(s, OffsetKThreadWaitReason, 0x35C, 2, HEX, None)                                             \
    F(s, Pad35E, 0x35E, 2, PAD, None)                                                              \
    F(s, PteBase, 0x360, 8, ADDRESS, None)                                                         \
    F(s, RetpolineStubFunctionTable, 0x368, 8, ADDRESS, None)                                      \
    F(s, RetpolineStubFunctionTableSize, 0x370, 4, HEX, None)                                      \
    F(s, RetpolineStubOffset, 0x374, 4, HEX, None)                                                 \
    F(s, RetpolineStubSize, 0x378, 4, HEX, None)                                                   \
    F(s, OffsetEProcessMmHotPatchContext, 0x37C, 2, HEX, None)                                     \
    F(s, Pad37E, 0x37E, 2, PAD, None)

/* Every structure once, in the order of the tables: X(a, name). */
#define KD_STRUCTURES_WITH(X, a)                                                                   \
    X(a, PacketHeader)                                                                             \
    X(a, Manipulate)                                                                               \
    X(a, None)                                                                                     \
    X(a, ReadMemory)                                                                               \
    X(a, PhysicalMemory)                                                                           \
    X(a, SetContext)                                                                               \
    X(a, WriteBreakPoint)                                                                          \
    X(a, RestoreBreakPoint)                                                                        \
    X(a, Continue)                                                                                 \
    X(a, Continue2Amd64)                                                                           \
    X(a, Continue2X86)                                                                             \
    X(a, Continue2Arm64)                                                                           \
    X(a, IoSpace)                                                                                  \
    X(a, IoSpaceExtended)                                                                          \
    X(a, QuerySpecialCalls)                                                                        \
    X(a, SetSpecialCall)                                                                           \
    X(a, SetInternalBreakPoint)                                                                    \
    X(a, GetInternalBreakPoint)                                                                    \
    X(a, GetVersion)                                                                               \
    X(a, BreakPointEx)                                                                             \
    X(a, BreakPointEntry)                                                                          \
    X(a, HandleEntry)                                                                              \
    X(a, AddressEntry)                                                                             \
    X(a, PageIn)                                                                                   \
    X(a, Msr)                                                                                      \
    X(a, SearchMemory)                                                                             \
    X(a, SearchMemoryReply)                                                                        \
    X(a, BusData)                                                                                  \
    X(a, FillMemory)                                                                               \
    X(a, QueryMemory)                                                                              \
    X(a, SwitchPartition)                                                                          \
    X(a, CustomBreakpoint)                                                                         \
    X(a, ContextEx)                                                                                \
    X(a, StateChange)                                                                              \
    X(a, Exception)                                                                                \
    X(a, LoadSymbols)                                                                              \
    X(a, CommandString)                                                                            \
    X(a, UnknownState)                                                                             \
    X(a, UnknownFileIo)                                                                            \
    X(a, ControlReportAmd64)                                                                       \
    X(a, ControlReportX86)                                                                         \
    X(a, ControlReportArm)                                                                         \
    X(a, ControlReportArm64)                                                                       \
    X(a, ControlReportArm64Watch)                                                                  \
    X(a, DebugIo)                                                                                  \
    X(a, TraceIo)                                                                                  \
    X(a, ControlRequest)                                                                           \
    X(a, FileIo)                                                                                   \
    X(a, CreateFile)                                                                               \
    X(a, ReadFile)                                                                                 \
    X(a, WriteFile)                                                                                \
    X(a, CloseFile)                                                                                \
    X(a, ContextAmd64)                                                                             \
    X(a, FxSave)                                                                                   \
    X(a, ContextX86)                                                                               \
    X(a, ContextArm64)                                                                             \
    X(a, SpecialAmd64)                                                                             \
    X(a, SpecialX86)                                                                               \
    X(a, LoaderEntry64)                                                                            \
    X(a, DosHeader)                                                                                \
    X(a, PeHeader64)                                                                               \
    X(a, DebuggerData64)

/* Every structure: X(name). */
#define KD_STRUCTURES(X)         KD_STRUCTURES_WITH(KD_STRUCTURE_ALONE, X)
#define KD_STRUCTURE_ALONE(X, s) X(s)

/* Their numbers, as kd_structure_at takes them: KD_NUMBER_PacketHeader and so on. */
#define KD_STRUCTURE_NUMBER(s) KD_NUMBER_##s,
enum { KD_STRUCTURES(KD_STRUCTURE_NUMBER) KD_STRUCTURE_COUNT };

/* Every field of every structure: F(structure, field, ...). */
#define KD_STRUCTURE_MAP(F)       KD_STRUCTURES_WITH(KD_STRUCTURE_FIELDS, F)
#define KD_STRUCTURE_FIELDS(F, s) KD_FIELDS_##s(F, s)

#endif
