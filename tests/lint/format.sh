#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clang-format 14 (another version lays out some lines differently) has nothing to change.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 1

formatter=$(command -v clang-format-14 || command -v clang-format) || { echo "clang-format is missing" && exit 1; }
find include src tests -name '*.[ch]' -print0 | xargs -0 -r "$formatter" --dry-run -Werror
