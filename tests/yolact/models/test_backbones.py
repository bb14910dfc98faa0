"""What backbones return: C3, C4, C5, and C2 where a model reads it."""

import pytest
import torch

from yolact.config import BackboneConfig, ConfigError
from yolact.config.model.parts import BACKBONES
from yolact.models.backbones import Backbone, build_backbone


class Custom(Backbone):
    channels = (4, 8, 16)


def without_c2(config):
    return Custom()


@pytest.mark.parametrize("name", BACKBONES)
def test_c2_comes_first_where_it_is_read(name):
    config = BackboneConfig(name=name, weights=None)
    with torch.device("meta"):
        plain, wide = build_backbone(config), build_backbone(config, c2=True)
        images = torch.zeros(1, 3, 96, 64)
        three, four = plain(images), wide(images)
    assert [tuple(each.shape[-2:]) for each in four] == [(24, 16), (12, 8), (6, 4), (3, 2)]
    assert tuple(each.shape[1] for each in four) == wide.channels == (plain.c2_channels, *plain.channels)
    assert [each.shape for each in three] == [each.shape for each in four[1:]]
    assert plain.state_dict().keys() == wide.state_dict().keys()


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18"])
def test_c2_leaves_the_other_maps_as_they_are(name):
    made = []
    for c2 in (False, True):
        torch.manual_seed(0)
        made.append(build_backbone(BackboneConfig(name=name, weights=None), c2=c2).eval())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        three, four = (backbone(images) for backbone in made)
    assert all(torch.equal(one, other) for one, other in zip(three, four[1:], strict=True))


def test_a_backbone_without_c2_is_refused():
    config = BackboneConfig(name=f"{__name__}:without_c2", weights=None)
    assert build_backbone(config).channels == (4, 8, 16)
    with pytest.raises(ConfigError, match=r"reads C2, at stride 4, which '.*without_c2' does not give") as refused:
        build_backbone(config, c2=True)
    assert refused.value.field == "model.backbone.name"
