/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt as it was found at run time, and the preparation of its embedded driver. */
#pragma once

#include <vmrun/hypervisor.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <glib.h>
#include <stdbool.h>

/* Every function of libvirt that vmrun calls. */
#define VR_LIBVIRT_FUNCTIONS(X)                                                                    \
    X(virConnectClose)                                                                             \
    X(virConnectListAllDomains)                                                                    \
    X(virConnectOpen)                                                                              \
    X(virDomainAgentSetResponseTimeout)                                                            \
    X(virConnectGetLibVersion)                                                                     \
    X(virDomainCreateXML)                                                                          \
    X(virDomainDestroy)                                                                            \
    X(virDomainFree)                                                                               \
    X(virDomainGetMetadata)                                                                        \
    X(virDomainGetName)                                                                            \
    X(virDomainGetState)                                                                           \
    X(virDomainGetTime)                                                                            \
    X(virDomainGetUUIDString)                                                                      \
    X(virDomainGetXMLDesc)                                                                         \
    X(virDomainIsActive)                                                                           \
    X(virDomainLookupByName)                                                                       \
    X(virDomainLookupByUUIDString)                                                                 \
    X(virDomainShutdownFlags)                                                                      \
    X(virEventAddTimeout)                                                                          \
    X(virEventRegisterDefaultImpl)                                                                 \
    X(virEventRemoveTimeout)                                                                       \
    X(virEventRunDefaultImpl)                                                                      \
    X(virEventUpdateTimeout)                                                                       \
    X(virGetLastError)                                                                             \
    X(virNetworkFree)                                                                              \
    X(virNetworkIsActive)                                                                          \
    X(virNetworkLookupByName)                                                                      \
    X(virResetLastError)                                                                           \
    X(virSetErrorFunc)

#define VR_LIBVIRT_MEMBER(function) __typeof__(&(function)) function;

typedef struct {
    VR_LIBVIRT_FUNCTIONS(VR_LIBVIRT_MEMBER)
} VrLibvirt;

/* Open the shared library and find all functions. VR_ERROR_UNREACHABLE: it is not installed or too
 * old. It stays open until the process ends. */
bool vr_libvirt_load(VrLibvirt *libvirt, GError **error);

/* The thread in which the embedded driver gets its events. */
typedef struct _VrEventLoop VrEventLoop;

VrEventLoop *vr_event_loop_start(const VrLibvirt *libvirt);
/* NULL is fine. */
void vr_event_loop_stop(VrEventLoop *loop);

/* The root directory of an embedded URI, or NULL if it is not one. Owned. */
char *vr_embedded_root(const char *uri);

/* Make the root, its directories and its qemu.conf; clear what an earlier boot left in its run/. */
bool vr_embedded_prepare(const char *directory, const char *boot_id, GError **error);
