/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/domain_xml_read.h"

#include <vmrun/text.h>

#include <libxml/parser.h>
#include <libxml/xpath.h>

#include <string.h>

/* libvirt made the text; it is parsed as a stranger's all the same. */
static xmlDoc *
parse(const char *xml)
{
    return xmlReadMemory(xml, (int) strlen(xml), NULL, NULL,
                         XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

/* What an expression finds in a document: a set, or NULL. */
static xmlXPathObject *
find(xmlDoc *document, const char *expression)
{
    xmlXPathContext *context = xmlXPathNewContext(document);
    xmlXPathObject *found = xmlXPathEvalExpression((const xmlChar *) expression, context);

    xmlXPathFreeContext(context);
    return found;
}

static bool
read_number(xmlNode *node, const char *name, uint64_t maximum, uint64_t *out_value)
{
    xmlChar *text = xmlGetProp(node, (const xmlChar *) name);
    bool read = text != NULL && vr_text_to_hex((const char *) text, maximum, out_value);

    xmlFree(text);
    return read;
}

static bool
read_address(xmlNode *node, VrPciAddress *out_address)
{
    uint64_t domain = 0;
    uint64_t bus = 0;
    uint64_t slot = 0;
    uint64_t function = 0;

    if (!read_number(node, "domain", UINT32_MAX, &domain) ||
        !read_number(node, "bus", 0xff, &bus) || !read_number(node, "slot", 0x1f, &slot) ||
        !read_number(node, "function", 7, &function)) {
        return false;
    }
    *out_address =
        (VrPciAddress){(uint32_t) domain, (uint8_t) bus, (uint8_t) slot, (uint8_t) function};
    return true;
}

GArray *
vr_domain_xml_assigned(const char *xml)
{
    GArray *addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    xmlDoc *document = parse(xml);

    if (document == NULL) {
        return addresses;
    }

    xmlXPathObject *found =
        find(document, "/domain/devices/hostdev[@type='pci']/source/address"
                       " | /domain/devices/interface[@type='hostdev']/source/address"
                       " | /domain/devices/disk[@type='nvme']/source/address");

    for (int i = 0; found != NULL && found->nodesetval != NULL && i < found->nodesetval->nodeNr;
         i++) {
        VrPciAddress address = {0, 0, 0, 0};

        if (read_address(found->nodesetval->nodeTab[i], &address)) {
            g_array_append_val(addresses, address);
        }
    }
    xmlXPathFreeObject(found);
    xmlFreeDoc(document);
    return addresses;
}

bool
vr_domain_xml_agent_is_connected(const char *xml)
{
    xmlDoc *document = parse(xml);
    bool connected = false;

    if (document != NULL) {
        xmlXPathObject *found =
            find(document, "/domain/devices/channel/target[@name='org.qemu.guest_agent.0' and "
                           "@state='connected']");

        connected = found != NULL && found->nodesetval != NULL && found->nodesetval->nodeNr > 0;
        xmlXPathFreeObject(found);
    }
    xmlFreeDoc(document);
    return connected;
}
