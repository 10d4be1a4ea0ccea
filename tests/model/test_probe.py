import errno
import os
import re
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

import peftrec
from peftrec.cli.tables import matrix_cells
from peftrec.errors import UserError
from peftrec.model.adapters import METHODS
from peftrec.model.adapters.base import PooledAdapter, write_adapter
from peftrec.model.adapters.peft import PeftAdapter
from peftrec.model.backbone import load_backbone
from peftrec.model.backbone.families import FAMILIES, QUANTIZATIONS, tiny_backbone
from peftrec.model.probe import ProbeFailure, check_method, method_matrix, probe_method
from peftrec.recipe import AdapterConfig, BackboneConfig

METHODS_PAGE = Path(peftrec.__file__).parent.parent / "docs/guide/methods.md"
SAMPLE = ["ModernBERT", "Gemma3"]
WITHOUT_PREFIX = {"ModernBERT", "DistilBERT", "MPNet", "DeBERTa-v2", "ALBERT"}


@pytest.fixture(scope="module")
def sample():
    """A part of the matrix; the whole takes a minute."""
    return method_matrix(families=SAMPLE)


def expected(method, family, quantize):
    if method == "full":
        return quantize is None
    return not (method == "prefix" and family in WITHOUT_PREFIX)


def test_the_matrix_has_every_method_family_and_quantisation(sample):
    assert [(r["method"], r["family"], r["quantize"]) for r in sample] == [
        (method, family, quantize) for method in METHODS for family in SAMPLE for quantize in QUANTIZATIONS
    ]
    assert all(r.keys() == {"method", "family", "quantize", "ok", "reason"} for r in sample)
    for row in sample:
        assert row["ok"] is expected(row["method"], row["family"], row["quantize"]), row
        assert row["ok"] or row["reason"]


def test_reasons_say_what_the_matter_is(sample):
    reasons = {(r["method"], r["family"], r["quantize"]): r["reason"] for r in sample}
    assert reasons["prefix", "ModernBERT", None].startswith(
        "prefix has no effect on ModernBertModel: Transformers ignores past_key_values there"
    )
    assert reasons["full", "Gemma3", "int8"] == "full cannot train int8 weights; set quantize: null"
    assert reasons["dora", "Gemma3", "nf4"] == "only with sharing: shared or private"
    assert reasons["lora", "Gemma3", "nf4"] == ""


def documented_cells():
    """The guide's matrix: (method, family) -> what its cell says."""
    part = re.search(
        r"<!-- methods:begin -->\n(.*?)<!-- methods:end -->", METHODS_PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in part[1].splitlines() if line[:1] == "|"]
    heading, _, *rows = lines
    return {(row[0], family): cell for row in rows for family, cell in zip(heading[1:], row[1:], strict=True)}


def test_the_matrix_in_the_guide_is_current(sample):
    written = documented_cells()
    assert written.keys() == {(method, family) for method in METHODS for family in FAMILIES}
    heading, *lines = matrix_cells(sample)
    for method, *cells in lines:
        for family, cell in zip(heading[1:], cells, strict=True):
            assert written[method, family] == cell
    for (method, family), cell in written.items():
        works = [quantize for quantize in QUANTIZATIONS if expected(method, family, quantize)]
        assert cell == {5: "yes", 0: "no", 1: "only unquantised"}[len(works)]


def test_one_backbone_is_probed_with_every_peft_method(tmp_path, monkeypatch):
    tiny_backbone("BERT").model.config.save_pretrained(tmp_path)
    monkeypatch.setattr("peftrec.model.probe.METHODS", {"lora": METHODS["lora"]})
    monkeypatch.setattr("peftrec.model.probe.peft_methods", lambda: ["lora", "vera", "loha"])
    rows = method_matrix(str(tmp_path))
    assert len(rows) == 3 * len(QUANTIZATIONS)
    assert {r["family"] for r in rows} == {str(tmp_path)}
    failed = {(r["method"], r["quantize"]) for r in rows if not r["ok"]}
    assert failed == {("loha", "nf4"), ("loha", "nf4+double"), ("loha", "fp4")}  # it multiplies the packed weights


# Methods with one fault each, and what the probe says of them.
class Vectors(PooledAdapter):
    """A vector a task, added to the frozen one."""

    def __init__(self, backbone, config, tasks, shared="shared"):
        super().__init__(backbone, config, tasks, shared)
        self.vectors = nn.ParameterDict({owner: nn.Parameter(torch.zeros(32)) for owner in self.owners})

    def forward(self, states, task):
        return states[:, -1] + sum(self.vectors[owner] for owner in self.owners_of(task))

    def parameters_of(self, owner):
        return {"vector": self.vectors[owner]}

    def save(self, task, folder):
        write_adapter(folder, {"peft_type": "VECTOR"}, {"vector": sum(self.vectors[o] for o in self.owners_of(task))})

    def load(self, owner, folder):
        from safetensors.torch import load_file

        with torch.no_grad():
            self.vectors[owner].copy_(load_file(folder / "adapter_model.safetensors")["vector"])


class NoGradient(Vectors):
    def forward(self, states, task):
        return super().forward(states, task).detach() + 0 * self.vectors[self.owners[-1]]


class NoEffect(Vectors):
    def forward(self, states, task):
        return states[:, -1] + 1e-9 * sum(self.vectors[owner] for owner in self.owners_of(task))


class NotPrivate(Vectors):
    def forward(self, states, task):
        return states[:, -1] + sum(self.vectors.values())


class SavesHalf(Vectors):
    def save(self, task, folder):
        write_adapter(folder, {"peft_type": "VECTOR"}, {"vector": self.vectors[self.owners[0]]})


FAULTS = {
    "NoGradient": "no gradient reaches vector",
    "NoEffect": "its weights do not change the output",
    "NotPrivate": "one task's weights change another task's output",
    "SavesHalf": "a saved adapter, reloaded, gives another output",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found(fault, monkeypatch):
    monkeypatch.setitem(METHODS, "faulty", globals()[fault])
    backbone = tiny_backbone("BERT")
    config = AdapterConfig(method="faulty")
    with pytest.raises(ProbeFailure, match=FAULTS[fault]):
        probe_method(lambda: tiny_backbone("BERT"), config)
    if fault != "NoEffect":
        return
    monkeypatch.setattr("peftrec.model.probe.WIDTH", 32)
    with pytest.raises(UserError, match="faulty does not work on BERT: its weights do not change the output"):
        check_method(config, backbone)


def test_a_method_without_a_fault_passes(monkeypatch):
    monkeypatch.setitem(METHODS, "fine", Vectors)
    for sharing in ("shared", "private", "shared+private"):
        made = []
        probe_method(
            lambda made=made: made.append(tiny_backbone("BERT")) or made[-1],
            AdapterConfig(method="fine", sharing=sharing),
        )
        assert len(made) == 2  # one to train on and one to reload into: it went through to the end


def test_what_plain_peft_computes_is_compared(monkeypatch):
    save = PeftAdapter.save

    def wrong(self, task, folder):
        save(self, task, folder)
        config = folder / "adapter_config.json"
        config.write_text(re.sub(r'"lora_alpha": \d+', '"lora_alpha": 64', config.read_text()))

    monkeypatch.setattr(PeftAdapter, "save", wrong)
    with pytest.raises(ProbeFailure, match=r"reloaded, gives another output|plain PEFT computes another output"):
        probe_method(lambda: tiny_backbone("BERT"), AdapterConfig(method="lora"))


def test_the_check_before_training_is_of_the_recipes_own_options_and_leaves_the_backbone_alone():
    backbone = tiny_backbone("Llama", "nf4")
    before = backbone.parameter_count()
    check_method(AdapterConfig(method="lora", layers="top-1", options={"r": 4, "target_modules": ["q_proj"]}), backbone)
    check_method(AdapterConfig(method="lora", options={"r": -1}), backbone)  # attaching judges options
    with pytest.raises(UserError, match=r"adapter\.method: loha does not work on Llama: RuntimeError"):
        check_method(AdapterConfig(method="loha", sharing="private"), backbone)
    assert backbone.parameter_count() == before


def test_rounding_of_a_composed_adapter_through_all_layers_is_no_fault():
    """Four modules in each of MiniLM's six layers: the saved sum differs from the two parts by 1.5e-5."""
    backbone = load_backbone(BackboneConfig(name="sentence-transformers/all-MiniLM-L6-v2", dtype="fp32"))
    options = {"target_modules": ["query", "key", "value", "dense"]}
    check_method(AdapterConfig(method="lora", sharing="shared+private", options=options), backbone)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "the disk is full; free some space, or let TMPDIR name"),
        (errno.EFBIG, "the limit of a file's size is reached; raise it (ulimit -f), or let TMPDIR name"),
    ],
)
def test_a_full_disk_is_not_blamed_on_the_method(monkeypatch, number, told):
    def save(self, task, folder):
        raise SafetensorError(f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})")

    monkeypatch.setattr(PeftAdapter, "save", save)
    with pytest.raises(UserError, match=re.escape(f"{tempfile.gettempdir()}: {told}")):
        check_method(AdapterConfig(method="lora", options={"r": 3}), tiny_backbone("BERT"))
    with pytest.raises(UserError, match=re.escape(told)):
        method_matrix(families=["BERT"])


def test_no_place_for_temporary_files_is_not_blamed_on_the_method(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"no folder for temporary files: .*; let TMPDIR name one"):
        check_method(AdapterConfig(method="lora", options={"r": 3}), tiny_backbone("BERT"))
