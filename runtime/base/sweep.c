#include "runtime/base/sweep.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "runtime/base/proc.h"

enum { LOOK_EVERY_MS = 20, SETTLE_MS = 100, GIVE_UP_MS = 8000 };

static void pause_ms(int ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
}

static bool listed(const struct vx_buf *pids, pid_t pid)
{
    for (size_t at = 0; at < pids->len; at += sizeof pid) {
        if (memcmp(pids->data + at, &pid, sizeof pid) == 0)
            return true;
    }
    return false;
}

/* Kills what names the paths; returns how many do, or -1. killed lists those signalled so far. */
static int kill_round(const char *const *paths, struct vx_buf *killed, struct vx_proc *last,
                      struct vx_err *err)
{
    struct vx_buf found = { 0 };
    int count = 0;
    int rc = vx_proc_find(paths, &found, err);

    for (size_t at = 0; at < found.len; at += sizeof *last) {
        memcpy(last, found.data + at, sizeof *last);
        count++;
        if (vx_proc_kill(last->pid, paths) && !listed(killed, last->pid))
            vx_buf_add(killed, &last->pid, sizeof last->pid);
    }
    vx_buf_free(&found);
    return rc != 0 ? -1 : count;
}

static int kill_all(const char *const *paths, bool settle, unsigned *count, struct vx_err *err)
{
    struct vx_buf killed = { 0 };
    struct vx_proc last = { 0 };
    int quiet = 0;
    int waited = 0;
    int rc = 0;

    while (rc == 0 && quiet < (settle ? 2 : 1)) {
        int found = kill_round(paths, &killed, &last, err);
        int pause = found > 0 ? LOOK_EVERY_MS : SETTLE_MS;

        quiet = found == 0 ? quiet + 1 : 0;
        if (found < 0) {
            rc = -1;
        } else if (found > 0 && waited > GIVE_UP_MS) {
            rc = vx_err_set(err, VX_TIMEOUT, 0, "process %ld (%s) cannot be killed",
                            (long)last.pid, last.name);
        } else if (found > 0 || (settle && quiet < 2)) {
            pause_ms(pause);
            waited += pause;
        }
    }
    *count = (unsigned)(killed.len / sizeof(pid_t));
    vx_buf_free(&killed);
    return rc;
}

/* Refuses what no run of ours could have registered: to kill by such a name would hit others. */
static int check_paths(const char *const *paths, struct vx_err *err)
{
    for (; *paths != NULL; paths++) {
        const char *second = (*paths)[0] == '/' ? strchr(*paths + 1, '/') : NULL;

        if (second == NULL || second[1] == '\0' || strstr(*paths, "/..") != NULL)
            return vx_err_set(err, VX_UNSAFE, 0, "refused to remove %s", *paths);
    }
    return 0;
}

static int remove_path(const char *path, unsigned *removed, struct vx_err *err)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : vx_err_errno(err, errno, "cannot remove %s", path);
    if (st.st_uid != geteuid())
        return vx_err_set(err, VX_UNSAFE, 0, "refused to remove %s: it is another user's",
                          path);
    if (vx_file_remove_tree(path, err) != 0)
        return -1;
    ++*removed;
    return 0;
}

int vx_sweep(const char *const *paths, bool settle, struct vx_sweep *done, struct vx_err *err)
{
    int rc = 0;

    *done = (struct vx_sweep){ 0 };
    if (check_paths(paths, err) != 0)
        return -1;
    rc = kill_all(paths, settle, &done->killed, err);
    for (; *paths != NULL; paths++) {
        struct vx_err why;

        if (remove_path(*paths, &done->removed, &why) != 0 && rc == 0) {
            rc = -1;
            if (err != NULL)
                *err = why;
        }
    }
    return rc;
}
