#include "runtime/data/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/tree.h"

#define FOLDER_NAMES (64u * 1024 * 1024) /* bytes of folder names kept until the end */

/* Modes and times of folders are set last: filling a folder changes them. */
struct untar_folder {
    char *path;
    size_t order; /* of its entry: the last one counts */
    mode_t mode;
    time_t mtime;
};

int vx_untar_refuse(struct unpacking *u, enum vx_kind kind, int code, const char *why)
{
    struct vx_buf shown = { 0 };

    vx_tree_name(&shown, u->shown != NULL ? u->shown : "the archive");
    if (code != 0)
        vx_err_errno(u->err, code, "%s: %s", vx_buf_cstr(&shown), why);
    else
        vx_err_set(u->err, kind, 0, "%s: %s", vx_buf_cstr(&shown), why);
    vx_buf_free(&shown);
    return -1;
}

int vx_untar_open_folder(struct unpacking *u, const char *path, size_t path_len, bool make)
{
    char part[NAME_MAX + 1];
    int fd = dup(u->root), next = -1;

    while (fd >= 0 && path_len > 0) {
        const char *slash = memchr(path, '/', path_len);
        size_t len = slash != NULL ? (size_t)(slash - path) : path_len;

        if (len > NAME_MAX) {
            close(fd);
            return vx_untar_refuse(u, VX_LIMIT, 0, "a name that is too long");
        }
        memcpy(part, path, len);
        part[len] = '\0';
        path += len + (slash != NULL);
        path_len -= len + (slash != NULL);
        if (make && mkdirat(fd, part, 0700) != 0 && errno != EEXIST) {
            close(fd);
            return vx_untar_refuse(u, VX_SYSTEM, errno, "cannot make its folder");
        }
        next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            int code = errno;
            close(fd);
            if (code == ELOOP || code == ENOTDIR || code == ENOENT)
                return vx_untar_refuse(u, VX_UNSAFE, 0,
                                       "its way leads through something that is not a folder");
            return vx_untar_refuse(u, VX_SYSTEM, code, "cannot open its folder");
        }
        close(fd);
        fd = next;
    }
    return fd >= 0 ? fd : vx_untar_refuse(u, VX_SYSTEM, errno, "cannot open the folder");
}

/* The folder that holds the entry, kept open: the next entry is mostly in the same one. */
int vx_untar_open_parent(struct unpacking *u, const char **name)
{
    const char *slash = strrchr(u->path.data, '/');
    size_t len = slash != NULL ? (size_t)(slash - u->path.data) : 0;

    *name = slash != NULL ? slash + 1 : u->path.data;
    if (strlen(*name) > NAME_MAX)
        return vx_untar_refuse(u, VX_LIMIT, 0, "a name that is too long");
    if (u->parent >= 0 && u->parent_path.len == len &&
        memcmp(vx_buf_cstr(&u->parent_path), u->path.data, len) == 0)
        return 0;
    if (u->parent >= 0)
        close(u->parent);
    u->parent = vx_untar_open_folder(u, u->path.data, len, true);
    u->parent_path.len = 0;
    vx_buf_add(&u->parent_path, u->path.data, len);
    return u->parent >= 0 ? 0 : -1;
}

int vx_untar_make_folder(struct unpacking *u, struct archive_entry *entry)
{
    int fd = vx_untar_open_folder(u, vx_buf_cstr(&u->path), u->path.len, true);

    if (fd < 0)
        return -1;
    close(fd);
    u->folder_bytes += u->path.len + sizeof *u->folders;
    if (u->folder_bytes > FOLDER_NAMES)
        return vx_untar_refuse(u, VX_LIMIT, 0, "too many folders");
    if (u->folder_count == u->folder_cap) {
        u->folder_cap = u->folder_cap > 0 ? u->folder_cap * 2 : 64;
        u->folders = vx_realloc(u->folders, u->folder_cap * sizeof *u->folders);
    }
    u->folders[u->folder_count++] =
        (struct untar_folder){ .path = vx_strdup(vx_buf_cstr(&u->path)),
                               .order = u->folder_bytes,
                               .mode = archive_entry_perm(entry) & 0777,
                               .mtime = archive_entry_mtime(entry) };
    u->count->folders++;
    return 0;
}

static int deepest_first(const void *a, const void *b)
{
    const struct untar_folder *x = a, *y = b;
    int rc = strcmp(y->path, x->path);

    return rc != 0 ? rc : x->order < y->order ? 1 : -1;
}

/* A folder that is closed to us comes after those in it. */
int vx_untar_finish_folders(struct unpacking *u)
{
    if (u->folder_count > 1)
        qsort(u->folders, u->folder_count, sizeof *u->folders, deepest_first);
    for (size_t i = 0; i < u->folder_count; i++) {
        struct untar_folder *folder = &u->folders[i];
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = folder->mtime } };
        int fd = -1, rc = 0;

        if (i > 0 && strcmp(folder->path, folder[-1].path) == 0)
            continue;
        u->shown = folder->path;
        fd = vx_untar_open_folder(u, folder->path, strlen(folder->path), false);
        if (fd < 0)
            return -1;
        if (futimens(fd, times) != 0 || fchmod(fd, folder->mode) != 0)
            rc = vx_untar_refuse(u, VX_SYSTEM, errno, "cannot set its mode and time");
        close(fd);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void vx_untar_free_folders(struct unpacking *u)
{
    for (size_t i = 0; i < u->folder_count; i++)
        free(u->folders[i].path);
    free(u->folders);
    vx_buf_free(&u->parent_path);
    if (u->parent >= 0)
        close(u->parent);
}
