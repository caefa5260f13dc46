"""The clips: each length is encoded once, then only copied into the forms that are compared. Needs ffmpeg.

Encoder settings are those of src/worker (x264 veryfast, one thread, a key frame each 2 s at most, AAC; the fragmented form has the
same flags as src/worker/mp4_output.cc), but for a fixed bit rate, since the pictures are synthetic.
"""
import pathlib
import shutil
import subprocess

import mp4

SECONDS = {"10s": 10, "60s": 60, "10min": 600, "2h": 7200}
PICTURE = {"10s": (640, 360, 30, 700), "60s": (640, 360, 30, 700), "10min": (640, 360, 30, 700), "2h": (256, 144, 24, 80)}
SIDX = {  # form: base file, most references in a sidx (None: room for the planned duration), arguments of mp4.patch
    "sidx-all": ("plain", None, {"count": 2}),
    "sidx-gop": ("plain", None, {"count": 2, "groups": True}),
    "sidx-gop-neg": ("neg", None, {"count": 2, "groups": True}),
    "sidx-gop-neg-1": ("neg", None, {"count": 1, "groups": True}),
    "sidx-64-neg": ("neg", 64, {"count": 2, "groups": True}),
    "sidx-tree": ("plain", None, {"count": 1, "tree": True}),
    "sidx-gop-neg-mfra": ("neg-mfra", None, {"count": 2, "groups": True}),
    "sidx-gop-neg-mehd": ("neg-mehd", None, {"count": 2, "groups": True}),
}
MP4_FORMS = ["faststart", "fragmented", *SIDX, "free", "free-mehd"]
WEBM_LENGTHS = ["60s", "10min"]
WEBM_FORMS = ["cues-front", "cues-reserved", "cues-reserved-1s", "cues-end", "no-cues", "no-cues-1s", "live"]

def fragmented(*more):
    return ["-movflags", "+".join(["+frag_keyframe", "empty_moov", "default_base_moof", *more]), "-frag_duration", "500000"]


FASTSTART = ["-movflags", "+faststart"]
TODAY = fragmented()
BASES = {"plain": fragmented("skip_trailer"), "neg": fragmented("skip_trailer", "negative_cts_offsets"), "neg-mfra": fragmented("negative_cts_offsets"),
         "delayed": fragmented("skip_trailer", "delay_moov"), "delayed-neg": fragmented("skip_trailer", "delay_moov", "negative_cts_offsets")}


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def once(path, make):
    """`make(part)` writes the file under another name; an interrupted run leaves nothing half done."""
    if not path.exists():
        part = path.with_name("part-" + path.name)
        make(part)
        part.rename(path)
    return path


def copy(source, target, *options):
    ffmpeg("-i", source, "-map", "0", "-c", "copy", "-fflags", "+bitexact", "-flags", "+bitexact", *options, target)


def picture(name):
    width, height, rate, _ = PICTURE[name]
    seconds = SECONDS[name]
    noise = "noise=alls=14:allf=t," if seconds < 7200 else ""
    return ["-f", "lavfi", "-i", f"testsrc2=s={width}x{height}:r={rate}:d={seconds},{noise}format=yuv420p",
            "-f", "lavfi", "-i", f"aevalsrc='0.2*sin(440*2*PI*t)+0.05*random(0)':s=48000:d={seconds}"]


def encoded_mp4(name, target):
    _, _, rate, kilobits = PICTURE[name]
    ffmpeg(*picture(name), "-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-b:v", f"{kilobits}k", "-maxrate", f"{kilobits}k",
           "-bufsize", f"{2 * kilobits}k", "-g", 2 * rate, "-profile:v", "high", "-c:a", "aac", "-b:a", "128k" if kilobits > 200 else "32k", "-ac", "2",
           *FASTSTART, target)


def encoded_webm(name, target):
    _, _, rate, kilobits = PICTURE[name]
    ffmpeg(*picture(name), "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-threads", "2", "-row-mt", "1", "-b:v", f"{kilobits}k",
           "-g", 2 * rate, "-c:a", "libopus", "-b:a", "96k", target)


def room(name, count, groups):
    """Bytes to reserve when only the planned duration is known: a fragment each 0.5 s or a key frame each 2 s, and a quarter more."""
    return mp4.room_for(int(SECONDS[name] / (2 if groups else 0.5) * 1.25) + 8, count)


def base_mp4(source, folder, name, base):
    def make(part):
        if not base.endswith("-mehd"):
            return copy(source, part, *BASES[base])
        with open(base_mp4(source, folder, name, base[:-5]), "rb") as file, open(part, "wb") as out:
            out.write(mp4.with_mehd(file.read(), SECONDS[name]))
    return once(folder / f"{name}-{base}.mp4", make)


def form_mp4(source, folder, name, form):
    target = folder / f"{name}-{form}.mp4"
    if form in ("faststart", "fragmented"):
        return once(target, lambda part: copy(source, part, *(FASTSTART if form == "faststart" else TODAY)))

    def make(part):
        base, most, how = SIDX.get(form, ("plain-mehd" if form == "free-mehd" else "plain", None, {"count": 2, "groups": True}))
        space = mp4.room_for(most, how["count"]) if most else room(name, how["count"], how.get("groups"))
        if form == "sidx-tree":
            space += 4096
        at = mp4.reserved(base_mp4(source, folder, name, base), part, space)
        if form in SIDX:
            mp4.patch(part, at, space, **how)
    return once(target, make)


CLUSTERS = ["-cluster_time_limit", "1000", "-cluster_size_limit", "2000000"]  # else 5 s in a file, 1 s in a pipe


def form_webm(source, folder, name, form):
    target = folder / f"{name}-{form}.webm"
    room = ["-reserve_index_space", str(SECONDS[name] * 16 + 1024)]
    options = {"cues-front": ["-cues_to_front", "1"], "cues-reserved": room, "cues-reserved-1s": room + CLUSTERS, "cues-end": [],
               "no-cues": [], "no-cues-1s": CLUSTERS, "live": ["-live", "1"]}[form]

    def make(part):
        if form.startswith("cues"):
            copy(source, part, *options)
            return
        with open(part, "wb") as out:  # a pipe: nothing can be patched afterwards
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", source, "-map", "0", "-c", "copy", "-fflags", "+bitexact", *options,
                            "-f", "webm", "-"], stdout=out, check=True)
    return once(target, make)


def make(folder, lengths):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in lengths:
        source = once(folder / f"{name}.mp4", lambda part: encoded_mp4(name, part))
        for form in MP4_FORMS:
            form_mp4(source, folder, name, form)
        for base in BASES:
            base_mp4(source, folder, name, base)
        if name in WEBM_LENGTHS:
            source = once(folder / f"{name}.webm", lambda part: encoded_webm(name, part))
            for form in WEBM_FORMS:
                form_webm(source, folder, name, form)


def flash(folder):
    """White pictures and a tone from 1.5 s on, in the forms whose start differs. @return [(form, path)]"""
    source = once(folder / "flash.mp4", lambda part: ffmpeg(
        "-f", "lavfi", "-i", "color=black:s=320x180:r=30:d=3,drawbox=c=white:t=fill:enable='gte(t,1.5)',format=yuv420p",
        "-f", "lavfi", "-i", "aevalsrc='if(gte(t,1.5),0.8*sin(880*2*PI*t),0)':s=48000:d=3",
        "-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-ac", "2", *FASTSTART, part))
    forms = {"faststart": FASTSTART, "fragmented": TODAY, **BASES}
    return [(form, once(folder / f"flash-{form}.mp4", lambda part: copy(source, part, *how))) for form, how in forms.items()]


if __name__ == "__main__":
    import sys
    assert shutil.which("ffmpeg")
    make(sys.argv[1], sys.argv[2:] or list(SECONDS))
