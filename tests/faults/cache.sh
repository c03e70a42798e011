#!/usr/bin/env bash
# cache.sh: whatever the folder of cached binaries holds, `clattn run` gives the same outputs.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
make_work
export CLATTN_CACHE_DIR=$work/cache

same_run() {
    rm -rf "$work/run"
    run_batch "$work/run"
    local status=$?
    [ $status = 0 ] && [ ! -s "$work/run/stderr" ] && same_outputs "$work/run" "$work/clean" && return
    complain "$work/run" run $status
    return 1
}

files() { find "$work/cache" -type f; }
cached() { [ -d "$work/cache" ] && [ "$(files | wc -l)" = "$(wc -l <"$work/files")" ]; }

# The binaries are used: with all of them there, no program is built from its source.
used() {
    CLATTN_FAULT_COUNT=$work/counts same_run &&
        grep -q '^clCreateProgramWithBinary ' "$work/counts" &&
        ! grep -q '^clCreateProgramWithSource ' "$work/counts"
}

# damaged FUNCTION: every cached file is spoiled, a run is not disturbed, and the next finds a new one.
damaged() {
    files | while read -r file; do "$1" "$file"; done
    same_run && used
}
empty_file() { : >"$1"; }
cut_file() { truncate -s "$(($(stat -c %s "$1") / 2))" "$1"; }
cut_last_byte() { truncate -s -1 "$1"; }
lengthen() { echo more >>"$1"; }
overwrite_at() { dd of="$2" bs=1 seek="$1" conv=notrunc status=none; }
garble() { printf '%300s' garbled | overwrite_at "$(($(stat -c %s "$1") / 2))" "$1"; }
garble_header() { printf '\377\377\377\377\377\377\377\377' | overwrite_at 40 "$1"; }
exchange() { cp "$(files | grep -vF "$1" | head -n 1)" "$1"; }

several_processes() {
    local i pids=()
    rm -rf "$work/cache"
    for i in 1 2 3 4 5 6 7 8; do
        run_batch "$work/process$i" &
        pids+=($!)
    done
    for i in 1 2 3 4 5 6 7 8; do
        wait "${pids[i - 1]}" && [ ! -s "$work/process$i/stderr" ] &&
            same_outputs "$work/process$i" "$work/clean" || { complain "$work/process$i" "process $i" $?; return 1; }
    done
    [ -z "$(find "$work/cache" -name '*.tmp')" ] && used
}

without_cache() {
    CLATTN_CACHE_DIR=$1 CLATTN_FAULT_COUNT=$work/counts same_run && grep -q '^clCreateProgramWithSource ' "$work/counts"
}

run_batch "$work/clean" || { complain "$work/clean" "first run" $?; exit 1; }
files >"$work/files"
check "a first run fills the cache" test -s "$work/files"
check "a second run uses it" used
check "emptied files" damaged empty_file
check "files cut in the middle" damaged cut_file
check "files without their last byte" damaged cut_last_byte
check "files with more at their end" damaged lengthen
check "files garbled in the middle" damaged garble
check "files with a wrong length in their header" damaged garble_header
check "the file of another program" damaged exchange
check "removed files" damaged rm
check "no file was added" cached
check "eight processes on an empty cache" several_processes
touch "$work/file"
mkdir -m 0777 "$work/open"
check "a file in the folder's place" without_cache "$work/file"
check "a folder below a file" without_cache "$work/file/below"
check "a folder that others may write to" without_cache "$work/open"
check "no cache" without_cache ""
# /proc is read-only for root too.
check "a read-only folder" without_cache /proc
check "the open folder was not written to" rmdir "$work/open"
finish
