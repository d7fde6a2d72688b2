/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI address, and one PCI function as the host shows it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Passed by value, never allocated. */
typedef struct {
    uint32_t domain; /* 32 bit: VMD and Hyper-V use more than four digits */
    uint8_t bus;
    uint8_t slot;     /* 0..31 */
    uint8_t function; /* 0..7 */
} VrPciAddress;

/* "0000:01:00.0", domain of four to eight digits; "01:00.0" gets domain 0. Anything else is false.
 */
bool vr_pci_address_parse(const char *text, VrPciAddress *out_address);

/* Full lower-case form, at least four domain digits. Owned. */
char *vr_pci_address_format(VrPciAddress address);

int vr_pci_address_compare(VrPciAddress a, VrPciAddress b);
bool vr_pci_address_equal(VrPciAddress a, VrPciAddress b);
bool vr_pci_address_same_slot(VrPciAddress a, VrPciAddress b);

/* Is the address in an array of VrPciAddress? */
bool vr_pci_addresses_contain(const GArray *addresses, VrPciAddress address);

/* What could not be read of a function, as bits of VrPciFunction.unreadable. Absent is not
 * unreadable. */
typedef enum {
    VR_PCI_UNREADABLE_IDS = 1 << 0,
    VR_PCI_UNREADABLE_DRIVER = 1 << 1,
    VR_PCI_UNREADABLE_GROUP = 1 << 2,
    VR_PCI_UNREADABLE_BOOT_VGA = 1 << 3,
} VrPciUnreadable;

typedef enum { VR_UNKNOWN = -1, VR_NO = 0, VR_YES = 1 } VrTristate;

typedef struct {
    VrPciAddress address;
    uint32_t class_code; /* 24 bit: base class, subclass, interface; 0x030000 = VGA */
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem_device; /* valid if has_subsystem */
    bool has_subsystem;
    uint8_t revision;           /* 0xff on a card that does not answer */
    char *driver;               /* NULL: none */
    int group;                  /* IOMMU group, -1: none */
    VrTristate boot_vga;        /* VR_UNKNOWN: no such attribute */
    int numa_node;              /* -1: not told */
    bool is_virtual;            /* SR-IOV virtual function (physfn link) */
    unsigned virtual_functions; /* of SR-IOV, that are there */
    bool is_dead;               /* vendor 0xffff, revision 0xff or header type 0x7f */
    bool has_parent;            /* false: on a root bus */
    VrPciAddress parent;        /* the bridge above */
    unsigned unreadable;        /* VrPciUnreadable bits */
    char *error;                /* the first error met, NULL if none */
} VrPciFunction;

void vr_pci_function_free(VrPciFunction *function);

/* PCI base class 03, display controllers (PCI Code and ID Assignment, 1.x: 0300 VGA, 0302 3D, 0380
 * other). */
bool vr_pci_function_is_display(const VrPciFunction *function);

/* Classes 0600 and 0604: host bridge and PCI-to-PCI bridge, the only ones that may share a group.
 */
bool vr_pci_function_is_bridge(const VrPciFunction *function);

/* "10de:2484". Owned. */
char *vr_pci_function_id(const VrPciFunction *function);
