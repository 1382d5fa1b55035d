"""Answers in a folder are read whole or not at all."""

from __future__ import annotations

import threading

from celery import Celery

from runtime.folder_results import FolderBackend, results_in


def test_answer_is_never_read_half(tmp_path):
    app = Celery("t", set_as_current=False)
    app.conf.result_backend = results_in(tmp_path / "results")
    assert isinstance(app.backend, FolderBackend)
    backend, value = app.backend, b"x" * 3_000_000
    is_over = threading.Event()

    def write():
        for _ in range(30):
            backend.set(b"one", value)
        is_over.set()

    writer = threading.Thread(target=write)
    writer.start()
    read = 0
    while not is_over.is_set():
        found = backend.get(b"one")
        assert found in (None, value)
        read += found is not None
    writer.join()
    assert read > 0
    backend.delete(b"one")
    assert backend.get(b"one") is None
    assert list((tmp_path / "results").iterdir()) == []
