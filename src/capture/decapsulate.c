/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/recorder.h"
