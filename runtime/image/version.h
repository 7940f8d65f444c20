/* The version of the library that this folder stands on, as it runs. */
#ifndef VX_IMAGE_VERSION_H
#define VX_IMAGE_VERSION_H

/* The version in figures and dots; static. */
const char *vx_curl_version(void);

#endif
