"""What a handler receives as its first argument, if it asks for one."""

from durex_core.facts import AttemptFacts


class Context(AttemptFacts):
    """The context of a handler that is a plain function."""

    __slots__ = ()


class AsyncContext(AttemptFacts):
    """The context of a handler that is a coroutine function."""

    __slots__ = ()
