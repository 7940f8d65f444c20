#include "runtime/base/version.h"

#include <jansson.h>

const char *vx_jansson_version(void)
{
#if JANSSON_VERSION_HEX >= 0x020d00
    return jansson_version_str();
#else
    return JANSSON_VERSION;
#endif
}
