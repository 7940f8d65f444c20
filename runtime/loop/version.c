#include "runtime/loop/version.h"

#include <uv.h>

const char *vx_uv_version(void)
{
    return uv_version_string();
}
