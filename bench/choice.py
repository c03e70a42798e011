"""Is the library's own choice the fastest variant, and does its memory grow with S?

    python3 bench/choice.py [--clattn build/release/clattn] [--rounds N]

For each case of the list below, `clattn bench` times the free choice and every variant that a device like this one
may be given, interleaved round by round. The best time of the choice over the best of the forced ones must not pass
1.05 in one of three tries with more and more rounds: the script ends with status 1 where it does. Then it shows the
memory of whole processes for longer and longer sequences, above what a tiny problem takes.
"""

import argparse
import json
import os
import subprocess
import sys

LIMIT = 1.05

# What it is, and the options that make it.
CASES = [
    ("one short query", "--shape 1,1,1,1,64,64,64"),
    ("one query of 8 heads", "--shape 1,8,8,1,2048,64,64"),
    ("decode, 16 x 8 heads", "--shape 16,8,8,1,2048,128,128"),
    ("decode, 2 queries", "--shape 16,8,8,2,2048,128,128"),
    ("decode, 4 queries", "--shape 16,8,8,4,2048,128,128"),
    ("decode, 8 queries", "--shape 16,8,8,8,2048,128,128"),
    ("decode, 12 queries", "--shape 16,8,8,12,2048,128,128"),
    ("decode, grouped heads", "--shape 4,32,8,1,2048,128,128"),
    ("decode, f16", "--shape 16,8,8,1,2048,128,128 --dtype f16"),
    ("decode, bf16, 4 queries", "--shape 16,8,8,4,2048,128,128 --dtype bf16"),
    ("an RNN's step", "--shape 64,1,1,1,50,512,512"),
    ("sentences", "--shape 8,12,12,34,34,32,32"),
    ("short", "--shape 8,8,8,128,128,64,64"),
    ("plain", "--shape 1,8,8,1024,1024,64,64"),
    ("causal", "--shape 1,8,8,1024,1024,64,64 --causal"),
    ("heads of 128", "--shape 1,8,8,1024,1024,128,128"),
    ("odd sizes", "--shape 2,3,3,301,517,67,35"),
    ("long", "--shape 1,4,4,4096,4096,64,64"),
    ("window of 256", "--shape 1,4,4,4096,4096,64,64 --causal --window 255,0"),
    ("grouped heads", "--shape 1,32,8,512,512,128,128"),
    ("f16", "--shape 1,8,8,1024,1024,64,64 --dtype f16"),
    ("f64", "--shape 1,4,4,512,512,64,64 --dtype f64"),
    ("softcap", "--shape 1,8,8,512,512,64,64 --softcap 30"),
    ("large heads", "--shape 1,2,2,256,256,512,512"),
    ("general", "--score general --shape 64,1,1,50,50,512,512"),
    ("additive", "--score additive --shape 64,1,1,50,50,512,512"),
    ("additive, short", "--score additive --shape 8,1,1,7,9,32,32"),
    ("additive, long", "--score additive --shape 1,4,4,500,700,64,64 --causal"),
    ("location-sensitive", "--score location-sensitive --shape 16,1,1,1,300,128,128"),
    ("sigmoid", "--normalizer sigmoid --shape 8,8,8,128,128,64,64"),
]
VARIANTS = "auto,decode,lanes,additive,staged"
LENGTHS = [1024, 2048, 4096, 8192, 16384]


def bench(clattn: str, options: str, variants: str, rounds: int) -> list[dict]:
    command = [clattn, "bench", *options.split(), "--variants", variants, "--rounds", str(rounds), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def contest(clattn: str, options: str, rounds: int) -> tuple[dict, dict, float]:
    """The choice, the fastest forced entry, and the ratio of their best times."""
    entries = [e for e in bench(clattn, options, VARIANTS, rounds) if e["seconds"] is not None]
    choice = next(e for e in entries if e["auto"])
    fastest = min((e for e in entries if not e["auto"]), key=lambda e: e["best"])
    return choice, fastest, choice["best"] / fastest["best"]


def peak_memory(clattn: str, shape: str, variant: str) -> int:
    """Bytes that the process held at most."""
    command = [clattn, "bench", "--shape", shape, "--variants", variant, "--rounds", "1", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: status {status}")
    return usage.ru_maxrss * 1024


def show_choices(clattn: str, rounds: int) -> int:
    wrong = 0
    print(f"{'case':<26}{'auto':<10}{'best ms':>9}  {'fastest':<10}{'best ms':>9}{'ratio':>7}")
    for name, options in CASES:
        for more in (1, 4, 8):
            choice, fastest, ratio = contest(clattn, options, more * rounds)
            if ratio <= LIMIT:
                break
        print(
            f"{name:<26}{choice['variant']:<10}{1e3 * choice['best']:>9.3f}  "
            f"{fastest['variant']:<10}{1e3 * fastest['best']:>9.3f}{ratio:>7.2f}{'  SLOWER' * (ratio > LIMIT)}"
        )
        sys.stdout.flush()
        wrong += ratio > LIMIT
    return wrong


def show_memory(clattn: str) -> None:
    variants = ["lanes", "staged"]
    floor = {v: peak_memory(clattn, "1,1,1,16,16,64,64", v) for v in variants}
    print(
        f"\n{'S = T, one head of 64':<24}{'inputs, outputs':>16}{'S x T floats':>14}", *(f"{v:>10}" for v in variants)
    )
    for length in LENGTHS:
        tensors, square = 4 * length * 64 * 4, 4 * length * length
        row = [peak_memory(clattn, f"1,1,1,{length},{length},64,64", v) - floor[v] for v in variants]
        cells = "".join(f"{n / 2**20:>8.1f} MB" for n in row)
        print(f"{length:<24}{tensors / 2**20:>13.1f} MB{square / 2**20:>11.1f} MB{cells}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clattn", default="build/release/clattn", help="the program")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    wrong = show_choices(options.clattn, options.rounds)
    show_memory(options.clattn)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
