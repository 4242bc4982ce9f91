"""What the operator decides: BRAID_* variables, overridden by the options of `braid serve`. Read once, then frozen."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import SettingsError
from service.limits import MIB, Bytes, Count, Limits, Wire

PREFIX = "BRAID_"
FOREIGN = {"BRAID_DATA"}  # belongs to `python -m models`


class Settings(BaseSettings, Limits, Wire):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bundles: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="bundle folders, or folders of them, separated by commas; the first is the default model"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    workers: Count | None = Field(
        None, description="processes that share the port; unless given: one a core for light graphs, one for heavy ones"
    )
    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("CPU",), description="execution providers of onnxruntime, separated by commas; all must start"
    )
    variant: str | None = Field(None, description="the variant of the graphs to run, such as fp16 or int8")
    threads: Count | None = Field(
        None,
        description="threads inside the graph for a request that is alone; unless given: all cores if it is heavy",
    )
    batch: Count | None = Field(None, description="rows of one run of a graph at most; unless given: what pays")
    engine: Literal["auto", "loop", "thread"] = Field(
        "auto", description="where graphs run: on the event loop (tiny ones), in a thread, or as measured"
    )
    cache: Path | None = Field(
        Path("~/.cache/braid").expanduser(), description="folder for what was measured; may be missing or read-only"
    )
    require_signature: Path | None = Field(
        None, description="file of public keys (`braid signing-key`); bundles that none of them has signed are refused"
    )
    bundle_bytes: Bytes = Field(8 * 2**30, description="bytes of all files of a bundle")
    load_seconds: float = Field(300.0, gt=0, description="seconds that loading and proving a model may take")
    load_bytes: Bytes | None = Field(
        None, description="memory that loading a model may take (RLIMIT_DATA); unless given, what the machine has"
    )
    queue_items: Count = Field(256, description="requests a model holds, from first byte to answer (429)")
    queue_bytes: Bytes = Field(256 * MIB, description="bytes of the bodies that a model holds (429)")
    queue_seconds: float = Field(
        2.0, gt=0, description="seconds of waiting, at the observed rate, up to which requests are accepted (429)"
    )
    rows: Count = Field(64, description="rows of one call of /v2 or inputs of one call of /v1/embeddings (422)")
    decode_isolation: Literal["off", "process"] = Field(
        "off", description="process: pictures and sounds are decoded in processes of their own, with bounds"
    )
    decode_seconds: float = Field(
        10.0, gt=0, description="processor seconds of one part there; thrice by the clock (422)"
    )
    decode_bytes: Bytes = Field(512 * MIB, description="memory that decoding may take there, and one part become (422)")
    timeout: float = Field(
        30.0, gt=0, description="seconds a request may wait unless its Braid-Timeout header says less (504)"
    )
    run_seconds: float = Field(
        30.0,
        gt=0,
        description="seconds of one run or decoding, and ten times the usual, after which it is held to hang",
    )
    hang_seconds: float = Field(
        10.0, gt=0, description="seconds for which a worker may not move at all before it is replaced"
    )
    drain: float = Field(
        2.0, ge=0, description="seconds after SIGTERM in which requests are still accepted, though not ready"
    )
    grace: float = Field(20.0, gt=0, description="seconds in which accepted requests must finish after that")
    playground: bool = Field(True, description="off: no pages at / and /status, no examples of bundles")
    tls_cert: Path | None = Field(None, description="file of the certificate and its chain (PEM); then https only")
    tls_key: Path | None = Field(None, description="file of its private key (PEM)")
    cors: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may ask, separated by commas, or *; unless given, none but our own"
    )
    manage: bool = Field(False, description="on: models may be loaded, reloaded and unloaded by keys with that right")
    keys: Path | None = Field(None, description="file of API keys (`braid key`); unless given, everybody may ask")
    traces: float = Field(
        0.0, ge=0, le=1, description="share of the requests that become OpenTelemetry traces; 0: none, at no cost"
    )
    log: Literal["info", "warning", "off"] = Field("info", description="info: a line a request; warning: failures only")

    @field_validator("bundles", "providers", "cors", mode="before")
    @classmethod
    def comma_separated(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def read(options: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Options that are None do not override. Raises SettingsError that names the variable or option."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | FOREIGN
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"{name}: no such setting; there are {', '.join(sorted(known - FOREIGN))}")
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        raise SettingsError(f"{PREFIX}{name.upper()} (--{name.replace('_', '-')}): {first['msg']}") from error
