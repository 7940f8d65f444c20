/* Log lines on stderr: time, guest, task and text, at one of four levels. */
#ifndef VX_BASE_LOG_H
#define VX_BASE_LOG_H

#include <stddef.h>

enum vx_level { VX_LOG_ERROR, VX_LOG_WARN, VX_LOG_INFO, VX_LOG_DEBUG };

/* Lines above this level are dropped. The default is VX_LOG_WARN. */
void vx_log_level(enum vx_level level);
enum vx_level vx_log_get_level(void);

/* The running task's name for the lines that follow, "" for none. Loop thread only; the string
 * is not copied and must live until it is replaced. */
void vx_log_task(const char *name);

/* Where lines go instead of stderr, NULL for stderr: called from any thread, with a whole
 * line. Loop thread only, while no other thread logs much: one line may still go the old way. */
void vx_log_sink(void (*sink)(const char *text, size_t len));

/* Writes one line; guest may be NULL. Control characters in the text are escaped, so that what
 * a guest sent can never move the terminal's cursor. Any thread. */
void vx_log(enum vx_level level, const char *guest, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
