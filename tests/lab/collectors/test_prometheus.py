# SPDX-License-Identifier: Apache-2.0
"""Prometheus: real answers and text, and every trap of readings by itself."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction

import pytest

from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.lab.collectors import base, energy, mapping, promapi
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.prometheus import collect

T = 1_773_114_000
HOUR = Window(T, T + 3_600)
POWER, ENERGY = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


def series(values, name=POWER, device="GPU-a", **labels):
    return {
        "metric": {"__name__": name, "UUID": device, **labels},
        "values": [[when, str(value)] for when, value in values],
    }


def answer(*found, **more):
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": list(found)}, **more}, allow_nan=False
    )


@pytest.fixture
def saved(tmp_path):
    def make(*found, name="answer.json", **more):
        path = tmp_path / name
        path.write_text(answer(*found, **more))
        return str(path)

    return make


def every(step, watts=100.0, start=T - 60, end=T + 3_660):
    return [(when, watts(when) if callable(watts) else watts) for when in range(start, end + 1, step)]


# ── what two real nodes had ──


@pytest.fixture
def answers(shared):
    return json.loads(shared("data/known_answers.json").read_text())["facts"]["dcgm_prom"]


def test_a_real_answer_has_every_gpu_once(shared, answers):
    place = shared("data/dcgm_prom/prom_api_DCGM_FI_DEV_POWER_USAGE.json")
    found = collect([str(place)], HOUR, {"step": "15"})
    rows = {device: watts for device, _, watts in found.rows}
    assert rows == {gpu["UUID"]: gpu["W"] for gpu in answers["gpu_power_w"]["value"]}
    assert sum(rows.values()) == pytest.approx(answers["power_sum_w"]["value"])
    assert found.energy_wh is None  # one reading of each is no energy
    assert found.coverage == Fraction(16, 16 * 240)
    assert any("time of the question" in gap for gap in found.method.gaps)


def test_real_text_without_types_and_times(shared, answers):
    place = shared("data/dcgm_prom/h100_node.prom")
    counted = Counter(labels["__name__"] for labels, _ in promapi.exposition(place.read_text(), "text"))
    assert counted == answers["text_samples_by_metric"]["value"]
    found = collect([str(place)], HOUR, {"at": str(T)})
    assert found.records == 8
    assert sum(watts for *_, watts in found.rows) == pytest.approx(
        answers["power_sum_by_node_w"]["value"]["gpu-node-1"]
    )
    when = collect([str(place)], HOUR, {})
    assert (when.records, when.energy_wh) == (0, None)
    assert any("8 samples carry no time" in gap for gap in when.method.gaps)


def test_a_pod_of_the_exporter_is_no_workload(shared):
    place = str(shared("data/dcgm_prom/prom_api_DCGM_FI_DEV_POWER_USAGE.json"))
    found = collect([place], HOUR, {"namespaces": "dynamo-workload"})
    assert [watts for *_, watts in found.rows] == [113.611]
    assert any("15 series outside" in text for text in found.method.filters)


# ── readings ──


def test_a_trapezoid_interpolated_at_the_edges(saved):
    rising = every(40, lambda when: 100 + (when - T) / 36, start=T - 25)  # no reading is on an edge
    assert collect([saved(series(rising))], HOUR, {"step": "40"}).energy_wh == 150
    inside = [pair for pair in every(40) if T + 600 <= pair[0] <= T + 3_000]
    found = collect([saved(series(inside))], HOUR, {"step": "40"})
    assert found.energy_wh == round(100 * (inside[-1][0] - inside[0][0]) / 3_600)  # and nothing beyond the last


def test_a_counter_goes_before_a_gauge_unless_it_never_moves(saved):
    counter = series(every(30, lambda when: (when - T + 60) * 200_000), ENERGY)
    found = collect([saved(series(every(30)), counter)], HOUR, {"step": "30"})
    assert (found.energy_wh, found.coverage) == (200, 1)
    still = series(every(30, 7), ENERGY)
    assert collect([saved(series(every(30)), still)], HOUR, {"step": "30"}).energy_wh == 100
    alone = collect([saved(still)], HOUR, {"step": "30"})
    assert (alone.energy_wh, alone.unknown_records) == (None, 120)  # not 0 Wh


def test_a_reset_is_a_new_segment_and_never_a_negative_difference(saved):
    def joules(when):
        return (when - T + 60) * 200_000 if when < T + 1_800 else (when - T - 1_800) * 200_000

    found = collect([saved(series(every(30, joules), ENERGY))], HOUR, {"step": "30"})
    assert found.energy_wh == round(200 * (3_600 - 30) / 3_600)
    assert any(gap == "1 counters fell: reset, each begins a new segment" for gap in found.method.gaps)


@pytest.mark.parametrize("name", [POWER, ENERGY])
def test_a_gap_is_not_integrated_across(saved, name):
    readings = every(30, 100 if name == POWER else lambda when: (when - T + 60) * 100_000)
    readings = [pair for pair in readings if not T + 600 < pair[0] < T + 1_800]
    found = collect([saved(series(readings, name))], HOUR, {"step": "30", "max_gap": "60"})
    assert found.energy_wh == round(100 * 2_400 / 3_600)
    assert found.coverage == Fraction(81, 120)
    assert any("1 gaps over 60 s, the longest 1200 s" in gap for gap in found.method.gaps)
    assert any("33 Wh across" in gap for gap in found.method.gaps) == (name == ENERGY)
    assert collect([saved(series(readings, name))], HOUR, {"max_gap": "1200"}).energy_wh == 100


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "-Inf", "0", "-5", "25550", "1e400"])
def test_what_is_no_reading_is_flagged_and_not_clipped(saved, odd):
    readings = [(when, odd if when == T + 900 else 100) for when, _ in every(30)]
    found = collect([saved(series(readings))], HOUR, {"step": "30"})
    assert (found.energy_wh, found.unknown_records, found.records, found.coverage) == (100, 1, 120, 1)
    assert T * 1000 + 900_000 not in {when for _, when, _ in found.rows}


def test_duplicates_and_disorder_change_nothing(saved):
    readings = every(30, lambda when: 100 + when % 7)
    shuffled = readings[::2][::-1] + readings[1::2] + readings[5:9]
    once, twice = (collect([saved(series(each))], HOUR, {"step": "30"}) for each in (readings, shuffled))
    assert (once.energy_wh, once.records, list(once.rows)) == (twice.energy_wh, twice.records, list(twice.rows))
    assert "4 readings of an instant that had one" in twice.method.filters
    told = collect([saved(series([*readings, (T, 900)]))], HOUR, {"step": "30"})
    assert (told.energy_wh, told.method.gaps[-1]) == (
        once.energy_wh,
        "1 repeated readings contradict the first of their instant",
    )


def test_the_index_of_a_gpu_repeats_and_pods_come_and_go(saved):
    first, second = every(30, end=T + 1_800), every(30, start=T + 1_830)
    other = series(every(30), device="GPU-b", gpu="0")
    path = saved(series(first, gpu="0", pod="a"), series(second, gpu="0", pod="b"), other)
    found = collect([path], HOUR, {"step": "30"})
    assert (found.energy_wh, len({device for device, *_ in found.rows})) == (200, 2)


def test_parts_of_a_board(saved):
    one, other = every(30, 50), every(30, 70)
    parts = [series(one, GPU_I_ID="1"), series(other, GPU_I_ID="2")]
    assert collect([saved(*parts)], HOUR, {"step": "30"}).energy_wh == 120
    assert collect([saved(*parts, series(every(30, 130)))], HOUR, {"step": "30"}).energy_wh == 130
    same = [series(one, GPU_I_ID="1"), series(one, GPU_I_ID="2")]
    assert collect([saved(*same)], HOUR, {"step": "30"}).energy_wh == 50


# ── coverage ──


def test_coverage_is_of_the_devices_listed(saved, tmp_path):
    listed = tmp_path / "gpus.txt"
    listed.write_text("GPU-a\nGPU-b\nGPU-c\n")
    path = saved(series(every(30)), series(every(30), device="GPU-x"))
    found = collect([path], HOUR, {"step": "30", "devices": str(listed), "floor": "0"})
    assert found.coverage == Fraction(1, 3)
    assert {"2 of 3 listed devices never reported", "1 devices reported and are not listed"} <= set(found.method.gaps)
    seen = collect([path], HOUR, {"step": "30"})
    assert seen.coverage == 1
    assert any("2 devices that were seen" in gap for gap in seen.method.gaps)


def test_silence_is_not_zero(saved, tmp_path):
    listed = tmp_path / "gpus.txt"
    listed.write_text("GPU-a\n")
    found = collect([saved()], HOUR, {"step": "30", "devices": str(listed)})
    assert (found.energy_wh, found.coverage) == (None, 0)
    quarter = collect([saved(series(every(30, end=T + 900)))], HOUR, {"step": "30"})
    assert quarter.energy_wh is None
    assert any("25 Wh are certain" in gap for gap in quarter.method.gaps)
    assert collect([saved(series(every(30, end=T + 900)))], HOUR, {"step": "30", "floor": "0.2"}).energy_wh == 25


def test_a_wrong_prefix_is_caught(saved):
    for milliwatts in (saved(series(every(30, 113_611))), saved(series(every(30, 0.113)))):
        with pytest.raises(Malformed, match="expected 5 to 3000 W"):
            collect([milliwatts], HOUR, {})
    with pytest.raises(Malformed, match="at most 3000 W"):
        collect([saved(series(every(30, lambda when: (when - T + 60) * 300_000_000), ENERGY))], HOUR, {})


# ── maps ──


def test_one_sensor_for_each_node(saved):
    def sensor(node, name, watts):
        return {
            "metric": {"__name__": "ipmi_power_watts", "instance": node, "name": name},
            "values": [[when, str(watts)] for when, _ in every(60)],
        }

    first = [sensor("n1", "Sys Power", 300), sensor("n1", "Pwr Consumption", 290), sensor("n1", "Chassis Power", 900)]
    path = saved(*first, sensor("n2", "Pwr Consumption", 200), sensor("n2", "Sys Power", 0))
    assert collect([path], HOUR, {"mapping": "ipmi", "step": "60"}).energy_wh == 500


def test_a_queue_holds_devices_and_none_is_a_number(saved):
    def queue(flavor, count):
        labels = {"cluster_queue": "a", "flavor": flavor, "resource": "nvidia.com/gpu"}
        return {
            "metric": {"__name__": "kueue_cluster_queue_resource_usage", **labels},
            "values": [[when, str(count)] for when, _ in every(60)],
        }

    found = collect([saved(queue("h100", 16), queue("b200", 0))], HOUR, {"mapping": "kueue", "step": "60"})
    assert (found.accelerator_seconds, found.energy_wh, found.unknown_records) == (16 * 3_600, None, 0)


def test_a_map_of_ones_own(saved, tmp_path):
    mine = tmp_path / "map.toml"
    mine.write_text(
        'class = "rack"\n[[series]]\nname = "pdu_kw"\nkind = "power"\nunit = "kW"\ndevice = ["pdu"]\n'
        'where = { outlet = "a\\"b" }\n'
    )
    path = saved({"metric": {"__name__": "pdu_kw", "pdu": "1", "outlet": 'a"b'},
                  "values": [[when, "6.8"] for when, _ in every(60)]})  # fmt: skip
    assert collect([path], HOUR, {"mapping": str(mine)}).energy_wh == 6_800
    assert mapping.load(str(mine)).series[0].selector() == 'pdu_kw{outlet="a\\"b"}'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("class = ", "TOML"),
        ('class = "phone"\n[[series]]', "expected one of gpu"),
        ("low = 5\nhigh = 4\n[[series]]", "0 < low < high"),
        ("colour = 1", "at least one"),
        ('[[series]]\nname = "a"\nkind = "power"\nunit = "mJ"\ndevice = ["b"]', "its unit"),
        ('[[series]]\nname = "a"\nkind = "power"\nunit = "W"\ndevice = "b"', "device = "),
    ],
)
def test_a_map_that_is_none(tmp_path, text, match):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(Malformed, match=match):
        mapping.load(str(tmp_path / "map.toml"))


# ── files that are not what they should be ──


def test_every_cut_of_an_answer_is_an_error(tmp_path):
    path, whole = tmp_path / "cut.json", answer(series(every(1_200)))
    for length in range(1, len(whole)):
        path.write_text(whole[:length])
        with pytest.raises(Malformed):
            collect([str(path)], HOUR, {})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"status":"error","error":"out of memory","data":{"resultType":"matrix","result":[]}}', "out of memory"),
        ('{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}', "expected a series"),
        ('{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}}', "a time and"),
        ('{"status":"success","data":{"resultType":"matrix","result":[' + "1" * 5_000 + "]}}", "whole answer"),
        ('{"status":"success","data":{"resultType":"matrix","result":[' + "[" * 90_000, "whole answer"),
        (
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1e30,"1"]]}]}}',
            "a time",
        ),
        ('{"status":"success","warnings":null,"data":{"resultType":"matrix","result":[]}}', "matrix"),
        ("POWER 5 9999999999999999", "since 1970"),
        ("POWER{a=1} 5", "line 1: expected a sample"),
        ('POWER{a="1",a="2"} 5', "labels"),
        ("POWER five", "expected a sample"),
        ("POWER", "expected a sample"),
    ],
)
def test_what_is_no_answer(tmp_path, text, match):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises((Malformed, Unavailable), match=match):
        collect([str(path)], HOUR, {})


def test_text_with_times_and_escapes(tmp_path):
    lines = [f'{POWER}{{UUID="GPU-{n}",x="\\"}},\\n\\\\"}} 100 {when}000' for n in "ab" for when, _ in every(60)]
    path = tmp_path / "a.prom"
    path.write_text("# TYPE a gauge\n\n" + "\n".join(lines))
    assert collect([str(path)], HOUR, {"step": "60"}).energy_wh == 200
    path.write_text("\n".join(line[:-3] for line in lines) + "\n# EOF\n")  # OpenMetrics: seconds
    assert collect([str(path)], HOUR, {"step": "60"}).energy_wh == 200


def test_options_that_make_no_sense(saved, tmp_path):
    empty = tmp_path / "none"
    empty.write_text("\n")
    wrong = {"colour": "1", "step": "0", "max_gap": "x", "floor": "2", "at": "1e30", "devices": str(empty)}
    for options in ({key: value} for key, value in {**wrong, "mapping": "abacus"}.items()):
        with pytest.raises(UsageFault):
            collect([saved()], HOUR, options)


def test_it_is_found_by_the_door_that_strangers_use():
    assert "prometheus" in base.names()
    assert base.find("prometheus") is collect
    assert set(energy.OPTIONS) <= {"step", "max_gap", "floor", "devices"}
