/* SHA-256 of bytes and of files. */
#ifndef VX_DATA_DIGEST_H
#define VX_DATA_DIGEST_H

#include <stddef.h>

#include "runtime/base/err.h"

/* 64 lower-case hexadecimal digits and a NUL. */
#define VX_SHA256_HEX 65

/* Any thread. Returns 0, or -1 with err. */
int vx_sha256_bytes(const void *data, size_t len, char hex[VX_SHA256_HEX], struct vx_err *err);
int vx_sha256_file(const char *path, char hex[VX_SHA256_HEX], struct vx_err *err);

#endif
