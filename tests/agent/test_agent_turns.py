"""Functions timed in turns, what becomes of those that fail, and what is known when a child ends."""

import pytest

from joulefront_agent import turns
from joulefront_agent.tally import Tally
from joulefront_agent.turns import Turn
from joulefront_agent.wire import Failure
from joulefront_agent.wire_time import Argument, Function, Step, Timed, Timing


class Machine:
    """A clock, and functions that move it."""

    def __init__(self):
        self.now_s, self.order = 0.0, []

    def clock(self):
        return self.now_s

    def calls(self, name, call_s, flush_s=0.0, fails_at=None, set_back=(), set_forward=()):
        count = 0

        def time(number, repeat):
            nonlocal count
            count += 1
            self.order.append((name, number, repeat))
            if count == fails_at:
                raise RuntimeError("told to")
            self.now_s += call_s + repeat * (number * call_s + flush_s)
            first_s = call_s + (30.0 / number if count in set_forward else 0.0)
            return [first_s, *[-1.0 if count in set_back else call_s] * repeat][not set_forward :][:repeat]

        return time


def taken(machine, calls, rounds=3, slice_s=0.01, limit_s=60.0, alone=False):
    steps = []
    ready = {number: Turn(one, slice_s, alone, machine.clock) for number, one in enumerate(calls)}
    turns.take(ready, rounds, limit_s, steps.append, machine.clock)
    return steps


def seconds(steps, function):
    return [step.seconds for step in steps if step.function == function and step.seconds is not None]


def test_each_has_its_turn_in_every_round_after_warming_up():
    machine = Machine()
    steps = taken(machine, [machine.calls("a", 2**-17), machine.calls("b", 1e-3), machine.calls("c", 0.1)])
    assert [seconds(steps, function) for function in range(3)] == [[2**-17] * 3, [1e-3] * 3, [0.1] * 3]
    assert [name for name, *_ in machine.order] == ["a", "b", "c"] * 5
    # About 10 ms each, in blocks that one reading of the clock does not lengthen; what takes longer runs once.
    assert machine.order[-3:] == [("a", 3, 437), ("b", 1, 10), ("c", 1, 1)]
    # Whoever has the turn is known before it begins.
    assert [step for step in steps if step.seconds is None] == [Step(function) for function in (0, 1, 2)] * 5


def test_with_a_flush_calls_are_timed_one_by_one_and_the_flush_is_part_of_the_turn():
    machine = Machine()
    taken(machine, [machine.calls("a", 1e-6, flush_s=1e-3)], alone=True)
    assert machine.order[-1] == ("a", 1, 10)


def test_no_round_begins_that_would_end_too_late_but_one_always_runs():
    machine = Machine()
    calls = [machine.calls("a", 1.0)]
    assert seconds(taken(machine, calls, rounds=100, limit_s=0.0), 0) == [1.0]
    machine.now_s = 0.0
    assert len(seconds(taken(machine, calls, rounds=100, limit_s=20.0), 0)) == 7
    assert machine.now_s <= 20.0


def test_one_that_raises_has_no_further_turn_and_the_others_go_on():
    machine = Machine()
    steps = taken(machine, [machine.calls("a", 1e-3), machine.calls("b", 1e-3, fails_at=4)])
    assert [len(seconds(steps, function)) for function in (0, 1)] == [3, 1]
    (error,) = [step.error for step in steps if step.error]
    assert (error.kind, error.message) == ("Crashed", "RuntimeError: told to")


def test_what_took_no_time_is_timed_again_and_a_clock_that_stands_is_told():
    machine = Machine()
    steps = taken(machine, [machine.calls("a", 1e-3, set_back=(3, 4))])
    assert seconds(steps, 0) == [1e-3] * 3
    with pytest.raises(Failure, match="does not go on"):
        taken(machine, [machine.calls("a", 0.0)])


def test_a_turn_in_which_the_clock_is_set_forward_is_taken_again():
    """A function that is called once a turn has nothing but that one time."""
    machine = Machine()
    assert seconds(taken(machine, [machine.calls("a", 0.1, set_forward=(2, 4))]), 0) == [0.1] * 3
    with pytest.raises(Failure, match="does not go on"):
        taken(machine, [machine.calls("a", 0.1, set_forward=range(100))])


FLAT = (Argument((1,), "float32", True),)
TIMING = Timing("/x.so", "0" * 64, tuple(Function(name, FLAT) for name in "abc"), 1, False, 3, 0.01, 0, 10.0, 1.0)


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def tally(machine):
    return Tally(TIMING, machine.clock)


def told(tally, *rounds):
    for values in rounds:
        for function, value in enumerate(values):
            tally.note(Step(function))
            if value is not None:
                tally.note(Step(function, value))


def answers(tally):
    return Timed.from_wire(tally.timed({}, {}).to_wire(), 3).functions


def test_when_one_ends_the_child_the_rest_goes_on_where_the_last_whole_round_ended(tally, machine):
    assert tally.rest() == TIMING
    told(tally, (1.0, 2.0, 3.0), (1.5, None))
    tally.blame(Failure("Crashed", "told to"))
    machine.now_s = 4.0
    rest = tally.rest()
    assert [function.name for function in rest.functions] == ["a", "c"]
    assert (rest.rounds, rest.limit_s) == (2, 6.0)
    told(tally, (1.1, 3.1), (1.2, 3.2))
    assert tally.rest() is None
    first, second, third = answers(tally)
    assert (first, third) == ((1.0, 1.1, 1.2), (3.0, 3.1, 3.2))
    assert (second.kind, second.message) == ("Crashed", "told to")


def test_when_the_limit_is_up_what_was_timed_is_enough(tally, machine):
    told(tally, (1.0, 2.0, 3.0), (None,))
    tally.blame(Failure("Crashed", "told to"))
    machine.now_s = 10.0
    assert tally.rest() is None
    assert answers(tally)[1:] == ((2.0,), (3.0,))


def test_when_the_end_has_come_those_without_a_round_say_so(tally, machine):
    told(tally, (None,))
    tally.blame(Failure("Hung", "told to"))
    machine.now_s = 10.0
    assert tally.rest().rounds == 3  # one is always run
    machine.now_s = 12.0
    tally.blame(Failure("Hung", "before any of them began"))
    assert tally.rest() is None
    first, second, third = answers(tally)
    assert [failure.kind for failure in (first, second, third)] == ["Hung", "Skipped", "Skipped"]
    assert "the 12 s for all functions were up" in third.message


def test_what_ends_a_child_before_any_function_began_is_the_librarys(tally):
    with pytest.raises(Failure, match="told to"):
        tally.blame(Failure("Crashed", "told to"))
    told(tally, (None,))
    tally.blame(Failure("Crashed", "one"))
    tally.rest()
    with pytest.raises(Failure, match="two"):
        tally.blame(Failure("Crashed", "two"))


def test_when_all_have_failed_nothing_is_left(tally):
    for number in range(3):
        tally.note(Step(0))
        tally.blame(Failure("Crashed", str(number)))
        assert (tally.rest() is None) == (number == 2)
    assert [failure.message for failure in answers(tally)] == ["0", "1", "2"]
