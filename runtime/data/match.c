#include "runtime/data/match.h"

#include <stddef.h>
#include <string.h>

/* The set that starts after '[': whether it holds c; *end is behind its ']'. NULL end: not a
 * set. */
static bool in_set(const char *set, char c, const char **end)
{
    bool invert = *set == '!' || *set == '^';
    bool found = false;
    const char *at = set + invert;

    *end = NULL;
    do {
        char low = *at;
        if (low == '\\' && at[1] != '\0')
            low = *++at;
        if (low == '\0')
            return false;
        at++;
        if (at[0] == '-' && at[1] != ']' && at[1] != '\0') {
            found = found || ((unsigned char)low <= (unsigned char)c &&
                              (unsigned char)c <= (unsigned char)at[1]);
            at += 2;
        } else {
            found = found || low == c;
        }
    } while (*at != ']');
    *end = at + 1;
    return found != invert && c != '/';
}

/* One step of the pattern that is no star: how far it goes, NULL when it does not match. */
static const char *match_one(const char *pattern, char c)
{
    const char *end = NULL;
    bool held = false;

    switch (*pattern) {
    case '\0':
        return NULL;
    case '?':
        return c != '/' ? pattern + 1 : NULL;
    case '[':
        held = in_set(pattern + 1, c, &end);
        if (end != NULL)
            return held ? end : NULL;
        return c == '[' ? pattern + 1 : NULL;
    case '\\':
        if (pattern[1] != '\0')
            return pattern[1] == c ? pattern + 2 : NULL;
        break;
    default:
        break;
    }
    return *pattern == c ? pattern + 1 : NULL;
}

/* Backtracks only to the last star of each kind: linear for '*', quadratic at worst with '**'. */
static bool match_all(const char *pattern, const char *text)
{
    const char *star = NULL, *star_at = NULL; /* behind the last '*', and what it ate so far */
    const char *wide = NULL, *wide_at = NULL; /* the same for '**' */
    const char *next = NULL;

    for (;;) {
        if (pattern[0] == '*' && pattern[1] == '*') {
            pattern += 2;
            wide = pattern;
            wide_at = text;
            star = NULL;
            if (*pattern == '/' && match_all(pattern + 1, text))
                return true; /* "a" is meant by the pattern of any folder's "a" too */
            continue;
        }
        if (pattern[0] == '*') {
            star = ++pattern;
            star_at = text;
            continue;
        }
        if (*text == '\0' && *pattern == '\0')
            return true;
        next = *text != '\0' ? match_one(pattern, *text) : NULL;
        if (next != NULL) {
            pattern = next;
            text++;
        } else if (star != NULL && *star_at != '\0' && *star_at != '/') {
            pattern = star;
            text = ++star_at;
        } else if (wide != NULL && *wide_at != '\0') {
            pattern = wide;
            text = ++wide_at;
            star = NULL;
        } else {
            return false;
        }
    }
}

bool vx_match(const char *pattern, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (strchr(pattern, '/') == NULL && strstr(pattern, "**") == NULL)
        return match_all(pattern, slash != NULL ? slash + 1 : path);
    return match_all(pattern[0] == '/' ? pattern + 1 : pattern, path);
}

bool vx_match_any(const char *const *patterns, const char *path)
{
    for (; patterns != NULL && *patterns != NULL; patterns++) {
        if (vx_match(*patterns, path))
            return true;
    }
    return false;
}
