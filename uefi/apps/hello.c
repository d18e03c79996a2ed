/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hello.efi: a UEFI application with everything one can do to talk to the debugger behind
 * windbg.efi. It runs without one, too.
 *
 *     hello.efi [break] [count=N] [loop]
 *
 * Try, from the debugger:   lm            hello is listed, with its PDB
 *                           bp hello!hello_tick; g
 *                           r; k; dq hello!total L1
 */
#include <efi.h>

#include <kdwire/efi_debug.h>

#define DEFAULT_COUNT   5u
#define TEXT_MAX        80u
#define PAUSE_MICROSECS 100000u

static EFI_SYSTEM_TABLE *st;
static KDWIRE_DEBUG_PROTOCOL *debug; /* NULL: no debug engine is loaded */

/* What the loop adds up; a good variable to watch (ba w8 hello!total). */
volatile uint64_t total;

/* Says a line of text on the console and in the debugger's window. */
static void print_line(const CHAR16 *text)
{
    static CHAR16 end[] = L"\r\n";

    st->ConOut->OutputString(st->ConOut, text);
    st->ConOut->OutputString(st->ConOut, end);
    if (debug != NULL) {
        debug->Print(debug, text);
        debug->PrintAscii(debug, "\n");
    }
}

/* "before NUMBER after" as a line. */
static void print_number(const CHAR16 *before, uint64_t number, const CHAR16 *after)
{
    CHAR16 line[TEXT_MAX];
    CHAR16 digits[20];
    unsigned at = 0, n = 0;

    do {
        digits[n++] = (CHAR16)(L'0' + number % 10);
        number /= 10;
    } while (number != 0);
    while (*before != 0 && at < TEXT_MAX - sizeof digits / sizeof digits[0] - 1)
        line[at++] = *before++;
    while (n > 0)
        line[at++] = digits[--n];
    while (*after != 0 && at < TEXT_MAX - 1)
        line[at++] = *after++;
    line[at] = 0;
    print_line(line);
}

/*
 * One round of the loop. Not inlined, so that a breakpoint on it hits once per round.
 * In C one would make it static; here the debugger should find it by its name.
 */
uint64_t hello_tick(uint64_t round);
__attribute__((noinline)) uint64_t hello_tick(uint64_t round)
{
    total += round;
    return total;
}

/*
 * Looks for `word` among the load options: UCS-2 text, perhaps without a NUL, as long as the
 * firmware says. Returns the number behind "word=" (decimal), 1 for a bare word, or `otherwise`.
 */
static uint64_t option(const EFI_LOADED_IMAGE_PROTOCOL *loaded, const CHAR16 *word,
                       uint64_t otherwise)
{
    const CHAR16 *text = loaded->LoadOptions;
    size_t length = text != NULL ? loaded->LoadOptionsSize / sizeof *text : 0;
    size_t at, i;

    for (at = 0; at < length; at++) {
        for (i = 0; word[i] != 0 && i < length - at && text[at + i] == word[i]; i++) {
        }
        if (word[i] != 0)
            continue;
        if (i == length - at || text[at + i] != L'=')
            return 1;
        otherwise = 0;
        for (i++; i < length - at && text[at + i] >= L'0' && text[at + i] <= L'9'; i++)
            otherwise = otherwise * 10 + (uint64_t)(text[at + i] - L'0');
        return otherwise;
    }
    return otherwise;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID debug_guid = KDWIRE_DEBUG_PROTOCOL_GUID;
    static const EFI_GUID loaded_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    EFI_STATUS status;
    uint64_t round, count;

    st = system;
    status = st->BootServices->HandleProtocol(image, &loaded_guid, (void **)&loaded);
    if (EFI_ERROR(status))
        return status;
    if (EFI_ERROR(st->BootServices->LocateProtocol(&debug_guid, NULL, (void **)&debug)))
        debug = NULL;

    print_line(L"hello from hello.efi");
    if (debug == NULL)
        print_line(L"no debug engine is loaded: start windbg.efi first");
    else if (debug->IsDebuggerAttached(debug))
        print_line(L"a debugger is attached");
    else
        print_line(L"no debugger has called yet");

    /* Works with or without the protocol; debug->Break(debug) would do the same. */
    if (option(loaded, L"break", 0) != 0)
        __asm__ volatile("int3");

    count = option(loaded, L"loop", 0) != 0 ? UINT64_MAX : option(loaded, L"count", DEFAULT_COUNT);
    for (round = 1; round <= count && round != 0; round++) {
        print_number(L"hello: the total is ", hello_tick(round), L"");
        st->BootServices->Stall(PAUSE_MICROSECS);
    }
    print_line(L"hello.efi is done");
    return EFI_SUCCESS;
}
