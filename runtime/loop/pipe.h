/* A bounded queue of bytes between a thread that blocks and the loop, which never does. */
#ifndef VX_LOOP_PIPE_H
#define VX_LOOP_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/loop/loop.h"

/* One direction: either the thread puts and the loop drains, or the loop fills and the thread
 * takes. Held twice, by the loop's side (vx_pipe_new .. vx_pipe_free) and by the thread's
 * (vx_pipe_ref .. vx_pipe_unref): neither has to outlive the other. */
struct vx_pipe;

/* Something changed for the loop's side: bytes or room, the end or a failure of the thread. Runs on
 * the loop thread; one call may stand for several changes. */
typedef void (*vx_pipe_ready_cb)(void *arg);

/* cap is the most bytes ever held. No ready callback yet. Never fails. */
struct vx_pipe *vx_pipe_new(struct vx_loop *loop, size_t cap);

/* Breaks the pipe (see vx_pipe_break) and lets the loop's side go: ready never runs after this.
 * NULL is fine. */
void vx_pipe_free(struct vx_pipe *pipe);

/* The thread's hold: ref on the loop thread before the thread starts, unref when it is done. */
struct vx_pipe *vx_pipe_ref(struct vx_pipe *pipe);
void vx_pipe_unref(struct vx_pipe *pipe);

/* Bytes that went through so far. Any thread. */
uint64_t vx_pipe_total(struct vx_pipe *pipe);

/* ---- the thread's side: these block ---- */

/* Puts all the bytes, waiting for room. Returns 0, or -1 with err when the loop's side broke it. */
int vx_pipe_put(struct vx_pipe *pipe, const void *data, size_t len, struct vx_err *err);

/* Takes at least one byte and at most len. Returns how many, 0 at the end, -1 with err when the
 * loop's side broke it; bytes put before a break are not delivered. */
ssize_t vx_pipe_take(struct vx_pipe *pipe, void *data, size_t len, struct vx_err *err);

/* ---- either side, once, by whoever puts ---- */

/* No more bytes will come. */
void vx_pipe_end(struct vx_pipe *pipe);

/* Either side gives up: the other one's next call, or the one it blocks in, fails with this error.
 * The first failure stays. */
void vx_pipe_break(struct vx_pipe *pipe, const struct vx_err *err);

/* ---- the loop's side: these never block ---- */

/* Who is called from now on; NULL for nobody. It is also called once, later, for what has already
 * happened. */
void vx_pipe_on_ready(struct vx_pipe *pipe, vx_pipe_ready_cb ready, void *arg);

/* The oldest bytes in one piece: stays valid and unchanged until they are dropped. Returns its
 * length, 0 when there are none now. */
size_t vx_pipe_peek(struct vx_pipe *pipe, const char **data);
void vx_pipe_drop(struct vx_pipe *pipe, size_t len);

/* True when the end was put and every byte dropped. */
bool vx_pipe_ended(struct vx_pipe *pipe);

/* Free room in one piece: the loop writes there, then says how much. Returns its length, 0 when the
 * pipe is full. */
size_t vx_pipe_room(struct vx_pipe *pipe, char **data);
void vx_pipe_added(struct vx_pipe *pipe, size_t len);

/* True, with err (may be NULL) filled, when either side broke it. */
bool vx_pipe_broken(struct vx_pipe *pipe, struct vx_err *err);

#endif
