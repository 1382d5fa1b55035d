"""Percentiles are exact, nearest rank."""

from __future__ import annotations

from runtime import LatencyRecorder


def test_percentiles_are_samples():
    recorder = LatencyRecorder()
    for us in range(1, 101):
        recorder.record(us * 1000)
    assert recorder.percentiles_us((50, 99, 100)) == {"p50": 50.0, "p99": 99.0, "p100": 100.0}


def test_no_sample_has_no_percentile():
    assert LatencyRecorder().percentiles_us() == {"p50": None, "p90": None, "p99": None}


def test_beyond_capacity_the_newest_count():
    recorder = LatencyRecorder(capacity=2)
    for us in (1, 2, 3):
        recorder.record(us * 1000)
    assert recorder.percentiles_us((100,)) == {"p100": 3.0}
    assert recorder.count == 3
