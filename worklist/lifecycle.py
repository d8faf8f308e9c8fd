"""How a case, a report, an alert and a delivery move: four tables, and the one way through each.

Values in, values out. Nothing else in the house changes a state (rule 4); a move that the table does not hold raises
WrongState with the state's name and what is possible now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from center.errors import WrongState
from worklist.sheet import Text

S = TypeVar("S", bound=StrEnum)
M = TypeVar("M", bound=StrEnum)


class CaseState(StrEnum):
    """Where a case stands (WORKFLOW.md section 2)."""

    TRIAGED = "triaged"
    QUEUED = "queued"
    LEASED = "leased"
    READING = "reading"
    FINAL = "final"
    DELIVERED = "delivered"
    RECEIPTED = "receipted"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    QC_REJECTED = "qc_rejected"


class CaseMove(StrEnum):
    ENQUEUE = "enqueue"
    TAKE = "take"
    OPEN = "open"
    RELEASE = "release"
    LAPSE = "lapse"
    SIGN = "sign"
    REJECT_QUALITY = "reject_quality"
    CANCEL = "cancel"
    DELIVER = "deliver"
    RECEIPT = "receipt"
    CLOSE = "close"
    REOPEN = "reopen"
    WITHDRAW = "withdraw"
    WITHDRAW_WRONG_PATIENT = "withdraw_wrong_patient"


#: A report is in force.
FINISHED = frozenset({CaseState.FINAL, CaseState.DELIVERED, CaseState.RECEIPTED, CaseState.CLOSED})
#: Somebody holds a lease.
HELD = frozenset({CaseState.LEASED, CaseState.READING})
#: Still to be read.
OPEN_STATES = frozenset({CaseState.TRIAGED, CaseState.QUEUED, CaseState.LEASED, CaseState.READING})
#: No move leads on but a withdrawal's or a reopening's.
ENDED = frozenset({CaseState.CLOSED, CaseState.CANCELLED})

_C, _M = CaseState, CaseMove
CASE: dict[tuple[CaseState, CaseMove], CaseState] = {
    (_C.TRIAGED, _M.ENQUEUE): _C.QUEUED,
    (_C.QUEUED, _M.TAKE): _C.LEASED,
    (_C.QUEUED, _M.CANCEL): _C.CANCELLED,
    (_C.LEASED, _M.OPEN): _C.READING,
    (_C.LEASED, _M.RELEASE): _C.QUEUED,
    (_C.LEASED, _M.LAPSE): _C.QUEUED,
    (_C.READING, _M.RELEASE): _C.QUEUED,
    (_C.READING, _M.LAPSE): _C.QUEUED,
    (_C.READING, _M.SIGN): _C.FINAL,
    (_C.READING, _M.REJECT_QUALITY): _C.QC_REJECTED,
    (_C.QC_REJECTED, _M.CANCEL): _C.CANCELLED,
    (_C.FINAL, _M.DELIVER): _C.DELIVERED,
    (_C.DELIVERED, _M.RECEIPT): _C.RECEIPTED,
    (_C.RECEIPTED, _M.CLOSE): _C.CLOSED,
    **{(state, _M.REOPEN): _C.LEASED for state in FINISHED},
    # A reopened case (queued again, leased, reading) still has a report in force, which can be withdrawn.
    **{(state, _M.WITHDRAW): _C.QUEUED for state in FINISHED | HELD | {_C.QUEUED}},
    **{(state, _M.WITHDRAW_WRONG_PATIENT): _C.CANCELLED for state in FINISHED | HELD | {_C.QUEUED}},
}


class ReportState(StrEnum):
    DRAFT = "draft"
    FINAL = "final"
    AMENDED = "amended"  # a later version replaces it; still readable
    WITHDRAWN = "withdrawn"


class ReportMove(StrEnum):
    SIGN = "sign"
    REPLACE = "replace"
    WITHDRAW = "withdraw"


REPORT: dict[tuple[ReportState, ReportMove], ReportState] = {
    (ReportState.DRAFT, ReportMove.SIGN): ReportState.FINAL,
    (ReportState.FINAL, ReportMove.REPLACE): ReportState.AMENDED,
    (ReportState.FINAL, ReportMove.WITHDRAW): ReportState.WITHDRAWN,
    (ReportState.AMENDED, ReportMove.WITHDRAW): ReportState.WITHDRAWN,
}


class AlertState(StrEnum):
    RAISED = "raised"
    NOTIFIED = "notified"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    REFUTED = "refuted"


class AlertMove(StrEnum):
    NOTIFY = "notify"
    ACKNOWLEDGE = "acknowledge"
    CLOSE = "close"
    REFUTE = "refute"


ALERT: dict[tuple[AlertState, AlertMove], AlertState] = {
    (AlertState.RAISED, AlertMove.NOTIFY): AlertState.NOTIFIED,
    (AlertState.NOTIFIED, AlertMove.NOTIFY): AlertState.NOTIFIED,
    (AlertState.RAISED, AlertMove.ACKNOWLEDGE): AlertState.ACKNOWLEDGED,
    (AlertState.NOTIFIED, AlertMove.ACKNOWLEDGE): AlertState.ACKNOWLEDGED,
    (AlertState.ACKNOWLEDGED, AlertMove.CLOSE): AlertState.CLOSED,
    (AlertState.RAISED, AlertMove.REFUTE): AlertState.REFUTED,
    (AlertState.NOTIFIED, AlertMove.REFUTE): AlertState.REFUTED,
    (AlertState.ACKNOWLEDGED, AlertMove.REFUTE): AlertState.REFUTED,
}
#: Nobody has answered yet: the ladder goes on.
ALERT_CALLING = frozenset({AlertState.RAISED, AlertState.NOTIFIED})
ALERT_OPEN = ALERT_CALLING | {AlertState.ACKNOWLEDGED}


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"  # the receiver has acknowledged it, or it can be seen on the clinic's page
    OPENED = "opened"
    FAILED = "failed"  # tried again when its wait is over
    GIVEN_UP = "given_up"  # a dispatcher phones
    RECALLED = "recalled"


class DeliveryMove(StrEnum):
    START = "start"
    ACKNOWLEDGE = "acknowledge"
    FAIL = "fail"
    GIVE_UP = "give_up"
    OPEN = "open"
    RECALL = "recall"


_D, _N = DeliveryState, DeliveryMove
DELIVERY: dict[tuple[DeliveryState, DeliveryMove], DeliveryState] = {
    (_D.QUEUED, _N.START): _D.SENDING,
    (_D.FAILED, _N.START): _D.SENDING,
    (_D.SENDING, _N.START): _D.SENDING,  # the process that sent it died before it could say what came of it
    (_D.QUEUED, _N.ACKNOWLEDGE): _D.SENT,  # the clinic's page: there as soon as it is sealed
    (_D.SENDING, _N.ACKNOWLEDGE): _D.SENT,
    (_D.GIVEN_UP, _N.ACKNOWLEDGE): _D.SENT,  # handed over by phone
    (_D.SENDING, _N.FAIL): _D.FAILED,
    (_D.SENDING, _N.GIVE_UP): _D.GIVEN_UP,
    (_D.SENT, _N.OPEN): _D.OPENED,
    (_D.OPENED, _N.OPEN): _D.OPENED,
    **{(state, _N.RECALL): _D.RECALLED for state in _D if state is not _D.RECALLED},
}
#: The receiver has it.
DELIVERED_STATES = frozenset({DeliveryState.SENT, DeliveryState.OPENED})

STATE_NAMES: dict[StrEnum, Text] = {
    _C.TRIAGED: Text("已分诊", "triaged"),
    _C.QUEUED: Text("待领", "waiting"),
    _C.LEASED: Text("已领取", "taken"),
    _C.READING: Text("阅读中", "being read"),
    _C.FINAL: Text("已签发", "signed"),
    _C.DELIVERED: Text("已送达", "delivered"),
    _C.RECEIPTED: Text("已签收", "received"),
    _C.CLOSED: Text("已完成", "closed"),
    _C.CANCELLED: Text("已取消", "cancelled"),
    _C.QC_REJECTED: Text("质量退回", "rejected for quality"),
    ReportState.DRAFT: Text("草稿", "draft"),
    ReportState.FINAL: Text("有效", "in force"),
    ReportState.AMENDED: Text("已被替换", "replaced"),
    ReportState.WITHDRAWN: Text("已撤回", "withdrawn"),
    AlertState.RAISED: Text("已发起", "raised"),
    AlertState.NOTIFIED: Text("已通知", "notified"),
    AlertState.ACKNOWLEDGED: Text("已确认", "acknowledged"),
    AlertState.CLOSED: Text("已处置", "closed"),
    AlertState.REFUTED: Text("已否定", "refuted"),
    _D.QUEUED: Text("待送", "queued"),
    _D.SENDING: Text("发送中", "sending"),
    _D.SENT: Text("已送达", "sent"),
    _D.OPENED: Text("已打开", "opened"),
    _D.FAILED: Text("未成功，将重试", "failed, tried again"),
    _D.GIVEN_UP: Text("已转电话", "handed to the phone"),
    _D.RECALLED: Text("已收回", "recalled"),
}

MOVE_NAMES: dict[StrEnum, Text] = {
    _M.ENQUEUE: Text("排队", "queue"),
    _M.TAKE: Text("领取", "take"),
    _M.OPEN: Text("打开", "open"),
    _M.RELEASE: Text("放回", "release"),
    _M.LAPSE: Text("到时收回", "lapse"),
    _M.SIGN: Text("签发", "sign"),
    _M.REJECT_QUALITY: Text("退回技师", "reject for quality"),
    _M.CANCEL: Text("取消", "cancel"),
    _M.DELIVER: Text("送达", "deliver"),
    _M.RECEIPT: Text("签收", "receive"),
    _M.CLOSE: Text("完成", "close"),
    _M.REOPEN: Text("修订", "amend"),
    _M.WITHDRAW: Text("撤回", "withdraw"),
    _M.WITHDRAW_WRONG_PATIENT: Text("撤回（患者错误）", "withdraw (wrong patient)"),
    ReportMove.SIGN: Text("签发", "sign"),
    ReportMove.REPLACE: Text("替换", "replace"),
    ReportMove.WITHDRAW: Text("撤回", "withdraw"),
    AlertMove.NOTIFY: Text("通知", "notify"),
    AlertMove.ACKNOWLEDGE: Text("确认并复述", "acknowledge with read-back"),
    AlertMove.CLOSE: Text("登记处置", "record the action"),
    AlertMove.REFUTE: Text("否定", "refute"),
    _N.START: Text("发送", "send"),
    _N.ACKNOWLEDGE: Text("确认收到", "acknowledge"),
    _N.FAIL: Text("登记失败", "record a failure"),
    _N.GIVE_UP: Text("转电话", "hand to the phone"),
    _N.OPEN: Text("打开", "open"),
    _N.RECALL: Text("收回", "recall"),
}


def possible(table: Mapping[tuple[S, M], S], state: S) -> tuple[M, ...]:
    """The moves that the table holds for this state, in its order."""
    return tuple(move for (at, move) in table if at == state)


def wrong_state(state: StrEnum, moves: Iterable[StrEnum], why: Text | None = None) -> WrongState:
    """The failure that names the state and what can be done now."""
    names = [MOVE_NAMES[m] for m in moves]
    zh = "、".join(n.zh for n in names) or "无"
    en = ", ".join(n.en for n in names) or "nothing"
    lead = Text(f"{why.zh}", f"{why.en} ") if why else Text("", "")
    return WrongState(
        f"{lead.zh}现在的状态是“{STATE_NAMES[state].zh}”，可以：{zh}。",
        f'{lead.en}The state is "{STATE_NAMES[state].en}"; possible now: {en}.',
        {"state": state.value, "possible": [m.value for m in moves]},
    )


def advance(table: Mapping[tuple[S, M], S], state: S, move: M) -> S:
    """The state after the move. Raises WrongState when the table does not hold it."""
    after = table.get((state, move))
    if after is None:
        raise wrong_state(state, possible(table, state))
    return after


def fold(table: Mapping[tuple[S, M], S], start: S, moves: Iterable[M]) -> S:
    """The state that these moves lead to. Raises WrongState at the first that the table does not hold."""
    state = start
    for move in moves:
        state = advance(table, state, move)
    return state


def settle(
    state: CaseState, mandatory: Iterable[DeliveryState], page_opened: bool, open_alerts: int
) -> tuple[CaseMove, ...]:
    """The moves a finished case makes by itself: delivered when every mandatory receiver has it, received when a
    person of the clinic opened it, closed when no alert is open.
    """
    receivers = [d for d in mandatory if d is not DeliveryState.RECALLED]
    moves: list[CaseMove] = []
    if state is CaseState.FINAL and receivers and all(d in DELIVERED_STATES for d in receivers):
        moves.append(CaseMove.DELIVER)
        state = CaseState.DELIVERED
    if state is CaseState.DELIVERED and page_opened:
        moves.append(CaseMove.RECEIPT)
        state = CaseState.RECEIPTED
    if state is CaseState.RECEIPTED and not open_alerts:
        moves.append(CaseMove.CLOSE)
    return tuple(moves)
