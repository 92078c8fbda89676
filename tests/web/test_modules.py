"""Modules without a view, run in the browser: addresses, filters, the selection."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.web.driving import open_page

pytestmark = pytest.mark.browser


def run(browser: Chrome, module: str, body: str) -> Any:
    """What `body` returns, with the module's exports as `m`."""
    script = (
        "const done = arguments[arguments.length - 1];"
        f"import('/static/js/{module}').then((m) => {{ {body} }})"
        ".then(done, (problem) => done({ failed: String(problem) }));"
    )
    return browser.execute_async_script(script)


def test_an_address_holds_a_query_and_gives_it_back(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    body = """
      const query = {
        ...m.emptyQuery(), text: "a: b & c=d", mode: "words", level: "passage", perArtist: 2,
        collapse: true, closeness: 0.97,
        parts: [
          { kind: "text", weight: -0.3, text: "1:2:3 50% ünï" },
          { kind: "track", weight: 1, id: "x-1" },
          { kind: "track", weight: -1, id: "y", startS: 1.5, endS: 20 },
          { kind: "clip", weight: 0.5, key: "k", name: "a:b.wav" },
        ],
        filters: {
          genre: { in: ["Rock & Roll", null], not: true }, "extra.demo": { in: [true], not: false },
          "extra.bpm": { in: [120], not: false }, year: { gte: 1990, lte: undefined },
          duration_s: { gte: undefined, lte: 65.5 },
        },
      };
      const address = m.addressOf(query);
      const back = m.queryFrom(new URLSearchParams(address.split("?")[1]));
      return [JSON.stringify(query), JSON.stringify(back), m.addressOf(back) === address];
    """
    before, after, same = run(browser, "query.js", body)
    assert after == before
    assert same


def test_a_broken_address_is_an_empty_query_and_no_failure(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    body = """
      const bad = "p=&p=text&p=text:1:&p=span:1:9-2:x&p=span:1:a-b:x&p=nothing:1:x&f.=&f.a==%7B"
        + "&f.year=..&f.year=x..y&mode=loud&level=album&perArtist=-3&closeness=7&collapse=perhaps";
      const query = m.queryFrom(new URLSearchParams(bad));
      return [query.parts.length, Object.keys(query.filters).length, query.mode, query.level,
        query.perArtist, query.closeness, query.collapse];
    """
    assert run(browser, "query.js", body) == [0, 0, "both", "track", 0, 1, False]


def test_conditions_become_the_services_filter(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    body = """
      return [
        m.filterJson({}),
        m.filterJson({ genre: { in: ["A"] } }),
        m.filterJson({ genre: { in: ["A", "B"], not: true }, year: { gte: 1, lte: undefined } }),
        m.filterJson({ genre: { in: ["A", null] } }),
        m.toggleValue(m.toggleValue({}, "genre", "A"), "genre", "A"),
      ];
    """
    assert run(browser, "filters.js", body) == [
        None,
        {"field": "genre", "eq": "A"},
        {
            "and": [
                {"not": {"field": "genre", "in": ["A", "B"]}},
                {"field": "year", "range": {"gte": 1}},
            ]
        },
        {"or": [{"field": "genre", "eq": "A"}, {"field": "genre", "exists": False}]},
        {},
    ]


def test_a_selection_knows_runs_and_everything_but_some(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    body = """
      let told = 0;
      const selection = new m.Selection(() => { told += 1; });
      const order = ["a", "b", "c", "d"];
      selection.touch("b", true, { order, run: false });
      selection.touch("d", true, { order, run: true });
      const run = order.filter((id) => selection.has(id)).join("");
      selection.touch("c", false, { order, run: true });
      const less = order.filter((id) => selection.has(id)).join("");
      selection.chooseEverything();
      selection.touch("a", false, { order, run: false });
      const all = [selection.size(100), selection.has("never seen"), selection.has("a")];
      selection.clear();
      return [run, less, all, selection.size(100), told];
    """
    assert run(browser, "selection.js", body) == ["bcd", "b", [99, True, False], 0, 6]
