#include "runtime/data/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/match.h"

enum { NAME_SHOWN = 200 };

void vx_tree_name(struct vx_buf *buf, const char *name)
{
    size_t count = 0;

    for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++) {
        if (++count > NAME_SHOWN) {
            vx_buf_str(buf, "...");
            return;
        }
        if (*at < 0x20 || *at > 0x7e || *at == '\\')
            vx_buf_fmt(buf, "\\x%02x", *at);
        else
            vx_buf_add(buf, at, 1);
    }
}

static int fail(struct vx_err *err, int code, const char *what, const char *path)
{
    struct vx_buf shown = { 0 };

    vx_tree_name(&shown, path[0] != '\0' ? path : ".");
    vx_err_errno(err, code, "cannot %s %s", what, vx_buf_cstr(&shown));
    vx_buf_free(&shown);
    return -1;
}

bool vx_tree_link_stays(const char *target, size_t depth)
{
    bool down = false;

    if (*target == '/' || *target == '\0')
        return false;
    while (*target != '\0') {
        size_t len = strcspn(target, "/");
        if (len == 2 && target[0] == '.' && target[1] == '.') {
            if (down || depth == 0)
                return false;
            depth--;
        } else if (len > 0 && !(len == 1 && target[0] == '.')) {
            down = true;
        }
        target += len;
        target += strspn(target, "/");
    }
    return true;
}

/* ---- the names in a folder ---- */

struct names {
    char **list;
    size_t count, cap;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){ 0 };
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* fd stays the caller's. 0, or an errno. */
static int names_read(int fd, struct names *names)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *entry = NULL;
    int code = 0;

    if (dir == NULL) {
        code = errno;
        if (again >= 0)
            close(again);
        return code;
    }
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (names->count == names->cap) {
            names->cap = names->cap > 0 ? names->cap * 2 : 32;
            names->list = vx_realloc(names->list, names->cap * sizeof *names->list);
        }
        names->list[names->count++] = vx_strdup(entry->d_name);
    }
    code = errno;
    closedir(dir);
    if (names->count > 1)
        qsort(names->list, names->count, sizeof *names->list, by_bytes);
    return code;
}

static bool names_have(const struct names *names, const char *name)
{
    return names->count > 0 &&
           bsearch(&name, names->list, names->count, sizeof *names->list, by_bytes) != NULL;
}

/* Adds "/name" to the path, or takes it off again by its former length. */
static size_t path_push(struct vx_buf *path, const char *name)
{
    size_t len = path->len;

    if (len > 0)
        vx_buf_str(path, "/");
    vx_buf_str(path, name);
    return len;
}

static void path_pop(struct vx_buf *path, size_t len)
{
    path->len = len;
    path->data[len] = '\0';
}

/* ---- walk ---- */

struct walk {
    const char *const *exclude;
    vx_tree_cb fn;
    void *arg;
    struct vx_err *err;
    struct vx_buf path;
};

static int walk_item(struct walk *walk, int dir, const char *name, const struct stat *st,
                     bool follow);

static int walk_folder(struct walk *walk, int fd)
{
    struct names names = { 0 };
    int code = names_read(fd, &names);
    int rc = code != 0 ? fail(walk->err, code, "read the folder", vx_buf_cstr(&walk->path)) : 0;

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *name = names.list[i];
        size_t len = path_push(&walk->path, name);
        struct stat st;

        if (!vx_match_any(walk->exclude, walk->path.data)) {
            if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
                rc = fail(walk->err, errno, "look at", walk->path.data);
            else
                rc = walk_item(walk, fd, name, &st, false);
        }
        path_pop(&walk->path, len);
    }
    names_free(&names);
    return rc;
}

static int walk_item(struct walk *walk, int dir, const char *name, const struct stat *st,
                     bool follow)
{
    struct vx_tree_item item = {
        .path = vx_buf_cstr(&walk->path), .dir = dir, .name = name, .st = *st
    };
    int fd = -1;
    int rc = walk->fn(&item, walk->arg, walk->err);

    if (rc != 0 || !S_ISDIR(st->st_mode))
        return rc;
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return fail(walk->err, errno, "open the folder",
                    walk->path.len > 0 ? walk->path.data : name);
    rc = walk_folder(walk, fd);
    close(fd);
    return rc;
}

int vx_tree_walk(const char *root, bool follow, const char *const *exclude, vx_tree_cb fn,
                 void *arg, struct vx_err *err)
{
    struct walk walk = { .exclude = exclude, .fn = fn, .arg = arg, .err = err };
    struct stat st;
    int rc = 0;

    if (fstatat(AT_FDCWD, root, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0)
        return fail(err, errno, "look at", root);
    rc = walk_item(&walk, AT_FDCWD, root, &st, follow);
    vx_buf_free(&walk.path);
    return rc;
}

/* ---- removing and merging ---- */

static int remove_at(int dir, const char *name)
{
    struct names names = { 0 };
    int fd = -1, code = 0;

    if (unlinkat(dir, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno;
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    /* A folder that its owner may not write can still not be emptied. */
    if (fchmod(fd, 0700) == 0)
        code = names_read(fd, &names);
    for (size_t i = 0; code == 0 && i < names.count; i++)
        code = remove_at(fd, names.list[i]);
    names_free(&names);
    close(fd);
    if (code == 0 && unlinkat(dir, name, AT_REMOVEDIR) != 0)
        code = errno;
    return code;
}

struct merging {
    const struct vx_tree_merge *opts;
    struct vx_err *err;
    struct vx_buf path;
    bool dry; /* only look for conflicts */
};

static int merge_folder(struct merging *m, int from, int to);

static int move(struct merging *m, int from, int to, const char *name, const struct stat *st)
{
    /* Moving a folder rewrites its "..", which needs the right to write in it. */
    bool closed = S_ISDIR(st->st_mode) && (st->st_mode & 0300) != 0300;
    int rc = 0;

    if (closed)
        fchmodat(from, name, (st->st_mode & 07777) | 0700, 0);
    if (renameat(from, name, to, name) != 0)
        rc = fail(m->err, errno, "put in place", m->path.data);
    if (closed)
        fchmodat(rc == 0 ? to : from, name, st->st_mode & 07777, 0);
    return rc;
}

static int merge_both(struct merging *m, int from, int to, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int a = openat(from, name, flags);
    int b = a >= 0 ? openat(to, name, flags) : -1;
    int rc = 0;

    if (b < 0)
        rc = fail(m->err, errno, "open the folder", m->path.data);
    else
        rc = merge_folder(m, a, b);
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    return rc;
}

static int merge_item(struct merging *m, int from, int to, const char *name)
{
    struct stat ours, theirs;
    bool there = false;
    int code = 0;

    if (fstatat(from, name, &ours, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(m->err, errno, "look at", m->path.data);
    there = fstatat(to, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && errno != ENOENT)
        return fail(m->err, errno, "look at", m->path.data);
    if (there && S_ISDIR(ours.st_mode) && S_ISDIR(theirs.st_mode))
        return merge_both(m, from, to, name);
    if (there && S_ISDIR(ours.st_mode) != S_ISDIR(theirs.st_mode)) {
        struct vx_buf shown = { 0 };
        if (!m->opts->mirror) {
            vx_tree_name(&shown, m->path.data);
            vx_err_set(m->err, VX_EXISTS, 0,
                       "%s is a folder on one side and not on the other; "
                       "remove it, or let delete = true replace it",
                       vx_buf_cstr(&shown));
            vx_buf_free(&shown);
            return -1;
        }
        if (!m->dry && (code = remove_at(to, name)) != 0)
            return fail(m->err, code, "replace", m->path.data);
    }
    return m->dry ? 0 : move(m, from, to, name, &ours);
}

/* What is in `to` and not in `from` goes. */
static int mirror(struct merging *m, int to, const struct names *names)
{
    struct names there = { 0 };
    int code = names_read(to, &there);
    int rc = code != 0 ? fail(m->err, code, "read the folder", vx_buf_cstr(&m->path)) : 0;

    for (size_t i = 0; rc == 0 && i < there.count; i++) {
        const char *name = there.list[i];
        size_t len = m->path.len;

        if (names_have(names, name) ||
            (len == 0 && m->opts->keep != NULL && strcmp(name, m->opts->keep) == 0))
            continue;
        path_push(&m->path, name);
        if (!vx_match_any(m->opts->exclude, m->path.data) && (code = remove_at(to, name)) != 0)
            rc = fail(m->err, code, "remove", m->path.data);
        path_pop(&m->path, len);
    }
    names_free(&there);
    return rc;
}

static int merge_folder(struct merging *m, int from, int to)
{
    struct names names = { 0 };
    int code = names_read(from, &names);
    int rc = code != 0 ? fail(m->err, code, "read the folder", vx_buf_cstr(&m->path)) : 0;

    if (rc == 0 && m->opts->mirror && !m->dry)
        rc = mirror(m, to, &names);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        size_t len = path_push(&m->path, names.list[i]);
        rc = merge_item(m, from, to, names.list[i]);
        path_pop(&m->path, len);
    }
    names_free(&names);
    return rc;
}

int vx_tree_merge(const struct vx_tree_merge *opts, struct vx_err *err)
{
    struct merging m = { .opts = opts, .err = err, .dry = true };
    int from = open(opts->from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int to = from >= 0 ? open(opts->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = 0;

    if (to < 0) {
        rc = fail(err, errno, "open the folder", from < 0 ? opts->from : opts->to);
    } else {
        rc = merge_folder(&m, from, to);
        m.dry = false;
        if (rc == 0)
            rc = merge_folder(&m, from, to);
    }
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    vx_buf_free(&m.path);
    return rc;
}
