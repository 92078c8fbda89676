"""The lock that keeps searches and changes apart."""

from __future__ import annotations

import threading
import time

from indexer.locks import ReadWriteLock

PATIENCE_S = 5.0


def test_readers_share() -> None:
    lock = ReadWriteLock()
    both_inside = threading.Barrier(2, timeout=PATIENCE_S)

    def read() -> None:
        with lock.reading():
            both_inside.wait()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not both_inside.broken


def test_a_writer_is_alone() -> None:
    lock = ReadWriteLock()
    inside = {"read": 0, "write": 0}
    faults: list[dict[str, int]] = []

    def work(kind: str) -> None:
        for _ in range(200):
            with lock.writing() if kind == "write" else lock.reading():
                inside[kind] += kind == "write"
                if inside["write"] > 1 or (kind == "read" and inside["write"]):
                    faults.append(dict(inside))
                time.sleep(0)
                inside[kind] -= kind == "write"

    threads = [threading.Thread(target=work, args=(k,)) for k in ("read", "write") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_waiting_writer_goes_before_new_readers() -> None:
    lock = ReadWriteLock()
    order: list[str] = []
    reading, release = threading.Event(), threading.Event()

    def first_reader() -> None:
        with lock.reading():
            reading.set()
            release.wait(PATIENCE_S)

    def writer() -> None:
        with lock.writing():
            order.append("writer")

    def late_reader() -> None:
        with lock.reading():
            order.append("reader")

    threads = [threading.Thread(target=first_reader)]
    threads[0].start()
    reading.wait(PATIENCE_S)
    for target in (writer, late_reader):
        threads.append(threading.Thread(target=target))
        threads[-1].start()
        time.sleep(0.05)
    release.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == ["writer", "reader"]


def test_an_error_inside_releases_the_lock() -> None:
    lock = ReadWriteLock()
    for section in (lock.reading, lock.writing):
        try:
            with section():
                raise RuntimeError
        except RuntimeError:
            pass
    with lock.writing():
        pass
