/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors: one list of negative codes for the whole project. A function that can fail returns an
 * int: 0 (KD_OK) or above is success, below 0 is one of these. A new error is one line here.
 */
#ifndef KDWIRE_ERROR_H
#define KDWIRE_ERROR_H

/* X(name, value, text): the text completes the sentence "cannot do that: ...". */
#define KD_ERROR_MAP(X)                                                                            \
    X(KD_E_TRUNCATED, -1, "fewer bytes than the structure needs")                                  \
    X(KD_E_TOO_LONG, -2, "longer than the protocol allows")                                        \
    X(KD_E_BUSY, -3, "another operation is still under way")                                       \
    X(KD_E_TIMEOUT, -4, "no answer in time")                                                       \
    X(KD_E_REFUSED, -5, "the target refused the request")                                          \
    X(KD_E_RUNNING, -6, "the target is running; break in first")                                   \
    X(KD_E_STOPPED, -7, "the target is stopped")                                                   \
    X(KD_E_RESET, -8, "the target restarted while the request was under way")                      \
    X(KD_E_ARGUMENT, -9, "an argument is outside its range")                                       \
    X(KD_E_UNSUPPORTED, -10, "not supported")                                                      \
    X(KD_E_NO_MEMORY, -11, "out of memory")                                                        \
    X(KD_E_NO_SPACE, -12, "the buffer or table is full")                                           \
    X(KD_E_NOT_FOUND, -13, "not found")                                                            \
    X(KD_E_EXISTS, -14, "exists already")                                                          \
    X(KD_E_FORMAT, -15, "not in the expected form")                                                \
    X(KD_E_IO, -16, "input or output failed")                                                      \
    X(KD_E_CLOSED, -17, "the connection is closed")                                                \
    X(KD_E_CANCELLED, -18, "cancelled")                                                            \
    X(KD_E_FAULT, -19, "the memory is not accessible")                                             \
    X(KD_E_NOT_AUTHENTIC, -20, "not authentic: made with another key, or changed on the way")      \
    X(KD_E_NO_SESSION, -21, "no session key: the debugger's response was not seen")

enum kd_error {
    KD_OK = 0,
#define KD_ERROR_ENUM(name, value, text) name = (value),
    KD_ERROR_MAP(KD_ERROR_ENUM)
#undef KD_ERROR_ENUM
};

/* The code's name ("KD_E_TIMEOUT") and its text; both static, never NULL. */
const char *kd_error_name(int code);
const char *kd_error_text(int code);

#endif
