/* Decompression: gzip, xz, zstd, lz4, bzip2, whatever the bytes themselves say. */
#ifndef VX_DATA_UNPACK_H
#define VX_DATA_UNPACK_H

#include <stddef.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

/* Adds the content of len compressed bytes to out; bytes that are not compressed are added as
 * they are. More than max bytes is an error of kind VX_LIMIT. Blocks; any thread. */
int vx_unpack(const void *data, size_t len, size_t max, struct vx_buf *out, struct vx_err *err);

#endif
