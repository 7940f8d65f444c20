/* Exclude patterns for trees of files. */
#ifndef VX_DATA_MATCH_H
#define VX_DATA_MATCH_H

#include <stdbool.h>

/* Whether the path (relative, no slash at either end) is meant by the pattern. A pattern without
 * a slash is about the last name, at any depth; one with a slash about the whole path. *, ? and
 * [a-z] do not match a slash, ** does; a backslash takes the next byte as it is. Bytes, not
 * characters. */
bool vx_match(const char *pattern, const char *path);

/* Whether one of the patterns means the path; the list ends with NULL, and may be NULL itself. */
bool vx_match_any(const char *const *patterns, const char *path);

#endif
