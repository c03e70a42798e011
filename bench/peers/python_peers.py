"""PyTorch's scaled_dot_product_attention or ONNX Runtime's MultiHeadAttention, Attention where heads are grouped, as a
coprocess that speaks as yardsticks/clblast3.c does: python_peers.py torch | torch-backward | onnxruntime.

Packed sequences, query, key and value (rows, H, D) with their lengths behind them, are run in two ways, padded to one
length with a mask and one by one, and the faster way stays. Data are padded, or apart, before the clock starts, and the
output is brought together after it has stopped.
"""

import sys
import time


def load(words):
    import numpy as np

    b, hq, hkv, s, t, d = map(int, words[:6])
    data = np.fromfile(words[8], dtype=np.float32)
    nq, nk = b * hq * s * d, b * hkv * t * d
    shapes = (b, hq, s, d), (b, hkv, t, d), (b, hkv, t, d)
    parts = data[:nq], data[nq : nq + nk], data[nq + nk : nq + 2 * nk]
    return [np.ascontiguousarray(p.reshape(n)) for p, n in zip(parts, shapes)], float(words[6]), words[7] != "0"


def load_packed(words):
    """The arrays of each sequence, (1, H, length, D)."""
    import numpy as np

    b, h, _, rows, _, d = map(int, words[:6])
    data = np.fromfile(words[8], dtype=np.float32, count=3 * rows * h * d).reshape(3, rows, h, d)
    lengths = np.fromfile(words[8], dtype=np.int32, offset=data.nbytes)
    assert len(lengths) == b
    parts = np.split(data.transpose(0, 2, 1, 3), np.cumsum(lengths)[:-1], axis=2)
    return [[np.ascontiguousarray(a[None]) for a in part] for part in parts], float(words[6]), words[7] != "0"


def pad(sequences):
    """(B, H, longest, D) of each array, zeros behind the sequences."""
    import numpy as np

    longest = max(q.shape[2] for q, _, _ in sequences)
    return [
        np.concatenate([np.pad(a, ((0, 0), (0, 0), (0, longest - a.shape[2]), (0, 0))) for a in arrays])
        for arrays in zip(*sequences)
    ]


def together(outputs):
    """(rows, H, D) of outputs (H, length, D)."""
    import numpy as np

    return np.concatenate([o.transpose(1, 0, 2) for o in outputs])


def faster(ways):
    """The name, the run and the array of the faster way, by the best of three runs after a first one."""

    def seconds(run):
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
        return min(times[1:])

    name = min(ways, key=lambda name: seconds(ways[name][0]))
    return name, *ways[name]


def torch_peer():
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attention

    def make(arrays, scale, causal):
        q, k, v = map(torch.from_numpy, arrays)
        group = q.shape[1] != k.shape[1]

        def run():
            with torch.no_grad():
                return attention(q, k, v, is_causal=causal, scale=scale, **({"enable_gqa": True} if group else {}))

        return run, lambda out: out.numpy()

    def make_packed(sequences, scale, causal):
        runs = [make(arrays, scale, causal)[0] for arrays in sequences]
        q, k, v = map(torch.from_numpy, pad(sequences))
        lengths = [arrays[0].shape[2] for arrays in sequences]
        longest = max(lengths)
        mask = (torch.arange(longest) < torch.tensor(lengths)[:, None])[:, None, None, :]
        if causal:
            mask = mask & torch.ones(longest, longest, dtype=torch.bool).tril()

        def padded():
            with torch.no_grad():
                return attention(q, k, v, attn_mask=mask, scale=scale)

        return {
            "padded": (padded, lambda out: together([o[:, :n] for o, n in zip(out.numpy(), lengths)])),
            "one by one": (lambda: [run() for run in runs], lambda outs: together([o[0].numpy() for o in outs])),
        }

    return make, make_packed


def torch_backward_peer():
    """The gradients of query, key and value alone, the query being that of the output."""
    import numpy as np
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attention

    def make(arrays, scale, causal):
        inputs = [torch.from_numpy(a).requires_grad_() for a in arrays]
        group = inputs[0].shape[1] != inputs[1].shape[1]
        out = attention(*inputs, is_causal=causal, scale=scale, **({"enable_gqa": True} if group else {}))
        gradient = inputs[0].detach()

        def run():
            return torch.autograd.grad(out, inputs, gradient, retain_graph=True)

        return run, lambda made: np.concatenate([g.numpy().ravel() for g in made])

    return make, None


def onnxruntime_peer():
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    def session(h, scale, causal, masked):
        inputs = ["q", "k", "v", *(["", "m"] if masked else [])]
        node = helper.make_node(
            "MultiHeadAttention",
            inputs,
            ["o"],
            domain="com.microsoft",
            num_heads=h,
            scale=scale,
            unidirectional=int(causal),
        )
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "qkvo"]
        mask = [helper.make_tensor_value_info("m", TensorProto.INT32, None)] if masked else []
        model = helper.make_model(
            helper.make_graph([node], "mha", values[:3] + mask, values[3:]),
            ir_version=8,
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        )
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def grouped(arrays, scale, causal):
        node = helper.make_node("Attention", list("qkv"), ["o"], scale=scale, is_causal=int(causal))
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "qkvo"]
        model = helper.make_model(
            helper.make_graph([node], "attention", values[:3], values[3:]),
            ir_version=10,
            opset_imports=[helper.make_opsetid("", 23)],
        )
        attention = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feeds = dict(zip("qkv", arrays))
        return (lambda: attention.run(None, feeds)[0]), lambda o: o

    def feeds_of(arrays):
        rows = (a.transpose(0, 2, 1, 3) for a in arrays)
        return {n: np.ascontiguousarray(a.reshape(*a.shape[:2], -1)) for n, a in zip("qkv", rows)}

    def make(arrays, scale, causal):
        b, h, s, d = arrays[0].shape
        if arrays[1].shape[1] != h:
            return grouped(arrays, scale, causal)
        mha, feeds = session(h, scale, causal, False), feeds_of(arrays)
        return (lambda: mha.run(None, feeds)[0]), lambda o: o.reshape(b, s, h, d).transpose(0, 2, 1, 3)

    def make_packed(sequences, scale, causal):
        h, d = sequences[0][0].shape[1::2]
        lengths = [arrays[0].shape[2] for arrays in sequences]
        longest = max(lengths)
        one, masked = session(h, scale, causal, False), session(h, scale, causal, True)
        each, feeds = [feeds_of(arrays) for arrays in sequences], feeds_of(pad(sequences))
        feeds["m"] = (np.arange(longest) < np.array(lengths)[:, None]).astype(np.int32)
        return {
            "padded": (
                lambda: masked.run(None, feeds)[0],
                lambda o: np.concatenate([row[:n].reshape(n, h, d) for row, n in zip(o, lengths)]),
            ),
            "one by one": (
                lambda: [one.run(None, f)[0] for f in each],
                lambda outs: np.concatenate([o[0].reshape(-1, h, d) for o in outs]),
            ),
        }

    return make, make_packed


def main():
    make, make_packed = {
        "torch": torch_peer,
        "torch-backward": torch_backward_peer,
        "onnxruntime": onnxruntime_peer,
    }[sys.argv[1]]()
    run = as_array = out = None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "case":
            run, as_array = make(*load(words[1:]))
            run()
            print("ready", flush=True)
        elif words[0] == "packed":
            way, run, as_array = faster(make_packed(*load_packed(words[1:])))
            print("ready", way, flush=True)
        elif words[0] == "go":
            begin = time.perf_counter()
            out = run()
            print(f"{time.perf_counter() - begin:.9f}", flush=True)
        elif words[0] == "save":
            import numpy as np

            np.ascontiguousarray(as_array(out), dtype=np.float32).tofile(words[1])
            print("saved", flush=True)


if __name__ == "__main__":
    main()
