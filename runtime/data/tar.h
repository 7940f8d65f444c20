/* Tar streams between the host's files and a pair of callbacks. Both directions block and belong on
 * a thread of their own. Owners are not kept: they mean nothing on another machine. */
#ifndef VX_DATA_TAR_H
#define VX_DATA_TAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

/* Takes the next bytes of the stream. Returns 0, or -1 with err, which ends the packing. */
typedef int (*vx_tar_write_cb)(const void *data, size_t len, void *arg, struct vx_err *err);

/* Gives at most len next bytes. Returns how many, 0 at the end, -1 with err. */
typedef ssize_t (*vx_tar_read_cb)(void *data, size_t len, void *arg, struct vx_err *err);

/* What was done. Zero-initialise; the counters may be read from another thread meanwhile. */
struct vx_tar_count {
    _Atomic uint64_t bytes; /* of file content */
    _Atomic uint64_t files, folders, links, skipped;
    struct vx_buf
        skipped_names; /* escaped, a line each, the first of them; for the owner to free */
};

struct vx_tar_source {
    const char *path; /* on the host */
    const char *name; /* in the archive, "a" or "a/b" */
    bool follow;      /* take what the path points to when it is a link */
};

struct vx_tar_pack {
    const struct vx_tar_source *sources;
    size_t count;
    const char *const *exclude; /* as vx_match, against the path below a source; may be NULL */
    bool gnu;                   /* GNU's format instead of pax: for readers that know no pax */
    /* A file that comes last: a reader that sees it knows the stream was whole. NULL: none. */
    const char *last_name;
    const void *last_data;
    size_t last_len;
    vx_tar_write_cb write;
    void *arg;
};

/* Packs files, folders and links with mode and time of change (whole seconds). Sockets, pipes and
 * devices are skipped and counted. A file that shrinks meanwhile is an error. Returns 0 or -1. */
int vx_tar_pack(const struct vx_tar_pack *pack, struct vx_tar_count *count, struct vx_err *err);

struct vx_tar_unpack {
    const char *into;           /* an empty folder that nobody else writes in */
    size_t strip;               /* leading parts of each name to drop */
    const char *const *exclude; /* as vx_match, against the stripped name; may be NULL */
    uint64_t max_bytes;         /* of file content, holes included */
    uint64_t max_entries;
    bool skip_unsafe; /* leave out links that lead outside and nodes, instead of refusing all */
    vx_tar_read_cb read;
    void *arg;
};

/* Unpacks a stream that may be hostile: whatever it holds, nothing outside the folder is touched,
 * and no set-user-id, device, fifo or link that leads outside is made. What breaks these rules is
 * kind "unsafe", what exceeds a bound "limit", what does not fit the disk "nospace", each naming
 * the entry. The folder then holds a part, which is the caller's to remove. */
int vx_tar_unpack(const struct vx_tar_unpack *unpack, struct vx_tar_count *count,
                  struct vx_err *err);

/* Notes something that was left out. */
void vx_tar_skip(struct vx_tar_count *count, const char *name);

#endif
