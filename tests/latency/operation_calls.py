"""Everything around the music: embeddings, batches, jobs, keys, health, and the long calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.latency.call import Call, Caller, Request

NOT_MEASURED = {
    "POST /models": "reads a bundle from disk and loads it: the model's own time",
    "POST /models/{model_id}/activate": "starts a job that analyses the whole library again",
    "DELETE /models/next": "belongs to such a job",
    "DELETE /models/{model_id}": "needs the vectors of a second model",
}
"""Operations without a figure, and why."""


def _get(path: str, **params: Any) -> Callable[[Caller], Request]:
    return lambda _caller: Request("GET", path, {"params": params})


def _texts(count: int) -> Callable[[Caller], Request]:
    return lambda caller: Request(
        "POST", "/embeddings", {"json": {"texts": [caller.text() for _ in range(count)]}}
    )


def _new_import(caller: Caller) -> str:
    body = {"source": "upload", "name": f"batch {caller.number()}"}
    return str(caller.do("POST", "/imports", json=body)["id"])


def _on_import(*steps: str) -> Callable[[Caller], Request]:
    """The last step on a new batch, after the others."""

    def make(caller: Caller) -> Request:
        path = f"/imports/{_new_import(caller)}"
        for step in steps[:-1]:
            caller.do("POST", f"{path}/{step}")
        return Request("POST", f"{path}/{steps[-1]}")

    return make


def _forget_import(caller: Caller) -> Request:
    path = f"/imports/{_new_import(caller)}"
    caller.do("POST", f"{path}/cancel")
    return Request("DELETE", path)


def _on_job(before: str, step: str) -> Callable[[Caller], Request]:
    """A step on a job that failed once, put into the state for it unless it is in that already."""

    def make(caller: Caller) -> Request:
        path = f"/jobs/{caller.failed_job_id()}"
        caller.http.post(f"{path}/{before}")
        return Request("POST", f"{path}/{step}")

    return make


def _key(caller: Caller) -> str:
    made = caller.do("POST", "/keys", json={"name": f"key {caller.number()}"})
    return f"/keys/{made['key']['id']}"


def _vocabulary(caller: Caller) -> Request:
    groups = [{"name": "mine", "labels": [caller.text() for _ in range(5)]}]
    return Request("PUT", f"/vocabularies/mine-{caller.number()}", {"json": {"groups": groups}})


def _delete_vocabulary(caller: Caller) -> Request:
    saved = _vocabulary(caller)
    caller.do(saved.method, saved.path, **saved.options)
    return Request("DELETE", saved.path)


def operation_reads() -> Iterator[Call]:
    yield Call("POST /embeddings", "1 new text", _texts(1))
    yield Call("POST /embeddings", "32 new texts", _texts(32), 10)
    yield Call(
        "POST /embeddings/audio", "a clip of 10 s",
        lambda caller: Request(
            "POST", "/embeddings/audio", {"files": {"file": ("a.wav", caller.sound())}}
        ),
    )  # fmt: skip
    yield Call("GET /embeddings/waiting", "count", _get("/embeddings/waiting"))
    yield Call("GET /imports", "first page", _get("/imports"))
    yield Call(
        "GET /imports/{import_id}", "a batch as large as the library",
        lambda caller: Request("GET", f"/imports/{caller.facts.import_id}"),
    )  # fmt: skip
    for name, params in (("its files", {}), ("its failed files", {"state": "failed"})):
        yield Call(
            "GET /imports/{import_id}/items", name,
            lambda caller, params=params: Request(
                "GET", f"/imports/{caller.facts.import_id}/items", {"params": params}
            ),
        )  # fmt: skip
    yield Call("GET /jobs", "first page", _get("/jobs"))
    yield Call("GET /jobs", "failed ones", _get("/jobs", state="failed"))
    yield Call(
        "GET /jobs/{job_id}", "one job",
        lambda caller: Request("GET", f"/jobs/{caller.facts.failed_job_ids[0]}"),
    )  # fmt: skip
    yield Call("GET /events", "until the first event", _get("/events"))
    yield Call("GET /health/live", "", _get("/health/live"))
    yield Call("GET /health/ready", "with a real query", _get("/health/ready"))
    yield Call("GET /metrics", "", _get("/metrics"))
    yield Call("GET /index", "its state", _get("/index"))
    yield Call("GET /models", "all", _get("/models"))
    yield Call("GET /workers", "all", _get("/workers"))
    yield Call("GET /keys", "all", _get("/keys"))
    yield Call("GET /keys/own", "", _get("/keys/own"))
    yield Call("GET /audit", "first page", _get("/audit"))
    yield Call("GET /audit", "by action", _get("/audit", action="POST /tracks"))


def operation_writes() -> Iterator[Call]:
    yield Call(
        "POST /imports", "of uploads",
        lambda _: Request("POST", "/imports", {"json": {"source": "upload"}}),
    )  # fmt: skip
    for operation, steps in {
        "pause": ("pause",), "resume": ("pause", "resume"), "close": ("close",),
        "cancel": ("cancel",),
    }.items():  # fmt: skip
        yield Call(f"POST /imports/{{import_id}}/{operation}", "an empty one", _on_import(*steps))
    yield Call("DELETE /imports/{import_id}", "its record", _forget_import)
    yield Call("POST /jobs/{job_id}/retry", "a failed one", _on_job("cancel", "retry"))
    yield Call("POST /jobs/{job_id}/cancel", "a queued one", _on_job("retry", "cancel"))
    yield Call(
        "POST /imports/{import_id}/retry", "all failed files of the large one",
        lambda caller: Request("POST", f"/imports/{caller.facts.import_id}/retry"), 1,
    )  # fmt: skip
    yield Call(
        "POST /keys", "",
        lambda caller: Request("POST", "/keys", {"json": {"name": f"key {caller.number()}"}}),
    )  # fmt: skip
    yield Call("GET /keys/{key_id}", "one", lambda caller: Request("GET", _key(caller)))
    yield Call(
        "PATCH /keys/{key_id}", "its name",
        lambda caller: Request("PATCH", _key(caller), {"json": {"name": "other"}}),
    )  # fmt: skip
    yield Call(
        "POST /keys/{key_id}/rotate", "",
        lambda caller: Request("POST", f"{_key(caller)}/rotate"),
    )  # fmt: skip
    yield Call("DELETE /keys/{key_id}", "", lambda caller: Request("DELETE", _key(caller)))
    yield Call("PUT /vocabularies/{name}", "5 new labels, not the default", _vocabulary)
    yield Call("DELETE /vocabularies/{name}", "not the default", _delete_vocabulary)


def long_calls() -> Iterator[Call]:
    """What reads the whole library once: nobody waits for these at a page."""
    yield Call("GET /export", "Parquet", _get("/export"), 1)
    yield Call("POST /embeddings/import", "all of the same, known already", _import_all, 1)
    yield Call(
        "DELETE /embeddings/waiting", "nothing waits",
        lambda _: Request("DELETE", "/embeddings/waiting"), 1,
    )  # fmt: skip
    for step in ("verify", "repair", "rebuild"):
        yield Call(
            f"POST /index/{step}", "",
            lambda _caller, step=step: Request("POST", f"/index/{step}"), 1,
        )  # fmt: skip


def _import_all(caller: Caller) -> Request:
    def export() -> bytes:
        return caller.http.get("/export").read()

    files = {"file": ("all.parquet", caller.kept("export", export))}
    return Request("POST", "/embeddings/import", {"files": files})
