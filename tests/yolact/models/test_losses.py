"""Each loss term and its gradient against the slow path; the published tolerance is 1e-5 relative."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_losses, slow_yolact
from tests.support.networks import SIZE, TINY, TINY_FC_MASK, loss, random_target, target, tiny_model
from yolact.config import AnchorConfig, FCMaskConfig, LossConfig, PrototypeConfig
from yolact.models.base import total_counts
from yolact.models.masks.fc_mask import average_pool_boxes
from yolact.models.one_stage.dense_head import Dense
from yolact.models.one_stage.losses import class_loss
from yolact.models.one_stage.model import Raw
from yolact.ops.anchors import make_anchors

CLASSES, K, FC = 3, 3, 3
PRIORS = make_anchors(AnchorConfig(scales=((12,), (28,), (44,))), SIZE, [(4, 4), (2, 2), (1, 1)])  # 63 anchors


def random_raw(seed, images, branch):
    """Raw outputs of random numbers that ask for gradients, maps at 8 x 8."""
    rng = np.random.default_rng(seed)
    make = lambda *shape, scale=1.0: torch.tensor(rng.normal(0, scale, shape), dtype=torch.float32)  # noqa: E731
    fc_mask = isinstance(branch, FCMaskConfig)
    parameters = make(images, len(PRIORS), FC**2 if fc_mask else K, scale=1.5)
    offsets, logits = make(images, len(PRIORS), 4), make(images, len(PRIORS), CLASSES + 1, scale=3)
    parameters = torch.sigmoid(parameters) if fc_mask else torch.tanh(parameters)
    context = () if fc_mask else (make(images, K, 8, 8).relu(),)
    raw = Raw(Dense(offsets, logits, parameters, None), context, make(images, CLASSES, 4, 4))
    for tensor in named(raw).values():
        tensor.requires_grad_(True)
    return raw


def named(raw):
    """The tensors of raw outputs by the names of the slow path."""
    parts = {"offsets": raw.dense.box, "logits": raw.dense.logits, "mask_parameters": raw.dense.parameters}
    return parts | ({"maps": raw.context[0]} if raw.context else {}) | {"semantic": raw.semantic}


def library_terms(raw, targets, branch, config=None):
    model = tiny_model(TINY.replace(mask_branch=branch, loss=config or LossConfig()), CLASSES)
    model.head.locations = PRIORS
    return model.criterion(raw, model.assign(targets))


def slow_terms(raw, targets, branch):
    """The same terms, and the float64 leaves to differentiate by."""
    leaves = {name: value.detach().double().requires_grad_(True) for name, value in named(raw).items()}
    terms = dict.fromkeys(("box", "class", "mask", "semantic"), slow_losses.zero())
    positives = 0
    for i, t in enumerate(targets):
        real = ~t.crowd
        boxes, masks = t.boxes[real].double().numpy() / SIZE, t.masks[real].numpy()
        everything = (t.boxes.double().numpy() / SIZE, t.labels.numpy(), t.crowd.numpy())
        classes, owner = slow_yolact.match(*everything, PRIORS.double().numpy())
        without_crowds = np.append(np.cumsum(real.numpy()) - 1, -1)
        owner = without_crowds[owner]  # -1 stays -1
        positives += int((classes > 0).sum())
        priors = PRIORS.double().numpy()
        terms["box"] = terms["box"] + slow_losses.box_loss(leaves["offsets"][i], classes, owner, boxes, priors)
        terms["class"] = terms["class"] + slow_losses.class_loss(leaves["logits"][i], classes)
        if isinstance(branch, FCMaskConfig):
            offsets = leaves["offsets"][i].detach()
            mask = slow_losses.fc_mask_loss(
                leaves["mask_parameters"][i], offsets, owner, masks, priors, branch.size, branch.loss_weight
            )
        else:
            mask = slow_losses.lincomb_loss(
                leaves["maps"][i], leaves["mask_parameters"][i], owner, boxes, masks, branch.crop_in_loss
            )
            if not branch.crop_in_loss:
                mask = mask / (8 * 8)
        terms["mask"] = terms["mask"] + mask
        terms["semantic"] = terms["semantic"] + slow_losses.semantic_loss(
            leaves["semantic"][i], t.labels.numpy(), t.crowd.numpy(), t.masks.numpy()
        )
    divisors = {"box": positives, "class": positives, "mask": positives, "semantic": len(targets)}
    return {name: value / max(1, divisors[name]) for name, value in terms.items()}, leaves


def check(raw, targets, branch):
    made = library_terms(raw, targets, branch)
    expected, leaves = slow_terms(raw, targets, branch)
    assert made.keys() == expected.keys()
    for name in made:
        assert made[name].dtype == torch.float32 and made[name].shape == ()
        torch.testing.assert_close(made[name].double(), expected[name], rtol=1e-5, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")
    sum(made.values()).backward()
    total = sum(expected.values())
    if total.requires_grad:
        total.backward()
    for name, leaf in leaves.items():
        wanted = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        torch.testing.assert_close(
            named(raw)[name].grad.double(), wanted, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
    return made


BRANCHES = [
    pytest.param(PrototypeConfig(k=K), id="prototypes"),
    pytest.param(PrototypeConfig(k=K, crop_in_loss=False), id="prototypes without crop"),
    pytest.param(FCMaskConfig(size=FC), id="fc-mask"),
]


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("seed", range(3))
def test_random_batches(branch, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = [random_target(generator, n=2, crowds=seed % 2), random_target(generator, n=1)]
    check(random_raw(seed, 2, branch), targets, branch)


BOX = (16.0, 16.0, 44.0, 44.0)
EDGES = [
    pytest.param([[]], [None], id="no objects"),
    pytest.param([[], []], [None, None], id="an all-empty batch"),
    pytest.param([[BOX]], [[True]], id="only a crowd"),
    pytest.param([[BOX], []], [None, None], id="one image with, one without objects"),
    pytest.param([[BOX, BOX]], [None], id="the same object twice"),
    pytest.param([[BOX, (0, 0, 64, 64)]], [[True, False]], id="a crowd listed first"),
    pytest.param([[(0, 0, 64, 64)]], [None], id="an object as large as the image"),
    pytest.param([[(60, 60, 64, 64)]], [None], id="a tiny object in the corner"),
]


@pytest.mark.parametrize("branch", [BRANCHES[0], BRANCHES[2]])
@pytest.mark.parametrize(("boxes", "crowds"), EDGES)
def test_edge_cases(branch, boxes, crowds):
    targets = [target(b, [1] * len(b), c) for b, c in zip(boxes, crowds, strict=True)]
    raw = random_raw(7, len(targets), branch)
    made = check(raw, targets, branch)
    assert all(torch.isfinite(value) for value in made.values())
    if all(all(c or [False] * len(b)) for b, c in zip(boxes, crowds, strict=True)):
        assert made["mask"] == 0 and not raw.dense.parameters.grad.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 40), st.sampled_from([0, 1, 3]))
def test_class_loss_as_the_slow_path(seed, images, p, ratio):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (images, p, 4)).astype(np.float32)
    classes = rng.choice([-1, 0, 0, 0, 1, 2, 3], (images, p))
    made = class_loss(torch.tensor(logits), torch.tensor(classes), (classes > 0).sum(axis=1).tolist(), ratio)
    wanted = sum(slow_losses.class_loss(torch.tensor(x).double(), c, ratio) for x, c in zip(logits, classes, strict=True))
    torch.testing.assert_close(made.double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "counted"),
    [
        pytest.param([0, 0, 0, 0, 0], 0, id="no positives: no negatives"),
        pytest.param([1, 0, 0, 0, 0], 4, id="three negatives per positive"),
        pytest.param([1, 0, -1, -1, -1], 2, id="neutrals never count"),
        pytest.param([1, 1, 1, 1, 1], 5, id="only positives"),
        pytest.param([1], 1, id="one anchor"),
    ],
)
def test_how_many_anchors_the_class_loss_counts(classes, counted):
    """With equal logits each counted anchor adds ln 2."""
    made = class_loss(torch.zeros(1, len(classes), 2), torch.tensor([classes]), [classes.count(1)], 3)
    assert made.item() == pytest.approx(counted * np.log(2), rel=1e-6)


def test_saturated_probabilities_cost_100_a_pixel_as_in_torch():
    branch = PrototypeConfig(k=K)
    raw = random_raw(0, 1, branch)
    with torch.no_grad():
        raw.context[0].fill_(1000)
        raw.dense.parameters.fill_(1)
    made = library_terms(raw, [target([BOX])], branch)
    torch.testing.assert_close(made["mask"].double(), slow_terms(raw, [target([BOX])], branch)[0]["mask"], rtol=1e-5, atol=0)
    made["mask"].backward()
    assert torch.isfinite(raw.context[0].grad).all()


def test_the_cap_stands_for_all_positives():
    """With equal coefficients and objects every positive costs the same, so that what a cap leaves out shows in the scale."""
    anchor_objects = target([(8, 8, 36, 36)] * 4)
    raw = random_raw(3, 1, PrototypeConfig(k=K))
    with torch.no_grad():
        raw.dense.parameters.copy_(raw.dense.parameters[:, :1].expand_as(raw.dense.parameters))
    whole = library_terms(raw, [anchor_objects], PrototypeConfig(k=K))["mask"]
    for cap in (1, 2):
        capped = library_terms(raw, [anchor_objects], PrototypeConfig(k=K, max_masks_per_image=cap))["mask"]
        torch.testing.assert_close(capped, whole)


def test_the_cap_draws_by_the_images_seed_alone():
    generator = torch.Generator().manual_seed(0)
    drawn = random_target(generator, n=5)
    raw, branch = random_raw(4, 1, PrototypeConfig(k=K)), PrototypeConfig(k=K, max_masks_per_image=2)

    def mask(seed):
        torch.manual_seed(torch.initial_seed() + 1)
        again = type(drawn)(drawn.boxes, drawn.labels, drawn.masks, drawn.crowd, 0, seed)
        return library_terms(raw, [again], branch)["mask"].item()

    assert mask(1) == mask(1)
    assert len({mask(seed) for seed in range(6)}) > 1


def test_weights_scale_their_terms():
    branch = PrototypeConfig(k=K)
    raw, targets = random_raw(0, 1, branch), [target([BOX])]
    plain = library_terms(raw, targets, branch, LossConfig(box=1, classification=1, semantic=1))
    heavy = library_terms(raw, targets, branch, LossConfig(box=2, classification=3, semantic=4))
    assert {n: round((heavy[n] / plain[n]).item(), 4) for n in plain} == {"box": 2, "class": 3, "mask": 1, "semantic": 4}


@pytest.mark.parametrize("config", [TINY, TINY_FC_MASK], ids=["prototypes", "fc-mask"])
def test_parts_of_a_batch_with_the_whole_normaliser_sum_to_the_whole(config):
    """Without batch-norm statistics in the way, splitting a batch changes nothing but rounding."""
    model = tiny_model(config).eval()
    generator = torch.Generator().manual_seed(5)
    targets = [random_target(generator, n=n, image_id=n) for n in (0, 1, 3, 2)]
    images = torch.rand(4, 3, SIZE, SIZE, generator=generator) * 255
    whole = loss(model, images, targets)
    counts = total_counts(model.assign([t]).counts for t in targets)
    assert counts == model.assign(targets).counts
    parts = [loss(model, images[i : i + 1], targets[i : i + 1], counts) for i in range(4)]
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), value, rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20), st.integers(1, 6))
def test_pooling_inside_boxes_is_adaptive_average_pooling(seed, height, width, size):
    rng = np.random.default_rng(seed)
    masks = torch.tensor(rng.integers(0, 2, (2, height, width)), dtype=torch.uint8)
    boxes = torch.tensor(rng.uniform(-0.2, 1.2, (3, 4)), dtype=torch.float32)
    objects = torch.tensor([0, 1, 1])
    pooled = average_pool_boxes(masks, objects, boxes, size)
    for result, index, box in zip(pooled, objects, boxes, strict=True):
        x1, x2 = (int(v) for v in (sorted((box[[0, 2]] * width).tolist())))
        y1, y2 = (int(v) for v in (sorted((box[[1, 3]] * height).tolist())))
        x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        part = masks[index, y1 : max(min(y2, height), y1 + 1), x1 : max(min(x2, width), x1 + 1)].double()
        wanted = torch.nn.functional.adaptive_avg_pool2d(part[None], size)[0]
        torch.testing.assert_close(result.double(), wanted, rtol=0, atol=1e-6)
