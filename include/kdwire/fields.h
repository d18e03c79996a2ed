/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every structure of the KD protocol, field by field. Included through kdwire/protocol.h.
 *
 * F(structure, field, offset, size, format, names): offset and size in bytes, decimal or hex as
 * the field's documents have it, from the start of the packet body (for structures in target
 * memory: from their own start). Format is an enum kd_format without its prefix; names is a list
 * in protocol.c without its prefix, or None.
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
    F(s, ReturnStatus, 8, 4, STATUS, None)

#define KD_FIELDS_ReadMemory(F, s)                                                                 \
    F(s, TargetBaseAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, TransferCount, 24, 4, DEC, None)                                                          \
    F(s, ActualBytes, 28, 4, DEC, None)

#define KD_FIELDS_PhysicalMemory(F, s)                                                             \
    F(s, TargetBaseAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, TransferCount, 24, 4, DEC, None)                                                          \
    F(s, CacheFlags, 28, 4, ENUM, CacheFlags)

#define KD_FIELDS_SetContext(F, s) F(s, ContextFlags, 16, 4, HEX, None)

#define KD_FIELDS_WriteBreakPoint(F, s)                                                            \
    F(s, BreakPointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, BreakPointHandle, 24, 4, DEC, None)

#define KD_FIELDS_RestoreBreakPoint(F, s) F(s, BreakPointHandle, 16, 4, DEC, None)

#define KD_FIELDS_Continue(F, s)          F(s, ContinueStatus, 16, 4, STATUS, None)

#define KD_FIELDS_Continue2Amd64(F, s)                                                             \
    F(s, ContinueStatus, 16, 4, STATUS, None)                                                      \
    F(s, TraceFlag, 20, 4, BOOL, None)                                                             \
    F(s, Dr7, 24, 8, HEX, None)                                                                    \
    F(s, CurrentSymbolStart, 32, 8, ADDRESS, None)                                                 \
    F(s, CurrentSymbolEnd, 40, 8, ADDRESS, None)

#define KD_FIELDS_Continue2X86(F, s)                                                               \
    F(s, ContinueStatus, 16, 4, STATUS, None)                                                      \
    F(s, TraceFlag, 20, 4, BOOL, None)                                                             \
    F(s, Dr7, 24, 4, HEX, None)                                                                    \
    F(s, CurrentSymbolStart, 28, 4, ADDRESS, None)                                                 \
    F(s, CurrentSymbolEnd, 32, 4, ADDRESS, None)

#define KD_FIELDS_IoSpace(F, s)                                                                    \
    F(s, IoAddress, 16, 8, ADDRESS, None)                                                          \
    F(s, DataSize, 24, 4, DEC, None)                                                               \
    F(s, DataValue, 28, 4, HEX, None)

#define KD_FIELDS_IoSpaceExtended(F, s)                                                            \
    F(s, DataSize, 16, 4, DEC, None)                                                               \
    F(s, InterfaceType, 20, 4, DEC, None)                                                          \
    F(s, BusNumber, 24, 4, DEC, None)                                                              \
    F(s, AddressSpace, 28, 4, DEC, None)                                                           \
    F(s, IoAddress, 32, 8, ADDRESS, None)                                                          \
    F(s, DataValue, 40, 4, HEX, None)

#define KD_FIELDS_QuerySpecialCalls(F, s) F(s, NumberOfSpecialCalls, 16, 4, DEC, None)

#define KD_FIELDS_SetSpecialCall(F, s)    F(s, SpecialCall, 16, 8, ADDRESS, None)

#define KD_FIELDS_SetInternalBreakPoint(F, s)                                                      \
    F(s, BreakpointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, Flags, 24, 4, FLAGS, InternalBreakpoint)

#define KD_FIELDS_GetInternalBreakPoint(F, s)                                                      \
    F(s, BreakpointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, Flags, 24, 4, FLAGS, InternalBreakpoint)                                                  \
    F(s, Calls, 28, 4, DEC, None)                                                                  \
    F(s, MaxCallsPerPeriod, 32, 4, DEC, None)                                                      \
    F(s, MinInstructions, 36, 4, DEC, None)                                                        \
    F(s, MaxInstructions, 40, 4, DEC, None)                                                        \
    F(s, TotalInstructions, 44, 4, DEC, None)

#define KD_FIELDS_GetVersion(F, s)                                                                 \
    F(s, MajorVersion, 16, 2, HEX, None)                                                           \
    F(s, MinorVersion, 18, 2, DEC, None)                                                           \
    F(s, ProtocolVersion, 20, 1, DEC, None)                                                        \
    F(s, KdSecondaryVersion, 21, 1, DEC, None)                                                     \
    F(s, Flags, 22, 2, FLAGS, VersionFlags)                                                        \
    F(s, MachineType, 24, 2, ENUM, MachineType)                                                    \
    F(s, MaxPacketType, 26, 1, DEC, None)                                                          \
    F(s, MaxStateChange, 27, 1, HEX, None)                                                         \
    F(s, MaxManipulate, 28, 1, HEX, None)                                                          \
    F(s, Simulation, 29, 1, ENUM, Simulation)                                                      \
    F(s, Unused, 30, 2, HEX, None)                                                                 \
    F(s, KernBase, 32, 8, ADDRESS, None)                                                           \
    F(s, PsLoadedModuleList, 40, 8, ADDRESS, None)                                                 \
    F(s, DebuggerDataList, 48, 8, ADDRESS, None)

#define KD_FIELDS_BreakPointEx(F, s)                                                               \
    F(s, BreakPointCount, 16, 4, DEC, None)                                                        \
    F(s, ContinueStatus, 20, 4, STATUS, None)

/* One element of the data of WriteBreakPointEx. */
#define KD_FIELDS_BreakPointEntry(F, s)                                                            \
    F(s, Address, 0, 8, ADDRESS, None)                                                             \
    F(s, Handle, 8, 4, DEC, None)                                                                  \
    F(s, Pad, 12, 4, HEX, None)

#define KD_FIELDS_PageIn(F, s)                                                                     \
    F(s, Address, 16, 8, ADDRESS, None)                                                            \
    F(s, ContinueStatus, 24, 4, STATUS, None)

#define KD_FIELDS_Msr(F, s)                                                                        \
    F(s, Msr, 16, 4, HEX, None)                                                                    \
    F(s, DataValueLow, 20, 4, HEX, None)                                                           \
    F(s, DataValueHigh, 24, 4, HEX, None)

#define KD_FIELDS_SearchMemory(F, s)                                                               \
    F(s, SearchAddress, 16, 8, ADDRESS, None) /* reply: FoundAddress */                            \
    F(s, SearchLength, 24, 8, DEC, None)                                                           \
    F(s, PatternLength, 32, 4, DEC, None)

#define KD_FIELDS_BusData(F, s)                                                                    \
    F(s, BusDataType, 16, 4, ENUM, BusDataType)                                                    \
    F(s, BusNumber, 20, 4, DEC, None)                                                              \
    F(s, SlotNumber, 24, 4, HEX, None)                                                             \
    F(s, Offset, 28, 4, HEX, None)                                                                 \
    F(s, Length, 32, 4, DEC, None)

#define KD_FIELDS_FillMemory(F, s)                                                                 \
    F(s, Address, 16, 8, ADDRESS, None)                                                            \
    F(s, Length, 24, 4, DEC, None)                                                                 \
    F(s, Flags, 28, 2, FLAGS, FillFlags)                                                           \
    F(s, PatternLength, 30, 2, DEC, None)

#define KD_FIELDS_QueryMemory(F, s)                                                                \
    F(s, Address, 16, 8, ADDRESS, None)                                                            \
    F(s, Reserved, 24, 8, HEX, None)                                                               \
    F(s, AddressSpace, 32, 4, ENUM, AddressSpace)                                                  \
    F(s, Flags, 36, 4, FLAGS, MemoryFlags)

#define KD_FIELDS_SwitchPartition(F, s) F(s, Partition, 16, 4, DEC, None)

#define KD_FIELDS_CustomBreakpoint(F, s)                                                           \
    F(s, BreakPointAddress, 16, 8, ADDRESS, None)                                                  \
    F(s, BreakPointInstruction, 24, 8, HEX, None)                                                  \
    F(s, BreakPointHandle, 32, 4, DEC, None)                                                       \
    F(s, BreakPointInstructionSize, 36, 1, DEC, None)                                              \
    F(s, BreakPointInstructionAlignment, 37, 1, DEC, None)

#define KD_FIELDS_ContextEx(F, s)                                                                  \
    F(s, Offset, 16, 4, DEC, None)                                                                 \
    F(s, ByteCount, 20, 4, DEC, None)                                                              \
    F(s, BytesCopied, 24, 4, DEC, None)

/* STATE_CHANGE64: common part, one union (offset 0x20) per NewState, then the control report. */
#define KD_FIELDS_StateChange(F, s)                                                                \
    F(s, NewState, 0x00, 4, ENUM, StateChange)                                                     \
    F(s, ProcessorLevel, 0x04, 2, DEC, None)                                                       \
    F(s, Processor, 0x06, 2, DEC, None)                                                            \
    F(s, NumberProcessors, 0x08, 4, DEC, None)                                                     \
    F(s, Thread, 0x10, 8, ADDRESS, None)                                                           \
    F(s, ProgramCounter, 0x18, 8, ADDRESS, None)

#define KD_FIELDS_Exception(F, s)                                                                  \
    F(s, ExceptionCode, 0x20, 4, STATUS, None)                                                     \
    F(s, ExceptionFlags, 0x24, 4, HEX, None)                                                       \
    F(s, ExceptionRecord, 0x28, 8, ADDRESS, None)                                                  \
    F(s, ExceptionAddress, 0x30, 8, ADDRESS, None)                                                 \
    F(s, NumberParameters, 0x38, 4, DEC, None)                                                     \
    F(s, ExceptionInformation, 0x40, 120, BYTES, None) /* u64[15] */                               \
    F(s, FirstChance, 0xB8, 4, BOOL, None)

#define KD_FIELDS_LoadSymbols(F, s)                                                                \
    F(s, PathNameLength, 0x20, 4, DEC, None)                                                       \
    F(s, BaseOfDll, 0x28, 8, ADDRESS, None)                                                        \
    F(s, ProcessId, 0x30, 8, HEX, None)                                                            \
    F(s, CheckSum, 0x38, 4, HEX, None)                                                             \
    F(s, SizeOfImage, 0x3C, 4, HEX, None)                                                          \
    F(s, UnloadSymbols, 0x40, 1, BOOL, None)

#define KD_FIELDS_CommandString(F, s)                                                              \
    F(s, Flags, 0x20, 4, HEX, None)                                                                \
    F(s, Reserved1, 0x24, 4, HEX, None)                                                            \
    F(s, Reserved2, 0x28, 56, BYTES, None)

#define KD_FIELDS_ControlReportAmd64(F, s)                                                         \
    F(s, Dr6, 0xC0, 8, HEX, None)                                                                  \
    F(s, Dr7, 0xC8, 8, HEX, None)                                                                  \
    F(s, EFlags, 0xD0, 4, HEX, None)                                                               \
    F(s, InstructionCount, 0xD4, 2, DEC, None)                                                     \
    F(s, ReportFlags, 0xD6, 2, FLAGS, ReportFlags)                                                 \
    F(s, InstructionStream, 0xD8, 16, BYTES, None)                                                 \
    F(s, SegCs, 0xE8, 2, HEX, None)                                                                \
    F(s, SegDs, 0xEA, 2, HEX, None)                                                                \
    F(s, SegEs, 0xEC, 2, HEX, None)                                                                \
    F(s, SegFs, 0xEE, 2, HEX, None)

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
    F(s, LengthOfData, 8, 4, DEC, None)

#define KD_FIELDS_ControlRequest(F, s)                                                             \
    F(s, ApiNumber, 0, 4, ENUM, ControlRequest)                                                    \
    F(s, HardwareBreakPointNumber, 4, 4, DEC, None)                                                \
    F(s, Available, 8, 4, DEC, None)

#define KD_FIELDS_FileIo(F, s)                                                                     \
    F(s, ApiNumber, 0, 4, ENUM, FileIo)                                                            \
    F(s, Status, 4, 4, STATUS, None)

#define KD_FIELDS_CreateFile(F, s)                                                                 \
    F(s, DesiredAccess, 8, 4, HEX, None)                                                           \
    F(s, FileAttributes, 12, 4, HEX, None)                                                         \
    F(s, ShareAccess, 16, 4, HEX, None)                                                            \
    F(s, CreateDisposition, 20, 4, DEC, None)                                                      \
    F(s, CreateOptions, 24, 4, HEX, None)                                                          \
    F(s, Handle, 32, 8, HEX, None)                                                                 \
    F(s, Length, 40, 8, DEC, None)

#define KD_FIELDS_ReadFile(F, s)                                                                   \
    F(s, Handle, 8, 8, HEX, None)                                                                  \
    F(s, Offset, 16, 8, DEC, None)                                                                 \
    F(s, Length, 24, 4, DEC, None)

#define KD_FIELDS_WriteFile(F, s)                                                                  \
    F(s, Handle, 8, 8, HEX, None)                                                                  \
    F(s, Offset, 16, 8, DEC, None)                                                                 \
    F(s, Length, 24, 4, DEC, None)

#define KD_FIELDS_CloseFile(F, s) F(s, Handle, 8, 8, HEX, None)

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
    F(s, EFlags, 0x44, 4, HEX, None)                                                               \
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
    F(s, FltSave, 0x100, 512, BYTES, None)        /* FXSAVE image */                               \
    F(s, VectorRegister, 0x300, 416, BYTES, None) /* 26 of 16 bytes */                             \
    F(s, VectorControl, 0x4A0, 8, HEX, None)                                                       \
    F(s, DebugControl, 0x4A8, 8, HEX, None)                                                        \
    F(s, LastBranchToRip, 0x4B0, 8, ADDRESS, None)                                                 \
    F(s, LastBranchFromRip, 0x4B8, 8, ADDRESS, None)                                               \
    F(s, LastExceptionToRip, 0x4C0, 8, ADDRESS, None)                                              \
    F(s, LastExceptionFromRip, 0x4C8, 8, ADDRESS, None)

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
    F(s, GdtrLimit, 0x56, 2, HEX, None)                                                            \
    F(s, GdtrBase, 0x58, 8, ADDRESS, None)                                                         \
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
    F(s, MsrFsBase, 0xE0, 8, ADDRESS, None) /* newer Windows 10 only */

/* Loader entry reached from PsLoadedModuleList (64-bit). */
#define KD_FIELDS_LoaderEntry64(F, s)                                                              \
    F(s, Flink, 0x00, 8, ADDRESS, None)                                                            \
    F(s, Blink, 0x08, 8, ADDRESS, None)                                                            \
    F(s, ExceptionTable, 0x10, 8, ADDRESS, None)                                                   \
    F(s, ExceptionTableSize, 0x18, 4, HEX, None)                                                   \
    F(s, GpValue, 0x20, 8, HEX, None)                                                              \
    F(s, NonPagedDebugInfo, 0x28, 8, ADDRESS, None)                                                \
    F(s, DllBase, 0x30, 8, ADDRESS, None)                                                          \
    F(s, EntryPoint, 0x38, 8, ADDRESS, None)                                                       \
    F(s, SizeOfImage, 0x40, 4, HEX, None)                                                          \
    F(s, FullDllNameLength, 0x48, 2, DEC, None)                                                    \
    F(s, FullDllNameMaximum, 0x4A, 2, DEC, None)                                                   \
    F(s, FullDllNameBuffer, 0x50, 8, ADDRESS, None)                                                \
    F(s, BaseDllNameLength, 0x58, 2, DEC, None)                                                    \
    F(s, BaseDllNameMaximum, 0x5A, 2, DEC, None)                                                   \
    F(s, BaseDllNameBuffer, 0x60, 8, ADDRESS, None)                                                \
    F(s, Flags, 0x68, 4, HEX, None)                                                                \
    F(s, LoadCount, 0x6C, 2, DEC, None)                                                            \
    F(s, SectionPointer, 0x70, 8, ADDRESS, None)                                                   \
    F(s, CheckSum, 0x78, 4, HEX, None)                                                             \
    F(s, LoadedImports, 0x80, 8, ADDRESS, None)

/* Every structure: X(name). The order is the order of the tables. */
#define KD_STRUCTURES(X)                                                                           \
    X(PacketHeader)                                                                                \
    X(Manipulate)                                                                                  \
    X(ReadMemory)                                                                                  \
    X(PhysicalMemory)                                                                              \
    X(SetContext)                                                                                  \
    X(WriteBreakPoint)                                                                             \
    X(RestoreBreakPoint)                                                                           \
    X(Continue)                                                                                    \
    X(Continue2Amd64)                                                                              \
    X(Continue2X86)                                                                                \
    X(IoSpace)                                                                                     \
    X(IoSpaceExtended)                                                                             \
    X(QuerySpecialCalls)                                                                           \
    X(SetSpecialCall)                                                                              \
    X(SetInternalBreakPoint)                                                                       \
    X(GetInternalBreakPoint)                                                                       \
    X(GetVersion)                                                                                  \
    X(BreakPointEx)                                                                                \
    X(BreakPointEntry)                                                                             \
    X(PageIn)                                                                                      \
    X(Msr)                                                                                         \
    X(SearchMemory)                                                                                \
    X(BusData)                                                                                     \
    X(FillMemory)                                                                                  \
    X(QueryMemory)                                                                                 \
    X(SwitchPartition)                                                                             \
    X(CustomBreakpoint)                                                                            \
    X(ContextEx)                                                                                   \
    X(StateChange)                                                                                 \
    X(Exception)                                                                                   \
    X(LoadSymbols)                                                                                 \
    X(CommandString)                                                                               \
    X(ControlReportAmd64)                                                                          \
    X(DebugIo)                                                                                     \
    X(TraceIo)                                                                                     \
    X(ControlRequest)                                                                              \
    X(FileIo)                                                                                      \
    X(CreateFile)                                                                                  \
    X(ReadFile)                                                                                    \
    X(WriteFile)                                                                                   \
    X(CloseFile)                                                                                   \
    X(ContextAmd64)                                                                                \
    X(SpecialAmd64)                                                                                \
    X(LoaderEntry64)

/* Every field of every structure, for lists of constants. */
#define KD_STRUCTURE_MAP(F)                                                                           \
    KD_FIELDS_PacketHeader(F, PacketHeader) KD_FIELDS_Manipulate(F, Manipulate) KD_FIELDS_ReadMemory( \
        F, ReadMemory) KD_FIELDS_PhysicalMemory(F,                                                    \
                                                PhysicalMemory) KD_FIELDS_SetContext(F,               \
                                                                                     SetContext)      \
        KD_FIELDS_WriteBreakPoint(F, WriteBreakPoint) KD_FIELDS_RestoreBreakPoint(                    \
            F, RestoreBreakPoint) KD_FIELDS_Continue(F, Continue)                                     \
            KD_FIELDS_Continue2Amd64(F, Continue2Amd64) KD_FIELDS_Continue2X86(                       \
                F,                                                                                    \
                Continue2X86) KD_FIELDS_IoSpace(F,                                                    \
                                                IoSpace) KD_FIELDS_IoSpaceExtended(F,                 \
                                                                                   IoSpaceExtended)   \
                KD_FIELDS_QuerySpecialCalls(F, QuerySpecialCalls) KD_FIELDS_SetSpecialCall(           \
                    F, SetSpecialCall) KD_FIELDS_SetInternalBreakPoint(F, SetInternalBreakPoint)      \
                    KD_FIELDS_GetInternalBreakPoint(                                                  \
                        F, GetInternalBreakPoint) KD_FIELDS_GetVersion(F, GetVersion)                 \
                        KD_FIELDS_BreakPointEx(F, BreakPointEx) KD_FIELDS_BreakPointEntry(            \
                            F, BreakPointEntry) KD_FIELDS_PageIn(F, PageIn) KD_FIELDS_Msr(F, Msr)     \
                            KD_FIELDS_SearchMemory(F, SearchMemory) KD_FIELDS_BusData(                \
                                F, BusData) KD_FIELDS_FillMemory(F, FillMemory)                       \
                                KD_FIELDS_QueryMemory(F, QueryMemory) KD_FIELDS_SwitchPartition(      \
                                    F,                                                                \
                                    SwitchPartition) KD_FIELDS_CustomBreakpoint(F,                    \
                                                                                CustomBreakpoint)     \
                                    KD_FIELDS_ContextEx(F, ContextEx) KD_FIELDS_StateChange(          \
                                        F, StateChange) KD_FIELDS_Exception(F, Exception)             \
                                        KD_FIELDS_LoadSymbols(                                        \
                                            F, LoadSymbols) KD_FIELDS_CommandString(F,                \
                                                                                    CommandString)    \
                                            KD_FIELDS_ControlReportAmd64(F, ControlReportAmd64)       \
                                                KD_FIELDS_DebugIo(F, DebugIo) KD_FIELDS_TraceIo(      \
                                                    F, TraceIo)                                       \
                                                    KD_FIELDS_ControlRequest(                         \
                                                        F,                                            \
                                                        ControlRequest) KD_FIELDS_FileIo(F,           \
                                                                                         FileIo)      \
                                                        KD_FIELDS_CreateFile(                         \
                                                            F,                                        \
                                                            CreateFile) KD_FIELDS_ReadFile(F,         \
                                                                                           ReadFile)  \
                                                            KD_FIELDS_WriteFile(F, WriteFile)         \
                                                                KD_FIELDS_CloseFile(F, CloseFile)     \
                                                                    KD_FIELDS_ContextAmd64(           \
                                                                        F, ContextAmd64)              \
                                                                        KD_FIELDS_SpecialAmd64(       \
                                                                            F, SpecialAmd64)          \
                                                                            KD_FIELDS_LoaderEntry64(  \
                                                                                F, LoaderEntry64)

#endif
