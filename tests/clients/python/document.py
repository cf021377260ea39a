"""The served and the committed OpenAPI document are valid OpenAPI 3.1, and so is what staff sees of collections."""

import json
import os
import pathlib

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from api import call

for document in [
    call("GET", "/openapi.json"),
    json.loads((pathlib.Path(os.environ["ROOT"]) / "openapi/openapi.json").read_text()),
    json.loads(pathlib.Path(os.environ["DOCUMENT"]).read_text()),
]:
    assert document["openapi"].startswith("3.1."), document["openapi"]
    validate(document, cls=OpenAPIV31SpecValidator)
