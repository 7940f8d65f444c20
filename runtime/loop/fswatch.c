#include "runtime/loop/fswatch.h"

#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct vx_fswatch {
    uv_fs_event_t uv;
    struct vx_alive alive;
    vx_fswatch_cb fn;
    void *arg;
};

static void changed(uv_fs_event_t *uv, const char *name, int events, int status)
{
    struct vx_fswatch *watch = uv->data;

    (void)name;
    (void)events;
    (void)status; /* an error too: who reads the file will see it */
    watch->fn(watch->arg);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct vx_fswatch *vx_fswatch_new(struct vx_loop *loop, const char *path, vx_fswatch_cb fn,
                                  void *arg, struct vx_err *err)
{
    struct vx_fswatch *watch = vx_zalloc(sizeof *watch);
    int rc = 0;

    watch->fn = fn;
    watch->arg = arg;
    watch->uv.data = watch;
    uv_fs_event_init(&loop->uv, &watch->uv);
    rc = uv_fs_event_start(&watch->uv, changed, path, 0);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot watch a file for changes");
        vx_err_prefix(err, "%s", path);
        uv_close((uv_handle_t *)&watch->uv, closed);
        return NULL;
    }
    vx_alive_add(&watch->alive, loop, "file watch");
    return watch;
}

void vx_fswatch_free(struct vx_fswatch *watch)
{
    if (watch == NULL)
        return;
    vx_alive_remove(&watch->alive);
    uv_close((uv_handle_t *)&watch->uv, closed);
}
