/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small computers made of files: a directory that stands behind --root or VrSysroot.
 *
 * A recorded one is a text, NAME.tree, one line per entry, so that a diff shows what changed:
 *
 *   # comment
 *   d /sys/devices/pci0000:00/0000:00:01.0     a directory
 *     f class 0x060400                         a file in it, with its text (\n, \t and \\ as in C)
 *     l driver ../../../bus/pci/drivers/pcieport   a link in it
 *   l /sys/bus/pci/devices/0000:00:01.0 ../../../devices/pci0000:00/0000:00:01.0
 *
 * Entries that are set in belong to the directory above them. Every mistake ends the test.
 */
#pragma once

#include <vmrun/sysroot.h>

typedef enum {
    TREE_AS_RECORDED,
    /* As a careless copy of /sys looks: directories in /sys/bus/pci/devices, no uevent, no parents,
     * groups told by /sys/kernel/iommu_groups only. */
    TREE_FLAT,
} TreeShape;

/* A new empty temporary directory. Owned; tree_remove deletes it with all that is in it. */
char *tree_new(void);
void tree_remove(char *directory);

/* Entries at an absolute path below `directory`; directories above are made, a file is replaced. A
 * file gets a newline at its end, as in sysfs. */
void tree_write(const char *directory, const char *path, const char *text);
void tree_link(const char *directory, const char *path, const char *target);
void tree_make(const char *directory, const char *path);

/* Unpack a recorded computer, "49-laptop.tree" out of tests/hosts. */
void tree_unpack(const char *directory, const char *file, TreeShape shape);

/* A function of PCI as a directory below /sys/devices with its link in /sys/bus/pci/devices. `path`
 * is what comes behind "/sys/devices/", "pci0000:00/0000:00:01.0/0000:01:00.0"; group -1 and driver
 * NULL: none. */
void tree_pci(const char *directory, const char *path, const char *class_and_id, const char *driver,
              int group);

/* The directory as a root. */
VrSysroot *tree_root(const char *directory);

/* Where the recorded computers are: tests/hosts, from the top of the source tree or from
 * VMRUN_TEST_SOURCE. Owned. */
char *tree_hosts(void);
