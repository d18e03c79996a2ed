/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdwire/stream.h"
