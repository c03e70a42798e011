#!/usr/bin/env bash
# again.sh PROGRAM ARGUMENTS...: fails each OpenCL call of the program once. It does again what failed, and has to be
# right then, and to release everything.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
make_work
export CLATTN_CACHE_DIR=$work/cache

"$@" || { echo "FAILED without a fault: exit status $?"; exit 1; }
CLATTN_FAULT_COUNT=$work/counts "$@" || { echo "FAILED when counted: exit status $?"; exit 1; }
while read -r name count; do
    seq -f "CLATTN_FAULT_FAIL=$name:%g:-5" "$count"
done <"$work/counts" >"$work/faults"

cat "$work/counts"
# shellcheck disable=SC2016 # the inner shell expands it
xargs -P "$(nproc)" -I FAULT bash -c 'said=$(env FAULT timeout 60 "$@" 2>&1) ||
    echo "FAILED FAULT: exit status $?: $said"' again "$@" <"$work/faults" >"$work/complaints"
cat "$work/complaints"
echo "$(wc -l <"$work/faults") runs, $(grep -c '^FAILED' "$work/complaints") failed"
[ ! -s "$work/complaints" ] && [ -s "$work/faults" ]
