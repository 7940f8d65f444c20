/* Trees of files on the host: walking one, and merging one into another. All of it blocks. */
#ifndef VX_DATA_TREE_H
#define VX_DATA_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

/* What a walk meets; valid during the call only. */
struct vx_tree_item {
    const char *path; /* below the root, "" for the root itself */
    int dir;          /* open folder (or AT_FDCWD) in which `name` is */
    const char *name;
    struct stat st; /* of the root's target when the root is followed */
};

/* Returns 0 to go on, -1 with err to end the walk. */
typedef int (*vx_tree_cb)(const struct vx_tree_item *item, void *arg, struct vx_err *err);

/* Calls fn for the root and everything below it, folders before their content, names in byte
 * order; links are not followed, the root only with follow. What a pattern of exclude (NULL: none)
 * means is left out with all below it. Returns 0, or -1 with err. */
int vx_tree_walk(const char *root, bool follow, const char *const *exclude, vx_tree_cb fn,
                 void *arg, struct vx_err *err);

struct vx_tree_merge {
    const char *from;           /* a folder; what is left of it is the caller's to remove */
    const char *to;             /* a folder on the same file system; may be a link to one */
    bool mirror;                /* remove from `to` what `from` does not have */
    const char *const *exclude; /* never removed by mirror */
    const char *keep; /* a name directly in `to` that mirror leaves alone; may be NULL */
};

/* Moves everything in `from` into `to` by renaming. Files and links replace those of the same
 * name; a folder merges into a folder, which keeps its mode. A folder where there is something
 * else, or the other way round, is an error of kind "exists" before anything was changed, unless
 * mirror is set, which replaces it. Links in `to` are replaced, never followed. */
int vx_tree_merge(const struct vx_tree_merge *merge, struct vx_err *err);

/* Whether a link at this depth (0: directly in the root) surely stays in the root, whatever other
 * links that pass this test are there: relative, ".." only at its start, at most depth times. */
bool vx_tree_link_stays(const char *target, size_t depth);

/* Adds a name for a message: bytes that are not printable ASCII are escaped, long ones cut. */
void vx_tree_name(struct vx_buf *buf, const char *name);

#endif
