#!/usr/bin/env bash
# environment.sh: machines without a device, and devices with less than ours, played by the layer.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
make_work

# No device: `run` falls back to the reference with a warning, `verify` and a named device do not.
falls_back() {
    rm -rf "$work/run"
    env "$@" bash -c '. "$0/common.sh"; run_batch "$FAULTS_WORK/run"' "$here"
    local status=$?
    [ $status = 0 ] && one_line "$work/run/stderr" 'clattn: warning: ' &&
        same_outputs "$work/run" "$work/reference" && return
    complain "$work/run" run $status
    return 1
}
does_not_verify() {
    env "$@" bash -c '. "$0/common.sh"; batch verify' "$here" >"$work/stdout" 2>"$work/stderr"
    local status=$?
    cat "$work/stdout" "$work/stderr"
    [ $status = 3 ] && one_line "$work/stderr" 'clattn: '
}
requires() {
    CLATTN_REQUIRE_DEVICE=1 env "$@" "$CLATTN_PROGRAM" run --query "$CLATTN_DATA/sentences/query.npy" \
        --key "$CLATTN_DATA/sentences/key.npy" --value "$CLATTN_DATA/sentences/value.npy" \
        --output "$work/none.npy" 2>"$work/stderr"
    [ $? = 3 ] && one_line "$work/stderr" 'clattn: ' && [ ! -e "$work/none.npy" ]
}

# A device with limits: what it computes is right, and the same as without them where the work is
# divided alike.
verifies() {
    env "$@" bash -c '. "$0/common.sh"; batch verify' "$here"
}
verifies_our_kernels() {
    env "$@" bash -c '. "$0/common.sh"; batch verify --variant staged --causal --softcap 20 \
        --scores "$FAULTS_WORK/scores.npy" --scores-stage modified' "$here"
}
same() {
    rm -rf "$work/run"
    env "$@" bash -c '. "$0/common.sh"; run_batch "$FAULTS_WORK/run"' "$here"
    local status=$?
    [ $status = 0 ] && [ ! -s "$work/run/stderr" ] && same_outputs "$work/run" "$work/clean" && return
    complain "$work/run" run $status
    return 1
}
refuses_f64() {
    rm -rf "$work/run"
    CLATTN_FAULT_HIDE=cl_khr_fp64 run_batch "$work/run" --dtype f64
    local status=$?
    [ $status = 2 ] && one_line "$work/run/stderr" 'clattn: ' && no_outputs "$work/run" && return
    complain "$work/run" run $status
    return 1
}
# launches FOLDER [SETTING]: how many kernels a run starts.
launches() {
    env CLATTN_FAULT_COUNT="$1/counts" "${@:2}" bash -c '. "$0/common.sh"; run_batch "$1"' "$here" "$1" &&
        awk '$1 == "clEnqueueNDRangeKernel" { print $2 }' "$1/counts"
}
is_cut() {
    mkdir -p "$work/whole" "$work/cut"
    [ "$(launches "$work/cut" CLATTN_FAULT_ALLOCATION=20000)" -gt "$(launches "$work/whole")" ]
}
# takes_tile WANTED SETTING...: what is explained of the tiles, with such a driver.
takes_tile() {
    rm -rf "$work/run"
    env CLATTN_CACHE_DIR= CLATTN_FAULT_DEVICE_TYPE=gpu "${@:2}" \
        bash -c '. "$0/common.sh"; batch verify --explain --variant tiles' "$here" >"$work/explained" &&
        grep -F "tiles: $1" "$work/explained"
}
says_gpu() { CLATTN_FAULT_DEVICE_TYPE=gpu CLATTN_FAULT_UNIFIED_MEMORY=0 "$CLATTN_PROGRAM" devices | grep 'discrete GPU'; }

run_batch "$work/reference" --device reference || { complain "$work/reference" reference $?; exit 1; }
run_batch "$work/clean" || { complain "$work/clean" "run on the device" $?; exit 1; }

check "no driver: run" falls_back OCL_ICD_VENDORS=/nonexistent
check "no driver: verify" does_not_verify OCL_ICD_VENDORS=/nonexistent
check "no driver, but a device is required" requires OCL_ICD_VENDORS=/nonexistent
check "a driver without devices: run" falls_back POCL_DEVICES=
check "a driver without devices: verify" does_not_verify POCL_DEVICES=

for limits in CLATTN_FAULT_LOCAL_MEMORY={1024,16384} CLATTN_FAULT_GROUP_SIZE={1,32} \
    CLATTN_FAULT_ALLOCATION={20000,200000} CLATTN_FAULT_HIDE=cl_khr_fp64 CLATTN_FAULT_UNIFIED_MEMORY=0 \
    CLATTN_FAULT_DEVICE_TYPE={gpu,accelerator} \
    "CLATTN_FAULT_DEVICE_TYPE=gpu CLATTN_FAULT_UNIFIED_MEMORY=0 CLATTN_FAULT_LOCAL_MEMORY=32768
     CLATTN_FAULT_GROUP_SIZE=64 CLATTN_FAULT_ALLOCATION=200000 CLATTN_FAULT_HIDE=cl_khr_fp64"; do
    # shellcheck disable=SC2086 # several settings are several words
    check "${limits//CLATTN_FAULT_/}: verify, our kernels" verifies_our_kernels $limits
    # CLBlast, which serves all but CPUs, keeps programs until after the layer has counted.
    [[ $limits != *DEVICE_TYPE* ]] || limits="CLATTN_FAULT_LEAKS=0 $limits"
    # shellcheck disable=SC2086
    check "${limits//CLATTN_FAULT_/}: verify" verifies $limits
done
for limits in CLATTN_FAULT_ALLOCATION={20000,200000} CLATTN_FAULT_UNIFIED_MEMORY=0 CLATTN_FAULT_HIDE=cl_khr_fp64; do
    check "${limits//CLATTN_FAULT_/}: the same bits" same "$limits"
done
check "small allocations cut the batch" is_cut
check "f64 on a device without it" refuses_f64
check "the layer plays a discrete GPU" says_gpu
check "a kernel that wants smaller groups takes the next tile" takes_tile \
    "tiles of 32 x 32; 64 x 64 needs 256 work-items in a group of this kernel, and the device gives 64" \
    CLATTN_FAULT_KERNEL_GROUP_SIZE=64
check "where no tile stays in registers, the first one" takes_tile \
    "tiles of 64 x 64; 64 x 64 needs 8 bytes in place of registers" CLATTN_FAULT_KERNEL_PRIVATE_MEMORY=8
finish
