import os
import pickle
import random

import pytest
import torch

from tests.reference.official_layout import CHECKPOINTS, layout, read_listing
from tests.support.networks import TINY, TINY_FC_MASK, TINY_PLUS, tiny_model
from tests.support.paths import SHARED
from yolact.config import BackboneConfig, HeadConfig, PrototypeConfig
from yolact.config.presets import PRESETS
from yolact.errors import UserError
from yolact.models.build import build_model
from yolact.models.checkpoint import load_weights, read_state_dict, write_state_dict
from yolact.models.official.names import from_official, is_official, to_official

LISTINGS = SHARED / "state-dicts"


def build(name, device="meta"):
    preset = PRESETS[f"yolact_{name}"]
    with torch.device(device):
        return build_model(preset.model, preset.num_classes, pretrained=False)


@pytest.fixture
def saved(tmp_path):
    """A tiny model's weights in a file."""
    path = tmp_path / "weights.pt"
    write_state_dict(tiny_model().state_dict(), path)
    return path


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_published_layouts_as_listed(name):
    path = LISTINGS / f"{name}.txt"
    if not path.is_file():
        pytest.skip("../shared/state-dicts is not there")
    assert layout(*CHECKPOINTS[name]) == read_listing(path)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_published_layouts_are_ours_renamed(name):
    model = build(name)
    expected = layout(*CHECKPOINTS[name])
    official = to_official(model)
    assert {n: tuple(value.shape) for n, value in official.items()} == expected
    assert from_official(official, model).keys() == model.state_dict().keys()


def test_official_weights_load_strictly(tmp_path):
    """One published architecture, random numbers: every tensor arrives where the layout says."""
    generator = torch.Generator().manual_seed(0)
    shapes = layout(*CHECKPOINTS["resnet50_pascal"])
    state = {n: torch.rand(shape, generator=generator) if shape else torch.tensor(7) for n, shape in shapes.items()}
    path = tmp_path / "yolact_resnet50_pascal_54_800000.pth"
    torch.save(state, path)
    model = build("resnet50_pascal", "cpu")
    assert load_weights(model, path) == []
    for name, value in to_official(model).items():
        assert torch.equal(value, state[name]), name
    for tensor, name in (
        (model.backbone.layer3[2].conv2.weight, "backbone.layers.2.2.conv2.weight"),
        (model.fpn.lateral[0].weight, "fpn.lat_layers.2.weight"),
        (model.fpn.output[2].bias, "fpn.pred_layers.0.bias"),
        (model.fpn.extra[1].weight, "fpn.downsample_layers.1.weight"),
        (model.branch.protonet.after.weight, "proto_net.8.weight"),
        (model.branch.protonet.output.bias, "proto_net.10.bias"),
        (model.head.classification.bias, "prediction_layers.0.conf_layer.bias"),
        (model.semantic.weight, "semantic_seg_conv.weight"),
    ):
        assert torch.equal(tensor, state[name]), name


def test_what_old_releases_carried_is_dropped():
    model = build("resnet50")
    state = to_official(model) | {
        "backbone.layer1.0.conv1.weight": torch.zeros(1),
        "fpn.downsample_layers.2.weight": torch.zeros(256, 256, 3, 3),
        "fpn.downsample_layers.2.bias": torch.zeros(256),
    }
    assert from_official(state, model).keys() == model.state_dict().keys()


def test_what_is_not_understood_is_kept_to_be_reported(tmp_path):
    model = tiny_model()
    torch.save(to_official(model) | {"maskiou_net.maskiou_net.0.bias": torch.zeros(8)}, tmp_path / "plus.pth")
    with pytest.raises(UserError, match=r"plus\.pth.*\n.*unexpected maskiou_net\.maskiou_net\.0\.bias"):
        load_weights(model, tmp_path / "plus.pth")


VARIANTS = [
    pytest.param(TINY, id="prototypes"),
    pytest.param(TINY_PLUS, id="YOLACT++"),
    pytest.param(TINY_FC_MASK, id="fc-mask"),
    pytest.param(TINY.replace(mask_branch=PrototypeConfig(k=4, channels=8, depth=1)), id="shallow protonet"),
    pytest.param(TINY.replace(head=HeadConfig(shared_convs=0)), id="no shared convolution"),
    pytest.param(TINY.replace(head=HeadConfig(shared_convs=2)), id="two shared convolutions"),
    pytest.param(TINY.replace(backbone=BackboneConfig(name="mobilenet_v2", weights=None)), id="a backbone of our own"),
    pytest.param(TINY.replace(backbone=BackboneConfig(name="resnet18", weights=None)), id="resnet18"),
]


@pytest.mark.parametrize("config", VARIANTS)
def test_to_official_and_back(config, tmp_path):
    model, other = tiny_model(config, seed=0), tiny_model(config, seed=1)
    official = to_official(model)
    assert is_official(official) and not is_official(model.state_dict())
    write_state_dict(official, tmp_path / "official.pth")
    assert load_weights(other, tmp_path / "official.pth") == []
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_model_without_the_semantic_branch_takes_official_weights(tmp_path):
    torch.save(to_official(tiny_model()), tmp_path / "w.pth")
    load_weights(tiny_model(TINY.replace(loss={"semantic": 0})), tmp_path / "w.pth")


def test_the_official_layout_is_yolacts_alone(tmp_path):
    with pytest.raises(UserError, match="official layout is YOLACT's"):
        to_official(torch.nn.Linear(1, 1))
    torch.save(to_official(tiny_model()), tmp_path / "w.pth")
    with pytest.raises(UserError, match="official layout is YOLACT's"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "w.pth")


@pytest.mark.parametrize("official", [False, True])
def test_fine_tuning_with_other_classes(tmp_path, official):
    source, path = tiny_model(num_classes=3, seed=0), tmp_path / "w.pth"
    write_state_dict(to_official(source) if official else source.state_dict(), path)
    model = tiny_model(num_classes=5, seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"head\.classification\.weight is \(12, 8, 3, 3\), the model's is \(18, 8, 3, 3\)"):
        load_weights(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "a refused file changes nothing"
    fresh = load_weights(model, path, fresh_classes=True)
    assert fresh == ["head.classification.bias", "head.classification.weight", "semantic.bias", "semantic.weight"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name in fresh else source.state_dict()[name]), name


def test_fresh_classes_with_the_same_count_loads_everything(saved):
    assert load_weights(tiny_model(seed=4), saved, fresh_classes=True) == []


def test_every_mismatch_is_listed(tmp_path):
    state = tiny_model().state_dict()
    del state["fpn.lateral.0.bias"]
    state["head.box.bias"] = torch.zeros(1)
    state["extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UserError) as error:
        load_weights(tiny_model(), tmp_path / "w.pt", fresh_classes=True)
    for part in ("w.pt", "missing fpn.lateral.0.bias", "unexpected extra", "head.box.bias is (1,), the model's is (12,)"):
        assert part in str(error.value)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path):
    for name, write in (("zip.pt", torch.save), ("raw.pt", lambda value, path: path.write_bytes(pickle.dumps(value)))):
        write({"weight": Malicious(tmp_path / "owned")}, tmp_path / name)
        with pytest.raises(UserError, match=name):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a pickle", b"PK\x03\x04", b"\x80\x02.", b"{}", b"\x00" * 100], ids=lambda content: repr(content[:8])
)
def test_broken_files(tmp_path, content):
    (tmp_path / "broken.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.pt"):
        read_state_dict(tmp_path / "broken.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_cut_short_or_overwritten(saved):
    """Whatever byte is wrong: one message, or tensors; never a traceback of the unpickler."""
    rng, whole = random.Random(0), saved.read_bytes()
    legacy = saved.parent / "legacy.pt"
    torch.save({"a": torch.rand(3)}, legacy, _use_new_zipfile_serialization=False)
    for source in (whole, legacy.read_bytes()) * 40:
        damaged = bytearray(source[: rng.randrange(len(source))] if rng.random() < 0.4 else source)
        for _ in range(4 if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        saved.write_bytes(damaged)
        try:
            read_state_dict(saved)
        except UserError as error:
            assert str(saved) in str(error)


@pytest.mark.parametrize("value", [[torch.zeros(1)], torch.zeros(1), {"a": 1}, {"a": {"b": torch.zeros(1)}}], ids=str)
def test_other_contents_than_tensors_by_name(tmp_path, value):
    torch.save(value, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: expected a state dict"):
        read_state_dict(tmp_path / "other.pt")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match=r"gone\.pt: no such weights file"):
        read_state_dict(tmp_path / "gone.pt")
    with pytest.raises(UserError, match="can't read the weights"):
        read_state_dict(tmp_path)


def test_the_same_weights_give_the_same_bytes(tmp_path):
    """Wherever the file lies and however the tensors lie in memory."""
    for folder, memory_format in (("a", torch.contiguous_format), ("ü", torch.channels_last)):
        (tmp_path / folder).mkdir()
        write_state_dict(tiny_model().to(memory_format=memory_format).state_dict(), tmp_path / folder / "weights.pt")
    assert (tmp_path / "a" / "weights.pt").read_bytes() == (tmp_path / "ü" / "weights.pt").read_bytes()
    assert os.listdir(tmp_path / "a") == ["weights.pt"]


def test_a_failing_write_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_state_dict({"a": torch.zeros(1)}, saved)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]


def test_darknet_backbone_file(tmp_path):
    """The official DarkNet-53 file has bare `_preconv` and `layers` names."""
    model = build_model(PRESETS["yolact_darknet53"].model, 80, pretrained=False)
    bare = {n.removeprefix("backbone."): v for n, v in to_official(model).items() if n.startswith("backbone.")}
    path = tmp_path / "darknet53.pth"
    torch.save(bare, path)
    config = PRESETS["yolact_darknet53"].model.replace(backbone=BackboneConfig(name="darknet53", weights=str(path)))
    again = build_model(config, 80)
    assert all(torch.equal(a, b) for a, b in zip(model.backbone.parameters(), again.backbone.parameters(), strict=True))
