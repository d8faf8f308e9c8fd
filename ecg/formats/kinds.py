"""Names of ECG leads among other signals, and what is said of a recording that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from center.reads import Reason
from ecg.heart_leads import names_lead
from ecg.signal import canonical_lead, is_known_lead

_AXES: Final = ("X", "Y", "Z", "ES", "AS", "AI")


def lead_name(label: str) -> str:
    """A signal's label as the name of a lead: ``EKG II`` and ``ECG Lead II`` are II, ``EKG`` is ECG, others stay.

    ``ECG X`` stays as well: without its first word it would be an accelerometer's axis.
    """
    bare = re.sub(r"^(?:EKG|ECG)(?=[\s_-]|$)", "ECG", " ".join(label.split()), flags=re.IGNORECASE)
    name = canonical_lead(re.sub(r"^(?:ECG)[\s_-]+", "", bare))
    return name if is_known_lead(name) and not (name in _AXES and bare.upper().startswith("ECG")) else bare


def is_heart(name: str) -> bool:
    """Whether the name is that of an ECG lead."""
    return names_lead(name)


def left_out(names: Sequence[str], zh: str, en: str) -> tuple[Reason, ...]:
    """What is said of channels that cannot be shown, leads apart from the rest; zh, en: what is wrong with them."""
    leads, others = [n for n in names if names_lead(n)], [n for n in names if not names_lead(n)]
    found = (("lead_left_out", leads, "导联", "lead"), ("channel_left_out", others, "通道", "channel"))
    return tuple(
        Reason(
            code,
            zh=f"{zh_kind} {'、'.join(n[:40] for n in some[:20])} 未读取：{zh}；其余照常读取。",
            en=f"Left out, {en_kind} {', '.join(n[:40] for n in some[:20])}: {en}. The others were read.",
        )
        for code, some, zh_kind, en_kind in found
        if some
    )


def no_lead_named(names: Sequence[str]) -> Reason:
    """The same where no channel is named as a lead and the file's own type doesn't say that it holds an ECG."""
    shown = [name[:40] for name in names[:8]]
    more = ("等", ", ...") if len(names) > len(shown) else ("", "")
    return Reason(
        "not_an_ecg",
        zh=f"没有一个通道名为心电导联（{'、'.join(shown)}{more[0]}）：没有可读的心电图，保留并显示，不作解读。",
        en=f"No channel is named as an ECG lead ({', '.join(shown)}{more[1]}): no ECG to read; kept and shown, "
        "not interpreted.",
    )


def not_an_ecg(kind: str, but: Sequence[str] = ()) -> Reason:
    """What goes with a recording that is kept and shown, but not interpreted.  kind: what it is, such as EEG.

    but: channels in it that call themselves an ECG, and are read.
    """
    if but:
        return Reason(
            "not_an_ecg",
            zh=f"{kind} 不是心电图：保留并显示，只解读其中的 {'、'.join(but)}。",
            en=f"{kind} is not an ECG: kept and shown; only {', '.join(but)} in it is interpreted.",
        )
    return Reason(
        "not_an_ecg",
        zh=f"{kind} 不是心电图：保留并显示，不作解读。",
        en=f"{kind} is not an ECG: kept and shown, not interpreted.",
    )


IN_TURN: Final = Reason(
    "recorded_in_turn",
    zh="各导联先后分组记录，不是同时记录：按原时间显示。",
    en="The leads were recorded in groups, one after another, and not at once; they are shown where they lie in time.",
)
