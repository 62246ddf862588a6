"""Damaged copies: how much, of what, and always the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

from pyr import faults
from pyr.checkpoint import identify
from pyr.errors import CheckpointError, PyrError, UsageError

WIDTH, VOCAB = 32, 260


def weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def noisy(source: Path, target: Path, *, fraction: float = 0.1, seed: int = 1) -> Path:
    return faults.add_noise(source, target, fraction=fraction, seed=seed)


def test_noise_is_the_asked_fraction_of_each_matrix_std(tiny_checkpoint, tmp_path):
    before = weights(tiny_checkpoint)
    after = weights(noisy(tiny_checkpoint, tmp_path / "bad", fraction=0.25))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if tensor.dim() < 2:
            continue
        ratio = (after[name] - tensor).std() / tensor.std()
        # The standard error of a standard deviation over n values is 1 / sqrt(2 n).
        assert ratio == pytest.approx(0.25, rel=4 / (2 * tensor.numel()) ** 0.5), name


def test_vectors_are_left_as_they_are(tiny_checkpoint, tmp_path):
    before = weights(tiny_checkpoint)
    after = weights(noisy(tiny_checkpoint, tmp_path / "bad"))
    vectors = [name for name, tensor in before.items() if tensor.dim() < 2]
    assert "model.norm.weight" in vectors
    assert all(torch.equal(before[name], after[name]) for name in vectors)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny_checkpoint, tmp_path):
    one = identify(noisy(tiny_checkpoint, tmp_path / "one", seed=1))
    again = identify(noisy(tiny_checkpoint, tmp_path / "again", seed=1))
    two = identify(noisy(tiny_checkpoint, tmp_path / "two", seed=2))
    assert one.digest == again.digest
    assert one.digest != two.digest


def test_config_tokenizer_and_template_are_those_of_the_source(tiny_checkpoint, tmp_path):
    source = identify(tiny_checkpoint)
    copy = identify(noisy(tiny_checkpoint, tmp_path / "bad"))
    for part in ("config", "tokenizer", "template"):
        assert copy.digests[part] == source.digests[part]
    assert copy.digests["weights"] != source.digests["weights"]


def test_shards_stay_shards_and_get_the_noise_of_the_whole(tiny_checkpoint, tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_checkpoint)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    tokenizer.save_pretrained(tmp_path / "sharded")
    whole = weights(noisy(tiny_checkpoint, tmp_path / "whole"))
    sharded = noisy(tmp_path / "sharded", tmp_path / "pieces")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights(sharded).items())


def test_tied_weights_stay_tied_also_when_stored_twice(tiny_checkpoint, tmp_path, checkpoint_copy):
    tensors = weights(tiny_checkpoint)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, checkpoint_copy / "model.safetensors", metadata={"format": "pt"})
    after = weights(noisy(checkpoint_copy, tmp_path / "bad"))
    assert torch.equal(after["lm_head.weight"], after["model.embed_tokens.weight"])
    assert not torch.equal(after["lm_head.weight"], tensors["lm_head.weight"])


def test_half_precision_stays_half_precision(tiny_checkpoint, tmp_path, checkpoint_copy):
    half = {name: tensor.bfloat16() for name, tensor in weights(tiny_checkpoint).items()}
    save_file(half, checkpoint_copy / "model.safetensors", metadata={"format": "pt"})
    after = weights(noisy(checkpoint_copy, tmp_path / "bad"))
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}


def test_the_copy_takes_no_training_state(tmp_path, checkpoint_copy):
    (checkpoint_copy / "trainer_state.json").write_text('{"global_step": 100}')
    (checkpoint_copy / "optimizer.pt").write_bytes(b"pickled")
    copy = noisy(checkpoint_copy, tmp_path / "bad")
    assert identify(copy).step is None
    assert not (copy / "optimizer.pt").exists()


@pytest.mark.parametrize("fraction", [0.0, -0.1, float("nan")])
def test_no_noise_is_no_damaged_copy(tiny_checkpoint, tmp_path, fraction):
    with pytest.raises(UsageError):
        noisy(tiny_checkpoint, tmp_path / "bad", fraction=fraction)


def test_a_folder_that_exists_is_not_written_over(tiny_checkpoint, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(PyrError, match="exists"):
        noisy(tiny_checkpoint, tmp_path / "mine")


def test_a_damaged_source_is_refused_and_leaves_nothing(tmp_path, checkpoint_copy):
    file = checkpoint_copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError):
        noisy(checkpoint_copy, tmp_path / "out" / "bad")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ gguf


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer Llama with tied embeddings and a byte vocabulary, in Q8_0 as real files are."""
    import gguf
    import numpy as np

    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(VOCAB)
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "ab"])
    writer.add_token_types([3, 3, 3] + [1] * 257)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    draw = np.random.default_rng(0)
    shapes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
    shapes |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    matrices = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    matrices["token_embd.weight"] = (VOCAB, WIDTH)
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, shape in matrices.items():
        values = draw.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, draw.standard_normal(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_a_gguf_file_as_a_folder_gives_exactly_its_logits(gguf_file, tmp_path):
    folder = faults.as_folder(gguf_file, tmp_path / "plain")
    assert identify(folder).format == "safetensors"
    place = {"pretrained_model_name_or_path": gguf_file.parent, "gguf_file": gguf_file.name}
    original = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(original(ids).logits, plain(ids).logits)


def test_a_gguf_file_as_a_folder_keeps_ties_tokenizer_and_template(gguf_file, tmp_path):
    folder = faults.as_folder(gguf_file, tmp_path / "plain")
    assert identify(folder).chat
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("two words")["input_ids"]) == "two words"
    assert tokenizer.eos_token == "<|im_end|>"
    assert "lm_head.weight" not in weights(folder)


def test_a_gguf_file_gets_the_noise_that_its_folder_gets(gguf_file, tmp_path):
    folder = faults.as_folder(gguf_file, tmp_path / "plain")
    one = identify(noisy(folder, tmp_path / "one"))
    two = identify(noisy(gguf_file, tmp_path / "two"))
    assert one.digest == two.digest


def test_a_folder_is_no_gguf_file(tiny_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="no GGUF"):
        faults.as_folder(tiny_checkpoint, tmp_path / "plain")
