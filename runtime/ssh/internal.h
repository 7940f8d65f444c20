/* What the files of this folder share: the session's pump, and the machines that hang on it.
 *
 * A machine (struct vx_ssh_op) is something that makes libssh2 calls until they are done: a
 * command, a file transfer, the log-in. Its step() runs on every turn in which its session
 * received bytes or could send some; it makes the calls that are due and returns when one says
 * EAGAIN.
 *
 * libssh2 never sees a full socket: what the kernel does not take is kept in the session and
 * sent later, so that EAGAIN always means "nothing has arrived yet" and a call that returned it
 * may be repeated in any order with the calls of other machines. In return, whoever sends much
 * asks vx_ssh_room() first and stops when there is none; step() runs again when there is. */
#ifndef VX_SSH_INTERNAL_H
#define VX_SSH_INTERNAL_H

#include <libssh2.h>
#include <stdint.h>

#include "runtime/base/buf.h"
#include "runtime/base/list.h"
#include "runtime/loop/timer.h"
#include "runtime/loop/watch.h"
#include "runtime/ssh/session.h"

struct vx_ssh_op {
    struct vx_link link;
    struct vx_session *session;
    /* May stop itself or others, and free what it belongs to. */
    void (*step)(struct vx_ssh_op *op);
    /* The session is over; runs once and after it step never does. The op is stopped already.
     * It must forget its libssh2 handles (the session frees them) and make no libssh2 call. */
    void (*lost)(struct vx_ssh_op *op, const struct vx_err *err);
};

/* Hangs the op on the session's pump. Its step runs when something arrives: make the first call
 * between enter and leave, or ask vx_ssh_soon().
 * Returns -1 with err when the session is not ready or over. */
int vx_ssh_op_start(struct vx_session *session, struct vx_ssh_op *op, struct vx_err *err);
/* Takes it off; harmless when repeated. It lets go of the opening turn too. */
void vx_ssh_op_stop(struct vx_ssh_op *op);

/* Around libssh2 calls made outside of step(): nested pairs are fine. leave sends what was
 * written, and may end the session as lost, but runs no step and no lost: those come from the
 * loop. */
void vx_ssh_enter(struct vx_session *session);
void vx_ssh_leave(struct vx_session *session);

/* All ops are stepped once more, from the loop, even if nothing arrives. */
void vx_ssh_soon(struct vx_session *session);

/* The handle for libssh2 calls; legal between op_start and stop or lost. */
LIBSSH2_SESSION *vx_ssh_handle(struct vx_session *session);

/* How many bytes may be handed to libssh2 now; 0 means wait for a step. */
size_t vx_ssh_room(const struct vx_session *session);

/* Opening a channel (libssh2_channel_open_ex, libssh2_sftp_init) keeps its state in the
 * session, so only one op may be at it. true: it is op's turn until it gives it back or stops.
 * false: ask again in a later step. Keep the turn until libssh2 has said success or failure,
 * also if the result is not wanted any more. */
bool vx_ssh_turn_take(struct vx_ssh_op *op);
void vx_ssh_turn_give(struct vx_ssh_op *op);

/* Servers bound the channels of a session (MaxSessions). Call opened after an open succeeded
 * and closed when that channel is freed. refused: the server said no to an open
 * (CHANNEL_FAILURE): true means that others are open, and the op should ask again in later
 * steps: turn_take says when. */
void vx_ssh_channel_opened(struct vx_session *session);
void vx_ssh_channel_closed(struct vx_session *session);
bool vx_ssh_channel_refused(struct vx_session *session);

/* For a libssh2 return code below 0 that is not EAGAIN. true: it ended the session, so just
 * return: lost will be called from the loop. false: only this call failed, and err says so:
 * `what` is the beginning of the message ("cannot open a channel"). */
bool vx_ssh_failed(struct vx_session *session, int rc, struct vx_err *err, const char *what);

/* True once the session is over or about to be, so that nothing libssh2 says can be believed.
 */
bool vx_ssh_over(const struct vx_session *session);

/* Frees a channel that the server has closed already. Nobody waits for this to arrive, so
 * that it may
 * go out with whatever is sent next. Returns libssh2's code. */
int vx_ssh_channel_free(struct vx_session *session, LIBSSH2_CHANNEL *channel);

/* Keeps the struct (not the connection) alive; op_start holds one reference by itself. */
struct vx_session *vx_ssh_ref(struct vx_session *session);
void vx_ssh_unref(struct vx_session *session);

/* Receive window of channels. */
#define VX_SSH_WINDOW (2u * 1024 * 1024)
/* What libssh2 takes in one write. */
#define VX_SSH_PACKET 32700u

#endif
