"""Files that mean harm, or were harmed: bombs, disguises, cuts, and seeded mutations of small valid files. All made here."""
import ctypes
import json
import os
import pathlib
import random
import struct
import subprocess
import zipfile

from . import media

_TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:d=1"]
_TEST = ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=15:d=1"]
_H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "8", "-pix_fmt", "yuv420p", "-threads", "1"]

# Small valid files, one of each container.
VALID = {
    "h-mp4.mp4": _TEST + _TONE + _H264 + ["-c:a", "aac", "-b:a", "48k", "-movflags", "+faststart"],
    "h-frag.mp4": _TEST + _TONE + _H264 + ["-c:a", "aac", "-b:a", "48k", "-movflags", "+frag_keyframe+empty_moov"],
    "h-webm.webm": _TEST + _TONE + ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"],
    "h-mkv.mkv": _TEST + _TONE + _H264 + ["-c:a", "libvorbis"],
    "h-ts.ts": _TEST + _TONE + _H264 + ["-c:a", "mp2"],
    "h-prores.mov": ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=15:d=0.4", "-c:v", "prores_ks", "-profile:v", "0"],
    "h-mjpeg.mov": _TEST + ["-c:v", "mjpeg", "-q:v", "12"],
    "h-avi.avi": _TEST + _TONE + ["-c:v", "mpeg4", "-q:v", "8", "-c:a", "libmp3lame"],
    "h-flv.flv": _TEST + _TONE + ["-c:v", "flv", "-q:v", "8", "-c:a", "libmp3lame"],
    "h-3gp.3gp": _TEST + _TONE + ["-c:v", "h263", "-q:v", "8", "-c:a", "aac"],
    "h-ogv.ogv": _TEST + _TONE + ["-c:v", "libtheora", "-q:v", "4", "-c:a", "libvorbis"],
    "h-gif.gif": ["-f", "lavfi", "-i", "testsrc2=s=96x72:r=10:d=1"],
    "h-hevc.mp4": _TEST + ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=none:frame-threads=1"],
    "h-mpeg.mpeg": _TEST + _TONE + ["-c:v", "mpeg2video", "-q:v", "8", "-r", "25", "-c:a", "mp2", "-f", "mpeg"],
}
media.RECIPES.update(VALID)

# Bombs that an encoder has to make.
media.RECIPES.update({
    "h-big-h264.mp4": ["-f", "lavfi", "-i", "color=black:s=16384x8704:r=1", "-frames:v", "1", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "51",
                       "-pix_fmt", "yuv420p", "-threads", "2"],
    "h-big-vp9.webm": ["-f", "lavfi", "-i", "color=black:s=8192x8192:r=1", "-frames:v", "2", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"],
    "h-big-mjpeg.avi": ["-f", "lavfi", "-i", "color=black:s=16000x16000:r=1", "-frames:v", "1", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"],
    "h-thousand-fps.mp4": ["-f", "lavfi", "-i", "color=black:s=16x16:r=1000", "-t", "60", "-c:v", "libx264", "-preset", "ultrafast", "-g", "9999999", "-pix_fmt", "yuv420p"],
    "h-silence.mp3": ["-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono", "-t", "2", "-c:a", "libmp3lame"],
    "h-picture.jpg": ["-f", "lavfi", "-i", "testsrc2=s=320x180", "-frames:v", "1", "-update", "1"],
    "h-picture.png": ["-f", "lavfi", "-i", "testsrc2=s=320x180", "-frames:v", "1", "-update", "1"],
    "h-encrypted.mp4": _TEST + _TONE + _H264 + ["-c:a", "aac", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb",
                                               "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8"],
    "h-late-index.mp4": _TEST + _TONE + _H264 + ["-c:a", "aac"],
})


def _patched(data, kind, field, value, occurrence=0):
    """`data` with the big-endian bytes `value` at `field` bytes behind the box type `kind`."""
    data = bytearray(data)
    at = -1
    for _ in range(occurrence + 1):
        at = data.index(kind, at + 1)
    data[at + 4 + field:at + 4 + field + len(value)] = value
    return bytes(data)


def _many_tracks(data, count=1500):
    """The index (at the end) with its first track `count` times under other numbers."""
    moov = data.index(b"moov") - 4
    trak = data.index(b"trak", moov) - 4
    size = int.from_bytes(data[trak:trak + 4], "big")
    track = data[trak:trak + size]
    tracks = b"".join(_patched(track, b"tkhd", 12, n.to_bytes(4, "big")) for n in range(1, count + 1))
    old = int.from_bytes(data[moov:moov + 4], "big")
    return data[:moov] + (old + len(tracks) - size).to_bytes(4, "big") + data[moov + 4:trak] + tracks + data[trak + size:]


def _many_programs():
    """A transport stream whose PMT names 250 streams, no two alike."""
    def section(table, extension, body):
        head = bytes([table]) + struct.pack(">H", 0xB000 | (len(body) + 9)) + struct.pack(">H", extension) + b"\xc1\0\0" + body
        crc = 0xFFFFFFFF
        for byte in head:
            crc ^= byte << 24
            for _ in range(8):
                crc = (crc << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1 & 0xFFFFFFFF
        return head + struct.pack(">I", crc)

    def packets(pid, payload):
        out, first, count = b"", True, 0
        payload = b"\0" + payload
        while payload:
            piece, payload = payload[:184], payload[184:]
            out += b"\x47" + struct.pack(">H", pid | (0x4000 if first else 0)) + bytes([0x10 | count]) + piece + b"\xff" * (184 - len(piece))
            first, count = False, (count + 1) % 16
        return out
    streams = b"".join(b"\x1b" + struct.pack(">HH", 0xE000 | (0x100 + i), 0xF000) for i in range(195))
    pat = section(0, 1, struct.pack(">HH", 1, 0xE000 | 0x20))
    pmt = section(2, 1, struct.pack(">HH", 0xE100, 0xF000) + streams)
    body = packets(0, pat) + packets(0x20, pmt)
    for i in range(195):  # a start code each, so that the streams are there
        pes = b"\0\0\1\xe0\0\0\x80\x80\x05\x21\0\1\0\1" + b"\0\0\1\x09\x10" + b"\0\0\1\x67\x42"
        body += packets(0x100 + i, b"")[:4] + (pes + b"\xff" * 184)[:184]
    return body * 4


def dressed(canary_url, canary_file):
    """Playlists and references in disguise: {name: bytes}. None may lead anywhere."""
    m3u8 = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{canary_url}/segment.ts\n#EXTINF:10,\nfile://{canary_file}\n#EXT-X-ENDLIST\n".encode()
    mpd = (f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="video/mp4">'
           f'<Representation id="1" bandwidth="1000"><BaseURL>{canary_url}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>').encode()
    port = canary_url.rsplit(":", 1)[1]
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:rtsp://127.0.0.1:{port}/x\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n".encode()
    concat = f"ffconcat version 1.0\nfile '{canary_file}'\nfile '{canary_url}/b.mp4'\n".encode()
    location = (canary_url + "/reference.mp4").encode() + b"\0"
    url_box = struct.pack(">I4sI", 12 + len(location), b"url ", 0) + location
    plain = media.clip("h-mp4.mp4").read_bytes()
    found = plain.index(b"url \0\0\0\1") - 4  # "the media is in this file": now in another one
    found_drop = plain[:found] + struct.pack(">I4sI", 12, b"url ", 0) + plain[found + 12:]
    rmra = b"rmra" + struct.pack(">I", 8 + 8 + 12 + len(location)) + b"rmda" + struct.pack(">I", 8 + 12 + len(location)) + b"rdrf\0\0\0\0url " + struct.pack(">I", len(location)) + location
    moov = struct.pack(">I", 8 + 4 + len(rmra)) + b"moov" + struct.pack(">I", 4 + len(rmra)) + rmra
    return {
        "playlist.mp4": m3u8, "playlist.ts": m3u8, "playlist.webm": b"\xef\xbb\xbf" + m3u8, "dash.mp4": mpd, "dash.webm": mpd, "session.mp4": sdp, "session.mov": sdp,
        "concat.mp4": concat, "concat.mkv": concat, "rtsp.mp4": f"rtsp://127.0.0.1:{port}/x\n".encode(), "asx.flv": f'<asx version="3"><entry><ref href="{canary_url}/x"/></entry></asx>'.encode(),
        "svg.mp4": f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="99" height="99"><image xlink:href="{canary_url}/i.png"/></svg>'.encode(),
        "subtitles.mp4": f"[Script Info]\n; {canary_url}\n[Events]\nDialogue: 0,0:00:00.00,0:00:09.00,,,0,0,0,,x\n".encode(),
        "lavfi.mp4": b"movie=" + str(canary_file).encode(), "reference-movie.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + moov,
        "elsewhere.mp4": found_drop, "location-box.mp4": plain.replace(b"url \0\0\0\1", b"url \0\0\0\0"), "urls.mov": url_box * 50,
    }


UNSUPPORTED, CORRUPT, LARGE = "SOURCE_UNSUPPORTED", "SOURCE_CORRUPT", "SOURCE_TOO_LARGE"


def bombs(folder):
    """{name: (bytes, codes that may be answered; None among them: media)}."""
    plain = media.clip("h-mp4.mp4").read_bytes()
    late = media.clip("h-late-index.mp4").read_bytes()
    webm = media.clip("h-webm.webm").read_bytes()
    mkv = media.clip("h-mkv.mkv").read_bytes()
    archive = folder / "zip.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("zeros.mp4", b"\0" * 10_000_000)
    files = {
        "empty.mp4": (b"", {CORRUPT}),
        "one-byte.mp4": (b"\0", {CORRUPT, UNSUPPORTED}),
        "page.mp4": (b"<!DOCTYPE html><html><body>404 not found" + b"<p>text</p>" * 500 + b"</body></html>", {UNSUPPORTED}),
        "text.mp4": (b"Lorem ipsum dolor sit amet. " * 2000, {UNSUPPORTED}),
        "json.webm": (b'{"error":"no such object"}', {UNSUPPORTED}),
        "zeros.mp4": (b"\0" * 300_000, {UNSUPPORTED, CORRUPT}),
        "noise.mp4": (random.Random(1).randbytes(300_000), {UNSUPPORTED, CORRUPT}),
        "zip.mp4": (archive.read_bytes(), {UNSUPPORTED}),
        "gzip.mp4": (b"\x1f\x8b\x08\0\0\0\0\0\0\3" + random.Random(2).randbytes(5000), {UNSUPPORTED}),
        "pdf.mp4": (b"%PDF-1.7\n" + b"1 0 obj<</Type/Catalog>>endobj\n" * 300, {UNSUPPORTED}),
        "elf.mp4": (pathlib.Path("/bin/true").read_bytes(), {UNSUPPORTED, CORRUPT}),
        "picture-jpg.mp4": (media.clip("h-picture.jpg").read_bytes(), {UNSUPPORTED}),
        "picture-png.mp4": (media.clip("h-picture.png").read_bytes(), {UNSUPPORTED}),
        "sound.mp4": (media.clip("h-silence.mp3").read_bytes(), {UNSUPPORTED}),
        "encrypted.mp4": (media.clip("h-encrypted.mp4").read_bytes(), {UNSUPPORTED}),
        "webm-called-mp4.mp4": (webm, {None}),
        "mp4-called-webm.webm": (plain, {None}),
        "ts-called-avi.avi": (media.clip("h-ts.ts").read_bytes(), {None}),
        "big-h264.mp4": (media.clip("h-big-h264.mp4").read_bytes(), {LARGE}),
        "big-vp9.webm": (media.clip("h-big-vp9.webm").read_bytes(), {LARGE}),
        "big-mjpeg.avi": (media.clip("h-big-mjpeg.avi").read_bytes(), {LARGE}),
        "big-gif.gif": (b"GIF89a\xff\xff\xff\xff\xf7\0\0" + bytes(768) + b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0\x3b", {LARGE, CORRUPT}),
        "thousand-fps.mp4": (media.clip("h-thousand-fps.mp4").read_bytes(), {None, LARGE}),
        "1500-tracks.mp4": (_many_tracks(late), {UNSUPPORTED, CORRUPT, LARGE}),
        "195-streams.ts": (_many_programs(), {UNSUPPORTED, CORRUPT, LARGE}),
        # 39 hours: each of 15 pictures lasts 9360 s.
        "39-hours.mp4": (_39_hours(plain), {LARGE}),
        "39-hours.mkv": (_mkv_duration(mkv, 39 * 3600 * 1000.0), {LARGE}),
        "endless.webm": (_mkv_duration(webm, float("inf")), {None, LARGE, CORRUPT}),
        "not-a-number.webm": (_mkv_duration(webm, float("nan")), {None, LARGE, CORRUPT}),
        # Tables that promise more than there is.
        "stts-count.mp4": (_patched(plain, b"stts", 8, b"\xff\xff\xff\xff"), {None, CORRUPT, LARGE}),
        "stsz-count.mp4": (_patched(plain, b"stsz", 8, b"\x7f\xff\xff\xff"), {None, CORRUPT, LARGE, UNSUPPORTED}),
        "stsz-constant.mp4": (_patched(plain, b"stsz", 4, b"\0\0\0\1\x7f\xff\xff\xff"), {CORRUPT, LARGE, UNSUPPORTED}),
        "ctts-count.mp4": (plain.replace(b"stss\0\0\0\0\0\0\0", b"stss\0\0\0\0\xff\xff\xff"), {None, CORRUPT, LARGE}),
        "moov-size.mp4": (_box_size(plain, b"moov", 0x7FFFFFFF), {None, CORRUPT, UNSUPPORTED}),
        "moov-in-moov.mp4": (_nested(plain), {CORRUPT, UNSUPPORTED, None}),
        "timescale-zero.mp4": (_patched(plain, b"mdhd", 12, b"\0\0\0\0"), {None, CORRUPT, LARGE}),
        "entry-size.mp4": (_patched(plain, b"avc1", 24, b"\xff\xff\xff\xff"), {None, LARGE, CORRUPT}),
        "ebml-size.mkv": (mkv[:60] + b"\x01\xff\xff\xff\xff\xff\xff\xff" + mkv[68:], {None, CORRUPT, UNSUPPORTED}),
    }
    for n in range(1, 20):
        part = n / 20
        # The index in front: what is there is played, with a warning; too little is corrupt. At the end: without it nothing can be known.
        files[f"cut-front-{n * 5}.mp4"] = (plain[:int(len(plain) * part)], {None, CORRUPT} if n < 19 else {None})
        files[f"cut-end-{n * 5}.mp4"] = (late[:int(len(late) * part)], {CORRUPT})
        files[f"cut-{n * 5}.webm"] = (webm[:int(len(webm) * part)], {None, CORRUPT})
    for n in (1, 4, 8, 16, 40, 100, 300, 700):
        files[f"cut-at-{n}.mp4"] = (plain[:n], {CORRUPT, UNSUPPORTED})
    return files


def _39_hours(data):
    at = data.index(b"stts")
    count = int.from_bytes(data[at + 8:at + 12], "big")
    scale = int.from_bytes(data[data.index(b"mdhd") + 16:data.index(b"mdhd") + 20], "big")
    data = bytearray(data)
    for i in range(count):
        data[at + 16 + 8 * i:at + 20 + 8 * i] = min(9360 * scale, 0x7FFFFFFF // 15).to_bytes(4, "big")
    # The clock is slowed as well, else the sum would not fit: 15 x 0x7fffffff/15 ticks of 1/15000 s are 39 hours.
    where = data.index(b"mdhd") + 16
    data[where:where + 4] = (15000).to_bytes(4, "big")
    head = data.index(b"mvhd") + 20
    data[head:head + 4] = (39 * 3600 * int.from_bytes(data[head - 4:head], "big")).to_bytes(4, "big")
    track = data.index(b"mdhd") + 20
    data[track:track + 4] = (39 * 3600 * 15000).to_bytes(4, "big")
    edits = data.find(b"elst")
    if edits > 0:  # the edit list would show only the first second
        data[edits:edits + 4] = b"free"
    return bytes(data)


def _mkv_duration(data, milliseconds):
    at = data.index(b"\x44\x89")
    size = data[at + 2] & 0x7F
    value = struct.pack(">d" if size == 8 else ">f", milliseconds)
    return data[:at + 3] + value + data[at + 3 + size:]


def _box_size(data, kind, size):
    at = data.index(kind) - 4
    return data[:at] + size.to_bytes(4, "big") + data[at + 4:]


def _nested(data):
    at = data.index(b"moov") - 4
    size = int.from_bytes(data[at:at + 4], "big")
    box = data[at:at + size]
    for _ in range(200):
        box = (len(box) + 8).to_bytes(4, "big") + b"moov" + box
    return data[:at] + box + data[at + size:]


# -- mutations


def mutate(data, seed):
    """One of seven kinds of harm, decided by the seed alone. @return (kind, bytes)"""
    rng = random.Random(seed)
    data = bytearray(data)
    kind = rng.choice(["flips", "flips", "head", "head", "fields", "fields", "cut", "gap", "repeat", "zero"])
    if kind == "flips":
        for _ in range(max(1, int(len(data) * 10 ** rng.uniform(-4.5, -2)))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "head":
        for _ in range(rng.randint(1, 24)):
            data[rng.randrange(min(len(data), rng.choice([64, 512, 2048])))] = rng.randrange(256)
    elif kind == "fields":
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(min(len(data), 4096) - 8)
            data[at:at + rng.choice([1, 2, 4, 8])] = rng.choice([b"\xff", b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\0\1",
                                                                 b"\xff\xff\xff\xff\xff\xff\xff\xff"])
    elif kind == "cut":
        del data[rng.randrange(1, len(data)):]
    elif kind == "gap":
        at = rng.randrange(len(data))
        del data[at:at + rng.randint(1, max(2, len(data) // 4))]
    elif kind == "repeat":
        at, size = rng.randrange(len(data)), rng.randint(1, max(2, len(data) // 8))
        data[at:at] = data[at:at + size] * rng.randint(1, 4)
    else:
        at, size = rng.randrange(len(data)), rng.randint(1, max(2, len(data) // 4))
        data[at:at + size] = bytes(len(data[at:at + size]))
    return kind, bytes(data)


class Watch:
    """Tells whether somebody opened or read a file (inotify)."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._fd >= 0
        assert libc.inotify_add_watch(self._fd, os.fsencode(str(path)), 0x1 | 0x20) >= 0  # IN_ACCESS, IN_OPEN

    def touched(self):
        try:
            return bool(os.read(self._fd, 4096))
        except BlockingIOError:
            return False

    def close(self):
        os.close(self._fd)


def still_media(path):
    """Whether ffprobe can read it (animated WebP, which libav 5.1 cannot: by its head; WebVTT and JSON: as text)."""
    head = path.read_bytes()[:64]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    if path.suffix == ".vtt":
        return head.startswith(b"WEBVTT")
    if path.suffix == ".json":
        return isinstance(json.loads(path.read_bytes()), dict)
    try:
        return bool(media.probe(path)["streams"])
    except AssertionError:
        return False
