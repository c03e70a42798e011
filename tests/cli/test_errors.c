/* Every error of the command line: the right exit code, one line on stderr that names what is
 * wrong, nothing on stdout, and no file that was not there before. */
#include "program.h"
#include "support/device_limits.h"
#include "support/named_tests.h"

#include <math.h>

#define RUN "run " QKV "--output o.npy "
#define BACKWARD "run " QKV "--backward --grad-output go.npy "
#define ADDITIVE "--score additive --param w_query=m35.npy --param w_key=m35.npy "
#define PACKED "run --query pq.npy --key pk.npy --value pv.npy --output o.npy "

static const struct wrong {
    int code;
    const char *arguments, *words; /* both words of "a|b" must be in the line */
    const char *before;            /* what the shell does first; NULL: nothing */
} errors[] = {
    {2, "", "command", NULL},
    {2, "fly", "'fly'|devices", NULL},
    {2, "tune", "'tune'|bench", NULL},
    {2, "--version please", "'please'", NULL},
    {2, "run", "--output", NULL},
    {2, "run --output o.npy", "--query|missing", NULL},
    {2, "run " QKV, "--output|missing", NULL},
    {2, RUN "--frobnicate", "--frobnicate|--help", NULL},
    {2, RUN "-x", "-x", NULL},
    {2, RUN "-xh", "'-xh'", NULL},
    {2, RUN "--caus", "unknown option|'--caus'", NULL},
    {2, RUN "--cu-seqlens-q n.npy", "--cu-seqlens-k|missing|--cu-seqlens-q", NULL},
    {2, RUN "--cu-seqlens-k n.npy", "--cu-seqlens-q|missing|--cu-seqlens-k", NULL},
    {2, RUN "--cu-seqlens-q n.npy --cu-seqlens-k q.npy", "--cu-seqlens-k|float32|integers", NULL},
    {2, PACKED "--cu-seqlens-q late.npy --cu-seqlens-k pn.npy",
     "--cu-seqlens-q: element 0 is 1, expected 0", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k falls.npy",
     "--cu-seqlens-k: element 2 is 2 after 7, expected numbers that never fall", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pm.npy",
     "--cu-seqlens-k: element 2, the last one, is 5, expected 7, the rows of key", NULL},
    {2, PACKED "--cu-seqlens-q three.npy --cu-seqlens-k n.npy", "--cu-seqlens-q|element 0", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k n.npy",
     "--cu-seqlens-k: shape (2), expected (B + 1=3)", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --mask m.npy",
     "--mask: given with packed sequences", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --kv-lengths n.npy",
     "--kv-lengths: given with packed sequences", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --weights w.npy",
     "--weights: given with packed sequences", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --column-sums c.npy",
     "--column-sums: given with packed sequences", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --argmax a.npy",
     "--argmax: given with packed sequences", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --entropy e.npy",
     "--entropy: given with packed sequences", NULL},
    {2, PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --weights w.npy --weights-rows 4",
     "--weights: given with packed sequences", NULL},
    {2,
     "run --query big.npy --key pk.npy --value pv.npy --output o.npy --cu-seqlens-q pm.npy "
     "--cu-seqlens-k pn.npy",
     "--query|(48, 64)|3 axes", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --cu-seqlens-q pm.npy --cu-seqlens-k pm.npy",
     "--cu-seqlens-q|--shape", NULL},
    {2, RUN "--rounds 3", "unknown option|'--rounds'", NULL},
    {2, RUN "surplus", "'surplus'", NULL},
    {2, RUN "-- surplus", "'surplus'", NULL},
    {2, RUN "--scale", "--scale|value", NULL},
    {2, RUN "--device ''", "--device|empty", NULL},
    {2, RUN "--device=", "--device|empty", NULL},
    {2, "run " QKV "--output --causal", "--output|'--causal' follows", NULL},
    {2, RUN "--causal=3", "--causal|no value", NULL},
    {2, RUN "--causal --causal", "--causal|twice", NULL},
    {2, RUN "--query q.npy", "--query|twice", NULL},
    {2, RUN "--scale fast", "--scale|number", NULL},
    {2, RUN "--scale ' 2'", "--scale|number", NULL},
    {2, RUN "--scale nan", "--scale|nan|finite", NULL},
    {2, RUN "--scale 1e999", "--scale|inf|finite", NULL},
    {2, RUN "--softcap -1", "--softcap|-1", NULL},
    {2, RUN "--score concat", "'concat'|scaled-dot, dot, general|cosine or rbf", NULL},
    {2, RUN "--normalizer entmax", "'entmax'|softmax, none, sigmoid, sparsemax or entmax15", NULL},
    {2, RUN "--alignment centre", "--alignment|top-left or bottom-right", NULL},
    {2, RUN "--layout sbhd", "--layout|bhsd or bshd", NULL},
    {2, RUN "--dtype int8", "--dtype|bf16", NULL},
    {2, RUN "--precision slow", "--precision|strict", NULL},
    {2, RUN "--scores s.npy --scores-stage late", "--scores-stage|modified", NULL},
    {2, RUN "--scores-stage capped", "--scores-stage|--scores", NULL},
    {2, RUN "--weights-heads 0", "--weights-heads: given without --weights", NULL},
    {2, RUN "--weights-rows 0", "--weights-rows: given without --weights", NULL},
    {2, RUN "--weights w.npy --weights-heads 1", "--weights-heads: '1'|rising numbers below 1",
     NULL},
    {2, RUN "--weights w.npy --weights-rows 0,3", "--weights-rows: '3' in '0,3'|below 3", NULL},
    {2, RUN "--weights w.npy --weights-rows 0-3", "--weights-rows: '0-3'|below 3", NULL},
    {2, RUN "--weights w.npy --weights-rows 2,1", "--weights-rows: '1' in '2,1'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows 0-1,1", "--weights-rows: '1' in '0-1,1'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows 2-1", "--weights-rows: '2-1'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows -1", "--weights-rows: '-1'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows 0,", "--weights-rows: '' in '0,'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows 0-", "--weights-rows: '0-'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows all", "--weights-rows: 'all'|rising", NULL},
    {2, RUN "--weights w.npy --weights-rows 0-99999999999999999999",
     "--weights-rows: '0-99999999999999999999'|below 3", NULL},
    {2, RUN "--entropy e.npy --normalizer none", "--entropy|--normalizer none|negative", NULL},
    {2, RUN "--argmax ./o.npy", "--argmax|--output", NULL},
    {3, RUN "--column-sums nowhere/c.npy", "--column-sums|nowhere", NULL},
    {2, RUN "--param weight=q.npy", "--param weight: score scaled-dot takes no parameters", NULL},
    {2, RUN "--param weight", "--param|'weight'|NAME=FILE", NULL},
    {2, RUN "--param weight=", "--param|'weight='|NAME=FILE", NULL},
    {2, RUN "--param =q.npy", "--param|'=q.npy'|NAME=FILE", NULL},
    {2, RUN "--param w_qeury=q.npy --score additive",
     "--param w_qeury: no parameter of score additive; expected w_query, w_key, v, and optionally "
     "bias, g",
     NULL},
    {2, RUN "--score general --param gamma=q.npy", "--param gamma|score general|expected weight",
     NULL},
    {2, RUN "--score general --param weight=q.npy --param weight=q.npy", "--param weight|twice",
     NULL},
    {2, RUN "--score location-sensitive --param w_query=q.npy --param w_key=q.npy --param v=q.npy",
     "--param conv: missing; score location-sensitive expects|previous_weights", NULL},
    {2, RUN "--score general --param weight=none.npy", "--param weight: none.npy|No such file",
     NULL},
    {2, RUN "--score general --param weight=n.npy", "--param weight: n.npy: int32|float32", NULL},
    {2, RUN "--score general --param weight=q.npy",
     "--param weight: shape (2, 3, 4), expected (Hq=1, D=4, Dk=4)", NULL},
    {2, RUN "--score general --param weight=t.safetensors:x", "--param weight: t.safetensors:x",
     NULL},
    {2, RUN "--score cosine --param beta=inf.npy", "--param beta: element 0 is inf", NULL},
    {2, RUN "--score rbf --param gamma=one.npy", "--param gamma: shape (2)|(Hq=1)", NULL},
    {2, RUN ADDITIVE "--param v=none.npy", "--param v: none.npy", NULL},
    {2, RUN ADDITIVE "--param v=empty.npy", "--param v: shape (2, 3, 0)|A at least 1", NULL},
    {2, RUN ADDITIVE "--param v=one.npy", "--param w_query: shape (3, 5), expected (A=2, D=4)",
     NULL},
    {2, "run " QKV "--score general --param weight=q.npy --output q.npy",
     "--output: q.npy is also the input --query", NULL},
    {2, "run " QKV "--score general --param weight=old.npy --output old.npy",
     "--output: old.npy is also the input --param weight", NULL},
    {2, "run --given-scores s.npy --value v.npy --output o.npy --param weight=q.npy",
     "--param weight|--given-scores", NULL},
    {2, "run --query q.npy --value v.npy --output o.npy --score general --param weight=q.npy",
     "--key: missing", NULL},
    {2,
     "run --query q.npy --key v.npy --value v.npy --output o.npy --score rbf --param gamma=q.npy",
     "--key: shape (2, 5, 6), expected (B=2, T, D=4)", NULL},
    {2,
     PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --score location --param weight=big.npy",
     "--score location: given with packed sequences", NULL},
    {2,
     PACKED "--cu-seqlens-q pm.npy --cu-seqlens-k pn.npy --score coverage --param w_query=q.npy "
            "--param w_key=q.npy --param v=one.npy --param w_coverage=one.npy --param "
            "coverage=one.npy",
     "--param coverage: given with packed sequences", NULL},
    {2, RUN "--window 3", "--window|LEFT,RIGHT", NULL},
    {2, RUN "--window 3,4,5", "--window|LEFT,RIGHT", NULL},
    {2, RUN "--window -2,0", "--window|-2", NULL},
    {2, RUN "--window 1,x", "--window|'x'", NULL},
    {2, RUN "--dropout half", "--dropout: 'half'|number", NULL},
    {2, RUN "--dropout -0.1", "--dropout: -0.1, expected a probability from 0 to below 1", NULL},
    {2, RUN "--dropout 1", "--dropout: 1, expected a probability", NULL},
    {2, RUN "--dropout nan", "--dropout: nan, expected a probability", NULL},
    {2, BACKWARD "--grad-query dq.npy --dropout 2", "--dropout: 2, expected a probability", NULL},
    {2, RUN "--dropout 0.1 --seed 1.5", "--seed: '1.5'|integer from 0", NULL},
    {2, RUN "--dropout 0.1 --seed -1", "--seed: '-1'|integer from 0", NULL},
    {2, RUN "--dropout 0.1 --seed 18446744073709551616",
     "--seed: '18446744073709551616'|to 18446744073709551615", NULL},
    {2, RUN "--dropout 0.1 --dropout-offset ' 1'", "--dropout-offset: ' 1'|integer from 0", NULL},
    {2, RUN "--dropout-offset 1", "--dropout-offset: given without --dropout", NULL},
    {2, RUN "--seed 1", "--seed: given where nothing is random|--dropout", NULL},
    {2, "verify " QKV "--backward --grad-output go.npy --seed 1", "--seed|nothing is random", NULL},
    {2, RUN "--variant magic", "--variant|magic|staged", NULL},
    {2, RUN "--device nosuchdevice", "--device|nosuchdevice", NULL},
    {2, RUN "--device 0,,0", "--device|0,,0", NULL},
    {2, RUN "--device amd64,", "--device|amd64,", NULL},
    {2, RUN "--device portable", "--device: \"portable\" fits 2 devices",
     "POCL_DEVICES='basic basic'"},
    {2, RUN "--device 99", "--device|99", NULL},
    {2, RUN, "CLATTN_DEVICE|nosuchdevice", "CLATTN_DEVICE=nosuchdevice"},
    {2, "verify " QKV, "CLATTN_DEVICE|nosuchdevice", "CLATTN_DEVICE=nosuchdevice"},
    {2, "verify " QKV, "CLATTN_DEVICE|proves nothing", "CLATTN_DEVICE=reference"},
    {2, RUN "--sample 3", "--sample", NULL},
    {2, "run --query none.npy --key k.npy --value v.npy --output o.npy",
     "none.npy|No such file|expected an .npy", NULL},
    {2, "run --query words.txt --key k.npy --value v.npy --output o.npy", "--query|words.txt|.npy",
     NULL},
    {2, "run --query cut.npy --key k.npy --value v.npy --output o.npy", "--query|cut.npy|96", NULL},
    {2, "run --query n.npy --key k.npy --value v.npy --output o.npy", "--query|int32|float32",
     NULL},
    {2, "run --query q.npy --key k.npy --value q.npy --output o.npy", "--value|3|5", NULL},
    {2, "run --query v.npy --key k.npy --value v.npy --output o.npy", "--key|4|6", NULL},
    {2, "run --query one.npy --key k.npy --value v.npy --output o.npy", "--query|(2,)|2, 3 or 4",
     NULL},
    {2, "run --query empty.npy --key empty.npy --value v.npy --output o.npy", "--query|(2, 3, 0)",
     NULL},
    {2, "run --query q64.npy --key k.npy --value v.npy --output o.npy", "--key|f32|f64", NULL},
    {2, RUN "--mask n.npy", "--mask|int32|bool", NULL},
    {2, RUN "--mask q.npy", "--mask|(2, 3, 4)", NULL},
    {2, RUN "--bias m.npy", "--bias|bool", NULL},
    {2, RUN "--kv-lengths one.npy", "--kv-lengths|float32|integers", NULL},
    {2, RUN "--kv-lengths long.npy", "--kv-lengths|6|5", NULL},
    {2, RUN "--kv-lengths three.npy", "--kv-lengths|3|2", NULL},
    {2, RUN "--alibi-slopes n.npy", "--alibi-slopes|int32", NULL},
    {2, RUN "--sinks one.npy --normalizer none", "--sinks|--normalizer|softmax", NULL},
    {2, RUN "--sinks one.npy", "--sinks|2|1", NULL},
    {2, "run --given-scores q.npy --key k.npy --value v.npy --output o.npy", "--given-scores|--key",
     NULL},
    {2, "run --given-scores s.npy --value v.npy --output o.npy --scale 2", "--scale|--given-scores",
     NULL},
    {2, "run --query t.safetensors:x --key k.npy --value v.npy --output o.npy",
     "--query|t.safetensors:x|q, k, v, n, m", NULL},
    {2, "run --query t.safetensors --key k.npy --value v.npy --output o.npy",
     "--query|t.safetensors|FILE.safetensors:NAME", NULL},
    {2, "run --query q.npy --key k.npy --value t.safetensors:n --output o.npy",
     "--value|int32|float32", NULL},
    {2, "run --query cut.safetensors:v --key k.npy --value v.npy --output o.npy",
     "--query|cut.safetensors:v|is cut", NULL},
    {2, "run --query t.safetensors:q --key k.npy --value v.npy --output t.safetensors",
     "--output|t.safetensors|--query", NULL},
    {2, "plot --weights t.safetensors:n --output p.png", "--weights|int32", NULL},
    {2, "verify " QKV "--expect output=t.safetensors:q", "--expect|(2, 3, 4)", NULL},
    {2, "run " QKV "--output q.npy", "--output|q.npy|--query", NULL},
    {2, "run " QKV "--output ./q.npy", "--output|--query", NULL},
    {2, "run " QKV "--output link.npy", "--output|--query", NULL},
    {2, "run " QKV "--output hard.npy", "--output|--query", NULL},
    {2, RUN "--weights ./o.npy", "--weights|--output", NULL},
    {3, "run " QKV "--output nowhere/o.npy", "--output|nowhere", NULL},
    {3, "run " QKV "--output /tmp", "--output|/tmp|folder", NULL},
    {3, "run " QKV "--output /dev/full", "--output|/dev/full|space", NULL},
    {3, "run " QKV "--output old.npy --weights /dev/full", "--weights|/dev/full", NULL},
    {3, "verify " QKV "--output /dev/full --weights old.npy", "--output|/dev/full", NULL},
    {2, "run " QKV "--output old.npy --kv-lengths long.npy", "--kv-lengths", NULL},
    {3, RUN "--weights /dev/full", "--weights|/dev/full|space", NULL},
    {3, "run --query big.npy --key big.npy --value big.npy --output o.npy --device reference",
     "--output|o.npy|large", "ulimit -f 8;"},
    {3, RUN, "device", "OCL_ICD_VENDORS=/nowhere OCL_ICD_FILENAMES= CLATTN_REQUIRE_DEVICE=1"},
    {2, RUN "--device gpu", "--device|gpu", NO_DEVICE},
    {3, "verify " QKV, "device", NO_DEVICE},
    {2, RUN "--variant staged", "staged|reference", NO_DEVICE},
    {2, "run --query v.npy --key k.npy --value v.npy --output o.npy", "--key|6|4", NO_DEVICE},
    {3, "run " QKV "--output /dev/full", "--output|space", NO_DEVICE},
    {3, "bench --shape 1,1,1,4,4,4,4 --rounds 1 --output /dev/full", "--output|space", NO_DEVICE},
    {3, "bench --shape 1,1,1,4,4,4,4 --device all", "--device|all|no OpenCL device", NO_DEVICE},
    {2, "verify " QKV "--device reference", "reference|proves nothing", NULL},
    {2, "verify " QKV "--sample 0", "--sample", NULL},
    {2, "verify " QKV "--expect nonsense", "--expect|NAME=FILE", NULL},
    {2, "verify " QKV "--expect context=v.npy", "--expect|lse", NULL},
    {2, "verify " QKV "--expect column-sums=v.npy", "--expect|column_sums", NULL},
    {2, "verify " QKV "--expect argmax=v.npy", "--expect: v.npy: float32|integers", NULL},
    {2, "verify " QKV "--expect entropy=n.npy", "--expect: n.npy: int32|float32", NULL},
    {2, "verify " QKV "--expect argmax=n.npy", "--expect: n.npy: shape (2,)|(2, 3)", NULL},
    {2, "verify " QKV "--expect 'output[x]=v.npy'", "--expect|'x'", NULL},
    {2, "verify " QKV "--expect 'output[0=v.npy'", "--expect|INDEX", NULL},
    {2, "verify " QKV "--expect 'output[9]=v.npy'", "--expect|output[9]|2", NULL},
    {2, "verify " QKV "--expect output=q.npy", "--expect|(2, 3, 4)|(2, 3, 6)", NULL},
    {2, "verify " QKV "--weights s.npy --expect weights=s.npy", "--weights|--expect", NULL},
    {2, BACKWARD, "--grad-query|missing|--grad-param", NULL},
    {2, BACKWARD "--output o.npy", "--output: given with --backward|expected --grad-query", NULL},
    {2, BACKWARD "--grad-query dq.npy --weights w.npy", "--weights: given with --backward", NULL},
    {2, "verify " QKV "--backward --expect lse=q.npy", "--expect lse: given with --backward", NULL},
    {2, "run " QKV "--backward --grad-query dq.npy", "--grad-output: missing|--grad-lse", NULL},
    {2, RUN "--grad-output v.npy", "--grad-output: given without --backward", NULL},
    {2, RUN "--grad-key dk.npy", "--grad-key: given without --backward", NULL},
    {2, RUN "--grad-param v=dv.npy", "--grad-param v: given without --backward", NULL},
    {2, "verify " QKV "--expect grad.key=k.npy", "--expect grad.key: given without --backward",
     NULL},
    {2, BACKWARD "--grad-bias db.npy", "--grad-bias: given without --bias", NULL},
    {2, BACKWARD "--grad-param v=dv.npy", "--grad-param v: given without --param v", NULL},
    {2, BACKWARD "--grad-param v", "--grad-param|'v'|NAME=FILE", NULL},
    {2, BACKWARD "--grad-param u=du.npy", "--grad-param|'u=du.npy'|no score", NULL},
    {2, BACKWARD "--grad-param v=dv.npy --grad-param v=dv.npy", "--grad-param v|twice", NULL},
    {2, BACKWARD "--score location --param weight=q.npy --grad-key dk.npy",
     "--grad-key: given with --score location", NULL},
    {2, BACKWARD "--grad-query q.npy", "--grad-query|--query|another file", NULL},
    {2, BACKWARD "--grad-query go.npy", "--grad-query|--grad-output|another file", NULL},
    {2, BACKWARD "--grad-query d.npy --grad-key d.npy", "--grad-key|--grad-query|another file",
     NULL},
    {2, "run " QKV "--backward --grad-output q.npy --grad-query dq.npy",
     "--grad-output: shape (2, 3, 4), expected (B=2, S=3, Dv=6)", NULL},
    {2, "run " QKV "--backward --grad-weights q.npy --grad-query dq.npy",
     "--grad-weights: shape (2, 3, 4), expected (B=2, S=3, T=5)", NULL},
    {2, "run " QKV "--backward --grad-lse q.npy --grad-query dq.npy", "--grad-lse|(B=2, S=3)",
     NULL},
    {2, BACKWARD "--grad-query dq.npy --weights-rows 0", "--weights-rows|--weights", NULL},
    {2, BACKWARD "--grad-query dq.npy --variant decode", "decode", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --backward --grad-output v.npy", "--grad-output|--shape",
     NULL},
    {3, BACKWARD "--grad-query old.npy --grad-key /dev/full", "--grad-key|/dev/full|space", NULL},
    {2, "bench", "--query|missing", NULL},
    {2, "bench --shape 1,2,3", "--shape|7", NULL},
    {2, "bench --shape 1,1,1,4,4,-8,8", "--shape|'-8'", NULL},
    {2, "bench --shape 1,1,1,4,4,0,8", "--shape|Hkv, D and Dv", NULL},
    {2, "bench", "--query|or --shape", NULL},
    {2, "bench --shape 4611686018427387904,1,1,4,4,4,4", "--shape|larger than memory", NULL},
    {2, "bench --shape 1,3,2,4,4,8,8", "--shape|Hq 3|Hkv 2", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --query q.npy", "--query|--shape", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --score rbf --param gamma=inf.npy", "--param gamma|--shape",
     NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --rounds 0", "--rounds", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --variants staged,,b", "--variants|staged,,b", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --variants reference", "nothing to time", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --device 0,nosuchdevice", "nosuchdevice", NULL},
    {2, "bench --shape 1,1,1,4,4,8,8 --variants all --variant staged", "--variant|--variants",
     NULL},
    {2, "devices --all", "--all|devices --help", NULL},
    {2, "devices --json --json", "--json|twice", NULL},
    {2, "devices --explain=3", "--explain|no value", NULL},
    {2, "devices everything", "'everything'", NULL},
    {2, "plot", "--weights|missing", NULL},
    {3, "plot --weights k.npy --output p.png", "--output|cairo|libcairo2",
     "LD_LIBRARY_PATH=nocairo"},
    {2, "plot --weights k.npy --weights k.npy --output p.png", "--weights|twice", NULL},
    {2, "plot --weights k.npy --output --json", "--output|'--json' follows", NULL},
    {2, "plot --weights k.npy --output p.png --causal", "unknown option|--causal|plot --help",
     NULL},
    {2, "plot --weights k.npy --json", "--json|--output FILE.png", NULL},
    {2, "plot --weights k.npy --output - --json", "--json|--output FILE.png", NULL},
    {2, "plot --weights k.npy --output p.jpg", "--output|.png or .svg", NULL},
    {2, "plot --weights one.npy --output p.png", "--weights|(2,)", NULL},
    {2, "plot --weights k.npy --output p.png --batch 2", "--batch|2", NULL},
    {2, "plot --weights k.npy --output p.png --head 1", "--head|1", NULL},
    {2, "plot --weights k.npy --output p.png --head -1", "--head|'-1'|at least 0", NULL},
    {2, "plot --weights headless.npy --output p.png", "--weights|(1, 0, 3, 4)|Hq, S and T above 0",
     NULL},
    {2, "plot --weights k.npy --output p.png --batch x", "--batch|'x'", NULL},
    {2, "plot --weights k.npy --output p.png --query-labels none.txt",
     "--query-labels|none.txt|No such file|text", NULL},
    {2, "plot --weights k.npy --output p.png --key-labels words.txt", "--key-labels|words.txt|5|4",
     NULL},
    {2, "plot --weights k.npy --output p.png --key-labels blank.txt",
     "--key-labels|blank.txt|no word", NULL},
    {2, "plot --weights k.npy --output p.png --batch 1 --key-labels words.txt",
     "--key-labels|entry 1", NULL},
    {2, "plot --weights k.npy --output p.png --key-labels k.npy", "--key-labels|k.npy|text", NULL},
    {2, "plot --weights k.png --output k.png", "--output|--weights", NULL},
    {3, "plot --weights k.npy --output nowhere/p.png", "--output|nowhere", NULL},
};

static int prepare(void **state)
{
    if (enter_folder(state) != 0)
        return -1;
    static const double zeros[24 * 64] = {0};
    write_array("pq.npy", 'f', 4, 3, (int64_t[]){5, 2, 4}, zeros);
    write_array("pk.npy", 'f', 4, 3, (int64_t[]){7, 2, 4}, zeros);
    write_array("pv.npy", 'f', 4, 3, (int64_t[]){7, 2, 6}, zeros);
    write_array("pm.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){0, 2, 5});
    write_array("pn.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){0, 4, 7});
    write_array("late.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){1, 2, 5});
    write_array("falls.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){0, 7, 2});
    write_array("big.npy", 'f', 4, 2, (int64_t[]){48, 64}, zeros);
    write_array("q64.npy", 'f', 8, 3, (int64_t[]){2, 3, 4}, zeros);
    write_array("m35.npy", 'f', 4, 2, (int64_t[]){3, 5}, zeros);
    write_array("inf.npy", 'f', 4, 0, NULL, (float[]){INFINITY});
    write_array("one.npy", 'f', 4, 1, (int64_t[]){2}, zeros);
    write_array("s.npy", 'f', 4, 3, (int64_t[]){2, 3, 5}, (float[30]){0});
    write_array("go.npy", 'f', 4, 3, (int64_t[]){2, 3, 6}, zeros);
    write_array("empty.npy", 'f', 4, 3, (int64_t[]){2, 3, 0}, zeros);
    write_array("headless.npy", 'f', 4, 4, (int64_t[]){1, 0, 3, 4}, zeros);
    write_array("long.npy", 'i', 8, 1, (int64_t[]){2}, (int64_t[]){6, 1});
    write_array("three.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){1, 1, 1});
    write_text("words.txt", "the animal was too tired\n");
    write_text("blank.txt", " \n\n");
    write_text("old.npy", "what was there before\n");
    return system("mkdir nocairo; echo >nocairo/libcairo.so.2; head -c 150 q.npy >cut.npy; head -c "
                  "700 t.safetensors >cut.safetensors; ln -s "
                  "q.npy link.npy; ln q.npy hard.npy; cp k.npy "
                  "k.png") == 0
               ? 0
               : -1;
}

/* Names and contents of all files in the folder, but for what run_program() keeps there. */
static void take_stock(char *text, size_t capacity)
{
    FILE *list = popen("ls -Ap | grep -v '^std\\|/$' | xargs -d '\\n' cksum", "r");
    assert_non_null(list);
    text[fread(text, 1, capacity - 1, list)] = '\0';
    assert_int_equal(0, pclose(list));
}

static void assert_words(const char *words, const char *line)
{
    char list[256];
    snprintf(list, sizeof list, "%s", words);
    for (char *word = strtok(list, "|"); word; word = strtok(NULL, "|")) {
        if (!strstr(line, word))
            fail_msg("'%s' is not in: %s", word, line);
    }
}

static void refuses(void **state)
{
    const struct wrong *w = *state;
    char before[4096], after[4096];
    if ((strstr(w->before ? w->before : "", "POCL_DEVICES") && !default_device_is_pocl()) ||
        (strstr(w->arguments, "q64.npy") && !default_device_takes(CLATTN_F64)))
        skip();
    take_stock(before, sizeof before);
    int code = run_program(w->before ? w->before : "", w->arguments);
    if (code != w->code)
        fail_msg("exit code %d, expected %d: %s", code, w->code, standard_error);
    assert_int_equal(0, strncmp(standard_error, "clattn: ", 8));
    const char *end = strchr(standard_error, '\n');
    assert_non_null(end);
    if (end[1])
        fail_msg("more than one line: %s", standard_error);
    assert_words(w->words, standard_error);
    assert_string_equal("", standard_output);
    take_stock(after, sizeof after);
    assert_string_equal(before, after);
}

/* What is wrong with the program's standard output. */
static const struct bad_output {
    const char *name, *arguments, *words;
    const char *target; /* what the shell sends it to; NULL: a pipe that nobody reads */
    const char *made;   /* the file that is there all the same, whole; NULL: none */
} bad_outputs[] = {
    {"a full disk", "devices", "report|space", ">/dev/full", NULL},
    {"a full disk, in JSON", "devices --json", "report|space", ">/dev/full", NULL},
    {"a full disk, for a picture of characters", "plot --weights s.npy", "report|space",
     ">/dev/full", NULL},
    {"a closed one", "devices", "report|Bad file descriptor", ">&-", NULL},
    {"a pipe without a reader", "devices", "report|Broken pipe", NULL, NULL},
    {"a report that nobody reads comes after its files", RUN, "report|Broken pipe", NULL, "o.npy"},
    {"a file into a pipe without a reader", RUN "--weights /dev/stdout",
     "--weights|/dev/stdout|Broken pipe", NULL, NULL},
};

static void reports_a_bad_output(void **state)
{
    const struct bad_output *b = *state;
    char command[512], pipe_end[16] = "";
    char before[4096], after[4096];
    int ends[2];
    take_stock(before, sizeof before);
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, close(ends[0]));
    snprintf(pipe_end, sizeof pipe_end, ">&%d", ends[1]);
    snprintf(command, sizeof command, "\"$CLATTN_PROGRAM\" %s 2>stderr.txt %s", b->arguments,
             b->target ? b->target : pipe_end);
    int status = system(command);
    assert_int_equal(0, close(ends[1]));
    read_back(standard_error, sizeof standard_error, "stderr.txt");
    assert_true(WIFEXITED(status));
    assert_int_equal(CLI_SYSTEM, WEXITSTATUS(status));
    assert_words("clattn: ", standard_error);
    assert_words(b->words, standard_error);
    if (b->made) {
        npy_array array;
        assert_int_equal(CLI_DONE, npy_read(&array, "output", b->made));
        npy_free(&array);
        assert_int_equal(0, remove(b->made));
    }
    take_stock(after, sizeof after);
    assert_string_equal(before, after);
}

int main(void)
{
    named_tests lines = {0}, outputs = {0};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        named_tests_add(&lines, errors[i].arguments, refuses, &errors[i]);
    for (size_t i = 0; i < sizeof bad_outputs / sizeof bad_outputs[0]; i++)
        named_tests_add(&outputs, bad_outputs[i].name, reports_a_bad_output, &bad_outputs[i]);
    int failures = named_tests_run(&lines, "command line errors", prepare, leave_folder);
    failures += named_tests_run(&outputs, "standard output", prepare, leave_folder);
    return failures;
}
