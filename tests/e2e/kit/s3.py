"""S3 for tests: a strict small server in a thread, a client for a real one, and SigV4 written for them alone.

The signature code here shares nothing with the program's: it is what the program is measured by. `S3Server` refuses what AWS
refuses: unsigned x-amz-* fields, a wrong region, a skewed clock, expired or tampered URLs, paths that were not encoded strictly.
"""
import datetime
import email.utils
import hashlib
import hmac
import http.client
import os
import re
import threading
import urllib.parse

from .listening import Listening

EMPTY = hashlib.sha256(b"").hexdigest()
SAFE = "-_.~"


def encoded(text, safe=""):
    return urllib.parse.quote(text if isinstance(text, bytes) else text.encode(), safe=SAFE + safe)


def signature(secret, region, when, method, path, query, fields, payload, service="s3"):
    """@param path encoded; query: list of decoded pairs; fields: [(lower-case name, value)], all that are signed"""
    pairs = sorted((encoded(k), encoded(v)) for k, v in query)
    names = ";".join(sorted(n for n, _ in fields))
    lines = [method, path, "&".join(f"{k}={v}" for k, v in pairs)]
    lines += [f"{n}:{' '.join(v.split())}" for n, v in sorted(fields)] + ["", names, payload]
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for step in (when[:8], region, service, "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Bucket:
    """What both servers have in common: an endpoint, a bucket, keys, and how a configuration names them."""

    bucket = "videos"
    region = "us-east-1"
    access, secret = "AKIATESTTESTTEST0001", "s3cr3t/Key+With/Specials0123456789abcdef"

    def settings(self, **more):
        """An entry of `buckets`; the secret comes by the environment, see environment(). None takes a member away."""
        entry = {"endpoint": self.endpoint, "bucket": self.bucket, "accessKey": self.access, "secretKey": "${S3_SECRET}", **more}
        return {k: v for k, v in entry.items() if v is not None}

    def environment(self):
        return {"S3_SECRET": self.secret}


class Refused(Exception):
    def __init__(self, status, code, more="", fields=()):
        self.status, self.code, self.more, self.fields = status, code, more, fields


class S3Server(Bucket):
    """`objects`: key -> (bytes, content type, etag, seconds of last change). All switches may be turned while it runs."""

    def __init__(self):
        self.objects = {}
        self.token = None          # a session token that every request must carry
        self.public = False        # unsigned requests may read
        self.may_list = True       # False: a missing key is AccessDenied, as AWS has it
        self.clock_offset = 0      # seconds that our clock is ahead
        self.refuse = []           # answers for the next requests: None or (status, code), first out
        self.redirect = None       # Location of every answer
        self.fields = []           # more fields of good answers: (name, value)
        self.requests = []         # (method, raw target, lower-case fields)
        self.sent = []             # (key, first, last)
        self._lock = threading.Lock()
        self._listening = Listening(self._answer, ("GET", "HEAD", "PUT"))
        self.port = self._listening.port
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def close(self):
        self._listening.close()

    def put(self, key, data, content_type="video/mp4"):
        data = data if isinstance(data, bytes) else data.read_bytes()
        etag = '"%s"' % hashlib.md5(data).hexdigest()
        self.objects[key] = (data, content_type, etag, int(datetime.datetime.now().timestamp()))

    def bytes_sent(self, key):
        with self._lock:
            return sum(last - first + 1 for k, first, last in self.sent if k == key)

    def targets(self):
        with self._lock:
            return [target for _, target, _ in self.requests]

    # -- the protocol

    def _answer(self, h, method):
        fields = {}
        for name, value in h.headers.items():
            fields[name.lower()] = fields[name.lower()] + "," + value if name.lower() in fields else value
        with self._lock:
            self.requests.append((h.command, h.path, fields))
            planned = self.refuse.pop(0) if self.refuse else None
        try:
            if planned:
                raise Refused(*planned)
            if self.redirect:
                raise Refused(307, "TemporaryRedirect", fields=[("Location", self.redirect), ("x-amz-bucket-region", "eu-north-1")])
            key = self._key(h, fields)
            self._object(h, fields, key)
        except Refused as e:
            body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{e.code}</Code><Message>no</Message>{e.more}'
                    f"<AWSAccessKeyId>{self.access}</AWSAccessKeyId><RequestId>0</RequestId></Error>").encode()
            h.send_response(e.status)
            for name, value in e.fields:
                h.send_header(name, value)
            h.send_header("Content-Type", "application/xml")
            h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            if h.command != "HEAD":
                h.wfile.write(body)
        except OSError:
            h.close_connection = True

    def _key(self, h, fields):
        path, _, query = h.path.partition("?")
        decoded = urllib.parse.unquote_to_bytes(path)
        if encoded(decoded, "/") != path:
            raise Refused(400, "InvalidURI")
        self._check(h.command, path, urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)), fields)
        host = fields["host"].rsplit(":", 1)[0]
        parts = decoded.decode()[1:]
        if host == self.bucket + ".localhost":
            bucket, key = self.bucket, parts
        else:
            bucket, _, key = parts.partition("/")
        if bucket != self.bucket:
            raise Refused(404, "NoSuchBucket")
        if not key:
            raise Refused(500, "TestMustNotList")
        return key

    def _check(self, method, path, query, fields):
        plain = dict(query)
        proof = fields.get("authorization")
        if "X-Amz-Signature" in plain:
            if proof:
                raise Refused(400, "InvalidArgument")
            when, credential, names = plain["X-Amz-Date"], plain["X-Amz-Credential"], plain["X-Amz-SignedHeaders"]
            given, token, payload = plain["X-Amz-Signature"], plain.get("X-Amz-Security-Token"), "UNSIGNED-PAYLOAD"
            query = [(k, v) for k, v in query if k != "X-Amz-Signature"]
            if plain["X-Amz-Algorithm"] != "AWS4-HMAC-SHA256" or not 1 <= int(plain["X-Amz-Expires"]) <= 604800:
                raise Refused(400, "AuthorizationQueryParametersError")
        elif proof:
            m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", proof)
            if not m or "x-amz-date" not in fields or "x-amz-content-sha256" not in fields:
                raise Refused(400, "AuthorizationHeaderMalformed")
            (credential, names, given), when = m.groups(), fields["x-amz-date"]
            token, payload = fields.get("x-amz-security-token"), fields["x-amz-content-sha256"]
            if payload not in (EMPTY, "UNSIGNED-PAYLOAD"):
                raise Refused(400, "XAmzContentSHA256Mismatch")
        elif self.public:
            return
        else:
            raise Refused(403, "AccessDenied")
        signed = names.split(";")
        if "host" not in signed or any(n.startswith("x-amz-") and n not in signed for n in fields) or signed != sorted(signed):
            raise Refused(403, "AccessDenied", "<HeadersNotSigned>yes</HeadersNotSigned>")
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock_offset)
        age = (now - datetime.datetime.strptime(when + "+0000", "%Y%m%dT%H%M%SZ%z")).total_seconds()
        if "X-Amz-Signature" in plain and age > int(plain["X-Amz-Expires"]):
            raise Refused(403, "AccessDenied", "<Expires>passed</Expires>")
        if age < -900 or ("X-Amz-Signature" not in plain and age > 900):
            raise Refused(403, "RequestTimeTooSkewed")
        access, day, region, service, end = credential.split("/")
        if (day, service, end) != (when[:8], "s3", "aws4_request") or region != self.region:
            raise Refused(400, "AuthorizationHeaderMalformed", f"<Region>{self.region}</Region>")
        if access != self.access:
            raise Refused(403, "InvalidAccessKeyId")
        if token != self.token:
            raise Refused(400 if token else 403, "InvalidToken" if token else "InvalidAccessKeyId")
        wanted = signature(self.secret, region, when, method, path, query, [(n, fields.get(n, "")) for n in signed], payload)
        if not hmac.compare_digest(wanted, given):
            raise Refused(403, "SignatureDoesNotMatch", f"<StringToSign>{self.secret}</StringToSign>")

    def _object(self, h, fields, key):
        if key not in self.objects:
            raise Refused(404, "NoSuchKey") if self.may_list else Refused(403, "AccessDenied")
        data, content_type, etag, changed = self.objects[key]
        common = [("ETag", etag), ("Last-Modified", email.utils.formatdate(changed, usegmt=True)), ("x-amz-request-id", "0"), *self.fields]
        if fields.get("if-match", etag) != etag:
            raise Refused(412, "PreconditionFailed")
        if fields.get("if-none-match") == etag:
            h.send_response(304)
            for name, value in common:
                h.send_header(name, value)
            h.end_headers()
            return
        first, last, status = 0, len(data) - 1, 200
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", fields.get("range", ""))
        if m:
            first, last, status = int(m.group(1)), min(last, int(m.group(2) or last)), 206
            if first > last:
                raise Refused(416, "InvalidRange", f"<ActualObjectSize>{len(data)}</ActualObjectSize>")
            common.append(("Content-Range", f"bytes {first}-{last}/{len(data)}"))
        h.send_response(status)
        for name, value in common + [("Content-Type", content_type), ("Content-Length", str(last - first + 1))]:
            h.send_header(name, value)
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(data[first:last + 1])
            with self._lock:
                self.sent.append((key, first, last))


class RealS3(Bucket):
    """A server that is there already: VR_S3_ENDPOINT, VR_S3_ACCESS_KEY, VR_S3_SECRET_KEY, VR_S3_ROLE (for temporary
    credentials, if there are any), VR_S3_VIRTUAL (it answers to bucket.localhost). The bucket is made when it is not there."""

    def __init__(self):
        self.endpoint = os.environ["VR_S3_ENDPOINT"]
        self.access, self.secret = os.environ["VR_S3_ACCESS_KEY"], os.environ["VR_S3_SECRET_KEY"]
        status, body = self.call("PUT", "/" + self.bucket)
        assert status in (200, 409), body

    def close(self):
        pass

    def put(self, key, data, content_type="video/mp4"):
        data = data if isinstance(data, bytes) else data.read_bytes()
        status, body = self.call("PUT", f"/{self.bucket}/" + encoded(key, "/"), data, [("content-type", content_type)])
        assert status == 200, (key, status, body)

    def session(self):
        """Temporary credentials by STS: (access key, secret key, token); None when the server has no such thing."""
        if not os.environ.get("VR_S3_ROLE"):
            return None
        text = urllib.parse.urlencode({"Action": "AssumeRole", "RoleArn": os.environ["VR_S3_ROLE"], "RoleSessionName": "tests", "Version": "2011-06-15"})
        status, body = self.call("POST", "/", text.encode(), [("content-type", "application/x-www-form-urlencoded")], service="sts")
        assert status == 200, (status, body)
        return tuple(re.search(f"<{name}>([^<]+)<", body.decode()).group(1) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))

    def call(self, method, path, data=b"", more=(), query=(), service="s3"):
        """A request signed here. @return (status, body)"""
        parts = urllib.parse.urlsplit(self.endpoint)
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        payload = hashlib.sha256(data).hexdigest()
        fields = [("host", parts.netloc), ("x-amz-date", when), ("x-amz-content-sha256", payload), *more]
        proof = signature(self.secret, self.region, when, method, path, query, fields, payload, service)
        names = ";".join(sorted(n for n, _ in fields))
        scope = f"{self.access}/{when[:8]}/{self.region}/{service}/aws4_request"
        c = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            target = path + ("?" + "&".join(f"{encoded(k)}={encoded(v)}" for k, v in query) if query else "")
            c.request(method, target, data, {**{n: v for n, v in fields if n != "host"},
                                             "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={proof}"})
            reply = c.getresponse()
            return reply.status, reply.read()
        finally:
            c.close()


def is_real():
    return bool(os.environ.get("VR_S3_ENDPOINT"))
