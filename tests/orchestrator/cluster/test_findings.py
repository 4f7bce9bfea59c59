"""Facts of hosts become findings that say what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.canary import TOLERANCE, Song, Verdict, as_file, judge, read_file
from orchestrator.cluster.doctor import findings as host_findings
from orchestrator.cluster.doctor.findings import SKEW_S, Clock
from orchestrator.config.hosts import Host, Ports
from orchestrator.errors import UserError
from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM

HOST = Host(name="one", address="a", ssh_port=22, slots=2, chip=None, labels={})
FACTS = {
    "chip": "Apple M2 Ultra",
    "mac": {"version": "15.5\n"},
    "addresses": {"lo0": ["127.0.0.1", "::1"], "en0": ["10.0.0.7", "fe80::1"]},
    "python": "3.11.2",
    "versions": {"ray": "2.60", "mlx": "0.30"},
    "environment": "0.1.0-abc",
    "disk_free_bytes": 1 << 40,
    "memory_bytes": 64 << 30,
    "memory_free_bytes": 32 << 30,
    "taken": [],
    "listening": [],
}
seconds = st.floats(-1e4, 1e4)
delays = st.floats(0, 30)


@given(seconds, seconds, delays, delays)
def test_a_clock_is_at_most_its_error_off(start, ahead, there_s, back_s):
    clock = Clock.read(start, start + there_s + ahead, start + there_s + back_s)
    assert abs(clock.ahead_s - ahead) <= clock.error_s + 1e-6


@given(seconds, seconds, delays, delays, delays, delays)
def test_delays_alone_never_make_a_skew(one, other, a, b, c, d):
    left = Clock.read(0, a + one, a + b)
    right = Clock.read(0, c + other, c + d)
    assert left.certainly_ahead_of(right) <= abs(one - other) + 1e-6
    assert left.certainly_ahead_of(right) == pytest.approx(right.certainly_ahead_of(left))


def test_a_clock_that_is_off_is_named_with_its_direction():
    head = Clock(100.0, 0.5)
    assert host_findings.clock(Clock(100.0 + SKEW_S, 0.5), head).level == OK
    found = host_findings.clock(Clock(40.0, 0.5), head)
    assert found.level == PROBLEM
    assert "at least 59 s behind the head's" in found.text


def levels(found):
    return {f.topic: f.level for f in found}


def test_another_python_other_packages_and_changed_code_are_problems():
    same = host_findings.versions(FACTS, FACTS, "0.1.0-abc")
    assert set(levels(same).values()) == {OK}
    other = FACTS | {"python": "3.11.7", "versions": {"ray": "2.61", "mlx": "0.30"}}
    found = levels(host_findings.versions(other, FACTS, "0.1.0-def"))
    assert found == {"python": PROBLEM, "versions": PROBLEM, "code": PROBLEM}


@pytest.mark.parametrize(
    ("cell_gib", "level"), [(None, OK), (16, OK), (17, PROBLEM), (65, PROBLEM)]
)
def test_memory_is_held_against_the_largest_cell_in_every_slot(cell_gib, level):
    cell = None if cell_gib is None else cell_gib << 30
    assert levels(host_findings.space(FACTS, HOST, cell))["memory"] == level


@pytest.mark.parametrize(
    ("given", "level", "says"),
    [
        ("10.0.0.7", OK, "10.0.0.7 on en0"),
        ("127.0.0.1", OK, "127.0.0.1 on lo0"),
        ("fe80::1%en0", NOTE, "fe80::1%en0 on en0 gave itself"),
        ("127.0.0.3", OK, "this machine"),
        ("10.0.0.8", PROBLEM, "10.0.0.8 is none of its addresses (10.0.0.7 on en0, 169.254.3.4 on"),
        ("169.254.3.4", NOTE, "169.254.3.4 on bridge0 gave itself"),
    ],
)
def test_a_host_has_the_address_at_which_others_look_for_its_ray(given, level, says):
    addresses = FACTS["addresses"] | {"bridge0": ["169.254.3.4"], "utun0": ["no address"]}
    found = host_findings.address(FACTS | {"addresses": addresses}, given)
    assert found.level == level
    assert says in found.text


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({}, None),
        ({"chip": "Apple M1 Max"}, "chip Apple M1 Max, the head has Apple M2 Ultra: may round"),
        ({"mac": {"version": "26.1\n"}}, "macOS 26.1, the head has 15.5: may round differently"),
        ({"mac": None}, "macOS unknown, the head has 15.5: may"),
    ],
)
def test_another_chip_or_macos_than_the_heads_is_noted(other, says):
    found = [f.text for f in host_findings.family(FACTS | other, FACTS)]
    assert len(found) == (says is not None)
    assert not says or found[0].startswith(says)


def test_little_disk_is_a_problem():
    found = levels(host_findings.space(FACTS | {"disk_free_bytes": 1 << 30}, HOST, None))
    assert found["disk"] == PROBLEM


def test_ports_are_free_ours_or_a_problem():
    def level(**facts):
        return host_findings.open_ports(FACTS | facts, Ports()).level

    assert level() == OK
    assert level(listening=[6379, 20500]) == OK
    assert level(listening=[6379, 8080]) == PROBLEM
    assert level(taken=[6380]) == PROBLEM


@pytest.mark.parametrize(
    ("right", "wrong", "none", "tls", "level"),
    [
        ("data", "no data", "no data", False, OK),
        ("data", "data", "no data", False, PROBLEM),
        ("data", "no data", "data", False, PROBLEM),
        ("closed", "closed", "closed", False, PROBLEM),
        ("closed", "closed", "closed", True, OK),
        ("data", "data", "data", True, PROBLEM),
    ],
)
def test_a_token_is_right_or_refused(right, wrong, none, tls, level):
    answers = {"right": right, "wrong": wrong, "none": none}
    assert host_findings.token(answers, tls=tls).level == level


def song(bits: str, rho: float = 0.5) -> Song:
    return Song(
        bits=bits,
        adapter_sha256=bits,
        scores={"a/train": rho},
        chip="toy",
        family="toy",
        seconds=1.0,
    )


songs = st.dictionaries(st.sampled_from("pqrstuvw"), st.sampled_from("xyz").map(song), min_size=1)


@given(songs, st.sampled_from("pqrstuvw"))
def test_hosts_share_a_group_exactly_when_they_share_every_bit(found, head):
    verdicts = judge(found, {}, head)
    for one in found:
        for other in found:
            same = found[one].bits == found[other].bits
            assert (verdicts[one].group == verdicts[other].group) == same
    sizes = [sum(v.group == g for v in verdicts.values()) for g in "ABC"]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == len(found)


@given(songs, st.sampled_from("pqrstuvw"), st.randoms(use_true_random=False))
def test_the_order_of_the_hosts_decides_no_usability(found, head, random):
    shuffled = list(found.items())
    random.shuffle(shuffled)
    left, right = judge(found, {}, head), judge(dict(shuffled), {}, head)
    assert {h: v.usable for h, v in left.items()} == {h: v.usable for h, v in right.items()}


def test_of_two_groups_of_one_size_the_head_s_is_the_reference():
    found = {"p": song("x", 0.5), "q": song("y", 0.9)}
    assert judge(found, {}, "q")["q"] == Verdict(
        group="A", difference=0.0, usable=True, chip="toy", family="toy", adapter_sha256="y"
    )
    assert not judge(found, {}, "q")["p"].usable
    assert judge(found, {}, "p")["p"].usable


@given(st.floats(-1, 1), st.floats(0, 10).map(lambda x: x * TOLERANCE))
def test_a_host_is_usable_exactly_within_the_tolerance(rho, apart):
    found = {"p": song("x", rho), "q": song("x", rho), "r": song("y", rho + apart)}
    verdict = judge(found, {}, "p")["r"]
    assert verdict.usable == (abs((rho + apart) - rho) <= TOLERANCE)
    assert host_findings.canary(verdict).level == (NOTE if verdict.usable else PROBLEM)


def test_a_host_without_result_or_with_other_scores_is_not_usable():
    other = Song(bits="y", adapter_sha256="y", scores={}, chip="toy", family="toy", seconds=1.0)
    found = judge({"p": song("x"), "q": song("x"), "r": other}, {"s": "no MLX"}, "p")
    assert [found[h].usable for h in "pqrs"] == [True, True, False, False]
    assert "no MLX" in host_findings.canary(found["s"]).text
    assert host_findings.canary(found["r"]).level == PROBLEM


def test_a_kept_verdict_counts_for_its_version_only(tmp_path):
    verdicts = judge({"p": song("x")}, {"q": "off"}, "p")
    path = tmp_path / "canary.json"
    assert read_file(path, "v1") == {}
    path.write_bytes(as_file(verdicts, "v1", "now"))
    assert read_file(path, "v1") == verdicts
    assert read_file(path, "v2") == {}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 20_000, b'{"hosts": {"p": 1}}'])
def test_a_damaged_file_of_verdicts_is_one_sentence(tmp_path, content):
    path = tmp_path / "canary.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"canary.json: cannot be read .* cluster doctor again"):
        read_file(path, "v1")
