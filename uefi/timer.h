/* SPDX-License-Identifier: BSD-2-Clause */
/* Time without services: the time stamp counter, measured once against Stall. */
#ifndef KDWIRE_UEFI_TIMER_H
#define KDWIRE_UEFI_TIMER_H

#include <stdint.h>

#include <efi.h>

void timer_init(EFI_BOOT_SERVICES *boot);
uint64_t timer_now(void); /* microseconds since timer_init; never goes back */

#endif
