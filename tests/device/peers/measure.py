"""What the peers measure with: the same figures, the same line format and the same clock as device_figures.

Every figure is warmed up, repeated and timed between two waits for the device; the median counts. A peer's line names the
figure as ours does, with the peer behind it: "training.resnet18.448px.b16.bf16.network.eager"."""
import argparse
import gc
import json
import statistics
import time

import torch

# As workbench.cpp has it: seconds of a turn and of a figure, turns at least and at most; of calls that take long two are enough.
TURN, FIGURE, LEAST_TURNS, MOST_TURNS = 0.05, 0.6, 3, 15
LONG_CALL, TURNS_OF_LONG_CALLS = 1.0, 2
MOST_CALLS_A_TURN = 1000
SMALL_FIGURE = 0.02

# What torch.compile is asked for, by the name that the figures carry.
COMPILED = {"compiled": {}, "compiled_longer": {"mode": "max-autotune-no-cudagraphs"}, "compiled_graphs": {"mode": "reduce-overhead"}}
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "tf32": torch.float32}


class Bench:
    def __init__(self, description, arguments=None, more=None):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
        parser.add_argument("--small", action="store_true", help="small sizes: every path in seconds, on a CPU")
        parser.add_argument("--seconds", type=float, default=240, help="begin no further figure after that")
        parser.add_argument("--compile", default="compiled", metavar="NAMES",
                            help=f"comma-separated, of {', '.join(COMPILED)}; empty: eager alone (default: %(default)s)")
        if more:
            more(parser)
        self.options = parser.parse_args(arguments)
        self.small, self.device = self.options.small, torch.device(self.options.device)
        self.compiled = [name for name in self.options.compile.split(",") if name]
        for name in self.compiled:
            if name not in COMPILED:
                parser.error(f"unknown way to compile: {name}")
        self.on_gpu = self.device.type == "cuda"
        self.started = time.perf_counter()
        torch.manual_seed(1)
        if self.on_gpu:
            torch.backends.cudnn.benchmark = True  # a peer at its best: sizes are fixed
        else:
            torch.set_num_threads(1)  # a rehearsal, often on a busy machine

    def time_is_up(self):
        return time.perf_counter() - self.started > self.options.seconds

    def synchronize(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds_of_calls(self, work, calls):
        self.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        self.synchronize()
        return (time.perf_counter() - start) / calls

    def seconds_per_call(self, work):
        self.seconds_of_calls(work, 1)  # compiles, chooses kernels, fetches memory
        expected = TURN if self.small else self.seconds_of_calls(work, 1)
        calls = min(MOST_CALLS_A_TURN, max(1, round(TURN / max(expected, 1e-9))))
        least, figure = (2, SMALL_FIGURE) if self.small else (TURNS_OF_LONG_CALLS if expected > LONG_CALL else LEAST_TURNS, FIGURE)
        start, turns = time.perf_counter(), []
        while not turns or not (len(turns) >= MOST_TURNS or self.time_is_up()
                                or len(turns) >= least and time.perf_counter() - start > figure):
            turns.append(self.seconds_of_calls(work, calls))
        return statistics.median_high(turns)

    def attempt(self, name, work, peer="eager"):
        """Runs work(); what it raises becomes the error of the figure. The rest goes on."""
        if self.time_is_up():
            return error(f"{name}.{peer}", "left out: the time was up", peer)
        try:
            work()
        except Exception as problem:  # whatever a library raises: the other figures matter
            text = str(problem).strip() or type(problem).__name__
            error(f"{name}.{peer}", text.splitlines()[0], peer)
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()

    def rate(self, name, items, unit, work, peer="eager", note=None):
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        value = items / self.seconds_per_call(work)
        line(f"{name}.{peer}", value, unit, peer, note)
        if self.on_gpu:
            line(f"{name}.peak_memory.{peer}", torch.cuda.max_memory_allocated() * 1e-9, "GB", peer)
        return value

    def ways(self, network):
        """(peer's name, how to get its network): eager, then compiled as asked for."""
        yield "eager", lambda: network
        for name in self.compiled:
            yield name, lambda name=name: compiled(network, name)


def compiled(network, name):
    torch._dynamo.reset()
    return torch.compile(network, dynamic=False, **COMPILED[name])


def precision(name):
    """TF32 as device_figures sets it; in bf16 and fp16 what is left in float32 is exact."""
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    torch.backends.cudnn.allow_tf32 = name == "tf32"


def line(figure, value, unit, peer, note=None):
    record = {"figure": figure, "value": value, "unit": unit, "peer": peer}
    if note:
        record["note"] = note
    print(json.dumps(record), flush=True)


def error(figure, reason, peer):
    print(json.dumps({"figure": figure, "error": reason, "peer": peer}), flush=True)


def fill(network, seed=1):
    """Weights as random_weights.cpp draws them: kernels and matrices uniform with variance 1 / fan-in."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("bias"):
                tensor.zero_()
            elif tensor.dim() < 2:
                tensor.fill_(1.0)
            elif name.endswith(("embedding.weight", "embeddings.weight")):
                tensor.uniform_(-0.035, 0.035)
            else:
                bound = (3.0 / (tensor.numel() / tensor.shape[0])) ** 0.5
                tensor.uniform_(-bound, bound)
    return network


def matrix_rates(bench, prefix):
    side = 256 if bench.small else 8192
    for name in ("bf16", "fp16", "tf32", "fp32"):
        def work(name=name):
            precision(name)
            a, b = (torch.randn(side, side, dtype=TYPES[name], device=bench.device) for _ in range(2))
            c = torch.empty_like(a)
            seconds = bench.seconds_per_call(lambda: torch.mm(a, b, out=c))
            line(f"{prefix}.rate.matrix.{name}.eager", 2e-12 * side ** 3 / seconds, "TFLOP/s", "eager")
        bench.attempt(f"{prefix}.rate.matrix.{name}", work)
    precision("fp32")
