"""Whatever happens in whatever order: a session's rules hold (a Hypothesis state machine).

The worker is an honest one: it answers what it was sent, late or never, and may die at any moment.
Dishonest ones are in `test_worker_messages_fuzz.py`.
"""

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dbtorch.adapters.dbt.session.commands import Arm, Emit, Kill, Launch, Leave, Reply, Send, Wait
from dbtorch.adapters.dbt.session.open_request import SessionRequest
from dbtorch.adapters.dbt.session.phases import Phase
from dbtorch.adapters.dbt.session.protocol import SessionProtocol
from dbtorch.core.model.events import Attempt, Batch, Changed, Finished, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.testing import FixedClock

NODES = ("model.shop.a", "model.shop.b", "source.shop.raw.c")
OPENED = {"type": "opened", "vars": {}, "target": {"name": "dev"}}
STARTS = {"begin", "execute", "freshness", "finish"}  # what makes a worker touch the warehouse

#: Phase -> what the worker has been sent, and answers or dies of.
OWED = {
    Phase.READING: "open",
    Phase.REREADING: "open",
    Phase.RECOVERING: "open",
    Phase.CONNECTING: "begin",
    Phase.FINISHING: "finish",
}

RARELY, OFTEN = (st.sampled_from([*[not odd] * 7, odd]) for odd in (True, False))


def a_request(*, lingers: bool) -> SessionRequest:
    nowhere = Path("nowhere")
    return SessionRequest(
        python="python",
        args=(),
        cwd=nowhere,
        environ={},
        log_path=lambda attempt: nowhere,
        console=nowhere,
        scratch=nowhere,
        lingers=lingers,
    )


class SessionMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.begin_another()

    def begin_another(self, *, lingers=False):
        """A session of which nothing is known yet."""
        self.lingers = lingers
        self.protocol = SessionProtocol(a_request(lingers=lingers))
        self.alive = False  # as far as anybody knows
        self.may_launch = True
        self.goes = False  # the worker was asked to go, or was killed
        self.owed = set()  # messages it has not answered
        self.executing = set()  # attempts it has not answered, forsaken ones included
        self.timers = []
        self.numbers = {}
        self.under_way = {}  # attempts of the run that have not finished, by node
        self.finished = set()
        self.waiting = set()  # replies the owner waits for
        self.accepted = self.closed = self.killed = False
        self.steps = self.ends_after = 0

    @precondition(lambda self: self.is_over() or self.protocol.phase is Phase.NEW)
    @rule(
        stage=st.sampled_from([0, 1, 2, 2, 2, 3, 3, 4]),
        ends_after=st.integers(0, 15),
        lingers=st.booleans(),
    )
    def go_to(self, stage, ends_after, lingers):
        """Bring a session where most happens; nobody ends it for a while."""
        self.check_the_end()
        self.begin_another(lingers=lingers or stage == 4)
        self.ends_after = ends_after
        if stage > 0:
            self.open()
            self.reply("open")
            self.accept()
        if stage > 1:
            self.start(SESSION_OPEN)
            self.reply("begin")
            assert self.protocol.phase is Phase.CONNECTED
        if stage > 2:
            self.die(killed=True, replaced=True)
            assert self.protocol.phase is Phase.RECOVERING
            self.answer_everything()
        if stage > 3:
            self.start(SESSION_CLOSE)
            self.answer_everything()
            assert self.protocol.phase is Phase.LINGERING

    def is_over(self):
        """Whether nothing is left to happen: the few examples are for what is alive."""
        return self.protocol.phase is Phase.ENDED

    # ------------------------------------------------------------ obeying

    def obey(self, commands):
        for command in commands:
            match command:
                case Launch():
                    assert not self.alive, "two workers at a time"
                    assert not self.closed, "a worker is started after the end"
                    if not self.may_launch:
                        self.obey(self.protocol.not_launched("no such interpreter"))
                        return
                    self.alive, self.goes = True, False
                case Send():
                    self.send(command)
                case Emit(event):
                    self.hear(event)
                case Reply(wait):
                    assert wait in self.waiting, "a reply to nobody"
                    self.waiting.remove(wait)
                case Arm():
                    self.timers.append(command)
                case Kill() | Leave():
                    self.goes = True

    def send(self, command):
        assert self.alive, "nobody gets this"
        if command.type in STARTS:
            assert not self.closed, "something is started after the end"
        if command.type in ("execute", "freshness"):
            self.executing.add(Attempt(command.fields["node"], command.fields["attempt"]))
        elif command.type not in ("skip", "cancel", "forsake", "kept"):
            assert command.type not in self.owed, "sent twice, and answered once"
            self.owed.add(command.type)

    def hear(self, event):
        id = event.attempt.node_id
        assert event.attempt not in self.finished, "finished twice, or started after the end"
        assert self.under_way.get(id) == event.attempt, "nobody has started this"
        if isinstance(event, Finished):
            self.finished.add(event.attempt)
            del self.under_way[id]
        else:
            assert isinstance(event, Started)

    # ------------------------------------------------------------ the owner

    @precondition(lambda self: self.protocol.phase is Phase.NEW and not self.closed)
    @rule(launches=OFTEN)
    def launch(self, launches):
        self.may_launch = launches or self.protocol.phase is not Phase.NEW
        self.obey(self.protocol.launch())
        self.may_launch = True

    @precondition(lambda self: self.protocol.phase in (Phase.NEW, Phase.LAUNCHED, Phase.OPENED))
    @rule()
    def open(self):
        self.waiting.add(Wait.OPEN)
        self.obey(self.protocol.open(["tag:daily"]))

    @precondition(lambda self: not self.accepted and not self.is_over())
    @rule()
    def accept(self):
        self.accepted |= self.protocol.phase in (Phase.OPENED, Phase.REREADING)
        self.obey(self.protocol.accept())

    @precondition(lambda self: not self.is_over())
    @rule(id=st.sampled_from([*NODES, *NODES, SESSION_OPEN, SESSION_CLOSE]))
    def start(self, id):
        if id in self.under_way:
            return
        number = self.numbers[id] = self.numbers.get(id, 0) + 1
        self.under_way[id] = Attempt(id, number)
        self.obey(self.protocol.start(Batch(number, (self.under_way[id],))))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def cancel(self, data):
        id = data.draw(st.sampled_from(list(self.numbers)))  # also one that is over
        self.obey(self.protocol.cancel(Attempt(id, self.numbers[id])))

    @precondition(lambda self: not self.is_over())
    @rule(id=st.sampled_from(NODES))
    def skip(self, id):
        at, state = FixedClock().now(), State.UPSTREAM_FAILED
        changed = Changed(node_id=id, attempt=0, before=State.PENDING, state=state, at=at)
        self.obey(self.protocol.skip(changed))

    @precondition(lambda self: Wait.RELEASE not in self.waiting and not self.is_over())
    @rule()
    def release(self):
        self.waiting.add(Wait.RELEASE)
        self.obey(self.protocol.release())

    @precondition(lambda self: Wait.RELEASE in self.waiting)
    @rule()
    def wait_too_long_for_a_release(self):
        self.obey(self.protocol.release_overdue())
        assert self.goes

    @precondition(lambda self: Wait.ANSWER not in self.waiting and not self.is_over())
    @rule(about=st.sampled_from(["ask", "check", "gone"]))
    def ask(self, about):
        self.waiting.add(Wait.ANSWER)
        self.obey(getattr(self.protocol, about)("tables" if about == "ask" else NODES))

    @precondition(lambda self: not self.is_over())
    @rule(last=st.booleans())
    def change_plans(self, last):
        if last:
            self.protocol.leave_out_end_hooks()
        else:
            self.obey(self.protocol.invalidate())

    @precondition(lambda self: self.steps >= self.ends_after)
    @rule(data=st.data())
    def end(self, data):
        data.draw(st.sampled_from([self.refuse, self.abandon, self.close, self.kill]))()

    def refuse(self):
        self.closed = True
        self.obey(self.protocol.refuse("another plan", FailureClass.CODE))

    def abandon(self):
        self.obey(self.protocol.abandon("it took too long"))
        assert self.goes or not self.alive, "nobody ends the worker"
        assert not self.under_way or self.killed, "something is waited for that nobody does"
        self.closed = True

    def close(self):
        self.obey(self.protocol.close())
        assert self.goes or not self.alive, "nobody ends the worker"
        assert not self.under_way or self.killed
        self.closed = True

    def kill(self):
        """A signal handler does: from here on nobody is told of anything that was under way."""
        self.protocol.kill()
        self.goes = self.closed = self.killed = True

    # ------------------------------------------------------------ the worker

    @precondition(lambda self: self.owed or self.executing)
    @rule(data=st.data(), fails=RARELY)
    def answer(self, data, fails):
        about = data.draw(st.sampled_from([*sorted(self.owed), *sorted(self.executing, key=str)]))
        self.finish(about, fails) if isinstance(about, Attempt) else self.reply(about, fails)

    @precondition(lambda self: self.owed or self.executing)
    @rule()
    def answer_everything(self):
        for attempt in sorted(self.executing, key=str):
            self.finish(attempt)
        while self.owed:
            self.reply(min(self.owed))

    def reply(self, about, fails=False):
        self.owed.remove(about)
        answers = {
            "open": OPENED,
            "begin": {"type": "begun", "blocked": False},
            "finish": {"type": "closed"},
            "ask": {"type": "answer", "found": []},
            "check": {"type": "checked", "checks": []},
            "gone": {"type": "answer", "found": []},
            "release": {"type": "released"},
        }
        if fails and about != "release":
            kinds = {**dict.fromkeys(("ask", "check", "gone"), "answer"), "begin": "begin_failed"}
            said = {"type": kinds.get(about, "failed"), "message": "no", "error": "no"}
            answers[about] = said
        stays = self.lingers and not fails
        self.goes |= (about == "finish" and not stays) or (fails and about == "open")
        self.obey(self.protocol.heard(dict(answers[about])))

    def finish(self, attempt, fails=False):
        self.executing.remove(attempt)
        about = {"node": attempt.node_id, "attempt": attempt.number}
        status = "error" if fails else "success"
        if not fails:
            self.obey(self.protocol.heard({"type": "started", **about}))
        self.obey(self.protocol.heard({"type": "finished", **about, "status": status}))

    @precondition(lambda self: self.alive)
    @rule(killed=st.booleans(), replaced=OFTEN)
    def die(self, killed, replaced):
        self.alive = False
        self.owed.clear()
        self.executing.clear()
        self.may_launch = replaced
        said = "dbt ended before it had read the project"
        self.obey(self.protocol.died("exit status 1", killed=killed, last_words=said))
        self.may_launch = True

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def let_a_timer_expire(self, data):
        timer = self.timers.pop(data.draw(st.integers(0, len(self.timers) - 1)))
        self.obey(self.protocol.expired(timer.attempt))

    # ------------------------------------------------------------ what holds at any time

    @invariant()
    def somebody_is_waited_for(self):
        """Nothing hangs: the worker owes an answer, or it is the owner's turn."""
        self.steps += 1
        phase = self.protocol.phase
        owes = OWED.get(phase)
        assert owes is None or (self.alive and owes in self.owed)
        assert not self.accepted or phase not in (Phase.OPENED, Phase.REREADING)
        assert self.alive or phase in (Phase.NEW, Phase.ENDED)
        assert not self.alive or phase is not Phase.NEW
        assert not self.alive or phase is not Phase.ENDED or self.killed

    @invariant()
    def every_attempt_is_in_somebodys_hands(self):
        phase = self.protocol.phase
        for id, attempt in self.under_way.items():
            has = attempt in self.executing
            has |= id == SESSION_OPEN and "begin" in self.owed
            has |= id == SESSION_CLOSE and "finish" in self.owed
            waits = phase in OWED or phase in (Phase.NEW, Phase.LAUNCHED, Phase.OPENED)
            assert has or waits or self.goes, f"{attempt} waits for ever in {phase}"

    @invariant()
    def every_wait_will_end(self):
        assert self.alive or not self.waiting
        if Wait.OPEN in self.waiting:
            assert "open" in self.owed or self.killed

    def teardown(self):
        self.check_the_end()

    def check_the_end(self):
        """However it stood: the worker answers, goes when it is to go, and all is over."""
        if self.protocol.phase in (Phase.OPENED, Phase.REREADING):
            self.accept()
        self.close()
        if self.alive:
            self.die(killed=False, replaced=True)
        assert self.protocol.phase is Phase.ENDED
        assert not self.under_way or self.killed, "an attempt was lost"
        assert not self.waiting, "somebody waits for ever"
        self.under_way.clear()
        self.start(NODES[0])
        assert not self.under_way, "what starts after the end waits for ever"


SessionMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_the_rules_hold = SessionMachine.TestCase
