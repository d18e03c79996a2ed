/* SPDX-License-Identifier: BSD-2-Clause */
#include "protocol.h"

#include <string.h>

#include "engine.h"
#include "kdwire/efi_debug.h"
#include "modules.h"

enum {
    CHUNK = 256,        /* characters narrowed at a time */
    TEXT_MAX = 16384,   /* a text without NUL must not run through all memory */
    COMMAND_MAX = 2048, /* fits one packet with room to spare */
    PROMPT_MAX = 512,
};

static EFI_STATUS status_of(uint64_t result)
{
    if (result == ENGINE_DONE)
        return EFI_SUCCESS;
    return result == ENGINE_NO_DEBUGGER ? EFI_NOT_READY : EFI_INVALID_PARAMETER;
}

static size_t length_of(const char *text, size_t max)
{
    size_t n = 0;

    while (n < max && text[n] != 0)
        n++;
    return n;
}

static EFI_STATUS EFIAPI print_ascii(KDWIRE_DEBUG_PROTOCOL *this, const char *text)
{
    struct engine_text call;

    (void)this;
    if (text == NULL)
        return EFI_INVALID_PARAMETER;
    memset(&call, 0, sizeof call);
    call.text = text;
    call.size = length_of(text, TEXT_MAX);
    return status_of(engine_call(ENGINE_PRINT, &call));
}

static EFI_STATUS EFIAPI print(KDWIRE_DEBUG_PROTOCOL *this, const CHAR16 *text)
{
    EFI_STATUS status = EFI_SUCCESS;
    char narrow[CHUNK + 1];

    if (text == NULL)
        return EFI_INVALID_PARAMETER;
    for (size_t at = 0; at < TEXT_MAX && text[at] != 0 && status == EFI_SUCCESS;) {
        size_t n = 0;

        for (; n < CHUNK && text[at] != 0; n++, at++)
            narrow[n] = text[at] < 0x80 ? (char)text[at] : '?';
        narrow[n] = 0;
        status = print_ascii(this, narrow);
    }
    return status;
}

static EFI_STATUS EFIAPI print_legacy(const CHAR16 *text)
{
    return print(NULL, text);
}

static BOOLEAN EFIAPI is_attached(KDWIRE_DEBUG_PROTOCOL *this)
{
    (void)this;
    return !engine.gone && kd_target_attached(&engine.target);
}

static EFI_STATUS EFIAPI break_now(KDWIRE_DEBUG_PROTOCOL *this)
{
    (void)this;
    return status_of(engine_call(ENGINE_BREAK, NULL));
}

static EFI_STATUS EFIAPI prompt(KDWIRE_DEBUG_PROTOCOL *this, const char *question, char *answer,
                                UINTN *size)
{
    struct engine_text call;
    EFI_STATUS status;

    (void)this;
    if (question == NULL || answer == NULL || size == NULL || *size == 0)
        return EFI_INVALID_PARAMETER;
    call.text = question;
    call.size = length_of(question, PROMPT_MAX);
    call.answer = answer;
    call.answer_size = *size < KD_BODY_MAX / 2 ? *size : KD_BODY_MAX / 2;
    status = status_of(engine_call(ENGINE_PROMPT, &call));
    *size = status == EFI_SUCCESS ? call.answer_size : 0;
    return status;
}

static EFI_STATUS EFIAPI command(KDWIRE_DEBUG_PROTOCOL *this, const char *text)
{
    struct engine_text call;

    (void)this;
    if (text == NULL || length_of(text, COMMAND_MAX) == COMMAND_MAX)
        return EFI_INVALID_PARAMETER;
    memset(&call, 0, sizeof call);
    call.text = text;
    return status_of(engine_call(ENGINE_COMMAND, &call));
}

static EFI_STATUS EFIAPI report_load(KDWIRE_DEBUG_PROTOCOL *this, UINT64 base, UINT64 size,
                                     const char *name)
{
    (void)this;
    switch (modules_add(base, size, name)) {
    case 0:
        return status_of(engine_call(ENGINE_MODULES, NULL));
    case KD_E_EXISTS:
        return EFI_ALREADY_STARTED;
    default:
        return EFI_OUT_OF_RESOURCES;
    }
}

static EFI_STATUS EFIAPI report_unload(KDWIRE_DEBUG_PROTOCOL *this, UINT64 base)
{
    (void)this;
    if (modules_remove(base) != 0)
        return EFI_NOT_FOUND;
    return status_of(engine_call(ENGINE_MODULES, NULL));
}

static EFI_STATUS EFIAPI break_on_load(KDWIRE_DEBUG_PROTOCOL *this, const char *name)
{
    size_t n = name != NULL ? length_of(name, sizeof engine.break_on_load) : 0;
    uint64_t flags;

    (void)this;
    if (n == sizeof engine.break_on_load)
        return EFI_INVALID_PARAMETER;
    flags = cpu_interrupts_off();
    memset(engine.break_on_load, 0, sizeof engine.break_on_load);
    if (n != 0)
        memcpy(engine.break_on_load, name, n);
    cpu_interrupts_restore(flags);
    return EFI_SUCCESS;
}

static const EFI_GUID debug_guid = KDWIRE_DEBUG_PROTOCOL_GUID;
static const EFI_GUID legacy_guid = KDWIRE_LEGACY_DEBUG_PROTOCOL_GUID;

static KDWIRE_DEBUG_PROTOCOL debug_protocol = {
    .Revision = KDWIRE_DEBUG_PROTOCOL_REVISION,
    .Size = sizeof debug_protocol,
    .Print = print,
    .PrintAscii = print_ascii,
    .IsDebuggerAttached = is_attached,
    .Break = break_now,
    .Prompt = prompt,
    .Command = command,
    .ReportLoad = report_load,
    .ReportUnload = report_unload,
    .BreakOnLoad = break_on_load,
};
static KDWIRE_LEGACY_DEBUG_PROTOCOL legacy_protocol = {1, print_legacy};

EFI_STATUS protocol_install(EFI_HANDLE image, EFI_BOOT_SERVICES *boot)
{
    return boot->InstallMultipleProtocolInterfaces(&image, &debug_guid, &debug_protocol,
                                                   &legacy_guid, &legacy_protocol, NULL);
}

void protocol_uninstall(EFI_HANDLE image, EFI_BOOT_SERVICES *boot)
{
    (void)boot->UninstallMultipleProtocolInterfaces(image, &debug_guid, &debug_protocol,
                                                    &legacy_guid, &legacy_protocol, NULL);
}
