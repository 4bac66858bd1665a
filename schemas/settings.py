"""Every setting of the system, typed and explained, read before anything else starts.

Sources, the first that names a setting wins: keyword arguments, environment variables `INTENTFLOW_<NAME>`, the
YAML file that `INTENTFLOW_CONFIG` names (keys = names in lower case), the defaults below. `docs/settings.md` is
`Settings.table()`.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.sources import CONFIG, PREFIX, FileSource, SettingsError, explain, meaning

__all__ = ["CONFIG", "PREFIX", "Settings", "SettingsError"]

MIB = 1 << 20


class Settings(BaseSettings):
    """Settings of every program of intentflow. Frozen: use `model_copy(update=...)` for a changed copy."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # pydantic would print all values of a bad set, the passwords among them
    )

    app_id: str = Field(
        "intentflow",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Name of consumer groups and prefix of transactional ids; one per deployment.",
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Put before every topic name, so that several deployments can share a cluster.",
    )

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="Kafka brokers, host:port, separated by commas."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="How every Kafka client connects; SASL_* needs sasl_username and sasl_password.",
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism; used only with SASL_PLAINTEXT and SASL_SSL."
    )
    sasl_username: str = Field("", description="SASL user.")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password; never printed.")
    ssl_ca_file: str = Field(
        "",
        description="PEM file of the authorities that sign the brokers' certificates; empty: the system's.",
    )
    ssl_cert_file: str = Field(
        "", description="PEM file of the client's certificate, for mutual TLS; needs ssl_key_file."
    )
    ssl_key_file: str = Field(
        "", description="PEM file of the client's private key, for mutual TLS; needs ssl_cert_file."
    )

    registry_url: str = Field(
        "",
        pattern=r"^(|https?://.+)$",
        description="Confluent-compatible schema registry; empty: the file registry with fixed ids.",
    )
    registry_username: str = Field("", description="User of the schema registry (HTTP basic).")
    registry_password: SecretStr = Field(
        SecretStr(""), description="Password of the schema registry; never printed."
    )

    partitions: int = Field(
        4,
        ge=1,
        le=10_000,
        description="Partitions of every topic keyed by shopper; fixed once events are stored, and the "
        "most workers that can share the work.",
    )
    replication_factor: int = Field(1, ge=1, le=32, description="Copies of each partition; 3 in production.")
    min_insync_replicas: int = Field(
        1,
        ge=1,
        le=32,
        description="Copies that must have a record before it counts as written; 2 in production.",
    )
    retention_days: float = Field(
        7.0,
        ge=0,
        description="Days that topics keep records by record timestamp, except the compacted ones; 0 = "
        "for ever. Must be longer than a checkpoint interval, and than the longest time a "
        "worker may be away.",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "zstd",
        description="Compression of what is produced; zstd is smallest and, in the worker's client, three times as "
        "fast as its lz4, which always runs at level 9.",
    )

    data_dir: str = Field(
        ".intentflow/worker",
        min_length=1,
        description="Folder of the worker's local stores; lost without harm, rebuilt from the changelogs.",
    )
    releases_uri: str = Field(
        ".intentflow/releases", min_length=1, description="Folder or fsspec URL of the model releases."
    )
    archive_uri: str = Field(
        ".intentflow/archive", min_length=1, description="Folder or fsspec URL of the Parquet archive."
    )
    outcome_late_hours: float = Field(
        48.0,
        ge=0,
        description="Hours of event time after which an event or decision is too late to change an outcome: what the "
        "outcome agent keeps grows with it, and a worker that lags by more costs outcomes.",
    )
    outcome_known_days: float = Field(
        90.0,
        ge=0,
        description="Days for which the outcome agent knows an intervention again: exposures and redemptions that name "
        "an older one become dead letters. Longer than any coupon is valid.",
    )
    searches_dir: str = Field(
        ".intentflow/searches",
        min_length=1,
        description="Folder of the studies of `replay search`, a SQLite file each: a search that was cut off goes on.",
    )
    mlflow_uri: SecretStr = Field(
        SecretStr("sqlite:///.intentflow/mlflow.db"),
        min_length=1,
        description="MLflow tracking URI where runs of the replay job are recorded, `off` for nowhere; "
        "sqlite:///.intentflow/mlflow.db unless set. Workers never read it. Never printed: it may hold a password.",
    )

    batch_records: int = Field(
        4096,
        ge=1,
        le=65_536,
        description="Most records in one turn of a worker, over all its partitions: larger is faster, smaller answers sooner.",
    )
    fetch_max_wait_ms: int = Field(
        15,
        ge=1,
        le=10_000,
        description="Milliseconds that a broker may wait for more records while there is traffic: every answer costs "
        "worker and broker a millisecond of CPU. A quiet topic is asked twice a second.",
    )
    ring_events: int = Field(
        50,
        ge=1,
        le=255,
        description="Latest events kept per shopper, from which the model's state is rebuilt; also how "
        "far back doubles are seen.",
    )
    hot_rows: int = Field(
        131_072,
        ge=64,
        description="Shoppers held in memory per worker process, shared out over its partitions; the "
        "others are read from RocksDB.",
    )
    block_cache_bytes: ByteSize = Field(
        ByteSize(64 * MIB),
        ge=MIB,
        description="RocksDB block cache per worker process; suffixes such as 64MiB are understood.",
    )
    write_buffer_bytes: ByteSize = Field(
        ByteSize(16 * MIB),
        ge=64 * 1024,
        description="RocksDB write buffer per partition store; suffixes are understood.",
    )
    checkpoint_interval_s: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds between checkpoints of the shoppers' rows: longer writes less, shorter "
        "recovers sooner.",
    )

    guarantee: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="exactly_once: outputs and offsets in one transaction; at_least_once: doubles after "
        "a crash, a little faster.",
    )
    transaction_timeout_s: float = Field(
        60.0,
        gt=0,
        le=900,
        description="Seconds after which the broker aborts a transaction that its worker left open; at "
        "most the broker's transaction.max.timeout.ms.",
    )
    session_timeout_s: float = Field(
        10.0,
        ge=1,
        le=1800,
        description="Seconds without a heartbeat after which a worker's partitions go to others.",
    )
    stuck_after_s: float = Field(
        120.0,
        gt=0,
        description="Seconds without progress on a partition that has records to process, after which /health "
        "names it and the worker ends so that it is started again.",
    )
    standby_replicas: int = Field(
        0,
        ge=0,
        le=3,
        description="Other workers that keep a warm copy of each partition's rows and take over first; each copy "
        "costs the disk and the changelog traffic of the partition.",
    )
    start_from: str = Field(
        "earliest",
        description="Where a group without committed offsets begins to publish: earliest, latest, or an "
        "ISO time such as 2026-03-01T00:00:00Z; earlier retained events only build state.",
    )

    engine: Literal["onnx", "torch"] = Field(
        "onnx", description="What runs the model: onnx is the faster on a CPU, torch also runs on a GPU."
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu", description="Where the model runs; auto takes a GPU when the engine is torch and one is there."
    )
    engine_precision: Literal["float32", "float16", "bfloat16", "int8"] = Field(
        "float32",
        description="Precision of the trunk's matrix products; state and scores are float32. For a GPU (engine torch): "
        "float16 is the fastest, scores differ by less than 0.001; bfloat16 takes three products for one and comes "
        "within 0.00001. For a CPU (engine onnx): int8 takes about two thirds of the time; scores differ by some "
        "thousandths, and by as much with the events that happen to be in the same call.",
    )
    engine_threads: int = Field(
        1,
        ge=1,
        le=256,
        description="Threads of the engine; 1, because the worker computes in one thread per process.",
    )
    model_name: str = Field(
        "intent", min_length=1, description="Model whose promoted release is used; the key in model-releases."
    )
    policy_name: str = Field("default", min_length=1, description="Policy in force; the key in policies.")
    timer_clock: Literal["wall", "events"] = Field(
        "wall",
        description="What makes time pass where no event comes, for pauses and messages that wait: wall for a live "
        "site; events where old events are played, time then stands still with them.",
    )
    timer_lateness_s: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="Seconds that timers ring after their time, so that events on their way still count.",
    )
    catalogue_uri: str = Field(
        "",
        description="CSV or Parquet of what lists may show (item_id, available, category_id, margin); empty: every item.",
    )
    catalogue_interval_s: float = Field(
        60.0, gt=0, description="Seconds between two looks whether the catalogue has changed."
    )

    learn_interval_s: float = Field(
        60.0,
        gt=0,
        description="Seconds between two records of what was learnt of a campaign (some kB each): outcomes come days after "
        "what they are of, so that a minute is soon enough; a learner that dies reads so much again.",
    )

    judged_task: Literal["buy_3d", "buy_7d", "buy_30d", "lapse_30d"] = Field(
        "buy_7d",
        description="Task by which releases are promoted and taken back: its labels are the first that say much.",
    )
    judged_rows: int = Field(
        500,
        ge=50,
        description="Fewest matured rows on which a release is promoted or taken back; fewer prove nothing.",
    )
    judged_days: float = Field(
        60.0,
        gt=0,
        description="Days of live predictions, back from the newest event, on which releases are judged: more rows, and "
        "more of the past.",
    )
    promote_tolerance: float = Field(
        0.002,
        ge=0,
        lt=1,
        description="Nats of log loss by which a challenger may be worse at the upper end of its paired 95 % interval: "
        "a difference that no decision would notice.",
    )
    promote_calibration: float = Field(
        1.25,
        gt=1,
        description="Factor that a challenger's odds, observed over expected, may be away from 1, either way, unless the "
        "release in use is farther away; values of campaigns are products with the scores.",
    )
    rollback_auc_margin: float = Field(
        0.02,
        ge=0,
        lt=0.5,
        description="AUC that a release may lose against its evaluation, beside 3 standard errors of that, before "
        "`intentflow models watch` takes it back; kept in its card when it is trained.",
    )
    rollback_calibration: float = Field(
        1.5,
        gt=1,
        description="Factor that the odds, observed over expected, may be away from 1 or from the evaluation's before "
        "`intentflow models watch` takes a release back: seasons move them, too. Kept in its card when it is trained.",
    )
    watch_interval_s: float = Field(
        3600.0,
        ge=1,
        description="Seconds between two looks of `intentflow models watch`; labels mature over days.",
    )

    event_max_age_days: float = Field(
        3650.0,
        gt=0,
        description="Days that an event's time may lie before its record timestamp; older is "
        "dead-lettered as absurd_time. Judged by the record timestamp so that redo judges as "
        "live did.",
    )
    event_max_ahead_s: float = Field(
        3600.0,
        ge=0,
        description="Seconds that an event's time may lie after its record timestamp; later is "
        "dead-lettered as absurd_time.",
    )
    max_event_bytes: ByteSize = Field(
        ByteSize(MIB),
        ge=1024,
        le=16 * MIB,
        description="Largest event that is scored; larger ones are dead-lettered as oversized. Suffixes "
        "are understood.",
    )

    coalesce_predictions: bool = Field(
        False,
        description="Publish only a shopper's last prediction of a batch; what is published then depends "
        "on where batches were cut.",
    )
    metrics_port: int = Field(
        9108, ge=0, le=65_535, description="Port of /metrics and /health; 0 = a free one."
    )
    agent_metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="The same of an archive or outcome agent or a learner that runs on; 0 = a free one, which its log names.",
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="Address that /metrics and /health listen on."
    )

    @field_validator("ssl_ca_file", "ssl_cert_file", "ssl_key_file")
    @classmethod
    def _file_exists(cls, path: str) -> str:
        if path and not Path(path).is_file():
            raise ValueError("there is no such file")
        return path

    @field_validator("start_from")
    @classmethod
    def _earliest_latest_or_time(cls, text: str) -> str:
        if text not in ("earliest", "latest"):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                raise ValueError(
                    "want earliest, latest, or an ISO time such as 2026-03-01T00:00:00Z"
                ) from None
            if moment.tzinfo is None:
                raise ValueError("the time needs a zone: put Z (UTC) or an offset such as +01:00 behind it")
        return text

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password.get_secret_value()
        ):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs {PREFIX}SASL_USERNAME and "
                f"{PREFIX}SASL_PASSWORD"
            )
        if bool(self.ssl_cert_file) != bool(self.ssl_key_file):
            raise ValueError(f"{PREFIX}SSL_CERT_FILE and {PREFIX}SSL_KEY_FILE are set together or not at all")
        wanted = ("float32", "int8") if self.engine == "onnx" else ("float32", "float16", "bfloat16")
        if self.engine_precision not in wanted:
            raise ValueError(
                f"engine {self.engine} computes in {', '.join(wanted)}: set {PREFIX}ENGINE_PRECISION to one of them or "
                f"choose another {PREFIX}ENGINE"
            )
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas {self.min_insync_replicas} is above replication_factor "
                f"{self.replication_factor}: nothing could ever be "
                f"written; lower {PREFIX}MIN_INSYNC_REPLICAS or raise {PREFIX}REPLICATION_FACTOR"
            )
        if self.retention_days and self.retention_days * 86_400 < self.checkpoint_interval_s:
            raise ValueError(
                f"retention_days {self.retention_days} is shorter than checkpoint_interval_s "
                f"{self.checkpoint_interval_s}: events would be gone "
                f"before redo needs them; raise {PREFIX}RETENTION_DAYS"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keyword arguments, then the environment; the YAML file comes in through `load` under both."""
        return init_settings, env_settings, FileSource(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read all sources. Raises SettingsError that lists every bad setting at once."""
        try:
            return cls(**overrides)
        except ValidationError as problem:
            raise SettingsError(explain(cls, problem)) from None

    @classmethod
    def table(cls) -> str:
        """All settings as a Markdown table: variable, default, meaning."""
        lines = ["| variable | default | meaning |", "|---|---|---|"]
        for name, field in cls.model_fields.items():
            default = field.default.human_readable() if isinstance(field.default, ByteSize) else field.default
            shown = "" if isinstance(default, SecretStr) or default == "" else f"`{default}`"
            lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {meaning(cls, name)} |")
        return "\n".join(lines) + "\n"


PAGE = """# Settings

Every setting of every program, from `schemas/settings.py`: `make docs` writes this page, a test keeps it in step.
Each is an environment variable, or a line `name: value` in the YAML file that `INTENTFLOW_CONFIG` names (name in lower
case, without the prefix); the environment wins.

"""

if __name__ == "__main__":
    print(PAGE + Settings.table(), end="")
