"""What is known of a store from step to step, and whether each step led to what may follow."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from store_model import Join, Seen, read_all
from virtual_store import VirtualStore

from durex_core.model import Command, Compensation, NewCommand, State
from durex_core.rules.lifecycle import TRANSITIONS
from durex_core.store import keys

UNSUCCESSFUL = {state for state in State if state.is_terminal} - {State.COMPLETED}


class Watch:
    """Remembers the whole database, and says what may be done next."""

    def watch(self, store: VirtualStore) -> None:
        """Begin with an empty store."""
        self.store = store
        self.seen: dict[str, Seen] = {}
        self.finished: dict[tuple[str, int], Any] = {}
        self.remembered: dict[str, int] = {}
        self.claims: list[Command] = []
        self.notes: dict[tuple[UUID, int], tuple[Compensation, ...]] = {}
        self.joins: dict[str, Join] = {}
        self.revived: set[str] = set()
        self.expected_ids: set[str] = set()
        self.key_holders: dict[str, tuple[str, datetime]] = {}

    def look(self) -> None:
        """Read the whole database, and compare it with what was there before."""
        now_seen, now_finished, self.remembered = read_all(self.store)

        assert set(now_seen) | {command_id for command_id, _ in now_finished} == self.expected_ids
        for (command_id, run), row in self.finished.items():
            assert command_id in self.revived or now_finished[command_id, run] == row, "a finished command changed"
        for (command_id, run), row in now_finished.items():
            assert command_id not in now_seen or run < now_seen[command_id].run
            assert row["attempt"] <= row["retries"] + 1
            if (command_id, run) not in self.finished:
                self.check_end(command_id, row)
        for command_id, seen in now_seen.items():
            self.check_move(command_id, seen)
        unique_keys = [seen.unique_key for seen in now_seen.values() if seen.unique_key]
        assert len(unique_keys) == len(set(unique_keys))
        self.check_joins(now_seen, now_finished)
        self.seen, self.finished = now_seen, now_finished
        self.revived.clear()

    def check_end(self, command_id: str, row: dict[str, Any]) -> None:
        """A run has ended."""
        before = self.seen[command_id]
        assert row["state"] in TRANSITIONS[before.state]
        assert (row["run"], row["attempt"]) == (before.run, before.attempt)
        assert row["lease_number"] == before.lease_number

    def check_move(self, command_id: str, seen: Seen) -> None:
        """A live command is where it was, or has made a move that is allowed."""
        assert seen.attempt <= seen.retries + 1
        assert (seen.state is State.STARTED) == (seen.lease_expires_at is not None)
        assert (seen.state is not State.WAITING) or seen.awaits > 0
        before = self.seen.get(command_id)
        if command_id in self.revived:
            assert (seen.state, seen.attempt, seen.ending) == (State.PENDING, 0, None)
        elif before is None:
            assert seen.state in TRANSITIONS[None]
            assert (seen.lease_number, seen.run, seen.attempt) == (0, 1, 0)
        else:
            assert seen.lease_number - before.lease_number in {0, 1}
            assert seen.run - before.run in {0, 1}
            is_claimed = seen.lease_number > before.lease_number
            assert not is_claimed or seen.state is State.STARTED
            has_moved = seen.state != before.state or is_claimed or seen.run > before.run
            assert not has_moved or seen.state in TRANSITIONS[before.state]
            if before.ending is not None:
                assert (seen.ending, seen.attempt, seen.run) == (before.ending, before.attempt, before.run)

    def check_joins(self, live: dict[str, Seen], ended: dict[tuple[str, int], Any]) -> None:
        """Whoever waits awaits those that have not ended, and was handed all of them once they had."""
        newest = {command_id: row for (command_id, _), row in sorted(ended.items(), key=lambda item: item[0][1])}
        for waiting, join in self.joins.items():
            for child in join.left - set(live):
                join.ended[child] = newest[child]["state"]
            now, before = live.get(waiting), self.seen.get(waiting)
            if now is not None and now.state is State.WAITING:
                assert (now.awaits, now.children) == (len(join.left), None)
                assert self.remembered.get(waiting, 0) == len(join.ended)
            elif now is not None and before is not None and (before.state, now.state) == (State.WAITING, State.PENDING):
                join.completions += 1
                self.check_completion(join, now)
            assert join.completions <= 1

    def check_completion(self, join: Join, now: Seen) -> None:
        children = json.loads(now.children) if isinstance(now.children, str) else now.children
        assert [child["id"] for child in children] == join.children
        assert [child["position"] for child in children] == list(range(len(join.children)))
        assert [child["state"] for child in children] == [join.ended[child] for child in join.children]
        is_complete = set(join.ended.values()) == {State.COMPLETED}
        assert now.ending == (None if is_complete or join.allow_failures else "failed")

    def has_ties(self) -> bool:
        """Whether several commands became claimable at one moment, so that any of them may come first."""
        moments = [moment for seen in self.claimable().values() for moment in seen.moments()]
        return len(moments) > len(set(moments))

    def claimable(self) -> dict[str, Seen]:
        """Return the commands that a claim may take now."""
        return {name: seen for name, seen in self.seen.items() if seen.is_claimable(self.store.now)}

    def abandoned(self) -> list[str]:
        """Return the commands whose lease is over."""
        return [name for name, seen in self.seen.items() if seen.is_abandoned(self.store.now)]

    def due(self) -> list[str]:
        """Return the commands that dispatch promotes."""
        return [name for name, seen in self.seen.items() if seen.is_due(self.store.now)]

    def is_waiting(self, command_id: str) -> bool:
        """Whether a command waits for others."""
        return command_id in self.seen and self.seen[command_id].state is State.WAITING

    def woken_by(self, ended: set[str]) -> list[str]:
        """Return the commands that wait for nothing more once these have ended."""
        return [
            waiting
            for waiting, join in self.joins.items()
            if self.is_waiting(waiting) and waiting not in ended and join.left and join.left <= ended
        ]

    def revivable(self) -> list[str]:
        """Return the commands that ended without success and whose unique key is free."""
        newest = {
            command_id: row for (command_id, _), row in sorted(self.finished.items(), key=lambda item: item[0][1])
        }
        held = {seen.unique_key for seen in self.seen.values() if seen.unique_key}
        return sorted(
            command_id
            for command_id, row in newest.items()
            if command_id not in self.seen and row["state"] in UNSUCCESSFUL and row["unique_key"] not in held
        )

    def holding(self) -> list[Command]:
        """Return the attempts that own their commands."""
        return [attempt for attempt in self.claims if self.holds(attempt)]

    def zombies(self) -> list[Command]:
        """Return the attempts that lost a command which lives on."""
        return [attempt for attempt in self.claims if str(attempt.id) in self.seen and not self.holds(attempt)]

    def succeeded(self) -> list[tuple[Command, Command]]:
        """Return each attempt that lost its command to a later one, with that one."""
        return [(zombie, holder) for holder in self.holding() for zombie in self.zombies() if zombie.id == holder.id]

    def holds(self, attempt: Command) -> bool:
        """Whether an attempt still owns its command: it alone may write."""
        seen = self.seen.get(str(attempt.id))
        return (
            seen is not None
            and seen.lease_number == attempt.lease_number
            and seen.lease_expires_at is not None
            and seen.lease_expires_at > self.store.now
        )

    def placed(self, new: Sequence[NewCommand], live: dict[str, Seen]) -> list[tuple[str, bool]]:
        """Say what enqueuing these leads to, and remember it."""
        holders = {seen.unique_key: command_id for command_id, seen in live.items() if seen.unique_key}
        stands_for: dict[str, str] = {}
        for command in new:
            own = str(command.id)
            holder, until = self.key_holders.get(command.idempotency_key or "", (own, self.store.now))
            stands_for[own] = holder if command.idempotency_key and until > self.store.now else own
            if command.idempotency_key and stands_for[own] == own:
                self.key_holders[command.idempotency_key] = (own, self.store.now + keys.KEEP)
        for command in new:
            own = str(command.id)
            if stands_for[own] == own and command.unique_key:
                stands_for[own] = holders.setdefault(command.unique_key, own)
        for key, (holder, until) in self.key_holders.items():
            self.key_holders[key] = (stands_for.get(holder, holder), until)
        final = {own: stands_for.get(owner, owner) for own, owner in stands_for.items()}
        self.expected_ids |= {own for own, owner in final.items() if own == owner}
        for command in new:
            if command.awaits:
                children = [str(child.id) for child in new if child.join_id == command.id]
                self.joins[str(command.id)] = Join(children, command.extras.allow_failures)
        return [(final[str(command.id)], final[str(command.id)] == str(command.id)) for command in new]
