"""The benchmark harness's own arithmetic and parsers: a wrong ratio is worse than none."""
import importlib
import json
import pathlib
import struct
import sys
import xml.etree.ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
from harness import bodies, concurrency, flame, growth, hits, load, machine, numbers, plot, processes, store, targets  # noqa: E402

main = importlib.import_module("harness.__main__")


def samples(*per_cpu, p99=100.0):
    return [{"rps": v, "per_cpu": v, "cpu_us": 1e6 / v, "p50": 50.0, "p99": p99, "whole": 1, "server_busy": 1.0, "client_busy": 0.5, "foreign": 0.0} for v in per_cpu]


def case(key="1k", **contestants):
    names = {"ours": hits.OURS, "kv": hits.OURS_KV, "on": "nginx static, tcp_nopush on", "off": "nginx static, tcp_nopush off", "varnish": "Varnish malloc",
             "bare": "bare loop, writev"}
    return {"key": key, "label": "1 KiB", "connections": 16, "seconds": 1.0, "samples": {names[k]: v for k, v in contestants.items()}}


def test_a_ratio_is_taken_round_by_round():
    # The machine was half as fast in the second round: the ratio does not see it, that of the medians would.
    assert numbers.paired([200, 100, 300], [100, 50, 100]) == (2.0, 2.0, 3.0)
    assert numbers.paired([], []) is None
    assert numbers.paired([1, 2, None], [0, 1, 1]) == (2.0, 2.0, 2.0)  # a round without a figure has no ratio; the others stay side by side


@pytest.mark.parametrize("value, text", [(None, "-"), (12.345, "12.3"), (99_999.6, "100,000"), (0.5, "0.5")])
def test_counts(value, text):
    assert numbers.count(value) == text


@pytest.mark.parametrize("value, text", [(None, "-"), (12.44, "12.4 us"), (444.4, "444 us"), (1500, "1.5 ms"), (250_000, "250 ms"), (2_500_000, "2.50 s")])
def test_times(value, text):
    assert numbers.micros(value) == text


def test_table_has_as_many_columns_as_its_head():
    text = numbers.table(["a", "b", "c"], [[1, 2, 3]])
    assert text.splitlines() == ["| a | b | c |", "|---|---:|---:|", "| 1 | 2 | 3 |"]


def test_stat_of_a_process_with_a_hostile_name():
    fields = ["S", "7", *"0" * 9, "100", "50", "30", "20", "0"]
    parent, cpu = processes.parse_stat("42 (a) b (c)) " + " ".join(fields))
    assert parent == 7 and cpu == pytest.approx(200 / processes.TICK)


def test_busy_time_of_a_core_leaves_out_idle_and_iowait():
    text = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 100 20 30 1000 500 4 5 6 0 0\ncpu1 9 9 9 9 9 9 9 9 0 0\n"
    assert processes.parse_core(text, 0) == pytest.approx(165 / processes.TICK)


def test_pss_is_the_first_of_the_sums():
    assert processes.parse_pss("5589-7ffc ---p 0 0:0 0 [rollup]\nRss: 4096 kB\nPss:   2048 kB\nPss_Dirty: 1 kB\n") == 2.0


def test_our_own_tree_has_us_in_it():
    import os
    assert os.getpid() in processes.tree(os.getpid())


def test_cpu_name():
    assert machine.parse_cpu("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n") == "Some CPU @ 2 GHz"


def test_answers_under_way_count_by_their_bytes():
    counted = {"seconds": 2.0, "requests": 3, "body_bytes": 3500, "p50_us": 1, "p99_us": 2, "client_cpu_seconds": 0.5}
    found = load.sample_of(counted, cpu=0.5, busy=0.7, length=1000)
    assert found["rps"] == 1.75 and found["per_cpu"] == 7.0 and found["whole"] == 3
    assert found["foreign"] == pytest.approx(0.1)
    assert load.sample_of(counted, 0.5, 0.7, None)["rps"] == 1.5  # a 304 has no body to count by


def test_no_cpu_time_seen_is_no_figure():
    assert load.sample_of({"seconds": 1.0, "requests": 1, "body_bytes": 0, "p50_us": 1, "p99_us": 2, "client_cpu_seconds": 0}, 0.0, 0.0, None)["per_cpu"] is None


def test_padding_is_exact_and_a_box():
    padded = bodies.padded(b"x" * 100, 4096)
    assert len(padded) == 4096 and padded.startswith(b"x" * 100)
    assert struct.unpack(">I4s", padded[100:108]) == (3996, b"free")
    with pytest.raises(ValueError):
        bodies.padded(b"x" * 100, 104)


@pytest.mark.parametrize("wanted, found", [(0, 10), (400, 20), (401, 22), (10**9, 30)])
def test_search_of_a_parameter(wanted, found):
    assert bodies.smallest(10, 30, 2, lambda w: w * w, wanted) == found


def test_the_better_nginx_counts():
    c = case(ours=samples(200, 200), on=samples(50, 60), off=samples(100, 80))
    assert hits.best_of(c["samples"], "nginx static") == "nginx static, tcp_nopush off"
    assert hits.rival_ratio(c["samples"], hits.OURS, "nginx static")[0] == pytest.approx(2.25)
    assert hits.rival_ratio(c["samples"], hits.OURS, "Traffic") is None


def test_a_server_that_stalls_is_not_the_better_one():
    stalling = [{**s, "rps": 4.0} for s in samples(500, 500)]
    c = case(ours=samples(200, 200), on=stalling, off=samples(100, 100))
    assert hits.best_of(c["samples"], "nginx static") == "nginx static, tcp_nopush off"


def test_targets_say_what_was_missed():
    data = {"cases": [case(ours=samples(200, 210), on=samples(101, 100), varnish=samples(60, 50), bare=samples(220, 220))]}
    found = {label: reached for label, _, _, _, _, reached, _ in targets.rows(data)}
    assert found == {"edge hit / nginx static": "reached", "edge hit / Varnish": "missed, within the spread", "edge hit / bare loop": "reached"}
    assert targets.verdict((1.0, 0.9, 1.1), 2.0) == "missed"


def test_p99_of_large_bodies_is_compared():
    data = {"cases": [case("20m", ours=samples(10, p99=300.0), on=samples(10, p99=200.0))]}
    assert [row[3] for row in targets.p99_rows(data)] == ["missed"]


def test_every_target_has_a_case():
    assert {key for _, key, *_ in targets.TARGETS} <= {c.key for c in hits.CASES}


def test_a_quick_run_is_about_two_minutes_and_a_full_one_at_most_twenty():
    def seconds(quick):
        names = [hits.OURS, hits.OURS_FILE, hits.OURS_KV] + [f"other {i}" for i in range(8)]
        return sum(rounds * (duration + 0.15) * sum(hits.takes_part(c, n, connections) for n in names) for c, connections, rounds, duration in hits.plan(quick))
    assert seconds(True) < 130
    assert seconds(False) < 15 * 60  # the other sections want some too


def test_a_request_of_each_kind():
    by_size = {size: bodies.Body("x", "/x", size, None) for size in (bodies.KIB, 64 * bodies.KIB, bodies.MIB, 20 * bodies.MIB)}
    all_bodies = bodies.Bodies(None, None, None, by_size)
    requests = {c.key: c.request(all_bodies, '"e"') for c in hits.CASES}
    assert requests["304"] == {"headers": ['If-None-Match: "e"'], "status": 304, "length": None}
    assert requests["range"] == {"headers": ["Range: bytes=1048576-1114111"], "status": 206, "length": 65536}
    assert requests["20m"] == {"status": 200, "length": 20 << 20}


def test_a_report_of_hits_names_everybody():
    c = case(ours=samples(200), on=samples(100))
    text = hits.render({"cases": [c], "memory": {hits.OURS: 30.0}, "memory_after": {hits.OURS: 31.0}})
    assert "| nginx static, tcp_nopush on | 100 | 100 |" in text and "2.00 [2.00-2.00]" in text


def test_cases_of_several_runs_make_one_report():
    def ran(key, connections, value):
        return {**case(key, ours=samples(value)), "connections": connections}
    merged = hits.merge({"cases": [ran("1k", 256, 1), ran("64k", 16, 1)]}, {"cases": [ran("64k", 16, 2), ran("1k", 16, 2)], "memory": {}})
    assert [(c["key"], c["connections"], c["samples"][hits.OURS][0]["rps"]) for c in merged["cases"]] == [("1k", 16, 2), ("64k", 16, 2), ("1k", 256, 1)]
    assert merged["memory"] == {}


def test_a_server_core_that_others_used_is_named():
    disturbed = samples(100)
    disturbed[0]["foreign"] = 0.3
    assert "30%" in hits.foreign(case(ours=samples(100), on=disturbed)) and hits.foreign(case(ours=samples(100))) == ""


def test_figures_of_another_day_or_program_are_left_out(tmp_path):
    facts = {"its binary": "abc"}
    for name, day, binary in (("hits", "2026-01-02", "abc"), ("passthrough", "2026-01-01", "abc"), ("concurrency", "2026-01-02", "old")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"day": day, "quick": False, "machine": {"its binary": binary}, "data": {}}))
    assert list(main.kept(tmp_path, "2026-01-02", facts)) == ["hits"]


def test_memory_of_an_idle_connection():
    rounds = [{"memory": {"alone": 50.0, "idle": 50.0 + concurrency.IDLE / 1024, "slow": 0}}]
    assert concurrency.per_connection(rounds) == pytest.approx(1.0)


def test_a_plot_is_well_formed_and_has_a_bar_for_each_value():
    text = plot.bars("a < b", {"1 KiB": {"us & co": 2.0, "them": 1.0}, "20 MiB": {"us & co": 1.1}})
    root = xml.etree.ElementTree.fromstring(text)
    titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["1 KiB, us & co: 2.00", "1 KiB, them: 1.00", "20 MiB, us & co: 1.10"]


@pytest.mark.parametrize("top, step", [(2.1, 0.5), (1.0, 0.1), (9, 1), (0.05, 0.005)])
def test_plot_lines(top, step):
    assert plot.nice_step(top) == pytest.approx(step)


PERF = """video-resizer
\tffff1 tcp_sendmsg+0x10 ([kernel.kallsyms])
\tffff2 __x64_sys_sendmsg ([kernel.kallsyms])
\t55501 vr::http::Connection<int>::Send(vr::A const&) (/x/video-resizer)

video-resizer
\tffff2 __x64_sys_sendmsg ([kernel.kallsyms])
\t55501 vr::http::Connection<int>::Send(vr::A const&) (/x/video-resizer)

video-resizer
\t55502 vr::(anonymous namespace)::Parse(std::string_view) (/x/video-resizer)

"""


def test_stacks_are_folded_from_the_outermost():
    folded = flame.fold(PERF)
    assert folded == {("vr::http::Connection::Send", "__x64_sys_sendmsg", "tcp_sendmsg"): 1, ("vr::http::Connection::Send", "__x64_sys_sendmsg"): 1, ("vr::Parse",): 1}
    assert flame.share_below(folded, "^__x64_sys_sendmsg") == pytest.approx(2 / 3)
    assert flame.own_time(folded)[0] == ("__x64_sys_sendmsg", pytest.approx(1 / 3))


@pytest.mark.parametrize("symbol, short", [("operator new(unsigned long)", "operator new"), ("std::vector<A<B>, C>::push_back(A<B>&&)", "std::vector::push_back"),
                                           ("[unknown]", "[unknown]"), ("(anonymous namespace)::f() [clone .resume]", "f"), ("x+0x1f", "x")])
def test_names_are_shortened(symbol, short):
    assert flame.shorter(symbol) == short


def test_a_flame_graph_is_well_formed_and_leaves_out_what_is_too_small():
    text = flame.graph("t", {("a", "b"): 999, ("a", "c"): 1}, least=0.01)
    titles = [t.text for t in xml.etree.ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["a: 100.0%", "b: 99.9%"]


POINTS = '[{"entries": 1000, "bytes_per_entry": 300.4, "charge_per_entry": 0.0, "ns": {"hit": [200, 100]}},' \
         ' {"entries": 10, "bytes_per_entry": 5000.0, "charge_per_entry": 2.5, "ns": {"hit": [100, 50]}}]'


def test_points_of_growth_begin_with_the_smallest():
    assert [p["entries"] for p in growth.parse_points(POINTS)] == [10, 1000]
    with pytest.raises(ValueError):
        growth.parse_points('[{"entries": 1, "ns": {"hit": []}}]')
    with pytest.raises(ValueError):
        growth.parse_points('[{"entries": 1, "ns": null}]')


def test_growth_is_taken_round_by_round():
    found = growth.growth(growth.parse_points(POINTS), lambda p: p["ns"]["hit"])
    assert [(p["entries"], middle, ratio) for p, middle, ratio in found] == [(10, 75.0, (1.0, 1.0, 1.0)), (1000, 150.0, (2.0, 2.0, 2.0))]
    assert growth.flat(found).startswith("not flat") and growth.flat(found[:1]).startswith("flat")


def test_a_metric_is_the_sum_of_its_series():
    text = '# TYPE a_entries gauge\na_entries{x="1 } 2"} 3\na_entries{x="b"} 4.5\na_entries_more 100\nplain 1e+06\n'
    assert growth.parse_metric(text, "a_entries") == 7.5 and growth.parse_metric(text, "plain") == 1e6
    with pytest.raises(ValueError):
        growth.parse_metric(text, "entries")


def test_a_report_of_growth_says_what_is_not_flat():
    def server(*cpu_us):
        return [{"entries": n, "bytes_per_entry": 2000.0, "samples": [{"cpu_us": c}]} for n, c in zip((10, 1000), cpu_us)]
    data = {"inside": {"index": growth.parse_points(POINTS)}, "server": {"edge": server(10.0, 12.0), "kv": server(10.0, 13.0)}}
    text = growth.render(data)
    assert "- edge hit: flat (1.20 [1.20-1.20] times" in text and "- KV hit (edge off): not flat (1.30" in text
    assert "| KV index, find | hit | 1,000 | 150 ns | 2.00 [2.00-2.00] | 300 |  |" in text
    assert growth.plots(data)[0][2] == {"10": {"edge hit": 1.0, "KV hit (edge off)": 1.0}, "1,000": {"edge hit": 1.2, "KV hit (edge off)": 1.3}}


def test_commits_are_compared_with_the_plain_file_synced_as_they_are():
    def one(rate):
        return {"n": 1, "p50_ms": 1.0, "p99_ms": 2.0, "mb_per_s": rate}
    rows = store.commit_rows({"10 KB": {"plain file": one(100.0), "none": one(50.0), "plain file, fsync": one(10.0), "body": one(20.0), "full": one(5.0)}})
    assert [(row[1], row[-1]) for row in rows] == [("plain file", ""), ("durability none", "0.50"), ("plain file, fsync", ""), ("durability body", "2.00"),
                                                   ("durability full", "0.50")]


def test_a_report_of_the_store_has_all_its_parts():
    times = {"n": 5, "p50_ms": 1.0, "p99_ms": 2.0, "mb_per_s": 10.0}
    data = {"file_system": "ext4 on /dev/x", "load": [0.1, 0.2], "rounds": 2,
            "starts": {"entries": 100_000, "fill_seconds": 30.0, "cases": {"empty": [0.2, 0.4]}, "memory": [60.0], "fsck": {"quick": 5.0, "whole": 50.0, "memory": 53.0}},
            "commits": {"10 KB": {name: times for name in store.CONTESTANTS}}, "reads": {"64 KiB of 1 MB": {"plain file": times, "store": times}},
            "reaped": {"entries": 10_000, "seconds": 1.0, "cpu_seconds": 0.5}, "purges": {"entries": 10_000, "hard": [1.0, 2.0], "soft": 0.3}}
    text = store.render(data)
    assert "| empty | **0.30** [0.20-0.40] |" in text and "(1.0 GB/s" in text
    assert "150 µs per entry" in text and "(100 µs each, 50 µs of CPU)" in text
    assert store.plots(data)[0][2] == {"10 KB": {"durability none": 1.0, "durability body": 1.0, "durability full": 1.0}}
