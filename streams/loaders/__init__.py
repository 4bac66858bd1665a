"""Real shoppers' histories as behaviour events: where a stream comes from when no shop is connected.

    for batch in loaders.open("completejourney").events(share=0.1):
        ...  # pa.RecordBatch of schemas/behavior_event.avsc, in event-time order

First step of the demo's data flow; `load` sends what a loader yields to `behavior-events`.
"""

from streams.loaders.base import DataMissing, Loader
from streams.loaders.completejourney import CompleteJourney
from streams.loaders.jdata import JData
from streams.loaders.rees46 import Rees46
from streams.loaders.taobao import Taobao

__all__ = ["LOADERS", "DataMissing", "Loader", "open"]

LOADERS: dict[str, type[Loader]] = {
    loader.name: loader for loader in (CompleteJourney, Taobao, JData, Rees46)
}


def open(name: str) -> Loader:
    """The loader of that name. Raises KeyError naming the loaders there are; data are only read by its methods."""
    try:
        return LOADERS[name]()
    except KeyError:
        raise KeyError(f"no loader {name!r}; there are {', '.join(LOADERS)}") from None
