"""What is expected of answers in general (cache contract §9, http contract §4-§5)."""
import json
import re

CONTRACT_ERRORS = {
    "INVALID_PARAMETER": {400}, "TIME_OUT_OF_RANGE": {400}, "INVALID_URL": {400}, "NO_MATCHING_ORIGIN": {404}, "NOT_FOUND": {404},
    "METHOD_NOT_ALLOWED": {405}, "SOURCE_TOO_LARGE": {413}, "SOURCE_UNSUPPORTED": {415, 422}, "SOURCE_CORRUPT": {415, 422},
    "RANGE_NOT_SATISFIABLE": {416}, "OVERLOADED": {503}, "ALL_SOURCES_FAILED": {502}, "ORIGIN_TIMEOUT": {504},
    "TRANSFORM_TIMEOUT": {504}, "TRANSFORM_FAILED": {500}, "LOOP_DETECTED": {508}, "INTERNAL": {500},
    "CANCELLED": {503},  # by an operator: docs/jobs.md
    "SIGNATURE_REQUIRED": {403}, "SIGNATURE_INVALID": {403}, "SIGNATURE_EXPIRED": {403}, "SOURCE_NOT_ALLOWED": {403},
}

# What was refused before it was a request for something (docs/http.md, "Errors", last paragraph).
HTTP_ERRORS = {
    "BAD_REQUEST": {400}, "REQUEST_TIMEOUT": {408}, "BODY_TOO_LARGE": {413}, "URI_TOO_LONG": {414}, "EXPECTATION_FAILED": {417}, "HEADERS_TOO_LARGE": {431},
    "METHOD_UNSUPPORTED": {501}, "TRANSFER_CODING_UNSUPPORTED": {501}, "VERSION_UNSUPPORTED": {505},
}


def error(reply, body, code=None):
    """Checks that this is an error by the contract. @return its code"""
    assert reply.status >= 400, f"{reply.status} is no error"
    assert (reply["Content-Type"] or "").startswith("application/json"), reply.fields
    document = json.loads(body)
    assert set(document) == {"error"}, document
    inner = document["error"]
    assert set(inner) <= {"code", "message", "details"}, inner
    assert isinstance(inner["message"], str) and inner["message"]
    assert inner.get("details", {"x": 1}), "empty details are to be left out"
    assert reply.status in {**CONTRACT_ERRORS, **HTTP_ERRORS}[inner["code"]], (reply.status, inner)
    assert "X-Request-ID" in reply, reply.fields
    text = body.decode()
    assert "/tmp/" not in text and "/work/" not in text, "an error names a path of this machine"
    if code is not None:
        assert inner["code"] == code, inner
    return inner["code"]


def media_headers(reply, *, status_in=("HIT", "MISS", "STALE", "BYPASS"), source=None, key=None):
    """The fields that every media answer carries, whichever layer gave it."""
    assert reply["X-Cache-Status"] in status_in, reply.fields
    if source is not None:
        assert reply["X-Cache-Source"] == source, reply.fields
    assert reply["X-Cache-Source"] in ("edge", "KV", "transform"), reply.fields
    assert reply["X-KV-Cache-Key"], reply.fields
    if key is not None:
        assert reply["X-KV-Cache-Key"] == key
    for name in ("Cache-Status", "Cache-Tag", "X-Request-ID", "Server-Timing", "Via", "Cache-Control", "Date"):
        assert name in reply, f"{name} is missing: {reply.fields}"
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in reply
    for name, _ in reply.fields:
        single = name.lower() in ("etag", "content-length", "age", "x-cache-status", "x-cache-source", "x-kv-cache-key", "date")
        if single:
            assert sum(n.lower() == name.lower() for n, _ in reply.fields) == 1, f"{name} twice: {reply.fields}"


def stored_headers(reply):
    """More that answers from a stored entity carry."""
    assert re.fullmatch(r'"[^"]+"', reply["ETag"] or ""), reply.fields
    assert reply["Accept-Ranges"] == "bytes", reply.fields
    assert "Last-Modified" in reply, reply.fields
    assert int(reply["Age"]) >= 0
    m = re.search(r"max-age=(\d+)", reply["Cache-Control"] or "")
    assert m, reply.fields
    assert "public" in reply["Cache-Control"]


def kv_headers(reply):
    """What answers backed by the KV say about it."""
    assert int(reply["X-KV-Cache-Age"]) >= 0
    assert int(reply["X-KV-Cache-TTL"]) > 0
