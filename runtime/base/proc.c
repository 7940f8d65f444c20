#include "runtime/base/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <libproc.h>
#include <sys/sysctl.h>
#endif

enum { ARGS_MAX = 1024 * 1024 };

/* What is checked of a process. */
struct facts {
    char name[32];
    unsigned long long started; /* differs between two processes that had the same pid */
    bool has_terminal;
    struct vx_buf args; /* NUL-separated */
};

static bool in_name(char c)
{
    return isalnum((unsigned char)c) || strchr("._-~+", c) != NULL;
}

/* Whether the path stands in the text as a whole: /a/b is named by "x=/a/b/c", not by "/a/bc"
 * nor by "/x/a/b". */
static bool names_path(const struct vx_buf *text, const char *path)
{
    size_t len = strlen(path);
    const char *at = text->data;
    const char *end = text->data + text->len;

    while (at != NULL && (at = memmem(at, (size_t)(end - at), path, len)) != NULL) {
        bool starts = at == text->data || at[-1] == '\0' || (!in_name(at[-1]) && at[-1] != '/');
        bool ends = at + len == end || at[len] == '\0' || !in_name(at[len]);

        if (starts && ends)
            return true;
        at++;
    }
    return false;
}

static bool names_any(const struct vx_buf *text, const char *const *paths)
{
    for (; *paths != NULL; paths++) {
        if (names_path(text, *paths))
            return true;
    }
    return false;
}

#ifdef __linux__

static bool read_all(pid_t pid, const char *file, struct vx_buf *buf)
{
    char path[64];
    int fd = -1;
    ssize_t len = 0;

    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    do {
        len = read(fd, vx_buf_room(buf, 8192), 8192);
        if (len > 0)
            vx_buf_added(buf, (size_t)len);
    } while (len > 0 && buf->len < ARGS_MAX);
    close(fd);
    return len >= 0;
}

/* The name, terminal and start time of /proc/PID/stat: the name may hold anything, so what comes
 * after it is found from the last parenthesis. */
static bool parse_stat(const char *stat, struct facts *facts)
{
    const char *name = strchr(stat, '(');
    const char *rest = strrchr(stat, ')');
    int tty = 0;

    if (name == NULL || rest == NULL || rest < name)
        return false;
    snprintf(facts->name, sizeof facts->name, "%.*s", (int)(rest - name - 1), name + 1);
    if (sscanf(
            rest + 1,
            " %*c %*d %*d %*d %d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
            &tty, &facts->started) != 2)
        return false;
    facts->has_terminal = tty != 0;
    return true;
}

static bool read_facts(pid_t pid, struct facts *facts)
{
    struct vx_buf stat = { 0 };
    bool ok = read_all(pid, "stat", &stat) && parse_stat(vx_buf_cstr(&stat), facts) &&
              read_all(pid, "cmdline", &facts->args);

    vx_buf_free(&stat);
    return ok;
}

static int list_pids(struct vx_buf *pids, struct vx_err *err)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry = NULL;

    if (dir == NULL)
        return vx_err_errno(err, errno, "cannot list the processes in /proc");
    while ((entry = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        struct stat st;

        if (pid > 0 && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
            st.st_uid == geteuid())
            vx_buf_add(pids, &pid, sizeof pid);
    }
    closedir(dir);
    return 0;
}

/* A handle that keeps meaning this very process, or -1 where the kernel has none. */
static int open_handle(pid_t pid)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    return -1;
#endif
}

static int send_kill(int handle, pid_t pid)
{
#ifdef SYS_pidfd_send_signal
    if (handle >= 0)
        return (int)syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0);
#endif
    return kill(pid, SIGKILL);
}

#elif defined(__APPLE__)

static bool read_facts(pid_t pid, struct facts *facts)
{
    int name[] = { CTL_KERN, KERN_PROCARGS2, pid };
    struct proc_bsdinfo info = { 0 };
    size_t len = ARGS_MAX;

    if (proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, sizeof info) != (int)sizeof info)
        return false;
    snprintf(facts->name, sizeof facts->name, "%s", info.pbi_name);
    facts->started = info.pbi_start_tvsec * 1000000ULL + info.pbi_start_tvusec;
    facts->has_terminal = (info.pbi_flags & PROC_FLAG_CTTY) != 0;
    /* A count, the program's path and the arguments; the environment comes after them. */
    if (sysctl(name, 3, vx_buf_room(&facts->args, len), &len, NULL, 0) != 0)
        return false;
    vx_buf_added(&facts->args, len);
    return true;
}

static int list_pids(struct vx_buf *pids, struct vx_err *err)
{
    int size = proc_listpids(PROC_UID_ONLY, (uint32_t)geteuid(), NULL, 0);

    if (size > 0) {
        size += 64 * (int)sizeof(pid_t); /* for those that start meanwhile */
        size = proc_listpids(PROC_UID_ONLY, (uint32_t)geteuid(),
                             vx_buf_room(pids, (size_t)size), size);
    }
    if (size <= 0)
        return vx_err_errno(err, errno, "cannot list the processes");
    vx_buf_added(pids, (size_t)size);
    return 0;
}

static int open_handle(pid_t pid)
{
    (void)pid;
    return -1;
}

static int send_kill(int handle, pid_t pid)
{
    (void)handle;
    return kill(pid, SIGKILL);
}

#endif

static bool matches(pid_t pid, const char *const *paths, struct facts *facts)
{
    return read_facts(pid, facts) && !facts->has_terminal && names_any(&facts->args, paths);
}

int vx_proc_find(const char *const *paths, struct vx_buf *found, struct vx_err *err)
{
    struct vx_buf pids = { 0 };
    int rc = list_pids(&pids, err);

    for (size_t at = 0; at + sizeof(pid_t) <= pids.len; at += sizeof(pid_t)) {
        struct facts facts = { 0 };
        struct vx_proc proc = { 0 };

        memcpy(&proc.pid, pids.data + at, sizeof proc.pid);
        if (proc.pid != getpid() && matches(proc.pid, paths, &facts)) {
            memcpy(proc.name, facts.name, sizeof proc.name);
            vx_buf_add(found, &proc, sizeof proc);
        }
        vx_buf_free(&facts.args);
    }
    vx_buf_free(&pids);
    return rc;
}

int vx_proc_kill(pid_t pid, const char *const *paths)
{
    int handle = open_handle(pid);
    struct facts before = { 0 };
    struct facts after = { 0 };
    bool sent = false;

    /* The handle was there before the check, so what was checked is what is killed. Without one,
     * the process must at least be the same one after the check. */
    if (pid > 1 && matches(pid, paths, &before) &&
        (handle >= 0 || (read_facts(pid, &after) && after.started == before.started)))
        sent = send_kill(handle, pid) == 0;
    vx_buf_free(&before.args);
    vx_buf_free(&after.args);
    if (handle >= 0)
        close(handle);
    return sent;
}
