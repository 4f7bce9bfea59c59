"""Events in, commands out: every cell settles once, whatever the hosts do."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.schedule import (
    BACKOFF_S,
    Event,
    GiveUp,
    HostLost,
    HostUp,
    Lost,
    Schedule,
    Settled,
    Start,
    Tick,
)

CELLS = ("a", "b", "c", "d", "e")
HOSTS = ("m1", "m2")
moves = st.lists(
    st.tuples(st.just("up"), st.sampled_from(HOSTS), st.integers(0, 3))
    | st.tuples(st.just("down"), st.sampled_from(HOSTS))
    | st.tuples(st.sampled_from(["settle", "lose"]), st.integers(0, 9))
    | st.tuples(st.just("stray"), st.sampled_from(CELLS), st.booleans())
    | st.tuples(st.just("wait"), st.floats(0, 40)),
    max_size=40,
)


class World:
    """Hosts and cells as they are; it demands what a schedule must never break."""

    def __init__(self, retries: int, attempts: dict[str, int] | None = None) -> None:
        self.retries = retries
        self.earlier = attempts or {}
        self.schedule = Schedule.of(CELLS, self.earlier, retries)
        self.now = 0.0
        self.slots: dict[str, int] = {}
        self.running: dict[str, str] = {}
        self.started: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.lost_at: dict[str, float] = {}
        self.ends: Counter[str] = Counter()
        self.events: list[tuple[Event, float]] = []
        self.commands: list[object] = []

    def tell(self, event: Event) -> None:
        self.events.append((event, self.now))
        found = self.schedule.handle(event, self.now)
        self.commands += found
        for command in found:
            if isinstance(command, Start):
                self._start(command)
            else:
                self._give_up(command)

    def _start(self, command: Start) -> None:
        cell = command.cell
        assert cell not in self.running, "started twice at once"
        assert not self.ends[cell], "started after its end"
        self.started[cell] += 1
        assert command.attempt == self.earlier.get(cell, 0) + self.started[cell]
        if cell in self.lost_at:
            pause = BACKOFF_S[min(self.lost[cell], len(BACKOFF_S)) - 1]
            assert self.now >= self.lost_at[cell] + pause, "started too early"
        self.running[cell] = command.host
        on_host = sum(h == command.host for h in self.running.values())
        assert on_host <= self.slots[command.host], "more running than slots"

    def _give_up(self, command: GiveUp) -> None:
        assert self.lost[command.cell] == self.retries + 1
        self.ends[command.cell] += 1

    def _lose(self, cell: str) -> None:
        del self.running[cell]
        self.lost[cell] += 1
        self.lost_at[cell] = self.now

    def move(self, kind: str, *args: object) -> None:
        match kind, args:
            case "up", (str(host), int(slots)):
                self.slots[host] = slots
                self.tell(HostUp(host, slots))
            case "down", (str(host),):
                self.slots.pop(host, None)
                for cell in [c for c, h in self.running.items() if h == host]:
                    self._lose(cell)
                self.tell(HostLost(host))
            case (("settle" | "lose"), (int(i),)) if self.running:
                cell = sorted(self.running)[i % len(self.running)]
                self.end(cell) if kind == "settle" else self.lose(cell)
            case "stray", (str(cell), bool(settled)) if cell not in self.running:
                self.tell(Settled(cell) if settled else Lost(cell, "late news"))
            case "wait", (float(seconds),):
                self.now += seconds
                self.tell(Tick())

    def end(self, cell: str) -> None:
        del self.running[cell]
        self.ends[cell] += 1
        self.tell(Settled(cell))

    def lose(self, cell: str) -> None:
        self._lose(cell)
        self.tell(Lost(cell, "gone"))

    def to_the_end(self) -> None:
        """From here on all goes well."""
        self.move("up", "m1", 2)
        for _ in range(100):
            if self.schedule.finished:
                return
            for cell in list(self.running):
                self.end(cell)
            self.move("wait", max(BACKOFF_S))
        raise AssertionError("never finished")


@settings(max_examples=150)
@given(moves, st.integers(0, 3))
def test_whatever_the_hosts_do_every_cell_settles_exactly_once(found, retries):
    world = World(retries)
    for move in found:
        world.move(*move)
    world.to_the_end()
    assert world.ends == Counter(CELLS)
    assert world.schedule.settled == set(CELLS)
    assert world.schedule.running == {}


@given(moves)
def test_the_same_events_give_the_same_commands(found):
    world = World(2)
    for move in found:
        world.move(*move)
    again = Schedule.of(CELLS, {}, 2)
    assert [c for e, now in world.events for c in again.handle(e, now)] == world.commands


@given(moves, st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_attempts_of_earlier_launches_are_counted_on(found, earlier):
    world = World(1, dict(zip(CELLS, earlier, strict=True)))
    for move in found:
        world.move(*move)
    world.to_the_end()
    assert all(world.started[c] >= 1 for c in CELLS)


def test_cells_start_in_order_while_there_are_slots():
    schedule = Schedule.of(CELLS, {}, 0)
    assert schedule.handle(HostUp("m1", 2), 0) == [Start("a", "m1", 1), Start("b", "m1", 1)]
    assert schedule.handle(Tick(), 1) == []
    assert schedule.handle(Settled("a"), 2) == [Start("c", "m1", 1)]


def test_cells_spread_over_idle_hosts():
    schedule = Schedule.of("ab", {}, 3)
    schedule.handle(HostUp("m1", 2), 0)
    schedule.handle(HostLost("m1"), 0)
    later = max(BACKOFF_S)
    schedule.handle(HostUp("m1", 2), later / 1000)
    schedule.handle(HostUp("m2", 2), later / 1000)
    found = schedule.handle(Tick(), later)
    assert sorted(c.host for c in found) == ["m1", "m2"]


def test_a_host_that_reports_again_gets_no_more_than_its_slots():
    schedule = Schedule.of(CELLS, {}, 0)
    schedule.handle(HostUp("m1", 2), 0)
    assert schedule.handle(HostUp("m1", 2), 1) == []
    assert schedule.handle(HostUp("m1", 3), 2) == [Start("c", "m1", 1)]
    assert schedule.handle(HostUp("m1", 1), 3) == []
    for cell in "abc":
        commands = schedule.handle(Settled(cell), 4)
    assert commands == [Start("d", "m1", 1)]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_cell_that_is_always_lost_is_given_up_after_its_retries(retries):
    schedule = Schedule.of(["a"], {"a": 4}, retries)
    schedule.handle(HostUp("m1", 1), 0)
    now, starts = 0.0, 1
    while not schedule.finished:
        commands = schedule.handle(Lost("a", "killed"), now)
        now += max(BACKOFF_S)
        starts += len(schedule.handle(Tick(), now))
    assert commands == [GiveUp("a", 4 + retries + 1, "killed")]
    assert starts == retries + 1


def test_each_further_attempt_waits_longer():
    schedule = Schedule.of(["a"], {}, len(BACKOFF_S) + 1)
    schedule.handle(HostUp("m1", 1), 0)
    now = 0.0
    for pause in (*BACKOFF_S, BACKOFF_S[-1]):
        assert schedule.handle(Lost("a", "killed"), now) == []
        assert schedule.handle(Tick(), now + pause - 0.01) == []
        now += pause
        (start,) = schedule.handle(Tick(), now)
        assert start.cell == "a"


def test_a_cell_that_waits_holds_up_no_other():
    schedule = Schedule.of(["a", "b"], {}, 3)
    schedule.handle(HostUp("m1", 1), 0)
    assert schedule.handle(Lost("a", "killed"), 0) == [Start("b", "m1", 1)]


def test_a_lost_host_takes_its_cells_along_and_others_get_them():
    schedule = Schedule.of(["a", "b"], {}, 3)
    schedule.handle(HostUp("m1", 2), 0)
    assert schedule.handle(HostLost("m1"), 0) == []
    assert schedule.handle(HostUp("m2", 2), 100) == [Start("a", "m2", 2), Start("b", "m2", 2)]


def test_nothing_to_do_is_finished_from_the_start():
    assert Schedule.of([], {}, 3).finished
