/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host in which everything is as it should be, in memory, and a profile that fits it: each test
 * breaks one thing and looks what the checks say.
 *
 * 0000:00:00.0 host bridge, group 0; 0000:00:02.0 processor graphics, boot display, group 1;
 * 0000:01:00.0 and .1 a card of NVIDIA, group 12; 8 CPUs; 16 GiB.
 */
#pragma once

#include <vmrun/checks.h>

typedef struct {
    VrHostFacts *facts;
    VrProfile *profile;
    VrHolders *holders;
    GPtrArray *devices; /* empty */
    GPtrArray *disks, *files, *busy_groups;
    GArray *claimed;
    bool with_profile, with_claimed, have_root;
} CheckHost;

CheckHost *check_host_new(void);
void check_host_free(CheckHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CheckHost, check_host_free)

/* What the checks say about it. */
VrReport *check_host_report(CheckHost *host);

/* The first finding with that id, and only with that severity if it is not -1; NULL: none. */
const VrFinding *check_find(const VrReport *report, const char *id, int severity);

void check_host_add_parameter(CheckHost *host, const char *key, const char *value);
VrPciFunction *check_host_function(CheckHost *host, const char *address);
VrPciFunction *check_host_add_function(CheckHost *host, const char *address, unsigned class_code,
                                       int group);
VrHolder *check_host_add_holder(CheckHost *host, VrHolderKind kind, int pid, const char *node);
void check_host_add_use(CheckHost *host, const char *use, bool critical);
void check_host_add_pool(CheckHost *host, int node, unsigned page_kib, uint64_t total,
                         uint64_t free_pages);
/* The fact lends from a new disk of the profile. */
VrDiskFact *check_host_add_disk(CheckHost *host, const char *path);
VrFileFact *check_host_add_file(CheckHost *host, const char *key, const char *path);
VrProfileNetwork *check_host_add_network(CheckHost *host, VrNetworkMode mode);
