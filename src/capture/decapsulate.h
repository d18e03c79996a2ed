/* SPDX-License-Identifier: BSD-2-Clause */
/* From a link-layer frame to the KD, KDNET, UDP or TCP payload in it. Private to src/capture. */
#ifndef KDWIRE_CAPTURE_DECAPSULATE_H
#define KDWIRE_CAPTURE_DECAPSULATE_H

#include "capture/capture.h"

/*
 * RECORD holds the link type, the whole frame as payload and, as direction, what the file format
 * says of it. On return payload, content, addresses, ports and direction are those of the innermost
 * layer known; a frame that is damaged or of another kind stays whole as CAPTURE_CONTENT_OTHER.
 */
void capture_decapsulate(struct capture_record *record);

#endif
