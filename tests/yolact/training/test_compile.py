"""`training.compile`: the same losses, names and gradients; errors that say what to do."""

import os

import pytest
import torch

from tests.support.networks import TINY, loss, random_batch, tiny_model
from tests.yolact.training.test_loop import CONFIG, batches
from yolact.config import BackboneConfig
from yolact.errors import UserError
from yolact.training.compile import CompileError, compiled_loss
from yolact.training.loop import train

COMPILED = CONFIG.replace(compile=True)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where inductor keeps what it compiles."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_compiled_code_is_kept_in_a_folder_of_ones_own(folder, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compiled_loss(tiny_model(), "cpu")
    kept = folder / "yolact" / "inductor"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(kept) and kept.stat().st_mode & 0o077 == 0
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    kept.chmod(0o777)
    with pytest.raises(UserError, match="others may write"):
        compiled_loss(tiny_model(), "cpu")


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", lambda: 1 / 0)
    with pytest.raises(CompileError, match=r"^training\.compile=true needs .* install g\+\+ .* set training\.compile to false"):
        train(tiny_model(), batches, COMPILED)


def test_a_failing_compiler_is_named(monkeypatch):
    def fails(*arguments):
        raise torch._dynamo.exc.TorchDynamoException("g++ ran out of memory\nin many words")

    monkeypatch.setattr(torch, "compile", lambda function, dynamic: fails)
    with pytest.raises(CompileError, match=r"^training\.compile: compiling failed \(g\+\+ ran out of memory\); set"):
        train(tiny_model(), batches, COMPILED)


def test_only_the_network_is_compiled_and_the_module_stays_as_it_was(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: lambda images: seen.append(dynamic) or function(images))
    compiled, plain = tiny_model(), tiny_model()
    history = train(compiled, batches, COMPILED)
    assert history.rows == train(plain, batches, CONFIG).rows
    assert seen == [False] * CONFIG.iterations
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in compiled.state_dict().items())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("freeze", [False, True])
def test_compiled_losses_and_gradients_are_those_of_eager(freeze):
    # 16 channels: below, oneDNN's strided 1 x 1 convolutions corrupt memory on AVX2 (`yolact/training/layout.py`)
    config = TINY.replace(backbone=BackboneConfig(name="resnet_tiny", weights=None, width=16, freeze_bn=freeze))
    model, other = tiny_model(config).train(), tiny_model(config).train()
    images, targets = random_batch(0)
    wanted, made = loss(other, images, targets), compiled_loss(model, "cpu")(images, model.assign(targets))
    sum(wanted.values()).backward()
    sum(made.values()).backward()
    assert made.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(made[name], value, rtol=1e-4, atol=0)
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        if two.grad is not None:
            torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
