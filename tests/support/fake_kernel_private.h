/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by fake_kernel.c (the test's side) and fake_kernel_rules.c (what Linux does). */
#pragma once

#include "fake_kernel.h"

typedef struct {
    char *name;
    char *ids; /* "10de:2484 10de:228b" */
    char *module;
    bool loaded;
    int probe_errno;
    unsigned probe_failures;
    char *probe_power; /* what its probe sets power/control to, NULL: nothing */
} FakeDriver;

typedef struct {
    char *path, *place, *value;
} FakeNode;

typedef struct {
    GPtrArray *nodes; /* FakeNode */
    char *address;
    char *id; /* "10de:2484" */
    int group;
    FakeDriver *driver; /* NULL: none */
    char *override;
    bool needs_reset;
    unsigned resets;
} FakeDevice;

struct _FakeKernel {
    char *directory;
    VrSysroot *root;
    GPtrArray *drivers; /* FakeDriver */
    GPtrArray *devices; /* FakeDevice */
    GHashTable *units;  /* name -> active */
    char *grabber;
    bool silent;
    int owned_group;
    unsigned owned_binds;
    unsigned pool_limit, pool_used;
    unsigned writes;
    int fail_at, fail_errno, crash_at; /* -1: never */
    FakeFault fault;                   /* file NULL: none */
    unsigned faults;
};

FakeDriver *fake_find_driver(const FakeKernel *kernel, const char *name);
FakeDevice *fake_find_device(const FakeKernel *kernel, const char *address);

/* Store in the tree, with a newline. */
void fake_store(const FakeKernel *kernel, const char *path, const char *text);

void fake_node_free(gpointer node);
void fake_set_driver(FakeKernel *kernel, FakeDevice *device, FakeDriver *driver);
void fake_set_override(FakeKernel *kernel, FakeDevice *device, const char *override);
void fake_set_power(FakeKernel *kernel, FakeDevice *device, const char *value);
void fake_set_pool(FakeKernel *kernel, unsigned pages);

/* What the executor's systemd does, and what the kernel does then (fake_cpus.c). */
bool fake_set_cpus(void *data, const VrSysroot *root, const char *unit, const char *list,
                   GError **error);
int fake_cpus_write(FakeKernel *kernel, const char *path, const char *text);

/* A driver was registered: it takes every function that it may have. */
void fake_probe_all(FakeKernel *kernel, FakeDriver *driver);

/* The VrSysrootWriteHook. */
bool fake_kernel_write(void *data, const char *path, const char *text, GError **error);
