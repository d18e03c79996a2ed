/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdwire/decode.h"
