/* Decompression of one stream as it comes: xz, zstd, gzip or bzip2, whatever its bytes say. */
#ifndef VX_DATA_INFLATE_H
#define VX_DATA_INFLATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/err.h"

/* Gives at least one and at most len next bytes. Returns how many, 0 at the end, -1 with err. */
typedef ssize_t (*vx_inflate_read_cb)(void *data, size_t len, void *arg, struct vx_err *err);

/* Takes the next bytes of what comes out. Returns 0, or -1 with err, which ends it. */
typedef int (*vx_inflate_write_cb)(const void *data, size_t len, void *arg, struct vx_err *err);

struct vx_inflate {
    vx_inflate_read_cb read;
    void *read_arg;
    vx_inflate_write_cb write;
    void *write_arg;
    uint64_t max; /* more bytes than this is an error of kind VX_LIMIT */
};

/* Runs it to its end. A stream that is cut off or is not compressed is kind VX_FORMAT. Blocks; any
 * thread. Returns 0, or -1 with err. */
int vx_inflate_run(const struct vx_inflate *inflate, struct vx_err *err);

#endif
