#include "runtime/virt/version.h"

#include <libvirt/libvirt.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>

void vx_libvirt_version(char *buf, size_t size)
{
    unsigned long version = 0;

    if (virGetVersion(&version, NULL, NULL) < 0)
        version = LIBVIR_VERSION_NUMBER;
    snprintf(buf, size, "%lu.%lu.%lu", version / 1000000, version / 1000 % 1000,
             version % 1000);
}

void vx_xml_version(char *buf, size_t size)
{
    long version = strtol(xmlParserVersion, NULL, 10); /* "20914-GITv2.9.14" */

    snprintf(buf, size, "%ld.%ld.%ld", version / 10000, version / 100 % 100, version % 100);
}
