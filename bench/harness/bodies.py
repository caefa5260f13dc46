"""The bodies everybody serves. They are made by our own server, so that its hits are hits of real variants; the others get the same bytes
as files. 1 KiB is a frame (JPEG), 64 KiB a video 640 wide, 1 and 20 MiB are original videos that the padding makes exact."""
import dataclasses
import os
import pathlib
import shutil
import struct
import subprocess
import time

from . import contestants

KIB, MIB = 1 << 10, 1 << 20


@dataclasses.dataclass
class Body:
    name: str      # of the file the others serve
    variant: str   # our URL
    length: int
    path: pathlib.Path


@dataclasses.dataclass
class Bodies:
    media: pathlib.Path   # sources
    store: pathlib.Path   # a store in which all of them are
    files: pathlib.Path   # what the others serve
    by_size: dict         # {nominal size: Body}


def padded(clip, length):
    """An MP4 of exactly that many bytes: a `free` box (ISO/IEC 14496-12 section 8.1.2) at its end, with noise."""
    room = length - len(clip)
    if room < 8:
        raise ValueError(f"a clip of {len(clip)} bytes cannot become {length}")
    return clip + struct.pack(">I4s", room, b"free") + os.urandom(room - 8)


def smallest(lowest, highest, step, size_of, wanted):
    """The smallest parameter (lowest, lowest + step, ...) whose size_of() is at least `wanted`, when sizes grow with it."""
    low, high = 0, (highest - lowest) // step
    while low < high:
        middle = (low + high) // 2
        if size_of(lowest + middle * step) >= wanted:
            high = middle
        else:
            low = middle + 1
    return lowest + low * step


def prepare(program, folder):
    """@param program video-resizer @param folder a new one @return Bodies"""
    folder = pathlib.Path(folder)
    media, files = folder / "media", folder / "files"
    media.mkdir(parents=True)
    files.mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=10:d=1,noise=alls=10", "-c:v", "libx264", "-preset", "veryfast",
                    "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(media / "clip.mp4")], check=True)
    clip = (media / "clip.mp4").read_bytes()
    for length in (MIB, 20 * MIB):
        (media / f"{length}.mp4").write_bytes(padded(clip, length))
    ours = contestants.Ours(program, folder / "maker", media, pinned=False)
    try:
        def length_of(target):
            status, _, body = contestants.fetch(ours.port, target)
            if status != 200:
                raise RuntimeError(f"{target}: {status} {body[:300]}")
            return len(body)

        frame, video = "/videos/clip.mp4?mode=frame&width={}&time=0s", "/videos/clip.mp4?width=640&fit=contain&quality={}"
        targets = {KIB: frame.format(smallest(32, 256, 2, lambda w: length_of(frame.format(w)), KIB)),
                   64 * KIB: video.format(smallest(10, 99, 1, lambda q: length_of(video.format(q)), 64 * KIB)),
                   MIB: f"/videos/{MIB}.mp4?quality=auto", 20 * MIB: f"/videos/{20 * MIB}.mp4?quality=auto"}
        by_size = {}
        for nominal, target in targets.items():
            body = stored(ours.port, target)
            if not nominal <= len(body) < nominal * 1.15:
                raise RuntimeError(f"{target} has {len(body)} bytes, not about {nominal}")
            name = f"{nominal}.{'jpg' if nominal == KIB else 'mp4'}"
            (files / name).write_bytes(body)
            by_size[nominal] = Body(name, target, len(body), files / name)
    finally:
        ours.stop()
    store = folder / "store"
    shutil.move(folder / "maker" / "data", store)
    return Bodies(media, store, files, by_size)


def stored(port, target, seconds=60):
    """Asks until the answer is a hit whose layer is a store, not the production itself. @return its body"""
    end = time.monotonic() + seconds
    while True:
        status, fields, body = contestants.fetch(port, target)
        if status == 200 and fields["X-Cache-Status"] == "HIT":
            return body
        if time.monotonic() > end:
            raise RuntimeError(f"{target} does not become a hit: {status} {dict(fields)}")
        time.sleep(0.05)
