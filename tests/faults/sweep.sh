#!/usr/bin/env bash
# sweep.sh warm|copied|cold|lost [parameters] [backward]: fails each OpenCL call of `clattn run` once.
#
#   warm    every call of every function, the programs' binaries cached
#   copied  the same on a device with memory of its own, to which and from which tensors are copied
#   cold    every call that has to do with programs, with an empty cache: they are built
#   lost    every function's first, middle and last call, and all calls of all functions after it
#
# With "parameters" the run is one of a score that has them, not of dot products; with "backward" it makes gradients,
# after forward on the same device.
#
# Each run must end by itself, release everything, and either fail with status 3, one line and no
# output file, or succeed with complete and right outputs. It may succeed where a call was needed for
# the cache only, or where no device was left and the reference took over with a warning.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"

code_of() {
    case $1 in
    clGetPlatformIDs | clCreateCommandQueue | clSetKernelArg | clCreateProgramWithSource) echo -6 ;;
    clCreateContext) echo -2 ;;
    clCreateBuffer | clCreateSubBuffer) echo -4 ;;
    clCreateProgramWithBinary) echo -42 ;;
    clBuildProgram) echo -11 ;;
    clCreateKernel) echo -46 ;;
    clEnqueueMapBuffer) echo -12 ;;
    clWaitForEvents) echo -14 ;;
    *) echo -5 ;;
    esac
}

# may_continue MODE FUNCTION N KIND: whether a run may end in another way than with status 3.
may_continue() {
    case $2 in
    clGetPlatformIDs | clGetPlatformInfo | clGetDeviceIDs | clGetDeviceInfo) [ "$4" = warning ] ;;
    clCreateProgramWithBinary | clGetProgramInfo) [ "$4" = silence ] ;;
    clBuildProgram | clCreateKernel) [ "$4" = silence ] && [[ $1 == warm || $1 == copied ]] ;; # of a binary: the source is built then
    # The last one closes the device, when the outputs are written.
    clFinish) [ "$4" = silence ] && grep -qx "clFinish $3" "$work/counts" ;;
    *) false ;;
    esac
}

# one_fault MODE FUNCTION N: a single run; prints what is wrong with it.
one_fault() {
    local mode=$1 name=$2 n=$3 folder=$work/$2.$3 status kind
    [[ $mode == warm || $mode == copied ]] || export CLATTN_CACHE_DIR=$folder/cache
    [ "$mode" != lost ] || export CLATTN_FAULT_STICKY=1
    mkdir "$folder"
    CLATTN_FAULT_FAIL=$name:$n:$(code_of "$name") run_batch "$folder"
    status=$?
    if [ $status = 3 ] && one_line "$folder/stderr" 'clattn: ' && no_outputs "$folder"; then
        kind=failure
    elif [ $status = 0 ] && [ ! -s "$folder/stderr" ] && same_outputs "$folder" "$work/clean"; then
        kind=silence
    elif [ $status = 0 ] && one_line "$folder/stderr" 'clattn: warning: ' &&
        same_outputs "$folder" "$work/reference"; then
        kind=warning
    else
        kind=bad
    fi
    if [ $kind = failure ] || may_continue "$mode" "$name" "$n" "$kind"; then
        rm -r "$folder"
    else
        complain "$folder" "$name, call $n" "$status"
        return 1
    fi
}

if [ "${1-}" = --one ]; then
    one_fault "${@:2}"
    exit
fi
mode=$1
make_work
for word in "${@:2}"; do
    "with_$word"
done
[ "$mode" != copied ] || export CLATTN_FAULT_UNIFIED_MEMORY=0
export CLATTN_CACHE_DIR=$work/cache
run_batch "$work/reference" --device reference || { complain "$work/reference" reference $?; exit 1; }
run_batch "$work/clean" || { complain "$work/clean" "run that fills the cache" $?; exit 1; }
[[ $mode == warm || $mode == copied ]] || CLATTN_CACHE_DIR=$work/cold
CLATTN_FAULT_COUNT=$work/counts run_batch "$work/counted" || { complain "$work/counted" count $?; exit 1; }

# A launch sets a dozen arguments, which fail alike: where there are many launches, every sixth or so meets them all.
most=300
while read -r name count; do
    case $mode:$name in
    warm:* | copied:*) seq 1 $(((count + most - 1) / most)) "$count" ;;
    cold:*Program* | cold:clCreateKernel) seq 1 "$count" ;;
    lost:*) printf '%d\n' 1 $(((count + 1) / 2)) "$count" | sort -nu ;;
    esac | sed "s/^/$mode $name /"
done <"$work/counts" >"$work/faults"

cat "$work/counts"
xargs -P "$(nproc)" -L 1 bash "$0" --one <"$work/faults" >"$work/complaints"
status=$?
cat "$work/complaints"
echo "$(wc -l <"$work/faults") runs, $(grep -c '^FAILED' "$work/complaints") failed"
[ $status = 0 ] && [ -s "$work/faults" ]
