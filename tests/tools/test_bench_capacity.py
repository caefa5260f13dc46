"""tools/bench_capacity: what it reads out of a request log, and how it compares."""
import importlib.machinery
import importlib.util
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("bench_capacity", str(ROOT / "tools/bench_capacity"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_capacity", loader))
loader.exec_module(bench)


def test_each_variant_has_a_target_of_its_own_and_kinds_are_spread_over_popularity():
    targets = [bench.target(n) for n in range(2000)]
    assert len(set(targets)) == 2000
    for part in (targets[:200], targets[-200:]):
        assert 15 < sum("mode=spritesheet" in t for t in part) < 70
        for kind in ("png", "jpeg", "webp"):
            assert sum(f"format={kind}" in t for t in part) > 20


def log_of(tmp_path, *entries):
    path = tmp_path / "requests.log"
    path.write_text("".join(json.dumps({"event": "request", "layer": layer, "key": key, "entity_bytes": size, "encode_ms": cost}) + "\n" for layer, key, size, cost in entries))
    return str(path)


def test_totals_are_counted_as_the_simulator_counts_them(tmp_path):
    log = log_of(tmp_path, ("transform", "a", 100, 2000), ("joined", "a", 100, 2000), ("kv", "a", 100, 2000), ("transform", "b", 300, 1000))
    total, keys = bench.of_log(log)
    assert dict(total) == {"requests": 4, "hits": 2, "joined": 1, "bytes": 600, "hit_bytes": 200, "seconds": 7.0, "saved": 4.0}
    assert dict(keys) == {"a": 3, "b": 1}


def test_what_both_hold_is_weighed_by_entries_bytes_and_requests(tmp_path, monkeypatch):
    log = log_of(tmp_path, ("transform", "a", 100, 1), ("kv", "a", 100, 1), ("kv", "a", 100, 1), ("transform", "b", 300, 1))
    row = {"hit rate": "51.00 %", "byte hit rate": "34.00 %", "of all": "50.00 %", "evicted": "3", "not admitted": "1"}
    asked = []

    def replay(program, log, policy, limit, metadata, held):
        asked.append((policy, limit, metadata))
        return row, {"a"} if policy == "lru" else {"b", "c"}

    monkeypatch.setattr(bench, "replay", replay)
    series = {"video_resizer_kv_evictions_total policy=lru reason=quota": 2.0, "video_resizer_kv_evictions_total policy=lru reason=high_watermark": 5.0, "video_resizer_kv_admission_total result=rejected": 7.0}
    store, rows = bench.compare("program", log, tmp_path, "lru", 1000, {"a": 100, "b": 300}, 1000.0, series)
    assert asked == [("lru", 1000, 300), ("cost-aware", 1000, 300), ("s3-fifo", 1000, 300)]  # (1000 - 400) / 2 entries
    assert (store["hit_rate"], store["byte_hit_rate"], store["evicted"], store["not_admitted"]) == (50.0, 33.33, 7, 7)
    assert rows[0]["policy"] == "lru" and rows[0]["hit_rate"] == 51.0
    assert rows[0]["of_what_the_store_holds"] == {"entries": 50.0, "bytes": 25.0, "requests": 75.0}
    assert rows[1]["of_what_the_store_holds"] == {"entries": 50.0, "bytes": 75.0, "requests": 25.0}
