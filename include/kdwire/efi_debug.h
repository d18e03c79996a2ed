/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For programs that run on UEFI firmware and want to talk to the debugger behind windbg.efi.
 *
 * Self-contained: include it after the header that defines EFI_STATUS, EFI_GUID, EFIAPI, CHAR16,
 * UINT64, UINTN and BOOLEAN: EDK2's <Uefi.h>, gnu-efi's <efi.h>, or kdwire's own efi.h. Find it
 * with
 *
 *     EFI_GUID guid = KDWIRE_DEBUG_PROTOCOL_GUID;
 *     KDWIRE_DEBUG_PROTOCOL *debug;
 *     if (LocateProtocol(&guid, NULL, (VOID **)&debug) == EFI_SUCCESS)
 *         debug->PrintAscii(debug, "hello from my driver\n");
 *
 * Not found means that no debug engine is loaded: run on without it. Every function may be called
 * at any TPL, with interrupts on or off, on the boot processor, until ExitBootServices; texts are
 * copied before the call returns. While no debugger is connected, nothing blocks for longer than
 * the engine's configured patience and the call returns EFI_NOT_READY.
 * An int3 in the program, with or without this protocol, stops in the debugger as well.
 */
#ifndef KDWIRE_EFI_DEBUG_H
#define KDWIRE_EFI_DEBUG_H

#define KDWIRE_DEBUG_PROTOCOL_GUID                                                                 \
    {                                                                                              \
        0x6e2f7a51, 0x93c4, 0x4d0b,                                                                \
        {                                                                                          \
            0xa8, 0x1d, 0x5b, 0x0c, 0x42, 0xe9, 0x76, 0xf3                                         \
        }                                                                                          \
    }

#define KDWIRE_DEBUG_PROTOCOL_REVISION 1

typedef struct KDWIRE_DEBUG_PROTOCOL KDWIRE_DEBUG_PROTOCOL;

struct KDWIRE_DEBUG_PROTOCOL {
    UINT64 Revision; /* KDWIRE_DEBUG_PROTOCOL_REVISION of the engine; newer ones only append */
    UINT64 Size;     /* bytes of this structure that the engine has: check before newer members */

    /* Text to the debugger's command window (DbgPrint), UCS-2 or 8-bit, NUL-terminated. Use \n. */
    EFI_STATUS(EFIAPI *Print)(KDWIRE_DEBUG_PROTOCOL *This, const CHAR16 *Text);
    EFI_STATUS(EFIAPI *PrintAscii)(KDWIRE_DEBUG_PROTOCOL *This, const char *Text);

    /* Whether a debugger has answered the engine since it last fell silent. */
    BOOLEAN(EFIAPI *IsDebuggerAttached)(KDWIRE_DEBUG_PROTOCOL *This);

    /* Stops here as at an int3; returns when the debugger says go. */
    EFI_STATUS(EFIAPI *Break)(KDWIRE_DEBUG_PROTOCOL *This);

    /* Shows QUESTION and waits for the line that the user types: at most *SIZE bytes with the NUL;
     * *SIZE becomes the length without it. EFI_NOT_READY when no debugger is attached. */
    EFI_STATUS(EFIAPI *Prompt)
    (KDWIRE_DEBUG_PROTOCOL *This, const char *Question, char *Answer, UINTN *Size);

    /* The debugger executes COMMAND ("k;g" or ".reload") and then goes on. */
    EFI_STATUS(EFIAPI *Command)(KDWIRE_DEBUG_PROTOCOL *This, const char *Command);

    /* For loaders that bring code into memory without LoadImage: makes it a module with symbols.
     * Base is a PE image in memory; NAME NULL = take the PDB's name. EFI_OUT_OF_RESOURCES when the
     * engine's table is full, EFI_ALREADY_STARTED when a module is known at BASE. */
    EFI_STATUS(EFIAPI *ReportLoad)
    (KDWIRE_DEBUG_PROTOCOL *This, UINT64 Base, UINT64 Size, const char *Name);
    EFI_STATUS(EFIAPI *ReportUnload)(KDWIRE_DEBUG_PROTOCOL *This, UINT64 Base);

    /* Stop when a module of this name (without extension, any case) is loaded next, before its
     * entry point runs; NULL or "" = never. The last call counts. */
    EFI_STATUS(EFIAPI *BreakOnLoad)(KDWIRE_DEBUG_PROTOCOL *This, const char *Name);
};

/* The older interface known from other UEFI engines; kept so that their programs still print. */
#define KDWIRE_LEGACY_DEBUG_PROTOCOL_GUID                                                          \
    {                                                                                              \
        0xd6ef2483, 0xa5de, 0x4fa4,                                                                \
        {                                                                                          \
            0x8b, 0xc3, 0x83, 0x92, 0x50, 0xb6, 0xff, 0xfd                                         \
        }                                                                                          \
    }

typedef struct {
    UINT64 Revision; /* 1 */
    EFI_STATUS(EFIAPI *OutputMsg)(const CHAR16 *Text);
} KDWIRE_LEGACY_DEBUG_PROTOCOL;

#endif
