"""Numbers for a model from a file: where it is found, how it is fetched, and which of its entries are read.

A name is looked for as a path and then in the cache, the folder MINIMTL_CACHE or ~/.cache/minimtl. A URL is fetched into the cache
once, and only with the SHA-256 of the file that is meant: who can change what lies at an address can change what a model does.
"""

import hashlib
import os
import secrets
from pathlib import Path, PurePosixPath
from typing import TypeVar

from minimtl import nn
from minimtl.io import READERS, ending, load

Weights = str | os.PathLike[str] | None
M = TypeVar("M", bound=nn.Module)

TIMEOUT = 30  # seconds without a byte
CHUNK, LARGEST = 1 << 20, 4 << 30  # bytes


def load_weights(model: nn.Module, weights: str | os.PathLike[str], sha256: str | None = None, head: str | None = None) -> None:
    """θ ← the numbers in a `.safetensors`, `.pth`, `.pt` or `.npz` file: a path, a name in the cache, or a URL.

    What belongs to the part `head` ("fc") is left out where the model has no parameters there, or where its number of classes is not
    the file's: then the model's head keeps its numbers. All else must fit: else one error lists what does not, and the model is
    unchanged. Old files have no `num_batches_tracked`; a batch norm then keeps its own.
    """
    path = located(weights, sha256)
    state, own = load(path), model.state_dict()
    for key in own:
        if key.endswith(".num_batches_tracked"):
            state.setdefault(key, own[key])
    if head is not None:
        here, there = own.get(f"{head}.bias"), state.get(f"{head}.bias")
        if here is None or (there is not None and there.shape != here.shape):
            kept = {key: value for key, value in own.items() if key.startswith(f"{head}.")}
            state = {key: value for key, value in state.items() if not key.startswith(f"{head}.")} | kept
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise RuntimeError(f"{path}: {error}") from error


def loaded(model: M, weights: Weights, sha256: str | None) -> M:
    """The model, with the numbers of a file if one is given; `model.head` names the part that may differ."""
    if weights is None and sha256 is not None:
        raise ValueError(f"{type(model).__name__}: sha256 is given, and no weights")
    if weights is not None:
        load_weights(model, weights, sha256, getattr(model, "head", None))
    return model


def cache_folder() -> Path:
    """The folder MINIMTL_CACHE, else ~/.cache/minimtl."""
    given = os.environ.get("MINIMTL_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "minimtl"


def located(weights: str | os.PathLike[str], sha256: str | None) -> Path:
    """The file that is meant, fetched where need be; where a checksum is given, it is compared."""
    if sha256 is not None and not (len(sha256) == 64 and set(sha256.lower()) <= set("0123456789abcdef")):
        raise ValueError(f"weights: sha256 must be the 64 hexadecimal digits of the file, got {sha256!r}")
    if isinstance(weights, str) and "://" in weights:
        return fetched(weights, sha256)
    places = [Path(weights).expanduser(), cache_folder() / weights]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"weights: no file {places[0]}, nor {places[1]}")
    if sha256 is not None and digest(path) != sha256.lower():
        raise ValueError(f"weights: {path} has SHA-256 {digest(path)}, must have {sha256}")
    return path


def digest(path: Path) -> str:
    """The SHA-256 of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetched(url: str, sha256: str | None) -> Path:
    """The file at url, in the cache under its own name, where it appears whole and with the right checksum or not at all."""
    from urllib.parse import unquote, urlsplit
    from urllib.request import urlopen  # slow to import, and rarely needed

    parts = urlsplit(url)
    name = PurePosixPath(unquote(parts.path)).name
    if parts.scheme not in ("https", "file") or not name or sha256 is None:
        raise ValueError(
            f"weights: a URL must be https:// or file://, of a file, and come with its sha256; got {url}, {sha256}"
        )
    ending(Path(name), READERS)
    target = cache_folder() / Path(name).name
    if target.is_file() and digest(target) == sha256.lower():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{name}.{secrets.token_hex(4)}.part")
    try:
        with urlopen(url, timeout=TIMEOUT) as response, unfinished.open("xb") as file:
            while file.tell() <= LARGEST and (chunk := response.read(CHUNK)):
                file.write(chunk)
        found = digest(unfinished)
        if found != sha256.lower():
            raise ValueError(f"weights: {url} has SHA-256 {found}, must have {sha256}")
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target
