#include "runtime/ssh/version.h"

#include <libssh2.h>

const char *vx_ssh2_version(void)
{
    return libssh2_version(0);
}
