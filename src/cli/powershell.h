/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a script in the system's PowerShell. */
#ifndef KDWIRE_CLI_POWERSHELL_H
#define KDWIRE_CLI_POWERSHELL_H

/* Waits for its end; what it says goes to standard error. CLI_DONE, or CLI_FAILED after saying why.
 */
int powershell_run(const char *script);

#endif
