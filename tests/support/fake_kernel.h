/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small kernel behind the writes of a VrSysroot: PCI functions, drivers, groups. Reads come from
 * a tree of files, as on a recorded host; a write to bind, unbind, driver_override, drivers_probe,
 * power/control, d3cold_allowed or a pool of huge pages changes that tree as Linux would, or
 * answers with Linux's errno (drivers/base/bus.c, dd.c; drivers/pci/pci-driver.c, pci-sysfs.c;
 * drivers/iommu/iommu.c). tests/contract holds it to the real one. Every mistake of a test ends it.
 */
#pragma once

#include <vmrun/apply.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>

typedef struct _FakeKernel FakeKernel;

FakeKernel *fake_kernel_new(void);
void fake_kernel_free(FakeKernel *kernel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeKernel, fake_kernel_free)

/* Lent; writes go through the fake. And its directory. */
VrSysroot *fake_kernel_root(FakeKernel *kernel);
const char *fake_kernel_directory(const FakeKernel *kernel);

/* A driver, with the ids that it takes by itself ("10de:2484 10de:228b", "" none) and its module
 * (NULL: built in). vfio-pci is there from the start. */
void fake_kernel_add_driver(FakeKernel *kernel, const char *name, const char *ids,
                            const char *module);
/* Take a driver away: its directory is gone until its module is loaded. */
void fake_kernel_unload(FakeKernel *kernel, const char *driver);

/* A function, unbound: "0000:01:00.0", "030000 10de:2484", group -1: none. */
void fake_kernel_add_device(FakeKernel *kernel, const char *address, const char *class_and_id,
                            int group);
void fake_kernel_remove_device(FakeKernel *kernel, const char *address);

/* A device node that a host driver of the function makes: "/dev/snd/controlC0", below the function
 * "sound/controlC0", "c 116:5 0660". udev gives it that mode again whenever it is made. */
void fake_kernel_add_node(FakeKernel *kernel, const char *address, const char *path,
                          const char *place, const char *value);

/* How it is at the beginning, whatever the rules say. NULL: none. */
void fake_kernel_place(FakeKernel *kernel, const char *address, const char *driver,
                       const char *override, const char *power_control);

/* A pool of the whole host's 2 MiB pages, and how many the kernel can find at all. */
void fake_kernel_add_pool(FakeKernel *kernel, unsigned pages, unsigned limit);

/* So many of its pages are in use: they cannot be taken away. */
void fake_kernel_use_pages(FakeKernel *kernel, unsigned pages);
unsigned fake_kernel_pages(const FakeKernel *kernel);

/* A frequency policy that knows powersave and performance, and its governor now. Owned. */
void fake_kernel_add_policy(FakeKernel *kernel, unsigned number, const char *governor);
char *fake_kernel_governor(const FakeKernel *kernel, unsigned number);

/* All processors of the host; one of the host's groups limited by hand; and what it has. Owned. */
void fake_kernel_add_cpus(FakeKernel *kernel, const char *all);
void fake_kernel_limit_unit(FakeKernel *kernel, const char *unit, const char *list);
char *fake_kernel_cpus(const FakeKernel *kernel, const char *unit);

/* A unit that the executor below can switch. */
void fake_kernel_add_unit(FakeKernel *kernel, const char *name, bool active);
bool fake_kernel_unit_is_active(const FakeKernel *kernel, const char *name);

/* Somebody has the group open: host drivers are refused (EBUSY) for the next `binds` tries. */
void fake_kernel_own_group(FakeKernel *kernel, int group, unsigned binds);

/* Probe of this driver fails with an errno (0: no more), `times` times. */
void fake_kernel_fail_probe(FakeKernel *kernel, const char *driver, int errno_value,
                            unsigned times);

/* The kernel can reset this function alone, by these methods ("flr pm"). With `needed` no host
 * driver takes it before it was reset. And how often it was. */
void fake_kernel_add_reset(FakeKernel *kernel, const char *address, const char *methods,
                           bool needed);
unsigned fake_kernel_resets(const FakeKernel *kernel, const char *address);

/* Take a driver away for good: its module is not on this computer any more. */
void fake_kernel_uninstall(FakeKernel *kernel, const char *driver);

/* A write that goes wrong. */
typedef struct {
    const char *file;    /* how its path ends: "driver_override", "nvidia/unbind" */
    const char *address; /* of this function: in the path, or what is written */
    const char *text;    /* only this value, "": nothing but a newline; NULL: any */
    int errno_value;     /* 0: success is reported, and nothing happens */
    bool is_short;       /* only a part of it is taken */
    unsigned times;      /* how often; G_MAXUINT: always */
} FakeFault;

/* Copied, its texts are lent. NULL: nothing goes wrong any more. */
void fake_kernel_set_fault(FakeKernel *kernel, const FakeFault *fault);
/* How often it happened. */
unsigned fake_kernel_faults(const FakeKernel *kernel);

/* bind reports success and does nothing. */
void fake_kernel_bind_in_silence(FakeKernel *kernel, bool silent);

/* After each unbind this driver tries to take the function at once, as udev or a module might. */
void fake_kernel_set_grabber(FakeKernel *kernel, const char *driver);

/* The probe of this driver leaves power/control at that value. */
void fake_kernel_probe_sets_power(FakeKernel *kernel, const char *driver, const char *value);

/* The write with number n (from 0) fails, or it and all after it do not happen (the program is
 * dead); fake_kernel_revive lets writes happen again and counts from 0. */
void fake_kernel_fail_at(FakeKernel *kernel, unsigned n, int errno_value);
void fake_kernel_crash_at(FakeKernel *kernel, unsigned n);
void fake_kernel_revive(FakeKernel *kernel);
unsigned fake_kernel_writes(const FakeKernel *kernel);

/* Know again from the tree how everything is: another process (a child that was killed) has changed
 * it. What was set to go wrong stays as it was here. */
void fake_kernel_reload(FakeKernel *kernel);

/* All files below /sys and /dev, as text: to be compared. Owned. */
char *fake_kernel_snapshot(const FakeKernel *kernel);

/* "nouveau", "none". Owned. */
char *fake_kernel_driver(const FakeKernel *kernel, const char *address);
/* "(null)" for none. Owned. */
char *fake_kernel_override(const FakeKernel *kernel, const char *address);

/* Executes in this process, with the fake's units and modules. Lent data. */
VrExecutor fake_kernel_executor(FakeKernel *kernel);
