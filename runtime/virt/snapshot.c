#include "runtime/virt/snapshot.h"

#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/virt/internal.h"

/* What libvirt says when a snapshot cannot be kept names what is in the way but no way out. */
static int snapshot_fail(struct vx_call *call, const char *what)
{
    size_t len = 0;
    const char *remedy =
        "; snapshots are kept inside qcow2 disks: give the guest's writable disks that "
        "format or make them read-only, or copy the disks of the stopped guest instead";

    call_fail(call, what);
    if (strstr(call->err.msg, "pflash") != NULL)
        remedy =
            "; the variables of UEFI firmware are in a file that cannot hold one: freeze "
            "the guest as a template and fork that, or boot it without firmware = \"uefi\"";
    len = strlen(call->err.msg);
    if (call->err.kind == VX_UNSUPPORTED)
        snprintf(call->err.msg + len, sizeof call->err.msg - len, "%s", remedy);
    return -1;
}

/* ---- the documents ---- */

static void add(xmlNodePtr parent, const char *name, const char *text)
{
    if (text != NULL)
        xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST text);
}

static char *snapshot_xml(const char *name, const char *description)
{
    xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr root = xmlNewNode(NULL, BAD_CAST "domainsnapshot");
    xmlChar *text = NULL;
    char *copy = NULL;

    xmlDocSetRootElement(doc, root);
    add(root, "name", name);
    add(root, "description", description);
    xmlDocDumpMemory(doc, &text, NULL);
    copy = vx_strdup((const char *)text);
    xmlFree(text);
    xmlFreeDoc(doc);
    return copy;
}

static xmlNodePtr child(xmlNodePtr node, const char *name)
{
    for (xmlNodePtr n = node != NULL ? node->children : NULL; n != NULL; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0)
            return n;
    }
    return NULL;
}

static char *text_of(xmlNodePtr node)
{
    xmlChar *content = node != NULL ? xmlNodeGetContent(node) : NULL;
    char *text = content != NULL ? vx_strdup((const char *)content) : NULL;

    xmlFree(content);
    return text;
}

static int parse_info(const char *xml, struct vx_snapshot_info *info)
{
    xmlDocPtr doc = xmlReadMemory(xml, (int)strlen(xml), "snapshot", NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlNodePtr root = doc != NULL ? xmlDocGetRootElement(doc) : NULL;
    char *created = text_of(child(root, "creationTime"));

    info->name = text_of(child(root, "name"));
    info->parent = text_of(child(child(root, "parent"), "name"));
    info->description = text_of(child(root, "description"));
    info->state = text_of(child(root, "state"));
    info->created = created != NULL ? strtoll(created, NULL, 10) : 0;
    free(created);
    xmlFreeDoc(doc);
    return info->name != NULL && info->state != NULL ? 0 : -1;
}

/* ---- create ---- */

static bool is_arg(xmlNodePtr node, const char *value)
{
    xmlChar *has = node != NULL && strcmp((const char *)node->name, "arg") == 0
                       ? xmlGetProp(node, BAD_CAST "value")
                       : NULL;
    bool same = has != NULL && strcmp((const char *)has, value) == 0;

    xmlFree(has);
    return same;
}

/* Takes "-incoming defer" out of a list of arguments; true if it was there. */
static bool drop_incoming(xmlNodePtr list)
{
    for (xmlNodePtr n = list != NULL ? list->children : NULL; n != NULL; n = n->next) {
        xmlNodePtr value = n->type == XML_ELEMENT_NODE ? xmlNextElementSibling(n) : NULL;

        if (value == NULL || !is_arg(n, "-incoming") || !is_arg(value, "defer"))
            continue;
        xmlUnlinkNode(value);
        xmlFreeNode(value);
        xmlUnlinkNode(n);
        xmlFreeNode(n);
        return true;
    }
    return false;
}

/* A fork was started to wait for its state. What libvirt notes of its snapshot must not say so:
 * QEMU cannot wait for a state and load a snapshot as well. */
static int forget_incoming(struct vx_call *call, virDomainSnapshotPtr snapshot)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
    xmlDocPtr doc = NULL;
    xmlNodePtr root = NULL;
    xmlChar *text = NULL;
    virDomainSnapshotPtr again = NULL;
    int rc = 0;

    if (xml == NULL || strstr(xml, "-incoming") == NULL)
        goto out;
    doc = xmlReadMemory(xml, (int)strlen(xml), "snapshot", NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    root = doc != NULL ? xmlDocGetRootElement(doc) : NULL;
    if (!drop_incoming(child(child(root, "domain"), "commandline")))
        goto out;
    xmlDocDumpMemory(doc, &text, NULL);
    again = virDomainSnapshotCreateXML(call->vir_domain, (const char *)text,
                                       VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE |
                                           VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT);
    if (again == NULL)
        rc = call_fail(call, "cannot note its snapshot");
    else
        virDomainSnapshotFree(again);
out:
    xmlFree(text);
    xmlFreeDoc(doc);
    free(xml);
    return rc;
}

static int create_work(struct vx_call *call)
{
    char *xml = snapshot_xml(call->name, call->text);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(call->vir_domain, xml, 0);

    free(xml);
    if (snapshot == NULL)
        return snapshot_fail(call, "cannot make a snapshot");
    call->result.text = vx_strdup(virDomainSnapshotGetName(snapshot));
    if (forget_incoming(call, snapshot) < 0) {
        virDomainSnapshotDelete(snapshot, 0);
        virDomainSnapshotFree(snapshot);
        return -1;
    }
    virDomainSnapshotFree(snapshot);
    return 0;
}

struct vx_call *vx_snapshot_create(struct vx_domain *domain, const char *name,
                                   const char *description, vx_call_cb fn, void *arg,
                                   struct vx_err *err)
{
    struct vx_call *call = NULL;

    if (name != NULL && (name[0] == '\0' || name[strspn(name, "0123456789")] == '\0')) {
        vx_err_set(
            err, VX_USAGE, 0,
            "guest %s: a snapshot cannot be named \"%s\": QEMU would take digits for its own "
            "number of a snapshot; put a letter in it",
            vx_domain_name(domain), name);
        return NULL;
    }
    call = domain_call(domain, create_work, fn, arg, err);
    if (call == NULL)
        return NULL;
    call->name = name != NULL ? vx_strdup(name) : NULL;
    call->text = description != NULL ? vx_strdup(description) : NULL;
    call->forks = true;
    return call_start(call, err);
}

/* ---- list ---- */

static void take_sizes(const json_t *snapshots, struct vx_call_result *result)
{
    size_t i = 0;
    const json_t *entry = NULL;

    json_array_foreach(snapshots, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        json_int_t size = json_integer_value(json_object_get(entry, "vm-state-size"));

        for (size_t k = 0; name != NULL && size > 0 && k < result->snapshots_len; k++) {
            if (strcmp(result->snapshots[k].name, name) == 0)
                result->snapshots[k].vm_size = (unsigned long long)size;
        }
    }
}

/* A running QEMU knows how much RAM and device state each snapshot holds; other drivers, and a
 * stopped guest, leave the sizes unknown. */
static void find_sizes(struct vx_call *call)
{
    char *reply = NULL;
    json_t *root = NULL;
    const json_t *disk = NULL;
    size_t i = 0;

    if (virDomainIsActive(call->vir_domain) != 1 ||
        virDomainQemuMonitorCommand(call->vir_domain, "{\"execute\":\"query-block\"}", &reply,
                                    0) < 0)
        return;
    root = json_loads(reply, 0, NULL);
    json_array_foreach(json_object_get(root, "return"), i, disk)
    {
        const json_t *image = json_object_get(json_object_get(disk, "inserted"), "image");

        take_sizes(json_object_get(image, "snapshots"), &call->result);
    }
    json_decref(root);
    free(reply);
}

static int list_work(struct vx_call *call)
{
    virDomainSnapshotPtr *list = NULL;
    int n = virDomainListAllSnapshots(call->vir_domain, &list,
                                      VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);
    struct vx_call_result *result = &call->result;
    int rc = 0;

    if (n < 0)
        return call_fail(call, "cannot list its snapshots");
    result->snapshots = vx_zalloc(sizeof *result->snapshots * ((size_t)n + 1));
    for (int i = 0; i < n; i++) {
        struct vx_snapshot_info *info = &result->snapshots[result->snapshots_len];
        char *xml = rc == 0 ? virDomainSnapshotGetXMLDesc(list[i], 0) : NULL;

        if (xml != NULL) {
            result->snapshots_len++;
            info->current = virDomainSnapshotIsCurrent(list[i], 0) == 1;
            if (parse_info(xml, info) < 0)
                rc = vx_err_set(&call->err, VX_FORMAT, 0,
                                "guest %s: libvirt describes a snapshot without name or state",
                                call->guest);
        } else if (rc == 0 && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_SNAPSHOT) {
            rc = call_fail(call, "cannot describe its snapshots"); /* else: deleted meanwhile */
        }
        free(xml);
        virDomainSnapshotFree(list[i]);
    }
    free(list);
    if (rc == 0 && n > 0)
        find_sizes(call);
    return rc;
}

struct vx_call *vx_snapshot_list(struct vx_domain *domain, vx_call_cb fn, void *arg,
                                 struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, list_work, fn, arg, err);

    return call != NULL ? call_start(call, err) : NULL;
}

/* ---- revert ---- */

static bool same_hardware(virDomainPtr domain, const char *snapshot_xml_text);

/* A name that the human monitor takes as it is. */
static bool plain_name(const char *name)
{
    return name[strspn(name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] ==
               '\0' &&
           name[0] != '-';
}

/* libvirt's note of which snapshot is the current one, without touching a disk. */
static void note_current(struct vx_call *call, virDomainSnapshotPtr snapshot)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
    virDomainSnapshotPtr again = NULL;

    if (xml != NULL)
        again = virDomainSnapshotCreateXML(call->vir_domain, xml,
                                           VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE |
                                               VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT);
    if (again != NULL)
        virDomainSnapshotFree(again);
    free(xml);
}

/* 1: done; 0: this way is not for this guest or snapshot; -1: QEMU refused, with call->err. */
static int revert_in_place(struct vx_call *call, virDomainSnapshotPtr snapshot)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    struct vx_snapshot_info info = { 0 };
    char *command = NULL;
    char *reply = NULL;
    bool was_running = false;
    bool runs = false;
    int state = 0;
    int rc = 0;

    if (xml == NULL || !plain_name(call->name) || parse_info(xml, &info) < 0 ||
        virDomainGetState(call->vir_domain, &state, NULL, 0) < 0)
        goto out;
    was_running = state == VIR_DOMAIN_RUNNING;
    runs = strcmp(info.state, "running") == 0;
    if ((!was_running && state != VIR_DOMAIN_PAUSED) ||
        (!runs && strcmp(info.state, "paused") != 0) || !same_hardware(call->vir_domain, xml))
        goto out;
    if (was_running && !runs && virDomainSuspend(call->vir_domain) < 0)
        goto out;
    command = vx_strfmt("loadvm %s", call->name);
    if (virDomainQemuMonitorCommand(call->vir_domain, command, &reply,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) < 0)
        goto out;                           /* no QEMU: the test driver, for one */
    if (strstr(reply, "Error: ") != NULL) { /* what else it may print are warnings */
        rc = vx_err_set(&call->err, VX_LIBVIRT, 0, "guest %s: cannot go back to %s: %s",
                        call->guest, call->name, reply);
        goto out;
    }
    note_current(call, snapshot);
    rc = 1;
    if (!was_running && runs && virDomainResume(call->vir_domain) < 0)
        rc = call_fail(call, "cannot resume it after going back to a snapshot");
out:
    free(reply);
    free(command);
    free(info.name);
    free(info.parent);
    free(info.description);
    free(info.state);
    free(xml);
    return rc;
}

static int revert_work(struct vx_call *call)
{
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotLookupByName(call->vir_domain, call->name, 0);
    int rc = 0;

    if (snapshot == NULL)
        return call_fail(call, "cannot find the snapshot");
    call->result.how = "in place";
    if (revert_in_place(call, snapshot) != 1) {
        /* libvirt starts QEMU anew, which also cures one that a failed load has left half way.
         */
        call->result.how = "restarted";
        if (virDomainRevertToSnapshot(snapshot, 0) < 0)
            rc = snapshot_fail(call, "cannot go back to the snapshot");
        reaper_know(call->root, call->guest);
    }
    virDomainSnapshotFree(snapshot);
    return rc;
}

struct vx_call *vx_snapshot_revert(struct vx_domain *domain, const char *name, vx_call_cb fn,
                                   void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, revert_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->name = vx_strdup(name);
    call->forks = true;
    return call_start(call, err);
}

/* The devices that a snapshot's document and the domain's have must be the same for a load in
 * place: the number of each kind is compared, which hotplug changes and a redefinition may. */
static void count_devices(xmlNodePtr domain, struct vx_buf *out)
{
    xmlNodePtr devices = child(domain, "devices");
    char *memory = text_of(child(domain, "memory"));
    char *cpus = text_of(child(domain, "vcpu"));

    vx_buf_fmt(out, "%s %s", memory != NULL ? memory : "", cpus != NULL ? cpus : "");
    for (xmlNodePtr n = devices != NULL ? devices->children : NULL; n != NULL; n = n->next) {
        xmlNodePtr target = child(n, "target");
        xmlChar *dev = target != NULL ? xmlGetProp(target, BAD_CAST "dev") : NULL;
        xmlChar *model = xmlGetProp(n, BAD_CAST "model");

        if (n->type == XML_ELEMENT_NODE)
            vx_buf_fmt(out, "\n%s %s %s", (const char *)n->name,
                       dev != NULL ? (const char *)dev : "",
                       model != NULL ? (const char *)model : "");
        xmlFree(dev);
        xmlFree(model);
    }
    free(memory);
    free(cpus);
}

static bool same_hardware(virDomainPtr domain, const char *snapshot_xml_text)
{
    int flags = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    char *now = virDomainGetXMLDesc(domain, 0);
    xmlDocPtr old_doc = xmlReadMemory(snapshot_xml_text, (int)strlen(snapshot_xml_text),
                                      "snapshot", NULL, flags);
    xmlDocPtr now_doc =
        now != NULL ? xmlReadMemory(now, (int)strlen(now), "domain", NULL, flags) : NULL;
    struct vx_buf was = { 0 };
    struct vx_buf is = { 0 };
    bool same = false;

    if (old_doc != NULL && now_doc != NULL) {
        count_devices(child(xmlDocGetRootElement(old_doc), "domain"), &was);
        count_devices(xmlDocGetRootElement(now_doc), &is);
        same = strcmp(vx_buf_cstr(&was), vx_buf_cstr(&is)) == 0;
    }
    vx_buf_free(&was);
    vx_buf_free(&is);
    xmlFreeDoc(old_doc);
    xmlFreeDoc(now_doc);
    free(now);
    return same;
}

/* ---- delete ---- */

static int delete_work(struct vx_call *call)
{
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotLookupByName(call->vir_domain, call->name, 0);
    int rc = 0;

    if (snapshot == NULL)
        return call_fail(call, "cannot find the snapshot");
    if (virDomainSnapshotDelete(snapshot,
                                call->flag ? VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN : 0) < 0)
        rc = snapshot_fail(call, "cannot delete the snapshot");
    virDomainSnapshotFree(snapshot);
    return rc;
}

struct vx_call *vx_snapshot_delete(struct vx_domain *domain, const char *name, bool children,
                                   vx_call_cb fn, void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, delete_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->name = vx_strdup(name);
    call->flag = children;
    call->forks = true;
    return call_start(call, err);
}
