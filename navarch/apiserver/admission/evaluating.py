"""Evaluating expressions about one request: their variables, their budget, and that they hold up nobody.

Expressions are evaluated on the event loop, until they have spent so much that others would notice (`INLINE_COST`, about a
hundredth of a second). Then they begin anew in a thread, where the interpreter gives others their turn every few milliseconds;
what they ask of the authorizer is asked on the event loop also then. The budgets are Kubernetes' own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from navarch.api.admissionregistration import expressions
from navarch.apimachinery.cel import cost
from navarch.apimachinery.cel.errors import CompileError, CostLimitError, EvaluationError
from navarch.apimachinery.cel.libraries.authorizer import Authorizer, Question, ResourceCheck
from navarch.apimachinery.cel.libraries.authorizer import Decision as Answer
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission import telling
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.admission.telling import Form
from navarch.apiserver.authorization import AuthorizerChain, Decision
from navarch.apiserver.request import AUTHENTICATED_GROUP, User
from navarch.apiserver.requestinfo import RequestInfo

if TYPE_CHECKING:
    from navarch.apimachinery.cel.environment import Environment, Program

T = TypeVar("T")
BUDGET = 10_000_000
"""What all expressions of a policy may cost for one request and parameter."""
CONDITIONS_BUDGET = 2_500_000
"""What all match conditions may cost."""
INLINE_COST = 10_000
ANSWER_TIMEOUT_SECONDS = 10.0
"""How long a thread waits for the event loop to ask the authorizer."""
SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


class ExpressionError(Exception):
    """An expression has no value, in the words in which clients are told so."""


class OutOfBudgetError(CostLimitError):
    """All expressions together cost too much. No operator absorbs it."""

    def __init__(self) -> None:
        Exception.__init__(self, SPENT)


class _SlowError(Exception):
    """The event loop has been held up long enough."""


class Budget:
    """What may still be spent. `inline`: how much of it on the event loop."""

    def __init__(self, left: int, inline: list[int] | None = None) -> None:
        self.left = left
        self.inline = inline


class _Meter(cost.Meter):
    """One call's."""

    __slots__ = ("inline",)

    def __init__(self, inline: list[int] | None) -> None:
        super().__init__(cost.PER_CALL_LIMIT)
        self.inline = inline

    def charge(self, amount: int) -> None:
        super().charge(amount)
        # Asking the authorizer is dear, but not slow.
        if self.inline is not None and amount != cost.CHECK:
            self.inline[0] -= amount
            if self.inline[0] < 0:
                raise _SlowError


async def fairly(evaluate: Callable[[list[int] | None], T]) -> T:
    """What `evaluate` returns, given what it may spend on the event loop, or None where that does not matter."""
    try:
        return evaluate([INLINE_COST])
    except _SlowError:
        return await asyncio.get_running_loop().run_in_executor(None, evaluate, None)


class Expression:
    """A compiled expression, or why there is none: what other programs have stored may be anything."""

    def __init__(self, text: str, environment: Environment) -> None:
        self.text = text
        self.program: Program | None = None
        self.problem = ""
        try:
            self.program = environment.compile(text)
        except CompileError as error:
            self.problem = f"compilation error: compilation failed: {error}"

    def value(self, frame: Mapping[str, Any], budget: Budget) -> Any:
        """Raises ExpressionError; OutOfBudgetError."""
        if self.program is None:
            raise ExpressionError(self.problem)
        try:
            return charge(self.program, frame, budget)
        except OutOfBudgetError:
            raise
        except EvaluationError as error:
            raise ExpressionError(f"expression '{self.text}' resulted in error: {error}") from None


def charge(program: Program, frame: Mapping[str, Any], budget: Budget) -> Any:
    """Its value. Raises EvaluationError, OutOfBudgetError."""
    meter = _Meter(budget.inline)
    try:
        return program.charge(frame, meter)
    finally:
        budget.left -= meter.spent
        if budget.left < 0:
            raise OutOfBudgetError


class Variables:
    """The variables of a policy, compiled."""

    def __init__(self, sources: Sequence[Object], environment: Environment) -> None:
        """`environment`: of a policy without variables."""
        self._known = expressions.Variables(sources)
        self._expressions: dict[str, Expression] = {}
        for source in sources:
            self._expressions[source["name"]] = Expression(source["expression"], self._known.within(environment))
            list(self._known.add(source, "", environment))

    def within(self, environment: Environment) -> Environment:
        """The environment of what comes after them."""
        return self._known.within(environment)

    def added(self, frame: Mapping[str, Any], budget: Budget) -> Mapping[str, Any]:
        """A frame with these variables."""
        if not self._expressions:
            return frame
        whole = dict(frame)
        whole["variables"] = _Lazy(self._expressions, whole, budget)
        return whole


class _Lazy(Mapping[str, Any]):
    """Values of variables, each found when it is first asked for."""

    def __init__(self, found: Mapping[str, Expression], frame: Mapping[str, Any], budget: Budget) -> None:
        self._expressions, self._frame, self._budget = found, frame, budget
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        expression = self._expressions[name]
        if expression.program is None:
            raise EvaluationError(f'composited variable "{name}" fails to compile: {expression.problem}')
        try:
            value = charge(expression.program, self._frame, self._budget)
        except OutOfBudgetError:
            raise
        except EvaluationError as error:
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from None
        self._values[name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._expressions)

    def __len__(self) -> int:
        return len(self._expressions)


class Conditions:
    """Match conditions, compiled."""

    def __init__(self, sources: Sequence[Object], *, params: bool, ignores_failures: bool) -> None:
        environment = expressions.environment(params=params)
        self._expressions = [Expression(source["expression"].strip(), environment) for source in sources]
        self._ignores_failures = ignores_failures

    def hold(self, frame: Mapping[str, Any], inline: list[int] | None) -> bool:
        """Whether all do. One that does not decides, also where another has no value. Raises ExpressionError."""
        budget, problems = Budget(CONDITIONS_BUDGET, inline), []
        for expression in self._expressions:
            try:
                if expression.value(frame, budget) is not True:
                    return False
            except OutOfBudgetError as error:
                problems = [str(error)]
                break
            except ExpressionError as error:
                problems.append(str(error))
        if problems and not self._ignores_failures:
            raise ExpressionError(aggregate(problems))
        return not problems


def aggregate(problems: Sequence[str]) -> str:
    """Several errors as one, each once."""
    distinct = list(dict.fromkeys(problems))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def frame(
    attributes: Attributes,
    form: Form,
    shown: tuple[Object | None, Object | None],
    authorizer: AuthorizerChain,
    params: Object | None = None,
    namespace: Object | None = None,
) -> dict[str, Any]:
    """The variables of expressions about a request; `shown` are the object and the old one in the form they are shown in."""
    request = telling.review_request(attributes, form)
    ask = _asking(authorizer, attributes.request.user)
    question = Question(
        "",
        group=form.kind.group,
        resource=form.kind.plural,
        subresource=form.subresource,
        namespace=telling.namespace(attributes),
        name=attributes.name,
    )
    return {
        "object": shown[0],
        "oldObject": shown[1],
        "request": request,
        "namespaceObject": namespace,
        "params": params,
        "authorizer": Authorizer(ask),
        "authorizer.requestResource": ResourceCheck(ask, question),
    }


def _asking(authorizer: AuthorizerChain, user: User) -> Callable[[Question], Answer]:
    loop, known = asyncio.get_running_loop(), dict[Question, Answer]()

    def ask(question: Question) -> Answer:
        found = known.get(question)
        if found is None:
            found = known[question] = _answer(authorizer, user, question)
        return found

    async def ask_there(question: Question) -> Answer:
        return ask(question)

    def ask_anywhere(question: Question) -> Answer:
        if _is_running(loop):
            return ask(question)
        return asyncio.run_coroutine_threadsafe(ask_there(question), loop).result(ANSWER_TIMEOUT_SECONDS)

    return ask_anywhere


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is the thread of that loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _answer(authorizer: AuthorizerChain, user: User, question: Question) -> Answer:
    if question.service_account is not None:
        namespace, name = question.service_account
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED_GROUP)
        user = User(f"system:serviceaccount:{namespace}:{name}", groups)
    if question.path is not None:
        info = RequestInfo(question.path, question.verb)
    else:
        info = RequestInfo(
            "",
            question.verb,
            True,
            question.group,
            "*",
            question.namespace,
            question.resource,
            question.name,
            question.subresource,
        )
    verdict = authorizer.authorize(user, info)
    return Answer(verdict.decision is Decision.ALLOW, verdict.reason)
