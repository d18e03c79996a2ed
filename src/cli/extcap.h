/* SPDX-License-Identifier: BSD-2-Clause */
/* Wireshark's external capture interface; see extcap.c. */
#ifndef KDWIRE_CLI_EXTCAP_H
#define KDWIRE_CLI_EXTCAP_H

#include <stdbool.h>

/* Whether Wireshark is asking: all its questions have an option --extcap-SOMETHING. */
bool is_extcap(int argc, char **argv);

/* Answers, or captures until Wireshark stops. An exit code of cli.h. */
int run_extcap(int argc, char **argv);

#endif
