"""Where settings come from beside the environment, and how their errors and their table read. Serves `settings`."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

PREFIX = "INTENTFLOW_"
CONFIG = PREFIX + "CONFIG"


class SettingsError(ValueError):
    """One or more settings cannot be used; the message names each, its value, what is wanted, and the mend."""


class FileSource(PydanticBaseSettingsSource):
    """The YAML file named by INTENTFLOW_CONFIG; a key that is no setting is an error, not a silent typo."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # the whole file is read at once, in __call__

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(CONFIG, "")
        if not path:
            return {}
        try:
            # BaseLoader: every value as text, as in the environment, so that a time stays what was written.
            found = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        except OSError as problem:
            raise SettingsError(
                f"{CONFIG}={path}: {problem.strerror}; name a readable YAML file or unset {CONFIG}"
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as problem:
            raise SettingsError(f"{CONFIG}={path} is not YAML: {' '.join(str(problem).split())}") from None
        if not found:
            return {}
        if not isinstance(found, dict):
            raise SettingsError(
                f"{CONFIG}={path} holds a {type(found).__name__}; want lines of the form `partitions: 4`"
            )
        unknown = [str(key) for key in found if key not in self.settings_cls.model_fields]
        if unknown:
            known = ", ".join(self.settings_cls.model_fields)
            raise SettingsError(f"{CONFIG}={path}: unknown setting {', '.join(unknown)}; known are {known}")
        return found


def meaning(settings: type[BaseSettings], name: str) -> str:
    """Description of a setting, with its choices if it has any."""
    field = settings.model_fields[name]
    choices = getattr(field.annotation, "__args__", ())
    return f"{field.description}" + (f" One of {', '.join(map(str, choices))}." if choices else "")


def explain(settings: type[BaseSettings], problem: ValidationError) -> str:
    """One message on all that pydantic found: variable, value (not of secrets), reason, what is wanted, mend."""
    lines = []
    for error in problem.errors():
        reason = error["msg"].removeprefix("Value error, ")
        name = str(error["loc"][0]) if error["loc"] else ""
        if name not in settings.model_fields:
            lines.append(f"- {name}: {reason}" if name else f"- {reason}")
            continue
        secret = settings.model_fields[name].annotation is SecretStr
        value = "(secret)" if secret else repr(error["input"])
        variable = PREFIX + name.upper()
        lines.append(
            f"- {variable} is {value}: {reason}. {meaning(settings, name)} Set {variable}, or `{name}:` "
            f"in the file of {CONFIG}."
        )
    return "settings that cannot be used:\n" + "\n".join(lines)
