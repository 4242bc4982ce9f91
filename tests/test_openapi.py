"""The OpenAPI document is one that validators and generators accept."""

from openapi_spec_validator import validate

from tests.process import Server


def test_the_document_is_valid(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    validate(document)
    assert "/v1/models/senses/predict" in document["paths"]
    assert "/v2/models/senses/infer" in document["paths"]
