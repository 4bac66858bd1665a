"""Which release workers use: the compacted topic model-releases, read and written by `intentflow models`.

    key                         the last record says
    <model>                     the release that workers use (the champion); they swap to it between two batches
    <model>/challenger          the release that runs beside it in shadow
    <model>/withdrawn/<release> a release that was rolled back automatically, and why: it is not promoted again unless forced

Every promotion, also one that goes back, names the release it replaced, so that `rollback` needs no list of its own.
"""

import posixpath
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

import fsspec

from models import releases_topic
from models.engine import check_shapes
from models.release import Release, ReleaseProblem, read
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings

SCHEMA = "model_release"


@dataclass(frozen=True)
class Promotion:
    """A record of model-releases; fields as in schemas/model_release.avsc."""

    model: str
    release: str
    uri: str
    weights_sha256: str
    feature_fingerprint: str
    promoted_at: int  # ms since 1970 UTC, wall clock
    previous: str | None
    note: str

    def open(self) -> Release:
        """The release it names; ReleaseProblem when it cannot be served or is not the one that was promoted."""
        found = read(self.uri)
        if (found.id, found.weights_sha256) != (self.release, self.weights_sha256):
            raise ReleaseProblem(
                f"{self.uri} holds {found.id}, model-releases names {self.release} with other weights: "
                "restore that folder, or promote what is there with `intentflow models promote`"
            )
        return found

    @classmethod
    def decode(cls, codec: Codec, values: Sequence[bytes | None]) -> list[Self]:
        """Promotions of record values, in their order; what does not decode is left out."""
        good = codec.decode(values).index
        return [cls(**row) for row in codec.decode_rows([values[at] for at in good])]


@dataclass(frozen=True)
class Standing:
    """What model-releases says of a model now. withdrawn: by release id."""

    champion: Promotion | None = None
    challenger: Promotion | None = None
    withdrawn: dict[str, Promotion] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """A folder under releases_uri: the release, or why it cannot be served."""

    id: str
    release: Release | None
    problem: str
    promoted: bool


def challenger_key(model: str) -> bytes:
    """Key of the record that names the model's challenger."""
    return f"{model}/challenger".encode()


def withdrawn_key(model: str, release: str) -> bytes:
    """Key of the record that says why a release was taken back; "" for what all of them begin with."""
    return f"{model}/withdrawn/{release}".encode()


def codec(settings: Settings) -> Codec:
    """Codec of the topic's values."""
    return Codec(open_registry(settings), SCHEMA)


def promote(settings: Settings, release: Release, note: str = "promoted") -> Promotion:
    """Makes workers use `release`, after checking that it can be served. Returns once the brokers have the record.

    It asks for no evidence: whoever decides has (models/replay/evidence.py). A challenger that is promoted is no
    challenger any longer, and a release that was withdrawn is so no longer.
    """
    check_shapes(release, release.weights())
    now = standing(settings, release.card.model)
    records = _promoted(settings, release, note, now)
    if now.challenger is not None and now.challenger.release == release.id:
        records[challenger_key(release.card.model)] = None
    if release.id in now.withdrawn:
        records[withdrawn_key(release.card.model, release.id)] = None
    return _written(settings, release, records)


def rollback(settings: Settings, model: str | None = None, note: str = "rolled back") -> Promotion:
    """Promotes the release that the present one replaced. ReleaseProblem when there is none, or it is gone or withdrawn."""
    now = standing(settings, model)
    return promote(settings, _predecessor(settings, model or settings.model_name, now), note)


def withdraw(settings: Settings, release_id: str, why: str, model: str | None = None) -> Promotion | None:
    """Takes back the release in use for good: promotes the one before, and keeps `why` in both records.

    None when `release_id` is not in use any longer: somebody was faster. ReleaseProblem as for `rollback`; nothing is
    written then, so that a release that was withdrawn never comes back this way.
    """
    model = model or settings.model_name
    now = standing(settings, model)
    if now.champion is None or now.champion.release != release_id:
        return None
    before = _predecessor(settings, model, now)
    check_shapes(before, before.weights())
    records = _promoted(settings, before, f"rolled back automatically from {release_id}: {why}", now)
    gone = asdict(now.champion) | {"promoted_at": int(time.time() * 1000), "note": why}
    (records[withdrawn_key(model, release_id)],) = codec(settings).encode_rows([gone])
    return _written(settings, before, records)


def challenge(settings: Settings, release: Release, note: str = "challenger") -> Promotion:
    """Has workers run `release` in shadow, beside the one in use, after checking that it can be served."""
    check_shapes(release, release.weights())
    now, model = standing(settings, release.card.model), release.card.model
    if now.champion is None:
        raise ReleaseProblem(
            f"model {model}: no release is in use that {release.id} could challenge; promote it with `intentflow models "
            "promote`"
        )
    if now.champion.release == release.id:
        raise ReleaseProblem(f"{release.id} is the release in use: choose another one as challenger")
    record = _record(release, note, now.champion.release)
    (value,) = codec(settings).encode_rows([asdict(record)])
    releases_topic.write(settings, {challenger_key(model): value}, f"challenger {release.id}")
    return record


def stop_challenge(settings: Settings, model: str | None = None) -> Promotion | None:
    """Nobody runs in shadow any longer; returns who did."""
    model = model or settings.model_name
    found = standing(settings, model).challenger
    if found is not None:
        releases_topic.write(
            settings, {challenger_key(model): None}, f"the end of challenger {found.release}"
        )
    return found


def find(settings: Settings, release_id: str) -> Release:
    """The release with this id under releases_uri; ReleaseProblem when it is not there."""
    return read(posixpath.join(settings.releases_uri, release_id))


def listing(settings: Settings, now: Promotion | None) -> list[Listed]:
    """Every release folder under releases_uri, oldest first. now: what `promoted` says."""
    fs, root = fsspec.url_to_fs(settings.releases_uri)
    if not fs.exists(root):
        return []
    folders = sorted(entry["name"] for entry in fs.ls(root, detail=True) if entry["type"] == "directory")
    listed = []
    for release_id in (posixpath.basename(folder.rstrip("/")) for folder in folders):
        release, problem = None, ""
        try:
            release = find(settings, release_id)
        except ReleaseProblem as found:
            problem = str(found)
        listed.append(Listed(release_id, release, problem, now is not None and now.release == release_id))
    return sorted(listed, key=lambda one: (one.release.created_at if one.release else "", one.id))


def promoted(settings: Settings, model: str | None = None) -> Promotion | None:
    """The last promotion of the model (settings.model_name by default), None when there was none.

    ReleaseProblem when the topic is missing or cannot be read within 30 s.
    """
    return standing(settings, model).champion


def standing(settings: Settings, model: str | None = None) -> Standing:
    """Champion, challenger and what was withdrawn of the model (settings.model_name by default); see `promoted`."""
    model = model or settings.model_name
    latest = {key: value for key, value in releases_topic.read(settings) if key is not None}
    reader = codec(settings)

    def decoded(key: bytes) -> Promotion | None:
        value = latest.get(key)
        return None if value is None else next(iter(Promotion.decode(reader, [value])), None)

    prefix = withdrawn_key(model, "")
    gone = [found for key in latest if key.startswith(prefix) and (found := decoded(key)) is not None]
    return Standing(
        decoded(model.encode()), decoded(challenger_key(model)), {one.release: one for one in gone}
    )


def _predecessor(settings: Settings, model: str, now: Standing) -> Release:
    """The release that the present one replaced."""
    current = now.champion
    mend = "choose one with `intentflow models list` and `intentflow models promote`"
    if current is None or current.previous is None:
        missing = "no release was promoted" if current is None else f"{current.release} replaced no other"
        raise ReleaseProblem(f"model {model}: nothing to go back to, {missing}; {mend}")
    if current.previous in now.withdrawn:
        why = now.withdrawn[current.previous].note
        raise ReleaseProblem(
            f"model {model}: {current.previous}, which {current.release} replaced, was withdrawn ({why}) and is not used "
            f"again unless you force it; {mend}"
        )
    return find(settings, current.previous)


def _record(release: Release, note: str, previous: str | None) -> Promotion:
    return Promotion(
        model=release.card.model,
        release=release.id,
        uri=release.uri,
        weights_sha256=release.weights_sha256,
        feature_fingerprint=release.card.features.fingerprint(),
        promoted_at=int(time.time() * 1000),
        previous=previous,
        note=note,
    )


def _promoted(settings: Settings, release: Release, note: str, now: Standing) -> dict[bytes, bytes | None]:
    """The record that makes `release` the champion, by its key."""
    current = now.champion
    again = current is not None and current.release == release.id  # it replaces what it replaced before
    previous = None if current is None else current.previous if again else current.release
    (value,) = codec(settings).encode_rows([asdict(_record(release, note, previous))])
    return {release.card.model.encode(): value}


def _written(settings: Settings, release: Release, records: dict[bytes, bytes | None]) -> Promotion:
    releases_topic.write(settings, records, f"promoting {release.id}")
    (record,) = Promotion.decode(codec(settings), [records[release.card.model.encode()]])
    return record
