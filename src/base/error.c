/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/error.h>

#include <errno.h>
#include <stdarg.h>

G_DEFINE_QUARK(vr - error - quark, vr_error)

static VrError
code_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
        return VR_ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return VR_ERROR_DENIED;
    case EBUSY:
        return VR_ERROR_DEVICE_BUSY;
    case ENODEV:
    case ENXIO:
        return VR_ERROR_GONE;
    default:
        return VR_ERROR_IO;
    }
}

bool
vr_error_set_errno(GError **error, int errno_value, const char *format, ...)
{
    if (error == NULL) { /* nobody wants to know: for optional facts, that is most of the time */
        return false;
    }

    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, VR_ERROR, code_of_errno(errno_value), "%s: %s", message,
                g_strerror(errno_value));
    return false;
}

bool
vr_error_set(GError **error, VrError code, const char *format, ...)
{
    if (error == NULL) {
        return false;
    }

    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, VR_ERROR, code, message);
    return false;
}

bool
vr_error_prefix(GError **error, const char *format, ...)
{
    if (error == NULL || *error == NULL) {
        return false;
    }

    va_list arguments;

    va_start(arguments, format);
    g_autofree char *goal = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_prefix_error(error, "%s: ", goal);
    return false;
}

bool
vr_error_recode(GError **error, VrError code)
{
    if (error != NULL && *error != NULL) {
        (*error)->domain = VR_ERROR;
        (*error)->code = code;
    }
    return false;
}

int
vr_error_exit_status(const GError *error)
{
    if (error == NULL) {
        return 0;
    }
    if (error->domain != VR_ERROR || error->code <= 0 || error->code >= VR_ERROR_IO) {
        return VR_ERROR_FAILED;
    }
    return error->code;
}
