"""The limiter: never above a limit, first come first served, and nobody left waiting for a slot that is free."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from staging import wait_until

from durex_core.errors import RateLimited
from durex_core.execution import limiter as module
from durex_core.execution.limiter import CommandLimitStats, Limiter, LimiterStats

MOMENT = timedelta(milliseconds=1)
PATIENCE = timedelta(seconds=20)


class Queuer:
    """Somebody who waits for a slot in a thread of their own."""

    def __init__(self, limiter: Limiter, name: str, timeout: timedelta | None = PATIENCE) -> None:
        """Get in line, and come back once that is seen."""
        self.has_slot: bool | None = None
        self._thread = threading.Thread(target=self._wait, args=(limiter, name, timeout), daemon=True)
        before = waiting(limiter)
        self._thread.start()
        wait_until(lambda: waiting(limiter) > before or self.has_slot is not None)

    def _wait(self, limiter: Limiter, name: str, timeout: timedelta | None) -> None:
        self.has_slot = limiter.acquire(name, timeout)

    @property
    def answer(self) -> bool | None:
        """Whether it got a slot, once that is decided."""
        self._thread.join(PATIENCE.total_seconds())
        return self.has_slot


def waiting(limiter: Limiter) -> int:
    return sum(command.waiting for command in limiter.stats().commands.values())


def take(limiter: Limiter, *names: str) -> None:
    for name in names:
        assert limiter.try_acquire(name)


def test_a_name_takes_as_many_slots_as_its_limit():
    limiter = Limiter({"email": 2})

    assert [limiter.try_acquire("email") for _ in range(3)] == [True, True, False]
    assert limiter.current("email") == 2


def test_a_slot_that_is_given_back_can_be_taken_again():
    limiter = Limiter({"email": 1})
    take(limiter, "email")

    limiter.release("email")

    assert limiter.try_acquire("email")


def test_the_global_limit_holds_for_all_names_together():
    limiter = Limiter({"email": 5}, global_limit=2)
    take(limiter, "email", "invoice")

    assert not limiter.try_acquire("email")
    assert not limiter.try_acquire("report")
    assert limiter.global_current == 2


def test_what_has_no_limit_runs_freely_and_is_counted():
    limiter = Limiter({"email": 1})
    take(limiter, *["invoice"] * 100)

    assert limiter.current("invoice") == 100
    assert limiter.global_current == 100


def test_a_lowered_limit_stops_nothing_and_refuses_until_there_is_room():
    limiter = Limiter({"email": 3})
    take(limiter, "email", "email", "email")

    limiter.set_limit("email", 1)

    assert limiter.current("email") == 3
    for left in (2, 1):
        limiter.release("email")
        assert limiter.current("email") == left
        assert not limiter.try_acquire("email")
    limiter.release("email")
    assert limiter.try_acquire("email")


def test_a_lowered_global_limit_stops_nothing_and_refuses_until_there_is_room():
    limiter = Limiter(global_limit=3)
    take(limiter, "email", "invoice", "report")

    limiter.set_global_limit(2)
    limiter.release("email")

    assert not limiter.try_acquire("email")
    limiter.release("invoice")
    assert limiter.try_acquire("email")


def test_zero_removes_a_limit():
    limiter = Limiter({"email": 1}, global_limit=1)
    take(limiter, "email")

    limiter.set_limit("email", 0)
    limiter.set_global_limit(0)

    take(limiter, *["email"] * 10)
    assert limiter.stats() == LimiterStats(None, 11, {"email": CommandLimitStats(None, 11, 0)})


@pytest.mark.parametrize(
    "make_room",
    [
        lambda limiter: limiter.release("email"),
        lambda limiter: (limiter.set_limit("email", 2), limiter.set_global_limit(2)),
        lambda limiter: (limiter.set_global_limit(2), limiter.set_limit("email", 2)),
        lambda limiter: (limiter.set_limit("email", 0), limiter.set_global_limit(0)),
    ],
    ids=["release", "raised", "raised the other way round", "removed"],
)
def test_whoever_waits_goes_on_when_there_is_room(make_room):
    limiter = Limiter({"email": 1}, global_limit=1)
    take(limiter, "email")
    queuer = Queuer(limiter, "email", timeout=None)
    assert queuer.has_slot is None

    make_room(limiter)

    assert queuer.answer is True
    assert waiting(limiter) == 0


def test_slots_are_given_in_the_order_of_arrival():
    limiter = Limiter({"email": 1})
    take(limiter, "email")
    queuers = [Queuer(limiter, "email") for _ in range(5)]

    for served in range(5):
        limiter.release("email")
        assert queuers[served].answer is True
        assert [queuer.has_slot for queuer in queuers[served + 1 :]] == [None] * (4 - served)


def test_a_slot_that_somebody_waited_for_cannot_be_snatched():
    limiter = Limiter({"email": 1})
    take(limiter, "email")
    queuer = Queuer(limiter, "email")

    limiter.release("email")

    assert not limiter.try_acquire("email")
    assert not limiter.acquire("email", timedelta(0))
    assert queuer.answer is True


def test_whoever_waits_for_a_full_name_does_not_hold_up_others():
    limiter = Limiter({"email": 1}, global_limit=2)
    take(limiter, "email")
    queuer = Queuer(limiter, "email")

    assert limiter.acquire("invoice", timedelta(0))
    assert queuer.has_slot is None


def test_a_release_of_another_name_serves_whoever_waits_for_the_global_limit():
    limiter = Limiter(global_limit=1)
    take(limiter, "email")
    queuer = Queuer(limiter, "invoice")

    limiter.release("email")

    assert queuer.answer is True
    assert (limiter.current("email"), limiter.current("invoice")) == (0, 1)


def test_whoever_came_first_gets_the_global_slot_whatever_their_name():
    limiter = Limiter({"email": 1}, global_limit=2)
    take(limiter, "email", "invoice")
    first, second = Queuer(limiter, "email"), Queuer(limiter, "invoice")

    limiter.release("email")

    assert first.answer is True
    assert second.has_slot is None


def test_who_waited_too_long_leaves_the_line():
    limiter = Limiter({"email": 1})
    take(limiter, "email")

    assert limiter.acquire("email", MOMENT) is False

    assert limiter.stats().commands["email"] == CommandLimitStats(1, 1, 0)
    limiter.release("email")
    assert limiter.current("email") == 0
    assert limiter.try_acquire("email")


@contextmanager
def while_waiting(monkeypatch, happening):
    """Let this happen in place of the next wait."""

    class Staged(module._Waiter):
        """Somebody in line to whom something happens while they wait."""

        def __init__(self, name: str) -> None:
            """Wait as the test says."""
            super().__init__(name)
            self.admitted.wait = lambda _timeout=None: happening()

    with monkeypatch.context() as patch:
        patch.setattr(module, "_Waiter", Staged)
        yield


def test_a_slot_that_comes_at_the_last_moment_is_taken_not_lost(monkeypatch):
    limiter = Limiter({"email": 1})
    take(limiter, "email")

    with while_waiting(monkeypatch, lambda: limiter.release("email")):  # and then the time is up
        assert limiter.acquire("email", MOMENT) is True

    assert limiter.current("email") == 1


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupted_wait_leaves_the_line(monkeypatch):
    limiter = Limiter({"email": 1})
    take(limiter, "email")

    with while_waiting(monkeypatch, interrupt), pytest.raises(KeyboardInterrupt):
        limiter.acquire("email")

    assert limiter.stats().commands["email"] == CommandLimitStats(1, 1, 0)


def test_an_interrupt_that_meets_the_slot_gives_it_back(monkeypatch):
    limiter = Limiter({"email": 1})
    take(limiter, "email")

    def release_and_interrupt():
        limiter.release("email")
        interrupt()

    with while_waiting(monkeypatch, release_and_interrupt), pytest.raises(KeyboardInterrupt):
        limiter.acquire("email")

    assert limiter.current("email") == 0


def test_a_block_holds_a_slot_and_gives_it_back_whatever_happens():
    limiter = Limiter({"email": 1})
    seen = []

    def fail():
        seen.append(limiter.current("email"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), limiter.holding("email"):
        fail()

    assert seen == [1]
    assert limiter.current("email") == 0


def test_a_block_that_gets_no_slot_does_not_run():
    limiter = Limiter({"email": 1})
    take(limiter, "email")

    message = r"no slot of 'email' came free within 0:00:00\.001000: raise its limit"
    with pytest.raises(RateLimited, match=message), limiter.holding("email", MOMENT):
        pytest.fail("it ran without a slot")

    assert limiter.current("email") == 1


def test_a_slot_is_given_back_once():
    limiter = Limiter()
    take(limiter, "email")
    limiter.release("email")

    with pytest.raises(RuntimeError, match="no slot of 'email' is taken: release once"):
        limiter.release("email")

    assert limiter.global_current == 0


def test_free_says_whether_any_of_the_names_could_start():
    limiter = Limiter({"email": 1, "invoice": 1}, global_limit=3)
    take(limiter, "email")

    assert limiter.free(["email", "invoice"])
    assert not limiter.free(["email"])
    assert not limiter.free([])
    assert limiter.free(iter(["unlimited"]))
    take(limiter, "unlimited", "unlimited")
    assert not limiter.free(["invoice", "unlimited"])


def test_limit_says_what_a_name_is_limited_to():
    limiter = Limiter({"email": 2}, global_limit=9)

    assert limiter.limit("email") == 2
    assert limiter.limit("invoice") is None
    limiter.set_limit("email", 0)
    assert limiter.limit("email") is None


def test_room_says_how_many_of_the_names_could_start():
    limiter = Limiter({"email": 2, "invoice": 3})
    take(limiter, "email")

    assert limiter.room(["email"]) == 1
    assert limiter.room(iter(["email", "invoice"])) == 4
    assert limiter.room(["email", "unlimited"]) is None
    assert limiter.room([]) is None


def test_the_global_limit_leaves_no_more_room_than_it_has_itself():
    limiter = Limiter({"email": 2}, global_limit=3)
    take(limiter, "report", "report")

    assert limiter.room(["email"]) == 1
    assert limiter.room(["unlimited"]) == 1
    assert limiter.room([]) == 1


def test_there_is_no_less_than_no_room_after_a_limit_was_lowered():
    limiter = Limiter({"email": 3, "invoice": 1}, global_limit=5)
    take(limiter, "email", "email", "email")

    limiter.set_limit("email", 1)
    assert limiter.room(["email"]) == 0
    assert limiter.room(["email", "invoice"]) == 1
    limiter.set_global_limit(2)
    assert limiter.room([]) == 0


def test_the_stats_show_who_has_a_limit_runs_or_waits():
    limiter = Limiter({"email": 1, "invoice": 4}, global_limit=2)
    take(limiter, "email", "report")
    queuers = [Queuer(limiter, "email"), Queuer(limiter, "audit")]

    assert limiter.stats() == LimiterStats(
        global_limit=2,
        global_current=2,
        commands={
            "audit": CommandLimitStats(limit=None, current=0, waiting=1),
            "email": CommandLimitStats(limit=1, current=1, waiting=1),
            "invoice": CommandLimitStats(limit=4, current=0, waiting=0),
            "report": CommandLimitStats(limit=None, current=1, waiting=0),
        },
    )
    limiter.set_global_limit(0)
    limiter.set_limit("email", 0)
    assert all(queuer.answer for queuer in queuers)


def test_a_name_that_is_done_is_forgotten():
    limiter = Limiter()
    for number in range(1000):
        with limiter.holding(f"name_{number}"):
            pass
    limiter.current("never heard of")

    assert limiter.stats().commands == {}
    assert len(limiter._running) == 0


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: Limiter({"email": -1}), ValueError, "the limit of 'email' is -1: give a whole number from 1, or 0"),
        (lambda: Limiter({"email": 1.5}), TypeError, "the limit of 'email' is 1.5: give a whole number"),
        (lambda: Limiter({"email": True}), TypeError, "the limit of 'email' is True"),
        (lambda: Limiter({"": 1}), ValueError, "the name is empty"),
        (lambda: Limiter({7: 1}), TypeError, "a command's name is text, not 7"),
        (lambda: Limiter(global_limit=-1), ValueError, "the global limit is -1"),
        (lambda: Limiter(global_limit="2"), TypeError, "the global limit is '2'"),
        (lambda: Limiter(global_limit=False), TypeError, "the global limit is False"),
        (lambda: Limiter().set_limit("email", -2), ValueError, "the limit of 'email' is -2"),
        (lambda: Limiter().set_limit("", 2), ValueError, "the name is empty"),
        (lambda: Limiter().set_global_limit(None), TypeError, "the global limit is None"),
        (lambda: Limiter().try_acquire(""), ValueError, "the name is empty"),
        (lambda: Limiter().acquire(b"email"), TypeError, "a command's name is text, not b'email'"),
        (lambda: Limiter().acquire("email", -MOMENT), ValueError, "the timeout is -1 day, .*: give one that is not"),
        (lambda: Limiter().acquire("email", 5), TypeError, "the timeout is 5: give a timedelta"),
        (lambda: Limiter().free("email"), TypeError, "names is one text, 'email': give a list of names"),
    ],
)
def test_what_cannot_be_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_the_longest_timeout_is_no_error():
    limiter = Limiter({"email": 1})
    take(limiter, "email")
    queuer = Queuer(limiter, "email", timedelta.max)

    limiter.release("email")

    assert queuer.answer is True


class Watched:
    """A lock that counts how often it was taken."""

    def __init__(self) -> None:
        """Begin unlocked."""
        self.taken = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self.taken += 1

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


@pytest.mark.parametrize(
    ("deed", "times"),
    [
        (lambda limiter: limiter.set_limit("email", 2), 1),
        (lambda limiter: limiter.set_global_limit(2), 1),
        (lambda limiter: limiter.try_acquire("email"), 1),
        (lambda limiter: limiter.acquire("invoice"), 2),
        (lambda limiter: limiter.release("email"), 1),
        (lambda limiter: limiter.free(["email"]), 1),
        (lambda limiter: limiter.limit("email"), 1),
        (lambda limiter: limiter.room(["email"]), 1),
        (lambda limiter: limiter.current("email"), 1),
        (lambda limiter: limiter.global_current, 1),
        (lambda limiter: limiter.stats(), 1),
    ],
)
def test_whoever_looks_or_changes_does_so_under_the_lock(deed, times):
    limiter = Limiter({"email": 1})
    take(limiter, "email")
    limiter._lock = Watched()

    deed(limiter)

    assert limiter._lock.taken == times


def test_many_threads_stay_below_every_limit_and_all_get_their_turn():
    limits, turns = {"email": 2, "invoice": 3}, 40
    limiter = Limiter(limits, global_limit=4)
    lock = threading.Lock()
    running = dict.fromkeys([*limits, "report"], 0)
    most = dict.fromkeys([*running, "all"], 0)
    served = dict.fromkeys(running, 0)

    def change(name, by):
        with lock:
            running[name] += by
            most[name] = max(most[name], running[name])
            most["all"] = max(most["all"], sum(running.values()))
            served[name] += by > 0

    def work(name):
        for _ in range(turns):
            with limiter.holding(name, PATIENCE):
                change(name, 1)
                change(name, -1)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in running for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE.total_seconds())

    assert served == dict.fromkeys(running, 4 * turns)
    assert all(most[name] <= limit for name, limit in limits.items())
    assert most["all"] <= 4
    assert (limiter.global_current, waiting(limiter)) == (0, 0)


names = st.sampled_from(["a", "b", "c"])
few = st.integers(0, 3)
deeds = st.one_of(
    st.tuples(st.just("try"), names),
    st.tuples(st.just("join"), names),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("release"), st.integers(0, 20)),
    st.tuples(st.just("limit"), names, few),
    st.tuples(st.just("global"), few),
    st.tuples(st.just("fill"), st.sets(names, min_size=1)),
)


class Model:
    """A limiter, and beside it what should be so: who holds a slot, who waits, in the order of arrival."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.limiter = Limiter()
        self.limits: dict[str, int] = {}
        self.global_limit = 0
        self.held: list[str] = []
        self.line: list[module._Waiter] = []

    def do(self, deed: str, *arguments) -> None:
        """Do it to both, serve the line in the model, and compare."""
        getattr(self, f"do_{deed}")(*arguments)
        for waiter in list(self.line):
            if self.has_room(waiter.name):
                self.line.remove(waiter)
                self.held.append(waiter.name)
                assert waiter.admitted.is_set()
        self.compare()

    def has_room(self, name: str) -> bool:
        is_full = name in self.limits and self.held.count(name) >= self.limits[name]
        return not is_full and (not self.global_limit or len(self.held) < self.global_limit)

    def do_try(self, name: str) -> None:
        has_room = self.has_room(name)
        assert self.limiter.free([name]) == has_room
        assert self.limiter.try_acquire(name) == has_room
        self.held += [name] * has_room

    def do_join(self, name: str) -> None:
        self.line.append(self.limiter._join(name))

    def do_leave(self, place: int) -> None:
        if self.line:
            assert self.limiter._withdraw(self.line.pop(place % len(self.line)))

    def do_release(self, place: int) -> None:
        if self.held:
            self.limiter.release(self.held.pop(place % len(self.held)))

    def do_limit(self, name: str, limit: int) -> None:
        self.limiter.set_limit(name, limit)
        self.limits.pop(name, None)
        if limit:
            self.limits[name] = limit

    def do_global(self, limit: int) -> None:
        self.limiter.set_global_limit(limit)
        self.global_limit = limit

    def do_fill(self, names: set[str]) -> None:
        room = self.limiter.room(names)
        assert (room is None) == (not self.global_limit and not names <= set(self.limits))
        if room is not None:
            before = len(self.held)
            for name in sorted(names):
                while self.has_room(name):
                    self.do_try(name)
            assert len(self.held) - before == room

    def compare(self) -> None:
        stats = self.limiter.stats()
        assert stats.global_current == len(self.held)
        assert stats.global_limit == (self.global_limit or None)
        assert {name: self.limiter.current(name) for name in "abc"} == {n: self.held.count(n) for n in "abc"}
        assert {name: command.limit for name, command in stats.commands.items() if command.limit} == self.limits
        assert self.limiter._line == self.line
        assert not any(waiter.admitted.is_set() for waiter in self.line)
        assert not any(self.has_room(waiter.name) for waiter in self.line)


@given(st.lists(deeds, max_size=60))
def test_whatever_is_done_nobody_waits_who_could_run_and_nobody_runs_who_should_wait(done):
    model = Model()
    for deed, *arguments in done:
        model.do(deed, *arguments)
