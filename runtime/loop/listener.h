/* A socket of this host that has a path, and whoever connects to it. */
#ifndef VX_LOOP_LISTENER_H
#define VX_LOOP_LISTENER_H

#include "runtime/loop/channel.h"

struct vx_listener;

/* Somebody has connected: vx_listener_accept gives the channel. */
typedef void (*vx_listener_cb)(void *arg);

/* Listens at path, which must not exist; it is removed with the listener. Who may connect is
 * decided by the folder. The caller frees it. NULL with err. */
struct vx_listener *vx_listener_new(struct vx_loop *loop, const char *path,
                                    vx_listener_cb on_ready, void *arg, struct vx_err *err);

/* The channel of the one who connected first; the caller frees it. NULL without err: nobody waits.
 * NULL with err: there is no descriptor left, or the peer is gone already. */
struct vx_channel *vx_listener_accept(struct vx_listener *listener, vx_channel_data_cb on_data,
                                      void *arg, struct vx_err *err);

/* Stops listening and removes the path; no callback runs after this. NULL is fine. */
void vx_listener_free(struct vx_listener *listener);

#endif
