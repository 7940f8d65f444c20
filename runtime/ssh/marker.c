#include "runtime/ssh/marker.h"

#include <stdlib.h>
#include <string.h>

/* A shell's start-up files may speak first; after this much of that, nobody will report. */
enum { PREAMBLE_MAX = 16 * 1024 };

void vx_marker_init(struct vx_marker *marker, const char *text, int stream)
{
    *marker = (struct vx_marker){ .stream = stream };
    if (text != NULL)
        marker->text = vx_strdup(text);
}

void vx_marker_free(struct vx_marker *marker)
{
    free(marker->text);
    marker->text = NULL;
    vx_buf_free(&marker->held);
}

/* The number after the marker: digits up to the end of the line, above 1, and nothing else. */
static long parse_group(const char *at, const char *end)
{
    long group = 0;

    if (end > at && end[-1] == '\r')
        end--;
    if (at == end || end - at > 9)
        return 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return 0;
        group = group * 10 + (*at - '0');
    }
    return group > 1 ? group : 0;
}

static void decide(struct vx_marker *marker)
{
    free(marker->text);
    marker->text = NULL;
    marker->decided = true;
}

static void search(struct vx_marker *marker)
{
    size_t want = strlen(marker->text);
    size_t at = 0;

    while (at < marker->held.len) {
        char *line = marker->held.data + at;
        char *end = memchr(line, '\n', marker->held.len - at);

        if (end == NULL)
            break;
        if ((size_t)(end - line) > want && memcmp(line, marker->text, want) == 0) {
            size_t len = (size_t)(end + 1 - line);

            marker->group = parse_group(line + want, end);
            memmove(line, end + 1, marker->held.len - at - len);
            marker->held.len -= len;
            decide(marker);
            return;
        }
        at = (size_t)(end + 1 - marker->held.data);
    }
    if (marker->held.len > PREAMBLE_MAX)
        decide(marker);
}

void vx_marker_hold(struct vx_marker *marker, const char *buf, size_t len)
{
    vx_buf_add(&marker->held, buf, len);
    search(marker);
}

size_t vx_marker_pass(struct vx_marker *marker, int stream, char *buf, size_t len)
{
    if (stream != marker->stream || marker->text == NULL)
        return len;
    vx_marker_hold(marker, buf, len);
    return vx_marker_take(marker, stream, buf, len);
}

void vx_marker_end(struct vx_marker *marker)
{
    if (marker->text != NULL)
        decide(marker);
}

size_t vx_marker_take(struct vx_marker *marker, int stream, char *buf, size_t len)
{
    size_t take = marker->held.len < len ? marker->held.len : len;

    if (stream != marker->stream || !marker->decided || take == 0)
        return 0;
    memcpy(buf, marker->held.data, take);
    vx_buf_drop(&marker->held, take);
    if (marker->held.len == 0)
        vx_buf_free(&marker->held);
    return take;
}
