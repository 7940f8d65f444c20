/* cpio archives in the "newc" format, which the Linux kernel unpacks as its first file system.
 */
#ifndef VX_DATA_CPIO_H
#define VX_DATA_CPIO_H

#include <stdbool.h>
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

struct vx_cpio_opts {
    const char *compress; /* "none" (or NULL), "gzip", "xz" or "zstd" */
    const char *after; /* a file whose content goes first, padded to where the kernel looks */
    unsigned mode;     /* permissions of the file, 0644 when 0 */
    bool scratch;      /* it need not outlive a crash of the host: not synced */
};

/* Writes the entries in the order given; the same entries give the same bytes. The file appears
 * under its name when it is whole. The kernel reads several archives in a row, each of which starts
 * at a multiple of four. Blocks; any thread. */
int vx_cpio_write(const char *out, const struct vx_cpio_entry *entries, size_t count,
                  const struct vx_cpio_opts *opts, struct vx_err *err);

#endif
