"""The sentences that a technician reads when a recording can't be taken in: which file, what was expected, where."""

from __future__ import annotations

from typing import Final

from center.errors import Unreadable

EXPORT_AGAIN: Final = ("请从设备重新导出", "Export it again from the device")
EXPORT_DICOM: Final = ("请从设备导出 DICOM 心电图", "Export a DICOM ECG from the device")
EXPORT_EITHER: Final = (
    "请从设备导出 DICOM 心电图，或把 WFDB 的 .hea 与 .dat 一起上传",
    "Export a DICOM ECG from the device, or send the WFDB .hea with its .dat",
)
SEND_BOTH: Final = ("请把两个文件一起上传", "Send both together")


def unreadable(
    file: str,
    zh: str,
    en: str,
    *,
    todo: tuple[str, str] | None = None,
    expected: str = "",
    at_byte: int | None = None,
    code: str = "",
) -> Unreadable:
    """The failure to raise.  zh, en: what is wrong, going on after the file's name; todo: what to do about it.

    code: of a Reason that says the same, where a read without the recording is to carry it.
    """
    facts: dict[str, object] = {"file": file}
    if code:
        facts["code"] = code
    if expected:
        facts["expected"] = expected
    if at_byte is not None:
        facts["at_byte"] = at_byte
    zh_place, en_place = (f"（第 {at_byte} 字节）", f" (at byte {at_byte})") if at_byte else ("", "")
    zh_todo, en_todo = (todo[0] + "。", f" {todo[1]}.") if todo else ("", "")
    return Unreadable(
        zh=f"文件“{file}”{zh}{zh_place}。{zh_todo}", en=f'The file "{file}" {en}{en_place}.{en_todo}', facts=facts
    )
