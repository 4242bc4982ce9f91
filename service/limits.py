"""What one upload may cost: bytes, pixels, seconds. The operator decides; settings.py reads them as BRAID_*."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0, description="bytes")]
MIB = 2**20


class Limits(BaseModel):
    """Each is documented in README with its number."""

    model_config = ConfigDict(frozen=True)

    body_bytes: Bytes = Field(32 * MIB, description="bytes of a whole request body (413)")
    body_seconds: float = Field(15.0, gt=0, description="seconds in which a whole body must arrive (408)")
    parts: Count = Field(8, description="parts of one request (400)")
    explain_rows: Count = Field(400, description="rows of the graph that one part may cost in an explanation (422)")
    labels: Count = Field(256, description="candidate labels of one request (422)")
    text_bytes: Bytes = Field(32 * 1024, description="bytes of a text part (413)")
    image_bytes: Bytes = Field(10 * MIB, description="bytes of an image part (413)")
    image_pixels: Count = Field(25_000_000, description="pixels of a picture, read from its header (422)")
    image_side: Count = Field(12_000, description="pixels of a picture's longer side (422)")
    image_aspect: Count = Field(50, description="longer side over shorter side of a picture (422)")
    image_scans: Count = Field(64, description="scans of a progressive JPEG (422)")
    image_chunks: Count = Field(
        2_000, description="chunks of a PNG or WebP, blocks of a GIF, segments of a JPEG's head; two a frame (422)"
    )
    image_text: Bytes = Field(4 * MIB, description="bytes that text and profiles of a PNG inflate to (422)")
    audio_bytes: Bytes = Field(10 * MIB, description="bytes of an audio part (413)")
    audio_seconds: float = Field(120.0, gt=0, description="seconds of a recording (422)")
    audio_rate_low: Count = Field(4_000, description="lowest sample rate in hertz (422)")
    audio_rate_high: Count = Field(192_000, description="highest sample rate in hertz (422)")
    audio_channels: Count = Field(8, description="channels of a recording (422)")
    audio_chunks: Count = Field(2_000, description="chunks of a WAV (422)")
    audio_peak: float = Field(64.0, gt=0, description="largest absolute sample of a float recording (422)")


class Wire(BaseModel):
    """What one connection may cost; likewise."""

    model_config = ConfigDict(frozen=True)

    connections: Count = Field(1_000, description="connections of a worker; idle ones give way to new ones (503)")
    pipeline: Count = Field(16, description="requests that one connection may send ahead of their answers (503)")
    keep_alive: float = Field(5.0, gt=0, description="seconds for which a connection is kept for its next request")
    head_seconds: float = Field(10.0, gt=0, description="seconds in which the head of a request must arrive (408)")
    head_bytes: Bytes = Field(32 * 1024, description="bytes of a request's head: its first line and its fields (431)")
    head_fields: Count = Field(100, description="fields of a request's head (431)")
    target_bytes: Bytes = Field(8 * 1024, description="bytes of a request's URL (414)")
    body_rate: Bytes = Field(1024, description="bytes a second that a body must bring on average (408)")
    body_grace: float = Field(5.0, ge=0, description="seconds that are left out of that average")
    body_overhead: Bytes = Field(
        64 * 1024, description="bytes by which sizes, extensions and trailers may outweigh what is in the chunks (400)"
    )
    answer_seconds: float = Field(15.0, gt=0, description="seconds in which a client must take its answer")


DEFAULTS = Limits()
