"""Settings of ``serve``: from its options, then the environment, then a file, then defaults.

An environment variable is named ``DOE_`` and the setting in capitals; a setting of a table is
joined by two underscores, as in ``DOE_LOOP__BURST=2000``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gateway.formats.faults import InputFaults, sentences
from gateway.formats.input_files import read_toml
from gateway.operations.logs import LogFormat, LogLevel
from gateway.service.settings import ServiceSettings

_NO_FILE = "settings"  # what faults are named after where there is no file
_FILE_CONTENT = "file_content"  # how the file's content reaches the sources of settings


class ServeSettings(BaseSettings):
    """Where the exchange finds its servers, what it writes, and how its loop behaves.

    Parameters
    ----------
    mqtt_url, redis_url
        Broker and journal, with passwords; without one an embedded server is started.
    data
        Folder of the embedded journal, and of the witness.
    witness
        File that knows the end of the journal; without one ``AREA.witness`` in the folder.
    archive, keep_entries
        File to which entries before the last snapshot are moved, and how many of the newest stay.
    standby
        Whether to wait where another exchange serves the area, and to take over when it ends.
    lease_s
        Seconds after which an exchange that stands still may be replaced.
    accounts
        File of names and passwords for the embedded broker.
    mqtt_port
        Port of the embedded broker; 0 is a free one.
    metrics_port, metrics_host
        Where ``/health`` and ``/metrics`` are; without a port they are nowhere.
    log_format, log_level
        Form of the log, and its least severe records.
    loop
        Batches, periods, rates and waiting times.
    """

    model_config = SettingsConfigDict(
        env_prefix="DOE_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    mqtt_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    data: Path = Path("doe-exchange-data")
    witness: Path | None = None
    archive: Path | None = None
    keep_entries: int = Field(10_000, ge=0)
    standby: bool = False
    lease_s: float = Field(1.0, gt=0.1, le=60.0)
    accounts: Path | None = None
    mqtt_port: int = Field(0, ge=0, le=65_535)
    metrics_port: int | None = Field(None, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"
    log_format: LogFormat = "text"
    log_level: LogLevel = "warning"
    loop: ServiceSettings = ServiceSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let options come before the environment, and the environment before the file."""
        assert isinstance(init_settings, InitSettingsSource)
        given = dict(init_settings.init_kwargs)
        from_file = given.pop(_FILE_CONTENT)
        return (
            InitSettingsSource(settings_cls, given),
            env_settings,
            InitSettingsSource(settings_cls, from_file),
        )


def read_settings(file: Path | None = None, **options: Any) -> ServeSettings:
    """Return the settings.

    Parameters
    ----------
    file
        A file of settings (TOML).
    options
        Settings that were given on the command line; those that are ``None`` were not.

    Raises
    ------
    InputFaults
        When the file cannot be read or a setting is not valid, with all faults.
    """
    content = {} if file is None else read_toml(file)
    given = {name: value for name, value in options.items() if value is not None}
    given[_FILE_CONTENT] = content
    try:
        return ServeSettings(**given)
    except ValidationError as error:
        raise InputFaults(str(file or _NO_FILE), sentences(error)) from None
