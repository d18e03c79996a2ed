/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machines of this host, as Hyper-V tells of them by WMI (root\virtualization\v2). */
#ifndef KDWIRE_IO_WINDOWS_WMI_H
#define KDWIRE_IO_WINDOWS_WMI_H

#include "../endpoint.h"

/*
 * Finds the VM that is called NAME (in either case, as Hyper-V compares). Blocks until WMI has
 * answered: for a thread that may wait. KD_OK, or with MESSAGE filled in
 *   KD_E_NOT_FOUND    there is none, as far as this user may see
 *   KD_E_EXISTS       there are several: only a GUID tells which
 *   KD_E_UNSUPPORTED  no Hyper-V on this machine
 *   KD_E_REFUSED      this user may not ask
 *   KD_E_TIMEOUT, KD_E_IO, KD_E_NO_MEMORY
 */
int wmi_find_vm(const char *name, struct vmbus_guid *vm, char message[ENDPOINT_MESSAGE_MAX]);

#endif
