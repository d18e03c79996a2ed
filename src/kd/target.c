/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdwire/target.h"
