#include "runtime/image/version.h"

#include <curl/curl.h>

const char *vx_curl_version(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}
