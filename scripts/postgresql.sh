#!/bin/sh
# Prints the folder of PostgreSQL's programs, of which tests start a server; installs Debian's where there is none.
set -eu
found() {
    for folder in "${PRIVSDK_POSTGRESQL:-}" /usr/lib/postgresql/*/bin; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then echo "$folder"; return 0; fi
    done
    program=$(command -v initdb) && dirname "$(readlink -f "$program")"
}
found && exit 0
if command -v apt-get >/dev/null; then
    as_root=""
    if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
    echo "Installing PostgreSQL for the tests of its tables." >&2
    $as_root apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends postgresql >&2
fi
found && exit 0
echo "The tests of PostgreSQL's tables need its server: install it, or say where initdb is with PRIVSDK_POSTGRESQL=folder." >&2
exit 1
