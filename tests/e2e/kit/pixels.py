"""Pictures and sound as numbers: decoded by ffmpeg, compared here. Needs numpy (tools/install_deps test)."""
import dataclasses
import re
import subprocess

import numpy as np


@dataclasses.dataclass
class Pictures:
    """`times`: seconds as ffmpeg's demuxer gives them (edit lists applied); `pixels`: uint8 [n, height, width, 3], RGB."""
    times: list
    pixels: np.ndarray

    def __len__(self):
        return len(self.times)

    def at(self, seconds):
        """Index of the picture on the screen at that time."""
        return max(0, int(np.searchsorted(np.array(self.times), seconds + 1e-6, side="right")) - 1)


def _run(command):
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode('utf-8', 'replace')[-600:]}"
    return done


def pictures(path, filters="", seek=None, most=None, stream="v:0", options=(), until=None, rgb=True):
    """Decodes and applies `filters` (ffmpeg's own; display rotation is applied as ffmpeg does by itself).

    @param seek  seconds after the file's start; decoding is accurate from there
    @param most  number of pictures at most
    @param until time stamp at which to end
    @param rgb   False: one plane of grey [n, height, width]
    """
    kind = "rgb24" if rgb else "gray"
    chain = ",".join(f for f in [filters, f"scale=flags=bicubic+accurate_rnd+full_chroma_int,format={kind}", "showinfo=checksum=0"] if f)
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "info", "-nostats", "-copyts"]
    if seek is not None:
        command += ["-ss", f"{seek:.6f}"]
    command += list(options) + ["-i", str(path)]
    if until is not None:
        command += ["-to", f"{until:.6f}"]
    command += ["-map", f"0:{stream}", "-an", "-sn", "-dn", "-vf", chain, "-fps_mode", "passthrough", "-enc_time_base", "-1"]
    if most is not None:
        command += ["-frames:v", str(most)]
    done = _run(command + ["-f", "rawvideo", "-pix_fmt", kind, "-"])
    text = done.stderr.decode("utf-8", "replace")
    found = re.findall(r"\] n: *\d+ pts: *\S+ pts_time:(\S+) .*?s:(\d+)x(\d+)", text)
    if not found or not done.stdout:
        raise AssertionError(f"no picture in {path}: {text[-400:]}")
    width, height = int(found[0][1]), int(found[0][2])
    shape = (height, width, 3) if rgb else (height, width)
    size = int(np.prod(shape))
    count = len(done.stdout) // size  # pictures after -frames or -to were seen by showinfo and not written
    assert len(done.stdout) == count * size, f"{path}: pictures change their size"
    times = [float(t) if t != "NOPTS" else float("nan") for t, _, _ in found[:count]]
    return Pictures(times, np.frombuffer(done.stdout, np.uint8).reshape((count,) + shape))


def _blocks(x):
    """Sums over 8x8 windows at steps of 4 of [h, w, c] or [h, w] float32."""
    h, w = x.shape[0] // 4 * 4, x.shape[1] // 4 * 4
    quads = x[:h, :w].reshape((h // 4, 4, w // 4, 4) + x.shape[2:]).sum(axis=(1, 3))
    return quads[:-1, :-1] + quads[1:, :-1] + quads[:-1, 1:] + quads[1:, 1:]


def ssim(a, b):
    """Structural similarity of two pictures of one size; mean over windows and channels, 1 = the same.

    Of two flat windows the formula knows only the ratio of their levels: 0 against 1 of 255 gives .87. Such a pair counts as the same
    when its levels are within one and a half; mean_offset() is what finds a shift of them."""
    assert a.shape == b.shape, f"{a.shape} is not {b.shape}"
    if min(a.shape[:2]) < 8:
        return 1.0 - float(np.abs(a.astype(np.float32) - b).mean()) / 255
    a, b = a.astype(np.float32), b.astype(np.float32)
    n = 64.0
    sa, sb = _blocks(a), _blocks(b)
    saa, sbb, sab = _blocks(a * a), _blocks(b * b), _blocks(a * b)
    va, vb, cov = saa - sa * sa / n, sbb - sb * sb / n, sab - sa * sb / n
    c1, c2 = (0.01 * 255) ** 2 * n * n, (0.03 * 255) ** 2 * (n - 1)
    values = ((2 * sa * sb + c1) * (2 * cov + c2)) / ((sa * sa + sb * sb + c1) * (va + vb + c2))
    is_flat = (va < 2 * n) & (vb < 2 * n) & (np.abs(sa - sb) < 1.5 * n)
    return float(np.where(is_flat, 1.0, values).mean())


def psnr(a, b):
    """dB; 99 for equal pictures."""
    error = float(((a.astype(np.float32) - b.astype(np.float32)) ** 2).mean())
    return 99.0 if error < 1e-9 else min(99.0, 10 * float(np.log10(255 ** 2 / error)))


def mean_offset(a, b):
    """Largest difference of the channels' mean levels (0-255): a wrong range or matrix moves it, compression does not."""
    return float(np.abs(a.reshape(-1, 3).mean(axis=0) - b.reshape(-1, 3).mean(axis=0)).max())


@dataclasses.dataclass
class Likeness:
    count: int
    mean: float
    least: float
    psnr: float
    offset: float

    def __str__(self):
        return f"{self.count} pictures, SSIM {self.mean:.4f} (least {self.least:.4f}), {self.psnr:.1f} dB, level offset {self.offset:.1f}"


def compare(ours, reference, pairs=None):
    """Likeness of picture i of one with picture i of the other (or of the given index pairs)."""
    if pairs is None:
        pairs = [(i, i) for i in range(min(len(ours), len(reference)))]
    assert pairs, "nothing to compare"
    values = [(ssim(ours.pixels[i], reference.pixels[j]), psnr(ours.pixels[i], reference.pixels[j]),
               mean_offset(ours.pixels[i], reference.pixels[j])) for i, j in pairs]
    s, p, o = zip(*values)
    return Likeness(len(pairs), float(np.mean(s)), min(s), float(np.mean(p)), float(np.mean(o)))


def by_time(ours, reference, ours_start=0.0, reference_start=0.0, slack=0.0005):
    """Pairs each of our pictures with the one of the reference that is on the screen at that moment."""
    return [(i, reference.at(t - ours_start + reference_start + slack)) for i, t in enumerate(ours.times)]


@dataclasses.dataclass
class Sound:
    """Mono float32; sample n is heard at start + n / rate seconds."""
    rate: int
    start: float
    samples: np.ndarray

    def cut(self, first, last):
        a, b = round((first - self.start) * self.rate), round((last - self.start) * self.rate)
        return np.concatenate([np.zeros(max(0, min(0, b) - a), np.float32), self.samples[max(0, a):max(0, b)]])


def sound(path, rate=16000, until=None, stream="a:0", seek=None):
    """The decoded sound, mixed to one channel; each block lies where its time stamp says, gaps are silence."""
    chain = f"aresample={rate},aformat=channel_layouts=stereo,pan=mono|c0=.5*c0+.5*c1,ashowinfo"
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "info", "-nostats", "-copyts"]
    if seek is not None:
        command += ["-ss", f"{seek:.6f}"]
    command += ["-i", str(path)]
    if until is not None:
        command += ["-to", f"{until:.6f}"]
    done = _run(command + ["-map", f"0:{stream}", "-vn", "-af", chain, "-f", "f32le", "-"])
    blocks = re.findall(r" n:\d+ pts:\S+ pts_time:(\S+) .*?nb_samples:(\d+) ", done.stderr.decode("utf-8", "replace"))
    samples = np.frombuffer(done.stdout, np.float32)
    assert blocks and len(samples), f"no sound in {path}"
    start, taken, pieces, end = float(blocks[0][0]), 0, [], 0
    for time, count in blocks:
        at = round((float(time) - start) * rate)
        if at > end + rate // 50:  # time stamps jitter: below 20 ms is no gap
            pieces.append(np.zeros(at - end, np.float32))
            end = at
        piece = samples[taken:taken + int(count)]
        taken += int(count)
        pieces.append(piece)
        end += len(piece)
    return Sound(rate, start, np.concatenate(pieces))


def frequency(samples, rate):
    """Hz of the strongest tone, to a fraction of a bin."""
    window = samples * np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(window))
    k = int(spectrum[1:-1].argmax()) + 1
    a, b, c = np.log(spectrum[k - 1:k + 2] + 1e-12)
    return (k + 0.5 * (a - c) / (a - 2 * b + c)) * rate / len(samples)


def match(a, b, rate, most_lag=0.1):
    """@return (correlation -1..1 at the best shift, seconds by which `a` comes later than `b`)"""
    n = min(len(a), len(b))
    assert n > rate // 20, "too little sound to compare"
    a, b = a[:n] - a[:n].mean(), b[:n] - b[:n].mean()
    if float(np.abs(b).max()) < 1e-3 or float(np.abs(a).max()) < 1e-3:  # silence is like silence
        return (1.0 if float(np.abs(a).max()) < 5e-3 and float(np.abs(b).max()) < 5e-3 else 0.0), 0.0
    size = 1 << (2 * n - 1).bit_length()
    c = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    lags = int(most_lag * rate)
    near = np.concatenate([c[-lags:], c[:lags + 1]])
    k = int(near.argmax())
    return float(near[k] / np.sqrt(float((a * a).sum()) * float((b * b).sum()) + 1e-12)), (k - lags) / rate


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


# -- a number in every picture, readable after any encoder

CODE_BITS = 10


def code_source(width, height, rate, seconds, first=0):
    """lavfi source: moving grey detail, with the picture's number in the top row of CODE_BITS black or white blocks and one bright
    block (always white) and one dark block before them, each width/16 wide and height/4 high."""
    bit = f"mod(floor((N+{first})/pow(2,floor(X/(W/16))-2)),2)"
    code = f"if(lt(X,W/16),255,if(lt(X,W/8),0,if(lt(X,W/16*{CODE_BITS + 2}),255*{bit},0)))"
    body = "128+60*sin(X/7+N/5)*cos(Y/9)"
    return f"nullsrc=s={width}x{height}:r={rate}:d={seconds},geq=lum='if(lt(Y,H/4),{code},{body})':cb=128:cr=128,format=yuv420p"


def read_code(picture):
    """The number of code_source() in an RGB or grey picture; None when it cannot be read."""
    grey = picture.mean(axis=2) if picture.ndim == 3 else picture.astype(np.float32)
    height, width = grey.shape
    cell, top, bottom = width / 16, int(height / 4 * 0.25), max(int(height / 4 * 0.75), int(height / 4 * 0.25) + 1)

    def level(k):
        return float(grey[top:bottom, int(cell * (k + 0.3)):max(int(cell * (k + 0.7)), int(cell * (k + 0.3)) + 1)].mean())
    white, black = level(0), level(1)
    if white - black < 80:
        return None
    bits = [(level(k + 2) - black) / (white - black) for k in range(CODE_BITS)]
    if any(0.3 < b < 0.7 for b in bits):
        return None
    return sum(1 << k for k, b in enumerate(bits) if b > 0.5)
