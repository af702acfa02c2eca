"""The settings that say which image model makes the pictures and what it is asked for: a part of `wearon.settings`."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
)

from wearon.tryon.openai.models import (
    DEFAULT_FALLBACKS,
    DEFAULT_MODEL,
    Complexity,
    Fidelity,
    NotTaken,
    Quality,
    Wanted,
    model_named,
)

_MODEL_NAME = re.compile(r"[!-~]{1,100}")


def _check_model(name: str) -> str:
    """Servers name models freely; the name goes into URLs, logs and metrics."""
    name = name.strip()
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError("must be the name of a model, such as gpt-image-2: up to 100 characters, no spaces")
    return name


def _split_names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


ModelName = Annotated[str, AfterValidator(_check_model)]
ModelNames = Annotated[tuple[ModelName, ...], NoDecode, BeforeValidator(_split_names)]


CHOSEN_EMPTY = ("openai_fallback_models",)
"""Settings whose emptiness is a choice."""


class ImageSettings(BaseSettings):
    """Field names are the variables' names in lower case."""

    openai_model: ModelName = DEFAULT_MODEL
    openai_fallback_models: ModelNames = DEFAULT_FALLBACKS
    openai_image_size: str = "1024x1536"
    openai_image_quality: Quality = "medium"
    openai_image_complexity: Complexity | None = None
    openai_input_fidelity: Fidelity | None = None
    openai_safety_identifier: bool = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Empty means "not set", but no fallback models are a choice."""
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        chosen, chosen_in_file = (
            InitSettingsSource(settings_cls, {name: () for name in CHOSEN_EMPTY if source.env_vars.get(name) == ""})
            for source in (
                EnvSettingsSource(settings_cls, env_ignore_empty=False),
                DotEnvSettingsSource(settings_cls, env_file=dotenv_settings.env_file, env_ignore_empty=False),
            )
        )
        return (init_settings, chosen, env_settings, chosen_in_file, dotenv_settings, file_secret_settings)

    @field_validator("openai_image_size")
    @classmethod
    def _check_size(cls, size: str, info: ValidationInfo) -> str:
        problem = model_named(info.data.get("openai_model", "")).size_problem(size)
        if problem:
            raise ValueError(problem)
        return size

    @property
    def image_models(self) -> tuple[str, ...]:
        """The model that is wanted, then those that are asked when it cannot be used."""
        return tuple(dict.fromkeys((self.openai_model, *self.openai_fallback_models)))

    @property
    def wanted_picture(self) -> Wanted:
        """What every model is asked for, as far as it takes it."""
        return Wanted(
            self.openai_image_size,
            self.openai_image_quality,
            self.openai_input_fidelity,
            self.openai_image_complexity,
        )

    @property
    def settings_not_sent(self) -> list[NotTaken]:
        """Settings that were made and that `openai_model` does not take. A fallback takes what it can."""
        found = model_named(self.openai_model).not_taken(self.wanted_picture)
        return [setting for setting in found if setting.setting.lower() in self.model_fields_set]
