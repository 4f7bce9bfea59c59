"""Events in, commands out: every cell settles once, whatever the hosts do."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.execution.scheduling.hosts import HostUp, Job
from orchestrator.execution.scheduling.schedule import (
    AHEAD,
    Alive,
    Bound,
    Event,
    GiveUp,
    HostLost,
    Lost,
    Note,
    Quarantine,
    Rules,
    Schedule,
    Settled,
    Start,
    Stop,
    Tick,
)
from orchestrator.execution.scheduling.speed import Speeds

GB = 2**30
RULES = Rules(retries=3, silence_s=1000)
BACKOFF_S = RULES.backoff_s
CELLS = ("a", "b", "c", "d", "e")
JOBS = tuple(Job(c, work=10.0 + i, memory=(i + 1) * GB) for i, c in enumerate(CELLS))
HOSTS = ("m1", "m2", "m3")
CHIPS = ("Apple M1", "Apple M2 Ultra")


def jobs(cells) -> list[Job]:
    return [Job(c) for c in cells]


def starts(commands) -> list[Start]:
    return [c for c in commands if isinstance(c, Start)]


moves = st.lists(
    st.tuples(
        st.just("up"),
        st.sampled_from(HOSTS),
        st.integers(0, 3),
        st.integers(1, 12),
        st.sampled_from(CHIPS),
    )
    | st.tuples(st.just("down"), st.sampled_from(HOSTS))
    | st.tuples(st.sampled_from(["settle", "fail", "lose", "late"]), st.integers(0, 9))
    | st.tuples(st.just("bind"), st.sampled_from(CELLS), st.sampled_from([None, *CHIPS]))
    | st.tuples(st.just("alive"), st.integers(0, 9))
    | st.tuples(st.just("wait"), st.floats(0, 90)),
    max_size=60,
)


class World:
    """Hosts and cells as they are; it demands what a schedule must never break."""

    def __init__(self, rules: Rules, attempts: dict[str, int] | None = None) -> None:
        self.rules = rules
        self.earlier = attempts or {}
        self.schedule = Schedule.of(JOBS, self.earlier, rules)
        self.now = 0.0
        self.hosts: dict[str, HostUp] = {}
        self.ever: dict[str, HostUp] = {}
        self.jobs = {j.cell: j for j in JOBS}
        self.running: dict[tuple[str, int], str] = {}
        self.seen: dict[tuple[str, int], float] = {}
        self.over: list[tuple[str, int]] = []
        self.started: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.lost_at: dict[str, float] = {}
        self.quarantined: dict[str, float] = {}
        self.ends: Counter[str] = Counter()
        self.events: list[tuple[Event, float]] = []
        self.commands: list[object] = []

    def tell(self, event: Event) -> None:
        self.events.append((event, self.now))
        found = self.schedule.handle(event, self.now)
        self.commands += found
        for command in found:
            match command:
                case Start():
                    self._start(command)
                case Stop():
                    self._stop(command)
                case GiveUp():
                    self._give_up(command)
                case Quarantine(host):
                    self.quarantined[host] = self.now

    def _start(self, command: Start) -> None:
        cell, host = command.cell, self.hosts[command.host]  # a dead host is a KeyError
        beside = [h for (c, _), h in self.running.items() if c == cell]
        assert len(beside) == command.copy, "a copy goes beside one other, a first alone"
        assert command.host not in beside
        assert not self.ends[cell], "started after its end"
        self.started[cell] += 1
        assert command.attempt == self.earlier.get(cell, 0) + self.started[cell]
        if cell in self.lost_at and not command.copy:
            pause = BACKOFF_S[min(self.lost[cell], len(BACKOFF_S)) - 1]
            assert self.now >= self.lost_at[cell] + pause, "started too early"
        if host.host in self.quarantined:
            assert self.now >= self.quarantined[host.host] + self.rules.quarantine_s
        job = self.jobs[cell]
        assert job.family is None or host.chip == job.family, "another chip family"
        here = [c for (c, _), h in self.running.items() if h == command.host]
        assert len(here) < host.slots, "more running than slots"
        assert sum(self.jobs[c].memory for c in [*here, cell]) <= host.memory, "too small"
        self.running[cell, command.attempt] = command.host
        self.seen[cell, command.attempt] = self.now

    def _stop(self, command: Stop) -> None:
        key = (command.cell, command.attempt)
        del self.running[key]
        self.over.append(key)
        if command.outcome == "cancelled":
            assert self.ends[command.cell] == 1
        else:
            self.lost[command.cell] += 1
            self.lost_at[command.cell] = self.now
        if command.outcome == "abandoned":
            assert self.now - self.seen[key] > self.rules.silence_s  # a sum would round otherwise

    def _give_up(self, command: GiveUp) -> None:
        self.ends[command.cell] += 1
        if command.stage == "process":
            assert self.lost[command.cell] > self.rules.retries
        else:
            job = self.jobs[command.cell]
            kin = [h for h in self.ever.values() if job.family in (None, h.chip)]
            assert not any(job.memory <= h.memory for h in kin)

    def move(self, kind: str, *args) -> None:
        match kind, args:
            case "up", (host, slots, memory, chip):
                self.register(host, slots, memory, chip)
            case "down", (host,):
                self.hosts.pop(host, None)
                self.tell(HostLost(host))
                assert host not in self.running.values()
            case (("settle" | "fail" | "lose" | "alive"), (i,)) if self.running:
                key = sorted(self.running)[i % len(self.running)]
                self.report(kind, *key)
            case "late", (i,) if self.over:
                cell, attempt = self.over[i % len(self.over)]
                for event in (Settled(cell, attempt), Lost(cell, attempt, "late news")):
                    self.tell(event)
            case "bind", (cell, chip):
                self.bind(cell, chip and " ".join(chip.split()[:2]))
            case "wait", (seconds,):
                for _ in range(9):  # a driver that looks only now and then blames nobody
                    self.now += seconds / 9
                    self.tell(Tick())

    def register(self, host: str, slots: int, memory: int, chip: str) -> None:
        """A host comes, or changes; what it has does not change under running cells."""
        if host not in self.hosts:
            self.quarantined.pop(host, None)
        found = HostUp(host, slots, memory * GB, chip)
        if host in self.running.values():
            found = HostUp(host, slots, self.hosts[host].memory, self.hosts[host].chip)
        self.hosts[host] = self.ever[host] = found
        self.tell(found)

    def bind(self, cell: str, family: str | None) -> None:
        """Bind a cell to a chip family, but not to one where nobody could ever run it."""
        job = self.jobs[cell]
        known = [h for h in self.ever.values() if family in (None, h.chip)]
        if any(job.memory <= h.memory for h in known):
            self.jobs[cell] = Job(cell, job.work, job.memory, family)
            self.tell(Bound(cell, family))

    def report(self, kind: str, cell: str, attempt: int) -> None:
        match kind:
            case "alive":
                self.seen[cell, attempt] = self.now
                self.tell(Alive(cell, attempt))
            case "lose":
                self.tell(Lost(cell, attempt, "gone"))
            case _:
                del self.running[cell, attempt]
                self.over.append((cell, attempt))
                self.ends[cell] += 1
                self.tell(Settled(cell, attempt, ok=kind == "settle"))

    def to_the_end(self) -> None:
        """From here on all goes well."""
        for i, chip in enumerate(CHIPS):
            self.move("up", f"good{i}", 2, 12, chip)
        for _ in range(200):
            if self.schedule.finished:
                return
            for key in list(self.running):
                if key in self.running:  # a copy goes with its twin
                    self.report("settle", *key)
            self.move("wait", max(BACKOFF_S))
        raise AssertionError("never finished")


@pytest.mark.slow
@settings(max_examples=300)
@given(moves, st.integers(0, 3), st.sampled_from([20.0, 1000.0]))
def test_whatever_the_hosts_do_every_cell_settles_exactly_once(found, retries, silence_s):
    world = World(Rules(retries=retries, silence_s=silence_s, faults=2, quarantine_s=60))
    for move in found:
        world.move(*move)
    world.to_the_end()
    assert world.ends == Counter(CELLS)
    assert world.schedule.settled == set(CELLS)
    assert world.schedule.running == world.running == {}


@given(moves)
def test_the_same_events_give_the_same_commands(found):
    world = World(RULES)
    for move in found:
        world.move(*move)
    again = Schedule.of(JOBS, {}, RULES)
    assert [c for e, now in world.events for c in again.handle(e, now)] == world.commands


@given(moves, st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_attempts_of_earlier_launches_are_counted_on(found, earlier):
    world = World(RULES, dict(zip(CELLS, earlier, strict=True)))
    for move in found:
        world.move(*move)
    world.to_the_end()
    assert all(world.schedule.made[c] == earlier[i] + world.started[c] for i, c in enumerate(CELLS))


# order and choice


def test_cells_of_equal_work_start_in_order_while_there_are_slots():
    schedule = Schedule.of(jobs(CELLS), {}, RULES)
    assert schedule.handle(HostUp("m1", 2), 0) == [Start("a", "m1", 1), Start("b", "m1", 1)]
    assert schedule.handle(Tick(), 1) == []
    assert schedule.handle(Settled("a", 1), 2) == [Start("c", "m1", 1)]


def test_the_longest_cells_start_first():
    schedule = Schedule.of([Job("a", 1), Job("b", 3), Job("c", 2)], {}, RULES)
    found = schedule.handle(HostUp("m1", 3), 0)
    assert [c.cell for c in found] == ["b", "c", "a"]


def test_every_arm_has_its_first_seed_before_one_has_its_second():
    jobs = [Job("a1", 3, turn=0), Job("a2", 3, turn=1), Job("b1", 1, turn=0), Job("b2", 1, turn=1)]
    found = Schedule.of(jobs, {}, RULES).handle(HostUp("m1", 4), 0)
    assert [c.cell for c in found] == ["a1", "b1", "a2", "b2"]


def test_cells_spread_over_idle_hosts():
    schedule = Schedule.of(jobs("ab"), {}, RULES)
    schedule.handle(HostUp("m1", 2), 0)
    schedule.handle(HostLost("m1"), 0)
    later = max(BACKOFF_S)
    schedule.handle(HostUp("m1", 2), later / 1000)
    schedule.handle(HostUp("m2", 2), later / 1000)
    found = schedule.handle(Tick(), later)
    assert sorted(c.host for c in found) == ["m1", "m2"]


def two_speeds(*cells: Job) -> Schedule:
    """`fast` has been four times as fast as `slow`; both are idle."""
    first = [Job("x", 1000), Job("y", 1000)]
    schedule = Schedule.of([*first, *cells], {}, RULES)
    schedule.handle(HostUp("fast", 1, None, "F"), 0)
    schedule.handle(HostUp("slow", 1, None, "S"), 0)
    schedule.speeds.learn(("F", 1), ("fast", 1), 400, 100)
    schedule.speeds.learn(("S", 1), ("slow", 1), 100, 100)
    return schedule


def test_a_long_cell_waits_for_the_fast_host_where_it_would_end_first():
    schedule = two_speeds(Job("long", 800), Job("short", 10))
    schedule.handle(Settled("x", 1), 0)
    assert schedule.handle(Settled("y", 1), 0) == [Start("short", "slow", 1)]
    assert [cell for _, cell in schedule.queue] == []


def test_speeds_are_learned_from_finished_cells_and_give_the_time_left():
    schedule = Schedule.of([Job(c, 100) for c in "abc"], {}, RULES)
    schedule.handle(HostUp("m1", 1, None, "Apple M2"), 0)
    assert schedule.left_s(0) is None
    schedule.handle(Settled("a", 1), 50)
    assert schedule.left_s(50) == pytest.approx(100)
    assert schedule.left_s(75) == pytest.approx(75)
    schedule.handle(Settled("b", 1, ok=False), 76)
    assert schedule.left_s(76) == pytest.approx(50)


def test_a_host_slower_than_its_chip_is_known_for_it_and_a_new_one_is_not():
    speeds = Speeds()
    for _ in range(20):
        speeds.learn(("M2", 1), ("good", 1), 10, 1)
        speeds.learn(("M2", 1), ("bad", 1), 10, 10)
    assert speeds.of(("M2", 1), ("bad", 1)) == pytest.approx(1, rel=0.2)
    assert speeds.of(("M2", 1), ("good", 1)) > 5
    assert 1.5 < speeds.of(("M2", 1), ("new", 1)) < 2.5
    of_a_new_chip = speeds.of(("M9", 1), ("other", 1))
    assert of_a_new_chip == pytest.approx(speeds.of(("M2", 1), ("new", 1)))


def test_a_host_that_reports_again_gets_no_more_than_its_slots():
    schedule = Schedule.of(jobs(CELLS), {}, RULES)
    schedule.handle(HostUp("m1", 2), 0)
    assert schedule.handle(HostUp("m1", 2), 1) == []
    assert schedule.handle(HostUp("m1", 3), 2) == [Start("c", "m1", 1)]
    assert schedule.handle(HostUp("m1", 1), 3) == []
    for cell in "abc":
        commands = schedule.handle(Settled(cell, 1), 4)
    assert commands == [Start("d", "m1", 1)]


# memory and chips


def test_cells_share_a_host_only_as_far_as_its_memory_goes():
    schedule = Schedule.of([Job("a", 3, 6 * GB), Job("b", 2, 6 * GB), Job("c", 1, GB)], {}, RULES)
    found = schedule.handle(HostUp("m1", 3, 8 * GB), 0)
    assert [c.cell for c in found] == ["a", "c"]
    assert starts(schedule.handle(Settled("a", 1), 1)) == [Start("b", "m1", 1)]


def test_what_fits_on_no_host_is_refused_at_once_with_numbers():
    schedule = Schedule.of([Job("big", 1, 100 * GB), Job("small", 1, GB)], {}, RULES)
    assert schedule.handle(HostUp("m1", 2, 64 * GB), 0) == [Start("small", "m1", 1)]
    (refusal,) = schedule.handle(Tick(), 0)
    assert isinstance(refusal, GiveUp)
    assert (refusal.attempt, refusal.stage) == (0, "placement")
    assert "needs about 100.0 GiB" in refusal.reason
    assert "m1, offers 64.0 GiB" in refusal.reason


def test_any_number_of_cells_that_must_wait_hold_up_no_other():
    big = [Job(f"big{i}", 9, 100 * GB) for i in range(2 * AHEAD)]
    schedule = Schedule.of([*big, Job("small", 1, GB)], {}, RULES)
    schedule.handle(HostUp("m2", 0, 128 * GB), 0)
    assert schedule.handle(HostUp("m1", 1, 64 * GB), 0) == [Start("small", "m1", 1)]


def test_what_fits_on_a_host_that_is_down_waits_for_it():
    schedule = Schedule.of([Job("big", 1, 100 * GB)], {}, RULES)
    schedule.handle(HostUp("m1", 1, 64 * GB), 0)
    schedule.handle(HostUp("m2", 0, 128 * GB), 0)
    assert schedule.handle(Tick(), 0) == []
    assert schedule.handle(HostUp("m2", 1, 128 * GB), 1) == [Start("big", "m2", 1)]


def test_a_cell_bound_to_a_chip_family_waits_for_it_and_says_so():
    schedule = Schedule.of([Job("a"), Job("b", family="Apple M2 Ultra")], {}, RULES)
    schedule.handle(HostUp("old", 2, None, "Apple M1 Max"), 0)
    schedule.handle(HostUp("new", 0, None, "Apple M2 Ultra"), 0)
    (note,) = schedule.handle(Tick(), 0)
    assert note == Note("b", "goes on from a checkpoint, on Apple M2 Ultra only")
    found = schedule.handle(HostUp("new", 1, None, "Apple M2 Ultra"), 1)
    assert found == [Start("b", "new", 1)]


def test_a_lost_cell_whose_chip_is_gone_with_its_host_says_what_it_waits_for():
    schedule = Schedule.of(jobs("a"), {}, RULES)
    schedule.handle(HostUp("new", 1, None, "Apple M2 Ultra"), 0)
    schedule.handle(Bound("a", "Apple M2 Ultra"), 1)
    schedule.handle(HostUp("old", 1, None, "Apple M1"), 2)
    _, note = schedule.handle(HostLost("new"), 3)
    assert note == Note(
        "a", "waits for a host with Apple M2 Ultra, for its checkpoint is from there"
    )
    assert starts(schedule.handle(Tick(), 100)) == []
    assert schedule.handle(Bound("a", None), 101) == [Start("a", "old", 2)]


def test_a_cell_bound_to_a_chip_that_no_host_has_is_refused():
    schedule = Schedule.of([Job("a", family="Apple M4")], {}, RULES)
    schedule.handle(HostUp("m1", 1, None, "Apple M1"), 0)
    (refusal,) = schedule.handle(Tick(), 0)
    assert isinstance(refusal, GiveUp)
    assert "Apple M4" in refusal.reason


# losses


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_cell_that_is_always_lost_is_given_up_after_its_retries(retries):
    schedule = Schedule.of(jobs("a"), {"a": 4}, Rules(retries=retries))
    schedule.handle(HostUp("m1", 1), 0)
    now, count = 0.0, 1
    while not schedule.finished:
        commands = schedule.handle(Lost("a", 4 + count, "killed"), now)
        now += max(BACKOFF_S)
        count += len(schedule.handle(Tick(), now))
    last = 4 + retries + 1
    given_up = GiveUp("a", last, "killed", host="m1")
    assert commands == [Stop("a", last, "lost", "killed"), given_up]
    assert count == retries + 1


def test_each_further_attempt_waits_longer():
    schedule = Schedule.of(jobs("a"), {}, Rules(retries=len(BACKOFF_S) + 1))
    schedule.handle(HostUp("m1", 1), 0)
    now = 0.0
    for i, pause in enumerate((*BACKOFF_S, BACKOFF_S[-1]), 1):
        assert starts(schedule.handle(Lost("a", i, "killed"), now)) == []
        assert schedule.handle(Tick(), now + pause - 0.01) == []
        now += pause
        assert schedule.handle(Tick(), now) == [Start("a", "m1", i + 1)]


def test_a_cell_that_waits_holds_up_no_other():
    schedule = Schedule.of(jobs("ab"), {}, RULES)
    schedule.handle(HostUp("m1", 1), 0)
    assert starts(schedule.handle(Lost("a", 1, "killed"), 0)) == [Start("b", "m1", 1)]


def test_a_lost_host_takes_its_cells_along_and_others_get_them():
    schedule = Schedule.of(jobs("ab"), {}, RULES)
    schedule.handle(HostUp("m1", 2), 0)
    assert [c.outcome for c in schedule.handle(HostLost("m1"), 0)] == ["lost", "lost"]
    assert schedule.handle(HostUp("m2", 2), 100) == [Start("a", "m2", 2), Start("b", "m2", 2)]


def test_a_cell_lost_twice_goes_to_another_host_if_there_is_one():
    schedule = Schedule.of(jobs("a"), {}, RULES)
    schedule.handle(HostUp("m1", 2), 0)
    schedule.handle(HostUp("m2", 1), 0)
    now = 0.0
    hosts = [schedule.running["a", 1].host]
    for attempt in (1, 2, 3):
        schedule.handle(Lost("a", attempt, "killed"), now)
        now += max(BACKOFF_S)
        hosts += [c.host for c in schedule.handle(Tick(), now)]
    assert hosts == ["m1", "m1", "m2", "m1"]


def test_a_cell_lost_twice_stays_where_it_is_if_nothing_else_can_run_it():
    schedule = Schedule.of([Job("a", 1, 8 * GB)], {}, RULES)
    schedule.handle(HostUp("m1", 1, 8 * GB), 0)
    schedule.handle(HostUp("m2", 1, 4 * GB), 0)
    for attempt in (1, 2):
        schedule.handle(Lost("a", attempt, "killed"), attempt * 100)
        found = schedule.handle(Tick(), attempt * 100 + 50)
    assert found == [Start("a", "m1", 3)]


def test_an_attempt_without_a_sign_of_life_is_abandoned_and_its_cell_runs_elsewhere():
    schedule = Schedule.of(jobs("a"), {}, Rules(silence_s=60))
    schedule.handle(HostUp("m1", 1), 0)
    schedule.handle(Alive("a", 1), 50)
    for now in (30, 60, 90, 110):
        assert schedule.handle(Tick(), now) == []
    assert schedule.handle(Tick(), 111) == [Stop("a", 1, "abandoned", "no sign of life for 60 s")]
    assert schedule.handle(Tick(), 120) == [Start("a", "m1", 2)]
    assert schedule.handle(Settled("a", 1), 121) == []
    assert not schedule.finished


def test_a_driver_that_slept_itself_blames_nobody():
    schedule = Schedule.of(jobs("a"), {}, Rules(silence_s=60))
    schedule.handle(HostUp("m1", 1), 0)
    for now in (10, 20, 3600, 3610):
        assert schedule.handle(Tick(), now) == []


def losing(schedule: Schedule, host: str, cells: str) -> list:
    found = []
    for i, cell in enumerate(cells):
        attempt = next(a for (c, a), r in schedule.running.items() if (c, r.host) == (cell, host))
        found += schedule.handle(Lost(cell, attempt, "killed"), i)
    return found


def test_a_host_that_keeps_losing_cells_is_quarantined_until_a_while_has_gone_by():
    schedule = Schedule.of(jobs("abcdef"), {}, Rules(faults=3, quarantine_s=600, silence_s=9999))
    schedule.handle(HostUp("bad", 3), 0)
    schedule.handle(HostUp("good", 1), 0)
    found = losing(schedule, "bad", "abc")
    (quarantine,) = [c for c in found if isinstance(c, Quarantine)]
    assert quarantine.host == "bad"
    assert "bad lost 3 cells" in quarantine.reason
    assert not [c for c in starts(schedule.handle(Tick(), 500)) if c.host == "bad"]
    assert {c.host for c in starts(schedule.handle(Tick(), 700))} == {"bad"}


def test_a_quarantined_host_that_registers_again_is_used_again():
    schedule = Schedule.of(jobs("abcdef"), {}, Rules(faults=3))
    schedule.handle(HostUp("bad", 3), 0)
    schedule.handle(HostUp("good", 1), 0)
    losing(schedule, "bad", "abc")
    schedule.handle(HostLost("bad"), 50)
    assert {c.host for c in starts(schedule.handle(HostUp("bad", 1), 60))} == {"bad"}


def test_the_only_host_is_never_quarantined_and_one_bad_cell_blames_no_host():
    schedule = Schedule.of(jobs("abc"), {}, Rules(faults=3))
    schedule.handle(HostUp("m1", 3), 0)
    assert not [c for c in losing(schedule, "m1", "abc") if isinstance(c, Quarantine)]
    schedule = Schedule.of(jobs("a"), {}, Rules(faults=2, retries=9))
    schedule.handle(HostUp("m1", 1), 0)
    schedule.handle(HostUp("m2", 1), 0)
    found = []
    for attempt in range(1, 8):
        found += schedule.handle(Lost("a", attempt, "killed"), attempt * 100.0)
        found += schedule.handle(Tick(), attempt * 100.0 + 50)
    assert not [c for c in found if isinstance(c, Quarantine)]


# copies


def tail() -> Schedule:
    """One long cell on a slow host, and a fast host with nothing left to do."""
    schedule = two_speeds()
    schedule.handle(Tick(), 0)
    return schedule


def test_at_the_tail_an_idle_faster_host_runs_a_second_copy_and_the_first_result_wins():
    schedule = tail()
    assert {r.host for r in schedule.running.values()} == {"fast", "slow"}
    (fast,) = [k for k, r in schedule.running.items() if r.host == "fast"]
    (slow,) = [k for k, r in schedule.running.items() if r.host == "slow"]
    found = schedule.handle(Settled(*fast), 250)
    assert found == [Start(slow[0], "fast", 2, copy=True)]
    assert schedule.handle(Tick(), 251) == []
    (stop,) = schedule.handle(Settled(slow[0], 2), 500)
    assert stop == Stop(*slow, "cancelled", "the copy on fast ended first")
    assert schedule.finished


def test_slow_progress_is_seen_where_the_estimate_knows_nothing():
    schedule = Schedule.of([Job(c, 10) for c in "abc"], {}, RULES)
    schedule.handle(HostUp("m1", 1, None, "M"), 0)
    schedule.handle(HostUp("m2", 1, None, "M"), 0)
    schedule.handle(Settled("a", 1), 10)
    schedule.handle(Alive("b", 1, 0.2), 18)
    assert schedule.handle(Settled("c", 1), 20) == [Start("b", "m1", 2, copy=True)]


def test_a_lost_copy_costs_the_other_one_nothing():
    schedule = tail()
    (fast,) = [k for k, r in schedule.running.items() if r.host == "fast"]
    (slow,) = [k for k, r in schedule.running.items() if r.host == "slow"]
    schedule.handle(Settled(*fast), 250)
    schedule.handle(HostLost("fast"), 260)
    assert list(schedule.running) == [slow]
    assert schedule.queue == []
    assert schedule.handle(Settled(*slow), 1000) == []
    assert schedule.finished


def test_no_copy_is_started_that_would_end_later():
    schedule = tail()
    (fast,) = [k for k, r in schedule.running.items() if r.host == "fast"]
    assert schedule.handle(Settled(*fast), 800) == []


def test_nothing_to_do_is_finished_from_the_start():
    assert Schedule.of([], {}, RULES).finished
