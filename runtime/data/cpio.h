/* cpio archives in the "newc" format, which the Linux kernel unpacks as its first file system.
 */
#ifndef VX_DATA_CPIO_H
#define VX_DATA_CPIO_H

#include <stddef.h>

#include "runtime/base/err.h"

/* One thing in the archive; its time is 1970, always. */
struct vx_cpio_entry {
    const char *path; /* as in "etc/passwd" */
    unsigned mode;    /* type and permission bits, as in 0100644 */
    const char *link; /* of a symbolic link */
    const char *file; /* content from this file on the host, or NULL for data */
    const void *data;
    size_t len;
    unsigned major, minor; /* of a device node */
    unsigned owner;        /* user and group id */
};

/* Writes the entries in the order given; the same entries give the same bytes. compress is "none",
 * "gzip", "xz" or "zstd". The file appears under its name when it is whole. The kernel reads
 * several archives in a row if each starts at a multiple of four. Blocks; any thread. */
int vx_cpio_write(const char *out, const struct vx_cpio_entry *entries, size_t count,
                  const char *compress, struct vx_err *err);

#endif
