#include "runtime/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

/* Each level of a tree being removed holds a descriptor. */
#define MAX_DEPTH 200

#define WRITE_BEHIND ((off_t)16 * 1024 * 1024)

int vx_file_mkdir_p(const char *path, mode_t mode, struct vx_err *err)
{
    char *copy = vx_strdup(path);
    struct stat st;
    int rc = 0;

    for (char *at = copy + 1; *copy != '\0' && rc == 0; at++) {
        char old = *at;

        if (old != '/' && old != '\0')
            continue;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST) {
            int code = errno;
            /* A parent on a read-only or foreign file system may exist all the same. */
            if (stat(copy, &st) != 0 || !S_ISDIR(st.st_mode))
                rc = vx_err_errno(err, code, "cannot make the folder %s", copy);
        }
        *at = old;
        if (old == '\0')
            break;
    }
    if (rc == 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        rc = vx_err_errno(err, ENOTDIR, "cannot make the folder %s", path);
    free(copy);
    return rc;
}

int vx_file_read(const char *path, size_t max, struct vx_buf *buf, struct vx_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t start = buf->len;
    ssize_t len = 0;
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(err, errno, "cannot open %s", path);
    for (;;) {
        len = read(fd, vx_buf_room(buf, 65536), 65536);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            break;
        vx_buf_added(buf, (size_t)len);
        if (buf->len - start > max) {
            rc = vx_err_set(err, VX_LIMIT, 0, "%s is larger than %zu bytes", path, max);
            break;
        }
    }
    if (len < 0)
        rc = vx_err_errno(err, errno, "cannot read %s", path);
    close(fd);
    return rc;
}

int vx_file_write(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t sent = write(fd, at, len);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        at += sent;
        len -= (size_t)sent;
    }
    return 0;
}

void vx_file_write_behind(int fd, off_t *begun, off_t end)
{
    if (end - *begun < WRITE_BEHIND)
        return;
#ifdef SYNC_FILE_RANGE_WRITE
    sync_file_range(fd, *begun, end - *begun, SYNC_FILE_RANGE_WRITE);
#else
    (void)fd;
#endif
    *begun = end;
}

int vx_file_temp(const char *path, mode_t mode, char **temp, struct vx_err *err)
{
    unsigned char salt[6];
    int fd = -1;

    if (vx_random(salt, sizeof salt, err) != 0)
        return -1;
    *temp = vx_strfmt("%s.tmp-%02x%02x%02x%02x%02x%02x", path, salt[0], salt[1], salt[2],
                      salt[3], salt[4], salt[5]);
    fd = open(*temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        vx_err_errno(err, errno, "cannot create %s", *temp);
        free(*temp);
        *temp = NULL;
    }
    return fd;
}

/* The rename itself must reach the disk: its folder is synced too. */
static void sync_folder(const char *path)
{
    char *folder = vx_strdup(path);
    char *slash = strrchr(folder, '/');
    int fd = -1;

    if (slash != NULL)
        *(slash == folder ? slash + 1 : slash) = '\0';
    fd = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems cannot; the file is in place either way */
        close(fd);
    }
    free(folder);
}

int vx_file_commit(int fd, const char *temp, const char *path, bool sync, struct vx_err *err)
{
    int code = sync && fsync(fd) != 0 ? errno : 0;

    if (close(fd) != 0 && code == 0)
        code = errno;
    if (code == 0 && rename(temp, path) != 0)
        code = errno;
    if (code != 0) {
        unlink(temp);
        return vx_err_errno(err, code, "cannot write %s", path);
    }
    if (sync)
        sync_folder(path);
    return 0;
}

int vx_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                         struct vx_err *err)
{
    char *temp = NULL;
    int fd = vx_file_temp(path, mode, &temp, err);
    int rc = 0;

    if (fd < 0)
        return -1;
    /* fchmod: the umask must not take away what was asked for. */
    if (vx_file_write(fd, data, len) != 0 || fchmod(fd, mode) != 0) {
        rc = vx_err_errno(err, errno, "cannot write %s", path);
        close(fd);
        unlink(temp);
    } else {
        rc = vx_file_commit(fd, temp, path, true, err);
    }
    free(temp);
    return rc;
}

static int remove_entry(int parent, const char *name, int depth, struct vx_err *err);

static int remove_content(int fd, const char *name, int depth, struct vx_err *err)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry = NULL;
    int rc = 0;

    if (dir == NULL) {
        rc = vx_err_errno(err, errno, "cannot list %s", name);
        close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_entry(dirfd(dir), entry->d_name, depth + 1, err);
    }
    if (rc == 0 && errno != 0)
        rc = vx_err_errno(err, errno, "cannot list %s", name);
    closedir(dir);
    return rc;
}

/* Opens a folder that is to be emptied; one that its owner may not list or change is made so. */
static int open_folder(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;
    int fd = openat(parent, name, flags);

    if (fd < 0 && errno == EACCES && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode) && fchmodat(parent, name, S_IRWXU, 0) == 0)
        return openat(parent, name, flags);
    /* If this fails, the removal of what is inside does, and says why. */
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IRWXU) != S_IRWXU)
        (void)fchmod(fd, S_IRWXU);
    return fd;
}

static int remove_entry(int parent, const char *name, int depth, struct vx_err *err)
{
    int fd = -1;

    /* Linux says EISDIR for a folder, POSIX and macOS EPERM. */
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return vx_err_errno(err, errno, "cannot remove %s", name);
    if (depth > MAX_DEPTH)
        return vx_err_set(err, VX_LIMIT, 0,
                          "cannot remove %s: it is nested deeper than %d folders", name,
                          MAX_DEPTH);
    fd = open_folder(parent, name);
    if (fd < 0) /* ENOENT: another process is removing it, too */
        return errno == ENOENT ? 0 : vx_err_errno(err, errno, "cannot remove %s", name);
    if (remove_content(fd, name, depth, err) != 0)
        return -1;
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return vx_err_errno(err, errno, "cannot remove %s", name);
    return 0;
}

int vx_file_remove_tree(const char *path, struct vx_err *err)
{
    return remove_entry(AT_FDCWD, path, 0, err);
}

int vx_random(void *data, size_t len, struct vx_err *err)
{
    char *at = data;

    while (len > 0) {
        size_t piece = len < 256 ? len : 256; /* getentropy gives no more at once */

        if (getentropy(at, piece) != 0)
            return vx_err_errno(err, errno, "cannot get random bytes from the system");
        at += piece;
        len -= piece;
    }
    return 0;
}
