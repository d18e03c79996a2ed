/* SPDX-License-Identifier: BSD-2-Clause */
#include "hyperv_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmbus/guid.h"

static void put(struct hyperv_script *script, const char *text)
{
    size_t size = strlen(text);
    if (size < sizeof(script->text) - script->size) { /* always: names and paths are bounded */
        memcpy(script->text + script->size, text, size + 1);
        script->size += size;
    }
}

static void line(struct hyperv_script *script, const char *text)
{
    put(script, text);
    put(script, "\n");
}

/* A PowerShell string in single quotes: only the quote itself is special, and it is doubled. So are
 * the typographic ones, which PowerShell takes for quotes as well. */
static void quoted(struct hyperv_script *script, const char *text)
{
    put(script, "'");
    for (; *text; text++) {
        bool typographic = !strncmp(text, "\xE2\x80\x98", 3) || !strncmp(text, "\xE2\x80\x99", 3) ||
                           !strncmp(text, "\xE2\x80\x9A", 3) || !strncmp(text, "\xE2\x80\x9B", 3);
        char one[] = {text[0], text[0] == '\'' ? '\'' : '\0', '\0'};
        char pair[] = {text[0], text[1], text[2], text[0], text[1], text[2], '\0'};
        if (typographic) {
            put(script, pair);
            text += 2;
        } else {
            put(script, one);
        }
    }
    put(script, "'");
}

static void assign(struct hyperv_script *script, const char *variable, const char *value)
{
    put(script, variable);
    put(script, " = ");
    quoted(script, value);
    put(script, "\n");
}

/* What must hold before anything is changed. */
static void put_checks(struct hyperv_script *script, const struct hyperv_plan *plan)
{
    line(script, "if (-not (Get-Command Get-VM -ErrorAction SilentlyContinue)) { throw 'Hyper-V or "
                 "its PowerShell module is not installed on this machine' }");
    if (plan->wire != HYPERV_COM)
        line(
            script,
            "if (-not ([Security.Principal.WindowsPrincipal]"
            "[Security.Principal.WindowsIdentity]::GetCurrent()).IsInRole("
            "[Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'only an elevated "
            "administrator may do this: open PowerShell or a console with Run as administrator' }");
}

static void put_service(struct hyperv_script *script)
{
    char service[VMBUS_GUID_TEXT];
    vmbus_guid_text(&vmbus_kdwire_type, service);
    line(script, "# Hyper-V connects guests only to services that are registered.");
    put(script, "$key = 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\"
                "GuestCommunicationServices\\");
    put(script, service);
    line(script, "'");
    line(script, "if (-not (Test-Path $key)) { New-Item -Path $key | Out-Null }");
    line(script, "Set-ItemProperty -Path $key -Name ElementName -Value 'kdwire kernel debugger'");
}

static void put_setup(struct hyperv_script *script, const struct hyperv_plan *plan)
{
    if (plan->disk) {
        put(script, "if (-not (Get-VM -Name $vm -ErrorAction SilentlyContinue)) { New-VM -Name $vm "
                    "-Generation 2 -MemoryStartupBytes 512MB -VHDPath ");
        quoted(script, plan->disk);
        line(script, " | Out-Null }");
    }
    line(script, "if ((Get-VM -Name $vm).Generation -ne 2) { throw \"$vm is not a Generation 2 "
                 "VM\" }");
    line(script, "# Secure Boot can only be changed while the VM is off.");
    line(script, "if ((Get-VMFirmware -VMName $vm).SecureBoot -ne 'Off') {");
    line(script, "    if ((Get-VM -Name $vm).State -ne 'Off') { throw \"turn $vm off first: Secure "
                 "Boot must be turned off\" }");
    line(script, "    Set-VMFirmware -VMName $vm -EnableSecureBoot Off");
    line(script, "}\n"); /* 'powershell -Command -' needs the empty line to see the block's end */
    if (plan->wire == HYPERV_COM) {
        line(script, "Set-VMComPort -VMName $vm -Number 1 -Path $pipe");
    } else {
        line(script, "# What the engine falls back to; $pipe itself is made by the relay.");
        line(script, "Set-VMComPort -VMName $vm -Number 1 -Path \"$pipe-com\"");
    }
    if (plan->wire == HYPERV_HVSOCK)
        put_service(script);
}

static void put_start(struct hyperv_script *script, const struct hyperv_plan *plan)
{
    if (plan->start)
        line(script, "if ((Get-VM -Name $vm).State -ne 'Running') { Start-VM -Name $vm }");
    if (plan->relay) {
        line(script,
             "# A channel can only be offered to a running VM. In another elevated window:");
        put(script, "#   ");
        line(script, plan->relay);
    }
    if (plan->runs_relay)
        return;
    if (plan->start) {
        put(script, "Start-Process -FilePath ");
        quoted(script, plan->windbg ? plan->windbg : "windbg");
        line(script, " -ArgumentList '-k', \"com:pipe,port=$pipe,resets=0,reconnect\"");
    } else {
        line(script, "Write-Output \"Start the VM, then: windbg -k "
                     "com:pipe,port=$pipe,resets=0,reconnect\"");
    }
}

static void put_undo(struct hyperv_script *script)
{
    line(script, "Set-VMComPort -VMName $vm -Number 1 -Path ''");
    line(script, "if ((Get-VM -Name $vm).State -eq 'Off') { Set-VMFirmware -VMName $vm "
                 "-EnableSecureBoot On }");
    line(script, "else { Write-Output \"Secure Boot of $vm can be turned on again when it is "
                 "off\" }");
}

void hyperv_script_make(struct hyperv_script *script, const struct hyperv_plan *plan)
{
    script->size = 0;
    line(script, "# For an elevated PowerShell on the Hyper-V host.");
    line(script, "$ErrorActionPreference = 'Stop'");
    assign(script, "$vm", plan->vm);
    if (plan->undo) {
        put_undo(script);
        return;
    }
    assign(script, "$pipe", plan->pipe);
    put_checks(script, plan);
    put_setup(script, plan);
    put_start(script, plan);
}
