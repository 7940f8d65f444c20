#include <libxml/tree.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/virt/arch.h"
#include "runtime/virt/internal.h"

void drive_xml(struct vx_buf *buf, const char *arch, const char *target)
{
    const struct vx_arch *known = vx_arch_find(arch);
    xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr disk = xmlNewNode(NULL, BAD_CAST "disk");
    xmlNodePtr node = NULL;
    xmlBufferPtr text = xmlBufferCreate();

    xmlDocSetRootElement(doc, disk);
    xmlNewProp(disk, BAD_CAST "type", BAD_CAST "file");
    xmlNewProp(disk, BAD_CAST "device", BAD_CAST "cdrom");
    node = xmlNewChild(disk, NULL, BAD_CAST "driver", NULL);
    xmlNewProp(node, BAD_CAST "name", BAD_CAST "qemu");
    xmlNewProp(node, BAD_CAST "type", BAD_CAST "raw");
    node = xmlNewChild(disk, NULL, BAD_CAST "target", NULL);
    xmlNewProp(node, BAD_CAST "dev", BAD_CAST target);
    xmlNewProp(node, BAD_CAST "bus", BAD_CAST(known != NULL ? known->cdrom_bus : "sata"));
    xmlNewChild(disk, NULL, BAD_CAST "readonly", NULL);
    xmlNodeDump(text, doc, disk, 0, 0);
    vx_buf_str(buf, (const char *)xmlBufferContent(text));
    xmlBufferFree(text);
    xmlFreeDoc(doc);
}
