"""What can go wrong, as one tree; each leaf knows its HTTP status and its code.

BraidError
├── StartError                  exit code 2: what the operator must mend before anything is served
│   ├── SettingsError           a setting that does not exist or has no such value
│   └── BundleError             a folder that is not a valid bundle
└── RequestError                what a client is told
    ├── Malformed          400  malformed            the request is not what HTTP, multipart or JSON say
    │   ├── UnknownPart    400  unknown_part
    │   ├── DuplicatePart  400  duplicate_part
    │   └── NotExplainable 400  not_explainable      this model gives no such explanation
    ├── Unauthorized       401  unauthorized         no key, or one that is not known
    ├── Forbidden          403  forbidden            a key without the right
    ├── NotFound           404  not_found
    ├── UnknownModel       404  unknown_model
    ├── MethodNotAllowed   405  method_not_allowed
    ├── SlowBody           408  slow_body
    ├── SlowHead           408  slow_head            of the request: its first line and its fields
    ├── TooLarge           413  too_large            bytes of body, part or text
    ├── TargetTooLong      414  target_too_long      bytes of the URL
    ├── UnsupportedType    415  unsupported_type     format or charset
    ├── InvalidInput       422  invalid_input        undecodable
    │   ├── OverLimit      422  over_limit           pixels, seconds, channels, scans, ...
    │   └── MissingPart    422  missing_part         no part at all, or a required one
    ├── NotLoaded          422  not_loaded           a bundle that cannot be served; what was served still is
    ├── QueueFull          429  queue_full           with Retry-After
    ├── RateLimited        429  rate_limited         of this key, with Retry-After
    ├── HeadTooLarge       431  head_too_large       bytes or number of the fields
    ├── Failed             500  failed               the graph failed on this row alone
    ├── Unavailable        503  unavailable          loading or draining, with Retry-After
    └── DeadlineExceeded   504  deadline_exceeded
"""

from typing import ClassVar


class BraidError(Exception):
    """Any error that Braid itself raises."""


class StartError(BraidError):
    """Stops the start: one line for the operator, exit code 2."""


class SettingsError(StartError):
    """A BRAID_* variable or an option that does not exist or is out of range."""


class BundleError(StartError):
    """The folder is not a bundle that can be served; the text names the file or tensor."""


class RequestError(BraidError):
    """Told to the client as application/problem+json. The text never holds a path, a library's words or the input."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "failed"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str, *, part: str | None = None, limit: float | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.part = part
        self.limit = limit
        self.retry_after = retry_after


class Malformed(RequestError):
    status, code, title = 400, "malformed", "Malformed request"


class UnknownPart(Malformed):
    code, title = "unknown_part", "Unknown part"


class DuplicatePart(Malformed):
    code, title = "duplicate_part", "Duplicate part"


class NotExplainable(Malformed):
    code, title = "not_explainable", "Not explainable"


class Unauthorized(RequestError):
    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(RequestError):
    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(RequestError):
    status, code, title = 404, "not_found", "Not found"


class UnknownModel(RequestError):
    status, code, title = 404, "unknown_model", "Unknown model"


class MethodNotAllowed(RequestError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class SlowBody(RequestError):
    status, code, title = 408, "slow_body", "Body too slow"


class SlowHead(RequestError):
    status, code, title = 408, "slow_head", "Head too slow"


class TooLarge(RequestError):
    status, code, title = 413, "too_large", "Too large"


class TargetTooLong(RequestError):
    status, code, title = 414, "target_too_long", "URL too long"


class UnsupportedType(RequestError):
    status, code, title = 415, "unsupported_type", "Unsupported type"


class InvalidInput(RequestError):
    status, code, title = 422, "invalid_input", "Invalid input"


class OverLimit(InvalidInput):
    code, title = "over_limit", "Over a limit"


class MissingPart(InvalidInput):
    code, title = "missing_part", "Missing part"


class NotLoaded(RequestError):
    """To an operator who has asked for a load: the text may say what a library did."""

    status, code, title = 422, "not_loaded", "Not loaded"


class QueueFull(RequestError):
    status, code, title = 429, "queue_full", "Queue full"


class RateLimited(RequestError):
    status, code, title = 429, "rate_limited", "Too many requests"


class HeadTooLarge(RequestError):
    status, code, title = 431, "head_too_large", "Head too large"


class Failed(RequestError):
    """The graph failed on this row alone."""


class Unavailable(RequestError):
    status, code, title = 503, "unavailable", "Unavailable"


class DeadlineExceeded(RequestError):
    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"
