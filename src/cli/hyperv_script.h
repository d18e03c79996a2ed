/* SPDX-License-Identifier: BSD-2-Clause */
/* The PowerShell that prepares a VM of Hyper-V for debugging, or undoes it. No I/O. */
#ifndef KDWIRE_CLI_HYPERV_SCRIPT_H
#define KDWIRE_CLI_HYPERV_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

enum hyperv_wire { HYPERV_COM, HYPERV_VMBUS, HYPERV_HVSOCK };

enum {
    HYPERV_NAME_MAX = 100, /* Hyper-V's own limit for a VM's name */
    HYPERV_PATH_MAX = 260, /* MAX_PATH of the cmdlets */
    /* Larger than the longest; encoded for a command line it is below Windows' limit of 32767. */
    HYPERV_SCRIPT_MAX = 8000,
};

struct hyperv_plan {
    const char *vm;
    const char *pipe;   /* \\.\pipe\NAME */
    const char *disk;   /* NULL: the VM exists */
    const char *windbg; /* where it is; NULL: Windows finds it by its name */
    const char *relay;  /* the command that offers the channel, for people; NULL with COM */
    enum hyperv_wire wire;
    bool start;      /* the VM and WinDbg, too */
    bool runs_relay; /* who runs the script is the relay afterwards, and starts WinDbg itself */
    bool undo;
};

struct hyperv_script {
    size_t size;
    char text[HYPERV_SCRIPT_MAX];
};

void hyperv_script_make(struct hyperv_script *script, const struct hyperv_plan *plan);

#endif
