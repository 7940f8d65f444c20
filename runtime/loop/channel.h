/* A two-way connection to whoever listens on a socket of this host that has a path. */
#ifndef VX_LOOP_CHANNEL_H
#define VX_LOOP_CHANNEL_H

#include <stddef.h>

#include "runtime/loop/loop.h"

struct vx_channel;

/* What came; len 0 is the end, once, and err says why when it was not the peer's doing. */
typedef void (*vx_channel_data_cb)(const char *data, size_t len, const struct vx_err *err,
                                   void *arg);

/* Connects to the socket at path; what is written before it is connected waits. That it could not
 * be is told by on_data. The caller frees it. NULL with err: the path is longer than a socket's may
 * be (some 107 bytes), or there is no descriptor left. */
struct vx_channel *vx_channel_open(struct vx_loop *loop, const char *path,
                                   vx_channel_data_cb on_data, void *arg, struct vx_err *err);

/* Sends bytes, which are copied. What cannot be sent shows as the channel's end. */
int vx_channel_write(struct vx_channel *channel, const char *data, size_t len,
                     struct vx_err *err);

/* How many bytes have been written that the peer's side has not taken yet. */
size_t vx_channel_unsent(const struct vx_channel *channel);

/* Stops reading, so that a peer faster than its reader blocks; resume reads on. Both are harmless
 * when repeated. */
void vx_channel_pause(struct vx_channel *channel);
void vx_channel_resume(struct vx_channel *channel);

/* Closes it; what was not sent is dropped, and no callback runs after this. NULL is fine. */
void vx_channel_free(struct vx_channel *channel);

#endif
