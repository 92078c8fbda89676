"""Walk through the whole API as a new user would, and say what happens.

    python docs/walkthrough.py [URL] [--key KEY]

Uses the demo library that a new service offers and three short tones of its own, and cleans up
after itself. Ends with an error as soon as something is not as it should be.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import struct
import sys
import time
import wave

from muquery.client import ApiError, Client, Clip, NotFound, Stored, Text


def main() -> None:
    parser = argparse.ArgumentParser(description="Walk through the API of a running service.")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=None, help="An API key with all scopes.")
    parser.add_argument("--demo-tracks", type=int, default=30, help="Tracks to wait for.")
    options = parser.parse_args()
    with Client(options.url, options.key) as muquery:
        look_around(muquery, options.demo_tracks)
        added = add_tones(muquery)
        try:
            search(muquery)
            narrow(muquery)
            tags(muquery)
            unstored(muquery)
            edit(muquery, added)
            operate(muquery)
        finally:
            clean_up(muquery, added)
    say("All of it worked.")


def look_around(muquery: Client, demo_tracks: int) -> None:
    say("# Is it there?")
    health = muquery.ready()
    model = next(model for model in muquery.models().items if model.active)
    say(f"ready ({health.version}); model {model.name} {model.model_id}, {model.embed_dim} numbers")
    workers = muquery.workers()
    check(workers.problem is None, "nobody is there to analyse what is uploaded")
    say(f"workers: {', '.join(f'{worker.id} {worker.state}' for worker in workers.items)}")
    ready, seen_at = 0, time.monotonic()
    while ready < demo_tracks:
        found = sum(1 for _ in muquery.tracks(state="ready", limit=100))
        if found > ready:
            ready, seen_at = found, time.monotonic()
        waited_s = time.monotonic() - seen_at
        check(waited_s < 120, f"only {ready} of {demo_tracks} tracks became ready")
        time.sleep(1)
    index = muquery.index()
    say(f"{ready} tracks, {index.clips} clips in the {index.engine} index")


def add_tones(muquery: Client) -> list[str]:
    say("# Add music")
    added = []
    batch = muquery.create_import(source="upload", name="walk-through")
    for number, pitch_hz in enumerate((220.0, 440.0, 880.0)):
        result = muquery.upload(
            tone(pitch_hz),
            {"title": f"Walk-through tone {number}", "artist": "Walk-through",
             "year": 2020 + number, "extra": {"pitch_hz": pitch_hz, "walk": True}},
            import_id=batch.id,
            name=f"tone-{number}.wav",
        )  # fmt: skip
        added.append(result.track.id)
    muquery.change_import(batch.id, "close")
    ended = muquery.wait_for_import(batch.id)
    say(f"import {ended.state}: {ended.counts}")
    check(ended.state == "done", "the import did not end well")
    again = muquery.upload(tone(220.0))
    check(again.duplicate and again.track.id == added[0], "the same bytes became another track")
    try:
        muquery.upload(io.BytesIO(b"this is not music"))
    except ApiError as error:
        say(f"text instead of music: {error.status} {error.code}")
        check(error.status == 415, "text was not refused as such")
    return added


def search(muquery: Client) -> None:
    say("# Search")
    for mode in ("semantic", "keyword", "hybrid"):
        page = muquery.search("death metal", mode=mode, limit=3)
        check(bool(page.items), f"nothing found in mode {mode}")
        say(f"{mode}: " + "; ".join(shown(hit.track.title, hit.relevance) for hit in page.items))
    first = muquery.search("orchestral", limit=1).items[0]
    passage = first.passages[0]
    say(
        f"orchestral: {first.track.title}, best from {passage.start_s:.0f} to {passage.end_s:.0f} s"
    )
    alike = muquery.search(Stored(first.track.id), limit=3)
    check(all(hit.track.id != first.track.id for hit in alike.items), "a track is like itself")
    say("like it: " + "; ".join(str(hit.track.title) for hit in alike.items))
    mixed = muquery.search([Text("energetic electronic"), Text("piano", weight=-0.6)], limit=3)
    say("electronic without piano: " + "; ".join(str(hit.track.title) for hit in mixed.items))
    parts = muquery.search("drums", level="passage", limit=3)
    check(all(len(hit.passages) == 1 for hit in parts.items), "a passage is one passage")
    every = [hit.track.id for hit in muquery.search_all("music", limit=7)]
    check(len(every) == len(set(every)), "pages repeat a track")
    check(len(every) == sum(1 for _ in muquery.tracks(state="ready")), "pages skip a track")
    say(f"{len(every)} hits over pages of seven, none twice")


def narrow(muquery: Client) -> None:
    say("# Filters and facets")
    late = {"and": [{"field": "extra.walk", "eq": True}, {"field": "year", "range": {"gte": 2021}}]}
    found = list(muquery.search_all("tone", filter=late))
    check({hit.track.year for hit in found} == {2021, 2022}, "a filter let the wrong ones through")
    artists = muquery.facets(["artist", "year"], filter=late).items
    check(artists[0].values[0].value == "Walk-through", "a facet counts something else")
    say("facets: " + json.dumps([item.model_dump(mode="json") for item in artists])[:300])
    few = muquery.search("music", max_per={"artist": 1}, limit=50)
    names = [hit.track.artist for hit in few.items if hit.track.artist]
    check(len(names) == len(set(names)), "max_per let an artist in twice")
    say(f"one per artist: {len(few.items)} hits")
    try:
        muquery.search("tone", filter={"field": "no such field", "eq": 1})
    except ApiError as error:
        say(f"a wrong filter: {error.status} {error.code}: {error.message}")
        check(error.status == 422, "a wrong filter was not refused")


def tags(muquery: Client) -> None:
    say("# Tags")
    track = muquery.search("death metal", limit=1).items[0].track
    scores = muquery.tag_track(track.id, labels=["metal", "jazz", "lullaby"])
    say(f"{track.title}: " + "; ".join(shown(s.label, s.probability) for s in scores.items))
    own = muquery.track_tags(track.id, timeline=True)
    for group in own.groups:
        say(f"  {group.group}: {', '.join(group.assigned) or '-'}")
    names = [item.name for item in muquery.vocabularies().items]
    check(bool(names), "there is no vocabulary")
    say(f"vocabularies: {', '.join(names)}")


def unstored(muquery: Client) -> None:
    say("# Clips that are not kept")
    before = sum(1 for _ in muquery.tracks())
    near = muquery.search([Clip(tone(445.0)), Text("music", weight=0.2)], limit=1).items[0]
    say(f"nearest to a tone of 445 Hz: {near.track.title}")
    vector = muquery.embed_audio(tone(300.0)).mean
    check(math.isclose(math.hypot(*vector), 1.0, rel_tol=0.2), "that is no mean of unit vectors")
    check(sum(1 for _ in muquery.tracks()) == before, "an unstored clip was stored")


def edit(muquery: Client, added: list[str]) -> None:
    say("# Edit")
    edited = muquery.edit_track(added[0], title="Walk-through, renamed", genre="test tone")
    check(edited.title == "Walk-through, renamed", "the title did not change")
    hit = muquery.search("renamed", mode="keyword", limit=1).items
    check(bool(hit) and hit[0].track.id == added[0], "the new title cannot be found")
    changed = muquery.update_tracks({"album": "Tones"}, ids=added)
    check(changed.changed == len(added), "not all tracks changed")
    say(f"{changed.changed} tracks changed at once")


def operate(muquery: Client) -> None:
    say("# Operate")
    checked = muquery.check_index("verify")
    check(checked.ok, "the index is not what the database says")
    say(f"index verified: {checked.checked} vectors")
    key = muquery.create_key("walk-through", scopes=["read"])
    say(f"a key that may read: {key.key.id} ({key.secret[:6]}…)")
    muquery.revoke_key(key.key.id)


def clean_up(muquery: Client, added: list[str]) -> None:
    say("# Clean up")
    for track_id in added:
        muquery.delete_track(track_id)
    try:
        muquery.track(added[0])
    except NotFound as error:
        say(f"deleted: {error.code}")
    left = {hit.track.id for hit in muquery.search_all("tone")} & set(added)
    check(not left, "a deleted track can still be found")


def tone(pitch_hz: float, seconds: float = 12.0) -> io.BytesIO:
    """A sine tone as a WAV file in memory."""
    rate_hz = 24_000
    count = int(seconds * rate_hz)
    samples = (int(9000 * math.sin(2 * math.pi * pitch_hz * n / rate_hz)) for n in range(count))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file


def shown(name: str | None, share: float | None) -> str:
    return f"{name}" if share is None else f"{name} ({share:.2f})"


def say(text: str) -> None:
    print(text, flush=True)


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"NOT AS IT SHOULD BE: {otherwise}")


if __name__ == "__main__":
    main()
