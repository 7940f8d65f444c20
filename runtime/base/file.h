/* Files and folders on the host, one blocking operation a function; any thread. */
#ifndef VX_BASE_FILE_H
#define VX_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

/* Makes the folder and its parents; one that exists already is fine. */
int vx_file_mkdir_p(const char *path, mode_t mode, struct vx_err *err);

/* Adds the whole file to buf; more than max bytes is an error of kind VX_LIMIT. */
int vx_file_read(const char *path, size_t max, struct vx_buf *buf, struct vx_err *err);

/* Writes the bytes to a temporary name in the same folder, syncs and renames: whoever opens
 * path sees the old content or the new one, whatever happens meanwhile. */
int vx_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                         struct vx_err *err);

/* Opens a new, empty file beside path and stores its name (the caller frees it) in *temp. */
int vx_file_temp(const char *path, mode_t mode, char **temp, struct vx_err *err);

/* Syncs fd if asked to, closes it whatever happens, and renames temp to path; removes temp on
 * failure. */
int vx_file_commit(int fd, const char *temp, const char *path, bool sync, struct vx_err *err);

/* Writes all the bytes. */
int vx_file_write(int fd, const void *data, size_t len);

/* Writes all the bytes at a place, but leaves out each `piece` of them that is all zeros: where
 * nothing was before it becomes a hole, and a bomb of zeros costs nothing. -1 with errno. */
int vx_file_write_holes(int fd, const void *data, size_t len, off_t at, size_t piece);

/* Has the kernel begin to write what was added to a file that is written from its begin on, up to
 * `end`; *begun, 0 at first, is how far it was told to. A sync at the end has less left then. */
void vx_file_write_behind(int fd, off_t *begun, off_t end);

/* Copies a file to a new name (an existing one is refused) and syncs it. Holes and pages of zeros
 * become holes. Removes the copy on failure. */
int vx_file_copy(const char *src, const char *dst, mode_t mode, struct vx_err *err);

/* Returns when what a file or folder holds is on its disk. */
int vx_file_sync(const char *path, struct vx_err *err);

/* Removes a file, or a folder with all that is in it; symbolic links are removed, never
 * followed. Folders that their owner may not change are made changeable first. A path that does
 * not exist is fine. */
int vx_file_remove_tree(const char *path, struct vx_err *err);

/* Fills the buffer with unpredictable bytes. */
int vx_random(void *data, size_t len, struct vx_err *err);

#endif
