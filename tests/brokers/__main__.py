"""`python -m tests.brokers`: resolves the jars of every Java broker ahead of the tests, which then start at once."""

from collections.abc import Callable
from pathlib import Path

from tests.brokers import Unavailable, apicurio, kafka


def main() -> None:
    """Prints where each program is, or why it cannot be had; the tests themselves decide what that means."""
    programs: dict[str, Callable[[], Path]] = {
        f"Apache Kafka {kafka.VERSION}": kafka.kafka_jars,
        f"Apicurio registry {apicurio.VERSION}": apicurio.apicurio_files,
    }
    for name, resolve in programs.items():
        try:
            print(f"{name}: {resolve()}", flush=True)
        except Unavailable as missing:
            print(f"{name}: {missing}", flush=True)


if __name__ == "__main__":
    main()
