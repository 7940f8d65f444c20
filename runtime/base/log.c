#include "runtime/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/buf.h"

static enum vx_level max_level = VX_LOG_WARN;
static const char *task_name = "";
static void (*log_sink)(const char *text, size_t len) = NULL;
static _Thread_local int on_loop = 0;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void vx_log_level(enum vx_level level)
{
    max_level = level;
}

enum vx_level vx_log_get_level(void)
{
    return max_level;
}

void vx_log_sink(void (*sink)(const char *text, size_t len))
{
    log_sink = sink;
}

void vx_log_task(const char *name)
{
    on_loop = 1;
    task_name = name;
}

static void add_escaped(struct vx_buf *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            vx_buf_fmt(out, "\\x%02x", *p);
        else
            vx_buf_add(out, p, 1);
    }
}

void vx_log(enum vx_level level, const char *guest, const char *fmt, ...)
{
    struct vx_buf text = { 0 }, line = { 0 };
    struct timespec now;
    struct tm local;
    char stamp[16];
    va_list ap, again;
    int len = 0;

    if (level > max_level)
        return;
    va_start(ap, fmt);
    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len > 0) {
        vsnprintf(vx_buf_room(&text, (size_t)len), (size_t)len + 1, fmt, ap);
        vx_buf_added(&text, (size_t)len);
    }
    va_end(ap);

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(stamp, sizeof stamp, "%H:%M:%S", &local);
    vx_buf_fmt(&line, "%s.%03ld %s", stamp, now.tv_nsec / 1000000, level_names[level]);
    if (guest != NULL) {
        vx_buf_str(&line, " [");
        add_escaped(&line, guest);
        vx_buf_str(&line, "]");
    }
    if (on_loop && task_name[0] != '\0') {
        vx_buf_str(&line, " <");
        add_escaped(&line, task_name);
        vx_buf_str(&line, ">");
    }
    vx_buf_str(&line, " ");
    add_escaped(&line, vx_buf_cstr(&text));
    vx_buf_str(&line, "\n");
    if (log_sink != NULL) {
        log_sink(line.data, line.len);
    } else {
        fwrite(line.data, 1, line.len, stderr);
        fflush(stderr);
    }
    vx_buf_free(&line);
    vx_buf_free(&text);
}
