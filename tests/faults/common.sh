# shellcheck shell=bash
# common.sh: what the fault tests share. Each works in a folder of its own, and the layer that plays
# faults and devices (tests/support/fault_layer.c) is below every program it starts.
set -u
: "${CLATTN_PROGRAM:?}" "${CLATTN_FAULT_LAYER:?}" "${CLATTN_DATA:?}"
export OPENCL_LAYERS=$CLATTN_FAULT_LAYER CLATTN_FAULT_LEAKS=${CLATTN_FAULT_LEAKS-1}
# Where there is no device the reference is to take over here, rather than fail the test.
unset CLATTN_REQUIRE_DEVICE CLATTN_DEVICE

work=${FAULTS_WORK:-}
failures=0

make_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/clattn-faults-XXXXXX") || exit 1
    trap 'rm -rf "$work"' EXIT
    export FAULTS_WORK=$work
}

# parameter NAME SHAPE: a file for `batch`, whose numbers are the first of the sentences' queries.
parameter() {
    mkdir -p "$work/parameters"
    {
        printf '\223NUMPY\1\0\166\0%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($2,), }"
        tail -c +129 "$CLATTN_DATA/sentences/query.npy" | head -c "$((4 * (${2//,/*})))"
    } >"$work/parameters/$1.npy"
}

# with_parameters: from here on `batch` has a location-sensitive score, with all that one may have, and
# no scores are asked for: who wants these gets the staged variant, as with dot products.
with_parameters() {
    export FAULTS_OUTPUTS='output weights lse'
    parameter w_query 16,32
    parameter w_key 16,32
    parameter v 16
    parameter bias 16
    parameter g 1
    parameter conv 3,2,5
    parameter w_location 16,3
    parameter previous_weights 8,34
    parameter cumulative_weights 8,34
}

# with_backward: from here on `batch` goes backward, to the gradients of parameters too where there are some.
with_backward() {
    local file
    export FAULTS_OUTPUTS='grad-query grad-key grad-value'
    for file in "$work"/parameters/*.npy; do
        [ ! -e "$file" ] || FAULTS_OUTPUTS+=" grad-param=$(basename "$file" .npy)"
    done
    export FAULTS_BACKWARD=1
}

# batch COMMAND [OPTIONS]: `clattn COMMAND` over the sentences.
batch() {
    local data=$CLATTN_DATA/sentences file more=()
    if [ -d "$work/parameters" ]; then
        more=(--score location-sensitive)
        for file in "$work"/parameters/*; do
            more+=(--param "$(basename "$file" .npy)=$file")
        done
    fi
    [ -z "${FAULTS_BACKWARD-}" ] || more+=(--backward --grad-output "$data/expected_output.npy")
    timeout 300 "$CLATTN_PROGRAM" "$1" --query "$data/query.npy" --key "$data/key.npy" \
        --value "$data/value.npy" --kv-lengths "$data/kv_lengths.npy" "${more[@]}" "${@:2}"
}

# run_batch FOLDER [OPTIONS]: computes all outputs into FOLDER/out, what is printed beside it.
run_batch() {
    local folder=$1 name to=()
    shift
    mkdir -p "$folder/out"
    for name in ${FAULTS_OUTPUTS-output weights scores lse}; do
        case $name in
        *=*) to+=("--${name%=*}" "${name#*=}=$folder/out/$name.npy") ;;
        *) to+=("--$name" "$folder/out/$name.npy") ;;
        esac
    done
    batch run "${to[@]}" "$@" >"$folder/stdout" 2>"$folder/stderr"
}

# same_outputs FOLDER WANTED: all outputs are there, byte for byte, and no other file is.
same_outputs() { diff -rq "$1/out" "$2/out" >"$1/diff" 2>&1; }

no_outputs() { [ -z "$(ls -A "$1/out")" ]; }

# one_line FILE PREFIX: the file is one line that begins so, and says more.
one_line() { [ "$(wc -l <"$1")" = 1 ] && [[ $(cat "$1") == "$2"?* ]]; }

# complain FOLDER WHAT STATUS: names a case that went wrong, with all it printed.
complain() {
    echo "FAILED $2: exit status $3, files: $(ls -A "$1/out" | tr '\n' ' ')"
    sed 's/^/    /' "$1/stderr"
    [ ! -s "$1/diff" ] || sed 's/^/    /' "$1/diff"
}

# check NAME COMMAND...: one named case of a test; its output is shown when it fails.
check() {
    if "${@:2}" >"$work/check.log" 2>&1; then
        echo "ok $1"
    else
        failures=$((failures + 1))
        echo "FAILED $1"
        sed 's/^/    /' "$work/check.log"
    fi
}

finish() {
    echo "$failures failed"
    [ "$failures" = 0 ]
    exit
}
