/* Whole files over SFTP. libssh2 keeps as many requests in flight as fit the buffer of one call, so
 * the calls here are given large ones. The files themselves are read and written by a thread at the
 * other end of the pipe: a slow disk never holds up the loop. */
#include "runtime/ssh/sftp_internal.h"

#include <string.h>

enum { GET_CHUNK = 1024 * 1024, PUT_CHUNK = 1024 * 1024 };

static enum vx_sftp_turn open_file(struct vx_sftp *sftp, unsigned long flags, long mode)
{
    struct vx_sftp_request *r = sftp->request;

    sftp->handle = libssh2_sftp_open_ex(sftp->sftp, r->path, (unsigned)strlen(r->path), flags,
                                        mode, LIBSSH2_SFTP_OPENFILE);
    if (sftp->handle == NULL)
        return vx_sftp_refused(sftp, libssh2_session_last_errno(vx_ssh_handle(sftp->session)),
                               flags & LIBSSH2_FXF_WRITE ? "cannot make it" : "cannot open it");
    return VX_SFTP_DONE;
}

static enum vx_sftp_turn check_file(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    LIBSSH2_SFTP_ATTRIBUTES attrs = { 0 };
    int rc = libssh2_sftp_fstat_ex(sftp->handle, &attrs, 0);

    if (rc < 0)
        return vx_sftp_refused(sftp, rc, "cannot look at it");
    vx_sftp_take_stat(&attrs, &r->stat);
    if (r->stat.type != VX_SFTP_FILE) {
        vx_err_set(&sftp->outcome, VX_UNSAFE, 0, "it is not a file");
        return VX_SFTP_FAILED;
    }
    return VX_SFTP_DONE;
}

/* Hands what was read to the pipe; false while it is full. */
static bool pass_on(struct vx_sftp *sftp)
{
    while (sftp->chunk_given < sftp->chunk_len) {
        char *to = NULL;
        size_t room = vx_pipe_room(sftp->request->pipe, &to);
        size_t left = sftp->chunk_len - sftp->chunk_given;

        if (room == 0)
            return false;
        room = room < left ? room : left;
        memcpy(to, sftp->chunk + sftp->chunk_given, room);
        vx_pipe_added(sftp->request->pipe, room);
        sftp->chunk_given += room;
    }
    return true;
}

static enum vx_sftp_turn read_on(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    ssize_t got = 0;

    if (sftp->chunk == NULL)
        sftp->chunk = vx_alloc(GET_CHUNK);
    while (pass_on(sftp)) {
        got = libssh2_sftp_read(sftp->handle, sftp->chunk, GET_CHUNK);
        if (got < 0)
            return vx_sftp_refused(sftp, got, "cannot read it");
        if (got == 0) {
            vx_pipe_end(r->pipe);
            return VX_SFTP_DONE;
        }
        sftp->chunk_len = (size_t)got;
        sftp->chunk_given = 0;
        sftp->moved += (size_t)got;
        if (sftp->moved > r->max) {
            vx_err_set(&sftp->outcome, VX_LIMIT, 0, "it is larger than max_bytes allows");
            return VX_SFTP_FAILED;
        }
    }
    return VX_SFTP_WAIT;
}

enum vx_sftp_turn vx_sftp_get(struct vx_sftp *sftp)
{
    enum vx_sftp_turn turn = VX_SFTP_DONE;

    if (vx_pipe_broken(sftp->request->pipe, &sftp->outcome))
        return VX_SFTP_FAILED;
    if (sftp->step == 0) {
        turn = open_file(sftp, LIBSSH2_FXF_READ, 0);
        sftp->step += turn == VX_SFTP_DONE;
    }
    if (sftp->step == 1) {
        turn = check_file(sftp);
        sftp->step += turn == VX_SFTP_DONE;
    }
    return sftp->step == 2 ? read_on(sftp) : turn;
}

static enum vx_sftp_turn write_on(struct vx_sftp *sftp)
{
    struct vx_pipe *pipe = sftp->request->pipe;
    const char *data = NULL;
    size_t len = 0;

    while ((len = vx_pipe_peek(pipe, &data)) > 0) {
        ssize_t done = 0;

        if (vx_ssh_room(sftp->session) == 0)
            return VX_SFTP_WAIT;
        /* After EAGAIN libssh2 wants the same bytes again: they stay in the pipe until it has
         * the server's word for them. */
        done = libssh2_sftp_write(sftp->handle, data, len < PUT_CHUNK ? len : PUT_CHUNK);
        if (done < 0)
            return vx_sftp_refused(sftp, done, "cannot write it");
        vx_pipe_drop(pipe, (size_t)done);
        sftp->moved += (size_t)done;
    }
    if (vx_pipe_broken(pipe, &sftp->outcome))
        return VX_SFTP_FAILED;
    return vx_pipe_ended(pipe) ? VX_SFTP_DONE : VX_SFTP_WAIT;
}

enum vx_sftp_turn vx_sftp_put(struct vx_sftp *sftp)
{
    if (vx_pipe_broken(sftp->request->pipe, &sftp->outcome))
        return VX_SFTP_FAILED;
    if (sftp->step == 0) {
        enum vx_sftp_turn turn =
            open_file(sftp, LIBSSH2_FXF_WRITE | LIBSSH2_FXF_CREAT | LIBSSH2_FXF_EXCL,
                      (long)sftp->request->mode);
        if (turn != VX_SFTP_DONE)
            return turn;
        sftp->step = 1;
    }
    return write_on(sftp);
}
