"""PyTorch's scaled_dot_product_attention or ONNX Runtime's MultiHeadAttention as a coprocess that speaks as
yardsticks/clblast3.c does: python_peers.py torch | onnxruntime."""

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

    return make


def onnxruntime_peer():
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    def make(arrays, scale, causal):
        b, h, s, d = arrays[0].shape
        if arrays[1].shape[1] != h:
            raise ValueError("MultiHeadAttention has no grouped heads")
        q, k, v = (np.ascontiguousarray(a.transpose(0, 2, 1, 3).reshape(b, -1, h * d)) for a in arrays)
        node = helper.make_node(
            "MultiHeadAttention",
            ["q", "k", "v"],
            ["o"],
            domain="com.microsoft",
            num_heads=h,
            scale=scale,
            unidirectional=int(causal),
        )
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "qkvo"]
        model = helper.make_model(
            helper.make_graph([node], "mha", values[:3], values[3:]),
            ir_version=8,
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        )
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feeds = {"q": q, "k": k, "v": v}
        return (lambda: session.run(None, feeds)[0]), lambda o: o.reshape(b, s, h, d).transpose(0, 2, 1, 3)

    return make


def main():
    make = {"torch": torch_peer, "onnxruntime": onnxruntime_peer}[sys.argv[1]]()
    run = as_array = out = None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "case":
            run, as_array = make(*load(words[1:]))
            run()
            print("ready", flush=True)
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
