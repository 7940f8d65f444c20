/* The folder that the embedded QEMU driver lives in. What libvirt keeps below a root R:
 *
 *   R/etc/qemu.conf             written here
 *   R/cache/qemu/capabilities/  what was probed of each QEMU; R/cache is a link when it is
 * shared R/run/qemu/driver.pid       locked by the process that has the root open
 *   R/run/qemu/NAME.pid         pid of the guest's QEMU, in decimal; gone when QEMU is
 *   R/run/qemu/NAME.xml         the running guest's full state
 *   R/lib/qemu/domain-ID-NAME/  its monitor socket
 *   R/etc/qemu/NAME.xml         the defined domains;  R/lib/qemu/snapshot/NAME/ their snapshots
 *   R/log/qemu/NAME.log         QEMU's command line and what it printed
 *
 * So whoever must end the QEMUs of a dead process reads R/run/qemu/NAME.pid (except driver.pid)
 * and, before killing, checks that the pid's command line names a file below R. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/virt/internal.h"

static int make_dirs(const char *path, struct vx_err *err)
{
    char *copy = vx_strdup(path);
    int rc = 0;

    for (char *p = copy + 1; rc == 0; p++) {
        char was = *p;

        if (was != '/' && was != '\0')
            continue;
        *p = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            rc = vx_err_errno(err, errno, "cannot make the folder %s", copy);
        *p = was;
        if (was == '\0')
            break;
    }
    free(copy);
    return rc;
}

/* There is no virtlogd to hand QEMU's output to. As root, QEMU runs as root too, in our own
 * namespaces and control groups, and libvirt changes the owner of no file. */
static void write_conf(struct vx_buf *buf)
{
    vx_buf_str(buf, "stdio_handler = \"file\"\n");
    if (geteuid() != 0)
        return;
    vx_buf_str(buf, "user = \"+0\"\n"
                    "group = \"+0\"\n"
                    "dynamic_ownership = 0\n"
                    "remember_owner = 0\n"
                    "security_driver = \"none\"\n"
                    "security_default_confined = 0\n"
                    "namespaces = []\n"
                    "cgroup_controllers = []\n");
}

static int save(const char *path, const struct vx_buf *buf, struct vx_err *err)
{
    char *aside = vx_strfmt("%s.%ld", path, (long)getpid());
    FILE *file = fopen(aside, "we");
    int rc = 0;

    if (file == NULL || fwrite(buf->data, 1, buf->len, file) != buf->len || fflush(file) != 0)
        rc = vx_err_errno(err, errno, "cannot write %s", aside);
    if (file != NULL && fclose(file) != 0 && rc == 0)
        rc = vx_err_errno(err, errno, "cannot write %s", aside);
    if (rc == 0 && rename(aside, path) < 0)
        rc = vx_err_errno(err, errno, "cannot rename %s to %s", aside, path);
    if (rc < 0)
        unlink(aside);
    free(aside);
    return rc;
}

int root_prepare(const char *root, const char *cache, struct vx_err *err)
{
    char *etc = vx_strfmt("%s/etc", root);
    char *conf = vx_strfmt("%s/qemu.conf", etc);
    char *link = vx_strfmt("%s/cache", root);
    struct vx_buf buf = { 0 };
    int rc = make_dirs(etc, err);

    write_conf(&buf);
    if (rc == 0)
        rc = save(conf, &buf, err);
    if (rc == 0 && cache != NULL) {
        rc = make_dirs(cache, err);
        if (rc == 0 && symlink(cache, link) < 0 && errno != EEXIST)
            rc = vx_err_errno(err, errno, "cannot link %s to %s", link, cache);
    }
    vx_buf_free(&buf);
    free(link);
    free(conf);
    free(etc);
    return rc;
}
