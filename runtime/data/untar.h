/* Shared by the files that read a tar stream: one unpacking, and the folders it fills. */
#ifndef VX_DATA_UNTAR_H
#define VX_DATA_UNTAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"
#include "runtime/data/tar.h"

struct untar_folder;

struct unpacking {
    const struct vx_tar_unpack *opts;
    struct vx_tar_count *count;
    struct vx_err *err;
    struct archive *archive;
    struct vx_err stream; /* why the read callback failed */
    bool broken;
    char *chunk;
    uint64_t raw, raw_max;      /* bytes of the stream itself */
    uint64_t entries, promised; /* sizes announced so far */
    int root;

    const char *shown;  /* the entry's name as it came, for messages */
    struct vx_buf path; /* where it goes, below root; "" is root itself */
    size_t parts;       /* of the path */
    int parent;         /* open folder of the last path, -1 for none */
    struct vx_buf parent_path;

    struct untar_folder *folders;
    size_t folder_count, folder_cap, folder_bytes;
};

/* Sets the error of the entry at hand; with a code, errno's words follow. Returns -1. */
int vx_untar_refuse(struct unpacking *u, enum vx_kind kind, int code, const char *why);

/* Opens a folder below root, part by part, without following a link; with make, missing ones are
 * made. The caller closes it. -1: refused. */
int vx_untar_open_folder(struct unpacking *u, const char *path, size_t path_len, bool make);

/* Opens the folder that holds the entry as u->parent, and tells the entry's name in it. */
int vx_untar_open_parent(struct unpacking *u, const char **name);

/* Makes the entry's folder, and notes its mode and time for the end. */
int vx_untar_make_folder(struct unpacking *u, struct archive_entry *entry);

/* Sets modes and times of all folders: filling a folder changes them. */
int vx_untar_finish_folders(struct unpacking *u);

/* Frees what the calls above keep in u. */
void vx_untar_free_folders(struct unpacking *u);

#endif
