/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdwire/protocol.h"
