/* ISO 9660 images: a few files for a guest to read, such as cloud-init's. */
#ifndef VX_DATA_ISO_H
#define VX_DATA_ISO_H

#include <stddef.h>

#include "runtime/base/err.h"

struct vx_iso_file {
    const char *name; /* as in "user-data"; folders by slashes */
    const void *data;
    size_t len;
};

/* Writes an image with Joliet and Rock Ridge names, mode 0600: it may hold secrets. `volume` is
 * what the guest finds it by. The file appears under its name when it is whole, and is not
 * synced: it belongs to a guest. Blocks; any thread. */
int vx_iso_write(const char *out, const char *volume, const struct vx_iso_file *files,
                 size_t count, struct vx_err *err);

#endif
