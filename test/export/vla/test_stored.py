"""Weights that stay in a file: read by foreign readers, computed with, referred to by graphs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("torch", reason="the extra train")
pytest.importorskip("safetensors")

import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from arfm_ros.core.errors import BundleError, ConfigError  # noqa: E402
from arfm_ros.export.graphs.gather import gather_first  # noqa: E402
from arfm_ros.export.graphs.onnx import finish, to_program  # noqa: E402
from arfm_ros.export.vla.empty import lend, without_weights  # noqa: E402
from arfm_ros.export.vla.stored import compute_in_float32, store_weights  # noqa: E402
from arfm_ros.export.vla.tracing import SMALL, refer  # noqa: E402

WORDS, WIDTH = 3000, 64
GIB = 2**30


class Reader(nn.Module):
    """A vocabulary, and layers on it; one matrix has two names."""

    def __init__(self, words: int = WORDS, width: int = WIDTH, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.again = nn.Linear(width, words, bias=False)
        self.again.weight = self.words.weight
        self.register_buffer("places", torch.arange(4.0))

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids [1, L] to features [1, L, width]."""
        x = self.norm(self.words(ids))
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return x


def made() -> Reader:
    torch.manual_seed(0)
    return Reader().requires_grad_(False).eval()


IDS = torch.tensor([[1, 5, 2999, 0]])


def written(network: Reader, folder: Path, kind: str) -> Path:
    """Store the weights and write the graph beside them."""
    places = store_weights(network, folder / "weights.safetensors", kind)
    program = to_program(network, (IDS,), ["ids"], ["x"], places.of)
    graph = refer(program, places, folder / "weights.safetensors")
    gather_first(graph)
    finish(graph, folder / "graph.onnx")
    return folder / "graph.onnx"


@pytest.mark.parametrize("kind", ["fp32", "bf16", "fp16"])
def test_the_graph_computes_with_the_file_s_weights_and_holds_none(
    tmp_path: Path, kind: str
) -> None:
    network = made()
    path = written(network, tmp_path, kind)
    inline = [t.name for t in onnx.load(path, load_external_data=False).graph.initializer]
    large = [
        t.name
        for t in onnx.load(path, load_external_data=False).graph.initializer
        if len(t.raw_data) >= SMALL
    ]
    assert inline and not large
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"ids": IDS.numpy()})
    np.testing.assert_allclose(found, network(IDS).numpy(), atol=2e-6)


@pytest.mark.parametrize(("kind", "named"), [("fp32", "F32"), ("bf16", "BF16"), ("fp16", "F16")])
def test_a_foreign_reader_finds_each_weight_once_under_its_name(
    tmp_path: Path, kind: str, named: str
) -> None:
    network = made()
    wanted = {name: weight.clone() for name, weight in network.named_parameters()}
    store_weights(network, tmp_path / "weights.safetensors", kind)
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert sorted(file.keys()) == sorted(wanted)
        for name, weight in wanted.items():
            lowered = named if weight.ndim > 1 else "F32"
            assert file.get_slice(name).get_dtype() == lowered
            assert torch.equal(file.get_tensor(name), weight.to(file.get_tensor(name).dtype))


def test_weights_in_half_precision_are_rounded_and_all_else_is_float32(tmp_path: Path) -> None:
    """The reference rounds by hand, and computes in float32."""
    network, by_hand = made(), made()
    with torch.no_grad():
        for weight in by_hand.parameters():
            if weight.ndim > 1:
                weight.copy_(weight.bfloat16().float())
    store_weights(network, tmp_path / "weights.safetensors", "bf16")
    assert network(IDS).dtype == torch.float32
    assert torch.equal(network(IDS), by_hand(IDS))


def test_a_vocabulary_is_not_converted_whole(tmp_path: Path) -> None:
    graph = onnx.load(written(made(), tmp_path, "bf16"), load_external_data=False).graph
    table = next(t.name for t in graph.initializer if list(t.dims) == [WORDS, WIDTH])
    assert [n.op_type for n in graph.node if table in n.input] == ["Gather"]


def test_a_weight_that_fp16_cannot_hold_is_named(tmp_path: Path) -> None:
    network = made()
    network.layers[1].weight[3, 4] = 1e5
    with pytest.raises(BundleError, match=r"layers\.1\.weight reaches 1e\+05.*use bf16"):
        store_weights(network, tmp_path / "weights.safetensors", "fp16")
    with pytest.raises(ConfigError, match="--weights int3: give one of fp32, bf16, fp16"):
        store_weights(made(), tmp_path / "weights.safetensors", "int3")


def test_a_network_made_without_weights_takes_a_checkpoint_s() -> None:
    state = {n: v.bfloat16() for n, v in made().state_dict().items() if "again" not in n}
    with without_weights():
        network = Reader()
        network.to("cpu")
    assert all(one.device.type == "meta" for one in network.parameters())
    assert torch.equal(network.places, torch.arange(4.0))
    lend(network, state)
    assert network.again.weight is network.words.weight
    assert all(one.device.type == "cpu" for one in network.parameters())
    compute_in_float32(network)
    by_hand = made()
    with torch.no_grad():
        for weight in by_hand.parameters():
            weight.copy_(weight.bfloat16().float())
    assert torch.equal(network(IDS), by_hand(IDS))
    assert Reader().words.weight.device.type == "cpu"  # what came after is as ever


MEMORY = """
import sys, torch
from pathlib import Path
from test_stored import IDS, Reader, written
from arfm_ros.export.vla.empty import lend, without_weights
from safetensors.torch import load_file

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

folder = Path(sys.argv[1])
torch.set_num_threads(1)
written(Reader(50, 8).requires_grad_(False).eval(), folder, "bf16")  # the exporter itself
begin = anonymous()
with without_weights():
    network = Reader(30_000, 1024, 30)
lend(network, load_file(folder / "model.safetensors"))
written(network.requires_grad_(False).eval(), folder, "bf16")
print(anonymous() - begin)
"""


def test_memory_does_not_grow_with_the_network(tmp_path: Path) -> None:
    """0.24 GB of weights in float32, of which no more than a share is ever in memory at once."""
    network = Reader(30_000, 1024, 30)
    from safetensors.torch import save_file

    state = {n: v.detach() for n, v in network.state_dict().items() if "again" not in n}
    size = sum(v.nbytes for v in state.values())
    assert size > 0.2 * GIB
    save_file(state, tmp_path / "model.safetensors")
    del network, state
    rigs = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    run = [sys.executable, "-c", rigs + MEMORY, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < size / 5


LEAN = """
import sys, numpy as np, torch
from pathlib import Path
from test_stored import IDS, Reader, written
from arfm_ros.engines.runtimes import onnx_engine as engine

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

path = Path(sys.argv[1])
begin = anonymous()
cpu = [("CPUExecutionProvider", {})]
session = engine._open(path, engine.session_options(1, lean=True), cpu, lean=True)
(found,) = session.run(None, {"ids": IDS.numpy()})
print(anonymous() - begin, *found.ravel()[:4])
"""


def test_weights_in_half_precision_are_converted_one_at_a_time(tmp_path: Path) -> None:
    """240 MiB of matrices in float32, of 4 MiB each."""
    torch.manual_seed(0)
    network = Reader(100, 1024, 60).requires_grad_(False).eval()
    path = written(network, tmp_path, "bf16")
    rigs = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    ids = torch.tensor([[1, 5, 99, 0]])
    code = (rigs + LEAN).replace("IDS.numpy()", "np.array([[1, 5, 99, 0]])")
    run = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    grown, *first = done.stdout.split()
    assert int(grown) < 60 * 2**20
    wanted = network(ids).numpy().ravel()[:4]
    np.testing.assert_allclose(np.array(first, np.float32), wanted, rtol=1e-5, atol=1e-4)
