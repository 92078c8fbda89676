"""Real drops: the browser takes files and folders of this machine as from its desktop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selenium.webdriver import Chrome

from tests.web.driving import find


def drop_on(browser: Chrome, paths: Sequence[Path], target: str = "add") -> None:
    """Drag files and folders into the window and let them fall on a target of the veil."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}

    def send(kind: str, x: float, y: float) -> None:
        event = {"type": kind, "x": x, "y": y, "data": data}
        browser.execute_cdp_cmd("Input.dispatchDragEvent", event)

    send("dragEnter", 10, 10)
    place = find(browser, f"#drop-veil [data-drop='{target}']").rect
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    for step in (1, 0):  # the first move only enters the target
        send("dragOver", x + step, y)
    find(browser, f"#drop-veil [data-drop='{target}'].is-over")
    send("drop", x, y)
