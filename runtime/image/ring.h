/* A bounded queue of bytes between two threads that both block. */
#ifndef VX_IMAGE_RING_H
#define VX_IMAGE_RING_H

#include <stddef.h>
#include <sys/types.h>

#include "runtime/base/err.h"

struct vx_ring;

/* Holds at most cap bytes. Never fails. The caller frees it once no thread uses it. */
struct vx_ring *vx_ring_new(size_t cap);
void vx_ring_free(struct vx_ring *ring);

/* Puts all the bytes, waiting for room. Returns 0, or -1 with err when the ring was broken. */
int vx_ring_put(struct vx_ring *ring, const void *data, size_t len, struct vx_err *err);

/* Takes at least one byte and at most len. Returns how many, 0 at the end, -1 with err when the
 * ring was broken. */
ssize_t vx_ring_take(struct vx_ring *ring, void *data, size_t len, struct vx_err *err);

/* No more bytes will come. */
void vx_ring_end(struct vx_ring *ring);

/* Either side gives up: every call of the other fails with this error, which is copied. The first
 * failure stays. */
void vx_ring_break(struct vx_ring *ring, const struct vx_err *err);

#endif
