/* What happens to the bytes of a download: a thread decompresses them, another makes their digest
 * and writes them. */
#ifndef VX_IMAGE_STAGES_H
#define VX_IMAGE_STAGES_H

#include "runtime/image/fetch.h"

struct vx_stages;

/* Starts the threads; the caller ends them. NULL with err. */
struct vx_stages *vx_stages_start(struct vx_fetch *fetch, struct vx_err *err);

/* The next bytes of the download, waiting for room. Returns 0, or -1 with err when one of the
 * threads has failed. */
int vx_stages_put(struct vx_stages *stages, const void *data, size_t len, struct vx_err *err);

/* Waits for the threads and frees all. why NULL: there are no more bytes, and the digests are
 * filled in; otherwise they are stopped. Returns 0, or -1 with err when one of them has failed. */
int vx_stages_end(struct vx_stages *stages, const struct vx_err *why, struct vx_err *err);

#endif
