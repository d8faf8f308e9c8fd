"""Makers' ECG files as XML and text, written from a recording: valid, or with one thing changed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecg.signal import EcgSignal

Counts = npt.NDArray[np.int64]


def counts_of(signal: EcgSignal, step_mv: float) -> Counts:
    """The recording in whole steps [lead, sample]."""
    return np.rint(signal.samples / step_mv).astype(np.int64)


def _base64(row: Counts, width: int = 0) -> str:
    text = base64.b64encode(row.astype("<i2").tobytes()).decode("ascii")
    return "\n".join(text[n : n + width] for n in range(0, len(text), width)) if width else text


# ---- GE MUSE ----


def make_muse(
    signal: EcgSignal,
    step_uv: float = 4.88,
    *,
    exponent: int = 0,
    encoding: str = "ISO-8859-1",
    doctype: str = '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">',
    demographics: str = "<PatientDemographics><PatientID>P1</PatientID><PatientAge>51</PatientAge>"
    "<AgeUnits>YEARS</AgeUnits><DateofBirth>01-23-1965</DateofBirth><Gender>FEMALE</Gender>"
    "<PatientLastName>Zhang</PatientLastName><PatientFirstName>San</PatientFirstName></PatientDemographics>",
    extra: str = "",
    median: bool = True,
    crc: bool = True,
) -> bytes:
    """A RestingECG file: demographics, a median beat (of nothing but 1), and the recording as Rhythm."""
    counts = counts_of(signal, step_uv * 1e-3)
    base = round(signal.fs_hz / 10**exponent)
    parts = [f'<?xml version="1.0" encoding="{encoding}"?>\n{doctype}\n<RestingECG>', demographics]
    parts.append(
        "<TestDemographics><DataType>RESTING</DataType><AcquisitionDevice>MAC55</AcquisitionDevice>"
        "<AcquisitionDate>12-31-2020</AcquisitionDate><AcquisitionTime>23:59:58</AcquisitionTime></TestDemographics>"
    )
    parts.append(extra)
    for kind, rows in (("Median", np.ones((len(counts), 60), np.int64)), ("Rhythm", counts)):
        if kind == "Median" and not median:
            continue
        parts.append(
            f"<Waveform><WaveformType>{kind}</WaveformType><NumberofLeads>{len(rows)}</NumberofLeads>"
            f"<SampleBase>{base}</SampleBase><SampleExponent>{exponent}</SampleExponent>"
            "<HighPassFilter>5</HighPassFilter><LowPassFilter>150</LowPassFilter><ACFilter>NONE</ACFilter>"
        )
        parts += [_muse_lead(name, row, step_uv, crc) for name, row in zip(signal.leads, rows, strict=True)]
        parts.append("</Waveform>")
    parts.append("</RestingECG>\n")
    return "\n".join(parts).encode(encoding)


def _muse_lead(name: str, row: Counts, step_uv: float, crc: bool) -> str:
    raw = row.astype("<i2").tobytes()
    told = f"<LeadDataCRC32>{zlib.crc32(raw)}</LeadDataCRC32>" if crc else ""
    return (
        f"<LeadData><LeadByteCountTotal>{len(raw)}</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>"
        f"<LeadSampleCountTotal>{row.size}</LeadSampleCountTotal>"
        f"<LeadAmplitudeUnitsPerBit>{step_uv}</LeadAmplitudeUnitsPerBit>"
        f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{name}</LeadID><LeadSampleSize>2</LeadSampleSize>"
        f"<LeadOff>FALSE</LeadOff>{told}<WaveFormData>\n{_base64(row, 76)}\n</WaveFormData></LeadData>"
    )


# ---- Philips ----


def pack_xli(rows: Sequence[Counts]) -> bytes:
    """Channels packed as Philips does: second differences, high bytes then low bytes, LZW with ten-bit codes."""
    out = bytearray()
    for row in rows:
        second = 2 * row[1:-1] - row[:-2] - row[2:]  # what is subtracted from the straight line, at each sample from 2
        stored = np.concatenate([row[:2], second[1:] + 64, [64]]).astype("<i2").view("<u2")
        raw = (stored >> 8).astype(np.uint8).tobytes() + (stored & 0xFF).astype(np.uint8).tobytes()
        body = _lzw(raw)
        out += len(body).to_bytes(4, "little") + (1).to_bytes(2, "little")
        out += int(second[0]).to_bytes(2, "little", signed=True) + body
    return bytes(out)


def _lzw(raw: bytes) -> bytes:
    table = {bytes([n]): n for n in range(256)}
    codes: list[int] = []
    word = b""
    for n in range(len(raw)):
        longer = word + raw[n : n + 1]
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        if len(table) < 1023:
            table[longer] = len(table)
        word = raw[n : n + 1]
    codes += [table[word], 1023]
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _halved(twice: Counts) -> Counts:
    return np.sign(twice) * (np.abs(twice) // 2)


def make_philips(
    signal: EcgSignal, step_uv: float = 5.0, *, version: str = "1.04", pulse: bool = True, encoding: str = "utf-16"
) -> bytes:
    """A restingecgdata file of twelve leads, with the calibration pulse at its end."""
    rows = counts_of(signal, step_uv * 1e-3)
    fs = round(signal.fs_hz)
    if pulse:
        tail = np.zeros((len(rows), fs * 2 // 5), np.int64)
        tail[:, fs // 10 : fs // 10 + fs // 5] = round(1000 / step_uv)
        rows = np.concatenate([rows, tail], axis=1)
    i, ii, iii, avr, avl, avf = rows[:6]
    stored = [i, ii, ii - i - iii, -_halved(i + ii) - avr, _halved(i - iii) - avl, _halved(ii + iii) - avf, *rows[6:]]
    text = base64.b64encode(pack_xli([*stored, *([np.zeros_like(i)] * 4)])).decode("ascii")
    ms = round(rows.shape[1] * 1000 / fs)
    if version == "1.03":
        told = f'compressflag="True" compressmethod="XLI" dataencoding="Base64" durationperchannel="{ms}"'
    else:
        told = (
            f'dataencoding="Base64" compression="XLI" leadlabels="{" ".join(signal.leads)}" durationperchannel="{ms}" '
            f'samplespersecond="{fs}" resolution="{step_uv:g}" hipass="0.05" lowpass="150"'
        )
    body = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<restingecgdata xmlns="http://www3.medical.philips.com">'
        f"<documentinfo><documentversion>{version}</documentversion></documentinfo>"
        '<dataacquisition date="2020-05-18" time="15:48:11"><machine>PageWriter</machine><signalcharacteristics>'
        f"<samplingrate>{fs}</samplingrate><signalresolution>{step_uv:g}</signalresolution></signalcharacteristics>"
        "</dataacquisition><patient><generalpatientdata><patientid>7</patientid><name><lastname>Li</lastname>"
        "<firstname>Si</firstname></name><age><years>44</years></age><sex>Male</sex></generalpatientdata></patient>"
        "<interpretations><interpretation><globalmeasurements><heartrate>64</heartrate></globalmeasurements>"
        '<severity code="ON">- OTHERWISE NORMAL ECG -</severity><statement><leftstatement>Sinus rhythm</leftstatement>'
        "<rightstatement>normal P axis</rightstatement></statement></interpretation></interpretations>"
        f"<waveforms><parsedwaveforms {told}>{text}</parsedwaveforms></waveforms></restingecgdata>"
    )
    return body.encode(encoding)


# ---- others ----


def make_mortara(signal: EcgSignal, per_mv: int = 400) -> bytes:
    """An ELI file."""
    channels = "".join(
        f'<CHANNEL OFFSET="0" BITS="16" FORMAT="SIGNED" UNITS_PER_MV="{per_mv}" DURATION="{row.size}" '
        f'SAMPLE_FREQ="{signal.fs_hz:g}" NAME="{name}" ENCODING="BASE64" DATA="{_base64(row)}"/>'
        for name, row in zip(signal.leads, counts_of(signal, 1 / per_mv), strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ECG ACQUISITION_TIME="20210203040506" AGE="60" AGE_UNITS="YEARS" '
        'VENT_RATE="75" AVERAGE_RR="800"><SUBJECT LAST_NAME="Wang" FIRST_NAME="Wu" ID="W1" GENDER="Male" DOB="19610203"/>'
        '<SOURCE MANUFACTURER="Mortara Instrument" MODEL="ELI 280" LOW_PASS_FILTER="150"/>'
        '<AUTOMATIC_INTERPRETATION><STATEMENT TEXT="Sinus rhythm" REASON=""/></AUTOMATIC_INTERPRETATION>'
        f"{channels}</ECG>"
    ).encode()


def make_cardiosoft(signal: EcgSignal, step_uv: int = 5) -> bytes:
    """A CardiologyXML file."""
    leads = "".join(
        f'<WaveformData lead="{name}">{",".join(map(str, row.tolist()))}</WaveformData>'
        for name, row in zip(signal.leads, counts_of(signal, step_uv * 1e-3), strict=True)
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?><CardiologyXML><PatientInfo><PID>C1</PID><Gender>FEMALE</Gender>'
        f'</PatientInfo><StripData><NumberOfLeads>{len(signal.leads)}</NumberOfLeads><SampleRate units="Hz">'
        f'{signal.fs_hz:g}</SampleRate><Resolution units="uVperLsb">{step_uv}</Resolution>{leads}</StripData>'
        "</CardiologyXML>"
    ).encode("latin-1")


def make_ecgml(signal: EcgSignal) -> bytes:
    """An ecgML file, its samples in millivolts."""
    leads = "".join(
        f"<RecordData><Channel>{name}</Channel><Waveforms><XValues><SampleRate>{signal.fs_hz:g}</SampleRate></XValues>"
        f'<YValues unit="mV"><RealValue><Data>{" ".join(f"{v:.4f}" for v in row.tolist())}</Data></RealValue></YValues>'
        "</Waveforms></RecordData>"
        for name, row in zip(signal.leads, signal.samples, strict=True)
    )
    return f"<ecgML><Record>{leads}</Record></ecgML>".encode()


def make_chinese(signal: EcgSignal, maker: str = "理邦", *, declared: str = "GB18030", step_uv: float = 2.5) -> bytes:
    """XML with Chinese names, in GB 18030, declared or not (``declared=""``)."""
    leads = "".join(
        f'<导联 名称="{name}" name="{name}"><数据>{" ".join(map(str, row.tolist()))}</数据></导联>'
        for name, row in zip(signal.leads, counts_of(signal, step_uv * 1e-3), strict=True)
    )
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else "<?xml version='1.0'?>"
    return (
        f"{head}<心电图><厂家>{maker}</厂家><患者><病历号>B9</病历号><姓名>张三丰</姓名><性别>男</性别><年龄>51岁</年龄></患者>"
        f"<检查时间>2021-02-03 04:05:06</检查时间><采样率>{signal.fs_hz:g}</采样率><分辨率 单位='uV'>{step_uv:g}uV</分辨率>"
        f"<心率>72</心率><诊断>窦性心律\n正常心电图</诊断>{leads}</心电图>"
    ).encode("gb18030")


def make_attributes(signal: EcgSignal, maker: str = "Biocare", per_mv: int = 200) -> bytes:
    """XML with a lead an element, its samples in Base64, rate and counts a millivolt as attributes above."""
    leads = "".join(
        f'<Channel LeadName="{name}" WaveData="{_base64(row)}"/>'
        for name, row in zip(signal.leads, counts_of(signal, 1 / per_mv), strict=True)
    )
    return (
        f'<EcgReport Manufacturer="{maker}"><Patient PatientID="D4" Sex="F"/><Wave SampleRate="{signal.fs_hz:g}Hz" '
        f'UnitsPerMv="{per_mv}">{leads}</Wave></EcgReport>'
    ).encode()


def make_block(signal: EcgSignal, maker: str = "纳龙", step_uv: int = 5) -> bytes:
    """XML with all samples in one block, turn by turn, and the order of its leads."""
    counts = counts_of(signal, step_uv * 1e-3).T.reshape(-1)
    return (
        f'<?xml version="1.0" encoding="utf-8"?><ECGDATA><MAKER>{maker}</MAKER><Fs>{signal.fs_hz:g}</Fs>'
        f"<uVPerBit>{step_uv}</uVPerBit><LeadOrder>{','.join(signal.leads)}</LeadOrder>"
        f"<Data>{','.join(map(str, counts.tolist()))}</Data></ECGDATA>"
    ).encode()


def make_elements(signal: EcgSignal, maker: str = "Contec") -> bytes:
    """XML where each lead is an element of its own name, in microvolts, beside an averaged beat."""
    rows = "".join(
        f"<{name}>{' '.join(map(str, row.tolist()))}</{name}>"
        for name, row in zip(signal.leads, counts_of(signal, 1e-3), strict=True)
    )
    template = "".join(f"<{name}>{' '.join(['7'] * 80)}</{name}>" for name in signal.leads)
    return (
        f"<Root><Device>{maker} 300</Device><SamplingRate>{signal.fs_hz:g}</SamplingRate><Unit>uV</Unit>"
        f"<Template>{template}</Template><Rhythm>{rows}</Rhythm></Root>"
    ).encode()
