/* The requests of sftp.h that are about names, not content. */
#include "runtime/ssh/sftp_internal.h"

#include <string.h>

enum { NAMES_MAX = 16 * 1024 * 1024, NAME_LEN = 4096 };

void vx_sftp_take_stat(const LIBSSH2_SFTP_ATTRIBUTES *from, struct vx_sftp_stat *to)
{
    unsigned long mode = from->flags & LIBSSH2_SFTP_ATTR_PERMISSIONS ? from->permissions : 0;

    *to = (struct vx_sftp_stat){
        .type = LIBSSH2_SFTP_S_ISREG(mode)   ? VX_SFTP_FILE
                : LIBSSH2_SFTP_S_ISDIR(mode) ? VX_SFTP_FOLDER
                : LIBSSH2_SFTP_S_ISLNK(mode) ? VX_SFTP_LINK
                                             : VX_SFTP_OTHER,
        .mode = (unsigned)mode & 07777,
        .size = from->flags & LIBSSH2_SFTP_ATTR_SIZE ? from->filesize : 0,
        .mtime = from->flags & LIBSSH2_SFTP_ATTR_ACMODTIME ? (int64_t)from->mtime : 0
    };
}

static enum vx_sftp_turn do_stat(struct vx_sftp *sftp, int type)
{
    struct vx_sftp_request *r = sftp->request;
    LIBSSH2_SFTP_ATTRIBUTES attrs = { 0 };
    int rc = libssh2_sftp_stat_ex(sftp->sftp, r->path, (unsigned)strlen(r->path), type, &attrs);

    if (rc < 0)
        return vx_sftp_refused(sftp, rc, "cannot look at it");
    vx_sftp_take_stat(&attrs, &r->stat);
    return VX_SFTP_DONE;
}

static enum vx_sftp_turn set_stat(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    LIBSSH2_SFTP_ATTRIBUTES attrs = {
        .flags = LIBSSH2_SFTP_ATTR_PERMISSIONS | LIBSSH2_SFTP_ATTR_ACMODTIME,
        .permissions = r->mode,
        .atime = (unsigned long)r->mtime,
        .mtime = (unsigned long)r->mtime,
    };
    int rc = libssh2_sftp_stat_ex(sftp->sftp, r->path, (unsigned)strlen(r->path),
                                  LIBSSH2_SFTP_SETSTAT, &attrs);

    return rc < 0 ? vx_sftp_refused(sftp, rc, "cannot set its mode and time") : VX_SFTP_DONE;
}

static enum vx_sftp_turn open_folder(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;

    sftp->handle = libssh2_sftp_open_ex(sftp->sftp, r->path, (unsigned)strlen(r->path), 0, 0,
                                        LIBSSH2_SFTP_OPENDIR);
    if (sftp->handle == NULL)
        return vx_sftp_refused(sftp, libssh2_session_last_errno(vx_ssh_handle(sftp->session)),
                               "cannot read the folder");
    return VX_SFTP_DONE;
}

static enum vx_sftp_turn do_list(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    LIBSSH2_SFTP_ATTRIBUTES attrs = { 0 };
    char name[NAME_LEN];
    int rc = 0;

    if (sftp->handle == NULL) {
        enum vx_sftp_turn turn = open_folder(sftp);
        if (turn != VX_SFTP_DONE)
            return turn;
    }
    while ((rc = libssh2_sftp_readdir_ex(sftp->handle, name, sizeof name - 1, NULL, 0,
                                         &attrs)) > 0) {
        struct vx_sftp_stat stat;
        char type = 0;

        name[rc] = '\0';
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        vx_sftp_take_stat(&attrs, &stat);
        type = (char)('0' + stat.type);
        vx_buf_add(&r->names, &type, 1);
        vx_buf_add(&r->names, name, strlen(name) + 1);
        if (r->names.len > NAMES_MAX) {
            vx_err_set(&sftp->outcome, VX_LIMIT, 0, "the folder holds too many names");
            return VX_SFTP_FAILED;
        }
    }
    return rc < 0 ? vx_sftp_refused(sftp, rc, "cannot read the folder") : VX_SFTP_DONE;
}

static enum vx_sftp_turn do_readlink(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    char target[NAME_LEN];
    int rc = libssh2_sftp_symlink_ex(sftp->sftp, r->path, (unsigned)strlen(r->path), target,
                                     sizeof target - 1, LIBSSH2_SFTP_READLINK);

    if (rc < 0)
        return vx_sftp_refused(sftp, rc, "cannot read the link");
    vx_buf_add(&r->text, target, (size_t)rc);
    return VX_SFTP_DONE;
}

/* libssh2 1.10 reports a link that the server made well as an error: the server is asked. */
static enum vx_sftp_turn check_link(struct vx_sftp *sftp)
{
    enum vx_sftp_turn turn = do_readlink(sftp);

    if (turn == VX_SFTP_FAILED)
        sftp->outcome = sftp->refusal;
    if (turn == VX_SFTP_DONE &&
        strcmp(vx_buf_cstr(&sftp->request->text), sftp->request->other) != 0) {
        sftp->outcome = sftp->refusal;
        turn = VX_SFTP_FAILED;
    }
    return turn;
}

static enum vx_sftp_turn do_symlink(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    char path[NAME_LEN];
    enum vx_sftp_turn turn = VX_SFTP_WAIT;
    int rc = 0;

    if (sftp->step == 1)
        return check_link(sftp);
    if (strlen(r->path) >= sizeof path) {
        vx_err_set(&sftp->outcome, VX_LIMIT, 0, "the name is too long");
        return VX_SFTP_FAILED;
    }
    strcpy(path, r->path);
    /* OpenSSH takes the two names the other way round than the draft says, and everybody follows
     * it; libssh2 sends them as they are given. */
    rc = libssh2_sftp_symlink_ex(sftp->sftp, r->other, (unsigned)strlen(r->other), path,
                                 (unsigned)strlen(path), LIBSSH2_SFTP_SYMLINK);
    if (rc >= 0)
        return VX_SFTP_DONE;
    turn = vx_sftp_refused(sftp, rc, "cannot make the link");
    if (turn != VX_SFTP_FAILED || rc != LIBSSH2_ERROR_SFTP_PROTOCOL)
        return turn;
    sftp->refusal = sftp->outcome;
    sftp->outcome = (struct vx_err){ 0 };
    sftp->step = 1;
    return check_link(sftp);
}

/* Version 3 servers refuse to rename onto an existing file: then that one goes first. */
static enum vx_sftp_turn do_rename(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    const unsigned len = (unsigned)strlen(r->path), other_len = (unsigned)strlen(r->other);
    int rc = 0;

    for (;;) {
        if (sftp->step != 1) {
            rc = libssh2_sftp_rename_ex(sftp->sftp, r->path, len, r->other, other_len,
                                        LIBSSH2_SFTP_RENAME_OVERWRITE |
                                            LIBSSH2_SFTP_RENAME_ATOMIC |
                                            LIBSSH2_SFTP_RENAME_NATIVE);
            if (rc == 0)
                return VX_SFTP_DONE;
            if (rc != LIBSSH2_ERROR_SFTP_PROTOCOL || sftp->step == 2)
                return vx_sftp_refused(sftp, rc, "cannot rename it");
            sftp->step = 1;
        }
        rc = libssh2_sftp_unlink_ex(sftp->sftp, r->other, other_len);
        if (rc < 0)
            return vx_sftp_refused(sftp, rc, "cannot replace it");
        sftp->step = 2;
    }
}

enum vx_sftp_turn vx_sftp_small(struct vx_sftp *sftp)
{
    struct vx_sftp_request *r = sftp->request;
    const unsigned len = (unsigned)strlen(r->path);
    int rc = 0;

    switch (r->verb) {
    case VX_SFTP_STAT:
        return do_stat(sftp, LIBSSH2_SFTP_STAT);
    case VX_SFTP_LSTAT:
        return do_stat(sftp, LIBSSH2_SFTP_LSTAT);
    case VX_SFTP_LIST:
        return do_list(sftp);
    case VX_SFTP_MKDIR:
        rc = libssh2_sftp_mkdir_ex(sftp->sftp, r->path, len, (long)r->mode);
        return rc < 0 ? vx_sftp_refused(sftp, rc, "cannot make the folder") : VX_SFTP_DONE;
    case VX_SFTP_RMDIR:
        rc = libssh2_sftp_rmdir_ex(sftp->sftp, r->path, len);
        return rc < 0 ? vx_sftp_refused(sftp, rc, "cannot remove the folder") : VX_SFTP_DONE;
    case VX_SFTP_REMOVE:
        rc = libssh2_sftp_unlink_ex(sftp->sftp, r->path, len);
        return rc < 0 ? vx_sftp_refused(sftp, rc, "cannot remove it") : VX_SFTP_DONE;
    case VX_SFTP_RENAME:
        return do_rename(sftp);
    case VX_SFTP_SYMLINK:
        return do_symlink(sftp);
    case VX_SFTP_READLINK:
        return do_readlink(sftp);
    default:
        return set_stat(sftp);
    }
}
