#!/bin/sh
# Prints where Chromium is, which the browser tests drive; installs Debian's where there is none.
set -eu
found() {
    for name in "${PRIVSDK_CHROMIUM:-}" chromium chromium-browser google-chrome; do
        if [ -n "$name" ] && command -v "$name"; then return 0; fi
    done
    return 1
}
found && exit 0
if command -v apt-get >/dev/null; then
    as_root=""
    if [ "$(id -u)" != 0 ]; then as_root="sudo"; fi
    echo "Installing Chromium for the browser tests." >&2
    $as_root apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >&2
fi
found && exit 0
echo "The browser tests need Chromium: install it, or say where it is with PRIVSDK_CHROMIUM=path." >&2
exit 1
