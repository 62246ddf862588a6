from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pyr.checkpoint import identify
from pyr.errors import CheckpointError


def test_the_digest_says_what_it_is_and_not_where_it_lies(
    tiny_checkpoint: Path, checkpoint_copy: Path
) -> None:
    here, there = identify(tiny_checkpoint), identify(checkpoint_copy)
    assert here.digest == there.digest
    assert here.name != there.name


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("model.safetensors", "weights"),
        ("config.json", "config"),
        ("tokenizer.json", "tokenizer"),
        ("chat_template.jinja", "template"),
    ],
)
def test_a_change_of_any_part_is_a_new_checkpoint(
    checkpoint_copy: Path, file: str, part: str
) -> None:
    before = identify(checkpoint_copy)
    content = (checkpoint_copy / file).read_bytes()
    if file == "model.safetensors":
        content = content[:-1] + bytes([content[-1] ^ 1])
    else:
        content += b"\n"
    (checkpoint_copy / file).write_bytes(content)
    after = identify(checkpoint_copy)
    assert after.digest != before.digest
    changed = {name for name in before.digests if before.digests[name] != after.digests[name]}
    assert changed == {part}


def test_a_trainers_folder_gives_step_tokens_and_the_name_of_its_run(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "base-2" / "checkpoint-500"
    shutil.copytree(tiny_checkpoint, folder)
    state = {"global_step": 500, "num_input_tokens_seen": 262_144}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    checkpoint = identify(folder)
    assert (checkpoint.name, checkpoint.step, checkpoint.tokens) == (
        "base-2-checkpoint-500",
        500,
        262_144,
    )


@pytest.mark.parametrize(
    ("folder", "name"), [("checkpoint-40", "tiny-base-2-40"), ("final", "tiny-base-2")]
)
def test_a_checkpoint_of_pyr_train_is_called_as_its_pulses_and_its_result_are(
    checkpoint_copy: Path, folder: str, name: str
) -> None:
    mark = {"recipe": "tiny", "phase": "base-2", "step": 40, "tokens": 9000, "files": {}}
    (checkpoint_copy / "complete.json").write_text(json.dumps(mark))
    found = identify(checkpoint_copy.rename(checkpoint_copy.with_name(folder)))
    assert (found.name, found.phase, found.step, found.tokens) == (name, "base-2", 40, 9000)


@pytest.mark.parametrize("body", ["{}", '{"files": {}, "step": 3}'])
def test_another_programs_marker_says_nothing(checkpoint_copy: Path, body: str) -> None:
    (checkpoint_copy / "complete.json").write_text(body)
    assert identify(checkpoint_copy).phase == ""


def test_a_chat_template_is_seen_in_its_file_and_in_the_tokenizer_config(
    checkpoint_copy: Path,
) -> None:
    assert identify(checkpoint_copy).chat
    (checkpoint_copy / "chat_template.jinja").unlink()
    assert not identify(checkpoint_copy).chat
    config = checkpoint_copy / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": "{{ 1 }}"}))
    assert identify(checkpoint_copy).chat


def test_shards_are_read_through_their_index(checkpoint_copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(checkpoint_copy / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:3]}
    shards["model-00002-of-00002.safetensors"] = names[3:]
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, checkpoint_copy / shard)
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    index = checkpoint_copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    (checkpoint_copy / "model.safetensors").unlink()
    assert identify(checkpoint_copy).format == "safetensors"
    (checkpoint_copy / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="1 of 2 weight shards are missing"):
        identify(checkpoint_copy)


def test_pickled_weights_are_refused_unless_allowed(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "model.safetensors").unlink()
    (checkpoint_copy / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(CheckpointError, match="pickled"):
        identify(checkpoint_copy)
    assert identify(checkpoint_copy, allow_pickle=True).format == "pickle"


def test_a_folder_of_checkpoints_is_answered_with_one_of_them(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for step in (500, 1000):
        shutil.copytree(tiny_checkpoint, tmp_path / f"out/checkpoint-{step}")
    with pytest.raises(CheckpointError) as caught:
        identify(tmp_path / "out")
    assert "checkpoint-1000" in caught.value.remedy


def test_a_path_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        identify(tmp_path / "nothing")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_part_is_named(checkpoint_copy: Path, file: str) -> None:
    (checkpoint_copy / file).unlink()
    with pytest.raises(CheckpointError):
        identify(checkpoint_copy)


def test_safetensors_cut_short_are_refused(checkpoint_copy: Path) -> None:
    file = checkpoint_copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        identify(checkpoint_copy)


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00[]"]
)
def test_safetensors_with_a_broken_header_are_refused(
    checkpoint_copy: Path, content: bytes
) -> None:
    (checkpoint_copy / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        identify(checkpoint_copy)


def test_a_config_that_is_no_json_is_refused(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        identify(checkpoint_copy)


def test_a_tokenizer_larger_than_the_embedding_is_refused(checkpoint_copy: Path) -> None:
    config = json.loads((checkpoint_copy / "config.json").read_text())
    config["vocab_size"] -= 1
    (checkpoint_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="larger than the embedding"):
        identify(checkpoint_copy)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="not a GGUF file"):
        identify(file)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer_of_git_lfs_is_answered_with_how_to_fetch_the_file(
    checkpoint_copy: Path, file: str
) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (checkpoint_copy / file).write_text(pointer)
    with pytest.raises(CheckpointError, match="pointer of Git LFS") as caught:
        identify(checkpoint_copy)
    assert "git lfs pull" in caught.value.remedy


def test_a_name_on_the_hub_is_answered_with_how_to_fetch_it() -> None:
    with pytest.raises(CheckpointError) as caught:
        identify("HuggingFaceTB/SmolLM2-135M")
    command = "hf download HuggingFaceTB/SmolLM2-135M --local-dir SmolLM2-135M"
    assert caught.value.remedy.endswith(command)


def test_weights_named_alone_are_answered_with_their_folder(tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        identify(tiny_checkpoint / "model.safetensors")
    assert caught.value.remedy == f"name its folder: {tiny_checkpoint}"


def test_shards_without_their_index_are_answered_with_its_name(checkpoint_copy: Path) -> None:
    weights = checkpoint_copy / "model.safetensors"
    weights.rename(checkpoint_copy / "model-00001-of-00001.safetensors")
    with pytest.raises(CheckpointError) as caught:
        identify(checkpoint_copy)
    assert "model.safetensors.index.json" in caught.value.remedy


def test_an_index_without_a_map_is_refused(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "model.safetensors").unlink()
    (checkpoint_copy / "model.safetensors.index.json").write_text('{"weight_map": ["a"]}')
    with pytest.raises(CheckpointError, match="shards are missing"):
        identify(checkpoint_copy)


@pytest.mark.parametrize("change", [{"vocab_size": "600"}, {"vocab_size": 0, "text_config": None}])
def test_a_vocabulary_size_that_is_no_number_is_left_to_the_loader(
    checkpoint_copy: Path, change: dict[str, object]
) -> None:
    config = checkpoint_copy / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    assert identify(checkpoint_copy).digest


def test_a_step_that_is_no_number_is_not_known(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "trainer_state.json").write_text('{"global_step": "12"}')
    assert identify(checkpoint_copy).step is None


def test_a_file_that_cannot_be_read_is_named(
    checkpoint_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = str(checkpoint_copy / "model.safetensors")

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", unreadable)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match="cannot be read: Permission denied") as caught:
        identify(checkpoint_copy)
    assert caught.value.where == unreadable
