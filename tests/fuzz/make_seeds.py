#!/usr/bin/env python3
"""Writes a seed corpus and a dictionary for every fuzz target into OUT/<target>/ and OUT/<target>.dict.

Seeds are made, not kept: from the shipped example configuration, the table of keys in docs/configuration.md and the lists below.
"""
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

URLS = [
    "/videos/a.mp4", "/videos/a.mp4?w=640&h=360&q=high", "/v/../a.mp4", "/v/%2e%2e%2fa.mp4", "/v/%252e%252e/a.mp4", "/v/..;x/a.mp4", "/v/%c0%ae%c0%ae/a", "/v\\..\\a",
    "/a.mp4?mode=frame&time=1m30s&format=png&fit=cover&width=100&height=99", "/a.mp4?derivative=mobile&width=10&dpr=2.5", "/a.mp4?mode=audio&f=mp3&speed=1.25",
    "/a.mp4?mode=spritesheet&columns=3&rows=4&interval=500ms&f=vtt", "/a.mp4?crop=10:20:30:40&rotate=-90&fps=29.97&bitrate=2M", "/a.mp4?imwidth=99&im-viewwidth=1&impolicy=x",
    "/a.mp4?q=101&w=-1&h=1e9&time=NaN&filename=a.mp4&debug=view&nocache", "/a.mp4?%77=1%30&w=%zz&%00=1", "//a///b.mp4/?w=10\n/a/b.mp4?width=10",
    "/a%3Aw=640.mp4\n/a.mp4?w=640", "/a.mp4?duration=0.0000001s\n/a.mp4?duration=1h2m3s", "/gr%C3%B6%C3%9Fe.mp4?format=auto&compression=low&audio=false",
]
RANGES = ["bytes=0-", "bytes=0-99", "bytes=-5", "bytes=5-2", "bytes=0-0,2-3,-1", "bytes=0-9,5-20", "bytes= 1-2 , ,3-4", "bytes=99999999999999999999-", "bytes=18446744073709551615-",
          "lines=0-1", "Bytes=1-", "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 40, 2)), "bytes 0-9/100", "bytes */10", "bytes 0-9/*", "bytes 5-4/9", "bytes=0-18446744073709551615"]
HEADS = [
    "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a HTTP/1.0\r\n\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n", "GET http://h/p HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1,3-4\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nIf-None-Match: \"e\", W/\"f\"\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost : a\r\n b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]
PATHS = ["^/v/(.+)$\n${request_path}\nv/a.mp4", "^/v/(.+)$\n$1\nv/../a", "(.*)\\.(.*)\n$1/$2\na.%2e/b", "^/(?P<x>[^/]*)/(.*)$\n${x:..}/$2\n/a/b", "(..)\n.$1./$$\n..%2f", "x|(y)\n$1../a\nx",
         ".\n${0}%2\n2e%2e/", "^/(.*)$\nbase/$1/..\n%5c..%5c", "(.)(.)\n$2$1\n.a", "(.*)\n%252e$1\n%252e%255c", "a\n${request_path}${y}\na\0b"]
MEDIA = ["width=640/videos/a.mp4", "mode=frame,time=1s,width=99/https://example.com/a.mp4", "w=1/http://user@h/a.mp4", "width=9/https%3A%2F%2Fh%3A8443%2Fa%2520b.mp4%3Fq", "fit=cover,/https:/h/x.mp4",
         "width=10/http://[::1]:80/a.mp4?x=y", "a=b,c=d,=,,/x/../y.mp4", "width=1/cdn-cgi/media/width=1/a.mp4", "width=1%0d%0a/a.mp4", "/a.mp4", "width=96/ftp://h/a.mp4", "width=9/https://h./a//b.mp4#f"]
SIGNED = ["\1\7\0" + t for t in ("/a.mp4", "/a.mp4?w=1&w=2", "/a?vr-sig=x&vr-key=k1&vr-exp=1", "/a?%76r-sig=x", "/a?a=%2B+&b=%zz", "/a?b&a&=&&c==", "/a%2Fb?vr-exp=99999999999&vr-key=k2", "/?\xff=\x80")]
AWS = ["bucket/a b.mp4\0prefix\0a/b\0list-type\0" + "2", "\xff/../~\0a\0b\0a\0a", "\0\0\0", "x\0a%20\0b\0a\0c\0A\0d", "a\nb\0x\r\n\0y"]
CONFIGS = ["{}", "", "{\"listen\": \"127.0.0.1:0\",}", "// c\n{/* d */\"http\": {\"maxHeadBytes\": \"1MiB\"}}", "{\"origins\": [{\"name\": \"a\", \"matcher\": \"^/(.+)$\", \"sources\": [{\"type\": \"file\", \"root\": \"/srv\"}]}]}",
           "{\"listen\": 1, \"listen\": 2, \"x\": [}", "{\"admin\": {\"token\": \"${SECRET}\"}, \"transform\": {\"workers\": \"${NUMBER}\"}}", "[1, 2.5e3, true, null, \"\\u00e9\\ud83d\\ude00\"]", "\xef\xbb\xbf{}",
           "{\"a\": \"${MISSING}\", \"b\": \"${EMPTY:-x}\", \"c\": \"$${\"}"]


def main():
    out = pathlib.Path(sys.argv[1])
    configs = CONFIGS + [(ROOT / "config/example.jsonc").read_text()]
    keys = re.findall(r"^\| `([^`]+)` \|([^|]*)\| ([^|]*)\|", (ROOT / "docs/configuration.md").read_text(), re.M)
    for key, kind, default in keys:
        value = default.strip().strip("`") or "0"
        if value in ("required", "none"):
            value = '"x"'
        for name in reversed(key.replace("[]", ".0").split(".")):
            value = f"[{value}]" if name == "0" else "{\"%s\": %s}" % (name.replace("*", "k"), value)
        configs.append(value)
    old = {p.stem: p.read_text() for p in sorted((ROOT / "tests/data/import").glob("*.json*"))}
    theirs = list(old.values()) + [old["v1-worker-config"] + "\0" + old["v1-wrangler"], old["v2-worker-config"] + "\0" + old["v2-wrangler"]]
    seeds = {
        "parse_fuzz": URLS, "range_fuzz": [], "parser_fuzz": [chr(i) + h for h in HEADS for i in (1, 200)], "path_fuzz": PATHS, "jsonc_fuzz": configs, "settings_fuzz": configs,
        "media_url_fuzz": MEDIA, "url_signature_fuzz": SIGNED, "aws_canonical_fuzz": AWS, "import_fuzz": theirs,
    }
    for target, texts in seeds.items():
        folder = out / target
        folder.mkdir(parents=True, exist_ok=True)
        blobs = [t.encode("latin-1", "ignore") for t in texts]
        if target == "range_fuzz":
            blobs = [struct.pack("<QB", size, 0) + r.encode() for r in RANGES for size in (0, 1, 100, 1 << 40)]
        for i, blob in enumerate(blobs):
            (folder / f"seed-{i:03}").write_bytes(blob)
    words = {
        "parse_fuzz": sorted(set(re.findall(r"[A-Za-z-]{2,}=?|%[0-9a-fA-F]{2}", " ".join(URLS)))),
        "range_fuzz": ["bytes=", "bytes ", "*/", "-", ","],
        "parser_fuzz": sorted(set(re.findall(r"[A-Za-z-]{3,}", " ".join(HEADS)))) + ["\\x0d\\x0a"],
        "path_fuzz": ["${request_path}", "$1", "$$", "${x:", "%2e", "%2f", "%5c", "%25", "..", "(.*)", "\\x0a"],
        "media_url_fuzz": sorted(set(re.findall(r"[a-z]{2,}=?|%[0-9A-F]{2}", " ".join(MEDIA)))) + ["http://", "https:/", "@", "[::1]"],
        "url_signature_fuzz": ["vr-sig=", "vr-key=", "vr-exp=", "k1", "k2", "%2B", "&"], "aws_canonical_fuzz": ["X-Amz-Signature", "%2F", "\\x00"],
        "import_fuzz": sorted(set(re.findall(r'"[A-Za-z_0-9-]{2,}"', " ".join(theirs)))) + ["${", "(?<a>", "https://u:p@h/x?k=v", "\\x00"],
        "jsonc_fuzz": ["//", "/*", "*/", "\\\\u", "true", "null"],
        "settings_fuzz": sorted({name for key, _, _ in keys for name in re.split(r"[.\[\]*]+", key) if name}) + ["MiB", "ms", "${SECRET}", "${NUMBER}"],
    }
    for target, entries in words.items():
        (out / f"{target}.dict").write_text("".join('"%s"\n' % w.replace('"', '\\"') for w in entries))


main()
