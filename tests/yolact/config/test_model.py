"""Models, mask branches and backbones given by import path: what a configuration checks of them, and how they enter an id."""

from __future__ import annotations

import pytest

from experiments.spec.config import RunConfig
from yolact.config import BackboneConfig, CustomMaskConfig, CustomModelConfig, FCMaskConfig
from yolact.config.base import ConfigError
from yolact.models.backbones import Backbone, build_backbone


def _run(**model):
    return RunConfig.from_data({"model": model}).model


def test_a_kind_with_a_colon_is_an_import_path():
    model = _run(kind="lab.nets:Net", image_size=320, options={"depth": 3, "widths": [8, 16]})
    assert model == CustomModelConfig(kind="lab.nets:Net", image_size=320, options={"depth": 3, "widths": [8, 16]})
    branch = _run(kind="yolact", mask_branch={"kind": "lab.masks:Branch", "options": {"k": 4}}).mask_branch
    assert branch == CustomMaskConfig(kind="lab.masks:Branch", options={"k": 4})
    assert isinstance(_run(kind="yolact", mask_branch={"kind": "fc_mask"}).mask_branch, FCMaskConfig)


def test_options_enter_an_id_and_none_leave_it_alone():
    assert CustomMaskConfig(kind="lab.masks:Branch").essence() == {"kind": "lab.masks:Branch"}
    assert CustomModelConfig(kind="a:B", options={"k": 4}).essence() == {"kind": "a:B", "options": {"k": 4}}
    assert "options" not in BackboneConfig().to_data()
    custom = BackboneConfig(name="lab.nets:small", options={"depth": 3})
    assert custom.to_data()["options"] == {"depth": 3}
    assert BackboneConfig.from_data(custom.to_data()) == custom


YOLACT = {"kind": "yolact"}
FAULTS = [
    ({"kind": "yolct"}, "model.kind", "unknown kind 'yolct', did you mean 'yolact'?"),
    ({"kind": "lab"}, "model.kind", "unknown kind 'lab'; valid names: "),
    ({"image_size": 64}, "model.kind", "is missing"),
    ({"kind": "lab:"}, "model.kind", "'lab:' is no import path such as package.module:Name"),
    ({"kind": "lab-nets:Net"}, "model.kind", "no import path"),
    ({"kind": "lab:Net", "optoins": {}}, "model.optoins", "did you mean 'options'?"),
    ({"kind": "lab:Net", "options": {"a": [float("nan")]}}, "model.options", "nan is not a finite number"),
    ({"kind": "lab:Net", "backbone": {}}, "model.backbone", "unknown field 'backbone'"),
    ({**YOLACT, "mask_branch": {"kind": "fc_msk"}}, "model.mask_branch.kind", "did you mean 'fc_mask'?"),
    ({**YOLACT, "mask_branch": {"kind": "lab:3"}}, "model.mask_branch.kind", "no import path"),
    ({**YOLACT, "mask_branch": {"kind": "lab:B", "k": 3}}, "model.mask_branch.k", "unknown field 'k'"),
    ({**YOLACT, "backbone": {"name": "lab:"}}, "model.backbone.name", "no import path"),
    (
        {**YOLACT, "backbone": {"options": {"depth": 3}}},
        "model.backbone",
        "options ['depth'] are for a builder given by",
    ),
]


@pytest.mark.parametrize(("model", "field", "message"), FAULTS)
def test_a_fault_names_its_field(model, field, message):
    with pytest.raises(ConfigError) as caught:
        _run(**model)
    assert caught.value.field == field
    assert message in str(caught.value)


class Small(Backbone):
    def __init__(self, config: BackboneConfig, depth: int = 1) -> None:
        super().__init__()
        self.depth = depth


def test_a_builder_gets_its_options_as_keyword_arguments():
    config = BackboneConfig(name=f"{__name__}:Small", weights=None, options={"depth": 3})
    assert build_backbone(config).depth == 3
